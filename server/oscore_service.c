#include "server/oscore_service.h"

#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "server/absent_link.h"
#include "server/contact.h"
#include "server/persist.h"
#include "server/register.h"
#include "server/slot_table.h"

enum { DIGEST = 16, ENTRIES_MIN = 16, FACTS_MAX = 128 };

/* What is known of a context: what is stored, and its channel while it has one. */
struct entry {
    uint8_t digest[DIGEST];
    uint64_t static_limit, number_limit; /* as struct store_oscore_context */
    uint8_t id_context_len, id_context[OSCORE_ID_CONTEXT_MAX];
    struct oscore_channel *channel; /* a reference, or NULL */
};

struct oscore_keeper {
    struct oscore_service service;
    struct hash_key key;
    struct slot_table digests; /* of every entry */
    struct slot_table kids;    /* of entries with a channel, by recipient ID */
    struct entry **entries;
    uint32_t count, cap;
    size_t skipped;
};

/* A reservation on its way to the disk. */
struct reservation {
    struct server *server;
    struct oscore_channel *channel; /* a reference */
    uint64_t limit;
    uint16_t epoch;
};

/* ---- entries ---- */

static uint32_t hash_of(const struct oscore_keeper *keeper, struct slice bytes) {
    return (uint32_t)(hash_slice(&keeper->key, bytes) >> 32);
}

static struct entry *find_digest(struct oscore_keeper *keeper, struct slice digest) {
    struct slot_search search;
    uint32_t hash = hash_of(keeper, digest);
    for (uint32_t slot = slot_search_first(&search, &keeper->digests, hash); slot != SLOT_NONE;
         slot = slot_search_next(&search)) {
        if (slice_equal(slice_of(keeper->entries[slot]->digest, DIGEST), digest))
            return keeper->entries[slot];
    }
    return NULL;
}

static struct entry *add_entry(struct oscore_keeper *keeper, struct slice digest) {
    uint32_t hash = hash_of(keeper, digest);
    if (keeper->count == keeper->cap) {
        uint32_t cap = keeper->cap == 0 ? ENTRIES_MIN : keeper->cap * 2;
        struct entry **grown = realloc(keeper->entries, cap * sizeof(struct entry *));
        if (grown == NULL)
            return NULL;
        keeper->entries = grown;
        keeper->cap = cap;
    }
    struct entry *entry = slot_table_reserve(&keeper->digests, hash) ? calloc(1, sizeof *entry) : NULL;
    if (entry == NULL)
        return NULL;
    memcpy(entry->digest, digest.data, DIGEST);
    keeper->entries[keeper->count] = entry;
    slot_table_insert(&keeper->digests, hash, keeper->count++);
    return entry;
}

static uint32_t slot_of(const struct oscore_keeper *keeper, const struct entry *entry) {
    struct slot_search search;
    uint32_t slot = slot_search_first(&search, &keeper->digests, hash_of(keeper, slice_of(entry->digest, DIGEST)));
    while (slot != SLOT_NONE && keeper->entries[slot] != entry)
        slot = slot_search_next(&search);
    return slot;
}

static struct entry *find_kid(struct oscore_keeper *keeper, struct slice kid) {
    struct slot_search search;
    for (uint32_t slot = slot_search_first(&search, &keeper->kids, hash_of(keeper, kid)); slot != SLOT_NONE;
         slot = slot_search_next(&search)) {
        const struct oscore_channel *channel = keeper->entries[slot]->channel;
        if (slice_equal(oscore_context_recipient_id(&channel->context), kid))
            return keeper->entries[slot];
    }
    return NULL;
}

/* The channel is nobody's any more: who uses it keeps it, but it opens and closes nothing. */
static void drop_channel(struct oscore_keeper *keeper, struct entry *entry) {
    struct oscore_channel *channel = entry->channel;
    slot_table_remove(&keeper->kids, hash_of(keeper, oscore_context_recipient_id(&channel->context)),
                      slot_of(keeper, entry));
    entry->channel = NULL;
    channel->owner = NULL;
    oscore_channel_end(channel);
    link_unref(&channel->link);
}

