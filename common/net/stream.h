/* Links over TCP and TLS connections: each is one connection of a peer, its framing told by its first bytes (framing.h), its
 * messages handed over whole. A link outlives its connection, as `closed`: whoever holds it learns that nothing can be
 * sent over it any more.
 *
 * An idle connection costs about 900 bytes: bytes are read into one buffer for all of them, and only the beginning of a
 * message that is not complete is kept, in memory that grows with what has come and never with what was announced. */
#ifndef BERTH_NET_STREAM_H
#define BERTH_NET_STREAM_H

#include <uv.h>

#include "common/base/clock.h"
#include "common/base/timer_wheel.h"
#include "common/net/link.h"
#include "common/net/tls.h"

struct streams;

struct stream_options {
    uint32_t max_connections; /* that others open; one more is closed at once */
    uint32_t max_message;     /* largest message taken, with its header or prefix */
    size_t max_partial_bytes; /* of messages that are not complete yet, all connections together */
    uint32_t idle_ms;         /* a connection that nobody uses (is_used) and that is silent is closed; 0: never */
};

/* None is called from within a function of this header. */
struct stream_handlers {
    /* Connected, and with TLS the peer is proven; its framing is not known yet, unless it is ours. Of a connection whose
     * handshake comes to nothing, only `tls` tells. */
    void (*opened)(void *arg, struct link *link);
    /* A message: a whole frame of RFC 8323, or what followed a length. */
    void (*received)(void *arg, struct link *link, struct slice message);
    /* What comes can't be taken apart, or may not: close the link, after a last word where there is one. */
    void (*broken)(void *arg, struct link *link, const char *why);
    /* `link->closed` is set now. `why` is for a person. */
    void (*closed)(void *arg, struct link *link, const char *why);
    /* Something that a standard does not allow is tolerated. */
    void (*oddity)(void *arg, struct link *link, bool rejected, const char *what);
    /* For those who watch: bytes of the connection, of which `offset` went that way before (it wraps). What is sent may be
     * in two parts. NULL: nobody. */
    void (*wire)(void *arg, struct link *link, bool sent, uint32_t offset, const struct slice *parts, size_t count);
    bool (*is_used)(void *arg, const struct link *link); /* a silent one stays; NULL: none does */
    void (*refused)(void *arg,
                    struct listener *listener); /* max_connections was reached: told once, until there is room */
};

/* Both clock and wheel must outlive it. Ends the process when out of memory. */
struct streams *streams_new(uv_loop_t *loop, const struct stream_options *options,
                            const struct stream_handlers *handlers, void *arg, const struct clock *clock,
                            struct timer_wheel *wheel);

/* What connections of LINK_TLS listeners speak; before the first of them listens. It must outlive the streams' close
 * callbacks (tls_close sees to it). */
void streams_serve_tls(struct streams *streams, struct tls *tls);

/* Bind `listener->address` and accept. Fills in the real port. The listener must outlive the streams. False with one
 * line in `error`. */
bool stream_listen(struct streams *streams, struct listener *listener, char *error, size_t error_size);

/* A connection that another one has accepted for `listener`: as if it had come there from `peer`. The descriptor is taken.
 * False: it was closed. */
bool stream_adopt(struct streams *streams, struct listener *listener, int fd, const struct address *peer,
                  const struct address *local);

/* Connect to `peer`; `listener` is what the link shows. What is sent before it is connected goes out then; `closed` is
 * called when it can't be. The caller gets a reference. NULL when out of memory. */
struct link *stream_connect(struct streams *streams, struct listener *listener, const struct address *peer,
                            enum link_framing framing);

/* ---- for faults that are ordered; nothing happens when the link is no open connection ---- */

/* End it with a reset, or with the end of the stream alone: over TLS without the goodbye (close_notify) that link_close
 * sends. */
void stream_reset(struct link *link, const char *why);
void stream_cut(struct link *link, const char *why);

/* Half-open: nothing is read from it any more, until it is let go; whoever sends does not get through. */
void stream_stall(struct link *link, bool stalled);

/* ---- */

/* When something was last sent over it, in protocol time; since it was opened. */
uint64_t stream_sent_ms(const struct link *link);

/* A link whose connection was of an earlier run: closed from the beginning, with the identity that it had (copied; NULL:
 * none). The caller gets a reference; NULL when out of memory. */
struct link *stream_closed_link(struct listener *listener, const struct address *peer, const struct address *local,
                                const struct link_identity *identity);

/* False: it is no open TLS connection. */
bool stream_describe_tls(const struct link *link, struct tls_description *description);

struct stream_counters {
    uint64_t accepted, refused, closed, bytes_in, bytes_out;
    uint64_t connections;   /* now */
    uint64_t partial_bytes; /* now */
};
struct stream_counters stream_counters(const struct streams *streams);

/* Close everything; nothing more is told. Memory is freed when the loop has run the close callbacks; links stay as long
 * as somebody holds them. */
void streams_close(struct streams *streams);

#endif
