#include "server/relay.h"

#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/random.h"
#include "common/net/relay.h"
#include "common/net/tcp.h"
#include "common/net/udp.h"
#include "server/key_file.h"
#include "server/relay_door.h"
#include "server/server.h"

enum { LOOK_MS = 250 };

/* Where connections that are to be passed on come from. */
struct front {
    struct relay *relay;
    enum relay_kind kind;
    uint8_t number; /* of the listener */
    struct tcp_port *port;
};

enum splice_state { SPLICE_DIALS, SPLICE_WAITS, SPLICE_OPEN, SPLICE_FAILED };

/* A connection that is passed on: it ends when both of its ends have. */
struct splice {
    struct relay *relay;
    const struct front *front;
    enum splice_state state;
    struct splice_end {
        struct tcp_connection tcp; /* first member */
        struct splice *splice;
    } * outer, *inner; /* the client's, and that to the node which serves; NULL once closed */
    uint64_t since_ms;
    struct address peer, local;
    uint8_t challenge[RELAY_CHALLENGE_BYTES];
    size_t challenge_len;
    uint8_t *ahead; /* what was read before there was a way */
    size_t ahead_len;
};

/* For datagrams. */
struct channel {
    struct tcp_connection tcp; /* first member */
    struct relay *relay;
    uint64_t since_ms;
    uint8_t challenge[RELAY_CHALLENGE_BYTES];
    size_t challenge_len;
    bool has_said_hello, is_open;
    struct relay_channel frames;
};

struct relay {
    uv_loop_t *loop;
    struct config *config;
    struct cluster *cluster;
    uint8_t key[RELAY_KEY_BYTES];
    uv_timer_t look; /* who serves */
    uv_prepare_t prepare;
    struct udp *udp;
    struct listener listeners[CONFIG_LISTENERS_MAX]; /* as datagrams come: of whatever transport, they are passed on */
    struct front fronts[CONFIG_LISTENERS_MAX + CONFIG_HTTP_MAX];
    size_t front_count;
    struct tcp_port *inner_port, *channel_port;
    struct splice *dialling;
    size_t splices;
    struct channel *channel;     /* NULL: there is none */
    struct cluster_node serving; /* as it was found; its `relay` is "" before the first */
    struct address address;      /* its relay port's; ADDRESS_NONE until it is known */
    uv_getaddrinfo_t *resolving; /* NULL: nothing is asked */
    relay_back_fn *back;
    void *back_arg;
    uint64_t dropped; /* datagrams, since that was last told */
    unsigned handles; /* and ports and requests, until they are closed */
    bool closing;
};

static void release(struct relay *relay) {
    if (--relay->handles > 0)
        return;
    mbedtls_platform_zeroize(relay->key, sizeof relay->key);
    free(relay);
}

static void on_port_closed(void *arg) {
    release(arg);
}

bool relay_is_ready(const struct relay *relay) {
    return relay != NULL && relay->channel != NULL && relay->channel->is_open;
}

/* ---- connections ---- */

static struct splice_end *end_of(struct tcp_connection *tcp) {
    return (struct splice_end *)(void *)tcp;
}

static struct splice_end *other_end(const struct splice_end *end) {
    const struct splice *splice = end->splice;
    return end == splice->outer ? splice->inner : splice->outer;
}

static void forget_ahead(struct splice *splice) {
    free(splice->ahead);
    splice->ahead = NULL;
    splice->ahead_len = 0;
}

/* There is no way: who can be told is told. */
static void fail(struct splice *splice) {
    struct relay *relay = splice->relay;
    if (splice->state == SPLICE_OPEN || splice->state == SPLICE_FAILED)
        return;
    splice->state = SPLICE_FAILED;
    if (splice->inner != NULL)
        tcp_close(&splice->inner->tcp);
    if (splice->outer == NULL)
        return;
    int fd = splice->front->kind == RELAY_HTTP && relay->back != NULL && !relay->closing && splice->ahead_len > 0
                 ? tcp_hand_over(&splice->outer->tcp)
                 : -1;
    tcp_close(&splice->outer->tcp);
    if (fd >= 0)
        relay->back(relay->back_arg, splice->front->number, fd, &splice->peer,
                    slice_of(splice->ahead, splice->ahead_len));
    forget_ahead(splice);
}

