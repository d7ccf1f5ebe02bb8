#include "server/trace_store.h"

#include <stdlib.h>

#include "common/base/hash.h"

enum {
    BLOCK = 512,
    BLOCK_BYTES = BLOCK - 8,
    BUCKETS_MIN = 256,
    KEY_MAX = 256 + 32, /* of an address, or an endpoint name that is longer than any that is taken */
    PORT_AT = offsetof(struct address, port),
    SHARE = 4, /* of the pool that one tape may have, and peers before devices go */
};

/* Numbered from 1; 0 is none. */
struct block {
    uint32_t next;
    uint16_t begin, end; /* what is used of it */
    uint8_t bytes[BLOCK_BYTES];
};

_Static_assert(sizeof(struct block) == BLOCK, "blocks have no padding");

struct queue {
    uint32_t first, last; /* blocks */
    uint32_t blocks, entries;
    size_t bytes;
};

/* What an entry begins with. Addresses follow, then `wire` and `content`. */
struct head {
    uint64_t id, time_ms;
    uint32_t wire, content; /* bytes */
    uint32_t size, offset;
    uint32_t back; /* id - of; 0: none */
    uint8_t kind, transport, framing, listener;
    bool sent, is_plain;
    uint8_t peer_family, local_family; /* enum address_family */
};

/* How a tape is found: by a name, which begins with a zero byte, or by an address, which does not. */
struct key {
    struct key *hash_next, **hash_self;
    uint64_t hash;
    struct key *next; /* of the tape: the newest address first, its name last */
    struct trace_tape *tape;
    uint32_t len;
    uint8_t bytes[];
};

struct trace_tape {
    struct trace_tape *older, *newer; /* of its list */
    struct key *keys;
    struct key *name;        /* among them; NULL: nobody's */
    const struct link *link; /* on which it was told last, compared only; NULL: none */
    uint32_t owner;          /* of that link then */
    uint32_t number;         /* in `numbered`; 0: none yet */
    struct queue ring, pinned;
};

/* Tapes by when they were last written to. */
struct list {
    struct trace_tape *oldest, *newest;
    size_t count, blocks;
};

struct trace_store {
    struct block *blocks;                                /* [0] is not used */
    uint32_t block_count, fresh, free_first, free_count; /* from `fresh` on they were never used */
    uint32_t entries_max;
    uint64_t last_id, dropped;
    struct list devices, peers;
    struct hash_key key;
    struct key **buckets;
    size_t bucket_count, key_count;
    struct trace_tape **numbered; /* [0] is not used; a free place is NULL */
    uint32_t numbered_cap, number_next;
    uint8_t *scratch;
};

/* ---- blocks ---- */

static uint32_t blocks_left(const struct trace_store *store) {
    return store->free_count + (store->block_count + 1 - store->fresh);
}

static uint32_t take_block(struct trace_store *store) {
    uint32_t number = store->free_first;
    if (number != 0) {
        store->free_first = store->blocks[number].next;
        store->free_count--;
    } else {
        number = store->fresh++;
    }
    store->blocks[number].next = 0;
    store->blocks[number].begin = store->blocks[number].end = 0;
    return number;
}

static void give_block(struct trace_store *store, uint32_t number) {
    struct block *block = &store->blocks[number];
    memset(block->bytes, 0, sizeof block->bytes);
    block->next = store->free_first;
    store->free_first = number;
    store->free_count++;
}

static void queue_put(struct trace_store *store, struct queue *queue, const void *bytes, size_t len) {
    const uint8_t *from = bytes;
    queue->bytes += len;
    while (len > 0) {
        struct block *block = queue->last == 0 ? NULL : &store->blocks[queue->last];
        if (block == NULL || block->end == BLOCK_BYTES) {
            uint32_t number = take_block(store);
            if (block == NULL)
                queue->first = number;
            else
                block->next = number;
            queue->last = number;
            queue->blocks++;
            continue;
        }
        size_t part = (size_t)(BLOCK_BYTES - block->end) < len ? (size_t)(BLOCK_BYTES - block->end) : len;
        memcpy(block->bytes + block->end, from, part);
        block->end = (uint16_t)(block->end + part);
        from += part;
        len -= part;
    }
}

