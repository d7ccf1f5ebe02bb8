/* The ticker fires timers from a libuv loop, and sleeps until they are due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

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
        TEST(test_it_does_not_keep_the_loop_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
