/* The relay port of a node (common/net/relay.h): nodes that stand by bring here what devices and API clients have sent to
 * them. While this node serves, a relayed connection becomes one of the listener that it is for, with its device's own
 * address, and a relayed datagram one that has come there. What a device is sent goes out by way of the node at which it
 * was last heard: the port of its link's local address is that node's number + 1 (udp.h).
 *
 * Bounded are the connections that have not said yet what they are (RELAY_DOOR_STRANGERS_MAX, five seconds each), one
 * channel a node, and what waits for a channel (RELAY_QUEUED_MAX bytes; then datagrams are dropped). */
#ifndef BERTH_SERVER_RELAY_DOOR_H
#define BERTH_SERVER_RELAY_DOOR_H

#include <uv.h>

#include "common/net/relay.h"
#include "server/server.h"

enum {
    RELAY_DOOR_STRANGERS_MAX = 256,
    RELAY_HELLO_MS = 5000,
    RELAY_QUEUED_MAX = 4 << 20,
};

struct relay_door;

/* Listen at `address`; a port 0 there becomes the one that was given. Until relay_door_serve every connection is closed.
 * NULL with one line in `error`. */
struct relay_door *relay_door_open(uv_loop_t *loop, struct address *address, char *error, size_t error_size);

/* This node serves: let them in. `number` is its own. False when the key can't be derived. */
bool relay_door_serve(struct relay_door *door, struct server *server, uint8_t number);

/* It does not any more: close what came from others. */
void relay_door_rest(struct relay_door *door);

/* The memory is freed when the loop has run the close callbacks. */
void relay_door_close(struct relay_door *door);

/* Who takes relayed connections of API clients, for the HTTP listener of that number; the descriptor is theirs. */
typedef void relay_http_fn(void *arg, uint32_t number, int fd, const struct address *peer);
void relay_door_serve_http(struct relay_door *door, relay_http_fn *take, void *arg);

struct relay_door_counters {
    uint64_t channels; /* now */
    uint64_t connections, datagrams_in, datagrams_out;
    uint64_t refused; /* hellos and frames that prove nothing */
    uint64_t dropped; /* datagrams, because the other node does not keep up */
};
struct relay_door_counters relay_door_counters(const struct relay_door *door);

/* The key of relaying, that all nodes with the same key file have. */
bool relay_key_derive(const struct seal *seal, uint8_t key[RELAY_KEY_BYTES]);

#endif
