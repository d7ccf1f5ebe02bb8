/* The ring lies in one mapping of `max_bytes`, which the kernel fills page by page as it is first written: an idle log
 * costs next to nothing, and there is no moment at which it has to grow.
 *
 *   [ records: 15/16 of the bytes ][ offsets: 1/16 ]
 *
 * A record is a struct record, the used bytes of the address, the bytes of the five slices and, when there is one, a
 * struct record_observation, a struct record_node and the bytes of its value, and a struct event_request, without
 * padding; it never wraps, so that slices can point at it. Events have positions without gaps, the offset of the one at
 * position P stands at P modulo the number of offsets. Where numbers go on above a gap a span begins, within which number
 * and position differ by the same. The oldest events go when their bytes, their offset or their span are needed. */
#include "server/event.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/queue.h>

enum { RING_BYTES_MIN = 4096 };

/* In memory at any alignment: read and written with memcpy. */
struct record {
    uint64_t ts_ms;
    uint32_t lifetime_s;
    uint16_t endpoint_len, location_len, previous_len, detail_len, facts_len;
    uint8_t type;
    uint8_t coap_code;
    uint8_t address_len; /* how many bytes of struct address follow */
    uint8_t has_node : 1, has_observation : 1, has_request : 1;
} __attribute__((packed));

struct record_observation {
    uint64_t id;
    uint32_t sequence;
    uint8_t has_sequence, is_stale, is_confirmable, is_answer;
};

struct record_node {
    struct lwm2m_path path;
    uint8_t has_time;
    uint8_t type;       /* enum lwm2m_type */
    uint32_t bytes_len; /* of a value that is bytes, which follow; any other is in `scalar` */
    int64_t time_ms;
    uint64_t scalar;
};

/* Events from `position` up to the next span have number position + skipped. */
struct span {
    uint64_t position, skipped;
};

struct event_subscriber {
    TAILQ_ENTRY(event_subscriber) entry;
    event_fn *fn;
    void *arg;
    uint64_t since; /* the last event before it subscribed */
};

struct event_log {
    const struct clock *clock;
    uint8_t *ring;
    uint32_t *offsets;
    size_t ring_bytes, offset_count, mapped_bytes;
    size_t head;                        /* where the next record goes */
    uint64_t last, oldest;              /* positions; the oldest one is last + 1 when there is none */
    struct span spans[EVENT_SPANS_MAX]; /* ascending; the last one may be empty */
    size_t span_count;                  /* 1 at least */
    uint64_t counts[EVENT_TYPE_COUNT];
    TAILQ_HEAD(, event_subscriber) subscribers;
    struct event_subscriber *next; /* the one to be told next, while event_publish tells them */
};

static const char *const type_names[EVENT_TYPE_COUNT] = {
    [EVENT_REGISTERED] = "registered",
    [EVENT_UPDATED] = "updated",
    [EVENT_DEREGISTERED] = "deregistered",
    [EVENT_EXPIRED] = "expired",
    [EVENT_REPLACED] = "replaced",
    [EVENT_ADDRESS_CHANGED] = "address_changed",
    [EVENT_REJECTED] = "rejected",
    [EVENT_ODDITY] = "oddity",
    [EVENT_SEND] = "send",
    [EVENT_NOTIFICATION] = "notification",
    [EVENT_OBSERVE_STARTED] = "observe_started",
    [EVENT_OBSERVE_ENDED] = "observe_ended",
    [EVENT_AWAKE] = "awake",
    [EVENT_SLEEPING] = "sleeping",
    [EVENT_REQUEST_COMPLETED] = "request_completed",
    [EVENT_DTLS_HANDSHAKE] = "dtls_handshake",
    [EVENT_DTLS_RESUMED] = "dtls_resumed",
    [EVENT_DTLS_FAILED] = "dtls_failed",
    [EVENT_OSCORE_DERIVED] = "oscore_derived",
    [EVENT_CONNECTION_OPENED] = "connection_opened",
    [EVENT_CONNECTION_CLOSED] = "connection_closed",
    [EVENT_PING] = "ping",
    [EVENT_BOOTSTRAP_STARTED] = "bootstrap_started",
    [EVENT_BOOTSTRAP_STEP] = "bootstrap_step",
    [EVENT_BOOTSTRAP_FINISHED] = "bootstrap_finished",
    [EVENT_BOOTSTRAP_FAILED] = "bootstrap_failed",
    [EVENT_FAULT] = "fault",
    [EVENT_FIRMWARE] = "firmware",
};

