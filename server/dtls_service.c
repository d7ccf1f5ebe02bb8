#include "server/dtls_service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/text.h"
#include "common/net/key_log.h"
#include "server/absent_link.h"
#include "server/admission.h"
#include "server/bootstrap.h"
#include "server/contact.h"
#include "server/dtls_sessions.h"
#include "server/fault.h"
#include "server/fault_wire.h"
#include "server/issuer.h"
#include "server/own_pki.h"
#include "server/persist.h"
#include "server/private_file.h"
#include "server/register.h"
#include "server/trace.h"
#include "server/traffic.h"

enum {
    FILE_MAX = 65536,
    FACTS_MAX = 768,
    ALERT_CERTIFICATE_EXPIRED = 45,
    ALERT_UNKNOWN_CA = 48,
    ALERT_ACCESS_DENIED = 49,
};

/* ---- identities (handlers) ---- */

/* The credentials that count on a listener: those of the services that are there. */
static unsigned services_of(const struct listener *listener) {
    switch ((enum listener_role)listener->role) {
    case LISTENER_MANAGEMENT:
        return CREDENTIAL_MANAGEMENT;
    case LISTENER_BOOTSTRAP:
        return CREDENTIAL_BOOTSTRAP;
    case LISTENER_EVERYTHING:
        break;
    }
    return CREDENTIAL_EVERY_SERVICE;
}

static bool on_psk(void *arg, const struct listener *listener, struct slice identity, struct buffer *key) {
    struct server *server = arg;
    const struct credential *c = credentials_find_psk(server->credentials, identity, services_of(listener));
    if (c == NULL || fault_refuses(server, FAULT_REFUSE_HANDSHAKE, c->endpoint))
        return false;
    buffer_put_slice(key, c->key);
    return !key->overflow;
}

/* Good when an authority has signed it or a credential has its fingerprint (SEC-13); dates are judged in both cases. */
static int on_certificate(void *arg, const struct listener *listener, const struct dtls_peer_certificate *certificate) {
    struct server *server = arg;
    struct slice endpoint = SLICE_NONE;
    admission_endpoint(server, certificate->identity, services_of(listener), &endpoint);
    if (fault_refuses(server, FAULT_REFUSE_HANDSHAKE, endpoint))
        return ALERT_ACCESS_DENIED;
    bool pinned = credentials_find_fingerprint(server->credentials, certificate->identity->fingerprint,
                                               services_of(listener)) != NULL;
    if (!certificate->chain_trusted && !pinned)
        return ALERT_UNKNOWN_CA;
    return certificate->dates_good ? 0 : ALERT_CERTIFICATE_EXPIRED;
}

/* ---- events ---- */

/* Of which endpoint an identity speaks; "" when of none. */
static struct slice endpoint_of(const struct server *server, const struct link_identity *identity) {
    struct slice endpoint = SLICE_NONE;
    if (identity != NULL && identity->security != LINK_NO_SECURITY)
        admission_endpoint(server, identity, CREDENTIAL_EVERY_SERVICE, &endpoint);
    return endpoint;
}

static void put_identity(struct buffer *facts, const struct link_identity *identity) {
    if (identity == NULL || identity->security == LINK_NO_SECURITY)
        return;
    event_fact_put(facts, EVENT_FACT_SECURITY, slice_str(link_security_name(identity->security)));
    event_fact_put(facts, EVENT_FACT_IDENTITY, identity->name);
}

static void put_session(struct buffer *facts, const struct dtls_description *description) {
    uint8_t hex_memory[2 * DTLS_CID_MAX];
    struct buffer hex = buffer_over(hex_memory, sizeof hex_memory);
    text_put_hex(&hex, description->cid);
    event_fact_put(facts, EVENT_FACT_CIPHER_SUITE, slice_str(description->cipher_suite));
    event_fact_put(facts, EVENT_FACT_CID, buffer_slice(&hex));
    event_fact_put(facts, EVENT_FACT_CID_DRAFT, slice_str(description->cid_draft ? "1" : "0"));
    event_fact_put_number(facts, EVENT_FACT_BYTES_IN, description->traffic.handshake_in);
    event_fact_put_number(facts, EVENT_FACT_BYTES_OUT, description->traffic.handshake_out);
}

