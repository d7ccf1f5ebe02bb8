#include "common/base/slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif
#ifndef WATCHED
#define WATCHED 0
#endif
#if WATCHED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, len)   ((void)(address), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(address, len) ((void)(address), (void)(len))
#endif

enum { CHUNK_BYTES = 1 << 16, GRAIN = 8, CLASSES = SLAB_BLOCK_MAX / GRAIN };

/* A block that was given back; the rest of it is poisoned. */
struct free_block {
    struct free_block *next;
};

/* What lies at the beginning of a chunk. */
struct chunk {
    struct slab *slab;
    struct chunk *next, *previous; /* among those of its class with room */
    struct free_block *freed;
    uint32_t block_bytes;
    uint32_t used;  /* blocks that are out */
    uint32_t fresh; /* from here on it was never used: its pages are not there yet */
};

struct slab {
    struct chunk *roomy[CLASSES]; /* chunks with room, by block_bytes / GRAIN - 1 */
    size_t chunks, blocks;        /* blocks that are out */
    bool closed;                  /* goes with its last block */
};

static bool packs = !WATCHED;

void slab_pack(void) {
    packs = true;
}

struct slab *slab_new(void) {
    return calloc(1, sizeof(struct slab));
}

size_t slab_block_bytes(size_t len) {
    if (len == 0)
        return GRAIN;
    return len > SLAB_BLOCK_MAX ? (len + 8 + 15) / 16 * 16 : (len + GRAIN - 1) / GRAIN * GRAIN;
}

size_t slab_bytes(const struct slab *slab) {
    return slab->chunks * CHUNK_BYTES;
}

/* ---- chunks ---- */

static struct chunk **list_of(struct slab *slab, const struct chunk *chunk) {
    return &slab->roomy[chunk->block_bytes / GRAIN - 1];
}

static bool has_room(const struct chunk *chunk) {
    return chunk->freed != NULL || chunk->fresh + chunk->block_bytes <= CHUNK_BYTES;
}

static void list_chunk(struct slab *slab, struct chunk *chunk) {
    struct chunk **list = list_of(slab, chunk);
    chunk->previous = NULL;
    chunk->next = *list;
    if (*list != NULL)
        (*list)->previous = chunk;
    *list = chunk;
}

static void unlist_chunk(struct slab *slab, struct chunk *chunk) {
    *(chunk->previous != NULL ? &chunk->previous->next : list_of(slab, chunk)) = chunk->next;
    if (chunk->next != NULL)
        chunk->next->previous = chunk->previous;
}

static void *map(size_t len) {
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* At a multiple of its size. The system puts a mapping beside the one before, so the first try mostly does. */
static void *map_aligned(void) {
    uint8_t *memory = map(CHUNK_BYTES);
    if (memory == NULL || (uintptr_t)memory % CHUNK_BYTES == 0)
        return memory;
    munmap(memory, CHUNK_BYTES);
    memory = map(2 * CHUNK_BYTES);
    if (memory == NULL)
        return NULL;
    size_t before = (CHUNK_BYTES - (uintptr_t)memory % CHUNK_BYTES) % CHUNK_BYTES;
    if (before > 0)
        munmap(memory, before);
    munmap(memory + before + CHUNK_BYTES, CHUNK_BYTES - before);
    return memory + before;
}

static struct chunk *add_chunk(struct slab *slab, size_t block_bytes) {
    struct chunk *chunk = map_aligned();
    if (chunk == NULL)
        return NULL;
    *chunk = (struct chunk){.slab = slab, .block_bytes = (uint32_t)block_bytes, .fresh = sizeof *chunk};
    ASAN_POISON_MEMORY_REGION(chunk + 1, CHUNK_BYTES - sizeof *chunk);
    slab->chunks++;
    list_chunk(slab, chunk);
    return chunk;
}

static void drop_chunk(struct slab *slab, struct chunk *chunk) {
    unlist_chunk(slab, chunk);
    slab->chunks--;
    ASAN_UNPOISON_MEMORY_REGION(chunk, CHUNK_BYTES);
    munmap(chunk, CHUNK_BYTES);
}

/* ---- blocks ---- */

void *slab_take(struct slab *slab, size_t len) {
    if (!packs || len > SLAB_BLOCK_MAX)
        return malloc(len);
    size_t bytes = slab_block_bytes(len);
    struct chunk *chunk = slab->roomy[bytes / GRAIN - 1];
    if (chunk == NULL)
        chunk = add_chunk(slab, bytes);
    if (chunk == NULL)
        return NULL;
    struct free_block *block = chunk->freed;
    if (block != NULL) {
        chunk->freed = block->next;
    } else {
        block = (struct free_block *)(void *)((uint8_t *)chunk + chunk->fresh);
        chunk->fresh += chunk->block_bytes;
    }
    chunk->used++;
    slab->blocks++;
    if (!has_room(chunk))
        unlist_chunk(slab, chunk);
    ASAN_POISON_MEMORY_REGION(block, bytes);
    ASAN_UNPOISON_MEMORY_REGION(block, len);
    return block;
}

void slab_give(void *block, size_t len) {
    if (!packs || len > SLAB_BLOCK_MAX || block == NULL) {
        free(block);
        return;
    }
    struct chunk *chunk = (struct chunk *)(void *)((uint8_t *)block - (uintptr_t)block % CHUNK_BYTES);
    struct slab *slab = chunk->slab;
    if (!has_room(chunk))
        list_chunk(slab, chunk);
    struct free_block *freed = block;
    ASAN_UNPOISON_MEMORY_REGION(freed, sizeof *freed);
    freed->next = chunk->freed;
    chunk->freed = freed;
    ASAN_POISON_MEMORY_REGION(freed + 1, chunk->block_bytes - sizeof *freed);
    chunk->used--;
    slab->blocks--;
    if (chunk->used == 0 && (slab->closed || chunk->next != NULL || chunk->previous != NULL))
        drop_chunk(slab, chunk);
    if (slab->closed && slab->blocks == 0)
        free(slab);
}

void slab_free(struct slab *slab) {
    if (slab == NULL)
        return;
    for (size_t i = 0; i < CLASSES; i++) {
        for (struct chunk *chunk = slab->roomy[i], *next; chunk != NULL; chunk = next) {
            next = chunk->next;
            if (chunk->used == 0)
                drop_chunk(slab, chunk);
        }
    }
    slab->closed = true;
    if (slab->blocks == 0)
        free(slab);
}