struct event_log *event_log_new(const struct clock *clock, uint64_t first_id, size_t max_bytes) {
    size_t bytes = max_bytes < RING_BYTES_MIN ? RING_BYTES_MIN : max_bytes;
    if (bytes > UINT32_MAX)
        bytes = UINT32_MAX;
    bytes -= bytes % 64;
    struct event_log *log = calloc(1, sizeof *log);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (log == NULL || memory == MAP_FAILED) {
        perror("event log");
        abort();
    }
    log->clock = clock;
    log->mapped_bytes = bytes;
    log->ring = memory;
    log->ring_bytes = bytes / 16 * 15;
    log->offsets = (uint32_t *)(void *)(log->ring + log->ring_bytes);
    log->offset_count = bytes / 16 / sizeof *log->offsets;
    log->oldest = 1;
    log->spans[0] = (struct span){.position = 1, .skipped = first_id - 1};
    log->span_count = 1;
    TAILQ_INIT(&log->subscribers);
    return log;
}

void event_log_free(struct event_log *log) {
    if (log == NULL)
        return;
    struct event_subscriber *subscriber;
    while ((subscriber = TAILQ_FIRST(&log->subscribers)) != NULL)
        event_unsubscribe(log, subscriber);
    munmap(log->ring, log->mapped_bytes);
    free(log);
}

static uint32_t *offset_of(const struct event_log *log, uint64_t position) {
    return &log->offsets[position % log->offset_count];
}

static bool is_empty(const struct event_log *log) {
    return log->oldest > log->last;
}

/* ---- numbers and positions ---- */

static const struct span *newest_span(const struct event_log *log) {
    return &log->spans[log->span_count - 1];
}

static uint64_t id_at(const struct event_log *log, uint64_t position) {
    const struct span *span = newest_span(log);
    while (span > log->spans && span->position > position)
        span--;
    return position + span->skipped;
}

/* The position of the first event that is kept with a number greater than `after`, which is less than the last one. */
static uint64_t position_after(const struct event_log *log, uint64_t after) {
    uint64_t before = log->last + 1; /* where the span ends */
    for (const struct span *span = newest_span(log);; span--) {
        if (after >= span->position + span->skipped) {
            uint64_t position = after + 1 - span->skipped;
            position = position < before ? position : before;
            return position > log->oldest ? position : log->oldest;
        }
        if (span == log->spans || span->position <= log->oldest)
            return span->position > log->oldest ? span->position : log->oldest;
        before = span->position;
    }
}

static void drop_spans(struct event_log *log, size_t count) {
    log->span_count -= count;
    memmove(log->spans, log->spans + count, log->span_count * sizeof log->spans[0]);
}

/* Forget spans whose events are gone; the oldest events, too, when there is no room for one more span. */
static void make_room_for_span(struct event_log *log) {
    size_t gone = 0;
    while (gone + 1 < log->span_count && log->spans[gone + 1].position <= log->oldest)
        gone++;
    drop_spans(log, gone);
    if (log->span_count < EVENT_SPANS_MAX)
        return;
    log->oldest = log->spans[1].position;
    drop_spans(log, 1);
}

void event_log_go_on(struct event_log *log, uint64_t next_id) {
    uint64_t position = log->last + 1;
    if (next_id <= event_last_id(log) + 1)
        return;
    if (newest_span(log)->position < position) {
        make_room_for_span(log);
        log->spans[log->span_count++].position = position;
    }
    log->spans[log->span_count - 1].skipped = next_id - position;
}

/* Drop the oldest events until `size` bytes at the head and one offset are free. */
static void make_room(struct event_log *log, size_t size) {
    if (!is_empty(log) && log->last - log->oldest + 1 == log->offset_count)
        log->oldest++;
    if (size > log->ring_bytes - log->head) {
        while (!is_empty(log) && *offset_of(log, log->oldest) >= log->head)
            log->oldest++;
        log->head = 0;
    }
    while (!is_empty(log)) {
        size_t oldest = *offset_of(log, log->oldest);
        if (oldest < log->head || oldest >= log->head + size)
            break;
        log->oldest++;
    }
}

