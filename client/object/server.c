/* Object 1, LwM2M Server (Core 1.2 Appendix E.2). */
#include "client/device.h"

enum {
    SHORT_ID = 0,
    LIFETIME = 1,
    DEFAULT_PMIN = 2,
    DEFAULT_PMAX = 3,
    DISABLE = 4,
    DISABLE_TIMEOUT = 5,
    NOTIFICATION_STORING = 6,
    BINDING = 7,
    UPDATE_TRIGGER = 8,
    MUTE_SEND = 23,
    DISABLE_TIMEOUT_DEFAULT_S = 86400,
};

static struct lwm2m_value read_lifetime(const struct object *object, const struct instance *instance) {
    (void)instance;
    return lwm2m_integer(object->device->lifetime_s);
}

static bool is_lifetime(const struct lwm2m_value *value) {
    return value->integer >= 0 && value->integer <= UINT32_MAX;
}

/* The server learns of a new lifetime with the next Update, which is sent at once (Core 1.2 §6.2.2). */
static void write_lifetime(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    (void)instance;
    object->device->lifetime_s = (uint32_t)value->integer;
    registration_update_soon(&object->device->registration);
}

static bool is_period(const struct lwm2m_value *value) {
    return value->integer >= 0 && value->integer <= INT32_MAX;
}

static struct lwm2m_value read_binding(const struct object *object, const struct instance *instance) {
    (void)instance;
    return lwm2m_string(object->device->binding);
}

static bool is_binding(const struct lwm2m_value *value) {
    return options_is_binding(value->bytes);
}

static void write_binding(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    struct device *device = object->device;
    (void)instance;
    memcpy(device->binding, value->bytes.data, value->bytes.len);
    device->binding[value->bytes.len] = '\0';
    registration_update_soon(&device->registration);
}

static const char *disable(struct object *object, struct instance *instance) {
    const struct lwm2m_value *timeout = instance_value(instance, DISABLE_TIMEOUT, 0);
    device_disable_soon(object->device, timeout == NULL ? DISABLE_TIMEOUT_DEFAULT_S : (uint64_t)timeout->integer);
    return NULL;
}

static const char *trigger_update(struct object *object, struct instance *instance) {
    (void)instance;
    registration_update_soon(&object->device->registration);
    return NULL;
}

/* Muted is what holds when nothing is said (Appendix E.2), so a server that replaces the instance mutes it. */
bool server_object_is_muted(const struct object *object) {
    const struct lwm2m_value *muted = instance_value(&object->instances[0], MUTE_SEND, 0);
    return muted == NULL || muted->truth;
}

bool server_object_stores(const struct object *object) {
    const struct lwm2m_value *stores = instance_value(&object->instances[0], NOTIFICATION_STORING, 0);
    return stores == NULL || stores->truth;
}

static void get_period(const struct instance *instance, uint16_t resource, enum attribute which,
                       struct attributes *attributes) {
    const struct lwm2m_value *period = instance_value(instance, resource, 0);
    if (period != NULL)
        attributes_set(attributes, which, (double)period->integer);
}

struct attributes server_object_defaults(const struct object *object) {
    struct attributes defaults = {.set = 0};
    get_period(&object->instances[0], DEFAULT_PMIN, ATTRIBUTE_PMIN, &defaults);
    get_period(&object->instances[0], DEFAULT_PMAX, ATTRIBUTE_PMAX, &defaults);
    return defaults;
}

static void fill(struct object *object, struct instance *instance) {
    const struct options *options = object->device->options;
    object_store(object, instance, SHORT_ID, 0, lwm2m_integer(1));
    object_store(object, instance, NOTIFICATION_STORING, 0, lwm2m_boolean(true));
    if (options->version > 10)
        object_store(object, instance, MUTE_SEND, 0, lwm2m_boolean(options->muted));
}

static const struct behaviour behaviours[] = {
    {.id = LIFETIME, .read = read_lifetime, .accepts = is_lifetime, .write = write_lifetime},
    {.id = DEFAULT_PMIN, .accepts = is_period},
    {.id = DEFAULT_PMAX, .accepts = is_period},
    {.id = DISABLE, .execute = disable},
    {.id = DISABLE_TIMEOUT, .accepts = is_period},
    {.id = BINDING, .read = read_binding, .accepts = is_binding, .write = write_binding},
    {.id = UPDATE_TRIGGER, .execute = trigger_update},
};

/* Servers come and go by bootstrap only. */
const struct object_kind server_kind = {.id = 1,
                                        .instances = INSTANCES_FIXED,
                                        .behaviours = behaviours,
                                        .behaviour_count = sizeof behaviours / sizeof behaviours[0],
                                        .fill = fill};
