#include "client/observe.h"

#include <stdlib.h>

#include "client/device.h"
#include "client/history.h"
#include "client/memory.h"
#include "client/notification_rule.h"
#include "client/payload.h"
#include "client/request.h"
#include "common/coap/block.h"

enum {
    SEQUENCE_MASK = 0xffffff, /* RFC 7641 §2 */
    DAY_MS = 86400000,        /* RFC 7641 §4.5: a CON at least that often */
};

struct observation {
    struct observation *next;
    struct observer *observer;
    struct timer timer;
    uint8_t method, token_len, token[COAP_TOKEN_MAX];
    bool has_block2;
    uint8_t szx;
    uint8_t protected_by_len, protected_by[OSCORE_OPTION_MAX];
    int format;
    struct attributes asked;
    struct lwm2m_path *paths;
    size_t path_count;
    uint32_t sequence;
    uint64_t told_ms, confirmable_ms; /* when the last notification was sent, and the last CON */
    bool is_dirty;                    /* something has changed since it was looked at */
    bool has_turned;                  /* by edge, since it was told */
    bool is_outstanding;              /* a CON waits for its acknowledgement */
    bool is_own;                      /* nobody has asked for it */
    struct sample *samples;           /* what was told last */
    bool *seen;                       /* of each, if a Boolean: what it was when it was looked at */
    size_t sample_count, sample_cap;
    struct history history;
};

static uint64_t now_ms(const struct observation *observation) {
    return clock_now_ms(&observation->observer->device->clock);
}

static bool is_composite(const struct observation *observation) {
    return observation->method == COAP_FETCH;
}

/* ---- what is observed ---- */

/* A composite observation outlives what it observes. */
static bool exists(const struct observation *observation) {
    struct device *device = observation->observer->device;
    struct target target = {.path = observation->paths[0]};
    return is_composite(observation) || (target_find(device, &target) && target_exists(&target));
}

static bool collect(const struct observation *observation, struct lwm2m_nodes *nodes) {
    for (size_t i = 0; i < observation->path_count; i++) {
        if (!read_collect(observation->observer->device, &observation->paths[i], nodes))
            return false;
    }
    return !is_composite(observation) || lwm2m_nodes_arrange(nodes);
}

/* ---- attributes ---- */

/* Those that decide about time. */
static struct attributes timing_of(const struct observation *observation) {
    struct device *device = observation->observer->device;
    const struct attributes defaults = server_object_defaults(device_object(device, server_kind.id));
    struct attributes timing = {.set = 0};
    for (size_t i = 0; i < observation->path_count; i++) {
        struct attributes one = attribute_list_effective(&device->attributes, &observation->paths[i]);
        attributes_inherit(&one, &defaults);
        if (is_composite(observation))
            notification_rule_combine(&timing, &one);
        else
            timing = one;
    }
    struct attributes all = observation->asked;
    attributes_inherit(&all, &timing);
    return all;
}

/* Those that decide whether the change of one value counts. */
static struct attributes conditions_of(const struct observation *observation, const struct lwm2m_path *path) {
    struct attributes conditions = observation->asked;
    struct attributes attached = attribute_list_effective(&observation->observer->device->attributes, path);
    attributes_inherit(&conditions, &attached);
    return conditions;
}

/* ---- changes ---- */

static void remember(struct observation *observation, const struct lwm2m_nodes *nodes) {
    if (nodes->count > observation->sample_cap) {
        observation->sample_cap = nodes->count;
        observation->samples =
            memory_or_exit(realloc(observation->samples, nodes->count * sizeof *observation->samples));
        observation->seen = memory_or_exit(realloc(observation->seen, nodes->count * sizeof *observation->seen));
    }
    observation->sample_count = nodes->count;
    for (size_t i = 0; i < nodes->count; i++) {
        observation->samples[i] = sample_of(&nodes->nodes[i]);
        observation->seen[i] = observation->samples[i].truth;
    }
    observation->has_turned = false;
}

