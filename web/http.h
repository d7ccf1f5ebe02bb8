/* HTTP/1.1 (RFC 9110, RFC 9112) on a port: llhttp reads requests, and what is put into an http_response is sent. One
 * request of a connection is in flight at a time, those that were pipelined wait. This room knows limits and framing;
 * it knows no routes.
 *
 * Limits: a target of 8 KiB (414), header fields of 16 KiB (431), a body of `max_body` (413), 10 s from a request's
 * first byte to its last (408; of a body that is taken as it comes, from one part to the next), `max_connections` (503), `idle_s` between requests. An idle connection costs less than
 * 1 KB. */
#ifndef BERTH_WEB_HTTP_H
#define BERTH_WEB_HTTP_H

#include <uv.h>

#include "common/net/address.h"

struct http;
struct http_tls; /* web/http_tls.h */

/* Valid until it is answered: with http_respond, exactly once, now or later; or, as a stream, until `gone`. The slices
 * too. */
struct http_request {
    const char *method; /* "GET"; NULL when not even that could be read */
    bool head;          /* HEAD: the body of the answer is left out */
    struct slice path;  /* as sent, percent-encoded: "/v1/devices/a%2Fb"; "*" for OPTIONS * */
    struct slice query; /* what follows the '?', as sent */
    struct slice body;

    /* For whoever answers. When `gone` is set and the client hangs up, it is called, and the request is over: it must
     * not be answered. Without `gone` the request stays valid though the client has left, and must be answered. */
    void (*gone)(struct http_request *request);
    void (*resume)(struct http_request *request); /* called after http_wake, and when all output has left */
    void *arg;

    /* Set by `begin` of the options to take the body as it comes, instead of finding it in `body`: each part, in order.
     * Returns 0, or the status with which the request is refused, and why (a sentence that stays). Whoever handles the
     * request sets `take` to NULL to keep what was taken; `dropped` is called when it ends in any other way. */
    unsigned (*take)(struct http_request *request, struct slice part, const char **why);
    void (*dropped)(struct http_request *request);

    void (*received)(struct http_request *request, struct slice bytes); /* set by http_upgrade */

    const struct http_internal *internal; /* NULL: it came over a connection */
};

struct http_response {
    unsigned status;
    const char *content_type;  /* NULL: no body */
    const char *headers;       /* further header lines, each ended by CRLF; NULL: none */
    const char *cache_control; /* NULL: no-store */
    struct slice body;
};

/* A request that the program makes itself, and whose answer it takes, has these. It may not be woken or streamed to. */
struct http_internal {
    struct slice (*header)(const struct http_request *request, const char *name); /* as http_header */
    void (*respond)(struct http_request *request, const struct http_response *response);
};

/* `handle` and `refused` answer a request. A refused one is malformed or over a limit: only its connection is known. */
struct http_options {
    struct address address; /* ADDRESS_NONE: nowhere, for http_adopt alone */
    bool once;              /* connections end with their first answer */
    uint32_t max_connections;
    uint32_t idle_s;
    size_t max_body;
    /* The head of a request with a body is there, and `method`, `path` and `query` with it: see `take`. May be NULL. */
    void (*begin)(void *arg, struct http_request *request);
    void (*handle)(void *arg, struct http_request *request);
    void (*refused)(void *arg, struct http_request *request, unsigned status, const char *detail);
    /* A connection's first byte is a TLS record's (0x16; no method of HTTP begins so): what to secure it with, which lives
     * until `closed`. NULL: close it. The option may be NULL, too: then that is no request. */
    struct http_tls *(*secure)(void *arg);
    void (*closed)(void *arg); /* after http_close: nothing of it is left */
    void *arg;
};

/* NULL with one line in `error`. */
struct http *http_listen(uv_loop_t *loop, const struct http_options *options, char *error, size_t error_size);

/* A connection that another one has accepted; `ahead` is what was read from it. The descriptor is taken. */
void http_adopt(struct http *http, int fd, const struct address *peer, struct slice ahead);

/* Where it listens, with the real port. */
struct address http_address(const struct http *http);

/* Close all connections; `gone` is called, before this returns, for those that are being answered and have it. */
void http_close(struct http *http);

/* The value of the first header field of that name, in lower case; data is NULL when there is none. */
struct slice http_header(const struct http_request *request, const char *name);

/* The next one of that name; *at is 0 for the first. */
struct slice http_header_next(const struct http_request *request, const char *name, size_t *at);

void http_respond(struct http_request *request, const struct http_response *response);

/* Have `resume` called from the loop soon. */
void http_wake(struct http_request *request);

/* Begin an answer whose body of `len` bytes comes piece by piece (http_write, as `resume` tells; nothing after a HEAD) and
 * is ended by http_finish; `response` has no body. Set `gone` before. The connection ends with it. */
void http_begin(struct http_request *request, const struct http_response *response, uint64_t len);
void http_finish(struct http_request *request);

/* ---- streams: a body without a known length, ended by closing the connection ---- */

/* Send status 200 and the headers. Set `gone` before. */
void http_stream(struct http_request *request, const char *content_type);
void http_write(struct http_request *request, struct slice bytes);

/* The connection speaks another protocol from now on (101; RFC 9110 §7.8): `headers` are lines, each ended by CRLF, what is
 * written goes out as it is, and `received` gets what comes in. Set `gone` before. */
void http_upgrade(struct http_request *request, const char *headers,
                  void (*received)(struct http_request *request, struct slice bytes));

/* Bytes written that the client has not taken yet. */
size_t http_queued(const struct http_request *request);

/* Close the connection; `gone` follows from the loop. */
void http_drop(struct http_request *request);

struct http_counters {
    uint64_t accepted, bytes_in;
    uint64_t connections;    /* now */
    uint64_t responses[600]; /* by status */
};
const struct http_counters *http_counters(const struct http *http);

#endif
