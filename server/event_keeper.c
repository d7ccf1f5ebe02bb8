#include "server/event_keeper.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "server/event_row.h"
#include "server/persist.h"

enum {
    RETRY_AFTER_MS = 2000,
    TRIM_EVERY = 256,         /* rows; what has left the log goes after so many at the latest … */
    TRIM_SHARE = 8,           /* … and when such a share of the log has been written since */
    KEEP_BYTES = 1024 * 1024, /* memory that a large event took is given back after it */
};

struct event_keeper {
    struct server *server;
    struct event_log *log;
    uv_prepare_t prepare; /* after what a turn of the loop has brought */
    struct timer pause;
    struct event_subscriber *subscriber; /* set from event_keeper_end on */
    uint64_t kept_id;                    /* up to this one they are in the database, or gone */
    uint64_t put_id;                     /* up to this one they are on their way */
    uint64_t trimmed_id;                 /* rows that end before this one are not in the database */
    size_t trim_rows, trim_bytes;        /* put since then */
    uint8_t *memory;
    size_t memory_size;
    uint64_t skipped;   /* rows or parts of them that made no sense */
    unsigned under_way; /* rows: one at most, but for the end */
    bool has_failed;    /* what is put waits for the timer, not for others to go with */
};

/* ---- writing ---- */

/* How many bytes the next row has, and up to which number. 0: there is nothing to write. */
static size_t measure(const struct event_keeper *keeper, uint64_t *first_id, uint64_t *last_id) {
    struct event event;
    size_t size = 0;
    for (uint64_t at = keeper->put_id; event_after(keeper->log, at, &event); at = event.id) {
        size_t more = event_row_size(&event);
        if (size == 0)
            *first_id = event.id;
        else if (event.id != *last_id + 1 || more > EVENT_KEEPER_ROW_BYTES - size)
            break;
        *last_id = event.id;
        size += more;
        if (size >= EVENT_KEEPER_ROW_BYTES)
            break;
    }
    return size;
}

static bool reserve(struct event_keeper *keeper, size_t size) {
    if (size <= keeper->memory_size)
        return true;
    size_t wanted = size < EVENT_KEEPER_ROW_BYTES ? EVENT_KEEPER_ROW_BYTES : size;
    uint8_t *memory = realloc(keeper->memory, wanted);
    if (memory == NULL)
        return false;
    keeper->memory = memory;
    keeper->memory_size = wanted;
    return true;
}

static void give_back(struct event_keeper *keeper) {
    if (keeper->memory_size <= KEEP_BYTES)
        return;
    free(keeper->memory);
    keeper->memory = NULL;
    keeper->memory_size = 0;
}

static struct slice encode(struct event_keeper *keeper, uint64_t first_id, uint64_t last_id, size_t size) {
    struct buffer out = buffer_over(keeper->memory, size);
    struct event event;
    for (uint64_t at = first_id - 1; at < last_id && event_after(keeper->log, at, &event); at = event.id)
        event_row_put(&out, &event);
    return buffer_slice(&out);
}

/* Rows that end before this number are to go; 0: none now. */
static uint64_t trim_before(const struct event_keeper *keeper) {
    uint64_t oldest_id = event_oldest_id(keeper->log);
    bool is_due =
        keeper->trim_rows >= TRIM_EVERY || keeper->trim_bytes >= keeper->server->config->event_bytes / TRIM_SHARE;
    return is_due && oldest_id > keeper->trimmed_id ? oldest_id : 0;
}

static void on_pause_over(struct timer *timer, void *arg) {
    (void)arg;
    TIMER_OWNER(timer, struct event_keeper, pause)->has_failed = false;
}

static void pause_for(struct event_keeper *keeper, uint64_t ms) {
    struct server *server = keeper->server;
    timer_schedule(&server->wheel, &keeper->pause, clock_now_ms(&server->clock) + ms, on_pause_over);
}

static void put_rest(struct event_keeper *keeper);

static void on_put(void *arg, enum store_result result) {
    struct event_keeper *keeper = arg;
    keeper->under_way--;
    if (result == STORE_OK) {
        keeper->kept_id = keeper->put_id;
        if (keeper->subscriber != NULL)
            put_rest(keeper);
        return;
    }
    keeper->put_id = keeper->kept_id;
    keeper->trimmed_id = 0;
    keeper->has_failed = true;
    pause_for(keeper, RETRY_AFTER_MS);
}

