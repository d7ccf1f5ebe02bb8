#include "server/pki.h"

#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>

#include "common/base/random.h"
#include "common/net/address.h"

enum { SUBJECT_MAX = 3 * (PKI_NAME_MAX * 3 + 8), SERIAL_BYTES = 16 };

static int draw(void *arg, unsigned char *bytes, size_t len) {
    (void)arg;
    random_bytes(bytes, len);
    return 0;
}

void pki_forget(struct pki_pair *pair) {
    mbedtls_platform_zeroize(pair, sizeof *pair);
}

/* ---- names ---- */

/* "CN=…" as mbedtls reads it: whatever could have a meaning there is written as \XX (RFC 4514 §2.4). */
static void put_attribute(struct buffer *out, const char *type, struct slice value) {
    if (value.len == 0)
        return;
    buffer_printf(out, "%s%s=", out->len == 0 ? "" : ",", type);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t byte = value.data[i];
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                     byte == '-' || byte == '.' || byte == ':';
        if (plain)
            buffer_put_u8(out, byte);
        else
            buffer_printf(out, "\\%02X", byte);
    }
}

static bool name_fits(struct slice name) {
    return name.len <= PKI_NAME_MAX && slice_is_utf8(name) && (name.len == 0 || memchr(name.data, 0, name.len) == NULL);
}

static bool put_subject(struct buffer *out, const struct pki_request *request, const char **problem) {
    *problem = "a name has at most 252 bytes of UTF-8";
    if (request->name.len == 0 || !name_fits(request->name) || !name_fits(request->account) ||
        !name_fits(request->device_id))
        return false;
    put_attribute(out, "CN", request->name);
    put_attribute(out, "OU", request->account);
    put_attribute(out, "L", request->device_id);
    buffer_put_u8(out, '\0');
    return !out->overflow;
}

/* ---- making ---- */

static bool add_usage(mbedtls_x509write_cert *writer, enum pki_role role) {
    static const mbedtls_asn1_sequence server_usage = {
        .buf = {MBEDTLS_ASN1_OID, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH),
                (unsigned char *)(uintptr_t)MBEDTLS_OID_SERVER_AUTH},
    };
    static const mbedtls_asn1_sequence client_usage = {
        .buf = {MBEDTLS_ASN1_OID, MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH),
                (unsigned char *)(uintptr_t)MBEDTLS_OID_CLIENT_AUTH},
    };
    bool is_authority = role == PKI_AUTHORITY;
    unsigned usage =
        is_authority ? MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN : MBEDTLS_X509_KU_DIGITAL_SIGNATURE;
    return mbedtls_x509write_crt_set_basic_constraints(writer, is_authority, -1) == 0 &&
           mbedtls_x509write_crt_set_key_usage(writer, usage) == 0 &&
           (is_authority ||
            mbedtls_x509write_crt_set_ext_key_usage(writer, role == PKI_SERVER ? &server_usage : &client_usage) == 0);
}

static bool add_hosts(mbedtls_x509write_cert *writer, const struct pki_request *request) {
    mbedtls_x509_san_list list[PKI_HOSTS_MAX];
    struct address addresses[PKI_HOSTS_MAX];
    memset(list, 0, sizeof list);
    for (size_t i = 0; i < request->host_count; i++) {
        mbedtls_x509_buf *name = &list[i].node.san.unstructured_name;
        list[i].next = i + 1 < request->host_count ? &list[i + 1] : NULL;
        if (address_parse_ip(request->hosts[i], &addresses[i])) {
            list[i].node.type = MBEDTLS_X509_SAN_IP_ADDRESS;
            name->p = addresses[i].ip;
            name->len = addresses[i].family == ADDRESS_IPV4 ? 4 : 16;
        } else {
            list[i].node.type = MBEDTLS_X509_SAN_DNS_NAME;
            name->p = (unsigned char *)(uintptr_t)request->hosts[i].data;
            name->len = request->hosts[i].len;
        }
    }
    return request->host_count == 0 || mbedtls_x509write_crt_set_subject_alternative_name(writer, list) == 0;
}

/* What is needed to write one certificate. */
struct making {
    mbedtls_x509write_cert writer;
    mbedtls_pk_context key, issuer_key;
    mbedtls_x509_crt issuer;
};

