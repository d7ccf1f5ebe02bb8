/* /api/clients/{endpoint}/…: what a device is asked to do. A call of /v1 from within, whose answer is told in the demo
 * server's way: 200 whatever the device has said, 504 as text when it has not answered in time, 400 as text when nothing was
 * sent. A device in queue mode that sleeps is asked later: `delayed`, and the event REQUEST_RESPONSE. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "server/awake.h"
#include "server/dealings.h"
#include "server/notification.h"
#include "server/observation.h"
#include "web/document.h"
#include "web/inner.h"
#include "web/leshan/leshan.h"
#include "web/leshan/node.h"
#include "web/v1/http_form.h"
#include "web/v1/queued_json.h"

enum {
    TIMEOUT_DEFAULT_S = 5,
    TIMEOUT_MAX_S = 600,
    TARGET_MAX = 1200, /* of a call of /v1: an endpoint name of 256 bytes, each encoded */
    QUERY_MAX = 512,
    PATHS_MAX = 1000,
    TEXT_MAX = 1024,
};

/* What /v1 is to answer: a Discover has no nodes. By this a queued request is known to have come from here. */
static const char accepted[] = "application/vnd.berth.leshan+json, application/json;q=0.5";

struct asking {
    struct web *web;
    struct http_request *request;
    struct inner *inner;
    struct timer deadline;
    bool late;
    json_t *paths; /* of a composite operation; NULL: of another one */
    json_t *last;  /* what the answer's content is: the last value of an observation that is cancelled; NULL: its own */
    bool is_silent; /* a success is 200 without a body */
    char *endpoint, *path;
    char memory[];
};

/* ---- texts ---- */

void leshan_send_text(struct http_request *request, unsigned status, const char *format, ...) {
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t shown = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    http_respond(request, &(struct http_response){.status = status,
                                                  .content_type = "text/plain; charset=utf-8",
                                                  .body = slice_of(text, shown)});
}

void leshan_put_encoded(struct buffer *out, struct slice text) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:";
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '\0' && strchr(plain, text.data[i]) != NULL)
            buffer_put_u8(out, text.data[i]);
        else
            buffer_printf(out, "%%%02X", (unsigned)text.data[i]);
    }
}

/* ---- answers ---- */

/* As the demo server names codes. */
static json_t *status_json(unsigned class, unsigned detail) {
    static const struct {
        unsigned number;
        const char *name;
    } codes[] = {
        {201, "CREATED"},
        {202, "DELETED"},
        {204, "CHANGED"},
        {205, "CONTENT"},
        {231, "CONTINUE"},
        {400, "BAD_REQUEST"},
        {401, "UNAUTHORIZED"},
        {402, "BAD_OPTION"},
        {403, "FORBIDDEN"},
        {404, "NOT_FOUND"},
        {405, "METHOD_NOT_ALLOWED"},
        {406, "NOT_ACCEPTABLE"},
        {408, "REQUEST_ENTITY_INCOMPLETE"},
        {409, "CONFLICT"},
        {412, "PRECONDITION_FAILED"},
        {413, "REQUEST_ENTITY_TOO_LARGE"},
        {415, "UNSUPPORTED_CONTENT_FORMAT"},
        {422, "UNPROCESSABLE_ENTITY"},
        {429, "TOO_MANY_REQUESTS"},
        {500, "INTERNAL_SERVER_ERROR"},
        {501, "NOT_IMPLEMENTED"},
        {502, "BAD_GATEWAY"},
        {503, "SERVICE_UNAVAILABLE"},
        {504, "GATEWAY_TIMEOUT"},
    };
    unsigned number = class * 100 + detail;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].number == number)
            return json_sprintf("%s(%u)", codes[i].name, number);
    }
    return json_sprintf("UNKNOWN(%u)", number);
}

/* "2.05". */
static json_t *result_json(const char *code) {
    bool is_good = code[0] == '2';
    json_t *result = json_object();
    json_object_set_new(result, "status",
                        status_json((unsigned)(code[0] - '0'), (unsigned)((code[2] - '0') * 10 + (code[3] - '0'))));
    json_object_set_new(result, "valid", json_true());
    json_object_set_new(result, "success", json_boolean(is_good));
    json_object_set_new(result, "failure", json_boolean(!is_good));
    return result;
}

static bool is_code(const char *text) {
    return text != NULL && strlen(text) >= 4 && text[0] >= '2' && text[0] <= '5' && text[1] == '.' && text[2] >= '0' &&
           text[2] <= '9' && text[3] >= '0' && text[3] <= '9';
}

