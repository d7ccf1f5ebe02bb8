#include "web/pelion/pelion.h"

#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/text.h"
#include "web/document.h"
#include "web/origin.h"
#include "web/stored.h"
#include "web/websocket.h"

static const char setting[] = "pelion";

/* ---- devices by their ids ---- */

static void know_all(struct pelion *pelion) {
    const struct registration *r;
    uint32_t slot = 0;
    while ((r = directory_next(pelion->web->server->directory, &slot)) != NULL)
        pelion_know(pelion, registration_endpoint(r), r->registered_at_ms);
}

struct slice pelion_endpoint(const struct pelion *pelion, struct slice id) {
    const json_t *item = pelion_item(pelion, PELION_DEVICES, id);
    return item == NULL ? SLICE_NONE : document_string(json_object_get(item, "endpoint_name"));
}

struct registration *pelion_registration(const struct pelion *pelion, struct slice id) {
    struct slice endpoint = pelion_endpoint(pelion, id);
    return endpoint.data == NULL ? NULL : directory_find(pelion->web->server->directory, endpoint);
}

/* ---- tasks ---- */

static void tell_dropped(struct pelion *pelion) {
    for (struct pelion_app *app = pelion->apps; app != NULL; app = app->next) {
        char why[128];
        if (app->dropped == 0)
            continue;
        snprintf(why, sizeof why, "a Device Management channel was full: messages are lost, the oldest first, %llu so far",
                 (unsigned long long)app->dropped);
        app->dropped = 0;
        event_publish(pelion->web->server->events, &(struct event){.type = EVENT_ODDITY, .detail = slice_str(why)});
    }
}

static void run_task(struct pelion *pelion, const struct pelion_task *task) {
    struct slice endpoint = slice_of(task->endpoint, task->endpoint_len);
    switch (task->type) {
    case EVENT_REGISTERED:
        pelion_forget_strangers(pelion);
        pelion_registered(pelion, endpoint, task->is_new);
        pelion_identify(pelion, endpoint);
        pelion_rollout_registered(pelion, endpoint, task->is_new);
        break;
    case EVENT_DEREGISTERED:
        pelion_deregistered(pelion, endpoint);
        break;
    case EVENT_OBSERVE_ENDED:
        pelion_observation_ended(pelion, endpoint, task->number);
        break;
    case EVENT_REQUEST_COMPLETED:
        pelion_request_completed(pelion, task->number);
        break;
    case EVENT_FIRMWARE:
        pelion_rollout_told(pelion, endpoint);
        break;
    default:
        tell_dropped(pelion);
        break;
    }
}

static void run_tasks(uv_idle_t *idle) {
    struct pelion *pelion = idle->data;
    struct pelion_task *task;
    clock_update(&pelion->web->server->clock);
    while ((task = STAILQ_FIRST(&pelion->tasks)) != NULL) {
        STAILQ_REMOVE_HEAD(&pelion->tasks, entry);
        run_task(pelion, task);
        free(task);
    }
    uv_idle_stop(idle);
}

/* What channels have lost is told once. */
static bool is_told_already(const struct pelion *pelion, enum event_type type) {
    const struct pelion_task *task;
    if (type != EVENT_ODDITY)
        return false;
    STAILQ_FOREACH(task, &pelion->tasks, entry) {
        if (task->type == type)
            return true;
    }
    return false;
}

void pelion_later(struct pelion *pelion, enum event_type type, struct slice endpoint, uint64_t number, bool is_new) {
    struct pelion_task *task =
        is_told_already(pelion, type) ? NULL : malloc(sizeof *task + endpoint.len);
    if (task == NULL)
        return;
    *task = (struct pelion_task){.type = type, .number = number, .is_new = is_new, .endpoint_len = endpoint.len};
    if (endpoint.len > 0)
        memcpy(task->endpoint, endpoint.data, endpoint.len);
    STAILQ_INSERT_TAIL(&pelion->tasks, task, entry);
    uv_idle_start(&pelion->idle, run_tasks);
}

/* ---- events ---- */

static bool has_channel(const struct pelion *pelion) {
    const struct pelion_app *app = pelion->apps;
    while (app != NULL && app->channel == PELION_NO_CHANNEL)
        app = app->next;
    return app != NULL;
}

