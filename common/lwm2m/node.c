#include "common/lwm2m/node.h"

void lwm2m_nodes_begin(struct lwm2m_nodes *list) {
    *list = lwm2m_nodes_over(list->nodes, list->cap);
}

bool lwm2m_nodes_end(struct lwm2m_nodes *list, bool good, struct slice payload, struct slice rest) {
    list->fault_at = good ? 0 : payload.len - rest.len;
    return good;
}

void lwm2m_nodes_put_fault(struct buffer *out, const struct lwm2m_nodes *list) {
    if (list->fault_path.len > 0) {
        lwm2m_path_put(out, &list->fault_path);
        buffer_put_str(out, ": ");
    }
    buffer_put_str(out, list->remark == NULL ? "it cannot be read" : list->remark);
    if (list->fault_path.len == 0 && list->fault_at > 0)
        buffer_printf(out, ", at byte %zu", list->fault_at);
}

static bool conflict(struct lwm2m_nodes *list, const struct lwm2m_node *node, const char *why) {
    list->remark = why;
    list->fault_path = node->path;
    return true;
}

bool lwm2m_nodes_add(struct lwm2m_nodes *list, const struct lwm2m_path *path, struct lwm2m_value value) {
    if (list->count == list->cap) {
        list->remark = "more values than are taken at once";
        return false;
    }
    list->nodes[list->count++] = (struct lwm2m_node){.path = *path, .value = value};
    return true;
}

/* ---- order ---- */

static int compare(const struct lwm2m_node *a, const struct lwm2m_node *b) {
    for (size_t i = 0; i < a->path.len && i < b->path.len; i++) {
        if (a->path.ids[i] != b->path.ids[i])
            return a->path.ids[i] < b->path.ids[i] ? -1 : 1;
    }
    if (a->path.len != b->path.len)
        return a->path.len < b->path.len ? -1 : 1;
    if (a->has_time != b->has_time)
        return a->has_time ? 1 : -1;
    if (a->has_time && a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    return 0;
}

static bool is_sorted(const struct lwm2m_nodes *list) {
    for (size_t i = 1; i < list->count; i++) {
        if (compare(&list->nodes[i - 1], &list->nodes[i]) >= 0)
            return false;
    }
    return true;
}

static void swap(struct lwm2m_node *a, struct lwm2m_node *b) {
    struct lwm2m_node kept = *a;
    *a = *b;
    *b = kept;
}

/* Heapsort: it needs no memory, and no input makes it slow. */
static void sift_down(struct lwm2m_node *nodes, size_t root, size_t count) {
    size_t child;
    while ((child = 2 * root + 1) < count) {
        if (child + 1 < count && compare(&nodes[child], &nodes[child + 1]) < 0)
            child++;
        if (compare(&nodes[root], &nodes[child]) >= 0)
            return;
        swap(&nodes[root], &nodes[child]);
        root = child;
    }
}

static void sort(struct lwm2m_node *nodes, size_t count) {
    for (size_t i = count / 2; i-- > 0;)
        sift_down(nodes, i, count);
    for (size_t end = count; end-- > 1;) {
        swap(&nodes[0], &nodes[end]);
        sift_down(nodes, 0, end);
    }
}

/* How often the first `level` ids change on the way through the list: least when what shares them stands together. */
static size_t count_changes(const struct lwm2m_nodes *list, size_t level) {
    size_t changes = 0;
    for (size_t i = 1; i < list->count; i++) {
        const struct lwm2m_path *a = &list->nodes[i - 1].path, *b = &list->nodes[i].path;
        size_t known = a->len < level ? a->len : level;
        changes += known != (b->len < level ? b->len : level) || memcmp(a->ids, b->ids, known * sizeof a->ids[0]) != 0;
    }
    return changes;
}

static void restore_order(struct lwm2m_nodes *list) {
    for (size_t i = 0; i < list->count; i++) {
        while (list->nodes[i].position != i)
            swap(&list->nodes[i], &list->nodes[list->nodes[i].position]);
    }
}

/* Of a sorted list, where what disagrees stands side by side. */
static bool has_conflict(struct lwm2m_nodes *list) {
    for (size_t i = 1; i < list->count; i++) {
        const struct lwm2m_node *a = &list->nodes[i - 1], *b = &list->nodes[i];
        if (compare(a, b) == 0)
            return conflict(list, b, "a path comes twice");
        if (a->value.type != LWM2M_NONE && a->path.len < b->path.len && lwm2m_path_contains(&a->path, &b->path))
            return conflict(list, a, "a resource has a value and instances");
    }
    return false;
}

bool lwm2m_nodes_arrange(struct lwm2m_nodes *list) {
    enum { LEVEL_INSTANCE = 2, LEVEL_RESOURCE = 3 };
    if (is_sorted(list))
        return !has_conflict(list);
    size_t instances = count_changes(list, LEVEL_INSTANCE), resources = count_changes(list, LEVEL_RESOURCE);
    for (size_t i = 0; i < list->count; i++)
        list->nodes[i].position = (uint32_t)i;
    sort(list->nodes, list->count);
    if (has_conflict(list))
        return false;
    if (count_changes(list, LEVEL_INSTANCE) == instances && count_changes(list, LEVEL_RESOURCE) == resources)
        restore_order(list);
    return true;
}

/* ---- values ---- */

bool lwm2m_value_equal(const struct lwm2m_value *a, const struct lwm2m_value *b) {
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case LWM2M_NONE:
        return true;
    case LWM2M_STRING:
    case LWM2M_OPAQUE:
    case LWM2M_CORELNK:
    case LWM2M_RAW:
        return slice_equal(a->bytes, b->bytes);
    case LWM2M_INTEGER:
    case LWM2M_TIME:
        return a->integer == b->integer;
    case LWM2M_UNSIGNED:
        return a->natural == b->natural;
    case LWM2M_FLOAT:
        return memcmp(&a->real, &b->real, sizeof a->real) == 0;
    case LWM2M_BOOLEAN:
        return a->truth == b->truth;
    case LWM2M_OBJLNK:
        return a->link.object == b->link.object && a->link.instance == b->link.instance;
    }
    return false;
}

