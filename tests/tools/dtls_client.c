/* A DTLS client for tests, on mbedtls: what a test tells it over standard input it does, what happens it tells over
 * standard output. Both ways in frames: a letter, a length (16 bits, big endian), and so many bytes.
 *
 *   dtls_client --port N [--psk ID_HEX:KEY_HEX] [--cert FILE --key FILE] [--ca FILE] [--name HOST]
 *               [--suite NAME] [--cid HEX|none] [--timeout MS] [--small yes]
 *
 *   in:  H make a session      R resume the last one      D send data      B use another port
 *        C close_notify        N renegotiate
 *   out: H done: "suite CID resumed port", CID ("-": none) being the one it sends      F failed: why
 *        D data      C the server closed      P another port: its number
 *
 * --cid: its own connection ID; "" is an empty one, "none" (the default) does not offer any.
 * --small: hellos without what a session with a key has no use for. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/timing.h>
#include <mbedtls/version.h>

#include "common/base/buffer.h"
#include "common/base/text.h"

enum { FRAME_MAX = 16384 };

struct client {
    int socket;
    struct sockaddr_in server;
    const char *cid, *host;
    uint8_t cid_bytes[32];
    size_t cid_len;
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    mbedtls_timing_delay_context timer;
    mbedtls_x509_crt certificate, authorities;
    mbedtls_pk_context key;
    mbedtls_ssl_session session;
    bool has_session, is_open;
};

#if MBEDTLS_VERSION_MAJOR < 3
/* Mbed TLS 2, which interoperability tests compile it with: names that came later. */
#define MBEDTLS_PRIVATE(member)                                  member
#define mbedtls_pk_parse_keyfile(key, path, password, draw, arg) mbedtls_pk_parse_keyfile(key, path, password)
#define mbedtls_ssl_session_get_id(session)                      (&(const unsigned char *){(session)->id})
#define mbedtls_ssl_session_get_id_len(session)                  ((session)->id_len)
#endif

static int draw(void *arg, unsigned char *bytes, size_t len) {
    (void)arg;
    return getrandom(bytes, len, 0) == (ssize_t)len ? 0 : -1;
}

static void fail(const char *what) {
    fprintf(stderr, "dtls_client: %s\n", what);
    exit(2);
}

/* ---- frames ---- */

static void tell(char kind, const void *bytes, size_t len) {
    uint8_t head[3] = {(uint8_t)kind, (uint8_t)(len >> 8), (uint8_t)len};
    fwrite(head, 1, sizeof head, stdout);
    if (len > 0)
        fwrite(bytes, 1, len, stdout);
    fflush(stdout);
}

static void tell_text(char kind, const char *text) {
    tell(kind, text, strlen(text));
}

static void tell_failure(int result) {
    char text[200];
    mbedtls_strerror(result, text, sizeof text);
    tell_text('F', text);
}

static bool read_all(void *bytes, size_t len) {
    size_t got = 0;
    while (got < len) {
        ssize_t now = read(STDIN_FILENO, (uint8_t *)bytes + got, len - got);
        if (now <= 0)
            return false;
        got += (size_t)now;
    }
    return true;
}

/* ---- the socket ---- */

static int send_datagram(void *arg, const unsigned char *bytes, size_t len) {
    const struct client *client = arg;
    ssize_t sent = send(client->socket, bytes, len, 0);
    return sent < 0 ? (int)len : (int)sent; /* a datagram may be lost */
}

static int receive_datagram(void *arg, unsigned char *bytes, size_t len) {
    const struct client *client = arg;
    ssize_t got = recv(client->socket, bytes, len, MSG_DONTWAIT);
    return got < 0 ? MBEDTLS_ERR_SSL_WANT_READ : (int)got;
}

static unsigned open_socket(struct client *client) {
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    int before = client->socket;
    client->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (client->socket < 0 || connect(client->socket, (struct sockaddr *)&client->server, sizeof client->server) != 0 ||
        getsockname(client->socket, (struct sockaddr *)&own, &len) != 0)
        fail("no socket");
    if (before >= 0)
        close(before); /* after the other was made, so that the port differs */
    return ntohs(own.sin_port);
}

static unsigned port_of(const struct client *client) {
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    return getsockname(client->socket, (struct sockaddr *)&own, &len) == 0 ? ntohs(own.sin_port) : 0;
}

/* ---- sessions ---- */

/* Run the handshake under way to its end. */
static int run_handshake(struct client *client) {
    int result;
    while ((result = mbedtls_ssl_handshake(&client->ssl)) == MBEDTLS_ERR_SSL_WANT_READ ||
           result == MBEDTLS_ERR_SSL_WANT_WRITE) {
        struct pollfd poller = {.fd = client->socket, .events = POLLIN};
        poll(&poller, 1, 10);
    }
    return result;
}

