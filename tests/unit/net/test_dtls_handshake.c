/* Handshakes of mbedtls clients with a server of ours, from the first ClientHello to the session. */
#include <mbedtls/ssl_ciphersuites.h>
#include <time.h>

#include "common/base/random.h"
#include "common/net/record.h"
#include "tests/unit/net/dtls_bench.h"

static struct bench_identity authority, server_one, server_two, device, stranger;

static int make_certificates(void **state) {
    (void)state;
    bench_identity_make(&authority, "CN=Test CA", NULL, NULL);
    bench_identity_make(&server_one, "CN=berth", "one.example.com", &authority);
    bench_identity_make(&server_two, "CN=berth two", "*.two.example.com", &authority);
    bench_identity_make(&device, "CN=dev-x509,OU=account,L=0123", NULL, &authority);
    bench_identity_make(&stranger, "CN=stranger", NULL, NULL);
    return 0;
}

static int free_certificates(void **state) {
    (void)state;
    struct bench_identity *all[] = {&authority, &server_one, &server_two, &device, &stranger};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        bench_identity_free(all[i]);
    return 0;
}

static void start_with_certificates(struct bench *b) {
    const char *problem = NULL;
    bench_start_dtls(b);
    if (!dtls_add_certificate(b->dtls, slice_of(server_one.der, server_one.der_len),
                              slice_of(server_one.key_der, server_one.key_len), &problem) ||
        !dtls_add_certificate(b->dtls, slice_of(server_two.der, server_two.der_len),
                              slice_of(server_two.key_der, server_two.key_len), &problem) ||
        !dtls_add_authority(b->dtls, slice_of(authority.der, authority.der_len), &problem))
        fail_msg("%s", problem);
}

static struct dtls_description describe(const struct bench *b) {
    struct dtls_description description;
    dtls_describe(b->link, &description);
    return description;
}

static const int ecdsa_ccm_8[] = {0xc0ae, 0};

/* ---- suites ---- */

static void try_suite(struct bench *b, int suite, const struct bench_identity *certificate) {
    int suites[] = {suite, 0};
    struct client *c = bench_client(b, 0, &(struct bench_client_options){.suites = suites, .certificate = certificate});
    bench_handshake(c);
    assert_int_equal(c->timeouts, 0);
    for (int i = 0; i < 3; i++)
        bench_exchange(c, "exchange");
    assert_string_equal(describe(b).cipher_suite, cipher_suite_find((uint16_t)suite)->name);
    assert_int_equal(describe(b).live, cipher_suite_find((uint16_t)suite)->aead == RECORD_CBC || b->params.keep_live);
    assert_int_equal(b->failed, 0);
}

static void test_SEC_01_every_psk_suite(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    static const int suites[] = {0xc0a8, 0x00ae, 0xc0a4, 0x00a8, 0xc0a9, 0xc0a5, 0x00a9, 0xc037};
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
        try_suite(b, suites[i], NULL);
    assert_int_equal(b->link->identity->security, LINK_PSK);
    assert_true(slice_is(b->link->identity->name, "dev1"));
    assert_string_equal(link_transport_name(b->link->listener->transport), "dtls");
}

static void test_SEC_02_every_suite_with_certificates(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    static const int suites[] = {0xc0ae, 0xc023, 0xc0ac, 0xc02b, 0xc0af, 0xc0ad, 0xc02c};
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
        try_suite(b, suites[i], &device);
    assert_int_equal(b->link->identity->security, LINK_X509);
    assert_true(slice_is(b->link->identity->name, "dev-x509"));
}

/* A build that keeps mbedtls contexts is held to the same. */
static void test_sessions_that_stay_with_mbedtls(void **state) {
    struct bench *b = *state;
    b->params.keep_live = true;
    start_with_certificates(b);
    try_suite(b, 0xc0a8, NULL);
    try_suite(b, 0xc02b, &device);
    assert_int_equal(dtls_counters(b->dtls).live, 2);
}

static void test_SEC_03_what_is_not_offered_is_refused(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    static const int suites[][2] = {{MBEDTLS_TLS_PSK_WITH_AES_128_CBC_SHA, 0},
                                    {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, 0},
                                    {MBEDTLS_TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, 0}};
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        struct client *c = bench_client(b, 0, &(struct bench_client_options){.suites = suites[i]});
        bench_run(b);
        assert_int_equal(c->error, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
        assert_int_equal(b->failure.fault, DTLS_FAULT_NO_COMMON_PARAMETERS);
        assert_int_equal(b->failure.alert_sent, 40); /* SEC-21: final for clients */
    }
    assert_int_equal(b->failed, 3);
    assert_int_equal(dtls_counters(b->dtls).pending, 0);
}

/* ---- keys and identities ---- */

static void test_SEC_04_long_identities_and_keys(void **state) {
    struct bench *b = *state;
    uint8_t key[DTLS_PSK_KEY_MAX];
    char identity[DTLS_IDENTITY_MAX + 2];
    memset(identity, 0xfe, sizeof identity);
    identity[DTLS_IDENTITY_MAX] = '\0';
    random_bytes(key, sizeof key);
    b->key = slice_of(key, sizeof key);
    bench_start_dtls(b);
    struct bench_client_options options = {.identity = identity};
    struct client *c = bench_client(b, 0, &options);
    bench_handshake(c);
    bench_exchange(c, "hello");
    assert_int_equal(b->link->identity->name.len, DTLS_IDENTITY_MAX);
    b->key = slice_of(key, 1);
    c = bench_client(b, 1, NULL);
    bench_handshake(c);
    bench_exchange(c, "hello");
    identity[DTLS_IDENTITY_MAX] = 'x'; /* one byte too many */
    identity[DTLS_IDENTITY_MAX + 1] = '\0';
    c = bench_client(b, 2, &options);
    bench_run(b);
    assert_false(c->over);
    assert_int_equal(b->failure.fault, DTLS_FAULT_UNKNOWN_IDENTITY);
}

static void test_SEC_06_SEC_23_an_unknown_identity(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, &(struct bench_client_options){.identity = "nobody"});
    bench_run(b);
    assert_int_equal(c->error, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    assert_int_equal(b->failed, 1);
    assert_int_equal(b->failure.fault, DTLS_FAULT_UNKNOWN_IDENTITY);
    assert_int_equal(b->failure.alert_sent, 115);
    assert_int_equal(b->failure.identity.security, LINK_PSK);
    assert_true(slice_is(b->failure.identity.name, "nobody"));
    assert_true(address_equal(&b->failure.peer, &c->address));
    assert_true(b->failure.bytes_in > 100 && b->failure.bytes_out > 100);
    assert_int_equal(b->established, 0);
}

