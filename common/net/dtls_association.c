/* Established sessions: their records both ways, addresses that change, record numbers that must be reserved, and their
 * end. */
#include <errno.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/net/dtls_state.h"

enum {
    AMPLIFICATION = 3, /* bytes to an unproven address for each byte from there (RFC 9146 §9, as in RFC 9000 §8.1) */
    HELD_MAX = 8,      /* messages that wait for numbers */
    RETRY_HAND_OVER_MS = 1000,
};

static const uint8_t close_notify[2] = {MBEDTLS_SSL_ALERT_LEVEL_WARNING, MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY};
static const uint8_t no_renegotiation[2] = {MBEDTLS_SSL_ALERT_LEVEL_WARNING, MBEDTLS_SSL_ALERT_MSG_NO_RENEGOTIATION};

static int on_link_send(struct link *link, struct slice message);
static void on_link_release(struct link *link);
static const struct link_ops session_link_ops = {.send = on_link_send, .release = on_link_release};

static uint64_t now_of(const struct dtls *dtls) {
    return clock_now_ms(dtls->clock);
}

/* ---- the end ---- */

static void free_held(struct dtls_session *session) {
    while (session->held != NULL) {
        struct held_message *held = session->held;
        session->held = held->next;
        mbedtls_platform_zeroize(held->bytes, held->len);
        free(held);
    }
}

static void drop_live(struct dtls *dtls, struct dtls_session *session) {
    struct handshake *hs = session->live;
    if (hs == NULL)
        return;
    dtls_unfeed(dtls, hs);
    handshake_free(hs);
}

static void stop_lingering(struct dtls *dtls, struct dtls_session *session) {
    if (session->lingering == NULL)
        return;
    timer_cancel(dtls->wheel, &session->lingering->timer);
    free(session->lingering);
    session->lingering = NULL;
}

void association_end(struct dtls_session *session, enum dtls_end end, struct link *successor) {
    struct dtls *dtls = session->dtls;
    struct link *link = &session->link;
    if (dtls == NULL)
        return;
    session->dtls = NULL;
    session_table_remove(&dtls->sessions, session);
    stop_lingering(dtls, session);
    drop_live(dtls, session);
    session->live = NULL;
    free_held(session);
    if (!dtls->closing) {
        if (session->saved && dtls->handlers.forget != NULL)
            dtls->handlers.forget(dtls->arg, link, session->id);
        if (dtls->handlers.closed != NULL)
            dtls->handlers.closed(dtls->arg, link, end, successor);
    }
    link_unref(link);
}

static void on_link_release(struct link *link) {
    struct dtls_session *session = session_of(link);
    session_owner_unref(session->owner);
    session_free(session);
}

static void on_linger(struct timer *timer, void *arg) {
    (void)arg;
    association_end(TIMER_OWNER(timer, struct lingering, timer)->session, DTLS_END_HUNG_UP, NULL);
}

/* ---- those that are quiet ---- */

static void on_idle(struct timer *timer, void *arg);

static struct dtls_session *quietest(const struct dtls *dtls) {
    struct dtls_session *live = dtls->sessions.live.oldest, *lean = dtls->sessions.lean.oldest;
    if (live == NULL || lean == NULL)
        return live != NULL ? live : lean;
    return live->used_ms < lean->used_ms ? live : lean;
}

static void watch_quietest(struct dtls *dtls) {
    const struct dtls_session *session = quietest(dtls);
    if (session != NULL && !timer_is_scheduled(&dtls->idle))
        timer_schedule(dtls->wheel, &dtls->idle, session->used_ms + dtls->params.session_idle_ms, on_idle);
}

/* One a time: a million of them are to be timers like others, of which each turn of the loop fires some. */
static void on_idle(struct timer *timer, void *arg) {
    struct dtls *dtls = TIMER_OWNER(timer, struct dtls, idle);
    (void)arg;
    struct dtls_session *session = quietest(dtls);
    if (session != NULL && session->used_ms + dtls->params.session_idle_ms <= dtls->wheel->now_ms)
        association_end(session, DTLS_END_IDLE, NULL);
    watch_quietest(dtls);
}

