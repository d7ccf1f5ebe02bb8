/* What a library that is loaded ahead of others is told to do: numbers in a file that the test writes and reads, too. */
#ifndef BERTH_TESTS_BAD_CONTROL_H
#define BERTH_TESTS_BAD_CONTROL_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where the file of the name in that variable is mapped; `otherwise` when there is none. */
static inline void *map_control(const char *variable, size_t size, void *otherwise) {
    const char *path = getenv(variable);
    int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    return mapped == MAP_FAILED ? otherwise : mapped;
}

#endif
