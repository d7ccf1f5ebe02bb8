/* Factory-fresh devices, all at once: each is bootstrapped over DTLS with a key of its own, gets a fresh one, and registers
 * with that over another session. The berth-server of $BERTH_BUILD has core 0; the devices are those of berth-device, all
 * in this process, on core 1. A device's time runs from before its first packet until its Register is answered. Prints one
 * JSON line a round, and fails when a device needed longer than 2 s in the best round.
 *
 * usage: bootstrap [devices] [rounds]      default: 100 3 */
#include "client/device.h"
#include "tests/bench/http_client.h"
#include "tests/bench/process.h"

enum { DEVICES_MAX = 10000, SLOWEST_MS = 2000, GIVE_UP_MS = 60000, NAME = 24 };

static const char key[] = "000102030405060708090a0b0c0d0e0f";

struct fresh {
    struct options options;
    char endpoint[NAME], psk[NAME + sizeof key];
    struct device *device;
    uint64_t began_ns, took_ns; /* took: 0 until it has registered */
};

struct crowd {
    size_t count, registered;
    struct fresh *all;
    uint16_t coaps_port, http_port;
    char bootstrap[64];
};

/* ---- what the server knows ---- */

static void put_credential(struct http_connection *http, const struct fresh *fresh, size_t number) {
    char body[200], request[600];
    int len = snprintf(body, sizeof body,
                       "{\"mode\":\"psk\",\"identity\":\"factory%zu\",\"key_hex\":\"%s\",\"service\":\"bootstrap\"}",
                       number, key);
    int total = snprintf(request, sizeof request,
                         "PUT /v1/credentials/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         "Content-Length: %d\r\n\r\n%s",
                         fresh->endpoint, len, body);
    http->len = 0;
    if (send(http->fd, request, (size_t)total, 0) != total)
        fail("send");
    while (!http_answered(http, 201)) {
        struct pollfd readable = {http->fd, POLLIN, 0};
        poll(&readable, 1, 1000);
    }
}

static void put_credentials(const struct crowd *crowd) {
    struct http_connection http;
    http_connect(&http, crowd->http_port);
    for (size_t i = 0; i < crowd->count; i++)
        put_credential(&http, &crowd->all[i], i);
    close(http.fd);
}

/* ---- the devices ---- */

static void name_devices(struct crowd *crowd) {
    for (size_t i = 0; i < crowd->count; i++) {
        struct fresh *fresh = &crowd->all[i];
        snprintf(fresh->endpoint, sizeof fresh->endpoint, "dev%zu", i);
        snprintf(fresh->psk, sizeof fresh->psk, "factory%zu:%s", i, key);
        char *argv[] = {"berth-device",  "--bootstrap", crowd->bootstrap, "--endpoint",
                        fresh->endpoint, "--psk",       fresh->psk,       NULL};
        if (options_parse(&fresh->options, 7, argv) != OPTIONS_RUN)
            fail("options");
    }
}

static void start_devices(struct crowd *crowd, uv_loop_t *loop, FILE *nowhere) {
    char error[256];
    for (size_t i = 0; i < crowd->count; i++) {
        struct fresh *fresh = &crowd->all[i];
        fresh->began_ns = now_ns(CLOCK_MONOTONIC);
        fresh->took_ns = 0;
        fresh->device = device_start(loop, &fresh->options, nowhere, error, sizeof error);
        if (fresh->device == NULL)
            fail(error);
    }
}

static void await_devices(struct crowd *crowd, uv_loop_t *loop) {
    uint64_t began_ns = now_ns(CLOCK_MONOTONIC), now = began_ns;
    for (crowd->registered = 0; crowd->registered < crowd->count && now - began_ns < GIVE_UP_MS * 1000000ull;) {
        uv_run(loop, UV_RUN_ONCE);
        now = now_ns(CLOCK_MONOTONIC);
        for (size_t i = 0; i < crowd->count; i++) {
            struct fresh *fresh = &crowd->all[i];
            if (fresh->took_ns > 0 || fresh->device->registration.state != REGISTRATION_REGISTERED)
                continue;
            fresh->took_ns = now - fresh->began_ns;
            crowd->registered++;
        }
    }
    if (crowd->registered < crowd->count)
        fail("not every device has registered within a minute");
}

