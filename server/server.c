#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/slab.h"
#include "common/coap/stream.h"
#include "db/shared_files.h"
#include "server/announced_observation.h"
#include "server/bootstrap.h"
#include "server/connection.h"
#include "server/contact.h"
#include "server/dtls_service.h"
#include "server/event_keeper.h"
#include "server/expiry.h"
#include "server/fault.h"
#include "server/fault_wire.h"
#include "server/firmware_serve.h"
#include "server/firmware_update.h"
#include "server/issuer.h"
#include "server/key_file.h"
#include "server/names.h"
#include "server/objects.h"
#include "server/oscore_service.h"
#include "server/own_pki.h"
#include "server/persist.h"
#include "server/queue.h"
#include "server/queue_settings.h"
#include "server/route.h"
#include "server/trace.h"
#include "server/traffic.h"

enum { SETTLE_AFTER_MS = 300000 };

_Static_assert((int)CONFIG_LISTENERS_MAX <= (int)UDP_WORKER_SOCKETS_MAX, "every worker has a socket of each listener");

/* A storm of handshakes or registrations leaves a heap full of holes. malloc would use them again, and they are many
 * times what a sleeping device costs; so their pages go back to the system, five minutes after the storm has begun and
 * once more five minutes after its end, when also its messages are forgotten (RFC 7252 §4.8.2). */
static void on_settle(struct timer *timer, void *arg) {
    struct server *server = arg;
    store_settle(server->store);
    malloc_trim(0);
    if (server->settled_ms > server->wheel.now_ms)
        timer_schedule(&server->wheel, timer, server->settled_ms, on_settle);
}

void server_settle_later(struct server *server) {
    server->settled_ms = clock_now_ms(&server->clock) + SETTLE_AFTER_MS;
    if (!timer_is_scheduled(&server->settle))
        timer_schedule(&server->wheel, &server->settle, server->settled_ms, on_settle);
}

/* ---- what the layers below report ---- */

static void on_request(void *arg, const struct coap_request *request) {
    route_request(arg, request);
}

struct registration *server_owner_of(const struct server *server, const struct link *link) {
    struct registration *r = link->owner == 0 ? NULL : directory_at(server->directory, link->owner - 1);
    return r == NULL || r->link != link ? NULL : r;
}

/* Its endpoint, "" when there is none. */
static struct slice endpoint_on(const struct server *server, const struct link *link) {
    const struct registration *r = server_owner_of(server, link);
    return r == NULL ? SLICE_NONE : registration_endpoint(r);
}

void server_tell_oddity(void *arg, struct link *link, bool rejected, const char *what) {
    struct server *server = arg;
    struct event event = {.type = rejected ? EVENT_REJECTED : EVENT_ODDITY,
                          .endpoint = endpoint_on(server, link),
                          .detail = slice_str(what),
                          .address = link->peer};
    event_publish(server->events, &event);
}

static bool on_stray_response(void *arg, struct link *link, const struct coap_message *message) {
    struct server *server = arg;
    struct registration *r = server_owner_of(server, link);
    return r != NULL && announced_observation_adopt(server, r, message->token);
}

static void on_inner(void *arg, struct link *base, bool sent, const struct coap_message *inner) {
    const struct server *server = arg;
    if (server->trace != NULL)
        trace_inner(server->trace, base, sent, inner);
}

/* Keepalives hold connections; a ping in a datagram holds nothing, and is only counted. */
static void on_ping(void *arg, struct link *link) {
    struct server *server = arg;
    if (link->ops->close == NULL)
        return;
    struct event event = {.type = EVENT_PING, .endpoint = endpoint_on(server, link), .address = link->peer};
    event_publish(server->events, &event);
}

void server_receive(struct server *server, struct link *link, struct slice message) {
    if (server->provoked)
        fault_wire_receive(server, link, message);
    else
        server_deliver(server, link, message);
}

/* Of a node whose turn may be over, only requests are looked at, to be refused: nothing else is acknowledged. */
static bool is_to_be_refused(const struct link *link, struct slice bytes) {
    struct coap_message message;
    enum coap_decode_result result =
        link->framing == LINK_STREAM_8323 ? coap_stream_decode(bytes, &message) : coap_decode(bytes, &message);
    return result == COAP_DECODE_OK && message.code >= COAP_GET && message.code >> 5 == 0;
}

