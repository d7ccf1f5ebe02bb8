#include "server/notification.h"

#include <stdlib.h>

#include "common/coap/option.h"
#include "common/lwm2m/format.h"
#include "server/definition.h"

enum {
    NODES_MAX = 8192,
    SCRATCH_KEPT = 256 << 10, /* bytes; what a larger payload needed is given back */
    DETAIL_MAX = 256,
};

void notification_memory_free(struct notification_memory *memory) {
    free(memory->nodes);
    free(memory->scratch);
    *memory = (struct notification_memory){0};
}

bool notification_reserve(struct notification_memory *memory, size_t body_len) {
    /* A value takes a byte at least. */
    size_t nodes = body_len + 1 < NODES_MAX ? body_len + 1 : NODES_MAX, scratch = 2 * body_len + 1;
    if (nodes > memory->node_cap) {
        struct lwm2m_node *grown = realloc(memory->nodes, nodes * sizeof *grown);
        if (grown == NULL)
            return false;
        memory->nodes = grown;
        memory->node_cap = nodes;
    }
    if (scratch > memory->scratch_cap) {
        uint8_t *grown = realloc(memory->scratch, scratch);
        if (grown == NULL)
            return false;
        memory->scratch = grown;
        memory->scratch_cap = scratch;
    }
    return true;
}

struct event notification_event(const struct observation *o, enum event_type type) {
    const struct registration *r = o->registration;
    return (struct event){.type = type,
                          .endpoint = registration_endpoint(r),
                          .location = registration_location(r),
                          .address = r->link->peer,
                          .lifetime_s = r->lifetime_s,
                          .observation = o->id,
                          .has_node = true,
                          .node = {.path = o->paths[0]}};
}

void notification_reject(const struct observation *o, const char *why) {
    char text[DETAIL_MAX];
    struct buffer detail = buffer_over(text, sizeof text);
    struct event event = notification_event(o, EVENT_REJECTED);
    buffer_put_str(&detail, "a notification of ");
    lwm2m_path_put(&detail, &o->paths[0]);
    if (o->path_count > 1)
        buffer_printf(&detail, " and %u more", (unsigned)o->path_count - 1);
    buffer_printf(&detail, ": %s", why);
    event.detail = buffer_slice(&detail);
    event_publish(o->server->events, &event);
}

/* ---- decoding ---- */

/* Names may come without the alternate path (T §6.4.1), and values may differ from their definitions: they are told as
 * the format tells them then. The first fault is the one that is told. */
static bool decode(const struct observation *o, int format, struct slice body, struct notification_memory *memory,
                   struct lwm2m_nodes *list) {
    struct definitions definitions = definitions_of(o->server, o->registration);
    const struct slice roots[] = {registration_root(o->registration), SLICE_NONE};
    const char *why = NULL;
    for (size_t i = 0; i < 2; i++) {
        for (int typed = 1; typed >= 0; typed--) {
            struct buffer scratch = buffer_over(memory->scratch, memory->scratch_cap);
            struct lwm2m_decode_context context = {.base = observation_base(o),
                                                   .root = roots[i],
                                                   .now_ms = (int64_t)clock_now_ms(&o->server->clock),
                                                   .mode = SENML_CONTENT,
                                                   .type_of = typed ? definition_type_of : NULL,
                                                   .arg = &definitions};
            *list = lwm2m_nodes_over(memory->nodes, memory->node_cap);
            if (lwm2m_decode(format, body, &context, &scratch, list))
                return true;
            if (why == NULL)
                why = list->remark;
        }
        if (roots[i].len == 0)
            break;
    }
    list->remark = why;
    return false;
}

static bool is_observed(const struct observation *o, const struct lwm2m_path *path) {
    for (size_t i = 0; i < o->path_count; i++) {
        if (lwm2m_path_contains(&o->paths[i], path))
            return true;
    }
    return false;
}

