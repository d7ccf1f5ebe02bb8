#include "common/net/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/slab.h"

enum {
    BATCH = 64,          /* datagrams a system call, both ways */
    DATAGRAM_IN = 65536, /* the largest there is; memory that is never touched is never used */
    DATAGRAM_OUT = 1408, /* more than we ever send: a message (RFC 7252 §4.6) in a DTLS record */
    ROUNDS = 4,          /* receive batches before other handles of the loop get a turn */
    BUCKETS_MIN = 64,
};

/* IP_PKTINFO or IPV6_PKTINFO, aligned as cmsg(3) asks. */
union control {
    struct cmsghdr header;
    uint8_t space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct socket {
    struct udp *udp;
    struct socket *next;
    struct listener *listener;
    uv_poll_t poll;
    int fd;
    int family; /* AF_INET or AF_INET6 */
    /* Datagrams that wait for the next sendmmsg. */
    size_t out_count;
    struct mmsghdr out[BATCH];
    struct iovec out_iov[BATCH];
    struct sockaddr_storage out_peer[BATCH];
    union control out_control[BATCH];
    uint8_t (*out_bytes)[DATAGRAM_OUT];
};

struct udp {
    uv_loop_t *loop;
    udp_receive_fn *receive;
    void *arg;
    udp_datagram_fn *handler; /* of listeners that are not LINK_UDP */
    void *handler_arg;
    struct socket *sockets;
    uv_prepare_t prepare;
    struct udp_counters counters;
    size_t open_handles;
    bool closing;
    /* Links by listener and address, chained. */
    struct hash_key key;
    struct link **buckets;
    size_t bucket_count; /* a power of two */
    struct slab *slab;
    /* Receiving. */
    struct mmsghdr in[BATCH];
    struct iovec in_iov[BATCH];
    struct sockaddr_storage in_peer[BATCH];
    union control in_control[BATCH];
    uint8_t (*in_bytes)[DATAGRAM_IN];
};

static void out_of_memory(void) {
    fputs("out of memory\n", stderr);
    abort();
}

/* ---- links ---- */

static int udp_link_send(struct link *link, struct slice message);
static void udp_link_release(struct link *link);
static const struct link_ops udp_link_ops = {.send = udp_link_send, .release = udp_link_release};

struct udp_link {
    struct link link; /* first member */
    struct socket *socket;
};

static struct link **bucket_of(const struct udp *udp, const struct listener *listener, const struct address *peer) {
    struct {
        struct address peer;
        uint64_t listener;
    } key = {*peer, listener->number};
    return &udp->buckets[hash_siphash(&udp->key, &key, sizeof key) & (udp->bucket_count - 1)];
}

/* Twice the buckets when there is more than one link a bucket; without memory the chains just grow. */
static void grow(struct udp *udp) {
    size_t old_count = udp->bucket_count;
    struct link **old = udp->buckets;
    struct link **fresh = calloc(old_count * 2, sizeof *fresh);
    if (fresh == NULL)
        return;
    udp->buckets = fresh;
    udp->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        struct link *link = old[i];
        while (link != NULL) {
            struct link *next = link->hash_next;
            struct link **bucket = bucket_of(udp, link->listener, &link->peer);
            link->hash_next = *bucket;
            *bucket = link;
            link = next;
        }
    }
    free(old);
}

/* A reference for the caller; NULL when out of memory. */
static struct link *find_or_add_link(struct socket *socket, const struct address *peer, const struct address *local) {
    struct udp *udp = socket->udp;
    struct link **bucket = bucket_of(udp, socket->listener, peer);
    for (struct link *link = *bucket; link != NULL; link = link->hash_next) {
        if (link->listener == socket->listener && address_equal(&link->peer, peer))
            return link_ref(link);
    }
    struct udp_link *fresh = slab_take(udp->slab, sizeof *fresh);
    if (fresh == NULL)
        return NULL;
    *fresh = (struct udp_link){
        .link = {.ops = &udp_link_ops, .listener = socket->listener, .peer = *peer, .refs = 1, .hash_next = *bucket},
        .socket = socket,
    };
    if (local != NULL)
        fresh->link.local = *local;
    *bucket = &fresh->link;
    udp->counters.links++;
    if (udp->counters.links > udp->bucket_count)
        grow(udp);
    return &fresh->link;
}

