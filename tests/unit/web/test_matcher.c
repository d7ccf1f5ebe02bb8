#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "web/matcher.h"

static const char object_text[] =
    "{\"n\":300,\"real\":2.5,\"text\":\"127.0.0.1:5683\",\"truth\":true,\"also\":true,\"null\":null,\"list\":[1,2],"
    "\"objects\":[{\"path\":\"/1/0\"},{\"path\":\"/3/0\",\"a/b\":1,\"c~d\":2}]}";

static json_t *json_of(const char *text) {
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    if (json == NULL)
        fail_msg("%s", text);
    return json;
}

static size_t misses(const char *match_text) {
    struct document_error error;
    struct matcher matcher;
    json_t *match = json_of(match_text), *object = json_of(object_text);
    if (!matcher_read(match, "", NULL, &matcher, &error))
        fail_msg("%s: %s %s", match_text, error.pointer, error.expected);
    size_t count = matcher_misses(&matcher, object);
    matcher_free(&matcher);
    json_decref(object);
    json_decref(match);
    return count;
}

static void assert_matches(const char *match_text) {
    if (misses(match_text) != 0)
        fail_msg("%s should match", match_text);
}

static void assert_misses(const char *match_text) {
    if (misses(match_text) == 0)
        fail_msg("%s should not match", match_text);
}

static void assert_refused(const char *match_text, const char *pointer, const char *because) {
    static const char *const known[] = {"n", "text", NULL};
    struct document_error error;
    struct matcher matcher;
    json_t *match = json_of(match_text);
    assert_false(matcher_read(match, "/m", known, &matcher, &error));
    assert_string_equal(error.pointer, pointer);
    if (strstr(error.expected, because) == NULL)
        fail_msg("\"%s\" should say \"%s\"", error.expected, because);
    json_decref(match);
}

static void test_nothing_expected_is_met(void **state) {
    (void)state;
    assert_matches("{}");
}

static void test_literal_is_equality(void **state) {
    (void)state;
    assert_matches("{\"n\":300,\"text\":\"127.0.0.1:5683\",\"list\":[1,2],\"truth\":true}");
    assert_matches("{\"n\":300.0}");
    assert_misses("{\"n\":\"300\"}");
    assert_misses("{\"n\":301}");
    assert_misses("{\"list\":[2,1]}");
}

static void test_equal_literals_of_two_members_are_two_tests(void **state) {
    (void)state;
    assert_matches("{\"truth\":true,\"also\":true}");
    assert_misses("{\"truth\":true,\"null\":true}");
    assert_int_equal(misses("{\"n\":true,\"null\":true}"), 2);
}

static void test_eq_and_ne(void **state) {
    (void)state;
    assert_matches("{\"n\":{\"eq\":300,\"ne\":301}}");
    assert_misses("{\"n\":{\"eq\":301}}");
    assert_misses("{\"n\":{\"ne\":300}}");
    assert_matches("{\"/objects/0\":{\"eq\":{\"path\":\"/1/0\"}}}");
}

static void test_order_of_numbers(void **state) {
    (void)state;
    assert_matches("{\"n\":{\"gt\":299,\"gte\":300,\"lt\":300.5,\"lte\":300}}");
    assert_misses("{\"n\":{\"gt\":300}}");
    assert_misses("{\"n\":{\"gte\":301}}");
    assert_misses("{\"n\":{\"lt\":300}}");
    assert_misses("{\"n\":{\"lte\":299}}");
    assert_matches("{\"real\":{\"gt\":2,\"lt\":3}}");
}

static void test_order_of_texts(void **state) {
    (void)state;
    assert_matches("{\"text\":{\"gte\":\"127.0.0.1:5683\",\"lt\":\"128\"}}");
    assert_misses("{\"text\":{\"gt\":\"127.0.0.1:5683\"}}");
}

static void test_number_is_not_compared_with_text(void **state) {
    (void)state;
    assert_misses("{\"n\":{\"gt\":\"1\"}}");
    assert_misses("{\"n\":{\"lte\":\"9\"}}");
}

static void test_in_is_equality_with_one_of_them(void **state) {
    (void)state;
    assert_matches("{\"n\":{\"in\":[1,300]}}");
    assert_misses("{\"n\":{\"in\":[1,301]}}");
    assert_misses("{\"n\":{\"in\":[]}}");
}

static void test_regex_is_found_anywhere_in_a_text(void **state) {
    (void)state;
    assert_matches("{\"text\":{\"regex\":\"0\\\\.1:[0-9]{4}$\"}}");
    assert_misses("{\"text\":{\"regex\":\"^0\"}}");
    assert_misses("{\"n\":{\"regex\":\"3\"}}");
}

