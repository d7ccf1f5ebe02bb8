/* Lines of a key log, as Wireshark reads them, and the file they are appended to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/net/key_log.h"

static void test_a_line_is_label_random_and_secret_in_hex(void **state) {
    uint8_t random[32] = {0xab, 0x01}, secret[48] = {0xff}, bytes[KEY_LOG_LINE_MAX];
    char expected[KEY_LOG_LINE_MAX];
    struct buffer line = buffer_over(bytes, sizeof bytes);
    (void)state;
    key_log_put_line(&line, "CLIENT_RANDOM", random, slice_of(secret, sizeof secret));
    assert_false(line.overflow);
    snprintf(expected, sizeof expected, "CLIENT_RANDOM ab01%060d ff%094d", 0, 0);
    assert_string_equal((const char *)bytes, expected);
    assert_int_equal(line.len, strlen(expected) + 1);
}

static void test_the_longest_line_fits(void **state) {
    uint8_t random[32] = {0}, secret[64] = {0}, bytes[KEY_LOG_LINE_MAX];
    struct buffer line = buffer_over(bytes, sizeof bytes);
    (void)state;
    key_log_put_line(&line, "CLIENT_HANDSHAKE_TRAFFIC_SECRET_40_BYTES", random, slice_of(secret, sizeof secret));
    assert_false(line.overflow);
}

static void test_lines_are_appended_to_a_file_for_its_owner_alone(void **state) {
    char directory[] = "/tmp/berth-key-log.XXXXXX", path[sizeof directory + 8], content[64] = "";
    struct stat what;
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/keys", directory);
    for (int i = 0; i < 2; i++) {
        int fd = key_log_open(path);
        assert_true(fd >= 0);
        assert_int_equal(key_log_write(fd, i == 0 ? "one line" : "another"), 0);
        close(fd);
    }
    assert_int_equal(stat(path, &what), 0);
    assert_int_equal(what.st_mode & 07777, 0600);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(content, 1, sizeof content - 1, file), 17);
    assert_string_equal(content, "one line\nanother\n");
    fclose(file);
    unlink(path);
    rmdir(directory);
}

static void test_what_fails_is_said(void **state) {
    char longer[KEY_LOG_LINE_MAX + 1];
    int ends[2];
    (void)state;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(key_log_open("/nowhere/at/all"), -ENOENT);
    assert_int_equal(key_log_write(-1, "line"), -EBADF);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(key_log_write(ends[1], longer), -EIO); /* nothing of it: a reader takes whole lines only */
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_is_label_random_and_secret_in_hex),
        cmocka_unit_test(test_the_longest_line_fits),
        cmocka_unit_test(test_lines_are_appended_to_a_file_for_its_owner_alone),
        cmocka_unit_test(test_what_fails_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