/* ---- from mbedtls to record.h ---- */

static bool keeps_rows(const struct dtls *dtls) {
    return dtls->handlers.save != NULL;
}

/* From now on without mbedtls. False: out of memory, and the session has ended. */
static bool hand_over(struct dtls *dtls, struct dtls_session *session, const struct dtls_keys *keys) {
    if (!session_pack_keys(session, keys)) {
        association_end(session, DTLS_END_DROPPED, NULL);
        return false;
    }
    session->keys.number_limit = keeps_rows(dtls) ? keys->next_number + DTLS_NUMBERS_STEP : UINT64_MAX;
    drop_live(dtls, session);
    session->live = NULL;
    session_table_set_lean(&dtls->sessions, session);
    session->saved = session->saving = keeps_rows(dtls);
    if (session->saved)
        dtls->handlers.save(dtls->arg, &session->link);
    return true;
}

void association_timed_out(struct dtls *dtls, struct handshake *hs) {
    struct dtls_session *session = hs->session;
    if (!hs->busy && hs->live)
        return;
    if (hs->busy || handshake_is_under_way(hs)) {
        timer_schedule(dtls->wheel, &hs->timeout, dtls->wheel->now_ms + RETRY_HAND_OVER_MS, hs->timeout.fn);
        return;
    }
    struct dtls_keys keys = handshake_keys(hs);
    hand_over(dtls, session, &keys);
    mbedtls_platform_zeroize(&keys, sizeof keys);
}

/* Room for one more of this identity. */
static void make_room(struct dtls *dtls, const struct link_identity *identity) {
    const struct session_owner *owner = session_owner_find(&dtls->sessions, identity);
    if (owner != NULL && owner->count >= dtls->params.sessions_per_identity) {
        struct dtls_session *quiet = owner->sessions;
        for (struct dtls_session *s = owner->sessions; s != NULL; s = s->owner_next)
            quiet = s->used_ms <= quiet->used_ms ? s : quiet;
        association_end(quiet, DTLS_END_IDLE, NULL);
    }
    if (session_table_count(&dtls->sessions) > 0 && session_table_count(&dtls->sessions) >= dtls->params.sessions_max)
        association_end(quietest(dtls), DTLS_END_IDLE, NULL);
    struct dtls_session *oldest = dtls->sessions.live.oldest;
    if (oldest == NULL || dtls->sessions.live.count < dtls->params.live_max)
        return;
    if (oldest->live->busy || oldest->live->live || handshake_is_under_way(oldest->live)) {
        association_end(oldest, DTLS_END_IDLE, NULL);
        return;
    }
    struct dtls_keys keys = handshake_keys(oldest->live);
    hand_over(dtls, oldest, &keys);
    mbedtls_platform_zeroize(&keys, sizeof keys);
}

/* The session that this one is the successor of: the same identity's from the same address. */
static struct dtls_session *predecessor(const struct dtls *dtls, const struct handshake *hs,
                                        const struct session_owner *owner) {
    struct dtls_session *session = session_first_at(&dtls->sessions, hs->proof.listener, &hs->peer);
    while (session != NULL && session->owner != owner)
        session = session_next_at(session);
    return session;
}

static uint64_t draw_id(const struct dtls *dtls) {
    uint64_t id;
    do {
        random_bytes(&id, sizeof id);
    } while (id == 0 || session_find_id(&dtls->sessions, id) != NULL);
    return id;
}

