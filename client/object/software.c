/* Object 9, Software Management: what is written is kept, and Activate and Deactivate turn the Activation State. Nothing
 * is fetched or installed. --firmware-fault has it fail, too. */
#include "client/device.h"
#include "client/firmware.h"

enum {
    NAME = 0,
    VERSION = 1,
    PACKAGE = 2,
    INSTALL = 4,
    UNINSTALL = 6,
    STATE = 7,
    RESULT = 9,
    ACTIVATE = 10,
    DEACTIVATE = 11,
    ACTIVATION_STATE = 12,
    STATE_INITIAL = 0,
    STATE_DELIVERED = 3,
    STATE_INSTALLED = 4,
    RESULT_INITIAL = 0,
    RESULT_INSTALLED = 2,
    RESULT_DOWNLOADED = 3,
    RESULT_NO_STORAGE = 50,
    RESULT_NO_MEMORY = 51,
    RESULT_INTEGRITY = 53,
    RESULT_PACKAGE_TYPE = 54,
    RESULT_INSTALLATION_FAILED = 58,
};

static int64_t state_of(const struct instance *instance) {
    return instance_value(instance, STATE, 0)->integer;
}

static void enter(struct object *object, struct instance *instance, int64_t state, int64_t result) {
    object_store(object, instance, STATE, 0, lwm2m_integer(state));
    object_store(object, instance, RESULT, 0, lwm2m_integer(result));
}

static void write_package(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    (void)value;
    if (state_of(instance) != STATE_INITIAL)
        return;
    switch (object->device->options->firmware_fault) {
    case FIRMWARE_NO_STORAGE:
        enter(object, instance, STATE_INITIAL, RESULT_NO_STORAGE);
        return;
    case FIRMWARE_NO_MEMORY:
        enter(object, instance, STATE_INITIAL, RESULT_NO_MEMORY);
        return;
    case FIRMWARE_INTEGRITY:
        enter(object, instance, STATE_INITIAL, RESULT_INTEGRITY);
        return;
    case FIRMWARE_PACKAGE_TYPE:
        enter(object, instance, STATE_INITIAL, RESULT_PACKAGE_TYPE);
        return;
    default:
        enter(object, instance, STATE_DELIVERED, RESULT_DOWNLOADED);
    }
}

static const char *install(struct object *object, struct instance *instance) {
    if (state_of(instance) != STATE_DELIVERED)
        return "there is no package to install";
    if (object->device->options->firmware_fault == FIRMWARE_UPDATE_FAILED) {
        enter(object, instance, STATE_DELIVERED, RESULT_INSTALLATION_FAILED);
        return NULL;
    }
    enter(object, instance, STATE_INSTALLED, RESULT_INSTALLED);
    return NULL;
}

static const char *uninstall(struct object *object, struct instance *instance) {
    enter(object, instance, STATE_INITIAL, RESULT_INITIAL);
    object_store(object, instance, ACTIVATION_STATE, 0, lwm2m_boolean(false));
    return NULL;
}

static const char *activate(struct object *object, struct instance *instance) {
    if (state_of(instance) != STATE_INSTALLED)
        return "it is not installed";
    object_store(object, instance, ACTIVATION_STATE, 0, lwm2m_boolean(true));
    return NULL;
}

static const char *deactivate(struct object *object, struct instance *instance) {
    if (state_of(instance) != STATE_INSTALLED)
        return "it is not installed";
    object_store(object, instance, ACTIVATION_STATE, 0, lwm2m_boolean(false));
    return NULL;
}

static void fill(struct object *object, struct instance *instance) {
    object_store(object, instance, NAME, 0, lwm2m_string("app"));
    object_store(object, instance, VERSION, 0, lwm2m_string("1.0"));
    enter(object, instance, STATE_INITIAL, RESULT_INITIAL);
    object_store(object, instance, ACTIVATION_STATE, 0, lwm2m_boolean(false));
}

static const struct behaviour behaviours[] = {
    {.id = PACKAGE, .write = write_package},   {.id = INSTALL, .execute = install},
    {.id = UNINSTALL, .execute = uninstall},   {.id = ACTIVATE, .execute = activate},
    {.id = DEACTIVATE, .execute = deactivate},
};

const struct object_kind software_kind = {.id = 9,
                                          .behaviours = behaviours,
                                          .behaviour_count = sizeof behaviours / sizeof behaviours[0],
                                          .fill = fill,
                                          .fill_created = fill};
