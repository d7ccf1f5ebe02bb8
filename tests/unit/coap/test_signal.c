/* Signalling messages (RFC 8323 §5); names carry the conformance rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/text.h"
#include "common/coap/signal.h"
#include "common/coap/stream.h"

static uint8_t memory[128];
static struct coap_signal signal_read_from;

/* The critical option that it is refused for. */
static uint16_t read(const char *hex) {
    struct coap_message message;
    struct buffer out = buffer_over(memory, sizeof memory);
    assert_true(text_get_hex(slice_str(hex), &out));
    assert_int_equal(coap_stream_decode(buffer_slice(&out), &message), COAP_DECODE_OK);
    return coap_signal_read(&message, &signal_read_from);
}

static void assert_encodes(const struct coap_message *message, const char *hex) {
    uint8_t bytes[64];
    char text[129];
    struct buffer out = buffer_over(bytes, sizeof bytes), shown = buffer_over(text, sizeof text - 1);
    assert_true(coap_stream_encode(message, &out));
    text_put_hex(&shown, buffer_slice(&out));
    text[shown.len] = '\0';
    assert_string_equal(text, hex);
}

static void test_TCP_02_csm(void **state) {
    (void)state;
    assert_int_equal(read("00e1"), 0);
    assert_int_equal(signal_read_from.max_message_size, 0);
    assert_false(signal_read_from.block_wise_transfer);
    assert_int_equal(read("40e122048020"), 0);
    assert_int_equal(signal_read_from.max_message_size, 1152);
    assert_true(signal_read_from.block_wise_transfer);
    struct coap_message message;
    struct coap_signal_scratch scratch;
    coap_signal_csm(&message, 1152, &scratch);
    assert_encodes(&message, "40e122048020");
}

static void test_TCP_05_TCP_06_ping_and_pong(void **state) {
    (void)state;
    struct coap_message message;
    assert_int_equal(read("01e242"), 0);
    assert_false(signal_read_from.custody);
    assert_int_equal(read("11e24220"), 0);
    assert_true(signal_read_from.custody);
    coap_signal_pong(&message, slice_str("B"), false);
    assert_encodes(&message, "01e342");
    coap_signal_pong(&message, slice_str("B"), true);
    assert_encodes(&message, "11e34220");
}

static void test_TCP_08_release(void **state) {
    (void)state;
    assert_int_equal(read("00e4"), 0);
    assert_int_equal(signal_read_from.hold_off_s, 0);
    assert_int_equal(signal_read_from.alternative_address.len, 0);
    /* two addresses, of which the first counts, and ten seconds */
    assert_int_equal(read("60e4"
                          "2161"
                          "0162"
                          "210a"),
                     0);
    assert_true(slice_is(signal_read_from.alternative_address, "a"));
    assert_int_equal(signal_read_from.hold_off_s, 10);
}

static void test_TCP_09_abort(void **state) {
    (void)state;
    struct coap_message message;
    struct coap_signal_scratch scratch;
    assert_int_equal(read("20e52105"), 0);
    assert_int_equal(signal_read_from.bad_csm_option, 5);
    assert_int_equal(read("40e5ff626164"), 0);
    assert_true(slice_is(signal_read_from.diagnostic, "bad"));
    coap_signal_abort(&message, 5, "", &scratch);
    assert_encodes(&message, "20e52105");
    coap_signal_abort(&message, 0, "bad", &scratch);
    assert_encodes(&message, "40e5ff626164");
}

static void test_TCP_10_critical_options_are_refused(void **state) {
    (void)state;
    assert_int_equal(read("10e150"), 5);
    assert_int_equal(read("10e230"), 3);
    assert_int_equal(read("10e310"), 1);
    assert_int_equal(read("10e410"), 1);
    assert_int_equal(read("10e570"), 7);
}

static void test_TCP_11_elective_options_are_ignored(void **state) {
    (void)state;
    assert_int_equal(read("30e16161"
                          "20"),
                     0); /* 6, and 8 */
    assert_false(signal_read_from.block_wise_transfer);
    assert_int_equal(read("10e260"), 0);
    assert_int_equal(read("10e240"), 0); /* Block-Wise-Transfer has no meaning in a Ping */
}

static void test_TCP_11_options_of_a_wrong_length_are_ignored(void **state) {
    (void)state;
    assert_int_equal(read("60e1250102030405"), 0); /* Max-Message-Size of five bytes */
    assert_int_equal(signal_read_from.max_message_size, 0);
    assert_int_equal(read("20e14100"), 0); /* Block-Wise-Transfer has no value */
    assert_false(signal_read_from.block_wise_transfer);
    assert_int_equal(read("50e44401020304"), 0); /* Hold-Off of four bytes */
    assert_int_equal(signal_read_from.hold_off_s, 0);
}

static void test_TCP_18_codes_without_a_meaning_say_nothing(void **state) {
    (void)state;
    assert_int_equal(read("10e610"), 0);
    assert_int_equal(read("10ff10"), 0);
    assert_int_equal(read("10e010"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_TCP_02_csm),
        cmocka_unit_test(test_TCP_05_TCP_06_ping_and_pong),
        cmocka_unit_test(test_TCP_08_release),
        cmocka_unit_test(test_TCP_09_abort),
        cmocka_unit_test(test_TCP_10_critical_options_are_refused),
        cmocka_unit_test(test_TCP_11_elective_options_are_ignored),
        cmocka_unit_test(test_TCP_11_options_of_a_wrong_length_are_ignored),
        cmocka_unit_test(test_TCP_18_codes_without_a_meaning_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
