/* Appendix B.2 of RFC 8613, message by message, with nonces that are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/oscore/rederive.h"
#include "tests/unit/oscore/kit.h"

static const uint8_t r1[8] = {0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11};
static const uint8_t r2[8] = {0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22};
static const uint8_t r3[8] = {0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33};

static uint8_t memory_a[2048], memory_b[2048];

static struct oscore_secrets secrets(bool server) {
    struct oscore_secrets s = kit_secrets(KIT_C1, server);
    s.sender_id = kit_bytes(server ? "02" : "01");
    s.recipient_id = kit_bytes(server ? "01" : "02");
    return s;
}

static struct oscore_option option_of(const struct coap_message *message) {
    struct oscore_option option;
    assert_true(oscore_option_decode(coap_option_find(message, COAP_OSCORE)->value, &option));
    return option;
}

static void assert_keys(const struct oscore_context *c, const char *sender, const char *recipient, const char *iv) {
    assert_hex(slice_of(c->sender_key, 16), sender);
    assert_hex(slice_of(c->recipient_key, 16), recipient);
    assert_hex(slice_of(c->common_iv, 13), iv);
}

static struct coap_message a_register(void) {
    struct coap_message message;
    coap_message_init(&message, COAP_CON, COAP_POST, 7, SLICE_NONE);
    coap_option_add(&message, COAP_URI_PATH, slice_str("rd"));
    return message;
}

/* A request of `client` with a kid context. */
static struct coap_message protect(struct oscore_context *client, struct slice nonce, struct oscore_request *request) {
    static uint8_t memory[512], wrapped[OSCORE_KID_CONTEXT_MAX];
    struct buffer out = buffer_over(memory, sizeof memory), kid_context = buffer_over(wrapped, sizeof wrapped);
    struct coap_message inner = a_register(), outer;
    assert_true(oscore_rederive_wrap(nonce, &kid_context));
    client->number_limit = OSCORE_NUMBER_END;
    assert_int_equal(oscore_protect_request(client, buffer_slice(&kid_context), &inner, &out, &outer, request),
                     OSCORE_OK);
    return outer;
}

static struct slice nonce_of(const struct oscore_option *option) {
    struct slice nonce;
    assert_true(oscore_rederive_unwrap(option->kid_context, &nonce));
    return nonce;
}

static void test_OSC_13_the_four_messages_of_appendix_b2(void **state) {
    (void)state;
    struct oscore_secrets client_secrets = secrets(false), server_secrets = secrets(true);
    struct oscore_context client, server;
    struct oscore_request request, seen;
    struct buffer memory = buffer_over(memory_a, sizeof memory_a), more = buffer_over(memory_b, sizeof memory_b);
    struct coap_message first, second, inner;

    assert_true(oscore_rederive_begin(&client, &client_secrets, r1));
    assert_keys(&client, "91971ea2488148db4aa7f3e4214e51e5", "83dd1a60747d60be6c1317d282f33801",
                "ce76f1dd2cfe3a1ba9ffcb12b5");
    first = protect(&client, slice_of(r1, 8), &request);
    assert_hex(coap_option_find(&first, COAP_OSCORE)->value, "190009481111111111111111"
                                                             "01");

    struct oscore_option option = option_of(&first);
    assert_int_equal(oscore_rederive_answer(&server_secrets, nonce_of(&option), r2, &option, &first, &memory, &second),
                     OSCORE_OK);
    assert_hex(coap_option_find(&second, COAP_OSCORE)->value, "110009482222222222222222");
    assert_int_equal(second.code, COAP_2_04_CHANGED);

    option = option_of(&second);
    assert_int_equal(oscore_rederive_continue(&client, &client_secrets, r3, &request, &option, &second, &more),
                     OSCORE_OK);
    assert_keys(&client, "72ed2383192abb4f3c27558d00e28558", "55a42c1765d1faf352141176c9d27a0e",
                "8975ff588fe8f95e215fb0cd5b");
    assert_true(client.window.valid);

    first = protect(&client, oscore_context_id_context(&client), &request);
    assert_hex(coap_option_find(&first, COAP_OSCORE)->value, "190011502222222222222222333333333333333301");
    option = option_of(&first);
    memory = buffer_over(memory_a, sizeof memory_a);
    assert_int_equal(oscore_rederive_finish(&server, &server_secrets, r2, nonce_of(&option), &option, &first, &memory,
                                            &inner, &seen),
                     OSCORE_OK);
    assert_keys(&server, "55a42c1765d1faf352141176c9d27a0e", "72ed2383192abb4f3c27558d00e28558",
                "8975ff588fe8f95e215fb0cd5b");
    assert_int_equal(inner.code, COAP_POST);
    assert_true(slice_is(coap_option_find(&inner, COAP_URI_PATH)->value, "rd"));

    /* Response #2 is an ordinary one, and request #2 is not taken again. */
    struct coap_message created;
    struct oscore_response about;
    coap_message_init(&created, COAP_ACK, COAP_2_01_CREATED, 7, SLICE_NONE);
    assert_int_equal(
        oscore_protect_response(&server, &seen, OSCORE_NONCE_OF_REQUEST, SLICE_NONE, &created, &memory, &second),
        OSCORE_OK);
    struct oscore_option of_response = option_of(&second);
    assert_int_equal(oscore_open_response(&client, &request, &of_response, &second, &more, &inner, &about), OSCORE_OK);
    assert_int_equal(inner.code, COAP_2_01_CREATED);
    assert_int_equal(oscore_open_request(&server, &option, &first, &memory, &inner, &seen), OSCORE_REPLAY);
}