/* The same paths as were told. */
static bool has_same_paths(const struct observation *observation, const struct lwm2m_nodes *nodes) {
    if (nodes->count != observation->sample_count)
        return false;
    for (size_t i = 0; i < nodes->count; i++) {
        if (!lwm2m_path_equal(&nodes->nodes[i].path, &observation->samples[i].path))
            return false;
    }
    return true;
}

/* Look at the values: whether something waits to be told. */
static bool has_news(struct observation *observation, const struct lwm2m_nodes *nodes) {
    bool counts = false;
    if (!has_same_paths(observation, nodes))
        return true;
    for (size_t i = 0; i < nodes->count; i++) {
        const struct sample now = sample_of(&nodes->nodes[i]), *told = &observation->samples[i];
        bool is_same = now.type == told->type && now.digest == told->digest;
        if (is_same && observation->seen[i] == now.truth)
            continue;
        struct attributes conditions = conditions_of(observation, &now.path);
        counts = counts || notification_rule_counts(&conditions, told, &now);
        observation->has_turned =
            observation->has_turned || notification_rule_turns(&conditions, observation->seen[i], now.truth);
        observation->seen[i] = now.truth;
    }
    return counts || observation->has_turned;
}

/* ---- the end ---- */

static void unlink_observation(struct observation *observation) {
    struct observer *observer = observation->observer;
    struct observation **at = &observer->first;
    while (*at != observation)
        at = &(*at)->next;
    *at = observation->next;
    observer->count--;
}

static void forget(struct observation *observation) {
    struct device *device = observation->observer->device;
    unlink_observation(observation);
    timer_cancel(&device->wheel, &observation->timer);
    coap_notify_forget(device->coap, device_peer(device), observation);
    history_free(&observation->history);
    free(observation->paths);
    free(observation->samples);
    free(observation->seen);
    free(observation);
}

static void end(struct observation *observation, const char *why) {
    report_observation_ended(&observation->observer->device->report, observation->paths, observation->path_count, why);
    forget(observation);
}

/* ---- telling ---- */

static void on_told(void *arg, enum coap_notify_result result) {
    struct observation *observation = arg;
    if (observation->is_own)
        result = COAP_NOTIFY_ACKNOWLEDGED;
    switch (result) {
    case COAP_NOTIFY_ACKNOWLEDGED:
        observation->is_outstanding = false;
        observation->is_dirty = true;
        observer_settle(observation->observer);
        return;
    case COAP_NOTIFY_RESET:
        end(observation, "the server has reset it");
        return;
    case COAP_NOTIFY_NO_ACK:
        end(observation, "no acknowledgement");
        return;
    }
}

static void on_last_word_told(void *arg, enum coap_notify_result result) {
    (void)arg;
    (void)result;
}

/* The request that a server would make for the rest of a large notification. */
static void make_request(const struct observation *observation, uint8_t segments[LWM2M_PATH_IDS][8],
                         struct coap_uint *block, struct coap_message *request) {
    const struct lwm2m_path *path = &observation->paths[0];
    coap_message_init(request, COAP_CON, observation->method, 0, SLICE_NONE);
    for (size_t i = 0; !is_composite(observation) && i < path->len; i++) {
        struct buffer segment = buffer_over(segments[i], 8);
        buffer_put_decimal(&segment, path->ids[i]);
        coap_option_add(request, COAP_URI_PATH, buffer_slice(&segment));
    }
    if (observation->has_block2)
        coap_block_add(request, COAP_BLOCK2, (struct coap_block){.num = 0, .szx = observation->szx}, block);
    if (observation->protected_by_len > 0)
        coap_option_add(request, COAP_OSCORE, slice_of(observation->protected_by, observation->protected_by_len));
}

