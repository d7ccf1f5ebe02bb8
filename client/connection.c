#include "client/connection.h"

#include "client/device.h"
#include "client/security.h"
#include "common/base/random.h"
#include "common/net/stream.h"

enum { RETRY_FIRST_MS = 1000, RETRY_LAST_MS = 60000 };

static bool dial(struct connection *connection);

/* ---- keepalive ---- */

static void on_keepalive(struct timer *timer, void *arg);

static void schedule_keepalive(struct connection *connection) {
    struct device *device = connection->device;
    uint64_t every_ms = device->options->keepalive_ms;
    if (every_ms > 0)
        timer_schedule(&device->wheel, &connection->keepalive, stream_sent_ms(device->server) + every_ms, on_keepalive);
}

static void on_pong(void *arg, const struct coap_reply *reply) {
    struct connection *connection = arg;
    connection->ping = NULL;
    if (reply->result == COAP_CALL_RESET)
        schedule_keepalive(connection);
    else if (reply->result != COAP_CALL_CLOSED && reply->result != COAP_CALL_CANCELLED)
        link_close(connection->device->server, "a keepalive was not answered");
}

/* After so long a time in which nothing was sent; what comes does not count. */
static void on_keepalive(struct timer *timer, void *arg) {
    struct connection *connection = TIMER_OWNER(timer, struct connection, keepalive);
    struct device *device = connection->device;
    (void)arg;
    if (stream_sent_ms(device->server) + device->options->keepalive_ms > timer->due_ms)
        schedule_keepalive(connection);
    else if (device->options->pelion && !registration_stands(&device->registration)) /* then it does not */
        timer_schedule(&device->wheel, &connection->keepalive, timer->due_ms + device->options->keepalive_ms,
                       on_keepalive);
    else if (connection->ping == NULL)
        connection->ping = coap_ping(device->coap, device->server, on_pong, connection);
}

/* ---- coming and going ---- */

static void on_retry(struct timer *timer, void *arg) {
    struct connection *connection = TIMER_OWNER(timer, struct connection, retry);
    (void)arg;
    dial(connection);
}

static void report_tls(const struct device *device, const struct link *link) {
    struct tls_description tls;
    if (!stream_describe_tls(link, &tls))
        return;
    struct dtls_client_description session = {
        .established = true, .resumed = tls.resumed, .cipher_suite = tls.cipher_suite, .traffic = tls.traffic};
    report_handshake(&device->report, &session);
}

static void on_opened(void *arg, struct link *link) {
    struct connection *connection = arg;
    struct device *device = connection->device;
    clock_update(&device->clock);
    connection->failures = 0;
    report_event(&device->report, "connected", "Connected");
    report_tls(device, link);
    schedule_keepalive(connection);
    /* What waited first, which may be a Register. Otherwise the server learns from an Update where the device is now. */
    protection_carry(device);
    coap_calls_resume(device->coap, device_peer(device));
    registration_reconnected(&device->registration);
}

static void on_received(void *arg, struct link *link, struct slice message) {
    struct connection *connection = arg;
    clock_update(&connection->device->clock);
    device_receive(connection->device, link, message);
}

static void on_broken(void *arg, struct link *link, const char *why) {
    struct connection *connection = arg;
    coap_link_broken(connection->device->coap, link, why);
}

static uint64_t back_off_ms(struct connection *connection) {
    uint32_t failures = connection->failures++;
    if (connection->device->options->pelion)
        return pelion_back_off_ms(failures);
    uint64_t wait_ms = failures < 6 ? (uint64_t)RETRY_FIRST_MS << failures : RETRY_LAST_MS;
    return wait_ms + random_below(wait_ms / 2 + 1);
}

static void on_closed(void *arg, struct link *link, const char *why) {
    struct connection *connection = arg;
    struct device *device = connection->device;
    clock_update(&device->clock);
    uint64_t wait_ms = back_off_ms(connection);
    report_text(&device->report, "disconnected", slice_str("Disconnected"), why);
    timer_cancel(&device->wheel, &connection->keepalive);
    if (link->framing == LINK_STREAM_8323)
        observer_end(&device->observer); /* RFC 8323 §7.4 */
    coap_link_closed(device->coap, link);
    bootstrap_lose_link(&device->bootstrap);
    bool is_pelion = device->options->pelion;
    bool is_over = device->bootstrap.state == BOOTSTRAP_WAITING;
    if (is_over || (is_pelion && bootstrap_is_busy(&device->bootstrap))) /* another one is made when that is over */
        return;
    uint64_t due_ms = clock_now_ms(&device->clock) + wait_ms;
    if (is_pelion && device->registration.state == REGISTRATION_WAITING)
        due_ms = device->registration.timer.due_ms; /* of the next Register */
    timer_schedule(&device->wheel, &connection->retry, due_ms, on_retry);
}

