#include "web/http_tls.h"

#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>
#include <stdlib.h>

enum { CONTENT_MAX = 16384 };

struct http_tls {
    mbedtls_ssl_config config;
    mbedtls_x509_crt certificate; /* our own, or at a client the authorities */
    mbedtls_pk_context key;
    uint8_t content[CONTENT_MAX]; /* of the record that is being read */
};

struct http_tls_session {
    struct http_tls *tls;
    http_tls_fn *send, *received;
    void *arg;
    struct slice source; /* what mbedtls may read now; it keeps what is no whole record */
    bool is_over;        /* the peer has said goodbye, or has broken the rules */
    mbedtls_ssl_context ssl;
};

static bool set_up(struct http_tls *tls, struct slice certificate, struct slice key) {
    if (psa_crypto_init() != PSA_SUCCESS ||
        mbedtls_x509_crt_parse(&tls->certificate, certificate.data, certificate.len) != 0 ||
        mbedtls_pk_parse_key(&tls->key, key.data, key.len, NULL, 0, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE) !=
            0 ||
        mbedtls_pk_check_pair(&tls->certificate.pk, &tls->key, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE) != 0 ||
        mbedtls_ssl_config_defaults(&tls->config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return false;
    mbedtls_ssl_conf_rng(&tls->config, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_authmode(&tls->config, MBEDTLS_SSL_VERIFY_NONE);
    return mbedtls_ssl_conf_own_cert(&tls->config, &tls->certificate, &tls->key) == 0;
}

struct http_tls *http_tls_new(struct slice certificate, struct slice key, const char **problem) {
    struct http_tls *tls = calloc(1, sizeof *tls);
    *problem = "out of memory";
    if (tls == NULL)
        return NULL;
    mbedtls_ssl_config_init(&tls->config);
    mbedtls_x509_crt_init(&tls->certificate);
    mbedtls_pk_init(&tls->key);
    if (set_up(tls, certificate, key))
        return tls;
    *problem = "the certificate or its key can't be used";
    http_tls_free(tls);
    return NULL;
}

static bool set_up_client(struct http_tls *tls, const char *file) {
    if (psa_crypto_init() != PSA_SUCCESS || mbedtls_x509_crt_parse_file(&tls->certificate, file) < 0 ||
        tls->certificate.version == 0 ||
        mbedtls_ssl_config_defaults(&tls->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return false;
    mbedtls_ssl_conf_rng(&tls->config, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_ca_chain(&tls->config, &tls->certificate, NULL);
    return true; /* whoever is there is verified: the default of a client */
}

struct http_tls *http_tls_new_client(const char *file, const char **problem) {
    struct http_tls *tls = calloc(1, sizeof *tls);
    *problem = "out of memory";
    if (tls == NULL)
        return NULL;
    mbedtls_ssl_config_init(&tls->config);
    mbedtls_x509_crt_init(&tls->certificate);
    mbedtls_pk_init(&tls->key);
    if (set_up_client(tls, file))
        return tls;
    *problem = "the file of authorities can't be used";
    http_tls_free(tls);
    return NULL;
}

void http_tls_free(struct http_tls *tls) {
    if (tls == NULL)
        return;
    mbedtls_ssl_config_free(&tls->config);
    mbedtls_x509_crt_free(&tls->certificate);
    mbedtls_pk_free(&tls->key);
    free(tls);
}

/* ---- sessions ---- */

static int on_recv(void *arg, unsigned char *out, size_t len) {
    struct http_tls_session *session = arg;
    size_t take = session->source.len < len ? session->source.len : len;
    if (take == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    memcpy(out, session->source.data, take);
    session->source = slice_from(session->source, take);
    return (int)take;
}

static int on_send(void *arg, const unsigned char *bytes, size_t len) {
    struct http_tls_session *session = arg;
    session->send(session->arg, slice_of(bytes, len));
    return (int)len;
}

struct http_tls_session *http_tls_session_new(struct http_tls *tls, http_tls_fn *send, http_tls_fn *received,
                                              void *arg) {
    struct http_tls_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    *session = (struct http_tls_session){.tls = tls, .send = send, .received = received, .arg = arg};
    mbedtls_ssl_init(&session->ssl);
    mbedtls_ssl_set_bio(&session->ssl, session, on_send, on_recv, NULL);
    if (mbedtls_ssl_setup(&session->ssl, &tls->config) == 0)
        return session;
    http_tls_session_free(session);
    return NULL;
}

struct http_tls_session *http_tls_session_new_client(struct http_tls *tls, const char *host, http_tls_fn *send,
                                                     http_tls_fn *received, void *arg) {
    struct http_tls_session *session = http_tls_session_new(tls, send, received, arg);
    if (session == NULL || mbedtls_ssl_set_hostname(&session->ssl, host) == 0)
        return session;
    http_tls_session_free(session);
    return NULL;
}

void http_tls_session_free(struct http_tls_session *session) {
    if (session == NULL)
        return;
    mbedtls_ssl_free(&session->ssl);
    free(session);
}

bool http_tls_is_ready(const struct http_tls_session *session) {
    return mbedtls_ssl_is_handshake_over((mbedtls_ssl_context *)(uintptr_t)&session->ssl) != 0;
}

/* What mbedtls says when it needs more bytes. */
static bool waits(int result) {
    return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
}

const char *http_tls_problem(const struct http_tls_session *session) {
    static const struct {
        uint32_t flag;
        const char *words;
    } problems[] = {
        {MBEDTLS_X509_BADCERT_EXPIRED, "its certificate has expired"},
        {MBEDTLS_X509_BADCERT_FUTURE, "its certificate is not good yet"},
        {MBEDTLS_X509_BADCERT_CN_MISMATCH, "its certificate names another host"},
        {MBEDTLS_X509_BADCERT_NOT_TRUSTED, "its certificate is of no authority that is trusted"},
    };
    uint32_t flags = mbedtls_ssl_get_verify_result(&session->ssl);
    for (size_t i = 0; flags != UINT32_MAX && i < sizeof problems / sizeof problems[0]; i++) {
        if ((flags & problems[i].flag) != 0)
            return problems[i].words;
    }
    return "the TLS handshake has failed";
}

static int step(struct http_tls_session *session) {
    struct http_tls *tls = session->tls;
    if (!http_tls_is_ready(session)) {
        int result = mbedtls_ssl_handshake(&session->ssl);
        return result == 0 ? 1 : result;
    }
    int len = mbedtls_ssl_read(&session->ssl, tls->content, sizeof tls->content);
    if (len > 0)
        session->received(session->arg, slice_of(tls->content, (size_t)len));
    if (len == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
        return 1;
    return len;
}

bool http_tls_feed(struct http_tls_session *session, struct slice bytes) {
    int result = 1;
    session->source = bytes;
    while (result > 0 && !session->is_over)
        result = step(session);
    session->source = SLICE_NONE;
    if (result > 0 || waits(result))
        return true;
    session->is_over = true;
    return result == 0 || result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY;
}

void http_tls_send(struct http_tls_session *session, struct slice content) {
    while (content.len > 0) {
        int written = http_tls_is_ready(session) ? mbedtls_ssl_write(&session->ssl, content.data, content.len) : -1;
        if (written <= 0)
            return; /* the session is broken, and its connection ends */
        content = slice_from(content, (size_t)written);
    }
}

void http_tls_end(struct http_tls_session *session) {
    if (http_tls_is_ready(session))
        mbedtls_ssl_close_notify(&session->ssl);
}
