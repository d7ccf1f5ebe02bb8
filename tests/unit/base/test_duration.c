#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/duration.h"

static const uint64_t max_ms = 366ull * 86400 * 1000;

static void assert_duration(const char *text, uint64_t expected) {
    uint64_t ms;
    if (!duration_parse(slice_str(text), max_ms, &ms))
        fail_msg("\"%s\" was refused", text);
    assert_int_equal(ms, expected);
}

static void test_units(void **state) {
    (void)state;
    assert_duration("30s", 30000);
    assert_duration("500ms", 500);
    assert_duration("2m", 120000);
    assert_duration("1h", 3600000);
    assert_duration("1d", 86400000);
}

static void test_number_without_a_unit_is_seconds(void **state) {
    (void)state;
    assert_duration("30", 30000);
    assert_duration("0", 0);
    assert_duration("0007", 7000);
}

static void test_decimals(void **state) {
    (void)state;
    assert_duration("1.5s", 1500);
    assert_duration("0.25", 250);
    assert_duration("1.5d", 129600000);
    assert_duration("1.999ms", 1);
}

static void test_what_is_no_duration_is_refused(void **state) {
    static const char *const bad[] = {"",    "s",     "-1",     "+1",  "1x",   "1 s",           "1S", "s30", ".5",
                                      "1.s", "1.2.3", "1.2345", "1e3", "0x10", "1234567890123", "1ss"};
    uint64_t ms;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (duration_parse(slice_str(bad[i]), max_ms, &ms))
            fail_msg("\"%s\" was taken", bad[i]);
}

static void test_maximum_is_the_last_that_is_taken(void **state) {
    uint64_t ms;
    (void)state;
    assert_true(duration_parse(slice_str("10m"), 600000, &ms));
    assert_false(duration_parse(slice_str("600.001"), 600000, &ms));
    assert_false(duration_parse(slice_str("999999999999d"), max_ms, &ms));
}

static void assert_time(uint64_t unix_ms, const char *expected) {
    uint8_t memory[64];
    struct buffer out = buffer_over(memory, sizeof memory);
    time_put(&out, unix_ms);
    if (!slice_is(buffer_slice(&out), expected))
        fail_msg("%.*s is not %s", (int)out.len, (char *)memory, expected);
}

static void test_time_is_rfc_3339_with_milliseconds(void **state) {
    (void)state;
    assert_time(0, "1970-01-01T00:00:00.000Z");
    assert_time(1795248000123, "2026-11-21T08:00:00.123Z");
    assert_time(1709251199999, "2024-02-29T23:59:59.999Z");
    assert_time(4102444800000, "2100-01-01T00:00:00.000Z");
}

/* As the C library tells it: each day's first and last second, over more than four centuries, and far ones. */
static void test_time_is_that_of_every_day(void **state) {
    const uint64_t last = UINT64_MAX / 1000 / 86400 - 1;
    (void)state;
    for (uint64_t day = 0; day < last; day = day < 200000 ? day + 1 : day * 3 / 2) {
        for (time_t second = 0; second < 86400; second += 86399) {
            time_t seconds = (time_t)day * 86400 + second;
            struct tm utc;
            char text[64];
            if (gmtime_r(&seconds, &utc) == NULL)
                return;
            strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.000Z", &utc);
            assert_time((uint64_t)seconds * 1000, text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_number_without_a_unit_is_seconds),
        cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_what_is_no_duration_is_refused),
        cmocka_unit_test(test_maximum_is_the_last_that_is_taken),
        cmocka_unit_test(test_time_is_rfc_3339_with_milliseconds),
        cmocka_unit_test(test_time_is_that_of_every_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
