#include "tests/unit/db/store_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

const char *store_bench_database(void) {
    const char *database = getenv("BERTH_TEST_DATABASE");
    return database == NULL || database[0] == '\0' ? NULL : database;
}

bool store_bench_sql(const char *sql) {
    char command[1024];
    int len = snprintf(command, sizeof command,
                       "psql -X -q -v ON_ERROR_STOP=1 -d \"$BERTH_TEST_DATABASE\" -c \"%s\" >/dev/null", sql);
    return len > 0 && (size_t)len < sizeof command && system(command) == 0;
}

int store_bench_clear_database(void) {
    bool is_clear =
        store_bench_database() == NULL ||
        store_bench_sql("SET client_min_messages = error; DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA"
                        " public");
    return is_clear ? 0 : -1;
}

void store_bench_open(struct store_bench *bench) {
    const struct store_options options = {.directory = bench->directory, .database = store_bench_database()};
    bench->store = store_open(&bench->loop, &options, bench->error, sizeof bench->error);
    if (bench->store == NULL)
        fail_msg("%s", bench->error);
}

void store_bench_close(struct store_bench *bench) {
    store_close(bench->store);
    uv_run(&bench->loop, UV_RUN_NOWAIT);
}

int store_bench_start(struct store_bench *bench) {
    bench->store = NULL;
    strcpy(bench->directory, "/tmp/test_store.XXXXXX");
    if (mkdtemp(bench->directory) == NULL || store_bench_clear_database() != 0)
        return -1;
    if (uv_loop_init(&bench->loop) != 0)
        return -1;
    store_bench_open(bench);
    return 0;
}

int store_bench_stop(struct store_bench *bench) {
    char command[128];
    if (bench->store == NULL)
        return -1;
    store_bench_close(bench);
    uv_run(&bench->loop, UV_RUN_DEFAULT);
    snprintf(command, sizeof command, "rm -rf '%s'", bench->directory);
    return uv_loop_close(&bench->loop) != 0 || system(command) != 0 ? -1 : 0;
}

int store_bench_set_up(void **state) {
    static struct store_bench bench;
    memset(&bench, 0, sizeof bench);
    *state = &bench;
    return store_bench_start(&bench);
}

int store_bench_tear_down(void **state) {
    return store_bench_stop(*state);
}

void store_bench_restart(struct store_bench *bench) {
    store_bench_close(bench);
    store_bench_open(bench);
    bench->seen = buffer_over(bench->text, sizeof bench->text);
}

void store_bench_count(void *bench, enum store_result result) {
    ((struct store_bench *)bench)->done += result == STORE_OK;
}
