/* Protected messages: Appendix C.4 to C.8 of RFC 8613, then what may not pass, then any message there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/coap/option.h"
#include "common/oscore/protect.h"
#include "tests/unit/oscore/kit.h"

static uint8_t memory_a[4096], memory_b[4096];

static struct buffer over(uint8_t memory[4096]) {
    return buffer_over(memory, 4096);
}

static struct coap_message decoded(const char *hex) {
    struct coap_message message;
    assert_int_equal(coap_decode(kit_bytes(hex), &message), COAP_DECODE_OK);
    return message;
}

static void assert_encoded(const struct coap_message *message, const char *hex) {
    uint8_t bytes[2048];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(coap_encode(message, &out));
    assert_hex(buffer_slice(&out), hex);
}

static struct oscore_option option_of(const struct coap_message *message) {
    struct oscore_option option;
    const struct coap_option *found = coap_option_find(message, COAP_OSCORE);
    assert_non_null(found);
    assert_true(oscore_option_decode(found->value, &option));
    return option;
}

/* Protect with the client's context, compare, and open with the server's. */
static void assert_request(enum kit_case which, const char *plain, const char *expected) {
    struct oscore_context client = kit_context(which, false, 20), server = kit_context(which, true, 0);
    struct coap_message inner = decoded(plain), outer, opened;
    struct buffer memory = over(memory_a), more = over(memory_b);
    struct oscore_request request, seen;
    struct slice kid_context = which == KIT_C3 ? kit_bytes("37cbf3210017a2d3") : SLICE_NONE;
    assert_int_equal(oscore_protect_request(&client, kid_context, &inner, &memory, &outer, &request), OSCORE_OK);
    assert_encoded(&outer, expected);
    struct oscore_option option = option_of(&outer);
    assert_int_equal(oscore_open_request(&server, &option, &outer, &more, &opened, &seen), OSCORE_OK);
    assert_memory_equal(&seen, &request, sizeof seen);
    coap_option_remove(&opened, COAP_OSCORE);
    assert_encoded(&opened, plain);
    assert_int_equal(client.next_number, 21);
}

static void test_OSC_03_request_of_appendix_c4(void **state) {
    (void)state;
    assert_request(KIT_C1, "44015d1f00003974396c6f63616c686f737483747631",
                   "44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e");
}

static void test_OSC_03_request_of_appendix_c5(void **state) {
    (void)state;
    assert_request(KIT_C2, "440171c30000b932396c6f63616c686f737483747631",
                   "440271c30000b932396c6f63616c686f737463091400ff4ed339a5a379b0b8bc731fffb0");
}

static void test_OSC_03_request_of_appendix_c6_with_kid_context(void **state) {
    (void)state;
    assert_request(KIT_C3, "44012f8eef9bbf7a396c6f63616c686f737483747631",
                   "44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff72cd7273fd331ac45cffbe55c3");
}

static void assert_response(enum oscore_nonce_source nonce, const char *expected) {
    static const char plain[] = "64455d1f00003974ff48656c6c6f20576f726c6421";
    struct oscore_context client = kit_context(KIT_C1, false, 20), server = kit_context(KIT_C1, true, 0);
    struct coap_message inner = decoded(plain), outer, opened;
    struct buffer memory = over(memory_a), more = over(memory_b);
    struct oscore_request request;
    struct oscore_response about;
    assert_true(oscore_request_of(kit_bytes("0914"), &request));
    assert_int_equal(oscore_protect_response(&server, &request, nonce, SLICE_NONE, &inner, &memory, &outer), OSCORE_OK);
    assert_encoded(&outer, expected);
    struct oscore_option option = option_of(&outer);
    assert_int_equal(oscore_open_response(&client, &request, &option, &outer, &more, &opened, &about), OSCORE_OK);
    assert_encoded(&opened, plain);
    assert_int_equal(about.has_number, nonce == OSCORE_NONCE_OWN);
    assert_int_equal(about.number, 0);
    assert_int_equal(server.next_number, nonce == OSCORE_NONCE_OWN ? 1 : 0);
}

