#include "server/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

static bool fail(const char *what, const char *why, char *error, size_t error_size) {
    snprintf(error, error_size, "%s: %s", what, why);
    return false;
}

/* ---- the user ---- */

struct identity {
    uid_t user;
    gid_t group;
};

/* A number, or -1: no text of an ID, or that of "no change" (setuid(2)). */
static long id_of(const char *text) {
    uint64_t number;
    return slice_to_u64(slice_str(text), UINT32_MAX - 1, &number) ? (long)number : -1;
}

static const char *find_identity(const char *text, struct identity *identity) {
    char user[64];
    size_t len = strcspn(text, ":");
    const char *group = text[len] == ':' ? text + len + 1 : NULL;
    if (len == 0 || len >= sizeof user)
        return "no such user";
    memcpy(user, text, len);
    user[len] = '\0';
    const struct passwd *entry = getpwnam(user);
    long number = id_of(user);
    if (entry == NULL && number < 0)
        return "no such user";
    *identity = entry != NULL ? (struct identity){entry->pw_uid, entry->pw_gid}
                              : (struct identity){(uid_t)number, (gid_t)number};
    if (group == NULL)
        return NULL;
    const struct group *named = getgrnam(group);
    number = id_of(group);
    if (named == NULL && number < 0)
        return "no such group";
    identity->group = named != NULL ? named->gr_gid : (gid_t)number;
    return NULL;
}

static bool set_capabilities(uint32_t capabilities) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = capabilities, .permitted = capabilities}};
    return syscall(SYS_capset, &header, data) == 0;
}

static bool make_data(const char *data, const struct identity *identity) {
    if (mkdir(data, 0700) != 0)
        return errno == EEXIST;
    return chown(data, identity->user, identity->group) == 0;
}

bool confine_to_user(const char *user, const char *data, char *error, size_t error_size) {
    struct identity identity = {0};
    const char *problem = find_identity(user, &identity);
    if (problem != NULL)
        return fail("--user", problem, error, error_size);
    if (identity.user == 0)
        return fail("--user", "that is root", error, error_size);
    if (geteuid() == identity.user)
        return true;
    if (geteuid() != 0)
        return fail("--user", "only root becomes somebody else", error, error_size);
    if (!make_data(data, &identity))
        return fail(data, strerror(errno), error, error_size);
    bool may_bind = prctl(PR_CAPBSET_READ, CAP_NET_BIND_SERVICE, 0, 0, 0) == 1;
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (setgroups(0, NULL) != 0 || setgid(identity.group) != 0 || setuid(identity.user) != 0)
        return fail("--user", strerror(errno), error, error_size);
    if (!set_capabilities(may_bind ? 1u << CAP_NET_BIND_SERVICE : 0) && !set_capabilities(0))
        return fail("--user", strerror(errno), error, error_size);
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    return true;
}

void confine_capabilities(void) {
    if (geteuid() != 0)
        set_capabilities(0);
}

void confine_process(void) {
    struct rlimit none;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (getrlimit(RLIMIT_CORE, &none) == 0) {
        none.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &none);
    }
}

/* ---- system calls ---- */

#ifdef THIS_ARCHITECTURE

/* In the order of how often they are made, roughly: a filter is walked from its beginning, where the system does not
 * remember what it says. */
