/* Write, replace and partial update (Core 1.2 §6.3.3), and Write-Composite (§6.3.9). First everything is looked at, then
 * everything is written. */
#include "client/device.h"
#include "client/format.h"
#include "client/request.h"

static bool refuse(struct answer *answer, uint8_t code, const char *why) {
    answer_with(answer, code, why);
    return false;
}

/* Also of an instance that is not there yet. */
static enum lwm2m_type type_of(void *arg, const struct lwm2m_path *path) {
    const struct object *object = path->len < 3 ? NULL : device_object(arg, path->ids[0]);
    const struct resource *resource = object == NULL ? NULL : object_resource(object, path->ids[2]);
    return resource == NULL || (path->len == 4 && !resource->multiple) ? LWM2M_RAW : resource->type;
}

bool write_decode(struct device *device, const struct coap_request *request, const struct lwm2m_path *base,
                  enum senml_mode mode, int format, struct lwm2m_nodes *nodes, struct answer *answer) {
    const struct lwm2m_decode_context context = {.base = *base,
                                                 .now_ms = (int64_t)clock_now_ms(&device->clock),
                                                 .mode = mode,
                                                 .type_of = type_of,
                                                 .arg = device};
    struct buffer scratch = workspace_take(&device->scratch, 2 * request->body.len + 1);
    if (!lwm2m_decode(format, request->body, &context, &scratch, nodes))
        return refuse(answer, COAP_4_00_BAD_REQUEST, nodes->remark);
    return device_has_room(device, nodes->count, request->body.len) ||
           refuse(answer, COAP_4_13_REQUEST_ENTITY_TOO_LARGE, "there is no room for so much");
}

/* An instance is often written as it was read. What cannot be written is let pass when it is what it was. */
static bool is_unchanged(const struct target *target, const struct resource *resource, const struct lwm2m_node *node) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    object_read(target->object, target->instance, resource, &nodes);
    for (size_t i = 0; i < nodes.count; i++) {
        if (lwm2m_path_equal(&nodes.nodes[i].path, &node->path))
            return lwm2m_value_equal(&nodes.nodes[i].value, &node->value);
    }
    return false;
}

bool write_is_good(const struct resource *resource, const struct lwm2m_node *node, struct answer *answer) {
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
        return write_is_good(resource, node, answer);
    if (target->resource == NULL && write_is_good(resource, node, answer) && is_unchanged(target, resource, node))
        return true;
    return refuse(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be written");
}

static bool is_named(const struct lwm2m_nodes *nodes, uint16_t resource) {
    for (size_t i = 0; i < nodes->count; i++) {
        if (nodes->nodes[i].path.len >= 3 && nodes->nodes[i].path.ids[2] == resource)
            return true;
    }
    return false;
}

/* What a replaced instance has and the payload does not: it goes, unless it is mandatory. Of a multiple resource that the
 * payload names, the old instances go. */
static void clear_replaced(const struct target *target, const struct lwm2m_nodes *nodes) {
    struct object *object = target->object;
    if (target->path.len == 4)
        return;
    for (size_t i = 0; i < object->resource_count; i++) {
        const struct resource *resource = &object->resources[i];
        bool named = is_named(nodes, resource->id) || target->resource == resource;
        bool goes = named ? resource->multiple : target->resource == NULL && !resource->mandatory;
        if (goes && (resource->operations & OPERATION_W) != 0)
            object_clear(object, target->instance, resource->id);
    }
}

static void write_node(struct device *device, const struct lwm2m_node *node) {
    struct target target = {.path = node->path};
    if (target_find(device, &target) && target.resource != NULL && (target.resource->operations & OPERATION_W) != 0 &&
        node->value.type != LWM2M_NONE)
        object_write(target.object, target.instance, target.resource, node->path.len == 4 ? node->path.ids[3] : 0,
                     &node->value);
}

void write_answer(struct device *device, const struct target *target, const struct coap_request *request, bool replace,
                  struct answer *answer) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
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
    if (!write_decode(device, request, &target->path, SENML_CONTENT, format, &nodes, answer))
        return;
    for (size_t i = 0; i < nodes.count; i++) {
        if (!judge(target, &nodes.nodes[i], answer))
            return;
    }
    if (replace)
        clear_replaced(target, &nodes);
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
    if (!target_find(device, &target) || !target_is_open(&target))
        return refuse(answer, COAP_4_04_NOT_FOUND, "there is no such path");
    if (target.resource == NULL)
        return refuse(answer, COAP_4_00_BAD_REQUEST, "a value stands above resource level");
    if (!is_removal(format, node))
        return judge(&target, node, answer);
    if (node->path.len != 4)
        return refuse(answer, COAP_4_00_BAD_REQUEST, "only a resource instance can be removed");
    if ((target.resource->operations & OPERATION_W) == 0)
        return refuse(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be written");
    return target_exists(&target) || refuse(answer, COAP_4_04_NOT_FOUND, "there is no such resource instance");
}

static void remove_resource_instance(struct device *device, const struct lwm2m_path *path) {
    struct target target = {.path = *path};
    if (target_find(device, &target))
        object_remove(target.object, target.instance, path->ids[2], path->ids[3]);
}

void write_composite_answer(struct device *device, const struct coap_request *request, struct answer *answer) {
    static const struct lwm2m_path root = {.len = 0};
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    int format = coap_content_format(request->message);
    if (!format_is_spoken(format, LWM2M_USE_IPATCH, device->options->version)) {
        refuse(answer, COAP_4_15_UNSUPPORTED_CONTENT_FORMAT, NULL);
        return;
    }
    if (!write_decode(device, request, &root, SENML_PATCH, format, &nodes, answer))
        return;
    for (size_t i = 0; i < nodes.count; i++) {
        if (!judge_composite(device, format, &nodes.nodes[i], answer))
            return;
    }
    for (size_t i = 0; i < nodes.count; i++) {
        const struct lwm2m_path *path = &nodes.nodes[i].path;
        if (is_removal(format, &nodes.nodes[i]))
            remove_resource_instance(device, path);
        else
            write_node(device, &nodes.nodes[i]);
    }
    answer->code = COAP_2_04_CHANGED;
}
