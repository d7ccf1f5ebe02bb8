/* /v1/devices/{endpoint}/observations: what is observed. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "common/coap/option.h"
#include "server/announced_observation.h"
#include "server/dealings.h"
#include "server/notification.h"
#include "web/document.h"
#include "web/input.h"
#include "web/v1/device_problem.h"
#include "web/v1/unobserve.h"
#include "web/v1/v1.h"
#include "web/v1/value_json.h"
#include "web/web.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 1000 };

/* ---- as JSON ---- */

static const char *state_name(enum observation_state state) {
    switch (state) {
    case OBSERVATION_STARTING:
        return "starting";
    case OBSERVATION_ACTIVE:
        return "active";
    case OBSERVATION_WAITING:
        return "waiting";
    }
    return "";
}

static json_t *paths_json(const struct observation *o) {
    json_t *paths = json_array();
    for (size_t i = 0; i < o->path_count; i++) {
        uint8_t memory[32];
        struct buffer path = buffer_over(memory, sizeof memory);
        lwm2m_path_put(&path, &o->paths[i]);
        json_array_append_new(paths, document_text(buffer_slice(&path)));
    }
    return paths;
}

static json_t *token_json(const struct observation *o) {
    uint8_t memory[2 * COAP_TOKEN_MAX];
    struct buffer hex = buffer_over(memory, sizeof memory);
    if (o->coap == NULL)
        return json_null();
    text_put_hex(&hex, coap_observation_token(o->coap));
    return document_text(buffer_slice(&hex));
}

/* The Uri-Query options: attributes that were observed with. */
static json_t *query_json(const struct coap_message *request) {
    uint8_t memory[1024];
    struct buffer query = buffer_over(memory, sizeof memory);
    for (size_t i = 0; i < request->option_count; i++) {
        if (request->options[i].number != COAP_URI_QUERY)
            continue;
        if (query.len > 0)
            buffer_put_u8(&query, '&');
        buffer_put_slice(&query, request->options[i].value);
    }
    return query.len == 0 ? json_null() : document_text(buffer_slice(&query));
}

static json_t *observation_json(const struct observation *o) {
    struct coap_message request;
    uint32_t accept;
    json_t *json = json_object();
    coap_decode(observation_request(o), &request); /* we have encoded it */
    bool has_accept = coap_option_uint(&request, COAP_ACCEPT, &accept);
    json_object_set_new(json, "id", json_integer((json_int_t)o->id));
    json_object_set_new(json, "paths", paths_json(o));
    json_object_set_new(json, "composite", json_boolean(o->is_composite));
    json_object_set_new(json, "state", json_string(state_name((enum observation_state)o->state)));
    json_object_set_new(json, "auto", json_boolean(o->is_auto));
    json_object_set_new(json, "token", token_json(o));
    json_object_set_new(json, "accept", has_accept ? json_integer(accept) : json_null());
    json_object_set_new(json, "query", query_json(&request));
    json_object_set_new(json, "started_at", document_time(o->started_at_ms));
    json_object_set_new(json, "last_at", o->last_at_ms == 0 ? json_null() : document_time(o->last_at_ms));
    json_object_set_new(json, "notifications", json_integer((json_int_t)o->notifications));
    return json;
}

/* Text that grows. `overflow`: out of memory. */
static bool reserve(struct buffer *out, size_t more) {
    if (out->cap - out->len >= more)
        return true;
    size_t cap = 2 * out->cap + more;
    uint8_t *grown = realloc(out->data, cap);
    if (grown == NULL) {
        out->overflow = true;
        return false;
    }
    out->data = grown;
    out->cap = cap;
    return true;
}

static void put_text(struct buffer *out, struct slice text) {
    if (reserve(out, text.len))
        buffer_put_slice(out, text);
}

/* The newest values, or null: none are kept. Numbers keep all of their digits, so it is no json_t. */
static void put_last(struct buffer *out, const struct observation *o, struct notification_memory *memory) {
    struct lwm2m_nodes list;
    struct slice last = slice_of(o->last, o->last_len);
    struct lwm2m_path base = observation_base(o);
    struct value_json_options options = {.oddity = NULL};
    if (!o->has_last || !notification_reserve(memory, last.len) ||
        notification_read(o, o->last_format, last, memory, &list) != NULL) {
        put_text(out, slice_str("null"));
        return;
    }
    options.oddity = list.remark;
    if (!reserve(out, value_json_size(list.nodes, list.count, &options) + 64))
        return;
    value_json_put(out, &base, list.nodes, list.count, &options);
    buffer_put_str(out, "}");
}

