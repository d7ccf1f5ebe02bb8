#include "common/net/relay.h"

#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>

enum {
    WAY_BYTES = 44,
    PROOF_BYTES = 32,
    FRAME_PROOF_BYTES = 16,
    FRAME_PROVEN = RELAY_FRAME_HEAD - FRAME_PROOF_BYTES,
    FRAME_MAX = RELAY_FRAME_HEAD + RELAY_DATAGRAM_MAX,
    WAITING_MAX = 2 * FRAME_MAX,
};

static const uint8_t magic[4] = {'B', 'R', 'L', '1'};

_Static_assert(sizeof magic + 4 + WAY_BYTES + RELAY_NONCE_BYTES + PROOF_BYTES == RELAY_HELLO_BYTES,
               "as the header says");
_Static_assert(4 + WAY_BYTES + FRAME_PROOF_BYTES == RELAY_FRAME_HEAD, "as the header says");

/* ---- ways ---- */

static void put_way(struct buffer *out, const struct relay_way *way) {
    buffer_put_u8(out, way->listener);
    buffer_put_u8(out, (uint8_t)(way->peer.family << 4 | way->local.family));
    buffer_put_u16(out, way->peer.port);
    buffer_put_u32(out, way->peer.scope);
    buffer_put_u32(out, way->local.scope);
    buffer_put(out, way->peer.ip, sizeof way->peer.ip);
    buffer_put(out, way->local.ip, sizeof way->local.ip);
}

static uint16_t read_u16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t read_u32(const uint8_t *bytes) {
    return (uint32_t)read_u16(bytes) << 16 | read_u16(bytes + 2);
}

/* Addresses are compared by their bytes, so what is not used is zero. */
static bool read_address(unsigned family, uint16_t port, const uint8_t *scope, const uint8_t *ip,
                         struct address *address) {
    static const uint8_t none[16];
    *address = (struct address){.family = (uint16_t)family, .port = port, .scope = read_u32(scope)};
    memcpy(address->ip, ip, sizeof address->ip);
    if (family == ADDRESS_IPV6)
        return true;
    size_t used = family == ADDRESS_IPV4 ? 4 : 0;
    return (family == ADDRESS_IPV4 || family == ADDRESS_NONE) && address->scope == 0 &&
           memcmp(ip + used, none, sizeof none - used) == 0;
}

static bool read_way(const uint8_t *bytes, struct relay_way *way) {
    way->listener = bytes[0];
    return read_address(bytes[1] >> 4, read_u16(bytes + 2), bytes + 4, bytes + 12, &way->peer) &&
           read_address(bytes[1] & 0xf, 0, bytes + 8, bytes + 28, &way->local);
}

static bool names_peer(const struct relay_way *way) {
    return way->peer.family != ADDRESS_NONE && way->peer.port != 0;
}

/* ---- the hello ---- */

static bool prove(const uint8_t key[RELAY_KEY_BYTES], const char *purpose, struct slice challenge, struct slice rest,
                  uint8_t proof[PROOF_BYTES]) {
    mbedtls_md_context_t mac;
    mbedtls_md_init(&mac);
    bool is_good = mbedtls_md_setup(&mac, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1) == 0 &&
                   mbedtls_md_hmac_starts(&mac, key, RELAY_KEY_BYTES) == 0 &&
                   mbedtls_md_hmac_update(&mac, (const uint8_t *)purpose, strlen(purpose) + 1) == 0 &&
                   mbedtls_md_hmac_update(&mac, challenge.data, challenge.len) == 0 &&
                   mbedtls_md_hmac_update(&mac, rest.data, rest.len) == 0 && mbedtls_md_hmac_finish(&mac, proof) == 0;
    mbedtls_md_free(&mac);
    return is_good;
}

bool relay_hello_write(const struct relay_hello *hello, const uint8_t key[RELAY_KEY_BYTES],
                       const uint8_t challenge[RELAY_CHALLENGE_BYTES], uint8_t out[RELAY_HELLO_BYTES]) {
    struct buffer bytes = buffer_over(out, RELAY_HELLO_BYTES - PROOF_BYTES);
    buffer_put(&bytes, magic, sizeof magic);
    buffer_put_u8(&bytes, (uint8_t)hello->kind);
    buffer_put_u8(&bytes, hello->node);
    buffer_put_u16(&bytes, 0);
    put_way(&bytes, &hello->way);
    buffer_put(&bytes, hello->nonce, sizeof hello->nonce);
    return prove(key, "hello", slice_of(challenge, RELAY_CHALLENGE_BYTES), buffer_slice(&bytes), out + bytes.len);
}

bool relay_hello_read(struct relay_hello *hello, const uint8_t key[RELAY_KEY_BYTES],
                      const uint8_t challenge[RELAY_CHALLENGE_BYTES], const uint8_t bytes[RELAY_HELLO_BYTES]) {
    const size_t len = RELAY_HELLO_BYTES - PROOF_BYTES;
    uint8_t proof[PROOF_BYTES];
    if (memcmp(bytes, magic, sizeof magic) != 0 ||
        !prove(key, "hello", slice_of(challenge, RELAY_CHALLENGE_BYTES), slice_of(bytes, len), proof) ||
        mbedtls_ct_memcmp(proof, bytes + len, sizeof proof) != 0)
        return false;
    hello->kind = bytes[4];
    hello->node = bytes[5];
    if (read_u16(bytes + 6) != 0 || !read_way(bytes + 8, &hello->way))
        return false;
    memcpy(hello->nonce, bytes + 8 + WAY_BYTES, sizeof hello->nonce);
    switch (hello->kind) {
    case RELAY_CHANNEL:
        return hello->way.peer.family == ADDRESS_NONE;
    case RELAY_DEVICE:
    case RELAY_HTTP:
        return names_peer(&hello->way);
    }
    return false;
}

