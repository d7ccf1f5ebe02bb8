/* What a million devices with DTLS sessions cost: memory, a restart, and what others feel when all of them expire.
 *
 * They register and sleep. Others, over plain UDP, send an Update every 4 ms and a Register every 50 ms, and are timed
 *   - alone;
 *   - while the clock is leapt behind the lifetimes of all that sleep, until the leap is answered;
 *   - after a start on the same database that finds all of them expired, until the last one is gone.
 * Prints one JSON line, and fails where an aim is missed, unless the number of devices is another.
 *
 * usage: million [devices [directory]]      default: 1000000. What has registered is kept in the directory, and used again
 *        when it is there, as most of the time goes into handshakes; the memory is that of a restarted server then. */
#include <sys/stat.h>

#include "server/names.h"
#include "tests/bench/http_client.h"
#include "tests/bench/registering.h"

enum { DEVICES = 1000000, OTHERS = 200, NEWCOMERS = 20, HANDSHAKES_PER_S = 8000 };
enum {
    UPDATE_EVERY_US = 4000,
    REGISTER_EVERY_US = 50000,
    TIMED_MAX = 1 << 20,
    ALONE_MS = 3000,
    AFTER_MS = 3000,
    LOST_AFTER_MS = 5000
};
enum { LONG_LIFETIME_MID = 65535 }; /* an Update with it asks for 40 hours; whoever sleeps has a day */

/* More than their lifetime, and less than that of the others. */
enum { LEAP_H = 30 };

enum { AIM_BYTES = 1200000000, AIM_RESTART_S = 10, AIM_P99_MS = 50 };

/* ---- the others ---- */

struct timed {
    double *ms;
    size_t count;
};

struct others {
    struct secured_devices devices;
    enum secured_request request;
    uint64_t every_ns, next_ns;
    uint16_t mid;
    uint64_t sent_ns[UINT16_MAX + 1]; /* by message ID; 0: not under way */
    size_t under_way, lost;
    struct timed timed;
};

static void on_timed(void *arg, size_t device, struct slice bytes) {
    struct others *others = arg;
    struct coap_message answer;
    uint16_t mid;
    if (!read_answer(&others->devices, device, bytes, &answer, &mid))
        return;
    if (others->sent_ns[mid] == 0)
        return;
    if (answer.code != COAP_2_04_CHANGED && answer.code != COAP_2_01_CREATED)
        fail("a request of the others is refused");
    if (answer.code == COAP_2_01_CREATED)
        keep_location(&others->devices.all[device], &answer);
    if (others->timed.count < TIMED_MAX)
        others->timed.ms[others->timed.count++] = (double)(now_ns(CLOCK_MONOTONIC) - others->sent_ns[mid]) / 1e6;
    others->sent_ns[mid] = 0;
    others->under_way--;
}

static void ask_one(struct others *others, enum secured_request request, size_t device, uint16_t mid) {
    uint8_t bytes[DATAGRAM_MAX];
    others->sent_ns[mid] = now_ns(CLOCK_MONOTONIC);
    others->under_way++;
    send_secured(&others->devices, device, encode_secured(&others->devices, device, request, mid, bytes));
}

static void open_others(struct others *others, uint16_t port, size_t count, size_t first, enum secured_request request,
                        uint64_t every_us) {
    others->request = request;
    others->every_ns = every_us * 1000;
    open_secured(&others->devices, port, count, on_timed, others);
    others->devices.plain = true;
    others->devices.first = first;
    others->timed.ms = calloc(TIMED_MAX, sizeof *others->timed.ms);
    if (others->timed.ms == NULL)
        fail("memory");
}

/* Wait for what is under way; what was lost is not waited for. */
static void settle(struct others *others) {
    for (uint64_t start = now_ns(CLOCK_MONOTONIC);
         others->under_way > 0 && now_ns(CLOCK_MONOTONIC) - start < (uint64_t)LOST_AFTER_MS * 1000000;) {
        if (turn_secured(&others->devices) == 0)
            wait_readable(others->devices.net.fd, 10);
    }
    memset(others->sent_ns, 0, sizeof others->sent_ns);
    others->lost += others->under_way;
    others->under_way = 0;
}

/* All of them register, and get a lifetime that outlives the sleepers'. */
static void begin_others(struct others *others) {
    for (size_t i = 0; i < others->devices.count; i++) {
        ask_one(others, SECURED_REGISTER, i, (uint16_t)(i + 1));
        settle(others);
        ask_one(others, SECURED_UPDATE_LIFETIME, i, LONG_LIFETIME_MID);
        settle(others);
    }
    others->timed.count = 0;
}

