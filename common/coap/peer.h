/* What the parts of the CoAP layer know of each other: the endpoint, the state kept for one peer while there is any,
 * the two message layers (over datagrams, and over connections that are reliable themselves), exchanges (incoming messages and their remembered replies), transmissions (our confirmable messages until they are
 * acknowledged), transfers (bodies in blocks). Not for other rooms: those use endpoint.h. */
#ifndef BERTH_COAP_PEER_H
#define BERTH_COAP_PEER_H

#include <sys/queue.h>

#include "common/coap/block.h"
#include "common/coap/endpoint.h"
#include "common/coap/protection.h"
#include "common/coap/stored_message.h"

struct message_layer;
struct notification;
struct open_request;
struct reliable;
struct transmission;
struct transfer;

enum transmission_end { TRANSMISSION_ACKNOWLEDGED, TRANSMISSION_RESET, TRANSMISSION_TIMED_OUT, TRANSMISSION_CLOSED };

struct coap_endpoint {
    struct coap_params params;
    struct coap_handlers handlers;
    void *arg;
    const struct clock *clock;
    struct timer_wheel *wheel;
    struct hash_key key; /* of transfer keys, content hashes and Echo values */
    struct coap_counters counters;
    struct coap_peer *peers;
    struct coap_exchange *oldest, *newest;  /* all exchanges, in the order in which they expire */
    struct timer exchange_timer;            /* for the oldest of them */
    struct coap_observation **observations; /* a hash table: chains by link and token */
    size_t observation_chains;              /* a power of two, or 0 */
    struct coap_option_rules rules;
    const struct coap_protection *protection; /* NULL: none */
    void *protection_arg;
    coap_divert_fn *divert; /* NULL: none */
    void *divert_arg;
    TAILQ_HEAD(, transfer) strangers; /* transfers of peers that may go for others', the one idle longest first */
};

/* Exists while the peer has an exchange, call, transmission or transfer, and as long as an RFC 8323 connection; holds a
 * reference to its link. */
struct coap_peer {
    struct coap_endpoint *endpoint;
    struct link *link;
    const struct message_layer *layer;
    struct reliable *reliable;      /* of an RFC 8323 connection, else NULL */
    struct coap_peer *next, **self; /* endpoint->peers */
    struct coap_exchange *oldest, *newest;
    struct transmission *transmissions;
    struct coap_call *calls; /* open ones first, then those that wait, in order */
    struct transfer *transfers;
    struct notification *notifications; /* newest first */
    struct coap_binding binding; /* of what a protected peer is sent: set by a request, needed by a notification */
    uint8_t *echo;               /* length byte and value to send in the next request (RFC 9175 §2.3), or NULL */
    uint64_t heard, said;        /* bytes of messages, while its address is not proven */
    uint32_t exchange_count, call_count, transfer_count, notification_count;
    uint32_t busy; /* callbacks under way that use this peer: it is not freed */
};

/* ---- peer.c ---- */

/* The state for `link`, made when there is none; NULL when out of memory. */
struct coap_peer *peer_of(struct coap_endpoint *endpoint, struct link *link);

/* Whether it receives at its address: it has answered a message or an Echo (RFC 9175 §2.3), or its transport or a loopback
 * address tells. To others is sent at most PEER_AMPLIFICATION times what came from them (RFC 7252 §11.3), of what they
 * cause by themselves: answers, and messages that are sent again. */
enum { PEER_AMPLIFICATION = 3 };
bool peer_is_proven(const struct coap_peer *peer);

/* It has answered a message that only its address was told. */
void peer_prove(struct coap_peer *peer);

/* Free it when nothing needs it any more. */
void peer_settle(struct coap_peer *peer);

/* The largest message that it takes, and the size exponent of the largest blocks: COAP_SZX_BERT when that was agreed on
 * (RFC 8323 §6). */
size_t peer_message_max(const struct coap_peer *peer);
/* What options and payload of one may take together (coap_rest_size). */
size_t peer_rest_max(const struct coap_peer *peer, size_t token_len);
uint8_t peer_szx_max(const struct coap_peer *peer);
bool peer_takes_szx(const struct coap_peer *peer, uint8_t szx);

/* Payload of a message with blocks of this size whose other parts take `head` bytes: with BERT as many blocks as fit, one
 * at least. */
size_t peer_block_span(const struct coap_peer *peer, uint8_t szx, size_t head);

/* Payload that needs no blocks: over datagrams no more than one block has, whatever is free in the message. */
size_t peer_payload_max(const struct coap_peer *peer, size_t head);

