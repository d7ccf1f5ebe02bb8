/* An object of which nothing is known but its definition (--object): every value that it can have, as its type has it by
 * default. What is executed does nothing. */
#include "client/device.h"

static struct lwm2m_value default_of(enum lwm2m_type type) {
    struct lwm2m_value value = {.type = type, .bytes = SLICE_NONE};
    if (type == LWM2M_INTEGER || type == LWM2M_TIME)
        value.integer = 0;
    else if (type == LWM2M_UNSIGNED)
        value.natural = 0;
    else if (type == LWM2M_FLOAT)
        value.real = 0;
    else if (type == LWM2M_BOOLEAN)
        value.truth = false;
    else if (type == LWM2M_OBJLNK)
        value.link = (struct lwm2m_objlnk){LWM2M_ID_NONE, LWM2M_ID_NONE};
    return value;
}

static void fill(struct object *object, struct instance *instance) {
    for (size_t i = 0; i < object->resource_count; i++) {
        const struct resource *resource = &object->resources[i];
        if (resource->type != LWM2M_NONE && (resource->operations & (OPERATION_R | OPERATION_W)) != 0)
            object_store(object, instance, resource->id, 0, default_of(resource->type));
    }
}

/* What a server cannot write it cannot give a value either. */
static void fill_created(struct object *object, struct instance *instance) {
    for (size_t i = 0; i < object->resource_count; i++) {
        const struct resource *resource = &object->resources[i];
        if (resource->type != LWM2M_NONE && resource->operations == OPERATION_R)
            object_store(object, instance, resource->id, 0, default_of(resource->type));
    }
}

static const char *do_nothing(struct object *object, struct instance *instance) {
    (void)object;
    (void)instance;
    return NULL;
}

static const struct behaviour every = {.execute = do_nothing};

const struct object_kind defined_kind = {.others = &every, .fill = fill, .fill_created = fill_created};
