#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/lwm2m/senml_cbor.h"
#include "common/lwm2m/text.h"
#include "common/lwm2m/value.h"
#include "tests/unit/lwm2m/node_lists.h"
#include "tests/unit/lwm2m/vectors.h"

enum { NODES = 64, BYTES = 16384 };

#define NOW_MS (INT64_C(1700000000) * 1000)

static struct lwm2m_node memory[NODES];
static uint8_t joined[BYTES], encoded[BYTES];
static struct senml_context context;

static int begin_test(void **state) {
    (void)state;
    context = (struct senml_context){.now_ms = NOW_MS};
    return 0;
}

static struct lwm2m_nodes decode(struct slice bytes, bool *good) {
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES);
    struct buffer scratch = buffer_over(joined, sizeof joined);
    *good = senml_cbor_decode(bytes, &context, &scratch, &nodes);
    assert_true(*good || nodes.remark != NULL);
    return nodes;
}

static bool refuses(const char *hex) {
    bool good;
    decode(bytes_of(hex), &good);
    return !good;
}

static struct lwm2m_nodes accepts(const char *hex) {
    bool good;
    struct lwm2m_nodes nodes = decode(bytes_of(hex), &good);
    if (!good)
        fail_msg("%s was refused: %s", hex, nodes.remark);
    return nodes;
}

static struct slice encode(const struct lwm2m_node *nodes, size_t count, enum cbor_time time) {
    struct buffer out = buffer_over(encoded, sizeof encoded);
    assert_true(senml_cbor_encode(nodes, count, &context, time, &out));
    return buffer_slice(&out);
}

static void assert_encodes(const struct lwm2m_node *nodes, size_t count, const char *hex) {
    if (!slice_equal(encode(nodes, count, CBOR_TIME_PLAIN), bytes_of(hex)))
        fail_msg("not %s", hex);
}

/* ---- vectors ---- */

static void test_vectors_V_decode_and_encode_to_the_same_bytes(void **state) {
    (void)state;
    struct vector *vectors, *texts;
    size_t count = vectors_load("V-", 112, &vectors);
    assert_int_equal(vectors_load("V-", 0, &texts), count);
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[64];
        struct buffer scratch = buffer_over(bytes, sizeof bytes);
        struct lwm2m_value expected;
        const char *remark;
        bool good;
        context.base = vectors[i].path;
        assert_true(lwm2m_text_decode(texts[i].bytes, vectors[i].type, &scratch, &expected, &remark));
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, &good);
        if (!good || nodes.count != 1 || !lwm2m_value_convert(&memory[0].value, vectors[i].type, NULL, &remark) ||
            !lwm2m_value_equal(&memory[0].value, &expected) ||
            !slice_equal(encode(memory, 1, CBOR_TIME_PLAIN), vectors[i].bytes))
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(texts, count);
    vectors_free(vectors, count);
}

static enum senml_mode mode_of(const struct vector *vector) {
    static const char *const fetches[] = {"SC-02", "ETCH-02"};
    for (size_t i = 0; i < sizeof fetches / sizeof fetches[0]; i++) {
        if (strcmp(vector->id, fetches[i]) == 0)
            return SENML_FETCH;
    }
    return strcmp(vector->id, "ETCH-04") == 0 ? SENML_PATCH : SENML_CONTENT;
}

/* SC-03 has a base name of one slash, which saves nothing: we write such a list as SC-05 is written. */
static bool is_another_form(const struct vector *vector) {
    return strcmp(vector->id, "SC-03") == 0;
}

