/* /v1/devices/{endpoint}/firmware: the firmware update of a device. */
#include "server/firmware_update.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "web/document.h"
#include "web/input.h"
#include "web/stored.h"
#include "web/v1/device_problem.h"
#include "web/v1/v1.h"
#include "web/waiter.h"

static const char *const methods[] = {[FIRMWARE_AUTO] = "auto", [FIRMWARE_PUSH] = "push", [FIRMWARE_PULL] = "pull"};
static const char *const protocols[] = {
    [FIRMWARE_COAP] = "coap",      [FIRMWARE_COAPS] = "coaps",       [FIRMWARE_HTTP] = "http",
    [FIRMWARE_HTTPS] = "https",    [FIRMWARE_COAP_TCP] = "coap+tcp", [FIRMWARE_COAPS_TCP] = "coaps+tcp",
    [FIRMWARE_PROTOCOLS] = "auto",
};
enum { METHODS = sizeof methods / sizeof methods[0], PROTOCOLS = sizeof protocols / sizeof protocols[0] };

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static json_t *text_or_null(struct slice text) {
    return text.len == 0 ? json_null() : document_text(text);
}

static json_t *status_json(const struct firmware_status *status) {
    json_t *json = json_object();
    set(json, "endpoint", document_text(status->endpoint));
    set(json, "state", json_string(firmware_step_name(status->step)));
    set(json, "over", json_boolean(firmware_is_over(status->step)));
    set(json, "image", text_or_null(status->image));
    set(json, "uri", text_or_null(status->uri));
    set(json, "method", status->method == FIRMWARE_AUTO ? json_null() : json_string(methods[status->method]));
    set(json, "protocol",
        status->protocol == FIRMWARE_PROTOCOLS ? json_null() : json_string(protocols[status->protocol]));
    set(json, "object", json_integer(status->is_software ? 9 : 5));
    set(json, "instance", json_integer(status->instance));
    set(json, "update", json_boolean(status->update));
    set(json, "activate", json_boolean(status->activate));
    set(json, "device_state", status->has_report ? json_integer(status->state) : json_null());
    set(json, "result", status->has_report ? json_integer(status->result) : json_null());
    const char *text =
        status->is_software ? software_result_text(status->result) : firmware_result_text(status->result);
    set(json, "result_text", status->has_report ? json_string(text) : json_null());
    set(json, "detail", text_or_null(slice_str(status->detail)));
    set(json, "coap_code",
        status->coap_code == 0
            ? json_null()
            : json_sprintf("%u.%02u", COAP_CODE_CLASS(status->coap_code), COAP_CODE_DETAIL(status->coap_code)));
    set(json, "bytes", json_integer((json_int_t)status->bytes));
    set(json, "size", status->size == 0 ? json_null() : json_integer((json_int_t)status->size));
    set(json, "created_at", document_time(status->created_at_ms));
    set(json, "deadline", document_time(status->deadline_ms));
    set(json, "ended_at", status->ended_at_ms == 0 ? json_null() : document_time(status->ended_at_ms));
    return json;
}

static void send_none(struct http_request *request, struct slice endpoint) {
    problem_send(request, PROBLEM_NOT_FOUND, "There is no firmware update of \"%.*s\".", (int)endpoint.len,
                 (const char *)endpoint.data);
}

static void send_status(const struct web *web, struct http_request *request, struct slice endpoint, unsigned code) {
    struct firmware_status status;
    if (firmware_status_of(web->server, endpoint, &status))
        document_send(request, code, "application/json", NULL, status_json(&status));
    else
        send_none(request, endpoint);
}

/* ---- waiting for its end ---- */

struct update_waiter {
    struct waiter waiter; /* first member */
    size_t endpoint_len;
    uint8_t endpoint[];
};

static struct slice waited_for(const struct update_waiter *w) {
    return slice_of(w->endpoint, w->endpoint_len);
}

static bool is_over(const struct server *server, struct slice endpoint) {
    struct firmware_status status;
    return !firmware_status_of(server, endpoint, &status) || firmware_is_over(status.step);
}

static void on_event(struct waiter *waiter, const struct event *event) {
    struct update_waiter *w = (struct update_waiter *)waiter;
    if (event->type != EVENT_FIRMWARE || !slice_equal(event->endpoint, waited_for(w)) ||
        !is_over(waiter->web->server, waited_for(w)))
        return;
    send_status(waiter->web, waiter_stop(waiter), waited_for(w), 200);
    free(w);
}

static void on_timed_out(struct waiter *waiter) {
    struct update_waiter *w = (struct update_waiter *)waiter;
    struct firmware_status status;
    json_t *members = json_object();
    if (firmware_status_of(waiter->web->server, waited_for(w), &status))
        set(members, "firmware", status_json(&status));
    problem_send_with(waiter_stop(waiter), PROBLEM_TIMEOUT, members, NULL,
                      "The firmware update was not over within %" PRIu64 " ms; it goes on.", waiter->timeout_ms);
    free(w);
}

