/* From a ClientHello to a session: cookies, limits, the handshakes that are pending, and what they ask of the owner. */
#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory_limit.h"
#include "common/base/random.h"
#include "common/net/dtls_state.h"
#include "common/net/key_log.h"

enum {
    CID_DRAWS = 32,
    CID_WITH_NODE = 4, /* a shorter CID is all random: it has no room for the node's number */
    VERIFY_REQUEST_LEN = 36,
};

/* ---- the table ---- */

bool pending_init(struct dtls *dtls) {
    struct pending_table *table = &dtls->pending;
    table->buckets = 64;
    while (table->buckets < dtls->params.handshakes_max)
        table->buckets *= 2;
    table->key = hash_key_random();
    table->by_address = calloc(table->buckets, sizeof(struct handshake *));
    table->by_cid = calloc(table->buckets, sizeof(struct handshake *));
    return table->by_address != NULL && table->by_cid != NULL;
}

static struct handshake **head_by_address(const struct dtls *dtls, const struct listener *listener,
                                          const struct address *peer) {
    struct {
        struct address peer;
        uint64_t listener;
    } key = {*peer, listener->number};
    const struct pending_table *table = &dtls->pending;
    return &table->by_address[hash_siphash(&table->key, &key, sizeof key) & (table->buckets - 1)];
}

static struct handshake **head_by_cid(const struct dtls *dtls, const uint8_t *cid, size_t len) {
    const struct pending_table *table = &dtls->pending;
    return &table->by_cid[hash_siphash(&table->key, cid, len) & (table->buckets - 1)];
}

struct handshake *pending_find(const struct dtls *dtls, const struct listener *listener, const struct address *peer) {
    struct handshake *hs = *head_by_address(dtls, listener, peer);
    while (hs != NULL && (hs->proof.listener != listener || !address_equal(&hs->peer, peer)))
        hs = hs->hash_next;
    return hs;
}

static bool cid_is_pending(const struct dtls *dtls, const uint8_t *cid, size_t len) {
    struct handshake *hs = *head_by_cid(dtls, cid, len);
    while (hs != NULL && memcmp(hs->cid, cid, len) != 0)
        hs = hs->hash_next_cid;
    return hs != NULL;
}

static void take_out(struct dtls *dtls, struct handshake *hs) {
    struct handshake **at = head_by_address(dtls, hs->proof.listener, &hs->peer);
    while (*at != hs)
        at = &(*at)->hash_next;
    *at = hs->hash_next;
    dtls->pending.count--;
    if (hs->cid_len == 0)
        return;
    at = head_by_cid(dtls, hs->cid, hs->cid_len);
    while (*at != NULL && *at != hs)
        at = &(*at)->hash_next_cid;
    if (*at == hs)
        *at = hs->hash_next_cid;
}

static void discard(struct dtls *dtls, struct handshake *hs) {
    take_out(dtls, hs);
    dtls_unfeed(dtls, hs);
    handshake_free(hs);
}

void pending_free(struct dtls *dtls) {
    for (size_t i = 0; dtls->pending.by_address != NULL && i < dtls->pending.buckets; i++) {
        while (dtls->pending.by_address[i] != NULL)
            discard(dtls, dtls->pending.by_address[i]);
    }
    free(dtls->pending.by_address);
    free(dtls->pending.by_cid);
}

/* Tell the owner that a handshake came to nothing, and forget it. */
static void give_up(struct dtls *dtls, struct handshake *hs, enum dtls_fault fault) {
    struct dtls_failure failure = {
        .listener = hs->proof.listener,
        .peer = hs->peer,
        .fault = fault,
        .alert_sent = hs->alert_sent,
        .alert_received = hs->alert_received,
        .identity = {.security = LINK_NO_SECURITY},
        .bytes_in = hs->traffic.handshake_in,
        .bytes_out = hs->traffic.handshake_out,
    };
    uint8_t name[DTLS_IDENTITY_MAX];
    if (!hs->busy)
        failure.identity = hs->proof.identity;
    if (failure.identity.name.len > 0)
        memcpy(name, failure.identity.name.data, failure.identity.name.len);
    failure.identity.name.data = name;
    discard(dtls, hs);
    dtls->counters.handshakes_failed++;
    if (dtls->handlers.failed != NULL)
        dtls->handlers.failed(dtls->arg, &failure);
}

