#include "web/v1/event_json.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "server/queue.h"
#include "web/document.h"

const char *const event_json_fields[] = {
    "id",          "ts",        "type",    "endpoint",   "location",       "previous", "lifetime_s",  "address",
    "detail",      "coap_code", "path",    "value",      "value_type",     "time",     "observation", "sequence",
    "confirmable", "stale",     "request", "state",      "status",         "security", "identity",    "cipher_suite",
    "cid",         "cid_draft", "reason",  "alert_sent", "alert_received", "bytes_in", "bytes_out",   "tls_version",
    "operation",   "procedure", "format",  "query",      "diagnostic",     "rtt_ms",   "fault",       "action",
    "message",     "direction", "image",   "method",     "bytes",          "size",     "result",      NULL};

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static json_t *code_json(uint8_t code) {
    return json_sprintf("%u.%02u", (unsigned)code >> 5, (unsigned)code & 31);
}

static json_t *base64_json(struct slice bytes) {
    size_t size = (bytes.len + 2) / 3 * 4;
    uint8_t *memory = malloc(size + 1);
    if (memory == NULL)
        return NULL;
    struct buffer text = buffer_over(memory, size);
    text_put_base64(&text, bytes);
    json_t *json = document_text(buffer_slice(&text));
    free(memory);
    return json;
}

/* As docs/http-api.md writes values; what is beyond a signed 64-bit integer, or no finite number, is text here. */
static json_t *value_json(const struct lwm2m_value *value) {
    switch (value->type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
        return document_text(value->bytes);
    case LWM2M_OPAQUE:
    case LWM2M_RAW:
        return base64_json(value->bytes);
    case LWM2M_INTEGER:
    case LWM2M_TIME:
        return json_integer(value->integer);
    case LWM2M_UNSIGNED:
        return value->natural <= INT64_MAX ? json_integer((json_int_t)value->natural)
                                           : json_sprintf("%llu", (unsigned long long)value->natural);
    case LWM2M_FLOAT:
        return isfinite(value->real) ? json_real(value->real) : json_sprintf("%g", value->real);
    case LWM2M_BOOLEAN:
        return json_boolean(value->truth);
    case LWM2M_OBJLNK:
        return json_sprintf("%u:%u", (unsigned)value->link.object, (unsigned)value->link.instance);
    case LWM2M_NONE:
        return json_null();
    }
    return json_null();
}

static void set_path(json_t *object, const struct lwm2m_path *path) {
    uint8_t memory[32];
    struct buffer text = buffer_over(memory, sizeof memory);
    lwm2m_path_put(&text, path);
    set(object, "path", document_text(buffer_slice(&text)));
}

static void set_node(json_t *object, const struct lwm2m_node *node) {
    set_path(object, &node->path);
    set(object, "value_type", json_string(lwm2m_type_name(node->value.type)));
    set(object, "value", value_json(&node->value));
    if (node->has_time && node->time_ms >= 0)
        set(object, "time", document_time((uint64_t)node->time_ms));
}

static bool tells_value(enum event_type type) {
    return type == EVENT_SEND || type == EVENT_NOTIFICATION;
}

static void set_observation(json_t *object, const struct event *event) {
    set(object, "observation", json_integer((json_int_t)event->observation));
    if (event->type != EVENT_NOTIFICATION)
        return;
    if (event->has_sequence)
        set(object, "sequence", json_integer(event->sequence));
    set(object, "confirmable", json_boolean(event->is_confirmable));
    if (event->is_stale)
        set(object, "stale", json_true());
}

static void set_request(json_t *object, const struct event_request *request) {
    set(object, "request", json_integer((json_int_t)request->id));
    set(object, "state", json_string(queue_state_name((enum queue_state)request->state)));
    if (request->status != 0)
        set(object, "status", json_integer(request->status));
}

static json_t *fact_json(enum event_fact fact, struct slice text) {
    uint64_t number = 0;
    switch (event_fact_kind(fact)) {
    case EVENT_FACT_TEXT:
        break;
    case EVENT_FACT_NUMBER:
        slice_to_u64(text, INT64_MAX, &number);
        return json_integer((json_int_t)number);
    case EVENT_FACT_TRUTH:
        return json_boolean(slice_is(text, "1"));
    }
    return document_text(text);
}

static void set_facts(json_t *object, struct slice facts) {
    enum event_fact fact;
    struct slice text;
    while (event_fact_next(&facts, &fact, &text))
        set(object, event_fact_name(fact), fact_json(fact, text));
}

json_t *event_json(const struct event *event) {
    json_t *object = json_object();
    set(object, "id", json_integer((json_int_t)event->id));
    set(object, "ts", document_time(event->ts_ms));
    set(object, "type", json_string(event_type_name(event->type)));
    set(object, "endpoint", event->endpoint.len == 0 ? json_null() : document_text(event->endpoint));
    if (event->location.len > 0) {
        set(object, "location", document_location(event->location));
        set(object, "lifetime_s", json_integer(event->lifetime_s));
    }
    if (event->previous.len > 0)
        set(object, "previous",
            event->type == EVENT_REPLACED ? document_location(event->previous) : document_text(event->previous));
    if (event->address.family != ADDRESS_NONE)
        set(object, "address", document_address(&event->address));
    if (event->detail.len > 0)
        set(object, "detail", document_text(event->detail));
    if (event->coap_code != 0)
        set(object, "coap_code", code_json(event->coap_code));
    set_facts(object, event->facts);
    if (event->observation != 0)
        set_observation(object, event);
    if (event->has_node && tells_value(event->type))
        set_node(object, &event->node);
    else if (event->has_node)
        set_path(object, &event->node.path);
    if (event->request.id > 0)
        set_request(object, &event->request);
    return object;
}

bool event_types_add(event_types *types, struct slice name) {
    enum event_type type;
    if (!event_type_parse(name, &type))
        return false;
    *types |= (event_types)1 << type;
    if (type == EVENT_REGISTERED)
        *types |= (event_types)1 << EVENT_REPLACED;
    return true;
}

bool event_types_parse(struct slice list, event_types *types, struct slice *unknown) {
    *types = 0;
    for (bool more = true; more;) {
        const uint8_t *comma = list.len > 0 ? memchr(list.data, ',', list.len) : NULL;
        struct slice name = comma == NULL ? list : slice_of(list.data, (size_t)(comma - list.data));
        if (!event_types_add(types, name)) {
            *unknown = name;
            return false;
        }
        more = comma != NULL;
        list = slice_from(list, name.len + 1);
    }
    return true;
}

bool event_filter_match(const struct event_filter *filter, const struct event *event) {
    return (filter->types >> event->type & 1) != 0 &&
           (filter->any_endpoint || slice_equal(filter->endpoint, event->endpoint));
}
