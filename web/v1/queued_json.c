#include "web/v1/queued_json.h"

#include <stdlib.h>

#include "web/document.h"
#include "web/problem.h"
#include "web/v1/coap_json.h"

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

/* "/v1/devices/dev1/3/0?names=1", as it was asked. */
static json_t *target_json(const struct job *job) {
    json_t *path = document_text(job->path), *query = document_text(job->query);
    json_t *target = job->query.len == 0 ? json_incref(path)
                                         : json_sprintf("%s?%s", json_string_value(path), json_string_value(query));
    json_decref(path);
    json_decref(query);
    return target;
}

json_t *queued_json(const struct queued_request *request) {
    struct job job;
    bool known = job_read(request->job, &job);
    json_t *object = json_object();
    set(object, "id", json_integer((json_int_t)request->id));
    set(object, "endpoint", document_text(request->endpoint));
    set(object, "method", known ? json_string(job.method) : json_null());
    set(object, "path", known ? target_json(&job) : json_null());
    set(object, "state", json_string(queue_state_name(request->state)));
    set(object, "attempts", json_integer(request->attempts));
    set(object, "created_at", document_time(request->created_at_ms));
    set(object, "expires_at", document_time(request->expires_at_ms));
    set(object, "completed_at", queue_is_over(request) ? document_time(request->completed_at_ms) : json_null());
    return object;
}

/* ---- what it has to tell ---- */

static const struct {
    enum problem_kind kind;
    const char *detail;
} reasons[] = {
    [QUEUE_EXPIRED] = {PROBLEM_EXPIRED, "The device did not listen, or not answer, until the request expired."},
    [QUEUE_CANCELLED] = {PROBLEM_CANCELLED, "The request was cancelled before it was sent."},
    [QUEUE_ENDED] = {PROBLEM_REGISTRATION_GONE, "The device deregistered, or its registration expired, before the "
                                                "request was sent."},
};

void queued_answer_of(const struct queued_request *request, struct queued_answer *answer) {
    *answer = (struct queued_answer){.owned = NULL};
    if (job_result_read(request->result, &answer->result))
        return;
    enum problem_kind kind = PROBLEM_OVERLOADED;
    const char *detail = "The request was run, but its result could not be kept.";
    if (request->state >= QUEUE_EXPIRED) {
        kind = reasons[request->state].kind;
        detail = reasons[request->state].detail;
    }
    json_t *members = json_object();
    set(members, "endpoint", document_text(request->endpoint));
    json_t *document = problem_document(kind, members, slice_str(detail));
    answer->owned = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    answer->result = (struct job_result){.status = problem_status(kind), .content_type = "application/problem+json"};
    if (answer->owned != NULL)
        answer->result.body = slice_str(answer->owned);
}

void queued_answer_free(struct queued_answer *answer) {
    free(answer->owned);
}

/* ---- with its response ---- */

/* The lines "Name: value", as an object. */
static json_t *headers_json(struct slice lines) {
    json_t *headers = json_object();
    while (lines.len > 0) {
        const uint8_t *end = memchr(lines.data, '\r', lines.len);
        struct slice line = end == NULL ? lines : slice_of(lines.data, (size_t)(end - lines.data));
        const uint8_t *colon = line.len == 0 ? NULL : memchr(line.data, ':', line.len);
        lines = slice_from(lines, line.len + 2);
        if (colon == NULL)
            continue;
        struct slice value = slice_from(line, (size_t)(colon - line.data) + 2);
        json_object_setn_new(headers, (const char *)line.data, (size_t)(colon - line.data), document_text(value));
    }
    return headers;
}

static bool is_json(const char *type) {
    size_t len = strcspn(type, ";");
    return (len == 16 && strncmp(type, "application/json", len) == 0) ||
           (len > 5 && strncmp(type + len - 5, "+json", 5) == 0);
}

static json_t *response_json(const struct job_result *result) {
    json_t *response = json_object();
    bool has_body = result->content_type[0] != '\0';
    set(response, "status", json_integer((json_int_t)result->status));
    set(response, "headers", headers_json(result->headers));
    set(response, "content_type", has_body ? json_string(result->content_type) : json_null());
    if (!has_body || result->body.len == 0 || is_json(result->content_type))
        return response;
    if (strncmp(result->content_type, "text/", 5) == 0)
        set(response, "body", document_text(result->body));
    else
        set(response, "body_b64", coap_json_base64(result->body));
    return response;
}

/* Two objects in one: `outer` with a last member `response`, and that with a last member `body` of JSON text. Integers
 * beyond 64 signed bits and the digits of floats stay what they are, since nothing reads the body. */
static char *join(const char *outer, const char *response, struct slice body) {
    size_t size = strlen(outer) + strlen(response) + body.len + 40;
    char *text = malloc(size);
    if (text == NULL)
        return NULL;
    struct buffer out = buffer_over(text, size - 1);
    buffer_put(&out, outer, strlen(outer) - 1);
    buffer_put_str(&out, ",\"response\":");
    buffer_put(&out, response, strlen(response) - 1);
    if (body.len > 0) {
        buffer_put_str(&out, ",\"body\":");
        buffer_put_slice(&out, body);
    }
    buffer_put_str(&out, "}}");
    text[out.len] = '\0';
    return text;
}

char *queued_json_with_response(const struct queued_request *request) {
    struct queued_answer answer;
    queued_answer_of(request, &answer);
    json_t *outer_json = queued_json(request), *inner_json = response_json(&answer.result);
    char *outer = json_dumps(outer_json, JSON_COMPACT), *inner = json_dumps(inner_json, JSON_COMPACT);
    struct slice body = is_json(answer.result.content_type) ? answer.result.body : SLICE_NONE;
    char *text = outer == NULL || inner == NULL ? NULL : join(outer, inner, body);
    free(outer);
    free(inner);
    json_decref(outer_json);
    json_decref(inner_json);
    queued_answer_free(&answer);
    return text;
}
