/* Values that change on their own (--tick): every so often, what each kind of object says. */
#ifndef BERTH_CLIENT_TICK_H
#define BERTH_CLIENT_TICK_H

struct device;

/* Tick by the device's options; nothing happens without --tick. */
void tick_start(struct device *device);
void tick_stop(struct device *device);

#endif
