#include "client/device.h"

#include <stdlib.h>

#include "client/request.h"

enum { COAP_PORT = 5683 };

/* Only the server is listened to: a socket that is connected would not get anything else either. */
static void on_datagram(void *arg, struct link *link, struct slice datagram) {
    struct device *device = arg;
    if (link == device->server)
        coap_receive(device->coap, link, datagram);
}

static void on_request(void *arg, const struct coap_request *request) {
    request_answer(arg, request);
}

static bool open_link(struct device *device, char *error, size_t error_size) {
    const struct options *options = device->options;
    struct address server;
    const char *why = "";
    if (!uri_resolve(&options->server, COAP_PORT, &server, &why)) {
        snprintf(error, error_size, "--server %s: %s", options->server_text, why);
        return false;
    }
    device->listener = (struct listener){.transport = LINK_UDP, .address = {.family = server.family}};
    if (options->has_bind)
        device->listener.address = options->bind;
    int result = udp_listen(device->udp, &device->listener);
    if (result < 0) {
        snprintf(error, error_size, "cannot send from %s: %s", options->has_bind ? "the address of --bind" : "any port",
                 strerror(-result));
        return false;
    }
    device->server = udp_link(device->udp, &device->listener, &server, NULL);
    if (device->server == NULL)
        snprintf(error, error_size, "%s cannot be reached from the address of --bind", options->server_text);
    return device->server != NULL;
}

static bool start(struct device *device, char *error, size_t error_size) {
    const struct coap_handlers handlers = {.request = on_request};
    clock_init(&device->clock, 0);
    timer_wheel_init(&device->wheel, clock_now_ms(&device->clock), device);
    device->report.clock = &device->clock;
    device->lifetime_s = device->options->lifetime_s;
    memcpy(device->binding, device->options->binding, strlen(device->options->binding) + 1);
    server_object_init(&device->objects[0], device);
    device_object_init(&device->objects[1], device);
    temperature_object_init(&device->objects[2], device);
    test_object_init(&device->objects[3], device);
    registration_init(&device->registration, device);
    device->udp = udp_new(device->loop, on_datagram, device);
    ticker_start(&device->ticker, device->loop, &device->clock, &device->wheel);
    device->coap = coap_endpoint_new(&device->options->coap, &handlers, device, &device->clock, &device->wheel);
    if (device->coap == NULL) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    return open_link(device, error, error_size);
}

struct device *device_start(uv_loop_t *loop, const struct options *options, FILE *out, char *error, size_t error_size) {
    struct device *device = calloc(1, sizeof *device);
    if (device == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    device->loop = loop;
    device->options = options;
    device->report = (struct report){.out = out, .json = options->json};
    if (!start(device, error, error_size)) {
        device_free(device);
        return NULL;
    }
    registration_register(&device->registration);
    return device;
}

static void on_left(void *arg) {
    struct device *device = arg;
    device->ended(device->ended_arg);
}

void device_leave(struct device *device, void (*ended)(void *arg), void *arg) {
    bool leaving = device->ended != NULL;
    device->ended = ended;
    device->ended_arg = arg;
    timer_cancel(&device->wheel, &device->reboot);
    if (leaving || !registration_deregister(&device->registration, on_left, device)) {
        registration_end(&device->registration);
        ended(arg);
    }
}

void device_free(struct device *device) {
    registration_end(&device->registration);
    timer_cancel(&device->wheel, &device->reboot);
    if (device->coap != NULL)
        coap_endpoint_free(device->coap);
    if (device->server != NULL)
        link_unref(device->server);
    udp_close(device->udp);
    ticker_close(&device->ticker);
    for (size_t i = 0; i < DEVICE_OBJECTS; i++)
        object_free(&device->objects[i]);
    attribute_list_free(&device->attributes);
    uv_run(device->loop, UV_RUN_NOWAIT); /* close callbacks; the handles lie in `device` */
    free(device);
}

struct object *device_object(struct device *device, uint16_t id) {
    for (size_t i = 0; i < DEVICE_OBJECTS; i++) {
        if (device->objects[i].id == id)
            return &device->objects[i];
    }
    return NULL;
}

void device_add_server_path(const struct device *device, struct coap_message *message, const char *name) {
    struct slice prefix = device->options->server.path;
    while (prefix.len > 0) {
        const uint8_t *slash = memchr(prefix.data, '/', prefix.len);
        size_t len = slash == NULL ? prefix.len : (size_t)(slash - prefix.data);
        coap_option_add(message, COAP_URI_PATH, slice_of(prefix.data, len));
        prefix = slice_from(prefix, len + 1);
    }
    coap_option_add(message, COAP_URI_PATH, slice_str(name));
}

static void on_reboot(struct timer *timer, void *arg) {
    (void)arg;
    struct device *device = TIMER_OWNER(timer, struct device, reboot);
    report_event(&device->report, "reboot", "Rebooting");
    device->time_offset_s = 0;
    attribute_list_free(&device->attributes);
    registration_register(&device->registration);
}

void device_reboot_soon(struct device *device) {
    timer_schedule(&device->wheel, &device->reboot, clock_now_ms(&device->clock), on_reboot);
}

void device_leap(struct device *device, uint64_t by_ms) {
    clock_update(&device->clock);
    clock_leap(&device->clock, by_ms);
    timer_wheel_advance(&device->wheel, clock_now_ms(&device->clock));
}
