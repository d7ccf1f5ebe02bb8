#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/lwm2m/json_reader.h"
#include "common/lwm2m/json_writer.h"

/* What the reader makes of `text`, a token a line: `{`, `"abc`, `12` …; NULL when it refuses it. */
static const char *tokens(struct slice text) {
    static const char *const marks[] = {"", "{", "}", "[", "]", "", "\"", "", "true", "false", "null"};
    static uint8_t memory[1024], bytes[256];
    struct buffer scratch = buffer_over(bytes, sizeof bytes), out = buffer_over(memory, sizeof memory - 1);
    struct json_reader reader;
    struct json_token token;
    json_reader_begin(&reader, text, &scratch);
    do {
        if (!json_reader_next(&reader, &token)) {
            assert_non_null(reader.remark);
            return NULL;
        }
        buffer_put_str(&out, marks[token.kind]);
        buffer_put_slice(&out, token.text);
        buffer_put_str(&out, token.kind == JSON_TOKEN_KEY ? ":\n" : "\n");
    } while (token.kind != JSON_TOKEN_END);
    memory[out.len - 1] = '\0';
    return (const char *)memory;
}

static void assert_refused(const char *text) {
    if (tokens(slice_str(text)) != NULL)
        fail_msg("%s", text);
}

static void assert_tokens(const char *text, const char *expected) {
    const char *got = tokens(slice_str(text));
    if (got == NULL)
        fail_msg("%s was refused", text);
    else
        assert_string_equal(got, expected);
}

/* ---- reading ---- */

static void test_every_kind_of_value(void **state) {
    (void)state;
    assert_tokens("[ {\"a\" :\t1 , \"b\":\"c\"},\r\n[],{} , true,false,null ,-0.5]\n",
                  "[\n{\na:\n1\nb:\n\"c\n}\n[\n]\n{\n}\ntrue\nfalse\nnull\n-0.5\n]\n");
    assert_tokens("7", "7\n");
    assert_tokens("\"\"", "\"\n");
}

