#include "common/net/dtls.h"

#include <mbedtls/platform_util.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/net/dtls_state.h"

/* Of sessions, when one is looked for by its host. */
enum { LOOKED_AT_MAX = 4096, TRIED_MAX = 16 };

void dtls_params_default(struct dtls_params *params) {
    *params = (struct dtls_params){
        .cookie = DTLS_COOKIE_ALWAYS,
        .cid_length = 8,
        .mtu = 1232,
        .handshake_timeout_ms = 60000,
        .handshakes_max = 2000,
        .handshakes_per_s = 4000,
        .under_load_pending = 100,
        .under_load_per_s = 200,
        .sessions_max = 1000000,
        .sessions_per_identity = 8,
        .live_max = 1000,
        .session_idle_ms = (uint64_t)30 * 24 * 3600 * 1000,
        .resume_ms = (uint64_t)24 * 3600 * 1000,
        .linger_ms = 300000,
    };
#ifdef BERTH_LIVE_DTLS
    params->keep_live = true;
#endif
}

const char *dtls_fault_name(enum dtls_fault fault) {
    switch (fault) {
    case DTLS_FAULT_TIMEOUT:
        return "timeout";
    case DTLS_FAULT_UNKNOWN_IDENTITY:
        return "unknown_identity";
    case DTLS_FAULT_WRONG_KEY:
        return "wrong_key";
    case DTLS_FAULT_CERTIFICATE_REFUSED:
        return "certificate_refused";
    case DTLS_FAULT_NO_CERTIFICATE:
        return "no_certificate";
    case DTLS_FAULT_NO_COMMON_PARAMETERS:
        return "no_common_parameters";
    case DTLS_FAULT_ALERT:
        return "alert";
    case DTLS_FAULT_PROTOCOL:
        return "protocol";
    case DTLS_FAULT_REPLACED:
        return "replaced";
    case DTLS_FAULT_CLOSED:
        return "closed";
    case DTLS_FAULT_INTERNAL:
        return "internal";
    }
    return "unknown";
}

const char *dtls_end_name(enum dtls_end end) {
    switch (end) {
    case DTLS_END_CLOSED_BY_PEER:
        return "closed_by_peer";
    case DTLS_END_ALERT:
        return "alert";
    case DTLS_END_REPLACED:
        return "replaced";
    case DTLS_END_DROPPED:
        return "dropped";
    case DTLS_END_HUNG_UP:
        return "hung_up";
    case DTLS_END_IDLE:
        return "idle";
    case DTLS_END_FORGERIES:
        return "forgeries";
    }
    return "unknown";
}

bool dtls_has_draft_cid(void) {
    return dtls_layer_draft() != NULL;
}

/* ---- the whole ---- */

static void free_dtls(struct dtls *dtls) {
    dtls_setup_free(&dtls->setup);
    session_table_free(&dtls->sessions);
    mbedtls_platform_zeroize(dtls, sizeof *dtls);
    free(dtls);
}

struct dtls *dtls_new(uv_loop_t *loop, const struct clock *clock, struct timer_wheel *wheel,
                      const struct dtls_params *params, const struct dtls_handlers *handlers, void *arg) {
    struct dtls *dtls = calloc(1, sizeof *dtls);
    if (dtls == NULL)
        return NULL;
    dtls->params = *params;
    if (dtls->params.cid_length > DTLS_CID_MAX)
        dtls->params.cid_length = DTLS_CID_MAX;
    dtls->handlers = *handlers;
    dtls->arg = arg;
    dtls->clock = clock;
    dtls->wheel = wheel;
    dtls->engine = (struct handshake_engine){
        .proofs =
            {
                .loop = loop,
                .setup = &dtls->setup,
                .host = pending_proof_host,
                .arg = dtls,
                .hide_unknown_identities = dtls->params.hide_unknown_identities,
                .ignore_dates = dtls->params.ignore_dates,
                .resume_ms = dtls->params.resume_ms,
            },
        .clock = clock,
        .wheel = wheel,
        .params = &dtls->params,
        .host = pending_host,
        .arg = dtls,
    };
    if (handlers->psk == NULL)
        dtls->engine.proofs.host.psk = NULL;
    if (handlers->resume_get == NULL)
        dtls->engine.proofs.host.resume_get = NULL;
    cookie_jar_init(&dtls->cookies, clock_now_ms(clock));
    if (dtls_setup_init(&dtls->setup) && session_table_init(&dtls->sessions) && pending_init(dtls) &&
        proof_engine_init(&dtls->engine.proofs) == 0)
        return dtls;
    pending_free(dtls);
    free_dtls(dtls);
    return NULL;
}

