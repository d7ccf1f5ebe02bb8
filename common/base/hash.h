/* SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed 64-bit hash. Tables whose keys come from outside use it with a
 * random key, so that nobody can aim at one bucket; it also serves as a short MAC for values that only we read back. */
#ifndef BERTH_BASE_HASH_H
#define BERTH_BASE_HASH_H

#include "common/base/slice.h"

struct hash_key {
    uint64_t k0, k1;
};

/* A key from the system's random source. Ends the process when there is none: nothing here is safe without it. */
struct hash_key hash_key_random(void);

uint64_t hash_siphash(const struct hash_key *key, const void *data, size_t len);

static inline uint64_t hash_slice(const struct hash_key *key, struct slice s) {
    return hash_siphash(key, s.data, s.len);
}

#endif