/* ---- contexts of credentials ---- */

static struct oscore_secrets secrets_of(const struct credential *c) {
    return (struct oscore_secrets){.master_secret = c->key,
                                   .master_salt = c->salt,
                                   .sender_id = c->sender_id,
                                   .recipient_id = c->identity,
                                   .id_context = c->id_context,
                                   .aead = c->aead,
                                   .hkdf = c->hkdf};
}

static bool digest_of(const struct oscore_secrets *secrets, uint8_t digest[DIGEST]) {
    struct oscore_context context;
    uint8_t input[2 * OSCORE_KEY_MAX + OSCORE_NONCE_MAX], hash[32];
    if (!oscore_context_derive(&context, secrets))
        return false;
    memcpy(input, context.sender_key, OSCORE_KEY_MAX);
    memcpy(input + OSCORE_KEY_MAX, context.recipient_key, OSCORE_KEY_MAX);
    memcpy(input + 2 * OSCORE_KEY_MAX, context.common_iv, OSCORE_NONCE_MAX);
    bool hashed = mbedtls_sha256(input, sizeof input, hash, 0) == 0;
    memcpy(digest, hash, DIGEST);
    oscore_context_wipe(&context);
    mbedtls_platform_zeroize(input, sizeof input);
    return hashed;
}

static struct oscore_channel *make_channel(struct server *server, const struct credential *c) {
    struct oscore_keeper *keeper = server->oscore;
    struct oscore_secrets secrets = secrets_of(c);
    uint8_t digest[DIGEST];
    uint32_t kid_hash = hash_of(keeper, c->identity);
    if (!digest_of(&secrets, digest) || !slot_table_reserve(&keeper->kids, kid_hash))
        return NULL;
    struct entry *entry = find_digest(keeper, slice_of(digest, DIGEST));
    if (entry == NULL)
        entry = add_entry(keeper, slice_of(digest, DIGEST));
    struct oscore_channel *channel = entry == NULL ? NULL : malloc(sizeof *channel);
    if (channel == NULL)
        return NULL;
    bool derived = entry->id_context_len > 0;
    uint64_t limit = derived ? entry->number_limit : entry->static_limit;
    if (derived)
        secrets.id_context = slice_of(entry->id_context, entry->id_context_len);
    if (entry->channel != NULL || !oscore_channel_start(channel, &keeper->service, &secrets, limit, limit)) {
        free(channel);
        return NULL;
    }
    channel->tells = OSCORE_TELLS_NOTHING; /* devices know their server by its sender ID */
    channel->owner = entry;
    entry->channel = channel;
    slot_table_insert(&keeper->kids, kid_hash, slot_of(keeper, entry));
    return channel;
}

/* ---- handlers ---- */

static struct oscore_channel *on_find(void *arg, struct slice kid, struct slice kid_context) {
    struct server *server = arg;
    (void)kid_context;
    struct entry *entry = find_kid(server->oscore, kid);
    if (entry != NULL)
        return entry->channel;
    const struct credential *c = credentials_find_recipient(server->credentials, kid, CREDENTIAL_EVERY_SERVICE);
    return c == NULL ? NULL : make_channel(server, c);
}

static const struct credential *credential_of(const struct server *server, const struct oscore_channel *channel) {
    return credentials_find_recipient(server->credentials, channel->identity.name, CREDENTIAL_EVERY_SERVICE);
}

static bool on_secrets(void *arg, const struct oscore_channel *channel, struct oscore_secrets *secrets) {
    const struct credential *c = credential_of(arg, channel);
    if (c != NULL)
        *secrets = secrets_of(c);
    return c != NULL;
}

