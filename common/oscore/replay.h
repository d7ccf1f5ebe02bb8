/* The replay window of a security context (RFC 8613 §7.4): numbers that have been taken are not taken again, nor are those
 * more than 31 below the highest. Without a valid window (after a loss of state, B.1.2) nothing is known to be fresh. */
#ifndef BERTH_OSCORE_REPLAY_H
#define BERTH_OSCORE_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

enum { OSCORE_WINDOW_SIZE = 32 }; /* §3.2.2's default */

struct oscore_window {
    uint64_t top;  /* the highest number taken */
    uint32_t bits; /* bit n: top - n was taken; no bits: none yet */
    bool valid;
};

/* Nothing has been taken: of a context whose keys are new on both sides. */
static inline void oscore_window_fresh(struct oscore_window *window) {
    *window = (struct oscore_window){.valid = true};
}

/* `number` is known to be fresh, and everything below may have been taken (B.1.2). */
void oscore_window_start(struct oscore_window *window, uint64_t number);

/* Whether `number` may be taken. */
bool oscore_window_permits(const struct oscore_window *window, uint64_t number);

/* Take it, which is permitted. True when it is higher than all before. */
bool oscore_window_take(struct oscore_window *window, uint64_t number);

#endif
