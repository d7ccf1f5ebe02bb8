/* The endpoint over RFC 8323 connections: signalling, matching by token, blocks with BERT, observations, and the end of
 * connections; names carry the conformance rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/coap/observe.h"
#include "common/coap/signal.h"
#include "tests/unit/coap/rig.h"

/* Our CSM: Max-Message-Size 16384 and Block-Wise-Transfer. */
#define OUR_CSM "40e122400020"

static struct rig rig;
static uint8_t body[100000];

static int start_with(void (*tune)(struct coap_params *)) {
    rig_start(&rig, tune);
    rig_connect(&rig);
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i * 7 + i / 251);
    return 0;
}

static int start(void **state) {
    (void)state;
    return start_with(NULL);
}

static void allow_missing_csm(struct coap_params *params) {
    params->csm_optional = true;
}

static int start_without_csm(void **state) {
    (void)state;
    return start_with(allow_missing_csm);
}

static void allow_two_at_once(struct coap_params *params) {
    params->nstart = 2;
}

static int start_with_two_at_once(void **state) {
    (void)state;
    return start_with(allow_two_at_once);
}

static int stop(void **state) {
    (void)state;
    if (!rig.links[0].closed)
        rig_disconnect(&rig);
    rig_stop(&rig);
    return 0;
}

/* The peer's CSM has come, and ours has gone. */
static void greet(const char *csm) {
    rig_hear(&rig, csm);
    rig_next_is(&rig, OUR_CSM);
}

static void greet_simply(void) {
    greet("00e1");
}

/* Max-Message-Size 8192 and Block-Wise-Transfer. */
static void greet_with_bert(void) {
    greet("40e122200020");
}

static void assert_aborted(const char *why) {
    struct coap_message message;
    rig_next_frame(&rig, &message);
    assert_int_equal(message.code, COAP_7_05_ABORT);
    assert_true(slice_is(message.payload, why));
    assert_int_equal(rig.closings, 1);
    assert_string_equal(rig.closed_why, why);
    rig_silent(&rig);
}

/* ---- signalling ---- */

static void test_TCP_02_TCP_03_our_csm_goes_before_anything_else(void **state) {
    (void)state;
    rig_hear(&rig, "00e1");
    rig_hear(&rig, "2101aab161"); /* a GET right behind the peer's */
    rig_next_is(&rig, OUR_CSM);
    rig_next_is(&rig, "0144aa");
    rig_silent(&rig);
    assert_int_equal(rig.requests, 1);
}

static void test_TCP_02_a_connection_of_ours_begins_with_our_csm(void **state) {
    (void)state;
    coap_link_opened(rig.endpoint, &rig.links[0]);
    rig_next_is(&rig, OUR_CSM);
    rig_hear(&rig, "00e1");
    rig_silent(&rig);
}

static void test_TCP_04_a_request_before_the_csm_is_aborted(void **state) {
    (void)state;
    rig_hear(&rig, "2101aab161");
    rig_next_is(&rig, OUR_CSM);
    assert_aborted("the first message must be a CSM");
    assert_int_equal(rig.requests, 0);
}

static void test_TCP_04_so_is_a_ping(void **state) {
    (void)state;
    rig_hear(&rig, "01e242");
    rig_next_is(&rig, OUR_CSM);
    assert_aborted("the first message must be a CSM");
}

static void test_TCP_04_unless_that_was_allowed(void **state) {
    (void)state;
    rig_hear(&rig, "2101aab161");
    rig_hear(&rig, "2101abb161");
    rig_next_is(&rig, OUR_CSM);
    rig_next_is(&rig, "0144aa");
    rig_next_is(&rig, "0144ab");
    assert_int_equal(rig.closings, 0);
    assert_int_equal(rig.oddities, 1);
}

static void test_TCP_04_strict_listeners_allow_nothing(void **state) {
    (void)state;
    rig.listener.strict = true;
    rig_hear(&rig, "2101aab161");
    rig_next_is(&rig, OUR_CSM);
    assert_aborted("the first message must be a CSM");
}

static void test_TCP_05_a_ping_is_answered_with_its_token(void **state) {
    (void)state;
    greet_simply();
    rig_hear(&rig, "01e242");
    rig_next_is(&rig, "01e342");
    rig_hear(&rig, "00e2");
    rig_next_is(&rig, "00e3");
    assert_int_equal(rig.pings, 2);
}

static void test_TCP_06_custody_waits_for_what_came_before(void **state) {
    (void)state;
    greet_simply();
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, "2101aab161");
    rig_hear(&rig, "11e24220");
    rig_silent(&rig);
    struct coap_exchange *first = rig_deferred(&rig);
    rig_hear(&rig, "2101abb161"); /* came later: does not count */
    rig_hear(&rig, "01e243");     /* asks for no custody */
    rig_next_is(&rig, "01e343");
    coap_respond_code(rig.endpoint, rig_deferred(&rig), COAP_2_04_CHANGED, NULL);
    rig_next_is(&rig, "0144ab");
    rig_silent(&rig);
    coap_respond_code(rig.endpoint, first, COAP_2_04_CHANGED, NULL);
    rig_next_is(&rig, "0144aa");
    rig_next_is(&rig, "11e34220");
    rig_hear(&rig, "11e24420"); /* nothing is under way */
    rig_next_is(&rig, "11e34420");
}

static void test_TCP_06_more_pings_than_are_remembered_get_no_promise(void **state) {
    (void)state;
    greet_simply();
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, "2101aab161");
    for (int i = 0; i < 8; i++)
        rig_hear(&rig, "11e24220");
    rig_silent(&rig);
    rig_hear(&rig, "11e24320");
    rig_next_is(&rig, "01e343");
    coap_respond_nothing(rig.endpoint, rig_deferred(&rig));
    for (int i = 0; i < 8; i++)
        rig_next_is(&rig, "11e34220");
    rig_silent(&rig);
}

static void test_TCP_07_empty_messages_are_ignored(void **state) {
    (void)state;
    greet_simply();
    rig_hear(&rig, "0000");
    rig_hear(&rig, "1100aaff");
    rig_silent(&rig);
    assert_int_equal(rig.closings, 0);
}

static void test_TCP_08_release_of_an_idle_connection(void **state) {
    (void)state;
    greet_simply();
    rig_hear(&rig, "00e4");
    assert_int_equal(rig.closings, 1);
    assert_string_equal(rig.closed_why, "released by the peer");
    rig_silent(&rig);
}