static void on_reserved(void *arg, enum store_result result) {
    struct reservation *reservation = arg;
    clock_update(&reservation->server->clock);
    if (result == STORE_OK)
        oscore_channel_reserved(reservation->channel, reservation->epoch, reservation->limit);
    else
        oscore_channel_not_reserved(reservation->channel, reservation->epoch);
    link_unref(&reservation->channel->link);
    free(reservation);
}

static enum store_result write_entry(struct server *server, const struct entry *entry, store_done_fn *done, void *arg) {
    const struct store_oscore_context row = {.digest = slice_of(entry->digest, DIGEST),
                                             .id_context = slice_of(entry->id_context, entry->id_context_len),
                                             .static_limit = entry->static_limit,
                                             .number_limit = entry->number_limit};
    return store_put_oscore_context(server->store, &row, done, arg);
}

static bool is_configured(const struct server *server, const struct oscore_channel *channel) {
    const struct credential *c = credential_of(server, channel);
    return c != NULL && slice_equal(c->id_context, oscore_context_id_context(&channel->context));
}

static void on_reserve(void *arg, struct oscore_channel *channel, uint64_t limit) {
    struct server *server = arg;
    struct entry *entry = channel->owner;
    struct reservation *reservation = entry == NULL ? NULL : malloc(sizeof *reservation);
    if (reservation == NULL) {
        oscore_channel_not_reserved(channel, channel->epoch);
        return;
    }
    *reservation = (struct reservation){server, channel, limit, channel->epoch};
    link_ref(&channel->link);
    if (is_configured(server, channel)) {
        entry->static_limit = limit;
    } else {
        entry->number_limit = limit;
        entry->id_context_len = channel->context.id_context_len;
        memcpy(entry->id_context, channel->context.id_context, sizeof entry->id_context);
    }
    enum store_result result = write_entry(server, entry, on_reserved, reservation);
    if (result != STORE_OK)
        on_reserved(reservation, result);
}

static void on_moved(void *arg, struct oscore_channel *channel, struct link *before) {
    struct server *server = arg;
    struct registration *r = server_owner_of(server, &channel->link);
    if (r == NULL || before == NULL || address_equal(&before->peer, &channel->link.peer))
        return;
    register_tell_address(server, r, &before->peer);
    persist_soon(server, r, UNSAVED_ALL);
}

/* Notifications of what was observed before can't be opened any more: it is observed again when the device is heard. */
static void on_renewed(void *arg, struct oscore_channel *channel) {
    struct server *server = arg;
    struct registration *r = server_owner_of(server, &channel->link);
    const struct credential *c = credential_of(server, channel);
    uint8_t memory[FACTS_MAX], hex_memory[2 * OSCORE_ID_MAX];
    struct buffer facts = buffer_over(memory, sizeof memory), hex = buffer_over(hex_memory, sizeof hex_memory);
    text_put_hex(&hex, channel->identity.name);
    event_fact_put(&facts, EVENT_FACT_SECURITY, slice_str(link_security_name(LINK_OSCORE)));
    event_fact_put(&facts, EVENT_FACT_IDENTITY, buffer_slice(&hex));
    struct event event = {.type = EVENT_OSCORE_DERIVED,
                          .endpoint = c == NULL ? SLICE_NONE : c->endpoint,
                          .address = channel->link.peer,
                          .facts = buffer_slice(&facts)};
    event_publish(server->events, &event);
    persist_event_numbers(server);
    if (r != NULL)
        contact_context_lost(server, r);
}

static void on_release(void *arg, struct oscore_channel *channel) {
    (void)arg;
    free(channel);
}

/* ---- life ---- */

bool oscore_service_begin(struct server *server, char *error, size_t error_size) {
    server->oscore = calloc(1, sizeof *server->oscore);
    if (server->oscore == NULL) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    server->oscore->key = hash_key_random();
    return true;
}

