#include "common/net/dtls_handshake.h"

#include <errno.h>
#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>

#include "common/base/random.h"

enum {
    QUEUE_RECORDS = 24, /* that wait; a flight with certificates in pieces of 256 bytes has fewer */
    QUEUE_BYTES = 24 << 10,
    ROUNDS_WITHOUT_PROGRESS = 2,
    PLAINTEXT_ALERT = RECORD_HEADER + 2,
    TICKET_NAME = 4,
    TICKET_NONCE = 12,
    TICKET_TAG = 16,
};

/* ---- questions from the pool ---- */

struct handshake_question {
    struct handshake_question *next;
    void (*ask)(struct handshake_question *question);
    struct handshake *hs;
    uv_sem_t answered;
    /* What is asked and answered. */
    struct slice about;
    struct buffer *into;
    const struct dtls_peer_certificate *certificate;
    int result;
};

static void on_questions(uv_async_t *async) {
    struct handshake_engine *engine = async->data;
    uv_mutex_lock(&engine->lock);
    struct handshake_question *question = engine->questions;
    engine->questions = NULL;
    uv_mutex_unlock(&engine->lock);
    while (question != NULL) {
        struct handshake_question *next = question->next; /* it lives on the stack of who waits */
        question->ask(question);
        uv_sem_post(&question->answered);
        question = next;
    }
}