/* The value of a header line, up to its end; "" when there is none. */
static struct slice header_in(const char *headers, const char *name) {
    const char *line = headers == NULL ? NULL : strstr(headers, name);
    if (line == NULL)
        return SLICE_NONE;
    line += strlen(name);
    return slice_of(line, strcspn(line, "\r"));
}

static json_t *links_json(const json_t *links) {
    json_t *list = json_array(), *link;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)links, i, link) {
        json_array_append_new(list, json_pack("{sO?sO?}", "url", json_object_get(link, "path"), "attributes",
                                              json_object_get(link, "attributes")));
    }
    return list;
}

/* Of a composite operation: each path that was asked for, with what there is. */
static json_t *composite_json(const json_t *paths, const json_t *told) {
    json_t *content = json_object(), *text;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)paths, i, text) {
        struct lwm2m_path path;
        json_t *node = lwm2m_path_parse(document_string(text), &path, NULL) ? leshan_node_gather(told, &path) : NULL;
        json_object_set_new(content, json_string_value(text), node == NULL ? json_null() : node);
    }
    return content;
}

/* What the device has created, "3303/1": the last segments of "/v1/devices/dev1/3303/1". */
static void set_location(json_t *result, struct slice location) {
    size_t at = 0, slashes = 0;
    while (at < location.len && slashes < 4)
        slashes += location.data[at++] == '/';
    if (slashes == 4)
        json_object_set_new(result, "location", document_text(slice_from(location, at)));
}

static void set_content(json_t *result, const struct http_response *response, const json_t *paths) {
    json_t *body = response->body.len == 0
                       ? NULL
                       : json_loadb((const char *)response->body.data, response->body.len, JSON_DECODE_ANY, NULL);
    const char *type = response->content_type == NULL ? "" : response->content_type;
    if (body != NULL && strcmp(type, http_form_type(HTTP_FORM_LESHAN)) == 0)
        json_object_set_new(result, "content", paths == NULL ? json_incref(body) : composite_json(paths, body));
    else if (json_object_get(body, "links") != NULL)
        json_object_set_new(result, "objectLinks", links_json(json_object_get(body, "links")));
    json_decref(body);
}

static json_t *success_json(const struct http_response *response, const json_t *paths) {
    struct slice code = header_in(response->headers, "CoAP-Code: ");
    char text[5] = "2.05";
    if (code.len >= 4 && is_code((const char *)code.data))
        memcpy(text, code.data, 4);
    json_t *result = result_json(text);
    set_location(result, header_in(response->headers, "Location: "));
    set_content(result, response, paths);
    return result;
}

static const char *text_in(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

/* A text for what is no answer of a device: its status and what precedes the problem's detail. */
struct failure {
    unsigned status;
    const char *prefix;
};

static struct failure failure_of(const json_t *problem, unsigned status) {
    static const struct {
        const char *slug;
        struct failure failure;
    } failures[] = {
        {"no-answer", {504, NULL}},
        {"asleep", {504, NULL}},
        {"unreachable", {504, NULL}},
        {"expired", {504, NULL}},
        {"not-registered", {400, ""}},
        {"not-observed", {404, ""}},
        {"registration-gone", {500, "Request cancelled: "}},
        {"cancelled", {500, "Request cancelled: "}},
        {"undecodable-answer", {500, "Invalid response: "}},
        {"unfinished-answer", {500, "Invalid response: "}},
        {"no-room", {500, "Request rejected: "}},
        {"conflict", {400, ""}},
        {"too-large", {413, ""}},
    };
    const char *slug = strrchr(text_in(problem, "type"), '/');
    if (strcmp(text_in(problem, "outcome"), "reset") == 0)
        return (struct failure){500, "Request rejected: "};
    for (size_t i = 0; slug != NULL && i < sizeof failures / sizeof failures[0]; i++) {
        if (strcmp(slug + 1, failures[i].slug) == 0)
            return failures[i].failure;
    }
    return status >= 429 ? (struct failure){503, ""} : (struct failure){400, "Invalid request: "};
}

/* What the device has said, as a document; NULL: nothing, and *failure says what to answer. `problem` is the body of an
 * answer that is no success. */
static json_t *told_json(const struct http_response *response, const json_t *problem, const json_t *paths,
                         struct failure *failure) {
    *failure = (struct failure){503, ""}; /* should there be no memory */
    if (response->status < 300)
        return success_json(response, paths);
    const char *code = json_string_value(json_object_get(problem, "coap_code"));
    *failure = failure_of(problem, response->status);
    if (!is_code(code) || failure->status == 500)
        return NULL;
    json_t *result = result_json(code);
    json_object_set_new(result, "errormessage", json_string(text_in(problem, "diagnostic")));
    return result;
}

static json_t *problem_in(const struct http_response *response) {
    return response->status < 300 || response->body.len == 0
               ? NULL
               : json_loadb((const char *)response->body.data, response->body.len, 0, NULL);
}

/* ---- observations ---- */

static bool observes(const struct observation *o, const struct lwm2m_path *paths, size_t count, bool is_composite) {
    if (o->is_composite != is_composite || o->path_count != count || o->state == OBSERVATION_STARTING || o->is_auto)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!lwm2m_path_equal(&o->paths[i], &paths[i]))
            return false;
    }
    return true;
}

