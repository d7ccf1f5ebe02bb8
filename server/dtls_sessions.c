#include "server/dtls_sessions.h"

#include <limits.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cbor.h"
#include "common/base/hash.h"
#include "db/window_journal.h"
#include "server/persist.h"
#include "server/slot_table.h"

enum {
    STATES_AT_ONCE = 256,
    WRITTEN_EVERY_S = 60,
    PLACES_MIN = 1024,
    DROPPED_MAX = 16,
    RESUMPTIONS_MAX = 65536,
    ROOM_AT_ONCE = 8,
    UNCOMMITTED_MAX = 1024,
    SESSION_ID_BYTES = 32, /* of ours; a client that sends another length has it from elsewhere */
    FLAG_PINNED = 1,       /* the certificate was good because a credential has its fingerprint */
    LINEAGE_SHIFT = 1,     /* above it, in the flags: the lineage of the credential */
    PLAIN_FORM = 1,
    PLAIN_MAX = DTLS_RESUME_SECRET_MAX + DTLS_IDENTITY_MAX + 80,
    CONTEXT_MAX = 16 + 2 * SESSION_ID_BYTES,
};

/* What resumes a session: its secret is in the store, this says that it is there. In a ring, in the order in which they
 * expire, and found by session ID. */
struct resumption {
    uint64_t expires_ms;              /* 0: was deleted */
    uint32_t by_name, by_fingerprint; /* keyed hashes of the identity */
    uint8_t session_id[SESSION_ID_BYTES];
};

/* One whose row is not committed yet, or can't be. */
struct uncommitted {
    struct uncommitted *next;
    struct dtls_sessions *sessions;
    uint8_t session_id[SESSION_ID_BYTES];
    size_t len;
    uint8_t plain[]; /* as in the row */
};

/* Ids of sessions, some perhaps twice. */
struct id_list {
    uint64_t *ids;
    size_t count, cap;
};

struct dtls_sessions {
    struct server *server;
    struct dtls *dtls;
    struct window_journal *journal;
    uint32_t *written_s; /* by slot of the journal: when the session was last written to the database */
    uint32_t written_cap;
    bool writes_all; /* --durability full, or another node goes on, which does not have the journal */
    struct id_list
        moved;          /* whose windows have moved in this turn of the loop, from turn_begin on, and the one before */
    struct id_list due; /* whose windows have moved and are to be written with the next flush (persist.c) */
    size_t turn_begin;
    uint64_t turn_ms;                                     /* when it began */
    uint8_t dropped[DROPPED_MAX][CREDENTIAL_FINGERPRINT]; /* pinned certificates that were good until lately; a ring */
    size_t dropped_count;
    struct hash_key key, identity_key;
    struct slot_table resumptions; /* by session ID: slots of the ring */
    struct resumption *ring;       /* RESUMPTIONS_MAX places */
    uint32_t oldest, used;         /* places in use: `used` from `oldest` on */
    size_t resumption_count;
    struct uncommitted *uncommitted; /* newest first */
    size_t uncommitted_count;
};

/* ---- windows ---- */

static int compare_ids(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static struct store_session_state state_of(const struct dtls_session_row *row) {
    return (struct store_session_state){.id = row->id,
                                        .number_limit = row->number_limit,
                                        .window_top = row->window_top,
                                        .window_bits = row->window_bits,
                                        .used_ms = row->used_ms,
                                        .peer = row->peer};
}

/* False: out of memory. */
static bool add_id(struct id_list *list, uint64_t id) {
    if (list->count > 0 && list->ids[list->count - 1] == id)
        return true;
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? STATES_AT_ONCE : 2 * list->cap;
        uint64_t *ids = realloc(list->ids, cap * sizeof *ids);
        if (ids == NULL)
            return false;
        list->ids = ids;
        list->cap = cap;
    }
    list->ids[list->count++] = id;
    return true;
}

static void write_soon(struct dtls_sessions *sessions, uint64_t id) {
    add_id(&sessions->due, id); /* without memory it goes with a later one */
    persist_windows_soon(sessions->server);
}

/* What a message changes is put to the store while it is looked at, or by a timer without length behind it: in this turn
 * of the loop or in the next one. Windows of those before can wait. */
static void leave_old_turns(struct dtls_sessions *sessions) {
    struct id_list *moved = &sessions->moved;
    uint64_t now_ms = clock_now_ms(&sessions->server->clock);
    if (now_ms == sessions->turn_ms || sessions->writes_all)
        return;
    sessions->turn_ms = now_ms;
    moved->count -= sessions->turn_begin;
    if (moved->count > 0)
        memmove(moved->ids, moved->ids + sessions->turn_begin, moved->count * sizeof *moved->ids);
    sessions->turn_begin = moved->count;
}

