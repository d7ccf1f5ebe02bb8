#include "common/net/dtls_client_handshake.h"

#include <errno.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/net/key_log.h"

enum { PLAINTEXT_ALERT = RECORD_HEADER + 2, ROUNDS_WITHOUT_PROGRESS = 2 };

/* ---- records that wait ---- */

bool client_handshake_take(struct client_handshake *hs, size_t *at, struct slice *record) {
    if (*at >= hs->waiting_len)
        return false;
    *record = slice_of(hs->waiting + *at + 2, (size_t)(hs->waiting[*at] << 8 | hs->waiting[*at + 1]));
    *at += 2 + record->len;
    return true;
}

/* Take the record that ends at `end` out of the queue. */
static void unlink_record(struct client_handshake *hs, size_t end, size_t len) {
    memmove(hs->waiting + end - len - 2, hs->waiting + end, hs->waiting_len - end);
    hs->waiting_len -= len + 2;
}

static uint16_t epoch_of(struct slice record) {
    return (uint16_t)(record.data[3] << 8 | record.data[4]);
}

static uint16_t present_epoch(const struct client_handshake *hs) {
    return hs->ssl.MBEDTLS_PRIVATE(in_epoch);
}

/* Make room among records of a coming epoch. */
static void drop_early(struct client_handshake *hs, size_t more) {
    struct slice record;
    size_t early = more;
    for (size_t at = 0; client_handshake_take(hs, &at, &record);)
        early += epoch_of(record) > present_epoch(hs) ? 2 + record.len : 0;
    for (size_t at = 0; early > CLIENT_HANDSHAKE_EARLY_MAX && client_handshake_take(hs, &at, &record);) {
        if (epoch_of(record) <= present_epoch(hs))
            continue;
        unlink_record(hs, at, record.len);
        at -= 2 + record.len;
        early -= 2 + record.len;
    }
}

void client_handshake_hold(struct client_handshake *hs, struct slice record) {
    struct buffer waiting = buffer_over(hs->waiting, sizeof hs->waiting);
    bool in_the_clear = epoch_of(record) == 0;
    if (record.len > CLIENT_HANDSHAKE_EARLY_MAX - 2)
        return; /* no flight has such a record, and no message */
    if (in_the_clear && (record.data[0] < RECORD_CHANGE_CIPHER_SPEC || record.data[0] > RECORD_HANDSHAKE))
        return; /* mbedtls would give up */
    if (epoch_of(record) > present_epoch(hs))
        drop_early(hs, 2 + record.len);
    waiting.len = hs->waiting_len;
    if (waiting.cap - waiting.len < 2 + record.len)
        return;
    buffer_put_u16(&waiting, (uint16_t)record.len);
    buffer_put_slice(&waiting, record);
    hs->waiting_len = waiting.len;
}

/* Whether a record of the new epoch, while the server's Finished is awaited, does not verify; tried on a copy (RFC 6347
 * §4.1.2.7). CBC is mbedtls' to judge. */
static bool is_forged(const struct client_handshake *hs, struct slice record) {
    if (hs->suite->aead == RECORD_CBC)
        return false;
    struct dtls_keys keys = hs->keys;
    struct record opened;
    size_t used;
    uint8_t *copy = malloc(record.len);
    if (copy == NULL)
        return true;
    memcpy(copy, record.data, record.len);
    keys.epoch = epoch_of(record);
    keys.cid_len = record.data[0] == RECORD_TLS12_CID ? hs->cid_len : 0;
    memcpy(keys.cid, hs->cid, sizeof keys.cid);
    keys.draft = hs->layer->draft;
    bool forged = record_open(&keys, copy, record.len, &opened, &used) != RECORD_CONTENT;
    mbedtls_platform_zeroize(copy, record.len);
    free(copy);
    mbedtls_platform_zeroize(&keys, sizeof keys);
    return forged;
}

