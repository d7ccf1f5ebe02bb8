#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "web/scenario/scenario.h"

static const struct scenario_means all_means = {.devices = true, .server = true}, no_means;

static struct scenario *read_with(const struct scenario_means *means, const char *text, struct document_error *error) {
    json_t *document = json_loads(text, 0, NULL);
    if (document == NULL)
        fail_msg("%s", text);
    struct scenario *scenario = scenario_read(document, means, error);
    json_decref(document);
    return scenario;
}

/* A scenario of one step. */
static void assert_taken(const char *step) {
    struct document_error error;
    char text[1024];
    snprintf(text, sizeof text, "{\"variables\":{\"v\":1},\"steps\":[%s]}", step);
    struct scenario *scenario = read_with(&all_means, text, &error);
    if (scenario == NULL)
        fail_msg("%s: %s %s", step, error.pointer, error.expected);
    scenario_free(scenario);
}

static void assert_refused_with(const struct scenario_means *means, const char *text, const char *pointer,
                                const char *because) {
    struct document_error error;
    assert_null(read_with(means, text, &error));
    assert_string_equal(error.pointer, pointer);
    if (strstr(error.expected, because) == NULL)
        fail_msg("\"%s\" should say \"%s\"", error.expected, because);
}

static void assert_refused(const char *step, const char *pointer, const char *because) {
    char text[1024];
    snprintf(text, sizeof text, "{\"steps\":[{\"clock\":1},%s]}", step);
    assert_refused_with(&all_means, text, pointer, because);
}

static void test_steps_of_each_kind(void **state) {
    struct document_error error;
    (void)state;
    struct scenario *scenario =
        read_with(&all_means,
                  "{\"name\":\"n\",\"timeout\":\"1m\",\"steps\":[{\"request\":{\"path\":\"/v1/"
                  "devices\"}},{\"wait\":{}},{\"clock\":\"+1d\"},"
                  "{\"device\":{\"name\":\"d\",\"start\":[]}},{\"device\":{\"name\":\"d\",\"command\":\"update\"}},"
                  "{\"device\":{\"name\":\"d\",\"output\":{}}},{\"device\":{\"name\":\"d\",\"stop\":\"kill\"}}]}",
                  &error);
    assert_non_null(scenario);
    assert_string_equal(scenario_name(scenario), "n");
    assert_int_equal(scenario->timeout_ms, 60000);
    assert_int_equal(scenario->step_count, 7);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(scenario->steps[i].kind, i);
    scenario_free(scenario);
}

static void test_variables_are_known_where_they_are_used(void **state) {
    (void)state;
    assert_taken("{\"clock\":\"${v}\"}");
    assert_taken("{\"request\":{\"path\":\"/v1/events\",\"query\":{\"after\":\"${cursor}\"}}}");
    assert_taken("{\"request\":{\"path\":\"/\"},\"save\":{\"w\":\"/a\"}},{\"clock\":\"${w}\"}");
    assert_refused("{\"clock\":\"${w}\"}", "/steps/1/clock", "\"w\"");
    assert_refused("{\"request\":{\"path\":\"/${w}\"},\"save\":{\"w\":\"/a\"}}", "/steps/1/request/path", "\"w\"");
}

static void test_what_has_variables_is_judged_later(void **state) {
    (void)state;
    assert_taken("{\"wait\":{\"type\":\"${v}\"}}");
    assert_refused("{\"wait\":{\"type\":\"v\"}}", "/steps/1/wait/type", "a type of event");
}