static void test_OSC_09_response_of_appendix_c7_with_the_requests_nonce(void **state) {
    (void)state;
    assert_response(OSCORE_NONCE_OF_REQUEST, "64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106");
}

static void test_OSC_09_response_of_appendix_c8_with_a_partial_iv_of_its_own(void **state) {
    (void)state;
    assert_response(OSCORE_NONCE_OWN, "64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e");
}

/* ---- what may not pass ---- */

/* C.4's request, as the server gets it. */
static enum oscore_result open_changed(struct oscore_context *server, size_t byte, uint8_t flip) {
    uint8_t bytes[64];
    struct coap_message outer, inner;
    struct oscore_request request;
    struct buffer memory = over(memory_a);
    struct slice good = kit_bytes("44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e");
    memcpy(bytes, good.data, good.len);
    bytes[byte] ^= flip;
    assert_int_equal(coap_decode(slice_of(bytes, good.len), &outer), COAP_DECODE_OK);
    struct oscore_option option = option_of(&outer);
    return oscore_open_request(server, &option, &outer, &memory, &inner, &request);
}

static void test_OSC_07_a_changed_ciphertext_tag_or_number_is_bad(void **state) {
    (void)state;
    struct oscore_context server = kit_context(KIT_C1, true, 0);
    assert_int_equal(open_changed(&server, 20, 0), OSCORE_OK);
    for (size_t byte = 22; byte < 35; byte++)
        assert_int_equal(open_changed(&server, byte, 0x40), OSCORE_BAD);
    assert_int_equal(open_changed(&server, 20, 1), OSCORE_BAD);
    assert_int_equal(server.window.bits, 0);
}

static void test_OSC_07_a_ciphertext_shorter_than_code_and_tag_is_bad(void **state) {
    (void)state;
    struct oscore_context server = kit_context(KIT_C1, true, 0);
    struct coap_message outer = decoded("44025d1f00003974920914ff612f1092f1776f1c"), inner;
    struct oscore_request request;
    struct buffer memory = over(memory_a);
    struct oscore_option option = option_of(&outer);
    assert_int_equal(oscore_open_request(&server, &option, &outer, &memory, &inner, &request), OSCORE_BAD);
    outer.payload = SLICE_NONE;
    assert_int_equal(oscore_open_request(&server, &option, &outer, &memory, &inner, &request), OSCORE_BAD);
}

static void test_OSC_06_a_request_that_was_taken_is_a_replay(void **state) {
    (void)state;
    struct oscore_context server = kit_context(KIT_C1, true, 0);
    struct oscore_request request;
    assert_int_equal(open_changed(&server, 20, 0), OSCORE_OK);
    assert_true(oscore_request_of(kit_bytes("0914"), &request));
    assert_true(oscore_request_take(&server, &request));
    assert_int_equal(open_changed(&server, 20, 0), OSCORE_REPLAY);
}

static void test_OSC_04_a_request_without_partial_iv_is_malformed(void **state) {
    (void)state;
    struct oscore_context server = kit_context(KIT_C1, true, 0);
    struct coap_message outer = decoded("44025d1f000039749108ff612f1092f1776f1c1668b3825e"), inner;
    struct oscore_request request;
    struct buffer memory = over(memory_a);
    struct oscore_option option = option_of(&outer);
    assert_int_equal(oscore_open_request(&server, &option, &outer, &memory, &inner, &request), OSCORE_MALFORMED);
}

static void test_a_response_to_another_request_is_bad(void **state) {
    (void)state;
    struct oscore_context client = kit_context(KIT_C1, false, 20);
    struct coap_message outer = decoded("64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106"), inner;
    struct oscore_request request;
    struct oscore_response about;
    struct buffer memory = over(memory_a);
    struct oscore_option option = option_of(&outer);
    assert_true(oscore_request_of(kit_bytes("0915"), &request));
    assert_int_equal(oscore_open_response(&client, &request, &option, &outer, &memory, &inner, &about), OSCORE_BAD);
}