bool association_establish(struct dtls *dtls, struct handshake *hs) {
    if (hs->proof.identity.security == LINK_NO_SECURITY || hs->suite == NULL)
        return false;
    make_room(dtls, &hs->proof.identity);
    struct dtls_session *session = session_new(&dtls->sessions);
    struct dtls_keys keys = handshake_keys(hs);
    bool packed = session != NULL && session_pack_keys(session, &keys);
    struct session_owner *owner = packed ? session_owner_get(&dtls->sessions, &hs->proof.identity) : NULL;
    mbedtls_platform_zeroize(&keys, sizeof keys);
    if (owner == NULL) {
        if (session != NULL)
            session_free(session);
        return false;
    }
    const struct dtls_session *old = predecessor(dtls, hs, owner);
    uint64_t old_id = old != NULL ? old->id : 0;
    session->dtls = dtls;
    session->id = draw_id(dtls);
    session->owner = owner;
    session->live = hs;
    session->suite = hs->suite->id;
    session->resumed = hs->proof.resumed;
    session->traffic = hs->traffic;
    session->established_ms = session->used_ms = now_of(dtls);
    session->link = (struct link){
        .ops = &session_link_ops,
        .listener = hs->proof.listener,
        .identity = &owner->identity,
        .peer = hs->peer,
        .local = hs->local,
        .refs = 1,
        .verified = true, /* our flight was received there */
    };
    hs->session = session;
    hs->exports_known = hs->exports;
    session_table_add(&dtls->sessions, session);
    watch_quietest(dtls);
    if (hs->live)
        timer_cancel(dtls->wheel, &hs->timeout);

    dtls->counters.handshakes_done++;
    dtls->counters.handshakes_resumed += hs->proof.resumed;
    struct link *link = link_ref(&session->link);
    if (dtls->handlers.established != NULL)
        dtls->handlers.established(dtls->arg, link);
    struct dtls_session *replaced = session_find_id(&dtls->sessions, old_id);
    if (replaced != NULL)
        association_end(replaced, DTLS_END_REPLACED, link);
    if (session->live == hs && hs->plain_len > 0)
        association_stepped(dtls, hs);
    link_unref(link);
    return true;
}

/* ---- sending ---- */

/* To an address that has not shown that it receives, no more than AMPLIFICATION times what came from there. `message` is
 * what the datagram has of it, or empty. */
static int transmit(struct dtls *dtls, struct dtls_session *session, struct slice datagram, struct slice message) {
    struct link *link = &session->link;
    if (!link->verified) {
        if (datagram.len > session->credit) {
            dtls->counters.unproven++;
            return 0; /* as if lost: CoAP sends it again */
        }
        session->credit -= (uint32_t)datagram.len;
        session->sent_unproven = true;
    }
    dtls->counters.records_out++;
    session->traffic.records_out += (uint32_t)datagram.len;
    link_tell_watcher(link, true, message, datagram.len);
    return dtls_transmit(dtls, link->listener, &link->peer, &link->local, datagram);
}

static void ask_for_numbers(struct dtls *dtls, struct dtls_session *session) {
    if (session->reserving || !session->saved || dtls->handlers.reserve == NULL)
        return;
    session->reserving = true;
    dtls->handlers.reserve(dtls->arg, &session->link, session->id, session->keys.number_limit + DTLS_NUMBERS_STEP);
}

static enum record_seal_result seal(struct dtls_session *session, enum record_type type, struct slice content,
                                    struct buffer *out) {
    struct dtls_keys keys;
    session_unpack_keys(session, &keys);
    enum record_seal_result result = record_seal(&keys, type, content, out);
    session_note_record(session, &keys);
    mbedtls_platform_zeroize(&keys, sizeof keys);
    return result;
}

static int seal_and_send(struct dtls *dtls, struct dtls_session *session, enum record_type type, struct slice content) {
    struct buffer out = buffer_over(dtls->out, sizeof dtls->out);
    enum record_seal_result result = seal(session, type, content, &out);
    if (result == RECORD_NO_NUMBERS) {
        ask_for_numbers(dtls, session);
        result = seal(session, type, content, &out); /* an owner may answer at once */
    }
    if (result != RECORD_SEALED)
        return result == RECORD_NO_NUMBERS ? -EAGAIN : -EMSGSIZE;
    bool is_message = type == RECORD_APPLICATION_DATA;
    if (is_message)
        session->traffic.content_out += (uint32_t)content.len;
    int sent = transmit(dtls, session, buffer_slice(&out), is_message ? content : SLICE_NONE);
    if (session->keys.number_limit - session->keys.next_number < DTLS_NUMBERS_STEP / 2)
        ask_for_numbers(dtls, session);
    return sent;
}

