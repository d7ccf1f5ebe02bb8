#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/lwm2m/node.h"

static const struct lwm2m_path battery = {.ids = {3, 0, 9}, .len = 3};

static bool equal(struct lwm2m_value a, struct lwm2m_value b) {
    return lwm2m_value_equal(&a, &b);
}

static void test_full_list_takes_no_more_and_says_so(void **state) {
    (void)state;
    struct lwm2m_node memory[1];
    struct lwm2m_nodes list = lwm2m_nodes_over(memory, 1);
    assert_true(lwm2m_nodes_add(&list, &battery, lwm2m_integer(95)));
    assert_null(list.remark);
    assert_false(lwm2m_nodes_add(&list, &battery, lwm2m_integer(96)));
    assert_non_null(list.remark);
    assert_int_equal(list.count, 1);
    assert_int_equal(memory[0].value.integer, 95);
}

static void test_values_are_equal_when_type_and_content_are(void **state) {
    (void)state;
    struct lwm2m_value real = {.type = LWM2M_FLOAT, .real = 2.5}, other = {.type = LWM2M_FLOAT, .real = -2.5};
    struct lwm2m_value link = {.type = LWM2M_OBJLNK, .link = {3, 0}},
                       null_link = {.type = LWM2M_OBJLNK, .link = {3, 1}};
    assert_true(equal(lwm2m_string("a"), lwm2m_string("a")));
    assert_false(equal(lwm2m_string("a"), lwm2m_string("b")));
    assert_true(equal(lwm2m_integer(-1), lwm2m_integer(-1)));
    assert_false(equal(lwm2m_integer(1), lwm2m_time(1)));
    assert_false(equal(lwm2m_boolean(true), lwm2m_boolean(false)));
    assert_true(lwm2m_value_equal(&real, &real));
    assert_false(lwm2m_value_equal(&real, &other));
    assert_true(lwm2m_value_equal(&link, &link));
    assert_false(lwm2m_value_equal(&link, &null_link));
}

static void test_type_names_are_those_of_the_api(void **state) {
    (void)state;
    assert_string_equal(lwm2m_type_name(LWM2M_STRING), "string");
    assert_string_equal(lwm2m_type_name(LWM2M_INTEGER), "integer");
    assert_string_equal(lwm2m_type_name(LWM2M_UNSIGNED), "unsigned");
    assert_string_equal(lwm2m_type_name(LWM2M_FLOAT), "float");
    assert_string_equal(lwm2m_type_name(LWM2M_BOOLEAN), "boolean");
    assert_string_equal(lwm2m_type_name(LWM2M_OPAQUE), "opaque");
    assert_string_equal(lwm2m_type_name(LWM2M_TIME), "time");
    assert_string_equal(lwm2m_type_name(LWM2M_OBJLNK), "objlnk");
    assert_string_equal(lwm2m_type_name(LWM2M_CORELNK), "corelnk");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_list_takes_no_more_and_says_so),
        cmocka_unit_test(test_values_are_equal_when_type_and_content_are),
        cmocka_unit_test(test_type_names_are_those_of_the_api),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
