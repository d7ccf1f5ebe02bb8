/* Reads of a device that is in memory, over HTTP, beside a server of llhttp and libuv alone: it parses the same requests and
 * answers with the same bytes, and does nothing else. The two take turns on core 0, over connections that are kept. Prints
 * one JSON line of medians.
 *
 * usage: http [requests [connections]]      default: 200000 32 */
#include <llhttp.h>

#include "common/coap/option.h"
#include "tests/bench/http_client.h"

enum { ROUNDS = 5, CONNECTIONS_MAX = 256, READ_BYTES = 65536 };

/* ---- llhttp alone ---- */

struct bare {
    uv_tcp_t tcp;
    llhttp_t parser;
};

static struct slice bare_answer;
static llhttp_settings_t bare_settings;

static void on_bare_written(uv_write_t *request, int status) {
    (void)status;
    free(request);
}

static int on_bare_message(llhttp_t *parser) {
    struct bare *bare = parser->data;
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)bare_answer.data, (unsigned)bare_answer.len);
    int sent = uv_try_write((uv_stream_t *)&bare->tcp, &out, 1);
    if (sent == (int)bare_answer.len)
        return 0;
    uv_write_t *request = malloc(sizeof *request);
    out = uv_buf_init(out.base + (sent > 0 ? sent : 0), (unsigned)bare_answer.len - (unsigned)(sent > 0 ? sent : 0));
    return uv_write(request, (uv_stream_t *)&bare->tcp, &out, 1, on_bare_written);
}

static void on_bare_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
    static char memory[READ_BYTES];
    (void)handle, (void)size;
    *buf = uv_buf_init(memory, sizeof memory);
}

static void on_bare_closed(uv_handle_t *handle) {
    free(handle);
}

static void on_bare_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf) {
    struct bare *bare = (struct bare *)(void *)stream;
    if (len < 0 || llhttp_execute(&bare->parser, buf->base, (size_t)len) != HPE_OK)
        uv_close((uv_handle_t *)stream, on_bare_closed);
}

static void on_bare_connection(uv_stream_t *listener, int status) {
    struct bare *bare = calloc(1, sizeof *bare);
    if (status < 0 || bare == NULL)
        fail("a connection fails");
    uv_tcp_init(listener->loop, &bare->tcp);
    llhttp_init(&bare->parser, HTTP_REQUEST, &bare_settings);
    bare->parser.data = bare;
    uv_accept(listener, (uv_stream_t *)&bare->tcp);
    uv_tcp_nodelay(&bare->tcp, 1);
    uv_read_start((uv_stream_t *)&bare->tcp, on_bare_alloc, on_bare_read);
}

static pid_t start_bare(struct slice answer, uint16_t *port) {
    int ends[2];
    if (pipe(ends) != 0)
        fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        uv_loop_t loop;
        uv_tcp_t listener;
        struct sockaddr_in name;
        int len = sizeof name;
        pin(0);
        bare_answer = answer;
        llhttp_settings_init(&bare_settings);
        bare_settings.on_message_complete = on_bare_message;
        uv_loop_init(&loop);
        uv_tcp_init(&loop, &listener);
        uv_ip4_addr("127.0.0.1", 0, &name);
        uv_tcp_bind(&listener, (const struct sockaddr *)&name, 0);
        uv_listen((uv_stream_t *)&listener, CONNECTIONS_MAX, on_bare_connection);
        uv_tcp_getsockname(&listener, (struct sockaddr *)&name, &len);
        uint16_t bound = ntohs(name.sin_port);
        if (write(ends[1], &bound, sizeof bound) != sizeof bound)
            _exit(1);
        uv_run(&loop, UV_RUN_DEFAULT);
        _exit(0);
    }
    if (read(ends[0], port, sizeof *port) != sizeof *port)
        fail("the bare server did not start");
    close(ends[0]);
    close(ends[1]);
    return pid;
}

/* ---- the load ---- */

struct load {
    pid_t server;
    size_t count;
    struct http_connection *http;
};

static struct load open_http(pid_t server, uint16_t port, size_t connections) {
    struct load load = {
        .server = server, .count = connections, .http = calloc(connections, sizeof(struct http_connection))};
    if (load.http == NULL)
        fail("memory");
    for (size_t i = 0; i < connections; i++)
        http_connect(&load.http[i], port);
    return load;
}

