/* Write, replace and partial update (Core 1.2 §6.3.3), and Write-Composite (§6.3.9). First everything is looked at, then
 * everything is written. */
#include "client/device.h"
#include "client/format.h"
#include "client/request.h"

static bool refuse(struct answer *answer, uint8_t code, const char *why) {
    answer_with(answer, code, why);
    return false;
}

static enum lwm2m_type type_of(void *arg, const struct lwm2m_path *path) {
    struct device *device = arg;
    struct target target = {.path = *path};
    return target_find(device, &target) && target.resource != NULL ? target.resource->type : LWM2M_RAW;
}

static bool decode(struct device *device, const struct coap_request *request, const struct lwm2m_path *base,
                   enum senml_mode mode, int format, struct buffer *scratch, struct lwm2m_nodes *nodes,
                   struct answer *answer) {
    const struct lwm2m_decode_context context = {.base = *base,
                                                 .now_ms = (int64_t)clock_now_ms(&device->clock),
                                                 .mode = mode,
                                                 .type_of = type_of,
                                                 .arg = device};
    return lwm2m_decode(format, request->body, &context, scratch, nodes) ||
           refuse(answer, COAP_4_00_BAD_REQUEST, nodes->remark);
}

/* An instance is often written as it was read. What cannot be written is let pass when it is what it was. */
static bool is_unchanged(const struct object *object, const struct resource *resource, const struct lwm2m_node *node) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    object_read(object, resource, &nodes);
    for (size_t i = 0; i < nodes.count; i++) {
        if (lwm2m_path_equal(&nodes.nodes[i].path, &node->path))
            return lwm2m_value_equal(&nodes.nodes[i].value, &node->value);
    }
    return false;
}

static bool is_value_good(const struct resource *resource, const struct lwm2m_node *node, struct answer *answer) {
    if (node->path.len != (resource->multiple ? 4 : 3))
        return refuse(answer, COAP_4_00_BAD_REQUEST, "a single resource is written as a multiple one, or the reverse");
    if ((resource->type == LWM2M_STRING || resource->type == LWM2M_CORELNK) && !slice_is_utf8(node->value.bytes))
        return refuse(answer, COAP_4_00_BAD_REQUEST, "the text is not UTF-8");
    if (!object_accepts(resource, &node->value))
        return refuse(answer, COAP_4_00_BAD_REQUEST, "the value is not in its range");
    return true;
}

/* An empty multiple resource (TLV has that) is no value that could be bad. */
static bool is_empty_resource(const struct resource *resource, const struct lwm2m_node *node) {
    return node->value.type == LWM2M_NONE && node->path.len == 3 && resource->multiple &&
           (resource->operations & OPERATION_W) != 0;
}

