/* What durable registrations cost. A hundred thousand devices register with four object links each, a number of them
 * waiting for their commit at any time, then all refresh, then everything is read back. Prints one JSON line.
 * Arguments: devices, how many wait at a time, refreshes in one call, "full" for STORE_FULL. With $BERTH_TEST_DATABASE in
 * that database of PostgreSQL, an empty one: tests/tools/postgresql.py script/bench store; only our own CPU is counted. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/net/address.h"
#include "db/store.h"

struct bench {
    uv_loop_t loop;
    struct store *store;
    uint64_t devices, window, per_refresh;
    uint64_t sent, done, loaded;
    uint64_t *order;
};

static double seconds(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds_of_cpu(void) {
    return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

static void check(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "bench store: %s\n", what);
        exit(1);
    }
}

static void put_next(struct bench *bench);

static void on_put(void *arg, enum store_result result) {
    struct bench *bench = arg;
    check(result == STORE_OK, "a write failed");
    bench->done++;
    put_next(bench);
}

static void put_next(struct bench *bench) {
    if (bench->sent == bench->devices)
        return;
    char endpoint[32], location[8];
    struct address peer = {.family = ADDRESS_IPV4, .port = 5683}, local = peer;
    memcpy(peer.ip, &bench->sent, 4);
    int len = snprintf(endpoint, sizeof endpoint, "urn:dev:ops:%012llu", (unsigned long long)bench->sent);
    snprintf(location, sizeof location, "%04llx", (unsigned long long)(bench->sent % 65536));
    uint64_t now_ms = 1780000000000 + bench->sent;
    struct store_registration r = {.id = ++bench->sent,
                                   .endpoint = slice_of(endpoint, (size_t)len),
                                   .location = slice_str(location),
                                   .links = slice_str("</1/0>,</3/0>,</4/0>,</5/0>"),
                                   .address = slice_of(&peer, sizeof peer),
                                   .local = slice_of(&local, sizeof local),
                                   .lifetime_s = 86400,
                                   .flags = 11,
                                   .registered_at_ms = now_ms,
                                   .updated_at_ms = now_ms,
                                   .expires_at_ms = now_ms + 86400000};
    check(store_put_registration(bench->store, &r, NULL, 0, on_put, bench) == STORE_OK, "the queue is full");
}

static void refresh_next(struct bench *bench);

static void on_refresh(void *arg, enum store_result result) {
    struct bench *bench = arg;
    check(result == STORE_OK, "a refresh failed");
    bench->done += bench->per_refresh;
    refresh_next(bench);
}

static void refresh_next(struct bench *bench) {
    static struct store_refresh refreshes[100000];
    if (bench->sent + bench->per_refresh > bench->devices)
        return;
    for (uint64_t i = 0; i < bench->per_refresh; i++) {
        uint64_t now_ms = 1780000100000 + bench->sent;
        refreshes[i] = (struct store_refresh){
            .id = bench->order[bench->sent++], .updated_at_ms = now_ms, .expires_at_ms = now_ms + 86400000};
    }
    check(store_refresh_registrations(bench->store, refreshes, bench->per_refresh, on_refresh, bench) == STORE_OK,
          "the queue is full");
}

static void on_timer(uv_timer_t *timer) {
    (void)timer;
}

static void on_loaded(void *arg, const struct store_registration *registration) {
    (void)registration;
    ++*(uint64_t *)arg;
}

static void turn_until(struct bench *bench, uint64_t done) {
    while (bench->done < done)
        uv_run(&bench->loop, UV_RUN_ONCE);
}

static struct store *open_store(struct bench *bench, const struct store_options *options) {
    char error[256];
    struct store *store = store_open(&bench->loop, options, error, sizeof error);
    check(store != NULL, error);
    return store;
}

int main(int argc, char **argv) {
    struct bench bench = {.devices = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000,
                          .window = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000,
                          .per_refresh = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000};
    bench.order = malloc(bench.devices * sizeof *bench.order);
    check(bench.order != NULL && bench.window > 0 && bench.per_refresh > 0 && bench.per_refresh <= 100000 &&
              bench.devices % bench.per_refresh == 0,
          "usage: store [devices [waiting [refreshes in a call, at most 100000, a divisor of devices [full]]]]");
    srandom(1);
    for (uint64_t i = 0; i < bench.devices; i++) {
        uint64_t other = (uint64_t)random() % (i + 1);
        bench.order[i] = bench.order[other];
        bench.order[other] = i + 1;
    }
    char directory[] = "bench-store-XXXXXX", path[64];
    check(mkdtemp(directory) != NULL, "no directory");
    struct store_options options = {.directory = directory,
                                    .database = getenv("BERTH_TEST_DATABASE"),
                                    .durability = argc > 4 ? STORE_FULL : STORE_NORMAL};
    uv_loop_init(&bench.loop);
    uv_timer_t alive; /* the store's own handles do not keep the loop alive */
    uv_timer_init(&bench.loop, &alive);
    uv_timer_start(&alive, on_timer, 1000000, 1000000);
    double opened = seconds(CLOCK_MONOTONIC);
    bench.store = open_store(&bench, &options);
    double open_ms = (seconds(CLOCK_MONOTONIC) - opened) * 1e3;

    double start = seconds(CLOCK_MONOTONIC), cpu = seconds_of_cpu();
    for (uint64_t i = 0; i < bench.window; i++)
        put_next(&bench);
    turn_until(&bench, bench.devices);
    double put_s = seconds(CLOCK_MONOTONIC) - start, put_cpu_s = seconds_of_cpu() - cpu;
    struct store_counters counters = store_counters(bench.store);

    bench.sent = bench.done = 0;
    start = seconds(CLOCK_MONOTONIC), cpu = seconds_of_cpu();
    refresh_next(&bench);
    turn_until(&bench, bench.devices);
    double refresh_s = seconds(CLOCK_MONOTONIC) - start, refresh_cpu_s = seconds_of_cpu() - cpu;
    store_close(bench.store);

    snprintf(path, sizeof path, "%s/berth.db", directory);
    struct stat status = {.st_size = 0};
    check(options.database != NULL || stat(path, &status) == 0, "no database");
    bench.store = open_store(&bench, &options);
    char error[256];
    start = seconds(CLOCK_MONOTONIC);
    check(store_load_registrations(bench.store, on_loaded, NULL, &bench.loaded, error, sizeof error), error);
    double load_s = seconds(CLOCK_MONOTONIC) - start;
    check(bench.loaded == bench.devices, "registrations are missing");
    store_close(bench.store);

    double devices = (double)bench.devices;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"bench\":\"store\",\"devices\":%.0f,\"waiting\":%llu,\"open_ms\":%.1f,\"puts_per_s\":%.0f,"
           "\"put_cpu_us\":%.2f,\"puts_per_transaction\":%.1f,\"refreshes_per_s\":%.0f,\"refresh_cpu_us\":%.2f,"
           "\"bytes_on_disk\":%.0f,\"load_us\":%.2f,\"rss_max_kib\":%ld}\n",
           devices, (unsigned long long)bench.window, open_ms, devices / put_s, put_cpu_s / devices * 1e6,
           devices / (double)counters.transactions, devices / refresh_s, refresh_cpu_s / devices * 1e6,
           (double)status.st_size / devices, load_s / devices * 1e6, usage.ru_maxrss);
    unlink(path);
    snprintf(path, sizeof path, "%s/berth.lock", directory);
    unlink(path);
    rmdir(directory);
    free(bench.order);
    uv_close((uv_handle_t *)&alive, NULL);
    uv_run(&bench.loop, UV_RUN_DEFAULT);
    uv_loop_close(&bench.loop);
    return 0;
}
