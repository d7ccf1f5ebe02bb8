#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/random.h"
#include "db/store.h"
#include "tests/unit/db/store_bench.h"

/* ---- a directory and a loop for each test ---- */

/* Files may not grow: what a full disk looks like, without one. */
static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

struct fixture {
    uv_loop_t loop;
    uv_timer_t alive; /* the store's own handles do not keep the loop alive */
    char directory[64];
    struct store *store;
    char error[512];
    /* completions */
    size_t done;
    size_t failed;
    enum store_result result; /* of the last one */
};

static void on_timer(uv_timer_t *timer) {
    (void)timer;
}

static int set_up(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    strcpy(f.directory, "/tmp/test_store.XXXXXX");
    if (mkdtemp(f.directory) == NULL || store_bench_clear_database() != 0)
        return -1;
    uv_loop_init(&f.loop);
    uv_timer_init(&f.loop, &f.alive);
    uv_timer_start(&f.alive, on_timer, 1000000, 1000000);
    *state = &f;
    return 0;
}

static void remove_directory(const char *path) {
    DIR *directory = opendir(path);
    if (directory == NULL)
        return;
    char name[512];
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) != 0)
            rmdir(name);
    }
    closedir(directory);
    rmdir(path);
}

static void close_store(struct fixture *f) {
    store_close(f->store);
    f->store = NULL;
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    limit_file_size(RLIM_INFINITY);
    if (f->store != NULL)
        close_store(f);
    uv_close((uv_handle_t *)&f->alive, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    remove_directory(f->directory);
    return uv_loop_close(&f->loop);
}

static const char *path_of(const struct fixture *f, const char *file) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", f->directory, file);
    return path;
}

static bool try_open(struct fixture *f, const struct store_options *options) {
    struct store_options here = *options;
    here.database = store_bench_database();
    f->error[0] = '\0';
    f->store = store_open(&f->loop, &here, f->error, sizeof f->error);
    return f->store != NULL;
}

static void open_store(struct fixture *f) {
    if (!try_open(f, &(struct store_options){.directory = f->directory}))
        fail_msg("%s", f->error);
}

static void reopen_store(struct fixture *f) {
    close_store(f);
    open_store(f);
}

static void on_done(void *arg, enum store_result result) {
    struct fixture *f = arg;
    f->done++;
    f->failed += result != STORE_OK;
    f->result = result;
}

static void turn_until_done(struct fixture *f, size_t count) {
    while (f->done < count)
        uv_run(&f->loop, UV_RUN_ONCE);
}

/* ---- registrations ---- */

enum { NOW = 1780000000 };

/* Its texts are good until the call after the next. */
static struct store_registration registration_of(uint64_t id) {
    static char memory[2][2][32];
    static size_t turn;
    turn = !turn;
    char *endpoint = memory[turn][0], *location = memory[turn][1];
    snprintf(endpoint, sizeof memory[0][0], "urn:dev:%llu", (unsigned long long)id);
    snprintf(location, sizeof memory[0][1], "loc%llu", (unsigned long long)id);
    return (struct store_registration){.id = id,
                                       .endpoint = slice_str(endpoint),
                                       .location = slice_str(location),
                                       .links = slice_str("</1/0>,</3/0>,</4/0>,</5/0>"),
                                       .address = slice_str("0123456789abcdef01234567"),
                                       .local = slice_str("76543210fedcba9876543210"),
                                       .session = UINT64_MAX - id,
                                       .listener = 2,
                                       .lifetime_s = 86400,
                                       .flags = 0xffffffff,
                                       .registered_at_ms = NOW * 1000ull + id,
                                       .updated_at_ms = NOW * 1000ull + 2 * id,
                                       .expires_at_ms = NOW * 1000ull + 3 * id};
}

static void put(struct fixture *f, uint64_t id) {
    struct store_registration r = registration_of(id);
    assert_int_equal(store_put_registration(f->store, &r, NULL, 0, on_done, f), STORE_OK);
}

static void put_and_wait(struct fixture *f, uint64_t id) {
    put(f, id);
    turn_until_done(f, f->done + store_counters(f->store).queued_writes);
}

static bool is_same(const struct store_registration *a, const struct store_registration *b) {
    return a->id == b->id && slice_equal(a->endpoint, b->endpoint) && slice_equal(a->location, b->location) &&
           slice_equal(a->links, b->links) && slice_equal(a->root, b->root) && slice_equal(a->query, b->query) &&
           slice_equal(a->sms, b->sms) && slice_equal(a->identity, b->identity) &&
           slice_equal(a->address, b->address) && slice_equal(a->local, b->local) && a->listener == b->listener &&
           a->session == b->session && a->lifetime_s == b->lifetime_s && a->flags == b->flags &&
           a->registered_at_ms == b->registered_at_ms && a->updated_at_ms == b->updated_at_ms &&
           a->expires_at_ms == b->expires_at_ms;
}

/* What was loaded: ids and times; the first registration is compared with `expected` when that is set. */
enum { LOADED_MAX = 200000 };

struct loaded {
    const struct store_registration *expected;
    bool as_expected;
    size_t count;
    uint64_t ids[LOADED_MAX], updated_at_ms[LOADED_MAX], expires_at_ms[LOADED_MAX];
};

static struct loaded loaded;

/* Must not fail here: the store is in the middle of something. */
static void on_registration(void *arg, const struct store_registration *r) {
    struct loaded *l = arg;
    if (l->count == LOADED_MAX)
        return;
    if (l->count == 0 && l->expected != NULL)
        l->as_expected = is_same(r, l->expected);
    l->ids[l->count] = r->id;
    l->updated_at_ms[l->count] = r->updated_at_ms;
    l->expires_at_ms[l->count] = r->expires_at_ms;
    l->count++;
}

static void load(struct fixture *f, const struct store_registration *expected_first) {
    loaded.count = 0;
    loaded.expected = expected_first;
    loaded.as_expected = expected_first == NULL;
    if (!store_load_registrations(f->store, on_registration, NULL, &loaded, f->error, sizeof f->error))
        fail_msg("%s", f->error);
    assert_true(loaded.as_expected);
}

/* ---- files ---- */

struct contents {
    uint8_t *bytes;
    size_t len; /* SIZE_MAX: no such file */
};

static struct contents contents_of(const char *path) {
    struct contents c = {.bytes = NULL, .len = SIZE_MAX};
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return c;
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    c.len = (size_t)status.st_size;
    c.bytes = malloc(c.len + 1);
    assert_non_null(c.bytes);
    assert_int_equal(pread(fd, c.bytes, c.len, 0), (ssize_t)c.len);
    close(fd);
    return c;
}

static void write_file(const char *path, const void *bytes, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static void overwrite(const char *path, size_t offset, const void *bytes, size_t len) {
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), (ssize_t)len);
    close(fd);
}

static void assert_unchanged(const char *path, struct contents *before) {
    struct contents now = contents_of(path);
    assert_int_equal(now.len, before->len);
    if (now.len != SIZE_MAX)
        assert_memory_equal(now.bytes, before->bytes, now.len);
    free(now.bytes);
    free(before->bytes);
}

