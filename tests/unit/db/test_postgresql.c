#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "db/store.h"
#include "tests/unit/db/store_bench.h"

struct fixture {
    struct store_bench bench;
    size_t done, failed;
    enum store_result result; /* of the last write */
    uint64_t ids[16];         /* loaded */
    size_t count;
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

static void on_done(void *arg, enum store_result result) {
    struct fixture *f = arg;
    f->done++;
    f->result = result;
    f->failed += result != STORE_OK;
}

static void queue(struct fixture *f, uint64_t id) {
    char endpoint[32];
    snprintf(endpoint, sizeof endpoint, "dev%llu", (unsigned long long)id);
    const struct store_registration r = {
        .id = id, .endpoint = slice_str(endpoint), .location = slice_str("x"), .expires_at_ms = UINT64_MAX};
    assert_int_equal(store_put_registration(f->bench.store, &r, NULL, 0, on_done, f), STORE_OK);
}

static void on_timer(uv_timer_t *timer) {
    (void)timer;
}

/* Until everything queued has ended. Returns how many writes failed meanwhile. */
static size_t finish(struct fixture *f) {
    uv_timer_t alive; /* the store's own handles do not keep the loop alive */
    size_t failed = f->failed, expected = f->done + store_counters(f->bench.store).queued_writes;
    uv_timer_init(&f->bench.loop, &alive);
    uv_timer_start(&alive, on_timer, 1000000, 1000000);
    while (f->done < expected)
        uv_run(&f->bench.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&alive, NULL);
    uv_run(&f->bench.loop, UV_RUN_NOWAIT);
    return f->failed - failed;
}

static size_t put(struct fixture *f, uint64_t id) {
    queue(f, id);
    return finish(f);
}

static void on_registration(void *arg, const struct store_registration *r) {
    struct fixture *f = arg;
    if (f->count < 16)
        f->ids[f->count++] = r->id;
}

static void on_resumption(void *arg, const struct store_resumption *resumption) {
    (void)arg;
    assert_true(slice_equal(resumption->sealed, slice_str("sealed")));
}

static bool load(struct fixture *f) {
    f->count = 0;
    return store_load_registrations(f->bench.store, on_registration, NULL, f, f->bench.error, sizeof f->bench.error);
}

static void assert_loaded(struct fixture *f, size_t count) {
    if (!load(f))
        fail_msg("%s", f->bench.error);
    assert_int_equal(f->count, count);
}

/* As another server would. */
static struct store *open_another(struct fixture *f, const char *directory) {
    const struct store_options options = {.directory = directory, .database = store_bench_database()};
    f->bench.error[0] = '\0';
    return store_open(&f->bench.loop, &options, f->bench.error, sizeof f->bench.error);
}

static void remove_directory(const char *path) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

#define ALL_CONNECTIONS "FROM pg_stat_activity WHERE application_name = 'berth-server'"

static void test_a_connection_that_was_cut_is_made_anew_and_no_write_fails(void **state) {
    struct fixture *f = *state;
    assert_int_equal(put(f, 1), 0);
    for (uint64_t id = 2; id <= 5; id++) {
        assert_true(store_bench_sql("SELECT pg_terminate_backend(pid) " ALL_CONNECTIONS));
        assert_int_equal(put(f, id), 0);
    }
    assert_null(store_problem(f->bench.store));
    assert_loaded(f, 5);
}

static void test_what_is_looked_up_is_found_again_after_a_cut(void **state) {
    struct fixture *f = *state;
    struct store *store = f->bench.store;
    const struct store_resumption one = {slice_str("a"), 20, 7, slice_str("sealed")};
    assert_int_equal(store_put_resumption(store, &one, on_done, f), STORE_OK);
    assert_int_equal(finish(f), 0);
    assert_true(store_bench_sql("SELECT pg_terminate_backend(pid) " ALL_CONNECTIONS));
    /* The first one finds the connection broken; the writer makes another after its next transaction. */
    for (uint64_t id = 1; !store_find_resumption(store, slice_str("a"), on_resumption, f); id++) {
        assert_true(id < 1000);
        assert_int_equal(put(f, id), 0);
    }
}

static void test_another_failure_is_told_and_undoes_the_whole_transaction(void **state) {
    struct fixture *f = *state;
    assert_int_equal(put(f, 1), 0);
    assert_true(store_bench_sql("ALTER TABLE setting ADD CONSTRAINT no CHECK (length(name) > 3)"));
    queue(f, 2);
    store_put_setting(f->bench.store, "a", slice_str("b"), on_done, f);
    queue(f, 3);
    assert_int_equal(finish(f), 3);
    assert_non_null(strstr(store_problem(f->bench.store), "check constraint"));
    assert_int_equal(put(f, 4), 0);
    assert_null(store_problem(f->bench.store));
    assert_loaded(f, 2);
    assert_int_equal(f->ids[1], 4);
}

static void test_a_transaction_larger_than_any_buffer_is_committed_whole(void **state) {
    struct fixture *f = *state;
    for (uint64_t id = 1; id <= 20000; id++)
        queue(f, id);
    assert_int_equal(finish(f), 0);
    assert_in_range(store_counters(f->bench.store).transactions, 1, 200);
    assert_true(load(f));
    store_bench_close(&f->bench);
    store_bench_open(&f->bench);
    assert_true(store_bench_sql("DO \\$\\$ BEGIN ASSERT (SELECT count(*) FROM registration) = 20000; END \\$\\$"));
}

static void test_a_database_that_does_not_answer_fails_writes_until_it_does(void **state) {
    struct fixture *f = *state;
    assert_int_equal(put(f, 1), 0);
    assert_int_equal(system("psql -X -q -d \"$BERTH_TEST_DATABASE\" -c 'BEGIN; LOCK TABLE registration; SELECT"
                            " pg_sleep(8); COMMIT' >/dev/null & while ! psql -X -q -A -t -d \"$BERTH_TEST_DATABASE\""
                            " -c \"SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'\" | grep -q 1; do"
                            " sleep 0.05; done"),
                     0);
    assert_int_equal(put(f, 2), 1);
    assert_int_equal(f->result, STORE_UNKNOWN);
    assert_string_equal(store_problem(f->bench.store), "the database does not answer");
    assert_int_equal(put(f, 2), 1); /* which was not even sent */
    assert_int_equal(f->result, STORE_IO);
    uint64_t id = 3;
    while (put(f, id) != 0) {
        assert_true(id++ < 100000000);
        uv_sleep(20);
    }
    assert_null(store_problem(f->bench.store));
    assert_loaded(f, 2); /* the one that failed is not there */
    assert_int_equal(f->ids[1], id);
}

static void test_a_second_server_is_refused_and_the_first_goes_on(void **state) {
    struct fixture *f = *state;
    char directory[] = "/tmp/test_store.XXXXXX";
    assert_non_null(mkdtemp(directory));
    assert_null(open_another(f, directory));
    assert_non_null(strstr(f->bench.error, "another server uses it"));
    assert_int_equal(put(f, 1), 0);
    remove_directory(directory);
}

static void test_a_server_from_which_the_database_was_taken_writes_no_more(void **state) {
    struct fixture *f = *state;
    assert_int_equal(put(f, 1), 0);
    assert_true(store_bench_sql("UPDATE writer SET holder = holder + 1, connection = connection + 1"));
    assert_int_equal(put(f, 2), 1);
    assert_non_null(strstr(store_problem(f->bench.store), "taken"));
    assert_true(store_bench_sql("SELECT pg_terminate_backend(pid) " ALL_CONNECTIONS));
    assert_int_equal(put(f, 3), 1);
    assert_int_equal(put(f, 4), 1);
    assert_non_null(strstr(store_problem(f->bench.store), "taken"));
    store_bench_close(&f->bench);
    store_bench_open(&f->bench);
    assert_int_equal(put(f, 5), 0);
    assert_loaded(f, 2);
}

static void test_rows_that_make_no_sense_fail_the_loading(void **state) {
    struct fixture *f = *state;
    assert_int_equal(put(f, 1), 0);
    assert_true(store_bench_sql("UPDATE registration SET flags = -1"));
    assert_false(load(f));
    assert_non_null(strstr(f->bench.error, "a registration makes no sense"));
    assert_true(store_bench_sql("UPDATE registration SET flags = 0; DELETE FROM lease"));
    assert_false(load(f));
    assert_int_equal(put(f, 1), 0); /* the connection goes on */
    assert_loaded(f, 1);
}

static void test_a_newer_database_is_refused(void **state) {
    struct fixture *f = *state;
    char directory[] = "/tmp/test_store.XXXXXX";
    assert_non_null(mkdtemp(directory));
    assert_true(store_bench_sql("UPDATE berth_schema SET version = version + 1 WHERE part = 'postgresql'"));
    assert_null(open_another(f, directory));
    assert_non_null(strstr(f->bench.error, "newer version of Berth"));
    assert_true(store_bench_sql("UPDATE berth_schema SET version = version - 1 WHERE part = 'postgresql'"));
    remove_directory(directory);
}

/* ---- without a database ---- */

static void test_what_is_no_uri_of_postgresql_is_told(void **state) {
    (void)state;
    char problem[200];
    assert_false(store_check_uri("mysql://localhost/berth", problem, sizeof problem));
    assert_false(store_check_uri("postgresql", problem, sizeof problem));
    assert_false(store_check_uri("postgresql://me:secret@host/name?no-such=option", problem, sizeof problem));
    assert_null(strstr(problem, "secret"));
}

static void test_a_database_that_is_not_there_is_told_without_its_password(void **state) {
    (void)state;
    char directory[] = "/tmp/test_store.XXXXXX", error[512];
    uv_loop_t loop;
    const struct store_options options = {.directory = directory,
                                          .database = "postgresql://me:secret@/name?host=/nonexistent"};
    assert_non_null(mkdtemp(directory));
    uv_loop_init(&loop);
    assert_null(store_open(&loop, &options, error, sizeof error));
    assert_non_null(strstr(error, "--database"));
    assert_null(strstr(error, "secret"));
    assert_null(strchr(error, '\n'));
    assert_int_equal(uv_loop_close(&loop), 0);
    remove_directory(directory);
}

int main(void) {
#define STORE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest with_database[] = {
        STORE_TEST(test_a_connection_that_was_cut_is_made_anew_and_no_write_fails),
        STORE_TEST(test_what_is_looked_up_is_found_again_after_a_cut),
        STORE_TEST(test_another_failure_is_told_and_undoes_the_whole_transaction),
        STORE_TEST(test_a_transaction_larger_than_any_buffer_is_committed_whole),
        STORE_TEST(test_a_database_that_does_not_answer_fails_writes_until_it_does),
        STORE_TEST(test_a_second_server_is_refused_and_the_first_goes_on),
        STORE_TEST(test_a_server_from_which_the_database_was_taken_writes_no_more),
        STORE_TEST(test_rows_that_make_no_sense_fail_the_loading),
        STORE_TEST(test_a_newer_database_is_refused),
    };
    const struct CMUnitTest without[] = {
        cmocka_unit_test(test_what_is_no_uri_of_postgresql_is_told),
        cmocka_unit_test(test_a_database_that_is_not_there_is_told_without_its_password),
    };
    return store_bench_database() != NULL ? cmocka_run_group_tests(with_database, NULL, NULL)
                                          : cmocka_run_group_tests(without, NULL, NULL);
}