/* Windows that are on their way to the store. */
struct writing {
    struct dtls_sessions *sessions;
    size_t count;
    uint64_t ids[];
};

/* What could not be written goes with the next write. */
static void on_written(void *arg, enum store_result result) {
    struct writing *writing = arg;
    for (size_t i = 0; result != STORE_OK && i < writing->count; i++)
        write_soon(writing->sessions, writing->ids[i]);
    free(writing);
}

/* Write up to STATES_AT_ONCE of them. */
static bool write_some(struct dtls_sessions *sessions, const uint64_t *ids, size_t id_count) {
    struct store_session_state states[STATES_AT_ONCE];
    struct writing *writing = malloc(sizeof *writing + id_count * sizeof writing->ids[0]);
    size_t count = 0;
    if (writing == NULL)
        return false;
    for (size_t i = 0; i < id_count; i++) {
        struct dtls_session_row row;
        struct link *link = i > 0 && ids[i] == ids[i - 1] ? NULL : dtls_find(sessions->dtls, ids[i]);
        if (link == NULL || !dtls_session_row(link, &row, NULL))
            continue;
        writing->ids[count] = ids[i];
        states[count++] = state_of(&row);
    }
    writing->sessions = sessions;
    writing->count = count;
    bool queued =
        count > 0 && store_refresh_sessions(sessions->server->store, states, count, on_written, writing) == STORE_OK;
    if (!queued)
        free(writing);
    return queued || count == 0;
}

/* Many at once, ordered by id, lie in few pages of the database. */
static bool write_list(struct dtls_sessions *sessions, struct id_list *list) {
    qsort(list->ids, list->count, sizeof list->ids[0], compare_ids);
    while (list->count > 0) {
        size_t count = list->count < STATES_AT_ONCE ? list->count : STATES_AT_ONCE;
        if (!write_some(sessions, list->ids + list->count - count, count))
            return false;
        list->count -= count;
    }
    return true;
}

/* Ahead of what their messages change. */
static bool write_moved(struct dtls_sessions *sessions) {
    leave_old_turns(sessions);
    sessions->turn_begin = 0;
    return sessions->moved.count == 0 || write_list(sessions, &sessions->moved);
}

bool dtls_sessions_write(struct dtls_sessions *sessions) {
    if (sessions == NULL)
        return true;
    return write_moved(sessions) && (sessions->due.count == 0 || write_list(sessions, &sessions->due));
}

void dtls_sessions_touched(struct dtls_sessions *sessions, struct link *link) {
    struct dtls_window window;
    if (!dtls_session_window(link, &window) || window.place == 0)
        return;
    window_journal_note(sessions->journal, window.place - 1, window.top, window.bits);
    leave_old_turns(sessions);
    add_id(&sessions->moved, window.id);
    uint32_t *written_s = &sessions->written_s[window.place - 1];
    uint32_t now_s = (uint32_t)(clock_now_ms(&sessions->server->clock) / 1000);
    if (now_s - *written_s >= WRITTEN_EVERY_S) {
        *written_s = now_s;
        write_soon(sessions, window.id);
    } else if (sessions->writes_all) {
        persist_windows_soon(sessions->server);
    }
}

void dtls_sessions_moved(struct dtls_sessions *sessions, struct link *link) {
    struct dtls_window window;
    if (dtls_session_window(link, &window))
        write_soon(sessions, window.id);
}

/* ---- places in the journal ---- */

/* Give a session the slot it had, or another one. False: there is none. */
static bool give_place(struct dtls_sessions *sessions, struct link *link, uint64_t id, uint32_t slot) {
    if (slot == WINDOW_JOURNAL_NONE)
        slot = window_journal_take(sessions->journal, id);
    if (slot == WINDOW_JOURNAL_NONE)
        return false;
    if (slot >= sessions->written_cap) {
        uint32_t cap = slot < PLACES_MIN / 2 ? PLACES_MIN : 2 * slot;
        uint32_t *grown = realloc(sessions->written_s, cap * sizeof *grown);
        if (grown == NULL) {
            window_journal_give_back(sessions->journal, slot);
            return false;
        }
        sessions->written_s = grown;
        sessions->written_cap = cap;
    }
    sessions->written_s[slot] = (uint32_t)(clock_now_ms(&sessions->server->clock) / 1000);
    dtls_set_place(link, slot + 1);
    return true;
}

/* ---- numbers ---- */

/* A reservation under way. */
struct reserving {
    struct dtls_sessions *sessions;
    uint64_t id, number_limit;
};

