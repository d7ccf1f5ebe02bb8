#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"

/* What one log_write sends to stderr. */
static char line[8192];

static int open_capture(int *saved) {
    FILE *file = tmpfile();
    assert_non_null(file);
    int fd = dup(fileno(file));
    fclose(file);
    fflush(stderr);
    *saved = dup(STDERR_FILENO);
    assert_true(fd >= 0 && *saved >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
    return fd;
}

static const char *close_capture(int fd, int saved) {
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t len = pread(fd, line, sizeof line - 1, 0);
    close(fd);
    assert_true(len >= 0);
    line[len] = '\0';
    return line;
}

static const char *logged(enum log_level level, const char *text) {
    int saved, fd = open_capture(&saved);
    log_write(level, "coap", "%s", text);
    return close_capture(fd, saved);
}

static void assert_ends(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);
    if (len < end_len || strcmp(text + len - end_len, end) != 0)
        fail_msg("“%s” should end in “%s”", text, end);
}

/* 2026-11-21T08:00:00.123Z */
static void assert_is_time(const char *text) {
    static const char shape[] = "0000-00-00T00:00:00.000Z";
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        if (shape[i] == '0')
            assert_in_range(text[i], '0', '9');
        else
            assert_int_equal(text[i], shape[i]);
    }
}

static void test_a_line_has_time_level_room_and_text(void **state) {
    (void)state;
    log_configure(LOG_INFO, false);
    assert_is_time(logged(LOG_WARN, "something"));
    assert_int_equal(strlen(line), 24 + strlen(" warn coap: something\n"));
    assert_ends(line, " warn coap: something\n");
}

static void test_a_json_line_is_one_object(void **state) {
    (void)state;
    log_configure(LOG_INFO, true);
    logged(LOG_ERROR, "say \"hi\" \\ there");
    assert_memory_equal(line, "{\"time\":\"", 9);
    assert_is_time(line + 9);
    assert_ends(line, "\",\"level\":\"error\",\"room\":\"coap\",\"text\":\"say \\\"hi\\\" \\\\ there\"}\n");
}

static void test_only_what_is_urgent_enough_is_written(void **state) {
    (void)state;
    log_configure(LOG_WARN, false);
    assert_string_equal(logged(LOG_INFO, "x"), "");
    assert_ends(logged(LOG_WARN, "x"), "warn coap: x\n");
    assert_ends(logged(LOG_ERROR, "x"), "error coap: x\n");
    assert_false(log_enabled(LOG_INFO));
    log_configure(LOG_DEBUG, false);
    assert_true(log_enabled(LOG_DEBUG));
    assert_ends(logged(LOG_DEBUG, "x"), "debug coap: x\n");
}

static void test_control_characters_are_escaped(void **state) {
    (void)state;
    for (int json = 0; json < 2; json++) {
        log_configure(LOG_INFO, json != 0);
        assert_non_null(strstr(logged(LOG_INFO, "a\nb\x1b[31m\x7f"), "a\\u000ab\\u001b[31m\\u007f"));
        assert_non_null(strstr(logged(LOG_INFO, "\xc2\x9b"
                                                "31m"),
                               "\\u009b31m")); /* CSI, as one C1 character */
    }
}

static void test_text_that_is_no_utf8_does_not_spoil_the_line(void **state) {
    (void)state;
    log_configure(LOG_INFO, true);
    assert_non_null(strstr(logged(LOG_INFO, "é€😀"), "\"é€😀\""));
    assert_non_null(strstr(logged(LOG_INFO, "a\xff"
                                            "b\xe2\x82"),
                           "\"a\xef\xbf\xbd"
                           "b\xef\xbf\xbd\xef\xbf\xbd\""));
}

static void test_a_long_text_is_cut_and_the_line_still_ends(void **state) {
    (void)state;
    static char text[5000];
    for (int json = 0; json < 2; json++) {
        log_configure(LOG_INFO, json != 0);
        memset(text, 'x', sizeof text - 1);
        assert_ends(logged(LOG_INFO, text), json ? "xxx\"}\n" : "xxx\n");
        memset(text, '\1', sizeof text - 1);
        assert_ends(logged(LOG_INFO, text), json ? "\\u0001\"}\n" : "\\u0001\n");
    }
}

static void test_levels_have_names(void **state) {
    (void)state;
    static const char *const names[] = {"error", "warn", "info", "debug"};
    enum log_level level;
    for (int i = 0; i < 4; i++) {
        assert_true(log_level_parse(names[i], &level));
        assert_int_equal(level, i);
    }
    assert_false(log_level_parse("warning", &level));
    assert_false(log_level_parse("", &level));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_has_time_level_room_and_text),
        cmocka_unit_test(test_a_json_line_is_one_object),
        cmocka_unit_test(test_only_what_is_urgent_enough_is_written),
        cmocka_unit_test(test_control_characters_are_escaped),
        cmocka_unit_test(test_text_that_is_no_utf8_does_not_spoil_the_line),
        cmocka_unit_test(test_a_long_text_is_cut_and_the_line_still_ends),
        cmocka_unit_test(test_levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
