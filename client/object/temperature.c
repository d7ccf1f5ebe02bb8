/* Object 3303, Temperature. What is measured is what the shell sets. */
#include "client/device.h"

enum { MINIMUM = 5601, MAXIMUM = 5602, RESET = 5605, VALUE = 5700, UNITS = 5701 };

static struct lwm2m_value degrees(double real) {
    return (struct lwm2m_value){.type = LWM2M_FLOAT, .real = real};
}

static void measure(struct object *object, const struct lwm2m_value *value) {
    object_store(object, VALUE, 0, *value);
    if (value->real < object_stored(object, MINIMUM, 0)->real)
        object_store(object, MINIMUM, 0, *value);
    if (value->real > object_stored(object, MAXIMUM, 0)->real)
        object_store(object, MAXIMUM, 0, *value);
}

static void reset(struct object *object) {
    struct lwm2m_value value = *object_stored(object, VALUE, 0);
    object_store(object, MINIMUM, 0, value);
    object_store(object, MAXIMUM, 0, value);
}

static const struct resource resources[] = {
    {.id = MINIMUM, .type = LWM2M_FLOAT, .operations = OPERATION_R}, /* Min Measured Value */
    {.id = MAXIMUM, .type = LWM2M_FLOAT, .operations = OPERATION_R}, /* Max Measured Value */
    {.id = RESET, .operations = OPERATION_E, .execute = reset},      /* Reset Min and Max Measured Values */
    /* Sensor Value */
    {.id = VALUE, .type = LWM2M_FLOAT, .operations = OPERATION_R, .mandatory = true, .write = measure},
    {.id = UNITS, .type = LWM2M_STRING, .operations = OPERATION_R}, /* Sensor Units */
};

void temperature_object_init(struct object *object, struct device *device) {
    *object = (struct object){
        .id = 3303, .resources = resources, .resource_count = sizeof resources / sizeof resources[0], .device = device};
    object_store(object, MINIMUM, 0, degrees(20));
    object_store(object, MAXIMUM, 0, degrees(20));
    object_store(object, VALUE, 0, degrees(20));
    object_store(object, UNITS, 0, lwm2m_string("Cel"));
}
