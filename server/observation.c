#include "server/observation.h"

#include <stdlib.h>

#include "common/coap/option.h"
#include "server/contact.h"
#include "server/dealings.h"
#include "server/notification.h"
#include "server/persist.h"

enum {
    REVIVED_AT_ONCE = 32, /* requests to begin again that wait for one device */
    DETAIL_MAX = 512,
    PATH_TEXT_MAX = 25, /* "/65534/65534/65534/65534" and a space */
};

struct observing {
    uint64_t count, notifications;
    uint64_t counted; /* of them, those that the limits are for */
    struct notification_memory memory;
};

struct observing *observing_new(void) {
    return calloc(1, sizeof(struct observing));
}

void observing_free(struct observing *observing) {
    notification_memory_free(&observing->memory);
    free(observing);
}

struct observation_counters observation_counters(const struct server *server) {
    return (struct observation_counters){server->observing->count, server->observing->notifications};
}

/* ---- what is in one ---- */

struct slice observation_request(const struct observation *o) {
    return slice_of(o->paths + o->path_count, o->request_len);
}

struct lwm2m_path observation_base(const struct observation *o) {
    if (o->is_composite)
        return (struct lwm2m_path){.len = 0};
    return o->paths[0];
}

/* What an answer without Content-Format is (RFC 7252 §5.5.1: up to us): what was asked for, else text. */
int observation_format(const struct observation *o, int format) {
    struct coap_message request;
    uint32_t accept = COAP_FORMAT_TEXT;
    if (format >= 0 || observation_base(o).len < 3)
        return format;
    if (coap_decode(observation_request(o), &request) == COAP_DECODE_OK)
        coap_option_uint(&request, COAP_ACCEPT, &accept);
    return (int)accept;
}

struct observation *observation_find(const struct registration *r, uint64_t id) {
    struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations;
    while (o != NULL && o->id != id)
        o = o->next;
    return o;
}

static void set_state(struct observation *o, enum observation_state state) {
    struct dealings *dealings = o->registration->dealings;
    if (o->state == OBSERVATION_WAITING)
        dealings->waiting_observations--;
    o->state = (uint8_t)state;
    if (state == OBSERVATION_WAITING) {
        dealings->waiting_observations++;
        o->coap = NULL;
    }
}

/* ---- coming and going ---- */

static void count_it(const struct observation *o, bool more) {
    struct observing *observing = o->server->observing;
    struct dealings *dealings = o->registration->dealings;
    observing->count = more ? observing->count + 1 : observing->count - 1;
    if (o->is_auto)
        return;
    observing->counted = more ? observing->counted + 1 : observing->counted - 1;
    dealings->observation_count = more ? dealings->observation_count + 1 : dealings->observation_count - 1;
}

/* At the end of the device's; ids rise. */
static struct observation *add(struct server *server, struct registration *r, uint64_t id, struct slice request,
                               const struct lwm2m_path *paths, size_t count, bool is_auto) {
    struct dealings *dealings = dealings_of(r);
    struct observation *o = dealings == NULL ? NULL : malloc(sizeof *o + count * sizeof *paths + request.len);
    if (o == NULL) {
        dealings_settle(r);
        return NULL;
    }
    *o = (struct observation){.server = server,
                              .registration = r,
                              .id = id,
                              .started_at_ms = clock_now_ms(&server->clock),
                              .last_format = COAP_FORMAT_NONE,
                              .request_len = (uint32_t)request.len,
                              .path_count = (uint16_t)count,
                              .state = OBSERVATION_STARTING,
                              .is_composite = request.data[1] == COAP_FETCH,
                              .is_auto = is_auto};
    memcpy(o->paths, paths, count * sizeof *paths);
    memcpy(o->paths + count, request.data, request.len);
    struct observation **end = &dealings->observations;
    while (*end != NULL)
        end = &(*end)->next;
    *end = o;
    count_it(o, true);
    return o;
}

static uint64_t next_id(struct server *server) {
    uint64_t id = server->next_observation_id++;
    persist_observation_ids(server);
    return id;
}

