#include "common/oscore/option.h"

enum { FLAG_PIV_LEN = 0x07, FLAG_KID = 0x08, FLAG_KID_CONTEXT = 0x10, FLAGS_RESERVED = 0xe0 };

static bool take(struct slice *rest, size_t len, struct slice *part) {
    if (len > rest->len)
        return false;
    *part = slice_of(rest->data, len);
    *rest = slice_from(*rest, len);
    return true;
}

bool oscore_option_decode(struct slice value, struct oscore_option *option) {
    *option = (struct oscore_option){0};
    if (value.len == 0)
        return true;
    if (value.len > OSCORE_OPTION_MAX)
        return false;
    uint8_t flags = value.data[0];
    struct slice rest = slice_from(value, 1), len;
    if (flags == 0 || (flags & FLAGS_RESERVED) != 0 || (flags & FLAG_PIV_LEN) > OSCORE_PIV_MAX ||
        !take(&rest, flags & FLAG_PIV_LEN, &option->piv))
        return false;
    option->has_kid_context = (flags & FLAG_KID_CONTEXT) != 0;
    option->has_kid = (flags & FLAG_KID) != 0;
    if (option->has_kid_context && (!take(&rest, 1, &len) || !take(&rest, len.data[0], &option->kid_context)))
        return false;
    if (option->has_kid)
        option->kid = rest;
    return option->has_kid || rest.len == 0;
}

bool oscore_option_encode(const struct oscore_option *option, struct buffer *out) {
    uint8_t flags = (uint8_t)option->piv.len;
    if (option->piv.len > OSCORE_PIV_MAX || option->kid_context.len > UINT8_MAX)
        return false;
    if (option->has_kid)
        flags |= FLAG_KID;
    if (option->has_kid_context)
        flags |= FLAG_KID_CONTEXT;
    if (flags == 0)
        return true;
    buffer_put_u8(out, flags);
    buffer_put_slice(out, option->piv);
    if (option->has_kid_context) {
        buffer_put_u8(out, (uint8_t)option->kid_context.len);
        buffer_put_slice(out, option->kid_context);
    }
    if (option->has_kid)
        buffer_put_slice(out, option->kid);
    return !out->overflow;
}

uint64_t oscore_piv_number(struct slice piv) {
    return slice_number(piv);
}

struct slice oscore_piv_bytes(uint64_t number, uint8_t memory[OSCORE_PIV_MAX]) {
    size_t len = 1;
    while (len < OSCORE_PIV_MAX && number >> (8 * len) != 0)
        len++;
    for (size_t i = 0; i < len; i++)
        memory[i] = (uint8_t)(number >> (8 * (len - 1 - i)));
    return slice_of(memory, len);
}
