#include "common/lwm2m/senml_cbor.h"

#include <math.h>

#include "common/lwm2m/text.h"

/* RFC 8428 Table 4. */
enum label {
    LABEL_BS = -6,
    LABEL_BV = -5,
    LABEL_BU = -4,
    LABEL_BT = -3,
    LABEL_BN = -2,
    LABEL_BVER = -1,
    LABEL_N = 0,
    LABEL_U = 1,
    LABEL_V = 2,
    LABEL_VS = 3,
    LABEL_VB = 4,
    LABEL_S = 5,
    LABEL_T = 6,
    LABEL_UT = 7,
    LABEL_VD = 8,
};

#define LABEL_VLO "vlo" /* has no number: Core 1.2 §7.5.7 */

/* ---- decoding ---- */

static bool read_type(struct cbor_reader *reader, enum lwm2m_type type, struct lwm2m_value *value,
                      const char **remark) {
    if (!cbor_value_read(reader, value, remark))
        return false;
    return value->type == type || cbor_fail(reader, "a field has a value of another kind than its label says");
}

static bool read_string(struct cbor_reader *reader, struct slice *text, const char **remark) {
    struct lwm2m_value value;
    if (!read_type(reader, LWM2M_STRING, &value, remark))
        return false;
    *text = value.bytes;
    return true;
}

static bool is_number(const struct lwm2m_value *value) {
    return value->type == LWM2M_INTEGER || value->type == LWM2M_UNSIGNED || value->type == LWM2M_FLOAT;
}

static bool read_number(struct cbor_reader *reader, struct lwm2m_value *value, const char **remark) {
    if (!cbor_value_read(reader, value, remark))
        return false;
    return is_number(value) || cbor_fail(reader, "a field has a value of another kind than its label says");
}

static bool read_seconds(struct cbor_reader *reader, double *seconds, const char **remark) {
    struct lwm2m_value value;
    if (!read_number(reader, &value, remark))
        return false;
    *seconds = value.type == LWM2M_FLOAT      ? value.real
               : value.type == LWM2M_UNSIGNED ? (double)value.natural
                                              : (double)value.integer;
    return true;
}

static bool read_version(struct cbor_reader *reader, uint64_t *version) {
    struct cbor_item item;
    if (!cbor_read(reader, &item))
        return false;
    *version = item.number;
    return item.type == CBOR_UNSIGNED || cbor_fail(reader, "the SenML version is a number");
}

/* A number, a Time that is tagged, or null. */
static bool read_v(struct cbor_reader *reader, struct lwm2m_value *value, const char **remark) {
    if (!cbor_value_read(reader, value, remark))
        return false;
    return is_number(value) || value->type == LWM2M_TIME || value->type == LWM2M_NONE ||
           cbor_fail(reader, "a field has a value of another kind than its label says");
}

static bool read_objlnk(struct cbor_reader *reader, struct lwm2m_value *value, const char **remark) {
    struct slice text;
    const char *odd;
    if (!read_string(reader, &text, remark))
        return false;
    if (!lwm2m_text_decode(text, LWM2M_OBJLNK, NULL, value, &odd))
        return cbor_fail(reader, odd);
    if (odd != NULL)
        *remark = odd;
    return true;
}

static const struct {
    int64_t label;
    enum senml_field field;
} fields[] = {
    {LABEL_BS, SENML_BS},     {LABEL_BV, SENML_BV}, {LABEL_BU, SENML_BU}, {LABEL_BT, SENML_BT}, {LABEL_BN, SENML_BN},
    {LABEL_BVER, SENML_BVER}, {LABEL_N, SENML_N},   {LABEL_U, SENML_U},   {LABEL_V, SENML_V},   {LABEL_VS, SENML_VS},
    {LABEL_VB, SENML_VB},     {LABEL_S, SENML_S},   {LABEL_T, SENML_T},   {LABEL_UT, SENML_UT}, {LABEL_VD, SENML_VD},
};

/* The table of numbers is closed: one that is not in it is not SenML (RFC 8428 §6). */
static bool read_label(struct cbor_reader *reader, enum senml_field *field) {
    struct cbor_item item;
    int64_t number;
    if (!cbor_read(reader, &item))
        return false;
    if (item.type == CBOR_TEXT) {
        *field = slice_is(item.bytes, LABEL_VLO) ? SENML_VLO : senml_unknown_label(item.bytes);
        return true;
    }
    for (size_t i = 0; cbor_to_int64(&item, &number) && i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].label == number) {
            *field = fields[i].field;
            return true;
        }
    }
    return cbor_fail(reader, "a label is none of SenML");
}

