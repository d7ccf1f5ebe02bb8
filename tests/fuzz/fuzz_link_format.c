/* Link format: every link and attribute lies inside the text; a value that was written reads the same; an object list is
 * canonical: read back it is itself. The first byte tells how much of the input a client announced with its Register;
 * the rest comes with an Update. */
#include <stdlib.h>

#include "common/lwm2m/link_format.h"
#include "server/object_list.h"

static void require(bool holds) {
    if (!holds)
        abort();
}

static void require_inside(struct slice part, struct slice whole) {
    require(part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len));
}

/* The value as it is written: quoted, its escapes anew. */
static void write_and_read(struct slice value) {
    size_t cap = 2 * value.len + 16;
    uint8_t *plain_bytes = malloc(cap), *text_bytes = malloc(cap), *again_bytes = malloc(cap);
    struct buffer plain = buffer_over(plain_bytes, cap), text = buffer_over(text_bytes, cap);
    struct buffer again = buffer_over(again_bytes, cap);
    link_format_unescape(&plain, value);
    buffer_put_str(&text, "</>;a=");
    link_format_put_value(&text, buffer_slice(&plain), true);
    require(!plain.overflow && !text.overflow);

    struct link_format_cursor cursor;
    struct link_format_link link;
    struct slice read = SLICE_NONE;
    link_format_start(&cursor, buffer_slice(&text));
    require(link_format_next(&cursor, &link) && link_format_find(&link, "a", &read));
    link_format_unescape(&again, read);
    require(slice_equal(buffer_slice(&again), buffer_slice(&plain)));
    free(plain_bytes);
    free(text_bytes);
    free(again_bytes);
}

static void walk(struct slice text) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    link_format_start(&cursor, text);
    while (link_format_next(&cursor, &link)) {
        struct link_format_attribute attribute;
        size_t at = 0;
        require_inside(link.target, text);
        require_inside(link.attributes, text);
        while (link_format_attribute(&link, &at, &attribute)) {
            require(at <= link.attributes.len && attribute.name.len > 0);
            require_inside(attribute.name, link.attributes);
            require_inside(attribute.value, link.attributes);
            write_and_read(attribute.value);
        }
    }
    require(cursor.at <= text.len);
}

/* What is known of a client stays as it is when an Update adds nothing to it. */
static void require_canonical(const struct object_list *list) {
    struct object_list again;
    struct slice text = slice_of(list->text, list->len);
    require(object_list_build(&again, SLICE_NONE, text, slice_str(list->root), OBJECT_LIST_DELTA));
    require(slice_equal(text, slice_of(again.text, again.len)));
    require(strcmp(list->root, again.root) == 0 && again.oddity == NULL);
    free(again.text);
}

static void build(struct slice announced, struct slice update, enum object_list_mode mode) {
    struct object_list first, second;
    if (!object_list_build(&first, announced, SLICE_NONE, SLICE_NONE, OBJECT_LIST_WHOLE)) {
        require(first.error[0] != '\0');
        return;
    }
    require_canonical(&first);
    struct slice before = slice_of(first.text, first.len);
    if (object_list_build(&second, update, before, slice_str(first.root), mode)) {
        require_canonical(&second);
        free(second.text);
    }
    free(first.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct slice text = slice_of(data + 1, size - 1);
    size_t cut = text.len * data[0] / 255;
    walk(text);
    build(slice_of(text.data, cut), slice_from(text, cut), OBJECT_LIST_WHOLE);
    build(slice_of(text.data, cut), slice_from(text, cut), OBJECT_LIST_DELTA);
    return 0;
}
