#include "common/net/ticker.h"

static void on_timer(uv_timer_t *timer) {
    (void)timer; /* it ends the loop's wait; on_check does the rest */
}

/* ---- leaps ---- */

/* A piece of the first leap. True: it is over. */
static bool leap_some(struct ticker *ticker, size_t *work) {
    struct clock *clock = ticker->clock;
    const struct ticker_leap *leap = ticker->leaps;
    for (;;) {
        uint64_t now_ms = clock_now_ms(clock), next_ms = timer_wheel_next_ms(ticker->wheel);
        uint64_t end_ms = now_ms + leap->by_ms - (clock->leapt_ms - leap->from_leapt_ms);
        uint64_t to_ms = next_ms < end_ms ? next_ms : end_ms;
        if (to_ms > now_ms)
            clock_leap(clock, to_ms - now_ms);
        if (!timer_wheel_advance_some(ticker->wheel, clock_now_ms(clock), work))
            return false;
        if (to_ms == end_ms)
            return true;
    }
}

static void begin_first(struct ticker *ticker) {
    ticker->leaps->from_leapt_ms = ticker->clock->leapt_ms;
    ticker->leaps->from_fired = ticker->wheel->fired;
}

static void end_first(struct ticker *ticker) {
    struct ticker_leap *leap = ticker->leaps;
    ticker->leaps = leap->next;
    if (ticker->leaps != NULL)
        begin_first(ticker);
    leap->done(leap, ticker->wheel->fired - leap->from_fired);
}

/* A timer that wants to leap the clock does so after the present one. */
static void leap_all(struct ticker *ticker, size_t *work) {
    if (ticker->leaping)
        return;
    ticker->leaping = true;
    while (ticker->leaps != NULL && leap_some(ticker, work))
        end_first(ticker);
    ticker->leaping = false;
}

void ticker_leap(struct ticker *ticker, struct ticker_leap *leap, uint64_t by_ms,
                 void (*done)(struct ticker_leap *leap, uint64_t fired)) {
    size_t work = TICKER_TURN_WORK;
    struct ticker_leap **last = &ticker->leaps;
    *leap = (struct ticker_leap){.by_ms = by_ms, .done = done};
    while (*last != NULL)
        last = &(*last)->next;
    *last = leap;
    if (ticker->leaps != leap)
        return;
    clock_update(ticker->clock);
    begin_first(ticker);
    leap_all(ticker, &work);
}

void ticker_end_leaps(struct ticker *ticker) {
    while (ticker->leaps != NULL)
        end_first(ticker);
}

/* ---- turns ---- */

void ticker_turn(struct ticker *ticker) {
    size_t work = TICKER_TURN_WORK;
    clock_update(ticker->clock);
    leap_all(ticker, &work);
    timer_wheel_advance_some(ticker->wheel, clock_now_ms(ticker->clock), &work);
}

static void on_check(uv_check_t *check) {
    ticker_turn(check->data);
}

static void on_prepare(uv_prepare_t *prepare) {
    struct ticker *ticker = prepare->data;
    uint64_t now_ms = clock_update(ticker->clock);
    uint64_t next_ms = timer_wheel_next_ms(ticker->wheel);
    if (next_ms == UINT64_MAX && ticker->leaps == NULL) {
        uv_timer_stop(&ticker->timer);
        return;
    }
    uv_update_time(prepare->loop);
    bool now = ticker->leaps != NULL || next_ms <= now_ms;
    uv_timer_start(&ticker->timer, on_timer, now ? 0 : next_ms - now_ms, 0);
}

void ticker_start(struct ticker *ticker, uv_loop_t *loop, struct clock *clock, struct timer_wheel *wheel) {
    ticker->leaps = NULL;
    ticker->leaping = false;
    ticker->clock = clock;
    ticker->wheel = wheel;
    uv_timer_init(loop, &ticker->timer);
    uv_prepare_init(loop, &ticker->prepare);
    uv_check_init(loop, &ticker->check);
    ticker->timer.data = ticker->prepare.data = ticker->check.data = ticker;
    uv_prepare_start(&ticker->prepare, on_prepare);
    uv_check_start(&ticker->check, on_check);
    uv_unref((uv_handle_t *)&ticker->timer);
    uv_unref((uv_handle_t *)&ticker->prepare);
    uv_unref((uv_handle_t *)&ticker->check);
}

void ticker_close(struct ticker *ticker) {
    uv_close((uv_handle_t *)&ticker->timer, NULL);
    uv_close((uv_handle_t *)&ticker->prepare, NULL);
    uv_close((uv_handle_t *)&ticker->check, NULL);
}
