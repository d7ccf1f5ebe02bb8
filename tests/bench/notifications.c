/* Notifications, end to end: starts the berth-server of $BERTH_BUILD, plays devices that are observed and tell values
 * with confirmable notifications, and takes them from the server as Server-Sent Events. Prints one JSON line: how many
 * arrive in a second, and what one costs the server in CPU time, also as a multiple of a bare UDP echo; with a client
 * that listens, and without one.
 *
 * usage: notifications [devices [notifications]]      default: 1000 200000 */
#include "common/coap/option.h"
#include "tests/bench/http_client.h"

enum { WINDOW = 128, ENDPOINT_MAX = 32, TIMEOUT_MS = 5000 };

struct device {
    uint8_t token[8], token_len;
    uint16_t mid;
    uint32_t sequence;
    bool registered;
};

struct load {
    struct devices devices;
    struct outbox out;
    struct device *each;
    size_t count, registered, under_way, acknowledged;
};

static size_t post_message(struct load *load, size_t index, const struct coap_message *message) {
    uint8_t bytes[DATAGRAM_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    if (!coap_encode(message, &out))
        fail("encode");
    post(&load->devices, &load->out, index, buffer_slice(&out));
    return out.len;
}

static void post_register(struct load *load, size_t index) {
    struct coap_message message;
    struct coap_uint format;
    char ep[ENDPOINT_MAX];
    snprintf(ep, sizeof ep, "ep=bench-%zu", index);
    coap_message_init(&message, COAP_CON, COAP_POST, ++load->each[index].mid, slice_str("r"));
    coap_option_add(&message, COAP_URI_PATH, slice_str("rd"));
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
    coap_option_add(&message, COAP_URI_QUERY, slice_str(ep));
    coap_option_add(&message, COAP_URI_QUERY, slice_str("lwm2m=1.1"));
    message.payload = slice_str("</3/0>");
    post_message(load, index, &message);
}

static size_t post_notification(struct load *load, size_t index, enum coap_type type, uint16_t mid) {
    struct device *device = &load->each[index];
    struct coap_message message;
    struct coap_uint observe, format;
    char value[16];
    snprintf(value, sizeof value, "%u", 50 + device->sequence % 50);
    coap_message_init(&message, type, COAP_2_05_CONTENT, mid, slice_of(device->token, device->token_len));
    coap_option_add_uint(&message, COAP_OBSERVE, ++device->sequence, &observe);
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_TEXT, &format);
    message.payload = slice_str(value);
    return post_message(load, index, &message);
}

static void take(void *arg, size_t index, struct slice datagram) {
    struct load *load = arg;
    struct coap_message message;
    if (index >= load->count || coap_decode(datagram, &message) != COAP_DECODE_OK)
        return;
    struct device *device = &load->each[index];
    if (message.code == COAP_2_01_CREATED) {
        load->registered += !device->registered;
        device->registered = true;
    } else if (message.code == COAP_GET) {
        device->token_len = (uint8_t)message.token.len;
        memcpy(device->token, message.token.data, message.token.len);
        post_notification(load, index, COAP_ACK, message.mid);
        flush(&load->devices, &load->out);
    } else if (message.type == COAP_ACK) {
        load->under_way--;
        load->acknowledged++;
    } else {
        fprintf(stderr, "bench: the server has answered a notification with type %d\n", (int)message.type);
        exit(1);
    }
}

static void register_all(struct load *load) {
    for (uint64_t end = now_ns(CLOCK_MONOTONIC) + 10000000000u; load->registered == 0;) { /* the server is starting */
        post_register(load, 0);
        flush(&load->devices, &load->out);
        wait_readable(load->devices.fd, 10);
        collect(&load->devices, take, load);
        if (now_ns(CLOCK_MONOTONIC) > end)
            fail("the server does not answer");
    }
    for (size_t next = 1; load->registered < load->count;) {
        for (; next < load->count && next - load->registered < WINDOW; next++)
            post_register(load, next);
        flush(&load->devices, &load->out);
        if (collect(&load->devices, take, load) == 0)
            wait_readable(load->devices.fd, 10);
    }
}