/* ---- a channel ---- */

static bool set_up(mbedtls_md_context_t *mac, const uint8_t key[RELAY_KEY_BYTES], const char *direction,
                   struct slice challenge, struct slice nonce) {
    uint8_t own[PROOF_BYTES];
    bool is_good = prove(key, direction, challenge, nonce, own) &&
                   mbedtls_md_setup(mac, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1) == 0 &&
                   mbedtls_md_hmac_starts(mac, own, sizeof own) == 0;
    mbedtls_platform_zeroize(own, sizeof own);
    return is_good;
}

bool relay_channel_init(struct relay_channel *channel, const uint8_t key[RELAY_KEY_BYTES],
                        const uint8_t challenge[RELAY_CHALLENGE_BYTES], const uint8_t nonce[RELAY_NONCE_BYTES],
                        bool serves) {
    *channel = (struct relay_channel){.partial = malloc(FRAME_MAX), .waiting = malloc(WAITING_MAX)};
    mbedtls_md_init(&channel->in_mac);
    mbedtls_md_init(&channel->out_mac);
    struct slice first = slice_of(challenge, RELAY_CHALLENGE_BYTES), second = slice_of(nonce, RELAY_NONCE_BYTES);
    return channel->partial != NULL && channel->waiting != NULL &&
           set_up(&channel->in_mac, key, serves ? "to serving" : "from serving", first, second) &&
           set_up(&channel->out_mac, key, serves ? "from serving" : "to serving", first, second);
}

void relay_channel_clear(struct relay_channel *channel) {
    mbedtls_md_free(&channel->in_mac);
    mbedtls_md_free(&channel->out_mac);
    free(channel->partial);
    free(channel->waiting);
    *channel = (struct relay_channel){0};
}

/* Over the frame's place in its direction, its head and its datagram. */
static bool prove_frame(mbedtls_md_context_t *mac, uint64_t sequence, const uint8_t *frame, size_t datagram_len,
                        uint8_t proof[PROOF_BYTES]) {
    uint8_t place[8];
    for (unsigned i = 0; i < sizeof place; i++)
        place[i] = (uint8_t)(sequence >> (56 - 8 * i));
    return mbedtls_md_hmac_reset(mac) == 0 && mbedtls_md_hmac_update(mac, place, sizeof place) == 0 &&
           mbedtls_md_hmac_update(mac, frame, FRAME_PROVEN) == 0 &&
           mbedtls_md_hmac_update(mac, frame + RELAY_FRAME_HEAD, datagram_len) == 0 &&
           mbedtls_md_hmac_finish(mac, proof) == 0;
}

bool relay_channel_put(struct relay_channel *channel, const struct relay_way *way, struct slice datagram) {
    if (datagram.len > RELAY_DATAGRAM_MAX || channel->waiting_len + RELAY_FRAME_HEAD + datagram.len > WAITING_MAX)
        return false;
    uint8_t *frame = channel->waiting + channel->waiting_len, proof[PROOF_BYTES];
    struct buffer head = buffer_over(frame, FRAME_PROVEN);
    buffer_put_u16(&head, (uint16_t)datagram.len);
    buffer_put_u16(&head, 0);
    put_way(&head, way);
    if (datagram.len > 0)
        memcpy(frame + RELAY_FRAME_HEAD, datagram.data, datagram.len);
    if (!prove_frame(&channel->out_mac, channel->out_sequence, frame, datagram.len, proof))
        return false;
    channel->out_sequence++;
    memcpy(frame + FRAME_PROVEN, proof, FRAME_PROOF_BYTES);
    channel->waiting_len += RELAY_FRAME_HEAD + datagram.len;
    return true;
}

struct slice relay_channel_take(struct relay_channel *channel) {
    size_t len = channel->waiting_len;
    channel->waiting_len = 0;
    return slice_of(channel->waiting, len);
}

static bool take_frame(struct relay_channel *channel, size_t datagram_len, relay_datagram_fn *datagram, void *arg) {
    uint8_t proof[PROOF_BYTES];
    struct relay_way way;
    uint8_t *frame = channel->partial;
    if (!prove_frame(&channel->in_mac, channel->in_sequence++, frame, datagram_len, proof) ||
        mbedtls_ct_memcmp(proof, frame + FRAME_PROVEN, FRAME_PROOF_BYTES) != 0 || read_u16(frame + 2) != 0 ||
        !read_way(frame + 4, &way) || !names_peer(&way))
        return false;
    channel->partial_len = 0;
    datagram(arg, &way, frame + RELAY_FRAME_HEAD, datagram_len);
    return true;
}

/* How long the frame is, as far as is known. 0: longer than any. */
static size_t frame_len(const struct relay_channel *channel) {
    if (channel->partial_len < RELAY_FRAME_HEAD)
        return RELAY_FRAME_HEAD;
    size_t datagram_len = read_u16(channel->partial);
    return datagram_len > RELAY_DATAGRAM_MAX ? 0 : RELAY_FRAME_HEAD + datagram_len;
}

bool relay_channel_feed(struct relay_channel *channel, struct slice bytes, relay_datagram_fn *datagram, void *arg) {
    for (;;) {
        size_t len = frame_len(channel);
        if (len == 0)
            return false;
        if (len == channel->partial_len) {
            if (!take_frame(channel, len - RELAY_FRAME_HEAD, datagram, arg))
                return false;
            continue;
        }
        if (bytes.len == 0)
            return true;
        size_t n = len - channel->partial_len < bytes.len ? len - channel->partial_len : bytes.len;
        memcpy(channel->partial + channel->partial_len, bytes.data, n);
        channel->partial_len += n;
        bytes = slice_of(bytes.data + n, bytes.len - n);
    }
}
