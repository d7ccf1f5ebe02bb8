/* Credentials in the store: whole sets of an endpoint and mode are put and come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/db/store_bench.h"

struct fixture {
    struct store_bench bench;
    char text[400];
};

static int set_up(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    *state = &f;
    return store_bench_start(&f.bench);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    return store_bench_stop(&f->bench);
}

static void put(struct fixture *f, const char *endpoint, const struct store_credential *all, size_t count) {
    assert_int_equal(
        store_put_credentials(f->bench.store, slice_str(endpoint), all, count, store_bench_count, &f->bench), STORE_OK);
}

static void on_credential(void *arg, const struct store_credential *c) {
    struct fixture *f = arg;
    size_t len = strlen(f->text);
    snprintf(f->text + len, sizeof f->text - len, "%.*s %u %u %.*s\n", (int)c->endpoint.len,
             (const char *)c->endpoint.data, c->mode, c->services, (int)c->sealed.len, (const char *)c->sealed.data);
}

/* What is there after a restart: "endpoint mode services sealed" and a line feed for each. */
static void expect(struct fixture *f, const char *expected) {
    store_bench_close(&f->bench);
    store_bench_open(&f->bench);
    f->text[0] = '\0';
    assert_true(store_load_credentials(f->bench.store, on_credential, f, f->bench.error, sizeof f->bench.error));
    assert_string_equal(f->text, expected);
}

static const struct store_credential two[] = {{.mode = 1, .services = 1, .sealed = {(const uint8_t *)"manage", 6}},
                                              {.mode = 1, .services = 2, .sealed = {(const uint8_t *)"boot", 4}}};

static void test_a_set_comes_back(void **state) {
    struct fixture *f = *state;
    put(f, "dev2", two, 2);
    put(f, "dev1", two + 1, 1);
    expect(f, "dev1 1 2 boot\ndev2 1 1 manage\ndev2 1 2 boot\n");
    assert_int_equal(f->bench.done, 2);
}

static void test_a_set_takes_the_place_of_the_one_before(void **state) {
    struct fixture *f = *state;
    const struct store_credential both = {.mode = 2, .services = 3, .sealed = slice_str("both")};
    put(f, "dev1", two, 2);
    put(f, "dev2", two, 1);
    put(f, "dev1", &both, 1);
    expect(f, "dev1 2 3 both\ndev2 1 1 manage\n");
}

static void test_an_empty_set_deletes(void **state) {
    struct fixture *f = *state;
    put(f, "dev1", two, 2);
    put(f, "dev2", two, 1);
    put(f, "dev1", NULL, 0);
    put(f, "dev3", NULL, 0);
    expect(f, "dev2 1 1 manage\n");
}

static void test_any_bytes_can_be_sealed_ones(void **state) {
    struct fixture *f = *state;
    static uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    const struct store_credential all = {.services = 3, .sealed = slice_of(bytes, sizeof bytes)};
    put(f, "dev1", &all, 1);
    store_bench_close(&f->bench);
    sqlite3 *connection;
    sqlite3_stmt *row;
    char path[128];
    snprintf(path, sizeof path, "%s/berth.db", f->bench.directory);
    assert_int_equal(sqlite3_open(path, &connection), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(connection, "SELECT sealed FROM credential", -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_int_equal(sqlite3_column_bytes(row, 0), sizeof bytes);
    assert_memory_equal(sqlite3_column_blob(row, 0), bytes, sizeof bytes);
    sqlite3_finalize(row);
    sqlite3_close(connection);
    store_bench_open(&f->bench);
}

static void test_a_credential_that_makes_no_sense_fails_the_loading(void **state) {
    struct fixture *f = *state;
    static const char *const faults[] = {"UPDATE credential SET mode = -1",
                                         "UPDATE credential SET services = 4294967296",
                                         "UPDATE credential SET endpoint = ''"};
    char path[128];
    snprintf(path, sizeof path, "%s/berth.db", f->bench.directory);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        sqlite3 *connection;
        put(f, "dev1", two, 1);
        store_bench_close(&f->bench);
        assert_int_equal(sqlite3_open(path, &connection), SQLITE_OK);
        assert_int_equal(sqlite3_exec(connection, faults[i], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(connection);
        store_bench_open(&f->bench);
        f->text[0] = '\0';
        assert_false(store_load_credentials(f->bench.store, on_credential, f, f->bench.error, sizeof f->bench.error));
        assert_non_null(strstr(f->bench.error, "damaged"));
        assert_string_equal(f->text, "");
        store_bench_close(&f->bench);
        assert_int_equal(sqlite3_open(path, &connection), SQLITE_OK);
        assert_int_equal(sqlite3_exec(connection, "DELETE FROM credential", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(connection);
        store_bench_open(&f->bench);
    }
}

static void on_oscore_context(void *arg, const struct store_oscore_context *c) {
    struct fixture *f = arg;
    size_t len = strlen(f->text);
    snprintf(f->text + len, sizeof f->text - len, "%.*s '%.*s' %llu %llu\n", (int)c->digest.len,
             (const char *)c->digest.data, (int)c->id_context.len, (const char *)c->id_context.data,
             (unsigned long long)c->static_limit, (unsigned long long)c->number_limit);
}

static void test_OSC_12_limits_of_numbers_come_back(void **state) {
    struct fixture *f = *state;
    const struct store_oscore_context all[] = {
        {.digest = slice_str("aaaaaaaaaaaaaaaa"), .static_limit = 1024},
        {.digest = slice_str("bbbbbbbbbbbbbbbb"), .static_limit = (uint64_t)1 << 40},
        {.digest = slice_str("aaaaaaaaaaaaaaaa"),
         .id_context = slice_str("nonces"),
         .static_limit = 2048,
         .number_limit = 7}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(store_put_oscore_context(f->bench.store, &all[i], NULL, NULL), STORE_OK);
    store_bench_close(&f->bench);
    store_bench_open(&f->bench);
    assert_true(
        store_load_oscore_contexts(f->bench.store, on_oscore_context, f, f->bench.error, sizeof f->bench.error));
    assert_string_equal(f->text, "aaaaaaaaaaaaaaaa 'nonces' 2048 7\nbbbbbbbbbbbbbbbb '' 1099511627776 0\n");
}

int main(void) {
#define STORE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_a_set_comes_back),
        STORE_TEST(test_a_set_takes_the_place_of_the_one_before),
        STORE_TEST(test_an_empty_set_deletes),
        STORE_TEST(test_OSC_12_limits_of_numbers_come_back),
    };
    const struct CMUnitTest of_files[] = {
        STORE_TEST(test_any_bytes_can_be_sealed_ones),
        STORE_TEST(test_a_credential_that_makes_no_sense_fails_the_loading),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return store_bench_database() != NULL ? failed : failed + cmocka_run_group_tests(of_files, NULL, NULL);
}
