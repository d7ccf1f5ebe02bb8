#include <stdlib.h>

#include "common/base/random.h"
#include "common/coap/peer.h"
#include "common/coap/stream.h"

enum call_state {
    CALL_WAITING, /* for its turn (NSTART) */
    CALL_SENT,    /* no ACK yet */
    CALL_ACKED,   /* empty ACK, response to come (RFC 7252 §5.2.2); also after sending a NON */
};

enum { RESTARTS_MAX = 3, ASKED_AGAIN_MAX = 3 };

struct coap_call {
    struct coap_call *next;
    struct coap_peer *peer;
    coap_call_fn *done;
    void *arg;
    struct stored_message *request; /* NULL: a ping */
    struct transmission *transmission;
    struct timer timer; /* for the response */
    uint64_t sent_ms;
    enum call_state state;
    enum coap_type type;
    uint32_t retransmissions;
    uint32_t response_timeout_ms;
    uint8_t token[COAP_TOKEN_MAX], token_len;               /* of the message under way */
    uint8_t chosen_token[COAP_TOKEN_MAX], chosen_token_len; /* by the caller; none: length 0 */
    uint8_t echo_len, echo[40];                             /* to send with the request */
    bool echo_tried;
    enum coap_call_result end;    /* that is due */
    uint8_t asked_again;          /* with another context */
    struct coap_binding binding;  /* of the message under way */
    struct coap_binding observed; /* of the request with which an observation began */
    /* The body going out (Block1). */
    bool in_blocks;
    uint8_t szx;
    uint16_t block_size;       /* at most; 0: as the peer takes them */
    struct coap_source source; /* of the body; without `read` it is the payload of `request` */
    size_t sent_len, part_len; /* of the body: acknowledged before, and in the message under way */
    uint32_t restarts;
    /* The body coming in (Block2). */
    uint8_t *body;
    size_t body_len, body_cap;
    uint8_t fetch_szx;
    bool fetching;
    bool one_block; /* no further ones are asked for */
    uint8_t etag_len, etag[8];
    int content_format;
    bool has_observe; /* in the first message of the answer: further blocks have none (RFC 7959 §2.6) */
    uint32_t observe;
};

static void send_part(struct coap_call *call);
static void start_next(struct coap_peer *peer);

static void unlink_call(struct coap_call *call) {
    struct coap_call **at = &call->peer->calls;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    call->peer->call_count--;
}

static void stop_waiting(struct coap_call *call) {
    if (call->transmission != NULL) {
        struct coap_peer *carrier = call->transmission->peer;
        call->retransmissions += call->transmission->retransmissions;
        transmission_cancel(call->transmission);
        call->transmission = NULL;
        if (carrier != call->peer)
            peer_settle(carrier);
    }
    timer_cancel(call->peer->endpoint->wheel, &call->timer);
}

static void free_call(struct coap_call *call) {
    stop_waiting(call);
    unlink_call(call);
    call->peer->endpoint->counters.transfer_bytes -= call->body_cap;
    free(call->request);
    free(call->body);
    free(call);
}

static void finish(struct coap_call *call, enum coap_call_result result, const struct coap_message *message) {
    struct coap_peer *peer = call->peer;
    stop_waiting(call);
    struct coap_reply reply = {.result = result,
                               .message = result == COAP_CALL_REPLY ? message : NULL,
                               .has_observe = result == COAP_CALL_REPLY && call->has_observe,
                               .observe = call->observe,
                               .binding = call->observed,
                               .rtt_ms = (uint32_t)(clock_now_ms(peer->endpoint->clock) - call->sent_ms),
                               .retransmissions = call->retransmissions};
    if (reply.message != NULL)
        reply.body = call->body_len > 0 ? slice_of(call->body, call->body_len) : message->payload;
    peer->busy++;
    coap_call_fn *done = call->done;
    void *arg = call->arg;
    uint8_t *body = call->body; /* outlives the call, which `done` must not be able to cancel any more */
    peer->endpoint->counters.transfer_bytes -= call->body_cap;
    call->body = NULL;
    call->body_cap = 0;
    free_call(call);
    done(arg, &reply);
    free(body);
    start_next(peer);
    peer->busy--;
    peer_settle(peer);
}

