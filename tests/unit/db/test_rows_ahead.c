#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "db/rows_ahead.h"

struct seen {
    int64_t rows, unsound;
    int64_t far, near; /* rows that were told of, until the last one */
};

static size_t length_of(int64_t i) {
    return i % 1000 == 999 ? 200000 : (size_t)(i % 700);
}

/* Numbers from 1 on, each with so many bytes that batches end by their rows and by their bytes, and a NULL. */
struct numbers {
    struct rows_source rows;
    int64_t at, end, failing;
    uint8_t bytes[200000];
};

static enum rows_step next_number(struct rows_source *rows, struct value *values) {
    struct numbers *numbers = (struct numbers *)rows;
    int64_t i = ++numbers->at;
    assert_true(i <= numbers->end + 1); /* nobody asks on */
    if (i == numbers->failing)
        return ROWS_FAILED;
    if (i > numbers->end)
        return ROWS_END;
    memset(numbers->bytes, (int)(i & 0xff), length_of(i)); /* those of the row before are gone */
    values[0] = (struct value){.kind = VALUE_NUMBER, .number = i};
    values[1] = (struct value){.kind = VALUE_BLOB, .bytes = slice_of(numbers->bytes, length_of(i))};
    values[2] = (struct value){.kind = VALUE_NULL};
    rows->columns = 3;
    return ROWS_ROW;
}

static bool take(const struct value *row, void *arg) {
    struct seen *seen = arg;
    int64_t i = ++seen->rows;
    assert_int_equal(row[0].kind, VALUE_NUMBER);
    assert_int_equal(row[0].number, i);
    assert_int_equal(row[2].kind, VALUE_NULL);
    assert_int_equal(row[1].bytes.len, length_of(i));
    for (size_t at = 0; at < row[1].bytes.len; at++)
        if (row[1].bytes.data[at] != (i & 0xff))
            fail_msg("a row has bytes of another one");
    return i != seen->unsound;
}

/* Only ever of rows that are still to come. */
static void expect(const struct value *row, bool is_near, void *arg) {
    struct seen *seen = arg;
    int64_t *last = is_near ? &seen->near : &seen->far;
    assert_true(row[0].number > seen->rows && row[0].number > *last);
    assert_int_equal(row[1].bytes.len, length_of(row[0].number));
    assert_true(row[1].bytes.len == 0 || row[1].bytes.data[row[1].bytes.len - 1] == (row[0].number & 0xff));
    *last = row[0].number;
}

static enum rows_step take_all(int64_t count, int64_t failing, struct seen *seen, bool *sound) {
    struct numbers *numbers = calloc(1, sizeof *numbers);
    bool is_short;
    assert_non_null(numbers);
    numbers->rows.next = next_number;
    numbers->end = count;
    numbers->failing = failing;
    enum rows_step last = rows_take_all(&numbers->rows, take, expect, seen, sound, &is_short);
    assert_false(is_short);
    free(numbers);
    return last;
}

static void test_every_row_comes_once_and_in_order_however_many(void **state) {
    static const int64_t counts[] = {0, 1, 511, 512, 513, 767, 768, 769, 1024, 5000};
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct seen seen = {0};
        bool sound = false;
        assert_int_equal(take_all(counts[i], 0, &seen, &sound), ROWS_END);
        assert_true(sound);
        assert_int_equal(seen.rows, counts[i]);
        bool is_long = counts[i] == 5000;
        assert_int_equal(seen.far > 4900, is_long);
        assert_int_equal(seen.near > 4900, is_long);
    }
}

static void test_nothing_is_taken_after_a_row_that_makes_no_sense(void **state) {
    static const int64_t at[] = {1, 512, 513, 768, 2000, 5000};
    (void)state;
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        struct seen seen = {.unsound = at[i]};
        bool sound = true;
        take_all(5000, 0, &seen, &sound);
        assert_false(sound);
        assert_int_equal(seen.rows, at[i]);
    }
}

static void test_an_error_comes_after_the_rows_before_it(void **state) {
    static const int at[] = {1, 512, 513, 1500};
    (void)state;
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        struct seen seen = {0};
        bool sound = false;
        assert_int_equal(take_all(5000, at[i], &seen, &sound), ROWS_FAILED);
        assert_true(sound);
        assert_int_equal(seen.rows, at[i] - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_comes_once_and_in_order_however_many),
        cmocka_unit_test(test_nothing_is_taken_after_a_row_that_makes_no_sense),
        cmocka_unit_test(test_an_error_comes_after_the_rows_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
