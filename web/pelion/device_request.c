/* POST /v2/device-requests/{id}: something is asked of a device, and the answer comes in the channel. A call of /v1 from
 * within; for a device in queue mode that sleeps, one that waits in its queue, also over a restart. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "server/awake.h"
#include "web/document.h"
#include "web/pelion/pelion.h"
#include "web/v1/job.h"
#include "web/v1/queued_json.h"

enum {
    TARGET_MAX = 1200,
    QUERY_MAX = 512,
    TYPE_MAX = 64,
    RETRIES_MAX = 10,
    EXPIRY_MIN_S = 60,
    EXPIRY_MAX_S = 2592000,
    EXPIRY_DEFAULT_S = 2 * 3600,
    EXPIRY_QUEUED_S = 3 * 86400,
    HEADERS_MAX = 1024,
};

struct pelion_request {
    struct pelion_request *next;
    struct pelion_app *app;
    struct inner *inner;
    char device[33];
    char async_id[PELION_ASYNC_ID_MAX + 1];
    const char *method; /* of /v1 */
    char target[TARGET_MAX + 1];
    char query[32];
    char type[TYPE_MAX + 1]; /* of the body; "": there is none */
    const char *plan_b;      /* the query with which it is asked again when the device does not take the format; NULL */
    uint64_t retries, deadline_ms;
    uint8_t *body;
    size_t body_len;
};

void pelion_put_target(struct buffer *out, struct slice endpoint, const struct lwm2m_path *path, const char *suffix) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    buffer_put_str(out, "/v1/devices/");
    for (size_t i = 0; i < endpoint.len; i++) {
        if (endpoint.data[i] != '\0' && strchr(plain, endpoint.data[i]) != NULL)
            buffer_put_u8(out, endpoint.data[i]);
        else
            buffer_printf(out, "%%%02X", (unsigned)endpoint.data[i]);
    }
    lwm2m_path_put(out, path);
    buffer_put_str(out, suffix);
}

static const char accepted[] = "application/vnd.berth.pelion";

void pelion_put_accept(char text[PELION_ACCEPT_MAX], const struct pelion_app *app, const char *async_id) {
    snprintf(text, PELION_ACCEPT_MAX, "%s;key=%s;id=%s, application/json;q=0.5", accepted, app->key, async_id);
}

/* ---- answers ---- */

static void request_free(struct pelion_request *request) {
    struct pelion_request **link = &request->app->pelion->requests;
    while (*link != request)
        link = &(*link)->next;
    *link = request->next;
    free(request->body);
    free(request);
}

void pelion_requests_end(struct pelion *pelion, const struct pelion_app *app) {
    for (struct pelion_request *request = pelion->requests, *next; request != NULL; request = next) {
        next = request->next;
        if (app != NULL && request->app != app)
            continue;
        if (request->inner != NULL)
            inner_cancel(request->inner);
        request_free(request);
    }
}

static void ask(struct pelion_request *request);

static bool is_coap(const struct http_response *response, const char *code) {
    json_t *problem = json_loadb((const char *)response->body.data, response->body.len, 0, NULL);
    const char *told = json_string_value(json_object_get(problem, "coap_code"));
    bool same = told != NULL && strncmp(told, code, 4) == 0;
    json_decref(problem);
    return same;
}

static bool is_asked_again(struct pelion_request *request, const struct http_response *response) {
    const struct server *server = request->app->pelion->web->server;
    if (response->status < 400 || response->body.len == 0)
        return false;
    if (request->plan_b != NULL && is_coap(response, "4.15")) {
        snprintf(request->query, sizeof request->query, "%s", request->plan_b);
        request->plan_b = NULL;
        return true;
    }
    if (response->status != 504 || request->retries == 0 || clock_now_ms(&server->clock) >= request->deadline_ms)
        return false;
    request->retries--;
    return true;
}

