#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "common/lwm2m/senml_json.h"
#include "common/lwm2m/text.h"
#include "common/lwm2m/value.h"
#include "tests/unit/lwm2m/node_lists.h"
#include "tests/unit/lwm2m/vectors.h"

enum { NODES = 64, BYTES = 16384 };

static const int64_t now_ms = INT64_C(1600000000000);

static struct lwm2m_node memory[NODES];
static uint8_t encoded[BYTES], scratch_memory[BYTES];

static struct senml_context context_of(enum senml_mode mode, const char *base) {
    return (struct senml_context){.mode = mode, .base = path_of(base), .now_ms = now_ms};
}

static struct lwm2m_nodes decode(struct slice text, const struct senml_context *context, bool *good) {
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES);
    struct buffer scratch = buffer_over(scratch_memory, 2 * text.len);
    *good = senml_json_decode(text, context, &scratch, &nodes);
    assert_true(*good || nodes.remark != NULL);
    return nodes;
}

static struct lwm2m_nodes accepts(enum senml_mode mode, const char *base, const char *text) {
    struct senml_context context = context_of(mode, base);
    bool good;
    struct lwm2m_nodes nodes = decode(slice_str(text), &context, &good);
    if (!good)
        fail_msg("%s was refused: %s", text, nodes.remark);
    return nodes;
}

static void assert_refused(enum senml_mode mode, const char *base, const char *text) {
    struct senml_context context = context_of(mode, base);
    bool good;
    decode(slice_str(text), &context, &good);
    if (good)
        fail_msg("%s", text);
}

static void assert_encodes(enum senml_mode mode, const char *base, const struct lwm2m_node *nodes, size_t count,
                           const char *expected) {
    struct senml_context context = context_of(mode, base);
    struct buffer out = buffer_over(encoded, sizeof encoded);
    assert_true(senml_json_encode(nodes, count, &context, &out));
    if (!slice_is(buffer_slice(&out), expected))
        fail_msg("%.*s instead of %s", (int)out.len, (const char *)out.data, expected);
}

static bool encodes(enum senml_mode mode, const char *base, struct lwm2m_node node, size_t room) {
    struct senml_context context = context_of(mode, base);
    struct buffer out = buffer_over(encoded, room);
    return senml_json_encode(&node, 1, &context, &out);
}

/* ---- vectors ---- */

static void test_vectors_V_decode_and_encode_to_the_same_text(void **state) {
    (void)state;
    struct vector *vectors, *texts;
    size_t count = vectors_load("V-", 110, &vectors);
    assert_int_equal(vectors_load("V-", 0, &texts), count);
    for (size_t i = 0; i < count; i++) {
        struct senml_context context = {.base = vectors[i].path, .now_ms = now_ms};
        uint8_t bytes[64];
        struct buffer value_scratch = buffer_over(bytes, sizeof bytes), out = buffer_over(encoded, sizeof encoded);
        struct lwm2m_value expected;
        const char *remark;
        bool good;
        assert_true(lwm2m_text_decode(texts[i].bytes, vectors[i].type, &value_scratch, &expected, &remark));
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, &context, &good);
        if (!good || nodes.count != 1 || nodes.remark != NULL ||
            !lwm2m_value_convert(&memory[0].value, vectors[i].type, NULL, &remark) ||
            !lwm2m_value_equal(&memory[0].value, &expected))
            fail_msg("%s does not decode", vectors[i].id);
        if (!senml_json_encode(memory, 1, &context, &out) || !slice_equal(buffer_slice(&out), vectors[i].bytes))
            fail_msg("%s does not encode", vectors[i].id);
    }
    vectors_free(texts, count);
    vectors_free(vectors, count);
}

static enum senml_mode mode_of(const char *id) {
    static const char *const fetches[] = {"SJ-05", "SJ-06", "SJ-09", "ETCH-01"};
    for (size_t i = 0; i < sizeof fetches / sizeof fetches[0]; i++) {
        if (strcmp(id, fetches[i]) == 0)
            return SENML_FETCH;
    }
    return strcmp(id, "ETCH-03") == 0 ? SENML_PATCH : SENML_CONTENT;
}

