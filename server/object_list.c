#include "server/object_list.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/lwm2m/link_format.h"

enum {
    OBJECT_SECURITY = 0,
    OBJECT_SERVER = 1,
    OBJECT_DEVICE = 3,
    OBJECT_OSCORE = 21,
    OBJECT_COSE = 23,
    OBJECT_MQTT_SERVER = 24,
    ENTRIES_INLINE = 64,
    ATTRIBUTES_MAX = 64, /* of one link */
    SAME_PATH_MAX = 8,   /* a path listed more often is taken as it was listed last */
};

struct entry {
    struct lwm2m_path path; /* len 0: the root link */
    uint32_t order;         /* of appearance: decides between links of the same path */
    struct slice attributes;
    bool removed;
};

struct builder {
    struct object_list *list;
    struct entry *entries;
    size_t count, cap;
    struct entry inlined[ENTRIES_INLINE];
};

static bool fail(struct object_list *list, const char *what, size_t at) {
    snprintf(list->error, sizeof list->error, "object list: %s (byte %zu)", what, at);
    return false;
}

static bool fail_memory(struct object_list *list, size_t at) {
    list->out_of_memory = true;
    return fail(list, "out of memory", at);
}

static void tolerate(struct object_list *list, const char *what) {
    if (list->oddity == NULL)
        list->oddity = what;
}

static bool add_entry(struct builder *builder, const struct entry *entry) {
    if (builder->count == builder->cap) {
        size_t cap = builder->cap * 2;
        struct entry *grown = builder->entries == builder->inlined ? malloc(cap * sizeof *grown)
                                                                   : realloc(builder->entries, cap * sizeof *grown);
        if (grown == NULL)
            return false;
        if (builder->entries == builder->inlined)
            memcpy(grown, builder->inlined, sizeof builder->inlined);
        builder->entries = grown;
        builder->cap = cap;
    }
    builder->entries[builder->count] = *entry;
    builder->entries[builder->count].order = (uint32_t)builder->count;
    builder->count++;
    return true;
}

/* One of the words of an rt value is "oma.lwm2m" (T §6.4.1). */
static bool names_lwm2m_root(struct slice rt) {
    size_t start = 0;
    if (rt.len == 0)
        return false;
    for (size_t i = 0; i <= rt.len; i++) {
        if (i < rt.len && rt.data[i] != ' ')
            continue;
        if (slice_is(slice_of(rt.data + start, i - start), "oma.lwm2m"))
            return true;
        start = i + 1;
    }
    return false;
}

/* Numeric segments would be taken for object ids (T §6.4.1). */
static bool may_be_root(struct slice target) {
    size_t segment = 0;
    bool numeric = true;
    for (size_t i = 0; i <= target.len; i++) {
        if (i < target.len && target.data[i] != '/') {
            numeric = numeric && target.data[i] >= '0' && target.data[i] <= '9';
            segment++;
            continue;
        }
        if (segment > 0 && numeric)
            return false;
        segment = 0;
        numeric = true;
    }
    return true;
}

static struct slice without_slash_at_end(struct slice target) {
    while (target.len > 0 && target.data[target.len - 1] == '/')
        target.len--;
    return target;
}

/* The link that says where the objects are, if there is one. */
static bool find_root(struct object_list *list, struct slice announced) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct slice rt;
    link_format_start(&cursor, announced);
    while (link_format_next(&cursor, &link)) {
        if (!link_format_find(&link, "rt", &rt) || !names_lwm2m_root(rt))
            continue;
        struct slice target = without_slash_at_end(link.target);
        if (!may_be_root(target) || target.len >= sizeof list->root || (target.len > 0 && target.data[0] != '/'))
            return fail(list, "alternate path must begin with /, be short and have no numeric segment", cursor.at);
        if (!slice_is_utf8(target) || memchr(link.target.data, 0, link.target.len) != NULL)
            return fail(list, "alternate path is not UTF-8", cursor.at);
        if (target.len > 0)
            memcpy(list->root, target.data, target.len);
        list->root[target.len] = '\0';
        return true;
    }
    return true;
}

static bool is_hidden(uint16_t object) {
    return object == OBJECT_SECURITY || object == OBJECT_OSCORE || object == OBJECT_COSE ||
           object == OBJECT_MQTT_SERVER;
}

static bool is_removal(const struct link_format_link *link) {
    struct slice value;
    return link_format_find(link, "d", &value);
}

static bool looks_like_version(struct slice ver) {
    size_t dot = 0;
    while (dot < ver.len && ver.data[dot] != '.')
        dot++;
    uint64_t number;
    return dot < ver.len && slice_to_u64(slice_of(ver.data, dot), 255, &number) &&
           slice_to_u64(slice_from(ver, dot + 1), 255, &number);
}

