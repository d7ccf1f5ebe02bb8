#include "web/v1/replay.h"

#include <stdlib.h>

#include "common/coap/message.h"
#include "web/problem.h"
#include "web/v1/job.h"

enum { RETRY_MS = 1000, RESULT_SLACK = 64 };

struct replay {
    struct http_request request; /* first member */
    struct web *web;
    uint64_t id;
    struct job job; /* in the memory of the queued request, which is running and so stays */
    struct replay *next, **link;
};

static void replay_free(struct replay *replay) {
    *replay->link = replay->next;
    if (replay->next != NULL)
        replay->next->link = replay->link;
    free(replay);
}

static struct slice header(const struct http_request *request, const char *name) {
    const struct replay *replay = (const struct replay *)request;
    if (strcmp(name, "accept") == 0)
        return replay->job.accept;
    return strcmp(name, "content-type") == 0 ? replay->job.content_type : SLICE_NONE;
}

/* Of the CoAP-Code header line, which every answer of a device has; 0 when there is none. */
static uint8_t coap_code_in(const char *headers) {
    static const char name[] = "CoAP-Code: ";
    const char *line = headers == NULL ? NULL : strstr(headers, name);
    if (line == NULL || strlen(line) < sizeof name - 1 + 4)
        return 0;
    const char *code = line + sizeof name - 1; /* "2.05" */
    return (uint8_t)COAP_CODE(code[0] - '0', (code[2] - '0') * 10 + (code[3] - '0'));
}

static void respond(struct http_request *request, const struct http_response *response) {
    struct replay *replay = (struct replay *)request;
    struct http_response kept = *response;
    if (request->head)
        kept.body = SLICE_NONE;
    size_t size = job_result_size(&kept);
    if (size > QUEUE_RESULT_BYTES_MAX - RESULT_SLACK) {
        problem_send(request, PROBLEM_RESULT_TOO_LARGE, "The answer has %zu bytes; %d are kept.", kept.body.len,
                     QUEUE_RESULT_BYTES_MAX);
        return;
    }
    uint8_t *memory = malloc(size);
    struct buffer result = buffer_over(memory, memory == NULL ? 0 : size);
    job_result_write(&kept, &result);
    struct queue_outcome outcome = {.result = result.overflow ? SLICE_NONE : buffer_slice(&result),
                                    .status = (uint16_t)kept.status,
                                    .coap_code = coap_code_in(kept.headers)};
    outcome.state = outcome.coap_code != 0 ? QUEUE_COMPLETED : QUEUE_FAILED;
    queue_done(replay->web->server, replay->id, &outcome);
    free(memory);
    replay_free(replay);
}

static const struct http_internal internal = {.header = header, .respond = respond};

void replay_run(void *arg, const struct queued_request *queued) {
    struct web *web = arg;
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL) {
        queue_put_back(web->server, queued->id, RETRY_MS);
        return;
    }
    if (!job_read(queued->job, &replay->job)) { /* not ours, or of a later version */
        queue_done(web->server, queued->id, &(struct queue_outcome){.state = QUEUE_FAILED});
        free(replay);
        return;
    }
    replay->web = web;
    replay->id = queued->id;
    replay->request = (struct http_request){.method = replay->job.method,
                                            .head = strcmp(replay->job.method, "HEAD") == 0,
                                            .path = replay->job.path,
                                            .query = replay->job.query,
                                            .body = replay->job.body,
                                            .internal = &internal};
    replay->next = web->replays;
    replay->link = &web->replays;
    if (replay->next != NULL)
        replay->next->link = &replay->next;
    web->replays = replay;
    web_handle(web, LISTENER_EVERYTHING, &replay->request);
}

bool replay_is(const struct http_request *request) {
    return request->internal == &internal;
}

void replay_put_back(struct http_request *request, uint64_t delay_ms) {
    struct replay *replay = (struct replay *)request;
    struct server *server = replay->web->server;
    uint64_t id = replay->id;
    replay_free(replay);
    queue_put_back(server, id, delay_ms);
}

void replay_end_all(struct web *web) {
    while (web->replays != NULL) {
        struct replay *replay = web->replays;
        if (replay->request.gone != NULL)
            replay->request.gone(&replay->request);
        replay_free(replay);
    }
}
