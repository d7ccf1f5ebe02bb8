#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "common/base/clock.h"

static uint64_t wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t ticks(void *arg) {
    return *(uint64_t *)arg;
}

static void test_a_clock_starts_at_the_wall_clock_plus_what_was_leapt(void **state) {
    (void)state;
    uint64_t before_ms = wall_ms();
    struct clock clock;
    clock_init(&clock, 5000);
    uint64_t after_ms = wall_ms();
    assert_in_range(clock_now_ms(&clock), before_ms + 5000 - 1, after_ms + 5000 + 1);
    assert_int_equal(clock.leapt_ms, 5000);
}

static void test_a_clock_follows_the_monotonic_clock_and_only_when_updated(void **state) {
    (void)state;
    uint64_t machine_ms = 700;
    struct clock clock;
    clock_init(&clock, 0);
    clock.monotonic_ms = ticks;
    clock.arg = &machine_ms;
    uint64_t start_ms = clock_update(&clock);
    machine_ms += 40;
    assert_int_equal(clock_now_ms(&clock), start_ms);
    assert_int_equal(clock_update(&clock), start_ms + 40);
    assert_int_equal(clock_now_ms(&clock), start_ms + 40);
}

static void test_a_leap_is_seen_at_once_and_stays(void **state) {
    (void)state;
    uint64_t machine_ms = 0;
    struct clock clock;
    clock_init(&clock, 0);
    clock.monotonic_ms = ticks;
    clock.arg = &machine_ms;
    uint64_t start_ms = clock_update(&clock);
    clock_leap(&clock, 86400000);
    assert_int_equal(clock_now_ms(&clock), start_ms + 86400000);
    machine_ms = 3;
    assert_int_equal(clock_update(&clock), start_ms + 86400003);
    clock_leap(&clock, 1);
    assert_int_equal(clock.leapt_ms, 86400001);
}

static void test_a_still_clock_moves_by_leaps_only(void **state) {
    (void)state;
    struct clock clock;
    clock_init_still(&clock, 1000);
    assert_int_equal(clock_now_ms(&clock), 1000);
    assert_int_equal(clock_update(&clock), 1000);
    clock_leap(&clock, 234);
    assert_int_equal(clock_update(&clock), 1234);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_clock_starts_at_the_wall_clock_plus_what_was_leapt),
        cmocka_unit_test(test_a_clock_follows_the_monotonic_clock_and_only_when_updated),
        cmocka_unit_test(test_a_leap_is_seen_at_once_and_stays),
        cmocka_unit_test(test_a_still_clock_moves_by_leaps_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
