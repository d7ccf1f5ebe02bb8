#include "common/lwm2m/node.h"

bool lwm2m_nodes_add(struct lwm2m_nodes *list, const struct lwm2m_path *path, struct lwm2m_value value) {
    if (list->count == list->cap) {
        list->remark = "more values than are taken at once";
        return false;
    }
    list->nodes[list->count++] = (struct lwm2m_node){.path = *path, .value = value};
    return true;
}

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
