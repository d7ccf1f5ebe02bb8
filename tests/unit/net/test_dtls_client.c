/* Our client against our server: every suite, connection IDs, resumption, sessions that go on after a crash of the device,
 * lost, reordered and repeated datagrams, every way to end, and what it all costs in bytes. The network is the test's. */
#include <errno.h>
#include <mbedtls/pem.h>

#include "common/base/random.h"
#include "common/net/dtls_client.h"
#include "common/net/record.h"
#include "tests/unit/net/dtls_bench.h"

enum { WIRE = 64 };

/* A device around a client, and the wire between it and the bench's server. */
struct device {
    struct bench *bench;
    struct dtls_client *client;
    struct listener listener;
    struct dtls_client_params params;
    struct address address; /* from where it sends */
    /* What is under way, oldest first. */
    struct bench_datagram wire[WIRE];
    size_t wire_count;
    bool (*filter)(struct device *device, const struct bench_datagram *datagram); /* false: lost */
    size_t lost, up, down, datagrams_up, datagrams_down;
    bool turned; /* the network delivers what came last first */
    /* What happened. */
    size_t established, failed, closed, received;
    struct dtls_failure failure;
    enum dtls_end end;
    uint8_t message[2048];
    size_t message_len;
    bool hangs_up_when_it_receives;
    /* What is kept. */
    bool keeps, disk_is_full;
    uint8_t secret[DTLS_CLIENT_SECRET_MAX];
    struct dtls_client_state state;
    size_t kept, kept_numbers;
    uint64_t newest_number; /* that was sent in epoch 1 */
    bool has_sent_record;
};

static struct device the_device;

static void put_on_wire(struct device *d, const struct bench_datagram *datagram) {
    *(datagram->up ? &d->up : &d->down) += datagram->len;
    *(datagram->up ? &d->datagrams_up : &d->datagrams_down) += 1;
    if (d->filter != NULL && !d->filter(d, datagram)) {
        d->lost++;
        return;
    }
    assert_true(d->wire_count < WIRE);
    d->wire[d->wire_count++] = *datagram;
}

/* The bench's network ends here: what the server sends goes onto the device's wire. */
static bool take_from_server(struct bench *bench, struct bench_datagram *datagram) {
    (void)bench;
    put_on_wire(&the_device, datagram);
    return false;
}

static int on_send(void *arg, struct slice bytes) {
    struct device *d = arg;
    struct bench_datagram datagram = {.peer = d->address, .up = true, .len = bytes.len};
    assert_true(bytes.len <= sizeof datagram.bytes);
    memcpy(datagram.bytes, bytes.data, bytes.len);
    put_on_wire(d, &datagram);
    return 0;
}

static void on_receive(void *arg, struct link *link, struct slice message) {
    struct device *d = arg;
    assert_ptr_equal(link, dtls_client_link(d->client));
    d->received++;
    d->message_len = message.len;
    memcpy(d->message, message.data, message.len);
    if (d->hangs_up_when_it_receives)
        assert_true(dtls_client_hang_up(d->client));
}

static void on_established(void *arg) {
    ((struct device *)arg)->established++;
}

static void on_failed(void *arg, const struct dtls_failure *failure) {
    struct device *d = arg;
    d->failed++;
    d->failure = *failure;
}

static void on_closed(void *arg, enum dtls_end end) {
    struct device *d = arg;
    d->closed++;
    d->end = end;
}

static bool on_keep(void *arg, const struct dtls_client_state *state) {
    struct device *d = arg;
    if (d->disk_is_full)
        return false;
    d->kept++;
    d->state = *state;
    if (state->secret.len > 0)
        memcpy(d->secret, state->secret.data, state->secret.len);
    d->state.secret.data = d->secret;
    return true;
}

static bool on_keep_numbers(void *arg, const struct dtls_client_state *state) {
    struct device *d = arg;
    struct slice secret = d->state.secret;
    if (d->disk_is_full)
        return false;
    d->kept_numbers++;
    assert_int_equal(state->secret.len, 0);
    assert_true(state->number_limit >= d->state.number_limit);
    d->state = *state;
    d->state.secret = secret;
    return true;
}

static struct device *start_device(struct bench *bench) {
    static const struct dtls_client_handlers handlers = {.send = on_send,
                                                         .receive = on_receive,
                                                         .established = on_established,
                                                         .failed = on_failed,
                                                         .closed = on_closed};
    struct device *d = &the_device;
    struct dtls_client_handlers ours = handlers;
    struct address server = {.family = ADDRESS_IPV4, .port = 5684, .ip = {192, 0, 2, 1}};
    const char *problem = NULL;
    if (d->keeps) {
        ours.keep = on_keep;
        ours.keep_numbers = on_keep_numbers;
    }
    d->client = dtls_client_new(&bench->clock, &bench->wheel, &d->listener, &server, &d->params, &ours, d, &problem);
    if (d->client == NULL)
        fail_msg("no client: %s", problem);
    return d;
}

/* A device with one suite; start_device makes its client. */
static struct device *new_device(struct bench *bench, uint16_t suite) {
    struct device *d = &the_device;
    if (d->client != NULL)
        dtls_client_free(d->client);
    memset(d, 0, sizeof *d);
    d->bench = bench;
    d->address = (struct address){.family = ADDRESS_IPV4, .port = 50000, .ip = {192, 0, 2, 9}};
    dtls_client_params_default(&d->params);
    d->params.suite = cipher_suite_find(suite);
    d->params.identity = slice_str("dev1");
    d->params.key = bench->key;
    bench->filter = take_from_server;
    return d;
}

static int stop(void **state) {
    if (the_device.client != NULL)
        dtls_client_free(the_device.client);
    the_device.client = NULL;
    return bench_stop(state);
}

