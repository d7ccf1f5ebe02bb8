#include "common/net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* RFC 4291 §2.5.5.2: an IPv4 address in IPv6 form becomes itself again. */
static void unmap(struct address *address) {
    if (memcmp(address->ip, mapped_prefix, sizeof mapped_prefix) != 0)
        return;
    uint8_t ip[4];
    memcpy(ip, address->ip + sizeof mapped_prefix, sizeof ip);
    memset(address->ip, 0, sizeof address->ip);
    memcpy(address->ip, ip, sizeof ip);
    address->family = ADDRESS_IPV4;
    address->scope = 0;
}

bool address_from_sockaddr(struct address *out, const struct sockaddr *from) {
    memset(out, 0, sizeof *out);
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
        out->family = ADDRESS_IPV4;
        out->port = ntohs(in->sin_port);
        memcpy(out->ip, &in->sin_addr, 4);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
        out->family = ADDRESS_IPV6;
        out->port = ntohs(in6->sin6_port);
        out->scope = in6->sin6_scope_id;
        memcpy(out->ip, &in6->sin6_addr, 16);
        unmap(out);
        return true;
    }
    return false;
}

socklen_t address_to_sockaddr(const struct address *address, int socket_family, struct sockaddr_storage *out) {
    if (socket_family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)(void *)out;
        memset(in, 0, sizeof *in);
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        memcpy(&in->sin_addr, address->ip, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)out;
    memset(in6, 0, sizeof *in6);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    if (address->family == ADDRESS_IPV4) {
        memcpy(in6->sin6_addr.s6_addr, mapped_prefix, sizeof mapped_prefix);
        memcpy(in6->sin6_addr.s6_addr + sizeof mapped_prefix, address->ip, 4);
    } else {
        memcpy(&in6->sin6_addr, address->ip, 16);
        in6->sin6_scope_id = address->scope;
    }
    return sizeof *in6;
}

bool address_parse_ip(struct slice text, struct address *out) {
    char literal[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    if (text.len == 0 || text.len >= sizeof literal || memchr(text.data, 0, text.len) != NULL)
        return false;
    memcpy(literal, text.data, text.len);
    literal[text.len] = '\0';
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, literal, out->ip) == 1) {
        out->family = ADDRESS_IPV4;
        return true;
    }
    char *zone = strchr(literal, '%');
    if (zone != NULL) {
        *zone++ = '\0';
        out->scope = if_nametoindex(zone);
        if (out->scope == 0)
            return false;
    }
    if (inet_pton(AF_INET6, literal, out->ip) != 1)
        return false;
    out->family = ADDRESS_IPV6;
    unmap(out);
    return true;
}

void address_put_ip(struct buffer *out, const struct address *address) {
    if (address->family == ADDRESS_IPV4) {
        for (int i = 0; i < 4; i++) {
            if (i > 0)
                buffer_put_u8(out, '.');
            buffer_put_decimal(out, address->ip[i]);
        }
        return;
    }
    char literal[INET6_ADDRSTRLEN];
    if (address->family == ADDRESS_IPV6 && inet_ntop(AF_INET6, address->ip, literal, sizeof literal) != NULL)
        buffer_put_str(out, literal);
    char zone[IF_NAMESIZE];
    if (address->scope != 0 && if_indextoname(address->scope, zone) != NULL) {
        buffer_put_u8(out, '%');
        buffer_put_str(out, zone);
    }
}

void address_put(struct buffer *out, const struct address *address) {
    bool brackets = address->family == ADDRESS_IPV6;
    if (brackets)
        buffer_put_u8(out, '[');
    address_put_ip(out, address);
    if (brackets)
        buffer_put_u8(out, ']');
    buffer_put_u8(out, ':');
    buffer_put_decimal(out, address->port);
}

bool address_is_multicast(const struct address *address) {
    if (address->family == ADDRESS_IPV4)
        return (address->ip[0] & 0xf0) == 0xe0;
    return address->family == ADDRESS_IPV6 && address->ip[0] == 0xff;
}

bool address_is_loopback(const struct address *address) {
    static const uint8_t loopback6[16] = {[15] = 1};
    if (address->family == ADDRESS_IPV4)
        return address->ip[0] == 127;
    return address->family == ADDRESS_IPV6 && memcmp(address->ip, loopback6, sizeof loopback6) == 0;
}

struct address address_at_home(const struct address *address) {
    static const uint8_t any[16];
    struct address home = *address;
    if (memcmp(home.ip, any, sizeof any) != 0)
        return home;
    home.ip[home.family == ADDRESS_IPV4 ? 3 : 15] = 1;
    if (home.family == ADDRESS_IPV4)
        home.ip[0] = 127;
    return home;
}