static void udp_link_release(struct link *link) {
    struct udp_link *ours = (struct udp_link *)(void *)link;
    struct udp *udp = ours->socket->udp;
    struct link **at = bucket_of(udp, link->listener, &link->peer);
    while (*at != link)
        at = &(*at)->hash_next;
    *at = link->hash_next;
    udp->counters.links--;
    slab_give(ours, sizeof *ours);
}

/* ---- sending ---- */

static void flush_socket(struct socket *socket) {
    struct udp *udp = socket->udp;
    size_t sent = 0;
    while (sent < socket->out_count) {
        int n = sendmmsg(socket->fd, socket->out + sent, (unsigned)(socket->out_count - sent), MSG_DONTWAIT);
        if (n > 0) {
            for (int i = 0; i < n; i++)
                udp->counters.sent_bytes += socket->out_iov[sent + (size_t)i].iov_len;
            udp->counters.sent += (uint64_t)n;
            sent += (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else {
            /* The first one can't go: no route, or no room in the kernel. A lost datagram is CoAP's daily bread. */
            udp->counters.send_failed++;
            sent++;
        }
    }
    socket->out_count = 0;
}

/* The address that the answer must leave from, for a wildcard socket. */
static size_t put_source(const struct socket *socket, const struct address *local, union control *control,
                         struct msghdr *header) {
    memset(control, 0, sizeof *control);
    control->header.cmsg_level = socket->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    control->header.cmsg_type = socket->family == AF_INET ? IP_PKTINFO : IPV6_PKTINFO;
    header->msg_control = control;
    if (socket->family == AF_INET) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, local->ip, 4);
        memcpy(CMSG_DATA(&control->header), &info, sizeof info);
        control->header.cmsg_len = CMSG_LEN(sizeof info);
        return CMSG_SPACE(sizeof info);
    }
    struct sockaddr_storage mapped;
    address_to_sockaddr(local, AF_INET6, &mapped);
    struct in6_pktinfo info = {0};
    info.ipi6_addr = ((struct sockaddr_in6 *)(void *)&mapped)->sin6_addr;
    info.ipi6_ifindex = local->scope;
    memcpy(CMSG_DATA(&control->header), &info, sizeof info);
    control->header.cmsg_len = CMSG_LEN(sizeof info);
    return CMSG_SPACE(sizeof info);
}

static int enqueue(struct socket *socket, const struct address *peer, const struct address *local,
                   struct slice datagram) {
    if (datagram.len > DATAGRAM_OUT)
        return -EMSGSIZE;
    if (socket->out_count == BATCH)
        flush_socket(socket);
    size_t i = socket->out_count++;
    struct msghdr *header = &socket->out[i].msg_hdr;
    memcpy(socket->out_bytes[i], datagram.data, datagram.len);
    socket->out_iov[i] = (struct iovec){socket->out_bytes[i], datagram.len};
    *header = (struct msghdr){.msg_name = &socket->out_peer[i], .msg_iov = &socket->out_iov[i], .msg_iovlen = 1};
    header->msg_namelen = address_to_sockaddr(peer, socket->family, &socket->out_peer[i]);
    if (local != NULL && local->family != ADDRESS_NONE && !address_is_multicast(local))
        header->msg_controllen = put_source(socket, local, &socket->out_control[i], header);
    return 0;
}

static int udp_link_send(struct link *link, struct slice message) {
    int result = enqueue(((struct udp_link *)(void *)link)->socket, &link->peer, &link->local, message);
    if (result == 0)
        link_tell_watcher(link, true, message, message.len);
    return result;
}

/* NULL when there is none that reaches `peer`. */
static struct socket *socket_of(const struct udp *udp, const struct listener *listener, const struct address *peer) {
    for (struct socket *socket = udp->sockets; socket != NULL; socket = socket->next) {
        bool reachable = socket->family == AF_INET6 || peer->family == ADDRESS_IPV4;
        if (socket->listener == listener && reachable)
            return socket;
    }
    return NULL;
}

