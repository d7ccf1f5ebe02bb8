#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "common/lwm2m/cbor.h"
#include "common/lwm2m/text.h"
#include "tests/unit/lwm2m/node_lists.h"
#include "tests/unit/lwm2m/vectors.h"

enum { BYTES = 512 };

static uint8_t joined[BYTES], encoded[BYTES];
static const char *remark;

static bool decode(struct slice bytes, enum lwm2m_type type, struct lwm2m_value *value) {
    struct buffer scratch = buffer_over(joined, sizeof joined);
    bool good = cbor_value_decode(bytes, type, &scratch, value, &remark);
    assert_true(good || remark != NULL);
    return good;
}

static struct lwm2m_value read(const char *hex, enum lwm2m_type type) {
    struct lwm2m_value value;
    if (!decode(bytes_of(hex), type, &value))
        fail_msg("%s: %s", hex, remark);
    return value;
}

static bool refuses(const char *hex, enum lwm2m_type type) {
    struct lwm2m_value value;
    return !decode(bytes_of(hex), type, &value);
}

static void assert_encodes(struct lwm2m_value value, enum cbor_time time, const char *hex) {
    struct buffer out = buffer_over(encoded, sizeof encoded);
    assert_true(cbor_value_encode(&value, time, &out));
    if (!slice_equal(buffer_slice(&out), bytes_of(hex)))
        fail_msg("not %s", hex);
}

/* ---- vectors ---- */

