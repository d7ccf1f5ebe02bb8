/* The message layer (RFC 7252 §4) as the conformance rows have it; names carry the rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/memory_limit.h"
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

static const char *const get_a = "41017d3455b161"; /* CON GET /a, MID 7d34, token 55 */

/* ---- what stands between it and its links ---- */

static size_t diverted;

static void divert_twice(void *arg, struct link *link, struct slice message) {
    (void)arg;
    diverted++;
    link_send(link, message);
    link_send(link, message);
}

static void divert_to_nowhere(void *arg, struct link *link, struct slice message) {
    (void)arg;
    (void)link;
    (void)message;
    diverted++;
}

static void test_what_is_sent_can_be_diverted(void **state) {
    (void)state;
    diverted = 0;
    coap_endpoint_divert(rig.endpoint, divert_twice, NULL);
    rig_hear(&rig, "40007d34");
    rig_next_is(&rig, "70007d34");
    rig_next_is(&rig, "70007d34");
    rig_silent(&rig);
    coap_endpoint_divert(rig.endpoint, divert_to_nowhere, NULL);
    rig_hear(&rig, "40007d35");
    rig_silent(&rig);
    assert_int_equal(diverted, 2);
    coap_endpoint_divert(rig.endpoint, NULL, NULL);
    rig_hear(&rig, "40007d36");
    rig_next_is(&rig, "70007d36");
    assert_int_equal(diverted, 2);
}

/* ---- being asked ---- */

static void test_MSG_01_short_datagrams_are_dropped(void **state) {
    (void)state;
    rig_hear(&rig, "");
    rig_hear(&rig, "40");
    rig_hear(&rig, "40017d");
    rig_silent(&rig);
}

static void test_MSG_02_other_versions_are_dropped(void **state) {
    (void)state;
    rig_hear(&rig, "80017d34b27264");
    rig_hear(&rig, "00017d34");
    rig_silent(&rig);
}

static void test_MSG_03_ping_is_reset(void **state) {
    (void)state;
    rig_hear(&rig, "40007d34");
    rig_next_is(&rig, "70007d34");
    assert_int_equal(rig.pings, 1);
}

static void test_MSG_04_empty_con_with_more_is_reset(void **state) {
    (void)state;
    rig_hear(&rig, "41007d34aa");
    rig_next_is(&rig, "70007d34");
    rig_hear(&rig, "40007d34b1");
    rig_next_is(&rig, "70007d34");
    assert_int_equal(rig.pings, 0);
}

static void test_MSG_06_empty_non_is_dropped(void **state) {
    (void)state;
    rig_hear(&rig, "50007d34");
    rig_silent(&rig);
}

static void test_MSG_07_MSG_08_MSG_09_MSG_10_MSG_11_format_errors_reset_con_and_drop_the_rest(void **state) {
    (void)state;
    static const char *const tails[] = {
        "49017d34000000000000000000", /* TKL 9 */
        "42017d34aa",                 /* token cut off */
        "40017d34f1aa",               /* delta nibble 15 */
        "40017d341f",                 /* length nibble 15 */
        "40017d34b37264",             /* value past the end */
        "40017d34d1",                 /* extended delta cut off */
        "40017d341e01",               /* extended length cut off */
        "40017d34b27264ff",           /* marker without payload */
        "40017d34e0ffffe0ffff",       /* number above 65535 */
    };
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        char hex[64];
        strcpy(hex, tails[i]);
        rig_hear(&rig, hex);
        rig_next_is(&rig, "70007d34");
        hex[0] = '5'; /* NON */
        rig_hear(&rig, hex);
        hex[0] = '6'; /* ACK */
        rig_hear(&rig, hex);
        hex[0] = '7'; /* RST */
        rig_hear(&rig, hex);
        rig_silent(&rig);
    }
    assert_int_equal(rig.requests, 0);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).malformed, 4 * sizeof tails / sizeof tails[0]);
}

static void test_MSG_12_reserved_classes(void **state) {
    (void)state;
    static const char *const codes[] = {"20", "3f", "60", "c0", "e1", "ff"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        char con[16] = "40", non[16] = "50";
        strcat(strcat(con, codes[i]), "7d34");
        strcat(strcat(non, codes[i]), "7d35");
        rig_hear(&rig, con);
        rig_next_is(&rig, "70007d34");
        rig_hear(&rig, non);
        rig_silent(&rig);
    }
}

