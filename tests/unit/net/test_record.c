/* Records of established sessions (RFC 9146, the draft's, plain ones) against vectors that two other implementations
 * agree on, and everything that must be dropped. Interoperation with live mbedtls contexts is in test_dtls_*.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/base/text.h"
#include "common/net/record.h"

static const uint8_t cid[8] = {0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8};

struct vector {
    const char *name;
    enum record_aead aead;
    bool draft, has_cid;
    const char *record;
};

/* Key 00…0f, fixed IV a0a1a2a3, epoch 1, number 5, application data 40017d34. */
static const struct vector vectors[] = {
    {"CIDV-01", RECORD_CCM_8, false, true,
     "19fefd0001000000000005c1c2c3c4c5c6c7c8001500010000000000056cfc7303b83fd3a548a8130535"},
    {"CIDV-02", RECORD_CCM_8, true, true,
     "19fefd0001000000000005c1c2c3c4c5c6c7c8001500010000000000056cfc7303b88ef581b6445f1b16"},
    {"CIDV-03", RECORD_GCM, false, true,
     "19fefd0001000000000005c1c2c3c4c5c6c7c8001d00010000000000058c0b2cb23329030decc194c50947ecec6c4cf725bc"},
    {"CIDV-04", RECORD_GCM, true, true,
     "19fefd0001000000000005c1c2c3c4c5c6c7c8001d00010000000000058c0b2cb233391ea7d3295835e0969cc7304e7dedb0"},
    {"CIDV-05", RECORD_CCM_8, false, false, "17fefd0001000000000005001400010000000000056cfc7303138f45ae4ab9837e"},
    {"CIDV-06", RECORD_GCM, false, false,
     "17fefd0001000000000005001c00010000000000058c0b2cb2c9944fe10fff2f83a5b816ebee10be5b"},
};

static const uint8_t message[4] = {0x40, 0x01, 0x7d, 0x34};

/* Both directions with the same keys and CID, so that what is sealed can be opened. */
static struct dtls_keys keys_of(enum record_aead aead, bool draft, bool has_cid) {
    struct dtls_keys keys = {.aead = (uint8_t)aead, .key_len = 16, .epoch = 1, .draft = draft, .max_content = 1024};
    static const uint8_t iv[4] = {0xa0, 0xa1, 0xa2, 0xa3};
    for (uint8_t i = 0; i < 16; i++)
        keys.read_key[i] = keys.write_key[i] = i;
    memcpy(keys.read_iv, iv, 4);
    memcpy(keys.write_iv, iv, 4);
    keys.next_number = 5;
    keys.number_limit = UINT64_MAX;
    if (has_cid) {
        keys.cid_len = keys.peer_cid_len = 8;
        memcpy(keys.cid, cid, 8);
        memcpy(keys.peer_cid, cid, 8);
    }
    return keys;
}

static struct slice bytes_of(const char *hex, uint8_t bytes[256]) {
    struct buffer out = buffer_over(bytes, 256);
    assert_true(text_get_hex(slice_str(hex), &out));
    return buffer_slice(&out);
}

static enum record_result open_copy(struct dtls_keys *keys, struct slice bytes, struct record *record) {
    static uint8_t copy[20000];
    size_t used;
    memcpy(copy, bytes.data, bytes.len);
    enum record_result result = record_open(keys, copy, bytes.len, record, &used);
    assert_true(used <= bytes.len);
    return result;
}

static struct slice seal(struct dtls_keys *keys, enum record_type type, struct slice content, uint8_t bytes[2048]) {
    struct buffer out = buffer_over(bytes, 2048);
    assert_int_equal(record_seal(keys, type, content, &out), RECORD_SEALED);
    return buffer_slice(&out);
}

