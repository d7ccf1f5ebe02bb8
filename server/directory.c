#include "server/directory.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/base/slab.h"

enum { CHUNK_SLOTS = 256, LOCATION_MIN = 4, LOCATION_MAX = 10, LOCATION_SPARSENESS = 16 };

struct directory {
    struct registration **chunks; /* of CHUNK_SLOTS each */
    uint32_t chunk_count, chunk_cap;
    uint32_t slot_end;           /* slots from here on were never used */
    uint32_t free_slot;          /* a chain through `older`, or SLOT_NONE; a free slot has no text */
    struct hash_key key;         /* of both tables */
    struct slot_table names;     /* endpoint: its newest registration */
    struct slot_table locations; /* location: the newest registration that has it */
    struct slab *slab;           /* texts */
    size_t count;                /* acknowledged */
    size_t text_bytes;
};

struct directory *directory_new(void) {
    struct directory *directory = calloc(1, sizeof *directory);
    if (directory == NULL || (directory->slab = slab_new()) == NULL) {
        perror("directory");
        abort();
    }
    directory->free_slot = SLOT_NONE;
    directory->key = hash_key_random();
    return directory;
}

static struct registration *at_slot(const struct directory *directory, uint32_t slot) {
    return slot == SLOT_NONE ? NULL : &directory->chunks[slot / CHUNK_SLOTS][slot % CHUNK_SLOTS];
}

static bool is_acknowledged(const struct registration *r) {
    return r->state == REGISTRATION_REGISTERED;
}

/* ---- slots ---- */

static bool add_chunk(struct directory *directory) {
    if (directory->chunk_count == directory->chunk_cap) {
        uint32_t cap = directory->chunk_cap == 0 ? 16 : directory->chunk_cap * 2;
        struct registration **chunks = realloc(directory->chunks, cap * sizeof *chunks);
        if (chunks == NULL)
            return false;
        directory->chunks = chunks;
        directory->chunk_cap = cap;
    }
    struct registration *chunk = calloc(CHUNK_SLOTS, sizeof *chunk);
    if (chunk == NULL)
        return false;
    directory->chunks[directory->chunk_count++] = chunk;
    return true;
}

/* Make sure that take_slot finds one. */
static bool reserve_slot(struct directory *directory) {
    if (directory->free_slot != SLOT_NONE || directory->slot_end < directory->chunk_count * CHUNK_SLOTS)
        return true;
    return directory->slot_end < SLOT_NONE - CHUNK_SLOTS && add_chunk(directory);
}

static struct registration *take_slot(struct directory *directory) {
    uint32_t slot = directory->free_slot;
    if (slot == SLOT_NONE)
        slot = directory->slot_end++;
    else
        directory->free_slot = at_slot(directory, slot)->older;
    struct registration *r = at_slot(directory, slot);
    *r = (struct registration){.slot = slot, .older = SLOT_NONE};
    return r;
}

static void give_slot(struct directory *directory, struct registration *r) {
    *r = (struct registration){.slot = r->slot, .older = directory->free_slot};
    directory->free_slot = r->slot;
}

/* ---- texts ---- */

static size_t text_len(const struct registration *r) {
    return (size_t)r->sms.at + r->sms.len + r->links_len;
}

static size_t text_bytes(const struct registration *r) {
    return slab_block_bytes(text_len(r));
}

static void put_span(struct registration *r, struct text_span *span, size_t *at, struct slice text) {
    *span = (struct text_span){.at = (uint16_t)*at, .len = (uint16_t)text.len};
    if (text.len > 0)
        memcpy(r->text + *at, text.data, text.len);
    *at += text.len;
}

/* Give `r` a block with the texts of `content` under the given names. False when out of memory, or when the texts are
 * longer than spans can say: nothing has changed. The old block stays the caller's. */
static bool write_texts(struct directory *directory, struct registration *r, struct slice endpoint,
                        struct slice location, const struct registration_content *content) {
    bool one_name = slice_equal(content->identity, endpoint); /* it is there once */
    size_t spans_len = endpoint.len + location.len + content->root.len + content->query.len + content->sms.len +
                       (one_name ? 0 : content->identity.len);
    if (spans_len > UINT16_MAX || content->links.len > UINT32_MAX - UINT16_MAX)
        return false;
    uint8_t *text = slab_take(directory->slab, spans_len + content->links.len);
    if (text == NULL)
        return false;
    r->text = text;
    size_t at = 0;
    put_span(r, &r->endpoint, &at, endpoint);
    put_span(r, &r->location, &at, location);
    put_span(r, &r->root, &at, content->root);
    put_span(r, &r->query, &at, content->query);
    if (one_name)
        r->identity = r->endpoint;
    else
        put_span(r, &r->identity, &at, content->identity);
    put_span(r, &r->sms, &at, content->sms);
    r->links_len = (uint32_t)content->links.len;
    if (content->links.len > 0)
        memcpy(text + at, content->links.data, content->links.len);
    return true;
}