static void test_SEC_06_an_unknown_identity_that_is_not_told_so(void **state) {
    struct bench *b = *state;
    b->params.hide_unknown_identities = true;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, &(struct bench_client_options){.identity = "nobody"});
    bench_run(b);
    assert_int_equal(c->error, 0);
    assert_int_equal(b->failed, 0);
    bench_leap(b, b->params.handshake_timeout_ms);
    assert_int_equal(b->failed, 1);
    assert_int_equal(b->failure.fault, DTLS_FAULT_UNKNOWN_IDENTITY);
    assert_int_equal(b->failure.alert_sent, -1);
}

static void test_SEC_07_a_wrong_key_is_met_with_silence(void **state) {
    static const int suites[][2] = {{0xc0a8, 0}, {0x00a8, 0}};
    for (size_t i = 0; i < 2; i++) {
        void *fresh;
        bench_start(&fresh);
        struct bench *b = fresh;
        bench_start_dtls(b);
        struct bench_client_options options = {.suites = suites[i], .key = slice_str("another key")};
        struct client *c = bench_client(b, 0, &options);
        bench_run(b);
        assert_int_equal(c->error, 0); /* no alert */
        assert_int_equal(b->failed, 0);
        assert_int_equal(dtls_counters(b->dtls).pending, 1);
        bench_client_free(c);
        bench_leap(b, b->params.handshake_timeout_ms);
        assert_int_equal(b->failed, 1);
        assert_int_equal(b->failure.fault, DTLS_FAULT_WRONG_KEY);
        assert_int_equal(b->failure.alert_sent, -1);
        assert_true(slice_is(b->failure.identity.name, "dev1"));
        assert_int_equal(dtls_counters(b->dtls).pending, 0);
        bench_stop(&fresh);
    }
    (void)state;
}

static void test_SEC_07_a_wrong_key_with_cbc(void **state) {
    struct bench *b = *state;
    static const int suites[] = {0x00ae, 0};
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, &(struct bench_client_options){.suites = suites, .key = slice_str("other")});
    bench_run(b);
    assert_int_equal(c->error, 0);
    assert_int_equal(b->failed, 1);
    assert_int_equal(b->failure.fault, DTLS_FAULT_WRONG_KEY);
}

/* ---- cookies and limits ---- */

static bool lose_all(struct bench *b, struct bench_datagram *datagram) {
    (void)b, (void)datagram;
    return false;
}

static bool lose_down(struct bench *b, struct bench_datagram *datagram) {
    (void)b;
    return datagram->up;
}

static void test_SEC_08_nothing_is_kept_before_the_cookie_comes_back(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    b->filter = lose_down;
    bench_client(b, 0, NULL);
    bench_run(b);
    assert_int_equal(b->datagrams_down, 1);
    assert_int_equal(b->bytes_down, 36);
    assert_true(b->bytes_down < b->bytes_up);
    struct dtls_counters counters = dtls_counters(b->dtls);
    assert_int_equal(counters.hello_verifies, 1);
    assert_int_equal(counters.pending, 0);
    assert_int_equal(counters.handshakes_begun, 0);
    assert_int_equal(b->wheel.count, 0);
}

static struct bench_datagram kept;

static bool keep_second_hello(struct bench *b, struct bench_datagram *datagram) {
    if (datagram->up && b->datagrams_up == 2)
        kept = *datagram;
    return true;
}

static void test_SEC_08_a_cookie_of_another_address_is_none(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    b->filter = keep_second_hello;
    bench_handshake(bench_client(b, 0, NULL));
    struct address other = kept.peer;
    other.port++;
    uint64_t begun = dtls_counters(b->dtls).handshakes_begun;
    bench_inject(b, &other, slice_of(kept.bytes, kept.len));
    assert_int_equal(dtls_counters(b->dtls).handshakes_begun, begun);
    assert_int_equal(dtls_counters(b->dtls).hello_verifies, 2);
}

static void test_SEC_08_cookies_can_be_left_out(void **state) {
    struct bench *b = *state;
    b->params.cookie = DTLS_COOKIE_NEVER;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, NULL);
    bench_handshake(c);
    bench_exchange(c, "hello");
    assert_int_equal(dtls_counters(b->dtls).hello_verifies, 0);
}

static void test_SEC_08_cookies_under_load_only(void **state) {
    struct bench *b = *state;
    b->params.cookie = DTLS_COOKIE_UNDER_LOAD;
    b->params.under_load_pending = 1;
    b->params.under_load_per_s = 3;
    bench_start_dtls(b);
    bench_handshake(bench_client(b, 0, NULL));
    assert_int_equal(dtls_counters(b->dtls).hello_verifies, 0);
    b->filter = lose_down;
    bench_client(b, 1, NULL); /* stays pending */
    bench_run(b);
    b->filter = NULL;
    assert_int_equal(dtls_counters(b->dtls).pending, 1);
    bench_handshake(bench_client(b, 2, NULL));
    assert_int_equal(dtls_counters(b->dtls).hello_verifies, 1);
    bench_client_free(&b->clients[1]);
    bench_leap(b, 61000); /* nothing pending any more: now the rate */
    for (size_t i = 0; i < 3; i++)
        bench_handshake(bench_client(b, i, NULL));
    assert_int_equal(dtls_counters(b->dtls).hello_verifies, 1);
    bench_handshake(bench_client(b, 3, NULL));
    assert_int_equal(dtls_counters(b->dtls).hello_verifies, 2);
}

static void test_pending_handshakes_are_capped_and_time_out(void **state) {
    struct bench *b = *state;
    b->params.handshakes_max = 2;
    b->params.cookie = DTLS_COOKIE_NEVER;
    bench_start_dtls(b);
    b->filter = lose_down;
    for (size_t i = 0; i < 3; i++)
        bench_client(b, i, NULL);
    bench_run(b);
    assert_int_equal(dtls_counters(b->dtls).pending, 2);
    assert_int_equal(dtls_counters(b->dtls).handshakes_refused, 1);
    for (size_t i = 0; i < 3; i++)
        bench_client_free(&b->clients[i]);
    bench_leap(b, 59000);
    assert_int_equal(dtls_counters(b->dtls).pending, 2);
    bench_leap(b, 1000);
    assert_int_equal(dtls_counters(b->dtls).pending, 0);
    assert_int_equal(b->failed, 2);
    assert_int_equal(b->failure.fault, DTLS_FAULT_TIMEOUT);
}

static void test_handshakes_are_limited_by_the_second(void **state) {
    struct bench *b = *state;
    b->params.handshakes_per_s = 1;
    bench_start_dtls(b);
    bench_handshake(bench_client(b, 0, NULL));
    struct client *c = bench_client(b, 1, NULL);
    bench_run(b);
    assert_false(c->over);
    assert_int_equal(dtls_counters(b->dtls).handshakes_refused, 1);
    bench_leap(b, 2000); /* it tries again by itself */
    assert_true(c->over);
}

/* ---- flights ---- */

