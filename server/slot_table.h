/* A hash table from keyed hashes to slots of a slab. It keeps 8 bytes an entry, the slot and 32 bits of the hash, and
 * never sees a key: a search yields the slots whose hash fits, and the caller compares.
 *
 * The first 6 bits of the hash choose one of 64 shards, which grow by themselves: with a million entries the longest
 * pause is that of moving 16,000. A shard is an open-addressing table that fills up to 4/5 and grows by half, so an
 * entry costs 10 to 15 bytes; holes that growing shards leave in the heap are fewer the fewer they are. The home of an
 * entry is its remaining hash × capacity / 2^32 (Lemire, 2016): any capacity will do, and homes rise with the hash
 * whatever the capacity, so growing goes through old and new memory from front to back without a look at the slots.
 * Collisions probe the next places; a removal closes its gap, so there are no tombstones.
 */
#ifndef BERTH_SERVER_SLOT_TABLE_H
#define BERTH_SERVER_SLOT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SLOT_NONE = UINT32_MAX };

struct slot_entry {
    uint32_t slot; /* SLOT_NONE: empty */
    uint32_t hash;
};

struct slot_shard {
    struct slot_entry *entries;
    uint32_t capacity;
    uint32_t count;
};

enum { SLOT_TABLE_SHARDS = 64 };

/* Zero it before first use. */
struct slot_table {
    struct slot_shard shards[SLOT_TABLE_SHARDS];
    size_t count;    /* entries in all shards */
    size_t capacity; /* places in all shards */
};

void slot_table_free(struct slot_table *table);

/* Make sure that the next insert with this hash has room. False when out of memory: nothing has changed. */
bool slot_table_reserve(struct slot_table *table, uint32_t hash);

/* After slot_table_reserve. Several slots may have the same hash. */
void slot_table_insert(struct slot_table *table, uint32_t hash, uint32_t slot);

/* A search: the first slot with this hash, and the one after. SLOT_NONE when there is none. */
struct slot_search {
    const struct slot_shard *shard;
    uint32_t hash;
    uint32_t at;
};
uint32_t slot_search_first(struct slot_search *search, const struct slot_table *table, uint32_t hash);
uint32_t slot_search_next(struct slot_search *search);

/* Something with this hash will soon be looked for: fetch its home from memory. */
void slot_table_expect(const struct slot_table *table, uint32_t hash);

/* Put `slot` in the place of `old`, which is in the table with this hash. */
void slot_table_replace(struct slot_table *table, uint32_t hash, uint32_t old, uint32_t slot);

/* Take out `slot`, which is in the table with this hash. */
void slot_table_remove(struct slot_table *table, uint32_t hash, uint32_t slot);

#endif
