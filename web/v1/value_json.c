#include "web/v1/value_json.h"

#include <math.h>

#include "common/base/duration.h"
#include "common/base/text.h"
#include "common/lwm2m/json_reader.h"
#include "common/lwm2m/json_writer.h"
#include "common/lwm2m/text.h"
#include "common/lwm2m/value.h"

/* ---- writing ---- */

enum {
    NODE_SIZE = 384, /* of a node with its names and everything but the bytes of its value */
    NAME_SIZE = 512, /* of the names of an object or resource */
    HEAD_SIZE = 2048,
};

static const int64_t year_10000_s = 253402300800;

size_t value_json_size(const struct lwm2m_node *nodes, size_t count, const struct value_json_options *options) {
    size_t names = options->name_of == NULL ? 0 : NAME_SIZE, size = HEAD_SIZE + count * (NODE_SIZE + names);
    for (size_t i = 0; i < count; i++)
        size += lwm2m_type_has_bytes(nodes[i].value.type) ? 6 * nodes[i].value.bytes.len : 0;
    return size;
}

/* A comma, unless something opens here. */
static void separate(struct buffer *out) {
    if (out->len > 0 && out->data[out->len - 1] != '{' && out->data[out->len - 1] != '[')
        buffer_put_u8(out, ',');
}

static void put_key(struct buffer *out, const char *name) {
    separate(out);
    buffer_put_u8(out, '"');
    buffer_put_str(out, name);
    buffer_put_str(out, "\":");
}

static void put_id_key(struct buffer *out, uint16_t id) {
    separate(out);
    buffer_put_u8(out, '"');
    buffer_put_decimal(out, id);
    buffer_put_str(out, "\":");
}

static void put_path(struct buffer *out, const struct lwm2m_path *path) {
    buffer_put_u8(out, '"');
    lwm2m_path_put(out, path);
    buffer_put_u8(out, '"');
}

static void put_member(struct buffer *out, const char *name, const char *text) {
    put_key(out, name);
    json_put_string(out, slice_str(text));
}

static void put_moment(struct buffer *out, uint64_t unix_ms) {
    buffer_put_u8(out, '"');
    time_put(out, unix_ms);
    buffer_put_u8(out, '"');
}

static void put_base64(struct buffer *out, struct slice bytes) {
    buffer_put_u8(out, '"');
    text_put_base64(out, bytes);
    buffer_put_u8(out, '"');
}

