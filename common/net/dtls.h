/* DTLS 1.2 servers (RFC 6347) with connection IDs (RFC 9146, and draft-ietf-tls-dtls-connection-id-05 under extension 254).
 *
 * A datagram of a coaps listener comes in by dtls_receive. One that starts a handshake is answered without keeping
 * anything until its cookie has come back (cookie.h). A handshake is an mbedtls object, 40 KB for seconds; the steps that
 * need public-key operations run on libuv's pool. Once it is proven, the peer is a struct link: its messages are handed
 * to `receive`, and link_send protects what goes to it. With its first application record the mbedtls object is gone and
 * record.h goes on with the keys: a sleeping device costs about half a kilobyte, may come back from another address
 * (RFC 9146 §6), and is known again after a crash when its owner keeps what it is told to keep.
 *
 * What it never does: know credentials, a database or CoAP. Those are asked through `struct dtls_handlers`, always on the
 * loop's thread. From `receive`, `established`, `failed`, `moved` and `closed` anything here may be called but dtls_close;
 * from the others only dtls_session_row, dtls_session_window, dtls_describe, dtls_saved and dtls_reserved.
 *
 * Surviving a crash. A record number must never be used twice with a key, and no record be accepted twice:
 *  - `save` comes when a session has keys of its own. Its row tells up to which number it may send (`number_limit`);
 *    whoever restores a row goes on at that number. Messages wait until dtls_saved was called, which belongs behind the
 *    commit: a peer that has had an answer has a session that is kept.
 *  - `reserve` asks for more numbers, well before they run out; a restored session asks with the first message. They are
 *    used after dtls_reserved was called, which belongs behind the commit. Until then a few messages wait.
 *  - `touched` comes before each message is handed to `receive`: the replay window has moved. The owner writes it in the
 *    transaction of the message's effect, or in an earlier one.
 *  - `forget` ends it. Live sessions (below) are never saved: they have no id.
 * What is told in one call of a handler, dtls_session_row reads at any time. */
#ifndef BERTH_NET_DTLS_H
#define BERTH_NET_DTLS_H

#include <uv.h>

#include "common/base/clock.h"
#include "common/base/timer_wheel.h"
#include "common/net/link.h"

struct dtls;

enum dtls_cookie { DTLS_COOKIE_ALWAYS, DTLS_COOKIE_UNDER_LOAD, DTLS_COOKIE_NEVER };

enum {
    DTLS_PSK_KEY_MAX = 64,         /* RFC 7925 §4.2 */
    DTLS_IDENTITY_MAX = 128,       /* bytes of a PSK identity (RFC 7925 §4.2); a certificate's name is cut there */
    DTLS_CID_MAX = 32,             /* ours; a client's may be longer, then no CID is agreed on */
    DTLS_SESSION_SECRET_MAX = 512, /* bytes of a row's secret */
    DTLS_RESUME_SECRET_MAX = 512,  /* bytes of what resumes a session */
    DTLS_NUMBERS_STEP = 1024,      /* record numbers that are reserved at once */
};

struct dtls_params {
    enum dtls_cookie cookie;        /* ALWAYS */
    uint8_t cid_length;             /* 0 (no CIDs) to 32: 8 */
    uint8_t node;                   /* first byte of every CID of ours: 0 */
    bool follow_same_host;          /* a session without CID goes on from another port of its host */
    bool tickets;                   /* RFC 5077; off: clients that know both get session IDs, which cost less */
    bool hide_unknown_identities;   /* an unknown PSK identity fails like a wrong key (RFC 4279 §2) */
    bool keep_live;                 /* every session keeps its mbedtls object and none is saved: BERTH_LIVE_DTLS */
    bool ignore_dates;              /* certificates are valid whatever their dates */
    uint16_t mtu;                   /* of our flights, bytes of UDP payload: 1232 */
    uint32_t handshake_timeout_ms;  /* 60000 */
    uint32_t handshakes_max;        /* pending at once: 2000 */
    uint32_t handshakes_per_s;      /* begun: 4000; what is above waits for the client's next try */
    uint32_t under_load_pending;    /* UNDER_LOAD: cookies from so many pending handshakes on: 100 */
    uint32_t under_load_per_s;      /*             or from so many ClientHellos a second on: 200 */
    uint32_t sessions_max;          /* 1000000; then the one that was quiet longest goes */
    uint32_t sessions_per_identity; /* 8; likewise */
    uint32_t live_max;              /* of them with an mbedtls object (CBC suites): 1000; likewise */
    uint64_t session_idle_ms;       /* quiet for so long, a session goes: 30 days */
    uint64_t resume_ms;             /* how long a session can be resumed: 1 day */
    uint32_t linger_ms;             /* after our close_notify the client's CID still works: 300000 (see dtls_hang_up) */
};

