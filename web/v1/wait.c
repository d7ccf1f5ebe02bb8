#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "web/document.h"
#include "web/input.h"
#include "web/v1/condition.h"
#include "web/v1/v1.h"
#include "web/waiter.h"

enum { CONDITIONS_MAX = 32, COUNT_MAX = 1000, NEAR_MISSES_MAX = 20 };

/* Of protocol time, which somebody will have to leap. */
static const uint64_t ABSENT_TIMEOUT_MAX_MS = 366ull * 86400 * 1000;

enum wait_mode {
    WAIT_ONE,      /* one event, which is the answer */
    WAIT_COUNT,    /* `wanted` events that meet the one condition */
    WAIT_ALL,      /* an event for each condition, in any order; one event meets one condition */
    WAIT_SEQUENCE, /* an event for each condition, in this order, with any others between them */
    WAIT_ABSENT,   /* none within the time-out */
};

struct wait {
    struct waiter waiter; /* first member */
    enum wait_mode mode;
    json_t *body; /* the conditions point into it */
    struct condition conditions[CONDITIONS_MAX];
    size_t condition_count;
    size_t wanted;       /* how many events complete it */
    size_t met;          /* how many have come */
    json_t *events;      /* those; of WAIT_ALL one place for each condition, null until it is met */
    json_t *near_misses; /* the first few that were about the same and did not match */
};

static void free_wait(struct wait *wait) {
    for (size_t i = 0; i < wait->condition_count; i++)
        condition_free(&wait->conditions[i]);
    json_decref(wait->body);
    json_decref(wait->events);
    json_decref(wait->near_misses);
    free(wait);
}

/* ---- reading the body ---- */

/* What is wrong with it. */
struct fault {
    char text[512];
};

static bool read_conditions(struct wait *wait, json_t *list, struct fault *fault) {
    static const char *const members[] = {"type", "types", "endpoint", "match", NULL};
    json_t *endpoint = json_object_get(wait->body, "endpoint");
    size_t index;
    json_t *entry;
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > CONDITIONS_MAX) {
        snprintf(fault->text, sizeof fault->text, "all and sequence are lists of 1 to %d events to wait for.",
                 CONDITIONS_MAX);
        return false;
    }
    json_array_foreach(list, index, entry) {
        if (json_is_string(entry)) { /* short for {"type": …} */
            json_array_set_new(list, index, json_pack("{sO}", "type", entry));
            entry = json_array_get(list, index);
        }
        const char *unknown = document_unknown_member(entry, members);
        if (!json_is_object(entry) || unknown != NULL) {
            snprintf(fault->text, sizeof fault->text,
                     "An entry of all or sequence is a type of event, or an object of type, types, endpoint and "
                     "match%s%s.",
                     unknown == NULL ? "" : "; not ", unknown == NULL ? "" : unknown);
            return false;
        }
        if (endpoint != NULL && json_object_get(entry, "endpoint") == NULL)
            json_object_set(entry, "endpoint", endpoint);
        if (!condition_read(entry, &wait->conditions[index], fault->text, sizeof fault->text))
            return false;
        wait->condition_count++;
    }
    wait->wanted = wait->condition_count;
    return true;
}

static bool read_list(struct wait *wait, struct fault *fault) {
    static const char *const excluded[] = {"type", "types", "match", "count", "absent"};
    json_t *all = json_object_get(wait->body, "all"), *sequence = json_object_get(wait->body, "sequence");
    if (all != NULL && sequence != NULL) {
        snprintf(fault->text, sizeof fault->text, "Give all or sequence, not both.");
        return false;
    }
    for (size_t i = 0; i < sizeof excluded / sizeof excluded[0]; i++)
        if (json_object_get(wait->body, excluded[i]) != NULL) {
            snprintf(fault->text, sizeof fault->text, "%s does not go with all or sequence.", excluded[i]);
            return false;
        }
    wait->mode = all != NULL ? WAIT_ALL : WAIT_SEQUENCE;
    return read_conditions(wait, all != NULL ? all : sequence, fault);
}

static bool read_single(struct wait *wait, struct fault *fault) {
    const json_t *count = json_object_get(wait->body, "count"), *absent = json_object_get(wait->body, "absent");
    if (!condition_read(wait->body, &wait->conditions[0], fault->text, sizeof fault->text))
        return false;
    wait->condition_count = wait->wanted = 1;
    if (absent != NULL && !json_is_boolean(absent)) {
        snprintf(fault->text, sizeof fault->text, "absent must be true or false.");
        return false;
    }
    if (json_is_true(absent) && count != NULL) {
        snprintf(fault->text, sizeof fault->text, "count does not go with absent.");
        return false;
    }
    if (json_is_true(absent))
        wait->mode = WAIT_ABSENT;
    if (count == NULL)
        return true;
    if (!json_is_integer(count) || json_integer_value(count) < 1 || json_integer_value(count) > COUNT_MAX) {
        snprintf(fault->text, sizeof fault->text, "count must be a number from 1 to %d.", COUNT_MAX);
        return false;
    }
    wait->wanted = (size_t)json_integer_value(count);
    wait->mode = wait->wanted > 1 ? WAIT_COUNT : WAIT_ONE;
    return true;
}