/* JSON knows neither infinities nor NaN. */
static void put_float(struct buffer *out, const struct lwm2m_value *value) {
    if (isnan(value->real))
        buffer_put_str(out, "\"NaN\"");
    else if (isinf(value->real))
        buffer_put_str(out, value->real < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else
        json_put_number(out, value);
}

/* Whether JSON has the bytes of a value as they are. */
static bool is_plain(const struct lwm2m_value *value) {
    if (value->type == LWM2M_STRING || value->type == LWM2M_CORELNK)
        return slice_is_utf8(value->bytes);
    return value->type != LWM2M_RAW && value->type != LWM2M_NONE;
}

static void put_plain(struct buffer *out, const struct lwm2m_value *value) {
    switch (value->type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
        json_put_string(out, value->bytes);
        break;
    case LWM2M_INTEGER:
    case LWM2M_UNSIGNED:
    case LWM2M_TIME:
        json_put_number(out, value);
        break;
    case LWM2M_FLOAT:
        put_float(out, value);
        break;
    case LWM2M_BOOLEAN:
        buffer_put_str(out, value->truth ? "true" : "false");
        break;
    case LWM2M_OPAQUE:
        put_base64(out, value->bytes);
        break;
    case LWM2M_OBJLNK:
        buffer_printf(out, "\"%u:%u\"", (unsigned)value->link.object, (unsigned)value->link.instance);
        break;
    case LWM2M_NONE:
    case LWM2M_RAW:
        buffer_put_str(out, "null");
        break;
    }
}

/* Members that tell one value. */
static void put_value_members(struct buffer *out, const struct lwm2m_node *node) {
    const struct lwm2m_value *value = &node->value;
    if (value->type == LWM2M_NONE) {
        put_key(out, "value");
        buffer_put_str(out, "null");
        return;
    }
    put_member(out, "type", lwm2m_type_name(value->type));
    if (is_plain(value)) {
        put_key(out, "value");
        put_plain(out, value);
    } else {
        put_key(out, "value_b64");
        put_base64(out, value->bytes);
    }
    if (value->type == LWM2M_TIME && value->integer >= 0 && value->integer < year_10000_s) {
        put_key(out, "iso");
        put_moment(out, (uint64_t)value->integer * 1000);
    }
    if (node->has_time && node->time_ms >= 0 && node->time_ms / 1000 < year_10000_s) {
        put_key(out, "ts");
        put_moment(out, (uint64_t)node->time_ms);
    }
}

static void put_value_object(struct buffer *out, const struct lwm2m_node *node) {
    buffer_put_u8(out, '{');
    put_value_members(out, node);
    buffer_put_u8(out, '}');
}

/* How many nodes from the first on have its first `ids` ids. */
static size_t count_together(const struct lwm2m_node *nodes, size_t count, uint8_t ids) {
    size_t together = 1;
    while (together < count && nodes[together].path.len >= ids &&
           memcmp(nodes[together].path.ids, nodes[0].path.ids, ids * sizeof nodes[0].path.ids[0]) == 0)
        together++;
    return together;
}

/* The value now, and when there are several of different times, all of them. */
static void put_history(struct buffer *out, const struct lwm2m_node *nodes, size_t count) {
    size_t newest = 0;
    for (size_t i = 1; i < count; i++)
        newest =
            !nodes[i].has_time || (nodes[newest].has_time && nodes[i].time_ms >= nodes[newest].time_ms) ? i : newest;
    put_value_members(out, &nodes[newest]);
    if (count == 1)
        return;
    put_key(out, "history");
    buffer_put_u8(out, '[');
    for (size_t i = 0; i < count; i++) {
        separate(out);
        put_value_object(out, &nodes[i]);
    }
    buffer_put_u8(out, ']');
}

/* All are of one type, and this with their ids tells them. */
static bool is_uniform(const struct lwm2m_node *nodes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct lwm2m_node *node = &nodes[i];
        if (!is_plain(&node->value) || node->has_time || node->value.type == LWM2M_TIME ||
            node->value.type != nodes[0].value.type)
            return false;
    }
    return true;
}

static void put_instances_of_resource(struct buffer *out, const struct lwm2m_node *nodes, size_t count) {
    bool uniform = is_uniform(nodes, count);
    if (uniform)
        put_member(out, "type", lwm2m_type_name(nodes[0].value.type));
    put_key(out, "values");
    buffer_put_u8(out, '{');
    for (size_t i = 0; i < count;) {
        size_t together = count_together(&nodes[i], count - i, 4);
        put_id_key(out, nodes[i].path.ids[3]);
        if (uniform) {
            put_plain(out, &nodes[i].value);
        } else {
            buffer_put_u8(out, '{');
            put_history(out, &nodes[i], together);
            buffer_put_u8(out, '}');
        }
        i += together;
    }
    buffer_put_u8(out, '}');
}

static void put_name(struct buffer *out, const struct lwm2m_path *path, const struct value_json_options *options) {
    const char *name = options->name_of == NULL ? NULL : options->name_of(options->arg, path);
    if (name != NULL && 6 * strlen(name) + 16 < NAME_SIZE)
        put_member(out, "name", name);
}

/* Members that tell a resource, of which all nodes are. */
static void put_resource_members(struct buffer *out, const struct lwm2m_node *nodes, size_t count,
                                 const struct value_json_options *options) {
    put_name(out, &nodes[0].path, options);
    if (nodes[0].path.len == 4) {
        put_instances_of_resource(out, nodes, count);
    } else if (nodes[0].value.type == LWM2M_NONE) {
        put_key(out, "values");
        buffer_put_str(out, "{}");
    } else {
        put_history(out, nodes, count);
    }
}

/* A node of an instance alone says that it is there and has no resources. */
static void put_resources(struct buffer *out, const struct lwm2m_node *nodes, size_t count, bool by_path,
                          const struct value_json_options *options) {
    put_key(out, "resources");
    buffer_put_u8(out, '{');
    for (size_t i = 0; i < count;) {
        size_t together = count_together(&nodes[i], count - i, nodes[i].path.len < 3 ? nodes[i].path.len : 3);
        struct lwm2m_path path = nodes[i].path;
        if (path.len >= 3) {
            path.len = 3;
            if (by_path) {
                separate(out);
                put_path(out, &path);
                buffer_put_u8(out, ':');
            } else {
                put_id_key(out, path.ids[2]);
            }
            buffer_put_u8(out, '{');
            put_resource_members(out, &nodes[i], together, options);
            buffer_put_u8(out, '}');
        }
        i += path.len >= 3 ? together : 1;
    }
    buffer_put_u8(out, '}');
}