static void tell_session(struct client *client, bool resumed) {
    uint8_t cid[MBEDTLS_SSL_CID_OUT_LEN_MAX], hex_memory[2 * sizeof cid];
    struct buffer hex = buffer_over(hex_memory, sizeof hex_memory);
    size_t cid_len = 0;
    int enabled = 0;
    char text[400];
    if (mbedtls_ssl_get_peer_cid(&client->ssl, &enabled, cid, &cid_len) == 0 && enabled)
        text_put_hex(&hex, slice_of(cid, cid_len));
    snprintf(text, sizeof text, "%s %.*s %d %u", mbedtls_ssl_get_ciphersuite(&client->ssl),
             hex.len == 0 ? 1 : (int)hex.len, hex.len == 0 ? "-" : (const char *)hex.data, resumed, port_of(client));
    tell_text('H', text);
}

static void start(struct client *client, bool resume) {
    uint8_t master_id[32];
    size_t id_len = 0;
    mbedtls_ssl_session_reset(&client->ssl);
    client->is_open = false;
    if (client->cid != NULL)
        mbedtls_ssl_set_cid(&client->ssl, MBEDTLS_SSL_CID_ENABLED, client->cid_bytes, client->cid_len);
    if (client->host != NULL)
        mbedtls_ssl_set_hostname(&client->ssl, client->host);
    if (resume && client->has_session) {
        mbedtls_ssl_set_session(&client->ssl, &client->session);
        id_len = mbedtls_ssl_session_get_id_len(&client->session);
        memcpy(master_id, *mbedtls_ssl_session_get_id(&client->session), id_len);
    }
    int result = run_handshake(client);
    if (result != 0) {
        tell_failure(result);
        return;
    }
    client->is_open = true;
    mbedtls_ssl_session_free(&client->session);
    mbedtls_ssl_session_init(&client->session);
    client->has_session = mbedtls_ssl_get_session(&client->ssl, &client->session) == 0;
    bool resumed = id_len > 0 && client->has_session && mbedtls_ssl_session_get_id_len(&client->session) == id_len &&
                   memcmp(master_id, *mbedtls_ssl_session_get_id(&client->session), id_len) == 0;
    tell_session(client, resumed);
}

static void renegotiate(struct client *client) {
    int result = mbedtls_ssl_renegotiate(&client->ssl);
    while (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) {
        struct pollfd poller = {.fd = client->socket, .events = POLLIN};
        poll(&poller, 1, 10);
        result = mbedtls_ssl_renegotiate(&client->ssl);
    }
    if (result == 0)
        tell_session(client, false);
    else
        tell_failure(result);
}

