#include "web/query.h"

#include "common/base/text.h"

bool percent_decode(struct slice text, bool plus, struct buffer *out, struct slice *decoded) {
    size_t start = out->len;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        if (byte != '%') {
            buffer_put_u8(out, plus && byte == '+' ? ' ' : byte);
            continue;
        }
        if (text.len - i < 3 || !text_get_hex(slice_of(text.data + i + 1, 2), out))
            return false;
        i += 2;
    }
    *decoded = slice_of(out->data + start, out->len - start);
    return !out->overflow;
}

const char *query_parse(struct slice text, struct buffer *memory, struct query *query) {
    query->count = 0;
    while (text.len > 0) {
        const uint8_t *amp = memchr(text.data, '&', text.len);
        struct slice item = amp == NULL ? text : slice_of(text.data, (size_t)(amp - text.data));
        text = amp == NULL ? SLICE_NONE : slice_from(text, item.len + 1);
        if (item.len == 0)
            continue;
        if (query->count == QUERY_ITEMS_MAX)
            return "The query has more than 16 parameters.";
        const uint8_t *equals = memchr(item.data, '=', item.len);
        struct slice name = equals == NULL ? item : slice_of(item.data, (size_t)(equals - item.data));
        struct slice value = equals == NULL ? slice_of("", 0) : slice_of(equals + 1, item.len - name.len - 1);
        if (!percent_decode(name, true, memory, &query->items[query->count].name) ||
            !percent_decode(value, true, memory, &query->items[query->count].value))
            return "In the query a '%' is not followed by two hexadecimal digits.";
        query->count++;
    }
    return NULL;
}

struct slice query_get(const struct query *query, const char *name) {
    for (size_t i = 0; i < query->count; i++)
        if (slice_is(query->items[i].name, name))
            return query->items[i].value;
    return SLICE_NONE;
}
