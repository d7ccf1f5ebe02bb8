/* What went to and from devices: as JSON, page by page or when it comes, or as a capture. */
#include <stdlib.h>

#include "common/net/capture.h"
#include "web/document.h"
#include "web/input.h"
#include "web/v1/device_problem.h"
#include "web/v1/http_form.h"
#include "web/v1/message_json.h"
#include "web/v1/target.h"
#include "web/v1/v1.h"
#include "web/waiter.h"

enum {
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 1000,
    CLEAR_PORT = 5683,
    INNER_MAX = 32768,
    REMARK_MAX = 192,
    TAPES_MAX = 16, /* as many as there are listeners */
};

/* ---- whose ---- */

enum scope { SCOPE_ALL, SCOPE_DEVICE, SCOPE_PEER };

struct subject {
    enum scope scope;
    struct slice endpoint;
    struct address peer;
    int transport; /* enum link_transport; -1: any */
};

static void refuse_off(const struct call *call) {
    problem_send(call->request, PROBLEM_NOT_FOUND, "The server keeps no messages: it was started with --trace off.");
}

/* A page, a capture or a wait. */
struct wanted {
    struct subject subject;
    uint64_t after, limit;
    uint64_t kinds; /* a bit for each */
    bool in, out, raw;
};

/* The subject's tapes: distinct ones. */
static size_t tapes_of(const struct trace_store *store, const struct server *server, const struct subject *subject,
                       struct trace_tape *tapes[TAPES_MAX]) {
    size_t count = 0;
    if (subject->scope == SCOPE_DEVICE) {
        tapes[0] = trace_device(store, subject->endpoint);
        return tapes[0] != NULL;
    }
    for (size_t i = 0; i < server->config->listener_count && count < TAPES_MAX; i++) {
        struct trace_tape *tape = trace_peer(store, (uint8_t)i, &subject->peer);
        bool known = tape == NULL;
        for (size_t k = 0; k < count; k++)
            known = known || tapes[k] == tape;
        if (!known)
            tapes[count++] = tape;
    }
    return count;
}

static int by_id(const void *a, const void *b) {
    uint64_t left = ((const struct trace_ref *)a)->id, right = ((const struct trace_ref *)b)->id;
    return left < right ? -1 : left > right;
}

static struct trace_ref *list_of(const struct trace_store *store, const struct server *server,
                                 const struct subject *subject, size_t *count) {
    struct trace_tape *tapes[TAPES_MAX] = {NULL};
    struct trace_ref *all = NULL;
    *count = 0;
    if (subject->scope == SCOPE_ALL)
        return trace_list(store, NULL, count);
    for (size_t i = 0, tape_count = tapes_of(store, server, subject, tapes); i < tape_count; i++) {
        size_t more;
        struct trace_ref *refs = trace_list(store, tapes[i], &more);
        struct trace_ref *grown = more == 0 ? NULL : realloc(all, (*count + more) * sizeof *all);
        if (grown != NULL) {
            memcpy(grown + *count, refs, more * sizeof *refs);
            all = grown;
            *count += more;
        }
        free(refs);
    }
    if (all != NULL)
        qsort(all, *count, sizeof *all, by_id);
    return all;
}

static bool concerns(const struct subject *subject, const struct trace_entry *entry) {
    return subject->scope != SCOPE_PEER || ((subject->transport < 0 || subject->transport == entry->transport) &&
                                            address_equal(&subject->peer, &entry->peer));
}

/* ---- walking through ---- */

/* Entries one after the other, with what travelled inside of them. */
struct walk {
    struct trace_store *store;
    struct message_reader *reader;
    struct trace_ref *refs;
    size_t count, at;
    struct trace_entry entry;
    struct slice inner;
    bool shown; /* there is something in it to show */
    uint8_t inner_memory[INNER_MAX];
};

static struct walk *walk_new(struct web *web, const struct subject *subject) {
    struct walk *walk = calloc(1, sizeof *walk);
    if (walk == NULL)
        return NULL;
    walk->store = trace_store_of(web->server->trace);
    walk->reader = message_reader_new(web->server);
    walk->refs = list_of(walk->store, web->server, subject, &walk->count);
    if (walk->reader != NULL)
        return walk;
    free(walk->refs);
    free(walk);
    return NULL;
}

