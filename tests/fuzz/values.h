/* What fuzz targets of formats have in common: what is taken must be encoded to something that says the same. */
#ifndef BERTH_TESTS_FUZZ_VALUES_H
#define BERTH_TESTS_FUZZ_VALUES_H

#include <stdlib.h>

#include "common/lwm2m/senml.h"
#include "common/lwm2m/value.h"

enum { NODES_MAX = 512, BYTES_MAX = 1 << 14 };

#define NOW_MS (INT64_C(1700000000) * 1000)

static inline void require(bool condition) {
    if (!condition)
        abort();
}

/* What a format has a form for: text that is UTF-8, and no time before `earliest_ms`. */
static inline bool are_sendable(const struct lwm2m_nodes *nodes, int64_t earliest_ms) {
    for (size_t i = 0; i < nodes->count; i++) {
        const struct lwm2m_node *node = &nodes->nodes[i];
        if ((node->value.type == LWM2M_STRING && !slice_is_utf8(node->value.bytes)) ||
            (node->has_time && node->time_ms < earliest_ms))
            return false;
    }
    return true;
}

static inline void require_same(const struct lwm2m_nodes *first, const struct lwm2m_nodes *second) {
    require(first->count == second->count);
    for (size_t i = 0; i < first->count; i++) {
        const struct lwm2m_node *a = &first->nodes[i], *b = &second->nodes[i];
        struct lwm2m_value value = b->value;
        const char *remark;
        require(lwm2m_path_equal(&a->path, &b->path) && a->has_time == b->has_time && a->time_ms == b->time_ms);
        require(lwm2m_value_convert(&value, a->value.type, NULL, &remark) && lwm2m_value_equal(&a->value, &value));
    }
}

/* A refusal says why and where. */
static inline void require_refused(const struct lwm2m_nodes *nodes, size_t size) {
    require(nodes->remark != NULL && nodes->fault_at <= size);
}

/* A format: the first byte of an input picks what the rest is about. */
struct format {
    bool (*decode)(uint8_t choice, struct slice text, struct buffer *scratch, struct lwm2m_nodes *nodes);
    bool (*encode)(uint8_t choice, const struct lwm2m_nodes *nodes, struct buffer *out);
    int64_t earliest_ms;
    bool
        is_escaped; /* texts are read into scratch, for which twice the input is enough; else what is written needs none */
};

static inline void try_format(const struct format *format, const uint8_t *data, size_t size) {
    static struct lwm2m_node first[NODES_MAX], second[NODES_MAX];
    static uint8_t texts[2 * BYTES_MAX], bytes[NODES_MAX * 512 + 8 * BYTES_MAX], more_texts[sizeof bytes];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(first, NODES_MAX), again = lwm2m_nodes_over(second, NODES_MAX);
    struct buffer scratch = buffer_over(texts, format->is_escaped ? 2 * size : size),
                  out = buffer_over(bytes, sizeof bytes),
                  more = buffer_over(more_texts, format->is_escaped ? sizeof more_texts : 0);
    if (size == 0 || size > BYTES_MAX)
        return;
    if (!format->decode(data[0], slice_of(data + 1, size - 1), &scratch, &nodes)) {
        require(!format->is_escaped || !scratch.overflow);
        require_refused(&nodes, size);
        return;
    }
    bool good = format->encode(data[0], &nodes, &out);
    require(good == are_sendable(&nodes, format->earliest_ms));
    if (!good)
        return;
    require(format->decode(data[0], buffer_slice(&out), &more, &again));
    require_same(&nodes, &again);
}

/* The earliest time that SenML can tell (RFC 8428 §4.5.3). */
#define SENML_EARLIEST_MS ((INT64_C(1) << 28) * 1000)

static inline struct senml_context pick_senml_context(uint8_t choice) {
    struct senml_context context = {.now_ms = NOW_MS, .mode = (enum senml_mode)(choice % 3)};
    if (context.mode == SENML_CONTENT)
        context.base = (struct lwm2m_path){.ids = {3, 0, 7, 1}, .len = choice / 3 % 5};
    if (choice >= 128)
        context.root = slice_str("/r");
    return context;
}

#endif
