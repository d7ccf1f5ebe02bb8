#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/lock_file.h"

static char directory[64], path[96], error[256];

static int set_up(void **state) {
    (void)state;
    strcpy(directory, "/tmp/test_lock_file.XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/berth.lock", directory);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static struct lock_file take(void) {
    struct lock_file lock;
    if (!lock_file_take(&lock, path, error, sizeof error))
        fail_msg("%s", error);
    return lock;
}

static void test_a_new_lock_knows_nothing(void **state) {
    (void)state;
    struct lock_file lock = take();
    struct stat status;
    assert_false(lock.known);
    assert_false(lock.unclean);
    assert_int_equal(lock.heartbeat_ms, 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    lock_file_release(&lock, false);
}

static void test_a_taken_lock_is_refused_until_it_is_released(void **state) {
    (void)state;
    struct lock_file first = take(), second;
    assert_false(lock_file_take(&second, path, error, sizeof error));
    assert_non_null(strstr(error, "another server"));
    lock_file_release(&first, true);
    second = take();
    lock_file_release(&second, true);
}

static void test_an_end_without_release_is_unclean_and_leaves_the_heartbeat(void **state) {
    (void)state;
    struct lock_file lock = take();
    assert_true(lock_file_mark(&lock, true));
    lock_file_heartbeat(&lock, 1780000000123);
    close(lock.fd); /* as the kernel does it for a process that dies */
    lock = take();
    assert_true(lock.known);
    assert_true(lock.unclean);
    assert_int_equal(lock.heartbeat_ms, 1780000000123);
    lock_file_release(&lock, true);
    lock = take();
    assert_true(lock.known);
    assert_false(lock.unclean);
    assert_int_equal(lock.heartbeat_ms, 0);
    lock_file_release(&lock, true);
}

static void test_who_only_looked_leaves_the_state_as_it_was(void **state) {
    (void)state;
    struct lock_file lock = take();
    assert_true(lock_file_mark(&lock, false));
    lock_file_heartbeat(&lock, 5);
    close(lock.fd);
    lock = take();
    lock_file_release(&lock, false);
    lock = take();
    assert_true(lock.unclean);
    assert_int_equal(lock.heartbeat_ms, 5);
    lock_file_release(&lock, true);
}

static void test_a_file_with_something_else_in_it_is_not_believed(void **state) {
    (void)state;
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "1234567890123456789012345678", 28), 28);
    close(fd);
    struct lock_file lock = take();
    assert_false(lock.known);
    assert_false(lock.unclean);
    assert_int_equal(lock.heartbeat_ms, 0);
    lock_file_release(&lock, true);
}

static void test_a_lock_that_cannot_be_made_says_where(void **state) {
    (void)state;
    struct lock_file lock;
    assert_false(lock_file_take(&lock, "/nosuchdirectory/berth.lock", error, sizeof error));
    assert_non_null(strstr(error, "/nosuchdirectory/berth.lock"));
}

int main(void) {
#define LOCK_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LOCK_TEST(test_a_new_lock_knows_nothing),
        LOCK_TEST(test_a_taken_lock_is_refused_until_it_is_released),
        LOCK_TEST(test_an_end_without_release_is_unclean_and_leaves_the_heartbeat),
        LOCK_TEST(test_who_only_looked_leaves_the_state_as_it_was),
        LOCK_TEST(test_a_file_with_something_else_in_it_is_not_believed),
        LOCK_TEST(test_a_lock_that_cannot_be_made_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