static void test_TCP_08_release_waits_for_answers(void **state) {
    (void)state;
    greet_simply();
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, "2101aab161");
    rig_hear(&rig, "40e42161210a"); /* Alternative-Address and Hold-Off */
    assert_int_equal(rig.closings, 0);
    coap_respond_code(rig.endpoint, rig_deferred(&rig), COAP_2_04_CHANGED, NULL);
    rig_next_is(&rig, "0144aa");
    assert_int_equal(rig.closings, 1);
    assert_string_equal(rig.closed_why, "released by the peer for 10 s: a");
}

static void test_TCP_09_an_abort_ends_it_at_once(void **state) {
    (void)state;
    greet_simply();
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, "2101aab161");
    rig_hear(&rig, "40e5ff626164");
    assert_int_equal(rig.closings, 1);
    assert_string_equal(rig.closed_why, "aborted by the peer: bad");
    rig_disconnect(&rig);
    coap_respond_code(rig.endpoint, rig_deferred(&rig), COAP_2_04_CHANGED, NULL); /* to nobody */
    rig_silent(&rig);
}

static void test_TCP_10_a_critical_option_of_a_csm(void **state) {
    (void)state;
    struct coap_message message;
    rig_hear(&rig, "10e150");
    rig_next_is(&rig, OUR_CSM);
    rig_next_frame(&rig, &message);
    assert_int_equal(message.code, COAP_7_05_ABORT);
    assert_int_equal(message.options[0].number, COAP_ABORT_BAD_CSM_OPTION);
    assert_memory_equal(message.options[0].value.data, "\5", 1);
    assert_int_equal(rig.closings, 1);
}

static void test_TCP_10_a_critical_option_of_a_ping(void **state) {
    (void)state;
    greet_simply();
    rig_hear(&rig, "11e24210");
    assert_aborted("option 1 of a 7.02 is not understood here");
}

static void test_TCP_11_elective_options_are_ignored(void **state) {
    (void)state;
    greet("10e160");
    rig_hear(&rig, "11e24260");
    rig_next_is(&rig, "01e342");
}

static void test_TCP_18_codes_without_a_meaning_are_ignored(void **state) {
    (void)state;
    greet_simply();
    rig_hear(&rig, "00e6");
    rig_hear(&rig, "10ff10");
    rig_silent(&rig);
    assert_int_equal(rig.closings, 0);
    assert_int_equal(rig.oddities, 2);
}

static void test_a_ping_of_ours_is_answered(void **state) {
    (void)state;
    greet_simply();
    assert_non_null(coap_ping(rig.endpoint, &rig.links[0], rig_reply_fn, &rig));
    struct coap_message ping;
    rig_next_frame(&rig, &ping);
    assert_int_equal(ping.code, COAP_7_02_PING);
    uint8_t token = ping.token.data[0];
    struct coap_message pong;
    uint8_t other = (uint8_t)~token;
    coap_signal_pong(&pong, slice_of(&other, 1), false);
    rig_hear_frame(&rig, &pong);
    assert_int_equal(rig.replies, 0);
    rig_advance(&rig, 40);
    coap_signal_pong(&pong, slice_of(&token, 1), false);
    rig_hear_frame(&rig, &pong);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_RESET);
    assert_int_equal(rig.reply.rtt_ms, 40);
}

static void test_a_ping_of_ours_is_not_answered(void **state) {
    (void)state;
    greet_simply();
    coap_ping(rig.endpoint, &rig.links[0], rig_reply_fn, &rig);
    rig_next(&rig);
    rig_advance(&rig, 93000);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_NO_RESPONSE);
    rig_silent(&rig); /* once only */
}

/* ---- what is no message ---- */

static void test_TCP_15_format_errors_are_aborted(void **state) {
    (void)state;
    static const struct {
        const char *frame, *why;
    } cases[] = {{"0901", "token length is reserved or past the end"},
                 {"1001f0", "malformed option"},
                 {"10011f", "malformed option"},
                 {"100111", "malformed option"},
                 {"1001ff", "payload marker without a payload"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (i > 0) {
            stop(NULL);
            start(NULL);
        }
        greet_simply();
        rig_hear(&rig, cases[i].frame);
        assert_aborted(cases[i].why);
        assert_int_equal(rig.requests, 0);
    }
}

static void test_TCP_14_what_cannot_be_taken_apart_is_aborted(void **state) {
    (void)state;
    greet_simply();
    coap_link_broken(rig.endpoint, &rig.links[0], "too large");
    assert_aborted("too large");
    assert_int_equal(rig.rejections, 1);
}

static void test_TCP_17_an_unknown_critical_option_leaves_the_connection_open(void **state) {
    (void)state;
    greet_simply();
    rig_hear(&rig, "3101aae0fcdc"); /* 65001 */
    struct coap_message message;
    rig_next_frame(&rig, &message);
    assert_int_equal(message.code, COAP_4_02_BAD_OPTION);
    assert_memory_equal(message.token.data, "\xaa", 1);
    assert_int_equal(rig.closings, 0);
    assert_int_equal(rig.requests, 0);
}

static void test_reserved_classes_are_told(void **state) {
    (void)state;
    greet_simply();
    rig_hear(&rig, "0120aa");
    rig_hear(&rig, "01c0aa");
    rig_silent(&rig);
    assert_int_equal(rig.rejections, 2);
    assert_int_equal(rig.closings, 0);
}

/* ---- requests of the peer ---- */

static void test_TCP_31_there_are_no_copies(void **state) {
    (void)state;
    greet_simply();
    rig_hear(&rig, "2101aab161");
    rig_hear(&rig, "2101aab161"); /* the same bytes are another request */
    rig_next_is(&rig, "0144aa");
    rig_next_is(&rig, "0144aa");
    assert_int_equal(rig.requests, 2);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).exchanges, 0); /* nothing is remembered */
    assert_int_equal(coap_endpoint_counters(rig.endpoint).duplicates, 0);
}

static void test_TCP_31_there_are_no_acknowledgements(void **state) {
    (void)state;
    greet_simply();
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, "2101aab161");
    rig_advance(&rig, 600000);
    rig_silent(&rig);
    coap_respond_code(rig.endpoint, rig_deferred(&rig), COAP_2_04_CHANGED, NULL);
    rig_next_is(&rig, "0144aa");
    rig_advance(&rig, 600000);
    rig_silent(&rig); /* sent once */
}

