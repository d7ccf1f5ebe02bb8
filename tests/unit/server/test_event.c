#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/event.h"

static struct clock clock_at_noon;

static struct event_log *new_log(uint64_t first_id, size_t max_bytes) {
    clock_init_still(&clock_at_noon, 1780000000000);
    return event_log_new(&clock_at_noon, first_id, max_bytes);
}

static struct event registered(const char *endpoint) {
    return (struct event){.type = EVENT_REGISTERED, .endpoint = slice_str(endpoint), .location = slice_str("4Kx9")};
}

static void assert_slice(struct slice actual, const char *expected) {
    assert_int_equal(actual.len, strlen(expected));
    assert_memory_equal(actual.data, expected, actual.len);
}

static void test_numbers_rise_from_the_first(void **state) {
    (void)state;
    struct event_log *log = new_log(41, 65536);
    assert_int_equal(event_last_id(log), 40);
    assert_int_equal(event_oldest_id(log), 41);
    struct event event = registered("a");
    assert_int_equal(event_publish(log, &event), 41);
    assert_int_equal(event_publish(log, &event), 42);
    assert_int_equal(event_last_id(log), 42);
    assert_int_equal(event_oldest_id(log), 41);
    event_log_free(log);
}

static void test_an_event_comes_back_as_it_was_published(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 65536);
    struct event before = {.type = EVENT_ADDRESS_CHANGED,
                           .endpoint = slice_of("with\0nul", 8),
                           .location = slice_str("4Kx9"),
                           .previous = slice_str("[2001:db8::1]:5683"),
                           .detail = slice_str("a sentence"),
                           .address = {.family = ADDRESS_IPV6, .port = 5683, .scope = 3, .ip = {0xfe, 0x80, [15] = 7}},
                           .lifetime_s = 86400,
                           .coap_code = 0x84,
                           .request = {.id = 1ull << 40, .status = 404, .state = 3}};
    struct event v4 = {.type = EVENT_REJECTED, .address = {.family = ADDRESS_IPV4, .port = 1, .ip = {192, 0, 2, 9}}};
    struct event none = {.type = EVENT_ODDITY};
    event_publish(log, &before);
    clock_leap(&clock_at_noon, 1000);
    event_publish(log, &v4);
    event_publish(log, &none);

    struct event after;
    assert_true(event_after(log, 0, &after));
    assert_int_equal(after.id, 1);
    assert_int_equal(after.ts_ms, 1780000000000);
    assert_int_equal(after.type, EVENT_ADDRESS_CHANGED);
    assert_true(slice_equal(after.endpoint, before.endpoint));
    assert_slice(after.location, "4Kx9");
    assert_slice(after.previous, "[2001:db8::1]:5683");
    assert_slice(after.detail, "a sentence");
    assert_true(address_equal(&after.address, &before.address));
    assert_int_equal(after.lifetime_s, 86400);
    assert_int_equal(after.coap_code, 0x84);
    assert_int_equal(after.request.id, 1ull << 40);
    assert_int_equal(after.request.status, 404);
    assert_int_equal(after.request.state, 3);

    assert_true(event_after(log, 1, &after));
    assert_int_equal(after.ts_ms, 1780000001000);
    assert_true(address_equal(&after.address, &v4.address));
    assert_int_equal(after.endpoint.len, 0);
    assert_int_equal(after.request.id, 0);

    assert_true(event_after(log, 2, &after));
    assert_true(address_equal(&after.address, &none.address));
    assert_false(event_after(log, 3, &after));
    assert_false(event_after(log, UINT64_MAX, &after));
    event_log_free(log);
}

