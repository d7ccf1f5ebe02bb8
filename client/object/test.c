/* Object 3442, LwM2M v1.1 Test Object: a resource of every type, single and multiple, that a server may write. */
#include "client/device.h"

enum { MULTIPLE = 1000 }; /* what the id of a multiple resource is greater by */

static const struct {
    uint16_t id;
    struct lwm2m_value value;
} first_values[] = {
    {120, {.type = LWM2M_INTEGER, .integer = 1024}},   {125, {.type = LWM2M_UNSIGNED, .natural = UINT64_MAX}},
    {130, {.type = LWM2M_FLOAT, .real = 3.14159}},     {140, {.type = LWM2M_BOOLEAN, .truth = true}},
    {160, {.type = LWM2M_TIME, .integer = 946684800}}, {170, {.type = LWM2M_OBJLNK, .link = {3, 0}}},
};

static void store_both(struct object *object, uint16_t id, struct lwm2m_value value) {
    object_store(object, id, 0, value);
    object_store(object, id + MULTIPLE, 0, value);
}

static void clear_values(struct object *object) {
    for (size_t i = 0; i < object->resource_count; i++)
        object_clear(object, object->resources[i].id);
}

static void reset_values(struct object *object) {
    static const uint8_t bytes[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    clear_values(object);
    store_both(object, 110, lwm2m_string("initial value"));
    for (size_t i = 0; i < sizeof first_values / sizeof first_values[0]; i++)
        store_both(object, first_values[i].id, first_values[i].value);
    store_both(object, 150, lwm2m_bytes(LWM2M_OPAQUE, slice_of(bytes, sizeof bytes)));
    store_both(object, 180, lwm2m_bytes(LWM2M_CORELNK, slice_str("</3/0>")));
}

static const struct resource resources[] = {
    {.id = 0, .operations = OPERATION_E, .execute = reset_values},
    {.id = 2, .operations = OPERATION_E, .execute = clear_values},
    {.id = 110, .type = LWM2M_STRING, .operations = OPERATION_RW},
    {.id = 120, .type = LWM2M_INTEGER, .operations = OPERATION_RW},
    {.id = 125, .type = LWM2M_UNSIGNED, .operations = OPERATION_RW},
    {.id = 130, .type = LWM2M_FLOAT, .operations = OPERATION_RW},
    {.id = 140, .type = LWM2M_BOOLEAN, .operations = OPERATION_RW},
    {.id = 150, .type = LWM2M_OPAQUE, .operations = OPERATION_RW},
    {.id = 160, .type = LWM2M_TIME, .operations = OPERATION_RW},
    {.id = 170, .type = LWM2M_OBJLNK, .operations = OPERATION_RW},
    {.id = 180, .type = LWM2M_CORELNK, .operations = OPERATION_RW},
    {.id = 1110, .type = LWM2M_STRING, .operations = OPERATION_RW, .multiple = true},
    {.id = 1120, .type = LWM2M_INTEGER, .operations = OPERATION_RW, .multiple = true},
    {.id = 1125, .type = LWM2M_UNSIGNED, .operations = OPERATION_RW, .multiple = true},
    {.id = 1130, .type = LWM2M_FLOAT, .operations = OPERATION_RW, .multiple = true},
    {.id = 1140, .type = LWM2M_BOOLEAN, .operations = OPERATION_RW, .multiple = true},
    {.id = 1150, .type = LWM2M_OPAQUE, .operations = OPERATION_RW, .multiple = true},
    {.id = 1160, .type = LWM2M_TIME, .operations = OPERATION_RW, .multiple = true},
    {.id = 1170, .type = LWM2M_OBJLNK, .operations = OPERATION_RW, .multiple = true},
    {.id = 1180, .type = LWM2M_CORELNK, .operations = OPERATION_RW, .multiple = true},
};

void test_object_init(struct object *object, struct device *device) {
    *object = (struct object){
        .id = 3442, .resources = resources, .resource_count = sizeof resources / sizeof resources[0], .device = device};
    reset_values(object);
}