static void test_TCP_19_answers_may_overtake_each_other(void **state) {
    (void)state;
    greet_simply();
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, "2101aab161");
    struct coap_exchange *first = rig_deferred(&rig);
    rig_hear(&rig, "2101abb161");
    coap_respond_code(rig.endpoint, rig_deferred(&rig), COAP_2_04_CHANGED, NULL);
    coap_respond_code(rig.endpoint, first, COAP_2_04_CHANGED, NULL);
    rig_next_is(&rig, "0144ab");
    rig_next_is(&rig, "0144aa");
}

static void test_no_response_is_silence(void **state) {
    (void)state;
    greet_simply();
    rig_hear(&rig, "5101aab161d1ea1a"); /* No-Response 26 */
    rig_silent(&rig);
    assert_int_equal(rig.requests, 1);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).exchanges, 0);
}

static void test_a_flood_of_requests_is_answered_with_5_03(void **state) {
    (void)state;
    greet_simply();
    rig.answer = RIG_DEFERS;
    for (int i = 0; i < 32; i++)
        rig_hear(&rig, "2101aab161");
    rig_silent(&rig);
    rig_hear(&rig, "2101abb161");
    struct coap_message message;
    rig_next_frame(&rig, &message);
    assert_int_equal(message.code, COAP_5_03_SERVICE_UNAVAILABLE);
    assert_memory_equal(message.token.data, "\xab", 1);
    assert_int_equal(rig.requests, 32);
}

/* ---- sizes ---- */

static void hear_get(const char *hex) {
    rig.answer = RIG_ANSWERS_BODY;
    rig_hear(&rig, hex);
}

static void test_TCP_13_a_large_answer_goes_in_blocks_of_1024(void **state) {
    (void)state;
    greet_simply(); /* so 1152 is what it takes */
    rig.body = slice_of(body, 3000);
    hear_get("2101aab161");
    struct coap_message message;
    struct coap_block block;
    const struct rig_datagram *frame = rig_next(&rig);
    assert_true(frame->len <= 1152);
    assert_int_equal(coap_stream_decode(slice_of(frame->bytes, frame->len), &message), COAP_DECODE_OK);
    assert_true(coap_block_get(&message, COAP_BLOCK2, &block));
    assert_int_equal(block.szx, 6);
    assert_true(block.more);
    assert_int_equal(message.payload.len, 1024);
    hear_get("4101aab161c126"); /* block 2 */
    rig_next_frame(&rig, &message);
    assert_int_equal(message.payload.len, 3000 - 2048);
    assert_int_equal(rig.requests, 1);
}

static void test_TCP_13_a_peer_that_takes_more_gets_it_in_one_piece(void **state) {
    (void)state;
    greet("30e1222000"); /* 8192, and no blocks */
    rig.body = slice_of(body, 3000);
    hear_get("2101aab161");
    struct coap_message message;
    rig_next_frame(&rig, &message);
    assert_int_equal(message.payload.len, 3000);
    assert_null(coap_option_find(&message, COAP_BLOCK2));
}

static void test_TCP_12_a_later_csm_counts_from_then_on(void **state) {
    (void)state;
    greet("30e1222000");
    rig_hear(&rig, "30e1220200"); /* 512 */
    rig.body = slice_of(body, 3000);
    hear_get("2101aab161");
    const struct rig_datagram *frame = rig_next(&rig);
    assert_true(frame->len <= 512);
    stop(NULL);
    start(NULL);
    greet("10e140");              /* blocks */
    rig_hear(&rig, "30e1222000"); /* adds to it */
    rig.body = slice_of(body, 20000);
    hear_get("2101aab161");
    struct coap_message message;
    struct coap_block block;
    rig_next_frame(&rig, &message);
    assert_true(coap_block_get(&message, COAP_BLOCK2, &block));
    assert_int_equal(block.szx, COAP_SZX_BERT);
}

static void test_TCP_25_BLK_33_an_answer_in_large_blocks(void **state) {
    (void)state;
    greet_with_bert();
    rig.body = slice_of(body, 20000);
    rig.answer = RIG_ANSWERS_BODY;
    struct coap_message request, message;
    struct coap_block block = {.szx = COAP_SZX_BERT};
    struct coap_uint scratch;
    size_t got = 0;
    do {
        coap_message_init(&request, COAP_CON, COAP_GET, 0, slice_str("t"));
        coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
        if (got > 0) {
            block.num = (uint32_t)(got / 1024);
            block.more = false;
            coap_block_add(&request, COAP_BLOCK2, block, &scratch);
        }
        rig_hear_frame(&rig, &request);
        const struct rig_datagram *frame = rig_next(&rig);
        assert_true(frame->len <= 8192);
        assert_int_equal(coap_stream_decode(slice_of(frame->bytes, frame->len), &message), COAP_DECODE_OK);
        assert_true(coap_block_get(&message, COAP_BLOCK2, &block));
        assert_int_equal(block.szx, COAP_SZX_BERT);
        assert_int_equal(block.num, got / 1024);
        assert_true(!block.more || message.payload.len == 7 * 1024);
        assert_memory_equal(message.payload.data, body + got, message.payload.len);
        got += message.payload.len;
    } while (block.more);
    assert_int_equal(got, 20000);
    assert_int_equal(rig.requests, 1);
}

static void test_TCP_25_BLK_33_a_peer_may_fall_back_to_1024(void **state) {
    (void)state;
    greet_with_bert();
    rig.body = slice_of(body, 20000);
    hear_get("3101aab161c0"); /* Block2 0/0/16 */
    struct coap_message message;
    rig_next_frame(&rig, &message);
    assert_int_equal(message.payload.len, 16);
    hear_get("4101abb161c11e"); /* 1/1/1024 */
    rig_next_frame(&rig, &message);
    assert_int_equal(message.payload.len, 1024);
    assert_memory_equal(message.payload.data, body + 1024, 1024);
}

static void hear_block(uint32_t num, bool more, uint8_t szx, size_t offset, size_t len) {
    struct coap_message request;
    struct coap_uint scratch;
    coap_message_init(&request, COAP_CON, COAP_PUT, 0, slice_str("t"));
    coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
    coap_block_add(&request, COAP_BLOCK1, (struct coap_block){.num = num, .more = more, .szx = szx}, &scratch);
    request.payload = slice_of(body + offset, len);
    rig_hear_frame(&rig, &request);
}

static void assert_answer(uint8_t code) {
    struct coap_message message;
    rig_next_frame(&rig, &message);
    assert_int_equal(message.code, code);
}

