#include "common/net/udp_batch.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* IP_PKTINFO or IPV6_PKTINFO, aligned as cmsg(3) asks. */
union control {
    struct cmsghdr header;
    uint8_t space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static void out_of_memory(void) {
    fputs("out of memory\n", stderr);
    abort();
}

/* ---- sockets ---- */

static int open_unbound(int family) {
    int on = 1, off = 0, buffer_size = 4 << 20;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    } else {
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    }
    /* Bursts wait in the kernel, as far as it lets us. */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_size, sizeof buffer_size);
    return fd;
}

static int bind_to(int fd, const struct address *address, int family) {
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(address, family, &name);
    if (bind(fd, (struct sockaddr *)&name, len) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static int family_of(const struct address *address) {
    return address->family == ADDRESS_IPV6 ? AF_INET6 : AF_INET;
}

int udp_socket_open(const struct address *address, int *family) {
    *family = family_of(address);
    int fd = open_unbound(*family);
    return fd < 0 ? fd : bind_to(fd, address, *family);
}

/* Only now does the first one share its address: when it was bound, an address that another program has was refused. */
int udp_socket_open_beside(int fd, const struct address *address) {
    int on = 1, beside = open_unbound(family_of(address));
    if (beside < 0)
        return beside;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        setsockopt(beside, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
        int error = -errno;
        close(beside);
        return error;
    }
    return bind_to(beside, address, family_of(address));
}

void udp_socket_read_port(int fd, struct address *address) {
    struct sockaddr_storage name;
    struct address bound;
    socklen_t len = sizeof name;
    if (getsockname(fd, (struct sockaddr *)&name, &len) == 0 &&
        address_from_sockaddr(&bound, (const struct sockaddr *)&name))
        address->port = bound.port;
}

uint32_t udp_socket_dropped(int fd) {
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof memory;
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &len) != 0)
        return 0;
    return memory[SK_MEMINFO_DROPS];
}

/* ---- in ---- */

struct udp_in {
    struct mmsghdr headers[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
    struct sockaddr_storage peer[UDP_BATCH];
    union control control[UDP_BATCH];
    uint8_t (*bytes)[UDP_DATAGRAM_IN];
};

struct udp_in *udp_in_new(void) {
    struct udp_in *in = calloc(1, sizeof *in);
    if (in == NULL || (in->bytes = malloc(sizeof *in->bytes * UDP_BATCH)) == NULL)
        out_of_memory();
    for (size_t i = 0; i < UDP_BATCH; i++) {
        in->iov[i] = (struct iovec){in->bytes[i], UDP_DATAGRAM_IN};
        in->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &in->peer[i], .msg_iov = &in->iov[i], .msg_iovlen = 1, .msg_control = &in->control[i]};
    }
    return in;
}

void udp_in_free(struct udp_in *in) {
    free(in->bytes);
    free(in);
}

size_t udp_in_fetch(struct udp_in *in, int fd) {
    for (size_t i = 0; i < UDP_BATCH; i++) {
        struct msghdr *header = &in->headers[i].msg_hdr;
        header->msg_namelen = sizeof in->peer[i];
        header->msg_controllen = sizeof in->control[i];
        header->msg_flags = 0;
    }
    int n = recvmmsg(fd, in->headers, UDP_BATCH, MSG_DONTWAIT, NULL);
    return n < 0
               ? 0
               : (size_t)n; /* nothing left, or an ICMP error of an earlier datagram, which is nobody's business here */
}

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

bool udp_in_at(struct udp_in *in, size_t i, struct address *peer, struct address *local, uint8_t **bytes, size_t *len) {
    if (!address_from_sockaddr(peer, (const struct sockaddr *)&in->peer[i]) || peer->port == 0)
        return false;
    read_local(&in->headers[i].msg_hdr, local);
    *bytes = in->bytes[i];
    *len = in->headers[i].msg_len;
    return true;
}

/* ---- out ---- */

struct udp_out {
    int family;
    size_t count;
    struct mmsghdr headers[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
    struct sockaddr_storage peer[UDP_BATCH];
    union control control[UDP_BATCH];
    uint8_t bytes[UDP_BATCH][UDP_DATAGRAM_OUT];
};

struct udp_out *udp_out_new(int family) {
    struct udp_out *out = malloc(sizeof *out);
    if (out == NULL)
        out_of_memory();
    out->family = family;
    out->count = 0;
    return out;
}

void udp_out_free(struct udp_out *out) {
    free(out);
}

bool udp_out_is_empty(const struct udp_out *out) {
    return out->count == 0;
}

bool udp_out_is_full(const struct udp_out *out) {
    return out->count == UDP_BATCH;
}

/* The address that the answer must leave from, for a wildcard socket. */
static size_t put_source(int family, const struct address *local, union control *control, struct msghdr *header) {
    memset(control, 0, sizeof *control);
    control->header.cmsg_level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    control->header.cmsg_type = family == AF_INET ? IP_PKTINFO : IPV6_PKTINFO;
    header->msg_control = control;
    if (family == AF_INET) {
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

void udp_out_put(struct udp_out *out, const struct address *peer, const struct address *local, struct slice datagram) {
    size_t i = out->count++;
    struct msghdr *header = &out->headers[i].msg_hdr;
    if (datagram.len > 0)
        memcpy(out->bytes[i], datagram.data, datagram.len);
    out->iov[i] = (struct iovec){out->bytes[i], datagram.len};
    *header = (struct msghdr){.msg_name = &out->peer[i], .msg_iov = &out->iov[i], .msg_iovlen = 1};
    header->msg_namelen = address_to_sockaddr(peer, out->family, &out->peer[i]);
    if (local != NULL && local->family != ADDRESS_NONE && !address_is_multicast(local))
        header->msg_controllen = put_source(out->family, local, &out->control[i], header);
}

void udp_out_send(struct udp_out *out, int fd, struct udp_out_counters *counters) {
    size_t sent = 0;
    while (sent < out->count) {
        int n = sendmmsg(fd, out->headers + sent, (unsigned)(out->count - sent), MSG_DONTWAIT);
        if (n > 0) {
            for (int i = 0; i < n; i++)
                counters->sent_bytes += out->iov[sent + (size_t)i].iov_len;
            counters->sent += (uint64_t)n;
            sent += (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else {
            /* The first one can't go: no route, or no room in the kernel. A lost datagram is CoAP's daily bread. */
            counters->failed++;
            sent++;
        }
    }
    out->count = 0;
}
