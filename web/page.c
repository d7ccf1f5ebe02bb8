#include "web/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "web/field.h"
#include "web/page_files.h"
#include "web/problem.h"

/* Scripts and styles come from here alone, nothing is inline, and nobody puts the page into a frame (CSP Level 3). */
#define POLICY                                                                                                 \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"                      \
    "Referrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\n"

bool page_takes_gzip(struct slice accept_encoding) {
    bool any = false;
    while (accept_encoding.len > 0) {
        struct slice weight = field_take(&accept_encoding, ',');
        struct slice coding = field_take(&weight, ';');
        bool taken = field_weight(weight) > 0;
        if (field_is(coding, "gzip"))
            return taken;
        if (field_is(coding, "*"))
            any = taken;
    }
    return any;
}

/* RFC 9110 §13.1.2, with the weak comparison. */
static bool has_etag(struct slice list, const char *etag) {
    struct slice opaque = slice_from(slice_str(etag), 2);
    if (field_is(field_trim(list), "*"))
        return true;
    while (list.len > 0) {
        struct slice tag = field_take(&list, ',');
        if (slice_starts_with(tag, "W/"))
            tag = slice_from(tag, 2);
        if (slice_equal(tag, opaque))
            return true;
    }
    return false;
}

static bool unpack(const struct page_file *file, uint8_t *plain) {
    z_stream stream = {
        .next_in = file->bytes, .avail_in = (uInt)file->len, .next_out = plain, .avail_out = (uInt)file->plain_len};
    if (inflateInit2(&stream, MAX_WBITS + 16) != Z_OK) /* as gzip wraps it */
        return false;
    bool whole = inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_out == 0;
    inflateEnd(&stream);
    return whole;
}

struct slice page_file_plain(const struct page_file *file) {
    uint8_t *plain = malloc(file->plain_len);
    if (plain == NULL)
        return SLICE_NONE;
    if (!file->packed) {
        memcpy(plain, file->bytes, file->len);
    } else if (!unpack(file, plain)) {
        free(plain);
        return SLICE_NONE;
    }
    return slice_of(plain, file->plain_len);
}

static void send_file(struct http_request *request, const struct page_file *file) {
    char headers[768];
    bool packed = file->packed && page_takes_gzip(http_header(request, "accept-encoding"));
    bool known = has_etag(http_header(request, "if-none-match"), file->etag);
    bool is_unpacked = file->packed && !packed && !known;
    struct slice body = is_unpacked ? page_file_plain(file) : slice_of(file->bytes, file->len);
    if (body.data == NULL) {
        problem_send(request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    snprintf(headers, sizeof headers, "ETag: %s\r\nVary: Accept-Encoding\r\n%s" POLICY, file->etag,
             packed && !known ? "Content-Encoding: gzip\r\n" : "");
    struct http_response response = {.status = known ? 304 : 200, .headers = headers, .cache_control = "no-cache"};
    if (!known) {
        response.content_type = file->type;
        response.body = body;
    }
    http_respond(request, &response);
    if (is_unpacked)
        free((void *)(uintptr_t)body.data);
}

static const struct page_file *find_file(struct slice name) {
    for (size_t i = 0; i < page_file_count; i++)
        if (slice_is(name, page_files[i].name))
            return &page_files[i];
    return NULL;
}

void page_get_index(const struct call *call) {
    send_file(call->request, find_file(slice_str("index.html")));
}

void page_get_file(const struct call *call) {
    const struct page_file *file = find_file(call->args[0]);
    if (file != NULL)
        send_file(call->request, file);
    else
        problem_send(call->request, PROBLEM_NOT_FOUND, "The page has no file of that name.");
}
