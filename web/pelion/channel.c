/* Channels: what happened, one message after the other, until the application fetches it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "common/base/text.h"
#include "web/document.h"
#include "web/pelion/pelion.h"
#include "web/websocket.h"

static const char *const kinds[PELION_KIND_COUNT] = {
    [PELION_REGISTRATIONS] = "registrations",      [PELION_UPDATES] = "reg-updates",
    [PELION_DEREGISTRATIONS] = "de-registrations", [PELION_EXPIRED] = "registrations-expired",
    [PELION_NOTIFICATIONS] = "notifications",      [PELION_RESPONSES] = "async-responses",
};

/* ---- the queue ---- */

static void drop_first(struct pelion_app *app) {
    struct pelion_message *message = STAILQ_FIRST(&app->queue);
    STAILQ_REMOVE_HEAD(&app->queue, entry);
    app->queue_bytes -= message->size;
    json_decref(message->json);
    free(message);
}

static void set_style(const struct pelion_app *app, const struct pelion_message *message, json_t *entry) {
    static const bool has_original[PELION_KIND_COUNT] = {[PELION_NOTIFICATIONS] = true};
    struct slice endpoint = pelion_endpoint(app->pelion, document_string(json_object_get(entry, "ep")));
    char uid[33];
    snprintf(uid, sizeof uid, "%016" PRIx64 "%016" PRIx64, random_u64(), random_u64());
    if (app->style.has_uid)
        json_object_set_new(entry, "uid", json_string(uid));
    if (app->style.has_timestamp)
        json_object_set_new(entry, "timestamp", json_integer((json_int_t)message->ts_ms));
    if (app->style.has_endpoint && has_original[message->kind] && endpoint.data != NULL)
        json_object_set_new(entry, "original-ep", document_text(endpoint));
}

/* The first one, as it is to be written; it is in the queue no more. Messages are shared among channels. */
static json_t *take_first(struct pelion_app *app) {
    const struct pelion_message *message = STAILQ_FIRST(&app->queue);
    json_t *entry = json_is_string(message->json) && app->style.deregistrations_as_object
                        ? json_pack("{sO}", "ep", message->json)
                        : json_copy(message->json);
    if (json_is_object(entry))
        set_style(app, message, entry);
    drop_first(app);
    return entry;
}

/* All that waits, in one document: a list of each kind. */
static json_t *take_all(struct pelion_app *app) {
    json_t *document = json_object();
    while (!STAILQ_EMPTY(&app->queue)) {
        const char *kind = kinds[STAILQ_FIRST(&app->queue)->kind];
        json_t *list = json_object_get(document, kind);
        if (list == NULL) {
            list = json_array();
            json_object_set_new(document, kind, list);
        }
        json_array_append_new(list, take_first(app));
    }
    return document;
}

json_t *pelion_take_some(struct pelion_app *app, size_t max_bytes) {
    enum { CHUNK = 100 };
    size_t most = app->style.chunk == 0 ? CHUNK : app->style.chunk, bytes = 0;
    if (STAILQ_EMPTY(&app->queue))
        return NULL;
    enum pelion_kind kind = STAILQ_FIRST(&app->queue)->kind;
    json_t *list = json_array();
    while (!STAILQ_EMPTY(&app->queue) && STAILQ_FIRST(&app->queue)->kind == kind && json_array_size(list) < most &&
           bytes < max_bytes) {
        bytes += STAILQ_FIRST(&app->queue)->size;
        json_array_append_new(list, take_first(app));
    }
    return json_pack("{so}", kinds[kind], list);
}