static void observe_all(struct load *load, uint16_t http_port) {
    static struct http_connection http;
    char target[128];
    http_connect(&http, http_port);
    for (size_t i = 0; i < load->count; i++) {
        snprintf(target, sizeof target, "/v1/devices/bench-%zu/3/0/9/observe?format=text", i);
        http_ask(&http, "PUT", target);
        while (!http_answered(&http, 200)) {
            struct pollfd both[] = {{http.fd, POLLIN, 0}, {load->devices.fd, POLLIN, 0}};
            poll(both, 2, 100);
            collect(&load->devices, take, load);
        }
    }
    close(http.fd);
}

/* How many events have begun in what has come. */
static size_t count_events(int fd) {
    static char bytes[1 << 20];
    static const char mark[] = "\nevent: notification\n";
    static size_t matched = 0;
    size_t count = 0;
    ssize_t got;
    while ((got = read(fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            matched = bytes[i] == mark[matched] ? matched + 1 : bytes[i] == mark[0] ? 1 : 0;
            if (mark[matched] == '\0') {
                count++;
                matched = 1; /* its last line feed may begin the next one */
            }
        }
    }
    if (got == 0)
        fail("the stream of events has ended");
    return count;
}

struct round {
    double seconds, cpu_us;
    size_t events, bytes;
};

/* `events` is -1 when nobody listens. */
static struct round run(struct load *load, size_t total, pid_t server, int events) {
    struct round round = {0};
    uint64_t start = now_ns(CLOCK_MONOTONIC), last = start, cpu = cpu_ns_of(server);
    load->acknowledged = 0;
    for (size_t sent = 0; load->acknowledged < total || (events >= 0 && round.events < total);) {
        size_t before = load->acknowledged + round.events;
        for (size_t n = 0; n < DATAGRAM_BATCH && sent < total && load->under_way < WINDOW; n++, sent++) {
            size_t index = sent % load->count;
            round.bytes = post_notification(load, index, COAP_CON, ++load->each[index].mid);
            load->under_way++;
        }
        flush(&load->devices, &load->out);
        collect(&load->devices, take, load);
        if (events >= 0)
            round.events += count_events(events);
        uint64_t now = now_ns(CLOCK_MONOTONIC);
        if (load->acknowledged + round.events > before)
            last = now;
        else if (now - last > (uint64_t)TIMEOUT_MS * 1000000)
            fail("notifications have been lost");
        else if (load->under_way == WINDOW || sent == total)
            wait_readable(load->devices.fd, 1);
    }
    round.seconds = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
    round.cpu_us = (double)(cpu_ns_of(server) - cpu) / 1e3 / (double)total;
    return round;
}

int main(int argc, char **argv) {
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000, total = argc > 2 ? strtoul(argv[2], NULL, 10) : 200000;
    uint16_t port = port_for(getpid()), http_port = (uint16_t)(port + HTTP_PORTS);
    char data[] = "/tmp/berth-bench-XXXXXX", http[64];
    static struct load load;
    static struct http_connection stream;
    if (mkdtemp(data) == NULL || count == 0 || count > 60000)
        fail("mkdtemp");
    pin(1);
    snprintf(http, sizeof http, "http://127.0.0.1:%u", http_port);
    pid_t server = start_server(data, port, http);
    load.devices = open_devices(port);
    load.count = count;
    load.each = calloc(count, sizeof *load.each);
    register_all(&load);
    observe_all(&load, http_port);

    run(&load, total / 10, server, -1);
    struct round alone = run(&load, total, server, -1);
    http_connect(&stream, http_port);
    http_ask(&stream, "GET", "/v1/events?types=notification");
    while (!http_answered(&stream, 200))
        wait_readable(stream.fd, 100);
    struct round heard = run(&load, total, server, stream.fd);
    double echo_us = measure_echo_ns(alone.bytes, 100000) / 1e3;
    printf(
        "{\"bench\":\"notifications\",\"devices\":%zu,\"notifications\":%zu,\"bytes\":%zu,"
        "\"per_s_to_the_log\":%.0f,\"per_s_to_a_client\":%.0f,\"cpu_us_to_the_log\":%.2f,\"cpu_us_to_a_client\":%.2f,"
        "\"cpu_us_per_echo\":%.2f,\"log_to_echo\":%.2f,\"client_to_echo\":%.2f}\n",
        count, total, alone.bytes, (double)total / alone.seconds, (double)total / heard.seconds, alone.cpu_us,
        heard.cpu_us, echo_us, alone.cpu_us / echo_us, heard.cpu_us / echo_us);
    stop_process(server, SIGTERM);
    remove_directory(data);
    free(load.each);
    return 0;
}
