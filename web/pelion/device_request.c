/* POST /v2/device-requests/{id}: something is asked of a device, and the answer comes in the channel. A call of /v1 from
 * within; for a device in queue mode that sleeps, one that waits in its queue, also over a restart. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "server/awake.h"
#include "server/queue.h"
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
    PATH_TEXT_MAX = 256,
};

struct pelion_request {
    TAILQ_ENTRY(pelion_request) entry;
    struct pelion_line *line;
    struct pelion_app *app;
    struct inner *inner;
    struct timer expiry; /* runs while others are before it */
    char async_id[PELION_ASYNC_ID_MAX + 1];
    const char *method; /* of /v1 */
    char target[TARGET_MAX + 1];
    char query[32];
    char type[TYPE_MAX + 1]; /* of the body; "": there is none */
    const char *plan_b;      /* the query with which it is asked again when the device does not take the format; NULL */
    uint64_t retries, deadline_ms;
    bool is_queued; /* it is being put into the device's queue, and counts there */
    uint8_t *body;
    size_t body_len;
};

/* What is asked of a device, in the order in which it came. The first is under way. */
struct pelion_line {
    struct pelion_line *next; /* of the bucket */
    struct pelion *pelion;
    char device[33];
    unsigned count;
    struct timer go; /* when the first is asked, after another has gone */
    TAILQ_HEAD(, pelion_request) requests;
};

/* ---- lines ---- */

/* Its digits are of a hash. */
unsigned pelion_bucket(const char *device) {
    unsigned number = 0;
    sscanf(device, "%8x", &number);
    return number % PELION_LINES;
}

static struct pelion_line **line_link(struct pelion *pelion, const char *device) {
    struct pelion_line **link = &pelion->lines[pelion_bucket(device)];
    while (*link != NULL && strcmp((*link)->device, device) != 0)
        link = &(*link)->next;
    return link;
}

static struct pelion_line *line_of(struct pelion *pelion, const char *device) {
    struct pelion_line **link = line_link(pelion, device);
    if (*link == NULL && (*link = calloc(1, sizeof **link)) != NULL) {
        (*link)->pelion = pelion;
        snprintf((*link)->device, sizeof(*link)->device, "%s", device);
        TAILQ_INIT(&(*link)->requests);
    }
    return *link;
}

static void line_settle(struct pelion_line *line) {
    struct pelion_line **link = line_link(line->pelion, line->device);
    if (line->count > 0)
        return;
    timer_cancel(&line->pelion->web->server->wheel, &line->go);
    *link = line->next;
    free(line);
}

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
    struct pelion_line *line = request->line;
    timer_cancel(&line->pelion->web->server->wheel, &request->expiry);
    TAILQ_REMOVE(&line->requests, request, entry);
    line->count--;
    line->pelion->request_count--;
    free(request->body);
    free(request);
}

static void ask(struct pelion_request *request);

static void on_go(struct timer *timer, void *arg) {
    struct pelion_line *line = TIMER_OWNER(timer, struct pelion_line, go);
    (void)arg;
    ask(TAILQ_FIRST(&line->requests));
}

/* The next one of the device follows, but not in the midst of what has ended this one. */
static void line_go_on(struct pelion_line *line) {
    struct server *server = line->pelion->web->server;
    if (line->count == 0)
        line_settle(line);
    else if (TAILQ_FIRST(&line->requests)->inner == NULL)
        timer_schedule(&server->wheel, &line->go, clock_now_ms(&server->clock), on_go);
}

static void request_end(struct pelion_request *request) {
    struct pelion_line *line = request->line;
    request_free(request);
    line_go_on(line);
}

static void end_line(struct pelion_line *line, const struct pelion_app *app) {
    struct pelion_request *first = TAILQ_FIRST(&line->requests), *next;
    for (struct pelion_request *request = first; request != NULL; request = next) {
        next = TAILQ_NEXT(request, entry);
        if (app != NULL && request->app != app)
            continue;
        if (request->inner != NULL)
            inner_cancel(request->inner);
        request_free(request);
    }
    line_go_on(line);
}

void pelion_requests_end(struct pelion *pelion, const struct pelion_app *app) {
    for (size_t i = 0; i < PELION_LINES; i++) {
        for (struct pelion_line *line = pelion->lines[i], *next; line != NULL; line = next) {
            next = line->next;
            end_line(line, app);
        }
    }
}

