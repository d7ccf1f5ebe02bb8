/* OSCORE as the server runs it: contexts of credentials, found by recipient ID; sender numbers that are reserved in the
 * database before they are used; what becomes of registrations when a device moves or derives its context anew. The
 * protocol is common/oscore/channel.h.
 *
 * A context is known by a digest of its keys as configured, and what is stored of it stays when its credential goes: should
 * the same keys come back, numbers go on where they ended. Nothing of it is secret. */
#ifndef BERTH_SERVER_OSCORE_SERVICE_H
#define BERTH_SERVER_OSCORE_SERVICE_H

#include "common/oscore/channel.h"
#include "server/server.h"

/* Speak OSCORE from now on, once there is a credential for it. False: one line in `error`. */
bool oscore_service_begin(struct server *server, char *error, size_t error_size);

/* Bring back numbers and contexts, after credentials and before registrations. False: one line in `error`. */
bool oscore_service_load(struct server *server, char *error, size_t error_size);

/* No more: channels are given back when nobody uses them. Before server->coap is freed… */
void oscore_service_end(struct server *server);

/* …and after it, and registrations, are. */
void oscore_service_free(struct server *server);

/* The link of a registration that was made with OSCORE, reached over `carrier`; when its credential is gone, one by which
 * nothing can be reached. The caller gets a reference. NULL when out of memory. */
struct link *oscore_service_link(struct server *server, const struct store_registration *row, struct link *carrier);

/* A credential of mode oscore is in force. */
void oscore_service_credential_put(struct server *server);

/* A credential is not in force any more (credential_gone_fn). */
void oscore_service_credential_gone(struct server *server, const struct credential *credential);

/* The next request of the device is answered with nonces of Appendix B.2. False: it has not come with OSCORE. */
bool oscore_service_rederive(struct server *server, struct link *link);

#endif
