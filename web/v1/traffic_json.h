/* What a device costs on the wire, as JSON (server/traffic.h). */
#ifndef BERTH_WEB_V1_TRAFFIC_JSON_H
#define BERTH_WEB_V1_TRAFFIC_JSON_H

#include <jansson.h>

#include "common/net/link.h"

/* {"bytes_in", "bytes_out"} of all kinds and ways. */
json_t *traffic_json_total(const struct link *link);

#endif
