/* Bodies of writes: the first byte picks what is written, the rest is JSON. What is taken must be written as JSON, within
 * the size that was announced, that is read as the same. */
#include <stdlib.h>

#include "web/v1/value_json.h"

enum { NODES_MAX = 512, BYTES_MAX = 1 << 13 };

static void require(bool condition) {
    if (!condition)
        abort();
}

static enum lwm2m_type type_of(void *arg, const struct lwm2m_path *path) {
    (void)arg;
    return (enum lwm2m_type)(path->ids[2] % (LWM2M_RAW + 1));
}

/* Write what was read, and read it again. */
static void check(const struct lwm2m_path *base, const struct lwm2m_nodes *nodes) {
    static struct lwm2m_node second[NODES_MAX];
    static uint8_t joined[1 << 20];
    struct value_json_options options = {.oddity = "x"};
    struct lwm2m_nodes again = lwm2m_nodes_over(second, NODES_MAX);
    struct value_json_fault fault;
    size_t size = value_json_size(nodes->nodes, nodes->count, &options) + 1;
    uint8_t *memory = malloc(size);
    struct buffer out = buffer_over(memory, size), scratch = buffer_over(joined, sizeof joined);
    struct value_json_context context = {.type_of = type_of, .scratch = &scratch};
    require(memory != NULL);
    value_json_put(&out, base, nodes->nodes, nodes->count, &options);
    buffer_put_u8(&out, '}');
    require(!out.overflow);
    require(value_json_read(buffer_slice(&out), base, &context, &again, &fault));
    require(again.count == nodes->count);
    for (size_t i = 0; i < again.count; i++) {
        require(lwm2m_path_equal(&again.nodes[i].path, &nodes->nodes[i].path));
        require(lwm2m_value_equal(&again.nodes[i].value, &nodes->nodes[i].value));
    }
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct lwm2m_node first[NODES_MAX];
    static uint8_t joined[4 * BYTES_MAX + 64];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(first, NODES_MAX);
    struct buffer scratch = buffer_over(joined, 4 * size + 64);
    struct value_json_context context = {.type_of = type_of, .scratch = &scratch};
    struct value_json_fault fault = {0};
    if (size == 0 || size > BYTES_MAX)
        return 0;
    struct slice text = slice_of(data + 1, size - 1);
    struct lwm2m_path base = {.ids = {3, 0, data[0] >> 3, 1}, .len = (uint8_t)(2 + data[0] % 3)};
    bool good;
    context.may_remove = data[0] % 8 == 7;
    if (data[0] % 8 == 6)
        good = value_json_read_create(text, 3, &context, &nodes, &fault);
    else if (data[0] % 8 == 7)
        good = value_json_read_composite(text, &context, &nodes, &fault);
    else
        good = value_json_read(text, &base, &context, &nodes, &fault);
    require(good || fault.why != NULL);
    if (good && data[0] % 8 < 6)
        check(&base, &nodes);
    return 0;
}