static void test_what_is_no_JSON(void **state) {
    (void)state;
    static const char *const texts[] = {"",          " ",         "[",
                                        "]",         "{",         "[1",
                                        "[1,",       "[1,]",      "[,1]",
                                        "[1 2]",     "{\"a\"}",   "{a:1}",
                                        "{\"a\":}",  "{\"a\":1,", "{\"a\":1,}",
                                        "{\"a\" 1}", "{1:2}",     "[1}",
                                        "{]",        "tru",       "True",
                                        "nul",       "NaN",       "Infinity",
                                        "'a'",       "//a\n1",    "\"a",
                                        "[1]]",      "[1] x",     "1 2",
                                        "{\"a\":1]", "[\"a\":1]", "\xef\xbb\xbf[]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i]);
    assert_null(tokens(slice_of("[1]\0", 4)));
}

static void test_escapes(void **state) {
    (void)state;
    assert_tokens("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "\"a\"\\/\b\f\n\r\tz\n");
    assert_tokens("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n");
    assert_tokens("{\"\\u006e\":\"x\"}", "{\nn:\n\"x\n}\n");
    assert_refused("\"\\x\"");
    assert_refused("\"\\u12\"");
    assert_refused("\"\\u12g4\"");
    assert_refused("\"\\ud83d\"");
    assert_refused("\"\\ud83dx\"");
    assert_refused("\"\\ud83d\\u0041\"");
    assert_refused("\"\\ude00\"");
    assert_refused("\"a\nb\"");
    assert_refused("\"a\\");
}

static void test_text_that_is_not_UTF_8_is_left_to_the_caller(void **state) {
    (void)state;
    assert_tokens("\"\xff\"", "\"\xff\n");
}

static void test_only_strings_with_escapes_need_scratch(void **state) {
    (void)state;
    static const char plain[] = "\"abc\"", escaped[] = "\"a\\n\"";
    uint8_t byte;
    struct buffer scratch = buffer_over(&byte, 1);
    struct json_reader reader;
    struct json_token token;
    json_reader_begin(&reader, slice_str(plain), &scratch);
    assert_true(json_reader_next(&reader, &token));
    assert_ptr_equal(token.text.data, plain + 1);
    json_reader_begin(&reader, slice_str(escaped), &scratch);
    assert_false(json_reader_next(&reader, &token));
}

static void test_FMT_03_depth(void **state) {
    (void)state;
    assert_tokens("[[[[[[[[1]]]]]]]]", "[\n[\n[\n[\n[\n[\n[\n[\n1\n]\n]\n]\n]\n]\n]\n]\n]\n");
    assert_refused("[[[[[[[[[1]]]]]]]]]");
    assert_refused("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}");
}

static void test_skip_leaves_nothing_behind(void **state) {
    (void)state;
    uint8_t bytes[8];
    struct buffer scratch = buffer_over(bytes, sizeof bytes);
    struct json_reader reader;
    struct json_token token;
    json_reader_begin(&reader, slice_str("[{\"\\n\":[1,\"\\t\"],\"b\":{}},\"x\"]"), &scratch);
    assert_true(json_reader_next(&reader, &token));
    assert_true(json_reader_skip(&reader));
    assert_int_equal(scratch.len, 0);
    assert_true(json_reader_expect(&reader, JSON_TOKEN_STRING, &token));
    assert_true(slice_is(token.text, "x"));
    assert_false(json_reader_expect(&reader, JSON_TOKEN_NUMBER, &token));
    assert_non_null(reader.remark);
}

/* A text in memory of exactly its length: a sanitizer sees what is read past it. */
static void test_every_truncation_is_refused(void **state) {
    (void)state;
    static const char text[] = "{\"a\\u00e9\\ud83d\\ude00\":[-12.5e+3,true,false,null,\"\\n\",{\"b\":\"c\"}]}";
    assert_non_null(tokens(slice_str(text)));
    for (size_t len = 0; len < sizeof text - 1; len++) {
        uint8_t *copy = malloc(len + !len);
        assert_non_null(copy);
        memcpy(copy, text, len);
        if (tokens(slice_of(copy, len)) != NULL)
            fail_msg("%zu bytes", len);
        free(copy);
    }
}

/* ---- numbers ---- */

static struct lwm2m_value number_of(const char *text) {
    struct json_token token = {.kind = JSON_TOKEN_NUMBER, .text = slice_str(text)};
    struct lwm2m_value number = {.type = LWM2M_NONE};
    if (tokens(slice_str(text)) == NULL || !json_number(&token, &number))
        fail_msg("%s", text);
    return number;
}

static void assert_integer(const char *text, int64_t expected) {
    struct lwm2m_value number = number_of(text);
    if (number.type != LWM2M_INTEGER || number.integer != expected)
        fail_msg("%s", text);
}

static void assert_unsigned(const char *text, uint64_t expected) {
    struct lwm2m_value number = number_of(text);
    if (number.type != LWM2M_UNSIGNED || number.natural != expected)
        fail_msg("%s", text);
}

static void assert_float(const char *text, double expected) {
    struct lwm2m_value number = number_of(text);
    if (number.type != LWM2M_FLOAT || number.real != expected)
        fail_msg("%s", text);
}

static void test_SML_R15_TYP_02_integers_are_exact(void **state) {
    (void)state;
    assert_integer("0", 0);
    assert_integer("-0", 0);
    assert_integer("9007199254740993", INT64_C(9007199254740993));
    assert_integer("9223372036854775807", INT64_MAX);
    assert_integer("-9223372036854775808", INT64_MIN);
    assert_unsigned("9223372036854775808", UINT64_C(1) << 63);
    assert_unsigned("18446744073709551615", UINT64_MAX);
    assert_float("18446744073709551616", 0x1p64);
    assert_float("-18446744073709551616", -0x1p64);
}

static void test_SML_R15_fractions_and_exponents_are_floats(void **state) {
    (void)state;
    assert_float("5.0", 5);
    assert_float("1e2", 100);
    assert_float("1E+2", 100);
    assert_float("-0.0", 0);
    assert_float("2.5", 2.5);
    assert_float("0.1", 0.1);
    assert_float("1e-400", 0);
    assert_float("1.7976931348623157e308", 0x1.fffffffffffffp1023);
    assert_float("0e99999999999999999999", 0);
    assert_true(signbit(number_of("-0.0").real));
}

static void test_SML_R15_a_whole_number_that_no_double_has_is_an_integer(void **state) {
    (void)state;
    assert_integer("9007199254740993.0", INT64_C(9007199254740993));
    assert_integer("-900719925474099300e-2", INT64_C(-9007199254740993));
    assert_integer("0.9007199254740993e16", INT64_C(9007199254740993));
    assert_unsigned("1844674407370955161.5e1", UINT64_MAX);
    assert_float("9007199254740992.0", 0x1p53);
    assert_float("-9223372036854776000.0", -0x1p63);
    assert_float("9007199254740993.5", 9007199254740994);
}

static void test_SML_R15_what_is_no_number(void **state) {
    (void)state;
    static const char *const texts[] = {"01", "-01", "+1", ".5",  "1.",   "1.e1",
                                        "1e", "1e+", "-",  "--1", "0x10", "1_000"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i]);
}