/* What event N of the next test says: texts of a length and content that only N decides. */
static struct event numbered(uint64_t n, char *memory) {
    static const uint16_t families[] = {ADDRESS_NONE, ADDRESS_IPV4, ADDRESS_IPV6};
    size_t endpoint = n % 61, previous = n % 7 == 0 ? n % 251 : 0, detail = n % 97 == 0 ? n % 3001 : n % 5;
    memset(memory, (int)('a' + n % 26), endpoint + previous + detail);
    return (struct event){.type = (enum event_type)(n % EVENT_TYPE_COUNT),
                          .endpoint = slice_of(memory, endpoint),
                          .previous = slice_of(memory + endpoint, previous),
                          .detail = slice_of(memory + endpoint + previous, detail),
                          .address = {.family = families[n % 3], .ip = {(uint8_t)n}},
                          .lifetime_s = (uint32_t)n};
}

static void assert_is_numbered(const struct event *event, uint64_t n) {
    char memory[4096];
    struct event expected = numbered(n, memory);
    assert_int_equal(event->id, n);
    assert_int_equal(event->type, expected.type);
    assert_true(slice_equal(event->endpoint, expected.endpoint));
    assert_true(slice_equal(event->previous, expected.previous));
    assert_true(slice_equal(event->detail, expected.detail));
    assert_int_equal(event->lifetime_s, expected.lifetime_s);
    assert_int_equal(event->address.family, expected.address.family);
}

static void test_a_full_log_forgets_the_oldest_and_keeps_the_rest_whole(void **state) {
    (void)state;
    enum { BYTES = 65536, EVENTS = 20000 };
    struct event_log *log = new_log(1, BYTES);
    char memory[4096];
    for (uint64_t n = 1; n <= EVENTS; n++) {
        struct event event = numbered(n, memory);
        assert_int_equal(event_publish(log, &event), n);
        if (n % 53 != 0)
            continue;
        struct event kept;
        uint64_t id = event_oldest_id(log);
        for (; event_after(log, id - 1, &kept); id++)
            assert_is_numbered(&kept, id);
        assert_int_equal(id, n + 1);
    }
    /* About 100 bytes an event: a log that keeps much less than it could is wrong too. */
    assert_in_range(EVENTS - event_oldest_id(log), BYTES / 250, BYTES / 50);
    event_log_free(log);
}

static void test_the_smallest_events_are_bounded_too(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 65536);
    struct event event = {.type = EVENT_UPDATED};
    for (int i = 0; i < 100000; i++)
        event_publish(log, &event);
    struct event kept;
    uint64_t id = event_oldest_id(log);
    assert_in_range(100000 - id, 65536 / 80, 65536 / 24);
    for (; event_after(log, id - 1, &kept); id++)
        assert_int_equal(kept.id, id);
    event_log_free(log);
}

static void test_after_a_forgotten_event_comes_the_oldest_kept(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 4096);
    struct event event = registered("device");
    for (int i = 0; i < 1000; i++)
        event_publish(log, &event);
    struct event found;
    assert_true(event_oldest_id(log) > 2);
    assert_true(event_after(log, 0, &found));
    assert_int_equal(found.id, event_oldest_id(log));
    event_log_free(log);
}

static void test_an_event_too_large_for_the_log_loses_detail_but_no_half_character(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 4096);
    static char detail[100001];
    for (size_t i = 0; i + 2 < sizeof detail; i += 2)
        memcpy(detail + i, "é", 2);
    for (size_t shift = 0; shift < 2; shift++) {
        struct event event = registered(shift == 0 ? "device" : "device1");
        event.detail = slice_of(detail, sizeof detail - 1);
        uint64_t id = event_publish(log, &event);
        struct event kept;
        assert_true(event_after(log, id - 1, &kept));
        assert_true(slice_equal(kept.endpoint, event.endpoint));
        assert_in_range(kept.detail.len, 3000, 4096);
        assert_true(slice_is_utf8(kept.detail));
        assert_memory_equal(kept.detail.data, detail, kept.detail.len);
        assert_int_equal(event_oldest_id(log), id);
    }
    event_log_free(log);
}

static void test_clear_forgets_events_but_not_their_numbers(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 65536);
    struct event event = registered("a"), found;
    for (int i = 0; i < 2000; i++)
        event_publish(log, &event);
    event_log_clear(log);
    assert_false(event_after(log, 0, &found));
    assert_int_equal(event_last_id(log), 2000);
    assert_int_equal(event_oldest_id(log), 2001);
    assert_int_equal(event_publish(log, &event), 2001);
    assert_true(event_after(log, 0, &found));
    assert_int_equal(found.id, 2001);
    assert_slice(found.endpoint, "a");
    event_log_free(log);
}

