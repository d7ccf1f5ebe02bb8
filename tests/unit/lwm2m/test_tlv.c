#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "common/lwm2m/text.h"
#include "common/lwm2m/tlv.h"
#include "tests/unit/lwm2m/vectors.h"

enum { NODES = 64, BYTES = 70000 };

static struct lwm2m_node memory[NODES];
static uint8_t encoded[BYTES];

static struct lwm2m_path path_of(const char *text) {
    struct lwm2m_path path;
    assert_true(lwm2m_path_parse(slice_str(text), &path, NULL));
    return path;
}

static struct lwm2m_nodes decode(struct slice bytes, struct lwm2m_path base, bool *good) {
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES);
    *good = tlv_decode(bytes, &base, &nodes);
    assert_true(*good || nodes.remark != NULL);
    return nodes;
}

static struct slice from_hex(const char *hex) {
    static uint8_t bytes[512];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(text_get_hex(slice_str(hex), &out));
    return buffer_slice(&out);
}

static bool refuses(const char *path, const char *hex) {
    bool good;
    decode(from_hex(hex), path_of(path), &good);
    return !good;
}

static struct lwm2m_nodes accepts(const char *path, const char *hex) {
    bool good;
    struct lwm2m_nodes nodes = decode(from_hex(hex), path_of(path), &good);
    if (!good)
        fail_msg("%s at %s was refused: %s", hex, path, nodes.remark);
    return nodes;
}

static struct slice encode(const struct lwm2m_node *nodes, size_t count, const char *base) {
    struct lwm2m_path path = path_of(base);
    struct buffer out = buffer_over(encoded, sizeof encoded);
    assert_true(tlv_encode(nodes, count, &path, &out));
    return buffer_slice(&out);
}

static void assert_encodes(const struct lwm2m_node *nodes, size_t count, const char *base, const char *hex) {
    struct slice bytes = encode(nodes, count, base);
    if (!slice_equal(bytes, from_hex(hex)))
        fail_msg("not %s", hex);
}

static struct lwm2m_node node(const char *path, struct lwm2m_value value) {
    return (struct lwm2m_node){.path = path_of(path), .value = value};
}

static const struct lwm2m_value none = {.type = LWM2M_NONE};

static void assert_node(const struct lwm2m_node *got, const char *path, enum lwm2m_type type) {
    struct lwm2m_path expected = path_of(path);
    assert_true(lwm2m_path_equal(&got->path, &expected));
    assert_int_equal(got->value.type, type);
}

/* ---- vectors ---- */

static void test_vectors_V_have_the_value_that_their_text_has(void **state) {
    (void)state;
    struct vector *tlv, *texts;
    size_t count = vectors_load("V-", 11542, &tlv);
    assert_int_equal(vectors_load("V-", 0, &texts), count);
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[64];
        struct buffer scratch = buffer_over(bytes, sizeof bytes);
        struct lwm2m_value expected, value;
        const char *remark;
        bool good;
        assert_true(lwm2m_text_decode(texts[i].bytes, tlv[i].type, &scratch, &expected, &remark));
        struct lwm2m_nodes nodes = decode(tlv[i].bytes, tlv[i].path, &good);
        if (!good || nodes.count != 1 || !tlv_value_decode(memory[0].value.bytes, tlv[i].type, &value, &remark) ||
            !lwm2m_value_equal(&value, &expected))
            fail_msg("%s", tlv[i].id);
    }
    vectors_free(texts, count);
    vectors_free(tlv, count);
}

static void test_vectors_V_are_encoded_to_these_bytes(void **state) {
    (void)state;
    struct vector *tlv, *texts;
    size_t count = vectors_load("V-", 11542, &tlv);
    assert_int_equal(vectors_load("V-", 0, &texts), count);
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[64];
        struct buffer scratch = buffer_over(bytes, sizeof bytes), out = buffer_over(encoded, sizeof encoded);
        struct lwm2m_node value = {.path = tlv[i].path};
        const char *remark;
        assert_true(lwm2m_text_decode(texts[i].bytes, tlv[i].type, &scratch, &value.value, &remark));
        if (!tlv_encode(&value, 1, &tlv[i].path, &out) || !slice_equal(buffer_slice(&out), tlv[i].bytes))
            fail_msg("%s", tlv[i].id);
    }
    vectors_free(texts, count);
    vectors_free(tlv, count);
}