/* IPv4 addresses use the first half of struct address only. */
static uint8_t address_len(const struct address *address) {
    switch (address->family) {
    case ADDRESS_IPV4:
        return offsetof(struct address, ip) + 4;
    case ADDRESS_IPV6:
        return sizeof *address;
    default:
        return 0;
    }
}

/* How much of `text` to keep when there is room for `room` bytes: a UTF-8 sequence is kept whole or not at all. */
static uint16_t fit(struct slice text, size_t *room) {
    size_t len = *room < UINT16_MAX ? *room : UINT16_MAX;
    if (len >= text.len) {
        len = text.len;
    } else {
        while (len > 0 && (text.data[len] & 0xc0) == 0x80)
            len--;
    }
    *room -= len;
    return (uint16_t)len;
}

/* Facts are kept whole or not at all. */
static uint16_t fit_facts(struct slice facts, size_t *room) {
    if (facts.len > UINT16_MAX || facts.len > *room)
        return 0;
    *room -= facts.len;
    return (uint16_t)facts.len;
}

static uint8_t *put(uint8_t *at, const void *data, size_t len) {
    if (len > 0)
        memcpy(at, data, len);
    return at + len;
}

static struct slice take(const uint8_t **at, size_t len) {
    struct slice s = slice_of(*at, len);
    *at += len;
    return s;
}

static struct record_node record_of_node(const struct lwm2m_node *node, size_t room) {
    struct record_node record = {.path = node->path,
                                 .has_time = node->has_time,
                                 .type = (uint8_t)node->value.type,
                                 .time_ms = node->time_ms,
                                 .scalar = lwm2m_value_bits(&node->value)};
    if (lwm2m_type_has_bytes(node->value.type))
        record.bytes_len = (uint32_t)(node->value.bytes.len < room ? node->value.bytes.len : room);
    return record;
}

static void decode_node(const uint8_t **from, struct lwm2m_node *node) {
    struct record_node record;
    const uint8_t *at = *from;
    memcpy(&record, at, sizeof record);
    *from += sizeof record + record.bytes_len;
    *node = (struct lwm2m_node){.path = record.path, .has_time = record.has_time != 0, .time_ms = record.time_ms};
    node->value.type = (enum lwm2m_type)record.type;
    if (lwm2m_type_has_bytes(node->value.type))
        node->value.bytes = slice_of(at + sizeof record, record.bytes_len);
    else
        lwm2m_value_set_bits(&node->value, record.scalar);
}

static struct record_observation record_of_observation(const struct event *event) {
    return (struct record_observation){.id = event->observation,
                                       .sequence = event->sequence,
                                       .has_sequence = event->has_sequence,
                                       .is_stale = event->is_stale,
                                       .is_confirmable = event->is_confirmable,
                                       .is_answer = event->is_answer};
}

static void decode_observation(const uint8_t **at, struct event *event) {
    struct record_observation record;
    memcpy(&record, *at, sizeof record);
    *at += sizeof record;
    event->observation = record.id;
    event->sequence = record.sequence;
    event->has_sequence = record.has_sequence != 0;
    event->is_stale = record.is_stale != 0;
    event->is_confirmable = record.is_confirmable != 0;
    event->is_answer = record.is_answer != 0;
}

static void decode(const struct event_log *log, uint64_t position, struct event *event) {
    const uint8_t *at = log->ring + *offset_of(log, position);
    struct record record;
    memcpy(&record, at, sizeof record);
    at += sizeof record;
    *event = (struct event){.id = id_at(log, position),
                            .ts_ms = record.ts_ms,
                            .type = (enum event_type)record.type,
                            .lifetime_s = record.lifetime_s,
                            .coap_code = record.coap_code};
    memcpy(&event->address, at, record.address_len);
    at += record.address_len;
    event->endpoint = take(&at, record.endpoint_len);
    event->location = take(&at, record.location_len);
    event->previous = take(&at, record.previous_len);
    event->detail = take(&at, record.detail_len);
    event->facts = take(&at, record.facts_len);
    event->has_node = record.has_node != 0;
    if (record.has_observation)
        decode_observation(&at, event);
    if (event->has_node)
        decode_node(&at, &event->node);
    if (record.has_request)
        memcpy(&event->request, at, sizeof event->request);
}

