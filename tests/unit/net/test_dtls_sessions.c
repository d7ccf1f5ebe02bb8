/* Established sessions: our record layer against mbedtls clients, addresses that change, crashes, and every way to end. */
#include "common/base/random.h"
#include "common/net/record.h"
#include "tests/unit/net/dtls_bench.h"

static struct dtls_description describe(const struct bench *b) {
    struct dtls_description description;
    dtls_describe(b->link, &description);
    return description;
}

/* A client that has sent its first message: from here on it is our record layer. */
static struct client *established(struct bench *b, const struct bench_client_options *options) {
    struct client *c = bench_client(b, 0, options);
    bench_handshake(c);
    bench_exchange(c, "hello");
    return c;
}

static struct bench_datagram kept;

static bool keep_up(struct bench *b, struct bench_datagram *datagram) {
    (void)b;
    if (datagram->up)
        kept = *datagram;
    return true;
}

static bool keep_up_and_lose(struct bench *b, struct bench_datagram *datagram) {
    keep_up(b, datagram);
    return !datagram->up;
}

/* ---- long runs ---- */

static void exchange_long(struct bench *b, const struct bench_client_options *options) {
    struct client *c = established(b, options);
    char text[600];
    for (int i = 0; i < 300; i++) {
        size_t len = 1 + random_below(sizeof text - 1);
        memset(text, 'a' + i % 26, len);
        text[len] = '\0';
        bench_exchange(c, text);
    }
    assert_int_equal(c->error, 0);
}

static void test_CID_02_CID_03_long_runs_against_mbedtls(void **state) {
    struct bench *b = *state;
    static const int suites[][2] = {{0xc0a8, 0}, {0xc0a4, 0}, {0x00a8, 0}, {0x00a9, 0}, {0xc0a9, 0}};
    static const uint8_t cid[32] = {1, 2, 3};
    bench_start_dtls(b);
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        exchange_long(b, &(struct bench_client_options){.suites = suites[i]});
        exchange_long(b, &(struct bench_client_options){.suites = suites[i], .no_cid = true});
        exchange_long(b, &(struct bench_client_options){.suites = suites[i], .cid = cid, .cid_len = 32});
        if (dtls_has_draft_cid())
            exchange_long(b, &(struct bench_client_options){
                                 .suites = suites[i], .layer = dtls_layer_draft(), .cid = cid, .cid_len = i});
    }
}

static void test_CID_06_cbc_with_a_connection_id(void **state) {
    struct bench *b = *state;
    static const int cbc[] = {0x00ae, 0};
    bench_start_dtls(b);
    for (int i = 0; i < 2; i++) { /* the MAC of the ciphertext (RFC 7366), and of the plaintext */
        struct bench_client_options options = {.suites = cbc, .lean = i == 1};
        exchange_long(b, &options);
        assert_int_equal(describe(b).cid.len, 8);
        b->clients[0].address.port++;
        bench_exchange(&b->clients[0], "from elsewhere");
        assert_int_equal(b->moved, i + 1);
    }
}

static void test_the_mbedtls_object_goes_with_the_first_message(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, NULL);
    bench_handshake(c);
    assert_true(describe(b).live);
    assert_int_equal(dtls_counters(b->dtls).live, 1);
    assert_int_equal(link_send(b->link, slice_str("ours first")), 0);
    bench_run(b);
    assert_true(slice_is(slice_of(c->received, c->received_len), "ours first"));
    bench_exchange(c, "hello");
    assert_false(describe(b).live);
    assert_int_equal(dtls_counters(b->dtls).live, 0);
    assert_int_equal(dtls_counters(b->dtls).sessions, 1);
}

static void test_the_mbedtls_object_goes_when_nothing_is_said(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, NULL);
    bench_handshake(c);
    bench_leap(b, 60000);
    assert_false(describe(b).live);
    bench_exchange(c, "late");
}

