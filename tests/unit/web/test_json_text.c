/* What is written as text is byte for byte what Jansson makes of the same as a tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "web/document.h"
#include "web/json_text.h"

static void assert_same(const struct buffer *text, json_t *tree) {
    char *expected = json_dumps(tree, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_non_null(expected);
    assert_false(text->overflow);
    assert_int_equal(text->len, strlen(expected));
    assert_memory_equal(text->data, expected, text->len);
    free(expected);
    json_decref(tree);
}

static void assert_string(const char *bytes, size_t len) {
    uint8_t memory[1024];
    struct buffer text = buffer_over(memory, sizeof memory);
    json_text_string(&text, slice_of(bytes, len));
    assert_same(&text, document_text(slice_of(bytes, len)));
}

static void test_every_byte_alone_and_between_others(void **state) {
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char bytes[] = {'a', (char)c, 'z'};
        assert_string(bytes + 1, 1);
        assert_string(bytes, 3);
    }
}

static void test_any_bytes(void **state) {
    (void)state;
    static const char pieces[][5] = {
        "\"",           "\\",       "/",    "\n", "\x1f", "\x7f", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x9A\xA2",
        "\xED\xA0\x80", "\xC0\x80", "\xFF", "x"};
    for (int round = 0; round < 5000; round++) {
        char bytes[64];
        size_t len = 0;
        for (uint64_t count = random_below(12); count > 0; count--) {
            const char *piece = pieces[random_below(sizeof pieces / sizeof pieces[0])];
            size_t piece_len = random_below(4) == 0 ? 1 : strlen(piece); /* some are cut off */
            memcpy(bytes + len, piece, piece_len);
            len += piece_len;
        }
        assert_string(bytes, len);
    }
}

static void test_strings_behind_text_of_ours(void **state) {
    (void)state;
    uint8_t memory[64];
    struct buffer text = buffer_over(memory, sizeof memory);
    json_text_string_after(&text, "/rd/", slice_str("a\"b"));
    assert_same(&text, json_string("/rd/a\"b"));
}

static void test_members_and_entries_have_commas_between_them(void **state) {
    (void)state;
    struct address address = {.family = ADDRESS_IPV4, .port = 5683, .ip = {192, 0, 2, 1}},
                   none = {.family = ADDRESS_NONE};
    uint8_t memory[512];
    struct buffer text = buffer_over(memory, sizeof memory);
    buffer_put_str(&text, "{");
    json_text_name(&text, "empty");
    buffer_put_str(&text, "[]");
    json_text_name(&text, "list");
    buffer_put_str(&text, "[");
    for (unsigned i = 0; i < 3; i++) {
        json_text_entry(&text);
        json_text_truth(&text, i == 1);
    }
    buffer_put_str(&text, "]");
    json_text_name(&text, "at");
    json_text_time(&text, 1780000000123);
    json_text_name(&text, "from");
    json_text_address(&text, &address);
    json_text_name(&text, "nowhere");
    json_text_address(&text, &none);
    json_text_name(&text, "tree");
    json_text_tree(&text, json_pack("{s[ii]s{}}", "a", 1, 2, "b"));
    json_text_name(&text, "missing");
    json_text_tree(&text, NULL);
    buffer_put_str(&text, "}");
    assert_same(&text, json_pack("{s[]s[bbb]sososososn}", "empty", "list", 0, 1, 0, "at", document_time(1780000000123),
                                 "from", document_address(&address), "nowhere", document_address(&none), "tree",
                                 json_pack("{s[ii]s{}}", "a", 1, 2, "b"), "missing"));
}

/* Whoever has no room doubles the memory and writes again from where it began. */
static void test_it_grows_until_it_fits(void **state) {
    (void)state;
    struct buffer text = {0};
    char expected[3][10001];
    json_t *list = json_array();
    assert_true(json_text_grow(&text, 0));
    buffer_put_str(&text, "[");
    for (int i = 0; i < 3; i++) {
        memset(expected[i], 'a' + i, 10000);
        expected[i][10000] = '\0';
        json_array_append_new(list, json_string(expected[i]));
        for (size_t start = text.len;;) {
            json_text_entry(&text);
            json_text_tree(&text, json_string(expected[i]));
            if (!text.overflow)
                break;
            assert_true(json_text_grow(&text, start));
        }
    }
    buffer_put_str(&text, "]");
    assert_same(&text, list);
    free(text.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_alone_and_between_others),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_strings_behind_text_of_ours),
        cmocka_unit_test(test_members_and_entries_have_commas_between_them),
        cmocka_unit_test(test_it_grows_until_it_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