static void tell_subscribers(struct event_log *log, const struct event_content *content) {
    struct event event;
    decode(log, log->last, &event);
    event.content = content;
    struct event_subscriber *subscriber = TAILQ_FIRST(&log->subscribers);
    while (subscriber != NULL) {
        log->next = TAILQ_NEXT(subscriber, entry);
        if (subscriber->since < event.id)
            subscriber->fn(subscriber->arg, &event);
        subscriber = log->next;
    }
}

/* Append it, with the next number. */
static void keep(struct event_log *log, const struct event *event, uint64_t ts_ms) {
    struct record record = {.ts_ms = ts_ms,
                            .lifetime_s = event->lifetime_s,
                            .type = (uint8_t)event->type,
                            .coap_code = event->coap_code,
                            .address_len = address_len(&event->address),
                            .has_node = event->has_node,
                            .has_observation = event->observation != 0,
                            .has_request = event->request.id > 0};
    struct record_observation observation = record_of_observation(event);
    struct record_node node;
    size_t room = log->ring_bytes - sizeof record - record.address_len - (event->has_node ? sizeof node : 0) -
                  (record.has_observation ? sizeof observation : 0) - (record.has_request ? sizeof event->request : 0);
    record.facts_len = fit_facts(event->facts, &room);
    record.endpoint_len = fit(event->endpoint, &room);
    record.location_len = fit(event->location, &room);
    record.previous_len = fit(event->previous, &room);
    record.detail_len = fit(event->detail, &room);
    if (event->has_node) { /* of a value that does not fit the beginning is kept */
        node = record_of_node(&event->node, room);
        room -= node.bytes_len;
    }
    size_t size = log->ring_bytes - room;
    make_room(log, size);

    uint8_t *at = log->ring + log->head;
    at = put(at, &record, sizeof record);
    at = put(at, &event->address, record.address_len);
    at = put(at, event->endpoint.data, record.endpoint_len);
    at = put(at, event->location.data, record.location_len);
    at = put(at, event->previous.data, record.previous_len);
    at = put(at, event->detail.data, record.detail_len);
    at = put(at, event->facts.data, record.facts_len);
    if (record.has_observation)
        at = put(at, &observation, sizeof observation);
    if (event->has_node) {
        at = put(at, &node, sizeof node);
        at = put(at, event->node.value.bytes.data, node.bytes_len);
    }
    if (record.has_request)
        put(at, &event->request, sizeof event->request);

    log->last++;
    *offset_of(log, log->last) = (uint32_t)log->head;
    log->head += size;
}

uint64_t event_publish(struct event_log *log, const struct event *event) {
    keep(log, event, clock_now_ms(log->clock));
    log->counts[event->type]++;
    if (!TAILQ_EMPTY(&log->subscribers))
        tell_subscribers(log, event->content);
    return event_last_id(log);
}

bool event_restore(struct event_log *log, const struct event *event) {
    if (event->id <= event_last_id(log))
        return false;
    event_log_go_on(log, event->id);
    keep(log, event, event->ts_ms);
    return true;
}

uint64_t event_last_id(const struct event_log *log) {
    return log->last + newest_span(log)->skipped;
}

uint64_t event_oldest_id(const struct event_log *log) {
    return id_at(log, log->oldest);
}

bool event_after(const struct event_log *log, uint64_t after, struct event *event) {
    if (is_empty(log) || after >= id_at(log, log->last))
        return false;
    decode(log, position_after(log, after), event);
    return true;
}

void event_log_clear(struct event_log *log) {
    log->oldest = log->last + 1;
    log->head = 0;
    madvise(log->ring, log->mapped_bytes, MADV_DONTNEED); /* only the memory is at stake, not what it holds */
}

struct event_subscriber *event_subscribe(struct event_log *log, event_fn *fn, void *arg) {
    struct event_subscriber *subscriber = malloc(sizeof *subscriber);
    if (subscriber == NULL)
        return NULL;
    *subscriber = (struct event_subscriber){.fn = fn, .arg = arg, .since = event_last_id(log)};
    TAILQ_INSERT_TAIL(&log->subscribers, subscriber, entry);
    return subscriber;
}

void event_unsubscribe(struct event_log *log, struct event_subscriber *subscriber) {
    if (subscriber == NULL)
        return;
    if (log->next == subscriber)
        log->next = TAILQ_NEXT(subscriber, entry);
    TAILQ_REMOVE(&log->subscribers, subscriber, entry);
    free(subscriber);
}

const char *event_type_name(enum event_type type) {
    return type_names[type];
}

