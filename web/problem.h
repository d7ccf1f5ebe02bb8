/* Errors as RFC 9457 problem documents. Each kind has a type under https://berth.dev/problems/, a title and a status;
 * `detail` says what is wrong this time, and what would be right. */
#ifndef BERTH_WEB_PROBLEM_H
#define BERTH_WEB_PROBLEM_H

#include <jansson.h>

#include "web/http.h"

enum problem_kind {
    PROBLEM_BAD_REQUEST,
    PROBLEM_BAD_PARAMETER,
    PROBLEM_BAD_BODY,
    PROBLEM_UNAUTHORIZED,
    PROBLEM_CROSS_ORIGIN,
    PROBLEM_NOT_FOUND,
    PROBLEM_NOT_REGISTERED,
    PROBLEM_NOT_OBSERVED,
    PROBLEM_METHOD_NOT_ALLOWED,
    PROBLEM_NOT_ACCEPTABLE,
    PROBLEM_REQUEST_TIMEOUT,
    PROBLEM_TIMEOUT,
    PROBLEM_UNEXPECTED_EVENT,
    PROBLEM_NOT_OVER,
    PROBLEM_CONFLICT,
    PROBLEM_REGISTRATION_GONE,
    PROBLEM_CANCELLED,
    PROBLEM_TOO_LARGE,
    PROBLEM_TARGET_TOO_LONG,
    PROBLEM_MEDIA_TYPE,
    PROBLEM_RANGE,
    PROBLEM_EXPECTATION_FAILED,
    PROBLEM_MISDIRECTED,
    PROBLEM_NOT_SENT,
    PROBLEM_INVALID_DOCUMENT,
    PROBLEM_QUEUE_FULL,
    PROBLEM_TOO_MANY_OBSERVATIONS,
    PROBLEM_HEADERS_TOO_LARGE,
    PROBLEM_DEVICE_ERROR, /* sent by device_problem.c, with the status that the device's code is translated to */
    PROBLEM_UNDECODABLE,
    PROBLEM_UNFINISHED,
    PROBLEM_NO_ROOM,
    PROBLEM_UNREACHABLE,
    PROBLEM_STORE,
    PROBLEM_ASLEEP,
    PROBLEM_NOT_READY,
    PROBLEM_OVERLOADED,
    PROBLEM_NO_ANSWER,
    PROBLEM_EXPIRED,
    PROBLEM_VERSION,
    PROBLEM_RESULT_TOO_LARGE,
    PROBLEM_KIND_COUNT,
};

const char *problem_slug(enum problem_kind kind);
unsigned problem_status(enum problem_kind kind);

/* The kind for a request that HTTP itself refuses with `status`. */
enum problem_kind problem_of_status(unsigned status);

/* The document. `members`, an object or NULL, adds to it and is given up. */
json_t *problem_document(enum problem_kind kind, json_t *members, struct slice detail);

/* Answer with a problem; the detail is formatted as printf does, and may hold bytes from outside. */
void problem_send(struct http_request *request, enum problem_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with further members (given up) and header lines, each NULL when there are none. */
void problem_send_with(struct http_request *request, enum problem_kind kind, json_t *members, const char *headers,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
