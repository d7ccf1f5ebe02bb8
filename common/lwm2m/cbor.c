#include "common/lwm2m/cbor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/lwm2m/value.h"

/* ---- encoding ---- */

static bool put_text(struct buffer *out, struct slice text) {
    cbor_put_text(out, text);
    return slice_is_utf8(text);
}

bool cbor_value_encode(const struct lwm2m_value *value, enum cbor_time time, struct buffer *out) {
    switch (value->type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
        if (!put_text(out, value->bytes))
            return false;
        break;
    case LWM2M_INTEGER:
        cbor_put_integer(out, value->integer);
        break;
    case LWM2M_TIME:
        if (time == CBOR_TIME_TAGGED)
            cbor_put_tag(out, CBOR_TAG_TIME);
        cbor_put_integer(out, value->integer);
        break;
    case LWM2M_UNSIGNED:
        cbor_put_unsigned(out, value->natural);
        break;
    case LWM2M_FLOAT:
        cbor_put_float(out, value->real);
        break;
    case LWM2M_BOOLEAN:
        cbor_put_simple(out, value->truth ? CBOR_TRUE : CBOR_FALSE);
        break;
    case LWM2M_OPAQUE:
        cbor_put_bytes(out, value->bytes);
        break;
    case LWM2M_OBJLNK: {
        char memory[sizeof "65535:65535"];
        struct buffer text = buffer_over(memory, sizeof memory);
        buffer_put_decimal(&text, value->link.object);
        buffer_put_u8(&text, ':');
        buffer_put_decimal(&text, value->link.instance);
        cbor_put_text(out, buffer_slice(&text));
        break;
    }
    case LWM2M_NONE:
    case LWM2M_RAW:
        return false;
    }
    return !out->overflow;
}

/* ---- times as text (RFC 3339) ---- */

struct date_time {
    uint64_t year, month, day, hour, minute, second;
};

/* Take `digits` digits and, when `then` is not NUL, the character after them, of either case. */
static bool take_number(struct slice *text, size_t digits, char then, uint64_t max, uint64_t *number) {
    if (text->len < digits || !slice_to_u64(slice_of(text->data, digits), max, number))
        return false;
    *text = slice_from(*text, digits);
    if (then == '\0')
        return true;
    if (text->len == 0 || (text->data[0] | 0x20) != (then | 0x20))
        return false;
    *text = slice_from(*text, 1);
    return true;
}

/* Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that a leap day comes last. */
static int64_t days_of(const struct date_time *at) {
    int64_t year = (int64_t)at->year - (at->month < 3), month = ((int64_t)at->month + 9) % 12;
    int64_t leap_days = year >= 0 ? year / 4 - year / 100 + year / 400 : -1; /* year -1 is January of year 0 */
    return year * 365 + leap_days + (month * 153 + 2) / 5 + (int64_t)at->day - 1 - 719468;
}

static bool is_day_of_month(const struct date_time *at) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = at->year % 4 == 0 && (at->year % 100 != 0 || at->year % 400 == 0);
    return at->day >= 1 && at->day <= days[at->month - 1] + (uint64_t)(is_leap && at->month == 2);
}

/* `Z`, or how far local time is ahead. */
static bool take_offset(struct slice text, int64_t *offset_s) {
    uint64_t hours, minutes;
    *offset_s = 0;
    if (slice_is(text, "Z") || slice_is(text, "z"))
        return true;
    if (text.len == 0 || (text.data[0] != '+' && text.data[0] != '-'))
        return false;
    bool behind = text.data[0] == '-';
    text = slice_from(text, 1);
    if (!take_number(&text, 2, ':', 23, &hours) || !take_number(&text, 2, '\0', 59, &minutes) || text.len > 0)
        return false;
    *offset_s = (int64_t)(hours * 60 + minutes) * 60;
    if (behind)
        *offset_s = -*offset_s;
    return true;
}

static bool read_date_time(struct slice text, int64_t *unix_s, const char **remark) {
    struct date_time at;
    int64_t offset_s;
    if (!take_number(&text, 4, '-', 9999, &at.year) || !take_number(&text, 2, '-', 12, &at.month) || at.month == 0 ||
        !take_number(&text, 2, 'T', 31, &at.day) || !is_day_of_month(&at) ||
        !take_number(&text, 2, ':', 23, &at.hour) || !take_number(&text, 2, ':', 59, &at.minute) ||
        !take_number(&text, 2, '\0', 60, &at.second))
        return false;
    if (text.len > 1 && text.data[0] == '.') {
        size_t len = 1;
        while (len < text.len && text.data[len] >= '0' && text.data[len] <= '9')
            len++;
        if (len == 1)
            return false;
        text = slice_from(text, len);
        *remark = "the fraction of a second is left out";
    }
    if (!take_offset(text, &offset_s))
        return false;
    *unix_s = days_of(&at) * 86400 + (int64_t)(at.hour * 3600 + at.minute * 60 + at.second) - offset_s;
    return true;
}

