/* For benches: many devices on DTLS behind one socket (process.h). Handshakes are mbedtls', several under way at once;
 * records are record.h's, from the device's side. */
#ifndef BERTH_TESTS_BENCH_DTLS_DEVICES_H
#define BERTH_TESTS_BENCH_DTLS_DEVICES_H

#include <mbedtls/ssl.h>
#include <string.h>

#include "common/base/random.h"
#include "common/coap/option.h"
#include "common/net/record.h"
#include "server/credential.h"
#include "server/key_file.h"
#include "tests/bench/process.h"

enum {
    SHAKING_MAX = 64,
    FLIGHT_MAX = 8,
    IDENTITY_TEXT = 32,
    SHAKE_AGAIN_MS = 2000,
    SHAKING_FAILURES_MAX = 1000,
    CREDENTIALS_WAITING = 8192
};

static const uint8_t secured_psk[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

struct secured_device {
    struct dtls_keys keys;
    bool has_session;
    uint8_t shaking;  /* its place there plus one; 0: none under way */
    uint16_t address; /* it sends from the address of this number (open_secured) */
    uint16_t mid;
    char location[16];
};

/* A handshake under way. */
struct shaking {
    struct secured_devices *devices;
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    size_t device;
    bool busy;
    uint64_t sent_ns;
    size_t inbox_count;
    struct {
        size_t len;
        uint8_t bytes[DATAGRAM_MAX];
    } inbox[FLIGHT_MAX];
};

typedef void message_fn(void *arg, size_t device, struct slice message);

struct secured_devices {
    bool plain; /* without DTLS, to compare */
    struct devices net;
    struct outbox out;
    size_t count;
    size_t first; /* number of the first one's identity */
    struct secured_device *all;
    struct shaking shaking[SHAKING_MAX];
    size_t shaking_count;
    uint64_t handshakes, failures;
    message_fn *take; /* application data for a device */
    void *arg;
    /* For whoever watches the wire; each may be NULL. */
    void (*sent)(void *arg, size_t device, struct slice datagram);
    void (*received)(void *arg, size_t device, struct slice datagram);
};

static inline void identity_of(size_t device, char text[IDENTITY_TEXT]) {
    snprintf(text, IDENTITY_TEXT, "urn:imei:%015zu", device);
}

/* ---- credentials ---- */

static inline void on_idle(uv_idle_t *idle) {
    (void)idle; /* the store's handles do not keep a loop alive */
}

static inline void on_credential_put(void *arg, enum store_result result) {
    if (result != STORE_OK)
        fail("a credential is not stored");
    (*(size_t *)arg)++;
}

/* Credentials of `count` devices in the data directory, before a server is started on it. */
static inline void make_credentials(const char *data, size_t count) {
    uv_loop_t loop;
    char error[512], identity[IDENTITY_TEXT];
    size_t done = 0;
    uv_idle_t idle;
    uv_loop_init(&loop);
    uv_idle_init(&loop, &idle);
    uv_idle_start(&idle, on_idle);
    struct store *store = store_open(&loop, &(struct store_options){.directory = data}, error, sizeof error);
    struct seal *seal = store == NULL ? NULL : key_file_unlock(store, data, NULL, error, sizeof error);
    struct credentials *credentials = seal == NULL ? NULL : credentials_new(store, seal, NULL, NULL);
    if (credentials == NULL)
        fail(error);
    for (size_t i = 0; i < count; i++) {
        identity_of(i, identity);
        struct credential credential = {.endpoint = slice_str(identity),
                                        .identity = slice_str(identity),
                                        .mode = CREDENTIAL_PSK,
                                        .services = CREDENTIAL_MANAGEMENT,
                                        .key = slice_of(secured_psk, sizeof secured_psk)};
        if (credentials_put(credentials, &credential, on_credential_put, &done) != CREDENTIAL_ACCEPTED)
            fail("a credential is refused");
        while (i + 1 - done > (i + 1 < count ? CREDENTIALS_WAITING : 0))
            uv_run(&loop, UV_RUN_ONCE);
    }
    store_close(store);
    uv_close((uv_handle_t *)&idle, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    credentials_free(credentials);
    seal_free(seal);
    uv_loop_close(&loop);
}

/* ---- handshakes ---- */

static inline int shaking_random(void *arg, unsigned char *bytes, size_t len) {
    (void)arg;
    random_bytes(bytes, len);
    return 0;
}

static inline size_t address_of(const struct secured_devices *devices, size_t device) {
    return device + devices->all[device].address * devices->count;
}

static inline void post_secured(struct secured_devices *devices, size_t device, struct slice datagram) {
    if (devices->sent != NULL)
        devices->sent(devices->arg, device, datagram);
    post(&devices->net, &devices->out, address_of(devices, device), datagram);
}

static inline int shaking_send(void *arg, const unsigned char *bytes, size_t len) {
    struct shaking *shaking = arg;
    shaking->sent_ns = now_ns(CLOCK_MONOTONIC);
    post_secured(shaking->devices, shaking->device, slice_of(bytes, len));
    return (int)len;
}

static inline int shaking_recv(void *arg, unsigned char *out, size_t len) {
    struct shaking *shaking = arg;
    if (shaking->inbox_count == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    size_t n = shaking->inbox[0].len < len ? shaking->inbox[0].len : len;
    memcpy(out, shaking->inbox[0].bytes, n);
    memmove(shaking->inbox, shaking->inbox + 1, --shaking->inbox_count * sizeof shaking->inbox[0]);
    return (int)n;
}

static inline void shaking_set_timer(void *arg, uint32_t intermediate_ms, uint32_t final_ms) {
    (void)arg, (void)intermediate_ms, (void)final_ms;
}

static inline int shaking_timer(void *arg) {
    (void)arg;
    return -1; /* what is late is begun again (shake) */
}

static inline void shaking_keys(void *arg, mbedtls_ssl_key_export_type type, const unsigned char *secret, size_t len,
                                const unsigned char client_random[32], const unsigned char server_random[32],
                                mbedtls_tls_prf_types prf) {
    struct shaking *shaking = arg;
    (void)type, (void)prf;
    if (len != 48 || !record_expand_keys(&shaking->devices->all[shaking->device].keys, cipher_suite_find(0xc0a8),
                                         secret, client_random, server_random, false))
        fail("no keys");
}

static inline void open_shaking(struct secured_devices *devices, struct shaking *shaking) {
    static const int suites[] = {0xc0a8, 0}; /* TLS_PSK_WITH_AES_128_CCM_8 */
    shaking->devices = devices;
    mbedtls_ssl_config_init(&shaking->config);
    mbedtls_ssl_init(&shaking->ssl);
    if (mbedtls_ssl_config_defaults(&shaking->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        fail("no configuration");
    mbedtls_ssl_conf_rng(&shaking->config, shaking_random, NULL);
    mbedtls_ssl_conf_ciphersuites(&shaking->config, suites);
    mbedtls_ssl_conf_session_tickets(&shaking->config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    mbedtls_ssl_conf_cid(&shaking->config, 0, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE);
    mbedtls_ssl_conf_psk(&shaking->config, secured_psk, sizeof secured_psk, (const unsigned char *)"-", 1);
    if (mbedtls_ssl_setup(&shaking->ssl, &shaking->config) != 0)
        fail("no client");
    mbedtls_ssl_set_bio(&shaking->ssl, shaking, shaking_send, shaking_recv, NULL);
    mbedtls_ssl_set_timer_cb(&shaking->ssl, shaking, shaking_set_timer, shaking_timer);
    mbedtls_ssl_set_export_keys_cb(&shaking->ssl, shaking_keys, shaking);
}

static inline void begin_again(struct shaking *shaking);

static inline void step_shaking(struct shaking *shaking) {
    struct secured_devices *devices = shaking->devices;
    struct secured_device *device = &devices->all[shaking->device];
    int result = mbedtls_ssl_handshake(&shaking->ssl), enabled;
    if (result == MBEDTLS_ERR_SSL_WANT_READ)
        return;
    if (result != 0) { /* an old flight came late, between those of a handshake that was begun anew */
        if (++devices->failures > SHAKING_FAILURES_MAX)
            fail("handshakes fail");
        begin_again(shaking);
        return;
    }
    uint8_t cid[MBEDTLS_SSL_CID_OUT_LEN_MAX];
    size_t cid_len = 0;
    if (mbedtls_ssl_get_peer_cid(&shaking->ssl, &enabled, cid, &cid_len) != 0 || cid_len > RECORD_CID_MAX)
        fail("a handshake fails");
    device->keys.epoch = 1;
    device->keys.next_number = 1; /* behind the Finished */
    device->keys.number_limit = UINT64_MAX;
    device->keys.max_content = RECORD_CONTENT_MAX;
    device->keys.peer_cid_len = (uint8_t)cid_len;
    memcpy(device->keys.peer_cid, cid, cid_len);
    device->has_session = true;
    device->shaking = 0;
    shaking->busy = false;
    devices->shaking_count--;
    devices->handshakes++;
}

static inline void begin_again(struct shaking *shaking) {
    struct secured_device *device = &shaking->devices->all[shaking->device];
    memset(&device->keys, 0, sizeof device->keys);
    device->has_session = false;
    shaking->inbox_count = 0;
    if (mbedtls_ssl_session_reset(&shaking->ssl) != 0 ||
        mbedtls_ssl_set_cid(&shaking->ssl, MBEDTLS_SSL_CID_ENABLED, NULL, 0) != 0)
        fail("no client");
    step_shaking(shaking);
}

/* Let a device make a new session. False: too many are under way. */
static inline bool shake(struct secured_devices *devices, size_t device) {
    char identity[IDENTITY_TEXT];
    if (devices->shaking_count == SHAKING_MAX)
        return false;
    struct shaking *shaking = devices->shaking;
    while (shaking->busy)
        shaking++;
    identity_of(device, identity);
    /* The identity alone changes: the place of its text is long enough. */
    mbedtls_ssl_config *config = &shaking->config;
    free(config->MBEDTLS_PRIVATE(psk_identity));
    config->MBEDTLS_PRIVATE(psk_identity) = (unsigned char *)strdup(identity);
    config->MBEDTLS_PRIVATE(psk_identity_len) = strlen(identity);
    shaking->busy = true;
    shaking->device = device;
    devices->all[device].shaking = (uint8_t)(1 + (shaking - devices->shaking));
    devices->shaking_count++;
    begin_again(shaking);
    return true;
}

/* Those that got no answer begin anew: the server was restarted, say. */
static inline void shake_late_ones(struct secured_devices *devices) {
    uint64_t now = now_ns(CLOCK_MONOTONIC);
    for (size_t i = 0; i < SHAKING_MAX; i++) {
        struct shaking *shaking = &devices->shaking[i];
        if (shaking->busy && now - shaking->sent_ns > (uint64_t)SHAKE_AGAIN_MS * 1000000)
            begin_again(shaking);
    }
}

/* ---- records ---- */

static inline void send_secured(struct secured_devices *devices, size_t device, struct slice message) {
    uint8_t bytes[DATAGRAM_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    if (devices->plain) {
        post_secured(devices, device, message);
        return;
    }
    if (record_seal(&devices->all[device].keys, RECORD_APPLICATION_DATA, message, &out) != RECORD_SEALED)
        fail("a record can't be sealed");
    post_secured(devices, device, buffer_slice(&out));
}

static inline void take_datagram(void *arg, size_t address, struct slice datagram) {
    struct secured_devices *devices = arg;
    size_t index = address % devices->count;
    struct secured_device *device = &devices->all[index];
    if (devices->received != NULL)
        devices->received(devices->arg, index, datagram);
    if (device->shaking > 0) {
        struct shaking *shaking = &devices->shaking[device->shaking - 1];
        if (shaking->inbox_count == FLIGHT_MAX)
            return;
        shaking->inbox[shaking->inbox_count].len = datagram.len;
        memcpy(shaking->inbox[shaking->inbox_count++].bytes, datagram.data, datagram.len);
        step_shaking(shaking);
        return;
    }
    if (devices->plain) {
        devices->take(devices->arg, index, datagram);
        return;
    }
    struct record record;
    size_t used;
    uint8_t bytes[DATAGRAM_MAX];
    memcpy(bytes, datagram.data, datagram.len);
    if (device->has_session && record_open(&device->keys, bytes, datagram.len, &record, &used) == RECORD_CONTENT &&
        record.type == RECORD_APPLICATION_DATA)
        devices->take(devices->arg, index, record.content);
}

/* Send what waits, and take what came; returns how many datagrams. */
static inline int turn_secured(struct secured_devices *devices) {
    flush(&devices->net, &devices->out);
    int got = collect(&devices->net, take_datagram, devices);
    flush(&devices->net, &devices->out);
    return got;
}

/* Device n has the address of number n, and n + k * count when it has moved. */
static inline void open_secured(struct secured_devices *devices, uint16_t port, size_t count, message_fn *take,
                                void *arg) {
    memset(devices, 0, sizeof *devices);
    devices->net = open_devices(port);
    devices->count = count;
    devices->take = take;
    devices->arg = arg;
    devices->all = calloc(count, sizeof *devices->all);
    if (devices->all == NULL)
        fail("memory");
    for (size_t i = 0; i < SHAKING_MAX; i++)
        open_shaking(devices, &devices->shaking[i]);
}

static inline void close_secured(struct secured_devices *devices) {
    for (size_t i = 0; i < SHAKING_MAX; i++) {
        mbedtls_ssl_free(&devices->shaking[i].ssl);
        mbedtls_ssl_config_free(&devices->shaking[i].config);
    }
    close(devices->net.fd);
    free(devices->all);
}

/* All devices get a session, no more than `per_s` begun a second. */
static inline void shake_all(struct secured_devices *devices, size_t per_s) {
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    for (size_t next = 0; next < devices->count || devices->shaking_count > 0;) {
        uint64_t allowed = (now_ns(CLOCK_MONOTONIC) - start) * per_s / 1000000000 + 1;
        while (next < devices->count && next < allowed && shake(devices, next))
            next++;
        if (turn_secured(devices) == 0)
            wait_readable(devices->net.fd, 1);
        shake_late_ones(devices);
    }
}

/* ---- messages ---- */

enum secured_request { SECURED_REGISTER, SECURED_UPDATE, SECURED_UPDATE_LIFETIME, SECURED_SEND };

/* A request of a device with this message ID, and that as its token. */
static inline struct slice encode_secured(const struct secured_devices *devices, size_t device,
                                          enum secured_request request, uint16_t mid, uint8_t bytes[DATAGRAM_MAX]) {
    const uint8_t token[2] = {(uint8_t)(mid >> 8), (uint8_t)mid};
    struct coap_message message;
    struct coap_uint format;
    char lifetime[16], ep[3 + IDENTITY_TEXT] = "ep=";
    identity_of(devices->first + device, ep + 3);
    coap_message_init(&message, COAP_CON, COAP_POST, mid, slice_of(token, sizeof token));
    if (request == SECURED_SEND) {
        coap_option_add(&message, COAP_URI_PATH, slice_str("dp"));
        coap_option_add_uint(&message, COAP_CONTENT_FORMAT, 110, &format);
        message.payload = slice_str("[{\"n\":\"/3/0/9\",\"v\":95}]");
    } else {
        coap_option_add(&message, COAP_URI_PATH, slice_str("rd"));
    }
    if (request == SECURED_REGISTER) {
        coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
        coap_option_add(&message, COAP_URI_QUERY, slice_str(ep));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lt=86400"));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lwm2m=1.1"));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("b=U"));
        message.payload = slice_str("</1/0>,</3/0>,</4/0>,</5/0>");
    } else if (request != SECURED_SEND) {
        coap_option_add(&message, COAP_URI_PATH, slice_str(devices->all[device].location));
    }
    snprintf(lifetime, sizeof lifetime, "lt=%u", 80000u + mid);
    if (request == SECURED_UPDATE_LIFETIME)
        coap_option_add(&message, COAP_URI_QUERY, slice_str(lifetime));
    struct buffer buffer = buffer_over(bytes, DATAGRAM_MAX);
    if (!coap_encode(&message, &buffer))
        fail("encode");
    return buffer_slice(&buffer);
}

/* Keep the location of a 2.01. */
static inline void keep_location(struct secured_device *device, const struct coap_message *answer) {
    if (answer->option_count < 2)
        fail("a 2.01 without location");
    struct slice id = answer->options[1].value;
    size_t len = id.len < sizeof device->location ? id.len : sizeof device->location - 1;
    memcpy(device->location, id.data, len);
    device->location[len] = '\0';
}

#endif
