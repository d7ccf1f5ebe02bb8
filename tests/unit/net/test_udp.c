/* Listeners and links over real sockets on loopback, by the loop alone and with workers. Nothing waits for a clock: each step
 * runs the loop until what was sent has come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "common/net/udp.h"

struct fixture {
    uv_loop_t loop;
    struct udp *udp;
    struct listener listeners[2];
    struct link *last; /* a reference */
    struct address last_peer, last_local;
    size_t received, received_len;
    bool answers;
};

static void on_datagram(void *arg, struct link *link, struct slice datagram) {
    struct fixture *f = arg;
    f->received++;
    f->received_len = datagram.len;
    f->last_peer = link->peer;
    f->last_local = link->local;
    if (f->last != NULL)
        link_unref(f->last);
    f->last = link_ref(link);
    if (f->answers)
        assert_int_equal(link_send(link, datagram), 0);
}

static int start_with(void **state, size_t workers) {
    struct fixture *f = calloc(1, sizeof *f);
    uv_loop_init(&f->loop);
    f->udp = udp_new(&f->loop, on_datagram, f);
    assert_int_equal(udp_set_workers(f->udp, workers), 0);
    f->listeners[0] = (struct listener){.address = {.family = ADDRESS_IPV4, .ip = {0}}};
    f->listeners[1] = (struct listener){.number = 1, .address = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}}};
    f->answers = true;
    assert_int_equal(udp_listen(f->udp, &f->listeners[0]), 0);
    assert_int_equal(udp_listen(f->udp, &f->listeners[1]), 0);
    assert_int_not_equal(f->listeners[0].address.port, 0);
    assert_int_equal(udp_start_workers(f->udp), 0);
    assert_int_equal(udp_worker_count(f->udp), workers == 1 ? 0 : workers);
    *state = f;
    return 0;
}

static int start(void **state) {
    return start_with(state, 1);
}

static int start_workers(void **state) {
    return start_with(state, 3);
}

static int stop(void **state) {
    struct fixture *f = *state;
    if (f->last != NULL)
        link_unref(f->last);
    assert_int_equal(udp_counters(f->udp).links, 0);
    udp_close(f->udp);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static int client(void) {
    struct timeval limit = {.tv_sec = 5};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    return fd;
}

static void send_to(int fd, const char *ip, uint16_t port, size_t len) {
    static uint8_t bytes[65536];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &to.sin_addr);
    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&to, sizeof to), len);
}

/* Run the loop until `count` datagrams have come altogether and what was answered is on its way. */
static void run_until(struct fixture *f, size_t count) {
    while (f->received < count)
        uv_run(&f->loop, UV_RUN_ONCE);
    udp_flush(f->udp);
}

/* A worker counts when the system has taken it, which may be after it was received. */
static void assert_sent(struct fixture *f, uint64_t count) {
    while (udp_counters(f->udp).sent < count)
        sched_yield();
    assert_int_equal(udp_counters(f->udp).sent, count);
}

static struct sockaddr_in receive_from(int fd) {
    char bytes[2048];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    assert_true(recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &len) >= 0);
    return from;
}

static void test_MSG_51_answers_leave_from_the_address_that_was_asked(void **state) {
    struct fixture *f = *state;
    int fd = client();
    static const char *const targets[] = {"127.0.0.1", "127.0.0.7", "127.9.8.7"};
    for (size_t i = 0; i < 3; i++) {
        send_to(fd, targets[i], f->listeners[0].address.port, 20);
        run_until(f, i + 1);
        struct sockaddr_in from = receive_from(fd);
        assert_string_equal(inet_ntoa(from.sin_addr), targets[i]);
        assert_int_equal(ntohs(from.sin_port), f->listeners[0].address.port);
    }
    close(fd);
}

static void test_one_link_for_each_listener_and_peer(void **state) {
    struct fixture *f = *state;
    int one = client(), two = client();
    send_to(one, "127.0.0.1", f->listeners[0].address.port, 4);
    run_until(f, 1);
    struct link *first = link_ref(f->last);
    send_to(one, "127.0.0.1", f->listeners[0].address.port, 4);
    run_until(f, 2);
    assert_ptr_equal(f->last, first);
    send_to(two, "127.0.0.1", f->listeners[0].address.port, 4);
    run_until(f, 3);
    assert_ptr_not_equal(f->last, first);
    send_to(one, "127.0.0.1", f->listeners[1].address.port, 4);
    run_until(f, 4);
    assert_ptr_not_equal(f->last, first);
    assert_ptr_equal(f->last->listener, &f->listeners[1]);
    link_unref(first);
    close(one);
    close(two);
}

