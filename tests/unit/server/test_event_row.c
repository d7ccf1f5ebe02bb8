/* Events as bytes: what comes back is what was put, and nothing that makes no sense does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/event_row.h"
#include "server/queue.h"

static uint8_t memory[4096], fact_memory[64];

static struct event whole_event(void) {
    struct buffer facts = buffer_over(fact_memory, sizeof fact_memory);
    event_fact_put(&facts, EVENT_FACT_SECURITY, slice_str("psk"));
    event_fact_put_number(&facts, EVENT_FACT_RTT_MS, 17);
    return (struct event){.ts_ms = 1780000000123,
                          .type = EVENT_NOTIFICATION,
                          .endpoint = slice_of("with\0nul", 8),
                          .location = slice_str("4Kx9"),
                          .previous = slice_str("[2001:db8::1]:5683"),
                          .detail = slice_str("a sentence"),
                          .address = {.family = ADDRESS_IPV6, .port = 5683, .scope = 3, .ip = {0xfe, 0x80, [15] = 7}},
                          .lifetime_s = 86400,
                          .coap_code = 0x84,
                          .facts = buffer_slice(&facts),
                          .observation = 1ull << 40,
                          .sequence = 0xabcdef,
                          .has_sequence = true,
                          .is_confirmable = true,
                          .has_node = true,
                          .node = {.path = {.ids = {3, 0, 65534}, .len = 3}, .has_time = true, .time_ms = -1},
                          .request = {.id = 1ull << 41, .status = 404, .state = QUEUE_ENDED}};
}

static struct slice put(const struct event *event) {
    struct buffer out = buffer_over(memory, sizeof memory);
    event_row_put(&out, event);
    assert_false(out.overflow);
    assert_int_equal(out.len, event_row_size(event));
    return buffer_slice(&out);
}

static void assert_slices_equal(struct slice a, struct slice b) {
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
}

static void test_an_event_comes_back_as_it_was(void **state) {
    (void)state;
    const struct event before = whole_event();
    struct event after;
    struct slice rows = put(&before);
    assert_true(event_row_take(&rows, &after));
    assert_int_equal(rows.len, 0);
    assert_int_equal(after.id, 0);
    assert_int_equal(after.ts_ms, before.ts_ms);
    assert_int_equal(after.type, before.type);
    assert_slices_equal(after.endpoint, before.endpoint);
    assert_slices_equal(after.location, before.location);
    assert_slices_equal(after.previous, before.previous);
    assert_slices_equal(after.detail, before.detail);
    assert_slices_equal(after.facts, before.facts);
    assert_true(address_equal(&after.address, &before.address));
    assert_int_equal(after.lifetime_s, 86400);
    assert_int_equal(after.coap_code, 0x84);
    assert_int_equal(after.observation, before.observation);
    assert_int_equal(after.sequence, 0xabcdef);
    assert_true(after.has_sequence && after.is_confirmable && !after.is_stale && after.has_node);
    assert_true(lwm2m_path_equal(&after.node.path, &before.node.path));
    assert_true(after.node.has_time && after.node.time_ms == -1);
    assert_int_equal(after.node.value.type, LWM2M_NONE);
    assert_int_equal(after.request.id, before.request.id);
    assert_int_equal(after.request.status, 404);
    assert_int_equal(after.request.state, QUEUE_ENDED);
}

static void test_events_stand_one_after_the_other(void **state) {
    (void)state;
    struct buffer out = buffer_over(memory, sizeof memory);
    struct event event = {.type = EVENT_ODDITY, .detail = slice_str("one")}, whole = whole_event(), taken;
    event_row_put(&out, &event);
    event_row_put(&out, &whole);
    event.detail = slice_str("three");
    event_row_put(&out, &event);
    struct slice rows = buffer_slice(&out);
    assert_true(event_row_take(&rows, &taken) && slice_is(taken.detail, "one"));
    assert_int_equal(taken.address.family, ADDRESS_NONE);
    assert_false(taken.has_node);
    assert_true(event_row_take(&rows, &taken) && taken.type == EVENT_NOTIFICATION);
    assert_true(event_row_take(&rows, &taken) && slice_is(taken.detail, "three"));
    assert_false(event_row_take(&rows, &taken));
}

static struct lwm2m_value over(struct lwm2m_value value) {
    static uint8_t bytes[256];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    struct event taken;
    const struct event event = {
        .type = EVENT_SEND, .has_node = true, .node = {.path = {.ids = {3303, 0, 5700, 1}, .len = 4}, .value = value}};
    event_row_put(&out, &event);
    assert_int_equal(out.len, event_row_size(&event));
    struct slice rows = buffer_slice(&out);
    assert_true(event_row_take(&rows, &taken));
    assert_int_equal(taken.node.value.type, value.type);
    assert_true(lwm2m_path_equal(&taken.node.path, &event.node.path));
    return taken.node.value;
}

static void test_values_of_every_type_come_back(void **state) {
    (void)state;
    const enum lwm2m_type of_bytes[] = {LWM2M_STRING, LWM2M_CORELNK, LWM2M_OPAQUE, LWM2M_RAW};
    for (size_t i = 0; i < sizeof of_bytes / sizeof of_bytes[0]; i++)
        assert_true(slice_is(over((struct lwm2m_value){of_bytes[i], .bytes = slice_str("bytes")}).bytes, "bytes"));
    assert_int_equal(over((struct lwm2m_value){LWM2M_INTEGER, .integer = INT64_MIN}).integer, INT64_MIN);
    assert_int_equal(over((struct lwm2m_value){LWM2M_TIME, .integer = -5}).integer, -5);
    assert_int_equal(over((struct lwm2m_value){LWM2M_UNSIGNED, .natural = UINT64_MAX}).natural, UINT64_MAX);
    assert_true(over((struct lwm2m_value){LWM2M_FLOAT, .real = -21.5}).real == -21.5);
    assert_true(over((struct lwm2m_value){LWM2M_BOOLEAN, .truth = true}).truth);
    struct lwm2m_objlnk link = over((struct lwm2m_value){LWM2M_OBJLNK, .link = {65535, 3}}).link;
    assert_true(link.object == 65535 && link.instance == 3);
}

static void test_what_is_cut_off_is_refused(void **state) {
    (void)state;
    struct event event = whole_event(), taken;
    event.node.value = (struct lwm2m_value){LWM2M_STRING, .bytes = slice_str("bytes")};
    struct slice whole = put(&event);
    for (size_t len = 0; len < whole.len; len++) {
        struct slice rows = slice_of(whole.data, len);
        assert_false(event_row_take(&rows, &taken));
        assert_int_equal(rows.len, len);
    }
}

static void assert_refused_with(size_t at, uint8_t byte) {
    struct event taken;
    struct slice rows = slice_of(memory, sizeof memory);
    uint8_t before = memory[at];
    assert_true(event_row_take(&rows, &taken));
    memory[at] = byte;
    rows = slice_of(memory, sizeof memory);
    assert_false(event_row_take(&rows, &taken));
    memory[at] = before;
}

static void test_numbers_that_mean_nothing_are_refused(void **state) {
    (void)state;
    enum { TYPE = 0, FAMILY = 15, FACTS = 24 };
    struct event event = whole_event();
    event.address = (struct address){.family = ADDRESS_NONE};
    event.endpoint = event.location = event.previous = event.detail = SLICE_NONE;
    struct slice row = put(&event);
    size_t facts_end = FACTS + 2 + event.facts.len;
    assert_refused_with(TYPE, EVENT_TYPE_COUNT);
    assert_refused_with(FAMILY, 5);
    assert_refused_with(FACTS + 2, EVENT_FACT_COUNT);
    assert_refused_with(facts_end + 12, LWM2M_PATH_IDS + 1);            /* length of the path */
    assert_refused_with(facts_end + 12 + 1 + 3 * 2 + 8, LWM2M_RAW + 1); /* type of the value */
    assert_refused_with(row.len - 1, QUEUE_ENDED + 1);                  /* state of the request */
}