const char *lwm2m_type_name(enum lwm2m_type type) {
    switch (type) {
    case LWM2M_NONE:
        return "none";
    case LWM2M_STRING:
        return "string";
    case LWM2M_INTEGER:
        return "integer";
    case LWM2M_UNSIGNED:
        return "unsigned";
    case LWM2M_FLOAT:
        return "float";
    case LWM2M_BOOLEAN:
        return "boolean";
    case LWM2M_OPAQUE:
        return "opaque";
    case LWM2M_TIME:
        return "time";
    case LWM2M_OBJLNK:
        return "objlnk";
    case LWM2M_CORELNK:
        return "corelnk";
    case LWM2M_RAW:
        return "raw";
    }
    return "unknown";
}

bool lwm2m_type_has_bytes(enum lwm2m_type type) {
    return type == LWM2M_STRING || type == LWM2M_CORELNK || type == LWM2M_OPAQUE || type == LWM2M_RAW;
}

uint64_t lwm2m_value_bits(const struct lwm2m_value *value) {
    uint64_t bits = 0;
    switch (value->type) {
    case LWM2M_INTEGER:
    case LWM2M_TIME:
        return (uint64_t)value->integer;
    case LWM2M_UNSIGNED:
        return value->natural;
    case LWM2M_FLOAT:
        memcpy(&bits, &value->real, sizeof bits);
        return bits;
    case LWM2M_BOOLEAN:
        return value->truth;
    case LWM2M_OBJLNK:
        return (uint64_t)value->link.object << 16 | value->link.instance;
    default:
        return 0;
    }
}

void lwm2m_value_set_bits(struct lwm2m_value *value, uint64_t bits) {
    switch (value->type) {
    case LWM2M_INTEGER:
    case LWM2M_TIME:
        value->integer = (int64_t)bits;
        break;
    case LWM2M_UNSIGNED:
        value->natural = bits;
        break;
    case LWM2M_FLOAT:
        memcpy(&value->real, &bits, sizeof value->real);
        break;
    case LWM2M_BOOLEAN:
        value->truth = bits != 0;
        break;
    case LWM2M_OBJLNK:
        value->link = (struct lwm2m_objlnk){(uint16_t)(bits >> 16), (uint16_t)bits};
        break;
    default:
        break;
    }
}
