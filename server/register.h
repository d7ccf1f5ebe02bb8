/* The registration interface (Core 1.2 §6.2): Register, Update, De-register. Each function answers the request, at once
 * or after the commit. */
#ifndef BERTH_SERVER_REGISTER_H
#define BERTH_SERVER_REGISTER_H

#include "server/server.h"

void register_request(struct server *server, const struct coap_request *request);

/* `location` is what stands below /rd in the request's path, segments joined by '/'. */
void register_update(struct server *server, const struct coap_request *request, struct slice location);
void register_deregister(struct server *server, const struct coap_request *request, struct slice location);

#endif
