/* Messages on the wire (RFC 7252 §3) against byte vectors that other implementations agree on (tests/data/vectors.json).
 * M-… are messages that decode and encode to the same bytes, N-… are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/random.h"
#include "common/base/text.h"
#include "common/coap/option.h"

static json_t *vectors;

static int load_vectors(void **state) {
    (void)state;
    json_error_t error;
    vectors = json_load_file("tests/data/vectors.json", JSON_DECODE_INT_AS_REAL, &error); /* some need 64 bits */
    return vectors != NULL && json_is_array(vectors) ? 0 : -1;
}

static int free_vectors(void **state) {
    (void)state;
    json_decref(vectors);
    return 0;
}

static const char *vector_text(size_t index, const char *member) {
    return json_string_value(json_object_get(json_array_get(vectors, index), member));
}

static struct slice vector_bytes(size_t index, uint8_t bytes[4096]) {
    struct buffer out = buffer_over(bytes, 4096);
    assert_true(text_get_hex(slice_str(vector_text(index, "hex")), &out));
    return buffer_slice(&out);
}

static void test_every_message_vector_decodes_and_encodes_to_the_same_bytes(void **state) {
    (void)state;
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        uint8_t in[4096], out_bytes[4096];
        if (strncmp(vector_text(i, "id"), "M-", 2) != 0)
            continue;
        struct slice datagram = vector_bytes(i, in);
        struct coap_message message;
        struct buffer out = buffer_over(out_bytes, sizeof out_bytes);
        if (coap_decode(datagram, &message) != COAP_DECODE_OK)
            fail_msg("%s does not decode", vector_text(i, "id"));
        assert_true(coap_encode(&message, &out));
        if (!slice_equal(buffer_slice(&out), datagram))
            fail_msg("%s encodes to other bytes", vector_text(i, "id"));
        count++;
    }
    assert_int_equal(count, 70);
}

static void test_negative_vectors_fail_for_their_reason(void **state) {
    (void)state;
    static const struct {
        const char *id;
        enum coap_decode_result result;
    } rows[] = {
        {"N-01", COAP_DECODE_EMPTY},  {"N-02", COAP_DECODE_EMPTY},   {"N-03", COAP_DECODE_TOKEN},
        {"N-04", COAP_DECODE_OPTION}, {"N-05", COAP_DECODE_PAYLOAD}, {"N-06", COAP_DECODE_OPTION},
        {"N-07", COAP_DECODE_OPTION}, {"N-08", COAP_DECODE_VERSION}, {"N-11", COAP_DECODE_TOO_SHORT},
    };
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            uint8_t in[4096];
            struct coap_message message;
            if (strcmp(vector_text(i, "id"), rows[k].id) != 0)
                continue;
            assert_int_equal(coap_decode(vector_bytes(i, in), &message), rows[k].result);
            count++;
        }
    }
    assert_int_equal(count, sizeof rows / sizeof rows[0]);
}

static void test_every_truncation_of_every_vector_is_bounded(void **state) {
    (void)state;
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        uint8_t in[4096];
        if (strncmp(vector_text(i, "id"), "M-", 2) != 0)
            continue;
        struct slice datagram = vector_bytes(i, in);
        for (size_t len = 0; len < datagram.len; len++) {
            uint8_t *exact = malloc(len == 0 ? 1 : len); /* reading past its end is an error of the sanitizer */
            struct coap_message message;
            memcpy(exact, datagram.data, len);
            coap_decode(slice_of(exact, len), &message);
            free(exact);
        }
    }
}

