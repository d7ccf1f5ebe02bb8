#include "web/v1/data_body.h"

#include "common/coap/option.h"
#include "common/lwm2m/text.h"
#include "common/lwm2m/value.h"
#include "server/definition.h"
#include "web/v1/http_form.h"
#include "web/v1/value_json.h"

enum { NODES_MAX = 100000 };

/* A body being read. */
struct reading {
    const struct call *call;
    struct device_call *device_call;
    const struct target *target;
    enum data_use use;
    int format;
    struct definitions definitions;
    struct buffer scratch;
    struct lwm2m_nodes nodes;
    struct data_body *body;
};

static bool refuse(struct reading *reading, enum problem_kind kind, const char *why) {
    device_call_refuse(reading->device_call, kind, "%s", why);
    return false;
}

/* With the path of the value that is wrong. */
static bool refuse_at(struct reading *reading, const struct lwm2m_path *path, const char *why) {
    uint8_t memory[32];
    struct buffer text = buffer_over(memory, sizeof memory);
    lwm2m_path_put(&text, path);
    device_call_refuse(reading->device_call, PROBLEM_BAD_BODY, "%.*s: %s.", (int)text.len, (const char *)text.data,
                       why == NULL ? "it cannot be read" : why);
    return false;
}

static bool keep_raw(struct reading *reading, int format) {
    reading->body->is_raw = true;
    reading->body->format = format;
    reading->body->payload = reading->call->request->body;
    return true;
}

/* text/plain, to a resource. Where nobody knows its type the device is given the text as it is. */
static bool read_text(struct reading *reading) {
    const struct lwm2m_path *path = &reading->target->path;
    enum lwm2m_type type = reading->target->force ? LWM2M_RAW : definition_type_of(&reading->definitions, path);
    struct lwm2m_value value;
    const char *why;
    if (path->len < 3 || reading->use != DATA_REPLACE)
        return refuse(reading, PROBLEM_BAD_BODY,
                      "text/plain is one value, for a PUT on a resource or an instance of one.");
    if (type == LWM2M_RAW && (reading->format == COAP_FORMAT_NONE || reading->format == COAP_FORMAT_TEXT))
        return keep_raw(reading, COAP_FORMAT_TEXT);
    if (type == LWM2M_RAW)
        type = LWM2M_STRING;
    if (!lwm2m_text_decode(reading->call->request->body, type, &reading->scratch, &value, &why) || why != NULL)
        return refuse_at(reading, path, why);
    return lwm2m_nodes_add(&reading->nodes, path, value) || refuse_at(reading, path, reading->nodes.remark);
}

static bool read_bytes(struct reading *reading) {
    const struct lwm2m_path *path = &reading->target->path;
    struct lwm2m_value value = lwm2m_bytes(LWM2M_OPAQUE, reading->call->request->body);
    enum lwm2m_type type = reading->target->force ? LWM2M_RAW : definition_type_of(&reading->definitions, path);
    const char *why;
    if (path->len < 3 || reading->use != DATA_REPLACE)
        return refuse(reading, PROBLEM_BAD_BODY,
                      "application/octet-stream is an Opaque, for a PUT on a resource or an instance of one.");
    if (!lwm2m_value_convert(&value, type, NULL, &why))
        return refuse_at(reading, path, why);
    return lwm2m_nodes_add(&reading->nodes, path, value) || refuse_at(reading, path, reading->nodes.remark);
}

static bool read_json(struct reading *reading) {
    struct value_json_context context = {.type_of = reading->target->force ? NULL : definition_type_of,
                                         .arg = &reading->definitions,
                                         .may_remove = reading->use == DATA_COMPOSITE,
                                         .scratch = &reading->scratch};
    struct slice text = reading->call->request->body;
    struct value_json_fault fault;
    bool good = false;
    switch (reading->use) {
    case DATA_REPLACE:
    case DATA_UPDATE:
        good = value_json_read(text, &reading->target->path, &context, &reading->nodes, &fault);
        break;
    case DATA_CREATE:
        good = value_json_read_create(text, reading->target->path.ids[0], &context, &reading->nodes, &fault);
        break;
    case DATA_COMPOSITE:
        good = value_json_read_composite(text, &context, &reading->nodes, &fault);
        break;
    }
    if (good)
        return true;
    if (!fault.is_syntax)
        return refuse_at(reading, &fault.path, fault.why);
    device_call_refuse(reading->device_call, PROBLEM_BAD_BODY, "The body is no JSON: %s, at byte %zu.", fault.why,
                       fault.at);
    return false;
}

/* What an instance without an id has in TLV: resources, and no instance around them. */
static struct lwm2m_path base_of_body(const struct reading *reading, int format) {
    struct slice body = reading->call->request->body;
    bool is_bare = format == COAP_FORMAT_TLV && reading->use == DATA_CREATE && body.len > 0 && body.data[0] >> 6 != 0;
    return is_bare ? lwm2m_path_child(&reading->target->path, LWM2M_ID_NONE) : reading->target->path;
}

static bool decode(struct reading *reading, int format) {
    struct lwm2m_decode_context context = {.base = base_of_body(reading, format),
                                           .now_ms = (int64_t)clock_now_ms(&reading->call->web->server->clock),
                                           .mode = reading->use == DATA_COMPOSITE ? SENML_PATCH : SENML_CONTENT,
                                           .type_of = reading->target->force ? NULL : definition_type_of,
                                           .arg = &reading->definitions};
    if (lwm2m_decode(format, reading->call->request->body, &context, &reading->scratch, &reading->nodes))
        return true;
    char text[LWM2M_FAULT_MAX];
    struct buffer why = buffer_over(text, sizeof text);
    lwm2m_nodes_put_fault(&why, &reading->nodes);
    device_call_refuse(reading->device_call, PROBLEM_BAD_BODY, "%.*s.", (int)why.len, text);
    return false;
}

