#include "db/window_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STEP = 4096, /* slots by which the file grows */
    AHEAD = 8,   /* sessions that are loaded meanwhile */
};

/* A window, or nothing: the number above 16 bits that tell whether it is whole, which are never 0. */
struct half {
    _Atomic uint64_t top_and_check, bits;
};

struct slot {
    _Atomic uint64_t id; /* 0: free */
    struct half halves[2];
};

/* What the file holds, in the machine's byte order. */
struct contents {
    char magic[8];
    struct slot slots[];
};

/* Where a session of the last process is. */
struct found {
    uint64_t id;
    uint32_t slot;
    bool is_claimed;
};

struct window_journal {
    int fd;
    struct contents *contents; /* address space for WINDOW_JOURNAL_SLOTS; the file has `count` of them */
    uint32_t count;
    uint32_t *free; /* a stack of slots without session, with room for `count` of them */
    uint32_t free_count;
    struct found *found; /* until all are loaded; ordered by id */
    size_t found_count, next_found;
};

static const char magic[8] = {'b', 'e', 'r', 't', 'h', '.', 'w', '2'};

static size_t size_of(uint32_t slots) {
    return sizeof(struct contents) + slots * sizeof(struct slot);
}

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static uint16_t check_of(uint64_t id, uint64_t top, uint64_t bits) {
    return (uint16_t)(mix(mix(mix(0x6265727468, id), top), bits) >> 16) | 1;
}

/* ---- windows ---- */

struct window {
    uint64_t top, bits; /* bits 0: none */
};

/* The process may have died in the midst of it, and of a page that the kernel wrote the disk may have the half. */
static struct window read_half(uint64_t id, const struct half *half) {
    uint64_t first = atomic_load_explicit(&half->top_and_check, memory_order_relaxed);
    struct window window = {first >> 16, atomic_load_explicit(&half->bits, memory_order_relaxed)};
    bool is_whole = (uint16_t)first == check_of(id, window.top, window.bits);
    return is_whole ? window : (struct window){0, 0};
}

/* Windows only grow, so that this is an order of age. */
static bool is_older(const struct window *window, const struct window *other) {
    return window->top != other->top ? window->top < other->top : window->bits < other->bits;
}

/* In this order: whenever the process dies, the half is nothing or whole. It is the same thread's memory, so that what a
 * processor makes of the order does not matter, but what a compiler makes of it does. */
static void write_half(uint64_t id, struct half *half, uint64_t top, uint64_t bits) {
    atomic_store_explicit(&half->top_and_check, 0, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&half->bits, bits, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&half->top_and_check, top << 16 | check_of(id, top, bits), memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* it is in memory before anything else happens */
}

/* Bring a window up to date with another one of the same session. */
static void merge(uint64_t *top, uint64_t *bits, uint64_t other_top, uint64_t other_bits) {
    if (other_top > *top) {
        uint64_t step = other_top - *top;
        *bits = (step < 64 ? *bits << step : 0) | other_bits;
        *top = other_top;
    } else {
        uint64_t step = *top - other_top;
        *bits |= step < 64 ? other_bits << step : 0;
    }
}

/* ---- the file ---- */

/* All of it has its place on the disk: a mapped page without one would end the process when it is written. */
static int set_size(struct window_journal *journal, uint32_t slots) {
    int result = posix_fallocate(journal->fd, 0, (off_t)size_of(slots));
    if (result == 0 && ftruncate(journal->fd, (off_t)size_of(slots)) != 0)
        result = errno;
    return result;
}

/* Room on the stack for so many slots. */
static bool reserve_free(struct window_journal *journal, uint32_t slots) {
    uint32_t *grown = realloc(journal->free, slots * sizeof *grown);
    if (grown == NULL)
        return false;
    journal->free = grown;
    return true;
}

/* How many slots a file of that size has, if it is a journal. */
static uint32_t slots_in(off_t size) {
    size_t bytes = (size_t)size;
    if (bytes < size_of(STEP) || bytes > size_of(WINDOW_JOURNAL_SLOTS) ||
        (bytes - size_of(0)) % sizeof(struct slot) != 0)
        return 0;
    return (uint32_t)((bytes - size_of(0)) / sizeof(struct slot));
}

static int map(struct window_journal *journal) {
    struct stat status;
    if (fstat(journal->fd, &status) != 0)
        return errno;
    journal->count = slots_in(status.st_size);
    bool is_new = journal->count == 0;
    if (is_new)
        journal->count = STEP;
    int result = set_size(journal, journal->count);
    if (result != 0)
        return result;
    void *memory =
        mmap(NULL, size_of(WINDOW_JOURNAL_SLOTS), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, journal->fd, 0);
    if (memory == MAP_FAILED)
        return errno;
    journal->contents = memory;
    if (is_new || memcmp(journal->contents->magic, magic, sizeof magic) != 0) {
        memset(journal->contents, 0, size_of(journal->count));
        memcpy(journal->contents->magic, magic, sizeof magic);
    }
    return 0;
}

static int compare_ids(const void *left, const void *right) {
    uint64_t a = ((const struct found *)left)->id, b = ((const struct found *)right)->id;
    return a < b ? -1 : a > b;
}

/* What is in use, and what is free: those in front are given first. */
static bool look_through(struct window_journal *journal) {
    size_t used = 0;
    for (uint32_t slot = 0; slot < journal->count; slot++)
        used += journal->contents->slots[slot].id != 0;
    journal->found = malloc((used + 1) * sizeof *journal->found);
    if (journal->found == NULL || !reserve_free(journal, journal->count))
        return false;
    for (uint32_t slot = journal->count; slot-- > 0;) {
        uint64_t id = journal->contents->slots[slot].id;
        if (id == 0)
            journal->free[journal->free_count++] = slot;
        else
            journal->found[journal->found_count++] = (struct found){id, slot, false};
    }
    qsort(journal->found, journal->found_count, sizeof *journal->found, compare_ids);
    return true;
}

struct window_journal *window_journal_open(const char *path, char *error, size_t error_size) {
    struct window_journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL) {
        snprintf(error, error_size, "%s: out of memory", path);
        return NULL;
    }
    journal->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int result = journal->fd < 0 ? errno : map(journal);
    if (result == 0 && !look_through(journal))
        result = ENOMEM;
    if (result == 0)
        return journal;
    snprintf(error, error_size, "%s: %s", path, strerror(result));
    window_journal_close(journal);
    return NULL;
}

