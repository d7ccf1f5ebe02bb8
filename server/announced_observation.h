/* Observations that a device makes by itself. One vendor's clients do: a link of their object list with aobs="N" says that
 * they tell what is there whenever it changes, with N as a token of two bytes in network order. Such an observation is in
 * force from the registration on; here it exists from its first notification on, or from when somebody asks for it, so
 * that a device costs nothing for what it does not tell. It is not stored: its link brings it back. */
#ifndef BERTH_SERVER_ANNOUNCED_OBSERVATION_H
#define BERTH_SERVER_ANNOUNCED_OBSERVATION_H

#include "server/observation.h"

enum { ANNOUNCED_OBSERVATIONS_MAX = 1024 }; /* of a device, at once; its tokens run from 1 to 1023 */

/* A message with a token that nobody knows has come from the device: true when it said that it would tell something
 * with it, so that there is an observation now. */
bool announced_observation_adopt(struct server *server, struct registration *registration, struct slice token);

/* All that the device has announced. */
void announced_observations_adopt(struct server *server, struct registration *registration);

/* Forget what exists of them. Another device may use the same tokens: from the address of this one, say. */
void announced_observations_drop(struct registration *registration);

/* Its object list has changed: what is not announced any more is forgotten. */
void announced_observations_check(struct registration *registration);

#endif
