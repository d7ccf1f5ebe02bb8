#include "common/net/proof.h"

#include <stdlib.h>

#include <mbedtls/ecp.h>
#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/rsa.h>
#include <mbedtls/sha256.h>

#include "common/base/random.h"

enum {
    TICKET_NAME = 4,
    TICKET_NONCE = 12,
    TICKET_TAG = 16,
};

/* ---- questions from the pool ---- */

struct proof_question {
    struct proof_question *next;
    void (*ask)(struct proof_question *question);
    struct proof *proof;
    uv_sem_t answered;
    /* What is asked and answered. */
    struct slice about;
    struct buffer *into;
    const struct dtls_peer_certificate *certificate;
    int result;
};

static void on_questions(uv_async_t *async) {
    struct proof_engine *engine = async->data;
    uv_mutex_lock(&engine->lock);
    struct proof_question *question = engine->questions;
    engine->questions = NULL;
    uv_mutex_unlock(&engine->lock);
    while (question != NULL) {
        struct proof_question *next = question->next; /* it lives on the stack of who waits */
        question->ask(question);
        uv_sem_post(&question->answered);
        question = next;
    }
}

/* Ask on the loop's thread and wait for the answer. */
static void ask(struct proof *proof, struct proof_question *question) {
    struct proof_engine *engine = proof->engine;
    question->proof = proof;
    if (!proof->on_pool) {
        question->ask(question);
        return;
    }
    if (uv_sem_init(&question->answered, 0) != 0)
        abort();
    uv_mutex_lock(&engine->lock);
    question->next = engine->questions;
    engine->questions = question;
    uv_mutex_unlock(&engine->lock);
    uv_async_send(&engine->async);
    uv_sem_wait(&question->answered);
    uv_sem_destroy(&question->answered);
}

/* ---- steps on the pool ---- */

static void on_work(uv_work_t *work) {
    struct proof_step *step = work->data;
    step->run(step->arg);
}

static void on_worked(uv_work_t *work, int status);

