/* Connections over real sockets on loopback: messages cut out of what comes, ends that each side hears of, and the bounds of
 * both. Protocol time stands still until a test leaps it; each step runs the loop until what is waited for is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net/stream.h"

enum {
    TOLERANT,
    STRICT,
    SECURE,
    LISTENERS,
    MESSAGE_MAX = 40000,
    PARTIAL_MAX = 8192,
    CONNECTIONS = 3,
    IDLE_MS = 100000
};

struct fixture {
    uv_loop_t loop;
    struct clock clock;
    struct timer_wheel wheel;
    struct listener listeners[LISTENERS], dialled, dialled_secure;
    struct streams *streams, *devices; /* the server's; a device's, which dials */
    struct tls *tls, *device_tls;
    struct link *link; /* the last that was opened, a reference */
    size_t opened, received, closed, oddities, refusals, seen;
    uint32_t wire_in, wire_out;
    uint8_t message[MESSAGE_MAX];
    size_t message_len;
    char broken[128], why[128], odd[128];
    bool keeps_silent_ones;
};

static const char key[] = "sixteen byte key";
static const uint8_t csm[] = {0x00, 0xe1}; /* RFC 8323 §5.3, without options */

/* ---- the owner ---- */

static void on_opened(void *arg, struct link *link) {
    struct fixture *f = arg;
    f->opened++;
    if (f->link != NULL)
        link_unref(f->link);
    f->link = link_ref(link);
}

static void on_received(void *arg, struct link *link, struct slice message) {
    struct fixture *f = arg;
    (void)link;
    f->received++;
    assert_true(message.len <= sizeof f->message);
    memcpy(f->message, message.data, message.len);
    f->message_len = message.len;
}

static void on_broken(void *arg, struct link *link, const char *why) {
    struct fixture *f = arg;
    snprintf(f->broken, sizeof f->broken, "%s", why);
    link_close(link, why);
}

static void on_closed(void *arg, struct link *link, const char *why) {
    struct fixture *f = arg;
    assert_true(link->closed);
    f->closed++;
    snprintf(f->why, sizeof f->why, "%s", why);
}

static void on_oddity(void *arg, struct link *link, bool rejected, const char *what) {
    struct fixture *f = arg;
    (void)link;
    assert_false(rejected);
    f->oddities++;
    snprintf(f->odd, sizeof f->odd, "%s", what);
}

static void on_wire(void *arg, struct link *link, bool sent, uint32_t offset, const struct slice *parts, size_t count) {
    struct fixture *f = arg;
    uint32_t *total = sent ? &f->wire_out : &f->wire_in;
    if (link->listener != &f->listeners[TOLERANT] || f->opened > 1)
        return; /* the totals are the first connection's */
    assert_int_equal(offset, *total);
    for (size_t i = 0; i < count; i++)
        *total += (uint32_t)parts[i].len;
}

static bool is_used(void *arg, const struct link *link) {
    (void)link;
    return ((struct fixture *)arg)->keeps_silent_ones;
}

static void on_refused(void *arg, struct listener *listener) {
    struct fixture *f = arg;
    assert_ptr_equal(listener, &f->listeners[TOLERANT]);
    f->refusals++;
}

static void on_seen(void *arg, struct link *link, bool sent, struct slice message, size_t wire) {
    (void)link, (void)sent;
    assert_true(wire >= message.len);
    ((struct fixture *)arg)->seen++;
}

static void forget(void *arg, struct link *link) {
    (void)arg, (void)link;
}

/* A device hears what a server says to it as its owner does; its ends are its own. */
static void on_device_opened(void *arg, struct link *link) {
    (void)arg, (void)link;
}

static bool on_psk(void *arg, const struct listener *listener, struct slice identity, struct buffer *out) {
    (void)arg, (void)listener;
    buffer_put_str(out, key);
    return slice_is(identity, "dev1");
}

static bool on_permitted(void *arg, const struct listener *listener, const struct link_identity *identity,
                         bool chain_trusted) {
    (void)arg, (void)listener, (void)identity, (void)chain_trusted;
    return true;
}

/* ---- the fixture ---- */

static struct listener at_loopback(enum link_transport transport) {
    return (struct listener){.transport = transport, .address = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}}};
}