/* The store refuses to open and leaves every byte of the database where it is; the line for the user has `words`. */
static void assert_refused(struct fixture *f, const char *words) {
    struct contents db = contents_of(path_of(f, "berth.db"));
    struct contents wal = contents_of(path_of(f, "berth.db-wal"));
    assert_false(try_open(f, &(struct store_options){.directory = f->directory}));
    if (strstr(f->error, words) == NULL || strstr(f->error, f->directory) == NULL || strchr(f->error, '\n') != NULL)
        fail_msg("the error should be one line with “%s”: %s", words, f->error);
    assert_unchanged(path_of(f, "berth.db"), &db);
    assert_unchanged(path_of(f, "berth.db-wal"), &wal);
}

/* Run SQL on the database file. With `keep_log` what it wrote stays in the write-ahead log. */
static void run_sql(const char *path, const char *sql, bool keep_log) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_log, NULL);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static long number_of(const char *path, const char *query) {
    sqlite3 *db;
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    long number = (long)sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

/* In a file; elsewhere they are not looked at. */
static void assert_leases(const struct fixture *f, long count) {
    if (store_bench_database() == NULL)
        assert_int_equal(number_of(path_of(f, "berth.db"), "SELECT count(*) FROM lease"), count);
}

/* ---- what is written is read ---- */

static void test_a_registration_comes_back_byte_for_byte(void **state) {
    struct fixture *f = *state;
    open_store(f);
    struct store_registration r = registration_of(7);
    r.endpoint = slice_of("with\0nul", 8);
    r.query = slice_of("\xff\xfe\0=&", 5); /* no UTF-8 */
    r.root = slice_str("/lwm2m");
    r.sms = slice_str("+4930");
    r.identity = slice_of("\0\1\2", 3);
    assert_int_equal(store_put_registration(f->store, &r, NULL, 0, on_done, f), STORE_OK);
    turn_until_done(f, 1);
    assert_int_equal(f->failed, 0);
    reopen_store(f);
    load(f, &r);
    assert_int_equal(loaded.count, 1);
}

static void test_a_long_object_list_comes_back(void **state) {
    struct fixture *f = *state;
    static char links[200000];
    memset(links, 'x', sizeof links);
    open_store(f);
    struct store_registration r = registration_of(1);
    r.links = slice_of(links, sizeof links);
    assert_int_equal(store_put_registration(f->store, &r, NULL, 0, NULL, NULL), STORE_OK);
    reopen_store(f);
    load(f, &r);
}

static void test_a_registration_without_end_comes_back_so(void **state) {
    struct fixture *f = *state;
    open_store(f);
    struct store_registration r = registration_of(1);
    r.lifetime_s = 0;
    r.expires_at_ms = UINT64_MAX;
    store_put_registration(f->store, &r, NULL, 0, NULL, NULL);
    put(f, 2);
    store_refresh_registrations(
        f->store, &(struct store_refresh){.id = 2, .updated_at_ms = 5, .expires_at_ms = UINT64_MAX}, 1, NULL, NULL);
    reopen_store(f);
    load(f, &r);
    assert_true(loaded.expires_at_ms[1] == UINT64_MAX);
}

static void test_registrations_are_loaded_in_the_order_of_their_ids(void **state) {
    struct fixture *f = *state;
    open_store(f);
    static const uint64_t ids[] = {5, 900, 3, INT64_MAX, 4};
    static const uint64_t sorted[] = {3, 4, 5, 900, INT64_MAX};
    for (size_t i = 0; i < 5; i++)
        put(f, ids[i]);
    reopen_store(f);
    load(f, NULL);
    assert_int_equal(loaded.count, 5);
    assert_memory_equal(loaded.ids, sorted, sizeof sorted);
}

static void test_putting_an_id_again_replaces_it(void **state) {
    struct fixture *f = *state;
    open_store(f);
    put(f, 1);
    struct store_registration r = registration_of(1);
    r.links = slice_str("</9/0>");
    r.expires_at_ms++;
    store_put_registration(f->store, &r, NULL, 0, NULL, NULL);
    reopen_store(f);
    load(f, &r);
    assert_int_equal(loaded.count, 1);
}

static void test_replaced_registrations_go_with_the_new_one(void **state) {
    struct fixture *f = *state;
    open_store(f);
    for (uint64_t id = 1; id <= 4; id++)
        put(f, id);
    struct store_registration r = registration_of(5);
    static const uint64_t replaced[] = {1, 3, 77};
    store_put_registration(f->store, &r, replaced, 3, NULL, NULL);
    reopen_store(f);
    load(f, NULL);
    assert_int_equal(loaded.count, 3);
    assert_int_equal(loaded.ids[0], 2);
    assert_int_equal(loaded.ids[1], 4);
    assert_int_equal(loaded.ids[2], 5);
}

static void test_deleted_registrations_are_gone(void **state) {
    struct fixture *f = *state;
    open_store(f);
    for (uint64_t id = 1; id <= 4; id++)
        put(f, id);
    static const uint64_t ids[] = {4, 2, 1000};
    assert_int_equal(store_delete_registrations(f->store, ids, 3, on_done, f), STORE_OK);
    turn_until_done(f, 5);
    assert_int_equal(f->failed, 0);
    reopen_store(f);
    load(f, NULL);
    assert_int_equal(loaded.count, 2);
    assert_int_equal(loaded.ids[0], 1);
    assert_int_equal(loaded.ids[1], 3);
    assert_leases(f, 2);
}

static void test_clear_deletes_what_was_put_before_and_not_what_comes_after(void **state) {
    struct fixture *f = *state;
    open_store(f);
    for (uint64_t id = 1; id <= 100; id++)
        put(f, id);
    assert_int_equal(store_clear_registrations(f->store, on_done, f), STORE_OK);
    put(f, 101);
    turn_until_done(f, 102);
    reopen_store(f);
    load(f, NULL);
    assert_int_equal(loaded.count, 1);
    assert_int_equal(loaded.ids[0], 101);
    assert_leases(f, 1);
}

static void test_a_refresh_changes_times_only(void **state) {
    struct fixture *f = *state;
    open_store(f);
    for (uint64_t id = 1; id <= 3; id++)
        put(f, id);
    static const struct store_refresh refreshes[] = {{3, 33, 333}, {1, 11, 111}};
    assert_int_equal(store_refresh_registrations(f->store, refreshes, 2, on_done, f), STORE_OK);
    turn_until_done(f, 4);
    reopen_store(f);
    struct store_registration first = registration_of(1);
    first.updated_at_ms = 11;
    first.expires_at_ms = 111;
    load(f, &first);
    assert_int_equal(loaded.updated_at_ms[1], NOW * 1000ull + 4);
    assert_int_equal(loaded.updated_at_ms[2], 33);
    assert_int_equal(loaded.expires_at_ms[2], 333);
}

static void test_a_refresh_of_unknown_ids_is_passed_over(void **state) {
    struct fixture *f = *state;
    open_store(f);
    put(f, 2);
    static const struct store_refresh refreshes[] = {{1, 11, 111}, {2, 22, 222}, {3, 33, 333}};
    store_refresh_registrations(f->store, refreshes, 3, on_done, f);
    turn_until_done(f, 2);
    assert_int_equal(f->failed, 0);
    reopen_store(f);
    load(f, NULL);
    assert_int_equal(loaded.count, 1);
    assert_int_equal(loaded.expires_at_ms[0], 222);
}

static void test_settings_are_kept_and_overwritten(void **state) {
    struct fixture *f = *state;
    open_store(f);
    char value[8] = "";
    assert_int_equal(store_get_setting(f->store, "event", value, sizeof value), -1);
    store_put_setting(f->store, "event", slice_str("1000"), NULL, NULL);
    store_put_setting(f->store, "event", slice_str("2000"), on_done, f);
    store_put_setting(f->store, "empty", SLICE_NONE, NULL, NULL);
    store_put_setting(f->store, "long", slice_str("0123456789"), NULL, NULL);
    reopen_store(f);
    assert_int_equal(store_get_setting(f->store, "event", value, sizeof value), 4);
    assert_memory_equal(value, "2000", 4);
    assert_int_equal(store_get_setting(f->store, "empty", value, sizeof value), 0);
    assert_int_equal(store_get_setting(f->store, "long", value, 3), 10);
    assert_memory_equal(value, "0120", 4);
    assert_int_equal(store_get_setting(f->store, "long", NULL, 0), 10);
}

/* ---- the queue ---- */

struct ordered {
    struct fixture *f;
    size_t expected;
};

static struct ordered ordered[1000];

static void on_done_in_order(void *arg, enum store_result result) {
    struct ordered *o = arg;
    o->f->failed += o->f->done != o->expected;
    on_done(o->f, result);
}

/* What was loaded of observations, as text: "id registration endpoint paths token request time" and a line feed. */
struct loaded_observations {
    char text[1024];
};

static void on_observation(void *arg, const struct store_observation *o) {
    struct loaded_observations *l = arg;
    size_t len = strlen(l->text);
    snprintf(l->text + len, sizeof l->text - len, "%llu %llu %.*s %.*s %.*s %.*s %llu\n", (unsigned long long)o->id,
             (unsigned long long)o->registration_id, (int)o->endpoint.len, (const char *)o->endpoint.data,
             (int)o->paths.len, (const char *)o->paths.data, (int)o->token.len, (const char *)o->token.data,
             (int)o->request.len, (const char *)o->request.data, (unsigned long long)o->started_at_ms);
}

static void assert_observations(struct fixture *f, const char *expected) {
    struct loaded_observations l = {.text = ""};
    reopen_store(f);
    if (!store_load_observations(f->store, on_observation, &l, f->error, sizeof f->error))
        fail_msg("%s", f->error);
    assert_string_equal(l.text, expected);
}

static void put_observation(struct fixture *f, uint64_t id, uint64_t registration_id, const char *token) {
    struct store_observation o = {.id = id,
                                  .registration_id = registration_id,
                                  .endpoint = slice_str("dev1"),
                                  .paths = slice_str("/3/0/9 /3/0/0"),
                                  .token = slice_str(token),
                                  .request = slice_str("bytes"),
                                  .started_at_ms = 1800000000000u + id};
    assert_int_equal(store_put_observation(f->store, &o, on_done, f), STORE_OK);
}

static void test_observations_are_kept_overwritten_and_deleted(void **state) {
    struct fixture *f = *state;
    const uint64_t ids[] = {2, 4711};
    open_store(f);
    put_observation(f, 3, 1, "a");
    put_observation(f, 1, 1, "b");
    put_observation(f, 2, 1, "c");
    put_observation(f, 3, 7, "d");
    assert_int_equal(store_delete_observations(f->store, ids, 2, on_done, f), STORE_OK);
    turn_until_done(f, 5);
    assert_int_equal(f->failed, 0);
    assert_observations(f, "1 1 dev1 /3/0/9 /3/0/0 b bytes 1800000000001\n"
                           "3 7 dev1 /3/0/9 /3/0/0 d bytes 1800000000003\n");
}

static void test_OB_20_observations_outlive_a_replaced_registration_and_go_with_all(void **state) {
    struct fixture *f = *state;
    const uint64_t replaced = 1;
    struct store_registration first = registration_of(1), second = registration_of(2);
    open_store(f);
    store_put_registration(f->store, &first, NULL, 0, on_done, f);
    put_observation(f, 5, 1, "a");
    store_put_registration(f->store, &second, &replaced, 1, on_done, f);
    turn_until_done(f, 3);
    assert_observations(f, "5 1 dev1 /3/0/9 /3/0/0 a bytes 1800000000005\n");
    store_clear_registrations(f->store, on_done, f);
    turn_until_done(f, 4);
    assert_int_equal(f->failed, 0);
    assert_observations(f, "");
}

static void test_an_observation_that_makes_no_sense_fails_the_loading(void **state) {
    struct fixture *f = *state;
    static const char *const changes[] = {
        "UPDATE observation SET id = -1",
        "UPDATE observation SET registration_id = -1",
        "UPDATE observation SET started_at = -1",
        "UPDATE observation SET endpoint = ''",
    };
    open_store(f);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct loaded_observations l = {.text = ""};
        put_observation(f, 1, 1, "a");
        close_store(f);
        run_sql(path_of(f, "berth.db"), changes[i], false);
        open_store(f);
        assert_false(store_load_observations(f->store, on_observation, &l, f->error, sizeof f->error));
        assert_non_null(strstr(f->error, "an observation makes no sense"));
        assert_string_equal(l.text, "");
        close_store(f);
        run_sql(path_of(f, "berth.db"), "DELETE FROM observation", false);
        open_store(f);
    }
}

