/* Which fault acts, how often, and until when; on a server without devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <unistd.h>

#include "common/net/hello_time.h"
#include "server/fault.h"

struct fixture {
    uv_loop_t loop;
    struct config config;
    struct catalogue catalogue;
    char directory[64];
    struct server *server;
};

static struct fixture f;

static int set_up(void **state) {
    (void)state;
    char error[256];
    memset(&f, 0, sizeof f);
    strcpy(f.directory, "/tmp/test_fault.XXXXXX");
    if (mkdtemp(f.directory) == NULL)
        return -1;
    char *argv[] = {(char *)(uintptr_t) "berth-server", (char *)(uintptr_t) "--listen=coap://127.0.0.1:0", NULL};
    if (config_parse(&f.config, 2, argv) != CONFIG_RUN)
        return -1;
    f.config.data = f.directory;
    log_configure(LOG_ERROR, false);
    uv_loop_init(&f.loop);
    f.server = server_start(&f.loop, &f.config, &f.catalogue, error, sizeof error);
    return f.server == NULL ? -1 : 0;
}

static int tear_down(void **state) {
    (void)state;
    server_stop(f.server);
    catalogue_free(&f.catalogue);
    DIR *directory = opendir(f.directory);
    char name[512];
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        snprintf(name, sizeof name, "%s/%s", f.directory, entry->d_name);
        unlink(name);
    }
    closedir(directory);
    rmdir(f.directory);
    return uv_loop_close(&f.loop);
}

static struct fault_order drop_updates(void) {
    return (struct fault_order){
        .what = FAULT_DROP, .on = MESSAGE_UPDATE, .in = true, .times = 1, .probability = 1, .seed = 7};
}

static uint64_t order(const struct fault_order *wanted) {
    uint64_t id = 0;
    assert_int_equal(fault_order(f.server, wanted, &id), FAULT_ORDERED);
    return id;
}

static bool picks_for(const char *endpoint, uint32_t kinds, bool is_out) {
    struct fault_subject subject = {.kinds = kinds, .is_out = is_out};
    if (endpoint != NULL)
        subject.endpoint_hash = fault_hash(f.server, slice_str(endpoint));
    return fault_pick(f.server, FAULT_BIT(FAULT_DROP), &subject) != NULL;
}

static bool picks(void) {
    return picks_for("dev1", MESSAGE_CON | MESSAGE_REQUEST | MESSAGE_UPDATE, false);
}

static void test_a_fault_is_about_its_kind_its_direction_and_what_it_does(void **state) {
    (void)state;
    struct fault_order wanted = drop_updates();
    uint64_t id = order(&wanted);
    assert_false(picks_for("dev1", MESSAGE_CON | MESSAGE_REQUEST | MESSAGE_REGISTER, false));
    assert_false(picks_for("dev1", MESSAGE_UPDATE, true));
    struct fault_subject subject = {.kinds = MESSAGE_UPDATE};
    assert_null(fault_pick(f.server, FAULT_BIT(FAULT_DELAY), &subject));
    assert_int_equal(fault_find(f.server, id)->seen, 0);
    assert_true(picks());
    assert_false(picks());
    assert_true(fault_find(f.server, id)->has_ended);
}

static void test_a_fault_of_a_device_is_for_nobody_else(void **state) {
    (void)state;
    struct fault_order wanted = drop_updates();
    wanted.endpoint = slice_str("dev1");
    order(&wanted);
    assert_false(picks_for("dev2", MESSAGE_UPDATE, false));
    assert_false(picks_for("dev", MESSAGE_UPDATE, false));
    assert_false(picks_for(NULL, MESSAGE_UPDATE, false));
    assert_true(picks_for("dev1", MESSAGE_UPDATE, false));
}

static void test_so_many_pass_first_and_so_many_are_acted_on(void **state) {
    (void)state;
    struct fault_order wanted = drop_updates();
    wanted.after = 2;
    wanted.times = 3;
    uint64_t id = order(&wanted);
    char seen[9] = "";
    for (size_t i = 0; i < 8; i++)
        seen[i] = picks() ? '-' : '+';
    assert_string_equal(seen, "++---+++");
    assert_int_equal(fault_find(f.server, id)->seen, 5);
    assert_int_equal(fault_find(f.server, id)->fired, 3);
    assert_false(f.server->provoked);
}

static size_t fired_of(uint64_t seed, double probability, char pattern[1001]) {
    struct fault_order wanted = drop_updates();
    size_t fired = 0;
    wanted.seed = seed;
    wanted.times = 0;
    wanted.is_random = true;
    wanted.probability = probability;
    uint64_t id = order(&wanted);
    for (size_t i = 0; i < 1000; i++) {
        bool hit = picks();
        fired += hit;
        pattern[i] = hit ? '-' : '+';
    }
    pattern[1000] = '\0';
    assert_true(fault_delete(f.server, id));
    return fired;
}

static void test_probability_is_kept_and_the_seed_tells_the_sequence(void **state) {
    (void)state;
    char first[1001], second[1001], other[1001];
    size_t fired = fired_of(7, 0.3, first);
    assert_in_range(fired, 240, 360);
    assert_int_equal(fired_of(7, 0.3, second), fired);
    assert_string_equal(first, second);
    fired_of(8, 0.3, other);
    assert_string_not_equal(first, other);
    assert_int_equal(fired_of(1, 1.0, first), 1000);
    assert_in_range(fired_of(1, 0.01, first), 1, 30);
}

static void test_a_fault_ends_with_its_duration(void **state) {
    (void)state;
    struct fault_order wanted = drop_updates();
    wanted.times = 0;
    wanted.duration_ms = 60000;
    uint64_t id = order(&wanted);
    server_leap(f.server, 59000, NULL, NULL);
    assert_true(picks());
    server_leap(f.server, 1000, NULL, NULL);
    assert_false(picks());
    assert_true(fault_find(f.server, id)->has_ended);
    assert_false(f.server->provoked);
}

static void test_the_oldest_acts_first(void **state) {
    (void)state;
    struct fault_order wanted = drop_updates();
    uint64_t first = order(&wanted), second = order(&wanted);
    assert_true(picks());
    assert_int_equal(fault_find(f.server, first)->fired, 1);
    assert_int_equal(fault_find(f.server, second)->seen, 0);
}

static void test_nothing_is_asked_while_there_is_none(void **state) {
    (void)state;
    struct fault_order wanted = drop_updates();
    assert_false(f.server->provoked);
    uint64_t id = order(&wanted);
    assert_true(f.server->provoked);
    assert_true(fault_delete(f.server, id));
    assert_false(f.server->provoked);
    assert_false(fault_delete(f.server, id));
}

static void test_there_are_limits_and_the_oldest_that_have_ended_go(void **state) {
    (void)state;
    struct fault_order wanted = drop_updates();
    uint64_t id;
    char name[16];
    for (size_t i = 0; i < FAULTS_MAX; i++) {
        snprintf(name, sizeof name, "dev%zu", i / FAULTS_PER_DEVICE_MAX);
        wanted.endpoint = slice_str(name);
        order(&wanted);
        if (i == FAULTS_PER_DEVICE_MAX - 1)
            assert_int_equal(fault_order(f.server, &wanted, &id), FAULT_TOO_MANY);
    }
    wanted.endpoint = SLICE_NONE;
    assert_int_equal(fault_order(f.server, &wanted, &id), FAULT_TOO_MANY);
    fault_clear(f.server, slice_str("dev3"));
    assert_null(fault_next(f.server, NULL, slice_str("dev3")));
    id = order(&wanted);
    assert_int_equal(fault_find(f.server, id)->order.endpoint.len, 0);
    fault_clear(f.server, SLICE_NONE);
    for (size_t i = 0; i < FAULTS_ENDED_MAX + 3; i++) {
        order(&wanted);
        assert_true(picks());
    }
    size_t count = 0;
    for (const struct fault *fault = NULL; (fault = fault_next(f.server, fault, SLICE_NONE)) != NULL;)
        count++;
    assert_in_range(count, FAULTS_ENDED_MAX - 1, FAULTS_ENDED_MAX);
}

static void test_the_newest_offset_of_the_time_holds(void **state) {
    (void)state;
    struct fault_order wanted = {.what = FAULT_TIME, .probability = 1, .offset_s = 86400};
    if (!hello_time_can_differ()) {
        uint64_t id;
        assert_int_equal(fault_order(f.server, &wanted, &id), FAULT_IMPOSSIBLE);
        return;
    }
    struct timespec machine;
    uint64_t first = order(&wanted);
    wanted.offset_s = -86400;
    uint64_t second = order(&wanted);
    clock_gettime(CLOCK_REALTIME, &machine);
    assert_in_range(time(NULL), machine.tv_sec - 86401, machine.tv_sec - 86399);
    fault_delete(f.server, second);
    assert_in_range(time(NULL), machine.tv_sec + 86399, machine.tv_sec + 86410);
    fault_delete(f.server, first);
    assert_in_range(time(NULL), machine.tv_sec - 1, machine.tv_sec + 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_fault_is_about_its_kind_its_direction_and_what_it_does, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_fault_of_a_device_is_for_nobody_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_so_many_pass_first_and_so_many_are_acted_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_probability_is_kept_and_the_seed_tells_the_sequence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_fault_ends_with_its_duration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_oldest_acts_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_asked_while_there_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_there_are_limits_and_the_oldest_that_have_ended_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_newest_offset_of_the_time_holds, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
