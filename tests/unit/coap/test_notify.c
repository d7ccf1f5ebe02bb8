/* Notifications that the endpoint sends (RFC 7641 §4): reliability, Resets, blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after the headers it needs */
#include <cmocka.h>

#include "tests/unit/coap/rig.h"

enum { NON_LIFETIME_MS = 145000 };

static struct rig rig;
static size_t told;
static enum coap_notify_result last;

static void on_done(void *arg, enum coap_notify_result result) {
    assert_non_null(arg);
    told++;
    last = result;
}

static int start(void **state) {
    (void)state;
    rig_start(&rig, NULL);
    told = 0;
    return 0;
}

static int stop(void **state) {
    (void)state;
    rig_stop(&rig);
    return 0;
}

/* Notify of 2.05 with this payload under token `b7`, for an observation of GET /a; gives what was sent. */
static struct coap_message notify(enum coap_type type, struct slice payload, void *arg) {
    static const uint8_t token = 0xb7;
    struct coap_message message, request, sent;
    struct coap_uint sequence;
    coap_message_init(&message, type, COAP_2_05_CONTENT, 0, slice_of(&token, 1));
    coap_option_add_uint(&message, COAP_OBSERVE, 5, &sequence);
    message.payload = payload;
    coap_message_init(&request, COAP_CON, COAP_GET, 0, SLICE_NONE);
    coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
    assert_true(coap_notify(rig.endpoint, &rig.links[0], &message, &request, type, on_done, arg));
    rig_next_message(&rig, &sent);
    assert_int_equal(sent.type, type);
    assert_true(slice_equal(sent.token, slice_of(&token, 1)));
    return sent;
}

static void hear_empty(enum coap_type type, uint16_t mid) {
    struct coap_message message;
    coap_message_init(&message, type, COAP_EMPTY, mid, SLICE_NONE);
    rig_hear_message(&rig, &message);
}

static void test_NTF_07_non_is_sent_once_and_nothing_is_told(void **state) {
    (void)state;
    struct coap_message sent = notify(COAP_NON, slice_str("95"), &rig);
    uint32_t sequence;
    assert_true(coap_option_uint(&sent, COAP_OBSERVE, &sequence));
    assert_int_equal(sequence, 5);
    assert_true(slice_is(sent.payload, "95"));
    rig_advance(&rig, 2 * NON_LIFETIME_MS);
    rig_silent(&rig);
    assert_int_equal(told, 0);
}

static void test_NTF_07_con_is_sent_again_until_it_is_acknowledged(void **state) {
    (void)state;
    struct coap_message sent = notify(COAP_CON, slice_str("95"), &rig), again;
    rig_advance(&rig, 3000);
    rig_next_message(&rig, &again);
    assert_int_equal(again.mid, sent.mid);
    assert_int_equal(told, 0);
    hear_empty(COAP_ACK, sent.mid);
    assert_int_equal(told, 1);
    assert_int_equal(last, COAP_NOTIFY_ACKNOWLEDGED);
    rig_advance(&rig, 300000);
    rig_silent(&rig);
    assert_int_equal(told, 1);
}

static void test_con_without_acknowledgement_is_told(void **state) {
    (void)state;
    notify(COAP_CON, slice_str("95"), &rig);
    rig_advance(&rig, 300000);
    for (int i = 0; i < 4; i++)
        rig_next(&rig);
    rig_silent(&rig);
    assert_int_equal(told, 1);
    assert_int_equal(last, COAP_NOTIFY_NO_ACK);
}

static void test_reset_of_a_con_is_told(void **state) {
    (void)state;
    struct coap_message sent = notify(COAP_CON, slice_str("95"), &rig);
    hear_empty(COAP_RST, sent.mid);
    assert_int_equal(told, 1);
    assert_int_equal(last, COAP_NOTIFY_RESET);
    rig_advance(&rig, 300000);
    rig_silent(&rig);
}

static void test_reset_of_a_non_is_told_once_by_its_message_id(void **state) {
    (void)state;
    struct coap_message first = notify(COAP_NON, slice_str("1"), &rig);
    uint16_t mid = first.mid;
    notify(COAP_NON, slice_str("2"), &rig);
    hear_empty(COAP_RST, (uint16_t)(mid + 100));
    assert_int_equal(told, 0);
    hear_empty(COAP_RST, mid);
    hear_empty(COAP_RST, mid);
    assert_int_equal(told, 1);
    assert_int_equal(last, COAP_NOTIFY_RESET);
}

static void test_reset_after_NON_LIFETIME_means_nothing(void **state) {
    (void)state;
    struct coap_message sent = notify(COAP_NON, slice_str("1"), &rig);
    uint16_t mid = sent.mid;
    rig_advance(&rig, NON_LIFETIME_MS);
    hear_empty(COAP_RST, mid);
    assert_int_equal(told, 0);
}