static void test_MSG_13_requests_in_ack_or_rst_are_ignored(void **state) {
    (void)state;
    rig_hear(&rig, "61017d3455b161");
    rig_hear(&rig, "71017d3455b161");
    rig_hear(&rig, "61207d3455");
    rig_hear(&rig, "71457d3455");
    rig_silent(&rig);
    assert_int_equal(rig.requests, 0);
}

static void test_MSG_14_unknown_method(void **state) {
    (void)state;
    struct coap_message response;
    rig_hear(&rig, "41087d3455b161");
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_4_05_METHOD_NOT_ALLOWED);
    assert_int_equal(response.type, COAP_ACK);
    rig_hear(&rig, "411f7d3555b161");
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_4_05_METHOD_NOT_ALLOWED);
    assert_int_equal(rig.requests, 0);
}

static void test_MSG_17_stray_responses_are_reset(void **state) {
    (void)state;
    rig_hear(&rig, "41457d3455ff31");
    rig_next_is(&rig, "70007d34");
    rig_hear(&rig, "51457d3555ff31");
    rig_next_is(&rig, "70007d35");
    assert_int_equal(rig.strays, 2);
}

static void test_MSG_17_a_wanted_stray_is_acknowledged(void **state) {
    (void)state;
    rig.wants_strays = true;
    rig_hear(&rig, "41457d3455ff31");
    rig_next_is(&rig, "60007d34");
    rig_hear(&rig, "51457d3555ff31");
    rig_silent(&rig);
}

static void test_MSG_18_unknown_acks_and_resets_are_ignored(void **state) {
    (void)state;
    rig_hear(&rig, "60001234");
    rig_hear(&rig, "70001234");
    rig_hear(&rig, "60841234");
    rig_hear(&rig, "608d7777");
    rig_hear(&rig, "605f7777");
    rig_silent(&rig);
}

static void test_MSG_22_MSG_25_repeated_con_gets_the_same_bytes_and_runs_once(void **state) {
    (void)state;
    rig_hear(&rig, get_a);
    rig_next_is(&rig, "61447d3455");
    rig_advance(&rig, 246000);
    rig_hear(&rig, get_a);
    rig_next_is(&rig, "61447d3455");
    assert_int_equal(rig.oddities, 0);
    rig_hear(&rig, "41017d3466b162"); /* another token and path under the same Message ID */
    rig_next_is(&rig, "61447d3455");
    assert_int_equal(rig.requests, 1);
    assert_int_equal(rig.oddities, 1);
    rig_advance(&rig, 3000); /* EXCHANGE_LIFETIME is over */
    rig_hear(&rig, get_a);
    rig_next_is(&rig, "61447d3455");
    assert_int_equal(rig.requests, 2);
}

static void test_MSG_22_large_replies_are_remembered_too(void **state) {
    (void)state;
    uint8_t body[500];
    memset(body, 'x', sizeof body);
    rig.answer = RIG_ANSWERS_BODY;
    rig.body = slice_of(body, sizeof body);
    rig_hear(&rig, get_a);
    const struct rig_datagram *first = rig_next(&rig);
    rig_hear(&rig, get_a);
    const struct rig_datagram *second = rig_next(&rig);
    assert_int_equal(first->len, second->len);
    assert_memory_equal(first->bytes, second->bytes, first->len);
    assert_int_equal(rig.requests, 1);
}

static void test_MSG_23_repeated_non_is_ignored(void **state) {
    (void)state;
    struct coap_message response;
    rig_hear(&rig, "51017d3455b161");
    rig_next_message(&rig, &response);
    assert_int_equal(response.type, COAP_NON);
    rig_advance(&rig, 144000);
    rig_hear(&rig, "51017d3455b161");
    rig_silent(&rig);
    assert_int_equal(rig.requests, 1);
    rig_advance(&rig, 1100); /* NON_LIFETIME is over */
    rig_hear(&rig, "51017d3455b161");
    rig_next(&rig);
    assert_int_equal(rig.requests, 2);
}

static void test_MSG_24_the_same_mid_from_another_peer_is_another_message(void **state) {
    (void)state;
    rig_hear_from(&rig, 0, get_a);
    rig_hear_from(&rig, 1, get_a);
    assert_int_equal(rig.requests, 2);
    assert_ptr_equal(rig_next(&rig)->link, &rig.links[0]);
    assert_ptr_equal(rig_next(&rig)->link, &rig.links[1]);
}