const char *notification_read(const struct observation *o, int content_format, struct slice body,
                              struct notification_memory *memory, struct lwm2m_nodes *list) {
    int format = observation_format(o, content_format);
    *list = lwm2m_nodes_over(memory->nodes, memory->node_cap);
    if (body.len == 0 && observation_base(o).len < 3)
        return NULL; /* an object without instances, an instance without resources */
    if (format < 0)
        return "it names no content format";
    if (!decode(o, format, body, memory, list))
        return list->remark;
    for (size_t i = 0; o->is_composite && i < list->count; i++) {
        if (!is_observed(o, &list->nodes[i].path))
            return "there is a value of a path that is not observed";
    }
    return NULL;
}

/* ---- what becomes of it ---- */

static void keep_last(struct observation *o, int format, struct slice body) {
    o->last_at_ms = clock_now_ms(&o->server->clock);
    o->last_len = 0;
    o->last_format = format;
    o->has_last = false;
    if (body.len > o->last_cap && body.len <= OBSERVATION_LAST_MAX) {
        uint8_t *grown = realloc(o->last, body.len);
        if (grown != NULL) {
            o->last = grown;
            o->last_cap = (uint32_t)body.len;
        }
    }
    if (body.len > o->last_cap) /* too large: what was the last is not it any more */
        return;
    if (body.len > 0)
        memcpy(o->last, body.data, body.len);
    o->last_len = (uint32_t)body.len;
    o->has_last = true;
}

static void publish(const struct observation *o, const struct coap_notification *notification, int format,
                    const struct lwm2m_nodes *list, bool is_answer) {
    const struct event_content content = {.format = format, .body = notification->body, .values = list};
    struct event event = notification_event(o, EVENT_NOTIFICATION);
    event.is_answer = is_answer;
    event.sequence = notification->sequence;
    event.has_sequence = notification->has_sequence;
    event.is_stale = notification->is_stale;
    event.is_confirmable = notification->is_confirmable;
    event.content = &content;
    for (size_t i = 0; i < list->count; i++) {
        event.node = list->nodes[i];
        event_publish(o->server->events, &event);
        event.content = NULL;
    }
    if (list->count == 0) /* that there is nothing is news, too */
        event_publish(o->server->events, &event);
}

/* Whether it is a value of its type, written as text. */
static bool is_text(const struct observation *o, struct slice body, struct notification_memory *memory,
                    struct lwm2m_nodes *list) {
    struct definitions definitions = definitions_of(o->server, o->registration);
    struct lwm2m_path base = observation_base(o);
    enum lwm2m_type type = definition_type_of(&definitions, &base);
    return base.len >= 3 && notification_read(o, COAP_FORMAT_TEXT, body, memory, list) == NULL && list->count == 1 &&
           (type == LWM2M_RAW || list->nodes[0].value.type == type);
}

/* A value whose format is not named is what was asked for or, from clients that don't care for Accept, text. */
static const char *read_any(const struct observation *o, int *format, struct slice body,
                            struct notification_memory *memory, struct lwm2m_nodes *list) {
    const char *why = notification_read(o, *format, body, memory, list);
    if (why == NULL || *format >= 0 || !is_text(o, body, memory, list))
        return why;
    *format = COAP_FORMAT_TEXT;
    return NULL;
}

void notification_take(struct observation *o, struct notification_memory *memory,
                       const struct coap_notification *notification, bool is_answer) {
    const struct coap_message *message = notification->message;
    struct lwm2m_nodes list;
    const char *why = "out of memory";
    int format = coap_content_format(message);
    if (message->code != COAP_2_05_CONTENT)
        why = "content is 2.05";
    else if (notification_reserve(memory, notification->body.len))
        why = read_any(o, &format, notification->body, memory, &list);
    if (why != NULL) {
        notification_reject(o, why);
    } else {
        format = observation_format(o, format);
        if (!notification->is_stale)
            keep_last(o, format, notification->body);
        publish(o, notification, format, &list, is_answer);
    }
    if (memory->scratch_cap > SCRATCH_KEPT)
        notification_memory_free(memory);
}
