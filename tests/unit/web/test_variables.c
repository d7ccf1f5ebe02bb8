#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "web/scenario/variables.h"

static json_t *variables;

static int set_up(void **state) {
    (void)state;
    variables = json_loads(
        "{\"ep\":\"urn:1/2 ä\",\"n\":7,\"list\":[1],\"null\":null,\"uri\":\"/v1/x?a=1\",\"coap+tcp\":\"t\"}", 0, NULL);
    return variables == NULL ? -1 : 0;
}

static int tear_down(void **state) {
    (void)state;
    json_decref(variables);
    return 0;
}

static void assert_fills(const char *text, const char *expected) {
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL), *wanted = json_loads(expected, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    assert_non_null(wanted);
    json_t *filled = variables_fill(value, variables);
    if (!json_equal(filled, wanted))
        fail_msg("%s should become %s", text, expected);
    json_decref(filled);
    json_decref(wanted);
    json_decref(value);
}

static void assert_path(const char *text, const char *expected) {
    json_t *value = json_string(text), *filled = variables_fill_path(value, variables);
    assert_string_equal(json_string_value(filled), expected);
    json_decref(filled);
    json_decref(value);
}

static void test_text_of_nothing_else_becomes_the_value(void **state) {
    (void)state;
    assert_fills("\"${n}\"", "7");
    assert_fills("{\"a\":[\"${list}\",\"${null}\"]}", "{\"a\":[[1],null]}");
}

static void test_within_text_it_is_text(void **state) {
    (void)state;
    assert_fills("\"<${ep}> ${n}${coap+tcp}\"", "\"<urn:1/2 ä> 7t\"");
    assert_fills("\"${n}.\"", "\"7.\"");
}

static void test_what_is_no_reference_stays(void **state) {
    (void)state;
    assert_fills("\"$ $n ${ ${} ${n ${a b} $\"", "\"$ $n ${ ${} ${n ${a b} $\"");
    assert_fills("\"$${n} $$${n}\"", "\"${n} $${n}\"");
    assert_fills("[1,true,null,2.5]", "[1,true,null,2.5]");
}

static void test_path_takes_a_segment_behind_a_slash(void **state) {
    (void)state;
    assert_path("/v1/devices/${ep}/3/${n}", "/v1/devices/urn:1%2F2%20%C3%A4/3/7");
    assert_path("${uri}&b=${n}", "/v1/x?a=1&b=7");
    assert_path("/v1/devices/x${uri}", "/v1/devices/x/v1/x?a=1");
}

static void test_unknown_one_has_its_place(void **state) {
    struct document_error error;
    json_t *value = json_loads("{\"a\":[\"${n}\",{\"b/c\":\"x${m}\"}]}", 0, NULL);
    (void)state;
    assert_false(variables_check(value, "/steps/1", variables, &error));
    assert_string_equal(error.pointer, "/steps/1/a/1/b~1c");
    assert_non_null(strstr(error.expected, "\"m\""));
    json_decref(value);
}

static void test_use_is_seen(void **state) {
    (void)state;
    json_t *used = json_loads("{\"a\":[{\"b\":\"x${m}\"}]}", 0, NULL),
           *unused = json_loads("{\"a\":[{\"b\":\"x$m\"}]}", 0, NULL);
    assert_true(variables_are_used(used));
    assert_false(variables_are_used(unused));
    json_decref(used);
    json_decref(unused);
}

static void test_what_is_filled_in_is_bounded(void **state) {
    char *long_text = malloc(100001);
    json_t *many = json_array();
    (void)state;
    memset(long_text, 'x', 100000);
    long_text[100000] = '\0';
    json_object_set_new(variables, "long", json_string(long_text));
    for (int i = 0; i < 43; i++)
        json_array_append_new(many, json_string(i % 2 == 0 ? "${long}" : "${long}."));
    assert_null(variables_fill(many, variables));
    json_array_remove(many, 0);
    json_array_remove(many, 0);
    json_t *filled = variables_fill(many, variables);
    assert_non_null(filled);
    json_decref(filled);
    json_decref(many);
    free(long_text);
}

static void test_names(void **state) {
    (void)state;
    assert_true(variables_is_name("a-b_c.1+"));
    assert_false(variables_is_name(""));
    assert_false(variables_is_name("a b"));
    assert_false(variables_is_name("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_of_nothing_else_becomes_the_value),
        cmocka_unit_test(test_within_text_it_is_text),
        cmocka_unit_test(test_what_is_no_reference_stays),
        cmocka_unit_test(test_path_takes_a_segment_behind_a_slash),
        cmocka_unit_test(test_unknown_one_has_its_place),
        cmocka_unit_test(test_use_is_seen),
        cmocka_unit_test(test_what_is_filled_in_is_bounded),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
