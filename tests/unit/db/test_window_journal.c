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

/* What comes of a window of the database. Whether the session has a slot. */
static bool assert_raised(struct window_journal *journal, uint64_t id, uint64_t top, uint64_t bits, uint64_t to_top,
                          uint64_t to_bits) {
    uint32_t slot = window_journal_raise(journal, id, &top, &bits);
    assert_int_equal(top, to_top);
    assert_int_equal(bits, to_bits);
    return slot != WINDOW_JOURNAL_NONE;
}

/* A slot with one note in it. */
static uint32_t noted(struct window_journal *journal, uint64_t id, uint64_t top, uint64_t bits) {
    uint32_t slot = window_journal_take(journal, id);
    assert_int_not_equal(slot, WINDOW_JOURNAL_NONE);
    window_journal_note(journal, slot, top, bits);
    return slot;
}

static void test_a_new_one_raises_nothing(void **state) {
    (void)state;
    struct window_journal *journal = open_journal();
    struct stat status;
    assert_false(assert_raised(journal, 1, 5, 1, 5, 1));
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
        uint32_t slot = noted(journal, 7, 10, 0x3);
        noted(journal, 8, 1, 0x1);
        window_journal_note(journal, slot, 12, 0xd);
        window_journal_take(journal, 9);
        kill(getpid(), SIGKILL);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
    struct window_journal *journal = open_journal();
    assert_true(assert_raised(journal, 7, 9, 0x1, 12, 0xd));
    assert_true(assert_raised(journal, 8, 0, 0, 1, 1));
    assert_true(assert_raised(journal, 9, 4, 1, 4, 1)); /* nothing was noted */
    assert_false(assert_raised(journal, 10, 4, 1, 4, 1));
    window_journal_loaded(journal);
    assert_false(assert_raised(journal, 7, 9, 0x1, 9, 0x1));
    window_journal_close(journal);
    journal = open_journal();
    assert_true(assert_raised(journal, 7, 9, 0x1, 12, 0xd)); /* it still has it */
    window_journal_close(journal);
}

static void test_windows_are_united(void **state) {
    (void)state;
    struct window_journal *journal = open_journal();
    noted(journal, 1, 100, 0x5);
    noted(journal, 2, 100, UINT64_MAX);
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

static void test_the_newest_note_counts_whatever_its_turn(void **state) {
    (void)state;
    struct window_journal *journal = open_journal();
    uint64_t top = 0, bits = 1;
    uint32_t slot = noted(journal, 1, top, bits);
    for (int i = 0; i < 50; i++) {
        bool late = i % 3 == 1; /* an older record: the newest number stays */
        bits = late ? bits | (uint64_t)1 << 40 : bits << 2 | 1;
        top += late ? 0 : 2;
        window_journal_note(journal, slot, top, bits);
        window_journal_close(journal);
        journal = open_journal();
        assert_true(assert_raised(journal, 1, 0, 0, top, bits));
    }
    window_journal_close(journal);
}

/* Sessions by the thousand, which the file grows for, and slots that are given again. */
static void test_slots_are_given_again_without_what_was_in_them(void **state) {
    (void)state;
    enum { MANY = 10000 };
    struct window_journal *journal = open_journal();
    for (uint64_t id = 1; id <= MANY; id++)
        noted(journal, id, 1000 + id, 1);
    window_journal_close(journal);
    journal = open_journal();
    for (uint64_t id = MANY; id > 0; id -= 2) /* those with odd ids have gone with the database's rows */
        assert_true(assert_raised(journal, id, 0, 0, 1000 + id, 1));
    window_journal_loaded(journal);
    struct stat before, after;
    assert_int_equal(stat(path, &before), 0);
    for (uint64_t id = 1; id < MANY; id += 2)
        assert_int_not_equal(window_journal_take(journal, MANY + id), WINDOW_JOURNAL_NONE);
    window_journal_give_back(journal, window_journal_take(journal, 5));
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    window_journal_close(journal);
    journal = open_journal();
    for (uint64_t id = 1; id < MANY; id += 2) {
        assert_false(assert_raised(journal, id, 0, 0, 0, 0));
        assert_true(assert_raised(journal, MANY + id, 0, 0, 0, 0));
        assert_true(assert_raised(journal, id + 1, 0, 0, 1001 + id, 1));
    }
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
    uint32_t slot = noted(journal, 3, 30, 1);
    window_journal_note(journal, slot, 31, 3);
    window_journal_close(journal);
    write_at(8 + 40 * slot + 8 + 16 + 8, "\xff\xff",
             2); /* the second one's bits: behind magic, id, the first, its number */
    journal = open_journal();
    assert_true(assert_raised(journal, 3, 0, 0, 30, 1));
    window_journal_close(journal);
}

static void test_a_file_that_is_no_journal_is_begun_anew(void **state) {
    (void)state;
    struct window_journal *journal = open_journal();
    noted(journal, 3, 30, 1);
    window_journal_close(journal);
    write_at(0, "x", 1);
    journal = open_journal();
    assert_false(assert_raised(journal, 3, 1, 1, 1, 1));
    window_journal_loaded(journal);
    noted(journal, 4, 40, 1);
    window_journal_close(journal);
    assert_int_equal(truncate(path, 100), 0);
    journal = open_journal();
    assert_false(assert_raised(journal, 4, 1, 1, 1, 1));
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
        JOURNAL_TEST(test_the_newest_note_counts_whatever_its_turn),
        JOURNAL_TEST(test_slots_are_given_again_without_what_was_in_them),
        JOURNAL_TEST(test_a_note_that_was_not_finished_does_not_count),
        JOURNAL_TEST(test_a_file_that_is_no_journal_is_begun_anew),
        JOURNAL_TEST(test_what_cant_be_opened_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