/* Random messages survive the way out and back. */
static void test_encode_and_decode_are_inverses(void **state) {
    (void)state;
    for (int round = 0; round < 3000; round++) {
        uint8_t pool[2048], bytes[8192];
        struct coap_message message, back;
        struct buffer out = buffer_over(bytes, sizeof bytes);
        random_bytes(pool, sizeof pool);
        coap_message_init(&message, (enum coap_type)random_below(4), (uint8_t)(1 + random_below(255)),
                          (uint16_t)random_u64(), slice_of(pool, random_below(9)));
        size_t options = random_below(12);
        for (size_t i = 0; i < options; i++)
            coap_option_add(
                &message, (uint16_t)(random_below(2) != 0 ? random_below(40) : random_below(65536)),
                slice_of(pool + random_below(1000), random_below(2) != 0 ? random_below(20) : random_below(400)));
        message.payload = slice_of(pool, random_below(300));
        assert_true(coap_encode(&message, &out));
        assert_int_equal(coap_decode(buffer_slice(&out), &back), COAP_DECODE_OK);
        assert_int_equal(back.type, message.type);
        assert_int_equal(back.code, message.code);
        assert_int_equal(back.mid, message.mid);
        assert_true(slice_equal(back.token, message.token));
        assert_true(slice_equal(back.payload, message.payload));
        assert_int_equal(back.option_count, message.option_count);
        for (size_t i = 0; i < back.option_count; i++) {
            assert_int_equal(back.options[i].number, message.options[i].number);
            assert_true(slice_equal(back.options[i].value, message.options[i].value));
        }
    }
}

static void test_encoding_into_too_little_room_fails(void **state) {
    (void)state;
    uint8_t bytes[16];
    struct coap_message message;
    coap_message_init(&message, COAP_CON, COAP_GET, 1, SLICE_NONE);
    message.payload = slice_str("twenty bytes of text");
    for (size_t cap = 0; cap < sizeof bytes; cap++) {
        struct buffer out = buffer_over(bytes, cap);
        assert_false(coap_encode(&message, &out));
    }
}

static void test_codes_have_texts_and_names(void **state) {
    (void)state;
    assert_string_equal(coap_code_text(COAP_2_05_CONTENT).text, "2.05");
    assert_string_equal(coap_code_text(COAP_GET).text, "0.01");
    assert_string_equal(coap_code_text(255).text, "7.31");
    assert_string_equal(coap_code_name(COAP_4_04_NOT_FOUND), "Not Found");
    assert_string_equal(coap_code_name(COAP_CODE(2, 30)), "");
}

