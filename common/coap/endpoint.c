#include "common/coap/endpoint.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/coap/peer.h"

void coap_params_default(struct coap_params *params) {
    *params = (struct coap_params){
        .ack_timeout_ms = 2000,
        .ack_random_factor = 1.5,
        .max_retransmit = 4,
        .nstart = 1,
        .max_latency_ms = 100000,
        .piggyback_ms = 1000,
        .response_timeout_ms = 247000,
        .transfer_idle_ms = 247000,
        .block_szx = COAP_SZX_MAX,
        .max_body = 16u << 20,
        .max_transfer_bytes = 64u << 20,
        .max_transfers_per_peer = 8,
        .max_exchanges = 65536,
        .max_exchanges_per_peer = 32,
        .max_calls_per_peer = 64,
        .echo_challenge = false,
    };
}

uint32_t coap_max_transmit_span_ms(const struct coap_params *p) {
    return (uint32_t)(p->ack_timeout_ms * (double)((1u << p->max_retransmit) - 1) * p->ack_random_factor);
}

uint32_t coap_max_transmit_wait_ms(const struct coap_params *p) {
    return (uint32_t)(p->ack_timeout_ms * (double)((2u << p->max_retransmit) - 1) * p->ack_random_factor);
}

/* MAX_TRANSMIT_SPAN + 2 * MAX_LATENCY + PROCESSING_DELAY, the last being ACK_TIMEOUT. */
uint32_t coap_exchange_lifetime_ms(const struct coap_params *p) {
    return coap_max_transmit_span_ms(p) + 2 * p->max_latency_ms + p->ack_timeout_ms;
}

uint32_t coap_non_lifetime_ms(const struct coap_params *p) {
    return coap_max_transmit_span_ms(p) + p->max_latency_ms;
}

struct coap_endpoint *coap_endpoint_new(const struct coap_params *params, const struct coap_handlers *handlers,
                                        void *arg, const struct clock *clock, struct timer_wheel *wheel) {
    struct coap_endpoint *endpoint = calloc(1, sizeof *endpoint);
    if (endpoint == NULL)
        return NULL;
    endpoint->params = *params;
    endpoint->handlers = *handlers;
    endpoint->arg = arg;
    endpoint->clock = clock;
    endpoint->wheel = wheel;
    endpoint->key = hash_key_random();
    return endpoint;
}

void coap_endpoint_free(struct coap_endpoint *endpoint) {
    while (endpoint->peers != NULL) {
        struct coap_peer *peer = endpoint->peers;
        peer->busy++;
        calls_abandon(peer, true);
        notify_forget_all(peer);
        while (peer->transmissions != NULL)
            transmission_cancel(peer->transmissions);
        while (peer->newest != NULL)
            exchange_forget(peer->newest);
        while (peer->transfers != NULL) {
            struct transfer *transfer = peer->transfers;
            peer->transfers = transfer->next;
            timer_cancel(endpoint->wheel, &transfer->timer);
            transfer_free(transfer);
        }
        peer->busy--;
        peer_settle(peer);
    }
    observations_free(endpoint);
    timer_cancel(endpoint->wheel, &endpoint->exchange_timer);
    free(endpoint);
}

const struct coap_params *coap_endpoint_params(const struct coap_endpoint *endpoint) {
    return &endpoint->params;
}

struct coap_counters coap_endpoint_counters(const struct coap_endpoint *endpoint) {
    return endpoint->counters;
}

/* ---- requests ---- */

static void on_piggyback_over(struct timer *timer, void *arg) {
    (void)arg;
    struct open_request *open = TIMER_OWNER(timer, struct open_request, timer);
    struct coap_exchange *exchange = open->exchange;
    exchange->state = EXCHANGE_ACKED;
    peer_send_empty(exchange->peer, COAP_ACK, exchange->mid);
}

static bool open_exchange(struct coap_exchange *exchange, const struct coap_message *request) {
    struct open_request *open = calloc(1, sizeof *open);
    if (open == NULL)
        return false;
    exchange->open = open;
    open->exchange = exchange;
    open->code = request->code;
    open->token_len = (uint8_t)request->token.len;
    if (request->token.len > 0)
        memcpy(open->token, request->token.data, request->token.len);
    return true;
}