/* CPU time of the server for a request, in µs; *per_s: how many were answered in a second. */
static double run(struct load *load, size_t total, double *per_s) {
    static const char target[] = "/v1/devices/bench-device";
    struct pollfd fds[CONNECTIONS_MAX];
    uint64_t cpu = cpu_ns_of(load->server), begun = now_ns(CLOCK_MONOTONIC);
    for (size_t i = 0; i < load->count; i++) {
        fds[i] = (struct pollfd){load->http[i].fd, POLLIN, 0};
        http_ask(&load->http[i], "GET", target);
    }
    for (size_t sent = load->count, done = 0; done < total + load->count;) {
        poll(fds, load->count, 1000);
        for (size_t i = 0; i < load->count; i++) {
            if (fds[i].revents == 0 || !http_answered(&load->http[i], 200))
                continue;
            done++;
            if (sent++ < total + load->count)
                http_ask(&load->http[i], "GET", target);
        }
    }
    *per_s = (double)total * 1e9 / (double)(now_ns(CLOCK_MONOTONIC) - begun);
    return (double)(cpu_ns_of(load->server) - cpu) / (double)(total + load->count) / 1000;
}

static void on_answer(void *arg, size_t device, struct slice datagram) {
    bool *registered = arg;
    (void)device;
    *registered = *registered || (datagram.len > 1 && datagram.data[1] == COAP_2_01_CREATED);
}

static void register_device(uint16_t port) {
    static struct outbox out;
    struct devices devices = open_devices(port);
    struct coap_message message;
    struct coap_uint format;
    uint8_t bytes[256];
    struct buffer buffer = buffer_over(bytes, sizeof bytes);
    bool registered = false;
    coap_message_init(&message, COAP_CON, COAP_POST, 1, slice_str("r"));
    coap_option_add(&message, COAP_URI_PATH, slice_str("rd"));
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
    coap_option_add(&message, COAP_URI_QUERY, slice_str("ep=bench-device"));
    coap_option_add(&message, COAP_URI_QUERY, slice_str("lt=86400"));
    coap_option_add(&message, COAP_URI_QUERY, slice_str("lwm2m=1.1"));
    message.payload = slice_str("</1/0>,</3/0>,</4/0>,</5/0>");
    if (!coap_encode(&message, &buffer))
        fail("encode");
    for (size_t tries = 0; !registered && tries < 100; tries++) {
        post(&devices, &out, 0, buffer_slice(&buffer));
        flush(&devices, &out);
        wait_readable(devices.fd, 100);
        collect(&devices, on_answer, &registered);
    }
    if (!registered)
        fail("the server does not answer");
    close(devices.fd);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[ROUNDS]) {
    qsort(values, ROUNDS, sizeof *values, by_size);
    return values[ROUNDS / 2];
}

int main(int argc, char **argv) {
    static struct http_connection first;
    size_t total = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
    size_t connections = argc > 2 ? strtoul(argv[2], NULL, 10) : 32;
    char data[] = "/tmp/berth-bench-XXXXXX", listen[64], web[64];
    uint16_t port = port_for(getpid()), http_port = (uint16_t)(port + HTTP_PORTS), bare_port;
    double ours_us[ROUNDS], bare_us[ROUNDS], ours_per_s[ROUNDS], bare_per_s[ROUNDS];
    if (connections == 0 || connections > CONNECTIONS_MAX || mkdtemp(data) == NULL)
        fail("1 to 256 connections, and a directory in /tmp");
    pin(1);
    snprintf(listen, sizeof listen, "coap://127.0.0.1:%u", port);
    snprintf(web, sizeof web, "http://127.0.0.1:%u", http_port);
    pid_t server = start_and_wait((const char *const[]){"--listen", listen, "--http", web, "--data", data, NULL});
    register_device(port);
    http_connect(&first, http_port);
    http_ask(&first, "GET", "/v1/devices/bench-device");
    while (!http_answered(&first, 200))
        wait_readable(first.fd, 100);
    pid_t bare = start_bare(slice_of(first.answer, first.len), &bare_port);
    struct load ours = open_http(server, http_port, connections), theirs = open_http(bare, bare_port, connections);
    for (size_t i = 0; i < ROUNDS; i++) {
        bare_us[i] = run(&theirs, total / ROUNDS, &bare_per_s[i]);
        ours_us[i] = run(&ours, total / ROUNDS, &ours_per_s[i]);
    }
    stop_process(bare, SIGKILL);
    stop_process(server, SIGTERM);
    remove_directory(data);
    double mine = median(ours_us), alone = median(bare_us);
    printf("{\"bench\":\"http\",\"answer_bytes\":%zu,\"cpu_us\":%.2f,\"cpu_us_llhttp_alone\":%.2f,"
           "\"to_llhttp_alone\":%.2f,\"per_s\":%.0f,\"per_s_llhttp_alone\":%.0f}\n",
           first.len, mine, alone, mine / alone, median(ours_per_s), median(bare_per_s));
    return 0;
}
