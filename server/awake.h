/* When a device in queue mode listens (T §6.5): from its Register, Update, Send or acknowledged notification on, for its
 * awake window after the last message from it; not any more when it leaves a request of ours without an ACK. Any other
 * device always listens. Being awake is a timer in the device's queue, so a sleeping device costs nothing, and after a
 * restart everybody sleeps until heard. */
#ifndef BERTH_SERVER_AWAKE_H
#define BERTH_SERVER_AWAKE_H

#include "server/server.h"

bool awake_is(const struct registration *registration);

/* The device has told something: it is awake (again), and publishes `awake` unless it was. */
void awake_heard(struct server *server, struct registration *registration);

/* A message has come from the device: one that is awake stays so for a whole window. */
void awake_prolong(struct server *server, struct registration *registration);

/* It does not answer: asleep at once, told by `sleeping` with `why`. */
void awake_lost(struct server *server, struct registration *registration, const char *why);

/* Without a word: queue mode has ended, or the registration. */
void awake_forget(struct server *server, struct registration *registration);

/* Its window is another one than `before_ms`. */
void awake_window_changed(struct server *server, struct registration *registration, uint32_t before_ms);

#endif
