/* Messages over connections (RFC 8323): no types, Message IDs, acknowledgements and copies, since the transport sees to
 * all that; signalling (§5) instead. Requests and responses belong together by their token alone. */
#include <stdio.h>
#include <stdlib.h>

#include "common/coap/peer.h"
#include "common/coap/signal.h"
#include "common/coap/stream.h"

enum { DIAGNOSTIC_MAX = 96, CUSTODIES_MAX = 8 };

/* A Ping that is answered when what came before it has been (§5.4.1). */
struct custody {
    struct custody *next;
    uint16_t number; /* of the first exchange after it */
    uint8_t token_len;
    uint8_t token[COAP_TOKEN_MAX];
};

struct reliable {
    struct custody *custodies; /* oldest first */
    char *release;        /* the peer wants to go once it has its answers (§5.5): why the connection ends; or NULL */
    uint32_t max_message; /* what the peer takes (§5.3.1) */
    uint32_t custody_count;
    uint16_t next_number; /* of the peer's next request: stands for its Message ID, and rises */
    bool has_csm;         /* the peer's has come */
    bool block_wise;      /* said in it (§5.3.2) */
};

size_t reliable_message_max(const struct coap_peer *peer) {
    uint32_t max = peer->reliable->max_message;
    return max < COAP_STREAM_SENT_MAX ? max : COAP_STREAM_SENT_MAX;
}

bool reliable_has_bert(const struct coap_peer *peer) {
    return peer->reliable->block_wise && peer->reliable->max_message > COAP_STREAM_MESSAGE_MIN &&
           peer->endpoint->params.max_message_size > COAP_STREAM_MESSAGE_MIN;
}

void reliable_free(struct coap_peer *peer) {
    if (peer->reliable == NULL)
        return;
    while (peer->reliable->custodies != NULL) {
        struct custody *custody = peer->reliable->custodies;
        peer->reliable->custodies = custody->next;
        free(custody);
    }
    free(peer->reliable->release);
    free(peer->reliable);
    peer->reliable = NULL;
}

/* ---- sending ---- */

static bool send_frame(struct coap_peer *peer, const struct coap_message *message) {
    uint8_t bytes[COAP_STREAM_SENT_MAX];
    struct buffer out = buffer_over(bytes, peer->reliable == NULL ? sizeof bytes : reliable_message_max(peer));
    if (!coap_stream_encode(message, &out))
        return false;
    peer_send(peer, buffer_slice(&out));
    return true;
}

/* The state of a connection, which begins with our CSM. */
static bool begin(struct coap_peer *peer) {
    struct coap_message csm;
    struct coap_signal_scratch scratch;
    if (peer->reliable != NULL)
        return true;
    peer->reliable = calloc(1, sizeof *peer->reliable);
    if (peer->reliable == NULL)
        return false;
    peer->reliable->max_message = COAP_STREAM_MESSAGE_MIN;
    coap_signal_csm(&csm, peer->endpoint->params.max_message_size, &scratch);
    return send_frame(peer, &csm);
}

/* §5.6. */
static void abort_connection(struct coap_peer *peer, uint16_t bad_csm_option, const char *why) {
    struct coap_message message;
    struct coap_signal_scratch scratch;
    coap_signal_abort(&message, bad_csm_option, why, &scratch);
    peer->endpoint->counters.connections_aborted++;
    peer_oddity(peer, true, why);
    send_frame(peer, &message);
    link_close(peer->link, why);
}

static struct transmission *send_message(struct coap_peer *peer, struct coap_message *message, transmission_fn *done,
                                         void *owner) {
    (void)done;
    (void)owner;
    send_frame(peer, message);
    return NULL;
}

static struct transmission *ping(struct coap_peer *peer, struct slice token, transmission_fn *done, void *owner) {
    struct coap_message message;
    (void)done;
    (void)owner;
    coap_message_init(&message, COAP_CON, COAP_7_02_PING, 0, token);
    send_frame(peer, &message);
    return NULL;
}

/* ---- the end of exchanges ---- */

static void send_pong(struct coap_peer *peer, struct slice token, bool custody) {
    struct coap_message pong;
    coap_signal_pong(&pong, token, custody);
    send_frame(peer, &pong);
}

/* Exchanges stand in the order of their numbers: the oldest tells what has been answered. */
static void answer_custodies(struct coap_peer *peer) {
    struct reliable *reliable = peer->reliable;
    for (struct custody *custody = reliable->custodies; custody != NULL; custody = reliable->custodies) {
        if (peer->oldest != NULL && (int16_t)(uint16_t)(peer->oldest->mid - custody->number) < 0)
            return;
        reliable->custodies = custody->next;
        reliable->custody_count--;
        send_pong(peer, slice_of(custody->token, custody->token_len), true);
        free(custody);
    }
}

static void finish_release(struct coap_peer *peer) {
    if (peer->reliable->release != NULL && peer->oldest == NULL)
        link_close(peer->link, peer->reliable->release);
}

