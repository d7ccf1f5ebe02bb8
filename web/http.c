#include "web/http.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/net/tcp.h"
#include "web/http_tls.h"

enum {
    TARGET_MAX = 8 * 1024,
    HEADERS_MAX = 16 * 1024,
    HEAD_SLACK = 1024,      /* method, version, white space: what llhttp passes over in silence */
    REQUEST_MS = 10000,     /* from the first byte of a request to its last */
    QUEUE_MAX = 256 * 1024, /* with more output waiting, nothing is read */
    AHEAD_MAX = 64 * 1024,  /* bytes read while a request is being answered */
    REFUSALS_MAX = 64,      /* connections beyond the limit that are told so; others are just closed */
};

enum http_state {
    HTTP_IDLE,      /* between requests */
    HTTP_READING,   /* a request has begun */
    HTTP_ANSWERING, /* it is complete, or refused; `request` is somebody's */
    HTTP_STREAMING, /* its answer goes on until one side closes */
    HTTP_OVER,      /* the last answer has been given */
    HTTP_ORPHANED,  /* the connection has gone, and `request` still waits for its answer */
};

/* Bytes that grow; freed when nothing is in them, so that an idle connection stays small. */
struct pile {
    uint8_t *data;
    size_t len, cap;
};

struct http_connection {
    struct tcp_connection tcp; /* first member */
    struct http *http;
    struct http_tls_session *tls; /* NULL: it is plain */
    llhttp_t parser;
    struct http_request request;
    struct pile head; /* target, name, value, name, value …, each ended by NUL; names in lower case */
    struct pile body;
    struct pile ahead;                                /* read, and not parsed yet */
    struct http_connection *ready_next, **ready_link; /* of http->ready; link is NULL when not in it */
    uint64_t since_ms;                                /* loop time at which `state` became IDLE or READING */
    size_t request_bytes;                             /* of the request so far, while its head is incomplete */
    size_t target_len;                                /* in `head`, with its NUL */
    const char *refusal;                              /* why the request is refused … */
    uint16_t refusal_status;
    uint8_t state; /* enum http_state */
    bool head_complete, keep_alive, parsing, has_begun;
    bool serving; /* counts towards max_connections: not when it was refused, or has given its last answer */
};

struct http {
    struct http_options options;
    struct tcp_port *port; /* NULL once closed */
    uv_idle_t idle;        /* runs while `ready` has members */
    struct http_connection *ready;
    unsigned handles; /* the port and `idle`, until closed */
    uint32_t serving; /* connections that are */
    struct http_counters counters;
};

static struct http_connection *connection_of(const struct http_request *request) {
    return (struct http_connection *)((uintptr_t)request - offsetof(struct http_connection, request));
}

/* ---- piles ---- */

static bool pile_add(struct pile *pile, const void *data, size_t len) {
    if (len > pile->cap - pile->len) {
        size_t cap = pile->cap < 256 ? 256 : pile->cap;
        while (cap < pile->len + len)
            cap *= 2;
        uint8_t *grown = realloc(pile->data, cap);
        if (grown == NULL)
            return false;
        pile->data = grown;
        pile->cap = cap;
    }
    if (len > 0)
        memcpy(pile->data + pile->len, data, len);
    pile->len += len;
    return true;
}

static void pile_free(struct pile *pile) {
    free(pile->data);
    *pile = (struct pile){0};
}

static struct slice pile_slice(const struct pile *pile) {
    return slice_of(pile->data, pile->len);
}

/* ---- under HTTP: the connection, or TLS on it ---- */

