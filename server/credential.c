/* An entry is one piece of memory, a few numbers with its bytes behind them, since there may be a million; callers see a
 * struct credential that is made of it. Entries lie in slots, so that a listing in pages shows each
 * once, and are found by keyed hashes of what names them: endpoint, and identity or fingerprint.
 *
 * A credential that is put gets its entry at once, without services: it is not in force, but its identity is taken. With
 * the commit it gets its services, and others of its endpoint and mode lose them. One change of an endpoint at a time, so
 * that what a failed commit undoes is never half of another change. */
#include "server/credential.h"

#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cbor.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/slab.h"
#include "server/slot_table.h"

enum {
    PLAIN_MAX = 768,                        /* of what is sealed */
    SEALED_MAX = PLAIN_MAX + SEAL_OVERHEAD, /* of a row */
    ROWS_MAX = 2 * CREDENTIAL_MODE_COUNT,   /* of an endpoint */
    PLAIN_FORM = 1,                         /* the first number in what is sealed */
    CONTEXT_MAX = CREDENTIAL_ENDPOINT_MAX + 32,
    SLOTS_MIN = 64,
    LINEAGE_MAX = INT32_MAX,
    TEXT_COUNT = 6,
    IDENTITY_TEXT = 1, /* which of them it is */
    VIEWS = 32,        /* a power of two */
};

struct entry {
    uint32_t slot;
    uint32_t lineage;
    uint8_t mode, services; /* enum credential_mode; services 0: waits for its commit */
    uint8_t aead;
    bool given : 1, has_fingerprint : 1, sha_512 : 1; /* sha_512: OSCORE's hkdf */
    bool one_name : 1;                                /* the identity is the endpoint's name, which is there once */
    uint8_t lens[TEXT_COUNT];                         /* of endpoint, identity, key, sender ID, salt and ID context */
    uint8_t bytes[]; /* these one after the other, then the fingerprint, if there is one */
};

_Static_assert(CREDENTIAL_ENDPOINT_MAX <= UINT8_MAX, "a length fits into a byte");

/* A credential as callers see it. */
struct view {
    struct credential credential; /* first member */
    uint32_t slot;
};

/* A change between its call and its commit. */
struct change {
    struct change *next;
    struct credentials *credentials;
    struct entry *added; /* NULL: a deletion */
    enum credential_mode mode;
    unsigned services;
    store_done_fn *done;
    void *arg;
    size_t endpoint_len;
    uint8_t endpoint[CREDENTIAL_ENDPOINT_MAX];
};

struct credentials {
    struct store *store;
    struct seal *seal;
    credential_gone_fn *gone;
    credential_put_fn *put; /* may be NULL */
    void *arg;
    struct hash_key key;
    struct slot_table endpoints;  /* by endpoint */
    struct slot_table identities; /* by mode and identity, or fingerprint */
    struct entry **slots;         /* NULL: free */
    uint32_t slot_end, slot_cap, free_hint;
    size_t count;
    uint32_t generation; /* less one */
    struct slab *slab;   /* entries */
    struct change *changes;
    struct view *views; /* VIEWS of them, handed out in turn */
    uint32_t *next_view;
};

/* ---- names ---- */

static const char *const mode_names[CREDENTIAL_MODE_COUNT] = {"none", "psk", "x509", "oscore"};
static const char *const service_names[] = {"", "management", "bootstrap", "both"};
const char *credential_mode_name(enum credential_mode mode) {
    return mode_names[mode];
}

bool credential_mode_parse(struct slice name, enum credential_mode *mode) {
    for (size_t i = 0; i < CREDENTIAL_MODE_COUNT; i++) {
        if (slice_is(name, mode_names[i])) {
            *mode = (enum credential_mode)i;
            return true;
        }
    }
    return false;
}

const char *credential_services_name(unsigned services) {
    return service_names[services & CREDENTIAL_EVERY_SERVICE];
}

