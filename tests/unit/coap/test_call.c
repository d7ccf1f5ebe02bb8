/* Requests of ours (RFC 7252 §4.2, §5.2, §5.3): retransmission, matching of responses, failures; names carry the
 * conformance rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/coap/rig.h"

static struct rig rig;

static int start(void **state) {
    (void)state;
    rig_start(&rig, NULL);
    return 0;
}

static int stop(void **state) {
    (void)state;
    rig_stop(&rig);
    return 0;
}

/* The request that was sent last, and an answer to it. */
static struct coap_message asked;
static uint8_t asked_token[8];

static void ask(void) {
    assert_non_null(rig_call(&rig, COAP_GET, SLICE_NONE));
    rig_next_message(&rig, &asked);
    memcpy(asked_token, asked.token.data, asked.token.len);
    asked.token.data = asked_token;
}

static struct coap_message answer_of(enum coap_type type, uint8_t code, uint16_t mid) {
    struct coap_message answer;
    coap_message_init(&answer, type, code, mid, asked.token);
    answer.payload = slice_str("95");
    return answer;
}

static void hear_empty(enum coap_type type, uint16_t mid) {
    struct coap_message empty;
    coap_message_init(&empty, type, COAP_EMPTY, mid, SLICE_NONE);
    rig_hear_message(&rig, &empty);
}

static void test_a_piggybacked_answer(void **state) {
    (void)state;
    ask();
    assert_int_equal(asked.type, COAP_CON);
    struct coap_message answer = answer_of(COAP_ACK, COAP_2_05_CONTENT, asked.mid);
    rig_advance(&rig, 120);
    rig_hear_message(&rig, &answer);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_REPLY);
    assert_int_equal(rig.reply_code, COAP_2_05_CONTENT);
    assert_int_equal(rig.reply.rtt_ms, 120);
    assert_memory_equal(rig.reply_body, "95", 2);
    rig_advance(&rig, 300000);
    rig_silent(&rig);
    assert_int_equal(rig.replies, 1);
}

static void test_MSG_19_MSG_20_token_and_mid_must_both_match(void **state) {
    (void)state;
    ask();
    struct coap_message wrong = answer_of(COAP_ACK, COAP_2_05_CONTENT, asked.mid);
    uint8_t other_token = (uint8_t)~asked_token[0];
    wrong.token = slice_of(&other_token, 1);
    rig_hear_message(&rig, &wrong);
    wrong = answer_of(COAP_ACK, COAP_2_05_CONTENT, (uint16_t)(asked.mid + 1));
    rig_hear_message(&rig, &wrong);
    assert_int_equal(rig.replies, 0);
    struct coap_message again;
    rig_advance(&rig, 3000);
    rig_next_message(&rig, &again); /* we go on */
    assert_int_equal(again.mid, asked.mid);
    struct coap_message right = answer_of(COAP_ACK, COAP_2_05_CONTENT, asked.mid);
    rig_hear_message(&rig, &right);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.retransmissions, 1);
}

static void test_MSG_21_answers_from_elsewhere_do_not_match(void **state) {
    (void)state;
    ask();
    uint8_t bytes[64];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    struct coap_message answer = answer_of(COAP_CON, COAP_2_05_CONTENT, 0x1111);
    coap_encode(&answer, &out);
    coap_receive(rig.endpoint, &rig.links[1], buffer_slice(&out));
    assert_int_equal(rig.replies, 0);
    const struct rig_datagram *reset = rig_next(&rig);
    assert_ptr_equal(reset->link, &rig.links[1]);
    assert_int_equal(reset->bytes[0], 0x70);
}

static void test_MSG_29_MSG_33_separate_answers_are_acknowledged_and_delivered_once(void **state) {
    (void)state;
    ask();
    hear_empty(COAP_ACK, asked.mid);
    struct coap_message answer = answer_of(COAP_CON, COAP_2_05_CONTENT, 0x2222);
    rig_advance(&rig, 20000);
    rig_silent(&rig); /* acknowledged: not sent again */
    rig_hear_message(&rig, &answer);
    rig_next_is(&rig, "60002222");
    assert_int_equal(rig.replies, 1);
    rig_hear_message(&rig, &answer);
    rig_next_is(&rig, "60002222");
    assert_int_equal(rig.replies, 1);
}

static void test_MSG_30_a_separate_answer_overtakes_the_empty_ack(void **state) {
    (void)state;
    ask();
    struct coap_message answer = answer_of(COAP_CON, COAP_2_05_CONTENT, 0x2222);
    rig_hear_message(&rig, &answer);
    rig_next_is(&rig, "60002222");
    assert_int_equal(rig.replies, 1);
    hear_empty(COAP_ACK, asked.mid);
    rig_advance(&rig, 100000);
    rig_silent(&rig);
}

