/* Requests that wait for their devices. Each device has a queue of them; when it is awake (server/awake.h) the one at the
 * head is run, one at a time, and the next when the result of that is stored. So what is in the store is always the
 * order in which the device got them: after a crash the one that was under way is run again, and none before it.
 *
 * What a request is, only its owner knows: here it is a job, bytes that the owner's runner understands, and the result
 * is bytes as well. Both are stored before anybody is told of them (202, `request_completed`).
 *
 * A request leaves its queue completed, failed, cancelled, expired (each has a time of its own), or because its
 * registration ended. A device that registers anew keeps its queue. Results are kept for QUEUE_RESULT_KEPT_MS, the
 * newest QUEUE_RESULTS_MAX of them. One timer watches the expiry of all, one the age of results.
 *
 * Memory: about 200 bytes, the endpoint's name, the job and the result for each request; for a device about 120 bytes
 * while it is awake or has any. */
#ifndef BERTH_SERVER_QUEUE_H
#define BERTH_SERVER_QUEUE_H

#include <sys/queue.h>

#include "server/server.h"

enum {
    QUEUE_RESULTS_MAX = 10000,
    QUEUE_RESULT_KEPT_MS = 3600 * 1000,
    QUEUE_RESULT_BYTES_MAX = 4 * 1024 * 1024, /* of one result; larger ones are the runner's to refuse */
    QUEUE_BYTES_MAX = 64 * 1024 * 1024,       /* of all requests and results; old results go first */
};

/* The numbers are stored: they stay as they are. */
enum queue_state {
    QUEUE_WAITING = 0,
    QUEUE_RUNNING = 1,   /* stored as waiting */
    QUEUE_COMPLETED = 2, /* the device has answered, with whatever */
    QUEUE_FAILED = 3,    /* it was run, and there is no answer */
    QUEUE_EXPIRED = 4,
    QUEUE_CANCELLED = 5,
    QUEUE_ENDED = 6, /* the device deregistered or its registration expired */
};

/* "queued", "running", "completed", "failed", "expired", "cancelled"; one that ended has failed. */
const char *queue_state_name(enum queue_state state);

/* Valid until the loop goes on. */
struct queued_request {
    uint64_t id; /* never used twice */
    struct slice endpoint, job;
    struct slice result; /* the runner's; empty in the other states */
    uint64_t created_at_ms, expires_at_ms;
    uint64_t completed_at_ms; /* when it left its queue; 0: it has not */
    uint32_t attempts;        /* since the start of the server */
    enum queue_state state;
};

static inline bool queue_is_over(const struct queued_request *request) {
    return request->state != QUEUE_WAITING && request->state != QUEUE_RUNNING;
}

/* Read everything from the store, after the registrations; ids up to `last_id` may have been used. False with one line
 * in `error`. */
bool queue_start(struct server *server, uint64_t last_id, char *error, size_t error_size);

/* Free everything. No device may have a queue any more. */
void queue_stop(struct server *server);

/* ---- for the owner of jobs ---- */

/* Do it now. Ends with queue_done or queue_put_back, within the call or later. */
typedef void queue_run_fn(void *arg, const struct queued_request *request);

/* Who runs them; NULL: nobody, and they wait. */
void queue_set_runner(struct server *server, queue_run_fn *run, void *arg);

enum queue_refusal {
    QUEUE_ACCEPTED,
    QUEUE_NOT_REGISTERED,
    QUEUE_FULL,    /* the device has as many as it may */
    QUEUE_NO_ROOM, /* QUEUE_BYTES_MAX, or memory */
};

/* Put a job, which is copied, at the end of the device's queue. *id is set at once, and `done` gets the result of the
 * commit (from within the call when the store refuses it); without one the request is gone again. When refused, `done`
 * is not called. */
enum queue_refusal queue_put(struct server *server, struct slice endpoint, struct slice job, uint64_t expires_at_ms,
                             store_done_fn *done, void *arg, uint64_t *id);

struct queue_outcome {
    enum queue_state state; /* QUEUE_COMPLETED or QUEUE_FAILED */
    struct slice result;    /* copied */
    uint16_t status;        /* for the event, as is: */
    uint8_t coap_code;      /* 0: the device has not answered */
};

/* What is running has its outcome. Ignored when it isn't running any more. */
void queue_done(struct server *server, uint64_t id, const struct queue_outcome *outcome);

/* What is running could not be brought to the device: it is at the head of its queue again, unless it has expired, and
 * is run after `delay_ms` if the device is awake, else when it is. */
void queue_put_back(struct server *server, uint64_t id, uint64_t delay_ms);

/* ---- for everybody ---- */

/* NULL when there is none, or none any more. */
const struct queued_request *queue_find(const struct server *server, uint64_t id);

/* The requests in a device's queue, in order: the first after `previous`, NULL for the first of all. */
const struct queued_request *queue_next(const struct server *server, struct slice endpoint,
                                        const struct queued_request *previous);

/* Cancel one that waits, or forget the result of one that is over; `done` gets the result of the commit. False, and no
 * call: there is none, or it is running. */
bool queue_cancel(struct server *server, uint64_t id, store_done_fn *done, void *arg);

/* Cancel everything that waits for the device. */
void queue_cancel_all(struct server *server, struct slice endpoint, store_done_fn *done, void *arg);

struct queue_counters {
    uint64_t waiting; /* running ones included */
    uint64_t results;
    uint64_t bytes;
};
struct queue_counters queue_counters(const struct server *server);

/* ---- for contact.c and awake.c ---- */

struct queue_entry;

/* What a registration has while it is awake in queue mode, or has requests. */
struct device_queue {
    struct registration *registration;
    struct timer awake;                             /* see awake.h */
    struct timer start;                             /* when the head is run */
    TAILQ_HEAD(queue_entries, queue_entry) entries; /* in order of ids */
    uint32_t count;
};

/* NULL when there is none. */
struct device_queue *queue_of(const struct registration *registration);

/* Made when there is none. NULL when out of memory. */
struct device_queue *queue_make(struct registration *registration);

/* Free it when it is empty and the device is not awake in queue mode. */
void queue_settle(struct server *server, struct registration *registration);

/* The device may listen now, and has its answer: run what waits, if it is awake, after config->queue_delay_ms. */
void queue_resume(struct server *server, struct registration *registration);

/* `registration` has taken over the dealings of an older one. */
void queue_hand_over(struct registration *registration);

/* The registration ends, and with it everything in its queue. */
void queue_end(struct server *server, struct registration *registration);

/* Forget its queue, in memory only. */
void queue_drop(struct server *server, struct registration *registration);

/* Forget every request with an id below `before_id` that is not running, in memory only. */
void queue_drop_before(struct server *server, uint64_t before_id);

/* The next id that will be given. */
uint64_t queue_next_id(const struct server *server);

#endif