static void test_TCP_25_BLK_33_a_body_in_large_blocks(void **state) {
    (void)state;
    greet_with_bert();
    hear_block(0, true, 7, 0, 4096);
    struct coap_message message;
    struct coap_block block;
    rig_next_frame(&rig, &message);
    assert_int_equal(message.code, COAP_2_31_CONTINUE);
    assert_true(coap_block_get(&message, COAP_BLOCK1, &block));
    assert_int_equal(block.szx, COAP_SZX_BERT);
    hear_block(4, true, 7, 4096, 1024);
    assert_answer(COAP_2_31_CONTINUE);
    hear_block(5, true, 6, 5120, 1024); /* and falls back in the middle */
    assert_answer(COAP_2_31_CONTINUE);
    hear_block(6, false, 7, 6144, 2500);
    assert_answer(COAP_2_04_CHANGED);
    assert_int_equal(rig.request_len, 6144 + 2500);
    assert_memory_equal(rig.request_body, body, rig.request_len);
}

static void test_TCP_25_large_blocks_are_multiples_of_1024(void **state) {
    (void)state;
    greet_with_bert();
    hear_block(0, true, 7, 0, 1500);
    assert_answer(COAP_4_00_BAD_REQUEST);
    hear_block(0, true, 7, 0, 0);
    assert_answer(COAP_4_00_BAD_REQUEST);
}

static void test_TCP_25_large_blocks_must_have_been_agreed_on(void **state) {
    (void)state;
    greet("40e122048020"); /* blocks, but 1152 bytes only */
    hear_block(0, true, 7, 0, 1024);
    assert_answer(COAP_4_00_BAD_REQUEST);
    hear_get("4101aab161c107"); /* Block2 */
    stop(NULL);
    start(NULL);
    greet("30e1222000"); /* 8192 bytes, but no blocks */
    hear_block(0, true, 7, 0, 2048);
    assert_answer(COAP_4_00_BAD_REQUEST);
    hear_get("4101aab161c107");
    assert_answer(COAP_4_00_BAD_REQUEST);
}

/* ---- requests of ours ---- */

static uint8_t asked_token[8];

static struct coap_message ask(uint8_t code, struct slice payload) {
    struct coap_message message;
    assert_non_null(rig_call(&rig, code, payload));
    rig_next_frame(&rig, &message);
    memcpy(asked_token, message.token.data, message.token.len);
    message.token.data = asked_token;
    return message;
}

static struct coap_message answer_to(const struct coap_message *request, uint8_t code) {
    struct coap_message answer;
    coap_message_init(&answer, COAP_CON, code, 0, request->token);
    return answer;
}

static void test_TCP_31_a_request_is_sent_once(void **state) {
    (void)state;
    greet_simply();
    struct coap_message asked = ask(COAP_GET, SLICE_NONE);
    rig_advance(&rig, 200000);
    rig_silent(&rig);
    struct coap_message answer = answer_to(&asked, COAP_2_05_CONTENT);
    rig_hear_frame(&rig, &answer);
    rig_silent(&rig); /* and nothing is acknowledged */
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.retransmissions, 0);
    assert_int_equal(rig.reply_code, COAP_2_05_CONTENT);
}

static void test_TCP_31_a_non_confirmable_request_is_any_request(void **state) {
    (void)state;
    greet_simply();
    struct coap_message request;
    const struct coap_call_options options = {.type = COAP_NON, .token = slice_str("n")};
    coap_message_init(&request, COAP_CON, COAP_GET, 0, SLICE_NONE);
    coap_call_with(rig.endpoint, &rig.links[0], &request, &options, rig_reply_fn, &rig);
    rig_next_is(&rig, "01016e");
    rig_hear(&rig, "01456e");
    assert_int_equal(rig.replies, 1);
}

static void test_TCP_19_answers_belong_to_their_tokens(void **state) {
    (void)state;
    greet_simply();
    struct coap_message first = ask(COAP_GET, SLICE_NONE);
    uint8_t first_token[8];
    memcpy(first_token, first.token.data, first.token.len);
    first.token.data = first_token;
    struct coap_message second = ask(COAP_PUT, SLICE_NONE);
    struct coap_message answer = answer_to(&second, COAP_2_04_CHANGED);
    rig_hear_frame(&rig, &answer);
    assert_int_equal(rig.reply_code, COAP_2_04_CHANGED);
    answer = answer_to(&first, COAP_2_05_CONTENT);
    rig_hear_frame(&rig, &answer);
    assert_int_equal(rig.reply_code, COAP_2_05_CONTENT);
    assert_int_equal(rig.replies, 2);
}

static void test_TCP_19_an_answer_over_another_connection_is_none(void **state) {
    (void)state;
    rig.links[1].framing = LINK_STREAM_8323;
    greet_simply();
    rig_hear_from(&rig, 1, "00e1");
    rig_next_is(&rig, OUR_CSM);
    struct coap_message asked = ask(COAP_GET, SLICE_NONE);
    char hex[16];
    snprintf(hex, sizeof hex, "0145%02x", asked.token.data[0]);
    rig_hear_from(&rig, 1, hex);
    assert_int_equal(rig.replies, 0);
    rig_hear(&rig, hex);
    assert_int_equal(rig.replies, 1);
    rig.links[1].closed = true;
    coap_link_closed(rig.endpoint, &rig.links[1]);
}

static void test_nobody_answers(void **state) {
    (void)state;
    greet_simply();
    ask(COAP_GET, SLICE_NONE);
    rig_advance(&rig, 247000);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_NO_RESPONSE);
}

static void test_requests_keep_their_order(void **state) {
    (void)state;
    greet_simply();
    struct coap_message asked = ask(COAP_GET, SLICE_NONE);
    rig_call(&rig, COAP_PUT, SLICE_NONE);
    rig_silent(&rig); /* NSTART is 1 here, too */
    struct coap_message answer = answer_to(&asked, COAP_2_05_CONTENT);
    rig_hear_frame(&rig, &answer);
    rig_next_frame(&rig, &asked);
    assert_int_equal(asked.code, COAP_PUT);
}

static void test_an_answer_with_an_unknown_critical_option_is_none(void **state) {
    (void)state;
    greet_simply();
    struct coap_message asked = ask(COAP_GET, SLICE_NONE);
    struct coap_message answer = answer_to(&asked, COAP_2_05_CONTENT);
    coap_option_add(&answer, 65001, SLICE_NONE);
    rig_hear_frame(&rig, &answer);
    assert_int_equal(rig.replies, 0);
    assert_int_equal(rig.rejections, 1);
    rig_silent(&rig);
}

