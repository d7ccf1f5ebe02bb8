#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "web/v1/event_json.h"

static void assert_json(struct event event, const char *expected) {
    json_t *object = event_json(&event);
    char *text = json_dumps(object, JSON_COMPACT);
    assert_string_equal(text, expected);
    free(text);
    json_decref(object);
}

static void test_registered(void **state) {
    (void)state;
    assert_json((struct event){.id = 7,
                               .ts_ms = 1795248000123,
                               .type = EVENT_REGISTERED,
                               .endpoint = slice_str("dev1"),
                               .location = slice_str("4Kx9"),
                               .address = {.family = ADDRESS_IPV4, .port = 5683, .ip = {192, 0, 2, 1}},
                               .lifetime_s = 300},
                "{\"id\":7,\"ts\":\"2026-11-21T08:00:00.123Z\",\"type\":\"registered\",\"endpoint\":\"dev1\","
                "\"location\":\"/rd/4Kx9\",\"lifetime_s\":300,\"address\":\"192.0.2.1:5683\"}");
}

static void test_replaced_has_the_old_location(void **state) {
    (void)state;
    assert_json((struct event){.id = 8,
                               .type = EVENT_REPLACED,
                               .endpoint = slice_str("dev1"),
                               .location = slice_str("b"),
                               .previous = slice_str("a")},
                "{\"id\":8,\"ts\":\"1970-01-01T00:00:00.000Z\",\"type\":\"replaced\",\"endpoint\":\"dev1\","
                "\"location\":\"/rd/b\",\"lifetime_s\":0,\"previous\":\"/rd/a\"}");
}

static void test_address_changed_has_the_old_address(void **state) {
    (void)state;
    assert_json((struct event){.id = 9,
                               .type = EVENT_ADDRESS_CHANGED,
                               .endpoint = slice_str("dev1"),
                               .previous = slice_str("192.0.2.1:1"),
                               .address = {.family = ADDRESS_IPV6, .port = 2, .ip = {[15] = 1}}},
                "{\"id\":9,\"ts\":\"1970-01-01T00:00:00.000Z\",\"type\":\"address_changed\",\"endpoint\":\"dev1\","
                "\"previous\":\"192.0.2.1:1\",\"address\":\"[::1]:2\"}");
}

static void test_rejected_without_a_device(void **state) {
    (void)state;
    assert_json((struct event){.id = 10, .type = EVENT_REJECTED, .detail = slice_str("no ep"), .coap_code = 0x80},
                "{\"id\":10,\"ts\":\"1970-01-01T00:00:00.000Z\",\"type\":\"rejected\",\"endpoint\":null,"
                "\"detail\":\"no ep\",\"coap_code\":\"4.00\"}");
}

static void test_notification_has_its_observation_and_value(void **state) {
    (void)state;
    struct event event = {.id = 11,
                          .type = EVENT_NOTIFICATION,
                          .endpoint = slice_str("dev1"),
                          .has_node = true,
                          .node = {.path = {.ids = {3, 0, 9}, .len = 3}, .value = lwm2m_integer(95)},
                          .observation = 5,
                          .sequence = 13,
                          .has_sequence = true,
                          .is_stale = true,
                          .is_confirmable = true};
    assert_json(event, "{\"id\":11,\"ts\":\"1970-01-01T00:00:00.000Z\",\"type\":\"notification\","
                       "\"endpoint\":\"dev1\",\"observation\":5,\"sequence\":13,\"confirmable\":true,"
                       "\"stale\":true,\"path\":\"/3/0/9\",\"value_type\":\"integer\",\"value\":95}");
    event.has_sequence = event.is_stale = event.is_confirmable = false;
    event.node.value.type = LWM2M_NONE;
    assert_json(event, "{\"id\":11,\"ts\":\"1970-01-01T00:00:00.000Z\",\"type\":\"notification\","
                       "\"endpoint\":\"dev1\",\"observation\":5,\"confirmable\":false,\"path\":\"/3/0/9\","
                       "\"value_type\":\"none\",\"value\":null}");
}

static void test_end_of_an_observation_has_a_path_and_no_value(void **state) {
    (void)state;
    assert_json((struct event){.id = 12,
                               .type = EVENT_OBSERVE_ENDED,
                               .endpoint = slice_str("dev1"),
                               .detail = slice_str("why"),
                               .coap_code = 0x84,
                               .has_node = true,
                               .node = {.path = {.ids = {3, 0, 9}, .len = 3}},
                               .observation = 5},
                "{\"id\":12,\"ts\":\"1970-01-01T00:00:00.000Z\",\"type\":\"observe_ended\",\"endpoint\":\"dev1\","
                "\"detail\":\"why\",\"coap_code\":\"4.04\",\"observation\":5,\"path\":\"/3/0/9\"}");
}