/* What the answer will need, read once the options have been judged. */
static void note_options(const struct coap_endpoint *endpoint, struct open_request *open,
                         const struct coap_message *request) {
    uint32_t value;
    open->has_block1 = coap_block_get(request, COAP_BLOCK1, &open->block1);
    open->has_block2 = coap_block_get(request, COAP_BLOCK2, &open->block2);
    if (coap_option_uint(request, COAP_NO_RESPONSE, &value))
        open->no_response = (uint8_t)value;
    open->wants_size2 = coap_option_find(request, COAP_SIZE2) != NULL;
    open->key = transfer_key(endpoint, request, TRANSFER_DOWNLOAD);
}

static bool has_dot_segment(const struct coap_message *request) {
    for (size_t i = 0; i < request->option_count; i++) {
        const struct coap_option *option = &request->options[i];
        if (option->number == COAP_URI_PATH && (slice_is(option->value, ".") || slice_is(option->value, "..")))
            return true;
    }
    return false;
}

/* RFC 8768 §3: 1 to 255 in one byte. */
static bool has_bad_hop_limit(const struct coap_message *request) {
    const struct coap_option *option = coap_option_find(request, COAP_HOP_LIMIT);
    return option != NULL && (option->value.len != 1 || option->value.data[0] == 0);
}

/* RFC 9175 §2.4: a peer whose address is not known to be its own first shows that it receives there. True when the
 * request was answered with a challenge. */
static bool challenge(struct coap_exchange *exchange, const struct coap_message *request) {
    struct coap_peer *peer = exchange->peer;
    struct coap_endpoint *endpoint = peer->endpoint;
    if (!endpoint->params.echo_challenge || peer->link->verified)
        return false;
    uint64_t now_ms = clock_now_ms(endpoint->clock);
    const struct coap_option *echo = coap_option_find(request, COAP_ECHO);
    if (echo != NULL && echo_check(endpoint, peer->link, now_ms, echo->value)) {
        peer->link->verified = true;
        return false;
    }
    uint8_t value[ECHO_LEN];
    struct coap_message response;
    echo_make(endpoint, peer->link, now_ms, value);
    coap_message_init(&response, COAP_ACK, COAP_4_01_UNAUTHORIZED, 0, SLICE_NONE);
    coap_option_add(&response, COAP_ECHO, slice_of(value, sizeof value));
    exchange_answer(exchange, &response);
    return true;
}

static void reject_critical(struct coap_exchange *exchange, uint16_t number) {
    char text[64];
    struct coap_message response;
    const char *name = coap_option_name(number);
    snprintf(text, sizeof text, "option %u%s%s is not understood here", number, name[0] == '\0' ? "" : " ", name);
    peer_oddity(exchange->peer, true, text);
    if (exchange->type == COAP_NON) { /* RFC 7252 §5.4.1: rejected, not answered */
        coap_respond_nothing(exchange->peer->endpoint, exchange);
        return;
    }
    coap_message_init(&response, COAP_ACK, COAP_4_02_BAD_OPTION, 0, SLICE_NONE);
    response.payload = slice_str(text);
    exchange_answer(exchange, &response);
}

/* What this layer refuses by itself, and says so. */
static void refuse(struct coap_exchange *exchange, uint8_t code, const char *why) {
    peer_oddity(exchange->peer, true, why);
    exchange->open->has_block2 = false;
    coap_respond_code(exchange->peer->endpoint, exchange, code, why);
}

