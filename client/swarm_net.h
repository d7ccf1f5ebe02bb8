/* Where the devices of a swarm send from (swarm.h): each has an address or a port of its own, so that to the server they
 * are as many peers. A server at 127.0.0.0/8 is reached through one socket, in batches, from as many addresses there
 * (127.1.0.0 and up); any other one from a socket for each device, so from one address there can be some 60,000 at most,
 * and as many as there may be open files. */
#ifndef BERTH_CLIENT_SWARM_NET_H
#define BERTH_CLIENT_SWARM_NET_H

#include <uv.h>

#include "common/net/link.h"

struct swarm_net;

/* A datagram from the server. Its bytes may be changed. */
typedef void swarm_net_fn(void *arg, size_t device, uint8_t *datagram, size_t len);

struct swarm_net_counters {
    uint64_t sent, sent_bytes, received, received_bytes, send_failed;
};

/* `bind`: where to send from, or NULL. NULL: one line in `error`. */
struct swarm_net *swarm_net_open(uv_loop_t *loop, const struct address *server, const struct address *bind,
                                 size_t devices, swarm_net_fn *receive, void *arg, char *error, size_t error_size);

/* Best effort, as a network is. 0 or a negative errno. */
int swarm_net_send(struct swarm_net *net, size_t device, struct slice datagram);

/* The device has another address or port from now on, and what is sent to the old one does not reach it. False: there is
 * none left. */
bool swarm_net_move(struct swarm_net *net, size_t device);

struct swarm_net_counters swarm_net_counters(const struct swarm_net *net);

/* The memory is freed when the loop has run the close callbacks. */
void swarm_net_close(struct swarm_net *net);

#endif
