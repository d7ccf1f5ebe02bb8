/* What the page is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "web/page.h"
#include "web/page_files.h"

static void assert_takes(const char *field, bool expected) {
    if (page_takes_gzip(slice_str(field)) != expected)
        fail_msg("%s", field);
}

static void test_gzip_is_taken_where_it_is_named(void **state) {
    (void)state;
    assert_takes("gzip", true);
    assert_takes("deflate, GZip ;q=0.5", true);
    assert_takes("*", true);
    assert_takes("identity;q=0, *;q=0.1", true);
}

static void test_gzip_is_not_taken_where_it_is_not_named_or_forbidden(void **state) {
    (void)state;
    assert_takes("", false);
    assert_takes("deflate, br", false);
    assert_takes("gzip;q=0", false);
    assert_takes("gzip; q=0.000, *", false);
    assert_takes("*;q=0", false);
    assert_takes("gzip2", false);
    assert_false(page_takes_gzip(SLICE_NONE));
}

static void test_every_file_has_a_type_and_a_tag_of_its_own(void **state) {
    (void)state;
    assert_true(page_file_count > 5);
    for (size_t i = 0; i < page_file_count; i++) {
        const struct page_file *file = &page_files[i];
        assert_true(file->plain_len > 0 && strlen(file->type) > 0);
        assert_true(file->packed == NULL || file->packed_len < file->plain_len);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(file->etag, page_files[k].etag);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip_is_taken_where_it_is_named),
        cmocka_unit_test(test_gzip_is_not_taken_where_it_is_not_named_or_forbidden),
        cmocka_unit_test(test_every_file_has_a_type_and_a_tag_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
