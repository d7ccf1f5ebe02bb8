#include "server/fault.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/net/hello_time.h"
#include "server/fault_effect.h"
#include "server/fault_wire.h"
#include "server/persist.h"

static const char *const what_names[FAULT_WHATS] = {
    [FAULT_DROP] = "drop",
    [FAULT_DELAY] = "delay",
    [FAULT_DUPLICATE] = "duplicate",
    [FAULT_CORRUPT] = "corrupt",
    [FAULT_TRUNCATE] = "truncate",
    [FAULT_REORDER] = "reorder",
    [FAULT_WRONG_TOKEN] = "wrong token",
    [FAULT_WRONG_MID] = "wrong mid",
    [FAULT_OPTION] = "option",
    [FAULT_RESET] = "reset",
    [FAULT_ANSWER] = "answer",
    [FAULT_SILENCE] = "silence",
    [FAULT_FORGET_SESSION] = "forget dtls-session",
    [FAULT_FORGET_CID] = "forget cid",
    [FAULT_FORGET_REGISTRATION] = "forget registration",
    [FAULT_FORGET_OBSERVATIONS] = "forget observations",
    [FAULT_EXPIRE] = "expire",
    [FAULT_CLOSE_FIN] = "close fin",
    [FAULT_CLOSE_RST] = "close rst",
    [FAULT_CLOSE_NOTIFY] = "close close-notify",
    [FAULT_HALF_OPEN] = "half_open",
    [FAULT_REFUSE_RESUMPTION] = "refuse resumption",
    [FAULT_REFUSE_HANDSHAKE] = "refuse handshake",
    [FAULT_FILL_QUEUE] = "fill queue",
    [FAULT_TIME] = "time_offset",
};

const char *fault_what_name(enum fault_what what) {
    return what < FAULT_WHATS ? what_names[what] : "unknown";
}

struct faults {
    struct fault *first, **last;
    size_t active, ended;
    uint64_t next_id;
    struct hash_key key;
};

bool faults_start(struct server *server) {
    struct faults *faults = calloc(1, sizeof *faults);
    server->faults = faults;
    if (faults == NULL || !fault_wire_start(server))
        return false;
    faults->last = &faults->first;
    faults->next_id = 1;
    faults->key = hash_key_random();
    return true;
}

uint64_t fault_hash(const struct server *server, struct slice endpoint) {
    return hash_slice(&server->faults->key, endpoint) | 1;
}

/* ---- the list ---- */

/* The time that peers are told is what the newest of such faults says. */
static void set_time(const struct faults *faults) {
    int64_t offset_s = 0;
    for (const struct fault *fault = faults->first; fault != NULL; fault = fault->next) {
        if (!fault->has_ended && fault->order.what == FAULT_TIME)
            offset_s = fault->order.offset_s;
    }
    hello_time_set_offset(offset_s);
}

static void take_out(struct faults *faults, struct fault *fault) {
    struct fault **at = &faults->first;
    while (*at != fault)
        at = &(*at)->next;
    *at = fault->next;
    if (faults->last == &fault->next)
        faults->last = at;
    faults->ended -= fault->has_ended;
    free(fault);
}

static void drop_oldest_ended(struct faults *faults) {
    struct fault *fault = faults->first;
    while (!fault->has_ended)
        fault = fault->next;
    take_out(faults, fault);
}

/* It is shown on, until there are too many. */
static void end(struct fault *fault) {
    struct server *server = fault->server;
    struct faults *faults = server->faults;
    if (fault->has_ended)
        return;
    timer_cancel(&server->wheel, &fault->timer);
    fault->has_ended = true;
    faults->active--;
    faults->ended++;
    if (fault->order.what == FAULT_TIME)
        set_time(faults);
    if (fault->order.what == FAULT_HALF_OPEN)
        fault_wire_let_go(server, fault->id);
    fault_wire_attend(server, faults->active > 0);
}

static void on_over(struct timer *timer, void *arg) {
    struct fault *fault = TIMER_OWNER(timer, struct fault, timer);
    (void)arg;
    end(fault);
    if (fault->server->faults->ended > FAULTS_ENDED_MAX)
        drop_oldest_ended(fault->server->faults);
}

