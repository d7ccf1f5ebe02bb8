/* TLS sessions of a server and a client, with a wire between them that a test can bend: no sockets, and a clock that stands
 * still until it is leapt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>

#include "common/net/tls.h"

enum { WIRE = 1 << 18 };

struct end {
    struct rig *rig;
    struct tls *tls;
    struct tls_session *session;
    struct end *other;
    bool proven, stopped;
    const char *ended;
    char why[96];
    size_t records, content; /* that were received, and their bytes */
    uint8_t last[64];
    size_t wire_len; /* bytes on their way to this end */
    uint8_t wire[WIRE];
};

struct rig {
    uv_loop_t loop;
    struct clock clock;
    struct timer_wheel wheel;
    struct listener listener;
    struct end server, client;
    size_t chunk;    /* bytes that come at a time; 0: all */
    bool forgets;    /* the identity is not permitted any more */
    size_t failures; /* that the server told of */
    enum dtls_fault fault;
    struct link_identity identity;
    uint8_t name[DTLS_IDENTITY_MAX];
    uint8_t resume_id[32], resume_secret[DTLS_RESUME_SECRET_MAX];
    size_t resume_id_len, resume_secret_len;
    size_t key_lines;
};

static const char key[] = "sixteen byte key";

/* ---- the owner ---- */

static bool on_psk(void *arg, const struct listener *listener, struct slice identity, struct buffer *out) {
    (void)arg, (void)listener;
    buffer_put_str(out, key);
    return slice_is(identity, "dev1");
}

static bool on_permitted(void *arg, const struct listener *listener, const struct link_identity *identity,
                         bool chain_trusted) {
    const struct rig *rig = arg;
    (void)listener, (void)identity, (void)chain_trusted;
    return !rig->forgets;
}

static void on_resume_put(void *arg, struct slice id, const struct link_identity *identity, struct slice secret,
                          uint64_t expires_ms) {
    struct rig *rig = arg;
    (void)expires_ms;
    assert_true(slice_is(identity->name, "dev1"));
    memcpy(rig->resume_id, id.data, rig->resume_id_len = id.len);
    memcpy(rig->resume_secret, secret.data, rig->resume_secret_len = secret.len);
}

static bool on_resume_get(void *arg, struct slice id, struct buffer *secret) {
    const struct rig *rig = arg;
    if (!slice_equal(id, slice_of(rig->resume_id, rig->resume_id_len)))
        return false;
    buffer_put(secret, rig->resume_secret, rig->resume_secret_len);
    return true;
}

static void on_failed(void *arg, const struct dtls_failure *failure) {
    struct rig *rig = arg;
    rig->failures++;
    rig->fault = failure->fault;
    rig->identity = failure->identity;
    if (failure->identity.name.len > 0)
        memcpy(rig->name, failure->identity.name.data, failure->identity.name.len);
    rig->identity.name.data = rig->name;
}

static void on_key_log(void *arg, const struct listener *listener, const struct address *peer, const char *line) {
    (void)listener, (void)peer;
    struct rig *rig = arg;
    rig->key_lines++;
    assert_non_null(strchr(line, ' '));
}

/* ---- the wire ---- */

static void on_send(void *user, struct slice bytes) {
    struct end *to = ((struct end *)user)->other;
    assert_true(bytes.len <= WIRE - to->wire_len);
    memcpy(to->wire + to->wire_len, bytes.data, bytes.len);
    to->wire_len += bytes.len;
}

static void on_set_reading(void *user, bool reading) {
    ((struct end *)user)->stopped = !reading;
}

static void on_proven(void *user) {
    struct end *end = user;
    assert_false(end->proven);
    end->proven = true;
}

static void on_received(void *user, struct slice content) {
    struct end *end = user;
    end->records++;
    end->content += content.len;
    memcpy(end->last, content.data, content.len < sizeof end->last ? content.len : sizeof end->last);
}

static void on_ended(void *user, const char *why) {
    struct end *end = user;
    assert_null(end->ended);
    snprintf(end->why, sizeof end->why, "%s", why);
    end->ended = end->why;
}

static const struct tls_carrier carrier = {on_send, on_set_reading, on_proven, on_received, on_ended};

