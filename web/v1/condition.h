/* What POST /v1/wait waits for: an event of certain types, of a certain endpoint, whose members pass tests.
 *
 *   {"type": "updated", "endpoint": "dev1", "match": {"lifetime_s": {"gte": 60}, "address": {"regex": "^127"}}} */
#ifndef BERTH_WEB_V1_CONDITION_H
#define BERTH_WEB_V1_CONDITION_H

#include "web/matcher.h"
#include "web/v1/event_json.h"

struct condition {
    event_types types;
    const json_t *endpoint; /* a string; NULL: any */
    struct matcher match;
};

/* Read type, types, endpoint and match from `object`, which is at `at` in its document; other members are not looked at.
 * The condition points into it. False: `error` says what is wrong, and nothing needs to be freed. */
bool condition_read(const json_t *object, const char *at, struct condition *condition, struct document_error *error);

void condition_free(struct condition *condition);

/* In how many members the event differs from what is waited for; 0: it is it. `json` is event_json(event). */
size_t condition_misses(const struct condition *condition, const struct event *event, const json_t *json);

/* Those members, as matcher_differences tells them. */
json_t *condition_differences(const struct condition *condition, const struct event *event, const json_t *json);

/* The event is of a type or the endpoint that the condition names, or the condition names neither. */
bool condition_near(const struct condition *condition, const struct event *event);

#endif
