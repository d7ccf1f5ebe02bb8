#include "server/persist.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/dtls_service.h"
#include "server/names.h"

enum {
    FLUSH_AFTER_MS = 500,
    RETRY_AFTER_MS = 2000,
    DELETE_AFTER_MS = 20, /* so that many which end together go together */
    REFRESHES_AT_ONCE = 256,
    DELETIONS_UNDER_WAY_MAX = 1024, /* the next batch, and whoever waits for it, comes behind no more than these */
    STRIDE = 1 << 20,               /* numbers reserved at once */
    SECURITY_SHIFT = 24,            /* of a row's flags: two bits */
    TRANSPORT_SHIFT = 26,           /* three bits: one more than the transport, 0 in rows older than them */
};

static void flush(struct server *server, size_t deletions_max);

static void on_flush(struct timer *timer, void *arg) {
    (void)timer;
    flush(arg, DELETIONS_UNDER_WAY_MAX);
}

static void flush_in(struct server *server, uint64_t delay_ms) {
    if (!timer_is_scheduled(&server->flush))
        timer_schedule(&server->wheel, &server->flush, clock_now_ms(&server->clock) + delay_ms, on_flush);
}

struct store_registration persist_row(const struct registration *r) {
    return (struct store_registration){
        .id = r->id,
        .endpoint = registration_endpoint(r),
        .location = registration_location(r),
        .links = registration_links(r),
        .root = registration_root(r),
        .query = registration_query(r),
        .sms = registration_sms(r),
        .identity = registration_identity(r),
        .session = dtls_service_session_id(r->link),
        .address = slice_of(&r->link->peer, sizeof r->link->peer),
        .local = slice_of(&r->link->local, sizeof r->link->local),
        .listener = r->link->listener->number,
        .lifetime_s = r->lifetime_s,
        .flags = (uint32_t)r->version | (uint32_t)r->binding << 8 | (uint32_t)r->queue_mode << 16 |
                 (uint32_t)r->profile << 17 | (uint32_t)r->security << SECURITY_SHIFT |
                 (uint32_t)(r->link->listener->transport + 1) << TRANSPORT_SHIFT,
        .registered_at_ms = r->registered_at_ms,
        .updated_at_ms = r->updated_at_ms,
        .expires_at_ms = r->expires_at_ms,
    };
}

enum link_security persist_row_security(const struct store_registration *row) {
    return (enum link_security)(row->flags >> SECURITY_SHIFT & 3);
}

enum link_transport persist_row_transport(const struct store_registration *row) {
    uint32_t stored = row->flags >> TRANSPORT_SHIFT & 7;
    if (stored == 0)
        return persist_row_security(row) == LINK_NO_SECURITY ? LINK_UDP : LINK_DTLS;
    return (enum link_transport)(stored - 1);
}

static bool append_slot(struct server *server, uint32_t slot) {
    if (server->dirty_count == server->dirty_cap) {
        size_t cap = server->dirty_cap == 0 ? 256 : server->dirty_cap * 2;
        uint32_t *grown = realloc(server->dirty, cap * sizeof *grown);
        if (grown == NULL)
            return false;
        server->dirty = grown;
        server->dirty_cap = cap;
    }
    server->dirty[server->dirty_count++] = slot;
    return true;
}

static void mark(struct server *server, struct registration *r, enum registration_unsaved what) {
    if (r->unsaved == UNSAVED_NOTHING && !append_slot(server, r->slot))
        return;
    if (what > r->unsaved)
        r->unsaved = (uint8_t)what;
}

void persist_soon(struct server *server, struct registration *r, enum registration_unsaved what) {
    uint64_t now_ms = clock_now_ms(&server->clock);
    if (now_ms / 1000 != server->heartbeat_s) {
        server->heartbeat_s = now_ms / 1000;
        store_heartbeat(server->store, now_ms);
    }
    mark(server, r, what);
    flush_in(server, FLUSH_AFTER_MS);
}

void persist_windows_soon(struct server *server) {
    flush_in(server, FLUSH_AFTER_MS);
}

/* ---- deletions ---- */

