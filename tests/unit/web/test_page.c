/* What the page is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <mbedtls/sha256.h>

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
        assert_true(file->packed ? file->len < file->plain_len : file->len == file->plain_len);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(file->etag, page_files[k].etag);
    }
}

/* The tag is the beginning of the file's digest. */
static void test_every_file_is_there_as_it_was(void **state) {
    (void)state;
    for (size_t i = 0; i < page_file_count; i++) {
        const struct page_file *file = &page_files[i];
        struct slice plain = page_file_plain(file);
        uint8_t digest[32];
        char tag[24] = "W/\"";
        assert_int_equal(plain.len, file->plain_len);
        assert_int_equal(mbedtls_sha256(plain.data, plain.len, digest, 0), 0);
        for (size_t k = 0; k < 8; k++)
            snprintf(tag + 3 + 2 * k, sizeof tag - 3 - 2 * k, "%02x", digest[k]);
        strcat(tag, "\"");
        assert_string_equal(tag, file->etag);
        free((void *)(uintptr_t)plain.data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip_is_taken_where_it_is_named),
        cmocka_unit_test(test_gzip_is_not_taken_where_it_is_not_named_or_forbidden),
        cmocka_unit_test(test_every_file_has_a_type_and_a_tag_of_its_own),
        cmocka_unit_test(test_every_file_is_there_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