void server_deliver(struct server *server, struct link *link, struct slice message) {
    if (!cluster_may_serve(server->cluster) && !is_to_be_refused(link, message))
        return;
    coap_receive(server->coap, link, message);
    struct registration *r = server_owner_of(server, link);
    if (r != NULL)
        contact_any(server, r);
    for (const struct link *carried = link->carried; carried != NULL; carried = carried->next_carried) {
        r = server_owner_of(server, carried);
        if (r != NULL)
            contact_any(server, r);
    }
}

static void on_datagram(void *arg, struct link *link, struct slice datagram) {
    struct server *server = arg;
    clock_update(&server->clock);
    server_receive(server, link, datagram);
}

/* ---- loading ---- */

struct loading {
    struct server *server;
    uint64_t now_ms;
    uint64_t alive_ms; /* an unclean end was not before this; 0 after a clean one */
    size_t skipped;
};

static bool read_address(struct slice bytes, struct address *address) {
    if (bytes.len != sizeof *address)
        return false;
    memcpy(address, bytes.data, sizeof *address);
    return address->family == ADDRESS_IPV4 || address->family == ADDRESS_IPV6;
}

/* A device that came over a connection comes back over another one; until then it is unreachable. */
static struct link *closed_link_for(struct server *server, const struct store_registration *row,
                                    const struct address *peer, const struct address *local) {
    struct listener *listener = NULL;
    const struct link_identity identity = {.security = persist_row_security(row), .name = row->identity};
    for (size_t i = 0; i < server->config->listener_count; i++) {
        struct listener *one = &server->listeners[i];
        if (one->transport == persist_row_transport(row) && (listener == NULL || one->number == row->listener))
            listener = one;
    }
    if (listener == NULL)
        return NULL;
    return stream_closed_link(listener, peer, local, identity.security == LINK_NO_SECURITY ? NULL : &identity);
}

/* The listener it came through, or the first one that can reach it: listeners may have changed since. */
static struct link *carrier_for(struct server *server, const struct store_registration *row) {
    struct address peer, local;
    if (!read_address(row->address, &peer))
        return NULL;
    bool has_local = read_address(row->local, &local);
    struct link *link = NULL;
    if (link_transport_connects(persist_row_transport(row)))
        return closed_link_for(server, row, &peer, has_local ? &local : NULL);
    if (persist_row_transport(row) == LINK_DTLS)
        return dtls_service_link(server, row, &peer);
    if (row->listener < server->config->listener_count && server->listeners[row->listener].transport == LINK_UDP)
        link = udp_link(server->udp, &server->listeners[row->listener], &peer, has_local ? &local : NULL);
    for (size_t i = 0; link == NULL && i < server->config->listener_count; i++) {
        if (server->listeners[i].transport == LINK_UDP)
            link = udp_link(server->udp, &server->listeners[i], &peer, NULL);
    }
    if (link != NULL)
        link->verified = true; /* it was there before; whoever forged it can't make the server start anew */
    return link;
}

static struct link *link_for(struct server *server, const struct store_registration *row) {
    struct link *carrier = carrier_for(server, row);
    if (carrier == NULL || persist_row_security(row) != LINK_OSCORE)
        return carrier;
    struct link *link = oscore_service_link(server, row, carrier);
    link_unref(carrier);
    return link;
}

static void on_older_row(void *arg, struct registration *old) {
    struct server *server = arg;
    timer_cancel(&server->wheel, &old->expiry);
    persist_deletion(server, old->id);
}

/* Whoever was there when the process died may have refreshed its lifetime in the second that was not committed. Nobody
 * expires sooner than promised: everybody gets a lifetime from the last moment at which that can have happened. */
static bool extend_after_crash(const struct loading *loading, struct registration *r) {
    if (loading->alive_ms == 0 || r->expires_at_ms == UINT64_MAX)
        return false;
    uint64_t promised_ms = loading->alive_ms + 1000 + (uint64_t)r->lifetime_s * 1000;
    if (promised_ms <= r->expires_at_ms)
        return false;
    r->expires_at_ms = promised_ms;
    return true;
}

