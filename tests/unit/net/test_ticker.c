/* The ticker fires timers from a libuv loop, and sleeps until they are due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/net/ticker.h"

struct fixture {
    uv_loop_t loop;
    struct clock clock;
    struct timer_wheel wheel;
    struct ticker ticker;
    struct timer timer;
    uint64_t fired_ms;
    size_t fired;
};

static int start(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    uv_loop_init(&f->loop);
    clock_init(&f->clock, 0);
    timer_wheel_init(&f->wheel, clock_now_ms(&f->clock), f);
    ticker_start(&f->ticker, &f->loop, &f->clock, &f->wheel);
    *state = f;
    return 0;
}

static int stop(void **state) {
    struct fixture *f = *state;
    ticker_close(&f->ticker);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static void on_timer(struct timer *timer, void *arg) {
    struct fixture *f = arg;
    (void)timer;
    f->fired++;
    f->fired_ms = clock_update(&f->clock);
}

static void on_never(uv_timer_t *timer) {
    (void)timer;
}

/* The handles of the ticker do not keep the loop alive; a timer of a day does. */
static void run_until_fired(struct fixture *f, size_t count) {
    uv_timer_t keep;
    uv_timer_init(&f->loop, &keep);
    uv_timer_start(&keep, on_never, 86400000, 0);
    while (f->fired < count)
        uv_run(&f->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&keep, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void test_never_early(void **state) {
    struct fixture *f = *state;
    uint64_t due_ms = clock_now_ms(&f->clock) + 20;
    timer_schedule(&f->wheel, &f->timer, due_ms, on_timer);
    run_until_fired(f, 1);
    assert_true(f->fired_ms >= due_ms);
}

static void test_a_leap_fires_at_once(void **state) {
    struct fixture *f = *state;
    timer_schedule(&f->wheel, &f->timer, clock_now_ms(&f->clock) + 86400000, on_timer);
    assert_int_equal(timer_wheel_advance(&f->wheel, clock_update(&f->clock)), 0);
    clock_leap(&f->clock, 86400000);
    run_until_fired(f, 1);
}

/* ---- many that are due together ---- */

enum { MANY = 1000, SHARE = TICKER_FIRES };

static void count_up(struct timer *timer, void *arg) {
    struct fixture *f = arg;
    (void)timer;
    f->fired++;
}

static struct timer many[MANY];

static void schedule_many(struct fixture *f, uint64_t due_ms) {
    memset(many, 0, sizeof many);
    for (size_t i = 0; i < MANY; i++)
        timer_schedule(&f->wheel, &many[i], due_ms, count_up);
}

static void keep_alive(uv_idle_t *idle) {
    (void)idle;
}

/* Turns of the loop until `fired` have; none does more than its share. */
static size_t turns_until(struct fixture *f, size_t fired) {
    size_t turns = 0;
    uv_idle_t idle;
    uv_idle_init(&f->loop, &idle);
    uv_idle_start(&idle, keep_alive);
    for (; f->fired < fired; turns++) {
        size_t before = f->fired;
        uv_run(&f->loop, UV_RUN_NOWAIT);
        assert_true(f->fired - before <= SHARE);
    }
    uv_close((uv_handle_t *)&idle, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    return turns;
}

static void test_a_turn_does_its_share_of_many(void **state) {
    struct fixture *f = *state;
    schedule_many(f, clock_now_ms(&f->clock));
    assert_true(turns_until(f, MANY) >= MANY / SHARE);
}

/* What is left of a turn is not waited for. */
static void test_the_loop_does_not_sleep_between_shares(void **state) {
    struct fixture *f = *state;
    schedule_many(f, clock_now_ms(&f->clock));
    run_until_fired(f, MANY);
}

struct noted_leap {
    struct ticker_leap leap; /* first member */
    struct fixture *f;
    size_t done, fired, fired_before;
    uint64_t at_ms;
};

static void on_leapt(struct ticker_leap *leap, uint64_t fired) {
    struct noted_leap *noted = (struct noted_leap *)(void *)leap;
    noted->done++;
    noted->fired = fired;
    noted->fired_before = noted->f->fired;
    noted->at_ms = clock_now_ms(&noted->f->clock);
}

static void test_a_leap_over_few_is_over_at_once(void **state) {
    struct fixture *f = *state;
    struct noted_leap noted = {.f = f};
    uint64_t start_ms = clock_now_ms(&f->clock);
    timer_schedule(&f->wheel, &f->timer, start_ms + 5000, on_timer);
    ticker_leap(&f->ticker, &noted.leap, 3600000, on_leapt);
    assert_int_equal(noted.done, 1);
    assert_int_equal(noted.fired, 1);
    assert_true(f->fired_ms >= start_ms + 5000 && f->fired_ms < start_ms + 3600000);
    assert_true(noted.at_ms >= start_ms + 3600000);
    assert_int_equal(f->clock.leapt_ms, 3600000);
}

static void test_a_leap_over_many_is_over_when_all_have_fired(void **state) {
    struct fixture *f = *state;
    struct noted_leap first = {.f = f}, second = {.f = f};
    schedule_many(f, clock_now_ms(&f->clock) + 5000);
    ticker_leap(&f->ticker, &first.leap, 3600000, on_leapt);
    ticker_leap(&f->ticker, &second.leap, 1000, on_leapt);
    assert_int_equal(first.done + second.done, 0);
    assert_true(f->fired <= SHARE);
    turns_until(f, MANY);
    for (int i = 0; i < 3; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(first.done, 1);
    assert_int_equal(first.fired, MANY);
    assert_int_equal(first.fired_before, MANY);
    assert_int_equal(second.done, 1);
    assert_int_equal(second.fired, 0);
    assert_int_equal(f->clock.leapt_ms, 3601000);
}

static void test_a_leap_that_is_ended_is_done(void **state) {
    struct fixture *f = *state;
    struct noted_leap noted = {.f = f};
    schedule_many(f, clock_now_ms(&f->clock) + 5000);
    ticker_leap(&f->ticker, &noted.leap, 3600000, on_leapt);
    ticker_end_leaps(&f->ticker);
    assert_int_equal(noted.done, 1);
    assert_true(noted.fired < MANY);
    for (size_t i = 0; i < MANY; i++)
        timer_cancel(&f->wheel, &many[i]);
}

static void test_it_does_not_keep_the_loop_alive(void **state) {
    struct fixture *f = *state;
    timer_schedule(&f->wheel, &f->timer, clock_now_ms(&f->clock) + 86400000, on_timer);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0); /* returns */
    timer_cancel(&f->wheel, &f->timer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_never_early),
        TEST(test_a_leap_fires_at_once),
        TEST(test_a_turn_does_its_share_of_many),
        TEST(test_the_loop_does_not_sleep_between_shares),
        TEST(test_a_leap_over_few_is_over_at_once),
        TEST(test_a_leap_over_many_is_over_when_all_have_fired),
        TEST(test_a_leap_that_is_ended_is_done),
        TEST(test_it_does_not_keep_the_loop_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