static void tell_handshake(struct server *server, const struct link *link, bool resumed, const struct buffer *facts) {
    struct event event = {.type = resumed ? EVENT_DTLS_RESUMED : EVENT_DTLS_HANDSHAKE,
                          .endpoint = endpoint_of(server, link->identity),
                          .address = link->peer,
                          .facts = buffer_slice(facts)};
    event_publish(server->events, &event);
    persist_event_numbers(server);
    server_settle_later(server);
}

static void on_established(void *arg, struct link *link) {
    struct server *server = arg;
    struct dtls_description description;
    uint8_t facts_memory[FACTS_MAX];
    struct buffer facts = buffer_over(facts_memory, sizeof facts_memory);
    clock_update(&server->clock); /* the step before may have run on the pool */
    dtls_describe(link, &description);
    traffic_add_handshake(link, description.resumed, description.traffic.handshake_in,
                          description.traffic.handshake_out);
    put_identity(&facts, link->identity);
    put_session(&facts, &description);
    tell_handshake(server, link, description.resumed, &facts);
}

void dtls_service_tell_tls(struct server *server, struct link *link) {
    struct tls_description description;
    uint8_t facts_memory[FACTS_MAX];
    struct buffer facts = buffer_over(facts_memory, sizeof facts_memory);
    if (!stream_describe_tls(link, &description))
        return;
    traffic_add_handshake(link, description.resumed, description.traffic.handshake_in,
                          description.traffic.handshake_out);
    put_identity(&facts, link->identity);
    event_fact_put(&facts, EVENT_FACT_CIPHER_SUITE, slice_str(description.cipher_suite));
    event_fact_put(&facts, EVENT_FACT_TLS_VERSION, slice_str(description.version));
    event_fact_put_number(&facts, EVENT_FACT_BYTES_IN, description.traffic.handshake_in);
    event_fact_put_number(&facts, EVENT_FACT_BYTES_OUT, description.traffic.handshake_out);
    tell_handshake(server, link, description.resumed, &facts);
}

static void on_failed(void *arg, const struct dtls_failure *failure) {
    struct server *server = arg;
    uint8_t facts_memory[FACTS_MAX];
    struct buffer facts = buffer_over(facts_memory, sizeof facts_memory);
    clock_update(&server->clock);
    event_fact_put(&facts, EVENT_FACT_REASON, slice_str(dtls_fault_name(failure->fault)));
    put_identity(&facts, &failure->identity);
    if (failure->alert_sent >= 0)
        event_fact_put_number(&facts, EVENT_FACT_ALERT_SENT, (uint64_t)failure->alert_sent);
    if (failure->alert_received >= 0)
        event_fact_put_number(&facts, EVENT_FACT_ALERT_RECEIVED, (uint64_t)failure->alert_received);
    event_fact_put_number(&facts, EVENT_FACT_BYTES_IN, failure->bytes_in);
    event_fact_put_number(&facts, EVENT_FACT_BYTES_OUT, failure->bytes_out);
    struct event event = {.type = EVENT_DTLS_FAILED,
                          .endpoint = endpoint_of(server, &failure->identity),
                          .address = failure->peer,
                          .facts = buffer_slice(&facts)};
    event_publish(server->events, &event);
    persist_event_numbers(server);
}

/* ---- sessions and registrations ---- */

/* RFC 9146 §6: the registration follows its session. */
static void on_moved(void *arg, struct link *link, const struct address *old) {
    struct server *server = arg;
    struct registration *r = server_owner_of(server, link);
    dtls_sessions_moved(server->dtls_sessions, link);
    if (server->trace != NULL)
        trace_moved(server->trace, link, old);
    if (r == NULL)
        return;
    register_tell_address(server, r, old);
    persist_soon(server, r, UNSAVED_ALL);
}

/* With a successor the device goes on from the same address with the same identity; otherwise it is reached again when it
 * has come back and updated its registration (SEC-18, SEC-19). */
