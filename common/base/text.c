#include "common/base/text.h"

void text_put_hex(struct buffer *out, struct slice bytes) {
    static const char digits[] = "0123456789abcdef";
    uint8_t *at = buffer_take(out, 2 * bytes.len);
    for (size_t i = 0; at != NULL && i < bytes.len; i++) {
        *at++ = (uint8_t)digits[bytes.data[i] >> 4];
        *at++ = (uint8_t)digits[bytes.data[i] & 15];
    }
}

static int hex_value(uint8_t c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_get_hex(struct slice text, struct buffer *out) {
    if (text.len % 2 != 0)
        return false;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_value(text.data[i]), low = hex_value(text.data[i + 1]);
        if (high < 0 || low < 0)
            return false;
        buffer_put_u8(out, (uint8_t)(high << 4 | low));
    }
    return !out->overflow;
}

static void put_base64(struct buffer *out, struct slice bytes, const char digits[64], bool padded) {
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        if (have > 1)
            group |= (uint32_t)bytes.data[i + 1] << 8;
        if (have > 2)
            group |= bytes.data[i + 2];
        for (size_t k = 0; k < 4; k++) {
            if (k <= have || padded)
                buffer_put_u8(out, k <= have ? (uint8_t)digits[group >> (18 - 6 * k) & 63] : '=');
        }
    }
}

void text_put_base64(struct buffer *out, struct slice bytes) {
    put_base64(out, bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true);
}

void text_put_base64url(struct buffer *out, struct slice bytes) {
    put_base64(out, bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false);
}

static int base64_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

bool text_get_base64(struct slice text, struct buffer *out) {
    size_t len = text.len;
    if (len > 0 && len % 4 == 0) {
        for (int padding = 0; padding < 2 && text.data[len - 1] == '='; padding++)
            len--;
    }
    if (len % 4 == 1)
        return false;
    uint32_t bits = 0;
    for (size_t i = 0; i < len; i++) {
        int value = base64_value(text.data[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 > 0)
            buffer_put_u8(out, (uint8_t)(bits >> (6 - 2 * (i % 4))));
    }
    return !out->overflow;
}
