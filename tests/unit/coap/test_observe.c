/* Observations of ours (RFC 7641): tokens, notifications and their order, bodies in blocks, the ways to end; names carry
 * the conformance rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/text.h"
#include "common/coap/observe.h"
#include "tests/unit/coap/rig.h"

static struct rig rig;

/* What the observer has heard. */
static struct {
    size_t starts, count;
    bool observed;
    enum coap_call_result result;
    uint8_t start_code;
    struct coap_notification last; /* without its message and body */
    uint8_t code, body[8192];
    size_t body_len;
} heard;

static uint8_t request_bytes[512];
static struct slice get_request, fetch_request;

static struct slice encode_request(uint8_t *memory, size_t cap, uint8_t method, struct slice payload) {
    struct coap_message request;
    struct buffer out = buffer_over(memory, cap);
    coap_message_init(&request, COAP_CON, method, 0, SLICE_NONE);
    coap_option_add(&request, COAP_OBSERVE, SLICE_NONE);
    if (method == COAP_GET) {
        coap_option_add(&request, COAP_URI_PATH, slice_str("3"));
        coap_option_add(&request, COAP_URI_PATH, slice_str("0"));
        coap_option_add(&request, COAP_URI_PATH, slice_str("9"));
    }
    request.payload = payload;
    assert_true(coap_encode(&request, &out));
    return buffer_slice(&out);
}

static int start(void **state) {
    (void)state;
    rig_start(&rig, NULL);
    memset(&heard, 0, sizeof heard);
    get_request = encode_request(request_bytes, 256, COAP_GET, SLICE_NONE);
    fetch_request = encode_request(request_bytes + 256, 256, COAP_FETCH, slice_str("[paths]"));
    return 0;
}

static int stop(void **state) {
    (void)state;
    rig_stop(&rig);
    return 0;
}

static void keep_body(struct slice body) {
    assert_true(body.len <= sizeof heard.body);
    heard.body_len = body.len;
    if (body.len > 0)
        memcpy(heard.body, body.data, body.len);
}

static void on_started(void *arg, const struct coap_reply *reply, bool observed) {
    assert_ptr_equal(arg, &heard);
    heard.starts++;
    heard.observed = observed;
    heard.result = reply->result;
    heard.start_code = reply->message == NULL ? 0 : reply->message->code;
    keep_body(reply->body);
}

static void on_notified(void *arg, const struct coap_notification *notification) {
    assert_ptr_equal(arg, &heard);
    heard.count++;
    heard.last = *notification;
    heard.code = notification->message == NULL ? 0 : notification->message->code;
    heard.last.message = NULL;
    keep_body(notification->body);
}

static const struct coap_observer observer = {on_started, on_notified, &heard};

/* The request under way and its token. */
static struct coap_message asked;
static uint8_t token[8];

static void see_request(void) {
    static struct rig_datagram kept;
    kept = *rig_next(&rig);
    assert_int_equal(coap_decode(slice_of(kept.bytes, kept.len), &asked), COAP_DECODE_OK);
}

static struct coap_observation *observe(struct slice request) {
    struct coap_observation *observation = coap_observe(rig.endpoint, &rig.links[0], request, &observer);
    assert_non_null(observation);
    see_request();
    memcpy(token, asked.token.data, asked.token.len);
    return observation;
}

static struct slice first_token(void) {
    return slice_of(token, 1);
}

/* A message of the peer with an Observe option, none when `sequence` is negative. */
static void hear(enum coap_type type, uint8_t code, uint16_t mid, long sequence, const char *payload) {
    struct coap_message message;
    struct coap_uint observe_value;
    coap_message_init(&message, type, code, mid, first_token());
    if (sequence >= 0)
        coap_option_add_uint(&message, COAP_OBSERVE, (uint32_t)sequence, &observe_value);
    message.payload = slice_str(payload);
    rig_hear_message(&rig, &message);
}

