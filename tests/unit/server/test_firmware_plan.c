/* server/firmware_plan.c: the state machine of object 5, seen from the server. */
#include "server/firmware_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum {
    IDLE = FIRMWARE_STATE_IDLE,
    LOADING = FIRMWARE_STATE_DOWNLOADING,
    LOADED = FIRMWARE_STATE_DOWNLOADED,
    UPDATING = FIRMWARE_STATE_UPDATING
};

static struct firmware_progress progress_in(enum firmware_step step) {
    return (struct firmware_progress){.step = step, .method = FIRMWARE_PUSH, .update = true};
}

static struct firmware_report report_of(int64_t state, int64_t result) {
    return (struct firmware_report){.has_state = true, .state = state, .result = result};
}

static void assert_decides(const struct firmware_progress *progress, int64_t state, int64_t result,
                           enum firmware_action action, enum firmware_step step) {
    struct firmware_report report = report_of(state, result);
    struct firmware_decision decision = firmware_decide(progress, &report);
    assert_int_equal(decision.action, action);
    assert_int_equal(decision.step, step);
    assert_true((decision.why != NULL) == (action == FIRMWARE_DO_FAIL));
}

static void assert_decides_in(enum firmware_step now, int64_t state, int64_t result, enum firmware_action action,
                              enum firmware_step step) {
    struct firmware_progress progress = progress_in(now);
    assert_decides(&progress, state, result, action, step);
}

