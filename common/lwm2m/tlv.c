#include "common/lwm2m/tlv.h"

#include <math.h>

/* Bits 7-6 of the type byte. */
enum kind { OBJECT_INSTANCE = 0, RESOURCE_INSTANCE = 1, MULTIPLE_RESOURCE = 2, RESOURCE = 3 };

enum {
    LONG_ID = 0x20,      /* bit 5: the id has 16 bits */
    LENGTH_FIELD = 0x18, /* bits 4-3: bytes of the length field; none: bits 2-0 are the length */
    LEVEL_OBJECT = 1,    /* a level is the number of ids above it */
    LEVEL_INSTANCE = 2,
    LEVEL_RESOURCE = 3,
};

/* ---- values (Table C-2) ---- */

static void write_number(uint8_t *at, uint64_t number, size_t len) {
    while (len > 0) {
        at[--len] = (uint8_t)number;
        number >>= 8;
    }
}

static size_t integer_len(int64_t integer) {
    if (integer >= INT8_MIN && integer <= INT8_MAX)
        return 1;
    if (integer >= INT16_MIN && integer <= INT16_MAX)
        return 2;
    return integer >= INT32_MIN && integer <= INT32_MAX ? 4 : 8;
}

/* The bytes of a value; `scratch` holds those of a number. */
static struct slice value_bytes(const struct lwm2m_value *value, uint8_t scratch[8]) {
    size_t len = 0;
    switch (value->type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
    case LWM2M_OPAQUE:
    case LWM2M_RAW:
        return value->bytes;
    case LWM2M_INTEGER:
    case LWM2M_TIME:
        len = integer_len(value->integer);
        write_number(scratch, (uint64_t)value->integer, len);
        break;
    case LWM2M_UNSIGNED: /* with a clear top bit while there is a width for it: some peers read it as signed */
        len = value->natural > INT64_MAX ? 8 : integer_len((int64_t)value->natural);
        write_number(scratch, value->natural, len);
        break;
    case LWM2M_FLOAT: {
        float single = (float)value->real;
        uint32_t bits32;
        uint64_t bits64;
        memcpy(&bits32, &single, sizeof bits32);
        memcpy(&bits64, &value->real, sizeof bits64);
        len = (double)single == value->real || isnan(value->real) ? 4 : 8;
        write_number(scratch, len == 4 ? bits32 : bits64, len);
        break;
    }
    case LWM2M_BOOLEAN:
        len = 1;
        scratch[0] = value->truth;
        break;
    case LWM2M_OBJLNK:
        len = 4;
        write_number(scratch, (uint64_t)value->link.object << 16 | value->link.instance, len);
        break;
    case LWM2M_NONE:
        break;
    }
    return slice_of(scratch, len);
}

static bool fail(const char **remark, const char *why) {
    *remark = why;
    return false;
}

static bool is_integer_width(size_t len) {
    return len == 1 || len == 2 || len == 4 || len == 8;
}

static bool read_integer(struct slice bytes, int64_t *integer) {
    if (!is_integer_width(bytes.len))
        return false;
    unsigned shift = 64 - 8 * (unsigned)bytes.len;
    *integer = (int64_t)(slice_number(bytes) << shift) >> shift; /* the sign spreads */
    return true;
}

static bool read_float(struct slice bytes, double *real) {
    uint64_t bits = slice_number(bytes);
    uint32_t bits32 = (uint32_t)bits;
    float single;
    if (bytes.len == 8) {
        memcpy(real, &bits, sizeof *real);
    } else if (bytes.len == 4) {
        memcpy(&single, &bits32, sizeof single);
        *real = single;
    } else {
        return false;
    }
    return true;
}

