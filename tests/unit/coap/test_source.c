/* Bodies that nobody holds as a whole: read from a source, taken block by block, fetched one block at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/coap/rig.h"

static struct rig rig;
static uint8_t pattern[100000];
static uint16_t next_mid;
static struct coap_message answered;
static struct coap_block block;

static int start(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251);
    rig_start(&rig, NULL);
    rig.body = slice_of(pattern, sizeof pattern);
    return 0;
}

static int stop(void **state) {
    (void)state;
    rig_stop(&rig);
    return 0;
}

/* ---- answering from a source ---- */

static uint8_t hear_get(const struct coap_block *asked, bool wants_size) {
    struct coap_message request;
    struct coap_uint value, size;
    coap_message_init(&request, COAP_CON, COAP_GET, ++next_mid, slice_str("t"));
    coap_option_add(&request, COAP_URI_PATH, slice_str("fw"));
    if (asked != NULL)
        coap_block_add(&request, COAP_BLOCK2, *asked, &value);
    if (wants_size)
        coap_option_add_uint(&request, COAP_SIZE2, 0, &size);
    rig_hear_message(&rig, &request);
    rig_next_message(&rig, &answered);
    return answered.code;
}

static void test_a_block_is_read_when_it_is_asked_for(void **state) {
    uint32_t size;
    (void)state;
    rig.answer = RIG_ANSWERS_SOURCE;
    assert_int_equal(hear_get(&(struct coap_block){.num = 40, .szx = 5}, false), COAP_2_05_CONTENT);
    assert_true(coap_block_get(&answered, COAP_BLOCK2, &block));
    assert_true(block.num == 40 && block.more && block.szx == 5);
    assert_int_equal(answered.payload.len, 512);
    assert_memory_equal(answered.payload.data, pattern + 40 * 512, 512);
    assert_int_equal(rig.source_reads, 1);
    assert_false(coap_option_uint(&answered, COAP_SIZE2, &size));
    assert_int_equal(hear_get(&(struct coap_block){.num = 41, .szx = 5}, true), COAP_2_05_CONTENT);
    assert_true(coap_option_uint(&answered, COAP_SIZE2, &size));
    assert_int_equal(size, sizeof pattern);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).transfer_bytes, 0); /* nothing is kept */
}

static void test_the_first_block_and_the_last(void **state) {
    uint32_t size;
    (void)state;
    rig.answer = RIG_ANSWERS_SOURCE;
    assert_int_equal(hear_get(NULL, false), COAP_2_05_CONTENT);
    assert_true(coap_block_get(&answered, COAP_BLOCK2, &block));
    assert_true(block.num == 0 && block.more && block.szx == 6);
    assert_true(coap_option_uint(&answered, COAP_SIZE2, &size));
    uint32_t last = sizeof pattern / 1024;
    hear_get(&(struct coap_block){.num = last, .szx = 6}, false);
    assert_true(coap_block_get(&answered, COAP_BLOCK2, &block));
    assert_false(block.more);
    assert_int_equal(answered.payload.len, sizeof pattern % 1024);
    assert_int_equal(hear_get(&(struct coap_block){.num = last + 1, .szx = 6}, false), COAP_4_00_BAD_REQUEST);
}

static void test_a_source_of_less_than_a_block_comes_whole(void **state) {
    (void)state;
    rig.answer = RIG_ANSWERS_SOURCE;
    rig.body.len = 1024;
    hear_get(NULL, false);
    assert_int_equal(answered.payload.len, 1024);
    assert_false(coap_block_get(&answered, COAP_BLOCK2, &block));
}

static void test_a_source_that_cannot_be_read_is_5_00(void **state) {
    (void)state;
    rig.answer = RIG_ANSWERS_SOURCE;
    rig.source_breaks = true;
    assert_int_equal(hear_get(NULL, false), COAP_5_00_INTERNAL_SERVER_ERROR);
}

/* ---- asking with a source ---- */

static struct coap_message sent;

static void call_with_source(bool break_it) {
    struct coap_message request;
    struct coap_source source = {.len = rig.body.len, .read = rig_read, .arg = &rig};
    rig.source_breaks = break_it;
    coap_message_init(&request, COAP_CON, COAP_PUT, 0, SLICE_NONE);
    coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
    const struct coap_call_options options = {.type = COAP_CON, .source = &source};
    assert_non_null(coap_call_with(rig.endpoint, &rig.links[0], &request, &options, rig_reply_fn, &rig));
}