static void test_MSG_26_quick_answers_are_piggybacked(void **state) {
    (void)state;
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, get_a);
    rig_advance(&rig, 900);
    rig_silent(&rig);
    coap_respond_code(rig.endpoint, rig_deferred(&rig), COAP_2_04_CHANGED, NULL);
    rig_next_is(&rig, "61447d3455");
    rig_advance(&rig, 100000);
    rig_silent(&rig);
}

static void test_MSG_27_MSG_28_slow_answers_come_separately(void **state) {
    (void)state;
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, get_a);
    rig_advance(&rig, 1000);
    rig_next_is(&rig, "60007d34");
    rig_hear(&rig, get_a);
    rig_next_is(&rig, "60007d34");
    coap_respond_code(rig.endpoint, rig_deferred(&rig), COAP_2_04_CHANGED, NULL);
    struct coap_message response;
    rig_next_message(&rig, &response);
    assert_int_equal(response.type, COAP_CON);
    assert_int_equal(response.code, COAP_2_04_CHANGED);
    assert_int_equal(response.token.len, 1);
    assert_int_equal(response.token.data[0], 0x55);
    uint16_t mid = response.mid;
    rig_advance(&rig, 3000); /* not acknowledged: sent again */
    rig_next_message(&rig, &response);
    assert_int_equal(response.mid, mid);
    rig_hear(&rig, get_a); /* never piggybacked after the empty ACK */
    rig_next_is(&rig, "60007d34");
    uint8_t ack[4] = {0x60, 0, (uint8_t)(mid >> 8), (uint8_t)mid};
    rig_hear_bytes(&rig, slice_of(ack, sizeof ack));
    rig_advance(&rig, 100000);
    rig_silent(&rig);
    assert_int_equal(rig.requests, 1);
}

static void test_MSG_28_a_request_repeated_before_any_answer_is_not_run_again(void **state) {
    (void)state;
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, get_a);
    rig_hear(&rig, get_a);
    assert_int_equal(rig.requests, 1);
    rig_silent(&rig);
    coap_respond_code(rig.endpoint, rig_deferred(&rig), COAP_2_04_CHANGED, NULL);
    rig_next_is(&rig, "61447d3455");
}

static void test_MSG_41_tokens_of_every_length_come_back(void **state) {
    (void)state;
    static const char token[] = "0102030405060708";
    for (unsigned len = 0; len <= 8; len++) {
        char request[64], response[64];
        snprintf(request, sizeof request, "4%u0101%02x%.*sb161", len, len, (int)(2 * len), token);
        snprintf(response, sizeof response, "6%u4401%02x%.*s", len, len, (int)(2 * len), token);
        rig_hear(&rig, request);
        rig_next_is(&rig, response);
    }
}

static void test_MSG_45_error_texts_have_no_content_format(void **state) {
    (void)state;
    struct coap_message response;
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, get_a);
    coap_respond_code(rig.endpoint, rig_deferred(&rig), COAP_4_04_NOT_FOUND, "nothing here");
    rig_next_message(&rig, &response);
    assert_true(slice_is(response.payload, "nothing here"));
    assert_int_equal(response.option_count, 0);
}

static void test_OPT_01_OPT_02_OPT_03_unknown_critical_options(void **state) {
    (void)state;
    struct coap_message response;
    rig_hear(&rig, "44017d34a1b2c3d4b131e0fcd1"); /* CON: 4.02 with the number */
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_4_02_BAD_OPTION);
    assert_non_null(memmem(response.payload.data, response.payload.len, "65001", 5));
    rig_hear(&rig, "54017d35a1b2c3d4b131e0fcd1"); /* NON: nothing */
    rig_silent(&rig);
    assert_int_equal(rig.requests, 0);

    rig_call(&rig, COAP_GET, SLICE_NONE);
    struct coap_message request;
    rig_next_message(&rig, &request);
    uint8_t token = request.token.data[0];
    struct coap_message answer;
    coap_message_init(&answer, COAP_ACK, COAP_2_05_CONTENT, request.mid, slice_of(&token, 1));
    coap_option_add(&answer, 65001, SLICE_NONE);
    rig_hear_message(&rig, &answer); /* piggybacked: ignored, the exchange goes on */
    assert_int_equal(rig.replies, 0);
    rig_advance(&rig, 3000);
    rig_next_message(&rig, &response);
    assert_int_equal(response.mid, request.mid);
    answer.type = COAP_CON;
    answer.mid = 0x4242;
    rig_hear_message(&rig, &answer); /* separate: reset */
    rig_next_is(&rig, "70004242");
    answer.option_count = 0;
    answer.mid = 0x4243;
    rig_hear_message(&rig, &answer);
    rig_next_is(&rig, "60004243");
    assert_int_equal(rig.replies, 1);
}

