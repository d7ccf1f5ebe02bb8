/* A DTLS server and mbedtls clients in one process, with a network between them that a test can bend: no sockets, and a
 * clock that stands still until it is leapt. The owner's side keeps what it is told in memory, as the server's does in its
 * database, and echoes every message. */
#ifndef BERTH_TESTS_NET_DTLS_BENCH_H
#define BERTH_TESTS_NET_DTLS_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/net/dtls.h"
#include "common/net/dtls_layer.h"

enum { BENCH_EVENTS = 64, BENCH_ROWS = 8, BENCH_NETWORK = 256, BENCH_CLIENTS = 4 };

/* A test; and the same one on sessions that stay with mbedtls. */
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_start, bench_stop)
#define BENCH_TEST_LIVE(name) \
    { #name ", by mbedtls alone", name, bench_start_live, bench_stop, NULL }

struct bench;

struct bench_datagram {
    struct address peer; /* the client's */
    bool up;             /* to the server */
    size_t len;
    uint8_t bytes[2048];
};

struct bench_row {
    bool used;
    struct dtls_session_row row;
    uint8_t secret[DTLS_SESSION_SECRET_MAX];
    struct dtls_session_row pending; /* asked for, not committed */
};

struct bench_resume {
    uint8_t id[32], secret[DTLS_RESUME_SECRET_MAX];
    size_t id_len, secret_len;
    uint64_t expires_ms;
};

struct client {
    struct bench *bench;
    const struct dtls_layer *layer;
    struct address address;
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_session session; /* to resume; have_session */
    bool have_session, set_up, over;
    int error; /* that ended its handshake, or 0 */
    uint64_t intermediate_ms, final_ms;
    bool timer_is_set;
    unsigned timeouts; /* flights that it had to send again */
    struct bench_datagram inbox[BENCH_NETWORK];
    size_t inbox_count;
    uint8_t received[2048]; /* the last application data */
    size_t received_len, received_count;
};

struct bench_client_options {
    const struct dtls_layer *layer; /* NULL: RFC 9146's */
    const int *suites;              /* NULL: TLS_PSK_WITH_AES_128_CCM_8 */
    const char *identity;           /* NULL: "dev1" */
    struct slice key;               /* none: the bench's key */
    const struct bench_identity *certificate;
    bool no_cid;
    const uint8_t *cid; /* with cid_len */
    size_t cid_len;
    unsigned char fragment_code; /* RFC 6066 §4, 0: not offered */
    uint16_t mtu;
    bool no_packing; /* one record a datagram */
    bool tickets;
    const char *server_name;
    bool lean; /* the smallest hello: one signature algorithm, no encrypt-then-MAC */
};

/* A certificate and its key. */
struct bench_identity {
    uint8_t der[1024];
    size_t der_len;
    uint8_t key_der[256];
    size_t key_len;
    mbedtls_x509_crt certificate;
    mbedtls_pk_context key;
};

struct bench {
    uv_loop_t loop;
    struct clock clock;
    struct timer_wheel wheel;
    struct dtls_params params;
    struct dtls *dtls;
    struct listener listener;
    struct client clients[BENCH_CLIENTS];
    /* The network: what is under way, oldest first. */
    struct bench_datagram network[BENCH_NETWORK];
    size_t network_count;
    bool (*filter)(struct bench *bench, struct bench_datagram *datagram); /* false: lost */
    void *filter_arg;
    size_t bytes_up, bytes_down, datagrams_up, datagrams_down;
    /* The owner's side. */
    struct slice key; /* of "dev1" and "dev2" */
    bool no_echo;
    struct link *link; /* of the last session, a reference */
    size_t established, failed, moved, closed, messages, saves, forgets, touches, reserves;
    struct dtls_failure failure; /* the last one; its identity's name in failure_name */
    uint8_t failure_name[DTLS_IDENTITY_MAX];
    enum dtls_end end;
    struct link *successor; /* of the last one that ended; only to compare */
    struct address old_address;
    uint8_t message[2048];
    size_t message_len;
    bool keeps_rows, defers_commits, defers_saves;
    bool restores_more; /* the test restores sessions that were never saved */
    struct bench_row rows[BENCH_ROWS];
    struct bench_resume resume[BENCH_ROWS];
    size_t resume_count;
    int certificate_verdict; /* -1: let the default decide */
    struct dtls_peer_certificate shown;
    char shown_name[128];
    bool not_permitted;
    char key_log[256];
};

/* As cmocka's setup and teardown; *state is the struct bench. bench_start_dtls makes the server with bench->params. */
int bench_start(void **state);
int bench_start_live(void **state); /* every session stays with mbedtls */
int bench_stop(void **state);
void bench_start_dtls(struct bench *bench);
void bench_stop_dtls(struct bench *bench);

/* Certificates: an authority, and what it signs, authorities too (by their name); `authority` NULL: self-signed. Freed
 * with bench_identity_free. */
void bench_identity_make(struct bench_identity *made, const char *subject, const char *dns_name,
                         const struct bench_identity *authority);
void bench_identity_free(struct bench_identity *made);

/* A client with `options` (NULL: the default ones), at an address of its own. It begins with bench_run. */
struct client *bench_client(struct bench *bench, size_t number, const struct bench_client_options *options);
void bench_client_free(struct client *client);

/* Let everything happen that happens without time going by. */
void bench_run(struct bench *bench);

/* Let protocol time go by, in steps of at most a second, running everything. */
void bench_leap(struct bench *bench, uint64_t ms);

/* Run until the handshake of the client is over on both sides; fails the test when it does not come to that by itself. */
void bench_handshake(struct client *client);

/* Send application data and run. */
void bench_send(struct client *client, const char *text);

/* The same, and fail the test unless the echo comes. */
void bench_exchange(struct client *client, const char *text);

/* Put a datagram into the network as if it came from `peer`. */
void bench_inject(struct bench *bench, const struct address *peer, struct slice bytes);

/* Deliver what is under way to the server and to the clients, without letting the clients act. */
void bench_deliver(struct bench *bench);

/* The server's process is killed: nothing but the rows stays. */
void bench_crash(struct bench *bench);
void bench_restore(struct bench *bench);

#endif