static void on_registration(struct pelion *pelion, const struct event *event, bool is_new) {
    const struct registration *r = directory_find(pelion->web->server->directory, event->endpoint);
    if (r == NULL)
        return;
    if (is_new)
        pelion_device_changed(pelion, event);
    if (has_channel(pelion))
        pelion_tell_all(pelion, is_new ? PELION_REGISTRATIONS : PELION_UPDATES, pelion_registration_json(pelion, r));
    pelion_later(pelion, EVENT_REGISTERED, event->endpoint, 0, is_new);
}

static void on_end(struct pelion *pelion, const struct event *event) {
    struct device_id id = device_id_of(event->endpoint);
    pelion_device_changed(pelion, event);
    pelion_tell_all(pelion, event->type == EVENT_EXPIRED ? PELION_EXPIRED : PELION_DEREGISTRATIONS,
                    json_string(id.hex));
    pelion_later(pelion, EVENT_DEREGISTERED, event->endpoint, 0, false);
}

static void on_event(void *arg, const struct event *event) {
    struct pelion *pelion = arg;
    switch (event->type) {
    case EVENT_REGISTERED:
    case EVENT_REPLACED:
        on_registration(pelion, event, true);
        break;
    case EVENT_UPDATED:
        on_registration(pelion, event, false);
        break;
    case EVENT_DEREGISTERED:
    case EVENT_EXPIRED:
        on_end(pelion, event);
        break;
    case EVENT_BOOTSTRAP_FINISHED:
        pelion_device_changed(pelion, event);
        break;
    case EVENT_NOTIFICATION:
        pelion_rollout_event(pelion, event);
        pelion_notified(pelion, event);
        break;
    case EVENT_FIRMWARE:
        pelion_rollout_event(pelion, event);
        break;
    case EVENT_OBSERVE_ENDED:
        pelion_later(pelion, EVENT_OBSERVE_ENDED, event->endpoint, event->observation, false);
        break;
    case EVENT_REQUEST_COMPLETED:
        pelion_later(pelion, EVENT_REQUEST_COMPLETED, event->endpoint, event->request.id, false);
        break;
    default:
        break;
    }
}

/* ---- applications ---- */

/* Its digits are of a hash. */
static size_t bucket_of(struct slice key) {
    uint8_t first = 0;
    struct buffer byte = buffer_over(&first, 1);
    text_get_hex(slice_of(key.data, 2), &byte);
    return first;
}

struct pelion_app *pelion_app_find(const struct pelion *pelion, struct slice key) {
    struct pelion_app *app = key.len != PELION_KEY_LEN ? NULL : pelion->app_buckets[bucket_of(key)];
    while (app != NULL && !slice_is(key, app->key))
        app = app->bucket_next;
    return app;
}

static struct pelion_app *app_new(struct pelion *pelion, const char *key) {
    struct pelion_app *app = pelion->app_count < PELION_APPS_MAX ? calloc(1, sizeof *app) : NULL;
    if (app == NULL)
        return NULL;
    app->pelion = pelion;
    memcpy(app->key, key, PELION_KEY_LEN);
    STAILQ_INIT(&app->queue);
    app->presubscriptions = json_array();
    app->next = pelion->apps;
    pelion->apps = app;
    app->bucket_next = pelion->app_buckets[bucket_of(slice_str(app->key))];
    pelion->app_buckets[bucket_of(slice_str(app->key))] = app;
    pelion->app_count++;
    return app;
}

static void app_free(struct pelion_app *app) {
    pelion_close_channel(app);
    json_decref(app->presubscriptions);
    free(app);
}

void pelion_app_end(struct pelion_app *app) {
    struct pelion *pelion = app->pelion;
    struct pelion_app **link = &pelion->apps;
    if (app->socket != NULL)
        pelion_socket_close(app->socket, WEBSOCKET_POLICY);
    pelion_requests_end(pelion, app);
    for (struct pelion_subscription *s = pelion->subscriptions, *next; s != NULL; s = next) {
        next = s->next;
        if (s->app == app)
            pelion_unsubscribe(pelion, s, false);
    }
    while (*link != app)
        link = &(*link)->next;
    *link = app->next;
    link = &pelion->app_buckets[bucket_of(slice_str(app->key))];
    while (*link != app)
        link = &(*link)->bucket_next;
    *link = app->bucket_next;
    pelion->app_count--;
    app_free(app);
}

static void digest_of(struct slice key, uint8_t digest[32]) {
    mbedtls_sha256(key.data, key.len, digest, 0);
}