static void on_reserved(void *arg, enum store_result result) {
    struct reserving *reserving = arg;
    dtls_reserved(reserving->sessions->dtls, reserving->id, result == STORE_OK ? reserving->number_limit : 0);
    free(reserving);
}

void dtls_sessions_reserve(struct dtls_sessions *sessions, struct link *link, uint64_t id, uint64_t number_limit) {
    struct dtls_session_row row;
    struct reserving *reserving = malloc(sizeof *reserving);
    if (reserving == NULL || !dtls_session_row(link, &row, NULL)) {
        free(reserving);
        dtls_reserved(sessions->dtls, id, 0);
        return;
    }
    *reserving = (struct reserving){sessions, id, number_limit};
    struct store_session_state state = state_of(&row);
    state.number_limit = number_limit;
    enum store_result result = store_refresh_sessions(sessions->server->store, &state, 1, on_reserved, reserving);
    if (result != STORE_OK)
        on_reserved(reserving, result);
}

/* ---- rows ---- */

static struct slice context_of_session(uint64_t id, uint8_t memory[CONTEXT_MAX]) {
    struct buffer context = buffer_over(memory, CONTEXT_MAX);
    buffer_printf(&context, "session %016llx", (unsigned long long)id);
    return buffer_slice(&context);
}

/* The credential that an identity is good by; NULL: none. Most certificates are good without. */
static const struct credential *credential_of(const struct dtls_sessions *sessions,
                                              const struct link_identity *identity) {
    const struct credentials *all = sessions->server->credentials;
    if (identity->security == LINK_PSK)
        return credentials_find_psk(all, identity->name, CREDENTIAL_EVERY_SERVICE);
    if (identity->security == LINK_X509)
        return credentials_find_fingerprint(all, identity->fingerprint, CREDENTIAL_EVERY_SERVICE);
    return NULL;
}

static bool is_pinned(const struct dtls_sessions *sessions, const struct link_identity *identity) {
    return identity->security == LINK_X509 && credential_of(sessions, identity) != NULL;
}

static uint32_t lineage_of(const struct dtls_sessions *sessions, const struct link_identity *identity) {
    const struct credential *c = credential_of(sessions, identity);
    return c == NULL ? 0 : c->lineage;
}

/* A session that is being saved. */
struct saving {
    struct dtls_sessions *sessions;
    uint64_t id;
};

static struct saving *saving_new(struct dtls_sessions *sessions, uint64_t id) {
    struct saving *saving = malloc(sizeof *saving);
    if (saving != NULL)
        *saving = (struct saving){sessions, id};
    return saving;
}

static void on_saved(void *arg, enum store_result result) {
    struct saving *saving = arg;
    (void)result; /* one that can't be kept is as good as any until the process ends */
    clock_update(&saving->sessions->server->clock);
    dtls_saved(saving->sessions->dtls, saving->id);
    free(saving);
}

void dtls_sessions_save(struct dtls_sessions *sessions, struct link *link) {
    uint8_t secret_memory[DTLS_SESSION_SECRET_MAX], sealed_memory[DTLS_SESSION_SECRET_MAX + SEAL_OVERHEAD];
    uint8_t context[CONTEXT_MAX];
    struct buffer secret = buffer_over(secret_memory, sizeof secret_memory);
    struct buffer sealed = buffer_over(sealed_memory, sizeof sealed_memory);
    struct dtls_session_row row;
    struct saving *saving = NULL;
    bool is_queued = false;
    if (dtls_session_row(link, &row, &secret) && give_place(sessions, link, row.id, WINDOW_JOURNAL_NONE) &&
        seal_close(sessions->server->seal, context_of_session(row.id, context), row.secret, &sealed)) {
        struct store_session session = {.state = state_of(&row),
                                        .listener = row.listener,
                                        .flags = lineage_of(sessions, link->identity) << LINEAGE_SHIFT |
                                                 (is_pinned(sessions, link->identity) ? FLAG_PINNED : 0),
                                        .local = slice_of(&row.local, sizeof row.local),
                                        .sealed = buffer_slice(&sealed)};
        saving = saving_new(sessions, row.id);
        is_queued =
            saving != NULL && store_put_session(sessions->server->store, &session, on_saved, saving) == STORE_OK;
    }
    mbedtls_platform_zeroize(secret_memory, sizeof secret_memory);
    if (is_queued)
        return;
    /* When the queue is full, or the disk, it is not kept: after a restart the device makes a new one. */
    free(saving);
    dtls_saved(sessions->dtls, row.id);
}

/* A session whose row is being deleted. */
struct forgetting {
    struct dtls_sessions *sessions;
    uint32_t slot;
};

