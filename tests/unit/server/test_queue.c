/* Queues of devices on a server without HTTP: the runner is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/awake.h"
#include "server/contact.h"
#include "server/expiry.h"
#include "server/persist.h"
#include "server/queue.h"
#include "server/queue_settings.h"

enum { RAN_MAX = 64 };

struct fixture {
    uv_loop_t loop;
    struct config config;
    struct catalogue catalogue;
    char directory[64];
    struct server *server;
    /* what the runner was given, in order */
    uint64_t ran[RAN_MAX];
    size_t ran_count;
    bool answers; /* it is done at once, with its job as result */
    /* completions */
    size_t done;
    enum store_result result; /* of the last one */
    uint16_t port;            /* of the last registration */
};

static struct fixture f;

/* ---- the server ---- */

static void on_run(void *arg, const struct queued_request *request) {
    struct fixture *fixture = arg;
    assert_in_range(fixture->ran_count, 0, RAN_MAX - 1);
    fixture->ran[fixture->ran_count++] = request->id;
    if (fixture->answers)
        queue_done(fixture->server, request->id,
                   &(struct queue_outcome){.state = QUEUE_COMPLETED, .result = request->job, .status = 200});
}

static void start_server(void) {
    char error[256];
    f.server = server_start(&f.loop, &f.config, &f.catalogue, error, sizeof error);
    if (f.server == NULL)
        fail_msg("%s", error);
    queue_set_runner(f.server, on_run, &f);
}

static void restart_server(void) {
    server_stop(f.server);
    f.ran_count = 0;
    start_server();
}

