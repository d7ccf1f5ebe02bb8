/* Every request is in a hash table by id; those that wait or run are in the queue of their device as well, and those that
 * wait in a heap by the time at which they expire; those that are over are in a list by the time at which they were.
 *
 * A result and a cancellation are told when they are stored. Meanwhile the request is `finishing`: it stays where it is in
 * its queue, is not run, and what waits behind it waits. That a request has expired, or its registration ended, is told
 * at once, so that it is part of a leap of the clock: should it not be stored, it will be found again at the next start.
 * When a write fails it is tried again every RETRY_MS. */
#include "server/queue.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/awake.h"
#include "server/dealings.h"
#include "server/fault.h"
#include "server/persist.h"
#include "server/queue_settings.h"

enum { RETRY_MS = 2000, BUCKETS_MIN = 64, DELETED_AT_ONCE = 256 };

struct queue_entry {
    struct queued_request shown;    /* first member */
    struct device_queue *device;    /* NULL: in no queue */
    TAILQ_ENTRY(queue_entry) entry; /* of the queue; else, when it is over, of the results */
    struct queue_entry *next;       /* in its bucket */
    size_t heap_place;              /* plus 1; 0: not in the heap */
    uint8_t *result;                /* of shown.result, owned */
    size_t result_len;
    struct event_request told; /* while finishing: what the event will say, its state among it */
    uint8_t coap_code;         /* likewise */
    bool is_stored;            /* before, it is neither run nor found */
    bool is_finishing;
    bool is_unsaved;       /* the store does not know yet that it is over … */
    bool is_being_written; /* … and will soon */
    uint8_t bytes[];       /* endpoint and job */
};

struct queues {
    queue_run_fn *run;
    void *run_arg;
    struct queue_entry **buckets; /* bucket_count of them, a power of two */
    size_t bucket_count, count;   /* count: of all entries */
    struct queue_entry **heap;
    size_t heap_count, heap_cap;
    TAILQ_HEAD(queue_results, queue_entry) results; /* oldest first */
    size_t result_count;
    size_t bytes, result_bytes; /* of all entries, and of those in `results` */
    uint64_t next_id, reserved_id;
    struct timer expiry; /* of what is at the top of the heap */
    struct timer old;    /* when the oldest result has been kept long enough */
    struct timer retry;
};

const char *queue_state_name(enum queue_state state) {
    switch (state) {
    case QUEUE_WAITING:
        return "queued";
    case QUEUE_RUNNING:
        return "running";
    case QUEUE_COMPLETED:
        return "completed";
    case QUEUE_EXPIRED:
        return "expired";
    case QUEUE_CANCELLED:
        return "cancelled";
    case QUEUE_FAILED:
    case QUEUE_ENDED:
        return "failed";
    }
    return "failed";
}

static uint64_t now(const struct server *server) {
    return clock_now_ms(&server->clock);
}

static size_t bytes_of(const struct queue_entry *e) {
    return sizeof *e + e->shown.endpoint.len + e->shown.job.len + e->result_len;
}

/* ---- by id ---- */

static struct queue_entry **bucket_of(const struct queues *queues, uint64_t id) {
    return &queues->buckets[id & (queues->bucket_count - 1)]; /* ids rise one by one: they spread by themselves */
}

static struct queue_entry *find(const struct queues *queues, uint64_t id) {
    struct queue_entry *e = queues->bucket_count == 0 ? NULL : *bucket_of(queues, id);
    while (e != NULL && e->shown.id != id)
        e = e->next;
    return e;
}

