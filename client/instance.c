#include "client/instance.h"

#include <stdlib.h>

#include "client/memory.h"

static bool has_bytes(const struct lwm2m_value *value) {
    return value->type == LWM2M_STRING || value->type == LWM2M_OPAQUE || value->type == LWM2M_CORELNK;
}

/* The first cell at or behind this one. */
static size_t find_cell(const struct instance *instance, uint16_t resource, uint16_t resource_instance) {
    size_t low = 0, high = instance->cell_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct cell *cell = &instance->cells[middle];
        if (cell->resource < resource || (cell->resource == resource && cell->instance < resource_instance))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_cell(const struct instance *instance, size_t at, uint16_t resource, uint16_t resource_instance) {
    return at < instance->cell_count && instance->cells[at].resource == resource &&
           instance->cells[at].instance == resource_instance;
}

static void release(struct instance *instance, struct cell *cell) {
    if (cell->owned != NULL)
        instance->bytes -= cell->value.bytes.len;
    free(cell->owned);
}

void instance_free(struct instance *instance) {
    for (size_t i = 0; i < instance->cell_count; i++)
        release(instance, &instance->cells[i]);
    free(instance->cells);
    *instance = (struct instance){.id = instance->id};
}

const struct lwm2m_value *instance_value(const struct instance *instance, uint16_t resource,
                                         uint16_t resource_instance) {
    size_t at = find_cell(instance, resource, resource_instance);
    return is_cell(instance, at, resource, resource_instance) ? &instance->cells[at].value : NULL;
}

static size_t end_of(const struct instance *instance, size_t first, uint16_t resource) {
    size_t end = first;
    while (end < instance->cell_count && instance->cells[end].resource == resource)
        end++;
    return end;
}

const struct cell *instance_cells(const struct instance *instance, uint16_t resource, size_t *count) {
    size_t first = find_cell(instance, resource, 0);
    *count = end_of(instance, first, resource) - first;
    return *count == 0 ? NULL : &instance->cells[first];
}

static struct cell *insert(struct instance *instance, size_t at) {
    if (instance->cell_count == instance->cell_cap) {
        instance->cell_cap = instance->cell_cap == 0 ? 16 : 2 * instance->cell_cap;
        instance->cells = memory_or_exit(realloc(instance->cells, instance->cell_cap * sizeof *instance->cells));
    }
    memmove(&instance->cells[at + 1], &instance->cells[at], (instance->cell_count - at) * sizeof *instance->cells);
    instance->cell_count++;
    return &instance->cells[at];
}

bool instance_set(struct instance *instance, uint16_t resource, uint16_t resource_instance, struct lwm2m_value value) {
    size_t at = find_cell(instance, resource, resource_instance);
    bool is_there = is_cell(instance, at, resource, resource_instance);
    uint8_t *owned = NULL;
    if (is_there && lwm2m_value_equal(&instance->cells[at].value, &value))
        return false;
    if (has_bytes(&value)) {
        owned = memory_or_exit(malloc(value.bytes.len + 1));
        if (value.bytes.len > 0)
            memcpy(owned, value.bytes.data, value.bytes.len);
        value.bytes.data = owned;
        instance->bytes += value.bytes.len;
    }
    if (is_there)
        release(instance, &instance->cells[at]);
    else
        insert(instance, at);
    instance->cells[at] =
        (struct cell){.resource = resource, .instance = resource_instance, .value = value, .owned = owned};
    return true;
}

static bool remove_cells(struct instance *instance, size_t first, size_t end) {
    for (size_t i = first; i < end; i++)
        release(instance, &instance->cells[i]);
    if (end == first)
        return false;
    memmove(&instance->cells[first], &instance->cells[end], (instance->cell_count - end) * sizeof *instance->cells);
    instance->cell_count -= end - first;
    return true;
}

bool instance_clear(struct instance *instance, uint16_t resource) {
    size_t first = find_cell(instance, resource, 0);
    return remove_cells(instance, first, end_of(instance, first, resource));
}

bool instance_remove(struct instance *instance, uint16_t resource, uint16_t resource_instance) {
    size_t at = find_cell(instance, resource, resource_instance);
    return is_cell(instance, at, resource, resource_instance) && remove_cells(instance, at, at + 1);
}
