/* Object 4, Connectivity Monitoring (Core 1.2 Appendix E.5), and object 7, Connectivity Statistics (Appendix E.8): the
 * bytes that the device has sent and received since Start. */
#include "client/device.h"

/* ---- object 4 ---- */

enum {
    NETWORK_BEARER = 0,
    AVAILABLE_BEARER = 1,
    SIGNAL_STRENGTH = 2,
    LINK_QUALITY = 3,
    IP_ADDRESSES = 4,
    LINK_UTILIZATION = 6,
    BEARER_ETHERNET = 41,
    STRENGTH_LOW_DBM = -110,
    STRENGTH_HIGH_DBM = -50,
};

static void fill_monitoring(struct object *object, struct instance *instance) {
    object_store(object, instance, NETWORK_BEARER, 0, lwm2m_integer(BEARER_ETHERNET));
    object_store(object, instance, AVAILABLE_BEARER, 0, lwm2m_integer(BEARER_ETHERNET));
    object_store(object, instance, SIGNAL_STRENGTH, 0, lwm2m_integer(-70));
    object_store(object, instance, LINK_QUALITY, 0, lwm2m_integer(80));
    object_store(object, instance, IP_ADDRESSES, 0, lwm2m_string("127.0.0.1"));
    object_store(object, instance, LINK_UTILIZATION, 0, lwm2m_integer(1));
}

static void tick_monitoring(struct object *object, struct instance *instance) {
    int64_t strength =
        instance_value(instance, SIGNAL_STRENGTH, 0)->integer + (int64_t)(3 * device_random_walk(object->device));
    if (strength >= STRENGTH_LOW_DBM && strength <= STRENGTH_HIGH_DBM)
        object_store(object, instance, SIGNAL_STRENGTH, 0, lwm2m_integer(strength));
}

const struct object_kind connectivity_kind = {.id = 4, .fill = fill_monitoring, .tick = tick_monitoring};

/* ---- object 7 ---- */

enum { TX_DATA = 2, RX_DATA = 3, START = 6, STOP = 7, PERIOD = 8, KILOBYTE = 1024 };

static struct lwm2m_value kilobytes(const struct device *device, const struct instance *instance, uint16_t resource,
                                    uint64_t bytes, uint64_t from) {
    const struct lwm2m_value *stopped = instance_value(instance, resource, 0);
    return device->traffic.is_collecting ? lwm2m_integer((int64_t)((bytes - from) / KILOBYTE)) : *stopped;
}

static struct lwm2m_value read_sent(const struct object *object, const struct instance *instance) {
    const struct device *device = object->device;
    return kilobytes(device, instance, TX_DATA, coap_endpoint_counters(device->coap).bytes_out,
                     device->traffic.sent_from);
}

static struct lwm2m_value read_received(const struct object *object, const struct instance *instance) {
    const struct device *device = object->device;
    return kilobytes(device, instance, RX_DATA, coap_endpoint_counters(device->coap).bytes_in,
                     device->traffic.received_from);
}

static const char *stop(struct object *object, struct instance *instance) {
    struct device *device = object->device;
    struct lwm2m_value sent = read_sent(object, instance), received = read_received(object, instance);
    object_store(object, instance, TX_DATA, 0, sent);
    object_store(object, instance, RX_DATA, 0, received);
    device->traffic.is_collecting = false;
    timer_cancel(&device->wheel, &device->traffic.end);
    return NULL;
}

static void on_period_over(struct timer *timer, void *arg) {
    (void)arg;
    struct object *object = device_object(TIMER_OWNER(timer, struct device, traffic.end), statistics_kind.id);
    stop(object, &object->instances[0]);
}

/* Counting begins anew; without a Collection Period, or with 0, it goes on until Stop. */
static const char *start(struct object *object, struct instance *instance) {
    struct device *device = object->device;
    struct coap_counters counters = coap_endpoint_counters(device->coap);
    const struct lwm2m_value *period = instance_value(instance, PERIOD, 0);
    device->traffic.is_collecting = true;
    device->traffic.sent_from = counters.bytes_out;
    device->traffic.received_from = counters.bytes_in;
    timer_cancel(&device->wheel, &device->traffic.end);
    if (period != NULL && period->integer > 0)
        timer_schedule(&device->wheel, &device->traffic.end,
                       clock_now_ms(&device->clock) + (uint64_t)period->integer * 1000, on_period_over);
    return NULL;
}

static bool is_period(const struct lwm2m_value *value) {
    return value->integer >= 0 && value->integer <= INT32_MAX;
}

static void fill_statistics(struct object *object, struct instance *instance) {
    struct device *device = object->device;
    timer_cancel(&device->wheel, &device->traffic.end);
    device->traffic.is_collecting = false;
    object_store(object, instance, TX_DATA, 0, lwm2m_integer(0));
    object_store(object, instance, RX_DATA, 0, lwm2m_integer(0));
    object_store(object, instance, PERIOD, 0, lwm2m_integer(0));
}

static void tick_statistics(struct object *object, struct instance *instance) {
    if (!object->device->traffic.is_collecting)
        return;
    object_changed(object, instance, TX_DATA);
    object_changed(object, instance, RX_DATA);
}

static const struct behaviour statistics_behaviours[] = {
    {.id = TX_DATA, .read = read_sent}, {.id = RX_DATA, .read = read_received}, {.id = START, .execute = start},
    {.id = STOP, .execute = stop},      {.id = PERIOD, .accepts = is_period},
};

const struct object_kind statistics_kind = {.id = 7,
                                            .behaviours = statistics_behaviours,
                                            .behaviour_count =
                                                sizeof statistics_behaviours / sizeof statistics_behaviours[0],
                                            .fill = fill_statistics,
                                            .tick = tick_statistics};
