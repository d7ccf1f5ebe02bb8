/* What dtls.c (the way in, and the interface), dtls_begin.c (from a ClientHello to a session) and dtls_association.c
 * (sessions) share. For them only. */
#ifndef BERTH_NET_DTLS_STATE_H
#define BERTH_NET_DTLS_STATE_H

#include "common/net/cookie.h"
#include "common/net/dtls_session.h"

struct pending_table {
    struct handshake **by_address, **by_cid; /* `buckets` of each */
    size_t buckets;                          /* a power of two */
    size_t count;
    struct hash_key key;
};

struct dtls {
    struct dtls_params params;
    struct dtls_handlers handlers;
    void *arg;
    struct timer_wheel *wheel;
    const struct clock *clock;
    struct dtls_setup setup;
    struct handshake_engine engine;
    struct session_table sessions;
    struct pending_table pending;
    struct cookie_jar cookies;
    /* Rates, by the second. */
    uint64_t second;
    uint32_t hellos_this_second, begun_this_second;
    struct handshake *fed; /* those that were given records and are due for a step, by fed_next */
    struct timer idle;     /* when the session that was quiet longest is due to go */
    struct dtls_counters counters;
    uv_prepare_t closer;
    unsigned closed_handles;
    bool closing;
    bool writing;           /* what mbedtls sends now is application data */
    uint8_t trial[1 << 16]; /* a record to be opened without harm to the original */
    uint8_t out[RECORD_CONTENT_MAX + RECORD_OVERHEAD_MAX];
};

/* One record of a datagram. */
struct arrival {
    struct listener *listener;
    const struct address *peer, *local;
    uint8_t *bytes; /* header and all */
    size_t len;
    struct record_header header;
    bool first; /* of its datagram */
};

/* ---- dtls.c ---- */

/* Hand a record to whom it belongs. */
void dtls_dispatch(struct dtls *dtls, struct arrival *arrival);

/* Put a record into a handshake's queue. A step follows when the datagram has been read to its end. */
void dtls_feed(struct dtls *dtls, struct handshake *hs, const struct arrival *arrival);

/* Run the steps that are due. */
void dtls_step_fed(struct dtls *dtls);

/* No step is due any more; before it is freed. */
void dtls_unfeed(struct dtls *dtls, struct handshake *hs);

/* Hand on records that waited for a step, and free them. */
void dtls_dispatch_waiting(struct dtls *dtls, struct listener *listener, const struct address *local,
                           struct handshake_record *first);

/* Send a datagram and tell who watches. */
int dtls_transmit(struct dtls *dtls, struct listener *listener, const struct address *peer, const struct address *local,
                  struct slice datagram);

/* ---- dtls_begin.c ---- */

bool pending_init(struct dtls *dtls);
void pending_free(struct dtls *dtls); /* the table, and all that are in it */

struct handshake *pending_find(const struct dtls *dtls, const struct listener *listener, const struct address *peer);

/* A ClientHello in epoch 0, or part of one. */
void pending_on_hello(struct dtls *dtls, const struct arrival *arrival, const struct hello_fragment *fragment);

/* End the pending handshakes for which `matches` says so. */
void pending_drop(struct dtls *dtls, bool (*matches)(const struct link_identity *identity, const void *arg),
                  const void *arg);

extern const struct handshake_host pending_host;
extern const struct proof_host pending_proof_host;

/* ---- dtls_association.c ---- */

/* A handshake is proven: make the session, tell the owner. The session has the handshake from now on. False: out of
 * memory. */
bool association_establish(struct dtls *dtls, struct handshake *hs);

/* A step of an established session's mbedtls object is over. May free it. */
void association_stepped(struct dtls *dtls, struct handshake *hs);

/* No application record has come: go on without mbedtls, if that can be. */
void association_timed_out(struct dtls *dtls, struct handshake *hs);

/* A record that may be this session's. */
void association_receive(struct dtls *dtls, struct dtls_session *session, struct arrival *arrival);

/* Whether it is this session's, tried on a copy. */
bool association_accepts(struct dtls *dtls, struct dtls_session *session, const struct arrival *arrival);

/* Whether only mbedtls can open its records now. */
bool association_is_with_mbedtls(const struct dtls_session *session);

/* Out of the tables; the owner is told unless `dtls` is closing. */
void association_end(struct dtls_session *session, enum dtls_end end, struct link *successor);

#endif
