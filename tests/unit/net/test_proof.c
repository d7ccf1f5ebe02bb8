#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>

#include "common/net/proof.h"

enum { STEPS = 20 };

static atomic_int on_pool, most;
static int done_order[STEPS];
static size_t done_count;

struct numbered {
    struct proof_step step;
    struct proof_engine *engine;
    int number;
    bool again; /* its end begins another one */
};

static void run(void *arg) {
    (void)arg;
    int now = atomic_fetch_add(&on_pool, 1) + 1, before = atomic_load(&most);
    while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
        ;
    for (int i = 0; i < 1000; i++)
        sched_yield();
    atomic_fetch_sub(&on_pool, 1);
}

static void done(void *arg) {
    struct numbered *step = arg;
    if (step->again) {
        step->again = false;
        proof_engine_run(step->engine, &step->step);
        return;
    }
    done_order[done_count++] = step->number;
}

static void on_close(uv_handle_t *handle) {
    (void)handle;
}

static void run_steps(size_t at_once, bool again) {
    static struct numbered steps[STEPS];
    uv_loop_t loop;
    struct proof_engine engine = {.loop = &loop};
    uv_loop_init(&loop);
    assert_int_equal(proof_engine_init(&engine), 0);
    assert_true(engine.at_once >= 1);
    engine.at_once = at_once;
    done_count = 0;
    atomic_store(&most, 0);
    for (int i = 0; i < STEPS; i++) {
        steps[i] = (struct numbered){.engine = &engine, .number = i, .again = again && i % 2 == 0};
        steps[i].step = (struct proof_step){.run = run, .done = done, .arg = &steps[i]};
        proof_engine_run(&engine, &steps[i].step);
    }
    assert_int_equal(engine.busy, STEPS);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(done_count, STEPS);
    assert_int_equal(engine.busy, 0);
    assert_true(atomic_load(&most) >= 1 && atomic_load(&most) <= (int)at_once);
    uv_close((uv_handle_t *)&engine.async, on_close);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_mutex_destroy(&engine.lock);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_steps_run_one_after_the_other_on_one_processor(void **state) {
    (void)state;
    run_steps(1, false);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(done_order[i], i);
}

static void test_no_more_steps_run_at_once_than_there_are_processors(void **state) {
    (void)state;
    for (size_t at_once = 1; at_once <= 4; at_once++)
        run_steps(at_once, false);
}

static void test_a_step_may_begin_another_one_when_it_is_done(void **state) {
    (void)state;
    run_steps(2, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_run_one_after_the_other_on_one_processor),
        cmocka_unit_test(test_no_more_steps_run_at_once_than_there_are_processors),
        cmocka_unit_test(test_a_step_may_begin_another_one_when_it_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
