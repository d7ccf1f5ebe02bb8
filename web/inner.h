/* Calls of our own API from within: a request goes through the same routes as if it had come over HTTP, is authorized,
 * and its answer comes back. So a face that says the same in other shapes needs no more than those shapes. */
#ifndef BERTH_WEB_INNER_H
#define BERTH_WEB_INNER_H

#include "web/http.h"
#include "web/web.h"

struct inner;

/* What to ask. Slices and texts are copied, `method` is not: it is a literal. */
struct inner_request {
    const char *method;
    struct slice path, query, body;
    const char *content_type, *accept, *prefer; /* NULL: there is no such header field */
};

/* The answer, valid within `done`. */
typedef void inner_fn(void *arg, const struct http_response *response);

/* Ask. `done` is called once, unless inner_cancel is called before. NULL: it has been called from within, also when there
 * was no memory (503). */
struct inner *inner_start(struct web *web, const struct inner_request *request, inner_fn *done, void *arg);

/* The answer is not wanted any more: what waits for a device or an event ends, what has begun to change something goes
 * on. */
void inner_cancel(struct inner *inner);

/* The web stops: cancel all. */
void inner_end_all(struct web *web);

#endif
