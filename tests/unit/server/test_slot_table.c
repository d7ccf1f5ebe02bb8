#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "server/slot_table.h"

static void insert(struct slot_table *table, uint32_t hash, uint32_t slot) {
    assert_true(slot_table_reserve(table, hash));
    slot_table_insert(table, hash, slot);
}

static bool contains(const struct slot_table *table, uint32_t hash, uint32_t slot) {
    struct slot_search search;
    uint32_t found = slot_search_first(&search, table, hash);
    while (found != SLOT_NONE && found != slot)
        found = slot_search_next(&search);
    return found == slot;
}

static void test_an_empty_table_finds_nothing(void **state) {
    (void)state;
    struct slot_table table = {.count = 0};
    assert_false(contains(&table, 0, 1));
    assert_false(contains(&table, UINT32_MAX, 1));
    slot_table_free(&table);
}

static void test_slots_with_the_same_hash_are_all_found(void **state) {
    (void)state;
    struct slot_table table = {.count = 0};
    for (uint32_t slot = 0; slot < 100; slot++)
        insert(&table, UINT32_MAX, slot); /* the last home of its shard: they go round the end */
    for (uint32_t slot = 0; slot < 100; slot++)
        assert_true(contains(&table, UINT32_MAX, slot));
    assert_false(contains(&table, UINT32_MAX, 100));
    assert_false(contains(&table, UINT32_MAX - 1, 5));
    slot_table_free(&table);
}

static void test_replace_puts_another_slot_in_the_place(void **state) {
    (void)state;
    struct slot_table table = {.count = 0};
    insert(&table, 7, 1);
    insert(&table, 7, 2);
    slot_table_replace(&table, 7, 1, 3);
    assert_false(contains(&table, 7, 1));
    assert_true(contains(&table, 7, 2));
    assert_true(contains(&table, 7, 3));
    assert_int_equal(table.count, 2);
    slot_table_free(&table);
}

/* Random inserts and removals with hashes that collide, crowd and go round the end of a shard. */
static void test_the_table_holds_what_was_put_in_and_not_taken_out(void **state) {
    (void)state;
    enum { SLOTS = 2000, STEPS = 60000 };
    static uint32_t hashes[SLOTS];
    static bool in[SLOTS];
    struct slot_table table = {.count = 0};
    size_t count = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        uint32_t shard = (uint32_t)random_below(3) * 127; /* 0, 127 and 254 */
        uint32_t place = random_below(2) == 0 ? (uint32_t)random_below(40) : 0xffffff - (uint32_t)random_below(40);
        hashes[i] = shard << 24 | (random_below(4) == 0 ? (uint32_t)random_below(1 << 24) : place);
        in[i] = false;
    }
    for (int step = 0; step < STEPS; step++) {
        uint32_t slot = (uint32_t)random_below(SLOTS);
        if (in[slot])
            slot_table_remove(&table, hashes[slot], slot);
        else
            insert(&table, hashes[slot], slot);
        in[slot] = !in[slot];
        count = in[slot] ? count + 1 : count - 1;
        if (step % 1000 != 0)
            continue;
        for (uint32_t i = 0; i < SLOTS; i++)
            assert_int_equal(contains(&table, hashes[i], i), in[i]);
        assert_int_equal(table.count, count);
    }
    slot_table_free(&table);
}

static void test_an_entry_costs_at_most_16_bytes_in_a_large_table(void **state) {
    (void)state;
    struct slot_table table = {.count = 0};
    for (uint32_t slot = 0; slot < 200000; slot++) {
        insert(&table, (uint32_t)random_u64(), slot);
        if (slot >= 20000)
            assert_true(table.capacity * sizeof(struct slot_entry) <= table.count * 16);
    }
    slot_table_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_table_finds_nothing),
        cmocka_unit_test(test_slots_with_the_same_hash_are_all_found),
        cmocka_unit_test(test_replace_puts_another_slot_in_the_place),
        cmocka_unit_test(test_the_table_holds_what_was_put_in_and_not_taken_out),
        cmocka_unit_test(test_an_entry_costs_at_most_16_bytes_in_a_large_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