static const uint32_t allowed[] = {
    SYS_epoll_pwait,
    SYS_recvmmsg,
    SYS_sendmmsg,
    SYS_read,
    SYS_write,
    SYS_futex,
    SYS_clock_gettime,
    /* files: SQLite, images, keys */
    SYS_pread64,
    SYS_pwrite64,
    SYS_readv,
    SYS_writev,
    SYS_lseek,
    SYS_openat,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_fcntl,
    SYS_flock,
    SYS_fsync,
    SYS_fdatasync,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_renameat,
    SYS_renameat2,
    SYS_unlinkat,
    SYS_mkdirat,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_readlinkat,
    SYS_getdents64,
    SYS_getcwd,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_umask,
    SYS_utimensat,
    SYS_msync,
    SYS_fadvise64,
    SYS_sync_file_range,
    /* sockets */
    SYS_socket,
    SYS_socketpair,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_connect,
    SYS_shutdown,
    SYS_getsockname,
    SYS_getpeername,
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_sendto,
    SYS_sendmsg,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_ioctl,
    SYS_ppoll,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_eventfd2,
    SYS_pipe2,
    SYS_dup,
    SYS_dup3,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    /* memory */
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_madvise,
    SYS_getrandom,
    /* threads, signals and time */
    SYS_set_robust_list,
    SYS_rseq,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_membarrier,
    SYS_exit,
    SYS_exit_group,
    SYS_gettid,
    SYS_getpid,
    SYS_getppid,
    SYS_tgkill,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_clock_getres,
    SYS_gettimeofday,
    /* about itself */
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_prlimit64,
    SYS_getrusage,
    SYS_uname,
    SYS_sysinfo,
#ifdef __x86_64__ /* as older programs say it; newer machines have only the calls above */
    SYS_epoll_wait,
    SYS_poll,
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_rename,
    SYS_unlink,
    SYS_mkdir,
    SYS_rmdir,
    SYS_readlink,
    SYS_chmod,
    SYS_chown,
    SYS_pipe,
    SYS_dup2,
    SYS_eventfd,
    SYS_getrlimit,
    SYS_time,
    SYS_arch_prctl,
#endif
};

enum {
    ALLOWED_COUNT = sizeof allowed / sizeof allowed[0],
    FILTER_MAX = ALLOWED_COUNT + 16,
    TAIL_ALLOW = 3,        /* the place of ALLOW in put_filter's tail */
    CALL_X32 = 0x40000000, /* a second set of numbers on x86-64 */
};

_Static_assert(ALLOWED_COUNT + TAIL_ALLOW <= UINT8_MAX, "jumps in a filter are short");

#define LOAD(field)         BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define ANSWER(value)       BPF_STMT(BPF_RET | BPF_K, (value))
#define REFUSED             (SECCOMP_RET_ERRNO | ENOSYS)

static size_t put_filter(struct sock_filter filter[FILTER_MAX]) {
    static const struct sock_filter head[] = {
        LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCHITECTURE, 1, 0), ANSWER(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),   BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CALL_X32, 0, 1),          ANSWER(REFUSED),
    };
    /* Threads may be made, processes and namespaces not. What clone3 is to make lies in memory, where no filter looks;
     * without it the C library takes clone. */
    static const struct sock_filter tail[] = {
        UNLESS(SYS_clone, 3),
        LOAD(args[0]), /* the low half: both architectures are little endian */
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
        ANSWER(SECCOMP_RET_ALLOW),
        ANSWER(REFUSED),
    };
    size_t count = sizeof head / sizeof head[0];
    memcpy(filter, head, sizeof head);
    for (size_t i = 0; i < ALLOWED_COUNT; i++) { /* an allowed one jumps to where the tail allows */
        uint8_t skip = (uint8_t)(ALLOWED_COUNT - 1 - i + TAIL_ALLOW);
        filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], skip, 0);
    }
    memcpy(filter + count, tail, sizeof tail);
    return count + sizeof tail / sizeof tail[0];
}

void confine_rings(void) {
    static const struct sock_filter filter[] = {
        LOAD(arch),      UNLESS(THIS_ARCHITECTURE, 3), LOAD(nr), UNLESS(SYS_io_uring_setup, 1),
        ANSWER(REFUSED), ANSWER(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0],
                                 .filter = (struct sock_filter *)(uintptr_t)filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program); /* what is wrong confine_to_calls will say */
}

bool confine_to_calls(char *error, size_t error_size) {
    struct sock_filter filter[FILTER_MAX];
    struct sock_fprog program = {.len = (unsigned short)put_filter(filter), .filter = filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* else only root may have a filter */
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    if (result == 0)
        return true;
    return fail("--seccomp", result > 0 ? "a thread can't have the filter" : strerror(errno), error, error_size);
}

#else

void confine_rings(void) {}

bool confine_to_calls(char *error, size_t error_size) {
    return fail("--seccomp", "there is no list of system calls for this kind of machine", error, error_size);
}

#endif
