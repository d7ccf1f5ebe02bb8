#include "client/destination.h"

#include "common/coap/option.h"
#include "common/lwm2m/path.h"

static bool fail(const char **error, const char *what) {
    *error = what;
    return false;
}

bool destination_set(struct destination *destination, struct slice uri, uint16_t security, const char **error) {
    if (uri.len > DESTINATION_URI_MAX)
        return fail(error, "must have 255 bytes at most");
    if (uri.len > 0 && memchr(uri.data, '\0', uri.len) != NULL)
        return fail(error, "must have no NUL in it");
    if (uri.len > 0)
        memcpy(destination->text, uri.data, uri.len);
    destination->text[uri.len] = '\0';
    destination->security = security;
    destination->server_name[0] = '\0';
    if (!uri_parse(slice_str(destination->text), &destination->uri, error))
        return false;
    destination->transport = transport_find(destination->uri.scheme);
    if (destination->transport == NULL)
        return fail(error, "must begin with coap://, coaps://, coap+tcp:// or coaps+tcp://");
    return destination->uri.host.len > 0 || fail(error, "must name a host");
}

/* Every part between separators is an option of its own. */
static void add_parts(struct coap_message *message, uint16_t option, struct slice text, char separator) {
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, separator, text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data);
        coap_option_add(message, option, slice_of(text.data, len));
        text = slice_from(text, len + 1);
    }
}

void destination_add_path(const struct destination *destination, struct coap_message *message, const char *name) {
    add_parts(message, COAP_URI_PATH, destination->uri.path, '/');
    coap_option_add(message, COAP_URI_PATH, slice_str(name));
}

void destination_add_query(const struct destination *destination, struct coap_message *message) {
    add_parts(message, COAP_URI_QUERY, destination->uri.query, '&');
}
