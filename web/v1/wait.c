#include <inttypes.h>
#include <stdlib.h>

#include "web/document.h"
#include "web/input.h"
#include "web/v1/awaited.h"
#include "web/v1/v1.h"
#include "web/waiter.h"

struct wait {
    struct waiter waiter; /* first member */
    struct awaited *awaited;
};

static void free_wait(struct wait *wait) {
    awaited_free(wait->awaited);
    free(wait);
}

/* The wait is complete. */
static void send_outcome(struct http_request *request, const struct awaited *awaited) {
    json_t *events = awaited_events(awaited), *event = json_array_get(events, 0);
    if (awaited_is_absence(awaited))
        problem_send_with(request, PROBLEM_UNEXPECTED_EVENT, json_pack("{sO}", "event", event), NULL,
                          "An event came that should be absent; see the member event.");
    else if (awaited_is_single(awaited))
        document_ok(request, json_incref(event));
    else
        document_ok(request, json_pack("{sO}", "events", events));
}

static void on_event(struct waiter *waiter, const struct event *event) {
    struct wait *wait = (struct wait *)waiter;
    if (!awaited_see(wait->awaited, event))
        return;
    send_outcome(waiter_stop(waiter), wait->awaited);
    free_wait(wait);
}

static void send_timed_out(struct http_request *request, const struct wait *wait) {
    const struct awaited *awaited = wait->awaited;
    json_t *members = json_object();
    json_object_set(members, "events", awaited_events(awaited));
    json_object_set_new(members, "near_misses", awaited_near_misses(awaited));
    json_object_set_new(members, "last", json_integer((json_int_t)event_last_id(wait->waiter.web->server->events)));
    problem_send_with(request, PROBLEM_TIMEOUT, members, NULL,
                      "%zu of %zu awaited events came within %" PRIu64
                      " ms; near_misses has those that came close, and in which members they differ.",
                      awaited_met(awaited), awaited_wanted(awaited), wait->waiter.timeout_ms);
}

static void on_timed_out(struct waiter *waiter) {
    struct wait *wait = (struct wait *)waiter;
    struct http_request *request = waiter_stop(waiter);
    if (awaited_is_absence(wait->awaited))
        document_ok(request, json_pack("{sb}", "absent", 1));
    else
        send_timed_out(request, wait);
    free_wait(wait);
}

static void on_free(struct waiter *waiter) {
    free_wait((struct wait *)waiter);
}

static const struct waiter_handlers waiting = {.event = on_event, .timed_out = on_timed_out, .free = on_free};
/* What comes after the time-out in the same leap is none of an absence's business. */
static const struct waiter_handlers waiting_strictly = {
    .event = on_event, .timed_out = on_timed_out, .free = on_free, .strict = true};

/* True when an event after number `after` that has happened already completes the wait. */
static bool see_past(struct awaited *awaited, const struct event_log *log, uint64_t after) {
    struct event event;
    while (event_after(log, after, &event)) {
        if (awaited_see(awaited, &event))
            return true;
        after = event.id;
    }
    return false;
}

void v1_wait_post(const struct call *call) {
    const struct event_log *log = call->web->server->events;
    char problem[512];
    struct document_error error;
    json_t *body = document_read(call->request->body, problem, sizeof problem);
    if (body == NULL) {
        problem_send(call->request, PROBLEM_BAD_BODY, "%s", problem);
        return;
    }
    struct awaited *awaited = awaited_read(body, "", &error);
    json_decref(body);
    if (awaited == NULL) {
        input_refuse(call, &error);
        return;
    }
    uint64_t after = event_last_id(log);
    awaited_after(awaited, &after);
    if (see_past(awaited, log, after)) {
        send_outcome(call->request, awaited);
        awaited_free(awaited);
        return;
    }
    struct wait *wait = calloc(1, sizeof *wait);
    if (wait == NULL) {
        awaited_free(awaited);
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    wait->awaited = awaited;
    waiter_start(&wait->waiter, call->web, call->request, awaited_is_absence(awaited) ? &waiting_strictly : &waiting,
                 awaited_timeout_ms(awaited));
}