/* ---- what is dropped ---- */

static void test_SEC_10_CID_10_replayed_forged_and_foreign_records(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    for (int with_cid = 0; with_cid < 2; with_cid++) {
        struct client *c = established(b, &(struct bench_client_options){.no_cid = with_cid == 0});
        b->filter = keep_up;
        bench_exchange(c, "once");
        b->filter = NULL;
        size_t messages = b->messages, down = b->datagrams_down;
        bench_inject(b, &c->address, slice_of(kept.bytes, kept.len)); /* replayed */
        struct address elsewhere = c->address;
        elsewhere.port = 7;
        bench_inject(b, &elsewhere, slice_of(kept.bytes, kept.len));
        kept.bytes[10] += 5; /* another number, a wrong tag */
        bench_inject(b, &c->address, slice_of(kept.bytes, kept.len));
        bench_inject(b, &elsewhere, slice_of(kept.bytes, kept.len));
        kept.bytes[4] = 7; /* another epoch */
        bench_inject(b, &c->address, slice_of(kept.bytes, kept.len));
        kept.bytes[4] = 1;
        kept.bytes[12] ^= 1; /* another CID, or length */
        bench_inject(b, &c->address, slice_of(kept.bytes, kept.len));
        bench_inject(b, &c->address, slice_str("\x17\xfe\xfd\0\0\0\0\0\0\0\x09\0\1x"));         /* plaintext */
        bench_inject(b, &c->address, slice_of("\x15\xfe\xfd\0\0\0\0\0\0\0\x09\0\2\2\x28", 15)); /* a plaintext alert */
        assert_int_equal(b->messages, messages);
        assert_int_equal(b->datagrams_down, down); /* no alert either */
        assert_int_equal(b->moved, 0);
        bench_exchange(c, "twice");
    }
    assert_true(dtls_counters(b->dtls).replays >= 2);
    assert_true(dtls_counters(b->dtls).bad_records >= 2);
    assert_int_equal(b->closed, 1); /* the one without CID, by its successor */
}

static void test_CID_12_a_record_without_the_cid_is_not_taken(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = established(b, NULL);
    b->filter = keep_up_and_lose;
    bench_send(c, "x");
    b->filter = NULL;
    size_t messages = b->messages;
    /* Without its CID, everything else as it was. */
    memmove(kept.bytes + 11, kept.bytes + 19, kept.len - 19);
    kept.bytes[0] = RECORD_APPLICATION_DATA;
    bench_inject(b, &c->address, slice_of(kept.bytes, kept.len - 8));
    assert_int_equal(b->messages, messages);
    bench_exchange(c, "with it");
}

static void test_CID_18_records_of_an_unknown_address_without_cid(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = established(b, &(struct bench_client_options){.no_cid = true});
    c->address.port++;
    size_t down = b->datagrams_down;
    bench_send(c, "who am I?");
    assert_int_equal(b->messages, 1);
    assert_int_equal(b->datagrams_down, down);
    c->address.port--;
    bench_exchange(c, "ah");
}

static void test_CID_20_several_records_in_a_datagram(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = established(b, NULL);
    uint8_t bytes[1024];
    size_t len = 0;
    for (int i = 0; i < 3; i++) {
        b->filter = keep_up_and_lose;
        bench_send(c, "abc");
        memcpy(bytes + len, kept.bytes, kept.len);
        len += kept.len;
    }
    b->filter = NULL;
    bytes[len / 3 + 30] ^= 1; /* the second is spoilt */
    bench_inject(b, &c->address, slice_of(bytes, len));
    assert_int_equal(b->messages, 1 + 2);
}

static void test_a_session_ends_when_its_keys_are_worn(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = established(b, NULL);
    b->filter = keep_up;
    bench_exchange(c, "once");
    b->filter = NULL;
    kept.bytes[10] += 5;
    for (uint32_t i = 0; i < 1 << 20 && b->closed == 0; i++)
        bench_inject(b, &c->address, slice_of(kept.bytes, kept.len));
    assert_int_equal(b->closed, 1);
    assert_int_equal(b->end, DTLS_END_FORGERIES);
    assert_int_equal(describe(b).bad_records, 1 << 20);
}

