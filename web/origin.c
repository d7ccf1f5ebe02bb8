#include "web/origin.h"

#include <string.h>

#include "web/field.h"

bool origin_is_foreign(const struct http_request *request) {
    struct slice origin = http_header(request, "origin"), host = http_header(request, "host");
    bool changes = strcmp(request->method, "GET") != 0 && strcmp(request->method, "OPTIONS") != 0;
    if (origin.data == NULL || (!changes && http_header(request, "upgrade").data == NULL))
        return false;
    /* A browser names the page's scheme, other WebSocket clients their own. */
    static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (slice_starts_with(origin, schemes[i]))
            return !slice_equal(slice_from(origin, strlen(schemes[i])), host);
    }
    return true;
}

/* Without its port and the brackets of an IPv6 address. */
static struct slice name_of(struct slice host) {
    size_t len = host.len;
    if (len > 0 && host.data[0] == '[') {
        const uint8_t *end = memchr(host.data, ']', len);
        return end == NULL ? SLICE_NONE : slice_of(host.data + 1, (size_t)(end - host.data) - 1);
    }
    const uint8_t *colon = len == 0 ? NULL : memchr(host.data, ':', len);
    return colon == NULL ? host : slice_of(host.data, (size_t)(colon - host.data));
}

bool origin_host_is_known(const struct config *config, const struct address *at, const struct http_request *request) {
    static const char local[] = ".localhost"; /* RFC 6761 §6.3 */
    struct slice host = http_header(request, "host"), name = name_of(host);
    struct address address;
    if (host.data == NULL || (config->http_host_count == 0 && !address_is_loopback(at)))
        return true; /* RFC 9110 §7.2: whoever sends none is no browser */
    for (size_t i = 0; i < config->http_host_count; i++) {
        if (field_is(name, config->http_hosts[i]))
            return true;
    }
    return field_is(name, local + 1) || address_parse_ip(name, &address) ||
           (name.len > sizeof local - 1 && field_is(slice_from(name, name.len - (sizeof local - 1)), local));
}
