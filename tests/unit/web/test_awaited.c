#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "web/v1/awaited.h"

static uint64_t number;

static struct event event_of(enum event_type type, const char *endpoint) {
    return (struct event){.id = ++number,
                          .type = type,
                          .endpoint = slice_str(endpoint),
                          .location = slice_str("4Kx9"),
                          .lifetime_s = 300};
}

static struct awaited *awaiting(const char *text) {
    struct document_error error;
    json_t *body = json_loads(text, 0, NULL);
    assert_non_null(body);
    struct awaited *awaited = awaited_read(body, "", &error);
    json_decref(body);
    if (awaited == NULL)
        fail_msg("%s: %s %s", text, error.pointer, error.expected);
    return awaited;
}

static bool see(struct awaited *awaited, enum event_type type, const char *endpoint) {
    struct event event = event_of(type, endpoint);
    return awaited_see(awaited, &event);
}

static void assert_refused(const char *text, const char *pointer, const char *because) {
    struct document_error error;
    json_t *body = json_loads(text, 0, NULL);
    assert_non_null(body);
    assert_null(awaited_read(body, "/steps/3/wait", &error));
    assert_string_equal(error.pointer, pointer);
    if (strstr(error.expected, because) == NULL)
        fail_msg("\"%s\" should say \"%s\"", error.expected, because);
    json_decref(body);
}

static void test_one_event_completes_it(void **state) {
    struct awaited *awaited = awaiting("{\"type\":\"updated\",\"endpoint\":\"dev1\"}");
    (void)state;
    assert_false(see(awaited, EVENT_UPDATED, "dev2"));
    assert_false(see(awaited, EVENT_REGISTERED, "dev1"));
    assert_true(see(awaited, EVENT_UPDATED, "dev1"));
    assert_true(awaited_is_single(awaited));
    awaited_free(awaited);
}

static void test_count_of_events_completes_it(void **state) {
    struct awaited *awaited = awaiting("{\"type\":\"updated\",\"count\":2}");
    (void)state;
    assert_false(see(awaited, EVENT_UPDATED, "dev1"));
    assert_true(see(awaited, EVENT_UPDATED, "dev1"));
    assert_int_equal(json_array_size(awaited_events(awaited)), 2);
    awaited_free(awaited);
}

static void test_all_take_an_event_each_in_any_order(void **state) {
    struct awaited *awaited = awaiting("{\"all\":[\"updated\",\"expired\"]}");
    (void)state;
    assert_false(see(awaited, EVENT_EXPIRED, "dev1"));
    assert_true(json_is_null(json_array_get(awaited_events(awaited), 0)));
    assert_false(see(awaited, EVENT_EXPIRED, "dev1"));
    assert_true(see(awaited, EVENT_UPDATED, "dev1"));
    awaited_free(awaited);
}

static void test_sequence_wants_its_order(void **state) {
    struct awaited *awaited = awaiting("{\"sequence\":[\"updated\",\"expired\"]}");
    (void)state;
    assert_false(see(awaited, EVENT_EXPIRED, "dev1"));
    assert_false(see(awaited, EVENT_UPDATED, "dev1"));
    assert_true(see(awaited, EVENT_EXPIRED, "dev1"));
    awaited_free(awaited);
}

static void test_absence_ends_with_the_event(void **state) {
    struct awaited *awaited = awaiting("{\"type\":\"expired\",\"absent\":true,\"timeout\":\"2d\"}");
    (void)state;
    assert_true(awaited_is_absence(awaited));
    assert_int_equal(awaited_timeout_ms(awaited), 2 * 86400000);
    assert_false(see(awaited, EVENT_UPDATED, "dev1"));
    assert_true(see(awaited, EVENT_EXPIRED, "dev1"));
    awaited_free(awaited);
}

static void test_endpoint_goes_for_conditions_without_one(void **state) {
    struct awaited *awaited =
        awaiting("{\"endpoint\":\"dev1\",\"all\":[\"updated\",{\"type\":\"expired\",\"endpoint\":\"dev2\"}]}");
    (void)state;
    assert_false(see(awaited, EVENT_UPDATED, "dev2"));
    assert_false(see(awaited, EVENT_UPDATED, "dev1"));
    assert_false(see(awaited, EVENT_EXPIRED, "dev1"));
    assert_true(see(awaited, EVENT_EXPIRED, "dev2"));
    awaited_free(awaited);
}

static void test_near_misses_are_sorted_by_closeness(void **state) {
    struct awaited *awaited = awaiting(
        "{\"type\":\"updated\",\"endpoint\":\"dev1\",\"match\":{\"lifetime_s\":60,\"location\":\"/rd/4Kx9\"}}");
    (void)state;
    see(awaited, EVENT_EXPIRED, "dev1"); /* differs in two */
    see(awaited, EVENT_EXPIRED, "dev3"); /* is not even near */
    see(awaited, EVENT_UPDATED, "dev1"); /* in one */
    json_t *near = awaited_near_misses(awaited);
    assert_int_equal(json_array_size(near), 2);
    assert_string_equal(json_string_value(document_find(near, "/0/event/type")), "updated");
    assert_int_equal(json_array_size(document_find(near, "/0/differs")), 1);
    assert_string_equal(json_string_value(document_find(near, "/0/differs/0/member")), "lifetime_s");
    assert_int_equal(json_integer_value(document_find(near, "/0/differs/0/actual")), 300);
    assert_string_equal(json_string_value(document_find(near, "/1/event/type")), "expired");
    assert_null(document_find(near, "/0/condition"));
    json_decref(near);
    awaited_free(awaited);
}