static bool comes_back(const struct vector *vector) {
    struct senml_context context = {.mode = mode_of(vector->id), .base = vector->path, .now_ms = now_ms};
    struct buffer out = buffer_over(encoded, sizeof encoded);
    bool good;
    struct lwm2m_nodes nodes = decode(vector->bytes, &context, &good);
    if (!good)
        fail_msg("%s was refused: %s", vector->id, nodes.remark);
    return senml_json_encode(memory, nodes.count, &context, &out) && slice_equal(buffer_slice(&out), vector->bytes);
}

/* The others name or time their records in another way, which is as good. */
static void test_vectors_SJ_ETCH_decode_and_those_of_our_form_encode_to_the_same_text(void **state) {
    (void)state;
    static const char *const other_form[] = {"SJ-03", "SJ-06", "SJ-07", "SJ-08"};
    static const struct {
        const char *prefix;
        int cf;
    } sets[] = {{"SJ-", 110}, {"ETCH-", 320}};
    for (size_t set = 0; set < 2; set++) {
        struct vector *vectors;
        size_t count = vectors_load(sets[set].prefix, sets[set].cf, &vectors);
        for (size_t i = 0; i < count; i++) {
            bool other = false;
            for (size_t k = 0; k < sizeof other_form / sizeof other_form[0]; k++)
                other = other || strcmp(vectors[i].id, other_form[k]) == 0;
            if (comes_back(&vectors[i]) == other)
                fail_msg("%s", vectors[i].id);
        }
        vectors_free(vectors, count);
    }
}

static void test_vectors_NJ_are_taken_or_refused_as_wanted(void **state) {
    (void)state;
    struct vector *vectors;
    size_t count = vectors_load("NJ-", 110, &vectors);
    for (size_t i = 0; i < count; i++) {
        struct senml_context context = {.base = vectors[i].path, .now_ms = now_ms};
        const char *remark;
        bool good;
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, &context, &good);
        if (good && nodes.count == 1)
            good = lwm2m_value_convert(&memory[0].value, vectors[i].type, NULL, &remark);
        if (good != vectors[i].accept)
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

/* ---- decoding ---- */

static void test_SML_R01_R02_names(void **state) {
    (void)state;
    static const char *const texts[] = {"[{\"n\":\"/3/0/9\",\"v\":1}]", "[{\"bn\":\"/3/0/\",\"n\":\"9\",\"v\":1}]",
                                        "[{\"v\":1,\"bn\":\"/3/0/9\"}]", "[{\"bn\":\"/\",\"n\":\"3/0/9\",\"v\":1}]",
                                        "[{\"bn\":\"/3/\",\"n\":\"0/9\",\"v\":1}]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(accepts(SENML_CONTENT, "/3/0", texts[i]).count, 1);
        assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(1));
    }
}

static void test_SML_R03_R09_base_values_hold_until_they_change(void **state) {
    (void)state;
    struct lwm2m_nodes nodes = accepts(SENML_CONTENT, "/",
                                       "[{\"bn\":\"/3/0/\",\"bv\":10,\"n\":\"9\",\"v\":1},{\"n\":\"10\",\"v\":-2.5},"
                                       "{\"bn\":\"/4/0/\",\"bv\":0,\"n\":\"2\",\"v\":3}]");
    assert_int_equal(nodes.count, 3);
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(11));
    assert_node_is(&memory[1], "/3/0/10", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 7.5});
    assert_node_is(&memory[2], "/4/0/2", lwm2m_integer(3));
}

static void test_SML_R09_TYP_05_a_sum_beyond_all_numbers(void **state) {
    (void)state;
    assert_refused(SENML_CONTENT, "/3/0/9", "[{\"bn\":\"/3/0/9\",\"bv\":1e308,\"v\":1e308}]");
    assert_refused(SENML_CONTENT, "/3/0/9", "[{\"bn\":\"/3/0/9\",\"bv\":18446744073709551615,\"v\":1}]");
}

static void test_SML_R04_R05_names_that_are_no_paths_or_outside(void **state) {
    (void)state;
    assert_refused(SENML_CONTENT, "/3/0", "[{\"n\":\"3/0/9\",\"v\":1}]");
    assert_refused(SENML_CONTENT, "/3/0", "[{\"n\":\"/3/0//9\",\"v\":1}]");
    assert_refused(SENML_CONTENT, "/3/0", "[{\"n\":\"/3/1/9\",\"v\":1}]");
    assert_refused(SENML_CONTENT, "/3/0", "[{\"bn\":\"/3/0\",\"n\":\"9\",\"v\":1}]");
    assert_refused(SENML_CONTENT, "/3/0", "[{\"n\":9,\"v\":1}]");
}

