/* ClientHellos as they are looked at before anything is kept, whole and in pieces, and the HelloVerifyRequest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/net/hello.h"

/* A ClientHello's body: session id of 3 bytes, the cookie, two suites, the extensions. */
static struct slice body_of(const char *extensions, size_t extensions_len, struct slice cookie, uint8_t bytes[512]) {
    struct buffer out = buffer_over(bytes, 512);
    uint8_t random[32];
    memset(random, 7, sizeof random);
    buffer_put_u16(&out, 0xfefd);
    buffer_put(&out, random, sizeof random);
    buffer_put(&out, "\3abc", 4);
    buffer_put_u8(&out, (uint8_t)cookie.len);
    buffer_put_slice(&out, cookie);
    buffer_put(&out, "\0\4\xc0\xa8\0\xff\1\0", 8);
    if (extensions != NULL) {
        buffer_put_u16(&out, (uint16_t)extensions_len);
        buffer_put(&out, extensions, extensions_len);
    }
    assert_false(out.overflow);
    return buffer_slice(&out);
}

/* A datagram of one record with the part of `body` from `offset` on. */
static struct slice record_of(struct slice body, size_t offset, size_t len, uint8_t bytes[1024]) {
    struct buffer out = buffer_over(bytes, 1024);
    buffer_put(&out, "\x16\xfe\xff\0\0\0\0\0\0\0\x09", 11);
    buffer_put_u16(&out, (uint16_t)(12 + len));
    buffer_put(&out, "\1\0", 2);
    buffer_put_u16(&out, (uint16_t)body.len);
    buffer_put(&out, "\0\1\0", 3);
    buffer_put_u16(&out, (uint16_t)offset);
    buffer_put_u8(&out, 0);
    buffer_put_u16(&out, (uint16_t)len);
    buffer_put(&out, body.data + offset, len);
    assert_false(out.overflow);
    return buffer_slice(&out);
}

static const char extensions[] = "\0\x36\0\1\0"                 /* CID of no bytes */
                                 "\0\xfe\0\1\0"                 /* the draft's */
                                 "\0\0\0\x0b\0\x09\0\0\6berth." /* server name */
                                 "\0\x17\0\0";                  /* extended master secret */

static void test_a_whole_hello(void **state) {
    (void)state;
    uint8_t body_bytes[512], bytes[1024];
    struct slice body = body_of(extensions, sizeof extensions - 1, slice_str("12345678"), body_bytes);
    struct hello_fragment fragment;
    struct client_hello hello;
    assert_true(hello_read_fragment(record_of(body, 0, body.len, bytes), &fragment));
    assert_int_equal(fragment.record_number, 9);
    assert_int_equal(fragment.message_seq, 1);
    assert_int_equal(fragment.offset, 0);
    assert_int_equal(fragment.message_len, body.len);
    assert_true(slice_equal(fragment.bytes, body));
    assert_true(hello_read(fragment.bytes, true, &hello));
    assert_int_equal(hello.version, 0xfefd);
    assert_true(slice_is(hello.session_id, "abc"));
    assert_true(slice_is(hello.cookie, "12345678"));
    assert_true(hello.has_cid);
    assert_true(hello.has_draft_cid);
    assert_true(slice_is(hello.server_name, "berth."));
    assert_true(hello_offers(&hello, 0xc0a8));
    assert_true(hello_offers(&hello, 0x00ff));
    assert_false(hello_offers(&hello, 0xa800)); /* across two of them */
}

static void test_a_hello_without_extensions(void **state) {
    (void)state;
    uint8_t body_bytes[512];
    struct client_hello hello;
    assert_true(hello_read(body_of(NULL, 0, SLICE_NONE, body_bytes), true, &hello));
    assert_false(hello.has_cid || hello.has_draft_cid);
    assert_int_equal(hello.cookie.len, 0);
}