bool credential_services_parse(struct slice name, unsigned *services) {
    for (unsigned i = 1; i < sizeof service_names / sizeof service_names[0]; i++) {
        if (slice_is(name, service_names[i])) {
            *services = i;
            return true;
        }
    }
    return false;
}

bool credential_endpoint_good(struct slice endpoint) {
    if (endpoint.len == 0 || endpoint.len > CREDENTIAL_ENDPOINT_MAX || !slice_is_utf8(endpoint))
        return false;
    for (size_t i = 0; i < endpoint.len; i++) {
        if (endpoint.data[i] < 0x20 || endpoint.data[i] == 0x7f)
            return false;
    }
    return true;
}

/* ---- entries ---- */

static void list_texts(struct credential *c, struct slice *texts[TEXT_COUNT]) {
    struct slice *list[TEXT_COUNT] = {&c->endpoint, &c->identity, &c->key, &c->sender_id, &c->salt, &c->id_context};
    memcpy(texts, list, sizeof list);
}

/* How many bytes of text `i` lie in the entry. */
static size_t own_len(const struct entry *e, size_t i) {
    return e->one_name && i == IDENTITY_TEXT ? 0 : e->lens[i];
}

/* Of the texts, all of them. */
static size_t texts_len(const struct entry *e) {
    size_t len = 0;
    for (size_t i = 0; i < TEXT_COUNT; i++)
        len += own_len(e, i);
    return len;
}

static size_t entry_len(const struct entry *e) {
    return sizeof *e + texts_len(e) + (e->has_fingerprint ? CREDENTIAL_FINGERPRINT : 0);
}

static struct entry *entry_new(struct credentials *all, const struct credential *credential) {
    struct credential copy = *credential;
    struct slice *texts[TEXT_COUNT];
    list_texts(&copy, texts);
    struct entry head = {.slot = SLOT_NONE,
                         .lineage = copy.lineage,
                         .mode = (uint8_t)copy.mode,
                         .services = (uint8_t)copy.services,
                         .aead = copy.aead,
                         .given = copy.given,
                         .has_fingerprint = copy.has_fingerprint,
                         .sha_512 = copy.hkdf == OSCORE_HKDF_SHA_512,
                         .one_name = copy.identity.len > 0 && slice_equal(copy.identity, copy.endpoint)};
    for (size_t i = 0; i < TEXT_COUNT; i++)
        head.lens[i] = (uint8_t)texts[i]->len;
    struct entry *e = slab_take(all->slab, entry_len(&head));
    if (e == NULL)
        return NULL;
    *e = head;
    uint8_t *at = e->bytes;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        if (own_len(e, i) > 0)
            memcpy(at, texts[i]->data, texts[i]->len);
        at += own_len(e, i);
    }
    if (e->has_fingerprint)
        memcpy(at, copy.fingerprint, sizeof copy.fingerprint);
    return e;
}

/* Its slices lie in the entry. */
static struct credential credential_of(const struct entry *e) {
    struct credential c = {.mode = (enum credential_mode)e->mode,
                           .services = e->services,
                           .aead = e->aead,
                           .given = e->given,
                           .lineage = e->lineage,
                           .has_fingerprint = e->has_fingerprint,
                           .hkdf = e->sha_512 ? OSCORE_HKDF_SHA_512 : OSCORE_HKDF_SHA_256};
    struct slice *texts[TEXT_COUNT];
    const uint8_t *at = e->bytes;
    list_texts(&c, texts);
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        *texts[i] = slice_of(at, own_len(e, i));
        at += own_len(e, i);
    }
    if (e->one_name)
        c.identity = c.endpoint;
    if (c.has_fingerprint)
        memcpy(c.fingerprint, at, sizeof c.fingerprint);
    return c;
}

static struct slice endpoint_of(const struct entry *e) {
    return slice_of(e->bytes, e->lens[0]);
}

