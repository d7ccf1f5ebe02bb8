#include "common/lwm2m/senml.h"

#include <math.h>

enum {
    VERSION_MAX = 10,          /* RFC 8428 §4.4 */
    ABSOLUTE_FROM_S = 1 << 28, /* RFC 8428 §4.5.3: lower times are relative to now */
    LEVEL_RESOURCE = 3,
};

static const double TIME_MAX_S = 1e11; /* year 5138; a double still tells it exactly to the millisecond */

static bool has(const struct senml_record *record, uint32_t fields) {
    return (record->fields & fields) != 0;
}

enum senml_field senml_unknown_label(struct slice label) {
    return label.len > 0 && label.data[label.len - 1] == '_' ? SENML_MUST_UNDERSTAND : SENML_UNKNOWN;
}

/* The prefix that every name has: nothing, or the alternate path without a slash at its end. */
static struct slice prefix_of(const struct senml_context *context) {
    struct slice root = context->root;
    while (root.len > 0 && root.data[root.len - 1] == '/')
        root.len--;
    return root;
}

/* ---- decoding ---- */

static bool refuse(struct senml_resolver *resolver, const char *why) {
    resolver->out->remark = why;
    return false;
}

/* The first oddity is the one that is told. */
static void tolerate(struct senml_resolver *resolver, const char *what) {
    if (resolver->out->remark == NULL)
        resolver->out->remark = what;
}

void senml_resolve_begin(struct senml_resolver *resolver, const struct senml_context *context,
                         struct lwm2m_nodes *out) {
    lwm2m_nodes_begin(out);
    *resolver = (struct senml_resolver){.context = context, .out = out};
}

static bool check_fields(struct senml_resolver *resolver, const struct senml_record *record) {
    uint32_t values = record->fields & SENML_VALUES;
    if (has(record, SENML_MUST_UNDERSTAND))
        return refuse(resolver, "there is a label that must be understood and is not");
    if (has(record, SENML_BVER) && record->base_version > VERSION_MAX)
        return refuse(resolver, "the SenML version is greater than 10");
    if ((values & (values - 1)) != 0)
        return refuse(resolver, "a record has more than one value");
    if (resolver->context->mode == SENML_FETCH) {
        uint32_t allowed = SENML_BN | SENML_N | SENML_BT | SENML_T | SENML_BU | SENML_U;
        if (has(record, ~allowed))
            return refuse(resolver, "a list of paths has names only");
        return true;
    }
    if (values == 0 && !has(record, SENML_S))
        return refuse(resolver, "a record has no value");
    if (values != 0 && record->value.type == LWM2M_NONE && resolver->context->mode != SENML_PATCH)
        return refuse(resolver, "null is no value");
    return true;
}

/* Path = bn + n, without the alternate path. */
static bool resolve_path(struct senml_resolver *resolver, const struct senml_record *record, struct lwm2m_path *path) {
    uint8_t text[SENML_NAME_MAX];
    struct buffer name = buffer_over(text, sizeof text);
    struct slice prefix = prefix_of(resolver->context), rest;
    bool trailing_slash;
    buffer_put_slice(&name, resolver->base_name);
    if (has(record, SENML_N))
        buffer_put_slice(&name, record->name);
    if (name.overflow)
        return refuse(resolver, "a name is too long");
    if (name.len == 0)
        return refuse(resolver, "a record has no name");
    if (name.len < prefix.len || (prefix.len > 0 && memcmp(name.data, prefix.data, prefix.len) != 0))
        return refuse(resolver, "a name is outside the alternate path");
    rest = slice_from(buffer_slice(&name), prefix.len);
    if (rest.len > 0 && rest.data[0] != '/')
        return refuse(resolver, prefix.len > 0 ? "a name is outside the alternate path" : "a name begins with a slash");
    if (!lwm2m_path_parse(rest, path, &trailing_slash))
        return refuse(resolver, "a name is no path");
    if (trailing_slash)
        tolerate(resolver, "a path has a slash at its end");
    if (!lwm2m_path_contains(&resolver->context->base, path))
        return refuse(resolver, "a name is outside the path of the request");
    return true;
}