static void on_response_timeout(struct timer *timer, void *arg) {
    (void)arg;
    finish(TIMER_OWNER(timer, struct coap_call, timer), COAP_CALL_NO_RESPONSE, NULL);
}

static void wait_for_response(struct coap_call *call, uint64_t timeout_ms) {
    struct coap_endpoint *endpoint = call->peer->endpoint;
    call->state = CALL_ACKED;
    timer_schedule(endpoint->wheel, &call->timer, clock_now_ms(endpoint->clock) + timeout_ms, on_response_timeout);
}

static void on_transmission_end(void *owner, enum transmission_end end) {
    struct coap_call *call = owner;
    call->transmission = NULL;
    switch (end) {
    case TRANSMISSION_ACKNOWLEDGED:
        wait_for_response(call, call->response_timeout_ms);
        return;
    case TRANSMISSION_RESET:
        finish(call, COAP_CALL_RESET, NULL);
        return;
    case TRANSMISSION_TIMED_OUT:
        call->retransmissions += call->peer->endpoint->params.max_retransmit;
        finish(call, COAP_CALL_NO_ACK, NULL);
        return;
    case TRANSMISSION_CLOSED:
        finish(call, COAP_CALL_CLOSED, NULL);
        return;
    }
}

static bool is_token(struct slice token, const uint8_t *bytes, uint8_t len) {
    return len > 0 && slice_equal(token, slice_of(bytes, len));
}

static bool is_in_use(const struct coap_peer *peer, struct slice token) {
    for (const struct coap_call *call = peer->calls; call != NULL; call = call->next) {
        if (is_token(token, call->token, call->token_len) ||
            is_token(token, call->chosen_token, call->chosen_token_len))
            return true;
    }
    return observe_has_token(peer, token);
}

/* One byte, three when many are in use. Two bytes are left to one vendor's clients, which use them for observations
 * nobody asked for. */
uint8_t calls_draw_token(struct coap_peer *peer, uint8_t token[COAP_TOKEN_MAX]) {
    for (unsigned tries = 0;; tries++) {
        uint8_t len = peer->call_count > 128 || tries >= 128 ? 3 : 1;
        uint64_t bits = random_u64();
        memcpy(token, &bits, COAP_TOKEN_MAX);
        token[0] = peer_next_token(peer);
        if (!is_in_use(peer, slice_of(token, len)))
            return len;
    }
}

/* Where nothing is delivered twice, one token is enough for all blocks of a body, since each is answered before the next
 * is sent. Peers in use (go-coap) know the blocks of one body by it. */
static bool keeps_token(const struct coap_call *call) {
    return call->peer->layer->is_reliable && call->in_blocks && !call->fetching && call->sent_len > 0;
}

static void draw_token(struct coap_call *call) {
    if (keeps_token(call))
        return;
    if (call->chosen_token_len > 0 && !call->fetching) {
        call->token_len = call->chosen_token_len;
        memcpy(call->token, call->chosen_token, sizeof call->token);
        return;
    }
    call->token_len = calls_draw_token(call->peer, call->token);
}

static void send_message(struct coap_call *call, struct coap_message *message) {
    struct coap_peer *peer = call->peer;
    message->type = call->type;
    message->token = slice_of(call->token, call->token_len);
    call->sent_ms = clock_now_ms(peer->endpoint->clock);
    call->state = CALL_SENT;
    call->transmission = peer->layer->send(peer, message, on_transmission_end, call);
    call->binding = peer->binding;
    if (call->transmission == NULL)
        wait_for_response(call, call->response_timeout_ms);
}

static size_t body_size(const struct coap_call *call) {
    return call->source.read != NULL ? call->source.len : call->request->payload.len;
}

/* A part of the body, in `memory` when it has to be read. False: it can't be. */
static bool read_body(const struct coap_call *call, size_t offset, size_t len, uint8_t memory[COAP_STREAM_SENT_MAX],
                      struct slice *part) {
    if (call->source.read == NULL) {
        *part = slice_of(slice_from(call->request->payload, offset).data, len);
        return true;
    }
    *part = slice_of(memory, len);
    return len <= COAP_STREAM_SENT_MAX && call->source.read(call->source.arg, offset, memory, len);
}

static void on_end_due(struct timer *timer, void *arg) {
    struct coap_call *call = TIMER_OWNER(timer, struct coap_call, timer);
    (void)arg;
    finish(call, call->end, NULL);
}