static void test_what_is_not_there_is_null(void **state) {
    (void)state;
    assert_matches("{\"none\":null,\"null\":null,\"/list/2\":null}");
    assert_matches("{\"none\":{\"ne\":\"4.00\"}}");
    assert_misses("{\"none\":{\"gte\":\"\"}}");
    assert_misses("{\"n\":null}");
}

static void test_pointer_leads_inside(void **state) {
    (void)state;
    assert_matches(
        "{\"/objects/1/path\":\"/3/0\",\"/objects/1/a~1b\":1,\"/objects/1/c~0d\":2,\"/list/1\":2,\"/n\":300}");
    assert_misses("{\"/objects/0/path\":\"/3/0\"}");
    assert_matches("{\"/list/01\":null,\"/list/x\":null,\"/n/0\":null}");
}

static void test_members_that_differ_are_counted_once(void **state) {
    (void)state;
    assert_int_equal(misses("{\"n\":{\"gt\":400,\"lt\":200},\"text\":\"a\",\"list\":[1,2]}"), 2);
}

static void test_long_values_are_cut_in_differences(void **state) {
    char text[2100];
    struct document_error error;
    struct matcher matcher;
    (void)state;
    snprintf(text, sizeof text, "{\"text\":\"%02000d\"}", 0);
    json_t *object = json_of(text), *match = json_of("{\"text\":1}");
    assert_true(matcher_read(match, "", NULL, &matcher, &error));
    json_t *differences = matcher_differences(&matcher, object);
    const json_t *actual = document_find(differences, "/0/actual");
    assert_in_range(json_string_length(actual), 500, 520);
    json_decref(differences);
    matcher_free(&matcher);
    json_decref(match);
    json_decref(object);
}

static void test_what_is_wrong_has_its_place(void **state) {
    (void)state;
    assert_refused("[]", "/m", "object");
    assert_refused("{\"m\":1}", "/m/m", "none is called so");
    assert_refused("{\"/m/0\":1}", "/m/~1m~10", "none is called so");
    assert_refused("{\"n\":{}}", "/m/n", "eq, ne");
    assert_refused("{\"n\":{\"above\":1}}", "/m/n/above", "eq, ne");
    assert_refused("{\"n\":{\"gt\":[]}}", "/m/n/gt", "a number or a string");
    assert_refused("{\"n\":{\"in\":1}}", "/m/n/in", "a list");
    assert_refused("{\"text\":{\"regex\":1}}", "/m/text/regex", "a string");
    assert_refused("{\"text\":{\"regex\":\"a(b\"}}", "/m/text/regex", "missing closing parenthesis, at byte 3");
}

static void test_tests_are_bounded(void **state) {
    json_t *match = json_object(), *patterns = json_object();
    struct document_error error;
    struct matcher matcher;
    (void)state;
    for (int i = 0; i < MATCHER_TESTS_MAX + 1; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        json_object_set_new(match, name, json_integer(i));
        if (i < MATCHER_PATTERNS_MAX + 1)
            json_object_set_new(patterns, name, json_pack("{ss}", "regex", "a"));
    }
    assert_false(matcher_read(match, "", NULL, &matcher, &error));
    assert_string_equal(error.expected, "at most 64 tests are expected");
    assert_false(matcher_read(patterns, "", NULL, &matcher, &error));
    assert_string_equal(error.expected, "at most 8 regular expressions are expected");
    json_decref(match);
    json_decref(patterns);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_expected_is_met),
        cmocka_unit_test(test_literal_is_equality),
        cmocka_unit_test(test_equal_literals_of_two_members_are_two_tests),
        cmocka_unit_test(test_eq_and_ne),
        cmocka_unit_test(test_order_of_numbers),
        cmocka_unit_test(test_order_of_texts),
        cmocka_unit_test(test_number_is_not_compared_with_text),
        cmocka_unit_test(test_in_is_equality_with_one_of_them),
        cmocka_unit_test(test_regex_is_found_anywhere_in_a_text),
        cmocka_unit_test(test_what_is_not_there_is_null),
        cmocka_unit_test(test_pointer_leads_inside),
        cmocka_unit_test(test_members_that_differ_are_counted_once),
        cmocka_unit_test(test_long_values_are_cut_in_differences),
        cmocka_unit_test(test_what_is_wrong_has_its_place),
        cmocka_unit_test(test_tests_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