static bool resolve_time(struct senml_resolver *resolver, const struct senml_record *record, struct lwm2m_node *node) {
    double time_s = resolver->base_time_s + (has(record, SENML_T) ? record->time_s : 0);
    node->has_time = resolver->has_base_time || has(record, SENML_T);
    if (!node->has_time)
        return true;
    if (!(fabs(time_s) <= TIME_MAX_S)) /* nor NaN */
        return refuse(resolver, "a time is out of range");
    node->time_ms = (int64_t)llround(time_s * 1000);
    if (time_s < ABSOLUTE_FROM_S && __builtin_add_overflow(node->time_ms, resolver->context->now_ms, &node->time_ms))
        return refuse(resolver, "a time is out of range");
    if (node->time_ms > resolver->context->now_ms)
        tolerate(resolver, "a time lies in the future");
    return true;
}

static bool is_number(const struct lwm2m_value *value) {
    return value->type == LWM2M_INTEGER || value->type == LWM2M_UNSIGNED || value->type == LWM2M_FLOAT;
}

static __int128 integer_of(const struct lwm2m_value *value) {
    return value->type == LWM2M_UNSIGNED ? (__int128)value->natural : value->integer;
}

static double real_of(const struct lwm2m_value *value) {
    return value->type == LWM2M_FLOAT ? value->real : (double)integer_of(value);
}

/* Integers are added exactly. */
static bool add_base_value(struct senml_resolver *resolver, struct lwm2m_value *value) {
    const struct lwm2m_value *base = &resolver->base_value;
    if (base->type == LWM2M_NONE || !is_number(value))
        return true;
    if (base->type == LWM2M_FLOAT || value->type == LWM2M_FLOAT) {
        *value = (struct lwm2m_value){.type = LWM2M_FLOAT, .real = real_of(base) + real_of(value)};
        return true;
    }
    __int128 sum = integer_of(base) + integer_of(value);
    if (sum < INT64_MIN || sum > (__int128)UINT64_MAX)
        return refuse(resolver, "a number with its base value is out of range");
    *value = sum > INT64_MAX ? (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = (uint64_t)sum}
                             : lwm2m_integer((int64_t)sum);
    return true;
}

bool senml_resolve(struct senml_resolver *resolver, const struct senml_record *record) {
    struct lwm2m_node node = {.value = {.type = LWM2M_NONE}};
    resolver->records++;
    if (has(record, SENML_BN))
        resolver->base_name = record->base_name;
    if (has(record, SENML_BT)) {
        resolver->base_time_s = record->base_time_s;
        resolver->has_base_time = true;
    }
    if (has(record, SENML_BV))
        resolver->base_value = record->base_value;
    if (!check_fields(resolver, record) || !resolve_path(resolver, record, &node.path) ||
        !resolve_time(resolver, record, &node))
        return false;
    if (resolver->context->mode == SENML_FETCH)
        return lwm2m_nodes_add(resolver->out, &node.path, node.value);
    if (!has(record, SENML_VALUES)) {
        tolerate(resolver, "a record that tells a sum only is left out");
        return true;
    }
    node.value = record->value;
    if (node.path.len < LEVEL_RESOURCE)
        return refuse(resolver, "a value stands above resource level");
    if (!add_base_value(resolver, &node.value) || !lwm2m_nodes_add(resolver->out, &node.path, node.value))
        return false;
    resolver->out->nodes[resolver->out->count - 1] = node;
    return true;
}

bool senml_resolve_end(struct senml_resolver *resolver) {
    if (resolver->context->mode == SENML_FETCH)
        return resolver->records > 0 || refuse(resolver, "a list of paths has at least one");
    return lwm2m_nodes_arrange(resolver->out);
}

/* ---- encoding ---- */

static bool is_told(const struct senml_context *context, const struct lwm2m_node *node) {
    return context->mode != SENML_CONTENT || node->value.type != LWM2M_NONE;
}

