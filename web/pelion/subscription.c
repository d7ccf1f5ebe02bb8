/* Subscriptions of single paths, and pre-subscriptions, by which devices are subscribed to when they register. A
 * subscription is an observation of its own, made by a call of /v1 from within. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/lwm2m/format.h"
#include "common/lwm2m/link_format.h"
#include "common/lwm2m/text.h"
#include "server/awake.h"
#include "server/dealings.h"
#include "server/notification.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum { TARGET_MAX = 1200, NAME_MAX_LEN = 64, PATH_MAX_LEN = 128, TEXT_MAX = 512, VALUE_MAX = 64 * 1024 };

/* ---- the list ---- */

static struct pelion_subscription *find(const struct pelion_app *app, struct slice device,
                                        const struct lwm2m_path *path) {
    struct pelion_subscription *s = app->pelion->subscriptions;
    while (s != NULL && !(s->app == app && slice_is(device, s->device) && lwm2m_path_equal(&s->path, path)))
        s = s->next;
    return s;
}

static struct registration *registration_of(const struct pelion_subscription *s) {
    return pelion_registration(s->app->pelion, slice_str(s->device));
}

/* Whether a subscription is told what an observation tells. What a device observes by itself is nobody's own. */
static bool is_of(const struct pelion_subscription *s, const struct observation *o) {
    return !o->is_composite && o->path_count == 1 && lwm2m_path_equal(&o->paths[0], &s->path) &&
           (s->observation == 0 || s->observation == o->id || o->is_auto);
}

static struct observation *observation_of(const struct pelion_subscription *s) {
    const struct registration *r = registration_of(s);
    struct observation *o = r == NULL || r->dealings == NULL ? NULL : r->dealings->observations;
    while (o != NULL && (!is_of(s, o) || o->is_auto || o->state == OBSERVATION_STARTING))
        o = o->next;
    return o;
}

static bool is_shared(const struct pelion *pelion, const struct pelion_subscription *s, const struct observation *o) {
    for (const struct pelion_subscription *other = pelion->subscriptions; other != NULL; other = other->next) {
        if (other != s && other->observation == o->id && strcmp(other->device, s->device) == 0)
            return true;
    }
    return false;
}

/* What the device says to a Cancel is nobody's business. */
static void on_cancelled(void *arg, const struct coap_reply *reply) {
    (void)arg;
    (void)reply;
}

void pelion_unsubscribe(struct pelion *pelion, struct pelion_subscription *s, bool device_forgot) {
    struct pelion_subscription **link = &pelion->subscriptions;
    struct observation *o = device_forgot ? NULL : observation_of(s);
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    pelion->subscription_count--;
    if (*s->stored != '\0' && pelion->web->pelion != NULL) /* else the server ends, and it goes on */
        pelion_forget(pelion, PELION_SINGLES, s->stored);
    if (s->inner != NULL)
        inner_cancel(s->inner);
    else if (o != NULL && !is_shared(pelion, s, o))
        observation_cancel(o, on_cancelled, NULL);
    free(s);
}

static struct pelion_subscription *subscription_new(struct pelion_app *app, struct slice device,
                                                    const struct lwm2m_path *path, bool is_pre) {
    struct pelion *pelion = app->pelion;
    struct pelion_subscription *s = pelion->subscription_count < PELION_SUBSCRIPTIONS_MAX ? calloc(1, sizeof *s) : NULL;
    if (s == NULL || device.len != sizeof s->device - 1) {
        free(s);
        return NULL;
    }
    s->app = app;
    s->path = *path;
    s->is_pre = is_pre;
    memcpy(s->device, device.data, device.len);
    s->next = pelion->subscriptions;
    pelion->subscriptions = s;
    pelion->subscription_count++;
    return s;
}

/* ---- beginning ---- */

static uint64_t observation_in(const char *headers) {
    static const char name[] = "Observation: ";
    const char *line = headers == NULL ? NULL : strstr(headers, name);
    return line == NULL ? 0 : strtoull(line + sizeof name - 1, NULL, 10);
}