/* Until there are numbers, and the session is kept. What does not fit is as good as lost: CoAP sends it again. */
static int hold(struct dtls *dtls, struct dtls_session *session, struct slice message) {
    struct held_message **last = &session->held;
    size_t count = 0;
    for (; *last != NULL; last = &(*last)->next)
        count++;
    struct held_message *held = count < HELD_MAX ? malloc(sizeof *held + message.len) : NULL;
    if (held == NULL)
        return 0;
    held->next = NULL;
    held->len = message.len;
    if (message.len > 0)
        memcpy(held->bytes, message.data, message.len);
    *last = held;
    dtls->counters.held++;
    return 0;
}

static int send_by_mbedtls(struct dtls *dtls, struct dtls_session *session, struct slice message) {
    uint32_t before = session->traffic.records_out;
    dtls->writing = true;
    int result = handshake_write(session->live, message);
    dtls->writing = false;
    if (result == 0) {
        link_tell_watcher(&session->link, true, message, session->traffic.records_out - before);
        dtls->counters.records_out++;
        session->traffic.content_out += (uint32_t)message.len;
    }
    return result == -EAGAIN ? 0 : result; /* while a step is on the pool: as if lost */
}

static int on_link_send(struct link *link, struct slice message) {
    struct dtls_session *session = session_of(link);
    struct dtls *dtls = session->dtls;
    if (dtls == NULL || session->said_bye)
        return -ENOTCONN;
    if (message.len > RECORD_CONTENT_MAX)
        return -EMSGSIZE;
    if (session->live != NULL)
        return send_by_mbedtls(dtls, session, message);
    if (session->held != NULL || session->saving)
        return hold(dtls, session, message);
    int result = seal_and_send(dtls, session, RECORD_APPLICATION_DATA, message);
    return result == -EAGAIN ? hold(dtls, session, message) : result;
}

static void send_held(struct dtls *dtls, struct dtls_session *session) {
    while (!session->saving && session->held != NULL && session->keys.next_number < session->keys.number_limit) {
        struct held_message *held = session->held;
        session->held = held->next;
        seal_and_send(dtls, session, RECORD_APPLICATION_DATA, slice_of(held->bytes, held->len));
        mbedtls_platform_zeroize(held->bytes, held->len);
        free(held);
    }
}

void dtls_reserved(struct dtls *dtls, uint64_t id, uint64_t number_limit) {
    struct dtls_session *session = session_find_id(&dtls->sessions, id);
    if (session == NULL || session->live != NULL)
        return;
    session->reserving = false;
    if (number_limit > session->keys.number_limit)
        session->keys.number_limit = number_limit;
    send_held(dtls, session);
}

void dtls_saved(struct dtls *dtls, uint64_t id) {
    struct dtls_session *session = session_find_id(&dtls->sessions, id);
    if (session == NULL || !session->saving)
        return;
    session->saving = false;
    send_held(dtls, session);
}

/* ---- receiving ---- */

/* RFC 9146 §6: an authentic record, newer than all before, has come from there. */
static void move(struct dtls *dtls, struct dtls_session *session, const struct address *peer) {
    struct address old = session->link.peer;
    session_table_move(&dtls->sessions, session, peer);
    session->link.verified = false;
    session->credit = 0;
    session->sent_unproven = false;
    dtls->counters.moves++;
    if (dtls->handlers.moved != NULL)
        dtls->handlers.moved(dtls->arg, &session->link, &old);
}

/* An authentic record has come. `newest`: newer than all before it. */
static void note_arrival(struct dtls *dtls, struct dtls_session *session, const struct address *peer,
                         const struct address *local, size_t len, bool newest) {
    session->used_ms = now_of(dtls);
    session_table_touch(&dtls->sessions, session);
    session->said_bye = false;
    stop_lingering(dtls, session);
    dtls->counters.records_in++;
    bool same = address_equal(peer, &session->link.peer);
    if (newest && !same)
        move(dtls, session, peer);
    if (newest)
        session->link.local = *local;
    if (session->link.verified || (!newest && !same))
        return;
    /* Something came back after we sent there: it receives. */
    session->link.verified = newest && session->sent_unproven;
    session->credit += AMPLIFICATION * (uint32_t)len;
}