static void test_closest_push_out_others(void **state) {
    struct awaited *awaited = awaiting("{\"type\":\"updated\",\"endpoint\":\"dev1\",\"match\":{\"lifetime_s\":60}}");
    (void)state;
    for (int i = 0; i < 30; i++)
        see(awaited, EVENT_EXPIRED, "dev1");
    see(awaited, EVENT_UPDATED, "dev1");
    json_t *near = awaited_near_misses(awaited);
    assert_int_equal(json_array_size(near), AWAITED_NEAR_MISSES_MAX);
    assert_string_equal(json_string_value(document_find(near, "/0/event/type")), "updated");
    json_decref(near);
    awaited_free(awaited);
}

static void test_what_came_out_of_turn_is_noted(void **state) {
    struct awaited *awaited = awaiting("{\"sequence\":[\"updated\",\"expired\"]}");
    (void)state;
    see(awaited, EVENT_EXPIRED, "dev1");
    see(awaited, EVENT_UPDATED, "dev1");
    see(awaited, EVENT_UPDATED, "dev1");
    json_t *near = awaited_near_misses(awaited);
    assert_int_equal(json_array_size(near), 2);
    assert_int_equal(json_integer_value(document_find(near, "/0/condition")), 1);
    assert_non_null(strstr(json_string_value(document_find(near, "/0/note")), "before its turn"));
    assert_non_null(strstr(json_string_value(document_find(near, "/1/note")), "earlier event"));
    json_decref(near);
    awaited_free(awaited);
}

static void test_long_values_are_cut_in_near_misses(void **state) {
    static uint8_t value[3000];
    struct awaited *awaited = awaiting("{\"type\":\"send\",\"match\":{\"path\":\"/3/0/9\"}}");
    struct event event = event_of(EVENT_SEND, "dev1");
    (void)state;
    memset(value, 'v', sizeof value);
    event.has_node = true;
    event.node = (struct lwm2m_node){.path = {.ids = {3, 0, 1}, .len = 3},
                                     .value = {.type = LWM2M_STRING, .bytes = slice_of(value, sizeof value)}};
    assert_false(awaited_see(awaited, &event));
    json_t *near = awaited_near_misses(awaited);
    assert_in_range(json_string_length(document_find(near, "/0/event/value")), 500, 520);
    json_decref(near);
    awaited_free(awaited);
}

static void test_what_is_wrong_has_its_place(void **state) {
    (void)state;
    assert_refused("{\"tpye\":1}", "/steps/3/wait/tpye", "there are after, type");
    assert_refused("{\"after\":-1}", "/steps/3/wait/after", "number of an event");
    assert_refused("{\"timeout\":\"soon\"}", "/steps/3/wait/timeout", "a duration");
    assert_refused("{\"timeout\":\"11m\"}", "/steps/3/wait/timeout", "10 minutes");
    assert_refused("{\"absent\":true,\"timeout\":\"367d\"}", "/steps/3/wait/timeout", "366 days");
    assert_refused("{\"count\":0}", "/steps/3/wait/count", "1 to 1000");
    assert_refused("{\"count\":2,\"absent\":true}", "/steps/3/wait/count", "beside absent");
    assert_refused("{\"absent\":1}", "/steps/3/wait/absent", "true or false");
    assert_refused("{\"all\":[]}", "/steps/3/wait/all", "1 to 32");
    assert_refused("{\"all\":[\"updated\"],\"sequence\":[\"updated\"]}", "/steps/3/wait/sequence", "not both");
    assert_refused("{\"all\":[\"updated\"],\"type\":\"updated\"}", "/steps/3/wait/type", "beside all");
    assert_refused("{\"sequence\":[\"updated\",\"nope\"]}", "/steps/3/wait/sequence/1", "nope");
    assert_refused("{\"sequence\":[{\"type\":\"updated\",\"count\":2}]}", "/steps/3/wait/sequence/0/count",
                   "there are type");
    assert_refused("{\"sequence\":[{\"match\":{\"value\":{\"gt\":null}}}]}", "/steps/3/wait/sequence/0/match/value/gt",
                   "a number or a string");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_event_completes_it),
        cmocka_unit_test(test_count_of_events_completes_it),
        cmocka_unit_test(test_all_take_an_event_each_in_any_order),
        cmocka_unit_test(test_sequence_wants_its_order),
        cmocka_unit_test(test_absence_ends_with_the_event),
        cmocka_unit_test(test_endpoint_goes_for_conditions_without_one),
        cmocka_unit_test(test_near_misses_are_sorted_by_closeness),
        cmocka_unit_test(test_closest_push_out_others),
        cmocka_unit_test(test_what_came_out_of_turn_is_noted),
        cmocka_unit_test(test_long_values_are_cut_in_near_misses),
        cmocka_unit_test(test_what_is_wrong_has_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