static bool transmit(struct observation *observation, const struct coap_message *message, enum coap_type type,
                     coap_notify_fn *done, void *arg) {
    struct device *device = observation->observer->device;
    struct coap_message request;
    struct coap_uint block;
    uint8_t segments[LWM2M_PATH_IDS][8];
    make_request(observation, segments, &block, &request);
    queue_mode_touch(&device->queue_mode);
    return coap_notify(device->coap, device_peer(device), message, &request, type, done, arg);
}

/* An error ends an observation (RFC 7641 §4.2). It is the last word about it, and must arrive. */
static void end_with(struct observation *observation, uint8_t code, const char *why) {
    struct coap_message message;
    coap_message_init(&message, COAP_CON, code, 0, slice_of(observation->token, observation->token_len));
    message.payload = slice_str(why);
    transmit(observation, &message, COAP_CON, on_last_word_told, observation->observer);
    end(observation, why);
}

static bool is_confirmable(const struct observation *observation, const struct attributes *timing) {
    return observation->observer->device->options->notify_con || attributes_get(timing, ATTRIBUTE_CON) > 0 ||
           now_ms(observation) - observation->confirmable_ms >= DAY_MS;
}

/* False when the observation has ended. */
static bool send_nodes(struct observation *observation, const struct lwm2m_nodes *nodes,
                       const struct attributes *timing) {
    static const struct lwm2m_path root = {.len = 0};
    struct device *device = observation->observer->device;
    enum coap_type type = is_confirmable(observation, timing) ? COAP_CON : COAP_NON;
    struct coap_message message;
    struct coap_uint sequence, format;
    struct buffer payload;
    if (!payload_encode(&device->payload, observation->format, nodes->nodes, nodes->count,
                        is_composite(observation) ? &root : &observation->paths[0], &payload)) {
        end_with(observation, COAP_4_06_NOT_ACCEPTABLE, "the format cannot tell it any more");
        return false;
    }
    observation->sequence = (observation->sequence + 1) & SEQUENCE_MASK;
    coap_message_init(&message, type, COAP_2_05_CONTENT, 0, slice_of(observation->token, observation->token_len));
    coap_option_add_uint(&message, COAP_OBSERVE, observation->sequence, &sequence);
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, (uint32_t)observation->format, &format);
    message.payload = buffer_slice(&payload);
    report_notified(&device->report, observation->paths, observation->path_count, type, nodes->count);
    if (!transmit(observation, &message, type, on_told, observation)) {
        end(observation, "it could not be sent");
        return false;
    }
    observation->is_outstanding = type == COAP_CON;
    if (type == COAP_CON)
        observation->confirmable_ms = now_ms(observation);
    return true;
}

/* Formats in which a value has a time carry several notifications at once; with the others each is one. */
static bool tells_times(int format) {
    return format == LWM2M_FORMAT_SENML_JSON || format == LWM2M_FORMAT_SENML_CBOR;
}

/* Send what was kept, oldest first. False when the observation has ended. */
static bool flush(struct observation *observation, const struct attributes *timing) {
    bool is_good = true;
    while (is_good && observation->history.count > 0 && !observation->is_outstanding) {
        struct lwm2m_node memory[NODES_MAX];
        struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
        bool has_times = tells_times(observation->format);
        struct history taken = {.first = NULL};
        while (history_take(&observation->history, &nodes, &taken) && has_times) {}
        for (size_t i = 0; i < nodes.count; i++)
            nodes.nodes[i].has_time = has_times;
        lwm2m_nodes_arrange(&nodes);
        is_good = send_nodes(observation, &nodes, timing);
        history_free(&taken);
    }
    return is_good;
}

/* ---- looking ---- */

static void on_due(struct timer *timer, void *arg);

static void schedule(struct observation *observation, const struct attributes *timing, bool has_waiting) {
    struct device *device = observation->observer->device;
    int64_t due_ms = notification_rule_due_ms(timing, has_waiting);
    if (due_ms == NOTIFICATION_NEVER_DUE)
        timer_cancel(&device->wheel, &observation->timer);
    else
        timer_schedule(&device->wheel, &observation->timer, observation->told_ms + (uint64_t)due_ms, on_due);
}

