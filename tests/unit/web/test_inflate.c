/* RFC 1951: each kind of block, and what is none. The page's files, in tests/unit/web/test_page.c, are long ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "web/inflate.h"

#define BYTES(literal) slice_of(literal, sizeof(literal) - 1)

static const char stored[] = "\x01\x08\x00\xf7\xff"
                             "as it is";
static const char fixed[] = "\x4b\x4c\x4a\x4e\x44\x45\x8a\x00";               /* "abc" six times, "!" */
static const char own[] = "\x05\xc0\x81\x00\x00\x00\x00\x00\x90\xff\x6b\x00"; /* nothing but the end */

static bool inflates(struct slice packed, size_t room) {
    uint8_t memory[64];
    struct buffer out = buffer_over(memory, room);
    return inflate(packed, &out);
}

static void assert_inflates(struct slice packed, const char *expected) {
    uint8_t memory[64];
    struct buffer out = buffer_over(memory, sizeof memory);
    assert_true(inflate(packed, &out));
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(memory, expected, out.len);
}

static void test_each_kind_of_block(void **state) {
    (void)state;
    assert_inflates(BYTES(stored), "as it is");
    assert_inflates(BYTES(fixed), "abcabcabcabcabcabc!");
    assert_inflates(BYTES(own), "");
    assert_inflates(BYTES("\x4b\x04\x02\x00"), "aaaa"); /* a copy of what it writes */
    assert_inflates(BYTES("\x00\x01\x00\xfe\xff"
                          "-"
                          "\x4b\x04\x02\x00"),
                    "-aaaa"); /* one block after another */
}

static void test_what_is_malformed_is_refused(void **state) {
    (void)state;
    assert_false(inflates(BYTES("\x07"), 64));                             /* a kind of block that is none */
    assert_false(inflates(BYTES("\x01\x01\x00\xff\xff-"), 64));            /* two lengths that differ */
    assert_false(inflates(BYTES("\x4b\x04\x42\x00"), 64));                 /* from before the beginning */
    assert_false(inflates(BYTES("\x1b\x03\x00"), 64));                     /* a length that is none */
    assert_false(inflates(BYTES("\x4b\x04\x3e\x00"), 64));                 /* a distance that is none */
    assert_false(inflates(BYTES("\x05\x00\x92\x00\x00\x00\x00\x00"), 64)); /* three codes of one bit */
    assert_false(inflates(BYTES("\x05\x00\x12\x00\x00\x00\x00\x00"), 64)); /* the length before the first, again */
    assert_false(inflates(BYTES("\x05\x00\x90\xe0\xff\xff\x1f"), 64));     /* more lengths than codes */
    assert_false(inflates(BYTES("\x05\xc0\x81\x00\x00\x00\x00\x00\x90\xff\x6b\x02\x00\x00"), 64)); /* no such code */
}

static void test_there_are_286_literals_at_most(void **state) {
    (void)state;
    assert_inflates(BYTES("\xed\xc0\x81\x00\x00\x00\x00\x00\x90\xff\x6b\x25\x00"), "");
    assert_false(inflates(BYTES("\xf5\xc0\x81\x00\x00\x00\x00\x00\x90\xff\x6b\x27\x00"), 64));
}

static void test_what_is_cut_short_is_refused(void **state) {
    (void)state;
    const struct slice whole[] = {BYTES(stored), BYTES(fixed), BYTES(own)};
    for (size_t i = 0; i < 3; i++)
        for (size_t len = 0; len < whole[i].len; len++)
            assert_false(inflates(slice_of(whole[i].data, len), 64));
}

static void test_what_does_not_fit_is_refused(void **state) {
    (void)state;
    assert_true(inflates(BYTES(stored), 8));
    assert_true(inflates(BYTES(fixed), 19));
    for (size_t room = 0; room < 19; room++) {
        assert_false(room < 8 && inflates(BYTES(stored), room));
        assert_false(inflates(BYTES(fixed), room));
    }
}

/* Nothing outside of its memory is touched, as the sanitizers see. */
static void test_any_bytes_at_all_come_to_an_end(void **state) {
    (void)state;
    uint8_t bytes[24];
    uint32_t seed = 1;
    for (size_t round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1664525 + 1013904223;
            bytes[i] = (uint8_t)(seed >> 24);
        }
        bytes[0] = (uint8_t)((bytes[0] & ~6U) | (round % 3) << 1);
        inflates(slice_of(bytes, 1 + round % sizeof bytes), round % 64);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_of_block),
        cmocka_unit_test(test_what_is_malformed_is_refused),
        cmocka_unit_test(test_there_are_286_literals_at_most),
        cmocka_unit_test(test_what_is_cut_short_is_refused),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_any_bytes_at_all_come_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
