/* HTTP at a node that stands by (db/cluster.h): it says that it lives, whether it passes on what comes, and which nodes there
 * are. Everything else is passed on to the node that serves (server/relay.h), connection by connection: the first line of
 * its first request tells. When nothing can be passed on, it says so. */
#ifndef BERTH_WEB_STANDBY_H
#define BERTH_WEB_STANDBY_H

#include <uv.h>

#include "db/cluster.h"
#include "server/config.h"
#include "server/relay.h"

struct standby;

/* Listen wherever config->http says; a port 0 there becomes the one that was given, so that it stays when the node comes to
 * serve. HTTPS only with a certificate in files. NULL with one line in `error`. */
struct standby *standby_start(uv_loop_t *loop, struct config *config, char *error, size_t error_size);

/* It is asked for the nodes, and passes on; NULL until then. `relay` may be NULL, and lives shorter: it is not used any more
 * after standby_stop, which comes after relay_stop without a turn of the loop between them. */
void standby_know(struct standby *standby, struct cluster *cluster, struct relay *relay);

/* HOST:PORT for others: with the host's name for a wildcard. */
void standby_put_authority(const struct address *address, char authority[128]);

/* The URI of the API for others: with the host's name where it listens at every address. */
void standby_put_uri(const struct standby *standby, char uri[128]);

/* "http://127.0.0.1:8080", of the listener of that number. */
void standby_put_listener(const struct standby *standby, size_t number, char uri[128]);

/* The memory is freed when the loop has run the close callbacks. */
void standby_stop(struct standby *standby);

#endif
