/* Connections of a TCP port, or to others: bytes in, bytes out, and when to stop. What the bytes mean is the business of
 * whoever opened the port; TLS will find its place between this and them.
 *
 * Reading uses one buffer for all connections. Writing tries the socket first and queues what it does not take, so a
 * reader that is slow costs memory, and never time; whoever writes looks at tcp_queued and stops in time. */
#ifndef BERTH_NET_TCP_H
#define BERTH_NET_TCP_H

#include <uv.h>

#include "common/net/address.h"

struct tcp_port;

/* First member of whatever the owner keeps for a connection; zeroed memory. */
struct tcp_connection {
    uv_tcp_t handle;
    struct tcp_port *port;
    struct tcp_connection *next, **link; /* of the port's connections */
    uint64_t progress_ms;                /* loop time at which queued output was last seen to shrink */
    size_t seen_queued;                  /* how much was queued then */
    int error;                           /* why it was closed: a negative error of uv, or 0 when it came to its end */
    bool connecting, reading, peer_ended, finishing, shut_down, closing;
    bool output_ended; /* tcp_end_output */
};

/* When a peer that has silently gone is noticed; 0: left to the system. */
struct tcp_patience {
    uint32_t
        keepalive_s; /* silence before it is asked whether it is there (SO_KEEPALIVE), and how often after that … */
    uint32_t keepalive_interval_s, keepalive_count;
    uint32_t unacknowledged_ms; /* what was sent may go without an acknowledgement for so long (TCP_USER_TIMEOUT) */
};

/* None is called from within a function of this header. `closed` is the last call for a connection. `drained` and
 * `swept` may be NULL. */
struct tcp_handlers {
    struct tcp_connection *(*open)(void *arg);         /* memory for a new one; NULL: refuse it */
    void (*opened)(struct tcp_connection *connection); /* it is connected */
    void (*received)(struct tcp_connection *connection, struct slice bytes);
    void (*ended)(struct tcp_connection *connection);                   /* the peer will send no more */
    void (*drained)(struct tcp_connection *connection);                 /* queued output has left */
    void (*closed)(struct tcp_connection *connection);                  /* free it */
    void (*swept)(struct tcp_connection *connection, uint64_t loop_ms); /* about once a second */
    void (*port_closed)(void *arg);                                     /* the last connection has gone too */
    struct tcp_patience patience;
};

/* NULL with one line in `error`. */
struct tcp_port *tcp_listen(uv_loop_t *loop, const struct address *address, const struct tcp_handlers *handlers,
                            void *arg, char *error, size_t error_size);

/* A port that nobody can connect to, for connections that we open. NULL when out of memory. */
struct tcp_port *tcp_port_new(uv_loop_t *loop, const struct tcp_handlers *handlers, void *arg);

/* Connect to `peer`: `open` gives the memory, `opened` is called when it is connected, `closed` when that fails. What is
 * written before goes out then. Returns 0 or a negative error of uv; `closed` is called in that case, too, unless there
 * was no memory for the connection. */
int tcp_connect(struct tcp_port *port, const struct address *peer);

/* Take over a connection that another one has accepted: `peer` and `local` are whose it is, `ahead` what was read from it.
 * `opened` and `received` are called before this returns. False: it was closed. */
bool tcp_adopt(struct tcp_port *port, int fd, const struct address *peer, const struct address *local,
               struct slice ahead);

/* The connection's descriptor for tcp_adopt, the caller's from now on; the connection closes. -1: it can't be had. */
int tcp_hand_over(struct tcp_connection *connection);

/* Whose it is and where it came to. Zero where that is not known. */
void tcp_read_addresses(const struct tcp_connection *connection, struct address *peer, struct address *local);

/* Where it listens, with the real port. */
struct address tcp_port_address(const struct tcp_port *port);

/* Listening alone does not keep the loop running. */
void tcp_port_unref(struct tcp_port *port);

/* Its connections, linked by `next`; those that are closing are not among them. */
struct tcp_connection *tcp_port_connections(const struct tcp_port *port);

/* Close it and its connections; frees itself once `port_closed` has been called. */
void tcp_port_close(struct tcp_port *port);

/* Send the parts, one after the other. What the socket does not take now is copied. */
void tcp_write(struct tcp_connection *connection, const struct slice *parts, size_t count);

/* Bytes that wait for the peer to take them. */
size_t tcp_queued(const struct tcp_connection *connection);

/* Whether the peer is to be heard. A connection starts reading. */
void tcp_set_reading(struct tcp_connection *connection, bool reading);

/* Send what is queued, then the end of the stream, and close when the peer has closed as well, or a moment later: if we
 * closed while bytes of its still came, it would get a reset and lose our last words. */
void tcp_finish(struct tcp_connection *connection);

/* Send what is queued, then the end of the stream; what comes is heard on. It closes when the peer has ended as well. */
void tcp_end_output(struct tcp_connection *connection);

/* Close now; `closed` follows from the loop. */
void tcp_close(struct tcp_connection *connection);

/* Likewise, with a reset: what was sent and has not arrived yet is lost. */
void tcp_reset(struct tcp_connection *connection);

#endif
