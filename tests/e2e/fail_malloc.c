/* For LD_PRELOAD: the allocation that is told to fail does, once. The file of $FAIL_MALLOC is mapped, and the test writes
 * into it while the program runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

struct control {
    _Atomic int64_t countdown; /* 1: the next one fails; 0 or less: none does */
    _Atomic int64_t counted;   /* allocations so far */
    _Atomic int64_t live;      /* that were not freed yet */
    _Atomic int64_t failed;
    _Atomic int64_t run; /* how many more fail, once the first has */
};

static struct control nobody, *control = &nobody;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("FAIL_MALLOC");
    int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        control = mapped;
}

static int fails(void) {
    atomic_fetch_add(&control->counted, 1);
    if (atomic_load(&control->countdown) <= 0 || atomic_fetch_sub(&control->countdown, 1) != 1)
        return 0;
    if (atomic_fetch_sub(&control->run, 1) > 1)
        atomic_store(&control->countdown, 1);
    atomic_fetch_add(&control->failed, 1);
    errno = ENOMEM;
    return 1;
}

static void *counted(void *memory) {
    if (memory != NULL)
        atomic_fetch_add(&control->live, 1);
    return memory;
}

void *malloc(size_t size) {
    return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size) {
    return fails() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *memory, size_t size) {
    if (memory == NULL)
        return malloc(size);
    return fails() ? NULL : __libc_realloc(memory, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    if (fails())
        return ENOMEM;
    *memory = counted(__libc_memalign(alignment, size));
    return *memory == NULL ? ENOMEM : 0;
}

void *aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : counted(__libc_memalign(alignment, size));
}

void free(void *memory) {
    if (memory != NULL)
        atomic_fetch_sub(&control->live, 1);
    __libc_free(memory);
}