static void on_answered(void *arg, const struct http_response *response) {
    struct pelion_request *request = arg;
    request->inner = NULL;
    if (is_asked_again(request, response)) {
        ask(request);
        return;
    }
    if (response->status != 202) /* else the answer comes from the queue */
        pelion_tell_response(request->app, request->async_id, response);
    request_free(request);
}

static void ask(struct pelion_request *request) {
    struct pelion *pelion = request->app->pelion;
    const struct registration *r = pelion_registration(pelion, slice_str(request->device));
    uint64_t now_ms = clock_now_ms(&pelion->web->server->clock);
    char accept[PELION_ACCEPT_MAX], prefer[64];
    bool sleeps = r != NULL && r->queue_mode && !awake_is(r) && request->deadline_ms > now_ms;
    pelion_put_accept(accept, request->app, request->async_id);
    snprintf(prefer, sizeof prefer, "respond-async; expires=%" PRIu64,
             sleeps ? (request->deadline_ms - now_ms + 999) / 1000 : 0);
    if (sleeps && request->plan_b != NULL) { /* there is no second try */
        snprintf(request->query, sizeof request->query, "%s", request->plan_b);
        request->plan_b = NULL;
    }
    struct inner *inner =
        inner_start(pelion->web,
                    &(struct inner_request){.method = request->method,
                                            .path = slice_str(request->target),
                                            .query = slice_str(request->query),
                                            .body = slice_of(request->body, request->body_len),
                                            .content_type = *request->type == '\0' ? NULL : request->type,
                                            .accept = accept,
                                            .prefer = sleeps ? prefer : NULL},
                    on_answered, request);
    if (inner != NULL)
        request->inner = inner;
}

/* ---- from the queue ---- */

/* What follows `name` in an Accept field, up to the next delimiter. */
static struct slice parameter(struct slice accept, const char *name) {
    const uint8_t *at = memmem(accept.data, accept.len, name, strlen(name));
    if (at == NULL)
        return SLICE_NONE;
    struct slice value = slice_from(accept, (size_t)(at - accept.data) + strlen(name));
    size_t len = 0;
    while (len < value.len && value.data[len] != ';' && value.data[len] != ',')
        len++;
    return slice_of(value.data, len);
}

void pelion_request_completed(struct pelion *pelion, uint64_t id) {
    const struct queued_request *request = queue_find(pelion->web->server, id);
    struct job job;
    struct queued_answer queued;
    char async_id[PELION_ASYNC_ID_MAX + 1] = {0};
    if (request == NULL || !job_read(request->job, &job) || !slice_starts_with(job.accept, accepted))
        return;
    struct pelion_app *app = pelion_app_find(pelion, parameter(job.accept, ";key="));
    struct slice text = parameter(job.accept, ";id=");
    if (app == NULL || text.len == 0 || text.len > PELION_ASYNC_ID_MAX)
        return;
    memcpy(async_id, text.data, text.len);
    queued_answer_of(request, &queued);
    pelion_tell_response(
        app, async_id,
        &(struct http_response){.status = queued.result.status,
                                .content_type = *queued.result.content_type == '\0' ? NULL : queued.result.content_type,
                                .body = queued.result.body});
    queued_answer_free(&queued);
}

/* ---- what was asked for ---- */

static bool is_async_id(struct slice id) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    for (size_t i = 0; i < id.len; i++) {
        if (id.data[i] == '\0' || strchr(allowed, id.data[i]) == NULL)
            return false;
    }
    return id.len > 0 && id.len <= PELION_ASYNC_ID_MAX;
}

static uint64_t number_or(const struct call *call, const char *name, uint64_t otherwise, uint64_t min, uint64_t max) {
    uint64_t number = otherwise;
    if (!slice_to_u64(query_get(&call->query, name), INT32_MAX, &number))
        return otherwise;
    return number < min ? min : number > max ? max : number;
}

