/* A conversation with the whole server: two clients of HTTP, who may ask everything of its three APIs, and a device, which
 * is registered and has a credential when the input begins. The API key is "k", the device's name "d".
 *
 * The input is steps, each ended by 0xf7 (0xf8 before a byte: it is meant as it is). The first byte says what, by its
 * lower three bits, as the digits do:
 *   0, 1  what follows is sent over the first or the second connection, which is made when there is none
 *   2     the client of that number has said everything
 *   3     it hangs up
 *   4     what follows is a datagram from the device
 *   5     the device answers what it was asked last: a byte whose lower two bits are the type, the code, and then the rest
 *         of the message as it is
 *   6     time leaps by the cube of the next byte, in milliseconds
 *   7     the client of that number reads nothing more, or does again
 * Whatever comes, each request is answered once, or its connection is closed, and nothing is left of any. */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/started.h"

enum {
    CLIENTS = 2,
    STEPS_MAX = 64,
    STEP_MAX = 8192,
    END = 0xf7,
    LITERAL = 0xf8,
    TOKEN_MAX = 8,
    REPLY_MAX = STEP_MAX + 4 + TOKEN_MAX,
    LAST_LEAP_MS = 4 * 3600 * 1000, /* longer than anybody waits */
};

static const uint64_t patience_ns = 8000000000; /* less than libFuzzer's time-out */

struct link *__wrap_udp_link(struct udp *udp, struct listener *listener, const struct address *peer,
                             const struct address *local);
int __real_uv_spawn(uv_loop_t *loop, uv_process_t *process, const uv_process_options_t *options);
int __wrap_uv_spawn(uv_loop_t *loop, uv_process_t *process, const uv_process_options_t *options);
void __real_http_respond(struct http_request *request, const struct http_response *response);
void __wrap_http_respond(struct http_request *request, const struct http_response *response);

static struct client {
    int fd;
    bool is_open, has_ended, is_deaf;
    bool is_plain; /* its first byte is none of TLS */
    size_t heard;  /* bytes, of which the first ones are looked at */
} clients[CLIENTS];

static struct device {
    struct link *link;
    bool is_asked; /* by the server, this: */
    uint16_t mid;
    uint8_t token[TOKEN_MAX];
    size_t token_len;
    uint16_t next_mid; /* of its own messages */
} device;

static struct slice input;

/* ---- the device ---- */

static int take_sent(struct link *link, struct slice bytes) {
    struct coap_message message;
    require(coap_decode(bytes, &message) == COAP_DECODE_OK);
    link_tell_watcher(link, true, bytes, bytes.len);
    if (message.code == 0 || message.code >> 5 != 0)
        return 0;
    device.is_asked = true;
    device.mid = message.mid;
    device.token_len = message.token.len;
    memcpy(device.token, message.token.len == 0 ? device.token : message.token.data, message.token.len);
    return 0;
}

static void released(struct link *link) {
    device.link = NULL;
    free(link);
}

static const struct link_ops ops = {.send = take_sent, .release = released};

static void make_link(struct listener *listener) {
    device.link = calloc(1, sizeof *device.link);
    require(device.link != NULL);
    *device.link = (struct link){.ops = &ops,
                                 .listener = listener,
                                 .peer = {.family = ADDRESS_IPV4, .port = 40000, .ip = {127, 0, 0, 1}},
                                 .refs = 1};
}

/* Where the registration is read that each input finds. */
struct link *__wrap_udp_link(struct udp *udp, struct listener *listener, const struct address *peer,
                             const struct address *local) {
    (void)udp, (void)peer, (void)local;
    if (device.link == NULL)
        make_link(listener);
    return link_ref(device.link);
}

static void give(struct server *server, struct slice message) {
    clock_update(&server->clock);
    link_tell_watcher(device.link, false, message, message.len);
    server_receive(server, device.link, message);
}