static int on_recv(void *arg, unsigned char *out, size_t len) {
    struct client_handshake *hs = arg;
    uint16_t now = present_epoch(hs);
    bool awaits_finished = now > 0 && hs->ssl.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_SERVER_FINISHED;
    struct slice record;
    for (size_t at = 0; client_handshake_take(hs, &at, &record);) {
        uint16_t epoch = epoch_of(record);
        if (epoch > now)
            continue;
        if (record.len > len || (epoch == now && awaits_finished && is_forged(hs, record))) {
            unlink_record(hs, at, record.len);
            at -= 2 + record.len;
            continue;
        }
        if (epoch == 0 && record.data[0] == RECORD_ALERT && record.len >= PLAINTEXT_ALERT &&
            record.data[RECORD_HEADER] == MBEDTLS_SSL_ALERT_LEVEL_FATAL)
            hs->alert_received = record.data[RECORD_HEADER + 1];
        int taken = (int)record.len;
        memcpy(out, record.data, record.len);
        unlink_record(hs, at, record.len);
        return taken;
    }
    return MBEDTLS_ERR_SSL_WANT_READ;
}

/* ---- what mbedtls asks ---- */

static int on_send(void *arg, const unsigned char *bytes, size_t len) {
    struct client_handshake *hs = arg;
    if (len == PLAINTEXT_ALERT && bytes[0] == RECORD_ALERT && bytes[4] == 0)
        hs->alert_sent = bytes[RECORD_HEADER + 1];
    hs->send(hs->arg, slice_of(bytes, len));
    return (int)len; /* what is lost comes again */
}

static void on_set_timer(void *arg, uint32_t intermediate_ms, uint32_t final_ms) {
    struct client_handshake *hs = arg;
    hs->timer_is_set = final_ms != 0;
    hs->intermediate_ms = hs->now_ms + intermediate_ms;
    hs->final_ms = hs->now_ms + final_ms;
}

static int on_get_timer(void *arg) {
    const struct client_handshake *hs = arg;
    if (!hs->timer_is_set)
        return -1;
    if (hs->now_ms >= hs->final_ms)
        return 2;
    return hs->now_ms >= hs->intermediate_ms ? 1 : 0;
}

static void log_keys(const struct client_handshake *hs, const uint8_t client_random[32], struct slice secret) {
    char line[KEY_LOG_LINE_MAX];
    struct buffer out = buffer_over(line, sizeof line);
    key_log_put_line(&out, "CLIENT_RANDOM", client_random, secret);
    hs->key_log(hs->arg, line);
    mbedtls_platform_zeroize(line, sizeof line);
}

static void on_keys(void *arg, mbedtls_ssl_key_export_type type, const unsigned char *secret, size_t len,
                    const unsigned char client_random[32], const unsigned char server_random[32],
                    mbedtls_tls_prf_types prf) {
    struct client_handshake *hs = arg;
    (void)prf;
    if (type != MBEDTLS_SSL_KEY_EXPORT_TLS12_MASTER_SECRET || len != 48)
        return;
    if (hs->key_log != NULL)
        log_keys(hs, client_random, slice_of(secret, len));
    if (hs->suite->aead != RECORD_CBC)
        record_expand_keys(&hs->keys, hs->suite, secret, client_random, server_random, false);
}

/* ---- a handshake's life ---- */

static void resume(struct client_handshake *hs, struct slice saved) {
    mbedtls_ssl_session session;
    mbedtls_ssl_session_init(&session);
    if (mbedtls_ssl_session_load(&session, saved.data, saved.len) == 0 &&
        mbedtls_ssl_set_session(&hs->ssl, &session) == 0) {
        hs->session_id_len = mbedtls_ssl_session_get_id_len(&session);
        memcpy(hs->session_id, *mbedtls_ssl_session_get_id(&session), hs->session_id_len);
    }
    mbedtls_ssl_session_free(&session);
}