static void put_observation(struct buffer *out, const struct observation *o, struct notification_memory *memory) {
    json_t *json = observation_json(o);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text == NULL) {
        out->overflow = true;
        return;
    }
    put_text(out, slice_of(text, strlen(text) - 1)); /* without its last brace */
    put_text(out, slice_str(",\"last\":"));
    put_last(out, o, memory);
    put_text(out, slice_str("}"));
    free(text);
}

static void respond(const struct call *call, struct buffer *out) {
    if (out->overflow)
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
    else
        http_respond(call->request, &(struct http_response){
                                        .status = 200, .content_type = "application/json", .body = buffer_slice(out)});
    free(out->data);
}

/* ---- the calls ---- */

/* NULL: the request is answered. What the device announces that it tells is made to exist. */
static struct registration *find_device(const struct call *call) {
    struct registration *r = directory_find(call->web->server->directory, call->args[0]);
    if (r == NULL)
        problem_send_not_registered(call->request, call->args[0]);
    else
        announced_observations_adopt(call->web->server, r);
    return r;
}

static struct observation *first_of(const struct registration *r) {
    return r->dealings == NULL ? NULL : r->dealings->observations;
}

void v1_observations_list(const struct call *call) {
    uint64_t limit = LIST_DEFAULT, after = 0;
    const struct registration *r = find_device(call);
    if (r == NULL || !input_number(call, "limit", 1, LIST_MAX, &limit) ||
        !input_number(call, "cursor", 0, INT64_MAX, &after))
        return;
    struct notification_memory memory = {0};
    struct buffer out = buffer_over(NULL, 0);
    const struct observation *o = first_of(r);
    uint64_t count = 0, last = 0;
    while (o != NULL && o->id <= after)
        o = o->next;
    put_text(&out, slice_str("{\"items\":["));
    for (; o != NULL && count < limit; o = o->next, count++) {
        if (count > 0)
            put_text(&out, slice_str(","));
        put_observation(&out, o, &memory);
        last = o->id;
    }
    reserve(&out, 64);
    if (o == NULL)
        buffer_put_str(&out, "],\"next\":null}");
    else
        buffer_printf(&out, "],\"next\":\"%" PRIu64 "\"}", last);
    notification_memory_free(&memory);
    respond(call, &out);
}

/* The number in the URL; false: the request is answered. */
static bool read_id(const struct call *call, uint64_t *id) {
    if (slice_to_u64(call->args[1], INT64_MAX, id) && *id > 0)
        return true;
    problem_send(call->request, PROBLEM_NOT_OBSERVED, "\"%.*s\" is no number of an observation.",
                 (int)call->args[1].len, (const char *)call->args[1].data);
    return false;
}

void v1_observations_get(const struct call *call) {
    uint64_t id;
    const struct registration *r = find_device(call);
    if (r == NULL || !read_id(call, &id))
        return;
    const struct observation *o = observation_find(r, id);
    if (o == NULL) {
        problem_send(call->request, PROBLEM_NOT_OBSERVED, "There is no observation %" PRIu64 " of this device.", id);
        return;
    }
    struct notification_memory memory = {0};
    struct buffer out = buffer_over(NULL, 0);
    put_observation(&out, o, &memory);
    notification_memory_free(&memory);
    respond(call, &out);
}

static bool has_id(const void *arg, const struct observation *o) {
    return o->id == *(const uint64_t *)arg;
}

static bool is_any(const void *arg, const struct observation *o) {
    (void)arg;
    (void)o;
    return true;
}

void v1_observations_end(const struct call *call) {
    uint64_t id;
    const struct registration *r = find_device(call);
    if (r != NULL && read_id(call, &id))
        unobserve(call, r, "this number", has_id, &id);
}

void v1_observations_end_all(const struct call *call) {
    const struct registration *r = find_device(call);
    if (r != NULL)
        unobserve(call, r, "anything", is_any, NULL);
}