/* Nobody may hear of it from within its own call. */
static void end_soon(struct coap_call *call, enum coap_call_result result) {
    struct coap_endpoint *endpoint = call->peer->endpoint;
    call->state = CALL_ACKED;
    call->end = result;
    timer_schedule(endpoint->wheel, &call->timer, clock_now_ms(endpoint->clock), on_end_due);
}

static bool has_too_many_blocks(const struct coap_call *call) {
    return call->in_blocks && (body_size(call) - 1) / coap_block_size(call->szx) > COAP_BLOCK_NUM_MAX;
}

/* An Echo that the peer gave before goes with whatever is sent next. */
static void take_kept_echo(struct coap_call *call) {
    struct coap_peer *peer = call->peer;
    if (call->echo_len > 0 || peer->echo == NULL)
        return;
    call->echo_len = peer->echo[0];
    memcpy(call->echo, peer->echo + 1, call->echo_len);
    free(peer->echo);
    peer->echo = NULL;
}

/* Whether the body goes in one message, with the options that are there. */
static bool fits_whole(const struct coap_call *call, const struct coap_message *message, size_t rest_max) {
    size_t len = body_size(call);
    return len == 0 || (len <= peer_payload_max(call->peer, 0) && coap_rest_size(message) + 1 + len <= rest_max);
}

/* Make the message one block of the body, in the largest size that fits beside its options now: what the peer takes may
 * have become less (RFC 8323 §5.3.1). What was sent before is a multiple of smaller sizes. */
static void cut_part(struct coap_call *call, struct coap_message *message, size_t rest_max, struct coap_uint *block1) {
    size_t rest = body_size(call) - call->sent_len;
    for (;; call->szx--) {
        size_t size = coap_block_size(call->szx);
        struct coap_block block = {.num = (uint32_t)(call->sent_len / size), .szx = call->szx};
        coap_block_add(message, COAP_BLOCK1, block, block1);
        size_t head = coap_rest_size(message) + 1, room = rest_max > head ? rest_max - head : 0;
        if (call->szx == COAP_SZX_BERT && room > size)
            size = room - room % size;
        call->part_len = rest > size ? size : rest;
        coap_option_remove(message, COAP_BLOCK1);
        if (call->part_len <= room || call->szx == 0) {
            block.more = rest > size;
            coap_block_add(message, COAP_BLOCK1, block, block1);
            return;
        }
    }
}

/* How much there is in all helps the peer (RFC 7959 §4), but is not worth smaller blocks. */
static void tell_size(const struct coap_call *call, struct coap_message *message, size_t rest_max,
                      struct coap_uint *size1) {
    coap_option_add_uint(message, COAP_SIZE1, (uint32_t)body_size(call), size1);
    if (coap_rest_size(message) + 1 + call->part_len > rest_max)
        coap_option_remove(message, COAP_SIZE1);
}

/* The next message of the call: a block of the body, or the request for a block of the answer. */
static void send_part(struct coap_call *call) {
    struct coap_peer *peer = call->peer;
    struct coap_message message;
    struct coap_uint block1, block2, size1;
    uint8_t tag, memory[COAP_STREAM_SENT_MAX];
    bool readable = true;
    stop_waiting(call);
    draw_token(call);
    stored_message_load(call->request, &message);
    size_t rest_max = peer_rest_max(peer, call->token_len);
    take_kept_echo(call);
    if (call->echo_len > 0)
        coap_option_add(&message, COAP_ECHO, slice_of(call->echo, call->echo_len));
    if (!call->fetching && !fits_whole(call, &message, rest_max))
        call->in_blocks = true;
    if (call->fetching) {
        coap_option_remove(&message, COAP_BLOCK2);
        coap_option_remove(&message, COAP_OBSERVE); /* RFC 7959 §2.6: the rest of what is there, nothing more */
        struct coap_block block = {.num = (uint32_t)(call->body_len / coap_block_size(call->fetch_szx)),
                                   .szx = call->fetch_szx};
        coap_block_add(&message, COAP_BLOCK2, block, &block2);
        /* RFC 8132 §2.5: the body of a FETCH is part of what is asked for. */
        if (call->request->code == COAP_FETCH && !call->in_blocks)
            message.payload = call->request->payload;
    } else if (call->in_blocks) {
        if (call->restarts > 0) { /* RFC 9175 §3.5: not to be mixed with what was sent before */
            tag = (uint8_t)call->restarts;
            coap_option_add(&message, COAP_REQUEST_TAG, slice_of(&tag, 1));
        }
        cut_part(call, &message, rest_max, &block1);
        if (call->sent_len == 0)
            tell_size(call, &message, rest_max, &size1);
        readable = read_body(call, call->sent_len, call->part_len, memory, &message.payload);
    } else {
        readable = read_body(call, 0, body_size(call), memory, &message.payload);
    }
    if (!readable || has_too_many_blocks(call)) {
        end_soon(call, readable ? COAP_CALL_TOO_LARGE : COAP_CALL_INCOMPLETE);
        return;
    }
    if (coap_rest_size(&message) > rest_max) {
        end_soon(call, COAP_CALL_NO_ROOM);
        return;
    }
    send_message(call, &message);
}

