#include "common/oscore/algorithm.h"

#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>

#include "common/net/ccm.h"

static const struct oscore_aead aeads[] = {
    {"AES-CCM-16-64-128", 10, 16, 13, 8, false},
    {"AES-CCM-16-64-256", 11, 32, 13, 8, false},
    {"AES-CCM-64-64-128", 12, 16, 7, 8, false},
    {"AES-CCM-64-64-256", 13, 32, 7, 8, false},
    {"AES-CCM-16-128-128", 30, 16, 13, 16, false},
    {"AES-CCM-16-128-256", 31, 32, 13, 16, false},
    {"AES-CCM-64-128-128", 32, 16, 7, 16, false},
    {"AES-CCM-64-128-256", 33, 32, 7, 16, false},
    {"A128GCM", 1, 16, 12, 16, true},
    {"A192GCM", 2, 24, 12, 16, true},
    {"A256GCM", 3, 32, 12, 16, true},
};

static const char *const hkdf_names[] = {"SHA-256", "SHA-512"};

const struct oscore_aead *oscore_aead_at(size_t n) {
    return n < sizeof aeads / sizeof aeads[0] ? &aeads[n] : NULL;
}

const struct oscore_aead *oscore_aead_of(int number) {
    for (size_t i = 0; i < sizeof aeads / sizeof aeads[0]; i++) {
        if (aeads[i].number == number)
            return &aeads[i];
    }
    return NULL;
}

const struct oscore_aead *oscore_aead_named(struct slice name) {
    for (size_t i = 0; i < sizeof aeads / sizeof aeads[0]; i++) {
        if (slice_is(name, aeads[i].name))
            return &aeads[i];
    }
    return NULL;
}

bool oscore_hkdf_of(int number, enum oscore_hkdf *hkdf) {
    switch (number) {
    case -10:
    case 5:
        *hkdf = OSCORE_HKDF_SHA_256;
        return true;
    case -11:
    case 7:
        *hkdf = OSCORE_HKDF_SHA_512;
        return true;
    default:
        return false;
    }
}

const char *oscore_hkdf_name(enum oscore_hkdf hkdf) {
    return hkdf_names[hkdf];
}

bool oscore_hkdf_named(struct slice name, enum oscore_hkdf *hkdf) {
    for (size_t i = 0; i < sizeof hkdf_names / sizeof hkdf_names[0]; i++) {
        if (slice_is(name, hkdf_names[i])) {
            *hkdf = (enum oscore_hkdf)i;
            return true;
        }
    }
    return false;
}

static bool ccm(const struct oscore_aead *aead, const uint8_t *key, const uint8_t *nonce, struct slice aad, bool seals,
                uint8_t *text, size_t len) {
    const struct ccm_params params = {.key = key,
                                      .key_len = aead->key_len,
                                      .nonce = nonce,
                                      .nonce_len = aead->nonce_len,
                                      .tag_len = aead->tag_len,
                                      .aad = aad};
    return (seals ? ccm_seal : ccm_open)(&params, text, len);
}

static bool gcm(const struct oscore_aead *aead, const uint8_t *key, const uint8_t *nonce, struct slice aad, bool seals,
                uint8_t *text, size_t len) {
    mbedtls_gcm_context context;
    mbedtls_gcm_init(&context);
    int error = mbedtls_gcm_setkey(&context, MBEDTLS_CIPHER_ID_AES, key, aead->key_len * 8U);
    if (error == 0 && seals)
        error = mbedtls_gcm_crypt_and_tag(&context, MBEDTLS_GCM_ENCRYPT, len, nonce, aead->nonce_len, aad.data, aad.len,
                                          text, text, aead->tag_len, text + len);
    else if (error == 0)
        error = mbedtls_gcm_auth_decrypt(&context, len, nonce, aead->nonce_len, aad.data, aad.len, text + len,
                                         aead->tag_len, text, text);
    mbedtls_gcm_free(&context);
    return error == 0;
}

bool oscore_seal(const struct oscore_aead *aead, const uint8_t *key, const uint8_t *nonce, struct slice aad,
                 uint8_t *text, size_t len) {
    return (aead->is_gcm ? gcm : ccm)(aead, key, nonce, aad, true, text, len);
}

bool oscore_open(const struct oscore_aead *aead, const uint8_t *key, const uint8_t *nonce, struct slice aad,
                 uint8_t *text, size_t len) {
    if ((aead->is_gcm ? gcm : ccm)(aead, key, nonce, aad, false, text, len))
        return true;
    mbedtls_platform_zeroize(text, len);
    return false;
}