static const struct credential *show(const struct credentials *all, const struct entry *e) {
    if (e == NULL)
        return NULL;
    struct view *view = &all->views[(*all->next_view)++ % VIEWS];
    *view = (struct view){credential_of(e), e->slot};
    return &view->credential;
}

static void entry_free(struct entry *e) {
    size_t len = entry_len(e);
    mbedtls_platform_zeroize(e, len);
    slab_give(e, len);
}

static uint32_t hash_endpoint(const struct credentials *all, struct slice endpoint) {
    return (uint32_t)(hash_slice(&all->key, endpoint) >> 32);
}

/* A fingerprint is told from a name by its kind. */
enum name_kind { NAMED_BY_PSK, NAMED_BY_FINGERPRINT, NAMED_BY_SUBJECT, NAMED_BY_RECIPIENT, NAMED_BY_NOTHING };

static enum name_kind kind_of(const struct credential *c) {
    switch (c->mode) {
    case CREDENTIAL_PSK:
        return NAMED_BY_PSK;
    case CREDENTIAL_X509:
        return c->has_fingerprint ? NAMED_BY_FINGERPRINT : c->identity.len > 0 ? NAMED_BY_SUBJECT : NAMED_BY_NOTHING;
    case CREDENTIAL_OSCORE:
        return NAMED_BY_RECIPIENT;
    default:
        return NAMED_BY_NOTHING;
    }
}

static struct slice name_of(const struct credential *c) {
    return kind_of(c) == NAMED_BY_FINGERPRINT ? slice_of(c->fingerprint, sizeof c->fingerprint) : c->identity;
}

static enum name_kind kind_of_entry(const struct entry *e) {
    return kind_of(&(struct credential){.mode = (enum credential_mode)e->mode,
                                        .has_fingerprint = e->has_fingerprint,
                                        .identity = slice_of(NULL, e->lens[IDENTITY_TEXT])});
}

static struct slice name_of_entry(const struct entry *e) {
    if (kind_of_entry(e) != NAMED_BY_FINGERPRINT)
        return slice_of(e->one_name ? e->bytes : e->bytes + e->lens[0], e->lens[IDENTITY_TEXT]);
    return slice_of(e->bytes + texts_len(e), CREDENTIAL_FINGERPRINT);
}

static uint32_t hash_name(const struct credentials *all, enum name_kind kind, struct slice name) {
    return (uint32_t)(hash_slice(&all->key, name) >> 32) + (uint32_t)kind;
}

static bool take_slot(struct credentials *all, struct entry *e) {
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
    e->slot = all->free_hint;
    all->slots[e->slot] = e;
    if (e->slot == all->slot_end)
        all->slot_end++;
    return true;
}

static bool add_entry(struct credentials *all, struct entry *e) {
    const struct credential c = credential_of(e);
    uint32_t endpoint_hash = hash_endpoint(all, c.endpoint);
    enum name_kind kind = kind_of(&c);
    uint32_t name_hash = hash_name(all, kind, name_of(&c));
    if (all->count >= CREDENTIALS_MAX || !slot_table_reserve(&all->endpoints, endpoint_hash) ||
        (kind != NAMED_BY_NOTHING && !slot_table_reserve(&all->identities, name_hash)) || !take_slot(all, e))
        return false;
    slot_table_insert(&all->endpoints, endpoint_hash, e->slot);
    if (kind != NAMED_BY_NOTHING)
        slot_table_insert(&all->identities, name_hash, e->slot);
    all->count++;
    return true;
}

static void remove_entry(struct credentials *all, struct entry *e) {
    const struct credential c = credential_of(e);
    enum name_kind kind = kind_of(&c);
    slot_table_remove(&all->endpoints, hash_endpoint(all, c.endpoint), e->slot);
    if (kind != NAMED_BY_NOTHING)
        slot_table_remove(&all->identities, hash_name(all, kind, name_of(&c)), e->slot);
    all->slots[e->slot] = NULL;
    if (e->slot < all->free_hint)
        all->free_hint = e->slot;
    all->count--;
    entry_free(e);
}