/* False when there is no memory for the first buckets; later ones only make it faster. */
static bool reserve_buckets(struct queues *queues) {
    if (queues->count < queues->bucket_count)
        return true;
    size_t before = queues->bucket_count, count = before == 0 ? BUCKETS_MIN : before * 2;
    struct queue_entry **old = queues->buckets, **grown = calloc(count, sizeof(struct queue_entry *));
    if (grown == NULL)
        return before > 0;
    queues->buckets = grown;
    queues->bucket_count = count;
    for (size_t i = 0; i < before; i++) {
        while (old[i] != NULL) {
            struct queue_entry *e = old[i], **bucket = bucket_of(queues, e->shown.id);
            old[i] = e->next;
            e->next = *bucket;
            *bucket = e;
        }
    }
    free(old);
    return true;
}

static void unlink_from_bucket(struct queues *queues, const struct queue_entry *e) {
    struct queue_entry **at = bucket_of(queues, e->shown.id);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
}

/* ---- by expiry: a binary heap ---- */

static void set_place(struct queues *queues, size_t place, struct queue_entry *e) {
    queues->heap[place] = e;
    e->heap_place = place + 1;
}

static bool is_before(const struct queue_entry *a, const struct queue_entry *b) {
    return a->shown.expires_at_ms != b->shown.expires_at_ms ? a->shown.expires_at_ms < b->shown.expires_at_ms
                                                            : a->shown.id < b->shown.id;
}

static void sift_up(struct queues *queues, size_t place, struct queue_entry *e) {
    while (place > 0 && is_before(e, queues->heap[(place - 1) / 2])) {
        set_place(queues, place, queues->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    set_place(queues, place, e);
}

static void sift_down(struct queues *queues, size_t place, struct queue_entry *e) {
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < queues->heap_count && is_before(queues->heap[child + 1], queues->heap[child]))
            child++;
        if (child >= queues->heap_count || !is_before(queues->heap[child], e))
            break;
        set_place(queues, place, queues->heap[child]);
        place = child;
    }
    set_place(queues, place, e);
}

/* So that whatever waits can be put back into the heap at any time. */
static bool reserve_heap(struct queues *queues) {
    size_t needed = queues->count - queues->result_count + 1;
    if (needed <= queues->heap_cap)
        return true;
    size_t cap = queues->heap_cap == 0 ? BUCKETS_MIN : queues->heap_cap * 2;
    struct queue_entry **grown = realloc(queues->heap, cap * sizeof(struct queue_entry *));
    if (grown == NULL)
        return false;
    queues->heap = grown;
    queues->heap_cap = cap;
    return true;
}

static void on_expiry(struct timer *timer, void *arg);

static void watch_expiry(struct server *server) {
    struct queues *queues = server->queues;
    if (queues->heap_count == 0)
        timer_cancel(&server->wheel, &queues->expiry);
    else
        timer_schedule(&server->wheel, &queues->expiry, queues->heap[0]->shown.expires_at_ms, on_expiry);
}

static void heap_add(struct server *server, struct queue_entry *e) {
    struct queues *queues = server->queues;
    sift_up(queues, queues->heap_count++, e);
    watch_expiry(server);
}

static void heap_remove(struct server *server, struct queue_entry *e) {
    struct queues *queues = server->queues;
    if (e->heap_place == 0)
        return;
    size_t place = e->heap_place - 1;
    struct queue_entry *last = queues->heap[--queues->heap_count];
    e->heap_place = 0;
    if (last != e) {
        if (place > 0 && is_before(last, queues->heap[(place - 1) / 2]))
            sift_up(queues, place, last);
        else
            sift_down(queues, place, last);
    }
    watch_expiry(server);
}

/* ---- entries ---- */

/* NULL when out of memory. */
static struct queue_entry *entry_new(struct server *server, uint64_t id, struct slice endpoint, struct slice job) {
    struct queues *queues = server->queues;
    if (!reserve_buckets(queues) || !reserve_heap(queues))
        return NULL;
    struct queue_entry *e = malloc(sizeof *e + endpoint.len + job.len);
    if (e == NULL)
        return NULL;
    *e = (struct queue_entry){.shown = {.id = id}};
    memcpy(e->bytes, endpoint.data, endpoint.len);
    memcpy(e->bytes + endpoint.len, job.data, job.len);
    e->shown.endpoint = slice_of(e->bytes, endpoint.len);
    e->shown.job = slice_of(e->bytes + endpoint.len, job.len);
    struct queue_entry **bucket = bucket_of(queues, id);
    e->next = *bucket;
    *bucket = e;
    queues->count++;
    queues->bytes += bytes_of(e);
    return e;
}