static void test_OPT_04_OPT_05_OPT_07_OPT_09_elective_options_are_ignored(void **state) {
    (void)state;
    rig_hear(&rig, "44017d34a1b2c3d4b131e1fcd078"); /* unknown 65000 */
    rig_next_is(&rig, "64447d34a1b2c3d4");
    rig_hear(&rig, "41017d3555b161"
                   "10"
                   "0100"
                   "2100"); /* two Content-Formats and a Max-Age: fine */
    rig_next_is(&rig, "61447d3555");
    rig_hear(&rig, "41017d365540"
                   "7161"); /* ETag of no bytes */
    rig_next_is(&rig, "61447d3655");
    assert_int_equal(rig.requests, 3);
}

static void test_OPT_05_accept_in_a_response_is_critical(void **state) {
    (void)state;
    rig_call(&rig, COAP_GET, SLICE_NONE);
    struct coap_message request, answer;
    rig_next_message(&rig, &request);
    coap_message_init(&answer, COAP_CON, COAP_2_05_CONTENT, 0x4242, request.token);
    coap_option_add(&answer, COAP_ACCEPT, SLICE_NONE);
    rig_hear_message(&rig, &answer);
    rig_next_is(&rig, "70004242");
    assert_int_equal(rig.replies, 0);
    coap_message_init(&answer, COAP_CON, COAP_2_05_CONTENT, 0x4243, request.token);
    coap_option_add(&answer, COAP_HOP_LIMIT, SLICE_NONE); /* elective: ignored */
    rig_hear_message(&rig, &answer);
    assert_int_equal(rig.replies, 1);
}

static void test_OPT_06_critical_options_of_illegal_length(void **state) {
    (void)state;
    static const char *const options[] = {
        "30",           /* Uri-Host 0 */
        "5101",         /* If-None-Match 1 */
        "73010203",     /* Uri-Port 3 */
        "d304010203",   /* Accept (17) 3 */
        "d40a01020304", /* Block2 (23) 4 */
        "d40e01020304", /* Block1 (27) 4 */
        "d01a",         /* Proxy-Scheme (39) 0 */
    };
    for (unsigned i = 0; i < sizeof options / sizeof options[0]; i++) {
        char hex[64];
        struct coap_message response;
        snprintf(hex, sizeof hex, "4101%04x55%s", i, options[i]);
        rig_hear(&rig, hex);
        rig_next_message(&rig, &response);
        assert_int_equal(response.code, COAP_4_02_BAD_OPTION);
    }
    assert_int_equal(rig.requests, 0);
}

static void test_OPT_08_critical_options_must_not_be_repeated(void **state) {
    (void)state;
    struct coap_message response;
    rig_hear(&rig, "41017d3455b161"
                   "613c"
                   "013c"); /* Accept twice */
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_4_02_BAD_OPTION);
}

