/* A DTLS 1.2 client (RFC 6347): one association with one server, with or without a connection ID (RFC 9146, or
 * draft-ietf-tls-dtls-connection-id-05 under extension 254). To CoAP it is a struct link that never ends: a message that
 * is sent while there is no session begins a handshake and waits for it, and the next session serves the same link.
 *
 * The hello is as small as mbedtls makes it: one suite, one signature algorithm, and of extensions only the extended
 * master secret (RFC 7627) and what is asked for. Session IDs resume sessions, never tickets. After a full handshake the
 * mbedtls object goes at once, after an abbreviated one with the first message from the server (the last flight is ours
 * and may be lost); record.h goes on. CBC suites stay with mbedtls.
 *
 * Surviving a crash: with `keep`, the owner writes down what goes on after a restart. A record number is used only after
 * the stretch it lies in was kept, and a message is handed over after the replay window that has seen it.
 *
 * Handlers are called from within dtls_client_receive, timers, and dtls_client_handshake and its like; but `send`, `keep`
 * and `keep_numbers` only from link_send. From all but those three anything here may be called except dtls_client_free. */
#ifndef BERTH_NET_DTLS_CLIENT_H
#define BERTH_NET_DTLS_CLIENT_H

#include "common/net/cipher_suite.h"
#include "common/net/dtls.h"
#include "common/net/record.h"

struct dtls_client;

enum dtls_client_cid { DTLS_CLIENT_NO_CID, DTLS_CLIENT_CID, DTLS_CLIENT_CID_DRAFT };

enum {
    DTLS_CLIENT_SESSION_MAX = 512, /* bytes of what resumes a session */
    DTLS_CLIENT_SECRET_MAX = 2 + DTLS_CLIENT_SESSION_MAX + DTLS_SESSION_SECRET_MAX, /* bytes of a state's secret */
    DTLS_CLIENT_NUMBERS_STEP = 256, /* record numbers that are reserved at once */
    DTLS_CLIENT_HELD_MAX = 8,       /* messages that wait for a handshake; then the oldest goes */
};

/* Whether `authority` is the server's certificate itself: then that is good whoever has signed it, whomever it names and
 * whatever its dates are, and no other is (RFC 7671 §5.1). UNLESS_AUTHORITY: if it may not sign others. */
enum dtls_client_pin { DTLS_CLIENT_NOT_PINNED, DTLS_CLIENT_PINNED, DTLS_CLIENT_PINNED_UNLESS_AUTHORITY };

struct dtls_client_params {
    const struct cipher_suite *suite;      /* the only one that is offered */
    struct slice identity, key;            /* for suites with a pre-shared key: 1 to DTLS_PSK_KEY_MAX bytes of key */
    struct slice certificate, private_key; /* else, DER or PEM; certificates behind the first one are sent too */
    struct slice authority; /* likewise: authorities of the server's certificate, or that itself if it is self-signed */
    enum dtls_client_pin pin;
    const char *server_name;                    /* that is asked for (RFC 6066 §3) and must be in it; NULL: neither */
    enum dtls_client_cid cid;                   /* whether connection IDs are offered */
    uint8_t cid_length;                         /* of the one in records to us: 0 to DTLS_CID_MAX */
    bool resume;                                /* handshakes are abbreviated when they can be */
    uint16_t max_fragment;                      /* RFC 6066 §4: 512, 1024, 2048 or 4096; 0: not offered */
    bool tls12_only;                            /* over TLS: no later version is offered, and no protocol */
    uint32_t tls_timeout_ms;                    /* of a handshake over TLS; 0: a minute */
    uint16_t mtu;                               /* of our flights, bytes of UDP payload: 1232 */
    uint32_t first_timeout_ms, last_timeout_ms; /* of a flight, doubled from one to the other: 1000, 16000 */
};

void dtls_client_params_default(struct dtls_client_params *params);