static void on_answered(void *arg, const struct http_response *response) {
    struct pelion_subscription *s = arg;
    s->inner = NULL;
    if (*s->async_id != '\0' && response->status != 202)
        pelion_tell_response(s->app, s->async_id, response);
    if (response->status < 300)
        s->observation = observation_in(response->headers);
    else
        pelion_unsubscribe(s->app->pelion, s, true);
}

static void begin_observing(struct pelion_subscription *s, const struct registration *r) {
    uint8_t memory[TARGET_MAX];
    struct buffer target = buffer_over(memory, sizeof memory);
    char accept[PELION_ACCEPT_MAX];
    pelion_put_target(&target, registration_endpoint(r), &s->path, "/observe");
    pelion_put_accept(accept, s->app, s->async_id);
    struct inner *inner =
        inner_start(s->app->pelion->web,
                    &(struct inner_request){.method = "PUT",
                                            .path = buffer_slice(&target),
                                            .query = slice_str("force=1"),
                                            .accept = accept,
                                            .prefer = r->queue_mode && !awake_is(r) ? "respond-async" : NULL},
                    on_answered, s);
    if (inner != NULL) /* else it is over, and perhaps gone */
        s->inner = inner;
}

/* ---- what devices tell ---- */

static void tell(const struct pelion_subscription *s, struct slice payload, const char *type) {
    uint8_t memory[32];
    struct buffer path = buffer_over(memory, sizeof memory);
    lwm2m_path_put(&path, &s->path);
    json_t *json = json_pack("{ssss#}", "ep", s->device, "path", (const char *)memory, (int)path.len);
    pelion_set_payload(json, payload, type);
    pelion_tell(s->app, PELION_NOTIFICATIONS, json);
}

static const struct observation *observation_in_event(const struct pelion *pelion, struct slice endpoint, uint64_t id) {
    const struct registration *r = directory_find_newest(pelion->web->server->directory, endpoint);
    const struct observation *o = r == NULL || r->dealings == NULL ? NULL : r->dealings->observations;
    while (o != NULL && o->id != id)
        o = o->next;
    return o;
}

/* One value by itself, several as TLV. */
static bool put_values(struct buffer *out, const struct observation *o, const struct event_content *content,
                       const char **type) {
    const struct lwm2m_nodes *values = content->values;
    struct lwm2m_encode_context context = {.base = o->paths[0], .mode = SENML_CONTENT, .time = CBOR_TIME_PLAIN};
    if (values->count == 0)
        return false;
    if (values->count == 1 && lwm2m_path_equal(&values->nodes[0].path, &o->paths[0]) && o->paths[0].len >= 3)
        return values->nodes[0].value.type != LWM2M_RAW && pelion_put_value(out, &values->nodes[0].value, type);
    *type = pelion_media_type(LWM2M_FORMAT_TLV);
    return lwm2m_format_of(content->format) != LWM2M_FORMAT_TLV &&
           lwm2m_encode(LWM2M_FORMAT_TLV, values->nodes, values->count, &context, out);
}

/* What cannot be told so is told as it came. */
static bool put_content(struct buffer *out, const struct observation *o, const struct event_content *content,
                        const char **type) {
    if (put_values(out, o, content, type))
        return true;
    *type = pelion_media_type(lwm2m_format_of(content->format));
    out->len = 0;
    out->overflow = false;
    buffer_put_slice(out, content->body);
    return !out->overflow;
}

/* Of a notification, in memory that is to be freed. What no channel holds is not made. */
static bool make_payload(struct buffer *out, const struct observation *o, const struct event_content *content,
                         const char **type) {
    size_t cap = PELION_GROWTH * content->body.len + TEXT_MAX;
    uint8_t *memory = content->body.len > PELION_QUEUE_BYTES_MAX ? NULL : malloc(cap);
    *out = buffer_over(memory, memory == NULL ? 0 : cap);
    return put_content(out, o, content, type);
}

