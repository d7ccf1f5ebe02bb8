#include "common/net/record.h"

#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>

#include "common/net/ccm.h"

enum {
    EXPLICIT_NONCE = 8,
    NONCE = 12,
    WINDOW = 64,
    /* RFC 9146 §5.3: 8 bytes of ones, type, CID length, type, version, number, CID, length. The others are shorter. */
    AAD_MAX = 8 + 3 + 2 + 8 + RECORD_CID_MAX + 2,
};

static const uint16_t dtls_1_2 = 0xfefd;
static const uint64_t numbers_end = (uint64_t)1 << 48;

static uint16_t get_u16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static size_t tag_len(const struct dtls_keys *keys) {
    return keys->aead == RECORD_CCM_8 ? 8 : 16;
}

bool record_read_header(struct slice data, size_t cid_len, struct record_header *header) {
    if (data.len < RECORD_HEADER)
        return false;
    size_t header_len = RECORD_HEADER + (data.data[0] == RECORD_TLS12_CID ? cid_len : 0);
    if (data.len < header_len)
        return false;
    *header = (struct record_header){
        .type = data.data[0],
        .version = get_u16(data.data + 1),
        .epoch = get_u16(data.data + 3),
        .number = slice_number(slice_of(data.data + 5, 6)),
        .header_len = header_len,
        .len = get_u16(data.data + header_len - 2),
    };
    return header->len <= data.len - header_len;
}

/* ---- additional data ---- */

static void put_number(struct buffer *out, uint16_t epoch, uint64_t number) {
    buffer_put_u16(out, epoch);
    buffer_put_u16(out, (uint16_t)(number >> 32));
    buffer_put_u32(out, (uint32_t)number);
}

