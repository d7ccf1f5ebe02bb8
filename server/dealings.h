/* What the server has under way with one device beyond single requests. It hangs in the registration, goes over to the
 * one that takes its place, and exists only while something is in it: a million idle devices have none. */
#ifndef BERTH_SERVER_DEALINGS_H
#define BERTH_SERVER_DEALINGS_H

#include "server/registration.h"

struct observation;  /* server/observation.h */
struct device_queue; /* server/queue.h */

struct dealings {
    struct observation *observations; /* in the order of their ids */
    uint32_t observation_count;       /* of them, without those that the device makes by itself */
    uint32_t waiting_observations;    /* of them, to be begun again */
    struct device_queue *queue;       /* NULL: none */
};

/* Those of a registration, made when there are none; NULL when out of memory. */
struct dealings *dealings_of(struct registration *registration);

/* Free them when there is nothing in them. */
void dealings_settle(struct registration *registration);

#endif
