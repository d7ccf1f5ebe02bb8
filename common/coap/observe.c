#include "common/coap/observe.h"

#include <stdlib.h>

#include "common/coap/peer.h"

enum { TABLE_START = 64, FRESH_AFTER_MS = 128000, HALF_OF_24_BITS = 1 << 23 };

struct coap_observation {
    struct coap_observation *next; /* in its chain of the table */
    struct coap_endpoint *endpoint;
    struct link *link; /* a reference */
    struct slice request;
    struct coap_observer observer;
    struct coap_call *call; /* for the first answer, or for the rest of a notification; NULL mostly */
    uint64_t sequence_ms;   /* when `sequence` came */
    struct coap_binding binding;
    uint64_t number;   /* of the newest notification of a protected peer, 1 more; 0: none yet */
    uint32_t sequence; /* of the newest notification; while it is fetched, of that one */
    bool has_sequence;
    bool has_started;     /* the first answer has come */
    bool fetched_is_last; /* what coap_notification says of the one being fetched */
    bool fetched_is_confirmable;
    uint8_t token_len;
    uint8_t token[COAP_TOKEN_MAX];
};

bool coap_observe_is_fresh(uint32_t before, uint64_t before_ms, uint32_t value, uint64_t at_ms) {
    return (before < value && value - before < HALF_OF_24_BITS) ||
           (before > value && before - value > HALF_OF_24_BITS) || at_ms > before_ms + FRESH_AFTER_MS;
}

/* ---- the table: chains by link and token ---- */

static struct coap_observation **chain_of(const struct coap_endpoint *endpoint, const struct link *link,
                                          struct slice token) {
    struct {
        uintptr_t link;
        uint8_t token[COAP_TOKEN_MAX], len;
    } key;
    memset(&key, 0, sizeof key); /* padding is hashed, too */
    key.link = (uintptr_t)link;
    key.len = (uint8_t)token.len;
    if (token.len > 0)
        memcpy(key.token, token.data, token.len);
    uint64_t hash = hash_siphash(&endpoint->key, &key, sizeof key);
    return &endpoint->observations[hash & (endpoint->observation_chains - 1)];
}

static struct coap_observation *find(const struct coap_endpoint *endpoint, const struct link *link,
                                     struct slice token) {
    if (endpoint->observation_chains == 0 || token.len > COAP_TOKEN_MAX)
        return NULL;
    struct coap_observation *o = *chain_of(endpoint, link, token);
    while (o != NULL && (o->link != link || !slice_equal(coap_observation_token(o), token)))
        o = o->next;
    return o;
}

static void insert(struct coap_observation *o) {
    struct coap_observation **chain = chain_of(o->endpoint, o->link, coap_observation_token(o));
    o->next = *chain;
    *chain = o;
}

static void take_out(struct coap_observation *o) {
    struct coap_observation **at = chain_of(o->endpoint, o->link, coap_observation_token(o));
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
}

/* Room for one more. Without memory for more chains they grow longer. */
static bool reserve(struct coap_endpoint *endpoint) {
    size_t chains = endpoint->observation_chains;
    if (chains > endpoint->counters.observations)
        return true;
    size_t wanted = chains == 0 ? TABLE_START : chains * 2;
    struct coap_observation **before = endpoint->observations, **table = calloc(wanted, sizeof(void *));
    if (table == NULL)
        return chains > 0;
    endpoint->observations = table;
    endpoint->observation_chains = wanted;
    for (size_t i = 0; i < chains; i++) {
        for (struct coap_observation *o = before[i], *next; o != NULL; o = next) {
            next = o->next;
            insert(o);
        }
    }
    free(before);
    return true;
}

bool observe_has_token(const struct coap_peer *peer, struct slice token) {
    return find(peer->endpoint, peer->link, token) != NULL;
}

/* ---- life ---- */

static struct coap_observation *add(struct coap_endpoint *endpoint, struct link *link, struct slice token,
                                    struct slice request, const struct coap_observer *observer) {
    struct coap_observation *o = reserve(endpoint) ? calloc(1, sizeof *o) : NULL;
    if (o == NULL)
        return NULL;
    o->endpoint = endpoint;
    o->link = link_ref(link);
    o->request = request;
    o->observer = *observer;
    o->token_len = (uint8_t)token.len;
    if (token.len > 0)
        memcpy(o->token, token.data, token.len);
    insert(o);
    endpoint->counters.observations++;
    return o;
}

