#include "web/web.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/log.h"
#include "server/dtls_service.h"
#include "server/own_pki.h"
#include "server/relay_door.h"
#include "web/api.h"
#include "web/authorization.h"
#include "web/document.h"
#include "web/http.h"
#include "web/http_certificate.h"
#include "web/http_tls.h"
#include "web/inner.h"
#include "web/leshan/leshan.h"
#include "web/origin.h"
#include "web/pelion/pelion.h"
#include "web/probes.h"
#include "web/v1/replay.h"
#include "web/v1/scenarios.h"

enum {
    DECODED_MAX = 8192, /* decoding never makes a target longer */
};

static void send_options(struct http_request *request, const char *allow) {
    char headers[ROUTE_ALLOW_MAX + 16];
    snprintf(headers, sizeof headers, "Allow: %s\r\n", allow);
    http_respond(request, &(struct http_response){.status = 204, .headers = headers});
}

static void send_not_allowed(struct http_request *request, const char *allow) {
    char headers[ROUTE_ALLOW_MAX + 16];
    snprintf(headers, sizeof headers, "Allow: %s\r\n", allow);
    problem_send_with(request, PROBLEM_METHOD_NOT_ALLOWED, NULL, headers, "%s does not go with %.*s; these do: %s.",
                      request->method, (int)request->path.len, (const char *)request->path.data, allow);
}

/* Parse the query and call the handler. */
static void call_route(struct call *call, const struct route *route, bool is_lenient, struct buffer *memory) {
    bool twice;
    const char *fault = query_parse(call->request->query, memory, &call->query);
    if (fault != NULL) {
        problem_send(call->request, PROBLEM_BAD_REQUEST, "%s", fault);
        return;
    }
    const struct slice *name = is_lenient ? NULL : route_check_query(route, &call->query, &twice);
    if (name == NULL)
        route->handler(call);
    else
        problem_send(call->request, PROBLEM_BAD_PARAMETER,
                     twice ? "The parameter \"%.*s\" is there twice." : "There is no parameter \"%.*s\" here.",
                     (int)name->len, (const char *)name->data);
}

