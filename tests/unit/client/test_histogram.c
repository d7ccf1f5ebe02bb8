/* Percentiles of many values from a few buckets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "client/histogram.h"

static void test_nothing_has_no_percentile(void **state) {
    static struct histogram histogram;
    (void)state;
    assert_int_equal(histogram_percentile(&histogram, 0.5), 0);
}

static void test_small_values_are_told_exactly(void **state) {
    static struct histogram histogram;
    (void)state;
    for (uint64_t value = 1; value <= 20; value++)
        histogram_add(&histogram, value);
    assert_int_equal(histogram_percentile(&histogram, 0), 1);
    assert_int_equal(histogram_percentile(&histogram, 0.5), 10);
    assert_int_equal(histogram_percentile(&histogram, 0.95), 19);
    assert_int_equal(histogram_percentile(&histogram, 1), 20);
}

static void test_large_values_are_told_to_3_percent_and_never_above_the_largest(void **state) {
    static struct histogram histogram;
    (void)state;
    for (uint64_t i = 1; i <= 100000; i++)
        histogram_add(&histogram, i * 10);
    for (int percent = 1; percent <= 100; percent++) {
        uint64_t exact = (uint64_t)percent * 10000, told = histogram_percentile(&histogram, percent / 100.0);
        assert_true(told >= exact && told <= exact + exact / 32 + 10);
    }
    assert_int_equal(histogram_percentile(&histogram, 1), 1000000);
    assert_int_equal(histogram.max, 1000000);
    assert_int_equal(histogram.count, 100000);
}

static void test_every_value_has_a_bucket(void **state) {
    static struct histogram histogram;
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++)
        histogram_add(&histogram, (uint64_t)1 << shift);
    histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(histogram.count, 65);
    assert_true(histogram_percentile(&histogram, 1) == UINT64_MAX);
    assert_int_equal(histogram_percentile(&histogram, 0), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_has_no_percentile),
        cmocka_unit_test(test_small_values_are_told_exactly),
        cmocka_unit_test(test_large_values_are_told_to_3_percent_and_never_above_the_largest),
        cmocka_unit_test(test_every_value_has_a_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
