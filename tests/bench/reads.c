/* Reads of a resource, end to end: a client asks over HTTP, the server asks a played device over CoAP and answers. The
 * same Reads are begun in the server's own process by operation_start, without HTTP and JSON, so that the ratio tells
 * what these cost. Prints one JSON line.
 *
 * usage: reads [reads]      default: 100000 */
#include "common/coap/option.h"
#include "server/config.h"
#include "server/operation.h"
#include "tests/bench/http_client.h"

enum { DEVICES = 64, CONNECTIONS = 32, BYTES_OF_A_READ = 16 };

struct load {
    struct devices devices;
    struct outbox out;
    size_t registered;
};

static void post_message(struct load *load, size_t index, const struct coap_message *message) {
    uint8_t bytes[DATAGRAM_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    if (!coap_encode(message, &out))
        fail("encode");
    post(&load->devices, &load->out, index, buffer_slice(&out));
}

static void post_register(struct load *load, size_t index) {
    struct coap_message message;
    struct coap_uint format;
    char ep[32];
    snprintf(ep, sizeof ep, "ep=bench-%zu", index);
    coap_message_init(&message, COAP_CON, COAP_POST, (uint16_t)index, slice_str("r"));
    coap_option_add(&message, COAP_URI_PATH, slice_str("rd"));
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
    coap_option_add(&message, COAP_URI_QUERY, slice_str(ep));
    coap_option_add(&message, COAP_URI_QUERY, slice_str("lwm2m=1.1"));
    message.payload = slice_str("</3/0>");
    post_message(load, index, &message);
}

static void take(void *arg, size_t index, struct slice datagram) {
    struct load *load = arg;
    struct coap_message message, answer;
    struct coap_uint format;
    if (coap_decode(datagram, &message) != COAP_DECODE_OK)
        return;
    if (message.code == COAP_2_01_CREATED)
        load->registered++;
    if (message.code != COAP_GET)
        return;
    coap_message_init(&answer, COAP_ACK, COAP_2_05_CONTENT, message.mid, message.token);
    coap_option_add_uint(&answer, COAP_CONTENT_FORMAT, COAP_FORMAT_TEXT, &format);
    answer.payload = slice_str("95");
    post_message(load, index, &answer);
}

static void play(struct load *load) {
    collect(&load->devices, take, load);
    flush(&load->devices, &load->out);
}

/* The server may still be starting: a Register is repeated until it is answered. */
static void register_all(struct load *load, uint16_t port) {
    *load = (struct load){.devices = open_devices(port)};
    for (size_t index = 0; index < DEVICES; index++) {
        for (size_t tries = 0; load->registered <= index; tries++) {
            if (tries == 1000)
                fail("the server does not answer");
            post_register(load, index);
            flush(&load->devices, &load->out);
            wait_readable(load->devices.fd, 10);
            play(load);
        }
    }
}

struct round {
    double seconds, cpu_us;
};

/* ---- over HTTP ---- */

static struct round over_http(size_t total) {
    static struct load load;
    static struct http_connection http[CONNECTIONS];
    struct pollfd fds[CONNECTIONS + 1];
    uint16_t port = port_for(getpid()), http_port = (uint16_t)(port + HTTP_PORTS);
    char data[] = "/tmp/berth-bench-XXXXXX", uri[64], target[64];
    if (mkdtemp(data) == NULL)
        fail("mkdtemp");
    snprintf(uri, sizeof uri, "http://127.0.0.1:%u", http_port);
    pid_t server = start_server(data, port, uri);
    register_all(&load, port);
    size_t asked = 0, answered = 0;
    uint64_t start = now_ns(CLOCK_MONOTONIC), cpu = cpu_ns_of(server);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        http_connect(&http[i], http_port);
        fds[i] = (struct pollfd){http[i].fd, POLLIN, 0};
        snprintf(target, sizeof target, "/v1/devices/bench-%zu/3/0/9", asked++ % DEVICES);
        http_ask(&http[i], "GET", target);
    }
    fds[CONNECTIONS] = (struct pollfd){load.devices.fd, POLLIN, 0};
    while (answered < total) {
        poll(fds, CONNECTIONS + 1, 1000);
        if (fds[CONNECTIONS].revents != 0)
            play(&load);
        for (size_t i = 0; i < CONNECTIONS; i++) {
            if (fds[i].revents == 0 || !http_answered(&http[i], 200))
                continue;
            answered++;
            snprintf(target, sizeof target, "/v1/devices/bench-%zu/3/0/9", asked++ % DEVICES);
            http_ask(&http[i], "GET", target);
        }
    }
    struct round round = {(double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9,
                          (double)(cpu_ns_of(server) - cpu) / 1e3 / (double)total};
    for (size_t i = 0; i < CONNECTIONS; i++)
        close(http[i].fd);
    close(load.devices.fd);
    stop_process(server, SIGTERM);
    remove_directory(data);
    return round;
}

/* ---- in the process of the server ---- */

struct inside {
    struct server *server;
    uv_check_t check; /* begins when all devices are there */
    size_t total, asked, answered;
    uint64_t start_ns, cpu_ns;
};

static void ask(struct inside *inside);

static void on_answered(void *arg, const struct operation_result *result) {
    struct inside *inside = arg;
    if (result->outcome != OPERATION_ANSWERED)
        fail("a read was not answered");
    if (++inside->answered == inside->total)
        uv_stop(inside->server->loop);
    else if (inside->asked < inside->total)
        ask(inside);
}

static void ask(struct inside *inside) {
    char endpoint[32];
    enum operation_refusal refusal;
    int len = snprintf(endpoint, sizeof endpoint, "bench-%zu", inside->asked++ % DEVICES);
    const struct operation_request request = {.method = COAP_GET,
                                              .path = slice_str("/3/0/9"),
                                              .accept = COAP_FORMAT_TEXT,
                                              .content_format = COAP_FORMAT_NONE};
    if (operation_start(inside->server, slice_of(endpoint, (size_t)len), &request, on_answered, inside, &refusal) ==
        NULL)
        fail("operation_start");
}

static void on_check(uv_check_t *check) {
    struct inside *inside = check->data;
    if (directory_count(inside->server->directory) < DEVICES)
        return;
    uv_check_stop(check);
    inside->start_ns = now_ns(CLOCK_MONOTONIC);
    inside->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    while (inside->asked < CONNECTIONS)
        ask(inside);
}

static void serve(uint16_t port, const char *data, size_t total, int results) {
    char listen[64], error[256];
    struct config config;
    struct catalogue catalogue = {0};
    struct inside inside = {.total = total};
    uv_loop_t loop;
    snprintf(listen, sizeof listen, "coap://127.0.0.1:%u", port);
    const char *const arguments[] = {"reads",  "--listen", listen,        "--http", "off",
                                     "--data", data,       "--log-level", "error"};
    pin(0);
    uv_loop_init(&loop);
    if (config_parse(&config, sizeof arguments / sizeof arguments[0], (char **)(uintptr_t)arguments) != CONFIG_RUN)
        fail("config_parse");
    inside.server = server_start(&loop, &config, &catalogue, error, sizeof error);
    if (inside.server == NULL)
        fail(error);
    uv_check_init(&loop, &inside.check);
    inside.check.data = &inside;
    uv_check_start(&inside.check, on_check);
    uv_run(&loop, UV_RUN_DEFAULT);
    struct round round = {
        (double)(now_ns(CLOCK_MONOTONIC) - inside.start_ns) / 1e9,
        (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - inside.cpu_ns) / 1e3 / (double)total,
    };
    if (write(results, &round, sizeof round) != sizeof round)
        fail("write");
    uv_close((uv_handle_t *)&inside.check, NULL);
    server_stop(inside.server);
    catalogue_free(&catalogue);
}

static struct round in_process(size_t total) {
    static struct load load;
    uint16_t port = (uint16_t)(port_for(getpid()) + 1);
    char data[] = "/tmp/berth-bench-XXXXXX";
    struct round round = {0};
    int results[2];
    if (mkdtemp(data) == NULL || pipe(results) != 0)
        fail("mkdtemp");
    pid_t server = fork();
    if (server == 0) {
        serve(port, data, total, results[1]);
        _exit(0);
    }
    register_all(&load, port);
    struct pollfd fds[] = {{load.devices.fd, POLLIN, 0}, {results[0], POLLIN, 0}};
    while (fds[1].revents == 0) {
        poll(fds, 2, 1000);
        play(&load);
    }
    if (read(results[0], &round, sizeof round) != sizeof round)
        fail("the server has ended");
    close(load.devices.fd);
    waitpid(server, NULL, 0);
    remove_directory(data);
    return round;
}

int main(int argc, char **argv) {
    size_t total = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    pin(1);
    struct round inside = in_process(total), http = over_http(total);
    double echo_us = measure_echo_ns(BYTES_OF_A_READ, 100000) / 1e3;
    printf("{\"bench\":\"reads\",\"reads\":%zu,\"per_s_over_http\":%.0f,\"per_s_in_process\":%.0f,"
           "\"cpu_us_over_http\":%.2f,\"cpu_us_in_process\":%.2f,\"cpu_us_per_echo\":%.2f,\"http_to_in_process\":%.2f,"
           "\"http_to_echo\":%.2f,\"in_process_to_echo\":%.2f}\n",
           total, (double)total / http.seconds, (double)total / inside.seconds, http.cpu_us, inside.cpu_us, echo_us,
           http.cpu_us / inside.cpu_us, http.cpu_us / echo_us, inside.cpu_us / echo_us);
    return 0;
}