static void release(struct coap_observation *o) {
    struct link *link = o->link;
    take_out(o);
    o->endpoint->counters.observations--;
    free(o);
    link_unref(link);
}

void coap_observation_forget(struct coap_observation *o) {
    if (o->call != NULL)
        coap_call_cancel(o->call);
    release(o);
}

void observations_free(struct coap_endpoint *endpoint) {
    for (size_t i = 0; i < endpoint->observation_chains; i++) {
        while (endpoint->observations[i] != NULL)
            coap_observation_forget(endpoint->observations[i]);
    }
    free(endpoint->observations);
}

/* The request as it stands, with an Observe option of this value, or none. */
static bool load_request(struct slice bytes, struct coap_message *request) {
    return coap_decode(bytes, request) == COAP_DECODE_OK && coap_code_is_request(request->code);
}

static void remember_sequence(struct coap_observation *o, uint32_t sequence) {
    o->sequence = sequence;
    o->sequence_ms = clock_now_ms(o->endpoint->clock);
    o->has_sequence = true;
}

static void on_first_answer(void *arg, const struct coap_reply *reply) {
    struct coap_observation *o = arg;
    struct coap_observer observer = o->observer;
    bool observed =
        reply->result == COAP_CALL_REPLY && COAP_CODE_CLASS(reply->message->code) == 2 && reply->has_observe;
    o->call = NULL;
    o->has_started = true;
    o->binding = reply->binding;
    if (observed)
        remember_sequence(o, reply->observe);
    else
        release(o);
    observer.started(observer.arg, reply, observed);
}

struct coap_observation *coap_observe(struct coap_endpoint *endpoint, struct link *link, struct slice request,
                                      const struct coap_observer *observer) {
    struct coap_message message;
    uint8_t token[COAP_TOKEN_MAX];
    struct coap_peer *peer = load_request(request, &message) ? peer_of(endpoint, link) : NULL;
    if (peer == NULL)
        return NULL;
    struct slice drawn = slice_of(token, calls_draw_token(peer, token));
    struct coap_observation *o = add(endpoint, link, drawn, request, observer);
    if (o != NULL) {
        const struct coap_call_options options = {.type = COAP_CON, .token = drawn};
        o->call = coap_call_with(endpoint, link, &message, &options, on_first_answer, o);
        if (o->call != NULL)
            return o;
        release(o);
    }
    if (link->coap != NULL) /* a call that could not be made has settled it already */
        peer_settle(link->coap);
    return NULL;
}

struct coap_observation *coap_observation_resume(struct coap_endpoint *endpoint, struct link *link, struct slice token,
                                                 struct slice request, const struct coap_observer *observer) {
    struct coap_message message;
    if (token.len > COAP_TOKEN_MAX || find(endpoint, link, token) != NULL || !load_request(request, &message))
        return NULL;
    struct coap_observation *o = add(endpoint, link, token, request, observer);
    if (o != NULL)
        o->has_started = true;
    return o;
}

struct coap_call *coap_observation_cancel(struct coap_observation *o, coap_call_fn *done, void *arg) {
    static const uint8_t one = 1;
    struct coap_message request;
    struct coap_endpoint *endpoint = o->endpoint;
    struct link *link = link_ref(o->link);
    uint8_t token[COAP_TOKEN_MAX];
    const struct coap_call_options options = {.type = COAP_CON, .token = slice_of(token, o->token_len)};
    memcpy(token, o->token, sizeof token);
    load_request(o->request, &request);
    coap_observation_forget(o);
    coap_option_remove(&request, COAP_OBSERVE);
    coap_option_add(&request, COAP_OBSERVE, slice_of(&one, 1));
    struct coap_call *call = coap_call_with(endpoint, link, &request, &options, done, arg);
    link_unref(link);
    return call;
}

struct slice coap_observation_token(const struct coap_observation *o) {
    return slice_of(o->token, o->token_len);
}

struct link *coap_observation_link(const struct coap_observation *o) {
    return o->link;
}

/* ---- notifications ---- */

static void deliver(struct coap_observation *o, const struct coap_notification *notification) {
    struct coap_observer observer = o->observer;
    if (notification->is_last)
        release(o);
    observer.notified(observer.arg, notification);
}

static void deliver_fetched(struct coap_observation *o, enum coap_call_result result,
                            const struct coap_message *message, struct slice body) {
    struct coap_notification notification = {.result = result,
                                             .message = message,
                                             .body = body,
                                             .sequence = o->sequence,
                                             .has_sequence = o->has_sequence && !o->fetched_is_last,
                                             .is_last = o->fetched_is_last,
                                             .is_confirmable = o->fetched_is_confirmable};
    deliver(o, &notification);
}