bool tlv_value_decode(struct slice bytes, enum lwm2m_type type, struct lwm2m_value *value, const char **remark) {
    *remark = NULL;
    *value = (struct lwm2m_value){.type = type};
    switch (type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
        if (!slice_is_utf8(bytes))
            *remark = "the text is not UTF-8";
        value->bytes = bytes;
        return true;
    case LWM2M_OPAQUE:
    case LWM2M_RAW:
        value->bytes = bytes;
        return true;
    case LWM2M_INTEGER:
    case LWM2M_TIME:
        return read_integer(bytes, &value->integer) || fail(remark, "an integer has 1, 2, 4 or 8 bytes");
    case LWM2M_UNSIGNED:
        value->natural = slice_number(bytes);
        return is_integer_width(bytes.len) || fail(remark, "an unsigned integer has 1, 2, 4 or 8 bytes");
    case LWM2M_FLOAT:
        if (!read_float(bytes, &value->real))
            return fail(remark, "a float has 4 or 8 bytes");
        if (!isfinite(value->real))
            *remark = "the float is not finite";
        return true;
    case LWM2M_BOOLEAN:
        if (bytes.len != 1 || bytes.data[0] > 1)
            return fail(remark, "a boolean is one byte, 0 or 1");
        value->truth = bytes.data[0] == 1;
        return true;
    case LWM2M_OBJLNK:
        if (bytes.len != 4)
            return fail(remark, "an object link has 4 bytes");
        value->link.object = (uint16_t)slice_number(slice_of(bytes.data, 2));
        value->link.instance = (uint16_t)slice_number(slice_from(bytes, 2));
        return true;
    case LWM2M_NONE:
        break;
    }
    return fail(remark, "the type is not known");
}

/* ---- encoding ---- */

/* The entry of one id: `count` nodes that share it. */
struct group {
    const struct lwm2m_node *nodes;
    size_t count;
    enum kind kind;
    uint16_t id;
};

/* Take the group that `nodes` begin with, of entries on `level`. Nodes that are the level's owner itself, told to be
 * empty, make no entry: false. */
static bool next_group(const struct lwm2m_node **nodes, size_t *count, size_t level, struct group *group) {
    while (*count > 0 && (*nodes)->path.len == level) {
        (*nodes)++;
        (*count)--;
    }
    if (*count == 0)
        return false;
    const struct lwm2m_node *first = *nodes;
    *group = (struct group){.nodes = first, .id = first->path.ids[level]};
    while (group->count < *count && first[group->count].path.len > level &&
           first[group->count].path.ids[level] == group->id)
        group->count++;
    if (level == LEVEL_OBJECT)
        group->kind = OBJECT_INSTANCE;
    else if (level == LEVEL_RESOURCE)
        group->kind = RESOURCE_INSTANCE;
    else
        group->kind =
            first->path.len == LEVEL_RESOURCE && first->value.type != LWM2M_NONE ? RESOURCE : MULTIPLE_RESOURCE;
    *nodes += group->count;
    *count -= group->count;
    return true;
}

static bool holds_value(enum kind kind) {
    return kind == RESOURCE || kind == RESOURCE_INSTANCE;
}

static size_t length_field(size_t len) {
    return len < 8 ? 0 : len <= 0xff ? 1 : len <= 0xffff ? 2 : 3;
}

static size_t entries_len(const struct lwm2m_node *nodes, size_t count, size_t level);

static size_t content_len(const struct group *group, size_t level) {
    uint8_t scratch[8];
    return holds_value(group->kind) ? value_bytes(&group->nodes->value, scratch).len
                                    : entries_len(group->nodes, group->count, level + 1);
}

static size_t entries_len(const struct lwm2m_node *nodes, size_t count, size_t level) {
    struct group group;
    size_t total = 0;
    while (next_group(&nodes, &count, level, &group)) {
        size_t len = content_len(&group, level);
        total += (group.id > 0xff ? 3u : 2u) + length_field(len) + len;
    }
    return total;
}

static bool put_header(struct buffer *out, enum kind kind, uint16_t id, size_t len) {
    size_t length_bytes = length_field(len);
    if (len > 0xffffff)
        return false;
    buffer_put_u8(out, (uint8_t)((unsigned)kind << 6 | (id > 0xff ? LONG_ID : 0) | length_bytes << 3 |
                                 (length_bytes == 0 ? len : 0)));
    if (id > 0xff)
        buffer_put_u8(out, (uint8_t)(id >> 8));
    buffer_put_u8(out, (uint8_t)id);
    uint8_t *at = buffer_take(out, length_bytes);
    if (at != NULL)
        write_number(at, len, length_bytes);
    return true;
}