static void test_a_request_is_no_response_and_the_reverse(void **state) {
    (void)state;
    struct oscore_context client = kit_context(KIT_C1, false, 20), server = kit_context(KIT_C1, true, 0);
    struct coap_message inner = decoded("44455d1f00003974"), outer, opened;
    struct buffer memory = over(memory_a), more = over(memory_b);
    struct oscore_request request;
    assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_OK);
    struct oscore_option option = option_of(&outer);
    assert_int_equal(oscore_open_request(&server, &option, &outer, &more, &opened, &request), OSCORE_BAD);
}

static void test_OSC_14_numbers_end_at_the_limit_and_at_2_40(void **state) {
    (void)state;
    struct oscore_context client = kit_context(KIT_C1, false, 7);
    struct coap_message inner = decoded("44015d1f00003974"), outer;
    struct buffer memory = over(memory_a);
    struct oscore_request request;
    client.number_limit = 8;
    assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_OK);
    assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_NO_NUMBERS);
    client.number_limit = UINT64_MAX;
    client.next_number = OSCORE_NUMBER_END - 1;
    assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_OK);
    assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_NO_NUMBERS);
    inner.code = COAP_2_05_CONTENT;
    assert_int_equal(oscore_protect_response(&client, &request, OSCORE_NONCE_OWN, SLICE_NONE, &inner, &memory, &outer),
                     OSCORE_NO_NUMBERS);
    assert_int_equal(client.next_number, OSCORE_NUMBER_END);
}

/* ---- Observe and classes of options ---- */

static void test_OSC_09_observe_is_inside_and_outside_and_in_the_order_of_numbers(void **state) {
    (void)state;
    struct oscore_context client = kit_context(KIT_C1, false, 0), server = kit_context(KIT_C1, true, 0x12345678);
    struct coap_message inner = decoded("44015d1f00003974605474656d70"), outer, opened;
    struct buffer memory = over(memory_a), more = over(memory_b);
    struct oscore_request request, seen;
    struct oscore_response about;
    uint32_t value;
    assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_OK);
    assert_int_equal(outer.code, COAP_FETCH);
    assert_true(coap_option_uint(&outer, COAP_OBSERVE, &value) && value == 0);
    struct oscore_option option = option_of(&outer);
    assert_int_equal(oscore_open_request(&server, &option, &outer, &more, &opened, &seen), OSCORE_OK);
    assert_int_equal(opened.code, COAP_GET);
    assert_true(coap_option_uint(&opened, COAP_OBSERVE, &value) && value == 0);
    struct coap_message without = outer; /* somebody on the way has taken it out */
    coap_option_remove(&without, COAP_OBSERVE);
    more = over(memory_b);
    assert_int_equal(oscore_open_request(&server, &option, &without, &more, &opened, &seen), OSCORE_OK);
    assert_null(coap_option_find(&opened, COAP_OBSERVE));

    struct coap_message notification = decoded("54450001000039746103ff3935");
    memory = over(memory_a);
    more = over(memory_b);
    assert_int_equal(
        oscore_protect_response(&server, &request, OSCORE_NONCE_OWN, SLICE_NONE, &notification, &memory, &outer),
        OSCORE_OK);
    assert_int_equal(outer.code, COAP_2_05_CONTENT);
    assert_true(coap_option_uint(&outer, COAP_OBSERVE, &value) && value == 3);
    option = option_of(&outer);
    assert_int_equal(oscore_open_response(&client, &request, &option, &outer, &more, &opened, &about), OSCORE_OK);
    assert_true(coap_option_uint(&opened, COAP_OBSERVE, &value));
    assert_int_equal(value, 0x345678);
    assert_int_equal(about.number, 0x12345678);
}