static void test_CID_05_CID_16_vectors_are_sealed_and_opened(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t expected_bytes[256], sealed_bytes[2048];
        struct slice expected = bytes_of(vectors[i].record, expected_bytes);
        struct dtls_keys keys = keys_of(vectors[i].aead, vectors[i].draft, vectors[i].has_cid);
        struct slice sealed = seal(&keys, RECORD_APPLICATION_DATA, slice_of(message, 4), sealed_bytes);
        if (!slice_equal(sealed, expected))
            fail_msg("%s is sealed otherwise", vectors[i].name);
        struct record record;
        assert_int_equal(open_copy(&keys, expected, &record), RECORD_CONTENT);
        assert_int_equal(record.type, RECORD_APPLICATION_DATA);
        assert_true(slice_equal(record.content, slice_of(message, 4)));
        assert_int_equal(record.number, 5);
        assert_true(record.newest);
    }
}

static void test_CID_16_the_drafts_and_the_rfcs_additional_data_are_told_apart(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        uint8_t bytes[256];
        struct slice vector = bytes_of(vectors[i].record, bytes);
        struct dtls_keys keys = keys_of(vectors[i].aead, !vectors[i].draft, true);
        struct record record;
        assert_int_equal(open_copy(&keys, vector, &record), RECORD_BAD);
        assert_int_equal(keys.bad_records, 1);
        assert_int_equal(keys.window_bits, 0);
    }
}

static void test_CID_04_layout(void **state) {
    (void)state;
    struct dtls_keys keys = keys_of(RECORD_CCM_8, false, true);
    keys.epoch = 0x0102;
    keys.next_number = 0x030405060708;
    uint8_t bytes[2048];
    struct slice record = seal(&keys, RECORD_ALERT, slice_of("\1\0", 2), bytes);
    static const uint8_t head[] = {25, 0xfe, 0xfd, 1,    2,    3,    4,    5,    6,   7,
                                   8,  0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8};
    assert_memory_equal(record.data, head, sizeof head);
    assert_int_equal(record.data[19] << 8 | record.data[20], 8 + 2 + 1 + 8); /* the type, and no padding */
    assert_int_equal(record.len, 21 + 8 + 2 + 1 + 8);
}

static void test_CID_03_each_direction_has_its_own_cid(void **state) {
    (void)state;
    static const uint8_t lengths[] = {0, 1, 4, 31, 32};
    for (size_t i = 0; i < sizeof lengths; i++) {
        struct dtls_keys ours = keys_of(RECORD_GCM, false, true), theirs;
        ours.peer_cid_len = lengths[i];
        random_bytes(ours.peer_cid, sizeof ours.peer_cid);
        theirs = ours;
        theirs.cid_len = ours.peer_cid_len;
        memcpy(theirs.cid, ours.peer_cid, sizeof theirs.cid);
        theirs.peer_cid_len = ours.cid_len;
        memcpy(theirs.peer_cid, ours.cid, sizeof ours.cid);
        uint8_t bytes[2048];
        struct record record;
        struct slice down = seal(&ours, RECORD_APPLICATION_DATA, slice_of(message, 4), bytes);
        assert_int_equal(down.data[0], lengths[i] == 0 ? RECORD_APPLICATION_DATA : RECORD_TLS12_CID); /* CID-02 */
        assert_int_equal(open_copy(&theirs, down, &record), RECORD_CONTENT);
        struct slice up = seal(&theirs, RECORD_APPLICATION_DATA, slice_of(message, 4), bytes);
        assert_int_equal(up.data[0], RECORD_TLS12_CID);
        assert_int_equal(open_copy(&ours, up, &record), RECORD_CONTENT);
    }
}

