#include "client/device.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/request.h"
#include "client/tick.h"
#include "common/base/random.h"
#include "common/lwm2m/object_file.h"
#include "common/lwm2m/object_version.h"
#include "common/net/key_log.h"

static const struct object_kind *const kinds[] = {
    &device_kind,    &connectivity_kind,  &firmware_kind,       &location_kind,    &statistics_kind, &software_kind,
    &portfolio_kind, &digital_input_kind, &digital_output_kind, &temperature_kind, &test_kind,       &large_kind,
};

/* The account of the server: one that the options have, or those that bootstrap gives. */
static const struct object_kind *const own_account[] = {&server_kind, &access_control_kind};
static const struct object_kind *const given_accounts[] = {&security_kind, &given_server_kind,
                                                           &given_access_control_kind, &oscore_kind, &cose_kind};

enum {
    KINDS = sizeof kinds / sizeof kinds[0],
    OWN_KINDS = sizeof own_account / sizeof own_account[0],
    GIVEN_KINDS = sizeof given_accounts / sizeof given_accounts[0],
};

/* Only the server is listened to: a socket that is connected would not get anything else either. */
void device_receive(struct device *device, struct link *link, struct slice message) {
    if ((link != device->server && link != device->firmware.link) || device->queue_mode.is_asleep)
        return;
    queue_mode_touch(&device->queue_mode);
    uint8_t memory[4];
    if (misbehave_heard(&device->misbehave, link, message))
        return;
    if (!device->options->pelion || !pelion_heard(&device->pelion, link, &message, memory))
        coap_receive(device->coap, link, message);
}

void device_send(struct device *device, struct link *link, struct slice message) {
    if (device->options->pelion)
        pelion_send(&device->pelion, link, message);
    else
        link_send(link, message);
}

static void on_datagram(void *arg, struct link *link, struct slice datagram) {
    device_receive(arg, link, datagram);
}

/* With OSCORE, what comes without it is not the server's. */
static void on_request(void *arg, const struct coap_request *request) {
    struct device *device = arg;
    if (request->link != device_peer(device))
        coap_respond_code(request->endpoint, request->exchange, COAP_4_01_UNAUTHORIZED, "OSCORE is needed");
    else if (firmware_is_block(device, request))
        firmware_take_block(&device->firmware, request);
    else
        request_answer(device, request);
}

bool device_read_security(struct device *device, struct security_params *params, char *error, size_t error_size) {
    const struct security_options *security = &device->options->security;
    struct destination *destination = &device->destination;
    bool is_read = false;
    if (destination->security == LWM2M_ID_NONE) {
        is_read = security_read_params(security, destination->text, params, error, error_size);
    } else {
        const struct object *accounts = device_object(device, ACCOUNT_SECURITY);
        is_read = security_read_account(security, object_instance(accounts, destination->security), destination, params,
                                        error, error_size);
    }
    if (is_read && device->options->pelion)
        pelion_alter_hello(params);
    return is_read;
}

/* As other programs have it: nobody has to ask for it but in the environment. */
static bool open_key_log(struct device *device, char *error, size_t error_size) {
    const char *path = getenv("SSLKEYLOGFILE");
    if (path == NULL || path[0] == '\0')
        return true;
    device->key_log = key_log_open(path);
    if (device->key_log < 0)
        snprintf(error, error_size, "SSLKEYLOGFILE: %s: %s", path, strerror(-device->key_log));
    return device->key_log >= 0;
}

void device_log_key(const struct device *device, const char *line) {
    int result = key_log_write(device->key_log, line);
    if (result < 0)
        fprintf(stderr, "berth-device: SSLKEYLOGFILE: %s\n", strerror(-result));
}

static bool open_link(struct device *device, char *error, size_t error_size) {
    const struct transport *transport = device->destination.transport;
    struct address server;
    const char *why = "";
    if (!uri_resolve(&device->destination.uri, transport->port, &server, &why)) {
        snprintf(error, error_size, "%s: %s", device->destination.text, why);
        return false;
    }
    device->listener = (struct listener){.transport = transport->link, .address = {.family = server.family}};
    return transport->open(device, &server, error, error_size);
}

/* What has been said is sent before. */
static void close_network(struct device *device) {
    firmware_interrupt(&device->firmware);
    protection_end(device);
    misbehave_pause(&device->misbehave);
    pelion_pause(&device->pelion);
    if (device->coap != NULL)
        coap_endpoint_free(device->coap);
    device->coap = NULL;
    if (device->destination.transport != NULL)
        device->destination.transport->close(device);
    if (device->udp != NULL)
        udp_close(device->udp);
    device->udp = NULL;
}

