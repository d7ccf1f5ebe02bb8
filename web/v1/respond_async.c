#include "web/v1/respond_async.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/queue.h"
#include "web/document.h"
#include "web/stored.h"
#include "web/v1/device_problem.h"
#include "web/v1/job.h"

/* A request of HTTP whose job is on its way to the store. */
struct asked {
    struct web *web;
    struct http_request *request;
    uint64_t id;
    struct slice endpoint;
    uint8_t bytes[]; /* endpoint */
};

static void on_stored(void *arg, enum store_result result) {
    struct asked *asked = arg;
    struct http_request *request = asked->request;
    char headers[128];
    if (result == STORE_OK) {
        snprintf(headers, sizeof headers, "Location: /v1/requests/%" PRIu64 "\r\nPreference-Applied: respond-async\r\n",
                 asked->id);
        json_t *answer = json_object();
        json_object_set_new(answer, "id", json_integer((json_int_t)asked->id));
        json_object_set_new(answer, "state", json_string(queue_state_name(QUEUE_WAITING)));
        document_send(request, 202, "application/json", headers, answer);
    } else {
        request->arg = asked->web;
        answer_stored(request, result);
    }
    free(asked);
}

static void refuse(struct asked *asked, enum queue_refusal refusal) {
    switch (refusal) {
    case QUEUE_NOT_REGISTERED:
        problem_send_not_registered(asked->request, asked->endpoint);
        break;
    case QUEUE_FULL:
        problem_send(asked->request, PROBLEM_QUEUE_FULL,
                     "As many requests wait for \"%.*s\" as may. Try again later, or see its /queue.",
                     (int)asked->endpoint.len, (const char *)asked->endpoint.data);
        break;
    case QUEUE_ACCEPTED:
    case QUEUE_NO_ROOM:
        problem_send(asked->request, PROBLEM_OVERLOADED, "All the memory for queued requests is in use.");
        break;
    }
    free(asked);
}

void respond_async(struct device_call *call, uint64_t expires_ms) {
    struct server *server = call->web->server;
    size_t size = job_size(call->request);
    struct asked *asked = malloc(sizeof *asked + call->endpoint.len);
    uint8_t *memory = malloc(size);
    if (asked == NULL || memory == NULL) {
        free(asked);
        free(memory);
        device_call_refuse(call, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    *asked = (struct asked){.web = call->web, .endpoint = slice_of(asked->bytes, call->endpoint.len)};
    memcpy(asked->bytes, call->endpoint.data, call->endpoint.len);
    struct buffer job = buffer_over(memory, size);
    job_write(call->request, &job);
    asked->request = device_call_end(call);
    uint64_t expires_at_ms =
        clock_now_ms(&server->clock) + (expires_ms == 0 ? server->config->queue_expiry_ms : expires_ms);
    enum queue_refusal refusal =
        queue_put(server, asked->endpoint, buffer_slice(&job), expires_at_ms, on_stored, asked, &asked->id);
    free(memory);
    if (refusal != QUEUE_ACCEPTED)
        refuse(asked, refusal);
}
