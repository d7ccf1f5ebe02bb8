/* Block-wise transfer (RFC 7959), both sides; names carry the conformance rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/memory_limit.h"
#include "tests/unit/coap/rig.h"

static struct rig rig;
static uint8_t pattern[200000];

static void tune(struct coap_params *params) {
    params->max_body = 150000;
    params->max_transfers_per_peer = 3;
    params->max_transfer_bytes = 600000;
}

static int start(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251);
    rig_start(&rig, tune);
    return 0;
}

static int stop(void **state) {
    (void)state;
    rig_stop(&rig);
    return 0;
}

/* ---- they send blocks ---- */

static uint16_t next_mid;

struct part {
    const char *path;
    uint32_t num;
    bool more;
    uint8_t szx;
    struct slice payload;
    int content_format; /* -1: none */
    struct slice request_tag;
    uint32_t size1;
};

static struct coap_message answered;

static uint8_t hear_part(struct part part) {
    struct coap_message request;
    struct coap_uint block, format, size1;
    coap_message_init(&request, COAP_CON, COAP_POST, ++next_mid, slice_str("t"));
    coap_option_add(&request, COAP_URI_PATH, slice_str(part.path == NULL ? "a" : part.path));
    if (part.content_format >= 0)
        coap_option_add_uint(&request, COAP_CONTENT_FORMAT, (uint32_t)part.content_format, &format);
    coap_block_add(&request, COAP_BLOCK1, (struct coap_block){part.num, part.more, part.szx}, &block);
    if (part.request_tag.len > 0)
        coap_option_add(&request, COAP_REQUEST_TAG, part.request_tag);
    if (part.size1 > 0)
        coap_option_add_uint(&request, COAP_SIZE1, part.size1, &size1);
    request.payload = part.payload;
    rig_hear_message(&rig, &request);
    rig_next_message(&rig, &answered);
    return answered.code;
}

static struct slice bytes_at(size_t offset, size_t len) {
    return slice_of(pattern + offset, len);
}

static uint8_t hear_64(uint32_t num, bool more, size_t len) {
    return hear_part((struct part){.num = num, .more = more, .szx = 2, .payload = bytes_at(num * 64u, len)});
}

static void test_BLK_01_BLK_02_blocks_are_assembled(void **state) {
    (void)state;
    struct coap_block block;
    assert_int_equal(hear_64(0, true, 64), COAP_2_31_CONTINUE);
    assert_true(coap_block_get(&answered, COAP_BLOCK1, &block));
    assert_true(block.num == 0 && block.more && block.szx == 2);
    assert_int_equal(answered.payload.len, 0);
    assert_int_equal(hear_64(1, true, 64), COAP_2_31_CONTINUE);
    assert_int_equal(rig.requests, 0);
    assert_int_equal(hear_64(2, false, 10), COAP_2_04_CHANGED);
    assert_true(coap_block_get(&answered, COAP_BLOCK1, &block));
    assert_true(block.num == 2 && !block.more && block.szx == 2);
    assert_int_equal(rig.requests, 1);
    assert_int_equal(rig.request_len, 138);
    assert_memory_equal(rig.request_body, pattern, 138);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).transfer_bytes, 0);
}