static bool read_times(const struct wait *wait, uint64_t *after, uint64_t *timeout_ms, struct fault *fault) {
    const json_t *number = json_object_get(wait->body, "after"), *timeout = json_object_get(wait->body, "timeout");
    *timeout_ms = WAITER_TIMEOUT_DEFAULT_MS;
    if (number != NULL && (!json_is_integer(number) || json_integer_value(number) < 0)) {
        snprintf(fault->text, sizeof fault->text, "after must be the number of an event, or 0.");
        return false;
    }
    if (number != NULL)
        *after = (uint64_t)json_integer_value(number);
    uint64_t max_ms = wait->mode == WAIT_ABSENT ? ABSENT_TIMEOUT_MAX_MS : WAITER_TIMEOUT_MAX_MS;
    if (timeout == NULL || document_duration(timeout, max_ms, timeout_ms))
        return true;
    snprintf(fault->text, sizeof fault->text,
             "timeout must be a duration such as \"30s\" or \"500ms\", or a number of seconds, of at most %s.",
             wait->mode == WAIT_ABSENT ? "366 days" : "10 minutes");
    return false;
}

static bool read_wait(struct wait *wait, uint64_t *after, uint64_t *timeout_ms, struct fault *fault) {
    bool list = json_object_get(wait->body, "all") != NULL || json_object_get(wait->body, "sequence") != NULL;
    return (list ? read_list(wait, fault) : read_single(wait, fault)) && read_times(wait, after, timeout_ms, fault);
}

/* ---- watching ---- */

/* Whether the event meets a condition that is open now, and which: of a sequence the next one, of WAIT_ALL the first
 * that nothing has met yet. */
static bool meets(const struct wait *wait, const struct event *event, const json_t *json, size_t *place) {
    size_t first = wait->mode == WAIT_SEQUENCE ? wait->met : 0;
    size_t end = wait->mode == WAIT_SEQUENCE ? first + 1 : wait->condition_count;
    for (size_t i = first; i < end; i++) {
        bool open = wait->mode != WAIT_ALL || json_is_null(json_array_get(wait->events, i));
        if (open && condition_match(&wait->conditions[i], event, json)) {
            *place = i;
            return true;
        }
    }
    return false;
}

static bool is_near(const struct wait *wait, const struct event *event) {
    for (size_t i = 0; i < wait->condition_count; i++)
        if (condition_near(&wait->conditions[i], event))
            return true;
    return false;
}

/* Look at one event. True when it completes the wait. */
static bool see(struct wait *wait, const struct event *event) {
    size_t place;
    if (!is_near(wait, event)) /* what matches is near, too */
        return false;
    json_t *json = event_json(event);
    if (meets(wait, event, json, &place)) {
        wait->met++;
        if (wait->mode == WAIT_ALL)
            json_array_set(wait->events, place, json);
        else
            json_array_append(wait->events, json);
    } else if (json_array_size(wait->near_misses) < NEAR_MISSES_MAX) {
        json_array_append(wait->near_misses, json);
    }
    json_decref(json);
    return wait->met == wait->wanted;
}

/* ---- answering ---- */

/* The wait is complete. */
static void send_outcome(struct http_request *request, const struct wait *wait) {
    json_t *event = json_array_get(wait->events, 0);
    switch (wait->mode) {
    case WAIT_ONE:
        document_ok(request, json_incref(event));
        break;
    case WAIT_ABSENT:
        problem_send_with(request, PROBLEM_UNEXPECTED_EVENT, json_pack("{sO}", "event", event), NULL,
                          "An event came that should be absent; see the member event.");
        break;
    default:
        document_ok(request, json_pack("{sO}", "events", wait->events));
        break;
    }
}

static void on_event(struct waiter *waiter, const struct event *event) {
    struct wait *wait = (struct wait *)waiter;
    if (!see(wait, event))
        return;
    send_outcome(waiter_stop(waiter), wait);
    free_wait(wait);
}

static void send_timed_out(struct http_request *request, const struct wait *wait) {
    json_t *members = json_object();
    json_object_set(members, "events", wait->events);
    json_object_set(members, "near_misses", wait->near_misses);
    json_object_set_new(members, "last", json_integer((json_int_t)event_last_id(wait->waiter.web->server->events)));
    problem_send_with(request, PROBLEM_TIMEOUT, members, NULL,
                      "%zu of %zu awaited events came within %" PRIu64
                      " ms; near_misses has events of the same type or endpoint that came and did not match.",
                      wait->met, wait->wanted, wait->waiter.timeout_ms);
}

static void on_timed_out(struct waiter *waiter) {
    struct wait *wait = (struct wait *)waiter;
    struct http_request *request = waiter_stop(waiter);
    if (wait->mode == WAIT_ABSENT)
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
static bool see_past(struct wait *wait, const struct event_log *log, uint64_t after) {
    struct event event;
    while (event_after(log, after, &event)) {
        if (see(wait, &event))
            return true;
        after = event.id;
    }
    return false;
}

void v1_wait_post(const struct call *call) {
    static const char *const members[] = {"after",  "type",    "types", "endpoint", "match", "count",
                                          "absent", "timeout", "all",   "sequence", NULL};
    const struct event_log *log = call->web->server->events;
    json_t *body = input_body(call, members);
    if (body == NULL)
        return;
    struct wait *wait = calloc(1, sizeof *wait);
    if (wait == NULL) {
        json_decref(body);
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    wait->body = body;
    wait->events = json_array();
    wait->near_misses = json_array();
    struct fault fault;
    uint64_t after = event_last_id(log), timeout_ms;
    if (!read_wait(wait, &after, &timeout_ms, &fault)) {
        problem_send(call->request, PROBLEM_BAD_BODY, "%s", fault.text);
        free_wait(wait);
        return;
    }
    for (size_t i = 0; wait->mode == WAIT_ALL && i < wait->condition_count; i++)
        json_array_append_new(wait->events, json_null());
    if (see_past(wait, log, after)) {
        send_outcome(call->request, wait);
        free_wait(wait);
        return;
    }
    waiter_start(&wait->waiter, call->web, call->request, wait->mode == WAIT_ABSENT ? &waiting_strictly : &waiting,
                 timeout_ms);
}
