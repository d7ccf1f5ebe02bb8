/* When a notification is due: attributes, values and times (Core 1.2 §7.3.2); names carry the conformance rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "client/notification_rule.h"

/* Attributes as a server writes them to a resource of that type: `gt=5&lt=1`. */
static struct attributes attributes_of(enum lwm2m_type type, const char *text) {
    struct attributes attributes = {.set = 0};
    struct slice rest = slice_str(text);
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.data, '&', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);
        enum attribute which;
        const char *why;
        assert_true(attributes_read(&attributes, slice_of(rest.data, len), 12, type, &which, &why));
        rest = slice_from(rest, len + 1);
    }
    return attributes;
}

static struct sample sample_with(struct lwm2m_value value) {
    const struct lwm2m_node node = {.path = {.ids = {3, 0, 9}, .len = 3}, .value = value};
    return sample_of(&node);
}

static bool counts(enum lwm2m_type type, const char *text, struct lwm2m_value told, struct lwm2m_value now) {
    const struct attributes attributes = attributes_of(type, text);
    const struct sample before = sample_with(told), after = sample_with(now);
    return notification_rule_counts(&attributes, &before, &after);
}

static struct lwm2m_value real(double number) {
    return (struct lwm2m_value){.type = LWM2M_FLOAT, .real = number};
}

static struct lwm2m_value natural(uint64_t number) {
    return (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = number};
}

/* ---- values ---- */

static void test_any_change_counts_without_attributes(void **state) {
    (void)state;
    static const uint8_t bytes[] = {1, 2};
    const struct lwm2m_value values[] = {
        lwm2m_string(""),
        lwm2m_string("a"),
        lwm2m_string("b"),
        lwm2m_integer(0),
        lwm2m_integer(INT64_MIN),
        natural(0),
        natural(UINT64_MAX),
        real(0.5),
        real(-0.5),
        real(INFINITY),
        lwm2m_boolean(false),
        lwm2m_boolean(true),
        lwm2m_time(0),
        lwm2m_time(1),
        lwm2m_bytes(LWM2M_OPAQUE, slice_of(bytes, 1)),
        lwm2m_bytes(LWM2M_OPAQUE, slice_of(bytes, 2)),
        lwm2m_bytes(LWM2M_CORELNK, slice_str("a")),
        {.type = LWM2M_OBJLNK, .link = {3, 0}},
        {.type = LWM2M_OBJLNK, .link = {0, 3}},
        {.type = LWM2M_NONE},
    };
    size_t count = sizeof values / sizeof values[0];
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++)
            assert_int_equal(counts(LWM2M_NONE, "pmin=1", values[i], values[k]), i != k);
    }
}

static void test_numbers_that_a_double_does_not_tell_apart_are_different(void **state) {
    (void)state;
    assert_true(counts(LWM2M_INTEGER, "", lwm2m_integer(INT64_MAX), lwm2m_integer(INT64_MAX - 1)));
    assert_true(counts(LWM2M_UNSIGNED, "", natural(UINT64_MAX), natural(UINT64_MAX - 1)));
}

struct course {
    const char *attributes;
    double told, now;
    bool counts;
};

static const struct course courses[] = {
    /* gt: above it or not */
    {"gt=50", 40, 45, false},
    {"gt=50", 40, 50, false},
    {"gt=50", 40, 51, true},
    {"gt=50", 50, 51, true},
    {"gt=50", 51, 99, false},
    {"gt=50", 51, 50, true},
    {"gt=50", 99, -99, true},
    {"gt=0", -1, 0, false},
    {"gt=-5", -6, -4, true},
    /* lt: below it or not */
    {"lt=50", 60, 55, false},
    {"lt=50", 60, 50, false},
    {"lt=50", 60, 49, true},
    {"lt=50", 50, 49, true},
    {"lt=50", 49, 0, false},
    {"lt=50", 49, 50, true},
    {"lt=-5", 0, -6, true},
    /* st: that far from what was told */
    {"st=10", 50, 59, false},
    {"st=10", 50, 60, true},
    {"st=10", 50, 61, true},
    {"st=10", 50, 41, false},
    {"st=10", 50, 40, true},
    /* any of them */
    {"gt=80&lt=20", 50, 60, false},
    {"gt=80&lt=20", 50, 81, true},
    {"gt=80&lt=20", 50, 19, true},
    {"gt=80&lt=20", 19, 81, true},
    {"gt=80&lt=20&st=25", 50, 60, false},
    {"gt=80&lt=20&st=25", 50, 75, true},
    {"gt=80&lt=20&st=25", 79, 81, true},
    {"gt=80&st=25", 90, 100, false},
    {"gt=80&st=25", 90, 115, true},
    /* what says when does not say whether */
    {"pmin=1&pmax=2&epmin=1&con=1", 50, 51, true},
    {"gt=80&pmin=1&pmax=2", 50, 51, false},
    /* no change never counts */
    {"", 50, 50, false},
    {"gt=50&st=1", 50, 50, false},
};

