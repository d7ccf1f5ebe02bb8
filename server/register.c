#include "server/register.h"

#include <stdlib.h>

#include "common/base/memory_limit.h"
#include "common/coap/option.h"
#include "server/admission.h"
#include "server/announced_observation.h"
#include "server/contact.h"
#include "server/dtls_service.h"
#include "server/expiry.h"
#include "server/object_list.h"
#include "server/persist.h"
#include "server/profile.h"
#include "server/refusal.h"
#include "server/registration_parameters.h"

enum { REPLACED_MAX = 64 };

/* A tolerated deviation is told as an event; a strict listener refuses the request. True: go on. */
static bool pass_oddity(struct server *server, const struct coap_request *request, struct slice endpoint,
                        const char *what) {
    if (what == NULL)
        return true;
    if (request->link->listener->strict) {
        refuse_request(server, request, endpoint, COAP_4_00_BAD_REQUEST, what);
        return false;
    }
    tell_oddity(server, request, endpoint, what);
    return true;
}

static const char *message_oddity(const struct coap_message *message) {
    if (message->type == COAP_NON)
        return "a registration message was not confirmable";
    if (coap_content_format(message) == COAP_FORMAT_TEXT && message->payload.len > 0)
        return "the object list came as text/plain";
    return NULL;
}

static const char *parameter_oddity(const struct registration_parameters *p) {
    if (p->oddity != NULL)
        return p->oddity;
    if (p->queue_in_binding && p->version > LWM2M_1_0)
        return "queue mode is announced as a binding, which ended with LwM2M 1.0";
    if (p->queue_item && p->version == LWM2M_1_0)
        return "queue mode is announced with Q, which LwM2M 1.0 does not have";
    return NULL;
}

static bool is_link_format(const struct coap_message *message) {
    int format = coap_content_format(message);
    return format == COAP_FORMAT_NONE || format == COAP_FORMAT_LINK || format == COAP_FORMAT_TEXT;
}

/* ---- Register (§6.2.1) ---- */

/* A Register between its arrival and its commit. */
struct pending_register {
    struct server *server;
    struct registration *registration;
    struct coap_exchange *exchange;
};

static void respond_created(struct server *server, struct coap_exchange *exchange, const struct registration *r) {
    struct coap_message response;
    struct coap_uint max_age;
    struct slice location = registration_location(r);
    coap_message_init(&response, COAP_ACK, COAP_2_01_CREATED, 0, SLICE_NONE);
    coap_option_add(&response, COAP_LOCATION_PATH, slice_str("rd"));
    size_t start = 0;
    for (size_t i = 0; i <= location.len; i++) {
        if (i < location.len && location.data[i] != '/')
            continue;
        coap_option_add(&response, COAP_LOCATION_PATH, slice_of(location.data + start, i - start));
        start = i + 1;
    }
    if (server->config->max_age_is_lifetime && r->lifetime_s > 0) /* the vendor's client takes it as its lifetime */
        coap_option_add_uint(&response, COAP_MAX_AGE, r->lifetime_s, &max_age);
    coap_respond(server->coap, exchange, &response);
}

/* Ids of everything of this endpoint that the new registration takes the place of. */
static size_t collect_replaced(const struct server *server, const struct registration *newest, uint64_t *ids) {
    size_t count = 0;
    for (struct registration *r = directory_older(server->directory, newest); r != NULL && count < REPLACED_MAX;
         r = directory_older(server->directory, r)) {
        ids[count++] = r->id;
        r->leaving = true;
    }
    return count;
}

/* It was to go, and stays. When nobody knows what the database has, it gets it once more. */
static void keep(struct server *server, struct registration *r, enum store_result result) {
    r->leaving = false;
    if (result == STORE_UNKNOWN && r->state != REGISTRATION_PENDING)
        persist_soon(server, r, UNSAVED_ALL);
}

/* The commit has failed: what was to be replaced stays. */
static void keep_replaced(struct server *server, const struct registration *newest, enum store_result result) {
    for (struct registration *r = directory_older(server->directory, newest); r != NULL;
         r = directory_older(server->directory, r))
        keep(server, r, result);
    if (result == STORE_UNKNOWN)
        persist_deletion(server, newest->id);
}