/* ---- names and locations ---- */

static uint32_t hash_of(const struct directory *directory, struct slice text) {
    return (uint32_t)(hash_slice(&directory->key, text) >> 32);
}

static struct registration *newest_of(const struct directory *directory, uint32_t hash, struct slice endpoint) {
    struct slot_search search;
    uint32_t slot = slot_search_first(&search, &directory->names, hash);
    while (slot != SLOT_NONE && !slice_equal(registration_endpoint(at_slot(directory, slot)), endpoint))
        slot = slot_search_next(&search);
    return at_slot(directory, slot);
}

static struct registration *newest_at(const struct directory *directory, uint32_t hash, struct slice location) {
    struct slot_search search;
    uint32_t slot = slot_search_first(&search, &directory->locations, hash);
    while (slot != SLOT_NONE && !slice_equal(registration_location(at_slot(directory, slot)), location))
        slot = slot_search_next(&search);
    return at_slot(directory, slot);
}

/* Locations are so long that at most one in LOCATION_SPARSENESS possible ones is taken: a draw seldom hits one in use,
 * and nobody finds one by trying a few. */
static struct slice draw_location(const struct directory *directory, char text[LOCATION_MAX]) {
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t len = LOCATION_MIN;
    uint64_t possible = 62 * 62 * 62 * 62;
    while (directory->locations.count >= possible / LOCATION_SPARSENESS && len < LOCATION_MAX) {
        possible *= 62;
        len++;
    }
    struct slice location = slice_of(text, len);
    do {
        uint64_t number = random_below(possible);
        for (size_t i = 0; i < len; i++, number /= 62)
            text[i] = digits[number % 62];
    } while (newest_at(directory, hash_of(directory, location), location) != NULL);
    return location;
}

struct registration *directory_add(struct directory *directory, uint64_t id, const struct registration_content *content,
                                   struct link *link) {
    char drawn[LOCATION_MAX];
    struct slice location = content->location;
    if (location.len == 0)
        location = draw_location(directory, drawn);
    uint32_t location_hash = hash_of(directory, location);
    struct registration *same_location = newest_at(directory, location_hash, location);
    if (same_location != NULL && !slice_equal(registration_endpoint(same_location), content->endpoint))
        return NULL;
    uint32_t name_hash = hash_of(directory, content->endpoint);
    struct registration *older = newest_of(directory, name_hash, content->endpoint);

    if (!slot_table_reserve(&directory->names, name_hash) ||
        !slot_table_reserve(&directory->locations, location_hash) || !reserve_slot(directory))
        return NULL;
    struct registration *r = take_slot(directory);
    if (!write_texts(directory, r, content->endpoint, location, content)) {
        give_slot(directory, r);
        return NULL;
    }
    r->id = id;
    r->lifetime_s = content->lifetime_s;
    r->version = (uint8_t)content->version;
    r->binding = content->binding;
    r->queue_mode = content->queue_mode;
    r->profile = (uint8_t)content->profile;
    r->security = (uint8_t)content->security;
    r->state = REGISTRATION_PENDING;
    r->link = link_ref(link);
    directory->text_bytes += text_bytes(r);

    if (older != NULL) {
        r->older = older->slot;
        slot_table_replace(&directory->names, name_hash, older->slot, r->slot);
    } else {
        slot_table_insert(&directory->names, name_hash, r->slot);
    }
    if (same_location != NULL)
        slot_table_replace(&directory->locations, location_hash, same_location->slot, r->slot);
    else
        slot_table_insert(&directory->locations, location_hash, r->slot);
    return r;
}

static void leave_name(struct directory *directory, struct registration *r) {
    uint32_t hash = hash_of(directory, registration_endpoint(r));
    struct registration *newer = newest_of(directory, hash, registration_endpoint(r));
    if (newer != r) {
        while (newer->older != r->slot)
            newer = at_slot(directory, newer->older);
        newer->older = r->older;
    } else if (r->older != SLOT_NONE) {
        slot_table_replace(&directory->names, hash, r->slot, r->older);
    } else {
        slot_table_remove(&directory->names, hash, r->slot);
    }
}

/* An endpoint may have given the same location to several of its registrations: then the next older one has it now. */
static void leave_location(struct directory *directory, struct registration *r) {
    struct slice location = registration_location(r);
    uint32_t hash = hash_of(directory, location);
    if (newest_at(directory, hash, location) != r)
        return;
    struct registration *heir = at_slot(directory, r->older);
    while (heir != NULL && !slice_equal(registration_location(heir), location))
        heir = at_slot(directory, heir->older);
    if (heir != NULL)
        slot_table_replace(&directory->locations, hash, r->slot, heir->slot);
    else
        slot_table_remove(&directory->locations, hash, r->slot);
}