/* ---- addresses ---- */

static void test_CID_08_the_address_follows_the_newest_record(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = established(b, NULL);
    struct address old = c->address;
    struct link *link = b->link;
    for (int i = 0; i < 5; i++) {
        c->address.port++;
        bench_exchange(c, "from elsewhere");
        assert_int_equal(b->moved, i + 1);
        assert_true(address_equal(&b->old_address, &old));
        assert_true(address_equal(&link->peer, &c->address));
        assert_ptr_equal(b->link, link);
        old = c->address;
    }
    link_send(link, slice_str("of our own accord"));
    bench_run(b);
    assert_true(slice_is(slice_of(c->received, c->received_len), "of our own accord"));
    assert_int_equal(b->established, 1);
}

static void test_CID_09_CID_10_only_the_newest_moves_it(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = established(b, NULL);
    b->filter = keep_up_and_lose;
    bench_send(c, "late");
    b->filter = NULL;
    struct bench_datagram late = kept;
    bench_exchange(c, "newer");
    struct address elsewhere = c->address;
    elsewhere.port = 7;
    bench_inject(b, &elsewhere, slice_of(late.bytes, late.len));
    assert_true(slice_is(slice_of(b->message, b->message_len), "late")); /* delivered */
    assert_int_equal(b->moved, 0);
    assert_true(address_equal(&b->link->peer, &c->address));
    bench_inject(b, &elsewhere, slice_of(late.bytes, late.len)); /* and now it is a replay */
    assert_int_equal(b->messages, 3);
    assert_int_equal(b->moved, 0);
}

static void test_CID_11_three_times_as_much_to_an_unproven_address(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = established(b, NULL);
    b->no_echo = true;
    b->filter = keep_up_and_lose;
    bench_send(c, "x");
    b->filter = NULL;
    struct address victim = c->address;
    victim.port = 7;
    size_t before = b->bytes_down;
    bench_inject(b, &victim, slice_of(kept.bytes, kept.len)); /* redirected by someone on the way */
    assert_int_equal(b->moved, 1);
    assert_false(b->link->verified);
    uint8_t message[40] = {0};
    for (int i = 0; i < 10; i++)
        assert_int_equal(link_send(b->link, slice_of(message, sizeof message)), 0);
    assert_true(b->bytes_down - before > kept.len);
    assert_true(b->bytes_down - before <= 3 * kept.len);
    assert_true(dtls_counters(b->dtls).unproven > 0);
    b->network_count = 0;
    bench_send(c, "I am here"); /* the true device is back */
    assert_int_equal(b->moved, 2);
    link_send(b->link, slice_str("?"));
    bench_send(c, "yes");
    assert_true(b->link->verified);
    before = b->bytes_down;
    for (int i = 0; i < 50; i++)
        link_send(b->link, slice_of(message, sizeof message));
    assert_true(b->bytes_down - before > 50 * sizeof message);
}

static void test_CID_08_sessions_that_stay_with_mbedtls_move_too(void **state) {
    struct bench *b = *state;
    static const int cbc[] = {0x00ae, 0};
    bench_start_dtls(b);
    struct client *c = established(b, &(struct bench_client_options){.suites = cbc});
    assert_true(describe(b).live);
    c->address.port = 7;
    bench_exchange(c, "from elsewhere");
    assert_int_equal(b->moved, 1);
    assert_true(address_equal(&b->link->peer, &c->address));
    b->filter = keep_up;
    bench_exchange(c, "again");
    b->filter = NULL;
    c->address.port = 8;
    bench_inject(b, &c->address, slice_of(kept.bytes, kept.len)); /* a replay */
    assert_int_equal(b->moved, 1);
}

