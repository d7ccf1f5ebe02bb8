/* Drives a timer wheel from a libuv loop: reads the clock after each wait, fires what is due, and sleeps no longer than
 * to the next due time. There is no tick while nothing is due. A turn of the loop does a bounded share of what is due, so
 * that those who come meanwhile are served. */
#ifndef BERTH_NET_TICKER_H
#define BERTH_NET_TICKER_H

#include <uv.h>

#include "common/base/clock.h"
#include "common/base/timer_wheel.h"

/* What a turn of the loop does of timers at most (timer_wheel_advance_some): 256 of them fire, or more move. What is left
 * waits for the next turn, after what came meanwhile. */
enum { TICKER_FIRES = 256, TICKER_TURN_WORK = TICKER_FIRES * TIMER_FIRE_WORK };

/* A leap of the clock that is under way; zero it before ticker_leap. */
struct ticker_leap {
    struct ticker_leap *next;
    uint64_t by_ms, from_leapt_ms, from_fired;
    void (*done)(struct ticker_leap *leap, uint64_t fired); /* its memory is the caller's again */
};

struct ticker {
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_check_t check;
    struct clock *clock;
    struct timer_wheel *wheel;
    struct ticker_leap *leaps; /* the first one is under way */
    bool leaping;              /* within a piece of it */
};

/* Both must outlive the ticker. Its handles do not keep the loop alive. */
void ticker_start(struct ticker *ticker, uv_loop_t *loop, struct clock *clock, struct timer_wheel *wheel);

/* Leap the clock forward by `by_ms`, from due time to due time, so that what happens on the way happens at its own time.
 * `done` is called when all of it has happened: within this call when a turn is enough, or else from the loop. Leaps that
 * are asked for meanwhile follow one after the other. */
void ticker_leap(struct ticker *ticker, struct ticker_leap *leap, uint64_t by_ms,
                 void (*done)(struct ticker_leap *leap, uint64_t fired));

/* A turn, now: read the clock, and do of what is due as much as a turn does. */
void ticker_turn(struct ticker *ticker);

/* End leaps where they are; each is done. */
void ticker_end_leaps(struct ticker *ticker);

/* Close the handles; the memory must stay until the loop has run their close callbacks. */
void ticker_close(struct ticker *ticker);

#endif