static struct observation *first_of(const struct registration *r) {
    return r == NULL || r->dealings == NULL ? NULL : r->dealings->observations;
}

/* The demo server has one observation of the same paths: a new one takes the place of the others. */
static void forget_others(const struct asking *asking, struct slice id_text) {
    const struct registration *r = directory_find(asking->web->server->directory, slice_str(asking->endpoint));
    uint64_t id;
    if (!slice_to_u64(id_text, INT64_MAX, &id))
        return;
    const struct observation *begun = first_of(r);
    while (begun != NULL && begun->id != id)
        begun = begun->next;
    for (struct observation *o = first_of(r), *next; begun != NULL && o != NULL; o = next) {
        next = o->next;
        if (o != begun && observes(o, begun->paths, begun->path_count, begun->is_composite))
            observation_forget(o, "observed again");
    }
}

/* ---- asking ---- */

static void asking_free(struct asking *asking) {
    timer_cancel(&asking->web->server->wheel, &asking->deadline);
    json_decref(asking->paths);
    json_decref(asking->last);
    free(asking);
}

/* The request, which must be answered; of `asking` nothing is left. */
static struct http_request *end(struct asking *asking) {
    struct http_request *request = asking->request;
    request->gone = NULL;
    request->resume = NULL;
    asking_free(asking);
    return request;
}

static void on_gone(struct http_request *request) {
    struct asking *asking = request->arg;
    if (asking->inner != NULL)
        inner_cancel(asking->inner);
    asking_free(asking);
}

static void on_resume(struct http_request *request) {
    struct asking *asking = request->arg;
    if (!asking->late)
        return;
    if (server_is_leaping(asking->web->server)) {
        http_wake(request);
        return;
    }
    if (asking->inner != NULL)
        inner_cancel(asking->inner);
    leshan_send_text(end(asking), 504, "Request timeout");
}

static void on_deadline(struct timer *timer, void *arg) {
    struct asking *asking = TIMER_OWNER(timer, struct asking, deadline);
    (void)arg;
    asking->late = true;
    http_wake(asking->request); /* after the leap that may be under way */
}

/* A number that looks like the demo server's random ones, and leads back to ours. */
static void put_request_id(char text[40], uint64_t id) {
    snprintf(text, 40, "00000000-%04" PRIx32 "-4000-8000-%012" PRIx64, (uint32_t)(id >> 48), id & 0xffffffffffff);
}

static void send_delayed(struct asking *asking, const struct http_response *response) {
    char id[40];
    json_t *body = json_loadb((const char *)response->body.data, response->body.len, 0, NULL);
    put_request_id(id, (uint64_t)json_integer_value(json_object_get(body, "id")));
    json_t *answer = json_object();
    json_object_set_new(answer, "ep", document_text(slice_str(asking->endpoint)));
    json_object_set_new(answer, "path", json_string(asking->path));
    json_object_set_new(answer, "requestId", json_string(id));
    json_object_set_new(answer, "delayed", json_true());
    json_decref(body);
    document_ok(end(asking), answer);
}

