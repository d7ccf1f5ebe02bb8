/* Group commit. The loop's thread gathers records in a batch; a thread of our own runs one batch as one transaction,
 * while the next one gathers. A batch is handed over just before the loop sleeps, so what one turn of the loop brought
 * goes together, or earlier when it is large.
 *
 * Everything but `run` and `tidy` happens on the loop's thread: a batch belongs to exactly one side at a time, and two
 * semaphores pass it to and fro. There is no lock, and no allocation once the buffers have their size. */
#ifndef BERTH_DB_WRITER_H
#define BERTH_DB_WRITER_H

#include "db/store.h"

struct writer;

/* Run all records of a batch as one transaction, on the writer's thread; it may change them in place. On failure one
 * sentence in `problem`. */
typedef enum store_result writer_run_fn(void *arg, uint8_t *records, size_t len, char *problem, size_t problem_size);

/* Called on the writer's thread after a batch has been given back, when there is time for chores. */
typedef void writer_tidy_fn(void *arg);

/* NULL when a thread or memory is missing. Its handles do not keep the loop alive. */
struct writer *writer_new(uv_loop_t *loop, size_t queue_bytes, writer_run_fn *run, writer_tidy_fn *tidy, void *arg);

/* Queue a record of `size` bytes: returns where the caller puts them at once, or NULL when the queue is full (an empty
 * queue takes a record of any size). `done` may be NULL. The place is aligned for uint64_t. */
uint8_t *writer_put(struct writer *writer, size_t size, store_done_fn *done, void *arg);

/* Free the buffers that nothing waits in; they come again with the next records. */
void writer_settle(struct writer *writer);

const char *writer_problem(const struct writer *writer);

struct store_counters writer_counters(const struct writer *writer);

/* Run what is queued, and what its completions queue, and end the thread. False when the last transaction failed. The
 * memory is freed when the loop has run the close callbacks. */
bool writer_close(struct writer *writer);

#endif
