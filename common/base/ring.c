#include "common/base/ring.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    CACHE_LINE = 64,
    LENGTH = sizeof(uint64_t),
};

/* In the place of a length: the next record is at the beginning. */
#define SKIP UINT64_MAX

struct ring {
    /* Of both: nothing here changes. */
    uint8_t *bytes;
    size_t size; /* a power of two */
    /* The writer's. */
    _Alignas(CACHE_LINE) _Atomic size_t published;
    size_t put;           /* at or beyond `published` */
    size_t released_seen; /* what it knows of `released` */
    /* The reader's. */
    _Alignas(CACHE_LINE) _Atomic size_t released;
    size_t taken;          /* at or beyond `released` */
    size_t published_seen; /* what it knows of `published` */
};

struct ring *ring_new(size_t size) {
    struct ring *ring = aligned_alloc(CACHE_LINE, sizeof *ring);
    if (ring == NULL)
        return NULL;
    *ring = (struct ring){.bytes = aligned_alloc(CACHE_LINE, size), .size = size};
    if (ring->bytes != NULL)
        return ring;
    free(ring);
    return NULL;
}

void ring_free(struct ring *ring) {
    if (ring == NULL)
        return;
    free(ring->bytes);
    free(ring);
}

static size_t place_of(const struct ring *ring, size_t position) {
    return position & (ring->size - 1);
}

static uint64_t *length_at(const struct ring *ring, size_t position) {
    return (uint64_t *)(void *)(ring->bytes + place_of(ring, position));
}

static size_t taking(size_t len) {
    return LENGTH + ((len + LENGTH - 1) & ~(size_t)(LENGTH - 1));
}

void *ring_put(struct ring *ring, size_t len) {
    size_t need = taking(len), to_end = ring->size - place_of(ring, ring->put);
    size_t all = need > to_end ? to_end + need : need;
    if (ring->put + all - ring->released_seen > ring->size) {
        ring->released_seen = atomic_load(&ring->released);
        if (ring->put + all - ring->released_seen > ring->size)
            return NULL;
    }
    if (need > to_end) {
        *length_at(ring, ring->put) = SKIP;
        ring->put += to_end;
    }
    uint64_t *length = length_at(ring, ring->put);
    *length = len;
    ring->put += need;
    return length + 1;
}

bool ring_publish(struct ring *ring) {
    if (ring->put == atomic_load_explicit(&ring->published, memory_order_relaxed))
        return false;
    atomic_store(&ring->published, ring->put);
    return true;
}

bool ring_has_record(struct ring *ring) {
    if (ring->taken == ring->published_seen)
        ring->published_seen = atomic_load(&ring->published);
    return ring->taken != ring->published_seen;
}

void *ring_take(struct ring *ring, size_t *len) {
    if (!ring_has_record(ring))
        return NULL;
    uint64_t *length = length_at(ring, ring->taken);
    if (*length == SKIP) { /* and a record follows: both were put in one call */
        ring->taken += ring->size - place_of(ring, ring->taken);
        length = length_at(ring, ring->taken);
    }
    *len = (size_t)*length;
    ring->taken += taking(*len);
    return length + 1;
}

void ring_release(struct ring *ring) {
    atomic_store(&ring->released, ring->taken);
}

size_t ring_used(struct ring *ring) {
    ring->published_seen = atomic_load(&ring->published);
    return ring->published_seen - atomic_load_explicit(&ring->released, memory_order_relaxed);
}