/* Ask on the loop's thread and wait for the answer. */
static void ask(struct handshake *hs, struct handshake_question *question) {
    struct handshake_engine *engine = hs->engine;
    question->hs = hs;
    if (!hs->on_pool) {
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

int handshake_engine_init(struct handshake_engine *engine) {
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

/* ---- records that wait ---- */

static void free_queue(struct handshake_queue *queue) {
    while (queue->first != NULL) {
        struct handshake_record *record = queue->first;
        queue->first = record->next;
        free(record);
    }
    queue->count = queue->bytes = 0;
}

static void enqueue(struct handshake_queue *queue, const struct address *from, struct slice bytes) {
    if (queue->count == QUEUE_RECORDS || queue->bytes + bytes.len > QUEUE_BYTES)
        return;
    struct handshake_record *record = malloc(sizeof *record + bytes.len);
    if (record == NULL)
        return;
    record->next = NULL;
    record->from = *from;
    record->len = bytes.len;
    memcpy(record->bytes, bytes.data, bytes.len);
    struct handshake_record **last = &queue->first;
    while (*last != NULL)
        last = &(*last)->next;
    *last = record;
    queue->count++;
    queue->bytes += bytes.len;
}

static struct handshake_record *unlink_record(struct handshake_queue *queue, struct handshake_record **at) {
    struct handshake_record *record = *at;
    *at = record->next;
    queue->count--;
    queue->bytes -= record->len;
    return record;
}

void handshake_hold(struct handshake *hs, const struct address *from, struct slice record) {
    enqueue(hs->busy ? &hs->inbox : &hs->records, from, record);
}

/* ---- what mbedtls asks: bytes and time ---- */

static uint16_t epoch_of(const struct handshake_record *record) {
    return (uint16_t)(record->bytes[3] << 8 | record->bytes[4]);
}

enum early { EARLY_FORGED, EARLY_FINISHED, EARLY_LATER };

/* What a record of the client's new epoch is while its Finished is awaited, tried on a copy. What is authentic and no
 * handshake message came before its turn (RFC 6347 §4.2.4). CBC is mbedtls' to judge. */
static enum early judge_early(struct handshake *hs, const struct handshake_record *record) {
    if (record->bytes[0] == RECORD_APPLICATION_DATA)
        return EARLY_LATER;
    if (hs->suite == NULL || hs->suite->aead == RECORD_CBC)
        return EARLY_FINISHED;
    struct dtls_keys keys = hs->keys;
    struct record opened;
    size_t used;
    uint8_t *copy = malloc(record->len);
    if (copy == NULL)
        return EARLY_LATER;
    memcpy(copy, record->bytes, record->len);
    keys.epoch = epoch_of(record);
    keys.cid_len = record->bytes[0] == RECORD_TLS12_CID ? hs->cid_len : 0;
    memcpy(keys.cid, hs->cid, sizeof keys.cid);
    keys.draft = hs->layer->draft;
    enum early early = EARLY_FORGED;
    if (record_open(&keys, copy, record->len, &opened, &used) == RECORD_CONTENT)
        early = opened.type == RECORD_APPLICATION_DATA ? EARLY_LATER : EARLY_FINISHED;
    mbedtls_platform_zeroize(copy, record->len);
    free(copy);
    mbedtls_platform_zeroize(&keys, sizeof keys);
    return early;
}

static void note_alert(struct handshake *hs, const struct handshake_record *record) {
    if (record->bytes[0] == RECORD_ALERT && epoch_of(record) == 0 && record->len >= PLAINTEXT_ALERT &&
        record->bytes[RECORD_HEADER] == MBEDTLS_SSL_ALERT_LEVEL_FATAL)
        hs->alert_received = record->bytes[RECORD_HEADER + 1];
}

/* The next record that mbedtls may see: none of a coming epoch, and none that does not verify. */
static struct handshake_record *next_record(struct handshake *hs) {
    uint16_t now = hs->ssl.MBEDTLS_PRIVATE(in_epoch);
    bool awaits_finished = now > 0 && hs->ssl.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_CLIENT_FINISHED;
    for (struct handshake_record **at = &hs->records.first; *at != NULL;) {
        uint16_t epoch = epoch_of(*at);
        enum early early = epoch == now + 1 ? EARLY_LATER : epoch == now ? EARLY_FINISHED : EARLY_FORGED;
        if (epoch == now && awaits_finished)
            early = judge_early(hs, *at);
        if (early == EARLY_LATER) {
            at = &(*at)->next;
            continue;
        }
        struct handshake_record *record = unlink_record(&hs->records, at);
        if (early == EARLY_FINISHED)
            return record;
        hs->bad_finished += epoch == now;
        free(record);
    }
    return NULL;
}

static int on_recv(void *arg, unsigned char *out, size_t len) {
    struct handshake *hs = arg;
    struct handshake_record *record = next_record(hs);
    if (record == NULL)
        return MBEDTLS_ERR_SSL_WANT_READ;
    size_t taken = record->len <= len ? record->len : 0;
    memcpy(out, record->bytes, taken);
    hs->current_from = record->from;
    hs->current_len = (uint32_t)record->len;
    note_alert(hs, record);
    free(record);
    return taken > 0 ? (int)taken : MBEDTLS_ERR_SSL_WANT_READ;
}

/* A plaintext alert that says a record did not verify: a Finished of a CBC suite. Nobody is told (RFC 6347 §4.1.2.7). */
static bool is_to_be_kept_quiet(const unsigned char *bytes, size_t len) {
    return len == PLAINTEXT_ALERT && bytes[0] == RECORD_ALERT && bytes[3] == 0 && bytes[4] == 0 &&
           bytes[RECORD_HEADER + 1] == MBEDTLS_SSL_ALERT_MSG_BAD_RECORD_MAC;
}

static int on_send(void *arg, const unsigned char *bytes, size_t len) {
    struct handshake *hs = arg;
    if (is_to_be_kept_quiet(bytes, len))
        return (int)len;
    if (len == PLAINTEXT_ALERT && bytes[0] == RECORD_ALERT && bytes[4] == 0)
        hs->alert_sent = bytes[RECORD_HEADER + 1];
    if (len > UINT16_MAX || hs->out_len + 2 + len > sizeof hs->out)
        return (int)len; /* as if lost on the way */
    hs->out[hs->out_len] = (uint8_t)(len >> 8);
    hs->out[hs->out_len + 1] = (uint8_t)len;
    memcpy(hs->out + hs->out_len + 2, bytes, len);
    hs->out_len += 2 + len;
    return (int)len;
}

static void on_set_timer(void *arg, uint32_t intermediate_ms, uint32_t final_ms) {
    struct handshake *hs = arg;
    hs->timer_is_set = final_ms != 0;
    hs->intermediate_ms = hs->now_ms + intermediate_ms;
    hs->final_ms = hs->now_ms + final_ms;
}

static int on_get_timer(void *arg) {
    const struct handshake *hs = arg;
    if (!hs->timer_is_set)
        return -1;
    if (hs->now_ms >= hs->final_ms)
        return 2;
    return hs->now_ms >= hs->intermediate_ms ? 1 : 0;
}

/* ---- what mbedtls asks: who the client is ---- */

static void set_identity(struct handshake *hs, enum link_security security, struct slice name) {
    size_t len = name.len < sizeof hs->name ? name.len : sizeof hs->name;
    if (len > 0)
        memmove(hs->name, name.data, len);
    hs->identity = (struct link_identity){.security = security, .name = slice_of(hs->name, len)};
}

static void ask_psk(struct handshake_question *question) {
    struct handshake_engine *engine = question->hs->engine;
    question->result = !engine->closing && engine->host.psk(engine->arg, question->hs, question->about, question->into);
}

static int on_psk(void *arg, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t len) {
    struct handshake *hs = arg;
    (void)ssl;
    struct slice name = slice_of(identity, len);
    struct buffer key = buffer_over(hs->psk, sizeof hs->psk);
    hs->resumed = false;
    set_identity(hs, LINK_PSK, name);
    struct handshake_question question = {.ask = ask_psk, .about = name, .into = &key};
    if (len <= DTLS_IDENTITY_MAX)
        ask(hs, &question);
    bool known = question.result != 0 && !key.overflow && key.len > 0;
    if (!known) {
        hs->fault = DTLS_FAULT_UNKNOWN_IDENTITY;
        if (!hs->engine->params->hide_unknown_identities)
            return -1;
        random_bytes(hs->psk, 16);
        key.len = 16;
    }
    /* Not by mbedtls_ssl_set_hs_psk: it takes no more than 48 bytes, and RFC 7925 §4.2 wants 64. The configuration is this
     * handshake's own. */
    hs->config.MBEDTLS_PRIVATE(psk) = hs->psk;
    hs->config.MBEDTLS_PRIVATE(psk_len) = key.len;
    return 0;
}

static void ask_certificate(struct handshake_question *question) {
    struct handshake_engine *engine = question->hs->engine;
    question->result = engine->closing ? MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED
                                       : engine->host.certificate(engine->arg, question->hs, question->certificate);
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
    struct handshake *hs = arg;
    hs->chain_flags |= *flags;
    *flags = 0;
    if (depth > 0)
        return 0;
    hs->resumed = false;
    set_identity(hs, LINK_X509, dtls_certificate_name(certificate));
    if (mbedtls_sha256(certificate->raw.p, certificate->raw.len, hs->identity.fingerprint, 0) != 0)
        return MBEDTLS_ERR_X509_FATAL_ERROR;
    struct dtls_peer_certificate shown = {
        .der = slice_of(certificate->raw.p, certificate->raw.len),
        .identity = &hs->identity,
        .chain_trusted = (hs->chain_flags & ~(uint32_t)DATES) == 0,
        .dates_good = hs->engine->params->ignore_dates || (hs->chain_flags & DATES) == 0,
    };
    struct handshake_question question = {.ask = ask_certificate, .certificate = &shown};
    ask(hs, &question);
    hs->chain_flags = 0; /* for a renegotiation */
    if (question.result != 0) {
        hs->fault = DTLS_FAULT_CERTIFICATE_REFUSED;
        *flags = flags_of_alert(question.result);
    }
    return 0;
}

static int on_server_name(void *arg, mbedtls_ssl_context *ssl, const unsigned char *name, size_t len) {
    struct handshake *hs = arg;
    struct dtls_own_certificate *own = dtls_setup_find_certificate(hs->engine->setup, slice_of(name, len));
    if (own == NULL)
        return 0; /* the default; also for an IP address literal, which some clients send though they should not */
    return hs->layer->set_hs_own_cert(ssl, &own->certificate, &own->key);
}

static void on_keys(void *arg, mbedtls_ssl_key_export_type type, const unsigned char *secret, size_t len,
                    const unsigned char client_random[32], const unsigned char server_random[32],
                    mbedtls_tls_prf_types prf) {
    struct handshake *hs = arg;
    (void)prf;
    if (type != MBEDTLS_SSL_KEY_EXPORT_TLS12_MASTER_SECRET || len != sizeof hs->master)
        return;
    const mbedtls_ssl_session *session = hs->ssl.MBEDTLS_PRIVATE(session_negotiate);
    memcpy(hs->master, secret, sizeof hs->master);
    memcpy(hs->client_random, client_random, 32);
    memcpy(hs->server_random, server_random, 32);
    hs->suite = cipher_suite_find((uint16_t)session->MBEDTLS_PRIVATE(ciphersuite));
    hs->exports++;
    if (hs->suite != NULL && hs->suite->aead != RECORD_CBC)
        record_expand_keys(&hs->keys, hs->suite, hs->master, client_random, server_random, true);
}

/* ---- resumption: mbedtls' session with the identity that goes with it ---- */

enum { RESUME_FORMAT = 1 };

/* format(1) listener(4) expires(8) security(1) fingerprint(32) name length(1) name, then mbedtls' own. */
static bool write_resumption(const struct handshake *hs, const mbedtls_ssl_session *session, struct buffer *out) {
    mbedtls_ssl_session bare = *session;
    size_t len = 0;
    /* The identity says what the certificate said, in a tenth of its size. */
    bare.MBEDTLS_PRIVATE(peer_cert) = NULL;
    uint64_t expires_ms = hs->now_ms + hs->engine->params->resume_ms;
    buffer_put_u8(out, RESUME_FORMAT);
    buffer_put_u32(out, hs->listener->number);
    buffer_put_u32(out, (uint32_t)(expires_ms >> 32));
    buffer_put_u32(out, (uint32_t)expires_ms);
    buffer_put_u8(out, (uint8_t)hs->identity.security);
    buffer_put(out, hs->identity.fingerprint, sizeof hs->identity.fingerprint);
    buffer_put_u8(out, (uint8_t)hs->identity.name.len);
    buffer_put_slice(out, hs->identity.name);
    if (out->overflow || mbedtls_ssl_session_save(&bare, out->data + out->len, out->cap - out->len, &len) != 0)
        return false;
    out->len += len;
    return true;
}

static void ask_permitted(struct handshake_question *question) {
    struct handshake_engine *engine = question->hs->engine;
    question->result = !engine->closing && engine->host.permitted(engine->arg, question->hs);
}

static bool read_resumption(struct handshake *hs, struct slice secret, mbedtls_ssl_session *session) {
    enum { FIXED = 1 + 4 + 8 + 1 + 32 + 1 };
    const uint8_t *at = secret.data;
    if (secret.len < FIXED || at[0] != RESUME_FORMAT || secret.len < FIXED + (size_t)at[FIXED - 1])
        return false;
    uint64_t expires_ms = 0;
    uint32_t listener = (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 8 | at[4];
    for (size_t i = 5; i < 13; i++)
        expires_ms = expires_ms << 8 | at[i];
    struct slice name = slice_of(at + FIXED, at[FIXED - 1]), saved = slice_from(secret, FIXED + name.len);
    if (listener != hs->listener->number || expires_ms <= hs->now_ms || name.len > sizeof hs->name ||
        mbedtls_ssl_session_load(session, saved.data, saved.len) != 0)
        return false;
    set_identity(hs, (enum link_security)at[13], name);
    memcpy(hs->identity.fingerprint, at + 14, sizeof hs->identity.fingerprint);
    struct handshake_question question = {.ask = ask_permitted};
    ask(hs, &question);
    hs->resumed = question.result != 0;
    if (!hs->resumed)
        hs->identity = (struct link_identity){.security = LINK_NO_SECURITY};
    return hs->resumed;
}

static void ask_resume_put(struct handshake_question *question) {
    struct handshake_engine *engine = question->hs->engine;
    if (!engine->closing)
        engine->host.resume_put(engine->arg, question->hs, question->about, buffer_slice(question->into));
}

static void ask_resume_get(struct handshake_question *question) {
    struct handshake_engine *engine = question->hs->engine;
    question->result =
        !engine->closing && engine->host.resume_get(engine->arg, question->hs, question->about, question->into);
}

static int on_cache_set(void *arg, const unsigned char *id, size_t id_len, const mbedtls_ssl_session *session) {
    struct handshake *hs = arg;
    uint8_t bytes[DTLS_RESUME_SECRET_MAX];
    struct buffer secret = buffer_over(bytes, sizeof bytes);
    struct handshake_question question = {.ask = ask_resume_put, .about = slice_of(id, id_len), .into = &secret};
    bool good = write_resumption(hs, session, &secret);
    if (good)
        ask(hs, &question);
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    return good ? 0 : MBEDTLS_ERR_SSL_ALLOC_FAILED;
}

static int on_cache_get(void *arg, const unsigned char *id, size_t id_len, mbedtls_ssl_session *session) {
    struct handshake *hs = arg;
    uint8_t bytes[DTLS_RESUME_SECRET_MAX];
    struct buffer secret = buffer_over(bytes, sizeof bytes);
    struct handshake_question question = {.ask = ask_resume_get, .about = slice_of(id, id_len), .into = &secret};
    ask(hs, &question);
    bool good = question.result != 0 && !secret.overflow && read_resumption(hs, buffer_slice(&secret), session);
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    return good ? 0 : MBEDTLS_ERR_SSL_CACHE_ENTRY_NOT_FOUND;
}

/* RFC 5077 §4: key name, nonce, sealed resumption, tag. */
static int on_ticket_write(void *arg, const mbedtls_ssl_session *session, unsigned char *start,
                           const unsigned char *end, size_t *len, uint32_t *lifetime_s) {
    static const uint8_t name[TICKET_NAME] = {'b', 'r', 't', RESUME_FORMAT};
    struct handshake *hs = arg;
    size_t room = (size_t)(end - start);
    if (room < TICKET_NAME + TICKET_NONCE + TICKET_TAG)
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    uint8_t *nonce = start + TICKET_NAME, *text = nonce + TICKET_NONCE;
    struct buffer secret = buffer_over(text, room - TICKET_NAME - TICKET_NONCE - TICKET_TAG);
    if (!write_resumption(hs, session, &secret))
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    memcpy(start, name, sizeof name);
    random_bytes(nonce, TICKET_NONCE);
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    int error = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, hs->engine->ticket_key, 256);
    if (error == 0)
        error = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, secret.len, nonce, TICKET_NONCE, name, sizeof name,
                                          text, text, TICKET_TAG, text + secret.len);
    mbedtls_gcm_free(&gcm);
    *len = TICKET_NAME + TICKET_NONCE + secret.len + TICKET_TAG;
    *lifetime_s = (uint32_t)(hs->engine->params->resume_ms / 1000);
    return error;
}

static int on_ticket_parse(void *arg, mbedtls_ssl_session *session, unsigned char *ticket, size_t len) {
    struct handshake *hs = arg;
    if (len < TICKET_NAME + TICKET_NONCE + TICKET_TAG)
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    const uint8_t *nonce = ticket + TICKET_NAME;
    uint8_t *text = ticket + TICKET_NAME + TICKET_NONCE;
    size_t text_len = len - TICKET_NAME - TICKET_NONCE - TICKET_TAG;
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    int error = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, hs->engine->ticket_key, 256);
    if (error == 0)
        error = mbedtls_gcm_auth_decrypt(&gcm, text_len, nonce, TICKET_NONCE, ticket, TICKET_NAME, text + text_len,
                                         TICKET_TAG, text, text);
    mbedtls_gcm_free(&gcm);
    if (error != 0)
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    bool good = read_resumption(hs, slice_of(text, text_len), session);
    mbedtls_platform_zeroize(text, text_len);
    return good ? 0 : MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
}

/* ---- a handshake's life ---- */

static void on_timeout(struct timer *timer, void *arg) {
    struct handshake *hs = TIMER_OWNER(timer, struct handshake, timeout);
    (void)arg;
    hs->engine->host.timed_out(hs->engine->arg, hs);
}

struct handshake *handshake_new(struct handshake_engine *engine, struct listener *listener, const struct address *peer,
                                const struct address *local) {
    struct handshake *hs = calloc(1, sizeof *hs);
    if (hs == NULL)
        return NULL;
    hs->engine = engine;
    hs->listener = listener;
    hs->peer = *peer;
    hs->local = *local;
    hs->alert_sent = hs->alert_received = -1;
    hs->fault = DTLS_FAULT_TIMEOUT;
    hs->begun_ms = hs->now_ms = clock_now_ms(engine->clock);
    timer_schedule(engine->wheel, &hs->timeout, hs->begun_ms + engine->params->handshake_timeout_ms, on_timeout);
    return hs;
}

static void free_now(struct handshake *hs) {
    if (hs->layer != NULL)
        hs->layer->free(&hs->ssl);
    free_queue(&hs->records);
    free_queue(&hs->inbox);
    free(hs->assembly);
    if (hs->plain != NULL)
        mbedtls_platform_zeroize(hs->plain, RECORD_CONTENT_MAX);
    free(hs->plain);
    mbedtls_platform_zeroize(hs, sizeof *hs);
    free(hs);
}

void handshake_free(struct handshake *hs) {
    timer_cancel(hs->engine->wheel, &hs->retransmit);
    timer_cancel(hs->engine->wheel, &hs->timeout);
    if (hs->busy)
        hs->doomed = true;
    else
        free_now(hs);
}

/* Whether a suite may be chosen that takes public-key operations: those come after all others (cipher_suite.c). */
static bool may_be_slow(const struct handshake *hs, const struct client_hello *hello) {
    for (const int *id = cipher_suite_ids(); *id != 0; id++) {
        const struct cipher_suite *suite = cipher_suite_find((uint16_t)*id);
        if (hello_offers(hello, suite->id) && suite->psk && !suite->ephemeral && hs->engine->host.psk != NULL)
            return false;
    }
    return true;
}

static void configure(struct handshake *hs, bool offers_cid) {
    const struct handshake_engine *engine = hs->engine;
    hs->config = engine->setup->config;
    if (engine->host.psk != NULL)
        mbedtls_ssl_conf_psk_cb(&hs->config, on_psk, hs);
    mbedtls_ssl_conf_verify(&hs->config, on_certificate, hs);
    mbedtls_ssl_conf_sni(&hs->config, on_server_name, hs);
    if (offers_cid)
        mbedtls_ssl_conf_cid(&hs->config, hs->cid_len, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE);
    /* A client of the draft may forget the CID in the abbreviated handshake (mbedtls before 2.28.1), and would be lost. */
    if (!hs->layer->draft && engine->host.resume_get != NULL)
        mbedtls_ssl_conf_session_cache(&hs->config, hs, on_cache_get, on_cache_set);
    if (!hs->layer->draft && engine->params->tickets)
        mbedtls_ssl_conf_session_tickets_cb(&hs->config, on_ticket_write, on_ticket_parse, hs);
    else
        mbedtls_ssl_conf_session_tickets(&hs->config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
}

bool handshake_start(struct handshake *hs, const struct client_hello *hello, const struct dtls_layer *layer,
                     const uint8_t *cid, size_t cid_len) {
    hs->layer = layer;
    hs->cid_len = (uint8_t)cid_len;
    if (cid_len > 0)
        memcpy(hs->cid, cid, cid_len);
    hs->pooled = may_be_slow(hs, hello);
    configure(hs, cid_len > 0);
    layer->init(&hs->ssl);
    if (layer->setup(&hs->ssl, &hs->config) != 0 ||
        layer->set_client_transport_id(&hs->ssl, (const unsigned char *)&hs->peer, sizeof hs->peer) != 0 ||
        (cid_len > 0 && layer->set_cid(&hs->ssl, MBEDTLS_SSL_CID_ENABLED, hs->cid, cid_len) != 0))
        return false;
    layer->set_bio(&hs->ssl, hs, on_send, on_recv, NULL);
    layer->set_timer_cb(&hs->ssl, hs, on_set_timer, on_get_timer);
    layer->set_mtu(&hs->ssl, hs->engine->params->mtu);
    layer->set_export_keys_cb(&hs->ssl, on_keys, hs);
    hs->state = HANDSHAKE_RUNNING;
    return true;
}

/* ---- steps ---- */

/* What went wrong, if a callback has not said so before. */
static enum dtls_fault fault_of(const struct handshake *hs, int error) {
    switch (error) {
    case MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY:
        return DTLS_FAULT_UNKNOWN_IDENTITY;
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
        return DTLS_FAULT_NO_CERTIFICATE;
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
    case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
        return DTLS_FAULT_CERTIFICATE_REFUSED;
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
    case MBEDTLS_ERR_SSL_UNSUPPORTED_EXTENSION:
        return DTLS_FAULT_NO_COMMON_PARAMETERS;
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        return DTLS_FAULT_ALERT;
    case MBEDTLS_ERR_SSL_INVALID_MAC:
        return DTLS_FAULT_WRONG_KEY;
    case MBEDTLS_ERR_SSL_TIMEOUT:
        return hs->bad_finished > 0 ? DTLS_FAULT_WRONG_KEY : hs->fault;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
    case MBEDTLS_ERR_SSL_INTERNAL_ERROR:
        return DTLS_FAULT_INTERNAL;
    default:
        return DTLS_FAULT_PROTOCOL;
    }
}

static void fail(struct handshake *hs, int error) {
    if (error == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY && hs->state == HANDSHAKE_OVER) {
        hs->state = HANDSHAKE_CLOSED;
        return;
    }
    if (error == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE)
        hs->layer->send_alert(&hs->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
    hs->fault = fault_of(hs, error);
    hs->state = HANDSHAKE_FAILED;
}

/* Application data of a live session, at most one record a step. */
static int read_plain(struct handshake *hs) {
    uint8_t nothing[1];
    if (hs->live && hs->plain == NULL && (hs->plain = malloc(RECORD_CONTENT_MAX)) == NULL)
        return MBEDTLS_ERR_SSL_WANT_READ;
    int n = hs->live ? hs->layer->read(&hs->ssl, hs->plain, RECORD_CONTENT_MAX)
                     : hs->layer->read(&hs->ssl, nothing, sizeof nothing);
    hs->plain_len = hs->live && n > 0 ? (size_t)n : 0;
    return n;
}

/* Let mbedtls take what there is. On the pool or on the loop's thread. */
static void run(struct handshake *hs) {
    for (unsigned rounds = 0; rounds < ROUNDS_WITHOUT_PROGRESS;) {
        size_t before = hs->records.count;
        bool was_over = hs->state == HANDSHAKE_OVER;
        int result = was_over ? read_plain(hs) : hs->layer->handshake(&hs->ssl);
        if (result == 0 && !was_over) {
            hs->state = HANDSHAKE_OVER;
            hs->live = hs->engine->params->keep_live || hs->suite == NULL || hs->suite->aead == RECORD_CBC;
            if (!hs->live)
                return; /* what waits is for record.h */
        } else if (result < 0 && result != MBEDTLS_ERR_SSL_WANT_READ && result != MBEDTLS_ERR_SSL_WANT_WRITE) {
            fail(hs, result);
            return;
        }
        if (hs->plain_len > 0 || hs->records.count == 0)
            return;
        rounds = hs->records.count < before ? 0 : rounds + 1;
    }
}

static void on_retransmit(struct timer *timer, void *arg);

static void send_out(struct handshake *hs) {
    size_t at = 0;
    while (at < hs->out_len) {
        size_t len = (size_t)(hs->out[at] << 8 | hs->out[at + 1]);
        hs->engine->host.send(hs->engine->arg, hs, slice_of(hs->out + at + 2, len));
        at += 2 + len;
    }
    hs->out_len = 0;
}

/* A step is over: what it left to do for the loop's thread. */
static void stepped(struct handshake *hs) {
    struct handshake_engine *engine = hs->engine;
    send_out(hs);
    if (hs->timer_is_set)
        timer_schedule(engine->wheel, &hs->retransmit, hs->final_ms, on_retransmit);
    else
        timer_cancel(engine->wheel, &hs->retransmit);
    engine->host.stepped(engine->arg, hs);
}

static void on_work(uv_work_t *work) {
    run(work->data);
}

static void on_worked(uv_work_t *work, int status) {
    struct handshake *hs = work->data;
    (void)status; /* never cancelled */
    hs->busy = hs->on_pool = false;
    hs->engine->busy--;
    if (hs->doomed)
        free_now(hs);
    else
        stepped(hs);
}

static void step_at(struct handshake *hs, uint64_t now_ms) {
    struct handshake_engine *engine = hs->engine;
    if (hs->busy)
        return;
    hs->now_ms = now_ms;
    hs->work.data = hs;
    hs->on_pool = hs->busy = hs->pooled;
    if (hs->pooled && uv_queue_work(engine->loop, &hs->work, on_work, on_worked) == 0) {
        engine->busy++;
        return;
    }
    hs->on_pool = hs->busy = false;
    run(hs);
    stepped(hs);
}

void handshake_step(struct handshake *hs) {
    step_at(hs, clock_now_ms(hs->engine->clock));
}

/* The wheel's time, since a leap of the clock is run through from due time to due time. */
static void on_retransmit(struct timer *timer, void *arg) {
    struct handshake *hs = TIMER_OWNER(timer, struct handshake, retransmit);
    (void)arg;
    step_at(hs, hs->engine->wheel->now_ms); /* nothing while a step runs: that one looks at the time when it is back */
}

int handshake_write(struct handshake *hs, struct slice message) {
    if (hs->busy)
        return -EAGAIN;
    if (message.len == 0)
        return 0;
    int result = hs->layer->write(&hs->ssl, message.data, message.len);
    send_out(hs);
    return result == (int)message.len ? 0 : -EIO;
}

static uint64_t get_number(const uint8_t *at, size_t len) {
    uint64_t number = 0;
    for (size_t i = 0; i < len; i++)
        number = number << 8 | at[i];
    return number;
}

uint64_t handshake_newest(const struct handshake *hs) {
    return hs->ssl.MBEDTLS_PRIVATE(in_window_top);
}

struct dtls_keys handshake_keys(const struct handshake *hs) {
    struct dtls_keys keys = hs->keys;
    mbedtls_ssl_context *ssl = (mbedtls_ssl_context *)(uintptr_t)&hs->ssl;
    uint8_t peer_cid[MBEDTLS_SSL_CID_OUT_LEN_MAX];
    size_t peer_cid_len = 0;
    int enabled = MBEDTLS_SSL_CID_DISABLED;
    int max_content = (int)mbedtls_ssl_get_max_in_record_payload(ssl);
    hs->layer->get_peer_cid(ssl, &enabled, peer_cid, &peer_cid_len);
    if (enabled == MBEDTLS_SSL_CID_ENABLED) {
        keys.cid_len = hs->cid_len;
        memcpy(keys.cid, hs->cid, hs->cid_len);
        keys.peer_cid_len = (uint8_t)peer_cid_len;
        memcpy(keys.peer_cid, peer_cid, peer_cid_len);
        keys.draft = hs->layer->draft;
    }
    /* Epoch and next number as mbedtls would write them, and what it has seen. */
    keys.epoch = (uint16_t)get_number(ssl->MBEDTLS_PRIVATE(cur_out_ctr), 2);
    keys.next_number = get_number(ssl->MBEDTLS_PRIVATE(cur_out_ctr) + 2, 6);
    keys.number_limit = keys.next_number;
    keys.window_top = ssl->MBEDTLS_PRIVATE(in_window_top);
    keys.window_bits = ssl->MBEDTLS_PRIVATE(in_window);
    keys.max_content =
        (uint16_t)(max_content > 0 && max_content < RECORD_CONTENT_MAX ? max_content : RECORD_CONTENT_MAX);
    return keys;
}

bool handshake_is_under_way(const struct handshake *hs) {
    return hs->ssl.MBEDTLS_PRIVATE(state) != MBEDTLS_SSL_HANDSHAKE_OVER;
}

void handshake_say_bye(struct handshake *hs) {
    if (hs->busy)
        return;
    hs->layer->send_alert(&hs->ssl, MBEDTLS_SSL_ALERT_LEVEL_WARNING, MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY);
    send_out(hs);
}

struct handshake_record *handshake_take_all(struct handshake_queue *queue) {
    struct handshake_record *first = queue->first;
    *queue = (struct handshake_queue){.first = NULL};
    return first;
}

void handshake_refuse_renegotiation(struct handshake *hs) {
    mbedtls_ssl_conf_renegotiation(&hs->config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
}
