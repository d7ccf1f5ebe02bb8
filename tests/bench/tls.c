/* Devices over TLS beside devices over TCP, in one run of one berth-server: updates a second and what each costs, the
 * memory of idle TLS connections, and how long it takes until many are back at once, whose sessions are resumed. Prints a
 * JSON line for each. Server and load run on a core each; the load speaks TLS, too, and is the slower of the two.
 *
 * usage: tls [updates] [idle connections] [connections of the storm]      default: 50000 10000 2000 */
#include <sys/resource.h>

#include "common/coap/option.h"
#include "common/coap/signal.h"
#include "common/coap/stream.h"
#include "common/net/stream.h"
#include "tests/bench/process.h"

enum { DEVICES = 8, WINDOW = 8 /* requests under way of each */, OPENING = 64 /* handshakes under way */ };

struct load;

/* One endpoint, and its connections. */
struct device {
    struct load *load;
    char name[8], location[16];
    struct tls *tls; /* NULL: in the clear */
    struct streams *streams;
    struct link *link; /* of the one that sends requests */
    size_t under_way;
};

struct load {
    uv_loop_t loop;
    struct clock clock;
    struct timer_wheel wheel;
    struct listener listener;
    struct address server;
    struct device devices[DEVICES];
    size_t to_send, done, refused, open, closed;
};

static const char key[] = "sixteen byte key";

/* ---- messages ---- */

static void send_message(struct device *device, const struct coap_message *message) {
    uint8_t bytes[256];
    struct buffer frame = buffer_over(bytes, sizeof bytes);
    if (!coap_stream_encode(message, &frame) || link_send(device->link, buffer_slice(&frame)) != 0)
        fail("send");
}

static void greet(struct link *link) {
    static const uint8_t csm[] = {0, COAP_7_01_CSM};
    link_send(link, slice_of(csm, sizeof csm));
}

static void ask(struct device *device) {
    struct coap_message message;
    char ep[16];
    bool is_new = device->location[0] == '\0';
    coap_message_init(&message, COAP_CON, COAP_POST, 0, slice_str("t"));
    coap_option_add(&message, COAP_URI_PATH, slice_str("rd"));
    if (is_new) {
        coap_option_add(&message, COAP_CONTENT_FORMAT, slice_str("("));
        snprintf(ep, sizeof ep, "ep=%s", device->name);
        coap_option_add(&message, COAP_URI_QUERY, slice_str(ep));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lt=86400"));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lwm2m=1.1"));
        message.payload = slice_str("</1/0>,</3/0>");
    } else {
        coap_option_add(&message, COAP_URI_PATH, slice_str(device->location));
    }
    device->under_way++;
    send_message(device, &message);
}

static void on_received(void *arg, struct link *link, struct slice frame) {
    struct device *device = arg;
    struct load *load = device->load;
    struct coap_message message;
    if (coap_stream_decode(frame, &message) != COAP_DECODE_OK)
        fail("a frame that is none");
    if (message.code >> 5 == 7) {
        load->open += message.code == COAP_7_01_CSM; /* the server has done with the beginning */
        return;
    }
    for (size_t i = 0; i < message.option_count; i++) {
        if (message.options[i].number == COAP_LOCATION_PATH)
            snprintf(device->location, sizeof device->location, "%.*s", (int)message.options[i].value.len,
                     (const char *)message.options[i].value.data);
    }
    load->refused += message.code >> 5 != 2;
    load->done++;
    device->under_way--;
    if (load->to_send > 0 && link == device->link) {
        load->to_send--;
        ask(device);
    }
}

static void on_opened(void *arg, struct link *link) {
    (void)arg;
    greet(link);
}

static void on_broken(void *arg, struct link *link, const char *why) {
    (void)arg, (void)link;
    fail(why);
}

static void on_closed(void *arg, struct link *link, const char *why) {
    struct device *device = arg;
    (void)link, (void)why;
    device->load->closed++;
}

static void on_oddity(void *arg, struct link *link, bool rejected, const char *what) {
    (void)arg, (void)link, (void)rejected, (void)what;
}

/* ---- connections ---- */

static void until(struct load *load, const size_t *count, size_t wanted) {
    while (*count < wanted && load->refused == 0) {
        uv_run(&load->loop, UV_RUN_ONCE);
        clock_update(&load->clock);
    }
    if (load->refused > 0)
        fail("the server refuses");
}

static void open_load(struct load *load, uint16_t port, bool over_tls) {
    const struct stream_options options = {.max_message = 16384, .max_partial_bytes = 1 << 20};
    const struct stream_handlers handlers = {
        .opened = on_opened, .received = on_received, .broken = on_broken, .closed = on_closed, .oddity = on_oddity};
    const struct tls_handlers none = {.psk = NULL};
    *load = (struct load){.server = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}, .port = port}};
    load->listener.transport = over_tls ? LINK_TLS : LINK_TCP;
    uv_loop_init(&load->loop);
    clock_init(&load->clock, 0);
    timer_wheel_init(&load->wheel, clock_now_ms(&load->clock), NULL);
    for (size_t i = 0; i < DEVICES; i++) {
        struct device *device = &load->devices[i];
        const char *problem;
        struct dtls_client_params params;
        device->load = load;
        snprintf(device->name, sizeof device->name, "%c%zu", over_tls ? 's' : 'p', i);
        device->streams = streams_new(&load->loop, &options, &handlers, device, &load->clock, &load->wheel);
        if (!over_tls)
            continue;
        dtls_client_params_default(&params);
        params.suite = cipher_suite_find(0x00a8);
        params.identity = slice_str(device->name);
        params.key = slice_str(key);
        params.resume = true;
        device->tls = tls_new_client(&load->loop, &load->clock, &load->wheel, &params, &none, NULL, &problem);
        if (device->tls == NULL)
            fail(problem);
        streams_serve_tls(device->streams, device->tls);
    }
}

