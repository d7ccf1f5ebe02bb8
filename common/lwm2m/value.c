#include "common/lwm2m/value.h"

#include <math.h>

#include "common/lwm2m/text.h"
#include "common/lwm2m/tlv.h"

static bool fail(const char **remark, const char *why) {
    *remark = why;
    return false;
}

static bool is_integral(double real) {
    return isfinite(real) && trunc(real) == real;
}

/* Of a number of any kind, as far as it is a whole one: 0 to 2^64-1, and the sign apart. */
static bool to_whole(const struct lwm2m_value *value, bool *negative, uint64_t *magnitude) {
    switch (value->type) {
    case LWM2M_INTEGER:
    case LWM2M_TIME:
        *negative = value->integer < 0;
        *magnitude = *negative ? 0 - (uint64_t)value->integer : (uint64_t)value->integer;
        return true;
    case LWM2M_UNSIGNED:
        *negative = false;
        *magnitude = value->natural;
        return true;
    case LWM2M_FLOAT:
        if (!is_integral(value->real) || fabs(value->real) >= 0x1p64)
            return false;
        *negative = value->real < 0;
        *magnitude = (uint64_t)fabs(value->real);
        return true;
    default:
        return false;
    }
}

static bool to_integer(const struct lwm2m_value *value, int64_t *integer) {
    bool negative;
    uint64_t magnitude;
    if (!to_whole(value, &negative, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *integer = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static bool to_unsigned(const struct lwm2m_value *value, uint64_t *natural) {
    bool negative;
    return to_whole(value, &negative, natural) && !negative;
}

static bool to_float(const struct lwm2m_value *value, double *real) {
    if (value->type == LWM2M_INTEGER)
        *real = (double)value->integer;
    else if (value->type == LWM2M_UNSIGNED)
        *real = (double)value->natural;
    else
        return false;
    return true;
}

static bool is_text(const struct lwm2m_value *value) {
    return value->type == LWM2M_STRING || value->type == LWM2M_CORELNK;
}

static bool convert(const struct lwm2m_value *value, enum lwm2m_type type, struct buffer *scratch,
                    struct lwm2m_value *result, const char **remark) {
    *result = (struct lwm2m_value){.type = type};
    switch (type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
        result->bytes = value->bytes;
        return is_text(value) || fail(remark, "text is expected");
    case LWM2M_INTEGER:
        if (value->type == LWM2M_TIME)
            *remark = "a time stands where an integer is expected";
        return to_integer(value, &result->integer) || fail(remark, "an integer of 64 bits is expected");
    case LWM2M_TIME:
        return to_integer(value, &result->integer) || fail(remark, "a time in whole seconds is expected");
    case LWM2M_UNSIGNED:
        if (value->type == LWM2M_TIME)
            *remark = "a time stands where an integer is expected";
        return to_unsigned(value, &result->natural) || fail(remark, "an unsigned integer of 64 bits is expected");
    case LWM2M_FLOAT:
        return to_float(value, &result->real) || fail(remark, "a number is expected");
    case LWM2M_BOOLEAN:
        return fail(remark, "a boolean is expected");
    case LWM2M_OPAQUE:
        if (value->type != LWM2M_STRING || scratch == NULL)
            return fail(remark, "bytes are expected");
        return lwm2m_text_decode(value->bytes, type, scratch, result, remark);
    case LWM2M_OBJLNK:
        if (value->type != LWM2M_STRING)
            return fail(remark, "an object link is expected");
        return lwm2m_text_decode(value->bytes, type, scratch, result, remark);
    case LWM2M_NONE:
    case LWM2M_RAW:
        break;
    }
    return fail(remark, "the type is not known");
}

bool lwm2m_value_convert(struct lwm2m_value *value, enum lwm2m_type type, struct buffer *scratch, const char **remark) {
    struct lwm2m_value result;
    *remark = NULL;
    if (value->type == type || value->type == LWM2M_NONE || type == LWM2M_RAW)
        return true;
    bool good = value->type == LWM2M_RAW ? tlv_value_decode(value->bytes, type, &result, remark)
                                         : convert(value, type, scratch, &result, remark);
    if (good)
        *value = result;
    return good;
}