static void test_MSG_31_a_non_confirmable_answer(void **state) {
    (void)state;
    ask();
    struct coap_message answer = answer_of(COAP_NON, COAP_2_05_CONTENT, 0x2222);
    rig_hear_message(&rig, &answer);
    assert_int_equal(rig.replies, 1);
    rig_hear_message(&rig, &answer);
    rig_advance(&rig, 100000);
    rig_silent(&rig);
}

static void test_MSG_32_a_separate_answer_under_the_mid_of_our_request(void **state) {
    (void)state;
    char ping[32];
    ask();
    /* The peer has used that number for a request of its own not long ago. */
    snprintf(ping, sizeof ping, "4001%04xb161", asked.mid);
    rig_hear(&rig, ping);
    rig_next(&rig);
    hear_empty(COAP_ACK, asked.mid);
    struct coap_message answer = answer_of(COAP_CON, COAP_2_04_CHANGED, asked.mid);
    rig_hear_message(&rig, &answer);
    struct coap_message ack;
    rig_next_message(&rig, &ack);
    assert_int_equal(ack.type, COAP_ACK);
    assert_int_equal(ack.mid, asked.mid);
    assert_int_equal(rig.replies, 1);
}

static void test_MSG_34_MSG_37_reset(void **state) {
    (void)state;
    ask();
    hear_empty(COAP_RST, asked.mid);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_RESET);
    rig_advance(&rig, 100000);
    rig_silent(&rig);
}

static void factor_one(struct coap_params *params) {
    params->ack_random_factor = 1.0;
}

static int start_factor_one(void **state) {
    (void)state;
    rig_start(&rig, factor_one);
    return 0;
}

static void test_MSG_35_MSG_37_no_ack_factor_1_0(void **state) {
    (void)state;
    static const uint64_t at_ms[] = {0, 2000, 6000, 14000, 30000};
    uint64_t start_ms = clock_now_ms(&rig.clock);
    rig_call(&rig, COAP_GET, SLICE_NONE);
    rig_advance(&rig, 61999);
    assert_int_equal(rig.replies, 0);
    rig_advance(&rig, 1);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_NO_ACK);
    assert_int_equal(rig.reply.retransmissions, 4);
    for (size_t i = 0; i < 5; i++) {
        const struct rig_datagram *datagram = rig_next(&rig);
        assert_int_equal(datagram->at_ms - start_ms, at_ms[i]);
        assert_int_equal(datagram->len, rig.sent[0].len);
        assert_memory_equal(datagram->bytes, rig.sent[0].bytes, datagram->len);
    }
    rig_silent(&rig);
}

static void test_MSG_35_random_start_between_2_and_3_seconds(void **state) {
    (void)state;
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < 60; i++) {
        uint64_t start_ms = clock_now_ms(&rig.clock);
        rig_call(&rig, COAP_GET, SLICE_NONE);
        rig_next(&rig);
        rig_advance(&rig, 3000);
        uint64_t first_ms = rig_next(&rig)->at_ms - start_ms;
        least = first_ms < least ? first_ms : least;
        most = first_ms > most ? first_ms : most;
        rig_advance(&rig, 100000); /* gives up at 93 s at the latest */
        assert_int_equal(rig.replies, i + 1);
        rig.seen = rig.sent_count;
        if (rig.sent_count > RIG_SENT_MAX - 10)
            rig.sent_count = rig.seen = 0;
    }
    assert_in_range(least, 2000, 2400);
    assert_in_range(most, 2600, 3000);
}

static void test_MSG_37_acknowledged_but_no_response(void **state) {
    (void)state;
    ask();
    hear_empty(COAP_ACK, asked.mid);
    rig_advance(&rig, 246999);
    assert_int_equal(rig.replies, 0);
    rig_advance(&rig, 1);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_NO_RESPONSE);
}

static void test_MSG_38_message_ids_rise_by_one_and_wrap(void **state) {
    (void)state;
    rig.links[0].mid_drawn = true;
    rig.links[0].next_mid = 65534;
    static const uint16_t expected[] = {65534, 65535, 0, 1};
    for (size_t i = 0; i < 4; i++) {
        ask();
        assert_int_equal(asked.mid, expected[i]);
        hear_empty(COAP_RST, asked.mid);
    }
}

