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

static bool matches(const char *condition_text, struct event event) {
    char error[512] = "";
    struct condition condition;
    json_t *object = json_loads(condition_text, 0, NULL);
    json_t *json = event_json(&event);
    assert_non_null(object);
    if (!condition_read(object, &condition, error, sizeof error))
        fail_msg("%s: %s", condition_text, error);
    bool result = condition_match(&condition, &event, json);
    condition_free(&condition);
    json_decref(json);
    json_decref(object);
    return result;
}

static bool near(const char *condition_text, struct event event) {
    char error[512];
    struct condition condition;
    json_t *object = json_loads(condition_text, 0, NULL);
    assert_true(condition_read(object, &condition, error, sizeof error));
    bool result = condition_near(&condition, &event);
    condition_free(&condition);
    json_decref(object);
    return result;
}

static void assert_refused(const char *condition_text, const char *because) {
    char error[512] = "";
    struct condition condition;
    json_t *object = json_loads(condition_text, 0, NULL);
    assert_non_null(object);
    assert_false(condition_read(object, &condition, error, sizeof error));
    if (strstr(error, because) == NULL)
        fail_msg("\"%s\" should say \"%s\"", error, because);
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

static void test_literal_is_equality(void **state) {
    (void)state;
    assert_true(matches("{\"match\":{\"lifetime_s\":300,\"location\":\"/rd/4Kx9\"}}", registered()));
    assert_true(matches("{\"match\":{\"lifetime_s\":300.0}}", registered()));
    assert_false(matches("{\"match\":{\"lifetime_s\":\"300\"}}", registered()));
    assert_false(matches("{\"match\":{\"lifetime_s\":301}}", registered()));
}

static void test_order_of_numbers(void **state) {
    (void)state;
    assert_true(
        matches("{\"match\":{\"lifetime_s\":{\"gt\":299,\"gte\":300,\"lt\":300.5,\"lte\":300}}}", registered()));
    assert_false(matches("{\"match\":{\"lifetime_s\":{\"gt\":300}}}", registered()));
    assert_false(matches("{\"match\":{\"lifetime_s\":{\"lt\":300}}}", registered()));
}

static void test_order_of_texts(void **state) {
    (void)state;
    assert_true(matches("{\"match\":{\"ts\":{\"gte\":\"2026-11-21T08:00:00.123Z\"}}}", registered()));
    assert_false(matches("{\"match\":{\"ts\":{\"gt\":\"2026-11-21T08:00:00.123Z\"}}}", registered()));
}

static void test_number_is_not_compared_with_text(void **state) {
    (void)state;
    assert_false(matches("{\"match\":{\"lifetime_s\":{\"gt\":\"1\"}}}", registered()));
    assert_false(matches("{\"match\":{\"lifetime_s\":{\"lte\":\"1\"}}}", registered()));
}

static void test_in_is_equality_with_one_of_them(void **state) {
    (void)state;
    assert_true(matches("{\"match\":{\"lifetime_s\":{\"in\":[1,300]}}}", registered()));
    assert_false(matches("{\"match\":{\"lifetime_s\":{\"in\":[]}}}", registered()));
}

static void test_regex_is_found_anywhere(void **state) {
    (void)state;
    assert_true(matches("{\"match\":{\"address\":{\"regex\":\"0\\\\.1:[0-9]{4}$\"}}}", registered()));
    assert_false(matches("{\"match\":{\"address\":{\"regex\":\"^0\"}}}", registered()));
    assert_false(matches("{\"match\":{\"lifetime_s\":{\"regex\":\"3\"}}}", registered()));
}

static void test_absent_field_is_null(void **state) {
    (void)state;
    assert_true(matches("{\"match\":{\"coap_code\":null}}", registered()));
    assert_true(matches("{\"match\":{\"coap_code\":{\"ne\":\"4.00\"}}}", registered()));
    assert_false(matches("{\"match\":{\"coap_code\":{\"gte\":\"\"}}}", registered()));
    assert_false(matches("{\"match\":{\"lifetime_s\":null}}", registered()));
}

static void test_near_is_the_same_type_or_endpoint(void **state) {
    (void)state;
    assert_true(near("{\"type\":\"updated\",\"endpoint\":\"dev1\"}", registered()));
    assert_true(near("{\"type\":\"registered\",\"endpoint\":\"dev2\"}", registered()));
    assert_false(near("{\"type\":\"updated\",\"endpoint\":\"dev2\"}", registered()));
    assert_false(near("{\"type\":\"updated\"}", registered()));
    assert_true(near("{\"match\":{\"lifetime_s\":1}}", registered()));
}

static void test_faults_are_named(void **state) {
    (void)state;
    assert_refused("{\"type\":\"registred\"}", "registred");
    assert_refused("{\"type\":7}", "no type");
    assert_refused("{\"type\":\"updated\",\"types\":[\"updated\"]}", "not both");
    assert_refused("{\"types\":[]}", "list");
    assert_refused("{\"types\":\"updated\"}", "list");
    assert_refused("{\"endpoint\":1}", "endpoint");
    assert_refused("{\"match\":[]}", "match");
    assert_refused("{\"match\":{\"lifetme_s\":1}}", "lifetme_s");
    assert_refused("{\"match\":{\"lifetime_s\":{\"above\":1}}}", "above");
    assert_refused("{\"match\":{\"lifetime_s\":{\"gt\":[]}}}", "gt");
    assert_refused("{\"match\":{\"lifetime_s\":{\"in\":1}}}", "in must");
    assert_refused("{\"match\":{\"detail\":{\"regex\":1}}}", "regex");
    assert_refused("{\"match\":{\"detail\":{\"regex\":\"(\"}}}", "regex");
}

static void test_regex_that_explodes_is_refused(void **state) {
    (void)state;
    assert_refused("{\"match\":{\"detail\":{\"regex\":\"((a{99}){99}){99}\"}}}", "repeats");
    assert_refused("{\"match\":{\"detail\":{\"regex\":\"((a{,99}){,99}){,99}\"}}}", "repeats");
    assert_refused("{\"match\":{\"detail\":{\"regex\":\"a{9999}\"}}}", "repeats");
    assert_refused("{\"match\":{\"detail\":{\"regex\":\"(a*)\\\\1\"}}}", "back-reference");
    assert_true(matches("{\"match\":{\"address\":{\"regex\":\"([0-9]{1,3}\\\\.){3}\"}}}", registered()));
}

static void test_regex_of_more_than_256_bytes_is_refused(void **state) {
    char text[400];
    (void)state;
    sprintf(text, "{\"match\":{\"detail\":{\"regex\":\"%0257d\"}}}", 0);
    assert_refused(text, "256");
}

static void test_more_than_64_tests_are_refused(void **state) {
    char text[4096];
    size_t len = (size_t)sprintf(text, "{\"match\":{");
    static const char *const fields[] = {"id",       "ts",     "type",    "endpoint", "location",
                                         "previous", "detail", "address", "path"};
    (void)state;
    for (size_t i = 0; i < 9; i++)
        len += (size_t)sprintf(text + len,
                               "%s\"%s\":{\"eq\":1,\"ne\":1,\"gt\":1,\"gte\":1,\"lt\":1,\"lte\":1,\"in\":[],"
                               "\"regex\":\"a\"}",
                               i == 0 ? "" : ",", fields[i]);
    strcpy(text + len, "}}");
    assert_refused(text, "64");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_condition_matches_every_event),
        cmocka_unit_test(test_type_and_endpoint_must_both_fit),
        cmocka_unit_test(test_registered_includes_replaced),
        cmocka_unit_test(test_literal_is_equality),
        cmocka_unit_test(test_order_of_numbers),
        cmocka_unit_test(test_order_of_texts),
        cmocka_unit_test(test_number_is_not_compared_with_text),
        cmocka_unit_test(test_in_is_equality_with_one_of_them),
        cmocka_unit_test(test_regex_is_found_anywhere),
        cmocka_unit_test(test_absent_field_is_null),
        cmocka_unit_test(test_near_is_the_same_type_or_endpoint),
        cmocka_unit_test(test_faults_are_named),
        cmocka_unit_test(test_regex_that_explodes_is_refused),
        cmocka_unit_test(test_regex_of_more_than_256_bytes_is_refused),
        cmocka_unit_test(test_more_than_64_tests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
