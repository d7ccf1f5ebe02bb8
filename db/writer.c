#include "db/writer.h"

#include <stdlib.h>

#include "common/base/log.h"

enum {
    ALIGNMENT = 8,
    DATA_MIN = 16 * 1024,
    DONE_MIN = 64,
    SUBMIT_BYTES = 64 * 1024, /* a batch of this size does not wait for the end of the loop's turn */
    TOLD_AT_ONCE = 256,       /* completions in a turn of the loop, which takes so many datagrams from a socket, too */
    KEEP_BYTES = 1024 * 1024, /* buffers that a burst made larger are given back after it */
};

struct completion {
    store_done_fn *fn;
    void *arg;
};

struct batch {
    uint8_t *data;
    size_t len, cap;
    struct completion *done;
    size_t done_count, done_cap;
    size_t writes;
    /* Set by the writer's thread. */
    enum store_result result;
    uint64_t spent_ns;
    char problem[160];
};

struct writer {
    uv_async_t async; /* rings when a batch has ended */
    uv_prepare_t prepare;
    uv_thread_t thread;
    uv_sem_t handed_over; /* a batch for the thread, or the order to stop */
    uv_sem_t given_back;  /* a batch from the thread */
    writer_run_fn *run;
    writer_tidy_fn *tidy;
    void *arg;
    struct batch batches[2];
    struct batch *gathering;  /* the loop's */
    struct batch *running;    /* the thread's, or NULL while it has nothing to do */
    struct completion *ended; /* of the batch that came back; swapped with its own */
    size_t ended_cap, ended_count, told;
    enum store_result ended_result;
    size_t queue_bytes;
    bool stopping; /* set before the last handing over */
    int open_handles;
    struct store_counters counters; /* queued_… are not kept here */
    char problem[160];              /* "" while writes succeed */
};

static void work(void *arg) {
    struct writer *writer = arg;
    for (;;) {
        uv_sem_wait(&writer->handed_over);
        if (writer->stopping)
            return;
        struct batch *batch = writer->running;
        uint64_t start_ns = uv_hrtime();
        batch->result = writer->run(writer->arg, batch->data, batch->len, batch->problem, sizeof batch->problem);
        batch->spent_ns = uv_hrtime() - start_ns;
        uv_sem_post(&writer->given_back);
        uv_async_send(&writer->async);
        writer->tidy(writer->arg);
    }
}

static void hand_over(struct writer *writer) {
    if (writer->running != NULL || writer->gathering->writes == 0)
        return;
    writer->running = writer->gathering;
    writer->gathering = &writer->batches[writer->running == &writer->batches[0]];
    uv_sem_post(&writer->handed_over);
}

static void note_result(struct writer *writer, const struct batch *batch) {
    writer->counters.transactions++;
    writer->counters.writes += batch->writes;
    writer->counters.commit_ns += batch->spent_ns;
    if (batch->result == STORE_OK) {
        if (writer->problem[0] != '\0')
            log_write(LOG_INFO, "db", "writing succeeds again");
        writer->problem[0] = '\0';
        return;
    }
    writer->counters.failed_transactions++;
    if (strcmp(writer->problem, batch->problem) != 0)
        log_write(LOG_ERROR, "db", "writing fails: %s", batch->problem);
    memcpy(writer->problem, batch->problem, sizeof writer->problem);
}

static void free_data(struct batch *batch) {
    free(batch->data);
    batch->data = NULL;
    batch->cap = 0;
}

static void free_completions(struct completion **completions, size_t *cap) {
    free(*completions);
    *completions = NULL;
    *cap = 0;
}

static void empty(struct batch *batch) {
    if (batch->cap > KEEP_BYTES)
        free_data(batch);
    batch->len = batch->writes = batch->done_count = 0;
}

/* The running batch has come back, and all have been told of the one before: start the next one. */
static void take_back(struct writer *writer) {
    struct batch *batch = writer->running;
    note_result(writer, batch);
    struct completion *told = writer->ended;
    size_t told_cap = writer->ended_cap;
    writer->ended = batch->done;
    writer->ended_cap = batch->done_cap;
    writer->ended_count = batch->done_count;
    writer->ended_result = batch->result;
    writer->told = 0;
    batch->done = told;
    batch->done_cap = told_cap;
    empty(batch);
    writer->running = NULL;
    hand_over(writer);
}

static bool is_telling(const struct writer *writer) {
    return writer->told < writer->ended_count;
}

/* Tell so many of those who wait for the batch that came back. */
static void tell(struct writer *writer, size_t most) {
    for (; most > 0 && is_telling(writer); most--) {
        struct completion ended = writer->ended[writer->told++];
        ended.fn(ended.arg, writer->ended_result);
    }
}

static void on_async(uv_async_t *async) {
    struct writer *writer = async->data;
    bool was_telling = is_telling(writer);
    if (!was_telling && uv_sem_trywait(&writer->given_back) == 0)
        take_back(writer);
    tell(writer, TOLD_AT_ONCE);
    if (was_telling || is_telling(writer)) /* the bell may have rung for the next batch meanwhile */
        uv_async_send(async);
}

