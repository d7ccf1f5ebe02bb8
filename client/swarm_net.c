#include "client/swarm_net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/memory.h"
#include "common/net/udp.h"

enum {
    FIRST_LOOPBACK = 0x7f010000, /* 127.1.0.0 */
    LOOPBACK_COUNT = 0x00fe0000, /* addresses from there to the end of 127.0.0.0/8 */
    EVENTS_MAX = 64,
    DATAGRAM_MAX = 65536,
    OTHER_FILES = 64, /* that the process has open */
};

struct swarm_net {
    struct address server, bind;
    bool has_bind, is_loopback;
    size_t count;
    swarm_net_fn *receive;
    void *arg;
    struct swarm_net_counters counters;
    /* Over loopback: one socket, and how often each device has moved. */
    struct listener listener;
    struct udp *udp;
    uint8_t *moves;
    size_t moves_max;
    /* Else a socket a device; -1: not yet. */
    int *sockets;
    int epoll;
    uv_poll_t poll;
    uint8_t *datagram;
};

/* ---- over loopback ---- */

static void on_udp_link(void *arg, struct link *link, struct slice datagram) {
    (void)arg, (void)link, (void)datagram; /* no listener is LINK_UDP */
}

static void on_udp(void *arg, struct listener *listener, const struct address *peer, const struct address *local,
                   uint8_t *datagram, size_t len) {
    struct swarm_net *net = arg;
    (void)listener;
    uint32_t ip =
        (uint32_t)local->ip[0] << 24 | (uint32_t)local->ip[1] << 16 | (uint32_t)local->ip[2] << 8 | local->ip[3];
    size_t number = ip - FIRST_LOOPBACK, device = number % net->count;
    if (ip < FIRST_LOOPBACK || !address_equal(peer, &net->server) || number / net->count != net->moves[device])
        return;
    net->counters.received++;
    net->counters.received_bytes += len;
    net->receive(net->arg, device, datagram, len);
}

