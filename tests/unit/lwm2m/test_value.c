#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "common/lwm2m/value.h"
#include "tests/unit/lwm2m/node_lists.h"

static uint8_t memory[64];
static struct buffer scratch;
static const char *remark;

static struct lwm2m_value natural(uint64_t number) {
    return (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = number};
}

static struct lwm2m_value real(double number) {
    return (struct lwm2m_value){.type = LWM2M_FLOAT, .real = number};
}

static struct lwm2m_value link_to(uint16_t object, uint16_t instance) {
    return (struct lwm2m_value){.type = LWM2M_OBJLNK, .link = {object, instance}};
}

static void becomes(struct lwm2m_value from, struct lwm2m_value to) {
    scratch = buffer_over(memory, sizeof memory);
    if (!lwm2m_value_convert(&from, to.type, &scratch, &remark))
        fail_msg("%s", remark);
    assert_true(lwm2m_value_equal(&from, &to));
}

static void does_not_become(struct lwm2m_value from, enum lwm2m_type type) {
    struct lwm2m_value before = from;
    scratch = buffer_over(memory, sizeof memory);
    assert_false(lwm2m_value_convert(&from, type, &scratch, &remark));
    assert_non_null(remark);
    assert_true(lwm2m_value_equal(&from, &before));
}

static void test_a_value_of_the_type_stays(void **state) {
    (void)state;
    becomes(lwm2m_string("abc"), lwm2m_string("abc"));
    becomes(link_to(1, 2), link_to(1, 2));
    assert_null(remark);
}

static void test_nothing_has_no_type_and_what_has_no_definition_stays(void **state) {
    (void)state;
    struct lwm2m_value none = {.type = LWM2M_NONE}, integer = lwm2m_integer(5);
    assert_true(lwm2m_value_convert(&none, LWM2M_STRING, &scratch, &remark));
    assert_int_equal(none.type, LWM2M_NONE);
    assert_true(lwm2m_value_convert(&integer, LWM2M_RAW, &scratch, &remark));
    assert_int_equal(integer.type, LWM2M_INTEGER);
}

static void test_TYP_01_values_of_another_kind_are_refused(void **state) {
    (void)state;
    does_not_become(lwm2m_integer(1), LWM2M_BOOLEAN);
    does_not_become(lwm2m_integer(5), LWM2M_STRING);
    does_not_become(lwm2m_integer(5), LWM2M_OPAQUE);
    does_not_become(lwm2m_integer(5), LWM2M_OBJLNK);
    does_not_become(lwm2m_string("5"), LWM2M_INTEGER);
    does_not_become(lwm2m_string("1"), LWM2M_BOOLEAN);
    does_not_become(lwm2m_string("1"), LWM2M_FLOAT);
    does_not_become(lwm2m_string("1"), LWM2M_TIME);
    does_not_become(lwm2m_boolean(true), LWM2M_INTEGER);
    does_not_become(lwm2m_bytes(LWM2M_OPAQUE, slice_str("abc")), LWM2M_STRING);
    does_not_become(link_to(1, 2), LWM2M_STRING);
    does_not_become(lwm2m_time(1), LWM2M_FLOAT);
}

static void test_TYP_02_integers_are_exact(void **state) {
    (void)state;
    becomes(lwm2m_integer(INT64_C(9007199254740993)), natural(UINT64_C(9007199254740993)));
    becomes(natural(INT64_MAX), lwm2m_integer(INT64_MAX));
    becomes(lwm2m_integer(INT64_MIN), lwm2m_time(INT64_MIN));
    does_not_become(natural((uint64_t)INT64_MAX + 1), LWM2M_INTEGER);
    does_not_become(natural((uint64_t)INT64_MAX + 1), LWM2M_TIME);
    does_not_become(lwm2m_integer(-1), LWM2M_UNSIGNED);
}