static bool lose_flight_twice(struct bench *b, struct bench_datagram *datagram) {
    /* Down: the verify request, then the server's flight. */
    (void)datagram;
    return datagram->up || b->datagrams_down == 1 || b->datagrams_down > 3;
}

static void test_SEC_09_a_lost_flight_comes_again(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    b->filter = lose_flight_twice;
    struct client *c = bench_client(b, 0, NULL);
    bench_run(b);
    assert_false(c->over);
    bench_leap(b, 999);
    assert_int_equal(b->datagrams_down, 2);
    bench_leap(b, 1); /* both sides try again */
    assert_true(b->datagrams_down >= 3);
    bench_leap(b, 10000);
    assert_true(c->over);
    bench_exchange(c, "hello");
    assert_int_equal(b->failed, 0);
}

static void test_SEC_09_our_flight_is_repeated_after_1_2_4_8_seconds(void **state) {
    struct bench *b = *state;
    b->params.cookie = DTLS_COOKIE_NEVER;
    bench_start_dtls(b);
    b->filter = lose_down;
    bench_client(b, 0, NULL);
    bench_run(b);
    bench_client_free(&b->clients[0]);
    size_t flight = b->bytes_down;
    static const uint64_t pauses_ms[] = {1000, 2000, 4000, 8000, 16000};
    for (size_t i = 0; i < 5; i++) {
        bench_leap(b, pauses_ms[i] - 1);
        assert_int_equal(b->bytes_down, flight * (i + 1));
        bench_leap(b, 1);
        assert_int_equal(b->bytes_down, flight * (i + 2));
    }
}

static void test_SEC_09_a_slow_client_is_waited_for(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, NULL);
    for (int i = 0; i < 3; i++) { /* hello, verify request, hello: then it computes for 50 s */
        c->layer->handshake(&c->ssl);
        bench_deliver(b);
    }
    clock_leap(&b->clock, 50000);
    timer_wheel_advance(&b->wheel, clock_now_ms(&b->clock));
    bench_leap(b, 5000);
    assert_true(c->over);
    bench_exchange(c, "hello");
}

static void hs_in_pieces(struct bench *b, uint16_t mtu, const uint8_t *cid, size_t cid_len, bool no_cid) {
    struct client *c = bench_client(b, 0,
                                    &(struct bench_client_options){.suites = ecdsa_ccm_8,
                                                                   .certificate = &device,
                                                                   .mtu = mtu,
                                                                   .cid = cid,
                                                                   .cid_len = cid_len,
                                                                   .no_cid = no_cid});
    bench_handshake(c); /* without time going by: nothing had to come again */
    assert_int_equal(c->timeouts, 0);
    bench_exchange(c, "hello");
}

static void test_SEC_09_CID_07_fragmented_flights_need_no_time_out(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    static const uint16_t mtus[] = {0, 1024, 512, 256, 160};
    for (size_t i = 0; i < sizeof mtus / sizeof mtus[0]; i++) {
        hs_in_pieces(b, mtus[i], NULL, 0, true);
        hs_in_pieces(b, mtus[i], NULL, 0, false);
    }
}

static bool turn_round(struct bench *b, struct bench_datagram *datagram) {
    /* Every datagram overtakes those that are under way in its direction. */
    size_t at = 0;
    while (at < b->network_count && b->network[at].up != datagram->up)
        at++;
    if (b->filter_arg == NULL)
        return true;
    memmove(b->network + at + 1, b->network + at, (b->network_count - at) * sizeof *datagram);
    b->network[at] = *datagram;
    b->network_count++;
    return false;
}

static void test_SEC_09_reordered_flights_need_no_time_out(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    b->filter = turn_round;
    for (int with_cid = 0; with_cid < 2; with_cid++) {
        struct client *c = bench_client(
            b, 0,
            &(struct bench_client_options){
                .suites = ecdsa_ccm_8, .certificate = &device, .no_packing = true, .no_cid = with_cid == 0});
        b->filter_arg = NULL;
        for (int i = 0; i < 3; i++) { /* up to the server's flight in order */
            c->layer->handshake(&c->ssl);
            bench_deliver(b);
        }
        while (uv_loop_alive(&b->loop))
            uv_run(&b->loop, UV_RUN_ONCE);
        bench_deliver(b);
        b->filter_arg = b; /* the client's: Finished first, certificate last */
        bench_handshake(c);
        assert_int_equal(c->timeouts, 0);
        b->filter_arg = NULL;
        bench_exchange(c, "hello");
    }
}

/* A record mbedtls would read as DTLS handshake message: take a whole ClientHello datagram apart. */
static size_t split_hello(const struct bench_datagram *whole, size_t piece, struct bench_datagram *out) {
    size_t body = whole->len - 25, count = 0;
    for (size_t at = 0; at < body; at += piece, count++) {
        size_t len = body - at < piece ? body - at : piece;
        struct bench_datagram *part = &out[count];
        *part = *whole;
        part->bytes[10] = (uint8_t)(whole->bytes[10] + count * 0x10); /* record number */
        part->bytes[11] = (uint8_t)((12 + len) >> 8);
        part->bytes[12] = (uint8_t)(12 + len);
        part->bytes[19] = 0;
        part->bytes[20] = (uint8_t)(at >> 8);
        part->bytes[21] = (uint8_t)at;
        part->bytes[22] = 0;
        part->bytes[23] = (uint8_t)(len >> 8);
        part->bytes[24] = (uint8_t)len;
        memcpy(part->bytes + 25, whole->bytes + 25 + at, len);
        part->len = 25 + len;
    }
    return count;
}

static bool split_hellos(struct bench *b, struct bench_datagram *datagram) {
    static struct bench_datagram parts[16];
    if (!datagram->up || datagram->bytes[0] != 22 || datagram->bytes[13] != 1)
        return true;
    size_t count = split_hello(datagram, 50, parts);
    for (size_t i = 0; i < count; i++)
        b->network[b->network_count++] = parts[i];
    return false;
}

static void test_SEC_09_a_fragmented_hello(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    b->filter = split_hellos;
    struct client *c = bench_client(b, 0, &(struct bench_client_options){.cid = (const uint8_t *)"abcd", .cid_len = 4});
    bench_handshake(c);
    assert_int_equal(c->timeouts, 0);
    assert_int_equal(describe(b).peer_cid.len, 4); /* from the hello's end */
    bench_exchange(c, "hello");
    if (dtls_has_draft_cid()) {
        c = bench_client(b, 1, &(struct bench_client_options){.layer = dtls_layer_draft()});
        bench_handshake(c);
        assert_true(describe(b).cid_draft);
        bench_exchange(c, "hello");
    }
}

static bool lose_finished_of_server(struct bench *b, struct bench_datagram *datagram) {
    /* Down: the verify request, the flight, and the last one. */
    return datagram->up || b->datagrams_down != 3;
}