static void send_ping(struct coap_call *call) {
    struct coap_peer *peer = call->peer;
    call->token_len = calls_draw_token(peer, call->token);
    call->sent_ms = clock_now_ms(peer->endpoint->clock);
    call->state = CALL_SENT;
    call->transmission = peer->layer->ping(peer, slice_of(call->token, call->token_len), on_transmission_end, call);
    if (call->transmission == NULL)
        wait_for_response(call, coap_max_transmit_wait_ms(&peer->endpoint->params));
}

static void on_unreachable(struct timer *timer, void *arg) {
    (void)arg;
    finish(TIMER_OWNER(timer, struct coap_call, timer), COAP_CALL_CLOSED, NULL);
}

/* There is no connection: the peer may come back over another one (coap_calls_move). */
static void wait_for_link(struct coap_peer *peer) {
    struct coap_endpoint *endpoint = peer->endpoint;
    uint64_t until_ms = clock_now_ms(endpoint->clock) + coap_max_transmit_wait_ms(&endpoint->params);
    for (struct coap_call *call = peer->calls; call != NULL; call = call->next) {
        if (call->state == CALL_WAITING && !timer_is_scheduled(&call->timer))
            timer_schedule(endpoint->wheel, &call->timer, until_ms, on_unreachable);
    }
}

/* Blocks of which size: as the peer takes them now, and as was asked for. */
static void plan(struct coap_call *call) {
    call->szx = peer_szx_max(call->peer);
    while (call->block_size > 0 && call->szx > 0 && coap_block_size(call->szx) > call->block_size)
        call->szx--;
    call->in_blocks = call->block_size > 0 && body_size(call) > call->block_size;
}

static void start_next(struct coap_peer *peer) {
    uint32_t outstanding = 0;
    if (peer->link->closed) {
        wait_for_link(peer);
        return;
    }
    for (struct coap_call *call = peer->calls; call != NULL; call = call->next) {
        if (call->state != CALL_WAITING) {
            outstanding++;
            continue;
        }
        if (outstanding >= peer->endpoint->params.nstart)
            return;
        outstanding++;
        timer_cancel(peer->endpoint->wheel, &call->timer); /* it may have waited for a connection */
        if (call->request == NULL) {
            send_ping(call);
        } else {
            plan(call);
            send_part(call);
        }
    }
}