struct dtls_client_description {
    bool handshaking, established, resumed, restored, live; /* live: mbedtls protects it, and it is not kept */
    const char *cipher_suite;                               /* NULL: there was no session yet */
    bool cid_draft;
    struct slice cid, server_cid; /* in records to us, and to the server; none was agreed on when both are empty */
    bool resumable;               /* the next handshake can be abbreviated */
    uint32_t bad_records, replays;
    struct dtls_traffic traffic; /* handshake_…: of the last handshake; the others in all */
};

/* What is kept. An empty secret: nothing any more. */
struct dtls_client_state {
    struct slice secret; /* keys: whoever has them is the device */
    uint64_t number_limit, window_top, window_bits;
};

struct dtls_client_handlers {
    /* Send a datagram; the bytes are copied. Required. Negative errno when the server can't be reached at all. */
    int (*send)(void *arg, struct slice datagram);
    /* A message from the server. Required. */
    void (*receive)(void *arg, struct link *link, struct slice message);
    /* What happened; each may be NULL. A handshake came to its good end, or to a bad one: what waited for it has gone. */
    void (*established)(void *arg);
    void (*failed)(void *arg, const struct dtls_failure *failure);
    /* The session has ended by the server's doing, or its keys are worn. */
    void (*closed)(void *arg, enum dtls_end end);
    /* Write down the state, or of the one that was written last only the numbers; false when that can't be done. Both NULL:
     * nothing is kept. They return when it is done. */
    bool (*keep)(void *arg, const struct dtls_client_state *state);
    bool (*keep_numbers)(void *arg, const struct dtls_client_state *state);
    void (*key_log)(void *arg, const char *line); /* as in struct dtls_handlers; may be NULL */
};

/* A client of the server at `peer`, through `listener`; nothing is sent yet. What `params` points to is copied but for
 * `server_name`, which must outlive it as `clock` and `wheel` do. NULL: *problem says in a few words why. */
struct dtls_client *dtls_client_new(const struct clock *clock, struct timer_wheel *wheel, struct listener *listener,
                                    const struct address *peer, const struct dtls_client_params *params,
                                    const struct dtls_client_handlers *handlers, void *arg, const char **problem);

/* Give a client's setup what `params` says of key, or certificates. False: *problem. */
struct dtls_setup;
bool dtls_client_set_identity(struct dtls_setup *setup, const struct dtls_client_params *params, const char **problem);

/* End without a word; what was kept stays. The memory goes with the last reference to the link. */
void dtls_client_free(struct dtls_client *client);

/* The link, without a reference for the caller. link_send: -EIO when the state can't be kept, -ENOMEM, -EMSGSIZE when the
 * message is longer than the fragment length that was agreed on. */
struct link *dtls_client_link(struct dtls_client *client);

/* A datagram came from the server. Its bytes are changed. */
void dtls_client_receive(struct dtls_client *client, uint8_t *datagram, size_t len);

/* Go on with what was kept. A session goes on when the server knows it by a CID, whatever our address is now; else what
 * resumes it is taken. Before the first message. True: there is a session. */
bool dtls_client_restore(struct dtls_client *client, const struct dtls_client_state *state);

enum dtls_client_handshake { DTLS_CLIENT_AS_CONFIGURED, DTLS_CLIENT_RESUME, DTLS_CLIENT_FULL };

/* Begin a handshake now; a session that there is ends without a word. RESUME is full when there is nothing to resume. False
 * when one is under way, or out of memory. */
bool dtls_client_handshake(struct dtls_client *client, enum dtls_client_handshake how);

/* Give up the session, since the server seems not to know it: the next message begins a handshake. False when there is
 * none. */
bool dtls_client_renew(struct dtls_client *client);

/* Say goodbye (RFC 5246 §7.2.1) and end the session; it can be resumed. False when there is none. */
bool dtls_client_hang_up(struct dtls_client *client);

/* Forget the session and what resumes it, without a word. */
void dtls_client_forget(struct dtls_client *client);

/* Hand the keys of the session to the caller, who goes on with record.h and numbers of its own; the client has none any
 * more. Not from a handler. False: there is no session, or mbedtls protects it. */
bool dtls_client_give_keys(struct dtls_client *client, struct dtls_keys *keys);

void dtls_client_describe(const struct dtls_client *client, struct dtls_client_description *description);

#endif
