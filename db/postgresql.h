/* A database of PostgreSQL as a backend: one connection that writes, one that looks up, and a row that says who writes.
 *
 * A transaction goes through the pipeline: all its statements are sent without waiting for one of them, and one round trip
 * later it is committed. A connection that breaks is made anew, and the transaction that was under way is run again, as
 * long as the batch has not waited longer than devices do; then batches fail at once until the database is back.
 *
 * The server holds the row of the table `writer` while it lives. Each connection has a number of its own there, a greater
 * one than those before, and each transaction begins with a look whether it is still that one: what an older connection
 * left behind in the database, or a server from which the row was taken, can't commit any more. */
#ifndef BERTH_DB_POSTGRESQL_H
#define BERTH_DB_POSTGRESQL_H

#include "db/backend.h"

/* Whether `uri` is one of PostgreSQL (its documentation, §34.1.1.2) that this build can use; else one sentence in
 * `problem`. Nothing is connected to. */
bool postgresql_check_uri(const char *uri, char *problem, size_t problem_size);

/* Connect, bring the schema up to date, and take the row of the writer; with `holder`, which is not 0 then, it is taken
 * already, and in that name (node.h). On failure NULL and one line in `error`: the database
 * can't be reached or used, is of a newer version, or another server uses it. Passwords are never in it. */
struct backend *postgresql_open(const char *uri, enum store_durability durability, uint64_t holder, char *error,
                                size_t error_size);

#endif
