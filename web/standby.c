#include "web/standby.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "web/authorization.h"
#include "web/document.h"
#include "web/http.h"
#include "web/http_certificate.h"
#include "web/origin.h"
#include "web/problem.h"
#include "web/v1/nodes_json.h"

struct standby {
    struct config *config;
    struct cluster *cluster;
    struct http_tls *tls; /* NULL: no HTTPS */
    struct standby_listener {
        struct standby *standby;
        struct http *http;
    } listeners[CONFIG_HTTP_MAX];
    unsigned open; /* and one while it is being made */
};

static void release(struct standby *standby) {
    if (--standby->open > 0)
        return;
    http_tls_free(standby->tls);
    free(standby);
}

/* ---- answers ---- */

static const struct cluster_node *serving_one(const struct cluster_node *nodes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].state == CLUSTER_SERVES)
            return &nodes[i];
    }
    return NULL;
}

static void answer_elsewhere(struct standby *standby, struct http_request *request) {
    struct cluster_node *nodes = calloc(CLUSTER_NODES_MAX, sizeof *nodes);
    size_t count =
        nodes == NULL || standby->cluster == NULL ? 0 : cluster_list(standby->cluster, nodes, CLUSTER_NODES_MAX);
    const struct cluster_node *serving = serving_one(nodes, count);
    if (serving == NULL)
        problem_send(request, PROBLEM_NOT_READY, "This node stands by, and no other one serves at this moment.");
    else
        problem_send(request, PROBLEM_NOT_READY, "This node stands by; node %d serves%s%s.", serving->number,
                     serving->api[0] == '\0' ? "" : ", at ", serving->api);
    free(nodes);
}

static void handle(void *arg, struct http_request *request) {
    const struct standby_listener *listener = arg;
    struct standby *standby = listener->standby;
    const struct config *config = standby->config;
    bool is_read = strcmp(request->method, "GET") == 0 || request->head;
    document_ran_out(); /* of what was before */
    if (!origin_host_is_known(config, &config->http[listener - standby->listeners].address, request))
        problem_send(request, PROBLEM_MISDIRECTED, "The Host header names neither localhost nor an address.");
    else if (is_read && slice_is(request->path, "/healthz"))
        document_ok(request, json_pack("{ss}", "status", "ok"));
    else if (is_read && slice_is(request->path, "/readyz"))
        answer_elsewhere(standby, request);
    else if (!authorization_is_good(config, request))
        authorization_refuse(request);
    else if (is_read && slice_is(request->path, "/v1/nodes") && standby->cluster != NULL)
        document_ok(request, nodes_json(standby->cluster));
    else
        answer_elsewhere(standby, request);
}

static void refused(void *arg, struct http_request *request, unsigned status, const char *detail) {
    (void)arg;
    problem_send(request, problem_of_status(status), "%s", detail);
}

static struct http_tls *secure(void *arg) {
    return ((struct standby_listener *)arg)->standby->tls;
}

/* ---- start and stop ---- */

static void on_closed(void *arg) {
    release(((struct standby_listener *)arg)->standby);
}

static bool listen_at(struct standby *standby, uv_loop_t *loop, size_t number, char *error, size_t error_size) {
    struct config *config = standby->config;
    struct standby_listener *listener = &standby->listeners[number];
    listener->standby = standby;
    listener->http = http_listen(loop,
                                 &(struct http_options){.address = config->http[number].address,
                                                        .max_connections = config->http_max_connections,
                                                        .idle_s = config->http_idle_s,
                                                        .max_body = config->http_max_body,
                                                        .handle = handle,
                                                        .refused = refused,
                                                        .secure = secure,
                                                        .closed = on_closed,
                                                        .arg = listener},
                                 error, error_size);
    if (listener->http == NULL)
        return false;
    standby->open++;
    config->http[number].address.port = http_address(listener->http).port;
    return true;
}

struct standby *standby_start(uv_loop_t *loop, struct config *config, char *error, size_t error_size) {
    struct standby *standby = calloc(1, sizeof *standby);
    if (standby == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    document_watch_memory();
    standby->config = config;
    standby->open = 1;
    bool is_open =
        config->http_certificate == NULL || (standby->tls = http_certificate_load(config, error, error_size)) != NULL;
    for (size_t i = 0; is_open && !config->http_off && i < config->http_count; i++)
        is_open = listen_at(standby, loop, i, error, error_size);
    if (is_open)
        return standby;
    standby_stop(standby);
    return NULL;
}

void standby_know(struct standby *standby, struct cluster *cluster) {
    standby->cluster = cluster;
}

void standby_put_listener(const struct standby *standby, size_t number, char uri[128]) {
    struct buffer out = buffer_over(uri, 127);
    buffer_put_str(&out, "http://");
    address_put(&out, &standby->config->http[number].address);
    uri[out.len] = '\0';
}

void standby_put_uri(const struct standby *standby, char uri[128]) {
    const struct config *config = standby->config;
    char host[65] = "";
    uri[0] = '\0';
    if (config->http_off)
        return;
    struct address home = address_at_home(&config->http[0].address);
    if (!address_is_loopback(&home) || address_is_loopback(&config->http[0].address)) { /* it is no wildcard */
        standby_put_listener(standby, 0, uri);
        return;
    }
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        snprintf(host, sizeof host, "localhost");
    snprintf(uri, 128, "http://%s:%u", host, config->http[0].address.port);
}

void standby_stop(struct standby *standby) {
    for (size_t i = 0; i < CONFIG_HTTP_MAX && standby->listeners[i].http != NULL; i++)
        http_close(standby->listeners[i].http);
    release(standby);
}
