/* Documents in the store: put, replaced, deleted, and read back by kinds and ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/db/store_bench.h"

static void on_document(void *arg, const struct store_document *document) {
    struct store_bench *f = arg;
    buffer_printf(&f->seen, "%u ", document->kind);
    buffer_put_slice(&f->seen, document->id);
    buffer_put_str(&f->seen, " ");
    buffer_put_slice(&f->seen, document->text);
    buffer_put_str(&f->seen, "\n");
}

static void assert_stored(struct store_bench *f, const char *documents) {
    store_bench_restart(f);
    assert_true(store_load_documents(f->store, on_document, f, f->error, sizeof f->error));
    assert_true(slice_is(buffer_slice(&f->seen), documents));
}

static void put(struct store_bench *f, uint32_t kind, const char *id, const char *text) {
    const struct store_document document = {.kind = kind, .id = slice_str(id), .text = slice_str(text)};
    assert_int_equal(store_put_document(f->store, &document, store_bench_count, f), STORE_OK);
}

static void test_documents_are_put_replaced_and_deleted(void **state) {
    struct store_bench *f = *state;
    put(f, 2, "b", "{}");
    put(f, 1, "b", "{\"x\":1}");
    put(f, 2, "a", "{}");
    assert_stored(f, "1 b {\"x\":1}\n2 a {}\n2 b {}\n");
    put(f, 2, "b", "");
    put(f, 2, "a", "[]");
    put(f, 7, "missing", "");
    assert_stored(f, "1 b {\"x\":1}\n2 a []\n");
    assert_int_equal(f->done, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_documents_are_put_replaced_and_deleted, store_bench_set_up,
                                        store_bench_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
