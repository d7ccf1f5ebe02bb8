#include "client/tick.h"

#include "client/device.h"

static void on_tick(struct timer *timer, void *arg);

static void schedule(struct device *device, uint64_t from_ms) {
    timer_schedule(&device->wheel, &device->tick, from_ms + device->options->tick_ms, on_tick);
}

static void on_tick(struct timer *timer, void *arg) {
    (void)arg;
    struct device *device = TIMER_OWNER(timer, struct device, tick);
    for (size_t i = 0; i < device->object_count; i++) {
        struct object *object = &device->objects[i];
        for (size_t k = 0; object->kind->tick != NULL && k < object->instance_count; k++)
            object->kind->tick(object, &object->instances[k]);
    }
    schedule(device, timer->due_ms);
}

void tick_start(struct device *device) {
    if (device->options->tick_ms > 0)
        schedule(device, clock_now_ms(&device->clock));
}

void tick_stop(struct device *device) {
    timer_cancel(&device->wheel, &device->tick);
}
