/* Every unit test can be run with allocations that fail. With $BERTH_ALLOCATION_POINTS=N in its environment a program is
 * run once to count its allocations, and then again and again in a process of its own, each time with another one of them
 * failing: N of them, spread evenly, or all where there are fewer. Tests may fail then, for they expect what they ask for;
 * but no run may crash, do what the sanitizers forbid or hang, and none whose tests all pass may leak.
 *
 * The exit code is 1 when a run was bad; the first bad ones are shown. tests/e2e/test_allocation_faults.py sets it up. The
 * allocations that count are ours, libuv's, Jansson's and SQLite's: the others' are not linked to what is below. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

enum { SHOWN_MAX = 3, PATIENCE_S = 90, LEAKED = 98 };

struct control {
    _Atomic long counted, failing; /* failing: 1: the next one; 0 or less: none */
};

static struct control nobody, *control = &nobody;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void __real_abort(void) __attribute__((noreturn));
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_abort(void) __attribute__((noreturn));
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static bool fails(void) {
    if (control == &nobody)
        return false;
    atomic_fetch_add(&control->counted, 1);
    if (atomic_load(&control->failing) <= 0 || atomic_fetch_sub(&control->failing, 1) != 1)
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fails() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text) {
    return fails() ? NULL : __real_strdup(text);
}

/* What tests demand of what they test, without cmocka. An assert() does not come by here. */
void __wrap_abort(void) {
    if (control != &nobody)
        _exit(EXIT_FAILURE);
    __real_abort();
}

static sqlite3_mem_methods usual;

static void *for_sqlite(int size) {
    return fails() ? NULL : usual.xMalloc(size);
}

static void *again_for_sqlite(void *memory, int size) {
    return fails() ? NULL : usual.xRealloc(memory, size);
}

static void take_over(void) {
    sqlite3_mem_methods ours;
    uv_replace_allocator(__wrap_malloc, __wrap_realloc, __wrap_calloc, free);
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &usual) != SQLITE_OK)
        return;
    ours = usual;
    ours.xMalloc = for_sqlite;
    ours.xRealloc = again_for_sqlite;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &ours);
}

static void on_end(int status, void *unused) {
    (void)unused;
    atomic_store(&control->failing, 0);
    if (status == 0 && __lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0)
        _exit(LEAKED);
}

/* In the child: go on to main(). In the parent: how the child has ended. */
static int run(long failing, FILE *output, bool *is_child) {
    int status;
    atomic_store(&control->counted, 0);
    atomic_store(&control->failing, failing);
    pid_t child = fork();
    *is_child = child == 0;
    if (child == 0) {
        dup2(fileno(output), STDOUT_FILENO);
        dup2(fileno(output), STDERR_FILENO);
        alarm(PATIENCE_S);
        on_exit(on_end, NULL);
        take_over();
        return 0;
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        exit(2);
    return status;
}

static void show(FILE *output, const char *what, long point, long total) {
    char line[512];
    printf("%s when allocation %ld of %ld fails:\n", what, point, total);
    rewind(output);
    while (fgets(line, sizeof line, output) != NULL) {
        if (strncmp(line, "[ ", 2) != 0 && strncmp(line, "[==", 3) != 0)
            fputs(line, stdout);
    }
    fflush(stdout);
}

/* What was bad about how a run has ended; NULL: nothing. What the sanitizers find ends with 99 (their `exitcode`). */
static const char *fault_of(int status) {
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? "It hangs" : strsignal(WTERMSIG(status));
    return WEXITSTATUS(status) == 99 ? "It is wrong" : WEXITSTATUS(status) == LEAKED ? "It leaks" : NULL;
}

__attribute__((constructor)) static void run_at_every_point(void) {
    const char *wanted = getenv("BERTH_ALLOCATION_POINTS");
    long points = wanted == NULL ? 0 : strtol(wanted, NULL, 10), bad = 0, runs = 0;
    bool is_child;
    if (points <= 0)
        return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FILE *output = tmpfile();
    if (mapped == MAP_FAILED || output == NULL)
        exit(2);
    control = mapped;
    int status = run(0, output, &is_child);
    if (is_child)
        return;
    long total = atomic_load(&control->counted);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        show(output, "It fails", 0, total);
        exit(1);
    }
    for (long k = 0; k < points && k < total; k++) {
        long point = total <= points ? k + 1 : 1 + k * (total - 1) / (points > 1 ? points - 1 : 1);
        rewind(output);
        if (ftruncate(fileno(output), 0) != 0)
            exit(2);
        status = run(point, output, &is_child);
        if (is_child)
            return;
        runs++;
        const char *what = fault_of(status);
        if (what != NULL && bad++ < SHOWN_MAX)
            show(output, what, point, total);
    }
    printf("%ld allocations, %ld runs, %ld bad\n", total, runs, bad);
    fflush(stdout);
    _exit(bad > 0);
}
