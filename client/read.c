/* Read (Core 1.2 §6.3.1) and Read-Composite (§6.3.8). */
#include "client/device.h"
#include "client/format.h"
#include "client/payload.h"
#include "client/request.h"

static void encode(struct device *device, const struct lwm2m_nodes *nodes, const struct lwm2m_path *base, int format,
                   struct answer *answer) {
    if (!payload_encode(&device->payload, format, nodes->nodes, nodes->count, base, &answer->payload)) {
        answer->payload.len = 0;
        answer->payload.overflow = false;
        answer_with(answer, COAP_4_06_NOT_ACCEPTABLE, NULL);
        return;
    }
    answer->code = COAP_2_05_CONTENT;
    answer->format = format;
}

/* What a server gets that does not say what it wants. */
static int default_format(const struct device *device, const struct target *target) {
    if (target_use(target) == LWM2M_USE_INSTANCE)
        return device->options->version < 12 ? LWM2M_FORMAT_TLV : LWM2M_FORMAT_LWM2M_CBOR;
    return target->resource->type == LWM2M_OPAQUE ? LWM2M_FORMAT_OPAQUE : LWM2M_FORMAT_TEXT;
}

void read_answer(struct device *device, const struct target *target, int accept, struct answer *answer) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    int format = accept == COAP_FORMAT_NONE ? default_format(device, target) : accept;
    if (target->resource != NULL && !object_has(target->instance, target->resource)) {
        answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
        return;
    }
    if (target->resource != NULL && (target->resource->operations & OPERATION_R) == 0) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be read");
        return;
    }
    if (!object_collect(target->object, &target->path, &nodes)) {
        answer_with(answer, COAP_5_00_INTERNAL_SERVER_ERROR, "more values than an answer takes");
        return;
    }
    if (target->path.len == 4 && nodes.count == 0) {
        answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
        return;
    }
    if (!format_is_spoken(format, target_use(target), device->options->version)) {
        answer_with(answer, COAP_4_06_NOT_ACCEPTABLE, NULL);
        return;
    }
    encode(device, &nodes, &target->path, format, answer);
}

/* ---- Read-Composite ---- */

/* Without those that an earlier path of the request has given. */
static void drop_repeated(struct lwm2m_nodes *nodes, size_t first) {
    size_t kept = first;
    for (size_t i = first; i < nodes->count; i++) {
        size_t before = 0;
        while (before < first && !lwm2m_path_equal(&nodes->nodes[before].path, &nodes->nodes[i].path))
            before++;
        if (before == first)
            nodes->nodes[kept++] = nodes->nodes[i];
    }
    nodes->count = kept;
}

/* What is not there or cannot be read is not in the answer either. */
bool read_collect(struct device *device, const struct lwm2m_path *path, struct lwm2m_nodes *nodes) {
    for (size_t i = 0; i < device->object_count; i++) {
        const struct object *object = &device->objects[i];
        size_t first = nodes->count;
        struct target target = {.path = *path};
        if ((path->len > 0 && path->ids[0] != object->id) || object->kind->is_hidden)
            continue;
        if (target_find(device, &target) && !object_collect(object, path, nodes))
            return false;
        drop_repeated(nodes, first);
    }
    return true;
}

/* The form of SenML that the request has. */
static int answer_format(int request_format) {
    bool is_json = request_format == LWM2M_FORMAT_SENML_JSON || request_format == LWM2M_FORMAT_SENML_ETCH_JSON;
    return is_json ? LWM2M_FORMAT_SENML_JSON : LWM2M_FORMAT_SENML_CBOR;
}

void read_composite_answer(struct device *device, const struct coap_request *request, struct lwm2m_nodes *asked,
                           struct answer *answer) {
    const struct lwm2m_decode_context context = {.now_ms = (int64_t)clock_now_ms(&device->clock), .mode = SENML_FETCH};
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    struct buffer scratch = workspace_take(&device->scratch, 2 * request->body.len + 1);
    uint8_t version = device->options->version;
    uint32_t accept;
    int format = coap_content_format(request->message);
    if (!format_is_spoken(format, LWM2M_USE_FETCH, version)) {
        answer_with(answer, COAP_4_15_UNSUPPORTED_CONTENT_FORMAT, NULL);
        return;
    }
    int wanted = coap_option_uint(request->message, COAP_ACCEPT, &accept) ? (int)accept : answer_format(format);
    if (!format_is_spoken(wanted, LWM2M_USE_COMPOSITE_ANSWER, version)) {
        answer_with(answer, COAP_4_06_NOT_ACCEPTABLE, NULL);
        return;
    }
    if (!lwm2m_decode(format, request->body, &context, &scratch, asked)) {
        answer_with(answer, COAP_4_00_BAD_REQUEST, asked->remark);
        return;
    }
    for (size_t i = 0; i < asked->count; i++) {
        if (!read_collect(device, &asked->nodes[i].path, &nodes)) {
            answer_with(answer, COAP_5_00_INTERNAL_SERVER_ERROR, "more values than an answer takes");
            return;
        }
    }
    if (lwm2m_nodes_arrange(&nodes))
        encode(device, &nodes, &context.base, wanted, answer);
    else
        answer_with(answer, COAP_5_00_INTERNAL_SERVER_ERROR, nodes.remark);
}