/* ---- finding ---- */

/* Entries of an endpoint, pending ones too. */
struct entry_search {
    const struct credentials *all;
    struct slice endpoint;
    struct slot_search search;
    bool begun;
};

static struct entry *next_of(struct entry_search *s) {
    uint32_t slot;
    do {
        slot = s->begun ? slot_search_next(&s->search)
                        : slot_search_first(&s->search, &s->all->endpoints, hash_endpoint(s->all, s->endpoint));
        s->begun = true;
    } while (slot != SLOT_NONE && !slice_equal(endpoint_of(s->all->slots[slot]), s->endpoint));
    return slot == SLOT_NONE ? NULL : s->all->slots[slot];
}

static struct entry_search entries_of(const struct credentials *all, struct slice endpoint) {
    return (struct entry_search){.all = all, .endpoint = endpoint};
}

static const struct credential *find(const struct credentials *all, enum name_kind kind, struct slice name,
                                     unsigned services) {
    struct slot_search search;
    const struct entry *found = NULL;
    for (uint32_t slot = slot_search_first(&search, &all->identities, hash_name(all, kind, name)); slot != SLOT_NONE;
         slot = slot_search_next(&search)) {
        const struct entry *e = all->slots[slot];
        if (kind_of_entry(e) != kind || !slice_equal(name_of_entry(e), name) || (e->services & services) == 0)
            continue;
        if (found == NULL || (e->services & services & CREDENTIAL_MANAGEMENT) != 0)
            found = e;
    }
    return show(all, found);
}

const struct credential *credentials_find_psk(const struct credentials *all, struct slice identity, unsigned services) {
    return find(all, NAMED_BY_PSK, identity, services);
}

void credentials_expect_psk(const struct credentials *all, struct slice identity, bool is_near) {
    struct slot_search search;
    uint32_t hash = hash_name(all, NAMED_BY_PSK, identity), slot;
    if (!is_near)
        slot_table_expect(&all->identities, hash);
    else if ((slot = slot_search_first(&search, &all->identities, hash)) != SLOT_NONE)
        __builtin_prefetch(all->slots[slot]);
}

const struct credential *credentials_find_fingerprint(const struct credentials *all,
                                                      const uint8_t fingerprint[CREDENTIAL_FINGERPRINT],
                                                      unsigned services) {
    return find(all, NAMED_BY_FINGERPRINT, slice_of(fingerprint, CREDENTIAL_FINGERPRINT), services);
}

const struct credential *credentials_find_subject(const struct credentials *all, struct slice name, unsigned services) {
    return find(all, NAMED_BY_SUBJECT, name, services);
}

const struct credential *credentials_find_recipient(const struct credentials *all, struct slice recipient_id,
                                                    unsigned services) {
    return find(all, NAMED_BY_RECIPIENT, recipient_id, services);
}

const struct credential *credentials_of(const struct credentials *all, struct slice endpoint,
                                        const struct credential *before) {
    if (all->count == 0) /* asked with every Update */
        return NULL;
    struct entry_search search = entries_of(all, endpoint);
    uint32_t passed = before == NULL ? SLOT_NONE : ((const struct view *)(const void *)before)->slot;
    for (struct entry *e; (e = next_of(&search)) != NULL;) {
        if (passed == SLOT_NONE && e->services != 0)
            return show(all, e);
        if (passed == e->slot)
            passed = SLOT_NONE;
    }
    return NULL;
}

const struct credential *credentials_next(const struct credentials *all, uint32_t *slot) {
    while (*slot < all->slot_end) {
        const struct entry *e = all->slots[(*slot)++];
        if (e != NULL && e->services != 0)
            return show(all, e);
    }
    return NULL;
}

size_t credentials_count(const struct credentials *all) {
    return all->count;
}

uint32_t credentials_generation(const struct credentials *all) {
    return all->generation + 1;
}