static void remember_deletion(struct unsaved_ids *unsaved, uint64_t id) {
    if (unsaved->count == unsaved->cap) {
        size_t cap = unsaved->cap == 0 ? 64 : unsaved->cap * 2;
        uint64_t *grown = realloc(unsaved->ids, cap * sizeof *grown);
        if (grown == NULL)
            return; /* a registration will be found expired after the next start, an observation without one */
        unsaved->ids = grown;
        unsaved->cap = cap;
    }
    unsaved->ids[unsaved->count++] = id;
}

void persist_deletion(struct server *server, uint64_t id) {
    remember_deletion(&server->unsaved_deletions, id);
    flush_in(server, DELETE_AFTER_MS);
}

void persist_observation_deletion(struct server *server, uint64_t id) {
    remember_deletion(&server->unsaved_observation_deletions, id);
    flush_in(server, DELETE_AFTER_MS);
}

/* What went to the store together, to be marked again if it comes back. */
struct written {
    struct server *server;
    size_t count;
    struct unsaved_ids *deletions; /* where ids to delete go back to; NULL: registrations were written */
    struct {
        uint64_t id;
        uint32_t slot;
        uint8_t what; /* enum registration_unsaved */
    } items[REFRESHES_AT_ONCE];
};

static void on_written(void *arg, enum store_result result) {
    struct written *written = arg;
    struct server *server = written->server;
    for (size_t i = 0; result != STORE_OK && i < written->count; i++) {
        if (written->deletions != NULL) {
            remember_deletion(written->deletions, written->items[i].id);
            continue;
        }
        struct registration *r = directory_at(server->directory, written->items[i].slot);
        if (r != NULL && r->id == written->items[i].id)
            mark(server, r, (enum registration_unsaved)written->items[i].what);
    }
    if (written->deletions != NULL)
        written->deletions->under_way -= written->count;
    if (result != STORE_OK)
        flush_in(server, RETRY_AFTER_MS);
    else if (written->deletions != NULL && written->deletions->count > 0)
        timer_schedule(&server->wheel, &server->flush, clock_now_ms(&server->clock), on_flush);
    free(written);
}

typedef enum store_result delete_fn(struct store *store, const uint64_t *ids, size_t count, store_done_fn *done,
                                    void *arg);

static void flush_deletions(struct server *server, struct unsaved_ids *unsaved, size_t under_way_max,
                            delete_fn *delete) {
    while (unsaved->count > 0 && unsaved->under_way < under_way_max) {
        struct written *written = malloc(sizeof *written);
        if (written == NULL)
            return;
        *written = (struct written){.server = server, .deletions = unsaved};
        uint64_t ids[REFRESHES_AT_ONCE];
        while (written->count < REFRESHES_AT_ONCE && unsaved->count > 0) {
            ids[written->count] = unsaved->ids[--unsaved->count];
            written->items[written->count].id = ids[written->count];
            written->count++;
        }
        unsaved->under_way += written->count;
        enum store_result result = delete (server->store, ids, written->count, on_written, written);
        if (result != STORE_OK) {
            on_written(written, result);
            return;
        }
    }
}

static void write_refreshes(struct server *server, struct written *written, const struct store_refresh *refreshes) {
    if (written == NULL)
        return;
    if (written->count == 0) {
        free(written);
        return;
    }
    enum store_result result =
        store_refresh_registrations(server->store, refreshes, written->count, on_written, written);
    if (result != STORE_OK)
        on_written(written, result);
}

static void write_all(struct server *server, struct registration *r) {
    struct written *written = malloc(sizeof *written);
    if (written == NULL) {
        mark(server, r, UNSAVED_ALL);
        return;
    }
    *written = (struct written){.server = server, .count = 1};
    written->items[0].id = r->id;
    written->items[0].slot = r->slot;
    written->items[0].what = UNSAVED_ALL;
    struct store_registration row = persist_row(r);
    enum store_result result = store_put_registration(server->store, &row, NULL, 0, on_written, written);
    if (result != STORE_OK)
        on_written(written, result);
}

/* What is under way brings those that wait on, when it ends. */
static bool waits(const struct unsaved_ids *unsaved) {
    return unsaved->count > 0 && unsaved->under_way == 0;
}

