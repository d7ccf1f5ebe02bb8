#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/lwm2m/path.h"

static bool parses(const char *text, struct lwm2m_path *path) {
    bool trailing;
    return lwm2m_path_parse(slice_str(text), path, &trailing);
}

static void assert_path(const char *text, size_t len, uint16_t a, uint16_t b, uint16_t c, uint16_t d) {
    struct lwm2m_path path, expected = {.ids = {a, b, c, d}, .len = (uint8_t)len};
    if (!parses(text, &path))
        fail_msg("\"%s\" was refused", text);
    assert_true(lwm2m_path_equal(&path, &expected));
}

static void test_paths_of_every_length(void **state) {
    (void)state;
    assert_path("/3", 1, 3, 0, 0, 0);
    assert_path("/3/0", 2, 3, 0, 0, 0);
    assert_path("/3/0/9", 3, 3, 0, 9, 0);
    assert_path("/3/0/11/1", 4, 3, 0, 11, 1);
    assert_path("3/0/9", 3, 3, 0, 9, 0);
}

static void test_root(void **state) {
    (void)state;
    assert_path("", 0, 0, 0, 0, 0);
    assert_path("/", 0, 0, 0, 0, 0);
}

static void test_LNK_08_trailing_slash_is_let_pass_and_told(void **state) {
    (void)state;
    struct lwm2m_path path;
    bool trailing;
    assert_true(lwm2m_path_parse(slice_str("/1/0/"), &path, &trailing));
    assert_int_equal(path.len, 2);
    assert_true(trailing);
    assert_true(lwm2m_path_parse(slice_str("/1/0"), &path, &trailing));
    assert_false(trailing);
}

static void test_LNK_13_ids_are_0_to_65534(void **state) {
    (void)state;
    struct lwm2m_path path;
    assert_path("/65534/0", 2, 65534, 0, 0, 0);
    assert_false(parses("/65535", &path));
    assert_false(parses("/70000", &path));
    assert_false(parses("/4294967299", &path));
}

static void test_LNK_13_at_most_four_ids(void **state) {
    (void)state;
    struct lwm2m_path path;
    assert_path("/1/0/3/4", 4, 1, 0, 3, 4);
    assert_false(parses("/1/0/3/4/5", &path));
}

static void test_what_is_no_path(void **state) {
    (void)state;
    static const char *const faults[] = {"/abc/0", "/3//9", "//3",   "/03", "/3/00",
                                         "/+3",    "/-1",   "/3/0 ", " /3", "/3.0"};
    struct lwm2m_path path;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        if (parses(faults[i], &path))
            fail_msg("\"%s\" was taken", faults[i]);
    }
}

static void assert_put(const char *text) {
    struct lwm2m_path path;
    uint8_t bytes[24];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(parses(text, &path));
    lwm2m_path_put(&out, &path);
    assert_true(slice_is(buffer_slice(&out), text));
}

static void test_put_is_the_inverse_of_parse(void **state) {
    (void)state;
    assert_put("/");
    assert_put("/3");
    assert_put("/3/0/9");
    assert_put("/65534/65534/65534/65534");
}

static bool contains(const char *base, const char *text) {
    struct lwm2m_path a, b;
    assert_true(parses(base, &a) && parses(text, &b));
    return lwm2m_path_contains(&a, &b);
}

static void test_contains(void **state) {
    (void)state;
    assert_true(contains("/", "/3"));
    assert_true(contains("/3", "/3/0/9"));
    assert_true(contains("/3/0", "/3/0"));
    assert_false(contains("/3/0/9", "/3/0"));
    assert_false(contains("/3/1", "/3/0/9"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_of_every_length),
        cmocka_unit_test(test_root),
        cmocka_unit_test(test_LNK_08_trailing_slash_is_let_pass_and_told),
        cmocka_unit_test(test_LNK_13_ids_are_0_to_65534),
        cmocka_unit_test(test_LNK_13_at_most_four_ids),
        cmocka_unit_test(test_what_is_no_path),
        cmocka_unit_test(test_put_is_the_inverse_of_parse),
        cmocka_unit_test(test_contains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
