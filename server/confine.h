/* What this process gives up, so that whoever takes it over has little of it: privileges of root, new ones by programs
 * that have them, core files with keys in them, and the system calls that a server has no use for. */
#ifndef BERTH_SERVER_CONFINE_H
#define BERTH_SERVER_CONFINE_H

#include "common/base/slice.h"

/* Become `user`, a name or number, "USER" or "USER:GROUP", before any thread is started. What remains of root is to bind
 * ports below 1024, until confine_to_calls or confine_capabilities. The directory `data` is made for the user when it is
 * missing. False: one line in `error`. */
bool confine_to_user(const char *user, const char *data, char *error, size_t error_size);

/* The last of root's privileges goes, of a process that is not root's. */
void confine_capabilities(void);

/* No core files, and nothing gained by execve (PR_SET_NO_NEW_PRIVS). Cannot fail. */
void confine_process(void);

/* Before a loop is made: it has no io_uring (libuv 1.45 and later would make one for itself), since a filter sees nothing
 * of what is asked of a ring, and refuses to enter one. Its loop does with epoll, as without io_uring. */
void confine_rings(void);

/* From now on all threads have only the system calls that the server makes once it serves; others fail with ENOSYS, execve
 * among them. False: one line in `error`; no filter on this system, or none for this machine. */
bool confine_to_calls(char *error, size_t error_size);

#endif
