/* What happens when a device's message is refused, or taken although a standard does not allow it: an event tells it, so
 * that a test can ask for it, and a refusal is answered. */
#ifndef BERTH_SERVER_REFUSAL_H
#define BERTH_SERVER_REFUSAL_H

#include "server/server.h"

enum { REFUSAL_RETRY_AFTER_S = 30 };

/* Publish `rejected` with `why` and answer the request with `code`: with Max-Age when it is 5.03 (RFC 7252 §5.9.3.4).
 * The diagnostic text is the beginning of `why`, 64 bytes at most. `endpoint` is "" when no device is known. */
void refuse_request(struct server *server, const struct coap_request *request, struct slice endpoint, uint8_t code,
                    const char *why);

/* Publish `oddity`. Nothing happens when `what` is NULL. */
void tell_oddity(struct server *server, const struct coap_request *request, struct slice endpoint, const char *what);

#endif
