#include "common/lwm2m/json_reader.h"

#include <math.h>
#include <stdlib.h>

enum { NUMBER_TEXT_MAX = 512, EXPONENT_MAX = 10000 };

static bool refuse(struct json_reader *reader, const char *why) {
    reader->remark = why;
    return false;
}

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

/* The next byte, or NUL, which has no place outside of strings, at the end. */
static uint8_t peek(const struct json_reader *reader) {
    return reader->rest.len > 0 ? reader->rest.data[0] : 0;
}

static void advance(struct json_reader *reader, size_t len) {
    reader->rest = slice_from(reader->rest, len);
}

static void skip_space(struct json_reader *reader) {
    size_t len = 0;
    while (len < reader->rest.len && memchr(" \t\n\r", reader->rest.data[len], 4) != NULL)
        len++;
    advance(reader, len);
}

/* ---- strings (RFC 8259 §7) ---- */

/* The four digits after `\u`. */
static bool read_unit(struct slice text, uint32_t *unit) {
    *unit = 0;
    if (text.len < 4)
        return false;
    for (size_t i = 0; i < 4; i++) {
        uint8_t c = text.data[i], lower = c | 0x20;
        if (!is_digit(c) && (lower < 'a' || lower > 'f'))
            return false;
        *unit = *unit << 4 | (uint32_t)(is_digit(c) ? c - '0' : lower - 'a' + 10);
    }
    return true;
}

static void put_utf8(struct buffer *out, uint32_t point) {
    if (point < 0x80) {
        buffer_put_u8(out, (uint8_t)point);
        return;
    }
    if (point < 0x800) {
        buffer_put_u8(out, (uint8_t)(0xc0 | point >> 6));
    } else {
        if (point < 0x10000) {
            buffer_put_u8(out, (uint8_t)(0xe0 | point >> 12));
        } else {
            buffer_put_u8(out, (uint8_t)(0xf0 | point >> 18));
            buffer_put_u8(out, (uint8_t)(0x80 | (point >> 12 & 0x3f)));
        }
        buffer_put_u8(out, (uint8_t)(0x80 | (point >> 6 & 0x3f)));
    }
    buffer_put_u8(out, (uint8_t)(0x80 | (point & 0x3f)));
}

/* `\u00e9`, or the two halves of a character beyond U+FFFF; `rest` begins after the backslash. */
static bool unescape_point(struct json_reader *reader) {
    uint32_t point, low;
    if (!read_unit(slice_from(reader->rest, 1), &point))
        return refuse(reader, "four hexadecimal digits follow \\u");
    advance(reader, 5);
    if (point >= 0xd800 && point <= 0xdfff) {
        if (point >= 0xdc00 || !slice_starts_with(reader->rest, "\\u") ||
            !read_unit(slice_from(reader->rest, 2), &low) || low < 0xdc00 || low > 0xdfff)
            return refuse(reader, "an escape is half a character");
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        advance(reader, 6);
    }
    put_utf8(reader->scratch, point);
    return true;
}

static bool unescape(struct json_reader *reader) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    uint8_t c = peek(reader);
    if (c == 'u')
        return unescape_point(reader);
    const char *letter = c == 0 ? NULL : strchr(letters, c);
    if (letter == NULL)
        return refuse(reader, "a string has an escape that JSON does not have");
    buffer_put_u8(reader->scratch, (uint8_t)meanings[letter - letters]);
    advance(reader, 1);
    return true;
}

static size_t count_plain(struct slice text) {
    size_t len = 0;
    while (len < text.len && text.data[len] >= ' ' && text.data[len] != '"' && text.data[len] != '\\')
        len++;
    return len;
}

static bool read_string(struct json_reader *reader, struct slice *text) {
    advance(reader, 1);
    size_t plain = count_plain(reader->rest);
    *text = slice_of(reader->rest.data, plain);
    if (plain < reader->rest.len && reader->rest.data[plain] == '"') {
        advance(reader, plain + 1);
        return true;
    }
    size_t start = reader->scratch->len;
    for (;;) {
        plain = count_plain(reader->rest);
        buffer_put(reader->scratch, reader->rest.data, plain);
        advance(reader, plain);
        uint8_t c = peek(reader);
        if (reader->rest.len == 0)
            return refuse(reader, "a string does not end");
        advance(reader, 1);
        if (c == '"')
            break;
        if (c != '\\')
            return refuse(reader, "a control character stands in a string");
        if (!unescape(reader))
            return false;
    }
    if (reader->scratch->overflow)
        return refuse(reader, "more text than is taken at once");
    *text = slice_of(reader->scratch->data + start, reader->scratch->len - start);
    return true;
}