/* In no queue any more, and no result. */
static void entry_free(struct server *server, struct queue_entry *e) {
    struct queues *queues = server->queues;
    heap_remove(server, e);
    unlink_from_bucket(queues, e);
    queues->count--;
    queues->bytes -= bytes_of(e);
    free(e->result);
    free(e);
}

/* At the end: ids rise, and what is loaded comes in their order. */
static void enqueue(struct device_queue *queue, struct queue_entry *e) {
    TAILQ_INSERT_TAIL(&queue->entries, e, entry);
    queue->count++;
    e->device = queue;
}

static void dequeue(struct queue_entry *e) {
    TAILQ_REMOVE(&e->device->entries, e, entry);
    e->device->count--;
    e->device = NULL;
}

/* ---- results ---- */

static void on_old(struct timer *timer, void *arg);

static void watch_age(struct server *server) {
    struct queues *queues = server->queues;
    const struct queue_entry *oldest = TAILQ_FIRST(&queues->results);
    if (oldest == NULL)
        timer_cancel(&server->wheel, &queues->old);
    else
        timer_schedule(&server->wheel, &queues->old, oldest->shown.completed_at_ms + QUEUE_RESULT_KEPT_MS, on_old);
}

/* In the order of their ends; after a start they come in another. */
static void add_result(struct server *server, struct queue_entry *e) {
    struct queues *queues = server->queues;
    struct queue_entry *before = TAILQ_LAST(&queues->results, queue_results);
    while (before != NULL && before->shown.completed_at_ms > e->shown.completed_at_ms)
        before = TAILQ_PREV(before, queue_results, entry);
    if (before == NULL)
        TAILQ_INSERT_HEAD(&queues->results, e, entry);
    else
        TAILQ_INSERT_AFTER(&queues->results, before, e, entry);
    queues->result_count++;
    queues->result_bytes += bytes_of(e);
}

static void remove_result(struct server *server, struct queue_entry *e) {
    TAILQ_REMOVE(&server->queues->results, e, entry);
    server->queues->result_count--;
    server->queues->result_bytes -= bytes_of(e);
    entry_free(server, e);
}

/* Forget the oldest results while `is_enough` says no, in the store too. What the store does not take now is forgotten
 * after the next start. */
typedef bool enough_fn(const struct server *server, size_t needed, const struct queue_entry *oldest);

static void forget_results(struct server *server, enough_fn *is_enough, size_t needed) {
    uint64_t ids[DELETED_AT_ONCE];
    size_t count = 0;
    struct queue_entry *oldest;
    while ((oldest = TAILQ_FIRST(&server->queues->results)) != NULL && !is_enough(server, needed, oldest)) {
        ids[count++] = oldest->shown.id;
        remove_result(server, oldest);
        if (count == DELETED_AT_ONCE) {
            store_delete_requests(server->store, ids, count, NULL, NULL);
            count = 0;
        }
    }
    if (count > 0)
        store_delete_requests(server->store, ids, count, NULL, NULL);
    watch_age(server);
}

static bool is_young(const struct server *server, size_t needed, const struct queue_entry *oldest) {
    (void)needed;
    return oldest->shown.completed_at_ms + QUEUE_RESULT_KEPT_MS > now(server);
}

static void on_old(struct timer *timer, void *arg) {
    (void)timer;
    forget_results(arg, is_young, 0);
}

static bool has_room(const struct server *server, size_t needed, const struct queue_entry *oldest) {
    (void)oldest;
    return server->queues->bytes + needed <= QUEUE_BYTES_MAX;
}

