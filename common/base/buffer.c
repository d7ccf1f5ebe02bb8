#include "common/base/buffer.h"

#include <stdarg.h>
#include <stdio.h>

void buffer_put_decimal(struct buffer *b, uint64_t value) {
    char digits[20];
    size_t n = sizeof digits;
    do {
        digits[--n] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buffer_put(b, digits + n, sizeof digits - n);
}

void buffer_printf(struct buffer *b, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof text) {
        b->overflow = true;
        return;
    }
    buffer_put(b, text, (size_t)len);
}