/* ---- goodbyes ---- */

static void close_by_client(struct bench *b, const struct bench_client_options *options) {
    struct client *c = established(b, options);
    size_t closed = b->closed, down = b->datagrams_down;
    mbedtls_ssl_close_notify(&c->ssl);
    bench_run(b);
    assert_int_equal(b->closed, closed + 1);
    assert_int_equal(b->end, DTLS_END_CLOSED_BY_PEER);
    assert_int_equal(b->datagrams_down, down + 1); /* one of ours in return */
    assert_int_equal(c->error, MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    assert_int_equal(dtls_counters(b->dtls).sessions, 0);
    assert_true(link_send(b->link, slice_str("x")) < 0);
}

static void test_SEC_19_the_client_says_goodbye(void **state) {
    struct bench *b = *state;
    static const int cbc[] = {0x00ae, 0};
    bench_start_dtls(b);
    close_by_client(b, NULL);
    close_by_client(b, &(struct bench_client_options){.no_cid = true});
    close_by_client(b, &(struct bench_client_options){.suites = cbc});
}

static void test_SEC_19_goodbye_instead_of_a_first_message(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, NULL);
    bench_handshake(c);
    mbedtls_ssl_close_notify(&c->ssl);
    bench_run(b);
    assert_int_equal(b->closed, 1);
    assert_int_equal(b->end, DTLS_END_CLOSED_BY_PEER);
}

static void test_CID_19_the_cid_outlives_our_goodbye(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = established(b, NULL);
    b->filter = keep_up;
    bench_leap(b, 1000);
    size_t down = b->datagrams_down;
    dtls_hang_up(b->link);
    assert_int_equal(b->datagrams_down, down + 1);
    b->network_count = 0; /* as the vendor's client: hears it, and goes on later from a new port */
    assert_true(link_send(b->link, slice_str("x")) < 0);
    bench_leap(b, 299000);
    c->address.port = 7;
    bench_exchange(c, "I am back");
    bench_leap(b, 600000); /* and stays */
    bench_exchange(c, "still");
    assert_int_equal(b->closed, 0);
    dtls_hang_up(b->link);
    b->network_count = 0;
    bench_leap(b, 300000);
    assert_int_equal(b->closed, 1);
    assert_int_equal(b->end, DTLS_END_HUNG_UP);
    bench_send(c, "too late");
    assert_int_equal(b->messages, 3);
}

