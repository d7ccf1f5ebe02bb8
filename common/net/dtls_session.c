#include "common/net/dtls_session.h"

#include <mbedtls/platform_util.h>
#include <stdlib.h>

#include "common/base/random.h"

enum { BUCKETS_MIN = 64 };

static uint8_t *key_bytes(struct dtls_session *session) {
    return session->keys.is_outside ? session->keys.outside : session->keys.inside;
}

/* ---- where a session is found ---- */

static size_t slot(const struct session_table *table, const void *data, size_t len, size_t buckets) {
    return hash_siphash(&table->key, data, len) & (buckets - 1);
}

/* Of what we have drawn at random ourselves: nobody can aim at a bucket, and any bits of it will do. */
static size_t slot_of_random(const void *data, size_t len, size_t buckets) {
    uint64_t word = 0;
    memcpy(&word, len > sizeof word ? (const uint8_t *)data + len - sizeof word : data,
           len < sizeof word ? len : sizeof word);
    return word * 0x9e3779b97f4a7c15u >> 32 & (buckets - 1);
}

static struct dtls_session **head_of_id(const struct session_table *table, uint64_t id) {
    const struct session_buckets *by = &table->by[SESSION_BY_ID];
    return &by->heads[slot_of_random(&id, sizeof id, by->count)];
}

static struct dtls_session **head_of_cid(const struct session_table *table, const uint8_t *cid, size_t len) {
    const struct session_buckets *by = &table->by[SESSION_BY_CID];
    return &by->heads[slot_of_random(cid, len, by->count)];
}

static struct dtls_session **head_of_address(const struct session_table *table, const struct listener *listener,
                                             const struct address *peer) {
    struct {
        struct address peer;
        uint64_t listener;
    } key = {*peer, listener->number};
    const struct session_buckets *by = &table->by[SESSION_BY_ADDRESS];
    return &by->heads[slot(table, &key, sizeof key, by->count)];
}

static struct dtls_session **head_of(const struct session_table *table, enum session_index index,
                                     const struct dtls_session *session) {
    if (index == SESSION_BY_ID)
        return head_of_id(table, session->id);
    if (index == SESSION_BY_CID)
        return head_of_cid(table, session_key_bytes(session), session->keys.cid_len);
    return head_of_address(table, session->link.listener, &session->link.peer);
}

static void put(struct session_table *table, enum session_index index, struct dtls_session *session) {
    struct dtls_session **head = head_of(table, index, session);
    session->hash_next[index] = *head;
    *head = session;
}

static void take(struct session_table *table, enum session_index index, struct dtls_session *session) {
    struct dtls_session **at = head_of(table, index, session);
    while (*at != NULL && *at != session)
        at = &(*at)->hash_next[index];
    if (*at == session)
        *at = session->hash_next[index];
}

/* More buckets; without memory the chains just grow. */
static void grow(struct session_table *table, enum session_index index, size_t count) {
    struct session_buckets old = table->by[index];
    struct session_buckets fresh = {calloc(count, sizeof *fresh.heads), count};
    if (fresh.heads == NULL)
        return;
    table->by[index] = fresh;
    for (size_t i = 0; i < old.count; i++) {
        /* Turned round first, so that the order within a bucket stays. */
        struct dtls_session *turned = NULL;
        while (old.heads[i] != NULL) {
            struct dtls_session *session = old.heads[i];
            old.heads[i] = session->hash_next[index];
            session->hash_next[index] = turned;
            turned = session;
        }
        while (turned != NULL) {
            struct dtls_session *next = turned->hash_next[index];
            put(table, index, turned);
            turned = next;
        }
    }
    free(old.heads);
}

bool session_table_init(struct session_table *table) {
    *table = (struct session_table){.key = hash_key_random(), .owner_buckets = BUCKETS_MIN};
    table->owners = calloc(BUCKETS_MIN, sizeof(struct session_owner *));
    table->slab = slab_new();
    bool good = table->owners != NULL && table->slab != NULL;
    for (size_t i = 0; i < SESSION_INDEXES; i++) {
        table->by[i] = (struct session_buckets){calloc(BUCKETS_MIN, sizeof(struct dtls_session *)), BUCKETS_MIN};
        good = good && table->by[i].heads != NULL;
    }
    return good;
}

void session_table_free(struct session_table *table) {
    for (size_t i = 0; i < SESSION_INDEXES; i++)
        free(table->by[i].heads);
    free(table->owners);
    slab_free(table->slab);
}

