#include "client/oscore_credential.h"

#include <mbedtls/platform_util.h>
#include <stdio.h>

#include "client/server_account.h"
#include "common/base/text.h"

enum { LINE_MAX_BYTES = 1024 };

static bool fail(char problem[SECURITY_PROBLEM_MAX], const char *what) {
    snprintf(problem, SECURITY_PROBLEM_MAX, "%s", what);
    return false;
}

static bool read_bytes(struct slice text, uint8_t *memory, size_t size, uint8_t *len) {
    struct buffer out = buffer_over(memory, size);
    bool good = text_get_hex(text, &out);
    *len = (uint8_t)out.len;
    return good;
}

static bool read_aead(struct oscore_credential *c, struct slice text) {
    const struct oscore_aead *aead = oscore_aead_named(text);
    if (aead != NULL)
        c->aead = aead->number;
    return aead != NULL;
}

/* One `name=value`. */
static bool read_part(struct oscore_credential *c, struct slice name, struct slice value) {
    if (slice_is(name, "secret"))
        return read_bytes(value, c->master_secret, sizeof c->master_secret, &c->master_secret_len);
    if (slice_is(name, "salt"))
        return read_bytes(value, c->master_salt, sizeof c->master_salt, &c->master_salt_len);
    if (slice_is(name, "sender"))
        return read_bytes(value, c->sender_id, sizeof c->sender_id, &c->sender_id_len);
    if (slice_is(name, "recipient"))
        return read_bytes(value, c->recipient_id, sizeof c->recipient_id, &c->recipient_id_len);
    if (slice_is(name, "id-context"))
        return read_bytes(value, c->id_context, sizeof c->id_context, &c->id_context_len);
    if (slice_is(name, "aead"))
        return read_aead(c, value);
    return slice_is(name, "hkdf") && oscore_hkdf_named(value, &c->hkdf);
}

/* What is before `stop`, which is passed in *rest. */
static struct slice take_until(struct slice *rest, char stop) {
    const uint8_t *at = rest->len == 0 ? NULL : memchr(rest->data, stop, rest->len);
    struct slice part = *rest;
    if (at != NULL)
        part.len = (size_t)(at - rest->data);
    *rest = slice_from(*rest, at == NULL ? rest->len : part.len + 1);
    return part;
}

static bool read_parts(struct oscore_credential *c, struct slice text, char problem[SECURITY_PROBLEM_MAX]) {
    while (text.len > 0) {
        struct slice value = take_until(&text, ','), name = take_until(&value, '=');
        if (!read_part(c, name, value)) {
            snprintf(problem, SECURITY_PROBLEM_MAX,
                     "%.*s is none of secret, salt, sender, recipient, id-context (hexadecimal), aead, hkdf, or has no "
                     "good value",
                     (int)(name.len < 40 ? name.len : 40), (const char *)name.data);
            return false;
        }
    }
    return true;
}

bool oscore_credential_read(struct oscore_credential *c, const char *value, char problem[SECURITY_PROBLEM_MAX]) {
    char line[LINE_MAX_BYTES];
    struct oscore_context context;
    *c = (struct oscore_credential){.given = true, .aead = 10, .hkdf = OSCORE_HKDF_SHA_256};
    if (value[0] == '@' && !security_read_line(value + 1, line, sizeof line, problem))
        return false;
    bool good = read_parts(c, slice_str(value[0] == '@' ? line : value), problem);
    mbedtls_platform_zeroize(line, sizeof line);
    if (!good)
        return false;
    struct oscore_secrets secrets = oscore_credential_secrets(c);
    good = oscore_context_derive(&context, &secrets);
    oscore_context_wipe(&context);
    return good || fail(problem, "needs secret, and two different ids that are short enough for the algorithm");
}

static bool copy_bytes(struct slice bytes, uint8_t *memory, size_t size, uint8_t *len) {
    if (bytes.len > size)
        return false;
    if (bytes.len > 0)
        memcpy(memory, bytes.data, bytes.len);
    *len = (uint8_t)bytes.len;
    return true;
}

/* A number of COSE's, of which some are negative. */
static int64_t number_of(const struct instance *oscore, uint16_t resource, int64_t otherwise) {
    const struct lwm2m_value *value = instance_value(oscore, resource, 0);
    return value != NULL && value->type == LWM2M_INTEGER ? value->integer : otherwise;
}

bool oscore_credential_take(struct oscore_credential *c, const struct instance *oscore) {
    struct oscore_context context;
    int64_t aead = number_of(oscore, OSCORE_AEAD, 10), hmac = number_of(oscore, OSCORE_HMAC, -10);
    *c = (struct oscore_credential){.given = true};
    if (aead < 0 || aead > UINT8_MAX || hmac < INT8_MIN || hmac > INT8_MAX || !oscore_hkdf_of((int)hmac, &c->hkdf))
        return false;
    c->aead = (uint8_t)aead;
    bool fits = copy_bytes(server_account_bytes(oscore, OSCORE_MASTER_SECRET), c->master_secret,
                           sizeof c->master_secret, &c->master_secret_len) &&
                copy_bytes(server_account_bytes(oscore, OSCORE_MASTER_SALT), c->master_salt, sizeof c->master_salt,
                           &c->master_salt_len) &&
                copy_bytes(server_account_bytes(oscore, OSCORE_SENDER_ID), c->sender_id, sizeof c->sender_id,
                           &c->sender_id_len) &&
                copy_bytes(server_account_bytes(oscore, OSCORE_RECIPIENT_ID), c->recipient_id, sizeof c->recipient_id,
                           &c->recipient_id_len) &&
                copy_bytes(server_account_bytes(oscore, OSCORE_ID_CONTEXT), c->id_context, sizeof c->id_context,
                           &c->id_context_len);
    struct oscore_secrets secrets = oscore_credential_secrets(c);
    bool good = fits && oscore_context_derive(&context, &secrets);
    if (good)
        oscore_context_wipe(&context);
    return good;
}

struct oscore_secrets oscore_credential_secrets(const struct oscore_credential *c) {
    return (struct oscore_secrets){.master_secret = slice_of(c->master_secret, c->master_secret_len),
                                   .master_salt = slice_of(c->master_salt, c->master_salt_len),
                                   .sender_id = slice_of(c->sender_id, c->sender_id_len),
                                   .recipient_id = slice_of(c->recipient_id, c->recipient_id_len),
                                   .id_context = slice_of(c->id_context, c->id_context_len),
                                   .aead = c->aead,
                                   .hkdf = c->hkdf};
}