static void take_out(struct observation *o) {
    struct registration *r = o->registration;
    struct observation **at = &r->dealings->observations;
    if (o->state == OBSERVATION_WAITING)
        set_state(o, OBSERVATION_STARTING);
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    count_it(o, false);
    dealings_settle(r);
    free(o->last);
    free(o);
}

/* "/3/0/9, /3/0/0: why", as much as fits. */
static struct slice put_detail(struct buffer *detail, const struct observation *o, const char *why) {
    for (size_t i = 0; o->is_composite && i < o->path_count && detail->len + PATH_TEXT_MAX < DETAIL_MAX / 2; i++) {
        buffer_put_str(detail, i == 0 ? "" : ", ");
        lwm2m_path_put(detail, &o->paths[i]);
    }
    if (why != NULL)
        buffer_printf(detail, "%s%s", detail->len > 0 ? ": " : "", why);
    return buffer_slice(detail);
}

static void publish(const struct observation *o, enum event_type type, uint8_t code, const char *why) {
    char text[DETAIL_MAX];
    struct buffer detail = buffer_over(text, sizeof text);
    struct event event = notification_event(o, type);
    event.coap_code = code;
    event.detail = put_detail(&detail, o, why);
    event_publish(o->server->events, &event);
    persist_event_numbers(o->server);
}

/* It is over: its part in CoAP has gone already. */
static void end(struct observation *o, uint8_t code, const char *why) {
    publish(o, EVENT_OBSERVE_ENDED, code, why);
    if (!o->is_auto)
        persist_observation_deletion(o->server, o->id);
    take_out(o);
}

void observation_forget(struct observation *o, const char *detail) {
    if (o->coap != NULL)
        coap_observation_forget(o->coap);
    end(o, 0, detail);
}

void observation_abandon(struct observation *o) {
    coap_observation_forget(o->coap);
    take_out(o);
}

struct coap_call *observation_cancel(struct observation *o, coap_call_fn *done, void *arg) {
    struct coap_call *call = o->coap == NULL ? NULL : coap_observation_cancel(o->coap, done, arg);
    end(o, 0, "cancelled");
    return call;
}

/* ---- values ---- */

static void take_values(struct observation *o, const struct coap_notification *notification, bool is_answer) {
    struct observing *observing = o->server->observing;
    o->notifications++;
    observing->notifications++;
    notification_take(o, &observing->memory, notification, is_answer);
    persist_event_numbers(o->server);
}

static void take_first(struct observation *o, const struct coap_reply *reply) {
    struct coap_notification first = {.result = COAP_CALL_REPLY,
                                      .message = reply->message,
                                      .body = reply->body,
                                      .sequence = reply->observe,
                                      .has_sequence = reply->has_observe,
                                      .is_confirmable = reply->message->type == COAP_CON};
    take_values(o, &first, true);
}

static void on_notified(void *arg, const struct coap_notification *notification) {
    struct observation *o = arg;
    struct server *server = o->server;
    struct registration *r = o->registration;
    const struct coap_message *message = notification->message;
    if (message == NULL)
        notification_reject(o, "its rest could not be fetched");
    else if (COAP_CODE_CLASS(message->code) == 2)
        take_values(o, notification, false);
    if (notification->is_last) {
        bool is_error = message != NULL && COAP_CODE_CLASS(message->code) != 2;
        o->coap = NULL;
        end(o, message == NULL ? 0 : message->code,
            is_error ? "the device has ended it" : "a notification without Observe option");
    }
    if (message != NULL)
        contact_heard(server, r);
    else if (notification->result == COAP_CALL_NO_ACK)
        contact_silent(server, r);
}

/* ---- beginning ---- */

static void on_first(void *arg, const struct coap_reply *reply, bool observed);

static struct coap_observer observer_of(struct observation *o) {
    return (struct coap_observer){on_first, on_notified, o};
}

static bool ask(struct observation *o) {
    const struct coap_observer observer = observer_of(o);
    o->coap = coap_observe(o->server->coap, o->registration->link, observation_request(o), &observer);
    return o->coap != NULL;
}

