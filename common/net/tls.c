#include "common/net/tls.h"

#include <errno.h>
#include <mbedtls/platform_util.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory_limit.h"
#include "common/net/cipher_suite.h"
#include "common/net/hello.h"
#include "common/net/key_log.h"
#include "common/net/proof.h"
#include "common/net/record.h"

enum {
    HEADER = 5,
    CONTENT_MAX = 16384,
    RECORD_MAX = HEADER + CONTENT_MAX + 2048, /* RFC 5246 §6.2.3 */
    PLAINTEXT_ALERT = HEADER + 2,
    IN_MAX = 131072,  /* bytes that wait for a step */
    HELD_MAX = 65536, /* bytes that wait until they can be sent */
    SUITES_MAX = 16,
    CLIENT_TIMEOUT_MS = 60000,
    KEY_LINES = 6, /* of one handshake */
};

enum state {
    SILENT,      /* no whole record has come */
    HANDSHAKING, /* there is an mbedtls object */
    PROVEN,      /* the peer has not said anything yet: it may renegotiate */
    SETTLED,     /* records, and nothing else */
    ENDED,
};

struct bytes {
    uint8_t *data;
    size_t len, cap;
};

struct tls_session {
    struct tls *tls;
    const struct tls_carrier *carrier;
    void *user;
    struct tls_session *next, **link; /* of the tls' sessions */
    struct address peer;
    enum state state;
    struct timer timeout;
    struct proof proof;            /* also the listener */
    struct link_identity identity; /* that was proven; `proof` has that of a renegotiation */
    uint8_t name[DTLS_IDENTITY_MAX];
    mbedtls_ssl_context ssl;
    struct dtls_traffic traffic;
    struct slice source; /* what mbedtls may read now: whole records, until it is settled */
    struct bytes in;     /* that came, until it is settled */
    struct bytes out;    /* that a step on the pool wants to send */
    struct bytes held;   /* content that waits, each behind its length in four bytes */
    uint8_t *content;    /* that a step on the pool has read */
    size_t content_len;
    char (*key_lines)[KEY_LOG_LINE_MAX];
    uint8_t key_line_count;
    uint8_t exports, exports_known; /* how often keys were agreed on */
    size_t stepping;                /* bytes of `in` that the step may read */
    uint16_t suite;
    bool is_tls13, has_ssl, resumed, renegotiated;
    bool saw_certificate, has_resumable; /* of a server */
    mbedtls_ssl_session resumable;       /* that it has given us lately */
    bool busy, doomed;                   /* a step is on the pool; it is freed when that is back */
    bool suspect;                        /* identities were dropped while it was busy */
    bool is_over;                        /* what mbedtls says: the (first) handshake is */
    int error;                           /* of mbedtls, that ends it */
    int alert_sent, alert_received;      /* -1: none */
    struct proof_step step;
};

struct tls {
    struct tls_params params;
    struct tls_handlers handlers;
    void *arg;
    const struct clock *clock;
    struct timer_wheel *wheel;
    struct dtls_setup setup;
    struct proof_engine engine;
    struct tls_session *sessions;
    struct tls_counters counters;
    uint64_t second;
    uint32_t begun_this_second;
    size_t doomed; /* freed when their steps are back */
    bool closing, async_closing;
    /* Of clients. */
    bool is_client, wants_certificate, resumes, has_resumable;
    const char *server_name;
    int suites[SUITES_MAX];
    mbedtls_ssl_session resumable;
    uint8_t content[CONTENT_MAX];
};

/* ---- bytes ---- */

static bool append(struct bytes *bytes, const void *data, size_t len) {
    if (bytes->cap - bytes->len < len) {
        size_t cap = bytes->cap == 0 ? 512 : bytes->cap;
        while (cap < bytes->len + len)
            cap *= 2;
        uint8_t *grown = realloc(bytes->data, cap);
        if (grown == NULL)
            return false;
        bytes->data = grown;
        bytes->cap = cap;
    }
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    return true;
}

static void drop(struct bytes *bytes) {
    if (bytes->len > 0)
        mbedtls_platform_zeroize(bytes->data, bytes->len);
    free(bytes->data);
    *bytes = (struct bytes){.data = NULL};
}

static void drop_front(struct bytes *bytes, size_t len) {
    if (len == bytes->len) {
        drop(bytes);
        return;
    }
    memmove(bytes->data, bytes->data + len, bytes->len - len);
    bytes->len -= len;
}

/* The whole records at the beginning; false: it is no TLS. */
static bool whole_records(struct slice in, size_t *whole) {
    *whole = 0;
    while (in.len - *whole > 0) {
        struct slice rest = slice_from(in, *whole);
        if (rest.data[0] < RECORD_CHANGE_CIPHER_SPEC || rest.data[0] > RECORD_APPLICATION_DATA ||
            (rest.len > 1 && rest.data[1] != 3))
            return false;
        if (rest.len < HEADER)
            return true;
        size_t len = HEADER + ((size_t)rest.data[3] << 8 | rest.data[4]);
        if (len > RECORD_MAX)
            return false;
        if (rest.len < len)
            return true;
        *whole += len;
    }
    return true;
}

