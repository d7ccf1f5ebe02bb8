/* Object 1, LwM2M Server (Core 1.2 Appendix E.2). */
#include "client/device.h"

enum { SERVER_MUTE_SEND = 23 };

static struct lwm2m_value read_lifetime(const struct object *object) {
    return lwm2m_integer(object->device->lifetime_s);
}

static bool is_lifetime(const struct lwm2m_value *value) {
    return value->integer >= 0 && value->integer <= UINT32_MAX;
}

/* The server learns of a new lifetime with the next Update, which is sent at once (Core 1.2 §6.2.2). */
static void write_lifetime(struct object *object, const struct lwm2m_value *value) {
    object->device->lifetime_s = (uint32_t)value->integer;
    registration_update_soon(&object->device->registration);
}

static bool is_period(const struct lwm2m_value *value) {
    return value->integer >= 0 && value->integer <= INT32_MAX;
}

static struct lwm2m_value read_binding(const struct object *object) {
    return lwm2m_string(object->device->binding);
}

static bool is_binding(const struct lwm2m_value *value) {
    return options_is_binding(value->bytes);
}

static void write_binding(struct object *object, const struct lwm2m_value *value) {
    struct device *device = object->device;
    memcpy(device->binding, value->bytes.data, value->bytes.len);
    device->binding[value->bytes.len] = '\0';
    registration_update_soon(&device->registration);
}

static void trigger_update(struct object *object) {
    registration_update_soon(&object->device->registration);
}

/* Muted is what holds when nothing is said (Appendix E.2), so a server that replaces the instance mutes it. */
bool server_object_is_muted(const struct object *object) {
    const struct lwm2m_value *muted = object_stored(object, SERVER_MUTE_SEND, 0);
    return muted == NULL || muted->truth;
}

static const struct resource resources[] = {
    {.id = 0, .type = LWM2M_INTEGER, .operations = OPERATION_R, .mandatory = true}, /* Short Server ID */
    /* Lifetime */
    {.id = 1,
     .type = LWM2M_INTEGER,
     .operations = OPERATION_RW,
     .mandatory = true,
     .read = read_lifetime,
     .accepts = is_lifetime,
     .write = write_lifetime},
    {.id = 2, .type = LWM2M_INTEGER, .operations = OPERATION_RW, .accepts = is_period}, /* Default Minimum Period */
    {.id = 3, .type = LWM2M_INTEGER, .operations = OPERATION_RW, .accepts = is_period}, /* Default Maximum Period */
    {.id = 6, .type = LWM2M_BOOLEAN, .operations = OPERATION_RW, .mandatory = true},    /* Notification Storing */
    /* Binding */
    {.id = 7,
     .type = LWM2M_STRING,
     .operations = OPERATION_RW,
     .mandatory = true,
     .read = read_binding,
     .accepts = is_binding,
     .write = write_binding},
    /* Registration Update Trigger */
    {.id = 8, .operations = OPERATION_E, .mandatory = true, .execute = trigger_update},
    {.id = SERVER_MUTE_SEND, .type = LWM2M_BOOLEAN, .operations = OPERATION_RW, .since = 11}, /* Mute Send */
};

void server_object_init(struct object *object, struct device *device) {
    *object = (struct object){
        .id = 1, .resources = resources, .resource_count = sizeof resources / sizeof resources[0], .device = device};
    object_store(object, 0, 0, lwm2m_integer(1));
    object_store(object, 6, 0, lwm2m_boolean(true));
    if (device->options->version > 10)
        object_store(object, SERVER_MUTE_SEND, 0, lwm2m_boolean(false));
}