static void exchange_over(struct coap_exchange *exchange) {
    struct coap_peer *peer = exchange->peer;
    exchange_forget(exchange);
    if (peer->reliable != NULL) {
        answer_custodies(peer);
        finish_release(peer);
    }
    peer_settle(peer);
}

static void leave(struct coap_exchange *exchange, bool heard) {
    (void)heard;
    exchange_over(exchange);
}

/* An error goes without its text where that does not fit. */
static bool send_answer(struct coap_peer *peer, struct coap_message *message) {
    if (send_frame(peer, message))
        return true;
    if (COAP_CODE_CLASS(message->code) == 2)
        return false;
    message->payload = SLICE_NONE;
    return send_frame(peer, message);
}

static void answer(struct coap_exchange *exchange, struct coap_message *message) {
    struct coap_peer *peer = exchange->peer;
    if (!send_answer(peer, message)) {
        peer_oddity(peer, true, "the answer does not fit into a message");
        struct coap_message error;
        coap_message_init(&error, COAP_CON, COAP_5_00_INTERNAL_SERVER_ERROR, 0, message->token);
        send_frame(peer, &error);
    }
    exchange_over(exchange);
}

/* ---- signalling ---- */

static void take_csm(struct coap_peer *peer, const struct coap_signal *signal) {
    struct reliable *reliable = peer->reliable;
    reliable->has_csm = true;
    if (signal->max_message_size > 0) /* §5.3: later ones add to and replace what was said */
        reliable->max_message = signal->max_message_size;
    if (signal->block_wise_transfer)
        reliable->block_wise = true;
}

static void take_ping(struct coap_peer *peer, struct slice token, bool custody) {
    struct coap_endpoint *endpoint = peer->endpoint;
    struct reliable *reliable = peer->reliable;
    endpoint->counters.pings++;
    struct custody *waiting = NULL;
    if (custody && peer->oldest != NULL && reliable->custody_count < CUSTODIES_MAX)
        waiting = calloc(1, sizeof *waiting);
    if (waiting == NULL) { /* §5.4.1: one that makes no promise is an answer, too */
        send_pong(peer, token, custody && peer->oldest == NULL);
    } else {
        waiting->number = reliable->next_number;
        waiting->token_len = (uint8_t)token.len;
        if (token.len > 0)
            memcpy(waiting->token, token.data, token.len);
        struct custody **end = &reliable->custodies;
        while (*end != NULL)
            end = &(*end)->next;
        *end = waiting;
        reliable->custody_count++;
    }
    if (endpoint->handlers.ping != NULL)
        endpoint->handlers.ping(endpoint->arg, peer->link);
}

/* "what: text", with as much of the peer's text as is good to read. */
static void put_reason(char out[DIAGNOSTIC_MAX], const char *what, struct slice text) {
    int len = text.len < DIAGNOSTIC_MAX / 2 ? (int)text.len : DIAGNOSTIC_MAX / 2;
    if (!slice_is_utf8(slice_of(text.data, (size_t)len)))
        len = 0;
    snprintf(out, DIAGNOSTIC_MAX, "%s%s%.*s", what, len > 0 ? ": " : "", len, (const char *)text.data);
}

static void take_release(struct coap_peer *peer, const struct coap_signal *signal) {
    char what[48], text[DIAGNOSTIC_MAX];
    if (signal->hold_off_s > 0)
        snprintf(what, sizeof what, "released by the peer for %u s", (unsigned)signal->hold_off_s);
    else
        snprintf(what, sizeof what, "released by the peer");
    put_reason(text, what, signal->alternative_address);
    if (peer->reliable->release == NULL)
        peer->reliable->release = strdup(text);
    if (peer->reliable->release == NULL)
        link_close(peer->link, text);
    else
        finish_release(peer);
}

static void take_signal(struct coap_peer *peer, const struct coap_message *message) {
    struct coap_signal signal;
    char text[DIAGNOSTIC_MAX];
    uint16_t critical = coap_signal_read(message, &signal);
    if (message->code == COAP_7_05_ABORT) { /* whatever is in it */
        put_reason(text, "aborted by the peer", signal.diagnostic);
        link_close(peer->link, text);
        return;
    }
    if (critical != 0) {
        snprintf(text, sizeof text, "option %u of a %s is not understood here", critical,
                 coap_code_text(message->code).text);
        abort_connection(peer, message->code == COAP_7_01_CSM ? critical : 0, text);
        return;
    }
    if (!peer->reliable->has_csm && message->code != COAP_7_01_CSM) {
        abort_connection(peer, 0, "the first message must be a CSM");
        return;
    }
    switch (message->code) {
    case COAP_7_01_CSM:
        take_csm(peer, &signal);
        return;
    case COAP_7_02_PING:
        take_ping(peer, message->token, signal.custody);
        return;
    case COAP_7_03_PONG:
        call_take_pong(peer, message->token);
        return;
    case COAP_7_04_RELEASE:
        take_release(peer, &signal);
        return;
    default:
        peer_oddity(peer, false, "a signalling code without a meaning is ignored");
        return;
    }
}

/* ---- requests and responses ---- */