static void hear_block(enum coap_type type, uint16_t mid, struct slice with_token, long sequence, uint32_t num,
                       bool more, const char *etag, const char *payload) {
    struct coap_message message;
    struct coap_uint observe_value, block2;
    coap_message_init(&message, type, COAP_2_05_CONTENT, mid, with_token);
    if (sequence >= 0)
        coap_option_add_uint(&message, COAP_OBSERVE, (uint32_t)sequence, &observe_value);
    if (etag != NULL)
        coap_option_add(&message, COAP_ETAG, slice_str(etag));
    coap_block_add(&message, COAP_BLOCK2, (struct coap_block){.num = num, .more = more, .szx = 0}, &block2);
    message.payload = slice_str(payload);
    rig_hear_message(&rig, &message);
}

/* An observation whose first answer had this sequence number. */
static struct coap_observation *observed(long sequence) {
    struct coap_observation *observation = observe(get_request);
    hear(COAP_ACK, COAP_2_05_CONTENT, asked.mid, sequence, "95");
    assert_true(heard.observed);
    return observation;
}

static void expect_empty(enum coap_type type, uint16_t mid) {
    char hex[16];
    snprintf(hex, sizeof hex, "%s%04x", type == COAP_ACK ? "6000" : "7000", mid);
    rig_next_is(&rig, hex);
}

static void expect_body(const char *text) {
    assert_int_equal(heard.body_len, strlen(text));
    assert_memory_equal(heard.body, text, heard.body_len);
}

static uint32_t block2_of(const struct coap_message *message) {
    uint32_t value = 0;
    assert_true(coap_option_uint(message, COAP_BLOCK2, &value));
    return value;
}

/* ---- order ---- */

static void test_OB_08_freshness_vectors(void **state) {
    (void)state;
    static const struct {
        uint32_t before, value;
        uint64_t after_ms;
        bool fresh;
    } vectors[] = {
        {13, 14, 0, true},      {14, 13, 0, false},     {16777215, 0, 0, true}, {0, 16777215, 0, false},
        {0, 8388607, 0, true},  {0, 8388608, 0, false}, {14, 13, 129000, true}, {14, 13, 128000, false},
        {14, 13, 128001, true}, {14, 14, 0, false},     {8388608, 0, 0, false}, {8388609, 0, 0, true},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        assert_int_equal(coap_observe_is_fresh(vectors[i].before, 5000, vectors[i].value, 5000 + vectors[i].after_ms),
                         vectors[i].fresh);
}

static void test_OB_09_stale_notifications_are_acknowledged_flagged_and_do_not_count(void **state) {
    (void)state;
    observed(14);
    hear(COAP_CON, COAP_2_05_CONTENT, 0x2001, 13, "93");
    expect_empty(COAP_ACK, 0x2001);
    assert_int_equal(heard.count, 1);
    assert_true(heard.last.is_stale);
    hear(COAP_CON, COAP_2_05_CONTENT, 0x2002, 15, "94");
    expect_empty(COAP_ACK, 0x2002);
    assert_false(heard.last.is_stale);
    hear(COAP_NON, COAP_2_05_CONTENT, 0x2003, 14, "90"); /* held against 15, not against the stale 13 */
    assert_true(heard.last.is_stale);
    rig_advance(&rig, 129000);
    hear(COAP_NON, COAP_2_05_CONTENT, 0x2004, 3, "80");
    assert_false(heard.last.is_stale);
    assert_int_equal(heard.last.sequence, 3);
    assert_int_equal(heard.count, 4);
    rig_silent(&rig);
}

/* ---- beginning ---- */

static void test_OB_01_request_has_an_empty_observe_option_and_a_token_of_its_own(void **state) {
    (void)state;
    observe(get_request);
    const struct coap_option *option = coap_option_find(&asked, COAP_OBSERVE);
    assert_non_null(option);
    assert_int_equal(option->value.len, 0);
    assert_int_equal(asked.type, COAP_CON);
    assert_int_equal(asked.code, COAP_GET);
    assert_int_equal(asked.token.len, 1);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, 1);
}

static void test_OB_02_first_answer_with_observe_begins_an_observation(void **state) {
    (void)state;
    struct coap_observation *observation = observed(12);
    assert_int_equal(heard.starts, 1);
    expect_body("95");
    assert_true(slice_equal(coap_observation_token(observation), first_token()));
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1001, 13, "94");
    expect_empty(COAP_ACK, 0x1001);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.last.sequence, 13);
    assert_true(heard.last.has_sequence && heard.last.is_confirmable);
    assert_false(heard.last.is_stale || heard.last.is_last);
    expect_body("94");
}