static void test_our_goodbye_without_cid_ends_it(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = established(b, &(struct bench_client_options){.no_cid = true});
    dtls_hang_up(b->link);
    bench_run(b);
    assert_int_equal(c->error, MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    assert_int_equal(b->end, DTLS_END_HUNG_UP);
}

static void test_SEC_25_dropping_an_identity(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    for (size_t i = 0; i < 3; i++) {
        struct client *c = bench_client(b, i, &(struct bench_client_options){.identity = i == 2 ? "dev2" : "dev1"});
        bench_handshake(c);
        bench_exchange(c, "hello");
    }
    struct link_identity dev1 = {.security = LINK_PSK, .name = slice_str("dev1")};
    assert_int_equal(dtls_drop_identity(b->dtls, &dev1), 2);
    assert_int_equal(b->closed, 2);
    assert_int_equal(b->end, DTLS_END_DROPPED);
    assert_int_equal(dtls_drop_identity(b->dtls, &dev1), 0);
    bench_exchange(&b->clients[2], "still here");
    struct link_identity stranger = {.security = LINK_X509, .name = slice_str("dev2")};
    assert_int_equal(dtls_drop_identity(b->dtls, &stranger), 0);
    dtls_drop(b->link);
    assert_int_equal(b->closed, 2 + 1);
}

/* ---- room ---- */

static void test_sessions_of_one_identity_are_bounded(void **state) {
    struct bench *b = *state;
    b->params.sessions_per_identity = 2;
    bench_start_dtls(b);
    for (size_t i = 0; i < 3; i++) {
        bench_handshake(bench_client(b, i, NULL));
        bench_exchange(&b->clients[i], "hello");
        bench_leap(b, 1000);
    }
    assert_int_equal(dtls_counters(b->dtls).sessions, 2);
    assert_int_equal(b->end, DTLS_END_IDLE);
    bench_exchange(&b->clients[1], "here");
    bench_exchange(&b->clients[2], "here");
    bench_send(&b->clients[0], "gone");
    assert_int_equal(b->messages, 5);
}

static void test_the_quietest_session_makes_room(void **state) {
    struct bench *b = *state;
    b->params.sessions_max = 2;
    bench_start_dtls(b);
    for (size_t i = 0; i < 2; i++) {
        bench_handshake(bench_client(b, i, NULL));
        bench_exchange(&b->clients[i], "hello");
        bench_leap(b, 1000);
    }
    bench_exchange(&b->clients[0], "I am not quiet");
    bench_handshake(bench_client(b, 2, NULL));
    assert_int_equal(dtls_counters(b->dtls).sessions, 2);
    bench_exchange(&b->clients[0], "here");
    bench_exchange(&b->clients[2], "here");
    bench_send(&b->clients[1], "gone");
    assert_int_equal(b->messages, 5);
}

static void test_live_sessions_are_bounded(void **state) {
    struct bench *b = *state;
    static const int cbc[] = {0x00ae, 0};
    b->params.live_max = 1;
    bench_start_dtls(b);
    bench_handshake(bench_client(b, 0, &(struct bench_client_options){.suites = cbc}));
    bench_exchange(&b->clients[0], "hello");
    bench_handshake(bench_client(b, 1, NULL)); /* for a moment it needs an mbedtls object */
    assert_int_equal(b->end, DTLS_END_IDLE);
    assert_int_equal(b->closed, 1);
    bench_handshake(bench_client(b, 2, NULL)); /* and this one too: the other goes on without */
    assert_int_equal(b->closed, 1);
    assert_int_equal(dtls_counters(b->dtls).live, 1);
    bench_exchange(&b->clients[1], "here");
    bench_exchange(&b->clients[2], "here");
}

static void test_a_session_goes_when_it_was_quiet_for_too_long(void **state) {
    struct bench *b = *state;
    b->params.session_idle_ms = 100000;
    bench_start_dtls(b);
    struct client *c = established(b, NULL);
    bench_leap(b, 90000);
    bench_exchange(c, "here");
    bench_leap(b, 99000);
    assert_int_equal(b->closed, 0);
    bench_leap(b, 1000);
    assert_int_equal(b->closed, 1);
    assert_int_equal(b->end, DTLS_END_IDLE);
}

/* ---- crashes ---- */

static void test_CID_15_a_session_goes_on_after_a_crash(void **state) {
    struct bench *b = *state;
    static const uint8_t cid[4] = {1, 2, 3, 4};
    b->keeps_rows = true;
    bench_start_dtls(b);
    for (int i = 0; i < 4; i++) {
        struct bench_client_options options = {.no_cid = i == 0, .cid = cid, .cid_len = i == 1 ? 4 : 0};
        if (i == 3 && dtls_has_draft_cid())
            options.layer = dtls_layer_draft();
        struct client *c = established(b, &options);
        assert_int_equal(b->saves, i + 1);
        struct dtls_description before = describe(b);
        uint8_t first_cid[8] = {0};
        if (before.cid.len > 0)
            memcpy(first_cid, before.cid.data, before.cid.len);
        b->filter = keep_up;
        bench_exchange(c, "before");
        b->filter = NULL;
        for (int crash = 0; crash < 3; crash++) {
            bench_crash(b);
            bench_restore(b);
            size_t messages = b->messages;
            bench_inject(b, &c->address, slice_of(kept.bytes, kept.len)); /* what was accepted is not accepted again */
            assert_int_equal(b->messages, messages);
            b->filter = keep_up;
            bench_exchange(c, "after"); /* and the device knows nothing of it */
            b->filter = NULL;
        }
        struct dtls_description after = describe(b);
        assert_string_equal(after.cipher_suite, before.cipher_suite);
        assert_int_equal(after.cid_draft, before.cid_draft);
        assert_int_equal(after.cid.len, before.cid.len);
        assert_int_equal(after.established_ms, before.established_ms);
        if (after.cid.len > 0)
            assert_memory_equal(after.cid.data, first_cid, 8);
        assert_true(slice_is(b->link->identity->name, "dev1"));
        link_send(b->link, slice_str("of our own accord")); /* a notification, say */
        bench_run(b);
        assert_true(slice_is(slice_of(c->received, c->received_len), "of our own accord"));
        dtls_drop(b->link);
        assert_int_equal(b->forgets, i + 1);
    }
    assert_int_equal(b->established, 4);
}

static void test_nothing_is_sent_before_its_number_is_reserved(void **state) {
    struct bench *b = *state;
    b->keeps_rows = b->defers_commits = true;
    bench_start_dtls(b);
    struct client *c = established(b, NULL);
    assert_int_equal(b->reserves, 0); /* the row that was saved had a stretch */
    for (int i = 0; i < 512; i++)
        bench_exchange(c, "x");
    assert_int_equal(b->reserves, 1); /* half of it is used */
    for (int i = 0; i < 511; i++)
        bench_exchange(c, "x");
    size_t down = b->datagrams_down;
    for (int i = 0; i < 12; i++)
        bench_send(c, "y"); /* the stretch has ended: some wait, the others are as good as lost */
    assert_int_equal(b->datagrams_down, down);
    assert_int_equal(b->reserves, 1);
    assert_int_equal(dtls_counters(b->dtls).held, 8);
    dtls_reserved(b->dtls, b->rows[0].row.id, b->rows[0].pending.number_limit);
    bench_run(b);
    assert_int_equal(b->datagrams_down, down + 8);
    bench_exchange(c, "z");
    assert_int_equal(c->error, 0);
}

static void test_CID_15_whoever_is_answered_has_a_session_that_is_kept(void **state) {
    struct bench *b = *state;
    b->keeps_rows = b->defers_saves = true;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, NULL);
    bench_handshake(c);
    size_t down = b->datagrams_down, received = c->received_count;
    bench_send(c, "one");
    bench_send(c, "two");
    assert_int_equal(b->datagrams_down, down);
    dtls_saved(b->dtls, b->rows[0].row.id);
    bench_run(b);
    assert_int_equal(c->received_count, received + 2);
    bench_exchange(c, "three");
    bench_crash(b);
    bench_restore(b);
    bench_exchange(c, "four");
    assert_int_equal(b->established, 1);
}

