#include "web/v1/job.h"

#include "common/base/cbor.h"

enum { FORM = 1, ITEM_MAX = 9 }; /* the head of a CBOR item has at most 9 bytes */

/* ---- writing ---- */

static void put_optional(struct buffer *out, struct slice bytes) {
    if (bytes.data == NULL)
        cbor_put_simple(out, CBOR_NULL);
    else
        cbor_put_bytes(out, bytes);
}

size_t job_size(const struct http_request *request) {
    return 8 * ITEM_MAX + strlen(request->method) + request->path.len + request->query.len +
           http_header(request, "accept").len + http_header(request, "content-type").len + request->body.len;
}

void job_write(const struct http_request *request, struct buffer *out) {
    cbor_put_array(out, 7);
    cbor_put_unsigned(out, FORM);
    cbor_put_bytes(out, slice_str(request->method));
    cbor_put_bytes(out, request->path);
    cbor_put_bytes(out, request->query);
    put_optional(out, http_header(request, "accept"));
    put_optional(out, http_header(request, "content-type"));
    cbor_put_bytes(out, request->body);
}

static struct slice text_of(const char *text) {
    return text == NULL ? SLICE_NONE : slice_str(text);
}

size_t job_result_size(const struct http_response *response) {
    return 6 * ITEM_MAX + text_of(response->content_type).len + text_of(response->headers).len + response->body.len;
}

void job_result_write(const struct http_response *response, struct buffer *out) {
    cbor_put_array(out, 5);
    cbor_put_unsigned(out, FORM);
    cbor_put_unsigned(out, response->status);
    cbor_put_bytes(out, text_of(response->content_type));
    cbor_put_bytes(out, text_of(response->headers));
    cbor_put_bytes(out, response->body);
}

/* ---- reading ---- */

/* The array, and the number of the form. */
static bool begin(struct cbor_reader *reader) {
    struct cbor_item item;
    return cbor_read(reader, &item) && item.type == CBOR_ARRAY && cbor_more(reader) && cbor_read(reader, &item) &&
           item.type == CBOR_UNSIGNED && item.number == FORM;
}

static bool read_bytes(struct cbor_reader *reader, struct slice *bytes) {
    struct cbor_item item;
    if (!cbor_more(reader) || !cbor_read(reader, &item) || item.type != CBOR_BYTES)
        return false;
    *bytes = item.bytes;
    return true;
}

static bool read_optional(struct cbor_reader *reader, struct slice *bytes) {
    struct cbor_item item;
    *bytes = SLICE_NONE;
    if (!cbor_more(reader) || !cbor_read(reader, &item))
        return false;
    if (item.type == CBOR_BYTES)
        *bytes = item.bytes;
    return item.type == CBOR_BYTES || (item.type == CBOR_SIMPLE && item.number == CBOR_NULL);
}

/* As a C string of fewer than `size` bytes. */
static bool read_text(struct cbor_reader *reader, char *out, size_t size) {
    struct slice bytes;
    if (!read_bytes(reader, &bytes) || bytes.len >= size)
        return false;
    if (bytes.len > 0)
        memcpy(out, bytes.data, bytes.len);
    out[bytes.len] = '\0';
    return true;
}

static bool end(struct cbor_reader *reader) {
    return !cbor_more(reader) && cbor_at_end(reader);
}

bool job_read(struct slice bytes, struct job *job) {
    uint8_t nowhere; /* nothing of ours comes in parts */
    struct buffer none = buffer_over(&nowhere, 0);
    struct cbor_reader reader = cbor_reader_over(bytes, &none);
    *job = (struct job){.method = ""};
    return begin(&reader) && read_text(&reader, job->method, sizeof job->method) && read_bytes(&reader, &job->path) &&
           read_bytes(&reader, &job->query) && read_optional(&reader, &job->accept) &&
           read_optional(&reader, &job->content_type) && read_bytes(&reader, &job->body) && end(&reader);
}

bool job_result_read(struct slice bytes, struct job_result *result) {
    uint8_t nowhere; /* nothing of ours comes in parts */
    struct buffer none = buffer_over(&nowhere, 0);
    struct cbor_reader reader = cbor_reader_over(bytes, &none);
    struct cbor_item status;
    *result = (struct job_result){.status = 0};
    if (!begin(&reader) || !cbor_more(&reader) || !cbor_read(&reader, &status) || status.type != CBOR_UNSIGNED ||
        status.number < 100 || status.number > 599)
        return false;
    result->status = (unsigned)status.number;
    return read_text(&reader, result->content_type, sizeof result->content_type) &&
           read_bytes(&reader, &result->headers) && read_bytes(&reader, &result->body) && end(&reader);
}