static bool comes_back(const struct vector *vector) {
    bool good;
    struct buffer out = buffer_over(encoded, sizeof encoded);
    struct lwm2m_nodes nodes = decode(vector->bytes, vector->path, &good);
    return good && tlv_encode(memory, nodes.count, &vector->path, &out) &&
           slice_equal(buffer_slice(&out), vector->bytes);
}

static void test_vectors_TLV_decode_and_encode_to_the_same_bytes(void **state) {
    (void)state;
    struct vector *vectors;
    size_t count = vectors_load("TLV-", 11542, &vectors);
    for (size_t i = 0; i < count; i++) {
        bool is_misprint = strcmp(vectors[i].id, "TLV-19") == 0, has_no_id = strcmp(vectors[i].id, "TLV-21") == 0;
        if (comes_back(&vectors[i]) == (is_misprint || has_no_id))
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

static void test_vectors_NL_are_taken_or_refused_as_wanted(void **state) {
    (void)state;
    struct vector *vectors;
    size_t count = vectors_load("NL-", 11542, &vectors);
    for (size_t i = 0; i < count; i++) {
        struct lwm2m_value value;
        const char *remark;
        bool good;
        struct lwm2m_nodes nodes = decode(vectors[i].bytes, vectors[i].path, &good);
        if (good && nodes.count == 1 && memory[0].value.type == LWM2M_RAW)
            good = tlv_value_decode(memory[0].value.bytes, vectors[i].type, &value, &remark);
        if (good != vectors[i].accept)
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

/* ---- encoding ---- */

static void assert_header(size_t len, const char *path, const char *hex) {
    struct slice header = from_hex(hex);
    uint8_t *text = calloc(1, len + 1);
    assert_non_null(text);
    struct lwm2m_node value = node(path, lwm2m_bytes(LWM2M_OPAQUE, slice_of(text, len)));
    struct slice bytes = encode(&value, 1, path);
    assert_int_equal(bytes.len, header.len + len);
    assert_memory_equal(bytes.data, header.data, header.len);
    free(text);
}

/* Bits 7 and 6: the kind; 5: an id of two bytes; 4 and 3: how many bytes the length has; 2 to 0: the length itself. */
static void test_TLV_R01_bits_of_the_type(void **state) {
    (void)state;
    static const struct {
        const char *hex, *base, *path;
    } cases[] = {
        {"0300c10005", "/3", "/3/0/0"},           /* an object instance of 3 bytes */
        {"8603410005410106", "/3/0", "/3/0/3/0"}, /* a multiple resource of two instances */
        {"410005", "/3/0/7", "/3/0/7/0"},         /* a resource instance */
        {"c10005", "/3/0", "/3/0/0"},             /* a resource */
        {"e1000005", "/3/0", "/3/0/0"},           /* an id of two bytes */
        {"c8000105", "/3/0", "/3/0/0"},           /* a length of one byte */
        {"d000000105", "/3/0", "/3/0/0"},         /* of two */
        {"d80000000105", "/3/0", "/3/0/0"},       /* of three */
        {"f8000000000105", "/3/0", "/3/0/0"},     /* both */
        {"cf000105", "/3/0", "/3/0/0"},           /* bits 2 to 0 mean nothing beside a length */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lwm2m_nodes nodes = accepts(cases[i].base, cases[i].hex);
        assert_true(nodes.count > 0);
        assert_node(&nodes.nodes[0], cases[i].path, LWM2M_RAW);
        assert_int_equal(nodes.nodes[0].value.bytes.len, 1);
        assert_int_equal(nodes.nodes[0].value.bytes.data[0], 5);
    }
}

static void test_an_instance_without_an_id_is_told_by_its_resources_alone(void **state) {
    (void)state;
    struct lwm2m_node value = node("/2/0/3", lwm2m_integer(101));
    struct lwm2m_path object = path_of("/2"), instance = lwm2m_path_child(&object, LWM2M_ID_NONE);
    struct buffer out = buffer_over(encoded, sizeof encoded);
    value.path.ids[1] = LWM2M_ID_NONE;
    assert_false(tlv_encode(&value, 1, &object, &out));
    out.len = 0;
    assert_true(tlv_encode(&value, 1, &instance, &out));
    assert_true(slice_equal(buffer_slice(&out), from_hex("c10365")));
}

static void test_TLV_R02_shortest_form(void **state) {
    (void)state;
    assert_header(0, "/5/0/0", "c000");
    assert_header(7, "/5/0/0", "c700");
    assert_header(8, "/5/0/0", "c80008");
    assert_header(255, "/5/0/0", "c800ff");
    assert_header(256, "/5/0/0", "d0000100");
    assert_header(65535, "/5/0/0", "d000ffff");
    assert_header(65536, "/5/0/0", "d800010000");
    assert_header(1, "/5/0/255", "c1ff");
    assert_header(1, "/5/0/256", "e10100");
}

static void test_TLV_R04_only_the_object_level_wraps_instances(void **state) {
    (void)state;
    struct lwm2m_node value = node("/1/0/0", lwm2m_integer(1));
    assert_encodes(&value, 1, "/1", "0300c10001");
    assert_encodes(&value, 1, "/1/0", "c10001");
    assert_encodes(&value, 1, "/1/0/0", "c10001");
}

static void test_TLV_R05_multiple_resource_without_instances(void **state) {
    (void)state;
    struct lwm2m_node empty = node("/3/0/11", none);
    assert_encodes(&empty, 1, "/3/0/11", "800b");
    assert_encodes(&empty, 1, "/3/0", "800b");
    assert_encodes(&empty, 1, "/3", "0200800b");
}

static void test_empty_object_and_instance_are_no_bytes(void **state) {
    (void)state;
    struct lwm2m_node object = node("/2", none), instance = node("/2/5", none);
    assert_int_equal(encode(&object, 1, "/2").len, 0);
    assert_int_equal(encode(&instance, 1, "/2/5").len, 0);
    assert_encodes(&instance, 1, "/2", "0005");
}

static bool encodes(const struct lwm2m_node *nodes, size_t count, const char *base) {
    struct lwm2m_path path = path_of(base);
    struct buffer out = buffer_over(encoded, sizeof encoded);
    return tlv_encode(nodes, count, &path, &out);
}

static void test_what_is_no_content_is_refused(void **state) {
    (void)state;
    struct lwm2m_node above = node("/3/0", lwm2m_integer(1)), outside = node("/4/0/0", lwm2m_integer(1)),
                      value = node("/3/0/9", lwm2m_integer(1));
    struct lwm2m_node twice[] = {value, value}, mixed[] = {value, node("/3/0/9/0", lwm2m_integer(1))};
    assert_false(encodes(&above, 1, "/3"));
    assert_false(encodes(&outside, 1, "/3"));
    assert_false(encodes(&value, 1, "/"));
    assert_false(encodes(twice, 2, "/3/0"));
    assert_false(encodes(mixed, 2, "/3/0"));
}

static void test_what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct lwm2m_path path = path_of("/3/0/0");
    struct lwm2m_node value = node("/3/0/0", lwm2m_string("abcdef"));
    uint8_t bytes[7];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_false(tlv_encode(&value, 1, &path, &out));
}

static void test_TYP_04_float32_when_exact(void **state) {
    (void)state;
    struct lwm2m_node exact = node("/3303/0/5700", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 22.5}),
                      inexact = node("/3442/0/130", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 0.1});
    assert_encodes(&exact, 1, "/3303/0/5700", "e4164441b40000");
    assert_encodes(&inexact, 1, "/3442/0/130", "c882083fb999999999999a");
}

static void test_TYP_08_unsigned_with_a_clear_top_bit(void **state) {
    (void)state;
    static const struct {
        uint64_t number;
        const char *hex;
    } cases[] = {
        {127, "c17d7f"}, {200, "c27d00c8"}, {40000, "c47d00009c40"}, {UINT64_C(1) << 63, "c87d088000000000000000"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lwm2m_node value =
            node("/3442/0/125", (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = cases[i].number});
        assert_encodes(&value, 1, "/3442/0/125", cases[i].hex);
    }
}

/* ---- decoding ---- */

static void test_TLV_01_device_instance(void **state) {
    (void)state;
    struct vector *vectors;
    struct lwm2m_value value;
    const char *remark;
    bool good;
    size_t count = vectors_load("TLV-01", 11542, &vectors);
    struct lwm2m_nodes nodes = decode(vectors[0].bytes, vectors[0].path, &good);
    assert_true(good);
    assert_int_equal(nodes.count, 16);
    assert_node(&memory[0], "/3/0/0", LWM2M_RAW);
    assert_true(slice_is(memory[0].value.bytes, "Open Mobile Alliance"));
    assert_node(&memory[7], "/3/0/7/1", LWM2M_RAW);
    assert_true(tlv_value_decode(memory[7].value.bytes, LWM2M_INTEGER, &value, &remark));
    assert_int_equal(value.integer, 5000);
    assert_node(&memory[13], "/3/0/13", LWM2M_RAW);
    assert_true(tlv_value_decode(memory[13].value.bytes, LWM2M_TIME, &value, &remark));
    assert_int_equal(value.integer, 1367491215);
    vectors_free(vectors, count);
}

static void test_TLV_R03_any_legal_width(void **state) {
    (void)state;
    accepts("/3/0/5", "e1000507");
    accepts("/3/0/5", "d0050001ff");
    accepts("/3/0/5", "d805000001ff");
    accepts("/3/0/5", "cf0501ff");
}

static void test_TLV_R04_wrapper_at_instance_level_is_let_pass(void **state) {
    (void)state;
    struct lwm2m_nodes nodes = accepts("/1/0", "0300c10001");
    assert_int_equal(nodes.count, 1);
    assert_node(&memory[0], "/1/0/0", LWM2M_RAW);
    assert_true(refuses("/1/0", "0301c10001"));
    assert_true(refuses("/1/0", "0300c100010300c10001"));
}

static void test_TLV_R05_R06_empty_things_are_nodes_without_value(void **state) {
    (void)state;
    assert_int_equal(accepts("/3/0", "800b").count, 1);
    assert_node(&memory[0], "/3/0/11", LWM2M_NONE);
    assert_int_equal(accepts("/2", "").count, 1);
    assert_node(&memory[0], "/2", LWM2M_NONE);
    assert_int_equal(accepts("/2", "0005").count, 1);
    assert_node(&memory[0], "/2/5", LWM2M_NONE);
    assert_int_equal(accepts("/2/5", "").count, 1);
    assert_node(&memory[0], "/2/5", LWM2M_NONE);
}

static void test_TLV_R06_nesting(void **state) {
    (void)state;
    assert_true(refuses("/3", "4100ff"));       /* a resource instance in an object */
    assert_true(refuses("/3", "020000c0"));     /* an instance in an instance */
    assert_true(refuses("/3", "03004100ff"));   /* a resource instance in an instance */
    assert_true(refuses("/3/0", "8300c10001")); /* a resource in a multiple resource */
    assert_true(refuses("/3/0", "82008000"));   /* a multiple resource in itself */
    assert_true(refuses("/3/0/0", "0300c10001"));
    assert_true(refuses("/3/0/7/1", "c101ff"));
}

static void test_TLV_R07_lengths_and_trailing_bytes(void **state) {
    (void)state;
    assert_true(refuses("/3/0/0", ""));
    assert_true(refuses("/3/0/0", "c1"));
    assert_true(refuses("/3/0/0", "e100"));
    assert_true(refuses("/3/0/0", "c800"));
    assert_true(refuses("/3/0/0", "d800ffff"));
    assert_true(refuses("/3/0/0", "c200ff"));
    assert_true(refuses("/3/0/0", "c100ff00"));
    assert_true(refuses("/3/0", "c100ff00"));
    assert_true(refuses("/3", "0400c100ff00"));
    assert_true(refuses("/3/0/7/1", "41010100"));
}

static void test_TLV_R07_id_65535(void **state) {
    (void)state;
    assert_true(refuses("/3", "20ffff"));
    assert_true(refuses("/3/0", "e1ffff01"));
    accepts("/3/0", "e1fffe01");
}

static void test_TLV_R07_ids_that_come_twice(void **state) {
    (void)state;
    assert_true(refuses("/3", "00000000"));
    assert_true(refuses("/3/0", "c10001c10002"));
    assert_true(refuses("/3/0", "c10001e1000002"));
    assert_true(refuses("/3/0/7", "8607410001410002"));
    accepts("/1", "0300c100010301c10001");   /* the same resource of two instances */
    accepts("/3/0", "83064100018307410001"); /* the same index in two resources */
}

static void test_TLV_R08_create_without_instance_id(void **state) {
    (void)state;
    static const char body[] = "c10005c101008302416600c10365";
    struct lwm2m_path base = {.ids = {2, LWM2M_ID_NONE}, .len = 2};
    bool good;
    assert_true(refuses("/2", body));
    struct lwm2m_nodes nodes = decode(from_hex(body), base, &good);
    assert_true(good);
    assert_int_equal(nodes.count, 4);
    assert_int_equal(memory[2].path.ids[1], LWM2M_ID_NONE);
    assert_int_equal(memory[2].path.ids[3], 102);
}

static void test_TLV_R09_resource_instances_alone(void **state) {
    (void)state;
    assert_int_equal(accepts("/3/0/7", "42011388").count, 1);
    assert_node(&memory[0], "/3/0/7/1", LWM2M_RAW);
}

static void test_TLV_R10_one_NUL_byte_is_a_value(void **state) {
    (void)state;
    accepts("/5/0/0", "c10000");
    assert_int_equal(memory[0].value.bytes.len, 1);
    accepts("/5/0/1", "c001");
    assert_int_equal(memory[0].value.bytes.len, 0);
    assert_int_equal(memory[0].value.type, LWM2M_RAW);
}

static void test_FMT_03_more_values_than_room(void **state) {
    (void)state;
    uint8_t bytes[(NODES + 1) * 2];
    struct lwm2m_path base = path_of("/3/0");
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES);
    for (size_t i = 0; i <= NODES; i++) {
        bytes[2 * i] = 0xc0;
        bytes[2 * i + 1] = (uint8_t)i;
    }
    assert_false(tlv_decode(slice_of(bytes, sizeof bytes), &base, &nodes));
    assert_true(tlv_decode(slice_of(bytes, sizeof bytes - 2), &base, &nodes));
    assert_int_equal(nodes.count, NODES);
}

static bool reads(const char *hex, enum lwm2m_type type, struct lwm2m_value *value) {
    const char *remark;
    return tlv_value_decode(from_hex(hex), type, value, &remark);
}

static void test_TYP_08_unsigned_is_read_as_such(void **state) {
    (void)state;
    struct lwm2m_value value;
    assert_true(reads("c8", LWM2M_UNSIGNED, &value));
    assert_int_equal(value.natural, 200);
    assert_true(reads("ffffffffffffffff", LWM2M_UNSIGNED, &value));
    assert_true(value.natural == UINT64_MAX);
}

static void test_TYP_13_integers_have_1_2_4_or_8_bytes(void **state) {
    (void)state;
    struct lwm2m_value value;
    assert_true(reads("ff", LWM2M_INTEGER, &value) && value.integer == -1);
    assert_true(reads("ff7f", LWM2M_INTEGER, &value) && value.integer == -129);
    assert_true(reads("80000000", LWM2M_INTEGER, &value) && value.integer == INT32_MIN);
    assert_true(reads("8000000000000000", LWM2M_TIME, &value) && value.integer == INT64_MIN);
    static const char *const faults[] = {
        "", "000000", "0000000000", "000000000000", "00000000000000", "000000000000000000"};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        assert_false(reads(faults[i], LWM2M_INTEGER, &value));
        assert_false(reads(faults[i], LWM2M_UNSIGNED, &value));
    }
}

