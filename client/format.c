#include "client/format.h"

static const struct {
    enum lwm2m_format format;
    uint8_t since, until; /* releases of LwM2M, times ten */
} formats[] = {
    {LWM2M_FORMAT_TEXT, 10, 12},
    {LWM2M_FORMAT_OPAQUE, 10, 12},
    {LWM2M_FORMAT_CBOR, 11, 12},
    {LWM2M_FORMAT_SENML_JSON, 11, 12},
    {LWM2M_FORMAT_SENML_CBOR, 11, 12},
    {LWM2M_FORMAT_SENML_ETCH_JSON, 12, 12},
    {LWM2M_FORMAT_SENML_ETCH_CBOR, 12, 12},
    {LWM2M_FORMAT_TLV, 10, 12},
    {LWM2M_FORMAT_JSON, 10, 10},
    {LWM2M_FORMAT_LWM2M_CBOR, 12, 12},
};

enum { FORMATS = sizeof formats / sizeof formats[0] };

static bool is_of(size_t i, uint8_t version) {
    return formats[i].since <= version && version <= formats[i].until;
}

bool format_is_spoken(int content_format, enum lwm2m_format_use use, uint8_t version) {
    for (size_t i = 0; i < FORMATS; i++) {
        if ((int)formats[i].format == content_format)
            return is_of(i, version) && lwm2m_format_allows(formats[i].format, use);
    }
    return false;
}

void format_put_list(uint8_t version, struct buffer *out) {
    const char *before = ";ct=\"";
    for (size_t i = 0; i < FORMATS; i++) {
        if (is_of(i, version)) {
            buffer_printf(out, "%s%d", before, formats[i].format);
            before = " ";
        }
    }
    buffer_put_u8(out, '"');
}
