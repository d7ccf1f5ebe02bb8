#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "db/sqlite_rows.h"

/* Numbers from 1 on, each with so many bytes that batches end by their rows and by their bytes, and a NULL. */
static const char rows[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
                           " SELECT i, CAST(printf('%%.*c', len, 'a' + i) AS BLOB), NULL, %s FROM"
                           " (SELECT i, CASE WHEN i %% 1000 = 999 THEN 200000 ELSE i %% 700 END AS len FROM n)";

struct seen {
    int64_t rows, unsound;
    int64_t far, near; /* rows that were told of, until the last one */
};

static size_t length_of(int64_t i) {
    return i % 1000 == 999 ? 200000 : (size_t)(i % 700);
}

static bool take(const struct value *row, void *arg) {
    struct seen *seen = arg;
    int64_t i = ++seen->rows;
    assert_int_equal(row[0].kind, VALUE_NUMBER);
    assert_int_equal(row[0].number, i);
    assert_int_equal(row[2].kind, VALUE_NULL);
    /* printf of SQLite writes a character at least */
    assert_int_equal(row[1].bytes.len, length_of(i) == 0 ? 1 : length_of(i));
    for (size_t at = 0; at < row[1].bytes.len; at++)
        if (row[1].bytes.data[at] != row[1].bytes.data[0])
            fail_msg("a row has bytes of another one");
    return i != seen->unsound;
}

/* Only ever of rows that are still to come. */
static void expect(const struct value *row, bool is_near, void *arg) {
    struct seen *seen = arg;
    int64_t *last = is_near ? &seen->near : &seen->far;
    assert_true(row[0].number > seen->rows && row[0].number > *last);
    assert_int_equal(row[1].bytes.len, length_of(row[0].number) == 0 ? 1 : length_of(row[0].number));
    assert_int_equal(row[1].bytes.data[0], row[1].bytes.data[row[1].bytes.len - 1]);
    *last = row[0].number;
}

static int take_all(int64_t count, const char *column, struct seen *seen, bool *sound) {
    sqlite3 *db;
    sqlite3_stmt *row;
    char text[600];
    snprintf(text, sizeof text, rows, column);
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &row, NULL), SQLITE_OK);
    sqlite3_bind_int64(row, 1, count);
    int result = sqlite_rows_take_all(row, take, expect, seen, sound);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return result;
}

static void test_every_row_comes_once_and_in_order_however_many(void **state) {
    static const int64_t counts[] = {1, 511, 512, 513, 767, 768, 769, 1024, 5000};
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct seen seen = {0};
        bool sound = false;
        assert_int_equal(take_all(counts[i], "0", &seen, &sound), SQLITE_DONE);
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
        take_all(5000, "0", &seen, &sound);
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
        char overflow[80];
        snprintf(overflow, sizeof overflow, "CASE WHEN i = %d THEN abs(-9223372036854775807 - 1) ELSE 0 END", at[i]);
        assert_int_equal(take_all(5000, overflow, &seen, &sound), SQLITE_ERROR);
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
