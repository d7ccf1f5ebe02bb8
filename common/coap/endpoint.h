/* The CoAP message layer and request/response layer (RFC 7252 §4, §5) with block-wise transfer (RFC 7959) over links:
 * retransmission, deduplication, piggybacked and separate responses, requests of ours with their answers; over RFC 8323
 * connections signalling and BERT instead of the first two. It knows bytes, links and time; what a request means is the
 * business of the one callback.
 *
 * Memory is bounded. An exchange (one incoming message and its remembered reply) costs about 100 bytes and lives for
 * EXCHANGE_LIFETIME; `max_exchanges` of them are kept in all and `max_exchanges_per_peer` for one peer, oldest dropped
 * first, but never one that is still being answered. Bodies in transfer share `max_transfer_bytes`; where they are used up, a
 * stranger's goes for another: the one idle longest. */
#ifndef BERTH_COAP_ENDPOINT_H
#define BERTH_COAP_ENDPOINT_H

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/timer_wheel.h"
#include "common/coap/message.h"
#include "common/coap/option.h"
#include "common/net/link.h"

struct coap_endpoint;
struct coap_exchange;
struct coap_call;

/* RFC 7252 §4.8 and limits of ours. */
struct coap_params {
    uint32_t ack_timeout_ms;         /* ACK_TIMEOUT: 2000 */
    double ack_random_factor;        /* ACK_RANDOM_FACTOR: 1.5 */
    uint32_t max_retransmit;         /* MAX_RETRANSMIT: 4 */
    uint32_t nstart;                 /* NSTART: 1 outstanding request a peer */
    uint32_t max_latency_ms;         /* MAX_LATENCY: 100000 */
    uint32_t piggyback_ms;           /* an answer not ready by then is announced by an empty ACK: 1000 */
    uint32_t response_timeout_ms;    /* from the ACK to the separate response: 247000 */
    uint32_t transfer_idle_ms;       /* a block-wise transfer without a block for so long is dropped: 247000 */
    uint8_t block_szx;               /* largest block we send or ask for: 6 = 1024 bytes */
    size_t max_body;                 /* largest body taken or fetched: 16 MiB */
    size_t max_transfer_bytes;       /* of all bodies in transfer: 64 MiB */
    uint32_t max_transfers_per_peer; /* 8 */
    uint32_t max_exchanges;          /* 65536 */
    uint32_t max_exchanges_per_peer; /* 32; at least 8 */
    uint32_t max_calls_per_peer;     /* requests waiting for one peer: 64 */
    uint32_t max_message_size;       /* what our CSM says that we take (RFC 8323 §5.3.1): 16384 */
    bool csm_optional;               /* connections that begin without CSM are served all the same */
    bool echo_challenge;             /* ask first-contact peers to prove their address (RFC 9175 §2.4) */
};

void coap_params_default(struct coap_params *params);

/* §4.8.2, recomputed from the parameters. */
uint32_t coap_max_transmit_span_ms(const struct coap_params *params);
uint32_t coap_max_transmit_wait_ms(const struct coap_params *params);
uint32_t coap_exchange_lifetime_ms(const struct coap_params *params);
uint32_t coap_non_lifetime_ms(const struct coap_params *params);

/* What ties a protected response to its request (protection.h). All zero without protection. */
struct coap_binding {
    uint16_t epoch; /* which of a peer's contexts, one after the other */
    uint8_t piv_len, piv[5];
};

/* An incoming request with its whole body (block-wise ones are assembled). Lives through the callback. */
struct coap_request {
    struct coap_endpoint *endpoint;
    struct link *link;
    struct coap_exchange *exchange;     /* answer it with coap_respond, now or later, exactly once */
    const struct coap_message *message; /* options as judged by §5.4; Block1 and Block2 are still there to look at */
    struct slice body;
};