static void on_prepare(uv_prepare_t *prepare) {
    hand_over(prepare->data);
}

struct writer *writer_new(uv_loop_t *loop, size_t queue_bytes, writer_run_fn *run, writer_tidy_fn *tidy, void *arg) {
    struct writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return NULL;
    writer->queue_bytes = queue_bytes;
    writer->run = run;
    writer->tidy = tidy;
    writer->arg = arg;
    writer->gathering = &writer->batches[0];
    if (uv_sem_init(&writer->handed_over, 0) != 0)
        goto no_first_semaphore;
    if (uv_sem_init(&writer->given_back, 0) != 0)
        goto no_second_semaphore;
    if (uv_async_init(loop, &writer->async, on_async) != 0)
        goto no_async;
    uv_prepare_init(loop, &writer->prepare);
    uv_prepare_start(&writer->prepare, on_prepare);
    writer->async.data = writer->prepare.data = writer;
    writer->open_handles = 2;
    uv_unref((uv_handle_t *)&writer->async);
    uv_unref((uv_handle_t *)&writer->prepare);
    if (uv_thread_create(&writer->thread, work, writer) == 0)
        return writer;
    writer->stopping = true;
    writer_close(writer);
    return NULL;

no_async:
    uv_sem_destroy(&writer->given_back);
no_second_semaphore:
    uv_sem_destroy(&writer->handed_over);
no_first_semaphore:
    free(writer);
    return NULL;
}

static bool reserve(struct batch *batch, size_t size, bool with_done) {
    if (size > batch->cap - batch->len) {
        size_t cap = batch->cap < DATA_MIN ? DATA_MIN : batch->cap * 2;
        while (cap - batch->len < size)
            cap *= 2;
        uint8_t *data = realloc(batch->data, cap);
        if (data == NULL)
            return false;
        batch->data = data;
        batch->cap = cap;
    }
    if (with_done && batch->done_count == batch->done_cap) {
        size_t cap = batch->done_cap < DONE_MIN ? DONE_MIN : batch->done_cap * 2;
        struct completion *done = realloc(batch->done, cap * sizeof *done);
        if (done == NULL)
            return false;
        batch->done = done;
        batch->done_cap = cap;
    }
    return true;
}

static size_t queued_bytes(const struct writer *writer) {
    return writer->gathering->len + (writer->running != NULL ? writer->running->len : 0);
}

uint8_t *writer_put(struct writer *writer, size_t size, store_done_fn *done, void *arg) {
    size_t queued = queued_bytes(writer);
    size_t padded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (queued > 0 && (queued > writer->queue_bytes || padded > writer->queue_bytes - queued))
        return NULL;
    if (writer->gathering->len >= SUBMIT_BYTES)
        hand_over(writer);
    struct batch *batch = writer->gathering;
    if (!reserve(batch, padded, done != NULL))
        return NULL;
    uint8_t *at = batch->data + batch->len;
    batch->len += padded;
    batch->writes++;
    if (done != NULL)
        batch->done[batch->done_count++] = (struct completion){.fn = done, .arg = arg};
    return at;
}

void writer_settle(struct writer *writer) {
    for (size_t i = 0; i < 2; i++) {
        struct batch *batch = &writer->batches[i];
        if (batch == writer->running || batch->writes > 0)
            continue;
        free_data(batch);
        free_completions(&batch->done, &batch->done_cap);
    }
    if (!is_telling(writer))
        free_completions(&writer->ended, &writer->ended_cap);
}

const char *writer_problem(const struct writer *writer) {
    return writer->problem[0] == '\0' ? NULL : writer->problem;
}

struct store_counters writer_counters(const struct writer *writer) {
    struct store_counters counters = writer->counters;
    counters.queued_writes = writer->gathering->writes + (writer->running != NULL ? writer->running->writes : 0);
    counters.queued_bytes = queued_bytes(writer);
    return counters;
}

static void on_close(uv_handle_t *handle) {
    struct writer *writer = handle->data;
    if (--writer->open_handles > 0)
        return;
    for (size_t i = 0; i < 2; i++) {
        free(writer->batches[i].data);
        free(writer->batches[i].done);
    }
    free(writer->ended);
    uv_sem_destroy(&writer->handed_over);
    uv_sem_destroy(&writer->given_back);
    free(writer);
}

static void stop_thread(struct writer *writer) {
    tell(writer, SIZE_MAX);
    for (hand_over(writer); writer->running != NULL; hand_over(writer)) {
        uv_sem_wait(&writer->given_back);
        take_back(writer);
        tell(writer, SIZE_MAX);
    }
    writer->stopping = true;
    uv_sem_post(&writer->handed_over);
    uv_thread_join(&writer->thread);
}

bool writer_close(struct writer *writer) {
    if (!writer->stopping)
        stop_thread(writer);
    bool succeeded = writer->problem[0] == '\0';
    uv_close((uv_handle_t *)&writer->async, on_close);
    uv_close((uv_handle_t *)&writer->prepare, on_close);
    return succeeded;
}