static void test_OB_02_first_answer_may_come_separately(void **state) {
    (void)state;
    observe(get_request);
    struct coap_message empty;
    coap_message_init(&empty, COAP_ACK, COAP_EMPTY, asked.mid, SLICE_NONE);
    rig_hear_message(&rig, &empty);
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1000, 12, "95");
    expect_empty(COAP_ACK, 0x1000);
    assert_true(heard.observed);
    hear(COAP_NON, COAP_2_05_CONTENT, 0x1001, 13, "94");
    assert_int_equal(heard.count, 1);
}

static void test_OB_03_answer_without_observe_begins_none(void **state) {
    (void)state;
    observe(get_request);
    hear(COAP_ACK, COAP_2_05_CONTENT, asked.mid, -1, "95");
    assert_int_equal(heard.starts, 1);
    assert_false(heard.observed);
    expect_body("95");
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, 0);
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1001, 13, "94");
    expect_empty(COAP_RST, 0x1001);
    assert_int_equal(heard.count, 0);
}

static void test_OB_04_error_begins_none(void **state) {
    (void)state;
    observe(get_request);
    hear(COAP_ACK, COAP_4_04_NOT_FOUND, asked.mid, 12, "");
    assert_false(heard.observed);
    assert_int_equal(heard.start_code, COAP_4_04_NOT_FOUND);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, 0);
}

static void test_no_answer_begins_none(void **state) {
    (void)state;
    observe(get_request);
    rig_advance(&rig, 100000);
    assert_int_equal(heard.starts, 1);
    assert_false(heard.observed);
    assert_int_equal(heard.result, COAP_CALL_NO_ACK);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, 0);
}

static void test_bytes_that_are_no_request_are_refused(void **state) {
    (void)state;
    static const uint8_t response[] = {0x40, 0x45, 0, 0}, cut[] = {0x40, 0x01};
    assert_null(coap_observe(rig.endpoint, &rig.links[0], slice_of(response, sizeof response), &observer));
    assert_null(coap_observe(rig.endpoint, &rig.links[0], slice_of(cut, sizeof cut), &observer));
    assert_null(
        coap_observation_resume(rig.endpoint, &rig.links[0], slice_str("t"), slice_of(cut, sizeof cut), &observer));
    assert_null(rig.links[0].coap);
}

static void test_full_queue_refuses(void **state) {
    (void)state;
    const size_t most = coap_endpoint_params(rig.endpoint)->max_calls_per_peer;
    for (size_t i = 0; i < most; i++)
        assert_non_null(coap_observe(rig.endpoint, &rig.links[0], get_request, &observer));
    assert_null(coap_observe(rig.endpoint, &rig.links[0], get_request, &observer));
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, most);
}

/* ---- tokens ---- */

static void test_tokens_of_observations_are_not_drawn_again(void **state) {
    (void)state;
    struct coap_observation *observations[300];
    uint8_t resumed[1];
    for (size_t i = 0; i < 256; i++) { /* every byte is in use */
        resumed[0] = (uint8_t)i;
        observations[i] =
            coap_observation_resume(rig.endpoint, &rig.links[0], slice_of(resumed, 1), get_request, &observer);
        assert_non_null(observations[i]);
    }
    assert_null(coap_observation_resume(rig.endpoint, &rig.links[0], slice_of(resumed, 1), get_request, &observer));
    rig_call(&rig, COAP_GET, SLICE_NONE);
    see_request();
    assert_int_equal(asked.token.len, 3);
    hear(COAP_ACK, COAP_2_05_CONTENT, 0, -1, "");
    coap_cancel_calls(rig.endpoint, &rig.links[0]);

    coap_observation_forget(observations[77]);
    bool found = false;
    for (size_t i = 0; i < 8 && !found; i++) {
        rig_call(&rig, COAP_GET, SLICE_NONE);
        see_request();
        found = asked.token.len == 1;
        assert_true(!found || asked.token.data[0] == 77);
        coap_cancel_calls(rig.endpoint, &rig.links[0]);
    }
    assert_true(found);
}