/* Whether it is told what an observation of its device tells. */
static bool is_told(struct pelion_subscription *s, const struct event *event, const struct observation *o) {
    bool is_answer = *s->async_id != '\0' && event->is_answer; /* the async-response has it */
    if (s->inner == NULL && s->observation == 0 && !is_answer && !o->is_auto)
        s->observation = o->id;
    return !is_answer;
}

void pelion_notified(struct pelion *pelion, const struct event *event) {
    const struct event_content *content = event->content;
    const struct observation *o = pelion->subscriptions == NULL || content == NULL || event->is_stale
                                      ? NULL
                                      : observation_in_event(pelion, event->endpoint, event->observation);
    if (o == NULL || o->is_composite)
        return;
    struct device_id id = device_id_of(event->endpoint);
    struct buffer payload = buffer_over(NULL, 0);
    const char *type = NULL;
    bool is_made = false;
    for (struct pelion_subscription *s = pelion->subscriptions; s != NULL; s = s->next) {
        if (strcmp(s->device, id.hex) != 0 || !is_of(s, o) || !is_told(s, event, o))
            continue;
        if (type == NULL)
            is_made = make_payload(&payload, o, content, &type);
        if (is_made)
            tell(s, buffer_slice(&payload), type);
        else
            pelion_lose(s->app);
    }
    free(payload.data);
}

bool pelion_put_value(struct buffer *out, const struct lwm2m_value *value, const char **type) {
    bool is_opaque = value->type == LWM2M_OPAQUE;
    *type = is_opaque ? "application/octet-stream" : "text/plain";
    if (!is_opaque)
        return lwm2m_text_encode(value, out);
    buffer_put_slice(out, value->bytes);
    return !out->overflow;
}

const char *pelion_media_type(int format) {
    switch (format) {
    case 0:
        return "text/plain";
    case 60:
        return "application/cbor";
    case 110:
        return "application/senml+json";
    case 112:
        return "application/senml+cbor";
    case 11542:
        return "application/vnd.oma.lwm2m+tlv";
    case 11543:
        return "application/vnd.oma.lwm2m+json";
    case 11544:
        return "application/vnd.oma.lwm2m+cbor";
    default:
        return "application/octet-stream";
    }
}

bool pelion_put_last(struct buffer *out, const struct observation *o, const char **type) {
    struct notification_memory memory = {0};
    struct lwm2m_nodes values = lwm2m_nodes_over(NULL, 0);
    struct event_content last = {.format = o->last_format, .body = slice_of(o->last, o->last_len), .values = &values};
    if (!notification_reserve(&memory, last.body.len) ||
        notification_read(o, last.format, last.body, &memory, &values) != NULL)
        values.count = 0;
    bool is_put = put_content(out, o, &last, type);
    notification_memory_free(&memory);
    return is_put;
}

void pelion_observation_ended(struct pelion *pelion, struct slice endpoint, uint64_t observation) {
    struct device_id id = device_id_of(endpoint);
    for (struct pelion_subscription *s = pelion->subscriptions, *next; s != NULL; s = next) {
        next = s->next;
        if (s->inner == NULL && s->observation == observation && strcmp(s->device, id.hex) == 0)
            pelion_unsubscribe(pelion, s, true);
    }
}

/* ---- registrations ---- */

static void end_of_device(struct pelion *pelion, struct slice endpoint, bool also_pre, bool device_forgot) {
    struct device_id id = device_id_of(endpoint);
    for (struct pelion_subscription *s = pelion->subscriptions, *next; s != NULL; s = next) {
        next = s->next;
        if (strcmp(s->device, id.hex) == 0 && (also_pre || !s->is_pre))
            pelion_unsubscribe(pelion, s, device_forgot);
    }
}

static bool is_observed(const struct registration *r, const struct lwm2m_path *path) {
    const struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations;
    while (o != NULL && (o->is_composite || o->is_auto || !lwm2m_path_equal(&o->paths[0], path)))
        o = o->next;
    return o != NULL;
}