/* What was loaded of object definitions, as text: "id version xml" and a line feed for each. */
struct loaded_objects {
    char text[400];
};

static void on_object(void *arg, const struct store_object *object) {
    struct loaded_objects *l = arg;
    size_t len = strlen(l->text);
    snprintf(l->text + len, sizeof l->text - len, "%u %.*s %.*s\n", object->id, (int)object->version.len,
             (const char *)object->version.data, (int)object->xml.len, (const char *)object->xml.data);
}

static void assert_objects(struct fixture *f, const char *expected) {
    struct loaded_objects l = {.text = ""};
    reopen_store(f);
    if (!store_load_objects(f->store, on_object, &l, f->error, sizeof f->error))
        fail_msg("%s", f->error);
    assert_string_equal(l.text, expected);
}

static void put_object(struct fixture *f, uint16_t id, const char *version, const char *xml) {
    struct store_object object = {.id = id, .version = slice_str(version), .xml = slice_str(xml)};
    assert_int_equal(store_put_object(f->store, &object, on_done, f), STORE_OK);
}

static void test_object_definitions_are_kept_and_overwritten(void **state) {
    struct fixture *f = *state;
    open_store(f);
    put_object(f, 65534, "1.0", "<c/>");
    put_object(f, 3, "1.1", "<a/>");
    put_object(f, 3, "1.0", "<b/>");
    put_object(f, 3, "1.1", "<a>new</a>");
    turn_until_done(f, 4);
    assert_int_equal(f->failed, 0);
    assert_objects(f, "3 1.0 <b/>\n3 1.1 <a>new</a>\n65534 1.0 <c/>\n");
}

