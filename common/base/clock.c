#include "common/base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t read_ms(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static uint64_t machine_monotonic_ms(void *arg) {
    (void)arg;
    return read_ms(CLOCK_MONOTONIC);
}

static uint64_t standing_still(void *arg) {
    (void)arg;
    return 0;
}

void clock_init(struct clock *clock, uint64_t leapt_ms) {
    *clock = (struct clock){.leapt_ms = leapt_ms, .monotonic_ms = machine_monotonic_ms};
    clock->base_ms = (int64_t)(read_ms(CLOCK_REALTIME) + leapt_ms) - (int64_t)read_ms(CLOCK_MONOTONIC);
    clock_update(clock);
}

void clock_init_still(struct clock *clock, uint64_t now_ms) {
    *clock = (struct clock){.base_ms = (int64_t)now_ms, .monotonic_ms = standing_still};
    clock_update(clock);
}

uint64_t clock_update(struct clock *clock) {
    clock->now_ms = (uint64_t)((int64_t)clock->monotonic_ms(clock->arg) + clock->base_ms);
    return clock->now_ms;
}

void clock_leap(struct clock *clock, uint64_t by_ms) {
    clock->base_ms += (int64_t)by_ms;
    clock->leapt_ms += by_ms;
    clock->now_ms += by_ms;
}