/* What was stored, and had not begun when the server ended. */
static void begin_waiting(struct pelion *pelion, const struct registration *r) {
    struct device_id id = device_id_of(registration_endpoint(r));
    for (struct pelion_subscription *s = pelion->subscriptions, *next; s != NULL; s = next) {
        next = s->next;
        if (!s->is_loaded || strcmp(s->device, id.hex) != 0)
            continue;
        s->is_loaded = false;
        if (!is_observed(r, &s->path))
            begin_observing(s, r);
    }
}

void pelion_registered(struct pelion *pelion, struct slice endpoint, bool is_new) {
    struct registration *r = directory_find(pelion->web->server->directory, endpoint);
    if (is_new)
        end_of_device(pelion, endpoint, false, false);
    else if (r != NULL)
        begin_waiting(pelion, r);
    for (struct pelion_app *app = pelion->apps; r != NULL && app != NULL; app = app->next)
        pelion_presubscribe(app, r);
}

void pelion_deregistered(struct pelion *pelion, struct slice endpoint) {
    if (directory_find(pelion->web->server->directory, endpoint) == NULL)
        end_of_device(pelion, endpoint, true, true);
}

/* ---- pre-subscriptions ---- */

/* `pattern` may end in '*'. */
static bool fits(struct slice pattern, struct slice text) {
    if (pattern.len > 0 && pattern.data[pattern.len - 1] == '*')
        return text.len >= pattern.len - 1 && memcmp(text.data, pattern.data, pattern.len - 1) == 0;
    return slice_equal(pattern, text);
}

static bool fits_device(const json_t *entry, const json_t *device) {
    const json_t *name = json_object_get(entry, "endpoint-name"), *type = json_object_get(entry, "endpoint-type");
    if (name != NULL && !fits(document_string(name), document_string(json_object_get(device, "ep"))) &&
        !fits(document_string(name), document_string(json_object_get(device, "original-ep"))))
        return false;
    return type == NULL || fits(document_string(type), document_string(json_object_get(device, "ept")));
}

static void begin(struct pelion_app *app, const json_t *device, const struct lwm2m_path *path) {
    struct slice id = document_string(json_object_get(device, "ep"));
    if (path->len == 0 || path->ids[0] == 0 || path->ids[0] == 21 || path->ids[0] == 23 || find(app, id, path) != NULL)
        return;
    const struct registration *r = pelion_registration(app->pelion, id);
    struct pelion_subscription *s = r == NULL ? NULL : subscription_new(app, id, path, true);
    if (s != NULL && !app->pelion->is_loading)
        begin_observing(s, r);
    else if (s != NULL && observation_of(s) == NULL)
        pelion_unsubscribe(app->pelion, s, true); /* it begins when the device is heard */
}

static void begin_known(struct pelion_app *app, const json_t *device, struct slice pattern) {
    const json_t *resource;
    size_t i;
    json_array_foreach(json_object_get(device, "resources"), i, resource) {
        struct slice text = document_string(json_object_get(resource, "path"));
        struct lwm2m_path path;
        if (json_is_true(json_object_get(resource, "obs")) && lwm2m_path_parse(text, &path, NULL) &&
            (pattern.data == NULL || fits(pattern, text)))
            begin(app, device, &path);
    }
}

/* Whether a pattern that ends in a star is about resources of an instance that stands alone. */
static bool is_within_instance(const json_t *device, struct slice pattern) {
    const json_t *resource;
    size_t i;
    json_array_foreach(json_object_get(device, "resources"), i, resource) {
        struct slice text = document_string(json_object_get(resource, "path"));
        struct lwm2m_path path;
        if (lwm2m_path_parse(text, &path, NULL) && path.len == 2 && slice_starts_with(pattern, "/") &&
            pattern.len > text.len + 1 && memcmp(pattern.data, text.data, text.len) == 0 &&
            pattern.data[text.len] == '/')
            return true;
    }
    return false;
}

/* What a pattern had begun when the server was running before, of resources that are not known yet. */
static void readopt(struct pelion_app *app, const struct registration *r, const json_t *device, struct slice pattern) {
    for (const struct observation *o = r->dealings->observations; o != NULL; o = o->next) {
        uint8_t memory[32];
        struct buffer text = buffer_over(memory, sizeof memory);
        lwm2m_path_put(&text, &o->paths[0]);
        if (!o->is_auto && !o->is_composite && fits(pattern, buffer_slice(&text)))
            begin(app, device, &o->paths[0]);
    }
}

