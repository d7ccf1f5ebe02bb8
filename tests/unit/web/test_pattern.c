#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "web/pattern.h"

static struct pattern *compiled(const char *text) {
    char problem[PATTERN_PROBLEM_MAX];
    size_t at;
    struct pattern *pattern = pattern_compile(slice_str(text), problem, &at);
    if (pattern == NULL)
        fail_msg("%s: %s", text, problem);
    return pattern;
}

static bool found(const char *pattern_text, const char *text) {
    struct pattern *pattern = compiled(pattern_text);
    bool result = pattern_found(pattern, slice_str(text));
    if (pattern_found(pattern, slice_str(text)) != result)
        fail_msg("%s finds other things the second time", pattern_text);
    pattern_free(pattern);
    return result;
}

static void assert_refused(const char *text, const char *because, size_t where) {
    char problem[PATTERN_PROBLEM_MAX];
    size_t at;
    assert_null(pattern_compile(slice_str(text), problem, &at));
    assert_string_equal(problem, because);
    assert_int_equal(at, where);
}

static void test_is_found_anywhere(void **state) {
    (void)state;
    assert_true(found("b", "abc"));
    assert_false(found("^b", "abc"));
    assert_true(found("c$", "abc"));
    assert_false(found("c$", "abc\n"));
    assert_true(found("", ""));
    assert_true(found("^(ab|c){2}$", "abc"));
    assert_false(found("a.c", "ABC"));
}

static void test_letters_behind_a_backslash(void **state) {
    (void)state;
    assert_true(found("^\\d+\\.\\d\\D$", "127.0:"));
    assert_false(found("\\d", "abc"));
    assert_true(found("^\\w+\\s\\W$", "a_9 -"));
    assert_false(found("\\S", " \t"));
    assert_true(found("^[\\d.]+$", "1.0"));
    assert_true(found("^\\t\\x41$", "\tA"));
    assert_true(found("(?:ab){2}?", "abab"));
}

static void test_characters_are_those_of_utf8(void **state) {
    (void)state;
    assert_true(found("^.$", "\xC3\xA4"));
    assert_true(found("^[\xC3\xA0-\xC3\xBC]{2}$", "\xC3\xA4\xC3\xB6"));
    assert_false(found("^[^\xC3\xA4]$", "\xC3\xA4"));
    assert_true(found("^\xF0\x9F\x9A\xA2+$", "\xF0\x9F\x9A\xA2\xF0\x9F\x9A\xA2"));
}

static void test_what_is_wrong_has_its_place(void **state) {
    (void)state;
    assert_refused("(a", "missing closing parenthesis", 2);
    assert_refused("a)", "unmatched closing parenthesis", 1);
    assert_refused("*a", "quantifier does not follow a repeatable item", 0);
    assert_refused("a\\C", "using \\C is disabled by the application", 3);
}

static void test_what_is_large_is_refused(void **state) {
    char text[PATTERN_MAX + 1], problem[PATTERN_PROBLEM_MAX];
    size_t at;
    (void)state;
    memset(text, 'a', sizeof text);
    assert_null(pattern_compile(slice_of(text, sizeof text), problem, &at));
    assert_string_equal(problem, "it is too long");
    assert_int_equal(at, PATTERN_MAX);
    assert_refused("((a{99}){99}){9}", "it repeats too much", 16);
    memset(text, '(', sizeof text);
    assert_null(pattern_compile(slice_of(text, PATTERN_MAX), problem, &at));
    assert_string_equal(problem, "parentheses are too deeply nested");
}

/* Without an end to it the first two of these would take longer than anybody lives. */
static void test_a_search_ends(void **state) {
    static const char *const slow[] = {"^(a|a)*$", "^(a*)*$", "(a*a*a*a*)*b", "(.*.*.*.*)x"};
    char *text = malloc(PATTERN_TEXT_MAX);
    (void)state;
    memset(text, 'a', PATTERN_TEXT_MAX);
    text[PATTERN_TEXT_MAX - 1] = '!';
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
        struct pattern *pattern = compiled(slow[i]);
        assert_false(pattern_found(pattern, slice_of(text, PATTERN_TEXT_MAX)));
        pattern_free(pattern);
    }
    free(text);
}

static void test_what_is_behind_the_bound_is_not_looked_at(void **state) {
    char *text = malloc(PATTERN_TEXT_MAX + 1);
    struct pattern *behind = compiled("b"), *end = compiled("a$"), *inside = compiled("^a{10}");
    (void)state;
    memset(text, 'a', PATTERN_TEXT_MAX);
    text[PATTERN_TEXT_MAX] = 'b';
    struct slice all = slice_of(text, PATTERN_TEXT_MAX + 1);
    assert_false(pattern_found(behind, all));
    assert_false(pattern_found(end, all));
    assert_true(pattern_found(inside, all));
    assert_true(pattern_found(end, slice_of(text, PATTERN_TEXT_MAX)));
    pattern_free(behind);
    pattern_free(end);
    pattern_free(inside);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_found_anywhere),
        cmocka_unit_test(test_letters_behind_a_backslash),
        cmocka_unit_test(test_characters_are_those_of_utf8),
        cmocka_unit_test(test_what_is_wrong_has_its_place),
        cmocka_unit_test(test_what_is_large_is_refused),
        cmocka_unit_test(test_a_search_ends),
        cmocka_unit_test(test_what_is_behind_the_bound_is_not_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
