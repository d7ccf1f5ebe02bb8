/* UDP listeners (RFC 7252 §3) on a libuv loop. Datagrams are received in batches with recvmmsg(2) and sent in batches
 * with sendmmsg(2); libuv watches the socket, and its own UDP handle is not used because it does not tell which local
 * address a datagram came to, and an answer must leave from there (RFC 7252 §5.3.2).
 *
 * With workers (udp_set_workers) threads fetch and send, each through sockets of its own (udp_worker.h); what has come is
 * delivered on the loop's thread all the same, and nobody above sees a difference.
 *
 * Each peer address that is in use has one struct link, found by a keyed hash of the address. */
#ifndef BERTH_NET_UDP_H
#define BERTH_NET_UDP_H

#include <uv.h>

#include "common/base/hash.h"
#include "common/net/link.h"
#include "common/net/udp_worker.h"

enum { UDP_WORKERS_MAX = 64 };

struct udp;

/* A datagram has come. `link` lives through the call; take a reference to keep it. */
typedef void udp_receive_fn(void *arg, struct link *link, struct slice datagram);

/* Everything of one process: shared receive buffers, and the listeners. Ends the process when out of memory. */
struct udp *udp_new(uv_loop_t *loop, udp_receive_fn *receive, void *arg);

/* Before the first udp_listen: `count` threads, at most UDP_WORKERS_MAX, fetch and send; with 1 the loop does so itself. 0,
 * or a negative errno: then only udp_close. */
int udp_set_workers(struct udp *udp, size_t count);

/* When all listeners listen: they begin. 0, or a negative errno as above. Nothing without workers. */
int udp_start_workers(struct udp *udp);

/* A datagram has come to a listener of another transport than LINK_UDP. Its bytes may be changed. */
typedef void udp_datagram_fn(void *arg, struct listener *listener, const struct address *peer,
                             const struct address *local, uint8_t *datagram, size_t len);

/* Who gets the datagrams of such listeners; there are no links for them here. */
void udp_set_datagram_handler(struct udp *udp, udp_datagram_fn *handler, void *arg);

/* Send a datagram through `listener` with the next batch; the bytes are copied. `local` may be NULL. -EDESTADDRREQ when
 * `listener` is not one of ours or the families don't fit, -EMSGSIZE. */
int udp_send(struct udp *udp, struct listener *listener, const struct address *peer, const struct address *local,
             struct slice datagram);

/* Bind `listener->address` and start to receive. Fills in the real port. Returns 0 or a negative errno. The listener
 * must outlive the udp. An IPv6 wildcard takes IPv4 too. */
int udp_listen(struct udp *udp, struct listener *listener);

/* The link to `peer` through `listener`, made when there is none; the caller gets a reference. `local` may be NULL.
 * NULL when `listener` is not one of ours or the families don't fit. */
struct link *udp_link(struct udp *udp, struct listener *listener, const struct address *peer,
                      const struct address *local);

/* ---- datagrams that come and go by way of other nodes (server/relay_door.h) ----
 *
 * The port of a local address, which is of no other use, says which way: 0 before udp_set_ways, `own` for what has come to
 * our own sockets. Anything else is offered to `send`; when that returns false, and nobody is there to take it, it leaves
 * from here, whatever address that is. */
typedef bool udp_way_fn(void *arg, struct listener *listener, const struct address *peer, const struct address *local,
                        struct slice datagram);

/* `send` NULL: there are no other ways any more. */
void udp_set_ways(struct udp *udp, uint16_t own, udp_way_fn *send, void *arg);

/* A datagram has come to `listener` by another way, as `local` says. Its bytes may be changed. */
void udp_deliver(struct udp *udp, struct listener *listener, const struct address *peer, const struct address *local,
                 uint8_t *datagram, size_t len);

/* Another port from now on, drawn by the system, as when a NAT forgets: `listener`, which must have one socket (no
 * workers), and its links stay. What has come to the old port and was not read is lost. 0, or a negative errno and nothing has changed. */
int udp_rebind(struct udp *udp, struct listener *listener);

/* Send what waits in the batches now; happens by itself before the loop sleeps. */
void udp_flush(struct udp *udp);

struct udp_counters {
    uint64_t received, received_bytes, sent, sent_bytes, send_failed;
    uint64_t dropped; /* by the system, because nobody fetched them in time */
    uint64_t links;   /* now */
};
struct udp_counters udp_counters(const struct udp *udp);

/* 0: the loop does it itself. */
size_t udp_worker_count(const struct udp *udp);
/* Of the one at `number`, from 0. */
struct udp_worker_counters udp_counters_of_worker(const struct udp *udp, size_t number);

/* Close the sockets; the memory is freed when the loop has run their close callbacks. Links must be gone by then. */
void udp_close(struct udp *udp);

#endif
