#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "common/base/random.h"

static void test_every_byte_is_filled_and_none_beyond(void **state) {
    (void)state;
    uint8_t bytes[40];
    bool seen[32] = {false};
    memset(bytes, 0, sizeof bytes);
    for (int round = 0; round < 64; round++) {
        random_bytes(bytes, 32);
        for (size_t i = 0; i < 32; i++)
            seen[i] |= bytes[i] != 0;
    }
    for (size_t i = 0; i < 32; i++)
        assert_true(seen[i]);
    for (size_t i = 32; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], 0);
    random_bytes(bytes, 0);
}

static void test_numbers_do_not_come_again(void **state) {
    (void)state;
    static uint64_t numbers[1000];
    for (size_t i = 0; i < 1000; i++) {
        numbers[i] = random_u64();
        for (size_t k = 0; k < i; k++)
            assert_true(numbers[k] != numbers[i]);
    }
}

static void test_every_bit_comes_as_one_and_as_zero(void **state) {
    (void)state;
    uint64_t ones = 0, zeros = 0;
    for (int i = 0; i < 200; i++) {
        uint64_t number = random_u64();
        ones |= number;
        zeros |= ~number;
    }
    assert_true(ones == UINT64_MAX && zeros == UINT64_MAX);
}

static void test_below_a_bound_every_number_comes_about_as_often(void **state) {
    (void)state;
    enum { BOUND = 10, DRAWS = 100000 };
    size_t counts[BOUND] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint64_t number = random_below(BOUND);
        assert_true(number < BOUND);
        counts[number]++;
    }
    for (size_t i = 0; i < BOUND; i++)
        assert_in_range(counts[i], DRAWS / BOUND - 600, DRAWS / BOUND + 600); /* six standard deviations */
}

static void test_bounds_of_one_and_of_everything(void **state) {
    (void)state;
    uint64_t high = 0;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(random_below(1), 0);
        high |= random_below(UINT64_MAX);
    }
    assert_true(high >> 63 == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_is_filled_and_none_beyond),
        cmocka_unit_test(test_numbers_do_not_come_again),
        cmocka_unit_test(test_every_bit_comes_as_one_and_as_zero),
        cmocka_unit_test(test_below_a_bound_every_number_comes_about_as_often),
        cmocka_unit_test(test_bounds_of_one_and_of_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
