/* The WebSocket channel (RFC 6455): messages go out as they come, a kind in each. What an application says is read for its
 * control frames only. */
#include <mbedtls/sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/text.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum {
    PAUSE_MS = 100, /* a widely used client loses what comes with the 101 */
    QUEUE_MAX = 256 * 1024,
    FRAME_MAX = 64 * 1024, /* of what an application says */
    CONTROL_MAX = 125,
    HEADER_MAX = 14,
    HEADERS_MAX = 256,
};

enum opcode { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };
enum close_code {
    NORMAL = 1000,
    GOING_AWAY = 1001,
    PROTOCOL_ERROR = 1002,
    TOO_BIG = 1009,
    UNEXPECTED = 1011,
    RESTART = 1012
};

struct pelion_socket {
    struct pelion *pelion;
    struct pelion_app *app; /* NULL: it is ending */
    struct http_request *request;
    struct timer pause;
    bool is_late; /* the pause is over */
    uint8_t header[HEADER_MAX];
    size_t header_len, payload_len, payload_at; /* of the frame that is coming in */
    bool in_payload;
    uint8_t control[CONTROL_MAX];
};

/* ---- frames that go out ---- */

static void send_frame(struct pelion_socket *socket, enum opcode opcode, struct slice payload) {
    uint8_t memory[10];
    struct buffer head = buffer_over(memory, sizeof memory);
    buffer_put_u8(&head, (uint8_t)(0x80 | opcode));
    if (payload.len < 126) {
        buffer_put_u8(&head, (uint8_t)payload.len);
    } else {
        unsigned bytes = payload.len <= UINT16_MAX ? 2 : 8;
        buffer_put_u8(&head, bytes == 2 ? 126 : 127);
        for (unsigned i = bytes; i-- > 0;)
            buffer_put_u8(&head, (uint8_t)((uint64_t)payload.len >> (8 * i)));
    }
    http_write(socket->request, buffer_slice(&head));
    if (payload.len > 0)
        http_write(socket->request, payload);
}

void pelion_socket_close(struct pelion_socket *socket, unsigned code) {
    const uint8_t payload[] = {(uint8_t)(code >> 8), (uint8_t)code};
    if (socket->app != NULL && socket->app->socket == socket)
        socket->app->socket = NULL;
    socket->app = NULL;
    send_frame(socket, CLOSE, slice_of(payload, sizeof payload));
    http_finish(socket->request);
}

void pelion_sockets_end(struct web *web) {
    for (struct pelion_app *app = web->pelion == NULL ? NULL : web->pelion->apps; app != NULL; app = app->next) {
        if (app->socket != NULL)
            pelion_socket_close(app->socket, RESTART);
    }
}

static void send_waiting(struct pelion_socket *socket) {
    json_t *message;
    while (socket->is_late && socket->app != NULL && http_queued(socket->request) < QUEUE_MAX &&
           (message = pelion_take_some(socket->app, QUEUE_MAX)) != NULL) {
        char *text = json_dumps(message, JSON_COMPACT);
        json_decref(message);
        if (text != NULL)
            send_frame(socket, TEXT, slice_str(text));
        free(text);
    }
}

void pelion_socket_wake(struct pelion_socket *socket) {
    http_wake(socket->request);
}

static void on_resume(struct http_request *request) {
    send_waiting(request->arg);
}

static void on_pause(struct timer *timer, void *arg) {
    struct pelion_socket *socket = TIMER_OWNER(timer, struct pelion_socket, pause);
    (void)arg;
    socket->is_late = true;
    http_wake(socket->request);
}

static void on_gone(struct http_request *request) {
    struct pelion_socket *socket = request->arg;
    timer_cancel(&socket->pelion->web->server->wheel, &socket->pause);
    if (socket->app != NULL)
        socket->app->socket = NULL;
    free(socket);
}

/* ---- frames that come in ---- */

static size_t header_size(const struct pelion_socket *socket) {
    unsigned len = socket->header_len < 2 ? 0 : socket->header[1] & 0x7f;
    return socket->header_len < 2 ? 2 : 6u + (len == 126 ? 2u : len == 127 ? 8u : 0u);
}

/* 0: the header is good. */
static unsigned read_header(struct pelion_socket *socket) {
    const uint8_t *h = socket->header;
    unsigned len = h[1] & 0x7f, bytes = len == 126 ? 2 : len == 127 ? 8 : 0;
    uint64_t size = bytes == 0 ? len : 0;
    for (unsigned i = 0; i < bytes; i++)
        size = size << 8 | h[2 + i];
    bool is_control = (h[0] & 8) != 0;
    if ((h[0] & 0x70) != 0 || (h[1] & 0x80) == 0 || (is_control && ((h[0] & 0x80) == 0 || size > CONTROL_MAX)))
        return PROTOCOL_ERROR;
    if (size > FRAME_MAX)
        return TOO_BIG;
    socket->payload_len = (size_t)size;
    socket->payload_at = 0;
    socket->in_payload = true;
    return 0;
}

static void take_frame(struct pelion_socket *socket) {
    unsigned opcode = socket->header[0] & 0xf;
    socket->in_payload = false;
    socket->header_len = 0;
    if (opcode == PING)
        send_frame(socket, PONG, slice_of(socket->control, socket->payload_len));
    else if (opcode == CLOSE)
        pelion_socket_close(socket, NORMAL);
}