static void test_SEC_09_a_lost_last_flight_comes_again(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    b->filter = lose_finished_of_server;
    for (int with_cid = 0; with_cid < 2; with_cid++) {
        b->datagrams_down = 0;
        struct client *c = bench_client(b, (size_t)with_cid, &(struct bench_client_options){.no_cid = with_cid == 0});
        bench_run(b);
        assert_int_equal(b->established, with_cid + 1); /* for us it is over, for the client not */
        assert_false(c->over);
        bench_leap(b, 1000);
        assert_true(c->over);
        assert_int_equal(c->timeouts, 1);
        bench_exchange(c, "one");
        bench_exchange(c, "two");
        assert_int_equal(b->established, with_cid + 1);
    }
}

static bool duplicate_all(struct bench *b, struct bench_datagram *datagram) {
    b->network[b->network_count++] = *datagram;
    return true;
}

static void test_SEC_09_everything_comes_twice(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    b->filter = duplicate_all;
    struct client *c = bench_client(b, 0, NULL);
    bench_handshake(c);
    bench_exchange(c, "hello");
    c = bench_client(b, 1, &(struct bench_client_options){.suites = ecdsa_ccm_8, .certificate = &device, .mtu = 256});
    bench_handshake(c);
    bench_exchange(c, "hello");
    assert_int_equal(b->established, 2);
    assert_int_equal(b->failed, 0);
    assert_int_equal(b->messages, 2);
    assert_int_equal(dtls_counters(b->dtls).pending, 0);
}

/* ---- certificates ---- */

static struct client *certificate_client(struct bench *b, const struct bench_identity *identity, const char *name) {
    return bench_client(
        b, 0, &(struct bench_client_options){.suites = ecdsa_ccm_8, .certificate = identity, .server_name = name});
}

static void test_SEC_13_SEC_14_a_chain_to_an_authority(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    struct client *c = certificate_client(b, &device, NULL);
    bench_handshake(c);
    assert_true(b->shown.chain_trusted);
    assert_true(b->shown.dates_good);
    assert_string_equal(b->shown_name, "dev-x509");
    static const uint8_t zero[32];
    assert_memory_not_equal(b->link->identity->fingerprint, zero, 32);
    assert_int_equal(describe(b).live, true); /* until the first message */
    bench_exchange(c, "hello");
}