void pending_drop(struct dtls *dtls, bool (*matches)(const struct link_identity *identity, const void *arg),
                  const void *arg) {
    for (size_t i = 0; i < dtls->pending.buckets; i++) {
        for (struct handshake *hs = dtls->pending.by_address[i], *next; hs != NULL; hs = next) {
            next = hs->hash_next;
            /* One whose step is on the pool may be about to become anyone: it is asked about at the end. */
            hs->suspect = hs->suspect || hs->busy;
            if (!hs->busy && matches(&hs->proof.identity, arg))
                discard(dtls, hs);
        }
    }
}

/* ---- hellos ---- */

static void count_hello(struct dtls *dtls, uint64_t now_ms) {
    if (now_ms / 1000 != dtls->second) {
        dtls->second = now_ms / 1000;
        dtls->hellos_this_second = dtls->begun_this_second = 0;
    }
    dtls->hellos_this_second++;
    dtls->counters.hellos++;
}

static bool wants_cookie(const struct dtls *dtls) {
    switch (dtls->params.cookie) {
    case DTLS_COOKIE_ALWAYS:
        return true;
    case DTLS_COOKIE_NEVER:
        return false;
    case DTLS_COOKIE_UNDER_LOAD:
        break;
    }
    return dtls->pending.count >= dtls->params.under_load_pending ||
           dtls->hellos_this_second > dtls->params.under_load_per_s;
}

static void ask_for_cookie(struct dtls *dtls, const struct arrival *arrival, const struct hello_fragment *fragment,
                           const struct client_hello *hello) {
    uint8_t cookie[HELLO_COOKIE_LEN], bytes[VERIFY_REQUEST_LEN];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    cookie_make(&dtls->cookies, clock_now_ms(dtls->clock), arrival->listener->number, arrival->peer, hello, cookie);
    hello_put_verify_request(&out, fragment, cookie);
    dtls->counters.hello_verifies++;
    dtls_transmit(dtls, arrival->listener, arrival->peer, arrival->local, buffer_slice(&out));
}

/* Random, not in use, and with our node's number in front. False: none was found. */
static bool draw_cid(const struct dtls *dtls, uint8_t *cid, size_t len) {
    for (int i = 0; i < CID_DRAWS; i++) {
        random_bytes(cid, len);
        if (len >= CID_WITH_NODE)
            cid[0] = dtls->params.node;
        if (session_find_cid(&dtls->sessions, slice_of(cid, len)) == NULL && !cid_is_pending(dtls, cid, len))
            return true;
    }
    return false;
}

/* The hello is whole. */
static void start(struct dtls *dtls, struct handshake *hs, const struct client_hello *hello) {
    const struct dtls_layer *draft = dtls_layer_draft();
    bool is_draft = !hello->has_cid && hello->has_draft_cid && draft != NULL;
    uint8_t cid[DTLS_CID_MAX];
    size_t cid_len = 0;
    /* mbedtls would refuse the hello for the sake of a CID that is too long for it. */
    if ((is_draft || hello->has_cid) && hello->cid_len <= DTLS_CID_MAX && dtls->params.cid_length > 0 &&
        draw_cid(dtls, cid, dtls->params.cid_length))
        cid_len = dtls->params.cid_length;
    if (!handshake_start(hs, hello, is_draft ? draft : dtls_layer_rfc9146(), cid, cid_len)) {
        hs->cid_len = 0; /* not in the table yet */
        give_up(dtls, hs, DTLS_FAULT_INTERNAL);
        return;
    }
    if (cid_len > 0) {
        struct handshake **head = head_by_cid(dtls, cid, cid_len);
        hs->hash_next_cid = *head;
        *head = hs;
    }
}

/* Part of the hello, or all of it, for a handshake that is waiting for it. */
static void gather(struct dtls *dtls, struct handshake *hs, const struct hello_fragment *fragment) {
    struct slice body = fragment->bytes;
    struct client_hello hello;
    if (fragment->bytes.len < fragment->message_len) {
        if (hs->assembly == NULL && (hs->assembly = calloc(1, sizeof *hs->assembly)) == NULL)
            return;
        if (!hello_assemble(hs->assembly, fragment)) {
            give_up(dtls, hs, DTLS_FAULT_PROTOCOL);
            return;
        }
        if (!hello_is_whole(hs->assembly))
            return;
        body = slice_of(hs->assembly->body, hs->assembly->message_len);
    }
    if (hello_read(body, true, &hello))
        start(dtls, hs, &hello);
    else
        give_up(dtls, hs, DTLS_FAULT_PROTOCOL);
}