static void test_FW_01_push_or_pull_as_the_device_can(void **state) {
    static const struct {
        enum firmware_method ordered;
        int64_t delivery; /* -1: not told */
        bool good;
        enum firmware_method method;
    } cases[] = {
        {FIRMWARE_AUTO, 0, true, FIRMWARE_PULL},  {FIRMWARE_AUTO, 1, true, FIRMWARE_PUSH},
        {FIRMWARE_AUTO, 2, true, FIRMWARE_PULL},  {FIRMWARE_AUTO, -1, true, FIRMWARE_PULL},
        {FIRMWARE_PUSH, 0, false, FIRMWARE_PUSH}, {FIRMWARE_PUSH, 1, true, FIRMWARE_PUSH},
        {FIRMWARE_PUSH, 2, true, FIRMWARE_PUSH},  {FIRMWARE_PULL, 1, false, FIRMWARE_PULL},
        {FIRMWARE_PULL, 0, true, FIRMWARE_PULL},  {FIRMWARE_PULL, 2, true, FIRMWARE_PULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct firmware_report report = {.has_delivery = cases[i].delivery >= 0, .delivery = cases[i].delivery};
        enum firmware_method method;
        assert_int_equal(firmware_choose_method(cases[i].ordered, &report, &method), cases[i].good);
        assert_int_equal(method, cases[i].method);
    }
}

static void test_FW_01_the_protocol_is_one_that_both_have(void **state) {
    enum {
        COAP = 1 << FIRMWARE_COAP,
        COAPS = 1 << FIRMWARE_COAPS,
        HTTP = 1 << FIRMWARE_HTTP,
        HTTPS = 1 << FIRMWARE_HTTPS,
        TCP = 1 << FIRMWARE_COAP_TCP
    };
    static const struct {
        enum firmware_protocol ordered, own;
        uint8_t served, listed; /* 0: it lists none */
        bool good;
        enum firmware_protocol protocol;
    } cases[] = {
        {FIRMWARE_PROTOCOLS, FIRMWARE_COAP, COAP | TCP, COAP | TCP, true, FIRMWARE_COAP},
        {FIRMWARE_PROTOCOLS, FIRMWARE_COAP_TCP, COAP | TCP, COAP | TCP, true, FIRMWARE_COAP_TCP},
        {FIRMWARE_PROTOCOLS, FIRMWARE_COAP_TCP, COAP | TCP, COAP, true, FIRMWARE_COAP},
        {FIRMWARE_PROTOCOLS, FIRMWARE_COAPS, COAPS | COAP, 0, true, FIRMWARE_COAPS},
        {FIRMWARE_PROTOCOLS, FIRMWARE_COAP, COAP | HTTP, HTTP, true, FIRMWARE_HTTP},
        {FIRMWARE_PROTOCOLS, FIRMWARE_COAP, COAP, HTTP, false, FIRMWARE_COAP},
        {FIRMWARE_PROTOCOLS, FIRMWARE_COAP, COAP | HTTP | HTTPS, HTTPS, true, FIRMWARE_HTTPS},
        {FIRMWARE_PROTOCOLS, FIRMWARE_COAP, COAP | HTTP | HTTPS, HTTP | HTTPS, true, FIRMWARE_HTTP},
        {FIRMWARE_HTTP, FIRMWARE_COAP, COAP | HTTP, COAP, true, FIRMWARE_HTTP}, /* who orders knows better */
        {FIRMWARE_HTTP, FIRMWARE_COAP, COAP, HTTP, false, FIRMWARE_HTTP},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct firmware_report report = {.has_protocols = cases[i].listed != 0, .protocols = cases[i].listed};
        enum firmware_protocol protocol = FIRMWARE_PROTOCOLS;
        assert_int_equal(firmware_choose_protocol(cases[i].ordered, cases[i].own, cases[i].served, &report, &protocol),
                         cases[i].good);
        if (cases[i].good)
            assert_int_equal(protocol, cases[i].protocol);
    }
}

static void test_FW_02_the_device_is_brought_to_idle_first(void **state) {
    (void)state;
    assert_decides_in(FIRMWARE_PREPARING, IDLE, 0, FIRMWARE_DO_DELIVER, FIRMWARE_DELIVERING);
    assert_decides_in(FIRMWARE_PREPARING, LOADED, 0, FIRMWARE_DO_RESET, FIRMWARE_PREPARING);
    assert_decides_in(FIRMWARE_PREPARING, LOADING, 0, FIRMWARE_DO_RESET, FIRMWARE_PREPARING);
    assert_decides_in(FIRMWARE_PREPARING, IDLE, 1, FIRMWARE_DO_RESET, FIRMWARE_PREPARING);
    assert_decides_in(FIRMWARE_PREPARING, UPDATING, 0, FIRMWARE_DO_WAIT, FIRMWARE_PREPARING);
    struct firmware_progress was_reset = progress_in(FIRMWARE_PREPARING);
    was_reset.was_reset = true; /* one whose result stays is updated all the same */
    assert_decides(&was_reset, IDLE, 8, FIRMWARE_DO_DELIVER, FIRMWARE_DELIVERING);
    was_reset.resets = FIRMWARE_RESETS_MAX;
    assert_decides(&was_reset, LOADED, 0, FIRMWARE_DO_FAIL, FIRMWARE_FAILED);
}

static void test_downloading(void **state) {
    (void)state;
    assert_decides_in(FIRMWARE_DOWNLOADING, LOADING, 0, FIRMWARE_DO_WAIT, FIRMWARE_DOWNLOADING);
    assert_decides_in(FIRMWARE_DOWNLOADING, IDLE, 0, FIRMWARE_DO_WAIT, FIRMWARE_DOWNLOADING);
    assert_decides_in(FIRMWARE_DOWNLOADING, LOADED, 0, FIRMWARE_DO_UPDATE, FIRMWARE_INSTALLING);
    assert_decides_in(FIRMWARE_DOWNLOADING, UPDATING, 0, FIRMWARE_DO_WAIT, FIRMWARE_UPDATING);
    assert_decides_in(FIRMWARE_DOWNLOADING, IDLE, 1, FIRMWARE_DO_SUCCEED, FIRMWARE_SUCCEEDED);
    struct firmware_progress download_only = progress_in(FIRMWARE_DOWNLOADING);
    download_only.update = false;
    assert_decides(&download_only, LOADED, 0, FIRMWARE_DO_SUCCEED, FIRMWARE_SUCCEEDED);
}

static void test_what_the_device_has_lost_is_delivered_again_but_not_for_ever(void **state) {
    struct firmware_progress progress = progress_in(FIRMWARE_DOWNLOADING);
    (void)state;
    progress.idle_reports = FIRMWARE_IDLE_REPORTS_MAX;
    assert_decides(&progress, IDLE, 0, FIRMWARE_DO_DELIVER, FIRMWARE_DELIVERING);
    progress.deliveries = FIRMWARE_DELIVERIES_MAX;
    assert_decides(&progress, IDLE, 0, FIRMWARE_DO_FAIL, FIRMWARE_FAILED);
}

static void test_FW_08_a_result_ends_the_update_whatever_the_state(void **state) {
    (void)state;
    for (int64_t result = 2; result <= 10; result++) {
        for (int64_t in = IDLE; in <= LOADED; in++) {
            assert_decides_in(FIRMWARE_DOWNLOADING, in, result, FIRMWARE_DO_FAIL, FIRMWARE_FAILED);
            assert_decides_in(FIRMWARE_UPDATING, in, result, FIRMWARE_DO_FAIL, FIRMWARE_FAILED);
        }
    }
    assert_decides_in(FIRMWARE_UPDATING, LOADED, 42, FIRMWARE_DO_FAIL, FIRMWARE_FAILED);
}

static void test_FW_06_FW_09_updating_until_the_result_is_there(void **state) {
    struct firmware_progress progress = progress_in(FIRMWARE_UPDATING);
    (void)state;
    assert_decides(&progress, UPDATING, 0, FIRMWARE_DO_WAIT, FIRMWARE_UPDATING);
    assert_decides(&progress, LOADED, 0, FIRMWARE_DO_WAIT, FIRMWARE_UPDATING);
    assert_decides(&progress, IDLE, 0, FIRMWARE_DO_WAIT, FIRMWARE_UPDATING);
    assert_decides(&progress, IDLE, 1, FIRMWARE_DO_SUCCEED, FIRMWARE_SUCCEEDED);
    progress.idle_reports = FIRMWARE_IDLE_REPORTS_MAX;
    assert_decides(&progress, IDLE, 0, FIRMWARE_DO_FAIL, FIRMWARE_FAILED);
}

static void test_FW_11_a_deferred_update_is_waited_for(void **state) {
    (void)state;
    assert_decides_in(FIRMWARE_UPDATING, LOADED, FIRMWARE_RESULT_DEFERRED, FIRMWARE_DO_WAIT, FIRMWARE_UPDATING);
    assert_decides_in(FIRMWARE_INSTALLING, LOADED, FIRMWARE_RESULT_DEFERRED, FIRMWARE_DO_WAIT, FIRMWARE_INSTALLING);
}

static void test_FW_12_every_step_goes_on_with_what_the_device_tells(void **state) {
    struct firmware_progress pulling = progress_in(FIRMWARE_DELIVERING);
    (void)state;
    assert_decides_in(FIRMWARE_DELIVERING, IDLE, 0, FIRMWARE_DO_DELIVER, FIRMWARE_DELIVERING);
    assert_decides_in(FIRMWARE_DELIVERING, LOADING, 0, FIRMWARE_DO_RESET,
                      FIRMWARE_DELIVERING); /* half of it is there */
    assert_decides_in(FIRMWARE_DELIVERING, LOADED, 0, FIRMWARE_DO_UPDATE, FIRMWARE_INSTALLING);
    assert_decides_in(FIRMWARE_DELIVERING, UPDATING, 0, FIRMWARE_DO_WAIT, FIRMWARE_UPDATING);
    assert_decides_in(FIRMWARE_DELIVERING, IDLE, 5, FIRMWARE_DO_FAIL, FIRMWARE_FAILED);
    assert_decides_in(FIRMWARE_INSTALLING, LOADED, 0, FIRMWARE_DO_UPDATE, FIRMWARE_INSTALLING);
    assert_decides_in(FIRMWARE_INSTALLING, UPDATING, 0, FIRMWARE_DO_WAIT, FIRMWARE_UPDATING);
    assert_decides_in(FIRMWARE_INSTALLING, IDLE, 1, FIRMWARE_DO_SUCCEED, FIRMWARE_SUCCEEDED);
    assert_decides_in(FIRMWARE_DOWNLOADED, LOADED, 0, FIRMWARE_DO_UPDATE, FIRMWARE_INSTALLING);
    pulling.method = FIRMWARE_PULL;
    assert_decides(&pulling, LOADING, 0, FIRMWARE_DO_WAIT, FIRMWARE_DOWNLOADING);
}

static void test_cancelling(void **state) {
    (void)state;
    assert_decides_in(FIRMWARE_CANCELLING, IDLE, 0, FIRMWARE_DO_END_CANCELLED, FIRMWARE_CANCELLED);
    assert_decides_in(FIRMWARE_CANCELLING, IDLE, 10, FIRMWARE_DO_END_CANCELLED, FIRMWARE_CANCELLED);
    assert_decides_in(FIRMWARE_CANCELLING, LOADING, 0, FIRMWARE_DO_RESET, FIRMWARE_CANCELLING);
    assert_decides_in(FIRMWARE_CANCELLING, LOADED, 0, FIRMWARE_DO_RESET, FIRMWARE_CANCELLING);
    assert_decides_in(FIRMWARE_CANCELLING, UPDATING, 0, FIRMWARE_DO_FAIL, FIRMWARE_FAILED);
}

static void test_what_is_no_state_fails(void **state) {
    struct firmware_progress progress = progress_in(FIRMWARE_PREPARING);
    struct firmware_report nothing = {.has_state = false};
    (void)state;
    assert_int_equal(firmware_decide(&progress, &nothing).action, FIRMWARE_DO_FAIL);
    assert_decides(&progress, 4, 0, FIRMWARE_DO_FAIL, FIRMWARE_FAILED);
    assert_decides(&progress, -1, 0, FIRMWARE_DO_FAIL, FIRMWARE_FAILED);
}

static void test_names(void **state) {
    (void)state;
    for (int step = FIRMWARE_PREPARING; step < FIRMWARE_STEPS; step++)
        assert_string_not_equal(firmware_step_name((enum firmware_step)step), "");
    assert_string_equal(firmware_step_name((enum firmware_step)0), "");
    assert_string_equal(firmware_result_text(5), "integrity check failed");
    assert_string_equal(firmware_result_text(12), "");
    assert_string_equal(firmware_result_text(-1), "");
}

/* ---- object 9 ---- */

static void assert_software(enum firmware_step step, int64_t state, int64_t result, int64_t as_state,
                            int64_t as_result) {
    const struct firmware_report told = report_of(state, result);
    struct firmware_report report = software_report(&told, step);
    assert_true(report.has_state);
    assert_int_equal(report.state, as_state);
    assert_int_equal(report.result, as_result);
}

static void test_FW_14_states_and_results_of_object_9_as_those_of_object_5(void **state) {
    (void)state;
    for (int step = FIRMWARE_PREPARING; step < FIRMWARE_STEPS; step++) {
        enum firmware_step now = (enum firmware_step)step;
        assert_software(now, 0, 0, IDLE, 0);
        assert_software(now, 0, 1, IDLE, 0);
        assert_software(now, 1, 1, LOADING, 0);
        assert_software(now, 2, 1, LOADING, 0);
        assert_software(now, 3, 3, LOADED, 0);
        for (int64_t failure = 50; failure <= 59; failure++) {
            assert_software(now, 0, failure, IDLE, failure);
            assert_software(now, 3, failure, LOADED, failure);
        }
        assert_software(now, 5, 0, -1, 0);
        assert_software(now, -1, 0, -1, 0);
        assert_software(now, 0, 11, IDLE, 0); /* not deferred: no such result in object 9 */
    }
    assert_software(FIRMWARE_UPDATING, 4, 2, IDLE, FIRMWARE_RESULT_SUCCESS);
    assert_software(FIRMWARE_UPDATING, 4, 58, IDLE, 58);
    assert_software(FIRMWARE_CANCELLING, 4, 2, IDLE, FIRMWARE_RESULT_SUCCESS);
    assert_software(FIRMWARE_PREPARING, 4, 2, LOADED, FIRMWARE_RESULT_SUCCESS);
    assert_software(FIRMWARE_DELIVERING, 4, 2, UPDATING, FIRMWARE_RESULT_SUCCESS);
    struct firmware_report nothing = {.has_state = false};
    assert_false(software_report(&nothing, FIRMWARE_PREPARING).has_state);
}

static struct firmware_decision decide_software(enum firmware_step step, int64_t state, int64_t result) {
    struct firmware_progress progress = progress_in(step);
    const struct firmware_report told = report_of(state, result);
    struct firmware_report report = software_report(&told, step);
    return firmware_decide(&progress, &report);
}

static void test_FW_14_what_is_decided_for_object_9(void **state) {
    (void)state;
    assert_int_equal(decide_software(FIRMWARE_PREPARING, 4, 2).action, FIRMWARE_DO_RESET);
    assert_int_equal(decide_software(FIRMWARE_PREPARING, 3, 3).action, FIRMWARE_DO_RESET);
    assert_int_equal(decide_software(FIRMWARE_PREPARING, 0, 53).action, FIRMWARE_DO_RESET);
    assert_int_equal(decide_software(FIRMWARE_PREPARING, 0, 0).action, FIRMWARE_DO_DELIVER);
    assert_int_equal(decide_software(FIRMWARE_DELIVERING, 4, 2).step, FIRMWARE_UPDATING);
    assert_int_equal(decide_software(FIRMWARE_DOWNLOADING, 2, 1).action, FIRMWARE_DO_WAIT);
    assert_int_equal(decide_software(FIRMWARE_DOWNLOADING, 3, 3).action, FIRMWARE_DO_UPDATE);
    assert_int_equal(decide_software(FIRMWARE_DOWNLOADING, 0, 53).action, FIRMWARE_DO_FAIL);
    assert_int_equal(decide_software(FIRMWARE_UPDATING, 3, 3).action, FIRMWARE_DO_WAIT);
    assert_int_equal(decide_software(FIRMWARE_UPDATING, 3, 58).action, FIRMWARE_DO_FAIL);
    assert_int_equal(decide_software(FIRMWARE_UPDATING, 4, 2).action, FIRMWARE_DO_SUCCEED);
    assert_int_equal(decide_software(FIRMWARE_CANCELLING, 3, 3).action, FIRMWARE_DO_RESET);
    assert_int_equal(decide_software(FIRMWARE_CANCELLING, 4, 2).action, FIRMWARE_DO_END_CANCELLED);
    assert_int_equal(decide_software(FIRMWARE_DOWNLOADING, 7, 0).action, FIRMWARE_DO_FAIL);
}

static void test_FW_14_the_protocol_of_a_pull_is_the_devices_own(void **state) {
    (void)state;
    const struct firmware_report told = report_of(0, 0);
    struct firmware_report report = software_report(&told, FIRMWARE_PREPARING);
    enum firmware_protocol protocol;
    assert_true(firmware_choose_protocol(FIRMWARE_PROTOCOLS, FIRMWARE_COAP_TCP, 0x3f, &report, &protocol));
    assert_int_equal(protocol, FIRMWARE_COAP_TCP);
}

static void test_FW_14_names_of_results(void **state) {
    (void)state;
    assert_string_equal(software_result_text(0), "initial");
    assert_string_equal(software_result_text(3), "downloaded and its integrity verified");
    assert_string_equal(software_result_text(53), "integrity check failed");
    assert_string_equal(software_result_text(59), "uninstallation failed");
    static const int64_t nameless[] = {-1, 4, 49, 55, 60};
    for (size_t i = 0; i < sizeof nameless / sizeof nameless[0]; i++)
        assert_string_equal(software_result_text(nameless[i]), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_FW_01_push_or_pull_as_the_device_can),
        cmocka_unit_test(test_FW_01_the_protocol_is_one_that_both_have),
        cmocka_unit_test(test_FW_02_the_device_is_brought_to_idle_first),
        cmocka_unit_test(test_downloading),
        cmocka_unit_test(test_what_the_device_has_lost_is_delivered_again_but_not_for_ever),
        cmocka_unit_test(test_FW_08_a_result_ends_the_update_whatever_the_state),
        cmocka_unit_test(test_FW_06_FW_09_updating_until_the_result_is_there),
        cmocka_unit_test(test_FW_11_a_deferred_update_is_waited_for),
        cmocka_unit_test(test_FW_12_every_step_goes_on_with_what_the_device_tells),
        cmocka_unit_test(test_cancelling),
        cmocka_unit_test(test_what_is_no_state_fails),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_FW_14_states_and_results_of_object_9_as_those_of_object_5),
        cmocka_unit_test(test_FW_14_what_is_decided_for_object_9),
        cmocka_unit_test(test_FW_14_the_protocol_of_a_pull_is_the_devices_own),
        cmocka_unit_test(test_FW_14_names_of_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