bool dtls_add_certificate(struct dtls *dtls, struct slice certificate, struct slice key, const char **problem) {
    return dtls_setup_add_certificate(&dtls->setup, certificate, key, problem);
}

bool dtls_add_authority(struct dtls *dtls, struct slice certificates, const char **problem) {
    return dtls_setup_add_authority(&dtls->setup, certificates, problem);
}

void dtls_set_ticket_key(struct dtls *dtls, const uint8_t key[32]) {
    memcpy(dtls->engine.proofs.ticket_key, key, sizeof dtls->engine.proofs.ticket_key);
}

static void on_closed(uv_handle_t *handle) {
    struct proof_engine *engine = handle->data;
    struct dtls *dtls = engine->arg;
    if (++dtls->closed_handles < 2)
        return;
    uv_mutex_destroy(&engine->lock);
    free_dtls(dtls);
}

/* The pool's steps come back first: they may still ask. */
static void close_when_quiet(uv_prepare_t *prepare) {
    struct proof_engine *engine = prepare->data;
    if (engine->busy > 0)
        return;
    uv_prepare_stop(prepare);
    uv_close((uv_handle_t *)prepare, on_closed);
    uv_close((uv_handle_t *)&engine->async, on_closed);
}

void dtls_close(struct dtls *dtls) {
    dtls->closing = dtls->engine.proofs.closing = true;
    timer_cancel(dtls->wheel, &dtls->idle);
    pending_free(dtls);
    struct session_list *lists[] = {&dtls->sessions.live, &dtls->sessions.lean};
    for (size_t i = 0; i < 2; i++) {
        while (lists[i]->newest != NULL)
            association_end(lists[i]->newest, DTLS_END_DROPPED, NULL);
    }
    uv_prepare_init(dtls->engine.proofs.loop, &dtls->closer);
    dtls->closer.data = &dtls->engine.proofs;
    uv_prepare_start(&dtls->closer, close_when_quiet);
}

struct dtls_counters dtls_counters(const struct dtls *dtls) {
    struct dtls_counters counters = dtls->counters;
    counters.pending = dtls->pending.count;
    counters.sessions = session_table_count(&dtls->sessions);
    counters.live = dtls->sessions.live.count;
    return counters;
}

void dtls_reserve(struct dtls *dtls, size_t count) {
    session_table_reserve(&dtls->sessions, count);
}

struct link *dtls_find(struct dtls *dtls, uint64_t id) {
    struct dtls_session *session = session_find_id(&dtls->sessions, id);
    return session == NULL ? NULL : &session->link;
}

void dtls_expect(const struct dtls *dtls, uint64_t id, bool is_near) {
    session_expect_id(&dtls->sessions, id, is_near);
}

/* ---- dropping an identity ---- */

static size_t drop_owner(struct session_owner *owner) {
    size_t dropped = 0;
    owner->refs++; /* beyond its last session */
    for (; owner->sessions != NULL; dropped++)
        association_end(owner->sessions, DTLS_END_DROPPED, NULL);
    session_owner_unref(owner);
    return dropped;
}

size_t dtls_drop_identity(struct dtls *dtls, const struct link_identity *identity) {
    size_t dropped = 0;
    pending_drop(dtls, proof_identity_is, identity);
    if (identity->security != LINK_X509) {
        struct link_identity exact = {.security = identity->security, .name = identity->name};
        struct session_owner *owner = session_owner_find(&dtls->sessions, &exact);
        return owner == NULL ? 0 : drop_owner(owner);
    }
    for (size_t i = 0; i < dtls->sessions.owner_buckets; i++) {
        struct session_owner *owner = dtls->sessions.owners[i];
        while (owner != NULL) {
            if (!proof_identity_is(&owner->identity, identity)) {
                owner = owner->hash_next;
                continue;
            }
            dropped += drop_owner(owner);
            owner = dtls->sessions.owners[i]; /* from the start: handlers may have changed the chain */
        }
    }
    return dropped;
}

