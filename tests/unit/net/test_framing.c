/* Where messages end on a connection (RFC 8323 §3.2, and a length before each); names carry the conformance rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/text.h"
#include "common/net/framing.h"

enum { MAX = 16384 };

static uint8_t memory[256];

static struct slice bytes_of(const char *hex) {
    struct buffer out = buffer_over(memory, sizeof memory);
    assert_true(text_get_hex(slice_str(hex), &out));
    return buffer_slice(&out);
}

static enum framing_result next(enum link_framing framing, const char *hex, struct slice *message, size_t *total) {
    return framing_next(framing, bytes_of(hex), MAX, message, total);
}

static void assert_whole(enum link_framing framing, const char *hex, size_t message_len, size_t total) {
    struct slice message;
    size_t taken;
    assert_int_equal(next(framing, hex, &message, &taken), FRAMING_WHOLE);
    assert_int_equal(message.len, message_len);
    assert_int_equal(taken, total);
}

static void test_TCP_01_lengths_of_one_byte(void **state) {
    (void)state;
    assert_whole(LINK_STREAM_8323, "00e1", 2, 2);
    assert_whole(LINK_STREAM_8323, "40e122048020", 6, 6);
    assert_whole(LINK_STREAM_8323, "01e34200e1", 3, 3); /* another one behind it */
    /* nibble 13: 13 and the byte behind it */
    assert_whole(LINK_STREAM_8323, "d41502a1b2c3d4b2726411283765703d64657631096c776d326d3d312e3103623d54ff3c2f332f303e",
                 41, 41);
}

/* The length for which each form begins and ends; `rest` bytes behind the token. */
static void assert_length(const char *header, uint64_t rest) {
    struct slice message;
    size_t total, header_len = strlen(header) / 2;
    enum framing_result result = framing_next(LINK_STREAM_8323, bytes_of(header), SIZE_MAX, &message, &total);
    assert_int_equal(total, header_len + rest);
    assert_int_equal(result, rest == 0 ? FRAMING_WHOLE : FRAMING_PARTIAL);
}

static void test_TCP_01_lengths_of_each_form(void **state) {
    (void)state;
    assert_length("c002", 12);
    assert_length("d00002", 13);
    assert_length("d0ff02", 268);
    assert_length("e0000002", 269);
    assert_length("e4000202a1b2c3d4", 271);
    assert_length("e406f845a1b2c3d4", 2053);
    assert_length("e0ffff02", 65804);
    assert_length("f00000000002", 65805);
    assert_length("f0ffffffff02", (uint64_t)UINT32_MAX + 65805);
}

static void test_TCP_16_every_prefix_of_a_frame_is_partial(void **state) {
    (void)state;
    static const char frame[] = "d41502a1b2c3d4b2726411283765703d64657631096c776d326d3d312e3103623d54ff3c2f332f303e";
    struct slice whole = bytes_of(frame), message;
    for (size_t len = 0; len < whole.len; len++) {
        size_t total = 0;
        assert_int_equal(framing_next(LINK_STREAM_8323, slice_of(whole.data, len), MAX, &message, &total),
                         FRAMING_PARTIAL);
        assert_true(total > len && total <= whole.len);
    }
}

static void test_TCP_14_lengths_beyond_the_limit(void **state) {
    (void)state;
    struct slice message;
    size_t total;
    assert_int_equal(next(LINK_STREAM_8323, "f0ffffffff02", &message, &total), FRAMING_TOO_LARGE);
    /* 4 + 269 + 16111 = 16384, and a byte more */
    assert_int_equal(next(LINK_STREAM_8323, "e03eef02", &message, &total), FRAMING_PARTIAL);
    assert_int_equal(total, MAX);
    assert_int_equal(next(LINK_STREAM_8323, "e03ef002", &message, &total), FRAMING_TOO_LARGE);
    assert_int_equal(next(LINK_LENGTH_PREFIXED, "00003ffc", &message, &total), FRAMING_PARTIAL);
    assert_int_equal(next(LINK_LENGTH_PREFIXED, "00003ffd", &message, &total), FRAMING_TOO_LARGE);
}

