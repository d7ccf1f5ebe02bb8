/* The registration interface (Core 1.2 §6.2): Register, Update, De-register. Each function answers the request, at once
 * or after the commit. */
#ifndef BERTH_SERVER_REGISTER_H
#define BERTH_SERVER_REGISTER_H

#include "server/server.h"

void register_request(struct server *server, const struct coap_request *request);

/* `location` is what stands below /rd in the request's path, segments joined by '/'. */
void register_update(struct server *server, const struct coap_request *request, struct slice location);
void register_deregister(struct server *server, const struct coap_request *request, struct slice location);

/* A registration is reached over `link` from now on: operations go there, and an event tells a new address. False when it
 * was already. */
bool register_move(struct server *server, struct registration *registration, struct link *link);

/* Publish `address_changed`: the link's address was `before`. */
void register_tell_address(struct server *server, const struct registration *registration,
                           const struct address *before);

#endif