static void load(void *arg, const struct store_oscore_context *row) {
    struct oscore_keeper *keeper = arg;
    bool good = row->digest.len == DIGEST && row->id_context.len <= OSCORE_ID_CONTEXT_MAX &&
                row->static_limit <= OSCORE_NUMBER_END && row->number_limit <= OSCORE_NUMBER_END;
    struct entry *entry = good ? add_entry(keeper, row->digest) : NULL;
    if (entry == NULL) {
        keeper->skipped++;
        return;
    }
    entry->static_limit = row->static_limit;
    entry->number_limit = row->number_limit;
    entry->id_context_len = (uint8_t)row->id_context.len;
    if (row->id_context.len > 0)
        memcpy(entry->id_context, row->id_context.data, row->id_context.len);
}

bool oscore_service_load(struct server *server, char *error, size_t error_size) {
    struct oscore_keeper *keeper = server->oscore;
    if (!store_load_oscore_contexts(server->store, load, keeper, error, error_size))
        return false;
    if (keeper->skipped > 0) { /* numbers would come again */
        snprintf(error, error_size,
                 "%zu stored OSCORE contexts make no sense: the database was changed by somebody else",
                 keeper->skipped);
        return false;
    }
    uint32_t slot = 0;
    for (const struct credential *c; (c = credentials_next(server->credentials, &slot)) != NULL;) {
        if (c->mode != CREDENTIAL_OSCORE)
            continue;
        oscore_service_credential_put(server);
        break;
    }
    return true;
}

void oscore_service_credential_put(struct server *server) {
    static const struct oscore_handlers handlers = {.find = on_find,
                                                    .secrets = on_secrets,
                                                    .reserve = on_reserve,
                                                    .moved = on_moved,
                                                    .renewed = on_renewed,
                                                    .release = on_release};
    if (server->oscore->service.endpoint == NULL)
        oscore_service_start(&server->oscore->service, &handlers, server, server->coap, &server->clock);
}

void oscore_service_end(struct server *server) {
    struct oscore_keeper *keeper = server->oscore;
    for (uint32_t i = 0; keeper != NULL && i < keeper->count; i++) {
        if (keeper->entries[i]->channel != NULL)
            drop_channel(keeper, keeper->entries[i]);
    }
}

void oscore_service_free(struct server *server) {
    struct oscore_keeper *keeper = server->oscore;
    if (keeper == NULL)
        return;
    for (uint32_t i = 0; i < keeper->count; i++)
        free(keeper->entries[i]);
    free(keeper->entries);
    slot_table_free(&keeper->digests);
    slot_table_free(&keeper->kids);
    free(keeper);
    server->oscore = NULL;
}

struct link *oscore_service_link(struct server *server, const struct store_registration *row, struct link *carrier) {
    struct oscore_channel *channel = on_find(server, row->identity, SLICE_NONE);
    if (channel == NULL)
        return absent_link_new(carrier->listener, &carrier->peer, LINK_OSCORE, row->identity);
    oscore_channel_carry(channel, carrier);
    return link_ref(&channel->link);
}

void oscore_service_credential_gone(struct server *server, const struct credential *credential) {
    struct oscore_keeper *keeper = server->oscore;
    if (credential->mode != CREDENTIAL_OSCORE || credential->services != 0 || keeper == NULL)
        return;
    struct oscore_secrets secrets = secrets_of(credential);
    uint8_t digest[DIGEST];
    struct entry *entry = digest_of(&secrets, digest) ? find_digest(keeper, slice_of(digest, DIGEST)) : NULL;
    if (entry == NULL)
        return;
    if (entry->channel != NULL)
        drop_channel(keeper, entry);
    if (entry->id_context_len == 0)
        return;
    entry->id_context_len = 0; /* who has it again begins with the context as configured */
    entry->number_limit = 0;
    write_entry(server, entry, NULL, NULL);
}

bool oscore_service_rederive(struct server *server, struct link *link) {
    struct oscore_channel *channel = oscore_channel_of(link);
    (void)server;
    return channel != NULL && channel->owner != NULL && oscore_channel_rederive(channel, false);
}
