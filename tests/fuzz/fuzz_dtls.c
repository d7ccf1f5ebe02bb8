/* The whole way of a datagram into a DTLS server. The input is a row of pieces, each behind a length in two bytes and a
 * byte that says how it goes in: as it is, from one of two addresses; with the CID or the header of a living session put
 * in front; or after some time. No message may ever come out of it, the sessions that were there stay, and what is sent
 * for it stays small. */
#include <stdlib.h>

#include "common/net/dtls.h"
#include "common/net/record.h"

enum { ROWS = 2 };

static struct clock clock_;
static struct timer_wheel wheel;
static uv_loop_t loop;
static struct listener listener = {.transport = LINK_DTLS, .address = {.family = ADDRESS_IPV4, .port = 5684}};
static const struct address peers[2] = {{.family = ADDRESS_IPV4, .port = 1, .ip = {192, 0, 2, 1}},
                                        {.family = ADDRESS_IPV4, .port = 2, .ip = {192, 0, 2, 2}}};
static size_t sent;

static void require(bool condition) {
    if (!condition)
        abort();
}

static int on_send(void *arg, struct listener *to, const struct address *peer, const struct address *local,
                   struct slice datagram) {
    (void)arg, (void)to, (void)peer, (void)local;
    sent += datagram.len;
    return 0;
}

static void on_receive(void *arg, struct link *link, struct slice message) {
    (void)arg, (void)link, (void)message;
    require(false);
}

static bool on_psk(void *arg, const struct listener *from, struct slice identity, struct buffer *key) {
    (void)arg, (void)from;
    buffer_put_str(key, "sixteen byte key");
    return identity.len > 0;
}

static void on_closed(void *arg, struct link *link, enum dtls_end end, struct link *successor) {
    (void)arg, (void)link, (void)end, (void)successor;
    require(false);
}

/* A session with a CID, or without one, as dtls_session.c writes rows. */
static void restore(struct dtls *dtls, uint64_t id, bool has_cid) {
    uint8_t bytes[DTLS_SESSION_SECRET_MAX];
    struct buffer secret = buffer_over(bytes, sizeof bytes);
    static const uint8_t keys[32] = {1, 2, 3};
    buffer_put(&secret, "\1\0\xc0\xa8\0\1\x04\0\0\0\0\0\0\0\0\1", 16);
    buffer_put_u8(&secret, has_cid ? 8 : 0);
    buffer_put(&secret, "cid-8-by", has_cid ? 8 : 0);
    buffer_put_u8(&secret, 0);
    for (int i = 0; i < 2; i++) {
        buffer_put_u8(&secret, 16);
        buffer_put(&secret, keys, 16);
    }
    for (int i = 0; i < 2; i++) {
        buffer_put_u8(&secret, 4);
        buffer_put(&secret, keys, 4);
    }
    buffer_put_u8(&secret, LINK_PSK);
    buffer_put(&secret, "\0\4dev1", 6);
    struct dtls_session_row row = {
        .id = id, .peer = peers[0], .local = listener.address, .used_ms = clock_now_ms(&clock_)};
    row.secret = buffer_slice(&secret);
    require(dtls_restore(dtls, &listener, &row) != NULL);
}

static void put_in(struct dtls *dtls, uint8_t how, struct slice piece) {
    static uint8_t bytes[2048];
    struct buffer datagram = buffer_over(bytes, sizeof bytes);
    if ((how & 6) == 2) { /* a record of the session with CID */
        buffer_put(&datagram, "\x19\xfe\xfd\0\1\0\0\0\0\0", 10);
        buffer_put_u8(&datagram, how);
        buffer_put_str(&datagram, "cid-8-by");
        buffer_put_u16(&datagram, (uint16_t)piece.len);
    } else if ((how & 6) == 4) { /* of the one without */
        buffer_put(&datagram, "\x17\xfe\xfd\0\1\0\0\0\0\0", 10);
        buffer_put_u8(&datagram, how);
        buffer_put_u16(&datagram, (uint16_t)piece.len);
    }
    buffer_put_slice(&datagram, piece);
    if (!datagram.overflow)
        dtls_receive(dtls, &listener, &peers[how & 1], &listener.address, bytes, datagram.len);
    if ((how & 8) != 0) {
        clock_leap(&clock_, (uint64_t)(how >> 4) * 500);
        timer_wheel_advance(&wheel, clock_now_ms(&clock_));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct dtls_params params;
    struct dtls_handlers handlers = {.send = on_send, .receive = on_receive, .psk = on_psk, .closed = on_closed};
    static bool begun;
    if (!begun) {
        uv_loop_init(&loop);
        clock_init_still(&clock_, 1700000000000);
        timer_wheel_init(&wheel, clock_now_ms(&clock_), NULL);
        begun = true;
    }
    dtls_params_default(&params);
    params.cookie = size > 0 && (data[0] & 1) != 0 ? DTLS_COOKIE_ALWAYS : DTLS_COOKIE_NEVER;
    struct dtls *dtls = dtls_new(&loop, &clock_, &wheel, &params, &handlers, NULL);
    require(dtls != NULL);
    restore(dtls, 1, true);
    restore(dtls, 2, false);
    sent = 0;
    for (size_t at = 1; at + 3 <= size;) {
        size_t len = (size_t)(data[at] << 8 | data[at + 1]) % 1500;
        uint8_t how = data[at + 2];
        at += 3;
        len = len < size - at ? len : size - at;
        put_in(dtls, how, slice_of(data + at, len));
        at += len;
        while (uv_loop_alive(&loop))
            uv_run(&loop, UV_RUN_ONCE);
    }
    require(dtls_counters(dtls).sessions == ROWS);
    require(dtls_find(dtls, 1) != NULL && dtls_find(dtls, 2) != NULL);
    require(sent <= 64 * size);
    dtls_close(dtls);
    uv_run(&loop, UV_RUN_DEFAULT);
    require(wheel.count == 0);
    return 0;
}