/* Answer the block that was sent. */
static void hear_code(uint8_t code, const struct coap_block *taken) {
    struct coap_message response;
    struct coap_uint value;
    uint8_t token[8];
    memcpy(token, sent.token.data, sent.token.len);
    coap_message_init(&response, COAP_ACK, code, sent.mid, slice_of(token, sent.token.len));
    if (taken != NULL)
        coap_block_add(&response, COAP_BLOCK1, *taken, &value);
    rig_hear_message(&rig, &response);
}

static size_t take_block(size_t offset) {
    rig_next_message(&rig, &sent);
    assert_true(coap_block_get(&sent, COAP_BLOCK1, &block));
    assert_int_equal((size_t)block.num * coap_block_size(block.szx), offset);
    assert_memory_equal(sent.payload.data, pattern + offset, sent.payload.len);
    return offset + sent.payload.len;
}

static void test_a_body_is_read_block_by_block(void **state) {
    size_t offset = 0;
    uint32_t size;
    (void)state;
    call_with_source(false);
    offset = take_block(offset);
    assert_true(coap_option_uint(&sent, COAP_SIZE1, &size));
    assert_int_equal(size, sizeof pattern);
    while (offset < sizeof pattern) {
        assert_true(block.more);
        hear_code(COAP_2_31_CONTINUE, &block);
        offset = take_block(offset);
    }
    assert_false(block.more);
    hear_code(COAP_2_04_CHANGED, &block);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply_code, COAP_2_04_CHANGED);
    assert_int_equal(rig.source_reads, sizeof pattern / 1024 + 1);
}

static void test_a_transfer_that_begins_again_reads_from_the_beginning(void **state) {
    (void)state;
    call_with_source(false);
    size_t offset = take_block(0);
    hear_code(COAP_2_31_CONTINUE, &block);
    take_block(offset);
    hear_code(COAP_4_08_REQUEST_ENTITY_INCOMPLETE, NULL);
    take_block(0);
    assert_non_null(coap_option_find(&sent, COAP_REQUEST_TAG));
}

static void test_smaller_blocks_of_a_source_when_the_peer_wants_them(void **state) {
    (void)state;
    call_with_source(false);
    size_t offset = take_block(0);
    hear_code(COAP_2_31_CONTINUE, &(struct coap_block){.num = 0, .more = true, .szx = 2});
    offset = take_block(offset);
    assert_int_equal(sent.payload.len, 64);
    assert_int_equal(block.num, 16);
}

static void test_a_body_that_cannot_be_read_ends_the_call(void **state) {
    (void)state;
    call_with_source(true);
    assert_int_equal(rig.replies, 0); /* not from within the call */
    rig_advance(&rig, 1);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_INCOMPLETE);
    rig_silent(&rig);
}

static void test_a_body_of_more_blocks_than_can_be_numbered_ends_the_call(void **state) {
    struct coap_message request;
    struct coap_source source = {.len = (size_t)COAP_BLOCK_NUM_MAX * 16 + 17, .read = rig_read, .arg = &rig};
    (void)state;
    coap_message_init(&request, COAP_CON, COAP_PUT, 0, SLICE_NONE);
    const struct coap_call_options options = {.type = COAP_CON, .source = &source, .block_size = 16};
    assert_non_null(coap_call_with(rig.endpoint, &rig.links[0], &request, &options, rig_reply_fn, &rig));
    rig_advance(&rig, 1);
    assert_int_equal(rig.reply.result, COAP_CALL_TOO_LARGE);
    rig_silent(&rig);
}

/* ---- one block of an answer ---- */

