/* What a call says in its query and body, read with their rules. What is wrong is answered here, with a problem that
 * says what would be right; then the result is false or NULL, and the handler returns. */
#ifndef BERTH_WEB_INPUT_H
#define BERTH_WEB_INPUT_H

#include "web/route.h"

/* True when the query has the parameter. */
bool input_given(const struct call *call, const char *name);

/* A decimal number from `min` to `max`; unchanged when the parameter is not there. */
bool input_number(const struct call *call, const char *name, uint64_t min, uint64_t max, uint64_t *value);

/* "timeout": how long to wait, at most WAITER_TIMEOUT_MAX_MS; WAITER_TIMEOUT_DEFAULT_MS when it is not there. */
bool input_timeout(const struct call *call, uint64_t *ms);

/* The body: a JSON object with no members but those in `members`, a list that ends with NULL. */
json_t *input_body(const struct call *call, const char *const *members);

struct document_error;

/* Answer that the body is JSON and does not mean anything: 422, with where and what is expected there. */
void input_refuse(const struct call *call, const struct document_error *error);

#endif
