/* A link is one peer association: a UDP address or a DTLS session; a TCP or TLS connection as those listeners come.
 * What lies above (CoAP, registrations) talks to a link and never asks what it is made of. A link is counted: whoever
 * keeps a pointer across callbacks holds a reference. */
#ifndef BERTH_NET_LINK_H
#define BERTH_NET_LINK_H

#include "common/net/address.h"

struct coap_peer;
struct link;

enum link_transport { LINK_UDP, LINK_DTLS };

enum link_security { LINK_NO_SECURITY, LINK_PSK, LINK_X509, LINK_OSCORE };

/* Whom a peer has proven to be. */
struct link_identity {
    enum link_security security;
    struct slice name;       /* PSK identity; or of a certificate: CN, else dNSName, else URI; any bytes */
    uint8_t fingerprint[32]; /* SHA-256 of the certificate (DER); else zero */
};

/* What a listening URI asks for; lives as long as the program. */
struct listener {
    enum link_transport transport;
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
};

struct link {
    const struct link_ops *ops;
    struct listener *listener;
    const struct link_identity *identity; /* NULL: nobody in particular. Lives as long as the link */
    struct coap_peer *coap;               /* exchanges with this peer, while there are any; common/coap owns it */
    struct link *hash_next;               /* the listener's table */
    struct address peer;
    struct address local; /* where its messages came to, so that answers leave from there (port unused) */
    uint32_t refs;
    uint32_t owner;    /* for whoever uses the link: the directory slot + 1 of the registration last seen on it, or 0 */
    uint16_t next_mid; /* of the next message to this peer (RFC 7252 §4.4) */
    uint8_t next_token; /* of the next request to this peer: a byte comes again after 256 requests (RFC 9175 §4) */
    bool mid_drawn;     /* next_mid and next_token have their random start */
    bool verified;      /* has shown that it receives at its address (an Echo came back, RFC 9175 §2.3) */
};

static inline struct link *link_ref(struct link *link) {
    link->refs++;
    return link;
}

static inline void link_unref(struct link *link) {
    if (--link->refs == 0)
        link->ops->release(link);
}

static inline int link_send(struct link *link, struct slice message) {
    return link->ops->send(link, message);
}

/* "udp" … as the API names it. */
static inline const char *link_transport_name(enum link_transport transport) {
    switch (transport) {
    case LINK_UDP:
        return "udp";
    case LINK_DTLS:
        return "dtls";
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

#endif
