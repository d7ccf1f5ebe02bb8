#include <inttypes.h>
#include <stdlib.h>

#include "server/awake.h"
#include "web/document.h"
#include "web/glob.h"
#include "web/input.h"
#include "web/json_text.h"
#include "web/stored.h"
#include "web/v1/device_json.h"
#include "web/v1/device_problem.h"
#include "web/v1/device_wait.h"
#include "web/v1/traffic_json.h"
#include "web/v1/v1.h"
#include "web/waiter.h"

/* ---- the list ---- */

enum {
    LIST_DEFAULT = 100,
    LIST_MAX = 1000,
    LIST_VISITS_MAX = 20000,          /* registrations looked at for one page */
    LIST_BYTES_MAX = 2 * 1024 * 1024, /* a page that has grown to about so many ends there */
    ANSWER_KEPT_MAX = 64 * 1024,      /* longer ones give their memory back */
    GLOB_MAX = 256,
};

/* ---- answers as text ---- */

/* Behind what is there already; out->overflow stays when out of memory. */
static void put_device(struct buffer *out, const struct registration *r, bool with_traffic) {
    size_t start = out->len;
    for (;;) {
        device_json_put(out, r);
        if (with_traffic && !out->overflow) {
            out->len--; /* the brace comes after one member more */
            json_text_name(out, "traffic");
            json_text_tree(out, traffic_json_total(link_carrier(r->link)));
            buffer_put_u8(out, '}');
        }
        if (!out->overflow || !json_text_grow(out, start))
            return;
    }
}

static void put_short(struct buffer *out, const char *text) {
    size_t len = out->len;
    for (buffer_put_str(out, text); out->overflow && json_text_grow(out, len);)
        buffer_put_str(out, text);
}

/* What web->answer has; it is empty then. Whoever is answered within the program may ask again at once, so meanwhile it is
 * nobody's. */
static void send_answer(struct web *web, struct http_request *request) {
    struct buffer out = web->answer;
    web->answer = (struct buffer){0};
    if (out.overflow)
        http_respond(request, &(struct http_response){.status = 503});
    else
        http_respond(request, &(struct http_response){
                                  .status = 200, .content_type = "application/json", .body = buffer_slice(&out)});
    if (web->answer.data == NULL && out.cap <= ANSWER_KEPT_MAX)
        web->answer = buffer_over(out.data, out.cap);
    else
        free(out.data);
}

/* ---- which ones ---- */

/* Which devices, and what of them. */
struct list_filter {
    struct slice endpoint, address;        /* patterns; data is NULL: any */
    int transport, security;               /* enum link_transport, link_security; -1: any */
    uint64_t queue_mode, awake, reachable; /* 0, 1, or ANY */
    uint64_t traffic;
};

enum { ANY = 2 };

/* The number of a name among `count`; -1 when there is none. */
static int number_of(struct slice name, const char *(*name_of)(unsigned number), unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (slice_is(name, name_of(i)))
            return (int)i;
    return -1;
}

static const char *transport_name(unsigned number) {
    return link_transport_name((enum link_transport)number);
}

static const char *security_name(unsigned number) {
    return link_security_name((enum link_security)number);
}

/* A parameter that is one of `count` names; -1 when it is not there. */
static bool read_choice(const struct call *call, const char *name, const char *(*name_of)(unsigned number),
                        unsigned count, int *choice) {
    struct slice text = query_get(&call->query, name);
    *choice = text.data == NULL ? -1 : number_of(text, name_of, count);
    if (text.data == NULL || *choice >= 0)
        return true;
    problem_send(call->request, PROBLEM_BAD_PARAMETER, "%s is \"%.*s\", and there is no such one.", name, (int)text.len,
                 (const char *)text.data);
    return false;
}

static bool read_pattern(const struct call *call, const char *name, struct slice *pattern) {
    *pattern = query_get(&call->query, name);
    if (pattern->len <= GLOB_MAX)
        return true;
    problem_send(call->request, PROBLEM_BAD_PARAMETER, "%s is longer than %d bytes.", name, GLOB_MAX);
    return false;
}

static bool read_filter(const struct call *call, struct list_filter *filter) {
    *filter = (struct list_filter){.queue_mode = ANY, .awake = ANY, .reachable = ANY};
    return read_pattern(call, "endpoint", &filter->endpoint) && read_pattern(call, "address", &filter->address) &&
           read_choice(call, "transport", transport_name, LINK_TLS + 1, &filter->transport) &&
           read_choice(call, "security", security_name, LINK_OSCORE + 1, &filter->security) &&
           input_number(call, "queue_mode", 0, 1, &filter->queue_mode) &&
           input_number(call, "awake", 0, 1, &filter->awake) &&
           input_number(call, "reachable", 0, 1, &filter->reachable) &&
           input_number(call, "traffic", 0, 1, &filter->traffic);
}