static void put(struct http_connection *c, const struct slice *parts, size_t count) {
    if (c->tls == NULL) {
        tcp_write(&c->tcp, parts, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        http_tls_send(c->tls, parts[i]);
}

static void finish(struct http_connection *c) {
    if (c->tls != NULL)
        http_tls_end(c->tls);
    tcp_finish(&c->tcp);
}

/* ---- lives and ends ---- */

static void http_free_if_over(struct http *http) {
    if (http->handles > 0 || http->counters.connections > 0)
        return;
    http->options.closed(http->options.arg);
    free(http);
}

static void leave_ready(struct http_connection *c) {
    if (c->ready_link == NULL)
        return;
    *c->ready_link = c->ready_next;
    if (c->ready_next != NULL)
        c->ready_next->ready_link = c->ready_link;
    c->ready_link = NULL;
}

static void free_connection(struct http_connection *c) {
    struct http *http = c->http;
    pile_free(&c->head);
    pile_free(&c->body);
    pile_free(&c->ahead);
    http_tls_session_free(c->tls);
    free(c);
    http->counters.connections--;
    http_free_if_over(http);
}

static void stop_serving(struct http_connection *c) {
    c->http->serving -= c->serving;
    c->serving = false;
}

/* What took the body of a request as it came is told that there is no more of it. */
static void drop_body(struct http_connection *c) {
    void (*dropped)(struct http_request * request) = c->request.dropped;
    if (c->request.take == NULL)
        return;
    c->request.take = NULL;
    dropped(&c->request);
}

static void on_closed(struct tcp_connection *tcp) {
    struct http_connection *c = (struct http_connection *)tcp;
    stop_serving(c);
    bool answering = c->state == HTTP_ANSWERING || c->state == HTTP_STREAMING;
    if (!answering)
        drop_body(c);
    leave_ready(c);
    if (answering && c->request.gone == NULL) {
        c->state = HTTP_ORPHANED;
        return;
    }
    if (answering)
        c->request.gone(&c->request);
    free_connection(c);
}

/* ---- what is to be done from the loop ---- */

static void continue_connection(struct http_connection *c);

static void run_ready(uv_idle_t *idle) {
    struct http *http = idle->data;
    struct http_connection *last = NULL;
    /* Those that become ready meanwhile go in front, and have their turn the next time round. */
    struct http_connection *batch = http->ready;
    http->ready = NULL;
    if (batch != NULL)
        batch->ready_link = &batch;
    while (batch != NULL) {
        last = batch;
        leave_ready(last);
        continue_connection(last);
    }
    if (http->ready == NULL)
        uv_idle_stop(idle);
}

static void make_ready(struct http_connection *c) {
    struct http *http = c->http;
    if (c->ready_link != NULL || c->tcp.closing)
        return;
    c->ready_next = http->ready;
    c->ready_link = &http->ready;
    if (c->ready_next != NULL)
        c->ready_next->ready_link = &c->ready_next;
    http->ready = c;
    uv_idle_start(&http->idle, run_ready);
}

/* ---- reading a request ---- */

static uint64_t loop_ms(const struct http_connection *c) {
    return uv_now(c->tcp.handle.loop);
}

static void begin_state(struct http_connection *c, enum http_state state) {
    c->state = (uint8_t)state;
    c->since_ms = loop_ms(c);
}

/* Have llhttp stop, and the request refused. */
static int refuse_later(struct http_connection *c, unsigned status, const char *detail) {
    c->refusal_status = (uint16_t)status;
    c->refusal = detail;
    return -1;
}

static void refuse(struct http_connection *c, unsigned status, const char *detail) {
    drop_body(c);
    c->state = HTTP_ANSWERING;
    c->keep_alive = false;
    c->request = (struct http_request){0};
    c->http->options.refused(c->http->options.arg, &c->request, status, detail);
}

static int add_to_head(struct http_connection *c, const char *data, size_t len) {
    return pile_add(&c->head, data, len) ? 0 : refuse_later(c, 503, "The server is out of memory.");
}

static int on_begin(llhttp_t *parser) {
    struct http_connection *c = parser->data;
    begin_state(c, HTTP_READING);
    c->request = (struct http_request){0};
    c->head_complete = false;
    c->request_bytes = 0;
    c->target_len = 0;
    return 0;
}

static int on_target(llhttp_t *parser, const char *data, size_t len) {
    struct http_connection *c = parser->data;
    if (c->head.len + len > TARGET_MAX)
        return refuse_later(c, 414, "The request target is longer than 8 KiB.");
    return add_to_head(c, data, len);
}

static int on_header_text(llhttp_t *parser, const char *data, size_t len) {
    struct http_connection *c = parser->data;
    if (c->head.len + len > c->target_len + HEADERS_MAX)
        return refuse_later(c, 431, "The header fields are longer than 16 KiB.");
    return c->head_complete ? 0 : add_to_head(c, data, len); /* trailers are not for us */
}

static int on_header_name(llhttp_t *parser, const char *data, size_t len) {
    struct http_connection *c = parser->data;
    size_t start = c->head.len;
    int result = on_header_text(parser, data, len);
    for (size_t i = start; result == 0 && i < c->head.len; i++)
        if (c->head.data[i] >= 'A' && c->head.data[i] <= 'Z')
            c->head.data[i] |= 0x20;
    return result;
}

static int on_target_end(llhttp_t *parser) {
    struct http_connection *c = parser->data;
    c->target_len = c->head.len + 1;
    return add_to_head(c, "", 1);
}

static int on_text_end(llhttp_t *parser) {
    return on_header_text(parser, "", 1);
}

/* RFC 9112 §3.2: origin-form, absolute-form (what precedes the path is of no interest) or "*". */
static void split_target(struct http_request *request, struct slice target) {
    struct slice scheme_end = SLICE_NONE;
    if (target.len > 0 && target.data[0] != '/')
        scheme_end = slice_of(memmem(target.data, target.len, "://", 3), 3);
    if (scheme_end.data != NULL) {
        struct slice authority = slice_from(target, (size_t)(scheme_end.data + 3 - target.data));
        const uint8_t *path = memchr(authority.data, '/', authority.len);
        target = path == NULL ? slice_str("/") : slice_of(path, (size_t)(target.data + target.len - path));
    }
    const uint8_t *mark = target.len > 0 ? memchr(target.data, '?', target.len) : NULL;
    request->path = mark == NULL ? target : slice_of(target.data, (size_t)(mark - target.data));
    request->query = mark == NULL ? SLICE_NONE : slice_from(target, (size_t)(mark + 1 - target.data));
}

struct slice http_header_next(const struct http_request *request, const char *name, size_t *at) {
    if (request->internal != NULL)
        return (*at)++ == 0 ? request->internal->header(request, name) : SLICE_NONE;
    const struct pile *head = &connection_of(request)->head;
    if (*at == 0)
        *at = head->len == 0 ? 0 : strlen((const char *)head->data) + 1; /* past the target */
    while (*at < head->len) {
        const char *field = (const char *)head->data + *at;
        const char *value = field + strlen(field) + 1;
        *at = (size_t)(value - (const char *)head->data) + strlen(value) + 1;
        if (strcmp(field, name) == 0)
            return slice_str(value);
    }
    return SLICE_NONE;
}

struct slice http_header(const struct http_request *request, const char *name) {
    size_t at = 0;
    return http_header_next(request, name, &at);
}

static void name_request(struct http_connection *c) {
    c->request.method = llhttp_method_name((llhttp_method_t)c->parser.method);
    c->request.head = c->parser.method == HTTP_HEAD;
    split_target(&c->request, slice_str((const char *)c->head.data));
}

static int on_headers_complete(llhttp_t *parser) {
    struct http_connection *c = parser->data;
    bool has_body = (parser->flags & F_CHUNKED) != 0 || parser->content_length > 0;
    c->head_complete = true;
    parser->upgrade = 0; /* to nothing: RFC 9110 §7.8 lets a server go on as if it had not been asked */
    if (parser->http_major != 1)
        return refuse_later(c, 505, "HTTP/1.1 and HTTP/1.0 are spoken here.");
    if (parser->http_minor >= 1 && http_header(&c->request, "host").data == NULL)
        return refuse_later(c, 400, "The request has no Host header field (RFC 9112 section 3.2).");
    name_request(c);
    if (has_body && c->http->options.begin != NULL)
        c->http->options.begin(c->http->options.arg, &c->request);
    if ((parser->flags & F_CONTENT_LENGTH) != 0 && c->request.take == NULL &&
        parser->content_length > c->http->options.max_body)
        return refuse_later(c, 413, "The body is longer than --http-max-body allows.");
    struct slice expect = http_header(&c->request, "expect");
    if (expect.data == NULL || parser->http_minor < 1)
        return 0;
    if (expect.len != 12 || strncasecmp((const char *)expect.data, "100-continue", 12) != 0)
        return refuse_later(c, 417, "The only expectation that can be met is 100-continue.");
    if (has_body)
        put(c, &(struct slice){(const uint8_t *)"HTTP/1.1 100 Continue\r\n\r\n", 25}, 1);
    return 0;
}

static int take_part(struct http_connection *c, struct slice part) {
    const char *why = NULL;
    unsigned status = c->request.take(&c->request, part, &why);
    c->since_ms = loop_ms(c);
    return status == 0 ? 0 : refuse_later(c, status, why);
}

static int on_body(llhttp_t *parser, const char *data, size_t len) {
    struct http_connection *c = parser->data;
    if (c->request.take != NULL)
        return take_part(c, slice_of(data, len));
    if (c->body.len + len > c->http->options.max_body)
        return refuse_later(c, 413, "The body is longer than --http-max-body allows.");
    return pile_add(&c->body, data, len) ? 0 : refuse_later(c, 503, "The server is out of memory.");
}

static int on_complete(llhttp_t *parser) {
    (void)parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t parser_settings = {
    .on_message_begin = on_begin,
    .on_url = on_target,
    .on_url_complete = on_target_end,
    .on_header_field = on_header_name,
    .on_header_field_complete = on_text_end,
    .on_header_value = on_header_text,
    .on_header_value_complete = on_text_end,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

static void hand_over(struct http_connection *c) {
    c->state = HTTP_ANSWERING;
    c->keep_alive = llhttp_should_keep_alive(&c->parser) != 0 && !c->http->options.once;
    c->request.body = pile_slice(&c->body);
    llhttp_resume(&c->parser);
    c->http->options.handle(c->http->options.arg, &c->request);
}

static void refuse_unreadable(struct http_connection *c, llhttp_errno_t error) {
    char detail[160];
    if (c->refusal != NULL) {
        refuse(c, c->refusal_status, c->refusal);
        return;
    }
    if (error == HPE_PAUSED_H2_UPGRADE) {
        refuse(c, 505, "HTTP/1.1 and HTTP/1.0 are spoken here.");
        return;
    }
    snprintf(detail, sizeof detail, "This is no HTTP/1.1 request: %s.", llhttp_get_error_reason(&c->parser));
    refuse(c, 400, detail);
}

/* Parse until a request is complete or the bytes are used up. Returns what is left. */
static struct slice parse(struct http_connection *c, struct slice bytes) {
    const char *start = (const char *)bytes.data;
    llhttp_errno_t error = llhttp_execute(&c->parser, start, bytes.len);
    if (error == HPE_PAUSED) {
        size_t used = (size_t)(llhttp_get_error_pos(&c->parser) - start);
        hand_over(c);
        return slice_from(bytes, used);
    }
    if (error != HPE_OK) {
        refuse_unreadable(c, error);
        return SLICE_NONE;
    }
    c->request_bytes += bytes.len;
    if (c->state == HTTP_READING && !c->head_complete && c->request_bytes > TARGET_MAX + HEADERS_MAX + HEAD_SLACK)
        refuse(c, 431, "The head of the request is longer than 24 KiB.");
    return SLICE_NONE;
}

static bool may_parse(const struct http_connection *c) {
    return (c->state == HTTP_IDLE || c->state == HTTP_READING) && !c->tcp.closing && tcp_queued(&c->tcp) <= QUEUE_MAX;
}

/* Parse what may be parsed now, keep the rest, and decide whether to read on. */
static void take(struct http_connection *c, struct slice bytes) {
    c->parsing = true;
    while (bytes.len > 0 && may_parse(c))
        bytes = parse(c, bytes);
    c->parsing = false;
    if (c->state == HTTP_STREAMING && c->request.received != NULL && bytes.len > 0)
        c->request.received(&c->request, bytes);
    if (c->state == HTTP_OVER || c->state == HTTP_STREAMING)
        return;
    if (!pile_add(&c->ahead, bytes.data, bytes.len)) {
        tcp_close(&c->tcp);
        return;
    }
    tcp_set_reading(&c->tcp, c->ahead.len < AHEAD_MAX && tcp_queued(&c->tcp) <= QUEUE_MAX);
}

/* Nothing is left to answer, and nothing will come. */
static void finish_if_ended(struct http_connection *c) {
    if (c->tcp.peer_ended && c->ahead.len == 0 && (c->state == HTTP_IDLE || c->state == HTTP_READING))
        finish(c);
}

static void take_ahead(struct http_connection *c) {
    struct pile ahead = c->ahead;
    c->ahead = (struct pile){0};
    take(c, pile_slice(&ahead));
    pile_free(&ahead);
    finish_if_ended(c);
}

static void continue_connection(struct http_connection *c) {
    if (c->tcp.closing)
        return;
    bool answering = c->state == HTTP_ANSWERING || c->state == HTTP_STREAMING;
    if (answering && c->request.resume != NULL)
        c->request.resume(&c->request);
    else if (may_parse(c))
        take_ahead(c);
}

/* ---- what the connection tells ---- */

static void on_content(void *arg, struct slice bytes) {
    struct http_connection *c = arg;
    c->http->counters.bytes_in += bytes.len;
    if (c->ahead.len == 0) {
        take(c, bytes);
    } else if (!pile_add(&c->ahead, bytes.data, bytes.len)) {
        tcp_close(&c->tcp);
    } else {
        take_ahead(c);
    }
}

static void on_sealed(void *arg, struct slice bytes) {
    struct http_connection *c = arg;
    tcp_write(&c->tcp, &bytes, 1);
}

/* Whoever begins with a record of TLS speaks that. */
static bool secure(struct http_connection *c, uint8_t first) {
    enum { HANDSHAKE_RECORD = 0x16 };
    const struct http_options *options = &c->http->options;
    c->has_begun = true;
    if (first != HANDSHAKE_RECORD || options->secure == NULL || c->state != HTTP_IDLE)
        return true;
    struct http_tls *tls = options->secure(options->arg);
    c->tls = tls == NULL ? NULL : http_tls_session_new(tls, on_sealed, on_content, c);
    return c->tls != NULL;
}

static void on_received(struct tcp_connection *tcp, struct slice bytes) {
    struct http_connection *c = (struct http_connection *)tcp;
    if (!c->has_begun && bytes.len > 0 && !secure(c, bytes.data[0]))
        tcp_close(tcp);
    else if (c->tls == NULL)
        on_content(c, bytes);
    else if (!http_tls_feed(c->tls, bytes))
        tcp_close(tcp);
}

/* The client has closed, or at least its half. Who waits for something to happen is told that nobody waits any more;
 * what is answered anyway is answered to the end, in case it still listens. */
static void on_ended(struct tcp_connection *tcp) {
    struct http_connection *c = (struct http_connection *)tcp;
    if (c->state == HTTP_STREAMING || (c->state == HTTP_ANSWERING && c->request.gone != NULL))
        tcp_close(tcp);
    else
        finish_if_ended(c);
}

static void on_drained(struct tcp_connection *tcp) {
    struct http_connection *c = (struct http_connection *)tcp;
    continue_connection(c);
}

static void on_swept(struct tcp_connection *tcp, uint64_t now_ms) {
    struct http_connection *c = (struct http_connection *)tcp;
    uint64_t idle_ms = (uint64_t)c->http->options.idle_s * 1000;
    if (c->tls != NULL && !http_tls_is_ready(c->tls) && now_ms - c->since_ms > REQUEST_MS)
        tcp_close(tcp);
    else if (c->state == HTTP_READING && now_ms - c->since_ms > REQUEST_MS)
        refuse(c, 408, "The request was not complete 10 seconds after it had begun.");
    else if (c->state == HTTP_IDLE && tcp_queued(tcp) == 0 && now_ms - c->since_ms > idle_ms)
        finish(c);
}

static struct tcp_connection *on_open(void *arg) {
    struct http *http = arg;
    if (http->counters.connections >= (uint64_t)http->options.max_connections + REFUSALS_MAX)
        return NULL;
    struct http_connection *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->http = http;
    http->counters.connections++;
    http->counters.accepted++;
    return &c->tcp;
}

static void on_opened(struct tcp_connection *tcp) {
    struct http_connection *c = (struct http_connection *)tcp;
    llhttp_init(&c->parser, HTTP_REQUEST, &parser_settings);
    c->parser.data = c;
    begin_state(c, HTTP_IDLE);
    c->serving = c->http->serving < c->http->options.max_connections;
    c->http->serving += c->serving;
    if (!c->serving)
        refuse(c, 503, "The server has as many HTTP connections as --http-max-connections allows.");
}

/* ---- answering ---- */

static void count_response(struct http *http, unsigned status) {
    if (status < sizeof http->counters.responses / sizeof http->counters.responses[0])
        http->counters.responses[status]++;
}

/* "NO_CONTENT", as llhttp calls it, as people know it (RFC 9110 §15): "No Content". */
static void put_reason(struct buffer *head, unsigned status) {
    const char *name = llhttp_status_name((llhttp_status_t)status);
    bool is_first = true; /* of a word */
    if (status == 200) {
        buffer_put_str(head, "OK");
        return;
    }
    for (; *name != '\0'; name++) {
        if (*name == '_')
            buffer_put_u8(head, ' ');
        else
            buffer_put_u8(head, (uint8_t)(is_first || *name < 'A' || *name > 'Z' ? *name : *name - 'A' + 'a'));
        is_first = *name == '_';
    }
}

static void put_head(struct buffer *head, const struct http_connection *c, const struct http_response *response) {
    buffer_put_str(head, "HTTP/1.1 ");
    buffer_put_decimal(head, response->status);
    buffer_put_u8(head, ' ');
    put_reason(head, response->status);
    if (response->content_type != NULL) {
        buffer_put_str(head, "\r\nContent-Type: ");
        buffer_put_str(head, response->content_type);
    }
    buffer_put_str(head, "\r\nCache-Control: ");
    buffer_put_str(head, response->cache_control == NULL ? "no-store" : response->cache_control);
    buffer_put_str(head, "\r\nX-Content-Type-Options: nosniff\r\n");
    if (response->headers != NULL)
        buffer_put_str(head, response->headers);
    if (response->headers == NULL || strstr(response->headers, "Content-Security-Policy:") == NULL)
        buffer_put_str(head, "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n");
    if (!c->keep_alive)
        buffer_put_str(head, "Connection: close\r\n");
    else if (c->parser.http_minor == 0)
        buffer_put_str(head, "Connection: keep-alive\r\n");
}

/* The request is over; its connection goes on to the next one, or ends. */
static void end_request(struct http_connection *c) {
    pile_free(&c->head);
    pile_free(&c->body);
    c->request = (struct http_request){0};
    if (!c->keep_alive) {
        c->state = HTTP_OVER;
        pile_free(&c->ahead);
        stop_serving(c);
        finish(c);
        return;
    }
    begin_state(c, HTTP_IDLE);
    if (!c->parsing && (c->ahead.len > 0 || c->tcp.peer_ended))
        make_ready(c); /* not now: we may be deep inside somebody's callback */
}

void http_respond(struct http_request *request, const struct http_response *response) {
    if (request->internal != NULL) {
        request->internal->respond(request, response);
        return;
    }
    struct http_connection *c = connection_of(request);
    uint8_t memory[2048];
    struct buffer head = buffer_over(memory, sizeof memory);
    drop_body(c);
    count_response(c->http, response->status);
    if (c->state == HTTP_ORPHANED) {
        free_connection(c);
        return;
    }
    put_head(&head, c, response);
    if (response->status >= 200 && response->status != 204 && response->status != 304) { /* RFC 9110 §8.6 */
        buffer_put_str(&head, "Content-Length: ");
        buffer_put_decimal(&head, response->body.len);
        buffer_put_str(&head, "\r\n");
    }
    buffer_put_str(&head, "\r\n");
    struct slice body = request->head ? SLICE_NONE : response->body;
    bool fits = body.len <= sizeof memory - head.len;
    if (fits) /* one buffer for the kernel, or one record of TLS */
        buffer_put_slice(&head, body);
    struct slice parts[] = {buffer_slice(&head), body};
    put(c, parts, fits ? 1 : 2);
    end_request(c);
}

void http_wake(struct http_request *request) {
    make_ready(connection_of(request));
}

void http_stream(struct http_request *request, const char *content_type) {
    struct http_connection *c = connection_of(request);
    uint8_t memory[1024];
    struct buffer head = buffer_over(memory, sizeof memory);
    count_response(c->http, 200);
    c->keep_alive = false;
    c->state = HTTP_STREAMING;
    pile_free(&c->ahead); /* no second answer can follow */
    put_head(&head, c, &(struct http_response){.status = 200, .content_type = content_type});
    buffer_put_str(&head, "\r\n");
    http_write(request, buffer_slice(&head));
}

void http_begin(struct http_request *request, const struct http_response *response, uint64_t len) {
    struct http_connection *c = connection_of(request);
    uint8_t memory[2048];
    struct buffer head = buffer_over(memory, sizeof memory);
    count_response(c->http, response->status);
    c->keep_alive = false;
    c->state = HTTP_STREAMING;
    pile_free(&c->ahead); /* no second answer can follow */
    put_head(&head, c, response);
    buffer_printf(&head, "Content-Length: %llu\r\n\r\n", (unsigned long long)len);
    http_write(request, buffer_slice(&head));
}

void http_upgrade(struct http_request *request, const char *headers,
                  void (*received)(struct http_request *request, struct slice bytes)) {
    static const char line[] = "HTTP/1.1 101 Switching Protocols\r\n";
    struct http_connection *c = connection_of(request);
    struct slice parts[] = {slice_of(line, sizeof line - 1), slice_str(headers), slice_str("\r\n")};
    count_response(c->http, 101);
    c->keep_alive = false;
    c->state = HTTP_STREAMING;
    request->received = received;
    put(c, parts, 3);
}

void http_finish(struct http_request *request) {
    finish(connection_of(request));
}

void http_write(struct http_request *request, struct slice bytes) {
    put(connection_of(request), &bytes, 1);
}

size_t http_queued(const struct http_request *request) {
    return tcp_queued(&connection_of(request)->tcp);
}

void http_drop(struct http_request *request) {
    tcp_close(&connection_of(request)->tcp);
}

/* ---- the port ---- */

static void on_port_closed(void *arg) {
    struct http *http = arg;
    http->port = NULL;
    http->handles--;
    http_free_if_over(http);
}

static const struct tcp_handlers tcp_callbacks = {
    .open = on_open,
    .opened = on_opened,
    .received = on_received,
    .ended = on_ended,
    .drained = on_drained,
    .closed = on_closed,
    .swept = on_swept,
    .port_closed = on_port_closed,
    .patience = {.keepalive_s = 60},
};

struct http *http_listen(uv_loop_t *loop, const struct http_options *options, char *error, size_t error_size) {
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    http->options = *options;
    if (options->address.family != ADDRESS_NONE)
        http->port = tcp_listen(loop, &options->address, &tcp_callbacks, http, error, error_size);
    else if ((http->port = tcp_port_new(loop, &tcp_callbacks, http)) == NULL)
        snprintf(error, error_size, "out of memory");
    if (http->port == NULL) {
        free(http);
        return NULL;
    }
    uv_idle_init(loop, &http->idle);
    http->idle.data = http;
    http->handles = 2;
    return http;
}

void http_adopt(struct http *http, int fd, const struct address *peer, struct slice ahead) {
    tcp_adopt(http->port, fd, peer, &(struct address){0}, ahead);
}

struct address http_address(const struct http *http) {
    return tcp_port_address(http->port);
}

static void on_idle_closed(uv_handle_t *handle) {
    struct http *http = handle->data;
    http->handles--;
    http_free_if_over(http);
}

void http_close(struct http *http) {
    for (struct tcp_connection *tcp = tcp_port_connections(http->port); tcp != NULL; tcp = tcp->next) {
        struct http_connection *c = (struct http_connection *)tcp;
        if ((c->state == HTTP_ANSWERING || c->state == HTTP_STREAMING) && c->request.gone != NULL) {
            c->request.gone(&c->request);
            c->state = HTTP_OVER;
        } else if (c->state == HTTP_READING) {
            drop_body(c);
        }
    }
    tcp_port_close(http->port);
    uv_close((uv_handle_t *)&http->idle, on_idle_closed);
}

const struct http_counters *http_counters(const struct http *http) {
    return &http->counters;
}
