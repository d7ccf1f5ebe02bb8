/* TLV: the first byte picks the level, the rest is content. What is taken must be encoded to something that says the
 * same, and no value of it may be read past its bytes. */
#include <stdlib.h>

#include "common/lwm2m/tlv.h"

enum { NODES_MAX = 512 };

static void require(bool condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct lwm2m_node first[NODES_MAX], second[NODES_MAX];
    static uint8_t bytes[1 << 17];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(first, NODES_MAX), again = lwm2m_nodes_over(second, NODES_MAX);
    struct buffer out = buffer_over(bytes, sizeof bytes);
    if (size == 0 || size > 1 << 15)
        return 0;
    struct lwm2m_path base = {.ids = {3, 0, 7, 1}, .len = data[0] % 5};
    if (!tlv_decode(slice_of(data + 1, size - 1), &base, &nodes)) {
        require(nodes.remark != NULL);
        return 0;
    }
    for (size_t i = 0; i < nodes.count; i++) {
        for (int type = LWM2M_NONE; type <= LWM2M_RAW; type++) {
            struct lwm2m_value value;
            const char *remark;
            require(tlv_value_decode(first[i].value.bytes, (enum lwm2m_type)type, &value, &remark) || remark != NULL);
        }
    }
    require(tlv_encode(first, nodes.count, &base, &out));
    require(tlv_decode(buffer_slice(&out), &base, &again) && again.count == nodes.count);
    for (size_t i = 0; i < nodes.count; i++)
        require(lwm2m_path_equal(&first[i].path, &second[i].path) &&
                lwm2m_value_equal(&first[i].value, &second[i].value));
    return 0;
}
