/* The link of a registration whose device cannot be reached until it comes back: its DTLS session was not kept. It has the
 * device's last address and identity, and sends nothing. */
#ifndef BERTH_SERVER_ABSENT_LINK_H
#define BERTH_SERVER_ABSENT_LINK_H

#include "common/net/link.h"

/* The caller gets the reference. The name is copied. NULL when out of memory. */
struct link *absent_link_new(struct listener *listener, const struct address *peer, enum link_security security,
                             struct slice name);

bool absent_link_is(const struct link *link);

#endif
