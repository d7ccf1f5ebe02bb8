#include "common/lwm2m/format.h"

#include "common/lwm2m/json.h"
#include "common/lwm2m/lwm2m_cbor.h"
#include "common/lwm2m/senml_cbor.h"
#include "common/lwm2m/senml_json.h"
#include "common/lwm2m/text.h"
#include "common/lwm2m/tlv.h"
#include "common/lwm2m/value.h"

enum { LEVEL_RESOURCE = 3, LEVEL_RESOURCE_INSTANCE = 4 };

enum {
    SINGLE = 1 << LWM2M_USE_RESOURCE | 1 << LWM2M_USE_RESOURCE_INSTANCE | 1 << LWM2M_USE_BOOTSTRAP_RESOURCE,
    MANY = SINGLE | 1 << LWM2M_USE_INSTANCE | 1 << LWM2M_USE_BOOTSTRAP,
    ETCH = 1 << LWM2M_USE_FETCH | 1 << LWM2M_USE_IPATCH,
    REPORTS = 1 << LWM2M_USE_COMPOSITE_ANSWER | 1 << LWM2M_USE_SEND,
};

/* Core 1.2 Tables 7.5-1 to 7.5-3, Transport 1.2 Table 6.4.4-1. */
static const struct {
    enum lwm2m_format format;
    unsigned uses; /* a bit for each */
    const char *name;
} formats[] = {
    {LWM2M_FORMAT_TEXT, SINGLE, "text"},
    {LWM2M_FORMAT_LINK, 0, "link"},
    {LWM2M_FORMAT_OPAQUE, SINGLE, "opaque"},
    {LWM2M_FORMAT_CBOR, SINGLE, "cbor"},
    {LWM2M_FORMAT_SENML_JSON, MANY | ETCH | REPORTS, "senml-json"},
    {LWM2M_FORMAT_SENML_CBOR, MANY | ETCH | REPORTS, "senml-cbor"},
    {LWM2M_FORMAT_SENML_ETCH_JSON, ETCH, "senml-etch-json"},
    {LWM2M_FORMAT_SENML_ETCH_CBOR, ETCH, "senml-etch-cbor"},
    {LWM2M_FORMAT_TLV, MANY, "tlv"},
    {LWM2M_FORMAT_JSON, MANY, "json"},
    {LWM2M_FORMAT_LWM2M_CBOR, MANY | 1 << LWM2M_USE_IPATCH | REPORTS, "lwm2m-cbor"},
};

enum { FORMATS = sizeof formats / sizeof formats[0] };

static int registered_number(int content_format) {
    switch (content_format) {
    case 1541:
        return LWM2M_FORMAT_TEXT;
    case 99:
    case 1542:
        return LWM2M_FORMAT_TLV;
    case 1543:
        return LWM2M_FORMAT_JSON;
    default:
        return content_format;
    }
}

enum lwm2m_format lwm2m_format_of(int content_format) {
    int number = registered_number(content_format);
    for (size_t i = 0; i < FORMATS; i++) {
        if ((int)formats[i].format == number)
            return formats[i].format;
    }
    return LWM2M_FORMAT_NONE;
}

const char *lwm2m_format_name(enum lwm2m_format format) {
    for (size_t i = 0; i < FORMATS; i++) {
        if (formats[i].format == format)
            return formats[i].name;
    }
    return "none";
}

enum lwm2m_format lwm2m_format_from_name(struct slice name) {
    for (size_t i = 0; i < FORMATS; i++) {
        if (slice_is(name, formats[i].name))
            return formats[i].format;
    }
    return LWM2M_FORMAT_NONE;
}

bool lwm2m_format_allows(enum lwm2m_format format, enum lwm2m_format_use use) {
    for (size_t i = 0; i < FORMATS; i++) {
        if (formats[i].format == format)
            return (formats[i].uses >> use & 1) != 0;
    }
    return false;
}

