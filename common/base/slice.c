#include "common/base/slice.h"

bool slice_to_u64(struct slice text, uint64_t max, uint64_t *value) {
    if (text.len == 0 || text.len > 20)
        return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < '0' || c > '9')
            return false;
        uint64_t digit = (uint64_t)(c - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    if (sum > max)
        return false;
    *value = sum;
    return true;
}

bool slice_is_utf8(struct slice text) {
    size_t i = 0;
    while (i < text.len) {
        uint8_t lead = text.data[i];
        size_t more;
        uint32_t point, least;
        if (lead < 0x80) {
            i++;
            continue;
        } else if ((lead & 0xe0) == 0xc0) {
            more = 1, point = lead & 0x1f, least = 0x80;
        } else if ((lead & 0xf0) == 0xe0) {
            more = 2, point = lead & 0x0f, least = 0x800;
        } else if ((lead & 0xf8) == 0xf0) {
            more = 3, point = lead & 0x07, least = 0x10000;
        } else {
            return false;
        }
        if (text.len - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++) {
            uint8_t next = text.data[i + k];
            if ((next & 0xc0) != 0x80)
                return false;
            point = point << 6 | (next & 0x3f);
        }
        if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
            return false;
        i += more + 1;
    }
    return true;
}