static void on_closed(void *arg, struct link *link, enum dtls_end end, struct link *successor) {
    struct server *server = arg;
    struct registration *r = server_owner_of(server, link);
    bootstrap_link_ended(server, link);
    if (r != NULL && successor != NULL) {
        register_move(server, r, successor);
        persist_soon(server, r, UNSAVED_ALL);
    }
    log_write(LOG_DEBUG, "dtls", "a session has ended: %s", dtls_end_name(end));
}

static void on_save(void *arg, struct link *link) {
    dtls_sessions_save(((struct server *)arg)->dtls_sessions, link);
}

static void on_reserve(void *arg, struct link *link, uint64_t id, uint64_t number_limit) {
    dtls_sessions_reserve(((struct server *)arg)->dtls_sessions, link, id, number_limit);
}

static void on_touched(void *arg, struct link *link) {
    dtls_sessions_touched(((struct server *)arg)->dtls_sessions, link);
}

static void on_forget(void *arg, struct link *link, uint64_t id) {
    dtls_sessions_forget(((struct server *)arg)->dtls_sessions, link, id);
}

static void on_resume_put(void *arg, struct slice session_id, const struct link_identity *identity, struct slice secret,
                          uint64_t expires_ms) {
    dtls_sessions_resume_put(((struct server *)arg)->dtls_sessions, session_id, identity, secret, expires_ms);
}

static bool on_resume_get(void *arg, struct slice session_id, struct buffer *secret) {
    return dtls_sessions_resume_get(((struct server *)arg)->dtls_sessions, session_id, secret);
}

static bool on_permitted(void *arg, const struct listener *listener, const struct link_identity *identity,
                         bool chain_trusted) {
    struct server *server = arg;
    struct slice endpoint = SLICE_NONE;
    if (server->provoked) {
        admission_endpoint(server, identity, services_of(listener), &endpoint);
        if (fault_refuses(server, FAULT_REFUSE_RESUMPTION, endpoint))
            return false;
    }
    bool has_service =
        listener->role == LISTENER_EVERYTHING || admission_endpoint(server, identity, services_of(listener), &endpoint);
    return has_service && dtls_sessions_permitted(server->dtls_sessions, identity, chain_trusted);
}

uint64_t dtls_service_session_id(const struct link *link) {
    struct dtls_session_row row;
    link = link_carrier(link);
    bool kept = !link->is_protected && link->identity != NULL && link->listener->transport == LINK_DTLS &&
                !absent_link_is(link) && dtls_session_row(link, &row, NULL);
    return kept ? row.id : 0;
}

bool dtls_service_describe(const struct link *link, struct dtls_description *description) {
    link = link_carrier(link);
    if (link->is_protected || link->identity == NULL || link->listener->transport != LINK_DTLS || absent_link_is(link))
        return false;
    dtls_describe(link, description);
    return !description->ended;
}

void dtls_service_expect(const struct server *server, const struct store_registration *row, bool is_near) {
    if (server->dtls != NULL && row->session != 0)
        dtls_expect(server->dtls, row->session, is_near);
}

struct link *dtls_service_link(struct server *server, const struct store_registration *row,
                               const struct address *peer) {
    struct link *link = server->dtls == NULL || row->session == 0 ? NULL : dtls_find(server->dtls, row->session);
    if (link != NULL)
        return link_ref(link);
    struct listener *listener = &server->listeners[row->listener < server->config->listener_count ? row->listener : 0];
    return absent_link_new(listener, peer, persist_row_security(row), row->identity);
}

void dtls_service_write_windows(struct server *server) {
    dtls_sessions_write(server->dtls_sessions);
}

void dtls_service_credential_gone(struct server *server, const struct credential *credential, bool removed) {
    struct link_identity identity = {.security = credential->mode == CREDENTIAL_PSK ? LINK_PSK : LINK_X509,
                                     .name =
                                         credential->identity.len > 0 ? credential->identity : credential->endpoint};
    bool proves = credential->mode == CREDENTIAL_PSK || credential->mode == CREDENTIAL_X509;
    if (!proves || server->dtls_sessions == NULL || credential->services != 0) /* it is good for another service yet */
        return;
    if (credential->has_fingerprint)
        memcpy(identity.fingerprint, credential->fingerprint, sizeof identity.fingerprint);
    dtls_sessions_forget_identity(server->dtls_sessions, &identity);
    /* A certificate that was good because it is known would be judged by its name, which nobody has signed. */
    if (!removed && !server->config->close_replaced && !credential->has_fingerprint)
        return;
    if (server->dtls != NULL)
        dtls_drop_identity(server->dtls, &identity);
    if (server->tls != NULL)
        tls_drop_identity(server->tls, &identity);
}

