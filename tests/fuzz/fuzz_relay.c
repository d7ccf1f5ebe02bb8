/* What comes to the relay port of a node: a hello, and the frames of a channel. The input is bytes as they come, and what
 * is to be proven anew before they are read, so that the parser behind the proof is reached, too. */
#include <stdlib.h>

#include "common/net/relay.h"

static const uint8_t key[RELAY_KEY_BYTES], challenge[RELAY_CHALLENGE_BYTES], nonce[RELAY_NONCE_BYTES];

static void require(bool condition) {
    if (!condition)
        abort();
}

static void on_datagram(void *arg, const struct relay_way *way, uint8_t *datagram, size_t len) {
    (void)arg;
    require(way->peer.family == ADDRESS_IPV4 || way->peer.family == ADDRESS_IPV6);
    require(way->peer.port != 0 && way->local.port == 0 && len <= RELAY_DATAGRAM_MAX);
    for (size_t i = 0; i < len; i++)
        datagram[i] ^= 1; /* it may be changed */
}

/* What says it is from anybody is proven by whoever has the key. */
static void read_hello(const uint8_t *data, size_t size) {
    struct relay_hello hello, again;
    uint8_t bytes[RELAY_HELLO_BYTES] = {0};
    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    require(!relay_hello_read(&hello, key, challenge, bytes)); /* 2^-256 */
    if (size < 56)
        return;
    hello = (struct relay_hello){.kind = bytes[4], .node = bytes[5], .way = {.listener = bytes[8]}};
    memcpy(&hello.way.peer, bytes + 9, 24);
    memcpy(&hello.way.local, bytes + 32, 24);
    hello.way.local.port = 0;
    require(relay_hello_write(&hello, key, challenge, bytes));
    if (relay_hello_read(&again, key, challenge, bytes) && hello.way.peer.family < 16 && hello.way.local.family < 16)
        require(address_equal(&again.way.peer, &hello.way.peer) && address_equal(&again.way.local, &hello.way.local));
}

static void feed(const uint8_t *data, size_t size) {
    struct relay_channel channel;
    require(relay_channel_init(&channel, key, challenge, nonce, true));
    relay_channel_feed(&channel, slice_of(data, size), on_datagram, NULL);
    require(channel.partial_len <= 65535);
    relay_channel_clear(&channel);
}

/* A row of datagrams, each behind its length in one byte. */
static void pass(const uint8_t *data, size_t size) {
    struct relay_channel from, to;
    struct relay_way way = {.peer = {.family = ADDRESS_IPV4, .port = 1, .ip = {127, 0, 0, 1}}};
    require(relay_channel_init(&from, key, challenge, nonce, false));
    require(relay_channel_init(&to, key, challenge, nonce, true));
    for (size_t at = 0; at < size;) {
        size_t len = data[at++];
        len = len < size - at ? len : size - at;
        require(relay_channel_put(&from, &way, slice_of(data + at, len)));
        struct slice waiting = relay_channel_take(&from);
        require(relay_channel_feed(&to, slice_of(waiting.data, len % waiting.len), on_datagram, NULL));
        require(relay_channel_feed(&to, slice_from(waiting, len % waiting.len), on_datagram, NULL));
        at += len;
    }
    relay_channel_clear(&from);
    relay_channel_clear(&to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_hello(data, size);
    feed(data, size);
    pass(data, size);
    return 0;
}