/* The link is this registration's from now on. */
static void take_link(struct server *server, struct registration *r, struct link *link) {
    struct registration *before = server_owner_of(server, link);
    if (link->owner != r->slot + 1)
        link->admitted = 0;
    link->owner = r->slot + 1;
    if (before != NULL && before != r)
        contact_displaced(server, before);
}

struct replacement {
    struct server *server;
    struct registration *by;
    uint8_t location[PROFILE_LOCATION_MAX];
    size_t location_len;
    bool happened;
};

static void on_replaced(void *arg, struct registration *old) {
    struct replacement *replacement = arg;
    struct slice location = registration_location(old);
    timer_cancel(&replacement->server->wheel, &old->expiry);
    contact_replaced(replacement->server, old, replacement->by);
    replacement->happened = true;
    replacement->location_len = location.len > sizeof replacement->location ? 0 : location.len;
    memcpy(replacement->location, location.data, replacement->location_len);
}

static void on_register_committed(void *arg, enum store_result result) {
    struct pending_register *pending = arg;
    struct server *server = pending->server;
    struct registration *r = pending->registration;
    struct coap_exchange *exchange = pending->exchange;
    free(pending);
    clock_update(&server->clock);
    if (result != STORE_OK) {
        struct event event = {.type = EVENT_REJECTED,
                              .endpoint = registration_endpoint(r),
                              .detail = slice_str("the registration could not be stored"),
                              .address = r->link->peer,
                              .coap_code = COAP_5_03_SERVICE_UNAVAILABLE};
        event_publish(server->events, &event);
        persist_until_it_works(server);
        keep_replaced(server, r, result);
        directory_remove(server->directory, r);
        coap_respond_unavailable(server->coap, exchange, REFUSAL_RETRY_AFTER_S, "cannot store registrations now");
        return;
    }
    struct replacement replacement = {.server = server, .by = r};
    directory_commit(server->directory, r, on_replaced, &replacement);
    expiry_resume(server, r);
    take_link(server, r, r->link);
    struct event event = {.type = replacement.happened ? EVENT_REPLACED : EVENT_REGISTERED,
                          .endpoint = registration_endpoint(r),
                          .location = registration_location(r),
                          .previous = slice_of(replacement.location, replacement.location_len),
                          .address = r->link->peer,
                          .lifetime_s = r->lifetime_s};
    event_publish(server->events, &event);
    persist_event_numbers(server);
    persist_registration_ids(server);
    respond_created(server, exchange, r);
    contact_registered(server, r, replacement.happened);
}

static void store_new(struct server *server, const struct coap_request *request, struct registration *r) {
    struct pending_register *pending = malloc(sizeof *pending);
    if (pending == NULL) {
        directory_remove(server->directory, r);
        coap_respond_unavailable(server->coap, request->exchange, REFUSAL_RETRY_AFTER_S, "out of memory");
        return;
    }
    *pending = (struct pending_register){server, r, request->exchange};
    uint64_t replaced[REPLACED_MAX];
    size_t replaced_count = collect_replaced(server, r, replaced);
    struct store_registration row = persist_row(r);
    enum store_result result =
        store_put_registration(server->store, &row, replaced, replaced_count, on_register_committed, pending);
    if (result != STORE_OK)
        on_register_committed(pending, result);
}

/* What a Register must have; false when it was refused. */
static bool check_register(struct server *server, const struct coap_request *request,
                           struct registration_parameters *p) {
    if (!registration_parameters_read(p, request->message, false)) {
        refuse_request(server, request, p->endpoint, p->code, p->error);
        return false;
    }
    if (!p->has_version && server->config->lwm2m_version_optional) {
        p->version = LWM2M_1_0;
        p->oddity = "lwm2m is missing";
    } else if (!p->has_version) {
        refuse_request(server, request, p->endpoint, COAP_4_00_BAD_REQUEST, "lwm2m is missing");
        return false;
    }
    struct admission admission =
        admission_of_register(server, request->link, p->has_endpoint ? p->endpoint : SLICE_NONE);
    if (admission.code != COAP_EMPTY) {
        refuse_request(server, request, p->endpoint, admission.code, admission.why);
        return false;
    }
    p->endpoint = admission.endpoint;
    if (request->body.len == 0) {
        if (p->version >= LWM2M_1_2)
            refuse_request(server, request, p->endpoint, COAP_4_09_CONFLICT, "no object list, and no profile is known");
        else
            refuse_request(server, request, p->endpoint, COAP_4_00_BAD_REQUEST, "the object list is missing");
        return false;
    }
    if (!is_link_format(request->message)) {
        refuse_request(server, request, p->endpoint, COAP_4_00_BAD_REQUEST, "the object list must be link format (40)");
        return false;
    }
    return pass_oddity(server, request, p->endpoint, message_oddity(request->message)) &&
           pass_oddity(server, request, p->endpoint, parameter_oddity(p));
}