static void test_NTF_09_thresholds_and_steps_of_integers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof courses / sizeof courses[0]; i++) {
        const struct course *c = &courses[i];
        assert_int_equal(
            counts(LWM2M_INTEGER, c->attributes, lwm2m_integer((int64_t)c->told), lwm2m_integer((int64_t)c->now)),
            c->counts);
    }
}

static void test_NTF_09_thresholds_and_steps_of_floats(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof courses / sizeof courses[0]; i++) {
        const struct course *c = &courses[i];
        assert_int_equal(counts(LWM2M_FLOAT, c->attributes, real(c->told), real(c->now)), c->counts);
    }
    assert_true(counts(LWM2M_FLOAT, "st=0.25", real(1), real(1.25)));
    assert_false(counts(LWM2M_FLOAT, "st=0.25", real(1), real(1.2)));
    assert_true(counts(LWM2M_FLOAT, "gt=0.1", real(0.1), real(0.11)));
}

static void test_NTF_09_thresholds_and_steps_of_unsigned_integers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof courses / sizeof courses[0]; i++) {
        const struct course *c = &courses[i];
        if (c->told < 0 || c->now < 0)
            continue;
        assert_int_equal(counts(LWM2M_UNSIGNED, c->attributes, natural((uint64_t)c->told), natural((uint64_t)c->now)),
                         c->counts);
    }
    assert_true(counts(LWM2M_UNSIGNED, "gt=1e19", natural(0), natural(UINT64_MAX)));
    assert_true(counts(LWM2M_UNSIGNED, "st=10", natural(UINT64_MAX), natural(UINT64_MAX - 10)));
    assert_false(counts(LWM2M_UNSIGNED, "st=10", natural(UINT64_MAX), natural(UINT64_MAX - 9)));
}

static void test_NTF_09_turns_of_a_boolean(void **state) {
    (void)state;
    struct attributes rising = attributes_of(LWM2M_BOOLEAN, "edge=1"), falling = attributes_of(LWM2M_BOOLEAN, "edge=0"),
                      none = {.set = 0};
    assert_true(notification_rule_turns(&rising, false, true));
    assert_false(notification_rule_turns(&rising, true, false));
    assert_false(notification_rule_turns(&rising, true, true));
    assert_true(notification_rule_turns(&falling, true, false));
    assert_false(notification_rule_turns(&falling, false, true));
    assert_false(notification_rule_turns(&falling, false, false));
    assert_false(notification_rule_turns(&none, false, true));
    /* With edge a change counts as a turn only. */
    assert_false(counts(LWM2M_BOOLEAN, "edge=1", lwm2m_boolean(false), lwm2m_boolean(true)));
    assert_true(counts(LWM2M_BOOLEAN, "", lwm2m_boolean(false), lwm2m_boolean(true)));
}

/* ---- times ---- */

static int64_t due(const char *text, bool changed) {
    const struct attributes attributes = attributes_of(LWM2M_INTEGER, text);
    return notification_rule_due_ms(&attributes, changed);
}

static void test_NTF_01_change_is_due_after_pmin_and_silence_after_pmax(void **state) {
    (void)state;
    assert_int_equal(due("pmin=30&pmax=45", true), 30000);
    assert_int_equal(due("pmin=30&pmax=45", false), 45000);
    assert_int_equal(due("pmin=30", true), 30000);
    assert_int_equal(due("pmin=30", false), NOTIFICATION_NEVER_DUE);
    assert_int_equal(due("pmax=45", true), 0);
    assert_int_equal(due("pmax=45", false), 45000);
    assert_int_equal(due("pmin=2147483647", true), 2147483647000);
}

static void test_change_is_due_at_once_and_nothing_else_ever_without_periods(void **state) {
    (void)state;
    assert_int_equal(due("", true), 0);
    assert_int_equal(due("gt=5&epmin=1&epmax=2", false), NOTIFICATION_NEVER_DUE);
}