/* The one that has just come is kept whatever its size. */
static bool is_within_limits(const struct server *server, size_t needed, const struct queue_entry *oldest) {
    return TAILQ_NEXT(oldest, entry) == NULL ||
           (server->queues->result_count <= QUEUE_RESULTS_MAX && has_room(server, needed, oldest));
}

/* ---- running ---- */

static void on_start(struct timer *timer, void *arg) {
    struct server *server = arg;
    struct device_queue *queue = TIMER_OWNER(timer, struct device_queue, start);
    struct queue_entry *head = TAILQ_FIRST(&queue->entries);
    if (server->queues->run == NULL || head == NULL || !awake_is(queue->registration))
        return;
    if (!cluster_may_serve(server->cluster)) { /* another server may be running it */
        timer_schedule(&server->wheel, timer, now(server) + RETRY_MS, on_start);
        return;
    }
    /* Else it goes on when the one that is under way is over, or in the store. */
    if (head->shown.state == QUEUE_RUNNING || head->is_finishing || !head->is_stored)
        return;
    heap_remove(server, head);
    head->shown.state = QUEUE_RUNNING;
    head->shown.attempts++;
    server->queues->run(server->queues->run_arg, &head->shown);
}

/* Not from here, but from the loop: whoever calls is in the middle of something. */
static void start_in(struct server *server, struct device_queue *queue, uint64_t delay_ms) {
    if (!timer_is_scheduled(&queue->start) && TAILQ_FIRST(&queue->entries) != NULL && awake_is(queue->registration))
        timer_schedule(&server->wheel, &queue->start, now(server) + delay_ms, on_start);
}

void queue_resume(struct server *server, struct registration *r) {
    struct device_queue *queue = queue_of(r);
    if (queue != NULL)
        start_in(server, queue, server->config->queue_delay_ms);
}

void queue_set_runner(struct server *server, queue_run_fn *run, void *arg) {
    struct queues *queues = server->queues;
    queues->run = run;
    queues->run_arg = arg;
    for (size_t i = 0; run != NULL && i < queues->heap_count; i++)
        start_in(server, queues->heap[i]->device, 0);
}

/* ---- leaving the queue ---- */

/* A write on its way to the store. */
struct pending {
    struct server *server;
    uint64_t id;
    store_done_fn *done; /* NULL: nobody waits */
    void *arg;
};

static struct pending *pending_new(struct server *server, uint64_t id, store_done_fn *done, void *arg) {
    struct pending *pending = malloc(sizeof *pending);
    if (pending != NULL)
        *pending = (struct pending){server, id, done, arg};
    return pending;
}

static void end_pending(struct pending *pending, enum store_result result) {
    if (pending->done != NULL)
        pending->done(pending->arg, result);
    free(pending);
}

static void on_retry(struct timer *timer, void *arg);

static void retry_later(struct server *server) {
    if (!timer_is_scheduled(&server->queues->retry))
        timer_schedule(&server->wheel, &server->queues->retry, now(server) + RETRY_MS, on_retry);
}

/* It is over. */
static void conclude(struct server *server, struct queue_entry *e) {
    struct device_queue *queue = e->device;
    e->is_finishing = false;
    e->shown.state = (enum queue_state)e->told.state;
    e->shown.result = slice_of(e->result, e->result_len);
    if (queue != NULL)
        dequeue(e);
    add_result(server, e);
    struct event event = {
        .type = EVENT_REQUEST_COMPLETED, .endpoint = e->shown.endpoint, .coap_code = e->coap_code, .request = e->told};
    event_publish(server->events, &event);
    persist_event_numbers(server);
    forget_results(server, is_within_limits, 0);
    if (queue == NULL)
        return;
    start_in(server, queue, 0);
    queue_settle(server, queue->registration);
}

