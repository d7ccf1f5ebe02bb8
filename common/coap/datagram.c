/* Messages over datagrams (RFC 7252 §4): types and Message IDs, acknowledgements and Resets, separate responses. */
#include <stdlib.h>

#include "common/coap/peer.h"

/* ---- sending ---- */

static struct slice encode(const struct coap_peer *peer, const struct coap_message *message,
                           uint8_t bytes[COAP_MESSAGE_MAX]) {
    struct buffer out = buffer_over(bytes, peer_message_max(peer));
    return coap_encode(message, &out) ? buffer_slice(&out) : SLICE_NONE;
}

static struct transmission *send_message(struct coap_peer *peer, struct coap_message *message, transmission_fn *done,
                                         void *owner) {
    uint8_t bytes[COAP_MESSAGE_MAX];
    message->mid = peer_next_mid(peer);
    struct slice datagram = encode(peer, message, bytes);
    if (datagram.len == 0) /* whoever sends has seen to it that it fits */
        return NULL;
    if (message->type == COAP_CON)
        return transmission_start(peer, message->mid, datagram, done, owner);
    peer_send(peer, datagram);
    return NULL;
}

static struct transmission *ping(struct coap_peer *peer, struct slice token, transmission_fn *done, void *owner) {
    uint16_t mid = peer_next_mid(peer);
    uint8_t bytes[4] = {1 << 6 | COAP_CON << 4, COAP_EMPTY, (uint8_t)(mid >> 8), (uint8_t)mid};
    (void)token;
    return transmission_start(peer, mid, slice_of(bytes, sizeof bytes), done, owner);
}

/* ---- answering ---- */

static void leave(struct coap_exchange *exchange, bool heard) {
    if (heard && exchange->type == COAP_CON && exchange->state == EXCHANGE_OPEN) {
        uint8_t ack[4] = {1 << 6 | COAP_ACK << 4, COAP_EMPTY, (uint8_t)(exchange->mid >> 8), (uint8_t)exchange->mid};
        exchange_remember_reply(exchange, slice_of(ack, sizeof ack));
        peer_send(exchange->peer, slice_of(ack, sizeof ack));
    }
    exchange_close(exchange);
}

/* RFC 7252 §11.3: an answer to a forged address would be an attack on whoever is there. What a protected request has
 * caused, nobody forges. */
static bool is_too_much(const struct coap_exchange *exchange, struct slice datagram) {
    return exchange->open->inner == NULL && !peer_is_proven(exchange->peer) &&
           datagram.len > (size_t)PEER_AMPLIFICATION * exchange->asked_len;
}

/* Instead: an error without its text; else whoever asks is to show first that it receives there (RFC 9175 §2.4). */
static struct slice say_less(struct coap_exchange *exchange, struct coap_message *message,
                             uint8_t bytes[COAP_MESSAGE_MAX]) {
    struct coap_peer *peer = exchange->peer;
    struct coap_message challenge;
    uint8_t value[ECHO_LEN];
    if (COAP_CODE_CLASS(message->code) != 2) {
        message->payload = SLICE_NONE;
        return encode(peer, message, bytes);
    }
    echo_make(peer->endpoint, peer->link, clock_now_ms(peer->endpoint->clock), value);
    coap_message_init(&challenge, message->type, COAP_4_01_UNAUTHORIZED, message->mid, message->token);
    coap_option_add(&challenge, COAP_ECHO, slice_of(value, sizeof value));
    return encode(peer, &challenge, bytes);
}

static void answer(struct coap_exchange *exchange, struct coap_message *message) {
    struct coap_peer *peer = exchange->peer;
    bool separate = exchange->state == EXCHANGE_ACKED;
    if (exchange->type == COAP_NON)
        message->type = COAP_NON;
    else
        message->type = separate ? COAP_CON : COAP_ACK;
    message->mid = message->type == COAP_ACK ? exchange->mid : peer_next_mid(peer);

    uint8_t bytes[COAP_MESSAGE_MAX];
    struct slice datagram = encode(peer, message, bytes);
    if (is_too_much(exchange, datagram))
        datagram = say_less(exchange, message, bytes);
    if (datagram.len == 0) {
        peer_oddity(peer, true, "the answer does not fit into a message");
        struct coap_message error;
        coap_message_init(&error, message->type, COAP_5_00_INTERNAL_SERVER_ERROR, message->mid, message->token);
        datagram = encode(peer, &error, bytes);
    }
    if (separate) {
        /* What is remembered is the empty ACK: a request that comes again after it gets it again (§5.2.2). */
        uint8_t ack[4] = {1 << 6 | COAP_ACK << 4, COAP_EMPTY, (uint8_t)(exchange->mid >> 8), (uint8_t)exchange->mid};
        exchange_remember_reply(exchange, slice_of(ack, sizeof ack));
        transmission_start(peer, message->mid, datagram, NULL, NULL);
    } else {
        if (exchange->type == COAP_CON)
            exchange_remember_reply(exchange, datagram);
        peer_send(peer, datagram);
    }
    exchange_close(exchange);
}

