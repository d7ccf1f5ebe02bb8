/* Bytes of a connection into a TLS server, in pieces: each behind two bytes of length. The first byte of the input says
 * whether they come before a handshake or after one with a key has been made, and at which end. Nothing that is no record
 * of the session may come out as content, and what is kept and sent for it stays small. */
#include <stdlib.h>

#include "common/net/tls.h"

enum { SENT_MAX = 65536 };

struct end {
    struct tls *tls;
    struct tls_session *session;
    struct end *other;
    size_t sent, content, wire_len;
    bool proven, stopped, is_cut; /* is_cut: the other end does not hear it any more */
    uint8_t wire[1 << 17];
};

static struct clock clock_;
static struct timer_wheel wheel;
static uv_loop_t loop;
static struct listener listener = {.transport = LINK_TLS};
static struct end server, client;

static void require(bool condition) {
    if (!condition)
        abort();
}

static bool on_psk(void *arg, const struct listener *from, struct slice identity, struct buffer *key) {
    (void)arg, (void)from;
    buffer_put_str(key, "sixteen byte key");
    return slice_is(identity, "dev1");
}

static void on_send(void *user, struct slice bytes) {
    struct end *end = user, *to = end->other;
    end->sent += bytes.len;
    require(end->sent < SENT_MAX);
    if (end->is_cut || sizeof to->wire - to->wire_len < bytes.len)
        return;
    memcpy(to->wire + to->wire_len, bytes.data, bytes.len);
    to->wire_len += bytes.len;
}

static void on_set_reading(void *user, bool reading) {
    ((struct end *)user)->stopped = !reading;
}

static void on_proven(void *user) {
    ((struct end *)user)->proven = true;
}

static void on_received(void *user, struct slice content) {
    ((struct end *)user)->content += content.len;
}

static void on_ended(void *user, const char *why) {
    (void)user;
    require(why[0] != '\0');
}

static const struct tls_carrier carrier = {on_send, on_set_reading, on_proven, on_received, on_ended};

static bool deliver(struct end *end) {
    static uint8_t bytes[sizeof end->wire];
    size_t len = end->wire_len;
    if (len == 0 || end->stopped)
        return false;
    memcpy(bytes, end->wire, len);
    end->wire_len = 0;
    tls_session_feed(end->session, slice_of(bytes, len));
    return true;
}

static void set_up(void) {
    const struct tls_params params = {
        .handshake_timeout_ms = 60000, .handshakes_max = 10, .handshakes_per_s = UINT32_MAX, .resume_ms = 1000};
    const struct tls_handlers handlers = {.psk = on_psk}, none = {.psk = NULL};
    const char *problem;
    struct dtls_client_params client_params;
    uv_loop_init(&loop);
    clock_init(&clock_, 0);
    timer_wheel_init(&wheel, clock_now_ms(&clock_), NULL);
    dtls_client_params_default(&client_params);
    client_params.suite = cipher_suite_find(0xc0a8);
    client_params.identity = slice_str("dev1");
    client_params.key = slice_str("sixteen byte key");
    server.tls = tls_new(&loop, &clock_, &wheel, &params, &handlers, NULL);
    client.tls = tls_new_client(&loop, &clock_, &wheel, &client_params, &none, NULL, &problem);
    require(server.tls != NULL && client.tls != NULL);
}

static void open_end(struct end *end, struct end *other) {
    static const struct address peer = {.family = ADDRESS_IPV4};
    struct tls *tls = end->tls;
    *end = (struct end){.tls = tls, .other = other};
    end->session = tls_session_new(tls, &listener, &peer, &carrier, end);
    require(end->session != NULL);
}

static void feed_pieces(struct end *end, struct slice in) {
    while (in.len > 2) {
        size_t len = (size_t)in.data[0] << 8 | in.data[1];
        in = slice_from(in, 2);
        len = len < in.len ? len : in.len;
        if (!end->stopped)
            tls_session_feed(end->session, slice_of(in.data, len));
        in = slice_from(in, len);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (loop.data == NULL) {
        set_up();
        loop.data = &loop;
    }
    if (size < 1)
        return 0;
    struct end *end = (data[0] & 2) != 0 ? &client : &server;
    open_end(&server, &client);
    open_end(&client, &server);
    if ((data[0] & 3) != 0) {
        tls_session_start(client.session);
        do
            uv_run(&loop, UV_RUN_DEFAULT);
        while ((data[0] & 1) != 0 && (deliver(&server) || deliver(&client)));
        require((data[0] & 1) == 0 || (server.proven && client.proven));
    }
    server.is_cut = client.is_cut = true;
    feed_pieces(end, slice_of(data + 1, size - 1));
    require(server.content == 0 && client.content == 0);
    tls_session_free(server.session);
    tls_session_free(client.session);
    uv_run(&loop, UV_RUN_DEFAULT);
    return 0;
}
