#include "client/transport.h"

#include "client/device.h"

static const struct transport *const transports[] = {&udp_transport, &dtls_transport, &tcp_transport, &tls_transport};

const struct transport *transport_find(struct slice scheme) {
    for (size_t i = 0; i < sizeof transports / sizeof transports[0]; i++) {
        if (slice_is(scheme, transports[i]->scheme))
            return transports[i];
    }
    return NULL;
}

bool transport_bind(struct device *device, char *error, size_t error_size) {
    const struct options *options = device->options;
    if (options->has_bind)
        device->listener.address = options->bind;
    int result = udp_listen(device->udp, &device->listener);
    if (result < 0)
        snprintf(error, error_size, "cannot send from %s: %s", options->has_bind ? "the address of --bind" : "any port",
                 strerror(-result));
    return result >= 0;
}

/* ---- UDP ---- */

static bool open_udp(struct device *device, const struct address *server, char *error, size_t error_size) {
    if (!transport_bind(device, error, error_size))
        return false;
    device->server = udp_link(device->udp, &device->listener, server, NULL);
    if (device->server == NULL)
        snprintf(error, error_size, "%s cannot be reached from the address of --bind", device->destination.text);
    return device->server != NULL;
}

static void close_udp(struct device *device) {
    if (device->server != NULL)
        link_unref(device->server);
    device->server = NULL;
}

static int rebind_udp(struct device *device) {
    return udp_rebind(device->udp, &device->listener);
}

const struct transport udp_transport = {
    .scheme = "coap",
    .link = LINK_UDP,
    .port = 5683,
    .open = open_udp,
    .close = close_udp,
    .rebind = rebind_udp,
};
