/* What a client expects of a JSON object: tests of its members.
 *
 *   {"lifetime_s": {"gte": 60, "lt": 3600}, "address": {"regex": "^127"}, "/objects/0/path": "/1/0"}
 *
 * A name is a member's, or with a slash in front a JSON Pointer (RFC 6901). A test is a value that must be equal, or an
 * object of operators, which must all hold: eq, ne, gt, gte, lt, lte (numbers with numbers, texts with texts), in (a list
 * of values), regex (web/pattern.h, found anywhere in a text). A member that is not there is null: it passes ne, and eq
 * with null. */
#ifndef BERTH_WEB_MATCHER_H
#define BERTH_WEB_MATCHER_H

#include "web/document.h"

enum { MATCHER_TESTS_MAX = 64, MATCHER_PATTERNS_MAX = 8 };

struct matcher_test;

struct matcher {
    struct matcher_test *tests; /* those of a member follow each other */
    size_t count;
};

/* Read `match`, to which the matcher points from then on; at `at` within its document. `known`, a list that ends with
 * NULL, has the names that there are; NULL: any. False: `error` says what is wrong, and nothing needs to be freed. */
bool matcher_read(const json_t *match, const char *at, const char *const *known, struct matcher *matcher,
                  struct document_error *error);

/* Read a test of one value. */
bool matcher_read_test(const json_t *test, const char *at, struct matcher *matcher, struct document_error *error);

void matcher_free(struct matcher *matcher);

/* How many members do not pass; 0: all do. */
size_t matcher_misses(const struct matcher *matcher, const json_t *object);

/* A list with {"member":…, "expected":…, "actual":…} for each that does not; what is long is cut. */
json_t *matcher_differences(const struct matcher *matcher, const json_t *object);

/* One such entry. `actual` may be NULL. */
json_t *matcher_difference(const char *member, const json_t *expected, const json_t *actual);

#endif