static void on_answered(void *arg, const struct http_response *response) {
    struct asking *asking = arg;
    struct failure failure;
    asking->inner = NULL;
    if (response->status == 202) {
        send_delayed(asking, response);
        return;
    }
    if (response->status < 300)
        forget_others(asking, header_in(response->headers, "Observation: "));
    if (response->status < 300 && asking->is_silent) {
        http_respond(end(asking), &(struct http_response){.status = 200});
        return;
    }
    json_t *problem = problem_in(response), *answer = told_json(response, problem, asking->paths, &failure);
    if (answer != NULL && response->status < 300 && asking->last != NULL) {
        json_object_set_new(answer, "status", json_string("CONTENT(205)"));
        json_object_set(answer, "content", asking->last);
    }
    if (answer != NULL)
        document_ok(end(asking), answer);
    else if (failure.prefix == NULL)
        leshan_send_text(end(asking), failure.status, "Request timeout");
    else
        leshan_send_text(end(asking), failure.status, "%s%s", failure.prefix, text_in(problem, "detail"));
    json_decref(problem);
}

/* What to ask /v1 for, of a device. */
struct ask {
    const char *method;
    const struct lwm2m_path *path; /* NULL: none */
    const char *suffix;            /* "/discover"; "" */
    const char *query;
    struct slice body;
    const char *content_type;
    json_t *paths; /* taken over, like `last`; see struct asking */
    json_t *last;
    bool is_silent, is_local; /* `is_local`: the device is asked nothing, so it may sleep */
};

static bool read_timeout(const struct call *call, uint64_t *ms) {
    struct slice text = query_get(&call->query, "timeout");
    uint64_t seconds = TIMEOUT_DEFAULT_S;
    if (text.data != NULL && (!slice_to_u64(text, TIMEOUT_MAX_S, &seconds) || seconds == 0)) {
        leshan_send_text(call->request, 400, "Invalid request: timeout must be a number of seconds from 1 to %d.",
                         TIMEOUT_MAX_S);
        return false;
    }
    *ms = seconds * 1000;
    return true;
}

static const struct registration *find(const struct call *call) {
    const struct registration *r = directory_find(call->web->server->directory, call->args[0]);
    if (r == NULL)
        leshan_send_text(call->request, 400, "no registered client with id '%.*s'", (int)call->args[0].len,
                         (const char *)call->args[0].data);
    return r;
}

static struct asking *asking_new(const struct call *call, const struct ask *ask) {
    struct asking *asking = calloc(1, sizeof *asking + call->args[0].len + 1 + 32);
    if (asking == NULL) {
        leshan_send_text(call->request, 503, "The server is out of memory.");
        return NULL;
    }
    asking->web = call->web;
    asking->request = call->request;
    asking->paths = ask->paths;
    asking->last = ask->last;
    asking->is_silent = ask->is_silent;
    asking->endpoint = asking->memory;
    memcpy(asking->endpoint, call->args[0].data, call->args[0].len);
    asking->path = asking->memory + call->args[0].len + 1;
    struct buffer path = buffer_over(asking->path, 31);
    if (ask->path != NULL)
        lwm2m_path_put(&path, ask->path);
    else
        buffer_put_str(&path, "/");
    return asking;
}

/* Ends the call. */
static void ask_device(const struct call *call, const struct ask *ask) {
    uint8_t memory[TARGET_MAX];
    struct buffer target = buffer_over(memory, sizeof memory);
    const struct registration *r = find(call);
    uint64_t timeout_ms;
    struct asking *asking = r != NULL && read_timeout(call, &timeout_ms) ? asking_new(call, ask) : NULL;
    if (asking == NULL) {
        json_decref(ask->paths);
        json_decref(ask->last);
        return;
    }
    buffer_put_str(&target, "/v1/devices/");
    leshan_put_encoded(&target, call->args[0]);
    if (ask->path != NULL && ask->path->len > 0)
        lwm2m_path_put(&target, ask->path);
    buffer_put_str(&target, ask->suffix);
    call->request->arg = asking;
    call->request->gone = on_gone;
    call->request->resume = on_resume;
    timer_schedule(&call->web->server->wheel, &asking->deadline, clock_now_ms(&call->web->server->clock) + timeout_ms,
                   on_deadline);
    bool sleeps = !ask->is_local && r->queue_mode && !awake_is(r);
    struct inner *inner = inner_start(call->web,
                                      &(struct inner_request){.method = ask->method,
                                                              .path = buffer_slice(&target),
                                                              .query = slice_str(ask->query),
                                                              .body = ask->body,
                                                              .content_type = ask->content_type,
                                                              .accept = accepted,
                                                              .prefer = sleeps ? "respond-async" : NULL},
                                      on_answered, asking);
    if (inner != NULL)
        asking->inner = inner;
}

/* ---- what was asked for ---- */