/* They stand in databases. */
static void test_numbers_of_types_and_facts_are_for_ever(void **state) {
    (void)state;
    assert_int_equal(EVENT_REGISTERED, 0);
    assert_int_equal(EVENT_NOTIFICATION, 9);
    assert_int_equal(EVENT_REQUEST_COMPLETED, 14);
    assert_int_equal(EVENT_DTLS_HANDSHAKE, 15);
    assert_int_equal(EVENT_OSCORE_DERIVED, 18);
    assert_int_equal(EVENT_BOOTSTRAP_STARTED, 22);
    assert_int_equal(EVENT_FIRMWARE, 27);
    assert_int_equal(EVENT_FACT_SECURITY, 0);
    assert_int_equal(EVENT_FACT_BYTES_OUT, 9);
    assert_int_equal(EVENT_FACT_RTT_MS, 16);
    assert_int_equal(EVENT_FACT_RESULT, 26);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_event_comes_back_as_it_was),
        cmocka_unit_test(test_events_stand_one_after_the_other),
        cmocka_unit_test(test_values_of_every_type_come_back),
        cmocka_unit_test(test_what_is_cut_off_is_refused),
        cmocka_unit_test(test_numbers_that_mean_nothing_are_refused),
        cmocka_unit_test(test_numbers_of_types_and_facts_are_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
