#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "common/lwm2m/text.h"
#include "tests/unit/lwm2m/vectors.h"

struct decoded {
    bool good;
    struct lwm2m_value value;
    const char *remark;
    uint8_t scratch[64];
};

/* Into memory of its own, because an Opaque points into it. */
static void decode(struct decoded *decoded, struct slice text, enum lwm2m_type type) {
    struct buffer scratch = buffer_over(decoded->scratch, sizeof decoded->scratch);
    decoded->good = lwm2m_text_decode(text, type, &scratch, &decoded->value, &decoded->remark);
    assert_true(decoded->good || decoded->remark != NULL);
}

static bool refuses(const char *text, enum lwm2m_type type) {
    struct decoded decoded;
    decode(&decoded, slice_str(text), type);
    return !decoded.good;
}

static struct lwm2m_value value_of(const char *text, enum lwm2m_type type) {
    struct decoded decoded;
    decode(&decoded, slice_str(text), type);
    if (!decoded.good)
        fail_msg("\"%s\" was refused: %s", text, decoded.remark);
    return decoded.value;
}

static void assert_encodes(struct lwm2m_value value, const char *expected) {
    uint8_t bytes[512];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(lwm2m_text_encode(&value, &out));
    if (!slice_is(buffer_slice(&out), expected))
        fail_msg("\"%.*s\" instead of \"%s\"", (int)out.len, (const char *)out.data, expected);
}

static struct lwm2m_value real(double number) {
    return (struct lwm2m_value){.type = LWM2M_FLOAT, .real = number};
}