static void test_observations_of_many_links_and_tokens_are_all_found(void **state) {
    (void)state;
    enum { COUNT = 2000 };
    for (size_t i = 0; i < COUNT; i++) {
        uint8_t t[3] = {(uint8_t)i, (uint8_t)(i >> 8), 7};
        assert_non_null(
            coap_observation_resume(rig.endpoint, &rig.links[i % 2], slice_of(t, 3), get_request, &observer));
    }
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        char hex[64];
        snprintf(hex, sizeof hex, "5345%04x%02x%02x076101ff39", (unsigned)i, (unsigned)(i & 255), (unsigned)(i >> 8));
        rig_hear_from(&rig, i % 2, hex);
        assert_int_equal(heard.count, i + 1);
    }
    rig_silent(&rig);
}

/* ---- notifications ---- */

static void test_OB_05_OB_07_OB_10_con_is_acknowledged_non_is_not_copies_are_not_delivered(void **state) {
    (void)state;
    uint8_t t[4] = {0xa1, 0xb2, 0xc3, 0xd4};
    assert_non_null(coap_observation_resume(rig.endpoint, &rig.links[0], slice_of(t, 4), get_request, &observer));
    rig_hear(&rig, "44451001a1b2c3d4610d616eff5b7b22626e223a222f332f302f39222c2276223a39347d5d"); /* M-22 */
    rig_next_is(&rig, "60001001");                                                                /* M-23 */
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.last.sequence, 13);
    rig_hear(&rig, "44451001a1b2c3d4610d616eff5b7b22626e223a222f332f302f39222c2276223a39347d5d");
    rig_next_is(&rig, "60001001");
    assert_int_equal(heard.count, 1);
    rig_hear(&rig, "54451002a1b2c3d4610e60ff3933"); /* M-26 */
    rig_hear(&rig, "54451002a1b2c3d4610e60ff3933");
    rig_silent(&rig);
    assert_int_equal(heard.count, 2);
    assert_false(heard.last.is_confirmable);
    expect_body("93");
}

static void test_OB_06_unknown_token_is_reset_con_and_non(void **state) {
    (void)state;
    rig_hear(&rig, "44451001a1b2c3d4610d616eff5b7b22626e223a222f332f302f39222c2276223a39347d5d");
    rig_next_is(&rig, "70001001"); /* M-24 */
    rig_hear(&rig, "54451002a1b2c3d4610e60ff3933");
    rig_next_is(&rig, "70001002");
    assert_int_equal(heard.count, 0);
}

static void test_stray_notification_that_makes_its_observation_is_delivered(void **state) {
    (void)state;
    rig.wants_strays = true;
    rig_hear(&rig, "42451001a1b2610dff39");
    rig_next_is(&rig, "60001001");
    assert_int_equal(rig.strays, 1);
    assert_int_equal(heard.count, 0);
    uint8_t t[2] = {0xa1, 0xb2};
    assert_non_null(coap_observation_resume(rig.endpoint, &rig.links[0], slice_of(t, 2), get_request, &observer));
    rig_hear(&rig, "42451002a1b2610eff39");
    rig_next_is(&rig, "60001002");
    assert_int_equal(rig.strays, 1);
    assert_int_equal(heard.count, 1);
}

static void test_OB_11_error_ends(void **state) {
    (void)state;
    observed(12);
    hear(COAP_CON, COAP_4_04_NOT_FOUND, 0x1001, -1, "gone");
    expect_empty(COAP_ACK, 0x1001);
    assert_true(heard.last.is_last);
    assert_int_equal(heard.code, COAP_4_04_NOT_FOUND);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, 0);
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1002, 14, "94");
    expect_empty(COAP_RST, 0x1002);
}

static void test_OB_12_content_without_observe_is_the_last(void **state) {
    (void)state;
    observed(12);
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1001, -1, "94");
    expect_empty(COAP_ACK, 0x1001);
    assert_true(heard.last.is_last);
    assert_false(heard.last.has_sequence);
    expect_body("94");
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1002, 14, "93");
    expect_empty(COAP_RST, 0x1002);
    assert_int_equal(heard.count, 1);
}