static int send_over_loopback(struct swarm_net *net, size_t device, struct slice datagram) {
    uint32_t ip = FIRST_LOOPBACK + (uint32_t)(device + net->moves[device] * net->count);
    const struct address local = {.family = ADDRESS_IPV4,
                                  .ip = {(uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip}};
    return udp_send(net->udp, &net->listener, &net->server, &local, datagram);
}

static bool open_loopback(struct swarm_net *net, uv_loop_t *loop, char *error, size_t error_size) {
    /* The transport makes it hand datagrams over without links. */
    net->listener = (struct listener){.transport = LINK_DTLS, .address = {.family = ADDRESS_IPV4}};
    net->moves = memory_or_exit(calloc(net->count, 1));
    net->moves_max = LOOPBACK_COUNT / net->count < 256 ? LOOPBACK_COUNT / net->count : 256;
    net->udp = udp_new(loop, on_udp_link, net);
    udp_set_datagram_handler(net->udp, on_udp, net);
    int result = net->moves_max == 0 ? -EADDRNOTAVAIL : udp_listen(net->udp, &net->listener);
    if (result < 0)
        snprintf(error, error_size, "no socket: %s", strerror(-result));
    return result >= 0;
}

/* ---- a socket for each ---- */

static void read_socket(struct swarm_net *net, size_t device) {
    ssize_t len = recv(net->sockets[device], net->datagram, DATAGRAM_MAX, MSG_DONTWAIT);
    if (len <= 0)
        return;
    net->counters.received++;
    net->counters.received_bytes += (uint64_t)len;
    net->receive(net->arg, device, net->datagram, (size_t)len);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct swarm_net *net = poll->data;
    struct epoll_event ready[EVENTS_MAX];
    (void)events;
    int count = status < 0 ? 0 : epoll_wait(net->epoll, ready, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++)
        read_socket(net, ready[i].data.u32);
}

/* Connected, so that nobody but the server is heard. */
static int open_socket(struct swarm_net *net, size_t device) {
    struct sockaddr_storage name;
    int family = net->server.family == ADDRESS_IPV6 ? AF_INET6 : AF_INET;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)device};
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    struct address from = net->bind;
    from.port = 0;
    socklen_t len = net->has_bind ? address_to_sockaddr(&from, family, &name) : 0;
    if (len > 0 && bind(fd, (struct sockaddr *)&name, len) != 0)
        goto failed;
    len = address_to_sockaddr(&net->server, family, &name);
    if (connect(fd, (struct sockaddr *)&name, len) != 0 || epoll_ctl(net->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        goto failed;
    net->sockets[device] = fd;
    return 0;

failed:;
    int error = -errno;
    close(fd);
    return error;
}

static int send_by_socket(struct swarm_net *net, size_t device, struct slice datagram) {
    int result = net->sockets[device] >= 0 ? 0 : open_socket(net, device);
    if (result < 0)
        return result;
    return send(net->sockets[device], datagram.data, datagram.len, 0) < 0 ? -errno : 0;
}

static bool allow_files(size_t count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return true;
    if (limit.rlim_cur < count && limit.rlim_max >= count) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= count;
}

static bool open_sockets(struct swarm_net *net, uv_loop_t *loop, char *error, size_t error_size) {
    net->datagram = memory_or_exit(malloc(DATAGRAM_MAX));
    net->sockets = memory_or_exit(malloc(net->count * sizeof *net->sockets));
    for (size_t i = 0; i < net->count; i++)
        net->sockets[i] = -1;
    if (!allow_files(net->count + OTHER_FILES)) {
        snprintf(error, error_size, "each device needs a socket: ulimit -n must allow %zu files",
                 net->count + OTHER_FILES);
        return false;
    }
    net->epoll = epoll_create1(EPOLL_CLOEXEC);
    int result = net->epoll < 0 ? -errno : uv_poll_init(loop, &net->poll, net->epoll);
    if (result < 0) {
        snprintf(error, error_size, "no sockets: %s", strerror(-result));
        return false;
    }
    net->poll.data = net;
    uv_poll_start(&net->poll, UV_READABLE, on_readable);
    return true;
}

/* ---- */

struct swarm_net *swarm_net_open(uv_loop_t *loop, const struct address *server, const struct address *bind,
                                 size_t devices, swarm_net_fn *receive, void *arg, char *error, size_t error_size) {
    struct swarm_net *net = memory_or_exit(calloc(1, sizeof *net));
    net->server = *server;
    net->count = devices;
    net->receive = receive;
    net->arg = arg;
    net->epoll = -1;
    net->has_bind = bind != NULL;
    if (bind != NULL)
        net->bind = *bind;
    net->is_loopback = bind == NULL && server->family == ADDRESS_IPV4 && server->ip[0] == 127;
    if (net->is_loopback ? open_loopback(net, loop, error, error_size) : open_sockets(net, loop, error, error_size))
        return net;
    swarm_net_close(net);
    return NULL;
}

int swarm_net_send(struct swarm_net *net, size_t device, struct slice datagram) {
    int result = net->is_loopback ? send_over_loopback(net, device, datagram) : send_by_socket(net, device, datagram);
    if (result < 0) {
        net->counters.send_failed++;
        return result;
    }
    net->counters.sent++;
    net->counters.sent_bytes += datagram.len;
    return 0;
}

bool swarm_net_move(struct swarm_net *net, size_t device) {
    if (net->is_loopback) {
        net->moves[device] = (uint8_t)((net->moves[device] + 1u) % net->moves_max);
        return net->moves_max > 1;
    }
    int before = net->sockets[device];
    if (open_socket(net, device) < 0) /* while the old one has its port, so that it is another one */
        return false;
    if (before >= 0)
        close(before);
    return true;
}

struct swarm_net_counters swarm_net_counters(const struct swarm_net *net) {
    return net->counters;
}

static void on_poll_closed(uv_handle_t *handle) {
    struct swarm_net *net = handle->data;
    close(net->epoll);
    free(net);
}

void swarm_net_close(struct swarm_net *net) {
    if (net->udp != NULL)
        udp_close(net->udp);
    for (size_t i = 0; net->sockets != NULL && i < net->count; i++) {
        if (net->sockets[i] >= 0)
            close(net->sockets[i]);
    }
    free(net->sockets);
    free(net->datagram);
    free(net->moves);
    if (net->poll.data != NULL) {
        uv_close((uv_handle_t *)&net->poll, on_poll_closed);
        return;
    }
    if (net->epoll >= 0)
        close(net->epoll);
    free(net);
}