static void test_TCP_25_BLK_33_we_send_a_body_in_large_blocks(void **state) {
    (void)state;
    greet_with_bert();
    struct coap_message part = ask(COAP_PUT, slice_of(body, 20000));
    struct coap_block block;
    struct coap_uint scratch;
    size_t sent = 0;
    for (;;) {
        assert_true(coap_block_get(&part, COAP_BLOCK1, &block));
        assert_int_equal(block.szx, COAP_SZX_BERT);
        assert_int_equal(block.num, sent / 1024);
        assert_true(coap_rest_size(&part) + 6 <= 8192);
        assert_memory_equal(part.payload.data, body + sent, part.payload.len);
        sent += part.payload.len;
        memcpy(asked_token, part.token.data, part.token.len);
        part.token.data = asked_token;
        struct coap_message answer = answer_to(&part, block.more ? COAP_2_31_CONTINUE : COAP_2_04_CHANGED);
        coap_block_add(&answer, COAP_BLOCK1, block, &scratch);
        rig_hear_frame(&rig, &answer);
        if (!block.more)
            break;
        assert_int_equal(part.payload.len, 7 * 1024);
        rig_next_frame(&rig, &part);
    }
    assert_int_equal(sent, 20000);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply_code, COAP_2_04_CHANGED);
}

static void test_TCP_25_BLK_33_the_peer_makes_our_blocks_smaller(void **state) {
    (void)state;
    greet_with_bert();
    struct coap_message part = ask(COAP_PUT, slice_of(body, 9000));
    struct coap_message answer = answer_to(&part, COAP_2_31_CONTINUE);
    struct coap_block block;
    struct coap_uint scratch;
    coap_block_add(&answer, COAP_BLOCK1, (struct coap_block){.num = 0, .more = true, .szx = 6}, &scratch);
    rig_hear_frame(&rig, &answer);
    rig_next_frame(&rig, &part);
    assert_true(coap_block_get(&part, COAP_BLOCK1, &block));
    assert_int_equal(block.szx, 6);
    assert_int_equal(block.num, 7);
    assert_int_equal(part.payload.len, 1024);
}

static void test_TCP_12_TCP_13_a_body_fits_what_the_peer_takes_now(void **state) {
    (void)state;
    greet_with_bert();
    struct coap_message part = ask(COAP_PUT, slice_of(body, 9000));
    assert_int_equal(part.payload.len, 7 * 1024);
    rig_hear(&rig, "30e1220200"); /* 512 from now on */
    struct coap_message answer = answer_to(&part, COAP_2_31_CONTINUE);
    rig_hear_frame(&rig, &answer);
    const struct rig_datagram *frame = rig_next(&rig);
    struct coap_block block;
    assert_true(frame->len <= 512);
    assert_int_equal(coap_stream_decode(slice_of(frame->bytes, frame->len), &part), COAP_DECODE_OK);
    assert_true(coap_block_get(&part, COAP_BLOCK1, &block));
    assert_memory_equal(part.payload.data, body + 7168, part.payload.len);
    assert_int_equal((size_t)block.num << (block.szx + 4), 7168);
}

/* Answer the parts of a body of 100 bytes until the last: none is larger than the peer takes. */
static void take_body_of_100(size_t max) {
    size_t sent = 0;
    struct coap_message part;
    struct coap_block block = {.more = true};
    struct coap_uint scratch;
    assert_non_null(rig_call(&rig, COAP_PUT, slice_of(body, 100)));
    while (block.more) {
        const struct rig_datagram *frame = rig_next(&rig);
        assert_true(frame->len <= max);
        assert_int_equal(coap_stream_decode(slice_of(frame->bytes, frame->len), &part), COAP_DECODE_OK);
        block = (struct coap_block){0};
        coap_block_get(&part, COAP_BLOCK1, &block);
        assert_int_equal(block.num * coap_block_size(block.szx), sent);
        assert_memory_equal(part.payload.data, body + sent, part.payload.len);
        sent += part.payload.len;
        memcpy(asked_token, part.token.data, part.token.len);
        part.token.data = asked_token;
        struct coap_message answer = answer_to(&part, block.more ? COAP_2_31_CONTINUE : COAP_2_04_CHANGED);
        if (sent < 100 || block.num > 0)
            coap_block_add(&answer, COAP_BLOCK1, block, &scratch);
        rig_hear_frame(&rig, &answer);
    }
    assert_int_equal(sent, 100);
    assert_int_equal(rig.reply_code, COAP_2_04_CHANGED);
}

/* What a PUT of /a takes with one block of 16 bytes, and without blocks. */
enum { LEAST_WITH_BLOCK = 3 + 1 + 2 + 3 + 1 + 16, WHOLE_100 = 3 + 1 + 2 + 1 + 100 };

static void test_TCP_13_a_body_goes_in_whatever_a_peer_takes(void **state) {
    (void)state;
    greet_simply();
    for (unsigned max = LEAST_WITH_BLOCK; max < 256; max++) {
        char csm[16];
        snprintf(csm, sizeof csm, "20e121%02x", max);
        rig_hear(&rig, csm);
        take_body_of_100(max);
        assert_int_equal(rig.replies, max - LEAST_WITH_BLOCK + 1);
    }
}

static void test_TCP_13_blocks_are_no_smaller_than_they_need_to_be(void **state) {
    static const struct {
        const char *csm;
        size_t payload;
    } sizes[] = {{"20e1211a", 16}, {"20e12129", 16}, {"20e1212a", 32}, {"20e12149", 32},
                 {"20e1214a", 64}, {"20e1216a", 64}, {"20e1216b", 100}};
    assert_int_equal(LEAST_WITH_BLOCK, 0x1a);
    assert_int_equal(WHOLE_100, 0x6b);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (i > 0)
            start(state);
        greet(sizes[i].csm);
        assert_int_equal(ask(COAP_PUT, slice_of(body, 100)).payload.len, sizes[i].payload);
        if (i + 1 < sizeof sizes / sizeof sizes[0])
            stop(state);
    }
}

static void assert_no_room(uint8_t code, struct slice payload) {
    size_t before = rig.replies;
    assert_non_null(rig_call(&rig, code, payload));
    rig_silent(&rig);
    assert_int_equal(rig.replies, before); /* never from within the call */
    rig_advance(&rig, 1);
    assert_int_equal(rig.replies, before + 1);
    assert_int_equal(rig.reply.result, COAP_CALL_NO_ROOM);
}

