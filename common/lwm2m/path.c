#include "common/lwm2m/path.h"

bool lwm2m_path_parse(struct slice text, struct lwm2m_path *path, bool *trailing_slash) {
    size_t at = 0;
    *path = (struct lwm2m_path){.len = 0};
    if (trailing_slash != NULL)
        *trailing_slash = false;
    if (text.len > 0 && text.data[0] == '/')
        at++;
    while (at < text.len) {
        size_t start = at;
        uint32_t id = 0;
        while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9' && at - start < 5)
            id = id * 10 + (uint32_t)(text.data[at++] - '0');
        size_t digits = at - start;
        if (digits == 0 || (digits > 1 && text.data[start] == '0') || id > LWM2M_ID_MAX || path->len == LWM2M_PATH_IDS)
            return false;
        path->ids[path->len++] = (uint16_t)id;
        if (at == text.len)
            break;
        if (text.data[at++] != '/')
            return false;
        if (at == text.len && trailing_slash != NULL)
            *trailing_slash = true;
    }
    return true;
}

void lwm2m_path_put(struct buffer *out, const struct lwm2m_path *path) {
    if (path->len == 0)
        buffer_put_u8(out, '/');
    for (uint8_t i = 0; i < path->len; i++) {
        buffer_put_u8(out, '/');
        buffer_put_decimal(out, path->ids[i]);
    }
}