/* Read from a place in a queue, and go on from there. */
static void read_on(const struct trace_store *store, uint32_t *number, uint16_t *at, void *out, size_t len) {
    uint8_t *to = out;
    while (len > 0) {
        const struct block *block = &store->blocks[*number];
        if (*at == block->end) {
            *number = block->next;
            *at = store->blocks[*number].begin;
            continue;
        }
        size_t part = (size_t)(block->end - *at) < len ? (size_t)(block->end - *at) : len;
        if (to != NULL) {
            memcpy(to, block->bytes + *at, part);
            to += part;
        }
        *at = (uint16_t)(*at + part);
        len -= part;
    }
}

/* Bytes of an address as it is kept: from `port` on as far as its family has them. */
static size_t address_len(uint8_t family) {
    return offsetof(struct address, ip) - PORT_AT + (family == ADDRESS_IPV4 ? 4 : family == ADDRESS_IPV6 ? 16 : 0);
}

static size_t body_of(const struct head *head) {
    return address_len(head->peer_family) + address_len(head->local_family) + head->wire + head->content;
}

/* The oldest entry leaves. */
static void queue_pop(struct trace_store *store, struct queue *queue) {
    struct head head;
    uint32_t number = queue->first;
    uint16_t at = store->blocks[number].begin;
    read_on(store, &number, &at, &head, sizeof head);
    size_t left = sizeof head + body_of(&head);
    queue->bytes -= left;
    queue->entries--;
    while (left > 0) {
        struct block *block = &store->blocks[queue->first];
        size_t part = (size_t)(block->end - block->begin) < left ? (size_t)(block->end - block->begin) : left;
        memset(block->bytes + block->begin, 0, part);
        block->begin = (uint16_t)(block->begin + part);
        left -= part;
        if (block->begin < block->end)
            continue;
        uint32_t next = block->next;
        give_block(store, queue->first);
        queue->blocks--;
        queue->first = next;
        if (next == 0)
            queue->last = 0;
    }
}

static void queue_clear(struct trace_store *store, struct queue *queue) {
    while (queue->first != 0) {
        uint32_t next = store->blocks[queue->first].next;
        give_block(store, queue->first);
        queue->first = next;
    }
    *queue = (struct queue){0};
}

/* What is in `more` follows. */
static void queue_join(struct trace_store *store, struct queue *queue, struct queue *more) {
    if (more->first == 0)
        return;
    if (queue->last == 0)
        queue->first = more->first;
    else
        store->blocks[queue->last].next = more->first;
    queue->last = more->last;
    queue->blocks += more->blocks;
    queue->entries += more->entries;
    queue->bytes += more->bytes;
    *more = (struct queue){0};
}

/* ---- lists of tapes ---- */

static struct list *list_of(struct trace_store *store, const struct trace_tape *tape) {
    return tape->name != NULL ? &store->devices : &store->peers;
}

static size_t blocks_of(const struct trace_tape *tape) {
    return (size_t)tape->ring.blocks + tape->pinned.blocks;
}

static void list_remove(struct list *list, struct trace_tape *tape) {
    *(tape->older != NULL ? &tape->older->newer : &list->oldest) = tape->newer;
    *(tape->newer != NULL ? &tape->newer->older : &list->newest) = tape->older;
    list->count--;
    list->blocks -= blocks_of(tape);
}

static void list_add(struct list *list, struct trace_tape *tape) {
    tape->newer = NULL;
    tape->older = list->newest;
    *(list->newest != NULL ? &list->newest->newer : &list->oldest) = tape;
    list->newest = tape;
    list->count++;
    list->blocks += blocks_of(tape);
}

/* ---- keys ---- */