static void test_deleted_object_definitions_are_gone(void **state) {
    struct fixture *f = *state;
    open_store(f);
    put_object(f, 3, "1.0", "<a/>");
    put_object(f, 3, "1.1", "<b/>");
    store_delete_object(f->store, 3, slice_str("1.0"), on_done, f);
    store_delete_object(f->store, 3, slice_str("2.0"), on_done, f); /* there is none */
    store_delete_object(f->store, 4, slice_str("1.1"), on_done, f);
    turn_until_done(f, 5);
    assert_int_equal(f->failed, 0);
    assert_objects(f, "3 1.1 <b/>\n");
}

static void on_long_object(void *arg, const struct store_object *object) {
    struct slice *expected = arg;
    if (slice_equal(object->xml, *expected))
        *expected = SLICE_NONE;
}

static void test_a_long_object_definition_comes_back_byte_for_byte(void **state) {
    struct fixture *f = *state;
    static char xml[1024 * 1024] = "begin\0\xff";
    struct slice expected = slice_of(xml, sizeof xml);
    memcpy(xml + sizeof xml - 3, "end", 3);
    open_store(f);
    struct store_object object = {.id = 1, .version = slice_str("1.0"), .xml = expected};
    assert_int_equal(store_put_object(f->store, &object, NULL, NULL), STORE_OK);
    reopen_store(f);
    assert_true(store_load_objects(f->store, on_long_object, &expected, f->error, sizeof f->error));
    assert_null(expected.data);
}

static void test_an_object_definition_that_makes_no_sense_fails_the_loading(void **state) {
    struct fixture *f = *state;
    static const char *const faults[] = {
        "UPDATE object SET object_id = -1",
        "UPDATE object SET object_id = 65536",
        "UPDATE object SET version = ''",
        "UPDATE object SET xml = x''",
    };
    open_store(f);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct loaded_objects l = {.text = ""};
        put_object(f, 3, "1.0", "<a/>");
        close_store(f);
        run_sql(path_of(f, "berth.db"), faults[i], false);
        open_store(f);
        assert_false(store_load_objects(f->store, on_object, &l, f->error, sizeof f->error));
        assert_non_null(strstr(f->error, "damaged"));
        assert_string_equal(l.text, "");
        close_store(f);
        run_sql(path_of(f, "berth.db"), "DELETE FROM object", false);
        open_store(f);
    }
}

/* What was loaded of requests and of queues' settings, as text. */
struct loaded_queue {
    char text[800];
};

static void on_request(void *arg, const struct store_request *r) {
    struct loaded_queue *l = arg;
    size_t len = strlen(l->text);
    snprintf(l->text + len, sizeof l->text - len, "%u %.*s %.*s %u %u %u %u [%.*s]\n", (unsigned)r->id,
             (int)r->endpoint.len, (const char *)r->endpoint.data, (int)r->job.len, (const char *)r->job.data,
             (unsigned)r->created_at_ms, (unsigned)r->expires_at_ms, (unsigned)r->state, (unsigned)r->completed_at_ms,
             (int)r->result.len, (const char *)r->result.data);
}

static void on_queue_settings(void *arg, const struct store_queue_settings *settings) {
    struct loaded_queue *l = arg;
    size_t len = strlen(l->text);
    snprintf(l->text + len, sizeof l->text - len, "%.*s %u %u\n", (int)settings->endpoint.len,
             (const char *)settings->endpoint.data, settings->awake_window_ms, settings->limit);
}

static void assert_queue(struct fixture *f, const char *expected) {
    struct loaded_queue l = {.text = ""};
    reopen_store(f);
    if (!store_load_requests(f->store, on_request, &l, f->error, sizeof f->error) ||
        !store_load_queue_settings(f->store, on_queue_settings, &l, f->error, sizeof f->error))
        fail_msg("%s", f->error);
    assert_string_equal(l.text, expected);
}

static void put_request(struct fixture *f, uint64_t id, const char *endpoint, const char *job) {
    struct store_request request = {.id = id,
                                    .endpoint = slice_str(endpoint),
                                    .job = slice_str(job),
                                    .created_at_ms = id + 1,
                                    .expires_at_ms = id + 2};
    assert_int_equal(store_put_request(f->store, &request, on_done, f), STORE_OK);
}

static void finish_request(struct fixture *f, uint64_t id, const char *result) {
    struct store_request request = {.id = id, .state = 2, .completed_at_ms = id + 9, .result = slice_str(result)};
    assert_int_equal(store_finish_request(f->store, &request, on_done, f), STORE_OK);
}

static void put_queue_settings(struct fixture *f, const char *endpoint, uint32_t awake_window_ms, uint32_t limit) {
    struct store_queue_settings settings = {
        .endpoint = slice_str(endpoint), .awake_window_ms = awake_window_ms, .limit = limit};
    assert_int_equal(store_put_queue_settings(f->store, &settings, on_done, f), STORE_OK);
}

static void test_requests_are_kept_finished_and_deleted(void **state) {
    struct fixture *f = *state;
    open_store(f);
    put_request(f, 7, "dev1", "write");
    put_request(f, 5, "dev2", "read");
    put_request(f, 6, "dev1", "execute");
    put_request(f, 8, "dev1", "delete");
    finish_request(f, 5, "done");
    finish_request(f, 4711, "there is none");
    uint64_t ids[] = {7, 8, 4711};
    assert_int_equal(store_delete_requests(f->store, ids, 3, on_done, f), STORE_OK);
    turn_until_done(f, 7);
    assert_int_equal(f->failed, 0);
    assert_queue(f, "5 dev2 read 6 7 2 14 [done]\n6 dev1 execute 7 8 0 0 []\n");
}

static void test_settings_of_queues_are_kept_until_nothing_is_set(void **state) {
    struct fixture *f = *state;
    open_store(f);
    put_queue_settings(f, "dev1", 20000, 0);
    put_queue_settings(f, "dev2", 0, 3);
    put_queue_settings(f, "dev3", 1, 1);
    put_queue_settings(f, "dev1", 30000, 10);
    put_queue_settings(f, "dev3", 0, 0);
    turn_until_done(f, 5);
    assert_int_equal(f->failed, 0);
    assert_queue(f, "dev1 30000 10\ndev2 0 3\n");
}

static void test_clearing_registrations_clears_requests_and_settings_of_queues(void **state) {
    struct fixture *f = *state;
    open_store(f);
    put_request(f, 1, "dev1", "read");
    put_queue_settings(f, "dev1", 1, 1);
    assert_int_equal(store_clear_registrations(f->store, on_done, f), STORE_OK);
    put_request(f, 2, "dev1", "read");
    turn_until_done(f, 4);
    assert_queue(f, "2 dev1 read 3 4 0 0 []\n");
}

