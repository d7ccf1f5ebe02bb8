#include "client/account.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/device.h"

enum { FIGURES_MAX = 8 };

struct account {
    struct account_figure figures[FIGURES_MAX];
    size_t count;
};

/* ---- reading the meters ---- */

static struct dtls_client_description describe(const struct device *device) {
    struct dtls_client_description session;
    dtls_client_describe(device->session.client, &session);
    return session;
}

static bool is_secure(const struct device *device) {
    return device->session.client != NULL;
}

static struct account_figure read_meters(const struct device *device) {
    udp_flush(device->udp);
    struct udp_counters udp = udp_counters(device->udp);
    struct account_figure meters = {.up = udp.sent_bytes,
                                    .down = udp.received_bytes,
                                    .datagrams_up = udp.sent,
                                    .datagrams_down = udp.received,
                                    .coap_up = udp.sent_bytes,
                                    .coap_down = udp.received_bytes};
    if (is_secure(device)) {
        struct dtls_traffic traffic = describe(device).traffic;
        meters.coap_up = traffic.content_out;
        meters.coap_down = traffic.content_in;
    }
    return meters;
}

/* The last handshake. */
static struct account_figure read_handshake(const struct device *device) {
    struct dtls_traffic traffic = describe(device).traffic;
    return (struct account_figure){.up = traffic.handshake_out,
                                   .down = traffic.handshake_in,
                                   .datagrams_up = traffic.handshake_datagrams_out,
                                   .datagrams_down = traffic.handshake_datagrams_in};
}

static const char *session_of(const struct device *device) {
    if (!is_secure(device))
        return device->protection.channel != NULL ? "OSCORE" : "UDP";
    struct dtls_client_description session = describe(device);
    return session.server_cid.len == 0 ? "DTLS" : session.cid_draft ? "DTLS, draft CID" : "DTLS, CID";
}

/* What was used between two readings. */
static void add(struct account *account, const struct device *device, const char *what, struct account_figure before,
                struct account_figure after) {
    account->figures[account->count++] = (struct account_figure){
        .what = what,
        .session = session_of(device),
        .up = after.up - before.up,
        .down = after.down - before.down,
        .datagrams_up = after.datagrams_up - before.datagrams_up,
        .datagrams_down = after.datagrams_down - before.datagrams_down,
        .coap_up = after.coap_up - before.coap_up,
        .coap_down = after.coap_down - before.coap_down,
    };
}

/* ---- what costs ---- */

/* False when it has failed: the device would try again. */
static bool await_answer(const struct device *device) {
    const struct registration *registration = &device->registration;
    while (registration->state == REGISTRATION_REGISTERING || registration->state == REGISTRATION_UPDATING)
        uv_run(device->loop, UV_RUN_ONCE);
    return registration->state == REGISTRATION_REGISTERED && registration->confirmed;
}

/* The Register waits for the handshake that it has begun. */
static bool measure_registration(struct account *account, const struct device *device) {
    static const struct account_figure nothing = {.what = NULL};
    struct account_figure handshake = nothing;
    if (!await_answer(device))
        return false;
    if (is_secure(device)) {
        handshake = read_handshake(device);
        add(account, device, "handshake", nothing, handshake);
    }
    add(account, device, "registration", handshake, read_meters(device));
    return true;
}

static bool measure_update(struct account *account, struct device *device) {
    struct account_figure before = read_meters(device);
    if (!registration_update(&device->registration) || !await_answer(device))
        return false;
    add(account, device, "update", before, read_meters(device));
    return true;
}

/* A server that does not resume has no such figure. */
static bool measure_resumption(struct account *account, struct device *device) {
    struct account_figure before = read_meters(device);
    if (session_handshake(&device->session, DTLS_CLIENT_RESUME) != NULL)
        return false;
    while (describe(device).handshaking)
        uv_run(device->loop, UV_RUN_ONCE);
    if (describe(device).resumed)
        add(account, device, "resumption", before, read_meters(device));
    return describe(device).established;
}

static void on_left(void *arg) {
    *(bool *)arg = true;
}

/* A device from its first message to its last. False: why was told. */
static bool measure(struct account *account, uv_loop_t *loop, const struct options *options) {
    char error[512];
    bool left = false;
    struct device *device = device_start(loop, options, options->json ? stdout : stderr, error, sizeof error);
    if (device == NULL) {
        fprintf(stderr, "berth-device: %s\n", error);
        return false;
    }
    bool done = measure_registration(account, device) && measure_update(account, device) &&
                (!is_secure(device) || measure_resumption(account, device));
    device_leave(device, on_left, &left);
    while (!left)
        uv_run(loop, UV_RUN_ONCE);
    device_free(device);
    uv_run(loop, UV_RUN_DEFAULT);
    return done;
}

/* ---- the account ---- */

static bool measure_all(struct account *account, uv_loop_t *loop, const struct options *asked) {
    struct options options = *asked;
    struct security_options *security = &options.security;
    if (!options.transport->secure)
        return measure(account, loop, &options);
    security->cid = DTLS_CLIENT_NO_CID;
    if (!measure(account, loop, &options))
        return false;
    security->cid = asked->security.cid == DTLS_CLIENT_NO_CID ? DTLS_CLIENT_CID : asked->security.cid;
    return measure(account, loop, &options);
}

int account_run(const struct options *options) {
    struct account account = {.count = 0};
    struct clock clock;
    uv_loop_t loop;
    clock_init(&clock, 0);
    struct report report = {.out = stdout, .json = options->json, .clock = &clock};
    uv_loop_init(&loop);
    bool done = measure_all(&account, &loop, options);
    uv_loop_close(&loop);
    clock_update(&clock);
    report_account(&report, account.figures, account.count);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
