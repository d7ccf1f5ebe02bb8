/* Answers of a web server to a request of ours, as a callback or a scenario has it: the input is what the server sends.
 * Its first byte says how it ends (the lower two bits: not at all, with the end of the stream, with an error, or with a
 * reset while we look) and whether the next request is made as soon as this one is answered (4), or this one is given up
 * after its second piece (8). The pieces of the rest are each behind a byte, which counts sixteen bytes; the last is what
 * is left.
 *
 * Each request is answered once, unless it was given up; what is told is within bounds, and nothing is left of it. */
#include <stdlib.h>

#include "common/net/tcp.h"
#include "web/http_client.h"

enum {
    ENDS = 3,
    END_EOF = 1,
    END_ERROR = 2,
    END_CLOSED = 3,
    ASKS_AGAIN = 4,
    GIVES_UP = 8,
    PIECE = 16,
    GIVEN_UP_AFTER = 2
};

/* What stands for the sockets: a port whose connections open at once. */
struct tcp_port {
    const struct tcp_handlers *handlers;
    void *arg;
    struct tcp_connection *open, *closing;
    bool is_closing;
};

static uv_loop_t loop;
static struct tcp_port *port;
static struct http_client *client;
static unsigned asked, answered, connections;
static bool asks_again;

static void require(bool condition) {
    if (!condition)
        abort();
}

struct tcp_port *__wrap_tcp_port_new(uv_loop_t *on, const struct tcp_handlers *handlers, void *arg);
int __wrap_tcp_connect(struct tcp_port *from, const struct address *peer);
void __wrap_tcp_write(struct tcp_connection *connection, const struct slice *parts, size_t count);
void __wrap_tcp_close(struct tcp_connection *connection);
void __wrap_tcp_port_close(struct tcp_port *closed);

struct tcp_port *__wrap_tcp_port_new(uv_loop_t *on, const struct tcp_handlers *handlers, void *arg) {
    (void)on;
    port = calloc(1, sizeof *port);
    if (port != NULL)
        *port = (struct tcp_port){.handlers = handlers, .arg = arg};
    return port;
}

int __wrap_tcp_connect(struct tcp_port *from, const struct address *peer) {
    (void)peer;
    require(from->open == NULL);
    from->open = from->handlers->open(from->arg);
    connections += from->open != NULL;
    return from->open == NULL ? UV_ENOMEM : 0;
}

void __wrap_tcp_write(struct tcp_connection *connection, const struct slice *parts, size_t count) {
    require(connection == port->open && count == 1 && slice_is(parts[0], "GET / HTTP/1.1\r\n\r\n"));
}

void __wrap_tcp_close(struct tcp_connection *connection) {
    if (connection != port->open)
        return;
    port->open = NULL;
    connection->next = port->closing;
    port->closing = connection;
}

void __wrap_tcp_port_close(struct tcp_port *closed) {
    if (closed->open != NULL)
        __wrap_tcp_close(closed->open);
    closed->is_closing = true;
}

/* What the loop does later. */
static void turn(void) {
    uv_run(&loop, UV_RUN_NOWAIT);
    while (port != NULL && port->closing != NULL) {
        struct tcp_connection *connection = port->closing;
        port->closing = connection->next;
        connections--;
        port->handlers->closed(connection);
    }
    if (port != NULL && port->is_closing) {
        struct tcp_port *closed = port;
        port = NULL;
        closed->handlers->port_closed(closed->arg);
        free(closed);
    }
}

static void ask(void);

static void on_answer(void *arg, const struct http_answer *answer) {
    (void)arg;
    answered++;
    require((answer->status == 0) == (answer->error != NULL));
    require(answer->status == 0 || answer->status >= 200);
    require(answer->head.len <= HTTP_CLIENT_HEAD_MAX && answer->body.len <= HTTP_CLIENT_BODY_MAX);
    size_t ends = 0;
    for (size_t i = 0; i < answer->head.len; i++)
        ends += answer->head.data[i] == 0;
    require(ends % 2 == 0 && (answer->head.len == 0 || answer->head.data[answer->head.len - 1] == 0));
    struct slice type = http_answer_header(answer, "content-type");
    require(type.data == NULL || (type.data >= answer->head.data && type.len < answer->head.len));
    if (asks_again && asked == 1)
        ask();
}

static void ask(void) {
    asked++;
    http_client_ask(client, slice_str("GET / HTTP/1.1\r\n\r\n"), on_answer, NULL);
    if (port->open != NULL)
        port->handlers->opened(port->open);
}

static void end(unsigned how) {
    struct tcp_connection *connection = port->open;
    if (connection == NULL || how == 0)
        return;
    if (how == END_EOF) {
        port->handlers->ended(connection);
        return;
    }
    connection->error = how == END_ERROR ? UV_ECONNRESET : 0;
    __wrap_tcp_close(connection);
}

static void on_freed(void *arg) {
    (void)arg;
    client = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct address address = {.family = ADDRESS_IPV4, .port = 80, .ip = {127, 0, 0, 1}};
    static bool is_ready;
    struct slice input = slice_of(data, size);
    if (!is_ready)
        is_ready = uv_loop_init(&loop) == 0;
    unsigned how = size == 0 ? 0 : data[0], pieces = 0;
    bool is_given_up = false;
    asked = answered = 0;
    asks_again = (how & ASKS_AGAIN) != 0;
    client = http_client_new(&loop, &address);
    if (client == NULL)
        return 0;
    ask();
    input = slice_from(input, 1);
    while (input.len > 1 && port->open != NULL) {
        size_t len = input.data[0] * PIECE;
        input = slice_from(input, 1);
        struct slice piece = slice_of(input.data, len == 0 || len > input.len ? input.len : len);
        input = slice_from(input, piece.len);
        port->handlers->received(port->open, piece);
        if ((how & GIVES_UP) != 0 && ++pieces == GIVEN_UP_AFTER) {
            is_given_up = asked > answered;
            http_client_cancel(client);
        }
        turn();
    }
    end(how & ENDS);
    turn();
    require(answered + (asked > answered) == asked); /* one is under way at most */
    require((how & ENDS) == 0 || answered == asked || is_given_up || asked == 2);
    http_client_free(client, on_freed, NULL);
    while (client != NULL)
        turn();
    require(connections == 0 && port == NULL);
    return 0;
}