static void put_instances(struct buffer *out, const struct lwm2m_node *nodes, size_t count,
                          const struct value_json_options *options) {
    put_key(out, "instances");
    buffer_put_u8(out, '{');
    for (size_t i = 0; i < count;) {
        if (nodes[i].path.len < 2) {
            i++;
            continue;
        }
        size_t together = count_together(&nodes[i], count - i, 2);
        put_id_key(out, nodes[i].path.ids[1]);
        buffer_put_u8(out, '{');
        put_resources(out, &nodes[i], together, false, options);
        buffer_put_u8(out, '}');
        i += together;
    }
    buffer_put_u8(out, '}');
}

void value_json_put(struct buffer *out, const struct lwm2m_path *base, const struct lwm2m_node *nodes, size_t count,
                    const struct value_json_options *options) {
    buffer_put_u8(out, '{');
    if (base->len > 0) {
        put_key(out, "path");
        put_path(out, base);
    }
    switch (base->len) {
    case 0:
        put_resources(out, nodes, count, true, options);
        break;
    case 1:
        put_name(out, base, options);
        put_instances(out, nodes, count, options);
        break;
    case 2:
        put_name(out, base, options);
        put_resources(out, nodes, count, false, options);
        break;
    default:
        if (count == 0) {
            put_name(out, base, options);
            put_key(out, "values");
            buffer_put_str(out, "{}");
        } else if (base->len == 4) {
            put_name(out, base, options);
            put_history(out, nodes, count);
        } else {
            put_resource_members(out, nodes, count, options);
        }
        break;
    }
    if (options->oddity != NULL)
        put_member(out, "oddity", options->oddity);
}

/* ---- reading ---- */

struct reading {
    struct json_reader reader;
    const struct value_json_context *context;
    struct lwm2m_nodes *out;
    struct value_json_fault *fault;
    size_t len; /* of the text */
};

static bool refuse(struct reading *reading, const struct lwm2m_path *path, const char *why) {
    *reading->fault = (struct value_json_fault){.why = why, .path = *path};
    return false;
}

/* What is no JSON. */
static bool refuse_syntax(struct reading *reading, const struct lwm2m_path *path) {
    refuse(reading, path, reading->reader.remark);
    reading->fault->is_syntax = true;
    reading->fault->at = reading->len - reading->reader.rest.len;
    return false;
}

/* The next token; what is no JSON is told. */
static bool next(struct reading *reading, const struct lwm2m_path *path, struct json_token *token) {
    return json_reader_next(&reading->reader, token) || refuse_syntax(reading, path);
}

static bool skip(struct reading *reading, const struct lwm2m_path *path) {
    return json_reader_skip(&reading->reader) || refuse_syntax(reading, path);
}

/* The next key of an object, or its end (*more false). */
static bool next_key(struct reading *reading, const struct lwm2m_path *path, struct slice *key, bool *more) {
    struct json_token token;
    if (!next(reading, path, &token))
        return false;
    *more = token.kind == JSON_TOKEN_KEY;
    *key = token.text;
    return true;
}

static bool open_object(struct reading *reading, const struct lwm2m_path *path, const char *expected) {
    struct json_token token;
    return next(reading, path, &token) && (token.kind == JSON_TOKEN_OBJECT || refuse(reading, path, expected));
}

static bool read_id(struct reading *reading, const struct lwm2m_path *parent, struct slice key,
                    struct lwm2m_path *child) {
    uint64_t id;
    if (!slice_to_u64(key, LWM2M_ID_MAX, &id))
        return refuse(reading, parent, "an id is a number from 0 to 65534");
    *child = lwm2m_path_child(parent, (uint16_t)id);
    return true;
}

static bool read_type(struct slice name, enum lwm2m_type *type) {
    for (*type = LWM2M_STRING; *type <= LWM2M_RAW; (*type)++) {
        if (slice_is(name, lwm2m_type_name(*type)))
            return true;
    }
    return false;
}

static enum lwm2m_type declared_type(const struct reading *reading, const struct lwm2m_path *path) {
    const struct value_json_context *context = reading->context;
    enum lwm2m_type type = context->type_of == NULL ? LWM2M_RAW : context->type_of(context->arg, path);
    return type == LWM2M_NONE ? LWM2M_RAW : type;
}

