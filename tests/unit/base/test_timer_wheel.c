#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/base/timer_wheel.h"

enum { TIMERS = 300 };

/* The naive list: what is scheduled for when. */
struct entry {
    struct timer timer; /* first member */
    bool scheduled;
    uint64_t due_ms, scheduled_at_ms;
    unsigned fired;
};

struct model {
    struct timer_wheel wheel;
    struct entry entries[TIMERS];
    uint64_t last_fired_ms, advance_to_ms;
    size_t fired;
    size_t wrong; /* told at the end: the wheel is in the middle of something when a callback finds out */
    bool meddle;  /* callbacks schedule and cancel */
    bool pieces;  /* it advances a piece at a time */
};

static void schedule(struct model *m, struct entry *e, uint64_t due_ms);

static void cancel(struct model *m, struct entry *e) {
    timer_cancel(&m->wheel, &e->timer);
    e->scheduled = false;
}

static uint64_t some_delay(void) {
    static const uint64_t scales[] = {3, 70, 5000, 300000, 100000000, 40000000000, 1ull << 50};
    return random_below(scales[random_below(sizeof scales / sizeof scales[0])]);
}

static void on_due(struct timer *timer, void *arg) {
    struct model *m = arg;
    struct entry *e = (struct entry *)(void *)timer;
    uint64_t expected_ms = e->due_ms > e->scheduled_at_ms ? e->due_ms : e->scheduled_at_ms;
    m->wrong += !e->scheduled || timer_is_scheduled(timer);
    m->wrong += m->wheel.now_ms != expected_ms; /* neither early nor late */
    m->wrong += expected_ms < m->last_fired_ms || expected_ms > m->advance_to_ms;
    m->last_fired_ms = expected_ms;
    e->scheduled = false;
    e->fired++;
    m->fired++;
    if (!m->meddle)
        return;
    struct entry *other = &m->entries[random_below(TIMERS)];
    if (random_below(2) == 0)
        schedule(m, other, m->wheel.now_ms + 1 + some_delay());
    else
        cancel(m, other);
}

static void schedule(struct model *m, struct entry *e, uint64_t due_ms) {
    e->scheduled = true;
    e->due_ms = due_ms;
    e->scheduled_at_ms = m->wheel.now_ms;
    timer_schedule(&m->wheel, &e->timer, due_ms, on_due);
}

static void check_against_list(const struct model *m) {
    uint64_t earliest_ms = UINT64_MAX;
    size_t scheduled = 0;
    for (size_t i = 0; i < TIMERS; i++) {
        const struct entry *e = &m->entries[i];
        assert_int_equal(timer_is_scheduled(&e->timer), e->scheduled);
        if (!e->scheduled)
            continue;
        scheduled++;
        if (e->due_ms < earliest_ms)
            earliest_ms = e->due_ms;
    }
    assert_int_equal(m->wheel.count, scheduled);
    uint64_t next_ms = timer_wheel_next_ms(&m->wheel);
    if (scheduled == 0)
        assert_true(next_ms == UINT64_MAX);
    else if (earliest_ms > m->wheel.now_ms)
        assert_true(next_ms > m->wheel.now_ms && next_ms <= earliest_ms);
    else
        assert_true(next_ms == m->wheel.now_ms);
}

/* What comes between two pieces may schedule and cancel, too. */
static size_t advance_in_pieces(struct model *m, uint64_t to_ms) {
    bool whole;
    uint64_t before = m->wheel.fired;
    do {
        uint64_t piece = m->wheel.fired;
        size_t given = random_below(8 * TIMER_FIRE_WORK), work = given;
        whole = timer_wheel_advance_some(&m->wheel, to_ms, &work);
        m->wrong += (m->wheel.fired - piece) * TIMER_FIRE_WORK > given - work;
        if (!whole && timer_wheel_next_ms(&m->wheel) > to_ms)
            m->wrong++; /* whoever sleeps until then would be late */
        if (!whole && m->meddle)
            cancel(m, &m->entries[random_below(TIMERS)]);
        if (!whole && m->meddle)
            schedule(m, &m->entries[random_below(TIMERS)], m->wheel.now_ms + some_delay());
    } while (!whole);
    return (size_t)(m->wheel.fired - before);
}

