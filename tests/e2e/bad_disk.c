/* For LD_PRELOAD: a disk that is slow, or read-only. The file of $BAD_DISK is mapped, and the test writes into it while the
 * program runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bad_control.h"

struct control {
    _Atomic int64_t sync_ms;       /* how long a file takes to be safe */
    _Atomic int64_t refusal;       /* an errno, for what is written at a place of a file; 0: none */
    _Atomic int64_t slow, refused; /* how often that was so */
};

static struct control good, *control = &good;

__attribute__((constructor)) static void attach(void) {
    control = map_control("BAD_DISK", sizeof good, &good);
}

static void dawdle(void) {
    int64_t ms = atomic_load(&control->sync_ms);
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    if (ms > 0) {
        atomic_fetch_add(&control->slow, 1);
        nanosleep(&pause, NULL);
    }
}

int fdatasync(int fd) {
    dawdle();
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    dawdle();
    return (int)syscall(SYS_fsync, fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    int refusal = (int)atomic_load(&control->refusal);
    if (refusal != 0) {
        atomic_fetch_add(&control->refused, 1);
        errno = refusal;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) {
    return pwrite64(fd, bytes, len, at);
}
