/* What a wait is for, and how much of it has come (POST /v1/wait; the steps of scenarios):
 *
 *   one condition         {"type": "updated", "endpoint": "dev1"}
 *   it several times      {"type": "updated", "count": 3}
 *   several, in any order {"all": ["updated", {"type": "send", "match": {"path": "/3/0/9"}}]}; an event meets one of them
 *   several, in order     {"sequence": ["registered", "updated"]}, with any others between them
 *   none                  {"type": "expired", "absent": true, "timeout": "1h"}
 *
 * `endpoint` beside all or sequence goes for all that name none. */
#ifndef BERTH_WEB_V1_AWAITED_H
#define BERTH_WEB_V1_AWAITED_H

#include "web/v1/condition.h"

enum { AWAITED_CONDITIONS_MAX = 32, AWAITED_COUNT_MAX = 1000, AWAITED_NEAR_MISSES_MAX = 20 };

struct awaited;

/* Read `body`, which is held until awaited_free and lies at `at` in its document. NULL: `error` says what is wrong. */
struct awaited *awaited_read(json_t *body, const char *at, struct document_error *error);
void awaited_free(struct awaited *awaited);

/* Look at an event. True when that completes it: all has come, or what should be absent has. */
bool awaited_see(struct awaited *awaited, const struct event *event);

/* `after` of the body; false when it has none. */
bool awaited_after(const struct awaited *awaited, uint64_t *after);
uint64_t awaited_timeout_ms(const struct awaited *awaited);
bool awaited_is_absence(const struct awaited *awaited);
bool awaited_is_single(const struct awaited *awaited); /* one event, which is the answer */

/* How many events have come, and how many complete it. */
size_t awaited_met(const struct awaited *awaited);
size_t awaited_wanted(const struct awaited *awaited);

/* The events that have come; with `all` in the order of its conditions, null for each that has none yet. Borrowed. */
json_t *awaited_events(const struct awaited *awaited);

/* A new list of the events that came closest, the closest first: {"event":…, "differs":[…]}, with `condition`, its place
 * in all or sequence, and `note` when it would have met that, but not then. */
json_t *awaited_near_misses(const struct awaited *awaited);

#endif
