/* DTLS sessions and what resumes them, in the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/db/store_bench.h"

struct fixture {
    struct store_bench bench;
    char text[600];
    size_t count;
    struct store_session_state state;
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

static struct store_session session_of(uint64_t id) {
    return (struct store_session){.state = {.id = id,
                                            .number_limit = 1024,
                                            .window_top = 7,
                                            .window_bits = UINT64_MAX,
                                            .used_ms = 1780000000000,
                                            .peer = {.family = ADDRESS_IPV4, .port = 5683, .ip = {192, 0, 2, 1}}},
                                  .listener = 1,
                                  .flags = 1,
                                  .local = slice_str("local"),
                                  .sealed = slice_str("sealed\1")};
}

static void put(struct fixture *f, uint64_t id) {
    struct store_session session = session_of(id);
    assert_int_equal(store_put_session(f->bench.store, &session, NULL, NULL), STORE_OK);
}

static void on_session(void *arg, const struct store_session *session) {
    struct fixture *f = arg;
    f->count++;
    f->state = session->state;
    assert_true(slice_is(session->local, "local") && slice_is(session->sealed, "sealed\1"));
    assert_int_equal(session->listener, 1);
    assert_int_equal(session->flags, 1);
}

/* How many there are after a restart; `state` is that of the last one. */
static size_t load(struct fixture *f) {
    store_bench_close(&f->bench);
    store_bench_open(&f->bench);
    f->count = 0;
    assert_true(store_load_sessions(f->bench.store, on_session, f, f->bench.error, sizeof f->bench.error));
    return f->count;
}

static void test_CID_15_a_session_comes_back_byte_for_byte(void **state) {
    struct fixture *f = *state;
    struct store_session session = session_of(UINT64_MAX - 5); /* ids are all of 64 bits */
    put(f, UINT64_MAX - 5);
    assert_int_equal(load(f), 1);
    assert_memory_equal(&f->state, &session.state, sizeof f->state);
}

static void test_CID_15_a_refresh_moves_the_window_and_never_takes_numbers_back(void **state) {
    struct fixture *f = *state;
    struct store_session_state next = session_of(3).state;
    put(f, 3);
    next.number_limit = 2048;
    next.window_top = 9;
    next.window_bits = 5;
    next.peer.port = 7000;
    next.used_ms++;
    assert_int_equal(store_refresh_sessions(f->bench.store, &next, 1, NULL, NULL), STORE_OK);
    assert_int_equal(load(f), 1);
    assert_memory_equal(&f->state, &next, sizeof next);
    next.number_limit = 1500;
    next.window_top = 10;
    assert_int_equal(store_refresh_sessions(f->bench.store, &next, 1, NULL, NULL), STORE_OK);
    assert_int_equal(load(f), 1);
    assert_int_equal(f->state.number_limit, 2048);
    assert_int_equal(f->state.window_top, 10);
}

static void test_a_refresh_of_a_deleted_session_is_passed_over(void **state) {
    struct fixture *f = *state;
    const uint64_t ids[] = {3, 99};
    struct store_session_state next = session_of(3).state;
    put(f, 3);
    put(f, 4);
    assert_int_equal(store_delete_sessions(f->bench.store, ids, 2, NULL, NULL), STORE_OK);
    assert_int_equal(store_refresh_sessions(f->bench.store, &next, 1, NULL, NULL), STORE_OK);
    assert_int_equal(load(f), 1);
    assert_int_equal(f->state.id, 4);
}

/* As replay windows are: the window of a message, ahead of the message's effect. */
struct ahead {
    struct fixture *f;
    size_t calls;
    bool refuses;
};

static bool move_window(void *arg) {
    struct ahead *ahead = arg;
    struct store_session_state next = session_of(3).state;
    next.window_top = 100 + ahead->calls++;
    return !ahead->refuses && store_refresh_sessions(ahead->f->bench.store, &next, 1, NULL, NULL) == STORE_OK;
}

static void on_committed(void *arg, enum store_result result) {
    assert_int_equal(result, STORE_OK);
    *(bool *)arg = true;
}

static void on_time_out(uv_timer_t *timer) {
    (void)timer;
    fail_msg("nothing is committed");
}

static void test_CID_15_a_window_is_committed_with_its_effect(void **state) {
    struct fixture *f = *state;
    struct ahead ahead = {.f = f};
    const uint64_t ids[] = {77};
    bool committed = false;
    uv_timer_t alive; /* the store's handles do not keep the loop alive */
    uv_timer_init(&f->bench.loop, &alive);
    uv_timer_start(&alive, on_time_out, 60000, 0);
    put(f, 3);
    load(f);
    store_set_before(f->bench.store, move_window, &ahead);
    uint64_t before = store_counters(f->bench.store).transactions;
    assert_int_equal(store_delete_observations(f->bench.store, ids, 1, on_committed, &committed), STORE_OK);
    assert_int_equal(ahead.calls, 1);
    assert_int_equal(store_counters(f->bench.store).queued_writes, 2);
    while (!committed)
        uv_run(&f->bench.loop, UV_RUN_ONCE);
    assert_int_equal(store_counters(f->bench.store).transactions, before + 1);
    uv_close((uv_handle_t *)&alive, NULL);
    uv_run(&f->bench.loop, UV_RUN_NOWAIT);
    store_set_before(f->bench.store, NULL, NULL);
    assert_int_equal(load(f), 1);
    assert_int_equal(f->state.window_top, 100);
}

