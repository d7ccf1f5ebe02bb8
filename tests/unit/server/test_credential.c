/* Credentials over a real store, in a directory for each test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/credential.h"

struct fixture {
    char directory[64], error[512], gone[400];
    uv_loop_t loop;
    uv_timer_t alive; /* the store's own handles do not keep the loop alive */
    struct store *store;
    struct seal *seal;
    struct credentials *all;
    size_t done;
    enum store_result result;
};

static void on_timer(uv_timer_t *timer) {
    (void)timer;
}

static void on_gone(void *arg, const struct credential *c, bool removed) {
    struct fixture *f = arg;
    size_t len = strlen(f->gone);
    snprintf(f->gone + len, sizeof f->gone - len, "%s%.*s:%.*s:%u ", removed ? "-" : "~", (int)c->endpoint.len,
             (const char *)c->endpoint.data, (int)c->identity.len, (const char *)c->identity.data, c->services);
}

static void open_all(struct fixture *f) {
    static const uint8_t key[SEAL_KEY_BYTES] = "0123456789abcdef0123456789abcdef";
    f->store = store_open(&f->loop, &(struct store_options){.directory = f->directory}, f->error, sizeof f->error);
    f->seal = seal_new(key);
    assert_non_null(f->store);
    f->all = credentials_new(f->store, f->seal, on_gone, f);
    if (!credentials_load(f->all, f->error, sizeof f->error))
        fail_msg("%s", f->error);
}