static void on_free(struct waiter *waiter) {
    free(waiter);
}

static const struct waiter_handlers waiting = {.event = on_event, .timed_out = on_timed_out, .free = on_free};

static void wait_for_end(struct web *web, struct http_request *request, struct slice endpoint, uint64_t timeout_ms) {
    if (is_over(web->server, endpoint)) {
        send_status(web, request, endpoint, 200);
        return;
    }
    struct update_waiter *w = calloc(1, sizeof *w + endpoint.len);
    if (w == NULL) {
        problem_send(request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    w->endpoint_len = endpoint.len;
    memcpy(w->endpoint, endpoint.data, endpoint.len);
    waiter_start(&w->waiter, web, request, &waiting, timeout_ms);
}

/* `wait=over`, and how long. */
static bool read_wait(const struct call *call, bool *waits, uint64_t *timeout_ms) {
    *waits = input_given(call, "wait");
    if (!*waits && input_given(call, "timeout")) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER, "timeout goes with wait only.");
        return false;
    }
    if (*waits && !slice_is(query_get(&call->query, "wait"), "over")) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER, "wait must be over.");
        return false;
    }
    return input_timeout(call, timeout_ms);
}

/* ---- calls ---- */

void v1_firmware_update_get(const struct call *call) {
    bool waits;
    uint64_t timeout_ms;
    if (!read_wait(call, &waits, &timeout_ms))
        return;
    if (waits)
        wait_for_end(call->web, call->request, call->args[0], timeout_ms);
    else
        send_status(call->web, call->request, call->args[0], 200);
}

static bool read_choice(const json_t *body, const char *name, const char *const *names, unsigned count,
                        unsigned *choice) {
    const json_t *value = json_object_get(body, name);
    if (value == NULL || json_is_null(value))
        return true;
    for (*choice = 0; *choice < count; ++*choice) {
        if (json_is_string(value) && strcmp(json_string_value(value), names[*choice]) == 0)
            return true;
    }
    return false;
}

static const char *read_order(const json_t *body, struct firmware_order *order) {
    const json_t *image = json_object_get(body, "image"), *uri = json_object_get(body, "uri"),
                 *update = json_object_get(body, "update"), *timeout = json_object_get(body, "timeout");
    unsigned method = FIRMWARE_AUTO, protocol = FIRMWARE_PROTOCOLS;
    *order = (struct firmware_order){.update = true, .timeout_ms = FIRMWARE_TIMEOUT_DEFAULT_MS};
    if ((image != NULL && !json_is_string(image)) || (uri != NULL && !json_is_string(uri)))
        return "image and uri are strings.";
    order->image = document_string(image);
    order->uri = document_string(uri);
    if (order->image.len == 0 && order->uri.len == 0)
        return "image, the name of one, or uri is missing.";
    if (order->uri.len > FIRMWARE_URL_MAX ||
        memchr(order->uri.len == 0 ? (const void *)"" : order->uri.data, 0, order->uri.len) != NULL)
        return "uri has at most 255 characters.";
    if (!read_choice(body, "method", methods, METHODS, &method))
        return "method is push, pull or auto.";
    if (!read_choice(body, "protocol", protocols, PROTOCOLS, &protocol))
        return "protocol is coap, coaps, coap+tcp, coaps+tcp, http, https or auto.";
    order->method = (enum firmware_method)method;
    order->protocol = (enum firmware_protocol)protocol;
    if (order->method == FIRMWARE_PUSH && order->uri.len > 0)
        return "uri goes with pull only.";
    if (order->method == FIRMWARE_PUSH && protocol != FIRMWARE_PROTOCOLS)
        return "protocol goes with pull only.";
    if (update != NULL && !json_is_boolean(update))
        return "update is true or false.";
    if (update != NULL)
        order->update = json_is_true(update);
    if (timeout != NULL &&
        (!document_duration(timeout, FIRMWARE_TIMEOUT_MAX_MS, &order->timeout_ms) || order->timeout_ms == 0))
        return "timeout is a duration of at most 30 days, such as \"1h\".";
    return NULL;
}

/* Of which object: with what else there is, it must mean something. */
static bool read_object(const json_t *body, struct firmware_order *order, struct document_error *error) {
    enum { INSTANCE_LAST = 65534 }; /* Core 1.2 §7.3: 65535 is no id */
    const json_t *object = json_object_get(body, "object"), *instance = json_object_get(body, "instance"),
                 *activate = json_object_get(body, "activate");
    json_int_t number = instance == NULL ? 0 : json_integer_value(instance);
    if (object != NULL && json_integer_value(object) != 5 && json_integer_value(object) != 9)
        return document_reject(error, "/object", "5, or 9 for software");
    order->is_software = json_integer_value(object) == 9;
    if ((instance != NULL && !json_is_integer(instance)) || number < 0 || number > INSTANCE_LAST)
        return document_reject(error, "/instance", "the id of an instance, 0 to %d", INSTANCE_LAST);
    if (number != 0 && !order->is_software)
        return document_reject(error, "/instance", "0: object 5 has no other");
    order->instance = (uint16_t)number;
    if (activate != NULL && !json_is_boolean(activate))
        return document_reject(error, "/activate", "true or false");
    order->activate = json_is_true(activate);
    if (order->activate && (!order->is_software || !order->update))
        return document_reject(error, "/activate", "false: only software that is installed is activated");
    return true;
}