enum { RESPONSE_HEAD_MAX = COAP_MESSAGE_MAX - COAP_PAYLOAD_MAX }; /* what is there beside the payload of an answer */

uint16_t peer_next_mid(struct coap_peer *peer);
uint8_t peer_next_token(struct coap_peer *peer);
void peer_send(struct coap_peer *peer, struct slice datagram);
void peer_send_empty(struct coap_peer *peer, enum coap_type type, uint16_t mid);
void peer_oddity(struct coap_peer *peer, bool rejected, const char *what);

/* ---- how messages go over a link: datagram.c (RFC 7252 §4) and reliable.c (RFC 8323) ---- */

typedef void transmission_fn(void *owner, enum transmission_end end);

struct message_layer {
    /* Something has come: take it apart and act. */
    void (*receive)(struct coap_endpoint *endpoint, struct link *link, struct slice bytes);
    /* Send a request or notification: token, code, options and payload; the layer sets what else it has. The
     * transmission when there is one, of which `done` tells the end. */
    struct transmission *(*send)(struct coap_peer *peer, struct coap_message *message, transmission_fn *done,
                                 void *owner);
    /* Ask whether the peer is there. An answer comes to the transmission (RFC 7252 §4.3), or with `token` to the call. */
    struct transmission *(*ping)(struct coap_peer *peer, struct slice token, transmission_fn *done, void *owner);
    /* Send the answer to an exchange, which is over then. */
    void (*answer)(struct coap_exchange *exchange, struct coap_message *message);
    /* The exchange is over without answer. `heard`: the peer may know that its request has come. */
    void (*leave)(struct coap_exchange *exchange, bool heard);
    bool is_reliable; /* what was sent arrives, in order, or the connection ends */
};

extern const struct message_layer datagram_layer, reliable_layer, protected_layer;

static inline const struct message_layer *message_layer_of(const struct link *link) {
    if (link->is_protected)
        return &protected_layer;
    return link->framing == LINK_STREAM_8323 ? &reliable_layer : &datagram_layer;
}

size_t reliable_message_max(const struct coap_peer *peer);
bool reliable_has_bert(const struct coap_peer *peer);

/* The connection has ended. */
void reliable_free(struct coap_peer *peer);

/* A fresh request whose exchange has been opened: judge it, assemble it, hand it to the handler. */
void request_process(struct coap_exchange *exchange, struct coap_message *request);

/* Who wants a response that answers no call: an observation, or NULL. *wanted is also true when somebody else does. A
 * protected one becomes its inner message, which lies in `memory`. */
struct coap_observation *response_find_observation(struct coap_peer *peer, struct coap_message *response,
                                                   struct buffer *memory, bool *wanted);

/* ---- protected.c: peers that a link carries (RFC 8613) ---- */

/* A request with OSCORE option, whose exchange has been opened. */
void protected_take_request(struct coap_exchange *exchange, struct coap_message *request);

/* A response to a call of a peer that this one's link carries. True when it was taken. */
bool protected_take_response(struct coap_peer *peer, const struct coap_message *response);

/* A notification likewise: as response_find_observation. */
struct coap_observation *protected_find_observation(struct coap_peer *peer, struct coap_message *response,
                                                    struct buffer *memory, bool *wanted);

/* What follows are notifications of an observation that a request with this OSCORE option began. False when they can't
 * be protected. */
bool protected_bind(struct coap_peer *peer, struct slice option);

/* The exchange is about to go: neither the outer nor the inner one of it has the other any more. */
void protected_part(struct open_request *open);

/* Whether messages to the peer arrive, in order, or its connection ends. */
bool peer_is_reliable(const struct coap_peer *peer);

/* ---- transmission.c: reliable transmission (RFC 7252 §4.2) ---- */

struct transmission {
    struct timer timer;
    struct transmission *next;
    struct coap_peer *peer;
    transmission_fn *done; /* may be NULL; the transmission has gone by then */
    void *owner;
    uint32_t timeout_ms, retransmissions;
    uint16_t mid, len;
    uint8_t bytes[];
};

/* Send a confirmable message now and again until it is acknowledged. NULL when out of memory (it was sent once). */
struct transmission *transmission_start(struct coap_peer *peer, uint16_t mid, struct slice datagram,
                                        transmission_fn *done, void *owner);
void transmission_cancel(struct transmission *transmission);

/* An ACK or RST with that Message ID has come. False when no transmission waits for it. */
bool transmission_answered(struct coap_peer *peer, uint16_t mid, enum transmission_end end);
struct transmission *transmission_find(struct coap_peer *peer, uint16_t mid);

