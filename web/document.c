#include "web/document.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/duration.h"

static bool ran_out;

static void *allocate(size_t size) {
    void *memory = malloc(size);
    ran_out = ran_out || memory == NULL;
    return memory;
}

void document_watch_memory(void) {
    json_set_alloc_funcs(allocate, free);
}

bool document_ran_out(void) {
    bool has = ran_out;
    ran_out = false;
    return has;
}

enum { USUAL_MAX = 4096 };

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

struct slice document_character(struct slice bytes, size_t at, size_t *len) {
    uint8_t lead = bytes.data[at];
    *len = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (*len <= bytes.len - at && slice_is_utf8(slice_of(bytes.data + at, *len)))
        return slice_of(bytes.data + at, *len);
    *len = 1;
    return slice_str(replacement);
}

json_t *document_text(struct slice bytes) {
    if (bytes.len == 0)
        return json_string("");
    if (slice_is_utf8(bytes))
        return json_stringn_nocheck((const char *)bytes.data, bytes.len);
    size_t cap = bytes.len * (sizeof replacement - 1);
    char *memory = malloc(cap);
    if (memory == NULL)
        return NULL;
    struct buffer text = buffer_over(memory, cap);
    for (size_t at = 0, len; at < bytes.len; at += len)
        buffer_put_slice(&text, document_character(bytes, at, &len));
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

bool document_reject(struct document_error *error, const char *pointer, const char *format, ...) {
    va_list args;
    snprintf(error->pointer, sizeof error->pointer, "%s", pointer);
    va_start(args, format);
    vsnprintf(error->expected, sizeof error->expected, format, args);
    va_end(args);
    return false;
}

/* RFC 6901 §3: ~ is ~0, / is ~1. */
void document_member_pointer(char pointer[DOCUMENT_POINTER_SIZE], const char *at, const char *member) {
    struct buffer text = buffer_over(pointer, DOCUMENT_POINTER_SIZE - 1);
    buffer_put_str(&text, at);
    buffer_put_u8(&text, '/');
    for (; *member != '\0'; member++) {
        if (*member == '~' || *member == '/')
            buffer_put_str(&text, *member == '~' ? "~0" : "~1");
        else
            buffer_put_u8(&text, (uint8_t)*member);
    }
    pointer[text.len] = '\0';
}

void document_entry_pointer(char pointer[DOCUMENT_POINTER_SIZE], const char *at, size_t index) {
    snprintf(pointer, DOCUMENT_POINTER_SIZE, "%s/%zu", at, index);
}

/* The member of `value` that a token (RFC 6901 §4) of `len` bytes names. */
static const json_t *find_token(const json_t *value, const char *token, size_t len) {
    char name[DOCUMENT_POINTER_SIZE];
    size_t used = 0;
    uint64_t index;
    if (json_is_array(value))
        return slice_to_u64(slice_of(token, len), SIZE_MAX, &index) && (len == 1 || token[0] != '0')
                   ? json_array_get(value, index)
                   : NULL;
    for (size_t i = 0; i < len && used < sizeof name - 1; i++) {
        bool is_escape = token[i] == '~' && i + 1 < len && (token[i + 1] == '0' || token[i + 1] == '1');
        name[used++] = !is_escape ? token[i] : token[i + 1] == '0' ? '~' : '/';
        i += is_escape;
    }
    name[used] = '\0';
    return json_object_get(value, name);
}

const json_t *document_find(const json_t *document, const char *pointer) {
    while (document != NULL && *pointer == '/') {
        size_t len = strcspn(++pointer, "/");
        document = find_token(document, pointer, len);
        pointer += len;
    }
    return *pointer == '\0' ? document : NULL;
}

bool document_check_members(const json_t *object, const char *at, const char *const *names,
                            struct document_error *error) {
    char list[256], pointer[DOCUMENT_POINTER_SIZE];
    struct buffer text = buffer_over(list, sizeof list - 1);
    for (size_t i = 0; names[i] != NULL; i++)
        buffer_printf(&text, "%s%s", i == 0 ? "" : ", ", names[i]);
    list[text.len] = '\0';
    if (!json_is_object(object))
        return document_reject(error, at, "an object with members of these is expected: %s", list);
    const char *unknown = document_unknown_member(object, names);
    if (unknown == NULL)
        return true;
    document_member_pointer(pointer, at, unknown);
    return document_reject(error, pointer, "there is no such member; there are %s", list);
}

json_t *document_excerpt(const json_t *value, size_t max) {
    if (value == NULL)
        return json_null();
    size_t len =
        json_is_string(value) ? json_string_length(value) : json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    if (len <= max)
        return json_incref((json_t *)(uintptr_t)value);
    char *whole = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    const char *text = whole == NULL ? json_string_value(value) : whole;
    while (max > 0 && ((uint8_t)text[max] & 0xC0) == 0x80) /* not within a character */
        max--;
    json_t *excerpt = json_sprintf("%.*s\xE2\x80\xA6", (int)max, text == NULL ? "" : text);
    free(whole);
    return excerpt;
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

/* Most fit into `usual`, and then take no memory that grows step by step. *text is NULL when there is none. */
static struct slice dump(const json_t *document, char usual[USUAL_MAX], char **text) {
    size_t len = document == NULL ? 0 : json_dumpb(document, usual, USUAL_MAX, JSON_COMPACT);
    *text = usual;
    if (len > 0 && len <= USUAL_MAX)
        return slice_of(usual, len);
    *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);
    return *text == NULL ? SLICE_NONE : slice_str(*text);
}

void document_send(struct http_request *request, unsigned status, const char *content_type, const char *headers,
                   json_t *document) {
    char usual[USUAL_MAX], *text;
    struct slice body = dump(document, usual, &text);
    json_decref(document);
    if (text == NULL) {
        http_respond(request, &(struct http_response){.status = 503});
        return;
    }
    http_respond(request, &(struct http_response){
                              .status = status, .content_type = content_type, .headers = headers, .body = body});
    if (text != usual)
        free(text);
}

void document_ok(struct http_request *request, json_t *document) {
    document_send(request, 200, "application/json", NULL, document);
}