/* A server that cannot be reached is told later, when its server object says so; else what is then so. False when the
 * observation has ended. */
static bool tell(struct observation *observation, const struct lwm2m_nodes *nodes, const struct attributes *timing) {
    struct device *device = observation->observer->device;
    size_t keep = attributes_have(timing, ATTRIBUTE_HQMAX) ? (size_t)attributes_get(timing, ATTRIBUTE_HQMAX)
                                                           : HISTORY_DEFAULT_MAX;
    if (!device->queue_mode.is_dumb) {
        if (!send_nodes(observation, nodes, timing))
            return false;
    } else if (server_object_stores(device_object(device, server_kind.id))) {
        history_add(&observation->history, nodes, (int64_t)now_ms(observation), keep);
    } else {
        timer_cancel(&device->wheel, &observation->timer);
        return true;
    }
    observation->told_ms = now_ms(observation);
    remember(observation, nodes);
    schedule(observation, timing, false);
    return true;
}

static bool is_due(const struct observation *observation, const struct attributes *timing, bool has_waiting) {
    int64_t due_ms = notification_rule_due_ms(timing, has_waiting);
    return due_ms != NOTIFICATION_NEVER_DUE && now_ms(observation) >= observation->told_ms + (uint64_t)due_ms;
}

/* May end the observation. */
static void look(struct observation *observation) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    bool is_dumb = observation->observer->device->queue_mode.is_dumb;
    struct attributes timing = timing_of(observation);
    observation->is_dirty = false;
    if (observation->is_outstanding) /* it is looked at again when that has been acknowledged */
        return;
    if (!is_dumb && !flush(observation, &timing))
        return;
    if (observation->is_outstanding || (is_dumb && !exists(observation)))
        return;
    if (!exists(observation)) {
        end_with(observation, COAP_4_04_NOT_FOUND, "what was observed is gone");
        return;
    }
    if (!collect(observation, &nodes)) {
        end_with(observation, COAP_5_00_INTERNAL_SERVER_ERROR, "more values than a notification takes");
        return;
    }
    bool has_waiting = has_news(observation, &nodes);
    if (is_due(observation, &timing, has_waiting) || is_due(observation, &timing, false))
        tell(observation, &nodes, &timing);
    else
        schedule(observation, &timing, has_waiting);
}

static void on_due(struct timer *timer, void *arg) {
    (void)arg;
    look(TIMER_OWNER(timer, struct observation, timer));
}

void observer_settle(struct observer *observer) {
    timer_cancel(&observer->device->wheel, &observer->settle);
    for (struct observation *next, *at = observer->first; at != NULL; at = next) {
        next = at->next; /* looking at one may end it, but no other */
        if (at->is_dirty)
            look(at);
    }
}

static void on_settle(struct timer *timer, void *arg) {
    (void)arg;
    observer_settle(TIMER_OWNER(timer, struct observer, settle));
}

static void settle_soon(struct observer *observer) {
    struct device *device = observer->device;
    if (observer->first != NULL && !timer_is_scheduled(&observer->settle))
        timer_schedule(&device->wheel, &observer->settle, clock_now_ms(&device->clock), on_settle);
}

static bool is_about(const struct observation *observation, const struct lwm2m_path *path) {
    for (size_t i = 0; i < observation->path_count; i++) {
        if (lwm2m_path_contains(&observation->paths[i], path) || lwm2m_path_contains(path, &observation->paths[i]))
            return true;
    }
    return false;
}

void observer_changed(struct observer *observer, const struct lwm2m_path *path) {
    for (struct observation *at = observer->first; at != NULL; at = at->next)
        at->is_dirty = at->is_dirty || is_about(at, path);
    settle_soon(observer);
}