static void test_only_the_last_64_non_are_remembered(void **state) {
    (void)state;
    uint16_t mids[65];
    for (size_t i = 0; i < 65; i++)
        mids[i] = notify(COAP_NON, slice_str("1"), &rig).mid;
    hear_empty(COAP_RST, mids[0]);
    assert_int_equal(told, 0);
    hear_empty(COAP_RST, mids[1]);
    hear_empty(COAP_RST, mids[64]);
    assert_int_equal(told, 2);
}

static void test_what_is_forgotten_is_neither_told_nor_sent_again(void **state) {
    (void)state;
    int mine, other;
    struct coap_message con = notify(COAP_CON, slice_str("1"), &mine);
    uint16_t con_mid = con.mid, non_mid = notify(COAP_NON, slice_str("2"), &mine).mid,
             other_mid = notify(COAP_NON, slice_str("3"), &other).mid;
    coap_notify_forget(rig.endpoint, &rig.links[0], &mine);
    hear_empty(COAP_ACK, con_mid);
    hear_empty(COAP_RST, non_mid);
    assert_int_equal(told, 0);
    hear_empty(COAP_RST, other_mid);
    assert_int_equal(told, 1);
    rig_advance(&rig, 300000);
    rig_silent(&rig);
}

/* RFC 7959 §2.6, §3.4: the first block is the notification, the rest is fetched without Observe. */
static void test_large_notification_goes_in_blocks(void **state) {
    (void)state;
    static uint8_t body[2500];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)i;
    struct coap_message sent = notify(COAP_NON, slice_of(body, sizeof body), &rig), request, answer;
    struct coap_block block;
    uint32_t size;
    assert_true(coap_block_get(&sent, COAP_BLOCK2, &block));
    assert_true(block.num == 0 && block.more && block.szx == 6);
    assert_true(coap_option_uint(&sent, COAP_SIZE2, &size));
    assert_int_equal(size, sizeof body);
    assert_int_equal(sent.payload.len, 1024);
    uint8_t etag[4];
    memcpy(etag, coap_option_find(&sent, COAP_ETAG)->value.data, sizeof etag);
    for (uint32_t num = 1; num <= 2; num++) {
        struct coap_uint value;
        coap_message_init(&request, COAP_CON, COAP_GET, (uint16_t)(900 + num), slice_of(&num, 1));
        coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
        coap_block_add(&request, COAP_BLOCK2, (struct coap_block){.num = num, .szx = 6}, &value);
        rig_hear_message(&rig, &request);
        rig_next_message(&rig, &answer);
        assert_int_equal(answer.code, COAP_2_05_CONTENT);
        assert_null(coap_option_find(&answer, COAP_OBSERVE));
        assert_true(slice_equal(coap_option_find(&answer, COAP_ETAG)->value, slice_of(etag, sizeof etag)));
        assert_memory_equal(answer.payload.data, body + 1024 * num, answer.payload.len);
    }
    assert_int_equal(rig.requests, 0); /* served from what was kept */
    assert_int_equal(answer.payload.len, sizeof body - 2048);
}

static void test_newer_large_notification_replaces_what_is_kept(void **state) {
    (void)state;
    static uint8_t body[1500];
    struct coap_message request, answer;
    struct coap_uint value;
    notify(COAP_NON, slice_of(body, sizeof body), &rig);
    memset(body, 0x55, sizeof body);
    notify(COAP_NON, slice_of(body, sizeof body), &rig);
    coap_message_init(&request, COAP_CON, COAP_GET, 901, SLICE_NONE);
    coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
    coap_block_add(&request, COAP_BLOCK2, (struct coap_block){.num = 1, .szx = 6}, &value);
    rig_hear_message(&rig, &request);
    rig_next_message(&rig, &answer);
    assert_true(answer.payload.len > 0);
    assert_int_equal(answer.payload.data[0], 0x55);
}

static void test_notification_that_does_not_fit_is_not_sent(void **state) {
    (void)state;
    static uint8_t path[256];
    struct coap_message message, request;
    coap_message_init(&message, COAP_NON, COAP_2_05_CONTENT, 0, SLICE_NONE);
    for (int i = 0; i < 8; i++)
        coap_option_add(&message, COAP_LOCATION_PATH, slice_of(path, 255));
    coap_message_init(&request, COAP_CON, COAP_GET, 0, SLICE_NONE);
    assert_false(coap_notify(rig.endpoint, &rig.links[0], &message, &request, COAP_NON, on_done, &rig));
    rig_silent(&rig);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_NTF_07_non_is_sent_once_and_nothing_is_told),
        TEST(test_NTF_07_con_is_sent_again_until_it_is_acknowledged),
        TEST(test_con_without_acknowledgement_is_told),
        TEST(test_reset_of_a_con_is_told),
        TEST(test_reset_of_a_non_is_told_once_by_its_message_id),
        TEST(test_reset_after_NON_LIFETIME_means_nothing),
        TEST(test_only_the_last_64_non_are_remembered),
        TEST(test_what_is_forgotten_is_neither_told_nor_sent_again),
        TEST(test_large_notification_goes_in_blocks),
        TEST(test_newer_large_notification_replaces_what_is_kept),
        TEST(test_notification_that_does_not_fit_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
