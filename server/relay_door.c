#include "server/relay_door.h"

#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/net/tcp.h"

enum {
    NODES = 256,
    TELL_MS = 10000, /* between lines of the log about who is refused */
};

/* A connection from another node: a stranger until its hello has come, then a channel; those of devices and API clients
 * are handed on. */
struct visitor {
    struct tcp_connection tcp; /* first member */
    struct relay_door *door;
    uint64_t since_ms;
    bool is_channel;
    uint8_t node;
    uint8_t challenge[RELAY_CHALLENGE_BYTES], hello[RELAY_HELLO_BYTES];
    size_t hello_len;
    struct relay_channel channel;
};

struct relay_door {
    uv_loop_t *loop;
    uv_prepare_t prepare; /* sends what was put into the channels */
    struct tcp_port *port;
    struct server *server; /* NULL while another node serves */
    uint8_t key[RELAY_KEY_BYTES];
    relay_http_fn *take_http;
    void *http_arg;
    struct visitor *channels[NODES]; /* by node; NULL: none */
    size_t strangers;
    struct relay_door_counters counters;
    uint64_t told_ms; /* when a refusal was last logged */
    unsigned handles;
};

bool relay_key_derive(const struct seal *seal, uint8_t key[RELAY_KEY_BYTES]) {
    _Static_assert((int)RELAY_KEY_BYTES == (int)SEAL_KEY_BYTES, "one derives the other");
    return seal_derive(seal, slice_str("berth relay between nodes, version 1"), key);
}

/* ---- datagrams ---- */

/* A node that relays, as udp.h keeps it. */
static uint16_t way_of(uint8_t node) {
    return (uint16_t)(node + 1);
}

static void on_relayed(void *arg, const struct relay_way *way, uint8_t *datagram, size_t len) {
    struct visitor *visitor = arg;
    struct relay_door *door = visitor->door;
    struct server *server = door->server;
    if (server == NULL || way->listener >= server->config->listener_count)
        return;
    struct listener *listener = &server->listeners[way->listener];
    if (link_transport_connects(listener->transport))
        return;
    struct address local = way->local;
    local.port = way_of(visitor->node);
    door->counters.datagrams_in++;
    udp_deliver(server->udp, listener, &way->peer, &local, datagram, len);
}

static bool send_by_way(void *arg, struct listener *listener, const struct address *peer, const struct address *local,
                        struct slice datagram) {
    struct relay_door *door = arg;
    if (local->port == 0 || local->port > NODES)
        return false;
    struct visitor *visitor = door->channels[local->port - 1];
    if (visitor == NULL)
        return false;
    struct relay_way way = {.listener = (uint8_t)listener->number, .peer = *peer, .local = *local};
    way.local.port = 0;
    if (tcp_queued(&visitor->tcp) <= RELAY_QUEUED_MAX && relay_channel_put(&visitor->channel, &way, datagram))
        door->counters.datagrams_out++;
    else
        door->counters.dropped++;
    return true;
}

static void on_prepare(uv_prepare_t *prepare) {
    struct relay_door *door = prepare->data;
    for (size_t i = 0; door->counters.channels > 0 && i < NODES; i++) {
        struct visitor *visitor = door->channels[i];
        struct slice waiting = visitor == NULL ? SLICE_NONE : relay_channel_take(&visitor->channel);
        if (waiting.len > 0)
            tcp_write(&visitor->tcp, &waiting, 1);
    }
}

/* ---- visitors ---- */

static struct visitor *visitor_of(struct tcp_connection *tcp) {
    return (struct visitor *)(void *)tcp;
}

static struct tcp_connection *on_open(void *arg) {
    struct relay_door *door = arg;
    if (door->server == NULL || door->strangers >= RELAY_DOOR_STRANGERS_MAX)
        return NULL;
    struct visitor *visitor = calloc(1, sizeof *visitor);
    if (visitor == NULL)
        return NULL;
    visitor->door = door;
    visitor->since_ms = uv_now(door->loop);
    door->strangers++;
    return &visitor->tcp;
}

