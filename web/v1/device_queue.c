/* /v1/devices/{endpoint}/queue: the requests that wait for a device, and what is set for them. */
#include <stdlib.h>

#include "common/base/duration.h"
#include "server/awake.h"
#include "server/queue.h"
#include "server/queue_settings.h"
#include "web/document.h"
#include "web/input.h"
#include "web/stored.h"
#include "web/v1/device_problem.h"
#include "web/v1/queued_json.h"
#include "web/v1/v1.h"

enum { ENDPOINT_MAX = 252, LIMIT_MAX = 10000 };

static const uint64_t AWAKE_WINDOW_MAX_MS = 86400000;

void v1_queue_get(const struct call *call) {
    const struct server *server = call->web->server;
    const struct registration *r = directory_find(server->directory, call->args[0]);
    struct queue_settings settings;
    if (r == NULL && !queue_settings_find(server, call->args[0], &settings)) {
        problem_send_not_registered(call->request, call->args[0]);
        return;
    }
    settings = queue_settings_of(server, call->args[0]);
    json_t *answer = json_object(), *items = json_array();
    json_object_set_new(answer, "endpoint", document_text(call->args[0]));
    json_object_set_new(answer, "awake", json_boolean(r != NULL && awake_is(r)));
    json_object_set_new(answer, "awake_window_s",
                        settings.awake_window_ms % 1000 == 0 ? json_integer(settings.awake_window_ms / 1000)
                                                             : json_real(settings.awake_window_ms / 1000.0));
    json_object_set_new(answer, "limit", json_integer(settings.limit));
    const struct queued_request *request = NULL;
    while ((request = queue_next(server, call->args[0], request)) != NULL)
        json_array_append_new(items, queued_json(request));
    json_object_set_new(answer, "items", items);
    document_ok(call->request, answer);
}

/* NULL, or what is wrong. */
static const char *read_settings(const json_t *body, struct queue_settings *settings) {
    const json_t *window = json_object_get(body, "awake_window"), *limit = json_object_get(body, "limit");
    uint64_t window_ms = 0;
    if (window != NULL && !json_is_null(window) &&
        (!document_duration(window, AWAKE_WINDOW_MAX_MS, &window_ms) || window_ms == 0))
        return "awake_window must be a duration of at most a day, such as \"20s\", or null for the server's own.";
    if (limit != NULL && !json_is_null(limit) &&
        (!json_is_integer(limit) || json_integer_value(limit) < 1 || json_integer_value(limit) > LIMIT_MAX))
        return "limit must be a number from 1 to 10000, or null for the server's own.";
    *settings =
        (struct queue_settings){.awake_window_ms = (uint32_t)window_ms, .limit = (uint32_t)json_integer_value(limit)};
    return NULL;
}

void v1_queue_put(const struct call *call) {
    static const char *const members[] = {"awake_window", "limit", NULL};
    struct queue_settings settings;
    if (call->args[0].len > ENDPOINT_MAX) {
        problem_send(call->request, PROBLEM_BAD_REQUEST, "An endpoint name has at most %d bytes.", ENDPOINT_MAX);
        return;
    }
    json_t *body = input_body(call, members);
    if (body == NULL)
        return;
    const char *fault = read_settings(body, &settings);
    json_decref(body);
    if (fault != NULL)
        problem_send(call->request, PROBLEM_BAD_BODY, "%s", fault);
    else if (!queue_settings_put(call->web->server, call->args[0], &settings, answer_stored, stored_request(call)))
        problem_send(call->request, PROBLEM_OVERLOADED, "There are settings for %d devices already.",
                     QUEUE_SETTINGS_MAX);
}

void v1_queue_delete(const struct call *call) {
    if (directory_find(call->web->server->directory, call->args[0]) == NULL)
        problem_send_not_registered(call->request, call->args[0]);
    else
        queue_cancel_all(call->web->server, call->args[0], answer_stored, stored_request(call));
}