/* A string stands for any type that has a text form; without a type it is a String. */
static bool read_string(struct reading *reading, struct slice text, enum lwm2m_type type, struct lwm2m_value *value,
                        const char **why) {
    *why = NULL;
    *value = lwm2m_bytes(type == LWM2M_CORELNK ? LWM2M_CORELNK : LWM2M_STRING, text);
    if (type == LWM2M_RAW || type == LWM2M_STRING || type == LWM2M_CORELNK)
        return true;
    /* What a device may do and is tolerated, nobody who writes needs. */
    if (lwm2m_text_decode(text, type, reading->context->scratch, value, why) && *why == NULL)
        return true;
    if (type == LWM2M_OPAQUE)
        *why = "Base64 is expected";
    return false;
}

static bool read_scalar(struct reading *reading, const struct json_token *token, enum lwm2m_type type,
                        struct lwm2m_value *value, const char **why) {
    *why = NULL;
    switch (token->kind) {
    case JSON_TOKEN_STRING:
        return read_string(reading, token->text, type, value, why);
    case JSON_TOKEN_NUMBER:
        if (json_number(token, value))
            return lwm2m_value_convert(value, type, NULL, why);
        *why = "the number is too large";
        return false;
    case JSON_TOKEN_TRUE:
    case JSON_TOKEN_FALSE:
        *value = lwm2m_boolean(token->kind == JSON_TOKEN_TRUE);
        return lwm2m_value_convert(value, type, NULL, why);
    case JSON_TOKEN_NULL:
        *value = (struct lwm2m_value){.type = LWM2M_NONE};
        *why = "null is no value here";
        return reading->context->may_remove;
    default:
        *why = "a value is expected";
        return false;
    }
}

/* The scalar that comes next, `told` being the type given with it, as a node. */
static bool add_scalar(struct reading *reading, const struct lwm2m_path *path, enum lwm2m_type told, bool is_base64) {
    enum lwm2m_type declared = declared_type(reading, path);
    enum lwm2m_type type = is_base64 ? LWM2M_OPAQUE : told != LWM2M_RAW ? told : declared;
    struct lwm2m_value value;
    struct json_token token;
    const char *why;
    if (!next(reading, path, &token))
        return false;
    if (!read_scalar(reading, &token, type, &value, &why))
        return refuse(reading, path, why);
    if (is_base64 && (told == LWM2M_STRING || told == LWM2M_CORELNK))
        value.type = told;
    if (!lwm2m_value_convert(&value, declared, NULL, &why))
        return refuse(reading, path, why);
    return lwm2m_nodes_add(reading->out, path, value) || refuse(reading, path, reading->out->remark);
}

/* What the object of a value or resource says. */
struct value_object {
    enum lwm2m_type type; /* RAW: none */
    bool is_base64, has_value, has_values;
    struct json_reader value, values; /* where they stand */
};

/* What an answer has beside the value is let pass, so that what was read can be written. */
static bool is_description(struct slice key) {
    static const char *const names[] = {"path", "name", "units", "iso", "ts", "history", "oddity"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_is(key, names[i]))
            return true;
    }
    return false;
}

static bool read_value_object(struct reading *reading, const struct lwm2m_path *path, struct value_object *object) {
    struct json_token token;
    struct slice key;
    bool more;
    *object = (struct value_object){.type = LWM2M_RAW};
    while (next_key(reading, path, &key, &more)) {
        if (!more)
            return true;
        if (slice_is(key, "type")) {
            if (!next(reading, path, &token))
                return false;
            if (token.kind != JSON_TOKEN_STRING || !read_type(token.text, &object->type))
                return refuse(reading, path, "there is no such type");
            continue;
        }
        if (slice_is(key, "value") || slice_is(key, "value_b64")) {
            if (object->has_value)
                return refuse(reading, path, "there are two values");
            object->has_value = true;
            object->is_base64 = key.len > strlen("value");
            object->value = reading->reader;
        } else if (slice_is(key, "values")) {
            object->has_values = true;
            object->values = reading->reader;
        } else if (!is_description(key)) {
            return refuse(reading, path, "a value has the members type and value, or values, and no others");
        }
        if (!skip(reading, path))
            return false;
    }
    return false;
}

