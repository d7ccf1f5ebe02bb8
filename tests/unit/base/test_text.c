#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/text.h"

static void test_hex_is_two_lower_case_digits_a_byte(void **state) {
    (void)state;
    uint8_t memory[16];
    struct buffer b = buffer_over(memory, sizeof memory);
    text_put_hex(&b, slice_of("\0\x9f\xa0\xff", 4));
    assert_true(slice_is(buffer_slice(&b), "009fa0ff"));
}

static void test_hex_is_read_in_either_case(void **state) {
    (void)state;
    uint8_t memory[8];
    struct buffer b = buffer_over(memory, sizeof memory);
    assert_true(text_get_hex(slice_str("00aBCdEf9F"), &b));
    assert_true(slice_equal(buffer_slice(&b), slice_of("\0\xab\xcd\xef\x9f", 5)));
    b = buffer_over(memory, sizeof memory);
    assert_true(text_get_hex(SLICE_NONE, &b));
    assert_int_equal(b.len, 0);
}

static void test_what_is_no_hex_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"0", "000", "0g", "g0", " 00", "0 ", "0x", "00:1", "/0", ":0", "@0", "`0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t memory[8];
        struct buffer b = buffer_over(memory, sizeof memory);
        assert_false(text_get_hex(slice_str(bad[i]), &b));
    }
}

static void test_hex_that_does_not_fit_is_refused(void **state) {
    (void)state;
    uint8_t memory[2];
    struct buffer b = buffer_over(memory, sizeof memory);
    assert_false(text_get_hex(slice_str("001122"), &b));
}

/* RFC 4648 §10. */
static void test_base64_gives_the_vectors_of_the_rfc(void **state) {
    (void)state;
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"},
                                             {"\xfb\xff\xbf", "+/+/"}};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t memory[16];
        struct buffer b = buffer_over(memory, sizeof memory);
        text_put_base64(&b, slice_str(vectors[i][0]));
        assert_true(slice_is(buffer_slice(&b), vectors[i][1]));
    }
}

/* RFC 4648 §5. */
static void test_base64url_has_its_own_alphabet_and_no_padding(void **state) {
    (void)state;
    static const char *const vectors[][2] = {{"", ""},        {"f", "Zg"},        {"fo", "Zm8"},
                                             {"foo", "Zm9v"}, {"foob", "Zm9vYg"}, {"\xfb\xff\xbf", "-_-_"}};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t memory[16];
        struct buffer b = buffer_over(memory, sizeof memory);
        text_put_base64url(&b, slice_str(vectors[i][0]));
        assert_true(slice_is(buffer_slice(&b), vectors[i][1]));
    }
}

static void test_base64_that_does_not_fit_overflows(void **state) {
    (void)state;
    uint8_t memory[7];
    struct buffer b = buffer_over(memory, sizeof memory);
    text_put_base64(&b, slice_str("foob"));
    assert_true(b.overflow);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex_is_two_lower_case_digits_a_byte),
        cmocka_unit_test(test_hex_is_read_in_either_case),
        cmocka_unit_test(test_what_is_no_hex_is_refused),
        cmocka_unit_test(test_hex_that_does_not_fit_is_refused),
        cmocka_unit_test(test_base64_gives_the_vectors_of_the_rfc),
        cmocka_unit_test(test_base64url_has_its_own_alphabet_and_no_padding),
        cmocka_unit_test(test_base64_that_does_not_fit_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
