/* What went to and from every device, as bytes: messages, the datagrams and records they went in, handshakes, what OSCORE
 * had inside. Transports and the CoAP layer tell it here as it happens; it is decoded when somebody asks (web/v1).
 * trace_store.h says where it lies and how it is bounded. With `--trace off` there is no trace, and server->trace is NULL.
 *
 * A device's trace goes on over addresses, sessions and registrations. What came from an address before the device was
 * known there, its handshake and its Register, becomes part of it when it has registered or is bootstrapped. */
#ifndef BERTH_SERVER_TRACE_H
#define BERTH_SERVER_TRACE_H

#include "common/coap/message.h"
#include "server/server.h"
#include "server/trace_store.h"

struct trace;

/* As the server's settings say. NULL when out of memory. */
struct trace *trace_new(struct server *server);
void trace_free(struct trace *trace);

/* For whoever reads. What was told and is not complete yet becomes an entry first. */
struct trace_store *trace_store_of(struct trace *trace);

/* ---- told by what carries messages ---- */

/* A message that has come or leaves, as struct link_watcher has it. */
void trace_message(struct trace *trace, struct link *link, bool sent, struct slice message, size_t wire);

/* The inner message of the protected one that was told before (`sent` false), or will be told next (true). `base` is the
 * link that carries it. */
void trace_inner(struct trace *trace, struct link *base, bool sent, const struct coap_message *inner);

/* A datagram of a DTLS listener, before it is looked at and after; in between trace_message tells whose it is. Its bytes are
 * copied. */
void trace_datagram_came(struct trace *trace, const struct listener *listener, const struct address *peer,
                         const struct address *local, struct slice datagram);
void trace_datagram_taken(struct trace *trace);
void trace_datagram_sent(struct trace *trace, const struct listener *listener, const struct address *peer,
                         const struct address *local, struct slice datagram);

/* Bytes of a TCP or TLS connection; `offset` is how many went that way before. */
void trace_stream(struct trace *trace, struct link *link, bool sent, uint32_t offset, const struct slice *parts,
                  size_t count);

/* A line of an NSS key log, of the handshake with this peer. */
void trace_keys(struct trace *trace, const struct listener *listener, const struct address *peer, const char *line);

/* ---- told by what knows devices ---- */

/* The device is there now. */
void trace_follow(struct trace *trace, struct slice endpoint, const struct link *link);

/* The session's peer has moved. */
void trace_moved(struct trace *trace, const struct link *link, const struct address *from);

/* ---- for whoever waits ---- */

/* Called at each new entry, when it may not be complete yet: only to be woken by it. */
struct trace_watcher {
    void (*told)(struct trace_watcher *watcher);
    struct trace_watcher *next, **link;
};
void trace_watch(struct trace *trace, struct trace_watcher *watcher);
void trace_unwatch(struct trace_watcher *watcher);

#endif
