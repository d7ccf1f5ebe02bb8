/* berth.windows: replay windows of DTLS sessions, ahead of the database. What is noted here outlives the process as soon as
 * window_journal_note has returned, however it ends: it lies in a page of the file that is mapped. A power loss may take
 * what the kernel has not written yet, half a minute or so; then what the database has counts.
 *
 * Each session has a slot of 40 bytes: its id, and its window twice. A note overwrites the older one, so that a note that is
 * cut short leaves the one before. Slots are given again when their session is forgotten; the file never shrinks. */
#ifndef BERTH_DB_WINDOW_JOURNAL_H
#define BERTH_DB_WINDOW_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WINDOW_JOURNAL_SLOTS = 1 << 20 };
#define WINDOW_JOURNAL_NONE UINT32_MAX

struct window_journal;

/* Open the file, or make it (mode 0600); one that can't be read as a journal is begun anew. NULL: one line in `error`. */
struct window_journal *window_journal_open(const char *path, char *error, size_t error_size);
void window_journal_close(struct window_journal *journal);

/* A slot for a session that has none; nothing is noted in it. WINDOW_JOURNAL_NONE: the disk is full, or there are too
 * many. `id` is not 0. */
uint32_t window_journal_take(struct window_journal *journal, uint64_t id);
void window_journal_give_back(struct window_journal *journal, uint32_t slot);

/* This is the window of the slot's session now: the newest number (below 2^48), and bit n: newest - n was seen. A window
 * only ever grows. */
void window_journal_note(struct window_journal *journal, uint32_t slot, uint64_t top, uint64_t bits);

/* The slot that a session had in the last process, or WINDOW_JOURNAL_NONE; what was noted there is added to the window that
 * the database has. Before window_journal_loaded, and best in the order of ids. */
uint32_t window_journal_raise(struct window_journal *journal, uint64_t id, uint64_t *top, uint64_t *bits);

/* How many sessions had one. Until window_journal_loaded. */
size_t window_journal_found(const struct window_journal *journal);

/* All have been asked for: slots that nobody asked for are free. */
void window_journal_loaded(struct window_journal *journal);

#endif