static struct key **bucket_of(const struct trace_store *store, uint64_t hash) {
    return &store->buckets[hash & (store->bucket_count - 1)];
}

static void hash_in(struct trace_store *store, struct key *key) {
    struct key **bucket = bucket_of(store, key->hash);
    key->hash_next = *bucket;
    key->hash_self = bucket;
    if (key->hash_next != NULL)
        key->hash_next->hash_self = &key->hash_next;
    *bucket = key;
}

static struct key *key_find_hashed(const struct trace_store *store, struct slice bytes, uint64_t hash) {
    struct key *key = *bucket_of(store, hash);
    while (key != NULL && (key->hash != hash || !slice_equal(slice_of(key->bytes, key->len), bytes)))
        key = key->hash_next;
    return key;
}

static struct key *key_find(const struct trace_store *store, struct slice bytes) {
    return key_find_hashed(store, bytes, hash_slice(&store->key, bytes));
}

/* Twice the buckets; without memory the chains just grow. */
static void grow_buckets(struct trace_store *store) {
    struct key **old = store->buckets;
    size_t old_count = store->bucket_count;
    struct key **fresh = calloc(old_count * 2, sizeof *fresh);
    if (fresh == NULL)
        return;
    store->buckets = fresh;
    store->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        for (struct key *key = old[i], *next; key != NULL; key = next) {
            next = key->hash_next;
            hash_in(store, key);
        }
    }
    free(old);
}

static void key_remove(struct trace_store *store, struct key *key) {
    struct key **at = &key->tape->keys;
    *key->hash_self = key->hash_next;
    if (key->hash_next != NULL)
        key->hash_next->hash_self = key->hash_self;
    while (*at != key)
        at = &(*at)->next;
    *at = key->next;
    if (key->tape->name == key)
        key->tape->name = NULL;
    store->key_count--;
    free(key);
}

/* The tape is found by these bytes from now on, and no other one. NULL when out of memory. */
static struct key *key_add(struct trace_store *store, struct trace_tape *tape, struct slice bytes) {
    uint64_t hash = hash_slice(&store->key, bytes);
    struct key *key = key_find_hashed(store, bytes, hash);
    if (key != NULL && key->tape == tape)
        return key;
    if (key != NULL)
        key_remove(store, key);
    key = malloc(sizeof *key + bytes.len);
    if (key == NULL)
        return NULL;
    key->tape = tape;
    key->hash = hash;
    key->len = (uint32_t)bytes.len;
    memcpy(key->bytes, bytes.data, bytes.len);
    hash_in(store, key);
    key->next = tape->keys;
    tape->keys = key;
    if (++store->key_count > store->bucket_count)
        grow_buckets(store);
    return key;
}

static struct slice name_key(struct slice endpoint, uint8_t memory[KEY_MAX]) {
    size_t len = endpoint.len < KEY_MAX - 1 ? endpoint.len : KEY_MAX - 1;
    memory[0] = 0;
    if (len > 0)
        memcpy(memory + 1, endpoint.data, len);
    return slice_of(memory, 1 + len);
}

static struct slice address_key(uint8_t listener, const struct address *address, uint8_t memory[KEY_MAX]) {
    memory[0] = 1;
    memory[1] = listener;
    memcpy(memory + 2, address, sizeof *address);
    return slice_of(memory, 2 + sizeof *address);
}

/* One address more; the oldest goes when there are too many. */
static void add_address(struct trace_store *store, struct trace_tape *tape, uint8_t listener,
                        const struct address *address) {
    uint8_t memory[KEY_MAX];
    size_t count = 0;
    struct key *oldest = NULL;
    if (key_add(store, tape, address_key(listener, address, memory)) == NULL)
        return;
    for (struct key *key = tape->keys; key != NULL; key = key->next) {
        if (key->bytes[0] == 0)
            continue;
        count++;
        oldest = key;
    }
    if (count > TRACE_ADDRESSES)
        key_remove(store, oldest);
}

