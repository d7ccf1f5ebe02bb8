#include "common/lwm2m/lwm2m_cbor.h"

enum { LEVEL_OBJECT = 1, LEVEL_INSTANCE = 2, LEVEL_RESOURCE = 3 }; /* a level is the number of ids above it */

/* ---- decoding ---- */

struct decoder {
    struct cbor_reader reader;
    const struct lwm2m_path *base;
    struct lwm2m_nodes *out;
    const char *odd; /* what was tolerated */
};

static bool refuse(struct decoder *decoder, const char *why) {
    return cbor_fail(&decoder->reader, why);
}

/* 65535 stands for the instance that a Create leaves to the client. */
static bool is_id(const struct decoder *decoder, const struct lwm2m_path *parent, uint64_t id) {
    if (id <= LWM2M_ID_MAX)
        return true;
    return id == LWM2M_ID_NONE && parent->len == LEVEL_OBJECT &&
           (decoder->base->len == LEVEL_OBJECT ||
            (decoder->base->len >= LEVEL_INSTANCE && decoder->base->ids[1] == LWM2M_ID_NONE));
}

static bool add_id(struct decoder *decoder, const struct cbor_item *item, struct lwm2m_path *path) {
    if (item->type == CBOR_TEXT)
        return refuse(decoder, "devices behind a gateway are not known here");
    if (item->type != CBOR_UNSIGNED || !is_id(decoder, path, item->number))
        return refuse(decoder, "an id is a number from 0 to 65534");
    if (path->len == LWM2M_PATH_IDS)
        return refuse(decoder, "a path has more than four ids");
    *path = lwm2m_path_child(path, (uint16_t)item->number);
    return true;
}

static bool read_key(struct decoder *decoder, struct lwm2m_path *path) {
    struct cbor_item item;
    uint8_t before = path->len;
    if (!cbor_read(&decoder->reader, &item))
        return false;
    if (item.type != CBOR_ARRAY)
        return add_id(decoder, &item, path);
    while (cbor_more(&decoder->reader)) {
        if (!cbor_read(&decoder->reader, &item) || !add_id(decoder, &item, path))
            return false;
    }
    return path->len > before || refuse(decoder, "a key has no id");
}

static bool add_node(struct decoder *decoder, const struct lwm2m_path *path, struct lwm2m_value value) {
    if (!lwm2m_path_contains(decoder->base, path))
        return refuse(decoder, "a path is outside the path of the request");
    return lwm2m_nodes_add(decoder->out, path, value) || refuse(decoder, decoder->out->remark);
}

static bool read_value(struct decoder *decoder, const struct cbor_item *item, const struct lwm2m_path *path) {
    struct lwm2m_value value;
    if (!cbor_value_of(&decoder->reader, item, &value, &decoder->odd))
        return false;
    if (path->len < LEVEL_RESOURCE)
        return refuse(decoder, "a value stands above resource level");
    if (value.type == LWM2M_NONE)
        decoder->odd = "null stands for nothing";
    return add_node(decoder, path, value);
}

/* The entries of the map that was just opened. Each has an id at least, so this nests no deeper than paths do. */
static bool read_map(struct decoder *decoder, const struct lwm2m_path *parent) {
    struct cbor_reader *reader = &decoder->reader;
    struct cbor_item item;
    bool is_empty = true;
    for (; cbor_more(reader); is_empty = false) {
        struct lwm2m_path path = *parent;
        if (!read_key(decoder, &path) || !cbor_read(reader, &item))
            return false;
        if (item.type == CBOR_MAP ? !read_map(decoder, &path) : !read_value(decoder, &item, &path))
            return false;
    }
    if (!is_empty || reader->fault != NULL)
        return reader->fault == NULL;
    decoder->odd = "there is an empty map";
    const struct lwm2m_path *path = parent->len == 0 ? decoder->base : parent;
    return path->len == 0 || add_node(decoder, path, (struct lwm2m_value){.type = LWM2M_NONE});
}

bool lwm2m_cbor_decode(struct slice bytes, const struct lwm2m_path *base, struct buffer *scratch,
                       struct lwm2m_nodes *out) {
    struct decoder decoder = {.reader = cbor_reader_over(bytes, scratch), .base = base, .out = out};
    static const struct lwm2m_path root = {.len = 0};
    struct cbor_item item;
    lwm2m_nodes_begin(out);
    if (cbor_read(&decoder.reader, &item)) {
        if (item.type == CBOR_MAP)
            read_map(&decoder, &root);
        else
            refuse(&decoder, "the content is a map");
    }
    bool good = cbor_at_end(&decoder.reader);
    out->remark = good ? decoder.odd : decoder.reader.fault;
    return lwm2m_nodes_end(out, good && lwm2m_nodes_arrange(out), bytes, decoder.reader.rest);
}