static size_t count_attributes(const struct link_format_link *link) {
    struct link_format_attribute attribute;
    size_t at = 0, count = 0;
    while (link_format_attribute(link, &at, &attribute))
        count++;
    return count;
}

static bool add_link(struct builder *builder, const struct link_format_link *link, enum object_list_mode mode,
                     size_t at) {
    struct object_list *list = builder->list;
    struct slice target = link->target, rt, ver;
    size_t root_len = strlen(list->root);
    if (target.len == 0 || target.data[0] != '/')
        return fail(list, "a link target must begin with /", at);
    bool is_root =
        slice_is(target, "/") || (root_len > 0 && slice_equal(without_slash_at_end(target), slice_str(list->root)));
    struct entry entry = {.attributes = link->attributes};
    if (count_attributes(link) > ATTRIBUTES_MAX)
        return fail(list, "a link has more than 64 attributes", at);
    if (is_root) {
        if (link_format_find(link, "rt", &rt) && rt.len > 0 && !names_lwm2m_root(rt))
            tolerate(list, "the root link has another rt than oma.lwm2m");
        return add_entry(builder, &entry) || fail_memory(list, at);
    }
    if (root_len > 0 && target.len > root_len && memcmp(target.data, list->root, root_len) == 0 &&
        target.data[root_len] == '/')
        target = slice_from(target, root_len);
    else if (root_len > 0)
        tolerate(list, "an object link lacks the alternate path");
    bool trailing_slash;
    if (!lwm2m_path_parse(target, &entry.path, &trailing_slash) || entry.path.len == 0)
        return fail(list, "a link target is no LwM2M path", at);
    if (trailing_slash)
        tolerate(list, "a link target ends in /");
    if (is_hidden(entry.path.ids[0]))
        return true;
    if (link_format_find(link, "ver", &ver) && !looks_like_version(ver))
        tolerate(list, "an object version is none");
    entry.removed = mode == OBJECT_LIST_DELTA && is_removal(link);
    return add_entry(builder, &entry) || fail_memory(list, at);
}

static bool add_links(struct builder *builder, struct slice text, enum object_list_mode mode) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    link_format_start(&cursor, text);
    while (link_format_next(&cursor, &link)) {
        if (!add_link(builder, &link, mode, cursor.at))
            return false;
    }
    if (cursor.error != NULL)
        return fail(builder->list, cursor.error, cursor.at);
    if (cursor.tolerated)
        tolerate(builder->list, "the object list has superfluous white space, commas or unquoted lists");
    return true;
}

static int compare_entries(const void *left, const void *right) {
    const struct entry *a = left, *b = right;
    uint8_t common = a->path.len < b->path.len ? a->path.len : b->path.len;
    for (uint8_t i = 0; i < common; i++) {
        if (a->path.ids[i] != b->path.ids[i])
            return a->path.ids[i] < b->path.ids[i] ? -1 : 1;
    }
    if (a->path.len != b->path.len)
        return a->path.len < b->path.len ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static bool has_attribute(struct slice attributes, struct slice name) {
    struct link_format_link link = {.attributes = attributes};
    struct link_format_attribute attribute;
    size_t at = 0;
    while (link_format_attribute(&link, &at, &attribute)) {
        if (slice_equal(attribute.name, name))
            return true;
    }
    return false;
}

static void put_attribute(struct buffer *out, const struct link_format_attribute *attribute) {
    buffer_put_u8(out, ';');
    buffer_put_slice(out, attribute->name);
    if (!attribute->has_value)
        return;
    buffer_put_u8(out, '=');
    bool quote = slice_is(attribute->name, "rt") || slice_is(attribute->name, "uri");
    if (attribute->quoted && memchr(attribute->value.data, '\\', attribute->value.len) != NULL) {
        /* Escapes stand as they came: what they protect still needs protection. */
        buffer_put_u8(out, '"');
        buffer_put_slice(out, attribute->value);
        buffer_put_u8(out, '"');
        return;
    }
    link_format_put_value(out, attribute->value, quote);
}

/* Whether a link has said the name before its attribute that begins at `before`: only the first counts (RFC 6690 §3). */
static bool is_repeated(const struct link_format_link *link, size_t before, struct slice name) {
    struct link_format_link head = {.attributes = slice_of(link->attributes.data, before)};
    return has_attribute(head.attributes, name);
}

/* The attributes of all entries of one path, the latest value of each name, as many as a link may have. An empty rt says
 * nothing and is left out. */
static void put_merged(struct buffer *out, const struct entry *entries, size_t count) {
    size_t written = 0;
    for (size_t i = 0; i < count; i++) {
        struct link_format_link link = {.attributes = entries[i].attributes};
        struct link_format_attribute attribute;
        size_t at = 0, before = 0;
        for (; link_format_attribute(&link, &at, &attribute); before = at) {
            bool said_later = is_repeated(&link, before, attribute.name);
            for (size_t k = i + 1; k < count && !said_later; k++)
                said_later = has_attribute(entries[k].attributes, attribute.name);
            bool empty_rt = slice_is(attribute.name, "rt") && attribute.value.len == 0;
            if (!said_later && !empty_rt && written++ < ATTRIBUTES_MAX)
                put_attribute(out, &attribute);
        }
    }
}

static void put_links(struct buffer *out, const struct entry *entries, size_t count) {
    size_t i = 0;
    while (i < count) {
        size_t same = i + 1;
        while (same < count && lwm2m_path_equal(&entries[same].path, &entries[i].path))
            same++;
        if (!entries[same - 1].removed) {
            if (out->len > 0)
                buffer_put_u8(out, ',');
            buffer_put_u8(out, '<');
            lwm2m_path_put(out, &entries[i].path);
            buffer_put_u8(out, '>');
            size_t from = i; /* nothing from before a removal counts */
            for (size_t k = i; k < same; k++)
                from = entries[k].removed ? k + 1 : from;
            if (same - from > SAME_PATH_MAX)
                from = same - SAME_PATH_MAX;
            put_merged(out, entries + from, same - from);
        }
        i = same;
    }
}

static struct slice root_link_of(struct slice canonical) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    link_format_start(&cursor, canonical);
    if (!link_format_next(&cursor, &link) || !slice_is(link.target, "/"))
        return SLICE_NONE;
    return slice_of(canonical.data, (size_t)(link.attributes.data - canonical.data) + link.attributes.len);
}

