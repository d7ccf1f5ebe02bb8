#include "web/inner.h"

#include <mbedtls/platform_util.h>
#include <stdlib.h>

#include "web/problem.h"

struct inner {
    struct http_request request; /* first member */
    struct web *web;
    inner_fn *done; /* NULL: cancelled */
    void *arg;
    bool is_starting, is_over; /* inner_start has not returned; the answer has been given */
    struct slice content_type, accept, prefer;
    struct inner *next, **link; /* of web->inners */
    size_t size; /* of bytes: a body may have keys in it */
    uint8_t bytes[];
};

/* What was cancelled may be answered when the web is gone. */
static void unlink_from_web(struct inner *inner) {
    if (inner->link == NULL)
        return;
    *inner->link = inner->next;
    if (inner->next != NULL)
        inner->next->link = inner->link;
    inner->link = NULL;
}

static void inner_free(struct inner *inner) {
    unlink_from_web(inner);
    mbedtls_platform_zeroize(inner->bytes, inner->size);
    free(inner);
}

static struct slice header(const struct http_request *request, const char *name) {
    const struct inner *inner = (const struct inner *)request;
    if (strcmp(name, "accept") == 0)
        return inner->accept;
    if (strcmp(name, "prefer") == 0)
        return inner->prefer;
    return strcmp(name, "content-type") == 0 ? inner->content_type : SLICE_NONE;
}

static void respond(struct http_request *request, const struct http_response *response) {
    struct inner *inner = (struct inner *)request;
    inner_fn *done = inner->done;
    inner->is_over = true;
    inner->done = NULL;
    if (done != NULL)
        done(inner->arg, response);
    if (!inner->is_starting)
        inner_free(inner);
}

static const struct http_internal internal = {.header = header, .respond = respond};

static struct slice keep(struct inner *inner, size_t *at, struct slice text) {
    if (text.data == NULL)
        return SLICE_NONE;
    uint8_t *copy = inner->bytes + *at;
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    *at += text.len;
    return slice_of(copy, text.len);
}

static struct slice text_of(const char *text) {
    return text == NULL ? SLICE_NONE : slice_str(text);
}

static void fill(struct inner *inner, const struct inner_request *request) {
    size_t at = 0;
    inner->content_type = keep(inner, &at, text_of(request->content_type));
    inner->accept = keep(inner, &at, text_of(request->accept));
    inner->prefer = keep(inner, &at, text_of(request->prefer));
    inner->request.method = request->method;
    inner->request.path = keep(inner, &at, request->path);
    inner->request.query = keep(inner, &at, request->query);
    inner->request.body = keep(inner, &at, request->body);
    inner->request.internal = &internal;
}

static void answer_without_memory(inner_fn *done, void *arg) {
    const struct http_response response = {.status = problem_status(PROBLEM_OVERLOADED)};
    done(arg, &response);
}

struct inner *inner_start(struct web *web, const struct inner_request *request, inner_fn *done, void *arg) {
    size_t size = request->path.len + request->query.len + request->body.len + text_of(request->content_type).len +
                  text_of(request->accept).len + text_of(request->prefer).len;
    struct inner *inner = calloc(1, sizeof *inner + size);
    if (inner == NULL) {
        answer_without_memory(done, arg);
        return NULL;
    }
    inner->size = size;
    fill(inner, request);
    inner->web = web;
    inner->done = done;
    inner->arg = arg;
    inner->next = web->inners;
    inner->link = &web->inners;
    if (inner->next != NULL)
        inner->next->link = &inner->next;
    web->inners = inner;
    inner->is_starting = true;
    web_handle(web, LISTENER_EVERYTHING, &inner->request);
    inner->is_starting = false;
    if (!inner->is_over)
        return inner;
    inner_free(inner);
    return NULL;
}

/* Without `gone` the request stays valid, and is answered to nobody. */
void inner_cancel(struct inner *inner) {
    inner->done = NULL;
    unlink_from_web(inner);
    if (inner->request.gone == NULL)
        return;
    inner->request.gone(&inner->request);
    inner_free(inner);
}

void inner_end_all(struct web *web) {
    struct inner *next;
    for (struct inner *inner = web->inners; inner != NULL; inner = next) {
        next = inner->next;
        inner_cancel(inner);
    }
}