void pelion_put_hash(struct slice key, char hash[PELION_KEY_LEN + 1]) {
    uint8_t digest[32];
    struct buffer hex = buffer_over(hash, PELION_KEY_LEN);
    digest_of(key, digest);
    text_put_hex(&hex, slice_of(digest, PELION_KEY_LEN / 2));
    hash[PELION_KEY_LEN] = '\0';
}

static struct slice bearer(const struct http_request *request) {
    static const char scheme[] = "Bearer ";
    static const char prefix[] = "pelion_";
    struct slice header = http_header(request, "authorization"),
                 offered = http_header(request, "sec-websocket-protocol");
    const uint8_t *at =
        header.data != NULL || offered.len == 0 ? NULL : memmem(offered.data, offered.len, prefix, sizeof prefix - 1);
    if (at != NULL) { /* a browser can put it nowhere else: "wss, pelion_KEY" */
        offered = slice_from(offered, (size_t)(at - offered.data) + sizeof prefix - 1);
        size_t len = 0;
        while (len < offered.len && offered.data[len] != ',' && offered.data[len] != ' ')
            len++;
        return slice_of(offered.data, len);
    }
    if (header.len < sizeof scheme - 1 || strncasecmp((const char *)header.data, scheme, sizeof scheme - 1) != 0)
        return SLICE_NONE;
    header = slice_from(header, sizeof scheme - 1);
    while (header.len > 0 && header.data[0] == ' ')
        header = slice_from(header, 1);
    return header;
}

/* Every key is good when the server was started with none, but those that were deleted. */
static bool read_key(const struct web *web, const struct http_request *request, char key[PELION_KEY_LEN + 1]) {
    uint8_t given[32], ours[32];
    struct slice text = bearer(request);
    const char *wanted = web->server->config->api_key;
    bool is_known = false;
    if (text.len == 0)
        return false;
    pelion_put_hash(text, key);
    bool is_good = web->pelion != NULL && pelion_key_is_good(web->pelion, key, &is_known);
    if (is_known || wanted == NULL)
        return is_good || !is_known;
    digest_of(text, given);
    digest_of(slice_str(wanted), ours);
    return mbedtls_ct_memcmp(given, ours, sizeof given) == 0;
}

struct pelion_app *pelion_app_of(const struct call *call) {
    char key[PELION_KEY_LEN + 1];
    struct pelion *pelion = call->web->pelion;
    struct pelion_app *app = NULL;
    if (read_key(call->web, call->request, key)) {
        app = pelion_app_find(pelion, slice_str(key));
        app = app == NULL ? app_new(pelion, key) : app;
    }
    if (app == NULL)
        pelion_send_error(call->request, 503, "There are as many applications as there may be.");
    return app;
}

/* ---- what is stored ---- */

static json_t *state_json(const struct pelion *pelion) {
    json_t *apps = json_object(), *channels = json_object();
    for (const struct pelion_app *app = pelion->apps; app != NULL; app = app->next) {
        if (json_array_size(app->presubscriptions) > 0)
            json_object_set(apps, app->key, app->presubscriptions);
        if (app->channel == PELION_SOCKET)
            json_object_set_new(channels, app->key, json_pack("{sO?}", "websocket", app->serialization));
        if (app->channel == PELION_CALLBACK)
            json_object_set_new(channels, app->key, json_pack("{so}", "callback", pelion_callback_sealed(app)));
    }
    return json_pack("{sososO}", "presubscriptions", apps, "channels", channels, "keys", pelion->keys);
}

static void on_stored(void *arg, enum store_result result) {
    struct http_request *request = arg;
    if (result == STORE_OK)
        pelion_send_text(request, 204, "");
    else
        pelion_send_error(request, 503, "The database could not be written. Try again later.");
}

void pelion_store(struct pelion *pelion, store_done_fn *done, void *arg) {
    json_t *state = state_json(pelion);
    char *text = json_dumps(state, JSON_COMPACT);
    json_decref(state);
    enum store_result result = text == NULL
                                   ? STORE_QUEUE_FULL
                                   : store_put_setting(pelion->web->server->store, setting, slice_str(text), done, arg);
    free(text);
    if (result != STORE_OK && done != NULL)
        done(arg, result);
}

void pelion_store_and_answer(struct pelion *pelion, struct http_request *request) {
    pelion_store(pelion, on_stored, request);
}

