/* Writes that come by the thousand, as few statements: the database works four times as long on a row that is a statement
 * of its own as on one of an array's. Rows wait in a group for each statement until the group is full, or what was
 * written is to be committed.
 *
 * Rows of a batch come into the database in another order than they were given, but never two that have to do with one
 * another: those of one table with the same key keep theirs. Nothing else in the schema orders them. */
#ifndef BERTH_DB_POSTGRESQL_GROUPS_H
#define BERTH_DB_POSTGRESQL_GROUPS_H

#include "db/postgresql_link.h"
#include "db/statements.h"

/* Send one row; or a group, by the statement that was prepared with pg_group_text, or by a text as in statements.h. Arrays
 * live through the call. False: nothing can be sent any more. */
struct pg_group_sender {
    bool (*send_row)(void *arg, enum statement statement, const struct value *values, size_t count);
    bool (*send_group)(void *arg, enum statement statement, const struct pg_parameters *arrays);
    bool (*send_text)(void *arg, const char *text, const struct pg_parameters *arrays);
    void *arg;
};

struct pg_groups;

/* NULL when out of memory. Takes half a megabyte. */
struct pg_groups *pg_groups_new(const struct pg_group_sender *sender);
void pg_groups_free(struct pg_groups *groups);

/* The text to prepare for groups of a statement, as in statements.h; false: there is none. */
bool pg_group_text(enum statement statement, char out[PG_SQL_MAX]);

/* A write, later or now; the bytes of `values` live until it was sent or dropped. False: nothing can be sent any more. */
bool pg_groups_run(struct pg_groups *groups, enum statement statement, const struct value *values, size_t count);

/* Send all that waits, or forget it. */
bool pg_groups_send(struct pg_groups *groups);
void pg_groups_drop(struct pg_groups *groups);

#endif
