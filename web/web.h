/* The HTTP side of a server: one port that speaks Berth's API, the probes and the metrics (docs/http-api.md). It
 * translates: what is asked becomes a verb of server/, what happens there becomes JSON. */
#ifndef BERTH_WEB_WEB_H
#define BERTH_WEB_WEB_H

#include "server/server.h"
#include "web/counts.h"
#include "web/route_index.h"

struct event_stream;
struct http;
struct http_request;
struct http_tls;     /* web/http_tls.h */
struct inner;        /* web/inner.h */
struct pelion;       /* web/pelion/pelion.h */
struct replay;       /* web/v1/replay.h */
struct scenario_job; /* web/v1/scenarios.h */

struct web {
    struct server *server;
    struct web_listener {
        struct web *web;
        struct http *http;
        enum listener_role role;
        char uri[128];
    } listeners[CONFIG_HTTP_MAX];
    struct route_index api, leshan_api, pelion_api;
    struct buffer answer; /* what devices are written into (json_text_grow); used again */
    char *openapi;        /* the document, written for the first who asks; NULL before */
    uint64_t started_s;   /* Unix time of the wall clock */
    uv_timer_t heartbeat; /* runs while there are streams */
    struct event_stream *streams;
    struct replay *replays; /* queued requests that are being run */
    struct inner *inners;   /* calls of the API from within */
    struct http_tls *tls;   /* NULL until somebody speaks it */
    struct http_tls *callback_tls; /* likewise, to others */
    struct pelion *pelion;  /* NULL until somebody calls it */
    struct scenario_job *scenarios;
    struct counts counts;
    uint64_t last_scenario; /* its number */
    unsigned scenario_count;
    unsigned waiting; /* requests whose answer waits for an event (waiters) or a device (device calls) */
    unsigned handles; /* not closed yet */
};

/* Listen wherever server->config->http says. NULL with one line in `error`. */
struct web *web_start(struct server *server, char *error, size_t error_size);

/* Answer a request: find its route, see whether it may, and call the handler. What the program asks itself may. `role` is
 * of where it has come. */
void web_handle(struct web *web, enum listener_role role, struct http_request *request);

/* The OpenAPI document as text, which is the web's; NULL when out of memory. */
const char *web_openapi(struct web *web);

/* "http://127.0.0.1:8080", with the real port, of the listener of that number; lives as long as `web`. */
const char *web_uri(const struct web *web, size_t number);

/* Something with a handle of its own keeps the web from being freed, and does no longer. */
void web_hold(struct web *web);
void web_release(struct web *web);

/* Close the port and every connection. Call it before server_stop, whose commits end the last requests, and run the
 * loop once more after both. */
void web_stop(struct web *web);

#endif
