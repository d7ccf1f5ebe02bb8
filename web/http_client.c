#include "web/http_client.h"

#include <llhttp.h>
#include <stdlib.h>

#include "common/net/tcp.h"
#include "web/http_tls.h"

struct exchange {
    struct tcp_connection tcp;    /* first member */
    struct http_client *client;   /* NULL: it is over, and waits to be closed */
    struct http_tls_session *tls; /* NULL: it is plain */
    bool is_open, is_sent;
    uint64_t until_ms; /* loop time at which it is given up; 0: never */
    llhttp_t parser;
    uint8_t *head, *body;
    size_t head_len, body_len, body_cap;
    const char *problem; /* of the answer */
};

/* A name that is looked up. */
struct lookup {
    uv_getaddrinfo_t request;
    struct http_client *client; /* NULL: nobody waits for it */
};

struct http_client {
    uv_loop_t *loop;
    char *host; /* NULL: there is one address only */
    uint16_t host_port;
    struct http_tls *tls;
    uint32_t timeout_ms; /* 0: none */
    struct lookup *lookup;
    struct address addresses[HTTP_CLIENT_ADDRESSES_MAX];
    unsigned address_count, address_at; /* the next one that is tried */
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
    if (client->lookup != NULL) {
        client->lookup->client = NULL;
        uv_cancel((uv_req_t *)&client->lookup->request); /* if it has begun, it comes to its end */
        client->lookup = NULL;
    }
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

static void on_content(void *arg, struct slice bytes) {
    struct exchange *x = arg;
    if (x->client != NULL)
        judge(x, llhttp_execute(&x->parser, (const char *)bytes.data, bytes.len));
}

static void on_sealed(void *arg, struct slice bytes) {
    struct exchange *x = arg;
    tcp_write(&x->tcp, &bytes, 1);
}

/* The request goes as soon as the peer has proven to be the right one. */
static void feed(struct exchange *x, struct slice bytes) {
    bool is_good = http_tls_feed(x->tls, bytes);
    if (x->client == NULL)
        return;
    if (!is_good) {
        fail(x->client, http_tls_is_ready(x->tls) ? "the TLS connection has broken" : http_tls_problem(x->tls));
    } else if (!x->is_sent && http_tls_is_ready(x->tls)) {
        x->is_sent = true;
        http_tls_send(x->tls, slice_of(x->client->request, x->client->request_len));
    }
}

static void on_received(struct tcp_connection *tcp, struct slice bytes) {
    struct exchange *x = (struct exchange *)tcp;
    if (x->client != NULL && x->tls != NULL)
        feed(x, bytes);
    else
        on_content(x, bytes);
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
    if (client->tls != NULL &&
        (x->tls = http_tls_session_new_client(client->tls, client->host, on_sealed, on_content, x)) == NULL) {
        free(x->head);
        free(x);
        return NULL;
    }
    x->client = client;
    x->until_ms = client->timeout_ms == 0 ? 0 : uv_now(client->loop) + client->timeout_ms;
    client->exchange = x;
    llhttp_init(&x->parser, HTTP_RESPONSE, &parser_settings);
    x->parser.data = x;
    return &x->tcp;
}

static void on_opened(struct tcp_connection *tcp) {
    struct exchange *x = (struct exchange *)tcp;
    x->is_open = true;
    if (x->client != NULL && x->tls != NULL)
        feed(x, SLICE_NONE);
    else if (x->client != NULL)
        tcp_write(tcp, &(struct slice){x->client->request, x->client->request_len}, 1);
}

static void on_swept(struct tcp_connection *tcp, uint64_t now_ms) {
    struct exchange *x = (struct exchange *)tcp;
    if (x->client != NULL && x->until_ms != 0 && now_ms >= x->until_ms)
        fail(x->client, "there was no answer in time");
}

static bool connect_next(struct http_client *client);

static void on_closed(struct tcp_connection *tcp) {
    struct exchange *x = (struct exchange *)tcp;
    struct http_client *client = x->client;
    if (client != NULL) {
        client->exchange = NULL;
        if (x->is_open || !connect_next(client))
            fail(client, tcp->error != 0 ? uv_strerror(tcp->error) : "the connection was closed without an answer");
    }
    http_tls_session_free(x->tls);
    free(x->head);
    free(x->body);
    free(x);
}

static void close_one(struct http_client *client) {
    if (--client->handles > 0)
        return;
    client->closed(client->closed_arg);
    free(client->host);
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
    .swept = on_swept,
    .port_closed = on_port_closed,
};

/* True: a connection is under way. `failure` says why not. */
static bool connect_next(struct http_client *client) {
    while (client->address_at < client->address_count) {
        int result = tcp_connect(client->port, &client->addresses[client->address_at++]);
        if (result == 0 || client->exchange != NULL)
            return true; /* when it has failed, on_closed says so */
        client->failure = uv_strerror(result);
    }
    return false;
}

/* ---- names ---- */

static void take_addresses(struct http_client *client, const struct addrinfo *found) {
    client->address_count = 0;
    for (; found != NULL && client->address_count < HTTP_CLIENT_ADDRESSES_MAX; found = found->ai_next) {
        struct address *address = &client->addresses[client->address_count];
        if (!address_from_sockaddr(address, found->ai_addr))
            continue;
        address->port = client->host_port;
        client->address_count++;
    }
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct lookup *lookup = (struct lookup *)request;
    struct http_client *client = lookup->client;
    if (client != NULL) {
        client->lookup = NULL;
        client->failure = status < 0 ? uv_strerror(status) : "its name has no address";
        take_addresses(client, found);
        client->address_at = 0;
        if (!connect_next(client))
            fail(client, client->failure);
    }
    uv_freeaddrinfo(found);
    free(lookup);
}

static bool look_up(struct http_client *client) {
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL)
        return false;
    lookup->client = client;
    int result = uv_getaddrinfo(client->loop, &lookup->request, on_looked_up, client->host, NULL, &hints);
    if (result != 0) {
        client->failure = uv_strerror(result);
        free(lookup);
        return false;
    }
    client->lookup = lookup;
    return true;
}

/* ---- the client ---- */

static struct http_client *client_new(uv_loop_t *loop) {
    struct http_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    client->loop = loop;
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

struct http_client *http_client_new(uv_loop_t *loop, const struct address *address) {
    struct http_client *client = client_new(loop);
    if (client != NULL) {
        client->addresses[0] = address_at_home(address);
        client->address_count = 1;
    }
    return client;
}

struct http_client *http_client_new_to(uv_loop_t *loop, const char *host, uint16_t port, struct http_tls *tls,
                                       uint32_t timeout_ms) {
    char *name = strdup(host);
    struct http_client *client = name == NULL ? NULL : client_new(loop);
    if (client == NULL) {
        free(name);
        return NULL;
    }
    client->host = name;
    client->host_port = port;
    client->tls = tls;
    client->timeout_ms = timeout_ms;
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
        client->address_at = 0;
        if (client->host == NULL ? connect_next(client) : look_up(client))
            return;
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
    if (answer->head.len == 0)
        return SLICE_NONE;
    const char *at = (const char *)answer->head.data, *end = at + answer->head.len;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0)
            return slice_str(value);
        at = value + strlen(value) + 1;
    }
    return SLICE_NONE;
}