static void test_OSC_13_the_second_response_has_the_keys_of_r2_and_r1(void **state) {
    (void)state;
    struct oscore_secrets s = secrets(true);
    struct oscore_context c;
    s.id_context = kit_bytes("22222222222222221111111111111111");
    assert_true(oscore_context_derive(&c, &s));
    assert_keys(&c, "d91d361fbd9dd2980a4272c009198d1f", "e104d887cf6332b75e63353d81995791",
                "17c41c137883156c24fc81005e");
}

static void test_OSC_13_the_server_begins_under_the_context_that_is(void **state) {
    (void)state;
    struct oscore_secrets client_secrets = secrets(false), server_secrets = secrets(true);
    struct oscore_context client, server;
    struct oscore_request request;
    struct buffer memory = buffer_over(memory_a, sizeof memory_a), more = buffer_over(memory_b, sizeof memory_b);
    struct coap_message inner = a_register(), outer, response;
    assert_true(oscore_context_derive(&client, &client_secrets)); /* no ID Context at all */
    client.number_limit = OSCORE_NUMBER_END;
    client.next_number = 300;
    assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_OK);
    struct oscore_option option = option_of(&outer);
    assert_int_equal(oscore_rederive_answer(&server_secrets, SLICE_NONE, r2, &option, &outer, &more, &response),
                     OSCORE_OK);
    assert_hex(coap_option_find(&response, COAP_OSCORE)->value, "12012c09482222222222222222");
    option = option_of(&response);
    memory = buffer_over(memory_a, sizeof memory_a);
    assert_int_equal(oscore_rederive_continue(&client, &client_secrets, r3, &request, &option, &response, &memory),
                     OSCORE_OK);
    outer = protect(&client, oscore_context_id_context(&client), &request);
    option = option_of(&outer);
    memory = buffer_over(memory_a, sizeof memory_a);
    assert_int_equal(oscore_rederive_finish(&server, &server_secrets, r2, nonce_of(&option), &option, &outer, &memory,
                                            &inner, &request),
                     OSCORE_OK);
    assert_hex(oscore_context_id_context(&server), "22222222222222223333333333333333");
}