/* ---- tapes ---- */

static struct trace_tape *tape_new(struct trace_store *store) {
    struct trace_tape *tape = calloc(1, sizeof *tape);
    if (tape != NULL)
        list_add(&store->peers, tape);
    return tape;
}

static bool set_name(struct trace_store *store, struct trace_tape *tape, struct slice endpoint) {
    uint8_t memory[KEY_MAX];
    struct key *name = key_add(store, tape, name_key(endpoint, memory));
    if (name == NULL)
        return false;
    list_remove(&store->peers, tape);
    tape->name = name;
    list_add(&store->devices, tape);
    return true;
}

/* A place for it, near those that were given last. There are as many as twice the tapes, so that one is found soon. */
static uint32_t give_number(struct trace_store *store, struct trace_tape *tape) {
    size_t tapes = store->devices.count + store->peers.count;
    if (tapes * 2 >= store->numbered_cap) {
        uint32_t cap = store->numbered_cap == 0 ? 256 : store->numbered_cap * 2;
        struct trace_tape **grown = realloc(store->numbered, cap * sizeof(struct trace_tape *));
        if (grown == NULL)
            return 0;
        memset(grown + store->numbered_cap, 0, (cap - store->numbered_cap) * sizeof(struct trace_tape *));
        store->numbered = grown;
        store->numbered_cap = cap;
    }
    do {
        store->number_next = store->number_next + 1 < store->numbered_cap ? store->number_next + 1 : 1;
    } while (store->numbered[store->number_next] != NULL);
    store->numbered[store->number_next] = tape;
    return store->number_next;
}

uint32_t trace_tape_number(struct trace_store *store, struct trace_tape *tape, const struct link *link) {
    tape->link = link;
    tape->owner = link->owner;
    if (tape->number == 0)
        tape->number = give_number(store, tape);
    return tape->number;
}

struct trace_tape *trace_tape_at(const struct trace_store *store, uint32_t number, const struct link *link) {
    struct trace_tape *tape = number == 0 || number >= store->numbered_cap ? NULL : store->numbered[number];
    return tape != NULL && tape->link == link && tape->owner == link->owner ? tape : NULL;
}

/* It has to be found anew. */
static void forget_link(struct trace_tape *tape) {
    if (tape != NULL)
        tape->link = NULL;
}

static void free_tape(struct trace_store *store, struct trace_tape *tape) {
    if (tape->number != 0)
        store->numbered[tape->number] = NULL;
    free(tape);
}

void trace_store_drop(struct trace_store *store, struct trace_tape *tape) {
    list_remove(list_of(store, tape), tape);
    store->dropped += (uint64_t)tape->ring.entries + tape->pinned.entries;
    queue_clear(store, &tape->ring);
    queue_clear(store, &tape->pinned);
    while (tape->keys != NULL)
        key_remove(store, tape->keys);
    free_tape(store, tape);
}

void trace_store_clear(struct trace_store *store) {
    while (store->devices.oldest != NULL)
        trace_store_drop(store, store->devices.oldest);
    while (store->peers.oldest != NULL)
        trace_store_drop(store, store->peers.oldest);
}

struct trace_tape *trace_device(const struct trace_store *store, struct slice endpoint) {
    uint8_t memory[KEY_MAX];
    const struct key *key = key_find(store, name_key(endpoint, memory));
    return key == NULL ? NULL : key->tape;
}

struct trace_tape *trace_peer(const struct trace_store *store, uint8_t listener, const struct address *address) {
    uint8_t memory[KEY_MAX];
    const struct key *key = key_find(store, address_key(listener, address, memory));
    return key == NULL ? NULL : key->tape;
}

struct trace_tape *trace_make_device(struct trace_store *store, struct slice endpoint) {
    struct trace_tape *tape = trace_device(store, endpoint);
    if (tape != NULL || (tape = tape_new(store)) == NULL)
        return tape;
    if (set_name(store, tape, endpoint))
        return tape;
    trace_store_drop(store, tape);
    return NULL;
}

