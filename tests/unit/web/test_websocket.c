/* web/websocket.c: frames (RFC 6455 §5) and the handshake's answer (§4.2.2). */
#include "web/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct websocket_read read_all(struct websocket *socket, const char *bytes, size_t len) {
    struct websocket_read read;
    assert_int_equal(websocket_read(socket, slice_of((const uint8_t *)bytes, len), &read), len);
    return read;
}

#define READ(socket, bytes) read_all(socket, bytes, sizeof bytes - 1)

static void test_a_ping_is_unmasked(void **state) {
    struct websocket socket = {.head_len = 0};
    struct websocket_read read = READ(&socket, "\x89\x83\x01\x02\x03\x04\x60\x60\x60");
    (void)state;
    assert_int_equal(read.event, WEBSOCKET_WAS_PING);
    assert_true(slice_is(read.payload, "abc"));
}

static void test_data_is_passed_over(void **state) {
    struct websocket socket = {.head_len = 0};
    (void)state;
    assert_int_equal(READ(&socket, "\x81\x81zzzz!\x82\x80zzzz").event, WEBSOCKET_NOTHING);
    assert_int_equal(READ(&socket, "\x89\x80zzzz").event, WEBSOCKET_WAS_PING);
}

static void test_reading_stops_behind_an_event(void **state) {
    struct websocket socket = {.head_len = 0};
    struct websocket_read read;
    static const uint8_t two[] = "\x89\x80zzzz\x8a\x80zzzz";
    (void)state;
    assert_int_equal(websocket_read(&socket, slice_of(two, 12), &read), 6);
    assert_int_equal(read.event, WEBSOCKET_WAS_PING);
    assert_int_equal(websocket_read(&socket, slice_of(two + 6, 6), &read), 6);
    assert_int_equal(read.event, WEBSOCKET_WAS_PONG);
}

static void test_control_frames_come_between_fragments(void **state) {
    struct websocket socket = {.head_len = 0};
    (void)state;
    assert_int_equal(READ(&socket, "\x01\x81zzzz!").event, WEBSOCKET_NOTHING);
    assert_int_equal(READ(&socket, "\x89\x80zzzz").event, WEBSOCKET_WAS_PING);
    assert_int_equal(READ(&socket, "\x00\x81zzzz!").event, WEBSOCKET_NOTHING);
    assert_int_equal(READ(&socket, "\x80\x81zzzz!").event, WEBSOCKET_NOTHING);
    assert_false(socket.is_fragmented);
}

static void assert_status(const char *bytes, size_t len, enum websocket_event event, unsigned status) {
    struct websocket socket = {.head_len = 0};
    struct websocket_read read;
    websocket_read(&socket, slice_of((const uint8_t *)bytes, len), &read);
    assert_int_equal(read.event, event);
    assert_int_equal(read.status, status);
}

#define ASSERT_FAULT(bytes, status) assert_status(bytes, sizeof bytes - 1, WEBSOCKET_FAULT, status)
#define ASSERT_CLOSE(bytes, status) assert_status(bytes, sizeof bytes - 1, WEBSOCKET_WAS_CLOSE, status)

static void test_faults(void **state) {
    (void)state;
    ASSERT_FAULT("\x81\x01!", 1002);                                    /* not masked (§5.1) */
    ASSERT_FAULT("\xc1\x81zzzz!", 1002);                                /* a reserved bit */
    ASSERT_FAULT("\x83\x81zzzz!", 1002);                                /* a reserved opcode */
    ASSERT_FAULT("\x8b\x81zzzz!", 1002);                                /* another */
    ASSERT_FAULT("\x80\x81zzzz!", 1002);                                /* continues nothing */
    ASSERT_FAULT("\x01\x80zzzz\x81\x80zzzz", 1002);                     /* a message within another */
    ASSERT_FAULT("\x09\x80zzzz", 1002);                                 /* a ping in pieces */
    ASSERT_FAULT("\x89\xfe\x00\x7ezzzz", 1002);                         /* a ping of 126 bytes */
    ASSERT_FAULT("\x82\xfe\x00\x7dzzzz", 1002);                         /* a length that is longer than it need be */
    ASSERT_FAULT("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xffzzzz", 1002); /* another */
    ASSERT_FAULT("\x82\xff\x80\x00\x00\x00\x00\x01\x00\x00zzzz", 1002); /* the highest bit of a length */
    ASSERT_FAULT("\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01zzzz", 1009); /* 65,537 bytes */
}

static void test_closes(void **state) {
    (void)state;
    ASSERT_CLOSE("\x88\x80zzzz", 1000);
    ASSERT_CLOSE("\x88\x82\x00\x00\x00\x00\x03\xe9", 1001);
    ASSERT_CLOSE("\x88\x85\x00\x00\x00\x00\x0f\xa0"
                 "bye",
                 4000);
    ASSERT_FAULT("\x88\x81\x00\x00\x00\x00\x03", 1002);
    ASSERT_FAULT("\x88\x82\x00\x00\x00\x00\x03\xed", 1002); /* 1005 stands in no frame (§7.4.1) */
    ASSERT_FAULT("\x88\x82\x00\x00\x00\x00\x03\xe7", 1002);
}

static void assert_head(size_t payload_len, const char *expected, size_t len) {
    uint8_t memory[WEBSOCKET_HEAD_MAX];
    struct buffer head = buffer_over(memory, sizeof memory);
    websocket_put_head(&head, WEBSOCKET_TEXT, payload_len);
    assert_int_equal(head.len, len);
    assert_memory_equal(memory, expected, len);
}

static void test_heads(void **state) {
    (void)state;
    assert_head(0, "\x81\x00", 2);
    assert_head(125, "\x81\x7d", 2);
    assert_head(126, "\x81\x7e\x00\x7e", 4);
    assert_head(65535, "\x81\x7e\xff\xff", 4);
    assert_head(65536, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
}

/* §1.3 has it as an example. */
static void test_accept(void **state) {
    uint8_t memory[64];
    struct buffer text = buffer_over(memory, sizeof memory);
    (void)state;
    websocket_put_accept(&text, slice_str("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_true(slice_is(buffer_slice(&text), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_ping_is_unmasked),
        cmocka_unit_test(test_data_is_passed_over),
        cmocka_unit_test(test_reading_stops_behind_an_event),
        cmocka_unit_test(test_control_frames_come_between_fragments),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_closes),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
