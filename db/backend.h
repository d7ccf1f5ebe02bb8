/* The seam between what is kept (rows.h) and where: a database that runs statements with values, and hands rows over as
 * values. One thread at a time uses it; `look_up` is the exception: another one may call it at any time.
 *
 * Changes happen between `begin` and `commit`. Each of them is false when it failed: the caller then asks `failure` what
 * happened, and calls `rollback`. */
#ifndef BERTH_DB_BACKEND_H
#define BERTH_DB_BACKEND_H

#include "db/statements.h"
#include "db/store.h"

enum value_kind { VALUE_NULL, VALUE_NUMBER, VALUE_TEXT, VALUE_BLOB };

/* Of a parameter or a column. Columns with bytes are VALUE_BLOB, whatever they are in the table. */
struct value {
    enum value_kind kind;
    int64_t number;
    struct slice bytes;
};

enum { ROW_VALUES_MAX = 24, STATEMENT_VALUES_MAX = 16 };

/* Takes a row, whose bytes live through the call; false when it makes no sense. */
typedef bool row_fn(const struct value *row, void *arg);

/* Told twice of a row that will come soon, the second time when it is near; perhaps not of all. */
typedef void expect_fn(const struct value *row, bool is_near, void *arg);

struct backend_query {
    const char *sql;   /* as in statements.h */
    const char *what;  /* a row is, for the error */
    expect_fn *expect; /* NULL: nobody wants to know */
    const struct value *values;
    size_t value_count;
};

struct backend {
    const struct backend_ops *ops;
};

struct backend_ops {
    bool (*begin)(struct backend *db);

    /* The bytes of `values` need to live until the commit. */
    bool (*run)(struct backend *db, enum statement statement, const struct value *values, size_t count);
    bool (*commit)(struct backend *db);

    /* Undo what was not committed. True: the failure came from outside and may have passed, the caller shall make the
     * same changes again from `begin` on. They may also have been committed unseen. */
    bool (*rollback)(struct backend *db);

    /* The kind of the last failure, and a short sentence about it. */
    enum store_result (*failure)(const struct backend *db, char *text, size_t size);

    /* Every row. On failure, and for a row that makes no sense, one line in `error`. */
    bool (*load)(struct backend *db, const struct backend_query *query, row_fn *each, void *arg, char *error,
                 size_t error_size);

    /* The one row of `query`, which is always the same text. False: there is none, or it can't be read now. */
    bool (*look_up)(struct backend *db, const struct backend_query *query, row_fn *each, void *arg);

    /* Call after a commit, when nobody waits. */
    void (*tidy)(struct backend *db);

    /* Give caches back, as nothing is expected to be written for a while. NULL: there are none. */
    void (*settle)(struct backend *db);

    void (*close)(struct backend *db);
};

#endif
