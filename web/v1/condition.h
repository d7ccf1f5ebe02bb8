/* What POST /v1/wait waits for: an event of certain types, of a certain endpoint, whose fields pass tests.
 *
 *   {"type": "updated", "endpoint": "dev1", "match": {"lifetime_s": {"gte": 60}, "address": {"regex": "^127"}}}
 *
 * A test is a value that the field must equal, or an object of operators, which must all hold: eq, ne, gt, gte, lt, lte
 * (numbers with numbers, texts with texts), in (a list of values), regex (POSIX extended, found anywhere in a text). A
 * field that an event does not have is null: it passes ne, and eq with null. */
#ifndef BERTH_WEB_V1_CONDITION_H
#define BERTH_WEB_V1_CONDITION_H

#include "web/v1/event_json.h"

struct condition_test;

struct condition {
    event_types types;
    const json_t *endpoint; /* a string; NULL: any */
    struct condition_test *tests;
    size_t test_count;
};

enum { CONDITION_TESTS_MAX = 64, CONDITION_REGEX_MAX = 256 };

/* Read type, types, endpoint and match from `object`; other members are not looked at. The condition points into it.
 * False: `error` says what is wrong, and nothing needs to be freed. */
bool condition_read(const json_t *object, struct condition *condition, char *error, size_t error_size);

void condition_free(struct condition *condition);

/* `json` is event_json(event). */
bool condition_match(const struct condition *condition, const struct event *event, const json_t *json);

/* The event is of a type or the endpoint that the condition names, or the condition names neither. */
bool condition_near(const struct condition *condition, const struct event *event);

#endif