static void test_one_block_is_all_that_is_fetched(void **state) {
    struct coap_message request, response;
    struct coap_uint value;
    uint8_t token[8];
    (void)state;
    coap_message_init(&request, COAP_CON, COAP_GET, 0, SLICE_NONE);
    coap_block_add(&request, COAP_BLOCK2, (struct coap_block){.num = 7, .szx = 6}, &value);
    const struct coap_call_options options = {.type = COAP_CON, .one_block = true};
    assert_non_null(coap_call_with(rig.endpoint, &rig.links[0], &request, &options, rig_reply_fn, &rig));
    rig_next_message(&rig, &sent);
    assert_true(coap_block_get(&sent, COAP_BLOCK2, &block));
    assert_int_equal(block.num, 7);
    memcpy(token, sent.token.data, sent.token.len);
    coap_message_init(&response, COAP_ACK, COAP_2_05_CONTENT, sent.mid, slice_of(token, sent.token.len));
    coap_block_add(&response, COAP_BLOCK2, (struct coap_block){.num = 7, .more = true, .szx = 6}, &value);
    response.payload = slice_of(pattern + 7 * 1024, 1024);
    rig_hear_message(&rig, &response);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply_len, 1024);
    assert_memory_equal(rig.reply_body, pattern + 7 * 1024, 1024);
    rig_silent(&rig);
}

/* ---- blocks of a request ---- */

static uint8_t hear_put(uint32_t num, bool more, size_t len) {
    struct coap_message request;
    struct coap_uint value;
    coap_message_init(&request, COAP_CON, COAP_PUT, ++next_mid, slice_str("t"));
    coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
    coap_block_add(&request, COAP_BLOCK1, (struct coap_block){.num = num, .more = more, .szx = 2}, &value);
    request.payload = slice_of(pattern + num * 64, len);
    rig_hear_message(&rig, &request);
    rig_next_message(&rig, &answered);
    return answered.code;
}

static void test_blocks_are_handed_on_one_by_one(void **state) {
    (void)state;
    rig.takes_blocks = true;
    rig.code = COAP_2_04_CHANGED;
    assert_int_equal(hear_put(0, true, 64), COAP_2_31_CONTINUE);
    assert_int_equal(rig.request_len, 64);
    assert_true(coap_block_get(&answered, COAP_BLOCK1, &block) && block.num == 0 && block.more);
    assert_int_equal(hear_put(5, true, 64), COAP_2_31_CONTINUE); /* the order is the handler's business */
    assert_memory_equal(rig.request_body, pattern + 5 * 64, 64);
    assert_int_equal(hear_put(6, false, 10), COAP_2_04_CHANGED);
    assert_true(coap_block_get(&answered, COAP_BLOCK1, &block) && block.num == 6 && !block.more);
    assert_int_equal(rig.requests, 3);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).transfer_bytes, 0);
}

/* ---- what is asked of a proxy ---- */

static void test_OPT_14_a_proxy_uri_that_the_handler_takes(void **state) {
    struct coap_message request;
    (void)state;
    rig.code = COAP_2_05_CONTENT;
    for (int forwards = 0; forwards < 2; forwards++) {
        rig.forwards = forwards == 1;
        coap_message_init(&request, COAP_CON, COAP_GET, ++next_mid, slice_str("t"));
        coap_option_add(&request, COAP_URI_PATH, slice_str("fw"));
        coap_option_add(&request, COAP_PROXY_URI, slice_str("http://example.com/fw.bin"));
        rig_hear_message(&rig, &request);
        rig_next_message(&rig, &answered);
        assert_int_equal(answered.code, forwards == 1 ? COAP_2_05_CONTENT : COAP_5_05_PROXYING_NOT_SUPPORTED);
    }
    assert_int_equal(rig.requests, 1);
}

int main(void) {
#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_a_block_is_read_when_it_is_asked_for),
        TEST(test_the_first_block_and_the_last),
        TEST(test_a_source_of_less_than_a_block_comes_whole),
        TEST(test_a_source_that_cannot_be_read_is_5_00),
        TEST(test_a_body_is_read_block_by_block),
        TEST(test_a_transfer_that_begins_again_reads_from_the_beginning),
        TEST(test_smaller_blocks_of_a_source_when_the_peer_wants_them),
        TEST(test_a_body_that_cannot_be_read_ends_the_call),
        TEST(test_a_body_of_more_blocks_than_can_be_numbered_ends_the_call),
        TEST(test_one_block_is_all_that_is_fetched),
        TEST(test_blocks_are_handed_on_one_by_one),
        TEST(test_OPT_14_a_proxy_uri_that_the_handler_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