static void test_SEC_13_a_stranger_is_refused_unless_pinned(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    struct client *c = certificate_client(b, &stranger, NULL);
    bench_run(b);
    assert_int_equal(c->error, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    assert_false(b->shown.chain_trusted);
    assert_int_equal(b->failure.fault, DTLS_FAULT_CERTIFICATE_REFUSED);
    assert_int_equal(b->failure.alert_sent, 48);
    assert_true(slice_is(b->failure.identity.name, "stranger"));
    b->certificate_verdict = 0; /* the owner knows this very certificate */
    c = certificate_client(b, &stranger, NULL);
    bench_handshake(c);
    bench_exchange(c, "hello");
}

static void test_SEC_13_SEC_21_alerts_that_refuse_a_certificate(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    static const int alerts[] = {42, 43, 44, 45, 46, 48, 49};
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++) {
        b->certificate_verdict = alerts[i];
        struct client *c = certificate_client(b, &device, NULL);
        bench_run(b);
        assert_int_equal(c->error, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
        assert_int_equal(b->failure.alert_sent, alerts[i]);
    }
}

static void test_SEC_13_no_certificate(void **state) {
    struct bench *b = *state;
    static const struct bench_identity none;
    start_with_certificates(b);
    struct client *c = certificate_client(b, &none, NULL);
    bench_run(b);
    assert_int_equal(c->error, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    assert_int_equal(b->failure.fault, DTLS_FAULT_NO_CERTIFICATE);
    assert_int_equal(b->failure.alert_sent, 40);
}

static void test_SEC_13_without_authorities_only_pinned_ones(void **state) {
    struct bench *b = *state;
    const char *problem;
    bench_start_dtls(b);
    assert_true(dtls_add_certificate(b->dtls, slice_of(server_one.der, server_one.der_len),
                                     slice_of(server_one.key_der, server_one.key_len), &problem));
    struct client *c = certificate_client(b, &device, NULL);
    bench_run(b);
    assert_int_equal(b->failure.alert_sent, 48);
    b->certificate_verdict = 0;
    c = certificate_client(b, &device, NULL);
    bench_handshake(c);
    bench_exchange(c, "hello");
}

static void test_SEC_15_SEC_16_the_certificate_for_a_server_name(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    static const struct {
        const char *name;
        const struct bench_identity *expected;
    } cases[] = {{NULL, &server_one},
                 {"one.example.com", &server_one},
                 {"a.two.example.com", &server_two},
                 {"A.TWO.example.COM", &server_two},
                 {"two.example.com", &server_one},
                 {"192.0.2.1", &server_one},
                 {"::1", &server_one},
                 {"other", &server_one}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client *c = certificate_client(b, &device, cases[i].name);
        bench_handshake(c);
        const mbedtls_x509_crt *shown = mbedtls_ssl_get_peer_cert(&c->ssl);
        assert_int_equal(shown->raw.len, cases[i].expected->der_len);
        assert_memory_equal(shown->raw.p, cases[i].expected->der, shown->raw.len);
        assert_null(shown->next); /* the leaf alone */
    }
}

static void test_certificates_that_can_not_be_used(void **state) {
    struct bench *b = *state;
    const char *problem = NULL;
    bench_start_dtls(b);
    struct slice certificate = slice_of(server_one.der, server_one.der_len);
    struct slice key = slice_of(server_one.key_der, server_one.key_len);
    assert_false(dtls_add_certificate(b->dtls, slice_str("nonsense"), key, &problem));
    assert_string_equal(problem, "the certificate cannot be read");
    assert_false(dtls_add_certificate(b->dtls, certificate, slice_str("nonsense"), &problem));
    assert_string_equal(problem, "the private key cannot be read");
    assert_false(dtls_add_certificate(b->dtls, certificate, slice_of(device.key_der, device.key_len), &problem));
    assert_string_equal(problem, "certificate and private key do not belong together");
    assert_false(dtls_add_authority(b->dtls, slice_str("-----BEGIN nonsense"), &problem));
    assert_true(dtls_add_certificate(b->dtls, certificate, key, &problem));
}

/* ---- connection IDs ---- */

static void test_CID_01_CID_02_CID_03_connection_ids_of_every_length(void **state) {
    struct bench *b = *state;
    static const uint8_t cid[32] = {9, 8, 7};
    static const size_t lengths[] = {0, 4, 8, 32};
    b->params.node = 5;
    bench_start_dtls(b);
    for (size_t i = 0; i < 4; i++) {
        struct client *c = bench_client(b, 0, &(struct bench_client_options){.cid = cid, .cid_len = lengths[i]});
        bench_handshake(c);
        bench_exchange(c, "hello");
        struct dtls_description d = describe(b);
        assert_int_equal(d.cid.len, 8);
        assert_int_equal(d.cid.data[0], 5); /* the node */
        assert_false(d.cid_draft);
        assert_true(slice_equal(d.peer_cid, slice_of(cid, lengths[i])));
    }
    struct client *c = bench_client(b, 0, &(struct bench_client_options){.no_cid = true});
    bench_handshake(c);
    bench_exchange(c, "hello");
    assert_int_equal(describe(b).cid.len, 0);
}

/* mbedtls sends records with CIDs of up to 32 bytes: with a longer one the handshake goes on without. */
static void test_CID_03_a_cid_that_is_too_long(void **state) {
    struct bench *b = *state;
    static const struct address peer = {.family = ADDRESS_IPV4, .port = 9, .ip = {192, 0, 2, 9}};
    b->params.cookie = DTLS_COOKIE_NEVER;
    bench_start_dtls(b);
    for (uint8_t cid_len = 32; cid_len <= 33; cid_len++) {
        uint8_t bytes[256] = {0}, random[32];
        struct buffer out = buffer_over(bytes, sizeof bytes);
        uint16_t body_len = (uint16_t)(2 + 32 + 1 + 1 + 4 + 2 + 2 + 5 + cid_len);
        random_bytes(random, sizeof random);
        buffer_put(&out, "\x16\xfe\xfd\0\0\0\0\0\0\0\0", 11);
        buffer_put_u16(&out, (uint16_t)(12 + body_len));
        buffer_put(&out, "\1\0", 2);
        buffer_put_u16(&out, body_len);
        buffer_put(&out, "\0\0\0\0\0\0", 6);
        buffer_put_u16(&out, body_len);
        buffer_put(&out, "\xfe\xfd", 2);
        buffer_put(&out, random, sizeof random);
        buffer_put(&out, "\0\0\0\2\xc0\xa8\1\0", 8);
        buffer_put_u16(&out, (uint16_t)(5 + cid_len));
        buffer_put_u16(&out, 54);
        buffer_put_u16(&out, (uint16_t)(1 + cid_len));
        buffer_put_u8(&out, cid_len);
        memset(buffer_take(&out, cid_len), 'c', cid_len);
        b->network_count = 0;
        bench_inject(b, &peer, buffer_slice(&out));
        assert_int_equal(b->network_count, 1);
        const struct bench_datagram *flight = &b->network[0];
        bool has_cid = memmem(flight->bytes, flight->len, "\0\x36\0\x09\x08", 5) != NULL;
        assert_int_equal(has_cid, cid_len <= 32);
    }
    b->network_count = 0;
    assert_int_equal(b->failure.fault, DTLS_FAULT_REPLACED);
    assert_int_equal(b->failed, 1); /* the first by the second: it came from the same address */
}

static void test_CID_01_our_length_is_a_setting(void **state) {
    static const uint8_t lengths[] = {0, 1, 4, 20, 32};
    (void)state;
    for (size_t i = 0; i < sizeof lengths; i++) {
        void *fresh;
        bench_start(&fresh);
        struct bench *b = fresh;
        b->params.cid_length = lengths[i];
        bench_start_dtls(b);
        for (size_t n = 0; n < 3; n++) {
            struct client *c = bench_client(b, n, NULL);
            bench_handshake(c);
            bench_exchange(c, "hello");
            assert_int_equal(describe(b).cid.len, lengths[i]);
        }
        bench_stop(&fresh);
    }
}

static void test_CID_16_the_drafts_extension_is_answered_in_kind(void **state) {
    struct bench *b = *state;
    static const uint8_t cid[32] = {9, 8, 7};
    static const size_t lengths[] = {0, 4, 32};
    static const int suites[][2] = {{0xc0a8, 0}, {0x00a8, 0}, {0x00ae, 0}};
    if (!dtls_has_draft_cid())
        skip();
    bench_start_dtls(b);
    for (size_t i = 0; i < 9; i++) {
        struct client *c = bench_client(
            b, i % 3,
            &(struct bench_client_options){
                .layer = dtls_layer_draft(), .suites = suites[i / 3], .cid = cid, .cid_len = lengths[i % 3]});
        bench_handshake(c);
        for (int n = 0; n < 3; n++)
            bench_exchange(c, "hello");
        assert_true(describe(b).cid_draft);
        assert_int_equal(describe(b).cid.len, 8);
    }
    struct client *c = bench_client(b, 3, NULL); /* beside one of the RFC */
    bench_handshake(c);
    bench_exchange(c, "hello");
    assert_false(describe(b).cid_draft);
}

/* ---- resumption and renegotiation ---- */

static void keep_session(struct client *c) {
    mbedtls_ssl_session_init(&c->session);
    assert_int_equal(mbedtls_ssl_get_session(&c->ssl, &c->session), 0);
    c->have_session = true;
}

static void forget_session(struct client *c) {
    mbedtls_ssl_session_free(&c->session);
    c->have_session = false;
}

static void test_SEC_17_CID_14_resumption_by_session_id(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, NULL);
    bench_handshake(c);
    bench_exchange(c, "hello");
    uint8_t first_cid[8];
    memcpy(first_cid, describe(b).cid.data, 8);
    keep_session(c);
    bench_crash(b); /* the owner keeps what resumes */
    c = bench_client(b, 0, NULL);
    bench_handshake(c);
    assert_true(describe(b).resumed);
    assert_true(slice_is(b->link->identity->name, "dev1"));
    assert_int_equal(b->link->identity->security, LINK_PSK);
    assert_memory_not_equal(describe(b).cid.data, first_cid, 8);
    bench_exchange(c, "hello");
    assert_int_equal(dtls_counters(b->dtls).handshakes_resumed, 1);

    b->not_permitted = true; /* the credential has gone, for resumption too: a full handshake it must be */
    c = bench_client(b, 0, NULL);
    bench_handshake(c);
    assert_false(describe(b).resumed);
    b->not_permitted = false;
    bench_leap(b, b->params.resume_ms); /* too old */
    c = bench_client(b, 0, NULL);
    bench_handshake(c);
    assert_false(describe(b).resumed);
    forget_session(c);
}

static void test_SEC_17_resumption_with_a_certificate_keeps_the_identity(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    struct client *c = certificate_client(b, &device, NULL);
    bench_handshake(c);
    bench_exchange(c, "hello");
    uint8_t fingerprint[32];
    memcpy(fingerprint, b->link->identity->fingerprint, 32);
    keep_session(c);
    c = certificate_client(b, &device, NULL);
    bench_handshake(c);
    assert_true(describe(b).resumed);
    assert_int_equal(b->link->identity->security, LINK_X509);
    assert_true(slice_is(b->link->identity->name, "dev-x509"));
    assert_memory_equal(b->link->identity->fingerprint, fingerprint, 32);
    bench_exchange(c, "hello");
    forget_session(c);
}

static void test_SEC_17_resumption_by_ticket(void **state) {
    struct bench *b = *state;
    static const struct bench_client_options options = {.tickets = true};
    uint8_t key[32];
    random_bytes(key, sizeof key);
    b->params.tickets = true;
    bench_start_dtls(b);
    dtls_set_ticket_key(b->dtls, key);
    struct client *c = bench_client(b, 0, &options);
    bench_handshake(c);
    bench_exchange(c, "hello");
    keep_session(c);
    memset(b->resume, 0, sizeof b->resume);
    bench_crash(b);
    dtls_set_ticket_key(b->dtls, key);
    c = bench_client(b, 0, &options);
    bench_handshake(c);
    assert_true(describe(b).resumed);
    assert_true(slice_is(b->link->identity->name, "dev1"));
    bench_exchange(c, "hello");
    b->not_permitted = true;
    c = bench_client(b, 0, &options);
    bench_handshake(c);
    assert_false(describe(b).resumed);
    b->not_permitted = false;
    bench_crash(b); /* with another key */
    c = bench_client(b, 0, &options);
    bench_handshake(c);
    assert_false(describe(b).resumed);
    forget_session(c);
}

static void test_SEC_17_no_ticket_for_clients_that_know_both(void **state) {
    struct bench *b = *state;
    static const struct bench_client_options options = {.tickets = true};
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, &options);
    bench_handshake(c);
    bench_exchange(c, "hello");
    keep_session(c);
    c = bench_client(b, 0, &options);
    bench_handshake(c);
    assert_true(describe(b).resumed);
    forget_session(c);
}