struct trace_tape *trace_make_peer(struct trace_store *store, uint8_t listener, const struct address *address) {
    struct trace_tape *tape = trace_peer(store, listener, address);
    if (tape != NULL || (tape = tape_new(store)) == NULL)
        return tape;
    add_address(store, tape, listener, address);
    if (tape->keys != NULL)
        return tape;
    trace_store_drop(store, tape);
    return NULL;
}

struct slice trace_tape_endpoint(const struct trace_tape *tape) {
    return tape->name == NULL ? SLICE_NONE : slice_of(tape->name->bytes + 1, tape->name->len - 1);
}

static void trim(struct trace_store *store, struct trace_tape *tape);

/* What `from`, which is nobody's, has becomes `to`'s. */
static void merge(struct trace_store *store, struct trace_tape *from, struct trace_tape *to) {
    list_remove(&store->peers, from);
    list_remove(&store->devices, to);
    queue_join(store, &to->ring, &from->ring);
    queue_join(store, &to->pinned, &from->pinned);
    while (from->keys != NULL) {
        struct key *key = from->keys;
        uint8_t listener = key->bytes[1];
        struct address address;
        memcpy(&address, key->bytes + 2, sizeof address);
        key_remove(store, key);
        add_address(store, to, listener, &address);
    }
    free_tape(store, from);
    list_add(&store->devices, to);
    trim(store, to);
}

void trace_store_follow(struct trace_store *store, struct slice endpoint, uint8_t listener,
                        const struct address *address) {
    struct trace_tape *there = trace_peer(store, listener, address), *own = trace_device(store, endpoint);
    forget_link(there);
    forget_link(own);
    if (there != NULL && there->name == NULL) {
        if (own == NULL)
            set_name(store, there, endpoint);
        else
            merge(store, there, own);
    } else if (own != NULL) {
        add_address(store, own, listener, address);
    }
}

struct trace_tape *trace_store_part(struct trace_store *store, uint8_t listener, const struct address *address) {
    struct trace_tape *tape = trace_peer(store, listener, address);
    forget_link(tape);
    if (tape != NULL && tape->name != NULL) {
        uint8_t memory[KEY_MAX];
        key_remove(store, key_find(store, address_key(listener, address, memory)));
    }
    return trace_make_peer(store, listener, address);
}

void trace_store_move(struct trace_store *store, uint8_t listener, const struct address *from,
                      const struct address *to) {
    struct trace_tape *tape = trace_peer(store, listener, from), *there = trace_peer(store, listener, to);
    forget_link(tape);
    forget_link(there);
    if (tape != NULL && (there == NULL || there->name == NULL))
        add_address(store, tape, listener, to);
    if (there != NULL && there != tape && there->keys == NULL)
        trace_store_drop(store, there);
}

/* ---- room ---- */

static void pop(struct trace_store *store, struct trace_tape *tape, struct queue *queue) {
    struct list *list = list_of(store, tape);
    uint32_t before = queue->blocks;
    queue_pop(store, queue);
    list->blocks -= before - queue->blocks;
    store->dropped++;
}

/* What a tape has too much. */
static void trim(struct trace_store *store, struct trace_tape *tape) {
    while (tape->pinned.entries > TRACE_PINNED_MAX || tape->pinned.bytes > TRACE_PINNED_BYTES)
        pop(store, tape, &tape->pinned);
    while (tape->ring.entries > store->entries_max || tape->ring.blocks > store->block_count / SHARE)
        pop(store, tape, &tape->ring);
}

