#include "web/range.h"

static bool read_number(struct slice text, uint64_t *number) {
    return text.len == 0 || slice_to_u64(text, UINT64_MAX, number);
}

enum range range_read(struct slice field, size_t size, size_t *first, size_t *end) {
    static const char unit[] = "bytes=";
    uint64_t from = 0, to = UINT64_MAX;
    if (!slice_starts_with(field, unit))
        return RANGE_NONE;
    field = slice_from(field, sizeof unit - 1);
    const uint8_t *dash = field.len == 0 ? NULL : memchr(field.data, '-', field.len);
    if (dash == NULL)
        return RANGE_NONE;
    struct slice left = slice_of(field.data, (size_t)(dash - field.data)), right = slice_from(field, left.len + 1);
    if (!read_number(left, &from) || !read_number(right, &to) || (left.len == 0 && right.len == 0))
        return RANGE_NONE;
    if (left.len == 0) { /* so many from the end */
        if (to == 0)
            return RANGE_UNSATISFIABLE;
        from = to > size ? 0 : size - to;
        to = UINT64_MAX;
    }
    if (to < from)
        return RANGE_NONE;
    if (from >= size)
        return RANGE_UNSATISFIABLE;
    *first = (size_t)from;
    *end = to >= size ? size : (size_t)to + 1;
    return RANGE_GOOD;
}