bool device_reach(struct device *device, struct slice uri, uint16_t security, char *error, size_t error_size) {
    static const struct coap_handlers handlers = {.request = on_request, .takes_blocks = firmware_takes_blocks};
    const char *why;
    registration_end(&device->registration);
    observer_end(&device->observer);
    close_network(device);
    device->traffic.sent_from = device->traffic.received_from = 0;
    device->udp = udp_new(device->loop, on_datagram, device);
    device->coap =
        memory_or_exit(coap_endpoint_new(&device->options->coap, &handlers, device, &device->clock, &device->wheel));
    misbehave_resume(&device->misbehave);
    if (!destination_set(&device->destination, uri, security, &why)) {
        snprintf(error, error_size, "%.*s %s", (int)uri.len, (const char *)uri.data, why);
        return false;
    }
    bool open = open_link(device, error, error_size) && protection_start(device, error, error_size);
    if (!open)
        device->destination.transport->close(device);
    firmware_object_reach(device);
    return open;
}

void device_keep(struct device *device) {
    if (!device->kept.is_dirty || bootstrap_is_busy(&device->bootstrap))
        return;
    if (!kept_save(device))
        report_text(&device->report, "not_kept", slice_str("The accounts"), "cannot be written to --state");
}

/* ---- objects ---- */

struct object *device_object(const struct device *device, uint16_t id) {
    for (size_t i = 0; i < device->object_count; i++) {
        if (device->objects[i].id == id)
            return &device->objects[i];
    }
    return NULL;
}

/* The version that the device's release has (Core 1.2 Table E-1). */
static void add_known(struct device *device, const struct object_kind *kind) {
    struct object *object = &device->objects[device->object_count++];
    struct catalogue_object definition;
    uint16_t version;
    if (kind->resources != NULL) {
        object_init(object, device, kind, NULL);
        return;
    }
    catalogue_version_parse(slice_str(lwm2m_object_version(device->options->version, kind->id)), &version);
    catalogue_find(&(struct catalogue){.count = 0}, kind->id, version, &definition);
    object_init(object, device, kind, &definition);
}

static int by_id(const void *a, const void *b) {
    return (int)((const struct object *)a)->id - (int)((const struct object *)b)->id;
}

static bool add_defined(struct device *device, const struct catalogue_object *definition, char *error,
                        size_t error_size) {
    if (device_object(device, definition->id) != NULL) {
        snprintf(error, error_size, "--object: object %u is one that the device has already", definition->id);
        return false;
    }
    object_init(&device->objects[device->object_count++], device, &defined_kind, definition);
    return true;
}

/* Of several versions in the files, the newest. */
static bool add_loaded(struct device *device, char *error, size_t error_size) {
    struct catalogue_object next = {.id = 0}, definition = {.id = 0};
    for (size_t i = 0; i < device->options->object_file_count; i++) {
        if (!object_file_load(&device->catalogue, device->options->object_files[i], error, error_size))
            return false;
    }
    device->objects = memory_or_exit(
        realloc(device->objects, (KINDS + GIVEN_KINDS + 1 + device->catalogue.count) * sizeof *device->objects));
    while (catalogue_next(&device->catalogue, next.id, next.version, &next)) {
        if (next.source != CATALOGUE_FILE)
            continue;
        if (definition.rows != NULL && definition.id != next.id && !add_defined(device, &definition, error, error_size))
            return false;
        definition = next;
    }
    if (definition.rows != NULL && !add_defined(device, &definition, error, error_size))
        return false;
    qsort(device->objects, device->object_count, sizeof *device->objects, by_id);
    return true;
}

static bool make_objects(struct device *device, char *error, size_t error_size) {
    bool bootstraps = device->options->bootstraps;
    const struct object_kind *const *accounts = bootstraps ? given_accounts : own_account;
    device->objects = memory_or_exit(calloc(KINDS + GIVEN_KINDS + 1, sizeof *device->objects));
    for (size_t i = 0; i < (bootstraps ? GIVEN_KINDS : OWN_KINDS); i++)
        add_known(device, accounts[i]);
    for (size_t i = 0; i < KINDS; i++) {
        if (!device->options->pelion || pelion_has(kinds[i]->id))
            add_known(device, kinds[i]);
    }
    if (device->options->pelion)
        add_known(device, &component_kind);
    qsort(device->objects, device->object_count, sizeof *device->objects, by_id);
    return add_loaded(device, error, error_size);
}

bool device_has_room(const struct device *device, size_t values, size_t bytes) {
    for (size_t i = 0; i < device->object_count; i++) {
        for (size_t k = 0; k < device->objects[i].instance_count; k++) {
            values += device->objects[i].instances[k].cell_count;
            bytes += device->objects[i].instances[k].bytes;
        }
    }
    return values <= DEVICE_VALUES_MAX && bytes <= DEVICE_BYTES_MAX;
}