static void test_a_queued_request_that_makes_no_sense_fails_the_loading(void **state) {
    struct fixture *f = *state;
    static const char *const faults[] = {
        "UPDATE request SET id = 0",          "UPDATE request SET endpoint = ''",   "UPDATE request SET job = x''",
        "UPDATE request SET expires_at = -1", "UPDATE request SET state = 1 << 32",
    };
    open_store(f);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct loaded_queue l = {.text = ""};
        put_request(f, 1, "dev1", "read");
        close_store(f);
        run_sql(path_of(f, "berth.db"), faults[i], false);
        open_store(f);
        assert_false(store_load_requests(f->store, on_request, &l, f->error, sizeof f->error));
        assert_non_null(strstr(f->error, "damaged"));
        assert_string_equal(l.text, "");
        close_store(f);
        run_sql(path_of(f, "berth.db"), "DELETE FROM request", false);
        open_store(f);
    }
    put_queue_settings(f, "dev1", 1, 1);
    close_store(f);
    run_sql(path_of(f, "berth.db"), "UPDATE queue_setting SET queue_limit = -1", false);
    open_store(f);
    struct loaded_queue l = {.text = ""};
    assert_false(store_load_queue_settings(f->store, on_queue_settings, &l, f->error, sizeof f->error));
    assert_non_null(strstr(f->error, "damaged"));
}

static void test_completions_come_in_the_order_of_the_writes(void **state) {
    struct fixture *f = *state;
    open_store(f);
    for (size_t i = 0; i < 1000; i++) {
        ordered[i] = (struct ordered){.f = f, .expected = i};
        struct store_registration r = registration_of(i / 4 + 1);
        uint64_t id = r.id;
        switch (i % 4) {
        case 0:
            store_put_registration(f->store, &r, NULL, 0, on_done_in_order, &ordered[i]);
            break;
        case 1:
            store_refresh_registrations(f->store, &(struct store_refresh){.id = id}, 1, on_done_in_order, &ordered[i]);
            break;
        case 2:
            store_delete_registrations(f->store, &id, 1, on_done_in_order, &ordered[i]);
            break;
        default:
            store_put_setting(f->store, "s", slice_str("v"), on_done_in_order, &ordered[i]);
        }
        if (i % 50 == 0)
            uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    turn_until_done(f, 1000);
    assert_int_equal(f->failed, 0);
}

static void test_many_writes_are_few_transactions(void **state) {
    struct fixture *f = *state;
    open_store(f);
    for (uint64_t id = 1; id <= 1000; id++)
        put(f, id);
    assert_int_equal(f->done, 0); /* nobody is told inside the call */
    turn_until_done(f, 1000);
    struct store_counters counters = store_counters(f->store);
    assert_int_equal(counters.writes, 1000);
    assert_in_range(counters.transactions, 1, 10);
    assert_int_equal(counters.failed_transactions, 0);
    assert_true(counters.commit_ns > 0);
    assert_int_equal(counters.queued_writes, 0);
}

static void test_what_writes_have_left_is_given_back_and_writing_goes_on(void **state) {
    struct fixture *f = *state;
    open_store(f);
    sqlite3_int64 before = sqlite3_memory_used();
    for (uint64_t id = 1; id <= 4000; id++) {
        put(f, id);
        if (id % 500 == 0)
            turn_until_done(f, id);
    }
    sqlite3_int64 left = sqlite3_memory_used() - before;
    store_settle(f->store);
    assert_true(sqlite3_memory_used() - before < left / 4);
    put(f, 4001);
    store_settle(f->store); /* keeps what waits */
    turn_until_done(f, 4001);
    assert_int_equal(f->failed, 0);
    close_store(f);
    assert_int_equal(number_of(path_of(f, "berth.db"), "SELECT count(*) FROM registration"), 4001);
}

static void test_a_full_queue_refuses_the_write_and_takes_it_later(void **state) {
    struct fixture *f = *state;
    assert_true(try_open(f, &(struct store_options){.directory = f->directory, .queue_bytes = 10000}));
    uint64_t id = 1;
    for (;; id++) {
        struct store_registration r = registration_of(id);
        enum store_result result = store_put_registration(f->store, &r, NULL, 0, on_done, f);
        if (result == STORE_QUEUE_FULL)
            break;
        assert_int_equal(result, STORE_OK);
        assert_true(store_counters(f->store).queued_bytes <= 10000);
    }
    assert_in_range(id, 10, 100);
    assert_int_equal(store_counters(f->store).queued_writes, id - 1);
    turn_until_done(f, id - 1);
    put_and_wait(f, id);
    assert_int_equal(f->failed, 0);
    reopen_store(f);
    load(f, NULL);
    assert_int_equal(loaded.count, id);
}

static void test_closing_commits_what_is_queued(void **state) {
    struct fixture *f = *state;
    open_store(f);
    for (uint64_t id = 1; id <= 500; id++)
        put(f, id);
    reopen_store(f);
    assert_int_equal(f->done, 500);
    load(f, NULL);
    assert_int_equal(loaded.count, 500);
}

/* ---- how the last process ended ---- */

/* Run `work` in a process of its own that ends without store_close. */
static void in_a_process_that_dies(const struct fixture *f, void (*work)(struct store *store)) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uv_loop_t loop;
        char error[512];
        const struct store_options options = {.directory = f->directory, .database = store_bench_database()};
        uv_loop_init(&loop);
        struct store *store = store_open(&loop, &options, error, sizeof error);
        if (store == NULL)
            _exit(1);
        work(store);
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void heartbeat_at_123(struct store *store) {
    store_heartbeat(store, 122);
    store_heartbeat(store, 123);
}

static void no_heartbeat(struct store *store) {
    (void)store;
}

static void test_a_new_store_has_no_past(void **state) {
    struct fixture *f = *state;
    open_store(f);
    assert_false(store_was_unclean(f->store));
    assert_int_equal(store_last_heartbeat_ms(f->store), 0);
    assert_null(store_problem(f->store));
}

static void test_after_a_clean_end_the_heartbeat_is_forgotten(void **state) {
    struct fixture *f = *state;
    open_store(f);
    store_heartbeat(f->store, 99);
    reopen_store(f);
    assert_false(store_was_unclean(f->store));
    assert_int_equal(store_last_heartbeat_ms(f->store), 0);
}

static void test_after_a_crash_the_last_heartbeat_is_known(void **state) {
    struct fixture *f = *state;
    in_a_process_that_dies(f, heartbeat_at_123);
    open_store(f);
    assert_true(store_was_unclean(f->store));
    assert_int_equal(store_last_heartbeat_ms(f->store), 123);
    store_heartbeat(f->store, 456);
    assert_int_equal(store_last_heartbeat_ms(f->store), 123);
    reopen_store(f);
    assert_false(store_was_unclean(f->store));
}

static void test_a_crash_before_the_first_heartbeat_keeps_the_one_before(void **state) {
    struct fixture *f = *state;
    in_a_process_that_dies(f, heartbeat_at_123);
    in_a_process_that_dies(f, no_heartbeat);
    open_store(f);
    assert_true(store_was_unclean(f->store));
    assert_int_equal(store_last_heartbeat_ms(f->store), 123);
}

/* ---- what was acknowledged is never lost ---- */

enum { REPLACES = 10 };

/* Put registration after registration, each of which replaces the one REPLACES before, and tell the pipe about each
 * that is committed. */
struct child {
    uv_loop_t loop;
    uv_timer_t alive;
    struct store *store;
    uint64_t next_id, acknowledged;
    int pipe;
};

static void child_put(struct child *c);

static void on_child_done(void *arg, enum store_result result) {
    struct child *c = arg;
    c->acknowledged++;
    if (result != STORE_OK || write(c->pipe, &c->acknowledged, sizeof c->acknowledged) != sizeof c->acknowledged)
        _exit(1);
    child_put(c);
}

static void child_put(struct child *c) {
    struct store_registration r = registration_of(c->next_id++);
    uint64_t replaced = r.id - REPLACES;
    if (store_put_registration(c->store, &r, &replaced, r.id > REPLACES, on_child_done, c) != STORE_OK)
        _exit(2);
}

static void run_child(const struct fixture *f, uint64_t last_id, int pipe) {
    struct child c = {.next_id = last_id + 1, .acknowledged = last_id, .pipe = pipe};
    char error[512];
    const struct store_options options = {.directory = f->directory, .database = store_bench_database()};
    uv_loop_init(&c.loop);
    uv_timer_init(&c.loop, &c.alive);
    uv_timer_start(&c.alive, on_timer, 1000000, 1000000);
    c.store = store_open(&c.loop, &options, error, sizeof error);
    if (c.store == NULL)
        _exit(3);
    for (int i = 0; i < 4; i++) /* so many wait at any time */
        child_put(&c);
    uv_run(&c.loop, UV_RUN_DEFAULT);
    _exit(4);
}

static uint64_t last_id_loaded(void) {
    return loaded.count == 0 ? 0 : loaded.ids[loaded.count - 1];
}

static void test_whatever_was_acknowledged_survives_kill_9_at_any_moment(void **state) {
    struct fixture *f = *state;
    uint64_t last_id = 0;
    for (int round = 0; round < 30; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(ends[0]);
            run_child(f, last_id, ends[1]);
        }
        close(ends[1]);
        uint64_t acknowledged = last_id, id, acks = random_below(400);
        while (acknowledged - last_id < acks && read(ends[0], &id, sizeof id) == sizeof id)
            acknowledged = id;
        kill(child, SIGKILL);
        while (read(ends[0], &id, sizeof id) == sizeof id)
            acknowledged = id;
        close(ends[0]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));

        open_store(f);
        load(f, NULL);
        assert_true(last_id_loaded() >= acknowledged);
        last_id = last_id_loaded();
        /* Each new one came together with the end of the one that it replaces. */
        assert_int_equal(loaded.count, last_id < REPLACES ? last_id : REPLACES);
        for (size_t i = 0; i < loaded.count; i++)
            assert_int_equal(loaded.ids[i], last_id - loaded.count + 1 + i);
        close_store(f);
    }
    assert_true(last_id > 30);
}

