/* berth.lock: takes the data directory for one process with flock(2), and remembers in 24 bytes how that process ended
 * and when it last was known to live. The lock falls with the process, however it ends; the bytes stay. */
#ifndef BERTH_DB_LOCK_FILE_H
#define BERTH_DB_LOCK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lock_file {
    int fd;
    bool known;            /* there was a readable one before */
    bool unclean;          /* the last process ended without lock_file_release(…, true) */
    uint64_t heartbeat_ms; /* told last, also before an unclean end; 0 when there is none */
};

/* Take the lock and read what the last process left; nothing is written yet. On failure one line in `error`. */
bool lock_file_take(struct lock_file *lock, const char *path, char *error, size_t error_size);

/* From here on the end counts as unclean. With `durable` also after a power loss. False when it can't be written. */
bool lock_file_mark(struct lock_file *lock, bool durable);

/* One write of 24 bytes. */
void lock_file_heartbeat(struct lock_file *lock, uint64_t now_ms);

/* Give the directory free; a lock that was never marked stays as it was. */
void lock_file_release(struct lock_file *lock, bool clean);

#endif