static void take_request(struct coap_peer *peer, struct coap_message *request, struct slice frame) {
    struct coap_endpoint *endpoint = peer->endpoint;
    bool is_full = peer->exchange_count >= endpoint->params.max_exchanges_per_peer;
    request->mid = peer->reliable->next_number;
    struct coap_exchange *exchange = is_full ? NULL : exchange_add(peer, request, frame);
    if (exchange != NULL && exchange_open(exchange, request)) {
        peer->reliable->next_number++;
        request_process(exchange, request);
        return;
    }
    if (exchange != NULL)
        exchange_forget(exchange);
    struct coap_message busy;
    struct coap_uint max_age;
    coap_message_init(&busy, COAP_CON, COAP_5_03_SERVICE_UNAVAILABLE, 0, request->token);
    coap_option_add_uint(&busy, COAP_MAX_AGE, 1, &max_age);
    busy.payload = slice_str("too many requests at once");
    peer_oddity(peer, true, "too many requests at once");
    send_frame(peer, &busy);
}

/* There is no Reset: what nobody wants is ignored (§7). */
static void take_response(struct coap_peer *peer, struct coap_message *response) {
    if (coap_options_judge(response, &peer->endpoint->rules) != 0) {
        peer_oddity(peer, true, "a response with a critical option that is not understood here");
        return;
    }
    if (call_take_response(peer, response))
        return;
    bool wanted;
    uint8_t plain[COAP_PROTECTED_MAX];
    struct buffer memory = buffer_over(plain, sizeof plain);
    struct coap_observation *observation = response_find_observation(peer, response, &memory, &wanted);
    if (observation != NULL)
        observe_take(observation, response);
}

static void refuse_options(struct coap_peer *peer, const struct coap_message *request, const char *why) {
    struct coap_message response;
    coap_message_init(&response, COAP_CON, COAP_4_02_BAD_OPTION, 0, request->token);
    response.payload = slice_str(why);
    peer_oddity(peer, true, why);
    send_frame(peer, &response);
}

static bool has_begun(struct coap_peer *peer) {
    if (peer->reliable->has_csm)
        return true;
    bool strict = peer->link->listener != NULL && peer->link->listener->strict;
    if (!peer->endpoint->params.csm_optional || strict) {
        abort_connection(peer, 0, "the first message must be a CSM");
        return false;
    }
    peer_oddity(peer, false, "the connection begins without CSM");
    peer->reliable->has_csm = true;
    return true;
}

static void dispatch(struct coap_peer *peer, struct coap_message *message, enum coap_decode_result result,
                     struct slice frame) {
    bool is_request = result == COAP_DECODE_TOO_MANY_OPTIONS && coap_code_is_request(message->code);
    if (result != COAP_DECODE_OK && !is_request) {
        peer->endpoint->counters.malformed++;
        abort_connection(peer, 0, coap_decode_text(result));
        return;
    }
    if (coap_code_is_signal(message->code)) {
        take_signal(peer, message);
        return;
    }
    if (message->code == COAP_EMPTY || !has_begun(peer)) /* §3.4: an Empty message is ignored */
        return;
    if (is_request)
        refuse_options(peer, message, coap_decode_text(result));
    else if (coap_code_is_request(message->code))
        take_request(peer, message, frame);
    else if (coap_code_is_response(message->code))
        take_response(peer, message);
    else
        peer_oddity(peer, true, "a code of a reserved class");
}

static void receive(struct coap_endpoint *endpoint, struct link *link, struct slice frame) {
    struct coap_message message;
    struct coap_peer *peer = peer_of(endpoint, link);
    if (peer == NULL)
        return;
    peer->busy++;
    if (begin(peer)) /* else there is no memory, and the peer hears nothing */
        dispatch(peer, &message, coap_stream_decode(frame, &message), frame);
    peer->busy--;
    peer_settle(peer);
}

void coap_link_opened(struct coap_endpoint *endpoint, struct link *link) {
    struct coap_peer *peer = link->framing == LINK_STREAM_8323 ? peer_of(endpoint, link) : NULL;
    if (peer == NULL)
        return;
    begin(peer);
    peer_settle(peer);
}

void coap_link_broken(struct coap_endpoint *endpoint, struct link *link, const char *why) {
    struct coap_peer *peer = link->framing == LINK_STREAM_8323 ? peer_of(endpoint, link) : NULL;
    endpoint->counters.malformed++;
    if (peer == NULL) {
        /* What has no framing that is known is no CoAP, of which something could be rejected. */
        bool is_rejected = link->framing != LINK_UNFRAMED || (link->listener != NULL && link->listener->strict);
        if (endpoint->handlers.oddity != NULL)
            endpoint->handlers.oddity(endpoint->arg, link, is_rejected, why);
        link_close(link, why);
        return;
    }
    begin(peer);
    abort_connection(peer, 0, why);
    peer_settle(peer);
}

const struct message_layer reliable_layer = {
    .receive = receive, .send = send_message, .ping = ping, .answer = answer, .leave = leave, .is_reliable = true};
