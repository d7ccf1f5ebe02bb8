#include "web/leshan/node.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "common/lwm2m/text.h"
#include "web/document.h"

enum {
    NUMBER_TEXT_MAX = 512, /* of a float: its digits without an exponent */
    TOLD_AGAIN_MAX = 64,
};

struct leshan_value {
    struct lwm2m_path path;
    enum lwm2m_type type;
    bool has_time;
    int64_t time_ms;
    json_t *value; /* NULL: it is there and empty */
};

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

/* ---- values ---- */

static const struct {
    enum lwm2m_type type;
    const char *name;
} types[] = {
    {LWM2M_STRING, "STRING"}, {LWM2M_INTEGER, "INTEGER"}, {LWM2M_UNSIGNED, "UNSIGNED_INTEGER"},
    {LWM2M_FLOAT, "FLOAT"},   {LWM2M_BOOLEAN, "BOOLEAN"}, {LWM2M_OPAQUE, "OPAQUE"},
    {LWM2M_TIME, "TIME"},     {LWM2M_OBJLNK, "OBJLNK"},   {LWM2M_CORELNK, "CORELINK"},
    {LWM2M_RAW, "OPAQUE"},
};

const char *leshan_node_type_name(enum lwm2m_type type) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].type == type)
            return types[i].name;
    }
    return "STRING";
}

static json_t *hex_json(struct slice bytes) {
    uint8_t *memory = malloc(2 * bytes.len + 1);
    if (memory == NULL)
        return NULL;
    struct buffer text = buffer_over(memory, 2 * bytes.len);
    text_put_hex(&text, bytes);
    json_t *json = json_stringn((const char *)memory, text.len);
    free(memory);
    return json;
}

/* Numbers are strings, so that none loses digits on its way. */
static json_t *number_json(const struct lwm2m_value *value) {
    uint8_t memory[NUMBER_TEXT_MAX];
    struct buffer text = buffer_over(memory, sizeof memory);
    if (!lwm2m_text_encode(value, &text))
        return json_sprintf("%g", value->type == LWM2M_FLOAT ? value->real : 0.0);
    return document_text(buffer_slice(&text));
}

static json_t *value_json(const struct lwm2m_value *value) {
    switch (value->type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
        return document_text(value->bytes);
    case LWM2M_INTEGER:
    case LWM2M_UNSIGNED:
    case LWM2M_FLOAT:
        return number_json(value);
    case LWM2M_BOOLEAN:
        return json_boolean(value->truth);
    case LWM2M_OPAQUE:
    case LWM2M_RAW:
        return hex_json(value->bytes);
    case LWM2M_TIME:
        return value->integer > INT64_MAX / 1000 || value->integer < INT64_MIN / 1000
                   ? json_real((double)value->integer * 1000)
                   : json_integer(value->integer * 1000);
    case LWM2M_OBJLNK:
        return json_pack("{sisi}", "objectId", (int)value->link.object, "objectInstanceId", (int)value->link.instance);
    case LWM2M_NONE:
        break;
    }
    return NULL;
}

bool leshan_values_add(struct leshan_values *list, const struct lwm2m_node *node) {
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 16 : list->cap * 2;
        struct leshan_value *grown = realloc(list->values, cap * sizeof *grown);
        if (grown == NULL)
            return false;
        list->values = grown;
        list->cap = cap;
    }
    list->values[list->count++] = (struct leshan_value){.path = node->path,
                                                        .type = node->value.type,
                                                        .has_time = node->has_time,
                                                        .time_ms = node->time_ms,
                                                        .value = value_json(&node->value)};
    return true;
}

bool leshan_values_has(const struct leshan_values *list, const struct lwm2m_node *node) {
    for (size_t i = 0; i < list->count && i < TOLD_AGAIN_MAX; i++) {
        const struct leshan_value *value = &list->values[i];
        if (!node->has_time && !value->has_time && lwm2m_path_equal(&value->path, &node->path))
            return true;
    }
    return false;
}

void leshan_values_clear(struct leshan_values *list) {
    for (size_t i = 0; i < list->count; i++)
        json_decref(list->values[i].value);
    free(list->values);
    *list = (struct leshan_values){0};
}

/* ---- nodes ---- */

static json_t *node_of(const char *kind, const struct lwm2m_path *path) {
    json_t *node = json_object();
    set(node, "kind", json_string(kind));
    if (path->len > 0)
        set(node, "id", json_integer(path->ids[path->len - 1]));
    return node;
}

/* How many of the values, from the first on, share the first `ids` ids with it. */
static size_t count_together(const struct leshan_value *values, size_t count, uint8_t ids) {
    struct lwm2m_path first = values[0].path;
    size_t together = 1;
    first.len = ids;
    while (together < count && lwm2m_path_contains(&first, &values[together].path))
        together++;
    return together;
}

