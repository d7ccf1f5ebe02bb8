/* Connections of devices (coap+tcp://, coaps+tcp://): what the server does when they come, end, or say what can't be understood. A
 * registration outlives its connection (Core 1.2 §6.2.1): the device is unreachable then, and comes back with an Update
 * over another one. */
#ifndef BERTH_SERVER_CONNECTION_H
#define BERTH_SERVER_CONNECTION_H

#include "server/server.h"

/* server->streams, which serves nothing yet. */
void connections_start(struct server *server);

/* The device of the registration `was` has left `before` and is reached over `now`: when `before` is a connection that
 * is still open (it may be half-open) it is closed, and what waited for the device goes over the new one when that has its answer (contact_heard). */
void connection_superseded(struct server *server, const struct registration *was, struct link *before,
                           struct link *now);

#endif
