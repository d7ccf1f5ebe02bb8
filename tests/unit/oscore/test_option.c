/* The OSCORE option (RFC 8613 §6.1, §6.3) and the replay window (§7.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/oscore/replay.h"
#include "tests/unit/oscore/kit.h"

struct sample {
    const char *value;
    bool has_kid, has_kid_context;
    const char *piv, *kid, *kid_context;
};

static void assert_sample(const struct sample *s) {
    struct oscore_option option;
    uint8_t memory[OSCORE_OPTION_MAX];
    struct buffer out = buffer_over(memory, sizeof memory);
    assert_true(oscore_option_decode(kit_bytes(s->value), &option));
    assert_int_equal(option.has_kid, s->has_kid);
    assert_int_equal(option.has_kid_context, s->has_kid_context);
    assert_hex(option.piv, s->piv);
    assert_hex(option.kid, s->kid);
    assert_hex(option.kid_context, s->kid_context);
    assert_true(oscore_option_encode(&option, &out));
    assert_hex(buffer_slice(&out), s->value);
}

static void test_OSC_03_values_of_the_standards_examples(void **state) {
    (void)state;
    static const struct sample samples[] = {
        {"090525", true, false, "05", "25", ""},
        {"0900", true, false, "00", "", ""},
        {"19050544616c656b", true, true, "05", "", "44616c656b"},
        {"0107", false, false, "07", "", ""},
        {"", false, false, "", "", ""},
        {"1900094811111111111111"
         "1101",
         true, true, "00", "01", "481111111111111111"},
        {"1100"
         "0948"
         "2222222222222222",
         false, true, "00", "", "482222222222222222"},
        {"0dffffffffff"
         "01020304050607",
         true, false, "ffffffffff", "01020304050607", ""},
        {"08", true, false, "", "", ""},
        {"1000", false, true, "", "", ""},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        assert_sample(&samples[i]);
}

static void test_OSC_04_values_that_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "00",   /* §6.1: empty then */
        "2900", /* reserved flags */
        "4900",
        "8900",
        "e9",
        "0e000000000000", /* a Partial IV of 6 and 7 bytes */
        "0f00000000000000",
        "0a00",           /* cut off within the Partial IV… */
        "1900",           /* …before the length of the kid context… */
        "19000501020304", /* …within it */
        "010700",         /* bytes of no kid */
    };
    struct oscore_option option;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(oscore_option_decode(kit_bytes(bad[i]), &option));
}

static void test_partial_ivs_are_numbers_without_leading_zeros(void **state) {
    (void)state;
    uint8_t memory[OSCORE_PIV_MAX];
    assert_hex(oscore_piv_bytes(0, memory), "00");
    assert_hex(oscore_piv_bytes(255, memory), "ff");
    assert_hex(oscore_piv_bytes(256, memory), "0100");
    assert_hex(oscore_piv_bytes(OSCORE_NUMBER_END - 1, memory), "ffffffffff");
    assert_int_equal(oscore_piv_number(kit_bytes("ffffffffff")), OSCORE_NUMBER_END - 1);
}

static void test_OSC_06_numbers_are_taken_once_within_the_window(void **state) {
    (void)state;
    struct oscore_window window;
    oscore_window_fresh(&window);
    assert_true(oscore_window_permits(&window, 100));
    assert_true(oscore_window_take(&window, 100));
    assert_false(oscore_window_permits(&window, 100));
    assert_true(oscore_window_permits(&window, 69)); /* 31 below */
    assert_false(oscore_window_permits(&window, 68));
    assert_false(oscore_window_take(&window, 99)); /* taken, and not the newest */
    assert_false(oscore_window_permits(&window, 99));
    assert_true(oscore_window_take(&window, 131));
    assert_false(oscore_window_permits(&window, 100));
    assert_true(oscore_window_permits(&window, 101));
    assert_true(oscore_window_take(&window, 163)); /* a step of the window's size */
    assert_false(oscore_window_permits(&window, 131));
    assert_true(oscore_window_permits(&window, 132));
}

static void test_number_0_is_taken_once(void **state) {
    (void)state;
    struct oscore_window window;
    oscore_window_fresh(&window);
    assert_true(oscore_window_take(&window, 0));
    assert_false(oscore_window_permits(&window, 0));
    assert_true(oscore_window_permits(&window, 1));
}

static void test_OSC_10_a_window_starts_at_what_is_known_to_be_fresh(void **state) {
    (void)state;
    struct oscore_window window = {0};
    assert_false(oscore_window_permits(&window, 7));
    oscore_window_start(&window, 7);
    assert_false(oscore_window_permits(&window, 7));
    assert_false(oscore_window_permits(&window, 6));
    assert_true(oscore_window_permits(&window, 8));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_OSC_03_values_of_the_standards_examples),
        cmocka_unit_test(test_OSC_04_values_that_are_refused),
        cmocka_unit_test(test_partial_ivs_are_numbers_without_leading_zeros),
        cmocka_unit_test(test_OSC_06_numbers_are_taken_once_within_the_window),
        cmocka_unit_test(test_number_0_is_taken_once),
        cmocka_unit_test(test_OSC_10_a_window_starts_at_what_is_known_to_be_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
