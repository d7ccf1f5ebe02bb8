#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buffer.h"

/* A buffer of `cap` bytes with a guard behind it. */
static uint8_t memory[2100];

static struct buffer fresh(size_t cap) {
    memset(memory, 0xee, sizeof memory);
    return buffer_over(memory, cap);
}

static void assert_holds(const struct buffer *b, const char *expected) {
    assert_false(b->overflow);
    assert_true(slice_is(buffer_slice(b), expected));
}

/* What did not fit is not there at all, and nothing behind the end was touched. */
static void assert_full(const struct buffer *b, size_t len) {
    assert_true(b->overflow);
    assert_int_equal(b->len, len);
    for (size_t i = len; i < sizeof memory; i++)
        assert_int_equal(memory[i], 0xee);
}

static void test_bytes_are_appended(void **state) {
    (void)state;
    struct buffer b = fresh(8);
    buffer_put_str(&b, "ab");
    buffer_put_u8(&b, 'c');
    buffer_put_slice(&b, slice_str("def"));
    buffer_put(&b, "gh", 2);
    assert_holds(&b, "abcdefgh");
}

static void test_empty_things_fit_into_a_full_buffer(void **state) {
    (void)state;
    struct buffer b = fresh(1);
    buffer_put_u8(&b, 'x');
    buffer_put_slice(&b, SLICE_NONE);
    buffer_put_str(&b, "");
    assert_non_null(buffer_take(&b, 0));
    assert_holds(&b, "x");
}

static void test_numbers_are_in_network_byte_order(void **state) {
    (void)state;
    struct buffer b = fresh(6);
    buffer_put_u16(&b, 0x0102);
    buffer_put_u32(&b, 0x03040506);
    assert_holds(&b, "\1\2\3\4\5\6");
}

static void test_what_does_not_fit_is_not_written(void **state) {
    (void)state;
    struct buffer b = fresh(3);
    buffer_put_str(&b, "abcd");
    assert_full(&b, 0);
    b = fresh(3);
    buffer_put_u32(&b, 0);
    assert_full(&b, 0);
    b = fresh(1);
    buffer_put_u16(&b, 0);
    assert_full(&b, 0);
    b = fresh(0);
    buffer_put_u8(&b, 0);
    assert_full(&b, 0);
    b = fresh(2);
    buffer_put_decimal(&b, 100);
    assert_full(&b, 0);
    b = fresh(2);
    buffer_printf(&b, "%d", 100);
    assert_full(&b, 0);
    b = fresh(2);
    assert_null(buffer_take(&b, SIZE_MAX));
    assert_full(&b, 0);
}

static void test_after_an_overflow_nothing_is_written_any_more(void **state) {
    (void)state;
    struct buffer b = fresh(3);
    buffer_put_str(&b, "ab");
    buffer_put_str(&b, "cd");
    buffer_put_u8(&b, 'c');
    assert_full(&b, 2);
    assert_memory_equal(memory, "ab", 2);
}

static void test_decimal_digits(void **state) {
    (void)state;
    struct buffer b = fresh(64);
    buffer_put_decimal(&b, 0);
    buffer_put_u8(&b, ' ');
    buffer_put_decimal(&b, 1000000);
    buffer_put_u8(&b, ' ');
    buffer_put_decimal(&b, UINT64_MAX);
    assert_holds(&b, "0 1000000 18446744073709551615");
}

static void test_printf_writes_no_nul(void **state) {
    (void)state;
    struct buffer b = fresh(5);
    buffer_printf(&b, "%s-%02d", "ab", 7);
    assert_holds(&b, "ab-07");
}

static void test_printf_takes_1023_bytes_and_not_one_more(void **state) {
    (void)state;
    struct buffer b = fresh(2000);
    buffer_printf(&b, "%1023d", 7);
    assert_false(b.overflow);
    assert_int_equal(b.len, 1023);
    b = fresh(2000);
    buffer_printf(&b, "%1024d", 7);
    assert_full(&b, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_appended),
        cmocka_unit_test(test_empty_things_fit_into_a_full_buffer),
        cmocka_unit_test(test_numbers_are_in_network_byte_order),
        cmocka_unit_test(test_what_does_not_fit_is_not_written),
        cmocka_unit_test(test_after_an_overflow_nothing_is_written_any_more),
        cmocka_unit_test(test_decimal_digits),
        cmocka_unit_test(test_printf_writes_no_nul),
        cmocka_unit_test(test_printf_takes_1023_bytes_and_not_one_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
