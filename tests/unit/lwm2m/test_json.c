#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "common/lwm2m/json.h"
#include "common/lwm2m/text.h"
#include "common/lwm2m/value.h"
#include "tests/unit/lwm2m/node_lists.h"
#include "tests/unit/lwm2m/vectors.h"

enum { NODES = 64, BYTES = 16384 };

static const int64_t now_ms = INT64_C(1600000000000);

static struct lwm2m_node memory[NODES];
static uint8_t encoded[BYTES], scratch_memory[BYTES];

static struct lwm2m_json_context context_of(const char *base) {
    return (struct lwm2m_json_context){.base = path_of(base), .now_ms = now_ms};
}

static struct lwm2m_nodes decode(struct slice text, const struct lwm2m_json_context *context, bool *good) {
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES);
    struct buffer scratch = buffer_over(scratch_memory, 2 * text.len);
    *good = lwm2m_json_decode(text, context, &scratch, &nodes);
    assert_true(*good || nodes.remark != NULL);
    return nodes;
}

static struct lwm2m_nodes accepts(const char *base, const char *text) {
    struct lwm2m_json_context context = context_of(base);
    bool good;
    struct lwm2m_nodes nodes = decode(slice_str(text), &context, &good);
    if (!good)
        fail_msg("%s was refused: %s", text, nodes.remark);
    return nodes;
}

static void assert_refused(const char *base, const char *text) {
    struct lwm2m_json_context context = context_of(base);
    bool good;
    decode(slice_str(text), &context, &good);
    if (good)
        fail_msg("%s", text);
}

static void assert_encodes(const char *base, const struct lwm2m_node *nodes, size_t count, const char *expected) {
    struct lwm2m_json_context context = context_of(base);
    struct buffer out = buffer_over(encoded, sizeof encoded);
    assert_true(lwm2m_json_encode(nodes, count, &context, &out));
    if (!slice_is(buffer_slice(&out), expected))
        fail_msg("%.*s instead of %s", (int)out.len, (const char *)out.data, expected);
}

static bool encodes(const char *base, struct lwm2m_node node, size_t room) {
    struct lwm2m_json_context context = context_of(base);
    struct buffer out = buffer_over(encoded, room);
    return lwm2m_json_encode(&node, 1, &context, &out);
}

/* ---- vectors ---- */

static void test_vectors_V_decode_and_encode_to_the_same_text(void **state) {
    (void)state;
    struct vector *vectors, *texts;
    size_t count = vectors_load("V-", 11543, &vectors);
    assert_int_equal(vectors_load("V-", 0, &texts), count);
    for (size_t i = 0; i < count; i++) {
        struct lwm2m_json_context context = {.base = vectors[i].path, .now_ms = now_ms};
        uint8_t bytes[128];
        struct buffer values = buffer_over(bytes, sizeof bytes), out = buffer_over(encoded, sizeof encoded);
        struct lwm2m_value expected;
        const char *remark;
        bool good;
        assert_true(lwm2m_text_decode(texts[i].bytes, vectors[i].type, &values, &expected, &remark));
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, &context, &good);
        if (!good || nodes.count != 1 || nodes.remark != NULL ||
            !lwm2m_value_convert(&memory[0].value, vectors[i].type, &values, &remark) ||
            !lwm2m_value_equal(&memory[0].value, &expected))
            fail_msg("%s does not decode", vectors[i].id);
        if (!lwm2m_json_encode(memory, 1, &context, &out) || !slice_equal(buffer_slice(&out), vectors[i].bytes))
            fail_msg("%s does not encode", vectors[i].id);
    }
    vectors_free(texts, count);
    vectors_free(vectors, count);
}