static void flush(struct server *server, size_t deletions_max) {
    timer_cancel(&server->wheel, &server->flush);
    dtls_service_write_windows(server);
    flush_deletions(server, &server->unsaved_deletions, deletions_max, store_delete_registrations);
    flush_deletions(server, &server->unsaved_observation_deletions, deletions_max, store_delete_observations);
    /* What fails at once is marked again while we walk, so walk what is there now. */
    uint32_t *slots = server->dirty;
    size_t count = server->dirty_count;
    server->dirty = NULL;
    server->dirty_count = server->dirty_cap = 0;
    struct written *written = NULL;
    struct store_refresh refreshes[REFRESHES_AT_ONCE];
    for (size_t i = 0; i < count; i++) {
        struct registration *r = directory_at(server->directory, slots[i]);
        if (r == NULL || r->unsaved == UNSAVED_NOTHING)
            continue;
        uint8_t what = r->unsaved;
        r->unsaved = UNSAVED_NOTHING;
        if (r->leaving) { /* written again only if the deletion fails */
            mark(server, r, (enum registration_unsaved)what);
            continue;
        }
        if (what == UNSAVED_ALL) {
            write_all(server, r);
            continue;
        }
        if (written == NULL && (written = malloc(sizeof *written)) != NULL)
            *written = (struct written){.server = server};
        if (written == NULL) {
            mark(server, r, UNSAVED_LEASE);
            continue;
        }
        refreshes[written->count] = (struct store_refresh){r->id, r->updated_at_ms, r->expires_at_ms};
        written->items[written->count].id = r->id;
        written->items[written->count].slot = r->slot;
        written->items[written->count].what = UNSAVED_LEASE;
        if (++written->count == REFRESHES_AT_ONCE) {
            write_refreshes(server, written, refreshes);
            written = NULL;
        }
    }
    write_refreshes(server, written, refreshes);
    if (server->dirty == NULL) { /* nothing came back: keep the memory for the next round */
        server->dirty = slots;
        server->dirty_cap = slots == NULL ? 0 : count;
    } else {
        free(slots);
    }
    if (store_problem(server->store) != NULL) {
        persist_clock(server); /* nothing else may be waiting to show that it works again */
        flush_in(server, RETRY_AFTER_MS);
    } else if (server->dirty_count > 0 || waits(&server->unsaved_deletions) ||
               waits(&server->unsaved_observation_deletions)) {
        flush_in(server, RETRY_AFTER_MS);
    }
}

void persist_flush(struct server *server) {
    flush(server, SIZE_MAX);
}

void persist_until_it_works(struct server *server) {
    flush_in(server, RETRY_AFTER_MS);
}

/* ---- settings ---- */

static void put_number(struct server *server, const char *name, uint64_t value) {
    char text[24];
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    store_put_setting(server->store, name, slice_of(text, (size_t)len), NULL, NULL);
}

/* The number reserved from now on, given that `last` is in use and numbers up to `reserved` may be used. */
static uint64_t reserve(struct server *server, const char *name, uint64_t last, uint64_t reserved) {
    if (reserved > last + STRIDE / 2)
        return reserved;
    put_number(server, name, last + STRIDE);
    return last + STRIDE;
}

void persist_event_numbers(struct server *server) {
    server->reserved_event_id =
        reserve(server, SETTING_EVENT_NUMBERS, event_last_id(server->events), server->reserved_event_id);
}

void persist_last_event_number(struct server *server) {
    put_number(server, SETTING_EVENT_NUMBERS, event_last_id(server->events));
}

void persist_registration_ids(struct server *server) {
    server->reserved_registration_id =
        reserve(server, SETTING_REGISTRATION_IDS, server->next_registration_id, server->reserved_registration_id);
}

void persist_observation_ids(struct server *server) {
    server->reserved_observation_id =
        reserve(server, SETTING_OBSERVATION_IDS, server->next_observation_id, server->reserved_observation_id);
}

uint64_t persist_request_ids(struct server *server, uint64_t last, uint64_t reserved) {
    return reserve(server, SETTING_REQUEST_IDS, last, reserved);
}

void persist_clock(struct server *server) {
    put_number(server, SETTING_CLOCK_LEAPT, server->clock.leapt_ms);
}