struct coap_handlers {
    /* A request that is fresh, well-formed and complete. */
    void (*request)(void *arg, const struct coap_request *request);
    /* A response whose token belongs to no call and no observation. True when it was wanted: then a CON is
     * acknowledged, else it is reset. When an observation with that token has been resumed meanwhile, the response is
     * its first notification. May be NULL. */
    bool (*stray_response)(void *arg, struct link *link, const struct coap_message *message);
    /* Something a standard does not allow was tolerated (`rejected` false) or refused (true). `what` is a short
     * sentence for a person. May be NULL. */
    void (*oddity)(void *arg, struct link *link, bool rejected, const char *what);
    /* A CoAP ping (an empty CON, or 7.02) was answered. May be NULL. */
    void (*ping)(void *arg, struct link *link);
    /* For those who watch: a message that travels inside of another, which was the last one to come over `base`, or is
     * the next to be sent there. May be NULL. */
    void (*inner)(void *arg, struct link *base, bool sent, const struct coap_message *inner);
    /* The first or a later block of a request's body has come: true when the handler takes them one by one, as `request`
     * with the block as its body. It looks at the Block1 option, keeps the order, and answers 2.31 until the last one
     * (RFC 7959 §2.5). NULL: bodies are assembled. */
    bool (*takes_blocks)(void *arg, const struct coap_message *request);
    /* A Proxy-Uri that does not name this endpoint: true when `request` answers it all the same; else, and when NULL, it
     * is refused with 5.05 (RFC 7252 §5.7.2). */
    bool (*forwards)(void *arg, struct link *link, struct slice uri);
};

struct coap_counters {
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t connections_aborted; /* by us */
    uint64_t duplicates, malformed, retransmissions, timeouts, resets_out, resets_in, pings;
    uint64_t exchanges;      /* now remembered */
    uint64_t transfer_bytes; /* now held */
    uint64_t observations;   /* of ours, now */
};

struct coap_endpoint *coap_endpoint_new(const struct coap_params *params, const struct coap_handlers *handlers,
                                        void *arg, const struct clock *clock, struct timer_wheel *wheel);

/* Calls still open end with COAP_CALL_CANCELLED; unanswered exchanges are dropped; references to links are given back. */
void coap_endpoint_free(struct coap_endpoint *endpoint);

const struct coap_params *coap_endpoint_params(const struct coap_endpoint *endpoint);
struct coap_counters coap_endpoint_counters(const struct coap_endpoint *endpoint);

/* A message has come over `link`: a datagram, what a length prefix stood before, or a frame of RFC 8323. */
void coap_receive(struct coap_endpoint *endpoint, struct link *link, struct slice message);

/* ---- faults that are ordered ---- */

/* What would be sent over `link` is handed to whoever stands between: it sends with link_send what it likes of it, when it
 * likes. `message` lives through the call. */
typedef void coap_divert_fn(void *arg, struct link *link, struct slice message);

/* From now on, or no longer (NULL). Without it a message costs one branch more. */
void coap_endpoint_divert(struct coap_endpoint *endpoint, coap_divert_fn *divert, void *arg);

/* ---- connections ---- */

/* A connection that we have opened is there: an RFC 8323 one begins with our CSM. (One that the peer has opened gets it
 * when the first message comes.) */
void coap_link_opened(struct coap_endpoint *endpoint, struct link *link);

/* What comes over it can't be taken apart (`why`): tells `oddity`, sends an Abort where there is such a thing, ends it. */
void coap_link_broken(struct coap_endpoint *endpoint, struct link *link, const char *why);

/* It has ended (link->closed is set): requests under way end with COAP_CALL_CLOSED, transfers are dropped. Requests that
 * wait for their turn, and new ones, wait for MAX_TRANSMIT_WAIT to be moved to another link, and end likewise. Of
 * observations over RFC 8323 the peer knows nothing any more (§7.4); who observes forgets them. */
void coap_link_closed(struct coap_endpoint *endpoint, struct link *link);