static void test_a_reservation_that_fails_is_asked_for_again(void **state) {
    struct bench *b = *state;
    b->keeps_rows = b->defers_commits = true;
    bench_start_dtls(b);
    established(b, NULL);
    bench_crash(b);
    bench_restore(b);
    struct client *c = &b->clients[0];
    size_t received = c->received_count;
    bench_send(c, "one");
    assert_int_equal(c->received_count, received);
    assert_int_equal(b->reserves, 1);
    dtls_reserved(b->dtls, b->rows[0].row.id, 0); /* the disk was full */
    bench_send(c, "two");
    dtls_reserved(b->dtls, b->rows[0].row.id, 0);
    link_send(b->link, slice_str("three"));
    b->defers_commits = false;
    bench_run(b);
    assert_int_equal(c->received_count, received);
    dtls_reserved(b->dtls, b->rows[0].row.id, b->rows[0].pending.number_limit);
    bench_run(b);
    assert_int_equal(c->received_count, received + 3);
}

static uint64_t numbers_seen[4096]; /* a bit for each number that has been sent */

static bool check_number(struct bench *b, struct bench_datagram *datagram) {
    if (datagram->up || datagram->bytes[4] == 0)
        return true;
    uint64_t number = 0;
    for (size_t i = 5; i < 11; i++)
        number = number << 8 | datagram->bytes[i];
    assert_true(number < sizeof numbers_seen * 8);
    assert_int_equal(numbers_seen[number / 64] >> number % 64 & 1, 0); /* no nonce twice */
    numbers_seen[number / 64] |= (uint64_t)1 << number % 64;
    (void)b;
    return true;
}

