/* Messages as frames of a connection (RFC 8323 §3.2); names carry the conformance rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/text.h"
#include "common/coap/block.h"
#include "common/coap/stream.h"

static uint8_t memory[128];

static struct slice bytes_of(const char *hex) {
    struct buffer out = buffer_over(memory, sizeof memory);
    assert_true(text_get_hex(slice_str(hex), &out));
    return buffer_slice(&out);
}

static enum coap_decode_result decode(const char *hex, struct coap_message *message) {
    return coap_stream_decode(bytes_of(hex), message);
}

static void assert_option(const struct coap_message *message, size_t index, uint16_t number, const char *value) {
    assert_true(index < message->option_count);
    assert_int_equal(message->options[index].number, number);
    assert_true(slice_is(message->options[index].value, value));
}

static void assert_same_again(const char *hex) {
    struct coap_message message;
    uint8_t again[128];
    struct buffer out = buffer_over(again, sizeof again);
    assert_int_equal(decode(hex, &message), COAP_DECODE_OK);
    assert_true(coap_stream_encode(&message, &out));
    assert_true(slice_equal(buffer_slice(&out), bytes_of(hex)));
}

static void test_TCP_23_a_register(void **state) {
    (void)state;
    struct coap_message message;
    static const char frame[] = "d41502a1b2c3d4b2726411283765703d64657631096c776d326d3d312e3103623d54ff3c2f332f303e";
    assert_int_equal(decode(frame, &message), COAP_DECODE_OK);
    assert_int_equal(message.code, COAP_POST);
    assert_int_equal(message.token.len, 4);
    assert_int_equal(message.option_count, 5);
    assert_option(&message, 0, COAP_URI_PATH, "rd");
    assert_option(&message, 2, COAP_URI_QUERY, "ep=dev1");
    assert_option(&message, 3, COAP_URI_QUERY, "lwm2m=1.1");
    assert_option(&message, 4, COAP_URI_QUERY, "b=T");
    assert_true(slice_is(message.payload, "</3/0>"));
}

static void test_TCP_01_decoding_and_encoding_are_inverses(void **state) {
    (void)state;
    static const char *const frames[] = {"00e1",
                                         "40e122048020",
                                         "01e242",
                                         "11e34220",
                                         "20e52105",
                                         "40e5ff626164",
                                         "7441a1b2c3d482726403344b78",
                                         "7401a1b2c3d460513301300139",
                                         "5445a1b2c3d46060ff3935",
                                         "0801a1b2c3d4a5b6c7d8"};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        assert_same_again(frames[i]);
}

static void test_TCP_31_messages_have_neither_type_nor_id(void **state) {
    (void)state;
    struct coap_message message;
    assert_int_equal(decode("5445a1b2c3d46060ff3935", &message), COAP_DECODE_OK);
    assert_int_equal(message.type, COAP_CON);
    assert_int_equal(message.mid, 0);
    message.type = COAP_NON; /* and what they say here is not sent */
    message.mid = 0x1234;
    uint8_t bytes[64];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(coap_stream_encode(&message, &out));
    assert_true(slice_equal(buffer_slice(&out), bytes_of("5445a1b2c3d46060ff3935")));
}

/* Payloads at whose lengths the length takes another form. */
static void test_TCP_01_lengths_of_each_form(void **state) {
    (void)state;
    static const struct {
        size_t payload, header;
    } cases[] = {{11, 2}, {12, 3}, {267, 3}, {268, 4}, {65803, 4}, {65804, 6}};
    static uint8_t payload[65804], bytes[65900];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct coap_message message, again;
        struct buffer out = buffer_over(bytes, sizeof bytes);
        coap_message_init(&message, COAP_CON, COAP_2_05_CONTENT, 0, SLICE_NONE);
        message.payload = slice_of(payload, cases[i].payload);
        assert_true(coap_stream_encode(&message, &out));
        assert_int_equal(out.len, cases[i].header + 1 + cases[i].payload);
        assert_int_equal(coap_stream_decode(buffer_slice(&out), &again), COAP_DECODE_OK);
        assert_int_equal(again.payload.len, cases[i].payload);
        struct buffer small = buffer_over(bytes, cases[i].payload + cases[i].header);
        assert_false(coap_stream_encode(&message, &small));
    }
}

