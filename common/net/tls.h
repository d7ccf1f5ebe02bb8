/* TLS 1.2 (RFC 5246) and 1.3 (RFC 8446) for connections, at a server or a client: encrypted bytes in, what they say out, and back. Who
 * carries the bytes is told what to do through `struct tls_carrier`; who knows credentials is asked through
 * `struct tls_handlers`, as with dtls.h, and by the same rules (proof.h).
 *
 * Nothing is made for a connection before a whole record has come. From then on its mbedtls object costs 36 KB (TLS 1.3: 45) for
 * as long as the connection lives. Steps run on libuv's pool, where public-key operations keep nobody waiting, until the
 * first message has come; from there on only records are opened and sealed, on the loop's thread. A client may renegotiate
 * (RFC 5746) once, and only before its first message: clients without a clock do.
 *
 * Sessions are resumed by session ID, and with TLS 1.3, which has nothing else, by ticket. With `tickets` TLS 1.2 has
 * them too; some clients that know both can only resume by session ID. */
#ifndef BERTH_NET_TLS_H
#define BERTH_NET_TLS_H

#include "common/net/dtls_client.h"

struct tls;
struct tls_session;

struct tls_params {
    bool tickets;                 /* also with TLS 1.2 */
    bool hide_unknown_identities; /* as in struct dtls_params: of TLS 1.2; 1.3 hides them by itself */
    bool ignore_dates;
    uint32_t handshake_timeout_ms; /* from the beginning of the connection */
    uint32_t handshakes_max;       /* under way at once; what is above is closed */
    uint32_t handshakes_per_s;     /* begun */
    uint64_t resume_ms;
};

/* As in struct dtls_handlers, and NULL where that may be. All on the loop's thread. */
struct tls_handlers {
    bool (*psk)(void *arg, const struct listener *listener, struct slice identity, struct buffer *key);
    int (*certificate)(void *arg, const struct listener *listener, const struct dtls_peer_certificate *certificate);
    void (*resume_put)(void *arg, struct slice session_id, const struct link_identity *identity, struct slice secret,
                       uint64_t expires_ms);
    bool (*resume_get)(void *arg, struct slice session_id, struct buffer *secret);
    bool (*permitted)(void *arg, const struct listener *listener, const struct link_identity *identity,
                      bool chain_trusted);
    void (*failed)(void *arg, const struct dtls_failure *failure);
    void (*key_log)(void *arg, const struct listener *listener, const struct address *peer, const char *line);
};

/* Whoever has the connection. tls_session_end and tls_session_send may send, and no
 * other function here calls any at once but tls_session_feed and tls_session_start. */
struct tls_carrier {
    void (*send)(void *user, struct slice bytes);       /* to the peer */
    void (*set_reading)(void *user, bool reading);      /* while it is not, no bytes are to be brought */
    void (*proven)(void *user);                         /* the peer is who tls_session_identity says */
    void (*received)(void *user, struct slice content); /* of one record, whole */
    /* It is over, for a reason that is for a person; close the connection behind what was sent. */
    void (*ended)(void *user, const char *why);
};

/* `handlers` is copied; clock and wheel must outlive it. NULL when mbedtls can't be set up. */
struct tls *tls_new(uv_loop_t *loop, const struct clock *clock, struct timer_wheel *wheel,
                    const struct tls_params *params, const struct tls_handlers *handlers, void *arg);

/* The same for connections that we open, to one server. Of `params` count the suite (of TLS 1.2; those of 1.3 are offered
 * besides), identity and key, certificates, server_name, which must outlive it, resume and max_fragment. NULL: *problem says
 * in a few words why. */
struct tls *tls_new_client(uv_loop_t *loop, const struct clock *clock, struct timer_wheel *wheel,
                           const struct dtls_client_params *params, const struct tls_handlers *handlers, void *arg,
                           const char **problem);

/* As dtls_add_certificate, dtls_add_authority, dtls_set_ticket_key. */
bool tls_add_certificate(struct tls *tls, struct slice certificate, struct slice key, const char **problem);
bool tls_add_authority(struct tls *tls, struct slice certificates, const char **problem);
void tls_set_ticket_key(struct tls *tls, const uint8_t key[32]);

/* End all connections of an identity (as dtls_drop_identity), with a close_notify. Returns how many there were. */
size_t tls_drop_identity(struct tls *tls, const struct link_identity *identity);

struct tls_counters {
    uint64_t handshakes_begun, handshakes_done, handshakes_resumed, handshakes_failed, handshakes_refused;
    uint64_t pending, sessions; /* now: handshakes under way; connections whose peer is proven */
};
struct tls_counters tls_counters(const struct tls *tls);

/* No handler is called any more. Freed when the sessions are, and what runs on the pool is back: run the loop until it
 * has nothing left. */
void tls_close(struct tls *tls);

/* ---- one connection ---- */

/* The peer has connected. NULL when out of memory. */
struct tls_session *tls_session_new(struct tls *tls, struct listener *listener, const struct address *peer,
                                    const struct tls_carrier *carrier, void *user);

/* A client's connection is there: begin. Servers wait for their clients. */
void tls_session_start(struct tls_session *session);

/* Bytes came from the peer. */
void tls_session_feed(struct tls_session *session, struct slice bytes);

/* The peer will send no more, or the connection has broken. */
void tls_session_peer_ended(struct tls_session *session);

/* Send the parts as one record each, or as several where they are longer than 16 KB. Before the peer is proven, or while
 * a step runs, they wait; -ENOBUFS: too many do. -ENOTCONN: it has ended. */
int tls_session_send(struct tls_session *session, const struct slice *parts, size_t count);

/* Send a close_notify; nothing is told any more. */
void tls_session_end(struct tls_session *session);

/* Whom the peer has proven to be: lives as long as the session. */
const struct link_identity *tls_session_identity(const struct tls_session *session);

struct tls_description {
    const char *version;      /* "TLS 1.2", "TLS 1.3" */
    const char *cipher_suite; /* IANA's name */
    bool resumed, renegotiated;
    struct dtls_traffic traffic; /* bytes of the connection; no datagrams */
};

/* Of a proven one. */
void tls_session_describe(const struct tls_session *session, struct tls_description *description);

/* Bytes that a record of a proven one has besides its content. */
size_t tls_session_record_overhead(const struct tls_session *session);

void tls_session_free(struct tls_session *session);

#endif