static void reply(struct server *server, struct slice step) {
    uint8_t memory[REPLY_MAX];
    struct buffer message = buffer_over(memory, sizeof memory);
    if (!device.is_asked || step.len < 2)
        return;
    unsigned type = step.data[0] & 3;
    bool is_empty = step.data[1] == 0;
    buffer_put_u8(&message, (uint8_t)(0x40 | type << 4 | (is_empty ? 0 : device.token_len)));
    buffer_put_u8(&message, step.data[1]);
    buffer_put_u16(&message, type >= COAP_ACK ? device.mid : device.next_mid++);
    if (!is_empty) {
        buffer_put_slice(&message, slice_of(device.token, device.token_len));
        buffer_put_slice(&message, slice_from(step, 2));
    }
    give(server, buffer_slice(&message));
}

/* ---- the clients ---- */

static void open_client(struct web *web, struct client *client) {
    int pair[2], size = 1 << 16;
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    *client = (struct client){.fd = pair[1], .is_open = true};
    http_adopt(web->listeners[0].http, pair[0], &device.link->peer, SLICE_NONE);
}

static void close_client(struct client *client) {
    if (client->is_open)
        close(client->fd);
    *client = (struct client){0};
}

static void hear(struct client *client, struct slice bytes) {
    static const char version[] = "HTTP/1.1 ";
    for (size_t i = 0; client->is_plain && i < bytes.len && client->heard < sizeof version - 1; i++)
        require(bytes.data[i] == (uint8_t)version[client->heard++]);
}

static void listen_to_server(void) {
    static uint8_t bytes[65536];
    for (struct client *client = clients; client < clients + CLIENTS; client++) {
        ssize_t len = 0;
        while (client->is_open && !client->is_deaf && (len = recv(client->fd, bytes, sizeof bytes, 0)) > 0)
            hear(client, slice_of(bytes, (size_t)len));
    }
}

/* Until all is committed that anybody waits for. */
static void settle(struct server *server) {
    turn();
    listen_to_server();
    for (uint64_t begun = uv_hrtime(); store_counters(server->store).queued_writes > 0;) {
        require(uv_hrtime() - begun < patience_ns);
        turn();
        listen_to_server();
    }
    turn();
    listen_to_server();
}

