/* OMA JSON: the first byte picks the path of the request, the rest is the text. What is taken must be encoded to something
 * that says the same. */
#include <stdlib.h>

#include "common/lwm2m/json.h"
#include "common/lwm2m/value.h"

enum { NODES_MAX = 512, BYTES_MAX = 1 << 14 };

#define NOW_MS (INT64_C(1700000000) * 1000)

static void require(bool condition) {
    if (!condition)
        abort();
}

static bool are_sendable(const struct lwm2m_nodes *nodes) {
    for (size_t i = 0; i < nodes->count; i++) {
        const struct lwm2m_node *node = &nodes->nodes[i];
        if (node->value.type == LWM2M_STRING && !slice_is_utf8(node->value.bytes))
            return false;
        if (node->has_time && node->time_ms <= 0)
            return false;
    }
    return true;
}

static void require_same(const struct lwm2m_node *a, const struct lwm2m_node *b) {
    struct lwm2m_value value = b->value;
    const char *remark;
    require(lwm2m_path_equal(&a->path, &b->path) && a->has_time == b->has_time && a->time_ms == b->time_ms);
    require(lwm2m_value_convert(&value, a->value.type, NULL, &remark) && lwm2m_value_equal(&a->value, &value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct lwm2m_node first[NODES_MAX], second[NODES_MAX];
    static uint8_t texts[2 * BYTES_MAX], bytes[NODES_MAX * 512 + 8 * BYTES_MAX], more_texts[sizeof bytes];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(first, NODES_MAX), again = lwm2m_nodes_over(second, NODES_MAX);
    struct buffer scratch = buffer_over(texts, 2 * size), out = buffer_over(bytes, sizeof bytes),
                  more = buffer_over(more_texts, sizeof more_texts);
    if (size == 0 || size > BYTES_MAX)
        return 0;
    struct lwm2m_json_context context = {.base = {.ids = {3, 0, 7, 1}, .len = data[0] % 5}, .now_ms = NOW_MS};
    if (data[0] >= 128)
        context.root = slice_str("/r");
    if (!lwm2m_json_decode(slice_of(data + 1, size - 1), &context, &scratch, &nodes)) {
        require(nodes.remark != NULL && !scratch.overflow);
        return 0;
    }
    bool good = lwm2m_json_encode(first, nodes.count, &context, &out);
    require(good == are_sendable(&nodes));
    if (!good)
        return 0;
    require(lwm2m_json_decode(buffer_slice(&out), &context, &more, &again) && again.count == nodes.count);
    for (size_t i = 0; i < nodes.count; i++)
        require_same(&first[i], &second[i]);
    return 0;
}
