/* What messages mean, and which answer belongs to what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/coap/option.h"
#include "server/message_kind.h"

static struct listener listener = {.transport = LINK_UDP};
static struct link link, other;
static struct message_memory memory;

static int start(void **state) {
    (void)state;
    link = (struct link){.listener = &listener};
    other = link;
    listener.prefix[0] = '\0';
    memset(&memory, 0, sizeof memory);
    return 0;
}

static void make(struct coap_message *message, enum coap_type type, uint8_t code, uint16_t mid, const char *token,
                 const char *path) {
    coap_message_init(message, type, code, mid, slice_str(token));
    while (*path != '\0') {
        size_t len = strcspn(path, "/");
        coap_option_add(message, COAP_URI_PATH, slice_of(path, len));
        path += len + (path[len] == '/');
    }
}

static uint32_t judge(bool is_sent, const struct coap_message *message) {
    const struct remembered_message *answered;
    struct remembered_message *entry;
    return message_memory_judge(&memory, &link, is_sent, message, &answered, &entry);
}

static uint32_t request(bool is_sent, uint8_t code, const char *path) {
    struct coap_message message;
    make(&message, COAP_CON, code, 1, "t", path);
    return judge(is_sent, &message) & ~(uint32_t)(MESSAGE_CON | MESSAGE_REQUEST);
}

static void test_requests_of_devices(void **state) {
    (void)state;
    assert_int_equal(request(false, COAP_POST, "rd"), MESSAGE_REGISTER);
    assert_int_equal(request(false, COAP_POST, "rd/a"), MESSAGE_UPDATE);
    assert_int_equal(request(false, COAP_POST, "rd/a/b"), MESSAGE_UPDATE);
    assert_int_equal(request(false, COAP_PUT, "rd/a"), MESSAGE_UPDATE);
    assert_int_equal(request(false, COAP_DELETE, "rd/a"), MESSAGE_DEREGISTER);
    assert_int_equal(request(false, COAP_GET, "rd"), 0);
    assert_int_equal(request(false, COAP_GET, "rd/a"), 0);
    assert_int_equal(request(false, COAP_POST, "dp"), MESSAGE_SEND);
    assert_int_equal(request(false, COAP_POST, "bs"), MESSAGE_BOOTSTRAP);
    assert_int_equal(request(false, COAP_GET, "bspack"), MESSAGE_BOOTSTRAP);
    assert_int_equal(request(false, COAP_GET, "bs"), 0);
    assert_int_equal(request(false, COAP_GET, ".well-known/core"), 0);
}

static void test_the_prefix_of_a_listener_may_be_there_or_not(void **state) {
    (void)state;
    strcpy(listener.prefix, "one/two");
    assert_int_equal(request(false, COAP_POST, "one/two/rd"), MESSAGE_REGISTER);
    assert_int_equal(request(false, COAP_POST, "rd/a"), MESSAGE_UPDATE);
    assert_int_equal(request(false, COAP_POST, "one/rd"), 0);
}

static void test_the_location_is_what_is_below_rd(void **state) {
    (void)state;
    struct coap_message message;
    struct slice segments[2];
    make(&message, COAP_CON, COAP_POST, 1, "t", "rd/ab/cd/ef");
    assert_int_equal(message_location(&listener, &message, segments, 2), 2);
    assert_true(slice_is(segments[0], "ab") && slice_is(segments[1], "cd"));
    make(&message, COAP_CON, COAP_POST, 1, "t", "dp");
    assert_int_equal(message_location(&listener, &message, segments, 2), 0);
}

static void test_requests_of_ours(void **state) {
    (void)state;
    struct coap_message message;
    struct coap_uint accept;
    assert_int_equal(request(true, COAP_GET, "3/0/9"), MESSAGE_READ);
    assert_int_equal(request(true, COAP_FETCH, ""), MESSAGE_READ);
    assert_int_equal(request(true, COAP_PUT, "3/0/14"), MESSAGE_WRITE);
    assert_int_equal(request(true, COAP_IPATCH, ""), MESSAGE_WRITE);
    assert_int_equal(request(true, COAP_POST, "3/0"), MESSAGE_WRITE);
    assert_int_equal(request(true, COAP_POST, "lwm2m/3/0"), MESSAGE_WRITE);
    assert_int_equal(request(true, COAP_POST, "3"), MESSAGE_CREATE);
    assert_int_equal(request(true, COAP_POST, "3/0/4"), MESSAGE_EXECUTE);
    assert_int_equal(request(true, COAP_POST, "bs"), MESSAGE_BOOTSTRAP);
    assert_int_equal(request(true, COAP_DELETE, "3/0"), MESSAGE_DELETE);
    make(&message, COAP_CON, COAP_GET, 1, "t", "3");
    coap_option_add_uint(&message, COAP_ACCEPT, COAP_FORMAT_LINK, &accept);
    assert_true((judge(true, &message) & MESSAGE_DISCOVER) != 0);
    make(&message, COAP_CON, COAP_FETCH, 1, "t", "");
    coap_option_add(&message, COAP_OBSERVE, SLICE_NONE);
    assert_true((judge(true, &message) & MESSAGE_OBSERVE) != 0);
}

static void test_an_ack_is_of_the_kind_of_what_it_acknowledges(void **state) {
    (void)state;
    struct coap_message message;
    request(false, COAP_POST, "rd");
    make(&message, COAP_ACK, COAP_2_01_CREATED, 1, "t", "");
    assert_int_equal(judge(true, &message), MESSAGE_ACK | MESSAGE_RESPONSE | MESSAGE_REGISTER);
    make(&message, COAP_ACK, COAP_EMPTY, 1, "", "");
    assert_int_equal(judge(true, &message), MESSAGE_ACK | MESSAGE_REGISTER);
    message.mid = 2;
    assert_int_equal(judge(true, &message), MESSAGE_ACK);
    message.mid = 1;
    assert_int_equal(judge(false, &message), MESSAGE_ACK); /* ours is no answer to ours */
}