static void decode_and_encode_all(const char *prefix, int cf) {
    struct vector *vectors;
    size_t count = vectors_load(prefix, cf, &vectors);
    for (size_t i = 0; i < count; i++) {
        bool good;
        context.base = vectors[i].path;
        context.mode = mode_of(&vectors[i]);
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, &good);
        if (!good)
            fail_msg("%s: %s", vectors[i].id, nodes.remark);
        if (slice_equal(encode(memory, nodes.count, CBOR_TIME_PLAIN), vectors[i].bytes) == is_another_form(&vectors[i]))
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

static void test_vectors_SC_decode_and_encode_to_the_same_bytes(void **state) {
    (void)state;
    decode_and_encode_all("SC-", 112);
}

static void test_vectors_ETCH_decode_and_encode_to_the_same_bytes(void **state) {
    (void)state;
    decode_and_encode_all("ETCH-", 322);
}

static void test_vectors_NS_are_taken_or_refused_as_wanted(void **state) {
    (void)state;
    struct vector *vectors;
    size_t count = vectors_load("NS-", 112, &vectors);
    for (size_t i = 0; i < count; i++) {
        const char *remark;
        bool good;
        context.base = vectors[i].path;
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, &good);
        if (good && nodes.count == 1)
            good = lwm2m_value_convert(&memory[0].value, vectors[i].type, NULL, &remark);
        if (good != vectors[i].accept)
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

static void cut_off_all(const char *prefix, int cf) {
    struct vector *vectors;
    size_t count = vectors_load(prefix, cf, &vectors);
    for (size_t i = 0; i < count; i++) {
        context.base = vectors[i].path;
        context.mode = mode_of(&vectors[i]);
        for (size_t len = 0; len < vectors[i].bytes.len; len++) {
            bool good;
            uint8_t *copy = exact_copy(slice_of(vectors[i].bytes.data, len));
            decode(slice_of(copy, len), &good);
            assert_false(good && vectors[i].accept);
            free(copy);
        }
    }
    vectors_free(vectors, count);
}

static void test_FMT_03_vectors_cut_off_anywhere_are_refused(void **state) {
    (void)state;
    cut_off_all("V-", 112);
    cut_off_all("SC-", 112);
    cut_off_all("NS-", 112);
    cut_off_all("ETCH-", 322);
}

/* ---- meanings ---- */

static void test_SC_01_device_instance(void **state) {
    (void)state;
    struct vector *vectors;
    bool good;
    size_t count = vectors_load("SC-01", 112, &vectors);
    context.base = path_of("/3/0");
    assert_int_equal(vectors[0].bytes.len, 196);
    struct lwm2m_nodes nodes = decode(vectors[0].bytes, &good);
    assert_true(good);
    assert_null(nodes.remark);
    assert_int_equal(nodes.count, 16);
    assert_node_is(&memory[0], "/3/0/0", lwm2m_string("Open Mobile Alliance"));
    assert_node_is(&memory[7], "/3/0/7/1", lwm2m_integer(5000));
    assert_node_is(&memory[12], "/3/0/11/0", lwm2m_integer(0));
    assert_node_is(&memory[13], "/3/0/13", lwm2m_integer(1367491215));
    assert_node_is(&memory[15], "/3/0/16", lwm2m_string("U"));
    vectors_free(vectors, count);
}

static void test_SC_02_SC_03_SC_05_composites(void **state) {
    (void)state;
    const struct lwm2m_value none = {.type = LWM2M_NONE};
    accepts("83a321612f0065312f302f32021865a20065312f302f3604f5a20066332f302f31330200");
    assert_node_is(&memory[0], "/1/0/2", lwm2m_integer(101));
    assert_node_is(&memory[1], "/1/0/6", lwm2m_boolean(true));
    assert_node_is(&memory[2], "/3/0/13", lwm2m_integer(0));
    accepts("82a200662f332f302f3902185fa2006c2f333330332f302f3537303002fa41b40000");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(95));
    assert_node_is(&memory[1], "/3303/0/5700", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 22.5});
    context.mode = SENML_FETCH;
    accepts("83a100662f332f302f30a100662f332f302f39a100662f312f302f31");
    assert_node_is(&memory[0], "/3/0/0", none);
    assert_node_is(&memory[1], "/3/0/9", none);
    assert_node_is(&memory[2], "/1/0/1", none);
}

static void test_SC_04_SML_R06_SML_R07_two_samples(void **state) {
    (void)state;
    context.base = path_of("/3303/0/5700");
    assert_int_equal(accepts("82a4216c2f333330332f302f35373030221a5f5e100002fa41a400000600a202fa41ac0000060a").count,
                     2);
    assert_node_is(&memory[0], "/3303/0/5700", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 20.5});
    assert_true(memory[0].has_time && memory[1].has_time);
    assert_int_equal(memory[0].time_ms, INT64_C(1600000000000));
    assert_int_equal(memory[1].time_ms, INT64_C(1600000010000));
}