/* ---- numbers (RFC 8259 §6) ---- */

static size_t count_digits(struct slice text) {
    size_t count = 0;
    while (count < text.len && is_digit(text.data[count]))
        count++;
    return count;
}

static bool read_number(struct json_reader *reader, struct slice *text) {
    struct slice all = reader->rest;
    if (peek(reader) == '-')
        advance(reader, 1);
    size_t digits = count_digits(reader->rest);
    if (digits == 0)
        return refuse(reader, "a number has no digits");
    if (digits > 1 && peek(reader) == '0')
        return refuse(reader, "a number begins with a zero");
    advance(reader, digits);
    if (peek(reader) == '.') {
        advance(reader, 1);
        digits = count_digits(reader->rest);
        if (digits == 0)
            return refuse(reader, "no digits follow a point");
        advance(reader, digits);
    }
    if (peek(reader) == 'e' || peek(reader) == 'E') {
        advance(reader, 1);
        if (peek(reader) == '+' || peek(reader) == '-')
            advance(reader, 1);
        digits = count_digits(reader->rest);
        if (digits == 0)
            return refuse(reader, "an exponent has no digits");
        advance(reader, digits);
    }
    *text = slice_of(all.data, all.len - reader->rest.len);
    return true;
}

/* The whole number that the digits, point and exponent of `text` say; false when they say none or one of more than 64
 * bits. */
static bool read_whole(struct slice text, uint64_t *whole) {
    long exponent = 0, zeros = 0; /* zeros: how many were read since the last other digit */
    size_t at = 0;
    bool fraction = false;
    *whole = 0;
    for (; at < text.len && (text.data[at] | 0x20) != 'e'; at++) {
        if (text.data[at] == '.') {
            fraction = true;
            continue;
        }
        exponent -= fraction;
        zeros++;
        if (text.data[at] == '0')
            continue;
        for (; zeros > 0 && *whole > 0; zeros--) {
            if (__builtin_mul_overflow(*whole, 10u, whole))
                return false;
        }
        zeros = 0;
        if (__builtin_add_overflow(*whole, (uint64_t)(text.data[at] - '0'), whole))
            return false;
    }
    if (at < text.len) {
        bool negative = text.data[at + 1] == '-';
        long written = 0;
        for (at++; at < text.len; at++) {
            if (is_digit(text.data[at]) && written < EXPONENT_MAX)
                written = written * 10 + (text.data[at] - '0');
        }
        exponent += negative ? -written : written;
    }
    if (*whole == 0)
        return true;
    for (exponent += zeros; exponent > 0; exponent--) {
        if (__builtin_mul_overflow(*whole, 10u, whole))
            return false;
    }
    return exponent == 0;
}

static bool is_plain(struct slice text) {
    return memchr(text.data, '.', text.len) == NULL && memchr(text.data, 'e', text.len) == NULL &&
           memchr(text.data, 'E', text.len) == NULL;
}

/* What the double nearest to a whole number leaves of it. */
static bool has_exactly(double real, uint64_t whole) {
    double size = fabs(real);
    return size < 0x1p64 && (uint64_t)size == whole;
}

bool json_number(const struct json_token *token, struct lwm2m_value *number) {
    char copy[NUMBER_TEXT_MAX];
    struct slice text = token->text;
    bool negative = text.len > 0 && text.data[0] == '-';
    uint64_t whole;
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    double real = strtod(copy, NULL);
    bool fits = read_whole(slice_from(text, negative), &whole) && (!negative || whole <= UINT64_C(1) << 63);
    if (!fits || (!is_plain(text) && has_exactly(real, whole)))
        *number = (struct lwm2m_value){.type = LWM2M_FLOAT, .real = real};
    else if (negative || whole <= INT64_MAX)
        *number = lwm2m_integer(negative ? (int64_t)(0 - whole) : (int64_t)whole);
    else
        *number = (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = whole};
    /* An integer just below -2^63 would pass for that. */
    return isfinite(real) && (fits || !is_plain(text) || real != -0x1p63);
}

/* ---- tokens ---- */

static bool in_object(const struct json_reader *reader) {
    return (reader->objects >> (reader->depth - 1) & 1) != 0;
}

static void expect_next(struct json_reader *reader) {
    reader->expect = reader->depth == 0 ? JSON_EXPECT_END : JSON_EXPECT_NEXT;
}