static void test_SEC_17_data_right_behind_a_resumed_finished(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    for (int with_cid = 0; with_cid < 2; with_cid++) {
        struct bench_client_options options = {.no_cid = with_cid == 0};
        struct client *c = bench_client(b, 0, &options);
        bench_handshake(c);
        keep_session(c);
        for (int early = 0; early < 2; early++) {
            c = bench_client(b, 0, &options);
            while (!c->over) { /* so that its last flight is still under way */
                c->over = c->layer->handshake(&c->ssl) == 0;
                if (!c->over)
                    bench_deliver(b);
            }
            assert_int_equal(c->layer->write(&c->ssl, (const unsigned char *)"early", 5), 5);
            assert_int_equal(b->network_count, 2);
            if (early == 1) { /* and even before it */
                struct bench_datagram first = b->network[0];
                b->network[0] = b->network[1];
                b->network[1] = first;
            }
            size_t messages = b->messages;
            bench_run(b);
            assert_int_equal(b->messages, messages + 1);
            assert_true(slice_is(slice_of(b->message, b->message_len), "early"));
            assert_int_equal(c->received_count, 1);
            assert_true(describe(b).resumed);
        }
        forget_session(c);
    }
    assert_int_equal(b->failed, 0);
}

static void renegotiate(struct client *c) {
    int result = mbedtls_ssl_renegotiate(&c->ssl);
    for (int i = 0; i < 20 && result == MBEDTLS_ERR_SSL_WANT_READ; i++) {
        bench_deliver(c->bench);
        while (uv_loop_alive(&c->bench->loop))
            uv_run(&c->bench->loop, UV_RUN_ONCE);
        bench_deliver(c->bench);
        result = mbedtls_ssl_renegotiate(&c->ssl);
    }
    c->error = result;
}

static void test_SEC_03_SEC_28_renegotiation_right_after_the_handshake(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    for (int i = 0; i < 4; i++) {
        struct bench_client_options options = {.no_cid = i % 2 == 1};
        if (i >= 2) {
            options.suites = ecdsa_ccm_8;
            options.certificate = &device;
        }
        struct client *c = bench_client(b, 0, &options);
        bench_handshake(c);
        renegotiate(c);
        assert_int_equal(c->error, 0);
        for (int n = 0; n < 3; n++)
            bench_exchange(c, "after");
        assert_true(describe(b).renegotiated);
        assert_false(describe(b).live);
        size_t replaced = (size_t)(i % 2 + i / 2); /* one of the same identity */
        assert_int_equal(b->closed, replaced);
        renegotiate(c); /* too late now */
        assert_int_not_equal(c->error, 0);
        assert_int_equal(b->closed, replaced);
    }
}

static void test_SEC_28_the_server_random_begins_with_the_time(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    bench_handshake(bench_client(b, 0, NULL));
    struct client *c = bench_client(b, 1, NULL);
    time_t before = time(NULL);
    c->layer->handshake(&c->ssl);
    bench_deliver(b);
    c->layer->handshake(&c->ssl);
    bench_deliver(b);
    assert_int_equal(c->inbox_count, 1);
    const uint8_t *r = c->inbox[0].bytes + 13 + 12 + 2;
    uint32_t told = (uint32_t)r[0] << 24 | (uint32_t)r[1] << 16 | (uint32_t)r[2] << 8 | r[3];
    assert_true(told >= before && told <= time(NULL));
}

static void test_SEC_20_extensions(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c =
        bench_client(b, 0, &(struct bench_client_options){.fragment_code = MBEDTLS_SSL_MAX_FRAG_LEN_512});
    bench_handshake(c);
    bench_exchange(c, "hello");
    uint8_t large[513] = {0};
    assert_true(link_send(b->link, slice_of(large, 512)) == 0);
    assert_true(link_send(b->link, slice_of(large, 513)) < 0);
    bench_run(b);
    assert_int_equal(c->received_len, 512);
}

static void test_SEC_29_the_key_log(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    bench_handshake(bench_client(b, 0, NULL));
    assert_memory_equal(b->key_log, "CLIENT_RANDOM ", 14);
    assert_int_equal(strlen(b->key_log), 14 + 64 + 1 + 96);
}

/* ---- an address in use ---- */

static void test_SEC_11_a_hello_does_not_harm_the_session_there(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    for (int with_cid = 0; with_cid < 2; with_cid++) {
        struct client *c = bench_client(b, 0, &(struct bench_client_options){.no_cid = with_cid == 0});
        bench_handshake(c);
        bench_exchange(c, "hello");
        size_t closed = b->closed;
        /* Somebody who can receive at that address begins a handshake, and can't finish it. */
        struct client *other =
            bench_client(b, 1, &(struct bench_client_options){.key = slice_str("wrong"), .no_cid = true});
        other->address = c->address;
        for (int i = 0; i < 4; i++) {
            other->layer->handshake(&other->ssl);
            bench_deliver(b);
            c->inbox_count = 0;
        }
        assert_int_equal(dtls_counters(b->dtls).pending, 1);
        bench_exchange(c, "still here");
        bench_client_free(other);
        bench_leap(b, 61000);
        bench_exchange(c, "still here");
        assert_int_equal(b->closed, closed);
    }
}

