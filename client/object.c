#include "client/object.h"

#include <stdlib.h>

#include "client/device.h"
#include "client/memory.h"

/* ---- definition ---- */

static const struct behaviour *behaviour_of(const struct object_kind *kind, uint16_t id) {
    static const struct behaviour none = {.id = 0};
    for (size_t i = 0; i < kind->behaviour_count; i++) {
        if (kind->behaviours[i].id == id)
            return &kind->behaviours[i];
    }
    return kind->others != NULL ? kind->others : &none;
}

/* Where the definition does not tell what may be done, everything that a value allows. */
static uint8_t operations_of(const struct catalogue_resource *resource) {
    return resource->operations == CATALOGUE_UNKNOWN ? OPERATION_R | OPERATION_W : resource->operations;
}

/* What only a bootstrap server reaches is left out where there is none. */
static void define(struct object *object, const struct catalogue_object *definition) {
    object->resources = memory_or_exit(calloc((size_t)definition->resource_count + 1, sizeof *object->resources));
    for (size_t i = 0; i < definition->resource_count; i++) {
        struct catalogue_resource resource = catalogue_resource_at(definition, i);
        if (resource.operations == 0 && !object->kind->by_bootstrap)
            continue;
        object->resources[object->resource_count++] =
            (struct resource){.id = resource.id,
                              .type = resource.type,
                              .operations = operations_of(&resource),
                              .multiple = resource.multiple,
                              .mandatory = resource.mandatory,
                              .behaviour = behaviour_of(object->kind, resource.id)};
    }
}

static void define_by_kind(struct object *object) {
    const struct object_kind *kind = object->kind;
    object->resources = memory_or_exit(calloc(kind->resource_count, sizeof *object->resources));
    for (; object->resource_count < kind->resource_count; object->resource_count++) {
        struct resource *resource = &object->resources[object->resource_count];
        *resource = kind->resources[object->resource_count];
        resource->behaviour = behaviour_of(kind, resource->id);
    }
}

void object_init(struct object *object, struct device *device, const struct object_kind *kind,
                 const struct catalogue_object *definition) {
    *object = (struct object){.id = definition == NULL ? kind->id : definition->id,
                              .version = definition == NULL ? OBJECT_VERSION_1_0 : definition->version,
                              .multiple = definition != NULL && definition->multiple,
                              .kind = kind,
                              .device = device};
    object->creatable = object->multiple && kind->instances == INSTANCES_BY_DEFINITION;
    if (definition == NULL)
        define_by_kind(object);
    else
        define(object, definition);
    object_reset(object);
}

static void free_instances(struct object *object) {
    for (size_t i = 0; i < object->instance_count; i++)
        instance_free(&object->instances[i]);
    object->instance_count = 0;
}

void object_free(struct object *object) {
    free_instances(object);
    free(object->instances);
    free(object->resources);
}

