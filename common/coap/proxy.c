#include "common/coap/peer.h"

/* `coap://authority/path?query` in parts, none decoded. */
struct coap_uri {
    struct slice host, path, query;
    bool has_query;
    uint16_t port;
};

static size_t find_any(struct slice text, const char *marks) {
    size_t i = 0;
    while (i < text.len && strchr(marks, text.data[i]) == NULL)
        i++;
    return i;
}

static bool split_authority(struct slice authority, struct coap_uri *uri) {
    size_t host_len;
    if (authority.len > 0 && authority.data[0] == '[') {
        host_len = find_any(authority, "]");
        if (host_len == authority.len)
            return false;
        uri->host = slice_of(authority.data + 1, host_len - 1);
        host_len++;
    } else {
        host_len = find_any(authority, ":");
        uri->host = slice_of(authority.data, host_len);
    }
    if (host_len == authority.len)
        return true;
    uint64_t port;
    if (authority.data[host_len] != ':' || !slice_to_u64(slice_from(authority, host_len + 1), 65535, &port))
        return false;
    uri->port = (uint16_t)port;
    return true;
}

static bool split_uri(struct slice text, struct coap_uri *uri) {
    static const char scheme[] = "coap://";
    *uri = (struct coap_uri){.port = 5683};
    if (!slice_starts_with(text, scheme))
        return false;
    struct slice rest = slice_from(text, sizeof scheme - 1);
    size_t authority_len = find_any(rest, "/?");
    if (!split_authority(slice_of(rest.data, authority_len), uri))
        return false;
    rest = slice_from(rest, authority_len);
    size_t path_len = find_any(rest, "?");
    uri->path = slice_of(rest.data, path_len);
    uri->has_query = path_len < rest.len;
    uri->query = slice_from(rest, path_len + 1);
    return true;
}

static int hex(uint8_t c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* One segment or query item, its %xx undone, as an option. */
static bool add_decoded(struct coap_message *request, uint16_t number, struct slice text, struct buffer *scratch) {
    size_t start = scratch->len;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '%') {
            if (text.len - i < 3 || hex(text.data[i + 1]) < 0 || hex(text.data[i + 2]) < 0)
                return false;
            c = (uint8_t)(hex(text.data[i + 1]) << 4 | hex(text.data[i + 2]));
            i += 2;
        }
        buffer_put_u8(scratch, c);
    }
    return !scratch->overflow && scratch->len - start <= 255 &&
           coap_option_add(request, number, slice_of(scratch->data + start, scratch->len - start));
}

static bool add_parts(struct coap_message *request, uint16_t number, struct slice text, const char *separator,
                      struct buffer *scratch) {
    for (;;) {
        size_t len = find_any(text, separator);
        if (!add_decoded(request, number, slice_of(text.data, len), scratch))
            return false;
        if (len == text.len)
            return true;
        text = slice_from(text, len + 1);
    }
}

static bool names_us(struct slice host, uint16_t port, const struct link *link) {
    struct address address;
    if (!address_parse_ip(host, &address) || link->listener == NULL)
        return false;
    return address.family == link->local.family && memcmp(address.ip, link->local.ip, sizeof address.ip) == 0 &&
           port == link->listener->address.port;
}

static bool resolve_uri(struct coap_message *request, struct slice text, const struct link *link,
                        uint8_t scratch[PROXY_SCRATCH]) {
    struct coap_uri uri;
    struct buffer bytes = buffer_over(scratch, PROXY_SCRATCH);
    if (!split_uri(text, &uri) || !names_us(uri.host, uri.port, link))
        return false;
    /* §5.10.2: Proxy-Uri takes precedence over all of these. */
    static const uint16_t replaced[] = {COAP_PROXY_URI, COAP_PROXY_SCHEME, COAP_URI_HOST,
                                        COAP_URI_PORT,  COAP_URI_PATH,     COAP_URI_QUERY};
    for (size_t i = 0; i < sizeof replaced / sizeof replaced[0]; i++)
        coap_option_remove(request, replaced[i]);
    if (uri.path.len > 1 && !add_parts(request, COAP_URI_PATH, slice_from(uri.path, 1), "/", &bytes))
        return false;
    return !uri.has_query || add_parts(request, COAP_URI_QUERY, uri.query, "&", &bytes);
}

static bool resolve_scheme(struct coap_message *request, struct slice scheme, const struct link *link) {
    uint32_t port = link->listener == NULL ? 0 : link->listener->address.port;
    const struct coap_option *host = coap_option_find(request, COAP_URI_HOST);
    coap_option_uint(request, COAP_URI_PORT, &port);
    if (!slice_is(scheme, "coap") || link->listener == NULL || port != link->listener->address.port ||
        (host != NULL && !names_us(host->value, (uint16_t)port, link)))
        return false;
    coap_option_remove(request, COAP_PROXY_SCHEME);
    return true;
}

bool proxy_resolve(struct coap_message *request, const struct link *link, uint8_t scratch[PROXY_SCRATCH]) {
    const struct coap_option *uri = coap_option_find(request, COAP_PROXY_URI);
    if (uri != NULL)
        return resolve_uri(request, uri->value, link, scratch);
    const struct coap_option *scheme = coap_option_find(request, COAP_PROXY_SCHEME);
    return scheme == NULL || resolve_scheme(request, scheme->value, link);
}