/* ---- datagrams ---- */

void dtls_service_receive(struct server *server, struct listener *listener, const struct address *peer,
                          const struct address *local, uint8_t *datagram, size_t len) {
    if (server->trace != NULL)
        trace_datagram_came(server->trace, listener, peer, local, slice_of(datagram, len));
    dtls_receive(server->dtls, listener, peer, local, datagram, len);
    if (server->trace != NULL)
        trace_datagram_taken(server->trace);
}

int dtls_service_send(struct server *server, struct listener *listener, const struct address *peer,
                      const struct address *local, struct slice datagram) {
    if (server->trace != NULL)
        trace_datagram_sent(server->trace, listener, peer, local, datagram);
    return udp_send(server->udp, listener, peer, local, datagram);
}

static void on_datagram(void *arg, struct listener *listener, const struct address *peer, const struct address *local,
                        uint8_t *datagram, size_t len) {
    struct server *server = arg;
    clock_update(&server->clock);
    if (server->provoked)
        fault_wire_receive_datagram(server, listener, peer, local, slice_of(datagram, len));
    else
        dtls_service_receive(server, listener, peer, local, datagram, len);
}

static int on_send(void *arg, struct listener *listener, const struct address *peer, const struct address *local,
                   struct slice datagram) {
    struct server *server = arg;
    if (server->provoked)
        return fault_wire_send_datagram(server, listener, peer, local, datagram);
    return dtls_service_send(server, listener, peer, local, datagram);
}

static void on_message(void *arg, struct link *link, struct slice message) {
    server_receive(arg, link, message);
}

/* ---- NSS key log, for Wireshark (SEC-29) ---- */

static void on_key_log(void *arg, const struct listener *listener, const struct address *peer, const char *line) {
    const struct server *server = arg;
    if (server->trace != NULL && server->config->trace_secrets)
        trace_keys(server->trace, listener, peer, line);
    int result = server->key_log < 0 ? 0 : key_log_write(server->key_log, line);
    if (result < 0)
        log_write(LOG_WARN, "dtls", "the key log can't be written: %s", strerror(-result));
}

/* Secrets are formed only when somebody wants them. */
static bool wants_keys(const struct server *server) {
    return server->key_log >= 0 || (server->trace != NULL && server->config->trace_secrets);
}

static bool open_key_log(struct server *server, char *error, size_t error_size) {
    const char *path = server->config->key_log;
    if (path == NULL)
        return true;
    server->key_log = key_log_open(path);
    if (server->key_log < 0) {
        snprintf(error, error_size, "--tls-key-log: %s: %s", path, strerror(-server->key_log));
        return false;
    }
    log_write(LOG_WARN, "dtls", "%s gets the secrets of every session", path);
    return true;
}

/* ---- certificates ---- */

static bool fail(const char *option, const char *path, const char *why, char *error, size_t error_size) {
    snprintf(error, error_size, "%s: %s: %s", option, path, why);
    return false;
}

/* Of ours, for both kinds of listeners, as far as there are such. */
static bool add_certificate(struct server *server, struct slice certificate, struct slice key, const char **problem) {
    issuer_know_certificate(server->issuer, certificate);
    return (server->dtls == NULL || dtls_add_certificate(server->dtls, certificate, key, problem)) &&
           (server->tls == NULL || tls_add_certificate(server->tls, certificate, key, problem));
}

static bool add_authority(struct server *server, struct slice certificates, const char **problem) {
    return (server->dtls == NULL || dtls_add_authority(server->dtls, certificates, problem)) &&
           (server->tls == NULL || tls_add_authority(server->tls, certificates, problem));
}