static void use_tls(struct fixture *f) {
    const struct tls_params params = {
        .handshake_timeout_ms = 60000, .handshakes_max = 10, .handshakes_per_s = 10, .resume_ms = 1000};
    const struct tls_handlers handlers = {.psk = on_psk, .permitted = on_permitted}, none = {.psk = NULL};
    const char *problem = NULL;
    struct dtls_client_params client;
    dtls_client_params_default(&client);
    client.suite = cipher_suite_find(0xc0a8);
    client.identity = slice_str("dev1");
    client.key = slice_str(key);
    f->tls = tls_new(&f->loop, &f->clock, &f->wheel, &params, &handlers, f);
    f->device_tls = tls_new_client(&f->loop, &f->clock, &f->wheel, &client, &none, NULL, &problem);
    assert_non_null(f->tls);
    assert_non_null(f->device_tls);
    streams_serve_tls(f->streams, f->tls);
    streams_serve_tls(f->devices, f->device_tls);
}

static int start(void **state) {
    static struct link_watcher watcher = {.seen = on_seen, .forget = forget};
    const struct stream_options options = {.max_connections = CONNECTIONS,
                                           .max_message = MESSAGE_MAX,
                                           .max_partial_bytes = PARTIAL_MAX,
                                           .idle_ms = IDLE_MS};
    const struct stream_handlers handlers = {.opened = on_opened,
                                             .received = on_received,
                                             .broken = on_broken,
                                             .closed = on_closed,
                                             .oddity = on_oddity,
                                             .wire = on_wire,
                                             .is_used = is_used,
                                             .refused = on_refused};
    struct stream_handlers device = handlers;
    char error[128];
    struct fixture *f = calloc(1, sizeof *f);
    watcher.arg = f;
    device.opened = on_device_opened;
    uv_loop_init(&f->loop);
    clock_init_still(&f->clock, 1000000);
    timer_wheel_init(&f->wheel, clock_now_ms(&f->clock), NULL);
    f->streams = streams_new(&f->loop, &options, &handlers, f, &f->clock, &f->wheel);
    f->devices = streams_new(&f->loop, &options, &device, f, &f->clock, &f->wheel);
    use_tls(f);
    f->listeners[TOLERANT] = at_loopback(LINK_TCP);
    f->listeners[TOLERANT].watcher = &watcher;
    f->listeners[STRICT] = at_loopback(LINK_TCP);
    f->listeners[STRICT].strict = true;
    f->listeners[SECURE] = at_loopback(LINK_TLS);
    f->dialled = at_loopback(LINK_TCP);
    f->dialled_secure = at_loopback(LINK_TLS);
    for (size_t i = 0; i < LISTENERS; i++) {
        assert_true(stream_listen(f->streams, &f->listeners[i], error, sizeof error));
        assert_int_not_equal(f->listeners[i].address.port, 0);
    }
    *state = f;
    return 0;
}

static int stop(void **state) {
    struct fixture *f = *state;
    size_t closed = f->closed;
    if (f->link != NULL)
        link_unref(f->link);
    streams_close(f->streams);
    streams_close(f->devices);
    tls_close(f->tls);
    tls_close(f->device_tls);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_int_equal(f->closed, closed); /* nothing more is told */
    free(f);
    return 0;
}

#define RUN_UNTIL(f, condition) \
    while (!(condition))        \
    step(f)

static void step(struct fixture *f) {
    uv_run(&f->loop, UV_RUN_NOWAIT);
    timer_wheel_advance(&f->wheel, clock_now_ms(&f->clock));
    sched_yield();
}

static void leap(struct fixture *f, uint64_t by_ms) {
    clock_leap(&f->clock, by_ms);
    timer_wheel_advance(&f->wheel, clock_now_ms(&f->clock));
}

/* ---- a peer ---- */