static void advance(struct model *m, uint64_t to_ms) {
    size_t due = 0;
    for (size_t i = 0; i < TIMERS; i++)
        due += m->entries[i].scheduled && m->entries[i].due_ms <= to_ms;
    m->advance_to_ms = to_ms;
    m->last_fired_ms = 0;
    m->fired = 0;
    size_t fired = m->pieces ? advance_in_pieces(m, to_ms) : timer_wheel_advance(&m->wheel, to_ms);
    assert_int_equal(fired, m->fired);
    assert_int_equal(m->wheel.now_ms, to_ms);
    assert_int_equal(m->wrong, 0);
    if (!m->meddle)
        assert_int_equal(m->fired, due);
    for (size_t i = 0; i < TIMERS; i++)
        assert_true(!m->entries[i].scheduled || m->entries[i].due_ms > to_ms);
}

static void play_with(uint64_t start_ms, bool meddle, bool pieces, int steps) {
    static struct model m;
    memset(&m, 0, sizeof m);
    m.meddle = meddle;
    m.pieces = pieces;
    timer_wheel_init(&m.wheel, start_ms, &m);
    for (int step = 0; step < steps; step++) {
        struct entry *e = &m.entries[random_below(TIMERS)];
        switch (random_below(4)) {
        case 0:
        case 1:
            schedule(&m, e, m.wheel.now_ms + some_delay());
            break;
        case 2:
            cancel(&m, e);
            break;
        default:
            advance(&m, m.wheel.now_ms + (random_below(20) == 0 ? some_delay() : random_below(200)));
        }
        if (step % 10 == 0)
            check_against_list(&m);
    }
    for (int i = 0; i < 5 && m.wheel.count > 0; i++) {
        m.meddle = false;
        advance(&m, m.wheel.now_ms + (1ull << 51));
        check_against_list(&m);
    }
    assert_int_equal(m.wheel.count, 0);
}

static void play(uint64_t start_ms, bool meddle, int steps) {
    play_with(start_ms, meddle, false, steps);
}

static void test_whatever_is_scheduled_fires_on_its_millisecond(void **state) {
    (void)state;
    play(0, false, 20000);
    play(1780000000000, false, 20000);
}

static void test_callbacks_may_schedule_and_cancel(void **state) {
    (void)state;
    play(1780000000000, true, 20000);
}

static void test_nothing_is_early_where_a_digit_of_time_turns_over(void **state) {
    (void)state;
    for (int bits = 6; bits <= 60; bits += 6)
        play((1ull << bits) - 50, bits % 12 == 0, 300);
}

static void test_in_pieces_nothing_is_out_of_order(void **state) {
    (void)state;
    play_with(1780000000000, false, true, 20000);
    play_with(1780000000000, true, true, 20000);
    for (int bits = 6; bits <= 60; bits += 6)
        play_with((1ull << bits) - 50, bits % 12 == 0, true, 300);
}

static void count_up(struct timer *timer, void *arg) {
    (void)timer;
    ++*(size_t *)arg;
}

/* Due in one millisecond of the day after tomorrow, so that all of them move down together, several times. */
static void test_of_many_that_are_due_together_each_piece_does_its_share(void **state) {
    (void)state;
    enum { MANY = 3000, SHARE = 10 * TIMER_FIRE_WORK };
    static struct timer timers[MANY];
    size_t fired = 0, pieces = 0;
    struct timer_wheel wheel;
    timer_wheel_init(&wheel, 1780000000000, &fired);
    memset(timers, 0, sizeof timers);
    for (size_t i = 0; i < MANY; i++)
        timer_schedule(&wheel, &timers[i], 1780172800000, count_up);
    bool whole;
    do {
        size_t before = fired, work = SHARE;
        whole = timer_wheel_advance_some(&wheel, 1780200000000, &work);
        assert_true(fired - before <= 10);
        pieces++;
    } while (!whole);
    assert_int_equal(fired, MANY);
    assert_int_equal(wheel.fired, MANY);
    assert_int_equal(wheel.now_ms, 1780200000000);
    assert_true(pieces > MANY / 10);
}

static struct entry one;

static void note(struct timer *timer, void *arg) {
    *(uint64_t *)arg = timer->due_ms;
}

static void test_a_leap_over_a_year_fires_in_order_in_one_advance(void **state) {
    (void)state;
    struct model *m = test_calloc(1, sizeof *m);
    timer_wheel_init(&m->wheel, 1780000000000, m);
    for (size_t i = 0; i < TIMERS; i++)
        schedule(m, &m->entries[i], 1780000000000 + (uint64_t)(TIMERS - i) * 100000000);
    advance(m, 1780000000000 + 31536000000);
    assert_int_equal(m->fired, TIMERS);
    test_free(m);
}

