#include "server/slot_table.h"

#include <stdlib.h>
#include <string.h>

enum { SHARD_BITS = 6, CAPACITY_MIN = 8 };

_Static_assert(SLOT_TABLE_SHARDS == 1 << SHARD_BITS, "a hash chooses a shard by its first SHARD_BITS");

static struct slot_shard *shard_of(struct slot_table *table, uint32_t hash) {
    return &table->shards[hash >> (32 - SHARD_BITS)];
}

static uint32_t home_of(const struct slot_shard *shard, uint32_t hash) {
    return (uint32_t)((uint64_t)(hash << SHARD_BITS) * shard->capacity >> 32);
}

static uint32_t after(const struct slot_shard *shard, uint32_t at) {
    return at + 1 == shard->capacity ? 0 : at + 1;
}

/* How many places `at` lies behind `from`, round the end of the shard. */
static uint32_t distance(const struct slot_shard *shard, uint32_t from, uint32_t at) {
    return at >= from ? at - from : at + (shard->capacity - from);
}

static void insert(struct slot_shard *shard, struct slot_entry entry) {
    uint32_t at = home_of(shard, entry.hash);
    while (shard->entries[at].slot != SLOT_NONE)
        at = after(shard, at);
    shard->entries[at] = entry;
    shard->count++;
}

static bool grow(struct slot_shard *shard) {
    uint64_t capacity = (uint64_t)shard->capacity + shard->capacity / 2;
    if (capacity < CAPACITY_MIN)
        capacity = CAPACITY_MIN;
    if (capacity > UINT32_MAX)
        return false;
    struct slot_shard larger = {.capacity = (uint32_t)capacity};
    larger.entries = malloc(capacity * sizeof *larger.entries);
    if (larger.entries == NULL)
        return false;
    memset(larger.entries, 0xff, capacity * sizeof *larger.entries); /* every slot SLOT_NONE */
    for (uint32_t i = 0; i < shard->capacity; i++) {
        if (shard->entries[i].slot != SLOT_NONE)
            insert(&larger, shard->entries[i]);
    }
    free(shard->entries);
    *shard = larger;
    return true;
}

void slot_table_free(struct slot_table *table) {
    for (size_t i = 0; i < SLOT_TABLE_SHARDS; i++)
        free(table->shards[i].entries);
    memset(table, 0, sizeof *table);
}

bool slot_table_reserve(struct slot_table *table, uint32_t hash) {
    struct slot_shard *shard = shard_of(table, hash);
    uint32_t capacity = shard->capacity;
    if (shard->count + 1 <= (uint64_t)capacity * 4 / 5)
        return true;
    if (!grow(shard))
        return false;
    table->capacity += shard->capacity - capacity;
    return true;
}

void slot_table_insert(struct slot_table *table, uint32_t hash, uint32_t slot) {
    insert(shard_of(table, hash), (struct slot_entry){.slot = slot, .hash = hash});
    table->count++;
}

/* The first entry with the searched hash at or behind search->at. */
static uint32_t search_on(struct slot_search *search) {
    const struct slot_shard *shard = search->shard;
    while (shard->entries[search->at].slot != SLOT_NONE) {
        if (shard->entries[search->at].hash == search->hash)
            return shard->entries[search->at].slot;
        search->at = after(shard, search->at);
    }
    return SLOT_NONE;
}

uint32_t slot_search_first(struct slot_search *search, const struct slot_table *table, uint32_t hash) {
    const struct slot_shard *shard = &table->shards[hash >> (32 - SHARD_BITS)];
    *search = (struct slot_search){.shard = shard, .hash = hash, .at = home_of(shard, hash)};
    return shard->capacity == 0 ? SLOT_NONE : search_on(search);
}

void slot_table_expect(const struct slot_table *table, uint32_t hash) {
    const struct slot_shard *shard = &table->shards[hash >> (32 - SHARD_BITS)];
    if (shard->capacity > 0)
        __builtin_prefetch(&shard->entries[home_of(shard, hash)]);
}

uint32_t slot_search_next(struct slot_search *search) {
    search->at = after(search->shard, search->at);
    return search_on(search);
}

static uint32_t place_of(const struct slot_shard *shard, uint32_t hash, uint32_t slot) {
    uint32_t at = home_of(shard, hash);
    while (shard->entries[at].slot != slot)
        at = after(shard, at);
    return at;
}

void slot_table_replace(struct slot_table *table, uint32_t hash, uint32_t old, uint32_t slot) {
    struct slot_shard *shard = shard_of(table, hash);
    shard->entries[place_of(shard, hash, old)].slot = slot;
}

void slot_table_remove(struct slot_table *table, uint32_t hash, uint32_t slot) {
    struct slot_shard *shard = shard_of(table, hash);
    uint32_t gap = place_of(shard, hash, slot);
    /* Move back whatever the gap would cut off from its home. */
    for (uint32_t at = after(shard, gap); shard->entries[at].slot != SLOT_NONE; at = after(shard, at)) {
        uint32_t home = home_of(shard, shard->entries[at].hash);
        if (distance(shard, home, at) >= distance(shard, gap, at)) {
            shard->entries[gap] = shard->entries[at];
            gap = at;
        }
    }
    shard->entries[gap].slot = SLOT_NONE;
    shard->count--;
    table->count--;
}