static void deliver(struct device *d) {
    size_t at = d->turned ? d->wire_count - 1 : 0;
    struct bench_datagram datagram = d->wire[at];
    memmove(d->wire + at, d->wire + at + 1, (--d->wire_count - at) * sizeof datagram);
    if (datagram.up)
        bench_inject(d->bench, &datagram.peer, slice_of(datagram.bytes, datagram.len));
    else if (address_equal(&datagram.peer, &d->address))
        dtls_client_receive(d->client, datagram.bytes, datagram.len);
}

/* Everything that happens without time going by. */
static void run(struct device *d) {
    while (d->wire_count > 0 || uv_loop_alive(&d->bench->loop)) {
        while (d->wire_count > 0)
            deliver(d);
        while (uv_loop_alive(&d->bench->loop))
            uv_run(&d->bench->loop, UV_RUN_ONCE);
    }
}

static void leap(struct device *d, uint64_t ms) {
    for (; ms > 0; ms -= ms < 1000 ? ms : 1000) {
        clock_leap(&d->bench->clock, ms < 1000 ? ms : 1000);
        timer_wheel_advance(&d->bench->wheel, clock_now_ms(&d->bench->clock));
        run(d);
    }
}

static void exchange(struct device *d, const char *text) {
    size_t before = d->received;
    assert_int_equal(link_send(dtls_client_link(d->client), slice_str(text)), 0);
    run(d);
    assert_int_equal(d->received, before + 1);
    assert_true(slice_is(slice_of(d->message, d->message_len), text));
}

static struct dtls_client_description describe(const struct device *d) {
    struct dtls_client_description description;
    dtls_client_describe(d->client, &description);
    return description;
}

static struct dtls_description describe_at_server(const struct bench *b) {
    struct dtls_description description;
    dtls_describe(b->link, &description);
    return description;
}

/* ---- suites ---- */

static struct bench_identity authority, server, device;

static void start_with_certificates(struct bench *b) {
    const char *problem;
    bench_start_dtls(b);
    assert_true(dtls_add_certificate(b->dtls, slice_of(server.der, server.der_len),
                                     slice_of(server.key_der, server.key_len), &problem));
    assert_true(dtls_add_authority(b->dtls, slice_of(authority.der, authority.der_len), &problem));
}

static struct device *new_certified_device(struct bench *b, uint16_t suite) {
    struct device *d = new_device(b, suite);
    d->params.certificate = slice_of(device.der, device.der_len);
    d->params.private_key = slice_of(device.key_der, device.key_len);
    d->params.authority = slice_of(authority.der, authority.der_len);
    return d;
}

static void talk(struct device *d) {
    exchange(d, "hello");
    for (int i = 0; i < 20; i++)
        exchange(d, "and again");
    link_send(d->bench->link, slice_str("of its own accord"));
    run(d);
    assert_true(slice_is(slice_of(d->message, d->message_len), "of its own accord"));
    assert_int_equal(d->established, 1);
    assert_int_equal(d->failed + d->closed, 0);
    assert_int_equal(describe(d).bad_records + describe_at_server(d->bench).bad_records, 0);
    assert_string_equal(describe(d).cipher_suite, d->params.suite->name);
    assert_string_equal(describe(d).cipher_suite, describe_at_server(d->bench).cipher_suite);
    assert_int_equal(describe(d).live, d->params.suite->aead == RECORD_CBC);
}

static void test_every_psk_suite_with_and_without_cid(void **state) {
    struct bench *b = *state;
    static const uint16_t suites[] = {0xc0a8, 0xc0a4, 0x00a8, 0xc0a9, 0xc0a5, 0x00a9, 0x00ae, 0xc037};
    bench_start_dtls(b);
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        new_device(b, suites[i]);
        talk(start_device(b));
        new_device(b, suites[i])->params.cid = DTLS_CLIENT_CID;
        talk(start_device(b));
    }
}

static void test_every_suite_with_certificates(void **state) {
    struct bench *b = *state;
    static const uint16_t suites[] = {0xc0ae, 0xc0ac, 0xc02b, 0xc0af, 0xc0ad, 0xc02c, 0xc023};
    start_with_certificates(b);
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        new_certified_device(b, suites[i])->params.cid = DTLS_CLIENT_CID;
        talk(start_device(b));
        assert_true(slice_is(b->link->identity->name, "dev1"));
    }
}

static void test_a_server_with_another_authority_is_refused(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    struct device *d = new_certified_device(b, 0xc0ae);
    d->params.authority = slice_of(device.der, device.der_len);
    start_device(b);
    link_send(dtls_client_link(d->client), slice_str("hello"));
    run(d);
    assert_int_equal(d->failed, 1);
    assert_int_equal(d->failure.fault, DTLS_FAULT_CERTIFICATE_REFUSED);
    assert_int_equal(d->failure.alert_sent, 48); /* unknown_ca */
    assert_int_equal(b->established, 0);
}

static void test_a_self_signed_certificate_of_the_server_is_its_own_authority(void **state) {
    struct bench *b = *state;
    struct bench_identity alone;
    const char *problem;
    bench_identity_make(&alone, "CN=alone", NULL, NULL);
    bench_start_dtls(b);
    assert_true(dtls_add_certificate(b->dtls, slice_of(alone.der, alone.der_len),
                                     slice_of(alone.key_der, alone.key_len), &problem));
    assert_true(dtls_add_authority(b->dtls, slice_of(authority.der, authority.der_len), &problem));
    new_certified_device(b, 0xc0ae)->params.authority = slice_of(alone.der, alone.der_len);
    talk(start_device(b));
    bench_identity_free(&alone);
}

static void test_the_server_must_have_the_name_that_was_asked_for(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    new_certified_device(b, 0xc0ae)->params.server_name = "lwm2m.example";
    talk(start_device(b));
    struct device *d = new_certified_device(b, 0xc0ae);
    d->params.server_name = "another.example";
    start_device(b);
    link_send(dtls_client_link(d->client), slice_str("hello"));
    run(d);
    assert_int_equal(d->failure.fault, DTLS_FAULT_CERTIFICATE_REFUSED);
}

