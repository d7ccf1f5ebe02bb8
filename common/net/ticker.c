#include "common/net/ticker.h"

static void on_timer(uv_timer_t *timer) {
    struct ticker *ticker = timer->data;
    timer_wheel_advance(ticker->wheel, clock_update(ticker->clock));
}

static void on_check(uv_check_t *check) {
    struct ticker *ticker = check->data;
    timer_wheel_advance(ticker->wheel, clock_update(ticker->clock));
}

static void on_prepare(uv_prepare_t *prepare) {
    struct ticker *ticker = prepare->data;
    uint64_t now_ms = clock_update(ticker->clock);
    uint64_t next_ms = timer_wheel_next_ms(ticker->wheel);
    if (next_ms == UINT64_MAX) {
        uv_timer_stop(&ticker->timer);
        return;
    }
    uv_update_time(prepare->loop);
    uv_timer_start(&ticker->timer, on_timer, next_ms > now_ms ? next_ms - now_ms : 0, 0);
}

void ticker_start(struct ticker *ticker, uv_loop_t *loop, struct clock *clock, struct timer_wheel *wheel) {
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