/* ---- the way in ---- */

int dtls_transmit(struct dtls *dtls, struct listener *listener, const struct address *peer, const struct address *local,
                  struct slice datagram) {
    if (dtls->handlers.datagram != NULL)
        dtls->handlers.datagram(dtls->arg, listener, peer, local, true, datagram);
    return dtls->handlers.send(dtls->arg, listener, peer, local, datagram);
}

void dtls_step_fed(struct dtls *dtls) {
    while (dtls->fed != NULL) {
        struct handshake *hs = dtls->fed;
        dtls_unfeed(dtls, hs);
        if (!hs->busy && hs->state != HANDSHAKE_GATHERING) /* what a step is on the pool for is the pool's */
            handshake_step(hs);
    }
}

void dtls_unfeed(struct dtls *dtls, struct handshake *hs) {
    struct handshake **at = &dtls->fed;
    while (*at != NULL && *at != hs)
        at = &(*at)->fed_next;
    if (*at == hs)
        *at = hs->fed_next;
    hs->is_fed = false;
}

void dtls_feed(struct dtls *dtls, struct handshake *hs, const struct arrival *arrival) {
    if (hs->session == NULL) {
        hs->traffic.handshake_in += (uint32_t)arrival->len;
        if (arrival->first)
            hs->traffic.handshake_datagrams_in++;
    }
    handshake_hold(hs, arrival->peer, slice_of(arrival->bytes, arrival->len));
    if (hs->is_fed)
        return;
    hs->is_fed = true;
    hs->fed_next = dtls->fed;
    dtls->fed = hs;
}

/* A record with a CID belongs to the session or handshake that has it, wherever it comes from (RFC 9146 §6). */
static void dispatch_by_cid(struct dtls *dtls, struct arrival *arrival) {
    size_t cid_len = dtls->params.cid_length;
    struct slice cid = slice_of(arrival->bytes + RECORD_HEADER - 2, cid_len);
    struct dtls_session *session = cid_len == 0 ? NULL : session_find_cid(&dtls->sessions, cid);
    if (session != NULL && session->link.listener == arrival->listener) {
        association_receive(dtls, session, arrival);
        return;
    }
    /* A Finished that came before its turn. The CID is not proven yet, so the address must be right too. */
    struct handshake *hs = pending_find(dtls, arrival->listener, arrival->peer);
    if (hs != NULL && cid_len > 0 && hs->cid_len == cid_len && memcmp(hs->cid, cid.data, cid_len) == 0)
        dtls_feed(dtls, hs, arrival);
    else
        dtls->counters.unknown_records++;
}

/* The next session without CID at an address, from `session` on. */
static struct dtls_session *skip_cids(struct dtls_session *session) {
    while (session != NULL && session->keys.cid_len > 0)
        session = session_next_at(session);
    return session;
}

/* A session without CID, by its host alone: a device that sleeps behind a NAT comes back from another port, and without a
 * CID only its keys tell that it is the same. Bounded, since whoever sends rubbish makes us try. */
static struct dtls_session *find_on_host(struct dtls *dtls, const struct arrival *arrival) {
    unsigned looked_at = 0, tried = 0;
    for (struct dtls_session *s = dtls->sessions.lean.newest; s != NULL; s = s->older) {
        struct address host = s->link.peer;
        host.port = arrival->peer->port;
        if (++looked_at > LOOKED_AT_MAX)
            break;
        if (s->keys.cid_len > 0 || s->link.listener != arrival->listener || !address_equal(&host, arrival->peer))
            continue;
        if (++tried > TRIED_MAX)
            break;
        if (association_accepts(dtls, s, arrival))
            return s;
    }
    return NULL;
}