static void test_OPT_13_proxies(void **state) {
    (void)state;
    struct coap_message request, response;
    static const struct {
        uint16_t number;
        const char *value;
        uint8_t code;
    } rows[] = {
        {COAP_PROXY_URI, "coap://example.org/x", COAP_5_05_PROXYING_NOT_SUPPORTED},
        {COAP_PROXY_URI, "http://127.0.0.1/x", COAP_5_05_PROXYING_NOT_SUPPORTED},
        {COAP_PROXY_URI, "coap://127.0.0.1:5684/x", COAP_5_05_PROXYING_NOT_SUPPORTED},
        {COAP_PROXY_URI, "coap://127.0.0.1/x/%41?y=%2", COAP_5_05_PROXYING_NOT_SUPPORTED},
        {COAP_PROXY_URI, "coap://127.0.0.1/x/%41?y=%20z", COAP_2_04_CHANGED},
        {COAP_PROXY_URI, "coap://127.0.0.1:5683", COAP_2_04_CHANGED},
        {COAP_PROXY_SCHEME, "http", COAP_5_05_PROXYING_NOT_SUPPORTED},
        {COAP_PROXY_SCHEME, "coap", COAP_2_04_CHANGED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        coap_message_init(&request, COAP_CON, COAP_GET, (uint16_t)i, SLICE_NONE);
        coap_option_add(&request, rows[i].number, slice_str(rows[i].value));
        rig_hear_message(&rig, &request);
        rig_next_message(&rig, &response);
        assert_int_equal(response.code, rows[i].code);
    }
}

static void test_OPT_28_no_response(void **state) {
    (void)state;
    rig_hear(&rig, "51017d3455b161"
                   "d1ea1a"); /* NON, No-Response 26: silence */
    rig_silent(&rig);
    rig_hear(&rig, "41017d3555b161"
                   "d1ea1a"); /* CON: acknowledged all the same */
    rig_next_is(&rig, "60007d35");
    rig_hear(&rig, "41017d3555b161"
                   "d1ea1a");
    rig_next_is(&rig, "60007d35");
    rig_hear(&rig, "41017d3655b161"
                   "d1ea08"); /* only 4.xx are unwanted */
    rig_next_is(&rig, "61447d3655");
    assert_int_equal(rig.requests, 3);
}

static void test_more_than_64_options_are_refused(void **state) {
    (void)state;
    uint8_t bytes[4 + 65] = {0x40, 0x01, 0x7d, 0x34};
    struct coap_message response;
    memset(bytes + 4, 0, 65);
    bytes[4] = 0xb0;
    rig_hear_bytes(&rig, slice_of(bytes, sizeof bytes));
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_4_02_BAD_OPTION);
    assert_int_equal(rig.requests, 0);
}

static void test_MSG_05_empty_ack_with_a_trailing_byte(void **state) {
    (void)state;
    struct coap_message request;
    rig_call(&rig, COAP_POST, SLICE_NONE);
    rig_next_message(&rig, &request);
    uint8_t ack[5] = {0x60, 0, (uint8_t)(request.mid >> 8), (uint8_t)request.mid, 0xc0};
    rig_hear_bytes(&rig, slice_of(ack, sizeof ack));
    assert_int_equal(rig.oddities, 1);
    rig_advance(&rig, 60000);
    rig_silent(&rig); /* it was taken as an ACK */
}

static void test_MSG_05_strict_listeners_ignore_it(void **state) {
    (void)state;
    struct coap_message request;
    rig.listener.strict = true;
    rig_call(&rig, COAP_POST, SLICE_NONE);
    rig_next_message(&rig, &request);
    uint8_t ack[5] = {0x60, 0, (uint8_t)(request.mid >> 8), (uint8_t)request.mid, 0xc0};
    rig_hear_bytes(&rig, slice_of(ack, sizeof ack));
    assert_int_equal(rig.rejections, 1);
    rig_advance(&rig, 3000);
    rig_next(&rig); /* sent again */
}

/* ---- limits ---- */

static void small_memory(struct coap_params *params) {
    params->max_exchanges = 20;
    params->max_exchanges_per_peer = 8;
}

static int start_small(void **state) {
    (void)state;
    rig_start(&rig, small_memory);
    return 0;
}

static void test_each_peer_has_its_last_eight_exchanges(void **state) {
    (void)state;
    char hex[32];
    for (unsigned i = 0; i < 12; i++) {
        snprintf(hex, sizeof hex, "40%s%04xb161", "01", i);
        rig_hear(&rig, hex);
        rig_next(&rig);
    }
    assert_int_equal(coap_endpoint_counters(rig.endpoint).exchanges, 8);
    for (unsigned i = 4; i < 12; i++) { /* remembered */
        snprintf(hex, sizeof hex, "4001%04xb161", i);
        rig_hear(&rig, hex);
        rig_next(&rig);
    }
    assert_int_equal(rig.requests, 12);
    rig_hear(&rig, "40010003b161"); /* forgotten */
    assert_int_equal(rig.requests, 13);
}