static int set_up(void **state) {
    (void)state;
    memset(&f, 0, sizeof f);
    strcpy(f.directory, "/tmp/test_queue.XXXXXX");
    if (mkdtemp(f.directory) == NULL)
        return -1;
    char *argv[] = {(char *)(uintptr_t) "berth-server", (char *)(uintptr_t) "--listen=coap://127.0.0.1:0", NULL};
    if (config_parse(&f.config, 2, argv) != CONFIG_RUN)
        return -1;
    f.config.data = f.directory;
    f.config.log_level = LOG_ERROR;
    log_configure(LOG_ERROR, false);
    f.answers = true;
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

#define TURN_UNTIL(condition) \
    while (!(condition))      \
    uv_run(&f.loop, UV_RUN_ONCE)

static void on_done(void *arg, enum store_result result) {
    (void)arg;
    f.done++;
    f.result = result;
}

static void on_flushed(void *arg, enum store_result result) {
    (void)result;
    *(bool *)arg = true;
}

static void turn_until_stored(void) {
    bool flushed = false;
    store_put_setting(f.server->store, "test", slice_str("x"), on_flushed, &flushed);
    TURN_UNTIL(flushed);
    uv_run(&f.loop, UV_RUN_NOWAIT); /* what the completions have scheduled */
    uv_run(&f.loop, UV_RUN_NOWAIT);
}

/* Everything that can go on without the test has done so, and is stored or has failed. */
static void flush(void) {
    struct queue_counters before, after = queue_counters(f.server);
    size_t ran;
    do {
        before = after;
        ran = f.ran_count;
        turn_until_stored();
        after = queue_counters(f.server);
    } while (ran != f.ran_count || before.results != after.results || before.waiting != after.waiting);
}

static void leap(uint64_t ms) {
    clock_update(&f.server->clock);
    server_leap(f.server, ms, NULL, NULL);
    flush();
}

/* ---- devices and requests ---- */

static void on_replaced(void *arg, struct registration *old) {
    timer_cancel(&f.server->wheel, &old->expiry);
    contact_replaced(f.server, old, arg);
}

static struct registration *registered(const char *endpoint, bool queue_mode, uint32_t lifetime_s) {
    struct address peer = {.family = ADDRESS_IPV4, .port = (uint16_t)(40000 + ++f.port), .ip = {127, 0, 0, 1}};
    struct link *link = udp_link(f.server->udp, &f.server->listeners[0], &peer, NULL);
    assert_non_null(link);
    struct registration_content content = {.endpoint = slice_str(endpoint),
                                           .links = slice_str("</3/0>"),
                                           .lifetime_s = lifetime_s,
                                           .version = LWM2M_1_1,
                                           .binding = BINDING_U,
                                           .queue_mode = queue_mode};
    struct registration *r = directory_add(f.server->directory, f.server->next_registration_id++, &content, link);
    link_unref(link);
    assert_non_null(r);
    bool replaces = directory_find(f.server->directory, slice_str(endpoint)) != NULL;
    directory_commit(f.server->directory, r, on_replaced, r);
    clock_update(&f.server->clock);
    r->registered_at_ms = clock_now_ms(&f.server->clock);
    expiry_refresh(f.server, r);
    struct store_registration row = persist_row(r);
    assert_int_equal(store_put_registration(f.server->store, &row, NULL, 0, NULL, NULL), STORE_OK);
    contact_registered(f.server, r, replaces);
    return r;
}

static struct registration *find_device(const char *endpoint) {
    return directory_find(f.server->directory, slice_str(endpoint));
}

static uint64_t put_for(const char *endpoint, const char *job, uint64_t expires_in_ms) {
    uint64_t id = 0;
    clock_update(&f.server->clock);
    assert_int_equal(queue_put(f.server, slice_str(endpoint), slice_str(job),
                               clock_now_ms(&f.server->clock) + expires_in_ms, on_done, NULL, &id),
                     QUEUE_ACCEPTED);
    return id;
}

static uint64_t put(const char *endpoint, const char *job) {
    return put_for(endpoint, job, 86400000);
}

static enum queue_refusal refusal_of(const char *endpoint, struct slice job) {
    uint64_t id;
    return queue_put(f.server, slice_str(endpoint), job, UINT64_MAX, on_done, NULL, &id);
}

static enum queue_state state_of(uint64_t id) {
    const struct queued_request *request = queue_find(f.server, id);
    assert_non_null(request);
    return request->state;
}

static void finish(uint64_t id, const char *result) {
    queue_done(f.server, id,
               &(struct queue_outcome){.state = QUEUE_COMPLETED, .result = slice_str(result), .status = 200});
    flush();
}

static void assert_result(uint64_t id, const char *result) {
    const struct queued_request *request = queue_find(f.server, id);
    assert_non_null(request);
    assert_int_equal(request->result.len, strlen(result));
    assert_memory_equal(request->result.data, result, strlen(result));
}

static size_t events_of(enum event_type type, struct event *last) {
    struct event event;
    size_t count = 0;
    for (uint64_t after = 0; event_after(f.server->events, after, &event); after = event.id) {
        if (event.type != type)
            continue;
        count++;
        if (last != NULL)
            *last = event;
    }
    return count;
}

/* ---- delivery ---- */

static void test_a_request_to_a_device_that_listens_is_run_when_it_is_stored(void **state) {
    (void)state;
    registered("dev1", false, 3600);
    uint64_t id = put("dev1", "read");
    assert_null(queue_find(f.server, id));
    assert_int_equal(f.ran_count, 0);
    TURN_UNTIL(f.done == 1);
    flush();
    assert_int_equal(f.ran_count, 1);
    assert_int_equal(state_of(id), QUEUE_COMPLETED);
    assert_result(id, "read");
    assert_int_equal(queue_find(f.server, id)->attempts, 1);
    struct event event;
    assert_int_equal(events_of(EVENT_REQUEST_COMPLETED, &event), 1);
    assert_int_equal(event.request.id, id);
    assert_int_equal(event.request.state, QUEUE_COMPLETED);
    assert_int_equal(event.request.status, 200);
}

static void test_QM_03_nothing_is_run_while_the_device_sleeps(void **state) {
    (void)state;
    struct registration *r = registered("dev1", true, 3600);
    leap(94000);
    assert_false(awake_is(r));
    uint64_t id = put("dev1", "read");
    flush();
    leap(600000);
    assert_int_equal(f.ran_count, 0);
    assert_int_equal(state_of(id), QUEUE_WAITING);
    contact_heard(f.server, r);
    assert_int_equal(f.ran_count, 0); /* never from within: the device's answer goes first */
    flush();
    assert_int_equal(f.ran_count, 1);
    assert_int_equal(state_of(id), QUEUE_COMPLETED);
}

static void test_QM_04_requests_are_run_in_order_and_one_at_a_time(void **state) {
    (void)state;
    struct registration *r = registered("dev1", true, 3600);
    leap(94000);
    uint64_t ids[3] = {put("dev1", "a"), put("dev1", "b"), put("dev1", "c")};
    flush();
    f.answers = false;
    contact_heard(f.server, r);
    for (size_t i = 0; i < 3; i++) {
        flush();
        assert_int_equal(f.ran_count, i + 1);
        assert_int_equal(f.ran[i], ids[i]);
        assert_int_equal(state_of(ids[i]), QUEUE_RUNNING);
        contact_heard(f.server, r); /* runs nothing besides */
        flush();
        assert_int_equal(f.ran_count, i + 1);
        finish(ids[i], i == 0 ? "A" : i == 1 ? "B" : "C");
    }
    assert_result(ids[0], "A");
    assert_result(ids[1], "B");
    assert_result(ids[2], "C");
    assert_null(queue_next(f.server, slice_str("dev1"), NULL));
}

static void test_the_next_one_waits_until_the_result_is_stored(void **state) {
    (void)state;
    registered("dev1", false, 3600);
    f.answers = false;
    uint64_t first = put("dev1", "a"), second = put("dev1", "b");
    flush();
    assert_int_equal(f.ran_count, 1);
    queue_done(f.server, first, &(struct queue_outcome){.state = QUEUE_COMPLETED});
    timer_wheel_advance(&f.server->wheel, clock_update(&f.server->clock));
    assert_int_equal(f.ran_count, 1);
    assert_int_equal(state_of(first), QUEUE_RUNNING);
    assert_int_equal(events_of(EVENT_REQUEST_COMPLETED, NULL), 0);
    flush();
    assert_int_equal(state_of(first), QUEUE_COMPLETED);
    assert_int_equal(f.ran[1], second);
}

static void test_QM_05_what_is_put_back_is_the_first_again(void **state) {
    (void)state;
    struct registration *r = registered("dev1", true, 3600);
    f.answers = false;
    uint64_t first = put("dev1", "a"), second = put("dev1", "b");
    flush();
    awake_lost(f.server, r, "a request was not answered");
    queue_put_back(f.server, first, 0);
    flush();
    assert_int_equal(f.ran_count, 1);
    assert_int_equal(state_of(first), QUEUE_WAITING);
    const struct queued_request *head = queue_next(f.server, slice_str("dev1"), NULL);
    assert_int_equal(head->id, first);
    assert_int_equal(queue_next(f.server, slice_str("dev1"), head)->id, second);
    contact_heard(f.server, r);
    flush();
    assert_int_equal(f.ran[1], first);
    assert_int_equal(queue_find(f.server, first)->attempts, 2);
}

static void test_what_is_put_back_for_a_while_is_run_after_it(void **state) {
    (void)state;
    registered("dev1", false, 3600);
    f.answers = false;
    uint64_t id = put("dev1", "a");
    flush();
    queue_put_back(f.server, id, 1000);
    leap(900);
    assert_int_equal(f.ran_count, 1);
    leap(100);
    assert_int_equal(f.ran_count, 2);
}

static void test_REG_38_delivery_waits_for_the_delay_that_is_set(void **state) {
    (void)state;
    f.config.queue_delay_ms = 500;
    struct registration *r = registered("dev1", true, 3600);
    leap(94000);
    put("dev1", "a");
    flush();
    contact_heard(f.server, r);
    leap(400);
    assert_int_equal(f.ran_count, 0);
    leap(100);
    assert_int_equal(f.ran_count, 1);
}

static void test_an_outcome_of_what_is_not_running_is_ignored(void **state) {
    (void)state;
    struct registration *r = registered("dev1", true, 3600);
    leap(94000);
    uint64_t id = put("dev1", "a");
    flush();
    queue_put_back(f.server, id, 0);
    finish(id, "x");
    finish(4711, "x");
    assert_int_equal(state_of(id), QUEUE_WAITING);
    f.answers = false;
    contact_heard(f.server, r);
    flush();
    finish(id, "y");
    finish(id, "z");
    assert_result(id, "y");
    assert_int_equal(events_of(EVENT_REQUEST_COMPLETED, NULL), 1);
}

/* ---- expiry ---- */

static void test_QM_04_each_request_expires_in_its_own_time(void **state) {
    (void)state;
    struct registration *r = registered("dev1", true, 3600);
    leap(94000);
    uint64_t ids[4] = {put_for("dev1", "a", 30000), put_for("dev1", "b", 10000), put_for("dev1", "c", 500000),
                       put_for("dev1", "d", 20000)};
    flush();
    static const enum queue_state expected[4][4] = {
        {QUEUE_WAITING, QUEUE_EXPIRED, QUEUE_WAITING, QUEUE_WAITING},
        {QUEUE_WAITING, QUEUE_EXPIRED, QUEUE_WAITING, QUEUE_EXPIRED},
        {QUEUE_EXPIRED, QUEUE_EXPIRED, QUEUE_WAITING, QUEUE_EXPIRED},
        {QUEUE_EXPIRED, QUEUE_EXPIRED, QUEUE_WAITING, QUEUE_EXPIRED},
    };
    for (size_t i = 0; i < 4; i++) {
        leap(10000);
        for (size_t k = 0; k < 4; k++)
            assert_int_equal(state_of(ids[k]), expected[i][k]);
    }
    assert_int_equal(events_of(EVENT_REQUEST_COMPLETED, NULL), 3);
    contact_heard(f.server, r);
    flush();
    assert_int_equal(f.ran_count, 1);
    assert_int_equal(f.ran[0], ids[2]);
}

static void test_what_runs_does_not_expire_but_is_not_run_again(void **state) {
    (void)state;
    registered("dev1", false, 3600);
    f.answers = false;
    uint64_t id = put_for("dev1", "a", 5000);
    flush();
    leap(6000);
    assert_int_equal(state_of(id), QUEUE_RUNNING);
    queue_put_back(f.server, id, 0);
    flush();
    assert_int_equal(state_of(id), QUEUE_EXPIRED);
    assert_int_equal(f.ran_count, 1);
}

/* Thousands with times in no order leave in the order of their times. */
static void test_many_expire_in_order(void **state) {
    (void)state;
    enum { COUNT = 2000 };
    struct queue_settings settings = {.limit = COUNT};
    registered("dev1", true, 360000);
    assert_true(queue_settings_put(f.server, slice_str("dev1"), &settings, on_done, NULL));
    leap(94000);
    for (uint64_t i = 0; i < COUNT; i++)
        put_for("dev1", "x", 1000000 + i * 7919 % COUNT * 1000);
    flush();
    leap(1000000 + COUNT * 1000);
    struct event event;
    size_t seen = 0;
    for (uint64_t after = 0; event_after(f.server->events, after, &event); after = event.id)
        seen += event.type == EVENT_REQUEST_COMPLETED && event.request.state == QUEUE_EXPIRED;
    assert_int_equal(seen, COUNT);
    assert_int_equal(queue_counters(f.server).waiting, 0);
}

/* ---- limits ---- */

static void test_the_queue_of_a_device_is_bounded(void **state) {
    (void)state;
    registered("dev1", true, 3600);
    registered("dev2", true, 3600);
    leap(94000);
    for (size_t i = 0; i < 64; i++)
        put("dev1", "x");
    assert_int_equal(refusal_of("dev1", slice_str("x")), QUEUE_FULL);
    assert_int_equal(refusal_of("dev2", slice_str("x")), QUEUE_ACCEPTED);
    assert_int_equal(refusal_of("nobody", slice_str("x")), QUEUE_NOT_REGISTERED);
    flush();
    assert_int_equal(f.done, 65);
}

static void test_QM_02_limit_and_window_are_set_for_one_device(void **state) {
    (void)state;
    struct queue_settings settings = {.awake_window_ms = 20000, .limit = 2};
    struct registration *r = registered("dev1", true, 3600);
    assert_true(queue_settings_put(f.server, slice_str("dev1"), &settings, on_done, NULL));
    flush();
    leap(15000);
    assert_true(awake_is(r));
    leap(10000); /* counted from when it was heard, not from the setting */
    assert_false(awake_is(r));
    put("dev1", "a");
    put("dev1", "b");
    assert_int_equal(refusal_of("dev1", slice_str("c")), QUEUE_FULL);
    flush();
    restart_server();
    assert_int_equal(queue_settings_of(f.server, slice_str("dev1")).limit, 2);
    assert_int_equal(queue_settings_of(f.server, slice_str("dev1")).awake_window_ms, 20000);
    assert_int_equal(queue_settings_of(f.server, slice_str("dev2")).limit, 64);
    settings = (struct queue_settings){0};
    assert_true(queue_settings_put(f.server, slice_str("dev1"), &settings, on_done, NULL));
    flush();
    assert_int_equal(queue_settings_of(f.server, slice_str("dev1")).limit, 64);
    assert_false(queue_settings_find(f.server, slice_str("dev1"), &settings));
}

static void test_settings_of_many_devices_are_found_and_bounded(void **state) {
    (void)state;
    char name[16];
    struct queue_settings settings;
    for (uint32_t i = 0; i < QUEUE_SETTINGS_MAX; i++) {
        snprintf(name, sizeof name, "dev%u", (unsigned)(i * 7919 % QUEUE_SETTINGS_MAX));
        settings = (struct queue_settings){.limit = i * 7919 % QUEUE_SETTINGS_MAX + 1};
        assert_true(queue_settings_put(f.server, slice_str(name), &settings, on_done, NULL));
        if (i % 1000 == 999)
            flush();
    }
    for (uint32_t i = 0; i < QUEUE_SETTINGS_MAX; i++) {
        snprintf(name, sizeof name, "dev%u", (unsigned)i);
        assert_true(queue_settings_find(f.server, slice_str(name), &settings));
        assert_int_equal(settings.limit, i + 1);
    }
    settings = (struct queue_settings){.limit = 1};
    assert_false(queue_settings_put(f.server, slice_str("one more"), &settings, on_done, NULL));
    assert_true(queue_settings_put(f.server, slice_str("dev0"), &settings, on_done, NULL));
    flush();
}

static void test_memory_of_all_queues_is_bounded_and_old_results_go_first(void **state) {
    (void)state;
    enum { JOB = 3 * 1024 * 1024, FIT = QUEUE_BYTES_MAX / JOB };
    uint8_t *job = calloc(1, JOB);
    registered("dev1", false, 3600);
    registered("dev2", true, 3600);
    leap(94000);
    uint64_t small = put("dev1", "x");
    flush();
    assert_int_equal(state_of(small), QUEUE_COMPLETED);
    for (size_t i = 0; i < FIT; i++) {
        assert_int_equal(refusal_of("dev2", slice_of(job, JOB)), QUEUE_ACCEPTED);
        flush();
    }
    assert_int_equal(refusal_of("dev2", slice_of(job, JOB)), QUEUE_NO_ROOM);
    assert_int_equal(state_of(small), QUEUE_COMPLETED); /* it would not have made room */
    size_t left = QUEUE_BYTES_MAX - queue_counters(f.server).bytes;
    assert_int_equal(refusal_of("dev2", slice_of(job, left)), QUEUE_ACCEPTED);
    assert_null(queue_find(f.server, small));
    assert_in_range(queue_counters(f.server).bytes, QUEUE_BYTES_MAX - 4096, QUEUE_BYTES_MAX);
    flush();
    free(job);
}

static void test_the_newest_results_are_kept_for_an_hour(void **state) {
    (void)state;
    registered("dev1", false, 0);
    uint64_t first = put("dev1", "a");
    flush();
    leap(1800000);
    uint64_t second = put("dev1", "b");
    flush();
    leap(1799000);
    assert_int_equal(state_of(first), QUEUE_COMPLETED);
    leap(2000);
    assert_null(queue_find(f.server, first));
    assert_int_equal(state_of(second), QUEUE_COMPLETED);
    restart_server();
    assert_null(queue_find(f.server, first));
    assert_result(second, "b");
    leap(1800000);
    assert_null(queue_find(f.server, second));
    assert_int_equal(queue_counters(f.server).bytes, 0);
}

static void test_results_beyond_the_limit_go_oldest_first(void **state) {
    (void)state;
    struct queue_settings settings = {.limit = QUEUE_RESULTS_MAX};
    struct registration *r = registered("dev1", true, 0);
    assert_true(queue_settings_put(f.server, slice_str("dev1"), &settings, on_done, NULL));
    leap(94000);
    uint64_t first = put("dev1", "x");
    for (size_t i = 1; i < QUEUE_RESULTS_MAX; i++)
        put("dev1", "x");
    flush();
    queue_cancel_all(f.server, slice_str("dev1"), on_done, NULL);
    flush();
    assert_int_equal(queue_counters(f.server).results, QUEUE_RESULTS_MAX);
    assert_int_equal(state_of(first), QUEUE_CANCELLED);
    contact_heard(f.server, r);
    uint64_t last = put("dev1", "y");
    flush();
    assert_int_equal(queue_counters(f.server).results, QUEUE_RESULTS_MAX);
    assert_null(queue_find(f.server, first));
    assert_int_equal(state_of(last), QUEUE_COMPLETED);
    restart_server();
    assert_int_equal(queue_counters(f.server).results, QUEUE_RESULTS_MAX);
    assert_null(queue_find(f.server, first));
}

/* ---- restart ---- */

static void test_QM_08_what_waits_and_what_is_over_survives_a_restart(void **state) {
    (void)state;
    registered("dev1", true, 3600);
    uint64_t over = put("dev1", "a");
    flush();
    leap(94000);
    uint64_t first = put("dev1", "b"), second = put_for("dev1", "c", 7000000);
    flush();
    uint64_t expires_at_ms = queue_find(f.server, second)->expires_at_ms;
    restart_server();
    assert_result(over, "a");
    assert_int_equal(state_of(over), QUEUE_COMPLETED);
    assert_int_equal(queue_find(f.server, second)->expires_at_ms, expires_at_ms);
    struct registration *r = find_device("dev1");
    assert_false(awake_is(r)); /* until it is heard */
    flush();
    assert_int_equal(f.ran_count, 0);
    contact_heard(f.server, r);
    flush();
    assert_int_equal(f.ran_count, 2);
    assert_int_equal(f.ran[0], first);
    assert_int_equal(f.ran[1], second);
    assert_true(put("dev1", "d") > second);
    flush();
}

static void test_QM_08_what_was_running_is_run_again(void **state) {
    (void)state;
    registered("dev1", false, 3600);
    f.answers = false;
    uint64_t id = put("dev1", "a");
    flush();
    assert_int_equal(state_of(id), QUEUE_RUNNING);
    restart_server();
    flush();
    assert_int_equal(f.ran_count, 1);
    assert_int_equal(f.ran[0], id);
}

static void test_ids_are_never_given_twice(void **state) {
    (void)state;
    registered("dev1", false, 3600);
    uint64_t id = put("dev1", "a");
    flush();
    assert_true(queue_cancel(f.server, id, on_done, NULL)); /* nothing of it is in the store any more */
    flush();
    restart_server();
    assert_true(put("dev1", "b") > id);
    flush();
}

static void test_what_expired_while_the_server_was_down_is_not_run(void **state) {
    (void)state;
    registered("dev1", false, 360000);
    queue_set_runner(f.server, NULL, NULL);
    uint64_t id = put_for("dev1", "a", 1000);
    flush();
    server_stop(f.server);
    start_server();
    queue_set_runner(f.server, NULL, NULL);
    leap(2000);
    queue_set_runner(f.server, on_run, &f);
    flush();
    assert_int_equal(state_of(id), QUEUE_EXPIRED);
    assert_int_equal(f.ran_count, 0);
}

static void test_what_waits_for_a_registration_that_is_gone_fails_at_the_start(void **state) {
    (void)state;
    struct registration *r = registered("dev1", true, 3600);
    leap(94000);
    uint64_t id = put("dev1", "a");
    flush();
    assert_int_equal(store_delete_registrations(f.server->store, &r->id, 1, on_done, NULL), STORE_OK);
    flush();
    restart_server();
    flush();
    assert_int_equal(state_of(id), QUEUE_ENDED);
}

/* ---- ends ---- */

static void test_QM_07_expiry_of_the_registration_fails_what_waits(void **state) {
    (void)state;
    registered("dev1", true, 200);
    leap(94000);
    uint64_t first = put("dev1", "a"), second = put("dev1", "b");
    flush();
    leap(300000);
    assert_null(find_device("dev1"));
    assert_int_equal(state_of(first), QUEUE_ENDED);
    assert_int_equal(state_of(second), QUEUE_ENDED);
    assert_string_equal(queue_state_name(QUEUE_ENDED), "failed");
    assert_int_equal(events_of(EVENT_REQUEST_COMPLETED, NULL), 2);
}

static void test_QM_06_a_new_registration_takes_the_queue_over(void **state) {
    (void)state;
    registered("dev1", true, 3600);
    leap(94000);
    uint64_t id = put("dev1", "a");
    flush();
    struct registration *r = registered("dev1", true, 3600);
    flush();
    assert_int_equal(f.ran_count, 1);
    assert_int_equal(state_of(id), QUEUE_COMPLETED);
    assert_int_equal(events_of(EVENT_AWAKE, NULL), 2);
    leap(94000);
    assert_false(awake_is(r));
}

static void test_QM_10_queue_mode_ends_and_begins_with_a_registration(void **state) {
    (void)state;
    registered("dev1", true, 3600);
    leap(94000);
    put("dev1", "a");
    flush();
    struct registration *r = registered("dev1", false, 3600);
    flush();
    assert_int_equal(f.ran_count, 1);
    leap(94000);
    assert_true(awake_is(r));
    r = registered("dev1", true, 3600);
    assert_true(awake_is(r));
    registered("dev1", false, 3600);
    assert_int_equal(f.server->awake_count, 0);
}

static void test_what_waits_is_cancelled_and_what_runs_is_not(void **state) {
    (void)state;
    registered("dev1", false, 3600);
    f.answers = false;
    uint64_t ids[3] = {put("dev1", "a"), put("dev1", "b"), put("dev1", "c")};
    flush();
    assert_false(queue_cancel(f.server, ids[0], on_done, NULL));
    assert_false(queue_cancel(f.server, 4711, on_done, NULL));
    assert_true(queue_cancel(f.server, ids[1], on_done, NULL));
    assert_false(queue_cancel(f.server, ids[1], on_done, NULL)); /* is being cancelled */
    flush();
    assert_int_equal(state_of(ids[1]), QUEUE_CANCELLED);
    finish(ids[0], "A");
    assert_int_equal(f.ran[1], ids[2]);
    finish(ids[2], "C");
    assert_true(queue_cancel(f.server, ids[2], on_done, NULL));
    flush();
    assert_null(queue_find(f.server, ids[2]));
}

static void test_cancelling_all_leaves_what_runs(void **state) {
    (void)state;
    registered("dev1", false, 3600);
    f.answers = false;
    uint64_t ids[3] = {put("dev1", "a"), put("dev1", "b"), put("dev1", "c")};
    flush();
    size_t before = f.done;
    queue_cancel_all(f.server, slice_str("dev1"), on_done, NULL);
    TURN_UNTIL(f.done == before + 1);
    assert_int_equal(state_of(ids[0]), QUEUE_RUNNING);
    assert_int_equal(state_of(ids[1]), QUEUE_CANCELLED);
    assert_int_equal(state_of(ids[2]), QUEUE_CANCELLED);
    queue_cancel_all(f.server, slice_str("dev1"), on_done, NULL); /* nothing left */
    assert_int_equal(f.done, before + 2);
}

static void test_a_reset_forgets_queues_results_and_settings(void **state) {
    (void)state;
    struct queue_settings settings = {.limit = 2};
    registered("dev1", false, 3600);
    registered("dev2", true, 3600);
    assert_true(queue_settings_put(f.server, slice_str("dev2"), &settings, on_done, NULL));
    leap(94000);
    uint64_t over = put("dev1", "a"), waits = put("dev2", "b");
    flush();
    size_t before = f.done;
    server_reset(f.server, SERVER_RESET_DEVICES, on_done, NULL);
    TURN_UNTIL(f.done > before);
    assert_null(queue_find(f.server, over));
    assert_null(queue_find(f.server, waits));
    assert_false(queue_settings_find(f.server, slice_str("dev2"), &settings));
    assert_int_equal(queue_counters(f.server).bytes, 0);
    restart_server();
    assert_null(queue_find(f.server, over));
    assert_null(queue_find(f.server, waits));
}

/* ---- a store that fails ---- */

static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_a_request_that_cannot_be_stored_is_gone_again(void **state) {
    (void)state;
    registered("dev1", false, 3600);
    flush();
    limit_file_size(0);
    uint64_t id = put("dev1", "a");
    size_t before = f.done;
    TURN_UNTIL(f.done > before);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(f.result, STORE_DISK_FULL);
    assert_null(queue_find(f.server, id));
    assert_int_equal(queue_counters(f.server).bytes, 0);
    leap(3000);
    assert_int_equal(f.ran_count, 0);
}

static void test_a_result_that_cannot_be_stored_is_stored_later(void **state) {
    (void)state;
    registered("dev1", false, 3600);
    f.answers = false;
    uint64_t id = put("dev1", "a"), next = put("dev1", "b");
    flush();
    limit_file_size(0);
    finish(id, "A");
    assert_int_equal(state_of(id), QUEUE_RUNNING);
    assert_int_equal(events_of(EVENT_REQUEST_COMPLETED, NULL), 0);
    assert_int_equal(f.ran_count, 1);
    limit_file_size(RLIM_INFINITY);
    leap(2000);
    assert_int_equal(state_of(id), QUEUE_COMPLETED);
    assert_result(id, "A");
    assert_int_equal(f.ran[1], next);
}

static void test_an_expiry_is_told_at_once_and_stored_when_that_is_possible(void **state) {
    (void)state;
    registered("dev1", true, 36000);
    leap(94000);
    uint64_t id = put_for("dev1", "a", 10000);
    flush();
    limit_file_size(0);
    clock_update(&f.server->clock);
    server_leap(f.server, 10000, NULL, NULL);
    assert_int_equal(state_of(id), QUEUE_EXPIRED);
    assert_int_equal(events_of(EVENT_REQUEST_COMPLETED, NULL), 1);
    uint64_t completed_at_ms = queue_find(f.server, id)->completed_at_ms;
    flush();
    limit_file_size(RLIM_INFINITY);
    leap(2000);
    restart_server();
    assert_int_equal(state_of(id), QUEUE_EXPIRED);
    assert_int_equal(queue_find(f.server, id)->completed_at_ms, completed_at_ms);
}

static void test_a_cancellation_that_cannot_be_stored_has_not_happened(void **state) {
    (void)state;
    struct registration *r = registered("dev1", true, 3600);
    leap(94000);
    uint64_t id = put("dev1", "a");
    flush();
    limit_file_size(0);
    size_t before = f.done;
    assert_true(queue_cancel(f.server, id, on_done, NULL));
    TURN_UNTIL(f.done > before);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(f.result, STORE_DISK_FULL);
    assert_int_equal(state_of(id), QUEUE_WAITING);
    contact_heard(f.server, r);
    flush();
    assert_int_equal(f.ran_count, 1);
}

/* ---- awake ---- */

static void test_leshan_QueueMode_one_awake_event_for_several_updates(void **state) {
    (void)state;
    struct registration *r = registered("dev1", true, 3600);
    assert_int_equal(events_of(EVENT_AWAKE, NULL), 1);
    for (size_t i = 0; i < 5; i++) {
        leap(60000);
        contact_heard(f.server, r);
    }
    assert_int_equal(events_of(EVENT_AWAKE, NULL), 1);
    assert_int_equal(events_of(EVENT_SLEEPING, NULL), 0);
    assert_int_equal(f.server->awake_count, 1);
    leap(93000);
    assert_int_equal(events_of(EVENT_SLEEPING, NULL), 1);
    assert_int_equal(f.server->awake_count, 0);
}

static void test_QM_02_any_message_prolongs_the_window_and_wakes_nobody(void **state) {
    (void)state;
    struct registration *r = registered("dev1", true, 3600);
    leap(90000);
    contact_any(f.server, r);
    leap(90000);
    assert_true(awake_is(r));
    leap(3000);
    assert_false(awake_is(r));
    contact_any(f.server, r);
    assert_false(awake_is(r));
}

static void test_a_sleeping_device_without_requests_has_no_memory(void **state) {
    (void)state;
    struct registration *r = registered("dev1", true, 3600);
    assert_non_null(r->dealings);
    leap(94000);
    assert_null(r->dealings);
    put("dev1", "a");
    flush();
    assert_non_null(r->dealings);
    contact_heard(f.server, r);
    flush();
    leap(94000);
    assert_null(r->dealings);
}

static void test_QM_09_devices_without_queue_mode_have_no_window(void **state) {
    (void)state;
    struct registration *r = registered("dev1", false, 3600);
    assert_null(r->dealings);
    leap(94000);
    assert_true(awake_is(r));
    awake_lost(f.server, r, "a request was not answered");
    assert_true(awake_is(r));
    assert_int_equal(events_of(EVENT_AWAKE, NULL) + events_of(EVENT_SLEEPING, NULL), 0);
}

int main(void) {
#define QUEUE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(test_a_request_to_a_device_that_listens_is_run_when_it_is_stored),
        QUEUE_TEST(test_QM_03_nothing_is_run_while_the_device_sleeps),
        QUEUE_TEST(test_QM_04_requests_are_run_in_order_and_one_at_a_time),
        QUEUE_TEST(test_the_next_one_waits_until_the_result_is_stored),
        QUEUE_TEST(test_QM_05_what_is_put_back_is_the_first_again),
        QUEUE_TEST(test_what_is_put_back_for_a_while_is_run_after_it),
        QUEUE_TEST(test_REG_38_delivery_waits_for_the_delay_that_is_set),
        QUEUE_TEST(test_an_outcome_of_what_is_not_running_is_ignored),
        QUEUE_TEST(test_QM_04_each_request_expires_in_its_own_time),
        QUEUE_TEST(test_what_runs_does_not_expire_but_is_not_run_again),
        QUEUE_TEST(test_many_expire_in_order),
        QUEUE_TEST(test_the_queue_of_a_device_is_bounded),
        QUEUE_TEST(test_QM_02_limit_and_window_are_set_for_one_device),
        QUEUE_TEST(test_settings_of_many_devices_are_found_and_bounded),
        QUEUE_TEST(test_memory_of_all_queues_is_bounded_and_old_results_go_first),
        QUEUE_TEST(test_the_newest_results_are_kept_for_an_hour),
        QUEUE_TEST(test_results_beyond_the_limit_go_oldest_first),
        QUEUE_TEST(test_QM_08_what_waits_and_what_is_over_survives_a_restart),
        QUEUE_TEST(test_QM_08_what_was_running_is_run_again),
        QUEUE_TEST(test_ids_are_never_given_twice),
        QUEUE_TEST(test_what_expired_while_the_server_was_down_is_not_run),
        QUEUE_TEST(test_what_waits_for_a_registration_that_is_gone_fails_at_the_start),
        QUEUE_TEST(test_QM_07_expiry_of_the_registration_fails_what_waits),
        QUEUE_TEST(test_QM_06_a_new_registration_takes_the_queue_over),
        QUEUE_TEST(test_QM_10_queue_mode_ends_and_begins_with_a_registration),
        QUEUE_TEST(test_what_waits_is_cancelled_and_what_runs_is_not),
        QUEUE_TEST(test_cancelling_all_leaves_what_runs),
        QUEUE_TEST(test_a_reset_forgets_queues_results_and_settings),
        QUEUE_TEST(test_a_request_that_cannot_be_stored_is_gone_again),
        QUEUE_TEST(test_a_result_that_cannot_be_stored_is_stored_later),
        QUEUE_TEST(test_an_expiry_is_told_at_once_and_stored_when_that_is_possible),
        QUEUE_TEST(test_a_cancellation_that_cannot_be_stored_has_not_happened),
        QUEUE_TEST(test_leshan_QueueMode_one_awake_event_for_several_updates),
        QUEUE_TEST(test_QM_02_any_message_prolongs_the_window_and_wakes_nobody),
        QUEUE_TEST(test_a_sleeping_device_without_requests_has_no_memory),
        QUEUE_TEST(test_QM_09_devices_without_queue_mode_have_no_window),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