static void test_TYP_14_booleans(void **state) {
    (void)state;
    struct lwm2m_value value;
    assert_true(reads("01", LWM2M_BOOLEAN, &value) && value.truth);
    assert_true(reads("00", LWM2M_BOOLEAN, &value) && !value.truth);
    assert_false(reads("", LWM2M_BOOLEAN, &value));
    assert_false(reads("0001", LWM2M_BOOLEAN, &value));
}

static void test_TYP_05_NaN_is_read_and_told(void **state) {
    (void)state;
    struct lwm2m_value value;
    const char *remark;
    assert_true(tlv_value_decode(from_hex("7fc00000"), LWM2M_FLOAT, &value, &remark));
    assert_true(isnan(value.real));
    assert_non_null(remark);
    assert_true(tlv_value_decode(from_hex("40200000"), LWM2M_FLOAT, &value, &remark));
    assert_null(remark);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_V_have_the_value_that_their_text_has),
        cmocka_unit_test(test_vectors_V_are_encoded_to_these_bytes),
        cmocka_unit_test(test_vectors_TLV_decode_and_encode_to_the_same_bytes),
        cmocka_unit_test(test_vectors_NL_are_taken_or_refused_as_wanted),
        cmocka_unit_test(test_TLV_R01_bits_of_the_type),
        cmocka_unit_test(test_an_instance_without_an_id_is_told_by_its_resources_alone),
        cmocka_unit_test(test_TLV_R02_shortest_form),
        cmocka_unit_test(test_TLV_R04_only_the_object_level_wraps_instances),
        cmocka_unit_test(test_TLV_R05_multiple_resource_without_instances),
        cmocka_unit_test(test_empty_object_and_instance_are_no_bytes),
        cmocka_unit_test(test_what_is_no_content_is_refused),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_TYP_04_float32_when_exact),
        cmocka_unit_test(test_TYP_08_unsigned_with_a_clear_top_bit),
        cmocka_unit_test(test_TLV_01_device_instance),
        cmocka_unit_test(test_TLV_R03_any_legal_width),
        cmocka_unit_test(test_TLV_R04_wrapper_at_instance_level_is_let_pass),
        cmocka_unit_test(test_TLV_R05_R06_empty_things_are_nodes_without_value),
        cmocka_unit_test(test_TLV_R06_nesting),
        cmocka_unit_test(test_TLV_R07_lengths_and_trailing_bytes),
        cmocka_unit_test(test_TLV_R07_id_65535),
        cmocka_unit_test(test_TLV_R07_ids_that_come_twice),
        cmocka_unit_test(test_TLV_R08_create_without_instance_id),
        cmocka_unit_test(test_TLV_R09_resource_instances_alone),
        cmocka_unit_test(test_TLV_R10_one_NUL_byte_is_a_value),
        cmocka_unit_test(test_FMT_03_more_values_than_room),
        cmocka_unit_test(test_TYP_08_unsigned_is_read_as_such),
        cmocka_unit_test(test_TYP_13_integers_have_1_2_4_or_8_bytes),
        cmocka_unit_test(test_TYP_14_booleans),
        cmocka_unit_test(test_TYP_05_NaN_is_read_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