static const struct leshan_value *newest(const struct leshan_value *values, size_t count) {
    const struct leshan_value *best = &values[0];
    for (size_t i = 1; i < count; i++) {
        if (!values[i].has_time || !best->has_time || values[i].time_ms >= best->time_ms)
            best = &values[i];
    }
    return best;
}

static json_t *one_json(const char *kind, const struct lwm2m_path *path, const struct leshan_value *values,
                        size_t count) {
    json_t *node = node_of(kind, path);
    if (count == 0)
        return node;
    const struct leshan_value *value = newest(values, count);
    set(node, "type", json_string(leshan_node_type_name(value->type)));
    set(node, "value", value->value == NULL ? json_null() : json_incref(value->value));
    return node;
}

static json_t *resource_json(const struct lwm2m_path *path, const struct leshan_value *values, size_t count) {
    if (count > 0 && values[0].path.len == 3 && values[0].value != NULL)
        return one_json("singleResource", path, values, count);
    json_t *node = node_of("multiResource", path), *instances = json_object();
    set(node, "type", json_string(leshan_node_type_name(count > 0 ? values[0].type : LWM2M_STRING)));
    for (size_t i = 0; i < count;) {
        size_t together = count_together(&values[i], count - i, 4);
        const struct leshan_value *value = newest(&values[i], together);
        char id[8];
        snprintf(id, sizeof id, "%u", (unsigned)value->path.ids[3]);
        if (value->path.len == 4 && value->value != NULL)
            set(instances, id, json_incref(value->value));
        i += together;
    }
    set(node, "values", instances);
    return node;
}

static json_t *build(const struct lwm2m_path *base, const struct leshan_value *values, size_t count) {
    static const char *const kinds[] = {"root", "obj", "instance"}, *const lists[] = {"objects", "instances",
                                                                                      "resources"};
    if (base->len == 4)
        return one_json("resourceInstance", base, values, count);
    if (base->len == 3)
        return resource_json(base, values, count);
    json_t *node = node_of(kinds[base->len], base), *children = json_array();
    for (size_t i = 0; i < count;) {
        if (values[i].path.len <= base->len) {
            i++;
            continue;
        }
        size_t together = count_together(&values[i], count - i, (uint8_t)(base->len + 1));
        struct lwm2m_path child = lwm2m_path_child(base, values[i].path.ids[base->len]);
        json_array_append_new(children, build(&child, &values[i], together));
        i += together;
    }
    set(node, lists[base->len], children);
    return node;
}

json_t *leshan_node_json(const struct leshan_values *list, const struct lwm2m_path *base) {
    return build(base, list->values, list->count);
}

static void set_at(json_t *object, const struct lwm2m_path *path, json_t *node) {
    uint8_t text[32];
    struct buffer name = buffer_over(text, sizeof text);
    lwm2m_path_put(&name, path);
    json_object_setn_new(object, (const char *)text, name.len, node);
}

json_t *leshan_node_paths_json(const struct leshan_values *list) {
    json_t *paths = json_object();
    for (size_t i = 0; i < list->count;) {
        const struct leshan_value *value = &list->values[i];
        struct lwm2m_path path = value->path;
        if (path.len > 3)
            path.len = 3;
        size_t together = count_together(value, list->count - i, path.len);
        set_at(paths, &path, build(&path, value, together));
        i += together;
    }
    return paths;
}

/* ---- putting together ---- */

/* The last entry of the list in `node` when it has that id, since what belongs together stands together; else a new one. */
static json_t *child_of(json_t *node, const char *list, const char *kind, uint16_t id, const char *children) {
    json_t *entries = json_object_get(node, list);
    size_t count = json_array_size(entries);
    json_t *entry = count == 0 ? NULL : json_array_get(entries, count - 1);
    if (entry != NULL && json_integer_value(json_object_get(entry, "id")) == id)
        return entry;
    entry = json_pack("{sssis[]}", "kind", kind, "id", (int)id, children);
    json_array_append_new(entries, entry);
    return entry;
}

/* Put the node of a resource where it belongs within `node`, which is at `base`. */
static void put_resource(json_t *node, const struct lwm2m_path *base, const struct lwm2m_path *path, json_t *resource) {
    if (base->len == 0)
        node = child_of(node, "objects", "obj", path->ids[0], "instances");
    if (base->len <= 1 && path->len >= 2)
        node = child_of(node, "instances", "instance", path->ids[1], "resources");
    if (path->len >= 3)
        json_array_append(json_object_get(node, "resources"), resource);
}

