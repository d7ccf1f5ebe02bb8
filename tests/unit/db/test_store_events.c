/* Rows of events in the store: put, replaced, forgotten from the oldest on, and read back in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/db/store_bench.h"

static void on_events(void *arg, const struct store_events *events) {
    struct store_bench *f = arg;
    buffer_printf(&f->seen, "%" PRIu64 "-%" PRIu64 " ", events->first_id, events->last_id);
    buffer_put_slice(&f->seen, events->bytes);
    buffer_put_str(&f->seen, "\n");
}

static void assert_stored(struct store_bench *f, const char *rows) {
    store_bench_restart(f);
    assert_true(store_load_events(f->store, on_events, f, f->error, sizeof f->error));
    assert_int_equal(f->seen.len, strlen(rows));
    assert_memory_equal(f->seen.data, rows, f->seen.len);
}

static void put(struct store_bench *f, uint64_t first_id, uint64_t last_id, uint64_t oldest_id, const char *bytes) {
    const struct store_events row = {first_id, last_id, oldest_id, slice_str(bytes)};
    assert_int_equal(store_put_events(f->store, &row, store_bench_count, f), STORE_OK);
}

static void test_rows_come_back_in_order(void **state) {
    struct store_bench *f = *state;
    put(f, 1ull << 40, (1ull << 40) + 9, 0, "late");
    put(f, 1, 4, 0, "one to four");
    put(f, 5, 5, 0, "five");
    assert_stored(f, "1-4 one to four\n5-5 five\n1099511627776-1099511627785 late\n");
    assert_int_equal(f->done, 3);
}

static void test_a_row_that_is_put_again_is_replaced(void **state) {
    struct store_bench *f = *state;
    put(f, 1, 4, 0, "one to four");
    put(f, 1, 6, 0, "one to six");
    assert_stored(f, "1-6 one to six\n");
}

static void test_what_ends_before_the_oldest_event_goes(void **state) {
    struct store_bench *f = *state;
    put(f, 1, 4, 0, "a");
    put(f, 5, 9, 0, "b");
    put(f, 10, 12, 9, "c");
    assert_stored(f, "5-9 b\n10-12 c\n");
    put(f, 0, 0, 13, "");
    assert_stored(f, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_come_back_in_order, store_bench_set_up, store_bench_tear_down),
        cmocka_unit_test_setup_teardown(test_a_row_that_is_put_again_is_replaced, store_bench_set_up,
                                        store_bench_tear_down),
        cmocka_unit_test_setup_teardown(test_what_ends_before_the_oldest_event_goes, store_bench_set_up,
                                        store_bench_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