static void test_OSC_13_a_request_that_does_not_verify_gets_no_nonce(void **state) {
    (void)state;
    struct oscore_secrets client_secrets = secrets(false), server_secrets = secrets(true);
    struct oscore_context client, server = {0};
    struct oscore_request request;
    struct buffer memory = buffer_over(memory_a, sizeof memory_a);
    struct coap_message outer, response, inner;
    client_secrets.master_secret = kit_bytes("ff02030405060708090a0b0c0d0e0f10");
    assert_true(oscore_rederive_begin(&client, &client_secrets, r1));
    outer = protect(&client, slice_of(r1, 8), &request);
    struct oscore_option option = option_of(&outer);
    assert_int_equal(
        oscore_rederive_answer(&server_secrets, nonce_of(&option), r2, &option, &outer, &memory, &response),
        OSCORE_BAD);
    /* Nor does one pass whose nonces were not told, or that has none of its own. */
    static const char *const nonces[] = {"21222222222222223333333333333333", "2222222222222222", "22"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(oscore_rederive_finish(&server, &server_secrets, r2, kit_bytes(nonces[i]), &option, &outer,
                                                &memory, &inner, &request),
                         OSCORE_BAD);
    assert_int_equal(server.aead, 0);
}

static void test_OSC_13_a_false_response_changes_nothing(void **state) {
    (void)state;
    struct oscore_secrets client_secrets = secrets(false), server_secrets = secrets(true);
    struct oscore_context client, before;
    struct oscore_request request;
    struct buffer memory = buffer_over(memory_a, sizeof memory_a), more = buffer_over(memory_b, sizeof memory_b);
    struct coap_message outer, response;
    assert_true(oscore_rederive_begin(&client, &client_secrets, r1));
    outer = protect(&client, slice_of(r1, 8), &request);
    struct oscore_option option = option_of(&outer);
    assert_int_equal(
        oscore_rederive_answer(&server_secrets, nonce_of(&option), r2, &option, &outer, &memory, &response), OSCORE_OK);
    option = option_of(&response);
    before = client;
    struct slice good = option.kid_context;
    option.kid_context = kit_bytes("482322222222222222"); /* another R2 than it was sealed with */
    assert_int_equal(oscore_rederive_continue(&client, &client_secrets, r3, &request, &option, &response, &more),
                     OSCORE_BAD);
    option.kid_context = kit_bytes("4722222222222222"); /* too short */
    assert_int_equal(oscore_rederive_continue(&client, &client_secrets, r3, &request, &option, &response, &more),
                     OSCORE_MALFORMED);
    assert_memory_equal(&client, &before, sizeof client);
    option.kid_context = good;
    more = buffer_over(memory_b, sizeof memory_b);
    assert_int_equal(oscore_rederive_continue(&client, &client_secrets, r3, &request, &option, &response, &more),
                     OSCORE_OK);
}

/* Under the Common IV of the second context, or as libcoap has it under that of the first. */
static void take_response_with_nonce_of_request(bool of_first) {
    struct oscore_secrets client_secrets = secrets(false), server_secrets = secrets(true);
    struct oscore_context client, second;
    struct oscore_request request;
    struct buffer memory = buffer_over(memory_a, sizeof memory_a), more = buffer_over(memory_b, sizeof memory_b);
    struct coap_message inner, response;
    uint8_t id_context[16];
    assert_true(oscore_rederive_begin(&client, &client_secrets, r1));
    protect(&client, slice_of(r1, 8), &request);
    memcpy(id_context, r2, 8);
    memcpy(id_context + 8, r1, 8);
    server_secrets.id_context = slice_of(id_context, sizeof id_context);
    assert_true(oscore_context_derive(&second, &server_secrets));
    if (of_first)
        memcpy(second.common_iv, client.common_iv, sizeof second.common_iv);
    coap_message_init(&inner, COAP_ACK, COAP_4_01_UNAUTHORIZED, 7, SLICE_NONE);
    assert_int_equal(oscore_protect_response(&second, &request, OSCORE_NONCE_OF_REQUEST,
                                             kit_bytes("482222222222222222"), &inner, &memory, &response),
                     OSCORE_OK);
    struct oscore_option option = option_of(&response);
    assert_int_equal(option.piv.len, 0);
    assert_int_equal(oscore_rederive_continue(&client, &client_secrets, r3, &request, &option, &response, &more),
                     OSCORE_OK);
    assert_int_equal(client.id_context_len, 16);
}

static void test_OSC_13_a_response_with_the_nonce_of_its_request_is_taken(void **state) {
    (void)state;
    take_response_with_nonce_of_request(false);
    take_response_with_nonce_of_request(true);
}

static void test_OSC_13_a_replayed_request_gets_the_same_bytes(void **state) {
    (void)state;
    struct oscore_secrets client_secrets = secrets(false), server_secrets = secrets(true);
    struct oscore_context client;
    struct oscore_request request;
    struct buffer memory = buffer_over(memory_a, sizeof memory_a), more = buffer_over(memory_b, sizeof memory_b);
    struct coap_message outer, one, other;
    assert_true(oscore_rederive_begin(&client, &client_secrets, r1));
    outer = protect(&client, slice_of(r1, 8), &request);
    struct oscore_option option = option_of(&outer);
    oscore_rederive_answer(&server_secrets, nonce_of(&option), r2, &option, &outer, &memory, &one);
    oscore_rederive_answer(&server_secrets, nonce_of(&option), r2, &option, &outer, &more, &other);
    assert_true(slice_equal(one.payload, other.payload));
    outer = protect(&client, slice_of(r1, 8), &request); /* another request has another nonce */
    option = option_of(&outer);
    more = buffer_over(memory_b, sizeof memory_b);
    oscore_rederive_answer(&server_secrets, nonce_of(&option), r2, &option, &outer, &more, &other);
    assert_false(slice_equal(one.payload, other.payload));
    option = option_of(&other);
    assert_hex(option.piv, "01");
}

static void test_kid_contexts_that_are_no_nonces(void **state) {
    (void)state;
    static const char *const bad[] = {"",         "48",       "4811",   "48111111111111111100", "00",
                                      "5f4111ff", "7f6111ff", "7f8344", "c1481111111111111111", "685858585858585858"};
    struct slice nonce;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(oscore_rederive_unwrap(kit_bytes(bad[i]), &nonce));
    assert_true(oscore_rederive_unwrap(kit_bytes("481111111111111111"), &nonce));
    assert_int_equal(nonce.len, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_OSC_13_the_four_messages_of_appendix_b2),
        cmocka_unit_test(test_OSC_13_the_second_response_has_the_keys_of_r2_and_r1),
        cmocka_unit_test(test_OSC_13_the_server_begins_under_the_context_that_is),
        cmocka_unit_test(test_OSC_13_a_request_that_does_not_verify_gets_no_nonce),
        cmocka_unit_test(test_OSC_13_a_false_response_changes_nothing),
        cmocka_unit_test(test_OSC_13_a_response_with_the_nonce_of_its_request_is_taken),
        cmocka_unit_test(test_OSC_13_a_replayed_request_gets_the_same_bytes),
        cmocka_unit_test(test_kid_contexts_that_are_no_nonces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
