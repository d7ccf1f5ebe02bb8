#include "web/v1/unobserve.h"

#include <stdlib.h>

#include "server/dealings.h"
#include "web/input.h"
#include "web/stored.h"
#include "web/v1/device_call.h"
#include "web/v1/device_problem.h"
#include "web/v1/done.h"
#include "web/v1/target.h"
#include "web/v1/v1.h"
#include "web/web.h"

/* ---- which ---- */

struct ids {
    uint64_t *ids;
    size_t count;
};

/* Memory is the caller's. */
static struct ids choose(const struct registration *r, unobserve_choice_fn *chosen, const void *arg) {
    size_t cap = r->dealings == NULL ? 0 : r->dealings->observation_count;
    struct ids out = {.ids = malloc((cap + 1) * sizeof *out.ids)};
    for (struct observation *o = cap == 0 ? NULL : r->dealings->observations; o != NULL && out.ids != NULL;
         o = o->next) {
        if (!o->is_auto && o->started == NULL && chosen(arg, o))
            out.ids[out.count++] = o->id;
    }
    return out;
}

static struct observation *find(const struct server *server, struct slice endpoint, uint64_t id) {
    const struct registration *r = directory_find(server->directory, endpoint);
    return r == NULL ? NULL : observation_find(r, id);
}

/* ---- mode=reset: over here, and the device hears of it with its next notification ---- */

struct forgetting {
    struct server *server;
    struct http_request *request;
    struct ids ids;
    size_t endpoint_len;
    uint8_t endpoint[];
};

static void on_deleted(void *arg, enum store_result result) {
    struct forgetting *forgetting = arg;
    struct slice endpoint = slice_of(forgetting->endpoint, forgetting->endpoint_len);
    for (size_t i = 0; result == STORE_OK && i < forgetting->ids.count; i++) {
        struct observation *o = find(forgetting->server, endpoint, forgetting->ids.ids[i]);
        if (o != NULL)
            observation_forget(o, "cancelled without a word to the device");
    }
    answer_stored(forgetting->request, result);
    free(forgetting->ids.ids);
    free(forgetting);
}

static void forget(const struct call *call, struct ids ids) {
    struct server *server = call->web->server;
    struct slice endpoint = call->args[0];
    struct forgetting *forgetting = malloc(sizeof *forgetting + endpoint.len);
    if (forgetting == NULL) {
        free(ids.ids);
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    *forgetting = (struct forgetting){
        .server = server, .request = stored_request(call), .ids = ids, .endpoint_len = endpoint.len};
    memcpy(forgetting->endpoint, endpoint.data, endpoint.len);
    enum store_result result = store_delete_observations(server->store, ids.ids, ids.count, on_deleted, forgetting);
    if (result != STORE_OK)
        on_deleted(forgetting, result);
}

/* ---- mode=active: the device is told, one observation after the other ---- */

struct cancelling {
    struct device_call call; /* first member */
    uint64_t *ids;           /* their memory is the call's */
    size_t count, next;
};

/* False when there is none left. */
static bool cancel_next(struct cancelling *cancelling) {
    while (cancelling->next < cancelling->count) {
        uint64_t id = cancelling->ids[cancelling->next++];
        const struct observation *o = find(cancelling->call.web->server, cancelling->call.endpoint, id);
        if (o == NULL)
            continue; /* it has ended meanwhile */
        device_call_send(&cancelling->call,
                         &(struct operation_request){.method = o->is_composite ? COAP_FETCH : COAP_GET, .cancels = id});
        return true;
    }
    return false;
}

/* A device that does not answer is not asked again for each of the others: they are over here, too. */
static void forget_rest(const struct cancelling *cancelling) {
    for (size_t i = cancelling->next; i < cancelling->count; i++) {
        struct observation *o = find(cancelling->call.web->server, cancelling->call.endpoint, cancelling->ids[i]);
        if (o != NULL)
            observation_forget(o, "cancelled; the device did not answer when it was told of another");
    }
}

static void on_answered(struct device_call *call, const struct operation_result *result) {
    struct cancelling *cancelling = (struct cancelling *)call;
    bool good = result->outcome == OPERATION_ENDED ||
                (result->outcome == OPERATION_ANSWERED && COAP_CODE_CLASS(result->message->code) == 2);
    if (!good) {
        forget_rest(cancelling);
        device_problem_if_any(call, result);
    } else if (cancel_next(cancelling)) {
        return;
    } else if (result->outcome == OPERATION_ENDED) {
        http_respond(device_call_end(call), &(struct http_response){.status = 204});
    } else {
        done_answer(call, result);
    }
}

static void cancel(const struct call *call, const char *target, const struct ids *ids) {
    struct cancelling *cancelling = device_call_new(call, sizeof *cancelling, target, on_answered);
    if (cancelling == NULL)
        return;
    cancelling->ids = device_call_take(&cancelling->call, ids->count * sizeof *ids->ids);
    if (cancelling->ids == NULL) {
        device_call_refuse(&cancelling->call, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    memcpy(cancelling->ids, ids->ids, ids->count * sizeof *ids->ids);
    cancelling->count = ids->count;
    cancel_next(cancelling); /* there is at least one */
}

/* ---- the calls ---- */

static bool read_mode(const struct call *call, bool *reset) {
    struct slice mode = query_get(&call->query, "mode");
    *reset = slice_is(mode, "reset");
    if (mode.data == NULL || *reset || slice_is(mode, "active"))
        return true;
    problem_send(call->request, PROBLEM_BAD_PARAMETER, "mode is \"%.*s\"; it must be active or reset.", (int)mode.len,
                 (const char *)mode.data);
    return false;
}

void unobserve(const struct call *call, const struct registration *r, const char *target, unobserve_choice_fn *chosen,
               const void *arg) {
    bool reset;
    if (!read_mode(call, &reset))
        return;
    if (r->link->framing == LINK_STREAM_8323) /* there is no Reset (RFC 8323 §7.1), so the device has to be told */
        reset = false;
    struct ids ids = choose(r, chosen, arg);
    if (ids.ids == NULL) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
    } else if (ids.count == 0) {
        problem_send(call->request, PROBLEM_NOT_OBSERVED, "There is no observation of %s that could be cancelled.",
                     target);
    } else if (reset) {
        forget(call, ids);
        return;
    } else {
        cancel(call, target, &ids);
    }
    free(ids.ids);
}

/* One path, and perhaps one number. */
struct wanted {
    struct lwm2m_path path;
    uint64_t id; /* 0: any */
};

static bool is_wanted(const void *arg, const struct observation *o) {
    const struct wanted *wanted = arg;
    return !o->is_composite && lwm2m_path_equal(&o->paths[0], &wanted->path) &&
           (wanted->id == 0 || wanted->id == o->id);
}

void v1_unobserve(const struct call *call) {
    struct target target;
    struct wanted wanted = {.id = 0};
    if (!target_read(call, &target) || !input_number(call, "id", 1, INT64_MAX, &wanted.id))
        return;
    wanted.path = target.path;
    unobserve(call, target.registration, target.text, is_wanted, &wanted);
}