/* The rest of a body has come, or will not. An answer with an error says that what was told is not there any more. */
static void on_fetched(void *arg, const struct coap_reply *reply) {
    struct coap_observation *o = arg;
    bool good = reply->result == COAP_CALL_REPLY && COAP_CODE_CLASS(reply->message->code) == 2;
    enum coap_call_result failure = reply->result == COAP_CALL_REPLY ? COAP_CALL_INCOMPLETE : reply->result;
    o->call = NULL;
    deliver_fetched(o, good ? COAP_CALL_REPLY : failure, good ? reply->message : NULL, good ? reply->body : SLICE_NONE);
}

/* Fetch what is observed, from its beginning or on from `first`, the first block (RFC 7959 §2.6). */
static void fetch(struct coap_observation *o, const struct coap_message *first) {
    struct coap_message request;
    load_request(o->request, &request);
    coap_option_remove(&request, COAP_OBSERVE);
    o->call = call_fetch(o->endpoint, o->link, &request, first, on_fetched, o);
    if (o->call == NULL)
        deliver_fetched(o, COAP_CALL_INCOMPLETE, NULL, SLICE_NONE);
}

struct coap_observation *observe_find(const struct coap_peer *peer, struct slice token) {
    struct coap_observation *o = find(peer->endpoint, peer->link, token);
    if (o == NULL || (o->has_started ? o->fetched_is_last : !call_is_fetching_observed(o->call)))
        return NULL;
    return o;
}

/* Part of a body: the first block, as it should be, or another one. */
static bool comes_in_blocks(const struct coap_message *message) {
    struct coap_block block;
    return COAP_CODE_CLASS(message->code) == 2 && coap_block_get(message, COAP_BLOCK2, &block) &&
           (block.more || block.num > 0);
}

const struct coap_binding *observe_binding(const struct coap_observation *o) {
    return o->has_started ? &o->binding : call_observe_binding(o->call);
}

uint64_t *observe_number(struct coap_observation *o) {
    return &o->number;
}

void observe_take(struct coap_observation *o, const struct coap_message *message) {
    if (!o->has_started) { /* it overtakes the rest of the first answer, and is newer */
        call_supersede(o->call, message);
        return;
    }
    struct coap_notification notification = {.result = COAP_CALL_REPLY,
                                             .message = message,
                                             .body = message->payload,
                                             .is_confirmable = message->type == COAP_CON};
    notification.has_sequence = coap_option_uint(message, COAP_OBSERVE, &notification.sequence);
    notification.is_last = COAP_CODE_CLASS(message->code) != 2 || !notification.has_sequence;
    /* Over a connection the order of arrival counts, and values mean nothing (RFC 8323 §7.1). */
    notification.is_stale =
        !notification.is_last && o->has_sequence && o->link->framing != LINK_STREAM_8323 &&
        !coap_observe_is_fresh(o->sequence, o->sequence_ms, notification.sequence, clock_now_ms(o->endpoint->clock));
    bool in_blocks = comes_in_blocks(message);
    if (notification.is_stale && in_blocks) { /* only what is newer can be fetched */
        struct coap_peer *peer = o->link->coap;
        peer_oddity(peer, false, "a notification in blocks is older than the last one, and is left out");
        return;
    }
    if (!notification.is_stale) {
        if (!notification.is_last)
            remember_sequence(o, notification.sequence);
        if (o->call != NULL) { /* what is being fetched is not true any more */
            coap_call_cancel(o->call);
            o->call = NULL;
        }
    }
    if (!in_blocks) {
        deliver(o, &notification);
        return;
    }
    o->fetched_is_last = notification.is_last;
    o->fetched_is_confirmable = notification.is_confirmable;
    fetch(o, message);
}

bool coap_observation_move(struct coap_observation *o, struct link *link) {
    if (link == o->link)
        return true;
    if (find(o->endpoint, link, coap_observation_token(o)) != NULL)
        return false;
    bool was_fetching = o->call != NULL;
    struct link *before = o->link;
    if (was_fetching)
        coap_call_cancel(o->call);
    take_out(o);
    o->call = NULL;
    o->link = link_ref(link);
    insert(o);
    link_unref(before);
    if (was_fetching)
        fetch(o, NULL);
    return true;
}