static void process_request(struct coap_exchange *exchange, struct coap_message *request) {
    struct coap_peer *peer = exchange->peer;
    struct coap_endpoint *endpoint = peer->endpoint;
    bool bad_hop_limit = has_bad_hop_limit(request);
    uint16_t critical = coap_options_judge(request, &endpoint->rules);
    if (critical != 0) {
        reject_critical(exchange, critical);
        return;
    }
    uint8_t scratch[PROXY_SCRATCH];
    bool is_ours = proxy_resolve(request, peer->link, scratch);
    note_options(endpoint, exchange->open, request);
    if (bad_hop_limit) {
        refuse(exchange, COAP_4_00_BAD_REQUEST, "Hop-Limit must be 1 to 255 in one byte");
        return;
    }
    if (request->code > COAP_IPATCH) {
        refuse(exchange, COAP_4_05_METHOD_NOT_ALLOWED, "unknown method");
        return;
    }
    if (has_dot_segment(request)) {
        refuse(exchange, COAP_4_00_BAD_REQUEST, "a path segment is . or ..");
        return;
    }
    if (!is_ours) {
        refuse(exchange, COAP_5_05_PROXYING_NOT_SUPPORTED, "this server forwards nothing");
        return;
    }
    if (challenge(exchange, request))
        return;
    if (exchange->open->has_block2 && exchange->open->block2.szx > COAP_SZX_MAX) {
        refuse(exchange, COAP_4_00_BAD_REQUEST, "Block2 size exponent 7 is reserved");
        return;
    }
    struct slice body = request->payload;
    struct transfer *finished = NULL;
    if (exchange->open->has_block1 && !transfer_take_block(exchange, request, &body, &finished))
        return;
    if (exchange->open->has_block2 && exchange->open->block2.num > 0) {
        if (transfer_serve(exchange)) {
            if (finished != NULL)
                transfer_free(finished);
            return;
        }
        if (request->code != COAP_GET && request->code != COAP_FETCH) {
            refuse(exchange, COAP_4_00_BAD_REQUEST, "no response in blocks is kept");
            if (finished != NULL)
                transfer_free(finished);
            return;
        }
    }
    struct coap_request whole = {
        .endpoint = endpoint, .link = peer->link, .exchange = exchange, .message = request, .body = body};
    uint16_t mid = exchange->mid;
    endpoint->handlers.request(endpoint->arg, &whole);
    if (finished != NULL)
        transfer_free(finished);
    /* Answered at once by most handlers; else the peer hears in time that its request has come (§5.2.2). */
    exchange = exchange_find(peer, mid, false);
    if (exchange != NULL && exchange->state == EXCHANGE_OPEN && exchange->type == COAP_CON)
        timer_schedule(endpoint->wheel, &exchange->open->timer,
                       clock_now_ms(endpoint->clock) + endpoint->params.piggyback_ms, on_piggyback_over);
}

static void take_request(struct coap_peer *peer, struct coap_message *request, struct slice datagram) {
    if (request->type != COAP_CON && request->type != COAP_NON)
        return; /* never answer an ACK or RST */
    struct coap_exchange *exchange = exchange_find(peer, request->mid, false);
    if (exchange != NULL) {
        exchange_repeat(exchange, request, exchange_content(peer->endpoint, datagram));
        return;
    }
    exchange = exchange_add(peer, request, datagram);
    if (exchange == NULL)
        return; /* no memory: as if it had been lost */
    if (!open_exchange(exchange, request)) {
        exchange_forget(exchange);
        return;
    }
    process_request(exchange, request);
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
    struct coap_observation *observation = observe_find(peer, response->token);
    bool wanted = observation != NULL;
    if (observation == NULL && endpoint->handlers.stray_response != NULL) {
        wanted = endpoint->handlers.stray_response(endpoint->arg, peer->link, response);
        observation = observe_find(peer, response->token);
    }
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
        if (transmission_find(peer, response->mid) != NULL && coap_options_judge(response, &peer->endpoint->rules) == 0)
            call_take_response(peer, response);
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
        transmission_answered(peer, message->mid, TRANSMISSION_ACKNOWLEDGED);
        return;
    case COAP_RST:
        endpoint->counters.resets_in++;
        if (!transmission_answered(peer, message->mid, TRANSMISSION_RESET))
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

void coap_receive(struct coap_endpoint *endpoint, struct link *link, struct slice datagram) {
    struct coap_message message;
    endpoint->counters.messages_in++;
    endpoint->counters.bytes_in += datagram.len;
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
    dispatch(peer, &message, result, datagram);
    peer->busy--;
    peer_settle(peer);
}
