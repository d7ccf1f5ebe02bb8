#include "server/developer.h"

enum { BYTES_A_LINE = 12 };

/* A listener with DTLS goes before one with TLS, which clients built for it are told about with a URI of their own. */
static const struct listener *bootstrap_listener(const struct server *server) {
    for (size_t i = 0; server->config->bootstrap != BOOTSTRAP_OFF && i < server->config->listener_count; i++) {
        const struct listener *l = &server->listeners[i];
        if (l->transport == LINK_DTLS && l->role != LISTENER_MANAGEMENT)
            return l;
    }
    return NULL;
}

static void put_host(const struct server *server, const struct listener *listener, struct slice host,
                     struct buffer *out) {
    static const uint8_t any[16];
    struct address ip;
    if (host.len == 0 && server->config->bootstrap_host != NULL)
        host = slice_str(server->config->bootstrap_host);
    if (host.len > 0 && !address_parse_ip(host, &ip)) {
        buffer_put_slice(out, host);
        return;
    }
    if (host.len == 0)
        ip = listener->address;
    if (memcmp(ip.ip, any, sizeof any) == 0) {
        buffer_put_str(out, "127.0.0.1");
        return;
    }
    ip.scope = 0;
    if (ip.family == ADDRESS_IPV6)
        buffer_put_u8(out, '[');
    address_put_ip(out, &ip);
    if (ip.family == ADDRESS_IPV6)
        buffer_put_u8(out, ']');
}

bool developer_put_uri(const struct server *server, struct slice host, struct slice account, struct buffer *out) {
    const struct listener *listener = bootstrap_listener(server);
    if (listener == NULL)
        return false;
    buffer_put_str(out, "coaps://");
    put_host(server, listener, host, out);
    buffer_put_u8(out, ':');
    buffer_put_decimal(out, listener->address.port);
    buffer_put_str(out, "?aid=");
    buffer_put_slice(out, account);
    return !out->overflow;
}

/* What could end the literal, or means something in it, is written in octal; three digits end by themselves. */
static void put_string(struct buffer *out, const char *name, struct slice value) {
    buffer_printf(out, "const char MBED_CLOUD_DEV_%s[] = \"", name);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '?')
            buffer_put_u8(out, c);
        else
            buffer_printf(out, "\\%03o", c);
    }
    buffer_put_str(out, "\";\n");
}

static void put_bytes(struct buffer *out, const char *name, struct slice der) {
    buffer_printf(out, "const uint8_t MBED_CLOUD_DEV_%s[] = {", name);
    for (size_t i = 0; i < der.len; i++)
        buffer_printf(out, "%s0x%02x,", i % BYTES_A_LINE == 0 ? "\n    " : " ", der.data[i]);
    buffer_printf(out, "\n};\nconst uint32_t MBED_CLOUD_DEV_%s_SIZE = sizeof MBED_CLOUD_DEV_%s;\n\n", name, name);
}

bool developer_put_source(const struct developer_facts *facts, struct buffer *out) {
    static const struct {
        const char *name, *value;
    } texts[] = {{"MANUFACTURER", "Berth"},
                 {"MODEL_NUMBER", "developer"},
                 {"SERIAL_NUMBER", "0"},
                 {"DEVICE_TYPE", "developer"},
                 {"HARDWARE_VERSION", "0"}};
    buffer_put_str(out, "/* A developer's credentials: for tests only, the private key is in here. */\n"
                        "#include <stdint.h>\n\n");
    put_string(out, "BOOTSTRAP_ENDPOINT_NAME", facts->endpoint);
    put_string(out, "ACCOUNT_ID", facts->account);
    put_string(out, "BOOTSTRAP_SERVER_URI", facts->uri);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        put_string(out, texts[i].name, slice_str(texts[i].value));
    buffer_put_str(out, "const uint32_t MBED_CLOUD_DEV_MEMORY_TOTAL_KB = 0;\n\n");
    put_bytes(out, "BOOTSTRAP_DEVICE_CERTIFICATE", facts->certificate);
    put_bytes(out, "BOOTSTRAP_SERVER_ROOT_CA_CERTIFICATE", facts->authority);
    put_bytes(out, "BOOTSTRAP_DEVICE_PRIVATE_KEY", facts->key);
    return !out->overflow;
}
