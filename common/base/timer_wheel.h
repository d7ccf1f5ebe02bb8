/* A hierarchical timer wheel with millisecond ticks. Eleven levels of 64 slots, one for each 6-bit digit of a time: level
 * 0 holds what is due within 64 ms, level 10 reaches the end of time. A timer lies in the slot of the highest digit in
 * which its due time differs from the wheel's time, and moves down a level when that digit's turn comes: five moves in
 * the life of a timer of a day. Scheduling and
 * cancelling are O(1); a bitmap per level finds the next occupied slot, so a leap over a day visits occupied slots
 * only. Nothing here reads a clock: the caller says what time it is.
 *
 * Memory: 32 bytes in the owner for each timer, 5.8 KB for the wheel. */
#ifndef BERTH_BASE_TIMER_WHEEL_H
#define BERTH_BASE_TIMER_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;
typedef void timer_fn(struct timer *timer, void *arg);

/* Lies inside what it times; zero it before first use. Not on a wheel exactly when `link` is NULL. */
struct timer {
    struct timer *next;
    struct timer **link; /* what points at this timer */
    uint64_t due_ms;
    timer_fn *fn; /* called once, after the timer has left the wheel; it may schedule, cancel and free timers */
};

enum { TIMER_WHEEL_LEVELS = 11, TIMER_WHEEL_SLOTS = 64 };

struct timer_wheel {
    uint64_t now_ms; /* everything due before or at this time has fired */
    uint64_t occupied[TIMER_WHEEL_LEVELS];
    struct timer *slots[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS];
    struct timer *spreading[TIMER_WHEEL_LEVELS]; /* of slots whose time has come, to be put further down … */
    uint32_t spreading_levels;                   /* … a bit for each level that has some; 0 before anything fires */
    struct timer *ready;                         /* due now */
    size_t count;
    uint64_t fired; /* since timer_wheel_init */
    void *arg;      /* handed to every timer_fn */
};

/* The owner in which `timer` is the member `member`. */
#define TIMER_OWNER(timer, type, member) ((type *)(void *)((char *)(timer)-offsetof(type, member)))

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms, void *arg);

/* Fire `fn` at `due_ms`; a time in the past fires at the next advance. Moves the timer when it is scheduled already. */
void timer_schedule(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms, timer_fn *fn);

/* Take it off the wheel; nothing happens when it is on none. */
void timer_cancel(struct timer_wheel *wheel, struct timer *timer);

static inline bool timer_is_scheduled(const struct timer *timer) {
    return timer->link != NULL;
}

/* Bring the wheel to `now_ms` and fire what is due on the way, earliest first (to the millisecond). While a callback
 * runs, wheel->now_ms is the time that timer was due, so what it schedules relative to that and is due before `now_ms`
 * fires in the same call. Returns how many fired. */
size_t timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms);

/* The same, a piece at a time, so that a million timers which are due together hold up nobody: each that fires takes
 * TIMER_FIRE_WORK of *work, each that moves down takes 1. False when there is not enough left to go on; then the wheel may
 * be before `now_ms`, nothing is out of order, and the next call goes on. */
enum { TIMER_FIRE_WORK = 32 };
bool timer_wheel_advance_some(struct timer_wheel *wheel, uint64_t now_ms, size_t *work);

/* A time not after the next timer's due time, or UINT64_MAX when there is none: wake up then and advance. */
uint64_t timer_wheel_next_ms(const struct timer_wheel *wheel);

#endif