static bool address_matches(struct slice pattern, const struct address *address) {
    uint8_t memory[128];
    struct buffer text = buffer_over(memory, sizeof memory);
    address_put(&text, address);
    return glob_match(pattern, buffer_slice(&text));
}

static bool passes(const struct list_filter *filter, const struct registration *r) {
    return (filter->endpoint.data == NULL || glob_match(filter->endpoint, registration_endpoint(r))) &&
           (filter->transport < 0 || filter->transport == (int)r->link->listener->transport) &&
           (filter->security < 0 || filter->security == (int)r->security) &&
           (filter->queue_mode == ANY || filter->queue_mode == r->queue_mode) &&
           (filter->awake == ANY || filter->awake == awake_is(r)) &&
           (filter->reachable == ANY || filter->reachable == device_json_reachable(r)) &&
           (filter->address.data == NULL || address_matches(filter->address, &r->link->peer));
}

static bool list_parameters(const struct call *call, uint64_t *limit, uint64_t *slot) {
    struct slice state = query_get(&call->query, "state");
    if (state.data != NULL && !slice_is(state, "registered")) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER, "state is \"%.*s\"; the only state to list is registered.",
                     (int)state.len, (const char *)state.data);
        return false;
    }
    return input_number(call, "limit", 1, LIST_MAX, limit) && input_number(call, "cursor", 0, UINT32_MAX, slot);
}

void v1_devices_list(const struct call *call) {
    struct directory *directory = call->web->server->directory;
    struct list_filter filter;
    uint64_t limit = LIST_DEFAULT, cursor = 0;
    if (!list_parameters(call, &limit, &cursor) || !read_filter(call, &filter))
        return;
    struct buffer *out = &call->web->answer;
    uint32_t slot = (uint32_t)cursor;
    const struct registration *r = NULL;
    size_t count = 0;
    put_short(out, "{\"items\":[");
    for (size_t visits = 0; visits < LIST_VISITS_MAX && count < limit && out->len < LIST_BYTES_MAX && !out->overflow;
         visits++) {
        r = directory_next(directory, &slot);
        if (r == NULL)
            break;
        if (!passes(&filter, r))
            continue;
        if (count++ > 0)
            put_short(out, ",");
        put_device(out, r, filter.traffic == 1);
    }
    /* The cursor is the slot to go on with; there is none when the end has been seen. */
    uint32_t ahead = slot;
    char end[32];
    if (r != NULL && directory_next(directory, &ahead) != NULL)
        snprintf(end, sizeof end, "],\"next\":\"%" PRIu32 "\"}", slot);
    else
        snprintf(end, sizeof end, "],\"next\":null}");
    put_short(out, end);
    send_answer(call->web, call->request);
}

/* ---- one device, now ---- */

static void send_device(struct web *web, struct http_request *request, struct slice endpoint) {
    const struct registration *r = directory_find(web->server->directory, endpoint);
    if (r == NULL) {
        problem_send_not_registered(request, endpoint);
        return;
    }
    put_device(&web->answer, r, false);
    send_answer(web, request);
}

static void send_deregistered(struct http_request *request, struct slice endpoint) {
    json_t *answer = json_object();
    json_object_set_new(answer, "endpoint", document_text(endpoint));
    json_object_set_new(answer, "state", json_string("deregistered"));
    document_ok(request, answer);
}

/* ---- one device, when it is so ---- */

enum device_state { WAIT_REGISTERED, WAIT_UPDATED, WAIT_DEREGISTERED, WAIT_AWAKE, WAIT_COUNT };

static const struct {
    const char *name;
    uint32_t events;  /* each of them makes it so, WAIT_AWAKE if it then is so */
    const char *verb; /* what did not happen */
} waits[WAIT_COUNT] = {
    [WAIT_REGISTERED] = {"registered", 1 << EVENT_REGISTERED | 1 << EVENT_REPLACED, "register"},
    [WAIT_UPDATED] = {"updated", 1 << EVENT_UPDATED, "update its registration"},
    [WAIT_DEREGISTERED] = {"deregistered", 1 << EVENT_DEREGISTERED | 1 << EVENT_EXPIRED, "deregister or expire"},
    [WAIT_AWAKE] = {"awake", 1 << EVENT_REGISTERED | 1 << EVENT_REPLACED | 1 << EVENT_UPDATED | 1 << EVENT_AWAKE,
                    "wake up"},
};

struct device_waiter {
    struct waiter waiter; /* first member */
    enum device_state state;
    size_t endpoint_len;
    uint8_t endpoint[];
};

static struct slice waited_for(const struct device_waiter *w) {
    return slice_of(w->endpoint, w->endpoint_len);
}

static bool makes_it_so(enum device_state state, struct slice endpoint, const struct event *event) {
    return (waits[state].events >> event->type & 1) != 0 && slice_equal(event->endpoint, endpoint);
}

