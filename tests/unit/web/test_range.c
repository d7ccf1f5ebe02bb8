/* web/range.c: the Range header field. */
#include "web/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_range(const char *field, size_t size, enum range expected, size_t first, size_t end) {
    size_t got_first = 77, got_end = 78;
    assert_int_equal(range_read(slice_str(field), size, &got_first, &got_end), expected);
    assert_int_equal(got_first, expected == RANGE_GOOD ? first : 77);
    assert_int_equal(got_end, expected == RANGE_GOOD ? end : 78);
}

static void test_ranges(void **state) {
    (void)state;
    assert_range("bytes=0-0", 10, RANGE_GOOD, 0, 1);
    assert_range("bytes=2-5", 10, RANGE_GOOD, 2, 6);
    assert_range("bytes=2-", 10, RANGE_GOOD, 2, 10);
    assert_range("bytes=9-99", 10, RANGE_GOOD, 9, 10);
    assert_range("bytes=-3", 10, RANGE_GOOD, 7, 10);
    assert_range("bytes=-10", 10, RANGE_GOOD, 0, 10);
    assert_range("bytes=-11", 10, RANGE_GOOD, 0, 10);
    assert_range("bytes=0-18446744073709551615", 10, RANGE_GOOD, 0, 10);
}

static void test_ranges_past_the_end(void **state) {
    (void)state;
    assert_range("bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0);
    assert_range("bytes=10-20", 10, RANGE_UNSATISFIABLE, 0, 0);
    assert_range("bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0);
    assert_range("bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0);
    assert_range("bytes=18446744073709551615-", 10, RANGE_UNSATISFIABLE, 0, 0);
}

static void test_what_is_passed_over(void **state) {
    static const char *const fields[] = {
        "",          "bytes",     "bytes=",        "bytes=-",    "bytes=1",    "bytes=5-4",
        "bytes=a-b", "lines=1-2", "bytes=1-2,4-5", "bytes= 1-2", "bytes=1-2x", "bytes=18446744073709551616-"};
    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        assert_range(fields[i], 10, RANGE_NONE, 0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges), cmocka_unit_test(test_ranges_past_the_end),
                                       cmocka_unit_test(test_what_is_passed_over)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
