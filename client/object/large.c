/* Object 5000, the device's own: an opaque value that is large (--large), and how large it is. Byte i of what it has at
 * first is i modulo 251. */
#include <stdlib.h>

#include "client/device.h"
#include "client/memory.h"

enum { DATA = 0, SIZE = 1, PRIME = 251 };

static struct lwm2m_value read_size(const struct object *object, const struct instance *instance) {
    (void)object;
    return lwm2m_integer((int64_t)instance_value(instance, DATA, 0)->bytes.len);
}

static bool is_size(const struct lwm2m_value *value) {
    return value->integer >= 0 && value->integer <= OPTIONS_LARGE_MAX;
}

static void write_size(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    size_t size = (size_t)value->integer;
    uint8_t *bytes = memory_or_exit(malloc(size + 1));
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i % PRIME);
    object_store(object, instance, DATA, 0, lwm2m_bytes(LWM2M_OPAQUE, slice_of(bytes, size)));
    free(bytes);
}

static void write_data(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    object_store(object, instance, DATA, 0, *value);
    object_changed(object, instance, SIZE);
}

static void fill(struct object *object, struct instance *instance) {
    struct lwm2m_value size = lwm2m_integer((int64_t)object->device->options->large);
    write_size(object, instance, &size);
}

static const struct behaviour behaviours[] = {{.id = DATA, .write = write_data},
                                              {.id = SIZE, .read = read_size, .accepts = is_size, .write = write_size}};

static const struct resource resources[] = {
    {.id = DATA, .type = LWM2M_OPAQUE, .operations = OPERATION_R | OPERATION_W, .mandatory = true},
    {.id = SIZE, .type = LWM2M_INTEGER, .operations = OPERATION_R | OPERATION_W, .mandatory = true},
};

const struct object_kind large_kind = {.id = 5000,
                                       .behaviours = behaviours,
                                       .behaviour_count = sizeof behaviours / sizeof behaviours[0],
                                       .resources = resources,
                                       .resource_count = sizeof resources / sizeof resources[0],
                                       .fill = fill};
