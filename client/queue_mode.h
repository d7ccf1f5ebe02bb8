/* Being asleep (Core 1.2 §6.5, Transport 1.2 §6.5). A device in queue mode hears nothing from --awake after its last
 * message on; its next Update, Send or notification wakes it. The shell's `sleep` makes any device deaf and dumb, as out
 * of reach: notifications wait until `wake`, an Update or a Send. */
#ifndef BERTH_CLIENT_QUEUE_MODE_H
#define BERTH_CLIENT_QUEUE_MODE_H

#include "common/base/timer_wheel.h"

struct device;

struct queue_mode {
    struct device *device;
    bool is_asleep; /* what comes is not heard */
    bool is_dumb;   /* nor do notifications go */
    struct timer timer;
};

void queue_mode_init(struct queue_mode *queue_mode, struct device *device);
void queue_mode_end(struct queue_mode *queue_mode);

/* A message comes or goes: awake from now on. */
void queue_mode_touch(struct queue_mode *queue_mode);

/* Deaf and dumb from now on. */
void queue_mode_sleep(struct queue_mode *queue_mode);

#endif
