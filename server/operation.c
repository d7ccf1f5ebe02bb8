#include "server/operation.h"

#include <stdlib.h>

#include "common/coap/option.h"
#include "common/coap/stored_message.h"
#include "server/awake.h"
#include "server/contact.h"
#include "server/observation.h"

struct operation {
    struct server *server;
    struct coap_call *call;          /* NULL: it is about `observation`, or waits for a commit */
    struct observation *observation; /* to be begun, until the first answer */
    operation_fn *done;              /* NULL: nobody wants the answer any more */
    void *arg;
    uint64_t cancels;
    /* An answer that waits for a commit. */
    struct stored_message *answer;
    struct operation_result result;
    const struct link *link; /* only to compare: whom it was sent to … */
    uint64_t registration;   /* … and of which registration, */
    uint32_t slot;           /* in this slot */
};

static enum operation_outcome outcome_of(enum coap_call_result result) {
    switch (result) {
    case COAP_CALL_REPLY:
        return OPERATION_ANSWERED;
    case COAP_CALL_NO_ACK:
        return OPERATION_NO_ACK;
    case COAP_CALL_NO_RESPONSE:
        return OPERATION_NO_RESPONSE;
    case COAP_CALL_RESET:
        return OPERATION_RESET;
    case COAP_CALL_TOO_LARGE:
    case COAP_CALL_INCOMPLETE:
        return OPERATION_UNFINISHED;
    case COAP_CALL_CLOSED:
        return OPERATION_UNREACHABLE;
    case COAP_CALL_CANCELLED:
        return OPERATION_GONE;
    case COAP_CALL_WITHDRAWN:
        return OPERATION_NOT_SENT;
    case COAP_CALL_NO_ROOM:
        return OPERATION_NO_ROOM;
    }
    return OPERATION_GONE;
}

bool operation_refuses_format(const struct operation_result *result) {
    return result->outcome == OPERATION_ANSWERED && (result->message->code == COAP_4_06_NOT_ACCEPTABLE ||
                                                     result->message->code == COAP_4_15_UNSUPPORTED_CONTENT_FORMAT);
}

static struct operation_result result_of(const struct coap_reply *reply) {
    return (struct operation_result){.outcome = outcome_of(reply->result),
                                     .message = reply->message,
                                     .body = reply->body,
                                     .rtt_ms = reply->rtt_ms,
                                     .retransmissions = reply->retransmissions};
}

bool operation_is_silence(const struct registration *r, enum operation_outcome outcome) {
    return outcome == OPERATION_NO_ACK || (outcome == OPERATION_NO_RESPONSE && r->link->framing == LINK_STREAM_8323);
}

/* Unless the device has moved or registered anew meanwhile. */
static void note_silence(const struct operation *operation, enum operation_outcome outcome) {
    struct server *server = operation->server;
    struct registration *r = directory_at(server->directory, operation->slot);
    bool is_there = r != NULL && r->id == operation->registration && r->link == operation->link;
    if (is_there && operation_is_silence(r, outcome))
        contact_silent(server, r);
}

static void finish(struct operation *operation, const struct operation_result *result) {
    operation_fn *done = operation->done;
    void *done_arg = operation->arg;
    note_silence(operation, result->outcome);
    free(operation);
    done(done_arg, result);
}

static void on_reply(void *arg, const struct coap_reply *reply) {
    struct operation_result result = result_of(reply);
    finish(arg, &result);
}

/* ---- answers that wait for a commit ---- */

static void on_committed(void *arg, enum store_result result) {
    struct operation *operation = arg;
    struct stored_message *answer = operation->answer;
    struct coap_message message;
    operation->result.message = NULL;
    if (answer != NULL) {
        stored_message_load(answer, &message);
        message.payload = answer->payload;
        operation->result.message = &message;
        operation->result.body = answer->payload;
    }
    if (result != STORE_OK)
        operation->result.outcome = OPERATION_NOT_STORED;
    if (operation->done == NULL) {
        free(operation);
    } else {
        struct operation_result kept = operation->result;
        finish(operation, &kept);
    }
    free(answer);
}

/* False when out of memory: the answer is lost, and then so is what it says. */
static bool keep_answer(struct operation *operation, const struct coap_reply *reply) {
    operation->call = NULL;
    operation->result = result_of(reply);
    if (reply->message == NULL)
        return true;
    struct coap_message whole = *reply->message;
    whole.payload = reply->body;
    operation->answer = stored_message_copy(&whole);
    if (operation->answer == NULL)
        operation->result.outcome = OPERATION_UNFINISHED;
    return operation->answer != NULL;
}