/* ---- exchange.c: deduplication (§4.5) and answers ---- */

enum exchange_state {
    EXCHANGE_OPEN,  /* somebody is answering it */
    EXCHANGE_ACKED, /* likewise, and the empty ACK has been sent (§5.2.2) */
    EXCHANGE_DONE,  /* the reply, if any, is remembered */
};

enum { EXCHANGE_INLINE_REPLY = 24 };

/* What the answer needs to know of the request; only while it is open. */
struct open_request {
    struct timer timer; /* for the empty ACK */
    struct coap_exchange *exchange;
    uint64_t key; /* of a response in blocks to this request */
    struct coap_block block1, block2;
    bool has_block1, has_block2, wants_size2;
    bool is_challenged; /* the challenge is due as soon as it can be sent */
    struct coap_exchange *outer,
        *inner; /* of a protected request: the exchange of the message that carries it, and back */
    struct coap_binding binding;
    uint8_t code, token_len, no_response;
    uint8_t token[COAP_TOKEN_MAX];
};

struct coap_exchange {
    struct coap_peer *peer;
    struct coap_exchange *peer_older, *peer_newer;
    struct coap_exchange *older, *newer;
    struct open_request *open;
    uint64_t expires_ms;
    uint32_t content; /* hash of the datagram, to tell a repeated message from a reused Message ID */
    uint16_t mid;
    uint16_t reply_len;
    uint16_t asked_len; /* bytes of the request's message */
    uint8_t type, state;
    bool is_response; /* of theirs to a call of ours */
    union {
        uint8_t inlined[EXCHANGE_INLINE_REPLY];
        uint8_t *allocated; /* when reply_len > EXCHANGE_INLINE_REPLY */
    } reply;
};

/* The remembered exchange with that Message ID, or NULL. Requests and responses are kept apart: one vendor's client
 * sends separate responses under the Message ID of our request, which may be one it has used itself. */
struct coap_exchange *exchange_find(struct coap_peer *peer, uint16_t mid, bool is_response);

/* Remember a new one; makes room when limits are reached. NULL when out of memory. */
struct coap_exchange *exchange_add(struct coap_peer *peer, const struct coap_message *message, struct slice datagram);

/* It is a request, to be answered with exchange_answer: keep what that needs. False when out of memory. */
bool exchange_open(struct coap_exchange *exchange, const struct coap_message *request);

/* There will be no more answers to it; what was answered is remembered. */
void exchange_close(struct coap_exchange *exchange);
uint32_t exchange_content(const struct coap_endpoint *endpoint, struct slice datagram);
void exchange_remember_reply(struct coap_exchange *exchange, struct slice reply);
void exchange_forget(struct coap_exchange *exchange);

/* The same message has come again. */
void exchange_repeat(struct coap_exchange *exchange, const struct coap_message *message, uint32_t content);

/* Send `message` (code, options, payload that fits) as the answer; the exchange must not be used any more. */
void exchange_answer(struct coap_exchange *exchange, struct coap_message *message);

/* ---- transfer.c: bodies in blocks (RFC 7959) ---- */

enum transfer_kind { TRANSFER_UPLOAD, TRANSFER_DOWNLOAD };

struct transfer {
    struct timer timer;
    struct transfer *next;
    struct coap_peer *peer;
    TAILQ_ENTRY(transfer) entry; /* of endpoint->strangers */
    bool is_strangers;           /* it is there */
    enum transfer_kind kind;
    uint64_t key;
    struct stored_message *response; /* download: what is served in blocks */
    uint64_t digest;                 /* of its body */
    uint8_t *data;                   /* upload: what has come */
    size_t len, cap, last_len;
    int content_format;
};

uint64_t transfer_key(const struct coap_endpoint *endpoint, const struct coap_message *request,
                      enum transfer_kind kind);
struct transfer *transfer_find(struct coap_peer *peer, enum transfer_kind kind, uint64_t key);
void transfer_free(struct transfer *transfer);
void transfers_drop(struct coap_peer *peer);

/* Whether bodies may take `more` bytes for `peer`: if need be, the strangers' transfers that are idle longest go. Who has
 * shown that it receives at its address, or is registered, is no stranger. `growing`, which may be NULL, stays. */
bool transfer_make_room(const struct coap_peer *peer, const struct transfer *growing, size_t more);

/* Take a Block1 block of `request`. Returns true when the body is whole: *body is then the transfer's data (or the
 * payload itself, with *finished NULL); free *finished with transfer_free after use. Otherwise the exchange has been
 * answered. */
