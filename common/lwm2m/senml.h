/* SenML (RFC 8428, RFC 8790; LwM2M Core 1.2 §7.5.6, §7.5.7) as far as its JSON and its CBOR form agree: names, base
 * values, times, and what makes a pack legal. A decoder reads a record and hands it to the resolver, which makes a
 * node of it; an encoder asks the writer for one record after the other and prints it. Records of both ways look the
 * same. */
#ifndef BERTH_LWM2M_SENML_H
#define BERTH_LWM2M_SENML_H

#include "common/lwm2m/node.h"

enum senml_mode {
    SENML_CONTENT, /* values: 110, 112 */
    SENML_FETCH,   /* a list of paths, no values: 110, 112, 320, 322 as the body of a FETCH */
    SENML_PATCH,   /* values, and null for what is to be removed: 320, 322 as the body of an iPATCH */
};

/* What a pack is about. */
struct senml_context {
    enum senml_mode mode;
    struct lwm2m_path base; /* path of the request; the root for composite operations and Send */
    struct slice root;      /* the client's alternate path, `/lwm2m`; empty or `/` when it has none */
    int64_t now_ms;         /* when the pack was received, in milliseconds since 1970: relative times count from here */
};

/* The fields of a record, bits of `senml_record.fields`. */
enum senml_field {
    SENML_BN = 1 << 0,
    SENML_BT = 1 << 1,
    SENML_BV = 1 << 2,
    SENML_BVER = 1 << 3,
    SENML_N = 1 << 4,
    SENML_T = 1 << 5,
    SENML_V = 1 << 6,
    SENML_VS = 1 << 7,
    SENML_VB = 1 << 8,
    SENML_VD = 1 << 9,
    SENML_VLO = 1 << 10,
    SENML_S = 1 << 11,
    SENML_U = 1 << 12,
    SENML_BU = 1 << 13,
    SENML_BS = 1 << 14,
    SENML_UT = 1 << 15,
    SENML_UNKNOWN = 1 << 16,         /* a label nobody knows, which may be ignored */
    SENML_MUST_UNDERSTAND = 1 << 17, /* one that may not */
};

enum { SENML_VALUES = SENML_V | SENML_VS | SENML_VB | SENML_VD | SENML_VLO };

/* One record as it stands in the pack. A decoder sets the bit of each field it saw with senml_record_add and fills in
 * those that have a place here; the others only need to be well-formed. */
struct senml_record {
    uint32_t fields;
    struct slice base_name, name; /* must stay where they are until the pack is resolved */
    double base_time_s, time_s;
    uint64_t base_version;
    struct lwm2m_value base_value; /* INTEGER, UNSIGNED or FLOAT */

    /* V: INTEGER, UNSIGNED (when more than an INTEGER holds) or FLOAT, or NONE for null, or TIME when the format marks
     * it as such; VS: STRING; VB: BOOLEAN; VD: OPAQUE; VLO: OBJLNK. A writer gives CORELNK with VS, TIME with V. */
    struct lwm2m_value value;
};

/* Note that `field` is in the record. False when it was there already, which makes the record malformed. */
static inline bool senml_record_add(struct senml_record *record, enum senml_field field) {
    bool first = (record->fields & (uint32_t)field) == 0 || field >= SENML_UNKNOWN;
    record->fields |= (uint32_t)field;
    return first;
}

/* SENML_UNKNOWN, or SENML_MUST_UNDERSTAND for a label that ends in `_` (RFC 8428 §4.4). */
enum senml_field senml_unknown_label(struct slice label);

/* ---- decoding ---- */

/* The base values that earlier records left behind (RFC 8428 §4.1). */
struct senml_resolver {
    const struct senml_context *context;
    struct lwm2m_nodes *out;
    struct slice base_name;
    double base_time_s;
    bool has_base_time;
    struct lwm2m_value base_value; /* NONE: there is none */
    size_t records;
};

/* Begin a pack; empties `out`. `context` and `out` must outlive the resolver. */
void senml_resolve_begin(struct senml_resolver *resolver, const struct senml_context *context, struct lwm2m_nodes *out);

/* Take the next record: append its node, or none when it only tells a sum. Values are appended as the record has them,
 * with the base value added. False: out->remark says why. */
bool senml_resolve(struct senml_resolver *resolver, const struct senml_record *record);

/* After the last record: judge the pack as a whole. False: out->remark says why; else it says what was tolerated or is
 * NULL. */
bool senml_resolve_end(struct senml_resolver *resolver);

/* ---- encoding ---- */

enum { SENML_NAME_MAX = 256 };

struct senml_writer {
    const struct senml_context *context;
    const struct lwm2m_node *nodes;
    size_t count, next;
    size_t records; /* how many there will be */
    bool has_begun;
    bool is_whole;      /* the nodes are at the base itself, not below it */
    bool has_base_time; /* every record has a time: the first gives it, the others what they differ by */
    int64_t base_time_ms;
    uint8_t base_name[SENML_NAME_MAX], name[SENML_NAME_MAX];
};

/* Begin a pack of these nodes, in their order. False when they can't be told: one is outside the base, has no id for
 * its instance, is RAW, has a value above resource level, some stand at the base and some below it, a time before 1978-07-04 (which SenML can't
 * tell from a relative one), or a name too long. A node of type NONE is nothing to tell, except in a list of paths
 * and, as null, in a patch. */
bool senml_write_begin(struct senml_writer *writer, const struct senml_context *context, const struct lwm2m_node *nodes,
                       size_t count);

/* The next record, valid until the next call; false after the last. It has at most BN, BT, N, one of SENML_VALUES
 * and T, to be printed in this order. The value of a NONE node in a patch is V and of type NONE: null. Values are
 * printed as their type tells; the strings of slices in the record are the writer's or the node's. */
bool senml_write_next(struct senml_writer *writer, struct senml_record *record);

#endif
