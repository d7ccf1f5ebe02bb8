#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "web/pattern.h"

static struct pattern *compiled(const char *text) {
    const char *problem = "";
    size_t at;
    struct pattern *pattern = pattern_compile(slice_str(text), &problem, &at);
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
    const char *problem = NULL;
    size_t at;
    assert_null(pattern_compile(slice_str(text), &problem, &at));
    assert_string_equal(problem, because);
    assert_int_equal(at, where);
}

/* Against the C library, which knows the same syntax. */
static void test_finds_what_posix_finds(void **state) {
    static const char *const patterns[] = {
        "",
        "a",
        "ab",
        "a|b",
        "^a",
        "a$",
        "^$",
        "^a*$",
        "a+b",
        "a?b",
        "(ab)+",
        "(a|b)*c",
        "^(a|b)*$",
        "[ab]c",
        "[^ab]",
        "[a-c]{2}",
        "a{2,}",
        "^a{1,2}b",
        "^(ab){2}",
        "(a|ab)(c|bcd)$",
        "x*",
        "[]a]",
        "[^]a]",
        "[a-]",
        "[[:digit:]]",
        "a.c",
        "(a*)*b",
        "(a|)b",
        "()b",
        "a||b",
        "^(a{0,2}){2}$",
        "(^a|b$)",
        "((a)|(b))c",
        "\\.",
        "\\[a",
        "^(a+)+$",
    };
    static const char *const texts[] = {"",
                                        "a",
                                        "b",
                                        "c",
                                        "ab",
                                        "ba",
                                        "aab",
                                        "abab",
                                        "abc",
                                        "ac",
                                        "bc",
                                        "aaa",
                                        "aaab",
                                        "]",
                                        "-",
                                        "7",
                                        "a.c",
                                        ".",
                                        "[a",
                                        "abcd",
                                        "xac",
                                        "abbb",
                                        "cab",
                                        "aaaaaaaaaaaaaaaaaaaaaaaa",
                                        "aaaaaaaaaaaaaaaaaaaaaaaab"};
    (void)state;
    for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
        regex_t regex;
        assert_int_equal(regcomp(&regex, patterns[p], REG_EXTENDED | REG_NOSUB), 0);
        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
            if (found(patterns[p], texts[t]) != (regexec(&regex, texts[t], 0, NULL, 0) == 0))
                fail_msg("%s in %s", patterns[p], texts[t]);
        regfree(&regex);
    }
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
    assert_refused("(a", "the ) is missing", 2);
    assert_refused("a)", "the ( is missing", 1);
    assert_refused("[a", "the ] is missing", 2);
    assert_refused("*a", "there is nothing to repeat", 0);
    assert_refused("[z-a]", "the range ends before it begins", 4);
    assert_refused("a{3,2}", "the repetition ends before it begins", 6);
    assert_refused("a{x}", "a repetition is {2}, {2,} or {2,5}", 2);
    assert_refused("(a)\\1", "there are no back-references", 5);
    assert_refused("a(?=b)", "of what begins with (? only (?: is known", 3);
    assert_refused("\\q", "there is no such letter behind a backslash", 2);
    assert_refused("[[:vowel:]]", "there is no such class of characters", 8);
}

static void test_what_explodes_is_refused(void **state) {
    char text[PATTERN_MAX + 2];
    const char *problem;
    size_t at;
    (void)state;
    memset(text, 'a', sizeof text);
    assert_null(pattern_compile(slice_of(text, PATTERN_MAX + 1), &problem, &at));
    assert_string_equal(problem, "it is longer than 256 bytes");
    static const char *const exploding[] = {
        "((a{99}){99}){99}", "((a{,99}){,99}){,99}",           "a{9999}",
        "a{1001}",           "(((((){99}){99}){99}){99}){99}", "((((((((a|b)+|c)+|d)+|e)+|f)+|g)+|h)+|i)+"};
    for (size_t i = 0; i < sizeof exploding / sizeof exploding[0]; i++) {
        assert_null(pattern_compile(slice_str(exploding[i]), &problem, &at));
        assert_string_equal(problem, "it repeats too much");
    }
    memset(text, '(', sizeof text);
    assert_null(pattern_compile(slice_of(text, PATTERN_MAX), &problem, &at));
    assert_string_equal(problem, "the groups are nested too deep");
}

/* The C library, and whatever tries one way after the other, does not come back from this. */
static void test_searching_takes_linear_time(void **state) {
    static const char *const slow[] = {"^(a|a)*$", "^(a*)*$", "^(a?){300}a{300}$", "(a*a*a*a*)*b", "(.*.*.*.*)x"};
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
        cmocka_unit_test(test_finds_what_posix_finds),
        cmocka_unit_test(test_letters_behind_a_backslash),
        cmocka_unit_test(test_characters_are_those_of_utf8),
        cmocka_unit_test(test_what_is_wrong_has_its_place),
        cmocka_unit_test(test_what_explodes_is_refused),
        cmocka_unit_test(test_searching_takes_linear_time),
        cmocka_unit_test(test_what_is_behind_the_bound_is_not_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