/* The file's bytes, to be freed by the caller; NULL and `error`. */
static uint8_t *read_file(const char *option, const char *path, struct slice *bytes, char *error, size_t error_size) {
    uint8_t *memory = malloc(FILE_MAX);
    size_t len = 0;
    int result = memory == NULL ? -ENOMEM : private_file_read(path, memory, FILE_MAX, &len);
    if (result == 0) {
        *bytes = slice_of(memory, len);
        return memory;
    }
    fail(option, path, strerror(-result), error, error_size);
    free(memory);
    return NULL;
}

static bool add_given_certificate(struct server *server, size_t i, char *error, size_t error_size) {
    const struct config *config = server->config;
    struct slice certificate, key;
    const char *problem;
    uint8_t *certificate_memory = read_file("--cert", config->certificates[i], &certificate, error, error_size);
    uint8_t *key_memory =
        certificate_memory == NULL ? NULL : read_file("--key", config->keys[i], &key, error, error_size);
    bool added = key_memory != NULL && add_certificate(server, certificate, key, &problem);
    if (key_memory != NULL && !added)
        fail("--cert", config->certificates[i], problem, error, error_size);
    if (key_memory != NULL)
        explicit_bzero(key_memory, FILE_MAX);
    free(key_memory);
    free(certificate_memory);
    return added;
}

static bool add_given_authority(struct server *server, const char *path, char *error, size_t error_size) {
    struct slice certificates;
    const char *problem;
    uint8_t *memory = read_file("--ca", path, &certificates, error, error_size);
    bool added = memory != NULL && add_authority(server, certificates, &problem);
    if (memory != NULL && !added)
        fail("--ca", path, problem, error, error_size);
    free(memory);
    return added;
}

bool dtls_service_add_authority(struct server *server, struct slice certificates, char *error, size_t error_size) {
    const char *problem = "";
    if (add_authority(server, certificates, &problem))
        return true;
    snprintf(error, error_size, "a trusted certificate that was put over the API: %s", problem);
    return false;
}

/* Names by which devices may call the server, unless --hostname says them. */
static size_t list_hosts(const struct config *config, char name[HOST_NAME_MAX + 1], struct slice hosts[PKI_HOSTS_MAX]) {
    size_t count = 0;
    for (; count < config->host_count; count++)
        hosts[count] = slice_str(config->hosts[count]);
    if (count > 0)
        return count;
    if (gethostname(name, HOST_NAME_MAX) == 0 && name[0] != '\0')
        hosts[count++] = slice_str(name);
    hosts[count++] = slice_str("localhost");
    hosts[count++] = slice_str("127.0.0.1");
    hosts[count++] = slice_str("::1");
    return count;
}

bool dtls_service_own_certificate(struct server *server, const struct pki_pair *authority, struct pki_pair *own,
                                  char *error, size_t error_size) {
    char name[HOST_NAME_MAX + 1] = "";
    struct slice hosts[PKI_HOSTS_MAX];
    size_t count = list_hosts(server->config, name, hosts);
    return own_pki_server(server->config->data, server->seal, authority, hosts, count, own, error, error_size);
}

static bool add_own_certificates(struct server *server, char *error, size_t error_size) {
    const struct config *config = server->config;
    struct pki_pair authority, own;
    const char *problem = "";
    if (!own_pki_authority(config->data, server->seal, true, &authority, error, error_size))
        return false;
    bool good = config->authority_count > 0 ||
                add_authority(server, slice_of(authority.certificate, authority.certificate_len), &problem);
    if (!good)
        fail("certificates", config->data, problem, error, error_size);
    if (good && config->certificate_count == 0) {
        good = dtls_service_own_certificate(server, &authority, &own, error, error_size);
        if (good && !add_certificate(server, slice_of(own.certificate, own.certificate_len),
                                     slice_of(own.key, own.key_len), &problem))
            good = fail("certificates", config->data, problem, error, error_size);
        pki_forget(&own);
    }
    pki_forget(&authority);
    return good;
}