static void test_SML_R05_alternate_path(void **state) {
    (void)state;
    struct senml_context context = context_of(SENML_CONTENT, "/3/0");
    bool good;
    context.root = slice_str("/lwm2m");
    decode(slice_str("[{\"n\":\"/lwm2m/3/0/9\",\"v\":1}]"), &context, &good);
    assert_true(good);
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(1));
    decode(slice_str("[{\"n\":\"/3/0/9\",\"v\":1}]"), &context, &good);
    assert_false(good);
}

static void test_SML_R06_history_and_duplicates(void **state) {
    (void)state;
    struct lwm2m_nodes nodes =
        accepts(SENML_CONTENT, "/3303/0/5700",
                "[{\"bn\":\"/3303/0/5700\",\"bt\":1500000000,\"v\":20.5},{\"t\":0.25,\"v\":21.5}]");
    assert_int_equal(nodes.count, 2);
    assert_true(memory[0].has_time && memory[1].has_time);
    assert_int_equal(memory[0].time_ms, INT64_C(1500000000000));
    assert_int_equal(memory[1].time_ms, INT64_C(1500000000250));
    assert_refused(SENML_CONTENT, "/3/0/9", "[{\"bn\":\"/3/0/9\",\"v\":1},{\"v\":2}]");
}

static void test_SML_R07_R08_times(void **state) {
    (void)state;
    struct lwm2m_nodes nodes = accepts(SENML_CONTENT, "/3/0/9", "[{\"bn\":\"/3/0/9\",\"v\":1}]");
    assert_false(memory[0].has_time);
    accepts(SENML_CONTENT, "/3/0/9", "[{\"bn\":\"/3/0/9\",\"v\":1,\"t\":-5}]");
    assert_int_equal(memory[0].time_ms, now_ms - 5000);
    nodes = accepts(SENML_CONTENT, "/72/1/2", "[{\"bn\":\"/72/1/2\",\"bt\":25462634,\"v\":1,\"t\":-5}]");
    assert_int_equal(memory[0].time_ms, now_ms + INT64_C(25462629000));
    assert_non_null(nodes.remark);
}

static void test_SML_R10_R11_labels(void **state) {
    (void)state;
    assert_null(accepts(SENML_CONTENT, "/3/0/9",
                        "[{\"bn\":\"/3/0/9\",\"bu\":\"%\",\"bs\":1,\"v\":1,\"u\":\"/\",\"ut\":9,\"x\":[{\"y\":null}]}]")
                    .remark);
    assert_refused(SENML_CONTENT, "/3/0/9", "[{\"bn\":\"/3/0/9\",\"v\":1,\"x_\":[]}]");
    assert_refused(SENML_CONTENT, "/3/0/9", "[{\"bn\":\"/3/0/9\",\"v\":1,\"u\":1}]");
}

static void test_SML_R12_version(void **state) {
    (void)state;
    accepts(SENML_CONTENT, "/3/0/9", "[{\"bver\":5,\"bn\":\"/3/0/9\",\"v\":1}]");
    assert_refused(SENML_CONTENT, "/3/0/9", "[{\"bver\":11,\"bn\":\"/3/0/9\",\"v\":1}]");
    assert_refused(SENML_CONTENT, "/3/0/9", "[{\"bver\":-1,\"bn\":\"/3/0/9\",\"v\":1}]");
}

static void test_SML_R13_R14_one_value_of_the_right_kind(void **state) {
    (void)state;
    static const char *const values[] = {
        "",           ",\"v\":1,\"vb\":true", ",\"v\":1,\"v\":1", ",\"v\":\"1\"", ",\"v\":true",    ",\"v\":[1]",
        ",\"vs\":1",  ",\"vs\":null",         ",\"vb\":1",        ",\"vb\":null", ",\"vd\":true",   ",\"vd\":\"A\"",
        ",\"vlo\":3", ",\"vlo\":\"3\"",       ",\"v\":null",      ",\"v\":1e999", ",\"vd\":\"*A\"", ",\"s\":\"1\""};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint8_t text[128];
        struct buffer out = buffer_over(text, sizeof text);
        buffer_printf(&out, "[{\"bn\":\"/3/0/9\"%s}]", values[i]);
        buffer_put_u8(&out, 0);
        assert_refused(SENML_CONTENT, "/3/0/9", (const char *)text);
    }
}