static void deliver(struct dtls *dtls, struct dtls_session *session, struct slice content) {
    if (content.len == 0)
        return;
    session->traffic.content_in += (uint32_t)content.len;
    if (session->saved && dtls->handlers.touched != NULL)
        dtls->handlers.touched(dtls->arg, &session->link);
    dtls->handlers.receive(dtls->arg, &session->link, content);
}

static void on_alert(struct dtls *dtls, struct dtls_session *session, struct slice content) {
    if (content.len != 2)
        return;
    if (content.data[1] == MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY) {
        /* RFC 5246 §7.2.1: answered with one of ours. */
        seal_and_send(dtls, session, RECORD_ALERT, slice_of(close_notify, sizeof close_notify));
        association_end(session, DTLS_END_CLOSED_BY_PEER, NULL);
    } else if (content.data[0] == MBEDTLS_SSL_ALERT_LEVEL_FATAL) {
        association_end(session, DTLS_END_ALERT, NULL);
    }
}

/* What an opened record holds. */
static void take_content(struct dtls *dtls, struct dtls_session *session, const struct record *record) {
    switch (record->type) {
    case RECORD_APPLICATION_DATA:
        deliver(dtls, session, record->content);
        break;
    case RECORD_ALERT:
        on_alert(dtls, session, record->content);
        break;
    case RECORD_HANDSHAKE:
        /* A ClientHello asks for a renegotiation. Anything else is a late copy from the handshake. */
        if (record->content.len > 0 && record->content.data[0] == MBEDTLS_SSL_HS_CLIENT_HELLO)
            seal_and_send(dtls, session, RECORD_ALERT, slice_of(no_renegotiation, sizeof no_renegotiation));
        break;
    default:
        break;
    }
}

static void on_record(struct dtls *dtls, struct dtls_session *session, const struct arrival *arrival,
                      const struct record *record) {
    struct link *link = link_ref(&session->link);
    session->traffic.records_in += (uint32_t)arrival->len;
    link_tell_watcher(link, false, record->type == RECORD_APPLICATION_DATA ? record->content : SLICE_NONE,
                      arrival->len);
    note_arrival(dtls, session, arrival->peer, arrival->local, arrival->len, record->newest);
    if (session->dtls != NULL)
        take_content(dtls, session, record);
    link_unref(link);
}

static void count_refused(struct dtls *dtls, enum record_result result) {
    if (result == RECORD_REPLAY)
        dtls->counters.replays++;
    else if (result == RECORD_BAD)
        dtls->counters.bad_records++;
    else
        dtls->counters.unknown_records++;
}

static void receive_lean(struct dtls *dtls, struct dtls_session *session, struct arrival *arrival) {
    struct record record;
    size_t used;
    struct dtls_keys keys;
    session_unpack_keys(session, &keys);
    enum record_result result = record_open(&keys, arrival->bytes, arrival->len, &record, &used);
    bool worn = record_keys_worn(&keys);
    session_note_record(session, &keys);
    mbedtls_platform_zeroize(&keys, sizeof keys);
    if (result == RECORD_CONTENT) {
        on_record(dtls, session, arrival, &record);
        return;
    }
    count_refused(dtls, result);
    if (result == RECORD_BAD && worn)
        association_end(session, DTLS_END_FORGERIES, NULL);
}

static void feed(struct dtls *dtls, struct dtls_session *session, const struct arrival *arrival) {
    if (session->talking)
        session->traffic.records_in += (uint32_t)arrival->len;
    else {
        session->traffic.handshake_in += (uint32_t)arrival->len;
        if (arrival->first)
            session->traffic.handshake_datagrams_in++;
    }
    if (!session->live->live) /* else mbedtls shows what it is, or drops it */
        link_tell_watcher(&session->link, false, SLICE_NONE, arrival->len);
    dtls_feed(dtls, session->live, arrival);
}

