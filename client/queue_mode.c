#include "client/queue_mode.h"

#include "client/device.h"

static void on_awake_over(struct timer *timer, void *arg);

static void fall_asleep(struct queue_mode *queue_mode) {
    struct device *device = queue_mode->device;
    if (!queue_mode->is_asleep)
        report_event(&device->report, "asleep", "Asleep");
    if (device->options->pelion)
        device_rebind(device); /* the socket is closed meanwhile */
    queue_mode->is_asleep = true;
}

static void schedule(struct queue_mode *queue_mode) {
    struct device *device = queue_mode->device;
    timer_schedule(&device->wheel, &queue_mode->timer, clock_now_ms(&device->clock) + device->options->awake_ms,
                   on_awake_over);
}

/* Whoever has asked waits for the answer, and for acknowledgements. */
static void on_awake_over(struct timer *timer, void *arg) {
    (void)arg;
    struct queue_mode *queue_mode = TIMER_OWNER(timer, struct queue_mode, timer);
    const struct device *device = queue_mode->device;
    if (device->registration.call != NULL || bootstrap_is_busy(&device->bootstrap) || device->open_sends > 0 ||
        observer_is_waiting(&device->observer))
        schedule(queue_mode);
    else
        fall_asleep(queue_mode);
}

void queue_mode_init(struct queue_mode *queue_mode, struct device *device) {
    *queue_mode = (struct queue_mode){.device = device};
}

void queue_mode_end(struct queue_mode *queue_mode) {
    timer_cancel(&queue_mode->device->wheel, &queue_mode->timer);
}

void queue_mode_touch(struct queue_mode *queue_mode) {
    struct device *device = queue_mode->device;
    bool was_asleep = queue_mode->is_asleep;
    queue_mode->is_asleep = false;
    queue_mode->is_dumb = false;
    if (was_asleep) {
        report_event(&device->report, "awake", "Awake");
        if (device->options->pelion && device->registration.state == REGISTRATION_REGISTERED)
            registration_update(&device->registration); /* before anything else */
        observer_resume(&device->observer);
    }
    if (device->options->queue)
        schedule(queue_mode);
}

void queue_mode_sleep(struct queue_mode *queue_mode) {
    timer_cancel(&queue_mode->device->wheel, &queue_mode->timer);
    queue_mode->is_dumb = true;
    fall_asleep(queue_mode);
}