static void test_SEC_11_plaintext_never_reaches_a_session(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    b->filter = keep_second_hello;
    struct client *c = bench_client(b, 0, NULL);
    bench_handshake(c);
    b->filter = NULL;
    bench_exchange(c, "hello");
    /* A hello with a good cookie that only mbedtls would take for one: a byte is left over. */
    kept.bytes[12]++;
    kept.bytes[16]++;
    kept.bytes[24]++;
    kept.bytes[kept.len++] = 0;
    bench_inject(b, &c->address, slice_of(kept.bytes, kept.len));
    kept.bytes[13] = 16; /* and what looks like the client's key exchange */
    bench_inject(b, &c->address, slice_of(kept.bytes, kept.len));
    bench_exchange(c, "still here");
    assert_int_equal(b->closed, 0);
    assert_int_equal(dtls_counters(b->dtls).pending, 0);
}

static void test_SEC_11_SEC_18_a_proven_one_of_the_same_identity_replaces_it(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    for (int with_cid = 0; with_cid < 2; with_cid++) {
        struct bench_client_options options = {.no_cid = with_cid == 0};
        struct client *c = bench_client(b, 0, &options);
        bench_handshake(c);
        bench_exchange(c, "hello");
        struct link *old = link_ref(b->link);
        size_t closed = b->closed;
        c = bench_client(b, 0, &options); /* the device has restarted */
        bench_handshake(c);
        assert_int_equal(b->closed, closed + 1);
        assert_int_equal(b->end, DTLS_END_REPLACED);
        assert_ptr_equal(b->successor, b->link);
        assert_ptr_not_equal(old, b->link);
        assert_true(link_send(old, slice_str("x")) < 0);
        assert_true(slice_is(old->identity->name, "dev1")); /* as long as the link */
        link_unref(old);
        bench_exchange(c, "again");
    }
}

static void test_SEC_11_another_identity_at_the_address_leaves_it_alone(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *one = bench_client(b, 0, &(struct bench_client_options){.no_cid = true});
    bench_handshake(one);
    bench_exchange(one, "hello");
    struct client *two = bench_client(b, 1, &(struct bench_client_options){.no_cid = true, .identity = "dev2"});
    two->address = one->address;
    while (!two->over) {
        two->over = two->layer->handshake(&two->ssl) == 0;
        bench_deliver(b);
        one->inbox_count = 0;
    }
    assert_int_equal(b->closed, 0);
    assert_int_equal(dtls_counters(b->dtls).sessions, 2);
    bench_send(two, "from two"); /* told apart by their keys */
    assert_true(slice_is(b->link->identity->name, "dev2"));
    assert_int_equal(b->messages, 2);
    bench_send(one, "from one");
    assert_int_equal(b->messages, 3);
    assert_true(slice_is(slice_of(b->message, b->message_len), "from one"));
}

static void test_a_client_that_begins_anew(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, NULL);
    for (int i = 0; i < 2; i++) {
        c->layer->handshake(&c->ssl);
        bench_deliver(b);
    }
    assert_int_equal(dtls_counters(b->dtls).pending, 1);
    c = bench_client(b, 0, NULL);
    bench_handshake(c);
    assert_int_equal(b->failed, 1);
    assert_int_equal(b->failure.fault, DTLS_FAULT_REPLACED);
    assert_int_equal(dtls_counters(b->dtls).pending, 0);
}

/* ---- bytes (findings of the reference measurement) ---- */

static void count_bytes(struct bench *b, enum dtls_cookie cookie, size_t full, size_t resumed) {
    static const struct bench_client_options options = {.lean = true, .identity = "urn:imei:12345"}; /* 14 characters */
    b->params.cookie = cookie;
    bench_start_dtls(b);
    b->bytes_up = b->bytes_down = 0;
    struct client *c = bench_client(b, 0, &options);
    bench_handshake(c);
    size_t bytes = b->bytes_up + b->bytes_down;
    if (bytes > full)
        fail_msg("the handshake takes %zu bytes, and %zu at most were expected", bytes, full);
    assert_int_equal(describe(b).traffic.handshake_in, b->bytes_up); /* and the account says so */
    assert_int_equal(describe(b).traffic.handshake_out, b->bytes_down);
    assert_int_equal(describe(b).traffic.handshake_datagrams_in, b->datagrams_up);
    assert_int_equal(describe(b).traffic.handshake_datagrams_out, b->datagrams_down);

    b->bytes_up = b->bytes_down = 0;
    b->no_echo = true;
    bench_send(c, "thirteen byte"); /* an Update */
    assert_int_equal(b->bytes_up, 53);
    link_send(b->link, slice_str("reply"));
    assert_int_equal(b->bytes_down, 34);
    assert_int_equal(describe(b).traffic.records_in, 53);
    assert_int_equal(describe(b).traffic.records_out, 34);
    assert_int_equal(describe(b).traffic.content_in, 13);
    assert_int_equal(describe(b).traffic.content_out, 5);

    keep_session(c);
    b->bytes_up = b->bytes_down = 0;
    c = bench_client(b, 0, &options);
    bench_handshake(c);
    assert_true(describe(b).resumed);
    bytes = b->bytes_up + b->bytes_down;
    if (bytes > resumed)
        fail_msg("resumption takes %zu bytes, and %zu at most were expected", bytes, resumed);
    forget_session(c);
}

static void test_bytes_with_a_cookie(void **state) {
    count_bytes(*state, DTLS_COOKIE_ALWAYS, 560, 553);
}

static void test_bytes_without_a_cookie(void **state) {
    count_bytes(*state, DTLS_COOKIE_NEVER, 424, 389);
}

/* ---- garbage ---- */

static void test_garbage_does_no_harm(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, NULL);
    bench_handshake(c);
    bench_exchange(c, "hello");
    b->filter = lose_all;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[120];
        size_t len = random_below(sizeof bytes);
        random_bytes(bytes, len);
        if (len > 13) {
            bytes[0] = (uint8_t)(20 + random_below(6));
            bytes[1] = 0xfe;
            bytes[2] = 0xfd;
            bytes[3] = 0;
            bytes[4] = (uint8_t)random_below(2);
            bytes[11] = 0;
            bytes[12] = (uint8_t)(len - 13);
        }
        bench_inject(b, &c->address, slice_of(bytes, len));
    }
    b->filter = NULL;
    bench_exchange(c, "still here");
    assert_int_equal(b->closed, 0);
    assert_int_equal(dtls_counters(b->dtls).pending, 0);
}

