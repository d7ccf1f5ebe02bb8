#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/lwm2m/lwm2m_cbor.h"
#include "common/lwm2m/text.h"
#include "common/lwm2m/value.h"
#include "tests/unit/lwm2m/node_lists.h"
#include "tests/unit/lwm2m/vectors.h"

enum { NODES = 64, BYTES = 16384 };

static struct lwm2m_node memory[NODES];
static uint8_t joined[BYTES], encoded[BYTES];

static const struct lwm2m_value none = {.type = LWM2M_NONE};

static struct lwm2m_nodes decode(struct slice bytes, struct lwm2m_path base, bool *good) {
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES);
    struct buffer scratch = buffer_over(joined, sizeof joined);
    *good = lwm2m_cbor_decode(bytes, &base, &scratch, &nodes);
    assert_true(*good || nodes.remark != NULL);
    return nodes;
}

static bool refuses(const char *path, const char *hex) {
    bool good;
    decode(bytes_of(hex), path_of(path), &good);
    return !good;
}

static struct lwm2m_nodes accepts(const char *path, const char *hex) {
    bool good;
    struct lwm2m_nodes nodes = decode(bytes_of(hex), path_of(path), &good);
    if (!good)
        fail_msg("%s at %s was refused: %s", hex, path, nodes.remark);
    return nodes;
}

static struct slice encode(const struct lwm2m_node *nodes, size_t count, struct lwm2m_path base, enum cbor_time time) {
    struct buffer out = buffer_over(encoded, sizeof encoded);
    if (!lwm2m_cbor_encode(nodes, count, &base, time, &out))
        fail_msg("not encoded");
    return buffer_slice(&out);
}

static void assert_encodes(const struct lwm2m_node *nodes, size_t count, const char *base, const char *hex) {
    if (!slice_equal(encode(nodes, count, path_of(base), CBOR_TIME_PLAIN), bytes_of(hex)))
        fail_msg("not %s", hex);
}

static bool does_not_encode(const struct lwm2m_node *nodes, size_t count, const char *base) {
    struct lwm2m_path path = path_of(base);
    struct buffer out = buffer_over(encoded, sizeof encoded);
    return !lwm2m_cbor_encode(nodes, count, &path, CBOR_TIME_PLAIN, &out);
}

/* ---- vectors ---- */

static void test_vectors_V_decode_and_encode_to_the_same_bytes(void **state) {
    (void)state;
    struct vector *vectors, *texts;
    size_t count = vectors_load("V-", 11544, &vectors);
    assert_int_equal(vectors_load("V-", 0, &texts), count);
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[64];
        struct buffer scratch = buffer_over(bytes, sizeof bytes);
        struct lwm2m_value expected;
        const char *remark;
        bool good;
        assert_true(lwm2m_text_decode(texts[i].bytes, vectors[i].type, &scratch, &expected, &remark));
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, vectors[i].path, &good);
        if (!good || nodes.count != 1 || !lwm2m_value_convert(&memory[0].value, vectors[i].type, NULL, &remark) ||
            !lwm2m_value_equal(&memory[0].value, &expected) ||
            !slice_equal(encode(memory, 1, vectors[i].path, CBOR_TIME_PLAIN), vectors[i].bytes))
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(texts, count);
    vectors_free(vectors, count);
}

/* The others have keys in another spelling, are indefinite or empty. */
static bool is_written_so(const struct vector *vector) {
    static const char *const ids[] = {"LC-01", "LC-03", "LC-04", "LC-05", "LC-06"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (strcmp(vector->id, ids[i]) == 0)
            return true;
    }
    return false;
}