static void test_CID_17_extension_53_is_not_one_of_ours(void **state) {
    (void)state;
    uint8_t body_bytes[512];
    struct client_hello hello;
    assert_true(hello_read(body_of("\0\x35\0\1\0", 5, SLICE_NONE, body_bytes), true, &hello));
    assert_false(hello.has_cid || hello.has_draft_cid);
}

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    uint8_t body_bytes[512], bytes[1024], copy[512];
    struct slice body = body_of(extensions, sizeof extensions - 1, slice_str("12345678"), body_bytes);
    struct slice datagram = record_of(body, 0, body.len, bytes);
    struct hello_fragment fragment;
    struct client_hello hello;
    for (size_t len = 0; len < datagram.len; len++)
        assert_false(hello_read_fragment(slice_of(datagram.data, len), &fragment));
    size_t to_cookie = 2 + 32 + 4 + 9, without_extensions = to_cookie + 8;
    for (size_t len = 0; len < body.len; len++) {
        memcpy(copy, body.data, len);
        assert_int_equal(hello_read(slice_of(copy, len), true, &hello), len == without_extensions);
        assert_int_equal(hello_read(slice_of(copy, len), false, &hello), len >= to_cookie);
    }
}

static void test_what_is_no_hello(void **state) {
    (void)state;
    uint8_t body_bytes[512], bytes[1024];
    struct slice body = body_of(NULL, 0, SLICE_NONE, body_bytes);
    struct hello_fragment fragment;
    static const size_t places[] = {0, 1, 3, 13, 19, 22}; /* type, version, epoch, message type, offset, length */
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct slice datagram = record_of(body, 0, body.len, bytes);
        bytes[places[i]] ^= 0x40;
        assert_false(hello_read_fragment(datagram, &fragment));
    }
    assert_false(hello_read_fragment(record_of(body, 3, 0, bytes), &fragment)); /* a fragment of nothing */
    struct client_hello hello;
    body_bytes[0] = 3; /* TLS */
    assert_false(hello_read(body, true, &hello));
}

static void test_SEC_09_pieces_in_any_order_make_the_hello(void **state) {
    (void)state;
    uint8_t body_bytes[512], bytes[1024];
    struct slice body = body_of(extensions, sizeof extensions - 1, slice_str("12345678"), body_bytes);
    static struct hello_assembly assembly;
    static const size_t pieces[][2] = {{60, 20}, {0, 30}, {20, 45}, {0, 30}}; /* overlapping and repeated */
    struct hello_fragment fragment;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        assert_true(hello_read_fragment(record_of(body, pieces[i][0], pieces[i][1], bytes), &fragment));
        assert_true(hello_assemble(&assembly, &fragment));
        assert_false(hello_is_whole(&assembly));
        assert_true(hello_has(&assembly, &fragment));
    }
    assert_true(hello_read_fragment(record_of(body, 79, body.len - 79, bytes), &fragment));
    assert_false(hello_has(&assembly, &fragment));
    assert_true(hello_assemble(&assembly, &fragment));
    assert_true(hello_is_whole(&assembly));
    assert_true(slice_equal(slice_of(assembly.body, assembly.have), body));
    fragment.message_len++;
    assert_false(hello_has(&assembly, &fragment));
    assert_false(hello_assemble(&assembly, &fragment)); /* of another message */
    static struct hello_assembly other;
    fragment = (struct hello_fragment){.message_len = HELLO_MAX + 1, .bytes = slice_str("a")};
    assert_false(hello_assemble(&other, &fragment));
}

static void test_SEC_08_the_request_for_a_cookie_is_36_bytes(void **state) {
    (void)state;
    uint8_t bytes[64];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    struct hello_fragment fragment = {.record_number = 0x010203040506};
    hello_put_verify_request(&out, &fragment, (const uint8_t *)"cookie!!");
    static const char expected[] = "\x16\xfe\xfd\0\0\1\2\3\4\5\6\0\x17"
                                   "\3\0\0\x0b\0\0\0\0\0\0\0\x0b\xfe\xff\x08"
                                   "cookie!!";
    assert_int_equal(out.len, 36);
    assert_memory_equal(bytes, expected, 36);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_hello),
        cmocka_unit_test(test_a_hello_without_extensions),
        cmocka_unit_test(test_CID_17_extension_53_is_not_one_of_ours),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_what_is_no_hello),
        cmocka_unit_test(test_SEC_09_pieces_in_any_order_make_the_hello),
        cmocka_unit_test(test_SEC_08_the_request_for_a_cookie_is_36_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
