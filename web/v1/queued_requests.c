/* /v1/requests/{id}: what became of a request that was put into a queue with `Prefer: respond-async`. */
#include <inttypes.h>
#include <stdlib.h>

#include "server/queue.h"
#include "web/document.h"
#include "web/input.h"
#include "web/stored.h"
#include "web/v1/queued_json.h"
#include "web/v1/v1.h"
#include "web/waiter.h"

/* What the answer shows: the request with its response in it, or the response itself. */
typedef void send_fn(struct http_request *to, const struct queued_request *request);

struct result_waiter {
    struct waiter waiter; /* first member */
    uint64_t id;
    send_fn *send;
};

/* ---- answering ---- */

static void send_request(struct http_request *to, const struct queued_request *request) {
    if (!queue_is_over(request)) {
        document_ok(to, queued_json(request));
        return;
    }
    char *text = queued_json_with_response(request);
    if (text == NULL)
        problem_send(to, PROBLEM_OVERLOADED, "The server is out of memory.");
    else
        http_respond(
            to, &(struct http_response){.status = 200, .content_type = "application/json", .body = slice_str(text)});
    free(text);
}

static void send_response(struct http_request *to, const struct queued_request *request) {
    struct queued_answer answer;
    if (!queue_is_over(request)) {
        problem_send(to, PROBLEM_NOT_OVER, "The request is %s. With timeout=30s the answer waits for it.",
                     queue_state_name(request->state));
        return;
    }
    queued_answer_of(request, &answer);
    char *headers = calloc(1, answer.result.headers.len + 1);
    if (headers != NULL && answer.result.headers.len > 0)
        memcpy(headers, answer.result.headers.data, answer.result.headers.len);
    http_respond(to, &(struct http_response){
                         .status = answer.result.status,
                         .content_type = answer.result.content_type[0] == '\0' ? NULL : answer.result.content_type,
                         .headers = headers,
                         .body = answer.result.body});
    free(headers);
    queued_answer_free(&answer);
}

static void send_unknown(struct http_request *to, uint64_t id) {
    problem_send(to, PROBLEM_NOT_FOUND,
                 "There is no request %" PRIu64 ". A result is kept for an hour, and the last %d of them.", id,
                 QUEUE_RESULTS_MAX);
}

/* ---- waiting ---- */

static void on_event(struct waiter *waiter, const struct event *event) {
    struct result_waiter *w = (struct result_waiter *)waiter;
    if (event->type != EVENT_REQUEST_COMPLETED || event->request.id != w->id)
        return;
    const struct queued_request *request = queue_find(waiter->web->server, w->id);
    struct http_request *to = waiter_stop(waiter);
    if (request == NULL)
        send_unknown(to, w->id);
    else
        w->send(to, request);
    free(w);
}

static void on_timed_out(struct waiter *waiter) {
    struct result_waiter *w = (struct result_waiter *)waiter;
    const struct queued_request *request = queue_find(waiter->web->server, w->id);
    struct http_request *to = waiter_stop(waiter);
    if (request == NULL) {
        send_unknown(to, w->id);
    } else {
        json_t *members = json_object();
        json_object_set_new(members, "request", queued_json(request));
        problem_send_with(to, PROBLEM_TIMEOUT, members, NULL,
                          "Request %" PRIu64 " was not over within %" PRIu64 " ms; it is %s.", w->id,
                          w->waiter.timeout_ms, queue_state_name(request->state));
    }
    free(w);
}

static void on_free(struct waiter *waiter) {
    free(waiter);
}

static const struct waiter_handlers waiting = {.event = on_event, .timed_out = on_timed_out, .free = on_free};

/* ---- the calls ---- */

/* False: the request is answered. */
static bool read_id(const struct call *call, uint64_t *id) {
    if (slice_to_u64(call->args[0], INT64_MAX, id))
        return true;
    problem_send(call->request, PROBLEM_NOT_FOUND, "\"%.*s\" is no id of a request; ids are numbers.",
                 (int)call->args[0].len, (const char *)call->args[0].data);
    return false;
}

static void get(const struct call *call, send_fn *send) {
    uint64_t id, timeout_ms;
    if (!read_id(call, &id) || !input_timeout(call, &timeout_ms))
        return;
    const struct queued_request *request = queue_find(call->web->server, id);
    if (request == NULL) {
        send_unknown(call->request, id);
        return;
    }
    if (queue_is_over(request) || !input_given(call, "timeout")) {
        send(call->request, request);
        return;
    }
    struct result_waiter *w = calloc(1, sizeof *w);
    if (w == NULL) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    w->id = id;
    w->send = send;
    waiter_start(&w->waiter, call->web, call->request, &waiting, timeout_ms);
}

void v1_queued_get(const struct call *call) {
    get(call, send_request);
}

void v1_queued_get_response(const struct call *call) {
    get(call, send_response);
}

void v1_queued_delete(const struct call *call) {
    uint64_t id;
    if (!read_id(call, &id))
        return;
    const struct queued_request *request = queue_find(call->web->server, id);
    if (request == NULL)
        send_unknown(call->request, id);
    else if (!queue_cancel(call->web->server, id, answer_stored, stored_request(call)))
        problem_send(call->request, PROBLEM_NOT_OVER, "The request is being done now.");
}