bool client_handshake_start(struct client_handshake *hs, const mbedtls_ssl_config *config, const char *server_name,
                            const struct dtls_client_params *params, struct slice session) {
    const struct dtls_layer *layer = params->cid == DTLS_CLIENT_CID_DRAFT ? dtls_layer_draft() : dtls_layer_rfc9146();
    hs->layer = layer;
    hs->suite = params->suite;
    hs->fault = DTLS_FAULT_TIMEOUT;
    hs->alert_sent = hs->alert_received = -1;
    hs->now_ms = clock_now_ms(hs->clock);
    layer->init(&hs->ssl);
    if (layer->setup(&hs->ssl, config) != 0 || (!params->suite->psk && layer->set_hostname(&hs->ssl, server_name) != 0))
        return false;
    if (params->cid != DTLS_CLIENT_NO_CID) {
        hs->cid_len = params->cid_length;
        random_bytes(hs->cid, hs->cid_len);
        if (layer->set_cid(&hs->ssl, MBEDTLS_SSL_CID_ENABLED, hs->cid, hs->cid_len) != 0)
            return false;
    }
    layer->set_bio(&hs->ssl, hs, on_send, on_recv, NULL);
    layer->set_timer_cb(&hs->ssl, hs, on_set_timer, on_get_timer);
    layer->set_mtu(&hs->ssl, params->mtu);
    layer->set_export_keys_cb(&hs->ssl, on_keys, hs);
    if (session.len > 0)
        resume(hs, session);
    return true;
}

void client_handshake_end(struct client_handshake *hs) {
    timer_cancel(hs->wheel, &hs->retransmit);
    if (hs->layer != NULL)
        hs->layer->free(&hs->ssl);
    if (hs->plain != NULL)
        mbedtls_platform_zeroize(hs->plain, RECORD_CONTENT_MAX);
    free(hs->plain);
    mbedtls_platform_zeroize(hs, sizeof *hs);
}

/* ---- steps ---- */

