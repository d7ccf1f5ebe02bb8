#include "common/base/memory_limit.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    ASKED_EVERY_MS = 100,
    GIVEN_BACK_EVERY_MS = 5000, /* malloc_trim walks the whole heap */
};

static size_t limit;
static bool is_reached;
static uint64_t asked_ms, given_back_ms;

/* Not protocol time: memory does not leap. */
static uint64_t real_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void memory_limit_set(size_t bytes) {
    limit = bytes;
    is_reached = false;
    asked_ms = given_back_ms = 0;
}

size_t memory_limit_used(void) {
    char text[128];
    unsigned long size, resident, shared;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t len = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    if (sscanf(text, "%lu %lu %lu", &size, &resident, &shared) != 3 || resident < shared)
        return 0;
    return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

bool memory_limit_is_reached(void) {
    uint64_t now_ms = limit == 0 ? 0 : real_ms();
    if (limit == 0 || now_ms - asked_ms < ASKED_EVERY_MS)
        return is_reached;
    asked_ms = now_ms;
    is_reached = memory_limit_used() >= limit;
    if (is_reached && now_ms - given_back_ms >= GIVEN_BACK_EVERY_MS) {
        given_back_ms = now_ms;
        malloc_trim(0);
        is_reached = memory_limit_used() >= limit;
    }
    return is_reached;
}