/* ---- decoding ---- */

static bool read_decimal(struct cbor_reader *reader, struct lwm2m_value *value) {
    struct cbor_item exponent, mantissa;
    int64_t exponent_value, mantissa_value;
    char text[64];
    if (!cbor_more(reader) || !cbor_read(reader, &exponent) || !cbor_more(reader) || !cbor_read(reader, &mantissa) ||
        cbor_more(reader) || !cbor_to_int64(&exponent, &exponent_value) || !cbor_to_int64(&mantissa, &mantissa_value))
        return cbor_fail(reader, "a decimal fraction is two integers");
    snprintf(text, sizeof text, "%llde%lld", (long long)mantissa_value, (long long)exponent_value);
    *value = (struct lwm2m_value){.type = LWM2M_FLOAT, .real = strtod(text, NULL)};
    return true;
}

/* A number with tag 1. */
static bool to_time(struct cbor_reader *reader, struct lwm2m_value *value, const char **remark) {
    if (value->type == LWM2M_FLOAT) {
        double seconds = floor(value->real);
        if (!(fabs(seconds) < 0x1p63))
            return cbor_fail(reader, "a time is out of range");
        if (seconds != value->real)
            *remark = "the fraction of a second is left out";
        *value = lwm2m_time((int64_t)seconds);
        return true;
    }
    if (value->type != LWM2M_INTEGER)
        return cbor_fail(reader, "a time is out of range");
    *value = lwm2m_time(value->integer);
    return true;
}

static bool read_number(struct cbor_reader *reader, const struct cbor_item *item, struct lwm2m_value *value,
                        const char **remark) {
    if (item->type == CBOR_FLOAT) {
        *value = (struct lwm2m_value){.type = LWM2M_FLOAT, .real = item->real};
        if (!isfinite(item->real))
            *remark = "a float is not finite";
    } else if (item->type == CBOR_UNSIGNED && item->number > INT64_MAX) {
        *value = (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = item->number};
    } else {
        *value = (struct lwm2m_value){.type = LWM2M_INTEGER};
        if (!cbor_to_int64(item, &value->integer))
            return cbor_fail(reader, "an integer has more than 64 bits");
    }
    return item->tag != CBOR_TAG_TIME || to_time(reader, value, remark);
}

static bool read_text(struct cbor_reader *reader, const struct cbor_item *item, struct lwm2m_value *value,
                      const char **remark) {
    if (item->tag == CBOR_TAG_TIME_TEXT) {
        *value = lwm2m_time(0);
        return read_date_time(item->bytes, &value->integer, remark) ||
               cbor_fail(reader, "text with tag 0 is a date and time");
    }
    *value = lwm2m_bytes(LWM2M_STRING, item->bytes);
    if (!slice_is_utf8(item->bytes))
        *remark = "the text is not UTF-8";
    return true;
}

bool cbor_value_of(struct cbor_reader *reader, const struct cbor_item *item, struct lwm2m_value *value,
                   const char **remark) {
    switch (item->type) {
    case CBOR_UNSIGNED:
    case CBOR_NEGATIVE:
    case CBOR_FLOAT:
        return read_number(reader, item, value, remark);
    case CBOR_TEXT:
        return read_text(reader, item, value, remark);
    case CBOR_BYTES:
        *value = lwm2m_bytes(LWM2M_OPAQUE, item->bytes);
        return true;
    case CBOR_ARRAY:
        return item->tag == CBOR_TAG_DECIMAL ? read_decimal(reader, value) : cbor_fail(reader, "an array is no value");
    case CBOR_MAP:
        return cbor_fail(reader, "a map is no value");
    case CBOR_SIMPLE:
        if (item->number == CBOR_FALSE || item->number == CBOR_TRUE)
            *value = lwm2m_boolean(item->number == CBOR_TRUE);
        else if (item->number == CBOR_NULL)
            *value = (struct lwm2m_value){.type = LWM2M_NONE};
        else
            return cbor_fail(reader, "undefined is no value");
        return true;
    }
    return cbor_fail(reader, "there is no value");
}

bool cbor_value_read(struct cbor_reader *reader, struct lwm2m_value *value, const char **remark) {
    struct cbor_item item;
    return cbor_read(reader, &item) && cbor_value_of(reader, &item, value, remark);
}

bool cbor_value_decode(struct slice bytes, enum lwm2m_type type, struct buffer *scratch, struct lwm2m_value *value,
                       const char **remark) {
    struct cbor_reader reader = cbor_reader_over(bytes, scratch);
    const char *odd = NULL;
    if (cbor_value_read(&reader, value, &odd) && value->type == LWM2M_NONE)
        cbor_fail(&reader, "null is no value");
    if (!cbor_at_end(&reader)) {
        *remark = reader.fault;
        return false;
    }
    if (!lwm2m_value_convert(value, type, NULL, remark))
        return false;
    if (odd != NULL)
        *remark = odd;
    return true;
}
