/* Send (Core 1.2 §6.4.6): a device tells values that nobody asked for, as POST /dp. */
#ifndef BERTH_SERVER_SEND_H
#define BERTH_SERVER_SEND_H

#include "server/server.h"

/* Answers the request; publishes an event for each value, in order. */
void send_request(struct server *server, const struct coap_request *request);

#endif