static void test_MSG_39_nstart(void **state) {
    (void)state;
    ask();
    struct coap_message first = answer_of(COAP_ACK, COAP_2_05_CONTENT, asked.mid);
    rig_call(&rig, COAP_PUT, slice_str("1"));
    rig_call(&rig, COAP_PUT, slice_str("2"));
    rig_silent(&rig);
    rig_hear_message(&rig, &first);
    struct coap_message second;
    rig_next_message(&rig, &second);
    assert_memory_equal(second.payload.data, "1", 1);
    rig_silent(&rig);
    hear_empty(COAP_RST, second.mid);
    rig_next_message(&rig, &second);
    assert_memory_equal(second.payload.data, "2", 1);
    hear_empty(COAP_RST, second.mid);
    assert_int_equal(rig.replies, 3);
}

static void test_withdrawn_calls_are_those_that_wait_for_their_turn(void **state) {
    (void)state;
    ask();
    struct coap_message first = answer_of(COAP_ACK, COAP_2_05_CONTENT, asked.mid);
    rig_call(&rig, COAP_PUT, slice_str("1"));
    rig_call(&rig, COAP_PUT, slice_str("2"));
    coap_withdraw_calls(rig.endpoint, &rig.links[0]);
    assert_int_equal(rig.replies, 2);
    assert_int_equal(rig.reply.result, COAP_CALL_WITHDRAWN);
    rig_hear_message(&rig, &first);
    assert_int_equal(rig.replies, 3);
    assert_int_equal(rig.reply.result, COAP_CALL_REPLY);
    rig_silent(&rig);
    coap_withdraw_calls(rig.endpoint, &rig.links[1]); /* has never been asked anything */
}

static void nstart_two(struct coap_params *params) {
    params->nstart = 2;
    params->max_calls_per_peer = 3;
}

static int start_nstart_two(void **state) {
    (void)state;
    rig_start(&rig, nstart_two);
    return 0;
}

static void test_MSG_39_nstart_is_a_parameter_and_the_queue_has_an_end(void **state) {
    (void)state;
    assert_non_null(rig_call(&rig, COAP_GET, SLICE_NONE));
    assert_non_null(rig_call(&rig, COAP_GET, SLICE_NONE));
    assert_non_null(rig_call(&rig, COAP_GET, SLICE_NONE));
    assert_null(rig_call(&rig, COAP_GET, SLICE_NONE));
    rig_next(&rig);
    rig_next(&rig);
    rig_silent(&rig);
}

static void test_MSG_43_unknown_response_codes_are_kept(void **state) {
    (void)state;
    static const uint8_t codes[] = {COAP_CODE(2, 30), COAP_CODE(4, 28), COAP_CODE(5, 31)};
    for (size_t i = 0; i < 3; i++) {
        ask();
        struct coap_message answer = answer_of(COAP_ACK, codes[i], asked.mid);
        rig_hear_message(&rig, &answer);
        assert_int_equal(rig.reply_code, codes[i]);
    }
}

static void test_MSG_40_messages_are_small_enough(void **state) {
    (void)state;
    uint8_t query[200], body[3000];
    struct coap_message request;
    memset(query, 'q', sizeof query);
    memset(body, 'b', sizeof body);
    coap_message_init(&request, COAP_CON, COAP_POST, 0, SLICE_NONE);
    for (int i = 0; i < 4; i++)
        coap_option_add(&request, COAP_URI_QUERY, slice_of(query, sizeof query));
    request.payload = slice_of(body, sizeof body);
    assert_non_null(coap_call(rig.endpoint, &rig.links[0], &request, rig_reply_fn, &rig));
    const struct rig_datagram *datagram = rig_next(&rig);
    assert_true(datagram->len <= COAP_MESSAGE_MAX);
    for (int i = 0; i < 3; i++) /* options that leave no room at all */
        coap_option_add(&request, COAP_URI_QUERY, slice_of(query, sizeof query));
    assert_null(coap_call(rig.endpoint, &rig.links[0], &request, rig_reply_fn, &rig));
}

static void test_tokens_are_one_byte_and_differ_while_calls_are_open(void **state) {
    (void)state;
    ask();
    assert_int_equal(asked.token.len, 1);
}

static void test_cancelled_calls_are_not_told_and_answers_are_reset(void **state) {
    (void)state;
    struct coap_call *call = rig_call(&rig, COAP_GET, SLICE_NONE);
    rig_next_message(&rig, &asked);
    memcpy(asked_token, asked.token.data, asked.token.len);
    asked.token.data = asked_token;
    coap_call_cancel(call);
    struct coap_message answer = answer_of(COAP_CON, COAP_2_05_CONTENT, 0x3333);
    rig_hear_message(&rig, &answer);
    rig_next_is(&rig, "70003333");
    assert_int_equal(rig.replies, 0);
}