void web_handle(struct web *web, enum listener_role role, struct http_request *request) {
    struct call call = {.web = web, .role = role, .request = request};
    struct route_path path;
    uint8_t decoded[DECODED_MAX + 1], allow[ROUTE_ALLOW_MAX + 1];
    struct buffer memory = buffer_over(decoded, sizeof decoded), allowed = buffer_over(allow, sizeof allow - 1);
    const struct route *route = NULL;

    clock_update(&call.web->server->clock);
    document_ran_out(); /* of what was before */
    if (slice_is(request->path, "*") && strcmp(request->method, "OPTIONS") == 0) {
        send_options(request, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        return;
    }
    if (!slice_starts_with(request->path, "/") || !route_path_parse(request->path, &memory, &path)) {
        problem_send(request, PROBLEM_BAD_REQUEST,
                     "The request target must be a path in which each '%%' is followed by two hexadecimal digits.");
        return;
    }
    if (role != LISTENER_BOOTSTRAP && pelion_has(&path)) {
        pelion_handle(&call, &path, &memory);
        return;
    }
    const struct route_index *index = leshan_has(&path) ? &web->leshan_api : &web->api;
    enum route_result found = route_find(index, request->method, &path, &route, call.args);
    if (!(found == ROUTE_FOUND && route->open) && !authorization_is_good(call.web->server->config, request)) {
        authorization_refuse(request);
        return;
    }
    if (origin_is_foreign(request)) {
        problem_send(request, PROBLEM_CROSS_ORIGIN, "The Origin header names another host than the Host header.");
        return;
    }
    if (found == ROUTE_FOUND && !route->open && !route->stands_by && request->internal == NULL &&
        !cluster_may_serve(web->server->cluster)) { /* what is here may be old, and what is asked for another's to do */
        problem_send(request, PROBLEM_NOT_READY, "%s.", server_not_ready(web->server));
        return;
    }
    if (found == ROUTE_FOUND) {
        call_route(&call, route, index->table->is_lenient, &memory);
        return;
    }
    if (found == ROUTE_NO_PATH) {
        problem_send(request, PROBLEM_NOT_FOUND, "There is nothing at %.*s; GET /v1/openapi.json says what there is.",
                     (int)request->path.len, (const char *)request->path.data);
        return;
    }
    route_put_allowed(index, &path, &allowed);
    allow[allowed.len] = '\0';
    if (strcmp(request->method, "OPTIONS") == 0)
        send_options(request, (const char *)allow);
    else
        send_not_allowed(request, (const char *)allow);
}

static bool is_known_host(const struct web_listener *listener, const struct http_request *request) {
    const struct config *config = listener->web->server->config;
    return origin_host_is_known(config, &config->http[listener - listener->web->listeners].address, request);
}

static void handle(void *arg, struct http_request *request) {
    const struct web_listener *listener = arg;
    size_t at = 0;
    if (http_header_next(request, "host", &at).data != NULL && http_header_next(request, "host", &at).data != NULL) {
        problem_send(request, PROBLEM_BAD_REQUEST, "There are two Host fields."); /* RFC 9112 §3.2 */
        return;
    }
    if (!is_known_host(listener, request)) {
        problem_send(request, PROBLEM_MISDIRECTED,
                     "The Host header names neither localhost nor an address; if it is a name of this server, start it "
                     "with --http-host NAME.");
        return;
    }
    web_handle(listener->web, listener->role, request);
}

/* A body that a route takes as it comes. Whatever is wrong with the request is said when it is handled. */
static void begin(void *arg, struct http_request *request) {
    const struct web_listener *listener = arg;
    struct call call = {.web = listener->web, .role = listener->role, .request = request};
    struct route_path path;
    uint8_t decoded[DECODED_MAX + 1];
    struct buffer memory = buffer_over(decoded, sizeof decoded);
    const struct route *route = NULL;
    clock_update(&call.web->server->clock);
    if (!slice_starts_with(request->path, "/") || !route_path_parse(request->path, &memory, &path) ||
        !is_known_host(listener, request) || origin_is_foreign(request))
        return;
    if (call.role != LISTENER_BOOTSTRAP && pelion_has(&path))
        pelion_begin(&call, &path);
    else if (route_find(&call.web->api, request->method, &path, &route, call.args) == ROUTE_FOUND &&
             route->begin != NULL && (route->open || authorization_is_good(call.web->server->config, request)))
        route->begin(&call);
}

/* The server's own certificate, as devices see it, too; it is made now when there is none. */
static struct http_tls *make_own_tls(struct server *server, char *error, size_t error_size) {
    struct pki_pair authority, own;
    struct http_tls *tls = NULL;
    const char *problem = "";
    if (!own_pki_authority(server->config->data, server->seal, true, &authority, error, error_size))
        return NULL;
    if (dtls_service_own_certificate(server, &authority, &own, error, error_size)) {
        tls = http_tls_new(slice_of(own.certificate, own.certificate_len), slice_of(own.key, own.key_len), &problem);
        snprintf(error, error_size, "%s", problem);
        pki_forget(&own);
    }
    pki_forget(&authority);
    return tls;
}

static struct http_tls *secure(void *arg) {
    struct web *web = ((struct web_listener *)arg)->web;
    char error[512] = "";
    if (web->tls == NULL)
        web->tls = make_own_tls(web->server, error, sizeof error);
    if (web->tls == NULL)
        log_write(LOG_ERROR, "http", "there is no HTTPS: %s", error);
    return web->tls;
}

static void refused(void *arg, struct http_request *request, unsigned status, const char *detail) {
    (void)arg;
    problem_send(request, problem_of_status(status), "%s", detail);
}

/* ---- start and stop ---- */

void web_hold(struct web *web) {
    web->handles++;
}

void web_release(struct web *web) {
    if (--web->handles > 0)
        return;
    http_tls_free(web->tls);
    http_tls_free(web->callback_tls);
    free(web->openapi);
    free(web->answer.data);
    free(web);
}

static void on_http_closed(void *arg) {
    web_release(((struct web_listener *)arg)->web);
}

static void on_heartbeat_closed(uv_handle_t *handle) {
    web_release(handle->data);
}

static void write_uri(struct web_listener *listener) {
    struct address address = http_address(listener->http);
    struct buffer uri = buffer_over(listener->uri, sizeof listener->uri - 1);
    buffer_put_str(&uri, "http://");
    address_put(&uri, &address);
    listener->uri[uri.len] = '\0';
}

static bool listen_at(struct web *web, size_t number, char *error, size_t error_size) {
    const struct config *config = web->server->config;
    struct web_listener *listener = &web->listeners[number];
    listener->web = web;
    listener->role = config->http[number].role;
    listener->http = http_listen(web->server->loop,
                                 &(struct http_options){.address = config->http[number].address,
                                                        .max_connections = config->http_max_connections,
                                                        .idle_s = config->http_idle_s,
                                                        .max_body = config->http_max_body,
                                                        .begin = begin,
                                                        .handle = handle,
                                                        .refused = refused,
                                                        .secure = secure,
                                                        .closed = on_http_closed,
                                                        .arg = listener},
                                 error, error_size);
    if (listener->http == NULL)
        return false;
    web->handles++;
    if (web->server->http_port == 0 && listener->role != LISTENER_BOOTSTRAP)
        web->server->http_port = http_address(listener->http).port;
    write_uri(listener);
    return true;
}

static void adopt(void *arg, uint32_t number, int fd, const struct address *peer) {
    struct web *web = arg;
    http_adopt(web->listeners[number].http, fd, peer, SLICE_NONE);
}

static void close_listeners(struct web *web) {
    for (size_t i = 0; i < CONFIG_HTTP_MAX && web->listeners[i].http != NULL; i++)
        http_close(web->listeners[i].http);
}

static void web_end(struct web *web) {
    counts_stop(&web->counts);
    close_listeners(web);
    uv_close((uv_handle_t *)&web->heartbeat, on_heartbeat_closed);
}

const char *web_openapi(struct web *web) {
    const struct route_table *const tables[] = {&api_routes, &leshan_routes, &pelion_routes};
    if (web->openapi == NULL)
        web->openapi = openapi_write(tables, sizeof tables / sizeof tables[0]);
    return web->openapi;
}

struct web *web_start(struct server *server, char *error, size_t error_size) {
    document_watch_memory();
    struct web *web = calloc(1, sizeof *web);
    if (web == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    web->server = server;
    route_index_make(&web->api, &api_routes);
    route_index_make(&web->leshan_api, &leshan_routes);
    route_index_make(&web->pelion_api, &pelion_routes);
    web->started_s = (uint64_t)time(NULL);
    uv_timer_init(server->loop, &web->heartbeat);
    web->heartbeat.data = web;
    web->handles = 1;
    if (server->config->http_certificate != NULL &&
        (web->tls = http_certificate_load(server->config, error, error_size)) == NULL) {
        web_end(web);
        return NULL;
    }
    if (!counts_start(&web->counts, server)) {
        snprintf(error, error_size, "out of memory");
        web_end(web);
        return NULL;
    }
    for (size_t i = 0; i < server->config->http_count; i++) {
        if (!listen_at(web, i, error, error_size)) {
            web_end(web);
            return NULL;
        }
    }
    if (!pelion_start(web, error, error_size)) {
        web_end(web);
        return NULL;
    }
    queue_set_runner(server, replay_run, web);
    if (server->relay_door != NULL)
        relay_door_serve_http(server->relay_door, adopt, web);
    return web;
}

const char *web_uri(const struct web *web, size_t number) {
    return web->listeners[number].uri;
}

void web_stop(struct web *web) {
    web->server->http_port = 0;
    queue_set_runner(web->server, NULL, NULL);
    replay_end_all(web);
    scenarios_end_all(web);
    pelion_sockets_end(web);
    web_end(web); /* those who ask from within for a client end what they have asked */
    pelion_stop(web);
    inner_end_all(web);
}