/* The peer is reached over `to` from now on: requests that wait on `from` are sent there as soon as coap_calls_resume is
 * called, which is when the peer has heard that this is known. */
void coap_calls_move(struct coap_endpoint *endpoint, struct link *from, struct link *to);
void coap_calls_resume(struct coap_endpoint *endpoint, struct link *link);

/* ---- answering ---- */

/* Answer a request. Of `response` only code, options and payload count; the payload may be larger than a block, it is
 * then sent block-wise. Everything is copied. The exchange must not be used afterwards. */
void coap_respond(struct coap_endpoint *endpoint, struct coap_exchange *exchange, const struct coap_message *response);

/* A code and, for errors, a short diagnostic text (RFC 7252 §5.5.2), which may be NULL. */
void coap_respond_code(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint8_t code,
                       const char *diagnostic);

/* 5.03 with Max-Age (RFC 7252 §5.9.3.4). */
void coap_respond_unavailable(struct coap_endpoint *endpoint, struct coap_exchange *exchange, uint32_t retry_after_s,
                              const char *diagnostic);

/* Give no answer at all (a fault that a test has ordered, a request that must be ignored). */
void coap_respond_nothing(struct coap_endpoint *endpoint, struct coap_exchange *exchange);

/* Bytes that are read piece by piece when they are sent. */
struct coap_source {
    size_t len; /* of the whole, at most UINT32_MAX */
    /* Put `len` bytes from `offset` on into `out`. False: they can't be read. */
    bool (*read)(void *arg, size_t offset, uint8_t *out, size_t len);
    void *arg;
};

/* Answer a GET with the block of `source` that it asks for (RFC 7959 §2.4), and remember nothing of it: whoever asks for
 * the next one makes the handler answer again. Code and options as above; the ETag, by which the peer sees that blocks
 * belong together, must be among them. Answers 4.00 to a block past the end, and 5.00 when the source fails. */
void coap_respond_source(struct coap_endpoint *endpoint, struct coap_exchange *exchange,
                         const struct coap_message *response, const struct coap_source *source);

/* The link a request came over; valid until it is answered. */
struct link *coap_exchange_link(const struct coap_exchange *exchange);

/* ---- asking ----
 *
 * Over a connection only once its framing is known, or when it is closed. */

enum coap_call_result {
    COAP_CALL_REPLY,       /* a response has come, of whatever code */
    COAP_CALL_NO_ACK,      /* nothing came back, after all retransmissions */
    COAP_CALL_NO_RESPONSE, /* acknowledged, but no response within response_timeout_ms */
    COAP_CALL_RESET,       /* the peer answered with a Reset */
    COAP_CALL_TOO_LARGE, /* the response body exceeds max_body, or the request's has more blocks than can be numbered */
    COAP_CALL_INCOMPLETE, /* a block-wise transfer could not be completed */
    COAP_CALL_CLOSED,     /* the connection ended, or there was none */
    COAP_CALL_CANCELLED,  /* by us */
    COAP_CALL_WITHDRAWN,  /* by us, before anything of it was sent */
    COAP_CALL_NO_ROOM, /* the peer takes smaller messages than the next of these (RFC 8323 §5.3.1): it was not sent */
};

const char *coap_call_result_text(enum coap_call_result result);

struct coap_reply {
    enum coap_call_result result;
    const struct coap_message *message; /* the last response of the exchange; NULL unless result is REPLY */
    struct slice body;                  /* assembled */
    bool has_observe;                   /* the first message of the answer has an Observe option */
    uint32_t observe;                   /* its value */
    struct coap_binding binding;        /* of the request with which an observation begins */
    uint32_t rtt_ms;                    /* from the first transmission of the last request to its response */
    uint32_t retransmissions;
};

typedef void coap_call_fn(void *arg, const struct coap_reply *reply);