void faults_stop(struct server *server) {
    if (server->faults == NULL)
        return;
    fault_clear(server, SLICE_NONE);
    fault_wire_stop(server);
    free(server->faults);
    server->faults = NULL;
}

static bool is_of(const struct fault *fault, struct slice endpoint) {
    return endpoint.data == NULL ||
           (fault->order.endpoint.data != NULL && slice_equal(fault->order.endpoint, endpoint));
}

const struct fault *fault_next(const struct server *server, const struct fault *before, struct slice endpoint) {
    const struct fault *fault = before == NULL ? server->faults->first : before->next;
    while (fault != NULL && !is_of(fault, endpoint))
        fault = fault->next;
    return fault;
}

static struct fault *find(const struct server *server, uint64_t id) {
    struct fault *fault = server->faults->first;
    while (fault != NULL && fault->id != id)
        fault = fault->next;
    return fault;
}

const struct fault *fault_find(const struct server *server, uint64_t id) {
    return find(server, id);
}

bool fault_delete(struct server *server, uint64_t id) {
    struct fault *fault = find(server, id);
    if (fault == NULL)
        return false;
    end(fault);
    take_out(server->faults, fault);
    fault_wire_release(server, id);
    return true;
}

void fault_clear(struct server *server, struct slice endpoint) {
    const struct fault *fault;
    while ((fault = fault_next(server, NULL, endpoint)) != NULL)
        fault_delete(server, fault->id);
}

static size_t count_active(const struct server *server, struct slice endpoint) {
    size_t count = 0;
    const struct fault *fault = NULL;
    while ((fault = fault_next(server, fault, endpoint)) != NULL)
        count += !fault->has_ended;
    return count;
}

/* ---- ordering ---- */

static struct fault *add(struct server *server, const struct fault_order *order) {
    struct faults *faults = server->faults;
    struct fault *fault = calloc(1, sizeof *fault + order->endpoint.len);
    if (fault == NULL)
        return NULL;
    fault->server = server;
    fault->order = *order;
    fault->id = faults->next_id++;
    fault->random = order->seed;
    fault->ordered_at_ms = clock_now_ms(&server->clock);
    if (order->endpoint.data != NULL) {
        memcpy(fault->name, order->endpoint.data, order->endpoint.len);
        fault->order.endpoint = slice_of(fault->name, order->endpoint.len);
        fault->endpoint_hash = fault_hash(server, order->endpoint);
    }
    *faults->last = fault;
    faults->last = &fault->next;
    faults->active++;
    return fault;
}

/* What is done at once has ended by then. */
static enum fault_refusal do_at_once(struct server *server, struct fault *fault) {
    enum fault_refusal refusal = fault_effect_at_once(server, fault);
    end(fault);
    if (refusal != FAULT_ORDERED)
        take_out(server->faults, fault);
    return refusal;
}

enum fault_refusal fault_order(struct server *server, const struct fault_order *order, uint64_t *id) {
    struct faults *faults = server->faults;
    const uint32_t lasting = FAULT_BIT(FAULT_HALF_OPEN) | FAULT_BIT(FAULT_REFUSE_RESUMPTION) |
                             FAULT_BIT(FAULT_REFUSE_HANDSHAKE) | FAULT_BIT(FAULT_FILL_QUEUE) | FAULT_BIT(FAULT_TIME);
    if (order->what == FAULT_TIME && !hello_time_can_differ())
        return FAULT_IMPOSSIBLE;
    if (faults->active >= FAULTS_MAX ||
        (order->endpoint.data != NULL && count_active(server, order->endpoint) >= FAULTS_PER_DEVICE_MAX))
        return FAULT_TOO_MANY;
    if (faults->ended >= FAULTS_ENDED_MAX)
        drop_oldest_ended(faults);
    struct fault *fault = add(server, order);
    if (fault == NULL)
        return FAULT_TOO_MANY;
    *id = fault->id;
    if (order->on == 0 && (FAULT_BIT(order->what) & lasting) == 0)
        return do_at_once(server, fault);
    if (order->duration_ms > 0)
        timer_schedule(&server->wheel, &fault->timer, fault->ordered_at_ms + order->duration_ms, on_over);
    if (order->what == FAULT_TIME) {
        set_time(faults);
        fault->seen = fault->fired = 1;
        fault_tell(server, fault, SLICE_NONE, NULL, 0, true);
    }
    if (order->what == FAULT_HALF_OPEN)
        fault_effect_half_open(server, fault);
    fault_wire_attend(server, true);
    return FAULT_ORDERED;
}