static void test_vectors_LC_LCB_R09_decode_and_encode_to_the_same_bytes(void **state) {
    (void)state;
    struct vector *vectors;
    size_t count = vectors_load("LC-", 11544, &vectors);
    for (size_t i = 0; i < count; i++) {
        struct lwm2m_node first[NODES];
        bool good;
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, vectors[i].path, &good);
        if (!good)
            fail_msg("%s: %s", vectors[i].id, nodes.remark);
        size_t values = nodes.count == 1 && memory[0].value.type == LWM2M_NONE ? 0 : nodes.count;
        memcpy(first, memory, sizeof first);
        struct slice again = encode(memory, nodes.count, vectors[i].path, CBOR_TIME_PLAIN);
        if (slice_equal(again, vectors[i].bytes) != is_written_so(&vectors[i]))
            fail_msg("%s", vectors[i].id);
        nodes = decode(again, vectors[i].path, &good);
        if (!good || (values > 0 && !tells_the_same(first, values, &nodes)))
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

static void test_vectors_NB_are_taken_or_refused_as_wanted(void **state) {
    (void)state;
    struct vector *vectors;
    size_t count = vectors_load("NB-", 11544, &vectors);
    for (size_t i = 0; i < count; i++) {
        const char *remark;
        bool good;
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, vectors[i].path, &good);
        if (good && nodes.count == 1)
            good = lwm2m_value_convert(&memory[0].value, vectors[i].type, NULL, &remark);
        if (good != vectors[i].accept)
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

static void test_FMT_03_vectors_cut_off_anywhere_are_refused(void **state) {
    (void)state;
    static const char *const prefixes[] = {"V-", "LC-", "NB-"};
    for (size_t p = 0; p < sizeof prefixes / sizeof prefixes[0]; p++) {
        struct vector *vectors;
        size_t count = vectors_load(prefixes[p], 11544, &vectors);
        for (size_t i = 0; i < count; i++) {
            for (size_t len = 0; len < vectors[i].bytes.len; len++) {
                bool good;
                uint8_t *copy = exact_copy(slice_of(vectors[i].bytes.data, len));
                decode(slice_of(copy, len), vectors[i].path, &good);
                assert_false(good && vectors[i].accept);
                free(copy);
            }
        }
        vectors_free(vectors, count);
    }
}

/* ---- meanings ---- */

static void test_LC_01_LC_02_LCB_R01_LCB_R02_two_spellings_of_a_path(void **state) {
    (void)state;
    static const char *const spellings[] = {
        "a1830300006161", "a103a100a1006161", "a1820300a1006161", "a103a18200006161", "bf9f0300ffbf006161ffff",
    };
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        assert_int_equal(accepts("/3/0/0", spellings[i]).count, 1);
        assert_node_is(&memory[0], "/3/0/0", lwm2m_string("a"));
    }
}

static void test_LC_04_device_instance(void **state) {
    (void)state;
    struct vector *vectors;
    bool good;
    size_t count = vectors_load("LC-04", 11544, &vectors);
    assert_int_equal(vectors[0].bytes.len, 118);
    struct lwm2m_nodes nodes = decode(vectors[0].bytes, vectors[0].path, &good);
    assert_true(good);
    assert_null(nodes.remark);
    assert_int_equal(nodes.count, 16);
    assert_node_is(&memory[0], "/3/0/0", lwm2m_string("Open Mobile Alliance"));
    assert_node_is(&memory[4], "/3/0/6/0", lwm2m_integer(1));
    assert_node_is(&memory[7], "/3/0/7/1", lwm2m_integer(5000));
    assert_node_is(&memory[12], "/3/0/11/0", lwm2m_integer(0));
    assert_node_is(&memory[15], "/3/0/16", lwm2m_string("U"));
    vectors_free(vectors, count);
}

static void test_LC_06_LCB_R02_keys_of_several_lengths(void **state) {
    (void)state;
    accepts("/", "a2820300a20061610918648301000118c8");
    assert_node_is(&memory[0], "/3/0/0", lwm2m_string("a"));
    assert_node_is(&memory[1], "/3/0/9", lwm2m_integer(100));
    assert_node_is(&memory[2], "/1/0/1", lwm2m_integer(200));
}

static void test_LC_07_LC_08_LCB_R02_create(void **state) {
    (void)state;
    struct lwm2m_path base = {.ids = {2, LWM2M_ID_NONE}, .len = 2};
    bool good;
    assert_int_equal(accepts("/2", "a1820205a4000501008202186600031865").count, 4);
    assert_node_is(&memory[2], "/2/5/2/102", lwm2m_integer(0));
    assert_node_is(&memory[3], "/2/5/3", lwm2m_integer(101));
    accepts("/2", "a1820219ffffa10005");
    assert_int_equal(memory[0].path.ids[1], LWM2M_ID_NONE);
    decode(bytes_of("a1820219ffffa10005"), base, &good);
    assert_true(good);
    decode(bytes_of("a1820205a10005"), base, &good);
    assert_false(good);
}

static void test_LC_10_LC_12_LCB_R03_indefinite_forms(void **state) {
    (void)state;
    accepts("/13/26", "bf0dbf181abf01182a0215ffffff");
    assert_node_is(&memory[0], "/13/26/1", lwm2m_integer(42));
    assert_node_is(&memory[1], "/13/26/2", lwm2m_integer(21));
    accepts("/3442/0/110", "a183190d7200186e7f626162606163ff");
    assert_node_is(&memory[0], "/3442/0/110", lwm2m_string("abc"));
}

static void test_LC_13_LCB_R04_an_empty_map_is_nothing(void **state) {
    (void)state;
    assert_int_equal(accepts("/3", "bfff").count, 1);
    assert_node_is(&memory[0], "/3", none);
    accepts("/3", "a0");
    assert_node_is(&memory[0], "/3", none);
    assert_int_equal(accepts("/", "a0").count, 0);
    accepts("/", "a103a0");
    assert_node_is(&memory[0], "/3", none);
    accepts("/3/0", "a1820300a10ba0");
    assert_node_is(&memory[0], "/3/0/11", none);
    assert_true(refuses("/3", "a101a0"));
}

static void test_LCB_R05_ids(void **state) {
    (void)state;
    assert_true(refuses("/", "a1831a0001000000006161"));
    assert_true(refuses("/", "a18319ffff00006161"));
    assert_true(refuses("/", "a1830319ffff006161")); /* of an instance, but the request is not about one object */
    assert_true(refuses("/3", "a183030019ffff6161"));
    assert_true(refuses("/3", "a18403000019ffff05"));
    accepts("/", "a18319fffe19fffe19fffe6161");
    assert_true(refuses("/", "a1832000006161"));
    assert_true(refuses("/", "a120a100a1006161"));
    assert_true(refuses("/", "a1f400"));
    assert_true(refuses("/", "a183f93c0000006161"));
    assert_true(refuses("/", "a183810300006161")); /* an array in a key */
    assert_true(refuses("/", "a1a0006161"));       /* a map as a key */
}

static void test_LCB_R05_LCB_R10_text_keys(void **state) {
    (void)state;
    assert_true(refuses("/", "a16133a100a1006161"));
    assert_true(refuses("/", "a18463643031030000"
                             "6161"));
}

static void test_LCB_R05_depth(void **state) {
    (void)state;
    assert_true(refuses("/", "a10305"));
    assert_true(refuses("/", "a182030005"));
    assert_true(refuses("/", "a1820300f6"));
    assert_true(refuses("/", "a18503000000006161"));
    assert_true(refuses("/", "a18403000000a1006161"));
    assert_true(refuses("/", "a1840300060005"
                             "05"));
    assert_true(refuses("/", "a18005"));
    assert_true(refuses("/", "a180a183030000"
                             "05"));
    accepts("/", "a1840300060005");
    assert_node_is(&memory[0], "/3/0/6/0", lwm2m_integer(5));
}

static void test_LCB_R05_a_path_twice(void **state) {
    (void)state;
    assert_true(refuses("/3", "a28303000001"
                              "8303000002"));
    assert_true(refuses("/3", "a2830300000103a100a10002"));
    assert_true(refuses("/3", "a28303000601"
                              "840300060002")); /* single and multiple */
    accepts("/3", "a2830300000103a100a10102");  /* one instance in two places */
    assert_node_is(&memory[1], "/3/0/1", lwm2m_integer(2));
}

static void test_LCB_R05_values_that_are_none(void **state) {
    (void)state;
    assert_true(refuses("/3", "a183030000f7"));
    assert_true(refuses("/3", "a18303000080"));
    assert_true(refuses("/3", "a1830300008101"));
    assert_true(refuses("/3", "a18303000001ff"));
    assert_true(refuses("/3", "a1830300000100"));
    assert_true(refuses("/3", "8183030000"));
    assert_true(refuses("/3", ""));
    assert_true(refuses("/3", "05"));
}

static void test_LCB_R07_null_is_nothing(void **state) {
    (void)state;
    assert_non_null(accepts("/3", "a183030000f6").remark);
    assert_node_is(&memory[0], "/3/0/0", none);
}

static void test_a_path_outside_the_request(void **state) {
    (void)state;
    assert_true(refuses("/3/0/1", "a18303000005"));
    assert_true(refuses("/3/1", "a18303000005"));
    assert_true(refuses("/4", "a18303000005"));
    assert_true(refuses("/3/0/0/0", "a18303000005"));
    accepts("/3/0/0", "a18303000005");
}

static void test_TYP_06_times(void **state) {
    (void)state;
    accepts("/3/0/13", "a18303000dc11a5182428f");
    assert_node_is(&memory[0], "/3/0/13", lwm2m_time(1367491215));
}

/* ---- encoding ---- */

static void test_TYP_07_the_caller_says_how_a_time_is_written(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/3/0/13", lwm2m_time(5));
    assert_true(slice_equal(encode(&node, 1, node.path, CBOR_TIME_TAGGED), bytes_of("a18303000dc105")));
    assert_true(slice_equal(encode(&node, 1, node.path, CBOR_TIME_PLAIN), bytes_of("a18303000d05")));
}

static void test_LCB_R06_LCB_R09_resources(void **state) {
    (void)state;
    struct lwm2m_node list[] = {node_of("/3/0/6/0", lwm2m_integer(1)), node_of("/3/0/6/1", lwm2m_integer(5)),
                                node_of("/3/0/9", lwm2m_integer(9))};
    assert_encodes(list, 2, "/3/0/6", "a183030006a200010105");
    assert_encodes(list, 1, "/3/0/6", "a183030006a10001");
    assert_encodes(list, 1, "/3/0/6/0", "a1840300060001");
    assert_encodes(list, 3, "/3/0", "a1820300a206a2000101050909");
    assert_encodes(list, 3, "/3", "a103a100a206a2000101050909");
    assert_encodes(list, 3, "/", "a1820300a206a2000101050909");
    assert_encodes(list, 2, "/", "a183030006a200010105");
    assert_encodes(list + 2, 1, "/", "a18303000909");
}

static void test_LCB_R07_what_is_empty_is_left_out(void **state) {
    (void)state;
    struct lwm2m_node list[] = {node_of("/3/0/6", none), node_of("/3/0/9", lwm2m_integer(9)), node_of("/4", none)};
    assert_encodes(list, 3, "/", "a18303000909");
    assert_encodes(list, 2, "/3", "a103a100a10909");
    assert_encodes(list, 1, "/3/0/6", "a0");
    assert_encodes(NULL, 0, "/3", "a0");
}

static void test_LC_08_the_client_may_choose_the_instance(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/2/0/3", lwm2m_integer(101));
    node.path.ids[1] = LWM2M_ID_NONE;
    assert_encodes(&node, 1, "/2", "a102a119ffffa1031865");
}

static void test_what_can_not_be_told_is_refused(void **state) {
    (void)state;
    struct lwm2m_node twice[] = {node_of("/3/0/9", lwm2m_integer(1)), node_of("/3/0/9", lwm2m_integer(2))};
    struct lwm2m_node both[] = {node_of("/3/0/7", lwm2m_integer(1)), node_of("/3/0/7/0", lwm2m_integer(2))};
    struct lwm2m_node both_turned[] = {both[1], both[0]};
    struct lwm2m_node above = node_of("/3/0", lwm2m_integer(1));
    struct lwm2m_node timed = node_of("/3/0/9", lwm2m_integer(1));
    struct lwm2m_node raw = node_of("/3/0/9", lwm2m_bytes(LWM2M_RAW, SLICE_NONE));
    static const char *const bases[] = {"/", "/3", "/3/0"};
    timed.has_time = true;
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        assert_true(does_not_encode(twice, 2, bases[i]));
        assert_true(does_not_encode(both, 2, bases[i]));
        assert_true(does_not_encode(both_turned, 2, bases[i]));
        assert_true(does_not_encode(&above, 1, bases[i]));
        assert_true(does_not_encode(&timed, 1, bases[i]));
        assert_true(does_not_encode(&raw, 1, bases[i]));
    }
    assert_true(does_not_encode(twice, 1, "/4"));
    assert_true(does_not_encode(both, 2, "/3/0/7"));
}

