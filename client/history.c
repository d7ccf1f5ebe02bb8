#include "client/history.h"

#include <stdlib.h>

#include "client/memory.h"

struct kept_notification {
    struct kept_notification *next;
    size_t size; /* of this whole piece of memory */
    size_t count;
    struct lwm2m_node nodes[]; /* behind them, the bytes of their values */
};

static bool has_bytes(const struct lwm2m_value *value) {
    return value->type == LWM2M_STRING || value->type == LWM2M_OPAQUE || value->type == LWM2M_CORELNK;
}

static struct kept_notification *detach_oldest(struct history *history) {
    struct kept_notification *oldest = history->first;
    history->first = oldest->next;
    if (history->first == NULL)
        history->last = NULL;
    history->count--;
    history->bytes -= oldest->size;
    oldest->next = NULL;
    return oldest;
}

static void append(struct history *history, struct kept_notification *kept) {
    *(history->last != NULL ? &history->last->next : &history->first) = kept;
    history->last = kept;
    history->count++;
    history->bytes += kept->size;
}

static struct kept_notification *copy(const struct lwm2m_nodes *nodes, int64_t time_ms) {
    size_t size = sizeof(struct kept_notification) + nodes->count * sizeof nodes->nodes[0];
    size_t bytes_at = size;
    for (size_t i = 0; i < nodes->count; i++)
        size += has_bytes(&nodes->nodes[i].value) ? nodes->nodes[i].value.bytes.len : 0;
    struct kept_notification *kept = memory_or_exit(malloc(size));
    *kept = (struct kept_notification){.size = size, .count = nodes->count};
    for (size_t i = 0; i < nodes->count; i++) {
        struct lwm2m_node *node = &kept->nodes[i];
        *node = nodes->nodes[i];
        node->has_time = true;
        node->time_ms = time_ms;
        if (!has_bytes(&node->value))
            continue;
        uint8_t *bytes = (uint8_t *)kept + bytes_at;
        if (node->value.bytes.len > 0)
            memcpy(bytes, node->value.bytes.data, node->value.bytes.len);
        node->value.bytes.data = bytes;
        bytes_at += node->value.bytes.len;
    }
    return kept;
}

void history_add(struct history *history, const struct lwm2m_nodes *nodes, int64_t time_ms, size_t max) {
    if (max == 0)
        return;
    history->last_ms = time_ms > history->last_ms ? time_ms : history->last_ms + 1;
    struct kept_notification *kept = copy(nodes, history->last_ms);
    while (history->count > 0 && (history->count >= max || history->bytes + kept->size > HISTORY_BYTES_MAX))
        free(detach_oldest(history));
    append(history, kept);
}

bool history_take(struct history *history, struct lwm2m_nodes *out, struct history *taken) {
    if (history->first == NULL || history->first->count > out->cap - out->count)
        return false;
    struct kept_notification *oldest = detach_oldest(history);
    for (size_t i = 0; i < oldest->count; i++)
        out->nodes[out->count++] = oldest->nodes[i];
    append(taken, oldest);
    return true;
}

void history_free(struct history *history) {
    while (history->first != NULL)
        free(detach_oldest(history));
}