static void dial(struct splice *splice) {
    struct relay *relay = splice->relay;
    if (!relay_is_ready(relay)) {
        fail(splice);
        return;
    }
    relay->dialling = splice;
    int error = tcp_connect(relay->inner_port, &relay->address);
    relay->dialling = NULL;
    if (error != 0)
        fail(splice);
}

static struct tcp_connection *on_outer_open(void *arg) {
    const struct front *front = arg;
    struct relay *relay = front->relay;
    size_t max = (size_t)relay->config->tcp_max_connections + relay->config->http_max_connections;
    struct splice *splice = relay->splices >= max ? NULL : calloc(1, sizeof *splice);
    struct splice_end *end = splice == NULL ? NULL : calloc(1, sizeof *end);
    if (end == NULL) {
        free(splice);
        return NULL;
    }
    *splice = (struct splice){.relay = relay, .front = front, .outer = end, .since_ms = uv_now(relay->loop)};
    end->splice = splice;
    relay->splices++;
    return &end->tcp;
}

static struct tcp_connection *on_inner_open(void *arg) {
    struct splice *splice = ((struct relay *)arg)->dialling;
    struct splice_end *end = calloc(1, sizeof *end);
    if (end == NULL)
        return NULL;
    end->splice = splice;
    splice->inner = end;
    return &end->tcp;
}

static void on_outer_opened(struct tcp_connection *tcp) {
    struct splice *splice = end_of(tcp)->splice;
    tcp_read_addresses(tcp, &splice->peer, &splice->local);
    splice->local.port = 0;
    tcp_set_reading(tcp, false);
    if (splice->front->kind == RELAY_DEVICE)
        dial(splice);
}

static void on_inner_opened(struct tcp_connection *tcp) {
    (void)tcp; /* the other node has the first word */
}

static void pass(struct splice_end *from, struct splice_end *to, struct slice bytes) {
    if (to == NULL || bytes.len == 0)
        return;
    tcp_write(&to->tcp, &bytes, 1);
    if (tcp_queued(&to->tcp) > RELAY_PASS_MAX)
        tcp_set_reading(&from->tcp, false);
}

/* What a client says first, with which it was handed over. */
static void keep_ahead(struct splice *splice, struct slice bytes) {
    splice->ahead = malloc(bytes.len);
    if (splice->ahead == NULL) {
        fail(splice);
        return;
    }
    memcpy(splice->ahead, bytes.data, bytes.len);
    splice->ahead_len = bytes.len;
    dial(splice);
}

static void on_outer_received(struct tcp_connection *tcp, struct slice bytes) {
    struct splice_end *end = end_of(tcp);
    struct splice *splice = end->splice;
    if (splice->state == SPLICE_OPEN)
        pass(end, splice->inner, bytes);
    else if (splice->ahead == NULL && splice->inner == NULL)
        keep_ahead(splice, bytes);
    else
        fail(splice);
}

static void say_hello(struct splice *splice) {
    uint8_t bytes[RELAY_HELLO_BYTES];
    const struct slice word = slice_of(bytes, sizeof bytes);
    struct relay *relay = splice->relay;
    struct relay_hello hello = {
        .kind = splice->front->kind,
        .node = cluster_number(relay->cluster),
        .way = {.listener = splice->front->number, .peer = splice->peer, .local = splice->local}};
    random_bytes(hello.nonce, sizeof hello.nonce);
    if (!relay_hello_write(&hello, relay->key, splice->challenge, bytes)) {
        fail(splice);
        return;
    }
    splice->state = SPLICE_WAITS;
    tcp_write(&splice->inner->tcp, &word, 1);
}

static void begin_to_pass(struct splice *splice, struct slice rest) {
    const struct slice ahead = slice_of(splice->ahead, splice->ahead_len);
    splice->state = SPLICE_OPEN;
    if (splice->outer == NULL) {
        tcp_close(&splice->inner->tcp);
        return;
    }
    tcp_set_reading(&splice->outer->tcp, true);
    pass(splice->outer, splice->inner, ahead);
    pass(splice->inner, splice->outer, rest);
    forget_ahead(splice);
}

