#include "client/object.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/device.h"
#include "common/lwm2m/object_version.h"

static bool has_bytes(const struct lwm2m_value *value) {
    return value->type == LWM2M_STRING || value->type == LWM2M_OPAQUE || value->type == LWM2M_CORELNK;
}

static void *or_exit(void *memory) {
    if (memory == NULL) {
        fprintf(stderr, "berth-device: out of memory\n");
        exit(EXIT_FAILURE);
    }
    return memory;
}

/* The first cell at or behind this one. */
static size_t find_cell(const struct object *object, uint16_t resource, uint16_t instance) {
    size_t at = 0;
    while (at < object->cell_count &&
           (object->cells[at].resource < resource ||
            (object->cells[at].resource == resource && object->cells[at].instance < instance)))
        at++;
    return at;
}

static bool is_cell(const struct object *object, size_t at, uint16_t resource, uint16_t instance) {
    return at < object->cell_count && object->cells[at].resource == resource && object->cells[at].instance == instance;
}

void object_free(struct object *object) {
    for (size_t i = 0; i < object->cell_count; i++)
        free(object->cells[i].owned);
    free(object->cells);
}

static bool is_known(const struct object *object, const struct resource *resource) {
    return resource->since <= object->device->options->version;
}

const struct resource *object_resource(const struct object *object, uint16_t id) {
    for (size_t i = 0; i < object->resource_count; i++) {
        if (object->resources[i].id == id)
            return is_known(object, &object->resources[i]) ? &object->resources[i] : NULL;
    }
    return NULL;
}

bool object_has(const struct object *object, const struct resource *resource) {
    if (!is_known(object, resource))
        return false;
    if (resource->read != NULL || resource->execute != NULL || resource->mandatory)
        return true;
    size_t at = find_cell(object, resource->id, 0);
    return at < object->cell_count && object->cells[at].resource == resource->id;
}

bool object_read(const struct object *object, const struct resource *resource, struct lwm2m_nodes *out) {
    struct lwm2m_path path = {.ids = {object->id, 0, resource->id}, .len = 3};
    if (resource->read != NULL)
        return lwm2m_nodes_add(out, &path, resource->read(object));
    size_t at = find_cell(object, resource->id, 0), first = at;
    for (; at < object->cell_count && object->cells[at].resource == resource->id; at++) {
        struct lwm2m_path instance = lwm2m_path_child(&path, object->cells[at].instance);
        if (!lwm2m_nodes_add(out, resource->multiple ? &instance : &path, object->cells[at].value))
            return false;
    }
    return at > first || lwm2m_nodes_add(out, &path, (struct lwm2m_value){.type = LWM2M_NONE});
}

/* Of what was added since `first`, the instance that the path names. */
static void keep_instance(struct lwm2m_nodes *nodes, size_t first, const struct lwm2m_path *path) {
    size_t kept = first;
    for (size_t i = first; i < nodes->count; i++) {
        if (lwm2m_path_equal(&nodes->nodes[i].path, path))
            nodes->nodes[kept++] = nodes->nodes[i];
    }
    nodes->count = kept;
}

bool object_collect(const struct object *object, const struct lwm2m_path *path, struct lwm2m_nodes *out) {
    size_t first = out->count;
    for (size_t i = 0; i < object->resource_count; i++) {
        const struct resource *resource = &object->resources[i];
        bool is_meant = path->len < 3 || path->ids[2] == resource->id;
        if (is_meant && (resource->operations & OPERATION_R) != 0 && object_has(object, resource) &&
            !object_read(object, resource, out))
            return false;
    }
    if (path->len == 4)
        keep_instance(out, first, path);
    return true;
}

bool object_accepts(const struct resource *resource, const struct lwm2m_value *value) {
    return value->type == resource->type && (resource->accepts == NULL || resource->accepts(value));
}

void object_write(struct object *object, const struct resource *resource, uint16_t instance,
                  const struct lwm2m_value *value) {
    if (resource->write != NULL)
        resource->write(object, value);
    else
        object_store(object, resource->id, instance, *value);
}

void object_store(struct object *object, uint16_t resource, uint16_t instance, struct lwm2m_value value) {
    size_t at = find_cell(object, resource, instance);
    bool is_there = is_cell(object, at, resource, instance);
    uint8_t *owned = NULL;
    if (has_bytes(&value)) {
        owned = or_exit(malloc(value.bytes.len + 1));
        if (value.bytes.len > 0)
            memcpy(owned, value.bytes.data, value.bytes.len);
        value.bytes.data = owned;
    }
    if (is_there) {
        free(object->cells[at].owned);
    } else {
        if (object->cell_count == object->cell_cap) {
            object->cell_cap = object->cell_cap == 0 ? 32 : 2 * object->cell_cap;
            object->cells = or_exit(realloc(object->cells, object->cell_cap * sizeof *object->cells));
        }
        memmove(&object->cells[at + 1], &object->cells[at], (object->cell_count - at) * sizeof *object->cells);
        object->cell_count++;
    }
    object->cells[at] = (struct cell){.resource = resource, .instance = instance, .value = value, .owned = owned};
}

const struct lwm2m_value *object_stored(const struct object *object, uint16_t resource, uint16_t instance) {
    size_t at = find_cell(object, resource, instance);
    return is_cell(object, at, resource, instance) ? &object->cells[at].value : NULL;
}

static void remove_cells(struct object *object, size_t first, size_t end) {
    for (size_t i = first; i < end; i++)
        free(object->cells[i].owned);
    if (end > first)
        memmove(&object->cells[first], &object->cells[end], (object->cell_count - end) * sizeof *object->cells);
    object->cell_count -= end - first;
}

void object_clear(struct object *object, uint16_t resource) {
    size_t first = find_cell(object, resource, 0), end = first;
    while (end < object->cell_count && object->cells[end].resource == resource)
        end++;
    remove_cells(object, first, end);
}

void object_remove(struct object *object, uint16_t resource, uint16_t instance) {
    size_t at = find_cell(object, resource, instance);
    if (is_cell(object, at, resource, instance))
        remove_cells(object, at, at + 1);
}

void object_put_links(const struct object *object, uint8_t version, struct buffer *out) {
    const char *ver = lwm2m_object_version(version, object->id);
    if (strcmp(ver, "1.0") != 0)
        buffer_printf(out, "</%u>;ver=%s,", object->id, ver);
    buffer_printf(out, "</%u/0>", object->id);
}
