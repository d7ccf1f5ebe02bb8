#include "common/lwm2m/senml_json.h"

#include <math.h>

#include "common/base/text.h"
#include "common/lwm2m/json_reader.h"
#include "common/lwm2m/json_writer.h"
#include "common/lwm2m/text.h"

/* RFC 8428 Table 1, and `vlo` of Core 1.2 §7.5.6. */
static const struct label {
    const char *text;
    enum senml_field field;
    enum json_token_kind kind; /* what its value is; TRUE stands for both truths */
} labels[] = {
    {"n", SENML_N, JSON_TOKEN_STRING},       {"v", SENML_V, JSON_TOKEN_NUMBER},   {"vs", SENML_VS, JSON_TOKEN_STRING},
    {"vb", SENML_VB, JSON_TOKEN_TRUE},       {"vd", SENML_VD, JSON_TOKEN_STRING}, {"vlo", SENML_VLO, JSON_TOKEN_STRING},
    {"t", SENML_T, JSON_TOKEN_NUMBER},       {"bn", SENML_BN, JSON_TOKEN_STRING}, {"bt", SENML_BT, JSON_TOKEN_NUMBER},
    {"bv", SENML_BV, JSON_TOKEN_NUMBER},     {"u", SENML_U, JSON_TOKEN_STRING},   {"bu", SENML_BU, JSON_TOKEN_STRING},
    {"s", SENML_S, JSON_TOKEN_NUMBER},       {"bs", SENML_BS, JSON_TOKEN_NUMBER}, {"ut", SENML_UT, JSON_TOKEN_NUMBER},
    {"bver", SENML_BVER, JSON_TOKEN_NUMBER},
};

/* ---- encoding ---- */

static void put_label(struct buffer *out, const char *label, bool *first) {
    buffer_put_str(out, *first ? "\"" : ",\"");
    buffer_put_str(out, label);
    buffer_put_str(out, "\":");
    *first = false;
}

static bool put_seconds(struct buffer *out, double seconds) {
    struct lwm2m_value whole = lwm2m_integer((int64_t)seconds),
                       part = (struct lwm2m_value){.type = LWM2M_FLOAT, .real = seconds};
    return json_put_number(out, (double)whole.integer == seconds ? &whole : &part);
}

static bool put_quoted(struct buffer *out, const struct lwm2m_value *value) {
    buffer_put_u8(out, '"');
    if (value->type == LWM2M_OPAQUE)
        text_put_base64url(out, value->bytes);
    else
        lwm2m_text_encode(value, out);
    buffer_put_u8(out, '"');
    return !out->overflow;
}

static bool put_value(struct buffer *out, const struct senml_record *record, bool *first) {
    const struct lwm2m_value *value = &record->value;
    switch (record->fields & SENML_VALUES) {
    case SENML_V:
        put_label(out, "v", first);
        if (value->type != LWM2M_NONE)
            return json_put_number(out, value);
        buffer_put_str(out, "null");
        break;
    case SENML_VS:
        put_label(out, "vs", first);
        return json_put_string(out, value->bytes);
    case SENML_VB:
        put_label(out, "vb", first);
        buffer_put_str(out, value->truth ? "true" : "false");
        break;
    case SENML_VD:
        put_label(out, "vd", first);
        return put_quoted(out, value);
    case SENML_VLO:
        put_label(out, "vlo", first);
        return put_quoted(out, value);
    default: /* a path is asked for */
        break;
    }
    return !out->overflow;
}

static bool put_record(struct buffer *out, const struct senml_record *record) {
    bool first = true;
    buffer_put_u8(out, '{');
    if ((record->fields & SENML_BN) != 0) {
        put_label(out, "bn", &first);
        if (!json_put_string(out, record->base_name))
            return false;
    }
    if ((record->fields & SENML_BT) != 0) {
        put_label(out, "bt", &first);
        if (!put_seconds(out, record->base_time_s))
            return false;
    }
    if ((record->fields & SENML_N) != 0) {
        put_label(out, "n", &first);
        if (!json_put_string(out, record->name))
            return false;
    }
    if (!put_value(out, record, &first))
        return false;
    if ((record->fields & SENML_T) != 0) {
        put_label(out, "t", &first);
        if (!put_seconds(out, record->time_s))
            return false;
    }
    buffer_put_u8(out, '}');
    return !out->overflow;
}

bool senml_json_encode(const struct lwm2m_node *nodes, size_t count, const struct senml_context *context,
                       struct buffer *out) {
    struct senml_writer writer;
    struct senml_record record;
    if (!senml_write_begin(&writer, context, nodes, count))
        return false;
    buffer_put_u8(out, '[');
    for (bool first = true; senml_write_next(&writer, &record); first = false) {
        if (!first)
            buffer_put_u8(out, ',');
        if (!put_record(out, &record))
            return false;
    }
    buffer_put_u8(out, ']');
    return !out->overflow;
}

/* ---- decoding ---- */

struct decoder {
    struct json_reader reader;
    struct senml_resolver resolver;
    struct lwm2m_nodes *out;
};

static bool refuse(struct decoder *decoder, const char *why) {
    decoder->out->remark = why;
    return false;
}

static void tolerate(struct decoder *decoder, const char *what) {
    if (decoder->out->remark == NULL)
        decoder->out->remark = what;
}

static bool is_of_kind(const struct label *label, enum json_token_kind kind) {
    return label->kind == kind || (label->kind == JSON_TOKEN_TRUE && kind == JSON_TOKEN_FALSE) ||
           (label->field == SENML_V && kind == JSON_TOKEN_NULL);
}