static struct slice encode(const struct coap_message *request, uint8_t **memory) {
    size_t size = 16 + request->payload.len;
    for (size_t i = 0; i < request->option_count; i++)
        size += 5 + request->options[i].value.len;
    *memory = malloc(size);
    struct buffer out = buffer_over(*memory, *memory == NULL ? 0 : size);
    return coap_encode(request, &out) ? buffer_slice(&out) : SLICE_NONE;
}

struct observation *observation_begin(struct server *server, struct registration *r, const struct coap_message *request,
                                      const struct lwm2m_path *paths, size_t count, observation_fn *started, void *arg,
                                      enum observation_refusal *refusal) {
    uint8_t *memory;
    *refusal = OBSERVATION_TOO_MANY;
    if (server->observing->counted >= server->config->max_observations ||
        (r->dealings != NULL && r->dealings->observation_count >= server->config->max_observations_per_device))
        return NULL;
    *refusal = OBSERVATION_QUEUE_FULL;
    struct slice bytes = encode(request, &memory);
    struct observation *o = bytes.len == 0 ? NULL : add(server, r, next_id(server), bytes, paths, count, false);
    free(memory);
    if (o == NULL)
        return NULL;
    o->started = started;
    o->arg = arg;
    if (!ask(o)) {
        take_out(o);
        return NULL;
    }
    *refusal = OBSERVATION_ACCEPTED;
    return o;
}

struct observation *observation_resume(struct server *server, struct registration *r,
                                       const struct coap_message *request, const struct lwm2m_path *path,
                                       struct slice token) {
    uint8_t *memory;
    struct slice bytes = encode(request, &memory);
    struct observation *o = bytes.len == 0 ? NULL : add(server, r, next_id(server), bytes, path, 1, true);
    free(memory);
    if (o == NULL)
        return NULL;
    const struct coap_observer observer = observer_of(o);
    o->coap = coap_observation_resume(server->coap, r->link, token, observation_request(o), &observer);
    if (o->coap == NULL) {
        take_out(o);
        return NULL;
    }
    set_state(o, OBSERVATION_ACTIVE);
    return o;
}

/* The device may have moved while it was asked. False: the observation is no more. */
static bool follow(struct observation *o) {
    if (coap_observation_move(o->coap, o->registration->link))
        return true;
    if (o->is_auto) { /* it is made anew when it tells something */
        observation_drop(o);
        return false;
    }
    coap_observation_forget(o->coap);
    set_state(o, OBSERVATION_WAITING);
    return true;
}

/* False: the observation is no more. */
static bool become_active(struct observation *o, const struct coap_reply *reply, const char *detail) {
    set_state(o, OBSERVATION_ACTIVE);
    o->started_at_ms = clock_now_ms(&o->server->clock);
    publish(o, EVENT_OBSERVE_STARTED, 0, detail);
    take_first(o, reply);
    return follow(o);
}

static void on_first_time(struct observation *o, const struct coap_reply *reply, bool observed) {
    observation_fn *started = o->started;
    void *arg = o->arg;
    o->started = NULL;
    if (!observed)
        take_out(o);
    if (!observed || !become_active(o, reply, NULL))
        o = NULL;
    started(arg, reply, o);
}

/* The device does not answer there: the others would not be answered either. The last ones first, so that none of those
 * that wait for their turn is sent because another one has gone. */
static void stop_reviving(struct registration *r) {
    struct observation *reviving[REVIVED_AT_ONCE];
    size_t count = 0;
    for (struct observation *o = r->dealings->observations; o != NULL && count < REVIVED_AT_ONCE; o = o->next) {
        if (o->state == OBSERVATION_STARTING && o->started == NULL)
            reviving[count++] = o;
    }
    while (count-- > 0) {
        coap_observation_forget(reviving[count]->coap);
        set_state(reviving[count], OBSERVATION_WAITING);
    }
}

static void on_revived(struct observation *o, const struct coap_reply *reply, bool observed) {
    struct registration *r = o->registration;
    bool is_over = reply->result == COAP_CALL_CANCELLED;
    if (observed) {
        if (become_active(o, reply, "begun again"))
            observation_store(o, NULL, NULL);
    } else if (reply->result != COAP_CALL_REPLY) {
        set_state(o, OBSERVATION_WAITING);
        if (reply->result == COAP_CALL_NO_ACK) {
            stop_reviving(r);
            contact_silent(o->server, r);
        }
        is_over = true;
    } else if (COAP_CODE_CLASS(reply->message->code) == 2) {
        take_first(o, reply);
        end(o, reply->message->code, "answered without Observe option when it was begun again");
    } else {
        end(o, reply->message->code, "refused when it was begun again");
    }
    if (!is_over)
        observations_revive(r);
}

