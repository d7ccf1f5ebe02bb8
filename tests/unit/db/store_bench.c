#include "tests/unit/db/store_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

void store_bench_open(struct store_bench *bench) {
    const struct store_options options = {.directory = bench->directory};
    bench->store = store_open(&bench->loop, &options, bench->error, sizeof bench->error);
    if (bench->store == NULL)
        fail_msg("%s", bench->error);
}

void store_bench_close(struct store_bench *bench) {
    store_close(bench->store);
    uv_run(&bench->loop, UV_RUN_NOWAIT);
}

int store_bench_start(struct store_bench *bench) {
    strcpy(bench->directory, "/tmp/test_store.XXXXXX");
    if (mkdtemp(bench->directory) == NULL)
        return -1;
    uv_loop_init(&bench->loop);
    store_bench_open(bench);
    return 0;
}

int store_bench_stop(struct store_bench *bench) {
    char command[128];
    store_bench_close(bench);
    uv_run(&bench->loop, UV_RUN_DEFAULT);
    snprintf(command, sizeof command, "rm -rf '%s'", bench->directory);
    return uv_loop_close(&bench->loop) != 0 || system(command) != 0 ? -1 : 0;
}

void store_bench_count(void *bench, enum store_result result) {
    ((struct store_bench *)bench)->done += result == STORE_OK;
}
