/* Records of bytes that one thread hands to one other, in order and without a lock.
 *
 *   [ length | bytes, up to a multiple of 8 | length | bytes | ...  free  ... ]
 *
 * The memory is used round and round: the writer puts records behind each other and publishes them, the reader looks at
 * them where they lie and releases them. A record never goes over the end; what is left there is skipped. Both count the
 * bytes since the beginning, so "full" and "empty" are told apart without a spare place. Each side has its own counters in
 * a cache line of its own, and looks at the other's only when it runs out of what it knows of it.
 *
 * Publishing and releasing are sequentially consistent, and so is looking anew for the other's counters: a side that says
 * in an atomic of its own that it goes to sleep, then looks once more and sees nothing, will be seen to sleep by the other. */
#ifndef BERTH_BASE_RING_H
#define BERTH_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

/* `size` bytes, a power of two of at least 64. NULL when out of memory. */
struct ring *ring_new(size_t size);
void ring_free(struct ring *ring);

/* The longest record that always finds room in an empty ring of `size` bytes. */
static inline size_t ring_record_max(size_t size) {
    return size / 2 - 8;
}

/* ---- the writer's ---- */

/* Room for a record of `len` bytes, aligned to 8; NULL: there is none now. To be filled in before the next call; nobody
 * sees it before ring_publish. */
void *ring_put(struct ring *ring, size_t len);

/* Hand over what was put. False: nothing was. */
bool ring_publish(struct ring *ring);

/* ---- the reader's ---- */

/* The next record, which is the reader's to change until it is released; NULL: none was published. */
void *ring_take(struct ring *ring, size_t *len);

/* Whether there is one. */
bool ring_has_record(struct ring *ring);

/* Give back all that was taken. */
void ring_release(struct ring *ring);

/* Bytes that were put and not yet released, as far as this side knows. The reader's. */
size_t ring_used(struct ring *ring);

#endif
