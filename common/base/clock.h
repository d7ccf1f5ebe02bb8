/* Protocol time, in milliseconds since 1970 (Unix time). It starts at the wall clock, then runs with the machine's
 * monotonic clock, so that a step of the wall clock never shortens a lifetime; a test may leap it forward. Everything
 * that has a time limit reads the clock it is given as an argument. */
#ifndef BERTH_BASE_CLOCK_H
#define BERTH_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t base_ms;   /* protocol time minus monotonic time */
    uint64_t now_ms;   /* protocol time as of the last clock_update */
    uint64_t leapt_ms; /* how far clock_leap has moved it altogether */
    uint64_t (*monotonic_ms)(void *arg);
    void *arg;
};

/* A clock over CLOCK_MONOTONIC that starts at the wall clock plus `leapt_ms` (what an earlier run had leapt). */
void clock_init(struct clock *clock, uint64_t leapt_ms);

/* A clock that stands still at `now_ms` until it is leapt: for tests. */
void clock_init_still(struct clock *clock, uint64_t now_ms);

/* Read the machine's clock once; clock_now_ms answers from it until the next call. Whatever the loop wakes up for
 * (a datagram, a commit, a request) begins with it, since the loop may have slept long. Returns protocol time. */
uint64_t clock_update(struct clock *clock);

static inline uint64_t clock_now_ms(const struct clock *clock) {
    return clock->now_ms;
}

/* Move protocol time forward. Whoever keeps timers on this clock runs them afterwards. */
void clock_leap(struct clock *clock, uint64_t by_ms);

#endif