static void run_waiting(struct proof_engine *engine) {
    struct proof_step *step;
    while (engine->running < engine->at_once && (step = STAILQ_FIRST(&engine->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&engine->waiting, entry);
        engine->running++;
        if (uv_queue_work(engine->loop, &step->work, on_work, on_worked) != 0)
            abort(); /* only for arguments that are wrong */
    }
}

static void on_worked(uv_work_t *work, int status) {
    struct proof_step *step = work->data;
    (void)status; /* never cancelled */
    step->engine->running--;
    step->engine->busy--;
    run_waiting(step->engine);
    step->done(step->arg);
}

void proof_engine_run(struct proof_engine *engine, struct proof_step *step) {
    step->engine = engine;
    step->work.data = step;
    engine->busy++;
    STAILQ_INSERT_TAIL(&engine->waiting, step, entry);
    run_waiting(engine);
}

int proof_engine_init(struct proof_engine *engine) {
    engine->at_once = uv_available_parallelism();
    STAILQ_INIT(&engine->waiting);
    random_bytes(engine->ticket_key, sizeof engine->ticket_key);
    int error = uv_mutex_init(&engine->lock);
    if (error != 0)
        return error;
    error = uv_async_init(engine->loop, &engine->async, on_questions);
    if (error != 0) {
        uv_mutex_destroy(&engine->lock);
        return error;
    }
    engine->async.data = engine;
    uv_unref((uv_handle_t *)&engine->async);
    return 0;
}

/* ---- who the client is ---- */

static void set_identity(struct proof *proof, enum link_security security, struct slice name) {
    size_t len = name.len < sizeof proof->name ? name.len : sizeof proof->name;
    if (len > 0)
        memmove(proof->name, name.data, len);
    proof->identity = (struct link_identity){.security = security, .name = slice_of(proof->name, len)};
}

static void ask_psk(struct proof_question *question) {
    struct proof_engine *engine = question->proof->engine;
    question->result =
        !engine->closing && engine->host.psk(engine->arg, question->proof, question->about, question->into);
}

static int on_psk(void *arg, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t len) {
    struct proof *proof = arg;
    bool is_tls13 = ssl->MBEDTLS_PRIVATE(tls_version) == MBEDTLS_SSL_VERSION_TLS1_3;
    struct slice name = slice_of(identity, len);
    struct buffer key = buffer_over(proof->psk, sizeof proof->psk);
    if (is_tls13 && len > DTLS_IDENTITY_MAX) /* a ticket that does not open any more: certificates come next */
        return -1;
    proof->resumed = false;
    set_identity(proof, LINK_PSK, name);
    struct proof_question question = {.ask = ask_psk, .about = name, .into = &key};
    if (len <= DTLS_IDENTITY_MAX)
        ask(proof, &question);
    bool known = question.result != 0 && !key.overflow && key.len > 0;
    if (!known) {
        proof->fault = DTLS_FAULT_UNKNOWN_IDENTITY;
        /* With TLS 1.3 there may be other identities, or a certificate. */
        if (!proof->engine->hide_unknown_identities || is_tls13)
            return -1;
        random_bytes(proof->psk, 16);
        key.len = 16;
    }
    if (is_tls13) /* 48 bytes at most */
        return mbedtls_ssl_set_hs_psk(ssl, proof->psk, key.len);
    /* Not so here: RFC 7925 §4.2 wants 64. The configuration is this handshake's own. */
    proof->config.MBEDTLS_PRIVATE(psk) = proof->psk;
    proof->config.MBEDTLS_PRIVATE(psk_len) = key.len;
    return 0;
}

static void ask_certificate(struct proof_question *question) {
    struct proof_engine *engine = question->proof->engine;
    question->result = engine->closing ? MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED
                                       : engine->host.certificate(engine->arg, question->proof, question->certificate);
}

/* What makes mbedtls send this alert. */
static uint32_t flags_of_alert(int alert) {
    switch (alert) {
    case MBEDTLS_SSL_ALERT_MSG_BAD_CERT:
        return MBEDTLS_X509_BADCERT_CN_MISMATCH;
    case MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT:
        return MBEDTLS_X509_BADCERT_KEY_USAGE;
    case MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED:
        return MBEDTLS_X509_BADCERT_REVOKED;
    case MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED:
        return MBEDTLS_X509_BADCERT_EXPIRED;
    case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA:
        return MBEDTLS_X509_BADCERT_NOT_TRUSTED;
    case MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN:
        return MBEDTLS_X509_BADCERT_MISSING;
    default:
        return MBEDTLS_X509_BADCERT_OTHER; /* access_denied */
    }
}

/* Called for each certificate of the chain, the leaf last. */
static int on_certificate(void *arg, mbedtls_x509_crt *certificate, int depth, uint32_t *flags) {
    enum { DATES = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE };
    struct proof *proof = arg;
    proof->chain_flags |= *flags;
    *flags = 0;
    if (depth > 0)
        return 0;
    proof->resumed = false;
    set_identity(proof, LINK_X509, dtls_certificate_name(certificate));
    if (mbedtls_sha256(certificate->raw.p, certificate->raw.len, proof->identity.fingerprint, 0) != 0)
        return MBEDTLS_ERR_X509_FATAL_ERROR;
    proof->chain_trusted = (proof->chain_flags & ~(uint32_t)DATES) == 0;
    struct dtls_peer_certificate shown = {
        .der = slice_of(certificate->raw.p, certificate->raw.len),
        .identity = &proof->identity,
        .chain_trusted = proof->chain_trusted,
        .dates_good = proof->engine->ignore_dates || (proof->chain_flags & DATES) == 0,
    };
    struct proof_question question = {.ask = ask_certificate, .certificate = &shown};
    ask(proof, &question);
    proof->chain_flags = 0; /* for a renegotiation */
    if (question.result != 0) {
        proof->fault = DTLS_FAULT_CERTIFICATE_REFUSED;
        *flags = flags_of_alert(question.result);
    }
    return 0;
}

static int on_server_name(void *arg, mbedtls_ssl_context *ssl, const unsigned char *name, size_t len) {
    struct proof *proof = arg;
    struct dtls_own_certificate *own = dtls_setup_find_certificate(proof->engine->setup, slice_of(name, len));
    if (own == NULL)
        return 0; /* the default; also for an IP address literal, which some clients send though they should not */
    return proof->set_certificate(ssl, &own->certificate, &own->key);
}

/* ---- resumption: mbedtls' session with the identity that goes with it ---- */

enum { RESUME_FORMAT = 2 };

/* format(1) listener(4) expires(8) security(1) chain trusted(1) fingerprint(32) name length(1) name, then mbedtls' own. */
static bool write_resumption(const struct proof *proof, const mbedtls_ssl_session *session, struct buffer *out) {
    mbedtls_ssl_session bare = *session;
    size_t len = 0;
    /* The identity says what the certificate said, in a tenth of its size. */
    bare.MBEDTLS_PRIVATE(peer_cert) = NULL;
    uint64_t expires_ms = proof->now_ms + proof->engine->resume_ms;
    buffer_put_u8(out, RESUME_FORMAT);
    buffer_put_u32(out, proof->listener->number);
    buffer_put_u32(out, (uint32_t)(expires_ms >> 32));
    buffer_put_u32(out, (uint32_t)expires_ms);
    buffer_put_u8(out, (uint8_t)proof->identity.security);
    buffer_put_u8(out, proof->chain_trusted);
    buffer_put(out, proof->identity.fingerprint, sizeof proof->identity.fingerprint);
    buffer_put_u8(out, (uint8_t)proof->identity.name.len);
    buffer_put_slice(out, proof->identity.name);
    if (out->overflow || mbedtls_ssl_session_save(&bare, out->data + out->len, out->cap - out->len, &len) != 0)
        return false;
    out->len += len;
    return true;
}

static void ask_permitted(struct proof_question *question) {
    struct proof_engine *engine = question->proof->engine;
    question->result = !engine->closing && engine->host.permitted(engine->arg, question->proof);
}

static bool read_resumption(struct proof *proof, struct slice secret, mbedtls_ssl_session *session) {
    enum { FIXED = 1 + 4 + 8 + 1 + 1 + 32 + 1 };
    const uint8_t *at = secret.data;
    if (secret.len < FIXED || at[0] != RESUME_FORMAT || secret.len < FIXED + (size_t)at[FIXED - 1])
        return false;
    uint64_t listener = slice_number(slice_of(at + 1, 4)), expires_ms = slice_number(slice_of(at + 5, 8));
    struct slice name = slice_of(at + FIXED, at[FIXED - 1]), saved = slice_from(secret, FIXED + name.len);
    if (listener != proof->listener->number || expires_ms <= proof->now_ms || name.len > sizeof proof->name ||
        mbedtls_ssl_session_load(session, saved.data, saved.len) != 0)
        return false;
    set_identity(proof, (enum link_security)at[13], name);
    proof->chain_trusted = at[14] != 0;
    memcpy(proof->identity.fingerprint, at + 15, sizeof proof->identity.fingerprint);
    struct proof_question question = {.ask = ask_permitted};
    ask(proof, &question);
    proof->resumed = question.result != 0;
    if (!proof->resumed)
        proof->identity = (struct link_identity){.security = LINK_NO_SECURITY};
    return proof->resumed;
}

static void ask_resume_put(struct proof_question *question) {
    struct proof_engine *engine = question->proof->engine;
    if (!engine->closing)
        engine->host.resume_put(engine->arg, question->proof, question->about, buffer_slice(question->into));
}

static void ask_resume_get(struct proof_question *question) {
    struct proof_engine *engine = question->proof->engine;
    question->result =
        !engine->closing && engine->host.resume_get(engine->arg, question->proof, question->about, question->into);
}

static int on_cache_set(void *arg, const unsigned char *id, size_t id_len, const mbedtls_ssl_session *session) {
    struct proof *proof = arg;
    uint8_t bytes[DTLS_RESUME_SECRET_MAX];
    struct buffer secret = buffer_over(bytes, sizeof bytes);
    struct proof_question question = {.ask = ask_resume_put, .about = slice_of(id, id_len), .into = &secret};
    bool good = write_resumption(proof, session, &secret);
    if (good)
        ask(proof, &question);
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    return good ? 0 : MBEDTLS_ERR_SSL_ALLOC_FAILED;
}

static int on_cache_get(void *arg, const unsigned char *id, size_t id_len, mbedtls_ssl_session *session) {
    struct proof *proof = arg;
    uint8_t bytes[DTLS_RESUME_SECRET_MAX];
    struct buffer secret = buffer_over(bytes, sizeof bytes);
    struct proof_question question = {.ask = ask_resume_get, .about = slice_of(id, id_len), .into = &secret};
    ask(proof, &question);
    bool good = question.result != 0 && !secret.overflow && read_resumption(proof, buffer_slice(&secret), session);
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    return good ? 0 : MBEDTLS_ERR_SSL_CACHE_ENTRY_NOT_FOUND;
}

/* RFC 5077 §4: key name, nonce, sealed resumption, tag. */
static int on_ticket_write(void *arg, const mbedtls_ssl_session *session, unsigned char *start,
                           const unsigned char *end, size_t *len, uint32_t *lifetime_s) {
    static const uint8_t name[TICKET_NAME] = {'b', 'r', 't', RESUME_FORMAT};
    struct proof *proof = arg;
    size_t room = (size_t)(end - start);
    if (room < TICKET_NAME + TICKET_NONCE + TICKET_TAG)
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    uint8_t *nonce = start + TICKET_NAME, *text = nonce + TICKET_NONCE;
    struct buffer secret = buffer_over(text, room - TICKET_NAME - TICKET_NONCE - TICKET_TAG);
    if (!write_resumption(proof, session, &secret))
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    memcpy(start, name, sizeof name);
    random_bytes(nonce, TICKET_NONCE);
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    int error = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, proof->engine->ticket_key, 256);
    if (error == 0)
        error = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, secret.len, nonce, TICKET_NONCE, name, sizeof name,
                                          text, text, TICKET_TAG, text + secret.len);
    mbedtls_gcm_free(&gcm);
    *len = TICKET_NAME + TICKET_NONCE + secret.len + TICKET_TAG;
    *lifetime_s = (uint32_t)(proof->engine->resume_ms / 1000);
    return error;
}