static void load(void *arg, const struct store_registration *row) {
    struct loading *loading = arg;
    struct server *server = loading->server;
    struct link *link = link_for(server, row);
    struct registration_content content = {
        .endpoint = row->endpoint,
        .root = row->root,
        .query = row->query,
        .sms = row->sms,
        .links = row->links,
        .location = row->location,
        .lifetime_s = row->lifetime_s,
        .version = (enum lwm2m_version)(row->flags & 0xff),
        .binding = (uint8_t)(row->flags >> 8 & 0xff),
        .queue_mode = (row->flags >> 16 & 1) != 0,
        .profile = (row->flags >> 17 & 1) != 0 ? PROFILE_PELION : PROFILE_STANDARD,
        .identity = row->identity,
        .security = persist_row_security(row),
    };
    struct registration *r = link == NULL ? NULL : directory_add(server->directory, row->id, &content, link);
    if (link != NULL)
        link_unref(link);
    if (r == NULL) {
        loading->skipped++;
        return;
    }
    directory_commit(server->directory, r, on_older_row, server);
    link->owner = r->slot + 1;
    r->registered_at_ms = row->registered_at_ms;
    r->updated_at_ms = row->updated_at_ms;
    r->expires_at_ms = row->expires_at_ms;
    bool extended = extend_after_crash(loading, r);
    uint64_t gone_ms =
        r->expires_at_ms == UINT64_MAX ? UINT64_MAX : r->expires_at_ms + (uint64_t)server->config->grace_s * 1000;
    if (server->config->grant_lifetime_on_start && gone_ms <= loading->now_ms) {
        r->expires_at_ms = loading->now_ms + (uint64_t)r->lifetime_s * 1000;
        extended = true;
    }
    if (extended)
        persist_soon(server, r, UNSAVED_LEASE);
    expiry_resume(server, r);
    if (server->next_registration_id <= row->id)
        server->next_registration_id = row->id + 1;
}

static void expect(void *arg, const struct store_registration *row, bool is_near) {
    const struct loading *loading = arg;
    if (!is_near)
        directory_expect(loading->server->directory, row->endpoint, row->location);
    dtls_service_expect(loading->server, row, is_near);
}

static uint64_t read_number(struct server *server, const char *name) {
    char text[24];
    long len = store_get_setting(server->store, name, text, sizeof text);
    uint64_t value = 0;
    if (len > 0 && (size_t)len <= sizeof text)
        slice_to_u64(slice_of(text, (size_t)len), UINT64_MAX, &value);
    return value;
}

/* ---- credentials ---- */

static void on_credential_gone(void *arg, const struct credential *credential, bool removed) {
    dtls_service_credential_gone(arg, credential, removed);
    oscore_service_credential_gone(arg, credential);
}

static void on_credential_put(void *arg, const struct credential *credential) {
    if (credential->mode == CREDENTIAL_OSCORE)
        oscore_service_credential_put(arg);
}

static bool load_credentials(struct server *server, char *error, size_t error_size) {
    const struct config *config = server->config;
    if (!credentials_load(server->credentials, error, error_size))
        return false;
    for (size_t i = 0; i < config->psk_count; i++) {
        const struct config_psk *psk = &config->psks[i];
        struct credential credential = {.endpoint = psk->identity,
                                        .mode = CREDENTIAL_PSK,
                                        .services = CREDENTIAL_EVERY_SERVICE,
                                        .identity = psk->identity,
                                        .key = slice_of(psk->key, psk->key_len)};
        if (!credentials_give(server->credentials, &credential)) {
            snprintf(error, error_size, "--psk: the identity %.*s belongs to another endpoint in the database",
                     (int)psk->identity.len, (const char *)psk->identity.data);
            return false;
        }
    }
    return true;
}

/* ---- life ---- */

