/* Drives a timer wheel from a libuv loop: reads the clock after each wait, fires what is due, and sleeps no longer than
 * to the next due time. There is no tick while nothing is due. */
#ifndef BERTH_NET_TICKER_H
#define BERTH_NET_TICKER_H

#include <uv.h>

#include "common/base/clock.h"
#include "common/base/timer_wheel.h"

struct ticker {
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_check_t check;
    struct clock *clock;
    struct timer_wheel *wheel;
};

/* Both must outlive the ticker. Its handles do not keep the loop alive. */
void ticker_start(struct ticker *ticker, uv_loop_t *loop, struct clock *clock, struct timer_wheel *wheel);

/* Close the handles; the memory must stay until the loop has run their close callbacks. */
void ticker_close(struct ticker *ticker);

#endif
