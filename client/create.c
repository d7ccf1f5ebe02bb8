/* Create (Core 1.2 §6.3.6): one instance or several, all of them or none. */
#include "client/device.h"
#include "client/format.h"
#include "client/request.h"

static bool refuse(struct answer *answer, uint8_t code, const char *why) {
    answer_with(answer, code, why);
    return false;
}

/* In TLV an instance without id is its resources alone. */
static struct lwm2m_path base_of(const struct target *target, int format, struct slice body) {
    enum { TLV_OBJECT_INSTANCE = 0 };
    bool is_bare = format == LWM2M_FORMAT_TLV && (body.len == 0 || body.data[0] >> 6 != TLV_OBJECT_INSTANCE);
    return is_bare ? lwm2m_path_child(&target->path, LWM2M_ID_NONE) : target->path;
}

/* Also what a server can only read may be given to an instance when it is made. */
static bool is_value_good(const struct object *object, const struct lwm2m_node *node, struct answer *answer) {
    const struct resource *resource = object_resource(object, node->path.ids[2]);
    if (resource == NULL)
        return refuse(answer, COAP_4_00_BAD_REQUEST, "there is no such resource");
    if ((resource->operations & OPERATION_E) != 0)
        return refuse(answer, COAP_4_00_BAD_REQUEST, "a function has no value");
    if (node->value.type == LWM2M_NONE && node->path.len == 3 && resource->multiple)
        return true;
    return write_is_good(resource, node, answer);
}

static bool names_resource(const struct lwm2m_nodes *nodes, uint16_t instance, uint16_t resource) {
    for (size_t i = 0; i < nodes->count; i++) {
        const struct lwm2m_path *path = &nodes->nodes[i].path;
        if (path->len >= 3 && path->ids[1] == instance && path->ids[2] == resource)
            return true;
    }
    return false;
}

/* What a server can only read, the device fills in itself. */
static bool is_complete(const struct object *object, const struct lwm2m_nodes *nodes, uint16_t id,
                        struct answer *answer) {
    for (size_t i = 0; i < object->resource_count; i++) {
        const struct resource *resource = &object->resources[i];
        if (resource->mandatory && (resource->operations & OPERATION_W) != 0 &&
            !names_resource(nodes, id, resource->id))
            return refuse(answer, COAP_4_00_BAD_REQUEST, "a mandatory resource is missing");
    }
    return true;
}

/* The nodes of an instance stand together: whether an instance begins here. */
static bool begins_instance(const struct lwm2m_nodes *nodes, size_t at) {
    return at == 0 || nodes->nodes[at].path.ids[1] != nodes->nodes[at - 1].path.ids[1];
}

static bool judge(const struct object *object, const struct lwm2m_nodes *nodes, struct answer *answer) {
    size_t instances = 0;
    if (nodes->count == 0)
        return refuse(answer, COAP_4_00_BAD_REQUEST, "there is no instance to make");
    for (size_t i = 0; i < nodes->count; i++) {
        const struct lwm2m_node *node = &nodes->nodes[i];
        uint16_t id = node->path.ids[1];
        if (node->path.len < 2)
            return refuse(answer, COAP_4_00_BAD_REQUEST, "there is no instance to make");
        if (node->path.len > 2 && !is_value_good(object, node, answer))
            return false;
        if (!begins_instance(nodes, i))
            continue;
        instances++;
        if (object_instance(object, id) != NULL)
            return refuse(answer, COAP_4_00_BAD_REQUEST, "there is an instance with that id");
        if (!is_complete(object, nodes, id, answer))
            return false;
    }
    return object->instance_count + instances <= OBJECT_INSTANCES_MAX ||
           refuse(answer, COAP_5_00_INTERNAL_SERVER_ERROR, "there are too many instances");
}

static void make(struct object *object, const struct lwm2m_nodes *nodes, struct answer *answer) {
    struct instance *instance = NULL;
    size_t made = 0;
    for (size_t i = 0; i < nodes->count; i++) {
        const struct lwm2m_path *path = &nodes->nodes[i].path;
        if (begins_instance(nodes, i)) {
            uint16_t id = path->ids[1] == LWM2M_ID_NONE ? object_free_id(object) : path->ids[1];
            instance = object_create(object, id);
            answer->location = (struct lwm2m_path){.ids = {object->id, id}, .len = 2};
            made++;
        }
        if (path->len > 2 && nodes->nodes[i].value.type != LWM2M_NONE)
            object_write(object, instance, object_resource(object, path->ids[2]), path->len == 4 ? path->ids[3] : 0,
                         &nodes->nodes[i].value);
    }
    if (made > 1) /* a location is one */
        answer->location.len = 0;
    answer->code = COAP_2_01_CREATED;
}

void create_answer(struct device *device, const struct target *target, const struct coap_request *request,
                   struct answer *answer) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    int format = coap_content_format(request->message);
    if (!target->object->creatable) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "instances of this object cannot be created");
        return;
    }
    if (!format_is_spoken(format, LWM2M_USE_INSTANCE, device->options->version)) {
        answer_with(answer, COAP_4_15_UNSUPPORTED_CONTENT_FORMAT, NULL);
        return;
    }
    const struct lwm2m_path base = base_of(target, format, request->body);
    if (!write_decode(device, request, &base, SENML_CONTENT, format, &nodes, answer) ||
        !judge(target->object, &nodes, answer))
        return;
    make(target->object, &nodes, answer);
    registration_update_soon(&device->registration); /* with the new object list (§6.2.2) */
}
