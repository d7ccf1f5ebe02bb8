#include "client/session.h"

#include <mbedtls/platform_util.h>

#include "client/device.h"
#include "client/security.h"
#include "common/net/record.h"

enum { RECORD_EPOCH_AT = 3 };

static const char no_dtls[] = "the server is not coaps://";

/* ---- what the client asks and tells ---- */

static int on_send(void *arg, struct slice datagram) {
    struct device *device = ((struct session *)arg)->device;
    uint8_t bytes[RECORD_CONTENT_MAX + RECORD_OVERHEAD_MAX];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    datagram = misbehave_datagram(&device->misbehave, datagram, &memory);
    return udp_send(device->udp, &device->listener, &device->server->peer, NULL, datagram);
}

static void on_receive(void *arg, struct link *link, struct slice message) {
    device_receive(((struct session *)arg)->device, link, message);
}

static struct dtls_client_description describe(const struct session *session) {
    struct dtls_client_description description;
    dtls_client_describe(session->client, &description);
    return description;
}

static void on_established(void *arg) {
    const struct session *session = arg;
    struct dtls_client_description description = describe(session);
    report_handshake(&session->device->report, &description);
}

/* Whoever waits for an answer learns that none will come. */
static void on_failed(void *arg, const struct dtls_failure *failure) {
    struct device *device = ((struct session *)arg)->device;
    report_handshake_failure(&device->report, failure);
    if (device->options->pelion && bootstrap_refuse(&device->bootstrap))
        return;
    coap_cancel_calls(device->coap, device_peer(device));
}

static void on_closed(void *arg, enum dtls_end end) {
    const struct session *session = arg;
    report_text(&session->device->report, "session_closed", slice_str("Session closed"), dtls_end_name(end));
    bootstrap_lose_link(&session->device->bootstrap);
}

static void on_key_log(void *arg, const char *line) {
    device_log_key(((struct session *)arg)->device, line);
}

static bool on_keep(void *arg, const struct dtls_client_state *state) {
    return session_file_keep(&((struct session *)arg)->file, state);
}

static bool on_keep_numbers(void *arg, const struct dtls_client_state *state) {
    return session_file_keep_numbers(&((struct session *)arg)->file, state);
}

/* ---- life ---- */

static bool make_client(struct session *session, const struct address *server, const struct security_params *params,
                        char *error, size_t error_size) {
    struct device *device = session->device;
    struct dtls_client_handlers handlers = {.send = on_send,
                                            .receive = on_receive,
                                            .established = on_established,
                                            .failed = on_failed,
                                            .closed = on_closed};
    const char *problem = "";
    if (device->key_log >= 0)
        handlers.key_log = on_key_log;
    if (session->keeps) {
        handlers.keep = on_keep;
        handlers.keep_numbers = on_keep_numbers;
    }
    session->client = dtls_client_new(&device->clock, &device->wheel, &device->listener, server, &params->client,
                                      &handlers, session, &problem);
    if (session->client == NULL)
        snprintf(error, error_size, "%s: %s", device->destination.text, problem);
    return session->client != NULL;
}

static bool start(struct session *session, const struct address *server, const struct security_params *params,
                  char *error, size_t error_size) {
    const struct options *options = session->device->options;
    enum session_file_found found = SESSION_FILE_NOTHING;
    struct dtls_client_state state;
    uint8_t secret[DTLS_CLIENT_SECRET_MAX];
    bool keeps = options->security.state != NULL && !bootstrap_is_busy(&session->device->bootstrap);
    if (keeps)
        found = session_file_open(&session->file, options->security.state, params->binding, secret, &state, error,
                                  error_size);
    if (found == SESSION_FILE_FAILED)
        return false;
    session->keeps = keeps;
    bool made = make_client(session, server, params, error, error_size);
    if (made && found == SESSION_FILE_STATE && dtls_client_restore(session->client, &state)) {
        struct dtls_client_description description = describe(session);
        report_handshake(&session->device->report, &description);
    }
    mbedtls_platform_zeroize(secret, sizeof secret);
    return made;
}

/* An alert of a session: it comes without a connection ID. Its author is not known before it is opened, but all that it
 * brings about is an Update. */
static bool is_alert(const struct device *device, const uint8_t *datagram, size_t len) {
    return len > RECORD_EPOCH_AT + 1 && datagram[0] == RECORD_ALERT &&
           (datagram[RECORD_EPOCH_AT] | datagram[RECORD_EPOCH_AT + 1]) != 0 &&
           registration_stands(&device->registration);
}

static void on_datagram(void *arg, struct listener *listener, const struct address *peer, const struct address *local,
                        uint8_t *datagram, size_t len) {
    struct device *device = arg;
    (void)listener, (void)local;
    if (device->options->pelion && is_alert(device, datagram, len))
        pelion_session_closed(&device->pelion);
    else if (device->server != NULL && address_equal(peer, &device->server->peer) && !device->queue_mode.is_asleep)
        dtls_client_receive(device->session.client, datagram, len);
}

static bool open_session(struct device *device, const struct address *server, char *error, size_t error_size) {
    struct session *session = &device->session;
    struct security_params params;
    session->device = device;
    udp_set_datagram_handler(device->udp, on_datagram, device);
    if (!transport_bind(device, error, error_size) || !device_read_security(device, &params, error, error_size))
        return false;
    bool started = start(session, server, &params, error, error_size);
    security_free_params(&params);
    if (started)
        device->server = dtls_client_link(session->client);
    return started;
}

/* Goodbye is said to a session that nobody can go on with. */
static void close_session(struct device *device) {
    struct session *session = &device->session;
    if (session->client != NULL) {
        if (!session->keeps || describe(session).server_cid.len == 0)
            dtls_client_hang_up(session->client);
        dtls_client_free(session->client);
    }
    if (session->keeps)
        session_file_close(&session->file);
    device->server = NULL;
    session->client = NULL;
    session->keeps = false;
}

static bool renew_session(struct device *device) {
    return dtls_client_renew(device->session.client);
}

static int rebind_session(struct device *device) {
    return udp_rebind(device->udp, &device->listener);
}

const struct transport dtls_transport = {
    .scheme = "coaps",
    .link = LINK_DTLS,
    .port = 5684,
    .secure = true,
    .open = open_session,
    .close = close_session,
    .renew = renew_session,
    .rebind = rebind_session,
};

/* ---- what is asked of it ---- */

const char *session_handshake(struct session *session, enum dtls_client_handshake how) {
    if (session->client == NULL)
        return no_dtls;
    queue_mode_touch(&session->device->queue_mode);
    return dtls_client_handshake(session->client, how) ? NULL : "one is under way";
}

const char *session_hang_up(struct session *session) {
    if (session->client == NULL)
        return no_dtls;
    if (!dtls_client_hang_up(session->client))
        return "there is no session";
    on_closed(session, DTLS_END_HUNG_UP);
    return NULL;
}

const char *session_forget(struct session *session) {
    if (session->client == NULL)
        return no_dtls;
    dtls_client_forget(session->client);
    report_event(&session->device->report, "session_forgotten", "Session forgotten");
    return NULL;
}