static void test_BLK_03_no_transfer_open(void **state) {
    (void)state;
    assert_int_equal(hear_64(1, true, 64), COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
    assert_int_equal(hear_64(3, false, 4), COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
}

static void test_BLK_04_a_gap_ends_the_transfer(void **state) {
    (void)state;
    hear_64(0, true, 64);
    assert_int_equal(hear_64(2, true, 64), COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
    assert_int_equal(hear_64(1, true, 64), COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
}

static void test_BLK_05_block_0_starts_over(void **state) {
    (void)state;
    hear_64(0, true, 64);
    hear_64(1, true, 64);
    assert_int_equal(hear_64(0, true, 64), COAP_2_31_CONTINUE);
    assert_int_equal(hear_64(1, false, 3), COAP_2_04_CHANGED);
    assert_int_equal(rig.request_len, 67);
}

static void test_BLK_06_the_last_block_again_is_not_doubled(void **state) {
    (void)state;
    hear_64(0, true, 64);
    hear_64(1, true, 64);
    assert_int_equal(hear_64(1, true, 64), COAP_2_31_CONTINUE);
    assert_int_equal(hear_64(2, false, 3), COAP_2_04_CHANGED);
    assert_int_equal(rig.request_len, 131);
    assert_memory_equal(rig.request_body, pattern, 131);
}

static void test_BLK_07_BLK_08_lengths_and_sizes(void **state) {
    (void)state;
    assert_int_equal(hear_64(0, true, 63), COAP_4_00_BAD_REQUEST);
    assert_int_equal(hear_64(0, true, 65), COAP_4_00_BAD_REQUEST);
    assert_int_equal(hear_64(0, false, 65), COAP_4_00_BAD_REQUEST);
    assert_int_equal(hear_part((struct part){.szx = 7, .payload = bytes_at(0, 64)}), COAP_4_00_BAD_REQUEST);
    assert_int_equal(rig.requests, 0);
}

static void test_BLK_09_content_format_must_not_change(void **state) {
    (void)state;
    hear_part((struct part){.more = true, .szx = 2, .payload = bytes_at(0, 64), .content_format = 40});
    assert_int_equal(hear_part((struct part){.num = 1, .szx = 2, .payload = bytes_at(64, 4), .content_format = 42}),
                     COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
    assert_int_equal(rig.requests, 0);
}

static void test_BLK_10_EXT_09_what_separates_transfers(void **state) {
    (void)state;
    struct part a = {.path = "a", .more = true, .szx = 0, .payload = slice_str("aaaaaaaaaaaaaaaa")};
    struct part b = {.path = "b", .more = true, .szx = 0, .payload = slice_str("bbbbbbbbbbbbbbbb")};
    struct part tagged = {
        .path = "a", .more = true, .szx = 0, .payload = slice_str("tttttttttttttttt"), .request_tag = slice_str("x")};
    hear_part(a);
    hear_part(b);
    hear_part(tagged);
    a.num = b.num = tagged.num = 1;
    a.more = b.more = tagged.more = false;
    a.payload = b.payload = tagged.payload = slice_str("!");
    assert_int_equal(hear_part(b), COAP_2_04_CHANGED);
    assert_memory_equal(rig.request_body, "bbbbbbbbbbbbbbbb!", 17);
    assert_int_equal(hear_part(tagged), COAP_2_04_CHANGED);
    assert_memory_equal(rig.request_body, "tttttttttttttttt!", 17);
    assert_null(coap_option_find(&answered, COAP_REQUEST_TAG));
    assert_int_equal(hear_part(a), COAP_2_04_CHANGED);
    assert_memory_equal(rig.request_body, "aaaaaaaaaaaaaaaa!", 17);
}

static void test_BLK_11_an_idle_transfer_is_dropped(void **state) {
    (void)state;
    hear_64(0, true, 64);
    rig_advance(&rig, 240000);
    assert_int_equal(hear_64(1, true, 64), COAP_2_31_CONTINUE);
    rig_advance(&rig, 248000);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).transfer_bytes, 0);
    assert_int_equal(hear_64(2, false, 64), COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
}

static void test_BLK_12_BLK_35_too_large_is_said_early_with_the_limit(void **state) {
    (void)state;
    uint32_t size1;
    assert_int_equal(hear_part((struct part){.more = true, .szx = 2, .payload = bytes_at(0, 64), .size1 = 150001}),
                     COAP_4_13_REQUEST_ENTITY_TOO_LARGE);
    assert_true(coap_option_uint(&answered, COAP_SIZE1, &size1));
    assert_int_equal(size1, 150000);
    for (uint32_t num = 0; num < 146; num++)
        assert_int_equal(
            hear_part((struct part){.num = num, .more = true, .szx = 6, .payload = bytes_at(num * 1024u, 1024)}),
            COAP_2_31_CONTINUE);
    assert_int_equal(hear_part((struct part){.num = 146, .more = true, .szx = 6, .payload = bytes_at(0, 1024)}),
                     COAP_4_13_REQUEST_ENTITY_TOO_LARGE);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).transfer_bytes, 0);
    assert_int_equal(rig.requests, 0);
}

static void test_BLK_13_too_many_transfers(void **state) {
    (void)state;
    static const char *const paths[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(hear_part((struct part){.path = paths[i], .more = true, .szx = 0, .payload = bytes_at(0, 16)}),
                         COAP_2_31_CONTINUE);
    assert_int_equal(hear_part((struct part){.path = "d", .more = true, .szx = 0, .payload = bytes_at(0, 16)}),
                     COAP_5_03_SERVICE_UNAVAILABLE);
    uint32_t max_age;
    assert_true(coap_option_uint(&answered, COAP_MAX_AGE, &max_age));
    assert_int_equal(hear_part((struct part){.path = "a", .num = 1, .szx = 0, .payload = bytes_at(16, 1)}),
                     COAP_2_04_CHANGED); /* the others go on */
}

static uint8_t hear_large(uint32_t num) {
    return hear_part((struct part){.num = num, .more = true, .szx = 6, .payload = bytes_at(num * 1024u, 1024)});
}

static void test_where_memory_ends_strangers_share_an_eighth(void **state) {
    (void)state;
    uint32_t num = 0;
    memory_limit_set(1);
    for (; num <= 64; num++) /* 131,072 bytes are taken then; an eighth is 75,000 */
        assert_int_equal(hear_large(num), COAP_2_31_CONTINUE);
    rig.links[0].peer.ip[0] = 10;                          /* it was loopback, which nobody forges */
    assert_int_equal(hear_large(num), COAP_2_31_CONTINUE); /* it has begun */
    for (num = 0; hear_large(num) == COAP_2_31_CONTINUE; num++)
        assert_true(num < 64);
    memory_limit_set(0);
    assert_int_equal(num, 64);
    assert_int_equal(answered.code, COAP_5_03_SERVICE_UNAVAILABLE);
}

static uint8_t hear_half(size_t peer, uint32_t num, bool more) {
    struct coap_message request;
    struct coap_uint block;
    coap_message_init(&request, COAP_CON, COAP_POST, ++next_mid, slice_str("t"));
    coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
    coap_block_add(&request, COAP_BLOCK1, (struct coap_block){num, more, 5}, &block);
    request.payload = bytes_at(num * 512u, 512);
    rig_hear_message_from(&rig, peer, &request);
    rig_next_message(&rig, &answered);
    return answered.code;
}

static void take_two(struct coap_params *params) {
    params->max_transfer_bytes = 2048;
}

/* RFC 7959 §7.2: who only begins keeps nobody out. */
static void test_of_strangers_the_transfer_idle_longest_makes_room(void **state) {
    (void)state;
    rig_stop(&rig);
    rig_start(&rig, take_two);
    for (size_t i = 0; i < 3; i++)
        rig.links[i].peer.ip[0] = 10; /* it was loopback, which nobody forges */
    assert_int_equal(hear_half(0, 0, true), COAP_2_31_CONTINUE);
    assert_int_equal(hear_half(1, 0, true), COAP_2_31_CONTINUE);
    assert_int_equal(hear_half(0, 1, true), COAP_2_31_CONTINUE);
    assert_int_equal(hear_half(2, 0, true), COAP_2_31_CONTINUE);
    assert_int_equal(hear_half(1, 1, false), COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).transfer_bytes, 2048);
    rig.links[0].owner = 1; /* it has registered: what it has begun stays */
    assert_int_equal(hear_half(1, 0, true), COAP_2_31_CONTINUE);
    assert_int_equal(hear_half(2, 1, false), COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
    rig.links[1].owner = 2;
    assert_int_equal(hear_half(2, 0, true), COAP_5_03_SERVICE_UNAVAILABLE);
    assert_int_equal(hear_half(1, 1, false), COAP_2_04_CHANGED);
    assert_int_equal(hear_half(2, 0, true), COAP_2_31_CONTINUE);
    for (uint32_t num = 2; num < 4; num++) /* the other's half goes for more of one that is known */
        assert_int_equal(hear_half(0, num, num < 3), num < 3 ? COAP_2_31_CONTINUE : COAP_2_04_CHANGED);
    assert_int_equal(hear_half(2, 1, false), COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
}

static void test_BLK_30_announced_sizes_allocate_nothing(void **state) {
    (void)state;
    hear_part((struct part){.more = true, .szx = 0, .payload = bytes_at(0, 16), .size1 = 149999});
    assert_true(coap_endpoint_counters(rig.endpoint).transfer_bytes <= 4096);
}

static void small_blocks(struct coap_params *params) {
    params->block_szx = 2;
}

static int start_small_blocks(void **state) {
    start(state);
    rig_stop(&rig);
    rig_start(&rig, small_blocks);
    return 0;
}

static void test_BLK_14_we_prefer_smaller_blocks(void **state) {
    (void)state;
    struct coap_block block;
    assert_int_equal(hear_part((struct part){.more = true, .szx = 6, .payload = bytes_at(0, 1024)}),
                     COAP_2_31_CONTINUE);
    assert_true(coap_block_get(&answered, COAP_BLOCK1, &block));
    assert_int_equal(block.szx, 2);
    assert_int_equal(hear_part((struct part){.num = 16, .more = true, .szx = 2, .payload = bytes_at(1024, 64)}),
                     COAP_2_31_CONTINUE);
    assert_int_equal(hear_part((struct part){.num = 17, .szx = 2, .payload = bytes_at(1088, 5)}), COAP_2_04_CHANGED);
    assert_int_equal(rig.request_len, 1093);
    assert_memory_equal(rig.request_body, pattern, 1093);
    /* …and one that does not follow is served too. */
    hear_part((struct part){.more = true, .szx = 6, .payload = bytes_at(0, 1024)});
    assert_int_equal(hear_part((struct part){.num = 1, .szx = 6, .payload = bytes_at(1024, 5)}), COAP_2_04_CHANGED);
    assert_int_equal(rig.request_len, 1029);
}

static void test_BLK_32_a_retransmitted_block_gets_the_same_answer(void **state) {
    (void)state;
    hear_64(0, true, 64);
    hear_64(1, true, 64);
    next_mid--;
    const struct rig_datagram *first = &rig.sent[rig.sent_count - 1];
    hear_64(1, true, 64);
    assert_memory_equal(rig.sent[rig.sent_count - 1].bytes, first->bytes, first->len);
    assert_int_equal(hear_64(2, false, 1), COAP_2_04_CHANGED);
    assert_int_equal(rig.request_len, 129);
}

/* ---- they fetch in blocks ---- */

static uint8_t hear_get(int num, uint8_t szx, bool more) {
    struct coap_message request;
    struct coap_uint block;
    coap_message_init(&request, COAP_CON, COAP_GET, ++next_mid, slice_str("t"));
    coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
    if (num >= 0)
        coap_block_add(&request, COAP_BLOCK2, (struct coap_block){(uint32_t)num, more, szx}, &block);
    rig_hear_message(&rig, &request);
    rig_next_message(&rig, &answered);
    return answered.code;
}

static struct coap_block served(void) {
    struct coap_block block = {0};
    assert_true(coap_block_get(&answered, COAP_BLOCK2, &block));
    return block;
}

static void test_BLK_21_BLK_24_large_answers_come_in_blocks(void **state) {
    (void)state;
    uint32_t size2;
    rig.answer = RIG_ANSWERS_BODY;
    rig.body = bytes_at(0, 2500);
    assert_int_equal(hear_get(-1, 0, false), COAP_2_05_CONTENT);
    assert_int_equal(answered.payload.len, 1024);
    assert_true(served().more && served().num == 0 && served().szx == 6);
    assert_true(coap_option_uint(&answered, COAP_SIZE2, &size2));
    assert_int_equal(size2, 2500);
    const struct coap_option *etag = coap_option_find(&answered, COAP_ETAG);
    assert_non_null(etag);
    uint8_t first_etag[8];
    memcpy(first_etag, etag->value.data, etag->value.len);
    assert_int_equal(hear_get(2, 6, false), COAP_2_05_CONTENT); /* any order */
    assert_int_equal(answered.payload.len, 452);
    assert_memory_equal(answered.payload.data, pattern + 2048, 452);
    assert_false(served().more);
    etag = coap_option_find(&answered, COAP_ETAG);
    assert_memory_equal(etag->value.data, first_etag, etag->value.len);
    assert_int_equal(hear_get(1, 6, false), COAP_2_05_CONTENT);
    assert_memory_equal(answered.payload.data, pattern + 1024, 1024);
    assert_int_equal(rig.requests, 1); /* the rest came from what was kept */
    assert_int_equal(hear_get(3, 6, false), COAP_4_00_BAD_REQUEST);
    assert_int_equal(hear_get(35, 2, false), COAP_2_05_CONTENT);
    assert_memory_equal(answered.payload.data, pattern + 35 * 64, 64);
}

static void test_BLK_22_BLK_23_the_asker_chooses_a_smaller_size(void **state) {
    (void)state;
    rig.answer = RIG_ANSWERS_BODY;
    rig.body = bytes_at(0, 100);
    assert_int_equal(hear_get(0, 2, true), COAP_2_05_CONTENT); /* M in a request means nothing */
    assert_int_equal(answered.payload.len, 64);
    assert_true(served().more && served().szx == 2);
    assert_int_equal(hear_get(1, 2, false), COAP_2_05_CONTENT);
    assert_int_equal(answered.payload.len, 36);
    assert_false(served().more);
}

static void test_BLK_24_past_the_end_of_an_answer_that_is_not_kept(void **state) {
    (void)state;
    rig.answer = RIG_ANSWERS_BODY;
    rig.body = bytes_at(0, 100);
    assert_int_equal(hear_get(5, 6, false), COAP_4_00_BAD_REQUEST);
    assert_int_equal(hear_get(1, 2, false), COAP_2_05_CONTENT);
    assert_int_equal(answered.payload.len, 36);
}

static void test_BLK_29_blocks_out_after_blocks_in(void **state) {
    (void)state;
    struct coap_block block;
    rig.answer = RIG_ANSWERS_BODY;
    rig.body = bytes_at(1000, 1500);
    hear_64(0, true, 64);
    assert_int_equal(hear_64(1, false, 64), COAP_2_05_CONTENT);
    assert_true(coap_block_get(&answered, COAP_BLOCK1, &block));
    assert_false(block.more);
    assert_true(served().more);
    struct coap_message request;
    struct coap_uint scratch;
    coap_message_init(&request, COAP_CON, COAP_POST, ++next_mid, slice_str("t"));
    coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
    coap_block_add(&request, COAP_BLOCK2, (struct coap_block){1, false, 6}, &scratch);
    rig_hear_message(&rig, &request);
    rig_next_message(&rig, &answered);
    assert_int_equal(answered.payload.len, 476);
    assert_memory_equal(answered.payload.data, pattern + 2024, 476);
    assert_int_equal(rig.requests, 1);
}

/* ---- we send blocks ---- */

static struct coap_message asked;
static uint8_t asked_bytes[1280];

static void expect_asked(void) {
    const struct rig_datagram *datagram = rig_next(&rig);
    memcpy(asked_bytes, datagram->bytes, datagram->len);
    assert_int_equal(coap_decode(slice_of(asked_bytes, datagram->len), &asked), COAP_DECODE_OK);
}

static struct coap_block asked_block(uint16_t number) {
    struct coap_block block = {.szx = 99};
    assert_true(coap_block_get(&asked, number, &block));
    return block;
}

/* Answer what was asked last. A block option is added when szx is not 99. */
static void answer(uint8_t code, uint16_t number, struct coap_block block, struct slice etag, struct slice payload) {
    struct coap_message response;
    struct coap_uint scratch;
    coap_message_init(&response, COAP_ACK, code, asked.mid, asked.token);
    if (etag.len > 0)
        coap_option_add(&response, COAP_ETAG, etag);
    if (block.szx != 99)
        coap_block_add(&response, number, block, &scratch);
    response.payload = payload;
    rig_hear_message(&rig, &response);
}

static const struct coap_block no_block = {.szx = 99};

static void confirm(void) {
    struct coap_block block = asked_block(COAP_BLOCK1);
    answer(block.more ? COAP_2_31_CONTINUE : COAP_2_04_CHANGED, COAP_BLOCK1, block, SLICE_NONE, SLICE_NONE);
}

static void test_our_upload_in_blocks(void **state) {
    (void)state;
    uint32_t size1;
    rig_call(&rig, COAP_PUT, bytes_at(0, 2100));
    expect_asked();
    assert_true(asked_block(COAP_BLOCK1).num == 0 && asked_block(COAP_BLOCK1).more &&
                asked_block(COAP_BLOCK1).szx == 6);
    assert_true(coap_option_uint(&asked, COAP_SIZE1, &size1));
    assert_int_equal(size1, 2100);
    assert_null(coap_option_find(&asked, COAP_REQUEST_TAG)); /* EXT-10 */
    confirm();
    expect_asked();
    assert_int_equal(asked_block(COAP_BLOCK1).num, 1);
    assert_memory_equal(asked.payload.data, pattern + 1024, 1024);
    confirm();
    expect_asked();
    assert_int_equal(asked.payload.len, 52);
    assert_false(asked_block(COAP_BLOCK1).more);
    confirm();
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply_code, COAP_2_04_CHANGED);
}

static void test_BLK_15_a_smaller_size_in_2_31(void **state) {
    (void)state;
    rig_call(&rig, COAP_PUT, bytes_at(0, 2100));
    expect_asked();
    answer(COAP_2_31_CONTINUE, COAP_BLOCK1, (struct coap_block){0, true, 2}, SLICE_NONE, SLICE_NONE);
    expect_asked();
    assert_true(asked_block(COAP_BLOCK1).num == 16 && asked_block(COAP_BLOCK1).szx == 2);
    assert_memory_equal(asked.payload.data, pattern + 1024, 64);
    for (int i = 0; i < 17; i++) {
        confirm();
        if (rig.replies == 0)
            expect_asked();
    }
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply_code, COAP_2_04_CHANGED);
}

static void test_BLK_16_EXT_10_4_13_with_a_smaller_size(void **state) {
    (void)state;
    rig_call(&rig, COAP_PUT, bytes_at(0, 2100));
    expect_asked();
    answer(COAP_4_13_REQUEST_ENTITY_TOO_LARGE, COAP_BLOCK1, (struct coap_block){0, true, 5}, SLICE_NONE, SLICE_NONE);
    expect_asked();
    assert_true(asked_block(COAP_BLOCK1).num == 0 && asked_block(COAP_BLOCK1).szx == 5);
    assert_int_equal(asked.payload.len, 512);
    assert_non_null(coap_option_find(&asked, COAP_REQUEST_TAG)); /* not to be mixed with what came before */
    for (int i = 0; i < 5; i++) {
        confirm();
        if (rig.replies == 0)
            expect_asked();
    }
    assert_int_equal(rig.reply_code, COAP_2_04_CHANGED);
}

static void test_BLK_17_4_13_to_an_unblocked_request(void **state) {
    (void)state;
    rig_call(&rig, COAP_PUT, bytes_at(0, 700));
    expect_asked();
    assert_null(coap_option_find(&asked, COAP_BLOCK1));
    answer(COAP_4_13_REQUEST_ENTITY_TOO_LARGE, COAP_BLOCK1, (struct coap_block){0, true, 5}, SLICE_NONE, SLICE_NONE);
    expect_asked();
    assert_int_equal(asked.payload.len, 512);
    confirm();
    expect_asked();
    confirm();
    assert_int_equal(rig.reply_code, COAP_2_04_CHANGED);
}

static void test_BLK_17_4_13_for_good_is_reported(void **state) {
    (void)state;
    rig_call(&rig, COAP_PUT, bytes_at(0, 700));
    expect_asked();
    answer(COAP_4_13_REQUEST_ENTITY_TOO_LARGE, COAP_BLOCK1, no_block, SLICE_NONE, SLICE_NONE);
    expect_asked();
    assert_int_equal(asked_block(COAP_BLOCK1).num, 0);
    answer(COAP_4_13_REQUEST_ENTITY_TOO_LARGE, COAP_BLOCK1, no_block, SLICE_NONE, SLICE_NONE);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply_code, COAP_4_13_REQUEST_ENTITY_TOO_LARGE);
}

static void test_BLK_18_4_08_midway_restarts_once(void **state) {
    (void)state;
    rig_call(&rig, COAP_PUT, bytes_at(0, 2100));
    expect_asked();
    confirm();
    expect_asked();
    answer(COAP_4_08_REQUEST_ENTITY_INCOMPLETE, COAP_BLOCK1, no_block, SLICE_NONE, SLICE_NONE);
    expect_asked();
    assert_int_equal(asked_block(COAP_BLOCK1).num, 0);
    confirm();
    expect_asked();
    answer(COAP_4_08_REQUEST_ENTITY_INCOMPLETE, COAP_BLOCK1, no_block, SLICE_NONE, SLICE_NONE);
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply_code, COAP_4_08_REQUEST_ENTITY_INCOMPLETE);
}

