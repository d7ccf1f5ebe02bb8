/* `GET /.well-known/core` (RFC 6690 §4): what a device can find here. */
#ifndef BERTH_SERVER_WELL_KNOWN_H
#define BERTH_SERVER_WELL_KNOWN_H

#include "common/coap/endpoint.h"

/* `bootstraps`: the server bootstraps devices, on listeners that are for it. */
void well_known_respond(struct coap_endpoint *endpoint, const struct coap_request *request, bool bootstraps);

#endif