/* The issuer's subject in the form that mbedtls copies as it is, its DER: a name may have anything in it. */
static bool set_issuer(struct making *m, const struct pki_pair *issuer, const char *subject) {
    if (issuer == NULL) {
        mbedtls_x509write_crt_set_issuer_key(&m->writer, &m->key);
        return mbedtls_x509write_crt_set_issuer_name(&m->writer, subject) == 0;
    }
    uint8_t name_memory[SUBJECT_MAX];
    struct buffer name = buffer_over(name_memory, sizeof name_memory);
    if (mbedtls_x509_crt_parse_der(&m->issuer, issuer->certificate, issuer->certificate_len) != 0 ||
        mbedtls_pk_parse_key(&m->issuer_key, issuer->key, issuer->key_len, NULL, 0, draw, NULL) != 0)
        return false;
    for (const mbedtls_x509_name *part = &m->issuer.subject; part != NULL; part = part->next) {
        const char *type = NULL;
        if (mbedtls_oid_get_attr_short_name(&part->oid, &type) != 0)
            return false;
        put_attribute(&name, type, slice_of(part->val.p, part->val.len));
    }
    buffer_put_u8(&name, '\0');
    mbedtls_x509write_crt_set_issuer_key(&m->writer, &m->issuer_key);
    return !name.overflow && mbedtls_x509write_crt_set_issuer_name(&m->writer, (const char *)name.data) == 0;
}

static bool write_pair(struct making *m, const struct pki_request *request, const struct pki_pair *issuer,
                       struct pki_pair *pair, const char **problem) {
    uint8_t subject_memory[SUBJECT_MAX], serial[SERIAL_BYTES];
    struct buffer subject = buffer_over(subject_memory, sizeof subject_memory);
    if (!put_subject(&subject, request, problem))
        return false;
    *problem = "a key could not be made";
    random_bytes(serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and always of the same length (RFC 5280 §4.1.2.2) */
    if (mbedtls_pk_setup(&m->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) != 0 ||
        mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(m->key), draw, NULL) != 0)
        return false;
    *problem = "the issuer's certificate or key can't be used";
    mbedtls_x509write_crt_set_subject_key(&m->writer, &m->key);
    if (!set_issuer(m, issuer, (const char *)subject.data))
        return false;
    *problem = "the certificate can't be written: its dates or names make no sense";
    mbedtls_x509write_crt_set_version(&m->writer, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&m->writer, MBEDTLS_MD_SHA256);
    const char *not_before = request->not_before == NULL ? "19700101000000" : request->not_before;
    const char *not_after = request->not_after == NULL ? "99991231235959" : request->not_after;
    if (strcmp(not_before, not_after) > 0 ||
        mbedtls_x509write_crt_set_validity(&m->writer, not_before, not_after) != 0 ||
        mbedtls_x509write_crt_set_serial_raw(&m->writer, serial, sizeof serial) != 0 ||
        mbedtls_x509write_crt_set_subject_name(&m->writer, (const char *)subject.data) != 0 ||
        !add_usage(&m->writer, request->role) || !add_hosts(&m->writer, request) ||
        mbedtls_x509write_crt_set_subject_key_identifier(&m->writer) != 0 ||
        mbedtls_x509write_crt_set_authority_key_identifier(&m->writer) != 0)
        return false;
    *problem = "the certificate would be longer than 1024 bytes: give shorter or fewer names";
    int len = mbedtls_x509write_crt_der(&m->writer, pair->certificate, sizeof pair->certificate, draw, NULL);
    if (len <= 0)
        return false;
    /* mbedtls writes at the end of the memory. */
    memmove(pair->certificate, pair->certificate + sizeof pair->certificate - len, (size_t)len);
    pair->certificate_len = (size_t)len;
    len = mbedtls_pk_write_key_der(&m->key, pair->key, sizeof pair->key);
    if (len <= 0)
        return false;
    memmove(pair->key, pair->key + sizeof pair->key - len, (size_t)len);
    pair->key_len = (size_t)len;
    return true;
}

bool pki_make(const struct pki_request *request, const struct pki_pair *issuer, struct pki_pair *pair,
              const char **problem) {
    struct making m;
    mbedtls_x509write_crt_init(&m.writer);
    mbedtls_pk_init(&m.key);
    mbedtls_pk_init(&m.issuer_key);
    mbedtls_x509_crt_init(&m.issuer);
    bool made = write_pair(&m, request, issuer, pair, problem);
    mbedtls_x509write_crt_free(&m.writer);
    mbedtls_pk_free(&m.key);
    mbedtls_pk_free(&m.issuer_key);
    mbedtls_x509_crt_free(&m.issuer);
    if (!made)
        pki_forget(pair);
    return made;
}

/* ---- forms ---- */

static bool put_pem(struct slice der, const char *begin, const char *end, struct buffer *out) {
    size_t written = 0;
    if (out->overflow || mbedtls_pem_write_buffer(begin, end, der.data, der.len, out->data + out->len,
                                                  out->cap - out->len, &written) != 0)
        return false;
    out->len += written - 1; /* without its NUL */
    return true;
}

bool pki_put_certificate_pem(struct slice der, struct buffer *out) {
    return put_pem(der, "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", out);
}