static void test_a_separate_answer_is_known_by_its_token_and_so_is_its_ack(void **state) {
    (void)state;
    struct coap_message message;
    request(true, COAP_GET, "3/0/9");
    make(&message, COAP_CON, COAP_2_05_CONTENT, 77, "t", "");
    assert_int_equal(judge(false, &message), MESSAGE_CON | MESSAGE_RESPONSE | MESSAGE_READ);
    make(&message, COAP_ACK, COAP_EMPTY, 77, "", "");
    assert_int_equal(judge(true, &message), MESSAGE_ACK | MESSAGE_READ);
    make(&message, COAP_CON, COAP_2_05_CONTENT, 78, "u", "");
    assert_int_equal(judge(false, &message), MESSAGE_CON | MESSAGE_RESPONSE);
}

static void test_the_first_answer_to_an_observe_is_its_own_and_what_follows_notifies(void **state) {
    (void)state;
    struct coap_message message;
    make(&message, COAP_CON, COAP_GET, 1, "t", "3/0/9");
    coap_option_add(&message, COAP_OBSERVE, SLICE_NONE);
    assert_int_equal(judge(true, &message), MESSAGE_CON | MESSAGE_REQUEST | MESSAGE_OBSERVE);
    make(&message, COAP_ACK, COAP_2_05_CONTENT, 1, "t", "");
    coap_option_add(&message, COAP_OBSERVE, SLICE_NONE);
    assert_int_equal(judge(false, &message), MESSAGE_ACK | MESSAGE_RESPONSE | MESSAGE_OBSERVE);
    message.type = COAP_CON;
    message.mid = 50;
    assert_int_equal(judge(false, &message), MESSAGE_CON | MESSAGE_RESPONSE | MESSAGE_NOTIFY);
    make(&message, COAP_ACK, COAP_EMPTY, 50, "", "");
    assert_int_equal(judge(true, &message), MESSAGE_ACK | MESSAGE_NOTIFY);
}

static void test_pings_and_what_answers_them(void **state) {
    (void)state;
    struct coap_message message;
    make(&message, COAP_CON, COAP_EMPTY, 9, "", "");
    assert_int_equal(judge(false, &message), MESSAGE_CON | MESSAGE_PING);
    make(&message, COAP_RST, COAP_EMPTY, 9, "", "");
    assert_int_equal(judge(true, &message), MESSAGE_RST | MESSAGE_PING);
    link.framing = LINK_STREAM_8323;
    make(&message, COAP_CON, COAP_CODE(7, 2), 0, "t", "");
    assert_int_equal(judge(false, &message), MESSAGE_PING);
    make(&message, COAP_CON, COAP_CODE(7, 3), 0, "t", "");
    assert_int_equal(judge(true, &message), MESSAGE_PING);
    make(&message, COAP_CON, COAP_CODE(7, 1), 0, "x", "");
    assert_int_equal(judge(true, &message), MESSAGE_OTHER);
}

static void test_a_2_31(void **state) {
    (void)state;
    struct coap_message message;
    request(false, COAP_POST, "rd");
    make(&message, COAP_ACK, COAP_2_31_CONTINUE, 1, "t", "");
    assert_int_equal(judge(true, &message), MESSAGE_ACK | MESSAGE_RESPONSE | MESSAGE_REGISTER | MESSAGE_CONTINUE);
}

