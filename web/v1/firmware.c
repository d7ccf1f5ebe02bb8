/* /v1/firmware: images that devices fetch or are sent. */
#include "server/firmware_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/text.h"
#include "web/document.h"
#include "web/input.h"
#include "web/range.h"
#include "web/stored.h"
#include "web/v1/v1.h"
#include "web/web.h"

enum { PIECE = 64 * 1024, ETAG_MAX = 2 * FIRMWARE_DIGEST_LEN + 3, RETRY_AFTER_MAX_S = 86400, UNAVAILABLE_MAX = 1000 };

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static struct firmware_images *images_of(const struct call *call) {
    return call->web->server->firmware_images;
}

static json_t *digest_json(const struct firmware_image *image) {
    uint8_t memory[2 * FIRMWARE_DIGEST_LEN];
    struct buffer text = buffer_over(memory, sizeof memory);
    text_put_hex(&text, slice_of(image->digest, sizeof image->digest));
    return document_text(buffer_slice(&text));
}

static json_t *limit_json(uint64_t limit) {
    return limit == UINT64_MAX ? json_null() : json_integer((json_int_t)limit);
}

static json_t *faults_json(const struct firmware_faults *faults) {
    json_t *json = json_object();
    set(json, "truncate_to", limit_json(faults->truncate_to));
    set(json, "silent_after", limit_json(faults->silent_after));
    set(json, "unavailable", json_integer(faults->unavailable));
    set(json, "retry_after_s", json_integer(faults->retry_after_s));
    set(json, "changing_etag", json_boolean(faults->changing_etag));
    return json;
}

static json_t *image_json(const struct firmware_image *image) {
    json_t *json = json_object();
    set(json, "name", json_string(image->name));
    set(json, "size", json_integer((json_int_t)image->size));
    set(json, "sha256", digest_json(image));
    set(json, "created_at", document_time(image->created_at_ms));
    set(json, "url", image->url[0] == '\0' ? json_null() : json_string(image->url));
    set(json, "coap_path", json_sprintf("/fw/%s", image->name));
    set(json, "updates", json_integer(image->users));
    set(json, "faults", faults_json(&image->faults));
    return json;
}

void v1_firmware_list(const struct call *call) {
    json_t *json = json_object(), *items = json_array();
    const struct firmware_image *image = NULL;
    while ((image = firmware_image_next(images_of(call), image)) != NULL)
        json_array_append_new(items, image_json(image));
    set(json, "items", items);
    document_ok(call->request, json);
}

static void send_missing(const struct call *call) {
    problem_send(call->request, PROBLEM_NOT_FOUND, "There is no firmware image \"%.*s\".", (int)call->args[0].len,
                 (const char *)call->args[0].data);
}

/* ---- putting ---- */

static const struct {
    enum problem_kind kind;
    const char *text;
} refusals[] = {
    [FIRMWARE_MISSING] = {PROBLEM_NOT_FOUND, "There is no such firmware image."},
    [FIRMWARE_IN_USE] = {PROBLEM_CONFLICT, "An update uses this image, or a change of it is under way."},
    [FIRMWARE_TOO_MANY] = {PROBLEM_OVERLOADED, "There are 256 images, or 8 are being put: that is as many as may be."},
    [FIRMWARE_TOO_LARGE] = {PROBLEM_TOO_LARGE, "An image has at most 64 MiB."},
    [FIRMWARE_NO_ROOM] = {PROBLEM_OVERLOADED, "All images together have at most 1 GiB."},
    [FIRMWARE_DISK] = {PROBLEM_STORE, "The image can't be written to the data directory."},
};

static const char name_rule[] =
    "An image's name has 1 to 64 letters, digits, '.', '-' and '_', and does not begin with '.'.";

/* An image on its way in, from the head of its request to the answer. */
struct image_put {
    struct web *web;
    struct firmware_upload *upload; /* NULL: it was refused */
    const char *why;
    enum problem_kind problem;
    bool is_new;
    char name[FIRMWARE_NAME_MAX + 1];
};

static void refuse(struct image_put *put, enum problem_kind problem, const char *why) {
    put->problem = problem;
    put->why = why;
}

static unsigned take(struct http_request *request, struct slice part, const char **why) {
    struct image_put *put = request->arg;
    if (put->upload != NULL) {
        enum firmware_refusal refusal = firmware_upload_add(put->upload, part);
        if (refusal == FIRMWARE_ACCEPTED)
            return 0;
        refuse(put, refusals[refusal].kind, refusals[refusal].text);
    }
    *why = put->why;
    return problem_status(put->problem);
}