static void on_opened(struct tcp_connection *tcp) {
    struct visitor *visitor = visitor_of(tcp);
    random_bytes(visitor->challenge, sizeof visitor->challenge);
    const struct slice challenge = slice_of(visitor->challenge, sizeof visitor->challenge);
    tcp_write(tcp, &challenge, 1);
}

static void refuse(struct visitor *visitor, const char *why) {
    struct relay_door *door = visitor->door;
    struct address peer, local;
    uint8_t text[ADDRESS_TEXT_MAX];
    struct buffer from = buffer_over(text, sizeof text);
    tcp_read_addresses(&visitor->tcp, &peer, &local);
    address_put(&from, &peer);
    if (door->counters.refused++ == 0 || uv_now(door->loop) - door->told_ms > TELL_MS) {
        door->told_ms = uv_now(door->loop);
        log_write(LOG_WARN, "cluster", "%.*s at --node-listen: %s", (int)from.len, (const char *)text, why);
    }
    tcp_close(&visitor->tcp);
}

static bool welcome(struct visitor *visitor) {
    static const uint8_t byte = RELAY_WELCOME;
    const struct slice word = slice_of(&byte, 1);
    tcp_write(&visitor->tcp, &word, 1);
    return !visitor->tcp.closing && tcp_queued(&visitor->tcp) == 0;
}

static void open_channel(struct visitor *visitor, const struct relay_hello *hello) {
    struct relay_door *door = visitor->door;
    if (!relay_channel_init(&visitor->channel, door->key, visitor->challenge, hello->nonce, true)) {
        tcp_close(&visitor->tcp);
        return;
    }
    if (door->channels[hello->node] != NULL) /* what is left of its last one */
        tcp_close(&door->channels[hello->node]->tcp);
    else
        door->counters.channels++;
    door->channels[hello->node] = visitor;
    door->strangers--;
    visitor->is_channel = true;
    visitor->node = hello->node;
    welcome(visitor);
}

/* The connection goes to the listener that it is for. */
static void hand_on(struct visitor *visitor, const struct relay_hello *hello) {
    struct relay_door *door = visitor->door;
    struct server *server = door->server;
    const struct relay_way *way = &hello->way;
    bool is_http = hello->kind == RELAY_HTTP;
    bool is_known = is_http ? door->take_http != NULL && way->listener < server->config->http_count
                            : way->listener < server->config->listener_count &&
                                  link_transport_connects(server->listeners[way->listener].transport);
    if (!is_known) {
        refuse(visitor, "another node has other listeners than this one; give all the same --listen and --http");
        return;
    }
    int fd = welcome(visitor) ? tcp_hand_over(&visitor->tcp) : -1;
    if (fd < 0) {
        tcp_close(&visitor->tcp);
        return;
    }
    door->counters.connections++;
    if (is_http)
        door->take_http(door->http_arg, way->listener, fd, &way->peer);
    else
        stream_adopt(server->streams, &server->listeners[way->listener], fd, &way->peer, &way->local);
}

/* Whoever says more than a hello does not wait for its welcome, and is no node. */
static void on_stranger(struct visitor *visitor, struct slice bytes) {
    struct relay_hello hello;
    if (bytes.len > RELAY_HELLO_BYTES - visitor->hello_len) {
        refuse(visitor, "no node of this cluster");
        return;
    }
    memcpy(visitor->hello + visitor->hello_len, bytes.data, bytes.len);
    visitor->hello_len += bytes.len;
    if (visitor->hello_len < RELAY_HELLO_BYTES)
        return;
    if (!relay_hello_read(&hello, visitor->door->key, visitor->challenge, visitor->hello))
        refuse(visitor, "it does not prove that it has this node's --key-file");
    else if (hello.kind == RELAY_CHANNEL)
        open_channel(visitor, &hello);
    else
        hand_on(visitor, &hello);
}