static void test_BLK_19_an_early_answer_ends_it_and_stateless_peers_go_on(void **state) {
    (void)state;
    rig_call(&rig, COAP_PUT, bytes_at(0, 2100));
    expect_asked();
    answer(COAP_4_05_METHOD_NOT_ALLOWED, COAP_BLOCK1, no_block, SLICE_NONE, SLICE_NONE);
    assert_int_equal(rig.reply_code, COAP_4_05_METHOD_NOT_ALLOWED);
    rig_call(&rig, COAP_PUT, bytes_at(0, 2100));
    expect_asked();
    answer(COAP_2_04_CHANGED, COAP_BLOCK1, no_block, SLICE_NONE, SLICE_NONE);
    assert_int_equal(rig.replies, 2);
    for (int echoes_more = 0; echoes_more < 2; echoes_more++) { /* drafts before 2.31: 2.04 meant that */
        rig_call(&rig, COAP_PUT, bytes_at(0, 2100));
        for (int i = 0; i < 3; i++) {
            expect_asked();
            struct coap_block block = asked_block(COAP_BLOCK1);
            block.more = block.more && echoes_more;
            answer(COAP_2_04_CHANGED, COAP_BLOCK1, block, SLICE_NONE, SLICE_NONE);
        }
        assert_int_equal(rig.replies, 3 + echoes_more);
    }
    rig_silent(&rig);
}

