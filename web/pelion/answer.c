/* How the facade answers: every answer has a number of its own, errors of /v3 are documents, those of /v2 bare words. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum { HEADERS_MAX = 64 };

static const char name[] = "X-Request-ID: ";

static void put_headers(char headers[HEADERS_MAX]) {
    snprintf(headers, HEADERS_MAX, "%s%016" PRIx64 "%016" PRIx64 "\r\n", name, random_u64(), random_u64());
}

static void send_json(struct http_request *request, unsigned status, json_t *json, const char *headers) {
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text == NULL)
        http_respond(request, &(struct http_response){.status = 503, .headers = headers});
    else
        http_respond(request, &(struct http_response){.status = status,
                                                      .content_type = "application/json",
                                                      .headers = headers,
                                                      .body = slice_str(text)});
    free(text);
}

void pelion_send_json(struct http_request *request, unsigned status, json_t *json) {
    char headers[HEADERS_MAX];
    put_headers(headers);
    send_json(request, status, json, headers);
}

void pelion_send_text(struct http_request *request, unsigned status, const char *text) {
    char headers[HEADERS_MAX];
    put_headers(headers);
    http_respond(request, &(struct http_response){.status = status,
                                                  .content_type = *text == '\0' ? NULL : "text/plain",
                                                  .headers = headers,
                                                  .body = slice_str(text)});
}

void pelion_put_id(char id[PELION_ASYNC_ID_MAX + 1]) {
    snprintf(id, PELION_ASYNC_ID_MAX + 1, "%08" PRIx64 "-%04" PRIx64 "-4%03" PRIx64 "-8%03" PRIx64 "-%012" PRIx64,
             random_u64() >> 32, random_u64() >> 48, random_u64() >> 52, random_u64() >> 52, random_u64() >> 16);
}

void pelion_send_id(struct http_request *request, const char *id) {
    pelion_send_json(request, 202, json_pack("{ss}", "async-response-id", id));
}

static const char *type_of(unsigned status) {
    switch (status) {
    case 400:
        return "bad_request";
    case 401:
        return "invalid_auth";
    case 404:
        return "not_found";
    case 405:
        return "method_not_supported";
    case 409:
        return "conflict";
    case 413:
        return "request_entity_too_large";
    case 503:
        return "service_unavailable";
    default:
        return "internal_server_error";
    }
}

static void send_error(struct http_request *request, unsigned status, const char *type, const char *message,
                       json_t *fields) {
    char headers[HEADERS_MAX];
    put_headers(headers);
    send_json(request, status,
              json_pack("{sssisssoss#so}", "object", "error", "code", (int)status, "type", type, "message",
                        document_text(slice_str(message)), "request_id", headers + sizeof name - 1, 32, "fields",
                        fields),
              headers);
}

void pelion_send_error(struct http_request *request, unsigned status, const char *message) {
    send_error(request, status, type_of(status), message, json_array());
}

void pelion_send_invalid(struct http_request *request, const char *field, const char *message) {
    json_t *its_name = document_text(slice_str(field));
    send_error(request, 400, "validation_error", message,
               json_pack("[{soso}]", "name", its_name, "message", document_text(slice_str(message))));
}
