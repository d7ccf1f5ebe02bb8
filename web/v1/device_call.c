#include "web/v1/device_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/duration.h"
#include "web/prefer.h"
#include "web/v1/device_problem.h"
#include "web/v1/replay.h"
#include "web/v1/respond_async.h"

enum { BUSY_RETRY_MS = 1000 };

struct device_memory {
    struct device_memory *next;
    max_align_t bytes[];
};

static void free_call(struct device_call *call) {
    while (call->memory != NULL) {
        struct device_memory *next = call->memory->next;
        free(call->memory);
        call->memory = next;
    }
    free(call);
}

void *device_call_take(struct device_call *call, size_t size) {
    struct device_memory *memory = malloc(sizeof *memory + size);
    if (memory == NULL)
        return NULL;
    memory->next = call->memory;
    call->memory = memory;
    return memory->bytes;
}

static void on_gone(struct http_request *request) {
    struct device_call *call = request->arg;
    if (call->operation != NULL)
        operation_cancel(call->operation);
    call->web->waiting--;
    free_call(call);
}

static bool read_response_timeout(const struct call *call, uint32_t *ms) {
    struct slice text = query_get(&call->query, "response_timeout");
    uint64_t asked_ms = 0;
    if (text.data != NULL && (!duration_parse(text, RESPONSE_TIMEOUT_MAX_MS, &asked_ms) || asked_ms == 0)) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER,
                     "response_timeout is \"%.*s\"; it must be a duration such as 10s or 500ms, of at most an hour.",
                     (int)text.len, (const char *)text.data);
        return false;
    }
    *ms = (uint32_t)asked_ms;
    return true;
}

void *device_call_new(const struct call *call, size_t size, const char *target, device_call_fn *answered) {
    uint32_t response_timeout_ms;
    if (!read_response_timeout(call, &response_timeout_ms))
        return NULL;
    struct device_call *device_call = calloc(1, size);
    char *texts = device_call == NULL ? NULL : device_call_take(device_call, call->args[0].len + strlen(target) + 1);
    if (texts == NULL) {
        free(device_call);
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return NULL;
    }
    memcpy(texts, target, strlen(target) + 1);
    device_call->target = texts;
    texts += strlen(target) + 1;
    memcpy(texts, call->args[0].data, call->args[0].len);
    device_call->endpoint = slice_of(texts, call->args[0].len);
    device_call->web = call->web;
    device_call->request = call->request;
    device_call->answered = answered;
    device_call->response_timeout_ms = response_timeout_ms;
    device_call->even_asleep = slice_is(query_get(&call->query, "force"), "1");
    call->request->arg = device_call;
    call->request->gone = on_gone;
    call->web->waiting++;
    return device_call;
}

struct http_request *device_call_end(struct device_call *call) {
    struct http_request *request = call->request;
    request->gone = NULL;
    call->web->waiting--;
    free_call(call);
    return request;
}

void device_call_refuse(struct device_call *call, enum problem_kind kind, const char *format, ...) {
    char detail[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    problem_send(device_call_end(call), kind, "%s", detail);
}

static void refuse_unregistered(struct device_call *call) {
    struct http_request *request = call->request;
    char name[256]; /* an endpoint name that may be registered is no longer */
    size_t len = call->endpoint.len < sizeof name ? call->endpoint.len : sizeof name;
    memcpy(name, call->endpoint.data, len);
    device_call_end(call);
    problem_send_not_registered(request, slice_of(name, len));
}

/* What was queued has not reached the device, and shall; but for the cancel of an observation, which is over here
 * whatever the device says. */
static bool belongs_into_queue(const struct device_call *call, const struct operation_result *result) {
    if (!replay_is(call->request) || call->cancels)
        return false;
    switch (result->outcome) {
    case OPERATION_GONE: /* should the registration have ended, so will what waits for it */
    case OPERATION_NOT_SENT:
    case OPERATION_UNREACHABLE:
        return true;
    case OPERATION_NO_ACK:
    case OPERATION_NO_RESPONSE: {
        const struct registration *r = directory_find(call->web->server->directory, call->endpoint);
        return r != NULL && r->queue_mode && operation_is_silence(r, result->outcome);
    }
    default:
        return false;
    }
}

static void on_result(void *arg, const struct operation_result *result) {
    struct device_call *call = arg;
    call->operation = NULL;
    if (belongs_into_queue(call, result))
        replay_put_back(device_call_end(call), 0);
    else
        call->answered(call, result);
}

static void refuse(struct device_call *call, enum operation_refusal refusal) {
    switch (refusal) {
    case OPERATION_NOT_REGISTERED:
        refuse_unregistered(call);
        break;
    case OPERATION_ASLEEP:
        device_problem_asleep(call);
        break;
    case OPERATION_QUEUE_FULL:
        device_call_refuse(call, PROBLEM_QUEUE_FULL, "As many requests wait for \"%.*s\" as may. Try again later.",
                           (int)call->endpoint.len, (const char *)call->endpoint.data);
        break;
    case OPERATION_TOO_MANY_OBSERVATIONS:
        device_call_refuse(call, PROBLEM_TOO_MANY_OBSERVATIONS,
                           "No more may be observed: --max-observations-per-device and --max-observations are limits.");
        break;
    case OPERATION_NOT_OBSERVED:
        device_call_refuse(call, PROBLEM_NOT_OBSERVED, "There is no such observation.");
        break;
    case OPERATION_ACCEPTED:
    case OPERATION_MALFORMED:
        device_call_refuse(call, PROBLEM_BAD_REQUEST,
                           "Path, query and options do not fit into a CoAP message (at most 255 bytes each, about 1000 "
                           "together), or the payload is larger than --max-body allows.");
        break;
    }
}

static void send_now(struct device_call *call, const struct operation_request *request) {
    struct operation_request sent = *request;
    enum operation_refusal refusal;
    sent.response_timeout_ms = call->response_timeout_ms;
    sent.even_asleep = call->even_asleep;
    call->method = request->method;
    call->cancels = request->cancels != 0;
    call->operation = operation_start(call->web->server, call->endpoint, &sent, on_result, call, &refusal);
    if (call->operation != NULL)
        return;
    if (replay_is(call->request) && (refusal == OPERATION_ASLEEP || refusal == OPERATION_QUEUE_FULL))
        replay_put_back(device_call_end(call), BUSY_RETRY_MS);
    else
        refuse(call, refusal);
}

void device_call_send(struct device_call *call, const struct operation_request *request) {
    struct prefer prefer = {0};
    if (replay_is(call->request)) {
        send_now(call, request);
        return;
    }
    if (!prefer_read(call->request, &prefer)) {
        device_call_refuse(call, PROBLEM_BAD_REQUEST,
                           "expires of Prefer: respond-async must be a duration from 1s to 30d, like 3600s or 1h.");
        return;
    }
    if (!prefer.respond_async) {
        send_now(call, request);
        return;
    }
    enum operation_refusal refusal = operation_check(call->web->server, call->endpoint, request);
    if (refusal == OPERATION_ACCEPTED)
        respond_async(call, prefer.expires_ms);
    else
        refuse(call, refusal);
}

void device_call_ping(struct device_call *call) {
    enum operation_refusal refusal;
    call->method = COAP_EMPTY;
    call->operation = operation_ping(call->web->server, call->endpoint, on_result, call, &refusal);
    if (call->operation == NULL)
        refuse(call, refusal);
}