/* One instance of a resource that was told with all it has. */
static json_t *instance_of(const json_t *resource, const struct lwm2m_path *base) {
    char id[8];
    snprintf(id, sizeof id, "%u", (unsigned)base->ids[3]);
    json_t *value = json_object_get(json_object_get(resource, "values"), id);
    if (value == NULL)
        return NULL;
    return json_pack("{sssisOsO}", "kind", "resourceInstance", "id", (int)base->ids[3], "type",
                     json_object_get(resource, "type"), "value", value);
}

static json_t *gather_resource(const json_t *paths, const struct lwm2m_path *base) {
    char text[32];
    struct buffer name = buffer_over(text, sizeof text - 1);
    struct lwm2m_path resource = *base;
    resource.len = 3;
    lwm2m_path_put(&name, &resource);
    text[name.len] = '\0';
    json_t *node = json_object_get(paths, text);
    return node == NULL || base->len == 3 ? json_incref(node) : instance_of(node, base);
}

json_t *leshan_node_gather(const json_t *paths, const struct lwm2m_path *base) {
    static const char *const kinds[] = {"root", "obj", "instance"}, *const lists[] = {"objects", "instances",
                                                                                      "resources"};
    const char *name;
    json_t *found = NULL, *node;
    if (base->len >= 3)
        return gather_resource(paths, base);
    json_object_foreach((json_t *)(uintptr_t)paths, name, node) {
        struct lwm2m_path path;
        if (!lwm2m_path_parse(slice_str(name), &path, NULL) || !lwm2m_path_contains(base, &path))
            continue;
        if (found == NULL) {
            found = node_of(kinds[base->len], base);
            set(found, lists[base->len], json_array());
        }
        put_resource(found, base, &path, node);
    }
    return found;
}

/* ---- reading ---- */

struct reading {
    char *error;
    size_t error_size;
};

static json_t *refuse(struct reading *in, const char *format, ...) __attribute__((format(printf, 2, 3)));

static json_t *refuse(struct reading *in, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(in->error, in->error_size, format, args);
    va_end(args);
    return NULL;
}

/* Any case. False: there is no such type. */
static bool read_type(const char *name, enum lwm2m_type *type) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t k = 0;
        while (name[k] != '\0' && toupper((unsigned char)name[k]) == types[i].name[k])
            k++;
        if (name[k] == '\0' && types[i].name[k] == '\0') {
            *type = types[i].type;
            return true;
        }
    }
    return false;
}

static json_t *base64_of_hex(struct reading *in, struct slice hex) {
    size_t size = hex.len / 2, cap = (size + 2) / 3 * 4;
    uint8_t *bytes = malloc(size + 1), *text = malloc(cap + 1);
    json_t *json = NULL;
    if (bytes != NULL && text != NULL) {
        struct buffer plain = buffer_over(bytes, size), out = buffer_over(text, cap);
        if (text_get_hex(hex, &plain)) {
            text_put_base64(&out, buffer_slice(&plain));
            json = json_stringn((const char *)text, out.len);
        }
    }
    free(bytes);
    free(text);
    return json != NULL ? json : refuse(in, "an OPAQUE value must be a string of hexadecimal digits");
}

static json_t *read_time(struct reading *in, const json_t *value) {
    uint64_t natural;
    if (json_is_integer(value))
        return json_integer(json_integer_value(value) / 1000);
    if (json_is_real(value) && json_real_value(value) > -9e21 && json_real_value(value) < 9e21)
        return json_integer((json_int_t)(json_real_value(value) / 1000));
    if (json_is_string(value) && slice_to_u64(document_string(value), INT64_MAX, &natural))
        return json_integer((json_int_t)(natural / 1000));
    return refuse(in, "a TIME value must be a number of milliseconds since 1970");
}

static json_t *read_link(struct reading *in, const json_t *value) {
    const json_t *object = json_object_get(value, "objectId"), *instance = json_object_get(value, "objectInstanceId");
    if (!json_is_integer(object) || !json_is_integer(instance) || json_integer_value(object) < 0 ||
        json_integer_value(object) > UINT16_MAX || json_integer_value(instance) < 0 ||
        json_integer_value(instance) > UINT16_MAX)
        return refuse(in, "an OBJLNK value must be {\"objectId\":3,\"objectInstanceId\":0}");
    return json_sprintf("%d:%d", (int)json_integer_value(object), (int)json_integer_value(instance));
}

