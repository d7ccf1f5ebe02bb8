/* Regular expressions of clients: PCRE2's, on characters of UTF-8, with an end to what they cost. A search that would
 * take more than PATTERN_STEPS_MAX steps or PATTERN_HEAP_MAX_KIB of memory, as `^(a|a)*$` does, ends there and has found
 * nothing. */
#ifndef BERTH_WEB_PATTERN_H
#define BERTH_WEB_PATTERN_H

#include "common/base/slice.h"

enum {
    PATTERN_MAX = 256,       /* bytes of a pattern */
    PATTERN_DEPTH_MAX = 16,  /* groups within groups */
    PATTERN_SIZE_MAX = 8192, /* bytes of a compiled pattern */
    PATTERN_STEPS_MAX = 100000,
    PATTERN_HEAP_MAX_KIB = 256,
    PATTERN_PROBLEM_MAX = 160,
    PATTERN_TEXT_MAX = 16 * 1024, /* bytes of a text that are looked at; the rest does as if it were not its end */
};

struct pattern;

/* NULL when `text` (UTF-8) is no pattern: `problem` says why, and *at where, in bytes. */
struct pattern *pattern_compile(struct slice text, char problem[PATTERN_PROBLEM_MAX], size_t *at);
void pattern_free(struct pattern *pattern);

/* Whether it is found anywhere in `text`, which is UTF-8. Uses memory of the pattern, so one search at a time. */
bool pattern_found(struct pattern *pattern, struct slice text);

#endif