static void turn_others(struct others *others) {
    uint64_t now = now_ns(CLOCK_MONOTONIC);
    if (now >= others->next_ns) { /* whoever is late skips, and does not catch up */
        if (++others->mid == 0)
            others->mid = 1;
        ask_one(others, others->request, others->mid % others->devices.count, others->mid);
        others->next_ns =
            others->next_ns + others->every_ns > now ? others->next_ns + others->every_ns : now + others->every_ns;
    }
    turn_secured(&others->devices);
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

struct felt {
    double p99_ms, worst_ms;
    size_t count;
};

static struct felt felt_by(struct others *others) {
    settle(others);
    struct timed *timed = &others->timed;
    if (timed->count == 0)
        return (struct felt){0};
    qsort(timed->ms, timed->count, sizeof *timed->ms, compare);
    struct felt felt = {timed->ms[timed->count * 99 / 100], timed->ms[timed->count - 1], timed->count};
    timed->count = 0;
    return felt;
}

static struct others updating, registering;

static void turn_all(void) {
    turn_others(&updating);
    turn_others(&registering);
    wait_readable(updating.devices.net.fd, 1);
}

static void turn_for(uint64_t ms) {
    for (uint64_t start = now_ns(CLOCK_MONOTONIC); now_ns(CLOCK_MONOTONIC) - start < ms * 1000000;)
        turn_all();
}

/* ---- the server ---- */

struct rig {
    char listen[64], listen_plain[64], web[64], data[80];
    uint16_t http_port;
    size_t count;
    const char *options[16];
};

static void on_stored(void *arg, enum store_result result) {
    if (result != STORE_OK)
        fail("a setting is not stored");
    *(bool *)arg = true;
}

/* As if the server had been down for `ms`. */
static void let_time_pass(const struct rig *rig, uint64_t ms) {
    uv_loop_t loop;
    uv_idle_t idle;
    char error[256], text[24];
    bool stored = false;
    uv_loop_init(&loop);
    uv_idle_init(&loop, &idle);
    uv_idle_start(&idle, on_idle);
    struct store *store = store_open(&loop, &(struct store_options){.directory = rig->data}, error, sizeof error);
    if (store == NULL)
        fail(error);
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)ms);
    store_put_setting(store, SETTING_CLOCK_LEAPT, slice_of(text, (size_t)len), on_stored, &stored);
    while (!stored)
        uv_run(&loop, UV_RUN_ONCE);
    store_close(store);
    uv_close((uv_handle_t *)&idle, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

static pid_t start_timed(const struct rig *rig, double *seconds) {
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    pid_t server = start_and_wait(rig->options);
    *seconds = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
    return server;
}

static double stop_timed(pid_t server) {
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    stop_process(server, SIGTERM);
    return (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
}

static size_t expired_of(const struct rig *rig) {
    static struct http_connection http;
    static const char name[] = "berth_events_total{type=\"expired\"} ";
    http_connect(&http, rig->http_port);
    http_ask(&http, "GET", "/metrics");
    while (!http_answered(&http, 200))
        turn_all();
    close(http.fd);
    const char *found = strstr(http.answer, name);
    return found == NULL ? 0 : strtoul(found + sizeof name - 1, NULL, 10);
}

static void leap(const struct rig *rig) {
    static struct http_connection http;
    char body[64];
    snprintf(body, sizeof body, "{\"advance\":\"%dh\"}", LEAP_H);
    http_connect(&http, rig->http_port);
    http_ask_with(&http, "POST", "/v1/clock", body);
    while (!http_answered(&http, 200))
        turn_all();
    close(http.fd);
}

static void seed(const struct rig *rig, uint16_t port) {
    static struct registering sleepers;
    open_registering(&sleepers, port, rig->count);
    shake_all(&sleepers.devices, HANDSHAKES_PER_S);
    register_all(&sleepers);
    close_registering(&sleepers);
}

/* Where the others find their registrations again. */
static void keep_others(const char *home, const char *mode) {
    char path[96];
    snprintf(path, sizeof path, "%s/others", home);
    FILE *file = fopen(path, mode);
    if (file == NULL)
        fail(path);
    for (size_t i = 0; i < OTHERS; i++) {
        char *location = updating.devices.all[i].location;
        size_t size = sizeof updating.devices.all[i].location;
        if ((mode[0] == 'w' ? fwrite(location, 1, size, file) : fread(location, 1, size, file)) != size)
            fail(path);
    }
    fclose(file);
}

static void remove_if_there(const char *path) {
    struct stat status;
    if (stat(path, &status) == 0)
        remove_directory(path);
}

static void copy_directory(const char *from, const char *to) {
    char command[256];
    remove_if_there(to);
    snprintf(command, sizeof command, "cp -r %s %s", from, to);
    if (system(command) != 0)
        fail("cp");
}

int main(int argc, char **argv) {
    static struct rig rig;
    size_t count = rig.count = argc > 1 ? strtoul(argv[1], NULL, 10) : DEVICES;
    uint16_t port = port_for(getpid());
    char home[64] = "/tmp/berth-bench-XXXXXX", before[80];
    double restart_s, expired_start_s, empty_start_s, expiring_s, late_s;
    size_t bytes = 0;
    struct stat status;
    pin(1);
    if (argc > 2)
        snprintf(home, sizeof home, "%s", argv[2]);
    if (argc > 2 ? mkdir(home, 0700) != 0 && errno != EEXIST : mkdtemp(home) == NULL)
        fail(home);
    rig.http_port = (uint16_t)(port + HTTP_PORTS);
    snprintf(rig.data, sizeof rig.data, "%s/data", home);
    snprintf(before, sizeof before, "%s/before", home);
    snprintf(rig.listen, sizeof rig.listen, "coaps://127.0.0.1:%u", port);
    snprintf(rig.listen_plain, sizeof rig.listen_plain, "coap://127.0.0.1:%u", port + 1);
    snprintf(rig.web, sizeof rig.web, "http://127.0.0.1:%u", rig.http_port);
    const char *const options[] = {"--listen", rig.listen, "--listen", rig.listen_plain, "--http",
                                   rig.web,    "--data",   rig.data,   "--trace",        "off"};
    memcpy(rig.options, options, sizeof options);

    remove_if_there(rig.data);
    pid_t server = start_timed(&rig, &empty_start_s);
    stop_timed(server);
    open_others(&updating, (uint16_t)(port + 1), OTHERS, count, SECURED_UPDATE, UPDATE_EVERY_US);
    open_others(&registering, (uint16_t)(port + 1), NEWCOMERS, count + OTHERS, SECURED_REGISTER, REGISTER_EVERY_US);
    if (stat(before, &status) != 0) {
        make_credentials(rig.data, count);
        server = start_and_wait(rig.options);
        seed(&rig, port);
        begin_others(&updating);
        bytes = quiet_bytes_of(server, rig.http_port);
        stop_timed(server);
        copy_directory(rig.data, before);
        keep_others(home, "w");
    } else {
        copy_directory(before, rig.data);
        keep_others(home, "r");
    }

    server = start_timed(&rig, &restart_s);
    size_t bytes_restored = resident_bytes_of(server);
    bytes = bytes_restored > bytes ? bytes_restored : bytes;
    turn_for(ALONE_MS);
    struct felt alone = felt_by(&updating), alone_registering = felt_by(&registering);
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    leap(&rig);
    expiring_s = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
    turn_for(AFTER_MS);
    struct felt leaping = felt_by(&updating), leaping_registering = felt_by(&registering);
    double stop_s = stop_timed(server);

    copy_directory(before, rig.data);
    let_time_pass(&rig, (uint64_t)LEAP_H * 3600000);
    server = start_timed(&rig, &expired_start_s);
    start = now_ns(CLOCK_MONOTONIC);
    while (expired_of(&rig) < count)
        turn_for(100);
    late_s = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
    turn_for(AFTER_MS);
    struct felt late = felt_by(&updating), late_registering = felt_by(&registering);
    stop_timed(server);
    if (argc > 2)
        remove_if_there(rig.data);
    else
        remove_directory(home);

    printf(
        "{\"bench\":\"many devices with DTLS\",\"devices\":%zu,\"bytes\":%zu,\"bytes_restored\":%zu,\"start_empty_s\":"
        "%.3f,\"restart_s\":%.2f,\"p99_ms_alone\":%.2f,\"p99_ms_register_alone\":%.2f}\n",
        count, bytes, bytes_restored, empty_start_s, restart_s, alone.p99_ms, alone_registering.p99_ms);
    printf(
        "{\"bench\":\"all expire by a leap\",\"devices\":%zu,\"s\":%.2f,\"updates\":%zu,\"p99_ms\":%.2f,\"worst_ms\":"
        "%.2f,\"p99_ms_register\":%.2f,\"worst_ms_register\":%.2f,\"stop_s\":%.2f}\n",
        count, expiring_s, leaping.count, leaping.p99_ms, leaping.worst_ms, leaping_registering.p99_ms,
        leaping_registering.worst_ms, stop_s);
    printf("{\"bench\":\"all expired while it was down\",\"devices\":%zu,\"start_s\":%.2f,\"s\":%.2f,\"updates\":%zu,"
           "\"p99_ms\":%.2f,\"worst_ms\":%.2f,\"p99_ms_register\":%.2f,\"worst_ms_register\":%.2f}\n",
           count, expired_start_s, late_s, late.count, late.p99_ms, late.worst_ms, late_registering.p99_ms,
           late_registering.worst_ms);
    bool met =
        bytes <= AIM_BYTES && restart_s <= AIM_RESTART_S && leaping.p99_ms <= AIM_P99_MS && late.p99_ms <= AIM_P99_MS;
    return count == DEVICES && !met ? 1 : 0;
}