static bool is_legal(const struct senml_context *context, const struct lwm2m_node *node) {
    return lwm2m_path_contains(&context->base, &node->path) && lwm2m_path_has_ids(&node->path, 0) &&
           node->value.type != LWM2M_RAW && (context->mode == SENML_FETCH || node->path.len >= LEVEL_RESOURCE) &&
           (!node->has_time ||
            (node->time_ms >= (int64_t)ABSOLUTE_FROM_S * 1000 && (double)node->time_ms <= TIME_MAX_S * 1000));
}

bool senml_write_begin(struct senml_writer *writer, const struct senml_context *context, const struct lwm2m_node *nodes,
                       size_t count) {
    enum { PATH_TEXT_MAX = 25 };
    *writer = (struct senml_writer){.context = context, .nodes = nodes, .count = count, .has_base_time = true};
    if (prefix_of(context).len + PATH_TEXT_MAX > SENML_NAME_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_told(context, &nodes[i]))
            continue;
        if (!is_legal(context, &nodes[i]))
            return false;
        bool is_whole = nodes[i].path.len == context->base.len;
        if (context->base.len > 0 && writer->records > 0 && is_whole != writer->is_whole)
            return false;
        writer->is_whole = is_whole;
        writer->records++;
        /* A base time would be that of the records without a time, too. */
        writer->has_base_time = writer->has_base_time && nodes[i].has_time;
    }
    return true;
}

static enum senml_field value_field(enum lwm2m_type type) {
    switch (type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
        return SENML_VS;
    case LWM2M_BOOLEAN:
        return SENML_VB;
    case LWM2M_OPAQUE:
        return SENML_VD;
    case LWM2M_OBJLNK:
        return SENML_VLO;
    default:
        return SENML_V;
    }
}

static void set_name(struct senml_record *record, const struct buffer *text) {
    record->name = buffer_slice(text);
    record->fields |= SENML_N;
}

/* A composite has the path in every `n`; a single resource has it in `bn`; else `bn` is the path of the request with a
 * slash, and `n` the rest. */
static void name_record(struct senml_writer *writer, const struct lwm2m_node *node, bool first,
                        struct senml_record *record) {
    struct buffer base_name = buffer_over(writer->base_name, sizeof writer->base_name);
    struct buffer name = buffer_over(writer->name, sizeof writer->name);
    const struct lwm2m_path *base = &writer->context->base;
    if (base->len == 0) {
        buffer_put_slice(&name, prefix_of(writer->context));
        lwm2m_path_put(&name, &node->path);
        set_name(record, &name);
        return;
    }
    if (first) {
        buffer_put_slice(&base_name, prefix_of(writer->context));
        lwm2m_path_put(&base_name, base);
        if (!writer->is_whole)
            buffer_put_u8(&base_name, '/');
        record->base_name = buffer_slice(&base_name);
        record->fields |= SENML_BN;
    }
    if (writer->is_whole)
        return;
    for (size_t i = base->len; i < node->path.len; i++) {
        if (i > base->len)
            buffer_put_u8(&name, '/');
        buffer_put_decimal(&name, node->path.ids[i]);
    }
    set_name(record, &name);
}

static void time_record(const struct senml_writer *writer, const struct lwm2m_node *node, bool first,
                        struct senml_record *record) {
    int64_t base_ms = writer->has_base_time ? writer->base_time_ms : 0;
    if (!node->has_time || writer->context->mode == SENML_FETCH)
        return;
    if (writer->has_base_time && first) {
        record->base_time_s = (double)base_ms / 1000;
        record->fields |= SENML_BT;
    }
    record->time_s = (double)(node->time_ms - base_ms) / 1000;
    record->fields |= SENML_T;
}

bool senml_write_next(struct senml_writer *writer, struct senml_record *record) {
    while (writer->next < writer->count && !is_told(writer->context, &writer->nodes[writer->next]))
        writer->next++;
    if (writer->next == writer->count)
        return false;
    const struct lwm2m_node *node = &writer->nodes[writer->next++];
    *record = (struct senml_record){.value = node->value};
    bool first = !writer->has_begun;
    if (first)
        writer->base_time_ms = node->time_ms;
    writer->has_begun = true;
    name_record(writer, node, first, record);
    time_record(writer, node, first, record);
    if (writer->context->mode != SENML_FETCH)
        record->fields |= value_field(node->value.type);
    return true;
}