static enum dtls_fault fault_of(const struct client_handshake *hs, int error) {
    if (hs->alert_received >= 0)
        return DTLS_FAULT_ALERT;
    switch (error) {
    case MBEDTLS_ERR_SSL_TIMEOUT:
        return DTLS_FAULT_TIMEOUT;
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
    case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
        return DTLS_FAULT_CERTIFICATE_REFUSED;
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
    case MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER:
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

static void fail(struct client_handshake *hs, int error) {
    bool closed = error == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY && hs->state == CLIENT_HANDSHAKE_OVER;
    hs->fault = fault_of(hs, error);
    hs->state = closed ? CLIENT_HANDSHAKE_CLOSED : CLIENT_HANDSHAKE_FAILED;
}

static const mbedtls_ssl_session *session_of_handshake(const struct client_handshake *hs) {
    return hs->ssl.MBEDTLS_PRIVATE(session);
}

/* The server resumes a session by giving its ID back (RFC 5246 §7.4.1.3). */
static void take_end(struct client_handshake *hs) {
    const mbedtls_ssl_session *session = session_of_handshake(hs);
    hs->state = CLIENT_HANDSHAKE_OVER;
    hs->resumed = hs->session_id_len > 0 &&
                  slice_equal(slice_of(*mbedtls_ssl_session_get_id(session), mbedtls_ssl_session_get_id_len(session)),
                              slice_of(hs->session_id, hs->session_id_len));
    hs->lasts = hs->resumed || hs->suite->aead == RECORD_CBC;
}

static int read_plain(struct client_handshake *hs) {
    if (hs->plain == NULL && (hs->plain = malloc(RECORD_CONTENT_MAX)) == NULL)
        return MBEDTLS_ERR_SSL_WANT_READ;
    int n = hs->layer->read(&hs->ssl, hs->plain, RECORD_CONTENT_MAX);
    hs->plain_len = n > 0 ? (size_t)n : 0;
    return n;
}

static void run(struct client_handshake *hs) {
    for (unsigned rounds = 0; rounds < ROUNDS_WITHOUT_PROGRESS;) {
        size_t before = hs->waiting_len;
        bool was_over = hs->state == CLIENT_HANDSHAKE_OVER;
        int result = was_over ? read_plain(hs) : hs->layer->handshake(&hs->ssl);
        if (result == 0 && !was_over)
            take_end(hs);
        else if (result < 0 && result != MBEDTLS_ERR_SSL_WANT_READ && result != MBEDTLS_ERR_SSL_WANT_WRITE)
            fail(hs, result);
        if (hs->state >= CLIENT_HANDSHAKE_FAILED || (hs->state == CLIENT_HANDSHAKE_OVER && !was_over) ||
            hs->plain_len > 0 || hs->waiting_len == 0)
            return;
        rounds = hs->waiting_len < before ? 0 : rounds + 1;
    }
}

static void on_retransmit(struct timer *timer, void *arg);

static void step_at(struct client_handshake *hs, uint64_t now_ms) {
    hs->now_ms = now_ms;
    hs->plain_len = 0;
    run(hs);
    if (hs->timer_is_set && hs->state < CLIENT_HANDSHAKE_FAILED)
        timer_schedule(hs->wheel, &hs->retransmit, hs->final_ms, on_retransmit);
    else
        timer_cancel(hs->wheel, &hs->retransmit);
}

void client_handshake_step(struct client_handshake *hs) {
    step_at(hs, clock_now_ms(hs->clock));
}

/* The wheel's time, since a leap of the clock is run through from due time to due time. */
static void on_retransmit(struct timer *timer, void *arg) {
    (void)arg;
    struct client_handshake *hs = TIMER_OWNER(timer, struct client_handshake, retransmit);
    step_at(hs, hs->wheel->now_ms);
    hs->timed_out(hs);
}

/* ---- afterwards ---- */

int client_handshake_write(struct client_handshake *hs, struct slice message) {
    if (message.len == 0)
        return 0;
    if ((int)message.len > hs->layer->get_max_out_record_payload(&hs->ssl))
        return -EMSGSIZE;
    return hs->layer->write(&hs->ssl, message.data, message.len) == (int)message.len ? 0 : -EIO;
}

void client_handshake_say_bye(struct client_handshake *hs) {
    hs->layer->send_alert(&hs->ssl, MBEDTLS_SSL_ALERT_LEVEL_WARNING, MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY);
}

struct dtls_keys client_handshake_keys(const struct client_handshake *hs) {
    struct dtls_keys keys = hs->keys;
    mbedtls_ssl_context *ssl = (mbedtls_ssl_context *)(uintptr_t)&hs->ssl;
    uint8_t peer_cid[MBEDTLS_SSL_CID_OUT_LEN_MAX];
    size_t peer_cid_len = 0;
    int enabled = MBEDTLS_SSL_CID_DISABLED;
    int max_content = mbedtls_ssl_get_max_in_record_payload(ssl);
    hs->layer->get_peer_cid(ssl, &enabled, peer_cid, &peer_cid_len);
    if (enabled == MBEDTLS_SSL_CID_ENABLED) {
        keys.cid_len = hs->cid_len;
        memcpy(keys.cid, hs->cid, hs->cid_len);
        keys.peer_cid_len = (uint8_t)peer_cid_len;
        memcpy(keys.peer_cid, peer_cid, peer_cid_len);
        keys.draft = hs->layer->draft;
    }
    keys.epoch = (uint16_t)slice_number(slice_of(ssl->MBEDTLS_PRIVATE(cur_out_ctr), 2));
    keys.next_number = slice_number(slice_of(ssl->MBEDTLS_PRIVATE(cur_out_ctr) + 2, 6));
    keys.number_limit = keys.next_number;
    keys.window_top = ssl->MBEDTLS_PRIVATE(in_window_top);
    keys.window_bits = ssl->MBEDTLS_PRIVATE(in_window);
    keys.max_content =
        (uint16_t)(max_content > 0 && max_content < RECORD_CONTENT_MAX ? max_content : RECORD_CONTENT_MAX);
    return keys;
}

void client_handshake_put_session(const struct client_handshake *hs, struct buffer *out) {
    mbedtls_ssl_session bare = *session_of_handshake(hs);
    size_t len = 0;
    bare.MBEDTLS_PRIVATE(peer_cert) = NULL; /* it was judged, and abbreviated handshakes show none */
    if (mbedtls_ssl_session_get_id_len(&bare) > 0 &&
        mbedtls_ssl_session_save(&bare, out->data + out->len, out->cap - out->len, &len) == 0)
        out->len += len;
    mbedtls_platform_zeroize(&bare, sizeof bare);
}
