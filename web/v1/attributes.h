/* Attributes of notifications (Core 1.2 §7.3.2) in the body of a call: of a Write-Attributes, or of an Observe. */
#ifndef BERTH_WEB_V1_ATTRIBUTES_H
#define BERTH_WEB_V1_ATTRIBUTES_H

#include "web/v1/target.h"

enum { ATTRIBUTES_QUERY_MAX = 512 };

/* Read {"pmin":10,"gt":null} into "pmin=10&gt". What does not go with what is at the target's path, or contradicts
 * itself, is refused unless it is forced. False: the request is answered. */
bool attributes_read_body(const struct call *call, const struct target *target, struct slice body,
                          struct buffer *query);

#endif
