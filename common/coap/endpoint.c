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
        .max_message_size = 16384,
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
    TAILQ_INIT(&endpoint->strangers);
    return endpoint;
}

/* What one peer sends may be on its way as a transmission of another, which carries it. */
static void forget_notifications(struct coap_endpoint *endpoint) {
    for (struct coap_peer *peer = endpoint->peers, *next; peer != NULL; peer = next) {
        peer->busy++;
        notify_forget_all(peer);
        next = peer->next;
        peer->busy--;
        peer_settle(peer);
    }
}

void coap_endpoint_free(struct coap_endpoint *endpoint) {
    coap_end_calls(endpoint);
    forget_notifications(endpoint);
    while (endpoint->peers != NULL) {
        struct coap_peer *peer = endpoint->peers;
        peer->busy = 1; /* nobody else: a test that has failed in a callback came back to none of those who were */
        calls_abandon(peer, true);
        notify_forget_all(peer);
        while (peer->transmissions != NULL)
            transmission_cancel(peer->transmissions);
        while (peer->newest != NULL)
            exchange_forget(peer->newest);
        transfers_drop(peer);
        reliable_free(peer);
        peer->busy = 0;
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

void coap_endpoint_divert(struct coap_endpoint *endpoint, coap_divert_fn *divert, void *arg) {
    endpoint->divert = divert;
    endpoint->divert_arg = arg;
}

/* ---- requests ---- */

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
    const struct coap_option *echo = peer->link->verified ? NULL : coap_option_find(request, COAP_ECHO);
    if (peer->link->verified || (!endpoint->params.echo_challenge && echo == NULL))
        return false;
    uint64_t now_ms = clock_now_ms(endpoint->clock);
    if (echo != NULL && echo_check(endpoint, peer->link, now_ms, echo->value)) {
        peer->link->verified = true;
        return false;
    }
    if (!endpoint->params.echo_challenge)
        return false;
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

static bool forwards(const struct coap_exchange *exchange, const struct coap_message *request) {
    const struct coap_endpoint *endpoint = exchange->peer->endpoint;
    const struct coap_option *uri = coap_option_find(request, COAP_PROXY_URI);
    return uri != NULL && endpoint->handlers.forwards != NULL &&
           endpoint->handlers.forwards(endpoint->arg, exchange->peer->link, uri->value);
}

/* A block that the handler takes by itself. */
static bool hands_block_on(const struct coap_exchange *exchange, const struct coap_message *request) {
    const struct coap_endpoint *endpoint = exchange->peer->endpoint;
    return exchange->open->has_block1 && peer_takes_szx(exchange->peer, exchange->open->block1.szx) &&
           endpoint->handlers.takes_blocks != NULL && endpoint->handlers.takes_blocks(endpoint->arg, request);
}

void request_process(struct coap_exchange *exchange, struct coap_message *request) {
    struct coap_peer *peer = exchange->peer;
    struct coap_endpoint *endpoint = peer->endpoint;
    bool bad_hop_limit = has_bad_hop_limit(request);
    uint16_t critical = coap_options_judge(request, &endpoint->rules);
    if (critical != 0) {
        reject_critical(exchange, critical);
        return;
    }
    uint8_t scratch[PROXY_SCRATCH];
    bool is_ours = proxy_resolve(request, peer->link, scratch) || forwards(exchange, request);
    note_options(endpoint, exchange->open, request);
    if (bad_hop_limit) {
        refuse(exchange, COAP_4_00_BAD_REQUEST, "Hop-Limit must be 1 to 255 in one byte");
        return;
    }
    bool carries = coap_option_find(request, COAP_OSCORE) != NULL && !peer->link->is_protected;
    if (carries && is_ours) {
        protected_take_request(exchange, request);
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
    if (exchange->open->has_block2 && !peer_takes_szx(peer, exchange->open->block2.szx)) {
        refuse(exchange, COAP_4_00_BAD_REQUEST, "Block2 size exponent 7 needs BERT, which was not agreed on");
        return;
    }
    struct slice body = request->payload;
    struct transfer *finished = NULL;
    if (exchange->open->has_block1 && !hands_block_on(exchange, request) &&
        !transfer_take_block(exchange, request, &body, &finished))
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
    endpoint->handlers.request(endpoint->arg, &whole);
    if (finished != NULL)
        transfer_free(finished);
}

struct coap_observation *response_find_observation(struct coap_peer *peer, struct coap_message *response,
                                                   struct buffer *memory, bool *wanted) {
    struct coap_endpoint *endpoint = peer->endpoint;
    if (coap_option_find(response, COAP_OSCORE) != NULL)
        return protected_find_observation(peer, response, memory, wanted);
    struct coap_observation *observation = observe_find(peer, response->token);
    *wanted = observation != NULL;
    if (observation == NULL && endpoint->handlers.stray_response != NULL) {
        *wanted = endpoint->handlers.stray_response(endpoint->arg, peer->link, response);
        observation = observe_find(peer, response->token);
    }
    return observation;
}

void coap_link_closed(struct coap_endpoint *endpoint, struct link *link) {
    for (struct link *carried = link->carried; carried != NULL; carried = carried->next_carried) {
        carried->closed = true;
        coap_link_closed(endpoint, carried);
    }
    struct coap_peer *peer = link->coap;
    if (peer == NULL)
        return;
    peer->busy++;
    calls_lose_link(peer);
    notify_lose_link(peer);
    while (peer->transmissions != NULL) /* of what was carried here and is carried elsewhere now: its owner is told */
        transmission_answered(peer, peer->transmissions->mid, TRANSMISSION_CLOSED);
    transfers_drop(peer);
    reliable_free(peer);
    peer->busy--;
    peer_settle(peer);
}

void coap_receive(struct coap_endpoint *endpoint, struct link *link, struct slice message) {
    endpoint->counters.messages_in++;
    endpoint->counters.bytes_in += message.len;
    message_layer_of(link)->receive(endpoint, link, message);
}