/* Only now: until then it may come back, and must have its window. */
static void on_forgotten(void *arg, enum store_result result) {
    struct forgetting *forgetting = arg;
    if (result == STORE_OK)
        window_journal_give_back(forgetting->sessions->journal, forgetting->slot);
    free(forgetting);
}

void dtls_sessions_forget(struct dtls_sessions *sessions, struct link *link, uint64_t id) {
    uint32_t place = dtls_place(link);
    struct forgetting *forgetting = place == 0 ? NULL : malloc(sizeof *forgetting);
    if (forgetting == NULL) { /* the slot, if there is one, is free after the next start */
        store_delete_sessions(sessions->server->store, &id, 1, NULL, NULL);
        return;
    }
    *forgetting = (struct forgetting){sessions, place - 1};
    enum store_result result = store_delete_sessions(sessions->server->store, &id, 1, on_forgotten, forgetting);
    if (result != STORE_OK)
        on_forgotten(forgetting, result);
}

/* Whether what a session rests on is still there, and is what it rested on: without coaps, nobody ended it when its
 * credential went. */
static bool is_still_good(const struct dtls_sessions *sessions, const struct link_identity *identity, bool pinned,
                          uint32_t lineage) {
    if (identity->security == LINK_X509 && !pinned)
        return true;
    const struct credential *c = credential_of(sessions, identity);
    return c != NULL && c->lineage == lineage;
}

/* The listener it came through, or the first one for DTLS: listeners may have changed since. */
static struct listener *listener_of(const struct server *server, uint32_t number) {
    if (number < server->config->listener_count && server->listeners[number].transport == LINK_DTLS)
        return &server->listeners[number];
    for (size_t i = 0; i < server->config->listener_count; i++) {
        if (server->listeners[i].transport == LINK_DTLS)
            return &server->listeners[i];
    }
    return NULL;
}

/* A row of which the session is on its way into the tables. */
struct begun {
    struct dtls_restoring restoring;
    uint64_t id;
    uint32_t flags, slot; /* of the row; of the journal */
};

/* Sessions are put into the tables some rows behind their own, when what they need there has come from memory. */
enum { BEGUN_MAX = 16, NEAR = BEGUN_MAX / 2 };

struct loading {
    struct dtls_sessions *sessions;
    size_t skipped;
    struct begun ring[BEGUN_MAX];
    size_t begun, ended; /* so many yet */
};

static void skip(struct loading *loading, uint64_t id) {
    loading->skipped++;
    store_delete_sessions(loading->sessions->server->store, &id, 1, NULL, NULL);
}

static struct begun *in_ring(struct loading *loading, size_t number) {
    return &loading->ring[number % BEGUN_MAX];
}

static void end_oldest(struct loading *loading) {
    struct dtls_sessions *sessions = loading->sessions;
    const struct begun *begun = in_ring(loading, loading->ended++);
    bool pinned = (begun->flags & FLAG_PINNED) != 0;
    struct link *link = dtls_restore_end(&begun->restoring);
    if (link != NULL && !give_place(sessions, link, begun->id, begun->slot)) {
        dtls_drop(link);
        link = NULL;
    }
    if (link == NULL)
        skip(loading, begun->id);
    else if (!is_still_good(sessions, link->identity, pinned, begun->flags >> LINEAGE_SHIFT))
        dtls_drop(link);
}

static void expect_credential(const struct loading *loading, const struct link_identity *identity, bool is_near) {
    if (identity->security == LINK_PSK)
        credentials_expect_psk(loading->sessions->server->credentials, identity->name, is_near);
}

static void push(struct loading *loading) {
    const struct begun *newest = in_ring(loading, loading->begun++);
    expect_credential(loading, &newest->restoring.identity, false);
    if (loading->begun - loading->ended > NEAR) {
        const struct dtls_restoring *near = &in_ring(loading, loading->begun - 1 - NEAR)->restoring;
        dtls_restore_near(near);
        expect_credential(loading, &near->identity, true);
    }
    if (loading->begun - loading->ended == BEGUN_MAX)
        end_oldest(loading);
}

