#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hash.h"

/* The vectors of the reference implementation: key 00 01 … 0f, message 00 01 … of so many bytes. The one of 15 bytes
 * is also in the paper, appendix A. */
static void test_siphash_2_4_gives_the_reference_vectors(void **state) {
    (void)state;
    static const struct {
        size_t len;
        uint8_t hash[8]; /* little-endian */
    } vectors[] = {
        {0, {0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72}},  {1, {0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74}},
        {2, {0x5a, 0x4f, 0xa9, 0xd9, 0x09, 0x80, 0x6c, 0x0d}},  {3, {0x2d, 0x7e, 0xfb, 0xd7, 0x96, 0x66, 0x67, 0x85}},
        {4, {0xb7, 0x87, 0x71, 0x27, 0xe0, 0x94, 0x27, 0xcf}},  {5, {0x8d, 0xa6, 0x99, 0xcd, 0x64, 0x55, 0x76, 0x18}},
        {6, {0xce, 0xe3, 0xfe, 0x58, 0x6e, 0x46, 0xc9, 0xcb}},  {7, {0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab}},
        {8, {0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93}},  {9, {0xb0, 0xe4, 0xa9, 0x0b, 0xdf, 0x82, 0x00, 0x9e}},
        {10, {0xf3, 0xb9, 0xdd, 0x94, 0xc5, 0xbb, 0x5d, 0x7a}}, {11, {0xa7, 0xad, 0x6b, 0x22, 0x46, 0x2f, 0xb3, 0xf4}},
        {12, {0xfb, 0xe5, 0x0e, 0x86, 0xbc, 0x8f, 0x1e, 0x75}}, {13, {0x90, 0x3d, 0x84, 0xc0, 0x27, 0x56, 0xea, 0x14}},
        {14, {0xee, 0xf2, 0x7a, 0x8e, 0x90, 0xca, 0x23, 0xf7}}, {15, {0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1}},
        {63, {0x72, 0x45, 0x06, 0xeb, 0x4c, 0x32, 0x8a, 0x95}},
    };
    struct hash_key key = {.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};
    uint8_t message[64];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint64_t hash = hash_siphash(&key, message, vectors[i].len);
        for (size_t byte = 0; byte < 8; byte++)
            assert_int_equal((uint8_t)(hash >> (8 * byte)), vectors[i].hash[byte]);
        assert_int_equal(hash_slice(&key, slice_of(message, vectors[i].len)), hash);
    }
}

static void test_keys_are_not_alike(void **state) {
    (void)state;
    struct hash_key a = hash_key_random(), b = hash_key_random();
    assert_true(a.k0 != b.k0 && a.k1 != b.k1 && a.k0 != a.k1);
    assert_true(hash_siphash(&a, "x", 1) != hash_siphash(&b, "x", 1));
}

static void test_nothing_hashes_without_a_pointer(void **state) {
    (void)state;
    struct hash_key key = {.k0 = 1, .k1 = 2};
    assert_int_equal(hash_slice(&key, SLICE_NONE), hash_siphash(&key, "", 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash_2_4_gives_the_reference_vectors),
        cmocka_unit_test(test_keys_are_not_alike),
        cmocka_unit_test(test_nothing_hashes_without_a_pointer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