/* Room that options take in a message of ours, and what this layer may add (Block, Size1, Echo, Request-Tag). */
static size_t header_size(const struct coap_message *request) {
    struct coap_message head = *request;
    uint8_t bytes[COAP_MESSAGE_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    head.payload = SLICE_NONE;
    head.token = SLICE_NONE;
    return coap_encode(&head, &out) ? out.len + COAP_TOKEN_MAX + 1 + 5 + 7 + 44 + 5 : SIZE_MAX;
}

bool coap_call_fits(const struct coap_endpoint *endpoint, const struct coap_message *request) {
    return header_size(request) <= COAP_MESSAGE_MAX - 16 && request->payload.len <= endpoint->params.max_body;
}

static struct coap_call *add_call(struct coap_endpoint *endpoint, struct link *link, coap_call_fn *done, void *arg) {
    struct coap_peer *peer = peer_of(endpoint, link);
    if (peer == NULL)
        return NULL;
    struct coap_call *call = peer->call_count < endpoint->params.max_calls_per_peer ? calloc(1, sizeof *call) : NULL;
    if (call == NULL) {
        peer_settle(peer);
        return NULL;
    }
    call->peer = peer;
    call->done = done;
    call->arg = arg;
    struct coap_call **end = &peer->calls;
    while (*end != NULL)
        end = &(*end)->next;
    *end = call;
    peer->call_count++;
    return call;
}

/* A call that waits for its turn. */
static struct coap_call *make_call(struct coap_endpoint *endpoint, struct link *link,
                                   const struct coap_message *request, const struct coap_call_options *options,
                                   coap_call_fn *done, void *arg) {
    if (!coap_call_fits(endpoint, request) || options->token.len > COAP_TOKEN_MAX)
        return NULL;
    struct coap_call *call = add_call(endpoint, link, done, arg);
    if (call == NULL)
        return NULL;
    call->request = stored_message_copy(request);
    if (call->request == NULL) {
        struct coap_peer *peer = call->peer;
        free_call(call);
        peer_settle(peer);
        return NULL;
    }
    call->type = options->type;
    call->chosen_token_len = (uint8_t)options->token.len;
    if (options->token.len > 0)
        memcpy(call->chosen_token, options->token.data, options->token.len);
    call->response_timeout_ms = options->response_timeout_ms > 0 ? options->response_timeout_ms
                                : options->type == COAP_NON      ? coap_non_lifetime_ms(&endpoint->params)
                                                                 : endpoint->params.response_timeout_ms;
    call->block_size = options->block_size;
    call->one_block = options->one_block;
    if (options->source != NULL)
        call->source = *options->source;
    return call;
}

struct coap_call *coap_call_with(struct coap_endpoint *endpoint, struct link *link, const struct coap_message *request,
                                 const struct coap_call_options *options, coap_call_fn *done, void *arg) {
    struct coap_call *call = make_call(endpoint, link, request, options, done, arg);
    if (call != NULL)
        start_next(call->peer);
    return call;
}

struct coap_call *coap_call(struct coap_endpoint *endpoint, struct link *link, const struct coap_message *request,
                            coap_call_fn *done, void *arg) {
    const struct coap_call_options options = {.type = COAP_CON};
    return coap_call_with(endpoint, link, request, &options, done, arg);
}

struct coap_call *coap_ping(struct coap_endpoint *endpoint, struct link *link, coap_call_fn *done, void *arg) {
    struct coap_call *call = add_call(endpoint, link, done, arg);
    if (call == NULL)
        return NULL;
    call->response_timeout_ms = endpoint->params.response_timeout_ms;
    start_next(call->peer);
    return call;
}

void coap_call_cancel(struct coap_call *call) {
    struct coap_peer *peer = call->peer;
    bool makes_room = call->state != CALL_WAITING;
    peer->busy++;
    free_call(call);
    if (makes_room)
        start_next(peer);
    peer->busy--;
    peer_settle(peer);
}

void calls_lose_link(struct coap_peer *peer) {
    struct coap_call *call = peer->calls;
    peer->busy++;
    while (call != NULL) {
        struct coap_call *next = call->next; /* waits, so finishing this one neither ends nor begins it */
        if (call->state != CALL_WAITING) {
            finish(call, COAP_CALL_CLOSED, NULL);
            next = peer->calls; /* `done` may have ended others */
        }
        call = next;
    }
    wait_for_link(peer);
    peer->busy--;
}

void coap_calls_move(struct coap_endpoint *endpoint, struct link *from, struct link *to) {
    struct coap_peer *before = from->coap, *peer = before == NULL || from == to ? NULL : peer_of(endpoint, to);
    if (peer == NULL)
        return;
    struct coap_call **at = &before->calls, **end = &peer->calls;
    while (*end != NULL)
        end = &(*end)->next;
    while (*at != NULL) {
        struct coap_call *call = *at;
        if (call->state != CALL_WAITING) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        before->call_count--;
        call->next = NULL;
        call->peer = peer;
        *end = call;
        end = &call->next;
        peer->call_count++;
    }
    peer_settle(before);
    peer_settle(peer);
}

void coap_calls_resume(struct coap_endpoint *endpoint, struct link *link) {
    (void)endpoint;
    if (link->coap != NULL)
        start_next(link->coap);
}

void calls_abandon(struct coap_peer *peer, bool tell) {
    peer->busy++;
    while (peer->calls != NULL) {
        struct coap_call *call = peer->calls;
        struct coap_reply reply = {.result = COAP_CALL_CANCELLED};
        coap_call_fn *done = call->done;
        void *arg = call->arg;
        free_call(call);
        if (tell)
            done(arg, &reply);
    }
    peer->busy--;
}

void coap_cancel_calls(struct coap_endpoint *endpoint, struct link *link) {
    (void)endpoint;
    if (link->coap == NULL)
        return;
    struct coap_peer *peer = link->coap;
    calls_abandon(peer, true);
    peer_settle(peer);
}

static struct coap_call *first_waiting(const struct coap_peer *peer) {
    struct coap_call *call = peer->calls;
    while (call != NULL && call->state != CALL_WAITING)
        call = call->next;
    return call;
}

void coap_withdraw_calls(struct coap_endpoint *endpoint, struct link *link) {
    struct coap_peer *peer = link->coap;
    struct coap_call *call;
    (void)endpoint;
    if (peer == NULL)
        return;
    peer->busy++;
    while ((call = first_waiting(peer)) != NULL) { /* `done` may cancel others */
        struct coap_reply reply = {.result = COAP_CALL_WITHDRAWN};
        coap_call_fn *done = call->done;
        void *arg = call->arg;
        free_call(call);
        done(arg, &reply);
    }
    peer->busy--;
    peer_settle(peer);
}

/* ---- responses ---- */

static void restart(struct coap_call *call) {
    call->sent_len = 0;
    call->part_len = 0;
    call->fetching = false;
    call->body_len = 0;
    call->has_observe = false;
    call->restarts++;
    send_part(call);
}

/* 4.13: smaller blocks, if the peer hints at some and the size is the reason (RFC 7959 §2.9.3). */
static bool retry_smaller(struct coap_call *call, const struct coap_message *response) {
    struct coap_block hint;
    bool has_hint = coap_block_get(response, COAP_BLOCK1, &hint) && hint.szx <= COAP_SZX_MAX;
    if (call->restarts >= RESTARTS_MAX || body_size(call) == 0)
        return false;
    if (call->in_blocks) {
        if (!has_hint || hint.szx >= call->szx)
            return false;
        call->szx = hint.szx;
    } else {
        if (has_hint && hint.szx < call->szx)
            call->szx = hint.szx;
        call->in_blocks = true;
    }
    restart(call);
    return true;
}

/* The peer wants to know that we are there (RFC 9175 §2.3): once. */
static bool retry_with_echo(struct coap_call *call, const struct coap_message *response) {
    const struct coap_option *echo = coap_option_find(response, COAP_ECHO);
    if (echo == NULL || call->echo_tried)
        return false;
    call->echo_tried = true;
    call->echo_len = (uint8_t)echo->value.len;
    memcpy(call->echo, echo->value.data, echo->value.len);
    send_part(call);
    return true;
}

static bool next_block_out(struct coap_call *call, const struct coap_message *response) {
    struct coap_block block;
    bool has_block = coap_block_get(response, COAP_BLOCK1, &block) && peer_takes_szx(call->peer, block.szx);
    bool is_last = call->sent_len + call->part_len >= body_size(call);
    /* Without M the peer handles block by block (RFC 7959 §2.3); with M it is of a time before 2.31. */
    bool goes_on = response->code == COAP_2_31_CONTINUE || (COAP_CODE_CLASS(response->code) == 2 && has_block);
    if (!call->in_blocks || call->fetching || is_last || !goes_on)
        return false;
    call->sent_len += call->part_len;
    if (has_block && block.szx < call->szx)
        call->szx = block.szx; /* what was sent is a multiple of the smaller size too */
    send_part(call);
    return true;
}

static bool append_body(struct coap_call *call, struct slice part) {
    struct coap_endpoint *endpoint = call->peer->endpoint;
    size_t len = call->body_len + part.len;
    if (len > endpoint->params.max_body)
        return false;
    if (len > call->body_cap) {
        size_t cap = call->body_cap == 0 ? 4096 : call->body_cap;
        while (cap < len)
            cap *= 2;
        size_t more = cap - call->body_cap;
        if (!transfer_make_room(call->peer, NULL, more))
            return false;
        uint8_t *body = realloc(call->body, cap);
        if (body == NULL)
            return false;
        endpoint->counters.transfer_bytes += more;
        call->body = body;
        call->body_cap = cap;
    }
    memcpy(call->body + call->body_len, part.data, part.len);
    call->body_len = len;
    return true;
}

/* The first block of an answer. False when the answer is too large. */
static bool begin_body(struct coap_call *call, const struct coap_message *response, struct coap_block block) {
    const struct coap_option *etag = coap_option_find(response, COAP_ETAG);
    call->fetching = true;
    call->fetch_szx = block.szx;
    call->content_format = coap_content_format(response);
    call->etag_len = etag == NULL ? 0 : (uint8_t)etag->value.len;
    if (call->etag_len > 0)
        memcpy(call->etag, etag->value.data, call->etag_len);
    return append_body(call, response->payload);
}

/* A further block; block numbers have been looked at. */
static bool is_same_body(const struct coap_call *call, const struct coap_message *response) {
    const struct coap_option *etag = coap_option_find(response, COAP_ETAG);
    struct slice value = etag == NULL ? SLICE_NONE : etag->value;
    return slice_equal(value, slice_of(call->etag, call->etag_len)) &&
           coap_content_format(response) == call->content_format;
}

/* One that is not the last. */
static bool is_whole_block(const struct coap_message *response, struct coap_block block) {
    size_t len = response->payload.len, size = coap_block_size(block.szx);
    return block.szx == COAP_SZX_BERT ? len > 0 && len % size == 0 : len == size;
}

/* Take a block of the answer. True when the call goes on (or has ended otherwise). */
static bool next_block_in(struct coap_call *call, const struct coap_message *response) {
    struct coap_block block;
    if (COAP_CODE_CLASS(response->code) != 2 || !coap_block_get(response, COAP_BLOCK2, &block) ||
        !peer_takes_szx(call->peer, block.szx) || (!block.more && !call->fetching) || call->one_block)
        return false;
    size_t size = coap_block_size(block.szx);
    bool same = (uint64_t)block.num * size == call->body_len && (!block.more || is_whole_block(response, block)) &&
                (!call->fetching || is_same_body(call, response));
    if (!same) { /* asked again only if asking changes nothing (RFC 7252 §5.1) */
        bool is_safe = call->request->code == COAP_GET || call->request->code == COAP_FETCH;
        if (call->restarts >= RESTARTS_MAX || !is_safe)
            finish(call, COAP_CALL_INCOMPLETE, NULL);
        else
            restart(call);
        return true;
    }
    call->fetch_szx = block.szx;
    if (call->fetching ? !append_body(call, response->payload) : !begin_body(call, response, block)) {
        finish(call, COAP_CALL_TOO_LARGE, NULL);
        return true;
    }
    if (!block.more)
        return false;
    send_part(call);
    return true;
}

static void keep_echo(struct coap_peer *peer, const struct coap_message *response) {
    const struct coap_option *echo = coap_option_find(response, COAP_ECHO);
    if (echo == NULL)
        return;
    uint8_t *kept = realloc(peer->echo, echo->value.len + 1);
    if (kept == NULL)
        return;
    kept[0] = (uint8_t)echo->value.len;
    memcpy(kept + 1, echo->value.data, echo->value.len);
    peer->echo = kept;
}

static void take(struct coap_call *call, const struct coap_message *response) {
    stop_waiting(call);
    call->echo_len = 0;
    if (!call->fetching) {
        call->has_observe = coap_option_uint(response, COAP_OBSERVE, &call->observe);
        call->observed = call->binding;
    }
    if (response->code == COAP_4_01_UNAUTHORIZED && retry_with_echo(call, response))
        return;
    keep_echo(call->peer, response);
    if (response->code == COAP_4_13_REQUEST_ENTITY_TOO_LARGE && retry_smaller(call, response))
        return;
    if (response->code == COAP_4_08_REQUEST_ENTITY_INCOMPLETE && call->in_blocks && call->restarts == 0) {
        restart(call);
        return;
    }
    if (next_block_out(call, response) || next_block_in(call, response))
        return;
    if (response->code == COAP_2_31_CONTINUE && call->in_blocks) { /* for the last block: makes no sense */
        finish(call, COAP_CALL_INCOMPLETE, NULL);
        return;
    }
    finish(call, COAP_CALL_REPLY, response);
}

struct coap_call *call_find(struct coap_peer *peer, const struct coap_message *message) {
    struct coap_call *call = peer->calls;
    while (call != NULL && (call->state == CALL_WAITING || call->request == NULL ||
                            !slice_equal(message->token, slice_of(call->token, call->token_len))))
        call = call->next;
    /* A piggybacked response answers the message it acknowledges (RFC 7252 §5.3.2). */
    bool fits = call != NULL &&
                (message->type != COAP_ACK || (call->transmission != NULL && call->transmission->mid == message->mid));
    return fits ? call : NULL;
}

const struct coap_binding *call_binding(const struct coap_call *call) {
    return &call->binding;
}

const struct coap_binding *call_observe_binding(const struct coap_call *call) {
    return &call->observed;
}

void call_take(struct coap_call *call, const struct coap_message *message) {
    struct coap_peer *peer = call->peer;
    peer->busy++;
    take(call, message);
    peer->busy--;
}

bool call_ask_again(struct coap_call *call) {
    if (call->asked_again == ASKED_AGAIN_MAX)
        return false;
    call->asked_again++;
    send_part(call);
    return true;
}

bool call_take_response(struct coap_peer *peer, const struct coap_message *message) {
    bool is_plain = coap_option_find(message, COAP_OSCORE) == NULL;
    struct coap_call *call = is_plain ? call_find(peer, message) : NULL;
    if (call == NULL)
        return protected_take_response(peer, message);
    call_take(call, message);
    return true;
}

void call_take_pong(struct coap_peer *peer, struct slice token) {
    struct coap_call *call = peer->calls;
    while (call != NULL && (call->state == CALL_WAITING || call->request != NULL ||
                            !slice_equal(token, slice_of(call->token, call->token_len))))
        call = call->next;
    if (call != NULL) {
        finish(call, COAP_CALL_RESET, NULL);
        return;
    }
    for (struct link *carried = peer->link->carried; carried != NULL; carried = carried->next_carried) {
        if (carried->coap != NULL)
            call_take_pong(carried->coap, token);
    }
}

bool call_is_fetching_observed(const struct coap_call *call) {
    return call->fetching && call->has_observe;
}

void call_supersede(struct coap_call *call, const struct coap_message *message) {
    struct coap_peer *peer = call->peer;
    peer->busy++;
    call->fetching = false;
    call->body_len = 0;
    take(call, message);
    peer->busy--;
}

struct coap_call *call_fetch(struct coap_endpoint *endpoint, struct link *link, const struct coap_message *request,
                             const struct coap_message *first, coap_call_fn *done, void *arg) {
    const struct coap_call_options options = {.type = COAP_CON};
    struct coap_call *call = make_call(endpoint, link, request, &options, done, arg);
    struct coap_block block;
    if (call == NULL)
        return NULL;
    bool is_first = first != NULL && coap_block_get(first, COAP_BLOCK2, &block) && block.num == 0 && block.more &&
                    peer_takes_szx(call->peer, block.szx) && is_whole_block(first, block);
    if (is_first && !begin_body(call, first, block)) {
        coap_call_cancel(call);
        return NULL;
    }
    start_next(call->peer);
    return call;
}

void coap_end_calls(struct coap_endpoint *endpoint) {
    for (struct coap_peer *peer = endpoint->peers, *next; peer != NULL; peer = next) {
        peer->busy++; /* it stays, and its successor with it, until we have gone on */
        calls_abandon(peer, true);
        next = peer->next;
        peer->busy--;
        peer_settle(peer);
    }
}

const char *coap_call_result_text(enum coap_call_result result) {
    switch (result) {
    case COAP_CALL_REPLY:
        return "answered";
    case COAP_CALL_NO_ACK:
        return "no acknowledgement";
    case COAP_CALL_NO_RESPONSE:
        return "acknowledged, but no response";
    case COAP_CALL_RESET:
        return "rejected with a Reset";
    case COAP_CALL_TOO_LARGE:
        return "the response is too large";
    case COAP_CALL_INCOMPLETE:
        return "the block-wise transfer could not be completed";
    case COAP_CALL_NO_ROOM:
        return "the peer takes smaller messages only";
    case COAP_CALL_CLOSED:
        return "the connection is closed";
    case COAP_CALL_CANCELLED:
        return "cancelled";
    case COAP_CALL_WITHDRAWN:
        return "withdrawn before it was sent";
    }
    return "";
}