static void load_session(void *arg, const struct store_session *stored) {
    struct loading *loading = arg;
    struct dtls_sessions *sessions = loading->sessions;
    struct server *server = sessions->server;
    uint8_t secret_memory[DTLS_SESSION_SECRET_MAX], context[CONTEXT_MAX];
    struct buffer secret = buffer_over(secret_memory, sizeof secret_memory);
    struct dtls_session_row row = {.id = stored->state.id,
                                   .listener = stored->listener,
                                   .peer = stored->state.peer,
                                   .number_limit = stored->state.number_limit,
                                   .window_top = stored->state.window_top,
                                   .window_bits = stored->state.window_bits,
                                   .used_ms = stored->state.used_ms};
    struct begun *begun = in_ring(loading, loading->begun);
    begun->id = row.id;
    begun->flags = stored->flags;
    begun->slot = window_journal_raise(sessions->journal, row.id, &row.window_top, &row.window_bits);
    if (stored->local.len == sizeof row.local)
        memcpy(&row.local, stored->local.data, sizeof row.local);
    struct listener *listener = listener_of(server, stored->listener);
    bool good =
        listener != NULL && seal_open(server->seal, context_of_session(row.id, context), stored->sealed, &secret);
    if (good) {
        row.listener = listener->number;
        row.secret = buffer_slice(&secret);
        good = dtls_restore_begin(sessions->dtls, listener, &row, &begun->restoring);
    }
    mbedtls_platform_zeroize(secret_memory, sizeof secret_memory);
    if (good)
        push(loading);
    else
        skip(loading, row.id);
}

/* ---- resumption ---- */

static uint32_t hash_of(const struct dtls_sessions *sessions, struct slice session_id) {
    return (uint32_t)(hash_slice(&sessions->key, session_id) >> 32);
}

static struct slice id_of(const struct resumption *r) {
    return slice_of(r->session_id, sizeof r->session_id);
}

/* By the key of the file, since the database has them too. Two that have the same one by chance cost a device a whole handshake when the other loses its credential. */
static uint32_t hash_name(const struct dtls_sessions *sessions, const struct link_identity *identity) {
    return (uint32_t)(hash_slice(&sessions->identity_key, identity->name) >> 32) + (uint32_t)identity->security;
}

static uint32_t hash_fingerprint(const struct dtls_sessions *sessions, const struct link_identity *identity) {
    uint64_t hash = hash_siphash(&sessions->identity_key, identity->fingerprint, sizeof identity->fingerprint);
    return (uint32_t)(hash >> 32) + (uint32_t)identity->security;
}

static uint64_t hash_identity(const struct dtls_sessions *sessions, const struct link_identity *identity) {
    return (uint64_t)hash_name(sessions, identity) << 32 | hash_fingerprint(sessions, identity);
}

static uint32_t find_slot(const struct dtls_sessions *sessions, struct slice session_id) {
    struct slot_search search;
    uint32_t slot = slot_search_first(&search, &sessions->resumptions, hash_of(sessions, session_id));
    while (slot != SLOT_NONE && !slice_equal(id_of(&sessions->ring[slot]), session_id))
        slot = slot_search_next(&search);
    return slot;
}

static void remove_slot(struct dtls_sessions *sessions, uint32_t slot) {
    struct resumption *r = &sessions->ring[slot];
    slot_table_remove(&sessions->resumptions, hash_of(sessions, id_of(r)), slot);
    r->expires_ms = 0;
    sessions->resumption_count--;
}

static void delete_slot(struct dtls_sessions *sessions, uint32_t slot) {
    if (sessions->ring[slot].expires_ms == 0)
        return;
    store_delete_resumption(sessions->server->store, id_of(&sessions->ring[slot]), NULL, NULL);
    remove_slot(sessions, slot);
}

/* Drop those whose time is over, a few at a time since each is a row to delete, and the oldest one when there is no
 * place. */
static void make_room(struct dtls_sessions *sessions) {
    uint64_t now_ms = clock_now_ms(&sessions->server->clock);
    for (size_t i = 0; i < ROOM_AT_ONCE && sessions->used > 0; i++) {
        if (sessions->ring[sessions->oldest].expires_ms > now_ms && sessions->used < RESUMPTIONS_MAX)
            return;
        delete_slot(sessions, sessions->oldest);
        sessions->oldest = (sessions->oldest + 1) % RESUMPTIONS_MAX;
        sessions->used--;
    }
}

/* Where there is room. */
static bool insert_resumption(struct dtls_sessions *sessions, struct slice session_id, uint64_t identity,
                              uint64_t expires_ms) {
    uint32_t hash = hash_of(sessions, session_id);
    if (session_id.len != SESSION_ID_BYTES || expires_ms == 0)
        return false;
    if (sessions->ring == NULL && (sessions->ring = calloc(RESUMPTIONS_MAX, sizeof *sessions->ring)) == NULL)
        return false;
    uint32_t known = find_slot(sessions, session_id);
    if (known != SLOT_NONE)
        remove_slot(sessions, known);
    if (!slot_table_reserve(&sessions->resumptions, hash))
        return false;
    uint32_t slot = (sessions->oldest + sessions->used++) % RESUMPTIONS_MAX;
    struct resumption *r = &sessions->ring[slot];
    r->expires_ms = expires_ms;
    r->by_name = (uint32_t)(identity >> 32);
    r->by_fingerprint = (uint32_t)identity;
    memcpy(r->session_id, session_id.data, sizeof r->session_id);
    slot_table_insert(&sessions->resumptions, hash, slot);
    sessions->resumption_count++;
    return true;
}

