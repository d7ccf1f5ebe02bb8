/* Write: replace and partial update (Core 1.2 §6.3.3). First everything is looked at, then everything is written. */
#include "client/object.h"
#include "client/request.h"
#include "common/lwm2m/text.h"
#include "common/lwm2m/tlv.h"

static bool refuse(struct answer *answer, uint8_t code, const char *why) {
    answer_with(answer, code, why);
    return false;
}

/* Nodes as the payload has them; those of TLV have no types yet. */
static bool decode(const struct target *target, const struct coap_request *request, struct lwm2m_nodes *nodes,
                   struct answer *answer) {
    const struct resource *resource = target->resource;
    const struct lwm2m_path *path = &target->path;
    switch (coap_content_format(request->message)) {
    case COAP_FORMAT_TLV:
        if (!tlv_decode(request->body, path, nodes))
            return refuse(answer, COAP_4_00_BAD_REQUEST, nodes->remark);
        return true;
    case COAP_FORMAT_NONE:
    case COAP_FORMAT_TEXT: {
        uint8_t none;
        struct buffer scratch = buffer_over(&none, 0); /* no resource here is Opaque */
        struct lwm2m_value value;
        const char *remark;
        if (path->len < 3 || (path->len == 3 && resource->multiple))
            return refuse(answer, COAP_4_15_UNSUPPORTED_CONTENT_FORMAT, "text holds one value");
        if (!lwm2m_text_decode(request->body, resource->type, &scratch, &value, &remark))
            return refuse(answer, COAP_4_00_BAD_REQUEST, remark);
        return lwm2m_nodes_add(nodes, path, value);
    }
    default:
        return refuse(answer, COAP_4_15_UNSUPPORTED_CONTENT_FORMAT, NULL);
    }
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

static bool is_value_good(const struct resource *resource, struct lwm2m_node *node, struct answer *answer) {
    struct slice raw = node->value.bytes;
    const char *remark = NULL;
    if (node->path.len != (resource->multiple ? 4 : 3))
        return refuse(answer, COAP_4_00_BAD_REQUEST, "a single resource is written as a multiple one, or the reverse");
    if (node->value.type == LWM2M_RAW && !tlv_value_decode(raw, resource->type, &node->value, &remark))
        return refuse(answer, COAP_4_00_BAD_REQUEST, remark);
    if (resource->type == LWM2M_STRING && !slice_is_utf8(node->value.bytes))
        return refuse(answer, COAP_4_00_BAD_REQUEST, "the text is not UTF-8");
    if (!object_accepts(resource, &node->value))
        return refuse(answer, COAP_4_00_BAD_REQUEST, "the value is not in its range");
    return true;
}

/* Give the node the type of its resource, and judge it. */
static bool judge(const struct target *target, struct lwm2m_node *node, struct answer *answer) {
    if (node->path.len < 3) /* an instance without resources */
        return true;
    const struct resource *resource = object_resource(target->object, node->path.ids[2]);
    if (resource == NULL)
        return refuse(answer, COAP_4_04_NOT_FOUND, "there is no such resource");
    if (node->value.type == LWM2M_NONE && resource->multiple && (resource->operations & OPERATION_W) != 0)
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

void write_answer(const struct target *target, const struct coap_request *request, bool replace,
                  struct answer *answer) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    struct object *object = target->object;
    if (target->resource != NULL && (target->resource->operations & OPERATION_W) == 0) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be written");
        return;
    }
    if (!decode(target, request, &nodes, answer))
        return;
    for (size_t i = 0; i < nodes.count; i++) {
        if (!judge(target, &nodes.nodes[i], answer))
            return;
    }
    if (replace)
        clear_replaced(target);
    for (size_t i = 0; i < nodes.count; i++) {
        const struct lwm2m_node *node = &nodes.nodes[i];
        const struct resource *resource = node->path.len < 3 ? NULL : object_resource(object, node->path.ids[2]);
        if (resource != NULL && (resource->operations & OPERATION_W) != 0 && node->value.type != LWM2M_NONE)
            object_write(object, resource, node->path.len == 4 ? node->path.ids[3] : 0, &node->value);
    }
    answer->code = COAP_2_04_CHANGED;
}