static void test_ETCH_04_ETC_R02_null_removes(void **state) {
    (void)state;
    static const char pack[] = "81a2006e2f333434322f302f313131302f3102f6";
    assert_true(refuses(pack));
    context.mode = SENML_PATCH;
    accepts(pack);
    assert_node_is(&memory[0], "/3442/0/1110/1", (struct lwm2m_value){.type = LWM2M_NONE});
}

/* ---- decoding ---- */

#define NAMED "00662f332f302f39" /* n: /3/0/9 */

static void test_SML_R01_labels_and_kinds_of_values(void **state) {
    (void)state;
    accepts("81a2" NAMED "0205");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(5));
    accepts("81a2" NAMED "036161");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_string("a"));
    accepts("81a2" NAMED "04f4");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_boolean(false));
    accepts("81a2" NAMED "0841ff");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_bytes(LWM2M_OPAQUE, slice_str("\xff")));
    accepts("81a2" NAMED "63766c6f63313a32");
    assert_node_is(&memory[0], "/3/0/9", (struct lwm2m_value){.type = LWM2M_OBJLNK, .link = {1, 2}});
}

static void test_SML_R10_labels_without_use_here(void **state) {
    (void)state;
    /* bver 5, bu "W", bs 1, u "V", s 2.0, ut 3 */
    accepts("81a8" NAMED "0205"
            "2005"
            "236157"
            "2501"
            "016156"
            "05f94000"
            "0703");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(5));
}

static void test_SML_R09_base_value(void **state) {
    (void)state;
    accepts("81a3" NAMED "02052418"
            "64");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(105));
}

static void test_SML_R11_labels_that_are_not_known(void **state) {
    (void)state;
    accepts("81a3" NAMED "0205"
            "63666f6f"
            "82a1010203"); /* foo: [{1: 2}, 3] */
    accepts("81a4" NAMED "0205"
            "63666f6f01"
            "63626172"
            "5f4101ff");
    assert_true(refuses("81a3" NAMED "0205"
                        "64666f6f5f01"));
    assert_true(refuses("81a3" NAMED "0205"
                        "0901"));
    assert_true(refuses("81a3" NAMED "0205"
                        "2601"));
    assert_true(refuses("81a3" NAMED "0205"
                        "f501"));
    assert_true(refuses("81a3" NAMED "0205"
                        "1bffffffffffffffff01"));
    assert_true(refuses("81a3" NAMED "0205"
                        "820102"
                        "01"));
}

static void test_SML_R12_version(void **state) {
    (void)state;
    accepts("81a3" NAMED "0205200a");
    assert_true(refuses("81a3" NAMED "0205200b"));
    assert_true(refuses("81a3" NAMED "02052020"));
    assert_true(refuses("81a3" NAMED "0205206135"));
}

static void test_SML_R13_values_of_the_wrong_kind(void **state) {
    (void)state;
    static const char *const records[] = {
        NAMED "026135", NAMED "02f5",       NAMED "0241ff",       NAMED "0280",         NAMED "02a0", NAMED "02f7",
        NAMED "0305",   NAMED "0341ff",     NAMED "03f6",         NAMED "0401",         NAMED "04f6", NAMED "0805",
        NAMED "086161", NAMED "63766c6f05", NAMED "63766c6f6161", NAMED "63766c6f4101", "00050205",   "0041300205",
    };
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        char pack[128] = "81a2";
        strcat(pack, records[i]);
        if (!refuses(pack))
            fail_msg("%s", pack);
    }
    assert_true(refuses("81a3" NAMED "0205036161")); /* two values */
    assert_true(refuses("81a3" NAMED "02050206"));   /* the same label twice */
    assert_true(refuses("81a3" NAMED "0205066131")); /* t: text */
    assert_true(refuses("81a3" NAMED "0205226131")); /* bt: text */
    assert_true(refuses("81a3" NAMED "0205246131")); /* bv: text */
    assert_true(refuses("81a3" NAMED "02050101"));   /* u: number */
    assert_true(refuses("81a3" NAMED "02056163"));   /* cut off */
}

static void test_SML_R14_no_value(void **state) {
    (void)state;
    assert_true(refuses("81a1" NAMED));
    assert_true(refuses("81a0"));
}

