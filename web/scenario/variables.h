/* Variables of a scenario: `${name}` in a text is replaced by what the variable is. A text that is nothing else becomes
 * the value itself, which may be any JSON; `$${` is `${`. Names are of letters, digits and _ - + . */
#ifndef BERTH_WEB_SCENARIO_VARIABLES_H
#define BERTH_WEB_SCENARIO_VARIABLES_H

#include "web/document.h"

enum { VARIABLES_MAX = 256, VARIABLES_NAME_MAX = 64, VARIABLES_FILLED_MAX = 4 << 20 };

bool variables_is_name(const char *name);

/* Whether a text in `value` needs one. */
bool variables_are_used(const json_t *value);

/* That all texts in `value`, at `at`, name members of `known` only. */
bool variables_check(const json_t *value, const char *at, const json_t *known, struct document_error *error);

/* A copy of `value` with everything replaced. NULL when it would be longer than VARIABLES_FILLED_MAX. */
json_t *variables_fill(const json_t *value, const json_t *variables);

/* The path of a request: what stands behind a slash is put in as one segment, percent-encoded; anything else as it is, a
 * Location at the beginning, say. A new string, or NULL. */
json_t *variables_fill_path(const json_t *path, const json_t *variables);

#endif
