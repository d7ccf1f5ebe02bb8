/* /v1/faults, and those of one device: what a test orders to go wrong. */
#include <stdio.h>

#include "web/document.h"
#include "web/input.h"
#include "web/v1/device_problem.h"
#include "web/v1/fault_json.h"
#include "web/v1/v1.h"
#include "web/web.h"

enum { ENDPOINT_MAX = 252 };

static void list(const struct call *call, struct slice endpoint) {
    const struct server *server = call->web->server;
    json_t *answer = json_object(), *items = json_array();
    const struct fault *fault = NULL;
    while ((fault = fault_next(server, fault, endpoint)) != NULL)
        json_array_append_new(items, fault_json(fault));
    json_object_set_new(answer, "items", items);
    document_ok(call->request, answer);
}

static void answer_order(const struct call *call, const struct fault_order *order, enum fault_refusal refusal,
                         uint64_t id) {
    char headers[64];
    switch (refusal) {
    case FAULT_ORDERED:
        snprintf(headers, sizeof headers, "Location: /v1/faults/%llu\r\n", (unsigned long long)id);
        http_respond(call->request, &(struct http_response){.status = 204, .headers = headers});
        return;
    case FAULT_TOO_MANY:
        problem_send(call->request, PROBLEM_OVERLOADED, "There are %d faults, or %d of this device, already.",
                     FAULTS_MAX, FAULTS_PER_DEVICE_MAX);
        return;
    case FAULT_NOT_REGISTERED:
        problem_send_not_registered(call->request, order->endpoint);
        return;
    case FAULT_NOT_SO:
        problem_send(call->request, PROBLEM_CONFLICT,
                     "%s: the device has nothing that this could be done to: no such session, connection ID or "
                     "connection.",
                     fault_what_name(order->what));
        return;
    case FAULT_IMPOSSIBLE:
        problem_send(call->request, PROBLEM_CONFLICT,
                     "This server is linked with Mbed TLS as a shared library, which tells the machine's time.");
        return;
    }
}

static void put(const struct call *call, struct slice endpoint) {
    struct fault_order order = {.endpoint = endpoint};
    struct document_error error;
    char problem[512];
    uint64_t id = 0;
    json_t *body = document_read(call->request->body, problem, sizeof problem);
    if (body == NULL) {
        problem_send(call->request, PROBLEM_BAD_BODY, "%s", problem);
        return;
    }
    bool good = fault_json_read(body, &order, &error);
    json_decref(body);
    if (!good) {
        input_refuse(call, &error);
        return;
    }
    enum fault_refusal refusal = fault_order(call->web->server, &order, &id);
    answer_order(call, &order, refusal, id);
}

static void clear(const struct call *call, struct slice endpoint) {
    fault_clear(call->web->server, endpoint);
    http_respond(call->request, &(struct http_response){.status = 204});
}

void v1_faults_list(const struct call *call) {
    list(call, SLICE_NONE);
}

void v1_faults_put(const struct call *call) {
    put(call, SLICE_NONE);
}

void v1_faults_clear(const struct call *call) {
    clear(call, SLICE_NONE);
}

void v1_device_faults_list(const struct call *call) {
    list(call, call->args[0]);
}

void v1_device_faults_put(const struct call *call) {
    if (call->args[0].len > ENDPOINT_MAX)
        problem_send(call->request, PROBLEM_BAD_REQUEST, "An endpoint name has at most %d bytes.", ENDPOINT_MAX);
    else
        put(call, call->args[0]);
}

void v1_device_faults_clear(const struct call *call) {
    clear(call, call->args[0]);
}

/* False: it has been answered. */
static bool read_id(const struct call *call, uint64_t *id) {
    if (slice_to_u64(call->args[0], INT64_MAX, id) && fault_find(call->web->server, *id) != NULL)
        return true;
    problem_send(call->request, PROBLEM_NOT_FOUND, "There is no fault %.*s.", (int)call->args[0].len,
                 (const char *)call->args[0].data);
    return false;
}

void v1_faults_get(const struct call *call) {
    uint64_t id;
    if (read_id(call, &id))
        document_ok(call->request, fault_json(fault_find(call->web->server, id)));
}

void v1_faults_delete(const struct call *call) {
    uint64_t id;
    if (!read_id(call, &id))
        return;
    fault_delete(call->web->server, id);
    http_respond(call->request, &(struct http_response){.status = 204});
}
