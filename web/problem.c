#include "web/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "web/document.h"

enum { DETAIL_MAX = 2048 };

static const struct {
    const char *slug, *title;
    unsigned status;
} kinds[PROBLEM_KIND_COUNT] = {
    [PROBLEM_BAD_REQUEST] = {"bad-request", "The request is malformed", 400},
    [PROBLEM_BAD_PARAMETER] = {"bad-parameter", "A query parameter is wrong", 400},
    [PROBLEM_BAD_BODY] = {"bad-body", "The request body is wrong", 400},
    [PROBLEM_UNAUTHORIZED] = {"unauthorized", "The API key is missing or wrong", 401},
    [PROBLEM_CROSS_ORIGIN] = {"cross-origin", "A page of another origin must not do this", 403},
    [PROBLEM_NOT_FOUND] = {"not-found", "There is nothing here", 404},
    [PROBLEM_NOT_REGISTERED] = {"not-registered", "The device is not registered", 404},
    [PROBLEM_NOT_OBSERVED] = {"not-observed", "There is no such observation", 404},
    [PROBLEM_METHOD_NOT_ALLOWED] = {"method-not-allowed", "The method is not allowed here", 405},
    [PROBLEM_NOT_ACCEPTABLE] = {"not-acceptable", "The answer has no such form", 406},
    [PROBLEM_REQUEST_TIMEOUT] = {"request-timeout", "The request took too long to arrive", 408},
    [PROBLEM_TIMEOUT] = {"timeout", "What was waited for did not happen in time", 408},
    [PROBLEM_UNEXPECTED_EVENT] = {"unexpected-event", "What should not have happened did", 409},
    [PROBLEM_NOT_OVER] = {"not-over", "The request is not over yet", 409},
    [PROBLEM_CONFLICT] = {"conflict", "Something else is in the way", 409},
    [PROBLEM_REGISTRATION_GONE] = {"registration-gone", "The registration ended meanwhile", 410},
    [PROBLEM_CANCELLED] = {"cancelled", "The request was cancelled", 410},
    [PROBLEM_TOO_LARGE] = {"too-large", "The request body is too large", 413},
    [PROBLEM_TARGET_TOO_LONG] = {"target-too-long", "The request target is too long", 414},
    [PROBLEM_MEDIA_TYPE] = {"unsupported-media-type", "The body has a type that is not taken here", 415},
    [PROBLEM_RANGE] = {"range", "There are no such bytes", 416},
    [PROBLEM_EXPECTATION_FAILED] = {"expectation-failed", "The expectation cannot be met", 417},
    [PROBLEM_MISDIRECTED] = {"misdirected", "The server is not asked for by this name", 421},
    [PROBLEM_NOT_SENT] = {"not-sent", "Nothing was sent: the standard does not allow it", 422},
    [PROBLEM_INVALID_DOCUMENT] = {"invalid-document", "The request body does not mean anything", 422},
    [PROBLEM_QUEUE_FULL] = {"queue-full", "Too many requests wait for the device", 429},
    [PROBLEM_TOO_MANY_OBSERVATIONS] = {"too-many-observations", "As much is observed as may be", 429},
    [PROBLEM_HEADERS_TOO_LARGE] = {"headers-too-large", "The header fields are too large", 431},
    [PROBLEM_DEVICE_ERROR] = {"device-error", "The device answered with an error", 502},
    [PROBLEM_UNDECODABLE] = {"undecodable-answer", "The answer of the device cannot be decoded", 502},
    [PROBLEM_UNFINISHED] = {"unfinished-answer", "The answer of the device did not arrive as a whole", 502},
    [PROBLEM_NO_ROOM] = {"no-room", "The device takes smaller messages only", 502},
    [PROBLEM_UNREACHABLE] = {"unreachable", "There is no connection to the device", 502},
    [PROBLEM_STORE] = {"store-failed", "The change could not be stored", 503},
    [PROBLEM_ASLEEP] = {"asleep", "The device is asleep", 503},
    [PROBLEM_NOT_READY] = {"not-ready", "The server is not ready", 503},
    [PROBLEM_OVERLOADED] = {"overloaded", "The server is at a limit", 503},
    [PROBLEM_NO_ANSWER] = {"no-answer", "The device did not answer", 504},
    [PROBLEM_EXPIRED] = {"expired", "The request waited too long for the device", 504},
    [PROBLEM_VERSION] = {"http-version", "The HTTP version is not supported", 505},
    [PROBLEM_RESULT_TOO_LARGE] = {"result-too-large", "The result is too large to be kept", 507},
};

const char *problem_slug(enum problem_kind kind) {
    return kinds[kind].slug;
}

unsigned problem_status(enum problem_kind kind) {
    return kinds[kind].status;
}

enum problem_kind problem_of_status(unsigned status) {
    switch (status) {
    case 408:
        return PROBLEM_REQUEST_TIMEOUT;
    case 409:
        return PROBLEM_CONFLICT;
    case 413:
        return PROBLEM_TOO_LARGE;
    case 414:
        return PROBLEM_TARGET_TOO_LONG;
    case 417:
        return PROBLEM_EXPECTATION_FAILED;
    case 431:
        return PROBLEM_HEADERS_TOO_LARGE;
    case 503:
        return PROBLEM_OVERLOADED;
    case 505:
        return PROBLEM_VERSION;
    default:
        return PROBLEM_BAD_REQUEST;
    }
}

json_t *problem_document(enum problem_kind kind, json_t *members, struct slice detail) {
    uint8_t memory[128];
    struct buffer type = buffer_over(memory, sizeof memory);
    buffer_printf(&type, "https://berth.dev/problems/%s", kinds[kind].slug);
    json_t *document = json_object();
    json_object_set_new(document, "type", document_text(buffer_slice(&type)));
    json_object_set_new(document, "title", json_string(kinds[kind].title));
    json_object_set_new(document, "status", json_integer(kinds[kind].status));
    json_object_set_new(document, "detail", document_text(detail));
    if (members != NULL)
        json_object_update_missing(document, members);
    json_decref(members);
    return document;
}

static void send_detail(struct http_request *request, enum problem_kind kind, json_t *members, const char *headers,
                        const char *format, va_list args) {
    char detail[DETAIL_MAX];
    int len = vsnprintf(detail, sizeof detail, format, args);
    if (kinds[kind].status < 500 && document_ran_out()) { /* it only looks like the client's fault */
        kind = PROBLEM_OVERLOADED;
        len = snprintf(detail, sizeof detail, "The server is out of memory.");
    }
    size_t used = len < 0 ? 0 : (size_t)len < sizeof detail ? (size_t)len : sizeof detail - 1;
    document_send(request, kinds[kind].status, "application/problem+json", headers,
                  problem_document(kind, members, slice_of(detail, used)));
}

void problem_send(struct http_request *request, enum problem_kind kind, const char *format, ...) {
    va_list args;
    va_start(args, format);
    send_detail(request, kind, NULL, NULL, format, args);
    va_end(args);
}

void problem_send_with(struct http_request *request, enum problem_kind kind, json_t *members, const char *headers,
                       const char *format, ...) {
    va_list args;
    va_start(args, format);
    send_detail(request, kind, members, headers, format, args);
    va_end(args);
}
