/* AES-CCM, against a packet of RFC 3610 and, with random keys, against Mbed TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <mbedtls/ccm.h>

#include "common/base/random.h"
#include "common/net/ccm.h"

static uint8_t key[32], nonce[13], aad[300], text[70000 + CCM_TAG_MAX], expected[70000 + CCM_TAG_MAX];

/* RFC 3610 §8, packet vector #1 */
static void test_packet_of_rfc_3610(void **state) {
    (void)state;
    static const uint8_t packet_nonce[13] = {0, 0, 0, 3, 2, 1, 0, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5};
    static const uint8_t sealed[31] = {0x58, 0x8c, 0x97, 0x9a, 0x61, 0xc6, 0x63, 0xd2, 0xf0, 0x66, 0xd0,
                                       0xc2, 0xc0, 0xf9, 0x89, 0x80, 0x6d, 0x5f, 0x6b, 0x61, 0xda, 0xc3,
                                       0x84, 0x17, 0xe8, 0xd1, 0x2c, 0xfd, 0xf9, 0x26, 0xe0};
    uint8_t packet_key[16], packet[31];
    for (size_t i = 0; i < sizeof packet_key; i++)
        packet_key[i] = (uint8_t)(0xc0 + i);
    for (size_t i = 0; i < sizeof packet; i++)
        packet[i] = (uint8_t)i;
    const struct ccm_params params = {
        .key = packet_key, .key_len = 16, .nonce = packet_nonce, .nonce_len = 13, .tag_len = 8, .aad = {packet, 8}};
    uint8_t out[31];
    memcpy(out, packet + 8, 23);
    assert_true(ccm_seal(&params, out, 23));
    assert_memory_equal(out, sealed, sizeof sealed);
    assert_true(ccm_open(&params, out, 23));
    assert_memory_equal(out, packet + 8, 23);
}

static void assert_as_mbedtls(const struct ccm_params *params, size_t len) {
    mbedtls_ccm_context ccm;
    mbedtls_ccm_init(&ccm);
    random_bytes(text, len);
    memcpy(expected, text, len);
    assert_int_equal(mbedtls_ccm_setkey(&ccm, MBEDTLS_CIPHER_ID_AES, params->key, params->key_len * 8U), 0);
    assert_int_equal(mbedtls_ccm_encrypt_and_tag(&ccm, len, params->nonce, params->nonce_len, params->aad.data,
                                                 params->aad.len, expected, expected, expected + len, params->tag_len),
                     0);
    mbedtls_ccm_free(&ccm);
    assert_true(ccm_seal(params, text, len));
    assert_memory_equal(text, expected, len + params->tag_len);
    assert_true(ccm_open(params, text, len));
    assert_true(ccm_seal(params, text, len));
    assert_memory_equal(text, expected, len + params->tag_len);
    uint8_t *bad = text + random_below(len + params->tag_len);
    *bad ^= (uint8_t)(1 << random_below(8));
    assert_false(ccm_open(params, text, len));
    for (size_t i = 0; i < len; i++)
        assert_int_equal(text[i], 0);
}

static void test_all_lengths_as_mbedtls(void **state) {
    (void)state;
    static const uint8_t tags[] = {4, 8, 16};
    static const size_t aad_lens[] = {0, 1, 13, 14, 15, 30, 31, 46, 300};
    random_bytes(aad, sizeof aad);
    for (size_t len = 0; len < 70; len++) {
        for (uint8_t nonce_len = 7; nonce_len <= 13; nonce_len++) {
            random_bytes(key, sizeof key);
            random_bytes(nonce, sizeof nonce);
            assert_as_mbedtls(
                &(struct ccm_params){.key = key,
                                     .key_len = len % 2 == 0 ? 16 : 32,
                                     .nonce = nonce,
                                     .nonce_len = nonce_len,
                                     .tag_len = tags[(len + nonce_len) % 3],
                                     .aad = {aad, aad_lens[(len + nonce_len) % (sizeof aad_lens / sizeof *aad_lens)]}},
                len);
        }
    }
}

static void test_long_texts_as_mbedtls(void **state) {
    (void)state;
    static const size_t lens[] = {255 * 16, 256 * 16, 65535, 65536, 70000};
    struct ccm_params params = {.key = key, .key_len = 16, .nonce = nonce, .nonce_len = 12, .tag_len = 8};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
        assert_as_mbedtls(&params, lens[i]);
}

static void test_lengths_that_cannot_be(void **state) {
    (void)state;
    const struct ccm_params good = {.key = key, .key_len = 16, .nonce = nonce, .nonce_len = 13, .tag_len = 8};
    struct ccm_params bad[] = {good, good, good, good, good, good};
    bad[0].key_len = 17;
    bad[1].nonce_len = 6;
    bad[2].nonce_len = 14;
    bad[3].tag_len = 7;
    bad[4].tag_len = 18;
    bad[5].aad = slice_of(aad, 0xff00);
    memset(text, 7, sizeof text);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(ccm_seal(&bad[i], text, 16));
    assert_false(ccm_seal(&good, text, 65536)); /* its length has two bytes */
    for (size_t i = 0; i < sizeof text; i++)
        assert_int_equal(text[i], 7);
    assert_false(ccm_open(&bad[0], text, 16));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packet_of_rfc_3610),
        cmocka_unit_test(test_all_lengths_as_mbedtls),
        cmocka_unit_test(test_long_texts_as_mbedtls),
        cmocka_unit_test(test_lengths_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
