#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "web/problem.h"

static void test_document_has_the_members_of_rfc_9457(void **state) {
    json_t *document = problem_document(PROBLEM_NOT_REGISTERED, NULL, slice_str("No device \"a\"."));
    (void)state;
    assert_string_equal(json_string_value(json_object_get(document, "type")),
                        "https://berth.dev/problems/not-registered");
    assert_string_equal(json_string_value(json_object_get(document, "title")), "The device is not registered");
    assert_int_equal(json_integer_value(json_object_get(document, "status")), 404);
    assert_string_equal(json_string_value(json_object_get(document, "detail")), "No device \"a\".");
    json_decref(document);
}

static void test_members_are_added_and_replace_nothing(void **state) {
    json_t *document =
        problem_document(PROBLEM_TIMEOUT, json_pack("{sisi}", "last", 7, "status", 200), slice_str("late"));
    (void)state;
    assert_int_equal(json_integer_value(json_object_get(document, "last")), 7);
    assert_int_equal(json_integer_value(json_object_get(document, "status")), 408);
    json_decref(document);
}

static void test_detail_of_any_bytes_is_a_string(void **state) {
    json_t *document = problem_document(PROBLEM_BAD_REQUEST, NULL, slice_str("\xFF\"\n"));
    (void)state;
    assert_string_equal(json_string_value(json_object_get(document, "detail")), "\xEF\xBF\xBD\"\n");
    json_decref(document);
}

static void test_every_kind_is_an_error_with_a_name(void **state) {
    (void)state;
    for (enum problem_kind kind = 0; kind < PROBLEM_KIND_COUNT; kind++) {
        assert_non_null(problem_slug(kind));
        assert_in_range(problem_status(kind), 400, 599);
    }
}

static void test_what_http_refuses_keeps_its_status(void **state) {
    static const unsigned statuses[] = {400, 408, 413, 414, 417, 431, 503, 505};
    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        assert_int_equal(problem_status(problem_of_status(statuses[i])), statuses[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document_has_the_members_of_rfc_9457),
        cmocka_unit_test(test_members_are_added_and_replace_nothing),
        cmocka_unit_test(test_detail_of_any_bytes_is_a_string),
        cmocka_unit_test(test_every_kind_is_an_error_with_a_name),
        cmocka_unit_test(test_what_http_refuses_keeps_its_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
