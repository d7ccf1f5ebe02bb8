/* SenML JSON: the first byte picks what the pack is about, the rest is the pack. What is taken must be encoded to something
 * that says the same. */
#include "common/lwm2m/senml_json.h"
#include "tests/fuzz/values.h"

static bool decode(uint8_t choice, struct slice text, struct buffer *scratch, struct lwm2m_nodes *nodes) {
    struct senml_context context = pick_senml_context(choice);
    return senml_json_decode(text, &context, scratch, nodes);
}

static bool encode(uint8_t choice, const struct lwm2m_nodes *nodes, struct buffer *out) {
    struct senml_context context = pick_senml_context(choice);
    return senml_json_encode(nodes->nodes, nodes->count, &context, out);
}

static const struct format format = {
    .decode = decode, .encode = encode, .earliest_ms = SENML_EARLIEST_MS, .is_escaped = true};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_format(&format, data, size);
    return 0;
}