static void test_numbers_out_of_range(void **state) {
    (void)state;
    static char digits[600];
    struct lwm2m_value number;
    struct json_token token = {.kind = JSON_TOKEN_NUMBER};
    memset(digits, '1', sizeof digits);
    const struct slice texts[] = {slice_str("1e309"), slice_str("-1e309"), slice_str("-9223372036854775809"),
                                  slice_of(digits, 310), slice_of(digits, sizeof digits)};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        token.text = texts[i];
        assert_false(json_number(&token, &number));
    }
    token.text = slice_of(digits, 300);
    assert_true(json_number(&token, &number));
}

/* ---- writing ---- */

static void assert_string(const char *text, size_t len, const char *expected) {
    uint8_t bytes[64];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(json_put_string(&out, slice_of(text, len)));
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(out.data, expected, out.len);
}

static void test_SML_R16_escapes_only_for_control_characters_quotes_and_backslashes(void **state) {
    (void)state;
    assert_string("", 0, "\"\"");
    assert_string("a/\xc3\xa9\xf0\x9f\x98\x80\x7f", 9, "\"a/\xc3\xa9\xf0\x9f\x98\x80\x7f\"");
    assert_string("\"\\\n\0\x1f", 5, "\"\\\"\\\\\\u000a\\u0000\\u001f\"");
}

static void test_TYP_12_strings_that_are_not_UTF_8_are_not_written(void **state) {
    (void)state;
    uint8_t bytes[8];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_false(json_put_string(&out, slice_str("\xff")));
    assert_false(json_put_string(&out, slice_str("1234567")));
}

static void assert_number(struct lwm2m_value number, const char *expected) {
    uint8_t bytes[512];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(json_put_number(&out, &number));
    if (!slice_is(buffer_slice(&out), expected))
        fail_msg("%.*s instead of %s", (int)out.len, (const char *)out.data, expected);
}

static struct lwm2m_value real(double number) {
    return (struct lwm2m_value){.type = LWM2M_FLOAT, .real = number};
}

static void test_numbers_are_written_with_their_kind(void **state) {
    (void)state;
    struct lwm2m_value nan_value = real(NAN), text = lwm2m_string("1");
    uint8_t bytes[8];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_number(lwm2m_integer(INT64_MIN), "-9223372036854775808");
    assert_number((struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = UINT64_MAX}, "18446744073709551615");
    assert_number(lwm2m_time(1367491215), "1367491215");
    assert_number(real(2.5), "2.5");
    assert_number(real(100), "100.0");
    assert_number(real(-0.0), "-0.0");
    assert_false(json_put_number(&out, &nan_value));
    assert_false(json_put_number(&out, &text));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_value),
        cmocka_unit_test(test_what_is_no_JSON),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_text_that_is_not_UTF_8_is_left_to_the_caller),
        cmocka_unit_test(test_only_strings_with_escapes_need_scratch),
        cmocka_unit_test(test_FMT_03_depth),
        cmocka_unit_test(test_skip_leaves_nothing_behind),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_SML_R15_TYP_02_integers_are_exact),
        cmocka_unit_test(test_SML_R15_fractions_and_exponents_are_floats),
        cmocka_unit_test(test_SML_R15_a_whole_number_that_no_double_has_is_an_integer),
        cmocka_unit_test(test_SML_R15_what_is_no_number),
        cmocka_unit_test(test_numbers_out_of_range),
        cmocka_unit_test(test_SML_R16_escapes_only_for_control_characters_quotes_and_backslashes),
        cmocka_unit_test(test_TYP_12_strings_that_are_not_UTF_8_are_not_written),
        cmocka_unit_test(test_numbers_are_written_with_their_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
