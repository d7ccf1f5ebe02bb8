#include "web/http_client.h"

#include <llhttp.h>
#include <stdlib.h>

#include "common/net/tcp.h"

struct exchange {
    struct tcp_connection tcp;  /* first member */
    struct http_client *client; /* NULL: it is over, and waits to be closed */
    llhttp_t parser;
    uint8_t *head, *body;
    size_t head_len, body_len, body_cap;
    const char *problem; /* of the answer */
};

struct http_client {
    struct address address;
    struct tcp_port *port;
    struct exchange *exchange; /* under way, NULL: none */
    uint8_t *request;
    size_t request_len;
    http_answer_fn *done;
    void *arg;
    bool wanted;    /* nobody has been told of an answer yet */
    uv_idle_t soon; /* tells of a request that could not even begin */
    const char *failure;
    void (*closed)(void *arg);
    void *closed_arg;
    unsigned handles;
};

/* ---- the end of a request ---- */

static void let_go(struct http_client *client) {
    struct exchange *exchange = client->exchange;
    client->exchange = NULL;
    client->wanted = false;
    free(client->request);
    client->request = NULL;
    uv_idle_stop(&client->soon);
    if (exchange != NULL) {
        exchange->client = NULL;
        tcp_close(&exchange->tcp);
    }
}

/* The answer's bytes belong to the exchange, which lives until the loop has closed it. */
static void answer(struct http_client *client, const struct http_answer *what) {
    if (!client->wanted)
        return;
    let_go(client);
    client->done(client->arg, what);
}

static void fail(struct http_client *client, const char *error) {
    answer(client, &(struct http_answer){.error = error});
}

/* ---- reading ---- */

static int on_head_text(llhttp_t *parser, const char *data, size_t len) {
    struct exchange *x = parser->data;
    if (x->head_len + len > HTTP_CLIENT_HEAD_MAX) {
        x->problem = "the head of the answer is too long";
        return -1;
    }
    memcpy(x->head + x->head_len, data, len);
    x->head_len += len;
    return 0;
}

static int on_head_name(llhttp_t *parser, const char *data, size_t len) {
    struct exchange *x = parser->data;
    size_t start = x->head_len;
    int result = on_head_text(parser, data, len);
    for (size_t i = start; i < x->head_len; i++)
        if (x->head[i] >= 'A' && x->head[i] <= 'Z')
            x->head[i] |= 0x20;
    return result;
}

static int on_head_end(llhttp_t *parser) {
    return on_head_text(parser, "", 1);
}

static int on_body(llhttp_t *parser, const char *data, size_t len) {
    struct exchange *x = parser->data;
    if (len > HTTP_CLIENT_BODY_MAX - x->body_len) {
        x->problem = "the answer is longer than 4 MiB";
        return -1;
    }
    if (x->body_len + len > x->body_cap) {
        size_t cap = x->body_cap == 0 ? 4096 : x->body_cap;
        while (cap < x->body_len + len)
            cap *= 2;
        uint8_t *grown = realloc(x->body, cap);
        if (grown == NULL) {
            x->problem = "out of memory";
            return -1;
        }
        x->body = grown;
        x->body_cap = cap;
    }
    memcpy(x->body + x->body_len, data, len);
    x->body_len += len;
    return 0;
}

/* An interim answer (100) is none; after the real one nothing more is read. */
static int on_complete(llhttp_t *parser) {
    struct exchange *x = parser->data;
    if (parser->status_code >= 200)
        return HPE_PAUSED;
    x->head_len = 0;
    return 0;
}