static bool deliver(struct end *end) {
    size_t chunk = end->rig->chunk;
    size_t len = chunk == 0 || chunk > end->wire_len ? end->wire_len : chunk;
    uint8_t bytes[WIRE];
    if (len == 0 || end->stopped || end->session == NULL)
        return false;
    memcpy(bytes, end->wire, len);
    end->wire_len -= len;
    memmove(end->wire, end->wire + len, end->wire_len);
    tls_session_feed(end->session, slice_of(bytes, len));
    return true;
}

/* Until nothing is on its way. */
static void settle(struct rig *rig) {
    do {
        uv_run(&rig->loop, UV_RUN_DEFAULT); /* steps on the pool */
    } while (deliver(&rig->server) || deliver(&rig->client));
}

static void meet(struct rig *rig) {
    rig->server = (struct end){.rig = rig, .tls = rig->server.tls, .other = &rig->client};
    rig->client = (struct end){.rig = rig, .tls = rig->client.tls, .other = &rig->server};
    struct address peer = {.family = ADDRESS_IPV4};
    rig->server.session = tls_session_new(rig->server.tls, &rig->listener, &peer, &carrier, &rig->server);
    if (rig->client.tls == NULL)
        return;
    rig->client.session = tls_session_new(rig->client.tls, &rig->listener, &peer, &carrier, &rig->client);
    tls_session_start(rig->client.session);
}

static void part_ways(struct rig *rig) {
    tls_session_free(rig->server.session);
    if (rig->client.session != NULL)
        tls_session_free(rig->client.session);
    rig->server.session = rig->client.session = NULL;
}

static void send_text(struct end *end, const char *text) {
    struct slice part = slice_str(text);
    assert_int_equal(tls_session_send(end->session, &part, 1), 0);
}

/* A client with this key. */
static void use_client(struct rig *rig, const char *identity, struct slice with) {
    const struct tls_handlers none = {.failed = NULL};
    const char *problem = NULL;
    struct dtls_client_params params;
    dtls_client_params_default(&params);
    params.suite = cipher_suite_find(0xc0a8);
    params.identity = slice_str(identity);
    params.key = with;
    params.resume = true;
    if (rig->client.tls != NULL)
        tls_close(rig->client.tls);
    rig->client.tls = tls_new_client(&rig->loop, &rig->clock, &rig->wheel, &params, &none, NULL, &problem);
    assert_non_null(rig->client.tls);
}

static void use_server(struct rig *rig, uint32_t handshakes_max) {
    const struct tls_params params = {.handshake_timeout_ms = 60000,
                                      .handshakes_max = handshakes_max,
                                      .handshakes_per_s = 100,
                                      .resume_ms = 86400000};
    const struct tls_handlers handlers = {.psk = on_psk,
                                          .permitted = on_permitted,
                                          .resume_put = on_resume_put,
                                          .resume_get = on_resume_get,
                                          .failed = on_failed,
                                          .key_log = on_key_log};
    rig->server.tls = tls_new(&rig->loop, &rig->clock, &rig->wheel, &params, &handlers, rig);
    assert_non_null(rig->server.tls);
}

static int start(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    uv_loop_init(&rig->loop);
    clock_init(&rig->clock, 0);
    timer_wheel_init(&rig->wheel, clock_now_ms(&rig->clock), NULL);
    rig->listener = (struct listener){.transport = LINK_TLS};
    use_server(rig, 100);
    use_client(rig, "dev1", slice_str(key));
    *state = rig;
    return 0;
}

static int stop(void **state) {
    struct rig *rig = *state;
    tls_close(rig->server.tls);
    if (rig->client.tls != NULL)
        tls_close(rig->client.tls);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    free(rig);
    return 0;
}

static void leap(struct rig *rig, uint64_t by_ms) {
    clock_leap(&rig->clock, by_ms);
    timer_wheel_advance(&rig->wheel, clock_now_ms(&rig->clock));
}

/* ---- tests ---- */

static void exchange(struct rig *rig) {
    size_t before = rig->server.records;
    send_text(&rig->client, "up");
    send_text(&rig->client, "again");
    settle(rig);
    assert_int_equal(rig->server.records, before + 2); /* a record each */
    assert_memory_equal(rig->server.last, "again", 5);
    send_text(&rig->server, "down");
    settle(rig);
    assert_memory_equal(rig->client.last, "down", 4);
}

