#include "web/field.h"

#include <string.h>
#include <strings.h>

struct slice field_trim(struct slice text) {
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_from(text, 1);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

struct slice field_take(struct slice *rest, uint8_t separator) {
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->data, separator, rest->len);
    struct slice part = end == NULL ? *rest : slice_of(rest->data, (size_t)(end - rest->data));
    *rest = slice_from(*rest, part.len + 1);
    return field_trim(part);
}

bool field_is(struct slice text, const char *word) {
    return text.len == strlen(word) && (text.len == 0 || strncasecmp((const char *)text.data, word, text.len) == 0);
}

unsigned field_weight(struct slice parameters) {
    while (parameters.len > 0) {
        struct slice parameter = field_take(&parameters, ';');
        unsigned weight = 0, unit = 100;
        if (parameter.len < 3 || (parameter.data[0] | 0x20) != 'q' || parameter.data[1] != '=')
            continue;
        if (parameter.data[2] != '0')
            return 1000;
        for (size_t i = 4; i < parameter.len && unit > 0; i++, unit /= 10)
            weight +=
                parameter.data[i] >= '0' && parameter.data[i] <= '9' ? unit * (unsigned)(parameter.data[i] - '0') : 0;
        return weight;
    }
    return 1000;
}