static void say(struct web *web, struct client *client, struct slice bytes) {
    if (!client->is_open)
        open_client(web, client);
    if (client->has_ended)
        return;
    if (client->heard == 0 && bytes.len > 0 && !client->is_plain)
        client->is_plain = bytes.data[0] != 0x16;
    (void)!send(client->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
}

static void end_client(struct client *client) {
    if (client->is_open && !client->has_ended)
        shutdown(client->fd, SHUT_WR);
    client->has_ended = true;
}

/* ---- what is wrapped ---- */

/* A scenario may start devices: the system refuses, before there is any process. */
int __wrap_uv_spawn(uv_loop_t *loop, uv_process_t *process, const uv_process_options_t *options) {
    uv_stdio_container_t nothing = {.flags = UV_INHERIT_FD, .data.fd = -1};
    uv_process_options_t refused = *options;
    refused.stdio = &nothing;
    refused.stdio_count = 1;
    return __real_uv_spawn(loop, process, &refused);
}

/* A request that was answered has no path any more. */
void __wrap_http_respond(struct http_request *request, const struct http_response *response) {
    require(response->status >= 100 && response->status < 600);
    require(request->internal != NULL || request->path.data != NULL || response->status >= 400);
    __real_http_respond(request, response);
}

/* ---- the conversation ---- */

static void note_leapt(void *arg, uint64_t fired) {
    (void)fired;
    *(bool *)arg = true;
}

static void leap(struct server *server, uint64_t by_ms) {
    bool is_done = false;
    require(server_leap(server, by_ms, note_leapt, &is_done));
    for (uint64_t begun = uv_hrtime(); !is_done; uv_run(&started.loop, UV_RUN_NOWAIT))
        require(uv_hrtime() - begun < patience_ns);
}

static struct client *client_of(struct slice step) {
    return &clients[step.len == 0 ? 0 : step.data[0] % CLIENTS];
}

static void do_step(struct web *web, struct slice step) {
    unsigned what = step.data[0] & 7;
    step = slice_from(step, 1);
    uint64_t by = step.len == 0 ? 1 : step.data[0];
    if (what < CLIENTS)
        say(web, &clients[what], step);
    else if (what == 2)
        end_client(client_of(step));
    else if (what == 3)
        close_client(client_of(step));
    else if (what == 4)
        give(web->server, step);
    else if (what == 5)
        reply(web->server, step);
    else if (what == 6)
        leap(web->server, by * by * by);
    else
        client_of(step)->is_deaf = !client_of(step)->is_deaf;
    settle(web->server);
}

/* Into `memory` of STEP_MAX bytes; an empty one when there is none any more. */
static struct slice next_step(uint8_t *memory) {
    struct buffer step = buffer_over(memory, STEP_MAX);
    size_t at = 0;
    while (at < input.len && input.data[at] != END) {
        at += input.data[at] == LITERAL && at + 1 < input.len;
        if (step.len < STEP_MAX)
            buffer_put_u8(&step, input.data[at]);
        at++;
    }
    input = slice_from(input, at < input.len ? at + 1 : at);
    return buffer_slice(&step);
}

static void do_steps(struct web *web) {
    uint8_t memory[STEP_MAX];
    for (int steps = 0; steps < STEPS_MAX && input.len > 0; steps++) {
        struct slice step = next_step(memory);
        if (step.len > 0)
            do_step(web, step);
    }
    for (size_t i = 0; i < CLIENTS; i++)
        close_client(&clients[i]);
    settle(web->server);
}

static bool is_over(const struct web *web) {
    return http_counters(web->listeners[0].http)->connections == 0 && web->waiting == 0;
}

static void converse(struct web *web) {
    do_steps(web);
    leap(web->server, LAST_LEAP_MS);
    settle(web->server);
    for (uint64_t begun = uv_hrtime(); !is_over(web); settle(web->server)) /* keys are made on a thread */
        require(uv_hrtime() - begun < patience_ns);
    link_unref(device.link);
}

/* ---- what each input finds ---- */

static void begin(struct web *web) {
    static const char first[] = "4\x40\x02\0\1\xb2rd\x11(4ep=d\x08lt=86400\x09lwm2m=1.1\x03"
                                "b=U\xff</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542 11543\",</1/0>,</3/0>,</5/0>,</19>"
                                "\xf7"
                                "0PUT /v1/credentials/e HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\n"
                                "Content-Type: application/json\r\nContent-Length: 35\r\n\r\n"
                                "{\"mode\":\"psk\",\"key_hex\":\"00112233\"}";
    make_link(&web->server->listeners[0]);
    input = slice_of(first, sizeof first - 1);
    do_steps(web);
    require(http_counters(web->listeners[0].http)->responses[201] == 1);
    require(directory_find(web->server->directory, slice_str("d")) != NULL);
    link_unref(device.link);
}

static void start_web(void) {
    static const char *const argv[] = {"berth-server",
                                       "--listen=coap://127.0.0.1:0",
                                       "--listen=coaps://127.0.0.1:0",
                                       "--http=http://127.0.0.1:0",
                                       "--trace-memory=256K",
                                       "--event-memory=64K",
                                       "--hostname=localhost",
                                       "--api-key=k",
                                       NULL};
    signal(SIGPIPE, SIG_IGN); /* as the program has it */
    start("fuzz_web", sizeof argv / sizeof argv[0] - 1, argv, begin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char error[512] = "";
    if (started.db == NULL)
        start_web();
    execute("BEGIN IMMEDIATE");
    empty_tables();
    execute("COMMIT");
    input = slice_of(data, size);
    device.is_asked = false;
    device.next_mid = 1000;
    require(run_server(converse, error));
    require(device.link == NULL);
    return 0;
}