/* ---- a round ---- */

static int by_time(const void *a, const void *b) {
    uint64_t first = ((const struct fresh *)a)->took_ns, second = ((const struct fresh *)b)->took_ns;
    return first < second ? -1 : first > second;
}

/* Milliseconds that the slowest device took. */
static double run_round(struct crowd *crowd, FILE *nowhere) {
    char data[] = "/tmp/berth-bench-XXXXXX", coaps[64], http[64];
    uv_loop_t loop;
    if (mkdtemp(data) == NULL)
        fail("mkdtemp");
    snprintf(coaps, sizeof coaps, "coaps://127.0.0.1:%u", crowd->coaps_port);
    snprintf(http, sizeof http, "http://127.0.0.1:%u", crowd->http_port);
    pid_t server = start_and_wait((const char *const[]){"--listen", coaps, "--http", http, "--data", data, NULL});
    name_devices(crowd);
    put_credentials(crowd);
    uv_loop_init(&loop);
    uint64_t server_cpu = cpu_ns_of(server), own_cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    start_devices(crowd, &loop, nowhere);
    await_devices(crowd, &loop);
    server_cpu = cpu_ns_of(server) - server_cpu;
    own_cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own_cpu;
    for (size_t i = 0; i < crowd->count; i++)
        device_free(crowd->all[i].device);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    stop_process(server, SIGTERM);
    remove_directory(data);
    qsort(crowd->all, crowd->count, sizeof *crowd->all, by_time);
    double slowest_ms = (double)crowd->all[crowd->count - 1].took_ns / 1e6;
    printf("{\"bench\":\"bootstrap\",\"devices\":%zu,\"median_ms\":%.1f,\"slowest_ms\":%.1f,"
           "\"server_cpu_ms_per_device\":%.2f,\"device_cpu_ms\":%.2f}\n",
           crowd->count, (double)crowd->all[crowd->count / 2].took_ns / 1e6, slowest_ms,
           (double)server_cpu / 1e6 / (double)crowd->count, (double)own_cpu / 1e6 / (double)crowd->count);
    fflush(stdout);
    return slowest_ms;
}

static size_t number_in(int argc, char **argv, int at, size_t otherwise) {
    long number = argc > at ? strtol(argv[at], NULL, 10) : (long)otherwise;
    if (number < 1 || number > DEVICES_MAX)
        fail("a number from 1 to 10000 is expected");
    return (size_t)number;
}

int main(int argc, char **argv) {
    struct crowd crowd = {.count = number_in(argc, argv, 1, 100)};
    size_t rounds = number_in(argc, argv, 2, 3);
    double best_ms = 1e9;
    FILE *nowhere = fopen("/dev/null", "w");
    signal(SIGPIPE, SIG_IGN);
    crowd.all = calloc(crowd.count, sizeof *crowd.all);
    if (crowd.all == NULL || nowhere == NULL)
        fail("memory");
    crowd.coaps_port = port_for(getpid());
    crowd.http_port = (uint16_t)(crowd.coaps_port + HTTP_PORTS);
    snprintf(crowd.bootstrap, sizeof crowd.bootstrap, "coaps://127.0.0.1:%u", crowd.coaps_port);
    pin(1);
    for (size_t i = 0; i < rounds; i++) {
        double slowest_ms = run_round(&crowd, nowhere);
        best_ms = slowest_ms < best_ms ? slowest_ms : best_ms;
    }
    free(crowd.all);
    if (best_ms <= SLOWEST_MS)
        return 0;
    fprintf(stderr, "bench: a device needed %.0f ms in the best round\n", best_ms);
    return 1;
}
