/* Read (Core 1.2 §6.3.1). */
#include "client/object.h"
#include "client/request.h"
#include "common/coap/option.h"
#include "common/lwm2m/text.h"
#include "common/lwm2m/tlv.h"

/* Everything at and below the path that a server may read. False when there are more values than fit. */
static bool collect(const struct target *target, struct lwm2m_nodes *nodes) {
    const struct object *object = target->object;
    if (target->resource != NULL)
        return object_read(object, target->resource, nodes);
    for (size_t i = 0; i < object->resource_count; i++) {
        const struct resource *resource = &object->resources[i];
        if ((resource->operations & OPERATION_R) != 0 && object_has(object, resource) &&
            !object_read(object, resource, nodes))
            return false;
    }
    return true;
}

/* Of a resource's instances the one that the path names. */
static void keep_instance(const struct lwm2m_path *path, struct lwm2m_nodes *nodes) {
    size_t kept = 0;
    for (size_t i = 0; i < nodes->count; i++) {
        if (lwm2m_path_equal(&nodes->nodes[i].path, path))
            nodes->nodes[kept++] = nodes->nodes[i];
    }
    nodes->count = kept;
}

static void encode(const struct target *target, const struct lwm2m_nodes *nodes, int accept, struct answer *answer) {
    bool is_single = target->path.len == 4 || (target->path.len == 3 && !target->resource->multiple);
    const struct lwm2m_value *first = &nodes->nodes[0].value;
    int format = accept != COAP_FORMAT_NONE ? accept : is_single ? COAP_FORMAT_TEXT : COAP_FORMAT_TLV;
    bool good = false;
    if (format == COAP_FORMAT_TEXT && is_single)
        good = lwm2m_text_encode(first, &answer->payload);
    else if (format == COAP_FORMAT_OPAQUE && is_single && first->type == LWM2M_OPAQUE) {
        buffer_put_slice(&answer->payload, first->bytes);
        good = true;
    } else if (format == COAP_FORMAT_TLV) {
        good = tlv_encode(nodes->nodes, nodes->count, &target->path, &answer->payload);
    }
    if (!good) {
        answer_with(answer, COAP_4_06_NOT_ACCEPTABLE, NULL);
        return;
    }
    answer->code = COAP_2_05_CONTENT;
    answer->format = format;
}

void read_answer(const struct target *target, int accept, struct answer *answer) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    if (target->resource != NULL && !object_has(target->object, target->resource)) {
        answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
        return;
    }
    if (target->resource != NULL && (target->resource->operations & OPERATION_R) == 0) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be read");
        return;
    }
    if (!collect(target, &nodes)) {
        answer_with(answer, COAP_5_00_INTERNAL_SERVER_ERROR, "more values than an answer takes");
        return;
    }
    if (target->path.len == 4) {
        keep_instance(&target->path, &nodes);
        if (nodes.count == 0) {
            answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
            return;
        }
    }
    encode(target, &nodes, accept, answer);
}