static void test_SML_R19_what_is_no_pack(void **state) {
    (void)state;
    static const char *const texts[] = {"",   "[",    "{}",  "[[]]", "[1]", "null", "[{\"n\":\"/3/0/9\",\"v\":1}",
                                        "[{", "[{}]", "[]x", "[][]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(SENML_CONTENT, "/3/0/9", texts[i]);
}

static void test_SML_R20_empty_pack_and_any_order(void **state) {
    (void)state;
    assert_int_equal(accepts(SENML_CONTENT, "/", "[]").count, 0);
    assert_int_equal(accepts(SENML_CONTENT, "/", " [ ] ").count, 0);
    assert_int_equal(accepts(SENML_CONTENT, "/",
                             "[{\"n\":\"/3/0/9\",\"v\":1},{\"n\":\"/1/0/1\",\"v\":2},{\"n\":\"/3/0/1\",\"v\":3}]")
                         .count,
                     3);
}

static void test_ETC_R01_fetch_is_names_only(void **state) {
    (void)state;
    assert_int_equal(accepts(SENML_FETCH, "/", "[{\"bn\":\"/3/0/\",\"n\":\"9\"},{\"n\":\"6/0\"}]").count, 2);
    assert_node_is(&memory[1], "/3/0/6/0", (struct lwm2m_value){.type = LWM2M_NONE});
    assert_refused(SENML_FETCH, "/", "[]");
    assert_refused(SENML_FETCH, "/", "[{\"n\":\"/3/0/9\",\"v\":1}]");
    assert_refused(SENML_FETCH, "/", "[{\"n\":\"/3/0/9\",\"v\":null}]");
    assert_refused(SENML_FETCH, "/", "[{\"n\":\"/3/0/9\",\"x\":1}]");
}

static void test_ETC_R02_R03_patch_removes_with_null(void **state) {
    (void)state;
    assert_int_equal(
        accepts(
            SENML_PATCH, "/",
            "[{\"n\":\"/16/0/0/1\",\"v\":null},{\"n\":\"/16/0/0/2\",\"vs\":\"x\"},{\"n\":\"/65/0/0\",\"vlo\":\"3:0\"}]")
            .count,
        3);
    assert_node_is(&memory[0], "/16/0/0/1", (struct lwm2m_value){.type = LWM2M_NONE});
    assert_refused(SENML_PATCH, "/", "[{\"n\":\"/16/0/0/1\"}]");
}

static void test_TYP_09_TYP_10_links(void **state) {
    (void)state;
    static const struct lwm2m_value null_link = {.type = LWM2M_OBJLNK, .link = {LWM2M_ID_NONE, LWM2M_ID_NONE}};
    accepts(SENML_CONTENT, "/65/0/0", "[{\"bn\":\"/65/0/0\",\"vlo\":\"66:613\"}]");
    assert_node_is(&memory[0], "/65/0/0", (struct lwm2m_value){.type = LWM2M_OBJLNK, .link = {66, 613}});
    assert_null(accepts(SENML_CONTENT, "/65/0/0", "[{\"bn\":\"/65/0/0\",\"vlo\":\"65535:65535\"}]").remark);
    assert_node_is(&memory[0], "/65/0/0", null_link);
    assert_non_null(accepts(SENML_CONTENT, "/65/0/0", "[{\"bn\":\"/65/0/0\",\"vlo\":\"\"}]").remark);
    assert_node_is(&memory[0], "/65/0/0", null_link);
}

static void test_TYP_11_opaque_of_either_alphabet(void **state) {
    (void)state;
    static const char *const texts[] = {"-_-_-w", "+/+/+w==", "-_-_-w==", "+/+/+w", "\\u002b\\/+/+w"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint8_t text[128];
        struct buffer out = buffer_over(text, sizeof text);
        buffer_printf(&out, "[{\"bn\":\"/5/0/0\",\"vd\":\"%s\"}]", texts[i]);
        buffer_put_u8(&out, 0);
        accepts(SENML_CONTENT, "/5/0/0", (const char *)text);
        assert_node_is(&memory[0], "/5/0/0", lwm2m_bytes(LWM2M_OPAQUE, bytes_of("fbffbffb")));
    }
}

static void test_TYP_12_text_that_is_not_UTF_8_is_kept_and_flagged(void **state) {
    (void)state;
    assert_non_null(accepts(SENML_CONTENT, "/3/0/0", "[{\"bn\":\"/3/0/0\",\"vs\":\"a\xff\"}]").remark);
    assert_node_is(&memory[0], "/3/0/0", lwm2m_string("a\xff"));
}

static void test_FMT_03_more_values_than_room(void **state) {
    (void)state;
    struct senml_context context = context_of(SENML_CONTENT, "/");
    struct buffer text = buffer_over(encoded, sizeof encoded);
    bool good;
    for (int i = 0; i <= NODES; i++)
        buffer_printf(&text, "%c{\"n\":\"/3/0/%d\",\"v\":1}", i == 0 ? '[' : ',', i);
    buffer_put_u8(&text, ']');
    struct lwm2m_nodes nodes = decode(buffer_slice(&text), &context, &good);
    assert_false(good);
    assert_int_equal(nodes.count, NODES);
}

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    static const char text[] = "[{\"bn\":\"/3/0/\",\"bt\":1.5e9,\"n\":\"0\",\"vs\":\"\\u00e9\",\"t\":-1},"
                               "{\"n\":\"9\",\"v\":100},{\"n\":\"7/1\",\"vd\":\"AQI\"},{\"n\":\"8\",\"vlo\":\"1:2\"}]";
    struct senml_context context = context_of(SENML_CONTENT, "/3/0");
    assert_int_equal(accepts(SENML_CONTENT, "/3/0", text).count, 4);
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

static void test_SML_R16_SML_R18_our_form(void **state) {
    (void)state;
    const struct lwm2m_node nodes[] = {node_of("/3/0/0", lwm2m_string("\xc3\xa9\n")),
                                       node_of("/3/0/7/1", lwm2m_integer(5)), node_of("/3/0/8", lwm2m_boolean(true))};
    assert_encodes(SENML_CONTENT, "/3/0", nodes, 3,
                   "[{\"bn\":\"/3/0/\",\"n\":\"0\",\"vs\":\"\xc3\xa9\\u000a\"},{\"n\":\"7/1\",\"v\":5},"
                   "{\"n\":\"8\",\"vb\":true}]");
    assert_encodes(SENML_CONTENT, "/", nodes + 1, 2, "[{\"n\":\"/3/0/7/1\",\"v\":5},{\"n\":\"/3/0/8\",\"vb\":true}]");
    assert_encodes(SENML_CONTENT, "/3/0", nodes, 0, "[]");
}

static void test_SML_R06_times_are_written(void **state) {
    (void)state;
    struct lwm2m_node nodes[] = {node_of("/3/0/9", lwm2m_integer(1)), node_of("/3/0/9", lwm2m_integer(2))};
    nodes[0].has_time = nodes[1].has_time = true;
    nodes[0].time_ms = INT64_C(1500000000000);
    nodes[1].time_ms = INT64_C(1500000001250);
    assert_encodes(SENML_CONTENT, "/3/0/9", nodes, 2,
                   "[{\"bn\":\"/3/0/9\",\"bt\":1500000000,\"v\":1,\"t\":0},{\"v\":2,\"t\":1.25}]");
}

static void test_ETC_R01_R02_paths_and_removal_are_written(void **state) {
    (void)state;
    const struct lwm2m_node nodes[] = {node_of("/3/0", (struct lwm2m_value){.type = LWM2M_NONE}),
                                       node_of("/16/0/0/1", (struct lwm2m_value){.type = LWM2M_NONE})};
    assert_encodes(SENML_FETCH, "/", nodes, 2, "[{\"n\":\"/3/0\"},{\"n\":\"/16/0/0/1\"}]");
    assert_encodes(SENML_PATCH, "/", nodes + 1, 1, "[{\"n\":\"/16/0/0/1\",\"v\":null}]");
}

static void test_alternate_path_is_written(void **state) {
    (void)state;
    struct senml_context context = context_of(SENML_CONTENT, "/3/0/9");
    struct lwm2m_node node = node_of("/3/0/9", lwm2m_integer(1));
    struct buffer out = buffer_over(encoded, sizeof encoded);
    context.root = slice_str("/lwm2m/");
    assert_true(senml_json_encode(&node, 1, &context, &out));
    assert_true(slice_is(buffer_slice(&out), "[{\"bn\":\"/lwm2m/3/0/9\",\"v\":1}]"));
}

static void test_what_has_no_form_is_refused(void **state) {
    (void)state;
    assert_false(encodes(SENML_CONTENT, "/3/0", node_of("/4/0/0", lwm2m_integer(1)), BYTES));
    assert_false(encodes(SENML_CONTENT, "/3", node_of("/3/0", lwm2m_integer(1)), BYTES));
    assert_false(encodes(SENML_CONTENT, "/3/0", node_of("/3/0/0", lwm2m_bytes(LWM2M_RAW, SLICE_NONE)), BYTES));
    assert_false(encodes(SENML_CONTENT, "/3/0", node_of("/3/0/0", lwm2m_string("\xff")), BYTES));
    assert_false(encodes(SENML_CONTENT, "/3/0",
                         node_of("/3/0/0", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = INFINITY}), BYTES));
}