void window_journal_close(struct window_journal *journal) {
    if (journal == NULL)
        return;
    if (journal->contents != NULL)
        munmap(journal->contents, size_of(WINDOW_JOURNAL_SLOTS));
    if (journal->fd >= 0)
        close(journal->fd);
    free(journal->found);
    free(journal->free);
    free(journal);
}

/* ---- slots ---- */

static bool grow(struct window_journal *journal) {
    uint32_t count = journal->count + STEP;
    if (count > WINDOW_JOURNAL_SLOTS || !reserve_free(journal, count) || set_size(journal, count) != 0)
        return false;
    for (uint32_t slot = count; slot-- > journal->count;)
        journal->free[journal->free_count++] = slot;
    journal->count = count;
    return true;
}

uint32_t window_journal_take(struct window_journal *journal, uint64_t id) {
    if (journal->free_count == 0 && !grow(journal))
        return WINDOW_JOURNAL_NONE;
    uint32_t number = journal->free[--journal->free_count];
    struct slot *slot = &journal->contents->slots[number];
    for (size_t i = 0; i < 2; i++)
        slot->halves[i].top_and_check = 0; /* before it has the id: that may be one of theirs */
    slot->id = id;
    return number;
}

void window_journal_give_back(struct window_journal *journal, uint32_t slot) {
    journal->contents->slots[slot].id = 0;
    journal->free[journal->free_count++] = slot;
}

/* ---- verbs ---- */

void window_journal_note(struct window_journal *journal, uint32_t number, uint64_t top, uint64_t bits) {
    struct slot *slot = &journal->contents->slots[number];
    uint64_t id = atomic_load_explicit(&slot->id, memory_order_relaxed);
    struct window one = read_half(id, &slot->halves[0]), other = read_half(id, &slot->halves[1]);
    write_half(id, &slot->halves[is_older(&other, &one)], top, bits);
}

static struct found *find(struct window_journal *journal, uint64_t id) {
    const struct found wanted = {.id = id};
    if (journal->found == NULL)
        return NULL;
    if (journal->next_found < journal->found_count && journal->found[journal->next_found].id == id)
        return &journal->found[journal->next_found];
    return bsearch(&wanted, journal->found, journal->found_count, sizeof wanted, compare_ids);
}

uint32_t window_journal_raise(struct window_journal *journal, uint64_t id, uint64_t *top, uint64_t *bits) {
    struct found *found = find(journal, id);
    if (found == NULL)
        return WINDOW_JOURNAL_NONE;
    journal->next_found = (size_t)(found - journal->found) + 1;
    if (journal->found_count - journal->next_found > AHEAD) /* whose turn it will mostly be */
        __builtin_prefetch(&journal->contents->slots[journal->found[journal->next_found + AHEAD].slot]);
    found->is_claimed = true;
    for (size_t i = 0; i < 2; i++) {
        struct window window = read_half(id, &journal->contents->slots[found->slot].halves[i]);
        if (window.bits != 0)
            merge(top, bits, window.top, window.bits);
    }
    return found->slot;
}

size_t window_journal_found(const struct window_journal *journal) {
    return journal->found_count;
}

void window_journal_loaded(struct window_journal *journal) {
    for (size_t i = 0; i < journal->found_count; i++) {
        if (!journal->found[i].is_claimed)
            window_journal_give_back(journal, journal->found[i].slot);
    }
    free(journal->found);
    journal->found = NULL;
    journal->found_count = 0;
}