static void test_vectors_V_decode_and_encode_to_the_same_text(void **state) {
    (void)state;
    struct vector *vectors;
    size_t count = vectors_load("V-", 0, &vectors);
    for (size_t i = 0; i < count; i++) {
        struct decoded decoded;
        uint8_t bytes[64];
        struct buffer out = buffer_over(bytes, sizeof bytes);
        decode(&decoded, vectors[i].bytes, vectors[i].type);
        if (!decoded.good || !lwm2m_text_encode(&decoded.value, &out) ||
            !slice_equal(buffer_slice(&out), vectors[i].bytes))
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

static void test_vectors_NT_are_taken_or_refused_as_wanted(void **state) {
    (void)state;
    struct vector *vectors;
    size_t count = vectors_load("NT-", 0, &vectors);
    for (size_t i = 0; i < count; i++) {
        struct decoded decoded;
        decode(&decoded, vectors[i].bytes, vectors[i].type);
        if (decoded.good != vectors[i].accept)
            fail_msg("%s", vectors[i].id);
    }
    vectors_free(vectors, count);
}

static void test_TXT_R01_integers(void **state) {
    (void)state;
    assert_int_equal(value_of("+5", LWM2M_INTEGER).integer, 5);
    assert_int_equal(value_of("-0005", LWM2M_INTEGER).integer, -5);
    assert_int_equal(value_of("0000000000000000000000000005", LWM2M_INTEGER).integer, 5);
    assert_int_equal(value_of("+18446744073709551615", LWM2M_UNSIGNED).natural, UINT64_MAX);
    assert_int_equal(value_of("-9223372036854775808", LWM2M_INTEGER).integer, INT64_MIN);
    static const char *const faults[] = {"", "-", "+", "--5", "5 ", "5.0", "0x10", "1e3", "-9223372036854775809"};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        assert_true(refuses(faults[i], LWM2M_INTEGER));
    assert_true(refuses("18446744073709551616", LWM2M_UNSIGNED));
}

static void test_TXT_R02_floats_are_written_without_exponent(void **state) {
    (void)state;
    assert_encodes(real(0.00000000006667), "0.00000000006667");
    assert_encodes(real(-273.15), "-273.15");
    assert_encodes(real(0), "0");
    assert_encodes(real(5), "5");
    assert_encodes(real(1200), "1200");
    assert_encodes(real(1e21), "1000000000000000000000");
    assert_encodes(real(0.1 + 0.2), "0.30000000000000004");
    assert_encodes(real(123456.789), "123456.789");
}

static void test_TXT_R02_floats_are_read_with_and_without_exponent(void **state) {
    (void)state;
    assert_true(value_of("1e3", LWM2M_FLOAT).real == 1000);
    assert_true(value_of("-1.5E-3", LWM2M_FLOAT).real == -0.0015);
    assert_true(value_of("+.5", LWM2M_FLOAT).real == 0.5);
    assert_true(value_of("5.", LWM2M_FLOAT).real == 5);
    static const char *const faults[] = {"", ".", "e3", "1e", "1e+", "0x1p3", " 1", "1 ", "1,5", "inf", "1e999"};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        assert_true(refuses(faults[i], LWM2M_FLOAT));
}

static void test_TXT_R02_every_float_comes_back(void **state) {
    (void)state;
    static const double numbers[] = {5e-324, 2.2250738585072014e-308, 1.7976931348623157e308,
                                     1e23,   9007199254740993.0,      -0.0};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct lwm2m_value value = real(numbers[i]);
        struct decoded decoded;
        uint8_t bytes[512];
        struct buffer out = buffer_over(bytes, sizeof bytes);
        assert_true(lwm2m_text_encode(&value, &out));
        decode(&decoded, buffer_slice(&out), LWM2M_FLOAT);
        assert_true(decoded.good && lwm2m_value_equal(&decoded.value, &value));
    }
}

static void test_TYP_05_no_NaN_and_no_infinity(void **state) {
    (void)state;
    uint8_t bytes[32];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    struct lwm2m_value nan_value = real((double)NAN), infinite = real((double)INFINITY);
    assert_false(lwm2m_text_encode(&nan_value, &out));
    assert_false(lwm2m_text_encode(&infinite, &out));
    assert_true(refuses("NaN", LWM2M_FLOAT));
    assert_true(refuses("-Infinity", LWM2M_FLOAT));
}

static void test_TXT_R03_booleans_are_0_and_1(void **state) {
    (void)state;
    assert_true(value_of("1", LWM2M_BOOLEAN).truth);
    assert_false(value_of("0", LWM2M_BOOLEAN).truth);
    assert_true(refuses("", LWM2M_BOOLEAN));
    assert_true(refuses("01", LWM2M_BOOLEAN));
}

static void test_TXT_R04_spoilt_separator_of_an_object_link_is_let_pass_and_told(void **state) {
    (void)state;
    struct decoded decoded;
    decode(&decoded, slice_str("66?613"), LWM2M_OBJLNK);
    assert_true(decoded.good);
    assert_non_null(decoded.remark);
    assert_int_equal(decoded.value.link.object, 66);
    assert_int_equal(decoded.value.link.instance, 613);
    decode(&decoded, slice_str("66:613"), LWM2M_OBJLNK);
    assert_true(decoded.good);
    assert_null(decoded.remark);
    assert_true(refuses("66::613", LWM2M_OBJLNK));
    assert_true(refuses("66:", LWM2M_OBJLNK));
    assert_true(refuses(":613", LWM2M_OBJLNK));
}

static void test_TYP_09_null_links(void **state) {
    (void)state;
    static const char *const texts[] = {"65535:65535", "FFFF:FFFF", "ffff:ffff", ""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct lwm2m_value value = value_of(texts[i], LWM2M_OBJLNK);
        assert_int_equal(value.link.object, LWM2M_ID_NONE);
        assert_int_equal(value.link.instance, LWM2M_ID_NONE);
    }
}

static void test_TYP_11_both_alphabets_padded_or_not(void **state) {
    (void)state;
    static const char *const texts[] = {"-_8=", "-_8", "+/8=", "+/8"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct decoded decoded;
        decode(&decoded, slice_str(texts[i]), LWM2M_OPAQUE);
        assert_true(decoded.good);
        assert_true(slice_equal(decoded.value.bytes, slice_of("\xfb\xff", 2)));
    }
    assert_true(refuses("A", LWM2M_OPAQUE));
    assert_true(refuses("====", LWM2M_OPAQUE));
    assert_true(refuses("A===", LWM2M_OPAQUE));
    assert_true(refuses("AA=A", LWM2M_OPAQUE));
    assert_true(refuses("AAA=AAAA", LWM2M_OPAQUE));
}

static void test_opaque_that_does_not_fit_is_refused(void **state) {
    (void)state;
    uint8_t bytes[2];
    struct buffer scratch = buffer_over(bytes, sizeof bytes);
    struct lwm2m_value value;
    const char *remark;
    assert_false(lwm2m_text_decode(slice_str("AQID"), LWM2M_OPAQUE, &scratch, &value, &remark));
}

static void test_TYP_12_bytes_that_are_no_UTF_8_are_kept_and_told(void **state) {
    (void)state;
    struct decoded decoded;
    decode(&decoded, slice_of("\xff\x00", 2), LWM2M_STRING);
    assert_true(decoded.good);
    assert_non_null(decoded.remark);
    assert_int_equal(decoded.value.bytes.len, 2);
}

static void test_what_has_no_text(void **state) {
    (void)state;
    uint8_t bytes[8];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    struct lwm2m_value none = {.type = LWM2M_NONE}, raw = lwm2m_bytes(LWM2M_RAW, slice_str("a")),
                       eight = lwm2m_integer(123456789);
    assert_false(lwm2m_text_encode(&none, &out));
    assert_false(lwm2m_text_encode(&raw, &out));
    assert_false(lwm2m_text_encode(&eight, &out));
    assert_true(refuses("1", LWM2M_NONE));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_V_decode_and_encode_to_the_same_text),
        cmocka_unit_test(test_vectors_NT_are_taken_or_refused_as_wanted),
        cmocka_unit_test(test_TXT_R01_integers),
        cmocka_unit_test(test_TXT_R02_floats_are_written_without_exponent),
        cmocka_unit_test(test_TXT_R02_floats_are_read_with_and_without_exponent),
        cmocka_unit_test(test_TXT_R02_every_float_comes_back),
        cmocka_unit_test(test_TYP_05_no_NaN_and_no_infinity),
        cmocka_unit_test(test_TXT_R03_booleans_are_0_and_1),
        cmocka_unit_test(test_TXT_R04_spoilt_separator_of_an_object_link_is_let_pass_and_told),
        cmocka_unit_test(test_TYP_09_null_links),
        cmocka_unit_test(test_TYP_11_both_alphabets_padded_or_not),
        cmocka_unit_test(test_opaque_that_does_not_fit_is_refused),
        cmocka_unit_test(test_TYP_12_bytes_that_are_no_UTF_8_are_kept_and_told),
        cmocka_unit_test(test_what_has_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