static void test_links_are_told_apart_and_endpoints_go_from_question_to_answer(void **state) {
    (void)state;
    struct coap_message message;
    const struct remembered_message *answered;
    struct remembered_message *entry;
    make(&message, COAP_CON, COAP_POST, 1, "t", "rd");
    message_memory_judge(&memory, &link, false, &message, &answered, &entry);
    assert_null(answered);
    entry->endpoint = 4711;
    make(&message, COAP_ACK, COAP_2_01_CREATED, 1, "t", "");
    assert_int_equal(message_memory_judge(&memory, &other, true, &message, &answered, &entry),
                     MESSAGE_ACK | MESSAGE_RESPONSE);
    assert_null(answered);
    message_memory_judge(&memory, &link, true, &message, &answered, &entry);
    assert_int_equal(answered->endpoint, 4711);
}

static void test_the_oldest_are_forgotten(void **state) {
    (void)state;
    struct coap_message message;
    request(false, COAP_POST, "rd");
    for (uint16_t mid = 2; mid <= MESSAGES_REMEMBERED; mid++) {
        make(&message, COAP_CON, COAP_POST, mid, "x", "dp");
        judge(false, &message);
    }
    make(&message, COAP_ACK, COAP_EMPTY, 1, "", "");
    assert_int_equal(judge(true, &message), MESSAGE_ACK | MESSAGE_REGISTER);
    make(&message, COAP_CON, COAP_POST, 999, "x", "dp");
    judge(false, &message);
    make(&message, COAP_ACK, COAP_EMPTY, 1, "", "");
    assert_int_equal(judge(true, &message), MESSAGE_ACK);
}

static void test_datagrams_of_dtls(void **state) {
    (void)state;
    static const struct {
        uint8_t bytes[13];
        uint32_t kind;
    } known[] = {
        {{22, 254, 253, 0, 0}, MESSAGE_HANDSHAKE}, {{22, 254, 253, 0, 1}, MESSAGE_HANDSHAKE},
        {{20, 254, 253, 0, 0}, MESSAGE_HANDSHAKE}, {{21, 254, 253, 0, 0}, MESSAGE_HANDSHAKE},
        {{21, 254, 253, 0, 1}, MESSAGE_RECORD},    {{23, 254, 253, 0, 1}, MESSAGE_RECORD},
        {{25, 254, 253, 0, 1}, MESSAGE_RECORD},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(message_datagram_kind(slice_of(known[i].bytes, sizeof known[i].bytes)), known[i].kind);
    assert_int_equal(message_datagram_kind(slice_of(known[0].bytes, 4)), 0);
}

static void test_names(void **state) {
    (void)state;
    uint32_t kind;
    assert_true(message_kind_parse(slice_str("deregister"), &kind));
    assert_int_equal(kind, MESSAGE_DEREGISTER);
    assert_string_equal(message_kind_name(kind), "deregister");
    assert_true(message_kind_parse(slice_str("any"), &kind));
    assert_int_equal(kind, MESSAGE_ANY);
    assert_string_equal(message_kind_name(kind), "any");
    assert_string_equal(message_kind_name(MESSAGE_CON | MESSAGE_REQUEST | MESSAGE_UPDATE), "update");
    assert_string_equal(message_kind_name(MESSAGE_ACK | MESSAGE_RESPONSE), "response");
    assert_false(message_kind_parse(slice_str("Register"), &kind));
    assert_false(message_kind_parse(slice_str(""), &kind));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_requests_of_devices, start),
        cmocka_unit_test_setup(test_the_prefix_of_a_listener_may_be_there_or_not, start),
        cmocka_unit_test_setup(test_the_location_is_what_is_below_rd, start),
        cmocka_unit_test_setup(test_requests_of_ours, start),
        cmocka_unit_test_setup(test_an_ack_is_of_the_kind_of_what_it_acknowledges, start),
        cmocka_unit_test_setup(test_a_separate_answer_is_known_by_its_token_and_so_is_its_ack, start),
        cmocka_unit_test_setup(test_the_first_answer_to_an_observe_is_its_own_and_what_follows_notifies, start),
        cmocka_unit_test_setup(test_pings_and_what_answers_them, start),
        cmocka_unit_test_setup(test_a_2_31, start),
        cmocka_unit_test_setup(test_links_are_told_apart_and_endpoints_go_from_question_to_answer, start),
        cmocka_unit_test_setup(test_the_oldest_are_forgotten, start),
        cmocka_unit_test_setup(test_datagrams_of_dtls, start),
        cmocka_unit_test_setup(test_names, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
