#include "common/net/dtls_setup.h"

#include <ctype.h>
#include <mbedtls/asn1.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/net/cipher_suite.h"

enum {
    /* Context-specific tags of GeneralName (RFC 5280 §4.2.1.6). */
    SAN_DNS_NAME = 2,
    SAN_URI = 6,
    HANDSHAKE_TIMEOUT_MIN_MS = 1000, /* RFC 6347 §4.2.4.1; doubles to */
    HANDSHAKE_TIMEOUT_MAX_MS = 60000,
};

/* P-256 and SHA-256 and nothing else (RFC 7925 §4.4). */
static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
static const uint16_t signature_algorithms[] = {MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_NONE};
static const mbedtls_x509_crt_profile profile = {
    .allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256),
    .allowed_pks = MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECKEY) | MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECDSA),
    .allowed_curves = MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP256R1),
};

int dtls_random(void *arg, unsigned char *out, size_t len) {
    (void)arg;
    random_bytes(out, len);
    return 0;
}

/* Our own cookies have been judged before mbedtls sees a hello (cookie.h), so it takes any. */
static int write_no_cookie(void *arg, unsigned char **at, unsigned char *end, const unsigned char *id, size_t id_len) {
    (void)arg, (void)at, (void)end, (void)id, (void)id_len;
    return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int accept_cookie(void *arg, const unsigned char *cookie, size_t len, const unsigned char *id, size_t id_len) {
    (void)arg, (void)cookie, (void)len, (void)id, (void)id_len;
    return 0;
}

bool dtls_setup_init(struct dtls_setup *setup) {
    mbedtls_ssl_config *config = &setup->config;
    setup->own = NULL;
    setup->pinned = false;
    mbedtls_x509_crt_init(&setup->authorities);
    mbedtls_ssl_config_init(config);
    if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return false;
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_rng(config, dtls_random, NULL);
    mbedtls_ssl_conf_ciphersuites(config, cipher_suite_ids());
    mbedtls_ssl_conf_groups(config, groups);
    mbedtls_ssl_conf_sig_algs(config, signature_algorithms);
    mbedtls_ssl_conf_cert_profile(config, &profile);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(config, &setup->authorities, NULL);
    mbedtls_ssl_conf_cert_req_ca_list(config, MBEDTLS_SSL_CERT_REQ_CA_LIST_DISABLED);
    mbedtls_ssl_conf_dtls_cookies(config, write_no_cookie, accept_cookie, NULL);
    mbedtls_ssl_conf_handshake_timeout(config, HANDSHAKE_TIMEOUT_MIN_MS, HANDSHAKE_TIMEOUT_MAX_MS);
    /* Only with RFC 5746, and only until the first application record: record.h refuses it from then on. */
    mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_ENABLED);
    mbedtls_ssl_conf_legacy_renegotiation(config, MBEDTLS_SSL_LEGACY_NO_RENEGOTIATION);
    return true;
}

static void free_own(struct dtls_own_certificate *own) {
    mbedtls_x509_crt_free(&own->certificate);
    mbedtls_pk_free(&own->key);
    free(own);
}

void dtls_setup_free(struct dtls_setup *setup) {
    mbedtls_ssl_config_free(&setup->config);
    mbedtls_x509_crt_free(&setup->authorities);
    while (setup->own != NULL) {
        struct dtls_own_certificate *own = setup->own;
        setup->own = own->next;
        free_own(own);
    }
}

/* mbedtls tells PEM from DER by the NUL that it wants to be counted behind PEM. The caller frees the copy. */
static unsigned char *copy_of(struct slice text, size_t *len) {
    static const char begin[] = "-----BEGIN";
    unsigned char *copy = malloc(text.len + 1);
    if (copy == NULL)
        return NULL;
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *len = text.len + (memmem(copy, text.len, begin, sizeof begin - 1) != NULL);
    return copy;
}

static bool fail(const char **problem, const char *what) {
    *problem = what;
    return false;
}

static bool parse_certificates(mbedtls_x509_crt *into, struct slice text) {
    size_t len;
    unsigned char *copy = copy_of(text, &len);
    bool good = copy != NULL && mbedtls_x509_crt_parse(into, copy, len) == 0;
    free(copy);
    return good;
}

static bool parse_key(mbedtls_pk_context *key, struct slice text) {
    size_t len;
    unsigned char *copy = copy_of(text, &len);
    bool good = copy != NULL && mbedtls_pk_parse_key(key, copy, len, NULL, 0, dtls_random, NULL) == 0;
    if (copy != NULL)
        mbedtls_platform_zeroize(copy, text.len);
    free(copy);
    return good;
}

static bool is_p256(const mbedtls_pk_context *key) {
    return mbedtls_pk_get_type(key) == MBEDTLS_PK_ECKEY && mbedtls_pk_get_bitlen(key) == 256 &&
           mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(*key)) == MBEDTLS_ECP_DP_SECP256R1;
}

static bool fill(struct dtls_own_certificate *own, struct slice certificate, struct slice key, const char **problem) {
    if (!parse_certificates(&own->certificate, certificate))
        return fail(problem, "the certificate cannot be read");
    if (!parse_key(&own->key, key))
        return fail(problem, "the private key cannot be read");
    if (!is_p256(&own->key))
        return fail(problem, "the private key is not an elliptic curve key on P-256");
    if (mbedtls_pk_check_pair(&own->certificate.pk, &own->key, dtls_random, NULL) != 0)
        return fail(problem, "certificate and private key do not belong together");
    return true;
}

