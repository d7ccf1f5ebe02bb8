/* Bodies of writes in the demo server's form: the first byte picks what is written, the rest is JSON. What is taken must be
 * something that the API reads or refuses in words, and what it reads is told as a node that is taken again. */
#include <stdlib.h>

#include "web/document.h"
#include "web/leshan/node.h"
#include "web/v1/value_json.h"

enum { NODES_MAX = 512, BYTES_MAX = 1 << 13 };

static const int64_t TIME_MAX = 1000000000000000; /* beyond, milliseconds lose digits */

static void require(bool condition) {
    if (!condition)
        abort();
}

/* What was read is told, and taken again. */
static void check(const struct lwm2m_nodes *nodes, const struct lwm2m_path *base) {
    struct leshan_values values = {0};
    char error[256];
    bool is_one = base->len < 4 || nodes->count == 1;
    for (size_t i = 0; i < nodes->count; i++)
        require(leshan_values_add(&values, &nodes->nodes[i]));
    for (size_t i = 0; i < nodes->count; i++) {
        const struct lwm2m_value *value = &nodes->nodes[i].value;
        is_one = is_one && !(value->type == LWM2M_TIME && (value->integer > TIME_MAX || value->integer < -TIME_MAX));
    }
    json_t *node = leshan_node_json(&values, base), *again = NULL;
    if (is_one)
        again = leshan_node_read(node, base, error, sizeof error);
    require(!is_one || again != NULL);
    json_decref(leshan_node_paths_json(&values));
    json_decref(node);
    json_decref(again);
    leshan_values_clear(&values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct lwm2m_node first[NODES_MAX];
    static uint8_t joined[1 << 17];
    char error[256] = "";
    if (size == 0 || size > BYTES_MAX)
        return 0;
    struct lwm2m_path base = {.ids = {3, 0, 1, 2}, .len = (uint8_t)(2 + data[0] % 3)};
    json_t *body = document_read(slice_of(data + 1, size - 1), error, sizeof error);
    if (body == NULL)
        return 0;
    bool is_new = data[0] % 4 == 3;
    json_t *read =
        is_new ? leshan_node_read_new(body, error, sizeof error) : leshan_node_read(body, &base, error, sizeof error);
    json_decref(body);
    require(read != NULL || error[0] != '\0');
    char *text = read == NULL ? NULL : json_dumps(read, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(read);
    if (text == NULL)
        return 0;
    struct lwm2m_nodes nodes = lwm2m_nodes_over(first, NODES_MAX);
    struct buffer scratch = buffer_over(joined, sizeof joined);
    struct value_json_context context = {.scratch = &scratch};
    struct value_json_fault fault = {0};
    if (!is_new && value_json_read(slice_str(text), &base, &context, &nodes, &fault))
        check(&nodes, &base);
    free(text);
    return 0;
}
