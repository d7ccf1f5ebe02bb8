/* Firmware images and updates in the store: put, replaced, deleted, and read back in the order of their names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/db/store_bench.h"

static const uint8_t digest[32] = {1, 2, 3};

static void on_image(void *arg, const struct store_firmware_image *image) {
    struct store_bench *f = arg;
    assert_memory_equal(image->digest.data, digest, sizeof digest);
    buffer_put_slice(&f->seen, image->name);
    buffer_printf(&f->seen, " %llu ", (unsigned long long)image->size);
    buffer_put_slice(&f->seen, image->url);
    buffer_printf(&f->seen, " %llu\n", (unsigned long long)image->created_at_ms);
}

static void on_update(void *arg, const struct store_firmware_update *update) {
    struct store_bench *f = arg;
    const struct slice texts[] = {update->endpoint, update->image, update->uri, update->detail};
    for (size_t i = 0; i < 4; i++) {
        buffer_put_slice(&f->seen, texts[i]);
        buffer_put_str(&f->seen, "|");
    }
    buffer_printf(&f->seen, "%llu %u %llu %llu %llu %llu %llu\n", (unsigned long long)update->flags, update->result,
                  (unsigned long long)update->created_at_ms, (unsigned long long)update->deadline_ms,
                  (unsigned long long)update->ended_at_ms, (unsigned long long)update->observation,
                  (unsigned long long)update->observation_of_result);
}

static void assert_stored(struct store_bench *f, const char *images, const char *updates) {
    store_bench_restart(f);
    assert_true(store_load_firmware_images(f->store, on_image, f, f->error, sizeof f->error));
    assert_true(slice_is(buffer_slice(&f->seen), images));
    f->seen = buffer_over(f->text, sizeof f->text);
    assert_true(store_load_firmware_updates(f->store, on_update, f, f->error, sizeof f->error));
    assert_true(slice_is(buffer_slice(&f->seen), updates));
}

static void put_image(struct store_bench *f, const char *name, uint64_t size, const char *url, bool deleted) {
    struct store_firmware_image image = {.name = slice_str(name),
                                         .digest = deleted ? SLICE_NONE : slice_of(digest, sizeof digest),
                                         .url = slice_str(url),
                                         .size = size,
                                         .created_at_ms = 7};
    assert_int_equal(store_put_firmware_image(f->store, &image, store_bench_count, f), STORE_OK);
}

static void test_images(void **state) {
    struct store_bench *f = *state;
    put_image(f, "b", 64 << 20, "", false);
    put_image(f, "a", 1, "https://x/y", false);
    assert_stored(f, "a 1 https://x/y 7\nb 67108864  7\n", "");
    put_image(f, "a", 2, "", false);
    put_image(f, "b", 0, "", true);
    put_image(f, "missing", 0, "", true);
    assert_stored(f, "a 2  7\n", "");
    assert_int_equal(f->done, 5);
}

static void test_updates(void **state) {
    struct store_bench *f = *state;
    struct store_firmware_update update = {.endpoint = slice_str("dev1"),
                                           .image = slice_str("a"),
                                           .uri = SLICE_NONE,
                                           .detail = slice_str("why"),
                                           .flags = 4295032835,
                                           .result = 9,
                                           .created_at_ms = 1,
                                           .deadline_ms = 2,
                                           .ended_at_ms = 3,
                                           .observation = 4,
                                           .observation_of_result = 5};
    assert_int_equal(store_put_firmware_update(f->store, &update, store_bench_count, f), STORE_OK);
    assert_stored(f, "", "dev1|a||why|4295032835 9 1 2 3 4 5\n");
    update.detail = SLICE_NONE;
    update.uri = slice_str("coap://x/y");
    assert_int_equal(store_put_firmware_update(f->store, &update, store_bench_count, f), STORE_OK);
    assert_stored(f, "", "dev1|a|coap://x/y||4295032835 9 1 2 3 4 5\n");
    update.flags = 0;
    assert_int_equal(store_put_firmware_update(f->store, &update, store_bench_count, f), STORE_OK);
    assert_stored(f, "", "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_images, store_bench_set_up, store_bench_tear_down),
        cmocka_unit_test_setup_teardown(test_updates, store_bench_set_up, store_bench_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
