/* Memory of a program that cannot go on without it, and a block of it that grows to what was needed once and is then
 * used again, for what is made or read one message at a time. */
#ifndef BERTH_CLIENT_MEMORY_H
#define BERTH_CLIENT_MEMORY_H

#include "common/base/buffer.h"

/* What it is given, if that is not NULL. */
void *memory_or_exit(void *memory);

/* All zero is an empty one. */
struct workspace {
    uint8_t *bytes;
    size_t size;
};

/* An empty buffer of at least this size over the whole workspace; what was in it before is lost. */
struct buffer workspace_take(struct workspace *workspace, size_t size);

/* Give back what is more than usual. */
void workspace_settle(struct workspace *workspace);

void workspace_free(struct workspace *workspace);

#endif