static const llhttp_settings_t parser_settings = {
    .on_header_field = on_head_name,
    .on_header_field_complete = on_head_end,
    .on_header_value = on_head_text,
    .on_header_value_complete = on_head_end,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

static void judge(struct exchange *x, llhttp_errno_t error) {
    if (error == HPE_PAUSED)
        answer(x->client, &(struct http_answer){.status = x->parser.status_code,
                                                .head = slice_of(x->head, x->head_len),
                                                .body = slice_of(x->body, x->body_len)});
    else if (error != HPE_OK)
        fail(x->client, x->problem != NULL ? x->problem : "what came is no HTTP answer");
}

static void on_received(struct tcp_connection *tcp, struct slice bytes) {
    struct exchange *x = (struct exchange *)tcp;
    if (x->client != NULL)
        judge(x, llhttp_execute(&x->parser, (const char *)bytes.data, bytes.len));
}

static void on_ended(struct tcp_connection *tcp) {
    struct exchange *x = (struct exchange *)tcp;
    if (x->client != NULL)
        judge(x, llhttp_finish(&x->parser)); /* a body may end so (RFC 9112 §6.3) */
    if (x->client != NULL)
        fail(x->client, "the connection was closed without an answer");
}

/* ---- connections ---- */

static struct tcp_connection *on_open(void *arg) {
    struct http_client *client = arg;
    struct exchange *x = calloc(1, sizeof *x);
    if (x == NULL || (x->head = malloc(HTTP_CLIENT_HEAD_MAX)) == NULL) {
        free(x);
        return NULL;
    }
    x->client = client;
    client->exchange = x;
    llhttp_init(&x->parser, HTTP_RESPONSE, &parser_settings);
    x->parser.data = x;
    return &x->tcp;
}

static void on_opened(struct tcp_connection *tcp) {
    struct exchange *x = (struct exchange *)tcp;
    if (x->client != NULL)
        tcp_write(tcp, &(struct slice){x->client->request, x->client->request_len}, 1);
}

static void on_closed(struct tcp_connection *tcp) {
    struct exchange *x = (struct exchange *)tcp;
    struct http_client *client = x->client;
    if (client != NULL) {
        client->exchange = NULL;
        fail(client, tcp->error != 0 ? uv_strerror(tcp->error) : "the connection was closed without an answer");
    }
    free(x->head);
    free(x->body);
    free(x);
}

static void close_one(struct http_client *client) {
    if (--client->handles > 0)
        return;
    client->closed(client->closed_arg);
    free(client);
}

static void on_port_closed(void *arg) {
    close_one(arg);
}

static const struct tcp_handlers handlers = {
    .open = on_open,
    .opened = on_opened,
    .received = on_received,
    .ended = on_ended,
    .closed = on_closed,
    .port_closed = on_port_closed,
};

/* ---- the client ---- */

struct http_client *http_client_new(uv_loop_t *loop, const struct address *address) {
    struct http_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    client->address = address_at_home(address);
    client->port = tcp_port_new(loop, &handlers, client);
    if (client->port == NULL) {
        free(client);
        return NULL;
    }
    uv_idle_init(loop, &client->soon);
    client->soon.data = client;
    client->handles = 2;
    return client;
}

static void on_soon(uv_idle_t *idle) {
    struct http_client *client = idle->data;
    fail(client, client->failure);
}

void http_client_ask(struct http_client *client, struct slice request, http_answer_fn *done, void *arg) {
    client->done = done;
    client->arg = arg;
    client->wanted = true;
    client->failure = "out of memory";
    client->request = malloc(request.len);
    if (client->request != NULL) {
        memcpy(client->request, request.data, request.len);
        client->request_len = request.len;
        int result = tcp_connect(client->port, &client->address);
        if (result == 0 || client->exchange != NULL)
            return; /* when it has failed, on_closed says so */
        client->failure = uv_strerror(result);
    }
    uv_idle_start(&client->soon, on_soon);
}

void http_client_cancel(struct http_client *client) {
    let_go(client);
}

static void on_idle_closed(uv_handle_t *handle) {
    close_one(handle->data);
}

void http_client_free(struct http_client *client, void (*closed)(void *arg), void *arg) {
    let_go(client);
    client->closed = closed;
    client->closed_arg = arg;
    tcp_port_close(client->port);
    uv_close((uv_handle_t *)&client->soon, on_idle_closed);
}

struct slice http_answer_header(const struct http_answer *answer, const char *name) {
    const char *at = (const char *)answer->head.data, *end = at + answer->head.len;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0)
            return slice_str(value);
        at = value + strlen(value) + 1;
    }
    return SLICE_NONE;
}