static void test_vectors_OJ_decode_and_encode_to_the_same_text_with_names(void **state) {
    (void)state;
    struct vector *vectors;
    size_t count = vectors_load("OJ-", 11543, &vectors);
    for (size_t i = 0; i < count; i++) {
        struct lwm2m_json_context context = {.base = vectors[i].path, .now_ms = now_ms};
        struct buffer out = buffer_over(encoded, sizeof encoded);
        bool good, has_no_name = strcmp(vectors[i].id, "OJ-02") == 0;
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, &context, &good);
        assert_true(good && lwm2m_json_encode(memory, nodes.count, &context, &out));
        if (slice_equal(buffer_slice(&out), vectors[i].bytes) == has_no_name)
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

/* ---- decoding ---- */

static void test_OJ_R01_names_as_clients_write_them(void **state) {
    (void)state;
    static const char *const texts[] = {"{\"bn\":\"/3/0/\",\"e\":[{\"n\":\"9\",\"v\":1}]}",
                                        "{\"bn\":\"/3/0\",\"e\":[{\"n\":\"9\",\"v\":1}]}",
                                        "{\"bn\":\"/3/0/9\",\"e\":[{\"v\":1}]}",
                                        "{\"bn\":\"/3/0/9\",\"e\":[{\"n\":\"\",\"v\":1}]}",
                                        "{\"bn\":\"/\",\"e\":[{\"n\":\"3/0/9\",\"v\":1}]}",
                                        "{\"e\":[{\"v\":1,\"n\":\"9\"}],\"bn\":\"/3/0/\"}",
                                        "{\"e\":[{\"n\":\"/3/0/9\",\"v\":1}]}",
                                        "{\"e\":[{\"n\":\"9\",\"v\":1}]}",
                                        "{\"bn\":\"\",\"e\":[{\"n\":\"9\",\"v\":1}]}",
                                        "{\"bn\":\"/3\",\"e\":[{\"n\":\"/0/9\",\"v\":1}]}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct lwm2m_nodes nodes = accepts("/3/0", texts[i]);
        assert_null(nodes.remark);
        assert_int_equal(nodes.count, 1);
        assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(1));
    }
    accepts("/3/0/9", "{\"e\":[{\"v\":1}]}");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(1));
    assert_non_null(accepts("/3/0", "{\"bn\":\"3/0\",\"e\":[{\"n\":\"9\",\"v\":1}]}").remark);
    assert_non_null(accepts("/3/0", "{\"bn\":\"/3/0/9/\",\"e\":[{\"v\":1}]}").remark);
}

static void test_OJ_R01_every_kind_of_value(void **state) {
    (void)state;
    struct lwm2m_nodes nodes =
        accepts("/5/0", "{\"bn\":\"/5/0/\",\"e\":[{\"n\":\"0\",\"sv\":\"Af8=\"},{\"n\":\"1/0\",\"v\":2.5},"
                        "{\"n\":\"1/1\",\"v\":18446744073709551615},{\"n\":\"2\",\"bv\":false},"
                        "{\"n\":\"3\",\"ov\":\"66:613\"}],\"x\":{\"y\":[]}}");
    assert_int_equal(nodes.count, 5);
    assert_node_is(&memory[0], "/5/0/0", lwm2m_string("Af8="));
    assert_node_is(&memory[1], "/5/0/1/0", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 2.5});
    assert_node_is(&memory[2], "/5/0/1/1", (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = UINT64_MAX});
    assert_node_is(&memory[3], "/5/0/2", lwm2m_boolean(false));
    assert_node_is(&memory[4], "/5/0/3", (struct lwm2m_value){.type = LWM2M_OBJLNK, .link = {66, 613}});
}

static void test_OJ_R01_times(void **state) {
    (void)state;
    accepts("/72", "{\"bn\":\"/72/\",\"e\":[{\"n\":\"1/2\",\"v\":22.4,\"t\":-5},{\"n\":\"1/2\",\"v\":22.9,\"t\":-30}],"
                   "\"bt\":25462634}");
    assert_true(memory[0].has_time && memory[1].has_time);
    assert_int_equal(memory[0].time_ms, INT64_C(25462629000));
    assert_int_equal(memory[1].time_ms, INT64_C(25462604000));
    accepts("/3/0/9", "{\"e\":[{\"v\":1,\"t\":-0.5}]}");
    assert_int_equal(memory[0].time_ms, now_ms - 500);
    accepts("/3/0/9", "{\"e\":[{\"v\":1,\"t\":0}]}");
    assert_false(memory[0].has_time);
    assert_non_null(accepts("/3/0/9", "{\"e\":[{\"v\":1,\"t\":1600000001}]}").remark);
    assert_refused("/3/0/9", "{\"e\":[{\"v\":1,\"t\":1e300}]}");
}

static void test_OJ_R01_alternate_path_may_be_there(void **state) {
    (void)state;
    static const char *const texts[] = {"{\"bn\":\"/lwm2m/3/0/\",\"e\":[{\"n\":\"9\",\"v\":1}]}",
                                        "{\"bn\":\"/3/0/\",\"e\":[{\"n\":\"9\",\"v\":1}]}"};
    struct lwm2m_json_context context = context_of("/3/0");
    context.root = slice_str("/lwm2m");
    for (size_t i = 0; i < 2; i++) {
        bool good;
        decode(slice_str(texts[i]), &context, &good);
        assert_true(good);
        assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(1));
    }
}

