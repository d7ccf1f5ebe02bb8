/* Notifications that are kept while the device is out of reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "client/history.h"

enum { NODES = 8 };

static void add(struct history *history, struct lwm2m_value value, int64_t time_ms, size_t max) {
    struct lwm2m_node node = {.path = {.ids = {3, 0, 9}, .len = 3}, .value = value};
    struct lwm2m_nodes nodes = {.nodes = &node, .count = 1, .cap = 1};
    history_add(history, &nodes, time_ms, max);
}

static void test_NTF_05_taken_in_order_with_their_times(void **state) {
    (void)state;
    struct history history = {.first = NULL}, taken = {.first = NULL};
    struct lwm2m_node memory[NODES];
    struct lwm2m_nodes out = lwm2m_nodes_over(memory, NODES);
    char text[] = "first";
    add(&history, lwm2m_string(text), 1000, 10);
    text[0] = 'F';
    add(&history, lwm2m_integer(2), 2000, 10);
    assert_int_equal(history.count, 2);
    while (history_take(&history, &out, &taken)) {}
    assert_int_equal(out.count, 2);
    assert_true(memory[0].has_time && memory[0].time_ms == 1000 && slice_is(memory[0].value.bytes, "first"));
    assert_true(memory[1].has_time && memory[1].time_ms == 2000 && memory[1].value.integer == 2);
    assert_true(history.count == 0 && history.bytes == 0 && history.last == NULL);
    history_free(&taken);
}

static void test_times_rise_within_a_millisecond(void **state) {
    (void)state;
    struct history history = {.first = NULL}, taken = {.first = NULL};
    struct lwm2m_node memory[NODES];
    struct lwm2m_nodes out = lwm2m_nodes_over(memory, NODES);
    for (int i = 0; i < 3; i++)
        add(&history, lwm2m_integer(i), 1000, 10);
    add(&history, lwm2m_integer(3), 2000, 10);
    while (history_take(&history, &out, &taken)) {}
    for (int i = 0; i < 4; i++)
        assert_int_equal(memory[i].time_ms, i < 3 ? 1000 + i : 2000);
    history_free(&taken);
}

static void test_oldest_go_when_there_are_too_many(void **state) {
    (void)state;
    struct history history = {.first = NULL}, taken = {.first = NULL};
    struct lwm2m_node memory[NODES];
    struct lwm2m_nodes out = lwm2m_nodes_over(memory, NODES);
    for (int i = 0; i < 5; i++)
        add(&history, lwm2m_integer(i), 1000 * i, 2);
    assert_int_equal(history.count, 2);
    assert_true(history_take(&history, &out, &taken));
    assert_int_equal(memory[0].value.integer, 3);
    add(&history, lwm2m_integer(9), 9000, 0); /* hqmax of 0: nothing is kept */
    assert_int_equal(history.count, 1);
    history_free(&taken);
    history_free(&history);
}

static void test_oldest_go_when_they_take_too_much_memory(void **state) {
    (void)state;
    static uint8_t bytes[HISTORY_BYTES_MAX / 3];
    struct history history = {.first = NULL};
    for (int i = 0; i < 10; i++)
        add(&history, lwm2m_bytes(LWM2M_OPAQUE, slice_of(bytes, sizeof bytes)), 1000 * i, 100);
    assert_int_equal(history.count, 2);
    assert_true(history.bytes <= HISTORY_BYTES_MAX);
    history_free(&history);
    assert_true(history.count == 0 && history.bytes == 0);
}

static void test_what_does_not_fit_any_more_stays(void **state) {
    (void)state;
    struct history history = {.first = NULL}, taken = {.first = NULL};
    struct lwm2m_node memory[1];
    struct lwm2m_nodes out = lwm2m_nodes_over(memory, 1);
    add(&history, lwm2m_integer(1), 1000, 10);
    add(&history, lwm2m_integer(2), 2000, 10);
    assert_true(history_take(&history, &out, &taken));
    assert_false(history_take(&history, &out, &taken));
    assert_int_equal(history.count, 1);
    history_free(&taken);
    history_free(&history);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_NTF_05_taken_in_order_with_their_times),
        cmocka_unit_test(test_times_rise_within_a_millisecond),
        cmocka_unit_test(test_oldest_go_when_there_are_too_many),
        cmocka_unit_test(test_oldest_go_when_they_take_too_much_memory),
        cmocka_unit_test(test_what_does_not_fit_any_more_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