static void test_what_is_wrong_has_its_place(void **state) {
    (void)state;
    assert_refused("{}", "/steps/1", "one of request");
    assert_refused("{\"clock\":1,\"wait\":{}}", "/steps/1", "one of request");
    assert_refused("{\"sleep\":1}", "/steps/1/sleep", "there is no such member");
    assert_refused("{\"name\":1,\"clock\":1}", "/steps/1/name", "a text");
    assert_refused("{\"mark\":1,\"clock\":1}", "/steps/1/mark", "true or false");
    assert_refused("{\"clock\":\"-1s\"}", "/steps/1/clock", "a duration");
    assert_refused("{\"clock\":1,\"timeout\":\"2h\"}", "/steps/1/timeout", "an hour");
    assert_refused("{\"request\":{}}", "/steps/1/request/path", "a path");
    assert_refused("{\"request\":{\"path\":\"v1\"}}", "/steps/1/request/path", "a path");
    assert_refused("{\"request\":{\"path\":\"/\",\"method\":\"HEAD\"}}", "/steps/1/request/method", "GET");
    assert_refused("{\"request\":{\"path\":\"/\",\"query\":{\"a\":[]}}}", "/steps/1/request/query/a",
                   "a text or a number");
    assert_refused("{\"request\":{\"path\":\"/\",\"headers\":[]}}", "/steps/1/request/headers", "an object");
    assert_refused("{\"request\":{\"path\":\"/\",\"body\":1,\"text\":\"\"}}", "/steps/1/request/text", "not both");
    assert_refused("{\"request\":{\"path\":\"/\"},\"expect\":{\"code\":1}}", "/steps/1/expect/code", "status");
    assert_refused("{\"request\":{\"path\":\"/\"},\"expect\":{\"status\":{\"above\":1}}}",
                   "/steps/1/expect/status/above", "eq, ne");
    assert_refused("{\"request\":{\"path\":\"/\"},\"expect\":{\"body\":{\"/a\":{\"in\":1}}}}",
                   "/steps/1/expect/body/~1a/in", "a list");
    assert_refused("{\"request\":{\"path\":\"/\"},\"save\":{\"a b\":\"/a\"}}", "/steps/1/save/a b", "a name");
    assert_refused("{\"request\":{\"path\":\"/\"},\"save\":{\"a\":\"a\"}}", "/steps/1/save/a", "a JSON Pointer");
    assert_refused("{\"wait\":{\"count\":0}}", "/steps/1/wait/count", "1 to 1000");
    assert_refused("{\"device\":{\"name\":\"d\"}}", "/steps/1/device", "one of start");
    assert_refused("{\"device\":{\"start\":[]}}", "/steps/1/device/name", "a name");
    assert_refused("{\"device\":{\"name\":\"d\",\"start\":[1]}}", "/steps/1/device/start/0", "a text");
    assert_refused("{\"device\":{\"name\":\"d\",\"command\":\"a\\nb\"}}", "/steps/1/device/command", "one line");
    assert_refused("{\"device\":{\"name\":\"d\",\"output\":[]}}", "/steps/1/device/output", "object");
    assert_refused("{\"device\":{\"name\":\"d\",\"stop\":false}}", "/steps/1/device/stop", "true or");
    assert_refused("{\"device\":{\"name\":\"d\",\"stop\":true},\"expect\":{}}", "/steps/1/expect", "only request");
    assert_refused("{\"device\":{\"name\":\"d\",\"stop\":true},\"save\":{}}", "/steps/1/save", "no answer");
}

static void test_whole_is_judged_too(void **state) {
    (void)state;
    assert_refused_with(&all_means, "{}", "/steps", "1 to 1000");
    assert_refused_with(&all_means, "{\"steps\":[]}", "/steps", "1 to 1000");
    assert_refused_with(&all_means, "{\"step\":[]}", "/step", "there are name");
    assert_refused_with(&all_means, "{\"steps\":[1]}", "/steps/0", "an object");
    assert_refused_with(&all_means, "{\"steps\":[{\"clock\":1}],\"timeout\":\"2h\"}", "/timeout", "an hour");
    assert_refused_with(&all_means, "{\"steps\":[{\"clock\":1}],\"variables\":[]}", "/variables", "an object");
    assert_refused_with(&all_means, "{\"steps\":[{\"clock\":1}],\"server\":\"x\"}", "/server", "a list");
}

static void test_processes_need_means(void **state) {
    (void)state;
    assert_refused_with(&no_means, "{\"steps\":[{\"device\":{\"name\":\"d\",\"start\":[]}}]}", "/steps/0/device",
                        "run");
    assert_refused_with(&no_means, "{\"steps\":[{\"clock\":1}],\"server\":[]}", "/server", "runs already");
}

static void test_time_that_a_step_may_take(void **state) {
    json_t *wait = json_loads("{\"wait\":{\"timeout\":\"30s\"}}", 0, NULL),
           *own = json_loads("{\"timeout\":5}", 0, NULL);
    (void)state;
    assert_int_equal(step_timeout_ms(STEP_WAIT, wait), 40000);
    assert_int_equal(step_timeout_ms(STEP_REQUEST, own), 5000);
    assert_int_equal(step_timeout_ms(STEP_REQUEST, wait), 60000);
    json_decref(wait);
    json_decref(own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_of_each_kind),
        cmocka_unit_test(test_variables_are_known_where_they_are_used),
        cmocka_unit_test(test_what_has_variables_is_judged_later),
        cmocka_unit_test(test_what_is_wrong_has_its_place),
        cmocka_unit_test(test_whole_is_judged_too),
        cmocka_unit_test(test_processes_need_means),
        cmocka_unit_test(test_time_that_a_step_may_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