static bool listen_on(struct server *server, struct listener *listener, char *error, size_t error_size) {
    if (link_transport_connects(listener->transport))
        return stream_listen(server->streams, listener, error, error_size);
    int result = udp_listen(server->udp, listener);
    if (result < 0)
        snprintf(error, error_size, "cannot listen on %s: %s", listener->uri, strerror(-result));
    return result == 0;
}

void server_show_port(struct listener *listener) {
    uint8_t text[ADDRESS_TEXT_MAX];
    struct buffer address = buffer_over(text, sizeof text);
    address_put(&address, &listener->address);
    const char *authority = strstr(listener->uri, "://") + strlen("://");
    const char *rest = strpbrk(authority, "/?");
    char scheme[16], tail[64];
    snprintf(scheme, sizeof scheme, "%.*s", (int)(authority - listener->uri), listener->uri);
    snprintf(tail, sizeof tail, "%s", rest == NULL ? "" : rest);
    snprintf(listener->uri, sizeof listener->uri, "%s%.*s%s", scheme, (int)address.len, (const char *)text, tail);
}

static bool start_listening(struct server *server, char *error, size_t error_size) {
    for (size_t i = 0; i < server->config->listener_count; i++) {
        struct listener *listener = &server->listeners[i];
        uint16_t asked = listener->address.port;
        if (!listen_on(server, listener, error, error_size))
            return false;
        if (asked == 0)
            server_show_port(listener);
    }
    int result = udp_start_workers(server->udp);
    if (result < 0)
        snprintf(error, error_size, "--workers: %s", strerror(-result));
    return result == 0;
}

static bool load_all(struct server *server, char *error, size_t error_size) {
    struct loading loading = {.server = server, .now_ms = clock_now_ms(&server->clock)};
    if (server->cluster != NULL) {
        uint64_t silence_ms = cluster_silence_ms(server->cluster); /* what this process knows of its last run is old */
        if (silence_ms < loading.now_ms)
            loading.alive_ms = loading.now_ms - silence_ms;
    } else if (store_was_unclean(server->store)) {
        loading.alive_ms = store_last_heartbeat_ms(server->store);
        log_write(LOG_INFO, "server", "the last run did not end properly; everything acknowledged is here");
    }
    store_heartbeat(server->store, loading.now_ms);
    server->heartbeat_s = loading.now_ms / 1000;
    if (!objects_load(server, error, error_size) || !load_credentials(server, error, error_size) ||
        !bootstrap_configs_load(server->bootstrap_configs, error, error_size) ||
        !dtls_service_load(server, error, error_size) || !oscore_service_load(server, error, error_size) ||
        !store_load_registrations(server->store, load, expect, &loading, error, error_size) ||
        !observations_load(server, error, error_size) || !queue_settings_load(server, error, error_size) ||
        !queue_start(server, read_number(server, SETTING_REQUEST_IDS), error, error_size) ||
        !firmware_updates_load(server, error, error_size))
        return false;
    if (loading.skipped > 0)
        log_write(LOG_WARN, "server", "%zu registrations cannot be reached through any listener and are left out",
                  loading.skipped);
    ticker_turn(&server->ticker);
    return true;
}

/* A node that serves has what the one before had in files… */
static bool fetch_files(struct server *server, char *error, size_t error_size) {
    const struct config *config = server->config;
    struct pki_pair authority;
    if (server->cluster == NULL)
        return true;
    if (!shared_files_fetch(config->database, config->data, error, error_size) ||
        !own_pki_authority(config->data, server->seal, true, &authority, error, error_size))
        return false;
    pki_forget(&authority);
    return true;
}

/* … and whoever comes next has its own. */
static bool send_files(struct server *server, char *error, size_t error_size) {
    const struct config *config = server->config;
    return server->cluster == NULL || shared_files_send(config->database, config->data, error, error_size);
}

