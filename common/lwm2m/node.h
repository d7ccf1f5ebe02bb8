/* Data in LwM2M (Core 1.2 §7.1, Appendix C): a path and a typed value. A flat list of nodes is the only representation
 * of data: every content format decodes to it and encodes from it.
 *
 * A value has a path of three ids (the resource of a single resource) or four (an instance of a multi-instance one). A
 * node of type LWM2M_NONE has a path only: something that is there and empty (an object without instances, a
 * multi-instance resource without instances), or something that is asked for. In a list whatever belongs together stands
 * together: all nodes of an object instance, all nodes of a resource. */
#ifndef BERTH_LWM2M_NODE_H
#define BERTH_LWM2M_NODE_H

#include "common/lwm2m/path.h"

enum lwm2m_type {
    LWM2M_NONE,
    LWM2M_STRING,
    LWM2M_INTEGER,
    LWM2M_UNSIGNED,
    LWM2M_FLOAT,
    LWM2M_BOOLEAN,
    LWM2M_OPAQUE,
    LWM2M_TIME,
    LWM2M_OBJLNK,
    LWM2M_CORELNK,
    LWM2M_RAW, /* bytes of a format that does not tell types; they wait for somebody who knows the type */
};

struct lwm2m_objlnk {
    uint16_t object, instance; /* both LWM2M_ID_NONE: the null link */
};

struct lwm2m_value {
    enum lwm2m_type type;
    union {
        struct slice bytes; /* STRING, CORELNK, OPAQUE, RAW: owned by whoever owns what it was decoded from */
        int64_t integer;    /* INTEGER; TIME in seconds since 1970 */
        uint64_t natural;   /* UNSIGNED */
        double real;        /* FLOAT */
        bool truth;         /* BOOLEAN */
        struct lwm2m_objlnk link;
    };
};

/* Whether values of the type are `bytes`. */
bool lwm2m_type_has_bytes(enum lwm2m_type type);

/* A value without bytes as 64 bits, 0 for NONE; and back, into a value whose type is set. The bits are kept in databases. */
uint64_t lwm2m_value_bits(const struct lwm2m_value *value);
void lwm2m_value_set_bits(struct lwm2m_value *value, uint64_t bits);

struct lwm2m_node {
    struct lwm2m_path path;
    bool has_time;
    uint32_t position; /* lwm2m_nodes_arrange works with it; means nothing else */
    int64_t time_ms;   /* when the value was so, in milliseconds since 1970 */
    struct lwm2m_value value;
};

/* Where a decoder writes to: an array of the caller's. */
struct lwm2m_nodes {
    struct lwm2m_node *nodes;
    size_t count, cap;
    const char *remark; /* after a failure why, else what was tolerated, or NULL; in words for a person */
    /* After a failure, where: the value that is wrong, or if it is about none (the root) how much of the payload had been
     * read when it was met; 0 where that says nothing. */
    struct lwm2m_path fault_path;
    size_t fault_at;
};

static inline struct lwm2m_nodes lwm2m_nodes_over(struct lwm2m_node *nodes, size_t cap) {
    return (struct lwm2m_nodes){.nodes = nodes, .cap = cap};
}

/* A decoder starts and ends; `rest` is what it has not read. Returns `good`. */
void lwm2m_nodes_begin(struct lwm2m_nodes *list);
bool lwm2m_nodes_end(struct lwm2m_nodes *list, bool good, struct slice payload, struct slice rest);

enum { LWM2M_FAULT_MAX = 160 }; /* what lwm2m_nodes_put_fault writes is shorter */

/* After a failure: "/3/0/14: text is expected", or "a name is no path, at byte 37". */
void lwm2m_nodes_put_fault(struct buffer *out, const struct lwm2m_nodes *list);

/* Append; false when there is no room, which `remark` then says. */
bool lwm2m_nodes_add(struct lwm2m_nodes *list, const struct lwm2m_path *path, struct lwm2m_value value);

/* Make a decoded list what a list is. Refuses a path that comes twice with the same time, and a resource that has a
 * value and instances; `remark` says which. When what belongs together does not stand together the list is sorted by
 * path and time, else it keeps its order. Linear for a sorted list, n log n for any. */
bool lwm2m_nodes_arrange(struct lwm2m_nodes *list);

/* Same type and value; floats are equal when their bits are. */
bool lwm2m_value_equal(const struct lwm2m_value *a, const struct lwm2m_value *b);

/* `string`, `integer` … as the API names it. */
const char *lwm2m_type_name(enum lwm2m_type type);

static inline struct lwm2m_value lwm2m_bytes(enum lwm2m_type type, struct slice bytes) {
    return (struct lwm2m_value){.type = type, .bytes = bytes};
}

static inline struct lwm2m_value lwm2m_string(const char *text) {
    return lwm2m_bytes(LWM2M_STRING, slice_str(text));
}

static inline struct lwm2m_value lwm2m_integer(int64_t integer) {
    return (struct lwm2m_value){.type = LWM2M_INTEGER, .integer = integer};
}

static inline struct lwm2m_value lwm2m_time(int64_t unix_s) {
    return (struct lwm2m_value){.type = LWM2M_TIME, .integer = unix_s};
}

static inline struct lwm2m_value lwm2m_boolean(bool truth) {
    return (struct lwm2m_value){.type = LWM2M_BOOLEAN, .truth = truth};
}

#endif