static bool take_number(struct decoder *decoder, struct senml_record *record, enum senml_field field,
                        const struct json_token *token) {
    struct lwm2m_value number;
    if (token->kind == JSON_TOKEN_NULL) {
        record->value = (struct lwm2m_value){.type = LWM2M_NONE};
        return true;
    }
    if (!json_number(token, &number))
        return refuse(decoder, "a number is out of range");
    double real = number.type == LWM2M_FLOAT      ? number.real
                  : number.type == LWM2M_UNSIGNED ? (double)number.natural
                                                  : (double)number.integer;
    switch (field) {
    case SENML_V:
        record->value = number;
        break;
    case SENML_BV:
        record->base_value = number;
        break;
    case SENML_BT:
        record->base_time_s = real;
        break;
    case SENML_T:
        record->time_s = real;
        break;
    case SENML_BVER:
        if (number.type != LWM2M_INTEGER || number.integer < 0)
            return refuse(decoder, "the SenML version is no version");
        record->base_version = (uint64_t)number.integer;
        break;
    default: /* sums and update times tell nothing here */
        break;
    }
    return true;
}

static bool take_opaque(struct decoder *decoder, struct senml_record *record, struct slice text) {
    struct buffer *scratch = decoder->reader.scratch;
    size_t start = scratch->len;
    if (!text_get_base64(text, scratch))
        return refuse(decoder, "Base64 is expected");
    record->value = lwm2m_bytes(LWM2M_OPAQUE, slice_of(scratch->data + start, scratch->len - start));
    return true;
}

static bool take_link(struct decoder *decoder, struct senml_record *record, struct slice text) {
    const char *remark;
    bool good = lwm2m_text_decode(text, LWM2M_OBJLNK, decoder->reader.scratch, &record->value, &remark);
    if (!good)
        return refuse(decoder, remark);
    if (remark != NULL)
        tolerate(decoder, remark);
    return true;
}

static bool take_string(struct decoder *decoder, struct senml_record *record, enum senml_field field,
                        struct slice text) {
    switch (field) {
    case SENML_BN:
        record->base_name = text;
        break;
    case SENML_N:
        record->name = text;
        break;
    case SENML_VS:
        if (!slice_is_utf8(text))
            tolerate(decoder, "the text is not UTF-8");
        record->value = lwm2m_bytes(LWM2M_STRING, text);
        break;
    case SENML_VD:
        return take_opaque(decoder, record, text);
    case SENML_VLO:
        return take_link(decoder, record, text);
    default: /* units tell nothing here */
        break;
    }
    return true;
}

/* What follows a label. */
static bool read_field(struct decoder *decoder, struct senml_record *record, struct slice text) {
    const struct label *label = NULL;
    struct json_token token;
    for (size_t i = 0; label == NULL && i < sizeof labels / sizeof labels[0]; i++) {
        if (slice_is(text, labels[i].text))
            label = &labels[i];
    }
    if (label == NULL) {
        senml_record_add(record, senml_unknown_label(text));
        return json_reader_skip(&decoder->reader) || refuse(decoder, decoder->reader.remark);
    }
    if (!senml_record_add(record, label->field))
        return refuse(decoder, "a label comes twice in a record");
    if (!json_reader_next(&decoder->reader, &token))
        return refuse(decoder, decoder->reader.remark);
    if (!is_of_kind(label, token.kind))
        return refuse(decoder, "a label has a value of the wrong kind");
    switch (label->kind) {
    case JSON_TOKEN_NUMBER:
        return take_number(decoder, record, label->field, &token);
    case JSON_TOKEN_STRING:
        return take_string(decoder, record, label->field, token.text);
    default:
        record->value = lwm2m_boolean(token.kind == JSON_TOKEN_TRUE);
        return true;
    }
}

/* A sum with a base value may be beyond what a double holds. */
static bool is_in_range(const struct lwm2m_nodes *out) {
    const struct lwm2m_value *last = out->count > 0 ? &out->nodes[out->count - 1].value : NULL;
    return last == NULL || last->type != LWM2M_FLOAT || isfinite(last->real);
}

static bool read_record(struct decoder *decoder) {
    struct senml_record record = {.fields = 0};
    struct json_token token;
    for (;;) {
        if (!json_reader_next(&decoder->reader, &token))
            return refuse(decoder, decoder->reader.remark);
        if (token.kind == JSON_TOKEN_OBJECT_END)
            return senml_resolve(&decoder->resolver, &record) &&
                   (is_in_range(decoder->out) || refuse(decoder, "a number is out of range"));
        if (!read_field(decoder, &record, token.text))
            return false;
    }
}

static bool read_pack(struct decoder *decoder) {
    struct json_token token;
    if (!json_reader_expect(&decoder->reader, JSON_TOKEN_ARRAY, &token))
        return refuse(decoder, decoder->reader.remark);
    for (;;) {
        if (!json_reader_next(&decoder->reader, &token))
            return refuse(decoder, decoder->reader.remark);
        if (token.kind == JSON_TOKEN_ARRAY_END)
            break;
        if (token.kind != JSON_TOKEN_OBJECT)
            return refuse(decoder, "a record is an object");
        if (!read_record(decoder))
            return false;
    }
    if (!json_reader_next(&decoder->reader, &token))
        return refuse(decoder, decoder->reader.remark);
    return senml_resolve_end(&decoder->resolver);
}

bool senml_json_decode(struct slice text, const struct senml_context *context, struct buffer *scratch,
                       struct lwm2m_nodes *out) {
    struct decoder decoder = {.out = out};
    json_reader_begin(&decoder.reader, text, scratch);
    senml_resolve_begin(&decoder.resolver, context, out);
    return lwm2m_nodes_end(out, read_pack(&decoder), text, decoder.reader.rest);
}
