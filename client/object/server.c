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
    BOOTSTRAP_TRIGGER = 9, /* the last of the behaviours: of devices that have a bootstrap server */
    MUTE_SEND = 23,
    DISABLE_TIMEOUT_DEFAULT_S = 86400,
};

/* The server that the device registers with. NULL: there is none yet. */
static const struct instance *current(const struct object *object) {
    return object_instance(object, object->device->server_instance);
}

static bool is_lifetime(const struct lwm2m_value *value) {
    return value->integer >= 0 && value->integer <= UINT32_MAX;
}

void server_object_take(const struct object *object) {
    struct device *device = object->device;
    const struct instance *instance = current(object);
    const struct lwm2m_value *lifetime = instance_value(instance, LIFETIME, 0);
    const struct lwm2m_value *binding = instance_value(instance, BINDING, 0);
    if (lifetime != NULL)
        device->lifetime_s = (uint32_t)lifetime->integer;
    if (binding != NULL && options_is_binding(binding->bytes)) {
        memcpy(device->binding, binding->bytes.data, binding->bytes.len);
        device->binding[binding->bytes.len] = '\0';
    }
    options_put_queue(device->options, device->binding);
}

static void take_and_update(struct object *object, const struct instance *instance) {
    if (instance != current(object))
        return;
    server_object_take(object);
    registration_update_soon(&object->device->registration);
}

/* The server learns of a new lifetime with the next Update, which is sent at once (Core 1.2 §6.2.2). */
static void write_lifetime(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    object_store(object, instance, LIFETIME, 0, *value);
    take_and_update(object, instance);
}

static bool is_period(const struct lwm2m_value *value) {
    return value->integer >= 0 && value->integer <= INT32_MAX;
}

static bool is_binding(const struct lwm2m_value *value) {
    return options_is_binding(value->bytes);
}

static void write_binding(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    object_store(object, instance, BINDING, 0, *value);
    take_and_update(object, instance);
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

static const char *trigger_bootstrap(struct object *object, struct instance *instance) {
    (void)instance;
    return bootstrap_begin_soon(&object->device->bootstrap);
}

/* Muted is what holds when nothing is said (Appendix E.2), so a server that replaces the instance mutes it. */
bool server_object_is_muted(const struct object *object) {
    const struct instance *instance = current(object);
    const struct lwm2m_value *muted = instance == NULL ? NULL : instance_value(instance, MUTE_SEND, 0);
    return muted == NULL || muted->truth;
}

bool server_object_stores(const struct object *object) {
    const struct instance *instance = current(object);
    const struct lwm2m_value *stores = instance == NULL ? NULL : instance_value(instance, NOTIFICATION_STORING, 0);
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
    const struct instance *instance = current(object);
    if (instance == NULL)
        return defaults;
    get_period(instance, DEFAULT_PMIN, ATTRIBUTE_PMIN, &defaults);
    get_period(instance, DEFAULT_PMAX, ATTRIBUTE_PMAX, &defaults);
    return defaults;
}

static void fill(struct object *object, struct instance *instance) {
    const struct options *options = object->device->options;
    object_store(object, instance, SHORT_ID, 0, lwm2m_integer(1));
    object_store(object, instance, LIFETIME, 0, lwm2m_integer(options->lifetime_s));
    object_store(object, instance, BINDING, 0, lwm2m_string(options->binding));
    object_store(object, instance, NOTIFICATION_STORING, 0, lwm2m_boolean(true));
    if (options->version > 10)
        object_store(object, instance, MUTE_SEND, 0, lwm2m_boolean(options->muted));
}

static const struct behaviour behaviours[] = {
    {.id = LIFETIME, .accepts = is_lifetime, .write = write_lifetime},
    {.id = DEFAULT_PMIN, .accepts = is_period},
    {.id = DEFAULT_PMAX, .accepts = is_period},
    {.id = DISABLE, .execute = disable},
    {.id = DISABLE_TIMEOUT, .accepts = is_period},
    {.id = BINDING, .accepts = is_binding, .write = write_binding},
    {.id = UPDATE_TRIGGER, .execute = trigger_update},
    {.id = BOOTSTRAP_TRIGGER, .execute = trigger_bootstrap},
};

enum { BEHAVIOURS = sizeof behaviours / sizeof behaviours[0] };

/* Servers come and go by bootstrap only. */
const struct object_kind server_kind = {.id = ACCOUNT_SERVER,
                                        .instances = INSTANCES_FIXED,
                                        .behaviours = behaviours,
                                        .behaviour_count = BEHAVIOURS - 1,
                                        .fill = fill};

const struct object_kind given_server_kind = {.id = ACCOUNT_SERVER,
                                              .instances = INSTANCES_FIXED,
                                              .by_bootstrap = true,
                                              .behaviours = behaviours,
                                              .behaviour_count = BEHAVIOURS};
