/* Object 3, Device (Core 1.2 Appendix E.4). */
#include <unistd.h>

#include "client/device.h"

static struct lwm2m_value read_memory_free(const struct object *object) {
    (void)object;
    long pages = sysconf(_SC_AVPHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return lwm2m_integer(pages < 0 || page_bytes < 0 ? 0 : (int64_t)pages * (page_bytes / 1024));
}

/* What the server has set runs on with the protocol clock. */
static struct lwm2m_value read_current_time(const struct object *object) {
    const struct device *device = object->device;
    return lwm2m_time((int64_t)(clock_now_ms(&device->clock) / 1000) + device->time_offset_s);
}

static bool is_time(const struct lwm2m_value *value) {
    return value->integer >= 0 && value->integer <= INT64_MAX / 1000;
}

static void write_current_time(struct object *object, const struct lwm2m_value *value) {
    struct device *device = object->device;
    device->time_offset_s = value->integer - (int64_t)(clock_now_ms(&device->clock) / 1000);
}

static struct lwm2m_value read_binding(const struct object *object) {
    return lwm2m_string(object->device->binding);
}

static void reboot(struct object *object) {
    device_reboot_soon(object->device);
}

static const struct resource resources[] = {
    {.id = 0, .type = LWM2M_STRING, .operations = OPERATION_R},                    /* Manufacturer */
    {.id = 1, .type = LWM2M_STRING, .operations = OPERATION_R},                    /* Model Number */
    {.id = 2, .type = LWM2M_STRING, .operations = OPERATION_R},                    /* Serial Number */
    {.id = 3, .type = LWM2M_STRING, .operations = OPERATION_R},                    /* Firmware Version */
    {.id = 4, .operations = OPERATION_E, .mandatory = true, .execute = reboot},    /* Reboot */
    {.id = 6, .type = LWM2M_INTEGER, .operations = OPERATION_R, .multiple = true}, /* Available Power Sources */
    {.id = 7, .type = LWM2M_INTEGER, .operations = OPERATION_R, .multiple = true}, /* Power Source Voltage, mV */
    {.id = 8, .type = LWM2M_INTEGER, .operations = OPERATION_R, .multiple = true}, /* Power Source Current, mA */
    {.id = 9, .type = LWM2M_INTEGER, .operations = OPERATION_R},                   /* Battery Level, % */
    {.id = 10, .type = LWM2M_INTEGER, .operations = OPERATION_R, .read = read_memory_free}, /* Memory Free, KB */
    {.id = 11, .type = LWM2M_INTEGER, .operations = OPERATION_R, .multiple = true, .mandatory = true}, /* Error Code */
    /* Current Time */
    {.id = 13,
     .type = LWM2M_TIME,
     .operations = OPERATION_RW,
     .read = read_current_time,
     .accepts = is_time,
     .write = write_current_time},
    {.id = 14, .type = LWM2M_STRING, .operations = OPERATION_RW}, /* UTC Offset */
    {.id = 15, .type = LWM2M_STRING, .operations = OPERATION_RW}, /* Timezone */
    /* Supported Binding and Modes */
    {.id = 16, .type = LWM2M_STRING, .operations = OPERATION_R, .mandatory = true, .read = read_binding},
    {.id = 17, .type = LWM2M_STRING, .operations = OPERATION_R}, /* Device Type */
    {.id = 18, .type = LWM2M_STRING, .operations = OPERATION_R}, /* Hardware Version */
    {.id = 19, .type = LWM2M_STRING, .operations = OPERATION_R}, /* Software Version */
};

void device_object_init(struct object *object, struct device *device) {
    *object = (struct object){
        .id = 3, .resources = resources, .resource_count = sizeof resources / sizeof resources[0], .device = device};
    object_store(object, 0, 0, lwm2m_string("Berth"));
    object_store(object, 1, 0, lwm2m_string("berth-device"));
    object_store(object, 2, 0, lwm2m_string(device->options->endpoint));
    object_store(object, 3, 0, lwm2m_string(BERTH_VERSION));
    object_store(object, 6, 0, lwm2m_integer(1)); /* internal battery */
    object_store(object, 7, 0, lwm2m_integer(3800));
    object_store(object, 8, 0, lwm2m_integer(125));
    object_store(object, 9, 0, lwm2m_integer(95));
    object_store(object, 11, 0, lwm2m_integer(0));
    object_store(object, 14, 0, lwm2m_string("+00:00"));
    object_store(object, 15, 0, lwm2m_string("Etc/UTC"));
    object_store(object, 17, 0, lwm2m_string("reference device"));
    object_store(object, 18, 0, lwm2m_string("1.0"));
    object_store(object, 19, 0, lwm2m_string(BERTH_VERSION));
}