/* ---- selection ---- */

/* splitmix64: a sequence that its seed tells wholly, so that a test is the same each time. */
uint64_t fault_random(struct fault *fault) {
    uint64_t z = fault->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Where datagrams come from tells whose they are, as long as nothing in them can be read. */
static bool is_at(const struct server *server, struct slice endpoint, const struct address *peer) {
    const struct registration *r = directory_find(server->directory, endpoint);
    return r != NULL && address_equal(&link_carrier(r->link)->peer, peer);
}

static bool is_for(const struct fault *fault, uint32_t whats, const struct fault_subject *subject) {
    const struct fault_order *order = &fault->order;
    if (fault->has_ended || (FAULT_BIT(order->what) & whats) == 0)
        return false;
    if (order->on != 0 && ((order->on & subject->kinds) == 0 || !(subject->is_out ? order->out : order->in)))
        return false;
    if (fault->endpoint_hash == 0)
        return true;
    return subject->peer != NULL ? is_at(fault->server, order->endpoint, subject->peer)
                                 : fault->endpoint_hash == subject->endpoint_hash;
}

static bool acts(struct fault *fault) {
    fault->seen++;
    if (fault->seen <= fault->order.after)
        return false;
    if (fault->order.is_random && (double)(fault_random(fault) >> 11) * 0x1p-53 >= fault->order.probability)
        return false;
    fault->fired++;
    if (fault->order.times > 0 && fault->fired == fault->order.times)
        end(fault);
    return true;
}

struct fault *fault_pick(struct server *server, uint32_t whats, const struct fault_subject *subject) {
    for (struct fault *fault = server->faults->first; fault != NULL; fault = fault->next) {
        if (is_for(fault, whats, subject) && acts(fault))
            return fault;
    }
    return NULL;
}

bool fault_refuses(struct server *server, enum fault_what what, struct slice endpoint) {
    if (!server->provoked)
        return false;
    const struct fault_subject subject = {.endpoint_hash = endpoint.len == 0 ? 0 : fault_hash(server, endpoint)};
    struct fault *fault = fault_pick(server, FAULT_BIT(what), &subject);
    if (fault != NULL)
        fault_tell(server, fault, endpoint, NULL, 0, false);
    return fault != NULL;
}

/* ---- telling ---- */

void fault_tell(struct server *server, const struct fault *fault, struct slice endpoint, const struct address *address,
                uint32_t kinds, bool is_out) {
    uint8_t facts_memory[128];
    struct buffer facts = buffer_over(facts_memory, sizeof facts_memory);
    const struct fault_order *order = &fault->order;
    const char *what = fault_what_name(order->what);
    event_fact_put_number(&facts, EVENT_FACT_FAULT, fault->id);
    event_fact_put(&facts, EVENT_FACT_ACTION, slice_str(what));
    char detail[96];
    snprintf(detail, sizeof detail, "%s", what);
    if (kinds != 0) {
        const char *kind = message_kind_name(order->on == MESSAGE_ANY ? kinds : order->on & kinds);
        event_fact_put(&facts, EVENT_FACT_MESSAGE, slice_str(kind));
        event_fact_put(&facts, EVENT_FACT_DIRECTION, slice_str(is_out ? "out" : "in"));
        snprintf(detail, sizeof detail, "%s: %s %s", what, kind, is_out ? "out" : "in");
    }
    struct event event = {.type = EVENT_FAULT,
                          .endpoint = endpoint.len > 0 ? endpoint : order->endpoint,
                          .detail = slice_str(detail),
                          .coap_code = order->what == FAULT_ANSWER ? order->code : 0,
                          .facts = buffer_slice(&facts)};
    if (address != NULL)
        event.address = *address;
    event_publish(server->events, &event);
    persist_event_numbers(server);
}