static void test_CID_15_no_number_twice_over_many_crashes(void **state) {
    struct bench *b = *state;
    b->keeps_rows = true;
    bench_start_dtls(b);
    memset(numbers_seen, 0, sizeof numbers_seen);
    b->filter = check_number;
    struct client *c = established(b, NULL);
    size_t exchanges = 0, crashes = 0;
    for (int i = 0; i < 3000; i++) {
        char text[32];
        snprintf(text, sizeof text, "exchange %d", i);
        bench_exchange(c, text);
        exchanges++;
        if (random_below(20) == 0) { /* between the commit and anything else */
            bench_crash(b);
            bench_restore(b);
            crashes++;
        }
        if (random_below(50) == 0 && b->reserves > 0) { /* while numbers are asked for */
            b->defers_commits = true;
            for (int n = 0; n < 4; n++)
                bench_send(c, "lost or late");
            bench_crash(b);
            b->defers_commits = false;
            bench_restore(b);
            crashes++;
        }
    }
    assert_true(exchanges == 3000 && crashes > 100);
    assert_int_equal(b->established, 1);
    assert_int_equal(c->error, 0);
}

static void test_rows_that_are_none_of_ours(void **state) {
    struct bench *b = *state;
    b->keeps_rows = true;
    bench_start_dtls(b);
    established(b, NULL);
    struct dtls_session_row row = b->rows[0].row;
    uint8_t secret[DTLS_SESSION_SECRET_MAX];
    memcpy(secret, row.secret.data, row.secret.len);
    assert_null(dtls_restore(b->dtls, &b->listener, &row)); /* it is there already */
    bench_crash(b);
    for (size_t len = 0; len < row.secret.len; len++) {
        struct dtls_session_row cut = row;
        cut.secret = slice_of(secret, len);
        struct link *link = dtls_restore(b->dtls, &b->listener, &cut);
        assert_null(link);
    }
    secret[0]++; /* another format */
    row.secret = slice_of(secret, row.secret.len);
    assert_null(dtls_restore(b->dtls, &b->listener, &row));
    bench_restore(b);
    assert_ptr_equal(dtls_find(b->dtls, row.id), b->link);
    assert_null(dtls_find(b->dtls, row.id + 1));
}