static void test_every_room_that_is_too_small_is_refused(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/3/0/0", lwm2m_bytes(LWM2M_OPAQUE, slice_str("abcd")));
    static const char text[] = "[{\"bn\":\"/3/0/0\",\"vd\":\"YWJjZA\"}]";
    for (size_t room = 0; room < sizeof text - 1; room++)
        assert_false(encodes(SENML_CONTENT, "/3/0/0", node, room));
    assert_true(encodes(SENML_CONTENT, "/3/0/0", node, sizeof text - 1));
}

static void test_any_list_comes_back(void **state) {
    (void)state;
    static const char *const bases[] = {"/", "/3", "/3/0"};
    for (unsigned seed = 0; seed < 3000; seed++) {
        static struct lwm2m_node list[NODES];
        struct senml_context context = context_of(SENML_CONTENT, bases[seed % 3]);
        struct buffer out = buffer_over(encoded, sizeof encoded);
        size_t count = random_list(seed, &context.base, list, NODES);
        for (size_t i = 0; i < count && seed % 5 == 0; i++) {
            list[i].has_time = true;
            list[i].time_ms = now_ms - (int64_t)(seed * 977 + i * 13);
        }
        bool good;
        assert_true(senml_json_encode(list, count, &context, &out));
        struct lwm2m_nodes nodes = decode(buffer_slice(&out), &context, &good);
        if (!good || nodes.remark != NULL || !tells_the_same(list, count, &nodes))
            fail_msg("seed %u: %.*s", seed, (int)out.len, (const char *)out.data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_V_decode_and_encode_to_the_same_text),
        cmocka_unit_test(test_vectors_SJ_ETCH_decode_and_those_of_our_form_encode_to_the_same_text),
        cmocka_unit_test(test_vectors_NJ_are_taken_or_refused_as_wanted),
        cmocka_unit_test(test_SML_R01_R02_names),
        cmocka_unit_test(test_SML_R03_R09_base_values_hold_until_they_change),
        cmocka_unit_test(test_SML_R09_TYP_05_a_sum_beyond_all_numbers),
        cmocka_unit_test(test_SML_R04_R05_names_that_are_no_paths_or_outside),
        cmocka_unit_test(test_SML_R05_alternate_path),
        cmocka_unit_test(test_SML_R06_history_and_duplicates),
        cmocka_unit_test(test_SML_R07_R08_times),
        cmocka_unit_test(test_SML_R10_R11_labels),
        cmocka_unit_test(test_SML_R12_version),
        cmocka_unit_test(test_SML_R13_R14_one_value_of_the_right_kind),
        cmocka_unit_test(test_SML_R19_what_is_no_pack),
        cmocka_unit_test(test_SML_R20_empty_pack_and_any_order),
        cmocka_unit_test(test_ETC_R01_fetch_is_names_only),
        cmocka_unit_test(test_ETC_R02_R03_patch_removes_with_null),
        cmocka_unit_test(test_TYP_09_TYP_10_links),
        cmocka_unit_test(test_TYP_11_opaque_of_either_alphabet),
        cmocka_unit_test(test_TYP_12_text_that_is_not_UTF_8_is_kept_and_flagged),
        cmocka_unit_test(test_FMT_03_more_values_than_room),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_SML_R16_SML_R18_our_form),
        cmocka_unit_test(test_SML_R06_times_are_written),
        cmocka_unit_test(test_ETC_R01_R02_paths_and_removal_are_written),
        cmocka_unit_test(test_alternate_path_is_written),
        cmocka_unit_test(test_what_has_no_form_is_refused),
        cmocka_unit_test(test_every_room_that_is_too_small_is_refused),
        cmocka_unit_test(test_any_list_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