/* ---- failing and recovering ---- */

static void test_a_full_disk_fails_writes_and_they_succeed_when_there_is_room_again(void **state) {
    struct fixture *f = *state;
    open_store(f);
    put_and_wait(f, 1);
    struct stat status;
    assert_int_equal(stat(path_of(f, "berth.db-wal"), &status), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size((rlim_t)status.st_size + 1000);
    put(f, 2);
    put(f, 3);
    turn_until_done(f, 3);
    assert_int_equal(f->failed, 2);
    assert_int_equal(f->result, STORE_DISK_FULL);
    assert_non_null(store_problem(f->store));
    put_and_wait(f, 4);
    assert_int_equal(f->failed, 3);
    assert_int_equal(store_counters(f->store).failed_transactions, 2);

    limit_file_size(RLIM_INFINITY);
    put_and_wait(f, 5);
    assert_int_equal(f->failed, 3);
    assert_null(store_problem(f->store));
    reopen_store(f);
    assert_false(store_was_unclean(f->store));
    load(f, NULL);
    assert_int_equal(loaded.count, 2);
    assert_int_equal(loaded.ids[0], 1);
    assert_int_equal(loaded.ids[1], 5);
}

static void test_a_store_closed_while_writes_fail_has_not_ended_cleanly(void **state) {
    struct fixture *f = *state;
    open_store(f);
    put_and_wait(f, 1);
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(4096);
    put_and_wait(f, 2);
    assert_int_equal(f->failed, 1);
    close_store(f);
    limit_file_size(RLIM_INFINITY);
    open_store(f);
    assert_true(store_was_unclean(f->store));
    load(f, NULL);
    assert_int_equal(loaded.count, 1);
}

static void test_another_failure_is_told_and_undoes_the_whole_transaction(void **state) {
    struct fixture *f = *state;
    open_store(f);
    put_and_wait(f, 1);
    run_sql(path_of(f, "berth.db"), "CREATE TRIGGER t BEFORE INSERT ON setting BEGIN SELECT RAISE(ABORT, 'no'); END",
            true);
    put(f, 2);
    store_put_setting(f->store, "a", slice_str("b"), on_done, f);
    put(f, 3);
    turn_until_done(f, 4);
    assert_int_equal(f->failed, 3);
    assert_int_equal(f->result, STORE_IO);
    assert_string_equal(store_problem(f->store), "no");
    put_and_wait(f, 4);
    assert_null(store_problem(f->store));
    reopen_store(f);
    load(f, NULL);
    assert_int_equal(loaded.count, 2);
    assert_int_equal(loaded.ids[1], 4);
}

/* ---- what is no store of ours ---- */

static void fill_store(struct fixture *f, uint64_t count) {
    open_store(f);
    for (uint64_t id = 1; id <= count; id++)
        put(f, id);
    close_store(f);
}

static void test_a_second_opener_is_refused_and_the_first_goes_on(void **state) {
    struct fixture *f = *state;
    open_store(f);
    struct store *first = f->store;
    assert_false(try_open(f, &(struct store_options){.directory = f->directory}));
    assert_non_null(strstr(f->error, "another server"));
    assert_non_null(strstr(f->error, f->directory));
    f->store = first;
    put_and_wait(f, 1);
    assert_int_equal(f->failed, 0);
    reopen_store(f);
}

static void test_a_text_file_is_refused(void **state) {
    struct fixture *f = *state;
    static const char text[] =
        "It was a dark and stormy night; the rain fell in torrents, except at occasional intervals, "
        "when it was checked by a violent gust of wind.";
    write_file(path_of(f, "berth.db"), text, sizeof text);
    assert_refused(f, "not a database of Berth");
    write_file(path_of(f, "berth.db"), "x", 1);
    assert_refused(f, "not a database of Berth");
    write_file(path_of(f, "berth.db"), "SQLite format 3", 16); /* cut short */
    assert_refused(f, "not a database of Berth");
}

static void test_a_directory_in_place_of_the_file_is_refused(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(path_of(f, "berth.db"), 0700), 0);
    assert_false(try_open(f, &(struct store_options){.directory = f->directory}));
    assert_non_null(strstr(f->error, "berth.db"));
}

