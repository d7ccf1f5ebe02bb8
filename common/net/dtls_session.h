/* Established sessions, and the tables they are found by: their id in the store, the CID in records to us (whatever the
 * address they come from), the peer's address, and whose they are. Found in O(1), least recently used first.
 *
 * A session is a struct link, keys for record.h (or, when live, an mbedtls object), and places in the tables. A table holds one reference to the link. */
#ifndef BERTH_NET_DTLS_SESSION_H
#define BERTH_NET_DTLS_SESSION_H

#include "common/base/hash.h"
#include "common/base/slab.h"
#include "common/net/dtls_handshake.h"

enum session_index { SESSION_BY_ID, SESSION_BY_CID, SESSION_BY_ADDRESS, SESSION_INDEXES };

/* Whoever has sessions: an identity, once. */
struct session_owner {
    struct session_owner *hash_next;
    struct dtls_session *sessions; /* by owner_next, newest first */
    uint32_t count;                /* of them */
    uint32_t refs;                 /* sessions that point here, ended ones too while someone holds their link */
    struct link_identity identity; /* its name lies behind */
};

/* A message that waits for record numbers. */
struct held_message {
    struct held_message *next;
    size_t len;
    uint8_t bytes[];
};

enum { SESSION_KEYS_INSIDE = 48 }; /* a CID of 8 bytes, and the keys and IVs of AES-128 */

/* What struct dtls_keys holds, in half of its size. `inside` or `outside` are both CIDs, ours first, the keys and IVs, to
 * read before to write. */
struct session_keys {
    uint64_t next_number, number_limit, window_top, window_bits;
    uint32_t bad_records;
    uint16_t epoch, max_content;
    uint8_t aead, key_len, cid_len, peer_cid_len;
    bool draft;
    bool is_outside;
    union {
        uint8_t inside[SESSION_KEYS_INSIDE];
        uint8_t *outside; /* when there are more of them; our own memory */
    };
};

/* A session to which we have said goodbye. */
struct lingering {
    struct timer timer;
    struct dtls_session *session;
};

/* There may be a million: what is rare hangs at it, and the order of members leaves no holes. */
struct dtls_session {
    struct link link;  /* first member */
    struct dtls *dtls; /* NULL when the session has ended */
    uint64_t id;
    struct dtls_session *hash_next[SESSION_INDEXES];
    struct dtls_session *newer, *older; /* by last use; two lists, for those with an mbedtls object and those without */
    struct dtls_session *owner_next;
    struct session_owner *owner;
    struct handshake *live; /* the mbedtls object, until record.h goes on */
    struct held_message *held;
    struct session_keys keys;
    uint64_t established_ms, used_ms;
    struct dtls_traffic traffic;
    struct lingering *lingering; /* NULL: is not going to end */
    uint32_t place;              /* the owner's (dtls_set_place) */
    uint32_t credit;             /* bytes that may be sent to an address that has not proven that it receives */
    uint16_t suite;              /* IANA's number */
    bool sent_unproven : 1;      /* and some have been */
    bool resumed : 1, renegotiated : 1, saved : 1;
    bool talking : 1;   /* live: application data has come */
    bool saving : 1;    /* its row is not committed yet */
    bool reserving : 1; /* numbers have been asked for */
    bool said_bye : 1;  /* nothing is sent until the peer goes on */
};

static inline struct dtls_session *session_of(const struct link *link) {
    return (struct dtls_session *)(uintptr_t)link;
}

struct session_buckets {
    struct dtls_session **heads;
    size_t count; /* a power of two */
};

struct session_list {
    struct dtls_session *newest, *oldest;
    size_t count;
};

struct session_table {
    struct hash_key key;
    struct session_buckets by[SESSION_INDEXES];
    struct session_owner **owners;
    size_t owner_buckets, owner_count;
    struct session_list live, lean; /* with an mbedtls object, and without */
    struct slab *slab;              /* sessions and owners */
};

