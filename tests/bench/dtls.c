/* What DTLS costs the server: handshakes, records, and sessions that sleep. Clients are mbedtls objects in this process;
 * their CPU time is measured apart and left out. Handshakes with a key take turns with those that a server of mbedtls
 * alone does, with the same clients. Prints one JSON line for each figure. The argument is another number of
 * seconds to spend on each measurement. */
#include <malloc.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/net/dtls.h"
#include "common/net/dtls_setup.h"
#include "common/net/record.h"

enum { INBOX = 16, SLEEPERS = 100000, TURNS = 5 };

/* A server of mbedtls and nothing else. */
struct alone {
    mbedtls_ssl_config config;
    mbedtls_ssl_cookie_ctx cookies;
    mbedtls_ssl_context ssl;
    bool is_established;
    size_t handshakes;
};

struct bench {
    uv_loop_t loop;
    struct clock clock;
    struct timer_wheel wheel;
    struct dtls *dtls;
    struct listener listener;
    size_t established, messages;
    /* The client of the moment. */
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    struct address peer;
    struct {
        size_t len;
        uint8_t bytes[2048];
    } down[INBOX], up[INBOX];
    size_t down_count, up_count;
    double client_s;     /* CPU time of clients */
    struct alone *alone; /* whose turn it is, or NULL: ours */
};

static const uint8_t key[16] = {1, 2, 3};
static double seconds = 2;

static void require(bool condition, const char *what) {
    if (!condition) {
        fprintf(stderr, "bench: %s\n", what);
        exit(1);
    }
}

