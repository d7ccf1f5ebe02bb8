#include "server/bootstrap_configs.h"

#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "server/credential.h"
#include "server/slot_table.h"

enum { SLOTS_MIN = 64, CONTEXT_MAX = CREDENTIAL_ENDPOINT_MAX + 32 };

struct entry {
    uint32_t slot;
    bool in_force; /* false: it waits for its commit */
    uint32_t endpoint_len, len;
    uint8_t bytes[]; /* the endpoint, then the configuration */
};

/* A change between its call and its commit. */
struct change {
    struct change *next;
    struct bootstrap_configs *configs;
    struct entry *entry;
    bool is_deletion; /* the entry has only the endpoint then */
    store_done_fn *done;
    void *arg;
};

struct bootstrap_configs {
    struct store *store;
    struct seal *seal;
    struct hash_key key;
    struct slot_table endpoints;
    struct entry **slots; /* NULL: free */
    uint32_t slot_end, slot_cap, free_hint;
    size_t count, bytes;
    struct change *changes;
};

static struct slice endpoint_of(const struct entry *e) {
    return slice_of(e->bytes, e->endpoint_len);
}

static struct slice bytes_of(const struct entry *e) {
    return slice_of(e->bytes + e->endpoint_len, e->len);
}

static struct entry *entry_new(struct slice endpoint, struct slice bytes) {
    struct entry *e = malloc(sizeof *e + endpoint.len + bytes.len);
    if (e == NULL)
        return NULL;
    *e = (struct entry){.slot = SLOT_NONE, .endpoint_len = (uint32_t)endpoint.len, .len = (uint32_t)bytes.len};
    if (endpoint.len > 0)
        memcpy(e->bytes, endpoint.data, endpoint.len);
    if (bytes.len > 0)
        memcpy(e->bytes + endpoint.len, bytes.data, bytes.len);
    return e;
}

static void entry_free(struct entry *e) {
    mbedtls_platform_zeroize(e->bytes, e->endpoint_len + e->len);
    free(e);
}

static uint32_t hash_of(const struct bootstrap_configs *all, struct slice endpoint) {
    return (uint32_t)(hash_slice(&all->key, endpoint) >> 32);
}

static struct entry *find(const struct bootstrap_configs *all, struct slice endpoint) {
    struct slot_search search;
    if (all->count == 0)
        return NULL;
    uint32_t slot = slot_search_first(&search, &all->endpoints, hash_of(all, endpoint));
    while (slot != SLOT_NONE && !(all->slots[slot]->in_force && slice_equal(endpoint_of(all->slots[slot]), endpoint)))
        slot = slot_search_next(&search);
    return slot == SLOT_NONE ? NULL : all->slots[slot];
}

/* False when out of memory. */
static bool insert(struct bootstrap_configs *all, struct entry *e) {
    uint32_t hash = hash_of(all, endpoint_of(e));
    while (all->free_hint < all->slot_end && all->slots[all->free_hint] != NULL)
        all->free_hint++;
    if (all->free_hint == all->slot_cap) {
        uint32_t cap = all->slot_cap == 0 ? SLOTS_MIN : all->slot_cap * 2;
        struct entry **grown = realloc(all->slots, cap * sizeof(struct entry *));
        if (grown == NULL)
            return false;
        all->slots = grown;
        all->slot_cap = cap;
    }
    if (!slot_table_reserve(&all->endpoints, hash))
        return false;
    e->slot = all->free_hint;
    all->slots[e->slot] = e;
    if (e->slot == all->slot_end)
        all->slot_end++;
    slot_table_insert(&all->endpoints, hash, e->slot);
    all->count++;
    all->bytes += e->len;
    return true;
}

static void drop(struct bootstrap_configs *all, struct entry *e) {
    slot_table_remove(&all->endpoints, hash_of(all, endpoint_of(e)), e->slot);
    all->slots[e->slot] = NULL;
    if (e->slot < all->free_hint)
        all->free_hint = e->slot;
    all->count--;
    all->bytes -= e->len;
    entry_free(e);
}

/* ---- rows ---- */

static struct slice context_of(struct slice endpoint, uint8_t memory[CONTEXT_MAX]) {
    struct buffer context = buffer_over(memory, CONTEXT_MAX);
    buffer_put_str(&context, "bootstrap ");
    buffer_put_slice(&context, endpoint);
    return buffer_slice(&context);
}

struct loading {
    struct bootstrap_configs *all;
    struct bootstrap_config *scratch;
    uint8_t *plain;
    size_t skipped;
};

static void load(void *arg, const struct store_bootstrap *row) {
    struct loading *loading = arg;
    struct bootstrap_configs *all = loading->all;
    uint8_t context[CONTEXT_MAX];
    struct buffer plain = buffer_over(loading->plain, BOOTSTRAP_BYTES_MAX);
    bool good = row->endpoint.len <= CREDENTIAL_ENDPOINT_MAX &&
                seal_open(all->seal, context_of(row->endpoint, context), row->sealed, &plain) &&
                bootstrap_config_decode(buffer_slice(&plain), loading->scratch);
    struct entry *e = good ? entry_new(row->endpoint, buffer_slice(&plain)) : NULL;
    if (e != NULL && insert(all, e)) {
        e->in_force = true;
        return;
    }
    if (e != NULL)
        entry_free(e);
    loading->skipped++;
}