static void is_refused(struct bench *b, struct device *d) {
    start_device(b);
    link_send(dtls_client_link(d->client), slice_str("hello"));
    run(d);
    assert_int_equal(d->failure.fault, DTLS_FAULT_CERTIFICATE_REFUSED);
}

static struct device *new_pinning_device(struct bench *b, enum dtls_client_pin pin,
                                         const struct bench_identity *known) {
    struct device *d = new_certified_device(b, 0xc0ae);
    d->params.authority = slice_of(known->der, known->der_len);
    d->params.pin = pin;
    return d;
}

static void test_a_pinned_certificate_is_good_whomever_it_names(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    new_pinning_device(b, DTLS_CLIENT_PINNED, &server)->params.server_name = "another.example";
    talk(start_device(b));
    is_refused(b, new_pinning_device(b, DTLS_CLIENT_PINNED, &authority));
    is_refused(b, new_pinning_device(b, DTLS_CLIENT_PINNED, &device));
    is_refused(b, new_pinning_device(b, DTLS_CLIENT_NOT_PINNED, &server));
}

static void test_a_certificate_that_may_sign_is_an_authority_unless_it_must_be_the_servers(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    new_pinning_device(b, DTLS_CLIENT_PINNED_UNLESS_AUTHORITY, &server);
    talk(start_device(b));
    new_pinning_device(b, DTLS_CLIENT_PINNED_UNLESS_AUTHORITY, &authority)->params.server_name = "lwm2m.example";
    talk(start_device(b));
    struct device *d = new_pinning_device(b, DTLS_CLIENT_PINNED_UNLESS_AUTHORITY, &authority);
    d->params.server_name = "another.example";
    is_refused(b, d);
    is_refused(b, new_pinning_device(b, DTLS_CLIENT_PINNED_UNLESS_AUTHORITY, &device));
}

static size_t put_pem(char *out, size_t size, const struct bench_identity *identity) {
    size_t len;
    assert_int_equal(mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n",
                                              identity->der, identity->der_len, (unsigned char *)out, size, &len),
                     0);
    return len - 1;
}

/* A device whose certificate leads to the server's authority by another one, which only the device has. */
static void test_the_whole_chain_is_sent(void **state) {
    struct bench *b = *state;
    struct bench_identity between, leaf;
    char chain[4096];
    bench_identity_make(&between, "CN=Another Authority", NULL, &authority);
    bench_identity_make(&leaf, "CN=dev2", NULL, &between);
    size_t len = put_pem(chain, sizeof chain, &leaf);
    size_t both = len + put_pem(chain + len, sizeof chain - len, &between);
    start_with_certificates(b);
    struct device *d = new_certified_device(b, 0xc0ae);
    d->params.certificate = slice_of(chain, len);
    d->params.private_key = slice_of(leaf.key_der, leaf.key_len);
    start_device(b);
    link_send(dtls_client_link(d->client), slice_str("hello"));
    run(d);
    assert_int_equal(d->failure.alert_received, 48); /* unknown_ca */
    d = new_certified_device(b, 0xc0ae);
    d->params.certificate = slice_of(chain, both);
    d->params.private_key = slice_of(leaf.key_der, leaf.key_len);
    talk(start_device(b));
    assert_true(slice_is(b->link->identity->name, "dev2"));
    bench_identity_free(&between);
    bench_identity_free(&leaf);
}

static void test_what_can_not_be_used(void **state) {
    struct bench *b = *state;
    struct device *d = new_device(b, 0xc0a8);
    const struct dtls_client_handlers handlers = {.send = on_send, .receive = on_receive};
    const char *problem = NULL;
    uint8_t long_key[DTLS_PSK_KEY_MAX + 1] = {1};
    d->params.key = slice_of(long_key, sizeof long_key);
    assert_null(dtls_client_new(&b->clock, &b->wheel, &d->listener, &d->address, &d->params, &handlers, d, &problem));
    assert_string_equal(problem, "the identity must have 1 to 128 bytes, the key 1 to 64");
    d = new_certified_device(b, 0xc0ae);
    d->params.private_key = slice_of(server.key_der, server.key_len);
    assert_null(dtls_client_new(&b->clock, &b->wheel, &d->listener, &d->address, &d->params, &handlers, d, &problem));
    assert_string_equal(problem, "certificate and private key do not belong together");
    d = new_certified_device(b, 0xc0ae);
    d->params.authority = slice_str("none");
    assert_null(dtls_client_new(&b->clock, &b->wheel, &d->listener, &d->address, &d->params, &handlers, d, &problem));
    assert_string_equal(problem, "the authority's certificate cannot be read");
    bench_start_dtls(b);
}

static void test_keys_of_64_bytes_and_identities_of_128(void **state) {
    struct bench *b = *state;
    uint8_t key[DTLS_PSK_KEY_MAX], identity[DTLS_IDENTITY_MAX];
    random_bytes(key, sizeof key);
    memset(identity, 0xfe, sizeof identity);
    b->key = slice_of(key, sizeof key);
    bench_start_dtls(b);
    new_device(b, 0xc0a8)->params.identity = slice_of(identity, sizeof identity);
    talk(start_device(b));
    assert_int_equal(b->link->identity->name.len, DTLS_IDENTITY_MAX);
}

/* ---- connection IDs ---- */

static void check_cids(struct device *d, size_t ours, size_t servers) {
    struct dtls_client_description at_device = describe(d);
    struct dtls_description at_server = describe_at_server(d->bench);
    assert_int_equal(at_device.cid.len, ours);
    assert_int_equal(at_device.server_cid.len, servers);
    assert_true(slice_equal(at_device.cid, at_server.peer_cid));
    assert_true(slice_equal(at_device.server_cid, at_server.cid));
    assert_int_equal(at_device.cid_draft, at_server.cid_draft);
}