static void test_CID_10_CID_12_SEC_10_what_is_dropped(void **state) {
    (void)state;
    struct dtls_keys keys = keys_of(RECORD_CCM_8, false, true);
    uint8_t bytes[2048], changed[2048];
    struct slice good = seal(&keys, RECORD_APPLICATION_DATA, slice_of(message, 4), bytes);
    struct record record;
    for (size_t i = 0; i < good.len; i++) { /* whatever bit is wrong */
        for (int bit = 0; bit < 8; bit++) {
            memcpy(changed, good.data, good.len);
            changed[i] ^= (uint8_t)(1 << bit);
            assert_int_not_equal(open_copy(&keys, slice_of(changed, good.len), &record), RECORD_CONTENT);
        }
    }
    for (size_t len = 0; len < good.len; len++)
        assert_int_equal(open_copy(&keys, slice_of(good.data, len), &record), RECORD_MALFORMED);
    assert_int_equal(keys.window_bits, 0); /* nothing of it counts as seen */

    struct dtls_keys without = keys_of(RECORD_CCM_8, false, false);
    struct slice plain = seal(&without, RECORD_APPLICATION_DATA, slice_of(message, 4), changed);
    assert_int_equal(open_copy(&keys, plain, &record), RECORD_NO_CID); /* CID-12 */
    assert_int_equal(open_copy(&without, plain, &record), RECORD_CONTENT);
    without.epoch = 2;
    assert_int_equal(open_copy(&without, plain, &record), RECORD_OTHER_EPOCH);
    memcpy(changed, good.data, good.len);
    changed[12] ^= 1;
    assert_int_equal(open_copy(&keys, slice_of(changed, good.len), &record), RECORD_NO_CID); /* another's CID */
    changed[12] ^= 1;
    changed[2] = 0xff; /* DTLS 1.0 */
    assert_int_equal(open_copy(&keys, slice_of(changed, good.len), &record), RECORD_MALFORMED);

    assert_int_equal(open_copy(&keys, good, &record), RECORD_CONTENT);
    assert_int_equal(open_copy(&keys, good, &record), RECORD_REPLAY);
}

/* Seal an inner plaintext as it stands. */
static struct slice seal_inner(struct slice inner, uint8_t bytes[2048]) {
    struct dtls_keys keys = keys_of(RECORD_CCM_8, false, true);
    uint8_t type = inner.data[inner.len - 1];
    /* The last byte is what record_seal puts behind the content as the type. */
    return seal(&keys, (enum record_type)type, slice_of(inner.data, inner.len - 1), bytes);
}

static void test_CID_13_padding_zeros_and_empty_content(void **state) {
    (void)state;
    uint8_t bytes[2048];
    struct record record;
    struct dtls_keys keys = keys_of(RECORD_CCM_8, false, true);
    struct slice padded = seal_inner(slice_of("\x40\x01\x7d\x34\x17\0\0\0\0\0\0\0", 12), bytes);
    assert_int_equal(open_copy(&keys, padded, &record), RECORD_CONTENT);
    assert_int_equal(record.type, RECORD_APPLICATION_DATA);
    assert_int_equal(record.content.len, 4);

    keys = keys_of(RECORD_CCM_8, false, true);
    struct slice zeros = seal_inner(slice_of("\0\0\0\0", 4), bytes);
    assert_int_equal(open_copy(&keys, zeros, &record), RECORD_MALFORMED);
    assert_int_equal(open_copy(&keys, zeros, &record), RECORD_REPLAY); /* authentic, so seen */

    keys = keys_of(RECORD_CCM_8, false, true);
    struct slice empty = seal_inner(slice_of("\x17\0", 2), bytes);
    assert_int_equal(open_copy(&keys, empty, &record), RECORD_CONTENT);
    assert_int_equal(record.content.len, 0);
}

static void test_CID_08_CID_09_newest_and_the_replay_window(void **state) {
    (void)state;
    struct dtls_keys sender = keys_of(RECORD_CCM_8, false, true), keys = sender;
    static uint8_t bytes[200][2048];
    struct slice records[200];
    sender.next_number = 0;
    for (size_t i = 0; i < 200; i++)
        records[i] = seal(&sender, RECORD_APPLICATION_DATA, slice_of(message, 4), bytes[i]);
    struct record record;
    assert_int_equal(open_copy(&keys, records[10], &record), RECORD_CONTENT);
    assert_true(record.newest);
    assert_int_equal(open_copy(&keys, records[0], &record), RECORD_CONTENT);
    assert_false(record.newest);
    assert_int_equal(open_copy(&keys, records[0], &record), RECORD_REPLAY);
    assert_int_equal(open_copy(&keys, records[73], &record), RECORD_CONTENT); /* 63 ahead: 10 is the oldest left */
    assert_int_equal(open_copy(&keys, records[10], &record), RECORD_REPLAY);
    assert_int_equal(open_copy(&keys, records[11], &record), RECORD_CONTENT);
    assert_int_equal(open_copy(&keys, records[9], &record), RECORD_REPLAY);    /* too old to tell */
    assert_int_equal(open_copy(&keys, records[199], &record), RECORD_CONTENT); /* a leap over the whole window */
    assert_true(record.newest);
    assert_int_equal(open_copy(&keys, records[199 - 63], &record), RECORD_CONTENT);
    assert_int_equal(open_copy(&keys, records[199 - 64], &record), RECORD_REPLAY);
    for (size_t i = 0; i < 1000; i++) { /* in any order, each is accepted at most once */
        size_t n = random_below(200);
        enum record_result result = open_copy(&keys, records[n], &record);
        assert_true(result == RECORD_REPLAY || (result == RECORD_CONTENT && n > 199 - 63));
    }
}

