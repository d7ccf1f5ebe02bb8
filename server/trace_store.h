/* Where traces lie: for each device, and each peer that is no device yet, a *tape* of what went to and from it. Entries
 * are raw bytes; what they mean is found out when somebody asks.
 *
 * A tape is two queues of bytes, what came last and what is *pinned* (handshakes and their secrets, without which nothing
 * that follows could be opened), each in blocks of 512 bytes from one pool. So all tapes together are bounded by the pool, nothing
 * is allocated for an entry, and what has no trace costs nothing. A tape keeps so many entries and a quarter of the pool
 * at most; the oldest leave first. When the pool has no block left a whole tape goes, the one that was quiet longest:
 * a peer's while those have more than a quarter of the pool, so that strangers can't push out devices, else a device's.
 *
 * A tape is found by the name of its device, and by the last few addresses that it went over. Bytes of what has left are
 * zeroed. */
#ifndef BERTH_SERVER_TRACE_STORE_H
#define BERTH_SERVER_TRACE_STORE_H

#include "common/net/link.h"

struct trace_store;
struct trace_tape;

enum {
    TRACE_BYTES_MAX = 65536, /* of each part of an entry; what is beyond is cut off */
    TRACE_ADDRESSES = 4,     /* by which a tape is found */
    TRACE_PINNED_MAX = 64,   /* entries, and … */
    TRACE_PINNED_BYTES = 16384,
};

enum trace_kind {
    TRACE_MESSAGE, /* a CoAP message in `content`; in `wire` the datagram or bytes that it went in, when those are its own */
    TRACE_INNER, /* what the message `of` has inside (OSCORE), as a datagram would have it */
    TRACE_WIRE, /* a datagram or bytes of a connection that are no single message: handshakes, alerts, what is partial */
    TRACE_SECRET, /* `content` is a line of an NSS key log */
};

struct trace_entry {
    uint64_t id; /* rises with each entry of the store, from 1 */
    uint64_t time_ms;
    uint64_t of;     /* a message: the entry that has its bytes on the wire; TRACE_INNER: the message; 0: none */
    uint32_t size;   /* bytes on the wire that a message takes */
    uint32_t offset; /* of `wire` in what went this way over the connection; wraps */
    uint8_t kind;    /* enum trace_kind */
    uint8_t transport, framing; /* enum link_transport, enum link_framing */
    uint8_t listener;           /* its number */
    bool sent;
    bool is_plain; /* `content` is `wire` itself: a datagram without security */
    struct address peer, local;
    struct slice wire, content;
    struct slice endpoint; /* whose tape it is on; empty: nobody's. Not looked at when appending */
};

/* `bytes` of blocks, at least 64 KiB. NULL when out of memory. */
struct trace_store *trace_store_new(size_t bytes, uint32_t entries_max);
void trace_store_free(struct trace_store *store);

/* ---- tapes; pointers are good until the next call that appends or changes tapes ---- */

struct trace_tape *trace_device(const struct trace_store *store, struct slice endpoint);
struct trace_tape *trace_peer(const struct trace_store *store, uint8_t listener, const struct address *address);

/* The same, made when there is none; NULL when out of memory. */
struct trace_tape *trace_make_device(struct trace_store *store, struct slice endpoint);
struct trace_tape *trace_make_peer(struct trace_store *store, uint8_t listener, const struct address *address);

/* A number by which a tape is found at once, as long as it is the one of this link and its owner: 0 when it can't have one.
 * Whoever remembers it asks with the same link; another tape may have the number by then. */
uint32_t trace_tape_number(struct trace_store *store, struct trace_tape *tape, const struct link *link);
struct trace_tape *trace_tape_at(const struct trace_store *store, uint32_t number, const struct link *link);

/* Whose it is; empty: nobody's. */
struct slice trace_tape_endpoint(const struct trace_tape *tape);

/* The device is found at this address: what is on a tape of nobody's there becomes its own. */
void trace_store_follow(struct trace_store *store, struct slice endpoint, uint8_t listener,
                        const struct address *address);

/* What goes over this address is on a tape of nobody's from now on: the one that is there, or a new one. */
struct trace_tape *trace_store_part(struct trace_store *store, uint8_t listener, const struct address *address);

/* Whoever is found at `from` is found at `to`, too. */
void trace_store_move(struct trace_store *store, uint8_t listener, const struct address *from,
                      const struct address *to);

void trace_store_drop(struct trace_store *store, struct trace_tape *tape);
void trace_store_clear(struct trace_store *store);

/* ---- entries ---- */

/* Add an entry with the next id, which is returned; 0 when there is no room for it. */
uint64_t trace_append(struct trace_store *store, struct trace_tape *tape, const struct trace_entry *entry, bool pinned);

uint64_t trace_last_id(const struct trace_store *store);

struct trace_ref {
    uint64_t id;
    const struct trace_tape *tape;
    uint32_t block;
    uint16_t at;
};

/* The entries of a tape, or of all (NULL), by id; allocated, to be freed, and good until the store changes. NULL: none, or
 * out of memory. */
struct trace_ref *trace_list(const struct trace_store *store, const struct trace_tape *tape, size_t *count);

/* Slices of *entry are good until the next call, or the store changes. False when out of memory. */
bool trace_get(struct trace_store *store, const struct trace_ref *ref, struct trace_entry *entry);

struct trace_counters {
    uint64_t entries, dropped;      /* ever; of them gone for want of room */
    uint64_t bytes, devices, peers; /* now: bytes in blocks that are used; tapes */
};
struct trace_counters trace_store_counters(const struct trace_store *store);

#endif