/* While mbedtls is there: what belongs to the handshake is for it, and with the first record that does not, it has to
 * go. Seen on a copy. */
static void receive_waiting(struct dtls *dtls, struct dtls_session *session, struct arrival *arrival) {
    struct handshake *hs = session->live;
    struct dtls_keys keys = handshake_keys(hs);
    struct record record;
    size_t used;
    memcpy(dtls->trial, arrival->bytes, arrival->len);
    enum record_result result = record_open(&keys, dtls->trial, arrival->len, &record, &used);
    if (result != RECORD_CONTENT) {
        count_refused(dtls, result);
    } else if (record.type == RECORD_HANDSHAKE || record.type == RECORD_CHANGE_CIPHER_SPEC) {
        feed(dtls, session, arrival);
    } else {
        memcpy(arrival->bytes, dtls->trial, arrival->len);
        record.content.data = arrival->bytes + (record.content.data - dtls->trial);
        if (hand_over(dtls, session, &keys))
            on_record(dtls, session, arrival, &record);
    }
    mbedtls_platform_zeroize(&keys, sizeof keys);
}

void association_receive(struct dtls *dtls, struct dtls_session *session, struct arrival *arrival) {
    struct handshake *hs = session->live;
    if (hs == NULL)
        receive_lean(dtls, session, arrival);
    else if (association_is_with_mbedtls(session))
        feed(dtls, session, arrival);
    else
        receive_waiting(dtls, session, arrival);
}

bool association_is_with_mbedtls(const struct dtls_session *session) {
    const struct handshake *hs = session->live;
    return hs != NULL && (hs->busy || hs->live || handshake_is_under_way(hs));
}

bool association_accepts(struct dtls *dtls, struct dtls_session *session, const struct arrival *arrival) {
    if (association_is_with_mbedtls(session))
        return false; /* it can't be asked without harm */
    struct dtls_keys keys;
    if (session->live != NULL)
        keys = handshake_keys(session->live);
    else
        session_unpack_keys(session, &keys);
    struct record record;
    size_t used;
    memcpy(dtls->trial, arrival->bytes, arrival->len);
    bool good = record_open(&keys, dtls->trial, arrival->len, &record, &used) == RECORD_CONTENT;
    mbedtls_platform_zeroize(&keys, sizeof keys);
    return good;
}

/* Application data that mbedtls has opened. */
static void take_plain(struct dtls *dtls, struct dtls_session *session, struct handshake *hs) {
    uint8_t *plain = hs->plain;
    size_t len = hs->plain_len;
    uint64_t number = handshake_newest(hs);
    bool newest = !session->talking || number > session->keys.window_top;
    session->keys.window_top = number;
    if (!session->talking) { /* what it was is known only now */
        session->traffic.handshake_in -= hs->current_len;
        session->traffic.records_in += hs->current_len;
    }
    session->talking = true;
    hs->plain = NULL; /* whoever receives it may end the session */
    hs->plain_len = 0;
    hs->pooled = false; /* only record protection from here on */
    handshake_refuse_renegotiation(hs);
    link_tell_watcher(&session->link, false, slice_of(plain, len), hs->current_len);
    note_arrival(dtls, session, &hs->current_from, &hs->local, len, newest);
    if (session->dtls != NULL)
        deliver(dtls, session, slice_of(plain, len));
    mbedtls_platform_zeroize(plain, len);
    if (session->live == hs)
        hs->plain = plain;
    else
        free(plain);
}

/* Keys were agreed on anew. False: by somebody else, which would be an identity that nobody checked. */
static bool renegotiated(struct dtls_session *session, struct handshake *hs) {
    hs->exports_known = hs->exports;
    session->renegotiated = true;
    session->suite = hs->suite == NULL ? 0 : hs->suite->id;
    return !proof_is_another(&hs->proof, session->link.identity);
}