/* A cancellation that could not be stored has not happened: it waits as before. */
static void take_back_cancellation(struct server *server, struct queue_entry *e) {
    e->is_finishing = e->is_unsaved = false;
    e->shown.completed_at_ms = 0;
    heap_add(server, e);
    start_in(server, e->device, 0);
}

static void on_finish_stored(void *arg, enum store_result result) {
    struct pending *pending = arg;
    struct server *server = pending->server;
    struct queue_entry *e = find(server->queues, pending->id);
    clock_update(&server->clock);
    if (e != NULL) {
        e->is_being_written = false;
        e->is_unsaved = result != STORE_OK;
        if (result != STORE_OK && e->told.state == QUEUE_CANCELLED && e->device != NULL)
            take_back_cancellation(server, e);
        else if (result != STORE_OK)
            retry_later(server);
        else if (e->is_finishing)
            conclude(server, e);
    }
    end_pending(pending, result);
}

static void write_finish(struct server *server, struct queue_entry *e, store_done_fn *done, void *arg) {
    struct pending *pending = pending_new(server, e->shown.id, done, arg);
    if (pending == NULL) {
        retry_later(server);
        if (done != NULL)
            done(arg, STORE_IO);
        return;
    }
    struct store_request row = {.id = e->shown.id,
                                .state = e->told.state,
                                .completed_at_ms = e->shown.completed_at_ms,
                                .result = slice_of(e->result, e->result_len)};
    e->is_being_written = true;
    enum store_result result = store_finish_request(server->store, &row, on_finish_stored, pending);
    if (result != STORE_OK)
        on_finish_stored(pending, result);
}

static void on_retry(struct timer *timer, void *arg) {
    struct server *server = arg;
    struct queues *queues = server->queues;
    (void)timer;
    for (size_t i = 0; i < queues->bucket_count; i++) {
        for (struct queue_entry *e = queues->buckets[i]; e != NULL; e = e->next) {
            if (e->is_unsaved && !e->is_being_written && e->is_stored)
                write_finish(server, e, NULL, NULL);
        }
    }
}

/* Begin to leave the queue, or leave it. */
static void finish(struct server *server, struct queue_entry *e, enum queue_state state, store_done_fn *done,
                   void *arg) {
    bool tell_at_once = e->is_stored && (state == QUEUE_EXPIRED || state == QUEUE_ENDED);
    heap_remove(server, e);
    e->is_finishing = e->is_unsaved = true;
    e->told.id = e->shown.id;
    e->told.state = (uint8_t)state;
    e->shown.completed_at_ms = now(server);
    write_finish(server, e, done, arg);
    if (tell_at_once)
        conclude(server, e);
}

static void on_expiry(struct timer *timer, void *arg) {
    struct server *server = arg;
    struct queues *queues = server->queues;
    (void)timer;
    while (queues->heap_count > 0 && queues->heap[0]->shown.expires_at_ms <= now(server))
        finish(server, queues->heap[0], QUEUE_EXPIRED, NULL, NULL);
    watch_expiry(server);
}

static struct queue_entry *running(const struct server *server, uint64_t id) {
    struct queue_entry *e = find(server->queues, id);
    return e != NULL && e->shown.state == QUEUE_RUNNING && !e->is_finishing ? e : NULL;
}

void queue_done(struct server *server, uint64_t id, const struct queue_outcome *outcome) {
    struct queue_entry *e = running(server, id);
    if (e == NULL)
        return;
    size_t len = outcome->result.len;
    e->result = len == 0 ? NULL : malloc(len);
    if (e->result != NULL) { /* without memory there is an outcome, but no result */
        memcpy(e->result, outcome->result.data, len);
        e->result_len = len;
        server->queues->bytes += len;
    }
    e->told.status = outcome->status;
    e->coap_code = outcome->coap_code;
    finish(server, e, outcome->state, NULL, NULL);
}