/* ---- whose they are ---- */

static struct session_owner **owner_head(const struct session_table *table, const struct link_identity *identity) {
    uint8_t bytes[1 + 32 + DTLS_IDENTITY_MAX];
    struct buffer key = buffer_over(bytes, sizeof bytes);
    buffer_put_u8(&key, (uint8_t)identity->security);
    buffer_put_slice(&key, identity->name);
    if (identity->security == LINK_X509)
        buffer_put(&key, identity->fingerprint, sizeof identity->fingerprint);
    return &table->owners[slot(table, key.data, key.len, table->owner_buckets)];
}

static bool same_identity(const struct link_identity *a, const struct link_identity *b) {
    return a->security == b->security && slice_equal(a->name, b->name) &&
           memcmp(a->fingerprint, b->fingerprint, sizeof a->fingerprint) == 0;
}

static struct session_owner *find_owner(struct session_owner *head, const struct link_identity *identity) {
    while (head != NULL && !same_identity(&head->identity, identity))
        head = head->hash_next;
    return head;
}

struct session_owner *session_owner_find(const struct session_table *table, const struct link_identity *identity) {
    return find_owner(*owner_head(table, identity), identity);
}

static void grow_owners(struct session_table *table, size_t count) {
    size_t old_count = table->owner_buckets;
    struct session_owner **old = table->owners, **fresh = calloc(count, sizeof(struct session_owner *));
    if (fresh == NULL)
        return;
    table->owners = fresh;
    table->owner_buckets = count;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct session_owner *owner = old[i], **head = owner_head(table, &owner->identity);
            old[i] = owner->hash_next;
            owner->hash_next = *head;
            *head = owner;
        }
    }
    free(old);
}

struct session_owner *session_owner_get(struct session_table *table, const struct link_identity *identity) {
    if (table->owner_count >= table->owner_buckets)
        grow_owners(table, table->owner_buckets * 2);
    struct session_owner **head = owner_head(table, identity), *owner = find_owner(*head, identity);
    if (owner != NULL)
        return owner;
    owner = slab_take(table->slab, sizeof *owner + identity->name.len);
    if (owner == NULL)
        return NULL;
    *owner = (struct session_owner){.identity = *identity};
    uint8_t *name = (uint8_t *)(owner + 1);
    if (identity->name.len > 0)
        memcpy(name, identity->name.data, identity->name.len);
    owner->identity.name.data = name;
    owner->hash_next = *head;
    *head = owner;
    table->owner_count++;
    return owner;
}

static void disown(struct session_table *table, struct dtls_session *session) {
    struct session_owner *owner = session->owner;
    struct dtls_session **at = &owner->sessions;
    while (*at != session)
        at = &(*at)->owner_next;
    *at = session->owner_next;
    if (--owner->count > 0)
        return;
    struct session_owner **head = owner_head(table, &owner->identity);
    while (*head != owner)
        head = &(*head)->hash_next;
    *head = owner->hash_next;
    table->owner_count--;
}

void session_owner_unref(struct session_owner *owner) {
    if (--owner->refs == 0)
        slab_give(owner, sizeof *owner + owner->identity.name.len);
}

struct dtls_session *session_new(struct session_table *table) {
    struct dtls_session *session = slab_take(table->slab, sizeof *session);
    if (session != NULL)
        memset(session, 0, sizeof *session);
    return session;
}

/* ---- by last use ---- */

static struct session_list *list_of(struct session_table *table, const struct dtls_session *session) {
    return session->live != NULL ? &table->live : &table->lean;
}

static void list_add(struct session_list *list, struct dtls_session *session) {
    session->newer = NULL;
    session->older = list->newest;
    if (list->newest != NULL)
        list->newest->newer = session;
    else
        list->oldest = session;
    list->newest = session;
    list->count++;
}

static void list_remove(struct session_list *list, struct dtls_session *session) {
    *(session->newer != NULL ? &session->newer->older : &list->newest) = session->older;
    *(session->older != NULL ? &session->older->newer : &list->oldest) = session->newer;
    list->count--;
}

void session_table_touch(struct session_table *table, struct dtls_session *session) {
    struct session_list *list = list_of(table, session);
    if (list->newest == session)
        return;
    list_remove(list, session);
    list_add(list, session);
}

