#include "common/base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t len) {
    uint8_t *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            perror("getrandom");
            abort();
        }
        at += got;
        len -= (size_t)got;
    }
}

uint64_t random_u64(void) {
    static _Thread_local uint64_t pool[32];
    static _Thread_local size_t left;
    if (left == 0) {
        random_bytes(pool, sizeof pool);
        left = sizeof pool / sizeof pool[0];
    }
    uint64_t value = pool[--left];
    pool[left] = 0;
    return value;
}

uint64_t random_below(uint64_t bound) {
    return (uint64_t)(((unsigned __int128)random_u64() * bound) >> 64);
}