/* ---- we fetch in blocks ---- */

static void serve(struct slice body, uint8_t szx, const char *etag) {
    struct coap_block block = {.szx = szx};
    coap_block_get(&asked, COAP_BLOCK2, &block);
    size_t size = coap_block_size(block.szx);
    struct slice part = slice_from(body, block.num * size);
    block.more = part.len > size;
    if (block.more)
        part.len = size;
    answer(COAP_2_05_CONTENT, COAP_BLOCK2, block, slice_str(etag), part);
}

static void test_BLK_25_our_fetch_in_blocks(void **state) {
    (void)state;
    rig_call(&rig, COAP_GET, SLICE_NONE);
    for (uint32_t num = 0; num < 4; num++) {
        expect_asked();
        if (num > 0) {
            assert_int_equal(asked_block(COAP_BLOCK2).num, num);
            assert_int_equal(asked_block(COAP_BLOCK2).szx, 5);
            assert_false(asked_block(COAP_BLOCK2).more);
        }
        serve(bytes_at(0, 2000), 5, "e");
    }
    assert_int_equal(rig.replies, 1);
    assert_int_equal(rig.reply_len, 2000);
    assert_memory_equal(rig.reply_body, pattern, 2000);
}

static void test_BLK_26_a_representation_that_changes_is_fetched_again(void **state) {
    (void)state;
    rig_call(&rig, COAP_GET, SLICE_NONE);
    expect_asked();
    serve(bytes_at(0, 1000), 5, "one");
    expect_asked();
    serve(bytes_at(100, 1000), 5, "two"); /* another ETag midway */
    expect_asked();
    assert_null(coap_option_find(&asked, COAP_BLOCK2)); /* from the start */
    serve(bytes_at(100, 1000), 5, "two");
    expect_asked();
    serve(bytes_at(100, 1000), 5, "two");
    assert_int_equal(rig.replies, 1);
    assert_memory_equal(rig.reply_body, pattern + 100, 1000);

    rig_call(&rig, COAP_GET, SLICE_NONE); /* one that never stands still */
    char etag[2] = "a";
    for (int i = 0; rig.replies == 1 && i < 20; i++) {
        expect_asked();
        serve(bytes_at(0, 1000), 5, etag);
        etag[0]++;
    }
    assert_int_equal(rig.reply.result, COAP_CALL_INCOMPLETE);
}

