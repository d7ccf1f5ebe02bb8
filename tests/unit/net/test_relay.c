/* What nodes of a cluster say to each other: only what was proven with the key, once and in order, is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/net/relay.h"

static const uint8_t key[RELAY_KEY_BYTES] = {1}, other_key[RELAY_KEY_BYTES] = {2};
static const uint8_t challenge[RELAY_CHALLENGE_BYTES] = {3}, other_challenge[RELAY_CHALLENGE_BYTES] = {4};
static const uint8_t nonce[RELAY_NONCE_BYTES] = {5};

static struct relay_way way_from(const char *peer, uint16_t port, const char *local) {
    struct relay_way way = {.listener = 3};
    assert_true(address_parse_ip(slice_str(peer), &way.peer));
    assert_true(address_parse_ip(slice_str(local), &way.local));
    way.peer.port = port;
    return way;
}

static void test_a_hello_is_read_as_it_was_written(void **state) {
    (void)state;
    uint8_t bytes[RELAY_HELLO_BYTES];
    struct relay_hello read, hello = {.kind = RELAY_DEVICE, .node = 200, .nonce = {9, 8}};
    hello.way = way_from("2001:db8::7", 50000, "192.0.2.1");
    hello.way.peer.scope = 12;
    assert_true(relay_hello_write(&hello, key, challenge, bytes));
    assert_true(relay_hello_read(&read, key, challenge, bytes));
    assert_int_equal(read.kind, RELAY_DEVICE);
    assert_int_equal(read.node, 200);
    assert_int_equal(read.way.listener, 3);
    assert_true(address_equal(&read.way.peer, &hello.way.peer));
    assert_true(address_equal(&read.way.local, &hello.way.local));
    assert_memory_equal(read.nonce, hello.nonce, sizeof read.nonce);
}

static void test_a_hello_proves_the_key_for_one_challenge_and_every_bit_of_it(void **state) {
    (void)state;
    uint8_t bytes[RELAY_HELLO_BYTES];
    struct relay_hello read, hello = {.kind = RELAY_HTTP, .way = way_from("192.0.2.9", 1, "192.0.2.1")};
    assert_true(relay_hello_write(&hello, key, challenge, bytes));
    assert_false(relay_hello_read(&read, other_key, challenge, bytes));
    assert_false(relay_hello_read(&read, key, other_challenge, bytes));
    for (size_t i = 0; i < sizeof bytes * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(relay_hello_read(&read, key, challenge, bytes));
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_true(relay_hello_read(&read, key, challenge, bytes));
}

static void test_a_hello_that_says_nothing_sensible_is_none(void **state) {
    (void)state;
    uint8_t bytes[RELAY_HELLO_BYTES];
    struct relay_hello read, hello = {.kind = RELAY_DEVICE};
    assert_true(relay_hello_write(&hello, key, challenge, bytes)); /* from nobody */
    assert_false(relay_hello_read(&read, key, challenge, bytes));
    hello = (struct relay_hello){.kind = RELAY_HTTP + 1, .way = way_from("192.0.2.9", 1, "192.0.2.1")};
    assert_true(relay_hello_write(&hello, key, challenge, bytes));
    assert_false(relay_hello_read(&read, key, challenge, bytes));
    hello.kind = RELAY_DEVICE;
    hello.way.peer.ip[15] = 1; /* behind an IPv4 address */
    assert_true(relay_hello_write(&hello, key, challenge, bytes));
    assert_false(relay_hello_read(&read, key, challenge, bytes));
    hello.way.peer.family = 5;
    assert_true(relay_hello_write(&hello, key, challenge, bytes));
    assert_false(relay_hello_read(&read, key, challenge, bytes));
    hello = (struct relay_hello){.kind = RELAY_CHANNEL, .way = way_from("192.0.2.9", 1, "192.0.2.1")};
    assert_true(relay_hello_write(&hello, key, challenge, bytes));
    assert_false(relay_hello_read(&read, key, challenge, bytes));
}

/* ---- channels ---- */

struct ends {
    struct relay_channel standing_by, serving;
};

struct arrivals {
    size_t count, bytes;
    struct relay_way way;
    uint8_t last;
};

static int open_ends(void **state) {
    struct ends *ends = calloc(1, sizeof *ends);
    assert_non_null(ends);
    assert_true(relay_channel_init(&ends->standing_by, key, challenge, nonce, false));
    assert_true(relay_channel_init(&ends->serving, key, challenge, nonce, true));
    *state = ends;
    return 0;
}

static int close_ends(void **state) {
    struct ends *ends = *state;
    relay_channel_clear(&ends->standing_by);
    relay_channel_clear(&ends->serving);
    free(ends);
    return 0;
}

