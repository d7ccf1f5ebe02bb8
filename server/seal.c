#include "server/seal.h"

#include <mbedtls/gcm.h>
#include <mbedtls/md.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>

#include "common/base/random.h"

struct seal {
    mbedtls_gcm_context gcm;
    uint8_t key[SEAL_KEY_BYTES];
};

struct seal *seal_new(const uint8_t key[SEAL_KEY_BYTES]) {
    struct seal *seal = malloc(sizeof *seal);
    if (seal == NULL)
        return NULL;
    memcpy(seal->key, key, sizeof seal->key);
    mbedtls_gcm_init(&seal->gcm);
    if (mbedtls_gcm_setkey(&seal->gcm, MBEDTLS_CIPHER_ID_AES, key, SEAL_KEY_BYTES * 8) == 0)
        return seal;
    seal_free(seal);
    return NULL;
}

void seal_free(struct seal *seal) {
    if (seal == NULL)
        return;
    mbedtls_gcm_free(&seal->gcm); /* zeroes the key schedule */
    mbedtls_platform_zeroize(seal->key, sizeof seal->key);
    free(seal);
}

bool seal_derive(const struct seal *seal, struct slice purpose, uint8_t key[SEAL_KEY_BYTES]) {
    return mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), seal->key, sizeof seal->key, purpose.data,
                           purpose.len, key) == 0;
}

bool seal_close(struct seal *seal, struct slice context, struct slice plain, struct buffer *out) {
    if (out->overflow || plain.len + SEAL_OVERHEAD > out->cap - out->len)
        return false;
    uint8_t *nonce = buffer_take(out, plain.len + SEAL_OVERHEAD), *text = nonce + SEAL_NONCE_BYTES;
    random_bytes(nonce, SEAL_NONCE_BYTES);
    if (mbedtls_gcm_crypt_and_tag(&seal->gcm, MBEDTLS_GCM_ENCRYPT, plain.len, nonce, SEAL_NONCE_BYTES, context.data,
                                  context.len, plain.data, text, SEAL_TAG_BYTES, text + plain.len) == 0)
        return true;
    out->len -= plain.len + SEAL_OVERHEAD;
    return false;
}

bool seal_open(struct seal *seal, struct slice context, struct slice sealed, struct buffer *out) {
    if (sealed.len < SEAL_OVERHEAD || out->overflow || sealed.len - SEAL_OVERHEAD > out->cap - out->len)
        return false;
    size_t len = sealed.len - SEAL_OVERHEAD;
    const uint8_t *text = sealed.data + SEAL_NONCE_BYTES;
    uint8_t *plain = buffer_take(out, len);
    /* mbedtls wipes what it wrote when the tag does not fit. */
    if (mbedtls_gcm_auth_decrypt(&seal->gcm, len, sealed.data, SEAL_NONCE_BYTES, context.data, context.len, text + len,
                                 SEAL_TAG_BYTES, text, plain) == 0)
        return true;
    out->len -= len;
    return false;
}
