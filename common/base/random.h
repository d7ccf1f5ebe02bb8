/* Unpredictable bytes from the kernel (getrandom(2)), for tokens, message IDs, locations and hash keys. */
#ifndef BERTH_BASE_RANDOM_H
#define BERTH_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fill `len` bytes. Ends the process when the kernel has none to give. */
void random_bytes(void *out, size_t len);

/* 64 random bits; cheap, drawn from a small pool of this thread. Not for keys: use random_bytes. */
uint64_t random_u64(void);

/* A number in [0, bound), without bias worth the name; `bound` > 0. */
uint64_t random_below(uint64_t bound);

#endif