static void test_TCP_13_a_peer_that_takes_next_to_nothing(void **state) {
    (void)state;
    greet("20e12119"); /* a byte less than a block of 16 needs */
    assert_no_room(COAP_PUT, slice_of(body, 100));
    struct coap_message asked = ask(COAP_PUT, slice_of(body, 16)), answer = answer_to(&asked, COAP_2_04_CHANGED);
    rig_hear_frame(&rig, &answer);
    rig_hear(&rig, "20e12105"); /* 5 bytes: a GET of /a with a token of one byte */
    asked = ask(COAP_GET, SLICE_NONE);
    assert_int_equal(asked.code, COAP_GET);
    answer = answer_to(&asked, COAP_2_05_CONTENT);
    rig_hear_frame(&rig, &answer);
    rig_hear(&rig, "20e12104");
    assert_no_room(COAP_GET, SLICE_NONE);
}

static void test_TCP_12_TCP_13_what_fits_no_longer_ends_the_call(void **state) {
    (void)state;
    greet("20e12120");
    struct coap_message part = ask(COAP_PUT, slice_of(body, 100));
    rig_hear(&rig, "20e12110"); /* 16 from now on */
    struct coap_message answer = answer_to(&part, COAP_2_31_CONTINUE);
    rig_hear_frame(&rig, &answer);
    rig_silent(&rig);
    rig_advance(&rig, 1);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_NO_ROOM);
}

static void test_TCP_13_an_error_goes_without_its_text_where_that_does_not_fit(void **state) {
    (void)state;
    greet("20e12110");
    hear_block(1, true, 2, 0, 64); /* nothing came before it: 4.08, with a text */
    struct coap_message answer;
    rig_next_frame(&rig, &answer);
    assert_int_equal(answer.code, COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
    assert_int_equal(answer.payload.len, 0);
}

static void test_TCP_25_BLK_33_we_fetch_in_large_blocks(void **state) {
    (void)state;
    greet_with_bert();
    struct coap_message asked = ask(COAP_GET, SLICE_NONE);
    struct coap_block block;
    struct coap_uint scratch;
    size_t sent = 0;
    while (sent < 10000) {
        size_t len = 10000 - sent > 3072 ? 3072 : 10000 - sent;
        struct coap_message answer = answer_to(&asked, COAP_2_05_CONTENT);
        coap_block_add(
            &answer, COAP_BLOCK2,
            (struct coap_block){.num = (uint32_t)(sent / 1024), .more = sent + len < 10000, .szx = COAP_SZX_BERT},
            &scratch);
        answer.payload = slice_of(body + sent, len);
        rig_hear_frame(&rig, &answer);
        sent += len;
        if (sent == 10000)
            break;
        rig_next_frame(&rig, &asked);
        memcpy(asked_token, asked.token.data, asked.token.len);
        asked.token.data = asked_token;
        assert_true(coap_block_get(&asked, COAP_BLOCK2, &block));
        assert_int_equal(block.num, sent / 1024);
        assert_int_equal(block.szx, COAP_SZX_BERT);
    }
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply_len, 10000);
    assert_memory_equal(rig.reply_body, body, 10000);
}

/* ---- observations (§7) ---- */

/* GET /a with Observe 0. */
static const uint8_t observe_request[] = {0x40, COAP_GET, 0, 0, 0x60, 0x51, 'a'};

static struct heard {
    size_t started, notified, stale;
    bool observed;
    uint8_t last;
} heard;

static void on_started(void *arg, const struct coap_reply *reply, bool observed) {
    (void)arg;
    (void)reply;
    heard.started++;
    heard.observed = observed;
}

static void on_notified(void *arg, const struct coap_notification *notification) {
    (void)arg;
    heard.notified++;
    heard.stale += notification->is_stale;
    heard.last = notification->body.len > 0 ? notification->body.data[0] : 0;
}

static struct coap_observation *observe(void) {
    static const struct coap_observer observer = {on_started, on_notified, NULL};
    struct coap_message message;
    heard = (struct heard){.started = 0};
    struct coap_observation *o =
        coap_observe(rig.endpoint, &rig.links[0], slice_of(observe_request, sizeof observe_request), &observer);
    rig_next_frame(&rig, &message);
    memcpy(asked_token, message.token.data, message.token.len);
    char hex[32];
    snprintf(hex, sizeof hex, "4145%02x6105ff31", asked_token[0]);
    rig_hear(&rig, hex);
    assert_true(heard.observed);
    return o;
}

static void hear_notification(uint8_t token, const char *rest) {
    char hex[64];
    snprintf(hex, sizeof hex, "%zx145%02x%s", strlen(rest) / 2, token, rest);
    rig_hear(&rig, hex);
}

static void test_OB_21_the_order_of_arrival_counts(void **state) {
    (void)state;
    greet_simply();
    struct coap_observation *o = observe();
    hear_notification(asked_token[0], "6104ff32"); /* 5 was before */
    assert_int_equal(heard.last, '2');
    hear_notification(asked_token[0], "60ff33"); /* an empty value */
    assert_int_equal(heard.last, '3');
    hear_notification(asked_token[0], "60ff34");
    assert_int_equal(heard.notified, 3);
    assert_int_equal(heard.stale, 0);
    rig_silent(&rig); /* nothing is acknowledged */
    coap_observation_forget(o);
}

static void test_OB_21_an_unknown_token_is_ignored(void **state) {
    (void)state;
    greet_simply();
    hear_notification(0x77, "60ff33");
    rig_silent(&rig);
    assert_int_equal(rig.strays, 1);
    assert_int_equal(rig.closings, 0);
}

static void test_OB_21_only_observe_1_cancels(void **state) {
    (void)state;
    greet_simply();
    struct coap_observation *o = observe();
    coap_observation_cancel(o, rig_reply_fn, &rig);
    struct coap_message message;
    uint32_t value;
    rig_next_frame(&rig, &message);
    assert_memory_equal(message.token.data, asked_token, 1);
    assert_true(coap_option_uint(&message, COAP_OBSERVE, &value));
    assert_int_equal(value, 1);
    hear_notification(asked_token[0], "ff39");
    assert_int_equal(rig.replies, 1);
}

static void test_OB_21_over_when_the_connection_is(void **state) {
    (void)state;
    greet_simply();
    struct coap_observation *o = observe();
    coap_observe(rig.endpoint, &rig.links[0], slice_of(observe_request, sizeof observe_request),
                 &(struct coap_observer){on_started, on_notified, NULL});
    rig_next(&rig);
    heard = (struct heard){.started = 0};
    coap_observation_forget(o); /* as whoever observes does */
    rig_disconnect(&rig);
    assert_int_equal(heard.started, 1); /* the one that was under way */
    assert_false(heard.observed);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, 0);
}

static size_t notify_results[3];