static void test_connection_ids_of_every_length(void **state) {
    struct bench *b = *state;
    static const uint8_t lengths[] = {0, 1, 4, 8, 31, 32};
    bench_start_dtls(b);
    for (size_t i = 0; i < sizeof lengths; i++) {
        struct device *d = new_device(b, 0xc0a8);
        d->params.cid = DTLS_CLIENT_CID;
        d->params.cid_length = lengths[i];
        talk(start_device(b));
        check_cids(d, lengths[i], 8);
    }
}

static void test_connection_ids_of_the_draft(void **state) {
    struct bench *b = *state;
    static const uint16_t suites[] = {0xc0a8, 0x00a8, 0x00ae};
    if (!dtls_has_draft_cid())
        skip();
    bench_start_dtls(b);
    for (uint8_t len = 0; len <= 8; len += 4) {
        for (size_t i = 0; i < 3; i++) {
            struct device *d = new_device(b, suites[i]);
            d->params.cid = DTLS_CLIENT_CID_DRAFT;
            d->params.cid_length = len;
            talk(start_device(b));
            check_cids(d, len, 8);
            assert_true(describe(d).cid_draft);
        }
    }
}

static void test_a_server_without_connection_ids(void **state) {
    struct bench *b = *state;
    b->params.cid_length = 0;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->params.cid = DTLS_CLIENT_CID;
    d->params.cid_length = 8;
    talk(start_device(b));
    assert_int_equal(describe(d).server_cid.len, 0);
}

static void test_another_address_needs_no_handshake(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    for (int draft = 0; draft <= dtls_has_draft_cid(); draft++) {
        struct device *d = new_device(b, 0xc0a8);
        d->params.cid = draft ? DTLS_CLIENT_CID_DRAFT : DTLS_CLIENT_CID;
        start_device(b);
        exchange(d, "hello");
        size_t moved = b->moved;
        for (size_t i = 1; i <= 5; i++) {
            d->address.port++;
            exchange(d, "from elsewhere");
            assert_int_equal(b->moved, moved + i);
        }
        assert_int_equal(d->established, 1);
    }
}

static void test_the_fragment_length_that_was_asked_for(void **state) {
    struct bench *b = *state;
    uint8_t bytes[1100] = {1};
    bench_start_dtls(b);
    for (uint16_t max = 512; max <= 1024; max *= 2) {
        struct device *d = new_device(b, 0xc0a8);
        d->params.max_fragment = max;
        start_device(b);
        exchange(d, "hello");
        assert_int_equal(link_send(dtls_client_link(d->client), slice_of(bytes, max)), 0);
        assert_int_equal(link_send(dtls_client_link(d->client), slice_of(bytes, max + 1u)), -EMSGSIZE);
        assert_int_equal(link_send(b->link, slice_of(bytes, max + 1u)), -EMSGSIZE); /* it is the server's too */
        run(d);
        assert_int_equal(d->message_len, max);
    }
}

/* ---- a network that is none ---- */

/* One in three, without a pattern but the same in every run (Knuth's generator of 64 bits). */
static bool lose_one_in_three(struct device *d, const struct bench_datagram *datagram) {
    static uint64_t state = 1;
    (void)d;
    if (datagram->bytes[0] != 20 && datagram->bytes[0] != 22)
        return true;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % 3 > 0;
}

static void test_lost_flights_come_again(void **state) {
    struct bench *b = *state;
    size_t lost = 0, done = 0;
    bench_start_dtls(b);
    for (int i = 0; i < 60; i++) {
        struct device *d = new_device(b, 0xc0a8);
        d->params.cid = (enum dtls_client_cid)(i % 2);
        d->params.cid_length = i % 4 == 3 ? 8 : 0;
        d->filter = lose_one_in_three;
        start_device(b);
        link_send(dtls_client_link(d->client), slice_str("hello"));
        run(d);
        for (int s = 0; s < 35 && d->received == 0 && d->failed == 0; s++)
            leap(d, 1000);
        d->filter = NULL;
        if (d->established == 1)
            exchange(d, "and again");
        done += d->established;
        lost += d->lost;
    }
    assert_true(lost > 20);
    assert_true(done >= 40); /* five losses of a flight in a row are too many; 54 on average */
}

static void test_datagrams_in_any_order_and_twice(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    for (uint8_t cid = 0; cid < 3; cid++) {
        struct device *d = new_certified_device(b, 0xc0ae);
        d->params.mtu = 256; /* flights of several datagrams */
        d->params.cid = cid == 0 ? DTLS_CLIENT_NO_CID : DTLS_CLIENT_CID;
        d->params.cid_length = cid == 2 ? 8 : 0;
        d->turned = true;
        start_device(b);
        exchange(d, "hello");
        assert_int_equal(d->established, 1); /* and no time has gone by */
    }
}

static bool deliver_in_pieces(struct device *d, const struct bench_datagram *datagram) {
    struct record_header header;
    size_t cid_len = datagram->up ? 8 : d->params.cid_length;
    for (size_t at = 0; record_read_header(slice_of(datagram->bytes + at, datagram->len - at), cid_len, &header);) {
        struct bench_datagram piece = {
            .peer = datagram->peer, .up = datagram->up, .len = header.header_len + header.len};
        memcpy(piece.bytes, datagram->bytes + at, piece.len);
        at += piece.len;
        d->wire[d->wire_count++] = piece;
    }
    return false;
}

/* Each record in a datagram of its own, the last one first: the Finished under a connection ID comes before everything
 * else, and nothing has to come again. */
