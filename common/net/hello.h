/* ClientHello messages (RFC 5246 §7.4.1.2 as RFC 6347 §4.2 changes it), looked at before anything is kept for the peer.
 * Nothing is allocated. A ClientHello may come in fragments (RFC 6347 §4.2.3): its first one tells all that a cookie
 * covers, and what comes behind it is known when the message is whole. */
#ifndef BERTH_NET_HELLO_H
#define BERTH_NET_HELLO_H

#include "common/base/buffer.h"

enum {
    HELLO_MAX = 2048, /* bytes of a ClientHello that is put together; a longer one is refused */
    HELLO_COOKIE_LEN = 8,
};

struct client_hello {
    uint16_t version;
    struct slice random, session_id, cookie;
    /* The rest is empty in a first fragment. */
    struct slice cipher_suites; /* two bytes each */
    bool has_cid;               /* extension 54 (RFC 9146) */
    bool has_draft_cid;         /* extension 254 */
    uint8_t cid_len;            /* of the longer one, as the client wants it */
    struct slice server_name;   /* RFC 6066 §3; empty: none */
};

/* A piece of a handshake message, as a record holds it. */
struct hello_fragment {
    uint64_t record_number;
    uint16_t message_seq;
    uint32_t message_len; /* of the whole */
    uint32_t offset;
    struct slice bytes;
};

/* Whether the first record of a datagram is a ClientHello or part of one, in epoch 0. */
bool hello_read_fragment(struct slice datagram, struct hello_fragment *fragment);

/* Read a ClientHello from the beginning of its body to the end of the cookie, and when `whole`, to its end. False: it is
 * not well-formed, or a first fragment ends too early. */
bool hello_read(struct slice body, bool whole, struct client_hello *hello);

/* Whether a record of TLS holds a whole ClientHello that offers TLS 1.3 (RFC 8446 §4.2.1). */
bool hello_offers_tls13(struct slice record);

/* Whether the suite with this number is offered. */
bool hello_offers(const struct client_hello *hello, uint16_t cipher_suite);

/* A ClientHello that comes in pieces. Zero it before first use. */
struct hello_assembly {
    uint32_t message_len;
    uint32_t have; /* bytes */
    uint8_t body[HELLO_MAX];
    uint8_t there[HELLO_MAX / 8]; /* a bit a byte */
};

/* False: it does not belong to the others, or is too long. */
bool hello_assemble(struct hello_assembly *assembly, const struct hello_fragment *fragment);

/* Whether all bytes of the fragment came before, with the same message: it is a copy. */
bool hello_has(const struct hello_assembly *assembly, const struct hello_fragment *fragment);

static inline bool hello_is_whole(const struct hello_assembly *assembly) {
    return assembly->message_len > 0 && assembly->have == assembly->message_len;
}

/* A HelloVerifyRequest (RFC 6347 §4.2.1) that answers the hello of `fragment`: 36 bytes. */
void hello_put_verify_request(struct buffer *out, const struct hello_fragment *fragment,
                              const uint8_t cookie[HELLO_COOKIE_LEN]);

#endif
