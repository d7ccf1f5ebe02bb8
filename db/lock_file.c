#include "db/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* What the file holds, in the machine's byte order. */
struct contents {
    char magic[8];
    uint64_t open; /* 1 while a process has it */
    uint64_t heartbeat_ms;
};

static const char magic[8] = {'b', 'e', 'r', 't', 'h', '.', 'l', 'k'};

static bool write_contents(const struct lock_file *lock, bool open) {
    struct contents contents = {.open = open, .heartbeat_ms = lock->heartbeat_ms};
    memcpy(contents.magic, magic, sizeof magic);
    return pwrite(lock->fd, &contents, sizeof contents, 0) == (ssize_t)sizeof contents;
}

bool lock_file_take(struct lock_file *lock, const char *path, char *error, size_t error_size) {
    *lock = (struct lock_file){.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (lock->fd < 0) {
        snprintf(error, error_size, "%s: %s; give a data directory that this user may write to", path, strerror(errno));
        return false;
    }
    if (flock(lock->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            snprintf(error, error_size,
                     "%s: another server uses this data directory; stop it or give another directory", path);
        else
            snprintf(error, error_size, "%s: the data directory can't be locked: %s", path, strerror(errno));
        close(lock->fd);
        return false;
    }
    struct contents contents;
    lock->known = pread(lock->fd, &contents, sizeof contents, 0) == (ssize_t)sizeof contents &&
                  memcmp(contents.magic, magic, sizeof magic) == 0;
    if (lock->known && contents.open != 0) {
        lock->unclean = true;
        lock->heartbeat_ms = contents.heartbeat_ms;
    }
    return true;
}

bool lock_file_mark(struct lock_file *lock, bool durable) {
    return write_contents(lock, true) && (!durable || fdatasync(lock->fd) == 0);
}

void lock_file_heartbeat(struct lock_file *lock, uint64_t now_ms) {
    lock->heartbeat_ms = now_ms;
    write_contents(lock, true); /* in place: only a broken disk refuses it, and then nothing else is written either */
}

void lock_file_release(struct lock_file *lock, bool clean) {
    if (clean)
        write_contents(lock, false);
    close(lock->fd);
}