/* ---- requests ---- */

static void on_piggyback_over(struct timer *timer, void *arg) {
    (void)arg;
    struct open_request *open = TIMER_OWNER(timer, struct open_request, timer);
    struct coap_exchange *exchange = open->exchange;
    exchange->state = EXCHANGE_ACKED;
    peer_send_empty(exchange->peer, COAP_ACK, exchange->mid);
}

static void take_request(struct coap_peer *peer, struct coap_message *request, struct slice datagram) {
    struct coap_endpoint *endpoint = peer->endpoint;
    if (request->type != COAP_CON && request->type != COAP_NON)
        return; /* never answer an ACK or RST */
    struct coap_exchange *exchange = exchange_find(peer, request->mid, false);
    if (exchange != NULL) {
        exchange_repeat(exchange, request, exchange_content(endpoint, datagram));
        return;
    }
    exchange = exchange_add(peer, request, datagram);
    if (exchange == NULL)
        return; /* no memory: as if it had been lost */
    if (!exchange_open(exchange, request)) {
        exchange_forget(exchange);
        return;
    }
    uint16_t mid = exchange->mid;
    request_process(exchange, request);
    /* Answered at once mostly; else the peer hears in time that its request has come (§5.2.2). */
    exchange = exchange_find(peer, mid, false);
    if (exchange != NULL && exchange->state == EXCHANGE_OPEN && exchange->type == COAP_CON)
        timer_schedule(endpoint->wheel, &exchange->open->timer,
                       clock_now_ms(endpoint->clock) + endpoint->params.piggyback_ms, on_piggyback_over);
}

/* ---- responses and empty messages ---- */

/* An empty ACK for a CON, or a Reset for either (RFC 7252 §4.2, §4.3), remembered for copies of it. */
static void acknowledge(struct coap_peer *peer, const struct coap_message *response, bool wanted) {
    if (wanted && response->type == COAP_NON)
        return;
    enum coap_type type = wanted ? COAP_ACK : COAP_RST;
    uint8_t reply[4] = {(uint8_t)(1 << 6 | (unsigned)type << 4), COAP_EMPTY, (uint8_t)(response->mid >> 8),
                        (uint8_t)response->mid};
    struct coap_exchange *exchange = exchange_find(peer, response->mid, true);
    if (exchange != NULL)
        exchange_remember_reply(exchange, slice_of(reply, sizeof reply));
    peer_send_empty(peer, type, response->mid);
}

/* A CON or NON response, remembered so that its copies are acknowledged and not delivered again (§4.5). */
static void take_separate_response(struct coap_peer *peer, struct coap_message *response, struct slice datagram) {
    struct coap_endpoint *endpoint = peer->endpoint;
    struct coap_exchange *exchange = exchange_find(peer, response->mid, true);
    if (exchange != NULL) {
        exchange_repeat(exchange, response, exchange_content(endpoint, datagram));
        return;
    }
    exchange = exchange_add(peer, response, datagram);
    if (exchange != NULL)
        exchange->state = EXCHANGE_DONE;
    uint16_t critical = coap_options_judge(response, &endpoint->rules);
    if (critical != 0) {
        peer_oddity(peer, true, "a response with a critical option that is not understood here");
        acknowledge(peer, response, false);
        return;
    }
    if (call_take_response(peer, response)) {
        acknowledge(peer, response, true);
        return;
    }
    bool wanted;
    uint8_t plain[COAP_PROTECTED_MAX];
    struct buffer memory = buffer_over(plain, sizeof plain);
    struct coap_observation *observation = response_find_observation(peer, response, &memory, &wanted);
    acknowledge(peer, response, wanted);
    if (observation != NULL)
        observe_take(observation, response);
}