bool session_table_init(struct session_table *table);
void session_table_free(struct session_table *table); /* it must be empty */

static inline size_t session_table_count(const struct session_table *table) {
    return table->live.count + table->lean.count;
}

/* Room for so many, before there are any. */
void session_table_reserve(struct session_table *table, size_t count);

/* The owner for an identity, made when there is none, or NULL when out of memory. session_table_add counts on it. */
struct session_owner *session_owner_get(struct session_table *table, const struct link_identity *identity);

/* NULL when there is none. */
struct session_owner *session_owner_find(const struct session_table *table, const struct link_identity *identity);

/* Put a session into every table; its id, keys.cid, link.peer, link.listener, owner and live are set. */
void session_table_add(struct session_table *table, struct dtls_session *session);

/* Take it out of every table. Its owner stays until session_owner_unref, as the link's identity does. */
void session_table_remove(struct session_table *table, struct dtls_session *session);
void session_owner_unref(struct session_owner *owner);

/* An empty session, in no table; NULL when out of memory. And give it back, its keys too, zeroed. */
struct dtls_session *session_new(struct session_table *table);
void session_free(struct dtls_session *session);

/* It was used just now. */
void session_table_touch(struct session_table *table, struct dtls_session *session);

/* Its mbedtls object has gone: `live` has become NULL. */
void session_table_set_lean(struct session_table *table, struct dtls_session *session);

/* Its peer has another address from now on. */
void session_table_move(struct session_table *table, struct dtls_session *session, const struct address *peer);

/* It is known by another CID, that nobody has been told. */
void session_table_forget_cid(struct session_table *table, struct dtls_session *session);

/* A session that will soon be put into the tables, or looked up by its id. While many are, one after the other, what each
 * of them needs is fetched from memory beside the work for others: tell of it twice, and between these calls and before
 * the look-up do so for some others. */
struct session_expected {
    uint64_t id;
    struct slice cid; /* may be empty */
    const struct link_identity *identity;
    const struct listener *listener;
    const struct address *peer;
};
void session_expect(const struct session_table *table, const struct session_expected *expected, bool is_near);
void session_expect_id(const struct session_table *table, uint64_t id, bool is_near);

struct dtls_session *session_find_id(const struct session_table *table, uint64_t id);
struct dtls_session *session_find_cid(const struct session_table *table, struct slice cid);

/* The sessions at an address, newest first: the first, and the next after `session`. */
struct dtls_session *session_first_at(const struct session_table *table, const struct listener *listener,
                                      const struct address *peer);
struct dtls_session *session_next_at(const struct dtls_session *session);

/* Give a session keys in the place of those it has. False: out of memory, nothing has changed. */
bool session_pack_keys(struct dtls_session *session, const struct dtls_keys *keys);

/* Its keys for record.h, to be zeroed by the caller; and what a record has changed of them: numbers, window and counter
 * of bad records. */
void session_unpack_keys(const struct dtls_session *session, struct dtls_keys *keys);
void session_note_record(struct dtls_session *session, const struct dtls_keys *keys);

static inline const uint8_t *session_key_bytes(const struct dtls_session *session) {
    return session->keys.is_outside ? session->keys.outside : session->keys.inside;
}
static inline struct slice session_cid(const struct dtls_session *session) {
    return slice_of(session_key_bytes(session), session->keys.cid_len);
}
static inline struct slice session_peer_cid(const struct dtls_session *session) {
    return slice_of(session_key_bytes(session) + session->keys.cid_len, session->keys.peer_cid_len);
}

/* Numbers, keys and identity as a row's secret, and back; false when that is not one of ours. The session gets its keys
 * by session_pack_keys, once they have their numbers; its owner is what `identity` says, whose name points into the
 * secret. */
void session_put_secret(const struct dtls_session *session, const struct dtls_keys *keys, struct buffer *out);
bool session_get_secret(struct dtls_session *session, struct dtls_keys *keys, struct slice secret,
                        struct link_identity *identity);

#endif