static void test_open_exchanges_are_never_dropped(void **state) {
    (void)state;
    char hex[32];
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, get_a);
    struct coap_exchange *open = rig_deferred(&rig);
    rig.answer = RIG_ANSWERS;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(hex, sizeof hex, "4001%04xb161", i);
        rig_hear_from(&rig, i % 2, hex);
        rig_next(&rig);
    }
    assert_true(coap_endpoint_counters(rig.endpoint).exchanges <= 20);
    coap_respond_code(rig.endpoint, open, COAP_2_04_CHANGED, NULL);
    rig_next_is(&rig, "61447d3455");
}

static void hear_numbered(unsigned from, unsigned to) {
    char hex[32];
    for (unsigned i = from; i < to; i++) {
        snprintf(hex, sizeof hex, "4001%04xb161", i);
        rig_hear_from(&rig, i % RIG_PEERS, hex);
        rig_next(&rig);
    }
}

static void test_where_memory_ends_an_eighth_is_remembered(void **state) {
    (void)state;
    hear_numbered(0, 16);
    size_t before = coap_endpoint_counters(rig.endpoint).exchanges;
    memory_limit_set(1);
    hear_numbered(16, 26);
    size_t scarce = coap_endpoint_counters(rig.endpoint).exchanges;
    memory_limit_set(0);
    assert_int_equal(before, 16);
    assert_int_equal(scarce, 2);
    hear_numbered(26, 34);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).exchanges, 10);
}

static void test_memory_of_exchanges_is_given_back(void **state) {
    (void)state;
    rig_hear(&rig, get_a);
    rig_next(&rig);
    assert_int_equal(rig.links[0].refs, 2);
    rig_advance(&rig, 249000);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).exchanges, 0);
    assert_int_equal(rig.links[0].refs, 1);
    assert_int_equal(rig.wheel.count, 0);
}

static void test_freeing_the_endpoint_with_everything_open(void **state) {
    (void)state;
    rig.answer = RIG_DEFERS;
    rig_hear(&rig, get_a);
    rig_hear(&rig, "41027d4455b161d10e08ff30313233343536373839616263646566");
    rig_call(&rig, COAP_GET, SLICE_NONE);
    rig_call(&rig, COAP_GET, SLICE_NONE); /* waits for the first (NSTART) */
    coap_ping(rig.endpoint, &rig.links[1], rig_reply_fn, &rig);
    /* rig_stop checks that nothing is left, and the calls have heard of it. */
    coap_cancel_calls(rig.endpoint, &rig.links[0]);
    assert_int_equal(rig.replies, 2);
    assert_int_equal(rig.reply.result, COAP_CALL_CANCELLED);
}

/* ---- Echo (RFC 9175) ---- */

static void challenge_peers(struct coap_params *params) {
    params->echo_challenge = true;
}

static int start_challenging(void **state) {
    (void)state;
    rig_start(&rig, challenge_peers);
    return 0;
}

static void hear_with_echo(uint16_t mid, struct slice echo) {
    struct coap_message request;
    coap_message_init(&request, COAP_CON, COAP_GET, mid, SLICE_NONE);
    coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
    coap_option_add(&request, COAP_ECHO, echo);
    rig_hear_message(&rig, &request);
}

static void test_EXT_01_EXT_04_EXT_08_unknown_peers_prove_their_address(void **state) {
    (void)state;
    struct coap_message response;
    uint8_t echo[8];
    rig_hear(&rig, get_a);
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_4_01_UNAUTHORIZED);
    const struct coap_option *option = coap_option_find(&response, COAP_ECHO);
    assert_non_null(option);
    assert_int_equal(option->value.len, 8);
    memcpy(echo, option->value.data, 8);
    assert_int_equal(rig.requests, 0);

    hear_with_echo(1, slice_str("wrong..."));
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_4_01_UNAUTHORIZED);
    assert_non_null(coap_option_find(&response, COAP_ECHO));

    rig_hear_from(&rig, 1, get_a); /* another peer gets another value, and ours does not serve it */
    rig_next_message(&rig, &response);
    option = coap_option_find(&response, COAP_ECHO);
    assert_true(memcmp(option->value.data, echo, 8) != 0);

    rig_advance(&rig, 300000); /* too old */
    hear_with_echo(2, slice_of(echo, 8));
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_4_01_UNAUTHORIZED);
    option = coap_option_find(&response, COAP_ECHO);
    memcpy(echo, option->value.data, 8);
    hear_with_echo(3, slice_of(echo, 8));
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_2_04_CHANGED);
    rig_hear(&rig, "41010004b1b161"); /* trusted from now on */
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_2_04_CHANGED);
}

