/* How many devices there were, and what they did, over the last hour: a ring of steps of ten seconds of protocol time. A
 * step costs nothing while nothing happens: it is begun by the first event in it. */
#ifndef BERTH_WEB_COUNTS_H
#define BERTH_WEB_COUNTS_H

#include <jansson.h>

#include "server/server.h"

enum { COUNTS_STEP_S = 10, COUNTS_STEPS = 360 };

struct counts {
    const struct server *server;
    struct event_subscriber *subscriber;
    struct counts_step {
        uint64_t number;  /* seconds of protocol time through COUNTS_STEP_S; 0: none yet */
        uint32_t devices; /* registered at its end, or now */
        uint32_t registrations, updates, failures;
    } steps[COUNTS_STEPS];
};

/* False when out of memory. Stop before the server stops. */
bool counts_start(struct counts *counts, const struct server *server);
void counts_stop(struct counts *counts);

/* {"step_s", "now", "devices", "items": […]}: the steps of the last hour in which something happened, oldest first. */
json_t *counts_json(const struct counts *counts);

#endif