/* Media types as client code names them, as /v1 does. */
static const char *type_of(const char *type) {
    static const char *const names[][2] = {
        {"application/vnd.oma.lwm2m+text", "text/plain"},
        {"application/vnd.oma.lwm2m+opaq", "application/octet-stream"},
        {"application/nanoservice-tlv", "application/vnd.oma.lwm2m+tlv"},
    };
    for (size_t i = 0; type != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(type, names[i][0]) == 0)
            return names[i][1];
    }
    return type == NULL || *type == '\0' ? "text/plain" : type;
}

/* "lt=10&gt=60" as /v1 wants attributes: {"lt":10,"gt":60}. */
static char *attributes_text(struct slice query) {
    uint8_t decoded[QUERY_MAX];
    struct buffer memory = buffer_over(decoded, sizeof decoded);
    struct query items;
    if (query_parse(query, &memory, &items) != NULL)
        return NULL;
    json_t *body = json_object();
    for (size_t i = 0; i < items.count; i++) {
        struct slice name = items.items[i].name, text = items.items[i].value;
        json_t *value =
            text.len == 0 ? json_null() : json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY, NULL);
        json_object_setn_new(body, (const char *)name.data, name.len, value != NULL ? value : document_text(text));
    }
    char *dumped = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return dumped;
}

static bool set_body(struct pelion_request *request, const json_t *document) {
    struct slice text = document_string(json_object_get(document, "payload-b64"));
    request->body = malloc(text.len + 1);
    struct buffer body = buffer_over(request->body, request->body == NULL ? 0 : text.len + 1);
    if (request->body == NULL || !text_get_base64(text, &body))
        return false;
    request->body_len = body.len;
    if (body.len > 0)
        snprintf(request->type, sizeof request->type, "%s",
                 type_of(json_string_value(json_object_get(document, "content-type"))));
    return true;
}

/* The verb of /v1, and how it is put: as it is first, whatever the definitions say; by the definitions when the device
 * does not take that. NULL: all is good. */
static const char *set_verb(struct pelion_request *request, const char *method, const struct lwm2m_path *path,
                            struct slice query, const char **suffix) {
    *suffix = "";
    snprintf(request->query, sizeof request->query, "force=1");
    if (strcmp(method, "GET") == 0) {
        request->method = "GET";
        request->body_len = 0;
        *request->type = '\0';
        return NULL;
    }
    if (strcmp(method, "DELETE") == 0) {
        request->method = "DELETE";
        return NULL;
    }
    if (strcmp(method, "POST") == 0) {
        request->method = path->len == 2 ? "PATCH" : "POST";
        return NULL;
    }
    if (strcmp(method, "PUT") != 0)
        return "MALFORMED_JSON_CONTENT";
    request->method = "PUT";
    if (request->body_len == 0 && query.len > 0) {
        free(request->body);
        request->body = (uint8_t *)attributes_text(query);
        if (request->body == NULL)
            return "MALFORMED_JSON_CONTENT";
        request->body_len = strlen((const char *)request->body);
        snprintf(request->type, sizeof request->type, "application/json");
        *suffix = "/attributes";
    } else {
        if (*request->type == '\0')
            snprintf(request->type, sizeof request->type, "text/plain");
        request->plan_b = "force=0";
    }
    return NULL;
}

