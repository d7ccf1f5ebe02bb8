#include "common/lwm2m/json.h"

#include <math.h>

#include "common/base/text.h"
#include "common/lwm2m/json_reader.h"
#include "common/lwm2m/json_writer.h"
#include "common/lwm2m/text.h"

enum { LEVEL_INSTANCE = 2, LEVEL_RESOURCE = 3, NAME_MAX_LEN = 256 };

static const double TIME_MAX_S = 1e12; /* year 33658; in milliseconds a double still tells it exactly */

/* The alternate path without a slash at its end. */
static struct slice prefix_of(const struct lwm2m_json_context *context) {
    struct slice root = context->root;
    while (root.len > 0 && root.data[root.len - 1] == '/')
        root.len--;
    return root;
}

/* ---- encoding ---- */

static size_t base_level(const struct lwm2m_json_context *context) {
    return context->base.len < LEVEL_INSTANCE ? context->base.len : LEVEL_INSTANCE;
}

static bool put_base_name(struct buffer *out, const struct lwm2m_json_context *context) {
    uint8_t text[NAME_MAX_LEN];
    struct buffer name = buffer_over(text, sizeof text);
    struct lwm2m_path base = context->base;
    base.len = (uint8_t)base_level(context);
    buffer_put_slice(&name, prefix_of(context));
    lwm2m_path_put(&name, &base);
    if (base.len > 0)
        buffer_put_u8(&name, '/');
    return !name.overflow && json_put_string(out, buffer_slice(&name));
}

static void put_name(struct buffer *out, const struct lwm2m_path *path, size_t level) {
    buffer_put_str(out, "{\"n\":\"");
    for (size_t i = level; i < path->len; i++) {
        if (i > level)
            buffer_put_u8(out, '/');
        buffer_put_decimal(out, path->ids[i]);
    }
    buffer_put_u8(out, '"');
}

static bool put_value(struct buffer *out, const struct lwm2m_value *value) {
    switch (value->type) {
    case LWM2M_INTEGER:
    case LWM2M_UNSIGNED:
    case LWM2M_FLOAT:
    case LWM2M_TIME:
        buffer_put_str(out, ",\"v\":");
        return json_put_number(out, value);
    case LWM2M_STRING:
    case LWM2M_CORELNK:
        buffer_put_str(out, ",\"sv\":");
        return json_put_string(out, value->bytes);
    case LWM2M_OPAQUE:
        buffer_put_str(out, ",\"sv\":\"");
        text_put_base64(out, value->bytes);
        buffer_put_u8(out, '"');
        return true;
    case LWM2M_BOOLEAN:
        buffer_put_str(out, value->truth ? ",\"bv\":true" : ",\"bv\":false");
        return true;
    case LWM2M_OBJLNK:
        buffer_put_str(out, ",\"ov\":\"");
        lwm2m_text_encode(value, out);
        buffer_put_u8(out, '"');
        return true;
    case LWM2M_NONE:
    case LWM2M_RAW:
        break;
    }
    return false;
}

static bool put_time(struct buffer *out, int64_t time_ms) {
    struct lwm2m_value whole = lwm2m_integer(time_ms / 1000),
                       part = {.type = LWM2M_FLOAT, .real = (double)time_ms / 1000};
    if (time_ms <= 0)
        return false;
    buffer_put_str(out, ",\"t\":");
    return json_put_number(out, time_ms % 1000 == 0 ? &whole : &part);
}

static bool put_entry(struct buffer *out, const struct lwm2m_node *node, const struct lwm2m_json_context *context) {
    if (!lwm2m_path_contains(&context->base, &node->path) || !lwm2m_path_has_ids(&node->path, 0) ||
        node->path.len < LEVEL_RESOURCE)
        return false;
    put_name(out, &node->path, base_level(context));
    if (!put_value(out, &node->value) || (node->has_time && !put_time(out, node->time_ms)))
        return false;
    buffer_put_u8(out, '}');
    return !out->overflow;
}

bool lwm2m_json_encode(const struct lwm2m_node *nodes, size_t count, const struct lwm2m_json_context *context,
                       struct buffer *out) {
    bool first = true;
    buffer_put_str(out, "{\"bn\":");
    if (!put_base_name(out, context))
        return false;
    buffer_put_str(out, ",\"e\":[");
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].value.type == LWM2M_NONE)
            continue;
        if (!first)
            buffer_put_u8(out, ',');
        if (!put_entry(out, &nodes[i], context))
            return false;
        first = false;
    }
    buffer_put_str(out, "]}");
    return !out->overflow;
}

/* ---- decoding ---- */

struct decoder {
    const struct lwm2m_json_context *context;
    struct json_reader reader;
    struct lwm2m_nodes *out;
    struct slice base_name;
    double base_time_s;
};