static bool read_ids(const struct call *call, struct lwm2m_path *path) {
    *path = (struct lwm2m_path){.len = 0};
    for (size_t i = 1; i < ROUTE_ARGS_MAX && call->args[i].data != NULL; i++) {
        uint64_t id;
        if (!slice_to_u64(call->args[i], LWM2M_ID_MAX, &id)) {
            leshan_send_text(call->request, 400, "Invalid request: \"%.*s\" is no id, a number from 0 to %d.",
                             (int)call->args[i].len, (const char *)call->args[i].data, LWM2M_ID_MAX);
            return false;
        }
        *path = lwm2m_path_child(path, (uint16_t)id);
    }
    return true;
}

/* Append "format=tlv" for `name`=TLV in the query. */
static bool put_format(const struct call *call, const char *name, struct buffer *query) {
    static const struct {
        const char *theirs, *ours;
    } formats[] = {
        {"TLV", "tlv"},
        {"JSON", "json"},
        {"TEXT", "text"},
        {"OPAQUE", "opaque"},
        {"CBOR", "cbor"},
        {"SENML_JSON", "senml-json"},
        {"SENML_CBOR", "senml-cbor"},
        {"LWM2M_CBOR", "lwm2m-cbor"},
    };
    struct slice text = query_get(&call->query, name);
    uint64_t number;
    if (text.len == 0)
        return true;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (text.len == strlen(formats[i].theirs) &&
            strncasecmp((const char *)text.data, formats[i].theirs, text.len) == 0) {
            buffer_printf(query, "&format=%s", formats[i].ours);
            return true;
        }
    }
    if (slice_to_u64(text, UINT16_MAX, &number)) {
        buffer_printf(query, "&format=%" PRIu64, number);
        return true;
    }
    leshan_send_text(call->request, 400,
                     "Invalid request: %s is \"%.*s\"; it must be TLV, JSON, TEXT, OPAQUE, CBOR, "
                     "SENML_JSON, SENML_CBOR, LWM2M_CBOR or a number.",
                     name, (int)text.len, (const char *)text.data);
    return false;
}

struct asked {
    struct lwm2m_path path;
    char query[QUERY_MAX];
};

/* The path and the format. What is legal and doubtful is sent with `force`: whether the device takes it is what a test asks
 * for. */
static bool read_asked(const struct call *call, bool force, struct asked *asked) {
    struct buffer query = buffer_over(asked->query, sizeof asked->query - 1);
    buffer_put_str(&query, force ? "force=1" : "force=0");
    if (!read_ids(call, &asked->path) || !put_format(call, "format", &query))
        return false;
    asked->query[query.len] = '\0';
    return true;
}

/* A call that says all with its path. */
static void simple(const struct call *call, const char *method, const char *suffix) {
    struct asked asked;
    if (read_asked(call, true, &asked))
        ask_device(call, &(struct ask){.method = method, .path = &asked.path, .suffix = suffix, .query = asked.query});
}

void leshan_read(const struct call *call) {
    simple(call, "GET", "");
}

void leshan_observe(const struct call *call) {
    simple(call, "PUT", "/observe");
}

/* Those of /v1 that have no format refuse it. */
static void plain(const struct call *call, const char *method, const char *suffix) {
    struct lwm2m_path path;
    if (read_ids(call, &path))
        ask_device(call, &(struct ask){.method = method, .path = &path, .suffix = suffix, .query = "force=1"});
}

void leshan_discover(const struct call *call) {
    plain(call, "GET", "/discover");
}

void leshan_delete(const struct call *call) {
    plain(call, "DELETE", "");
}

void leshan_refuse_object(const struct call *call) {
    struct lwm2m_path path;
    if (find(call) != NULL && read_ids(call, &path))
        leshan_send_text(call->request, 400, "Invalid request: it needs an object instance, like /3/0.");
}

void leshan_execute(const struct call *call) {
    struct lwm2m_path path;
    if (read_ids(call, &path))
        ask_device(call, &(struct ask){.method = "POST",
                                       .path = &path,
                                       .suffix = "",
                                       .query = "force=1",
                                       .body = call->request->body,
                                       .content_type = "text/plain"});
}

/* ---- bodies ---- */

/* The body as JSON; NULL: the request is answered. */
static json_t *read_body(const struct call *call) {
    char error[512];
    json_t *body = document_read(call->request->body, error, sizeof error);
    if (body == NULL)
        leshan_send_text(call->request, 400, "Invalid request: %s", error);
    return body;
}

