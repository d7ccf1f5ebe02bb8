/* Object 5, Firmware Update (Core 1.2 Appendix E.6). A package is pushed; it is not fetched from a URI yet, which gives
 * result 9. What a package is made of does not matter, but its first line may tell a name and a version
 * (`sensor 2.1`), which the device has after the update. */
#include "client/device.h"

enum {
    PACKAGE = 0,
    PACKAGE_URI = 1,
    UPDATE = 2,
    STATE = 3,
    RESULT = 5,
    NAME = 6,
    VERSION = 7,
    DELIVERY_METHOD = 9,
    CANCEL = 10,
    URI_MAX = 255,
    TITLE_MAX = 64,
    DELIVERY_PUSH = 1,
    UPDATE_MS = 1000, /* how long installing takes */
};

enum state { STATE_IDLE = 0, STATE_DOWNLOADED = 2, STATE_UPDATING = 3 };

enum result { RESULT_INITIAL = 0, RESULT_SUCCESS = 1, RESULT_PROTOCOL = 9, RESULT_CANCELLED = 10 };

static enum state state_of(const struct instance *instance) {
    return (enum state)instance_value(instance, STATE, 0)->integer;
}

static void enter(struct object *object, struct instance *instance, enum state state, enum result result) {
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

/* Nothing, or one NUL byte, takes back what was downloaded. */
static void write_package(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    bool is_reset = value->bytes.len == 0 || (value->bytes.len == 1 && value->bytes.data[0] == 0);
    if (state_of(instance) == STATE_UPDATING)
        return; /* it is too late */
    forget_package(object, instance);
    if (is_reset) {
        enter(object, instance, STATE_IDLE, RESULT_INITIAL);
        return;
    }
    read_title(object, instance, value->bytes);
    enter(object, instance, STATE_DOWNLOADED, RESULT_INITIAL);
}

static bool is_uri(const struct lwm2m_value *value) {
    return value->bytes.len <= URI_MAX;
}

static void write_uri(struct object *object, struct instance *instance, const struct lwm2m_value *value) {
    if (state_of(instance) == STATE_UPDATING)
        return;
    forget_package(object, instance);
    object_store(object, instance, PACKAGE_URI, 0, *value);
    enter(object, instance, STATE_IDLE, value->bytes.len == 0 ? RESULT_INITIAL : RESULT_PROTOCOL);
}

/* The device goes down in state Updating: nobody observes what it is afterwards. */
static void on_installed(struct timer *timer, void *arg) {
    (void)arg;
    struct device *device = TIMER_OWNER(timer, struct device, firmware);
    struct object *object = device_object(device, firmware_kind.id);
    struct instance *instance = &object->instances[0];
    const struct lwm2m_value *version = instance_value(instance, VERSION, 0);
    observer_end(&device->observer);
    if (version != NULL)
        device_object_set_firmware(device_object(device, device_kind.id), version->bytes);
    forget_package(object, instance);
    enter(object, instance, STATE_IDLE, RESULT_SUCCESS);
    device_reboot_soon(device);
}

static const char *update(struct object *object, struct instance *instance) {
    struct device *device = object->device;
    if (state_of(instance) != STATE_DOWNLOADED)
        return "there is no package to install";
    enter(object, instance, STATE_UPDATING, RESULT_INITIAL);
    timer_schedule(&device->wheel, &device->firmware, clock_now_ms(&device->clock) + UPDATE_MS, on_installed);
    return NULL;
}

static const char *cancel(struct object *object, struct instance *instance) {
    if (state_of(instance) != STATE_DOWNLOADED)
        return "there is nothing to cancel";
    forget_package(object, instance);
    enter(object, instance, STATE_IDLE, RESULT_CANCELLED);
    return NULL;
}

static void fill(struct object *object, struct instance *instance) {
    timer_cancel(&object->device->wheel, &object->device->firmware);
    forget_package(object, instance);
    enter(object, instance, STATE_IDLE, RESULT_INITIAL);
    object_store(object, instance, DELIVERY_METHOD, 0, lwm2m_integer(DELIVERY_PUSH));
}

static const struct behaviour behaviours[] = {
    {.id = PACKAGE, .write = write_package},
    {.id = PACKAGE_URI, .accepts = is_uri, .write = write_uri},
    {.id = UPDATE, .execute = update},
    {.id = CANCEL, .execute = cancel},
};

const struct object_kind firmware_kind = {
    .id = 5, .behaviours = behaviours, .behaviour_count = sizeof behaviours / sizeof behaviours[0], .fill = fill};