static void test_an_early_finished_under_a_connection_id(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    for (uint8_t len = 0; len <= 8; len += 8) {
        struct device *d = new_device(b, 0xc0a8);
        d->params.cid = DTLS_CLIENT_CID;
        d->params.cid_length = len;
        d->params.resume = true;
        d->filter = deliver_in_pieces;
        d->turned = true;
        start_device(b);
        exchange(d, "hello");
        assert_true(dtls_client_renew(d->client));
        exchange(d, "again");
        assert_true(describe(d).resumed);
        assert_int_equal(d->established, 2);
    }
}

static bool lose_resumed_finished(struct device *d, const struct bench_datagram *datagram) {
    return !(datagram->up && datagram->bytes[0] == 20 && d->lost == 0);
}

/* The last flight of an abbreviated handshake is ours: the server asks for it by sending its own again. */
static void test_a_lost_last_flight_comes_again(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->params.cid = DTLS_CLIENT_CID;
    d->params.resume = true;
    start_device(b);
    exchange(d, "hello");
    assert_true(dtls_client_renew(d->client));
    d->filter = lose_resumed_finished;
    link_send(dtls_client_link(d->client), slice_str("again"));
    run(d);
    assert_int_equal(d->lost, 1);
    assert_int_equal(d->received, 1);
    leap(d, 1000);
    assert_int_equal(d->received, 2); /* what was sent behind it had been kept by the server */
    assert_true(describe(d).resumed);
    exchange(d, "and again");
    assert_false(describe(d).live);
}

static struct bench_datagram kept;

static bool keep_down(struct device *d, const struct bench_datagram *datagram) {
    (void)d;
    if (!datagram->up)
        kept = *datagram;
    return true;
}

static void receive_copy(struct device *d) {
    struct bench_datagram copy = kept;
    dtls_client_receive(d->client, copy.bytes, copy.len);
}

static void test_replayed_forged_and_foreign_records_are_dropped(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    for (uint8_t len = 0; len <= 8; len += 8) {
        struct device *d = new_device(b, 0xc0a8);
        d->params.cid = DTLS_CLIENT_CID;
        d->params.cid_length = len;
        d->filter = keep_down;
        start_device(b);
        exchange(d, "hello");
        receive_copy(d);
        assert_int_equal(describe(d).replays, 1);
        kept.bytes[10] += 5; /* another number, and so a wrong tag */
        receive_copy(d);
        assert_int_equal(describe(d).bad_records, 1);
        kept.bytes[4] = 7; /* another epoch */
        receive_copy(d);
        memcpy(kept.bytes, "\x15\xfe\xfd\0\0\0\0\0\0\0\x09\0\2\2\x28", kept.len = 15); /* a plaintext alert */
        receive_copy(d);
        kept.len = 5;
        receive_copy(d);
        assert_int_equal(d->received, 1);
        exchange(d, "still here");
        assert_int_equal(d->closed, 0);
    }
}

static void test_garbage_does_no_harm(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->params.cid = DTLS_CLIENT_CID;
    start_device(b);
    exchange(d, "hello");
    for (int phase = 0; phase < 2; phase++) { /* in a session; in a handshake, as far as it may be disturbed */
        for (int i = 0; i < 5000; i++) {
            uint8_t bytes[120];
            size_t len = random_below(sizeof bytes);
            random_bytes(bytes, len);
            if (len > 13) {
                bytes[0] = (uint8_t)(phase == 0 ? 20 + random_below(6) : 23 + random_below(3));
                bytes[1] = 0xfe;
                bytes[2] = 0xfd;
                bytes[3] = 0;
                bytes[4] = (uint8_t)random_below(3);
                bytes[11] = 0;
                bytes[12] = (uint8_t)(len - 13);
            }
            dtls_client_receive(d->client, bytes, len);
        }
        if (phase == 1)
            leap(d, 1000); /* the server's flight found no room, perhaps */
        exchange(d, "still here");
        assert_true(dtls_client_renew(d->client));
        d->wire_count = 0;
        dtls_client_handshake(d->client, DTLS_CLIENT_FULL);
    }
    run(d);
    assert_int_equal(d->failed, 0);
}

/* ---- handshakes that fail ---- */

static bool lose_all(struct device *d, const struct bench_datagram *datagram) {
    (void)d, (void)datagram;
    return false;
}

static void test_a_silent_server(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->filter = lose_all;
    start_device(b);
    link_send(dtls_client_link(d->client), slice_str("hello"));
    leap(d, 30999);
    assert_int_equal(d->datagrams_up, 5); /* after 1, 2, 4 and 8 seconds once more */
    assert_int_equal(d->failed, 0);
    leap(d, 1);
    assert_int_equal(d->failed, 1);
    assert_int_equal(d->failure.fault, DTLS_FAULT_TIMEOUT);
    d->filter = NULL;
    exchange(d, "and now"); /* "hello" has gone */
    assert_int_equal(b->messages, 1);
}

static void test_an_identity_that_the_server_does_not_know(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->params.identity = slice_str("nobody");
    start_device(b);
    link_send(dtls_client_link(d->client), slice_str("hello"));
    run(d);
    assert_int_equal(d->failed, 1);
    assert_int_equal(d->failure.fault, DTLS_FAULT_ALERT);
    assert_int_equal(d->failure.alert_received, 115); /* unknown_psk_identity */
}

static void test_a_wrong_key_is_met_with_silence(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->params.key = slice_str("wrong");
    start_device(b);
    link_send(dtls_client_link(d->client), slice_str("hello"));
    run(d);
    leap(d, 31000);
    assert_int_equal(d->failed, 1);
    assert_int_equal(d->failure.fault, DTLS_FAULT_TIMEOUT);
}

static void test_a_suite_that_the_server_does_not_take(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b); /* it has no certificate */
    struct device *d = new_certified_device(b, 0xc0ae);
    start_device(b);
    link_send(dtls_client_link(d->client), slice_str("hello"));
    run(d);
    assert_int_equal(d->failed, 1);
    assert_int_equal(d->failure.alert_received, 40); /* handshake_failure */
}

/* ---- messages that wait ---- */

