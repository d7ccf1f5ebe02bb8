/* The whole way of a datagram into a DTLS client. The first byte of the input picks what the client offers, and whether
 * it is in a handshake or in a session that was kept. Then comes a row of pieces, each behind a length in two bytes and a
 * byte that says how it goes in: as it is; with the header of one of the session's records put in front; or after some
 * time. Without the key no handshake succeeds, no message comes out, no session ends, and what is sent stays small. */
#include <stdlib.h>

#include "common/net/dtls_client.h"
#include "common/net/dtls_layer.h"

enum { IN_SESSION = 1, HAS_CID = 2, IS_DRAFT = 4, PATIENCE = 1 << 16 };

static struct clock clock_;
static struct timer_wheel wheel;
static struct listener listener = {.transport = LINK_DTLS, .address = {.family = ADDRESS_IPV4, .port = 1}};
static const struct address server = {.family = ADDRESS_IPV4, .port = 5684, .ip = {192, 0, 2, 1}};
static size_t sent;

static void require(bool condition) {
    if (!condition)
        abort();
}

static int on_send(void *arg, struct slice datagram) {
    (void)arg;
    sent += datagram.len;
    return 0;
}

static void on_receive(void *arg, struct link *link, struct slice message) {
    (void)arg, (void)link, (void)message;
    require(false);
}

static void on_established(void *arg) {
    (void)arg;
    require(false);
}

static void on_closed(void *arg, enum dtls_end end) {
    (void)arg, (void)end;
    require(false);
}

/* A session that the server knows by the CID "cid-8-by", as dtls_client.c keeps it; ours is "me". */
static void restore(struct dtls_client *client, bool draft) {
    uint8_t bytes[DTLS_CLIENT_SECRET_MAX];
    struct buffer secret = buffer_over(bytes, sizeof bytes);
    static const uint8_t keys[32] = {1, 2, 3};
    buffer_put_u16(&secret, 0);
    buffer_put_u8(&secret, 1);
    buffer_put_u8(&secret, draft ? 1 : 0);
    buffer_put(&secret, "\xc0\xa8\0\1\x04\0\0\0\0\0\0\0\0\1", 14);
    buffer_put_u8(&secret, 2);
    buffer_put_str(&secret, "me");
    buffer_put_u8(&secret, 8);
    buffer_put_str(&secret, "cid-8-by");
    for (int i = 0; i < 2; i++) {
        buffer_put_u8(&secret, 16);
        buffer_put(&secret, keys, 16);
    }
    for (int i = 0; i < 2; i++) {
        buffer_put_u8(&secret, 4);
        buffer_put(&secret, keys, 4);
    }
    buffer_put_u8(&secret, LINK_NO_SECURITY);
    buffer_put_u16(&secret, 0);
    struct dtls_client_state state = {.secret = buffer_slice(&secret), .number_limit = 9};
    require(dtls_client_restore(client, &state));
}

static void put_in(struct dtls_client *client, uint8_t how, struct slice piece) {
    static uint8_t bytes[2048];
    struct buffer datagram = buffer_over(bytes, sizeof bytes);
    if ((how & 1) != 0) { /* a record of the session */
        buffer_put(&datagram, "\x19\xfe\xfd\0\1\0\0\0\0\0", 10);
        buffer_put_u8(&datagram, how);
        buffer_put_str(&datagram, "me");
        buffer_put_u16(&datagram, (uint16_t)piece.len);
    }
    buffer_put_slice(&datagram, piece);
    if (!datagram.overflow)
        dtls_client_receive(client, bytes, datagram.len);
    if ((how & 8) != 0) {
        clock_leap(&clock_, (uint64_t)(how >> 4) * 500);
        timer_wheel_advance(&wheel, clock_now_ms(&clock_));
    }
}

static struct dtls_client *make_client(uint8_t choice) {
    struct dtls_client_handlers handlers = {
        .send = on_send, .receive = on_receive, .established = on_established, .closed = on_closed};
    struct dtls_client_params params;
    const char *problem;
    bool draft = (choice & IS_DRAFT) != 0 && dtls_layer_draft() != NULL;
    dtls_client_params_default(&params);
    params.identity = slice_str("dev1");
    params.key = slice_str("sixteen byte key");
    params.cid = draft ? DTLS_CLIENT_CID_DRAFT : (choice & HAS_CID) != 0 ? DTLS_CLIENT_CID : DTLS_CLIENT_NO_CID;
    struct dtls_client *client =
        dtls_client_new(&clock_, &wheel, &listener, &server, &params, &handlers, NULL, &problem);
    require(client != NULL);
    if ((choice & IN_SESSION) != 0)
        restore(client, draft);
    return client;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool begun;
    struct dtls_client_description description;
    if (size == 0)
        return 0;
    if (!begun) {
        clock_init_still(&clock_, 1700000000000);
        timer_wheel_init(&wheel, clock_now_ms(&clock_), NULL);
        begun = true;
    }
    sent = 0;
    struct dtls_client *client = make_client(data[0]);
    require(link_send(dtls_client_link(client), slice_str("ping")) == 0);
    for (size_t at = 1; at + 3 <= size;) {
        size_t len = (size_t)(data[at] << 8 | data[at + 1]) % 1500;
        uint8_t how = data[at + 2];
        at += 3;
        len = len < size - at ? len : size - at;
        put_in(client, how, slice_of(data + at, len));
        at += len;
    }
    dtls_client_describe(client, &description);
    require(description.established == ((data[0] & IN_SESSION) != 0));
    require(sent <= PATIENCE + 64 * size);
    dtls_client_free(client);
    require(wheel.count == 0);
    return 0;
}