static void test_SML_R17_any_width_and_indefinite_forms(void **state) {
    (void)state;
    accepts("9fbf" NAMED "1900021a00000005ffff");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(5));
    accepts("9b0000000000000001b90002"
            "1b0000000000000000"
            "7f632f332f63302f39ff"
            "0205");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(5));
    accepts("81a2"
            "0205" NAMED); /* name last */
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(5));
}

static void test_SML_R17_names_in_parts_stay_while_they_are_needed(void **state) {
    (void)state;
    /* bn in parts, then two records with n in parts */
    assert_int_equal(accepts("82"
                             "a3217f622f33632f302fff007f6139ff0205"
                             "a2007f61316130ff0206")
                         .count,
                     2);
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(5));
    assert_node_is(&memory[1], "/3/0/10", lwm2m_integer(6));
}

static void test_SML_R19_bytes_after_the_pack(void **state) {
    (void)state;
    assert_true(refuses("81a2" NAMED "020500"));
    assert_true(refuses("8000"));
}

static void test_a_pack_is_an_array_of_maps(void **state) {
    (void)state;
    assert_true(refuses(""));
    assert_true(refuses("a0"));
    assert_true(refuses("00"));
    assert_true(refuses("8180"));
    assert_true(refuses("8100"));
    assert_true(refuses("81f6"));
}

static void test_DM_32_an_empty_list_is_a_success(void **state) {
    (void)state;
    assert_int_equal(accepts("80").count, 0);
    assert_int_equal(accepts("9fff").count, 0);
    context.mode = SENML_FETCH;
    assert_true(refuses("80"));
}

static void test_ETC_R01_a_list_of_paths_has_names_only(void **state) {
    (void)state;
    context.mode = SENML_FETCH;
    accepts("81a1" NAMED);
    assert_true(refuses("81a2" NAMED "0205"));
    assert_true(refuses("81a2" NAMED "63666f6f01"));
    assert_true(refuses("81a2" NAMED "2005"));
}

static void test_TYP_05_TYP_06_TYP_07_oddities_are_told(void **state) {
    (void)state;
    assert_non_null(accepts("81a2" NAMED "02f97e00").remark);
    accepts("81a2" NAMED "02c11a5182428f");
    assert_node_is(&memory[0], "/3/0/9", lwm2m_time(1367491215));
    accepts("81a2" NAMED "02c482201864");
    assert_node_is(&memory[0], "/3/0/9", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 10});
}

/* ---- encoding ---- */

static void test_TYP_07_the_caller_says_how_a_time_is_written(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/3442/0/160", lwm2m_time(1367491215));
    context.base = node.path;
    assert_true(slice_equal(encode(&node, 1, CBOR_TIME_PLAIN), bytes_of("81a2216b2f333434322f302f313630021a5182428f")));
    assert_true(
        slice_equal(encode(&node, 1, CBOR_TIME_TAGGED), bytes_of("81a2216b2f333434322f302f31363002c11a5182428f")));
}

static void test_SML_R07_times_with_a_fraction(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/3/0/9", lwm2m_integer(5));
    context.base = node.path;
    node.has_time = true;
    node.time_ms = INT64_C(1600000000500);
    assert_encodes(&node, 1,
                   "81a421662f332f302f3922fb41d7d78400200000"
                   "02050600");
}

static void test_SML_R05_the_alternate_path_is_written(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/3/0/9", lwm2m_integer(5));
    context.root = slice_str("/lwm2m");
    assert_encodes(&node, 1, "81a2006c2f6c776d326d2f332f302f390205");
    context.base = path_of("/3/0");
    assert_encodes(&node, 1, "81a3216b2f6c776d326d2f332f302f0061390205");
}

static void test_what_is_empty_is_an_empty_list(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/3/0/11", (struct lwm2m_value){.type = LWM2M_NONE});
    context.base = path_of("/3/0");
    assert_encodes(&node, 1, "80");
    assert_encodes(NULL, 0, "80");
}

