/* Routes: which function answers which method on which path, and what the OpenAPI document says of it. A path pattern
 * is segments, of which those in braces take any one non-empty segment: "/v1/devices/{endpoint}". */
#ifndef BERTH_WEB_ROUTE_H
#define BERTH_WEB_ROUTE_H

#include "common/net/link.h"
#include "web/http.h"
#include "web/problem.h"
#include "web/query.h"
#include "web/route_index.h"

enum { ROUTE_SEGMENTS_MAX = 12, ROUTE_ARGS_MAX = 5, ROUTE_ALLOW_MAX = 96 };

struct web;

/* One request on its way into its handler. Lives through the handler's call; `request`, until it is answered. */
struct call {
    struct web *web;
    enum listener_role role; /* of the listener it came to */
    struct http_request *request;
    struct slice args[ROUTE_ARGS_MAX]; /* what the segments in braces took, decoded */
    struct query query;                /* every name in it is one of the route's parameters, and there once */
};

typedef void route_fn(const struct call *call);

/* A parameter of the query, or a header field. */
struct route_parameter {
    const char *name;   /* NULL ends a list */
    const char *in;     /* "query" or "header" */
    const char *schema; /* JSON */
    const char *description;
};

struct route_answer {
    unsigned status;          /* 0 ends a list */
    const char *content_type; /* NULL: no body */
    const char *schema;       /* name of a schema of the document; NULL: any text */
    const char *description;
};

/* What a request body may be besides JSON. */
struct route_body {
    const char *content_type; /* NULL ends a list */
    const char *schema;       /* name of a schema of the document; NULL: any bytes */
};

struct route {
    const char *method, *path;
    route_fn *handler;
    const char *operation; /* its name in generated code */
    const char *summary;
    const struct route_parameter *parameters; /* NULL: none */
    const char *body;                         /* name of the schema of the JSON request body; NULL: none */
    const struct route_body *bodies;          /* other request bodies; NULL: none */
    bool body_is_optional;
    const struct route_answer *answers;
    const enum problem_kind *problems; /* those of its own, ended by PROBLEM_KIND_COUNT; NULL: none */
    bool open;                         /* needs no API key */
    bool stands_by;                    /* is answered also while the server may not be the one that serves */
    route_fn
        *begin; /* called when the head of the request is there, and the call would be allowed: see http_request.take.
                      * Its query is not parsed yet. NULL: the body is awaited */
};

struct route_table {
    const struct route *routes;
    size_t count;
    const char *tag; /* of its operations in the OpenAPI document; NULL: none */
    bool is_lenient; /* parameters of the query that a route does not have are passed over, and the first of a name counts */
};

/* A path cut at '/' and decoded. */
struct route_path {
    struct slice segments[ROUTE_SEGMENTS_MAX];
    size_t count;
    bool too_long; /* more segments than any route has */
};

/* Segments point into `memory`. False when a '%' is not followed by two hexadecimal digits. */
bool route_path_parse(struct slice path, struct buffer *memory, struct route_path *out);

enum route_result { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

/* Find the route, and what its braces take. HEAD finds the route of GET. Literal segments are preferred to braces, whatever
 * the method. */
enum route_result route_find(const struct route_index *index, const char *method, const struct route_path *path,
                             const struct route **route, struct slice args[ROUTE_ARGS_MAX]);

/* "GET, HEAD, DELETE, OPTIONS" for a path; empty when no route has it. At most ROUTE_ALLOW_MAX bytes. */
void route_put_allowed(const struct route_index *index, const struct route_path *path, struct buffer *out);

/* NULL, or the first parameter of the query that the route does not have, or that is there twice (*twice). */
const struct slice *route_check_query(const struct route *route, const struct query *query, bool *twice);

#endif
