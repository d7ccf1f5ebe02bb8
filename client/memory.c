#include "client/memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { USUAL_MAX = 1024 * 1024 };

void *memory_or_exit(void *memory) {
    if (memory == NULL) {
        fprintf(stderr, "berth-device: out of memory\n");
        exit(EXIT_FAILURE);
    }
    return memory;
}

struct buffer workspace_take(struct workspace *workspace, size_t size) {
    if (workspace->size < size) {
        free(workspace->bytes);
        workspace->bytes = memory_or_exit(malloc(size));
        workspace->size = size;
    }
    return buffer_over(workspace->bytes, workspace->size);
}

void workspace_settle(struct workspace *workspace) {
    if (workspace->size > USUAL_MAX)
        workspace_free(workspace);
}

void workspace_free(struct workspace *workspace) {
    free(workspace->bytes);
    *workspace = (struct workspace){.bytes = NULL};
}