static void apply(struct pelion_app *app, const struct registration *r, const json_t *entry, const json_t *device) {
    const json_t *paths = json_object_get(entry, "resource-path"), *text;
    size_t i;
    if (json_array_size(paths) == 0) {
        begin_known(app, device, SLICE_NONE);
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)paths, i, text) {
        struct slice pattern = document_string(text);
        struct lwm2m_path path;
        bool is_path = lwm2m_path_parse(pattern, &path, NULL);
        if (!is_path && is_within_instance(device, pattern) && app->pelion->is_loading)
            readopt(app, r, device, pattern);
        else if (!is_path && is_within_instance(device, pattern))
            pelion_resources_want(app->pelion, r);
        if (!is_path)
            begin_known(app, device, pattern);
        else if (pelion_has_path(r, &path))
            begin(app, device, &path);
    }
}

void pelion_presubscribe(struct pelion_app *app, struct registration *r) {
    const json_t *entry;
    size_t i;
    if (json_array_size(app->presubscriptions) == 0)
        return;
    json_t *device = pelion_registration_json(app->pelion, r);
    json_array_foreach(app->presubscriptions, i, entry) {
        if (fits_device(entry, device))
            apply(app, r, entry, device);
    }
    json_decref(device);
}

void pelion_readopt(struct pelion *pelion) {
    struct registration *r;
    uint32_t slot = 0;
    pelion->is_loading = true;
    while ((r = directory_next(pelion->web->server->directory, &slot)) != NULL) {
        for (struct pelion_app *app = pelion->apps; app != NULL && r->dealings != NULL; app = app->next)
            pelion_presubscribe(app, r);
    }
    pelion->is_loading = false;
}

static bool is_name(const json_t *name) {
    return name == NULL || (json_is_string(name) && json_string_length(name) <= NAME_MAX_LEN);
}

bool pelion_presubscriptions_good(const json_t *list) {
    const json_t *entry, *path;
    size_t i, j;
    if (!json_is_array(list) || json_array_size(list) > PELION_PRESUBSCRIPTIONS_MAX)
        return false;
    json_array_foreach((json_t *)(uintptr_t)list, i, entry) {
        const json_t *paths = json_object_get(entry, "resource-path");
        if (!json_is_object(entry) || !is_name(json_object_get(entry, "endpoint-name")) ||
            !is_name(json_object_get(entry, "endpoint-type")) ||
            (paths != NULL && (!json_is_array(paths) || json_array_size(paths) > NAME_MAX_LEN)))
            return false;
        json_array_foreach((json_t *)(uintptr_t)paths, j, path) {
            if (!json_is_string(path) || json_string_length(path) > PATH_MAX_LEN)
                return false;
        }
    }
    return true;
}

void pelion_presubscriptions_get(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    if (app != NULL)
        pelion_send_json(call->request, 200, json_incref(app->presubscriptions));
}

/* What the old list had begun ends unless the new one has it, too: all ends, and what is wanted begins. */
static void replace(struct pelion_app *app, json_t *list) {
    const struct directory *directory = app->pelion->web->server->directory;
    struct pelion_subscription *next;
    uint32_t slot = 0;
    struct registration *r;
    json_decref(app->presubscriptions);
    app->presubscriptions = list;
    for (struct pelion_subscription *s = app->pelion->subscriptions; s != NULL; s = next) {
        next = s->next;
        if (s->app == app && s->is_pre)
            pelion_unsubscribe(app->pelion, s, false);
    }
    while (json_array_size(list) > 0 && (r = directory_next(directory, &slot)) != NULL)
        pelion_presubscribe(app, r);
}