static bool read_field(struct cbor_reader *reader, enum senml_field field, struct senml_record *record,
                       const char **remark) {
    struct lwm2m_value ignored;
    struct slice ignored_text;
    switch (field) {
    case SENML_BN:
        return read_string(reader, &record->base_name, remark);
    case SENML_BT:
        return read_seconds(reader, &record->base_time_s, remark);
    case SENML_BV:
        return read_number(reader, &record->base_value, remark);
    case SENML_BVER:
        return read_version(reader, &record->base_version);
    case SENML_N:
        return read_string(reader, &record->name, remark);
    case SENML_T:
        return read_seconds(reader, &record->time_s, remark);
    case SENML_V:
        return read_v(reader, &record->value, remark);
    case SENML_VS:
        return read_type(reader, LWM2M_STRING, &record->value, remark);
    case SENML_VB:
        return read_type(reader, LWM2M_BOOLEAN, &record->value, remark);
    case SENML_VD:
        return read_type(reader, LWM2M_OPAQUE, &record->value, remark);
    case SENML_VLO:
        return read_objlnk(reader, &record->value, remark);
    case SENML_S:
    case SENML_BS:
    case SENML_UT:
        return read_number(reader, &ignored, remark);
    case SENML_U:
    case SENML_BU:
        return read_string(reader, &ignored_text, remark);
    case SENML_UNKNOWN:
    case SENML_MUST_UNDERSTAND:
        break;
    }
    return cbor_skip(reader);
}

static bool read_record(struct cbor_reader *reader, struct senml_record *record, const char **remark) {
    struct cbor_item item;
    enum senml_field field = SENML_UNKNOWN;
    *record = (struct senml_record){.fields = 0};
    if (!cbor_read(reader, &item))
        return false;
    if (item.type != CBOR_MAP)
        return cbor_fail(reader, "a record is a map");
    while (cbor_more(reader)) {
        if (!read_label(reader, &field))
            return false;
        if (!senml_record_add(record, field))
            return cbor_fail(reader, "a label comes twice");
        if (!read_field(reader, field, record, remark))
            return false;
    }
    return reader->fault == NULL;
}

static bool decode_records(struct cbor_reader *reader, struct senml_resolver *resolver) {
    struct senml_record record;
    struct cbor_item item;
    const char *odd = NULL;
    if (cbor_read(reader, &item) && item.type != CBOR_ARRAY)
        cbor_fail(reader, "a pack is an array of records");
    while (cbor_more(reader)) {
        if (read_record(reader, &record, &odd) && !senml_resolve(resolver, &record))
            return false;
    }
    if (!cbor_at_end(reader)) {
        resolver->out->remark = reader->fault;
        return false;
    }
    if (resolver->out->remark == NULL)
        resolver->out->remark = odd;
    return senml_resolve_end(resolver);
}

bool senml_cbor_decode(struct slice bytes, const struct senml_context *context, struct buffer *scratch,
                       struct lwm2m_nodes *out) {
    struct cbor_reader reader = cbor_reader_over(bytes, scratch);
    struct senml_resolver resolver;
    senml_resolve_begin(&resolver, context, out);
    return lwm2m_nodes_end(out, decode_records(&reader, &resolver), bytes, reader.rest);
}

/* ---- encoding ---- */

static void put_seconds(struct buffer *out, int64_t label, double seconds) {
    cbor_put_integer(out, label);
    if (floor(seconds) == seconds)
        cbor_put_integer(out, (int64_t)seconds);
    else
        cbor_put_float(out, seconds);
}

static void put_value_label(struct buffer *out, uint32_t field) {
    switch (field) {
    case SENML_VLO:
        cbor_put_text(out, slice_str(LABEL_VLO));
        break;
    case SENML_VS:
        cbor_put_integer(out, LABEL_VS);
        break;
    case SENML_VB:
        cbor_put_integer(out, LABEL_VB);
        break;
    case SENML_VD:
        cbor_put_integer(out, LABEL_VD);
        break;
    default:
        cbor_put_integer(out, LABEL_V);
    }
}

static bool put_value(struct buffer *out, const struct senml_record *record, enum cbor_time time) {
    put_value_label(out, record->fields & SENML_VALUES);
    if (record->value.type != LWM2M_NONE)
        return cbor_value_encode(&record->value, time, out);
    cbor_put_simple(out, CBOR_NULL);
    return true;
}

static bool put_record(struct buffer *out, const struct senml_record *record, enum cbor_time time) {
    cbor_put_map(out, (size_t)__builtin_popcount(record->fields));
    if ((record->fields & SENML_BN) != 0) {
        cbor_put_integer(out, LABEL_BN);
        cbor_put_text(out, record->base_name);
    }
    if ((record->fields & SENML_BT) != 0)
        put_seconds(out, LABEL_BT, record->base_time_s);
    if ((record->fields & SENML_N) != 0) {
        cbor_put_integer(out, LABEL_N);
        cbor_put_text(out, record->name);
    }
    if ((record->fields & SENML_VALUES) != 0 && !put_value(out, record, time))
        return false;
    if ((record->fields & SENML_T) != 0)
        put_seconds(out, LABEL_T, record->time_s);
    return true;
}

bool senml_cbor_encode(const struct lwm2m_node *nodes, size_t count, const struct senml_context *context,
                       enum cbor_time time, struct buffer *out) {
    struct senml_writer writer;
    struct senml_record record;
    if (!senml_write_begin(&writer, context, nodes, count))
        return false;
    cbor_put_array(out, writer.records);
    while (senml_write_next(&writer, &record)) {
        if (!put_record(out, &record, time))
            return false;
    }
    return !out->overflow;
}