/* Canonical links have no alternate path and nothing to be tolerated. */
static bool add_known(struct builder *builder, struct slice canonical) {
    struct object_list *list = builder->list;
    char root[sizeof list->root];
    const char *oddity = list->oddity;
    memcpy(root, list->root, sizeof root);
    list->root[0] = '\0';
    bool good = add_links(builder, canonical, OBJECT_LIST_WHOLE);
    memcpy(list->root, root, sizeof root);
    list->oddity = oddity;
    return good;
}

static bool has_object(const struct builder *builder, uint16_t object) {
    for (size_t i = 0; i < builder->count; i++) {
        if (builder->entries[i].path.len > 0 && builder->entries[i].path.ids[0] == object)
            return true;
    }
    return false;
}

static bool has_root_link(const struct builder *builder) {
    for (size_t i = 0; i < builder->count; i++) {
        if (builder->entries[i].path.len == 0)
            return true;
    }
    return false;
}

/* `cap` bounds the text: a value may grow by quotes and backslashes, to less than twice its attribute. */
static bool write_list(struct builder *builder, size_t cap) {
    struct object_list *list = builder->list;
    list->text = malloc(cap);
    if (list->text == NULL)
        return fail_memory(list, 0);
    struct buffer out = buffer_over(list->text, cap);
    qsort(builder->entries, builder->count, sizeof *builder->entries, compare_entries);
    put_links(&out, builder->entries, builder->count);
    list->len = out.len;
    if (!out.overflow && out.len <= OBJECT_LIST_MAX)
        return true;
    free(list->text);
    list->text = NULL;
    return fail(list, "too large", 0);
}

bool object_list_build(struct object_list *list, struct slice announced, struct slice before, struct slice root_before,
                       enum object_list_mode mode) {
    *list = (struct object_list){.text = NULL};
    if (root_before.len < sizeof list->root && root_before.len > 0)
        memcpy(list->root, root_before.data, root_before.len);
    if (!find_root(list, announced))
        return false;

    struct builder builder = {.list = list, .cap = ENTRIES_INLINE};
    builder.entries = builder.inlined;
    bool good;
    if (mode == OBJECT_LIST_DELTA)
        good = add_known(&builder, before) && add_links(&builder, announced, mode);
    else
        good = add_links(&builder, announced, mode) &&
               (has_root_link(&builder) || add_known(&builder, root_link_of(before)));
    if (good && (!has_object(&builder, OBJECT_SERVER) || !has_object(&builder, OBJECT_DEVICE)))
        list->warning = "the object list lacks object 1 or 3, which every client has";
    good = good && write_list(&builder, 2 * (announced.len + before.len) + 16 * builder.count + 64);
    if (builder.entries != builder.inlined)
        free(builder.entries);
    return good;
}
