/* Object 3303, Temperature. What is measured is what the shell sets or, by tick, a walk between two temperatures. */
#include "client/device.h"

enum { MINIMUM = 5601, MAXIMUM = 5602, RESET = 5605, VALUE = 5700, UNITS = 5701 };

static const double STEP = 0.5, LOWEST = -40, HIGHEST = 85;

static struct lwm2m_value degrees(double real) {
    return (struct lwm2m_value){.type = LWM2M_FLOAT, .real = real};
}

static void measure(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    object_store(object, instance, VALUE, 0, *value);
    if (value->real < instance_value(instance, MINIMUM, 0)->real)
        object_store(object, instance, MINIMUM, 0, *value);
    if (value->real > instance_value(instance, MAXIMUM, 0)->real)
        object_store(object, instance, MAXIMUM, 0, *value);
}

static const char *reset(struct object *object, struct instance *instance) {
    struct lwm2m_value value = *instance_value(instance, VALUE, 0);
    object_store(object, instance, MINIMUM, 0, value);
    object_store(object, instance, MAXIMUM, 0, value);
    return NULL;
}

static void fill(struct object *object, struct instance *instance) {
    object_store(object, instance, MINIMUM, 0, degrees(20));
    object_store(object, instance, MAXIMUM, 0, degrees(20));
    object_store(object, instance, VALUE, 0, degrees(20));
    object_store(object, instance, UNITS, 0, lwm2m_string("Cel"));
}

/* To a tenth of a degree, as a thermometer tells it. */
static void tick(struct object *object, struct instance *instance) {
    double now = instance_value(instance, VALUE, 0)->real + STEP * device_random_walk(object->device);
    double bounded = now < LOWEST ? LOWEST : now > HIGHEST ? HIGHEST : now;
    struct lwm2m_value value = degrees((double)(int64_t)(bounded * 10) / 10);
    measure(object, instance, &value);
}

static const struct behaviour behaviours[] = {{.id = VALUE, .write = measure}, {.id = RESET, .execute = reset}};

const struct object_kind temperature_kind = {.id = 3303,
                                             .behaviours = behaviours,
                                             .behaviour_count = sizeof behaviours / sizeof behaviours[0],
                                             .fill = fill,
                                             .fill_created = fill,
                                             .tick = tick};