static void on_notify_result(void *arg, enum coap_notify_result result) {
    (void)arg;
    notify_results[result]++;
}

static void test_notifications_of_ours_arrive_or_the_connection_ends(void **state) {
    (void)state;
    struct coap_message message, request;
    greet_simply();
    memset(notify_results, 0, sizeof notify_results);
    coap_message_init(&message, COAP_CON, COAP_2_05_CONTENT, 0, slice_str("t"));
    coap_message_init(&request, COAP_CON, COAP_GET, 0, slice_str("t"));
    message.payload = slice_str("1");
    assert_true(coap_notify(rig.endpoint, &rig.links[0], &message, &request, COAP_CON, on_notify_result, NULL));
    rig_next_is(&rig, "2145"
                      "74ff31");
    assert_int_equal(notify_results[COAP_NOTIFY_ACKNOWLEDGED], 0); /* not from within */
    rig_advance(&rig, 1);
    assert_int_equal(notify_results[COAP_NOTIFY_ACKNOWLEDGED], 1);
    assert_true(coap_notify(rig.endpoint, &rig.links[0], &message, &request, COAP_NON, on_notify_result, NULL));
    rig_next_is(&rig, "2145"
                      "74ff31");
    rig_advance(&rig, 300000);
    rig_silent(&rig);
    assert_int_equal(notify_results[COAP_NOTIFY_ACKNOWLEDGED], 1);
    assert_int_equal(notify_results[COAP_NOTIFY_RESET] + notify_results[COAP_NOTIFY_NO_ACK], 0);
}

/* ---- the end ---- */

static void test_TCP_21_requests_under_way_end_with_the_connection(void **state) {
    (void)state;
    greet_simply();
    ask(COAP_GET, SLICE_NONE);
    ask(COAP_GET, SLICE_NONE);
    rig_call(&rig, COAP_PUT, SLICE_NONE); /* waits for its turn */
    rig_disconnect(&rig);
    assert_int_equal(rig.replies, 2);
    assert_int_equal(rig.reply.result, COAP_CALL_CLOSED);
    rig_silent(&rig);
    rig_advance(&rig, 92999);
    assert_int_equal(rig.replies, 2);
    rig_advance(&rig, 1);
    assert_int_equal(rig.replies, 3);
    assert_int_equal(rig.reply.result, COAP_CALL_CLOSED);
}

static void test_TCP_21_new_requests_wait_for_a_connection(void **state) {
    (void)state;
    greet_simply();
    rig_disconnect(&rig);
    assert_non_null(rig_call(&rig, COAP_GET, SLICE_NONE));
    rig_advance(&rig, 50000);
    rig_call(&rig, COAP_GET, SLICE_NONE);
    rig_advance(&rig, 43000);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_CLOSED);
    rig_advance(&rig, 50000);
    assert_int_equal(rig.replies, 2);
    rig_silent(&rig);
}

static void test_TCP_22_what_waits_is_sent_over_the_new_connection(void **state) {
    (void)state;
    greet_simply();
    rig_disconnect(&rig);
    rig_call(&rig, COAP_GET, SLICE_NONE);
    rig_call(&rig, COAP_PUT, slice_of(body, 3000));
    rig.links[1].framing = LINK_STREAM_8323;
    rig_hear_from(&rig, 1, "40e122200020");
    rig_next_is(&rig, OUR_CSM);
    coap_calls_move(rig.endpoint, &rig.links[0], &rig.links[1]);
    rig_silent(&rig); /* not before the peer has heard that it was found */
    coap_calls_resume(rig.endpoint, &rig.links[1]);
    struct coap_message message;
    for (int i = 0; i < 2; i++) {
        const struct rig_datagram *frame = rig_next(&rig);
        assert_ptr_equal(frame->link, &rig.links[1]);
        assert_int_equal(coap_stream_decode(slice_of(frame->bytes, frame->len), &message), COAP_DECODE_OK);
        assert_int_equal(message.code, i == 0 ? COAP_GET : COAP_PUT);
        assert_int_equal(message.payload.len, i == 0 ? 0 : 3000); /* as the new one takes it */
        char hex[16];
        snprintf(hex, sizeof hex, "0144%02x", message.token.data[0]);
        rig_hear_from(&rig, 1, hex);
    }
    assert_int_equal(rig.replies, 2);
    rig_advance(&rig, 200000);
    assert_int_equal(rig.replies, 2);
    rig.links[1].closed = true;
    coap_link_closed(rig.endpoint, &rig.links[1]);
}

/* A callback that asks anew, and one that forgets another. */
static struct coap_call *doomed;

static void on_closed_ask_again(void *arg, const struct coap_reply *reply) {
    (void)arg;
    (void)reply;
    if (doomed != NULL)
        coap_call_cancel(doomed);
    doomed = NULL;
    rig_call(&rig, COAP_GET, SLICE_NONE);
}

static void test_TCP_21_callbacks_may_ask_and_cancel(void **state) {
    (void)state;
    greet_simply();
    struct coap_message request;
    coap_message_init(&request, COAP_CON, COAP_GET, 0, SLICE_NONE);
    coap_call(rig.endpoint, &rig.links[0], &request, on_closed_ask_again, NULL);
    doomed = rig_call(&rig, COAP_GET, SLICE_NONE);
    rig_call(&rig, COAP_GET, SLICE_NONE);
    rig_disconnect(&rig);
    assert_int_equal(rig.replies, 0); /* the third waited for its turn, and does so on */
    rig_advance(&rig, 93000);
    assert_int_equal(rig.replies, 2); /* and that of the callback waited */
}

static void test_a_transfer_ends_with_its_connection(void **state) {
    (void)state;
    greet_simply();
    hear_block(0, true, 6, 0, 1024);
    assert_answer(COAP_2_31_CONTINUE);
    assert_true(coap_endpoint_counters(rig.endpoint).transfer_bytes > 0);
    rig_disconnect(&rig);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).transfer_bytes, 0);
    assert_null(rig.links[0].coap);
}

/* ---- a length before each message ---- */

