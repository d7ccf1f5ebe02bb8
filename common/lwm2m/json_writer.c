#include "common/lwm2m/json_writer.h"

#include "common/lwm2m/text.h"

static void put_escape(struct buffer *out, uint8_t c) {
    static const char hex[] = "0123456789abcdef";
    uint8_t unicode[] = {'\\', 'u', '0', '0', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15]};
    if (c == '"' || c == '\\') {
        buffer_put_u8(out, '\\');
        buffer_put_u8(out, c);
    } else {
        buffer_put(out, unicode, sizeof unicode);
    }
}

static size_t count_plain(struct slice text) {
    size_t len = 0;
    while (len < text.len && text.data[len] >= ' ' && text.data[len] != '"' && text.data[len] != '\\')
        len++;
    return len;
}

bool json_put_string(struct buffer *out, struct slice text) {
    if (!slice_is_utf8(text))
        return false;
    buffer_put_u8(out, '"');
    while (text.len > 0) {
        size_t plain = count_plain(text);
        buffer_put(out, text.data, plain);
        if (plain < text.len)
            put_escape(out, text.data[plain]);
        text = slice_from(text, plain + 1);
    }
    buffer_put_u8(out, '"');
    return !out->overflow;
}

bool json_put_number(struct buffer *out, const struct lwm2m_value *number) {
    size_t start = out->len;
    if (number->type != LWM2M_INTEGER && number->type != LWM2M_UNSIGNED && number->type != LWM2M_TIME &&
        number->type != LWM2M_FLOAT)
        return false;
    if (!lwm2m_text_encode(number, out))
        return false;
    if (number->type == LWM2M_FLOAT && memchr(out->data + start, '.', out->len - start) == NULL)
        buffer_put_str(out, ".0");
    return !out->overflow;
}