static struct link *dial(struct device *device) {
    struct load *load = device->load;
    struct link *link = stream_connect(device->streams, &load->listener, &load->server, LINK_STREAM_8323);
    if (link == NULL)
        fail("connect");
    return link;
}

/* ---- what is measured ---- */

static void measure_updates(pid_t pid, uint16_t port, bool over_tls, size_t updates) {
    static struct load load;
    open_load(&load, port, over_tls);
    for (size_t i = 0; i < DEVICES; i++)
        load.devices[i].link = dial(&load.devices[i]);
    until(&load, &load.open, DEVICES);
    for (size_t i = 0; i < DEVICES; i++)
        ask(&load.devices[i]);
    until(&load, &load.done, DEVICES);
    load.done = 0;
    load.to_send = updates - DEVICES * WINDOW;
    uint64_t start = now_ns(CLOCK_MONOTONIC), cpu = cpu_ns_of(pid);
    for (size_t i = 0; i < DEVICES * WINDOW; i++)
        ask(&load.devices[i % DEVICES]);
    until(&load, &load.done, updates);
    double took = (double)(now_ns(CLOCK_MONOTONIC) - start), used = (double)(cpu_ns_of(pid) - cpu);
    printf("{\"bench\":\"tls\",\"updates_over\":\"%s\",\"updates_per_s\":%.0f,\"cpu_us_per_update\":%.2f}\n",
           over_tls ? "tls" : "tcp", (double)updates * 1e9 / took, used / (double)updates / 1000);
    fflush(stdout);
}

static void measure_idle(pid_t pid, uint16_t port, size_t count) {
    static struct load load;
    open_load(&load, port, true);
    dial(&load.devices[0]);
    until(&load, &load.open, 1);
    size_t before = resident_bytes_of(pid);
    uint64_t start = now_ns(CLOCK_MONOTONIC), cpu = cpu_ns_of(pid);
    for (size_t i = 1; i <= count; i++) {
        dial(&load.devices[i % DEVICES]);
        until(&load, &load.open, i + 1 > OPENING ? i + 1 - OPENING : 0);
    }
    until(&load, &load.open, count + 1);
    double took = (double)(now_ns(CLOCK_MONOTONIC) - start), used = (double)(cpu_ns_of(pid) - cpu);
    printf("{\"bench\":\"tls\",\"idle_connections\":%zu,\"memory_per_connection\":%.0f,\"connections_per_s\":%.0f,"
           "\"cpu_us_per_connection\":%.0f}\n",
           count, ((double)resident_bytes_of(pid) - (double)before) / (double)count, (double)count * 1e9 / took,
           used / (double)count / 1000);
    fflush(stdout);
}

/* All at once, with sessions to resume. */
static void measure_storm(pid_t pid, uint16_t port, size_t count) {
    static struct load load;
    open_load(&load, port, true);
    for (size_t i = 0; i < DEVICES; i++)
        load.devices[i].link = dial(&load.devices[i]);
    until(&load, &load.open, DEVICES);
    for (size_t i = 0; i < DEVICES; i++) /* its answer comes behind the ticket */
        ask(&load.devices[i]);
    until(&load, &load.done, DEVICES);
    uint64_t start = now_ns(CLOCK_MONOTONIC), cpu = cpu_ns_of(pid);
    for (size_t i = 0; i < count; i++)
        dial(&load.devices[i % DEVICES]);
    until(&load, &load.open, DEVICES + count);
    double took = (double)(now_ns(CLOCK_MONOTONIC) - start), used = (double)(cpu_ns_of(pid) - cpu);
    printf("{\"bench\":\"tls\",\"storm_of\":%zu,\"all_back_ms\":%.0f,\"cpu_us_per_device\":%.0f,\"closed\":%zu}\n",
           count, took / 1e6, used / (double)count / 1000, load.closed);
    fflush(stdout);
}

int main(int argc, char **argv) {
    char data[] = "/tmp/berth-bench-XXXXXX", tcp[64], tls[64], psk[DEVICES][64];
    const char *options[16 + 2 * DEVICES] = {"--listen", tcp,  "--listen",           tls, "--http", "off",
                                             "--data",   data, "--tcp-idle-timeout", "0"};
    size_t updates = argc > 1 ? strtoul(argv[1], NULL, 10) : 50000;
    size_t idle = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
    size_t storm = argc > 3 ? strtoul(argv[3], NULL, 10) : 2000;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    pin(1);
    if (mkdtemp(data) == NULL)
        fail("mkdtemp");
    uint16_t port = port_for(getpid());
    snprintf(tcp, sizeof tcp, "coap+tcp://127.0.0.1:%u", port);
    snprintf(tls, sizeof tls, "coaps+tcp://127.0.0.1:%u", port + 1);
    for (size_t i = 0; i < DEVICES; i++) {
        snprintf(psk[i], sizeof psk[i], "s%zu:7369787465656e2062797465206b6579", i);
        options[10 + 2 * i] = "--psk";
        options[11 + 2 * i] = psk[i];
    }
    pid_t pid = start_and_wait(options);
    measure_updates(pid, port, false, updates);
    measure_updates(pid, (uint16_t)(port + 1), true, updates);
    measure_storm(pid, (uint16_t)(port + 1), storm);
    measure_idle(pid, (uint16_t)(port + 1), idle);
    stop_process(pid, SIGTERM);
    remove_directory(data);
    return 0;
}
