/* What a node that stands by does with what comes to its ports: it passes it on to the relay port of the node that serves
 * (relay_door.h). Datagrams go over one channel, and what comes back leaves from the address that the device had knocked
 * at; of connections the bytes are passed both ways, no faster than the slower side takes them. While no node serves,
 * datagrams are dropped and connections closed: devices try again.
 *
 * Bounded are the connections (--tcp-max-connections and --http-max-connections together), what waits for either side of
 * one (RELAY_PASS_MAX bytes and one read), and what waits for the channel (RELAY_QUEUED_MAX). */
#ifndef BERTH_SERVER_RELAY_H
#define BERTH_SERVER_RELAY_H

#include <uv.h>

#include "db/cluster.h"
#include "server/config.h"

enum { RELAY_PASS_MAX = 64 * 1024 };

struct relay;

/* A connection of an API client that could not be passed on, and what was read of it; the descriptor is the callee's. */
typedef void relay_back_fn(void *arg, uint32_t number, int fd, const struct address *peer, struct slice ahead);

/* Listen wherever config->listeners says; a port 0 there becomes the one that was given, so that it stays when this node
 * comes to serve. `config` and `cluster` outlive it. NULL with one line in `error`. */
struct relay *relay_start(uv_loop_t *loop, struct config *config, struct cluster *cluster, char *error,
                          size_t error_size);

/* Whether the node that serves has let this one in. */
bool relay_is_ready(const struct relay *relay);

/* Pass on a connection to the HTTP listener of that number; the descriptor is taken, `ahead` was read from it. */
void relay_pass_http(struct relay *relay, uint32_t number, int fd, const struct address *peer, struct slice ahead);

/* Who gets those that can't be. */
void relay_give_back(struct relay *relay, relay_back_fn *back, void *arg);

/* Close everything. The memory is freed when the loop has run the close callbacks. */
void relay_stop(struct relay *relay);

#endif
