#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "web/glob.h"

static void assert_matches(const char *pattern, const char *text) {
    if (!glob_match(slice_str(pattern), slice_str(text)))
        fail_msg("%s should match %s", pattern, text);
}

static void assert_differs(const char *pattern, const char *text) {
    if (glob_match(slice_str(pattern), slice_str(text)))
        fail_msg("%s should not match %s", pattern, text);
}

static void test_text_without_wildcards_matches_itself_only(void **state) {
    (void)state;
    assert_matches("dev1", "dev1");
    assert_differs("dev1", "dev10");
    assert_differs("dev1", "xdev1");
    assert_differs("dev1", "Dev1");
}

static void test_star_is_any_text_even_none(void **state) {
    (void)state;
    assert_matches("*", "");
    assert_matches("*", "a/b");
    assert_matches("dev*", "dev");
    assert_matches("*1", "dev1");
    assert_matches("d*v*1", "d-v-v1");
    assert_differs("d*v*1", "d1");
}

static void test_star_goes_back_for_more(void **state) {
    (void)state;
    assert_matches("*ab", "aabaab");
    assert_matches("a*bc*d", "abbcbcd");
    assert_differs("a*bc*d", "abbcbce");
}

static void test_question_mark_is_one_character(void **state) {
    (void)state;
    assert_matches("dev?", "dev1");
    assert_differs("dev?", "dev");
    assert_differs("dev?", "dev12");
    assert_matches("?", "\xC3\xBC");
    assert_matches("?x", "\xF0\x9F\x9A\xA2x");
}

static void test_empty_pattern_matches_nothing_but_empty(void **state) {
    (void)state;
    assert_matches("", "");
    assert_differs("", "a");
}

static void test_many_stars_are_not_exponential(void **state) {
    char text[5001], pattern[] = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_differs(pattern, text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_without_wildcards_matches_itself_only),
        cmocka_unit_test(test_star_is_any_text_even_none),
        cmocka_unit_test(test_star_goes_back_for_more),
        cmocka_unit_test(test_question_mark_is_one_character),
        cmocka_unit_test(test_empty_pattern_matches_nothing_but_empty),
        cmocka_unit_test(test_many_stars_are_not_exponential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
