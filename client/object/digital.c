/* Objects 3200, Digital Input, and 3201, Digital Output. The input counts how often it was switched on. */
#include "client/device.h"

enum { STATE = 5500, COUNTER = 5501, COUNTER_RESET = 5505, OUTPUT_STATE = 5550, APPLICATION = 5750, SENSOR = 5751 };

/* ---- object 3200 ---- */

static void write_input(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    const struct lwm2m_value *before = instance_value(instance, STATE, 0);
    bool rises = value->truth && !before->truth;
    object_store(object, instance, STATE, 0, *value);
    if (rises)
        object_store(object, instance, COUNTER, 0, lwm2m_integer(instance_value(instance, COUNTER, 0)->integer + 1));
}

static const char *reset_counter(struct object *object, struct instance *instance) {
    object_store(object, instance, COUNTER, 0, lwm2m_integer(0));
    return NULL;
}

static void fill_input(struct object *object, struct instance *instance) {
    object_store(object, instance, STATE, 0, lwm2m_boolean(false));
    object_store(object, instance, COUNTER, 0, lwm2m_integer(0));
    object_store(object, instance, APPLICATION, 0, lwm2m_string(""));
    object_store(object, instance, SENSOR, 0, lwm2m_string("button"));
}

static void tick_input(struct object *object, struct instance *instance) {
    struct lwm2m_value state = lwm2m_boolean(!instance_value(instance, STATE, 0)->truth);
    write_input(object, instance, &state);
}

static const struct behaviour input_behaviours[] = {{.id = STATE, .write = write_input},
                                                    {.id = COUNTER_RESET, .execute = reset_counter}};

const struct object_kind digital_input_kind = {.id = 3200,
                                               .behaviours = input_behaviours,
                                               .behaviour_count = sizeof input_behaviours / sizeof input_behaviours[0],
                                               .fill = fill_input,
                                               .fill_created = fill_input,
                                               .tick = tick_input};

/* ---- object 3201 ---- */

static void fill_output(struct object *object, struct instance *instance) {
    object_store(object, instance, OUTPUT_STATE, 0, lwm2m_boolean(false));
    object_store(object, instance, APPLICATION, 0, lwm2m_string(""));
}

const struct object_kind digital_output_kind = {.id = 3201, .fill = fill_output};
