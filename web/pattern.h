/* Regular expressions of clients, in time and memory that they cannot blow up: a pattern becomes a program of at most
 * PATTERN_PROGRAM_MAX instructions, and all its ways are followed at once, so a search takes at most instructions times
 * characters steps, whatever the pattern. There are no back-references and no looking around, which nobody can do so.
 *
 * As POSIX's extended expressions: . [a-z] [^,] [[:digit:]] ( ) | * + ? {2} {2,} {2,5} ^ $; and as others have them:
 * (?: ) \d \D \w \W \s \S \t \r \n \xHH, and a backslash before punctuation. Characters are those of UTF-8. */
#ifndef BERTH_WEB_PATTERN_H
#define BERTH_WEB_PATTERN_H

#include "common/base/slice.h"

enum {
    PATTERN_MAX = 256, /* bytes of a pattern */
    PATTERN_PROGRAM_MAX = 1000,
    PATTERN_DEPTH_MAX = 16,       /* groups within groups */
    PATTERN_TEXT_MAX = 16 * 1024, /* bytes of a text that are looked at; the rest does as if it were not its end */
};

struct pattern;

/* NULL when `text` (UTF-8) is no pattern: *problem says why, and *at where, in bytes. */
struct pattern *pattern_compile(struct slice text, const char **problem, size_t *at);
void pattern_free(struct pattern *pattern);

/* Whether it is found anywhere in `text`, which is UTF-8. Uses memory of the pattern, so one search at a time. */
bool pattern_found(struct pattern *pattern, struct slice text);

#endif
