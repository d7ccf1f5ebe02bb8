#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/slice.h"

static void test_equal_means_the_same_bytes(void **state) {
    (void)state;
    assert_true(slice_equal(slice_str("abc"), slice_of("abcd", 3)));
    assert_false(slice_equal(slice_str("abc"), slice_str("abd")));
    assert_false(slice_equal(slice_str("abc"), slice_str("ab")));
    assert_true(slice_equal(slice_of("a\0b", 3), slice_of("a\0b", 3)));
    assert_false(slice_equal(slice_of("a\0b", 3), slice_of("a\0c", 3)));
    assert_true(slice_equal(SLICE_NONE, slice_str("")));
    assert_true(slice_is(slice_of("abc", 2), "ab"));
    assert_false(slice_is(slice_of("ab\0", 3), "ab"));
}

static void test_starts_with(void **state) {
    (void)state;
    assert_true(slice_starts_with(slice_str("ep=x"), "ep="));
    assert_true(slice_starts_with(slice_str("ep="), "ep="));
    assert_false(slice_starts_with(slice_of("ep=", 2), "ep="));
    assert_true(slice_starts_with(SLICE_NONE, ""));
    assert_false(slice_starts_with(SLICE_NONE, "x"));
}

static void test_from_an_offset(void **state) {
    (void)state;
    assert_true(slice_is(slice_from(slice_str("abc"), 1), "bc"));
    assert_true(slice_is(slice_from(slice_str("abc"), 0), "abc"));
    assert_int_equal(slice_from(slice_str("abc"), 3).len, 0);
    assert_int_equal(slice_from(slice_str("abc"), 99).len, 0);
}

static void test_decimal_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t max, value;
    } good[] = {
        {"0", 0, 0},
        {"7", 7, 7},
        {"007", 7, 7},
        {"18446744073709551615", UINT64_MAX, UINT64_MAX},
        {"00000000000000000001", 1, 1},
        {"4294967295", UINT32_MAX, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t value = 99;
        assert_true(slice_to_u64(slice_str(good[i].text), good[i].max, &value));
        assert_true(value == good[i].value);
    }
    static const struct {
        const char *text;
        uint64_t max;
    } bad[] = {
        {"", UINT64_MAX},
        {"-1", UINT64_MAX},
        {"+1", UINT64_MAX},
        {" 1", UINT64_MAX},
        {"1 ", UINT64_MAX},
        {"0x1", UINT64_MAX},
        {"1.0", UINT64_MAX},
        {"8", 7},
        {"18446744073709551616", UINT64_MAX},
        {"4294967296", UINT32_MAX},
        {"99999999999999999999", UINT64_MAX},
        {"000000000000000000001", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t value = 99;
        assert_false(slice_to_u64(slice_str(bad[i].text), bad[i].max, &value));
        assert_int_equal(value, 99);
    }
}

static bool is_utf8(const char *text) {
    return slice_is_utf8(slice_str(text));
}

static void test_utf8_as_rfc_3629_has_it(void **state) {
    (void)state;
    assert_true(is_utf8(""));
    assert_true(is_utf8("plain"));
    assert_true(slice_is_utf8(slice_of("a\0b", 3)));
    assert_true(is_utf8("\xc2\x80"));         /* U+0080, the first of two bytes */
    assert_true(is_utf8("\xdf\xbf"));         /* U+07FF, the last */
    assert_true(is_utf8("\xe0\xa0\x80"));     /* U+0800 */
    assert_true(is_utf8("\xed\x9f\xbf"));     /* U+D7FF, the last before the surrogates */
    assert_true(is_utf8("\xee\x80\x80"));     /* U+E000, the first after them */
    assert_true(is_utf8("\xef\xbf\xbf"));     /* U+FFFF */
    assert_true(is_utf8("\xf0\x90\x80\x80")); /* U+10000 */
    assert_true(is_utf8("\xf4\x8f\xbf\xbf")); /* U+10FFFF */
}

static void test_what_rfc_3629_forbids_is_no_utf8(void **state) {
    (void)state;
    assert_false(is_utf8("\x80"));             /* a continuation alone */
    assert_false(is_utf8("\xc3"));             /* cut short */
    assert_false(is_utf8("\xe2\x82"));         /* likewise */
    assert_false(is_utf8("\xf0\x9f\x98"));     /* likewise */
    assert_false(is_utf8("\xc3x"));            /* continued by something else */
    assert_false(is_utf8("\xe2\x82x"));        /* likewise */
    assert_false(is_utf8("\xc0\xaf"));         /* overlong */
    assert_false(is_utf8("\xc1\xbf"));         /* overlong */
    assert_false(is_utf8("\xe0\x9f\xbf"));     /* overlong */
    assert_false(is_utf8("\xf0\x8f\xbf\xbf")); /* overlong */
    assert_false(is_utf8("\xed\xa0\x80"));     /* a surrogate */
    assert_false(is_utf8("\xed\xbf\xbf"));     /* a surrogate */
    assert_false(is_utf8("\xf4\x90\x80\x80")); /* beyond U+10FFFF */
    assert_false(is_utf8("\xf8\x88\x80\x80\x80"));
    assert_false(is_utf8("\xff"));
}

static void test_numbers_in_network_byte_order(void **state) {
    (void)state;
    uint8_t bytes[8];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    buffer_put_u64(&out, 0x0102030405060708);
    assert_false(out.overflow);
    assert_memory_equal(bytes, "\1\2\3\4\5\6\7\10", sizeof bytes);
    assert_true(slice_number(slice_of(bytes, 8)) == 0x0102030405060708);
    assert_int_equal(slice_number(slice_of(bytes, 3)), 0x010203);
    assert_int_equal(slice_number(SLICE_NONE), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_means_the_same_bytes),
        cmocka_unit_test(test_starts_with),
        cmocka_unit_test(test_from_an_offset),
        cmocka_unit_test(test_decimal_numbers),
        cmocka_unit_test(test_numbers_in_network_byte_order),
        cmocka_unit_test(test_utf8_as_rfc_3629_has_it),
        cmocka_unit_test(test_what_rfc_3629_forbids_is_no_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