void observer_changed_all(struct observer *observer) {
    for (struct observation *at = observer->first; at != NULL; at = at->next)
        at->is_dirty = true;
    settle_soon(observer);
}

bool observer_is_waiting(const struct observer *observer) {
    const struct observation *at = observer->first;
    while (at != NULL && !at->is_outstanding)
        at = at->next;
    return at != NULL;
}

void observer_resume(struct observer *observer) {
    observer_changed_all(observer);
}

/* ---- beginning ---- */

static struct observation *find(const struct observer *observer, struct slice token) {
    struct observation *at = observer->first;
    while (at != NULL && !slice_equal(slice_of(at->token, at->token_len), token))
        at = at->next;
    return at;
}

void observer_init(struct observer *observer, struct device *device) {
    *observer = (struct observer){.device = device};
}

void observer_end(struct observer *observer) {
    timer_cancel(&observer->device->wheel, &observer->settle);
    while (observer->first != NULL)
        forget(observer->first);
}

static struct observation *make(struct observer *observer, const struct observed *what) {
    struct observation *observation = memory_or_exit(calloc(1, sizeof *observation));
    observation->observer = observer;
    observation->method = what->method;
    observation->token_len = (uint8_t)what->token.len;
    if (what->token.len > 0)
        memcpy(observation->token, what->token.data, what->token.len);
    observation->protected_by_len = (uint8_t)what->protected_by.len;
    if (what->protected_by.len > 0)
        memcpy(observation->protected_by, what->protected_by.data, what->protected_by.len);
    observation->has_block2 = what->has_block2;
    observation->szx = what->szx;
    observation->format = what->format;
    observation->is_own = what->is_own;
    observation->asked = what->asked;
    observation->path_count = what->path_count;
    observation->paths = memory_or_exit(calloc(what->path_count + 1, sizeof *observation->paths));
    for (size_t i = 0; i < what->path_count; i++)
        observation->paths[i] = what->paths[i];
    return observation;
}

bool observe_begin(struct observer *observer, const struct observed *what, uint32_t *sequence) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    struct observation *former = find(observer, what->token);
    uint32_t last = former == NULL ? 0 : former->sequence;
    if (former != NULL)
        forget(former);
    if (observer->count >= OBSERVATIONS_MAX)
        return false;
    struct observation *observation = make(observer, what), **at = &observer->first;
    while (*at != NULL)
        at = &(*at)->next;
    *at = observation;
    observer->count++;
    collect(observation, &nodes); /* it was answered with just now */
    remember(observation, &nodes);
    observation->told_ms = observation->confirmable_ms = now_ms(observation);
    observation->sequence = (last + 1) & SEQUENCE_MASK;
    *sequence = observation->sequence;
    struct attributes timing = timing_of(observation);
    schedule(observation, &timing, false);
    if (former == NULL)
        report_observation_began(&observer->device->report, observation->paths, observation->path_count);
    return true;
}

void observer_set_format(struct observer *observer, const struct lwm2m_path *path, int format) {
    for (struct observation *at = observer->first; at != NULL; at = at->next) {
        if (!is_composite(at) && lwm2m_path_equal(&at->paths[0], path))
            at->format = format;
    }
}

void observe_cancel(struct observer *observer, struct slice token) {
    struct observation *observation = find(observer, token);
    if (observation != NULL)
        end(observation, "the server has cancelled it");
}

void observer_report(const struct observer *observer) {
    for (const struct observation *at = observer->first; at != NULL; at = at->next) {
        uint8_t bytes[256];
        struct buffer state = buffer_over(bytes, sizeof bytes - 1);
        struct attributes timing = timing_of(at);
        attributes_put(&timing, &state);
        bytes[state.len] = '\0';
        report_observation(&observer->device->report, at->paths, at->path_count,
                           state.len == 0 ? "as it changes" : (const char *)bytes + 1);
    }
}
