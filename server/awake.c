#include "server/awake.h"

#include "server/persist.h"
#include "server/queue.h"
#include "server/queue_settings.h"

static struct device_queue *queue_with_timer(const struct registration *r) {
    struct device_queue *queue = queue_of(r);
    return queue != NULL && timer_is_scheduled(&queue->awake) ? queue : NULL;
}

bool awake_is(const struct registration *r) {
    return !r->queue_mode || queue_with_timer(r) != NULL;
}

static void publish(struct server *server, const struct registration *r, enum event_type type, const char *why) {
    struct event event = {.type = type,
                          .endpoint = registration_endpoint(r),
                          .location = registration_location(r),
                          .detail = slice_str(why),
                          .address = r->link->peer,
                          .lifetime_s = r->lifetime_s};
    event_publish(server->events, &event);
    persist_event_numbers(server);
}

static void on_window_over(struct timer *timer, void *arg) {
    struct server *server = arg;
    struct registration *r = TIMER_OWNER(timer, struct device_queue, awake)->registration;
    server->awake_count--;
    publish(server, r, EVENT_SLEEPING, "");
    queue_settle(server, r);
}

static void listen_on(struct server *server, struct device_queue *queue) {
    struct registration *r = queue->registration;
    uint32_t window_ms = queue_settings_of(server, registration_endpoint(r)).awake_window_ms;
    timer_schedule(&server->wheel, &queue->awake, clock_now_ms(&server->clock) + window_ms, on_window_over);
}

void awake_forget(struct server *server, struct registration *r) {
    struct device_queue *queue = queue_with_timer(r);
    if (queue == NULL)
        return;
    timer_cancel(&server->wheel, &queue->awake);
    server->awake_count--;
    queue_settle(server, r);
}

void awake_heard(struct server *server, struct registration *r) {
    if (!r->queue_mode) {
        awake_forget(server, r);
        return;
    }
    bool was_awake = awake_is(r);
    struct device_queue *queue = queue_make(r);
    if (queue == NULL) /* out of memory: it counts as asleep */
        return;
    listen_on(server, queue);
    if (was_awake)
        return;
    server->awake_count++;
    publish(server, r, EVENT_AWAKE, "");
}

void awake_prolong(struct server *server, struct registration *r) {
    struct device_queue *queue = r->queue_mode ? queue_with_timer(r) : NULL;
    if (queue != NULL)
        listen_on(server, queue);
}

void awake_lost(struct server *server, struct registration *r, const char *why) {
    if (!r->queue_mode || !awake_is(r))
        return;
    awake_forget(server, r);
    publish(server, r, EVENT_SLEEPING, why);
}

void awake_window_changed(struct server *server, struct registration *r, uint32_t before_ms) {
    struct device_queue *queue = r->queue_mode ? queue_with_timer(r) : NULL;
    if (queue == NULL)
        return;
    uint64_t heard_ms = queue->awake.due_ms - before_ms;
    uint32_t window_ms = queue_settings_of(server, registration_endpoint(r)).awake_window_ms;
    timer_schedule(&server->wheel, &queue->awake, heard_ms + window_ms, on_window_over);
}