/* The tape that has to go for another's sake, but not this one. */
static struct trace_tape *victim(struct trace_store *store, const struct trace_tape *tape) {
    struct list *peers = &store->peers, *devices = &store->devices;
    struct list *first = peers->blocks > store->block_count / SHARE ? peers : devices;
    struct list *second = first == peers ? devices : peers;
    struct trace_tape *candidates[] = {first->oldest, first->oldest != NULL ? first->oldest->newer : NULL,
                                       second->oldest, second->oldest != NULL ? second->oldest->newer : NULL};
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        if (candidates[i] != NULL && candidates[i] != tape)
            return candidates[i];
    }
    return NULL;
}

/* Room for so many bytes. False: there is none. */
static bool make_room(struct trace_store *store, struct trace_tape *tape, size_t len) {
    size_t needed = len / BLOCK_BYTES + 2;
    if (needed > store->block_count / SHARE)
        return false;
    while (blocks_left(store) < needed) {
        struct trace_tape *other = victim(store, tape);
        if (other != NULL)
            trace_store_drop(store, other);
        else if (tape->ring.entries > 0)
            pop(store, tape, &tape->ring);
        else if (tape->pinned.entries > 0)
            pop(store, tape, &tape->pinned);
        else
            return false;
    }
    return true;
}

/* ---- entries ---- */

static uint32_t cut(size_t len) {
    return len < TRACE_BYTES_MAX ? (uint32_t)len : TRACE_BYTES_MAX;
}

uint64_t trace_append(struct trace_store *store, struct trace_tape *tape, const struct trace_entry *entry,
                      bool pinned) {
    struct queue *queue = pinned ? &tape->pinned : &tape->ring;
    struct head head = {
        .id = store->last_id + 1,
        .time_ms = entry->time_ms,
        .wire = cut(entry->wire.len),
        .content = entry->is_plain ? 0 : cut(entry->content.len),
        .size = entry->size,
        .offset = entry->offset,
        .back = entry->of == 0 ? 0 : (uint32_t)(store->last_id + 1 - entry->of),
        .kind = entry->kind,
        .transport = entry->transport,
        .framing = entry->framing,
        .listener = entry->listener,
        .sent = entry->sent,
        .is_plain = entry->is_plain,
        .peer_family = (uint8_t)entry->peer.family,
        .local_family = (uint8_t)entry->local.family,
    };
    if (!make_room(store, tape, sizeof head + body_of(&head)))
        return 0;
    store->last_id++;
    list_remove(list_of(store, tape), tape);
    queue_put(store, queue, &head, sizeof head);
    queue_put(store, queue, (const uint8_t *)&entry->peer + PORT_AT, address_len(head.peer_family));
    queue_put(store, queue, (const uint8_t *)&entry->local + PORT_AT, address_len(head.local_family));
    queue_put(store, queue, entry->wire.data, head.wire);
    queue_put(store, queue, entry->content.data, head.content);
    queue->entries++;
    list_add(list_of(store, tape), tape);
    trim(store, tape);
    return head.id;
}

uint64_t trace_last_id(const struct trace_store *store) {
    return store->last_id;
}

static size_t list_queue(const struct trace_store *store, const struct trace_tape *tape, const struct queue *queue,
                         struct trace_ref *refs) {
    uint32_t number = queue->first;
    uint16_t at = number == 0 ? 0 : store->blocks[number].begin;
    for (uint32_t i = 0; i < queue->entries; i++) {
        struct head head;
        refs[i] = (struct trace_ref){.tape = tape, .block = number, .at = at};
        read_on(store, &number, &at, &head, sizeof head);
        read_on(store, &number, &at, NULL, body_of(&head));
        refs[i].id = head.id;
    }
    return queue->entries;
}

static size_t list_tape(const struct trace_store *store, const struct trace_tape *tape, struct trace_ref *refs) {
    size_t count = list_queue(store, tape, &tape->pinned, refs);
    return count + list_queue(store, tape, &tape->ring, refs + count);
}

static int by_id(const void *a, const void *b) {
    uint64_t left = ((const struct trace_ref *)a)->id, right = ((const struct trace_ref *)b)->id;
    return left < right ? -1 : left > right;
}

