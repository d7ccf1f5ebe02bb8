/* Two batches of rows go around: the reading thread fills one while the other is taken. */
#include "db/rows_ahead.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    ALONE_ROWS = 512, /* so many are read before a thread is worth its start */
    BATCH_ROWS = 256,
    BATCH_BYTES = 64 * 1024, /* a batch with that much is not added to */
    FAR_ROWS = 16,           /* so long before its turn a row is told of */
    NEAR_ROWS = 8,           /* and again */
};

/* The bytes of a value in `values` are at the offset `number` of `bytes`: that moves while it grows. */
struct batch {
    struct value *values; /* BATCH_ROWS rows of so many columns as there are */
    uint8_t *bytes;
    size_t used, size;
    size_t rows;
    enum rows_step last; /* ROWS_ROW: more rows follow in the other batch */
    bool is_short;       /* of memory */
    bool is_full;
};

struct reader {
    struct rows_source *source;
    struct batch batches[2];
    bool is_over; /* nobody takes any more */
    uv_mutex_t mutex;
    uv_cond_t changed;
    uv_thread_t thread;
};

/* ---- the reading thread ---- */

static bool reserve(struct batch *batch, size_t len) {
    if (batch->size - batch->used >= len)
        return true;
    size_t size = batch->used + len > 2 * batch->size ? batch->used + len : 2 * batch->size;
    uint8_t *bytes = realloc(batch->bytes, size);
    if (bytes == NULL)
        return false;
    batch->bytes = bytes;
    batch->size = size;
    return true;
}

static bool keep_row(const struct reader *reader, struct batch *batch, const struct value *row) {
    size_t columns = (size_t)reader->source->columns;
    struct value *values = batch->values + batch->rows * columns;
    for (size_t i = 0; i < columns; i++) {
        values[i] = row[i];
        if (row[i].kind != VALUE_BLOB || row[i].bytes.len == 0)
            continue;
        if (!reserve(batch, row[i].bytes.len))
            return false;
        memcpy(batch->bytes + batch->used, row[i].bytes.data, row[i].bytes.len);
        values[i].number = (int64_t)batch->used;
        batch->used += row[i].bytes.len;
    }
    batch->rows++;
    return true;
}

static void fill(const struct reader *reader, struct batch *batch) {
    struct value row[ROW_VALUES_MAX];
    batch->rows = batch->used = 0;
    do {
        batch->last = reader->source->next(reader->source, row);
        if (batch->last == ROWS_ROW && !keep_row(reader, batch, row)) {
            batch->last = ROWS_FAILED;
            batch->is_short = true;
        }
    } while (batch->last == ROWS_ROW && batch->rows < BATCH_ROWS && batch->used < BATCH_BYTES);
}

/* False when there is no more to do. */
static bool wait_for(struct reader *reader, struct batch *batch, bool is_full) {
    uv_mutex_lock(&reader->mutex);
    while (batch->is_full != is_full && !reader->is_over)
        uv_cond_wait(&reader->changed, &reader->mutex);
    bool goes_on = !reader->is_over;
    uv_mutex_unlock(&reader->mutex);
    return goes_on;
}

static void hand_over(struct reader *reader, struct batch *batch, bool is_full) {
    uv_mutex_lock(&reader->mutex);
    batch->is_full = is_full;
    uv_cond_signal(&reader->changed);
    uv_mutex_unlock(&reader->mutex);
}

static void read_ahead(void *arg) {
    struct reader *reader = arg;
    enum rows_step last = ROWS_ROW;
    for (int i = 0; last == ROWS_ROW && wait_for(reader, &reader->batches[i], false); i = 1 - i) {
        fill(reader, &reader->batches[i]);
        last = reader->batches[i].last;
        hand_over(reader, &reader->batches[i], true);
    }
}

/* ---- the one that takes ---- */

static bool open_reader(struct reader *reader, struct rows_source *source) {
    *reader = (struct reader){.source = source};
    for (int i = 0; i < 2; i++) {
        struct batch *batch = &reader->batches[i];
        batch->values = malloc(BATCH_ROWS * (size_t)source->columns * sizeof *batch->values);
        batch->bytes = malloc(BATCH_BYTES);
        batch->size = BATCH_BYTES;
    }
    if (reader->batches[0].values == NULL || reader->batches[1].values == NULL || reader->batches[0].bytes == NULL ||
        reader->batches[1].bytes == NULL || uv_mutex_init(&reader->mutex) != 0)
        return false;
    if (uv_cond_init(&reader->changed) == 0) {
        if (uv_thread_create(&reader->thread, read_ahead, reader) == 0)
            return true;
        uv_cond_destroy(&reader->changed);
    }
    uv_mutex_destroy(&reader->mutex);
    return false;
}

static void free_batches(struct reader *reader) {
    for (int i = 0; i < 2; i++) {
        free(reader->batches[i].values);
        free(reader->batches[i].bytes);
    }
}

static void close_reader(struct reader *reader) {
    uv_mutex_lock(&reader->mutex);
    reader->is_over = true;
    uv_cond_signal(&reader->changed);
    uv_mutex_unlock(&reader->mutex);
    uv_thread_join(&reader->thread);
    uv_cond_destroy(&reader->changed);
    uv_mutex_destroy(&reader->mutex);
    free_batches(reader);
}

static void point_at_bytes(const struct reader *reader, const struct batch *batch) {
    for (size_t i = 0; i < batch->rows * (size_t)reader->source->columns; i++) {
        struct value *value = &batch->values[i];
        if (value->kind == VALUE_BLOB && value->bytes.len > 0)
            value->bytes.data = batch->bytes + value->number;
    }
}

static bool take_batch(const struct reader *reader, const struct batch *batch, row_fn *each, expect_fn *expect,
                       void *arg) {
    size_t columns = (size_t)reader->source->columns;
    point_at_bytes(reader, batch);
    for (size_t row = 0; row < batch->rows; row++) {
        if (expect != NULL && row + FAR_ROWS < batch->rows)
            expect(batch->values + (row + FAR_ROWS) * columns, false, arg);
        if (expect != NULL && row + NEAR_ROWS < batch->rows)
            expect(batch->values + (row + NEAR_ROWS) * columns, true, arg);
        if (!each(batch->values + row * columns, arg))
            return false;
    }
    return true;
}

static enum rows_step take_alone(struct rows_source *source, size_t most, row_fn *each, void *arg, bool *sound) {
    struct value row[ROW_VALUES_MAX];
    enum rows_step last = ROWS_ROW;
    for (size_t i = 0; i < most && *sound && (last = source->next(source, row)) == ROWS_ROW; i++)
        *sound = each(row, arg);
    return last;
}

enum rows_step rows_take_all(struct rows_source *source, row_fn *each, expect_fn *expect, void *arg, bool *sound,
                             bool *is_short) {
    struct reader reader;
    *sound = true;
    *is_short = false;
    enum rows_step last = take_alone(source, ALONE_ROWS, each, arg, sound);
    if (last != ROWS_ROW || !*sound)
        return last;
    if (!open_reader(&reader, source)) {
        free_batches(&reader);
        return take_alone(source, SIZE_MAX, each, arg, sound);
    }
    for (int i = 0; last == ROWS_ROW && *sound; i = 1 - i) {
        struct batch *batch = &reader.batches[i];
        wait_for(&reader, batch, true);
        last = batch->last;
        *is_short = batch->is_short;
        *sound = take_batch(&reader, batch, each, expect, arg);
        hand_over(&reader, batch, false);
    }
    close_reader(&reader);
    return last;
}
