#include "common/net/ccm.h"

#include <mbedtls/aes.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <string.h>

enum { BLOCK = 16, HAS_AAD = 0x40, AAD_MAX = 0xff00 };

/* One message: the key, expanded, and the blocks of it that are in work. */
struct ccm {
    mbedtls_aes_context aes;
    uint8_t mac[BLOCK];
    uint8_t counter[BLOCK]; /* A_i (RFC 3610 §2.3) */
    uint8_t stream[BLOCK];  /* S_i */
};

/* Bytes of a block for the length of the text and for counters: L of RFC 3610 §2. */
static size_t number_len(const struct ccm_params *params) {
    return 15U - params->nonce_len;
}

static bool lengths_fit(const struct ccm_params *params, size_t len) {
    return (params->key_len == 16 || params->key_len == 32) && params->nonce_len >= 7 && params->nonce_len <= 13 &&
           params->tag_len >= 4 && params->tag_len <= CCM_TAG_MAX && params->tag_len % 2 == 0 &&
           params->aad.len < AAD_MAX && len <= UINT32_MAX &&
           (uint64_t)len >> 8 * (number_len(params) < 4 ? number_len(params) : 4) == 0;
}

static void encrypt(struct ccm *ccm, const uint8_t in[BLOCK], uint8_t out[BLOCK]) {
    mbedtls_aes_crypt_ecb(&ccm->aes, MBEDTLS_AES_ENCRYPT, in, out); /* can't fail with a key that is set */
}

/* A block's first byte, the nonce behind it, and zeros. */
static void begin_block(const struct ccm_params *params, uint8_t flags, uint8_t block[BLOCK]) {
    memset(block, 0, BLOCK);
    block[0] = (uint8_t)(flags | (number_len(params) - 1));
    memcpy(block + 1, params->nonce, params->nonce_len);
}

/* Into the last bytes of a block, which are zeros or hold a smaller number. */
static void put_number(uint8_t block[BLOCK], size_t number) {
    size_t at = BLOCK;
    do
        block[--at] = (uint8_t)number;
    while ((number >>= 8) != 0);
}

static bool begin(struct ccm *ccm, const struct ccm_params *params, size_t len) {
    if (!lengths_fit(params, len))
        return false;
    mbedtls_aes_init(&ccm->aes);
    if (mbedtls_aes_setkey_enc(&ccm->aes, params->key, params->key_len * 8U) != 0)
        return false;
    begin_block(params, 0, ccm->counter);
    return true;
}

static void end(struct ccm *ccm) {
    mbedtls_aes_free(&ccm->aes);
    mbedtls_platform_zeroize(ccm->mac, sizeof ccm->mac);
    mbedtls_platform_zeroize(ccm->stream, sizeof ccm->stream);
}

/* ---- authentication (RFC 3610 §2.2) ---- */

/* Mix bytes into the MAC from `at` in its block on, and fill the last block up with zeros. */
static void mix(struct ccm *ccm, size_t at, const uint8_t *bytes, size_t len) {
    for (size_t done = 0; done < len;) {
        size_t n = len - done < BLOCK - at ? len - done : BLOCK - at;
        for (size_t i = 0; i < n; i++)
            ccm->mac[at + i] ^= bytes[done + i];
        encrypt(ccm, ccm->mac, ccm->mac);
        done += n;
        at = 0;
    }
}

static void authenticate_outside(struct ccm *ccm, const struct ccm_params *params, size_t len) {
    uint8_t first[BLOCK];
    struct slice aad = params->aad;
    begin_block(params, (uint8_t)((aad.len > 0 ? HAS_AAD : 0) | (params->tag_len - 2) / 2 << 3), first);
    put_number(first, len);
    encrypt(ccm, first, ccm->mac);
    if (aad.len > 0) {
        ccm->mac[0] ^= (uint8_t)(aad.len >> 8);
        ccm->mac[1] ^= (uint8_t)aad.len;
        mix(ccm, 2, aad.data, aad.len);
    }
}

/* ---- encryption (RFC 3610 §2.3) ---- */

static void find_stream(struct ccm *ccm, size_t number) {
    put_number(ccm->counter, number);
    encrypt(ccm, ccm->counter, ccm->stream);
}

static void crypt_block(struct ccm *ccm, size_t number, uint8_t *text, size_t len) {
    find_stream(ccm, number);
    for (size_t i = 0; i < len; i++)
        text[i] ^= ccm->stream[i];
}

static void put_tag(struct ccm *ccm, const struct ccm_params *params, uint8_t tag[CCM_TAG_MAX]) {
    begin_block(params, 0, ccm->counter);
    find_stream(ccm, 0);
    for (size_t i = 0; i < params->tag_len; i++)
        tag[i] = ccm->mac[i] ^ ccm->stream[i];
}

/* ---- both ---- */

/* The text, block by block: its MAC and its encryption don't wait for each other in the processor then. */
static void seal_text(struct ccm *ccm, uint8_t *text, size_t len) {
    for (size_t done = 0; done < len; done += BLOCK) {
        size_t n = len - done < BLOCK ? len - done : BLOCK;
        mix(ccm, 0, text + done, n);
        crypt_block(ccm, done / BLOCK + 1, text + done, n);
    }
}

static void open_text(struct ccm *ccm, uint8_t *text, size_t len) {
    for (size_t done = 0; done < len; done += BLOCK) {
        size_t n = len - done < BLOCK ? len - done : BLOCK;
        crypt_block(ccm, done / BLOCK + 1, text + done, n);
        mix(ccm, 0, text + done, n);
    }
}

bool ccm_seal(const struct ccm_params *params, uint8_t *text, size_t len) {
    struct ccm ccm;
    if (!begin(&ccm, params, len))
        return false;
    authenticate_outside(&ccm, params, len);
    seal_text(&ccm, text, len);
    put_tag(&ccm, params, text + len);
    end(&ccm);
    return true;
}

bool ccm_open(const struct ccm_params *params, uint8_t *text, size_t len) {
    struct ccm ccm;
    uint8_t tag[CCM_TAG_MAX];
    bool good = begin(&ccm, params, len);
    if (good) {
        authenticate_outside(&ccm, params, len);
        open_text(&ccm, text, len);
        put_tag(&ccm, params, tag);
        good = mbedtls_ct_memcmp(tag, text + len, params->tag_len) == 0;
        end(&ccm);
    }
    if (!good && len > 0)
        mbedtls_platform_zeroize(text, len);
    return good;
}