void session_table_set_lean(struct session_table *table, struct dtls_session *session) {
    list_remove(&table->live, session);
    list_add(&table->lean, session);
}

/* ---- all of them ---- */

void session_table_add(struct session_table *table, struct dtls_session *session) {
    size_t count = session_table_count(table);
    for (enum session_index i = 0; i < SESSION_INDEXES; i++) {
        if (count >= table->by[i].count)
            grow(table, i, table->by[i].count * 2);
    }
    put(table, SESSION_BY_ID, session);
    put(table, SESSION_BY_ADDRESS, session);
    if (session->keys.cid_len > 0)
        put(table, SESSION_BY_CID, session);
    session->owner_next = session->owner->sessions;
    session->owner->sessions = session;
    session->owner->count++;
    session->owner->refs++;
    list_add(list_of(table, session), session);
}

void session_table_remove(struct session_table *table, struct dtls_session *session) {
    take(table, SESSION_BY_ID, session);
    take(table, SESSION_BY_ADDRESS, session);
    if (session->keys.cid_len > 0)
        take(table, SESSION_BY_CID, session);
    list_remove(list_of(table, session), session);
    disown(table, session);
}

void session_table_move(struct session_table *table, struct dtls_session *session, const struct address *peer) {
    take(table, SESSION_BY_ADDRESS, session);
    session->link.peer = *peer;
    put(table, SESSION_BY_ADDRESS, session);
}

void session_table_forget_cid(struct session_table *table, struct dtls_session *session) {
    take(table, SESSION_BY_CID, session);
    random_bytes(key_bytes(session), session->keys.cid_len);
    put(table, SESSION_BY_CID, session);
}

void session_table_reserve(struct session_table *table, size_t count) {
    size_t buckets = BUCKETS_MIN;
    while (buckets < count)
        buckets *= 2;
    for (enum session_index i = 0; i < SESSION_INDEXES; i++) {
        if (buckets > table->by[i].count)
            grow(table, i, buckets);
    }
    if (buckets > table->owner_buckets)
        grow_owners(table, buckets);
}

/* ---- what is about to be looked up ---- */

static void fetch_into_cache(const void *memory) {
    if (memory != NULL)
        __builtin_prefetch(memory);
}

void session_expect(const struct session_table *table, const struct session_expected *expected, bool is_near) {
    struct dtls_session **cid = head_of_cid(table, expected->cid.data, expected->cid.len);
    struct session_owner **owner = owner_head(table, expected->identity);
    fetch_into_cache(is_near ? (const void *)*cid : cid);
    fetch_into_cache(is_near ? (const void *)*owner : owner);
    if (is_near)
        return;
    fetch_into_cache(head_of_id(table, expected->id));
    fetch_into_cache(head_of_address(table, expected->listener, expected->peer));
}

void session_expect_id(const struct session_table *table, uint64_t id, bool is_near) {
    struct dtls_session **head = head_of_id(table, id);
    fetch_into_cache(is_near ? (const void *)*head : head);
}

struct dtls_session *session_find_id(const struct session_table *table, uint64_t id) {
    struct dtls_session *session = *head_of_id(table, id);
    while (session != NULL && session->id != id)
        session = session->hash_next[SESSION_BY_ID];
    return session;
}

struct dtls_session *session_find_cid(const struct session_table *table, struct slice cid) {
    struct dtls_session *session = *head_of_cid(table, cid.data, cid.len);
    while (session != NULL && !slice_equal(session_cid(session), cid))
        session = session->hash_next[SESSION_BY_CID];
    return session;
}

static struct dtls_session *skip_others(struct dtls_session *session, const struct listener *listener,
                                        const struct address *peer) {
    while (session != NULL && (session->link.listener != listener || !address_equal(&session->link.peer, peer)))
        session = session->hash_next[SESSION_BY_ADDRESS];
    return session;
}

struct dtls_session *session_first_at(const struct session_table *table, const struct listener *listener,
                                      const struct address *peer) {
    return skip_others(*head_of_address(table, listener, peer), listener, peer);
}

struct dtls_session *session_next_at(const struct dtls_session *session) {
    return skip_others(session->hash_next[SESSION_BY_ADDRESS], session->link.listener, &session->link.peer);
}

/* ---- keys ---- */

static size_t packed_len(size_t cid_len, size_t peer_cid_len, size_t key_len) {
    return cid_len + peer_cid_len + 2 * (key_len + sizeof((struct dtls_keys *)NULL)->read_iv);
}