/* Whether another endpoint has what names this one. */
static bool is_taken(const struct credentials *all, const struct credential *credential) {
    struct slot_search search;
    enum name_kind kind = kind_of(credential);
    struct slice name = name_of(credential);
    if (kind == NAMED_BY_NOTHING)
        return false;
    for (uint32_t slot = slot_search_first(&search, &all->identities, hash_name(all, kind, name)); slot != SLOT_NONE;
         slot = slot_search_next(&search)) {
        const struct credential c = credential_of(all->slots[slot]);
        if (kind_of(&c) == kind && slice_equal(name_of(&c), name) && !slice_equal(c.endpoint, credential->endpoint))
            return true;
    }
    return false;
}

/* ---- rows ---- */

static struct slice context_of(struct slice endpoint, uint32_t mode, uint32_t services, uint8_t memory[CONTEXT_MAX]) {
    struct buffer context = buffer_over(memory, CONTEXT_MAX);
    buffer_printf(&context, "credential %u %u ", mode, services);
    buffer_put_slice(&context, endpoint);
    return buffer_slice(&context);
}

/* [form, identity, key, fingerprint, sender ID, salt, ID context, AEAD, HKDF, lineage] in CBOR; older rows end before
 * HKDF or before the lineage. */
static bool seal_row(struct seal *seal, const struct credential *c, unsigned services, struct buffer *out) {
    uint8_t plain_memory[PLAIN_MAX], context[CONTEXT_MAX];
    struct buffer plain = buffer_over(plain_memory, sizeof plain_memory);
    cbor_put_array(&plain, 10);
    cbor_put_unsigned(&plain, PLAIN_FORM);
    cbor_put_bytes(&plain, c->identity);
    cbor_put_bytes(&plain, c->key);
    cbor_put_bytes(&plain, slice_of(c->fingerprint, c->has_fingerprint ? sizeof c->fingerprint : 0));
    cbor_put_bytes(&plain, c->sender_id);
    cbor_put_bytes(&plain, c->salt);
    cbor_put_bytes(&plain, c->id_context);
    cbor_put_unsigned(&plain, c->aead);
    cbor_put_unsigned(&plain, c->hkdf);
    cbor_put_unsigned(&plain, c->lineage);
    bool sealed = !plain.overflow &&
                  seal_close(seal, context_of(c->endpoint, c->mode, services, context), buffer_slice(&plain), out);
    mbedtls_platform_zeroize(plain_memory, sizeof plain_memory);
    return sealed;
}

static bool read_bytes(struct cbor_reader *reader, size_t max, struct slice *bytes) {
    struct cbor_item item;
    if (!cbor_read(reader, &item) || item.type != CBOR_BYTES || item.bytes.len > max)
        return false;
    *bytes = item.bytes;
    return true;
}

static bool read_plain(struct slice plain, struct credential *c) {
    struct cbor_reader reader = cbor_reader_over(plain, NULL);
    struct cbor_item item;
    struct slice fingerprint;
    if (!cbor_read(&reader, &item) || item.type != CBOR_ARRAY || !cbor_more(&reader) || !cbor_read(&reader, &item) ||
        item.type != CBOR_UNSIGNED || item.number != PLAIN_FORM ||
        !read_bytes(&reader, CREDENTIAL_IDENTITY_MAX, &c->identity) ||
        !read_bytes(&reader, CREDENTIAL_KEY_MAX, &c->key) ||
        !read_bytes(&reader, CREDENTIAL_FINGERPRINT, &fingerprint) ||
        !read_bytes(&reader, CREDENTIAL_OSCORE_ID_MAX, &c->sender_id) ||
        !read_bytes(&reader, CREDENTIAL_SECRET_MAX, &c->salt) ||
        !read_bytes(&reader, CREDENTIAL_CONTEXT_MAX, &c->id_context) || !cbor_read(&reader, &item) ||
        item.type != CBOR_UNSIGNED || item.number > UINT8_MAX)
        return false;
    c->aead = (uint8_t)item.number;
    if (cbor_more(&reader)) {
        if (!cbor_read(&reader, &item) || item.type != CBOR_UNSIGNED || item.number > OSCORE_HKDF_SHA_512)
            return false;
        c->hkdf = (enum oscore_hkdf)item.number;
    }
    if (cbor_more(&reader)) {
        if (!cbor_read(&reader, &item) || item.type != CBOR_UNSIGNED || item.number > LINEAGE_MAX || cbor_more(&reader))
            return false;
        c->lineage = (uint32_t)item.number;
    }
    if (!cbor_at_end(&reader))
        return false;
    c->has_fingerprint = fingerprint.len == CREDENTIAL_FINGERPRINT;
    if (c->has_fingerprint)
        memcpy(c->fingerprint, fingerprint.data, fingerprint.len);
    return true;
}