static void test_OB_13_token_from_another_peer_is_reset(void **state) {
    (void)state;
    observed(12);
    char hex[64];
    snprintf(hex, sizeof hex, "41451001%02x610dff3934", token[0]);
    rig_hear_from(&rig, 1, hex);
    const struct rig_datagram *reset = rig_next(&rig);
    assert_ptr_equal(reset->link, &rig.links[1]);
    assert_int_equal(reset->bytes[0], 0x70);
    assert_int_equal(heard.count, 0);
}

/* ---- ending ---- */

static void test_OB_14_active_cancel_repeats_the_request_with_observe_1(void **state) {
    (void)state;
    struct coap_observation *observation = observed(12);
    assert_non_null(coap_observation_cancel(observation, rig_reply_fn, &rig));
    see_request();
    assert_true(slice_equal(asked.token, first_token()));
    assert_int_equal(asked.code, COAP_GET);
    uint32_t value;
    assert_true(coap_option_uint(&asked, COAP_OBSERVE, &value));
    assert_int_equal(value, 1);
    assert_int_equal(asked.option_count, 4);
    hear(COAP_ACK, COAP_2_05_CONTENT, asked.mid, 13, "95"); /* its Observe option means nothing */
    assert_int_equal(rig.replies, 1);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, 0);
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1002, 14, "94");
    expect_empty(COAP_RST, 0x1002);
    assert_int_equal(heard.count, 0);
}

static void test_OB_14_active_cancel_of_a_fetch_has_its_body(void **state) {
    (void)state;
    struct coap_observation *observation = observe(fetch_request);
    hear(COAP_ACK, COAP_2_05_CONTENT, asked.mid, 1, "[]");
    assert_non_null(coap_observation_cancel(observation, rig_reply_fn, &rig));
    see_request();
    assert_int_equal(asked.code, COAP_FETCH);
    assert_true(slice_is(asked.payload, "[paths]"));
    assert_true(slice_equal(asked.token, first_token()));
    rig_advance(&rig, 100000);
    assert_int_equal(rig.reply.result, COAP_CALL_NO_ACK);
}

static void test_OB_15_forgotten_observation_is_reset_with_its_next_notification(void **state) {
    (void)state;
    coap_observation_forget(observed(12));
    rig_silent(&rig);
    hear(COAP_NON, COAP_2_05_CONTENT, 0x1001, 13, "94");
    expect_empty(COAP_RST, 0x1001);
    assert_int_equal(heard.count, 0);
}

static void test_forgotten_before_its_first_answer(void **state) {
    (void)state;
    coap_observation_forget(observe(get_request));
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1001, 13, "94");
    expect_empty(COAP_RST, 0x1001);
    assert_int_equal(heard.starts, 0);
}

static void test_cancelled_calls_end_what_is_starting(void **state) {
    (void)state;
    observe(get_request);
    coap_end_calls(rig.endpoint);
    assert_int_equal(heard.starts, 1);
    assert_false(heard.observed);
    assert_int_equal(heard.result, COAP_CALL_CANCELLED);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, 0);
}

/* ---- other links, restarts ---- */

static void test_moved_observation_hears_the_new_link_only(void **state) {
    (void)state;
    struct coap_observation *observation = observed(12);
    assert_true(coap_observation_move(observation, &rig.links[1]));
    assert_ptr_equal(coap_observation_link(observation), &rig.links[1]);
    char hex[64];
    snprintf(hex, sizeof hex, "41451001%02x610dff3934", token[0]);
    rig_hear_from(&rig, 0, hex);
    rig_next_is(&rig, "70001001");
    rig_hear_from(&rig, 1, hex);
    rig_next_is(&rig, "60001001");
    assert_int_equal(heard.count, 1);
    uint8_t t[1] = {token[0]};
    assert_non_null(coap_observation_resume(rig.endpoint, &rig.links[0], slice_of(t, 1), get_request, &observer));
    assert_false(coap_observation_move(observation, &rig.links[0])); /* the token has another owner there */
    assert_ptr_equal(coap_observation_link(observation), &rig.links[1]);
}

static void test_resumed_observation_takes_any_first_sequence(void **state) {
    (void)state;
    uint8_t t[1] = {9};
    assert_non_null(coap_observation_resume(rig.endpoint, &rig.links[0], slice_of(t, 1), get_request, &observer));
    token[0] = 9;
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1001, 3, "94");
    expect_empty(COAP_ACK, 0x1001);
    assert_false(heard.last.is_stale);
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1002, 2, "93");
    assert_true(heard.last.is_stale);
}