/* Ask with a JSON body, which is given up. */
static void ask_with(const struct call *call, struct ask *ask, json_t *body) {
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(body);
    if (text == NULL) {
        json_decref(ask->paths);
        leshan_send_text(call->request, 503, "The server is out of memory.");
        return;
    }
    ask->body = slice_str(text);
    ask->content_type = "application/json";
    ask_device(call, ask);
    free(text);
}

static bool is_text(const struct call *call) {
    return http_form_of_body(call->request) == HTTP_FORM_TEXT;
}

/* Objects 0, 21 and 23 are bootstrap servers' only, and a test asks what a device says to that. */
static bool needs_force(const struct lwm2m_path *path) {
    return path->ids[0] == 0 || path->ids[0] == 21 || path->ids[0] == 23;
}

static bool read_replace(const struct call *call, bool *replace) {
    struct slice text = query_get(&call->query, "replace");
    *replace = !slice_is(text, "false");
    if (text.data == NULL || slice_is(text, "true") || !*replace)
        return true;
    leshan_send_text(call->request, 400, "Invalid request: replace must be true or false.");
    return false;
}

void leshan_write(const struct call *call) {
    struct asked asked;
    bool replace;
    char error[256];
    if (!read_ids(call, &asked.path) || !read_replace(call, &replace) ||
        !read_asked(call, needs_force(&asked.path), &asked))
        return;
    struct ask ask = {.method = replace ? "PUT" : "PATCH", .path = &asked.path, .suffix = "", .query = asked.query};
    if (is_text(call)) {
        ask.body = call->request->body;
        ask.content_type = "text/plain";
        ask_device(call, &ask);
        return;
    }
    json_t *body = read_body(call);
    json_t *value = body == NULL ? NULL : leshan_node_read(body, &asked.path, error, sizeof error);
    if (value != NULL)
        ask_with(call, &ask, value);
    else if (body != NULL)
        leshan_send_text(call->request, 400, "Invalid request: %s.", error);
    json_decref(body);
}

void leshan_create(const struct call *call) {
    struct asked asked;
    char error[256];
    if (!read_ids(call, &asked.path) || !read_asked(call, needs_force(&asked.path), &asked))
        return;
    json_t *body = read_body(call);
    if (body == NULL)
        return;
    struct lwm2m_path object = asked.path;
    object.len = 1;
    json_t *value = leshan_node_read_new(body, error, sizeof error);
    if (value != NULL && asked.path.len == 2) /* the id in the path holds */
        json_object_set_new(value, "instance", json_integer(asked.path.ids[1]));
    if (value != NULL)
        ask_with(call, &(struct ask){.method = "POST", .path = &object, .suffix = "", .query = asked.query}, value);
    else
        leshan_send_text(call->request, 400, "Invalid request: %s.", error);
    json_decref(body);
}

/* An attribute without a value is unset. */
void leshan_write_attributes(const struct call *call) {
    static const char *const names[] = {"pmin", "pmax", "gt", "lt", "st", "epmin", "epmax", "edge", "con", "hqmax"};
    struct lwm2m_path path;
    if (!read_ids(call, &path))
        return;
    json_t *body = json_object();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct slice text = query_get(&call->query, names[i]);
        if (text.data == NULL)
            continue;
        json_t *value =
            text.len == 0 ? json_null() : json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY, NULL);
        json_object_set_new(body, names[i], value != NULL ? value : document_text(text));
    }
    if (json_object_size(body) == 0) {
        json_decref(body);
        leshan_send_text(call->request, 400, "Invalid request: it needs an attribute, like ?pmin=5.");
        return;
    }
    ask_with(call, &(struct ask){.method = "PUT", .path = &path, .suffix = "/attributes", .query = "force=1"}, body);
}

/* ---- composite operations ---- */