static void on_observed(void *arg, const struct coap_reply *reply, struct observation *observation) {
    struct operation *operation = arg;
    operation->observation = NULL;
    if (observation == NULL) {
        struct operation_result result = result_of(reply);
        result.asked_to_observe = true;
        finish(operation, &result);
        return;
    }
    keep_answer(operation, reply);
    operation->result.asked_to_observe = true;
    operation->result.observation = observation->id;
    observation_store(observation, on_committed, operation);
}

static void on_cancelled(void *arg, const struct coap_reply *reply) {
    struct operation *operation = arg;
    keep_answer(operation, reply);
    enum store_result result =
        store_delete_observations(operation->server->store, &operation->cancels, 1, on_committed, operation);
    if (result != STORE_OK)
        on_committed(operation, result);
}

/* ---- asking ---- */

/* An option for each part between separators; an empty text has none. */
static bool add_parts(struct coap_message *message, uint16_t number, struct slice text, uint8_t separator) {
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, separator, text.len);
        struct slice part = end == NULL ? text : slice_of(text.data, (size_t)(end - text.data));
        if (part.len > 255 || !coap_option_add(message, number, part))
            return false;
        text = slice_from(text, part.len + 1);
    }
    return true;
}

static struct slice without_slash_at_start(struct slice path) {
    return path.len > 0 && path.data[0] == '/' ? slice_from(path, 1) : path;
}

bool operation_compose(const struct registration *r, const struct operation_request *request,
                       struct coap_message *message, struct coap_uint scratch[2]) {
    coap_message_init(message, COAP_CON, request->method, 0, SLICE_NONE);
    message->payload = request->payload;
    if (!request->is_absolute && !add_parts(message, COAP_URI_PATH, without_slash_at_start(registration_root(r)), '/'))
        return false;
    if (!add_parts(message, COAP_URI_PATH, without_slash_at_start(request->path), '/') ||
        !add_parts(message, COAP_URI_QUERY, request->query, '&'))
        return false;
    if (request->accept >= 0 && !coap_option_add_uint(message, COAP_ACCEPT, (uint32_t)request->accept, &scratch[0]))
        return false;
    if (request->content_format >= 0 &&
        !coap_option_add_uint(message, COAP_CONTENT_FORMAT, (uint32_t)request->content_format, &scratch[1]))
        return false;
    for (size_t i = 0; i < request->option_count; i++) {
        if (!coap_option_add(message, request->options[i].number, request->options[i].value))
            return false;
    }
    return true;
}

static bool begin_observation(struct operation *operation, struct registration *r,
                              const struct operation_request *request, struct coap_message *message,
                              enum operation_refusal *refusal) {
    enum observation_refusal why;
    coap_option_add(message, COAP_OBSERVE, SLICE_NONE);
    operation->observation = observation_begin(operation->server, r, message, request->observed,
                                               request->observed_count, on_observed, operation, &why);
    *refusal = why == OBSERVATION_TOO_MANY ? OPERATION_TOO_MANY_OBSERVATIONS : OPERATION_QUEUE_FULL;
    return operation->observation != NULL;
}

static bool cancel_observation(struct operation *operation, struct registration *r, enum operation_refusal *refusal) {
    struct observation *observation = observation_find(r, operation->cancels);
    *refusal = OPERATION_NOT_OBSERVED;
    if (observation == NULL || observation->started != NULL)
        return false;
    *refusal = OPERATION_QUEUE_FULL;
    if (observation->state == OBSERVATION_WAITING) {
        observation_cancel(observation, NULL, NULL);
        operation->result.outcome = OPERATION_ENDED;
        return store_delete_observations(operation->server->store, &operation->cancels, 1, on_committed, operation) ==
               STORE_OK;
    }
    operation->call = observation_cancel(observation, on_cancelled, operation);
    return operation->call != NULL;
}