/* Bytes of the challenge; what is left of them after it. */
static struct slice take_challenge(uint8_t challenge[RELAY_CHALLENGE_BYTES], size_t *len, struct slice bytes) {
    size_t n = RELAY_CHALLENGE_BYTES - *len < bytes.len ? RELAY_CHALLENGE_BYTES - *len : bytes.len;
    memcpy(challenge + *len, bytes.data, n);
    *len += n;
    return slice_from(bytes, n);
}

static void on_inner_received(struct tcp_connection *tcp, struct slice bytes) {
    struct splice_end *end = end_of(tcp);
    struct splice *splice = end->splice;
    switch (splice->state) {
    case SPLICE_DIALS:
        bytes = take_challenge(splice->challenge, &splice->challenge_len, bytes);
        if (bytes.len > 0)
            fail(splice);
        else if (splice->challenge_len == RELAY_CHALLENGE_BYTES)
            say_hello(splice);
        return;
    case SPLICE_WAITS:
        if (bytes.data[0] == RELAY_WELCOME)
            begin_to_pass(splice, slice_from(bytes, 1));
        else
            fail(splice);
        return;
    case SPLICE_OPEN:
        pass(end, splice->outer, bytes);
        return;
    case SPLICE_FAILED:
        return;
    }
}

static void on_end_ended(struct tcp_connection *tcp) {
    struct splice_end *end = end_of(tcp), *other = other_end(end);
    if (end->splice->state != SPLICE_OPEN)
        fail(end->splice);
    else if (other != NULL)
        tcp_end_output(&other->tcp);
}

static void on_end_drained(struct tcp_connection *tcp) {
    struct splice_end *other = other_end(end_of(tcp));
    if (other != NULL && other->splice->state == SPLICE_OPEN)
        tcp_set_reading(&other->tcp, true);
}

static void on_end_closed(struct tcp_connection *tcp) {
    struct splice_end *end = end_of(tcp), *other = other_end(end);
    struct splice *splice = end->splice;
    bool is_whole = tcp->peer_ended && tcp->shut_down;
    if (end == splice->outer)
        splice->outer = NULL;
    else
        splice->inner = NULL;
    free(end);
    fail(splice);
    if (other != NULL && splice->state == SPLICE_OPEN && !is_whole)
        tcp_reset(&other->tcp);
    if (splice->outer != NULL || splice->inner != NULL)
        return;
    splice->relay->splices--;
    forget_ahead(splice);
    free(splice);
}

static void on_end_swept(struct tcp_connection *tcp, uint64_t now_ms) {
    struct splice *splice = end_of(tcp)->splice;
    if (splice->state != SPLICE_OPEN && now_ms - splice->since_ms > RELAY_HELLO_MS)
        fail(splice);
}

static void on_front_closed(void *arg) {
    release(((struct front *)arg)->relay);
}

#define PASSING                                                                                       \
    .ended = on_end_ended, .drained = on_end_drained, .closed = on_end_closed, .swept = on_end_swept, \
    .patience = {.keepalive_s = 60, .keepalive_interval_s = 10, .keepalive_count = 4}

static const struct tcp_handlers outer_handlers = {.open = on_outer_open,
                                                   .opened = on_outer_opened,
                                                   .received = on_outer_received,
                                                   .port_closed = on_front_closed,
                                                   PASSING};
static const struct tcp_handlers inner_handlers = {.open = on_inner_open,
                                                   .opened = on_inner_opened,
                                                   .received = on_inner_received,
                                                   .port_closed = on_port_closed,
                                                   PASSING};

void relay_pass_http(struct relay *relay, uint32_t number, int fd, const struct address *peer, struct slice ahead) {
    for (size_t i = 0; i < relay->front_count; i++) {
        const struct front *front = &relay->fronts[i];
        if (front->kind == RELAY_HTTP && front->number == number) {
            tcp_adopt(front->port, fd, peer, &(struct address){0}, ahead);
            return;
        }
    }
    close(fd);
}

void relay_give_back(struct relay *relay, relay_back_fn *back, void *arg) {
    relay->back = back;
    relay->back_arg = arg;
}