/* ---- blocks ---- */

#define BLOCK_0 "0123456789abcdef"
#define BLOCK_1 "ghijklmnopqrstuv"

static void answer_fetch(uint32_t num, bool more, const char *etag, const char *payload) {
    see_request();
    assert_null(coap_option_find(&asked, COAP_OBSERVE));
    assert_false(slice_equal(asked.token, first_token()));
    assert_int_equal(block2_of(&asked), num << 4);
    hear_block(COAP_ACK, asked.mid, asked.token, -1, num, more, etag, payload);
}

static void test_BLK_27_rest_of_a_notification_is_fetched_without_observe(void **state) {
    (void)state;
    observed(12);
    hear_block(COAP_CON, 0x1001, first_token(), 13, 0, true, "a", BLOCK_0);
    expect_empty(COAP_ACK, 0x1001);
    assert_int_equal(heard.count, 0);
    answer_fetch(1, true, "a", BLOCK_1);
    answer_fetch(2, false, "a", "end");
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.last.sequence, 13);
    assert_true(heard.last.is_confirmable);
    assert_int_equal(heard.code, COAP_2_05_CONTENT);
    expect_body(BLOCK_0 BLOCK_1 "end");
    hear(COAP_NON, COAP_2_05_CONTENT, 0x1002, 14, "94"); /* it goes on */
    assert_int_equal(heard.count, 2);
    rig_silent(&rig);
}

static void test_BLK_27_another_etag_begins_anew(void **state) {
    (void)state;
    observed(12);
    hear_block(COAP_CON, 0x1001, first_token(), 13, 0, true, "a", BLOCK_0);
    expect_empty(COAP_ACK, 0x1001);
    answer_fetch(1, true, "b", BLOCK_1);
    see_request();
    assert_null(coap_option_find(&asked, COAP_OBSERVE));
    assert_null(coap_option_find(&asked, COAP_BLOCK2));
    hear_block(COAP_ACK, asked.mid, asked.token, -1, 0, true, "b", BLOCK_1);
    answer_fetch(1, false, "b", "new");
    assert_int_equal(heard.count, 1);
    expect_body(BLOCK_1 "new");
}

static void test_BLK_27_notification_that_begins_in_the_middle_is_fetched_from_its_beginning(void **state) {
    (void)state;
    observed(12);
    hear_block(COAP_CON, 0x1001, first_token(), 13, 2, false, "a", "end");
    expect_empty(COAP_ACK, 0x1001);
    see_request();
    assert_null(coap_option_find(&asked, COAP_OBSERVE));
    assert_null(coap_option_find(&asked, COAP_BLOCK2));
    hear_block(COAP_ACK, asked.mid, asked.token, -1, 0, true, "a", BLOCK_0);
    answer_fetch(1, false, "a", "end");
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.last.sequence, 13);
    expect_body(BLOCK_0 "end");
}

static void test_BLK_27_of_a_composite_is_fetched_with_its_body(void **state) {
    (void)state;
    observe(fetch_request);
    hear(COAP_ACK, COAP_2_05_CONTENT, asked.mid, 1, "[]");
    hear_block(COAP_NON, 0x1001, first_token(), 2, 0, true, NULL, BLOCK_0);
    see_request();
    assert_int_equal(asked.code, COAP_FETCH);
    assert_true(slice_is(asked.payload, "[paths]"));
    assert_null(coap_option_find(&asked, COAP_OBSERVE));
    hear_block(COAP_ACK, asked.mid, asked.token, -1, 1, false, NULL, "end");
    assert_int_equal(heard.count, 1);
    expect_body(BLOCK_0 "end");
}

static void test_BLK_27_newer_notification_takes_the_place_of_one_being_fetched(void **state) {
    (void)state;
    observed(12);
    hear_block(COAP_CON, 0x1001, first_token(), 13, 0, true, "a", BLOCK_0);
    expect_empty(COAP_ACK, 0x1001);
    see_request();
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1002, 14, "short");
    expect_empty(COAP_ACK, 0x1002);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.last.sequence, 14);
    expect_body("short");
    hear_block(COAP_ACK, asked.mid, asked.token, -1, 1, false, "a", "late");
    rig_advance(&rig, 300000);
    rig_silent(&rig);
    assert_int_equal(heard.count, 1);
}

