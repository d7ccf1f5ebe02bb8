#include "web/json_text.h"

#include <stdlib.h>

#include "common/base/duration.h"
#include "web/document.h"

enum { TEXT_MIN = 4096 };

static bool is_comma_due(const struct buffer *out) {
    uint8_t last = out->len == 0 ? '[' : out->data[out->len - 1];
    return last != '[' && last != '{';
}

void json_text_entry(struct buffer *out) {
    if (is_comma_due(out))
        buffer_put_u8(out, ',');
}

void json_text_name(struct buffer *out, const char *name) {
    size_t comma = is_comma_due(out) ? 1 : 0, len = strlen(name);
    uint8_t *at = buffer_take(out, comma + len + 3);
    if (at == NULL)
        return;
    at[0] = ',';
    at[comma] = '"';
    memcpy(at + comma + 1, name, len);
    at[comma + len + 1] = '"';
    at[comma + len + 2] = ':';
}

/* ---- strings ---- */

/* RFC 8259 §7. */
static void put_escape(struct buffer *out, uint8_t c) {
    static const char hex[] = "0123456789ABCDEF", letters[] = "btn?fr"; /* from 8 on; 11 has none */
    if (c == '"' || c == '\\') {
        buffer_put_u8(out, '\\');
        buffer_put_u8(out, c);
    } else if (c >= 8 && c <= 13 && c != 11) {
        buffer_put_u8(out, '\\');
        buffer_put_u8(out, (uint8_t)letters[c - 8]);
    } else {
        uint8_t unicode[] = {'\\', 'u', '0', '0', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15]};
        buffer_put(out, unicode, sizeof unicode);
    }
}

static bool is_plain(uint8_t c) {
    return c >= ' ' && c != '"' && c != '\\';
}

static void put_escaped(struct buffer *out, struct slice text) {
    while (text.len > 0) {
        size_t plain = 0;
        while (plain < text.len && is_plain(text.data[plain]))
            plain++;
        buffer_put(out, text.data, plain);
        if (plain < text.len)
            put_escape(out, text.data[plain]);
        text = slice_from(text, plain + 1);
    }
}

void json_text_string_after(struct buffer *out, const char *text, struct slice bytes) {
    buffer_put_u8(out, '"');
    buffer_put_str(out, text);
    if (slice_is_utf8(bytes)) {
        put_escaped(out, bytes);
    } else {
        for (size_t at = 0, len; at < bytes.len; at += len)
            put_escaped(out, document_character(bytes, at, &len));
    }
    buffer_put_u8(out, '"');
}

void json_text_string(struct buffer *out, struct slice bytes) {
    json_text_string_after(out, "", bytes);
}

void json_text_plain(struct buffer *out, const char *text) {
    buffer_put_u8(out, '"');
    buffer_put_str(out, text);
    buffer_put_u8(out, '"');
}

/* ---- other values ---- */

void json_text_truth(struct buffer *out, bool truth) {
    buffer_put_str(out, truth ? "true" : "false");
}

void json_text_null(struct buffer *out) {
    buffer_put_str(out, "null");
}

void json_text_time(struct buffer *out, uint64_t unix_ms) {
    buffer_put_u8(out, '"');
    time_put(out, unix_ms);
    buffer_put_u8(out, '"');
}

void json_text_address(struct buffer *out, const struct address *address) {
    if (address->family == ADDRESS_NONE) {
        json_text_null(out);
        return;
    }
    buffer_put_u8(out, '"');
    address_put(out, address);
    buffer_put_u8(out, '"');
}

void json_text_tree(struct buffer *out, json_t *tree) {
    size_t room = out->overflow ? 0 : out->cap - out->len;
    size_t len =
        tree == NULL ? 0 : json_dumpb(tree, (char *)out->data + out->len, room, JSON_COMPACT | JSON_ENCODE_ANY);
    if (tree == NULL)
        json_text_null(out);
    else
        buffer_take(out, len);
    json_decref(tree);
}

bool json_text_grow(struct buffer *out, size_t len) {
    size_t cap = out->cap == 0 ? TEXT_MIN : 2 * out->cap;
    uint8_t *data = realloc(out->data, cap);
    if (data == NULL)
        return false;
    *out = (struct buffer){.data = data, .len = len, .cap = cap};
    return true;
}
