/* Peers that a link carries (RFC 8613 §8). A protected request has two exchanges: that of the message it came in, which
 * sees to acknowledgements and copies, and its own, at the peer it came from. */
#include <stdio.h>
#include <stdlib.h>

#include "common/coap/peer.h"
#include "common/coap/stream.h"

void coap_endpoint_protect(struct coap_endpoint *endpoint, const struct coap_protection *protection, void *arg) {
    endpoint->protection = protection;
    endpoint->protection_arg = arg;
    endpoint->rules.oscore = true;
}

bool protected_bind(struct coap_peer *peer, struct slice option) {
    const struct coap_endpoint *endpoint = peer->endpoint;
    return peer->link->is_protected &&
           endpoint->protection->bind(endpoint->protection_arg, peer->link, option, &peer->binding);
}

/* ---- which link carries which ---- */

static void let_go(struct link *link) {
    struct link *base = link->base, **at;
    if (base == NULL)
        return;
    for (at = &base->carried; *at != link;)
        at = &(*at)->next_carried;
    *at = link->next_carried;
    link->next_carried = NULL;
    link->base = NULL;
    link_unref(base);
}

void coap_link_carry(struct coap_endpoint *endpoint, struct link *link, struct link *base) {
    (void)endpoint;
    if (base != NULL)
        link_ref(base); /* it may be the one it has */
    let_go(link);
    link->base = base;
    if (base == NULL)
        return;
    link->next_carried = base->carried;
    base->carried = link;
    link->listener = base->listener;
    link->peer = base->peer;
    link->local = base->local;
    link->framing = base->framing;
}

/* ---- sending ---- */

static void tell_inner(const struct coap_endpoint *endpoint, struct link *base, bool sent,
                       const struct coap_message *inner) {
    if (endpoint->handlers.inner != NULL && base != NULL)
        endpoint->handlers.inner(endpoint->arg, base, sent, inner);
}

static struct coap_peer *carrier_of(const struct coap_peer *peer) {
    struct link *base = peer->link->base;
    return base == NULL || base->closed ? NULL : peer_of(peer->endpoint, base);
}

static struct transmission *send_message(struct coap_peer *peer, struct coap_message *message, transmission_fn *done,
                                         void *owner) {
    const struct coap_protection *protection = peer->endpoint->protection;
    void *arg = peer->endpoint->protection_arg;
    uint8_t bytes[COAP_PROTECTED_MAX];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    struct coap_message outer;
    struct transmission *transmission = NULL;
    struct coap_peer *carrier = carrier_of(peer);
    if (carrier == NULL)
        return NULL;
    bool closed = coap_code_is_request(message->code)
                      ? protection->close_request(arg, peer->link, message, &memory, &outer, &peer->binding)
                      : protection->close_response(arg, peer->link, &peer->binding, true, message, &memory, &outer);
    if (closed) {
        tell_inner(peer->endpoint, carrier->link, true, message);
        transmission = carrier->layer->send(carrier, &outer, done, owner);
        message->mid = outer.mid;
    }
    peer_settle(carrier);
    return transmission;
}

static struct transmission *ping(struct coap_peer *peer, struct slice token, transmission_fn *done, void *owner) {
    struct coap_peer *carrier = carrier_of(peer);
    if (carrier == NULL)
        return NULL;
    struct transmission *transmission = carrier->layer->ping(carrier, token, done, owner);
    peer_settle(carrier);
    return transmission;
}

/* ---- requests of theirs ---- */

void protected_part(struct open_request *open) {
    if (open->outer != NULL)
        open->outer->open->inner = NULL;
    if (open->inner != NULL)
        open->inner->open->outer = NULL;
}

static void exchange_over(struct coap_exchange *exchange) {
    struct coap_peer *peer = exchange->peer;
    exchange_forget(exchange);
    peer_settle(peer);
}

static void leave(struct coap_exchange *exchange, bool heard) {
    struct coap_exchange *outer = exchange->open->outer;
    exchange_over(exchange);
    if (outer != NULL)
        outer->peer->layer->leave(outer, heard);
}

/* With the token of the outer one, by which it is known to belong to it. */
static void tell_inner_answer(const struct coap_endpoint *endpoint, const struct coap_exchange *outer,
                              const struct coap_message *message) {
    if (endpoint->handlers.inner == NULL)
        return;
    struct coap_message inner = *message;
    inner.token = slice_of(outer->open->token, outer->open->token_len);
    tell_inner(endpoint, outer->peer->link, true, &inner);
}

