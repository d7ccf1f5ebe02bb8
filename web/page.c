#include "web/page.h"

#include <stdio.h>
#include <strings.h>

#include "web/page_files.h"
#include "web/problem.h"

/* Scripts and styles come from here alone, nothing is inline, and nobody puts the page into a frame (CSP Level 3). */
#define POLICY                                                                                                 \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"                      \
    "Referrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\n"

static struct slice trim(struct slice text) {
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_from(text, 1);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* What stands before the next `mark`; *rest goes on behind it. */
static struct slice take_until(struct slice *rest, uint8_t mark) {
    const uint8_t *at = rest->len == 0 ? NULL : memchr(rest->data, mark, rest->len);
    struct slice part = at == NULL ? *rest : slice_of(rest->data, (size_t)(at - rest->data));
    *rest = slice_from(*rest, at == NULL ? rest->len : part.len + 1);
    return trim(part);
}

static bool is_word(struct slice text, const char *word) {
    return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

/* "q=0", "q=0.000". */
static bool is_never(struct slice weight) {
    if (weight.len < 3 || (weight.data[0] | 0x20) != 'q' || weight.data[1] != '=')
        return false;
    for (size_t i = 2; i < weight.len; i++)
        if (weight.data[i] != '0' && weight.data[i] != '.')
            return false;
    return true;
}

bool page_takes_gzip(struct slice accept_encoding) {
    bool any = false;
    while (accept_encoding.len > 0) {
        struct slice weight = take_until(&accept_encoding, ',');
        struct slice coding = take_until(&weight, ';');
        bool taken = !is_never(trim(weight));
        if (is_word(coding, "gzip"))
            return taken;
        if (is_word(coding, "*"))
            any = taken;
    }
    return any;
}

/* RFC 9110 §13.1.2, with the weak comparison. */
static bool has_etag(struct slice list, const char *etag) {
    struct slice opaque = slice_from(slice_str(etag), 2);
    if (is_word(trim(list), "*"))
        return true;
    while (list.len > 0) {
        struct slice tag = take_until(&list, ',');
        if (slice_starts_with(tag, "W/"))
            tag = slice_from(tag, 2);
        if (slice_equal(tag, opaque))
            return true;
    }
    return false;
}

static void send_file(struct http_request *request, const struct page_file *file) {
    char headers[768];
    bool packed = file->packed != NULL && page_takes_gzip(http_header(request, "accept-encoding"));
    bool known = has_etag(http_header(request, "if-none-match"), file->etag);
    snprintf(headers, sizeof headers, "ETag: %s\r\nVary: Accept-Encoding\r\n%s" POLICY, file->etag,
             packed && !known ? "Content-Encoding: gzip\r\n" : "");
    struct http_response response = {.status = known ? 304 : 200, .headers = headers, .cache_control = "no-cache"};
    if (!known) {
        response.content_type = file->type;
        response.body = packed ? slice_of(file->packed, file->packed_len) : slice_of(file->plain, file->plain_len);
    }
    http_respond(request, &response);
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