struct entry {
    struct slice name;
    double time_s;
    bool has_name, has_value, has_time;
    struct lwm2m_value value;
};

static bool refuse(struct decoder *decoder, const char *why) {
    decoder->out->remark = why;
    return false;
}

/* The first oddity is the one that is told. */
static void tolerate(struct decoder *decoder, const char *what) {
    if (decoder->out->remark == NULL)
        decoder->out->remark = what;
}

static bool next(struct decoder *decoder, struct json_token *token) {
    return json_reader_next(&decoder->reader, token) || refuse(decoder, decoder->reader.remark);
}

static bool expect(struct decoder *decoder, enum json_token_kind kind, struct json_token *token) {
    return json_reader_expect(&decoder->reader, kind, token) || refuse(decoder, decoder->reader.remark);
}

static bool skip(struct decoder *decoder) {
    return json_reader_skip(&decoder->reader) || refuse(decoder, decoder->reader.remark);
}

/* Note that a label is there; false when it was there already. */
static bool is_first(struct decoder *decoder, bool *seen) {
    bool first = !*seen;
    *seen = true;
    return first || refuse(decoder, "a label comes twice, or a second value in an entry");
}

static bool read_number(struct decoder *decoder, struct lwm2m_value *number) {
    struct json_token token;
    return expect(decoder, JSON_TOKEN_NUMBER, &token) &&
           (json_number(&token, number) || refuse(decoder, "a number is out of range"));
}

static bool read_seconds(struct decoder *decoder, double *seconds) {
    struct lwm2m_value number;
    if (!read_number(decoder, &number))
        return false;
    *seconds = number.type == LWM2M_FLOAT      ? number.real
               : number.type == LWM2M_UNSIGNED ? (double)number.natural
                                               : (double)number.integer;
    return fabs(*seconds) <= TIME_MAX_S || refuse(decoder, "a time is out of range");
}

static bool read_text(struct decoder *decoder, struct slice *text) {
    struct json_token token;
    if (!expect(decoder, JSON_TOKEN_STRING, &token))
        return false;
    *text = token.text;
    return true;
}

static bool read_string(struct decoder *decoder, struct lwm2m_value *value) {
    *value = (struct lwm2m_value){.type = LWM2M_STRING};
    if (!read_text(decoder, &value->bytes))
        return false;
    if (!slice_is_utf8(value->bytes))
        tolerate(decoder, "the text is not UTF-8");
    return true;
}

static bool read_boolean(struct decoder *decoder, struct lwm2m_value *value) {
    struct json_token token;
    if (!next(decoder, &token))
        return false;
    *value = lwm2m_boolean(token.kind == JSON_TOKEN_TRUE);
    return value->truth || token.kind == JSON_TOKEN_FALSE || refuse(decoder, "true or false is expected");
}

static bool read_link(struct decoder *decoder, struct lwm2m_value *value) {
    const char *remark;
    struct slice text;
    if (!read_text(decoder, &text))
        return false;
    if (!lwm2m_text_decode(text, LWM2M_OBJLNK, decoder->reader.scratch, value, &remark))
        return refuse(decoder, remark);
    if (remark != NULL)
        tolerate(decoder, remark);
    return true;
}

/* What follows a label of an entry. */
static bool read_field(struct decoder *decoder, struct slice label, struct entry *entry) {
    if (slice_is(label, "n"))
        return is_first(decoder, &entry->has_name) && read_text(decoder, &entry->name);
    if (slice_is(label, "t"))
        return is_first(decoder, &entry->has_time) && read_seconds(decoder, &entry->time_s);
    if (slice_is(label, "v"))
        return is_first(decoder, &entry->has_value) && read_number(decoder, &entry->value);
    if (slice_is(label, "sv"))
        return is_first(decoder, &entry->has_value) && read_string(decoder, &entry->value);
    if (slice_is(label, "bv"))
        return is_first(decoder, &entry->has_value) && read_boolean(decoder, &entry->value);
    if (slice_is(label, "ov"))
        return is_first(decoder, &entry->has_value) && read_link(decoder, &entry->value);
    return skip(decoder);
}

/* The whole name of an entry, joined as the client means it. */
static void join_name(const struct decoder *decoder, struct slice name, struct buffer *out) {
    struct slice base = decoder->base_name;
    if (base.len > 0)
        buffer_put_slice(out, base);
    else if (name.len == 0 || name.data[0] != '/')
        lwm2m_path_put(out, &decoder->context->base);
    bool has_slash = (out->len > 0 && out->data[out->len - 1] == '/') || (name.len > 0 && name.data[0] == '/');
    if (name.len > 0 && !has_slash)
        buffer_put_u8(out, '/');
    buffer_put_slice(out, name);
}