/* {"type","value"} of /v1. */
static json_t *read_value(struct reading *in, const json_t *type_json, const json_t *value) {
    enum lwm2m_type type = LWM2M_NONE;
    const char *member = "value";
    json_t *read = NULL;
    if (type_json != NULL && !(json_is_string(type_json) && read_type(json_string_value(type_json), &type)))
        return refuse(in, "type must be STRING, INTEGER, UNSIGNED_INTEGER, FLOAT, BOOLEAN, OPAQUE, TIME, OBJLNK or "
                          "CORELINK");
    if (type == LWM2M_TIME) {
        read = read_time(in, value);
    } else if (type == LWM2M_OBJLNK) {
        read = read_link(in, value);
    } else if (type == LWM2M_OPAQUE) {
        read = base64_of_hex(in, json_is_string(value) ? document_string(value) : slice_str("-"));
        member = "value_b64";
    } else if (type == LWM2M_BOOLEAN && json_is_string(value)) {
        if (strcmp(json_string_value(value), "true") != 0 && strcmp(json_string_value(value), "false") != 0)
            return refuse(in, "a BOOLEAN value must be true or false");
        read = json_boolean(json_string_value(value)[0] == 't');
    } else if (json_is_string(value) || json_is_number(value) || json_is_boolean(value)) {
        read = json_deep_copy(value);
    } else {
        return refuse(in, "a value is missing, or is no string, number or boolean");
    }
    if (read == NULL)
        return NULL;
    json_t *object = json_object();
    if (type != LWM2M_NONE)
        set(object, "type", json_string(lwm2m_type_name(type)));
    set(object, member, read);
    return object;
}

static json_t *read_values(struct reading *in, const json_t *type, const json_t *values) {
    const char *id;
    json_t *value, *instances = json_object();
    if (!json_is_object(values)) {
        json_decref(instances);
        return refuse(in, "a multiResource has values, an object");
    }
    json_object_foreach((json_t *)(uintptr_t)values, id, value) {
        json_t *read = read_value(in, type, value);
        if (read == NULL) {
            json_decref(instances);
            return NULL;
        }
        set(instances, id, read);
    }
    return json_pack("{so}", "values", instances);
}

static bool is_kind(const json_t *node, const char *kind) {
    const json_t *name = json_object_get(node, "kind");
    return json_is_string(name) && strcmp(json_string_value(name), kind) == 0;
}

static json_t *read_resource(struct reading *in, const json_t *node) {
    if (is_kind(node, "multiResource"))
        return read_values(in, json_object_get(node, "type"), json_object_get(node, "values"));
    if (is_kind(node, "singleResource"))
        return read_value(in, json_object_get(node, "type"), json_object_get(node, "value"));
    return refuse(in, "kind must be singleResource or multiResource here");
}

/* {"resources":{…}} of the list. */
static json_t *read_resources(struct reading *in, const json_t *list) {
    json_t *resources = json_object(), *node;
    size_t i;
    if (!json_is_array(list)) {
        json_decref(resources);
        return refuse(in, "an instance has resources, a list");
    }
    json_array_foreach((json_t *)(uintptr_t)list, i, node) {
        const json_t *id = json_object_get(node, "id");
        bool has_id = json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) <= LWM2M_ID_MAX;
        json_t *read = has_id ? read_resource(in, node) : refuse(in, "each resource has an id, a number up to 65534");
        if (read == NULL) {
            json_decref(resources);
            return NULL;
        }
        char name[8];
        snprintf(name, sizeof name, "%d", (int)json_integer_value(id));
        set(resources, name, read);
    }
    return json_pack("{so}", "resources", resources);
}

json_t *leshan_node_read(const json_t *node, const struct lwm2m_path *path, char *error, size_t error_size) {
    struct reading in = {error, error_size};
    if (!json_is_object(node))
        return refuse(&in, "a node must be a JSON object");
    if (path->len == 2)
        return is_kind(node, "instance") ? read_resources(&in, json_object_get(node, "resources"))
                                         : refuse(&in, "kind must be instance here");
    if (path->len == 3)
        return read_resource(&in, node);
    return is_kind(node, "resourceInstance")
               ? read_value(&in, json_object_get(node, "type"), json_object_get(node, "value"))
               : refuse(&in, "kind must be resourceInstance here");
}

json_t *leshan_node_read_new(const json_t *node, char *error, size_t error_size) {
    struct reading in = {error, error_size};
    const json_t *id = json_object_get(node, "id");
    if (!is_kind(node, "instance"))
        return refuse(&in, "kind must be instance here");
    if (id != NULL && !json_is_null(id) &&
        !(json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) <= LWM2M_ID_MAX))
        return refuse(&in, "the id of an instance is a number from 0 to 65534");
    json_t *read = read_resources(&in, json_object_get(node, "resources"));
    if (read != NULL && json_is_integer(id))
        set(read, "instance", json_incref((json_t *)(uintptr_t)id));
    return read;
}
