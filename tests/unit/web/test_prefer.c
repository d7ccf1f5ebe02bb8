/* The Prefer header field (RFC 7240). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "web/prefer.h"

static void assert_says(const char *field, bool respond_async, uint64_t expires_ms) {
    struct prefer prefer = {0};
    if (!prefer_parse(slice_str(field), &prefer) || prefer.respond_async != respond_async ||
        prefer.expires_ms != expires_ms)
        fail_msg("%s", field);
}

static void test_respond_async_is_found_among_others(void **state) {
    (void)state;
    assert_says("respond-async", true, 0);
    assert_says("  respond-async\t", true, 0);
    assert_says("Respond-Async", true, 0);
    assert_says("respond-async, wait=10", true, 0);
    assert_says("return=minimal,respond-async", true, 0);
    assert_says("lenient;a=\"x, respond-async;y\\\"\" , respond-async", true, 0);
    assert_says("respond-async;", true, 0);
    assert_says(",, respond-async,", true, 0);
}

static void test_other_preferences_are_passed_over(void **state) {
    (void)state;
    assert_says("", false, 0);
    assert_says(",;=", false, 0);
    assert_says("respond-asyn", false, 0);
    assert_says("respond-async2", false, 0);
    assert_says("x=\"respond-async", false, 0);
    assert_says("x=\"respond-async\"", false, 0);
    assert_says("x; respond-async", false, 0);
    assert_says("wait=10; expires=x", false, 0);
    assert_says("expires=x", false, 0);
}

static void test_expires_is_a_duration(void **state) {
    (void)state;
    assert_says("respond-async; expires=3600s", true, 3600000);
    assert_says("respond-async;expires=3600", true, 3600000);
    assert_says("respond-async ; EXPIRES = \"1h\"", true, 3600000);
    assert_says("respond-async; x=1; expires=1500ms; y", true, 1500);
    assert_says("respond-async; expires=30d, wait=1", true, 30ull * 86400000);
    assert_says("respond-async; expires=1s; expires=2s", true, 1000);
}

static void test_expires_that_is_none_is_an_error(void **state) {
    static const char *const fields[] = {
        "respond-async; expires",     "respond-async; expires=",    "respond-async; expires=soon",
        "respond-async; expires=0",   "respond-async; expires=1ms", "respond-async; expires=31d",
        "respond-async; expires=-1s", "respond-async; expires=\"",
    };
    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct prefer prefer = {0};
        if (prefer_parse(slice_str(fields[i]), &prefer))
            fail_msg("%s", fields[i]);
    }
}

static void test_the_first_instance_counts(void **state) {
    struct prefer prefer = {0};
    (void)state;
    assert_says("respond-async; expires=1s, respond-async; expires=2s", true, 1000);
    assert_true(prefer_parse(slice_str("respond-async"), &prefer));
    assert_true(prefer_parse(slice_str("respond-async; expires=nonsense"), &prefer));
    assert_int_equal(prefer.expires_ms, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_respond_async_is_found_among_others),
        cmocka_unit_test(test_other_preferences_are_passed_over),
        cmocka_unit_test(test_expires_is_a_duration),
        cmocka_unit_test(test_expires_that_is_none_is_an_error),
        cmocka_unit_test(test_the_first_instance_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
