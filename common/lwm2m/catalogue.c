#include "common/lwm2m/catalogue.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/lwm2m/catalogue_data.h"

/* ---- versions ---- */

static bool read_number(struct slice *text, uint16_t *number) {
    uint64_t value;
    size_t len = 0;
    while (len < text->len && text->data[len] != '.')
        len++;
    if (len > 3 || !slice_to_u64(slice_of(text->data, len), 255, &value))
        return false;
    *number = (uint16_t)value;
    *text = slice_from(*text, len);
    return true;
}

bool catalogue_version_parse(struct slice text, uint16_t *version) {
    uint16_t numbers[3] = {0};
    size_t count = 0;
    for (; count < 3; count++) {
        if (!read_number(&text, &numbers[count]))
            return false;
        if (text.len == 0)
            break;
        text = slice_from(text, 1); /* the dot */
    }
    *version = (uint16_t)(numbers[0] << 8 | numbers[1]);
    return (count == 1 || count == 2) && *version != CATALOGUE_ANY_VERSION;
}

const char *catalogue_version_text(uint16_t version, char text[CATALOGUE_VERSION_TEXT_MAX]) {
    snprintf(text, CATALOGUE_VERSION_TEXT_MAX, "%u.%u", (unsigned)(version >> 8) & 255u, version & 255u);
    return text;
}

/* How well `have` does for who asked for `asked`; 0 is best. */
static uint32_t distance(uint16_t asked, uint16_t have) {
    uint32_t up = have >= asked ? (uint32_t)(have - asked) : 0, down = have < asked ? (uint32_t)(asked - have) : 0;
    if (asked == CATALOGUE_ANY_VERSION)
        return UINT16_MAX - (uint32_t)have;
    if (asked >> 8 == have >> 8)
        return up > 0 ? up : down > 0 ? 0x100 + down : 0;
    return 0x10000 + up + down;
}

/* ---- where definitions are ---- */

static uint32_t key_of(uint16_t object_id, uint16_t version) {
    return (uint32_t)object_id << 16 | version;
}

static uint64_t loaded_key(const struct catalogue_definition *definition) {
    return (uint64_t)key_of(definition->id, definition->version) << 8 | definition->source;
}