static void test_what_can_not_be_told_or_does_not_fit_is_refused(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/3/0/0", lwm2m_string("\xff"));
    struct buffer out = buffer_over(encoded, sizeof encoded);
    assert_false(senml_cbor_encode(&node, 1, &context, CBOR_TIME_PLAIN, &out));
    node.value = lwm2m_string("abc");
    for (size_t cap = 0; cap < 15; cap++) {
        out = buffer_over(encoded, cap);
        assert_false(senml_cbor_encode(&node, 1, &context, CBOR_TIME_PLAIN, &out));
    }
    out = buffer_over(encoded, 15);
    assert_true(senml_cbor_encode(&node, 1, &context, CBOR_TIME_PLAIN, &out));
}

static void test_any_list_comes_back(void **state) {
    (void)state;
    static const char *const bases[] = {"/", "/3", "/3/0"};
    for (unsigned seed = 0; seed < 1000; seed++) {
        struct lwm2m_node list[RANDOM_LIST_MIN];
        bool good;
        context.base = path_of(bases[seed % 3]);
        context.root = seed % 2 == 0 ? SLICE_NONE : slice_str("/root");
        size_t count = random_list(seed, &context.base, list, RANDOM_LIST_MIN);
        for (size_t i = 0; seed % 5 == 0 && i < count; i++) {
            list[i].has_time = true;
            list[i].time_ms = NOW_MS - (int64_t)(seed * i * 77);
        }
        struct lwm2m_nodes nodes = decode(encode(list, count, (enum cbor_time)(seed / 2 % 2)), &good);
        assert_true(good);
        if (!tells_the_same(list, count, &nodes))
            fail_msg("seed %u", seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_vectors_V_decode_and_encode_to_the_same_bytes, begin_test),
        cmocka_unit_test_setup(test_vectors_SC_decode_and_encode_to_the_same_bytes, begin_test),
        cmocka_unit_test_setup(test_vectors_ETCH_decode_and_encode_to_the_same_bytes, begin_test),
        cmocka_unit_test_setup(test_vectors_NS_are_taken_or_refused_as_wanted, begin_test),
        cmocka_unit_test_setup(test_FMT_03_vectors_cut_off_anywhere_are_refused, begin_test),
        cmocka_unit_test_setup(test_SC_01_device_instance, begin_test),
        cmocka_unit_test_setup(test_SC_02_SC_03_SC_05_composites, begin_test),
        cmocka_unit_test_setup(test_SC_04_SML_R06_SML_R07_two_samples, begin_test),
        cmocka_unit_test_setup(test_ETCH_04_ETC_R02_null_removes, begin_test),
        cmocka_unit_test_setup(test_SML_R01_labels_and_kinds_of_values, begin_test),
        cmocka_unit_test_setup(test_SML_R10_labels_without_use_here, begin_test),
        cmocka_unit_test_setup(test_SML_R09_base_value, begin_test),
        cmocka_unit_test_setup(test_SML_R11_labels_that_are_not_known, begin_test),
        cmocka_unit_test_setup(test_SML_R12_version, begin_test),
        cmocka_unit_test_setup(test_SML_R13_values_of_the_wrong_kind, begin_test),
        cmocka_unit_test_setup(test_SML_R14_no_value, begin_test),
        cmocka_unit_test_setup(test_SML_R17_any_width_and_indefinite_forms, begin_test),
        cmocka_unit_test_setup(test_SML_R17_names_in_parts_stay_while_they_are_needed, begin_test),
        cmocka_unit_test_setup(test_SML_R19_bytes_after_the_pack, begin_test),
        cmocka_unit_test_setup(test_a_pack_is_an_array_of_maps, begin_test),
        cmocka_unit_test_setup(test_DM_32_an_empty_list_is_a_success, begin_test),
        cmocka_unit_test_setup(test_ETC_R01_a_list_of_paths_has_names_only, begin_test),
        cmocka_unit_test_setup(test_TYP_05_TYP_06_TYP_07_oddities_are_told, begin_test),
        cmocka_unit_test_setup(test_TYP_07_the_caller_says_how_a_time_is_written, begin_test),
        cmocka_unit_test_setup(test_SML_R07_times_with_a_fraction, begin_test),
        cmocka_unit_test_setup(test_SML_R05_the_alternate_path_is_written, begin_test),
        cmocka_unit_test_setup(test_what_is_empty_is_an_empty_list, begin_test),
        cmocka_unit_test_setup(test_what_can_not_be_told_or_does_not_fit_is_refused, begin_test),
        cmocka_unit_test_setup(test_any_list_comes_back, begin_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
