/* An HTTP/1.1 client for one address or host: one request at a time, each over a connection of its own. It follows no
 * redirects. */
#ifndef BERTH_WEB_HTTP_CLIENT_H
#define BERTH_WEB_HTTP_CLIENT_H

#include <uv.h>

#include "common/net/address.h"

enum {
    HTTP_CLIENT_HEAD_MAX = 16 * 1024,
    HTTP_CLIENT_BODY_MAX = 4 << 20,
    HTTP_CLIENT_ADDRESSES_MAX = 4, /* of a host, that are tried one after the other */
};

struct http_client;
struct http_tls; /* web/http_tls.h */

/* Slices and texts are valid through the call. */
struct http_answer {
    unsigned status;   /* 0: there was none */
    const char *error; /* then: why */
    struct slice head; /* field names, in lower case, and values in turn, each ended by NUL */
    struct slice body;
};

/* `request` is the whole of it, head and body, and is copied; it says "Connection: close". It may ask the next one. */
typedef void http_answer_fn(void *arg, const struct http_answer *answer);

/* A wildcard address means this host. NULL when out of memory. */
struct http_client *http_client_new(uv_loop_t *loop, const struct address *address);

/* The host's name is looked up for each request; it may be an address. `tls`, of http_tls_new_client, must outlive it;
 * NULL: plain HTTP. A connection that brings no answer within `timeout_ms` is given up. NULL when out of memory. */
struct http_client *http_client_new_to(uv_loop_t *loop, const char *host, uint16_t port, struct http_tls *tls,
                                       uint32_t timeout_ms);

/* Answers exactly once, and not before this has returned. None may be under way. */
void http_client_ask(struct http_client *client, struct slice request, http_answer_fn *done, void *arg);

/* The request under way, if there is one, is not answered any more. */
void http_client_cancel(struct http_client *client);

/* Cancels; `closed` is called from the loop when nothing of it is left. */
void http_client_free(struct http_client *client, void (*closed)(void *arg), void *arg);

/* The value of the first field of that name (lower case); data is NULL when there is none. */
struct slice http_answer_header(const struct http_answer *answer, const char *name);

#endif