static void on_first(void *arg, const struct coap_reply *reply, bool observed) {
    struct observation *o = arg;
    if (!observed)
        o->coap = NULL;
    if (o->started != NULL)
        on_first_time(o, reply, observed);
    else
        on_revived(o, reply, observed);
}

void observations_revive(struct registration *r) {
    struct dealings *dealings = r->dealings;
    if (dealings == NULL || dealings->waiting_observations == 0)
        return;
    size_t under_way = 0;
    for (struct observation *o = dealings->observations; o != NULL; o = o->next)
        under_way += o->state == OBSERVATION_STARTING;
    for (struct observation *o = dealings->observations; o != NULL && under_way < REVIVED_AT_ONCE; o = o->next) {
        if (o->state != OBSERVATION_WAITING)
            continue;
        if (!ask(o))
            return;
        set_state(o, OBSERVATION_STARTING);
        under_way++;
    }
}

/* ---- the store ---- */

struct storing {
    struct server *server;
    store_done_fn *done;
    void *arg;
    uint64_t id, registration_id;
    uint32_t slot;
};

static void on_stored(void *arg, enum store_result result) {
    struct storing storing = *(struct storing *)arg;
    struct server *server = storing.server;
    free(arg);
    clock_update(&server->clock);
    if (result != STORE_OK) {
        struct registration *r = directory_at(server->directory, storing.slot);
        struct observation *o = r == NULL || r->id != storing.registration_id ? NULL : observation_find(r, storing.id);
        if (o != NULL)
            observation_forget(o, "it could not be stored");
        persist_until_it_works(server);
    }
    storing.done(storing.arg, result);
}

static struct slice put_paths(const struct observation *o, uint8_t *memory) {
    struct buffer out = buffer_over(memory, (size_t)o->path_count * PATH_TEXT_MAX);
    for (size_t i = 0; i < o->path_count; i++) {
        if (i > 0)
            buffer_put_u8(&out, ' ');
        lwm2m_path_put(&out, &o->paths[i]);
    }
    return buffer_slice(&out);
}

/* Without anybody who waits nothing needs to be done when it fails: the row that is there names another registration,
 * and after a restart the observation is begun again. */
void observation_store(struct observation *o, store_done_fn *done, void *arg) {
    struct server *server = o->server;
    struct storing *storing = done == NULL ? NULL : malloc(sizeof *storing);
    uint8_t *memory = malloc((size_t)o->path_count * PATH_TEXT_MAX);
    enum store_result result = STORE_QUEUE_FULL;
    if (storing != NULL)
        *storing = (struct storing){server, done, arg, o->id, o->registration->id, o->registration->slot};
    if (memory != NULL && (done == NULL || storing != NULL)) {
        struct store_observation row = {.id = o->id,
                                        .registration_id = o->coap == NULL ? 0 : o->registration->id,
                                        .endpoint = registration_endpoint(o->registration),
                                        .paths = put_paths(o, memory),
                                        .token = o->coap == NULL ? SLICE_NONE : coap_observation_token(o->coap),
                                        .request = observation_request(o),
                                        .started_at_ms = o->started_at_ms};
        result = store_put_observation(server->store, &row, done == NULL ? NULL : on_stored, storing);
    }
    free(memory);
    if (result == STORE_OK || done == NULL)
        return;
    if (storing != NULL) {
        on_stored(storing, result);
        return;
    }
    observation_forget(o, "it could not be stored");
    done(arg, result);
}

static size_t read_paths(struct slice text, struct lwm2m_path *paths) {
    size_t count = 0;
    while (text.len > 0) {
        const uint8_t *space = memchr(text.data, ' ', text.len);
        struct slice item = space == NULL ? text : slice_of(text.data, (size_t)(space - text.data));
        if (count == OBSERVATION_PATHS_MAX || item.len == 0 || !lwm2m_path_parse(item, &paths[count], NULL))
            return 0;
        count++;
        text = slice_from(text, item.len + 1);
    }
    return count;
}