struct loading {
    struct credentials *all;
    size_t skipped;
};

static void load(void *arg, const struct store_credential *row) {
    struct loading *loading = arg;
    struct credentials *all = loading->all;
    uint8_t plain_memory[PLAIN_MAX], context[CONTEXT_MAX];
    struct buffer plain = buffer_over(plain_memory, sizeof plain_memory);
    struct credential credential = {
        .endpoint = row->endpoint, .mode = (enum credential_mode)row->mode, .services = row->services};
    bool good =
        row->mode < CREDENTIAL_MODE_COUNT && row->services >= 1 && row->services <= CREDENTIAL_EVERY_SERVICE &&
        row->endpoint.len <= CREDENTIAL_ENDPOINT_MAX &&
        seal_open(all->seal, context_of(row->endpoint, row->mode, row->services, context), row->sealed, &plain) &&
        read_plain(buffer_slice(&plain), &credential);
    struct entry *e = good ? entry_new(all, &credential) : NULL;
    mbedtls_platform_zeroize(plain_memory, sizeof plain_memory);
    if (e != NULL && add_entry(all, e))
        return;
    if (e != NULL)
        entry_free(e);
    loading->skipped++;
}

bool credentials_load(struct credentials *all, char *error, size_t error_size) {
    struct loading loading = {.all = all};
    if (!store_load_credentials(all->store, load, &loading, error, error_size))
        return false;
    if (loading.skipped == 0)
        return true;
    snprintf(error, error_size, "%zu stored credentials cannot be opened: the database was changed by somebody else",
             loading.skipped);
    return false;
}

/* ---- changing ---- */

struct credentials *credentials_new(struct store *store, struct seal *seal, credential_gone_fn *gone, void *arg) {
    struct credentials *all = calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->views = calloc(1, VIEWS * sizeof *all->views + sizeof *all->next_view);
    all->slab = slab_new();
    if (all->views == NULL || all->slab == NULL) {
        slab_free(all->slab);
        free(all->views);
        free(all);
        return NULL;
    }
    all->next_view = (uint32_t *)(void *)(all->views + VIEWS);
    all->store = store;
    all->seal = seal;
    all->gone = gone;
    all->arg = arg;
    all->key = hash_key_random();
    return all;
}

void credentials_watch(struct credentials *all, credential_put_fn *put) {
    all->put = put;
}

void credentials_free(struct credentials *all) {
    if (all == NULL)
        return;
    for (uint32_t slot = 0; slot < all->slot_end; slot++) {
        if (all->slots[slot] != NULL)
            entry_free(all->slots[slot]);
    }
    free(all->slots);
    free(all->views);
    slot_table_free(&all->endpoints);
    slot_table_free(&all->identities);
    slab_free(all->slab);
    free(all);
}

/* What is in force has changed. */
static void count_change(struct credentials *all) {
    all->generation = all->generation == UINT32_MAX - 1 ? 0 : all->generation + 1;
}

