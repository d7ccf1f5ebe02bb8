#include "common/oscore/context.h"

#include <mbedtls/hkdf.h>
#include <mbedtls/platform_util.h>

#include "common/base/cbor.h"

enum { INFO_MAX = 96 };

static const mbedtls_md_info_t *digest_of(const struct oscore_secrets *secrets) {
    return mbedtls_md_info_from_type(secrets->hkdf == OSCORE_HKDF_SHA_512 ? MBEDTLS_MD_SHA512 : MBEDTLS_MD_SHA256);
}

/* §3.2.1: info = [id, id_context, alg_aead, type, L]. */
static bool derive(const struct oscore_secrets *secrets, struct slice key, struct slice id, const char *type,
                   uint8_t *out, size_t len) {
    uint8_t memory[INFO_MAX];
    struct buffer info = buffer_over(memory, sizeof memory);
    cbor_put_array(&info, 5);
    cbor_put_bytes(&info, id);
    if (secrets->id_context.len > 0)
        cbor_put_bytes(&info, secrets->id_context);
    else
        cbor_put_simple(&info, CBOR_NULL);
    cbor_put_unsigned(&info, secrets->aead);
    cbor_put_text(&info, slice_str(type));
    cbor_put_unsigned(&info, len);
    return !info.overflow &&
           mbedtls_hkdf_expand(digest_of(secrets), key.data, key.len, info.data, info.len, out, len) == 0;
}

static bool derive_all(struct oscore_context *c, const struct oscore_secrets *s, const struct oscore_aead *aead) {
    const mbedtls_md_info_t *md = digest_of(s);
    uint8_t bytes[MBEDTLS_MD_MAX_SIZE];
    struct slice key = slice_of(bytes, mbedtls_md_get_size(md));
    bool derived = mbedtls_hkdf_extract(md, s->master_salt.data, s->master_salt.len, s->master_secret.data,
                                        s->master_secret.len, bytes) == 0 &&
                   derive(s, key, s->sender_id, "Key", c->sender_key, aead->key_len) &&
                   derive(s, key, s->recipient_id, "Key", c->recipient_key, aead->key_len) &&
                   derive(s, key, SLICE_NONE, "IV", c->common_iv, aead->nonce_len);
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    return derived;
}

static void keep(struct slice from, uint8_t *to, uint8_t *len) {
    if (from.len > 0)
        memcpy(to, from.data, from.len);
    *len = (uint8_t)from.len;
}

bool oscore_context_derive(struct oscore_context *c, const struct oscore_secrets *s) {
    const struct oscore_aead *aead = oscore_aead_of(s->aead);
    oscore_context_wipe(c);
    if (aead == NULL || s->master_secret.len == 0 || s->sender_id.len > oscore_id_max(aead) ||
        s->recipient_id.len > oscore_id_max(aead) || s->id_context.len > OSCORE_ID_CONTEXT_MAX ||
        slice_equal(s->sender_id, s->recipient_id))
        return false;
    if (!derive_all(c, s, aead)) {
        oscore_context_wipe(c);
        return false;
    }
    keep(s->sender_id, c->sender_id, &c->sender_id_len);
    keep(s->recipient_id, c->recipient_id, &c->recipient_id_len);
    keep(s->id_context, c->id_context, &c->id_context_len);
    c->aead = s->aead;
    return true;
}

void oscore_context_wipe(struct oscore_context *c) {
    mbedtls_platform_zeroize(c, sizeof *c);
}

void oscore_nonce(const struct oscore_context *c, struct slice id, struct slice piv, uint8_t nonce[OSCORE_NONCE_MAX]) {
    size_t len = oscore_aead_of(c->aead)->nonce_len, id_room = len - 6;
    memset(nonce, 0, OSCORE_NONCE_MAX);
    nonce[0] = (uint8_t)id.len;
    if (id.len > 0)
        memcpy(nonce + 1 + id_room - id.len, id.data, id.len);
    if (piv.len > 0)
        memcpy(nonce + len - piv.len, piv.data, piv.len);
    for (size_t i = 0; i < len; i++)
        nonce[i] ^= c->common_iv[i];
}