/* True when method and options of `request` leave room for at least a small block in a message. */
bool coap_call_fits(const struct coap_endpoint *endpoint, const struct coap_message *request);

/* Send a request: method, options and payload of `request` are copied (no Block, Size, Echo or Request-Tag options:
 * this layer adds them; a Block2 option of the caller's is taken as the block size asked for). `done` is called exactly
 * once, never from within this call. NULL when the peer's queue is full (max_calls_per_peer). */
struct coap_call *coap_call(struct coap_endpoint *endpoint, struct link *link, const struct coap_message *request,
                            coap_call_fn *done, void *arg);

/* What a caller may choose; all zero is what coap_call does. */
struct coap_call_options {
    enum coap_type type; /* COAP_CON, or COAP_NON: not retransmitted; means nothing over RFC 8323 */
    struct slice token;  /* of the request itself, not of requests for further blocks; empty: drawn */
    uint32_t
        response_timeout_ms; /* from the ACK, or from a NON, to the response; 0: that of the endpoint, NON_LIFETIME */
    uint16_t block_size;     /* largest block of the request's body, 16 to 1024; 0: that of the endpoint */
    bool one_block;          /* the block of the answer that the Block2 option asks for is all that is wanted */
    const struct coap_source *source; /* copied: the request's body instead of its payload; it is read again from the
                                       * beginning when the transfer begins again. NULL: none */
};

struct coap_call *coap_call_with(struct coap_endpoint *endpoint, struct link *link, const struct coap_message *request,
                                 const struct coap_call_options *options, coap_call_fn *done, void *arg);

/* Forget a call: `done` is not called. */
void coap_call_cancel(struct coap_call *call);

/* Fail every call that waits on this link with COAP_CALL_CANCELLED. */
void coap_cancel_calls(struct coap_endpoint *endpoint, struct link *link);

/* Likewise every call there is. */
void coap_end_calls(struct coap_endpoint *endpoint);

/* Fail every call on this link that still waits for its turn (NSTART) with COAP_CALL_WITHDRAWN. */
void coap_withdraw_calls(struct coap_endpoint *endpoint, struct link *link);

/* Send a ping (an empty CON, RFC 7252 §4.3, or 7.02, RFC 8323 §5.4); `done` gets COAP_CALL_RESET when it was answered. */
struct coap_call *coap_ping(struct coap_endpoint *endpoint, struct link *link, coap_call_fn *done, void *arg);

/* ---- notifying (RFC 7641 §4) ---- */

enum coap_notify_result {
    COAP_NOTIFY_ACKNOWLEDGED, /* of a CON only */
    COAP_NOTIFY_RESET,        /* the peer does not want it: the observation is over (§3.6) */
    COAP_NOTIFY_NO_ACK,       /* of a CON only: after all retransmissions */
};
typedef void coap_notify_fn(void *arg, enum coap_notify_result result);

/* Send a response outside of an exchange: `message` has code, token, options and payload, which are copied; it is sent
 * once as a COAP_NON and again until it is acknowledged as a COAP_CON. A payload larger than a block goes as its first
 * one, and the whole is kept for the peer to fetch the rest (RFC 7959 §2.6) with a request like `request`: the one that
 * began the observation, with its method, Uri-Path and Uri-Query, whose Block2 option is the largest block it takes.
 *
 * `done` is called once for a CON, and for a NON only when a Reset comes within NON_LIFETIME and before 64 later ones
 * have been sent to this peer; never from within this call. False when it does not fit or there is no memory; then
 * `done` is not called. */
bool coap_notify(struct coap_endpoint *endpoint, struct link *link, const struct coap_message *message,
                 const struct coap_message *request, enum coap_type type, coap_notify_fn *done, void *arg);

/* Whatever was sent with this `arg`: no retransmission any more, and `done` is not called. */
void coap_notify_forget(struct coap_endpoint *endpoint, struct link *link, const void *arg);

#endif