static void refuse_list(struct server *server, const struct coap_request *request, struct slice endpoint,
                        const struct object_list *list) {
    uint8_t code = list->out_of_memory ? COAP_5_03_SERVICE_UNAVAILABLE : COAP_4_00_BAD_REQUEST;
    refuse_request(server, request, endpoint, code, list->error);
}

void register_request(struct server *server, const struct coap_request *request) {
    struct registration_parameters p;
    if (!check_register(server, request, &p))
        return;
    struct object_list list;
    if (!object_list_build(&list, request->body, SLICE_NONE, SLICE_NONE, OBJECT_LIST_WHOLE)) {
        refuse_list(server, request, p.endpoint, &list);
        return;
    }
    if (!pass_oddity(server, request, p.endpoint, list.oddity)) {
        free(list.text);
        return;
    }
    tell_oddity(server, request, p.endpoint, list.warning);
    bool is_full = directory_count(server->directory) >= server->config->max_registrations;
    if ((is_full || memory_limit_is_reached()) && directory_find_newest(server->directory, p.endpoint) == NULL) {
        free(list.text);
        refuse_request(server, request, p.endpoint, COAP_5_03_SERVICE_UNAVAILABLE,
                       is_full ? "the directory is full" : "the server has as much memory as it may");
        return;
    }
    uint8_t location[PROFILE_LOCATION_MAX];
    enum client_profile profile = profile_of(&p);
    struct registration_content content = {
        .endpoint = p.endpoint,
        .root = slice_str(list.root),
        .query = slice_of(p.others, p.others_len),
        .sms = p.sms,
        .links = slice_of(list.text, list.len),
        .location = profile_location(profile, &p, location),
        .lifetime_s = p.has_lifetime ? p.lifetime_s : LIFETIME_DEFAULT_S,
        .version = (enum lwm2m_version)p.version,
        .binding = p.has_binding ? p.binding : BINDING_U,
        .queue_mode = p.queue_mode,
        .profile = profile,
        .identity = admission_identity(request->link),
        .security = admission_security(request->link),
    };
    struct registration *r = directory_add(server->directory, server->next_registration_id++, &content, request->link);
    free(list.text);
    if (r == NULL) {
        refuse_request(server, request, p.endpoint, COAP_5_03_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    r->registered_at_ms = r->updated_at_ms = clock_now_ms(&server->clock);
    r->expires_at_ms = r->lifetime_s == 0 ? UINT64_MAX : r->updated_at_ms + (uint64_t)r->lifetime_s * 1000;
    store_new(server, request, r);
}

/* ---- Update (§6.2.2) ---- */

void register_tell_address(struct server *server, const struct registration *r, const struct address *before) {
    uint8_t text[ADDRESS_TEXT_MAX];
    struct buffer previous = buffer_over(text, sizeof text);
    address_put(&previous, before);
    struct event event = {.type = EVENT_ADDRESS_CHANGED,
                          .endpoint = registration_endpoint(r),
                          .location = registration_location(r),
                          .previous = buffer_slice(&previous),
                          .address = r->link->peer,
                          .lifetime_s = r->lifetime_s};
    event_publish(server->events, &event);
}

/* The registration is reached where its last message came from. True when that is a new place. */
bool register_move(struct server *server, struct registration *r, struct link *link) {
    take_link(server, r, link);
    if (r->link == link)
        return false;
    struct link *before = r->link;
    r->link = link_ref(link);
    if (!address_equal(&before->peer, &link->peer))
        register_tell_address(server, r, &before->peer);
    contact_moved(server, r, before);
    link_unref(before);
    return true;
}

/* Whether the device has come with another identity of its endpoint than before. */
static bool has_changed_identity(const struct registration *r, const struct link *link) {
    return r->security != admission_security(link) || !slice_equal(registration_identity(r), admission_identity(link));
}

/* Whether nothing about whom the link speaks for can have changed since its last Update: it has come with every one. */
static bool is_still_admitted(const struct server *server, const struct registration *r, const struct link *link) {
    return r->link == link && link->owner == r->slot + 1 &&
           link->admitted == credentials_generation(server->credentials);
}

static bool rewrite(struct server *server, struct registration *r, const struct registration_parameters *p,
                    const struct object_list *list, const struct link *link) {
    struct registration_content content = {
        .root = list->text == NULL ? registration_root(r) : slice_str(list->root),
        .query = registration_query(r),
        .sms = p->has_sms ? p->sms : registration_sms(r),
        .links = list->text == NULL ? registration_links(r) : slice_of(list->text, list->len),
        .identity = admission_identity(link),
    };
    if (!directory_rewrite(server->directory, r, &content))
        return false;
    r->security = (uint8_t)admission_security(link);
    announced_observations_check(r);
    return true;
}

/* A request that is answered when its change has been committed. */
struct pending_change {
    struct server *server;
    struct coap_exchange *exchange;
    uint64_t id;
    uint32_t slot;
};

static struct pending_change *pending_change(struct server *server, const struct coap_request *request,
                                             const struct registration *r) {
    struct pending_change *pending = malloc(sizeof *pending);
    if (pending != NULL)
        *pending = (struct pending_change){server, request->exchange, r->id, r->slot};
    return pending;
}

/* The registration it is about, if it is still there. */
static struct registration *changed_registration(const struct pending_change *pending) {
    struct registration *r = directory_at(pending->server->directory, pending->slot);
    return r != NULL && r->id == pending->id ? r : NULL;
}

static void on_update_committed(void *arg, enum store_result result) {
    struct pending_change *pending = arg;
    struct server *server = pending->server;
    struct registration *r = changed_registration(pending);
    struct coap_exchange *exchange = pending->exchange;
    free(pending);
    clock_update(&server->clock);
    if (result == STORE_OK) {
        coap_respond_code(server->coap, exchange, COAP_2_04_CHANGED, NULL);
        if (r != NULL)
            contact_heard(server, r);
        return;
    }
    if (r != NULL) /* it holds here, and is written when that is possible again */
        persist_soon(server, r, UNSAVED_ALL);
    coap_respond_unavailable(server->coap, exchange, REFUSAL_RETRY_AFTER_S, "cannot store registrations now");
}

/* What an Update has changed is acknowledged after its commit; a mere refresh at once, since after a crash everybody has
 * a whole lifetime again (server.c). */
static void acknowledge_update(struct server *server, const struct coap_request *request, struct registration *r,
                               bool changed) {
    if (!changed || r->leaving) {
        persist_soon(server, r, changed ? UNSAVED_ALL : UNSAVED_LEASE);
        coap_respond_code(server->coap, request->exchange, COAP_2_04_CHANGED, NULL);
        contact_heard(server, r);
        return;
    }
    struct pending_change *pending = pending_change(server, request, r);
    if (pending == NULL) {
        persist_soon(server, r, UNSAVED_ALL);
        coap_respond_unavailable(server->coap, request->exchange, REFUSAL_RETRY_AFTER_S, "out of memory");
        return;
    }
    struct store_registration row = persist_row(r);
    enum store_result result = store_put_registration(server->store, &row, NULL, 0, on_update_committed, pending);
    if (result != STORE_OK)
        on_update_committed(pending, result);
}

void register_update(struct server *server, const struct coap_request *request, struct slice location) {
    struct registration *r = directory_find_location(server->directory, location);
    if (r == NULL) {
        refuse_request(server, request, SLICE_NONE, COAP_4_04_NOT_FOUND, "no such registration");
        return;
    }
    struct slice endpoint = registration_endpoint(r);
    bool admitted = is_still_admitted(server, r, request->link);
    struct admission admission = {.code = COAP_EMPTY};
    if (!admitted)
        admission = admission_of_change(server, request->link, r);
    if (admission.code != COAP_EMPTY) {
        refuse_request(server, request, endpoint, admission.code, admission.why);
        return;
    }
    struct registration_parameters p;
    struct object_list list = {.text = NULL};
    if (!registration_parameters_read(&p, request->message, true)) {
        refuse_request(server, request, endpoint, p.code, p.error);
        return;
    }
    p.version = r->version;
    if (!is_link_format(request->message)) {
        /* The vendor's client labels even empty bodies; without a body the label means nothing. */
        if (request->body.len > 0) {
            refuse_request(server, request, endpoint, COAP_4_00_BAD_REQUEST,
                           "the object list must be link format (40)");
            return;
        }
    }
    if (request->body.len > 0 && !object_list_build(&list, request->body, registration_links(r), registration_root(r),
                                                    profile_update_mode((enum client_profile)r->profile))) {
        refuse_list(server, request, endpoint, &list);
        return;
    }
    if (!pass_oddity(server, request, endpoint, message_oddity(request->message)) ||
        !pass_oddity(server, request, endpoint, parameter_oddity(&p)) ||
        !pass_oddity(server, request, endpoint, list.oddity)) {
        free(list.text);
        return;
    }
    bool texts_change = list.text != NULL || p.has_sms || (!admitted && has_changed_identity(r, request->link));
    bool good = !texts_change || rewrite(server, r, &p, &list, request->link);
    free(list.text);
    if (!good) {
        refuse_request(server, request, registration_endpoint(r), COAP_5_03_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    /* In LwM2M 1.0 queue mode is part of the binding, which an Update replaces. Since 1.1 it has a parameter, whose absence
     * changes nothing. */
    bool queue_mode = p.queue_mode || (r->queue_mode && !(r->version == LWM2M_1_0 && p.has_binding));
    bool fields_change = (p.has_lifetime && p.lifetime_s != r->lifetime_s) ||
                         (p.has_binding && p.binding != r->binding) || queue_mode != r->queue_mode;
    if (p.has_lifetime)
        r->lifetime_s = p.lifetime_s;
    if (p.has_binding)
        r->binding = p.binding;
    r->queue_mode = queue_mode;
    bool moved = register_move(server, r, request->link);
    request->link->admitted = credentials_generation(server->credentials);
    expiry_refresh(server, r);
    struct event event = {.type = EVENT_UPDATED,
                          .endpoint = registration_endpoint(r),
                          .location = registration_location(r),
                          .address = r->link->peer,
                          .lifetime_s = r->lifetime_s};
    event_publish(server->events, &event);
    persist_event_numbers(server);
    acknowledge_update(server, request, r, texts_change || fields_change || moved);
}

/* ---- De-register (§6.2.3) ---- */

static void on_deregister_committed(void *arg, enum store_result result) {
    struct pending_change *pending = arg;
    struct server *server = pending->server;
    struct coap_exchange *exchange = pending->exchange;
    struct registration *r = changed_registration(pending);
    free(pending);
    clock_update(&server->clock);
    if (result != STORE_OK) {
        persist_until_it_works(server);
        if (r != NULL)
            keep(server, r, result);
        coap_respond_unavailable(server->coap, exchange, REFUSAL_RETRY_AFTER_S, "cannot store registrations now");
        return;
    }
    if (r == NULL) {
        coap_respond_code(server->coap, exchange, COAP_4_04_NOT_FOUND, "no such registration");
        return;
    }
    server_drop(server, r, EVENT_DEREGISTERED);
    coap_respond_code(server->coap, exchange, COAP_2_02_DELETED, NULL);
}

void register_deregister(struct server *server, const struct coap_request *request, struct slice location) {
    struct registration *r = directory_find_location(server->directory, location);
    if (r == NULL) {
        refuse_request(server, request, SLICE_NONE, COAP_4_04_NOT_FOUND, "no such registration");
        return;
    }
    struct admission admission = admission_of_change(server, request->link, r);
    if (admission.code != COAP_EMPTY) {
        refuse_request(server, request, registration_endpoint(r), admission.code, admission.why);
        return;
    }
    if (request->message->type == COAP_NON &&
        !pass_oddity(server, request, registration_endpoint(r), message_oddity(request->message)))
        return;
    if (server->config->trust_address_only && request->link->identity == NULL && r->link != request->link) {
        refuse_request(server, request, registration_endpoint(r), COAP_4_00_BAD_REQUEST,
                       "the registration belongs to another address");
        return;
    }
    struct pending_change *pending = pending_change(server, request, r);
    if (pending == NULL) {
        coap_respond_unavailable(server->coap, request->exchange, REFUSAL_RETRY_AFTER_S, "out of memory");
        return;
    }
    r->leaving = true;
    enum store_result result = store_delete_registrations(server->store, &r->id, 1, on_deregister_committed, pending);
    if (result != STORE_OK)
        on_deregister_committed(pending, result);
}