static void test_a_ping_of_ours(void **state) {
    (void)state;
    coap_ping(rig.endpoint, &rig.links[0], rig_reply_fn, &rig);
    struct coap_message ping;
    rig_next_message(&rig, &ping);
    assert_int_equal(ping.code, COAP_EMPTY);
    hear_empty(COAP_RST, ping.mid);
    assert_int_equal(rig.reply.result, COAP_CALL_RESET);
}

static void test_a_non_confirmable_request(void **state) {
    (void)state;
    struct coap_message request, sent;
    coap_message_init(&request, COAP_NON, COAP_GET, 0, SLICE_NONE);
    coap_call_with(rig.endpoint, &rig.links[0], &request, &(struct coap_call_options){.type = COAP_NON}, rig_reply_fn,
                   &rig);
    rig_next_message(&rig, &sent);
    assert_int_equal(sent.type, COAP_NON);
    rig_advance(&rig, 144000);
    rig_silent(&rig);
    assert_int_equal(rig.replies, 0);
    rig_advance(&rig, 2000);
    assert_int_equal(rig.reply.result, COAP_CALL_NO_RESPONSE);
}

static void test_EXT_06_an_echo_challenge_is_answered_once(void **state) {
    (void)state;
    ask();
    uint16_t mid = asked.mid;
    struct coap_message challenge = answer_of(COAP_ACK, COAP_4_01_UNAUTHORIZED, mid);
    challenge.payload = SLICE_NONE;
    coap_option_add(&challenge, COAP_ECHO, slice_str("prove it"));
    rig_hear_message(&rig, &challenge);
    assert_int_equal(rig.replies, 0);
    rig_next_message(&rig, &asked);
    memcpy(asked_token, asked.token.data, asked.token.len);
    asked.token.data = asked_token;
    assert_int_not_equal(asked.mid, mid);
    const struct coap_option *echo = coap_option_find(&asked, COAP_ECHO);
    assert_non_null(echo);
    assert_true(slice_is(echo->value, "prove it"));
    challenge = answer_of(COAP_ACK, COAP_4_01_UNAUTHORIZED, asked.mid);
    coap_option_add(&challenge, COAP_ECHO, slice_str("again"));
    rig_hear_message(&rig, &challenge);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply_code, COAP_4_01_UNAUTHORIZED);
}

static void test_EXT_07_an_echo_value_is_sent_with_the_next_request(void **state) {
    (void)state;
    ask();
    struct coap_message answer = answer_of(COAP_ACK, COAP_2_05_CONTENT, asked.mid);
    coap_option_add(&answer, COAP_ECHO, slice_str("later"));
    rig_call(&rig, COAP_GET, SLICE_NONE); /* keeps the peer busy */
    rig_hear_message(&rig, &answer);
    struct coap_message next;
    rig_next_message(&rig, &next);
    const struct coap_option *echo = coap_option_find(&next, COAP_ECHO);
    assert_non_null(echo);
    assert_true(slice_is(echo->value, "later"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_piggybacked_answer),
        TEST(test_MSG_19_MSG_20_token_and_mid_must_both_match),
        TEST(test_MSG_21_answers_from_elsewhere_do_not_match),
        TEST(test_MSG_29_MSG_33_separate_answers_are_acknowledged_and_delivered_once),
        TEST(test_MSG_30_a_separate_answer_overtakes_the_empty_ack),
        TEST(test_MSG_31_a_non_confirmable_answer),
        TEST(test_MSG_32_a_separate_answer_under_the_mid_of_our_request),
        TEST(test_MSG_34_MSG_37_reset),
        cmocka_unit_test_setup_teardown(test_MSG_35_MSG_37_no_ack_factor_1_0, start_factor_one, stop),
        TEST(test_MSG_35_random_start_between_2_and_3_seconds),
        TEST(test_MSG_37_acknowledged_but_no_response),
        TEST(test_MSG_38_message_ids_rise_by_one_and_wrap),
        TEST(test_MSG_39_nstart),
        TEST(test_withdrawn_calls_are_those_that_wait_for_their_turn),
        cmocka_unit_test_setup_teardown(test_MSG_39_nstart_is_a_parameter_and_the_queue_has_an_end, start_nstart_two,
                                        stop),
        TEST(test_MSG_40_messages_are_small_enough),
        TEST(test_MSG_43_unknown_response_codes_are_kept),
        TEST(test_tokens_are_one_byte_and_differ_while_calls_are_open),
        TEST(test_cancelled_calls_are_not_told_and_answers_are_reset),
        TEST(test_a_ping_of_ours),
        TEST(test_a_non_confirmable_request),
        TEST(test_EXT_06_an_echo_challenge_is_answered_once),
        TEST(test_EXT_07_an_echo_value_is_sent_with_the_next_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