static void test_links_nobody_keeps_are_freed(void **state) {
    struct fixture *f = *state;
    int fd = client();
    send_to(fd, "127.0.0.1", f->listeners[0].address.port, 4);
    run_until(f, 1);
    link_unref(f->last);
    f->last = NULL;
    assert_int_equal(udp_counters(f->udp).links, 0);
    close(fd);
}

static void test_a_link_can_be_asked_for(void **state) {
    struct fixture *f = *state;
    int fd = client();
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    struct address peer;
    getsockname(fd, (struct sockaddr *)&name, &len);
    address_from_sockaddr(&peer, (struct sockaddr *)&name);
    struct link *link = udp_link(f->udp, &f->listeners[1], &peer, NULL);
    assert_non_null(link);
    assert_int_equal(link_send(link, slice_str("hello")), 0);
    udp_flush(f->udp);
    assert_int_equal(ntohs(receive_from(fd).sin_port), f->listeners[1].address.port);
    send_to(fd, "127.0.0.1", f->listeners[1].address.port, 4);
    run_until(f, 1);
    assert_ptr_equal(f->last, link); /* the same one serves what comes */
    link_unref(link);
    struct address v6 = {.family = ADDRESS_IPV6, .port = 1, .ip = {[15] = 1}};
    assert_null(udp_link(f->udp, &f->listeners[1], &v6, NULL));
    close(fd);
}

static void test_links_stay_when_the_port_changes(void **state) {
    struct fixture *f = *state;
    int fd = client();
    struct listener unknown = {.number = 7};
    f->answers = false;
    send_to(fd, "127.0.0.1", f->listeners[1].address.port, 4);
    run_until(f, 1);
    struct link *link = link_ref(f->last);
    for (size_t i = 2; i < 5; i++) {
        uint16_t before = f->listeners[1].address.port;
        assert_int_equal(link_send(link, slice_str("from the old port, as it was sent before")), 0);
        assert_int_equal(udp_rebind(f->udp, &f->listeners[1]), 0);
        assert_int_not_equal(f->listeners[1].address.port, before);
        assert_int_equal(ntohs(receive_from(fd).sin_port), before);
        assert_int_equal(link_send(link, slice_str("from the new one")), 0);
        udp_flush(f->udp);
        assert_int_equal(ntohs(receive_from(fd).sin_port), f->listeners[1].address.port);
        send_to(fd, "127.0.0.1", before, 4); /* nobody is there any more */
        send_to(fd, "127.0.0.1", f->listeners[1].address.port, 4);
        run_until(f, i);
        assert_ptr_equal(f->last, link);
    }
    assert_int_equal(udp_counters(f->udp).received, 4);
    assert_int_equal(udp_rebind(f->udp, &unknown), -EDESTADDRREQ);
    link_unref(link);
    close(fd);
}

static void on_secure_datagram(void *arg, struct listener *listener, const struct address *peer,
                               const struct address *local, uint8_t *datagram, size_t len) {
    struct fixture *f = arg;
    f->received++;
    datagram[0] = 'j'; /* the bytes are ours to change */
    assert_int_equal(udp_send(f->udp, listener, peer, local, slice_of(datagram, len)), 0);
}

static void test_datagrams_of_other_transports_have_no_link(void **state) {
    struct fixture *f = *state;
    int fd = client();
    f->listeners[1].transport = LINK_DTLS;
    send_to(fd, "127.0.0.1", f->listeners[1].address.port, 4);
    while (udp_counters(f->udp).received < 1)
        uv_run(&f->loop, UV_RUN_ONCE);
    udp_set_datagram_handler(f->udp, on_secure_datagram, f);
    send_to(fd, "127.0.0.1", f->listeners[1].address.port, 4);
    run_until(f, 1);
    udp_flush(f->udp);
    assert_int_equal(ntohs(receive_from(fd).sin_port), f->listeners[1].address.port);
    assert_sent(f, 1);
    assert_null(f->last);
    assert_int_equal(udp_counters(f->udp).links, 0);
    struct listener unknown = {.number = 7};
    struct address peer = {.family = ADDRESS_IPV4, .port = 9, .ip = {127, 0, 0, 1}};
    assert_int_equal(udp_send(f->udp, &unknown, &peer, NULL, slice_str("x")), -EDESTADDRREQ);
    close(fd);
}

static void test_datagrams_of_every_size(void **state) {
    struct fixture *f = *state;
    static const size_t sizes[] = {0, 1, 1152, 9000, 60000};
    int fd = client();
    f->answers = false;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        send_to(fd, "127.0.0.1", f->listeners[1].address.port, sizes[i]);
        run_until(f, i + 1);
        assert_int_equal(f->received_len, sizes[i]);
    }
    uint8_t large[1500] = {0};
    assert_true(link_send(f->last, slice_of(large, sizeof large)) < 0);
    close(fd);
}

