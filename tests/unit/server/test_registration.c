#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/registration.h"

static void test_version_is_written_as_the_standard_writes_it(void **state) {
    (void)state;
    assert_string_equal(registration_version_text(&(struct registration){.version = LWM2M_1_0}), "1.0");
    assert_string_equal(registration_version_text(&(struct registration){.version = LWM2M_1_1}), "1.1");
    assert_string_equal(registration_version_text(&(struct registration){.version = LWM2M_1_2}), "1.2");
}

static void assert_binding(unsigned bits, const char *expected) {
    char text[16];
    struct buffer out = buffer_over(text, sizeof text);
    registration_put_binding(&out, &(struct registration){.binding = (uint8_t)bits});
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(text, expected, out.len);
}

static void test_binding_letters_come_in_the_order_of_the_standard(void **state) {
    (void)state;
    assert_binding(0, "");
    assert_binding(BINDING_U, "U");
    assert_binding(BINDING_T | BINDING_U, "UT");
    assert_binding(BINDING_N | BINDING_S | BINDING_T | BINDING_H | BINDING_M | BINDING_U, "UMHTSN");
}

/* FIPS 180-2, appendices B.1 and B.2, and the empty message. */
static void test_device_id_begins_the_sha_256_of_the_endpoint(void **state) {
    (void)state;
    assert_string_equal(device_id_of(slice_str("abc")).hex, "ba7816bf8f01cfea414140de5dae2223");
    assert_string_equal(device_id_of(slice_str("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).hex,
                        "248d6a61d20638b8e5c026930c3e6039");
    assert_string_equal(device_id_of(SLICE_NONE).hex, "e3b0c44298fc1c149afbf4c8996fb924");
}

static void test_a_registration_is_small(void **state) {
    (void)state;
    assert_true(sizeof(struct registration) <= 136);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_is_written_as_the_standard_writes_it),
        cmocka_unit_test(test_binding_letters_come_in_the_order_of_the_standard),
        cmocka_unit_test(test_device_id_begins_the_sha_256_of_the_endpoint),
        cmocka_unit_test(test_a_registration_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
