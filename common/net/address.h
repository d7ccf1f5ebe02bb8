/* An IP address and port in 24 bytes: every registered device has one. IPv4 addresses are kept as such, also when they
 * came through a dual-stack socket (RFC 4291 §2.5.5.2 mapped form is undone). */
#ifndef BERTH_NET_ADDRESS_H
#define BERTH_NET_ADDRESS_H

#include <sys/socket.h>

#include "common/base/buffer.h"

enum address_family { ADDRESS_NONE = 0, ADDRESS_IPV4 = 4, ADDRESS_IPV6 = 6 };

/* No padding, unused bytes are zero: two are equal exactly when their bytes are. */
struct address {
    uint16_t family; /* enum address_family */
    uint16_t port;   /* host byte order */
    uint32_t scope;  /* IPv6 zone (interface index) of link-local addresses, else 0 */
    uint8_t ip[16];  /* network byte order; 4 bytes used for IPv4 */
};

_Static_assert(sizeof(struct address) == 24, "struct address has no padding");

static inline bool address_equal(const struct address *a, const struct address *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

/* False when the family is neither AF_INET nor AF_INET6. */
bool address_from_sockaddr(struct address *out, const struct sockaddr *from);

/* The sockaddr for `socket_family` (AF_INET or AF_INET6; an IPv4 address on an AF_INET6 socket is mapped). Returns its
 * length. */
socklen_t address_to_sockaddr(const struct address *address, int socket_family, struct sockaddr_storage *out);

/* An address literal without brackets, zone allowed (`fe80::1%eth0`). False when it is none. */
bool address_parse_ip(struct slice text, struct address *out);

/* `192.0.2.1:5683` or `[2001:db8::1]:5683`; at most ADDRESS_TEXT_MAX bytes, no NUL. */
enum { ADDRESS_TEXT_MAX = 80 };
void address_put(struct buffer *out, const struct address *address);

/* Without port and brackets. */
void address_put_ip(struct buffer *out, const struct address *address);

bool address_is_multicast(const struct address *address);

/* Whether it reaches this machine alone (127.0.0.0/8, ::1). */
bool address_is_loopback(const struct address *address);

/* Where somebody on this host reaches who listens on `address`: loopback for a wildcard, else the same. */
struct address address_at_home(const struct address *address);

#endif
