#include <stdlib.h>

#include "common/base/memory_limit.h"
#include "common/coap/peer.h"

static void on_expiry(struct timer *timer, void *arg);

/* The oldest exchange decides when to look again. A second's grain keeps wake-ups rare; being remembered a little
 * longer harms nobody. */
static void schedule_expiry(struct coap_endpoint *endpoint) {
    if (endpoint->oldest != NULL && !timer_is_scheduled(&endpoint->exchange_timer))
        timer_schedule(endpoint->wheel, &endpoint->exchange_timer, endpoint->oldest->expires_ms + 1000, on_expiry);
}

static void append(struct coap_endpoint *endpoint, struct coap_exchange *exchange) {
    exchange->older = endpoint->newest;
    exchange->newer = NULL;
    if (endpoint->newest != NULL)
        endpoint->newest->newer = exchange;
    else
        endpoint->oldest = exchange;
    endpoint->newest = exchange;
}

static void detach(struct coap_endpoint *endpoint, struct coap_exchange *exchange) {
    *(exchange->older != NULL ? &exchange->older->newer : &endpoint->oldest) = exchange->newer;
    *(exchange->newer != NULL ? &exchange->newer->older : &endpoint->newest) = exchange->older;
}

/* An exchange that is still being answered stays: it goes to the end of the line once more. */
static void drop_oldest(struct coap_endpoint *endpoint) {
    struct coap_exchange *exchange = endpoint->oldest;
    if (exchange->state == EXCHANGE_DONE) {
        struct coap_peer *peer = exchange->peer;
        exchange_forget(exchange);
        peer_settle(peer);
        return;
    }
    detach(endpoint, exchange);
    exchange->expires_ms = clock_now_ms(endpoint->clock) + coap_exchange_lifetime_ms(&endpoint->params);
    append(endpoint, exchange);
}

/* Where memory ends, an eighth is remembered. To get there more go with each that comes, so that no moment is long. */
static void make_room(struct coap_endpoint *endpoint) {
    enum { SCARCE_PART = 8, GO_AT_ONCE = 4 };
    size_t most = endpoint->params.max_exchanges / (memory_limit_is_reached() ? SCARCE_PART : 1);
    for (size_t i = 0; i < GO_AT_ONCE && endpoint->oldest != NULL && endpoint->counters.exchanges >= most; i++)
        drop_oldest(endpoint);
}

static void on_expiry(struct timer *timer, void *arg) {
    (void)arg;
    struct coap_endpoint *endpoint = TIMER_OWNER(timer, struct coap_endpoint, exchange_timer);
    uint64_t now_ms = timer->due_ms;
    while (endpoint->oldest != NULL && endpoint->oldest->expires_ms <= now_ms)
        drop_oldest(endpoint);
    schedule_expiry(endpoint);
}

struct coap_exchange *exchange_find(struct coap_peer *peer, uint16_t mid, bool is_response) {
    struct coap_exchange *exchange = peer->newest;
    while (exchange != NULL && (exchange->mid != mid || exchange->is_response != is_response))
        exchange = exchange->peer_older;
    if (exchange == NULL)
        return NULL;
    /* A NON is remembered for NON_LIFETIME only; its Message ID may come again before it leaves the line (§4.8.2). */
    uint64_t now_ms = clock_now_ms(peer->endpoint->clock);
    uint64_t early_ms = exchange->type == COAP_NON ? coap_exchange_lifetime_ms(&peer->endpoint->params) -
                                                         coap_non_lifetime_ms(&peer->endpoint->params)
                                                   : 0;
    if (exchange->state == EXCHANGE_DONE && exchange->expires_ms <= now_ms + early_ms) {
        exchange_forget(exchange);
        return NULL;
    }
    return exchange;
}

uint32_t exchange_content(const struct coap_endpoint *endpoint, struct slice datagram) {
    return (uint32_t)hash_slice(&endpoint->key, datagram);
}

struct coap_exchange *exchange_add(struct coap_peer *peer, const struct coap_message *message, struct slice datagram) {
    struct coap_endpoint *endpoint = peer->endpoint;
    peer->busy++; /* making room must not free this peer */
    make_room(endpoint);
    if (peer->exchange_count >= endpoint->params.max_exchanges_per_peer && peer->oldest->state == EXCHANGE_DONE)
        exchange_forget(peer->oldest);
    peer->busy--;

    struct coap_exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return NULL;
    exchange->peer = peer;
    exchange->mid = message->mid;
    exchange->asked_len = datagram.len < UINT16_MAX ? (uint16_t)datagram.len : UINT16_MAX;
    exchange->type = (uint8_t)message->type;
    exchange->state = EXCHANGE_OPEN;
    exchange->is_response = !coap_code_is_request(message->code);
    exchange->content = exchange_content(endpoint, datagram);
    exchange->expires_ms = clock_now_ms(endpoint->clock) + coap_exchange_lifetime_ms(&endpoint->params);
    exchange->peer_older = peer->newest;
    *(peer->newest != NULL ? &peer->newest->peer_newer : &peer->oldest) = exchange;
    peer->newest = exchange;
    peer->exchange_count++;
    endpoint->counters.exchanges++;
    append(endpoint, exchange);
    schedule_expiry(endpoint);
    return exchange;
}