static bool resolve_path(struct decoder *decoder, const struct entry *entry, struct lwm2m_path *path) {
    uint8_t text[NAME_MAX_LEN];
    struct buffer joined = buffer_over(text, sizeof text);
    struct slice prefix = prefix_of(decoder->context);
    bool trailing_slash;
    join_name(decoder, entry->name, &joined);
    if (joined.overflow)
        return refuse(decoder, "a name is too long");
    struct slice name = buffer_slice(&joined);
    if (prefix.len > 0 && name.len > prefix.len && name.data[prefix.len] == '/' &&
        memcmp(name.data, prefix.data, prefix.len) == 0)
        name = slice_from(name, prefix.len);
    if (!lwm2m_path_parse(name, path, &trailing_slash))
        return refuse(decoder, "a name is no path");
    if (!lwm2m_path_contains(&decoder->context->base, path))
        return refuse(decoder, "a name is outside the path of the request");
    if (path->len < LEVEL_RESOURCE)
        return refuse(decoder, "a value stands above resource level");
    if (trailing_slash || name.data[0] != '/')
        tolerate(decoder, "a path begins with a slash and does not end in one");
    return true;
}

static bool resolve_time(struct decoder *decoder, const struct entry *entry, struct lwm2m_node *node) {
    double time_s = decoder->base_time_s + entry->time_s;
    int64_t now_ms = decoder->context->now_ms;
    node->time_ms = (int64_t)llround(time_s * 1000);
    node->has_time = node->time_ms != 0;
    if (node->time_ms < 0 && __builtin_add_overflow(node->time_ms, now_ms, &node->time_ms))
        return refuse(decoder, "a time is out of range");
    if (node->time_ms > now_ms)
        tolerate(decoder, "a time lies in the future");
    return true;
}

static bool read_entry(struct decoder *decoder) {
    struct entry entry = {.has_name = false};
    struct lwm2m_node node = {.has_time = false};
    struct json_token token;
    for (;;) {
        if (!next(decoder, &token))
            return false;
        if (token.kind == JSON_TOKEN_OBJECT_END)
            break;
        if (!read_field(decoder, token.text, &entry))
            return false;
    }
    if (!entry.has_value)
        return refuse(decoder, "an entry has no value");
    node.value = entry.value;
    if (!resolve_path(decoder, &entry, &node.path) || !resolve_time(decoder, &entry, &node) ||
        !lwm2m_nodes_add(decoder->out, &node.path, node.value))
        return false;
    decoder->out->nodes[decoder->out->count - 1] = node;
    return true;
}

static bool read_entries(struct decoder *decoder) {
    struct json_token token;
    if (!expect(decoder, JSON_TOKEN_ARRAY, &token))
        return false;
    for (;;) {
        if (!next(decoder, &token))
            return false;
        if (token.kind == JSON_TOKEN_ARRAY_END)
            return true;
        if (token.kind != JSON_TOKEN_OBJECT)
            return refuse(decoder, "an entry is an object");
        if (!read_entry(decoder))
            return false;
    }
}

/* Everything but the entries, which may come before the base name: only their place is noted. */
static bool read_frame(struct decoder *decoder, struct json_reader *entries) {
    bool has_entries = false, has_base_name = false, has_base_time = false;
    struct json_token token;
    if (!expect(decoder, JSON_TOKEN_OBJECT, &token))
        return false;
    for (;;) {
        bool good;
        if (!next(decoder, &token))
            return false;
        if (token.kind == JSON_TOKEN_OBJECT_END)
            break;
        if (slice_is(token.text, "e")) {
            *entries = decoder->reader;
            good = is_first(decoder, &has_entries) && skip(decoder);
        } else if (slice_is(token.text, "bn")) {
            good = is_first(decoder, &has_base_name) && read_text(decoder, &decoder->base_name);
        } else if (slice_is(token.text, "bt")) {
            good = is_first(decoder, &has_base_time) && read_seconds(decoder, &decoder->base_time_s);
        } else {
            good = skip(decoder);
        }
        if (!good)
            return false;
    }
    return next(decoder, &token) && (has_entries || refuse(decoder, "there are no entries"));
}

bool lwm2m_json_decode(struct slice text, const struct lwm2m_json_context *context, struct buffer *scratch,
                       struct lwm2m_nodes *out) {
    struct decoder decoder = {.context = context, .out = out};
    struct json_reader entries;
    lwm2m_nodes_begin(out);
    json_reader_begin(&decoder.reader, text, scratch);
    bool good = read_frame(&decoder, &entries);
    if (good) {
        decoder.reader = entries;
        good = read_entries(&decoder) && lwm2m_nodes_arrange(out);
    }
    return lwm2m_nodes_end(out, good, text, decoder.reader.rest);
}