static void test_closing_while_steps_are_on_the_pool(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    struct client *clients[BENCH_CLIENTS];
    for (size_t i = 0; i < BENCH_CLIENTS; i++)
        clients[i] = bench_client(b, i, &(struct bench_client_options){.suites = ecdsa_ccm_8, .certificate = &device});
    for (int round = 0; round < 2; round++) { /* to the cookie, and the hello onto the pool */
        for (size_t i = 0; i < BENCH_CLIENTS; i++)
            clients[i]->layer->handshake(&clients[i]->ssl);
        bench_deliver(b);
    }
    assert_int_equal(dtls_counters(b->dtls).pending, BENCH_CLIENTS);
    bench_stop_dtls(b);
    assert_int_equal(b->established + b->failed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_SEC_01_every_psk_suite),
        BENCH_TEST(test_SEC_02_every_suite_with_certificates),
        BENCH_TEST(test_sessions_that_stay_with_mbedtls),
        BENCH_TEST(test_SEC_03_what_is_not_offered_is_refused),
        BENCH_TEST(test_SEC_04_long_identities_and_keys),
        BENCH_TEST(test_SEC_06_SEC_23_an_unknown_identity),
        BENCH_TEST(test_SEC_06_an_unknown_identity_that_is_not_told_so),
        BENCH_TEST(test_SEC_07_a_wrong_key_is_met_with_silence),
        BENCH_TEST(test_SEC_07_a_wrong_key_with_cbc),
        BENCH_TEST(test_SEC_08_nothing_is_kept_before_the_cookie_comes_back),
        BENCH_TEST(test_SEC_08_a_cookie_of_another_address_is_none),
        BENCH_TEST(test_SEC_08_cookies_can_be_left_out),
        BENCH_TEST(test_SEC_08_cookies_under_load_only),
        BENCH_TEST(test_pending_handshakes_are_capped_and_time_out),
        BENCH_TEST(test_handshakes_are_limited_by_the_second),
        BENCH_TEST(test_SEC_09_a_lost_flight_comes_again),
        BENCH_TEST(test_SEC_09_our_flight_is_repeated_after_1_2_4_8_seconds),
        BENCH_TEST(test_SEC_09_a_slow_client_is_waited_for),
        BENCH_TEST(test_SEC_09_CID_07_fragmented_flights_need_no_time_out),
        BENCH_TEST(test_SEC_09_reordered_flights_need_no_time_out),
        BENCH_TEST(test_SEC_09_a_fragmented_hello),
        BENCH_TEST(test_SEC_09_a_lost_last_flight_comes_again),
        BENCH_TEST(test_SEC_09_everything_comes_twice),
        BENCH_TEST(test_SEC_13_SEC_14_a_chain_to_an_authority),
        BENCH_TEST(test_SEC_13_a_stranger_is_refused_unless_pinned),
        BENCH_TEST(test_SEC_13_SEC_21_alerts_that_refuse_a_certificate),
        BENCH_TEST(test_SEC_13_no_certificate),
        BENCH_TEST(test_SEC_13_without_authorities_only_pinned_ones),
        BENCH_TEST(test_SEC_15_SEC_16_the_certificate_for_a_server_name),
        BENCH_TEST(test_certificates_that_can_not_be_used),
        BENCH_TEST(test_CID_01_CID_02_CID_03_connection_ids_of_every_length),
        BENCH_TEST(test_CID_03_a_cid_that_is_too_long),
        BENCH_TEST(test_CID_01_our_length_is_a_setting),
        BENCH_TEST(test_CID_16_the_drafts_extension_is_answered_in_kind),
        BENCH_TEST(test_SEC_17_CID_14_resumption_by_session_id),
        BENCH_TEST(test_SEC_17_resumption_with_a_certificate_keeps_the_identity),
        BENCH_TEST(test_SEC_17_resumption_by_ticket),
        BENCH_TEST(test_SEC_17_no_ticket_for_clients_that_know_both),
        BENCH_TEST(test_SEC_17_data_right_behind_a_resumed_finished),
        BENCH_TEST(test_SEC_03_SEC_28_renegotiation_right_after_the_handshake),
        BENCH_TEST(test_SEC_28_the_server_random_begins_with_the_time),
        BENCH_TEST(test_SEC_20_extensions),
        BENCH_TEST(test_SEC_29_the_key_log),
        BENCH_TEST(test_SEC_11_a_hello_does_not_harm_the_session_there),
        BENCH_TEST(test_SEC_11_plaintext_never_reaches_a_session),
        BENCH_TEST_LIVE(test_SEC_11_plaintext_never_reaches_a_session),
        BENCH_TEST(test_SEC_11_SEC_18_a_proven_one_of_the_same_identity_replaces_it),
        BENCH_TEST(test_SEC_11_another_identity_at_the_address_leaves_it_alone),
        BENCH_TEST(test_a_client_that_begins_anew),
        BENCH_TEST(test_bytes_with_a_cookie),
        BENCH_TEST(test_bytes_without_a_cookie),
        BENCH_TEST(test_garbage_does_no_harm),
        BENCH_TEST(test_closing_while_steps_are_on_the_pool),
        BENCH_TEST_LIVE(test_SEC_01_every_psk_suite),
        BENCH_TEST_LIVE(test_SEC_02_every_suite_with_certificates),
        BENCH_TEST_LIVE(test_SEC_04_long_identities_and_keys),
        BENCH_TEST_LIVE(test_SEC_06_SEC_23_an_unknown_identity),
        BENCH_TEST_LIVE(test_SEC_07_a_wrong_key_with_cbc),
        BENCH_TEST_LIVE(test_SEC_09_a_lost_flight_comes_again),
        BENCH_TEST_LIVE(test_SEC_09_CID_07_fragmented_flights_need_no_time_out),
        BENCH_TEST_LIVE(test_SEC_09_reordered_flights_need_no_time_out),
        BENCH_TEST_LIVE(test_SEC_09_a_fragmented_hello),
        BENCH_TEST_LIVE(test_SEC_09_a_lost_last_flight_comes_again),
        BENCH_TEST_LIVE(test_SEC_09_everything_comes_twice),
        BENCH_TEST_LIVE(test_CID_01_CID_02_CID_03_connection_ids_of_every_length),
        BENCH_TEST_LIVE(test_CID_16_the_drafts_extension_is_answered_in_kind),
        BENCH_TEST_LIVE(test_SEC_17_CID_14_resumption_by_session_id),
        BENCH_TEST_LIVE(test_SEC_17_resumption_with_a_certificate_keeps_the_identity),
        BENCH_TEST_LIVE(test_SEC_17_resumption_by_ticket),
        BENCH_TEST_LIVE(test_SEC_17_data_right_behind_a_resumed_finished),
        BENCH_TEST_LIVE(test_SEC_11_a_hello_does_not_harm_the_session_there),
        BENCH_TEST_LIVE(test_SEC_11_SEC_18_a_proven_one_of_the_same_identity_replaces_it),
        BENCH_TEST_LIVE(test_SEC_11_another_identity_at_the_address_leaves_it_alone),
        BENCH_TEST_LIVE(test_garbage_does_no_harm),
    };
    return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