static void close_all(struct fixture *f) {
    store_close(f->store);
    credentials_free(f->all);
    seal_free(f->seal);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

static int set_up(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    strcpy(f.directory, "/tmp/test_credential.XXXXXX");
    if (mkdtemp(f.directory) == NULL)
        return -1;
    uv_loop_init(&f.loop);
    uv_timer_init(&f.loop, &f.alive);
    uv_timer_start(&f.alive, on_timer, 1000000, 1000000);
    open_all(&f);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    char command[128];
    close_all(f);
    uv_close((uv_handle_t *)&f->alive, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    snprintf(command, sizeof command, "rm -rf '%s'", f->directory);
    return uv_loop_close(&f->loop) != 0 || system(command) != 0;
}

static void on_done(void *arg, enum store_result result) {
    struct fixture *f = arg;
    f->done++;
    f->result = result;
}

static struct credential psk(const char *endpoint, const char *identity, const char *key, unsigned services) {
    return (struct credential){.endpoint = slice_str(endpoint),
                               .mode = CREDENTIAL_PSK,
                               .services = services,
                               .identity = slice_str(identity),
                               .key = slice_str(key)};
}

static enum credential_result begin_put(struct fixture *f, struct credential credential) {
    return credentials_put(f->all, &credential, on_done, f);
}

static void turn(struct fixture *f, size_t done) {
    while (f->done < done)
        uv_run(&f->loop, UV_RUN_ONCE);
}

/* True when it was created, false when it replaced something. */
static bool put(struct fixture *f, struct credential credential) {
    bool created = credentials_would_create(f->all, &credential);
    assert_int_equal(begin_put(f, credential), CREDENTIAL_ACCEPTED);
    turn(f, f->done + 1);
    assert_int_equal(f->result, STORE_OK);
    return created;
}

static void take_away(struct fixture *f, const char *endpoint, enum credential_mode mode, unsigned services) {
    assert_int_equal(credentials_delete(f->all, slice_str(endpoint), mode, services, on_done, f), CREDENTIAL_ACCEPTED);
    turn(f, f->done + 1);
}

/* The key that an identity has for services; "" when none. */
static const char *key_of(struct fixture *f, const char *identity, unsigned services) {
    static char text[80];
    const struct credential *c = credentials_find_psk(f->all, slice_str(identity), services);
    snprintf(text, sizeof text, "%.*s", c == NULL ? 0 : (int)c->key.len, c == NULL ? "" : (const char *)c->key.data);
    return text;
}

static void restart(struct fixture *f) {
    close_all(f);
    open_all(f);
}

static void test_SEC_04_any_identity_of_128_bytes_and_key_of_64_is_found_and_survives(void **state) {
    struct fixture *f = *state;
    static uint8_t identity[CREDENTIAL_IDENTITY_MAX], key[CREDENTIAL_KEY_MAX];
    for (size_t i = 0; i < sizeof identity; i++)
        identity[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(255 - i);
    struct credential c = psk("dev1", "", "", CREDENTIAL_EVERY_SERVICE);
    c.identity = slice_of(identity, sizeof identity);
    c.key = slice_of(key, sizeof key);
    assert_true(put(f, c));
    for (int i = 0; i < 2; i++) {
        const struct credential *found = credentials_find_psk(f->all, c.identity, CREDENTIAL_BOOTSTRAP);
        assert_non_null(found);
        assert_true(slice_equal(found->key, c.key));
        assert_true(slice_is(found->endpoint, "dev1"));
        assert_null(credentials_find_psk(f->all, slice_of(identity, sizeof identity - 1), CREDENTIAL_BOOTSTRAP));
        restart(f);
    }
}

static void test_every_mode_survives(void **state) {
    struct fixture *f = *state;
    const struct credential x509 = {.endpoint = slice_str("dev1"),
                                    .mode = CREDENTIAL_X509,
                                    .services = CREDENTIAL_MANAGEMENT,
                                    .identity = slice_str("factory-1"),
                                    .has_fingerprint = true,
                                    .fingerprint = "0123456789abcdef0123456789abcde"};
    const struct credential oscore = {.endpoint = slice_str("dev1"),
                                      .mode = CREDENTIAL_OSCORE,
                                      .services = CREDENTIAL_BOOTSTRAP,
                                      .identity = slice_str("\x01"),
                                      .sender_id = slice_str("\x02\x03"),
                                      .key = slice_str("secret"),
                                      .salt = slice_str("salt"),
                                      .id_context = slice_str("context"),
                                      .aead = 10};
    const struct credential none = {
        .endpoint = slice_str("dev1"), .mode = CREDENTIAL_NONE, .services = CREDENTIAL_EVERY_SERVICE};
    put(f, x509);
    put(f, oscore);
    put(f, none);
    restart(f);
    size_t count = 0;
    for (const struct credential *c = NULL; (c = credentials_of(f->all, slice_str("dev1"), c)) != NULL; count++) {
        const struct credential *was = c->mode == CREDENTIAL_X509   ? &x509
                                       : c->mode == CREDENTIAL_NONE ? &none
                                                                    : &oscore;
        assert_int_equal(c->mode, was->mode);
        assert_int_equal(c->services, was->services);
        assert_true(slice_equal(c->identity, was->identity) && slice_equal(c->key, was->key));
        assert_true(slice_equal(c->sender_id, was->sender_id) && slice_equal(c->salt, was->salt));
        assert_true(slice_equal(c->id_context, was->id_context));
        assert_int_equal(c->aead, was->aead);
        assert_int_equal(c->has_fingerprint, was->has_fingerprint);
        assert_memory_equal(c->fingerprint, was->fingerprint, sizeof c->fingerprint);
    }
    assert_int_equal(count, 3);
    assert_non_null(credentials_find_fingerprint(f->all, x509.fingerprint, CREDENTIAL_EVERY_SERVICE));
    assert_null(credentials_find_fingerprint(f->all, x509.fingerprint, CREDENTIAL_BOOTSTRAP));
    assert_null(credentials_find_subject(f->all, slice_str("factory-1"), CREDENTIAL_EVERY_SERVICE));
}

static void test_a_certificate_is_found_by_its_name_where_no_fingerprint_is_asked_for(void **state) {
    struct fixture *f = *state;
    put(f, (struct credential){.endpoint = slice_str("dev1"),
                               .mode = CREDENTIAL_X509,
                               .services = CREDENTIAL_MANAGEMENT,
                               .identity = slice_str("factory-1")});
    const struct credential *c = credentials_find_subject(f->all, slice_str("factory-1"), CREDENTIAL_MANAGEMENT);
    assert_non_null(c);
    assert_true(slice_is(c->endpoint, "dev1"));
    assert_null(credentials_find_psk(f->all, slice_str("factory-1"), CREDENTIAL_MANAGEMENT));
}

static void test_a_change_is_in_force_only_when_it_is_committed(void **state) {
    struct fixture *f = *state;
    put(f, psk("dev1", "id1", "old", CREDENTIAL_EVERY_SERVICE));
    assert_int_equal(begin_put(f, psk("dev1", "id1", "new", CREDENTIAL_EVERY_SERVICE)), CREDENTIAL_ACCEPTED);
    assert_string_equal(key_of(f, "id1", CREDENTIAL_EVERY_SERVICE), "old");
    uint32_t generation = credentials_generation(f->all);
    turn(f, 2);
    assert_string_equal(key_of(f, "id1", CREDENTIAL_EVERY_SERVICE), "new");
    assert_int_not_equal(credentials_generation(f->all), generation);
    assert_int_equal(credentials_count(f->all), 1);
}

static void test_replacing_frees_the_old_identity(void **state) {
    struct fixture *f = *state;
    put(f, psk("dev1", "id1", "key", CREDENTIAL_EVERY_SERVICE));
    assert_false(put(f, psk("dev1", "id2", "key", CREDENTIAL_EVERY_SERVICE)));
    assert_string_equal(f->gone, "~dev1:id1:0 ");
    assert_string_equal(key_of(f, "id1", CREDENTIAL_EVERY_SERVICE), "");
    assert_true(put(f, psk("dev2", "id1", "key2", CREDENTIAL_EVERY_SERVICE)));
    assert_string_equal(key_of(f, "id1", CREDENTIAL_EVERY_SERVICE), "key2");
}

static void test_an_identity_of_another_endpoint_is_refused(void **state) {
    struct fixture *f = *state;
    put(f, psk("dev1", "id1", "key", CREDENTIAL_MANAGEMENT));
    assert_int_equal(begin_put(f, psk("dev2", "id1", "other", CREDENTIAL_BOOTSTRAP)), CREDENTIAL_CONFLICT);
    struct credential one = {.endpoint = slice_str("dev1"),
                             .mode = CREDENTIAL_OSCORE,
                             .services = CREDENTIAL_MANAGEMENT,
                             .identity = slice_str("\x01"),
                             .key = slice_str("s")};
    put(f, one);
    one.endpoint = slice_str("dev2");
    assert_int_equal(begin_put(f, one), CREDENTIAL_CONFLICT);
    assert_string_equal(key_of(f, "id1", CREDENTIAL_EVERY_SERVICE), "key");
}

static void test_an_identity_that_waits_for_its_commit_is_taken(void **state) {
    struct fixture *f = *state;
    assert_int_equal(begin_put(f, psk("dev1", "id1", "key", CREDENTIAL_MANAGEMENT)), CREDENTIAL_ACCEPTED);
    assert_int_equal(begin_put(f, psk("dev2", "id1", "key", CREDENTIAL_MANAGEMENT)), CREDENTIAL_CONFLICT);
    assert_int_equal(begin_put(f, psk("dev1", "id2", "key", CREDENTIAL_MANAGEMENT)), CREDENTIAL_BUSY);
    assert_int_equal(credentials_delete(f->all, slice_str("dev1"), CREDENTIAL_PSK, 3, on_done, f), CREDENTIAL_BUSY);
    turn(f, 1);
    assert_true(put(f, psk("dev2", "id2", "key", CREDENTIAL_MANAGEMENT)));
}

static void test_each_service_may_have_its_own(void **state) {
    struct fixture *f = *state;
    assert_true(put(f, psk("dev1", "id1", "manage", CREDENTIAL_MANAGEMENT)));
    assert_true(put(f, psk("dev1", "id1", "boot", CREDENTIAL_BOOTSTRAP)));
    for (int i = 0; i < 2; i++) {
        assert_string_equal(key_of(f, "id1", CREDENTIAL_MANAGEMENT), "manage");
        assert_string_equal(key_of(f, "id1", CREDENTIAL_BOOTSTRAP), "boot");
        assert_string_equal(key_of(f, "id1", CREDENTIAL_EVERY_SERVICE), "manage");
        restart(f);
    }
}

static void test_one_for_both_services_takes_the_place_of_two(void **state) {
    struct fixture *f = *state;
    put(f, psk("dev1", "id1", "manage", CREDENTIAL_MANAGEMENT));
    put(f, psk("dev1", "id2", "boot", CREDENTIAL_BOOTSTRAP));
    assert_false(put(f, psk("dev1", "id3", "both", CREDENTIAL_EVERY_SERVICE)));
    restart(f);
    assert_int_equal(credentials_count(f->all), 1);
    assert_string_equal(key_of(f, "id3", CREDENTIAL_BOOTSTRAP), "both");
}

static void test_one_for_a_service_leaves_the_other_as_it_was(void **state) {
    struct fixture *f = *state;
    put(f, psk("dev1", "id1", "both", CREDENTIAL_EVERY_SERVICE));
    assert_false(put(f, psk("dev1", "id2", "boot", CREDENTIAL_BOOTSTRAP)));
    assert_string_equal(f->gone, "~dev1:id1:1 ");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(key_of(f, "id1", CREDENTIAL_MANAGEMENT), "both");
        assert_string_equal(key_of(f, "id1", CREDENTIAL_BOOTSTRAP), "");
        assert_string_equal(key_of(f, "id2", CREDENTIAL_BOOTSTRAP), "boot");
        restart(f);
    }
}

static void test_deleting_takes_what_it_names(void **state) {
    struct fixture *f = *state;
    put(f, psk("dev1", "id1", "both", CREDENTIAL_EVERY_SERVICE));
    put(f, (struct credential){
               .endpoint = slice_str("dev1"), .mode = CREDENTIAL_NONE, .services = CREDENTIAL_EVERY_SERVICE});
    put(f, psk("dev2", "id2", "key", CREDENTIAL_MANAGEMENT));
    take_away(f, "dev1", CREDENTIAL_PSK, CREDENTIAL_MANAGEMENT);
    assert_string_equal(f->gone, "-dev1:id1:2 ");
    assert_string_equal(key_of(f, "id1", CREDENTIAL_MANAGEMENT), "");
    assert_string_equal(key_of(f, "id1", CREDENTIAL_BOOTSTRAP), "both");
    assert_int_equal(credentials_delete(f->all, slice_str("dev1"), CREDENTIAL_PSK, CREDENTIAL_MANAGEMENT, on_done, f),
                     CREDENTIAL_MISSING);
    take_away(f, "dev1", CREDENTIAL_MODE_COUNT, CREDENTIAL_EVERY_SERVICE);
    assert_null(credentials_of(f->all, slice_str("dev1"), NULL));
    restart(f);
    assert_null(credentials_of(f->all, slice_str("dev1"), NULL));
    assert_string_equal(key_of(f, "id2", CREDENTIAL_MANAGEMENT), "key");
}

static void test_a_listing_shows_each_once(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "dev%d", i);
        put(f, psk(name, name, "key", CREDENTIAL_MANAGEMENT));
    }
    take_away(f, "dev7", CREDENTIAL_MODE_COUNT, CREDENTIAL_EVERY_SERVICE);
    size_t count = 0;
    uint32_t slot = 0;
    while (credentials_next(f->all, &slot) != NULL)
        count++;
    assert_int_equal(count, 199);
    put(f, psk("again", "again", "key", CREDENTIAL_MANAGEMENT));
    restart(f);
    assert_int_equal(credentials_count(f->all), 200);
}

