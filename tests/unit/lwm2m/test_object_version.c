#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/lwm2m/object_version.h"

static void assert_versions(uint16_t object_id, const char *with_1_0, const char *with_1_1, const char *with_1_2) {
    assert_string_equal(lwm2m_object_version(10, object_id), with_1_0);
    assert_string_equal(lwm2m_object_version(11, object_id), with_1_1);
    assert_string_equal(lwm2m_object_version(12, object_id), with_1_2);
}

static void test_LNK_05_core_objects_have_the_version_of_the_release(void **state) {
    (void)state;
    assert_versions(0, "1.0", "1.1", "1.2");
    assert_versions(1, "1.0", "1.1", "1.2");
    assert_versions(2, "1.0", "1.0", "1.1");
    assert_versions(3, "1.0", "1.1", "1.2");
    assert_versions(4, "1.0", "1.2", "1.3");
    assert_versions(5, "1.0", "1.0", "1.1");
    assert_versions(6, "1.0", "1.0", "1.0");
    assert_versions(7, "1.0", "1.0", "1.0");
    assert_versions(21, "1.0", "1.0", "2.0");
}

static void test_LNK_05_other_objects_are_1_0(void **state) {
    (void)state;
    assert_versions(9, "1.0", "1.0", "1.0");
    assert_versions(3303, "1.0", "1.0", "1.0");
    assert_versions(65534, "1.0", "1.0", "1.0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_LNK_05_core_objects_have_the_version_of_the_release),
        cmocka_unit_test(test_LNK_05_other_objects_are_1_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
