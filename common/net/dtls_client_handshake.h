/* A client's handshake: an mbedtls object, the records that have come for it, and its timer. Everything happens on the
 * caller's thread. mbedtls is handed one record at a time, and those of a coming epoch only when it has got there
 * (dtls_handshake.h says why); a Finished that does not verify is dropped before mbedtls sees it. */
#ifndef BERTH_NET_DTLS_CLIENT_HANDSHAKE_H
#define BERTH_NET_DTLS_CLIENT_HANDSHAKE_H

#include "common/net/dtls_client.h"
#include "common/net/dtls_layer.h"
#include "common/net/record.h"

/* Bytes of records that wait, two more for each; and of those of a coming epoch, among which the oldest go first: they may
 * be forged, and must not keep out what mbedtls can take now. */
enum { CLIENT_HANDSHAKE_WAITING_MAX = 24 << 10, CLIENT_HANDSHAKE_EARLY_MAX = 8 << 10 };

enum client_handshake_state {
    CLIENT_HANDSHAKE_RUNNING,
    CLIENT_HANDSHAKE_OVER,   /* proven; mbedtls stays for a lost flight, and for suites that record.h has not */
    CLIENT_HANDSHAKE_FAILED, /* `fault` */
    CLIENT_HANDSHAKE_CLOSED, /* proven, and then the server has closed (close_notify) */
};

struct client_handshake {
    enum client_handshake_state state;
    enum dtls_fault fault;
    int alert_sent, alert_received; /* -1: none */
    bool resumed;                   /* when OVER */
    bool lasts;                     /* OVER, and mbedtls protects what follows until client_handshake_keys is asked */

    /* From the caller, before client_handshake_start. */
    const struct clock *clock;
    struct timer_wheel *wheel;
    void (*send)(void *arg, struct slice datagram);
    void (*timed_out)(struct client_handshake *hs); /* a step was made because time went by: look at `state` */
    void (*key_log)(void *arg, const char *line);   /* key_log.h; may be NULL */
    void *arg;

    const struct dtls_layer *layer;
    const struct cipher_suite *suite;
    mbedtls_ssl_context ssl;
    uint8_t session_id[32]; /* of the session that is to be resumed */
    size_t session_id_len;
    uint8_t cid[DTLS_CID_MAX];
    uint8_t cid_len;
    struct dtls_keys keys;

    uint64_t now_ms; /* of this step */
    uint64_t intermediate_ms, final_ms;
    bool timer_is_set;
    struct timer retransmit;

    size_t plain_len; /* a message of a session that lasts; 0: none */
    uint8_t *plain;   /* RECORD_CONTENT_MAX bytes, NULL until needed */
    size_t waiting_len;
    uint8_t waiting[CLIENT_HANDSHAKE_WAITING_MAX]; /* records, each behind its length in two bytes */
};

/* Make the mbedtls object. `session`, of `session_len` bytes, is resumed when that is not 0 and mbedtls can read it;
 * `server_name` may be NULL. False when out of memory. */
bool client_handshake_start(struct client_handshake *hs, const mbedtls_ssl_config *config, const char *server_name,
                            const struct dtls_client_params *params, struct slice session);

/* Free what client_handshake_start has made, not `hs` itself. */
void client_handshake_end(struct client_handshake *hs);

/* Put a record into the queue; dropped when there is too much already. */
void client_handshake_hold(struct client_handshake *hs, struct slice record);

/* Let mbedtls take what there is, up to one message of a session that lasts. */
void client_handshake_step(struct client_handshake *hs);

/* Take one record from the queue: true, and the bytes, which lie in `waiting` until the next call. */
bool client_handshake_take(struct client_handshake *hs, size_t *at, struct slice *record);

/* Protect and send a message of a session that lasts. Negative errno. */
int client_handshake_write(struct client_handshake *hs, struct slice message);

/* Say goodbye (close_notify). */
void client_handshake_say_bye(struct client_handshake *hs);

/* The keys as mbedtls has them now, for record.h to go on with; number_limit is next_number. */
struct dtls_keys client_handshake_keys(const struct client_handshake *hs);

/* What resumes the session; nothing when the server has given it no ID. */
void client_handshake_put_session(const struct client_handshake *hs, struct buffer *out);

#endif
