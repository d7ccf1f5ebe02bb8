/* How the device reaches its server, by the scheme of --server: a table, and a file for each. */
#ifndef BERTH_CLIENT_TRANSPORT_H
#define BERTH_CLIENT_TRANSPORT_H

#include "common/net/link.h"

struct device;

struct transport {
    const char *scheme;
    enum link_transport link;
    uint16_t port; /* when the URI has none */
    bool secure;   /* credentials are needed */
    /* Make device->server, a link to `server` by device->listener, whose transport and address are filled in. What comes
     * over it is for device_receive. False: one line in `error`. */
    bool (*open)(struct device *device, const struct address *server, char *error, size_t error_size);
    /* Free what open has made, also when that failed half way. */
    void (*close)(struct device *device);
    /* The server has been silent. True when that may be because it has lost what the transport keeps for it, which the
     * next message begins anew. NULL: there is no such thing. */
    bool (*renew)(struct device *device);
    /* Send from another port from now on. 0, or a negative errno. NULL: it can't do that. */
    int (*rebind)(struct device *device);
};

extern const struct transport udp_transport, dtls_transport, tcp_transport, tls_transport;

/* NULL: the device does not speak that. */
const struct transport *transport_find(struct slice scheme);

/* Bind device->listener, a UDP socket. False: one line in `error`. */
bool transport_bind(struct device *device, char *error, size_t error_size);

#endif