static void answer_wait(struct web *web, struct http_request *request, enum device_state state, struct slice endpoint) {
    if (state == WAIT_DEREGISTERED)
        send_deregistered(request, endpoint);
    else
        send_device(web, request, endpoint);
}

static bool is_so_now(const struct server *server, enum device_state state, struct slice endpoint) {
    const struct registration *r = directory_find(server->directory, endpoint);
    switch (state) {
    case WAIT_REGISTERED:
        return r != NULL;
    case WAIT_DEREGISTERED:
        return r == NULL;
    case WAIT_AWAKE:
        return r != NULL && awake_is(r);
    default:
        return false;
    }
}

static void on_event(struct waiter *waiter, const struct event *event) {
    struct device_waiter *w = (struct device_waiter *)waiter;
    if (!makes_it_so(w->state, waited_for(w), event))
        return;
    if (w->state == WAIT_AWAKE && !is_so_now(waiter->web->server, w->state, waited_for(w)))
        return; /* a device in queue mode: `awake` comes when it has its answer */
    answer_wait(waiter->web, waiter_stop(waiter), w->state, waited_for(w));
    free(w);
}

static void on_timed_out(struct waiter *waiter) {
    struct device_waiter *w = (struct device_waiter *)waiter;
    json_t *members = json_object();
    json_object_set_new(members, "endpoint", document_text(waited_for(w)));
    json_object_set_new(members, "last", json_integer((json_int_t)event_last_id(waiter->web->server->events)));
    problem_send_with(waiter_stop(waiter), PROBLEM_TIMEOUT, members, NULL, "\"%.*s\" did not %s within %" PRIu64 " ms.",
                      (int)w->endpoint_len, (const char *)w->endpoint, waits[w->state].verb, waiter->timeout_ms);
    free(w);
}

static void on_free(struct waiter *waiter) {
    free(waiter);
}

static const struct waiter_handlers device_waiting = {.event = on_event, .timed_out = on_timed_out, .free = on_free};

/* Whether it became so in an event after number `after`. */
static bool was_so(const struct server *server, enum device_state state, struct slice endpoint, uint64_t after) {
    struct event event;
    while (event_after(server->events, after, &event)) {
        if (makes_it_so(state, endpoint, &event))
            return true;
        after = event.id;
    }
    return false;
}

static bool wait_parameters(const struct call *call, enum device_state *state, uint64_t *after, uint64_t *timeout_ms) {
    struct slice name = query_get(&call->query, "wait");
    *state = WAIT_REGISTERED;
    while (*state < WAIT_COUNT && !slice_is(name, waits[*state].name))
        (*state)++;
    if (*state == WAIT_COUNT) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER,
                     "wait is \"%.*s\"; it must be registered, updated, deregistered or awake.", (int)name.len,
                     (const char *)name.data);
        return false;
    }
    if (input_given(call, "after") && *state != WAIT_UPDATED) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER, "after goes with wait=updated only.");
        return false;
    }
    return input_number(call, "after", 0, INT64_MAX, after) && input_timeout(call, timeout_ms);
}

/* `after` counts only where a state is an event. */
static void wait_until(struct web *web, struct http_request *request, enum device_state state, struct slice endpoint,
                       uint64_t after, uint64_t timeout_ms) {
    if (is_so_now(web->server, state, endpoint) || was_so(web->server, state, endpoint, after)) {
        answer_wait(web, request, state, endpoint);
        return;
    }
    struct device_waiter *w = calloc(1, sizeof *w + endpoint.len);
    if (w == NULL) {
        problem_send(request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    w->state = state;
    w->endpoint_len = endpoint.len;
    memcpy(w->endpoint, endpoint.data, endpoint.len);
    waiter_start(&w->waiter, web, request, &device_waiting, timeout_ms);
}

void device_wait_for_update(struct web *web, struct http_request *request, struct slice endpoint, uint64_t after,
                            uint64_t timeout_ms) {
    wait_until(web, request, WAIT_UPDATED, endpoint, after, timeout_ms);
}

static void wait_for_device(const struct call *call, struct slice endpoint) {
    enum device_state state;
    uint64_t after = event_last_id(call->web->server->events), timeout_ms;
    if (wait_parameters(call, &state, &after, &timeout_ms))
        wait_until(call->web, call->request, state, endpoint, after, timeout_ms);
}

void v1_devices_get(const struct call *call) {
    if (input_given(call, "wait"))
        wait_for_device(call, call->args[0]);
    else if (input_given(call, "timeout") || input_given(call, "after"))
        problem_send(call->request, PROBLEM_BAD_PARAMETER, "timeout and after go with wait only.");
    else
        send_device(call->web, call->request, call->args[0]);
}

/* ---- forget ---- */

void v1_devices_forget(const struct call *call) {
    if (!server_forget(call->web->server, call->args[0], answer_stored, stored_request(call)))
        problem_send_not_registered(call->request, call->args[0]);
}
