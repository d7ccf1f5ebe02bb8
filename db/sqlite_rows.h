/* Rows of a statement as values (backend.h). */
#ifndef BERTH_DB_SQLITE_ROWS_H
#define BERTH_DB_SQLITE_ROWS_H

#include <sqlite3.h>

#include "db/backend.h"

/* Hand the row over that the statement stands at. False when `each` says so. */
bool sqlite_rows_take(sqlite3_stmt *row, row_fn *each, void *arg);

/* Step through the statement and hand over every row, until one makes no sense, which is told in `sound`. When there are
 * many, a thread reads ahead while `each`, called by this thread, takes them, and `expect`, unless it is NULL, is told of
 * them first; until this returns nothing else may use the connection. Returns what the last step did: SQLITE_DONE after the last row, or SQLite's error. */
int sqlite_rows_take_all(sqlite3_stmt *row, row_fn *each, expect_fn *expect, void *arg, bool *sound);

#endif