static size_t packed_len_of(const struct session_keys *keys) {
    return packed_len(keys->cid_len, keys->peer_cid_len, keys->key_len);
}

static uint8_t *put_bytes(uint8_t *at, const uint8_t *bytes, size_t len) {
    memcpy(at, bytes, len);
    return at + len;
}

static const uint8_t *get_bytes(const uint8_t *at, uint8_t *bytes, size_t len) {
    memcpy(bytes, at, len);
    return at + len;
}

static void free_keys(struct dtls_session *session) {
    struct session_keys *keys = &session->keys;
    if (keys->is_outside) {
        mbedtls_platform_zeroize(keys->outside, packed_len_of(keys));
        free(keys->outside);
    }
    mbedtls_platform_zeroize(keys, sizeof *keys);
}

bool session_pack_keys(struct dtls_session *session, const struct dtls_keys *keys) {
    size_t len = packed_len(keys->cid_len, keys->peer_cid_len, keys->key_len);
    uint8_t *outside = len > SESSION_KEYS_INSIDE ? malloc(len) : NULL;
    if (len > SESSION_KEYS_INSIDE && outside == NULL)
        return false;
    free_keys(session);
    session->keys = (struct session_keys){.number_limit = keys->number_limit,
                                          .epoch = keys->epoch,
                                          .max_content = keys->max_content,
                                          .aead = keys->aead,
                                          .key_len = keys->key_len,
                                          .cid_len = keys->cid_len,
                                          .peer_cid_len = keys->peer_cid_len,
                                          .draft = keys->draft,
                                          .is_outside = outside != NULL};
    if (outside != NULL)
        session->keys.outside = outside;
    session_note_record(session, keys);
    uint8_t *at = put_bytes(key_bytes(session), keys->cid, keys->cid_len);
    at = put_bytes(at, keys->peer_cid, keys->peer_cid_len);
    at = put_bytes(at, keys->read_key, keys->key_len);
    at = put_bytes(at, keys->write_key, keys->key_len);
    at = put_bytes(at, keys->read_iv, sizeof keys->read_iv);
    put_bytes(at, keys->write_iv, sizeof keys->write_iv);
    return true;
}

void session_free(struct dtls_session *session) {
    free_keys(session);
    mbedtls_platform_zeroize(session, sizeof *session);
    slab_give(session, sizeof *session);
}

void session_unpack_keys(const struct dtls_session *session, struct dtls_keys *keys) {
    const struct session_keys *packed = &session->keys;
    keys->next_number = packed->next_number;
    keys->number_limit = packed->number_limit;
    keys->window_top = packed->window_top;
    keys->window_bits = packed->window_bits;
    keys->bad_records = packed->bad_records;
    keys->epoch = packed->epoch;
    keys->max_content = packed->max_content;
    keys->aead = packed->aead;
    keys->key_len = packed->key_len;
    keys->cid_len = packed->cid_len;
    keys->peer_cid_len = packed->peer_cid_len;
    keys->draft = packed->draft;
    const uint8_t *at = get_bytes(session_key_bytes(session), keys->cid, packed->cid_len);
    at = get_bytes(at, keys->peer_cid, packed->peer_cid_len);
    at = get_bytes(at, keys->read_key, packed->key_len);
    at = get_bytes(at, keys->write_key, packed->key_len);
    at = get_bytes(at, keys->read_iv, sizeof keys->read_iv);
    get_bytes(at, keys->write_iv, sizeof keys->write_iv);
}

void session_note_record(struct dtls_session *session, const struct dtls_keys *keys) {
    session->keys.next_number = keys->next_number;
    session->keys.window_top = keys->window_top;
    session->keys.window_bits = keys->window_bits;
    session->keys.bad_records = keys->bad_records;
}

/* ---- rows ---- */

enum {
    SECRET_FORMAT = 1,
    FLAG_DRAFT = 1,
    FLAG_RESUMED = 2,
    FLAG_RENEGOTIATED = 4,
};

static void put_short(struct buffer *out, const void *bytes, size_t len) {
    buffer_put_u8(out, (uint8_t)len);
    buffer_put(out, bytes, len);
}

/* format(1) flags(1) suite(2) epoch(2) fragment(2) established(8), then with their lengths in one byte each: CID, the
 * peer's CID, read key, write key, read IV, write IV, fingerprint or nothing, name; the security mode(1) before the last
 * two. */