/* ---- what mbedtls asks and tells ---- */

static int on_recv(void *arg, unsigned char *out, size_t len) {
    struct tls_session *session = arg;
    size_t take = session->source.len < len ? session->source.len : len;
    if (take == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    memcpy(out, session->source.data, take);
    session->source = slice_from(session->source, take);
    return (int)take;
}

static void count_out(struct tls_session *session, size_t len) {
    if (session->state == SETTLED)
        session->traffic.records_out += (uint32_t)len;
    else
        session->traffic.handshake_out += (uint32_t)len;
}

static int on_send(void *arg, const unsigned char *bytes, size_t len) {
    struct tls_session *session = arg;
    if (len == PLAINTEXT_ALERT && bytes[0] == RECORD_ALERT && bytes[HEADER] == MBEDTLS_SSL_ALERT_LEVEL_FATAL)
        session->alert_sent = bytes[HEADER + 1];
    count_out(session, len);
    if (session->busy)
        return append(&session->out, bytes, len) ? (int)len : MBEDTLS_ERR_SSL_ALLOC_FAILED;
    session->carrier->send(session->user, slice_of(bytes, len));
    return (int)len;
}

/* The labels of the NSS key log; NULL for what it does not have. */
static const char *label_of(mbedtls_ssl_key_export_type type) {
    switch (type) {
    case MBEDTLS_SSL_KEY_EXPORT_TLS12_MASTER_SECRET:
        return "CLIENT_RANDOM";
    case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_HANDSHAKE_TRAFFIC_SECRET:
        return "CLIENT_HANDSHAKE_TRAFFIC_SECRET";
    case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_SERVER_HANDSHAKE_TRAFFIC_SECRET:
        return "SERVER_HANDSHAKE_TRAFFIC_SECRET";
    case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_APPLICATION_TRAFFIC_SECRET:
        return "CLIENT_TRAFFIC_SECRET_0";
    case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_SERVER_APPLICATION_TRAFFIC_SECRET:
        return "SERVER_TRAFFIC_SECRET_0";
    default: /* of early data, which is not spoken here */
        return NULL;
    }
}

static void on_keys(void *arg, mbedtls_ssl_key_export_type type, const unsigned char *secret, size_t len,
                    const unsigned char client_random[32], const unsigned char server_random[32],
                    mbedtls_tls_prf_types prf) {
    struct tls_session *session = arg;
    const char *label = label_of(type);
    (void)server_random, (void)prf;
    session->exports = (uint8_t)(session->exports + (type == MBEDTLS_SSL_KEY_EXPORT_TLS12_MASTER_SECRET));
    if (session->tls->handlers.key_log == NULL || label == NULL || len > 64 || session->key_line_count == KEY_LINES)
        return;
    if (session->key_lines == NULL && (session->key_lines = calloc(KEY_LINES, KEY_LOG_LINE_MAX)) == NULL)
        return;
    struct buffer line = buffer_over((uint8_t *)session->key_lines[session->key_line_count++], KEY_LOG_LINE_MAX);
    key_log_put_line(&line, label, client_random, slice_of(secret, len));
}

static void tell_keys(struct tls_session *session) {
    for (uint8_t i = 0; i < session->key_line_count; i++)
        session->tls->handlers.key_log(session->tls->arg, session->proof.listener, &session->peer,
                                       session->key_lines[i]);
    if (session->key_lines != NULL)
        mbedtls_platform_zeroize(session->key_lines, (size_t)KEY_LINES * KEY_LOG_LINE_MAX);
    free(session->key_lines);
    session->key_lines = NULL;
    session->key_line_count = 0;
}

/* ---- the end ---- */

static void set_state(struct tls_session *session, enum state state) {
    struct tls_counters *counters = &session->tls->counters;
    counters->pending -= session->state == HANDSHAKING;
    counters->sessions -= session->state == PROVEN || session->state == SETTLED;
    counters->pending += state == HANDSHAKING;
    counters->sessions += state == PROVEN || state == SETTLED;
    session->state = state;
}

static void end(struct tls_session *session, const char *why) {
    if (session->state == ENDED)
        return;
    timer_cancel(session->tls->wheel, &session->timeout);
    set_state(session, ENDED);
    session->carrier->ended(session->user, why);
}

/* The handshake has come to nothing. */
static void give_up(struct tls_session *session, enum dtls_fault fault) {
    struct tls *tls = session->tls;
    char why[64];
    if (session->state == ENDED)
        return;
    struct dtls_failure failure = {
        .listener = session->proof.listener,
        .peer = session->peer,
        .fault = fault,
        .alert_sent = session->alert_sent,
        .alert_received = session->alert_received,
        .identity = {.security = LINK_NO_SECURITY},
        .bytes_in = session->traffic.handshake_in,
        .bytes_out = session->traffic.handshake_out,
    };
    if (!session->busy)
        failure.identity = session->proof.identity;
    tls->counters.handshakes_failed++;
    snprintf(why, sizeof why, "TLS handshake failed: %s", dtls_fault_name(fault));
    if (tls->handlers.failed != NULL && !tls->closing)
        tls->handlers.failed(tls->arg, &failure);
    end(session, why);
}

static void on_timeout(struct timer *timer, void *arg) {
    (void)arg;
    give_up(TIMER_OWNER(timer, struct tls_session, timeout), DTLS_FAULT_TIMEOUT);
}

static bool is_under_way(const struct tls_session *session) {
    return session->ssl.MBEDTLS_PRIVATE(state) != MBEDTLS_SSL_HANDSHAKE_OVER;
}

void tls_session_end(struct tls_session *session) {
    if (session->state == ENDED)
        return;
    if (session->has_ssl && !session->busy && !is_under_way(session))
        mbedtls_ssl_close_notify(&session->ssl);
    timer_cancel(session->tls->wheel, &session->timeout);
    set_state(session, ENDED);
}

/* With a goodbye. */
static void end_well(struct tls_session *session, const char *why) {
    tls_session_end(session);
    session->carrier->ended(session->user, why);
}

/* mbedtls has failed, and has sent its alert where there is one. */
static void end_with_error(struct tls_session *session) {
    const struct proof *proof = &session->proof;
    char why[64];
    if (session->error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        session->alert_received = session->ssl.MBEDTLS_PRIVATE(in_msg)[1];
    int alert = proof_alert_of(session->error);
    if (session->state == HANDSHAKING && session->alert_sent < 0 && alert >= 0 && !session->is_tls13)
        mbedtls_ssl_send_alert_message(&session->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, (unsigned char)alert);
    if (session->state == HANDSHAKING) {
        enum dtls_fault fault = proof_fault_of(proof, session->error);
        if (session->alert_sent < 0 && session->is_tls13 && session->ssl.MBEDTLS_PRIVATE(alert_type) != 0)
            session->alert_sent = session->ssl.MBEDTLS_PRIVATE(alert_type);
        if (session->is_tls13 && session->alert_sent == MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR)
            fault = DTLS_FAULT_WRONG_KEY; /* a binder (RFC 8446 §4.2.11.2) */
        else if (session->is_tls13 && proof->fault == DTLS_FAULT_UNKNOWN_IDENTITY &&
                 proof->identity.security == LINK_PSK)
            fault = DTLS_FAULT_UNKNOWN_IDENTITY; /* whatever became of the certificates that were tried instead */
        give_up(session, fault);
        return;
    }
    if (session->error == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        end_well(session, "closed by the peer");
    } else if (session->alert_received >= 0) {
        snprintf(why, sizeof why, "the peer sent TLS alert %d", session->alert_received);
        end(session, why);
    } else {
        end(session, session->error == MBEDTLS_ERR_SSL_INVALID_MAC ? "a TLS record does not verify"
                                                                   : "what came is against the rules of TLS");
    }
}

void tls_session_peer_ended(struct tls_session *session) {
    if (session->state == HANDSHAKING)
        give_up(session, DTLS_FAULT_CLOSED);
    else
        end(session, "closed by the peer");
}

/* ---- sending ---- */

static int write_content(struct tls_session *session, struct slice content) {
    uint32_t handshake_out = session->traffic.handshake_out;
    session->traffic.content_out += (uint32_t)content.len;
    while (content.len > 0) {
        int written = mbedtls_ssl_write(&session->ssl, content.data, content.len);
        if (written <= 0) {
            end(session, "what is to be sent can't be sealed");
            return -EIO;
        }
        content = slice_from(content, (size_t)written);
    }
    /* Before anything has come all that is sent is counted with the handshake; this is none of it. */
    session->traffic.records_out += session->traffic.handshake_out - handshake_out;
    session->traffic.handshake_out = handshake_out;
    return 0;
}

static int hold(struct tls_session *session, struct slice content) {
    uint8_t len[4] = {(uint8_t)(content.len >> 24), (uint8_t)(content.len >> 16), (uint8_t)(content.len >> 8),
                      (uint8_t)content.len};
    if (session->held.len + sizeof len + content.len > HELD_MAX || !append(&session->held, len, sizeof len))
        return -ENOBUFS;
    if (append(&session->held, content.data, content.len))
        return 0;
    session->held.len -= sizeof len;
    return -ENOBUFS;
}

static bool has_to_wait(const struct tls_session *session) {
    return session->busy || session->held.len > 0 || session->state == SILENT || session->state == HANDSHAKING ||
           is_under_way(session);
}

int tls_session_send(struct tls_session *session, const struct slice *parts, size_t count) {
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        if (session->state == ENDED)
            return -ENOTCONN;
        if (parts[i].len > 0)
            result = has_to_wait(session) ? hold(session, parts[i]) : write_content(session, parts[i]);
    }
    return result;
}

static void send_held(struct tls_session *session) {
    struct bytes held = session->held;
    session->held = (struct bytes){.data = NULL};
    for (size_t at = 0; at < held.len && session->state != ENDED;) {
        size_t len = (size_t)held.data[at] << 24 | (size_t)held.data[at + 1] << 16 | (size_t)held.data[at + 2] << 8 |
                     held.data[at + 3];
        write_content(session, slice_of(held.data + at + 4, len));
        at += 4 + len;
    }
    drop(&held);
}

/* ---- what a client resumes ---- */

/* Keep it with the session, since this may run on the pool. */
static void remember(struct tls_session *session) {
    if (!session->tls->resumes)
        return;
    if (session->has_resumable)
        mbedtls_ssl_session_free(&session->resumable);
    mbedtls_ssl_session_init(&session->resumable);
    session->has_resumable = mbedtls_ssl_get_session(&session->ssl, &session->resumable) == 0;
}

/* The next session resumes what this one has remembered. */
static void hand_on(struct tls_session *session) {
    struct tls *tls = session->tls;
    if (!session->has_resumable)
        return;
    if (tls->has_resumable)
        mbedtls_ssl_session_free(&tls->resumable);
    tls->resumable = session->resumable; /* moved */
    tls->has_resumable = true;
    session->has_resumable = false;
}

/* Read one record's content, past the tickets of TLS 1.3. mbedtls finds a ticket in one call and takes it in the next. */
static int read_content(struct tls_session *session, uint8_t *out) {
    bool found = false;
    for (;;) {
        int len = mbedtls_ssl_read(&session->ssl, out, CONTENT_MAX);
        bool finds = len == MBEDTLS_ERR_SSL_WANT_READ && !found &&
                     session->ssl.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_TLS1_3_NEW_SESSION_TICKET;
        if (len == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
            remember(session);
        else if (!finds)
            return len;
        found = finds;
    }
}

static int on_server_certificate(void *arg, mbedtls_x509_crt *certificate, int depth, uint32_t *flags) {
    struct tls_session *session = arg;
    session->saw_certificate = true;
    return dtls_setup_judge_pinned(&session->tls->setup, certificate, depth, flags);
}

/* Whether the session is the one that was offered, since no certificate was shown; with a key, by its ID, and TLS 1.3 does
 * not tell. */
static bool is_resumption(const struct tls_session *session) {
    const struct tls *tls = session->tls;
    const mbedtls_ssl_session *now = session->ssl.MBEDTLS_PRIVATE(session), *before = &tls->resumable;
    size_t len = now->MBEDTLS_PRIVATE(id_len);
    if (!tls->has_resumable)
        return false;
    if (tls->wants_certificate)
        return !session->saw_certificate;
    return !session->is_tls13 && len > 0 && len == before->MBEDTLS_PRIVATE(id_len) &&
           memcmp(now->MBEDTLS_PRIVATE(id), before->MBEDTLS_PRIVATE(id), len) == 0;
}

/* ---- settled: records, and nothing else ---- */

static void read_settled(struct tls_session *session, struct slice bytes) {
    struct tls *tls = session->tls;
    session->source = bytes;
    while (session->state == SETTLED) {
        int len = read_content(session, tls->content);
        if (len == MBEDTLS_ERR_SSL_WANT_READ || len == MBEDTLS_ERR_SSL_WANT_WRITE)
            break;
        if (len <= 0) {
            session->error = len == 0 ? MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY : len;
            end_with_error(session);
            break;
        }
        session->traffic.content_in += (uint32_t)len;
        session->carrier->received(session->user, slice_of(tls->content, (size_t)len));
    }
    session->source = SLICE_NONE;
    hand_on(session);
}

/* What was needed for the handshake alone. The peer's certificate is known by its fingerprint now. */
static void settle(struct tls_session *session) {
    mbedtls_ssl_session *kept = session->ssl.MBEDTLS_PRIVATE(session);
    set_state(session, SETTLED);
    mbedtls_ssl_conf_renegotiation(&session->proof.config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    mbedtls_platform_zeroize(session->proof.psk, sizeof session->proof.psk);
    if (kept == NULL || kept->MBEDTLS_PRIVATE(peer_cert) == NULL)
        return;
    mbedtls_x509_crt_free(kept->MBEDTLS_PRIVATE(peer_cert));
    free(kept->MBEDTLS_PRIVATE(peer_cert));
    kept->MBEDTLS_PRIVATE(peer_cert) = NULL;
}

/* What had come was counted with the handshake, as it was not known what it is: the record of the first content, and what
 * lies behind it. */
static void count_first(struct tls_session *session, size_t content, size_t behind) {
    int expansion = mbedtls_ssl_get_record_expansion(&session->ssl);
    size_t len = content + (expansion > 0 ? (size_t)expansion : 0) + behind;
    if (len > session->traffic.handshake_in)
        len = session->traffic.handshake_in;
    session->traffic.handshake_in -= (uint32_t)len;
    session->traffic.records_in += (uint32_t)len;
}

/* The first content has come. What came behind it follows, complete or not: mbedtls keeps what is not. */
static void take_first(struct tls_session *session) {
    uint8_t *content = session->content;
    size_t len = session->content_len;
    struct bytes rest = session->in;
    session->content = NULL;
    session->content_len = 0;
    session->in = (struct bytes){.data = NULL};
    settle(session);
    count_first(session, len, rest.len);
    session->traffic.content_in += (uint32_t)len;
    session->carrier->received(session->user, slice_of(content, len));
    mbedtls_platform_zeroize(content, len);
    free(content);
    if (session->state == SETTLED)
        read_settled(session, slice_of(rest.data, rest.len));
    drop(&rest);
    if (session->state == SETTLED)
        session->carrier->set_reading(session->user, true);
}

/* ---- steps of a handshake ---- */

/* With TLS 1.3 a server's application keys are in force behind its Finished (RFC 8446 §7.1), but mbedtls would seal an
 * alert that follows, about the client's certificate, with those before. It sets them once more when the handshake is over. */
static void use_application_keys(mbedtls_ssl_context *ssl) {
    int state = ssl->MBEDTLS_PRIVATE(state);
    bool awaits_client = state == MBEDTLS_SSL_CLIENT_CERTIFICATE || state == MBEDTLS_SSL_CERTIFICATE_VERIFY ||
                         state == MBEDTLS_SSL_CLIENT_FINISHED;
    mbedtls_ssl_transform *transform = ssl->MBEDTLS_PRIVATE(transform_application);
    if (ssl->MBEDTLS_PRIVATE(tls_version) != MBEDTLS_SSL_VERSION_TLS1_3 || !awaits_client || transform == NULL)
        return;
    ssl->MBEDTLS_PRIVATE(transform_out) = transform;
    memset(ssl->MBEDTLS_PRIVATE(cur_out_ctr), 0, sizeof ssl->MBEDTLS_PRIVATE(cur_out_ctr));
}

/* The first content: 0 when it is there, or an error of mbedtls. */
static int read_first(struct tls_session *session) {
    uint8_t content[CONTENT_MAX];
    int len = read_content(session, content);
    if (len <= 0)
        return len == 0 ? MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY : len;
    session->content = malloc((size_t)len);
    if (session->content == NULL)
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    session->content_len = (size_t)len;
    memcpy(session->content, content, (size_t)len);
    mbedtls_platform_zeroize(content, (size_t)len);
    return 0;
}

static void step(struct tls_session *session) {
    for (;;) {
        if (!session->is_over) {
            session->error = mbedtls_ssl_handshake(&session->ssl);
            session->is_over = session->error == 0;
            if (session->is_over)
                return; /* the peer is to be looked at first */
        } else {
            session->error = read_first(session);
        }
        if (session->error == MBEDTLS_ERR_SSL_WANT_READ || session->error == MBEDTLS_ERR_SSL_WANT_WRITE) {
            session->error = 0;
            if (!session->is_over)
                use_application_keys(&session->ssl);
            return;
        }
        if (session->error != 0 || session->content_len > 0)
            return;
    }
}

static bool is_permitted(struct tls_session *session) {
    const struct proof *proof = &session->proof;
    const struct tls *tls = session->tls;
    return tls->handlers.permitted == NULL
               ? !session->suspect
               : tls->handlers.permitted(tls->arg, proof->listener, &proof->identity, proof->chain_trusted);
}

static void establish(struct tls_session *session) {
    struct tls *tls = session->tls;
    const mbedtls_ssl_session *agreed = session->ssl.MBEDTLS_PRIVATE(session);
    session->suite = (uint16_t)agreed->MBEDTLS_PRIVATE(ciphersuite);
    session->exports_known = session->exports;
    bool is_known = tls->is_client || session->proof.identity.security != LINK_NO_SECURITY;
    if (!is_known || (session->suspect && !is_permitted(session))) {
        give_up(session, DTLS_FAULT_REPLACED);
        return;
    }
    timer_cancel(tls->wheel, &session->timeout);
    session->resumed = tls->is_client ? is_resumption(session) : session->proof.resumed;
    if (tls->is_client && !session->is_tls13)
        remember(session);
    session->identity = session->proof.identity;
    memcpy(session->name, session->proof.name, sizeof session->name);
    session->identity.name.data = session->name;
    set_state(session, PROVEN);
    tls->counters.handshakes_done++;
    tls->counters.handshakes_resumed += session->resumed;
    session->carrier->proven(session->user);
}

static void advance(struct tls_session *session);

/* Keys were agreed on anew; that is enough. */
static void check_renegotiated(struct tls_session *session) {
    session->exports_known = session->exports;
    session->renegotiated = true;
    mbedtls_ssl_conf_renegotiation(&session->proof.config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    if (proof_is_another(&session->proof, &session->identity))
        end(session, "another identity has renegotiated");
}

static void send_out(struct tls_session *session) {
    struct bytes out = session->out;
    session->out = (struct bytes){.data = NULL};
    if (out.len > 0)
        session->carrier->send(session->user, slice_of(out.data, out.len));
    drop(&out);
}

/* A step is over: what it left to do for the loop's thread. */
static void stepped(struct tls_session *session) {
    drop_front(&session->in, session->stepping - session->source.len);
    session->source = SLICE_NONE;
    if (session->state == ENDED)
        return;
    session->is_tls13 = session->ssl.MBEDTLS_PRIVATE(tls_version) == MBEDTLS_SSL_VERSION_TLS1_3;
    send_out(session);
    tell_keys(session);
    if (session->error != 0)
        end_with_error(session);
    else if (session->state == HANDSHAKING && session->is_over)
        establish(session);
    else if (session->state == PROVEN && session->suspect && !is_permitted(session))
        end_well(session, "its credential has gone");
    else if (session->state == PROVEN && session->exports_known < session->exports && !is_under_way(session))
        check_renegotiated(session);
    session->suspect = false;
    hand_on(session);
    if (session->state == PROVEN && !is_under_way(session))
        send_held(session);
    if (session->state == PROVEN && session->content_len > 0)
        take_first(session);
    else if (session->state == HANDSHAKING || session->state == PROVEN)
        advance(session);
}

static void free_now(struct tls_session *session) {
    if (session->has_ssl)
        mbedtls_ssl_free(&session->ssl);
    if (session->has_resumable)
        mbedtls_ssl_session_free(&session->resumable);
    drop(&session->in);
    drop(&session->out);
    drop(&session->held);
    if (session->content != NULL)
        mbedtls_platform_zeroize(session->content, session->content_len);
    free(session->content);
    if (session->key_lines != NULL)
        mbedtls_platform_zeroize(session->key_lines, (size_t)KEY_LINES * KEY_LOG_LINE_MAX);
    free(session->key_lines);
    mbedtls_platform_zeroize(session, sizeof *session);
    free(session);
}

static void free_if_closed(struct tls *tls);

static void run_on_pool(void *arg) {
    step(arg);
}

static void on_run(void *arg) {
    struct tls_session *session = arg;
    struct tls *tls = session->tls;
    session->busy = session->proof.on_pool = false;
    if (session->doomed) {
        tls->doomed--;
        free_now(session);
        free_if_closed(tls);
    } else {
        stepped(session);
    }
}

/* Let mbedtls have the first `len` bytes that came. */
static void run_step(struct tls_session *session, size_t len) {
    struct tls *tls = session->tls;
    session->stepping = len;
    session->source = slice_of(session->in.data, len);
    session->proof.now_ms = clock_now_ms(tls->clock);
    session->step = (struct proof_step){.run = run_on_pool, .done = on_run, .arg = session};
    session->busy = session->proof.on_pool = true;
    session->carrier->set_reading(session->user, false);
    proof_engine_run(&tls->engine, &session->step);
}

/* ---- the beginning ---- */

static bool may_begin(struct tls *tls) {
    uint64_t second = clock_now_ms(tls->clock) / 1000;
    if (second != tls->second) {
        tls->second = second;
        tls->begun_this_second = 0;
    }
    return !memory_limit_is_reached() && tls->counters.pending < tls->params.handshakes_max &&
           tls->begun_this_second < tls->params.handshakes_per_s;
}

static bool begin_client(struct tls_session *session) {
    struct tls *tls = session->tls;
    session->proof.config = tls->setup.config;
    if (mbedtls_ssl_setup(&session->ssl, &session->proof.config) != 0 ||
        (tls->wants_certificate && mbedtls_ssl_set_hostname(&session->ssl, tls->server_name) != 0))
        return false;
    mbedtls_ssl_set_verify(&session->ssl, on_server_certificate, session);
    if (tls->has_resumable)
        mbedtls_ssl_set_session(&session->ssl, &tls->resumable); /* if it can't be, the handshake is a full one */
    return true;
}

/* The first record has come, usually with a whole ClientHello. */
static bool begin_server(struct tls_session *session) {
    struct tls *tls = session->tls;
    struct slice hello = slice_of(session->in.data, session->in.len);
    /* A client of TLS 1.2 that is given a ticket has no session ID, and some resume by nothing else. */
    bool tickets = tls->params.tickets || hello_offers_tls13(hello);
    proof_begin(&session->proof, mbedtls_ssl_set_hs_own_cert, true, tickets);
    return mbedtls_ssl_setup(&session->ssl, &session->proof.config) == 0;
}

static bool begin(struct tls_session *session) {
    struct tls *tls = session->tls;
    tls->counters.handshakes_begun++;
    tls->begun_this_second++;
    set_state(session, HANDSHAKING);
    mbedtls_ssl_init(&session->ssl);
    session->has_ssl = true;
    if (!(tls->is_client ? begin_client(session) : begin_server(session))) {
        give_up(session, DTLS_FAULT_INTERNAL);
        return false;
    }
    mbedtls_ssl_set_bio(&session->ssl, session, on_send, on_recv, NULL);
    mbedtls_ssl_set_export_keys_cb(&session->ssl, on_keys, session);
    return true;
}

static void advance(struct tls_session *session) {
    struct tls *tls = session->tls;
    size_t whole;
    if (!whole_records(slice_of(session->in.data, session->in.len), &whole)) {
        if (session->state == PROVEN)
            end(session, "what came is no TLS");
        else
            give_up(session, DTLS_FAULT_PROTOCOL);
        return;
    }
    if (whole == 0) {
        session->carrier->set_reading(session->user, true);
        return;
    }
    if (session->state == SILENT) {
        if (!may_begin(tls)) {
            tls->counters.handshakes_refused++;
            end(session, "too many TLS handshakes");
            return;
        }
        if (!begin(session))
            return;
    }
    run_step(session, whole);
}

void tls_session_start(struct tls_session *session) {
    if (session->tls->is_client && session->state == SILENT && begin(session))
        run_step(session, 0);
}

void tls_session_feed(struct tls_session *session, struct slice bytes) {
    if (session->state == ENDED || bytes.len == 0)
        return;
    if (session->state == SETTLED) {
        session->traffic.records_in += (uint32_t)bytes.len;
        read_settled(session, bytes);
        return;
    }
    session->traffic.handshake_in += (uint32_t)bytes.len;
    if (session->in.len + bytes.len > IN_MAX || !append(&session->in, bytes.data, bytes.len))
        give_up(session, DTLS_FAULT_INTERNAL);
    else if (!session->busy)
        advance(session);
}

struct tls_session *tls_session_new(struct tls *tls, struct listener *listener, const struct address *peer,
                                    const struct tls_carrier *carrier, void *user) {
    struct tls_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    session->tls = tls;
    session->carrier = carrier;
    session->user = user;
    session->peer = *peer;
    session->alert_sent = session->alert_received = -1;
    session->proof.engine = &tls->engine;
    session->proof.listener = listener;
    session->proof.fault = DTLS_FAULT_TIMEOUT;
    session->link = &tls->sessions;
    session->next = tls->sessions;
    if (session->next != NULL)
        session->next->link = &session->next;
    tls->sessions = session;
    timer_schedule(tls->wheel, &session->timeout, clock_now_ms(tls->clock) + tls->params.handshake_timeout_ms,
                   on_timeout);
    return session;
}

void tls_session_free(struct tls_session *session) {
    struct tls *tls = session->tls;
    timer_cancel(tls->wheel, &session->timeout);
    set_state(session, ENDED);
    *session->link = session->next;
    if (session->next != NULL)
        session->next->link = session->link;
    if (session->busy) {
        session->doomed = true;
        tls->doomed++;
        return;
    }
    free_now(session);
    free_if_closed(tls);
}

const struct link_identity *tls_session_identity(const struct tls_session *session) {
    return &session->identity;
}

void tls_session_describe(const struct tls_session *session, struct tls_description *description) {
    *description = (struct tls_description){
        .version = session->is_tls13 ? "TLS 1.3" : "TLS 1.2",
        .cipher_suite = cipher_suite_name(session->suite),
        .resumed = session->resumed,
        .renegotiated = session->renegotiated,
        .traffic = session->traffic,
    };
}

size_t tls_session_record_overhead(const struct tls_session *session) {
    int expansion = session->has_ssl ? mbedtls_ssl_get_record_expansion(&session->ssl) : 0;
    return expansion > 0 ? (size_t)expansion : 0;
}

size_t tls_drop_identity(struct tls *tls, const struct link_identity *identity) {
    size_t dropped = 0;
    for (struct tls_session *session = tls->sessions, *next; session != NULL; session = next) {
        next = session->next;
        session->suspect = session->suspect || session->busy;
        bool is_proven = session->state == PROVEN || session->state == SETTLED;
        if (session->busy || !proof_identity_is(is_proven ? &session->identity : &session->proof.identity, identity))
            continue;
        dropped += is_proven;
        if (is_proven || session->state == HANDSHAKING)
            end_well(session, "its credential has gone");
    }
    return dropped;
}

/* ---- what handshakes ask ---- */

static bool host_psk(void *arg, struct proof *proof, struct slice identity, struct buffer *key) {
    struct tls *tls = arg;
    return tls->handlers.psk(tls->arg, proof->listener, identity, key);
}

static int host_certificate(void *arg, struct proof *proof, const struct dtls_peer_certificate *certificate) {
    struct tls *tls = arg;
    if (tls->handlers.certificate != NULL)
        return tls->handlers.certificate(tls->arg, proof->listener, certificate);
    if (!certificate->chain_trusted)
        return MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA;
    return certificate->dates_good ? 0 : MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED;
}

static void host_resume_put(void *arg, struct proof *proof, struct slice session_id, struct slice secret) {
    struct tls *tls = arg;
    uint64_t expires_ms = clock_now_ms(tls->clock) + tls->params.resume_ms;
    if (tls->handlers.resume_put != NULL)
        tls->handlers.resume_put(tls->arg, session_id, &proof->identity, secret, expires_ms);
}

static bool host_resume_get(void *arg, struct proof *proof, struct slice session_id, struct buffer *secret) {
    struct tls *tls = arg;
    (void)proof;
    return tls->handlers.resume_get(tls->arg, session_id, secret);
}

static bool host_permitted(void *arg, struct proof *proof) {
    struct tls *tls = arg;
    return tls->handlers.permitted == NULL ||
           tls->handlers.permitted(tls->arg, proof->listener, &proof->identity, proof->chain_trusted);
}

static const struct proof_host proof_host = {
    .psk = host_psk,
    .certificate = host_certificate,
    .resume_put = host_resume_put,
    .resume_get = host_resume_get,
    .permitted = host_permitted,
};

/* ---- the whole ---- */

/* As for DTLS, but for what the transport changes. */
static bool set_up(struct dtls_setup *setup) {
    static const char *protocols[] = {"coap", NULL}; /* RFC 8323 §8.2; a client need not offer any */
    if (!dtls_setup_init(setup))
        return false;
    mbedtls_ssl_conf_transport(&setup->config, MBEDTLS_SSL_TRANSPORT_STREAM);
    mbedtls_ssl_conf_max_tls_version(&setup->config, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_tls13_key_exchange_modes(&setup->config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_ALL);
    mbedtls_ssl_conf_ciphersuites(&setup->config, cipher_suite_tls_ids());
    return mbedtls_ssl_conf_alpn_protocols(&setup->config, protocols) == 0;
}

struct tls *tls_new(uv_loop_t *loop, const struct clock *clock, struct timer_wheel *wheel,
                    const struct tls_params *params, const struct tls_handlers *handlers, void *arg) {
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    tls->params = *params;
    tls->handlers = *handlers;
    tls->arg = arg;
    tls->clock = clock;
    tls->wheel = wheel;
    tls->engine = (struct proof_engine){
        .loop = loop,
        .setup = &tls->setup,
        .host = proof_host,
        .arg = tls,
        .hide_unknown_identities = params->hide_unknown_identities,
        .ignore_dates = params->ignore_dates,
        .resume_ms = params->resume_ms,
    };
    if (handlers->psk == NULL)
        tls->engine.host.psk = NULL;
    if (handlers->resume_get == NULL)
        tls->engine.host.resume_get = NULL;
    if (psa_crypto_init() == PSA_SUCCESS && set_up(&tls->setup) && proof_engine_init(&tls->engine) == 0)
        return tls;
    dtls_setup_free(&tls->setup);
    free(tls);
    return NULL;
}

struct tls *tls_new_client(uv_loop_t *loop, const struct clock *clock, struct timer_wheel *wheel,
                           const struct dtls_client_params *params, const struct tls_handlers *handlers, void *arg,
                           const char **problem) {
    const struct tls_params limits = {.handshake_timeout_ms =
                                          params->tls_timeout_ms != 0 ? params->tls_timeout_ms : CLIENT_TIMEOUT_MS,
                                      .handshakes_max = UINT32_MAX,
                                      .handshakes_per_s = UINT32_MAX};
    struct tls *tls = tls_new(loop, clock, wheel, &limits, handlers, arg);
    *problem = "out of memory";
    if (tls == NULL)
        return NULL;
    mbedtls_ssl_config *config = &tls->setup.config;
    size_t count = 0;
    unsigned char fragment = 0; /* RFC 6066 §4 */
    for (const int *id = cipher_suite_tls_ids(); cipher_suite_find((uint16_t)*id) == NULL && count < SUITES_MAX - 2;
         id++)
        tls->suites[count++] = *id;
    tls->suites[count] = params->suite->id;
    for (uint32_t len = 512; params->max_fragment >= len; len *= 2)
        fragment++;
    tls->is_client = true;
    tls->wants_certificate = !params->suite->psk;
    tls->server_name = params->server_name;
    tls->resumes = params->resume;
    mbedtls_ssl_conf_endpoint(config, MBEDTLS_SSL_IS_CLIENT);
    mbedtls_ssl_conf_ciphersuites(config, tls->suites);
    if (params->tls12_only || /* of TLS 1.3; 1.2 takes more: */
        (params->suite->psk && params->key.len > MBEDTLS_PSK_MAX_LEN))
        mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    if (params->tls12_only)
        config->MBEDTLS_PRIVATE(alpn_list) = NULL;
    mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(config,
                                                             MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    if ((fragment == 0 || mbedtls_ssl_conf_max_frag_len(config, fragment) == 0) &&
        dtls_client_set_identity(&tls->setup, params, problem))
        return tls;
    tls_close(tls);
    return NULL;
}

bool tls_add_certificate(struct tls *tls, struct slice certificate, struct slice key, const char **problem) {
    return dtls_setup_add_certificate(&tls->setup, certificate, key, problem);
}

bool tls_add_authority(struct tls *tls, struct slice certificates, const char **problem) {
    return dtls_setup_add_authority(&tls->setup, certificates, problem);
}

void tls_set_ticket_key(struct tls *tls, const uint8_t key[32]) {
    memcpy(tls->engine.ticket_key, key, sizeof tls->engine.ticket_key);
}

struct tls_counters tls_counters(const struct tls *tls) {
    return tls->counters;
}

static void on_async_closed(uv_handle_t *handle) {
    struct proof_engine *engine = handle->data;
    struct tls *tls = engine->arg;
    uv_mutex_destroy(&engine->lock);
    if (tls->has_resumable)
        mbedtls_ssl_session_free(&tls->resumable);
    dtls_setup_free(&tls->setup);
    mbedtls_platform_zeroize(tls, sizeof *tls);
    free(tls);
}

static void free_if_closed(struct tls *tls) {
    if (!tls->closing || tls->sessions != NULL || tls->doomed > 0 || tls->async_closing)
        return;
    tls->async_closing = true;
    uv_close((uv_handle_t *)&tls->engine.async, on_async_closed);
}

void tls_close(struct tls *tls) {
    tls->closing = tls->engine.closing = true;
    free_if_closed(tls);
}
