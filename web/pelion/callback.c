/* The callback channel: messages go to a URL of the application, one request after the other, each until it is taken. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/text.h"
#include "common/net/uri.h"
#include "server/seal.h"
#include "web/document.h"
#include "web/http_client.h"
#include "web/http_tls.h"
#include "web/pelion/pelion.h"

enum {
    PLACE_MAX = 400, /* bytes of URL and header fields */
    HEAD_MAX = PLACE_MAX + 512,
    ANSWER_MS = 20000,
    RETRY_FIRST_MS = 1000,
    RETRY_LAST_MS = 120000,
    LIFE_MS = 86400 * 1000, /* of a message */
    BODY_MAX = 1 << 20,     /* bytes of a message, unless a single entry is longer */
    HOST_MAX = 256,
    STORED_MAX = PELION_STYLE_MAX + 4096, /* bytes of what is stored; a field takes more than its name and value */
};

struct pelion_callback {
    struct web *web;
    struct pelion_app *app; /* NULL: it is ending */
    struct http_client *client;
    json_t *document;         /* as it was put: url, headers, serialization */
    struct http_request *put; /* answered when the URL has been tried; NULL: it is in use */
    char *body;               /* a message that has not been taken yet, NULL: none */
    uint64_t since_ms;        /* when its first entry came */
    unsigned failures;        /* in a row */
    bool is_asking;           /* until `body` is taken, or `retry` runs */
    struct timer retry;
    char head[HEAD_MAX]; /* of a request, up to the number of Content-Length */
};

/* ---- what is put ---- */

/* The parts of a URL that a request needs. */
struct place {
    struct slice authority, target;
    char host[HOST_MAX];
    uint16_t port;
    bool is_secure;
};

static bool is_graphic(struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f)
            return false;
    }
    return true;
}

/* NULL, or what is wrong. */
static const char *read_place(struct slice url, struct place *place) {
    struct uri uri;
    const char *problem = "The URL is none of http or https.";
    if (url.len > PLACE_MAX || !is_graphic(url) || !uri_parse(url, &uri, &problem))
        return problem;
    place->is_secure = slice_is(uri.scheme, "https");
    if ((!place->is_secure && !slice_is(uri.scheme, "http")) || uri.host.len == 0 || uri.host.len >= HOST_MAX ||
        memchr(url.data, '@', url.len) != NULL || memchr(url.data, '#', url.len) != NULL)
        return "The URL must be http://HOST[:PORT]/PATH or https, without user and fragment.";
    memcpy(place->host, uri.host.data, uri.host.len);
    place->host[uri.host.len] = '\0';
    place->port = uri.has_port ? uri.port : place->is_secure ? 443 : 80;
    place->authority = slice_from(url, uri.scheme.len + 3);
    size_t len = 0;
    while (len < place->authority.len && strchr("/?", place->authority.data[len]) == NULL)
        len++;
    place->target = slice_from(place->authority, len);
    place->authority.len = len;
    return NULL;
}

static bool is_field(const char *name, struct slice value) {
    static const char *const ours[] = {"host",   "connection", "content-length", "content-type", "transfer-encoding",
                                       "expect", "upgrade"};
    static const char marks[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strcasecmp(name, ours[i]) == 0)
            return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        if ((value.data[i] < ' ' && value.data[i] != '\t') || value.data[i] == 0x7f)
            return false;
    }
    return value.data != NULL && *name != '\0' && strspn(name, marks) == strlen(name);
}

