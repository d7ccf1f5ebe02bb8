/* A thread that fetches and sends datagrams beside the loop (`--workers`), so that the loop's core has nothing to do with
 * the kernel's part of it, which is the larger one. It has sockets of its own (udp_socket_open_beside), a ring of what has
 * come (base/ring.h) and one of what is to leave; what it knows of datagrams are their addresses. Everything else stays on
 * the loop's thread, which calls all functions here.
 *
 * Datagrams of a peer stay in order: the system gives them to one socket, and a ring keeps the order.
 *
 * A full ring loses nothing. While that of arrivals is full the thread fetches no more: the system's buffer fills, and
 * there datagrams are dropped that are too many (udp_worker_counters). When that of departures is full, the loop waits
 * for the thread as it would wait for its own system calls; the thread never waits for the loop without looking for
 * departures. */
#ifndef BERTH_NET_UDP_WORKER_H
#define BERTH_NET_UDP_WORKER_H

#include <stdatomic.h>
#include <uv.h>

#include "common/net/udp_batch.h"

enum {
    UDP_WORKER_RING = 512 << 10, /* bytes of a ring, there are two: some thousand datagrams of devices */
    UDP_WORKER_SOCKETS_MAX = 16,
};

/* By which all workers of a loop wake it. */
struct udp_bell {
    uv_async_t async;
    atomic_bool asleep; /* the loop sets it, then looks for arrivals once more, then sleeps */
};

struct udp_worker;

/* NULL: the system refuses. Ends the process when out of memory. */
struct udp_worker *udp_worker_new(struct udp_bell *bell);

/* Before the start: its number for below. The socket is the worker's to close from then on. */
uint32_t udp_worker_add_socket(struct udp_worker *worker, int fd, int family);

/* `name` is the thread's, of at most 15 bytes. 0, or a negative errno. */
int udp_worker_start(struct udp_worker *worker, const char *name);

/* What is to leave leaves, what has come is lost; sockets and memory go. Also of one that was not started. */
void udp_worker_stop(struct udp_worker *worker);

/* ---- arrivals ---- */

struct udp_arrival {
    struct address peer, local;
    uint32_t socket;
    uint8_t *bytes; /* in the ring, until udp_worker_release; to be changed at will */
    size_t len;
};

/* The next one; false: there is none. */
bool udp_worker_take(struct udp_worker *worker, struct udp_arrival *arrival);

/* Give back what was taken. */
void udp_worker_release(struct udp_worker *worker);

bool udp_worker_has_arrivals(struct udp_worker *worker);

/* ---- departures ---- */

/* As udp_send: 0 or -EMSGSIZE. The bytes are copied, and leave after udp_worker_flush at the latest. */
int udp_worker_send(struct udp_worker *worker, uint32_t socket, const struct address *peer, const struct address *local,
                    struct slice datagram);

void udp_worker_flush(struct udp_worker *worker);

/* ---- what it has done ---- */

struct udp_worker_counters {
    uint64_t received, received_bytes; /* from the system */
    struct udp_out_counters out;
    uint64_t full_in, full_out; /* how often a ring was full */
    uint64_t dropped;           /* by the system, nobody having fetched them in time */
    uint64_t cpu_ns;            /* of the thread */
};
struct udp_worker_counters udp_worker_counters(const struct udp_worker *worker);

#endif