static void test_a_given_one_is_not_stored(void **state) {
    struct fixture *f = *state;
    struct credential given = psk("dev1", "id1", "given", CREDENTIAL_EVERY_SERVICE);
    put(f, psk("dev1", "id1", "stored", CREDENTIAL_EVERY_SERVICE));
    assert_true(credentials_give(f->all, &given));
    assert_string_equal(key_of(f, "id1", CREDENTIAL_MANAGEMENT), "given");
    given.endpoint = slice_str("dev2");
    assert_false(credentials_give(f->all, &given));
    restart(f);
    assert_string_equal(key_of(f, "id1", CREDENTIAL_MANAGEMENT), "stored");
}

static void test_a_row_of_another_endpoint_does_not_open(void **state) {
    struct fixture *f = *state;
    char path[128];
    put(f, psk("dev1", "id1", "key", CREDENTIAL_MANAGEMENT));
    close_all(f);
    sqlite3 *connection;
    snprintf(path, sizeof path, "%s/berth.db", f->directory);
    assert_int_equal(sqlite3_open(path, &connection), SQLITE_OK);
    assert_int_equal(sqlite3_exec(connection, "UPDATE credential SET endpoint = 'dev2'", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(connection);
    static const uint8_t key[SEAL_KEY_BYTES] = "0123456789abcdef0123456789abcdef";
    f->store = store_open(&f->loop, &(struct store_options){.directory = f->directory}, f->error, sizeof f->error);
    f->seal = seal_new(key);
    f->all = credentials_new(f->store, f->seal, on_gone, f);
    assert_false(credentials_load(f->all, f->error, sizeof f->error));
    assert_non_null(strstr(f->error, "1 stored credentials"));
}

static void test_no_key_lies_open_in_the_database(void **state) {
    struct fixture *f = *state;
    char command[200];
    put(f, psk("dev1", "findmyidentity", "findmykeybytes", CREDENTIAL_MANAGEMENT));
    snprintf(command, sizeof command, "cat %s/berth.db* | grep -aq findmy", f->directory);
    assert_int_not_equal(system(command), 0);
    snprintf(command, sizeof command, "cat %s/berth.db* | grep -aq dev1", f->directory);
    assert_int_equal(system(command), 0);
}

int main(void) {
#define CREDENTIAL_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CREDENTIAL_TEST(test_SEC_04_any_identity_of_128_bytes_and_key_of_64_is_found_and_survives),
        CREDENTIAL_TEST(test_every_mode_survives),
        CREDENTIAL_TEST(test_a_certificate_is_found_by_its_name_where_no_fingerprint_is_asked_for),
        CREDENTIAL_TEST(test_a_change_is_in_force_only_when_it_is_committed),
        CREDENTIAL_TEST(test_replacing_frees_the_old_identity),
        CREDENTIAL_TEST(test_an_identity_of_another_endpoint_is_refused),
        CREDENTIAL_TEST(test_an_identity_that_waits_for_its_commit_is_taken),
        CREDENTIAL_TEST(test_each_service_may_have_its_own),
        CREDENTIAL_TEST(test_one_for_both_services_takes_the_place_of_two),
        CREDENTIAL_TEST(test_one_for_a_service_leaves_the_other_as_it_was),
        CREDENTIAL_TEST(test_deleting_takes_what_it_names),
        CREDENTIAL_TEST(test_a_listing_shows_each_once),
        CREDENTIAL_TEST(test_a_given_one_is_not_stored),
        CREDENTIAL_TEST(test_a_row_of_another_endpoint_does_not_open),
        CREDENTIAL_TEST(test_no_key_lies_open_in_the_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
