/* Events as the API shows them, and which of them a client asked for. */
#ifndef BERTH_WEB_V1_EVENT_JSON_H
#define BERTH_WEB_V1_EVENT_JSON_H

#include <jansson.h>

#include "server/event.h"

/* {id, ts, type, endpoint} and, when they are set, location, previous, lifetime_s, address, detail, coap_code,
 * observation, sequence, confirmable, stale, path, value_type, value, time. */
json_t *event_json(const struct event *event);

/* The names of all fields an event may have, of later stages too; ends with NULL. */
extern const char *const event_json_fields[];

/* A set of types, one bit each. To ask for `registered` is to ask for `replaced` too: it is a registration. */
typedef uint64_t event_types;
#define EVENT_TYPES_ALL (((event_types)1 << EVENT_TYPE_COUNT) - 1)

/* Add the type of that name. False when there is none. */
bool event_types_add(event_types *types, struct slice name);

/* Names joined by ','. False when one is no type; *unknown is that one. */
bool event_types_parse(struct slice list, event_types *types, struct slice *unknown);

/* What a client asked for. */
struct event_filter {
    event_types types;
    bool any_endpoint;
    struct slice endpoint;
};
bool event_filter_match(const struct event_filter *filter, const struct event *event);

#endif