static void walk_free(struct walk *walk) {
    message_reader_free(walk->reader);
    free(walk->refs);
    explicit_bzero(walk, sizeof *walk);
    free(walk);
}

/* What is inside of an entry is the one that follows. */
static void find_inner(struct walk *walk, uint64_t of) {
    struct trace_entry inner;
    walk->inner = SLICE_NONE;
    if (walk->at == walk->count || walk->refs[walk->at].id != of + 1 ||
        !trace_get(walk->store, &walk->refs[walk->at], &inner) || inner.kind != TRACE_INNER || inner.of != of ||
        inner.content.len > sizeof walk->inner_memory)
        return;
    memcpy(walk->inner_memory, inner.content.data, inner.content.len);
    walk->inner = slice_of(walk->inner_memory, inner.content.len);
}

static bool walk_on(struct walk *walk) {
    if (walk->at == walk->count)
        return false;
    const struct trace_ref *ref = &walk->refs[walk->at++];
    find_inner(walk, ref->id);
    if (!trace_get(walk->store, ref, &walk->entry))
        return false;
    walk->shown = message_reader_take(walk->reader, &walk->entry, walk->inner);
    return true;
}

/* ---- a page ---- */

static json_t *page_json(struct web *web, const struct wanted *wanted) {
    struct walk *walk = walk_new(web, &wanted->subject);
    json_t *items = json_array(), *page = json_object();
    uint64_t last = trace_last_id(trace_store_of(web->server->trace));
    while (walk != NULL && walk_on(walk)) {
        const struct trace_entry *entry = &walk->entry;
        if (!walk->shown || entry->id <= wanted->after || (entry->sent ? !wanted->out : !wanted->in) ||
            (wanted->kinds >> message_reader_kind(walk->reader) & 1) == 0 || !concerns(&wanted->subject, entry))
            continue;
        json_array_append_new(items, message_reader_json(walk->reader, wanted->raw));
        if (json_array_size(items) == wanted->limit) {
            last = entry->id;
            break;
        }
    }
    if (walk != NULL)
        walk_free(walk);
    json_object_set_new(page, "items", items);
    json_object_set_new(page, "last", json_integer((json_int_t)last));
    return page;
}

struct poll {
    struct waiter waiter; /* first member */
    struct trace_watcher watcher;
    struct wanted wanted;
    uint8_t endpoint[];
};

static void on_told(struct trace_watcher *watcher) {
    struct poll *poll = (struct poll *)(void *)((uint8_t *)watcher - offsetof(struct poll, watcher));
    http_wake(poll->waiter.request);
}

static void on_free(struct waiter *waiter) {
    trace_unwatch(&((struct poll *)waiter)->watcher);
    free(waiter);
}

static void answer_poll(struct poll *poll, json_t *page) {
    trace_unwatch(&poll->watcher);
    document_ok(waiter_stop(&poll->waiter), page);
    free(poll);
}

static void on_woken(struct waiter *waiter) {
    struct poll *poll = (struct poll *)waiter;
    json_t *page = page_json(waiter->web, &poll->wanted);
    if (json_array_size(json_object_get(page, "items")) > 0)
        answer_poll(poll, page);
    else
        json_decref(page);
}

static void on_timed_out(struct waiter *waiter) {
    struct poll *poll = (struct poll *)waiter;
    answer_poll(poll, page_json(waiter->web, &poll->wanted));
}

static void on_event(struct waiter *waiter, const struct event *event) {
    (void)waiter, (void)event; /* messages are waited for, not events */
}

static const struct waiter_handlers polling = {
    .event = on_event, .timed_out = on_timed_out, .free = on_free, .woken = on_woken};

static void wait_for_page(const struct call *call, const struct wanted *wanted, uint64_t timeout_ms) {
    size_t len = wanted->subject.endpoint.len;
    struct poll *poll = calloc(1, sizeof *poll + len);
    if (poll == NULL) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    poll->wanted = *wanted;
    if (len > 0)
        memcpy(poll->endpoint, wanted->subject.endpoint.data, len);
    poll->wanted.subject.endpoint = slice_of(poll->endpoint, len);
    poll->watcher.told = on_told;
    trace_watch(call->web->server->trace, &poll->watcher);
    waiter_start(&poll->waiter, call->web, call->request, &polling, timeout_ms);
}

