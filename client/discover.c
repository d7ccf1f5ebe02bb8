/* Discover (Core 1.2 §6.3.2): links to what is there, and their attributes. Only a Discover of one resource shows those,
 * too, that it has from above. */
#include "client/device.h"
#include "client/request.h"

static void put_attributes(const struct object *object, const struct lwm2m_path *path, struct buffer *out) {
    struct attributes attributes = attribute_list_at(&object->device->attributes, path);
    attributes_put(&attributes, out);
}

static void put_link(struct buffer *out, const struct lwm2m_path *path) {
    if (out->len > 0)
        buffer_put_u8(out, ',');
    buffer_put_u8(out, '<');
    lwm2m_path_put(out, path);
    buffer_put_u8(out, '>');
}

/* The link to a resource and, by depth, to its instances, with these attributes of the resource. */
static void put_resource(const struct object *object, const struct instance *instance, const struct resource *resource,
                         const struct attributes *attributes, unsigned depth, struct buffer *out) {
    struct lwm2m_path path = {.ids = {object->id, instance->id, resource->id}, .len = 3};
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    size_t dimension = 0;
    put_link(out, &path);
    if (resource->multiple) {
        object_read(object, instance, resource, &nodes);
        dimension = nodes.nodes[0].value.type == LWM2M_NONE ? 0 : nodes.count;
        buffer_printf(out, ";dim=%zu", dimension);
    }
    attributes_put(attributes, out);
    for (size_t i = 0; depth > 0 && i < dimension; i++) {
        put_link(out, &nodes.nodes[i].path);
        put_attributes(object, &nodes.nodes[i].path, out);
    }
}

static void put_instance(const struct object *object, const struct instance *instance, unsigned depth,
                         struct buffer *out) {
    struct lwm2m_path path = {.ids = {object->id, instance->id}, .len = 2};
    put_link(out, &path);
    put_attributes(object, &path, out);
    for (size_t i = 0; depth > 0 && i < object->resource_count; i++) {
        const struct resource *resource = &object->resources[i];
        struct lwm2m_path resource_path = lwm2m_path_child(&path, resource->id);
        struct attributes attributes = attribute_list_at(&object->device->attributes, &resource_path);
        if (object_has(instance, resource))
            put_resource(object, instance, resource, &attributes, depth - 1, out);
    }
}

static void put_object(const struct object *object, unsigned depth, struct buffer *out) {
    struct lwm2m_path path = {.ids = {object->id}, .len = 1};
    put_link(out, &path);
    object_put_version(object, out);
    put_attributes(object, &path, out);
    for (size_t i = 0; depth > 0 && i < object->instance_count; i++)
        put_instance(object, &object->instances[i], depth - 1, out);
}

void discover_answer(const struct device *device, const struct target *target, unsigned depth, struct answer *answer) {
    struct buffer *out = &answer->payload;
    struct attributes effective = attribute_list_effective(&device->attributes, &target->path);
    switch (target->path.len) {
    case 1:
        put_object(target->object, depth, out);
        break;
    case 2:
        put_instance(target->object, target->instance, depth, out);
        break;
    case 3:
        if (!target_exists(target)) {
            answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
            return;
        }
        put_resource(target->object, target->instance, target->resource, &effective, depth, out);
        break;
    default:
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "a resource instance has nothing to discover");
        return;
    }
    answer->code = COAP_2_05_CONTENT;
    answer->format = COAP_FORMAT_LINK;
}
