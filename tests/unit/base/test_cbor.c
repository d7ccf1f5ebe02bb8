#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "common/base/cbor.h"
#include "common/base/text.h"

enum { BYTES = 256 };

static uint8_t input[BYTES], joined[BYTES], written[BYTES];
static struct buffer scratch;

static struct slice bytes_of(const char *hex) {
    struct buffer out = buffer_over(input, sizeof input);
    assert_true(text_get_hex(slice_str(hex), &out));
    return buffer_slice(&out);
}

static struct cbor_reader reader_of(const char *hex) {
    scratch = buffer_over(joined, sizeof joined);
    return cbor_reader_over(bytes_of(hex), &scratch);
}

/* The one item that the bytes are. */
static struct cbor_item read_one(const char *hex) {
    struct cbor_reader reader = reader_of(hex);
    struct cbor_item item;
    if (!cbor_read(&reader, &item) || !cbor_at_end(&reader))
        fail_msg("%s: %s", hex, reader.fault);
    return item;
}

static bool skips(const char *hex) {
    struct cbor_reader reader = reader_of(hex);
    bool good = cbor_skip(&reader) && cbor_at_end(&reader);
    assert_true(good == (reader.fault == NULL));
    return good;
}

/* ---- reading ---- */

static void test_CB6_R01_integers_of_any_width(void **state) {
    (void)state;
    static const struct {
        const char *hex;
        int64_t number;
    } cases[] = {
        {"00", 0},
        {"17", 23},
        {"1817", 23},
        {"1900ff", 255},
        {"1a00010000", 65536},
        {"1b7fffffffffffffff", INT64_MAX},
        {"20", -1},
        {"3800", -1},
        {"3903e7", -1000},
        {"3b7fffffffffffffff", INT64_MIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cbor_item item = read_one(cases[i].hex);
        int64_t number;
        assert_true(cbor_to_int64(&item, &number));
        assert_true(number == cases[i].number);
    }
}

static void test_TYP_02_integers_of_64_bits_are_exact(void **state) {
    (void)state;
    int64_t number;
    struct cbor_item item = read_one("1bffffffffffffffff");
    assert_true(item.type == CBOR_UNSIGNED && item.number == UINT64_MAX);
    assert_false(cbor_to_int64(&item, &number));
    item = read_one("3b8000000000000000");
    assert_int_equal(item.type, CBOR_NEGATIVE);
    assert_false(cbor_to_int64(&item, &number));
}

static void test_TYP_04_half_single_and_double_floats(void **state) {
    (void)state;
    static const struct {
        const char *hex;
        double real;
    } cases[] = {
        {"f90000", 0.0},
        {"f98000", -0.0},
        {"f93c00", 1.0},
        {"f97bff", 65504.0},
        {"f90001", 5.960464477539063e-8},
        {"f90400", 0.00006103515625},
        {"f9c400", -4.0},
        {"f97c00", INFINITY},
        {"f9fc00", -INFINITY},
        {"fa47c35000", 100000.0},
        {"fa7f7fffff", 3.4028234663852886e+38},
        {"fb3ff199999999999a", 1.1},
        {"fbfff0000000000000", -INFINITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cbor_item item = read_one(cases[i].hex);
        assert_int_equal(item.type, CBOR_FLOAT);
        assert_memory_equal(&item.real, &cases[i].real, sizeof item.real);
    }
    assert_true(isnan(read_one("f97e00").real));
}

static void test_CB6_R01_simple_values(void **state) {
    (void)state;
    assert_int_equal(read_one("f4").number, CBOR_FALSE);
    assert_int_equal(read_one("f5").number, CBOR_TRUE);
    assert_int_equal(read_one("f6").number, CBOR_NULL);
    assert_int_equal(read_one("f7").number, CBOR_UNDEFINED);
    assert_int_equal(read_one("f820").number, 32);
    assert_false(skips("f814")); /* a simple value below 32 has one byte */
}

static void test_CB6_R01_strings_of_indefinite_length_are_joined(void **state) {
    (void)state;
    assert_true(slice_is(read_one("7f626162606163ff").bytes, "abc"));
    assert_int_equal(read_one("7fff").bytes.len, 0);
    assert_true(slice_is(read_one("5f410141ffff").bytes, "\x01\xff"));
    assert_false(skips("7f4161ff"));     /* bytes in a text */
    assert_false(skips("7f7f6161ffff")); /* parts in parts */
    assert_false(skips("7f6161"));
    assert_false(skips("7ff6ff"));
}

static void test_two_joined_strings_stay(void **state) {
    (void)state;
    struct cbor_reader reader = reader_of("827f61616162ff7f6163ff");
    struct cbor_item array, first, second;
    assert_true(cbor_read(&reader, &array) && cbor_read(&reader, &first) && cbor_read(&reader, &second));
    assert_true(slice_is(first.bytes, "ab"));
    assert_true(slice_is(second.bytes, "c"));
}

static void test_a_joined_string_that_is_longer_than_the_scratch_is_refused(void **state) {
    (void)state;
    struct buffer small = buffer_over(joined, 2);
    struct cbor_reader reader = cbor_reader_over(bytes_of("7f626162606163ff"), &small);
    struct cbor_item item;
    assert_false(cbor_read(&reader, &item));
    assert_non_null(reader.fault);
}

static void test_without_scratch_a_string_in_parts_is_refused(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0x5f, 0x41, 0x01, 0xff};
    struct cbor_reader reader = cbor_reader_over(slice_of(bytes, sizeof bytes), NULL);
    struct cbor_item item;
    assert_false(cbor_read(&reader, &item));
    assert_non_null(reader.fault);
}

static void test_CB6_R01_the_tag_next_to_an_item_counts(void **state) {
    (void)state;
    assert_true(read_one("05").tag == CBOR_NO_TAG);
    assert_true(read_one("c105").tag == CBOR_TAG_TIME);
    assert_true(read_one("d9d9f7c105").tag == CBOR_TAG_TIME);
    assert_true(read_one("db0000000000000001f6").tag == 1);
    assert_false(skips("c1"));
    assert_false(skips("df05"));
    assert_false(skips("c1ff"));
}

static void walk(struct cbor_reader *reader, size_t *items) {
    struct cbor_item item;
    while (reader->depth == 0 ? *items == 0 : true) {
        if (reader->depth > 0 && !cbor_more(reader)) {
            if (reader->fault != NULL || reader->depth == 0)
                return;
            continue;
        }
        if (!cbor_read(reader, &item))
            return;
        ++*items;
    }
}

static void test_SML_R17_LCB_R03_definite_and_indefinite_arrays_and_maps(void **state) {
    (void)state;
    static const struct {
        const char *hex;
        size_t items;
    } cases[] = {
        {"80", 1},         {"9fff", 1},         {"a0", 1},
        {"bfff", 1},       {"83010203", 4},     {"9f010203ff", 4},
        {"a201020304", 5}, {"bf01020304ff", 5}, {"9f8101a1029fffff", 6},
        {"a18001", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cbor_reader reader = reader_of(cases[i].hex);
        size_t items = 0;
        walk(&reader, &items);
        if (!cbor_at_end(&reader) || items != cases[i].items)
            fail_msg("%s: %zu items, %s", cases[i].hex, items, reader.fault);
        assert_true(skips(cases[i].hex));
    }
}

static void test_malformed_input_is_refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "18",
        "1901",
        "1a010203",
        "1b01020304050607",
        "1c",
        "1d",
        "1e",
        "1f",
        "3c",
        "3f",
        "41",
        "6261",
        "5c",
        "7e",
        "81",
        "8201",
        "9f",
        "9f01",
        "a1",
        "a101",
        "bf",
        "bf01",
        "bf01ff",
        "bf010203ff",
        "fc",
        "fd",
        "fe",
        "ff",
        "f8",
        "f9",
        "f900",
        "fa000000",
        "fb00000000000000",
        "82ff01",
        "a1ff",
        "a101ff",
        "0000",
        "9bffffffffffffffff",
        "bbffffffffffffffff",
        "bb8000000000000000",
        "5bffffffffffffffff",
        "7b7fffffffffffffff",
        "9b8000000000000000",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (skips(cases[i]))
            fail_msg("%s", cases[i]);
    }
}

