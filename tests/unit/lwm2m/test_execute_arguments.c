#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/lwm2m/execute_arguments.h"

static void assert_all(const char *const *texts, size_t count, bool expected) {
    for (size_t i = 0; i < count; i++) {
        if (execute_arguments_valid(slice_str(texts[i])) != expected)
            fail_msg("\"%s\" was %s", texts[i], expected ? "refused" : "taken");
    }
}

static void test_DM_21_arguments(void **state) {
    (void)state;
    static const char *const good[] = {"5", "2='10.3'", "7,0='http://h'", "0,1,2,3,4", "0=''", "0='abc',1,7='x'"};
    assert_all(good, sizeof good / sizeof good[0], true);
}

static void test_DM_21_what_are_no_arguments(void **state) {
    (void)state;
    static const char *const bad[] = {"",   "10",      "1=a",     "1='a",   "1,1",          "=",  ",",
                                      "1,", "1='a b'", "1='a'b'", "1='\\'", "1='\xc3\xa9'", "1=", "1='",
                                      "a",  " 1",      "1 ",      "1='a'2", "1='\n'"};
    assert_all(bad, sizeof bad / sizeof bad[0], false);
}

static void test_DM_21_value_may_not_hold_NUL(void **state) {
    (void)state;
    assert_false(execute_arguments_valid(slice_of("1='\0'", 5)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_DM_21_arguments),
        cmocka_unit_test(test_DM_21_what_are_no_arguments),
        cmocka_unit_test(test_DM_21_value_may_not_hold_NUL),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