struct witness {
    struct event_log *log;
    struct event_subscriber *self, *to_unsubscribe;
    uint64_t told[4];
    size_t count;
    int *turn;
    int order; /* the turn in which it was told last */
    struct witness *to_subscribe;
};

static void on_event(void *arg, const struct event *event) {
    struct witness *l = arg;
    assert_true(l->count < 4);
    l->told[l->count++] = event->id;
    l->order = (*l->turn)++;
    assert_slice(event->endpoint, "a");
    assert_int_equal(event->ts_ms, 1780000000000);
    if (l->to_unsubscribe != NULL)
        event_unsubscribe(l->log, l->to_unsubscribe);
    l->to_unsubscribe = NULL;
    if (l->to_subscribe != NULL)
        l->to_subscribe->self = event_subscribe(l->log, on_event, l->to_subscribe);
    l->to_subscribe = NULL;
}

static void test_subscribers_are_told_in_the_order_of_subscription(void **state) {
    (void)state;
    int turn = 0;
    struct event_log *log = new_log(1, 65536);
    struct event event = registered("a");
    event_publish(log, &event);
    struct witness first = {.log = log, .turn = &turn}, second = first;
    event_subscribe(log, on_event, &first);
    event_subscribe(log, on_event, &second);
    event_publish(log, &event);
    assert_int_equal(first.count, 1);
    assert_int_equal(first.told[0], 2);
    assert_int_equal(second.count, 1);
    assert_true(first.order < second.order);
    event_log_free(log);
}

static void test_a_subscriber_may_unsubscribe_itself_and_the_next(void **state) {
    (void)state;
    int turn = 0;
    struct event_log *log = new_log(1, 65536);
    struct event event = registered("a");
    struct witness l[4];
    for (size_t i = 0; i < 4; i++) {
        l[i] = (struct witness){.log = log, .turn = &turn};
        l[i].self = event_subscribe(log, on_event, &l[i]);
    }
    l[0].to_unsubscribe = l[0].self;
    l[1].to_unsubscribe = l[2].self;
    event_publish(log, &event);
    event_publish(log, &event);
    assert_int_equal(l[0].count, 1);
    assert_int_equal(l[1].count, 2);
    assert_int_equal(l[2].count, 0);
    assert_int_equal(l[3].count, 2);
    event_unsubscribe(log, l[1].self);
    event_publish(log, &event);
    assert_int_equal(l[1].count, 2);
    assert_int_equal(l[3].count, 3);
    event_log_free(log);
}

static void test_who_subscribes_while_an_event_is_told_is_told_the_next(void **state) {
    (void)state;
    int turn = 0;
    struct event_log *log = new_log(1, 65536);
    struct event event = registered("a");
    struct witness late = {.log = log, .turn = &turn};
    struct witness early = {.log = log, .turn = &turn, .to_subscribe = &late};
    event_subscribe(log, on_event, &early);
    event_publish(log, &event);
    assert_int_equal(late.count, 0);
    event_publish(log, &event);
    assert_int_equal(late.count, 1);
    assert_int_equal(late.told[0], 2);
    event_log_free(log);
}

static void test_types_have_names_and_names_types(void **state) {
    (void)state;
    for (int i = 0; i < EVENT_TYPE_COUNT; i++) {
        enum event_type type;
        assert_true(event_type_parse(slice_str(event_type_name((enum event_type)i)), &type));
        assert_int_equal(type, i);
    }
    enum event_type type;
    assert_string_equal(event_type_name(EVENT_ADDRESS_CHANGED), "address_changed");
    assert_false(event_type_parse(slice_str("register"), &type));
    assert_false(event_type_parse(slice_str("Registered"), &type));
    assert_false(event_type_parse(SLICE_NONE, &type));
}