static void test_scheduling_again_moves_a_timer(void **state) {
    (void)state;
    uint64_t fired_ms = 0;
    struct timer_wheel wheel;
    timer_wheel_init(&wheel, 1000, &fired_ms);
    one = (struct entry){.fired = 0};
    timer_schedule(&wheel, &one.timer, 1010, note);
    timer_schedule(&wheel, &one.timer, 5000, note);
    assert_int_equal(wheel.count, 1);
    assert_int_equal(timer_wheel_advance(&wheel, 4999), 0);
    assert_int_equal(timer_wheel_advance(&wheel, 5000), 1);
    assert_int_equal(fired_ms, 5000);
}

static void test_nothing_wakes_for_a_cancelled_timer(void **state) {
    (void)state;
    struct timer_wheel wheel;
    timer_wheel_init(&wheel, 1000, NULL);
    struct timer timers[2] = {{.link = NULL}, {.link = NULL}};
    for (uint64_t due_ms = 1001; due_ms < 100000000; due_ms *= 7) {
        timer_schedule(&wheel, &timers[0], due_ms, note);
        timer_schedule(&wheel, &timers[1], due_ms, note);
        timer_cancel(&wheel, &timers[0]);
        assert_true(timer_wheel_next_ms(&wheel) <= due_ms);
        timer_cancel(&wheel, &timers[1]);
        timer_cancel(&wheel, &timers[1]);
        assert_true(timer_wheel_next_ms(&wheel) == UINT64_MAX);
    }
}

static void test_a_time_in_the_past_fires_at_the_next_advance(void **state) {
    (void)state;
    uint64_t fired_ms = 0;
    struct timer_wheel wheel;
    timer_wheel_init(&wheel, 1000, &fired_ms);
    one = (struct entry){.fired = 0};
    timer_schedule(&wheel, &one.timer, 5, note);
    assert_int_equal(fired_ms, 0);
    assert_int_equal(timer_wheel_next_ms(&wheel), 1000);
    assert_int_equal(timer_wheel_advance(&wheel, 1000), 1);
    assert_int_equal(fired_ms, 5);
}

static void test_the_end_of_time_is_a_time(void **state) {
    (void)state;
    uint64_t fired_ms = 0;
    struct timer_wheel wheel;
    timer_wheel_init(&wheel, 1780000000000, &fired_ms);
    one = (struct entry){.fired = 0};
    timer_schedule(&wheel, &one.timer, UINT64_MAX - 1, note);
    assert_int_equal(timer_wheel_advance(&wheel, UINT64_MAX - 2), 0);
    assert_int_equal(timer_wheel_advance(&wheel, UINT64_MAX - 1), 1);
}

struct self_freeing {
    struct timer timer; /* first member */
    size_t *freed;
};

static void free_yourself(struct timer *timer, void *arg) {
    (void)arg;
    struct self_freeing *owner = (struct self_freeing *)(void *)timer;
    ++*owner->freed;
    test_free(owner);
}

static void test_a_callback_may_free_its_timer(void **state) {
    (void)state;
    size_t freed = 0;
    struct timer_wheel wheel;
    timer_wheel_init(&wheel, 0, NULL);
    for (uint64_t i = 0; i < 100; i++) {
        struct self_freeing *owner = test_calloc(1, sizeof *owner);
        owner->freed = &freed;
        timer_schedule(&wheel, &owner->timer, 100 + i / 10, free_yourself);
    }
    assert_int_equal(timer_wheel_advance(&wheel, 1000), 100);
    assert_int_equal(freed, 100);
    assert_int_equal(wheel.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_is_scheduled_fires_on_its_millisecond),
        cmocka_unit_test(test_callbacks_may_schedule_and_cancel),
        cmocka_unit_test(test_nothing_is_early_where_a_digit_of_time_turns_over),
        cmocka_unit_test(test_in_pieces_nothing_is_out_of_order),
        cmocka_unit_test(test_of_many_that_are_due_together_each_piece_does_its_share),
        cmocka_unit_test(test_a_leap_over_a_year_fires_in_order_in_one_advance),
        cmocka_unit_test(test_scheduling_again_moves_a_timer),
        cmocka_unit_test(test_nothing_wakes_for_a_cancelled_timer),
        cmocka_unit_test(test_a_time_in_the_past_fires_at_the_next_advance),
        cmocka_unit_test(test_the_end_of_time_is_a_time),
        cmocka_unit_test(test_a_callback_may_free_its_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
