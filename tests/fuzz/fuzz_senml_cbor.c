/* SenML CBOR: the first byte picks what the pack is about, the rest is the pack. What is taken must be encoded to
 * something that says the same. */
#include "common/lwm2m/senml_cbor.h"
#include "tests/fuzz/values.h"

static bool decode(uint8_t choice, struct slice text, struct buffer *scratch, struct lwm2m_nodes *nodes) {
    struct senml_context context = pick_senml_context(choice);
    return senml_cbor_decode(text, &context, scratch, nodes);
}

static bool encode(uint8_t choice, const struct lwm2m_nodes *nodes, struct buffer *out) {
    struct senml_context context = pick_senml_context(choice);
    enum cbor_time time = choice % 2 == 0 ? CBOR_TIME_PLAIN : CBOR_TIME_TAGGED;
    return senml_cbor_encode(nodes->nodes, nodes->count, &context, time, out);
}

static const struct format format = {
    .decode = decode, .encode = encode, .earliest_ms = SENML_EARLIEST_MS, .is_escaped = false};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_format(&format, data, size);
    return 0;
}