static void test_messages_wait_for_the_handshake_once_each(void **state) {
    struct bench *b = *state;
    char text[32];
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    start_device(b);
    struct link *link = dtls_client_link(d->client);
    for (int again = 0; again < 2; again++) {
        for (int i = 0; i < DTLS_CLIENT_HELD_MAX + 2; i++) {
            snprintf(text, sizeof text, "message %d", again ? i % 2 + DTLS_CLIENT_HELD_MAX : i);
            assert_int_equal(link_send(link, slice_str(text)), 0);
        }
    }
    run(d);
    assert_int_equal(b->messages, DTLS_CLIENT_HELD_MAX); /* the two oldest have gone */
    assert_true(slice_is(slice_of(b->message, b->message_len), "message 9"));
    assert_int_equal(d->established, 1);
}

/* ---- resumption ---- */

static void test_resumption_by_session_id(void **state) {
    struct bench *b = *state;
    static const uint16_t suites[] = {0xc0a8, 0x00a8, 0x00ae};
    bench_start_dtls(b);
    for (size_t i = 0; i < 3; i++) {
        struct device *d = new_device(b, suites[i]);
        d->params.cid = DTLS_CLIENT_CID;
        d->params.cid_length = 4;
        d->params.resume = true;
        start_device(b);
        exchange(d, "hello");
        assert_false(describe(d).resumed);
        assert_true(describe(d).resumable);
        for (size_t n = 2; n < 5; n++) {
            assert_true(dtls_client_renew(d->client));
            exchange(d, "again");
            assert_int_equal(d->established, n);
            assert_true(describe(d).resumed);
            assert_true(describe_at_server(b).resumed);
            check_cids(d, 4, 8);
            exchange(d, "and once more");
            assert_int_equal(describe(d).live, suites[i] == 0x00ae);
        }
        assert_true(dtls_client_handshake(d->client, DTLS_CLIENT_FULL));
        assert_false(dtls_client_handshake(d->client, DTLS_CLIENT_FULL)); /* one is under way */
        run(d);
        exchange(d, "in full");
        assert_false(describe(d).resumed);
        d->params.resume = false;
        assert_true(dtls_client_handshake(d->client, DTLS_CLIENT_RESUME));
        run(d);
        assert_true(describe(d).resumed);
    }
}

static void test_resumption_with_a_certificate_keeps_the_identity(void **state) {
    struct bench *b = *state;
    start_with_certificates(b);
    struct device *d = new_certified_device(b, 0xc0ae);
    d->params.resume = true;
    start_device(b);
    exchange(d, "hello");
    assert_true(dtls_client_renew(d->client));
    exchange(d, "again");
    assert_true(describe(d).resumed);
    assert_true(slice_is(b->link->identity->name, "dev1"));
}

static void test_a_server_that_has_forgotten_the_session(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->params.resume = true;
    start_device(b);
    exchange(d, "hello");
    memset(b->resume, 0, sizeof b->resume);
    assert_true(dtls_client_renew(d->client));
    exchange(d, "again");
    assert_false(describe(d).resumed);
    assert_true(dtls_client_renew(d->client)); /* the new one can be resumed */
    exchange(d, "and again");
    assert_true(describe(d).resumed);
}

static void test_without_resume_every_handshake_is_full(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    start_device(b);
    exchange(d, "hello");
    assert_true(dtls_client_renew(d->client));
    exchange(d, "again");
    assert_false(describe(d).resumed);
}

static void test_what_can_not_be_resumed_is_forgotten(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->params.resume = true;
    start_device(b);
    exchange(d, "hello");
    assert_true(dtls_client_renew(d->client));
    d->filter = lose_all;
    link_send(dtls_client_link(d->client), slice_str("lost"));
    leap(d, 31000);
    assert_int_equal(d->failed, 1);
    d->filter = NULL;
    assert_false(describe(d).resumable);
    exchange(d, "in full");
    assert_false(describe(d).resumed);
}

/* ---- ends ---- */

static void test_goodbyes(void **state) {
    struct bench *b = *state;
    static const uint16_t suites[] = {0xc0a8, 0x00ae};
    bench_start_dtls(b);
    for (size_t i = 0; i < 2; i++) {
        struct device *d = new_device(b, suites[i]);
        d->params.resume = true;
        start_device(b);
        assert_false(dtls_client_hang_up(d->client)); /* there is none yet */
        exchange(d, "hello");
        size_t closed = b->closed;
        assert_true(dtls_client_hang_up(d->client));
        run(d);
        assert_int_equal(b->closed, closed + 1);
        assert_int_equal(b->end, DTLS_END_CLOSED_BY_PEER);
        assert_int_equal(d->closed, 0); /* it was our own doing */
        exchange(d, "back");
        assert_true(describe(d).resumed);
        dtls_hang_up(b->link);
        run(d);
        assert_int_equal(d->closed, 1);
        assert_int_equal(d->end, DTLS_END_CLOSED_BY_PEER);
        exchange(d, "back again");
        assert_int_equal(d->established, 3);
    }
}

static void test_a_goodbye_out_of_a_message(void **state) {
    struct bench *b = *state;
    static const uint16_t suites[] = {0xc0a8, 0x00ae};
    bench_start_dtls(b);
    for (size_t i = 0; i < 2; i++) {
        for (int resumed = 0; resumed < 2; resumed++) {
            struct device *d = new_device(b, suites[i]);
            d->params.resume = true;
            start_device(b);
            exchange(d, "hello");
            if (resumed)
                assert_true(dtls_client_renew(d->client));
            d->hangs_up_when_it_receives = true;
            exchange(d, "go");
            assert_false(describe(d).established);
            d->hangs_up_when_it_receives = false;
            exchange(d, "come back");
        }
    }
}