/* ---- datagrams ---- */

/* From a device. */
static void on_datagram(void *arg, struct listener *listener, const struct address *peer, const struct address *local,
                        uint8_t *datagram, size_t len) {
    struct relay *relay = arg;
    struct channel *channel = relay->channel;
    const struct relay_way way = {.listener = (uint8_t)listener->number, .peer = *peer, .local = *local};
    if (!relay_is_ready(relay) || tcp_queued(&channel->tcp) > RELAY_QUEUED_MAX ||
        !relay_channel_put(&channel->frames, &way, slice_of(datagram, len)))
        relay->dropped++;
}

/* To a device. */
static void on_answer(void *arg, const struct relay_way *way, uint8_t *datagram, size_t len) {
    struct relay *relay = arg;
    if (way->listener < relay->config->listener_count)
        udp_send(relay->udp, &relay->listeners[way->listener], &way->peer, &way->local, slice_of(datagram, len));
}

static void on_message(void *arg, struct link *link, struct slice datagram) {
    (void)arg, (void)link, (void)datagram; /* none of the listeners has links */
}

static void on_prepare(uv_prepare_t *prepare) {
    struct relay *relay = prepare->data;
    if (!relay_is_ready(relay))
        return;
    const struct slice waiting = relay_channel_take(&relay->channel->frames);
    if (waiting.len > 0)
        tcp_write(&relay->channel->tcp, &waiting, 1);
}

/* ---- the channel ---- */

static struct channel *channel_of(struct tcp_connection *tcp) {
    return (struct channel *)(void *)tcp;
}

static struct tcp_connection *on_channel_open(void *arg) {
    struct relay *relay = arg;
    struct channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        return NULL;
    channel->relay = relay;
    channel->since_ms = uv_now(relay->loop);
    relay->channel = channel;
    return &channel->tcp;
}

static void on_channel_opened(struct tcp_connection *tcp) {
    (void)tcp;
}

static void introduce(struct channel *channel) {
    struct relay *relay = channel->relay;
    uint8_t bytes[RELAY_HELLO_BYTES];
    const struct slice word = slice_of(bytes, sizeof bytes);
    struct relay_hello hello = {.kind = RELAY_CHANNEL, .node = cluster_number(relay->cluster)};
    random_bytes(hello.nonce, sizeof hello.nonce);
    if (!relay_hello_write(&hello, relay->key, channel->challenge, bytes) ||
        !relay_channel_init(&channel->frames, relay->key, channel->challenge, hello.nonce, false)) {
        tcp_close(&channel->tcp);
        return;
    }
    channel->has_said_hello = true;
    tcp_write(&channel->tcp, &word, 1);
}

static void on_channel_received(struct tcp_connection *tcp, struct slice bytes) {
    struct channel *channel = channel_of(tcp);
    struct relay *relay = channel->relay;
    if (!channel->has_said_hello) {
        bytes = take_challenge(channel->challenge, &channel->challenge_len, bytes);
        if (channel->challenge_len == RELAY_CHALLENGE_BYTES)
            introduce(channel);
    } else if (!channel->is_open && bytes.data[0] == RELAY_WELCOME) {
        channel->is_open = true;
        bytes = slice_from(bytes, 1);
        log_write(LOG_INFO, "cluster", "what comes here is passed on to node %d, at %s", relay->serving.number,
                  relay->serving.relay);
    }
    if (bytes.len > 0 && (!channel->is_open || !relay_channel_feed(&channel->frames, bytes, on_answer, relay)))
        tcp_close(tcp);
}

static void on_channel_ended(struct tcp_connection *tcp) {
    tcp_close(tcp);
}

static void on_channel_closed(struct tcp_connection *tcp) {
    struct channel *channel = channel_of(tcp);
    struct relay *relay = channel->relay;
    if (relay->channel == channel)
        relay->channel = NULL;
    relay_channel_clear(&channel->frames);
    free(channel);
}

static void on_channel_swept(struct tcp_connection *tcp, uint64_t now_ms) {
    const struct channel *channel = channel_of(tcp);
    if (!channel->is_open && now_ms - channel->since_ms > RELAY_HELLO_MS)
        tcp_close(tcp);
}