static void test_OSC_19_only_class_u_options_count_outside(void **state) {
    (void)state;
    struct oscore_context client = kit_context(KIT_C1, false, 0), server = kit_context(KIT_C1, true, 0);
    struct coap_message inner, outer, opened;
    struct buffer memory = over(memory_a), more = over(memory_b);
    struct oscore_request request;
    struct coap_uint port;
    coap_message_init(&inner, COAP_CON, COAP_GET, 1, SLICE_NONE);
    coap_option_add(&inner, COAP_URI_HOST, slice_str("host"));
    coap_option_add_uint(&inner, COAP_URI_PORT, 5683, &port);
    coap_option_add(&inner, COAP_URI_PATH, slice_str("rd"));
    assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_OK);
    assert_null(coap_option_find(&outer, COAP_URI_PATH));
    assert_true(slice_is(coap_option_find(&outer, COAP_URI_HOST)->value, "host"));
    coap_option_add(&outer, COAP_URI_PATH, slice_str("evil"));
    coap_option_add(&outer, COAP_URI_QUERY, slice_str("evil"));
    coap_option_add(&outer, COAP_ACCEPT, SLICE_NONE);
    coap_option_remove(&outer, COAP_URI_HOST);
    coap_option_add(&outer, COAP_URI_HOST, slice_str("other")); /* anybody on the way may */
    struct oscore_option option = option_of(&outer);
    assert_int_equal(oscore_open_request(&server, &option, &outer, &more, &opened, &request), OSCORE_OK);
    assert_int_equal(opened.option_count, 4);
    assert_true(slice_is(coap_option_find(&opened, COAP_URI_HOST)->value, "other"));
    assert_true(slice_is(coap_option_find(&opened, COAP_URI_PATH)->value, "rd"));
    assert_null(coap_option_find(&opened, COAP_URI_QUERY));
    assert_non_null(coap_option_find(&opened, COAP_URI_PORT));
}

static void test_OSC_18_nothing_of_a_message_can_be_read_outside(void **state) {
    (void)state;
    struct oscore_context client = kit_context(KIT_C1, false, 0);
    struct coap_message inner, outer;
    struct buffer memory = over(memory_a);
    struct oscore_request request;
    uint8_t bytes[512];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    coap_message_init(&inner, COAP_CON, COAP_PUT, 1, SLICE_NONE);
    coap_option_add(&inner, COAP_URI_PATH, slice_str("secretpath"));
    inner.payload = slice_str("secretpayload");
    assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_OK);
    assert_int_equal(outer.code, COAP_POST);
    assert_non_null(coap_option_find(&outer, COAP_OSCORE));
    assert_true(coap_encode(&outer, &out));
    assert_null(memmem(out.data, out.len, "secret", 6));
    /* The plain text was encrypted where it lay. */
    assert_null(memmem(memory_a, memory.len, "secret", 6));
}

/* ---- any message there and back ---- */

static void put_random_options(struct coap_message *message, uint8_t *values) {
    static const uint16_t numbers[] = {COAP_ETAG,   COAP_URI_PATH,     COAP_CONTENT_FORMAT, COAP_URI_QUERY,
                                       COAP_BLOCK1, COAP_ECHO,         COAP_REQUEST_TAG,    2048,
                                       65000,       COAP_LOCATION_PATH};
    size_t count = random_below(12), at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t len = random_below(30);
        random_bytes(values + at, len);
        coap_option_add(message, numbers[random_below(sizeof numbers / sizeof numbers[0])], slice_of(values + at, len));
        at += len;
    }
}

static void assert_same(const struct coap_message *a, const struct coap_message *b) {
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->mid, b->mid);
    assert_true(slice_equal(a->token, b->token));
    assert_true(slice_equal(a->payload, b->payload));
    assert_int_equal(a->option_count, b->option_count);
    for (size_t i = 0; i < a->option_count; i++) {
        assert_int_equal(a->options[i].number, b->options[i].number);
        assert_true(slice_equal(a->options[i].value, b->options[i].value));
    }
}

