/* JSON documents: jansson, with the rules of this API. */
#ifndef BERTH_WEB_DOCUMENT_H
#define BERTH_WEB_DOCUMENT_H

#include <jansson.h>

#include "common/net/address.h"
#include "web/http.h"

enum { DOCUMENT_DEPTH_MAX = 32 };

/* Have it noticed when memory runs out within Jansson, which tells that like a fault of the document. Call it before any
 * document is made. */
void document_watch_memory(void);

/* Whether that has happened since this was last asked. */
bool document_ran_out(void);

/* A string of bytes from outside. What is not UTF-8 in it becomes U+FFFD, one for each byte that does not fit. */
json_t *document_text(struct slice bytes);

/* The character at `at` of such bytes, or U+FFFD for one that does not fit; *len is how many bytes that takes of them. */
struct slice document_character(struct slice bytes, size_t at, size_t *len);

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

/* What is wrong with a document: where, as a JSON Pointer (RFC 6901; "" is all of it), and what would be right there, a
 * sentence. */
struct document_error {
    char pointer[256];
    char expected[512];
};

/* Always false: `error` says that at `pointer` something else is expected, formatted as printf does. */
bool document_reject(struct document_error *error, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

enum { DOCUMENT_POINTER_SIZE = 256 };

/* The pointer to a member of what `at` points to; to the entry `index` of a list. Too long ones are cut. */
void document_member_pointer(char pointer[DOCUMENT_POINTER_SIZE], const char *at, const char *member);
void document_entry_pointer(char pointer[DOCUMENT_POINTER_SIZE], const char *at, size_t index);

/* What `pointer` leads to within `document`; NULL when there is nothing. */
const json_t *document_find(const json_t *document, const char *pointer);

/* True when `object` is an object without members but those in `names`; else `error` says which is too much. */
bool document_check_members(const json_t *object, const char *at, const char *const *names,
                            struct document_error *error);

/* `value` as JSON for people to see: as it is when that takes at most `max` bytes, else the beginning of its text. NULL
 * is null. */
json_t *document_excerpt(const json_t *value, size_t max);

/* A duration as text (see duration_parse), or a number of seconds. False when `value`, which may be NULL, is neither,
 * or more than `max_ms`. */
bool document_duration(const json_t *value, uint64_t max_ms, uint64_t *ms);

/* Answer with `document`, which is given up. */
void document_send(struct http_request *request, unsigned status, const char *content_type, const char *headers,
                   json_t *document);

/* 200 and application/json. */
void document_ok(struct http_request *request, json_t *document);

#endif