void association_stepped(struct dtls *dtls, struct handshake *hs) {
    struct dtls_session *session = hs->session;
    struct link *link = link_ref(&session->link);
    struct listener *listener = hs->proof.listener;
    struct address local = hs->local;
    struct handshake_record *waiting = handshake_take_all(&hs->inbox);
    bool is_over = !handshake_is_under_way(hs);
    if (hs->state == HANDSHAKE_FAILED)
        association_end(session, hs->alert_received >= 0 ? DTLS_END_ALERT : DTLS_END_DROPPED, NULL);
    else if (hs->exports_known < hs->exports && is_over && !renegotiated(session, hs))
        association_end(session, DTLS_END_DROPPED, NULL);
    else if (hs->plain_len > 0)
        take_plain(dtls, session, hs);
    if (session->live == hs && hs->state == HANDSHAKE_CLOSED) {
        handshake_say_bye(hs);
        association_end(session, DTLS_END_CLOSED_BY_PEER, NULL);
    }
    bool more = session->live == hs && hs->records.count > 0 && hs->live;
    dtls_dispatch_waiting(dtls, listener, &local, waiting);
    if (more && session->live == hs)
        handshake_step(hs);
    link_unref(link);
}

/* ---- what the owner asks for ---- */

void dtls_drop(struct link *link) {
    association_end(session_of(link), DTLS_END_DROPPED, NULL);
}

void dtls_drop_with_alert(struct link *link, uint8_t alert) {
    struct dtls_session *session = session_of(link);
    struct dtls *dtls = session->dtls;
    const uint8_t content[2] = {MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert};
    if (dtls == NULL)
        return;
    if (session->live != NULL)
        handshake_send_alert(session->live, content[0], alert);
    else
        seal_and_send(dtls, session, RECORD_ALERT, slice_of(content, sizeof content));
    association_end(session, DTLS_END_DROPPED, NULL);
}

bool dtls_forget_cid(struct link *link) {
    struct dtls_session *session = session_of(link);
    /* What goes on without mbedtls takes its CID from there once more. */
    bool is_beginning = session->live != NULL && session->dtls != NULL && !session->dtls->params.keep_live;
    if (session->dtls == NULL || is_beginning || session->keys.cid_len == 0)
        return false;
    session_table_forget_cid(&session->dtls->sessions, session);
    return true;
}

void dtls_hang_up(struct link *link) {
    struct dtls_session *session = session_of(link);
    struct dtls *dtls = session->dtls;
    if (dtls == NULL || session->said_bye)
        return;
    if (session->live != NULL)
        handshake_say_bye(session->live);
    else
        seal_and_send(dtls, session, RECORD_ALERT, slice_of(close_notify, sizeof close_notify));
    struct lingering *lingering = NULL;
    if (session->keys.cid_len > 0 && dtls->params.linger_ms > 0)
        lingering = calloc(1, sizeof *lingering);
    if (lingering == NULL) {
        association_end(session, DTLS_END_HUNG_UP, NULL);
        return;
    }
    session->said_bye = true;
    lingering->session = session;
    session->lingering = lingering;
    timer_schedule(dtls->wheel, &lingering->timer, now_of(dtls) + dtls->params.linger_ms, on_linger);
}

void dtls_describe(const struct link *link, struct dtls_description *description) {
    const struct dtls_session *session = session_of(link);
    *description = (struct dtls_description){
        .cipher_suite = cipher_suite_name(session->suite),
        .resumed = session->resumed,
        .renegotiated = session->renegotiated,
        .cid_draft = session->keys.draft,
        .live = session->live != NULL,
        .ended = session->dtls == NULL,
        .cid = session_cid(session),
        .peer_cid = session_peer_cid(session),
        .bad_records = session->keys.bad_records,
        .established_ms = session->established_ms,
        .used_ms = session->used_ms,
        .traffic = session->traffic,
    };
}