void queue_put_back(struct server *server, uint64_t id, uint64_t delay_ms) {
    struct queue_entry *e = running(server, id);
    if (e == NULL)
        return;
    e->shown.state = QUEUE_WAITING;
    if (e->shown.expires_at_ms <= now(server)) {
        finish(server, e, QUEUE_EXPIRED, NULL, NULL);
        return;
    }
    heap_add(server, e);
    start_in(server, e->device, delay_ms);
}

/* ---- coming into the queue ---- */

static void on_put_stored(void *arg, enum store_result result) {
    struct pending *pending = arg;
    struct server *server = pending->server;
    struct queue_entry *e = find(server->queues, pending->id);
    clock_update(&server->clock);
    if (e != NULL && result == STORE_OK) {
        e->is_stored = true;
        if (e->device != NULL)
            start_in(server, e->device, 0);
    } else if (e != NULL) {
        struct device_queue *queue = e->device;
        if (queue != NULL)
            dequeue(e);
        entry_free(server, e);
        if (queue != NULL)
            queue_settle(server, queue->registration);
        persist_until_it_works(server);
    }
    end_pending(pending, result);
}

static void reserve_ids(struct server *server) {
    struct queues *queues = server->queues;
    queues->reserved_id = persist_request_ids(server, queues->next_id, queues->reserved_id);
}

enum queue_refusal queue_put(struct server *server, struct slice endpoint, struct slice job, uint64_t expires_at_ms,
                             store_done_fn *done, void *arg, uint64_t *id) {
    struct queues *queues = server->queues;
    struct registration *r = directory_find(server->directory, endpoint);
    if (r == NULL)
        return QUEUE_NOT_REGISTERED;
    const struct device_queue *before = queue_of(r);
    if (before != NULL && before->count >= queue_settings_of(server, endpoint).limit)
        return QUEUE_FULL;
    if (fault_refuses(server, FAULT_FILL_QUEUE, endpoint))
        return QUEUE_FULL;
    size_t needed = sizeof(struct queue_entry) + endpoint.len + job.len;
    if (queues->bytes - queues->result_bytes + needed > QUEUE_BYTES_MAX)
        return QUEUE_NO_ROOM;
    forget_results(server, has_room, needed);
    struct pending *pending = pending_new(server, queues->next_id, done, arg);
    struct device_queue *queue = pending == NULL ? NULL : queue_make(r);
    struct queue_entry *e = queue == NULL ? NULL : entry_new(server, queues->next_id, endpoint, job);
    if (e == NULL) {
        free(pending);
        queue_settle(server, r);
        return QUEUE_NO_ROOM;
    }
    *id = queues->next_id++;
    e->shown.created_at_ms = now(server);
    e->shown.expires_at_ms = expires_at_ms;
    enqueue(queue, e);
    heap_add(server, e);
    reserve_ids(server);
    struct store_request row = {.id = e->shown.id,
                                .endpoint = endpoint,
                                .job = job,
                                .created_at_ms = e->shown.created_at_ms,
                                .expires_at_ms = expires_at_ms};
    enum store_result result = store_put_request(server->store, &row, on_put_stored, pending);
    if (result != STORE_OK)
        on_put_stored(pending, result);
    return QUEUE_ACCEPTED;
}

/* ---- looking and cancelling ---- */

const struct queued_request *queue_find(const struct server *server, uint64_t id) {
    const struct queue_entry *e = find(server->queues, id);
    return e == NULL || !e->is_stored ? NULL : &e->shown;
}

const struct queued_request *queue_next(const struct server *server, struct slice endpoint,
                                        const struct queued_request *previous) {
    const struct registration *r = directory_find(server->directory, endpoint);
    const struct device_queue *queue = r == NULL ? NULL : queue_of(r);
    if (queue == NULL)
        return NULL;
    const struct queue_entry *e = previous == NULL
                                      ? TAILQ_FIRST(&queue->entries)
                                      : TAILQ_NEXT((const struct queue_entry *)(const void *)previous, entry);
    return e == NULL || !e->is_stored ? NULL : &e->shown; /* what is not stored yet stands behind what is */
}

