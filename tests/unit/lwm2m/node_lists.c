#include "tests/unit/lwm2m/node_lists.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/text.h"
#include "common/lwm2m/value.h"

struct lwm2m_path path_of(const char *text) {
    struct lwm2m_path path;
    assert_true(lwm2m_path_parse(slice_str(text), &path, NULL));
    return path;
}

struct lwm2m_node node_of(const char *path, struct lwm2m_value value) {
    return (struct lwm2m_node){.path = path_of(path), .value = value};
}

struct slice bytes_of(const char *hex) {
    static uint8_t memory[8][1024];
    static size_t next;
    struct buffer out = buffer_over(memory[next++ % 8], sizeof memory[0]);
    assert_true(text_get_hex(slice_str(hex), &out));
    return buffer_slice(&out);
}

void assert_node_is(const struct lwm2m_node *node, const char *path, struct lwm2m_value value) {
    struct lwm2m_path expected = path_of(path);
    assert_true(lwm2m_path_equal(&node->path, &expected));
    assert_string_equal(lwm2m_type_name(node->value.type), lwm2m_type_name(value.type));
    assert_true(lwm2m_value_equal(&node->value, &value));
}

uint8_t *exact_copy(struct slice bytes) {
    uint8_t *copy = malloc(bytes.len == 0 ? 1 : bytes.len);
    assert_non_null(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    return copy;
}

/* ---- lists by chance ---- */

static unsigned below(unsigned *seed, unsigned limit) {
    return (unsigned)rand_r(seed) % limit;
}

static uint64_t any_number(unsigned *seed) {
    uint64_t number = 0;
    for (int i = 0; i < 4; i++)
        number = number << 16 | below(seed, 65536);
    return number >> below(seed, 64);
}

static struct lwm2m_value any_value(unsigned *seed) {
    static const uint8_t text[] = "The quick brown fox, \xc5\xbc\xc3\xb3\xc5\x82w: 0123456789 \"quoted\" \\ and so on.";
    switch (below(seed, 8)) {
    case 0:
        return lwm2m_bytes(LWM2M_STRING, slice_of(text, below(seed, 21)));
    case 1:
        return lwm2m_integer((int64_t)(any_number(seed) >> 1) - (int64_t)(any_number(seed) >> 1));
    case 2:
        return (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = any_number(seed)};
    case 3:
        return (struct lwm2m_value){.type = LWM2M_FLOAT,
                                    .real = ((double)any_number(seed) - 1e9) / (1 + below(seed, 1000))};
    case 4:
        return lwm2m_boolean(below(seed, 2) == 1);
    case 5:
        return lwm2m_bytes(LWM2M_OPAQUE, slice_of(text + below(seed, 20), below(seed, 40)));
    case 6:
        return lwm2m_time((int64_t)(any_number(seed) >> 20));
    default:
        return (struct lwm2m_value){.type = LWM2M_OBJLNK,
                                    .link = {(uint16_t)below(seed, 65536), (uint16_t)below(seed, 65536)}};
    }
}

/* The next id of ascending ones, small and great. */
static uint16_t next_id(unsigned *seed, uint16_t id) {
    return (uint16_t)(id + 1 + below(seed, below(seed, 2) == 0 ? 3 : 5000));
}

static size_t add_resource(unsigned *seed, const struct lwm2m_path *path, struct lwm2m_node *nodes) {
    size_t instances = below(seed, 3) == 0 ? 1 + below(seed, 2) : 0;
    if (instances == 0) {
        nodes[0] = (struct lwm2m_node){.path = *path, .value = any_value(seed)};
        return 1;
    }
    uint16_t id = 0;
    for (size_t i = 0; i < instances; i++, id = next_id(seed, id))
        nodes[i] = (struct lwm2m_node){.path = lwm2m_path_child(path, id), .value = any_value(seed)};
    return instances;
}

static size_t add_below(unsigned *seed, const struct lwm2m_path *path, struct lwm2m_node *nodes) {
    size_t count = 0, children = 1 + below(seed, 3);
    uint16_t id = (uint16_t)below(seed, 4);
    if (path->len == 3)
        return add_resource(seed, path, nodes);
    for (size_t i = 0; i < children; i++, id = next_id(seed, id)) {
        struct lwm2m_path child = lwm2m_path_child(path, id);
        count += add_below(seed, &child, nodes + count);
    }
    return count;
}

size_t random_list(unsigned seed, const struct lwm2m_path *base, struct lwm2m_node *nodes, size_t cap) {
    assert_true(cap >= RANDOM_LIST_MIN && base->len < 3); /* 3 objects of 3 instances of 3 resources of 2 instances */
    return add_below(&seed, base, nodes);
}

bool tells_the_same(const struct lwm2m_node *expected, size_t count, const struct lwm2m_nodes *decoded) {
    if (decoded->count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct lwm2m_node *node = &decoded->nodes[i];
        struct lwm2m_value value = node->value;
        const char *remark;
        if (!lwm2m_path_equal(&node->path, &expected[i].path) || node->has_time != expected[i].has_time ||
            node->time_ms != expected[i].time_ms ||
            !lwm2m_value_convert(&value, expected[i].value.type, NULL, &remark) ||
            !lwm2m_value_equal(&value, &expected[i].value))
            return false;
    }
    return true;
}