void pelion_presubscriptions_put(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    struct slice body = call->request->body;
    json_t *list = app == NULL || body.len == 0 ? NULL : json_loadb((const char *)body.data, body.len, 0, NULL);
    if (app == NULL)
        return;
    if (!pelion_presubscriptions_good(list)) {
        json_decref(list);
        pelion_send_error(call->request, 400,
                          "It must be a list of at most 1024 objects with endpoint-name, endpoint-type (texts of at "
                          "most 64 bytes) and resource-path (a list of at most 64 texts of at most 128 bytes).");
        return;
    }
    replace(app, list);
    pelion_store_and_answer(app->pelion, call->request);
}

void pelion_presubscriptions_delete(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    if (app == NULL)
        return;
    replace(app, json_array());
    pelion_store_and_answer(app->pelion, call->request);
}

/* ---- /v2/subscriptions/{id} ---- */

bool pelion_read_path(const struct call *call, struct lwm2m_path *path) {
    *path = (struct lwm2m_path){.len = 0};
    for (size_t i = 1; i < ROUTE_ARGS_MAX && call->args[i].data != NULL; i++) {
        uint64_t id;
        if (!slice_to_u64(call->args[i], LWM2M_ID_MAX, &id))
            return false;
        *path = lwm2m_path_child(path, (uint16_t)id);
    }
    return true;
}

/* A subscription that is begun, and answered, when it is stored. */
struct beginning {
    struct pelion *pelion;
    struct http_request *request;
    struct lwm2m_path path;
    char key[PELION_KEY_LEN + 1], device[33], stored[PELION_ID_LEN + 1];
};

/* NULL: the request is answered. */
static struct pelion_subscription *make_stored(const struct beginning *b, enum store_result result) {
    struct pelion *pelion = b->pelion;
    struct slice device = slice_str(b->device);
    struct pelion_app *app = pelion->web->pelion == NULL ? NULL : pelion_app_find(pelion, slice_str(b->key));
    bool is_there = app != NULL && pelion_registration(pelion, device) != NULL;
    struct pelion_subscription *older = is_there ? find(app, device, &b->path) : NULL;
    if (older != NULL)
        pelion_unsubscribe(pelion, older, false);
    struct pelion_subscription *s =
        is_there && result == STORE_OK ? subscription_new(app, device, &b->path, false) : NULL;
    if (s == NULL && pelion->web->pelion != NULL)
        pelion_forget(pelion, PELION_SINGLES, b->stored);
    if (s == NULL)
        pelion_send_text(b->request, result != STORE_OK || is_there ? 503 : 404, "");
    return s;
}

static void on_single_stored(void *arg, enum store_result result) {
    struct beginning *b = arg;
    struct pelion_subscription *s = make_stored(b, result);
    if (s != NULL) {
        memcpy(s->stored, b->stored, sizeof s->stored);
        if (b->pelion->web->server->config->subscribe_is_200) { /* the value is told as any later one */
            pelion_send_text(b->request, 200, "");
        } else {
            pelion_put_id(s->async_id);
            pelion_send_id(b->request, s->async_id);
        }
        begin_observing(s, registration_of(s));
    }
    free(b);
}

void pelion_subscription_put(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    struct lwm2m_path path;
    if (app == NULL)
        return;
    struct pelion *pelion = app->pelion;
    const struct registration *r = pelion_registration(pelion, call->args[0]);
    if (r == NULL || !pelion_read_path(call, &path) || !pelion_has_path(r, &path)) {
        pelion_send_text(call->request, 404, "");
        return;
    }
    if (json_object_size(pelion->tables[PELION_SINGLES]) >= PELION_SUBSCRIPTIONS_MAX ||
        pelion->subscription_count >= PELION_SUBSCRIPTIONS_MAX) {
        pelion_send_text(call->request, 429, "TOO_MANY_SUBSCRIPTIONS");
        return;
    }
    struct beginning *b = calloc(1, sizeof *b);
    if (b == NULL) {
        pelion_send_text(call->request, 503, "");
        return;
    }
    uint8_t memory[32];
    struct buffer text = buffer_over(memory, sizeof memory);
    *b = (struct beginning){.pelion = pelion, .request = call->request, .path = path};
    memcpy(b->key, app->key, sizeof b->key);
    memcpy(b->device, call->args[0].data, sizeof b->device - 1);
    pelion_make_id(pelion, b->stored);
    lwm2m_path_put(&text, &path);
    pelion_keep_then(
        pelion, PELION_SINGLES, b->stored,
        json_pack("{ssssss#}", "key", b->key, "device", b->device, "path", (const char *)memory, (int)text.len),
        on_single_stored, b);
}