static void test_what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/3/0/0", lwm2m_string("abc"));
    struct buffer out;
    for (size_t cap = 0; cap < 9; cap++) {
        out = buffer_over(encoded, cap);
        assert_false(lwm2m_cbor_encode(&node, 1, &node.path, CBOR_TIME_PLAIN, &out));
    }
    out = buffer_over(encoded, 9);
    assert_true(lwm2m_cbor_encode(&node, 1, &node.path, CBOR_TIME_PLAIN, &out));
}

static void test_FMT_03_more_values_than_room(void **state) {
    (void)state;
    struct buffer out = buffer_over(encoded, sizeof encoded);
    bool good;
    cbor_put_map(&out, 1);
    cbor_put_array(&out, 2);
    cbor_put_unsigned(&out, 3);
    cbor_put_unsigned(&out, 0);
    cbor_put_map(&out, NODES + 1);
    for (unsigned i = 0; i <= NODES; i++) {
        cbor_put_unsigned(&out, i);
        cbor_put_unsigned(&out, 5);
    }
    struct lwm2m_nodes nodes = decode(buffer_slice(&out), path_of("/3"), &good);
    assert_false(good);
    assert_string_equal(nodes.remark, "more values than are taken at once");
}

static void test_any_list_comes_back(void **state) {
    (void)state;
    static const char *const bases[] = {"/", "/3", "/3/0"};
    for (unsigned seed = 0; seed < 1000; seed++) {
        struct lwm2m_path base = path_of(bases[seed % 3]);
        struct lwm2m_node list[RANDOM_LIST_MIN];
        bool good;
        size_t count = random_list(seed, &base, list, RANDOM_LIST_MIN);
        struct lwm2m_nodes nodes = decode(encode(list, count, base, (enum cbor_time)(seed / 2 % 2)), base, &good);
        assert_true(good);
        if (!tells_the_same(list, count, &nodes))
            fail_msg("seed %u", seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_V_decode_and_encode_to_the_same_bytes),
        cmocka_unit_test(test_vectors_LC_LCB_R09_decode_and_encode_to_the_same_bytes),
        cmocka_unit_test(test_vectors_NB_are_taken_or_refused_as_wanted),
        cmocka_unit_test(test_FMT_03_vectors_cut_off_anywhere_are_refused),
        cmocka_unit_test(test_LC_01_LC_02_LCB_R01_LCB_R02_two_spellings_of_a_path),
        cmocka_unit_test(test_LC_04_device_instance),
        cmocka_unit_test(test_LC_06_LCB_R02_keys_of_several_lengths),
        cmocka_unit_test(test_LC_07_LC_08_LCB_R02_create),
        cmocka_unit_test(test_LC_10_LC_12_LCB_R03_indefinite_forms),
        cmocka_unit_test(test_LC_13_LCB_R04_an_empty_map_is_nothing),
        cmocka_unit_test(test_LCB_R05_ids),
        cmocka_unit_test(test_LCB_R05_LCB_R10_text_keys),
        cmocka_unit_test(test_LCB_R05_depth),
        cmocka_unit_test(test_LCB_R05_a_path_twice),
        cmocka_unit_test(test_LCB_R05_values_that_are_none),
        cmocka_unit_test(test_LCB_R07_null_is_nothing),
        cmocka_unit_test(test_a_path_outside_the_request),
        cmocka_unit_test(test_TYP_06_times),
        cmocka_unit_test(test_TYP_07_the_caller_says_how_a_time_is_written),
        cmocka_unit_test(test_LCB_R06_LCB_R09_resources),
        cmocka_unit_test(test_LCB_R07_what_is_empty_is_left_out),
        cmocka_unit_test(test_LC_08_the_client_may_choose_the_instance),
        cmocka_unit_test(test_what_can_not_be_told_is_refused),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_FMT_03_more_values_than_room),
        cmocka_unit_test(test_any_list_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