static bool enter(struct json_reader *reader, bool object) {
    if (reader->depth == JSON_DEPTH_MAX)
        return refuse(reader, "more levels than are taken");
    uint8_t bit = (uint8_t)(1u << reader->depth++);
    reader->objects = (uint8_t)(object ? reader->objects | bit : reader->objects & ~bit);
    reader->expect = JSON_EXPECT_FIRST;
    advance(reader, 1);
    return true;
}

static bool read_word(struct json_reader *reader, const char *word, enum json_token_kind kind,
                      struct json_token *token) {
    if (!slice_starts_with(reader->rest, word))
        return refuse(reader, "a value is expected");
    token->kind = kind;
    advance(reader, strlen(word));
    expect_next(reader);
    return true;
}

static bool read_value(struct json_reader *reader, struct json_token *token) {
    switch (peek(reader)) {
    case '{':
        token->kind = JSON_TOKEN_OBJECT;
        return enter(reader, true);
    case '[':
        token->kind = JSON_TOKEN_ARRAY;
        return enter(reader, false);
    case '"':
        token->kind = JSON_TOKEN_STRING;
        expect_next(reader);
        return read_string(reader, &token->text);
    case 't':
        return read_word(reader, "true", JSON_TOKEN_TRUE, token);
    case 'f':
        return read_word(reader, "false", JSON_TOKEN_FALSE, token);
    case 'n':
        return read_word(reader, "null", JSON_TOKEN_NULL, token);
    default:
        if (peek(reader) != '-' && !is_digit(peek(reader)))
            return refuse(reader, reader->rest.len == 0 ? "the text ends too early" : "a value is expected");
        token->kind = JSON_TOKEN_NUMBER;
        expect_next(reader);
        return read_number(reader, &token->text);
    }
}

static bool read_key(struct json_reader *reader, struct json_token *token) {
    if (peek(reader) != '"')
        return refuse(reader, "a name in quotes is expected");
    token->kind = JSON_TOKEN_KEY;
    if (!read_string(reader, &token->text))
        return false;
    skip_space(reader);
    if (peek(reader) != ':')
        return refuse(reader, "a colon is expected after a name");
    advance(reader, 1);
    reader->expect = JSON_EXPECT_VALUE;
    return true;
}

/* Inside a container: its end, or the next of what it holds. */
static bool read_item(struct json_reader *reader, struct json_token *token) {
    bool object = in_object(reader);
    if (peek(reader) == (object ? '}' : ']')) {
        token->kind = object ? JSON_TOKEN_OBJECT_END : JSON_TOKEN_ARRAY_END;
        reader->depth--;
        advance(reader, 1);
        expect_next(reader);
        return true;
    }
    if (reader->expect == JSON_EXPECT_NEXT) {
        if (peek(reader) != ',')
            return refuse(reader, "a comma or an end is expected");
        advance(reader, 1);
        skip_space(reader);
    }
    return object ? read_key(reader, token) : read_value(reader, token);
}

void json_reader_begin(struct json_reader *reader, struct slice text, struct buffer *scratch) {
    *reader = (struct json_reader){.rest = text, .scratch = scratch};
}

bool json_reader_next(struct json_reader *reader, struct json_token *token) {
    *token = (struct json_token){.kind = JSON_TOKEN_END};
    skip_space(reader);
    switch (reader->expect) {
    case JSON_EXPECT_VALUE:
        return read_value(reader, token);
    case JSON_EXPECT_FIRST:
    case JSON_EXPECT_NEXT:
        return read_item(reader, token);
    case JSON_EXPECT_END:
        break;
    }
    return reader->rest.len == 0 || refuse(reader, "something follows the end");
}

static const char *wrong_kind(enum json_token_kind kind) {
    switch (kind) {
    case JSON_TOKEN_ARRAY:
        return "an array is expected";
    case JSON_TOKEN_OBJECT:
        return "an object is expected";
    case JSON_TOKEN_STRING:
        return "a string is expected";
    case JSON_TOKEN_NUMBER:
        return "a number is expected";
    default:
        return "something else is expected";
    }
}

bool json_reader_expect(struct json_reader *reader, enum json_token_kind kind, struct json_token *token) {
    return json_reader_next(reader, token) && (token->kind == kind || refuse(reader, wrong_kind(kind)));
}

bool json_reader_skip(struct json_reader *reader) {
    size_t depth = reader->depth, used = reader->scratch->len;
    struct json_token token;
    do {
        if (!json_reader_next(reader, &token))
            return false;
        reader->scratch->len = used; /* nobody looks at the strings */
    } while (reader->depth > depth);
    return true;
}
