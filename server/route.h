/* Which request goes where: the resources that a device finds on this server. */
#ifndef BERTH_SERVER_ROUTE_H
#define BERTH_SERVER_ROUTE_H

#include "server/server.h"

/* Answers `request`, now or later. */
void route_request(struct server *server, const struct coap_request *request);

#endif
