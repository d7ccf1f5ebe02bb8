#include "web/standby.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/net/tcp.h"
#include "web/authorization.h"
#include "web/document.h"
#include "web/http.h"
#include "web/http_certificate.h"
#include "web/origin.h"
#include "web/problem.h"
#include "web/v1/nodes_json.h"

enum {
    FIRST_MAX = 16,    /* bytes tell enough */
    AHEAD_MAX = 65536, /* as many are read at once */
};

struct standby {
    struct config *config;
    struct cluster *cluster;
    struct relay *relay;
    struct http_tls *tls; /* NULL: no HTTPS */
    struct standby_listener {
        struct standby *standby;
        struct tcp_port *port; /* where connections come */
        struct http *http;     /* answers those that are not passed on */
    } listeners[CONFIG_HTTP_MAX];
    size_t undecided; /* connections */
    unsigned open;    /* and one while it is being made */
    uint8_t ahead[AHEAD_MAX + FIRST_MAX];
};

/* A connection that has not said yet whom it is for. */
struct newcomer {
    struct tcp_connection tcp; /* first member */
    struct standby_listener *listener;
    uint64_t since_ms;
    struct address peer;
    uint8_t first[FIRST_MAX];
    size_t first_len;
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
    static const char retry_soon[] = "Retry-After: 1\r\n";
    struct cluster_node *nodes = calloc(CLUSTER_NODES_MAX, sizeof *nodes);
    size_t count =
        nodes == NULL || standby->cluster == NULL ? 0 : cluster_list(standby->cluster, nodes, CLUSTER_NODES_MAX);
    const struct cluster_node *serving = serving_one(nodes, count);
    if (serving == NULL)
        problem_send_with(request, PROBLEM_NOT_READY, NULL, retry_soon,
                          "This node stands by, and no other one serves at this moment.");
    else
        problem_send_with(request, PROBLEM_NOT_READY, NULL, retry_soon, "This node stands by; node %d serves%s%s.",
                          serving->number, serving->api[0] == '\0' ? "" : ", at ", serving->api);
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
    else if (is_read && slice_is(request->path, "/readyz") && relay_is_ready(standby->relay))
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

/* ---- whom a connection is for ---- */

enum destination { UNDECIDED, HERE, ELSEWHERE };

/* HERE: a request for one of the resources that each node answers itself. */
static enum destination judge(struct slice first) {
    static const char *const here[] = {"GET /healthz", "HEAD /healthz", "GET /readyz",
                                       "HEAD /readyz", "GET /v1/nodes", "HEAD /v1/nodes"};
    enum destination result = ELSEWHERE;
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        size_t len = strlen(here[i]);
        if (first.len > len && memcmp(first.data, here[i], len) == 0)
            return first.data[len] == ' ' || first.data[len] == '?' ? HERE : ELSEWHERE;
        if (first.len <= len && memcmp(first.data, here[i], first.len) == 0)
            result = UNDECIDED;
    }
    return result;
}

static struct newcomer *newcomer_of(struct tcp_connection *tcp) {
    return (struct newcomer *)(void *)tcp;
}

static struct tcp_connection *on_open(void *arg) {
    struct standby_listener *listener = arg;
    struct standby *standby = listener->standby;
    struct newcomer *newcomer =
        standby->undecided >= standby->config->http_max_connections ? NULL : calloc(1, sizeof *newcomer);
    if (newcomer == NULL)
        return NULL;
    newcomer->listener = listener;
    standby->undecided++;
    return &newcomer->tcp;
}

static void on_opened(struct tcp_connection *tcp) {
    struct newcomer *newcomer = newcomer_of(tcp);
    struct address local;
    tcp_read_addresses(tcp, &newcomer->peer, &local);
    newcomer->since_ms = uv_now(tcp->handle.loop);
}

static void take_here(struct standby_listener *listener, int fd, const struct address *peer, struct slice ahead) {
    http_adopt(listener->http, fd, peer, ahead);
}