static void test_CID_20_several_records_in_a_datagram(void **state) {
    (void)state;
    struct dtls_keys keys = keys_of(RECORD_GCM, false, true);
    uint8_t bytes[2048];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_int_equal(record_seal(&keys, RECORD_APPLICATION_DATA, slice_str("one"), &out), RECORD_SEALED);
    size_t first = out.len;
    assert_int_equal(record_seal(&keys, RECORD_APPLICATION_DATA, slice_str("three"), &out), RECORD_SEALED);
    bytes[first - 1] ^= 1; /* the first does not verify */
    struct record record;
    size_t used;
    assert_int_equal(record_open(&keys, bytes, out.len, &record, &used), RECORD_BAD);
    assert_int_equal(used, first);
    assert_int_equal(record_open(&keys, bytes + used, out.len - used, &record, &used), RECORD_CONTENT);
    assert_true(slice_is(record.content, "three"));
}

static void test_numbers_end_where_they_are_not_ours(void **state) {
    (void)state;
    struct dtls_keys keys = keys_of(RECORD_CCM_8, false, true);
    uint8_t bytes[2048];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    keys.next_number = 99;
    keys.number_limit = 100;
    assert_int_equal(record_seal(&keys, RECORD_APPLICATION_DATA, slice_of(message, 4), &out), RECORD_SEALED);
    size_t len = out.len;
    assert_int_equal(record_seal(&keys, RECORD_APPLICATION_DATA, slice_of(message, 4), &out), RECORD_NO_NUMBERS);
    assert_int_equal(out.len, len);
    keys.number_limit = UINT64_MAX; /* there are 2^48 */
    keys.next_number = ((uint64_t)1 << 48) - 1;
    assert_int_equal(record_seal(&keys, RECORD_APPLICATION_DATA, slice_of(message, 4), &out), RECORD_SEALED);
    assert_int_equal(record_seal(&keys, RECORD_APPLICATION_DATA, slice_of(message, 4), &out), RECORD_NO_NUMBERS);
    struct record record;
    assert_int_equal(open_copy(&keys, slice_of(bytes + len, len), &record), RECORD_CONTENT);
    assert_int_equal(record.number, ((uint64_t)1 << 48) - 1);
}

static void test_SEC_20_no_more_than_the_fragment_length(void **state) {
    (void)state;
    struct dtls_keys keys = keys_of(RECORD_CCM_8, false, true);
    uint8_t bytes[2048], content[1024] = {0};
    struct buffer out = buffer_over(bytes, sizeof bytes);
    keys.max_content = 512;
    assert_int_equal(record_seal(&keys, RECORD_APPLICATION_DATA, slice_of(content, 513), &out), RECORD_TOO_LARGE);
    assert_int_equal(record_seal(&keys, RECORD_APPLICATION_DATA, slice_of(content, 512), &out), RECORD_SEALED);
    assert_true(out.len <= 512 + RECORD_OVERHEAD_MAX);
    struct buffer small = buffer_over(bytes, 500);
    uint64_t next = keys.next_number;
    assert_int_equal(record_seal(&keys, RECORD_APPLICATION_DATA, slice_of(content, 512), &small), RECORD_TOO_LARGE);
    assert_int_equal(keys.next_number, next);
}

