/* What the server has to do with one device: exists only while there is anything, and belongs to its registration. When
 * the device registers anew the new registration takes it over (contact.h). */
#ifndef BERTH_SERVER_DEALINGS_H
#define BERTH_SERVER_DEALINGS_H

#include "server/registration.h"

struct observation;  /* server/observation.h */
struct device_queue; /* server/queue.h */

struct dealings {
    struct observation *observations; /* in the order of their ids */
    uint32_t observation_count;       /* of them, without those that the device makes by itself */
    uint32_t waiting_observations;    /* of them, to be begun again */
    struct device_queue *queue;
};

/* Those of a registration, made when there are none; NULL when out of memory. */
struct dealings *dealings_of(struct registration *registration);

/* Free them when there is nothing in them. */
void dealings_settle(struct registration *registration);

#endif