static bool put_entries(struct buffer *out, const struct lwm2m_node *nodes, size_t count, size_t level) {
    struct group group;
    uint8_t scratch[8];
    while (next_group(&nodes, &count, level, &group)) {
        if (!put_header(out, group.kind, group.id, content_len(&group, level)))
            return false;
        if (!holds_value(group.kind)) {
            if (!put_entries(out, group.nodes, group.count, level + 1))
                return false;
            continue;
        }
        if (group.count != 1 || group.nodes->value.type == LWM2M_NONE)
            return false;
        buffer_put_slice(out, value_bytes(&group.nodes->value, scratch));
    }
    return true;
}

/* A value stands on a resource or below, and nothing outside the base. */
static bool is_legal(const struct lwm2m_node *node, const struct lwm2m_path *base) {
    bool has_value = node->value.type != LWM2M_NONE;
    return lwm2m_path_contains(base, &node->path) && lwm2m_path_has_ids(&node->path, base->len) &&
           (!has_value || node->path.len >= LEVEL_RESOURCE);
}

bool tlv_encode(const struct lwm2m_node *nodes, size_t count, const struct lwm2m_path *base, struct buffer *out) {
    if (base->len == 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_legal(&nodes[i], base))
            return false;
    }
    /* A resource, too, is told with its own entry, and so is a resource instance. */
    size_t level = base->len < LEVEL_RESOURCE ? base->len : (size_t)base->len - 1;
    return put_entries(out, nodes, count, level) && !out->overflow;
}

/* ---- decoding ---- */

struct entry {
    enum kind kind;
    uint16_t id;
    struct slice content;
};

struct decoder {
    struct lwm2m_nodes *out;
    struct slice from; /* the entry that was read last begins here */
    uint8_t seen[LEVEL_RESOURCE]
                [(LWM2M_ID_MAX + 1) / 8 + 1]; /* ids among the siblings now read, a set for each level */
};

static bool refuse(struct decoder *decoder, const char *why) {
    return fail(&decoder->out->remark, why);
}

/* Take the entry that `rest` begins with. */
static bool read_entry(struct decoder *decoder, struct slice *rest, struct entry *entry) {
    uint8_t type = rest->len == 0 ? 0 : rest->data[0];
    size_t id_bytes = (type & LONG_ID) != 0 ? 2 : 1, length_bytes = (size_t)(type & LENGTH_FIELD) >> 3;
    size_t header = 1 + id_bytes + length_bytes;
    decoder->from = *rest;
    if (rest->len < header)
        return refuse(decoder, "the header of a TLV is cut off");
    entry->kind = (enum kind)(type >> 6);
    entry->id = (uint16_t)slice_number(slice_of(rest->data + 1, id_bytes));
    size_t len = length_bytes == 0 ? type & 7u : slice_number(slice_of(rest->data + 1 + id_bytes, length_bytes));
    if (len > rest->len - header)
        return refuse(decoder, "a TLV is longer than what is there");
    if (entry->id == LWM2M_ID_NONE)
        return refuse(decoder, "65535 is no id");
    entry->content = slice_of(rest->data + header, len);
    *rest = slice_from(*rest, header + len);
    return true;
}

/* What may stand on a level: instances in an object, resources in an instance, resource instances in a resource. */
static bool belongs(enum kind kind, size_t level) {
    switch (level) {
    case LEVEL_OBJECT:
        return kind == OBJECT_INSTANCE;
    case LEVEL_INSTANCE:
        return kind == RESOURCE || kind == MULTIPLE_RESOURCE;
    case LEVEL_RESOURCE:
        return kind == RESOURCE_INSTANCE;
    default:
        return false;
    }
}

static bool is_first(struct decoder *decoder, size_t level, uint16_t id) {
    uint8_t *seen = &decoder->seen[level - 1][id / 8], bit = (uint8_t)(1u << id % 8);
    if ((*seen & bit) != 0)
        return false;
    *seen |= bit;
    return true;
}

