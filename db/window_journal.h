/* berth.windows: replay windows of DTLS sessions between two transactions. What is noted here outlives the process as soon
 * as window_journal_note has returned, however it ends: it lies in a page of the file that is mapped (2 MiB). A power loss
 * may take it; then what the database has counts.
 *
 * A ring of WINDOW_JOURNAL_NOTES notes. Whoever notes also writes windows to the database, often enough that a note is
 * committed before it is overwritten. */
#ifndef BERTH_DB_WINDOW_JOURNAL_H
#define BERTH_DB_WINDOW_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WINDOW_JOURNAL_NOTES = 65536 };

struct window_journal;

/* Open the file, or make it (mode 0600); one that can't be read as a journal is begun anew. NULL: one line in `error`. */
struct window_journal *window_journal_open(const char *path, char *error, size_t error_size);
void window_journal_close(struct window_journal *journal);

/* This is a session's window now: the newest number, and bit n: newest - n was seen. */
void window_journal_note(struct window_journal *journal, uint64_t id, uint64_t top, uint64_t bits);

/* Add to a window, as the database has it, what the last process noted of this session. Whether that changed anything. */
bool window_journal_raise(struct window_journal *journal, uint64_t id, uint64_t *top, uint64_t *bits);

/* Nothing is raised any more; gives back the memory for it. */
void window_journal_loaded(struct window_journal *journal);

#endif
