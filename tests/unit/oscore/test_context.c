/* Security contexts (RFC 8613 §3.2, Appendix C.1 to C.3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/oscore/kit.h"

static void assert_keys(enum kit_case which, bool server, const char *sender, const char *recipient, const char *iv) {
    struct oscore_context c = kit_context(which, server, 0);
    assert_hex(slice_of(c.sender_key, 16), sender);
    assert_hex(slice_of(c.recipient_key, 16), recipient);
    assert_hex(slice_of(c.common_iv, 13), iv);
}

static void test_OSC_01_keys_of_appendix_c1_with_salt(void **state) {
    (void)state;
    assert_keys(KIT_C1, false, "f0910ed7295e6ad4b54fc793154302ff", "ffb14e093c94c9cac9471648b4f98710",
                "4622d4dd6d944168eefb54987c");
}

static void test_OSC_01_keys_of_appendix_c2_without_salt(void **state) {
    (void)state;
    assert_keys(KIT_C2, false, "321b26943253c7ffb6003b0b64d74041", "e57b5635815177cd679ab4bcec9d7dda",
                "be35ae297d2dace910c52e99f9");
}

static void test_OSC_01_keys_of_appendix_c3_with_id_context(void **state) {
    (void)state;
    assert_keys(KIT_C3, false, "af2a1300a5e95788b356336eeecd2b92", "e39a0c7c77b43f03b4b39ab9a268699f",
                "2ca58fb85ff1b81c0b7181b85e");
}

static void test_OSC_02_the_server_sends_with_what_the_client_receives(void **state) {
    (void)state;
    assert_keys(KIT_C1, true, "ffb14e093c94c9cac9471648b4f98710", "f0910ed7295e6ad4b54fc793154302ff",
                "4622d4dd6d944168eefb54987c");
}

static void assert_nonce(enum kit_case which, bool server, const char *expected) {
    struct oscore_context c = kit_context(which, server, 0);
    uint8_t nonce[OSCORE_NONCE_MAX];
    oscore_nonce(&c, oscore_context_sender_id(&c), kit_bytes("00"), nonce);
    assert_hex(slice_of(nonce, 13), expected);
}

static void test_nonces_of_appendix_c(void **state) {
    (void)state;
    assert_nonce(KIT_C1, false, "4622d4dd6d944168eefb54987c");
    assert_nonce(KIT_C1, true, "4722d4dd6d944169eefb54987c");
    assert_nonce(KIT_C2, false, "bf35ae297d2dace910c52e99f9");
    assert_nonce(KIT_C2, true, "bf35ae297d2dace810c52e99f9");
    assert_nonce(KIT_C3, false, "2ca58fb85ff1b81c0b7181b85e");
    assert_nonce(KIT_C3, true, "2da58fb85ff1b81d0b7181b85e");
}

static void test_a_context_that_cannot_be_is_refused_and_zero(void **state) {
    (void)state;
    struct oscore_secrets good = kit_secrets(KIT_C1, false), bad[5] = {good, good, good, good, good};
    struct oscore_context c, zero = {0};
    bad[0].sender_id = bad[0].recipient_id; /* §3.3 */
    bad[1].sender_id = kit_bytes("0102030405060708");
    bad[2].aead = 99;
    bad[3].master_secret = SLICE_NONE;
    bad[4].aead = 1; /* GCM's nonce is a byte shorter */
    bad[4].recipient_id = kit_bytes("01020304050607");
    for (size_t i = 0; i < 5; i++) {
        memset(&c, 0xff, sizeof c);
        assert_false(oscore_context_derive(&c, &bad[i]));
        assert_memory_equal(&c, &zero, sizeof c);
    }
    assert_true(oscore_context_derive(&c, &good));
    assert_false(c.window.valid);
    assert_int_equal(c.number_limit, 0);
}

static void test_OSC_01_algorithms_by_their_numbers(void **state) {
    (void)state;
    enum oscore_hkdf hkdf;
    assert_string_equal(oscore_aead_of(10)->name, "AES-CCM-16-64-128");
    assert_ptr_equal(oscore_aead_named(slice_str("A128GCM")), oscore_aead_of(1));
    assert_null(oscore_aead_of(0));
    assert_null(oscore_aead_named(slice_str("AES")));
    for (size_t i = 0; oscore_aead_at(i) != NULL; i++)
        assert_ptr_equal(oscore_aead_of(oscore_aead_at(i)->number), oscore_aead_at(i));
    assert_true(oscore_hkdf_of(-10, &hkdf) && hkdf == OSCORE_HKDF_SHA_256);
    assert_true(oscore_hkdf_of(5, &hkdf) && hkdf == OSCORE_HKDF_SHA_256);
    assert_true(oscore_hkdf_of(-11, &hkdf) && hkdf == OSCORE_HKDF_SHA_512);
    assert_true(oscore_hkdf_of(7, &hkdf) && hkdf == OSCORE_HKDF_SHA_512);
    assert_false(oscore_hkdf_of(6, &hkdf));
    assert_true(oscore_hkdf_named(slice_str("SHA-512"), &hkdf) && hkdf == OSCORE_HKDF_SHA_512);
    assert_string_equal(oscore_hkdf_name(OSCORE_HKDF_SHA_256), "SHA-256");
    assert_false(oscore_hkdf_named(slice_str("SHA-1"), &hkdf));
}

static void test_an_idle_context_is_small(void **state) {
    (void)state;
    assert_true(sizeof(struct oscore_context) <= 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_OSC_01_keys_of_appendix_c1_with_salt),
        cmocka_unit_test(test_OSC_01_keys_of_appendix_c2_without_salt),
        cmocka_unit_test(test_OSC_01_keys_of_appendix_c3_with_id_context),
        cmocka_unit_test(test_OSC_02_the_server_sends_with_what_the_client_receives),
        cmocka_unit_test(test_nonces_of_appendix_c),
        cmocka_unit_test(test_a_context_that_cannot_be_is_refused_and_zero),
        cmocka_unit_test(test_OSC_01_algorithms_by_their_numbers),
        cmocka_unit_test(test_an_idle_context_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
