#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/lwm2m/link_format.h"

/* Walks a list and counts its links; -1 at a fault. */
static int count_links(const char *text, bool *tolerated) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    int count = 0;
    link_format_start(&cursor, slice_str(text));
    while (link_format_next(&cursor, &link))
        count++;
    *tolerated = cursor.tolerated;
    return cursor.error == NULL ? count : -1;
}

static void assert_clean(const char *text, int expected) {
    bool tolerated;
    assert_int_equal(count_links(text, &tolerated), expected);
    assert_false(tolerated);
}

static void assert_tolerated(const char *text, int expected) {
    bool tolerated;
    assert_int_equal(count_links(text, &tolerated), expected);
    assert_true(tolerated);
}

static void assert_refused(const char *text) {
    bool tolerated;
    if (count_links(text, &tolerated) != -1)
        fail_msg("%s was taken", text);
}

static struct link_format_link first(const char *text) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    link_format_start(&cursor, slice_str(text));
    if (!link_format_next(&cursor, &link))
        fail_msg("%s was refused: %s", text, cursor.error);
    return link;
}

static void assert_value(const char *text, const char *name, const char *expected) {
    struct link_format_link link = first(text);
    struct slice value;
    assert_true(link_format_find(&link, name, &value));
    assert_true(slice_is(value, expected));
}

static void test_LNK_01_targets(void **state) {
    (void)state;
    assert_clean("</1/0>,</3/0>", 2);
    assert_clean("</3>", 1);
    assert_clean("</3>,</3/0>", 2);
    assert_clean("", 0);
    struct link_format_link link = first("</3/0>;x");
    assert_true(slice_is(link.target, "/3/0"));
}

static void test_LNK_02_version_quoted_and_unquoted(void **state) {
    (void)state;
    assert_value("</1>;ver=1.1", "ver", "1.1");
    assert_value("</1>;ver=\"1.1\"", "ver", "1.1");
}

static void test_LNK_06_white_space_is_skipped(void **state) {
    (void)state;
    assert_tolerated("</1/0>, </3/0>", 2);
    assert_tolerated(" </1/0>,\r\n\t</3/0>", 2);
    assert_value("</3/0>; ver=1.1 ,</4>", "ver", "1.1");
}

static void test_LNK_07_superfluous_commas_are_skipped(void **state) {
    (void)state;
    assert_tolerated("</1/0>,", 1);
    assert_tolerated("</1/0>,,</3/0>", 2);
    assert_tolerated(",</1/0>", 1);
}

static void test_LNK_09_ct_list_quoted_and_unquoted(void **state) {
    (void)state;
    assert_value("</>;ct=110", "ct", "110");
    assert_value("</>;ct=\"60 110 112\"", "ct", "60 110 112");
    assert_value("</>;ct=110 112,</1>", "ct", "110 112");
    assert_tolerated("</>;ct=110 112", 1);
}

static void test_LNK_10_rt(void **state) {
    (void)state;
    assert_value("</>;rt=\"oma.lwm2m\"", "rt", "oma.lwm2m");
    assert_value("</>;rt=oma.lwm2m", "rt", "oma.lwm2m");
    assert_value("</>;rt=\"core.rd oma.lwm2m\"", "rt", "core.rd oma.lwm2m");
    assert_value("</>;rt=\"\"", "rt", "");
}

static void test_LNK_11_attributes_without_value_and_unknown_ones(void **state) {
    (void)state;
    struct link_format_attribute attribute;
    struct link_format_link link = first("</3>;obs;hb;foo=1");
    size_t at = 0;
    assert_true(link_format_attribute(&link, &at, &attribute));
    assert_true(slice_is(attribute.name, "obs"));
    assert_false(attribute.has_value);
    assert_true(link_format_attribute(&link, &at, &attribute));
    assert_true(link_format_attribute(&link, &at, &attribute));
    assert_true(slice_is(attribute.name, "foo") && attribute.has_value && !attribute.quoted);
    assert_false(link_format_attribute(&link, &at, &attribute));
}

static void test_LNK_11_marks_within_quotes(void **state) {
    (void)state;
    assert_clean("</3>;title=\"a,b;c>d<e\",</4>", 2);
    assert_value("</3>;title=\"a\\\"b\";ver=1.1", "ver", "1.1");
    assert_value("</3>;title=\"a\\\"b\"", "title", "a\\\"b");
}

static void test_unescape_drops_the_backslashes(void **state) {
    (void)state;
    uint8_t bytes[32];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    link_format_unescape(&out, slice_str("a\\\"b\\\\c"));
    assert_true(slice_is(buffer_slice(&out), "a\"b\\c"));
}

static void test_LNK_12_vendor_attributes_of_a_resource(void **state) {
    (void)state;
    static const char link[] = "</3200/0/5501>;rt=\"\";v=\"7\";aobs=\"238\"";
    assert_clean(link, 1);
    assert_value(link, "v", "7");
    assert_value(link, "aobs", "238");
}

static void test_LNK_15_what_is_no_list(void **state) {
    (void)state;
    static const char *const faults[] = {"</2/0></2/1>", "<",       "</1",           "garbage",
                                         "/1/0",         "</1>;=1", "</1 0>",        "</1>;a=\"b",
                                         "</1>x",        "<</1>>",  "</1>;a=\"b\"c", "</1>;ver=<"};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        assert_refused(faults[i]);
}

static void assert_put(const char *value, bool quote, const char *expected) {
    uint8_t bytes[64];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    link_format_put_value(&out, slice_str(value), quote);
    assert_true(slice_is(buffer_slice(&out), expected));
}

static void test_LNK_19_writer_quotes_what_must_be(void **state) {
    (void)state;
    assert_put("1.1", false, "1.1");
    assert_put("2", false, "2");
    assert_put("60 110", false, "\"60 110\"");
    assert_put("oma.lwm2m", true, "\"oma.lwm2m\"");
    assert_put("", false, "\"\"");
    assert_put("a\"b\\", false, "\"a\\\"b\\\\\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_LNK_01_targets),
        cmocka_unit_test(test_LNK_02_version_quoted_and_unquoted),
        cmocka_unit_test(test_LNK_06_white_space_is_skipped),
        cmocka_unit_test(test_LNK_07_superfluous_commas_are_skipped),
        cmocka_unit_test(test_LNK_09_ct_list_quoted_and_unquoted),
        cmocka_unit_test(test_LNK_10_rt),
        cmocka_unit_test(test_LNK_11_attributes_without_value_and_unknown_ones),
        cmocka_unit_test(test_LNK_11_marks_within_quotes),
        cmocka_unit_test(test_unescape_drops_the_backslashes),
        cmocka_unit_test(test_LNK_12_vendor_attributes_of_a_resource),
        cmocka_unit_test(test_LNK_15_what_is_no_list),
        cmocka_unit_test(test_LNK_19_writer_quotes_what_must_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