static const struct tcp_handlers channel_handlers = {
    .open = on_channel_open,
    .opened = on_channel_opened,
    .received = on_channel_received,
    .ended = on_channel_ended,
    .closed = on_channel_closed,
    .swept = on_channel_swept,
    .port_closed = on_port_closed,
    .patience = RELAY_PATIENCE,
};

/* ---- who serves ---- */

static void close_passed(struct relay *relay) {
    while (tcp_port_connections(relay->inner_port) != NULL)
        tcp_close(tcp_port_connections(relay->inner_port));
    if (relay->channel != NULL)
        tcp_close(&relay->channel->tcp);
    relay->channel = NULL;
}

static void open_channel(struct relay *relay) {
    if (relay->address.family != ADDRESS_NONE && !relay->closing)
        tcp_connect(relay->channel_port, &relay->address);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct relay *relay = request->data;
    unsigned long port = strtoul(strrchr(relay->serving.relay, ':') + 1, NULL, 10);
    relay->address = (struct address){0};
    if (status == 0 && found != NULL && address_from_sockaddr(&relay->address, found->ai_addr))
        relay->address.port = (uint16_t)port;
    uv_freeaddrinfo(found);
    free(request);
    relay->resolving = NULL;
    if (!relay->closing)
        open_channel(relay);
    release(relay);
}

static void resolve(struct relay *relay, const char *host) {
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    uv_getaddrinfo_t *request = malloc(sizeof *request);
    if (request == NULL)
        return;
    request->data = relay;
    if (uv_getaddrinfo(relay->loop, request, on_resolved, host, NULL, &hints) != 0) {
        free(request);
        return;
    }
    relay->resolving = request;
    relay->handles++;
}

/* HOST:PORT, where HOST may be an address, of IPv6 in brackets. */
static void find_address(struct relay *relay) {
    char host[sizeof relay->serving.relay];
    const char *at = relay->serving.relay, *colon = strrchr(at, ':');
    bool is_bracketed = at[0] == '[';
    if (colon == NULL)
        return;
    snprintf(host, sizeof host, "%.*s", (int)(colon - at) - 2 * is_bracketed, at + is_bracketed);
    if (!address_parse_ip(slice_str(host), &relay->address)) {
        resolve(relay, host);
        return;
    }
    relay->address.port = (uint16_t)strtoul(colon + 1, NULL, 10);
    open_channel(relay);
}

static void tell_dropped(struct relay *relay) {
    if (relay->dropped > 0)
        log_write(LOG_WARN, "cluster", "%llu datagrams could not be passed on", (unsigned long long)relay->dropped);
    relay->dropped = 0;
}

static void on_look(uv_timer_t *timer) {
    struct relay *relay = timer->data;
    struct cluster_node node;
    if (cluster_serving(relay->cluster, &node) && !node.is_self && node.relay[0] != '\0' &&
        (strcmp(node.relay, relay->serving.relay) != 0 || node.started_ms != relay->serving.started_ms)) {
        close_passed(relay);
        relay->serving = node;
        tell_dropped(relay);
    }
    if (relay->serving.relay[0] == '\0' || relay->channel != NULL || relay->resolving != NULL)
        return;
    find_address(relay);
}

/* ---- life ---- */

static bool read_key(const struct config *config, uint8_t key[RELAY_KEY_BYTES], char *error, size_t error_size) {
    uint8_t sealing[SEAL_KEY_BYTES];
    if (!key_file_load(config->key_file, false, sealing, error, error_size))
        return false;
    struct seal *seal = seal_new(sealing);
    bool is_good = seal != NULL && relay_key_derive(seal, key);
    if (!is_good)
        snprintf(error, error_size, "out of memory");
    seal_free(seal);
    mbedtls_platform_zeroize(sealing, sizeof sealing);
    return is_good;
}

