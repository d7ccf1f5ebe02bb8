/* A link is one peer association: a UDP address, a DTLS session, a TCP or TLS connection.
 * What lies above (CoAP, registrations) talks to a link and never asks what it is made of. A link is counted: whoever
 * keeps a pointer across callbacks holds a reference. */
#ifndef BERTH_NET_LINK_H
#define BERTH_NET_LINK_H

#include <stdlib.h>

#include "common/net/address.h"

struct coap_peer;
struct link;
struct link_traffic;

enum link_transport { LINK_UDP, LINK_DTLS, LINK_TCP, LINK_TLS };

/* How a peer's messages lie in what it sends. */
enum link_framing {
    LINK_DATAGRAM,        /* a message of RFC 7252 in each datagram */
    LINK_STREAM_8323,     /* frames of RFC 8323 §3.2 on a connection */
    LINK_LENGTH_PREFIXED, /* messages of RFC 7252 on a connection, a length before each: one vendor's clients */
    LINK_RECORD,          /* the same, in a TLS record each: the same clients */
    LINK_UNFRAMED,        /* a connection of which nothing is known yet, or any more */
};

enum link_security { LINK_NO_SECURITY, LINK_PSK, LINK_X509, LINK_OSCORE };

/* Whom a peer has proven to be. */
struct link_identity {
    enum link_security security;
    struct slice name;       /* PSK identity; or of a certificate: CN, else dNSName, else URI; any bytes */
    uint8_t fingerprint[32]; /* SHA-256 of the certificate (DER); else zero */
};

/* Who watches what goes over the links of a listener. */
struct link_watcher {
    /* A message has come, and nobody has acted on it yet, or it leaves; an empty one: something of the transport itself,
     * an alert of DTLS for example. `wire`: how many bytes of UDP payload, or of a connection, it takes. */
    void (*seen)(void *arg, struct link *link, bool sent, struct slice message, size_t wire);
    /* The last reference to a link has gone: free its `traffic`, which is not NULL. */
    void (*forget)(void *arg, struct link *link);
    void *arg;
};

/* Which of a server's services are there (?role=). */
enum listener_role { LISTENER_EVERYTHING, LISTENER_MANAGEMENT, LISTENER_BOOTSTRAP };

/* What a listening URI asks for; lives as long as the program. */
struct listener {
    const struct link_watcher *watcher; /* NULL: nobody */
    enum link_transport transport;
    uint8_t role;           /* enum listener_role */
    bool strict;            /* ?strict=1: every deviation from the standards is refused and explained */
    struct address address; /* bound to; the port is the real one, also when 0 was asked for */
    char uri[128];          /* as configured, with the real port; NUL-terminated */
    char prefix[64];        /* path of the URI without slashes at its ends: leading segments that requests may have */
    uint32_t number;        /* its place among the configured ones, from 0 */
};

struct link_ops {
    /* Send one message (a datagram here, a record or frame elsewhere). The bytes are copied. Best effort: CoAP
     * retransmits what must arrive. Negative errno when the peer can't be reached at all. */
    int (*send)(struct link *link, struct slice message);
    /* The last reference has gone: free it. */
    void (*release)(struct link *link);
    /* End the connection, once what was sent has left; `why` is for a person and is copied. NULL for datagrams. */
    void (*close)(struct link *link, const char *why);
};

struct link {
    const struct link_ops *ops;
    struct listener *listener;
    const struct link_identity *identity; /* NULL: nobody in particular. Lives as long as the link */
    struct coap_peer *coap;               /* exchanges with this peer, while there are any; common/coap owns it */
    struct link_traffic *traffic;         /* the watcher's, or NULL */
    struct link *hash_next;               /* the listener's table */
    struct link *base;    /* of a peer whose messages are protected end to end: the link that carries them, or NULL */
    struct link *carried; /* the first of those peers that this link carries; common/coap owns the list */
    struct link *next_carried;
    struct address peer;
    struct address local; /* where its messages came to, so that answers leave from there; the port: by which way (udp.h) */
    uint32_t refs;
    uint32_t owner;    /* for whoever uses the link: the directory slot + 1 of the registration last seen on it, or 0 */
    uint32_t admitted; /* likewise: the generation of credentials with which it may speak for `owner`, or 0 */
    uint16_t next_mid; /* of the next message to this peer (RFC 7252 §4.4) */
    uint8_t next_token; /* of the next request to this peer: a byte comes again after 256 requests (RFC 9175 §4) */
    enum link_framing framing : 3;
    bool mid_drawn : 1;    /* next_mid and next_token have their random start */
    bool is_protected : 1; /* a peer whose messages are protected end to end, see common/coap/protection.h */
    bool closed : 1;       /* its connection has ended, or was of an earlier run: nothing can be sent over it ever */
    bool verified : 1;     /* has shown that it receives at its address (an Echo came back, RFC 9175 §2.3) */
};

static inline struct link *link_ref(struct link *link) {
    link->refs++;
    return link;
}

/* What carries its messages: itself, or for a protected peer the link it is reached over, if any. */
static inline const struct link *link_carrier(const struct link *link) {
    return link->base != NULL ? link->base : link;
}

static inline void link_unref(struct link *link) {
    if (--link->refs > 0)
        return;
    if (link->traffic != NULL)
        link->listener->watcher->forget(link->listener->watcher->arg, link);
    link->ops->release(link);
}

/* For transports. */
static inline void link_tell_watcher(struct link *link, bool sent, struct slice message, size_t wire) {
    const struct link_watcher *watcher = link->listener->watcher;
    if (watcher != NULL)
        watcher->seen(watcher->arg, link, sent, message, wire);
}

static inline int link_send(struct link *link, struct slice message) {
    return link->ops->send(link, message);
}

static inline void link_close(struct link *link, const char *why) {
    if (link->ops->close != NULL)
        link->ops->close(link, why);
}

/* "udp" … as the API names it. */
static inline const char *link_transport_name(enum link_transport transport) {
    switch (transport) {
    case LINK_UDP:
        return "udp";
    case LINK_DTLS:
        return "dtls";
    case LINK_TCP:
        return "tcp";
    case LINK_TLS:
        return "tls";
    }
    return "unknown";
}

/* "none", "psk" … as the API names it. */
static inline const char *link_security_name(enum link_security security) {
    switch (security) {
    case LINK_NO_SECURITY:
        return "none";
    case LINK_PSK:
        return "psk";
    case LINK_X509:
        return "x509";
    case LINK_OSCORE:
        return "oscore";
    }
    return "unknown";
}

/* Whether links of it are connections. */
static inline bool link_transport_connects(enum link_transport transport) {
    return transport == LINK_TCP || transport == LINK_TLS;
}

/* As the API names it; NULL when nothing is known of it. */
static inline const char *link_framing_name(enum link_framing framing) {
    switch (framing) {
    case LINK_DATAGRAM:
        return "datagram";
    case LINK_STREAM_8323:
        return "rfc8323";
    case LINK_LENGTH_PREFIXED:
    case LINK_RECORD:
        return "pelion";
    case LINK_UNFRAMED:
        break;
    }
    return NULL;
}

#endif