static void test_OPT_10_OPT_11_numbers_in_options(void **state) {
    (void)state;
    static const struct {
        uint32_t value;
        size_t len;
    } rows[] = {{0, 0}, {1, 1}, {255, 1}, {256, 2}, {65535, 2}, {65536, 3}, {16777216, 4}, {UINT32_MAX, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct coap_message message;
        struct coap_uint scratch;
        uint32_t value;
        coap_message_init(&message, COAP_CON, COAP_GET, 1, SLICE_NONE);
        coap_option_add_uint(&message, COAP_SIZE1, rows[i].value, &scratch);
        assert_int_equal(message.options[0].value.len, rows[i].len);
        assert_true(coap_option_uint(&message, COAP_SIZE1, &value));
        assert_int_equal(value, rows[i].value);
    }
    struct coap_message message;
    uint32_t accept;
    coap_message_init(&message, COAP_CON, COAP_GET, 1, SLICE_NONE);
    coap_option_add(&message, COAP_ACCEPT, slice_of("\0\x28", 2)); /* leading zeros */
    assert_true(coap_option_uint(&message, COAP_ACCEPT, &accept));
    assert_int_equal(accept, 40);
    coap_message_init(&message, COAP_CON, COAP_GET, 1, SLICE_NONE);
    coap_option_add(&message, COAP_SIZE1, slice_of("\0\0\0\0\1", 5));
    assert_false(coap_option_uint(&message, COAP_SIZE1, &accept));
}

static void test_options_stay_in_order(void **state) {
    (void)state;
    struct coap_message message;
    coap_message_init(&message, COAP_CON, COAP_GET, 1, SLICE_NONE);
    coap_option_add(&message, COAP_URI_QUERY, slice_str("1"));
    coap_option_add(&message, COAP_URI_PATH, slice_str("a"));
    coap_option_add(&message, COAP_URI_QUERY, slice_str("2"));
    coap_option_add(&message, COAP_URI_PATH, slice_str("b"));
    assert_true(slice_is(message.options[0].value, "a"));
    assert_true(slice_is(message.options[1].value, "b"));
    assert_true(slice_is(message.options[2].value, "1"));
    assert_true(slice_is(message.options[3].value, "2"));
    coap_option_remove(&message, COAP_URI_PATH);
    assert_int_equal(message.option_count, 2);
    while (coap_option_add(&message, COAP_URI_QUERY, SLICE_NONE)) {}
    assert_int_equal(message.option_count, COAP_OPTIONS_MAX);
}

static void test_judging_removes_what_means_nothing_and_names_what_is_critical(void **state) {
    (void)state;
    struct coap_option_rules rules = {.oscore = false};
    struct coap_message message;
    coap_message_init(&message, COAP_CON, COAP_GET, 1, SLICE_NONE);
    coap_option_add(&message, COAP_ETAG, slice_str("123456789")); /* too long */
    coap_option_add(&message, COAP_ETAG, slice_str("1"));
    coap_option_add(&message, COAP_CONTENT_FORMAT, SLICE_NONE);
    coap_option_add(&message, COAP_CONTENT_FORMAT, slice_str("1")); /* repeated */
    coap_option_add(&message, COAP_LOCATION_PATH, slice_str("x"));  /* of responses only */
    coap_option_add(&message, 65000, slice_str("x"));
    assert_int_equal(coap_options_judge(&message, &rules), 0);
    assert_int_equal(message.option_count, 2);
    assert_true(slice_is(message.options[0].value, "1"));
    assert_int_equal(message.options[1].value.len, 0);
    coap_option_add(&message, COAP_OSCORE, SLICE_NONE);
    assert_int_equal(coap_options_judge(&message, &rules), COAP_OSCORE);
    rules.oscore = true;
    assert_int_equal(coap_options_judge(&message, &rules), 0);
    coap_option_add(&message, COAP_Q_BLOCK1, SLICE_NONE);
    assert_int_equal(coap_options_judge(&message, &rules), COAP_Q_BLOCK1);
}

static void test_OPT_04_unknown_elective_options_of_a_response_stay_and_critical_ones_do_not(void **state) {
    (void)state;
    struct coap_option_rules rules = {.oscore = false};
    struct coap_message message;
    coap_message_init(&message, COAP_ACK, COAP_2_05_CONTENT, 1, SLICE_NONE);
    coap_option_add(&message, COAP_CONTENT_FORMAT, SLICE_NONE);
    coap_option_add(&message, COAP_HOP_LIMIT, slice_str("x")); /* of requests only */
    coap_option_add(&message, 65000, slice_str("x"));
    coap_option_add(&message, 65000, slice_str("y"));
    assert_int_equal(coap_options_judge(&message, &rules), 0);
    assert_int_equal(message.option_count, 3);
    assert_int_equal(message.options[2].number, 65000);
    assert_true(slice_is(message.options[2].value, "y"));
    coap_option_add(&message, 65001, SLICE_NONE);
    assert_int_equal(coap_options_judge(&message, &rules), 65001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_vector_decodes_and_encodes_to_the_same_bytes),
        cmocka_unit_test(test_negative_vectors_fail_for_their_reason),
        cmocka_unit_test(test_every_truncation_of_every_vector_is_bounded),
        cmocka_unit_test(test_encode_and_decode_are_inverses),
        cmocka_unit_test(test_encoding_into_too_little_room_fails),
        cmocka_unit_test(test_codes_have_texts_and_names),
        cmocka_unit_test(test_OPT_10_OPT_11_numbers_in_options),
        cmocka_unit_test(test_options_stay_in_order),
        cmocka_unit_test(test_judging_removes_what_means_nothing_and_names_what_is_critical),
        cmocka_unit_test(test_OPT_04_unknown_elective_options_of_a_response_stay_and_critical_ones_do_not),
    };
    return cmocka_run_group_tests(tests, load_vectors, free_vectors);
}