bool bootstrap_configs_load(struct bootstrap_configs *all, char *error, size_t error_size) {
    struct loading loading = {
        .all = all, .scratch = malloc(sizeof *loading.scratch), .plain = malloc(BOOTSTRAP_BYTES_MAX)};
    bool good = loading.scratch != NULL && loading.plain != NULL;
    if (!good)
        snprintf(error, error_size, "out of memory");
    good = good && store_load_bootstraps(all->store, load, &loading, error, error_size);
    if (good && loading.skipped > 0) {
        snprintf(error, error_size,
                 "%zu stored bootstrap configurations cannot be opened: the database was changed by somebody else",
                 loading.skipped);
        good = false;
    }
    if (loading.plain != NULL)
        mbedtls_platform_zeroize(loading.plain, BOOTSTRAP_BYTES_MAX);
    free(loading.plain);
    free(loading.scratch);
    return good;
}

/* ---- finding ---- */

struct bootstrap_configs *bootstrap_configs_new(struct store *store, struct seal *seal) {
    struct bootstrap_configs *all = calloc(1, sizeof *all);
    if (all != NULL) {
        all->store = store;
        all->seal = seal;
        all->key = hash_key_random();
    }
    return all;
}

void bootstrap_configs_free(struct bootstrap_configs *all) {
    if (all == NULL)
        return;
    for (uint32_t slot = 0; slot < all->slot_end; slot++) {
        if (all->slots[slot] != NULL)
            entry_free(all->slots[slot]);
    }
    free(all->slots);
    slot_table_free(&all->endpoints);
    free(all);
}

struct slice bootstrap_configs_find(const struct bootstrap_configs *all, struct slice endpoint) {
    const struct entry *e = find(all, endpoint);
    return e == NULL ? SLICE_NONE : bytes_of(e);
}

bool bootstrap_configs_next(const struct bootstrap_configs *all, uint32_t *slot, struct slice *endpoint,
                            struct slice *bytes) {
    while (*slot < all->slot_end) {
        const struct entry *e = all->slots[(*slot)++];
        if (e == NULL || !e->in_force)
            continue;
        *endpoint = endpoint_of(e);
        *bytes = bytes_of(e);
        return true;
    }
    return false;
}

/* ---- changing ---- */

static void on_changed(void *arg, enum store_result result) {
    struct change *change = arg;
    struct bootstrap_configs *all = change->configs;
    struct change **link = &all->changes;
    while (*link != change)
        link = &(*link)->next;
    *link = change->next;
    struct entry *old = result == STORE_OK ? find(all, endpoint_of(change->entry)) : NULL;
    if (old != NULL)
        drop(all, old);
    if (change->is_deletion)
        entry_free(change->entry);
    else if (result == STORE_OK)
        change->entry->in_force = true;
    else
        drop(all, change->entry);
    change->done(change->arg, result);
    free(change);
}

static bool is_changing(const struct bootstrap_configs *all, struct slice endpoint) {
    for (const struct change *change = all->changes; change != NULL; change = change->next) {
        if (slice_equal(endpoint_of(change->entry), endpoint))
            return true;
    }
    return false;
}

static bool write_row(struct bootstrap_configs *all, struct change *change, enum store_result *result) {
    uint8_t context[CONTEXT_MAX];
    size_t size = change->entry->len + SEAL_OVERHEAD;
    uint8_t *memory = malloc(size);
    struct buffer sealed = buffer_over(memory, size);
    struct slice endpoint = endpoint_of(change->entry);
    bool good = memory != NULL && (change->is_deletion || seal_close(all->seal, context_of(endpoint, context),
                                                                     bytes_of(change->entry), &sealed));
    if (good)
        *result = store_put_bootstrap(all->store,
                                      &(struct store_bootstrap){.endpoint = endpoint, .sealed = buffer_slice(&sealed)},
                                      on_changed, change);
    free(memory);
    return good;
}

static enum bootstrap_configs_result change(struct bootstrap_configs *all, struct slice endpoint, struct slice bytes,
                                            bool is_deletion, store_done_fn *done, void *arg) {
    enum store_result result = STORE_OK;
    struct change *change = malloc(sizeof *change);
    struct entry *e = entry_new(endpoint, bytes);
    if (change == NULL || e == NULL || (!is_deletion && !insert(all, e))) {
        free(change);
        if (e != NULL)
            entry_free(e);
        return BOOTSTRAP_CONFIGS_TOO_MANY;
    }
    *change = (struct change){
        .next = all->changes, .configs = all, .entry = e, .is_deletion = is_deletion, .done = done, .arg = arg};
    all->changes = change;
    if (!write_row(all, change, &result)) {
        all->changes = change->next;
        if (is_deletion)
            entry_free(e);
        else
            drop(all, e);
        free(change);
        return BOOTSTRAP_CONFIGS_TOO_MANY;
    }
    if (result != STORE_OK)
        on_changed(change, result);
    return BOOTSTRAP_CONFIGS_ACCEPTED;
}

enum bootstrap_configs_result bootstrap_configs_put(struct bootstrap_configs *all, struct slice endpoint,
                                                    struct slice bytes, store_done_fn *done, void *arg) {
    if (is_changing(all, endpoint))
        return BOOTSTRAP_CONFIGS_BUSY;
    if (all->count >= BOOTSTRAP_CONFIGS_MAX || all->bytes + bytes.len > BOOTSTRAP_CONFIGS_BYTES_MAX)
        return BOOTSTRAP_CONFIGS_TOO_MANY;
    return change(all, endpoint, bytes, false, done, arg);
}

enum bootstrap_configs_result bootstrap_configs_delete(struct bootstrap_configs *all, struct slice endpoint,
                                                       store_done_fn *done, void *arg) {
    if (endpoint.len > CREDENTIAL_ENDPOINT_MAX)
        return BOOTSTRAP_CONFIGS_MISSING;
    if (is_changing(all, endpoint))
        return BOOTSTRAP_CONFIGS_BUSY;
    if (find(all, endpoint) == NULL)
        return BOOTSTRAP_CONFIGS_MISSING;
    return change(all, endpoint, SLICE_NONE, true, done, arg);
}