static void test_counts_are_by_type_and_survive_clear(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 65536);
    struct event event = {.type = EVENT_UPDATED};
    for (int i = 0; i < 5; i++)
        event_publish(log, &event);
    event.type = EVENT_EXPIRED;
    event_publish(log, &event);
    event_log_clear(log);
    assert_int_equal(event_count(log, EVENT_UPDATED), 5);
    assert_int_equal(event_count(log, EVENT_EXPIRED), 1);
    assert_int_equal(event_count(log, EVENT_REGISTERED), 0);
    event_log_free(log);
}

static void test_values_come_back_as_they_were_sent(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 65536);
    const struct lwm2m_value values[] = {
        lwm2m_string("text"),
        lwm2m_integer(-5),
        lwm2m_time(1367491215),
        lwm2m_boolean(true),
        lwm2m_bytes(LWM2M_OPAQUE, slice_of("\0\1", 2)),
        {.type = LWM2M_UNSIGNED, .natural = UINT64_MAX},
        {.type = LWM2M_FLOAT, .real = -273.15},
        {.type = LWM2M_OBJLNK, .link = {66, 613}},
        {.type = LWM2M_NONE},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct event after, event = {.type = EVENT_SEND, .endpoint = slice_str("dev"), .has_node = true};
        event.node = (struct lwm2m_node){
            .path = {.ids = {3, 0, (uint16_t)i}, .len = 3}, .value = values[i], .has_time = i % 2 != 0, .time_ms = 77};
        uint64_t id = event_publish(log, &event);
        assert_true(event_after(log, id - 1, &after));
        assert_true(after.has_node);
        assert_slice(after.endpoint, "dev");
        assert_true(lwm2m_path_equal(&after.node.path, &event.node.path));
        assert_true(lwm2m_value_equal(&after.node.value, &values[i]));
        assert_int_equal(after.node.has_time, i % 2 != 0);
        assert_int_equal(after.node.time_ms, 77);
    }
    struct event after, event = registered("x");
    event_publish(log, &event);
    assert_true(event_after(log, event_last_id(log) - 1, &after));
    assert_false(after.has_node);
    event_log_free(log);
}

static void test_what_is_said_of_an_observation_comes_back(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 8192);
    struct event after, event = {.type = EVENT_NOTIFICATION,
                                 .endpoint = slice_str("dev"),
                                 .has_node = true,
                                 .node = {.path = {.ids = {3, 0, 9}, .len = 3}, .value = lwm2m_integer(95)},
                                 .observation = UINT64_MAX - 1,
                                 .sequence = 16777215,
                                 .has_sequence = true,
                                 .is_stale = true,
                                 .is_confirmable = true};
    event_publish(log, &event);
    assert_true(event_after(log, 0, &after));
    assert_true(after.observation == UINT64_MAX - 1);
    assert_int_equal(after.sequence, 16777215);
    assert_true(after.has_sequence && after.is_stale && after.is_confirmable);
    assert_int_equal(after.node.value.integer, 95);
    event = (struct event){.type = EVENT_OBSERVE_ENDED, .endpoint = slice_str("dev"), .observation = 7};
    event_publish(log, &event);
    assert_true(event_after(log, 1, &after));
    assert_int_equal(after.observation, 7);
    assert_false(after.has_node || after.has_sequence || after.is_stale || after.is_confirmable);
    event = registered("x");
    event_publish(log, &event);
    assert_true(event_after(log, 2, &after));
    assert_int_equal(after.observation, 0);
    event_log_free(log);
}

static void test_of_a_value_too_large_the_beginning_is_kept(void **state) {
    (void)state;
    static uint8_t bytes[100000];
    struct event_log *log = new_log(1, 8192);
    struct event after, event = {.type = EVENT_SEND, .endpoint = slice_str("dev"), .has_node = true};
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    event.node = (struct lwm2m_node){.path = {.ids = {16, 0, 0}, .len = 3},
                                     .value = lwm2m_bytes(LWM2M_OPAQUE, slice_of(bytes, sizeof bytes))};
    event_publish(log, &event);
    assert_true(event_after(log, 0, &after));
    assert_in_range(after.node.value.bytes.len, 4096, 8192);
    assert_memory_equal(after.node.value.bytes.data, bytes, after.node.value.bytes.len);
    event_log_free(log);
}

