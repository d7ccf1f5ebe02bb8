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
    if (wheel->ready != NULL || wheel->spreading_levels != 0)
        return wheel->now_ms;
    for (int level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        uint64_t at_ms = level_next_ms(wheel, level);
        if (at_ms != UINT64_MAX)
            return at_ms;
    }
    return UINT64_MAX;
}

/* Move to `at_ms`, the start of an occupied slot of some level; what lies there is to be spread. */
static void turn_to(struct timer_wheel *wheel, uint64_t at_ms) {
    wheel->now_ms = at_ms;
    for (int level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        unsigned slot = digit(at_ms, level);
        if (!(wheel->occupied[level] >> slot & 1))
            continue;
        wheel->occupied[level] &= ~((uint64_t)1 << slot);
        wheel->spreading[level] = wheel->slots[level][slot];
        wheel->spreading[level]->link = &wheel->spreading[level];
        wheel->slots[level][slot] = NULL;
        wheel->spreading_levels |= 1u << level;
    }
}

/* Put one timer of what is to be spread where it belongs now; the higher levels first. */
static void spread_one(struct timer_wheel *wheel) {
    int level = 31 - __builtin_clz(wheel->spreading_levels);
    struct timer *timer = wheel->spreading[level];
    if (timer != NULL) {
        unlink_timer(timer);
        place(wheel, timer);
    }
    if (wheel->spreading[level] == NULL)
        wheel->spreading_levels &= ~(1u << level);
}

static void fire_one(struct timer_wheel *wheel) {
    struct timer *timer = wheel->ready;
    unlink_timer(timer);
    wheel->count--;
    wheel->fired++;
    timer->fn(timer, wheel->arg);
}

bool timer_wheel_advance_some(struct timer_wheel *wheel, uint64_t now_ms, size_t *work) {
    for (;;) {
        if (wheel->spreading_levels == 0 && wheel->ready == NULL) {
            uint64_t at_ms = timer_wheel_next_ms(wheel);
            if (at_ms <= now_ms)
                turn_to(wheel, at_ms);
            else if (wheel->now_ms < now_ms)
                turn_to(wheel, now_ms);
            else
                return true;
            continue;
        }
        size_t cost = wheel->spreading_levels != 0 ? 1 : TIMER_FIRE_WORK;
        if (*work < cost)
            return false;
        *work -= cost;
        if (wheel->spreading_levels != 0)
            spread_one(wheel);
        else
            fire_one(wheel);
    }
}

size_t timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms) {
    uint64_t before = wheel->fired;
    size_t work;
    do {
        work = SIZE_MAX;
    } while (!timer_wheel_advance_some(wheel, now_ms, &work));
    return (size_t)(wheel->fired - before);
}
