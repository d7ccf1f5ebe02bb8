/* Links of link format (RFC 6690) as JSON. */
#ifndef BERTH_WEB_V1_LINK_JSON_H
#define BERTH_WEB_V1_LINK_JSON_H

#include <jansson.h>

#include "common/lwm2m/link_format.h"

/* {"pmin":"10","obs":true}: the attributes of a link, as texts, or true where there is no value. */
json_t *link_attributes_json(const struct link_format_link *link);

#endif