static bool add_resumption(struct dtls_sessions *sessions, struct slice session_id, uint64_t identity,
                           uint64_t expires_ms) {
    make_room(sessions);
    return insert_resumption(sessions, session_id, identity, expires_ms);
}

static struct slice context_of_resumption(struct slice session_id, uint8_t memory[CONTEXT_MAX]) {
    struct buffer context = buffer_over(memory, CONTEXT_MAX);
    buffer_put_str(&context, "resumption ");
    buffer_put_slice(&context, session_id);
    return buffer_slice(&context);
}

/* [form, security, name, fingerprint, pinned, secret, lineage] in CBOR; older rows have no lineage. */
static void put_plain(struct buffer *out, const struct link_identity *identity, bool pinned, uint32_t lineage,
                      struct slice secret) {
    cbor_put_array(out, 7);
    cbor_put_unsigned(out, PLAIN_FORM);
    cbor_put_unsigned(out, identity->security);
    cbor_put_bytes(out, identity->name);
    cbor_put_bytes(out, slice_of(identity->fingerprint, sizeof identity->fingerprint));
    cbor_put_unsigned(out, pinned);
    cbor_put_bytes(out, secret);
    cbor_put_unsigned(out, lineage);
}

static bool read_item(struct cbor_reader *reader, enum cbor_type type, struct cbor_item *item) {
    return cbor_more(reader) && cbor_read(reader, item) && item->type == type;
}

static bool read_plain(struct slice plain, struct link_identity *identity, bool *pinned, uint32_t *lineage,
                       struct slice *secret) {
    struct cbor_reader reader = cbor_reader_over(plain, NULL);
    struct cbor_item item;
    if (!cbor_read(&reader, &item) || item.type != CBOR_ARRAY || !read_item(&reader, CBOR_UNSIGNED, &item) ||
        item.number != PLAIN_FORM || !read_item(&reader, CBOR_UNSIGNED, &item) || item.number > LINK_OSCORE)
        return false;
    identity->security = (enum link_security)item.number;
    if (!read_item(&reader, CBOR_BYTES, &item))
        return false;
    identity->name = item.bytes;
    if (!read_item(&reader, CBOR_BYTES, &item) || item.bytes.len != sizeof identity->fingerprint)
        return false;
    memcpy(identity->fingerprint, item.bytes.data, sizeof identity->fingerprint);
    if (!read_item(&reader, CBOR_UNSIGNED, &item))
        return false;
    *pinned = item.number != 0;
    if (!read_item(&reader, CBOR_BYTES, &item))
        return false;
    *secret = item.bytes;
    *lineage = 0;
    if (cbor_more(&reader)) {
        if (!read_item(&reader, CBOR_UNSIGNED, &item) || item.number > UINT32_MAX)
            return false;
        *lineage = (uint32_t)item.number;
    }
    return !cbor_more(&reader) && cbor_at_end(&reader);
}

static struct slice held_plain(const struct uncommitted *u) {
    return slice_of(u->plain, u->len);
}

static void drop_uncommitted(struct uncommitted *gone) {
    struct dtls_sessions *sessions = gone->sessions;
    struct uncommitted **at = &sessions->uncommitted;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    sessions->uncommitted_count--;
    mbedtls_platform_zeroize(gone, sizeof *gone + gone->len);
    free(gone);
}

/* What could not be written can't be resumed: its device makes a whole handshake. */
static void on_resumption_put(void *arg, enum store_result result) {
    struct uncommitted *written = arg;
    struct dtls_sessions *sessions = written->sessions;
    uint32_t slot = find_slot(sessions, slice_of(written->session_id, sizeof written->session_id));
    if (result != STORE_OK && slot != SLOT_NONE)
        remove_slot(sessions, slot);
    drop_uncommitted(written);
}

/* Until it is committed. NULL: out of memory, or too many. */
static struct uncommitted *hold_uncommitted(struct dtls_sessions *sessions, struct slice session_id,
                                            struct slice plain) {
    bool fits = sessions->uncommitted_count < UNCOMMITTED_MAX && session_id.len == SESSION_ID_BYTES;
    struct uncommitted *u = fits ? malloc(sizeof *u + plain.len) : NULL;
    if (u == NULL)
        return NULL;
    *u = (struct uncommitted){.next = sessions->uncommitted, .sessions = sessions, .len = plain.len};
    memcpy(u->session_id, session_id.data, sizeof u->session_id);
    memcpy(u->plain, plain.data, plain.len);
    sessions->uncommitted = u;
    sessions->uncommitted_count++;
    return u;
}