static void test_TCP_15_reserved_token_lengths_have_no_end(void **state) {
    (void)state;
    struct slice message;
    size_t total;
    assert_int_equal(next(LINK_STREAM_8323, "0901", &message, &total), FRAMING_BROKEN);
    assert_int_equal(next(LINK_STREAM_8323, "0f", &message, &total), FRAMING_BROKEN);
}

static void test_TCP_28_a_length_before_each_message(void **state) {
    (void)state;
    struct slice message;
    size_t total;
    assert_whole(LINK_LENGTH_PREFIXED, "000000056000bf49c0", 5, 9);
    assert_whole(LINK_LENGTH_PREFIXED, "000000044000bf490000", 4, 8);
    assert_whole(LINK_LENGTH_PREFIXED, "00000000", 0, 4);
    assert_int_equal(next(LINK_LENGTH_PREFIXED, "000000", &message, &total), FRAMING_PARTIAL);
    assert_int_equal(next(LINK_LENGTH_PREFIXED, "000000056000bf49", &message, &total), FRAMING_PARTIAL);
    assert_int_equal(total, 9);
    assert_int_equal(next(LINK_LENGTH_PREFIXED, "00010005", &message, &total), FRAMING_BROKEN);
    assert_int_equal(next(LINK_LENGTH_PREFIXED, "01000005", &message, &total), FRAMING_BROKEN);
}

static void assert_guess(const char *hex, enum framing_guess expected) {
    struct slice whole = bytes_of(hex);
    assert_int_equal(framing_guess(whole), expected);
    for (size_t len = 0; len < whole.len; len++) { /* a guess, once made, stays */
        enum framing_guess early = framing_guess(slice_of(whole.data, len));
        assert_true(early == FRAMING_UNDECIDED || early == expected);
    }
    assert_true(framing_guess(slice_of(whole.data, whole.len < FRAMING_GUESS_MAX ? whole.len : FRAMING_GUESS_MAX)) ==
                expected);
}

static void test_TCP_28_the_first_bytes_tell_the_framings_apart(void **state) {
    (void)state;
    assert_guess("00e1", FRAMING_8323);
    assert_guess("40e122048020", FRAMING_8323);
    assert_guess("d000e1", FRAMING_8323); /* a CSM of 13 bytes */
    assert_guess("f000000000e1", FRAMING_8323);
    assert_guess("01e242", FRAMING_8323);           /* not a CSM: the connection is aborted for it */
    assert_guess("d41502a1b2c3d4b2", FRAMING_8323); /* likewise */
    assert_guess("0000002f4402", FRAMING_PREFIXED);
    assert_guess("160301020001", FRAMING_TLS);
    assert_guess("474554202f20", FRAMING_STRANGE); /* GET / */
    assert_guess("504f5354202f", FRAMING_STRANGE); /* POST / */
    assert_guess("50555420", FRAMING_STRANGE);     /* PUT / */
    assert_guess("485454502f", FRAMING_STRANGE);   /* HTTP/ */
    assert_guess("5353482d", FRAMING_STRANGE);     /* SSH- */
    assert_guess("0f01", FRAMING_STRANGE);
    assert_guess("ffffffffffff", FRAMING_STRANGE);
    assert_guess("0045", FRAMING_STRANGE); /* nobody begins with a response */
    assert_guess("00", FRAMING_UNDECIDED);
    assert_guess("", FRAMING_UNDECIDED);
}

static void test_other_framings_have_no_frames(void **state) {
    (void)state;
    struct slice message;
    size_t total;
    assert_int_equal(next(LINK_DATAGRAM, "00e1", &message, &total), FRAMING_BROKEN);
    assert_int_equal(next(LINK_UNFRAMED, "00e1", &message, &total), FRAMING_BROKEN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_TCP_01_lengths_of_one_byte),
        cmocka_unit_test(test_TCP_01_lengths_of_each_form),
        cmocka_unit_test(test_TCP_16_every_prefix_of_a_frame_is_partial),
        cmocka_unit_test(test_TCP_14_lengths_beyond_the_limit),
        cmocka_unit_test(test_TCP_15_reserved_token_lengths_have_no_end),
        cmocka_unit_test(test_TCP_28_a_length_before_each_message),
        cmocka_unit_test(test_TCP_28_the_first_bytes_tell_the_framings_apart),
        cmocka_unit_test(test_other_framings_have_no_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
