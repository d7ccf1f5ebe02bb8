/* A peer that is known by its security context: the link that requests come from and go to, its context, and where it
 * stands with challenges (RFC 8613 B.1.2) and nonces (B.2). Channels protect and verify for the CoAP layer; who keeps them
 * finds them, has the secrets, and writes down which sender numbers are in use.
 *
 * A channel is counted as any link is. It costs about 400 bytes besides the link that carries it. */
#ifndef BERTH_OSCORE_CHANNEL_H
#define BERTH_OSCORE_CHANNEL_H

#include "common/coap/protection.h"
#include "common/oscore/rederive.h"

enum {
    OSCORE_NUMBERS_AHEAD = 1024, /* how many are reserved at once */
    OSCORE_RUNS_MAX = 32,        /* of Appendix B.2 without success in OSCORE_RUNS_MS: then 5.03 (OSC-13) */
    OSCORE_RUNS_MS = 60000,
    OSCORE_ECHO_LEN = 8,
};

/* What a request of ours says of its context. */
enum oscore_tells {
    OSCORE_TELLS_NOTHING, /* the peer knows which one it is */
    OSCORE_TELLS_CONTEXT, /* the ID Context as it is (Appendix C.6) */
    OSCORE_TELLS_NONCES,  /* as Appendix B.2 has it: no response with the new keys has come yet */
};

struct oscore_service;

struct oscore_channel {
    struct link link; /* first member */
    struct link_identity identity;
    struct oscore_service *service;
    struct oscore_context context;
    void *owner;        /* whoever keeps channels */
    uint64_t reserving; /* the limit that is being written; 0: none */
    uint64_t runs_since_ms;
    uint16_t epoch; /* counts contexts: a response is bound to that of its request */
    uint8_t runs;
    bool has_echo, has_r2;   /* told, and not come back yet */
    bool may_rederive;       /* Appendix B.2 is spoken with this peer */
    bool wants_rederivation; /* the next request is answered with nonces (oscore_channel_rederive) */
    bool begins;             /* as a client: a short message stands for the next request, which is request #1 */
    uint8_t tells;           /* enum oscore_tells */
    uint8_t echo[OSCORE_ECHO_LEN], r2[OSCORE_R_LEN];
};

struct oscore_handlers {
    /* The channel of the peer that calls itself `kid`, or NULL. */
    struct oscore_channel *(*find)(void *arg, struct slice kid, struct slice kid_context);
    /* What its contexts are derived from; the ID Context has no meaning. False: nothing any more. */
    bool (*secrets)(void *arg, const struct oscore_channel *channel, struct oscore_secrets *secrets);
    /* Write down that the present context (of channel->epoch) uses numbers below `limit`, then call
     * oscore_channel_reserved, at once or later. Also called when there is a new context. */
    void (*reserve)(void *arg, struct oscore_channel *channel, uint64_t limit);
    /* The peer is reached over another link than `before`, which may be NULL. May be NULL. */
    void (*moved)(void *arg, struct oscore_channel *channel, struct link *before);
    /* There is another context: what was bound to the one before will not be answered. May be NULL. */
    void (*renewed)(void *arg, struct oscore_channel *channel);
    /* The last reference to the channel has gone; it is not carried any more. Free it. */
    void (*release)(void *arg, struct oscore_channel *channel);
};

struct oscore_service {
    struct oscore_handlers handlers;
    void *arg;
    struct coap_endpoint *endpoint;
    const struct clock *clock;
};

/* Let `endpoint` speak OSCORE. The service outlives it. */
void oscore_service_start(struct oscore_service *service, const struct oscore_handlers *handlers, void *arg,
                          struct coap_endpoint *endpoint, const struct clock *clock);

/* Fill in a channel with a context of `secrets` (with its ID Context) and one reference. Nothing can be sent before
 * numbers are reserved and a link carries it. `first_number`: below it numbers may have been used, up to `limit` none have
 * and all may be. False when the secrets make no context. */
bool oscore_channel_start(struct oscore_channel *channel, struct oscore_service *service,
                          const struct oscore_secrets *secrets, uint64_t first_number, uint64_t limit);

/* The context of this epoch may use numbers below `limit`. */
void oscore_channel_reserved(struct oscore_channel *channel, uint16_t epoch, uint64_t limit);

/* They could not be reserved: asked for again when something is to be sent. */
void oscore_channel_not_reserved(struct oscore_channel *channel, uint16_t epoch);

/* Derive the context anew: as a client with the next request of ours; as a server with the next one of theirs. */
bool oscore_channel_rederive(struct oscore_channel *channel, bool as_client);

/* Over which link the peer is reached before it has been heard: a client's way to its server, or what was stored. */
void oscore_channel_carry(struct oscore_channel *channel, struct link *base);

/* Zero its keys: it opens and closes nothing any more. */
void oscore_channel_end(struct oscore_channel *channel);

static inline struct oscore_channel *oscore_channel_of(struct link *link) {
    return link->is_protected ? (struct oscore_channel *)(void *)link : NULL;
}

#endif
