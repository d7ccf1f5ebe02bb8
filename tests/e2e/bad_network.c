/* For LD_PRELOAD: a network that takes no datagrams. The file of $BAD_NETWORK is mapped, and the test writes into it while
 * the program runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bad_control.h"

struct control {
    _Atomic int64_t refusal; /* an errno, for datagrams that are to be sent; 0: none */
    _Atomic int64_t refused; /* how often that was so */
};

static struct control good, *control = &good;

__attribute__((constructor)) static void attach(void) {
    control = map_control("BAD_NETWORK", sizeof good, &good);
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    int refusal = (int)atomic_load(&control->refusal);
    if (refusal != 0) {
        atomic_fetch_add(&control->refused, 1);
        errno = refusal;
        return -1;
    }
    return (int)syscall(SYS_sendmmsg, fd, messages, count, flags);
}