static void test_BLK_27_older_notification_leaves_what_is_being_fetched(void **state) {
    (void)state;
    observed(10);
    hear_block(COAP_CON, 0x1001, first_token(), 13, 0, true, "a", BLOCK_0);
    expect_empty(COAP_ACK, 0x1001);
    hear(COAP_NON, COAP_2_05_CONTENT, 0x1002, 12, "old");
    assert_true(heard.last.is_stale);
    hear_block(COAP_NON, 0x1003, first_token(), 11, 0, true, "z", BLOCK_1); /* cannot be had any more */
    assert_int_equal(rig.oddities, 1);
    answer_fetch(1, false, "a", "end");
    assert_int_equal(heard.count, 2);
    assert_false(heard.last.is_stale);
    expect_body(BLOCK_0 "end");
}

static void test_BLK_27_rest_that_does_not_come_is_told(void **state) {
    (void)state;
    observed(12);
    hear_block(COAP_CON, 0x1001, first_token(), 13, 0, true, "a", BLOCK_0);
    expect_empty(COAP_ACK, 0x1001);
    rig_advance(&rig, 100000);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.last.result, COAP_CALL_NO_ACK);
    assert_false(heard.last.is_last);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, 1);
    rig.seen = rig.sent_count;
    hear_block(COAP_NON, 0x1002, first_token(), 14, 0, true, "a", BLOCK_0);
    see_request();
    struct coap_message error;
    coap_message_init(&error, COAP_ACK, COAP_4_04_NOT_FOUND, asked.mid, asked.token);
    rig_hear_message(&rig, &error);
    assert_int_equal(heard.last.result, COAP_CALL_INCOMPLETE);
    assert_int_equal(heard.count, 2);
}

static void test_BLK_27_last_notification_in_blocks_ends_when_it_is_whole(void **state) {
    (void)state;
    observed(12);
    hear_block(COAP_CON, 0x1001, first_token(), -1, 0, true, "a", BLOCK_0);
    expect_empty(COAP_ACK, 0x1001);
    answer_fetch(1, false, "a", "end");
    assert_int_equal(heard.count, 1);
    assert_true(heard.last.is_last);
    expect_body(BLOCK_0 "end");
    assert_int_equal(coap_endpoint_counters(rig.endpoint).observations, 0);
}

static void test_first_answer_in_blocks_is_observed_by_its_first_message(void **state) {
    (void)state;
    observe(get_request);
    hear_block(COAP_ACK, asked.mid, first_token(), 12, 0, true, "a", BLOCK_0);
    answer_fetch(1, false, "a", "end");
    assert_int_equal(heard.starts, 1);
    assert_true(heard.observed);
    expect_body(BLOCK_0 "end");
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1001, 12, "same");
    assert_true(heard.last.is_stale);
}

static void test_notification_overtakes_the_rest_of_the_first_answer(void **state) {
    (void)state;
    observe(get_request);
    hear_block(COAP_ACK, asked.mid, first_token(), 12, 0, true, "a", BLOCK_0);
    see_request();
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1001, 13, "newer");
    expect_empty(COAP_ACK, 0x1001);
    assert_int_equal(heard.starts, 1);
    assert_true(heard.observed);
    expect_body("newer");
    assert_int_equal(heard.count, 0);
    hear(COAP_CON, COAP_2_05_CONTENT, 0x1002, 14, "next");
    expect_empty(COAP_ACK, 0x1002);
    assert_int_equal(heard.count, 1);
    rig_advance(&rig, 300000);
    rig_silent(&rig);
}

static void test_notification_in_blocks_overtakes_the_rest_of_the_first_answer(void **state) {
    (void)state;
    observe(get_request);
    hear_block(COAP_ACK, asked.mid, first_token(), 12, 0, true, "a", BLOCK_0);
    see_request();
    hear_block(COAP_CON, 0x1001, first_token(), 13, 0, true, "b", BLOCK_1);
    expect_empty(COAP_ACK, 0x1001);
    see_request(); /* for the second block of what is newer */
    assert_int_equal(block2_of(&asked), 1 << 4);
    hear_block(COAP_ACK, asked.mid, asked.token, -1, 1, false, "b", "end");
    assert_true(heard.observed);
    expect_body(BLOCK_1 "end");
}