void dtls_params_default(struct dtls_params *params);

/* Why a handshake came to nothing. */
enum dtls_fault {
    DTLS_FAULT_TIMEOUT,              /* the client fell silent */
    DTLS_FAULT_UNKNOWN_IDENTITY,     /* PSK identity; `identity` has it */
    DTLS_FAULT_WRONG_KEY,            /* the client's Finished did not verify until the time-out */
    DTLS_FAULT_CERTIFICATE_REFUSED,  /* by the `certificate` handler, or it can't be read */
    DTLS_FAULT_NO_CERTIFICATE,       /* the client has none */
    DTLS_FAULT_NO_COMMON_PARAMETERS, /* no suite, group, version … that both know */
    DTLS_FAULT_ALERT,                /* the client sent a fatal alert */
    DTLS_FAULT_PROTOCOL,             /* the client did what DTLS does not allow */
    DTLS_FAULT_REPLACED,             /* the client began anew */
    DTLS_FAULT_CLOSED,               /* the client has closed the connection (TLS) */
    DTLS_FAULT_INTERNAL,             /* out of memory or the like */
};

/* "timeout", "unknown_identity" … as the API names it. */
const char *dtls_fault_name(enum dtls_fault fault);

struct dtls_failure {
    struct listener *listener;
    struct address peer;
    enum dtls_fault fault;
    int alert_sent, alert_received; /* RFC 5246 §7.2, -1: none */
    struct link_identity identity;  /* what the client called itself; security LINK_NO_SECURITY: it did not */
    uint32_t bytes_in, bytes_out;   /* UDP payload */
};

/* A certificate that a client showed (RFC 5280). */
struct dtls_peer_certificate {
    struct slice der; /* the leaf */
    const struct link_identity
        *identity;      /* its name (CN, else the first dNSName, else the first URI) and fingerprint */
    bool chain_trusted; /* it leads to an authority (dtls_add_authority), dates aside */
    bool dates_good;    /* true with `ignore_dates` */
};

enum dtls_end {
    DTLS_END_CLOSED_BY_PEER, /* close_notify */
    DTLS_END_ALERT,          /* a fatal alert of the peer */
    DTLS_END_REPLACED,       /* a new session of the same identity from the same address; `successor` */
    DTLS_END_DROPPED,        /* dtls_drop, dtls_drop_identity */
    DTLS_END_HUNG_UP,        /* dtls_hang_up, and linger_ms went by */
    DTLS_END_IDLE,           /* session_idle_ms, or to make room */
    DTLS_END_FORGERIES,      /* as many bad records as the AEAD bears (RFC 9147 §4.5.3) */
};
const char *dtls_end_name(enum dtls_end end);

/* Bytes of UDP payload of one session, and of the messages in it. They wrap. */
struct dtls_traffic {
    uint32_t handshake_in, handshake_out;
    uint16_t handshake_datagrams_in, handshake_datagrams_out;
    uint32_t records_in, records_out; /* records after the handshake, whole */
    uint32_t content_in, content_out; /* of them application data */
};

struct dtls_description {
    const char *cipher_suite; /* IANA's name */
    bool resumed, cid_draft, live, renegotiated;
    bool ended;            /* only whoever holds the link still knows it */
    struct slice cid;      /* by which we know the peer; empty: none was agreed on */
    struct slice peer_cid; /* by which it knows us */
    uint32_t bad_records;  /* did not verify */
    uint64_t established_ms, used_ms;
    struct dtls_traffic traffic;
};

/* A session as it is kept. */
struct dtls_session_row {
    uint64_t id;       /* random, never 0 */
    uint32_t listener; /* its number */
    struct address peer, local;
    uint64_t number_limit;            /* the next number to send after a restart */
    uint64_t window_top, window_bits; /* replay window: newest number, and bit n: newest - n was seen */
    uint64_t used_ms;
    struct slice secret; /* keys, CIDs, identity; to be sealed. Empty when not asked for */
};

/* The part of it that moves with every message. */
struct dtls_window {
    uint64_t id, top, bits;
    uint32_t place; /* what the owner has set */
};