static void test_FMT_03_nesting_is_bounded(void **state) {
    (void)state;
    assert_true(skips("818181818181818105"));    /* 8 levels */
    assert_false(skips("81818181818181818105")); /* 9 */
    assert_true(skips("a1a1a1a1a1a1a1a0010101010101"
                      "01"));
    assert_false(skips("9f9f9f9f9f9f9f9f9fffffffffffffffffff"));
}

static void test_nothing_is_read_past_the_end_of_an_array(void **state) {
    (void)state;
    struct cbor_reader reader = reader_of("810102");
    struct cbor_item item;
    assert_true(cbor_read(&reader, &item) && cbor_read(&reader, &item));
    assert_false(cbor_read(&reader, &item));
}

static void test_a_fault_ends_every_loop(void **state) {
    (void)state;
    struct cbor_reader reader = reader_of("9f01fc");
    struct cbor_item item;
    size_t loops = 0;
    assert_true(cbor_read(&reader, &item));
    while (cbor_more(&reader)) {
        cbor_read(&reader, &item);
        assert_true(++loops < 10);
    }
    assert_false(cbor_at_end(&reader));
    assert_string_equal(reader.fault, "a byte begins no CBOR item");
}

static void test_SML_R19_bytes_after_the_item_are_a_fault(void **state) {
    (void)state;
    struct cbor_reader reader = reader_of("0500");
    struct cbor_item item;
    assert_true(cbor_read(&reader, &item));
    assert_false(cbor_at_end(&reader));
    assert_non_null(reader.fault);
}