static bool is_affected(const struct entry *e, enum credential_mode mode, unsigned services) {
    return (mode == CREDENTIAL_MODE_COUNT || e->mode == mode) && (e->services & services) != 0;
}

/* What a change leaves of an entry. */
static unsigned left_of(const struct entry *e, enum credential_mode mode, unsigned services) {
    return is_affected(e, mode, services) ? e->services & ~services : e->services;
}

static bool has_affected(const struct credentials *all, struct slice endpoint, enum credential_mode mode,
                         unsigned services) {
    struct entry_search search = entries_of(all, endpoint);
    for (struct entry *e; (e = next_of(&search)) != NULL;) {
        if (is_affected(e, mode, services))
            return true;
    }
    return false;
}

/* One that is given and one that is stored are both in force when they have different names: the option stays what it
 * says, and what was stored besides is not lost with the next start. */
static bool stands_beside(const struct entry *one, const struct entry *other) {
    const struct credential a = credential_of(one), b = credential_of(other);
    return a.given != b.given && (kind_of(&a) != kind_of(&b) || !slice_equal(name_of(&a), name_of(&b)));
}

/* Take services from entries of an endpoint, and tell whoever must know. */
static void take_services(struct credentials *all, struct slice endpoint, enum credential_mode mode, unsigned services,
                          const struct entry *successor) {
    for (bool again = true; again;) {
        struct entry_search search = entries_of(all, endpoint);
        struct entry *e;
        do
            e = next_of(&search);
        while (e != NULL && (e == successor || !is_affected(e, mode, services) ||
                             (successor != NULL && stands_beside(e, successor))));
        again = e != NULL;
        if (!again)
            break;
        e->services &= (uint8_t)~services;
        const struct credential c = credential_of(e);
        all->gone(all->arg, &c, successor == NULL);
        if (e->services == 0)
            remove_entry(all, e);
    }
}

static void on_changed(void *arg, enum store_result result) {
    struct change *change = arg;
    struct credentials *all = change->credentials;
    struct change **link = &all->changes;
    while (*link != change)
        link = &(*link)->next;
    *link = change->next;
    if (result == STORE_OK)
        count_change(all);
    if (result == STORE_OK && change->added != NULL)
        change->added->services = (uint8_t)change->services;
    if (result == STORE_OK)
        take_services(all, slice_of(change->endpoint, change->endpoint_len), change->mode, change->services,
                      change->added);
    else if (change->added != NULL)
        remove_entry(all, change->added);
    if (result == STORE_OK && change->added != NULL && all->put != NULL) {
        const struct credential c = credential_of(change->added);
        all->put(all->arg, &c);
    }
    change->done(change->arg, result);
    free(change);
}

static bool is_changing(const struct credentials *all, struct slice endpoint) {
    for (const struct change *change = all->changes; change != NULL; change = change->next) {
        if (slice_equal(slice_of(change->endpoint, change->endpoint_len), endpoint))
            return true;
    }
    return false;
}

/* Write the endpoint's rows as they are after the change. False when there is no room: nothing was written. */
static bool write_rows(struct credentials *all, struct change *change, enum store_result *result) {
    uint8_t *memory = malloc(ROWS_MAX * SEALED_MAX);
    struct store_credential rows[ROWS_MAX];
    size_t count = 0;
    if (memory == NULL)
        return false;
    struct buffer sealed = buffer_over(memory, ROWS_MAX * SEALED_MAX);
    struct slice endpoint = slice_of(change->endpoint, change->endpoint_len);
    struct entry_search search = entries_of(all, endpoint);
    bool good = true;
    for (struct entry *e; good && (e = next_of(&search)) != NULL;) {
        const struct credential c = credential_of(e);
        unsigned services = e == change->added ? change->services : left_of(e, change->mode, change->services);
        if (services == 0 || c.given)
            continue;
        size_t at = sealed.len;
        good = count < ROWS_MAX && seal_row(all->seal, &c, services, &sealed);
        if (good)
            rows[count++] = (struct store_credential){
                .mode = (uint32_t)c.mode, .services = services, .sealed = slice_of(memory + at, sealed.len - at)};
    }
    if (good)
        *result = store_put_credentials(all->store, endpoint, rows, count, on_changed, change);
    free(memory);
    return good;
}