static size_t size_of(const json_t *json) {
    return sizeof(struct pelion_message) + 128 + json_dumpb(json, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
}

void pelion_lose(struct pelion_app *app) {
    if (app->channel == PELION_NO_CHANNEL)
        return;
    app->dropped++;
    pelion_later(app->pelion, EVENT_ODDITY, SLICE_NONE, 0, false);
}

static void tell(struct pelion_app *app, enum pelion_kind kind, json_t *json, size_t size) {
    bool is_early = app->channel == PELION_NO_CHANNEL,
         is_own = kind == PELION_RESPONSES || kind == PELION_NOTIFICATIONS;
    if (is_early && !is_own)
        return;
    size_t max = is_early ? PELION_EARLY_BYTES_MAX : PELION_QUEUE_BYTES_MAX;
    struct pelion_message *message = size > max ? NULL : malloc(sizeof *message);
    if (message == NULL) { /* a large one does not cost all others */
        pelion_lose(app);
        return;
    }
    *message = (struct pelion_message){
        .kind = kind, .json = json_incref(json), .size = size, .ts_ms = clock_now_ms(&app->pelion->web->server->clock)};
    STAILQ_INSERT_TAIL(&app->queue, message, entry);
    app->queue_bytes += size;
    while (app->queue_bytes > max) {
        drop_first(app);
        pelion_lose(app);
    }
    if (app->poll != NULL)
        http_wake(app->poll);
    if (app->socket != NULL)
        pelion_socket_wake(app->socket);
    if (app->callback != NULL)
        pelion_callback_wake(app->callback);
}

void pelion_open_channel(struct pelion_app *app, enum pelion_channel channel) {
    uint64_t now_ms = clock_now_ms(&app->pelion->web->server->clock);
    while (app->channel == PELION_NO_CHANNEL && !STAILQ_EMPTY(&app->queue) &&
           now_ms - STAILQ_FIRST(&app->queue)->ts_ms > PELION_EARLY_MS)
        drop_first(app);
    app->channel = channel;
}

void pelion_tell(struct pelion_app *app, enum pelion_kind kind, json_t *json) {
    tell(app, kind, json, size_of(json));
    json_decref(json);
}

void pelion_tell_all(struct pelion *pelion, enum pelion_kind kind, json_t *json) {
    size_t size = size_of(json);
    for (struct pelion_app *app = pelion->apps; app != NULL; app = app->next)
        tell(app, kind, json, size);
    json_decref(json);
}

void pelion_set_payload(json_t *json, struct slice payload, const char *type) {
    size_t cap = payload.len * 4 / 3 + 8;
    uint8_t *memory = malloc(cap);
    struct buffer text = buffer_over(memory, memory == NULL ? 0 : cap);
    text_put_base64(&text, payload);
    json_object_set_new(json, "payload", json_stringn((const char *)memory, text.len));
    free(memory);
    if (type != NULL)
        json_object_set_new(json, "ct", json_stringn(type, strcspn(type, ";")));
    json_object_set_new(json, "max-age", json_integer(0));
}

/* ---- answers of devices ---- */

/* A status for what is no success, and why nothing came from the device; NULL: something did. */
struct failure {
    int status;
    const char *error;
};

static struct failure failure_of(const json_t *problem) {
    static const struct {
        const char *slug;
        struct failure failure;
    } failures[] = {
        {"no-answer", {504, "TIMEOUT"}},
        {"asleep", {503, "NOT_CONNECTED"}},
        {"unreachable", {503, "NOT_CONNECTED"}},
        {"expired", {429, "REQUEST_EXPIRED"}},
        {"not-registered", {429, "DEVICE_REMOVED_REGISTRATION"}},
        {"registration-gone", {429, "DEVICE_REMOVED_REGISTRATION"}},
        {"cancelled", {429, "REQUEST_EXPIRED"}},
        {"too-large", {413, NULL}},
        {"no-room", {413, NULL}},
        {"result-too-large", {413, NULL}},
        {"overloaded", {503, NULL}},
        {"queue-full", {503, NULL}},
    };
    const char *code = json_string_value(json_object_get(problem, "coap_code"));
    const char *type = json_string_value(json_object_get(problem, "type"));
    const char *slug = type == NULL ? NULL : strrchr(type, '/');
    if (code != NULL && strlen(code) >= 4 && (code[0] == '4' || code[0] == '5')) {
        int status = (code[0] - '0') * 100 + (code[2] - '0') * 10 + (code[3] - '0');
        bool is_known = status >= 500 || status == 404 || status == 412 || status == 413 || status == 415;
        return (struct failure){is_known ? status : 400, NULL};
    }
    for (size_t i = 0; slug != NULL && i < sizeof failures / sizeof failures[0]; i++) {
        if (strcmp(slug + 1, failures[i].slug) == 0)
            return failures[i].failure;
    }
    return (struct failure){400, NULL};
}

static void set_failure(json_t *json, const struct http_response *response) {
    json_t *problem =
        response->body.len == 0 ? NULL : json_loadb((const char *)response->body.data, response->body.len, 0, NULL);
    struct failure failure = failure_of(problem);
    json_t *why = json_object_get(problem, "diagnostic");
    if (json_string_length(why) == 0)
        why = json_object_get(problem, "detail");
    json_object_set_new(json, "status", json_integer(failure.status));
    json_object_set_new(json, "payload", json_string(""));
    if (failure.error != NULL)
        json_object_set_new(json, "error", json_string(failure.error));
    else
        json_object_set(json, "error", why);
    json_decref(problem);
}

void pelion_tell_failure(struct pelion_app *app, const char *async_id, int status, const char *error) {
    pelion_tell(app, PELION_RESPONSES,
                json_pack("{sssissss}", "id", async_id, "status", status, "error", error, "payload", ""));
}

void pelion_tell_response(struct pelion_app *app, const char *async_id, const struct http_response *response) {
    json_t *json = json_pack("{ss}", "id", async_id);
    if (response->status >= 300) {
        set_failure(json, response);
    } else {
        json_object_set_new(json, "status", json_integer(200));
        pelion_set_payload(json, response->content_type == NULL ? SLICE_NONE : response->body,
                           response->content_type == NULL ? "text/plain" : response->content_type);
    }
    pelion_tell(app, PELION_RESPONSES, json);
}

/* ---- how messages are written ---- */

enum { CHUNK_MIN = 100, CHUNK_MAX = 10000 };

/* Truths and numbers come as texts, too. */
static bool truth(const json_t *value) {
    return json_is_true(value) || slice_is(document_string(value), "true");
}

bool pelion_style_is_good(const json_t *serialization) {
    const json_t *cfg = json_object_get(serialization, "cfg"), *type = json_object_get(serialization, "type");
    const json_t *chunk = json_object_get(serialization, "max_chunk_size"), *value;
    const char *name;
    if (serialization == NULL || json_is_null(serialization))
        return true;
    if (!json_is_object(serialization) || json_dumpb(serialization, NULL, 0, JSON_COMPACT) > PELION_STYLE_MAX ||
        (type != NULL && !slice_is(document_string(type), "v2")) || (cfg != NULL && !json_is_object(cfg)) ||
        (chunk != NULL && !json_is_integer(chunk) && !json_is_string(chunk)))
        return false;
    json_object_foreach((json_t *)(uintptr_t)cfg, name, value) {
        if (!json_is_boolean(value) && !truth(value) && !slice_is(document_string(value), "false"))
            return false;
    }
    return true;
}

static uint64_t number(const json_t *value) {
    uint64_t number = json_is_integer(value) && json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
    if (json_is_string(value))
        slice_to_u64(document_string(value), INT32_MAX, &number);
    return number == 0 ? 0 : number < CHUNK_MIN ? CHUNK_MIN : number > CHUNK_MAX ? CHUNK_MAX : number;
}

void pelion_set_style(struct pelion_app *app, json_t *serialization) {
    const json_t *cfg = json_object_get(serialization, "cfg");
    app->style = (struct pelion_style){
        .chunk = number(json_object_get(serialization, "max_chunk_size")),
        .has_uid = truth(json_object_get(cfg, "include_uid")),
        .has_timestamp = truth(json_object_get(cfg, "include_timestamp")),
        .has_endpoint = truth(json_object_get(cfg, "include_original_ep")),
        .deregistrations_as_object = truth(json_object_get(cfg, "deregistrations_as_object")),
    };
    json_decref(app->serialization);
    app->serialization = json_is_object(serialization) ? json_incref(serialization) : NULL;
}

/* ---- long poll ---- */

/* The held request, which must be answered. */
static struct http_request *end_poll(struct pelion_app *app) {
    struct http_request *request = app->poll;
    timer_cancel(&app->pelion->web->server->wheel, &app->poll_end);
    app->poll = NULL;
    app->poll_late = false;
    request->gone = NULL;
    request->resume = NULL;
    return request;
}

static void on_poll_gone(struct http_request *request) {
    end_poll(request->arg);
}

static void on_poll_resume(struct http_request *request) {
    struct pelion_app *app = request->arg;
    if (!STAILQ_EMPTY(&app->queue))
        pelion_send_json(end_poll(app), 200, take_all(app));
    else if (app->poll_late && server_is_leaping(app->pelion->web->server))
        http_wake(request);
    else if (app->poll_late)
        pelion_send_text(end_poll(app), 204, "");
}

static void on_poll_end(struct timer *timer, void *arg) {
    struct pelion_app *app = TIMER_OWNER(timer, struct pelion_app, poll_end);
    (void)arg;
    app->poll_late = true;
    http_wake(app->poll); /* after the leap that may be under way */
}

void pelion_pull(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    struct server *server = call->web->server;
    if (app == NULL)
        return;
    if (app->channel != PELION_NO_CHANNEL && app->channel != PELION_PULL) {
        pelion_send_text(call->request, 400, "");
        return;
    }
    pelion_open_channel(app, PELION_PULL);
    if (app->poll != NULL) /* a client that polls again waits for the older one no more */
        pelion_send_text(end_poll(app), 409, "");
    if (!STAILQ_EMPTY(&app->queue)) {
        pelion_send_json(call->request, 200, take_all(app));
        return;
    }
    app->poll = call->request;
    call->request->arg = app;
    call->request->gone = on_poll_gone;
    call->request->resume = on_poll_resume;
    timer_schedule(&server->wheel, &app->poll_end, clock_now_ms(&server->clock) + PELION_PULL_MS, on_poll_end);
}

void pelion_close_channel(struct pelion_app *app) {
    while (!STAILQ_EMPTY(&app->queue))
        drop_first(app);
    app->channel = PELION_NO_CHANNEL;
    app->dropped = 0;
    app->style = (struct pelion_style){.chunk = 0};
    json_decref(app->serialization);
    app->serialization = NULL;
    if (app->socket != NULL)
        pelion_socket_close(app->socket, WEBSOCKET_NORMAL);
    pelion_callback_end(app);
    if (app->poll != NULL)
        pelion_send_text(end_poll(app), 410, "CHANNEL_DELETED");
}

void pelion_pull_delete(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    if (app == NULL)
        return;
    bool had = app->channel == PELION_PULL;
    if (had)
        pelion_close_channel(app);
    pelion_send_text(call->request, 200, had ? "REMOVED" : "ALREADY_DELETED");
}

void pelion_channel_get(const struct call *call) {
    static const char *const names[] = {
        [PELION_PULL] = "LONG_POLLING", [PELION_SOCKET] = "WEB_SOCKET", [PELION_CALLBACK] = "CALLBACK"};
    struct pelion_app *app = pelion_app_of(call);
    if (app == NULL)
        return;
    if (app->channel == PELION_NO_CHANNEL)
        pelion_send_error(call->request, 404, "There is no channel.");
    else
        pelion_send_json(call->request, 200, json_pack("{ss}", "delivery_mechanism", names[app->channel]));
}