static void test_many_sessions(void **state) {
    struct bench *b = *state;
    b->keeps_rows = true;
    bench_start_dtls(b);
    struct client *c = established(b, NULL);
    struct dtls_session_row row = b->rows[0].row;
    uint8_t secret[DTLS_SESSION_SECRET_MAX];
    memcpy(secret, row.secret.data, row.secret.len);
    row.secret = slice_of(secret, row.secret.len);
    b->restores_more = true;
    for (uint64_t i = 1; i <= 5000; i++) { /* others of the same making, each with its CID, at the same address */
        row.id = b->rows[0].row.id + i;
        for (size_t n = 0; n < 4; n++)
            secret[16 + 1 + n] = (uint8_t)(i >> 8 * n); /* within the CID */
        row.peer.port = (uint16_t)(i % 1000 + 1);
        assert_non_null(dtls_restore(b->dtls, &b->listener, &row));
    }
    assert_int_equal(dtls_counters(b->dtls).sessions, 5001);
    bench_exchange(c, "found");
    for (uint64_t i = 1; i <= 5000; i++)
        dtls_drop(dtls_find(b->dtls, b->rows[0].row.id + i));
    bench_exchange(c, "still found");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_CID_02_CID_03_long_runs_against_mbedtls),
        BENCH_TEST(test_CID_06_cbc_with_a_connection_id),
        BENCH_TEST(test_the_mbedtls_object_goes_with_the_first_message),
        BENCH_TEST(test_the_mbedtls_object_goes_when_nothing_is_said),
        BENCH_TEST(test_SEC_10_CID_10_replayed_forged_and_foreign_records),
        BENCH_TEST(test_CID_12_a_record_without_the_cid_is_not_taken),
        BENCH_TEST(test_CID_18_records_of_an_unknown_address_without_cid),
        BENCH_TEST(test_CID_20_several_records_in_a_datagram),
        BENCH_TEST(test_a_session_ends_when_its_keys_are_worn),
        BENCH_TEST(test_CID_08_the_address_follows_the_newest_record),
        BENCH_TEST(test_CID_09_CID_10_only_the_newest_moves_it),
        BENCH_TEST(test_CID_11_three_times_as_much_to_an_unproven_address),
        BENCH_TEST(test_CID_08_sessions_that_stay_with_mbedtls_move_too),
        BENCH_TEST(test_SEC_19_the_client_says_goodbye),
        BENCH_TEST(test_SEC_19_goodbye_instead_of_a_first_message),
        BENCH_TEST(test_CID_19_the_cid_outlives_our_goodbye),
        BENCH_TEST(test_our_goodbye_without_cid_ends_it),
        BENCH_TEST(test_SEC_25_dropping_an_identity),
        BENCH_TEST(test_sessions_of_one_identity_are_bounded),
        BENCH_TEST(test_the_quietest_session_makes_room),
        BENCH_TEST(test_live_sessions_are_bounded),
        BENCH_TEST(test_a_session_goes_when_it_was_quiet_for_too_long),
        BENCH_TEST(test_CID_15_a_session_goes_on_after_a_crash),
        BENCH_TEST(test_nothing_is_sent_before_its_number_is_reserved),
        BENCH_TEST(test_CID_15_whoever_is_answered_has_a_session_that_is_kept),
        BENCH_TEST(test_a_reservation_that_fails_is_asked_for_again),
        BENCH_TEST(test_CID_15_no_number_twice_over_many_crashes),
        BENCH_TEST(test_rows_that_are_none_of_ours),
        BENCH_TEST(test_many_sessions),
        BENCH_TEST_LIVE(test_CID_02_CID_03_long_runs_against_mbedtls),
        BENCH_TEST_LIVE(test_CID_12_a_record_without_the_cid_is_not_taken),
        BENCH_TEST_LIVE(test_CID_18_records_of_an_unknown_address_without_cid),
        BENCH_TEST_LIVE(test_CID_20_several_records_in_a_datagram),
        BENCH_TEST_LIVE(test_CID_08_the_address_follows_the_newest_record),
        BENCH_TEST_LIVE(test_CID_09_CID_10_only_the_newest_moves_it),
        BENCH_TEST_LIVE(test_SEC_19_the_client_says_goodbye),
        BENCH_TEST_LIVE(test_SEC_19_goodbye_instead_of_a_first_message),
        BENCH_TEST_LIVE(test_CID_19_the_cid_outlives_our_goodbye),
        BENCH_TEST_LIVE(test_our_goodbye_without_cid_ends_it),
        BENCH_TEST_LIVE(test_SEC_25_dropping_an_identity),
        BENCH_TEST_LIVE(test_sessions_of_one_identity_are_bounded),
        BENCH_TEST_LIVE(test_the_quietest_session_makes_room),
        BENCH_TEST_LIVE(test_a_session_goes_when_it_was_quiet_for_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
