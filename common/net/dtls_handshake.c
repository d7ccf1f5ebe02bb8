#include "common/net/dtls_handshake.h"

#include <errno.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>

#include "common/base/random.h"

enum {
    QUEUE_RECORDS = 24, /* that wait; a flight with certificates in pieces of 256 bytes has fewer */
    QUEUE_BYTES = 24 << 10,
    ROUNDS_WITHOUT_PROGRESS = 2,
    PLAINTEXT_ALERT = RECORD_HEADER + 2,
};

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
    hs->intermediate_ms = hs->proof.now_ms + intermediate_ms;
    hs->final_ms = hs->proof.now_ms + final_ms;
}

static int on_get_timer(void *arg) {
    const struct handshake *hs = arg;
    if (!hs->timer_is_set)
        return -1;
    if (hs->proof.now_ms >= hs->final_ms)
        return 2;
    return hs->proof.now_ms >= hs->intermediate_ms ? 1 : 0;
}

/* ---- what mbedtls tells ---- */

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
    hs->proof.engine = &engine->proofs;
    hs->proof.listener = listener;
    hs->peer = *peer;
    hs->local = *local;
    hs->alert_sent = hs->alert_received = -1;
    hs->proof.fault = DTLS_FAULT_TIMEOUT;
    hs->begun_ms = hs->proof.now_ms = clock_now_ms(engine->clock);
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
        if (hello_offers(hello, suite->id) && suite->psk && !suite->ephemeral && hs->engine->proofs.host.psk != NULL)
            return false;
    }
    return true;
}

static void configure(struct handshake *hs, bool offers_cid) {
    /* A client of the draft may forget the CID in the abbreviated handshake (mbedtls before 2.28.1), and would be lost. */
    bool resumes = !hs->layer->draft;
    proof_begin(&hs->proof, hs->layer->set_hs_own_cert, resumes, resumes && hs->engine->params->tickets);
    if (offers_cid)
        mbedtls_ssl_conf_cid(&hs->proof.config, hs->cid_len, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE);
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
    if (layer->setup(&hs->ssl, &hs->proof.config) != 0 ||
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

static void fail(struct handshake *hs, int error) {
    if (error == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY && hs->state == HANDSHAKE_OVER) {
        hs->state = HANDSHAKE_CLOSED;
        return;
    }
    int alert = proof_alert_of(error);
    if (hs->state == HANDSHAKE_RUNNING && hs->alert_sent < 0 && alert >= 0)
        hs->layer->send_alert(&hs->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, (unsigned char)alert);
    if (error == MBEDTLS_ERR_SSL_TIMEOUT)
        hs->proof.fault = hs->bad_finished > 0 ? DTLS_FAULT_WRONG_KEY : hs->proof.fault;
    else
        hs->proof.fault = proof_fault_of(&hs->proof, error);
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

static void run_on_pool(void *arg) {
    run(arg);
}

static void on_run(void *arg) {
    struct handshake *hs = arg;
    hs->busy = hs->proof.on_pool = false;
    if (hs->doomed)
        free_now(hs);
    else
        stepped(hs);
}

static void step_at(struct handshake *hs, uint64_t now_ms) {
    if (hs->busy)
        return;
    hs->proof.now_ms = now_ms;
    hs->proof.on_pool = hs->busy = hs->pooled;
    if (hs->pooled) {
        hs->step = (struct proof_step){.run = run_on_pool, .done = on_run, .arg = hs};
        proof_engine_run(&hs->engine->proofs, &hs->step);
        return;
    }
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
    keys.epoch = (uint16_t)slice_number(slice_of(ssl->MBEDTLS_PRIVATE(cur_out_ctr), 2));
    keys.next_number = slice_number(slice_of(ssl->MBEDTLS_PRIVATE(cur_out_ctr) + 2, 6));
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

void handshake_send_alert(struct handshake *hs, uint8_t level, uint8_t alert) {
    if (hs->busy)
        return;
    hs->layer->send_alert(&hs->ssl, level, alert);
    send_out(hs);
}

void handshake_say_bye(struct handshake *hs) {
    handshake_send_alert(hs, MBEDTLS_SSL_ALERT_LEVEL_WARNING, MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY);
}

struct handshake_record *handshake_take_all(struct handshake_queue *queue) {
    struct handshake_record *first = queue->first;
    *queue = (struct handshake_queue){.first = NULL};
    return first;
}

void handshake_refuse_renegotiation(struct handshake *hs) {
    mbedtls_ssl_conf_renegotiation(&hs->proof.config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
}
