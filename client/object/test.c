/* Object 3442, LwM2M v1.1 Test Object: a resource of every type, single and multiple, that a server may write. */
#include "client/device.h"

enum { RESET_VALUES = 0, CLEAR_VALUES = 2, MULTIPLE = 1000 /* what the id of a multiple resource is greater by */ };

static const struct {
    uint16_t id;
    struct lwm2m_value value;
} first_values[] = {
    {120, {.type = LWM2M_INTEGER, .integer = 1024}},   {125, {.type = LWM2M_UNSIGNED, .natural = UINT64_MAX}},
    {130, {.type = LWM2M_FLOAT, .real = 3.14159}},     {140, {.type = LWM2M_BOOLEAN, .truth = true}},
    {160, {.type = LWM2M_TIME, .integer = 946684800}}, {170, {.type = LWM2M_OBJLNK, .link = {3, 0}}},
};

static void store_both(struct object *object, struct instance *instance, uint16_t id, struct lwm2m_value value) {
    object_store(object, instance, id, 0, value);
    object_store(object, instance, id + MULTIPLE, 0, value);
}

static void fill(struct object *object, struct instance *instance) {
    static const uint8_t bytes[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    store_both(object, instance, 110, lwm2m_string("initial value"));
    for (size_t i = 0; i < sizeof first_values / sizeof first_values[0]; i++)
        store_both(object, instance, first_values[i].id, first_values[i].value);
    store_both(object, instance, 150, lwm2m_bytes(LWM2M_OPAQUE, slice_of(bytes, sizeof bytes)));
    store_both(object, instance, 180, lwm2m_bytes(LWM2M_CORELNK, slice_str("</3/0>")));
}

static const char *clear_values(struct object *object, struct instance *instance) {
    for (size_t i = 0; i < object->resource_count; i++)
        object_clear(object, instance, object->resources[i].id);
    return NULL;
}

static const char *reset_values(struct object *object, struct instance *instance) {
    clear_values(object, instance);
    fill(object, instance);
    return NULL;
}

static const struct behaviour behaviours[] = {{.id = RESET_VALUES, .execute = reset_values},
                                              {.id = CLEAR_VALUES, .execute = clear_values}};

const struct object_kind test_kind = {.id = 3442,
                                      .behaviours = behaviours,
                                      .behaviour_count = sizeof behaviours / sizeof behaviours[0],
                                      .fill = fill,
                                      .fill_created = fill};