static int on_ticket_parse(void *arg, mbedtls_ssl_session *session, unsigned char *ticket, size_t len) {
    struct proof *proof = arg;
    if (len < TICKET_NAME + TICKET_NONCE + TICKET_TAG)
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    const uint8_t *nonce = ticket + TICKET_NAME;
    uint8_t *text = ticket + TICKET_NAME + TICKET_NONCE;
    size_t text_len = len - TICKET_NAME - TICKET_NONCE - TICKET_TAG;
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    int error = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, proof->engine->ticket_key, 256);
    if (error == 0)
        error = mbedtls_gcm_auth_decrypt(&gcm, text_len, nonce, TICKET_NONCE, ticket, TICKET_NAME, text + text_len,
                                         TICKET_TAG, text, text);
    mbedtls_gcm_free(&gcm);
    if (error != 0)
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    bool good = read_resumption(proof, slice_of(text, text_len), session);
    mbedtls_platform_zeroize(text, text_len);
    return good ? 0 : MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
}

/* ---- a handshake ---- */

void proof_begin(struct proof *proof, proof_set_certificate_fn *set_certificate, bool session_ids, bool tickets) {
    const struct proof_engine *engine = proof->engine;
    proof->set_certificate = set_certificate;
    proof->config = engine->setup->config;
    if (engine->host.psk != NULL)
        mbedtls_ssl_conf_psk_cb(&proof->config, on_psk, proof);
    mbedtls_ssl_conf_verify(&proof->config, on_certificate, proof);
    mbedtls_ssl_conf_sni(&proof->config, on_server_name, proof);
    if (session_ids && engine->host.resume_get != NULL)
        mbedtls_ssl_conf_session_cache(&proof->config, proof, on_cache_get, on_cache_set);
    if (tickets)
        mbedtls_ssl_conf_session_tickets_cb(&proof->config, on_ticket_write, on_ticket_parse, proof);
    else
        mbedtls_ssl_conf_session_tickets(&proof->config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
}

enum dtls_fault proof_fault_of(const struct proof *proof, int error) {
    switch (error) {
    case MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY:
        return DTLS_FAULT_UNKNOWN_IDENTITY;
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
        return DTLS_FAULT_NO_CERTIFICATE;
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
    case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
        return DTLS_FAULT_CERTIFICATE_REFUSED;
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE: /* all that is left of it with TLS 1.3 */
        return proof->fault == DTLS_FAULT_UNKNOWN_IDENTITY ? proof->fault : DTLS_FAULT_NO_COMMON_PARAMETERS;
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
    case MBEDTLS_ERR_SSL_UNSUPPORTED_EXTENSION:
        return DTLS_FAULT_NO_COMMON_PARAMETERS;
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        return DTLS_FAULT_ALERT;
    case MBEDTLS_ERR_SSL_INVALID_MAC:
        return DTLS_FAULT_WRONG_KEY;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
    case MBEDTLS_ERR_SSL_INTERNAL_ERROR:
        return DTLS_FAULT_INTERNAL;
    default:
        return DTLS_FAULT_PROTOCOL;
    }
}

int proof_alert_of(int error) {
    switch (error) {
    case MBEDTLS_ERR_SSL_TIMEOUT:
    case MBEDTLS_ERR_SSL_CONN_EOF:
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
    case MBEDTLS_ERR_SSL_INVALID_MAC: /* RFC 6347 §4.1.2.7 */
        return -1;
    case MBEDTLS_ERR_SSL_DECODE_ERROR:
        return MBEDTLS_SSL_ALERT_MSG_DECODE_ERROR;
    case MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER:
        return MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER;
    case MBEDTLS_ERR_ECP_VERIFY_FAILED: /* the CertificateVerify: its key is not the certificate's */
    case MBEDTLS_ERR_RSA_VERIFY_FAILED:
    case MBEDTLS_ERR_PK_SIG_LEN_MISMATCH:
        return MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
    case MBEDTLS_ERR_SSL_INTERNAL_ERROR:
        return MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR;
    default:
        return MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE;
    }
}

bool proof_is_another(const struct proof *proof, const struct link_identity *identity) {
    const struct link_identity *is = &proof->identity;
    return identity->security != is->security || !slice_equal(identity->name, is->name) ||
           memcmp(identity->fingerprint, is->fingerprint, sizeof is->fingerprint) != 0;
}

static bool is_zero(const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

bool proof_identity_is(const struct link_identity *identity, const void *wanted) {
    const struct link_identity *other = wanted;
    if (identity->security != other->security)
        return false;
    if (other->security == LINK_X509 && !is_zero(other->fingerprint, sizeof other->fingerprint))
        return memcmp(identity->fingerprint, other->fingerprint, sizeof other->fingerprint) == 0;
    return slice_equal(identity->name, other->name);
}