static void test_both_know_each_other_and_talk(void **state) {
    struct rig *rig = *state;
    struct tls_description description;
    meet(rig);
    send_text(&rig->client, "first"); /* waits for the handshake, and goes before all others */
    settle(rig);
    assert_true(rig->server.proven && rig->client.proven);
    assert_memory_equal(rig->server.last, "first", 5);
    assert_int_equal(tls_session_identity(rig->server.session)->security, LINK_PSK);
    assert_true(slice_is(tls_session_identity(rig->server.session)->name, "dev1"));
    tls_session_describe(rig->server.session, &description);
    assert_string_equal(description.version, "TLS 1.3");
    assert_true(rig->key_lines >= 4);
    exchange(rig);
    part_ways(rig);
}

static void test_one_byte_at_a_time(void **state) {
    struct rig *rig = *state;
    rig->chunk = 1;
    meet(rig);
    settle(rig);
    exchange(rig);
    part_ways(rig);
}

static void test_a_session_is_resumed_while_its_identity_is_permitted(void **state) {
    struct rig *rig = *state;
    struct tls_description description;
    for (int i = 0; i < 2; i++) {
        meet(rig);
        settle(rig);
        exchange(rig);
        tls_session_describe(rig->server.session, &description);
        assert_int_equal(description.resumed, i > 0);
        assert_int_equal(tls_counters(rig->server.tls).handshakes_resumed, (uint64_t)i);
        part_ways(rig);
    }
    rig->forgets = true; /* a full handshake then */
    meet(rig);
    settle(rig);
    tls_session_describe(rig->server.session, &description);
    assert_false(description.resumed);
    part_ways(rig);
}

static void test_a_wrong_key_is_told(void **state) {
    struct rig *rig = *state;
    use_client(rig, "dev1", slice_str("another key here"));
    meet(rig);
    settle(rig);
    assert_false(rig->server.proven || rig->client.proven);
    assert_int_equal(rig->fault, DTLS_FAULT_WRONG_KEY);
    assert_true(slice_is(rig->identity.name, "dev1"));
    assert_string_equal(rig->server.ended, "TLS handshake failed: wrong_key");
    part_ways(rig);
}

static void test_an_unknown_identity_is_told(void **state) {
    struct rig *rig = *state;
    use_client(rig, "dev2", slice_str(key));
    meet(rig);
    settle(rig);
    assert_int_equal(rig->fault, DTLS_FAULT_UNKNOWN_IDENTITY);
    assert_true(slice_is(rig->identity.name, "dev2"));
    part_ways(rig);
}

static void test_records_are_of_16_kilobytes_at_most(void **state) {
    static uint8_t long_content[100000];
    struct rig *rig = *state;
    struct slice part = slice_of(long_content, sizeof long_content);
    meet(rig);
    settle(rig);
    exchange(rig);
    size_t before = rig->client.content, records = rig->client.records;
    assert_int_equal(tls_session_send(rig->server.session, &part, 1), 0);
    settle(rig);
    assert_int_equal(rig->client.content - before, sizeof long_content);
    assert_int_equal(rig->client.records - records, 7);
    part_ways(rig);
}

static void test_what_waits_for_a_handshake_is_bounded(void **state) {
    static uint8_t content[40000];
    struct rig *rig = *state;
    struct slice part = slice_of(content, sizeof content);
    meet(rig);
    assert_int_equal(tls_session_send(rig->client.session, &part, 1), 0);
    assert_int_equal(tls_session_send(rig->client.session, &part, 1), -ENOBUFS);
    settle(rig);
    assert_int_equal(rig->server.content, sizeof content);
    part_ways(rig);
}

static void test_a_bit_that_is_flipped_ends_it(void **state) {
    struct rig *rig = *state;
    meet(rig);
    settle(rig);
    exchange(rig);
    send_text(&rig->client, "message");
    rig->server.wire[rig->server.wire_len - 1] ^= 1;
    size_t before = rig->server.records;
    settle(rig);
    assert_int_equal(rig->server.records, before);
    assert_string_equal(rig->server.ended, "a TLS record does not verify");
    assert_int_equal(rig->failures, 0);
    part_ways(rig);
}