/* ---- a capture ---- */

static void add_secrets(struct capture *capture, struct web *web, const struct subject *subject) {
    struct trace_store *store = trace_store_of(web->server->trace);
    size_t count, cap = 1;
    struct trace_ref *refs = list_of(store, web->server, subject, &count);
    struct trace_entry entry;
    for (size_t i = 0; i < count; i++) {
        if (trace_get(store, &refs[i], &entry) && entry.kind == TRACE_SECRET)
            cap += entry.content.len + 1;
    }
    uint8_t *memory = malloc(cap);
    struct buffer lines = buffer_over(memory, memory == NULL ? 0 : cap);
    for (size_t i = 0; i < count; i++) {
        if (!trace_get(store, &refs[i], &entry) || entry.kind != TRACE_SECRET || !concerns(subject, &entry))
            continue;
        buffer_put_slice(&lines, entry.content);
        buffer_put_u8(&lines, '\n');
    }
    capture_add_secrets(capture, buffer_slice(&lines));
    if (memory != NULL)
        explicit_bzero(memory, cap);
    free(memory);
    free(refs);
}

/* The packet of an entry; false: it has none. In the clear there are messages only, and what OSCORE had inside in its place;
 * those that are as datagrams have them become such. */
static bool packet_of(const struct walk *walk, bool clear, struct capture_packet *packet) {
    const struct trace_entry *entry = &walk->entry;
    bool connects = link_transport_connects((enum link_transport)entry->transport);
    *packet = (struct capture_packet){
        .time_ms = entry->time_ms,
        .sent = entry->sent,
        .is_stream = connects,
        .has_offset = connects,
        .offset = entry->offset,
        .peer = entry->peer,
        .local = entry->local,
        .bytes = entry->wire,
    };
    if (packet->local.family != packet->peer.family) { /* of a listener for both, and no address of ours was told */
        packet->local = (struct address){.family = packet->peer.family, .port = entry->local.port};
    }
    if (clear) {
        packet->has_offset = false;
        packet->is_stream = connects && entry->framing == LINK_STREAM_8323 && walk->inner.len == 0;
        packet->bytes = entry->kind != TRACE_MESSAGE ? SLICE_NONE : walk->inner.len > 0 ? walk->inner : entry->content;
        if (entry->transport == LINK_DTLS || entry->transport == LINK_TLS)
            packet->local.port = CLEAR_PORT;
    }
    return packet->bytes.len > 0;
}

static void send_capture(const struct call *call, const struct subject *subject, bool clear, enum http_form form) {
    struct capture *capture = capture_new("Berth " BERTH_VERSION);
    struct walk *walk = capture == NULL ? NULL : walk_new(call->web, subject);
    struct capture_packet packet;
    if (capture != NULL && !clear)
        add_secrets(capture, call->web, subject);
    while (walk != NULL && walk_on(walk)) {
        if (!concerns(subject, &walk->entry) || !packet_of(walk, clear, &packet))
            continue;
        uint8_t memory[REMARK_MAX];
        struct buffer remark = buffer_over(memory, sizeof memory);
        if (walk->shown)
            buffer_put_str(&remark, entry_kind_name(message_reader_kind(walk->reader)));
        if (walk->entry.endpoint.len > 0 && slice_is_utf8(walk->entry.endpoint)) {
            buffer_put_u8(&remark, ' ');
            buffer_put_slice(&remark, walk->entry.endpoint);
        }
        packet.remark = buffer_slice(&remark);
        capture_add(capture, &packet);
    }
    struct slice bytes = capture == NULL ? SLICE_NONE : capture_bytes(capture);
    if (walk == NULL || bytes.len == 0)
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
    else
        http_respond(call->request,
                     &(struct http_response){.status = 200, .content_type = http_form_type(form), .body = bytes});
    if (walk != NULL)
        walk_free(walk);
    if (capture != NULL)
        capture_free(capture);
}