void directory_remove(struct directory *directory, struct registration *registration) {
    leave_location(directory, registration);
    leave_name(directory, registration);
    if (is_acknowledged(registration))
        directory->count--;
    directory->text_bytes -= text_bytes(registration);
    link_unref(registration->link);
    slab_give(registration->text, text_len(registration));
    give_slot(directory, registration);
}

void directory_commit(struct directory *directory, struct registration *registration, registration_fn *removed,
                      void *arg) {
    struct slice endpoint = registration_endpoint(registration);
    struct registration *newer = newest_of(directory, hash_of(directory, endpoint), endpoint);
    for (; newer != registration; newer = at_slot(directory, newer->older)) {
        if (is_acknowledged(newer)) {
            removed(arg, registration);
            directory_remove(directory, registration);
            return;
        }
    }
    registration->state = REGISTRATION_REGISTERED;
    directory->count++;
    struct registration *older = at_slot(directory, registration->older);
    while (older != NULL && !is_acknowledged(older))
        older = at_slot(directory, older->older);
    if (older != NULL) {
        removed(arg, older);
        directory_remove(directory, older);
    }
}

bool directory_rewrite(struct directory *directory, struct registration *registration,
                       const struct registration_content *content) {
    uint8_t *old_text = registration->text;
    size_t old_len = text_len(registration);
    struct registration_content all = *content;
    if (all.identity.data == NULL)
        all.identity = registration_identity(registration);
    if (!write_texts(directory, registration, registration_endpoint(registration), registration_location(registration),
                     &all))
        return false;
    slab_give(old_text, old_len);
    directory->text_bytes += text_bytes(registration) - slab_block_bytes(old_len);
    return true;
}

/* The acknowledged one among `newest` and those it replaces; there is at most one. */
static struct registration *acknowledged_of(const struct directory *directory, struct registration *newest) {
    while (newest != NULL && !is_acknowledged(newest))
        newest = at_slot(directory, newest->older);
    return newest;
}

void directory_expect(const struct directory *directory, struct slice endpoint, struct slice location) {
    slot_table_expect(&directory->names, hash_of(directory, endpoint));
    slot_table_expect(&directory->locations, hash_of(directory, location));
}

struct registration *directory_find(const struct directory *directory, struct slice endpoint) {
    return acknowledged_of(directory, directory_find_newest(directory, endpoint));
}

struct registration *directory_find_newest(const struct directory *directory, struct slice endpoint) {
    return newest_of(directory, hash_of(directory, endpoint), endpoint);
}

struct registration *directory_find_location(const struct directory *directory, struct slice location) {
    struct registration *newest = newest_at(directory, hash_of(directory, location), location);
    struct registration *r = acknowledged_of(directory, newest);
    return r != NULL && (r == newest || slice_equal(registration_location(r), location)) ? r : NULL;
}

struct registration *directory_older(const struct directory *directory, const struct registration *registration) {
    return registration->older == SLOT_NONE ? NULL : at_slot(directory, registration->older);
}

struct registration *directory_at(const struct directory *directory, uint32_t slot) {
    if (slot >= directory->slot_end)
        return NULL;
    struct registration *r = at_slot(directory, slot);
    return r->text != NULL && is_acknowledged(r) ? r : NULL;
}

struct registration *directory_next(const struct directory *directory, uint32_t *slot) {
    while (*slot < directory->slot_end) {
        struct registration *r = directory_at(directory, (*slot)++);
        if (r != NULL)
            return r;
    }
    return NULL;
}

size_t directory_count(const struct directory *directory) {
    return directory->count;
}

size_t directory_bytes(const struct directory *directory) {
    size_t entries = directory->names.capacity + directory->locations.capacity;
    return sizeof *directory + directory->chunk_cap * sizeof *directory->chunks +
           (size_t)directory->chunk_count * CHUNK_SLOTS * sizeof(struct registration) +
           entries * sizeof(struct slot_entry) + directory->text_bytes;
}

void directory_free(struct directory *directory) {
    if (directory == NULL)
        return;
    for (uint32_t slot = 0; slot < directory->slot_end; slot++) {
        struct registration *r = at_slot(directory, slot);
        if (r->text != NULL) {
            link_unref(r->link);
            slab_give(r->text, text_len(r));
        }
    }
    for (uint32_t i = 0; i < directory->chunk_count; i++)
        free(directory->chunks[i]);
    free(directory->chunks);
    slot_table_free(&directory->names);
    slot_table_free(&directory->locations);
    slab_free(directory->slab);
    free(directory);
}