static struct change *change_new(struct credentials *all, struct slice endpoint, enum credential_mode mode,
                                 unsigned services, store_done_fn *done, void *arg) {
    struct change *change = malloc(sizeof *change);
    if (change == NULL)
        return NULL;
    *change = (struct change){
        .credentials = all, .mode = mode, .services = services, .done = done, .arg = arg, .endpoint_len = endpoint.len};
    memcpy(change->endpoint, endpoint.data, endpoint.len);
    return change;
}

/* Queue it. CREDENTIAL_TOO_MANY: out of memory, and the change is gone. */
static enum credential_result queue_change(struct credentials *all, struct change *change) {
    enum store_result result = STORE_OK;
    change->next = all->changes;
    all->changes = change;
    if (!write_rows(all, change, &result)) {
        all->changes = change->next;
        if (change->added != NULL)
            remove_entry(all, change->added);
        free(change);
        return CREDENTIAL_TOO_MANY;
    }
    if (result != STORE_OK)
        on_changed(change, result);
    return CREDENTIAL_ACCEPTED;
}

bool credentials_would_create(const struct credentials *all, const struct credential *credential) {
    return !has_affected(all, credential->endpoint, credential->mode, credential->services);
}

/* Of the one whose place it takes, or a new one. */
static uint32_t lineage_for(const struct credentials *all, const struct credential *credential) {
    struct entry_search search = entries_of(all, credential->endpoint);
    for (const struct entry *e; (e = next_of(&search)) != NULL;) {
        if (!e->given && is_affected(e, credential->mode, credential->services))
            return e->lineage;
    }
    return 1 + (uint32_t)random_below(LINEAGE_MAX);
}

enum credential_result credentials_put(struct credentials *all, const struct credential *credential,
                                       store_done_fn *done, void *arg) {
    if (is_changing(all, credential->endpoint))
        return CREDENTIAL_BUSY;
    if (is_taken(all, credential))
        return CREDENTIAL_CONFLICT;
    struct credential pending = *credential;
    pending.services = 0;
    pending.given = false;
    pending.lineage = lineage_for(all, credential);
    struct change *change = change_new(all, credential->endpoint, credential->mode, credential->services, done, arg);
    struct entry *e = entry_new(all, &pending);
    if (change == NULL || e == NULL || !add_entry(all, e)) {
        free(change);
        if (e != NULL)
            entry_free(e);
        return CREDENTIAL_TOO_MANY;
    }
    change->added = e;
    return queue_change(all, change);
}

enum credential_result credentials_delete(struct credentials *all, struct slice endpoint, enum credential_mode mode,
                                          unsigned services, store_done_fn *done, void *arg) {
    if (endpoint.len > CREDENTIAL_ENDPOINT_MAX)
        return CREDENTIAL_MISSING;
    if (is_changing(all, endpoint))
        return CREDENTIAL_BUSY;
    if (!has_affected(all, endpoint, mode, services))
        return CREDENTIAL_MISSING;
    struct change *change = change_new(all, endpoint, mode, services, done, arg);
    return change == NULL ? CREDENTIAL_TOO_MANY : queue_change(all, change);
}

bool credentials_give(struct credentials *all, const struct credential *credential) {
    if (is_taken(all, credential))
        return false;
    struct credential given = *credential;
    given.given = true;
    struct entry *e = entry_new(all, &given);
    if (e == NULL || !add_entry(all, e)) {
        if (e != NULL)
            entry_free(e);
        return false;
    }
    count_change(all);
    take_services(all, credential->endpoint, credential->mode, credential->services, e);
    return true;
}
