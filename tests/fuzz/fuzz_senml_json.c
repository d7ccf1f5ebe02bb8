/* SenML JSON: the first byte picks what the pack is about, the rest is the pack. What is taken must be encoded to something
 * that says the same. */
#include "common/lwm2m/senml_json.h"
#include "tests/fuzz/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct lwm2m_node first[NODES_MAX], second[NODES_MAX];
    static uint8_t texts[2 * BYTES_MAX], bytes[NODES_MAX * 512 + 8 * BYTES_MAX], more_texts[sizeof bytes];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(first, NODES_MAX), again = lwm2m_nodes_over(second, NODES_MAX);
    struct buffer scratch = buffer_over(texts, 2 * size), out = buffer_over(bytes, sizeof bytes),
                  more = buffer_over(more_texts, sizeof more_texts);
    if (size == 0 || size > BYTES_MAX)
        return 0;
    struct senml_context context = pick_senml_context(data[0]);
    if (!senml_json_decode(slice_of(data + 1, size - 1), &context, &scratch, &nodes)) {
        require(!scratch.overflow);
        require_refused(&nodes, size);
        return 0;
    }
    bool good = senml_json_encode(first, nodes.count, &context, &out);
    require(good == are_sendable(&nodes, SENML_EARLIEST_MS));
    if (!good)
        return 0;
    require(senml_json_decode(buffer_slice(&out), &context, &more, &again));
    require_same(&nodes, &again);
    return 0;
}
