#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "common/base/memory_limit.h"

enum { MIB = 1 << 20 };

static void test_without_a_limit_none_is_reached(void **state) {
    (void)state;
    memory_limit_set(0);
    assert_false(memory_limit_is_reached());
}

static void test_what_is_used_is_about_what_was_touched(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* it touches several bytes of its own for each */
#endif
    size_t before = memory_limit_used();
    char *memory = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    memset(memory, 1, 64 * MIB);
    size_t after = memory_limit_used();
    assert_true(before > 0 && after >= before + 60 * MIB && after <= before + 80 * MIB);
    memory_limit_set(before + 32 * MIB);
    assert_true(memory_limit_is_reached());
    memory_limit_set(after + 32 * MIB);
    assert_false(memory_limit_is_reached());
    munmap(memory, 64 * MIB);
    memory_limit_set(before + 32 * MIB);
    assert_false(memory_limit_is_reached());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_limit_none_is_reached),
        cmocka_unit_test(test_what_is_used_is_about_what_was_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
