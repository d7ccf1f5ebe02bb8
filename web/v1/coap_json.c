#include "web/v1/coap_json.h"

#include <stdlib.h>
#include <strings.h>

#include "common/base/text.h"
#include "common/lwm2m/format.h"

json_t *coap_json_base64(struct slice bytes) {
    size_t cap = (bytes.len + 2) / 3 * 4;
    uint8_t *memory = malloc(cap + 1);
    if (memory == NULL)
        return json_null();
    struct buffer text = buffer_over(memory, cap);
    text_put_base64(&text, bytes);
    json_t *string = json_stringn((const char *)memory, text.len);
    free(memory);
    return string;
}

uint8_t *coap_json_bytes(const json_t *string, size_t *len) {
    size_t cap = json_string_length(string) + 1;
    uint8_t *memory = json_is_string(string) ? malloc(cap) : NULL;
    struct buffer bytes = buffer_over(memory, cap);
    if (memory == NULL)
        return NULL;
    if (!text_get_base64(slice_of(json_string_value(string), json_string_length(string)), &bytes)) {
        free(memory);
        return NULL;
    }
    *len = bytes.len;
    return memory;
}

bool coap_json_method(struct slice text, uint8_t *method) {
    static const char *const names[] = {"GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "iPATCH"};
    uint64_t detail;
    for (uint8_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (text.len == strlen(names[i]) && strncasecmp((const char *)text.data, names[i], text.len) == 0) {
            *method = (uint8_t)(i + 1);
            return true;
        }
    }
    if (text.len != 4 || !slice_starts_with(text, "0.") || !slice_to_u64(slice_from(text, 2), 31, &detail) ||
        detail == 0)
        return false;
    *method = (uint8_t)detail;
    return true;
}

bool coap_json_format(struct slice text, int *format) {
    uint64_t number;
    if (slice_to_u64(text, UINT16_MAX, &number)) {
        *format = (int)number;
        return true;
    }
    *format = (int)lwm2m_format_from_name(text);
    return *format != (int)LWM2M_FORMAT_NONE;
}