static bool is_observe_request(struct slice bytes) {
    struct coap_message request;
    return coap_decode(bytes, &request) == COAP_DECODE_OK && (request.code == COAP_GET || request.code == COAP_FETCH) &&
           coap_option_find(&request, COAP_OBSERVE) != NULL;
}

/* A row that names another registration was not rewritten before the end: the device has forgotten it. */
static void load(void *arg, const struct store_observation *row) {
    struct server *server = arg;
    struct registration *r = directory_find(server->directory, row->endpoint);
    struct lwm2m_path paths[OBSERVATION_PATHS_MAX];
    size_t count = r == NULL ? 0 : read_paths(row->paths, paths);
    if (server->next_observation_id <= row->id)
        server->next_observation_id = row->id + 1;
    struct observation *o = count == 0 || !is_observe_request(row->request)
                                ? NULL
                                : add(server, r, row->id, row->request, paths, count, false);
    if (o == NULL) {
        persist_observation_deletion(server, row->id);
        return;
    }
    const struct coap_observer observer = observer_of(o);
    o->started_at_ms = row->started_at_ms;
    /* RFC 8613 §7.4.1: which notifications of a protected observation were told is not known any more. It is begun again. */
    if (r->id == row->registration_id && !r->link->is_protected)
        o->coap = coap_observation_resume(server->coap, r->link, row->token, observation_request(o), &observer);
    if (o->coap == NULL) {
        set_state(o, OBSERVATION_WAITING);
        return;
    }
    set_state(o, OBSERVATION_ACTIVE);
    publish(o, EVENT_OBSERVE_STARTED, 0, "resumed after a restart");
}

bool observations_load(struct server *server, char *error, size_t error_size) {
    return store_load_observations(server->store, load, server, error, error_size);
}

/* ---- what happens to the registration ---- */

static void forget_quietly(struct observation *o) {
    if (o->coap != NULL)
        coap_observation_forget(o->coap);
    o->coap = NULL;
}

void observation_drop(struct observation *o) {
    forget_quietly(o);
    take_out(o);
}

/* Whoever waits for the first answer hears that there will be none. */
static void drop_starting(struct observation *o) {
    observation_fn *started = o->started;
    void *arg = o->arg;
    observation_drop(o);
    started(arg, &(struct coap_reply){.result = COAP_CALL_CANCELLED}, NULL);
}

void observations_hand_over(struct registration *r) {
    for (struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations; o != NULL; o = o->next)
        o->registration = r;
}

void observations_replaced(struct registration *r) {
    for (struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations, *next; o != NULL; o = next) {
        next = o->next;
        if (o->is_auto) {
            observation_drop(o);
        } else if (o->started != NULL) {
            drop_starting(o);
        } else if (o->state != OBSERVATION_WAITING) {
            forget_quietly(o);
            set_state(o, OBSERVATION_WAITING);
        }
    }
}

void observations_lost(struct registration *r) {
    for (struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations; o != NULL; o = o->next) {
        if (o->state != OBSERVATION_ACTIVE)
            continue;
        forget_quietly(o);
        set_state(o, OBSERVATION_WAITING);
    }
}

void observations_moved(struct registration *r) {
    if (r->dealings != NULL)
        stop_reviving(r); /* they were asked for where the device is no more */
    for (struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations, *next; o != NULL; o = next) {
        next = o->next;
        if (o->state == OBSERVATION_ACTIVE)
            follow(o);
    }
}

void observations_ended(struct registration *r, enum event_type why) {
    const char *detail = why == EVENT_EXPIRED ? "the registration has expired" : "the device has deregistered";
    while (r->dealings != NULL && r->dealings->observations != NULL) {
        struct observation *o = r->dealings->observations;
        if (o->started != NULL) {
            drop_starting(o);
        } else if (why == EVENT_TYPE_COUNT || o->is_auto) {
            observation_drop(o);
        } else {
            forget_quietly(o);
            end(o, 0, detail);
        }
    }
}
