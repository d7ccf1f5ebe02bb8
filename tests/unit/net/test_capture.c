#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/net/capture.h"

static const struct address peer = {.family = ADDRESS_IPV4, .port = 49152, .ip = {192, 0, 2, 1}};
static const struct address local = {.family = ADDRESS_IPV4, .port = 5684, .ip = {192, 0, 2, 2}};
static const struct address peer6 = {.family = ADDRESS_IPV6, .port = 49152, .ip = {0x20, 1, 0xd, 0xb8, [15] = 1}};
static const struct address local6 = {.family = ADDRESS_IPV6, .port = 5683, .ip = {0x20, 1, 0xd, 0xb8, [15] = 2}};

static uint32_t u32_at(struct slice file, size_t at) {
    uint32_t value;
    assert_true(at + 4 <= file.len);
    memcpy(&value, file.data + at, 4);
    return value;
}

/* The block of this number, from 0; its length stands at both of its ends. */
static struct slice block(const struct capture *capture, size_t number, uint32_t *type) {
    struct slice file = capture_bytes(capture);
    size_t at = 0;
    for (;; number--) {
        if (at == file.len)
            return SLICE_NONE;
        uint32_t len = u32_at(file, at + 4);
        assert_int_equal(len % 4, 0);
        assert_int_equal(u32_at(file, at + len - 4), len);
        *type = u32_at(file, at);
        if (number == 0)
            return slice_of(file.data + at, len);
        at += len;
    }
}

static struct slice packet(const struct capture *capture, size_t number) {
    uint32_t type;
    struct slice bytes = block(capture, 2 + number, &type);
    if (bytes.len == 0)
        return bytes;
    assert_int_equal(type, 6);
    return slice_of(bytes.data + 28, u32_at(bytes, 20));
}

static uint16_t sum(struct slice bytes, uint32_t start) {
    uint32_t total = start;
    for (size_t i = 0; i < bytes.len; i++)
        total += i % 2 == 0 ? (uint32_t)bytes.data[i] << 8 : bytes.data[i];
    while (total >> 16 != 0)
        total = (total & 0xffff) + (total >> 16);
    return (uint16_t)total;
}

static uint32_t number_at(struct slice bytes, size_t at) {
    return (uint32_t)bytes.data[at] << 24 | (uint32_t)bytes.data[at + 1] << 16 | (uint32_t)bytes.data[at + 2] << 8 |
           bytes.data[at + 3];
}

static void add_stream(struct capture *capture, bool sent, uint32_t offset, struct slice bytes) {
    capture_add(capture, &(struct capture_packet){.sent = sent,
                                                  .is_stream = true,
                                                  .has_offset = true,
                                                  .offset = offset,
                                                  .peer = peer,
                                                  .local = local,
                                                  .bytes = bytes});
}

static void test_a_file_begins_with_its_section_and_interface(void **state) {
    (void)state;
    struct capture *capture = capture_new("Berth");
    uint32_t type;
    struct slice section = block(capture, 0, &type);
    assert_int_equal(type, 0x0a0d0d0a);
    assert_int_equal(u32_at(section, 8), 0x1a2b3c4d);
    struct slice interface = block(capture, 1, &type);
    assert_int_equal(type, 1);
    assert_int_equal(u32_at(interface, 8), 101); /* LINKTYPE_RAW */
    assert_int_equal(block(capture, 2, &type).len, 0);
    capture_free(capture);
}

static void test_secrets_stand_before_packets(void **state) {
    (void)state;
    struct capture *capture = capture_new("Berth");
    uint32_t type;
    capture_add_secrets(capture, SLICE_NONE); /* makes no block */
    capture_add_secrets(capture, slice_str("CLIENT_RANDOM a b\n"));
    struct slice secrets = block(capture, 2, &type);
    assert_int_equal(type, 10);
    assert_int_equal(u32_at(secrets, 8), 0x544c534b);
    assert_int_equal(u32_at(secrets, 12), 18);
    assert_memory_equal(secrets.data + 16, "CLIENT_RANDOM a b\n", 18);
    capture_free(capture);
}

static void test_a_datagram_becomes_a_packet_with_right_checksums(void **state) {
    (void)state;
    struct capture *capture = capture_new("Berth");
    capture_add(capture, &(struct capture_packet){.time_ms = 1780000000123,
                                                  .peer = peer,
                                                  .local = local,
                                                  .bytes = slice_str("odd"),
                                                  .remark = slice_str("register")});
    struct slice bytes = packet(capture, 0);
    assert_int_equal(bytes.len, 20 + 8 + 3);
    assert_int_equal(sum(slice_of(bytes.data, 20), 0), 0xffff);
    assert_memory_equal(bytes.data + 12, "\xc0\x00\x02\x01\xc0\x00\x02\x02", 8); /* it came: from the peer */
    assert_memory_equal(bytes.data + 20, "\xc0\x00\x16\x34\x00\x0b", 6);
    uint32_t pseudo = 17 + 11 + sum(slice_of(bytes.data + 12, 8), 0);
    assert_int_equal(sum(slice_from(bytes, 20), pseudo), 0xffff);
    assert_memory_equal(bytes.data + 28, "odd", 3);

    uint32_t type;
    struct slice whole = block(capture, 2, &type);
    assert_int_equal((uint64_t)u32_at(whole, 12) << 32 | u32_at(whole, 16), 1780000000123);
    assert_memory_equal(whole.data + 28 + 32, "\x02\0\x04\0\x01\0\0\0\x01\0\x08\0register", 20); /* inbound */
    capture_free(capture);
}