bool dtls_session_row(const struct link *link, struct dtls_session_row *row, struct buffer *secret) {
    const struct dtls_session *session = session_of(link);
    if (session->dtls == NULL || !session->saved)
        return false;
    *row = (struct dtls_session_row){
        .id = session->id,
        .listener = link->listener->number,
        .peer = link->peer,
        .local = link->local,
        /* What has been asked for may be committed already, and must not be taken back. */
        .number_limit = session->keys.number_limit + (session->reserving ? DTLS_NUMBERS_STEP : 0),
        .window_top = session->keys.window_top,
        .window_bits = session->keys.window_bits,
        .used_ms = session->used_ms,
    };
    if (secret == NULL)
        return true;
    struct dtls_keys keys;
    session_unpack_keys(session, &keys);
    session_put_secret(session, &keys, secret);
    mbedtls_platform_zeroize(&keys, sizeof keys);
    row->secret = buffer_slice(secret);
    return !secret->overflow;
}

bool dtls_session_window(const struct link *link, struct dtls_window *window) {
    const struct dtls_session *session = session_of(link);
    *window = (struct dtls_window){
        .id = session->id, .top = session->keys.window_top, .bits = session->keys.window_bits, .place = session->place};
    return session->dtls != NULL && session->saved;
}

void dtls_set_place(struct link *link, uint32_t place) {
    session_of(link)->place = place;
}

uint32_t dtls_place(const struct link *link) {
    return session_of(link)->place;
}

static struct session_expected expected(const struct dtls_restoring *restoring) {
    const struct dtls_session *session = restoring->session;
    return (struct session_expected){.id = session->id,
                                     .cid = session_cid(session),
                                     .identity = &restoring->identity,
                                     .listener = session->link.listener,
                                     .peer = &session->link.peer};
}

bool dtls_restore_begin(struct dtls *dtls, struct listener *listener, const struct dtls_session_row *row,
                        struct dtls_restoring *restoring) {
    struct dtls_session *session = session_new(&dtls->sessions);
    struct link_identity *identity = &restoring->identity;
    if (session == NULL)
        return false;
    struct dtls_keys unpacked = {0}, *keys = &unpacked;
    bool good = session_get_secret(session, keys, row->secret, identity) && identity->security != LINK_NO_SECURITY &&
                row->id != 0 && (keys->cid_len == 0 || keys->cid_len == dtls->params.cid_length);
    keys->next_number = keys->number_limit = row->number_limit;
    keys->window_top = row->window_top;
    keys->window_bits = row->window_bits;
    good = good && session_pack_keys(session, keys);
    mbedtls_platform_zeroize(keys, sizeof *keys);
    if (!good) {
        session_free(session);
        return false;
    }
    if (identity->name.len > 0)
        memcpy(restoring->name, identity->name.data, identity->name.len);
    identity->name.data = restoring->name;
    restoring->session = session;
    session->dtls = dtls;
    session->id = row->id;
    session->used_ms = row->used_ms;
    session->saved = true;
    session->link = (struct link){
        .ops = &session_link_ops,
        .listener = listener,
        .peer = row->peer,
        .local = row->local,
        .refs = 1,
        .verified = true,
    };
    const struct session_expected soon = expected(restoring);
    session_expect(&dtls->sessions, &soon, false);
    return true;
}

void dtls_restore_near(const struct dtls_restoring *restoring) {
    const struct session_expected soon = expected(restoring);
    session_expect(&restoring->session->dtls->sessions, &soon, true);
}

struct link *dtls_restore_end(const struct dtls_restoring *restoring) {
    struct dtls_session *session = restoring->session;
    struct dtls *dtls = session->dtls;
    bool is_known = session->keys.cid_len > 0 && session_find_cid(&dtls->sessions, session_cid(session)) != NULL;
    session->owner = is_known ? NULL : session_owner_get(&dtls->sessions, &restoring->identity);
    if (session->owner == NULL) {
        session_free(session);
        return NULL;
    }
    session->link.identity = &session->owner->identity;
    session_table_add(&dtls->sessions, session);
    watch_quietest(dtls);
    return &session->link;
}

struct link *dtls_restore(struct dtls *dtls, struct listener *listener, const struct dtls_session_row *row) {
    struct dtls_restoring restoring;
    return dtls_restore_begin(dtls, listener, row, &restoring) ? dtls_restore_end(&restoring) : NULL;
}