static void test_any_message_with_any_algorithm_comes_back(void **state) {
    (void)state;
    static uint8_t values[512], payload[1024];
    for (size_t round = 0; round < 2000; round++) {
        struct oscore_secrets client_secrets = kit_secrets(KIT_C1, false), server_secrets = kit_secrets(KIT_C1, true);
        size_t which = round;
        while (oscore_aead_at(which) == NULL)
            which -= 11;
        client_secrets.aead = server_secrets.aead = oscore_aead_at(which)->number;
        client_secrets.hkdf = server_secrets.hkdf = round % 2 == 0 ? OSCORE_HKDF_SHA_256 : OSCORE_HKDF_SHA_512;
        struct oscore_context client, server;
        struct coap_message inner, outer, opened;
        struct oscore_request request, seen;
        struct oscore_response about;
        uint8_t token[8];
        assert_true(oscore_context_derive(&client, &client_secrets));
        assert_true(oscore_context_derive(&server, &server_secrets));
        client.next_number = server.next_number = random_u64() >> (24 + random_below(40));
        client.number_limit = server.number_limit = OSCORE_NUMBER_END;
        random_bytes(payload, sizeof payload);
        random_bytes(token, sizeof token);
        coap_message_init(&inner, COAP_CON, COAP_PUT, (uint16_t)round, slice_of(token, random_below(9)));
        put_random_options(&inner, values);
        inner.payload = slice_of(payload, random_below(sizeof payload));
        struct buffer memory = over(memory_a), more = over(memory_b);
        assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_OK);
        assert_true(outer.payload.len + 24 <= inner.payload.len + 512 + OSCORE_OVERHEAD);
        struct oscore_option option = option_of(&outer);
        assert_int_equal(oscore_open_request(&server, &option, &outer, &more, &opened, &seen), OSCORE_OK);
        coap_option_remove(&opened, COAP_OSCORE);
        assert_same(&opened, &inner);

        inner.code = COAP_2_05_CONTENT;
        memory = over(memory_a);
        more = over(memory_b);
        enum oscore_nonce_source nonce = round % 3 == 0 ? OSCORE_NONCE_OWN : OSCORE_NONCE_OF_REQUEST;
        assert_int_equal(oscore_protect_response(&server, &seen, nonce, SLICE_NONE, &inner, &memory, &outer),
                         OSCORE_OK);
        option = option_of(&outer);
        assert_int_equal(oscore_open_response(&client, &request, &option, &outer, &more, &opened, &about), OSCORE_OK);
        assert_same(&opened, &inner);
    }
}

static void test_a_message_that_does_not_fit_is_not_sent(void **state) {
    (void)state;
    struct oscore_context client = kit_context(KIT_C1, false, 0);
    struct coap_message inner = decoded("44015d1f00003974396c6f63616c686f737483747631"), outer;
    struct oscore_request request;
    for (size_t room = 0; room < 64; room++) {
        struct buffer memory = buffer_over(memory_a, room);
        enum oscore_result result = oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request);
        assert_int_equal(result, room < 2 + 3 + 5 + 16 ? OSCORE_TOO_LARGE : OSCORE_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_OSC_03_request_of_appendix_c4),
        cmocka_unit_test(test_OSC_03_request_of_appendix_c5),
        cmocka_unit_test(test_OSC_03_request_of_appendix_c6_with_kid_context),
        cmocka_unit_test(test_OSC_09_response_of_appendix_c7_with_the_requests_nonce),
        cmocka_unit_test(test_OSC_09_response_of_appendix_c8_with_a_partial_iv_of_its_own),
        cmocka_unit_test(test_OSC_07_a_changed_ciphertext_tag_or_number_is_bad),
        cmocka_unit_test(test_OSC_07_a_ciphertext_shorter_than_code_and_tag_is_bad),
        cmocka_unit_test(test_OSC_06_a_request_that_was_taken_is_a_replay),
        cmocka_unit_test(test_OSC_04_a_request_without_partial_iv_is_malformed),
        cmocka_unit_test(test_a_response_to_another_request_is_bad),
        cmocka_unit_test(test_a_request_is_no_response_and_the_reverse),
        cmocka_unit_test(test_OSC_14_numbers_end_at_the_limit_and_at_2_40),
        cmocka_unit_test(test_OSC_09_observe_is_inside_and_outside_and_in_the_order_of_numbers),
        cmocka_unit_test(test_OSC_19_only_class_u_options_count_outside),
        cmocka_unit_test(test_OSC_18_nothing_of_a_message_can_be_read_outside),
        cmocka_unit_test(test_any_message_with_any_algorithm_comes_back),
        cmocka_unit_test(test_a_message_that_does_not_fit_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