/* RFC 9146 §5.3 */
static void put_aad_with_cid(struct buffer *out, uint16_t epoch, uint64_t number, struct slice cid, size_t len) {
    static const uint8_t placeholder[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    buffer_put(out, placeholder, sizeof placeholder);
    buffer_put_u8(out, RECORD_TLS12_CID);
    buffer_put_u8(out, (uint8_t)cid.len);
    buffer_put_u8(out, RECORD_TLS12_CID);
    buffer_put_u16(out, dtls_1_2);
    put_number(out, epoch, number);
    buffer_put_slice(out, cid);
    buffer_put_u16(out, (uint16_t)len);
}

/* The draft's §5: the CID and its length stand between version and length. Without a CID that is RFC 5246 §6.2.3.3. */
static void put_aad_of_draft(struct buffer *out, uint8_t type, uint16_t epoch, uint64_t number, struct slice cid,
                             size_t len) {
    put_number(out, epoch, number);
    buffer_put_u8(out, type);
    buffer_put_u16(out, dtls_1_2);
    if (cid.len > 0) {
        buffer_put_slice(out, cid);
        buffer_put_u8(out, (uint8_t)cid.len);
    }
    buffer_put_u16(out, (uint16_t)len);
}

static void put_aad(const struct dtls_keys *keys, struct buffer *out, uint8_t type, uint64_t number, struct slice cid,
                    size_t len) {
    if (cid.len > 0 && !keys->draft)
        put_aad_with_cid(out, keys->epoch, number, cid, len);
    else
        put_aad_of_draft(out, type, keys->epoch, number, cid, len);
}

/* ---- the ciphers ---- */

static bool ccm(const struct dtls_keys *keys, bool seal, const uint8_t nonce[NONCE], struct slice aad, uint8_t *text,
                size_t len) {
    const struct ccm_params params = {.key = seal ? keys->write_key : keys->read_key,
                                      .key_len = keys->key_len,
                                      .nonce = nonce,
                                      .nonce_len = NONCE,
                                      .tag_len = (uint8_t)tag_len(keys),
                                      .aad = aad};
    return (seal ? ccm_seal : ccm_open)(&params, text, len);
}

static bool gcm(const struct dtls_keys *keys, bool seal, const uint8_t nonce[NONCE], struct slice aad, uint8_t *text,
                size_t len) {
    mbedtls_gcm_context context;
    mbedtls_gcm_init(&context);
    const uint8_t *key = seal ? keys->write_key : keys->read_key;
    int error = mbedtls_gcm_setkey(&context, MBEDTLS_CIPHER_ID_AES, key, keys->key_len * 8U);
    if (error == 0 && seal)
        error = mbedtls_gcm_crypt_and_tag(&context, MBEDTLS_GCM_ENCRYPT, len, nonce, NONCE, aad.data, aad.len, text,
                                          text, tag_len(keys), text + len);
    else if (error == 0)
        error = mbedtls_gcm_auth_decrypt(&context, len, nonce, NONCE, aad.data, aad.len, text + len, tag_len(keys),
                                         text, text);
    mbedtls_gcm_free(&context);
    return error == 0;
}

/* Seal or open `len` bytes at `text` in place, with the tag behind them. */
static bool crypt(const struct dtls_keys *keys, bool seal, const uint8_t nonce[NONCE], struct slice aad, uint8_t *text,
                  size_t len) {
    return keys->aead == RECORD_GCM ? gcm(keys, seal, nonce, aad, text, len) : ccm(keys, seal, nonce, aad, text, len);
}

/* ---- the replay window (RFC 6347 §4.1.2.6) ---- */

static bool seen(const struct dtls_keys *keys, uint64_t number) {
    if (keys->window_bits == 0 || number > keys->window_top)
        return false;
    uint64_t age = keys->window_top - number;
    return age >= WINDOW || (keys->window_bits >> age & 1) != 0;
}

/* Returns whether it is newer than all before. */
static bool mark_seen(struct dtls_keys *keys, uint64_t number) {
    bool newest = keys->window_bits == 0 || number > keys->window_top;
    if (!newest) {
        keys->window_bits |= (uint64_t)1 << (keys->window_top - number);
        return false;
    }
    uint64_t ahead = number - keys->window_top;
    keys->window_bits = keys->window_bits == 0 || ahead >= WINDOW ? 1 : keys->window_bits << ahead | 1;
    keys->window_top = number;
    return true;
}

/* ---- records ---- */

static enum record_result check_outside(const struct dtls_keys *keys, const uint8_t *data,
                                        const struct record_header *header) {
    if (header->version != dtls_1_2 || header->len < EXPLICIT_NONCE + tag_len(keys))
        return RECORD_MALFORMED;
    bool has_cid = header->type == RECORD_TLS12_CID;
    if (has_cid != (keys->cid_len > 0) || (has_cid && memcmp(data + RECORD_HEADER - 2, keys->cid, keys->cid_len) != 0))
        return RECORD_NO_CID;
    if (header->epoch != keys->epoch)
        return RECORD_OTHER_EPOCH;
    return seen(keys, header->number) ? RECORD_REPLAY : RECORD_CONTENT;
}

/* Content, true type, zeros (RFC 9146 §4). False: nothing but zeros. */
static bool take_inner_type(struct record *record) {
    const uint8_t *text = record->content.data;
    size_t len = record->content.len;
    while (len > 0 && text[len - 1] == 0)
        len--;
    if (len == 0)
        return false;
    record->type = text[len - 1];
    record->content.len = len - 1;
    return true;
}

enum record_result record_open(struct dtls_keys *keys, uint8_t *data, size_t len, struct record *record, size_t *used) {
    struct record_header header;
    *used = len;
    if (!record_read_header(slice_of(data, len), keys->cid_len, &header))
        return RECORD_MALFORMED;
    *used = header.header_len + header.len;
    enum record_result outside = check_outside(keys, data, &header);
    if (outside != RECORD_CONTENT)
        return outside;

    uint8_t nonce[NONCE], aad_bytes[AAD_MAX];
    uint8_t *text = data + header.header_len + EXPLICIT_NONCE;
    size_t text_len = header.len - EXPLICIT_NONCE - tag_len(keys);
    struct buffer aad = buffer_over(aad_bytes, sizeof aad_bytes);
    put_aad(keys, &aad, header.type, header.number, slice_of(keys->cid, keys->cid_len), text_len);
    memcpy(nonce, keys->read_iv, sizeof keys->read_iv);
    memcpy(nonce + sizeof keys->read_iv, data + header.header_len, EXPLICIT_NONCE);
    if (!crypt(keys, false, nonce, buffer_slice(&aad), text, text_len)) {
        keys->bad_records += keys->bad_records < UINT32_MAX;
        return RECORD_BAD;
    }
    *record = (struct record){.type = header.type, .content = slice_of(text, text_len), .number = header.number};
    record->newest = mark_seen(keys, header.number);
    bool good = header.type != RECORD_TLS12_CID || take_inner_type(record);
    return good && record->content.len <= RECORD_CONTENT_MAX ? RECORD_CONTENT : RECORD_MALFORMED;
}

bool record_keys_worn(const struct dtls_keys *keys) {
    /* For CCM 2^23.5. For GCM 2^36: the counter stops short of it. For CCM_8 the RFC names none; after 2^20 tries a
     * forger has succeeded with a probability of 2^-44. */
    switch ((enum record_aead)keys->aead) {
    case RECORD_CCM_8:
        return keys->bad_records >= (uint32_t)1 << 20;
    case RECORD_CCM:
        return keys->bad_records >= 11863283;
    case RECORD_GCM:
    case RECORD_CBC:
        break;
    }
    return keys->bad_records == UINT32_MAX;
}

enum record_seal_result record_seal(struct dtls_keys *keys, enum record_type type, struct slice content,
                                    struct buffer *out) {
    size_t inner_len = content.len + (keys->peer_cid_len > 0);
    size_t body_len = EXPLICIT_NONCE + inner_len + tag_len(keys);
    size_t header_len = RECORD_HEADER + (size_t)keys->peer_cid_len;
    if (content.len > keys->max_content || out->overflow || out->cap - out->len < header_len + body_len)
        return RECORD_TOO_LARGE;
    if (keys->next_number >= keys->number_limit || keys->next_number >= numbers_end)
        return RECORD_NO_NUMBERS;
    uint64_t number = keys->next_number++;

    struct slice cid = slice_of(keys->peer_cid, keys->peer_cid_len);
    uint8_t outer_type = cid.len > 0 ? RECORD_TLS12_CID : (uint8_t)type;
    buffer_put_u8(out, outer_type);
    buffer_put_u16(out, dtls_1_2);
    put_number(out, keys->epoch, number);
    buffer_put_slice(out, cid);
    buffer_put_u16(out, (uint16_t)body_len);
    uint8_t *explicit_nonce = out->data + out->len;
    put_number(out, keys->epoch, number);
    uint8_t *text = out->data + out->len;
    buffer_put_slice(out, content);
    if (cid.len > 0)
        buffer_put_u8(out, (uint8_t)type);
    buffer_take(out, tag_len(keys));

    uint8_t nonce[NONCE], aad_bytes[AAD_MAX];
    struct buffer aad = buffer_over(aad_bytes, sizeof aad_bytes);
    put_aad(keys, &aad, outer_type, number, cid, inner_len);
    memcpy(nonce, keys->write_iv, sizeof keys->write_iv);
    memcpy(nonce + sizeof keys->write_iv, explicit_nonce, EXPLICIT_NONCE);
    if (!crypt(keys, true, nonce, buffer_slice(&aad), text, inner_len)) {
        /* Only without memory. The number is spent, the plaintext must not leave. */
        out->len -= header_len + body_len;
        mbedtls_platform_zeroize(out->data + out->len, header_len + body_len);
        return RECORD_NO_NUMBERS;
    }
    return RECORD_SEALED;
}

bool record_expand_keys(struct dtls_keys *keys, const struct cipher_suite *suite, const uint8_t master[48],
                        const uint8_t client_random[32], const uint8_t server_random[32], bool server) {
    uint8_t seed[64], block[2 * 32 + 2 * 4];
    size_t key_len = suite->key_len;
    memcpy(seed, server_random, 32);
    memcpy(seed + 32, client_random, 32);
    mbedtls_tls_prf_types prf = suite->sha384 ? MBEDTLS_SSL_TLS_PRF_SHA384 : MBEDTLS_SSL_TLS_PRF_SHA256;
    if (mbedtls_ssl_tls_prf(prf, master, 48, "key expansion", seed, sizeof seed, block, 2 * key_len + 8) != 0)
        return false;
    const uint8_t *client_key = block, *server_key = block + key_len;
    const uint8_t *client_iv = block + 2 * key_len, *server_iv = client_iv + 4;
    keys->aead = (uint8_t)suite->aead;
    keys->key_len = suite->key_len;
    memcpy(keys->read_key, server ? client_key : server_key, key_len);
    memcpy(keys->write_key, server ? server_key : client_key, key_len);
    memcpy(keys->read_iv, server ? client_iv : server_iv, 4);
    memcpy(keys->write_iv, server ? server_iv : client_iv, 4);
    mbedtls_platform_zeroize(block, sizeof block);
    return true;
}
