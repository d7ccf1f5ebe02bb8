/* OMA JSON: the first byte picks the path of the request, the rest is the text. What is taken must be encoded to something
 * that says the same. */
#include "common/lwm2m/json.h"
#include "tests/fuzz/values.h"

static struct lwm2m_json_context pick_context(uint8_t choice) {
    return (struct lwm2m_json_context){.base = {.ids = {3, 0, 7, 1}, .len = choice % 5},
                                       .root = choice >= 128 ? slice_str("/r") : SLICE_NONE,
                                       .now_ms = NOW_MS};
}

static bool decode(uint8_t choice, struct slice text, struct buffer *scratch, struct lwm2m_nodes *nodes) {
    struct lwm2m_json_context context = pick_context(choice);
    return lwm2m_json_decode(text, &context, scratch, nodes);
}

static bool encode(uint8_t choice, const struct lwm2m_nodes *nodes, struct buffer *out) {
    struct lwm2m_json_context context = pick_context(choice);
    return lwm2m_json_encode(nodes->nodes, nodes->count, &context, out);
}

static const struct format format = {.decode = decode, .encode = encode, .earliest_ms = 1, .is_escaped = true};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_format(&format, data, size);
    return 0;
}
