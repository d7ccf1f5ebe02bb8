#include "client/attributes.h"

#include <stdlib.h>

#include "common/lwm2m/text.h"

enum { ANY_VALUE_MAX = INT32_MAX }; /* of those that are whole numbers */

enum kind {
    KIND_NUMBER, /* whole; of everything */
    KIND_SWITCH, /* likewise, 0 or 1 */
    KIND_LIMIT,  /* decimal; of numeric resources */
    KIND_STEP,   /* likewise, and greater than 0 */
    KIND_EDGE,   /* 0 or 1; of Boolean resources */
};

/* In the order of enum attribute. */
static const struct {
    const char *name;
    enum kind kind;
    uint8_t since; /* release of LwM2M, times ten */
} known[ATTRIBUTE_COUNT] = {
    {"pmin", KIND_NUMBER, 10}, {"pmax", KIND_NUMBER, 10},  {"epmin", KIND_NUMBER, 11}, {"epmax", KIND_NUMBER, 11},
    {"gt", KIND_LIMIT, 10},    {"lt", KIND_LIMIT, 10},     {"st", KIND_STEP, 10},      {"edge", KIND_EDGE, 12},
    {"con", KIND_SWITCH, 12},  {"hqmax", KIND_NUMBER, 12},
};

struct attribute_entry {
    struct lwm2m_path path;
    struct attributes attributes;
};

static unsigned bit(enum attribute which) {
    return 1u << which;
}

static bool has(const struct attributes *attributes, enum attribute which) {
    return attributes_have(attributes, which);
}

void attributes_inherit(struct attributes *attributes, const struct attributes *above) {
    for (enum attribute i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (!has(attributes, i) && has(above, i))
            attributes_set(attributes, i, above->values[i]);
    }
}

/* ---- the list ---- */

static struct attribute_entry *find(const struct attribute_list *list, const struct lwm2m_path *path) {
    for (size_t i = 0; i < list->count; i++) {
        if (lwm2m_path_equal(&list->entries[i].path, path))
            return &list->entries[i];
    }
    return NULL;
}

void attribute_list_free(struct attribute_list *list) {
    free(list->entries);
    *list = (struct attribute_list){.entries = NULL};
}

struct attributes attribute_list_at(const struct attribute_list *list, const struct lwm2m_path *path) {
    const struct attribute_entry *entry = find(list, path);
    if (entry == NULL)
        return (struct attributes){.set = 0};
    return entry->attributes;
}

struct attributes attribute_list_effective(const struct attribute_list *list, const struct lwm2m_path *path) {
    struct attributes effective = attribute_list_at(list, path);
    struct lwm2m_path above = *path;
    while (above.len-- > 1) {
        struct attributes inherited = attribute_list_at(list, &above);
        attributes_inherit(&effective, &inherited);
    }
    return effective;
}

void attribute_list_remove(struct attribute_list *list, const struct lwm2m_path *path) {
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (!lwm2m_path_contains(path, &list->entries[i].path))
            list->entries[kept++] = list->entries[i];
    }
    list->count = kept;
}

bool attribute_list_set(struct attribute_list *list, const struct lwm2m_path *path,
                        const struct attributes *attributes) {
    struct attribute_entry *entry = find(list, path);
    if (entry != NULL) {
        entry->attributes = *attributes;
        return true;
    }
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 16 : 2 * list->cap;
        struct attribute_entry *grown = realloc(list->entries, cap * sizeof *grown);
        if (grown == NULL)
            return false;
        list->entries = grown;
        list->cap = cap;
    }
    list->entries[list->count++] = (struct attribute_entry){.path = *path, .attributes = *attributes};
    return true;
}

/* ---- reading ---- */

static bool fail(const char **why, const char *what) {
    *why = what;
    return false;
}

static bool is_numeric(enum lwm2m_type type) {
    return type == LWM2M_INTEGER || type == LWM2M_UNSIGNED || type == LWM2M_FLOAT;
}

static bool has_level(enum kind kind, enum lwm2m_type type) {
    switch (kind) {
    case KIND_LIMIT:
    case KIND_STEP:
        return is_numeric(type);
    case KIND_EDGE:
        return type == LWM2M_BOOLEAN;
    case KIND_NUMBER:
    case KIND_SWITCH:
        break;
    }
    return true;
}

static bool read_whole(struct slice text, uint64_t max, double *value) {
    uint64_t number;
    if (!slice_to_u64(text, max, &number))
        return false;
    *value = (double)number;
    return true;
}

/* The ABNF of thresholds has no sign, but a temperature has. */
static bool read_decimal(struct slice text, double *value) {
    uint8_t none;
    struct buffer scratch = buffer_over(&none, 0); /* of no use to a number */
    struct lwm2m_value decoded;
    const char *remark;
    if (!lwm2m_text_decode(text, LWM2M_FLOAT, &scratch, &decoded, &remark))
        return false;
    *value = decoded.real;
    return true;
}

static bool read_value(enum kind kind, struct slice text, double *value) {
    switch (kind) {
    case KIND_NUMBER:
        return read_whole(text, ANY_VALUE_MAX, value);
    case KIND_SWITCH:
    case KIND_EDGE:
        return read_whole(text, 1, value);
    case KIND_LIMIT:
        return read_decimal(text, value);
    case KIND_STEP:
        return read_decimal(text, value) && *value > 0;
    }
    return false;
}

bool attributes_read(struct attributes *attributes, struct slice item, uint8_t version, enum lwm2m_type type,
                     enum attribute *which, const char **why) {
    const uint8_t *equals = item.len == 0 ? NULL : memchr(item.data, '=', item.len);
    struct slice name = slice_of(item.data, equals == NULL ? item.len : (size_t)(equals - item.data));
    enum attribute i = 0;
    while (i < ATTRIBUTE_COUNT && !(slice_is(name, known[i].name) && known[i].since <= version))
        i++;
    if (i == ATTRIBUTE_COUNT)
        return fail(why, "there is no such attribute");
    if (!has_level(known[i].kind, type))
        return fail(why, "the attribute has no place there");
    *which = i;
    attributes->set = (uint16_t)(attributes->set & ~bit(i));
    if (equals == NULL)
        return true;
    if (!read_value(known[i].kind, slice_from(item, name.len + 1), &attributes->values[i]))
        return fail(why, "the value of an attribute is not in its range");
    attributes->set = (uint16_t)(attributes->set | bit(i));
    return true;
}

bool attributes_agree(const struct attributes *attributes) {
    const double *values = attributes->values;
    double step = has(attributes, ATTRIBUTE_ST) ? values[ATTRIBUTE_ST] : 0;
    if (has(attributes, ATTRIBUTE_GT) && has(attributes, ATTRIBUTE_LT) &&
        values[ATTRIBUTE_LT] + 2 * step >= values[ATTRIBUTE_GT])
        return false;
    return !has(attributes, ATTRIBUTE_EPMIN) || !has(attributes, ATTRIBUTE_EPMAX) ||
           values[ATTRIBUTE_EPMIN] < values[ATTRIBUTE_EPMAX];
}

void attributes_put(const struct attributes *attributes, struct buffer *out) {
    for (enum attribute i = 0; i < ATTRIBUTE_COUNT; i++) {
        const struct lwm2m_value value = {.type = LWM2M_FLOAT, .real = attributes->values[i]};
        if (has(attributes, i)) {
            buffer_printf(out, ";%s=", known[i].name);
            lwm2m_text_encode(&value, out);
        }
    }
}
