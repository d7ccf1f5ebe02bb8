/* Many registrations that expire together: each turn of the loop ends its share of them, and the database follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <unistd.h>

#include "common/base/log.h"
#include "server/contact.h"
#include "server/expiry.h"
#include "server/names.h"
#include "server/persist.h"

enum { MANY = 3000, LIFETIME_S = 3600, LEAP_MS = 2 * LIFETIME_S * 1000, SHARE = TICKER_FIRES };
enum { DELETIONS_MAX = 1024 }; /* under way at once */

struct fixture {
    uv_loop_t loop;
    struct config config;
    struct catalogue catalogue;
    char directory[64];
    struct server *server;
    uint64_t fired; /* in the leap that is over */
    bool leapt;
};

static struct fixture f;

static void start_server(void) {
    char error[256];
    f.server = server_start(&f.loop, &f.config, &f.catalogue, error, sizeof error);
    if (f.server == NULL)
        fail_msg("%s", error);
}

static int set_up(void **state) {
    (void)state;
    memset(&f, 0, sizeof f);
    strcpy(f.directory, "/tmp/test_expiry.XXXXXX");
    if (mkdtemp(f.directory) == NULL)
        return -1;
    char *argv[] = {(char *)(uintptr_t) "berth-server", (char *)(uintptr_t) "--listen=coap://127.0.0.1:0", NULL};
    if (config_parse(&f.config, 2, argv) != CONFIG_RUN)
        return -1;
    f.config.data = f.directory;
    f.config.log_level = LOG_ERROR;
    log_configure(LOG_ERROR, false);
    uv_loop_init(&f.loop);
    start_server();
    return 0;
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

static void on_older(void *arg, struct registration *old) {
    (void)arg, (void)old;
    fail_msg("nobody registers twice here");
}

static void register_many(void) {
    for (unsigned i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%u", i);
        struct address peer = {.family = ADDRESS_IPV4, .port = (uint16_t)(20000 + i), .ip = {127, 0, 0, 1}};
        struct link *link = udp_link(f.server->udp, &f.server->listeners[0], &peer, NULL);
        assert_non_null(link);
        struct registration_content content = {.endpoint = slice_str(name),
                                               .links = slice_str("</3/0>"),
                                               .lifetime_s = LIFETIME_S,
                                               .version = LWM2M_1_1,
                                               .binding = BINDING_U};
        struct registration *r = directory_add(f.server->directory, f.server->next_registration_id++, &content, link);
        link_unref(link);
        assert_non_null(r);
        directory_commit(f.server->directory, r, on_older, NULL);
        expiry_refresh(f.server, r);
        struct store_registration row = persist_row(r);
        assert_int_equal(store_put_registration(f.server->store, &row, NULL, 0, NULL, NULL), STORE_OK);
    }
}

/* Turns of the loop until nobody is left and the database knows; none ends more than its share. */
static size_t turns_until_gone(void) {
    size_t turns = 0;
    while (directory_count(f.server->directory) > 0 || f.server->unsaved_deletions.count > 0 ||
           f.server->unsaved_deletions.under_way > 0) {
        size_t before = directory_count(f.server->directory);
        uv_run(&f.loop, UV_RUN_ONCE);
        assert_true(before - directory_count(f.server->directory) <= SHARE);
        assert_true(f.server->unsaved_deletions.under_way <= DELETIONS_MAX);
        turns++;
    }
    return turns;
}

static void on_leapt(void *arg, uint64_t fired) {
    (void)arg;
    f.leapt = true;
    f.fired = fired;
    assert_int_equal(directory_count(f.server->directory), 0);
}

static void test_many_that_expire_in_a_leap_hold_up_nobody(void **state) {
    (void)state;
    register_many();
    assert_true(server_leap(f.server, LEAP_MS, on_leapt, NULL));
    assert_false(f.leapt);
    assert_true(directory_count(f.server->directory) >= MANY - SHARE);
    assert_true(turns_until_gone() >= MANY / SHARE);
    assert_true(f.leapt);
    assert_true(f.fired >= MANY);
    assert_int_equal(f.server->clock.leapt_ms, LEAP_MS);
    assert_int_equal(event_count(f.server->events, EVENT_EXPIRED), MANY);
    server_stop(f.server);
    start_server();
    assert_int_equal(directory_count(f.server->directory), 0);
}

static void test_a_leap_that_the_end_of_the_server_meets_is_over(void **state) {
    (void)state;
    register_many();
    timer_cancel(&f.server->wheel, &f.server->flush);
    assert_true(server_leap(f.server, LEAP_MS, NULL, NULL));
    assert_true(directory_count(f.server->directory) > 0);
    server_stop(f.server);
    start_server();
    turns_until_gone();
}

static void on_set(void *arg, enum store_result result) {
    *(bool *)arg = result == STORE_OK;
}

static void test_those_that_expired_while_it_was_down_are_not_waited_for(void **state) {
    (void)state;
    bool set = false;
    register_many();
    store_put_setting(f.server->store, SETTING_CLOCK_LEAPT, slice_str("7200000"), on_set, &set);
    while (!set)
        uv_run(&f.loop, UV_RUN_ONCE);
    server_stop(f.server);
    start_server();
    assert_true(directory_count(f.server->directory) >= MANY - SHARE);
    assert_true(turns_until_gone() >= MANY / SHARE);
    assert_int_equal(event_count(f.server->events, EVENT_EXPIRED), MANY);
    server_stop(f.server);
    start_server();
    assert_int_equal(directory_count(f.server->directory), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_many_that_expire_in_a_leap_hold_up_nobody),
        TEST(test_a_leap_that_the_end_of_the_server_meets_is_over),
        TEST(test_those_that_expired_while_it_was_down_are_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