static void dropped(struct http_request *request) {
    struct image_put *put = request->arg;
    if (put->upload != NULL)
        firmware_upload_abort(put->upload);
    free(put);
}

static bool announces_too_much(const struct http_request *request) {
    uint64_t len;
    struct slice text = http_header(request, "content-length");
    return text.data != NULL && (!slice_to_u64(text, UINT64_MAX, &len) || len > FIRMWARE_IMAGE_BYTES_MAX);
}

void v1_firmware_put_begin(const struct call *call) {
    struct slice name = call->args[0];
    enum firmware_refusal refusal;
    struct image_put *put = calloc(1, sizeof *put);
    if (put == NULL) /* the body is taken as any other, and refused in the end */
        return;
    put->web = call->web;
    if (!firmware_name_good(name)) {
        refuse(put, PROBLEM_BAD_REQUEST, name_rule);
    } else if (announces_too_much(call->request)) {
        refuse(put, refusals[FIRMWARE_TOO_LARGE].kind, refusals[FIRMWARE_TOO_LARGE].text);
    } else {
        memcpy(put->name, name.data, name.len);
        put->is_new = firmware_image_find(images_of(call), name) == NULL;
        put->upload = firmware_upload_begin(images_of(call), name, &refusal);
        if (put->upload == NULL)
            refuse(put, refusals[refusal].kind, refusals[refusal].text);
    }
    call->request->arg = put;
    call->request->take = take;
    call->request->dropped = dropped;
}

static void on_put(void *arg, enum store_result result) {
    struct http_request *request = arg;
    struct image_put *put = request->arg;
    const struct firmware_image *image = firmware_image_find(put->web->server->firmware_images, slice_str(put->name));
    bool is_new = put->is_new;
    request->arg = put->web;
    free(put);
    if (result != STORE_OK || image == NULL)
        answer_stored(request, result == STORE_OK ? STORE_IO : result);
    else
        document_send(request, is_new ? 201 : 200, "application/json", NULL, image_json(image));
}

static bool is_url(struct slice url) {
    for (size_t i = 0; i < url.len; i++) {
        if (url.data[i] <= ' ' || url.data[i] >= 0x7f)
            return false;
    }
    return url.len > 0 && url.len <= FIRMWARE_URL_MAX;
}

void v1_firmware_put(const struct call *call) {
    struct image_put *put = call->request->arg;
    struct slice url = query_get(&call->query, "url");
    if (call->request->take == NULL && call->request->body.len > 0) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    if (call->request->take == NULL) {
        problem_send(call->request, PROBLEM_BAD_REQUEST, "%s",
                     firmware_name_good(call->args[0]) ? "An image has one byte at least." : name_rule);
        return;
    }
    if (url.data != NULL && !is_url(url)) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER,
                     "url must be 1 to %d printable ASCII characters without spaces.", FIRMWARE_URL_MAX);
        return;
    }
    call->request->take = NULL;
    firmware_upload_finish(put->upload, url, on_put, call->request);
}

void v1_firmware_delete(const struct call *call) {
    enum firmware_refusal refusal =
        firmware_image_delete(images_of(call), call->args[0], answer_stored, stored_request(call));
    if (refusal != FIRMWARE_ACCEPTED)
        problem_send(call->request, refusals[refusal].kind, "%s", refusals[refusal].text);
}

/* ---- getting ---- */

/* The file is its own: the image may go meanwhile. */
struct download {
    struct firmware_image image; /* only `file` means something */
    size_t at, end;
    bool finished;
};

static void on_gone(struct http_request *request) {
    struct download *download = request->arg;
    close(download->image.file);
    free(download);
}

static void on_resume(struct http_request *request) {
    struct download *download = request->arg;
    uint8_t piece[PIECE];
    while (!download->finished && download->at < download->end && http_queued(request) < 2 * PIECE) {
        size_t left = download->end - download->at, len = left < PIECE ? left : PIECE;
        if (!firmware_image_read(&download->image, download->at, piece, len)) {
            download->finished = true;
            http_drop(request);
            return;
        }
        download->at += len;
        http_write(request, slice_of(piece, len));
    }
    if (!download->finished && download->at == download->end) {
        download->finished = true;
        http_finish(request);
    }
}

