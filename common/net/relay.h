/* What nodes of a cluster say to each other to pass on devices' datagrams and connections: a node that stands by opens TCP
 * connections to the relay port of the one that serves (server/relay_door.h). That one begins with a challenge, and is
 * answered with a hello that says what the connection is: one of a device or an API client, whose bytes follow, or the
 * channel, on which both send datagrams in frames.
 *
 * Both know one key. A hello proves it over the challenge (HMAC-SHA-256), so none can be used twice. Each frame proves it
 * under keys of its channel and direction and its place there, so none can be made up, changed, left out, repeated or sent
 * back. Nothing is encrypted: what is secret is protected by what it travels in.
 *
 * Numbers are in network byte order:
 *   way    listener (1) | families of peer and local address, 4 bits each (1) | peer's port (2) | zones (4 + 4)
 *          | addresses (16 + 16); unused bytes are zero
 *   hello  "BRL1" | kind (1) | node (1) | 0 (2) | way (44) | nonce (16) | proof (32)
 *   frame  length of the datagram (2) | 0 (2) | way (44) | proof (16) | datagram */
#ifndef BERTH_NET_RELAY_H
#define BERTH_NET_RELAY_H

#include <mbedtls/md.h>

#include "common/net/address.h"

enum {
    RELAY_KEY_BYTES = 32,
    RELAY_CHALLENGE_BYTES = 32,
    RELAY_NONCE_BYTES = 16,
    RELAY_HELLO_BYTES = 100,
    RELAY_FRAME_HEAD = 64,
    RELAY_DATAGRAM_MAX = 65471, /* with its head 65,535 */
    RELAY_WELCOME = 'W', /* one byte: the hello was good, the rest of the connection is what it says */
};

/* When the other node counts as gone: of a `struct tcp_patience`, at both ends. */
#define RELAY_PATIENCE {.keepalive_s = 5, .keepalive_interval_s = 2, .keepalive_count = 3, .unacknowledged_ms = 10000}

enum relay_kind { RELAY_CHANNEL = 1, RELAY_DEVICE, RELAY_HTTP };

/* Whose bytes they are, and where they have come to or are to leave from. */
struct relay_way {
    uint8_t listener;           /* its number; of RELAY_HTTP among those for HTTP */
    struct address peer, local; /* `local` may be ADDRESS_NONE; it has no port */
};

struct relay_hello {
    enum relay_kind kind;
    uint8_t node;         /* that stands by */
    struct relay_way way; /* zero for a channel */
    uint8_t nonce[RELAY_NONCE_BYTES];
};

/* False when out of memory. */
bool relay_hello_write(const struct relay_hello *hello, const uint8_t key[RELAY_KEY_BYTES],
                       const uint8_t challenge[RELAY_CHALLENGE_BYTES], uint8_t out[RELAY_HELLO_BYTES]);

/* False: it is none, or does not prove the key. */
bool relay_hello_read(struct relay_hello *hello, const uint8_t key[RELAY_KEY_BYTES],
                      const uint8_t challenge[RELAY_CHALLENGE_BYTES], const uint8_t bytes[RELAY_HELLO_BYTES]);

/* ---- a channel ---- */

/* One end of it. Memory of about 200 KB, which is touched as it is needed. */
struct relay_channel {
    mbedtls_md_context_t in_mac, out_mac;
    uint64_t in_sequence, out_sequence;
    uint8_t *partial; /* a frame that is not complete yet */
    size_t partial_len;
    uint8_t *waiting; /* frames to be sent with the next write */
    size_t waiting_len;
};

/* The keys follow from what the hello has proven. False when out of memory; relay_channel_clear in any case. */
bool relay_channel_init(struct relay_channel *channel, const uint8_t key[RELAY_KEY_BYTES],
                        const uint8_t challenge[RELAY_CHALLENGE_BYTES], const uint8_t nonce[RELAY_NONCE_BYTES],
                        bool serves);
void relay_channel_clear(struct relay_channel *channel);

/* Add a frame to what waits. False: there is no room until that was sent, or the datagram is larger than
 * RELAY_DATAGRAM_MAX. */
bool relay_channel_put(struct relay_channel *channel, const struct relay_way *way, struct slice datagram);

/* What waits; it does not any more. */
struct slice relay_channel_take(struct relay_channel *channel);

/* A datagram has come; its bytes may be changed. */
typedef void relay_datagram_fn(void *arg, const struct relay_way *way, uint8_t *datagram, size_t len);

/* Bytes have come. False: a frame is malformed or does not prove its key; then nothing more can be read. */
bool relay_channel_feed(struct relay_channel *channel, struct slice bytes, relay_datagram_fn *datagram, void *arg);

#endif