static void test_ipv6_and_what_was_sent(void **state) {
    (void)state;
    struct capture *capture = capture_new("Berth");
    capture_add(capture,
                &(struct capture_packet){.sent = true, .peer = peer6, .local = local6, .bytes = slice_str("four")});
    struct slice bytes = packet(capture, 0);
    assert_int_equal(bytes.len, 40 + 8 + 4);
    assert_int_equal(bytes.data[0], 0x60);
    assert_memory_equal(bytes.data + 8, local6.ip, 16);
    assert_memory_equal(bytes.data + 24, peer6.ip, 16);
    uint32_t pseudo = 17 + 12 + sum(slice_of(bytes.data + 8, 32), 0);
    assert_int_equal(sum(slice_from(bytes, 40), pseudo), 0xffff);
    capture_free(capture);
}

static void test_bytes_of_a_connection_follow_its_handshake(void **state) {
    (void)state;
    struct capture *capture = capture_new("Berth");
    add_stream(capture, false, 0, slice_str("hello"));
    add_stream(capture, true, 0, slice_str("ok"));
    add_stream(capture, false, 5, slice_str("more"));
    static const struct {
        uint32_t sequence, acknowledged;
        uint8_t flags;
    } expected[] = {{0, 0, 2}, {0, 1, 18}, {1, 1, 16}, {1, 1, 24}, {1, 6, 24}, {6, 3, 24}};
    for (size_t i = 0; i < 6; i++) {
        struct slice tcp = slice_from(packet(capture, i), 20);
        assert_int_equal(number_at(tcp, 4), expected[i].sequence);
        assert_int_equal(number_at(tcp, 8), expected[i].acknowledged);
        assert_int_equal(tcp.data[13], expected[i].flags);
    }
    struct slice last = packet(capture, 5);
    uint32_t pseudo = 6 + 24 + sum(slice_of(last.data + 12, 8), 0);
    assert_int_equal(sum(slice_from(last, 20), pseudo), 0xffff);
    assert_int_equal(packet(capture, 6).len, 0);
    capture_free(capture);
}

static void test_what_is_missing_leaves_a_gap(void **state) {
    (void)state;
    struct capture *capture = capture_new("Berth");
    add_stream(capture, false, 100, slice_str("later")); /* no handshake: its beginning is not there */
    add_stream(capture, false, 200, slice_str("still later"));
    assert_int_equal(number_at(slice_from(packet(capture, 0), 20), 4), 101);
    assert_int_equal(number_at(slice_from(packet(capture, 1), 20), 4), 201);
    assert_int_equal(packet(capture, 2).len, 0);
    capture_free(capture);
}

static void test_a_port_that_is_used_again_is_another_connection(void **state) {
    (void)state;
    struct capture *capture = capture_new("Berth");
    add_stream(capture, false, 0, slice_str("one"));
    add_stream(capture, false, 0, slice_str("two"));
    assert_int_equal(slice_from(packet(capture, 4), 20).data[13], 2); /* SYN */
    assert_int_equal(number_at(slice_from(packet(capture, 7), 20), 4), 1);
    capture_free(capture);
}

static void test_many_connections_keep_their_numbers(void **state) {
    (void)state;
    struct capture *capture = capture_new("Berth");
    for (uint32_t round = 0; round < 2; round++) {
        for (uint16_t i = 0; i < 100; i++) {
            struct capture_packet one = {.is_stream = true, .peer = peer, .local = local, .bytes = slice_str("abc")};
            one.peer.port = (uint16_t)(1000 + i);
            capture_add(capture, &one);
        }
    }
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(number_at(slice_from(packet(capture, 400 + i), 20), 4), 4);
    capture_free(capture);
}

static void test_long_pieces_become_several_segments(void **state) {
    (void)state;
    static uint8_t bytes[65536];
    struct capture *capture = capture_new("Berth");
    add_stream(capture, false, 0, slice_of(bytes, sizeof bytes));
    assert_int_equal(packet(capture, 3).len, 40 + 32768);
    assert_int_equal(number_at(slice_from(packet(capture, 4), 20), 4), 32769);
    capture_add(capture, &(struct capture_packet){.peer = peer, .local = local, .bytes = slice_of(bytes, 65508)});
    capture_add(capture, &(struct capture_packet){.peer = peer, .local = local6, .bytes = slice_of(bytes, 1)});
    assert_int_equal(packet(capture, 5).len, 0); /* what can't be a packet is left out */
    capture_free(capture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_begins_with_its_section_and_interface),
        cmocka_unit_test(test_secrets_stand_before_packets),
        cmocka_unit_test(test_a_datagram_becomes_a_packet_with_right_checksums),
        cmocka_unit_test(test_ipv6_and_what_was_sent),
        cmocka_unit_test(test_bytes_of_a_connection_follow_its_handshake),
        cmocka_unit_test(test_what_is_missing_leaves_a_gap),
        cmocka_unit_test(test_a_port_that_is_used_again_is_another_connection),
        cmocka_unit_test(test_many_connections_keep_their_numbers),
        cmocka_unit_test(test_long_pieces_become_several_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