static void test_moved_while_fetching_is_fetched_from_the_new_link(void **state) {
    (void)state;
    struct coap_observation *observation = observed(12);
    hear_block(COAP_CON, 0x1001, first_token(), 13, 0, true, "a", BLOCK_0);
    expect_empty(COAP_ACK, 0x1001);
    see_request();
    assert_true(coap_observation_move(observation, &rig.links[1]));
    const struct rig_datagram *again = rig_next(&rig);
    assert_ptr_equal(again->link, &rig.links[1]);
    assert_int_equal(coap_decode(slice_of(again->bytes, again->len), &asked), COAP_DECODE_OK);
    assert_null(coap_option_find(&asked, COAP_BLOCK2));
    struct coap_message answer;
    uint8_t bytes[64];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    coap_message_init(&answer, COAP_ACK, COAP_2_05_CONTENT, asked.mid, asked.token);
    answer.payload = slice_str("whole");
    assert_true(coap_encode(&answer, &out));
    coap_receive(rig.endpoint, &rig.links[1], buffer_slice(&out));
    assert_int_equal(heard.count, 1);
    expect_body("whole");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_OB_08_freshness_vectors),
        TEST(test_OB_09_stale_notifications_are_acknowledged_flagged_and_do_not_count),
        TEST(test_OB_01_request_has_an_empty_observe_option_and_a_token_of_its_own),
        TEST(test_OB_02_first_answer_with_observe_begins_an_observation),
        TEST(test_OB_02_first_answer_may_come_separately),
        TEST(test_OB_03_answer_without_observe_begins_none),
        TEST(test_OB_04_error_begins_none),
        TEST(test_no_answer_begins_none),
        TEST(test_bytes_that_are_no_request_are_refused),
        TEST(test_full_queue_refuses),
        TEST(test_tokens_of_observations_are_not_drawn_again),
        TEST(test_observations_of_many_links_and_tokens_are_all_found),
        TEST(test_OB_05_OB_07_OB_10_con_is_acknowledged_non_is_not_copies_are_not_delivered),
        TEST(test_OB_06_unknown_token_is_reset_con_and_non),
        TEST(test_stray_notification_that_makes_its_observation_is_delivered),
        TEST(test_OB_11_error_ends),
        TEST(test_OB_12_content_without_observe_is_the_last),
        TEST(test_OB_13_token_from_another_peer_is_reset),
        TEST(test_OB_14_active_cancel_repeats_the_request_with_observe_1),
        TEST(test_OB_14_active_cancel_of_a_fetch_has_its_body),
        TEST(test_OB_15_forgotten_observation_is_reset_with_its_next_notification),
        TEST(test_forgotten_before_its_first_answer),
        TEST(test_cancelled_calls_end_what_is_starting),
        TEST(test_moved_observation_hears_the_new_link_only),
        TEST(test_resumed_observation_takes_any_first_sequence),
        TEST(test_BLK_27_rest_of_a_notification_is_fetched_without_observe),
        TEST(test_BLK_27_another_etag_begins_anew),
        TEST(test_BLK_27_notification_that_begins_in_the_middle_is_fetched_from_its_beginning),
        TEST(test_BLK_27_of_a_composite_is_fetched_with_its_body),
        TEST(test_BLK_27_newer_notification_takes_the_place_of_one_being_fetched),
        TEST(test_BLK_27_older_notification_leaves_what_is_being_fetched),
        TEST(test_BLK_27_rest_that_does_not_come_is_told),
        TEST(test_BLK_27_last_notification_in_blocks_ends_when_it_is_whole),
        TEST(test_first_answer_in_blocks_is_observed_by_its_first_message),
        TEST(test_notification_overtakes_the_rest_of_the_first_answer),
        TEST(test_notification_in_blocks_overtakes_the_rest_of_the_first_answer),
        TEST(test_moved_while_fetching_is_fetched_from_the_new_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