/* Nobody has been told of the answer to what is asked without an id. */
static void tell_answer(const struct pelion_request *request, const struct http_response *response) {
    if (*request->async_id != '\0')
        pelion_tell_response(request->app, request->async_id, response);
}

static void on_expired(struct timer *timer, void *arg) {
    struct pelion_request *request = TIMER_OWNER(timer, struct pelion_request, expiry);
    (void)arg;
    if (*request->async_id != '\0')
        pelion_tell_failure(request->app, request->async_id, 429, "REQUEST_EXPIRED");
    request_end(request);
}

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
        tell_answer(request, response);
    request_end(request);
}

/* Whether it has to wait in the device's queue: what waits there goes first. */
static bool is_to_wait(const struct registration *r) {
    const struct device_queue *queue = r == NULL || !r->queue_mode ? NULL : queue_of(r);
    return r != NULL && r->queue_mode && (!awake_is(r) || (queue != NULL && queue->count > 0));
}

static void ask(struct pelion_request *request) {
    struct pelion *pelion = request->app->pelion;
    const struct registration *r = pelion_registration(pelion, slice_str(request->line->device));
    uint64_t now_ms = clock_now_ms(&pelion->web->server->clock);
    char accept[PELION_ACCEPT_MAX], prefer[64];
    bool sleeps = is_to_wait(r) && request->deadline_ms > now_ms;
    timer_cancel(&pelion->web->server->wheel, &request->expiry);
    request->is_queued = sleeps;
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

static bool is_text_or_none(const json_t *value) {
    return value == NULL || json_is_null(value) || json_is_string(value);
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

/* The body, of which a GET has none: then the query says attributes, or it is text. */
static bool set_body(struct pelion_request *request, const struct pelion_asked *asked) {
    request->body = malloc(asked->body.len + 1);
    if (request->body == NULL)
        return false;
    if (asked->body.len > 0) {
        memcpy(request->body, asked->body.data, asked->body.len);
        snprintf(request->type, sizeof request->type, "%s", type_of(asked->content_type));
    }
    request->body_len = asked->body.len;
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

static const char *set_up(struct pelion_request *request, const struct registration *r,
                          const struct pelion_asked *asked) {
    char memory[PATH_TEXT_MAX];
    const char *suffix;
    struct buffer text = buffer_over(memory, sizeof memory), target = buffer_over(request->target, TARGET_MAX);
    struct lwm2m_path path;
    if (!slice_starts_with(asked->path, "/"))
        buffer_put_u8(&text, '/');
    buffer_put_slice(&text, asked->path);
    if (text.overflow || !lwm2m_path_parse(buffer_slice(&text), &path, NULL) || path.len == 0)
        return "RESOURCE_NOT_FOUND";
    bool creates = strcmp(asked->method, "POST") == 0 && path.len == 1;
    if (!creates && !pelion_has_path(r, &path))
        return "RESOURCE_NOT_FOUND";
    if (!set_body(request, asked))
        return "OUT_OF_MEMORY";
    const char *fault = set_verb(request, asked->method, &path, asked->query, &suffix);
    pelion_put_target(&target, registration_endpoint(r), &path, suffix);
    request->target[target.len] = '\0';
    return fault;
}

void pelion_ask_defaults(const struct registration *r, struct pelion_asked *asked) {
    asked->retries = r->queue_mode ? 2 : 0;
    asked->expiry_s = r->queue_mode ? EXPIRY_QUEUED_S : EXPIRY_DEFAULT_S;
}

static bool is_full(const struct pelion_line *line, const struct registration *r) {
    const struct device_queue *queue = queue_of(r);
    const struct pelion_request *first = TAILQ_FIRST(&line->requests);
    bool is_twice = first != NULL && first->is_queued;
    unsigned queued = queue == NULL || queue->count == 0 ? 0 : queue->count - is_twice;
    return line->count + queued >= PELION_REQUESTS_OF_DEVICE_MAX || line->pelion->request_count >= PELION_REQUESTS_MAX;
}

const char *pelion_ask_device(struct pelion_app *app, const struct registration *r, const struct pelion_asked *asked,
                              struct pelion_request **out) {
    struct pelion *pelion = app->pelion;
    struct server *server = pelion->web->server;
    struct device_id id = device_id_of(registration_endpoint(r));
    struct pelion_line *line = line_of(pelion, id.hex);
    struct pelion_request *request = line == NULL || is_full(line, r) ? NULL : calloc(1, sizeof *request);
    if (request == NULL) {
        const char *why = line != NULL && is_full(line, r) ? "QUEUE_IS_FULL" : "OUT_OF_MEMORY";
        if (line != NULL)
            line_settle(line);
        return why;
    }
    *request = (struct pelion_request){.line = line, .app = app, .retries = asked->retries};
    snprintf(request->async_id, sizeof request->async_id, "%s", asked->async_id);
    request->deadline_ms = clock_now_ms(&server->clock) + asked->expiry_s * 1000;
    TAILQ_INSERT_TAIL(&line->requests, request, entry);
    line->count++;
    pelion->request_count++;
    const char *fault = set_up(request, r, asked);
    if (fault == NULL) {
        *out = request;
        return NULL;
    }
    request_free(request);
    line_settle(line);
    return fault;
}

void pelion_ask_go(struct pelion_request *request) {
    struct server *server = request->app->pelion->web->server;
    if (TAILQ_FIRST(&request->line->requests) == request)
        ask(request);
    else
        timer_schedule(&server->wheel, &request->expiry, request->deadline_ms, on_expired);
}

/* ---- /v2/device-requests ---- */

/* NULL, or the word with which it is refused; `body` is what `asked->body` points to, for the caller to free. */
static const char *read_document(const struct call *call, const struct registration *r, const json_t *document,
                                 struct pelion_asked *asked, uint8_t **body) {
    const json_t *payload = json_object_get(document, "payload-b64"), *type = json_object_get(document, "content-type");
    struct slice text = document_string(payload);
    *body = malloc(text.len + 1);
    struct buffer decoded = buffer_over(*body, *body == NULL ? 0 : text.len + 1);
    asked->method = json_string_value(json_object_get(document, "method"));
    asked->path = document_string(json_object_get(document, "uri"));
    asked->content_type = json_string_value(type);
    pelion_ask_defaults(r, asked);
    asked->retries = number_or(call, "retry", asked->retries, 0, RETRIES_MAX);
    asked->expiry_s = number_or(call, "expiry-seconds", asked->expiry_s, EXPIRY_MIN_S, EXPIRY_MAX_S);
    if (asked->method == NULL || asked->path.len == 0 || *body == NULL || !is_text_or_none(payload) ||
        !is_text_or_none(type) || !text_get_base64(text, &decoded))
        return "MALFORMED_JSON_CONTENT";
    asked->body = buffer_slice(&decoded);
    const uint8_t *mark = memchr(asked->path.data, '?', asked->path.len);
    if (mark != NULL) {
        asked->query = slice_from(asked->path, (size_t)(mark + 1 - asked->path.data));
        asked->path.len = (size_t)(mark - asked->path.data);
    }
    return NULL;
}

void pelion_device_request(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    struct slice async_id = query_get(&call->query, "async-id");
    char error[256], id[PELION_ASYNC_ID_MAX + 1] = {0};
    if (app == NULL)
        return;
    const struct registration *r = pelion_registration(app->pelion, call->args[0]);
    if (!is_async_id(async_id)) {
        pelion_send_text(call->request, 400, "MALFORMED_ASYNC_ID");
        return;
    }
    if (r == NULL) {
        bool is_known = pelion_endpoint(app->pelion, call->args[0]).data != NULL;
        pelion_send_text(call->request, is_known ? 400 : 404, is_known ? "DEVICE_NOT_CONNECTED" : "DEVICE_NOT_FOUND");
        return;
    }
    memcpy(id, async_id.data, async_id.len);
    struct pelion_asked asked = {.async_id = id};
    struct pelion_request *request = NULL;
    uint8_t *body = NULL;
    json_t *document = document_read(call->request->body, error, sizeof error);
    const char *fault = document == NULL ? "MALFORMED_JSON_CONTENT" : read_document(call, r, document, &asked, &body);
    fault = fault != NULL ? fault : pelion_ask_device(app, r, &asked, &request);
    json_decref(document);
    free(body);
    pelion_send_text(call->request,
                     fault == NULL                         ? 202
                     : strcmp(fault, "OUT_OF_MEMORY") == 0 ? 503
                                                           : 400,
                     fault == NULL ? "" : fault);
    if (fault == NULL)
        pelion_ask_go(request);
}
