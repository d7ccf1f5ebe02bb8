/* HTTP at a node that stands by (db/cluster.h): it says that it lives, that it is not the one to be asked, and which nodes
 * there are. Everything else is at the node that serves. */
#ifndef BERTH_WEB_STANDBY_H
#define BERTH_WEB_STANDBY_H

#include <uv.h>

#include "db/cluster.h"
#include "server/config.h"

struct standby;

/* Listen wherever config->http says; a port 0 there becomes the one that was given, so that it stays when the node comes to
 * serve. HTTPS only with a certificate in files. NULL with one line in `error`. */
struct standby *standby_start(uv_loop_t *loop, struct config *config, char *error, size_t error_size);

/* It is asked for the nodes; NULL until then. */
void standby_know(struct standby *standby, struct cluster *cluster);

/* The URI of the API for others: with the host's name where it listens at every address. */
void standby_put_uri(const struct standby *standby, char uri[128]);

/* "http://127.0.0.1:8080", of the listener of that number. */
void standby_put_listener(const struct standby *standby, size_t number, char uri[128]);

/* The memory is freed when the loop has run the close callbacks. */
void standby_stop(struct standby *standby);

#endif