bool dtls_setup_add_certificate(struct dtls_setup *setup, struct slice certificate, struct slice key,
                                const char **problem) {
    struct dtls_own_certificate *own = calloc(1, sizeof *own);
    if (own == NULL)
        return fail(problem, "out of memory");
    mbedtls_x509_crt_init(&own->certificate);
    mbedtls_pk_init(&own->key);
    if (!fill(own, certificate, key, problem)) {
        free_own(own);
        return false;
    }
    struct dtls_own_certificate **last = &setup->own;
    while (*last != NULL)
        last = &(*last)->next;
    *last = own;
    if (own == setup->own && mbedtls_ssl_conf_own_cert(&setup->config, &own->certificate, &own->key) != 0)
        return fail(problem, "out of memory");
    return true;
}

/* A bundle may hold others beside it. */
static bool is_any_p256(const mbedtls_x509_crt *certificates) {
    while (certificates != NULL && !is_p256(&certificates->pk))
        certificates = certificates->next;
    return certificates != NULL;
}

bool dtls_setup_add_authority(struct dtls_setup *setup, struct slice certificates, const char **problem) {
    mbedtls_x509_crt given;
    mbedtls_x509_crt_init(&given);
    bool is_read = parse_certificates(&given, certificates), is_good = is_read && is_any_p256(&given);
    mbedtls_x509_crt_free(&given);
    if (!is_read)
        return fail(problem, "the authority's certificate cannot be read");
    if (!is_good) /* nothing that it has signed would be taken */
        return fail(problem, "the authority's key is not an elliptic curve key on P-256");
    return parse_certificates(&setup->authorities, certificates) || fail(problem, "out of memory");
}

int dtls_setup_judge_pinned(void *arg, mbedtls_x509_crt *certificate, int depth, uint32_t *flags) {
    const struct dtls_setup *setup = arg;
    const mbedtls_x509_buf *pin = &setup->authorities.raw;
    if (!setup->pinned)
        return 0;
    bool is_it = certificate->raw.len == pin->len && memcmp(certificate->raw.p, pin->p, pin->len) == 0;
    *flags = depth == 0 && !is_it ? MBEDTLS_X509_BADCERT_NOT_TRUSTED : 0;
    return 0;
}

static bool same_name(struct slice a, struct slice b) {
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (tolower(a.data[i]) != tolower(b.data[i]))
            return false;
    }
    return true;
}

/* RFC 6125 §6.4.3: a star stands for the whole leftmost label. */
static bool covers(struct slice pattern, struct slice name) {
    if (!slice_starts_with(pattern, "*."))
        return same_name(pattern, name);
    const uint8_t *dot = name.len == 0 ? NULL : memchr(name.data, '.', name.len);
    return dot != NULL && dot != name.data &&
           same_name(slice_from(pattern, 1), slice_from(name, (size_t)(dot - name.data)));
}

static struct slice slice_of_asn1(const mbedtls_asn1_buf *from) {
    return slice_of(from->p, from->len);
}

static bool is_san(const mbedtls_x509_sequence *entry, int kind) {
    return (entry->buf.tag & MBEDTLS_ASN1_TAG_CLASS_MASK) == MBEDTLS_ASN1_CONTEXT_SPECIFIC &&
           (entry->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == kind;
}

static struct slice first_san(const mbedtls_x509_crt *certificate, int kind) {
    for (const mbedtls_x509_sequence *entry = &certificate->subject_alt_names; entry != NULL; entry = entry->next) {
        if (entry->buf.p != NULL && is_san(entry, kind))
            return slice_of_asn1(&entry->buf);
    }
    return SLICE_NONE;
}

static struct slice common_name(const mbedtls_x509_crt *certificate) {
    static const uint8_t id_at_common_name[] = {0x55, 4, 3};
    struct slice wanted = slice_of(id_at_common_name, sizeof id_at_common_name);
    for (const mbedtls_x509_name *name = &certificate->subject; name != NULL; name = name->next) {
        if (name->oid.p != NULL && slice_equal(slice_of_asn1(&name->oid), wanted))
            return slice_of_asn1(&name->val);
    }
    return SLICE_NONE;
}

struct slice dtls_certificate_name(const mbedtls_x509_crt *certificate) {
    struct slice name = common_name(certificate);
    if (name.len == 0)
        name = first_san(certificate, SAN_DNS_NAME);
    return name.len > 0 ? name : first_san(certificate, SAN_URI);
}

static bool names_server(const mbedtls_x509_crt *certificate, struct slice name) {
    bool has_dns_name = false;
    for (const mbedtls_x509_sequence *entry = &certificate->subject_alt_names; entry != NULL; entry = entry->next) {
        if (entry->buf.p == NULL || !is_san(entry, SAN_DNS_NAME))
            continue;
        has_dns_name = true;
        if (covers(slice_of_asn1(&entry->buf), name))
            return true;
    }
    return !has_dns_name && covers(common_name(certificate), name); /* RFC 6125 §6.4.4 */
}

struct dtls_own_certificate *dtls_setup_find_certificate(const struct dtls_setup *setup, struct slice server_name) {
    for (struct dtls_own_certificate *own = setup->own; own != NULL; own = own->next) {
        if (names_server(&own->certificate, server_name))
            return own;
    }
    return NULL;
}
