#include "common/oscore/context.h"

#include <mbedtls/hkdf.h>
#include <mbedtls/platform_util.h>

#include "common/base/cbor.h"

enum { INFO_MAX = 96 };

/* §3.2.1: info = [id, id_context, alg_aead, type, L]. */
static bool derive(const struct oscore_secrets *secrets, struct slice id, const char *type, uint8_t *out, size_t len) {
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
    const mbedtls_md_info_t *md =
        mbedtls_md_info_from_type(secrets->hkdf == OSCORE_HKDF_SHA_512 ? MBEDTLS_MD_SHA512 : MBEDTLS_MD_SHA256);
    return !info.overflow &&
           mbedtls_hkdf(md, secrets->master_salt.data, secrets->master_salt.len, secrets->master_secret.data,
                        secrets->master_secret.len, info.data, info.len, out, len) == 0;
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
    if (!derive(s, s->sender_id, "Key", c->sender_key, aead->key_len) ||
        !derive(s, s->recipient_id, "Key", c->recipient_key, aead->key_len) ||
        !derive(s, SLICE_NONE, "IV", c->common_iv, aead->nonce_len)) {
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