static void test_the_database_of_another_program_is_refused(void **state) {
    struct fixture *f = *state;
    run_sql(path_of(f, "berth.db"), "CREATE TABLE registration (id INTEGER PRIMARY KEY)", false);
    assert_refused(f, "not a database of Berth");
    run_sql(path_of(f, "berth.db"), "PRAGMA journal_mode = WAL; INSERT INTO registration VALUES (1)", true);
    assert_refused(f, "not a database of Berth");
}

static void test_a_newer_database_is_refused(void **state) {
    struct fixture *f = *state;
    fill_store(f, 10);
    run_sql(path_of(f, "berth.db"), "PRAGMA user_version = 4711", false);
    assert_refused(f, "newer version of Berth (schema 4711");
}

static void test_a_newer_database_is_refused_also_when_only_its_log_tells(void **state) {
    struct fixture *f = *state;
    fill_store(f, 10);
    run_sql(path_of(f, "berth.db"), "PRAGMA user_version = 4711", true);
    assert_refused(f, "newer version of Berth (schema 4711");
}

static void test_a_damaged_database_is_refused(void **state) {
    struct fixture *f = *state;
    static const uint8_t rubbish[200] = {0xde, 0xad, 0xbe, 0xef};
    fill_store(f, 2000);
    struct stat status;
    assert_int_equal(stat(path_of(f, "berth.db"), &status), 0);
    assert_true(status.st_size > 50 * 4096);
    overwrite(path_of(f, "berth.db"), 20 * 4096, rubbish, sizeof rubbish);
    assert_refused(f, "damaged");
    assert_true(access(path_of(f, "berth.db-shm"), F_OK) != 0);
}

static void test_a_database_is_not_opened_without_memory(void **state) {
    struct fixture *f = *state;
    fill_store(f, 10);
    sqlite3_hard_heap_limit64(1);
    bool opened = try_open(f, &(struct store_options){.directory = f->directory});
    sqlite3_hard_heap_limit64(0);
    sqlite3_soft_heap_limit64(0);
    assert_false(opened);
    assert_non_null(strstr(f->error, "out of memory"));
    open_store(f);
    close_store(f);
}

static void test_a_database_cut_short_is_refused(void **state) {
    struct fixture *f = *state;
    fill_store(f, 2000);
    assert_int_equal(truncate(path_of(f, "berth.db"), 10 * 4096 + 17), 0);
    assert_refused(f, "damaged");
}

static void test_a_database_with_a_damaged_schema_is_refused(void **state) {
    struct fixture *f = *state;
    static const uint8_t rubbish[64] = {1};
    fill_store(f, 10);
    overwrite(path_of(f, "berth.db"), 100, rubbish, sizeof rubbish);
    assert_refused(f, "damaged");
}

static void test_a_row_that_makes_no_sense_fails_the_loading(void **state) {
    struct fixture *f = *state;
    static const char *const faults[] = {
        "DELETE FROM lease WHERE id = 5",
        "UPDATE registration SET flags = -1 WHERE id = 5",
        "UPDATE registration SET listener = 4294967296 WHERE id = 5",
        "UPDATE lease SET updated_at = -1 WHERE id = 5",
        "UPDATE lease SET expires_at = -7 WHERE id = 5",
        "UPDATE registration SET endpoint = '' WHERE id = 5",
    };
    fill_store(f, 10);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        run_sql(path_of(f, "berth.db"), faults[i], false);
        open_store(f);
        loaded.count = 0;
        loaded.expected = NULL;
        f->error[0] = '\0';
        assert_false(store_load_registrations(f->store, on_registration, NULL, &loaded, f->error, sizeof f->error));
        assert_non_null(strstr(f->error, "damaged"));
        assert_int_equal(loaded.count, 4);
        store_clear_registrations(f->store, NULL, NULL);
        for (uint64_t id = 1; id <= 10; id++)
            put(f, id);
        close_store(f);
    }
}

static void test_a_log_without_its_database_is_not_thrown_away(void **state) {
    struct fixture *f = *state;
    write_file(path_of(f, "berth.db-wal"), "precious", 8);
    assert_refused(f, "bring back");
}

static void test_an_empty_file_counts_as_new(void **state) {
    struct fixture *f = *state;
    write_file(path_of(f, "berth.db"), "", 0);
    open_store(f);
    put_and_wait(f, 1);
    reopen_store(f);
    load(f, NULL);
    assert_int_equal(loaded.count, 1);
}

static void test_a_creation_that_was_interrupted_is_begun_anew(void **state) {
    struct fixture *f = *state;
    write_file(path_of(f, "berth.db.new"), "half", 4);
    open_store(f);
    put_and_wait(f, 1);
    assert_int_equal(f->failed, 0);
    assert_true(access(path_of(f, "berth.db.new"), F_OK) != 0);
}

static void test_a_missing_directory_is_made_but_not_its_parents(void **state) {
    struct fixture *f = *state;
    char directory[128], deep[160];
    snprintf(directory, sizeof directory, "%s/data", f->directory);
    snprintf(deep, sizeof deep, "%s/more/data", directory);
    assert_false(try_open(f, &(struct store_options){.directory = deep}));
    assert_non_null(strstr(f->error, deep));
    assert_true(try_open(f, &(struct store_options){.directory = directory}));
    close_store(f);
    remove_directory(directory);
}

/* ---- schema ---- */

static void test_an_older_schema_is_brought_up_to_date(void **state) {
    struct fixture *f = *state;
    char set_id[64];
    snprintf(set_id, sizeof set_id, "PRAGMA application_id = %d; PRAGMA user_version = 0", 0x42727468);
    run_sql(path_of(f, "berth.db"), set_id, false);
    open_store(f);
    put_and_wait(f, 1);
    assert_int_equal(f->failed, 0);
    reopen_store(f);
    load(f, NULL);
    assert_int_equal(loaded.count, 1);
    close_store(f);
    assert_true(number_of(path_of(f, "berth.db"), "PRAGMA user_version") >= 1);
}

static void test_a_database_of_the_first_schema_keeps_its_rows(void **state) {
    struct fixture *f = *state;
    fill_store(f, 10);
    run_sql(path_of(f, "berth.db"),
            "DROP TABLE object; DROP TABLE observation; DROP TABLE request; DROP TABLE queue_setting;"
            " DROP TABLE credential; DROP TABLE session; DROP TABLE session_state; DROP TABLE resumption;"
            " DROP TABLE oscore_context; DROP TABLE bootstrap; DROP TABLE firmware_image; DROP TABLE firmware_update;"
            " DROP TABLE document; DROP TABLE event;"
            " ALTER TABLE registration DROP COLUMN session; PRAGMA user_version = 1",
            false);
    open_store(f);
    put_object(f, 3, "1.0", "<a/>");
    assert_objects(f, "3 1.0 <a/>\n");
    load(f, NULL);
    assert_int_equal(loaded.count, 10);
}