bool event_type_parse(struct slice name, enum event_type *type) {
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++) {
        if (slice_is(name, type_names[i])) {
            *type = (enum event_type)i;
            return true;
        }
    }
    return false;
}

/* ---- facts: one byte says which, one how long the text is ---- */

static const struct {
    const char *name;
    enum event_fact_kind kind;
} fact_kinds[EVENT_FACT_COUNT] = {
    [EVENT_FACT_SECURITY] = {"security", EVENT_FACT_TEXT},
    [EVENT_FACT_IDENTITY] = {"identity", EVENT_FACT_TEXT},
    [EVENT_FACT_CIPHER_SUITE] = {"cipher_suite", EVENT_FACT_TEXT},
    [EVENT_FACT_CID] = {"cid", EVENT_FACT_TEXT},
    [EVENT_FACT_CID_DRAFT] = {"cid_draft", EVENT_FACT_TRUTH},
    [EVENT_FACT_REASON] = {"reason", EVENT_FACT_TEXT},
    [EVENT_FACT_ALERT_SENT] = {"alert_sent", EVENT_FACT_NUMBER},
    [EVENT_FACT_ALERT_RECEIVED] = {"alert_received", EVENT_FACT_NUMBER},
    [EVENT_FACT_BYTES_IN] = {"bytes_in", EVENT_FACT_NUMBER},
    [EVENT_FACT_BYTES_OUT] = {"bytes_out", EVENT_FACT_NUMBER},
    [EVENT_FACT_TLS_VERSION] = {"tls_version", EVENT_FACT_TEXT},
    [EVENT_FACT_OPERATION] = {"operation", EVENT_FACT_TEXT},
    [EVENT_FACT_PROCEDURE] = {"procedure", EVENT_FACT_TEXT},
    [EVENT_FACT_FORMAT] = {"format", EVENT_FACT_TEXT},
    [EVENT_FACT_QUERY] = {"query", EVENT_FACT_TEXT},
    [EVENT_FACT_DIAGNOSTIC] = {"diagnostic", EVENT_FACT_TEXT},
    [EVENT_FACT_RTT_MS] = {"rtt_ms", EVENT_FACT_NUMBER},
    [EVENT_FACT_FAULT] = {"fault", EVENT_FACT_NUMBER},
    [EVENT_FACT_ACTION] = {"action", EVENT_FACT_TEXT},
    [EVENT_FACT_MESSAGE] = {"message", EVENT_FACT_TEXT},
    [EVENT_FACT_DIRECTION] = {"direction", EVENT_FACT_TEXT},
    [EVENT_FACT_STATE] = {"state", EVENT_FACT_TEXT},
    [EVENT_FACT_IMAGE] = {"image", EVENT_FACT_TEXT},
    [EVENT_FACT_METHOD] = {"method", EVENT_FACT_TEXT},
    [EVENT_FACT_BYTES] = {"bytes", EVENT_FACT_NUMBER},
    [EVENT_FACT_SIZE] = {"size", EVENT_FACT_NUMBER},
    [EVENT_FACT_RESULT] = {"result", EVENT_FACT_NUMBER},
};

void event_fact_put(struct buffer *facts, enum event_fact fact, struct slice text) {
    size_t room = UINT8_MAX;
    uint16_t len = fit(text, &room);
    buffer_put_u8(facts, (uint8_t)fact);
    buffer_put_u8(facts, (uint8_t)len);
    buffer_put(facts, text.data, len);
}

void event_fact_put_number(struct buffer *facts, enum event_fact fact, uint64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    event_fact_put(facts, fact, slice_str(text));
}

bool event_fact_next(struct slice *facts, enum event_fact *fact, struct slice *text) {
    if (facts->len < 2 || facts->data[0] >= EVENT_FACT_COUNT || facts->len - 2 < facts->data[1])
        return false;
    *fact = (enum event_fact)facts->data[0];
    *text = slice_of(facts->data + 2, facts->data[1]);
    *facts = slice_from(*facts, 2 + text->len);
    return true;
}

const char *event_fact_name(enum event_fact fact) {
    return fact_kinds[fact].name;
}

enum event_fact_kind event_fact_kind(enum event_fact fact) {
    return fact_kinds[fact].kind;
}

uint64_t event_count(const struct event_log *log, enum event_type type) {
    return log->counts[type];
}