static void test_bursts_go_both_ways(void **state) {
    struct fixture *f = *state;
    int fd = client();
    for (int i = 0; i < 200; i++)
        send_to(fd, "127.0.0.1", f->listeners[1].address.port, 10);
    run_until(f, 200);
    for (int i = 0; i < 200; i++)
        receive_from(fd);
    assert_sent(f, 200);
    close(fd);
}

static void test_many_links(void **state) {
    struct fixture *f = *state;
    struct link *links[1000];
    for (uint16_t i = 0; i < 1000; i++) {
        struct address peer = {.family = ADDRESS_IPV4, .port = (uint16_t)(1000 + i), .ip = {127, 0, 0, 1}};
        links[i] = udp_link(f->udp, &f->listeners[0], &peer, NULL);
    }
    assert_int_equal(udp_counters(f->udp).links, 1000);
    for (uint16_t i = 0; i < 1000; i++) {
        struct link *again = udp_link(f->udp, &f->listeners[0], &links[i]->peer, NULL);
        assert_ptr_equal(again, links[i]);
        link_unref(again);
        link_unref(links[i]);
    }
}

static void test_an_address_that_is_taken(void **state) {
    struct fixture *f = *state;
    struct listener again = {.number = 2, .address = f->listeners[1].address};
    assert_int_equal(udp_listen(f->udp, &again), -EADDRINUSE);
}

static void test_an_ipv6_wildcard_takes_ipv4_too(void **state) {
    struct fixture *f = *state;
    static struct listener any; /* outlives its links */
    any = (struct listener){.number = 2, .address = {.family = ADDRESS_IPV6}};
    if (udp_listen(f->udp, &any) != 0)
        skip(); /* no IPv6 in this kernel */
    int fd = client();
    send_to(fd, "127.0.0.3", any.address.port, 4);
    run_until(f, 1);
    assert_int_equal(f->last_peer.family, ADDRESS_IPV4);
    assert_int_equal(f->last_local.family, ADDRESS_IPV4);
    assert_string_equal(inet_ntoa(receive_from(fd).sin_addr), "127.0.0.3");
    close(fd);
}

/* ---- workers ---- */

enum { PEERS = 24, EACH = 40 };

static void test_datagrams_of_each_peer_stay_in_order_and_every_worker_serves_some(void **state) {
    struct fixture *f = *state;
    int fds[PEERS];
    for (size_t i = 0; i < PEERS; i++)
        fds[i] = client();
    for (uint32_t n = 0; n < EACH; n++) {
        for (size_t i = 0; i < PEERS; i++) {
            struct sockaddr_in to = {.sin_family = AF_INET,
                                     .sin_port = htons(f->listeners[1].address.port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
            assert_int_equal(sendto(fds[i], &n, sizeof n, 0, (struct sockaddr *)&to, sizeof to), sizeof n);
        }
        if (n % 8 == 0) /* the system's buffers are not endless */
            run_until(f, (n + 1) * PEERS);
    }
    run_until(f, PEERS * EACH);
    for (size_t i = 0; i < PEERS; i++) {
        for (uint32_t n = 0; n < EACH; n++) {
            uint32_t answer;
            assert_int_equal(recv(fds[i], &answer, sizeof answer, 0), sizeof answer);
            assert_int_equal(answer, n);
        }
        close(fds[i]);
    }
    assert_sent(f, PEERS * EACH);
    struct udp_worker_counters all = {0};
    for (size_t i = 0; i < udp_worker_count(f->udp); i++) {
        struct udp_worker_counters one = udp_counters_of_worker(f->udp, i);
        all.received += one.received;
        all.received_bytes += one.received_bytes;
        all.out.sent += one.out.sent;
        all.dropped += one.dropped;
        assert_true(one.received < PEERS * EACH); /* 3^-23 that one has them all */
        assert_true(one.cpu_ns > 0);
    }
    assert_int_equal(all.received, PEERS * EACH);
    assert_int_equal(all.received_bytes, PEERS * EACH * sizeof(uint32_t));
    assert_int_equal(all.out.sent, PEERS * EACH);
    assert_int_equal(all.dropped, 0);
}

/* How often a ring was full, of those to the workers or of those from them. */
static uint64_t full_rings(const struct fixture *f, bool out) {
    uint64_t full = 0;
    for (size_t i = 0; i < udp_worker_count(f->udp); i++) {
        struct udp_worker_counters one = udp_counters_of_worker(f->udp, i);
        full += out ? one.full_out : one.full_in;
    }
    return full;
}

/* More than the ring of departures holds, before the loop comes to sleep: it waits for the worker, nothing is lost. */
static void test_a_full_ring_of_departures_loses_nothing(void **state) {
    struct fixture *f = *state;
    static uint8_t bytes[UDP_DATAGRAM_OUT];
    struct address nobody = {.family = ADDRESS_IPV4, .port = 9, .ip = {127, 0, 0, 1}};
    size_t count = 0;
    while (full_rings(f, true) == 0) { /* the worker may be the faster one for a while */
        for (size_t i = 0; i < 2 * UDP_WORKER_RING / UDP_DATAGRAM_OUT; i++, count++)
            assert_int_equal(udp_send(f->udp, &f->listeners[1], &nobody, NULL, slice_of(bytes, sizeof bytes)), 0);
    }
    udp_flush(f->udp);
    for (;;) {
        struct udp_counters counters = udp_counters(f->udp);
        if (counters.sent + counters.send_failed == count)
            break;
        sched_yield();
    }
}

/* The loop does not run while they come: the ring fills, then the system's buffer, which drops what is too much. What is not
 * dropped is delivered, in order and once. */
static void test_a_full_ring_of_arrivals_stops_fetching(void **state) {
    struct fixture *f = *state;
    enum { LENGTH = 8000 };
    int fd = client();
    size_t sent = 0;
    f->answers = false;
    while (udp_counters(f->udp).dropped == 0 || full_rings(f, false) == 0) {
        for (size_t i = 0; i < 16; i++, sent++)
            send_to(fd, "127.0.0.1", f->listeners[1].address.port, LENGTH);
    }
    assert_true(sent * LENGTH > UDP_WORKER_RING / 2);
    run_until(f, sent - udp_counters(f->udp).dropped);
    send_to(fd, "127.0.0.1", f->listeners[1].address.port, 5);
    while (f->received_len != 5)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->received + udp_counters(f->udp).dropped, sent + 1);
    close(fd);
}

static void test_once_workers_run_no_listener_can_join(void **state) {
    struct fixture *f = *state;
    struct listener late = {.number = 2, .address = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}}};
    assert_int_equal(udp_listen(f->udp, &late), -EBUSY);
}