static void receive(struct client *client) {
    uint8_t bytes[FRAME_MAX];
    if (!client->is_open) { /* nobody asked */
        recv(client->socket, bytes, sizeof bytes, MSG_DONTWAIT);
        return;
    }
    for (;;) {
        int result = mbedtls_ssl_read(&client->ssl, bytes, sizeof bytes);
        if (result > 0) {
            tell('D', bytes, (size_t)result);
            continue;
        }
        if (result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
            tell('C', NULL, 0);
        else if (result != MBEDTLS_ERR_SSL_WANT_READ && result != 0)
            tell_failure(result);
        return;
    }
}

/* False at the end of input. */
static bool obey(struct client *client) {
    uint8_t head[3], bytes[FRAME_MAX];
    char text[16];
    if (!read_all(head, sizeof head))
        return false;
    size_t len = (size_t)head[1] << 8 | head[2];
    if (len > sizeof bytes || !read_all(bytes, len))
        return false;
    switch (head[0]) {
    case 'H':
    case 'R':
        start(client, head[0] == 'R');
        break;
    case 'N':
        renegotiate(client);
        break;
    case 'D':
        mbedtls_ssl_write(&client->ssl, bytes, len);
        break;
    case 'B':
        snprintf(text, sizeof text, "%u", open_socket(client));
        tell_text('P', text);
        break;
    case 'C':
        mbedtls_ssl_close_notify(&client->ssl);
        break;
    default:
        fail("no such command");
    }
    return true;
}

/* ---- setting up ---- */

static void set_psk(struct client *client, const char *text) {
    uint8_t identity_memory[128], key_memory[64];
    struct buffer identity = buffer_over(identity_memory, sizeof identity_memory);
    struct buffer key = buffer_over(key_memory, sizeof key_memory);
    const char *colon = strchr(text, ':');
    if (colon == NULL || !text_get_hex(slice_of(text, (size_t)(colon - text)), &identity) ||
        !text_get_hex(slice_str(colon + 1), &key) ||
        mbedtls_ssl_conf_psk(&client->config, key.data, key.len < 32 ? key.len : 32, identity.data, identity.len) != 0)
        fail("--psk");
    /* mbedtls_ssl_conf_psk takes no more than 48 bytes, and RFC 7925 §4.2 wants 64. */
    free(client->config.MBEDTLS_PRIVATE(psk));
    client->config.MBEDTLS_PRIVATE(psk) = malloc(sizeof key_memory);
    memcpy(client->config.MBEDTLS_PRIVATE(psk), key.data, key.len);
    client->config.MBEDTLS_PRIVATE(psk_len) = key.len;
}

static void set_suite(struct client *client, const char *name) {
    static int suites[2];
    suites[0] = mbedtls_ssl_get_ciphersuite_id(name);
    if (suites[0] == 0)
        fail("--suite");
    mbedtls_ssl_conf_ciphersuites(&client->config, suites);
}

static void set_cid(struct client *client, const char *text) {
    struct buffer cid = buffer_over(client->cid_bytes, sizeof client->cid_bytes);
    if (strcmp(text, "none") == 0)
        return;
    if (!text_get_hex(slice_str(text), &cid) ||
        mbedtls_ssl_conf_cid(&client->config, cid.len, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE) != 0)
        fail("--cid");
    client->cid = text;
    client->cid_len = cid.len;
}

static void set_small(struct client *client) {
#if MBEDTLS_VERSION_MAJOR < 3
    static const int hashes[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_NONE};
    mbedtls_ssl_conf_sig_hashes(&client->config, hashes);
#else
    static const uint16_t algorithms[] = {MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_NONE};
    mbedtls_ssl_conf_sig_algs(&client->config, algorithms);
#endif
    mbedtls_ssl_conf_encrypt_then_mac(&client->config, MBEDTLS_SSL_ETM_DISABLED);
}

static void set_option(struct client *client, const char *name, const char *value) {
    if (strcmp(name, "--port") == 0)
        client->server.sin_port = htons((uint16_t)atoi(value));
    else if (strcmp(name, "--psk") == 0)
        set_psk(client, value);
    else if (strcmp(name, "--suite") == 0)
        set_suite(client, value);
    else if (strcmp(name, "--cid") == 0)
        set_cid(client, value);
    else if (strcmp(name, "--small") == 0)
        set_small(client);
    else if (strcmp(name, "--name") == 0)
        client->host = value;
    else if (strcmp(name, "--timeout") == 0)
        mbedtls_ssl_conf_handshake_timeout(&client->config, (uint32_t)atoi(value) / 4, (uint32_t)atoi(value));
    else if (strcmp(name, "--ca") == 0 && mbedtls_x509_crt_parse_file(&client->authorities, value) == 0)
        mbedtls_ssl_conf_ca_chain(&client->config, &client->authorities, NULL);
    else if (strcmp(name, "--cert") == 0 && mbedtls_x509_crt_parse_file(&client->certificate, value) == 0)
        return;
    else if (strcmp(name, "--key") != 0 || mbedtls_pk_parse_keyfile(&client->key, value, NULL, draw, NULL) != 0)
        fail(name);
}

int main(int argc, char **argv) {
    static struct client client = {.socket = -1};
    client.server = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    mbedtls_ssl_config_init(&client.config);
    mbedtls_ssl_init(&client.ssl);
    mbedtls_x509_crt_init(&client.certificate);
    mbedtls_x509_crt_init(&client.authorities);
    mbedtls_pk_init(&client.key);
    mbedtls_ssl_session_init(&client.session);
    if (mbedtls_ssl_config_defaults(&client.config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        fail("mbedtls");
    mbedtls_ssl_conf_rng(&client.config, draw, NULL);
    mbedtls_ssl_conf_authmode(&client.config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_handshake_timeout(&client.config, 1000, 8000);
    mbedtls_ssl_conf_renegotiation(&client.config, MBEDTLS_SSL_RENEGOTIATION_ENABLED);
#ifdef MBEDTLS_SSL_SESSION_TICKETS
    mbedtls_ssl_conf_session_tickets(&client.config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
#endif
    for (int i = 1; i + 1 < argc; i += 2)
        set_option(&client, argv[i], argv[i + 1]);
    if (mbedtls_pk_get_type(&client.key) != MBEDTLS_PK_NONE)
        mbedtls_ssl_conf_own_cert(&client.config, &client.certificate, &client.key);
    if (client.authorities.version != 0)
        mbedtls_ssl_conf_authmode(&client.config, MBEDTLS_SSL_VERIFY_REQUIRED);
    if (mbedtls_ssl_setup(&client.ssl, &client.config) != 0)
        fail("mbedtls");
    mbedtls_ssl_set_bio(&client.ssl, &client, send_datagram, receive_datagram, NULL);
    mbedtls_ssl_set_timer_cb(&client.ssl, &client.timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
    open_socket(&client);
    for (;;) {
        struct pollfd pollers[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = client.socket, .events = POLLIN}};
        poll(pollers, 2, -1);
        if (pollers[1].revents != 0)
            receive(&client);
        if (pollers[0].revents != 0 && !obey(&client))
            break;
    }
    mbedtls_ssl_free(&client.ssl);
    mbedtls_ssl_config_free(&client.config);
    mbedtls_ssl_session_free(&client.session);
    mbedtls_x509_crt_free(&client.certificate);
    mbedtls_x509_crt_free(&client.authorities);
    mbedtls_pk_free(&client.key);
    return 0;
}