/* Hold the values against their definitions; what is forced is sent as it is. */
static bool judge(struct reading *reading) {
    for (size_t i = 0; i < reading->nodes.count && !reading->target->force; i++) {
        const struct lwm2m_node *node = &reading->nodes.nodes[i];
        const char *why = node->path.len < 3 ? NULL : definition_fault(&reading->definitions, node);
        if (why != NULL)
            return refuse_at(reading, &node->path, why);
        if (reading->use == DATA_UPDATE && reading->target->path.len == 3 && node->path.len == 3)
            return refuse_at(reading, &node->path,
                             "a partial update of a resource is for its instances (Core 1.2 §6.3.3)");
        if (node->has_time)
            return refuse_at(reading, &node->path, "what is written has no time");
    }
    return true;
}

/* The media type of a content format: its bytes are sent as they are, unless they are wanted in another format. They are
 * looked at all the same: what a device would refuse need not travel. */
static bool read_format(struct reading *reading, int format) {
    if (reading->format != COAP_FORMAT_NONE && reading->format != format)
        return decode(reading, format);
    enum lwm2m_format_use use = reading->use == DATA_COMPOSITE   ? LWM2M_USE_IPATCH
                                : reading->target->path.len == 3 ? LWM2M_USE_RESOURCE
                                : reading->target->path.len == 4 ? LWM2M_USE_RESOURCE_INSTANCE
                                                                 : LWM2M_USE_INSTANCE;
    if (!reading->target->force && (!lwm2m_format_allows(lwm2m_format_of(format), use) ||
                                    (reading->use == DATA_UPDATE && format == COAP_FORMAT_CBOR)))
        return refuse(reading, PROBLEM_NOT_SENT,
                      "The content format has no place there (Core 1.2 §7.5). With force=1 it is sent all the same.");
    const struct registration *r = reading->target->registration;
    if (!reading->target->force && r->version < target_version_with(format)) {
        device_call_refuse(
            reading->device_call, PROBLEM_NOT_SENT,
            "The content format came after LwM2M %s, which the device registered with. With force=1 it is "
            "sent all the same.",
            registration_version_text(r));
        return false;
    }
    if (!reading->target->force && (!decode(reading, format) || !judge(reading)))
        return false;
    return keep_raw(reading, format);
}

static bool read_form(struct reading *reading, enum http_form form) {
    if (form == HTTP_FORM_DEFAULT)
        form = reading->target->path.len >= 3 && reading->use == DATA_REPLACE ? HTTP_FORM_TEXT : HTTP_FORM_JSON;
    switch (form) {
    case HTTP_FORM_TEXT:
        return read_text(reading);
    case HTTP_FORM_JSON:
        return read_json(reading);
    case HTTP_FORM_BYTES:
        return read_bytes(reading);
    case HTTP_FORM_SENML_JSON:
        return decode(reading, COAP_FORMAT_SENML_JSON);
    case HTTP_FORM_SENML_CBOR:
        return read_format(reading, COAP_FORMAT_SENML_CBOR);
    case HTTP_FORM_CBOR:
        return read_format(reading, COAP_FORMAT_CBOR);
    case HTTP_FORM_TLV:
        return read_format(reading, COAP_FORMAT_TLV);
    case HTTP_FORM_OMA_JSON:
        return read_format(reading, COAP_FORMAT_OMA_JSON);
    case HTTP_FORM_LWM2M_CBOR:
        return read_format(reading, COAP_FORMAT_LWM2M_CBOR);
    default:
        return refuse(reading, PROBLEM_MEDIA_TYPE,
                      "The body can be application/json, text/plain, application/senml+json, application/senml+cbor, "
                      "application/cbor, application/octet-stream or application/vnd.oma.lwm2m+tlv, +json or +cbor.");
    }
}

bool data_body_read(const struct call *call, struct device_call *device_call, const struct target *target,
                    enum data_use use, int format, struct data_body *body) {
    size_t len = call->request->body.len, cap = len + 1 < NODES_MAX ? len + 1 : NODES_MAX;
    struct lwm2m_node *nodes = device_call_take(device_call, cap * sizeof *nodes);
    uint8_t *scratch = device_call_take(device_call, 4 * len + 64);
    struct reading reading = {.call = call,
                              .device_call = device_call,
                              .target = target,
                              .use = use,
                              .format = format,
                              .definitions = definitions_of(call->web->server, target->registration),
                              .scratch = buffer_over(scratch, 4 * len + 64),
                              .nodes = lwm2m_nodes_over(nodes, cap),
                              .body = body};
    *body = (struct data_body){.nodes = nodes};
    if (nodes == NULL || scratch == NULL)
        return refuse(&reading, PROBLEM_OVERLOADED, "The server is out of memory.");
    if (len == 0 && target->path.len < 3)
        return refuse(&reading, PROBLEM_BAD_BODY, "The body is empty; it must be what is to be written.");
    if (!read_form(&reading, http_form_of_body(call->request)) || (!body->is_raw && !judge(&reading)))
        return false;
    body->count = reading.nodes.count;
    return true;
}