static void on_received(struct tcp_connection *tcp, struct slice bytes) {
    struct newcomer *newcomer = newcomer_of(tcp);
    struct standby_listener *listener = newcomer->listener;
    struct standby *standby = listener->standby;
    struct buffer ahead = buffer_over(standby->ahead, sizeof standby->ahead);
    buffer_put(&ahead, newcomer->first, newcomer->first_len);
    buffer_put_slice(&ahead, bytes);
    struct slice all = buffer_slice(&ahead);
    enum destination destination = judge(all);
    if (destination == UNDECIDED) { /* it is shorter than what it may become */
        memcpy(newcomer->first, all.data, all.len);
        newcomer->first_len = all.len;
        return;
    }
    struct address peer = newcomer->peer;
    int fd = tcp_hand_over(tcp);
    if (fd < 0)
        return;
    if (destination == ELSEWHERE && relay_is_ready(standby->relay))
        relay_pass_http(standby->relay, (uint32_t)(listener - standby->listeners), fd, &peer, all);
    else
        take_here(listener, fd, &peer, all);
}

/* It could not be passed on after all. */
static void on_given_back(void *arg, uint32_t number, int fd, const struct address *peer, struct slice ahead) {
    struct standby *standby = arg;
    take_here(&standby->listeners[number], fd, peer, ahead);
}

static void on_ended(struct tcp_connection *tcp) {
    tcp_close(tcp);
}

static void on_newcomer_closed(struct tcp_connection *tcp) {
    newcomer_of(tcp)->listener->standby->undecided--;
    free(newcomer_of(tcp));
}

static void on_swept(struct tcp_connection *tcp, uint64_t now_ms) {
    const struct newcomer *newcomer = newcomer_of(tcp);
    if (now_ms - newcomer->since_ms > (uint64_t)newcomer->listener->standby->config->http_idle_s * 1000)
        tcp_close(tcp);
}

/* ---- start and stop ---- */

static void on_closed(void *arg) {
    release(((struct standby_listener *)arg)->standby);
}

static void on_port_closed(void *arg) {
    release(((struct standby_listener *)arg)->standby);
}

static const struct tcp_handlers newcomers = {
    .open = on_open,
    .opened = on_opened,
    .received = on_received,
    .ended = on_ended,
    .closed = on_newcomer_closed,
    .swept = on_swept,
    .port_closed = on_port_closed,
    .patience = {.keepalive_s = 60},
};

static bool listen_at(struct standby *standby, uv_loop_t *loop, size_t number, char *error, size_t error_size) {
    struct config *config = standby->config;
    struct standby_listener *listener = &standby->listeners[number];
    listener->standby = standby;
    listener->http = http_listen(loop,
                                 &(struct http_options){.once = true,
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
    listener->port = tcp_listen(loop, &config->http[number].address, &newcomers, listener, error, error_size);
    if (listener->port == NULL)
        return false;
    standby->open++;
    config->http[number].address.port = tcp_port_address(listener->port).port;
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

void standby_know(struct standby *standby, struct cluster *cluster, struct relay *relay) {
    standby->cluster = cluster;
    standby->relay = relay;
    if (relay != NULL)
        relay_give_back(relay, on_given_back, standby);
}

void standby_put_listener(const struct standby *standby, size_t number, char uri[128]) {
    struct buffer out = buffer_over(uri, 127);
    buffer_put_str(&out, "http://");
    address_put(&out, &standby->config->http[number].address);
    uri[out.len] = '\0';
}

void standby_put_uri(const struct standby *standby, char uri[128]) {
    const struct config *config = standby->config;
    char authority[128];
    uri[0] = '\0';
    if (config->http_off)
        return;
    standby_put_authority(&config->http[0].address, authority);
    snprintf(uri, 128, "http://%.120s", authority);
}

void standby_put_authority(const struct address *address, char authority[128]) {
    char host[65] = "";
    struct address home = address_at_home(address);
    if (!address_is_loopback(&home) || address_is_loopback(address)) { /* it is no wildcard */
        struct buffer out = buffer_over(authority, 127);
        address_put(&out, address);
        authority[out.len] = '\0';
        return;
    }
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        snprintf(host, sizeof host, "localhost");
    snprintf(authority, 128, "%s:%u", host, address->port);
}

void standby_stop(struct standby *standby) {
    for (size_t i = 0; i < CONFIG_HTTP_MAX && standby->listeners[i].http != NULL; i++) {
        http_close(standby->listeners[i].http);
        if (standby->listeners[i].port != NULL)
            tcp_port_close(standby->listeners[i].port);
    }
    release(standby);
}