static void test_keys_wear_out(void **state) {
    (void)state;
    struct dtls_keys keys = keys_of(RECORD_CCM_8, false, true);
    keys.bad_records = (1 << 20) - 1;
    assert_false(record_keys_worn(&keys));
    keys.bad_records++;
    assert_true(record_keys_worn(&keys));
    keys.aead = RECORD_CCM;
    assert_false(record_keys_worn(&keys));
    keys.aead = RECORD_GCM;
    keys.bad_records = UINT32_MAX - 1;
    assert_false(record_keys_worn(&keys));
    uint8_t forged[] = {25,   0xfe, 0xfd, 0, 1,  0, 0, 0, 0, 0, 9, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5,
                        0xc6, 0xc7, 0xc8, 0, 25, 0, 0, 0, 0, 0, 0, 0,    0,    0,    0,    0,
                        0,    0,    0,    0, 0,  0, 0, 0, 0, 0, 0, 0,    0,    0};
    struct record record;
    assert_int_equal(open_copy(&keys, slice_of(forged, sizeof forged), &record), RECORD_BAD);
    assert_true(record_keys_worn(&keys));
    assert_int_equal(open_copy(&keys, slice_of(forged, sizeof forged), &record), RECORD_BAD); /* and does not wrap */
    assert_true(record_keys_worn(&keys));
}

/* PSK-01, the key block of a handshake with known randoms. */
static void test_keys_of_a_master_secret(void **state) {
    (void)state;
    uint8_t master[256], block[256], client_random[32], server_random[32];
    bytes_of("cfe86ea52aaa2f2646b8bf72e94765480efddd0e868bf4940bb093c4522df61511a61d2f569ce36b4acbb586ce84261d",
             master);
    bytes_of("5c322328b8480b88b6b3d2c180b079f4d0f8b38d929384fb34494599dc58af2ff9a3eb9916c23b4e", block);
    memset(client_random, 0xc0, 32);
    memset(server_random, 0x50, 32);
    struct dtls_keys keys = {0};
    const struct cipher_suite *suite = cipher_suite_find(0xc0a8);
    assert_true(record_expand_keys(&keys, suite, master, client_random, server_random, true));
    assert_memory_equal(keys.read_key, block, 16);
    assert_memory_equal(keys.write_key, block + 16, 16);
    assert_memory_equal(keys.read_iv, block + 32, 4);
    assert_memory_equal(keys.write_iv, block + 36, 4);
    assert_int_equal(keys.aead, RECORD_CCM_8);
    struct dtls_keys client = {0};
    assert_true(record_expand_keys(&client, suite, master, client_random, server_random, false));
    assert_memory_equal(client.write_key, block, 16);
    assert_memory_equal(client.read_iv, block + 36, 4);
}

static void test_every_suite_is_found_by_its_number(void **state) {
    (void)state;
    size_t count = 0;
    for (const int *id = cipher_suite_ids(); *id != 0; id++, count++)
        assert_int_equal(cipher_suite_find((uint16_t)*id)->id, *id);
    assert_true(count >= 15);
    assert_null(cipher_suite_find(0x0005)); /* RC4 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_CID_05_CID_16_vectors_are_sealed_and_opened),
        cmocka_unit_test(test_CID_16_the_drafts_and_the_rfcs_additional_data_are_told_apart),
        cmocka_unit_test(test_CID_04_layout),
        cmocka_unit_test(test_CID_03_each_direction_has_its_own_cid),
        cmocka_unit_test(test_CID_10_CID_12_SEC_10_what_is_dropped),
        cmocka_unit_test(test_CID_13_padding_zeros_and_empty_content),
        cmocka_unit_test(test_CID_08_CID_09_newest_and_the_replay_window),
        cmocka_unit_test(test_CID_20_several_records_in_a_datagram),
        cmocka_unit_test(test_numbers_end_where_they_are_not_ours),
        cmocka_unit_test(test_SEC_20_no_more_than_the_fragment_length),
        cmocka_unit_test(test_keys_wear_out),
        cmocka_unit_test(test_keys_of_a_master_secret),
        cmocka_unit_test(test_every_suite_is_found_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