/* Protect the answer and give it to the outer exchange. False: it can't be protected now. */
static bool answer_outside(struct coap_exchange *exchange, bool own, const struct coap_message *message) {
    const struct coap_endpoint *endpoint = exchange->peer->endpoint;
    struct coap_exchange *outer = exchange->open->outer;
    uint8_t bytes[COAP_PROTECTED_MAX];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    struct coap_message answer;
    struct coap_uint block1;
    if (outer == NULL)
        return true; /* the connection it came over has gone */
    if (!endpoint->protection->close_response(endpoint->protection_arg, exchange->peer->link, &exchange->open->binding,
                                              own, message, &memory, &answer))
        return false;
    tell_inner_answer(endpoint, outer, message);
    if (outer->open->has_block1) /* the request came in blocks from outside: the last one is answered */
        coap_block_add(&answer, COAP_BLOCK1, outer->open->block1, &block1);
    exchange_answer(outer, &answer);
    return true;
}

static void answer(struct coap_exchange *exchange, struct coap_message *message) {
    struct coap_message error;
    bool answered = answer_outside(exchange, false, message);
    if (!answered && message->payload.len > 0) { /* it may have been too large */
        coap_message_init(&error, COAP_ACK, COAP_5_00_INTERNAL_SERVER_ERROR, 0, message->token);
        answered = answer_outside(exchange, false, &error);
    }
    if (answered)
        exchange_over(exchange);
    else /* its context is not the peer's any more */
        leave(exchange, true);
}

/* Ask the peer to show that it is there (RFC 8613 B.1.2), when there are numbers for that: each challenge has its own. */
static void challenge(struct coap_exchange *exchange) {
    const struct coap_endpoint *endpoint = exchange->peer->endpoint;
    uint8_t bytes[64];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    struct coap_message response;
    endpoint->protection->challenge(endpoint->protection_arg, exchange->peer->link, &memory, &response);
    exchange->open->is_challenged = !answer_outside(exchange, true, &response);
    if (!exchange->open->is_challenged)
        exchange_over(exchange);
}

void coap_link_ready(struct coap_endpoint *endpoint, struct link *link) {
    struct coap_peer *peer = link->coap;
    if (peer == NULL)
        return;
    peer->busy++;
    for (struct coap_exchange *older, *exchange = peer->newest; exchange != NULL; exchange = older) {
        older = exchange->peer_older;
        if (exchange->open != NULL && exchange->open->is_challenged)
            challenge(exchange);
    }
    coap_calls_resume(endpoint, link);
    peer->busy--;
    peer_settle(peer);
}

/* The inner request's own exchange, or NULL when there is no memory. */
static struct coap_exchange *begin_inner(struct coap_peer *peer, struct coap_exchange *outer,
                                         const struct coap_message *inner, const struct coap_binding *binding) {
    struct coap_exchange *exchange = exchange_add(peer, inner, inner->payload);
    if (exchange == NULL)
        return NULL;
    if (!exchange_open(exchange, inner)) {
        exchange_forget(exchange);
        return NULL;
    }
    exchange->open->binding = *binding;
    exchange->open->outer = outer;
    outer->open->inner = exchange;
    return exchange;
}

/* As many requests as may wait to be challenged, until there are numbers for that. */
static bool is_crowded(const struct coap_peer *peer) {
    size_t count = 0;
    for (const struct coap_exchange *exchange = peer->newest; exchange != NULL; exchange = exchange->peer_older)
        count += exchange->open != NULL && exchange->open->is_challenged;
    return count >= COAP_CHALLENGES_MAX;
}

static void take_inner(struct coap_exchange *outer, struct link *link, struct coap_message *inner,
                       const struct coap_binding *binding, bool is_stale) {
    struct coap_peer *peer = peer_of(outer->peer->endpoint, link);
    if (peer == NULL) {
        outer->peer->layer->leave(outer, false);
        return;
    }
    peer->busy++;
    struct coap_exchange *exchange = is_stale && is_crowded(peer) ? NULL : begin_inner(peer, outer, inner, binding);
    if (exchange == NULL) /* as if it were lost */
        outer->peer->layer->leave(outer, false);
    else if (is_stale)
        challenge(exchange);
    else
        request_process(exchange, inner);
    peer->busy--;
    peer_settle(peer);
}

static void tell_refusal(struct coap_peer *peer, struct slice diagnostic) {
    char why[64];
    snprintf(why, sizeof why, "OSCORE: %.*s", (int)diagnostic.len, (const char *)diagnostic.data);
    peer_oddity(peer, true, why);
}