bool queue_cancel(struct server *server, uint64_t id, store_done_fn *done, void *arg) {
    struct queue_entry *e = find(server->queues, id);
    if (e == NULL || !e->is_stored || e->is_finishing || e->shown.state == QUEUE_RUNNING)
        return false;
    if (!queue_is_over(&e->shown)) {
        finish(server, e, QUEUE_CANCELLED, done, arg);
        return true;
    }
    enum store_result result = store_delete_requests(server->store, &id, 1, done, arg);
    if (result != STORE_OK) {
        done(arg, result);
        return true;
    }
    remove_result(server, e);
    watch_age(server);
    return true;
}

static bool may_cancel(const struct queue_entry *e) {
    return e->is_stored && !e->is_finishing && e->shown.state == QUEUE_WAITING;
}

void queue_cancel_all(struct server *server, struct slice endpoint, store_done_fn *done, void *arg) {
    const struct registration *r = directory_find(server->directory, endpoint);
    struct device_queue *queue = r == NULL ? NULL : queue_of(r);
    struct queue_entry *e, *next, *last = NULL;
    if (queue != NULL) {
        TAILQ_FOREACH(e, &queue->entries, entry) {
            last = may_cancel(e) ? e : last;
        }
    }
    if (last == NULL) {
        done(arg, STORE_OK);
        return;
    }
    /* Writes are committed in their order, so the last one tells of all. Nothing leaves the queue before. */
    for (e = TAILQ_FIRST(&queue->entries); e != last; e = next) {
        next = TAILQ_NEXT(e, entry);
        if (may_cancel(e))
            finish(server, e, QUEUE_CANCELLED, NULL, NULL);
    }
    finish(server, last, QUEUE_CANCELLED, done, arg);
}

struct queue_counters queue_counters(const struct server *server) {
    const struct queues *queues = server->queues;
    return (struct queue_counters){
        .waiting = queues->count - queues->result_count, .results = queues->result_count, .bytes = queues->bytes};
}

uint64_t queue_next_id(const struct server *server) {
    return server->queues->next_id;
}

/* ---- the queue of a device ---- */

struct device_queue *queue_of(const struct registration *r) {
    return r->dealings == NULL ? NULL : r->dealings->queue;
}

struct device_queue *queue_make(struct registration *r) {
    struct dealings *dealings = dealings_of(r);
    if (dealings == NULL || dealings->queue != NULL)
        return dealings == NULL ? NULL : dealings->queue;
    dealings->queue = calloc(1, sizeof *dealings->queue);
    if (dealings->queue == NULL) {
        dealings_settle(r);
        return NULL;
    }
    dealings->queue->registration = r;
    TAILQ_INIT(&dealings->queue->entries);
    return dealings->queue;
}

void queue_settle(struct server *server, struct registration *r) {
    struct device_queue *queue = queue_of(r);
    if (queue == NULL || queue->count > 0 || timer_is_scheduled(&queue->awake))
        return;
    timer_cancel(&server->wheel, &queue->start);
    free(queue);
    r->dealings->queue = NULL;
    dealings_settle(r);
}

void queue_hand_over(struct registration *r) {
    struct device_queue *queue = queue_of(r);
    if (queue != NULL)
        queue->registration = r;
}

void queue_end(struct server *server, struct registration *r) {
    struct device_queue *queue = queue_of(r);
    struct queue_entry *e;
    while (queue != NULL && (e = TAILQ_FIRST(&queue->entries)) != NULL) {
        dequeue(e);
        if (!e->is_finishing)
            finish(server, e, QUEUE_ENDED, NULL, NULL);
    }
    queue_settle(server, r);
}

void queue_drop(struct server *server, struct registration *r) {
    struct device_queue *queue = queue_of(r);
    struct queue_entry *e;
    while (queue != NULL && (e = TAILQ_FIRST(&queue->entries)) != NULL) {
        dequeue(e);
        entry_free(server, e);
    }
    queue_settle(server, r);
}