static bool start(struct server *server, char *error, size_t error_size) {
    const struct config *config = server->config;
    struct store_options options = {
        .directory = config->data, .database = config->database, .durability = config->durability};
    if (server->cluster != NULL)
        options.holder = cluster_holder(server->cluster);
    server->store = store_open(server->loop, &options, error, error_size);
    if (server->store == NULL)
        return false;
    server->seal = key_file_unlock(server->store, config->data, config->key_file, error, error_size);
    if (server->seal == NULL || !fetch_files(server, error, error_size))
        return false;
    clock_init(&server->clock, read_number(server, SETTING_CLOCK_LEAPT));
    timer_wheel_init(&server->wheel, clock_now_ms(&server->clock), server);
    server->started_at_ms = clock_now_ms(&server->clock);
    server->reserved_event_id = read_number(server, SETTING_EVENT_NUMBERS);
    server->events =
        event_log_new(&server->clock, server->cluster == NULL ? server->reserved_event_id + 1 : 1, config->event_bytes);
    if (server->cluster != NULL && (server->event_keeper = event_keeper_start(server, error, error_size)) == NULL)
        return false;
    server->directory = directory_new();
    server->credentials = credentials_new(server->store, server->seal, on_credential_gone, server);
    if (server->credentials != NULL)
        credentials_watch(server->credentials, on_credential_put);
    struct coap_handlers handlers = {.request = on_request,
                                     .stray_response = on_stray_response,
                                     .oddity = server_tell_oddity,
                                     .ping = on_ping,
                                     .inner = on_inner,
                                     .forwards = firmware_forwards};
    server->coap = coap_endpoint_new(&config->coap, &handlers, server, &server->clock, &server->wheel);
    server->udp = udp_new(server->loop, on_datagram, server);
    if (config->trace && (server->trace = trace_new(server)) == NULL) {
        snprintf(error, error_size, "out of memory for --trace-memory");
        return false;
    }
    connections_start(server);
    if (!traffic_watch(server)) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    bool can_fault = faults_start(server);
    ticker_start(&server->ticker, server->loop, &server->clock, &server->wheel);
    server->observing = observing_new();
    server->bootstrap_configs = bootstrap_configs_new(server->store, server->seal);
    server->issuer = issuer_new(server->loop, config->data, server->seal);
    server->bootstrap = bootstrap_new(server);
    if (server->events == NULL || server->directory == NULL || server->coap == NULL || server->observing == NULL ||
        server->credentials == NULL || server->bootstrap_configs == NULL || server->issuer == NULL ||
        server->bootstrap == NULL || !can_fault) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    int result = udp_set_workers(server->udp, config->workers);
    if (result < 0) {
        snprintf(error, error_size, "--workers: %s", strerror(-result));
        return false;
    }
    /* Ids of registrations that were deleted before the last end must not come again either. */
    server->next_registration_id = read_number(server, SETTING_REGISTRATION_IDS) + 1;
    server->next_observation_id = read_number(server, SETTING_OBSERVATION_IDS) + 1;
    server->firmware_images = firmware_images_new(server, error, error_size);
    if (server->firmware_images == NULL)
        return false;
    server->firmware_updates = firmware_updates_new(server);
    if (server->firmware_updates == NULL) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    if (!oscore_service_begin(server, error, error_size) || !dtls_service_start(server, error, error_size) ||
        !start_listening(server, error, error_size) || !load_all(server, error, error_size) ||
        !send_files(server, error, error_size))
        return false;
    persist_event_numbers(server);
    persist_registration_ids(server);
    persist_observation_ids(server);
    return true;
}

