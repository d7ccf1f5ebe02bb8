#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "server/seal.h"

static const uint8_t key[SEAL_KEY_BYTES] = "0123456789abcdef0123456789abcdef";
static const uint8_t other_key[SEAL_KEY_BYTES] = "0123456789abcdef0123456789abcdeg";

struct sealed {
    struct seal *seal;
    uint8_t memory[128];
    struct buffer text;
};

static struct sealed *sealed_secret(void) {
    static struct sealed s;
    s.seal = seal_new(key);
    assert_non_null(s.seal);
    s.text = buffer_over(s.memory, sizeof s.memory);
    assert_true(seal_close(s.seal, slice_str("row 1"), slice_str("secret"), &s.text));
    return &s;
}

static bool opens(struct seal *seal, const char *context, struct slice sealed) {
    uint8_t memory[64];
    struct buffer plain = buffer_over(memory, sizeof memory);
    bool opened = seal_open(seal, slice_str(context), sealed, &plain);
    if (opened)
        assert_true(slice_is(buffer_slice(&plain), "secret"));
    else
        assert_int_equal(plain.len, 0);
    return opened;
}

static void test_what_was_sealed_opens(void **state) {
    (void)state;
    struct sealed *s = sealed_secret();
    assert_int_equal(s->text.len, strlen("secret") + SEAL_OVERHEAD);
    assert_null(memmem(s->memory, s->text.len, "secret", 6));
    assert_true(opens(s->seal, "row 1", buffer_slice(&s->text)));
    seal_free(s->seal);
}

static void test_nothing_at_all_can_be_sealed(void **state) {
    (void)state;
    uint8_t memory[SEAL_OVERHEAD];
    struct buffer text = buffer_over(memory, sizeof memory), plain = buffer_over(NULL, 0);
    struct seal *seal = seal_new(key);
    assert_true(seal_close(seal, SLICE_NONE, SLICE_NONE, &text));
    assert_true(seal_open(seal, SLICE_NONE, buffer_slice(&text), &plain));
    seal_free(seal);
}

static void test_another_context_does_not_open_it(void **state) {
    (void)state;
    struct sealed *s = sealed_secret();
    assert_false(opens(s->seal, "row 2", buffer_slice(&s->text)));
    assert_false(opens(s->seal, "", buffer_slice(&s->text)));
    seal_free(s->seal);
}

static void test_another_key_does_not_open_it(void **state) {
    (void)state;
    struct sealed *s = sealed_secret();
    struct seal *other = seal_new(other_key);
    assert_false(opens(other, "row 1", buffer_slice(&s->text)));
    seal_free(other);
    seal_free(s->seal);
}

static void test_a_changed_bit_anywhere_does_not_open(void **state) {
    (void)state;
    struct sealed *s = sealed_secret();
    for (size_t i = 0; i < s->text.len * 8; i++) {
        s->memory[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(opens(s->seal, "row 1", slice_of(s->memory, s->text.len)));
        s->memory[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t len = 0; len < s->text.len; len++)
        assert_false(opens(s->seal, "row 1", slice_of(s->memory, len)));
    assert_true(opens(s->seal, "row 1", slice_of(s->memory, s->text.len)));
    seal_free(s->seal);
}

static void test_two_sealings_of_one_text_differ(void **state) {
    (void)state;
    struct sealed *s = sealed_secret();
    uint8_t first[128];
    memcpy(first, s->memory, s->text.len);
    s->text.len = 0;
    assert_true(seal_close(s->seal, slice_str("row 1"), slice_str("secret"), &s->text));
    assert_memory_not_equal(first, s->memory, SEAL_NONCE_BYTES);
    seal_free(s->seal);
}

static void test_too_little_room_changes_nothing(void **state) {
    (void)state;
    struct sealed *s = sealed_secret();
    uint8_t memory[6 + SEAL_OVERHEAD];
    struct buffer small = buffer_over(memory, sizeof memory - 1), plain = buffer_over(memory, 5);
    assert_false(seal_close(s->seal, SLICE_NONE, slice_str("secret"), &small));
    assert_int_equal(small.len, 0);
    assert_false(seal_open(s->seal, slice_str("row 1"), buffer_slice(&s->text), &plain));
    assert_int_equal(plain.len, 0);
    seal_free(s->seal);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_sealed_opens),
        cmocka_unit_test(test_nothing_at_all_can_be_sealed),
        cmocka_unit_test(test_another_context_does_not_open_it),
        cmocka_unit_test(test_another_key_does_not_open_it),
        cmocka_unit_test(test_a_changed_bit_anywhere_does_not_open),
        cmocka_unit_test(test_two_sealings_of_one_text_differ),
        cmocka_unit_test(test_too_little_room_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