static void drop(struct server *server, struct queue_entry *e) {
    struct device_queue *queue = e->device;
    if (queue_is_over(&e->shown)) {
        remove_result(server, e);
        return;
    }
    if (queue != NULL)
        dequeue(e);
    entry_free(server, e);
    if (queue != NULL)
        queue_settle(server, queue->registration);
}

void queue_drop_before(struct server *server, uint64_t before_id) {
    struct queues *queues = server->queues;
    for (size_t i = 0; i < queues->bucket_count; i++) {
        struct queue_entry *next;
        for (struct queue_entry *e = queues->buckets[i]; e != NULL; e = next) {
            next = e->next;
            if (e->shown.id < before_id && e->shown.state != QUEUE_RUNNING)
                drop(server, e);
        }
    }
    watch_age(server);
}

/* ---- start and stop ---- */

static void load(void *arg, const struct store_request *row) {
    struct server *server = arg;
    struct registration *r = directory_find(server->directory, row->endpoint);
    struct device_queue *queue = row->state == QUEUE_WAITING && r != NULL ? queue_make(r) : NULL;
    struct queue_entry *e = entry_new(server, row->id, row->endpoint, row->job);
    if (e == NULL) {
        log_write(LOG_WARN, "server", "a stored request is left out: out of memory");
        return;
    }
    if (server->queues->next_id <= row->id)
        server->queues->next_id = row->id + 1;
    e->is_stored = true;
    e->shown.created_at_ms = row->created_at_ms;
    e->shown.expires_at_ms = row->expires_at_ms;
    e->shown.completed_at_ms = row->completed_at_ms;
    if (row->state != QUEUE_WAITING) {
        bool is_known = row->state <= QUEUE_ENDED && row->state != QUEUE_RUNNING; /* which is stored as waiting */
        e->shown.state = is_known ? (enum queue_state)row->state : QUEUE_FAILED;
        e->result = row->result.len == 0 ? NULL : malloc(row->result.len);
        if (e->result != NULL) {
            memcpy(e->result, row->result.data, row->result.len);
            e->result_len = row->result.len;
            e->shown.result = slice_of(e->result, e->result_len);
            server->queues->bytes += e->result_len;
        }
        add_result(server, e);
    } else if (queue != NULL) {
        enqueue(queue, e);
        heap_add(server, e);
    }
}

/* What waits for a registration that ended when there was no time to say so. */
static void end_left_over(struct server *server) {
    struct queues *queues = server->queues;
    for (size_t i = 0; i < queues->bucket_count; i++) {
        for (struct queue_entry *e = queues->buckets[i]; e != NULL; e = e->next) {
            if (e->shown.state == QUEUE_WAITING && e->device == NULL)
                finish(server, e, QUEUE_ENDED, NULL, NULL);
        }
    }
}

bool queue_start(struct server *server, uint64_t last_id, char *error, size_t error_size) {
    struct queues *queues = server->queues = calloc(1, sizeof *queues);
    if (queues == NULL) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    TAILQ_INIT(&queues->results);
    queues->next_id = last_id + 1;
    if (!store_load_requests(server->store, load, server, error, error_size))
        return false;
    reserve_ids(server);
    end_left_over(server);
    forget_results(server, is_young, 0);
    forget_results(server, is_within_limits, 0);
    return true;
}

void queue_stop(struct server *server) {
    struct queues *queues = server->queues;
    if (queues == NULL)
        return;
    queue_drop_before(server, UINT64_MAX);
    timer_cancel(&server->wheel, &queues->expiry);
    timer_cancel(&server->wheel, &queues->old);
    timer_cancel(&server->wheel, &queues->retry);
    free(queues->buckets);
    free(queues->heap);
    free(queues);
    server->queues = NULL;
}