static void test_EXT_02_EXT_05_no_challenge_by_default_and_echo_is_ignored(void **state) {
    (void)state;
    struct coap_message response;
    hear_with_echo(1, slice_str("anything"));
    rig_next_message(&rig, &response);
    assert_int_equal(response.code, COAP_2_04_CHANGED);
}

static void test_MSG_36_times_follow_the_parameters(void **state) {
    (void)state;
    struct coap_params params;
    coap_params_default(&params);
    assert_int_equal(coap_max_transmit_span_ms(&params), 45000);
    assert_int_equal(coap_max_transmit_wait_ms(&params), 93000);
    assert_int_equal(coap_exchange_lifetime_ms(&params), 247000);
    assert_int_equal(coap_non_lifetime_ms(&params), 145000);
    params.ack_timeout_ms = 1000;
    params.max_retransmit = 2;
    assert_int_equal(coap_max_transmit_span_ms(&params), 4500);
    assert_int_equal(coap_max_transmit_wait_ms(&params), 10500);
    assert_int_equal(coap_exchange_lifetime_ms(&params), 4500 + 200000 + 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_sent_can_be_diverted),
        TEST(test_MSG_01_short_datagrams_are_dropped),
        TEST(test_MSG_02_other_versions_are_dropped),
        TEST(test_MSG_03_ping_is_reset),
        TEST(test_MSG_04_empty_con_with_more_is_reset),
        TEST(test_MSG_05_empty_ack_with_a_trailing_byte),
        TEST(test_MSG_05_strict_listeners_ignore_it),
        TEST(test_MSG_06_empty_non_is_dropped),
        TEST(test_MSG_07_MSG_08_MSG_09_MSG_10_MSG_11_format_errors_reset_con_and_drop_the_rest),
        TEST(test_MSG_12_reserved_classes),
        TEST(test_MSG_13_requests_in_ack_or_rst_are_ignored),
        TEST(test_MSG_14_unknown_method),
        TEST(test_MSG_17_stray_responses_are_reset),
        TEST(test_MSG_17_a_wanted_stray_is_acknowledged),
        TEST(test_MSG_18_unknown_acks_and_resets_are_ignored),
        TEST(test_MSG_22_MSG_25_repeated_con_gets_the_same_bytes_and_runs_once),
        TEST(test_MSG_22_large_replies_are_remembered_too),
        TEST(test_MSG_23_repeated_non_is_ignored),
        TEST(test_MSG_24_the_same_mid_from_another_peer_is_another_message),
        TEST(test_MSG_26_quick_answers_are_piggybacked),
        TEST(test_MSG_27_MSG_28_slow_answers_come_separately),
        TEST(test_MSG_28_a_request_repeated_before_any_answer_is_not_run_again),
        TEST(test_MSG_36_times_follow_the_parameters),
        TEST(test_MSG_41_tokens_of_every_length_come_back),
        TEST(test_MSG_45_error_texts_have_no_content_format),
        TEST(test_OPT_01_OPT_02_OPT_03_unknown_critical_options),
        TEST(test_OPT_04_OPT_05_OPT_07_OPT_09_elective_options_are_ignored),
        TEST(test_OPT_05_accept_in_a_response_is_critical),
        TEST(test_OPT_06_critical_options_of_illegal_length),
        TEST(test_OPT_08_critical_options_must_not_be_repeated),
        TEST(test_OPT_13_proxies),
        TEST(test_OPT_28_no_response),
        TEST(test_more_than_64_options_are_refused),
        cmocka_unit_test_setup_teardown(test_each_peer_has_its_last_eight_exchanges, start_small, stop),
        cmocka_unit_test_setup_teardown(test_open_exchanges_are_never_dropped, start_small, stop),
        cmocka_unit_test_setup_teardown(test_where_memory_ends_an_eighth_is_remembered, start_small, stop),
        TEST(test_memory_of_exchanges_is_given_back),
        TEST(test_freeing_the_endpoint_with_everything_open),
        cmocka_unit_test_setup_teardown(test_EXT_01_EXT_04_EXT_08_unknown_peers_prove_their_address, start_challenging,
                                        stop),
        TEST(test_EXT_02_EXT_05_no_challenge_by_default_and_echo_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