/* The set of a level serves one family of siblings after the other; clearing what is in it keeps all of it linear. */
static void forget_siblings(struct decoder *decoder, size_t level, struct slice rest) {
    struct entry entry;
    while (rest.len > 0 && read_entry(decoder, &rest, &entry))
        decoder->seen[level - 1][entry.id / 8] = 0;
}

static bool decode_entries(struct decoder *decoder, const struct lwm2m_path *parent, struct slice content) {
    struct slice rest = content;
    struct entry entry;
    if (content.len == 0)
        return lwm2m_nodes_add(decoder->out, parent, (struct lwm2m_value){.type = LWM2M_NONE});
    while (rest.len > 0) {
        if (!read_entry(decoder, &rest, &entry))
            return false;
        if (!belongs(entry.kind, parent->len))
            return refuse(decoder, "a TLV stands where its kind has no place");
        if (!is_first(decoder, parent->len, entry.id))
            return refuse(decoder, "an id comes twice");
        struct lwm2m_path path = lwm2m_path_child(parent, entry.id);
        bool good = holds_value(entry.kind)
                        ? lwm2m_nodes_add(decoder->out, &path, lwm2m_bytes(LWM2M_RAW, entry.content))
                        : decode_entries(decoder, &path, entry.content);
        if (!good)
            return false;
    }
    forget_siblings(decoder, parent->len, content);
    return true;
}

static bool decode_instance(struct decoder *decoder, const struct lwm2m_path *base, struct slice bytes) {
    struct slice rest = bytes;
    struct entry entry;
    if (bytes.len == 0 || (enum kind)(bytes.data[0] >> 6) != OBJECT_INSTANCE)
        return decode_entries(decoder, base, bytes);
    if (!read_entry(decoder, &rest, &entry))
        return false;
    if (entry.id != base->ids[1] || rest.len > 0)
        return refuse(decoder, "there is another instance than the one of the path");
    return decode_entries(decoder, base, entry.content);
}

static bool decode_resource(struct decoder *decoder, const struct lwm2m_path *base, struct slice bytes) {
    struct slice rest = bytes;
    struct entry entry;
    if (bytes.len > 0 && (enum kind)(bytes.data[0] >> 6) == RESOURCE_INSTANCE)
        return decode_entries(decoder, base, bytes);
    if (!read_entry(decoder, &rest, &entry))
        return false;
    if (entry.kind == OBJECT_INSTANCE || entry.id != base->ids[2] || rest.len > 0)
        return refuse(decoder, "there is something else than the resource of the path");
    if (entry.kind == MULTIPLE_RESOURCE)
        return decode_entries(decoder, base, entry.content);
    return lwm2m_nodes_add(decoder->out, base, lwm2m_bytes(LWM2M_RAW, entry.content));
}

static bool decode_resource_instance(struct decoder *decoder, const struct lwm2m_path *base, struct slice rest) {
    struct entry entry;
    if (!read_entry(decoder, &rest, &entry))
        return false;
    if (entry.kind != RESOURCE_INSTANCE || entry.id != base->ids[3] || rest.len > 0)
        return refuse(decoder, "there is something else than the resource instance of the path");
    return lwm2m_nodes_add(decoder->out, base, lwm2m_bytes(LWM2M_RAW, entry.content));
}

static bool decode_at(struct decoder *decoder, const struct lwm2m_path *base, struct slice bytes) {
    switch (base->len) {
    case 1:
        return decode_entries(decoder, base, bytes);
    case 2:
        return decode_instance(decoder, base, bytes);
    case 3:
        return decode_resource(decoder, base, bytes);
    case 4:
        return decode_resource_instance(decoder, base, bytes);
    default:
        return refuse(decoder, "TLV tells about one object");
    }
}

bool tlv_decode(struct slice bytes, const struct lwm2m_path *base, struct lwm2m_nodes *out) {
    struct decoder decoder = {.out = out, .from = bytes};
    lwm2m_nodes_begin(out);
    bool good = decode_at(&decoder, base, bytes);
    out->fault_at = good ? 0 : (size_t)(decoder.from.data - bytes.data);
    return good;
}
