#include "web/document.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/duration.h"

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* Length of the well-formed UTF-8 character at `at`, or 0. */
static size_t character_at(struct slice bytes, size_t at) {
    uint8_t lead = bytes.data[at];
    size_t len = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    return len <= bytes.len - at && slice_is_utf8(slice_of(bytes.data + at, len)) ? len : 0;
}

json_t *document_text(struct slice bytes) {
    if (bytes.len == 0)
        return json_string("");
    if (slice_is_utf8(bytes))
        return json_stringn((const char *)bytes.data, bytes.len);
    size_t cap = bytes.len * (sizeof replacement - 1);
    char *memory = malloc(cap);
    if (memory == NULL)
        return NULL;
    struct buffer text = buffer_over(memory, cap);
    for (size_t at = 0; at < bytes.len;) {
        size_t len = character_at(bytes, at);
        if (len == 0)
            buffer_put_str(&text, replacement);
        else
            buffer_put(&text, bytes.data + at, len);
        at += len == 0 ? 1 : len;
    }
    json_t *string = json_stringn(memory, text.len);
    free(memory);
    return string;
}

json_t *document_time(uint64_t unix_ms) {
    uint8_t memory[64];
    struct buffer text = buffer_over(memory, sizeof memory);
    time_put(&text, unix_ms);
    return document_text(buffer_slice(&text));
}

json_t *document_address(const struct address *address) {
    uint8_t memory[ADDRESS_TEXT_MAX];
    struct buffer text = buffer_over(memory, sizeof memory);
    if (address->family == ADDRESS_NONE)
        return json_null();
    address_put(&text, address);
    return document_text(buffer_slice(&text));
}

json_t *document_location(struct slice segments) {
    json_t *text = document_text(segments);
    json_t *location = json_sprintf("/rd/%s", text == NULL ? "" : json_string_value(text));
    json_decref(text);
    return location;
}

static bool deeper_than(const json_t *value, size_t levels) {
    const char *name;
    size_t index;
    json_t *member;
    if (!json_is_object(value) && !json_is_array(value))
        return false;
    if (levels == 0)
        return true;
    json_object_foreach((json_t *)(uintptr_t)value, name, member) {
        if (deeper_than(member, levels - 1))
            return true;
    }
    json_array_foreach(value, index, member) {
        if (deeper_than(member, levels - 1))
            return true;
    }
    return false;
}

json_t *document_read(struct slice body, char *error, size_t error_size) {
    json_error_t fault;
    if (body.len == 0) {
        snprintf(error, error_size, "The body is empty; it must be a JSON object.");
        return NULL;
    }
    json_t *document = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
    if (document == NULL) {
        snprintf(error, error_size, "The body is not JSON: line %d, column %d: %s.", fault.line, fault.column,
                 fault.text);
        return NULL;
    }
    if (!json_is_object(document))
        snprintf(error, error_size, "The body must be a JSON object.");
    else if (deeper_than(document, DOCUMENT_DEPTH_MAX))
        snprintf(error, error_size, "The body is nested deeper than %d levels.", DOCUMENT_DEPTH_MAX);
    else
        return document;
    json_decref(document);
    return NULL;
}

const char *document_unknown_member(const json_t *object, const char *const *names) {
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)object, name, member) {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], name) != 0)
            i++;
        if (names[i] == NULL)
            return name;
    }
    return NULL;
}

struct slice document_string(const json_t *string) {
    return slice_of(json_string_value(string), json_string_length(string));
}

bool document_duration(const json_t *value, uint64_t max_ms, uint64_t *ms) {
    if (json_is_string(value))
        return duration_parse(document_string(value), max_ms, ms);
    double seconds = json_number_value(value);
    if (!json_is_number(value) || !(seconds >= 0) || seconds * 1000 > (double)max_ms)
        return false;
    *ms = (uint64_t)llround(seconds * 1000);
    return true;
}

void document_send(struct http_request *request, unsigned status, const char *content_type, const char *headers,
                   json_t *document) {
    char *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);
    json_decref(document);
    if (text == NULL) {
        http_respond(request, &(struct http_response){.status = 503});
        return;
    }
    http_respond(request,
                 &(struct http_response){
                     .status = status, .content_type = content_type, .headers = headers, .body = slice_str(text)});
    free(text);
}

void document_ok(struct http_request *request, json_t *document) {
    document_send(request, 200, "application/json", NULL, document);
}
