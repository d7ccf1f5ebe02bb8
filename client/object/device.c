/* Object 3, Device (Core 1.2 Appendix E.4). */
#include <unistd.h>

#include "client/device.h"

enum {
    SERIAL_NUMBER = 2,
    FIRMWARE_VERSION = 3,
    REBOOT = 4,
    FACTORY_RESET = 5,
    POWER_SOURCE_VOLTAGE = 7,
    BATTERY_LEVEL = 9,
    MEMORY_FREE = 10,
    ERROR_CODE = 11,
    RESET_ERROR_CODE = 12,
    CURRENT_TIME = 13,
    BINDING = 16,
    BATTERY_LOW = 5, /* %; by tick it is then charged at once */
};

static struct lwm2m_value read_memory_free(const struct object *object, const struct instance *instance) {
    (void)object;
    (void)instance;
    long pages = sysconf(_SC_AVPHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return lwm2m_integer(pages < 0 || page_bytes < 0 ? 0 : (int64_t)pages * (page_bytes / 1024));
}

/* What the server has set runs on with the protocol clock. */
static struct lwm2m_value read_current_time(const struct object *object, const struct instance *instance) {
    const struct device *device = object->device;
    (void)instance;
    return lwm2m_time((int64_t)(clock_now_ms(&device->clock) / 1000) + device->time_offset_s);
}

static bool is_time(const struct lwm2m_value *value) {
    return value->integer >= 0 && value->integer <= INT64_MAX / 1000;
}

static void write_current_time(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    struct device *device = object->device;
    (void)instance;
    device->time_offset_s = value->integer - (int64_t)(clock_now_ms(&device->clock) / 1000);
}

static struct lwm2m_value read_binding(const struct object *object, const struct instance *instance) {
    (void)instance;
    return lwm2m_string(object->device->binding);
}

static const char *reboot(struct object *object, struct instance *instance) {
    (void)instance;
    device_reboot_soon(object->device);
    return NULL;
}

static const char *factory_reset(struct object *object, struct instance *instance) {
    (void)instance;
    device_factory_reset_soon(object->device);
    return NULL;
}

static const char *reset_error_code(struct object *object, struct instance *instance) {
    object_clear(object, instance, ERROR_CODE);
    object_store(object, instance, ERROR_CODE, 0, lwm2m_integer(0)); /* no error */
    return NULL;
}

static void tick(struct object *object, struct instance *instance) {
    int64_t level = instance_value(instance, BATTERY_LEVEL, 0)->integer;
    object_store(object, instance, BATTERY_LEVEL, 0, lwm2m_integer(level <= BATTERY_LOW ? 100 : level - 1));
    object_changed(object, instance, CURRENT_TIME);
}

static const struct {
    uint16_t id;
    const char *text;
} texts[] = {
    {0, "Berth"}, {1, "berth-device"}, {14, "+00:00"}, {15, "Etc/UTC"}, {17, "reference device"},
    {18, "1.0"},  {19, BERTH_VERSION},
};

static void fill(struct object *object, struct instance *instance) {
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        object_store(object, instance, texts[i].id, 0, lwm2m_string(texts[i].text));
    object_store(object, instance, SERIAL_NUMBER, 0, lwm2m_string(object->device->endpoint));
    object_store(object, instance, FIRMWARE_VERSION, 0, lwm2m_string(BERTH_VERSION));
    object_store(object, instance, 6, 0, lwm2m_integer(1)); /* internal battery */
    object_store(object, instance, POWER_SOURCE_VOLTAGE, 0, lwm2m_integer(3800));
    object_store(object, instance, 8, 0, lwm2m_integer(125)); /* mA */
    object_store(object, instance, BATTERY_LEVEL, 0, lwm2m_integer(95));
    object_store(object, instance, ERROR_CODE, 0, lwm2m_integer(0));
}

void device_object_set_serial(struct object *object, struct slice serial) {
    object_store(object, &object->instances[0], SERIAL_NUMBER, 0, lwm2m_bytes(LWM2M_STRING, serial));
}

void device_object_set_firmware(struct object *object, struct slice version) {
    object_store(object, &object->instances[0], FIRMWARE_VERSION, 0, lwm2m_bytes(LWM2M_STRING, version));
}

static const struct behaviour behaviours[] = {
    {.id = REBOOT, .execute = reboot},
    {.id = FACTORY_RESET, .execute = factory_reset},
    {.id = MEMORY_FREE, .read = read_memory_free},
    {.id = RESET_ERROR_CODE, .execute = reset_error_code},
    {.id = CURRENT_TIME, .read = read_current_time, .accepts = is_time, .write = write_current_time},
    {.id = BINDING, .read = read_binding},
};

const struct object_kind device_kind = {.id = 3,
                                        .behaviours = behaviours,
                                        .behaviour_count = sizeof behaviours / sizeof behaviours[0],
                                        .fill = fill,
                                        .tick = tick};