static double cpu_s(clockid_t of) {
    struct timespec t;
    clock_gettime(of, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the server's side ---- */

static int on_send(void *arg, struct listener *listener, const struct address *peer, const struct address *local,
                   struct slice datagram) {
    struct bench *b = arg;
    (void)listener, (void)peer, (void)local;
    require(b->down_count < INBOX && datagram.len <= sizeof b->down[0].bytes, "the client's inbox is full");
    b->down[b->down_count].len = datagram.len;
    memcpy(b->down[b->down_count++].bytes, datagram.data, datagram.len);
    return 0;
}

static void on_receive(void *arg, struct link *link, struct slice message) {
    struct bench *b = arg;
    (void)message;
    b->messages++;
    link_send(link, slice_str("sixteen bytes...."));
}

static bool on_psk(void *arg, const struct listener *listener, struct slice identity, struct buffer *out) {
    (void)arg, (void)listener, (void)identity;
    buffer_put(out, key, sizeof key);
    return true;
}

static int on_certificate(void *arg, const struct listener *listener, const struct dtls_peer_certificate *shown) {
    (void)arg, (void)listener, (void)shown;
    return 0; /* pinned */
}

static void on_established(void *arg, struct link *link) {
    struct bench *b = arg;
    (void)link;
    b->established++;
}

/* ---- clients ---- */

static int client_send(void *arg, const unsigned char *bytes, size_t len) {
    struct bench *b = arg;
    require(b->up_count < INBOX && len <= sizeof b->up[0].bytes, "the client sends too much");
    b->up[b->up_count].len = len;
    memcpy(b->up[b->up_count++].bytes, bytes, len);
    return (int)len;
}

static int client_recv(void *arg, unsigned char *out, size_t len) {
    struct bench *b = arg;
    if (b->down_count == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    size_t n = b->down[0].len;
    require(n <= len, "a datagram is too large");
    memcpy(out, b->down[0].bytes, n);
    memmove(b->down, b->down + 1, --b->down_count * sizeof b->down[0]);
    return (int)n;
}

static void no_set_timer(void *arg, uint32_t intermediate_ms, uint32_t final_ms) {
    (void)arg, (void)intermediate_ms, (void)final_ms;
}

static int no_timer(void *arg) {
    (void)arg;
    return -1;
}

/* ---- mbedtls alone ---- */

static int alone_send(void *arg, const unsigned char *bytes, size_t len) {
    struct bench *b = arg;
    require(b->down_count < INBOX && len <= sizeof b->down[0].bytes, "the client's inbox is full");
    b->down[b->down_count].len = len;
    memcpy(b->down[b->down_count++].bytes, bytes, len);
    return (int)len;
}

static int alone_recv(void *arg, unsigned char *out, size_t len) {
    struct bench *b = arg;
    if (b->up_count == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    size_t n = b->up[0].len;
    require(n <= len, "a datagram is too large");
    memcpy(out, b->up[0].bytes, n);
    memmove(b->up, b->up + 1, --b->up_count * sizeof b->up[0]);
    return (int)n;
}

static int alone_psk(void *arg, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t len) {
    (void)arg, (void)identity, (void)len;
    return mbedtls_ssl_set_hs_psk(ssl, key, sizeof key);
}

static void open_alone(struct alone *alone) {
    static const int suites[] = {0xc0a8, 0};
    mbedtls_ssl_config_init(&alone->config);
    mbedtls_ssl_cookie_init(&alone->cookies);
    require(mbedtls_ssl_config_defaults(&alone->config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                        MBEDTLS_SSL_PRESET_DEFAULT) == 0 &&
                mbedtls_ssl_cookie_setup(&alone->cookies, dtls_random, NULL) == 0 &&
                mbedtls_ssl_conf_cid(&alone->config, 8, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE) == 0,
            "no configuration");
    mbedtls_ssl_conf_rng(&alone->config, dtls_random, NULL);
    mbedtls_ssl_conf_ciphersuites(&alone->config, suites);
    mbedtls_ssl_conf_psk_cb(&alone->config, alone_psk, NULL);
    mbedtls_ssl_conf_dtls_cookies(&alone->config, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &alone->cookies);
}

static void name_alone(struct bench *b) {
    require(mbedtls_ssl_set_client_transport_id(&b->alone->ssl, (const unsigned char *)&b->peer, sizeof b->peer) == 0 &&
                mbedtls_ssl_set_cid(&b->alone->ssl, MBEDTLS_SSL_CID_ENABLED, (const unsigned char *)"connid-1", 8) == 0,
            "no server");
}

static void begin_alone(struct bench *b) {
    mbedtls_ssl_init(&b->alone->ssl);
    require(mbedtls_ssl_setup(&b->alone->ssl, &b->alone->config) == 0, "no server");
    mbedtls_ssl_set_bio(&b->alone->ssl, b, alone_send, alone_recv, NULL);
    mbedtls_ssl_set_timer_cb(&b->alone->ssl, b, no_set_timer, no_timer);
    name_alone(b);
    b->alone->is_established = false;
}

/* What came: steps of the handshake, or a message, which is answered as ours is. */
static void step_alone(struct bench *b) {
    uint8_t bytes[64];
    while (!b->alone->is_established) {
        int result = mbedtls_ssl_handshake(&b->alone->ssl);
        if (result == MBEDTLS_ERR_SSL_WANT_READ)
            return;
        if (result == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED) {
            require(mbedtls_ssl_session_reset(&b->alone->ssl) == 0, "no reset");
            name_alone(b);
            if (b->up_count == 0)
                return;
            continue;
        }
        require(result == 0, "the handshake fails");
        b->alone->is_established = true;
        b->alone->handshakes++;
    }
    if (b->up_count > 0 && mbedtls_ssl_read(&b->alone->ssl, bytes, sizeof bytes) > 0)
        require(mbedtls_ssl_write(&b->alone->ssl, (const unsigned char *)"sixteen bytes....", 17) == 17, "no answer");
}

/* ---- */

static void deliver(struct bench *b) {
    if (b->alone != NULL) {
        step_alone(b);
        return;
    }
    for (size_t i = 0; i < b->up_count; i++)
        dtls_receive(b->dtls, &b->listener, &b->peer, &b->listener.address, b->up[i].bytes, b->up[i].len);
    b->up_count = 0;
    while (uv_loop_alive(&b->loop))
        uv_run(&b->loop, UV_RUN_ONCE);
}

/* A handshake from an address of its own. */
static void handshake(struct bench *b) {
    b->peer.port++;
    b->peer.ip[3] = (uint8_t)(b->peer.ip[3] + (b->peer.port == 0));
    b->peer.port = (uint16_t)(b->peer.port + (b->peer.port == 0));
    double begun = cpu_s(CLOCK_THREAD_CPUTIME_ID);
    mbedtls_ssl_init(&b->ssl);
    require(mbedtls_ssl_setup(&b->ssl, &b->config) == 0, "no client");
    mbedtls_ssl_set_bio(&b->ssl, b, client_send, client_recv, NULL);
    mbedtls_ssl_set_timer_cb(&b->ssl, b, no_set_timer, no_timer);
    require(mbedtls_ssl_set_cid(&b->ssl, MBEDTLS_SSL_CID_ENABLED, NULL, 0) == 0, "no CID");
    for (;;) {
        int result = mbedtls_ssl_handshake(&b->ssl);
        require(result == 0 || result == MBEDTLS_ERR_SSL_WANT_READ, "the handshake fails");
        b->client_s += cpu_s(CLOCK_THREAD_CPUTIME_ID) - begun;
        deliver(b);
        begun = cpu_s(CLOCK_THREAD_CPUTIME_ID);
        if (result == 0)
            break;
    }
    b->client_s += cpu_s(CLOCK_THREAD_CPUTIME_ID) - begun;
}

static void message(struct bench *b) {
    uint8_t bytes[64] = {0};
    double begun = cpu_s(CLOCK_THREAD_CPUTIME_ID);
    require(mbedtls_ssl_write(&b->ssl, bytes, sizeof bytes) == (int)sizeof bytes, "the client can't send");
    b->client_s += cpu_s(CLOCK_THREAD_CPUTIME_ID) - begun;
    deliver(b);
    begun = cpu_s(CLOCK_THREAD_CPUTIME_ID);
    require(mbedtls_ssl_read(&b->ssl, bytes, sizeof bytes) > 0, "no answer");
    b->client_s += cpu_s(CLOCK_THREAD_CPUTIME_ID) - begun;
}

static void configure(struct bench *b, const int *suites) {
    mbedtls_ssl_config_init(&b->config);
    require(mbedtls_ssl_config_defaults(&b->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                        MBEDTLS_SSL_PRESET_DEFAULT) == 0,
            "no configuration");
    mbedtls_ssl_conf_rng(&b->config, dtls_random, NULL);
    mbedtls_ssl_conf_ciphersuites(&b->config, suites);
    mbedtls_ssl_conf_authmode(&b->config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_session_tickets(&b->config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    require(mbedtls_ssl_conf_cid(&b->config, 0, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE) == 0, "no CID");
}

/* ---- what is measured ---- */

/* CPU time of the server for a handshake, in seconds. */
static double spend(struct bench *b, struct alone *alone, double for_s) {
    size_t done = 0;
    double begun = cpu_s(CLOCK_PROCESS_CPUTIME_ID), wall = cpu_s(CLOCK_MONOTONIC);
    b->client_s = 0;
    b->alone = alone;
    do {
        if (alone != NULL)
            begin_alone(b);
        handshake(b);
        message(b);
        mbedtls_ssl_free(&b->ssl);
        if (alone != NULL)
            mbedtls_ssl_free(&alone->ssl);
        clock_leap(&b->clock, 100);
        done++;
    } while (cpu_s(CLOCK_MONOTONIC) - wall < for_s);
    b->alone = NULL;
    return (cpu_s(CLOCK_PROCESS_CPUTIME_ID) - begun - b->client_s) / (double)done;
}

static int by_size(const void *a, const void *c) {
    double x = *(const double *)a, y = *(const double *)c;
    return (x > y) - (x < y);
}

static void compare(struct bench *b) {
    static struct alone alone;
    double ours[TURNS], theirs[TURNS];
    open_alone(&alone);
    for (size_t i = 0; i < TURNS; i++) {
        theirs[i] = spend(b, &alone, seconds / TURNS);
        ours[i] = spend(b, NULL, seconds / TURNS);
    }
    qsort(ours, TURNS, sizeof *ours, by_size);
    qsort(theirs, TURNS, sizeof *theirs, by_size);
    printf("{\"bench\":\"dtls handshakes beside mbedtls alone\",\"suite\":\"TLS_PSK_WITH_AES_128_CCM_8\",\"us\":%.1f,"
           "\"us_alone\":%.1f,\"rate_of_alone\":%.2f}\n",
           ours[TURNS / 2] * 1e6, theirs[TURNS / 2] * 1e6, theirs[TURNS / 2] / ours[TURNS / 2]);
    mbedtls_ssl_config_free(&alone.config);
    mbedtls_ssl_cookie_free(&alone.cookies);
}

static void handshakes(struct bench *b, const char *name) {
    size_t before = b->established;
    double begun = cpu_s(CLOCK_PROCESS_CPUTIME_ID), wall = cpu_s(CLOCK_MONOTONIC);
    b->client_s = 0;
    do {
        handshake(b);
        message(b); /* so that the mbedtls object goes */
        mbedtls_ssl_free(&b->ssl);
        clock_leap(&b->clock, 100); /* below the limit by the second */
    } while (cpu_s(CLOCK_MONOTONIC) - wall < seconds);
    double cost = (cpu_s(CLOCK_PROCESS_CPUTIME_ID) - begun - b->client_s) / (double)(b->established - before);
    printf("{\"bench\":\"dtls handshakes\",\"suite\":\"%s\",\"per_s_and_core\":%.0f,\"us\":%.1f}\n", name, 1 / cost,
           cost * 1e6);
}

static void messages(struct bench *b, const char *name) {
    handshake(b);
    message(b);
    size_t before = b->messages;
    double begun = cpu_s(CLOCK_PROCESS_CPUTIME_ID), wall = cpu_s(CLOCK_MONOTONIC);
    b->client_s = 0;
    do {
        for (int i = 0; i < 100; i++)
            message(b);
    } while (cpu_s(CLOCK_MONOTONIC) - wall < seconds);
    double cost = (cpu_s(CLOCK_PROCESS_CPUTIME_ID) - begun - b->client_s) / (double)(b->messages - before);
    printf("{\"bench\":\"dtls 64 bytes in, 17 out\",\"suite\":\"%s\",\"per_s_and_core\":%.0f,\"us\":%.2f}\n", name,
           1 / cost, cost * 1e6);
    mbedtls_ssl_free(&b->ssl);
}

static void records(enum record_aead aead, const char *name) {
    struct dtls_keys keys = {.aead = (uint8_t)aead, .key_len = 16, .epoch = 1, .max_content = 1024, .cid_len = 8};
    keys.peer_cid_len = 8;
    keys.number_limit = UINT64_MAX;
    uint8_t bytes[256], content[64] = {0};
    size_t count = 0;
    double begun = cpu_s(CLOCK_THREAD_CPUTIME_ID), spent;
    do {
        for (int i = 0; i < 1000; i++, count++) {
            struct buffer out = buffer_over(bytes, sizeof bytes);
            struct record record;
            size_t used;
            record_seal(&keys, RECORD_APPLICATION_DATA, slice_of(content, sizeof content), &out);
            require(record_open(&keys, bytes, out.len, &record, &used) == RECORD_CONTENT, "a record does not open");
        }
        spent = cpu_s(CLOCK_THREAD_CPUTIME_ID) - begun;
    } while (spent < seconds / 2);
    printf("{\"bench\":\"record sealed and opened, 64 bytes\",\"aead\":\"%s\",\"us\":%.3f}\n", name,
           spent / (double)count * 1e6);
}

/* A row of a session as dtls_session_row writes them, from one that is there, and then many like it. */
static struct link *last_saved;

static void on_save(void *arg, struct link *link) {
    struct dtls_session_row row;
    if (dtls_session_row(link, &row, NULL))
        dtls_saved(((struct bench *)arg)->dtls, row.id);
    last_saved = link;
}

static void sleepers(struct bench *b) {
    uint8_t bytes[DTLS_SESSION_SECRET_MAX];
    struct buffer secret = buffer_over(bytes, sizeof bytes);
    struct dtls_session_row row;
    handshake(b);
    message(b);
    require(last_saved != NULL && dtls_session_row(last_saved, &row, &secret), "no row");
    mbedtls_ssl_free(&b->ssl);
    struct mallinfo2 before = mallinfo2();
    double begun = cpu_s(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < SLEEPERS; i++) {
        row.id = i + 1;
        memcpy(bytes + 17 + 1, &i, sizeof i);                       /* within the CID */
        snprintf((char *)bytes + row.secret.len - 8, 8, "%07u", i); /* at the end of the name */
        row.peer.ip[0] = (uint8_t)(i >> 16);
        row.peer.port = (uint16_t)(i | 1);
        require(dtls_restore(b->dtls, &b->listener, &row) != NULL, "a row can't be restored");
    }
    double spent = cpu_s(CLOCK_MONOTONIC) - begun;
    struct mallinfo2 after = mallinfo2();
    printf("{\"bench\":\"dtls sessions restored\",\"sessions\":%d,\"s\":%.3f,\"bytes_each\":%.0f}\n", SLEEPERS, spent,
           (double)(after.uordblks - before.uordblks) / SLEEPERS);
}

/* ---- certificates ---- */

struct own {
    uint8_t der[1024], key_der[256];
    size_t der_len, key_len;
    mbedtls_pk_context key;
    mbedtls_x509_crt certificate;
};

static void make(struct own *own, const char *subject) {
    mbedtls_x509write_cert writing;
    static const uint8_t serial[] = {1};
    mbedtls_pk_init(&own->key);
    mbedtls_x509_crt_init(&own->certificate);
    mbedtls_x509write_crt_init(&writing);
    mbedtls_x509write_crt_set_md_alg(&writing, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&writing, &own->key);
    mbedtls_x509write_crt_set_issuer_key(&writing, &own->key);
    require(mbedtls_pk_setup(&own->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
                mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(own->key), dtls_random, NULL) == 0 &&
                mbedtls_x509write_crt_set_serial_raw(&writing, (uint8_t *)(uintptr_t)serial, sizeof serial) == 0 &&
                mbedtls_x509write_crt_set_validity(&writing, "19700101000000", "20991231235959") == 0 &&
                mbedtls_x509write_crt_set_subject_name(&writing, subject) == 0 &&
                mbedtls_x509write_crt_set_issuer_name(&writing, subject) == 0,
            "no certificate");
    int len = mbedtls_x509write_crt_der(&writing, own->der, sizeof own->der, dtls_random, NULL);
    int key_len = mbedtls_pk_write_key_der(&own->key, own->key_der, sizeof own->key_der);
    require(len > 0 && key_len > 0, "no certificate");
    own->der_len = (size_t)len;
    own->key_len = (size_t)key_len;
    memmove(own->der, own->der + sizeof own->der - own->der_len, own->der_len);
    memmove(own->key_der, own->key_der + sizeof own->key_der - own->key_len, own->key_len);
    require(mbedtls_x509_crt_parse_der(&own->certificate, own->der, own->der_len) == 0, "no certificate");
    mbedtls_x509write_crt_free(&writing);
}

int main(int argc, char **argv) {
    static struct bench b;
    static struct own server, client;
    static const int psk_ccm_8[] = {0xc0a8, 0}, psk_gcm[] = {0x00a8, 0}, ecdsa_ccm_8[] = {0xc0ae, 0};
    const char *problem = "";
    struct dtls_params params;
    struct dtls_handlers handlers = {.send = on_send,
                                     .receive = on_receive,
                                     .psk = on_psk,
                                     .certificate = on_certificate,
                                     .established = on_established,
                                     .save = on_save};
    seconds = argc > 1 ? atof(argv[1]) : seconds;
    uv_loop_init(&b.loop);
    clock_init_still(&b.clock, 1700000000000);
    timer_wheel_init(&b.wheel, clock_now_ms(&b.clock), NULL);
    b.listener = (struct listener){.transport = LINK_DTLS, .address = {.family = ADDRESS_IPV4, .port = 5684}};
    b.peer = (struct address){.family = ADDRESS_IPV4, .ip = {10, 0, 0, 0}};
    dtls_params_default(&params);
    b.dtls = dtls_new(&b.loop, &b.clock, &b.wheel, &params, &handlers, &b);
    require(b.dtls != NULL, "no DTLS");
    make(&server, "CN=server");
    make(&client, "CN=bench-device");
    require(dtls_add_certificate(b.dtls, slice_of(server.der, server.der_len), slice_of(server.key_der, server.key_len),
                                 &problem),
            problem);

    records(RECORD_CCM_8, "AES_128_CCM_8");
    records(RECORD_GCM, "AES_128_GCM");
    configure(&b, psk_ccm_8);
    require(mbedtls_ssl_conf_psk(&b.config, key, sizeof key, (const unsigned char *)"bench-device-01", 15) == 0,
            "no key");
    handshakes(&b, "TLS_PSK_WITH_AES_128_CCM_8");
    compare(&b);
    sleepers(&b);
    mbedtls_ssl_config_free(&b.config);

    /* From here on without rows, as numbers are not reserved. */
    dtls_close(b.dtls);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    handlers.save = NULL;
    b.dtls = dtls_new(&b.loop, &b.clock, &b.wheel, &params, &handlers, &b);
    require(b.dtls != NULL && dtls_add_certificate(b.dtls, slice_of(server.der, server.der_len),
                                                   slice_of(server.key_der, server.key_len), &problem),
            problem);
    configure(&b, psk_ccm_8);
    require(mbedtls_ssl_conf_psk(&b.config, key, sizeof key, (const unsigned char *)"bench-device-01", 15) == 0,
            "no key");
    messages(&b, "TLS_PSK_WITH_AES_128_CCM_8");
    mbedtls_ssl_config_free(&b.config);
    configure(&b, psk_gcm);
    require(mbedtls_ssl_conf_psk(&b.config, key, sizeof key, (const unsigned char *)"bench-device-01", 15) == 0,
            "no key");
    messages(&b, "TLS_PSK_WITH_AES_128_GCM_SHA256");
    mbedtls_ssl_config_free(&b.config);
    configure(&b, ecdsa_ccm_8);
    require(mbedtls_ssl_conf_own_cert(&b.config, &client.certificate, &client.key) == 0, "no certificate");
    handshakes(&b, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, client certificate");
    mbedtls_ssl_config_free(&b.config);
    dtls_close(b.dtls);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    return 0;
}
