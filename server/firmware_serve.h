/* Firmware images over CoAP, for devices that pull (Core 1.2 Appendix E.6): GET /fw/NAME on every listener, and what the
 * vendor's clients do instead, a GET with the Proxy-Uri of the image (any path; /fw and /download are seen). In blocks of
 * any size (RFC 7959, RFC 8323 §6), from any one on, and nothing is remembered between them: a download goes on after a
 * restart of the server, and from another address. */
#ifndef BERTH_SERVER_FIRMWARE_SERVE_H
#define BERTH_SERVER_FIRMWARE_SERVE_H

#include "server/server.h"

/* Answer a request for /fw/`name`. */
void firmware_serve(struct server *server, const struct coap_request *request, struct slice name);

/* Answer a request with a Proxy-Uri that firmware_forwards took. */
void firmware_serve_url(struct server *server, const struct coap_request *request);

/* Whether a Proxy-Uri may be that of an image: for coap_handlers. `arg` is the server. */
bool firmware_forwards(void *arg, struct link *link, struct slice uri);

#endif