bool pki_put_key_pem(struct slice der, struct buffer *out) {
    return put_pem(der, "-----BEGIN EC PRIVATE KEY-----\n", "-----END EC PRIVATE KEY-----\n", out);
}

/* mbedtls takes PEM only with a NUL behind it. */
struct text {
    uint8_t bytes[PKI_PEM_MAX * 2 + 1];
    size_t len;
};

static bool copy_text(struct text *text, struct slice from) {
    if (from.len >= sizeof text->bytes)
        return false;
    if (from.len > 0)
        memcpy(text->bytes, from.data, from.len);
    bool is_pem = from.len > 0 && memmem(from.data, from.len, "-----BEGIN", 10) != NULL;
    text->bytes[from.len] = '\0';
    text->len = from.len + is_pem;
    return true;
}

static bool read_pair(mbedtls_x509_crt *certificate, mbedtls_pk_context *key, struct text *certificate_text,
                      struct text *key_text, struct pki_pair *pair, const char **problem) {
    *problem = "the certificate can't be read";
    if (mbedtls_x509_crt_parse(certificate, certificate_text->bytes, certificate_text->len) != 0 ||
        certificate->raw.len > sizeof pair->certificate)
        return false;
    *problem = "the key can't be read";
    if (mbedtls_pk_parse_key(key, key_text->bytes, key_text->len, NULL, 0, draw, NULL) != 0)
        return false;
    *problem = "the key is not the certificate's";
    if (mbedtls_pk_check_pair(&certificate->pk, key, draw, NULL) != 0)
        return false;
    *problem = "the key is of a kind that is not served: it must be P-256";
    int len = mbedtls_pk_write_key_der(key, pair->key, sizeof pair->key);
    if (len <= 0)
        return false;
    memmove(pair->key, pair->key + sizeof pair->key - len, (size_t)len);
    pair->key_len = (size_t)len;
    memcpy(pair->certificate, certificate->raw.p, certificate->raw.len);
    pair->certificate_len = certificate->raw.len;
    return true;
}

bool pki_read_pair(struct slice certificate, struct slice key, struct pki_pair *pair, const char **problem) {
    mbedtls_x509_crt parsed;
    mbedtls_pk_context parsed_key;
    struct text certificate_text, key_text;
    mbedtls_x509_crt_init(&parsed);
    mbedtls_pk_init(&parsed_key);
    *problem = "the file is too long for one certificate";
    bool good = copy_text(&certificate_text, certificate) && copy_text(&key_text, key) &&
                read_pair(&parsed, &parsed_key, &certificate_text, &key_text, pair, problem);
    mbedtls_platform_zeroize(&key_text, sizeof key_text);
    mbedtls_pk_free(&parsed_key);
    mbedtls_x509_crt_free(&parsed);
    if (!good)
        pki_forget(pair);
    return good;
}

static bool has_name(const mbedtls_x509_crt *certificate, int type, struct slice name) {
    for (const mbedtls_x509_sequence *part = &certificate->subject_alt_names; part != NULL; part = part->next) {
        if ((part->buf.tag & 0x1f) == type && slice_equal(slice_of(part->buf.p, part->buf.len), name))
            return true;
    }
    return false;
}

bool pki_has_hosts(struct slice certificate, const struct slice *hosts, size_t count) {
    mbedtls_x509_crt parsed;
    mbedtls_x509_crt_init(&parsed);
    bool all = mbedtls_x509_crt_parse_der(&parsed, certificate.data, certificate.len) == 0;
    for (size_t i = 0; all && i < count; i++) {
        struct address address;
        if (address_parse_ip(hosts[i], &address))
            all = has_name(&parsed, MBEDTLS_X509_SAN_IP_ADDRESS,
                           slice_of(address.ip, address.family == ADDRESS_IPV4 ? 4 : 16));
        else
            all = has_name(&parsed, MBEDTLS_X509_SAN_DNS_NAME, hosts[i]);
    }
    mbedtls_x509_crt_free(&parsed);
    return all;
}

bool pki_parse_time(struct slice text, char time[15]) {
    size_t len = 0;
    bool is_date = text.len == 10 && text.data[4] == '-' && text.data[7] == '-';
    if (!is_date && text.len != 14)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (is_date && (i == 4 || i == 7))
            continue;
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        time[len++] = (char)text.data[i];
    }
    snprintf(time + len, 15 - len, "%s", is_date ? "000000" : "");
    int month = (time[4] - '0') * 10 + time[5] - '0', day = (time[6] - '0') * 10 + time[7] - '0';
    return month >= 1 && month <= 12 && day >= 1 && day <= 31 && strncmp(time + 8, "24", 2) < 0 && time[10] < '6' &&
           time[12] < '6';
}