static struct slice remembered_reply(const struct coap_exchange *exchange) {
    bool inlined = exchange->reply_len <= EXCHANGE_INLINE_REPLY;
    return slice_of(inlined ? exchange->reply.inlined : exchange->reply.allocated, exchange->reply_len);
}

void exchange_remember_reply(struct coap_exchange *exchange, struct slice reply) {
    if (exchange->reply_len > EXCHANGE_INLINE_REPLY)
        free(exchange->reply.allocated);
    exchange->reply_len = 0;
    uint8_t *at = exchange->reply.inlined;
    if (reply.len > EXCHANGE_INLINE_REPLY) {
        at = malloc(reply.len);
        if (at == NULL)
            return; /* a repeated request then gets no reply, as if this one had been lost */
        exchange->reply.allocated = at;
    }
    memcpy(at, reply.data, reply.len);
    exchange->reply_len = (uint16_t)reply.len;
}

bool exchange_open(struct coap_exchange *exchange, const struct coap_message *request) {
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

static void close_request(struct coap_exchange *exchange) {
    if (exchange->open == NULL)
        return;
    timer_cancel(exchange->peer->endpoint->wheel, &exchange->open->timer);
    protected_part(exchange->open);
    free(exchange->open);
    exchange->open = NULL;
}

void exchange_close(struct coap_exchange *exchange) {
    exchange->state = EXCHANGE_DONE;
    close_request(exchange);
}

void exchange_forget(struct coap_exchange *exchange) {
    struct coap_peer *peer = exchange->peer;
    close_request(exchange);
    if (exchange->reply_len > EXCHANGE_INLINE_REPLY)
        free(exchange->reply.allocated);
    detach(peer->endpoint, exchange);
    *(exchange->peer_older != NULL ? &exchange->peer_older->peer_newer : &peer->oldest) = exchange->peer_newer;
    *(exchange->peer_newer != NULL ? &exchange->peer_newer->peer_older : &peer->newest) = exchange->peer_older;
    peer->exchange_count--;
    peer->endpoint->counters.exchanges--;
    free(exchange);
}

void exchange_repeat(struct coap_exchange *exchange, const struct coap_message *message, uint32_t content) {
    struct coap_peer *peer = exchange->peer;
    peer->endpoint->counters.duplicates++;
    if (content != exchange->content)
        peer_oddity(peer, false, "Message ID used again for another message within EXCHANGE_LIFETIME");
    if (message->type != COAP_CON)
        return;
    if (exchange->state == EXCHANGE_ACKED)
        peer_send_empty(peer, COAP_ACK, exchange->mid);
    else if (exchange->state == EXCHANGE_DONE && exchange->reply_len > 0)
        peer_send(peer, remembered_reply(exchange));
}

/* RFC 7967 §2.1: bit 1 suppresses class 2, bit 3 class 4, bit 4 class 5. */
static bool is_suppressed(const struct open_request *request, uint8_t code) {
    return (request->no_response >> (COAP_CODE_CLASS(code) - 1) & 1) != 0;
}

void exchange_answer(struct coap_exchange *exchange, struct coap_message *message) {
    const struct message_layer *layer = exchange->peer->layer;
    if (is_suppressed(exchange->open, message->code)) {
        layer->leave(exchange, true);
        return;
    }
    message->token = slice_of(exchange->open->token, exchange->open->token_len);
    layer->answer(exchange, message);
}

void coap_respond_nothing(struct coap_endpoint *endpoint, struct coap_exchange *exchange) {
    (void)endpoint;
    exchange->peer->layer->leave(exchange, false);
}

void coap_respond(struct coap_endpoint *endpoint, struct coap_exchange *exchange, const struct coap_message *response) {
    (void)endpoint;
    transfer_respond(exchange, response);
}

void coap_respond_source(struct coap_endpoint *endpoint, struct coap_exchange *exchange,
                         const struct coap_message *response, const struct coap_source *source) {
    (void)endpoint;
    transfer_respond_source(exchange, response, source);
}

void coap_respond_code(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint8_t code,
                       const char *diagnostic) {
    struct coap_message response;
    coap_message_init(&response, COAP_ACK, code, 0, SLICE_NONE);
    if (diagnostic != NULL)
        response.payload = slice_str(diagnostic);
    coap_respond(endpoint, exchange, &response);
}

void coap_respond_unavailable(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint32_t retry_after_s,
                              const char *diagnostic) {
    struct coap_message response;
    struct coap_uint max_age;
    coap_message_init(&response, COAP_ACK, COAP_5_03_SERVICE_UNAVAILABLE, 0, SLICE_NONE);
    coap_option_add_uint(&response, COAP_MAX_AGE, retry_after_s, &max_age);
    if (diagnostic != NULL)
        response.payload = slice_str(diagnostic);
    coap_respond(endpoint, exchange, &response);
}

struct link *coap_exchange_link(const struct coap_exchange *exchange) {
    return exchange->peer->link;
}
