/* What faults do to what the server has of a device: sessions, connections, registrations, observations. */
#ifndef BERTH_SERVER_FAULT_EFFECT_H
#define BERTH_SERVER_FAULT_EFFECT_H

#include "server/fault.h"

/* To the device of the fault, or to all that are registered. Tells of each. */
enum fault_refusal fault_effect_at_once(struct server *server, struct fault *fault);

/* A message has come from `endpoint`, over `link`. True: go on with the message; false: it is lost with the session or
 * connection it came by. */
bool fault_effect_on_message(struct server *server, const struct fault *fault, struct link *link,
                             struct slice endpoint);

/* The connections of the devices it is for are read no more. */
void fault_effect_half_open(struct server *server, const struct fault *fault);

#endif