static void test_OJ_R01_what_is_no_content(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"bn\":\"/3/0/\"}",
        "{\"e\":{}}",
        "{\"e\":[1]}",
        "{\"e\":[]} x",
        "{\"e\":[],\"e\":[]}",
        "{\"bn\":1,\"e\":[]}",
        "{\"bt\":\"1\",\"e\":[]}",
        "{\"e\":[{\"n\":\"9\"}]}",
        "{\"e\":[{\"n\":9,\"v\":1}]}",
        "{\"e\":[{\"n\":\"9\",\"n\":\"9\",\"v\":1}]}",
        "{\"e\":[{\"n\":\"9\",\"v\":\"1\"}]}",
        "{\"e\":[{\"n\":\"9\",\"v\":null}]}",
        "{\"e\":[{\"n\":\"9\",\"v\":1e999}]}",
        "{\"e\":[{\"n\":\"9\",\"sv\":1}]}",
        "{\"e\":[{\"n\":\"9\",\"bv\":1}]}",
        "{\"e\":[{\"n\":\"9\",\"ov\":\"1\"}]}",
        "{\"e\":[{\"n\":\"9\",\"v\":1,\"sv\":\"1\"}]}",
        "{\"e\":[{\"n\":\"9\",\"v\":1},{\"n\":\"9\",\"v\":2}]}",
        "{\"e\":[{\"n\":\"6\",\"v\":1},{\"n\":\"6/0\",\"v\":2}]}",
        "{\"e\":[{\"n\":\"9a\",\"v\":1}]}",
        "{\"e\":[{\"v\":1}]}",
        "{\"bn\":\"/3/\",\"e\":[{\"n\":\"/0/9\",\"v\":1}]}",
        "{\"bn\":\"/4/0/\",\"e\":[{\"n\":\"9\",\"v\":1}]}",
        "{\"e\":[{\"n\":\"7/1/1\",\"v\":1}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused("/3/0", texts[i]);
    assert_int_equal(accepts("/3/0", "{\"e\":[]}").count, 0);
}

static void test_FMT_03_more_values_than_room(void **state) {
    (void)state;
    struct lwm2m_json_context context = context_of("/3/0");
    struct buffer text = buffer_over(encoded, sizeof encoded);
    bool good;
    for (int i = 0; i <= NODES; i++)
        buffer_printf(&text, "%s{\"n\":\"%d\",\"v\":1}", i == 0 ? "{\"e\":[" : ",", i);
    buffer_put_str(&text, "]}");
    struct lwm2m_nodes nodes = decode(buffer_slice(&text), &context, &good);
    assert_false(good);
    assert_int_equal(nodes.count, NODES);
}

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    static const char text[] = "{\"e\":[{\"n\":\"0\",\"sv\":\"\\u00e9\",\"t\":-1},{\"n\":\"9\",\"v\":100},"
                               "{\"n\":\"8\",\"ov\":\"1:2\"},{\"n\":\"7\",\"bv\":true}],\"bn\":\"/3\\/0/\",\"bt\":1e9}";
    struct lwm2m_json_context context = context_of("/3/0");
    assert_int_equal(accepts("/3/0", text).count, 4);
    for (size_t len = 0; len < sizeof text - 1; len++) {
        uint8_t *copy = exact_copy(slice_of(text, len));
        bool good;
        decode(slice_of(copy, len), &context, &good);
        if (good)
            fail_msg("%zu bytes", len);
        free(copy);
    }
}

/* ---- encoding ---- */

static void test_OJ_R02_base_name_ends_in_a_slash_and_every_entry_has_a_name(void **state) {
    (void)state;
    const struct lwm2m_node nodes[] = {node_of("/3/0/7/1", lwm2m_integer(5))};
    static const char *const texts[] = {"{\"bn\":\"/\",\"e\":[{\"n\":\"3/0/7/1\",\"v\":5}]}",
                                        "{\"bn\":\"/3/\",\"e\":[{\"n\":\"0/7/1\",\"v\":5}]}",
                                        "{\"bn\":\"/3/0/\",\"e\":[{\"n\":\"7/1\",\"v\":5}]}"};
    assert_encodes("/", nodes, 1, texts[0]);
    assert_encodes("/3", nodes, 1, texts[1]);
    assert_encodes("/3/0", nodes, 1, texts[2]);
    assert_encodes("/3/0/7", nodes, 1, texts[2]);
    assert_encodes("/3/0/7/1", nodes, 1, texts[2]);
    assert_encodes("/3/0", nodes, 0, "{\"bn\":\"/3/0/\",\"e\":[]}");
}