/* NULL, or what is wrong. */
static const char *put_head(struct pelion_callback *callback, const struct place *place, struct slice url) {
    struct buffer head = buffer_over(callback->head, sizeof callback->head - 1);
    json_t *headers = json_object_get(callback->document, "headers"), *value;
    const char *name;
    size_t len = url.len;
    if (headers != NULL && !json_is_object(headers) && !json_is_null(headers))
        return "headers must be an object of texts.";
    json_object_foreach(headers, name, value) {
        if (!is_field(name, document_string(value)))
            return "headers must be texts, and not about the connection or the content.";
        len += strlen(name) + json_string_length(value);
    }
    if (len > PLACE_MAX)
        return "URL and headers have more than 400 characters.";
    buffer_put_str(&head, "PUT ");
    if (!slice_starts_with(place->target, "/"))
        buffer_put_u8(&head, '/');
    buffer_put(&head, place->target.data, place->target.len);
    buffer_put_str(&head, " HTTP/1.1\r\nHost: ");
    buffer_put(&head, place->authority.data, place->authority.len);
    buffer_put_str(&head, "\r\nConnection: close\r\nUser-Agent: Berth\r\nContent-Type: application/json\r\n");
    json_object_foreach(headers, name, value) buffer_printf(&head, "%s: %s\r\n", name, json_string_value(value));
    buffer_put_str(&head, "Content-Length: ");
    if (head.overflow)
        return "URL and headers are too long.";
    callback->head[head.len] = '\0';
    return NULL;
}

static struct http_tls *authorities(struct web *web, const char **problem) {
    if (web->callback_tls == NULL)
        web->callback_tls = http_tls_new_client(web->server->config->callback_ca, problem);
    return web->callback_tls;
}

/* ---- its life ---- */

static void on_closed(void *arg) {
    struct pelion_callback *callback = arg;
    struct web *web = callback->web;
    json_decref(callback->document);
    free(callback->body);
    free(callback);
    web_release(web);
}

static void callback_end(struct pelion_callback *callback) {
    timer_cancel(&callback->web->server->wheel, &callback->retry);
    callback->app = NULL;
    http_client_free(callback->client, on_closed, callback);
}

/* `document` is copied. NULL: *problem says why. */
static struct pelion_callback *callback_new(struct pelion_app *app, json_t *document, const char **problem) {
    struct web *web = app->pelion->web;
    struct slice url = document_string(json_object_get(document, "url"));
    struct place place;
    struct pelion_callback *callback = calloc(1, sizeof *callback);
    *problem = "The server is out of memory.";
    if (callback == NULL)
        return NULL;
    *callback = (struct pelion_callback){.web = web, .app = app, .document = json_object()};
    for (const char *const *name = (const char *const[]){"url", "headers", "serialization", NULL}; *name != NULL;
         name++)
        json_object_set(callback->document, *name, json_object_get(document, *name));
    *problem = url.data == NULL ? "url is missing." : read_place(url, &place);
    if (*problem == NULL)
        *problem = put_head(callback, &place, url);
    if (*problem == NULL && !pelion_style_is_good(json_object_get(document, "serialization")))
        *problem = PELION_STYLE_FAULT;
    struct http_tls *tls = *problem == NULL && place.is_secure ? authorities(web, problem) : NULL;
    if (tls != NULL || (*problem == NULL && !place.is_secure)) {
        callback->client = http_client_new_to(web->server->loop, place.host, place.port, tls, ANSWER_MS);
        *problem = "The server is out of memory.";
    }
    if (callback->client == NULL) {
        json_decref(callback->document);
        free(callback);
        return NULL;
    }
    web_hold(web);
    return callback;
}

static bool ask(struct pelion_callback *callback, struct slice body, http_answer_fn *done) {
    size_t size = strlen(callback->head) + body.len + 32;
    char *request = malloc(size);
    if (request == NULL)
        return false;
    int len = snprintf(request, size, "%s%zu\r\n\r\n", callback->head, body.len);
    memcpy(request + len, body.data, body.len);
    http_client_ask(callback->client, slice_of(request, (size_t)len + body.len), done, callback);
    free(request);
    return true;
}

static bool is_taken(const struct http_answer *answer) {
    return answer->status == 200 || answer->status == 204;
}

/* ---- delivery ---- */

static void tell_failure(struct pelion_callback *callback, const char *what, const struct http_answer *answer) {
    char why[256], status[32];
    snprintf(status, sizeof status, "its answer was %u", answer->status);
    snprintf(why, sizeof why, "a Device Management callback %s: %s", what,
             answer->status == 0 ? answer->error : status);
    event_publish(callback->web->server->events, &(struct event){.type = EVENT_ODDITY, .detail = slice_str(why)});
}