static void test_TCP_28_prefixed_messages_are_those_of_datagrams(void **state) {
    (void)state;
    rig.links[0].framing = LINK_LENGTH_PREFIXED;
    rig_hear(&rig, "40001234"); /* a ping: T10 */
    rig_next_is(&rig, "70001234");
    rig_hear(&rig, "41011235aab161");
    rig_next_is(&rig, "61441235aa");
    rig_hear(&rig, "41011235aab161"); /* T13: copies are known as such */
    rig_next_is(&rig, "61441235aa");
    assert_int_equal(rig.requests, 1);
    struct coap_message message;
    rig_call(&rig, COAP_GET, SLICE_NONE);
    rig_next_message(&rig, &message);
    rig_advance(&rig, 3000);
    rig_next_message(&rig, &message); /* T13: sent again */
    char hex[32];
    snprintf(hex, sizeof hex, "6000%04xc0", message.mid); /* T11: an acknowledgement of five bytes */
    rig_hear(&rig, hex);
    rig_advance(&rig, 60000);
    rig_silent(&rig);
    snprintf(hex, sizeof hex, "4145%04x%02x", message.mid, message.token.data[0]); /* T12: our own Message ID */
    rig_hear(&rig, hex);
    assert_int_equal(rig.replies, 1);
    rig_next(&rig);
    rig_hear(&rig, "60849999"); /* T12: an answer to nothing */
    rig_silent(&rig);
}

static void test_TCP_28_prefixed_messages_leave_room_for_their_length(void **state) {
    (void)state;
    rig.links[0].framing = LINK_LENGTH_PREFIXED;
    rig.body = slice_of(body, 5000);
    hear_get("41011235aab161");
    const struct rig_datagram *datagram = rig_next(&rig);
    assert_true(datagram->len + 4 <= 1152);
    rig_call(&rig, COAP_PUT, slice_of(body, 5000));
    datagram = rig_next(&rig);
    assert_true(datagram->len + 4 <= 1152);
    rig_disconnect(&rig);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_CLOSED);
    rig_advance(&rig, 600000);
    rig_silent(&rig);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_TCP_02_TCP_03_our_csm_goes_before_anything_else),
        TEST(test_TCP_02_a_connection_of_ours_begins_with_our_csm),
        TEST(test_TCP_04_a_request_before_the_csm_is_aborted),
        TEST(test_TCP_04_so_is_a_ping),
        cmocka_unit_test_setup_teardown(test_TCP_04_unless_that_was_allowed, start_without_csm, stop),
        cmocka_unit_test_setup_teardown(test_TCP_04_strict_listeners_allow_nothing, start_without_csm, stop),
        TEST(test_TCP_05_a_ping_is_answered_with_its_token),
        TEST(test_TCP_06_custody_waits_for_what_came_before),
        TEST(test_TCP_06_more_pings_than_are_remembered_get_no_promise),
        TEST(test_TCP_07_empty_messages_are_ignored),
        TEST(test_TCP_08_release_of_an_idle_connection),
        TEST(test_TCP_08_release_waits_for_answers),
        TEST(test_TCP_09_an_abort_ends_it_at_once),
        TEST(test_TCP_10_a_critical_option_of_a_csm),
        TEST(test_TCP_10_a_critical_option_of_a_ping),
        TEST(test_TCP_11_elective_options_are_ignored),
        TEST(test_TCP_18_codes_without_a_meaning_are_ignored),
        TEST(test_a_ping_of_ours_is_answered),
        TEST(test_a_ping_of_ours_is_not_answered),
        TEST(test_TCP_15_format_errors_are_aborted),
        TEST(test_TCP_14_what_cannot_be_taken_apart_is_aborted),
        TEST(test_TCP_17_an_unknown_critical_option_leaves_the_connection_open),
        TEST(test_reserved_classes_are_told),
        TEST(test_TCP_31_there_are_no_copies),
        TEST(test_TCP_31_there_are_no_acknowledgements),
        TEST(test_TCP_19_answers_may_overtake_each_other),
        TEST(test_no_response_is_silence),
        TEST(test_a_flood_of_requests_is_answered_with_5_03),
        TEST(test_TCP_13_a_large_answer_goes_in_blocks_of_1024),
        TEST(test_TCP_13_a_peer_that_takes_more_gets_it_in_one_piece),
        TEST(test_TCP_12_a_later_csm_counts_from_then_on),
        TEST(test_TCP_25_BLK_33_an_answer_in_large_blocks),
        TEST(test_TCP_25_BLK_33_a_peer_may_fall_back_to_1024),
        TEST(test_TCP_25_BLK_33_a_body_in_large_blocks),
        TEST(test_TCP_25_large_blocks_are_multiples_of_1024),
        TEST(test_TCP_25_large_blocks_must_have_been_agreed_on),
        TEST(test_TCP_31_a_request_is_sent_once),
        TEST(test_TCP_31_a_non_confirmable_request_is_any_request),
        cmocka_unit_test_setup_teardown(test_TCP_19_answers_belong_to_their_tokens, start_with_two_at_once, stop),
        TEST(test_TCP_19_an_answer_over_another_connection_is_none),
        TEST(test_nobody_answers),
        TEST(test_requests_keep_their_order),
        TEST(test_an_answer_with_an_unknown_critical_option_is_none),
        TEST(test_TCP_25_BLK_33_we_send_a_body_in_large_blocks),
        TEST(test_TCP_25_BLK_33_the_peer_makes_our_blocks_smaller),
        TEST(test_TCP_12_TCP_13_a_body_fits_what_the_peer_takes_now),
        TEST(test_TCP_13_a_body_goes_in_whatever_a_peer_takes),
        TEST(test_TCP_13_blocks_are_no_smaller_than_they_need_to_be),
        TEST(test_TCP_13_a_peer_that_takes_next_to_nothing),
        TEST(test_TCP_12_TCP_13_what_fits_no_longer_ends_the_call),
        TEST(test_TCP_13_an_error_goes_without_its_text_where_that_does_not_fit),
        TEST(test_TCP_25_BLK_33_we_fetch_in_large_blocks),
        TEST(test_OB_21_the_order_of_arrival_counts),
        TEST(test_OB_21_an_unknown_token_is_ignored),
        TEST(test_OB_21_only_observe_1_cancels),
        TEST(test_OB_21_over_when_the_connection_is),
        TEST(test_notifications_of_ours_arrive_or_the_connection_ends),
        cmocka_unit_test_setup_teardown(test_TCP_21_requests_under_way_end_with_the_connection, start_with_two_at_once,
                                        stop),
        TEST(test_TCP_21_new_requests_wait_for_a_connection),
        TEST(test_TCP_22_what_waits_is_sent_over_the_new_connection),
        cmocka_unit_test_setup_teardown(test_TCP_21_callbacks_may_ask_and_cancel, start_with_two_at_once, stop),
        TEST(test_a_transfer_ends_with_its_connection),
        TEST(test_TCP_28_prefixed_messages_are_those_of_datagrams),
        TEST(test_TCP_28_prefixed_messages_leave_room_for_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