/* An answer that waits for a commit. */
struct answer {
    struct http_request *request;
    unsigned status;
    json_t *json;
};

static void on_stored_json(void *arg, enum store_result result) {
    struct answer *answer = arg;
    if (result == STORE_OK)
        pelion_send_json(answer->request, answer->status, json_incref(answer->json));
    else
        pelion_send_error(answer->request, 503, "The database could not be written. Try again later.");
    json_decref(answer->json);
    free(answer);
}

void pelion_store_and_send(struct pelion *pelion, struct http_request *request, unsigned status, json_t *json) {
    struct answer *answer = malloc(sizeof *answer);
    if (answer == NULL) {
        json_decref(json);
        pelion_send_error(request, 503, "The server is out of memory.");
        return;
    }
    *answer = (struct answer){.request = request, .status = status, .json = json};
    pelion_store(pelion, on_stored_json, answer);
}

struct pelion_app *pelion_app_stored(struct pelion *pelion, const char *key) {
    struct pelion_app *app = pelion_app_find(pelion, slice_str(key));
    return app != NULL || strlen(key) != PELION_KEY_LEN ? app : app_new(pelion, key);
}

static void load_channel(struct pelion_app *app, const json_t *stored) {
    json_t *serialization = json_object_get(stored, "websocket"), *callback = json_object_get(stored, "callback");
    if (callback != NULL) {
        pelion_callback_open(app, callback);
    } else if (serialization != NULL) {
        app->channel = PELION_SOCKET;
        pelion_set_style(app, serialization);
    }
}

static void load(struct pelion *pelion, const json_t *state) {
    const char *key;
    json_t *list, *channel, *keys = json_object_get(state, "keys");
    if (json_is_object(keys)) {
        json_decref(pelion->keys);
        pelion->keys = json_incref(keys);
    }
    json_object_foreach(json_object_get(state, "presubscriptions"), key, list) {
        struct pelion_app *app = pelion_app_stored(pelion, key);
        if (app == NULL || !pelion_presubscriptions_good(list))
            continue;
        json_decref(app->presubscriptions);
        app->presubscriptions = json_incref(list);
    }
    json_object_foreach(json_object_get(state, "channels"), key, channel) {
        struct pelion_app *app = pelion_app_stored(pelion, key);
        if (app != NULL)
            load_channel(app, channel);
    }
    pelion_readopt(pelion);
}

/* ---- start and stop ---- */

struct pelion *pelion_new(struct web *web) {
    struct pelion *pelion = calloc(1, sizeof *pelion);
    if (pelion == NULL)
        return NULL;
    pelion->web = web;
    pelion->keys = json_object();
    pelion->subscriber = event_subscribe(web->server->events, on_event, pelion);
    if (pelion_tables_new(pelion) == NULL || pelion->keys == NULL || pelion->subscriber == NULL) {
        pelion_tables_free(pelion);
        json_decref(pelion->keys);
        free(pelion);
        return NULL;
    }
    STAILQ_INIT(&pelion->tasks);
    TAILQ_INIT(&pelion->known);
    uv_idle_init(web->server->loop, &pelion->idle);
    pelion->idle.data = pelion;
    web_hold(web);
    know_all(pelion);
    web->pelion = pelion;
    return pelion;
}

bool pelion_start(struct web *web, char *error, size_t error_size) {
    long len = store_get_setting(web->server->store, setting, NULL, 0);
    if (!pelion_tables_load(web, error, error_size))
        return false;
    char *text = len <= 0 ? NULL : malloc((size_t)len);
    if (text == NULL && len <= 0 && web->pelion != NULL)
        pelion_subscriptions_load(web->pelion);
    if (text == NULL) {
        snprintf(error, error_size, "out of memory");
        return len <= 0;
    }
    struct pelion *pelion = web->pelion == NULL ? pelion_new(web) : web->pelion;
    store_get_setting(web->server->store, setting, text, (size_t)len);
    json_t *state = json_loadb(text, (size_t)len, 0, NULL);
    if (pelion != NULL) {
        load(pelion, state);
        pelion_subscriptions_load(pelion);
    }
    json_decref(state);
    free(text);
    if (pelion == NULL)
        snprintf(error, error_size, "out of memory");
    return pelion != NULL;
}

static void on_idle_closed(uv_handle_t *handle) {
    struct pelion *pelion = handle->data;
    struct web *web = pelion->web;
    free(pelion);
    web_release(web);
}