static void test_BLK_26_a_post_is_not_repeated_when_its_answer_changes(void **state) {
    (void)state;
    rig_call(&rig, COAP_POST, SLICE_NONE);
    expect_asked();
    serve(bytes_at(0, 1000), 5, "one");
    expect_asked();
    serve(bytes_at(0, 1000), 5, "two");
    assert_int_equal(rig.reply.result, COAP_CALL_INCOMPLETE);
    rig_silent(&rig);
}

static void test_BLK_28_a_fetch_repeats_its_body(void **state) {
    (void)state;
    rig_call(&rig, COAP_FETCH, slice_str("what"));
    expect_asked();
    serve(bytes_at(0, 1000), 5, "e");
    expect_asked();
    assert_true(slice_is(asked.payload, "what"));
    serve(bytes_at(0, 1000), 5, "e");
    assert_int_equal(rig.reply_len, 1000);
}

static void test_a_body_above_the_limit_is_not_fetched(void **state) {
    (void)state;
    rig_call(&rig, COAP_GET, SLICE_NONE);
    while (rig.replies == 0) {
        expect_asked();
        serve(slice_of(pattern, 160000), 6, "e");
    }
    assert_int_equal(rig.reply.result, COAP_CALL_TOO_LARGE);
    assert_int_equal(coap_endpoint_counters(rig.endpoint).transfer_bytes, 0);
}