static size_t take_payload(struct pelion_socket *socket, struct slice bytes) {
    const uint8_t *mask = socket->header + header_size(socket) - 4;
    size_t len = socket->payload_len - socket->payload_at;
    len = bytes.len < len ? bytes.len : len;
    for (size_t i = 0; i < len && (socket->header[0] & 8) != 0; i++) {
        size_t at = socket->payload_at + i;
        socket->control[at] = bytes.data[i] ^ mask[at % 4];
    }
    socket->payload_at += len;
    return len;
}

static void on_received(struct http_request *request, struct slice bytes) {
    struct pelion_socket *socket = request->arg;
    while (socket->app != NULL && bytes.len > 0) {
        if (socket->in_payload) {
            bytes = slice_from(bytes, take_payload(socket, bytes));
        } else {
            socket->header[socket->header_len++] = bytes.data[0];
            bytes = slice_from(bytes, 1);
            unsigned fault = socket->header_len == header_size(socket) ? read_header(socket) : 0;
            if (fault != 0) {
                pelion_socket_close(socket, fault);
                return;
            }
        }
        if (socket->in_payload && socket->payload_at == socket->payload_len)
            take_frame(socket);
    }
}

/* ---- the handshake ---- */

/* RFC 6455 §4.2.2. */
static void put_accept(struct buffer *out, struct slice key) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[128], digest[20];
    struct buffer both = buffer_over(text, sizeof text);
    buffer_put(&both, key.data, key.len);
    buffer_put(&both, guid, sizeof guid - 1);
    mbedtls_sha1(text, both.len, digest);
    text_put_base64(out, slice_of(digest, sizeof digest));
}

static bool is(const struct http_request *request, const char *name, const char *word) {
    struct slice value = http_header(request, name);
    return value.len == strlen(word) && strncasecmp((const char *)value.data, word, value.len) == 0;
}

static bool good_handshake(struct http_request *request) {
    struct slice key = http_header(request, "sec-websocket-key");
    if (!is(request, "upgrade", "websocket")) {
        http_respond(request, &(struct http_response){.status = 426, .headers = "Upgrade: websocket\r\n"});
        return false;
    }
    if (key.len == 0 || key.len > 64 || !is(request, "sec-websocket-version", "13")) {
        pelion_send_text(request, 400, "");
        return false;
    }
    return true;
}

void pelion_websocket_connect(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    struct server *server = call->web->server;
    char headers[HEADERS_MAX];
    struct buffer text = buffer_over(headers, sizeof headers - 1);
    if (app == NULL || !good_handshake(call->request))
        return;
    struct pelion_socket *socket = calloc(1, sizeof *socket);
    if (socket == NULL) {
        pelion_send_text(call->request, 503, "");
        return;
    }
    buffer_put_str(&text, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    put_accept(&text, http_header(call->request, "sec-websocket-key"));
    buffer_put_str(&text, http_header(call->request, "sec-websocket-protocol").len == 0
                              ? "\r\n"
                              : "\r\nSec-WebSocket-Protocol: wss\r\n");
    headers[text.len] = '\0';
    *socket = (struct pelion_socket){.pelion = app->pelion, .app = app, .request = call->request};
    call->request->arg = socket;
    call->request->gone = on_gone;
    call->request->resume = on_resume;
    http_upgrade(call->request, headers, on_received);
    if (app->channel != PELION_SOCKET) {
        pelion_socket_close(socket, UNEXPECTED);
        return;
    }
    if (app->socket != NULL)
        pelion_socket_close(app->socket, GOING_AWAY);
    app->socket = socket;
    timer_schedule(&server->wheel, &socket->pause, clock_now_ms(&server->clock) + PAUSE_MS, on_pause);
}

/* ---- the channel ---- */

static json_t *channel_json(const struct pelion_app *app) {
    json_int_t size = 0;
    const struct pelion_message *message;
    STAILQ_FOREACH(message, &app->queue, entry)
    size++;
    json_t *json = json_pack("{sssIsI}", "status", app->socket == NULL ? "disconnected" : "connected", "queue_size",
                             size, "queueSize", size);
    if (app->serialization != NULL)
        json_object_set(json, "serialization", app->serialization);
    return json;
}

void pelion_websocket_put(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    char error[256];
    if (app == NULL)
        return;
    bool is_new = app->channel == PELION_NO_CHANNEL;
    json_t *body =
        call->request->body.len == 0 ? json_object() : document_read(call->request->body, error, sizeof error);
    if (body == NULL || (!is_new && app->channel != PELION_SOCKET)) {
        pelion_send_error(call->request, 400, body == NULL ? error : "There is a channel of another kind: delete it.");
        json_decref(body);
        return;
    }
    if (!pelion_style_is_good(json_object_get(body, "serialization"))) {
        pelion_send_error(call->request, 400, PELION_STYLE_FAULT);
        json_decref(body);
        return;
    }
    app->channel = PELION_SOCKET;
    pelion_set_style(app, json_object_get(body, "serialization"));
    json_decref(body);
    pelion_store_and_send(app->pelion, call->request, is_new ? 201 : 200, channel_json(app));
}

void pelion_websocket_get(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    if (app == NULL)
        return;
    if (app->channel == PELION_SOCKET)
        pelion_send_json(call->request, 200, channel_json(app));
    else
        pelion_send_text(call->request, 404, "");
}

void pelion_websocket_delete(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    if (app == NULL)
        return;
    if (app->channel != PELION_SOCKET) {
        pelion_send_text(call->request, 404, "");
        return;
    }
    pelion_close_channel(app);
    pelion_store_and_answer(app->pelion, call->request);
}