static void test_CID_15_no_effect_without_its_window(void **state) {
    struct fixture *f = *state;
    struct ahead ahead = {.f = f, .refuses = true};
    const uint64_t ids[] = {77};
    store_set_before(f->bench.store, move_window, &ahead);
    assert_int_equal(store_delete_observations(f->bench.store, ids, 1, NULL, NULL), STORE_QUEUE_FULL);
    assert_int_equal(store_put_setting(f->bench.store, "name", slice_str("value"), NULL, NULL), STORE_QUEUE_FULL);
    assert_int_equal(ahead.calls, 2);
    assert_int_equal(store_counters(f->bench.store).queued_writes, 0);
    store_set_before(f->bench.store, NULL, NULL);
}

static void on_resumption(void *arg, const struct store_resumption *r) {
    struct fixture *f = arg;
    size_t len = strlen(f->text);
    snprintf(f->text + len, sizeof f->text - len, "%.*s %llu %llx %.*s\n", (int)r->session_id.len,
             (const char *)r->session_id.data, (unsigned long long)r->expires_ms, (unsigned long long)r->identity,
             (int)r->sealed.len, (const char *)r->sealed.data);
}

static void test_SEC_17_what_resumes_a_session_comes_back_in_the_order_of_expiry(void **state) {
    struct fixture *f = *state;
    const struct store_resumption all[] = {
        {{(const uint8_t *)"b", 1}, 30, UINT64_MAX, {(const uint8_t *)"late", sizeof "late" - 1}},
        {{(const uint8_t *)"a", 1}, 20, 1, {(const uint8_t *)"early", sizeof "early" - 1}},
        {{(const uint8_t *)"c", 1}, 25, 2, {(const uint8_t *)"gone", sizeof "gone" - 1}},
        {{(const uint8_t *)"a", 1}, 40, 3, {(const uint8_t *)"again", sizeof "again" - 1}}};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(store_put_resumption(f->bench.store, &all[i], NULL, NULL), STORE_OK);
    assert_int_equal(store_delete_resumption(f->bench.store, slice_str("c"), NULL, NULL), STORE_OK);
    assert_int_equal(store_delete_resumption(f->bench.store, slice_str("none"), NULL, NULL), STORE_OK);
    store_bench_close(&f->bench);
    store_bench_open(&f->bench);
    assert_true(store_load_resumptions(f->bench.store, on_resumption, f, f->bench.error, sizeof f->bench.error));
    assert_string_equal(f->text, "b 30 ffffffffffffffff \na 40 3 \n");
}

static void test_SEC_17_what_resumes_a_session_is_found_once_it_is_committed(void **state) {
    struct fixture *f = *state;
    const struct store_resumption one = {slice_str("a"), 20, 7, slice_str("sealed")};
    assert_false(store_find_resumption(f->bench.store, slice_str("a"), on_resumption, f));
    assert_int_equal(store_put_resumption(f->bench.store, &one, NULL, NULL), STORE_OK);
    store_bench_close(&f->bench);
    store_bench_open(&f->bench);
    assert_true(store_find_resumption(f->bench.store, slice_str("a"), on_resumption, f));
    assert_string_equal(f->text, "a 20 7 sealed\n");
    assert_false(store_find_resumption(f->bench.store, slice_str("b"), on_resumption, f));
    assert_int_equal(store_delete_resumption(f->bench.store, slice_str("a"), NULL, NULL), STORE_OK);
    store_bench_close(&f->bench);
    store_bench_open(&f->bench);
    assert_false(store_find_resumption(f->bench.store, slice_str("a"), on_resumption, f));
    assert_string_equal(f->text, "a 20 7 sealed\n");
}

int main(void) {
#define STORE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_CID_15_a_session_comes_back_byte_for_byte),
        STORE_TEST(test_CID_15_a_refresh_moves_the_window_and_never_takes_numbers_back),
        STORE_TEST(test_a_refresh_of_a_deleted_session_is_passed_over),
        STORE_TEST(test_CID_15_a_window_is_committed_with_its_effect),
        STORE_TEST(test_CID_15_no_effect_without_its_window),
        STORE_TEST(test_SEC_17_what_resumes_a_session_comes_back_in_the_order_of_expiry),
        STORE_TEST(test_SEC_17_what_resumes_a_session_is_found_once_it_is_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
