/* The database file: one SQLite connection in WAL mode and its schema, as a backend. */
#ifndef BERTH_DB_SQLITE_H
#define BERTH_DB_SQLITE_H

#include "db/backend.h"

/* Open `path`, or create it when it is missing or empty, and bring its schema up to date. `check` looks through the
 * whole file for damage. On failure NULL and one line in `error`; the file is as it was. */
struct backend *sqlite_open(const char *path, enum store_durability durability, bool check, char *error,
                            size_t error_size);

#endif