/* Read what stands at a bookmark, and go back. */
static bool read_value_at(struct reading *reading, const struct json_reader *at, const struct lwm2m_path *path,
                          const struct value_object *object) {
    struct json_reader here = reading->reader;
    reading->reader = *at;
    bool good = add_scalar(reading, path, object->type, object->is_base64);
    reading->reader = here;
    return good;
}

/* The value of a resource instance: bare or as an object. */
static bool read_one(struct reading *reading, const struct lwm2m_path *path, enum lwm2m_type type) {
    struct json_reader start = reading->reader;
    struct json_token token;
    struct value_object object;
    if (!next(reading, path, &token))
        return false;
    if (token.kind != JSON_TOKEN_OBJECT) {
        reading->reader = start;
        return add_scalar(reading, path, type, false);
    }
    if (!read_value_object(reading, path, &object))
        return false;
    if (!object.has_value || object.has_values)
        return refuse(reading, path, "an instance of a resource has one value");
    return read_value_at(reading, &object.value, path, &object);
}

static bool read_values(struct reading *reading, const struct lwm2m_path *path, enum lwm2m_type type) {
    struct slice key;
    struct lwm2m_path child;
    bool more, any = false;
    if (!open_object(reading, path, "values must be an object"))
        return false;
    while (next_key(reading, path, &key, &more)) {
        if (!more)
            return any || lwm2m_nodes_add(reading->out, path, (struct lwm2m_value){.type = LWM2M_NONE}) ||
                   refuse(reading, path, reading->out->remark);
        any = true;
        if (!read_id(reading, path, key, &child) || !read_one(reading, &child, type))
            return false;
    }
    return false;
}

/* A resource: bare value, or an object with a value or values. */
static bool read_resource(struct reading *reading, const struct lwm2m_path *path) {
    struct json_reader start = reading->reader;
    struct json_token token;
    struct value_object object;
    if (path->len == 4)
        return read_one(reading, path, LWM2M_RAW);
    if (!next(reading, path, &token))
        return false;
    if (token.kind != JSON_TOKEN_OBJECT) {
        reading->reader = start;
        return add_scalar(reading, path, LWM2M_RAW, false);
    }
    if (!read_value_object(reading, path, &object))
        return false;
    if (object.has_value == object.has_values)
        return refuse(reading, path, "a resource has either a value or values");
    if (object.has_value)
        return read_value_at(reading, &object.value, path, &object);
    struct json_reader here = reading->reader;
    reading->reader = object.values;
    bool good = read_values(reading, path, object.type);
    reading->reader = here;
    return good;
}

static bool read_resources(struct reading *reading, const struct lwm2m_path *instance) {
    struct slice key;
    struct lwm2m_path child;
    bool more, any = false;
    if (!open_object(reading, instance, "resources must be an object"))
        return false;
    while (next_key(reading, instance, &key, &more)) {
        if (!more)
            return any || lwm2m_nodes_add(reading->out, instance, (struct lwm2m_value){.type = LWM2M_NONE}) ||
                   refuse(reading, instance, reading->out->remark);
        any = true;
        if (!read_id(reading, instance, key, &child) || !read_resource(reading, &child))
            return false;
    }
    return false;
}

/* Of an instance's object, which is open: the id that it gives, and where its resources stand. */
static bool read_instance_object(struct reading *reading, const struct lwm2m_path *path, uint16_t *instance,
                                 struct json_reader *resources, bool *has_resources, struct json_reader *instances,
                                 bool *has_instances) {
    struct json_token token;
    struct slice key;
    bool more;
    *has_resources = *has_instances = false;
    while (next_key(reading, path, &key, &more)) {
        uint64_t id;
        if (!more)
            return true;
        if (slice_is(key, "instance")) {
            if (!next(reading, path, &token))
                return false;
            if (token.kind != JSON_TOKEN_NUMBER || !slice_to_u64(token.text, LWM2M_ID_MAX, &id))
                return refuse(reading, path, "instance must be a number from 0 to 65534");
            *instance = (uint16_t)id;
            continue;
        }
        if (slice_is(key, "resources")) {
            *has_resources = true;
            *resources = reading->reader;
        } else if (slice_is(key, "instances")) {
            *has_instances = true;
            *instances = reading->reader;
        } else if (!is_description(key)) {
            return refuse(reading, path, "an instance has the member resources and no others");
        }
        if (!skip(reading, path))
            return false;
    }
    return false;
}