struct trace_ref *trace_list(const struct trace_store *store, const struct trace_tape *tape, size_t *count) {
    const struct list *lists[] = {&store->devices, &store->peers};
    size_t total = tape == NULL ? 0 : (size_t)tape->ring.entries + tape->pinned.entries;
    for (size_t i = 0; i < 2 && tape == NULL; i++) {
        for (const struct trace_tape *one = lists[i]->oldest; one != NULL; one = one->newer)
            total += (size_t)one->ring.entries + one->pinned.entries;
    }
    *count = 0;
    struct trace_ref *refs = total == 0 ? NULL : malloc(total * sizeof *refs);
    if (refs == NULL)
        return NULL;
    if (tape != NULL)
        *count = list_tape(store, tape, refs);
    for (size_t i = 0; i < 2 && tape == NULL; i++) {
        for (const struct trace_tape *one = lists[i]->oldest; one != NULL; one = one->newer)
            *count += list_tape(store, one, refs + *count);
    }
    qsort(refs, *count, sizeof *refs, by_id);
    return refs;
}

static void read_address(const struct trace_store *store, uint32_t *block, uint16_t *at, uint8_t family,
                         struct address *address) {
    *address = (struct address){.family = family};
    read_on(store, block, at, (uint8_t *)address + PORT_AT, address_len(family));
}

bool trace_get(struct trace_store *store, const struct trace_ref *ref, struct trace_entry *entry) {
    struct head head;
    uint32_t block = ref->block;
    uint16_t at = ref->at;
    if (store->scratch == NULL && (store->scratch = malloc(2 * TRACE_BYTES_MAX)) == NULL)
        return false;
    read_on(store, &block, &at, &head, sizeof head);
    *entry = (struct trace_entry){
        .id = head.id,
        .time_ms = head.time_ms,
        .of = head.back == 0 ? 0 : head.id - head.back,
        .size = head.size,
        .offset = head.offset,
        .kind = head.kind,
        .transport = head.transport,
        .framing = head.framing,
        .listener = head.listener,
        .sent = head.sent,
        .is_plain = head.is_plain,
        .wire = slice_of(store->scratch, head.wire),
        .content = slice_of(store->scratch + head.wire, head.content),
        .endpoint = trace_tape_endpoint(ref->tape),
    };
    read_address(store, &block, &at, head.peer_family, &entry->peer);
    read_address(store, &block, &at, head.local_family, &entry->local);
    read_on(store, &block, &at, store->scratch, (size_t)head.wire + head.content);
    if (entry->is_plain)
        entry->content = entry->wire;
    return true;
}

struct trace_counters trace_store_counters(const struct trace_store *store) {
    return (struct trace_counters){
        .entries = store->last_id,
        .dropped = store->dropped,
        .bytes = (store->devices.blocks + store->peers.blocks) * BLOCK,
        .devices = store->devices.count,
        .peers = store->peers.count,
    };
}

/* ---- life ---- */

struct trace_store *trace_store_new(size_t bytes, uint32_t entries_max) {
    struct trace_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    store->entries_max = entries_max;
    store->block_count = (uint32_t)(bytes / BLOCK);
    store->fresh = 1; /* number 0 is none */
    store->blocks =
        calloc((size_t)store->block_count + 1, sizeof *store->blocks); /* memory that is not touched is not used */
    store->bucket_count = BUCKETS_MIN;
    store->buckets = calloc(store->bucket_count, sizeof(struct key *));
    store->key = hash_key_random();
    if (store->blocks != NULL && store->buckets != NULL)
        return store;
    free(store->blocks);
    free(store->buckets);
    free(store);
    return NULL;
}

void trace_store_free(struct trace_store *store) {
    if (store == NULL)
        return;
    trace_store_clear(store);
    if (store->scratch != NULL)
        explicit_bzero(store->scratch, 2 * TRACE_BYTES_MAX);
    free(store->scratch);
    free(store->blocks);
    free(store->buckets);
    free(store->numbered);
    free(store);
}
