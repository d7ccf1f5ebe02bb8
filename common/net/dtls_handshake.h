/* One handshake: an mbedtls object, what came for it, and what it wants to send. Steps that take public-key operations run
 * on libuv's pool, one at a time for each handshake; everything else happens on the loop's thread. While a step runs
 * (`busy`), what comes for the handshake waits in `inbox`. Who the peer is, proof.h finds out.
 *
 * mbedtls is handed one record at a time, and those of a coming epoch only when it has got there: it would throw away a
 * Finished that comes early under a connection ID, and the flight would have to come again (RFC 6347 §4.2.4). A Finished
 * that does not verify is dropped before mbedtls sees it (§4.1.2.7): it may be forged. */
#ifndef BERTH_NET_DTLS_HANDSHAKE_H
#define BERTH_NET_DTLS_HANDSHAKE_H

#include "common/net/dtls.h"
#include "common/net/dtls_layer.h"
#include "common/net/hello.h"
#include "common/net/proof.h"
#include "common/net/record.h"

struct handshake;

struct handshake_host {
    void (*send)(void *arg, struct handshake *hs, struct slice datagram);
    /* A step is over: look at `state`, `plain` and `inbox`. May free the handshake. */
    void (*stepped)(void *arg, struct handshake *hs);
    void (*timed_out)(void *arg, struct handshake *hs); /* likewise */
};

/* What the handshakes of one struct dtls share. */
struct handshake_engine {
    struct proof_engine proofs;
    const struct clock *clock;
    struct timer_wheel *wheel;
    const struct dtls_params *params;
    struct handshake_host host;
    void *arg;
};

/* A record that waits. */
struct handshake_record {
    struct handshake_record *next;
    struct address from;
    size_t len;
    uint8_t bytes[];
};

struct handshake_queue {
    struct handshake_record *first;
    size_t count, bytes;
};

enum handshake_state {
    HANDSHAKE_GATHERING, /* of a ClientHello in pieces */
    HANDSHAKE_RUNNING,
    HANDSHAKE_OVER,   /* proven; mbedtls stays for lost flights, renegotiation, and suites that record.h has not */
    HANDSHAKE_FAILED, /* proof.fault */
    HANDSHAKE_CLOSED, /* proven, and then the peer has closed (close_notify) */
};

enum { HANDSHAKE_OUT_MAX = 8192 };

struct handshake {
    struct handshake_engine *engine;
    struct proof proof; /* also the listener, this step's time, and the fault of a failed handshake */
    struct address peer, local;
    enum handshake_state state;
    int alert_sent, alert_received; /* -1: none */
    struct dtls_traffic traffic;    /* handshake_… */
    uint64_t begun_ms;

    /* For whoever keeps it. */
    struct handshake *hash_next, *hash_next_cid, *fed_next;
    bool is_fed;
    void *session;

    /* The client's hello. */
    uint8_t random[32];
    struct hello_assembly *assembly; /* while GATHERING */

    uint32_t exports;       /* how often keys were agreed on: 2 after a renegotiation */
    uint32_t exports_known; /* of them, the owner has dealt with (it sets this) */
    uint8_t client_random[32], server_random[32], master[48];
    const struct cipher_suite *suite;
    struct dtls_keys keys; /* of record.h, for AEAD suites; the window and numbers are mbedtls' */
    uint32_t bad_finished; /* that did not verify */

    const struct dtls_layer *layer;
    mbedtls_ssl_context ssl;
    uint8_t cid[DTLS_CID_MAX];
    uint8_t cid_len; /* 0: none is offered to the client */
    bool live;       /* the session stays with mbedtls */
    bool pooled;     /* steps run on the pool */

    /* mbedtls' timer. */
    uint64_t intermediate_ms, final_ms;
    bool timer_is_set;
    struct timer retransmit, timeout;

    struct handshake_queue records; /* for mbedtls */
    struct handshake_queue inbox;   /* that came while busy */
    struct address current_from;    /* of the record that mbedtls was handed last */
    uint32_t current_len;           /* and its bytes */
    size_t out_len;
    uint8_t out[HANDSHAKE_OUT_MAX]; /* datagrams, each behind its length in two bytes */
    uint8_t *plain; /* application data of a live session; RECORD_CONTENT_MAX bytes, NULL until needed */
    size_t plain_len;

    struct proof_step step;
    bool busy; /* a step is on the pool: only it may look at what comes of steps, the state for one */
    bool doomed;
    bool suspect; /* for the owner: identities were dropped while it was busy */
};

/* NULL when out of memory. The time-out runs from now on. */
struct handshake *handshake_new(struct handshake_engine *engine, struct listener *listener, const struct address *peer,
                                const struct address *local);

/* Free it, at once or when its step has come back from the pool; nothing is called any more. */
void handshake_free(struct handshake *hs);

/* The ClientHello is known: make the mbedtls object. `cid` of `cid_len` bytes is offered when that is not 0. False: out of
 * memory. Feed the hello's records then. */
bool handshake_start(struct handshake *hs, const struct client_hello *hello, const struct dtls_layer *layer,
                     const uint8_t *cid, size_t cid_len);

/* Put a record into the queue without a step. Dropped when there is too much already. */
void handshake_hold(struct handshake *hs, const struct address *from, struct slice record);

/* Run a step with what is in the queue, unless one is running: then the record should have gone to `inbox`, which
 * handshake_hold does by itself. `stepped` comes at the end, at once for steps that do not go to the pool. */
void handshake_step(struct handshake *hs);

/* Protect and send application data by mbedtls. -EAGAIN while a step is on the pool. */
int handshake_write(struct handshake *hs, struct slice message);

/* The keys as of now, for record.h to go on: with numbers, window, CIDs and fragment length. Only when OVER, not busy, and
 * with an AEAD suite. */
struct dtls_keys handshake_keys(const struct handshake *hs);

/* What mbedtls has seen as the newest record number. */
uint64_t handshake_newest(const struct handshake *hs);

/* Whether a handshake is under way, the first one or a renegotiation. Only when not busy. */
bool handshake_is_under_way(const struct handshake *hs);

/* Send a close_notify, unless a step is on the pool. */
void handshake_say_bye(struct handshake *hs);

/* Any alert (RFC 5246 §7.2): `level` is 1 or 2. */
void handshake_send_alert(struct handshake *hs, uint8_t level, uint8_t alert);

/* Everything that waits in a queue, in order, as a list that the caller frees. */
struct handshake_record *handshake_take_all(struct handshake_queue *queue);

/* No renegotiation from now on: warned off (RFC 5246 §7.2.2, no_renegotiation). */
void handshake_refuse_renegotiation(struct handshake *hs);

#endif