/* paths=/3/0/0,/1/0/1. NULL: the request is answered. */
static json_t *read_paths(const struct call *call) {
    struct slice text = query_get(&call->query, "paths");
    json_t *paths = json_array();
    for (bool more = text.len > 0; more;) {
        const uint8_t *comma = text.len == 0 ? NULL : memchr(text.data, ',', text.len);
        struct slice item = comma == NULL ? text : slice_of(text.data, (size_t)(comma - text.data));
        struct lwm2m_path path;
        more = comma != NULL;
        text = slice_from(text, item.len + 1);
        if (!slice_starts_with(item, "/") || !lwm2m_path_parse(item, &path, NULL) ||
            json_array_size(paths) == PATHS_MAX) {
            json_decref(paths);
            leshan_send_text(call->request, 400, "Invalid request: \"%.*s\" is no path like /3/0/0, or one too many.",
                             (int)item.len, (const char *)item.data);
            return NULL;
        }
        json_array_append_new(paths, document_text(item));
    }
    if (json_array_size(paths) > 0)
        return paths;
    json_decref(paths);
    leshan_send_text(call->request, 400, "Invalid request: paths is missing, like ?paths=/3/0/0,/1/0/1.");
    return NULL;
}

/* pathformat is what a FETCH has, nodeformat what comes back; both are one here, and the latter counts. */
static void ask_paths(const struct call *call, const char *suffix) {
    char text[QUERY_MAX] = "force=1";
    struct buffer query = buffer_over(text, sizeof text - 1);
    query.len = strlen(text);
    bool has_node = query_get(&call->query, "nodeformat").len > 0;
    if (!put_format(call, has_node ? "nodeformat" : "pathformat", &query))
        return;
    text[query.len] = '\0';
    json_t *paths = find(call) == NULL ? NULL : read_paths(call);
    if (paths == NULL)
        return;
    json_t *body = json_pack("{sO}", "paths", paths);
    ask_with(call, &(struct ask){.method = "POST", .suffix = suffix, .query = text, .paths = paths}, body);
}

void leshan_composite_read(const struct call *call) {
    ask_paths(call, "/composite/read");
}

void leshan_composite_observe(const struct call *call) {
    ask_paths(call, "/composite/observe");
}

/* What is written, in the words of /v1. NULL: `error` says why. */
static json_t *read_written(const json_t *body, char *error, size_t error_size) {
    json_t *values = json_object(), *node;
    const char *name;
    json_object_foreach((json_t *)(uintptr_t)body, name, node) {
        struct lwm2m_path path;
        bool good = lwm2m_path_parse(slice_str(name), &path, NULL) && path.len >= 2;
        json_t *value = good ? leshan_node_read(node, &path, error, error_size) : NULL;
        if (!good)
            snprintf(error, error_size, "\"%.60s\" is no path like /3/0/14", name);
        if (value == NULL) {
            json_decref(values);
            return NULL;
        }
        json_object_set_new(values, name, value);
    }
    return values;
}

void leshan_composite_write(const struct call *call) {
    char text[QUERY_MAX] = "force=0", error[256];
    struct buffer query = buffer_over(text, sizeof text - 1);
    query.len = strlen(text);
    if (!put_format(call, "nodeformat", &query))
        return;
    text[query.len] = '\0';
    json_t *body = find(call) == NULL ? NULL : read_body(call);
    if (body == NULL)
        return;
    json_t *values = read_written(body, error, sizeof error);
    if (values != NULL)
        ask_with(call, &(struct ask){.method = "POST", .suffix = "/composite/write", .query = text}, values);
    else
        leshan_send_text(call->request, 400, "Invalid request: %s.", error);
    json_decref(body);
}

/* ---- cancelling ---- */

/* The observation of just these paths; NULL: the request is answered. */
static const struct observation *find_observation(const struct call *call, const struct lwm2m_path *paths, size_t count,
                                                  bool is_composite) {
    const struct registration *r = find(call);
    if (r == NULL)
        return NULL;
    for (const struct observation *o = first_of(r); o != NULL; o = o->next) {
        if (observes(o, paths, count, is_composite))
            return o;
    }
    leshan_send_text(call->request, 404, "no observation of these paths");
    return NULL;
}

/* The last value that was told. */
static json_t *last_json(const struct observation *o) {
    struct notification_memory memory = {0};
    struct leshan_values values = {0};
    struct lwm2m_path base = observation_base(o);
    struct lwm2m_nodes list;
    struct slice last = slice_of(o->last, o->last_len);
    json_t *node = json_null();
    if (o->has_last && notification_reserve(&memory, last.len) &&
        notification_read(o, o->last_format, last, &memory, &list) == NULL) {
        for (size_t i = 0; i < list.count; i++)
            leshan_values_add(&values, &list.nodes[i]);
        node = o->is_composite ? leshan_node_paths_json(&values) : leshan_node_json(&values, &base);
    }
    leshan_values_clear(&values);
    notification_memory_free(&memory);
    return node;
}