/* Small buffers, so that little is under way to a peer that does not read. */
static int client_to(const struct address *address) {
    const struct timeval limit = {.tv_sec = 60};
    const int small = 4096;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(address->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static int client(struct fixture *f, size_t listener) {
    return client_to(&f->listeners[listener].address);
}

static void put(int fd, const void *bytes, size_t len) {
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

/* Exactly these are the next bytes that come. */
static void assert_comes(int fd, const void *bytes, size_t len) {
    uint8_t have[256];
    assert_true(len <= sizeof have);
    assert_int_equal(recv(fd, have, len, MSG_WAITALL), len);
    assert_memory_equal(have, bytes, len);
}

/* What comes in the end is the end. */
static void assert_ends(struct fixture *f, int fd) {
    uint8_t bytes[256];
    ssize_t len;
    while ((len = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0 || (len < 0 && errno == EAGAIN))
        step(f);
    assert_int_equal(len, 0);
    close(fd);
}

/* A peer that has said its first words. */
static int met(struct fixture *f, size_t listener, const void *first, size_t len) {
    size_t before = f->received;
    int fd = client(f, listener);
    put(fd, first, len);
    RUN_UNTIL(f, f->received > before);
    return fd;
}

static void meet(struct fixture *f) {
    RUN_UNTIL(f, f->opened > 0);
}

/* What is wrong with the first bytes of a connection to `listener` is told, and ends it. */
static void assert_breaks(struct fixture *f, size_t listener, const void *first, size_t len, const char *why) {
    int fd = client(f, listener);
    put(fd, first, len);
    assert_ends(f, fd);
    RUN_UNTIL(f, f->closed > 0);
    assert_string_equal(f->broken, why);
    assert_string_equal(f->why, why);
    assert_int_equal(f->received, 0);
    assert_int_equal(stream_counters(f->streams).partial_bytes, 0);
}

/* ---- messages ---- */

static void test_frames_are_cut_out_of_what_comes(void **state) {
    struct fixture *f = *state;
    uint8_t three[] = {0x00, 0xe1, 0x00, 0x01, 0xd0, 0x00, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
    int fd = client(f, TOLERANT);
    put(fd, three, sizeof three);
    RUN_UNTIL(f, f->received == 3);
    assert_int_equal(f->link->framing, LINK_STREAM_8323);
    assert_int_equal(f->message_len, 16);
    assert_memory_equal(f->message, three + 4, 16);
    assert_int_equal(stream_counters(f->streams).bytes_in, sizeof three);
    assert_int_equal(f->wire_in, sizeof three);
    assert_int_equal(f->seen, 3);
    assert_int_equal(f->oddities, 0);
    close(fd);
}

static void test_a_frame_in_pieces_is_kept_until_it_is_whole(void **state) {
    struct fixture *f = *state;
    uint8_t whole[1 + 2 + 1 + 269] = {0xe0}; /* its extended length is 0: 269 bytes after the code */
    const size_t len = sizeof whole;
    for (size_t i = 3; i < len; i++)
        whole[i] = (uint8_t)i;
    int fd = met(f, TOLERANT, csm, sizeof csm);
    for (size_t at = 0; at < len - 1; at += 68) {
        size_t piece = at + 68 < len - 1 ? 68 : len - 1 - at;
        uint64_t before = stream_counters(f->streams).bytes_in;
        put(fd, whole + at, piece);
        RUN_UNTIL(f, stream_counters(f->streams).bytes_in == before + piece);
        assert_true(stream_counters(f->streams).partial_bytes >= at + piece);
        assert_int_equal(f->received, 1);
    }
    put(fd, whole + len - 1, 1);
    RUN_UNTIL(f, f->received == 2);
    assert_int_equal(f->message_len, len);
    assert_memory_equal(f->message, whole, len);
    assert_int_equal(stream_counters(f->streams).partial_bytes, 0);
    close(fd);
}

static void test_an_answer_goes_out_as_it_is(void **state) {
    struct fixture *f = *state;
    uint8_t answer[] = {0x00, 0x44};
    int fd = met(f, TOLERANT, csm, sizeof csm);
    leap(f, 5);
    assert_int_equal(link_send(f->link, slice_of(answer, sizeof answer)), 0);
    assert_comes(fd, answer, sizeof answer);
    assert_int_equal(stream_sent_ms(f->link), clock_now_ms(&f->clock));
    assert_int_equal(stream_counters(f->streams).bytes_out, sizeof answer);
    assert_int_equal(f->wire_out, sizeof answer);
    close(fd);
}

/* A client that loses the second of two messages that come together is sent them 50 ms apart. */
static void test_prefixed_messages_come_one_after_the_other(void **state) {
    struct fixture *f = *state;
    uint8_t first[] = {0, 0, 0, 4, 0x40, 0x01, 0x00, 0x01}, byte;
    int fd = met(f, TOLERANT, first, sizeof first);
    assert_int_equal(f->link->framing, LINK_LENGTH_PREFIXED);
    assert_int_equal(f->oddities, 1);
    assert_int_equal(f->message_len, 4);
    assert_memory_equal(f->message, first + 4, 4);
    assert_int_equal(link_send(f->link, slice_of(first + 4, 4)), 0);
    assert_comes(fd, first, sizeof first);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(link_send(f->link, slice_of(first + 4, 4)), 0);
    assert_int_equal(link_send(f->link, slice_of(first + 4, 4)), -ENOBUFS);
    for (size_t i = 0; i < 16; i++) {
        leap(f, 49);
        assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
        leap(f, 1);
        assert_comes(fd, first, sizeof first);
    }
    leap(f, 50);
    assert_int_equal(link_send(f->link, slice_of(first + 4, 4)), 0); /* at once: nothing has gone for long enough */
    assert_comes(fd, first, sizeof first);
    assert_int_equal(link_send(f->link, slice_of(first + 4, 4)), 0); /* waits, and is lost with the connection */
    close(fd);
    RUN_UNTIL(f, f->closed == 1);
}

/* ---- what is no message ---- */

static void test_prefixed_messages_are_refused_where_it_is_strict(void **state) {
    uint8_t first[] = {0, 0, 0, 4, 0x40, 0x01, 0x00, 0x01};
    assert_breaks(*state, STRICT, first, sizeof first,
                  "messages come with a length before each, which is not RFC 8323");
}

static void test_a_handshake_on_a_port_without_TLS_is_told(void **state) {
    uint8_t hello[] = {0x16, 0x03, 0x01, 0x00, 0x10, 0x01};
    assert_breaks(*state, TOLERANT, hello, sizeof hello, "a TLS handshake on a port without TLS");
}

static void test_what_begins_like_nothing_known_is_broken_off(void **state) {
    assert_breaks(*state, TOLERANT, "GET / HTTP/1.1\r\n", 16, "the first bytes are no framing that is known here");
}

static void test_a_reserved_token_length_is_broken_off(void **state) {
    uint8_t bytes[] = {0x00, 0xe1, 0x09, 0x01};
    struct fixture *f = *state;
    int fd = met(f, TOLERANT, bytes, sizeof bytes);
    assert_ends(f, fd);
    assert_string_equal(f->broken, "token length is reserved");
    assert_int_equal(f->received, 1);
}

static void test_a_length_that_is_none_is_broken_off(void **state) {
    uint8_t bytes[] = {0, 0, 0, 4, 0x40, 0x01, 0x00, 0x01, 1, 0, 0, 4};
    struct fixture *f = *state;
    int fd = met(f, TOLERANT, bytes, sizeof bytes);
    assert_ends(f, fd);
    assert_string_equal(f->broken, "a length is larger than is possible");
    assert_int_equal(f->received, 1);
}

static void test_a_message_that_announces_too_much_is_broken_off(void **state) {
    uint8_t bytes[] = {0x00, 0xe1, 0xf0, 0x00, 0x10, 0x00, 0x00, 0x01};
    struct fixture *f = *state;
    int fd = met(f, TOLERANT, bytes, sizeof bytes);
    assert_ends(f, fd);
    assert_string_equal(f->broken, "a message is larger than is taken");
    assert_int_equal(stream_counters(f->streams).partial_bytes, 0); /* nothing of it was kept */
}

static void test_one_that_does_not_end_is_broken_off_after_30_s(void **state) {
    struct fixture *f = *state;
    uint8_t bytes[] = {0x00, 0xe1, 0xd0, 0x00};
    int fd = met(f, TOLERANT, bytes, sizeof bytes);
    RUN_UNTIL(f, stream_counters(f->streams).partial_bytes > 0);
    leap(f, 29999);
    assert_string_equal(f->broken, "");
    leap(f, 1);
    assert_string_equal(f->broken, "a message takes too long to arrive");
    assert_ends(f, fd);
}

static void test_unfinished_messages_have_a_bound_for_all_together(void **state) {
    struct fixture *f = *state;
    static uint8_t begin[PARTIAL_MAX / 2 + 64] = {0x00, 0xe1, 0xe0, 0x50, 0x00, 0x02};
    int first = client(f, TOLERANT);
    put(first, begin, PARTIAL_MAX / 2);
    RUN_UNTIL(f, stream_counters(f->streams).bytes_in == PARTIAL_MAX / 2);
    assert_string_equal(f->broken, "");
    int second = client(f, TOLERANT);
    put(second, begin, sizeof begin);
    assert_ends(f, second);
    assert_string_equal(f->broken, "no room for more unfinished messages");
    RUN_UNTIL(f, f->closed == 1);
    close(first);
    RUN_UNTIL(f, f->closed == 2);
    assert_int_equal(stream_counters(f->streams).partial_bytes, 0);
}

/* ---- bounds ---- */

static void test_one_connection_too_many_is_closed_and_told_once(void **state) {
    struct fixture *f = *state;
    int taken[CONNECTIONS];
    for (size_t i = 0; i < CONNECTIONS; i++)
        taken[i] = met(f, TOLERANT, csm, sizeof csm);
    for (size_t i = 0; i < 2; i++)
        assert_ends(f, client(f, TOLERANT));
    assert_int_equal(f->refusals, 1);
    assert_int_equal(stream_counters(f->streams).refused, 2);
    close(taken[0]);
    RUN_UNTIL(f, f->closed == 1);
    taken[0] = met(f, TOLERANT, csm, sizeof csm);
    assert_ends(f, client(f, TOLERANT));
    assert_int_equal(f->refusals, 2); /* there was room meanwhile */
    assert_int_equal(stream_counters(f->streams).connections, CONNECTIONS);
    for (size_t i = 0; i < CONNECTIONS; i++)
        close(taken[i]);
}

static void test_who_is_silent_for_too_long_is_closed_unless_used(void **state) {
    struct fixture *f = *state;
    int fd = met(f, TOLERANT, csm, sizeof csm);
    f->keeps_silent_ones = true;
    leap(f, IDLE_MS);
    assert_false(f->link->closed);
    f->keeps_silent_ones = false;
    leap(f, IDLE_MS - 1);
    assert_false(f->link->closed);
    leap(f, 1);
    assert_ends(f, fd);
    RUN_UNTIL(f, f->closed == 1);
    assert_string_equal(f->why, "silent for too long");
}

static void test_who_takes_nothing_is_given_up(void **state) {
    struct fixture *f = *state;
    static uint8_t large[32768];
    int result = 0;
    int fd = met(f, TOLERANT, csm, sizeof csm);
    for (size_t i = 0; i < 4096 && result == 0; i++)
        result = link_send(f->link, slice_of(large, sizeof large));
    assert_int_equal(result, -ENOBUFS);
    assert_int_equal(link_send(f->link, slice_of(large, 2)), -ENOTCONN);
    RUN_UNTIL(f, f->closed == 1);
    assert_string_equal(f->why, "the peer does not take what is sent");
    close(fd);
}

/* Our end of the connection whose other end is `fd`, with a small buffer to send from. */
static void shrink_ours(int fd) {
    const int small = 4096;
    struct sockaddr_in theirs, name;
    socklen_t len = sizeof theirs;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&theirs, &len), 0);
    for (int i = 0; i < 1024; i++) {
        len = sizeof name;
        if (getpeername(i, (struct sockaddr *)&name, &len) == 0 && name.sin_family == AF_INET &&
            name.sin_port == theirs.sin_port) {
            assert_int_equal(setsockopt(i, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
            return;
        }
    }
    fail();
}

/* While more than 64 KB wait for a peer it is not heard. */
static void test_who_was_slow_gets_everything_and_is_heard_again(void **state) {
    struct fixture *f = *state;
    static uint8_t large[32768];
    size_t sent = 0, taken = 0;
    int fd = met(f, TOLERANT, csm, sizeof csm);
    shrink_ours(fd);
    for (; sent < 5 * sizeof large; sent += sizeof large)
        assert_int_equal(link_send(f->link, slice_of(large, sizeof large)), 0);
    put(fd, csm, sizeof csm);
    for (size_t i = 0; i < 100; i++)
        step(f);
    assert_int_equal(f->received, 1);
    while (taken < sent) {
        ssize_t len = recv(fd, f->message, sizeof f->message, MSG_DONTWAIT);
        taken += len > 0 ? (size_t)len : 0;
        step(f);
    }
    RUN_UNTIL(f, f->received == 2);
    assert_false(f->link->closed);
    close(fd);
}

/* ---- ends ---- */

static void test_the_end_of_a_peer_is_told(void **state) {
    struct fixture *f = *state;
    int fd = met(f, TOLERANT, csm, sizeof csm);
    shutdown(fd, SHUT_WR);
    assert_ends(f, fd);
    RUN_UNTIL(f, f->closed == 1);
    assert_string_equal(f->why, "closed by the peer");
    assert_int_equal(link_send(f->link, slice_of(csm, sizeof csm)), -ENOTCONN);
    assert_int_equal(stream_sent_ms(f->link), 0);
}

static void test_a_reset_of_a_peer_is_told(void **state) {
    const struct linger at_once = {.l_onoff = 1};
    struct fixture *f = *state;
    int fd = met(f, TOLERANT, csm, sizeof csm);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    RUN_UNTIL(f, f->closed == 1);
    assert_string_equal(f->why, uv_strerror(UV_ECONNRESET));
}

static void test_last_words_go_before_the_end(void **state) {
    struct fixture *f = *state;
    int fd = met(f, TOLERANT, csm, sizeof csm);
    assert_int_equal(link_send(f->link, slice_of("\x00\xe5", 2)), 0);
    link_close(f->link, "enough");
    assert_int_equal(link_send(f->link, slice_of(csm, 2)), -ENOTCONN);
    assert_comes(fd, "\x00\xe5", 2);
    put(fd, csm, sizeof csm); /* not heard any more */
    assert_ends(f, fd);
    RUN_UNTIL(f, f->closed == 1);
    assert_string_equal(f->why, "enough");
    assert_int_equal(f->received, 1);
}

static void test_an_ordered_reset_is_one(void **state) {
    struct fixture *f = *state;
    uint8_t byte;
    ssize_t len;
    int fd = met(f, TOLERANT, csm, sizeof csm);
    stream_reset(f->link, "ordered");
    RUN_UNTIL(f, (len = recv(fd, &byte, 1, MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
    assert_int_equal(len, -1);
    assert_int_equal(errno, ECONNRESET);
    RUN_UNTIL(f, f->closed == 1);
    assert_string_equal(f->why, "ordered");
    stream_reset(f->link, "again"); /* nothing: it is closed */
    stream_cut(f->link, "again");
    stream_stall(f->link, true);
    close(fd);
}

static void test_an_ordered_cut_is_the_end_of_the_stream(void **state) {
    struct fixture *f = *state;
    int fd = met(f, TOLERANT, csm, sizeof csm);
    stream_cut(f->link, "ordered");
    assert_ends(f, fd);
    RUN_UNTIL(f, f->closed == 1);
    assert_string_equal(f->why, "ordered");
}

static void test_one_that_is_stalled_is_heard_when_it_is_let_go(void **state) {
    struct fixture *f = *state;
    int fd = met(f, TOLERANT, csm, sizeof csm);
    stream_stall(f->link, true);
    put(fd, csm, sizeof csm);
    for (size_t i = 0; i < 100; i++)
        step(f);
    assert_int_equal(f->received, 1);
    stream_stall(f->link, false);
    RUN_UNTIL(f, f->received == 2);
    close(fd);
}

/* ---- connections that did not come to a listener ---- */

static void test_what_is_sent_before_it_is_connected_goes_then(void **state) {
    struct fixture *f = *state;
    struct link *link = stream_connect(f->devices, &f->dialled, &f->listeners[TOLERANT].address, LINK_STREAM_8323);
    assert_non_null(link);
    assert_int_equal(link_send(link, slice_of(csm, sizeof csm)), 0);
    RUN_UNTIL(f, f->received == 1);
    assert_memory_equal(f->message, csm, sizeof csm);
    assert_int_equal(link_send(f->link, slice_of("\x00\x44", 2)), 0);
    RUN_UNTIL(f, f->received == 2);
    assert_memory_equal(f->message, "\x00\x44", 2);
    link_close(link, "done");
    RUN_UNTIL(f, f->closed == 2); /* both sides are told */
    assert_true(link->closed && f->link->closed);
    link_unref(link);
}

static void test_nobody_there_is_told(void **state) {
    struct fixture *f = *state;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct address nobody = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}};
    socklen_t len = sizeof name;
    int taken = socket(AF_INET, SOCK_STREAM, 0); /* bound, and not listening */
    assert_int_equal(bind(taken, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(getsockname(taken, (struct sockaddr *)&name, &len), 0);
    nobody.port = ntohs(name.sin_port);
    struct link *link = stream_connect(f->devices, &f->dialled, &nobody, LINK_STREAM_8323);
    RUN_UNTIL(f, f->closed == 1);
    assert_string_equal(f->why, uv_strerror(UV_ECONNREFUSED));
    link_unref(link);
    close(taken);
}

static void test_one_that_another_has_accepted_is_whose_it_was(void **state) {
    struct fixture *f = *state;
    const struct address peer = {.family = ADDRESS_IPV4, .ip = {192, 0, 2, 7}, .port = 4711};
    const struct address local = {.family = ADDRESS_IPV4, .ip = {198, 51, 100, 1}, .port = 5683};
    struct listener stranger = at_loopback(LINK_TCP);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct address where = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}};
    socklen_t len = sizeof name;
    int accepting = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(accepting, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(accepting, 4), 0);
    assert_int_equal(getsockname(accepting, (struct sockaddr *)&name, &len), 0);
    where.port = ntohs(name.sin_port);

    int fd = client_to(&where);
    assert_true(stream_adopt(f->streams, &f->listeners[STRICT], accept(accepting, NULL, NULL), &peer, &local));
    meet(f);
    assert_true(address_equal(&f->link->peer, &peer));
    assert_memory_equal(f->link->local.ip, local.ip, 4);
    put(fd, csm, sizeof csm);
    RUN_UNTIL(f, f->received == 1);
    close(fd);

    fd = client_to(&where);
    assert_false(stream_adopt(f->streams, &stranger, accept(accepting, NULL, NULL), &peer, &local));
    assert_ends(f, fd);
    close(accepting);
}

static void test_a_link_of_an_earlier_run_has_its_identity_and_sends_nothing(void **state) {
    struct fixture *f = *state;
    const struct address peer = {.family = ADDRESS_IPV4, .ip = {192, 0, 2, 7}, .port = 4711};
    char name[] = "dev1";
    struct link_identity identity = {.security = LINK_PSK, .name = slice_str(name)};
    struct tls_description description;
    struct link *link = stream_closed_link(&f->listeners[SECURE], &peer, &peer, &identity);
    assert_non_null(link);
    name[0] = 'x';
    assert_true(slice_is(link->identity->name, "dev1"));
    assert_true(link->closed && address_equal(&link->peer, &peer));
    assert_int_equal(link_send(link, slice_of(csm, sizeof csm)), -ENOTCONN);
    assert_false(stream_describe_tls(link, &description));
    link_close(link, "it is");
    link_unref(link);
}

/* ---- TLS ---- */

static struct link *dial_tls(struct fixture *f, enum link_framing framing, struct slice first) {
    struct link *link = stream_connect(f->devices, &f->dialled_secure, &f->listeners[SECURE].address, framing);
    assert_non_null(link);
    assert_int_equal(link_send(link, first), 0); /* waits for the handshake */
    RUN_UNTIL(f, f->received == 1);
    return link;
}

static void test_frames_over_TLS_come_from_whom_the_peer_has_proven_to_be(void **state) {
    struct fixture *f = *state;
    struct tls_description description;
    struct link *link = dial_tls(f, LINK_STREAM_8323, slice_of(csm, sizeof csm));
    assert_int_equal(f->link->framing, LINK_STREAM_8323);
    assert_int_equal(f->link->identity->security, LINK_PSK);
    assert_true(slice_is(f->link->identity->name, "dev1"));
    assert_true(stream_describe_tls(f->link, &description));
    assert_string_equal(description.version, "TLS 1.3");
    assert_int_equal(link_send(f->link, slice_of("\x00\x44", 2)), 0);
    RUN_UNTIL(f, f->received == 2);
    link_close(f->link, "enough");
    RUN_UNTIL(f, f->closed == 2);
    link_unref(link);
}

static void test_a_message_in_a_record_of_its_own_is_an_oddity(void **state) {
    struct fixture *f = *state;
    const uint8_t get[] = {0x40, 0x01, 0x00, 0x01}, ack[] = {0x60, 0x45, 0x00, 0x01};
    struct link *link = dial_tls(f, LINK_RECORD, slice_of(get, sizeof get));
    assert_int_equal(f->link->framing, LINK_RECORD);
    assert_string_equal(f->odd, "messages come in a TLS record each");
    assert_memory_equal(f->message, get, sizeof get);
    assert_int_equal(link_send(f->link, slice_of(ack, sizeof ack)), 0);
    RUN_UNTIL(f, f->received == 2);
    assert_int_equal(f->message_len, sizeof ack);
    assert_memory_equal(f->message, ack, sizeof ack);
    link_unref(link);
}

static void test_a_record_of_its_own_is_refused_where_it_is_strict(void **state) {
    struct fixture *f = *state;
    const uint8_t get[] = {0x40, 0x01, 0x00, 0x01};
    f->listeners[SECURE].strict = true;
    struct link *link = stream_connect(f->devices, &f->dialled_secure, &f->listeners[SECURE].address, LINK_RECORD);
    assert_int_equal(link_send(link, slice_of(get, sizeof get)), 0);
    RUN_UNTIL(f, f->closed == 2);
    assert_string_equal(f->broken, "messages come in a record each, which is not RFC 8323");
    assert_int_equal(f->received, 0);
    link_unref(link);
}

static void test_a_cut_over_TLS_has_no_goodbye(void **state) {
    struct fixture *f = *state;
    struct link *link = dial_tls(f, LINK_STREAM_8323, slice_of(csm, sizeof csm));
    stream_cut(f->link, "ordered");
    RUN_UNTIL(f, f->closed == 2);
    assert_true(link->closed);
    link_unref(link);
}

/* A connection that ends before its handshake does was never one. */
static void test_a_handshake_that_comes_to_nothing_is_not_told(void **state) {
    struct fixture *f = *state;
    int fd = client(f, SECURE);
    put(fd, "GET / HTTP/1.1\r\n", 16);
    ssize_t len;
    RUN_UNTIL(f, (len = recv(fd, f->message, sizeof f->message, MSG_DONTWAIT)) == 0 || (len < 0 && errno != EAGAIN));
    close(fd);
    RUN_UNTIL(f, stream_counters(f->streams).closed == 1);
    assert_int_equal(f->opened + f->closed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_frames_are_cut_out_of_what_comes, start, stop),
        cmocka_unit_test_setup_teardown(test_a_frame_in_pieces_is_kept_until_it_is_whole, start, stop),
        cmocka_unit_test_setup_teardown(test_an_answer_goes_out_as_it_is, start, stop),
        cmocka_unit_test_setup_teardown(test_prefixed_messages_come_one_after_the_other, start, stop),
        cmocka_unit_test_setup_teardown(test_prefixed_messages_are_refused_where_it_is_strict, start, stop),
        cmocka_unit_test_setup_teardown(test_a_handshake_on_a_port_without_TLS_is_told, start, stop),
        cmocka_unit_test_setup_teardown(test_what_begins_like_nothing_known_is_broken_off, start, stop),
        cmocka_unit_test_setup_teardown(test_a_reserved_token_length_is_broken_off, start, stop),
        cmocka_unit_test_setup_teardown(test_a_length_that_is_none_is_broken_off, start, stop),
        cmocka_unit_test_setup_teardown(test_a_message_that_announces_too_much_is_broken_off, start, stop),
        cmocka_unit_test_setup_teardown(test_one_that_does_not_end_is_broken_off_after_30_s, start, stop),
        cmocka_unit_test_setup_teardown(test_unfinished_messages_have_a_bound_for_all_together, start, stop),
        cmocka_unit_test_setup_teardown(test_one_connection_too_many_is_closed_and_told_once, start, stop),
        cmocka_unit_test_setup_teardown(test_who_is_silent_for_too_long_is_closed_unless_used, start, stop),
        cmocka_unit_test_setup_teardown(test_who_takes_nothing_is_given_up, start, stop),
        cmocka_unit_test_setup_teardown(test_who_was_slow_gets_everything_and_is_heard_again, start, stop),
        cmocka_unit_test_setup_teardown(test_the_end_of_a_peer_is_told, start, stop),
        cmocka_unit_test_setup_teardown(test_a_reset_of_a_peer_is_told, start, stop),
        cmocka_unit_test_setup_teardown(test_last_words_go_before_the_end, start, stop),
        cmocka_unit_test_setup_teardown(test_an_ordered_reset_is_one, start, stop),
        cmocka_unit_test_setup_teardown(test_an_ordered_cut_is_the_end_of_the_stream, start, stop),
        cmocka_unit_test_setup_teardown(test_one_that_is_stalled_is_heard_when_it_is_let_go, start, stop),
        cmocka_unit_test_setup_teardown(test_what_is_sent_before_it_is_connected_goes_then, start, stop),
        cmocka_unit_test_setup_teardown(test_nobody_there_is_told, start, stop),
        cmocka_unit_test_setup_teardown(test_one_that_another_has_accepted_is_whose_it_was, start, stop),
        cmocka_unit_test_setup_teardown(test_a_link_of_an_earlier_run_has_its_identity_and_sends_nothing, start, stop),
        cmocka_unit_test_setup_teardown(test_frames_over_TLS_come_from_whom_the_peer_has_proven_to_be, start, stop),
        cmocka_unit_test_setup_teardown(test_a_message_in_a_record_of_its_own_is_an_oddity, start, stop),
        cmocka_unit_test_setup_teardown(test_a_record_of_its_own_is_refused_where_it_is_strict, start, stop),
        cmocka_unit_test_setup_teardown(test_a_cut_over_TLS_has_no_goodbye, start, stop),
        cmocka_unit_test_setup_teardown(test_a_handshake_that_comes_to_nothing_is_not_told, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