/* ---- files ---- */

static void assert_mode(const char *path, mode_t mode) {
    struct stat status;
    if (stat(path, &status) != 0)
        fail_msg("%s: %s", path, strerror(errno));
    assert_int_equal(status.st_mode & 0777, mode);
}

static void test_nobody_else_can_read_the_files(void **state) {
    struct fixture *f = *state;
    char directory[128], path[160];
    snprintf(directory, sizeof directory, "%s/data", f->directory);
    mode_t mask = umask(0);
    assert_true(try_open(f, &(struct store_options){.directory = directory}));
    put_and_wait(f, 1);
    umask(mask);
    assert_mode(directory, 0700);
    static const char *const files[] = {"berth.db", "berth.db-wal", "berth.db-shm", "berth.lock"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        assert_mode(path, 0600);
    }
    close_store(f);
    remove_directory(directory);
}

static void test_full_durability_keeps_what_it_is_given(void **state) {
    struct fixture *f = *state;
    struct store_options options = {.directory = f->directory, .durability = STORE_FULL};
    assert_true(try_open(f, &options));
    put_and_wait(f, 1);
    put_and_wait(f, 2);
    close_store(f);
    assert_true(try_open(f, &options));
    load(f, NULL);
    assert_int_equal(loaded.count, 2);
}

static void test_the_log_is_moved_into_the_database_as_it_grows(void **state) {
    struct fixture *f = *state;
    open_store(f);
    for (uint64_t id = 1; id <= 20000; id++) {
        struct store_registration r = registration_of(id);
        assert_int_equal(store_put_registration(f->store, &r, NULL, 0, on_done, f), STORE_OK);
        if (id % 20 == 0)
            turn_until_done(f, id);
    }
    struct stat status;
    assert_int_equal(stat(path_of(f, "berth.db-wal"), &status), 0);
    assert_true(status.st_size < 12 * 1024 * 1024); /* all the pages written are more than that */
    assert_int_equal(stat(path_of(f, "berth.db"), &status), 0);
    assert_true(status.st_size > 1000000);
}

int main(void) {
#define STORE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_a_registration_comes_back_byte_for_byte),
        STORE_TEST(test_a_long_object_list_comes_back),
        STORE_TEST(test_a_registration_without_end_comes_back_so),
        STORE_TEST(test_registrations_are_loaded_in_the_order_of_their_ids),
        STORE_TEST(test_putting_an_id_again_replaces_it),
        STORE_TEST(test_replaced_registrations_go_with_the_new_one),
        STORE_TEST(test_deleted_registrations_are_gone),
        STORE_TEST(test_clear_deletes_what_was_put_before_and_not_what_comes_after),
        STORE_TEST(test_a_refresh_changes_times_only),
        STORE_TEST(test_a_refresh_of_unknown_ids_is_passed_over),
        STORE_TEST(test_settings_are_kept_and_overwritten),
        STORE_TEST(test_object_definitions_are_kept_and_overwritten),
        STORE_TEST(test_deleted_object_definitions_are_gone),
        STORE_TEST(test_a_long_object_definition_comes_back_byte_for_byte),
        STORE_TEST(test_observations_are_kept_overwritten_and_deleted),
        STORE_TEST(test_OB_20_observations_outlive_a_replaced_registration_and_go_with_all),
        STORE_TEST(test_requests_are_kept_finished_and_deleted),
        STORE_TEST(test_settings_of_queues_are_kept_until_nothing_is_set),
        STORE_TEST(test_clearing_registrations_clears_requests_and_settings_of_queues),
        STORE_TEST(test_completions_come_in_the_order_of_the_writes),
        STORE_TEST(test_many_writes_are_few_transactions),
        STORE_TEST(test_a_full_queue_refuses_the_write_and_takes_it_later),
        STORE_TEST(test_closing_commits_what_is_queued),
        STORE_TEST(test_a_new_store_has_no_past),
        STORE_TEST(test_after_a_clean_end_the_heartbeat_is_forgotten),
        STORE_TEST(test_after_a_crash_the_last_heartbeat_is_known),
        STORE_TEST(test_a_crash_before_the_first_heartbeat_keeps_the_one_before),
        STORE_TEST(test_whatever_was_acknowledged_survives_kill_9_at_any_moment),
        STORE_TEST(test_a_missing_directory_is_made_but_not_its_parents),
        STORE_TEST(test_full_durability_keeps_what_it_is_given),
    };
    const struct CMUnitTest of_files[] = {
        STORE_TEST(test_an_object_definition_that_makes_no_sense_fails_the_loading),
        STORE_TEST(test_an_observation_that_makes_no_sense_fails_the_loading),
        STORE_TEST(test_a_queued_request_that_makes_no_sense_fails_the_loading),
        STORE_TEST(test_a_full_disk_fails_writes_and_they_succeed_when_there_is_room_again),
        STORE_TEST(test_a_store_closed_while_writes_fail_has_not_ended_cleanly),
        STORE_TEST(test_another_failure_is_told_and_undoes_the_whole_transaction),
        STORE_TEST(test_a_second_opener_is_refused_and_the_first_goes_on),
        STORE_TEST(test_a_text_file_is_refused),
        STORE_TEST(test_a_directory_in_place_of_the_file_is_refused),
        STORE_TEST(test_the_database_of_another_program_is_refused),
        STORE_TEST(test_a_newer_database_is_refused),
        STORE_TEST(test_a_newer_database_is_refused_also_when_only_its_log_tells),
        STORE_TEST(test_a_damaged_database_is_refused),
        STORE_TEST(test_a_database_is_not_opened_without_memory),
        STORE_TEST(test_a_database_cut_short_is_refused),
        STORE_TEST(test_a_database_with_a_damaged_schema_is_refused),
        STORE_TEST(test_a_row_that_makes_no_sense_fails_the_loading),
        STORE_TEST(test_a_log_without_its_database_is_not_thrown_away),
        STORE_TEST(test_an_empty_file_counts_as_new),
        STORE_TEST(test_a_creation_that_was_interrupted_is_begun_anew),
        STORE_TEST(test_an_older_schema_is_brought_up_to_date),
        STORE_TEST(test_a_database_of_the_first_schema_keeps_its_rows),
        STORE_TEST(test_nobody_else_can_read_the_files),
        STORE_TEST(test_the_log_is_moved_into_the_database_as_it_grows),
        STORE_TEST(test_what_writes_have_left_is_given_back_and_writing_goes_on),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return store_bench_database() != NULL ? failed : failed + cmocka_run_group_tests(of_files, NULL, NULL);
}