static void test_ATT_04_pmax_of_0_or_below_pmin_is_none(void **state) {
    (void)state;
    assert_int_equal(due("pmax=0", false), NOTIFICATION_NEVER_DUE);
    assert_int_equal(due("pmin=30&pmax=29", false), NOTIFICATION_NEVER_DUE);
    assert_int_equal(due("pmin=30&pmax=29", true), 30000);
    assert_int_equal(due("pmin=30&pmax=30", false), 30000);
}

static void test_composite_takes_the_greatest_pmin_and_the_least_pmax(void **state) {
    (void)state;
    static const char *const parts[] = {"pmin=5&pmax=100", "", "pmin=10&pmax=0", "pmax=60&con=1", "pmin=7&pmax=90"};
    struct attributes all = {.set = 0};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct attributes one = attributes_of(LWM2M_INTEGER, parts[i]);
        notification_rule_combine(&all, &one);
    }
    assert_int_equal(notification_rule_due_ms(&all, true), 10000);
    assert_int_equal(notification_rule_due_ms(&all, false), 60000);
    assert_true(attributes_get(&all, ATTRIBUTE_CON) > 0);
}

/* ---- inheritance ---- */

static void attach(struct attribute_list *list, struct lwm2m_path path, const char *text) {
    struct attributes attributes = attributes_of(LWM2M_INTEGER, text);
    assert_true(attribute_list_set(list, &path, &attributes));
}

static void test_ATT_07_lower_levels_go_before_higher_ones(void **state) {
    (void)state;
    struct attribute_list list = {.entries = NULL};
    const struct lwm2m_path path = {.ids = {3, 0, 7, 1}, .len = 4}, sibling = {.ids = {3, 0, 7, 2}, .len = 4};
    attach(&list, (struct lwm2m_path){.ids = {3}, .len = 1}, "pmin=1&pmax=11&epmin=21");
    attach(&list, (struct lwm2m_path){.ids = {3, 0}, .len = 2}, "pmin=2&pmax=12");
    attach(&list, (struct lwm2m_path){.ids = {3, 0, 7}, .len = 3}, "pmin=3&gt=5");
    attach(&list, path, "pmin=4");
    attach(&list, (struct lwm2m_path){.ids = {3, 1}, .len = 2}, "pmin=99&lt=1");
    struct attributes effective = attribute_list_effective(&list, &path);
    assert_true(attributes_get(&effective, ATTRIBUTE_PMIN) == 4 && attributes_get(&effective, ATTRIBUTE_PMAX) == 12 &&
                attributes_get(&effective, ATTRIBUTE_EPMIN) == 21 && attributes_get(&effective, ATTRIBUTE_GT) == 5);
    assert_false(attributes_have(&effective, ATTRIBUTE_LT));
    effective = attribute_list_effective(&list, &sibling);
    assert_true(attributes_get(&effective, ATTRIBUTE_PMIN) == 3);
    attribute_list_free(&list);
}

static void test_removed_attributes_go_with_those_below(void **state) {
    (void)state;
    struct attribute_list list = {.entries = NULL};
    const struct lwm2m_path instance = {.ids = {3303, 1}, .len = 2}, resource = {.ids = {3303, 1, 5700}, .len = 3},
                            other = {.ids = {3303, 10}, .len = 2};
    attach(&list, instance, "pmin=1");
    attach(&list, resource, "pmin=2");
    attach(&list, other, "pmin=3");
    attribute_list_remove(&list, &instance);
    assert_int_equal(attribute_list_effective(&list, &resource).set, 0);
    assert_int_not_equal(attribute_list_at(&list, &other).set, 0);
    attribute_list_free(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_change_counts_without_attributes),
        cmocka_unit_test(test_numbers_that_a_double_does_not_tell_apart_are_different),
        cmocka_unit_test(test_NTF_09_thresholds_and_steps_of_integers),
        cmocka_unit_test(test_NTF_09_thresholds_and_steps_of_floats),
        cmocka_unit_test(test_NTF_09_thresholds_and_steps_of_unsigned_integers),
        cmocka_unit_test(test_NTF_09_turns_of_a_boolean),
        cmocka_unit_test(test_NTF_01_change_is_due_after_pmin_and_silence_after_pmax),
        cmocka_unit_test(test_change_is_due_at_once_and_nothing_else_ever_without_periods),
        cmocka_unit_test(test_ATT_04_pmax_of_0_or_below_pmin_is_none),
        cmocka_unit_test(test_composite_takes_the_greatest_pmin_and_the_least_pmax),
        cmocka_unit_test(test_ATT_07_lower_levels_go_before_higher_ones),
        cmocka_unit_test(test_removed_attributes_go_with_those_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
