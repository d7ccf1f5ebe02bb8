/* The one server that the device talks to at a time: the LwM2M server or the bootstrap server, by its URI. */
#ifndef BERTH_CLIENT_DESTINATION_H
#define BERTH_CLIENT_DESTINATION_H

#include "client/transport.h"
#include "common/coap/message.h"
#include "common/net/uri.h"

enum { DESTINATION_URI_MAX = 255 /* 0/x/0 (Core 1.2 §E.1) */ };

struct destination {
    char text[DESTINATION_URI_MAX + 1];
    struct uri uri;                    /* points into text */
    const struct transport *transport; /* of the scheme */
    uint16_t security; /* the instance of object 0 that has its credentials; LWM2M_ID_NONE: the options have them */
    char server_name[DESTINATION_URI_MAX + 1]; /* that its certificate is for, if object 0 says so; else "" */
};

/* Take a URI: a scheme that the device speaks, a host, perhaps a path and a query. `destination` must not move
 * afterwards. False: *error says in a few words what is wrong. */
bool destination_set(struct destination *destination, struct slice uri, uint16_t security, const char **error);

/* Add the Uri-Path of a resource of the server's: the path of its URI, then `name`. */
void destination_add_path(const struct destination *destination, struct coap_message *message, const char *name);

/* Add the query of its URI, an option for each parameter. The vendor's servers tell accounts that way. */
void destination_add_query(const struct destination *destination, struct coap_message *message);

#endif