static void take_response(struct coap_peer *peer, struct coap_message *response, struct slice datagram) {
    switch (response->type) {
    case COAP_RST:
        return; /* not an Empty message: ignored */
    case COAP_ACK:
        /* Unknown Message IDs, wrong tokens and critical options alike: not our answer, the exchange goes on. */
        if (transmission_find(peer, response->mid) != NULL &&
            coap_options_judge(response, &peer->endpoint->rules) == 0 && call_take_response(peer, response))
            peer_prove(peer);
        return;
    case COAP_CON:
    case COAP_NON:
        take_separate_response(peer, response, datagram);
        return;
    }
}

static void take_empty(struct coap_peer *peer, const struct coap_message *message) {
    struct coap_endpoint *endpoint = peer->endpoint;
    switch (message->type) {
    case COAP_CON:
        endpoint->counters.pings++;
        peer_send_empty(peer, COAP_RST, message->mid);
        if (endpoint->handlers.ping != NULL)
            endpoint->handlers.ping(endpoint->arg, peer->link);
        return;
    case COAP_NON:
        return;
    case COAP_ACK:
        if (transmission_answered(peer, message->mid, TRANSMISSION_ACKNOWLEDGED))
            peer_prove(peer);
        return;
    case COAP_RST:
        endpoint->counters.resets_in++;
        if (transmission_answered(peer, message->mid, TRANSMISSION_RESET))
            peer_prove(peer);
        else
            notify_take_reset(peer, message->mid);
        return;
    }
}

/* A message with a format error (§4.2, §4.3): a CON is reset, anything else ignored. */
static void reject_malformed(struct coap_peer *peer, const struct coap_message *message, const char *why) {
    peer->endpoint->counters.malformed++;
    peer_oddity(peer, true, why);
    if (message->type == COAP_CON)
        peer_send_empty(peer, COAP_RST, message->mid);
}

static void dispatch(struct coap_peer *peer, struct coap_message *message, enum coap_decode_result result,
                     struct slice datagram) {
    bool strict = peer->link->listener != NULL && peer->link->listener->strict;
    switch (result) {
    case COAP_DECODE_OK:
        break;
    case COAP_DECODE_TOO_SHORT:
    case COAP_DECODE_VERSION:
        return;
    case COAP_DECODE_EMPTY_TRAILING:
        peer_oddity(peer, strict, "an empty ACK or RST has bytes after its Message ID");
        if (strict)
            return;
        break;
    case COAP_DECODE_TOO_MANY_OPTIONS:
        if (coap_code_is_request(message->code) && message->type == COAP_CON) {
            struct coap_message response;
            uint8_t bytes[64];
            struct buffer out = buffer_over(bytes, sizeof bytes);
            coap_message_init(&response, COAP_ACK, COAP_4_02_BAD_OPTION, message->mid, message->token);
            response.payload = slice_str(coap_decode_text(result));
            coap_encode(&response, &out);
            peer_oddity(peer, true, coap_decode_text(result));
            peer_send(peer, buffer_slice(&out));
            return;
        }
        reject_malformed(peer, message, coap_decode_text(result));
        return;
    case COAP_DECODE_TOKEN:
    case COAP_DECODE_OPTION:
    case COAP_DECODE_PAYLOAD:
    case COAP_DECODE_EMPTY:
        reject_malformed(peer, message, coap_decode_text(result));
        return;
    }
    if (message->code == COAP_EMPTY)
        take_empty(peer, message);
    else if (coap_code_is_request(message->code))
        take_request(peer, message, datagram);
    else if (coap_code_is_response(message->code))
        take_response(peer, message, datagram);
    else
        reject_malformed(peer, message, "a code of a reserved class");
}

static void receive(struct coap_endpoint *endpoint, struct link *link, struct slice datagram) {
    struct coap_message message;
    enum coap_decode_result result = coap_decode(datagram, &message);
    if (result == COAP_DECODE_TOO_SHORT || result == COAP_DECODE_VERSION) {
        endpoint->counters.malformed++;
        if (endpoint->handlers.oddity != NULL)
            endpoint->handlers.oddity(endpoint->arg, link, true, coap_decode_text(result));
        return;
    }
    struct coap_peer *peer = peer_of(endpoint, link);
    if (peer == NULL)
        return;
    peer->busy++;
    peer->heard += datagram.len;
    dispatch(peer, &message, result, datagram);
    peer->busy--;
    peer_settle(peer);
}

const struct message_layer datagram_layer = {
    .receive = receive, .send = send_message, .ping = ping, .answer = answer, .leave = leave};
