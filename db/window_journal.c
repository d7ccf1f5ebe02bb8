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

struct note {
    uint64_t id, top, bits;
    uint64_t check; /* a note that the process did not finish does not count */
};

/* What the file holds, in the machine's byte order. */
struct contents {
    char magic[8];
    uint64_t next; /* how many notes there ever were: the place of the next one, modulo their number */
    struct note notes[WINDOW_JOURNAL_NOTES];
};

struct window_journal {
    struct contents *contents;
    struct note *found; /* by the last process, one a session, ordered by id */
    size_t found_count;
};

static const char magic[8] = {'b', 'e', 'r', 't', 'h', '.', 'w', 'j'};

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static uint64_t check_of(const struct note *note) {
    return mix(mix(mix(0x6265727468, note->id), note->top), note->bits);
}

/* ---- what was noted ---- */

/* Bring a window up to date with another one of the same session. */
static bool merge(uint64_t *top, uint64_t *bits, uint64_t other_top, uint64_t other_bits) {
    const uint64_t old_top = *top, old_bits = *bits;
    if (other_top > *top) {
        uint64_t step = other_top - *top;
        *bits = (step < 64 ? *bits << step : 0) | other_bits;
        *top = other_top;
    } else {
        uint64_t step = *top - other_top;
        *bits |= step < 64 ? other_bits << step : 0;
    }
    return *top != old_top || *bits != old_bits;
}

static int compare_ids(const void *left, const void *right) {
    uint64_t a = ((const struct note *)left)->id, b = ((const struct note *)right)->id;
    return a < b ? -1 : a > b;
}

static bool collect(struct window_journal *journal) {
    const struct contents *contents = journal->contents;
    struct note *found = malloc(sizeof contents->notes);
    size_t count = 0, kept = 0;
    if (found == NULL)
        return false;
    for (size_t i = 0; i < WINDOW_JOURNAL_NOTES; i++) {
        const struct note *note = &contents->notes[i];
        if (note->id != 0 && note->check == check_of(note))
            found[count++] = *note;
    }
    qsort(found, count, sizeof *found, compare_ids);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && found[kept - 1].id == found[i].id)
            merge(&found[kept - 1].top, &found[kept - 1].bits, found[i].top, found[i].bits);
        else
            found[kept++] = found[i];
    }
    journal->found = found;
    journal->found_count = kept;
    return true;
}

/* ---- the file ---- */

/* All of the file has its place on the disk: a mapped page without one would end the process when it is written. */
static bool make_room(int fd, char *why, size_t why_size) {
    int result = posix_fallocate(fd, 0, sizeof(struct contents));
    if (result == 0 && ftruncate(fd, sizeof(struct contents)) != 0)
        result = errno;
    if (result != 0)
        snprintf(why, why_size, "%s", strerror(result));
    return result == 0;
}

static struct contents *map(int fd, char *why, size_t why_size) {
    struct stat status;
    if (fstat(fd, &status) != 0 || !make_room(fd, why, why_size))
        return NULL;
    void *memory = mmap(NULL, sizeof(struct contents), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        snprintf(why, why_size, "%s", strerror(errno));
        return NULL;
    }
    struct contents *contents = memory;
    if (status.st_size != (off_t)sizeof *contents || memcmp(contents->magic, magic, sizeof magic) != 0) {
        memset(contents, 0, sizeof *contents);
        memcpy(contents->magic, magic, sizeof magic);
    }
    return contents;
}

struct window_journal *window_journal_open(const char *path, char *error, size_t error_size) {
    char why[128] = "out of memory";
    struct window_journal *journal = calloc(1, sizeof *journal);
    int fd = journal == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (journal != NULL && fd < 0)
        snprintf(why, sizeof why, "%s", strerror(errno));
    if (fd >= 0) {
        journal->contents = map(fd, why, sizeof why);
        close(fd);
    }
    if (journal != NULL && journal->contents != NULL && collect(journal))
        return journal;
    snprintf(error, error_size, "%s: %s", path, why);
    window_journal_close(journal);
    return NULL;
}

void window_journal_close(struct window_journal *journal) {
    if (journal == NULL)
        return;
    if (journal->contents != NULL)
        munmap(journal->contents, sizeof *journal->contents);
    free(journal->found);
    free(journal);
}

/* ---- verbs ---- */

void window_journal_note(struct window_journal *journal, uint64_t id, uint64_t top, uint64_t bits) {
    struct contents *contents = journal->contents;
    struct note note = {.id = id, .top = top, .bits = bits};
    note.check = check_of(&note);
    contents->notes[contents->next++ % WINDOW_JOURNAL_NOTES] = note;
    atomic_signal_fence(memory_order_seq_cst); /* it is in memory before anything else happens */
}

bool window_journal_raise(struct window_journal *journal, uint64_t id, uint64_t *top, uint64_t *bits) {
    const struct note wanted = {.id = id};
    const struct note *note = journal->found == NULL
                                  ? NULL
                                  : bsearch(&wanted, journal->found, journal->found_count, sizeof wanted, compare_ids);
    return note != NULL && merge(top, bits, note->top, note->bits);
}

void window_journal_loaded(struct window_journal *journal) {
    free(journal->found);
    journal->found = NULL;
    journal->found_count = 0;
}