/* ---- what was asked for ---- */

static bool read_kinds(const struct call *call, uint64_t *kinds) {
    struct slice rest = query_get(&call->query, "kind");
    *kinds = UINT64_MAX;
    if (rest.data == NULL)
        return true;
    *kinds = 0;
    for (;;) {
        const uint8_t *comma = rest.len == 0 ? NULL : memchr(rest.data, ',', rest.len);
        struct slice name = comma == NULL ? rest : slice_of(rest.data, (size_t)(comma - rest.data));
        enum entry_kind kind = 0;
        while (kind < ENTRY_KINDS && !slice_is(name, entry_kind_name(kind)))
            kind++;
        if (kind == ENTRY_KINDS) {
            problem_send(call->request, PROBLEM_BAD_PARAMETER, "kind has \"%.*s\", which is no kind of message.",
                         (int)name.len, (const char *)name.data);
            return false;
        }
        *kinds |= 1ull << kind;
        if (comma == NULL)
            return true;
        rest = slice_from(rest, name.len + 1);
    }
}

static bool read_direction(const struct call *call, struct wanted *wanted) {
    struct slice direction = query_get(&call->query, "direction");
    wanted->in = direction.data == NULL || slice_is(direction, "in");
    wanted->out = direction.data == NULL || slice_is(direction, "out");
    if (wanted->in || wanted->out)
        return true;
    problem_send(call->request, PROBLEM_BAD_PARAMETER, "direction is \"%.*s\"; it must be in or out.",
                 (int)direction.len, (const char *)direction.data);
    return false;
}

static bool read_wanted(const struct call *call, struct wanted *wanted) {
    wanted->after = 0;
    wanted->limit = LIMIT_DEFAULT;
    wanted->raw = false;
    return input_number(call, "after", 0, INT64_MAX, &wanted->after) &&
           input_number(call, "limit", 1, LIMIT_MAX, &wanted->limit) && target_switch(call, "raw", &wanted->raw) &&
           read_kinds(call, &wanted->kinds) && read_direction(call, wanted);
}

static bool read_capture(const struct call *call, bool *clear) {
    static const char *const others[] = {"after", "limit", "kind", "direction", "raw", "poll", "timeout"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (!input_given(call, others[i]))
            continue;
        problem_send(call->request, PROBLEM_BAD_PARAMETER, "%s does not go with a capture, which has everything.",
                     others[i]);
        return false;
    }
    *clear = false;
    return target_switch(call, "clear", clear);
}

static void answer(const struct call *call, const struct subject *subject) {
    unsigned offered = 1 << HTTP_FORM_JSON | 1 << HTTP_FORM_PCAPNG | 1 << HTTP_FORM_PCAP;
    enum http_form form = http_form_wanted(call->request, offered);
    struct wanted wanted = {.subject = *subject};
    uint64_t polls = 0, timeout_ms;
    bool clear;
    if (form == HTTP_FORM_OTHER) {
        problem_send(call->request, PROBLEM_NOT_ACCEPTABLE,
                     "The answer can be application/json, application/x-pcapng or application/vnd.tcpdump.pcap.");
        return;
    }
    if (form == HTTP_FORM_PCAPNG || form == HTTP_FORM_PCAP) {
        if (read_capture(call, &clear))
            send_capture(call, subject, clear, form);
        return;
    }
    if (input_given(call, "clear")) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER, "clear goes with a capture only (see Accept).");
        return;
    }
    if (!read_wanted(call, &wanted) || !input_number(call, "poll", 0, 1, &polls) || !input_timeout(call, &timeout_ms))
        return;
    if (polls == 0 && input_given(call, "timeout")) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER, "timeout goes with poll=1 only.");
        return;
    }
    json_t *page = page_json(call->web, &wanted);
    if (polls == 0 || timeout_ms == 0 || json_array_size(json_object_get(page, "items")) > 0) {
        document_ok(call->request, page);
        return;
    }
    json_decref(page);
    wait_for_page(call, &wanted, timeout_ms);
}

/* ---- handlers ---- */

