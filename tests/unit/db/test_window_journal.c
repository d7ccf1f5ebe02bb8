#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db/window_journal.h"

static char directory[64], path[96], error[256];

static int set_up(void **state) {
    (void)state;
    strcpy(directory, "/tmp/test_window_journal.XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/berth.windows", directory);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static struct window_journal *open_journal(void) {
    struct window_journal *journal = window_journal_open(path, error, sizeof error);
    if (journal == NULL)
        fail_msg("%s", error);
    return journal;
}

static void assert_raised(struct window_journal *journal, uint64_t id, uint64_t top, uint64_t bits, uint64_t to_top,
                          uint64_t to_bits) {
    bool changes = top != to_top || bits != to_bits;
    assert_int_equal(window_journal_raise(journal, id, &top, &bits), changes);
    assert_int_equal(top, to_top);
    assert_int_equal(bits, to_bits);
}

static void test_a_new_one_raises_nothing(void **state) {
    (void)state;
    struct window_journal *journal = open_journal();
    struct stat status;
    assert_raised(journal, 1, 5, 1, 5, 1);
    assert_raised(journal, 0, 0, 0, 0, 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_blocks * 512 >= status.st_size, 1); /* its pages can always be written */
    window_journal_close(journal);
}

static void test_CID_15_what_a_process_noted_outlives_sigkill(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct window_journal *journal = window_journal_open(path, error, sizeof error);
        window_journal_note(journal, 7, 10, 0x3);
        window_journal_note(journal, 8, 1, 0x1);
        window_journal_note(journal, 7, 12, 0xd);
        kill(getpid(), SIGKILL);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
    struct window_journal *journal = open_journal();
    assert_raised(journal, 7, 9, 0x1, 12, 0xd);
    assert_raised(journal, 8, 0, 0, 1, 1);
    assert_raised(journal, 9, 4, 1, 4, 1);
    window_journal_loaded(journal);
    assert_raised(journal, 7, 9, 0x1, 9, 0x1);
    window_journal_close(journal);
}

static void test_windows_are_united(void **state) {
    (void)state;
    struct window_journal *journal = open_journal();
    window_journal_note(journal, 1, 100, 0x5);
    window_journal_note(journal, 2, 100, UINT64_MAX);
    window_journal_close(journal);
    journal = open_journal();
    assert_raised(journal, 1, 100, 0x2, 100, 0x7);
    assert_raised(journal, 1, 98, 0x3, 100, 0xd);
    assert_raised(journal, 1, 101, 0x1, 101, 0xb); /* the database is ahead */
    assert_raised(journal, 1, 163, 0x1, 163, 0x1 | (uint64_t)1 << 63);
    assert_raised(journal, 1, 164, 0x1, 164, 0x1); /* and what was noted is older than the window */
    assert_raised(journal, 2, 37, UINT64_MAX, 100, UINT64_MAX);
    assert_raised(journal, 1, 1, UINT64_MAX, 100, 0x5);
    window_journal_close(journal);
}

static void test_a_ring_goes_round_and_goes_on_behind_the_last_note(void **state) {
    (void)state;
    struct window_journal *journal = open_journal();
    for (uint64_t i = 1; i <= WINDOW_JOURNAL_NOTES + 10; i++)
        window_journal_note(journal, i, i, 1);
    window_journal_close(journal);
    journal = open_journal();
    assert_raised(journal, 10, 0, 0, 0, 0); /* overwritten */
    assert_raised(journal, 11, 0, 0, 11, 1);
    assert_raised(journal, WINDOW_JOURNAL_NOTES + 10, 0, 0, WINDOW_JOURNAL_NOTES + 10, 1);
    window_journal_note(journal, 5, 5, 1);
    window_journal_close(journal);
    journal = open_journal();
    assert_raised(journal, 11, 0, 0, 0, 0);
    assert_raised(journal, 12, 0, 0, 12, 1);
    assert_raised(journal, 5, 0, 0, 5, 1);
    window_journal_close(journal);
}

static void write_at(long at, const char *bytes, size_t len) {
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
    close(fd);
}

static void test_a_note_that_was_not_finished_does_not_count(void **state) {
    (void)state;
    struct window_journal *journal = open_journal();
    window_journal_note(journal, 3, 30, 1);
    window_journal_note(journal, 3, 31, 3);
    window_journal_close(journal);
    write_at(16 + 32 + 8, "\xff\xff", 2); /* in the second one's number */
    journal = open_journal();
    assert_raised(journal, 3, 0, 0, 30, 1);
    window_journal_close(journal);
}

static void test_a_file_that_is_no_journal_is_begun_anew(void **state) {
    (void)state;
    struct window_journal *journal = open_journal();
    window_journal_note(journal, 3, 30, 1);
    window_journal_close(journal);
    write_at(0, "x", 1);
    journal = open_journal();
    assert_raised(journal, 3, 1, 1, 1, 1);
    window_journal_note(journal, 4, 40, 1);
    window_journal_close(journal);
    assert_int_equal(truncate(path, 100), 0);
    journal = open_journal();
    assert_raised(journal, 4, 1, 1, 1, 1);
    window_journal_close(journal);
}

static void test_what_cant_be_opened_is_said(void **state) {
    (void)state;
    assert_null(window_journal_open("/nonexistent/berth.windows", error, sizeof error));
    assert_string_equal(error, "/nonexistent/berth.windows: No such file or directory");
}

int main(void) {
#define JOURNAL_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(test_a_new_one_raises_nothing),
        JOURNAL_TEST(test_CID_15_what_a_process_noted_outlives_sigkill),
        JOURNAL_TEST(test_windows_are_united),
        JOURNAL_TEST(test_a_ring_goes_round_and_goes_on_behind_the_last_note),
        JOURNAL_TEST(test_a_note_that_was_not_finished_does_not_count),
        JOURNAL_TEST(test_a_file_that_is_no_journal_is_begun_anew),
        JOURNAL_TEST(test_what_cant_be_opened_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
