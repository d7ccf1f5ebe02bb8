/* Object 5, Firmware Update (Core 1.2 Appendix E.6). How packages come is told by client/firmware.h. */
#include "client/device.h"

enum {
    PACKAGE = 0,
    PACKAGE_URI = 1,
    UPDATE = 2,
    STATE = 3,
    RESULT = 5,
    NAME = 6,
    VERSION = 7,
    PROTOCOLS = 8,
    DELIVERY_METHOD = 9,
    CANCEL = 10,
    TITLE_MAX = 64,
    DELIVERY_BOTH = 2,
    UPDATE_MS = 1000, /* how long installing takes */
};

enum state { STATE_IDLE = 0, STATE_DOWNLOADING = 1, STATE_DOWNLOADED = 2, STATE_UPDATING = 3 };

static enum state state_of(const struct instance *instance) {
    return (enum state)instance_value(instance, STATE, 0)->integer;
}

static void enter(struct object *object, struct instance *instance, enum state state, enum firmware_result result) {
    object_store(object, instance, STATE, 0, lwm2m_integer(state));
    object_store(object, instance, RESULT, 0, lwm2m_integer(result));
}

static void forget_package(struct object *object, struct instance *instance) {
    object_clear(object, instance, NAME);
    object_clear(object, instance, VERSION);
    object_store(object, instance, PACKAGE_URI, 0, lwm2m_string(""));
}

/* A word of printable characters up to a space or the end of the line; empty when there is none. */
static struct slice take_word(struct slice *text) {
    size_t len = 0;
    while (len < text->len && len < TITLE_MAX && text->data[len] > ' ' && text->data[len] < 0x7f)
        len++;
    bool ends = len < text->len && (text->data[len] == ' ' || text->data[len] == '\n');
    struct slice word = slice_of(text->data, ends ? len : 0);
    *text = slice_from(*text, len + 1);
    return word;
}

static void read_title(struct object *object, struct instance *instance, struct slice package) {
    struct slice name = take_word(&package), version = take_word(&package);
    if (name.len == 0 || version.len == 0)
        return;
    object_store(object, instance, NAME, 0, lwm2m_bytes(LWM2M_STRING, name));
    object_store(object, instance, VERSION, 0, lwm2m_bytes(LWM2M_STRING, version));
}

static struct object *object_of(struct device *device) {
    return device_object(device, firmware_kind.id);
}

void firmware_object_reach(struct device *device) {
    struct object *object = object_of(device);
    if (object == NULL) /* of a device that is as others are (pelion.h) */
        return;
    object_store(object, &object->instances[0], PROTOCOLS, 0, lwm2m_integer(firmware_own_protocol(device)));
}

bool firmware_object_begin(struct device *device) {
    struct object *object = object_of(device);
    struct instance *instance = &object->instances[0];
    if (state_of(instance) == STATE_UPDATING)
        return false;
    forget_package(object, instance);
    enter(object, instance, STATE_DOWNLOADING, FIRMWARE_INITIAL);
    return true;
}

void firmware_object_fail(struct device *device, enum firmware_result result) {
    struct object *object = object_of(device);
    enter(object, &object->instances[0], STATE_IDLE, result);
}

void firmware_object_finish(struct device *device, const struct firmware_package *package) {
    struct object *object = object_of(device);
    struct instance *instance = &object->instances[0];
    size_t len = package->len < sizeof package->title ? package->len : sizeof package->title;
    read_title(object, instance, slice_of(package->title, len));
    enter(object, instance, STATE_DOWNLOADED, FIRMWARE_INITIAL);
}

/* Nothing, or one NUL byte, takes back what was downloaded. */
static void write_package(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    bool is_reset = value->bytes.len == 0 || (value->bytes.len == 1 && value->bytes.data[0] == 0);
    struct firmware *firmware = &object->device->firmware;
    if (state_of(instance) == STATE_UPDATING)
        return; /* it is too late */
    forget_package(object, instance);
    if (is_reset) {
        firmware_stop(firmware);
        enter(object, instance, STATE_IDLE, FIRMWARE_INITIAL);
        return;
    }
    firmware_take_whole(firmware, value->bytes);
}

static bool is_uri(const struct lwm2m_value *value) {
    return value->bytes.len <= FIRMWARE_URI_MAX;
}

static void write_uri(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    struct firmware *firmware = &object->device->firmware;
    if (state_of(instance) == STATE_UPDATING)
        return;
    forget_package(object, instance);
    object_store(object, instance, PACKAGE_URI, 0, *value);
    if (value->bytes.len == 0) {
        firmware_stop(firmware);
        enter(object, instance, STATE_IDLE, FIRMWARE_INITIAL);
        return;
    }
    enum firmware_result result = firmware_fetch(firmware, value->bytes);
    enter(object, instance, result == FIRMWARE_INITIAL ? STATE_DOWNLOADING : STATE_IDLE, result);
}

/* The device goes down in state Updating: nobody observes what it is afterwards. */
static void on_installed(struct timer *timer, void *arg) {
    (void)arg;
    struct device *device = TIMER_OWNER(timer, struct firmware, install)->device;
    struct object *object = object_of(device);
    struct instance *instance = &object->instances[0];
    const struct lwm2m_value *version = instance_value(instance, VERSION, 0);
    if (device->options->firmware_fault == FIRMWARE_UPDATE_FAILED) {
        enter(object, instance, STATE_DOWNLOADED, FIRMWARE_UPDATE_FAILED);
        return;
    }
    observer_end(&device->observer);
    if (version != NULL)
        device_object_set_firmware(device_object(device, device_kind.id), version->bytes);
    forget_package(object, instance);
    enter(object, instance, STATE_IDLE, FIRMWARE_SUCCESS);
    device_reboot_soon(device);
}

static const char *update(struct object *object, struct instance *instance) {
    struct device *device = object->device;
    if (state_of(instance) != STATE_DOWNLOADED)
        return "there is no package to install";
    enter(object, instance, STATE_UPDATING, FIRMWARE_INITIAL);
    timer_schedule(&device->wheel, &device->firmware.install, clock_now_ms(&device->clock) + UPDATE_MS, on_installed);
    return NULL;
}

static const char *cancel(struct object *object, struct instance *instance) {
    if (state_of(instance) != STATE_DOWNLOADED && state_of(instance) != STATE_DOWNLOADING)
        return "there is nothing to cancel";
    firmware_stop(&object->device->firmware);
    forget_package(object, instance);
    enter(object, instance, STATE_IDLE, FIRMWARE_CANCELLED);
    return NULL;
}

static void fill(struct object *object, struct instance *instance) {
    firmware_stop(&object->device->firmware);
    forget_package(object, instance);
    enter(object, instance, STATE_IDLE, FIRMWARE_INITIAL);
    object_store(object, instance, PROTOCOLS, 0, lwm2m_integer(firmware_own_protocol(object->device)));
    object_store(object, instance, DELIVERY_METHOD, 0, lwm2m_integer(DELIVERY_BOTH));
}

static const struct behaviour behaviours[] = {
    {.id = PACKAGE, .write = write_package},
    {.id = PACKAGE_URI, .accepts = is_uri, .write = write_uri},
    {.id = UPDATE, .execute = update},
    {.id = CANCEL, .execute = cancel},
};

const struct object_kind firmware_kind = {
    .id = 5, .behaviours = behaviours, .behaviour_count = sizeof behaviours / sizeof behaviours[0], .fill = fill};