/* The first entry whose key is not less. */
static size_t lower_entry(uint32_t key) {
    size_t low = 0, high = catalogue_entry_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (key_of(catalogue_entries[middle].id, catalogue_entries[middle].version) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t lower_loaded(const struct catalogue *catalogue, uint64_t key) {
    size_t low = 0, high = catalogue->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (loaded_key(catalogue->loaded[middle]) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct catalogue_object object_of_entry(const struct catalogue_entry *e) {
    return (struct catalogue_object){.id = e->id,
                                     .version = e->version,
                                     .lwm2m = e->lwm2m,
                                     .source = CATALOGUE_BUILT_IN,
                                     .multiple = (e->flags & CATALOGUE_MULTIPLE) != 0,
                                     .mandatory = (e->flags & CATALOGUE_MANDATORY) != 0,
                                     .name = catalogue_texts + e->name,
                                     .urn = "",
                                     .resource_count = e->row_count,
                                     .rows = catalogue_rows + e->first_row,
                                     .texts = catalogue_texts};
}

static struct catalogue_object object_of_loaded(const struct catalogue_definition *d) {
    return (struct catalogue_object){.id = d->id,
                                     .version = d->version,
                                     .lwm2m = d->lwm2m,
                                     .source = (enum catalogue_source)d->source,
                                     .multiple = (d->flags & CATALOGUE_MULTIPLE) != 0,
                                     .mandatory = (d->flags & CATALOGUE_MANDATORY) != 0,
                                     .name = d->texts + d->name,
                                     .urn = d->texts + d->urn,
                                     .resource_count = d->row_count,
                                     .rows = d->rows,
                                     .texts = d->texts};
}

/* ---- looking up ---- */

static const struct catalogue_row *find_row(const struct catalogue_object *object, uint16_t resource_id) {
    size_t low = 0, high = object->resource_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (object->rows[middle].id == resource_id)
            return &object->rows[middle];
        if (object->rows[middle].id < resource_id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static struct catalogue_resource resource_of(const struct catalogue_object *object, const struct catalogue_row *row) {
    return (struct catalogue_resource){.id = row->id,
                                       .type = (enum lwm2m_type)row->type,
                                       .operations = row->flags & 15,
                                       .multiple = (row->flags & CATALOGUE_MULTIPLE) != 0,
                                       .mandatory = (row->flags & CATALOGUE_MANDATORY) != 0,
                                       .name = object->texts + row->name,
                                       .range = object->texts + row->range,
                                       .units = object->texts + row->units};
}

struct catalogue_resource catalogue_resource_at(const struct catalogue_object *object, size_t index) {
    return resource_of(object, &object->rows[index]);
}

struct search {
    uint16_t version;
    bool for_resource; /* only definitions that have `resource_id` will do */
    uint16_t resource_id;
    uint32_t distance; /* of the best one; UINT32_MAX when there is none yet */
    struct catalogue_object best;
    const struct catalogue_row *row; /* of the best one */
};

static void consider(struct search *search, struct catalogue_object object) {
    uint32_t apart = distance(search->version, object.version);
    if (apart >= search->distance)
        return;
    const struct catalogue_row *row = search->for_resource ? find_row(&object, search->resource_id) : NULL;
    if (search->for_resource && row == NULL)
        return;
    search->distance = apart;
    search->best = object;
    search->row = row;
}

/* Look at all definitions of an object, the ones that go before others first. */
static bool search_nearest(const struct catalogue *catalogue, uint16_t object_id, struct search *search) {
    search->distance = UINT32_MAX;
    size_t end = lower_loaded(catalogue, ((uint64_t)object_id + 1) << 24);
    for (size_t i = end; i > 0 && catalogue->loaded[i - 1]->id == object_id; i--)
        consider(search, object_of_loaded(catalogue->loaded[i - 1]));
    for (size_t i = lower_entry(key_of(object_id, 0));
         i < catalogue_entry_count && catalogue_entries[i].id == object_id; i++)
        consider(search, object_of_entry(&catalogue_entries[i]));
    return search->distance != UINT32_MAX;
}

bool catalogue_find(const struct catalogue *catalogue, uint16_t object_id, uint16_t version,
                    struct catalogue_object *object) {
    struct search search = {.version = version};
    if (!search_nearest(catalogue, object_id, &search))
        return false;
    *object = search.best;
    return true;
}

bool catalogue_get(const struct catalogue *catalogue, uint16_t object_id, uint16_t version,
                   struct catalogue_object *object) {
    return catalogue_find(catalogue, object_id, version, object) && object->version == version;
}

bool catalogue_next(const struct catalogue *catalogue, uint16_t object_id, uint16_t version,
                    struct catalogue_object *object) {
    uint32_t key = key_of(object_id, version);
    if (key == UINT32_MAX)
        return false;
    size_t entry = lower_entry(key + 1), loaded = lower_loaded(catalogue, ((uint64_t)key + 1) << 8);
    uint64_t entry_key = UINT64_MAX, loaded_from = UINT64_MAX;
    if (entry < catalogue_entry_count)
        entry_key = key_of(catalogue_entries[entry].id, catalogue_entries[entry].version);
    if (loaded < catalogue->count)
        loaded_from = loaded_key(catalogue->loaded[loaded]) >> 8;
    if (entry_key == UINT64_MAX && loaded_from == UINT64_MAX)
        return false;
    if (entry_key < loaded_from) {
        *object = object_of_entry(&catalogue_entries[entry]);
        return true;
    }
    while (loaded + 1 < catalogue->count && loaded_key(catalogue->loaded[loaded + 1]) >> 8 == loaded_from)
        loaded++; /* the last source goes before the others */
    *object = object_of_loaded(catalogue->loaded[loaded]);
    return true;
}

bool catalogue_resource(const struct catalogue *catalogue, uint16_t object_id, uint16_t version, uint16_t resource_id,
                        struct catalogue_resource *resource) {
    struct search search = {.version = version, .for_resource = true, .resource_id = resource_id};
    if (!search_nearest(catalogue, object_id, &search))
        return false;
    *resource = resource_of(&search.best, search.row);
    return true;
}

enum lwm2m_type catalogue_type(const struct catalogue *catalogue, uint16_t version, const struct lwm2m_path *path) {
    struct catalogue_resource resource;
    if (path->len < 3 || !catalogue_resource(catalogue, path->ids[0], version, path->ids[2], &resource))
        return LWM2M_NONE;
    return resource.type;
}

/* ---- loading ---- */

void catalogue_free(struct catalogue *catalogue) {
    for (size_t i = 0; i < catalogue->count; i++)
        free(catalogue->loaded[i]);
    free(catalogue->loaded);
    *catalogue = (struct catalogue){0};
}

bool catalogue_reserve(struct catalogue *catalogue, const struct catalogue_definition *definition) {
    if (catalogue->count + catalogue->reserved == CATALOGUE_DEFINITIONS_MAX ||
        definition->bytes > CATALOGUE_BYTES_MAX - catalogue->bytes)
        return false;
    if (catalogue->loaded == NULL)
        catalogue->loaded = malloc(CATALOGUE_DEFINITIONS_MAX * sizeof *catalogue->loaded);
    if (catalogue->loaded == NULL)
        return false;
    catalogue->reserved++;
    catalogue->bytes += definition->bytes;
    return true;
}

void catalogue_unreserve(struct catalogue *catalogue, const struct catalogue_definition *definition) {
    catalogue->reserved--;
    catalogue->bytes -= definition->bytes;
}

/* Where the definition is, or would be. */
static bool locate(const struct catalogue *catalogue, uint16_t object_id, uint16_t version,
                   enum catalogue_source source, size_t *at) {
    uint64_t key = (uint64_t)key_of(object_id, version) << 8 | source;
    *at = lower_loaded(catalogue, key);
    return *at < catalogue->count && loaded_key(catalogue->loaded[*at]) == key;
}

void catalogue_put(struct catalogue *catalogue, struct catalogue_definition *definition, enum catalogue_source source) {
    size_t at;
    definition->source = (uint8_t)source;
    definition->next = NULL;
    catalogue->reserved--;
    if (locate(catalogue, definition->id, definition->version, source, &at)) {
        catalogue->bytes -= catalogue->loaded[at]->bytes;
        free(catalogue->loaded[at]);
    } else {
        memmove(catalogue->loaded + at + 1, catalogue->loaded + at,
                (catalogue->count - at) * sizeof *catalogue->loaded);
        catalogue->count++;
    }
    catalogue->loaded[at] = definition;
}

bool catalogue_has(const struct catalogue *catalogue, uint16_t object_id, uint16_t version,
                   enum catalogue_source source) {
    size_t at;
    return locate(catalogue, object_id, version, source, &at);
}

bool catalogue_remove(struct catalogue *catalogue, uint16_t object_id, uint16_t version, enum catalogue_source source) {
    size_t at;
    if (!locate(catalogue, object_id, version, source, &at))
        return false;
    catalogue->bytes -= catalogue->loaded[at]->bytes;
    free(catalogue->loaded[at]);
    catalogue->count--;
    memmove(catalogue->loaded + at, catalogue->loaded + at + 1, (catalogue->count - at) * sizeof *catalogue->loaded);
    return true;
}