/* Everything in the reverse order of start(), as far as that came. */
static bool stop(struct server *server) {
    bool is_committed = true;
    ticker_end_leaps(&server->ticker);
    faults_stop(server);
    bootstrap_stop(server->bootstrap);
    firmware_updates_end(server->firmware_updates);
    if (server->firmware_images != NULL)
        firmware_images_end(server->firmware_images);
    if (server->coap != NULL) /* what ends with them is stored */
        coap_end_calls(server->coap);
    if (server->store != NULL && server->directory != NULL) {
        persist_flush(server);
        if (server->event_keeper != NULL)
            event_keeper_end(server->event_keeper);
        is_committed = store_close(server->store);
    } else if (server->store != NULL) {
        is_committed = store_close(server->store);
    }
    event_keeper_free(server->event_keeper);
    if (server->directory != NULL) {
        uint32_t slot = 0;
        struct registration *r;
        while ((r = directory_next(server->directory, &slot)) != NULL) {
            timer_cancel(&server->wheel, &r->expiry);
            contact_ended(server, r, EVENT_TYPE_COUNT);
        }
        queue_stop(server);
        queue_settings_clear(server);
    }
    firmware_updates_free(server->firmware_updates);
    firmware_images_free(server->firmware_images);
    trace_free(server->trace); /* what is said at the end is of no device any more */
    server->trace = NULL;
    oscore_service_end(server);
    if (server->coap != NULL)
        coap_endpoint_free(server->coap);
    if (server->directory != NULL)
        directory_free(server->directory);
    if (server->observing != NULL)
        observing_free(server->observing);
    oscore_service_free(server);
    dtls_service_stop(server);
    if (server->events != NULL)
        event_log_free(server->events);
    if (server->udp != NULL) {
        udp_close(server->udp);
        streams_close(server->streams);
        ticker_close(&server->ticker);
    }
    bootstrap_free(server->bootstrap);
    bootstrap_configs_free(server->bootstrap_configs);
    issuer_free(server->issuer);
    credentials_free(server->credentials);
    seal_free(server->seal);
    free(server->dirty);
    free(server->unsaved_deletions.ids);
    free(server->unsaved_observation_deletions.ids);
    return is_committed;
}

struct server *server_start(uv_loop_t *loop, const struct config *config, struct catalogue *catalogue, char *error,
                            size_t error_size) {
    return server_start_node(loop, config, catalogue, NULL, error, error_size);
}

struct server *server_start_node(uv_loop_t *loop, const struct config *config, struct catalogue *catalogue,
                                 struct cluster *cluster, char *error, size_t error_size) {
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL || (server->listeners = calloc(CONFIG_LISTENERS_MAX, sizeof *server->listeners)) == NULL) {
        free(server);
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    server->loop = loop;
    server->config = config;
    server->catalogue = catalogue;
    server->cluster = cluster;
    memcpy(server->listeners, config->listeners, sizeof config->listeners);
    if (start(server, error, error_size))
        return server;
    stop(server);
    uv_run(loop, UV_RUN_DEFAULT); /* close callbacks; the handles lie in `server` */
    slab_free(server->traffic);
    free(server->listeners);
    free(server);
    return NULL;
}

bool server_stop(struct server *server) {
    bool is_committed = stop(server);
    uv_run(server->loop, UV_RUN_DEFAULT);
    slab_free(server->traffic);
    free(server->listeners);
    free(server);
    return is_committed;
}

/* ---- verbs ---- */

void server_drop(struct server *server, struct registration *r, enum event_type type) {
    struct event event = {.type = type,
                          .endpoint = registration_endpoint(r),
                          .location = registration_location(r),
                          .address = r->link->peer,
                          .lifetime_s = r->lifetime_s};
    event_publish(server->events, &event);
    timer_cancel(&server->wheel, &r->expiry);
    contact_ended(server, r, type);
    directory_remove(server->directory, r);
}

struct pending_forget {
    struct server *server;
    store_done_fn *done;
    void *arg;
    uint64_t id;
    uint32_t slot;
};

static void on_forgotten(void *arg, enum store_result result) {
    struct pending_forget *pending = arg;
    clock_update(&pending->server->clock);
    struct registration *r = directory_at(pending->server->directory, pending->slot);
    if (r != NULL && r->id == pending->id) {
        if (result == STORE_OK)
            server_drop(pending->server, r, EVENT_DEREGISTERED);
        else
            r->leaving = false;
    }
    if (result != STORE_OK)
        persist_until_it_works(pending->server);
    pending->done(pending->arg, result);
    free(pending);
}

bool server_forget(struct server *server, struct slice endpoint, store_done_fn *done, void *arg) {
    struct registration *r = directory_find(server->directory, endpoint);
    if (r == NULL)
        return false;
    struct pending_forget *pending = malloc(sizeof *pending);
    if (pending == NULL) {
        done(arg, STORE_IO);
        return true;
    }
    *pending = (struct pending_forget){server, done, arg, r->id, r->slot};
    r->leaving = true;
    enum store_result result = store_delete_registrations(server->store, &r->id, 1, on_forgotten, pending);
    if (result != STORE_OK)
        on_forgotten(pending, result);
    return true;
}

