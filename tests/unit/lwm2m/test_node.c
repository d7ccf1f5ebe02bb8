#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

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

/* ---- order ---- */

/* Value i at the i-th of `paths`, which end with NULL, taken into order; the values after that as digits. */
static const char *arranged(const char *const *paths) {
    static char digits[16];
    struct lwm2m_node memory[15];
    struct lwm2m_nodes list = lwm2m_nodes_over(memory, 15);
    for (int64_t i = 0; paths[i] != NULL; i++) {
        struct lwm2m_path path;
        assert_true(lwm2m_path_parse(slice_str(paths[i]), &path, NULL));
        assert_true(lwm2m_nodes_add(&list, &path, lwm2m_integer(i)));
    }
    if (!lwm2m_nodes_arrange(&list)) {
        assert_non_null(list.remark);
        return "refused";
    }
    for (size_t i = 0; i <= list.count; i++)
        digits[i] = i < list.count ? (char)('0' + list.nodes[i].value.integer) : '\0';
    return digits;
}

static void test_a_list_that_stands_together_keeps_its_order(void **state) {
    (void)state;
    assert_string_equal(arranged((const char *[]){NULL}), "");
    assert_string_equal(arranged((const char *[]){"/3/0/9", NULL}), "0");
    assert_string_equal(arranged((const char *[]){"/1/0/1", "/3/0/9", NULL}), "01");
    assert_string_equal(arranged((const char *[]){"/3/0/9", "/1/0/1", NULL}), "01");
    assert_string_equal(
        arranged((const char *[]){"/5/0/9", "/5/0/7/3", "/5/0/7/1", "/3/1/0", "/3/0/2", "/3/0/1", NULL}), "012345");
}

static void test_a_list_that_does_not_stand_together_is_sorted(void **state) {
    (void)state;
    assert_string_equal(arranged((const char *[]){"/3/0/9", "/1/0/1", "/3/0/1", NULL}), "120");
    assert_string_equal(arranged((const char *[]){"/3/0/7/1", "/3/0/1", "/3/0/7/0", NULL}), "120");
}

static void test_SML_R06_LCB_R05_a_path_twice_is_refused(void **state) {
    (void)state;
    assert_string_equal(arranged((const char *[]){"/3/0/9", "/3/0/9", NULL}), "refused");
    assert_string_equal(arranged((const char *[]){"/3/0/9", "/1/0/1", "/3/0/9", NULL}), "refused");
    assert_string_equal(arranged((const char *[]){"/3/0/7/0", "/1/0/1", "/3/0/7", NULL}), "refused");
    assert_string_equal(arranged((const char *[]){"/3/0/7", "/3/0/7/0", NULL}), "refused");
}

static void test_FMT_03_a_hundred_thousand_values_in_any_order(void **state) {
    (void)state;
    enum { COUNT = 100000 };
    unsigned seed = 1;
    struct lwm2m_node *memory = calloc(COUNT, sizeof *memory);
    assert_non_null(memory);
    struct lwm2m_nodes list = lwm2m_nodes_over(memory, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t other = (uint32_t)rand_r(&seed) % (i + 1);
        memory[i] = memory[other];
        memory[other] = (struct lwm2m_node){.path = {.ids = {3, (uint16_t)(i / 100), (uint16_t)(i % 100)}, .len = 3}};
    }
    list.count = COUNT;
    assert_true(lwm2m_nodes_arrange(&list));
    for (uint32_t i = 0; i < COUNT; i++)
        assert_true(memory[i].path.ids[1] == i / 100 && memory[i].path.ids[2] == i % 100);
    memory[COUNT - 1] = memory[0];
    assert_false(lwm2m_nodes_arrange(&list));
    free(memory);
}

static void assert_fault(const struct lwm2m_nodes *list, const char *expected) {
    char text[LWM2M_FAULT_MAX];
    struct buffer out = buffer_over(text, sizeof text);
    lwm2m_nodes_put_fault(&out, list);
    assert_true(slice_is(buffer_slice(&out), expected));
}

static void test_a_fault_is_told_with_its_place(void **state) {
    (void)state;
    struct lwm2m_nodes list = {.remark = "text is expected"};
    struct slice payload = slice_str("0123456789");
    assert_fault(&list, "text is expected");
    assert_false(lwm2m_nodes_end(&list, false, payload, slice_from(payload, 7)));
    assert_fault(&list, "text is expected, at byte 7");
    list.fault_path = (struct lwm2m_path){.ids = {3, 0, 14}, .len = 3};
    assert_fault(&list, "/3/0/14: text is expected");
    list.fault_path = (struct lwm2m_path){.ids = {65534, 65534, 65534, 65534}, .len = 4};
    assert_fault(&list, "/65534/65534/65534/65534: text is expected");
    lwm2m_nodes_begin(&list);
    assert_fault(&list, "it cannot be read");
    assert_true(lwm2m_nodes_end(&list, true, payload, SLICE_NONE));
    assert_int_equal(list.fault_at, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fault_is_told_with_its_place),
        cmocka_unit_test(test_full_list_takes_no_more_and_says_so),
        cmocka_unit_test(test_values_are_equal_when_type_and_content_are),
        cmocka_unit_test(test_type_names_are_those_of_the_api),
        cmocka_unit_test(test_a_list_that_stands_together_keeps_its_order),
        cmocka_unit_test(test_a_list_that_does_not_stand_together_is_sorted),
        cmocka_unit_test(test_SML_R06_LCB_R05_a_path_twice_is_refused),
        cmocka_unit_test(test_FMT_03_a_hundred_thousand_values_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