void protected_take_request(struct coap_exchange *exchange, struct coap_message *request) {
    struct coap_endpoint *endpoint = exchange->peer->endpoint;
    uint8_t bytes[COAP_PROTECTED_MAX];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    struct coap_message inner;
    struct link *link = NULL;
    struct coap_binding binding = {0};
    struct transfer *finished = NULL;
    if (exchange->open->has_block1 && !transfer_take_block(exchange, request, &request->payload, &finished))
        return;
    /* What is said outside about the answer is not to be trusted (§4.1.3.4, §4.1.3.6). */
    exchange->open->has_block2 = false;
    exchange->open->no_response = 0;
    enum coap_opened opened = request->payload.len > COAP_PROTECTED_MAX - 8
                                  ? COAP_NOT_OPENED
                                  : endpoint->protection->open_request(endpoint->protection_arg, exchange->peer->link,
                                                                       request, &memory, &inner, &link, &binding);
    if (request->payload.len > COAP_PROTECTED_MAX - 8) {
        coap_respond_code(endpoint, exchange, COAP_4_13_REQUEST_ENTITY_TOO_LARGE, NULL);
    } else if (opened == COAP_NOT_OPENED) {
        if (coap_option_find(&inner, COAP_OSCORE) == NULL) /* else it is a step of Appendix B.2 */
            tell_refusal(exchange->peer, inner.payload);
        coap_respond(endpoint, exchange, &inner);
    } else {
        tell_inner(endpoint, exchange->peer->link, false, &inner);
        take_inner(exchange, link, &inner, &binding, opened == COAP_OPENED_STALE);
    }
    if (finished != NULL)
        transfer_free(finished);
}

/* ---- responses to ours ---- */

/* What the inner message says must be understood, too. */
static enum coap_opened open_response(struct coap_peer *peer, const struct coap_binding *binding,
                                      const struct coap_message *response, struct buffer *memory,
                                      struct coap_message *inner, uint64_t *number) {
    const struct coap_endpoint *endpoint = peer->endpoint;
    memory->len = 0;
    memory->overflow = false;
    enum coap_opened opened = endpoint->protection->open_response(endpoint->protection_arg, peer->link, binding,
                                                                  response, memory, inner, number);
    if (opened == COAP_OPENED)
        tell_inner(endpoint, peer->link->base, false, inner);
    if (opened == COAP_OPENED && coap_options_judge(inner, &endpoint->rules) != 0)
        return COAP_NOT_OPENED;
    return opened;
}

/* An answer without protection: errors may have no other (§8.2), and everybody can make them. */
static bool take_unprotected(struct coap_peer *peer, struct coap_call *call, const struct coap_message *response) {
    if (COAP_CODE_CLASS(response->code) == 2)
        return false;
    peer_oddity(peer, false, "an error without protection answers a protected request");
    call_take(call, response);
    return true;
}

static bool take_for(struct coap_peer *peer, struct coap_call *call, const struct coap_message *response) {
    uint8_t bytes[COAP_PROTECTED_MAX];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    struct coap_message inner;
    uint64_t number;
    if (coap_option_find(response, COAP_OSCORE) == NULL)
        return take_unprotected(peer, call, response);
    switch (open_response(peer, call_binding(call), response, &memory, &inner, &number)) {
    case COAP_OPENED:
        call_take(call, &inner);
        return true;
    case COAP_ASK_AGAIN:
        return call_ask_again(call);
    case COAP_OPENED_STALE:
    case COAP_NOT_OPENED:
        break;
    }
    return false;
}

bool protected_take_response(struct coap_peer *peer, const struct coap_message *response) {
    for (struct link *link = peer->link->carried; link != NULL; link = link->next_carried) {
        struct coap_call *call = link->coap == NULL ? NULL : call_find(link->coap, response);
        if (call == NULL)
            continue;
        struct coap_peer *carried = link->coap;
        carried->busy++;
        bool taken = take_for(carried, call, response);
        carried->busy--;
        peer_settle(carried);
        if (taken)
            return true;
    }
    return false;
}

/* A notification of this peer's: `response` becomes what it says. */
static struct coap_observation *open_notification(struct coap_peer *peer, struct coap_message *response,
                                                  struct buffer *memory, bool *wanted) {
    struct coap_message inner;
    uint64_t number;
    struct coap_observation *observation = observe_find(peer, response->token);
    if (observation == NULL ||
        open_response(peer, observe_binding(observation), response, memory, &inner, &number) != COAP_OPENED)
        return NULL;
    *wanted = true;
    /* §7.4.1: one that is not newer than the newest, or has no number, may be an old one. */
    bool is_notification = coap_option_find(&inner, COAP_OBSERVE) != NULL;
    if (number <= *observe_number(observation) && (is_notification || number > 0))
        return NULL;
    if (number > 0)
        *observe_number(observation) = number;
    *response = inner;
    return observation;
}

struct coap_observation *protected_find_observation(struct coap_peer *peer, struct coap_message *response,
                                                    struct buffer *memory, bool *wanted) {
    struct coap_observation *observation = NULL;
    *wanted = false;
    for (struct link *link = peer->link->carried; link != NULL && !*wanted; link = link->next_carried) {
        struct coap_peer *carried = peer_of(peer->endpoint, link);
        if (carried == NULL)
            continue;
        observation = open_notification(carried, response, memory, wanted);
        peer_settle(carried);
    }
    return observation;
}

/* Its messages come inside of others. */
static void receive_nothing(struct coap_endpoint *endpoint, struct link *link, struct slice bytes) {
    (void)endpoint;
    (void)link;
    (void)bytes;
}

const struct message_layer protected_layer = {
    .receive = receive_nothing, .send = send_message, .ping = ping, .answer = answer, .leave = leave};