static void test_what_is_forgotten_is_not_resumed(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->params.resume = true;
    start_device(b);
    exchange(d, "hello");
    dtls_client_forget(d->client);
    assert_false(describe(d).established);
    exchange(d, "again");
    assert_false(describe(d).resumed);
}

static void test_a_link_that_is_held_outlives_its_client(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    start_device(b);
    exchange(d, "hello");
    struct link *link = link_ref(dtls_client_link(d->client));
    dtls_client_free(d->client);
    d->client = NULL;
    assert_int_equal(link_send(link, slice_str("nobody hears it")), -ENOTCONN);
    link_unref(link);
}

/* ---- crashes of the device ---- */

/* The process is killed: only what was kept stays. */
static void crash(struct device *d) {
    dtls_client_free(d->client);
    d->wire_count = 0;
    d->client = NULL;
    start_device(d->bench);
}

static bool restore(struct device *d) {
    return dtls_client_restore(d->client, &d->state);
}

/* Record numbers only rise, whatever happens to the device. */
static bool check_numbers(struct device *d, const struct bench_datagram *datagram) {
    struct record_header header;
    if (datagram->up && record_read_header(slice_of(datagram->bytes, datagram->len), 8, &header) && header.epoch == 1) {
        if (d->has_sent_record)
            assert_true(header.number > d->newest_number);
        d->newest_number = header.number;
        d->has_sent_record = true;
    }
    return true;
}

static void test_a_session_goes_on_after_a_crash(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    for (int draft = 0; draft <= dtls_has_draft_cid(); draft++) {
        struct device *d = new_device(b, 0xc0a8);
        d->keeps = true;
        d->params.cid = draft ? DTLS_CLIENT_CID_DRAFT : DTLS_CLIENT_CID;
        d->params.cid_length = 2;
        start_device(b);
        exchange(d, "hello");
        assert_int_equal(d->kept, 1);
        d->filter = check_numbers;
        for (int i = 0; i < 100; i++) {
            crash(d);
            d->address.port++;
            assert_true(restore(d));
            assert_true(describe(d).restored);
            for (uint64_t n = random_below(600); n > 0; n--) {
                if (n % 3 == 0) {
                    exchange(d, "still the same");
                } else {
                    link_send(dtls_client_link(d->client), slice_str("lost"));
                    d->wire_count = 0;
                }
            }
        }
        assert_int_equal(d->established, 1);
        assert_int_equal(describe(d).replays + describe(d).bad_records, 0);
    }
}

static void test_nothing_is_accepted_twice_after_a_crash(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->keeps = true;
    d->params.cid = DTLS_CLIENT_CID;
    start_device(b);
    d->filter = keep_down;
    exchange(d, "hello");
    crash(d);
    assert_true(restore(d));
    receive_copy(d);
    assert_int_equal(d->received, 1);
    assert_int_equal(describe(d).replays, 1);
}

static void test_without_a_connection_id_a_crash_leaves_resumption(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->keeps = true;
    d->params.resume = true;
    start_device(b);
    exchange(d, "hello");
    crash(d);
    assert_false(restore(d));
    exchange(d, "again");
    assert_true(describe(d).resumed);
    dtls_client_forget(d->client);
    assert_int_equal(d->state.secret.len, 0);
}

/* What was kept of the session before must not be mistaken for the new one's. */
static void test_a_new_session_is_used_only_when_it_is_kept(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->keeps = true;
    d->params.cid = DTLS_CLIENT_CID;
    start_device(b);
    exchange(d, "hello");
    struct dtls_client_state before = d->state;
    d->disk_is_full = true;
    assert_true(dtls_client_handshake(d->client, DTLS_CLIENT_FULL));
    run(d);
    assert_int_equal(d->established, 2);
    assert_int_equal(link_send(dtls_client_link(d->client), slice_str("no")), -EIO);
    d->disk_is_full = false;
    exchange(d, "yes");
    assert_int_equal(d->kept, 2);
    assert_int_not_equal(d->state.secret.len, 0);
    assert_true(d->state.number_limit > 0 && before.number_limit > 0);
    crash(d);
    assert_true(restore(d));
    exchange(d, "the new one");
}

static void test_numbers_that_can_not_be_kept_are_not_used(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->keeps = true;
    d->params.cid = DTLS_CLIENT_CID;
    start_device(b);
    exchange(d, "hello");
    d->disk_is_full = true;
    int result = 0;
    for (int i = 0; i < 2 * DTLS_CLIENT_NUMBERS_STEP && result == 0; i++)
        result = link_send(dtls_client_link(d->client), slice_str("x")), d->wire_count = 0;
    assert_int_equal(result, -EIO);
    d->disk_is_full = false;
    exchange(d, "room again");
}

static void test_what_was_kept_must_fit(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->keeps = true;
    d->params.cid = DTLS_CLIENT_CID;
    start_device(b);
    exchange(d, "hello");
    d->params.suite = cipher_suite_find(0x00a8); /* other options this time */
    crash(d);
    assert_false(restore(d));
    d->params.suite = cipher_suite_find(0xc0a8);
    crash(d);
    for (size_t len = 0; len < d->state.secret.len; len++) {
        struct dtls_client_state cut = d->state;
        cut.secret.len = len;
        assert_false(dtls_client_restore(d->client, &cut));
    }
    for (int i = 0; i < 2000; i++) {
        uint8_t bytes[DTLS_CLIENT_SECRET_MAX];
        struct dtls_client_state spoilt = d->state;
        memcpy(bytes, d->secret, d->state.secret.len);
        bytes[random_below(d->state.secret.len)] ^= (uint8_t)(1 + random_below(255));
        spoilt.secret.data = bytes;
        dtls_client_restore(d->client, &spoilt); /* whatever it says */
    }
}

/* ---- bytes ---- */

