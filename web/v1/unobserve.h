/* Cancelling observations (Core 1.2 §6.4.3). */
#ifndef BERTH_WEB_V1_UNOBSERVE_H
#define BERTH_WEB_V1_UNOBSERVE_H

#include "server/observation.h"
#include "web/route.h"

/* Which of a device's observations. */
typedef bool unobserve_choice_fn(const void *arg, const struct observation *observation);

/* Cancel those that are chosen, in the `mode` of the query: 204 when all are over. None: 404. What the device makes by
 * itself, and what it was asked for and has not answered, is not among them. `target` is for people. */
void unobserve(const struct call *call, const struct registration *registration, const char *target,
               unobserve_choice_fn *chosen, const void *arg);

#endif