static bool judge(const struct target *target, const struct lwm2m_node *node, struct answer *answer) {
    if (node->path.len < 3) /* an instance without resources */
        return true;
    const struct resource *resource = object_resource(target->object, node->path.ids[2]);
    if (resource == NULL)
        return refuse(answer, COAP_4_04_NOT_FOUND, "there is no such resource");
    if (is_empty_resource(resource, node))
        return true;
    if ((resource->operations & (OPERATION_R | OPERATION_W)) == 0)
        return refuse(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be written");
    if ((resource->operations & OPERATION_W) != 0)
        return is_value_good(resource, node, answer);
    if (target->resource == NULL && is_value_good(resource, node, answer) &&
        is_unchanged(target->object, resource, node))
        return true;
    return refuse(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be written");
}

/* What a replaced instance has and the payload does not: it goes, unless it is mandatory. A multiple resource loses its
 * old instances in any case. */
static void clear_replaced(const struct target *target) {
    struct object *object = target->object;
    if (target->path.len == 4)
        return;
    for (size_t i = 0; i < object->resource_count; i++) {
        const struct resource *resource = &object->resources[i];
        bool is_meant = target->resource == NULL ? !resource->mandatory : target->resource == resource;
        if (is_meant && (resource->operations & OPERATION_W) != 0)
            object_clear(object, resource->id);
    }
}

static void write_node(struct device *device, const struct lwm2m_node *node) {
    struct target target = {.path = node->path};
    if (target_find(device, &target) && target.resource != NULL && (target.resource->operations & OPERATION_W) != 0 &&
        node->value.type != LWM2M_NONE)
        object_write(target.object, target.resource, node->path.len == 4 ? node->path.ids[3] : 0, &node->value);
}

void write_answer(struct device *device, const struct target *target, const struct coap_request *request, bool replace,
                  struct answer *answer) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    uint8_t bytes[SCRATCH_MAX];
    struct buffer scratch = buffer_over(bytes, sizeof bytes);
    const struct resource *resource = target->resource;
    int format = coap_content_format(request->message);
    if (format == COAP_FORMAT_NONE)
        format = LWM2M_FORMAT_TEXT;
    if (resource != NULL && (resource->operations & OPERATION_W) == 0) {
        refuse(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be written");
        return;
    }
    if (!format_is_spoken(format, target_use(target), device->options->version) ||
        (format == LWM2M_FORMAT_OPAQUE && resource->type != LWM2M_OPAQUE)) {
        refuse(answer, COAP_4_15_UNSUPPORTED_CONTENT_FORMAT, NULL);
        return;
    }
    if (!decode(device, request, &target->path, SENML_CONTENT, format, &scratch, &nodes, answer))
        return;
    for (size_t i = 0; i < nodes.count; i++) {
        if (!judge(target, &nodes.nodes[i], answer))
            return;
    }
    if (replace)
        clear_replaced(target);
    for (size_t i = 0; i < nodes.count; i++)
        write_node(device, &nodes.nodes[i]);
    answer->code = COAP_2_04_CHANGED;
}

/* ---- Write-Composite ---- */

/* Null in SenML-ETCH: what is there is to go (Core 1.2 §7.5.6, RFC 8790 §3.2). */
static bool is_removal(int format, const struct lwm2m_node *node) {
    return node->value.type == LWM2M_NONE &&
           (format == LWM2M_FORMAT_SENML_ETCH_JSON || format == LWM2M_FORMAT_SENML_ETCH_CBOR);
}

static bool judge_composite(struct device *device, int format, const struct lwm2m_node *node, struct answer *answer) {
    struct target target = {.path = node->path};
    if (!target_find(device, &target))
        return refuse(answer, COAP_4_04_NOT_FOUND, "there is no such path");
    if (target.resource == NULL)
        return refuse(answer, COAP_4_00_BAD_REQUEST, "a value stands above resource level");
    if (!is_removal(format, node))
        return judge(&target, node, answer);
    if (node->path.len != 4)
        return refuse(answer, COAP_4_00_BAD_REQUEST, "only a resource instance can be removed");
    if ((target.resource->operations & OPERATION_W) == 0)
        return refuse(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be written");
    return object_stored(target.object, target.resource->id, node->path.ids[3]) != NULL ||
           refuse(answer, COAP_4_04_NOT_FOUND, "there is no such resource instance");
}

void write_composite_answer(struct device *device, const struct coap_request *request, struct answer *answer) {
    static const struct lwm2m_path root = {.len = 0};
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    uint8_t bytes[SCRATCH_MAX];
    struct buffer scratch = buffer_over(bytes, sizeof bytes);
    int format = coap_content_format(request->message);
    if (!format_is_spoken(format, LWM2M_USE_IPATCH, device->options->version)) {
        refuse(answer, COAP_4_15_UNSUPPORTED_CONTENT_FORMAT, NULL);
        return;
    }
    if (!decode(device, request, &root, SENML_PATCH, format, &scratch, &nodes, answer))
        return;
    for (size_t i = 0; i < nodes.count; i++) {
        if (!judge_composite(device, format, &nodes.nodes[i], answer))
            return;
    }
    for (size_t i = 0; i < nodes.count; i++) {
        const struct lwm2m_path *path = &nodes.nodes[i].path;
        if (is_removal(format, &nodes.nodes[i]))
            object_remove(device_object(device, path->ids[0]), path->ids[2], path->ids[3]);
        else
            write_node(device, &nodes.nodes[i]);
    }
    answer->code = COAP_2_04_CHANGED;
}