void pelion_stop(struct web *web) {
    struct pelion *pelion = web->pelion;
    struct pelion_task *task;
    if (pelion == NULL)
        return;
    web->pelion = NULL;
    event_unsubscribe(web->server->events, pelion->subscriber);
    pelion_requests_end(pelion, NULL);
    pelion_resources_end(pelion);
    while (pelion->subscriptions != NULL)
        pelion_unsubscribe(pelion, pelion->subscriptions, true);
    for (struct pelion_app *app = pelion->apps, *next; app != NULL; app = next) {
        next = app->next;
        app_free(app);
    }
    while ((task = STAILQ_FIRST(&pelion->tasks)) != NULL) {
        STAILQ_REMOVE_HEAD(&pelion->tasks, entry);
        free(task);
    }
    pelion_askings_end(pelion);
    pelion_rollouts_end(pelion);
    pelion_tables_free(pelion);
    json_decref(pelion->keys);
    pelion->keys = NULL; /* commits are still to come */
    uv_close((uv_handle_t *)&pelion->idle, on_idle_closed);
}

/* ---- requests ---- */

bool pelion_has(const struct route_path *path) {
    size_t first = 0;
    while (first + 1 < path->count && path->segments[first].len == 0)
        first++;
    return path->count > first + 1 && (slice_is(path->segments[first], "v2") || slice_is(path->segments[first], "v3"));
}

/* Clients put slashes twice, and at the end. */
static void drop_empty_segments(struct route_path *path) {
    size_t kept = 0;
    for (size_t i = 0; i < path->count; i++) {
        if (path->segments[i].len > 0)
            path->segments[kept++] = path->segments[i];
    }
    path->count = kept;
}

static void send_options(const struct call *call, const struct route_path *path) {
    char headers[ROUTE_ALLOW_MAX + 16];
    struct buffer text = buffer_over(headers, sizeof headers - 1);
    buffer_put_str(&text, "Allow: ");
    route_put_allowed(&call->web->pelion_api, path, &text);
    buffer_put_str(&text, "\r\n");
    headers[text.len] = '\0';
    http_respond(call->request, &(struct http_response){.status = 204, .headers = headers});
}

static void send_not_allowed(const struct call *call, const struct route_path *path) {
    char allow[ROUTE_ALLOW_MAX + 1], message[ROUTE_ALLOW_MAX + 64];
    struct buffer allowed = buffer_over(allow, sizeof allow - 1);
    route_put_allowed(&call->web->pelion_api, path, &allowed);
    snprintf(message, sizeof message, "The method does not go with this path; these do: %.*s.", (int)allowed.len,
             allow);
    pelion_send_error(call->request, 405, message);
}

void pelion_begin(struct call *call, struct route_path *path) {
    char key[PELION_KEY_LEN + 1];
    const struct route *route = NULL;
    drop_empty_segments(path);
    if (route_find(&call->web->pelion_api, call->request->method, path, &route, call->args) == ROUTE_FOUND &&
        route->begin != NULL && read_key(call->web, call->request, key))
        route->begin(call);
}

void pelion_handle(struct call *call, struct route_path *path, struct buffer *memory) {
    char key[PELION_KEY_LEN + 1];
    const struct route *route = NULL;
    drop_empty_segments(path);
    enum route_result found = route_find(&call->web->pelion_api, call->request->method, path, &route, call->args);
    const char *fault = query_parse(call->request->query, memory, &call->query);
    if (found == ROUTE_NO_METHOD && strcmp(call->request->method, "OPTIONS") == 0)
        send_options(call, path);
    else if (origin_is_foreign(call->request))
        pelion_send_error(call->request, 403, "The Origin header names another host than the Host header.");
    else if (!(found == ROUTE_FOUND && route->open) && !read_key(call->web, call->request, key))
        pelion_send_error(call->request, 401, "It needs an API key: Authorization: Bearer KEY.");
    else if (found == ROUTE_NO_PATH)
        pelion_send_error(call->request, 404, "There is nothing at this path.");
    else if (found == ROUTE_NO_METHOD)
        send_not_allowed(call, path);
    else if (fault != NULL)
        pelion_send_error(call->request, 400, fault);
    else if (call->web->pelion == NULL && pelion_new(call->web) == NULL)
        pelion_send_error(call->request, 503, "The server is out of memory.");
    else
        route->handler(call);
}
