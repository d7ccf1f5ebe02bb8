#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "web/document.h"
#include "web/v1/condition.h"

/* dev1 registered from 127.0.0.1:5683 for 300 s, event 7. */
static struct event registered(void) {
    return (struct event){.id = 7,
                          .ts_ms = 1795248000123,
                          .type = EVENT_REGISTERED,
                          .endpoint = slice_str("dev1"),
                          .location = slice_str("4Kx9"),
                          .address = {.family = ADDRESS_IPV4, .port = 5683, .ip = {127, 0, 0, 1}},
                          .lifetime_s = 300};
}

static json_t *json_of(const char *text) {
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static void read_condition(const char *text, json_t **object, struct condition *condition) {
    struct document_error error;
    *object = json_of(text);
    if (!condition_read(*object, "", condition, &error))
        fail_msg("%s: %s %s", text, error.pointer, error.expected);
}

static size_t misses(const char *condition_text, struct event event) {
    struct condition condition;
    json_t *object, *json = event_json(&event);
    read_condition(condition_text, &object, &condition);
    size_t count = condition_misses(&condition, &event, json);
    condition_free(&condition);
    json_decref(json);
    json_decref(object);
    return count;
}

static bool matches(const char *condition_text, struct event event) {
    return misses(condition_text, event) == 0;
}

static bool near(const char *condition_text, struct event event) {
    struct condition condition;
    json_t *object;
    read_condition(condition_text, &object, &condition);
    bool result = condition_near(&condition, &event);
    condition_free(&condition);
    json_decref(object);
    return result;
}

static void assert_refused(const char *condition_text, const char *pointer, const char *because) {
    struct document_error error;
    struct condition condition;
    json_t *object = json_of(condition_text);
    assert_false(condition_read(object, "/wait", &condition, &error));
    assert_string_equal(error.pointer, pointer);
    if (strstr(error.expected, because) == NULL)
        fail_msg("\"%s\" should say \"%s\"", error.expected, because);
    json_decref(object);
}

static void test_empty_condition_matches_every_event(void **state) {
    (void)state;
    assert_true(matches("{}", registered()));
}

static void test_type_and_endpoint_must_both_fit(void **state) {
    (void)state;
    assert_true(matches("{\"type\":\"registered\",\"endpoint\":\"dev1\"}", registered()));
    assert_false(matches("{\"type\":\"updated\",\"endpoint\":\"dev1\"}", registered()));
    assert_false(matches("{\"type\":\"registered\",\"endpoint\":\"dev\"}", registered()));
    assert_true(matches("{\"types\":[\"updated\",\"registered\"]}", registered()));
}

static void test_registered_includes_replaced(void **state) {
    struct event event = registered();
    (void)state;
    event.type = EVENT_REPLACED;
    assert_true(matches("{\"type\":\"registered\"}", event));
    assert_false(matches("{\"type\":\"replaced\"}", registered()));
}

static void test_match_tests_members(void **state) {
    (void)state;
    assert_true(matches("{\"match\":{\"lifetime_s\":{\"gte\":300},\"location\":\"/rd/4Kx9\"}}", registered()));
    assert_false(matches("{\"match\":{\"lifetime_s\":{\"gt\":300}}}", registered()));
}

static void test_misses_count_the_members_that_differ(void **state) {
    (void)state;
    assert_int_equal(misses("{\"type\":\"updated\"}", registered()), 1);
    assert_int_equal(misses("{\"type\":\"updated\",\"endpoint\":\"dev2\",\"match\":{\"lifetime_s\":1}}", registered()),
                     3);
    assert_int_equal(misses("{\"endpoint\":\"dev1\",\"match\":{\"lifetime_s\":{\"gt\":400,\"lt\":500}}}", registered()),
                     1);
}

static void test_differences_say_member_expected_and_actual(void **state) {
    struct event event = registered();
    struct condition condition;
    json_t *object, *json = event_json(&event);
    (void)state;
    read_condition(
        "{\"types\":[\"updated\",\"send\"],\"endpoint\":\"dev2\",\"match\":{\"lifetime_s\":{\"gt\":400},\"id\":7}}",
        &object, &condition);
    json_t *differs = condition_differences(&condition, &event, json);
    json_t *expected = json_of("[{\"member\":\"type\",\"expected\":[\"updated\",\"send\"],\"actual\":\"registered\"},"
                               "{\"member\":\"endpoint\",\"expected\":\"dev2\",\"actual\":\"dev1\"},"
                               "{\"member\":\"lifetime_s\",\"expected\":{\"gt\":400},\"actual\":300}]");
    assert_true(json_equal(differs, expected));
    json_decref(expected);
    json_decref(differs);
    condition_free(&condition);
    json_decref(json);
    json_decref(object);
}

static void test_near_is_the_same_type_or_endpoint(void **state) {
    (void)state;
    assert_true(near("{\"type\":\"updated\",\"endpoint\":\"dev1\"}", registered()));
    assert_true(near("{\"type\":\"registered\",\"endpoint\":\"dev2\"}", registered()));
    assert_false(near("{\"type\":\"updated\",\"endpoint\":\"dev2\"}", registered()));
    assert_false(near("{\"type\":\"updated\"}", registered()));
    assert_true(near("{\"match\":{\"lifetime_s\":1}}", registered()));
}

static void test_what_is_wrong_has_its_place(void **state) {
    (void)state;
    assert_refused("{\"type\":\"registred\"}", "/wait/type", "registred");
    assert_refused("{\"type\":7}", "/wait/type", "a type of event");
    assert_refused("{\"type\":\"updated\",\"types\":[\"updated\"]}", "/wait/types", "not both");
    assert_refused("{\"types\":[]}", "/wait/types", "list");
    assert_refused("{\"types\":\"updated\"}", "/wait/types", "list");
    assert_refused("{\"types\":[\"updated\",\"nope\"]}", "/wait/types/1", "nope");
    assert_refused("{\"endpoint\":1}", "/wait/endpoint", "a string");
    assert_refused("{\"match\":[]}", "/wait/match", "object");
    assert_refused("{\"match\":{\"lifetme_s\":1}}", "/wait/match/lifetme_s", "none is called so");
    assert_refused("{\"match\":{\"lifetime_s\":{\"above\":1}}}", "/wait/match/lifetime_s/above", "eq, ne");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_condition_matches_every_event),
        cmocka_unit_test(test_type_and_endpoint_must_both_fit),
        cmocka_unit_test(test_registered_includes_replaced),
        cmocka_unit_test(test_match_tests_members),
        cmocka_unit_test(test_misses_count_the_members_that_differ),
        cmocka_unit_test(test_differences_say_member_expected_and_actual),
        cmocka_unit_test(test_near_is_the_same_type_or_endpoint),
        cmocka_unit_test(test_what_is_wrong_has_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