void session_put_secret(const struct dtls_session *session, const struct dtls_keys *keys, struct buffer *out) {
    const struct link_identity *identity = session->link.identity;
    buffer_put_u8(out, SECRET_FORMAT);
    buffer_put_u8(out, (uint8_t)((keys->draft ? FLAG_DRAFT : 0) | (session->resumed ? FLAG_RESUMED : 0) |
                                 (session->renegotiated ? FLAG_RENEGOTIATED : 0)));
    buffer_put_u16(out, session->suite);
    buffer_put_u16(out, keys->epoch);
    buffer_put_u16(out, keys->max_content);
    buffer_put_u64(out, session->established_ms);
    put_short(out, keys->cid, keys->cid_len);
    put_short(out, keys->peer_cid, keys->peer_cid_len);
    put_short(out, keys->read_key, keys->key_len);
    put_short(out, keys->write_key, keys->key_len);
    put_short(out, keys->read_iv, sizeof keys->read_iv);
    put_short(out, keys->write_iv, sizeof keys->write_iv);
    buffer_put_u8(out, (uint8_t)identity->security);
    put_short(out, identity->fingerprint, identity->security == LINK_X509 ? sizeof identity->fingerprint : 0);
    put_short(out, identity->name.data, identity->name.len);
}

static bool get_number(struct slice *from, size_t width, uint64_t *value) {
    if (from->len < width)
        return false;
    *value = slice_number(slice_of(from->data, width));
    *from = slice_from(*from, width);
    return true;
}

/* At most `cap` bytes into `out`, when their number is `exactly`, if that is not 0. */
static bool get_short(struct slice *from, void *out, size_t cap, size_t exactly, uint8_t *len) {
    uint64_t n;
    if (!get_number(from, 1, &n) || n > from->len || n > cap || (exactly != 0 && n != exactly))
        return false;
    if (n > 0)
        memcpy(out, from->data, n);
    *from = slice_from(*from, n);
    *len = (uint8_t)n;
    return true;
}

bool session_get_secret(struct dtls_session *session, struct dtls_keys *keys, struct slice secret,
                        struct link_identity *identity) {
    uint64_t format, flags, suite, epoch, max_content, security, name_len;
    uint8_t len;
    if (!get_number(&secret, 1, &format) || format != SECRET_FORMAT || !get_number(&secret, 1, &flags) ||
        !get_number(&secret, 2, &suite) || !get_number(&secret, 2, &epoch) || !get_number(&secret, 2, &max_content) ||
        !get_number(&secret, 8, &session->established_ms))
        return false;
    const struct cipher_suite *known = cipher_suite_find((uint16_t)suite);
    if (known == NULL || known->aead == RECORD_CBC)
        return false;
    session->suite = known->id;
    keys->aead = (uint8_t)known->aead;
    keys->key_len = known->key_len;
    keys->epoch = (uint16_t)epoch;
    keys->max_content = (uint16_t)max_content;
    keys->draft = (flags & FLAG_DRAFT) != 0;
    session->resumed = (flags & FLAG_RESUMED) != 0;
    session->renegotiated = (flags & FLAG_RENEGOTIATED) != 0;
    if (!get_short(&secret, keys->cid, sizeof keys->cid, 0, &keys->cid_len) ||
        !get_short(&secret, keys->peer_cid, sizeof keys->peer_cid, 0, &keys->peer_cid_len) ||
        !get_short(&secret, keys->read_key, sizeof keys->read_key, keys->key_len, &len) ||
        !get_short(&secret, keys->write_key, sizeof keys->write_key, keys->key_len, &len) ||
        !get_short(&secret, keys->read_iv, sizeof keys->read_iv, sizeof keys->read_iv, &len) ||
        !get_short(&secret, keys->write_iv, sizeof keys->write_iv, sizeof keys->write_iv, &len))
        return false;
    *identity = (struct link_identity){.security = LINK_NO_SECURITY};
    if (!get_number(&secret, 1, &security) || security > LINK_X509 ||
        !get_short(&secret, identity->fingerprint, sizeof identity->fingerprint, 0, &len) ||
        !get_number(&secret, 1, &name_len) || name_len != secret.len || name_len > DTLS_IDENTITY_MAX)
        return false;
    identity->security = (enum link_security)security;
    identity->name = secret;
    return true;
}