/* What was observed goes on; what was not is begun when the device is heard. */
void pelion_subscriptions_load(struct pelion *pelion) {
    const char *id;
    json_t *item;
    void *next;
    json_object_foreach_safe(pelion->tables[PELION_SINGLES], next, id, item) {
        const char *key = json_string_value(json_object_get(item, "key"));
        struct slice device = document_string(json_object_get(item, "device"));
        struct lwm2m_path path;
        struct pelion_app *app = key == NULL ? NULL : pelion_app_stored(pelion, key);
        bool is_good = app != NULL && pelion_registration(pelion, device) != NULL && strlen(id) == PELION_ID_LEN &&
                       lwm2m_path_parse(document_string(json_object_get(item, "path")), &path, NULL);
        struct pelion_subscription *s = is_good ? subscription_new(app, device, &path, false) : NULL;
        if (s == NULL) {
            pelion_forget(pelion, PELION_SINGLES, id);
            continue;
        }
        memcpy(s->stored, id, sizeof s->stored);
        s->is_loaded = true;
    }
}

void pelion_subscription_get(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    struct lwm2m_path path;
    if (app != NULL)
        pelion_send_text(call->request,
                         pelion_read_path(call, &path) && find(app, call->args[0], &path) != NULL ? 200 : 404, "");
}

/* End it; the last one that was stored stays there, for answer_ended to delete. */
static void end_one(struct pelion_subscription *s, char stored[PELION_ID_LEN + 1]) {
    struct pelion *pelion = s->app->pelion;
    if (*s->stored != '\0') {
        if (*stored != '\0')
            pelion_forget(pelion, PELION_SINGLES, stored);
        memcpy(stored, s->stored, sizeof s->stored);
        *s->stored = '\0';
    }
    pelion_unsubscribe(pelion, s, false);
}

static void answer_ended(struct pelion *pelion, struct http_request *request, const char *stored) {
    if (*stored == '\0')
        pelion_send_text(request, 204, "");
    else
        pelion_forget_and_answer(pelion, request, PELION_SINGLES, stored);
}

void pelion_subscription_delete(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    struct lwm2m_path path;
    if (app == NULL)
        return;
    struct pelion_subscription *s = pelion_read_path(call, &path) ? find(app, call->args[0], &path) : NULL;
    char stored[PELION_ID_LEN + 1] = "";
    if (s != NULL)
        end_one(s, stored);
    answer_ended(app->pelion, call->request, stored);
}

void pelion_subscriptions_of_device(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    if (app == NULL)
        return;
    size_t cap = app->pelion->subscription_count * 32ul + 1;
    char *memory = malloc(cap);
    struct buffer list = buffer_over(memory, memory == NULL ? 0 : cap - 1);
    for (const struct pelion_subscription *s = app->pelion->subscriptions; s != NULL; s = s->next) {
        if (s->app != app || !slice_is(call->args[0], s->device))
            continue;
        if (list.len > 0)
            buffer_put_u8(&list, '\n');
        lwm2m_path_put(&list, &s->path);
    }
    if (list.len == 0)
        pelion_send_text(call->request, 404, "");
    else
        http_respond(call->request, &(struct http_response){
                                        .status = 200, .content_type = "text/uri-list", .body = buffer_slice(&list)});
    free(memory);
}

void pelion_subscriptions_of_device_delete(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    if (app == NULL)
        return;
    char stored[PELION_ID_LEN + 1] = "";
    for (struct pelion_subscription *s = app->pelion->subscriptions, *next; s != NULL; s = next) {
        next = s->next;
        if (s->app == app && slice_is(call->args[0], s->device))
            end_one(s, stored);
    }
    answer_ended(app->pelion, call->request, stored);
}