/* NULL, or the word with which it is refused. */
static const char *read_document(struct pelion_request *request, const struct registration *r, const json_t *document) {
    char error_free_uri[QUERY_MAX];
    const char *method = json_string_value(json_object_get(document, "method")), *suffix;
    struct slice uri = document_string(json_object_get(document, "uri")), query = SLICE_NONE;
    struct buffer text = buffer_over(error_free_uri, sizeof error_free_uri);
    struct buffer target = buffer_over(request->target, TARGET_MAX);
    struct lwm2m_path path;
    if (method == NULL || uri.len == 0 || uri.len + 1 > sizeof error_free_uri || !set_body(request, document))
        return "MALFORMED_JSON_CONTENT";
    const uint8_t *mark = memchr(uri.data, '?', uri.len);
    if (mark != NULL) {
        query = slice_from(uri, (size_t)(mark + 1 - uri.data));
        uri.len = (size_t)(mark - uri.data);
    }
    if (!slice_starts_with(uri, "/"))
        buffer_put_u8(&text, '/');
    buffer_put(&text, uri.data, uri.len);
    if (!lwm2m_path_parse(buffer_slice(&text), &path, NULL) || path.len == 0)
        return "RESOURCE_NOT_FOUND";
    bool creates = strcmp(method, "POST") == 0 && path.len == 1;
    if (!creates && !pelion_has_path(r, &path))
        return "RESOURCE_NOT_FOUND";
    const char *fault = set_verb(request, method, &path, query, &suffix);
    pelion_put_target(&target, registration_endpoint(r), &path, suffix);
    request->target[target.len] = '\0';
    return fault;
}

static unsigned count_of_device(const struct pelion *pelion, const char *device, unsigned *all) {
    unsigned count = 0;
    *all = 0;
    for (const struct pelion_request *request = pelion->requests; request != NULL; request = request->next) {
        count += strcmp(request->device, device) == 0;
        ++*all;
    }
    return count;
}

/* NULL: the call is answered. */
static struct pelion_request *request_new(const struct call *call, struct pelion_app *app) {
    struct pelion *pelion = app->pelion;
    struct pelion_request *request = calloc(1, sizeof *request);
    unsigned all;
    if (request == NULL) {
        pelion_send_text(call->request, 503, "");
        return NULL;
    }
    memcpy(request->device, call->args[0].data, sizeof request->device - 1);
    if (count_of_device(pelion, request->device, &all) >= PELION_REQUESTS_OF_DEVICE_MAX || all >= PELION_REQUESTS_MAX) {
        free(request);
        pelion_send_text(call->request, 400, "QUEUE_IS_FULL");
        return NULL;
    }
    request->app = app;
    request->next = pelion->requests;
    pelion->requests = request;
    return request;
}

static const char *read_request(const struct call *call, struct pelion_request *request, const struct registration *r) {
    char error[256];
    const struct server *server = call->web->server;
    json_t *document = document_read(call->request->body, error, sizeof error);
    const char *fault = document == NULL ? "MALFORMED_JSON_CONTENT" : read_document(request, r, document);
    struct slice id = query_get(&call->query, "async-id");
    memcpy(request->async_id, id.data, id.len);
    request->retries = number_or(call, "retry", r->queue_mode ? 2 : 0, 0, RETRIES_MAX);
    request->deadline_ms = clock_now_ms(&server->clock) + number_or(call, "expiry-seconds",
                                                                    r->queue_mode ? EXPIRY_QUEUED_S : EXPIRY_DEFAULT_S,
                                                                    EXPIRY_MIN_S, EXPIRY_MAX_S) *
                                                              1000;
    json_decref(document);
    return fault;
}

void pelion_device_request(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    if (app == NULL)
        return;
    const struct registration *r = pelion_registration(app->pelion, call->args[0]);
    if (!is_async_id(query_get(&call->query, "async-id"))) {
        pelion_send_text(call->request, 400, "MALFORMED_ASYNC_ID");
        return;
    }
    if (r == NULL) {
        bool is_known = pelion_endpoint(app->pelion, call->args[0]).data != NULL;
        pelion_send_text(call->request, is_known ? 400 : 404, is_known ? "DEVICE_NOT_CONNECTED" : "DEVICE_NOT_FOUND");
        return;
    }
    struct pelion_request *request = request_new(call, app);
    if (request == NULL)
        return;
    const char *fault = read_request(call, request, r);
    pelion_send_text(call->request, fault == NULL ? 202 : 400, fault == NULL ? "" : fault);
    if (fault == NULL)
        ask(request);
    else
        request_free(request);
}