static void put_etag(const struct firmware_image *image, char etag[ETAG_MAX]) {
    struct buffer text = buffer_over(etag, ETAG_MAX - 1);
    buffer_put_u8(&text, '"');
    text_put_hex(&text, slice_of(image->digest, sizeof image->digest));
    buffer_put_u8(&text, '"');
    etag[text.len] = '\0';
}

void v1_firmware_get(const struct call *call) {
    const struct firmware_image *image = firmware_image_find(images_of(call), call->args[0]);
    struct http_request *request = call->request;
    if (image == NULL) {
        send_missing(call);
        return;
    }
    char etag[ETAG_MAX], headers[256];
    put_etag(image, etag);
    size_t first = 0, end = image->size;
    struct slice condition = http_header(request, "if-range");
    bool may_part = condition.data == NULL || slice_is(condition, etag);
    enum range range = may_part ? range_read(http_header(request, "range"), image->size, &first, &end) : RANGE_NONE;
    if (range == RANGE_UNSATISFIABLE) {
        snprintf(headers, sizeof headers, "Content-Range: bytes */%zu\r\n", image->size);
        problem_send_with(request, PROBLEM_RANGE, NULL, headers, "The image has %zu bytes.", image->size);
        return;
    }
    struct download *download = calloc(1, sizeof *download);
    int file = download == NULL ? -1 : dup(image->file);
    if (file < 0) {
        free(download);
        problem_send(request, PROBLEM_OVERLOADED, "The server is out of memory, or has too many files open.");
        return;
    }
    download->image.file = file;
    download->at = request->head ? end : first;
    download->end = end;
    int len = snprintf(headers, sizeof headers, "ETag: %s\r\nAccept-Ranges: bytes\r\n", etag);
    if (range == RANGE_GOOD)
        snprintf(headers + len, sizeof headers - (size_t)len, "Content-Range: bytes %zu-%zu/%zu\r\n", first, end - 1,
                 image->size);
    const struct http_response response = {
        .status = range == RANGE_GOOD ? 206 : 200, .content_type = "application/octet-stream", .headers = headers};
    request->arg = download;
    request->gone = on_gone;
    request->resume = on_resume;
    http_begin(request, &response, end - first);
    on_resume(request);
}

/* ---- faults ---- */

static bool read_number(const json_t *body, const char *name, uint64_t max, uint64_t *number) {
    const json_t *value = json_object_get(body, name);
    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > max)
        return false;
    *number = (uint64_t)json_integer_value(value);
    return true;
}

void v1_firmware_put_faults(const struct call *call) {
    static const char *const members[] = {"truncate_to",   "silent_after",  "unavailable",
                                          "retry_after_s", "changing_etag", NULL};
    struct firmware_image *image = firmware_image_find(images_of(call), call->args[0]);
    uint64_t unavailable = 0, retry_after_s = 1;
    struct firmware_faults faults = {.truncate_to = UINT64_MAX, .silent_after = UINT64_MAX};
    if (image == NULL) {
        send_missing(call);
        return;
    }
    json_t *body = input_body(call, members);
    if (body == NULL)
        return;
    const json_t *changing = json_object_get(body, "changing_etag");
    faults.changing_etag = json_is_true(changing);
    bool good = read_number(body, "truncate_to", FIRMWARE_IMAGE_BYTES_MAX, &faults.truncate_to) &&
                read_number(body, "silent_after", FIRMWARE_IMAGE_BYTES_MAX, &faults.silent_after) &&
                read_number(body, "unavailable", UNAVAILABLE_MAX, &unavailable) &&
                read_number(body, "retry_after_s", RETRY_AFTER_MAX_S, &retry_after_s) &&
                (changing == NULL || json_is_boolean(changing));
    json_decref(body);
    if (!good) {
        problem_send(call->request, PROBLEM_BAD_BODY,
                     "truncate_to and silent_after are bytes up to %d, unavailable is a number up to %d, retry_after_s "
                     "one up to %d, changing_etag is true or false.",
                     FIRMWARE_IMAGE_BYTES_MAX, UNAVAILABLE_MAX, RETRY_AFTER_MAX_S);
        return;
    }
    faults.unavailable = (uint32_t)unavailable;
    faults.retry_after_s = (uint32_t)retry_after_s;
    image->faults = faults;
    document_ok(call->request, image_json(image));
}