static void feed_hello(struct dtls *dtls, struct handshake *hs, const struct arrival *arrival,
                       const struct hello_fragment *fragment) {
    bool gathering = !hs->busy && hs->state == HANDSHAKE_GATHERING;
    /* mbedtls gives a handshake up over a record that comes twice before the hello is whole (RFC 6347 §4.2.6). */
    if (gathering && hs->assembly != NULL && hello_has(hs->assembly, fragment))
        return;
    dtls_feed(dtls, hs, arrival);
    if (gathering)
        gather(dtls, hs, fragment);
}

static struct handshake *begin(struct dtls *dtls, const struct arrival *arrival, const struct client_hello *hello) {
    if (dtls->pending.count >= dtls->params.handshakes_max || memory_limit_is_reached() ||
        dtls->begun_this_second >= dtls->params.handshakes_per_s) {
        dtls->counters.handshakes_refused++;
        return NULL;
    }
    struct handshake *hs = handshake_new(&dtls->engine, arrival->listener, arrival->peer, arrival->local);
    if (hs == NULL)
        return NULL;
    memcpy(hs->random, hello->random.data, sizeof hs->random);
    struct handshake **head = head_by_address(dtls, arrival->listener, arrival->peer);
    hs->hash_next = *head;
    *head = hs;
    dtls->pending.count++;
    dtls->begun_this_second++;
    dtls->counters.handshakes_begun++;
    return hs;
}

/* Whether this hello has led to a session already, and was only long on its way. */
static bool is_late_copy(const struct dtls *dtls, const struct arrival *arrival, const struct client_hello *hello) {
    const struct dtls_session *session = session_first_at(&dtls->sessions, arrival->listener, arrival->peer);
    for (; session != NULL; session = session_next_at(session)) {
        if (session->live != NULL && memcmp(session->live->random, hello->random.data, 32) == 0)
            return true;
    }
    return false;
}

void pending_on_hello(struct dtls *dtls, const struct arrival *arrival, const struct hello_fragment *fragment) {
    struct handshake *hs = pending_find(dtls, arrival->listener, arrival->peer);
    struct client_hello hello;
    uint64_t now_ms = clock_now_ms(dtls->clock);
    if (fragment->offset > 0) {
        if (hs != NULL)
            feed_hello(dtls, hs, arrival, fragment);
        return;
    }
    if (!hello_read(fragment->bytes, fragment->bytes.len == fragment->message_len, &hello))
        return;
    count_hello(dtls, now_ms);
    if (hs != NULL && memcmp(hs->random, hello.random.data, sizeof hs->random) == 0) {
        feed_hello(dtls, hs, arrival, fragment); /* again: our flight was lost */
        return;
    }
    if (is_late_copy(dtls, arrival, &hello))
        return;
    bool proven = cookie_check(&dtls->cookies, now_ms, arrival->listener->number, arrival->peer, &hello);
    if (!proven && wants_cookie(dtls)) {
        ask_for_cookie(dtls, arrival, fragment, &hello);
        return;
    }
    if (hs != NULL)
        give_up(dtls, hs, DTLS_FAULT_REPLACED);
    hs = begin(dtls, arrival, &hello);
    if (hs == NULL)
        return;
    if (proven) { /* the first exchange, of which nothing was kept, belongs to this handshake's cost */
        hs->traffic.handshake_in = (uint32_t)(arrival->len - HELLO_COOKIE_LEN);
        hs->traffic.handshake_out = VERIFY_REQUEST_LEN;
        hs->traffic.handshake_datagrams_in = hs->traffic.handshake_datagrams_out = 1;
    }
    feed_hello(dtls, hs, arrival, fragment);
}

/* ---- what handshakes ask ---- */

static bool host_psk(void *arg, struct proof *proof, struct slice identity, struct buffer *key) {
    struct dtls *dtls = arg;
    return dtls->handlers.psk(dtls->arg, proof->listener, identity, key);
}

static int host_certificate(void *arg, struct proof *proof, const struct dtls_peer_certificate *certificate) {
    struct dtls *dtls = arg;
    if (dtls->handlers.certificate != NULL)
        return dtls->handlers.certificate(dtls->arg, proof->listener, certificate);
    if (!certificate->chain_trusted)
        return MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA;
    return certificate->dates_good ? 0 : MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED;
}

static void host_resume_put(void *arg, struct proof *proof, struct slice session_id, struct slice secret) {
    struct dtls *dtls = arg;
    uint64_t expires_ms = clock_now_ms(dtls->clock) + dtls->params.resume_ms;
    if (dtls->handlers.resume_put != NULL)
        dtls->handlers.resume_put(dtls->arg, session_id, &proof->identity, secret, expires_ms);
}

