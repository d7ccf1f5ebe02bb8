/* LwM2M CBOR: the first byte picks the level, the rest is content. What is taken must be encoded to something that
 * says the same, but for what is empty: that has no form. */
#include <stdlib.h>

#include "common/lwm2m/lwm2m_cbor.h"

enum { NODES_MAX = 512, BYTES_MAX = 1 << 14 };

static void require(bool condition) {
    if (!condition)
        abort();
}

/* What is left without the nodes of type NONE; false when a text could not be sent. */
static bool keep_values(struct lwm2m_nodes *nodes) {
    size_t kept = 0;
    for (size_t i = 0; i < nodes->count; i++) {
        if (nodes->nodes[i].value.type == LWM2M_STRING && !slice_is_utf8(nodes->nodes[i].value.bytes))
            return false;
        if (nodes->nodes[i].value.type != LWM2M_NONE)
            nodes->nodes[kept++] = nodes->nodes[i];
    }
    nodes->count = kept;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct lwm2m_node first[NODES_MAX], second[NODES_MAX];
    static uint8_t joined[BYTES_MAX], bytes[NODES_MAX * 32 + 2 * BYTES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(first, NODES_MAX), again = lwm2m_nodes_over(second, NODES_MAX);
    struct buffer scratch = buffer_over(joined, size), out = buffer_over(bytes, sizeof bytes), unused = {.data = NULL};
    if (size == 0 || size > BYTES_MAX)
        return 0;
    struct lwm2m_path base = {.ids = {3, 0, 7, 1}, .len = data[0] % 5};
    enum cbor_time time = data[0] < 128 ? CBOR_TIME_PLAIN : CBOR_TIME_TAGGED;
    if (!lwm2m_cbor_decode(slice_of(data + 1, size - 1), &base, &scratch, &nodes)) {
        require(nodes.remark != NULL);
        return 0;
    }
    bool good = lwm2m_cbor_encode(first, nodes.count, &base, time, &out);
    require(good == keep_values(&nodes));
    if (!good)
        return 0;
    require(lwm2m_cbor_decode(buffer_slice(&out), &base, &unused, &again));
    if (nodes.count == 0) {
        require(again.count == (base.len > 0)); /* an empty map is told as an empty base */
        return 0;
    }
    require(again.count == nodes.count);
    for (size_t i = 0; i < nodes.count; i++) {
        struct lwm2m_value *a = &first[i].value, *b = &second[i].value;
        if (time == CBOR_TIME_PLAIN && a->type == LWM2M_TIME)
            b->type = b->type == LWM2M_INTEGER ? LWM2M_TIME : b->type;
        require(lwm2m_path_equal(&first[i].path, &second[i].path) && lwm2m_value_equal(a, b));
    }
    return 0;
}