static void deliver(struct pelion_callback *callback);

static void on_retry(struct timer *timer, void *arg) {
    struct pelion_callback *callback = TIMER_OWNER(timer, struct pelion_callback, retry);
    (void)arg;
    callback->is_asking = false;
    deliver(callback);
}

static void retry_later(struct pelion_callback *callback) {
    struct server *server = callback->web->server;
    unsigned doublings = callback->failures < 8 ? callback->failures : 8;
    uint64_t delay_ms = (uint64_t)RETRY_FIRST_MS << doublings;
    callback->failures++;
    timer_schedule(&server->wheel, &callback->retry,
                   clock_now_ms(&server->clock) + (delay_ms < RETRY_LAST_MS ? delay_ms : RETRY_LAST_MS), on_retry);
}

static void drop_body(struct pelion_callback *callback) {
    free(callback->body);
    callback->body = NULL;
}

static void on_delivered(void *arg, const struct http_answer *answer) {
    struct pelion_callback *callback = arg;
    struct server *server = callback->web->server;
    clock_update(&server->clock);
    if (is_taken(answer)) {
        drop_body(callback);
        callback->failures = 0;
        callback->is_asking = false;
        deliver(callback);
        return;
    }
    if (clock_now_ms(&server->clock) - callback->since_ms >= LIFE_MS) {
        drop_body(callback);
        tell_failure(callback, "took no message for a day, and one is lost", answer);
    } else if (callback->failures == 0) {
        tell_failure(callback, "takes no message, which is sent again", answer);
    }
    retry_later(callback);
}

static void deliver(struct pelion_callback *callback) {
    if (callback->is_asking || callback->put != NULL)
        return;
    if (callback->body == NULL && !STAILQ_EMPTY(&callback->app->queue)) {
        callback->since_ms = STAILQ_FIRST(&callback->app->queue)->ts_ms;
        json_t *message = pelion_take_some(callback->app, BODY_MAX);
        callback->body = json_dumps(message, JSON_COMPACT);
        json_decref(message);
    }
    if (callback->body == NULL)
        return;
    callback->is_asking = true;
    if (!ask(callback, slice_str(callback->body), on_delivered))
        retry_later(callback);
}

void pelion_callback_wake(struct pelion_callback *callback) {
    deliver(callback);
}

/* ---- trying it ---- */

/* The request that waits for it, which must be answered. */
static struct http_request *end_put(struct pelion_callback *callback) {
    struct http_request *request = callback->put;
    callback->put = NULL;
    request->gone = NULL;
    return request;
}

static void on_put_gone(struct http_request *request) {
    struct pelion_callback *callback = request->arg;
    end_put(callback);
    callback->app->trial = NULL;
    callback_end(callback);
}

static void take_into_use(struct pelion_app *app, struct pelion_callback *callback) {
    if (app->callback != NULL) { /* what it had on its way goes the new way */
        callback->body = app->callback->body;
        callback->since_ms = app->callback->since_ms;
        app->callback->body = NULL;
        callback_end(app->callback);
    }
    app->callback = callback;
    pelion_open_channel(app, PELION_CALLBACK);
    pelion_set_style(app, json_object_get(callback->document, "serialization"));
    deliver(callback);
}

static void on_tried(void *arg, const struct http_answer *answer) {
    struct pelion_callback *callback = arg;
    struct pelion_app *app = callback->app;
    struct http_request *request = end_put(callback);
    char why[256];
    app->trial = NULL;
    bool is_free = app->channel == PELION_NO_CHANNEL || app->channel == PELION_CALLBACK;
    if (is_taken(answer) && is_free) {
        take_into_use(app, callback);
        pelion_store_and_answer(app->pelion, request);
        return;
    }
    if (!is_free)
        snprintf(why, sizeof why, "There is a channel of another kind: delete it.");
    else if (answer->status == 0)
        snprintf(why, sizeof why, "The URL could not be tried: %s.", answer->error);
    else
        snprintf(why, sizeof why, "The URL answered a PUT of {} with %u instead of 200 or 204.", answer->status);
    callback_end(callback);
    pelion_send_error(request, 400, why);
}