/* A protected record without CID: of a session without CID at that address, or of the handshake that is pending there.
 * When there are several, the one whose keys open it; and if none's do, mbedtls' objects have to tell, each with a copy:
 * they drop what is not theirs. */
static void dispatch_by_address(struct dtls *dtls, struct arrival *arrival) {
    struct handshake *hs = pending_find(dtls, arrival->listener, arrival->peer);
    struct dtls_session *first = skip_cids(session_first_at(&dtls->sessions, arrival->listener, arrival->peer));
    if (first == NULL && hs == NULL && dtls->params.follow_same_host)
        first = find_on_host(dtls, arrival);
    if (first == NULL && hs == NULL) {
        dtls->counters.unknown_records++;
        return;
    }
    if (hs == NULL && skip_cids(session_next_at(first)) == NULL) {
        association_receive(dtls, first, arrival);
        return;
    }
    for (struct dtls_session *s = first; s != NULL; s = skip_cids(session_next_at(s))) {
        if (association_accepts(dtls, s, arrival)) {
            association_receive(dtls, s, arrival);
            return;
        }
    }
    bool taken = hs != NULL;
    if (hs != NULL)
        dtls_feed(dtls, hs, arrival);
    for (struct dtls_session *s = first; s != NULL; s = skip_cids(session_next_at(s))) {
        if (association_is_with_mbedtls(s)) {
            association_receive(dtls, s, arrival); /* into its queue, for a step at the end of the datagram */
            taken = true;
        }
    }
    dtls->counters.bad_records += !taken;
}

/* A record of epoch 0 that is no ClientHello: of a handshake that is pending. Never of a session: what it would need to
 * send its last flight again is the client's Finished, in epoch 1, and mbedtls would take a ClientHello from anybody as
 * the wish to begin anew, and forget the session. */
static void dispatch_plaintext(struct dtls *dtls, struct arrival *arrival) {
    struct handshake *hs = pending_find(dtls, arrival->listener, arrival->peer);
    if (hs != NULL)
        dtls_feed(dtls, hs, arrival);
    else
        dtls->counters.unknown_records++;
}

void dtls_dispatch(struct dtls *dtls, struct arrival *arrival) {
    struct hello_fragment fragment;
    if (arrival->header.type == RECORD_TLS12_CID)
        dispatch_by_cid(dtls, arrival);
    else if (arrival->header.epoch > 0)
        dispatch_by_address(dtls, arrival);
    else if (hello_read_fragment(slice_of(arrival->bytes, arrival->len), &fragment))
        pending_on_hello(dtls, arrival, &fragment);
    else
        dispatch_plaintext(dtls, arrival);
}

void dtls_dispatch_waiting(struct dtls *dtls, struct listener *listener, const struct address *local,
                           struct handshake_record *first) {
    while (first != NULL) {
        struct handshake_record *record = first;
        struct arrival arrival = {.listener = listener, .peer = &record->from, .local = local};
        arrival.bytes = record->bytes;
        arrival.len = record->len;
        first = record->next;
        if (record_read_header(slice_of(record->bytes, record->len), dtls->params.cid_length, &arrival.header))
            dtls_dispatch(dtls, &arrival);
        mbedtls_platform_zeroize(record->bytes, record->len);
        free(record);
    }
    dtls_step_fed(dtls);
}

void dtls_receive(struct dtls *dtls, struct listener *listener, const struct address *peer, const struct address *local,
                  uint8_t *datagram, size_t len) {
    if (dtls->handlers.datagram != NULL)
        dtls->handlers.datagram(dtls->arg, listener, peer, local, false, slice_of(datagram, len));
    struct arrival arrival = {.listener = listener, .peer = peer, .local = local, .first = true};
    for (size_t at = 0; at < len; at += arrival.len) {
        if (!record_read_header(slice_of(datagram + at, len - at), dtls->params.cid_length, &arrival.header)) {
            dtls->counters.unknown_records++; /* and where the next one begins can't be told */
            break;
        }
        arrival.bytes = datagram + at;
        arrival.len = arrival.header.header_len + arrival.header.len;
        dtls_dispatch(dtls, &arrival);
        arrival.first = false;
    }
    dtls_step_fed(dtls);
}