static void test_block_values_of_the_standard(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        struct coap_block block;
    } rows[] = {
        {"", 0, {0, false, 0}},     {"\x08", 1, {0, true, 0}},
        {"\x0a", 1, {0, true, 2}},  {"\x0e", 1, {0, true, 6}},
        {"\x12", 1, {1, false, 2}}, {"\x16", 1, {1, false, 6}},
        {"\x36", 1, {3, false, 6}}, {"\xff\xff\xfe", 3, {1048575, true, 6}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct coap_message message;
        struct coap_uint scratch;
        struct coap_block block;
        coap_message_init(&message, COAP_CON, COAP_GET, 0, SLICE_NONE);
        coap_block_add(&message, COAP_BLOCK2, rows[i].block, &scratch);
        assert_true(slice_equal(message.options[0].value, slice_of(rows[i].bytes, rows[i].len)));
        assert_true(coap_block_get(&message, COAP_BLOCK2, &block));
        assert_int_equal(block.num, rows[i].block.num);
        assert_int_equal(block.more, rows[i].block.more);
        assert_int_equal(block.szx, rows[i].block.szx);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_BLK_01_BLK_02_blocks_are_assembled),
        TEST(test_BLK_03_no_transfer_open),
        TEST(test_BLK_04_a_gap_ends_the_transfer),
        TEST(test_BLK_05_block_0_starts_over),
        TEST(test_BLK_06_the_last_block_again_is_not_doubled),
        TEST(test_BLK_07_BLK_08_lengths_and_sizes),
        TEST(test_BLK_09_content_format_must_not_change),
        TEST(test_BLK_10_EXT_09_what_separates_transfers),
        TEST(test_BLK_11_an_idle_transfer_is_dropped),
        TEST(test_BLK_12_BLK_35_too_large_is_said_early_with_the_limit),
        TEST(test_BLK_13_too_many_transfers),
        TEST(test_where_memory_ends_strangers_share_an_eighth),
        TEST(test_of_strangers_the_transfer_idle_longest_makes_room),
        cmocka_unit_test_setup_teardown(test_BLK_14_we_prefer_smaller_blocks, start_small_blocks, stop),
        TEST(test_BLK_30_announced_sizes_allocate_nothing),
        TEST(test_BLK_32_a_retransmitted_block_gets_the_same_answer),
        TEST(test_BLK_21_BLK_24_large_answers_come_in_blocks),
        TEST(test_BLK_22_BLK_23_the_asker_chooses_a_smaller_size),
        TEST(test_BLK_24_past_the_end_of_an_answer_that_is_not_kept),
        TEST(test_BLK_29_blocks_out_after_blocks_in),
        TEST(test_our_upload_in_blocks),
        TEST(test_BLK_15_a_smaller_size_in_2_31),
        TEST(test_BLK_16_EXT_10_4_13_with_a_smaller_size),
        TEST(test_BLK_17_4_13_to_an_unblocked_request),
        TEST(test_BLK_17_4_13_for_good_is_reported),
        TEST(test_BLK_18_4_08_midway_restarts_once),
        TEST(test_BLK_19_an_early_answer_ends_it_and_stateless_peers_go_on),
        TEST(test_BLK_25_our_fetch_in_blocks),
        TEST(test_BLK_26_a_representation_that_changes_is_fetched_again),
        TEST(test_BLK_26_a_post_is_not_repeated_when_its_answer_changes),
        TEST(test_BLK_28_a_fetch_repeats_its_body),
        TEST(test_a_body_above_the_limit_is_not_fetched),
        TEST(test_block_values_of_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
