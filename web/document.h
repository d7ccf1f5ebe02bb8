/* JSON documents: jansson, with the rules of this API. */
#ifndef BERTH_WEB_DOCUMENT_H
#define BERTH_WEB_DOCUMENT_H

#include <jansson.h>

#include "common/net/address.h"
#include "web/http.h"

enum { DOCUMENT_DEPTH_MAX = 32 };

/* A string of bytes from outside. What is not UTF-8 in it becomes U+FFFD, one for each byte that does not fit. */
json_t *document_text(struct slice bytes);

/* Unix milliseconds as an RFC 3339 string. */
json_t *document_time(uint64_t unix_ms);

/* "192.0.2.1:5683"; null when there is none. */
json_t *document_address(const struct address *address);

/* The path of a registration: "/rd/" and its segments. */
json_t *document_location(struct slice segments);

/* The JSON object in `body`. NULL when it is none, is nested deeper than DOCUMENT_DEPTH_MAX, or has a member twice;
 * `error` then says what is wrong and where. */
json_t *document_read(struct slice body, char *error, size_t error_size);

/* The name of a member of `object` that is not among `names`, a list that ends with NULL; NULL when all are. */
const char *document_unknown_member(const json_t *object, const char *const *names);

/* The bytes of a JSON string. */
struct slice document_string(const json_t *string);

/* A duration as text (see duration_parse), or a number of seconds. False when `value`, which may be NULL, is neither,
 * or more than `max_ms`. */
bool document_duration(const json_t *value, uint64_t max_ms, uint64_t *ms);

/* Answer with `document`, which is given up. */
void document_send(struct http_request *request, unsigned status, const char *content_type, const char *headers,
                   json_t *document);

/* 200 and application/json. */
void document_ok(struct http_request *request, json_t *document);

#endif