static void test_the_end_is_said(void **state) {
    struct rig *rig = *state;
    meet(rig);
    settle(rig);
    tls_session_end(rig->client.session);
    settle(rig);
    assert_string_equal(rig->server.ended, "closed by the peer");
    struct slice part = slice_str("x");
    assert_int_equal(tls_session_send(rig->server.session, &part, 1), -ENOTCONN);
    part_ways(rig);
}

static void test_a_client_that_goes_in_the_middle(void **state) {
    struct rig *rig = *state;
    meet(rig);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    deliver(&rig->server);
    tls_session_peer_ended(rig->server.session); /* while its step is on the pool */
    assert_int_equal(rig->fault, DTLS_FAULT_CLOSED);
    part_ways(rig);
    settle(rig);
}

static void test_silence_runs_out(void **state) {
    struct rig *rig = *state;
    tls_close(rig->client.tls);
    rig->client.tls = NULL;
    meet(rig);
    leap(rig, 59999);
    assert_null(rig->server.ended);
    leap(rig, 1);
    assert_int_equal(rig->fault, DTLS_FAULT_TIMEOUT);
    assert_non_null(rig->server.ended);
    part_ways(rig);
}

static void test_what_is_no_tls_costs_nothing(void **state) {
    struct rig *rig = *state;
    static const char *const strange[] = {"GET / HTTP/1.1\r\n", "\x15\x02", "\x16\x03\x01\xff\xff"};
    tls_close(rig->client.tls);
    rig->client.tls = NULL;
    for (size_t i = 0; i < 3; i++) {
        meet(rig);
        tls_session_feed(rig->server.session, slice_str(strange[i]));
        assert_int_equal(rig->fault, DTLS_FAULT_PROTOCOL);
        assert_int_equal(rig->failures, i + 1);
        part_ways(rig);
    }
    assert_int_equal(tls_counters(rig->server.tls).handshakes_begun, 0);
}

static void test_handshakes_under_way_are_bounded(void **state) {
    struct rig *rig = *state;
    tls_close(rig->server.tls);
    use_server(rig, 0);
    meet(rig);
    settle(rig);
    assert_string_equal(rig->server.ended, "too many TLS handshakes");
    assert_int_equal(tls_counters(rig->server.tls).handshakes_refused, 1);
    part_ways(rig);
}

static void test_dropping_an_identity_ends_its_connections(void **state) {
    struct rig *rig = *state;
    const struct link_identity other = {.security = LINK_PSK, .name = slice_str("dev2")};
    const struct link_identity identity = {.security = LINK_PSK, .name = slice_str("dev1")};
    meet(rig);
    settle(rig);
    assert_int_equal(tls_drop_identity(rig->server.tls, &other), 0);
    exchange(rig);
    assert_int_equal(tls_drop_identity(rig->server.tls, &identity), 1);
    assert_string_equal(rig->server.ended, "its credential has gone");
    settle(rig);
    assert_string_equal(rig->client.ended, "closed by the peer");
    assert_int_equal(tls_counters(rig->server.tls).sessions, 0);
    part_ways(rig);
}

#define TLS_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TLS_TEST(test_both_know_each_other_and_talk),
        TLS_TEST(test_one_byte_at_a_time),
        TLS_TEST(test_a_session_is_resumed_while_its_identity_is_permitted),
        TLS_TEST(test_a_wrong_key_is_told),
        TLS_TEST(test_an_unknown_identity_is_told),
        TLS_TEST(test_records_are_of_16_kilobytes_at_most),
        TLS_TEST(test_what_waits_for_a_handshake_is_bounded),
        TLS_TEST(test_a_bit_that_is_flipped_ends_it),
        TLS_TEST(test_the_end_is_said),
        TLS_TEST(test_a_client_that_goes_in_the_middle),
        TLS_TEST(test_silence_runs_out),
        TLS_TEST(test_what_is_no_tls_costs_nothing),
        TLS_TEST(test_handshakes_under_way_are_bounded),
        TLS_TEST(test_dropping_an_identity_ends_its_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
