#include "common/lwm2m/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"

enum { FLOAT_TEXT_MAX = 512 };

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

static size_t count_digits(struct slice text) {
    size_t count = 0;
    while (count < text.len && is_digit(text.data[count]))
        count++;
    return count;
}

static bool fail(const char **remark, const char *why) {
    *remark = why;
    return false;
}

/* ---- encoding ---- */

static void put_integer(struct buffer *out, int64_t integer) {
    if (integer < 0)
        buffer_put_u8(out, '-');
    buffer_put_decimal(out, integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer);
}

/* The fewest digits that read back as the same number, without an exponent (Table C-2: "0.00000000006667"). */
static void put_float(struct buffer *out, double real) {
    char text[32], digits[20];
    int precision = 0, count = 0;
    do {
        snprintf(text, sizeof text, "%.*e", precision, real);
    } while (++precision < 17 && strtod(text, NULL) != real);
    const char *at = text;
    if (*at == '-')
        buffer_put_u8(out, (uint8_t)*at++);
    for (; *at != 'e'; at++) {
        if (*at != '.')
            digits[count++] = *at;
    }
    int point = (int)strtol(at + 1, NULL, 10) + 1; /* digits before it */
    if (point <= 0)
        buffer_put_str(out, "0.");
    for (int i = point; i < 0; i++)
        buffer_put_u8(out, '0');
    for (int i = 0; i < count || i < point; i++) {
        if (i == point && point > 0)
            buffer_put_u8(out, '.');
        buffer_put_u8(out, i < count ? (uint8_t)digits[i] : '0');
    }
}

bool lwm2m_text_encode(const struct lwm2m_value *value, struct buffer *out) {
    switch (value->type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
        buffer_put_slice(out, value->bytes);
        break;
    case LWM2M_INTEGER:
    case LWM2M_TIME:
        put_integer(out, value->integer);
        break;
    case LWM2M_UNSIGNED:
        buffer_put_decimal(out, value->natural);
        break;
    case LWM2M_FLOAT:
        if (!isfinite(value->real))
            return false;
        put_float(out, value->real);
        break;
    case LWM2M_BOOLEAN:
        buffer_put_u8(out, value->truth ? '1' : '0');
        break;
    case LWM2M_OPAQUE:
        text_put_base64(out, value->bytes);
        break;
    case LWM2M_OBJLNK:
        buffer_put_decimal(out, value->link.object);
        buffer_put_u8(out, ':');
        buffer_put_decimal(out, value->link.instance);
        break;
    case LWM2M_NONE:
    case LWM2M_RAW:
        return false;
    }
    return !out->overflow;
}

/* ---- decoding ---- */

/* Digits with leading zeros, which are let pass; the whole of `text`. */
static bool read_digits(struct slice text, uint64_t max, uint64_t *number) {
    if (text.len == 0 || count_digits(text) != text.len)
        return false;
    while (text.len > 1 && text.data[0] == '0')
        text = slice_from(text, 1);
    return slice_to_u64(text, max, number);
}

static bool read_integer(struct slice text, int64_t *integer) {
    uint64_t number;
    bool negative = text.len > 0 && text.data[0] == '-';
    if (negative || (text.len > 0 && text.data[0] == '+'))
        text = slice_from(text, 1);
    if (!read_digits(text, (uint64_t)INT64_MAX + negative, &number))
        return false;
    *integer = negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

static bool read_unsigned(struct slice text, uint64_t *number) {
    if (text.len > 0 && text.data[0] == '+')
        text = slice_from(text, 1);
    return read_digits(text, UINT64_MAX, number);
}

/* [+-] digits [. digits] [e [+-] digits]; neither hexadecimal nor "nan" nor "inf", which strtod would take. */
static bool is_float(struct slice text) {
    if (text.len > 0 && (text.data[0] == '-' || text.data[0] == '+'))
        text = slice_from(text, 1);
    size_t digits = count_digits(text);
    text = slice_from(text, digits);
    if (text.len > 0 && text.data[0] == '.') {
        size_t more = count_digits(slice_from(text, 1));
        digits += more;
        text = slice_from(text, 1 + more);
    }
    if (digits == 0)
        return false;
    if (text.len == 0)
        return true;
    if (text.data[0] != 'e' && text.data[0] != 'E')
        return false;
    text = slice_from(text, 1);
    if (text.len > 0 && (text.data[0] == '-' || text.data[0] == '+'))
        text = slice_from(text, 1);
    return text.len > 0 && count_digits(text) == text.len;
}

static bool read_float(struct slice text, double *real) {
    char copy[FLOAT_TEXT_MAX];
    if (text.len >= sizeof copy || !is_float(text))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *real = strtod(copy, NULL);
    return isfinite(*real);
}

/* `66:613`. Nothing, and the null link in hexadecimal, are seen from clients, and one client's separator is spoilt. */
static bool read_objlnk(struct slice text, struct lwm2m_objlnk *link, const char **remark) {
    uint64_t object, instance;
    if (text.len == 0 || slice_is(text, "FFFF:FFFF") || slice_is(text, "ffff:ffff")) {
        *link = (struct lwm2m_objlnk){LWM2M_ID_NONE, LWM2M_ID_NONE};
        *remark = "a null link is written 65535:65535";
        return true;
    }
    size_t len = count_digits(text);
    if (!slice_to_u64(slice_of(text.data, len), UINT16_MAX, &object) ||
        !slice_to_u64(slice_from(text, len + 1), UINT16_MAX, &instance))
        return fail(remark, "an object link is two numbers up to 65535 with a colon between them");
    if (text.data[len] != ':')
        *remark = "an object link has a colon between its numbers";
    *link = (struct lwm2m_objlnk){(uint16_t)object, (uint16_t)instance};
    return true;
}

bool lwm2m_text_decode(struct slice text, enum lwm2m_type type, struct buffer *scratch, struct lwm2m_value *value,
                       const char **remark) {
    *remark = NULL;
    *value = (struct lwm2m_value){.type = type};
    switch (type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
        value->bytes = text;
        if (!slice_is_utf8(text))
            *remark = "the text is not UTF-8";
        return true;
    case LWM2M_INTEGER:
    case LWM2M_TIME:
        return read_integer(text, &value->integer) || fail(remark, "an integer of 64 bits is expected");
    case LWM2M_UNSIGNED:
        return read_unsigned(text, &value->natural) || fail(remark, "an unsigned integer of 64 bits is expected");
    case LWM2M_FLOAT:
        return read_float(text, &value->real) || fail(remark, "a decimal number is expected");
    case LWM2M_BOOLEAN:
        value->truth = slice_is(text, "1");
        return value->truth || slice_is(text, "0") || fail(remark, "a boolean is 0 or 1");
    case LWM2M_OPAQUE: {
        size_t start = scratch->len;
        if (!text_get_base64(text, scratch))
            return fail(remark, "Base64 is expected");
        value->bytes = slice_of(scratch->data + start, scratch->len - start);
        return true;
    }
    case LWM2M_OBJLNK:
        return read_objlnk(text, &value->link, remark);
    case LWM2M_NONE:
    case LWM2M_RAW:
        break;
    }
    return fail(remark, "the type is not known");
}