const struct resource *object_resource(const struct object *object, uint16_t id) {
    size_t low = 0, high = object->resource_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (object->resources[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < object->resource_count && object->resources[low].id == id ? &object->resources[low] : NULL;
}

/* ---- instances ---- */

/* The place of the first one at or behind this id. */
static size_t find_instance(const struct object *object, uint16_t id) {
    size_t at = 0;
    while (at < object->instance_count && object->instances[at].id < id)
        at++;
    return at;
}

struct instance *object_instance(const struct object *object, uint16_t id) {
    size_t at = find_instance(object, id);
    return at < object->instance_count && object->instances[at].id == id ? &object->instances[at] : NULL;
}

static struct instance *add_instance(struct object *object, uint16_t id) {
    size_t at = find_instance(object, id);
    if (object->instance_count == object->instance_cap) {
        object->instance_cap = object->instance_cap == 0 ? 1 : 2 * object->instance_cap;
        object->instances =
            memory_or_exit(realloc(object->instances, object->instance_cap * sizeof *object->instances));
    }
    memmove(&object->instances[at + 1], &object->instances[at],
            (object->instance_count - at) * sizeof *object->instances);
    object->instances[at] = (struct instance){.id = id};
    object->instance_count++;
    return &object->instances[at];
}

void object_reset(struct object *object) {
    free_instances(object);
    if (object->kind->fill != NULL)
        object->kind->fill(object, add_instance(object, 0));
}

static void tell(const struct object *object, const struct instance *instance) {
    const struct lwm2m_path path = {.ids = {object->id, instance->id}, .len = 2};
    device_changed(object->device, &path);
}

struct instance *object_create(struct object *object, uint16_t id) {
    if (object->instance_count >= OBJECT_INSTANCES_MAX)
        return NULL;
    struct instance *instance = add_instance(object, id);
    if (object->kind->fill_created != NULL)
        object->kind->fill_created(object, instance);
    tell(object, instance);
    return instance;
}

void object_delete(struct object *object, uint16_t id) {
    size_t at = find_instance(object, id);
    tell(object, &object->instances[at]);
    instance_free(&object->instances[at]);
    object->instance_count--;
    memmove(&object->instances[at], &object->instances[at + 1],
            (object->instance_count - at) * sizeof *object->instances);
}

uint16_t object_free_id(const struct object *object) {
    if (object->instance_count >= OBJECT_INSTANCES_MAX)
        return LWM2M_ID_NONE;
    uint16_t id = 0;
    while (object_instance(object, id) != NULL)
        id++;
    return id;
}

/* ---- reading ---- */

bool object_has(const struct instance *instance, const struct resource *resource) {
    size_t count;
    if ((resource->operations & OPERATION_E) != 0)
        return resource->behaviour->execute != NULL;
    return resource->behaviour->read != NULL || resource->mandatory || resource->operations == OPERATION_W ||
           instance_cells(instance, resource->id, &count) != NULL;
}

bool object_read(const struct object *object, const struct instance *instance, const struct resource *resource,
                 struct lwm2m_nodes *out) {
    const struct lwm2m_path path = {.ids = {object->id, instance->id, resource->id}, .len = 3};
    size_t count;
    if (resource->behaviour->read != NULL)
        return lwm2m_nodes_add(out, &path, resource->behaviour->read(object, instance));
    const struct cell *cells = instance_cells(instance, resource->id, &count);
    for (size_t i = 0; i < count; i++) {
        struct lwm2m_path below = lwm2m_path_child(&path, cells[i].instance);
        if (!lwm2m_nodes_add(out, resource->multiple ? &below : &path, cells[i].value))
            return false;
    }
    return count > 0 || lwm2m_nodes_add(out, &path, (struct lwm2m_value){.type = LWM2M_NONE});
}

/* Of what was added since `first`, the resource instance that the path names. */
static void keep_resource_instance(struct lwm2m_nodes *nodes, size_t first, const struct lwm2m_path *path) {
    size_t kept = first;
    for (size_t i = first; i < nodes->count; i++) {
        if (lwm2m_path_equal(&nodes->nodes[i].path, path))
            nodes->nodes[kept++] = nodes->nodes[i];
    }
    nodes->count = kept;
}

static bool collect_instance(const struct object *object, const struct instance *instance,
                             const struct lwm2m_path *path, struct lwm2m_nodes *out) {
    size_t first = out->count;
    for (size_t i = 0; i < object->resource_count; i++) {
        const struct resource *resource = &object->resources[i];
        bool is_meant = path->len < 3 || path->ids[2] == resource->id;
        if (is_meant && (resource->operations & OPERATION_R) != 0 && object_has(instance, resource) &&
            !object_read(object, instance, resource, out))
            return false;
    }
    if (path->len == 4)
        keep_resource_instance(out, first, path);
    return true;
}

bool object_collect(const struct object *object, const struct lwm2m_path *path, struct lwm2m_nodes *out) {
    for (size_t i = 0; i < object->instance_count; i++) {
        const struct instance *instance = &object->instances[i];
        if ((path->len < 2 || path->ids[1] == instance->id) && !collect_instance(object, instance, path, out))
            return false;
    }
    return true;
}

/* ---- writing ---- */

void object_changed(const struct object *object, const struct instance *instance, uint16_t resource) {
    const struct lwm2m_path path = {.ids = {object->id, instance->id, resource}, .len = 3};
    device_changed(object->device, &path);
}

bool object_accepts(const struct resource *resource, const struct lwm2m_value *value) {
    return value->type == resource->type &&
           (resource->behaviour->accepts == NULL || resource->behaviour->accepts(value));
}

void object_write(struct object *object, struct instance *instance, const struct resource *resource,
                  uint16_t resource_instance, const struct lwm2m_value *value) {
    if (resource->behaviour->write == NULL) {
        object_store(object, instance, resource->id, resource_instance, *value);
        return;
    }
    resource->behaviour->write(object, instance, value);
    object_changed(object, instance, resource->id);
}

void object_store(struct object *object, struct instance *instance, uint16_t resource, uint16_t resource_instance,
                  struct lwm2m_value value) {
    if (instance_set(instance, resource, resource_instance, value))
        object_changed(object, instance, resource);
}

void object_clear(struct object *object, struct instance *instance, uint16_t resource) {
    if (instance_clear(instance, resource))
        object_changed(object, instance, resource);
}

void object_remove(struct object *object, struct instance *instance, uint16_t resource, uint16_t resource_instance) {
    if (instance_remove(instance, resource, resource_instance))
        object_changed(object, instance, resource);
}

/* ---- links ---- */

void object_put_version(const struct object *object, struct buffer *out) {
    char text[CATALOGUE_VERSION_TEXT_MAX];
    if (object->version != OBJECT_VERSION_1_0)
        buffer_printf(out, ";ver=%s", catalogue_version_text(object->version, text));
}

/* The object itself is listed when there is something to say of it, or it has no instances. */
void object_put_links(const struct object *object, struct buffer *out) {
    if (object->version != OBJECT_VERSION_1_0 || object->instance_count == 0) {
        buffer_printf(out, "</%u>", object->id);
        object_put_version(object, out);
        if (object->instance_count > 0)
            buffer_put_u8(out, ',');
    }
    for (size_t i = 0; i < object->instance_count; i++)
        buffer_printf(out, "%s</%u/%u>", i > 0 ? "," : "", object->id, object->instances[i].id);
}
