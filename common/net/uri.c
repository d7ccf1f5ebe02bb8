#include "common/net/uri.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static bool fail(const char **error, const char *what) {
    *error = what;
    return false;
}

static size_t find(struct slice text, const char *marks) {
    size_t i = 0;
    while (i < text.len && (text.data[i] == '\0' || strchr(marks, text.data[i]) == NULL))
        i++;
    return i;
}

static struct slice trim_slashes(struct slice path) {
    while (path.len > 0 && path.data[0] == '/')
        path = slice_from(path, 1);
    while (path.len > 0 && path.data[path.len - 1] == '/')
        path.len--;
    return path;
}

static bool parse_authority(struct slice authority, struct uri *uri, const char **error) {
    size_t end;
    if (authority.len > 0 && authority.data[0] == '[') {
        end = find(authority, "]");
        if (end == authority.len)
            return fail(error, "an IPv6 address must end with ]");
        uri->host = slice_of(authority.data + 1, end - 1);
        end++;
    } else {
        end = find(authority, ":");
        uri->host = slice_of(authority.data, end);
        if (end < authority.len && memchr(authority.data + end + 1, ':', authority.len - end - 1) != NULL)
            return fail(error, "an IPv6 address belongs into brackets");
    }
    if (end == authority.len)
        return true;
    uint64_t port;
    if (authority.data[end] != ':' || !slice_to_u64(slice_from(authority, end + 1), 65535, &port))
        return fail(error, "a port is a number from 0 to 65535");
    uri->port = (uint16_t)port;
    uri->has_port = true;
    return true;
}

bool uri_parse(struct slice text, struct uri *uri, const char **error) {
    *uri = (struct uri){.has_port = false};
    size_t scheme_len = find(text, ":");
    if (scheme_len == 0 || !slice_starts_with(slice_from(text, scheme_len), "://"))
        return fail(error, "a URI looks like coap://host:port");
    uri->scheme = slice_of(text.data, scheme_len);
    struct slice rest = slice_from(text, scheme_len + 3);
    size_t authority_len = find(rest, "/?");
    if (!parse_authority(slice_of(rest.data, authority_len), uri, error))
        return false;
    rest = slice_from(rest, authority_len);
    size_t path_len = find(rest, "?");
    uri->path = trim_slashes(slice_of(rest.data, path_len));
    uri->query = slice_from(rest, path_len + 1);
    return true;
}

static bool has_ipv6(void) {
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    bool works = bind(fd, (struct sockaddr *)&any, sizeof any) == 0;
    close(fd);
    return works;
}

bool uri_resolve(const struct uri *uri, uint16_t default_port, struct address *address, const char **error) {
    memset(address, 0, sizeof *address);
    if (uri->host.len == 0 || slice_is(uri->host, "*") || slice_is(uri->host, "any")) {
        address->family = has_ipv6() ? ADDRESS_IPV6 : ADDRESS_IPV4;
    } else if (!address_parse_ip(uri->host, address)) {
        char name[256];
        struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG};
        if (uri->host.len >= sizeof name || memchr(uri->host.data, 0, uri->host.len) != NULL)
            return fail(error, "the host name is too long");
        memcpy(name, uri->host.data, uri->host.len);
        name[uri->host.len] = '\0';
        if (getaddrinfo(name, NULL, &hints, &found) != 0 || found == NULL)
            return fail(error, "the host name cannot be resolved");
        bool good = address_from_sockaddr(address, found->ai_addr);
        freeaddrinfo(found);
        if (!good)
            return fail(error, "the host has no IP address");
    }
    address->port = uri->has_port ? uri->port : default_port;
    return true;
}

bool uri_query_next(struct slice query, size_t *at, struct slice *name, struct slice *value) {
    struct slice rest = slice_from(query, *at);
    if (rest.len == 0)
        return false;
    size_t len = find(rest, "&");
    struct slice item = slice_of(rest.data, len);
    size_t name_len = find(item, "=");
    *name = slice_of(item.data, name_len);
    *value = slice_from(item, name_len + 1);
    *at += len + 1;
    return true;
}