/* Passive: the next notification is answered with a Reset, and the answer is empty. Active: the device is told, and the
 * answer has the last value. */
static void cancel(const struct call *call, const struct observation *o, const struct lwm2m_path *path,
                   const char *suffix, const json_t *paths) {
    bool is_active =
        query_get(&call->query, "active").data != NULL && !slice_is(query_get(&call->query, "active"), "false");
    json_t *last = is_active ? last_json(o) : NULL;
    if (is_active && paths != NULL) {
        json_t *content = composite_json(paths, last);
        json_decref(last);
        last = content;
    }
    ask_device(call, &(struct ask){.method = "DELETE",
                                   .path = path,
                                   .suffix = suffix,
                                   .query = is_active ? "mode=active" : "mode=reset",
                                   .last = last,
                                   .is_silent = !is_active,
                                   .is_local = !is_active});
}

void leshan_cancel(const struct call *call) {
    struct lwm2m_path path;
    const struct observation *o = read_ids(call, &path) ? find_observation(call, &path, 1, false) : NULL;
    if (o != NULL)
        cancel(call, o, &path, "/observe", NULL);
}

void leshan_composite_cancel(const struct call *call) {
    json_t *texts = find(call) == NULL ? NULL : read_paths(call);
    size_t count = json_array_size(texts);
    struct lwm2m_path *paths = texts == NULL ? NULL : calloc(count, sizeof *paths);
    for (size_t i = 0; paths != NULL && i < count; i++)
        lwm2m_path_parse(document_string(json_array_get(texts, i)), &paths[i], NULL);
    const struct observation *o = paths == NULL ? NULL : find_observation(call, paths, count, true);
    if (o != NULL) {
        char suffix[64];
        snprintf(suffix, sizeof suffix, "/observations/%" PRIu64, o->id);
        cancel(call, o, NULL, suffix, texts);
    }
    free(paths);
    json_decref(texts);
}

/* ---- what a sleeping device was asked ---- */

/* "/3/0" of "/v1/devices/dev1/3/0/observe". */
static json_t *path_json(struct slice target) {
    char text[64];
    size_t at = 0, slashes = 0;
    while (at < target.len && slashes < 4)
        slashes += target.data[at++] == '/';
    struct slice path = slashes < 4 ? SLICE_NONE : slice_from(target, at - 1);
    size_t len = 0;
    while (len < path.len && len < sizeof text - 1 &&
           (path.data[len] == '/' || (path.data[len] >= '0' && path.data[len] <= '9')))
        len++;
    while (len > 0 && path.data[len - 1] == '/')
        len--;
    return len == 0 ? json_string("/") : document_text(slice_of(path.data, len));
}

static json_t *failed_json(const char *prefix, const json_t *problem) {
    json_t *result = json_object();
    json_object_set_new(result, "valid", json_false());
    json_object_set_new(result, "success", json_false());
    json_object_set_new(result, "failure", json_true());
    json_object_set_new(result, "errormessage",
                        prefix == NULL ? json_string("Request timeout")
                                       : json_sprintf("%s%s", prefix, text_in(problem, "detail")));
    return result;
}

json_t *leshan_queued_json(const struct queued_request *request) {
    struct job job;
    struct queued_answer queued;
    struct failure failure;
    char id[40];
    if (!job_read(request->job, &job) || !slice_is(job.accept, accepted))
        return NULL;
    queued_answer_of(request, &queued);
    uint8_t lines[TEXT_MAX] = {0};
    struct slice headers = queued.result.headers;
    memcpy(lines, headers.data == NULL ? lines : headers.data,
           headers.len < sizeof lines - 1 ? headers.len : sizeof lines - 1);
    struct http_response response = {.status = queued.result.status,
                                     .content_type = queued.result.content_type,
                                     .headers = (char *)lines,
                                     .body = queued.result.body};
    json_t *asked = job.body.len == 0 ? NULL : json_loadb((const char *)job.body.data, job.body.len, 0, NULL);
    json_t *problem = problem_in(&response);
    json_t *result = told_json(&response, problem, json_object_get(asked, "paths"), &failure);
    if (result == NULL)
        result = failed_json(failure.prefix, problem);
    put_request_id(id, request->id);
    json_object_set_new(result, "ep", document_text(request->endpoint));
    json_object_set_new(result, "path", path_json(job.path));
    json_object_set_new(result, "requestId", json_string(id));
    json_decref(asked);
    json_decref(problem);
    queued_answer_free(&queued);
    return result;
}