void dtls_sessions_resume_put(struct dtls_sessions *sessions, struct slice session_id,
                              const struct link_identity *identity, struct slice secret, uint64_t expires_ms) {
    uint8_t plain_memory[PLAIN_MAX], sealed_memory[PLAIN_MAX + SEAL_OVERHEAD], context[CONTEXT_MAX];
    struct buffer plain = buffer_over(plain_memory, sizeof plain_memory);
    struct buffer sealed = buffer_over(sealed_memory, sizeof sealed_memory);
    put_plain(&plain, identity, is_pinned(sessions, identity), lineage_of(sessions, identity), secret);
    uint64_t hashes = hash_identity(sessions, identity);
    bool fits = !plain.overflow && identity->name.len <= DTLS_IDENTITY_MAX;
    struct uncommitted *held = !fits ? NULL : hold_uncommitted(sessions, session_id, buffer_slice(&plain));
    if (held != NULL &&
        seal_close(sessions->server->seal, context_of_resumption(session_id, context), held_plain(held), &sealed) &&
        add_resumption(sessions, session_id, hashes, expires_ms)) {
        struct store_resumption row = {
            .session_id = session_id, .expires_ms = expires_ms, .identity = hashes, .sealed = buffer_slice(&sealed)};
        enum store_result result = store_put_resumption(sessions->server->store, &row, on_resumption_put, held);
        if (result != STORE_OK)
            on_resumption_put(held, result);
    } else if (held != NULL) {
        drop_uncommitted(held);
    }
    mbedtls_platform_zeroize(plain_memory, sizeof plain_memory);
}

struct opening {
    const struct dtls_sessions *sessions;
    struct buffer *plain;
    bool opened;
};

static void open_resumption(void *arg, const struct store_resumption *stored) {
    struct opening *opening = arg;
    uint8_t context[CONTEXT_MAX];
    opening->opened = stored->session_id.len == SESSION_ID_BYTES &&
                      seal_open(opening->sessions->server->seal, context_of_resumption(stored->session_id, context),
                                stored->sealed, opening->plain);
}

static bool read_resumption(const struct dtls_sessions *sessions, struct slice session_id, struct buffer *plain) {
    for (const struct uncommitted *u = sessions->uncommitted; u != NULL; u = u->next) {
        if (memcmp(u->session_id, session_id.data, sizeof u->session_id) == 0) {
            buffer_put_slice(plain, held_plain(u));
            return !plain->overflow;
        }
    }
    struct opening opening = {.sessions = sessions, .plain = plain};
    return store_find_resumption(sessions->server->store, session_id, open_resumption, &opening) && opening.opened;
}

bool dtls_sessions_resume_get(struct dtls_sessions *sessions, struct slice session_id, struct buffer *secret) {
    uint8_t plain_memory[PLAIN_MAX];
    struct buffer plain = buffer_over(plain_memory, sizeof plain_memory);
    struct link_identity identity;
    struct slice kept;
    bool pinned = false;
    uint32_t lineage;
    uint32_t slot = sessions->ring == NULL ? SLOT_NONE : find_slot(sessions, session_id);
    if (slot == SLOT_NONE || !read_resumption(sessions, session_id, &plain))
        return false;
    bool good = sessions->ring[slot].expires_ms > clock_now_ms(&sessions->server->clock) &&
                read_plain(buffer_slice(&plain), &identity, &pinned, &lineage, &kept) &&
                is_still_good(sessions, &identity, pinned, lineage);
    if (good)
        buffer_put_slice(secret, kept);
    else
        delete_slot(sessions, slot);
    mbedtls_platform_zeroize(plain_memory, sizeof plain_memory);
    return good && !secret->overflow;
}

void dtls_sessions_forget_identity(struct dtls_sessions *sessions, const struct link_identity *identity) {
    static const uint8_t none[sizeof identity->fingerprint];
    bool by_fingerprint = memcmp(identity->fingerprint, none, sizeof none) != 0;
    if (by_fingerprint)
        memcpy(sessions->dropped[sessions->dropped_count++ % DROPPED_MAX], identity->fingerprint, sizeof none);
    uint32_t hash = by_fingerprint ? hash_fingerprint(sessions, identity) : hash_name(sessions, identity);
    for (uint32_t i = 0; i < sessions->used; i++) {
        uint32_t slot = (sessions->oldest + i) % RESUMPTIONS_MAX;
        const struct resumption *r = &sessions->ring[slot];
        if (r->expires_ms != 0 && (by_fingerprint ? r->by_fingerprint : r->by_name) == hash)
            delete_slot(sessions, slot);
    }
}