static void test_facts_come_back_in_their_order_and_long_ones_are_cut(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 65536);
    uint8_t memory[400], long_name[300];
    struct buffer facts = buffer_over(memory, sizeof memory);
    enum event_fact fact;
    struct slice text;
    memset(long_name, 'x', sizeof long_name);
    event_fact_put(&facts, EVENT_FACT_IDENTITY, slice_of(long_name, sizeof long_name));
    event_fact_put(&facts, EVENT_FACT_CID, SLICE_NONE);
    event_fact_put_number(&facts, EVENT_FACT_BYTES_OUT, 4096);
    event_publish(log, &(struct event){.type = EVENT_DTLS_FAILED, .facts = buffer_slice(&facts)});
    struct event event;
    assert_true(event_after(log, 0, &event));
    assert_true(event_fact_next(&event.facts, &fact, &text));
    assert_int_equal(fact, EVENT_FACT_IDENTITY);
    assert_int_equal(text.len, 255);
    assert_true(event_fact_next(&event.facts, &fact, &text));
    assert_int_equal(fact, EVENT_FACT_CID);
    assert_int_equal(text.len, 0);
    assert_true(event_fact_next(&event.facts, &fact, &text));
    assert_int_equal(fact, EVENT_FACT_BYTES_OUT);
    assert_slice(text, "4096");
    assert_false(event_fact_next(&event.facts, &fact, &text));
    struct slice broken[] = {slice_str("\xff\x01x"), slice_str("\x01\x05x"), slice_str("\x01")};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_false(event_fact_next(&broken[i], &fact, &text));
    event_log_free(log);
}

/* ---- gaps in the numbers ---- */

static void restore(struct event_log *log, uint64_t id, bool is_taken) {
    struct event event = registered("old");
    event.id = id;
    event.ts_ms = 1000 + id;
    assert_int_equal(event_restore(log, &event), is_taken);
}

/* Every number that is there, one after the other. */
static void assert_numbers(const struct event_log *log, uint64_t after, const uint64_t *ids, size_t count) {
    struct event event;
    for (size_t i = 0; i < count; i++) {
        assert_true(event_after(log, after, &event));
        assert_int_equal(event.id, ids[i]);
        after = event.id;
    }
    assert_false(event_after(log, after, &event));
}

static void test_events_of_earlier_runs_have_their_numbers(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 65536);
    restore(log, 3, true);
    restore(log, 4, true);
    restore(log, 4, false);
    restore(log, 10, true);
    restore(log, 2, false);
    event_log_go_on(log, 1001);
    assert_int_equal(event_last_id(log), 1000);
    assert_int_equal(event_oldest_id(log), 3);
    assert_numbers(log, 0, (const uint64_t[]){3, 4, 10}, 3);
    assert_int_equal(event_count(log, EVENT_REGISTERED), 0);
    struct event event = registered("new");
    assert_int_equal(event_publish(log, &event), 1001);
    assert_int_equal(event_publish(log, &event), 1002);
    const uint64_t all[] = {3, 4, 10, 1001, 1002};
    for (uint64_t after = 0; after < 1003; after++) {
        size_t first = 0;
        while (first < 5 && all[first] <= after)
            first++;
        assert_numbers(log, after, all + first, 5 - first);
    }
    assert_true(event_after(log, 4, &event));
    assert_int_equal(event.ts_ms, 1010);
    assert_true(event_after(log, 500, &event));
    assert_slice(event.endpoint, "new");
    event_log_clear(log);
    assert_int_equal(event_last_id(log), 1002);
    assert_int_equal(event_oldest_id(log), 1003);
    assert_int_equal(event_publish(log, &event), 1003);
    assert_numbers(log, 0, (const uint64_t[]){1003}, 1);
    event_log_free(log);
}

