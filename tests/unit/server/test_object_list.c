/* Object lists as clients send them, and the canonical form they are kept in; names carry the conformance rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/object_list.h"

static struct object_list list;

static bool build(const char *announced, const char *before, enum object_list_mode mode) {
    return object_list_build(&list, slice_str(announced), slice_str(before), SLICE_NONE, mode);
}

static void expect_list(const char *announced, const char *canonical) {
    if (!build(announced, "", OBJECT_LIST_WHOLE))
        fail_msg("%s: %s", announced, list.error);
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)list.len, (const char *)list.text);
    assert_string_equal(text, canonical);
    free(list.text);
}

static void expect_error(const char *announced) {
    if (build(announced, "", OBJECT_LIST_WHOLE)) {
        free(list.text);
        fail_msg("%s was taken", announced);
    }
    assert_true(list.error[0] != '\0');
    assert_null(list.text);
}

static void test_LNK_01_LNK_14_sorted_and_merged(void **state) {
    (void)state;
    expect_list("</3>,</3/0>", "</3>,</3/0>");
    expect_list("</10/0>,</3/0>,</1/1>,</1/0>", "</1/0>,</1/1>,</3/0>,</10/0>");
    expect_list("</3/0>,</3/0>", "</3/0>");
    expect_list("</3/0>;a=1,</3/0>;b=2", "</3/0>;a=1;b=2");
    expect_list("</3/0>;a=1,</3/0>;a=2", "</3/0>;a=2");
    expect_list("</3/0>;a=1;a=2;b;a=3", "</3/0>;a=1;b");
    expect_list("</3/0>;rt;rt=oma.lwm2m", "</3/0>");
}

static void test_LNK_02_LNK_03_LNK_19_versions_are_written_bare(void **state) {
    (void)state;
    expect_list("</1>;ver=\"1.1\",</5/0>;ver=1.1", "</1>;ver=1.1,</5/0>;ver=1.1");
    assert_null(list.oddity);
}

static void test_LNK_04_odd_versions_are_told(void **state) {
    (void)state;
    static const char *const odd[] = {"</1/0>;ver=abc", "</1/0>;ver=1", "</1/0>;ver="};
    for (size_t i = 0; i < 3; i++) {
        assert_true(build(odd[i], "", OBJECT_LIST_WHOLE));
        assert_non_null(list.oddity);
        free(list.text);
    }
}

static void test_LNK_06_LNK_07_white_space_and_commas(void **state) {
    (void)state;
    expect_list("</1/0>, </3/0>,\r\n\t</4/0>", "</1/0>,</3/0>,</4/0>");
    assert_non_null(list.oddity);
    expect_list("</1/0>; ver=1.1,,</3/0>,", "</1/0>;ver=1.1,</3/0>");
    assert_non_null(list.oddity);
    expect_list("</1/0>,</3/0>", "</1/0>,</3/0>");
    assert_null(list.oddity);
}

static void test_LNK_08_a_slash_at_the_end(void **state) {
    (void)state;
    expect_list("</1/0/>,</3/>", "</1/0>,</3>");
}

static void test_LNK_09_LNK_10_root_link(void **state) {
    (void)state;
    expect_list("</>;rt=\"oma.lwm2m\";ct=\"60 110\",</3/0>", "</>;rt=\"oma.lwm2m\";ct=\"60 110\",</3/0>");
    expect_list("</3/0>,</>;ct=60 110;rt=oma.lwm2m", "</>;ct=\"60 110\";rt=\"oma.lwm2m\",</3/0>");
    expect_list("</>;rt=\"\",</3/0>", "</>,</3/0>");
    expect_list("</>;ct=110", "</>;ct=110");
}

static void test_REG_31_alternate_path(void **state) {
    (void)state;
    expect_list("</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/3/0>", "</>;rt=\"oma.lwm2m\",</1/0>,</3/0>");
    assert_string_equal(list.root, "/lwm2m");
    expect_list("</a/b/>;rt=\"core.rd oma.lwm2m\",</a/b/3/0>", "</>;rt=\"core.rd oma.lwm2m\",</3/0>");
    assert_string_equal(list.root, "/a/b");
}

static void test_REG_32_object_links_without_the_prefix(void **state) {
    (void)state;
    expect_list("</alt>;rt=\"oma.lwm2m\",</3/0>", "</>;rt=\"oma.lwm2m\",</3/0>");
    assert_string_equal(list.root, "/alt");
    assert_non_null(list.oddity);
}

static void test_LNK_16_numeric_alternate_paths(void **state) {
    (void)state;
    expect_error("</5>;rt=\"oma.lwm2m\",</5/3/0>");
    expect_error("</a/5>;rt=\"oma.lwm2m\"");
}

static void test_REG_30_objects_a_server_must_not_see(void **state) {
    (void)state;
    expect_list("</0/0>,</0>,</1/0>,</21/0>,</23>,</24/1>,</3/0>", "</1/0>,</3/0>");
}

static void test_REG_29_unusual_lists(void **state) {
    (void)state;
    expect_list("</>", "</>");
    assert_non_null(list.warning);
    expect_list("</33999/7>", "</33999/7>");
    expect_list("</1/0>,</3/0>", "</1/0>,</3/0>");
    assert_null(list.warning);
}

static void test_LNK_11_LNK_12_attributes_of_every_kind(void **state) {
    (void)state;
    expect_list("</3/0>;obs;hb;x=\"a,b;c>d\\\"e\"", "</3/0>;obs;hb;x=\"a,b;c>d\\\"e\"");
    expect_list("</3200/0/5501>;rt=\"\";v=\"7\";aobs=\"238\"", "</3200/0/5501>;v=7;aobs=238");
    expect_list("</14/0>;rt=\"Component Version\";v=\"\"", "</14/0>;rt=\"Component Version\";v=\"\"");
}

static void test_LNK_13_LNK_15_what_is_no_list(void **state) {
    (void)state;
    static const char *const bad[] = {
        "</65535>", "</70000/0>", "</abc/0>", "</1/0/3/4/5>", "<coap://h/1/0>", "</2/0></2/1>", "garbage",
        "</1/0",    "<1/0>",      "</01>",    "</1/0>;=x",    "</1/0>;a=\"b",   "</1//0>",      "</ 1>",
        "</-1>",    "</1/0>x",    "<>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(bad[i]);
}

static void test_UPD_04_a_whole_list_keeps_the_root_link(void **state) {
    (void)state;
    assert_true(object_list_build(&list, slice_str("</lwm2m/5/0>"), slice_str("</>;rt=\"oma.lwm2m\";ct=60,</3/0>"),
                                  slice_str("/lwm2m"), OBJECT_LIST_WHOLE));
    assert_true(slice_is(slice_of(list.text, list.len), "</>;rt=\"oma.lwm2m\";ct=60,</5/0>"));
    assert_string_equal(list.root, "/lwm2m");
    free(list.text);
    assert_true(build("</>;ct=110,</5/0>", "</>;rt=\"oma.lwm2m\";ct=60,</3/0>", OBJECT_LIST_WHOLE));
    assert_true(slice_is(slice_of(list.text, list.len), "</>;ct=110,</5/0>"));
    free(list.text);
}

static void test_UPD_05_a_delta_adds_changes_and_removes(void **state) {
    (void)state;
    static const char before[] = "</1/0>,</3/0>;v=1,</5/0>";
    assert_true(build("</3/0>;v=2,</4/0>,</5/0>;d", before, OBJECT_LIST_DELTA));
    assert_true(slice_is(slice_of(list.text, list.len), "</1/0>,</3/0>;v=2,</4/0>"));
    free(list.text);
    assert_true(build("</5/0>;d,</5/0>;x=1", before, OBJECT_LIST_DELTA));
    assert_true(slice_is(slice_of(list.text, list.len), "</1/0>,</3/0>;v=1,</5/0>;x=1"));
    free(list.text);
}

static void test_many_links_and_many_attributes(void **state) {
    (void)state;
    char *text = malloc(400000);
    size_t len = 0;
    for (int i = 0; i < 20000; i++)
        len += (size_t)sprintf(text + len, "%s</%d/%d>", i == 0 ? "" : ",", 5000 - i / 5, i % 5);
    assert_true(object_list_build(&list, slice_of(text, len), SLICE_NONE, SLICE_NONE, OBJECT_LIST_WHOLE));
    free(list.text);
    len = (size_t)sprintf(text, "</1/0>");
    for (int i = 0; i < 65; i++)
        len += (size_t)sprintf(text + len, ";a%d", i);
    assert_false(object_list_build(&list, slice_of(text, len), SLICE_NONE, SLICE_NONE, OBJECT_LIST_WHOLE));
    free(text);
}

static void test_the_canonical_form_is_its_own(void **state) {
    (void)state;
    static const char *const texts[] = {
        "</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542\",</1>;ver=1.1,</1/0>,</3/0>",
        "</3/0>;x=\"\\\\\\\"\";y=a;z",
        "</3/0>;a=#$%;b=\"q\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_true(build(texts[i], "", OBJECT_LIST_WHOLE));
        struct object_list first = list;
        assert_true(
            object_list_build(&list, slice_of(first.text, first.len), SLICE_NONE, SLICE_NONE, OBJECT_LIST_WHOLE));
        assert_true(slice_equal(slice_of(first.text, first.len), slice_of(list.text, list.len)));
        free(first.text);
        free(list.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_LNK_01_LNK_14_sorted_and_merged),
        cmocka_unit_test(test_LNK_02_LNK_03_LNK_19_versions_are_written_bare),
        cmocka_unit_test(test_LNK_04_odd_versions_are_told),
        cmocka_unit_test(test_LNK_06_LNK_07_white_space_and_commas),
        cmocka_unit_test(test_LNK_08_a_slash_at_the_end),
        cmocka_unit_test(test_LNK_09_LNK_10_root_link),
        cmocka_unit_test(test_REG_31_alternate_path),
        cmocka_unit_test(test_REG_32_object_links_without_the_prefix),
        cmocka_unit_test(test_LNK_16_numeric_alternate_paths),
        cmocka_unit_test(test_REG_30_objects_a_server_must_not_see),
        cmocka_unit_test(test_REG_29_unusual_lists),
        cmocka_unit_test(test_LNK_11_LNK_12_attributes_of_every_kind),
        cmocka_unit_test(test_LNK_13_LNK_15_what_is_no_list),
        cmocka_unit_test(test_UPD_04_a_whole_list_keeps_the_root_link),
        cmocka_unit_test(test_UPD_05_a_delta_adds_changes_and_removes),
        cmocka_unit_test(test_many_links_and_many_attributes),
        cmocka_unit_test(test_the_canonical_form_is_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