static void test_TYP_03_an_integral_float_is_an_integer(void **state) {
    (void)state;
    becomes(real(5.0), lwm2m_integer(5));
    becomes(real(-5.0), lwm2m_integer(-5));
    becomes(real(-0.0), natural(0));
    becomes(real(-0x1p63), lwm2m_integer(INT64_MIN));
    becomes(real(0x1p63), natural(UINT64_C(1) << 63));
    becomes(real(1367491215.0), lwm2m_time(1367491215));
    does_not_become(real(5.5), LWM2M_INTEGER);
    does_not_become(real(0.1), LWM2M_UNSIGNED);
    does_not_become(real(1367491215.5), LWM2M_TIME);
    does_not_become(real(0x1p63), LWM2M_INTEGER);
    does_not_become(real(0x1p64), LWM2M_UNSIGNED);
    does_not_become(real(-1.0), LWM2M_UNSIGNED);
    does_not_become(real(NAN), LWM2M_INTEGER);
    does_not_become(real(INFINITY), LWM2M_UNSIGNED);
}

static void test_TYP_03_an_integer_is_a_float(void **state) {
    (void)state;
    becomes(lwm2m_integer(-7), real(-7.0));
    becomes(natural(UINT64_MAX), real(0x1p64));
}

static void test_TYP_06_integers_and_times(void **state) {
    (void)state;
    becomes(lwm2m_integer(-1), lwm2m_time(-1));
    assert_null(remark);
    becomes(lwm2m_time(5), lwm2m_integer(5));
    assert_non_null(remark);
    becomes(lwm2m_time(5), natural(5));
}

static void test_TYP_09_TYP_10_an_object_link_may_come_as_text(void **state) {
    (void)state;
    becomes(lwm2m_string("66:613"), link_to(66, 613));
    becomes(lwm2m_string("65535:65535"), link_to(65535, 65535));
    becomes(lwm2m_string("FFFF:FFFF"), link_to(65535, 65535));
    assert_non_null(remark);
    becomes(lwm2m_string(""), link_to(65535, 65535));
    does_not_become(lwm2m_string("66"), LWM2M_OBJLNK);
    does_not_become(lwm2m_string("65536:0"), LWM2M_OBJLNK);
}

static void test_TYP_11_an_opaque_may_come_as_base64_where_there_is_scratch(void **state) {
    (void)state;
    struct lwm2m_value opaque = lwm2m_bytes(LWM2M_OPAQUE, slice_str("\x01\xff")), text = lwm2m_string("Af8=");
    becomes(text, opaque);
    becomes(lwm2m_string("Af8"), opaque);
    does_not_become(lwm2m_string("AQ*="), LWM2M_OPAQUE);
    assert_false(lwm2m_value_convert(&text, LWM2M_OPAQUE, NULL, &remark));
}

static void test_text_is_a_corelnk(void **state) {
    (void)state;
    becomes(lwm2m_string("</3/0>"), lwm2m_bytes(LWM2M_CORELNK, slice_str("</3/0>")));
    becomes(lwm2m_bytes(LWM2M_CORELNK, slice_str("</3/0>")), lwm2m_string("</3/0>"));
}

static void test_raw_bytes_are_read_as_TLV_writes_them(void **state) {
    (void)state;
    becomes(lwm2m_bytes(LWM2M_RAW, slice_str("\xff\x7f")), lwm2m_integer(-129));
    becomes(lwm2m_bytes(LWM2M_RAW, slice_str("\xc8")), natural(200));
    becomes(lwm2m_bytes(LWM2M_RAW, slice_of("\0\x42\x02\x65", 4)), link_to(66, 613));
    becomes(lwm2m_bytes(LWM2M_RAW, slice_str("U")), lwm2m_string("U"));
    does_not_become(lwm2m_bytes(LWM2M_RAW, slice_of("\0\0\5", 3)), LWM2M_INTEGER);
    does_not_become(lwm2m_bytes(LWM2M_RAW, slice_str("\2")), LWM2M_BOOLEAN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_of_the_type_stays),
        cmocka_unit_test(test_nothing_has_no_type_and_what_has_no_definition_stays),
        cmocka_unit_test(test_TYP_01_values_of_another_kind_are_refused),
        cmocka_unit_test(test_TYP_02_integers_are_exact),
        cmocka_unit_test(test_TYP_03_an_integral_float_is_an_integer),
        cmocka_unit_test(test_TYP_03_an_integer_is_a_float),
        cmocka_unit_test(test_TYP_06_integers_and_times),
        cmocka_unit_test(test_TYP_09_TYP_10_an_object_link_may_come_as_text),
        cmocka_unit_test(test_TYP_11_an_opaque_may_come_as_base64_where_there_is_scratch),
        cmocka_unit_test(test_text_is_a_corelnk),
        cmocka_unit_test(test_raw_bytes_are_read_as_TLV_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
