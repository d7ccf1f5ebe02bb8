/* A store in a directory of its own, for the tests of what it keeps; its rows are in the database that
 * $BERTH_TEST_DATABASE names, if it is set (tests/tools/postgresql.py). */
#ifndef BERTH_TESTS_STORE_BENCH_H
#define BERTH_TESTS_STORE_BENCH_H

#include "common/base/buffer.h"
#include "db/store.h"

struct store_bench {
    char directory[64], error[512];
    uv_loop_t loop;
    struct store *store;
    size_t done; /* writes that were committed, of those with store_bench_count */
    uint8_t text[1000];
    struct buffer seen; /* over `text`: for what loading tells */
};

/* Zeroed before. 0, or -1: for set-up and tear-down functions. */
int store_bench_start(struct store_bench *bench);
int store_bench_stop(struct store_bench *bench);

/* Of tests whose state is a bench and nothing else. */
int store_bench_set_up(void **state);
int store_bench_tear_down(void **state);

/* Close and open, as over a restart; with store_bench_restart nothing is seen yet. */
void store_bench_open(struct store_bench *bench);
void store_bench_close(struct store_bench *bench);
void store_bench_restart(struct store_bench *bench);

/* What --database is in this run of the tests, emptied by store_bench_clear_database; NULL: SQLite, in the directory. With
 * a database of PostgreSQL the tests that look into files are left out. */
const char *store_bench_database(void);
int store_bench_clear_database(void);

/* Run SQL, without quotation marks in it, in that database. */
bool store_bench_sql(const char *sql);

/* A store_done_fn: its argument is the bench. */
void store_bench_count(void *bench, enum store_result result);

#endif
