#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "web/query.h"

static uint8_t bytes[256];

static const char *parse(const char *text, struct query *query) {
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    return query_parse(slice_str(text), &memory, query);
}

static void test_names_and_values_are_decoded(void **state) {
    struct query query;
    (void)state;
    assert_null(parse("end%70oint=a%26b%3D%2F&x=1+2%2B", &query));
    assert_true(slice_is(query_get(&query, "endpoint"), "a&b=/"));
    assert_true(slice_is(query_get(&query, "x"), "1 2+"));
}

static void test_parameter_without_value_is_there_and_empty(void **state) {
    struct query query;
    (void)state;
    assert_null(parse("a&b=", &query));
    assert_non_null(query_get(&query, "a").data);
    assert_int_equal(query_get(&query, "a").len, 0);
    assert_non_null(query_get(&query, "b").data);
}

static void test_missing_parameter_is_told_from_an_empty_one(void **state) {
    struct query query;
    (void)state;
    assert_null(parse("a=", &query));
    assert_null(query_get(&query, "b").data);
}

static void test_value_may_have_an_equals_sign(void **state) {
    struct query query;
    (void)state;
    assert_null(parse("a=b=c", &query));
    assert_true(slice_is(query_get(&query, "a"), "b=c"));
}

static void test_empty_items_are_passed_over(void **state) {
    struct query query;
    (void)state;
    assert_null(parse("&&a=1&", &query));
    assert_int_equal(query.count, 1);
}

static void test_bad_percent_encoding_is_refused(void **state) {
    struct query query;
    (void)state;
    assert_non_null(parse("a=%", &query));
    assert_non_null(parse("a=%1", &query));
    assert_non_null(parse("%zz=1", &query));
}

static void test_too_many_parameters_are_refused(void **state) {
    struct query query;
    (void)state;
    assert_null(parse("a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a", &query));
    assert_non_null(parse("a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a", &query));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_values_are_decoded),
        cmocka_unit_test(test_parameter_without_value_is_there_and_empty),
        cmocka_unit_test(test_missing_parameter_is_told_from_an_empty_one),
        cmocka_unit_test(test_value_may_have_an_equals_sign),
        cmocka_unit_test(test_empty_items_are_passed_over),
        cmocka_unit_test(test_bad_percent_encoding_is_refused),
        cmocka_unit_test(test_too_many_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