/* A certificate that was good because a credential had its fingerprint is not, once the credential has gone, even when
 * its handshake was under way meanwhile. */
bool dtls_sessions_permitted(struct dtls_sessions *sessions, const struct link_identity *identity, bool chain_trusted) {
    if (credential_of(sessions, identity) != NULL)
        return true;
    if (identity->security != LINK_X509 || !chain_trusted)
        return false;
    for (size_t i = 0; i < DROPPED_MAX && i < sessions->dropped_count; i++) {
        if (memcmp(sessions->dropped[i], identity->fingerprint, sizeof identity->fingerprint) == 0)
            return false;
    }
    return true;
}

size_t dtls_sessions_resumable(const struct dtls_sessions *sessions) {
    return sessions->resumption_count;
}

/* Whether it is good, and its time not over, is asked when somebody wants to use it: so nothing is deleted here, where it
 * could be all of them, with whoever registers first behind that. */
static void load_resumption(void *arg, const struct store_resumption *stored) {
    struct loading *loading = arg;
    struct dtls_sessions *sessions = loading->sessions;
    if (sessions->used == RESUMPTIONS_MAX)
        make_room(sessions);
    if (!insert_resumption(sessions, stored->session_id, stored->identity, stored->expires_ms))
        store_delete_resumption(sessions->server->store, stored->session_id, NULL, NULL);
}

/* ---- life ---- */

static bool derive_identity_key(struct dtls_sessions *sessions) {
    uint8_t key[SEAL_KEY_BYTES];
    bool derived = seal_derive(sessions->server->seal, slice_str("identities of resumptions"), key);
    memcpy(&sessions->identity_key, key, sizeof sessions->identity_key);
    mbedtls_platform_zeroize(key, sizeof key);
    return derived;
}

struct dtls_sessions *dtls_sessions_new(struct server *server, char *error, size_t error_size) {
    struct dtls_sessions *sessions = calloc(1, sizeof *sessions);
    char path[PATH_MAX];
    if (sessions == NULL) {
        snprintf(error, error_size, "DTLS can't be set up: out of memory");
        return NULL;
    }
    sessions->server = server;
    sessions->writes_all = server->config->durability == STORE_FULL || server->cluster != NULL;
    sessions->key = hash_key_random();
    if (!derive_identity_key(sessions)) {
        snprintf(error, error_size, "DTLS can't be set up: a key can't be derived");
        dtls_sessions_free(sessions);
        return NULL;
    }
    snprintf(path, sizeof path, "%s/berth.windows", server->config->data);
    sessions->journal = window_journal_open(path, error, error_size);
    if (sessions->journal == NULL) {
        dtls_sessions_free(sessions);
        return NULL;
    }
    return sessions;
}

void dtls_sessions_free(struct dtls_sessions *sessions) {
    if (sessions == NULL)
        return;
    while (sessions->uncommitted != NULL)
        drop_uncommitted(sessions->uncommitted);
    slot_table_free(&sessions->resumptions);
    window_journal_close(sessions->journal);
    free(sessions->moved.ids);
    free(sessions->due.ids);
    free(sessions->written_s);
    free(sessions->ring);
    free(sessions);
}

static bool write_windows_first(void *arg) {
    return write_moved(arg);
}

void dtls_sessions_serve(struct dtls_sessions *sessions, struct dtls *dtls) {
    sessions->dtls = dtls;
    store_set_before(sessions->server->store, write_windows_first, sessions);
}

bool dtls_sessions_load(struct dtls_sessions *sessions, char *error, size_t error_size) {
    struct loading loading = {.sessions = sessions};
    struct store *store = sessions->server->store;
    /* A start without coaps brings none back, and keeps their rows and windows for one that has it. */
    bool loaded = true;
    if (listener_of(sessions->server, 0) != NULL) {
        dtls_reserve(sessions->dtls, window_journal_found(sessions->journal));
        loaded = store_load_sessions(store, load_session, &loading, error, error_size);
        while (loading.ended < loading.begun)
            end_oldest(&loading);
        window_journal_loaded(sessions->journal);
    }
    loaded = loaded && store_load_resumptions(store, load_resumption, &loading, error, error_size);
    if (loading.skipped > 0)
        log_write(LOG_WARN, "dtls", "%zu sessions can't be restored; their devices will make new ones",
                  loading.skipped);
    return loaded;
}