static bool read_resources_at(struct reading *reading, const struct json_reader *at, const struct lwm2m_path *path) {
    struct json_reader here = reading->reader;
    reading->reader = *at;
    bool good = read_resources(reading, path);
    reading->reader = here;
    return good;
}

static bool read_instance(struct reading *reading, const struct lwm2m_path *path) {
    struct json_reader resources, instances;
    bool has_resources, has_instances;
    uint16_t id = path->ids[1];
    if (!open_object(reading, path, "an instance is an object with resources") ||
        !read_instance_object(reading, path, &id, &resources, &has_resources, &instances, &has_instances))
        return false;
    if (!has_resources || has_instances || id != path->ids[1])
        return refuse(reading, path, "an instance is an object with resources");
    return read_resources_at(reading, &resources, path);
}

static bool read_instances_at(struct reading *reading, const struct json_reader *at, const struct lwm2m_path *object) {
    struct json_reader here = reading->reader;
    struct lwm2m_path child;
    struct slice key;
    bool more, any = false;
    reading->reader = *at;
    if (!open_object(reading, object, "instances must be an object"))
        return false;
    while (next_key(reading, object, &key, &more)) {
        if (!more) {
            reading->reader = here;
            return any || refuse(reading, object, "there are no instances");
        }
        any = true;
        if (!read_id(reading, object, key, &child) || !read_instance(reading, &child))
            return false;
    }
    return false;
}

static bool begin(struct reading *reading, struct slice text, const struct value_json_context *context,
                  struct lwm2m_nodes *out, struct value_json_fault *fault) {
    *reading = (struct reading){.context = context, .out = out, .fault = fault, .len = text.len};
    *fault = (struct value_json_fault){0};
    lwm2m_nodes_begin(out);
    json_reader_begin(&reading->reader, text, context->scratch);
    if (slice_is_utf8(text))
        return true;
    fault->why = "the body is not UTF-8";
    return false;
}

static bool finish(struct reading *reading, const struct lwm2m_path *base) {
    struct json_token token;
    if (!json_reader_expect(&reading->reader, JSON_TOKEN_END, &token))
        return refuse_syntax(reading, base);
    return lwm2m_nodes_arrange(reading->out) || refuse(reading, &reading->out->fault_path, reading->out->remark);
}

bool value_json_read(struct slice text, const struct lwm2m_path *base, const struct value_json_context *context,
                     struct lwm2m_nodes *out, struct value_json_fault *fault) {
    struct reading reading;
    return begin(&reading, text, context, out, fault) &&
           (base->len == 2 ? read_instance(&reading, base) : read_resource(&reading, base)) && finish(&reading, base);
}

bool value_json_read_create(struct slice text, uint16_t object, const struct value_json_context *context,
                            struct lwm2m_nodes *out, struct value_json_fault *fault) {
    struct reading reading;
    struct lwm2m_path base = {.ids = {object}, .len = 1}, path;
    struct json_reader resources, instances;
    bool has_resources, has_instances;
    uint16_t id = LWM2M_ID_NONE;
    if (!begin(&reading, text, context, out, fault) ||
        !open_object(&reading, &base, "an object with resources is expected") ||
        !read_instance_object(&reading, &base, &id, &resources, &has_resources, &instances, &has_instances))
        return false;
    if (has_resources == has_instances || (has_instances && id != LWM2M_ID_NONE))
        return refuse(&reading, &base, "an object with resources is expected, or one with instances");
    path = lwm2m_path_child(&base, id);
    bool good =
        has_resources ? read_resources_at(&reading, &resources, &path) : read_instances_at(&reading, &instances, &base);
    return good && finish(&reading, &base);
}

bool value_json_read_composite(struct slice text, const struct value_json_context *context, struct lwm2m_nodes *out,
                               struct value_json_fault *fault) {
    struct reading reading;
    struct lwm2m_path root = {.len = 0}, path;
    struct slice key;
    bool more;
    if (!begin(&reading, text, context, out, fault) || !open_object(&reading, &root, "an object of paths is expected"))
        return false;
    while (next_key(&reading, &root, &key, &more)) {
        if (!more)
            return finish(&reading, &root);
        if (!lwm2m_path_parse(key, &path, NULL) || path.len < 2)
            return refuse(&reading, &root, "each name must be the path of an instance, resource or resource instance");
        if (!(path.len == 2 ? read_instance(&reading, &path) : read_resource(&reading, &path)))
            return false;
    }
    return false;
}