static bool add_certificates(struct server *server, char *error, size_t error_size) {
    const struct config *config = server->config;
    for (size_t i = 0; i < config->certificate_count; i++) {
        if (!add_given_certificate(server, i, error, error_size))
            return false;
    }
    for (size_t i = 0; i < config->authority_count; i++) {
        if (!add_given_authority(server, config->authorities[i], error, error_size))
            return false;
    }
    bool all_given = config->certificate_count > 0 && config->authority_count > 0;
    return all_given || add_own_certificates(server, error, error_size);
}

/* ---- life ---- */

static bool has_listener(const struct config *config, enum link_transport transport) {
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].transport == transport)
            return true;
    }
    return false;
}

static bool start_tls(struct server *server) {
    static const struct tls_handlers without_key_log = {
        .psk = on_psk,
        .certificate = on_certificate,
        .resume_put = on_resume_put,
        .resume_get = on_resume_get,
        .permitted = on_permitted,
        .failed = on_failed,
    };
    const struct dtls_params *dtls = &server->config->dtls;
    const struct tls_params params = {.tickets = dtls->tickets,
                                      .hide_unknown_identities = dtls->hide_unknown_identities,
                                      .ignore_dates = dtls->ignore_dates,
                                      .handshake_timeout_ms = dtls->handshake_timeout_ms,
                                      .handshakes_max = dtls->handshakes_max,
                                      .handshakes_per_s = dtls->handshakes_per_s,
                                      .resume_ms = dtls->resume_ms};
    struct tls_handlers handlers = without_key_log;
    uint8_t key[SEAL_KEY_BYTES];
    if (wants_keys(server))
        handlers.key_log = on_key_log;
    server->tls = tls_new(server->loop, &server->clock, &server->wheel, &params, &handlers, server);
    if (server->tls == NULL || !seal_derive(server->seal, slice_str("tickets"), key))
        return false;
    tls_set_ticket_key(server->tls, key);
    explicit_bzero(key, sizeof key);
    streams_serve_tls(server->streams, server->tls);
    return true;
}

static bool start_dtls(struct server *server) {
    static const struct dtls_handlers without_key_log = {
        .send = on_send,
        .receive = on_message,
        .psk = on_psk,
        .certificate = on_certificate,
        .resume_put = on_resume_put,
        .resume_get = on_resume_get,
        .permitted = on_permitted,
        .established = on_established,
        .failed = on_failed,
        .moved = on_moved,
        .closed = on_closed,
        .save = on_save,
        .reserve = on_reserve,
        .touched = on_touched,
        .forget = on_forget,
    };
    struct dtls_handlers handlers = without_key_log;
    if (wants_keys(server))
        handlers.key_log = on_key_log;
    server->dtls = dtls_new(server->loop, &server->clock, &server->wheel, &server->config->dtls, &handlers, server);
    if (server->dtls == NULL)
        return false;
    dtls_sessions_serve(server->dtls_sessions, server->dtls);
    udp_set_datagram_handler(server->udp, on_datagram, server);
    return true;
}

bool dtls_service_start(struct server *server, char *error, size_t error_size) {
    bool has_dtls = has_listener(server->config, LINK_DTLS), has_tls = has_listener(server->config, LINK_TLS);
    server->key_log = -1;
    if (!has_dtls && !has_tls)
        return true;
    if (!open_key_log(server, error, error_size))
        return false;
    server->dtls_sessions = dtls_sessions_new(server, error, error_size);
    if (server->dtls_sessions == NULL)
        return false;
    if ((has_dtls && !start_dtls(server)) || (has_tls && !start_tls(server))) {
        snprintf(error, error_size, "DTLS and TLS can't be set up: out of memory");
        return false;
    }
    return add_certificates(server, error, error_size);
}

bool dtls_service_load(struct server *server, char *error, size_t error_size) {
    return server->dtls_sessions == NULL || dtls_sessions_load(server->dtls_sessions, error, error_size);
}

void dtls_service_stop(struct server *server) {
    if (server->dtls != NULL)
        dtls_close(server->dtls);
    if (server->tls != NULL)
        tls_close(server->tls);
    dtls_sessions_free(server->dtls_sessions);
    if (server->key_log > 0)
        close(server->key_log);
}
