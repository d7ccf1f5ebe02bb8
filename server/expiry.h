/* Registration lifetimes (Core 1.2 §6.2.1). A registration runs out `grace_s` after its lifetime has ended without an
 * Update; the grace covers a client's retransmissions. */
#ifndef BERTH_SERVER_EXPIRY_H
#define BERTH_SERVER_EXPIRY_H

#include "server/server.h"

/* The lifetime counts from now: sets updated_at_ms and expires_at_ms, and the timer. */
void expiry_refresh(struct server *server, struct registration *registration);

/* Set the timer by expires_at_ms, as read from the store. */
void expiry_resume(struct server *server, struct registration *registration);

/* It expires this moment, whatever its lifetime. `registration` is gone then. */
void expiry_now(struct server *server, struct registration *registration);

#endif