/* ---- writing ---- */

static void assert_written(const struct buffer *out, const char *hex) {
    if (out->overflow || !slice_equal(buffer_slice(out), bytes_of(hex)))
        fail_msg("not %s", hex);
}

static void test_SML_R17_heads_are_the_shortest(void **state) {
    (void)state;
    static const struct {
        uint64_t number;
        const char *hex;
    } cases[] = {
        {0, "00"},
        {23, "17"},
        {24, "1818"},
        {255, "18ff"},
        {256, "190100"},
        {65535, "19ffff"},
        {65536, "1a00010000"},
        {UINT32_MAX, "1affffffff"},
        {UINT64_C(1) << 32, "1b0000000100000000"},
        {UINT64_MAX, "1bffffffffffffffff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer out = buffer_over(written, sizeof written);
        cbor_put_unsigned(&out, cases[i].number);
        assert_written(&out, cases[i].hex);
    }
}

static void test_each_kind_is_written(void **state) {
    (void)state;
    struct buffer out = buffer_over(written, sizeof written);
    cbor_put_integer(&out, -1);
    cbor_put_integer(&out, INT64_MIN);
    cbor_put_integer(&out, 24);
    cbor_put_bytes(&out, slice_of("\x01\x02", 2));
    cbor_put_text(&out, slice_str("ab"));
    cbor_put_array(&out, 2);
    cbor_put_map(&out, 24);
    cbor_put_tag(&out, CBOR_TAG_TIME);
    cbor_put_simple(&out, CBOR_NULL);
    assert_written(&out, "203b7fffffffffffffff18184201026261628"
                         "2b818c1f6");
}

static void test_TYP_04_floats_are_single_when_that_is_exact(void **state) {
    (void)state;
    static const struct {
        double real;
        const char *hex;
    } cases[] = {
        {2.5, "fa40200000"},      {-0.0, "fa80000000"},          {0.1, "fb3fb999999999999a"},
        {INFINITY, "fa7f800000"}, {1e300, "fb7e37e43c8800759c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer out = buffer_over(written, sizeof written);
        cbor_put_float(&out, cases[i].real);
        assert_written(&out, cases[i].hex);
    }
}

static void test_a_full_buffer_says_so(void **state) {
    (void)state;
    struct buffer out = buffer_over(written, 4);
    cbor_put_float(&out, 2.5);
    assert_true(out.overflow);
}

/* ---- both ---- */

static void test_any_bytes_are_read_without_harm(void **state) {
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < 100000; round++) {
        size_t len = (size_t)rand_r(&seed) % 24, items = 0;
        uint8_t *bytes = malloc(len + 1); /* so that there is one for no bytes, too */
        assert_non_null(bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i + 1] = (uint8_t)(rand_r(&seed) >> 4);
        scratch = buffer_over(joined, sizeof joined);
        struct cbor_reader reader = cbor_reader_over(slice_of(bytes + 1, len), &scratch);
        struct cbor_reader again = reader;
        walk(&reader, &items);
        bool good = reader.fault == NULL && items > 0;
        assert_true((cbor_skip(&again) && again.fault == NULL) == good);
        assert_int_equal(good ? reader.rest.len : 0, good ? again.rest.len : 0);
        free(bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_CB6_R01_integers_of_any_width),
        cmocka_unit_test(test_TYP_02_integers_of_64_bits_are_exact),
        cmocka_unit_test(test_TYP_04_half_single_and_double_floats),
        cmocka_unit_test(test_CB6_R01_simple_values),
        cmocka_unit_test(test_CB6_R01_strings_of_indefinite_length_are_joined),
        cmocka_unit_test(test_two_joined_strings_stay),
        cmocka_unit_test(test_a_joined_string_that_is_longer_than_the_scratch_is_refused),
        cmocka_unit_test(test_without_scratch_a_string_in_parts_is_refused),
        cmocka_unit_test(test_CB6_R01_the_tag_next_to_an_item_counts),
        cmocka_unit_test(test_SML_R17_LCB_R03_definite_and_indefinite_arrays_and_maps),
        cmocka_unit_test(test_malformed_input_is_refused),
        cmocka_unit_test(test_FMT_03_nesting_is_bounded),
        cmocka_unit_test(test_nothing_is_read_past_the_end_of_an_array),
        cmocka_unit_test(test_a_fault_ends_every_loop),
        cmocka_unit_test(test_SML_R19_bytes_after_the_item_are_a_fault),
        cmocka_unit_test(test_SML_R17_heads_are_the_shortest),
        cmocka_unit_test(test_each_kind_is_written),
        cmocka_unit_test(test_TYP_04_floats_are_single_when_that_is_exact),
        cmocka_unit_test(test_a_full_buffer_says_so),
        cmocka_unit_test(test_any_bytes_are_read_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
