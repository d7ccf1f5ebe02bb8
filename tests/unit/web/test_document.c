#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "web/document.h"

static void assert_text(const char *bytes, size_t len, const char *expected) {
    json_t *text = document_text(slice_of(bytes, len));
    assert_string_equal(json_string_value(text), expected);
    json_decref(text);
}

static void test_text_that_is_utf8_stays_as_it_is(void **state) {
    (void)state;
    assert_text("", 0, "");
    assert_text("a\"\\\n", 4, "a\"\\\n");
    assert_text("\xC3\xBC\xE2\x82\xAC\xF0\x9F\x9A\xA2", 9, "\xC3\xBC\xE2\x82\xAC\xF0\x9F\x9A\xA2");
}

#define FFFD "\xEF\xBF\xBD"

static void test_bytes_that_are_no_utf8_are_replaced(void **state) {
    (void)state;
    assert_text("a\xFFz", 3, "a" FFFD "z");
    assert_text("\xC3", 1, FFFD);                   /* cut off */
    assert_text("\xC0\x80", 2, FFFD FFFD);          /* overlong */
    assert_text("\xED\xA0\x80", 3, FFFD FFFD FFFD); /* a surrogate */
    assert_text("\xC3\xBC\x80\xC3\xBC", 5, "\xC3\xBC" FFFD "\xC3\xBC");
}

static void assert_duration(const char *json, bool valid, uint64_t expected) {
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    uint64_t ms = 0;
    assert_non_null(value);
    assert_int_equal(document_duration(value, 1000000, &ms), valid);
    if (valid)
        assert_int_equal(ms, expected);
    json_decref(value);
}

static void test_duration_is_text_or_seconds(void **state) {
    uint64_t ms;
    (void)state;
    assert_duration("\"30s\"", true, 30000);
    assert_duration("30", true, 30000);
    assert_duration("0.25", true, 250);
    assert_duration("0", true, 0);
    assert_duration("-1", false, 0);
    assert_duration("1001", false, 0);
    assert_duration("1e300", false, 0);
    assert_duration("true", false, 0);
    assert_duration("null", false, 0);
    assert_false(document_duration(NULL, 1000, &ms));
}

static void assert_refused(const char *body, const char *because) {
    char error[512] = "";
    assert_null(document_read(slice_str(body), error, sizeof error));
    if (strstr(error, because) == NULL)
        fail_msg("\"%s\" should say \"%s\"", error, because);
}

static void test_object_is_read(void **state) {
    char error[512];
    json_t *document = document_read(slice_str("{\"a\":[1,{\"b\":null}]}"), error, sizeof error);
    (void)state;
    assert_non_null(document);
    json_decref(document);
}

static void test_what_is_no_object_is_refused(void **state) {
    (void)state;
    assert_refused("", "empty");
    assert_refused("[]", "must be a JSON object");
    assert_refused("7", "must be a JSON object");
}

static void test_fault_is_told_with_its_place(void **state) {
    (void)state;
    assert_refused("{\"a\":1,\n \"b\" 2}", "line 2, column 6");
    assert_refused("{} x", "line 1, column 4");
}

static void test_member_given_twice_is_refused(void **state) {
    (void)state;
    assert_refused("{\"a\":1,\"a\":2}", "duplicate");
}

static void nest(char *text, int levels) {
    char *at = text + sprintf(text, "{\"a\":");
    for (int i = 0; i < levels - 1; i++)
        *at++ = '[';
    for (int i = 0; i < levels - 1; i++)
        *at++ = ']';
    strcpy(at, "}");
}

static void test_nesting_is_bounded(void **state) {
    char text[8192], error[512];
    (void)state;
    nest(text, DOCUMENT_DEPTH_MAX);
    json_t *document = document_read(slice_str(text), error, sizeof error);
    assert_non_null(document);
    json_decref(document);
    nest(text, DOCUMENT_DEPTH_MAX + 1);
    assert_refused(text, "nested deeper");
    nest(text, 3000);
    assert_refused(text, "line 1");
}

static void test_unknown_member_is_named(void **state) {
    static const char *const names[] = {"a", "b", NULL};
    json_t *object = json_pack("{sisi}", "a", 1, "x", 2);
    (void)state;
    assert_string_equal(document_unknown_member(object, names), "x");
    json_object_del(object, "x");
    assert_null(document_unknown_member(object, names));
    json_decref(object);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_that_is_utf8_stays_as_it_is),
        cmocka_unit_test(test_bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(test_duration_is_text_or_seconds),
        cmocka_unit_test(test_object_is_read),
        cmocka_unit_test(test_what_is_no_object_is_refused),
        cmocka_unit_test(test_fault_is_told_with_its_place),
        cmocka_unit_test(test_member_given_twice_is_refused),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_unknown_member_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