static void on_received(struct tcp_connection *tcp, struct slice bytes) {
    struct visitor *visitor = visitor_of(tcp);
    if (visitor->door->server == NULL)
        tcp_close(tcp);
    else if (!visitor->is_channel)
        on_stranger(visitor, bytes);
    else if (!relay_channel_feed(&visitor->channel, bytes, on_relayed, visitor))
        refuse(visitor, "what it relays is not what the other node has sent");
}

static void on_ended(struct tcp_connection *tcp) {
    tcp_close(tcp);
}

static void on_closed(struct tcp_connection *tcp) {
    struct visitor *visitor = visitor_of(tcp);
    struct relay_door *door = visitor->door;
    if (!visitor->is_channel) {
        door->strangers--;
    } else if (door->channels[visitor->node] == visitor) {
        door->channels[visitor->node] = NULL;
        door->counters.channels--;
    }
    relay_channel_clear(&visitor->channel);
    free(visitor);
}

static void on_swept(struct tcp_connection *tcp, uint64_t now_ms) {
    const struct visitor *visitor = visitor_of(tcp);
    if (!visitor->is_channel && now_ms - visitor->since_ms > RELAY_HELLO_MS)
        tcp_close(tcp);
}

/* ---- life ---- */

static void free_if_closed(struct relay_door *door) {
    if (--door->handles > 0)
        return;
    free(door);
}

static void on_port_closed(void *arg) {
    free_if_closed(arg);
}

static void on_prepare_closed(uv_handle_t *handle) {
    free_if_closed(handle->data);
}

static const struct tcp_handlers tcp_callbacks = {
    .open = on_open,
    .opened = on_opened,
    .received = on_received,
    .ended = on_ended,
    .closed = on_closed,
    .swept = on_swept,
    .port_closed = on_port_closed,
    .patience = RELAY_PATIENCE,
};

struct relay_door *relay_door_open(uv_loop_t *loop, struct address *address, char *error, size_t error_size) {
    struct relay_door *door = calloc(1, sizeof *door);
    if (door == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    door->loop = loop;
    door->port = tcp_listen(loop, address, &tcp_callbacks, door, error, error_size);
    if (door->port == NULL) {
        free(door);
        return NULL;
    }
    address->port = tcp_port_address(door->port).port;
    tcp_port_unref(door->port);
    uv_prepare_init(loop, &door->prepare);
    door->prepare.data = door;
    uv_prepare_start(&door->prepare, on_prepare);
    uv_unref((uv_handle_t *)&door->prepare);
    door->handles = 2;
    return door;
}

bool relay_door_serve(struct relay_door *door, struct server *server, uint8_t number) {
    if (!relay_key_derive(server->seal, door->key))
        return false;
    door->server = server;
    door->counters = (struct relay_door_counters){0};
    server->relay_door = door;
    udp_set_ways(server->udp, way_of(number), send_by_way, door);
    return true;
}

void relay_door_serve_http(struct relay_door *door, relay_http_fn *take, void *arg) {
    door->take_http = take;
    door->http_arg = arg;
}

void relay_door_rest(struct relay_door *door) {
    if (door->server != NULL)
        udp_set_ways(door->server->udp, 0, NULL, NULL);
    door->server = NULL;
    door->take_http = NULL;
    mbedtls_platform_zeroize(door->key, sizeof door->key);
    while (tcp_port_connections(door->port) != NULL)
        tcp_close(tcp_port_connections(door->port));
    for (size_t i = 0; i < NODES; i++)
        door->channels[i] = NULL;
    door->counters.channels = 0;
}

void relay_door_close(struct relay_door *door) {
    relay_door_rest(door);
    tcp_port_close(door->port);
    uv_close((uv_handle_t *)&door->prepare, on_prepare_closed);
}

struct relay_door_counters relay_door_counters(const struct relay_door *door) {
    return door->counters;
}