struct dtls_handlers {
    /* Send a datagram. Required. The bytes are copied. Negative errno when the peer can't be reached at all. */
    int (*send)(void *arg, struct listener *listener, const struct address *peer, const struct address *local,
                struct slice datagram);
    /* A message of an established session. Required. `link` lives through the call. */
    void (*receive)(void *arg, struct link *link, struct slice message);

    /* The key of a PSK identity, written into `key` (DTLS_PSK_KEY_MAX bytes); false: unknown. NULL: no PSK suites. */
    bool (*psk)(void *arg, const struct listener *listener, struct slice identity, struct buffer *key);
    /* Whether a client's certificate is good: 0, or the alert that refuses it (42 to 46, 48, 49: RFC 5246 §7.2.2).
     * NULL: chain_trusted and dates_good are what it takes. */
    int (*certificate)(void *arg, const struct listener *listener, const struct dtls_peer_certificate *certificate);

    /* Sessions that can be resumed (RFC 5246 §7.4.1.2), by session ID (at most 32 bytes). The secret (keys; seal it) holds
     * the identity too; `identity` is told so that the owner can drop what belongs to a credential it removes. The owner
     * answers at once, after one indexed lookup at most, and no more after `expires_ms`. Both NULL: no resumption. */
    void (*resume_put)(void *arg, struct slice session_id, const struct link_identity *identity, struct slice secret,
                       uint64_t expires_ms);
    bool (*resume_get)(void *arg, struct slice session_id, struct buffer *secret);
    /* Whether an identity that was proven before may have a session now: when it resumes one by session ID or ticket, and
     * when dtls_drop_identity came while its handshake was on the pool. `chain_trusted` is what it was when the certificate
     * was shown. NULL: yes, and no. */
    bool (*permitted)(void *arg, const struct listener *listener, const struct link_identity *identity,
                      bool chain_trusted);

    /* What happened; each may be NULL. */
    void (*established)(void *arg, struct link *link); /* proven; dtls_describe tells the rest */
    void (*failed)(void *arg, const struct dtls_failure *failure);
    void (*moved)(void *arg, struct link *link, const struct address *old); /* link->peer is the new address */
    /* Nothing can be sent to it any more. `successor` is NULL except for DTLS_END_REPLACED. */
    void (*closed)(void *arg, struct link *link, enum dtls_end end, struct link *successor);

    /* Keeping sessions (see above). All NULL: nothing is kept, and numbers need no reservation. */
    void (*save)(void *arg, struct link *link);
    void (*reserve)(void *arg, struct link *link, uint64_t id, uint64_t number_limit);
    void (*touched)(void *arg, struct link *link);
    void (*forget)(void *arg, struct link *link, uint64_t id);

    /* For those who watch; each may be NULL. */
    /* A line in NSS key log format, without newline, of the handshake with this peer. A secret. */
    void (*key_log)(void *arg, const struct listener *listener, const struct address *peer, const char *line);
    void (*datagram)(void *arg, const struct listener *listener, const struct address *peer,
                     const struct address *local, bool sent, struct slice datagram);
};

/* `handlers` is copied. `clock` and `wheel` must outlive it; whoever calls dtls_receive brings the clock up to date first.
 * NULL when mbedtls can't be set up. */
struct dtls *dtls_new(uv_loop_t *loop, const struct clock *clock, struct timer_wheel *wheel,
                      const struct dtls_params *params, const struct dtls_handlers *handlers, void *arg);

/* A certificate of ours and its private key (P-256), each DER or PEM. Certificates behind it in PEM are its chain, and
 * are sent with it (RFC 5246 §7.4.2). The first one added is for clients that name no server or an unknown one
 * (RFC 6066 §3), others for the names in their SAN, or CN. False: *problem says in a few words why. Before the first
 * datagram only. */
bool dtls_add_certificate(struct dtls *dtls, struct slice certificate, struct slice key, const char **problem);

/* Certificates (DER, or any number in PEM, one on P-256 at least) that clients' chains may lead to. As above. */
bool dtls_add_authority(struct dtls *dtls, struct slice certificates, const char **problem);

/* 32 bytes that tickets are sealed with, so that they hold over a restart; without it they are drawn at start. */
void dtls_set_ticket_key(struct dtls *dtls, const uint8_t key[32]);

/* A datagram came to `listener`. Its bytes are changed. */
void dtls_receive(struct dtls *dtls, struct listener *listener, const struct address *peer, const struct address *local,
                  uint8_t *datagram, size_t len);