int udp_send(struct udp *udp, struct listener *listener, const struct address *peer, const struct address *local,
             struct slice datagram) {
    struct socket *socket = socket_of(udp, listener, peer);
    return socket == NULL ? -EDESTADDRREQ : enqueue(socket, peer, local, datagram);
}

void udp_flush(struct udp *udp) {
    for (struct socket *socket = udp->sockets; socket != NULL; socket = socket->next) {
        if (socket->out_count > 0)
            flush_socket(socket);
    }
}

static void on_prepare(uv_prepare_t *prepare) {
    udp_flush(prepare->data);
}

/* ---- receiving ---- */

static void read_local(const struct msghdr *header, struct address *local) {
    memset(local, 0, sizeof *local);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)header, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = info.ipi_addr};
            address_from_sockaddr(local, (const struct sockaddr *)&in);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = info.ipi6_addr};
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                in6.sin6_scope_id = (uint32_t)info.ipi6_ifindex;
            address_from_sockaddr(local, (const struct sockaddr *)&in6);
        }
    }
}

static void deliver(struct socket *socket, size_t i, size_t len) {
    struct udp *udp = socket->udp;
    struct address peer, local;
    if (!address_from_sockaddr(&peer, (const struct sockaddr *)&udp->in_peer[i]) || peer.port == 0)
        return;
    read_local(&udp->in[i].msg_hdr, &local);
    udp->counters.received++;
    udp->counters.received_bytes += len;
    if (socket->listener->transport != LINK_UDP) {
        if (udp->handler != NULL)
            udp->handler(udp->handler_arg, socket->listener, &peer, &local, udp->in_bytes[i], len);
        return;
    }
    struct link *link = find_or_add_link(socket, &peer, &local);
    if (link == NULL)
        return;
    link->local = local;
    link_tell_watcher(link, false, slice_of(udp->in_bytes[i], len), len);
    udp->receive(udp->arg, link, slice_of(udp->in_bytes[i], len));
    link_unref(link);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct socket *socket = poll->data;
    struct udp *udp = socket->udp;
    (void)events;
    if (status < 0)
        return;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BATCH; i++) {
            struct msghdr *header = &udp->in[i].msg_hdr;
            header->msg_namelen = sizeof udp->in_peer[i];
            header->msg_controllen = sizeof udp->in_control[i];
            header->msg_flags = 0;
        }
        int n = recvmmsg(socket->fd, udp->in, BATCH, MSG_DONTWAIT, NULL);
        if (n <= 0)
            break; /* nothing left, or an ICMP error of an earlier datagram, which is nobody's business here */
        for (int i = 0; i < n && !udp->closing; i++)
            deliver(socket, (size_t)i, udp->in[i].msg_len);
        if (n < BATCH || udp->closing)
            break;
    }
}

/* ---- life ---- */

struct udp *udp_new(uv_loop_t *loop, udp_receive_fn *receive, void *arg) {
    struct udp *udp = calloc(1, sizeof *udp);
    if (udp == NULL)
        out_of_memory();
    *udp = (struct udp){.loop = loop, .receive = receive, .arg = arg, .bucket_count = BUCKETS_MIN};
    udp->key = hash_key_random();
    udp->buckets = calloc(udp->bucket_count, sizeof(struct link *));
    udp->in_bytes = malloc(sizeof *udp->in_bytes * BATCH);
    udp->slab = slab_new();
    if (udp->buckets == NULL || udp->in_bytes == NULL || udp->slab == NULL)
        out_of_memory();
    for (size_t i = 0; i < BATCH; i++) {
        udp->in_iov[i] = (struct iovec){udp->in_bytes[i], DATAGRAM_IN};
        udp->in[i].msg_hdr = (struct msghdr){.msg_name = &udp->in_peer[i],
                                             .msg_iov = &udp->in_iov[i],
                                             .msg_iovlen = 1,
                                             .msg_control = &udp->in_control[i]};
    }
    uv_prepare_init(loop, &udp->prepare);
    udp->prepare.data = udp;
    uv_prepare_start(&udp->prepare, on_prepare);
    uv_unref((uv_handle_t *)&udp->prepare);
    udp->open_handles = 1;
    return udp;
}

