#include "common/base/slab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum { CHUNK = 1 << 16, MANY = 5000 };

struct fixture {
    struct slab *slab;
    uint8_t *blocks[MANY];
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    slab_pack();
    if (f == NULL || (f->slab = slab_new()) == NULL)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    slab_free(f->slab);
    free(f);
    return 0;
}

static void take_all(struct fixture *f, size_t len) {
    for (size_t i = 0; i < MANY; i++) {
        f->blocks[i] = slab_take(f->slab, len);
        assert_non_null(f->blocks[i]);
        memset(f->blocks[i], (int)(i & 0xff), len);
    }
}

static void give_all(struct fixture *f, size_t len) {
    for (size_t i = 0; i < MANY; i++) {
        for (size_t at = 0; at < len; at++)
            assert_int_equal(f->blocks[i][at], i & 0xff); /* nobody else has written there */
        slab_give(f->blocks[i], len);
    }
}

static void test_blocks_do_not_overlap_and_are_aligned(void **state) {
    struct fixture *f = *state;
    static const size_t lens[] = {1, 7, 8, 9, 56, 136, 392, SLAB_BLOCK_MAX};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        take_all(f, lens[i]);
        for (size_t k = 0; k < MANY; k++)
            assert_int_equal((uintptr_t)f->blocks[k] % 8, 0);
        give_all(f, lens[i]);
    }
}

static void test_a_block_takes_its_length_and_no_more(void **state) {
    struct fixture *f = *state;
    take_all(f, 100);
    assert_int_equal(slab_block_bytes(100), 104);
    /* 104 bytes each, and less than a block and a header are lost in each chunk */
    size_t in_a_chunk = (CHUNK - 64) / 104;
    assert_int_equal(slab_bytes(f->slab), (MANY + in_a_chunk - 1) / in_a_chunk * CHUNK);
    give_all(f, 100);
}

static void test_a_given_block_is_taken_again(void **state) {
    struct fixture *f = *state;
    take_all(f, 40);
    size_t before = slab_bytes(f->slab);
    for (size_t i = 0; i < MANY; i += 2)
        slab_give(f->blocks[i], 40);
    for (size_t i = 0; i < MANY; i += 2) {
        f->blocks[i] = slab_take(f->slab, 40);
        memset(f->blocks[i], (int)(i & 0xff), 40);
    }
    assert_int_equal(slab_bytes(f->slab), before);
    give_all(f, 40);
}

static void test_chunks_without_blocks_go_back_but_one(void **state) {
    struct fixture *f = *state;
    take_all(f, 200);
    assert_true(slab_bytes(f->slab) > 10 * CHUNK);
    give_all(f, 200);
    assert_int_equal(slab_bytes(f->slab), CHUNK);
    take_all(f, 200);
    give_all(f, 200);
    assert_int_equal(slab_bytes(f->slab), CHUNK);
}

static void test_long_blocks_are_not_in_chunks(void **state) {
    struct fixture *f = *state;
    take_all(f, SLAB_BLOCK_MAX + 1);
    assert_int_equal(slab_bytes(f->slab), 0);
    give_all(f, SLAB_BLOCK_MAX + 1);
}

static void test_blocks_outlive_their_slab(void **state) {
    struct fixture *f = *state;
    take_all(f, 72);
    slab_free(f->slab);
    f->slab = NULL;
    give_all(f, 72); /* the last one frees the slab; leaks are AddressSanitizer's to find */
}

static void test_no_block_is_given_back(void **state) {
    (void)state;
    slab_give(NULL, 72);
}

static void test_a_given_block_is_poisoned(void **state) {
#ifdef HAS_ASAN
    struct fixture *f = *state;
    uint8_t *block = slab_take(f->slab, 60);
    assert_null(__asan_region_is_poisoned(block, 60));
    assert_ptr_equal(__asan_region_is_poisoned(block, 61), block + 60); /* nor is what nobody asked for */
    slab_give(block, 60);
    assert_true(__asan_address_is_poisoned(block + 8));
    assert_true(__asan_address_is_poisoned(block + 59));
    uint8_t *again = slab_take(f->slab, 64);
    assert_ptr_equal(again, block);
    assert_null(__asan_region_is_poisoned(again, 64));
    slab_give(again, 64);
#else
    (void)state;
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_blocks_do_not_overlap_and_are_aligned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_block_takes_its_length_and_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_given_block_is_taken_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chunks_without_blocks_go_back_but_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_blocks_are_not_in_chunks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blocks_outlive_their_slab, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_block_is_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_given_block_is_poisoned, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
