#include "common/base/timer_wheel.h"

#include <string.h>

enum { DIGIT_BITS = 6, DIGIT_MASK = 63 };

_Static_assert(DIGIT_BITS *TIMER_WHEEL_LEVELS >= 64, "every digit of a time has a level");

static unsigned digit(uint64_t time_ms, int level) {
    return (unsigned)(time_ms >> (DIGIT_BITS * level)) & DIGIT_MASK;
}

static void push(struct timer **head, struct timer *timer) {
    timer->next = *head;
    timer->link = head;
    if (timer->next != NULL)
        timer->next->link = &timer->next;
    *head = timer;
}

static void unlink_timer(struct timer *timer) {
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    timer->next = NULL;
    timer->link = NULL;
}

static void place(struct timer_wheel *wheel, struct timer *timer) {
    if (timer->due_ms <= wheel->now_ms) {
        push(&wheel->ready, timer);
        return;
    }
    int level = (63 - __builtin_clzll(timer->due_ms ^ wheel->now_ms)) / DIGIT_BITS;
    unsigned slot = digit(timer->due_ms, level);
    push(&wheel->slots[level][slot], timer);
    wheel->occupied[level] |= (uint64_t)1 << slot;
}

/* A slot of the wheel (not the ready list) that has lost its last timer is no longer occupied. */
static void forget_empty_slot(struct timer_wheel *wheel, struct timer **head) {
    uintptr_t offset = (uintptr_t)head - (uintptr_t)wheel->slots;
    if (*head != NULL || offset >= sizeof wheel->slots)
        return;
    size_t index = offset / sizeof(struct timer *);
    wheel->occupied[index / TIMER_WHEEL_SLOTS] &= ~((uint64_t)1 << (index % TIMER_WHEEL_SLOTS));
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms, void *arg) {
    memset(wheel, 0, sizeof *wheel);
    wheel->now_ms = now_ms;
    wheel->arg = arg;
}

void timer_cancel(struct timer_wheel *wheel, struct timer *timer) {
    if (timer->link == NULL)
        return;
    struct timer **head = timer->link;
    unlink_timer(timer);
    forget_empty_slot(wheel, head);
    wheel->count--;
}

void timer_schedule(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms, timer_fn *fn) {
    timer_cancel(wheel, timer);
    timer->due_ms = due_ms;
    timer->fn = fn;
    place(wheel, timer);
    wheel->count++;
}

/* The first moment after now at which a slot of `level` comes up, or UINT64_MAX. */
static uint64_t level_next_ms(const struct timer_wheel *wheel, int level) {
    unsigned current = digit(wheel->now_ms, level);
    uint64_t later = current == DIGIT_MASK ? 0 : wheel->occupied[level] & (~(uint64_t)0 << (current + 1));
    if (later == 0)
        return UINT64_MAX;
    unsigned slot = (unsigned)__builtin_ctzll(later);
    int shift = DIGIT_BITS * level;
    uint64_t above = shift + DIGIT_BITS >= 64 ? 0 : wheel->now_ms >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
    return above | (uint64_t)slot << shift;
}

uint64_t timer_wheel_next_ms(const struct timer_wheel *wheel) {
    if (wheel->ready != NULL)
        return wheel->now_ms;
    for (int level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        uint64_t at_ms = level_next_ms(wheel, level);
        if (at_ms != UINT64_MAX)
            return at_ms;
    }
    return UINT64_MAX;
}

/* Move to `at_ms`, the start of an occupied slot of some level, and spread what lies there. */
static void turn_to(struct timer_wheel *wheel, uint64_t at_ms) {
    wheel->now_ms = at_ms;
    for (int level = TIMER_WHEEL_LEVELS - 1; level >= 0; level--) {
        unsigned slot = digit(at_ms, level);
        if (!(wheel->occupied[level] >> slot & 1))
            continue;
        wheel->occupied[level] &= ~((uint64_t)1 << slot);
        struct timer *list = wheel->slots[level][slot];
        wheel->slots[level][slot] = NULL;
        while (list != NULL) {
            struct timer *timer = list;
            list = timer->next;
            place(wheel, timer);
        }
    }
}

static size_t fire_ready(struct timer_wheel *wheel) {
    size_t fired = 0;
    while (wheel->ready != NULL) {
        struct timer *timer = wheel->ready;
        unlink_timer(timer);
        wheel->count--;
        fired++;
        timer->fn(timer, wheel->arg);
    }
    return fired;
}

size_t timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms) {
    size_t fired = fire_ready(wheel);
    for (;;) {
        uint64_t at_ms = timer_wheel_next_ms(wheel);
        if (at_ms > now_ms)
            break;
        turn_to(wheel, at_ms);
        fired += fire_ready(wheel);
    }
    if (now_ms > wheel->now_ms)
        turn_to(wheel, now_ms);
    return fired + fire_ready(wheel);
}
