#include "web/counts.h"

#include "web/document.h"

/* The step that is now, begun when it is not the one in its place. */
static struct counts_step *step_now(struct counts *counts) {
    uint64_t number = clock_now_ms(&counts->server->clock) / 1000 / COUNTS_STEP_S;
    struct counts_step *step = &counts->steps[number % COUNTS_STEPS];
    if (step->number != number)
        *step = (struct counts_step){.number = number};
    return step;
}

static void on_event(void *arg, const struct event *event) {
    struct counts *counts = arg;
    struct counts_step *step = step_now(counts);
    bool is_leaving =
        event->type == EVENT_DEREGISTERED || event->type == EVENT_EXPIRED; /* told while it is still there */
    step->devices = (uint32_t)(directory_count(counts->server->directory) - is_leaving);
    step->registrations += event->type == EVENT_REGISTERED || event->type == EVENT_REPLACED;
    step->updates += event->type == EVENT_UPDATED;
    step->failures +=
        event->type == EVENT_REJECTED || event->type == EVENT_DTLS_FAILED || event->type == EVENT_BOOTSTRAP_FAILED;
}

bool counts_start(struct counts *counts, const struct server *server) {
    counts->server = server;
    counts->subscriber = event_subscribe(server->events, on_event, counts);
    return counts->subscriber != NULL;
}

void counts_stop(struct counts *counts) {
    if (counts->subscriber != NULL)
        event_unsubscribe(counts->server->events, counts->subscriber);
    counts->subscriber = NULL;
}

static json_t *step_json(const struct counts_step *step) {
    return json_pack("{sosIsIsIsI}", "at", document_time(step->number * COUNTS_STEP_S * 1000), "devices",
                     (json_int_t)step->devices, "registrations", (json_int_t)step->registrations, "updates",
                     (json_int_t)step->updates, "failures", (json_int_t)step->failures);
}

json_t *counts_json(const struct counts *counts) {
    uint64_t now_ms = clock_now_ms(&counts->server->clock), last = now_ms / 1000 / COUNTS_STEP_S;
    json_t *items = json_array();
    for (uint64_t number = last < COUNTS_STEPS ? 1 : last - COUNTS_STEPS + 1; number <= last; number++) {
        const struct counts_step *step = &counts->steps[number % COUNTS_STEPS];
        if (step->number == number)
            json_array_append_new(items, step_json(step));
    }
    return json_pack("{sisosIso}", "step_s", (int)COUNTS_STEP_S, "now", document_time(now_ms), "devices",
                     (json_int_t)directory_count(counts->server->directory), "items", items);
}
