/* What is set for the queue of one device over the API; it belongs to the endpoint's name, whether it is registered or
 * not, and survives restarts. Kept in order of names, so that a device without settings costs nothing. */
#ifndef BERTH_SERVER_QUEUE_SETTINGS_H
#define BERTH_SERVER_QUEUE_SETTINGS_H

#include "server/server.h"

enum { QUEUE_SETTINGS_MAX = 10000 };

struct queue_settings {
    uint32_t awake_window_ms; /* how long a device in queue mode listens after it was heard; 0: not set */
    uint32_t limit;           /* requests in its queue; 0: not set */
};

/* What holds for the device: what is set, else the server's options. */
struct queue_settings queue_settings_of(const struct server *server, struct slice endpoint);

/* False when nothing is set for it. */
bool queue_settings_find(const struct server *server, struct slice endpoint, struct queue_settings *settings);

/* Set it, or unset it with zeros. It holds after the commit, whose result `done` gets; a device that is awake is then
 * awake for the new time since it was heard last. False, and no call: there are QUEUE_SETTINGS_MAX devices with
 * settings, or no memory. */
bool queue_settings_put(struct server *server, struct slice endpoint, const struct queue_settings *settings,
                        store_done_fn *done, void *arg);

/* Read them from the store. False with one line in `error`. */
bool queue_settings_load(struct server *server, char *error, size_t error_size);

/* Forget all of them, in memory only. */
void queue_settings_clear(struct server *server);

#endif