static bool send_request(struct operation *operation, struct registration *r, const struct operation_request *request,
                         enum operation_refusal *refusal) {
    struct coap_message message;
    struct coap_uint scratch[2];
    if (request->cancels != 0)
        return cancel_observation(operation, r, refusal);
    *refusal = OPERATION_MALFORMED;
    if (!operation_compose(r, request, &message, scratch) || !coap_call_fits(operation->server->coap, &message))
        return false;
    if (request->observed != NULL)
        return begin_observation(operation, r, request, &message, refusal);
    const struct coap_call_options options = {.type = request->is_non_confirmable ? COAP_NON : COAP_CON,
                                              .response_timeout_ms = request->response_timeout_ms,
                                              .source = request->source};
    *refusal = OPERATION_QUEUE_FULL;
    operation->call = coap_call_with(operation->server->coap, r->link, &message, &options, on_reply, operation);
    return operation->call != NULL;
}

enum operation_refusal operation_check(const struct server *server, struct slice endpoint,
                                       const struct operation_request *request) {
    struct coap_message message;
    struct coap_uint scratch[2];
    const struct registration *r = directory_find(server->directory, endpoint);
    if (r == NULL)
        return OPERATION_NOT_REGISTERED;
    if (request->cancels != 0)
        return observation_find(r, request->cancels) == NULL ? OPERATION_NOT_OBSERVED : OPERATION_ACCEPTED;
    bool fits = operation_compose(r, request, &message, scratch) && coap_call_fits(server->coap, &message);
    return fits ? OPERATION_ACCEPTED : OPERATION_MALFORMED;
}

/* An observation that waits to be begun again can end without a word. */
static bool needs_no_device(const struct registration *r, const struct operation_request *request) {
    return request->cancels != 0 && observation_find(r, request->cancels)->state == OBSERVATION_WAITING;
}

struct operation *operation_start(struct server *server, struct slice endpoint, const struct operation_request *request,
                                  operation_fn *done, void *arg, enum operation_refusal *refusal) {
    struct registration *r = directory_find(server->directory, endpoint);
    *refusal = operation_check(server, endpoint, request);
    if (*refusal != OPERATION_ACCEPTED)
        return NULL;
    *refusal = OPERATION_ASLEEP;
    if (!awake_is(r) && !request->even_asleep && !needs_no_device(r, request))
        return NULL;
    *refusal = OPERATION_QUEUE_FULL;
    struct operation *operation = malloc(sizeof *operation);
    if (operation == NULL)
        return NULL;
    *operation = (struct operation){.server = server,
                                    .done = done,
                                    .arg = arg,
                                    .cancels = request->cancels,
                                    .link = r->link,
                                    .registration = r->id,
                                    .slot = r->slot};
    if (!send_request(operation, r, request, refusal)) {
        free(operation);
        return NULL;
    }
    *refusal = OPERATION_ACCEPTED;
    return operation;
}

static void on_pong(void *arg, const struct coap_reply *reply) {
    struct coap_reply answer = *reply;
    if (reply->result == COAP_CALL_RESET)
        answer.result = COAP_CALL_REPLY;
    on_reply(arg, &answer);
}

struct operation *operation_ping(struct server *server, struct slice endpoint, operation_fn *done, void *arg,
                                 enum operation_refusal *refusal) {
    const struct registration *r = directory_find(server->directory, endpoint);
    *refusal = r == NULL ? OPERATION_NOT_REGISTERED : !awake_is(r) ? OPERATION_ASLEEP : OPERATION_QUEUE_FULL;
    struct operation *operation = r == NULL || !awake_is(r) ? NULL : malloc(sizeof *operation);
    if (operation == NULL)
        return NULL;
    *operation = (struct operation){
        .server = server, .done = done, .arg = arg, .link = r->link, .registration = r->id, .slot = r->slot};
    operation->call = coap_ping(server->coap, r->link, on_pong, operation);
    if (operation->call == NULL) {
        free(operation);
        return NULL;
    }
    *refusal = OPERATION_ACCEPTED;
    return operation;
}

void operation_cancel(struct operation *operation) {
    operation->done = NULL;
    if (operation->call == NULL && operation->observation == NULL)
        return; /* freed after the commit */
    if (operation->observation != NULL)
        observation_abandon(operation->observation);
    else
        coap_call_cancel(operation->call);
    free(operation);
}

/* Another device registered from where this one was: what is under way there is that one's. */
static bool is_displaced(const struct server *server, const struct registration *r) {
    const struct registration *owner = server_owner_of(server, r->link);
    return owner != NULL && !slice_equal(registration_endpoint(owner), registration_endpoint(r));
}

void operation_end_all(struct server *server, const struct registration *r) {
    if (!is_displaced(server, r))
        coap_cancel_calls(server->coap, r->link);
}