/* ---- encoding ---- */

struct encoder {
    struct buffer *out;
    enum cbor_time time;
};

/* Nodes that share their first `level` ids: one entry of a map. */
struct group {
    const struct lwm2m_node *nodes;
    size_t count;   /* without those of type NONE, which `nodes` may have between them */
    size_t len;     /* with them */
    bool has_value; /* on this very level */
};

static bool shares(const struct lwm2m_path *a, const struct lwm2m_path *b, size_t level) {
    return memcmp(a->ids, b->ids, level * sizeof a->ids[0]) == 0;
}

static void skip_empty(const struct lwm2m_node **nodes, size_t *count) {
    while (*count > 0 && (*nodes)->value.type == LWM2M_NONE) {
        (*nodes)++;
        (*count)--;
    }
}

/* Take the group that `nodes` begin with, of those whose first `level` ids are the same. */
static bool next_group(const struct lwm2m_node **nodes, size_t *count, size_t level, struct group *group) {
    skip_empty(nodes, count);
    if (*count == 0)
        return false;
    *group = (struct group){.nodes = *nodes};
    for (; *count > 0; (*nodes)++, (*count)--, group->len++) {
        const struct lwm2m_node *node = *nodes;
        if (node->value.type == LWM2M_NONE)
            continue;
        if (!shares(&node->path, &group->nodes->path, level))
            break;
        group->count++;
        group->has_value = group->has_value || node->path.len == level;
    }
    return true;
}

static size_t count_groups(const struct lwm2m_node *nodes, size_t count, size_t level) {
    struct group group;
    size_t groups = 0;
    while (next_group(&nodes, &count, level, &group))
        groups++;
    return groups;
}

static void put_key(struct buffer *out, const struct lwm2m_path *path, size_t from, size_t level) {
    if (level - from > 1)
        cbor_put_array(out, level - from);
    for (size_t i = from; i < level; i++)
        cbor_put_unsigned(out, path->ids[i]);
}

/* The value of an entry: the one that stands there, or a map of what is below. */
static bool put_content(const struct encoder *encoder, const struct group *group, size_t level) {
    if (group->has_value)
        return group->count == 1 && cbor_value_encode(&group->nodes->value, encoder->time, encoder->out);
    const struct lwm2m_node *nodes = group->nodes;
    size_t count = group->len;
    struct group inner;
    cbor_put_map(encoder->out, count_groups(nodes, count, level + 1));
    while (next_group(&nodes, &count, level + 1, &inner)) {
        put_key(encoder->out, &inner.nodes->path, level, level + 1);
        if (!put_content(encoder, &inner, level + 1))
            return false;
    }
    return true;
}

/* Entries with keys of `level` ids. */
static bool put_entries(const struct encoder *encoder, const struct lwm2m_node *nodes, size_t count, size_t level) {
    struct group group;
    cbor_put_map(encoder->out, count_groups(nodes, count, level));
    while (next_group(&nodes, &count, level, &group)) {
        put_key(encoder->out, &group.nodes->path, 0, level);
        if (!put_content(encoder, &group, level))
            return false;
    }
    return true;
}

/* The array of an instance goes down to its resource when it has no other. */
static bool put_composite(const struct encoder *encoder, const struct lwm2m_node *nodes, size_t count) {
    struct group group;
    cbor_put_map(encoder->out, count_groups(nodes, count, LEVEL_INSTANCE));
    while (next_group(&nodes, &count, LEVEL_INSTANCE, &group)) {
        const struct lwm2m_node *inside = group.nodes;
        size_t inside_count = group.len, level = LEVEL_INSTANCE;
        if (count_groups(inside, inside_count, LEVEL_RESOURCE) == 1) {
            level = LEVEL_RESOURCE;
            next_group(&inside, &inside_count, level, &group);
        }
        put_key(encoder->out, &group.nodes->path, 0, level);
        if (!put_content(encoder, &group, level))
            return false;
    }
    return true;
}

static bool is_legal(const struct lwm2m_node *node, const struct lwm2m_path *base) {
    return lwm2m_path_contains(base, &node->path) && !node->has_time &&
           (node->value.type == LWM2M_NONE || node->path.len >= LEVEL_RESOURCE);
}

bool lwm2m_cbor_encode(const struct lwm2m_node *nodes, size_t count, const struct lwm2m_path *base, enum cbor_time time,
                       struct buffer *out) {
    const struct encoder encoder = {.out = out, .time = time};
    for (size_t i = 0; i < count; i++) {
        if (!is_legal(&nodes[i], base))
            return false;
    }
    bool good = base->len == 0 ? put_composite(&encoder, nodes, count) : put_entries(&encoder, nodes, count, base->len);
    return good && !out->overflow;
}