/* Whether content about `base` may have the format; more than a codec needs to know is not asked. */
static bool has_place(enum lwm2m_format format, enum senml_mode mode, const struct lwm2m_path *base) {
    switch (mode) {
    case SENML_FETCH:
        return lwm2m_format_allows(format, LWM2M_USE_FETCH);
    case SENML_PATCH:
        return lwm2m_format_allows(format, LWM2M_USE_IPATCH);
    case SENML_CONTENT:
        break;
    }
    if (base->len == 0)
        return lwm2m_format_allows(format, LWM2M_USE_COMPOSITE_ANSWER);
    if (base->len < LEVEL_RESOURCE)
        return lwm2m_format_allows(format, LWM2M_USE_INSTANCE);
    return lwm2m_format_allows(format, base->len == LEVEL_RESOURCE ? LWM2M_USE_RESOURCE : LWM2M_USE_RESOURCE_INSTANCE);
}

/* Only the formats made for it tell removal. */
static struct senml_context senml_context_of(enum lwm2m_format format, enum senml_mode mode, struct lwm2m_path base,
                                             struct slice root, int64_t now_ms) {
    bool is_etch = format == LWM2M_FORMAT_SENML_ETCH_JSON || format == LWM2M_FORMAT_SENML_ETCH_CBOR;
    return (struct senml_context){
        .mode = mode == SENML_PATCH && !is_etch ? SENML_CONTENT : mode, .base = base, .root = root, .now_ms = now_ms};
}

/* ---- decoding ---- */

static bool refuse(struct lwm2m_nodes *out, const char *why) {
    out->remark = why;
    return false;
}

/* The first oddity is the one that is told. */
static void tolerate(struct lwm2m_nodes *out, const char *what) {
    if (out->remark == NULL)
        out->remark = what;
}

static enum lwm2m_type declared_type(const struct lwm2m_decode_context *context, const struct lwm2m_path *path) {
    enum lwm2m_type type = context->type_of == NULL ? LWM2M_RAW : context->type_of(context->arg, path);
    return type == LWM2M_NONE ? LWM2M_RAW : type;
}

/* The formats that are one value. */
static bool decode_value(enum lwm2m_format format, struct slice payload, const struct lwm2m_decode_context *context,
                         struct buffer *scratch, struct lwm2m_nodes *out) {
    enum lwm2m_type type = declared_type(context, &context->base);
    struct lwm2m_value value = lwm2m_bytes(LWM2M_OPAQUE, payload);
    bool good = true;
    out->fault_path = context->base;
    if (format == LWM2M_FORMAT_TEXT)
        good = lwm2m_text_decode(payload, type == LWM2M_RAW ? LWM2M_STRING : type, scratch, &value, &out->remark);
    else if (format == LWM2M_FORMAT_CBOR)
        good = cbor_value_decode(payload, type, scratch, &value, &out->remark);
    return good && lwm2m_nodes_add(out, &context->base, value);
}

static bool decode_nodes(enum lwm2m_format format, struct slice payload, const struct lwm2m_decode_context *context,
                         struct buffer *scratch, struct lwm2m_nodes *out) {
    const struct lwm2m_path *base = &context->base;
    struct senml_context senml = senml_context_of(format, context->mode, *base, context->root, context->now_ms);
    struct lwm2m_json_context json = {.base = *base, .root = context->root, .now_ms = context->now_ms};
    switch (format) {
    case LWM2M_FORMAT_TEXT:
    case LWM2M_FORMAT_OPAQUE:
    case LWM2M_FORMAT_CBOR:
        return decode_value(format, payload, context, scratch, out);
    case LWM2M_FORMAT_SENML_JSON:
    case LWM2M_FORMAT_SENML_ETCH_JSON:
        return senml_json_decode(payload, &senml, scratch, out);
    case LWM2M_FORMAT_SENML_CBOR:
    case LWM2M_FORMAT_SENML_ETCH_CBOR:
        return senml_cbor_decode(payload, &senml, scratch, out);
    case LWM2M_FORMAT_TLV:
        return tlv_decode(payload, base, out);
    case LWM2M_FORMAT_JSON:
        return lwm2m_json_decode(payload, &json, scratch, out);
    case LWM2M_FORMAT_LWM2M_CBOR:
        return lwm2m_cbor_decode(payload, base, scratch, out);
    case LWM2M_FORMAT_LINK:
    case LWM2M_FORMAT_NONE:
        break;
    }
    return refuse(out, "the content format tells no values");
}