struct pending_leap {
    struct ticker_leap leap; /* first member */
    struct server *server;
    server_leapt_fn *done;
    void *arg;
};

static void on_leapt(struct ticker_leap *leap, uint64_t fired) {
    struct pending_leap *pending = (struct pending_leap *)(void *)leap;
    persist_clock(pending->server);
    if (pending->done != NULL)
        pending->done(pending->arg, fired);
    free(pending);
}

bool server_leap(struct server *server, uint64_t by_ms, server_leapt_fn *done, void *arg) {
    struct pending_leap *pending = malloc(sizeof *pending);
    if (pending == NULL)
        return false;
    *pending = (struct pending_leap){.server = server, .done = done, .arg = arg};
    ticker_leap(&server->ticker, &pending->leap, by_ms, on_leapt);
    return true;
}

struct pending_reset {
    struct server *server;
    store_done_fn *done;
    void *arg;
    uint64_t before_id;         /* registrations from this id on came later */
    uint64_t before_request_id; /* queued requests likewise */
    unsigned scopes;
};

/* While they leave, nothing of them is written behind the clearing of the table. */
static void mark_leaving(struct server *server, uint64_t before_id, bool leaving) {
    uint32_t slot = 0;
    struct registration *r;
    while ((r = directory_next(server->directory, &slot)) != NULL) {
        if (r->id < before_id)
            r->leaving = leaving;
    }
}

static void on_reset(void *arg, enum store_result result) {
    struct pending_reset *pending = arg;
    struct server *server = pending->server;
    if (result != STORE_OK)
        mark_leaving(server, pending->before_id, false);
    if (result == STORE_OK && (pending->scopes & SERVER_RESET_DEVICES) != 0) {
        uint32_t slot = 0;
        struct registration *r;
        while ((r = directory_next(server->directory, &slot)) != NULL) {
            if (r->id >= pending->before_id)
                continue;
            timer_cancel(&server->wheel, &r->expiry);
            contact_ended(server, r, EVENT_TYPE_COUNT);
            directory_remove(server->directory, r);
        }
        queue_drop_before(server, pending->before_request_id);
        firmware_updates_clear(server);
        queue_settings_clear(server);
    }
    if (result == STORE_OK && (pending->scopes & SERVER_RESET_FAULTS) != 0)
        fault_clear(server, SLICE_NONE);
    if (result == STORE_OK && (pending->scopes & SERVER_RESET_EVENTS) != 0)
        event_log_clear(server->events);
    if (result == STORE_OK && (pending->scopes & SERVER_RESET_MESSAGES) != 0 && server->trace != NULL)
        trace_store_clear(trace_store_of(server->trace));
    pending->done(pending->arg, result);
    free(pending);
}

void server_reset(struct server *server, unsigned scopes, store_done_fn *done, void *arg) {
    struct pending_reset *pending = malloc(sizeof *pending);
    if (pending == NULL) {
        done(arg, STORE_IO);
        return;
    }
    *pending = (struct pending_reset){server, done, arg, server->next_registration_id, queue_next_id(server), scopes};
    enum store_result result = STORE_OK;
    bool waits_for_events = server->event_keeper != NULL && (scopes & SERVER_RESET_EVENTS) != 0;
    if (waits_for_events && (scopes & SERVER_RESET_DEVICES) == 0) {
        event_keeper_clear(server->event_keeper, on_reset, pending);
        return;
    }
    if (waits_for_events) /* in the same transaction as the devices, or before them */
        event_keeper_clear(server->event_keeper, NULL, NULL);
    if ((scopes & SERVER_RESET_DEVICES) != 0) {
        mark_leaving(server, pending->before_id, true);
        result = store_clear_registrations(server->store, on_reset, pending);
        if (result == STORE_OK)
            return;
    }
    on_reset(pending, result);
}

const char *server_not_ready(const struct server *server) {
    if (!cluster_may_serve(server->cluster))
        return "the database does not confirm that this node serves";
    return store_problem(server->store);
}