static void test_TCP_25_header_of_a_bert_block(void **state) {
    (void)state;
    static const uint8_t body[2048] = {'z', 'z', 'z'};
    uint8_t bytes[2100];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    struct coap_message message;
    struct coap_uint format, block;
    coap_message_init(&message, COAP_CON, COAP_2_05_CONTENT, 0, bytes_of("a1b2c3d4"));
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_OPAQUE, &format);
    coap_block_add(&message, COAP_BLOCK2, (struct coap_block){.num = 0, .more = true, .szx = COAP_SZX_BERT}, &block);
    message.payload = slice_of(body, sizeof body);
    assert_true(coap_stream_encode(&message, &out));
    assert_true(slice_equal(slice_of(bytes, 16), bytes_of("e406f845a1b2c3d4c12ab10fff7a7a7a")));
}

static void test_TCP_15_malformed_frames(void **state) {
    (void)state;
    struct coap_message message;
    assert_int_equal(decode("0901", &message), COAP_DECODE_TOKEN);
    assert_int_equal(decode("1001f0", &message), COAP_DECODE_OPTION); /* delta nibble 15 */
    assert_int_equal(decode("10011f", &message), COAP_DECODE_OPTION); /* length nibble 15 */
    assert_int_equal(decode("100111", &message), COAP_DECODE_OPTION); /* value past the end */
    assert_int_equal(decode("1001ff", &message), COAP_DECODE_PAYLOAD);
    assert_int_equal(decode("", &message), COAP_DECODE_TOO_SHORT);
    assert_int_equal(decode("00", &message), COAP_DECODE_TOO_SHORT);
    assert_int_equal(decode("1001", &message), COAP_DECODE_TOO_SHORT);   /* shorter than it says */
    assert_int_equal(decode("000100", &message), COAP_DECODE_TOO_SHORT); /* longer */
}

static void test_TCP_07_an_empty_message_is_empty_whatever_is_in_it(void **state) {
    (void)state;
    struct coap_message message;
    assert_int_equal(decode("0000", &message), COAP_DECODE_OK);
    assert_int_equal(message.code, COAP_EMPTY);
    assert_int_equal(decode("1100aaff", &message), COAP_DECODE_OK);
    assert_int_equal(message.option_count, 0);
}

/* One that fills what may be taken fits exactly, and one byte more does not. */
static void test_TCP_13_what_fits_into_a_frame(void **state) {
    (void)state;
    static uint8_t zeros[COAP_STREAM_SENT_MAX], bytes[COAP_STREAM_SENT_MAX];
    static const size_t maxima[] = {15, 16, 17, 40, 271, 272, 273, 274, 1152, 16384};
    for (size_t i = 0; i < sizeof maxima / sizeof maxima[0]; i++) {
        for (size_t token_len = 0; token_len <= 8; token_len += 4) {
            size_t max = maxima[i], rest = coap_stream_rest_max(max, token_len);
            struct coap_message message;
            coap_message_init(&message, COAP_CON, COAP_POST, 0, slice_of(zeros, token_len));
            for (size_t more = 0; more < 2; more++) {
                struct buffer out = buffer_over(bytes, max);
                message.payload = slice_of(zeros, rest + more - 1);
                assert_int_equal(coap_rest_size(&message), rest + more);
                assert_int_equal(coap_stream_encode(&message, &out), more == 0);
            }
        }
    }
    assert_int_equal(coap_stream_rest_max(2, 1), 0);
    assert_int_equal(coap_stream_rest_max(0, 8), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_TCP_23_a_register),
        cmocka_unit_test(test_TCP_01_decoding_and_encoding_are_inverses),
        cmocka_unit_test(test_TCP_31_messages_have_neither_type_nor_id),
        cmocka_unit_test(test_TCP_01_lengths_of_each_form),
        cmocka_unit_test(test_TCP_25_header_of_a_bert_block),
        cmocka_unit_test(test_TCP_15_malformed_frames),
        cmocka_unit_test(test_TCP_13_what_fits_into_a_frame),
        cmocka_unit_test(test_TCP_07_an_empty_message_is_empty_whatever_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