static void test_numbers_do_not_go_back(void **state) {
    (void)state;
    struct event_log *log = new_log(41, 65536);
    struct event event = registered("a");
    event_log_go_on(log, 7);
    assert_int_equal(event_publish(log, &event), 41);
    event_log_go_on(log, 42);
    event_log_go_on(log, 41);
    assert_int_equal(event_publish(log, &event), 42);
    event_log_free(log);
}

static void test_with_too_many_gaps_the_oldest_events_go(void **state) {
    (void)state;
    enum { RUNS = EVENT_SPANS_MAX * 2 };
    struct event_log *log = new_log(1, 1 << 20);
    struct event event = registered("a");
    for (uint64_t run = 1; run <= RUNS; run++) {
        event_log_go_on(log, run * 100);
        event_log_go_on(log, run * 100 + 1); /* nothing came between */
        assert_int_equal(event_publish(log, &event), run * 100 + 1);
        assert_int_equal(event_publish(log, &event), run * 100 + 2);
    }
    assert_int_equal(event_oldest_id(log), (RUNS - EVENT_SPANS_MAX + 1) * 100 + 1);
    uint64_t ids[EVENT_SPANS_MAX * 2];
    for (size_t i = 0; i < EVENT_SPANS_MAX * 2; i++)
        ids[i] = (RUNS - EVENT_SPANS_MAX + 1 + i / 2) * 100 + 1 + i % 2;
    assert_numbers(log, 0, ids, EVENT_SPANS_MAX * 2);
    event_log_free(log);
}

static void test_gaps_go_with_the_events_before_them(void **state) {
    (void)state;
    struct event_log *log = new_log(1, 4096);
    struct event event = registered("a"), found;
    uint64_t last = 0, published = 0;
    for (uint64_t i = 0; i < 5000; i++) {
        if (i % 7 == 0)
            event_log_go_on(log, last + 1000);
        last = event_publish(log, &event);
        published++;
        uint64_t seen = 0;
        for (uint64_t at = 0; event_after(log, at, &found); at = found.id) {
            assert_true(found.id > at);
            if (seen++ == 0)
                assert_int_equal(found.id, event_oldest_id(log));
        }
        assert_int_equal(found.id, last);
        assert_true(seen == published || seen > 20);
    }
    event_log_free(log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_rise_from_the_first),
        cmocka_unit_test(test_facts_come_back_in_their_order_and_long_ones_are_cut),
        cmocka_unit_test(test_an_event_comes_back_as_it_was_published),
        cmocka_unit_test(test_a_full_log_forgets_the_oldest_and_keeps_the_rest_whole),
        cmocka_unit_test(test_the_smallest_events_are_bounded_too),
        cmocka_unit_test(test_after_a_forgotten_event_comes_the_oldest_kept),
        cmocka_unit_test(test_an_event_too_large_for_the_log_loses_detail_but_no_half_character),
        cmocka_unit_test(test_clear_forgets_events_but_not_their_numbers),
        cmocka_unit_test(test_subscribers_are_told_in_the_order_of_subscription),
        cmocka_unit_test(test_a_subscriber_may_unsubscribe_itself_and_the_next),
        cmocka_unit_test(test_who_subscribes_while_an_event_is_told_is_told_the_next),
        cmocka_unit_test(test_types_have_names_and_names_types),
        cmocka_unit_test(test_counts_are_by_type_and_survive_clear),
        cmocka_unit_test(test_values_come_back_as_they_were_sent),
        cmocka_unit_test(test_what_is_said_of_an_observation_comes_back),
        cmocka_unit_test(test_of_a_value_too_large_the_beginning_is_kept),
        cmocka_unit_test(test_events_of_earlier_runs_have_their_numbers),
        cmocka_unit_test(test_numbers_do_not_go_back),
        cmocka_unit_test(test_with_too_many_gaps_the_oldest_events_go),
        cmocka_unit_test(test_gaps_go_with_the_events_before_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