/* The periods of the server object hold for everything. */
void device_changed(struct device *device, const struct lwm2m_path *path) {
    const struct object *object = path->len == 0 ? NULL : device_object(device, path->ids[0]);
    if (object != NULL && object->kind->by_bootstrap)
        device->kept.is_dirty = true;
    if (path->len > 0 && path->ids[0] == server_kind.id)
        observer_changed_all(&device->observer);
    else
        observer_changed(&device->observer, path);
}

/* ---- life ---- */

/* What options say and servers change. */
static void take_options(struct device *device) {
    device->lifetime_s = device->options->lifetime_s;
    memcpy(device->binding, device->options->binding, strlen(device->options->binding) + 1);
    device->time_offset_s = 0;
}

/* A device of --developer is another one after each factory reset (RFC 9562 §5.4). */
static void name_device(struct device *device, bool is_new) {
    char name[OPTIONS_ENDPOINT_MAX + 1];
    uint8_t random[16];
    if (!is_new) {
        device_set_endpoint(device, slice_str(device->options->endpoint));
        return;
    }
    random_bytes(random, sizeof random);
    random[6] = (random[6] & 0x0f) | 0x40;
    random[8] = (random[8] & 0x3f) | 0x80;
    struct buffer out = buffer_over(name, sizeof name);
    buffer_put_str(&out, "urn:uuid:");
    for (size_t i = 0; i < sizeof random; i++)
        buffer_printf(&out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", random[i]);
    device_set_endpoint(device, buffer_slice(&out));
}

void device_set_endpoint(struct device *device, struct slice endpoint) {
    struct object *object = device_object(device, device_kind.id);
    memcpy(device->endpoint, endpoint.data, endpoint.len);
    device->endpoint[endpoint.len] = '\0';
    if (object != NULL)
        device_object_set_serial(object, endpoint);
}

static bool start(struct device *device, char *error, size_t error_size) {
    clock_init(&device->clock, 0);
    timer_wheel_init(&device->wheel, clock_now_ms(&device->clock), device);
    device->report.clock = &device->clock;
    device->random = device->options->seed;
    take_options(device);
    firmware_init(&device->firmware, device);
    observer_init(&device->observer, device);
    queue_mode_init(&device->queue_mode, device);
    registration_init(&device->registration, device);
    bootstrap_init(&device->bootstrap, device);
    ticker_start(&device->ticker, device->loop, &device->clock, &device->wheel);
    uv_async_init(device->loop, &device->alive, NULL);
    name_device(device, device->options->developer && !device->options->has_endpoint);
    if (!make_objects(device, error, error_size))
        return false;
    misbehave_init(&device->misbehave, device, &device->options->misbehave);
    pelion_init(&device->pelion, device);
    if (!open_key_log(device, error, error_size))
        return false;
    if (!device->options->bootstraps)
        return device_reach(device, slice_str(device->options->server_text), LWM2M_ID_NONE, error, error_size);
    return kept_open(device, device->options->security.state, error, error_size) &&
           bootstrap_start(&device->bootstrap, error, error_size);
}

struct device *device_start(uv_loop_t *loop, const struct options *options, FILE *out, char *error, size_t error_size) {
    struct device *device = calloc(1, sizeof *device);
    if (device == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    device->loop = loop;
    device->key_log = -1;
    device->options = options;
    device->report = (struct report){.out = out, .json = options->json};
    if (!start(device, error, error_size)) {
        device_free(device);
        return NULL;
    }
    if (!options->bootstraps)
        registration_register(&device->registration);
    tick_start(device);
    return device;
}

static void cancel_timers(struct device *device) {
    timer_cancel(&device->wheel, &device->restart);
    firmware_stop(&device->firmware);
    timer_cancel(&device->wheel, &device->traffic.end);
    tick_stop(device);
}

static void on_left(void *arg) {
    struct device *device = arg;
    device->ended(device->ended_arg);
}

void device_leave(struct device *device, void (*ended)(void *arg), void *arg) {
    bool leaving = device->ended != NULL;
    device->ended = ended;
    device->ended_arg = arg;
    cancel_timers(device);
    bootstrap_end(&device->bootstrap);
    if (leaving || !registration_deregister(&device->registration, on_left, device)) {
        registration_end(&device->registration);
        ended(arg);
    }
}

void device_free(struct device *device) {
    registration_end(&device->registration);
    bootstrap_end(&device->bootstrap);
    observer_end(&device->observer);
    queue_mode_end(&device->queue_mode);
    cancel_timers(device);
    close_network(device);
    firmware_free(&device->firmware);
    protection_forget(device);
    kept_close(device);
    pelion_free(&device->pelion);
    ticker_close(&device->ticker);
    uv_close((uv_handle_t *)&device->alive, NULL);
    for (size_t i = 0; i < device->object_count; i++)
        object_free(&device->objects[i]);
    free(device->objects);
    catalogue_free(&device->catalogue);
    attribute_list_free(&device->attributes);
    workspace_free(&device->payload);
    workspace_free(&device->scratch);
    if (device->key_log >= 0)
        close(device->key_log);
    uv_run(device->loop, UV_RUN_NOWAIT); /* close callbacks; the handles lie in `device` */
    free(device);
}

/* ---- talking ---- */

struct coap_call *device_call(struct device *device, const struct coap_message *message, coap_call_fn *done,
                              void *arg) {
    struct coap_call_options options = {.type = COAP_CON};
    uint8_t token[PELION_TOKEN_LEN];
    queue_mode_touch(&device->queue_mode);
    if (!device->options->pelion)
        return coap_call(device->coap, device_peer(device), message, done, arg);
    random_bytes(token, sizeof token); /* the same one for every block */
    options.token = slice_of(token, sizeof token);
    return coap_call_with(device->coap, device_peer(device), message, &options, done, arg);
}

/* splitmix64: what it is for needs to be even and repeatable, not secret. */
double device_random_walk(struct device *device) {
    uint64_t bits = device->random += 0x9e3779b97f4a7c15u;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
    bits ^= bits >> 31;
    return (double)(bits >> 11) / (double)(1ull << 52) - 1;
}

/* ---- restarts ---- */

static void forget_dealings(struct device *device) {
    device->time_offset_s = 0;
    observer_end(&device->observer);
    attribute_list_free(&device->attributes);
    registration_end(&device->registration);
    if (device->server != NULL)
        coap_cancel_calls(device->coap, device_peer(device));
}

static void restart(struct device *device) {
    forget_dealings(device);
    registration_register(&device->registration);
}

static void on_reboot(struct timer *timer, void *arg) {
    (void)arg;
    struct device *device = TIMER_OWNER(timer, struct device, restart);
    report_event(&device->report, "reboot", "Rebooting");
    restart(device);
}

static void on_factory_reset(struct timer *timer, void *arg) {
    (void)arg;
    struct device *device = TIMER_OWNER(timer, struct device, restart);
    report_event(&device->report, "factory_reset", "Factory reset");
    bootstrap_end(&device->bootstrap);
    observer_end(&device->observer);
    take_options(device);
    device->random = device->options->seed;
    device->pelion.device_id[0] = '\0';
    for (size_t i = 0; i < device->object_count; i++)
        object_reset(&device->objects[i]);
    forget_dealings(device);
    name_device(device, device->options->developer);
    if (!device->options->bootstraps) {
        registration_register(&device->registration);
        return;
    }
    bootstrap_forget(&device->bootstrap);
}

/* Told when its time has begun: who leaps the clock then leaps over it. */
static void on_disabled(void *arg) {
    struct device *device = arg;
    char seconds[32];
    registration_register_after(&device->registration, device->disable_s * 1000);
    snprintf(seconds, sizeof seconds, "for %llu s", (unsigned long long)device->disable_s);
    report_text(&device->report, "disabled", slice_str("Disabled"), seconds);
}

static void on_disable(struct timer *timer, void *arg) {
    (void)arg;
    struct device *device = TIMER_OWNER(timer, struct device, restart);
    if (!registration_deregister(&device->registration, on_disabled, device))
        on_disabled(device);
}

/* Behind the answer, which the vendor's client gives later. */
static void restart_soon(struct device *device, timer_fn *fn) {
    uint64_t answered_ms = device->options->pelion ? PELION_ANSWER_MS + 1 : 0;
    timer_schedule(&device->wheel, &device->restart, clock_now_ms(&device->clock) + answered_ms, fn);
}

void device_reboot_soon(struct device *device) {
    restart_soon(device, on_reboot);
}

void device_factory_reset_soon(struct device *device) {
    restart_soon(device, on_factory_reset);
}

void device_disable_soon(struct device *device, uint64_t seconds) {
    device->disable_s = seconds;
    restart_soon(device, on_disable);
}

int device_rebind(struct device *device) {
    const struct transport *transport = device->destination.transport;
    return device->server != NULL && transport->rebind != NULL ? transport->rebind(device) : -ENOTSUP;
}

bool device_renew(struct device *device) {
    const struct transport *transport = device->destination.transport;
    return transport->renew != NULL && transport->renew(device);
}

/* At once: nothing can be heard on the way, so nothing that waits for an answer may be set on the way either. */
void device_leap(struct device *device, uint64_t by_ms) {
    clock_update(&device->clock);
    clock_leap(&device->clock, by_ms);
    timer_wheel_advance(&device->wheel, clock_now_ms(&device->clock));
}
