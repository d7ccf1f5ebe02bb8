/* Forms, as they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buffer.h"
#include "web/multipart.h"

struct seen {
    uint8_t memory[4096];
    struct buffer text;
    size_t refuse_at; /* bytes of data after which the handler ends it; 0: never */
    size_t bytes;
};

static bool on_begin(void *arg, struct slice name) {
    struct seen *seen = arg;
    buffer_put_str(&seen->text, "[");
    buffer_put_slice(&seen->text, name);
    buffer_put_str(&seen->text, "=");
    return true;
}

static bool on_data(void *arg, struct slice bytes) {
    struct seen *seen = arg;
    seen->bytes += bytes.len;
    buffer_put_slice(&seen->text, bytes);
    return seen->refuse_at == 0 || seen->bytes < seen->refuse_at;
}

static bool on_end(void *arg) {
    struct seen *seen = arg;
    buffer_put_str(&seen->text, "]");
    return true;
}

static const struct multipart_handlers handlers = {.begin = on_begin, .data = on_data, .end = on_end};

static struct multipart run(struct seen *seen, const char *type, const char *body, size_t piece) {
    struct multipart m;
    struct slice rest = slice_str(body);
    seen->text = buffer_over(seen->memory, sizeof seen->memory);
    seen->bytes = 0;
    assert_true(multipart_start(&m, slice_str(type), &handlers, seen));
    while (rest.len > 0) {
        size_t len = rest.len < piece ? rest.len : piece;
        if (!multipart_add(&m, slice_of(rest.data, len)))
            break;
        rest = slice_from(rest, len);
    }
    return m;
}

static const char type[] = "multipart/form-data; boundary=abc";

static void assert_parts(const char *body, const char *expected) {
    static struct seen seen;
    for (size_t piece = 1; piece <= strlen(body); piece++) {
        struct multipart m = run(&seen, type, body, piece);
        assert_true(multipart_is_done(&m));
        assert_true(slice_is(buffer_slice(&seen.text), expected));
    }
}

static void test_parts_come_out_however_the_form_is_cut(void **state) {
    (void)state;
    assert_parts(
        "--abc\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\none\r\n"
        "--abc\r\ncontent-type: x/y\r\nCONTENT-DISPOSITION: form-data; filename=\"a;name=b\"; name=file\r\n\r\n"
        "\r\n--ab\r\r\n--abd\r\n--abc--\r\nepilogue",
        "[name=one][file=\r\n--ab\r\r\n--abd]");
}

static void test_what_is_around_the_parts_is_left_out(void **state) {
    (void)state;
    assert_parts("preamble\r\n--abc \t\r\n\r\nx\r\n--abc--", "[=x]");
    assert_parts("--abc--", "");
    assert_parts("--abc\r\nContent-Disposition: form-data; name=\"q\\\"\\\\\"\r\n\r\n\r\n--abc--", "[q\"\\=]");
}

static void test_a_quoted_boundary(void **state) {
    static struct seen seen;
    (void)state;
    struct multipart m =
        run(&seen, "Multipart/Form-Data; charset=utf-8; boundary=\"a b\"", "--a b\r\n\r\nx\r\n--a b--", 3);
    assert_true(multipart_is_done(&m) && slice_is(buffer_slice(&seen.text), "[=x]"));
}

static void test_what_has_no_boundary_is_no_form(void **state) {
    static const char too_long[] =
        "multipart/form-data; boundary=01234567890123456789012345678901234567890123456789012345678901234567890";
    static const char *const types[] = {"",
                                        "application/json",
                                        "multipart/form-data",
                                        "multipart/form-data; boundary=",
                                        "multipart/form-data; boundary=\"x",
                                        "multipart/form-data; boundary",
                                        "multipart/mixed; boundary=x",
                                        too_long};
    struct multipart m;
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        assert_false(multipart_start(&m, slice_str(types[i]), &handlers, NULL));
}

static void test_a_broken_form_says_what_is_wrong(void **state) {
    static struct seen seen;
    static char long_header[MULTIPART_HEADER_MAX + 64];
    (void)state;
    struct multipart m = run(&seen, type, "--abcd\r\n", 1);
    assert_true(m.state == MULTIPART_BROKEN && m.fault != NULL);
    m = run(&seen, type, "--abc-x", 1);
    assert_true(m.state == MULTIPART_BROKEN && m.fault != NULL);
    memset(long_header, 'x', sizeof long_header - 1);
    memcpy(long_header, "--abc\r\n", 7);
    m = run(&seen, type, long_header, 100);
    assert_true(m.state == MULTIPART_BROKEN && m.fault != NULL);
    m = run(&seen, type, "--abc\r\n\r\nnot ended", 100);
    assert_false(multipart_is_done(&m));
}

static void test_too_many_parts(void **state) {
    static struct seen seen;
    static char body[MULTIPART_PARTS_MAX * 16 + 64];
    size_t len = 0;
    (void)state;
    for (int i = 0; i <= MULTIPART_PARTS_MAX; i++)
        len += (size_t)snprintf(body + len, sizeof body - len, "%s--abc\r\n\r\n", i == 0 ? "" : "\r\n");
    struct multipart m = run(&seen, type, body, 50);
    assert_true(m.state == MULTIPART_BROKEN && m.fault != NULL);
}

static void test_a_handler_can_end_it(void **state) {
    static struct seen seen = {.refuse_at = 3};
    (void)state;
    struct multipart m = run(&seen, type, "--abc\r\n\r\nxyzxyz\r\n--abc--", 1);
    assert_true(m.state == MULTIPART_BROKEN && m.fault == NULL);
    assert_int_equal(seen.bytes, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_come_out_however_the_form_is_cut),
        cmocka_unit_test(test_what_is_around_the_parts_is_left_out),
        cmocka_unit_test(test_a_quoted_boundary),
        cmocka_unit_test(test_what_has_no_boundary_is_no_form),
        cmocka_unit_test(test_a_broken_form_says_what_is_wrong),
        cmocka_unit_test(test_too_many_parts),
        cmocka_unit_test(test_a_handler_can_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
