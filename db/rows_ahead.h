/* Rows of a query (backend.h), read ahead by a thread where they are many: what the database's library does for the next
 * ones goes on beside what is done with those before. */
#ifndef BERTH_DB_ROWS_AHEAD_H
#define BERTH_DB_ROWS_AHEAD_H

#include "db/backend.h"

enum rows_step {
    ROWS_ROW,
    ROWS_END,
    ROWS_FAILED, /* the source knows why */
};

/* Where rows come from. `next` sets `values`, whose bytes live until it is called again, and by the first row `columns`,
 * at most ROW_VALUES_MAX. It may be called by another thread, but never by two at once. */
struct rows_source {
    enum rows_step (*next)(struct rows_source *source, struct value *values);
    int columns;
};

/* Hand over every row, until one makes no sense, which is told in `sound`. `each` is called by this thread, and `expect`,
 * unless it is NULL, before it. When it returns, nobody uses the source any more. What the last step was: ROWS_ROW, when
 * rows are left; ROWS_FAILED as well when memory was short, with `is_short`. */
enum rows_step rows_take_all(struct rows_source *source, row_fn *each, expect_fn *expect, void *arg, bool *sound,
                             bool *is_short);

#endif
