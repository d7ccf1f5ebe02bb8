/* The seam for object security (OSCORE, RFC 8613): messages that travel inside of others. A peer that is known by its
 * security context has a link of its own, which is *carried* by the link its messages come over: requests are seen to
 * come from it, calls and observations are made on it, and it stays when the peer's address changes. Message IDs,
 * acknowledgements and retransmission are the carrying link's.
 *
 * Who protects is told once (coap_endpoint_protect); without, a message with an OSCORE option is one with an unknown
 * critical option. common/oscore/channel.h is what protects. */
#ifndef BERTH_COAP_PROTECTION_H
#define BERTH_COAP_PROTECTION_H

#include "common/coap/endpoint.h"

enum {
    COAP_PROTECTED_MAX = 16384 + 256, /* bytes of a ciphertext: a frame, or blocks put together (RFC 8613 §4.1.3.4.2) */
    COAP_PROTECTION_OVERHEAD = 40,    /* what protecting adds to a message of ours, without a kid context */
    COAP_CHALLENGES_MAX = 8,          /* requests of a peer that wait to be challenged; more of them are dropped */
};

enum coap_opened {
    COAP_OPENED,       /* the inner message is there */
    COAP_OPENED_STALE, /* of a request: authentic, but it may be an old one: the peer is to be challenged */
    COAP_NOT_OPENED,   /* `inner` is the outer message of the answer that is due; of a response: it is dropped */
    COAP_ASK_AGAIN,    /* of a response: the request is due again, with another context */
};

struct coap_protection {
    /* A request with an OSCORE option has come over `base`. Slices of `inner` lie in `memory` or in `outer`. */
    enum coap_opened (*open_request)(void *arg, struct link *base, const struct coap_message *outer,
                                     struct buffer *memory, struct coap_message *inner, struct link **link,
                                     struct coap_binding *binding);
    /* Protect a response; `own`: it is not the first to its request. False: it can't be now. */
    bool (*close_response)(void *arg, struct link *link, const struct coap_binding *binding, bool own,
                           const struct coap_message *inner, struct buffer *memory, struct coap_message *outer);
    bool (*close_request)(void *arg, struct link *link, const struct coap_message *inner, struct buffer *memory,
                          struct coap_message *outer, struct coap_binding *binding);
    /* A response to what has this binding. *number is that of a notification, 0 when it has none, else 1 more. */
    enum coap_opened (*open_response)(void *arg, struct link *link, const struct coap_binding *binding,
                                      const struct coap_message *outer, struct buffer *memory,
                                      struct coap_message *inner, uint64_t *number);
    /* The binding, in the present context, of an observation of the peer's that a request with this option began. */
    bool (*bind)(void *arg, struct link *link, struct slice option, struct coap_binding *binding);
    /* The answer to a request that may be an old one: 4.01 with Echo (RFC 8613 B.1.2). */
    void (*challenge)(void *arg, struct link *link, struct buffer *memory, struct coap_message *response);
};

/* Before anything is received. `protection` and `arg` outlive the endpoint. */
void coap_endpoint_protect(struct coap_endpoint *endpoint, const struct coap_protection *protection, void *arg);

/* `link`, of a protected peer, is carried by `base` from now on; NULL: by none. What `base` says of address, listener and
 * framing becomes true of it. */
void coap_link_carry(struct coap_endpoint *endpoint, struct link *link, struct link *base);

/* Something can be sent over the link again, which could not (link->closed is not set any more). */
void coap_link_ready(struct coap_endpoint *endpoint, struct link *link);

#endif