/* One row more is on its way. False: there is nothing, or no room. */
static bool put_row(struct event_keeper *keeper) {
    uint64_t first_id = 0, last_id = 0;
    size_t size = measure(keeper, &first_id, &last_id);
    if (size == 0 || !reserve(keeper, size))
        return false;
    const struct store_events row = {.first_id = first_id,
                                     .last_id = last_id,
                                     .oldest_id = trim_before(keeper),
                                     .bytes = encode(keeper, first_id, last_id, size)};
    enum store_result result = store_put_events(keeper->server->store, &row, on_put, keeper);
    give_back(keeper);
    if (result != STORE_OK)
        return false;
    keeper->put_id = last_id;
    keeper->under_way++;
    keeper->trim_rows++;
    keeper->trim_bytes += size;
    if (row.oldest_id > 0) {
        keeper->trimmed_id = row.oldest_id;
        keeper->trim_rows = keeper->trim_bytes = 0;
    }
    return true;
}

/* One row at a time, so that those that come while it is written go together. What others write is waited for by them in
 * any case, and costs no transaction more. */
static void on_prepare(uv_prepare_t *prepare) {
    struct event_keeper *keeper = prepare->data;
    if (keeper->under_way > 0 || keeper->put_id == event_last_id(keeper->log))
        return;
    bool has_company = !keeper->has_failed && store_counters(keeper->server->store).queued_writes > 0;
    if (timer_is_scheduled(&keeper->pause) && !has_company)
        return;
    pause_for(keeper, EVENT_KEEPER_PAUSE_MS);
    if (!put_row(keeper) && event_oldest_id(keeper->log) > event_last_id(keeper->log))
        keeper->put_id = keeper->kept_id = event_last_id(keeper->log); /* all were cleared */
}

void event_keeper_clear(struct event_keeper *keeper, store_done_fn *done, void *arg) {
    const struct store_events none = {.oldest_id = event_last_id(keeper->log) + 1};
    enum store_result result = store_put_events(keeper->server->store, &none, done, arg);
    if (result != STORE_OK && done != NULL)
        done(arg, result);
}

uint64_t event_keeper_last_id(const struct event_keeper *keeper) {
    return keeper->kept_id;
}

/* ---- the start ---- */

static void load(void *arg, const struct store_events *row) {
    struct event_keeper *keeper = arg;
    struct slice rest = row->bytes;
    struct event event;
    for (uint64_t id = row->first_id; id <= row->last_id && event_row_take(&rest, &event); id++) {
        event.id = id;
        if (id <= keeper->server->reserved_event_id)
            event_restore(keeper->log, &event); /* of an event that was written twice the first one counts */
    }
    keeper->skipped += rest.len > 0;
}

struct event_keeper *event_keeper_start(struct server *server, char *error, size_t error_size) {
    struct event_keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    keeper->server = server;
    keeper->log = server->events;
    if (!store_load_events(server->store, load, keeper, error, error_size)) {
        free(keeper);
        return NULL;
    }
    if (keeper->skipped > 0)
        log_write(LOG_WARN, "server", "events in %" PRIu64 " rows make no sense and are left out", keeper->skipped);
    event_log_go_on(keeper->log, server->reserved_event_id + 1);
    keeper->kept_id = keeper->put_id = event_last_id(keeper->log);
    uv_prepare_init(server->loop, &keeper->prepare);
    uv_prepare_start(&keeper->prepare, on_prepare);
    uv_unref((uv_handle_t *)&keeper->prepare);
    keeper->prepare.data = keeper;
    return keeper;
}

/* ---- the end ---- */

/* The number comes after what it stands behind. */
static void put_rest(struct event_keeper *keeper) {
    while (put_row(keeper))
        continue;
    if (keeper->under_way == 0)
        persist_last_event_number(keeper->server);
}

static void on_last_events(void *arg, const struct event *event) {
    (void)event;
    put_rest(arg);
}

void event_keeper_end(struct event_keeper *keeper) {
    uv_prepare_stop(&keeper->prepare);
    timer_cancel(&keeper->server->wheel, &keeper->pause);
    keeper->subscriber = event_subscribe(keeper->log, on_last_events, keeper);
    put_rest(keeper);
}

static void on_close(uv_handle_t *handle) {
    struct event_keeper *keeper = handle->data;
    free(keeper->memory);
    free(keeper);
}

void event_keeper_free(struct event_keeper *keeper) {
    if (keeper == NULL)
        return;
    timer_cancel(&keeper->server->wheel, &keeper->pause);
    event_unsubscribe(keeper->log, keeper->subscriber);
    uv_close((uv_handle_t *)&keeper->prepare, on_close);
}
