/* The values of an object instance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "client/instance.h"

static struct instance instance;

static int start(void **state) {
    (void)state;
    instance = (struct instance){.id = 7};
    return 0;
}

static int stop(void **state) {
    (void)state;
    instance_free(&instance);
    return 0;
}

static void test_values_are_found_by_resource_and_instance_whatever_their_order(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) { /* 7 and 1000 have no common factor: every pair once */
        uint16_t resource = (uint16_t)(i * 7 % 1000 / 10), below = (uint16_t)(i * 7 % 10);
        assert_true(instance_set(&instance, resource, below, lwm2m_integer(resource * 10 + below)));
    }
    assert_int_equal(instance.cell_count, 1000);
    for (uint16_t i = 0; i < 1000; i++)
        assert_int_equal(instance_value(&instance, i / 10, i % 10)->integer, i);
    assert_null(instance_value(&instance, 100, 0));
    assert_null(instance_value(&instance, 5, 10));
}

static void test_setting_the_same_value_is_no_change(void **state) {
    (void)state;
    assert_true(instance_set(&instance, 1, 0, lwm2m_string("a")));
    assert_false(instance_set(&instance, 1, 0, lwm2m_string("a")));
    assert_true(instance_set(&instance, 1, 0, lwm2m_string("b")));
    assert_true(instance_set(&instance, 1, 0, lwm2m_bytes(LWM2M_OPAQUE, slice_str("b"))));
    assert_int_equal(instance.cell_count, 1);
}

static void test_bytes_are_copied_and_counted(void **state) {
    (void)state;
    char text[] = "hello";
    instance_set(&instance, 1, 0, lwm2m_string(text));
    text[0] = 'j';
    assert_true(slice_is(instance_value(&instance, 1, 0)->bytes, "hello"));
    instance_set(&instance, 2, 0, lwm2m_string("four"));
    instance_set(&instance, 3, 0, lwm2m_string(""));
    assert_int_equal(instance.bytes, 9);
    instance_set(&instance, 1, 0, lwm2m_string("hi"));
    assert_int_equal(instance.bytes, 6);
    instance_set(&instance, 2, 0, lwm2m_integer(4));
    assert_int_equal(instance.bytes, 2);
    assert_true(instance_clear(&instance, 1));
    assert_int_equal(instance.bytes, 0);
}

/* The value that is set may be the one that is there. */
static void test_value_set_from_its_own_cell(void **state) {
    (void)state;
    instance_set(&instance, 1, 0, lwm2m_string("hello"));
    struct lwm2m_value part = *instance_value(&instance, 1, 0);
    part.bytes = slice_from(part.bytes, 1);
    assert_true(instance_set(&instance, 1, 0, part));
    assert_true(slice_is(instance_value(&instance, 1, 0)->bytes, "ello"));
}

static void test_clear_and_remove(void **state) {
    (void)state;
    size_t count;
    for (uint16_t i = 0; i < 3; i++) {
        instance_set(&instance, 4, i, lwm2m_string("x"));
        instance_set(&instance, 5, i, lwm2m_string("y"));
        instance_set(&instance, 6, i, lwm2m_string("z"));
    }
    assert_true(instance_remove(&instance, 5, 1));
    assert_false(instance_remove(&instance, 5, 1));
    const struct cell *cells = instance_cells(&instance, 5, &count);
    assert_int_equal(count, 2);
    assert_true(cells[0].instance == 0 && cells[1].instance == 2);
    assert_true(instance_clear(&instance, 5));
    assert_false(instance_clear(&instance, 5));
    assert_null(instance_cells(&instance, 5, &count));
    assert_int_equal(count, 0);
    instance_cells(&instance, 4, &count);
    assert_int_equal(count, 3);
    instance_cells(&instance, 6, &count);
    assert_int_equal(count, 3);
}

static void test_free_leaves_an_empty_instance_with_its_id(void **state) {
    (void)state;
    instance_set(&instance, 1, 0, lwm2m_string("a"));
    instance_free(&instance);
    assert_true(instance.id == 7 && instance.cell_count == 0 && instance.bytes == 0);
    assert_true(instance_set(&instance, 1, 0, lwm2m_string("a")));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_values_are_found_by_resource_and_instance_whatever_their_order),
        TEST(test_setting_the_same_value_is_no_change),
        TEST(test_bytes_are_copied_and_counted),
        TEST(test_value_set_from_its_own_cell),
        TEST(test_clear_and_remove),
        TEST(test_free_leaves_an_empty_instance_with_its_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
