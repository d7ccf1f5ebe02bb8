/* The key file and its database, in a directory for each test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "server/key_file.h"
#include "server/private_file.h"

struct fixture {
    char directory[64], path[128], error[512];
    uv_loop_t loop;
    struct store *store;
};

static int set_up(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    log_configure(LOG_ERROR, false);
    strcpy(f.directory, "/tmp/test_key_file.XXXXXX");
    if (mkdtemp(f.directory) == NULL)
        return -1;
    snprintf(f.path, sizeof f.path, "%s/berth.key", f.directory);
    uv_loop_init(&f.loop);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    char command[128];
    if (f->store != NULL)
        store_close(f->store);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    snprintf(command, sizeof command, "rm -rf '%s'", f->directory);
    return uv_loop_close(&f->loop) != 0 || system(command) != 0;
}

/* ---- the file alone ---- */

static void write_file(const struct fixture *f, const void *bytes, size_t len, mode_t mode) {
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void expect_refused(struct fixture *f, const char *what) {
    uint8_t key[SEAL_KEY_BYTES];
    f->error[0] = '\0';
    assert_false(key_file_load(f->path, true, key, f->error, sizeof f->error));
    assert_non_null(strstr(f->error, what));
    assert_non_null(strstr(f->error, f->path));
    assert_null(strchr(f->error, '\n'));
}

static void test_a_missing_key_is_made_for_its_owner_alone(void **state) {
    struct fixture *f = *state;
    uint8_t made[SEAL_KEY_BYTES] = {0}, again[SEAL_KEY_BYTES], none[SEAL_KEY_BYTES] = {0};
    struct stat status;
    assert_true(key_file_load(f->path, true, made, f->error, sizeof f->error));
    assert_memory_not_equal(made, none, sizeof made);
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, SEAL_KEY_BYTES);
    assert_true(key_file_load(f->path, false, again, f->error, sizeof f->error));
    assert_memory_equal(made, again, sizeof made);
}

static void test_a_missing_key_is_not_made_where_one_belongs(void **state) {
    struct fixture *f = *state;
    uint8_t key[SEAL_KEY_BYTES];
    assert_false(key_file_load(f->path, false, key, f->error, sizeof f->error));
    assert_non_null(strstr(f->error, "missing"));
    assert_int_not_equal(access(f->path, F_OK), 0);
}

static void test_a_key_that_others_can_read_is_refused(void **state) {
    struct fixture *f = *state;
    static const mode_t modes[] = {0640, 0604, 0644, 0610, 0602};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        write_file(f, "0123456789abcdef0123456789abcdef", SEAL_KEY_BYTES, modes[i]);
        expect_refused(f, "chmod 600");
    }
}

static void test_a_key_of_another_size_is_refused(void **state) {
    struct fixture *f = *state;
    static const size_t sizes[] = {0, 16, 31, 33};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        write_file(f, "0123456789abcdef0123456789abcdef0", sizes[i], 0600);
        expect_refused(f, "32 bytes");
    }
}

static void test_a_directory_is_no_key(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0700), 0);
    expect_refused(f, "regular file");
}

static void test_a_key_in_a_missing_directory_cannot_be_made(void **state) {
    struct fixture *f = *state;
    snprintf(f->path, sizeof f->path, "%s/no/berth.key", f->directory);
    expect_refused(f, "written");
}

/* ---- the file and the database ---- */

static struct seal *unlock(struct fixture *f, const char *path) {
    f->error[0] = '\0';
    if (f->store != NULL)
        store_close(f->store);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    f->store = store_open(&f->loop, &(struct store_options){.directory = f->directory}, f->error, sizeof f->error);
    assert_non_null(f->store);
    return key_file_unlock(f->store, f->directory, path, f->error, sizeof f->error);
}

static void test_what_was_sealed_opens_after_a_restart(void **state) {
    struct fixture *f = *state;
    uint8_t memory[64], plain_memory[16];
    struct buffer sealed = buffer_over(memory, sizeof memory), plain = buffer_over(plain_memory, sizeof plain_memory);
    struct seal *seal = unlock(f, NULL);
    assert_non_null(seal);
    assert_true(seal_close(seal, slice_str("x"), slice_str("kept"), &sealed));
    seal_free(seal);
    seal = unlock(f, NULL);
    assert_non_null(seal);
    assert_true(seal_open(seal, slice_str("x"), buffer_slice(&sealed), &plain));
    assert_true(slice_is(buffer_slice(&plain), "kept"));
    seal_free(seal);
}

static void test_the_key_may_lie_elsewhere(void **state) {
    struct fixture *f = *state;
    char elsewhere[128];
    snprintf(elsewhere, sizeof elsewhere, "%s/another.key", f->directory);
    struct seal *seal = unlock(f, elsewhere);
    assert_non_null(seal);
    seal_free(seal);
    assert_int_equal(access(elsewhere, R_OK), 0);
    assert_int_not_equal(access(f->path, F_OK), 0);
}

static void test_another_key_than_the_databases_is_refused(void **state) {
    struct fixture *f = *state;
    seal_free(unlock(f, NULL));
    write_file(f, "0123456789abcdef0123456789abcdef", SEAL_KEY_BYTES, 0600);
    assert_null(unlock(f, NULL));
    assert_non_null(strstr(f->error, "--key-file"));
    assert_null(strchr(f->error, '\n'));
}

static void test_a_lost_key_is_not_made_anew(void **state) {
    struct fixture *f = *state;
    seal_free(unlock(f, NULL));
    assert_int_equal(unlink(f->path), 0);
    assert_null(unlock(f, NULL));
    assert_non_null(strstr(f->error, "missing"));
    assert_int_not_equal(access(f->path, F_OK), 0);
}

/* ---- private files ---- */

static void test_a_private_file_comes_back_whole_or_not_at_all(void **state) {
    struct fixture *f = *state;
    uint8_t bytes[8];
    size_t len;
    assert_true(private_file_write(f->path, slice_str("first"), f->error, sizeof f->error));
    assert_true(private_file_write(f->path, slice_str("12345678"), f->error, sizeof f->error));
    assert_int_equal(private_file_read(f->path, bytes, sizeof bytes, &len), 0);
    assert_true(slice_is(slice_of(bytes, len), "12345678"));
    assert_int_equal(private_file_read(f->path, bytes, 7, &len), -EFBIG);
    assert_int_equal(private_file_read(f->directory, bytes, 7, &len), -EISDIR);
    snprintf(f->path, sizeof f->path, "%s/none", f->directory);
    assert_int_equal(private_file_read(f->path, bytes, 7, &len), -ENOENT);
}

int main(void) {
#define KEY_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        KEY_TEST(test_a_missing_key_is_made_for_its_owner_alone),
        KEY_TEST(test_a_missing_key_is_not_made_where_one_belongs),
        KEY_TEST(test_a_key_that_others_can_read_is_refused),
        KEY_TEST(test_a_key_of_another_size_is_refused),
        KEY_TEST(test_a_directory_is_no_key),
        KEY_TEST(test_a_key_in_a_missing_directory_cannot_be_made),
        KEY_TEST(test_what_was_sealed_opens_after_a_restart),
        KEY_TEST(test_the_key_may_lie_elsewhere),
        KEY_TEST(test_another_key_than_the_databases_is_refused),
        KEY_TEST(test_a_lost_key_is_not_made_anew),
        KEY_TEST(test_a_private_file_comes_back_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