static void on_oddity(void *arg, struct link *link, bool rejected, const char *what) {
    (void)arg;
    (void)link;
    (void)rejected;
    (void)what;
}

/* A new link takes the place of the one before, and gets what waits there. */
static bool dial(struct connection *connection) {
    struct device *device = connection->device;
    struct link *before = device->server;
    enum link_framing framing = device->options->framing;
    if (connection->tls != NULL && framing == LINK_LENGTH_PREFIXED)
        framing = LINK_RECORD;
    struct link *link = stream_connect(connection->streams, &device->listener, &connection->server, framing);
    if (link == NULL)
        return false;
    device->server = link;
    coap_link_opened(device->coap, link);
    if (before != NULL) {
        coap_calls_move(device->coap, before, link);
        protection_carry(device);
        link_unref(before);
    }
    return true;
}

static void on_tls_failed(void *arg, const struct dtls_failure *failure) {
    const struct connection *connection = arg;
    struct device *device = connection->device;
    report_handshake_failure(&device->report, failure);
    if (device->options->pelion)
        bootstrap_refuse(&device->bootstrap);
}

static void on_key_log(void *arg, const struct listener *listener, const struct address *peer, const char *line) {
    (void)listener, (void)peer;
    device_log_key(((struct connection *)arg)->device, line);
}

static bool make_tls(struct connection *connection, char *error, size_t error_size) {
    struct device *device = connection->device;
    const struct tls_handlers handlers = {.failed = on_tls_failed, .key_log = device->key_log < 0 ? NULL : on_key_log};
    struct security_params params;
    const char *problem = "";
    if (!device_read_security(device, &params, error, error_size))
        return false;
    connection->tls =
        tls_new_client(device->loop, &device->clock, &device->wheel, &params.client, &handlers, connection, &problem);
    security_free_params(&params);
    if (connection->tls == NULL)
        snprintf(error, error_size, "%s: %s", device->destination.text, problem);
    else
        streams_serve_tls(connection->streams, connection->tls);
    return connection->tls != NULL;
}

static bool open_connection(struct device *device, const struct address *server, char *error, size_t error_size) {
    struct connection *connection = &device->connection;
    const struct stream_options options = {.max_message = device->options->coap.max_message_size,
                                           .max_partial_bytes = device->options->coap.max_transfer_bytes};
    const struct stream_handlers handlers = {
        .opened = on_opened, .received = on_received, .broken = on_broken, .closed = on_closed, .oddity = on_oddity};
    *connection = (struct connection){.device = device, .server = *server};
    connection->streams = streams_new(device->loop, &options, &handlers, connection, &device->clock, &device->wheel);
    if (device->listener.transport == LINK_TLS && !make_tls(connection, error, error_size))
        return false;
    bool dialed = dial(connection);
    if (!dialed)
        snprintf(error, error_size, "out of memory");
    return dialed;
}

static void close_connection(struct device *device) {
    struct connection *connection = &device->connection;
    if (connection->streams == NULL)
        return;
    timer_cancel(&device->wheel, &connection->retry);
    timer_cancel(&device->wheel, &connection->keepalive);
    if (connection->tls != NULL)
        tls_close(connection->tls);
    streams_close(connection->streams);
    connection->streams = NULL;
    connection->tls = NULL;
    if (device->server != NULL)
        link_unref(device->server);
    device->server = NULL;
}

const struct transport tcp_transport = {
    .scheme = "coap+tcp",
    .link = LINK_TCP,
    .port = 5683,
    .open = open_connection,
    .close = close_connection,
};

const struct transport tls_transport = {
    .scheme = "coaps+tcp",
    .link = LINK_TLS,
    .port = 5684,
    .secure = true,
    .open = open_connection,
    .close = close_connection,
};