bool transfer_take_block(struct coap_exchange *exchange, const struct coap_message *request, struct slice *body,
                         struct transfer **finished);

/* Answer with `response`, in blocks when it is large or the request asked for them; keeps it for the blocks to come. */
void transfer_respond(struct coap_exchange *exchange, const struct coap_message *response);

/* As coap_respond_source. */
void transfer_respond_source(struct coap_exchange *exchange, const struct coap_message *response,
                             const struct coap_source *source);

/* A request for a later block of a response that is kept. True when it was answered from it. */
bool transfer_serve(struct coap_exchange *exchange);

/* Option values of a block, which must outlive its encoding. */
struct block_scratch {
    uint64_t digest;
    struct coap_uint block2, size2;
};

/* When the payload of `message`, a response to nobody, is larger than a block: make it its first block, and keep the
 * whole for requests like `request` (see coap_notify). False when out of memory. */
bool transfer_begin(struct coap_peer *peer, const struct coap_message *request, struct coap_message *message,
                    struct block_scratch *scratch);

/* ---- call.c ---- */

/* A response has come for which a call of ours waits. True when it was taken; the CON or ACK itself is the caller's
 * business. */
bool call_take_response(struct coap_peer *peer, const struct coap_message *message);

/* The call of this peer to which a response with that token and type would be the answer, or NULL; its binding; and what
 * becomes of it: it takes the response, or sends its request again. */
struct coap_call *call_find(struct coap_peer *peer, const struct coap_message *message);
const struct coap_binding *call_binding(const struct coap_call *call);
const struct coap_binding *call_observe_binding(const struct coap_call *call);
void call_take(struct coap_call *call, const struct coap_message *message);
bool call_ask_again(struct coap_call *call);

/* The answer to a ping that has a token. */
void call_take_pong(struct coap_peer *peer, struct slice token);

/* The connection has ended: what was sent will not be answered, what waits goes on waiting. */
void calls_lose_link(struct coap_peer *peer);
void calls_abandon(struct coap_peer *peer, bool tell);

/* A token that no call and no observation of this peer has, as short as may be: returns its length. */
uint8_t calls_draw_token(struct coap_peer *peer, uint8_t token[COAP_TOKEN_MAX]);

/* As coap_call, for a request whose answer has begun already: `first` is its first block, or NULL. `request` is a GET or
 * FETCH. NULL also when the body would be too large. */
struct coap_call *call_fetch(struct coap_endpoint *endpoint, struct link *link, const struct coap_message *request,
                             const struct coap_message *first, coap_call_fn *done, void *arg);

/* The first block of the answer has come with an Observe option, and others are to come. */
bool call_is_fetching_observed(const struct coap_call *call);

/* What has come of the answer is forgotten: `message` takes its place. The call may end. */
void call_supersede(struct coap_call *call, const struct coap_message *message);

/* ---- observe.c ---- */

/* The observation that a response with this token is a notification of, or NULL. */
struct coap_observation *observe_find(const struct coap_peer *peer, struct slice token);

/* Its binding, and the number of the newest notification (1 more; 0: none yet). */
const struct coap_binding *observe_binding(const struct coap_observation *observation);
uint64_t *observe_number(struct coap_observation *observation);

/* Take a notification that has been acknowledged. */
void observe_take(struct coap_observation *observation, const struct coap_message *message);

bool observe_has_token(const struct coap_peer *peer, struct slice token);

/* Forget all of them, and the table. */
void observations_free(struct coap_endpoint *endpoint);

/* ---- notify.c ---- */

/* A Reset has come that no transmission waited for. */
void notify_take_reset(struct coap_peer *peer, uint16_t mid);
void notify_forget_all(struct coap_peer *peer);

/* The connection has ended: no acknowledgement will come. */
void notify_lose_link(struct coap_peer *peer);

/* ---- proxy.c (RFC 7252 §5.7.2) ---- */

enum { PROXY_SCRATCH = 1034 };

/* A request with Proxy-Uri or Proxy-Scheme that names this very server becomes an ordinary one (its new option values
 * lie in `scratch`). False when it has to go elsewhere. A request without these options is left alone. */
bool proxy_resolve(struct coap_message *request, const struct link *link, uint8_t scratch[PROXY_SCRATCH]);

/* ---- echo.c (RFC 9175 §2) ---- */

enum { ECHO_LEN = 8 };
void echo_make(const struct coap_endpoint *endpoint, const struct link *link, uint64_t now_ms, uint8_t out[ECHO_LEN]);
bool echo_check(const struct coap_endpoint *endpoint, const struct link *link, uint64_t now_ms, struct slice value);

#endif
