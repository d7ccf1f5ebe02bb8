/* Credentials in the store: whole sets of an endpoint and mode are put and come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "db/store.h"

struct fixture {
    char directory[64], error[512], text[400];
    uv_loop_t loop;
    struct store *store;
    size_t done;
};

static void open_store(struct fixture *f) {
    f->store = store_open(&f->loop, &(struct store_options){.directory = f->directory}, f->error, sizeof f->error);
    if (f->store == NULL)
        fail_msg("%s", f->error);
}

static void close_store(struct fixture *f) {
    store_close(f->store);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

static int set_up(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    strcpy(f.directory, "/tmp/test_store_credentials.XXXXXX");
    if (mkdtemp(f.directory) == NULL)
        return -1;
    uv_loop_init(&f.loop);
    open_store(&f);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    char command[128];
    close_store(f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    snprintf(command, sizeof command, "rm -rf '%s'", f->directory);
    return uv_loop_close(&f->loop) != 0 || system(command) != 0;
}

static void on_done(void *arg, enum store_result result) {
    struct fixture *f = arg;
    f->done += result == STORE_OK;
}

static void put(struct fixture *f, const char *endpoint, const struct store_credential *all, size_t count) {
    assert_int_equal(store_put_credentials(f->store, slice_str(endpoint), all, count, on_done, f), STORE_OK);
}

static void on_credential(void *arg, const struct store_credential *c) {
    struct fixture *f = arg;
    size_t len = strlen(f->text);
    snprintf(f->text + len, sizeof f->text - len, "%.*s %u %u %.*s\n", (int)c->endpoint.len,
             (const char *)c->endpoint.data, c->mode, c->services, (int)c->sealed.len, (const char *)c->sealed.data);
}

/* What is there after a restart: "endpoint mode services sealed" and a line feed for each. */
static void expect(struct fixture *f, const char *expected) {
    close_store(f);
    open_store(f);
    f->text[0] = '\0';
    assert_true(store_load_credentials(f->store, on_credential, f, f->error, sizeof f->error));
    assert_string_equal(f->text, expected);
}

static const struct store_credential two[] = {{.mode = 1, .services = 1, .sealed = {(const uint8_t *)"manage", 6}},
                                              {.mode = 1, .services = 2, .sealed = {(const uint8_t *)"boot", 4}}};

static void test_a_set_comes_back(void **state) {
    struct fixture *f = *state;
    put(f, "dev2", two, 2);
    put(f, "dev1", two + 1, 1);
    expect(f, "dev1 1 2 boot\ndev2 1 1 manage\ndev2 1 2 boot\n");
    assert_int_equal(f->done, 2);
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
    close_store(f);
    sqlite3 *connection;
    sqlite3_stmt *row;
    char path[128];
    snprintf(path, sizeof path, "%s/berth.db", f->directory);
    assert_int_equal(sqlite3_open(path, &connection), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(connection, "SELECT sealed FROM credential", -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_int_equal(sqlite3_column_bytes(row, 0), sizeof bytes);
    assert_memory_equal(sqlite3_column_blob(row, 0), bytes, sizeof bytes);
    sqlite3_finalize(row);
    sqlite3_close(connection);
    open_store(f);
}

static void test_a_credential_that_makes_no_sense_fails_the_loading(void **state) {
    struct fixture *f = *state;
    static const char *const faults[] = {"UPDATE credential SET mode = -1",
                                         "UPDATE credential SET services = 4294967296",
                                         "UPDATE credential SET endpoint = ''"};
    char path[128];
    snprintf(path, sizeof path, "%s/berth.db", f->directory);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        sqlite3 *connection;
        put(f, "dev1", two, 1);
        close_store(f);
        assert_int_equal(sqlite3_open(path, &connection), SQLITE_OK);
        assert_int_equal(sqlite3_exec(connection, faults[i], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(connection);
        open_store(f);
        f->text[0] = '\0';
        assert_false(store_load_credentials(f->store, on_credential, f, f->error, sizeof f->error));
        assert_non_null(strstr(f->error, "damaged"));
        assert_string_equal(f->text, "");
        close_store(f);
        assert_int_equal(sqlite3_open(path, &connection), SQLITE_OK);
        assert_int_equal(sqlite3_exec(connection, "DELETE FROM credential", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(connection);
        open_store(f);
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
        assert_int_equal(store_put_oscore_context(f->store, &all[i], NULL, NULL), STORE_OK);
    close_store(f);
    open_store(f);
    assert_true(store_load_oscore_contexts(f->store, on_oscore_context, f, f->error, sizeof f->error));
    assert_string_equal(f->text, "aaaaaaaaaaaaaaaa 'nonces' 2048 7\nbbbbbbbbbbbbbbbb '' 1099511627776 0\n");
}

int main(void) {
#define STORE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_a_set_comes_back),
        STORE_TEST(test_a_set_takes_the_place_of_the_one_before),
        STORE_TEST(test_an_empty_set_deletes),
        STORE_TEST(test_any_bytes_can_be_sealed_ones),
        STORE_TEST(test_a_credential_that_makes_no_sense_fails_the_loading),
        STORE_TEST(test_OSC_12_limits_of_numbers_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