static void test_request_completed_tells_the_request(void **state) {
    (void)state;
    assert_json((struct event){.id = 11,
                               .type = EVENT_REQUEST_COMPLETED,
                               .endpoint = slice_str("dev1"),
                               .coap_code = 0x45,
                               .request = {.id = 17, .status = 200, .state = 2}},
                "{\"id\":11,\"ts\":\"1970-01-01T00:00:00.000Z\",\"type\":\"request_completed\",\"endpoint\":\"dev1\","
                "\"coap_code\":\"2.05\",\"request\":17,\"state\":\"completed\",\"status\":200}");
    assert_json((struct event){.id = 12, .type = EVENT_REQUEST_COMPLETED, .request = {.id = 18, .state = 4}},
                "{\"id\":12,\"ts\":\"1970-01-01T00:00:00.000Z\",\"type\":\"request_completed\",\"endpoint\":null,"
                "\"request\":18,\"state\":\"expired\"}");
}

static void test_facts_are_members(void **state) {
    (void)state;
    uint8_t memory[100];
    struct buffer facts = buffer_over(memory, sizeof memory);
    event_fact_put(&facts, EVENT_FACT_IDENTITY, slice_str("dev1"));
    event_fact_put(&facts, EVENT_FACT_CID_DRAFT, slice_str("1"));
    event_fact_put(&facts, EVENT_FACT_CID, SLICE_NONE);
    event_fact_put_number(&facts, EVENT_FACT_BYTES_IN, 4294967296);
    assert_json((struct event){.id = 11, .type = EVENT_DTLS_HANDSHAKE, .facts = buffer_slice(&facts)},
                "{\"id\":11,\"ts\":\"1970-01-01T00:00:00.000Z\",\"type\":\"dtls_handshake\",\"endpoint\":null,"
                "\"identity\":\"dev1\",\"cid_draft\":true,\"cid\":\"\",\"bytes_in\":4294967296}");
}

static void test_every_fact_can_be_matched(void **state) {
    (void)state;
    for (enum event_fact fact = 0; fact < EVENT_FACT_COUNT; fact++) {
        size_t i = 0;
        while (event_json_fields[i] != NULL && strcmp(event_json_fields[i], event_fact_name(fact)) != 0)
            i++;
        assert_non_null(event_json_fields[i]);
    }
}

static void test_types_are_parsed_from_a_list(void **state) {
    event_types types;
    struct slice unknown;
    (void)state;
    assert_true(event_types_parse(slice_str("updated,oddity"), &types, &unknown));
    assert_int_equal(types, 1u << EVENT_UPDATED | 1u << EVENT_ODDITY);
    assert_true(event_types_parse(slice_str("registered"), &types, &unknown));
    assert_int_equal(types, 1u << EVENT_REGISTERED | 1u << EVENT_REPLACED);
}

static void test_unknown_type_is_named(void **state) {
    event_types types;
    struct slice unknown;
    (void)state;
    assert_false(event_types_parse(slice_str("updated,nope"), &types, &unknown));
    assert_true(slice_is(unknown, "nope"));
    assert_false(event_types_parse(slice_str(""), &types, &unknown));
    assert_false(event_types_parse(slice_str("updated,"), &types, &unknown));
}

static void test_filter_compares_type_and_endpoint(void **state) {
    struct event_filter filter = {.types = 1u << EVENT_UPDATED, .endpoint = slice_str("dev1")};
    struct event event = {.type = EVENT_UPDATED, .endpoint = slice_str("dev1")};
    (void)state;
    assert_true(event_filter_match(&filter, &event));
    event.endpoint = slice_str("dev2");
    assert_false(event_filter_match(&filter, &event));
    filter.any_endpoint = true;
    assert_true(event_filter_match(&filter, &event));
    event.type = EVENT_EXPIRED;
    assert_false(event_filter_match(&filter, &event));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registered),
        cmocka_unit_test(test_replaced_has_the_old_location),
        cmocka_unit_test(test_address_changed_has_the_old_address),
        cmocka_unit_test(test_rejected_without_a_device),
        cmocka_unit_test(test_notification_has_its_observation_and_value),
        cmocka_unit_test(test_end_of_an_observation_has_a_path_and_no_value),
        cmocka_unit_test(test_request_completed_tells_the_request),
        cmocka_unit_test(test_facts_are_members),
        cmocka_unit_test(test_every_fact_can_be_matched),
        cmocka_unit_test(test_types_are_parsed_from_a_list),
        cmocka_unit_test(test_unknown_type_is_named),
        cmocka_unit_test(test_filter_compares_type_and_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