struct pending_post {
    struct web *web;
    struct http_request *request;
    bool waits;
    uint64_t timeout_ms;
    size_t endpoint_len;
    uint8_t endpoint[];
};

static void on_posted(void *arg, enum store_result result) {
    struct pending_post *pending = arg;
    struct slice endpoint = slice_of(pending->endpoint, pending->endpoint_len);
    if (result != STORE_OK) {
        pending->request->arg = pending->web;
        answer_stored(pending->request, result);
    } else if (pending->waits && pending->web->server->http_port != 0) { /* else the server is ending */
        wait_for_end(pending->web, pending->request, endpoint, pending->timeout_ms);
    } else {
        send_status(pending->web, pending->request, endpoint, 202);
    }
    free(pending);
}

static struct pending_post *new_pending(const struct call *call, bool waits, uint64_t timeout_ms) {
    struct slice endpoint = call->args[0];
    struct pending_post *pending = calloc(1, sizeof *pending + endpoint.len);
    if (pending == NULL) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return NULL;
    }
    *pending = (struct pending_post){.web = call->web,
                                     .request = call->request,
                                     .waits = waits,
                                     .timeout_ms = timeout_ms,
                                     .endpoint_len = endpoint.len};
    memcpy(pending->endpoint, endpoint.data, endpoint.len);
    return pending;
}

static void send_refusal(const struct call *call, enum firmware_update_refusal refusal) {
    struct slice endpoint = call->args[0];
    switch (refusal) {
    case FIRMWARE_UPDATE_NOT_REGISTERED:
        problem_send_not_registered(call->request, endpoint);
        return;
    case FIRMWARE_UPDATE_NO_IMAGE:
        problem_send(call->request, PROBLEM_NOT_FOUND, "There is no firmware image of this name.");
        return;
    case FIRMWARE_UPDATE_UNDER_WAY:
        problem_send(call->request, PROBLEM_CONFLICT,
                     "A firmware update of this device is under way: wait for its end, or cancel it.");
        return;
    case FIRMWARE_UPDATE_TOO_MANY:
        problem_send(call->request, PROBLEM_OVERLOADED, "%d firmware updates are under way, or memory is short.",
                     FIRMWARE_UPDATES_MAX);
        return;
    case FIRMWARE_UPDATE_NONE:
        send_none(call->request, endpoint);
        return;
    case FIRMWARE_UPDATE_TOO_LATE:
        problem_send(call->request, PROBLEM_CONFLICT, "It is too late: the device was told to update.");
        return;
    case FIRMWARE_UPDATE_ACCEPTED:
        return;
    }
}

void v1_firmware_update_post(const struct call *call) {
    static const char *const members[] = {"image",   "uri",    "method",   "protocol", "update",
                                          "timeout", "object", "instance", "activate", NULL};
    struct firmware_order order;
    bool waits;
    uint64_t timeout_ms;
    if (!read_wait(call, &waits, &timeout_ms))
        return;
    json_t *body = input_body(call, members);
    if (body == NULL)
        return;
    const char *fault = read_order(body, &order);
    struct document_error error;
    bool is_sound = fault == NULL && read_object(body, &order, &error);
    struct pending_post *pending = is_sound ? new_pending(call, waits, timeout_ms) : NULL;
    if (fault != NULL)
        problem_send(call->request, PROBLEM_BAD_BODY, "%s", fault);
    else if (!is_sound)
        input_refuse(call, &error);
    if (pending != NULL) {
        enum firmware_update_refusal refusal =
            firmware_update_start(call->web->server, call->args[0], &order, on_posted, pending);
        if (refusal != FIRMWARE_UPDATE_ACCEPTED) {
            send_refusal(call, refusal);
            free(pending);
        }
    }
    json_decref(body);
}

static void on_forgotten(void *arg, enum store_result result) {
    answer_stored(arg, result);
}

void v1_firmware_update_delete(const struct call *call) {
    bool waits;
    uint64_t timeout_ms;
    enum firmware_update_refusal refusal;
    if (!read_wait(call, &waits, &timeout_ms))
        return;
    if (is_over(call->web->server, call->args[0])) {
        refusal = firmware_update_cancel(call->web->server, call->args[0], on_forgotten, stored_request(call));
        send_refusal(call, refusal);
        return;
    }
    struct pending_post *pending = new_pending(call, waits, timeout_ms);
    if (pending == NULL)
        return;
    refusal = firmware_update_cancel(call->web->server, call->args[0], on_posted, pending);
    if (refusal != FIRMWARE_UPDATE_ACCEPTED) {
        send_refusal(call, refusal);
        free(pending);
    }
}
