/* The URIs by which listeners and servers are named: scheme://host:port/path?query, the host an IP address literal, a
 * name that the system resolves to one, or nothing. Slices point into the text. */
#ifndef BERTH_NET_URI_H
#define BERTH_NET_URI_H

#include "common/net/address.h"

struct uri {
    struct slice scheme, host, path, query; /* path without slashes at its ends; the brackets of a host are gone */
    uint16_t port;                          /* 0 when has_port is false */
    bool has_port;
};

/* False: *error says in a few words what is wrong. */
bool uri_parse(struct slice text, struct uri *uri, const char **error);

/* The address that `host` means; "", "*" and "any" are the wildcard: IPv6 (which takes IPv4 too) where the system has
 * it, else IPv4. Names are looked up, which may block: only at start. False: *error. */
bool uri_resolve(const struct uri *uri, uint16_t default_port, struct address *address, const char **error);

/* The next `name=value` of a query, starting with *at = 0. */
bool uri_query_next(struct slice query, size_t *at, struct slice *name, struct slice *value);

#endif