void pelion_callback_end(struct pelion_app *app) {
    struct pelion_callback *trial = app->trial;
    if (app->callback != NULL)
        callback_end(app->callback);
    app->callback = app->trial = NULL;
    if (trial == NULL)
        return;
    pelion_send_error(end_put(trial), 400, "The channel was deleted meanwhile.");
    callback_end(trial);
}

void pelion_callback_put(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    char error[256];
    const char *problem = error;
    if (app == NULL)
        return;
    json_t *document = document_read(call->request->body, error, sizeof error);
    struct pelion_callback *callback = NULL;
    if (document != NULL && app->channel != PELION_NO_CHANNEL && app->channel != PELION_CALLBACK)
        problem = "There is a channel of another kind: delete it.";
    else if (document != NULL && app->trial != NULL)
        problem = "Another URL is being tried.";
    else if (document != NULL)
        callback = callback_new(app, document, &problem);
    json_decref(document);
    if (callback == NULL) {
        pelion_send_error(call->request, 400, problem);
        return;
    }
    app->trial = callback;
    callback->put = call->request;
    call->request->arg = callback;
    call->request->gone = on_put_gone;
    if (ask(callback, slice_str("{}"), on_tried))
        return;
    app->trial = NULL;
    end_put(callback);
    callback_end(callback);
    pelion_send_error(call->request, 503, "The server is out of memory.");
}

void pelion_callback_get(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    if (app == NULL)
        return;
    if (app->callback == NULL) {
        pelion_send_text(call->request, 404, "");
        return;
    }
    json_t *document = json_copy(app->callback->document);
    if (!json_is_object(json_object_get(document, "headers")))
        json_object_set_new(document, "headers", json_object());
    pelion_send_json(call->request, 200, document);
}

void pelion_callback_delete(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    if (app == NULL)
        return;
    if (app->channel != PELION_CALLBACK) {
        pelion_send_text(call->request, 404, "");
        return;
    }
    pelion_close_channel(app);
    pelion_store_and_answer(app->pelion, call->request);
}

/* ---- what is stored: header fields are secrets ---- */

static struct slice context_of(const struct pelion_app *app, char text[64]) {
    snprintf(text, 64, "pelion callback %s", app->key);
    return slice_str(text);
}

json_t *pelion_callback_sealed(const struct pelion_app *app) {
    char context[64];
    char *plain = json_dumps(app->callback->document, JSON_COMPACT);
    uint8_t sealed[STORED_MAX], text[sizeof sealed * 4 / 3 + 4];
    struct buffer out = buffer_over(sealed, sizeof sealed), coded = buffer_over(text, sizeof text);
    bool good =
        plain != NULL && seal_close(app->pelion->web->server->seal, context_of(app, context), slice_str(plain), &out);
    free(plain);
    text_put_base64(&coded, buffer_slice(&out));
    return good ? json_stringn((const char *)text, coded.len) : NULL;
}

void pelion_callback_open(struct pelion_app *app, const json_t *stored) {
    char context[64];
    uint8_t sealed[STORED_MAX], plain[sizeof sealed];
    struct buffer coded = buffer_over(sealed, sizeof sealed), out = buffer_over(plain, sizeof plain);
    const char *problem = "";
    json_t *document = NULL;
    if (text_get_base64(document_string(stored), &coded) &&
        seal_open(app->pelion->web->server->seal, context_of(app, context), buffer_slice(&coded), &out))
        document = json_loadb((const char *)plain, out.len, 0, NULL);
    struct pelion_callback *callback = document == NULL ? NULL : callback_new(app, document, &problem);
    if (callback != NULL)
        take_into_use(app, callback);
    json_decref(document);
}