static void answer_done(const struct call *call) {
    http_respond(call->request, &(struct http_response){.status = 204});
}

void v1_messages_get(const struct call *call) {
    const struct subject subject = {.scope = SCOPE_ALL, .transport = -1};
    if (call->web->server->trace == NULL)
        refuse_off(call);
    else
        answer(call, &subject);
}

void v1_messages_delete(const struct call *call) {
    if (call->web->server->trace == NULL) {
        refuse_off(call);
        return;
    }
    trace_store_clear(trace_store_of(call->web->server->trace));
    answer_done(call);
}

/* The device is there, or was while this server ran. */
static bool read_device(const struct call *call, struct subject *subject) {
    const struct server *server = call->web->server;
    *subject = (struct subject){.scope = SCOPE_DEVICE, .endpoint = call->args[0], .transport = -1};
    if (server->trace == NULL) {
        refuse_off(call);
        return false;
    }
    if (directory_find(server->directory, call->args[0]) != NULL ||
        trace_device(trace_store_of(server->trace), call->args[0]) != NULL)
        return true;
    problem_send_not_registered(call->request, call->args[0]);
    return false;
}

void v1_messages_of_device_get(const struct call *call) {
    struct subject subject;
    if (read_device(call, &subject))
        answer(call, &subject);
}

void v1_messages_of_device_delete(const struct call *call) {
    struct subject subject;
    if (!read_device(call, &subject))
        return;
    struct trace_store *store = trace_store_of(call->web->server->trace);
    struct trace_tape *tape = trace_device(store, subject.endpoint);
    if (tape != NULL)
        trace_store_drop(store, tape);
    answer_done(call);
}

static bool read_transport(const struct call *call, int *transport) {
    struct slice name = query_get(&call->query, "transport");
    *transport = -1;
    if (name.data == NULL)
        return true;
    for (enum link_transport one = LINK_UDP; one <= LINK_TLS; one++) {
        if (slice_is(name, link_transport_name(one)))
            *transport = (int)one;
    }
    if (*transport >= 0)
        return true;
    problem_send(call->request, PROBLEM_BAD_PARAMETER, "transport is \"%.*s\"; it must be udp, dtls, tcp or tls.",
                 (int)name.len, (const char *)name.data);
    return false;
}

/* "192.0.2.1:5683", "[2001:db8::1]:5683". */
static bool parse_address(struct slice text, struct address *address) {
    size_t colon = text.len;
    uint64_t port;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0 || !slice_to_u64(slice_from(text, colon), UINT16_MAX, &port))
        return false;
    struct slice host = slice_of(text.data, colon - 1);
    bool bracketed = host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    if (bracketed)
        host = slice_of(host.data + 1, host.len - 2);
    if (!address_parse_ip(host, address) || bracketed != (address->family == ADDRESS_IPV6))
        return false;
    address->port = (uint16_t)port;
    return true;
}

static bool read_peer(const struct call *call, struct subject *subject) {
    *subject = (struct subject){.scope = SCOPE_PEER};
    if (call->web->server->trace == NULL) {
        refuse_off(call);
        return false;
    }
    if (parse_address(call->args[0], &subject->peer))
        return read_transport(call, &subject->transport);
    problem_send(call->request, PROBLEM_BAD_PARAMETER,
                 "\"%.*s\" is no address; it must be one such as 192.0.2.1:49152 or [2001:db8::1]:49152.",
                 (int)call->args[0].len, (const char *)call->args[0].data);
    return false;
}

void v1_messages_of_peer_get(const struct call *call) {
    struct subject subject;
    if (read_peer(call, &subject))
        answer(call, &subject);
}

void v1_messages_of_peer_delete(const struct call *call) {
    struct subject subject;
    struct trace_tape *tapes[TAPES_MAX];
    if (!read_peer(call, &subject))
        return;
    const struct server *server = call->web->server;
    struct trace_store *store = trace_store_of(server->trace);
    for (size_t i = 0, count = tapes_of(store, server, &subject, tapes); i < count; i++) {
        if (trace_tape_endpoint(tapes[i]).data == NULL)
            trace_store_drop(store, tapes[i]);
    }
    answer_done(call);
}