static void test_an_address_that_workers_share_is_taken(void **state) {
    struct fixture *f = *state;
    struct fixture other = {0};
    uv_loop_init(&other.loop);
    other.udp = udp_new(&other.loop, on_datagram, &other);
    assert_int_equal(udp_set_workers(other.udp, 2), 0);
    other.listeners[0] = f->listeners[1];
    assert_int_equal(udp_listen(other.udp, &other.listeners[0]), -EADDRINUSE);
    udp_close(other.udp);
    uv_run(&other.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&other.loop), 0);
}

static void test_what_was_sent_leaves_before_workers_end(void **state) {
    struct fixture *f = *state;
    int fd = client();
    send_to(fd, "127.0.0.1", f->listeners[1].address.port, 4);
    f->answers = false;
    while (f->received < 1)
        uv_run(&f->loop, UV_RUN_ONCE);
    for (int i = 0; i < 100; i++)
        assert_int_equal(link_send(f->last, slice_str("good bye")), 0);
    stop(state);
    for (int i = 0; i < 100; i++)
        receive_from(fd);
    close(fd);
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, start, stop)
#define WORKERS(name)   cmocka_unit_test_setup_teardown(name, start_workers, stop)
#define WITH_BOTH(name) TEST(name), WORKERS(name)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_BOTH(test_MSG_51_answers_leave_from_the_address_that_was_asked),
        WITH_BOTH(test_one_link_for_each_listener_and_peer),
        WITH_BOTH(test_links_nobody_keeps_are_freed),
        WITH_BOTH(test_a_link_can_be_asked_for),
        TEST(test_links_stay_when_the_port_changes),
        WITH_BOTH(test_datagrams_of_other_transports_have_no_link),
        WITH_BOTH(test_datagrams_of_every_size),
        WITH_BOTH(test_bursts_go_both_ways),
        WITH_BOTH(test_many_links),
        WITH_BOTH(test_an_address_that_is_taken),
        TEST(test_an_ipv6_wildcard_takes_ipv4_too),
        WORKERS(test_datagrams_of_each_peer_stay_in_order_and_every_worker_serves_some),
        WORKERS(test_a_full_ring_of_departures_loses_nothing),
        WORKERS(test_a_full_ring_of_arrivals_stops_fetching),
        WORKERS(test_once_workers_run_no_listener_can_join),
        WORKERS(test_an_address_that_workers_share_is_taken),
        cmocka_unit_test_setup(test_what_was_sent_leaves_before_workers_end, start_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
