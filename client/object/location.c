/* Object 6, Location (Core 1.2 Appendix E.7): a device that, by tick, walks about. */
#include "client/device.h"

enum { LATITUDE = 0, LONGITUDE = 1, ALTITUDE = 2, RADIUS = 3, TIMESTAMP = 5, SPEED = 6 };

static const double STEP_DEGREES = 0.0001; /* some ten metres */

static struct lwm2m_value real(double number) {
    return (struct lwm2m_value){.type = LWM2M_FLOAT, .real = number};
}

static void measure(struct object *object, struct instance *instance, double latitude, double longitude) {
    object_store(object, instance, LATITUDE, 0, real(latitude));
    object_store(object, instance, LONGITUDE, 0, real(longitude));
    object_store(object, instance, TIMESTAMP, 0, lwm2m_time((int64_t)(clock_now_ms(&object->device->clock) / 1000)));
}

static void fill(struct object *object, struct instance *instance) {
    measure(object, instance, 52.2297, 21.0122);
    object_store(object, instance, ALTITUDE, 0, real(113));
    object_store(object, instance, RADIUS, 0, real(5));
    object_store(object, instance, SPEED, 0, real(0));
}

static double within(double number, double limit) {
    return number > limit ? limit : number < -limit ? -limit : number;
}

static void tick(struct object *object, struct instance *instance) {
    double north = STEP_DEGREES * device_random_walk(object->device),
           east = STEP_DEGREES * device_random_walk(object->device);
    measure(object, instance, within(instance_value(instance, LATITUDE, 0)->real + north, 90),
            within(instance_value(instance, LONGITUDE, 0)->real + east, 180));
}

const struct object_kind location_kind = {.id = 6, .fill = fill, .tick = tick};