/* Give values the types of their resources. */
static bool convert(enum lwm2m_format format, const struct lwm2m_decode_context *context, struct buffer *scratch,
                    struct lwm2m_nodes *out) {
    struct buffer *base64 = format == LWM2M_FORMAT_JSON ? scratch : NULL; /* there an Opaque is text */
    for (size_t i = 0; i < out->count; i++) {
        struct lwm2m_node *node = &out->nodes[i];
        const char *remark;
        if (node->value.type == LWM2M_NONE)
            continue;
        if (!lwm2m_value_convert(&node->value, declared_type(context, &node->path), base64, &remark)) {
            out->fault_path = node->path;
            return refuse(out, remark);
        }
        if (remark != NULL)
            tolerate(out, remark);
    }
    return true;
}

bool lwm2m_decode(int content_format, struct slice payload, const struct lwm2m_decode_context *context,
                  struct buffer *scratch, struct lwm2m_nodes *out) {
    enum lwm2m_format format = lwm2m_format_of(content_format);
    lwm2m_nodes_begin(out);
    if (format == LWM2M_FORMAT_NONE)
        return refuse(out, "the content format is not known");
    if (!has_place(format, context->mode, &context->base))
        return refuse(out, "the content format has no place there");
    if (!decode_nodes(format, payload, context, scratch, out) || !convert(format, context, scratch, out))
        return false;
    if ((int)format != content_format)
        tolerate(out, "the content format has a number from before it was registered");
    return true;
}

/* ---- encoding ---- */

static bool encode_value(enum lwm2m_format format, const struct lwm2m_node *nodes, size_t count,
                         const struct lwm2m_path *base, struct buffer *out) {
    if (count != 1 || !lwm2m_path_equal(&nodes->path, base) || nodes->has_time)
        return false;
    if (format == LWM2M_FORMAT_TEXT)
        return lwm2m_text_encode(&nodes->value, out);
    if (format == LWM2M_FORMAT_CBOR)
        return cbor_value_encode(&nodes->value, CBOR_TIME_TAGGED, out);
    if (nodes->value.type != LWM2M_OPAQUE)
        return false;
    buffer_put_slice(out, nodes->value.bytes);
    return !out->overflow;
}

bool lwm2m_encode(int content_format, const struct lwm2m_node *nodes, size_t count,
                  const struct lwm2m_encode_context *context, struct buffer *out) {
    enum lwm2m_format format = lwm2m_format_of(content_format);
    const struct lwm2m_path *base = &context->base;
    struct senml_context senml = senml_context_of(format, context->mode, *base, context->root, 0);
    struct lwm2m_json_context json = {.base = *base, .root = context->root};
    if (!has_place(format, context->mode, base))
        return false;
    switch (format) {
    case LWM2M_FORMAT_TEXT:
    case LWM2M_FORMAT_OPAQUE:
    case LWM2M_FORMAT_CBOR:
        return encode_value(format, nodes, count, base, out);
    case LWM2M_FORMAT_SENML_JSON:
    case LWM2M_FORMAT_SENML_ETCH_JSON:
        return senml_json_encode(nodes, count, &senml, out);
    case LWM2M_FORMAT_SENML_CBOR:
    case LWM2M_FORMAT_SENML_ETCH_CBOR:
        return senml_cbor_encode(nodes, count, &senml, context->time, out);
    case LWM2M_FORMAT_TLV:
        return tlv_encode(nodes, count, base, out);
    case LWM2M_FORMAT_JSON:
        return lwm2m_json_encode(nodes, count, &json, out);
    case LWM2M_FORMAT_LWM2M_CBOR:
        return lwm2m_cbor_encode(nodes, count, base, context->time, out);
    case LWM2M_FORMAT_LINK:
    case LWM2M_FORMAT_NONE:
        break;
    }
    return false;
}