static int open_socket(const struct address *address, int *family) {
    struct sockaddr_storage name;
    int on = 1, off = 0, buffer_size = 4 << 20;
    *family = address->family == ADDRESS_IPV6 ? AF_INET6 : AF_INET;
    int fd = socket(*family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (*family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    } else {
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    }
    /* Bursts wait in the kernel, as far as it lets us. */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_size, sizeof buffer_size);
    socklen_t len = address_to_sockaddr(address, *family, &name);
    if (bind(fd, (struct sockaddr *)&name, len) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* The port that the system has chosen, if it was asked to. */
static void read_port(int fd, struct listener *listener) {
    struct sockaddr_storage name;
    struct address bound;
    socklen_t len = sizeof name;
    if (getsockname(fd, (struct sockaddr *)&name, &len) == 0 &&
        address_from_sockaddr(&bound, (const struct sockaddr *)&name))
        listener->address.port = bound.port;
}

int udp_listen(struct udp *udp, struct listener *listener) {
    int family;
    int fd = open_socket(&listener->address, &family);
    if (fd < 0)
        return fd;
    read_port(fd, listener);
    struct socket *socket = calloc(1, sizeof *socket);
    if (socket == NULL || (socket->out_bytes = malloc(sizeof *socket->out_bytes * BATCH)) == NULL)
        out_of_memory();
    socket->udp = udp;
    socket->listener = listener;
    socket->fd = fd;
    socket->family = family;
    socket->next = udp->sockets;
    udp->sockets = socket;
    int error = uv_poll_init(udp->loop, &socket->poll, fd);
    if (error == 0) {
        socket->poll.data = socket;
        udp->open_handles++;
        error = uv_poll_start(&socket->poll, UV_READABLE, on_readable);
    }
    return error;
}

/* The new socket takes the old one's descriptor, so that everything else stays as it is. */
int udp_rebind(struct udp *udp, struct listener *listener) {
    struct socket *socket = udp->sockets;
    while (socket != NULL && socket->listener != listener)
        socket = socket->next;
    if (socket == NULL)
        return -EDESTADDRREQ;
    struct address address = listener->address;
    int family;
    address.port = 0;
    int fd = open_socket(&address, &family);
    if (fd < 0)
        return fd;
    flush_socket(socket);
    uv_poll_stop(&socket->poll);
    int error = dup3(fd, socket->fd, O_CLOEXEC) < 0 ? -errno : 0;
    close(fd);
    read_port(socket->fd, listener);
    uv_poll_start(&socket->poll, UV_READABLE, on_readable);
    return error;
}

void udp_set_datagram_handler(struct udp *udp, udp_datagram_fn *handler, void *arg) {
    udp->handler = handler;
    udp->handler_arg = arg;
}

struct link *udp_link(struct udp *udp, struct listener *listener, const struct address *peer,
                      const struct address *local) {
    struct socket *socket = socket_of(udp, listener, peer);
    return socket == NULL ? NULL : find_or_add_link(socket, peer, local);
}

struct udp_counters udp_counters(const struct udp *udp) {
    return udp->counters;
}

static void free_udp(struct udp *udp) {
    while (udp->sockets != NULL) {
        struct socket *socket = udp->sockets;
        udp->sockets = socket->next;
        free(socket->out_bytes);
        free(socket);
    }
    free(udp->buckets);
    free(udp->in_bytes);
    slab_free(udp->slab);
    free(udp);
}

static void on_closed(uv_handle_t *handle) {
    struct udp *udp = handle->type == UV_PREPARE ? handle->data : ((struct socket *)handle->data)->udp;
    if (--udp->open_handles == 0)
        free_udp(udp);
}

void udp_close(struct udp *udp) {
    udp->closing = true;
    udp_flush(udp);
    for (struct socket *socket = udp->sockets; socket != NULL; socket = socket->next) {
        uv_poll_stop(&socket->poll);
        close(socket->fd);
        uv_close((uv_handle_t *)&socket->poll, on_closed);
    }
    uv_close((uv_handle_t *)&udp->prepare, on_closed);
}