static bool host_resume_get(void *arg, struct proof *proof, struct slice session_id, struct buffer *secret) {
    struct dtls *dtls = arg;
    (void)proof;
    return dtls->handlers.resume_get(dtls->arg, session_id, secret);
}

static bool host_permitted(void *arg, struct proof *proof) {
    struct dtls *dtls = arg;
    return dtls->handlers.permitted == NULL ||
           dtls->handlers.permitted(dtls->arg, proof->listener, &proof->identity, proof->chain_trusted);
}

static void host_send(void *arg, struct handshake *hs, struct slice datagram) {
    struct dtls *dtls = arg;
    struct dtls_session *session = hs->session;
    struct dtls_traffic *traffic = session != NULL ? &session->traffic : &hs->traffic;
    if (dtls->writing) {
        traffic->records_out += (uint32_t)datagram.len;
    } else {
        traffic->handshake_out += (uint32_t)datagram.len;
        traffic->handshake_datagrams_out++;
        if (session != NULL)
            link_tell_watcher(&session->link, true, SLICE_NONE, datagram.len);
    }
    dtls_transmit(dtls, hs->proof.listener, session != NULL ? &session->link.peer : &hs->peer,
                  session != NULL ? &session->link.local : &hs->local, datagram);
}

static void log_keys(struct dtls *dtls, const struct handshake *hs) {
    char line[KEY_LOG_LINE_MAX];
    struct buffer out = buffer_over(line, sizeof line);
    key_log_put_line(&out, "CLIENT_RANDOM", hs->client_random, slice_of(hs->master, sizeof hs->master));
    const struct dtls_session *session = hs->session;
    dtls->handlers.key_log(dtls->arg, hs->proof.listener, session != NULL ? &session->link.peer : &hs->peer, line);
    mbedtls_platform_zeroize(line, sizeof line);
}

/* Proven: what came behind the Finished is the session's. */
static void establish(struct dtls *dtls, struct handshake *hs) {
    struct listener *listener = hs->proof.listener;
    struct address local = hs->local;
    struct handshake_record *early = handshake_take_all(&hs->records), *waiting = handshake_take_all(&hs->inbox);
    take_out(dtls, hs);
    dtls_unfeed(dtls, hs);
    bool dropped = hs->suspect && (dtls->handlers.permitted == NULL || !host_permitted(dtls, &hs->proof));
    if (dropped || !association_establish(dtls, hs))
        handshake_free(hs);
    dtls_dispatch_waiting(dtls, listener, &local, early);
    dtls_dispatch_waiting(dtls, listener, &local, waiting);
}

static void host_stepped(void *arg, struct handshake *hs) {
    struct dtls *dtls = arg;
    if (hs->exports_known < hs->exports && dtls->handlers.key_log != NULL)
        log_keys(dtls, hs);
    if (hs->session != NULL) {
        association_stepped(dtls, hs);
        return;
    }
    hs->exports_known = hs->exports;
    switch (hs->state) {
    case HANDSHAKE_OVER:
        establish(dtls, hs);
        return;
    case HANDSHAKE_FAILED:
    case HANDSHAKE_CLOSED:
        give_up(dtls, hs, hs->proof.fault);
        return;
    case HANDSHAKE_GATHERING:
    case HANDSHAKE_RUNNING:
        break;
    }
    dtls_dispatch_waiting(dtls, hs->proof.listener, &hs->local, handshake_take_all(&hs->inbox));
}

static void host_timed_out(void *arg, struct handshake *hs) {
    struct dtls *dtls = arg;
    if (hs->session != NULL)
        association_timed_out(dtls, hs);
    else if (hs->busy)
        give_up(dtls, hs, DTLS_FAULT_TIMEOUT);
    else
        give_up(dtls, hs,
                hs->proof.fault == DTLS_FAULT_TIMEOUT && hs->bad_finished > 0 ? DTLS_FAULT_WRONG_KEY : hs->proof.fault);
}

const struct proof_host pending_proof_host = {
    .psk = host_psk,
    .certificate = host_certificate,
    .resume_put = host_resume_put,
    .resume_get = host_resume_get,
    .permitted = host_permitted,
};

const struct handshake_host pending_host = {
    .send = host_send,
    .stepped = host_stepped,
    .timed_out = host_timed_out,
};