static void on_datagram(void *arg, const struct relay_way *way, uint8_t *datagram, size_t len) {
    struct arrivals *arrivals = arg;
    arrivals->count++;
    arrivals->bytes += len;
    arrivals->way = *way;
    arrivals->last = len > 0 ? datagram[len - 1] : 0;
}

static void test_frames_arrive_whole_however_they_are_cut(void **state) {
    struct ends *ends = *state;
    static uint8_t large[RELAY_DATAGRAM_MAX];
    struct arrivals arrivals = {0};
    struct relay_way way = way_from("192.0.2.9", 5683, "2001:db8::1");
    large[sizeof large - 1] = 7;
    assert_true(relay_channel_put(&ends->standing_by, &way, slice_str("one")));
    assert_true(relay_channel_put(&ends->standing_by, &way, SLICE_NONE));
    assert_true(relay_channel_put(&ends->standing_by, &way, slice_of(large, sizeof large)));
    struct slice waiting = relay_channel_take(&ends->standing_by);
    assert_int_equal(relay_channel_take(&ends->standing_by).len, 0);
    for (size_t at = 0, n = 1; at < waiting.len; at += n, n = n % 97 + 1) {
        n = n < waiting.len - at ? n : waiting.len - at;
        assert_true(relay_channel_feed(&ends->serving, slice_of(waiting.data + at, n), on_datagram, &arrivals));
    }
    assert_int_equal(arrivals.count, 3);
    assert_int_equal(arrivals.bytes, 3 + sizeof large);
    assert_int_equal(arrivals.last, 7);
    assert_true(address_equal(&arrivals.way.peer, &way.peer));
    assert_true(address_equal(&arrivals.way.local, &way.local));
    /* And back. */
    assert_true(relay_channel_put(&ends->serving, &way, slice_str("two")));
    assert_true(relay_channel_feed(&ends->standing_by, relay_channel_take(&ends->serving), on_datagram, &arrivals));
    assert_int_equal(arrivals.count, 4);
}

static void test_what_is_too_large_or_too_much_is_not_taken(void **state) {
    struct ends *ends = *state;
    static uint8_t large[RELAY_DATAGRAM_MAX + 1];
    struct relay_way way = way_from("192.0.2.9", 5683, "192.0.2.1");
    size_t taken = 0;
    assert_false(relay_channel_put(&ends->serving, &way, slice_of(large, sizeof large)));
    while (taken < 1000 && relay_channel_put(&ends->serving, &way, slice_of(large, 20000)))
        taken++;
    assert_in_range(taken, 1, 10);
    relay_channel_take(&ends->serving);
    assert_true(relay_channel_put(&ends->serving, &way, slice_of(large, 20000)));
}

static bool is_taken(const struct slice frame, uint64_t sequence, bool serves) {
    struct relay_channel end;
    struct arrivals arrivals = {0};
    assert_true(relay_channel_init(&end, key, challenge, nonce, serves));
    end.in_sequence = sequence;
    bool is_good = relay_channel_feed(&end, frame, on_datagram, &arrivals);
    relay_channel_clear(&end);
    return is_good && arrivals.count == 1;
}

static void test_a_frame_is_taken_once_in_its_place_in_its_direction_and_unchanged(void **state) {
    struct ends *ends = *state;
    struct relay_way way = way_from("192.0.2.9", 5683, "192.0.2.1");
    assert_true(relay_channel_put(&ends->standing_by, &way, slice_str("once")));
    struct slice frame = relay_channel_take(&ends->standing_by);
    uint8_t *bytes = ends->standing_by.waiting;
    assert_true(is_taken(frame, 0, true));
    assert_false(is_taken(frame, 1, true));
    assert_false(is_taken(frame, 0, false));
    for (size_t i = 0; i < frame.len; i++) {
        bytes[i] ^= 1;
        assert_false(is_taken(frame, 0, true));
        bytes[i] ^= 1;
    }
    struct arrivals arrivals = {0};
    assert_true(relay_channel_feed(&ends->serving, frame, on_datagram, &arrivals));
    assert_false(relay_channel_feed(&ends->serving, frame, on_datagram, &arrivals)); /* again */
    assert_int_equal(arrivals.count, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hello_is_read_as_it_was_written),
        cmocka_unit_test(test_a_hello_proves_the_key_for_one_challenge_and_every_bit_of_it),
        cmocka_unit_test(test_a_hello_that_says_nothing_sensible_is_none),
        cmocka_unit_test_setup_teardown(test_frames_arrive_whole_however_they_are_cut, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_what_is_too_large_or_too_much_is_not_taken, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_a_frame_is_taken_once_in_its_place_in_its_direction_and_unchanged,
                                        open_ends, close_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