static bool add_front(struct relay *relay, enum relay_kind kind, size_t number, struct listener *listener, char *error,
                      size_t error_size) {
    struct front *front = &relay->fronts[relay->front_count];
    *front = (struct front){.relay = relay, .kind = kind, .number = (uint8_t)number};
    if (listener != NULL)
        front->port = tcp_listen(relay->loop, &listener->address, &outer_handlers, front, error, error_size);
    else if ((front->port = tcp_port_new(relay->loop, &outer_handlers, front)) == NULL)
        snprintf(error, error_size, "out of memory");
    if (front->port == NULL)
        return false;
    if (listener != NULL)
        listener->address = tcp_port_address(front->port);
    relay->front_count++;
    relay->handles++;
    return true;
}

static bool listen_at(struct relay *relay, size_t number, char *error, size_t error_size) {
    struct listener *own = &relay->listeners[number], *listener = &relay->config->listeners[number];
    bool connects = link_transport_connects(own->transport), had_port = own->address.port != 0;
    own->number = (uint32_t)number;
    if (connects && !add_front(relay, RELAY_DEVICE, number, own, error, error_size))
        return false;
    if (!connects) {
        own->transport = LINK_DTLS; /* no links are made */
        int result = udp_listen(relay->udp, own);
        if (result < 0) {
            snprintf(error, error_size, "cannot listen on %s: %s", own->uri, strerror(-result));
            return false;
        }
    }
    listener->address.port = own->address.port;
    if (!had_port)
        server_show_port(listener);
    return true;
}

static bool listen_everywhere(struct relay *relay, char *error, size_t error_size) {
    const struct config *config = relay->config;
    for (size_t i = 0; i < config->listener_count; i++) {
        if (!listen_at(relay, i, error, error_size))
            return false;
    }
    for (size_t i = 0; !config->http_off && i < config->http_count; i++) {
        if (!add_front(relay, RELAY_HTTP, i, NULL, error, error_size))
            return false;
    }
    return true;
}

static struct tcp_port *inner_port(struct relay *relay, const struct tcp_handlers *handlers) {
    struct tcp_port *port = tcp_port_new(relay->loop, handlers, relay);
    relay->handles += port != NULL;
    return port;
}

struct relay *relay_start(uv_loop_t *loop, struct config *config, struct cluster *cluster, char *error,
                          size_t error_size) {
    uint8_t key[RELAY_KEY_BYTES];
    if (!read_key(config, key, error, error_size))
        return NULL;
    struct relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    relay->loop = loop;
    relay->config = config;
    relay->cluster = cluster;
    memcpy(relay->key, key, sizeof key);
    mbedtls_platform_zeroize(key, sizeof key);
    memcpy(relay->listeners, config->listeners, sizeof config->listeners);
    relay->udp = udp_new(loop, on_message, relay);
    udp_set_datagram_handler(relay->udp, on_datagram, relay);
    uv_timer_init(loop, &relay->look);
    uv_prepare_init(loop, &relay->prepare);
    relay->look.data = relay->prepare.data = relay;
    relay->handles = 2;
    relay->inner_port = inner_port(relay, &inner_handlers);
    relay->channel_port = inner_port(relay, &channel_handlers);
    bool has_ports = relay->inner_port != NULL && relay->channel_port != NULL;
    if (!has_ports)
        snprintf(error, error_size, "out of memory");
    if (!has_ports || !listen_everywhere(relay, error, error_size)) {
        relay_stop(relay);
        return NULL;
    }
    uv_timer_start(&relay->look, on_look, 0, LOOK_MS);
    uv_prepare_start(&relay->prepare, on_prepare);
    return relay;
}

static void on_handle_closed(uv_handle_t *handle) {
    release(handle->data);
}

void relay_stop(struct relay *relay) {
    relay->closing = true;
    tell_dropped(relay);
    if (relay->resolving != NULL)
        uv_cancel((uv_req_t *)relay->resolving);
    for (size_t i = 0; i < relay->front_count; i++)
        tcp_port_close(relay->fronts[i].port);
    if (relay->inner_port != NULL)
        tcp_port_close(relay->inner_port);
    if (relay->channel_port != NULL)
        tcp_port_close(relay->channel_port);
    relay->channel = NULL;
    udp_close(relay->udp);
    uv_close((uv_handle_t *)&relay->look, on_handle_closed);
    uv_close((uv_handle_t *)&relay->prepare, on_handle_closed);
}