/* Whether clients of the draft (extension 254) are served by this build. */
bool dtls_has_draft_cid(void);

/* ---- sessions ---- */

/* Of a link that is ours (link->listener->transport is LINK_DTLS). */
void dtls_describe(const struct link *link, struct dtls_description *description);

/* The session as it is to be kept. `secret` may be NULL. False: it is not one that is kept (live, or ended). */
bool dtls_session_row(const struct link *link, struct dtls_session_row *row, struct buffer *secret);

/* The same of its window. */
bool dtls_session_window(const struct link *link, struct dtls_window *window);

/* A number of the owner's, 0 at first, that stays with the session until its link is freed. */
void dtls_set_place(struct link *link, uint32_t place);
uint32_t dtls_place(const struct link *link);

/* Make room for so many sessions: then bringing them back is faster. */
void dtls_reserve(struct dtls *dtls, size_t count);

/* Bring back a session at start, from its row; no other one has its id. Nothing is sent before numbers have been
 * reserved: it asks with the first message, or dtls_reserved is called at once by an owner that has raised all rows in
 * one go (by DTLS_NUMBERS_STEP). The link as it is in the tables, without a reference for the caller; NULL: the row can't
 * be used. */
struct link *dtls_restore(struct dtls *dtls, struct listener *listener, const struct dtls_session_row *row);

/* The same in steps, for many rows: what one of them looks up is fetched from memory while others are worked on. Begin
 * one, go on with others, tell that it is near, go on with others, and end it. `row` is needed only to begin; false: it
 * can't be used. What was begun has to be ended. */
struct dtls_restoring {
    struct dtls_session *session;
    struct link_identity identity;
    uint8_t name[DTLS_IDENTITY_MAX];
};
bool dtls_restore_begin(struct dtls *dtls, struct listener *listener, const struct dtls_session_row *row,
                        struct dtls_restoring *restoring);
void dtls_restore_near(const struct dtls_restoring *restoring);
struct link *dtls_restore_end(const struct dtls_restoring *restoring);

/* The link of a session by the id in its row, without a reference for the caller, or NULL. */
struct link *dtls_find(struct dtls *dtls, uint64_t id);

/* dtls_find will be asked for this one soon: to be told twice, like the steps above. */
void dtls_expect(const struct dtls *dtls, uint64_t id, bool is_near);

/* The row of a session that `save` told of has been committed, or can't be kept. Nothing happens when it is gone. */
void dtls_saved(struct dtls *dtls, uint64_t id);

/* Numbers up to `number_limit` have been committed; when that failed, call it with 0, and the next message asks again.
 * Nothing happens when the session is gone. */
void dtls_reserved(struct dtls *dtls, uint64_t id, uint64_t number_limit);

/* Say goodbye (close_notify). A session with CID stays, and works again when the client goes on with it within linger_ms,
 * as the vendor's clients do; one without CID ends. */
void dtls_hang_up(struct link *link);

/* Forget the session at once, without a word. */
void dtls_drop(struct link *link);

/* Likewise, after a fatal alert (RFC 5246 §7.2.2). */
void dtls_drop_with_alert(struct link *link, uint8_t alert);

/* The peer's records with the CID that was agreed on are nobody's from now on, until the program ends; the session itself
 * stays, and can be sent to. False: none was agreed on, the session has ended, or no message has come in it yet. */
bool dtls_forget_cid(struct link *link);

/* Forget all sessions and pending handshakes of an identity (compared by security and, for PSK, name, for certificates,
 * fingerprint or, when that is all zero, name). Returns how many sessions there were. */
size_t dtls_drop_identity(struct dtls *dtls, const struct link_identity *identity);

struct dtls_counters {
    uint64_t hellos, hello_verifies, handshakes_begun, handshakes_done, handshakes_resumed, handshakes_failed,
        handshakes_refused;
    uint64_t records_in, records_out, replays, bad_records, unknown_records, moves;
    uint64_t held;                    /* messages that had to wait for numbers */
    uint64_t unproven;                /* datagrams not sent to an address that has not shown that it receives */
    uint64_t pending, sessions, live; /* now */
};
struct dtls_counters dtls_counters(const struct dtls *dtls);

/* End: nothing is sent, kept rows stay kept. The memory is freed when the loop has run what is still under way on the
 * pool, so run the loop until it has nothing left. No handler is called any more. Links that someone still holds stay
 * valid until they are released. */
void dtls_close(struct dtls *dtls);

#endif