static void test_OJ_R02_values_and_times(void **state) {
    (void)state;
    struct lwm2m_node nodes[] = {node_of("/5/0/0", lwm2m_bytes(LWM2M_OPAQUE, slice_str("\x01\xff"))),
                                 node_of("/5/0/1", lwm2m_string("\xc3\xa9\"")), node_of("/5/0/2", lwm2m_boolean(true)),
                                 node_of("/5/0/6", (struct lwm2m_value){.type = LWM2M_NONE}),
                                 node_of("/5/0/7", (struct lwm2m_value){.type = LWM2M_OBJLNK, .link = {66, 613}})};
    nodes[0].has_time = nodes[2].has_time = true;
    nodes[0].time_ms = INT64_C(1500000000000);
    nodes[2].time_ms = INT64_C(1500000000250);
    assert_encodes("/5/0", nodes, 5,
                   "{\"bn\":\"/5/0/\",\"e\":[{\"n\":\"0\",\"sv\":\"Af8=\",\"t\":1500000000},"
                   "{\"n\":\"1\",\"sv\":\"\xc3\xa9\\\"\"},{\"n\":\"2\",\"bv\":true,\"t\":1500000000.25},"
                   "{\"n\":\"7\",\"ov\":\"66:613\"}]}");
}

static void test_what_has_no_form_is_refused(void **state) {
    (void)state;
    struct lwm2m_node early = node_of("/3/0/0", lwm2m_integer(1));
    early.has_time = true;
    assert_false(encodes("/3/0", early, BYTES));
    struct lwm2m_node without_id = node_of("/3/0/0", lwm2m_integer(1));
    without_id.path.ids[1] = LWM2M_ID_NONE;
    assert_false(encodes("/3", without_id, BYTES));
    assert_false(encodes("/3/0", node_of("/4/0/0", lwm2m_integer(1)), BYTES));
    assert_false(encodes("/3", node_of("/3/0", lwm2m_integer(1)), BYTES));
    assert_false(encodes("/3/0", node_of("/3/0/0", lwm2m_bytes(LWM2M_RAW, SLICE_NONE)), BYTES));
    assert_false(encodes("/3/0", node_of("/3/0/0", lwm2m_string("\xff")), BYTES));
    assert_false(encodes("/3/0", node_of("/3/0/0", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = NAN}), BYTES));
}

static void test_every_room_that_is_too_small_is_refused(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/3/0/0", lwm2m_bytes(LWM2M_OPAQUE, slice_str("abcd")));
    static const char text[] = "{\"bn\":\"/3/0/\",\"e\":[{\"n\":\"0\",\"sv\":\"YWJjZA==\"}]}";
    for (size_t room = 0; room < sizeof text - 1; room++)
        assert_false(encodes("/3/0/0", node, room));
    assert_true(encodes("/3/0/0", node, sizeof text - 1));
}

static void test_any_list_comes_back(void **state) {
    (void)state;
    static const char *const bases[] = {"/", "/3", "/3/0"};
    for (unsigned seed = 0; seed < 3000; seed++) {
        static struct lwm2m_node list[NODES];
        static uint8_t values[BYTES];
        struct lwm2m_json_context context = context_of(bases[seed % 3]);
        struct buffer out = buffer_over(encoded, sizeof encoded), base64 = buffer_over(values, sizeof values);
        size_t count = random_list(seed, &context.base, list, NODES);
        for (size_t i = 0; i < count && seed % 5 == 0; i++) {
            list[i].has_time = true;
            list[i].time_ms = now_ms - (int64_t)(seed * 977 + i * 13);
        }
        const char *remark;
        bool good;
        assert_true(lwm2m_json_encode(list, count, &context, &out));
        struct lwm2m_nodes nodes = decode(buffer_slice(&out), &context, &good);
        for (size_t i = 0; good && i < nodes.count && i < count; i++)
            good = lwm2m_value_convert(&memory[i].value, list[i].value.type, &base64, &remark);
        if (!good || nodes.remark != NULL || !tells_the_same(list, count, &nodes))
            fail_msg("seed %u: %.*s", seed, (int)out.len, (const char *)out.data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_V_decode_and_encode_to_the_same_text),
        cmocka_unit_test(test_vectors_OJ_decode_and_encode_to_the_same_text_with_names),
        cmocka_unit_test(test_OJ_R01_names_as_clients_write_them),
        cmocka_unit_test(test_OJ_R01_every_kind_of_value),
        cmocka_unit_test(test_OJ_R01_times),
        cmocka_unit_test(test_OJ_R01_alternate_path_may_be_there),
        cmocka_unit_test(test_OJ_R01_what_is_no_content),
        cmocka_unit_test(test_FMT_03_more_values_than_room),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_OJ_R02_base_name_ends_in_a_slash_and_every_entry_has_a_name),
        cmocka_unit_test(test_OJ_R02_values_and_times),
        cmocka_unit_test(test_what_has_no_form_is_refused),
        cmocka_unit_test(test_every_room_that_is_too_small_is_refused),
        cmocka_unit_test(test_any_list_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
