/* SenML CBOR: the first byte picks what the pack is about, the rest is the pack. What is taken must be encoded to
 * something that says the same. */
#include <stdlib.h>

#include "common/lwm2m/senml_cbor.h"
#include "common/lwm2m/value.h"

enum { NODES_MAX = 512, BYTES_MAX = 1 << 14 };

#define NOW_MS      (INT64_C(1700000000) * 1000)
#define EARLIEST_MS ((INT64_C(1) << 28) * 1000) /* an earlier time can't be told (RFC 8428 §4.5.3) */

static void require(bool condition) {
    if (!condition)
        abort();
}

static struct senml_context pick_context(uint8_t choice) {
    struct senml_context context = {.now_ms = NOW_MS, .mode = (enum senml_mode)(choice % 3)};
    if (context.mode == SENML_CONTENT)
        context.base = (struct lwm2m_path){.ids = {3, 0, 7, 1}, .len = choice / 3 % 5};
    if (choice >= 128)
        context.root = slice_str("/r");
    return context;
}

static bool is_sendable(const struct lwm2m_node *node) {
    return (node->value.type != LWM2M_STRING || slice_is_utf8(node->value.bytes)) &&
           (!node->has_time || node->time_ms >= EARLIEST_MS);
}

static bool are_sendable(const struct lwm2m_nodes *nodes) {
    for (size_t i = 0; i < nodes->count; i++) {
        if (!is_sendable(&nodes->nodes[i]))
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
    static uint8_t joined[BYTES_MAX], bytes[NODES_MAX * 64 + 2 * BYTES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(first, NODES_MAX), again = lwm2m_nodes_over(second, NODES_MAX);
    struct buffer scratch = buffer_over(joined, size), out = buffer_over(bytes, sizeof bytes), unused = {.data = NULL};
    if (size == 0 || size > BYTES_MAX)
        return 0;
    struct senml_context context = pick_context(data[0]);
    enum cbor_time time = data[0] % 2 == 0 ? CBOR_TIME_PLAIN : CBOR_TIME_TAGGED;
    if (!senml_cbor_decode(slice_of(data + 1, size - 1), &context, &scratch, &nodes)) {
        require(nodes.remark != NULL);
        return 0;
    }
    bool good = senml_cbor_encode(first, nodes.count, &context, time, &out);
    require(good == are_sendable(&nodes));
    if (!good)
        return 0;
    require(senml_cbor_decode(buffer_slice(&out), &context, &unused, &again) && again.count == nodes.count);
    for (size_t i = 0; i < nodes.count; i++)
        require_same(&first[i], &second[i]);
    return 0;
}