static void count(struct device *d, size_t cookie_and_all, size_t resumed) {
    struct bench *b = d->bench;
    d->params.identity =
        slice_str("urn:imei:12345"); /* 14 characters, as in the measurement that this is compared with */
    d->params.cid = DTLS_CLIENT_CID;
    d->params.resume = true;
    bench_start_dtls(b);
    start_device(b);
    assert_true(dtls_client_handshake(d->client, DTLS_CLIENT_FULL));
    run(d);
    assert_true(d->up + d->down <= cookie_and_all);
    struct dtls_traffic traffic = describe(d).traffic;
    assert_int_equal(traffic.handshake_out, d->up);
    assert_int_equal(traffic.handshake_in, d->down);
    assert_int_equal(traffic.handshake_datagrams_out, d->datagrams_up);
    assert_int_equal(traffic.handshake_datagrams_in, d->datagrams_down);

    d->up = d->down = 0;
    b->no_echo = true;
    link_send(dtls_client_link(d->client), slice_str("thirteen byte")); /* an Update, 18 bytes with its answer */
    run(d);
    link_send(b->link, slice_str("reply"));
    run(d);
    assert_int_equal(d->up, 51);
    assert_int_equal(d->down, 34);
    traffic = describe(d).traffic;
    assert_int_equal(traffic.records_out, 51);
    assert_int_equal(traffic.records_in, 34);
    assert_int_equal(traffic.content_out, 13);
    assert_int_equal(traffic.content_in, 5);

    d->up = d->down = 0;
    assert_true(dtls_client_handshake(d->client, DTLS_CLIENT_RESUME));
    run(d);
    assert_true(describe(d).resumed);
    assert_true(d->up + d->down <= resumed);
}

static void test_bytes_with_a_cookie(void **state) {
    count(new_device(*state, 0xc0a8), 560, 553);
}

static void test_bytes_without_a_cookie(void **state) {
    ((struct bench *)*state)->params.cookie = DTLS_COOKIE_NEVER;
    count(new_device(*state, 0xc0a8), 424, 389);
}

static bool is_hello(struct device *d, const struct bench_datagram *datagram) {
    (void)d;
    if (datagram->up && datagram->bytes[0] == 22 && datagram->bytes[13] == 1)
        kept = *datagram;
    return true;
}

/* One suite and what goes with every hello of mbedtls, the extended master secret, one signature algorithm, and the CID. */
static void test_the_smallest_hello(void **state) {
    struct bench *b = *state;
    b->params.cookie = DTLS_COOKIE_NEVER;
    bench_start_dtls(b);
    struct device *d = new_device(b, 0xc0a8);
    d->filter = is_hello;
    start_device(b);
    exchange(d, "hello");
    assert_true(kept.len <= 83);
    d = new_device(b, 0xc0a8);
    d->params.cid = DTLS_CLIENT_CID;
    d->filter = is_hello;
    start_device(b);
    exchange(d, "hello");
    assert_true(kept.len <= 88);
}

int main(void) {
    bench_identity_make(&authority, "CN=Authority", NULL, NULL);
    bench_identity_make(&server, "CN=server", "lwm2m.example", &authority);
    bench_identity_make(&device, "CN=dev1", NULL, &authority);
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_every_psk_suite_with_and_without_cid),
        TEST(test_every_suite_with_certificates),
        TEST(test_a_server_with_another_authority_is_refused),
        TEST(test_a_self_signed_certificate_of_the_server_is_its_own_authority),
        TEST(test_the_server_must_have_the_name_that_was_asked_for),
        TEST(test_a_pinned_certificate_is_good_whomever_it_names),
        TEST(test_a_certificate_that_may_sign_is_an_authority_unless_it_must_be_the_servers),
        TEST(test_the_whole_chain_is_sent),
        TEST(test_what_can_not_be_used),
        TEST(test_keys_of_64_bytes_and_identities_of_128),
        TEST(test_connection_ids_of_every_length),
        TEST(test_connection_ids_of_the_draft),
        TEST(test_a_server_without_connection_ids),
        TEST(test_another_address_needs_no_handshake),
        TEST(test_the_fragment_length_that_was_asked_for),
        TEST(test_lost_flights_come_again),
        TEST(test_datagrams_in_any_order_and_twice),
        TEST(test_an_early_finished_under_a_connection_id),
        TEST(test_a_lost_last_flight_comes_again),
        TEST(test_replayed_forged_and_foreign_records_are_dropped),
        TEST(test_garbage_does_no_harm),
        TEST(test_a_silent_server),
        TEST(test_an_identity_that_the_server_does_not_know),
        TEST(test_a_wrong_key_is_met_with_silence),
        TEST(test_a_suite_that_the_server_does_not_take),
        TEST(test_messages_wait_for_the_handshake_once_each),
        TEST(test_resumption_by_session_id),
        TEST(test_resumption_with_a_certificate_keeps_the_identity),
        TEST(test_a_server_that_has_forgotten_the_session),
        TEST(test_without_resume_every_handshake_is_full),
        TEST(test_what_can_not_be_resumed_is_forgotten),
        TEST(test_goodbyes),
        TEST(test_a_goodbye_out_of_a_message),
        TEST(test_what_is_forgotten_is_not_resumed),
        TEST(test_a_link_that_is_held_outlives_its_client),
        TEST(test_a_session_goes_on_after_a_crash),
        TEST(test_nothing_is_accepted_twice_after_a_crash),
        TEST(test_without_a_connection_id_a_crash_leaves_resumption),
        TEST(test_a_new_session_is_used_only_when_it_is_kept),
        TEST(test_numbers_that_can_not_be_kept_are_not_used),
        TEST(test_what_was_kept_must_fit),
        TEST(test_bytes_with_a_cookie),
        TEST(test_bytes_without_a_cookie),
        TEST(test_the_smallest_hello),
    };
    int failed = cmocka_run_group_tests_name("net/dtls_client", tests, NULL, NULL);
    bench_identity_free(&authority);
    bench_identity_free(&server);
    bench_identity_free(&device);
    return failed;
}
