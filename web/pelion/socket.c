/* The WebSocket channel (RFC 6455): messages go out as they come, a kind in each. What an application says is read for its
 * control frames only. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "web/document.h"
#include "web/pelion/pelion.h"
#include "web/websocket.h"

enum {
    PING_MS = 30000,
    PAUSE_MS = 100, /* a widely used client loses what comes with the 101 */
    QUEUE_MAX = 256 * 1024,
    HEADERS_MAX = 256,
};

struct pelion_socket {
    struct pelion *pelion;
    struct pelion_app *app; /* NULL: it is ending */
    struct http_request *request;
    struct timer timer; /* of the pause, and then of the next ping */
    bool is_late;       /* the pause is over */
    bool is_ping_due;
    unsigned end; /* the status with which it is closed after the pause; 0: it stays */
    struct websocket websocket;
};

/* ---- frames that go out ---- */

static void send_frame(struct pelion_socket *socket, enum websocket_opcode opcode, struct slice payload) {
    uint8_t memory[WEBSOCKET_HEAD_MAX];
    struct buffer head = buffer_over(memory, sizeof memory);
    websocket_put_head(&head, opcode, payload.len);
    http_write(socket->request, buffer_slice(&head));
    if (payload.len > 0)
        http_write(socket->request, payload);
}

void pelion_socket_close(struct pelion_socket *socket, unsigned code) {
    const uint8_t payload[] = {(uint8_t)(code >> 8), (uint8_t)code};
    if (socket->app != NULL && socket->app->socket == socket)
        socket->app->socket = NULL;
    socket->app = NULL;
    socket->end = 0;
    send_frame(socket, WEBSOCKET_CLOSE, slice_of(payload, sizeof payload));
    http_finish(socket->request);
}

void pelion_sockets_end(struct web *web) {
    for (struct pelion_app *app = web->pelion == NULL ? NULL : web->pelion->apps; app != NULL; app = app->next) {
        if (app->socket != NULL)
            pelion_socket_close(app->socket, WEBSOCKET_RESTART);
    }
}

static void send_waiting(struct pelion_socket *socket) {
    json_t *message;
    while (socket->is_late && socket->app != NULL && http_queued(socket->request) < QUEUE_MAX &&
           (message = pelion_take_some(socket->app, QUEUE_MAX)) != NULL) {
        char *text = json_dumps(message, JSON_COMPACT);
        json_decref(message);
        if (text != NULL)
            send_frame(socket, WEBSOCKET_TEXT, slice_str(text));
        free(text);
    }
}

void pelion_socket_wake(struct pelion_socket *socket) {
    http_wake(socket->request);
}

static void on_timer(struct timer *timer, void *arg);

/* A leap of the clock wakes it once, whatever its length. */
static void on_resume(struct http_request *request) {
    struct pelion_socket *socket = request->arg;
    struct server *server = socket->pelion->web->server;
    bool is_open = socket->is_late && socket->app != NULL;
    if (server_is_leaping(server)) {
        http_wake(request);
        return;
    }
    if (socket->is_late && socket->end != 0) {
        pelion_socket_close(socket, socket->end);
        return;
    }
    if (socket->is_ping_due && is_open)
        send_frame(socket, WEBSOCKET_PING, SLICE_NONE);
    socket->is_ping_due = false;
    if (is_open && !timer_is_scheduled(&socket->timer))
        timer_schedule(&server->wheel, &socket->timer, clock_now_ms(&server->clock) + PING_MS, on_timer);
    send_waiting(socket);
}

static void on_timer(struct timer *timer, void *arg) {
    struct pelion_socket *socket = TIMER_OWNER(timer, struct pelion_socket, timer);
    (void)arg;
    socket->is_ping_due = socket->is_late;
    socket->is_late = true;
    http_wake(socket->request);
}

static void on_gone(struct http_request *request) {
    struct pelion_socket *socket = request->arg;
    timer_cancel(&socket->pelion->web->server->wheel, &socket->timer);
    if (socket->app != NULL)
        socket->app->socket = NULL;
    free(socket);
}

/* ---- frames that come in ---- */

static void on_received(struct http_request *request, struct slice bytes) {
    struct pelion_socket *socket = request->arg;
    struct websocket_read read;
    while (socket->app != NULL && bytes.len > 0) {
        bytes = slice_from(bytes, websocket_read(&socket->websocket, bytes, &read));
        if (read.event == WEBSOCKET_WAS_PING)
            send_frame(socket, WEBSOCKET_PONG, read.payload);
        else if (read.event == WEBSOCKET_WAS_CLOSE || read.event == WEBSOCKET_FAULT)
            pelion_socket_close(socket, read.status);
    }
}

/* ---- the handshake ---- */

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
    websocket_put_accept(&text, http_header(call->request, "sec-websocket-key"));
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
        socket->app = NULL;
        socket->end = WEBSOCKET_UNEXPECTED;
    } else {
        if (app->socket != NULL)
            pelion_socket_close(app->socket, WEBSOCKET_GOING_AWAY);
        app->socket = socket;
    }
    timer_schedule(&server->wheel, &socket->timer, clock_now_ms(&server->clock) + PAUSE_MS, on_timer);
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
    pelion_open_channel(app, PELION_SOCKET);
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