static void test_vectors_V_decode_and_encode_to_the_same_bytes(void **state) {
    (void)state;
    struct vector *vectors, *texts;
    size_t count = vectors_load("V-", 60, &vectors);
    assert_int_equal(vectors_load("V-", 0, &texts), count);
    for (size_t i = 0; i < count; i++) {
        uint8_t memory[64];
        struct buffer scratch = buffer_over(memory, sizeof memory), out = buffer_over(encoded, sizeof encoded);
        struct lwm2m_value expected, value;
        assert_true(lwm2m_text_decode(texts[i].bytes, vectors[i].type, &scratch, &expected, &remark));
        if (!decode(vectors[i].bytes, vectors[i].type, &value) || !lwm2m_value_equal(&value, &expected) ||
            !cbor_value_encode(&value, CBOR_TIME_TAGGED, &out) || !slice_equal(buffer_slice(&out), vectors[i].bytes))
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(texts, count);
    vectors_free(vectors, count);
}

static void test_vectors_NC_are_taken_or_refused_as_wanted(void **state) {
    (void)state;
    struct vector *vectors;
    size_t count = vectors_load("NC-", 60, &vectors);
    for (size_t i = 0; i < count; i++) {
        struct lwm2m_value value;
        if (decode(vectors[i].bytes, vectors[i].type, &value) != vectors[i].accept)
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

static void test_FMT_03_vectors_cut_off_anywhere_are_refused(void **state) {
    (void)state;
    static const char *const prefixes[] = {"V-", "NC-"};
    for (size_t p = 0; p < 2; p++) {
        struct vector *vectors;
        size_t count = vectors_load(prefixes[p], 60, &vectors);
        for (size_t i = 0; i < count; i++) {
            for (size_t len = 0; len < vectors[i].bytes.len; len++) {
                struct lwm2m_value value;
                uint8_t *copy = exact_copy(slice_of(vectors[i].bytes.data, len));
                assert_false(decode(slice_of(copy, len), vectors[i].type, &value) && vectors[i].accept);
                free(copy);
            }
        }
        vectors_free(vectors, count);
    }
}

/* ---- decoding ---- */

static void test_CB6_R01_exactly_one_item(void **state) {
    (void)state;
    assert_true(refuses("", LWM2M_INTEGER));
    assert_true(refuses("0101", LWM2M_INTEGER));
    assert_true(refuses("01ff", LWM2M_INTEGER));
    assert_true(refuses("a0", LWM2M_RAW));
    assert_true(refuses("f6", LWM2M_RAW));
    assert_true(refuses("f7", LWM2M_RAW));
    assert_true(refuses("f0", LWM2M_RAW));
}

static void test_CB6_R01_tags_that_do_not_matter_are_passed_over(void **state) {
    (void)state;
    assert_int_equal(read("d9d9f705", LWM2M_INTEGER).integer, 5);
    assert_true(slice_is(read("d8206161", LWM2M_STRING).bytes, "a"));
}

static void test_TYP_01_a_type_that_is_not_known_is_told_by_the_format(void **state) {
    (void)state;
    assert_int_equal(read("05", LWM2M_RAW).type, LWM2M_INTEGER);
    assert_int_equal(read("1b8000000000000000", LWM2M_RAW).type, LWM2M_UNSIGNED);
    assert_int_equal(read("f93c00", LWM2M_RAW).type, LWM2M_FLOAT);
    assert_int_equal(read("f5", LWM2M_RAW).type, LWM2M_BOOLEAN);
    assert_int_equal(read("60", LWM2M_RAW).type, LWM2M_STRING);
    assert_int_equal(read("40", LWM2M_RAW).type, LWM2M_OPAQUE);
    assert_int_equal(read("c100", LWM2M_RAW).type, LWM2M_TIME);
    assert_true(refuses("6161", LWM2M_OPAQUE));
    assert_true(refuses("4161", LWM2M_STRING));
}

static void test_TYP_02_what_has_more_than_64_bits_is_refused(void **state) {
    (void)state;
    assert_true(refuses("3b8000000000000000", LWM2M_INTEGER));
    assert_true(refuses("1b8000000000000000", LWM2M_INTEGER));
    assert_true(read("1b8000000000000000", LWM2M_UNSIGNED).natural == UINT64_C(1) << 63);
}

static void test_TYP_05_not_a_number_is_let_pass_and_told(void **state) {
    (void)state;
    assert_true(isnan(read("f97e00", LWM2M_FLOAT).real));
    assert_non_null(remark);
    assert_true(isinf(read("faff800000", LWM2M_FLOAT).real));
    assert_non_null(remark);
}

static void test_TYP_06_every_form_of_a_time(void **state) {
    (void)state;
    static const struct {
        const char *hex;
        int64_t unix_s;
    } cases[] = {
        {"1a5182428f", 1367491215},
        {"20", -1},
        {"c11a5182428f", 1367491215},
        {"c120", -1},
        {"c1fb41d46090a3c00000", 1367491215},
        {"fb41d46090a3c00000", 1367491215},
        {"c074323031332d30352d30325431303a34303a31355a", 1367491215},             /* 2013-05-02T10:40:15Z */
        {"c07819323031332d30352d30325431323a34303a31352b30323a3030", 1367491215}, /* 12:40:15+02:00 */
        {"c074313937302d30312d30315430303a30303a30305a", 0},
        {"c074313936392d31322d33315432333a35393a35395a", -1},
        {"c074323030302d30322d32395430303a30303a30305a", 951782400},
        {"c074303030302d30312d30315430303a30303a30305a", -62167219200},
        {"c074393939392d31322d33315432333a35393a35395a", 253402300799},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (read(cases[i].hex, LWM2M_TIME).integer != cases[i].unix_s)
            fail_msg("%s", cases[i].hex);
        assert_null(remark);
    }
}

static void test_TYP_06_a_fraction_of_a_second_is_left_out(void **state) {
    (void)state;
    assert_int_equal(read("c1f93e00", LWM2M_TIME).integer, 1);  /* 1.5 */
    assert_int_equal(read("c1f9be00", LWM2M_TIME).integer, -2); /* -1.5 */
    assert_non_null(remark);
    assert_int_equal(read("c076313937302d30312d30315430303a30303a31302e355a", LWM2M_TIME).integer, 10);
    assert_non_null(remark);
}

static void test_TYP_06_texts_that_are_no_time_are_refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "2013-05-02",
        "2013-05-02T10:40:15",
        "2013-5-02T10:40:15Z",
        "2013-13-02T10:40:15Z",
        "2013-00-02T10:40:15Z",
        "2013-02-29T10:40:15Z",
        "2013-05-00T10:40:15Z",
        "2013-05-02T24:40:15Z",
        "2013-05-02T10:60:15Z",
        "2013-05-02T10:40:61Z",
        "2013-05-02T10:40:15.Z",
        "2013-05-02T10:40:15+2:00",
        "2013-05-02T10:40:15Zx",
        "2013-05-02 10:40:15Z",
        "1367491215",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer out = buffer_over(encoded, sizeof encoded);
        struct lwm2m_value value;
        cbor_put_tag(&out, CBOR_TAG_TIME_TEXT);
        cbor_put_text(&out, slice_str(cases[i]));
        if (decode(buffer_slice(&out), LWM2M_TIME, &value))
            fail_msg("%s", cases[i]);
    }
}

static void test_TYP_06_times_out_of_range_are_refused(void **state) {
    (void)state;
    assert_true(refuses("c11b8000000000000000", LWM2M_TIME));
    assert_true(refuses("c1f97e00", LWM2M_TIME));
    assert_true(refuses("c1fb7e37e43c8800759c", LWM2M_TIME));
}

static void test_TYP_12_text_that_is_not_UTF_8_is_kept_and_told(void **state) {
    (void)state;
    assert_int_equal(read("61ff", LWM2M_STRING).bytes.len, 1);
    assert_non_null(remark);
}

static void test_decimal_fractions(void **state) {
    (void)state;
    assert_true(read("c48221196ab3", LWM2M_FLOAT).real == 273.15); /* RFC 8949 §3.4.4 */
    assert_int_equal(read("c4820105", LWM2M_INTEGER).integer, 50);
    assert_true(refuses("c48121", LWM2M_FLOAT));
    assert_true(refuses("c483210102", LWM2M_FLOAT));
    assert_true(refuses("c4822160", LWM2M_FLOAT));
}

/* ---- encoding ---- */

static void test_TYP_06_TYP_07_the_caller_says_how_a_time_is_written(void **state) {
    (void)state;
    assert_encodes(lwm2m_time(1367491215), CBOR_TIME_TAGGED, "c11a5182428f");
    assert_encodes(lwm2m_time(1367491215), CBOR_TIME_PLAIN, "1a5182428f");
    assert_encodes(lwm2m_time(-1), CBOR_TIME_PLAIN, "20");
    assert_encodes(lwm2m_integer(5), CBOR_TIME_TAGGED, "05");
}

static void test_TYP_12_text_that_is_not_UTF_8_is_not_sent(void **state) {
    (void)state;
    struct buffer out = buffer_over(encoded, sizeof encoded);
    struct lwm2m_value value = lwm2m_string("\xff");
    assert_false(cbor_value_encode(&value, CBOR_TIME_PLAIN, &out));
}

static void test_what_has_no_form_or_no_room_is_refused(void **state) {
    (void)state;
    struct buffer out = buffer_over(encoded, 2);
    struct lwm2m_value none = {.type = LWM2M_NONE}, raw = lwm2m_bytes(LWM2M_RAW, slice_str("a")),
                       text = lwm2m_string("ab");
    assert_false(cbor_value_encode(&none, CBOR_TIME_PLAIN, &out));
    assert_false(cbor_value_encode(&raw, CBOR_TIME_PLAIN, &out));
    assert_false(cbor_value_encode(&text, CBOR_TIME_PLAIN, &out));
}

static void test_any_value_comes_back(void **state) {
    (void)state;
    const struct lwm2m_path base = {.len = 0};
    for (unsigned seed = 0; seed < 500; seed++) {
        struct lwm2m_node nodes[RANDOM_LIST_MIN];
        size_t count = random_list(seed, &base, nodes, RANDOM_LIST_MIN);
        for (size_t i = 0; i < count; i++) {
            struct buffer out = buffer_over(encoded, sizeof encoded);
            struct lwm2m_value value;
            assert_true(cbor_value_encode(&nodes[i].value, (enum cbor_time)(seed % 2), &out));
            assert_true(decode(buffer_slice(&out), nodes[i].value.type, &value));
            assert_true(lwm2m_value_equal(&value, &nodes[i].value));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_V_decode_and_encode_to_the_same_bytes),
        cmocka_unit_test(test_vectors_NC_are_taken_or_refused_as_wanted),
        cmocka_unit_test(test_FMT_03_vectors_cut_off_anywhere_are_refused),
        cmocka_unit_test(test_CB6_R01_exactly_one_item),
        cmocka_unit_test(test_CB6_R01_tags_that_do_not_matter_are_passed_over),
        cmocka_unit_test(test_TYP_01_a_type_that_is_not_known_is_told_by_the_format),
        cmocka_unit_test(test_TYP_02_what_has_more_than_64_bits_is_refused),
        cmocka_unit_test(test_TYP_05_not_a_number_is_let_pass_and_told),
        cmocka_unit_test(test_TYP_06_every_form_of_a_time),
        cmocka_unit_test(test_TYP_06_a_fraction_of_a_second_is_left_out),
        cmocka_unit_test(test_TYP_06_texts_that_are_no_time_are_refused),
        cmocka_unit_test(test_TYP_06_times_out_of_range_are_refused),
        cmocka_unit_test(test_TYP_12_text_that_is_not_UTF_8_is_kept_and_told),
        cmocka_unit_test(test_decimal_fractions),
        cmocka_unit_test(test_TYP_06_TYP_07_the_caller_says_how_a_time_is_written),
        cmocka_unit_test(test_TYP_12_text_that_is_not_UTF_8_is_not_sent),
        cmocka_unit_test(test_what_has_no_form_or_no_room_is_refused),
        cmocka_unit_test(test_any_value_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
