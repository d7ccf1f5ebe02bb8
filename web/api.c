#include "web/api.h"

#include "web/probes.h"
#include "web/v1/v1.h"

#define END_PARAMETERS {NULL, NULL, NULL, NULL}
#define END_ANSWERS    {0, NULL, NULL, NULL}
#define JSON           "application/json"

#define TEXT_SCHEMA     "{\"type\":\"string\"}"
#define EVENT_ID_SCHEMA "{\"type\":\"integer\",\"minimum\":0,\"maximum\":9223372036854775807}"
#define DURATION_SCHEMA "{\"$ref\":\"#/components/schemas/Duration\"}"
#define TYPES_SCHEMA                                                                                                   \
    "{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/components/schemas/EventType\"}}"

/* ---- devices ---- */

static const struct route_parameter devices_list_parameters[] = {
    {"limit", "query", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}",
     "How many devices a page has at most. A page may have fewer, also none, and a next one all the same."},
    {"cursor", "query", "{\"type\":\"string\",\"pattern\":\"^[0-9]{1,9}$\"}", "`next` of the page before."},
    {"endpoint", "query", "{\"type\":\"string\",\"maxLength\":256}",
     "Only endpoint names that match; * is any text, ? is one character."},
    {"state", "query", "{\"type\":\"string\",\"enum\":[\"registered\"]}", "Only devices in this state."},
    END_PARAMETERS,
};
static const struct route_answer devices_list_answers[] = {{200, JSON, "DevicePage", "A page of registered devices."},
                                                           END_ANSWERS};

static const struct route_parameter devices_get_parameters[] = {
    {"wait", "query", "{\"type\":\"string\",\"enum\":[\"registered\",\"updated\",\"deregistered\",\"awake\"]}",
     "Answer only when it is so: `registered`, `deregistered` and `awake` at once when it is so now, `updated` "
     "with the next update."},
    {"timeout", "query", DURATION_SCHEMA, "How long `wait` waits: at most 10 minutes, by default 30 seconds."},
    {"after", "query", EVENT_ID_SCHEMA, "With wait=updated: an update after this event counts, too."},
    END_PARAMETERS,
};
static const struct route_answer devices_get_answers[] = {
    {200, JSON, "DeviceOrGone", "The device; after wait=deregistered its endpoint name and the state deregistered."},
    END_ANSWERS,
};
static const enum problem_kind devices_get_problems[] = {PROBLEM_NOT_REGISTERED, PROBLEM_TIMEOUT, PROBLEM_KIND_COUNT};

static const struct route_answer stored_answers[] = {{204, NULL, NULL, "It is done and stored."}, END_ANSWERS};
static const enum problem_kind devices_forget_problems[] = {PROBLEM_NOT_REGISTERED, PROBLEM_STORE, PROBLEM_KIND_COUNT};

/* ---- events ---- */

static const struct route_parameter events_get_parameters[] = {
    {"after", "query", EVENT_ID_SCHEMA,
     "Begin with what came after this event; without it, with what comes from now on."},
    {"Last-Event-ID", "header", TEXT_SCHEMA,
     "The same, as a browser says it when it connects again; goes before `after`."},
    {"types", "query", TYPES_SCHEMA,
     "Only events of these types, joined by commas. `registered` includes `replaced`: that is a registration, too."},
    {"endpoint", "query", TEXT_SCHEMA, "Only events of the device of this name."},
    {"poll", "query", "{\"type\":\"integer\",\"enum\":[0,1]}",
     "1: answer with JSON as soon as there is an event, instead of a stream."},
    {"timeout", "query", DURATION_SCHEMA, "With poll=1: how long to wait, at most 10 minutes, by default 30 seconds."},
    {"limit", "query", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}",
     "With poll=1: how many events at most."},
    END_PARAMETERS,
};
static const struct route_answer events_get_answers[] = {
    {200, "text/event-stream", NULL, "Server-Sent Events: `id` is the number, `event` the type, `data` an Event."},
    {200, JSON, "EventList", "With poll=1: events, none when the time is over; go on with after=`last`."},
    END_ANSWERS,
};
static const struct route_answer events_last_answers[] = {{200, JSON, "EventRange", "The numbers of the events kept."},
                                                          END_ANSWERS};

/* ---- wait, clock, reset ---- */

static const struct route_answer wait_answers[] = {
    {200, JSON, "WaitOutcome", "The event; or `events` for count, all and sequence; or `absent`."},
    END_ANSWERS,
};
static const enum problem_kind wait_problems[] = {PROBLEM_BAD_BODY, PROBLEM_TIMEOUT, PROBLEM_UNEXPECTED_EVENT,
                                                  PROBLEM_KIND_COUNT};
static const struct route_answer clock_get_answers[] = {{200, JSON, "Clock", "Protocol time."}, END_ANSWERS};
static const struct route_answer clock_advance_answers[] = {
    {200, JSON, "Leap", "Time has been advanced, and every timer that became due has run."}, END_ANSWERS};
static const enum problem_kind body_problems[] = {PROBLEM_BAD_BODY, PROBLEM_KIND_COUNT};
static const struct route_parameter reset_parameters[] = {
    {"scope", "query", "{\"type\":\"string\",\"enum\":[\"devices\",\"events\",\"faults\",\"all\"],\"default\":\"all\"}",
     "What to forget."},
    END_PARAMETERS,
};
static const enum problem_kind store_problems[] = {PROBLEM_STORE, PROBLEM_KIND_COUNT};

/* ---- about the server ---- */

static const struct route_answer status_answers[] = {{200, JSON, "Status", "It is."}, END_ANSWERS};
static const enum problem_kind ready_problems[] = {PROBLEM_NOT_READY, PROBLEM_KIND_COUNT};
static const struct route_answer metrics_answers[] = {
    {200, "text/plain; version=0.0.4; charset=utf-8", NULL, "Prometheus text format."}, END_ANSWERS};
static const struct route_answer openapi_answers[] = {{200, JSON, "Any", "This document."}, END_ANSWERS};
static const struct route_answer page_answers[] = {{200, "text/html; charset=utf-8", NULL, "Where to begin."},
                                                   END_ANSWERS};
static const struct route_answer no_icon_answers[] = {{204, NULL, NULL, "There is none."}, END_ANSWERS};

static const struct route routes[] = {
    {.method = "GET",
     .path = "/v1/devices",
     .handler = v1_devices_list,
     .operation = "listDevices",
     .summary = "Registered devices, in pages. A device registered all the while is listed exactly once.",
     .parameters = devices_list_parameters,
     .answers = devices_list_answers},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}",
     .handler = v1_devices_get,
     .operation = "getDevice",
     .summary = "One device, now or when it is in a state.",
     .parameters = devices_get_parameters,
     .answers = devices_get_answers,
     .problems = devices_get_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}",
     .handler = v1_devices_forget,
     .operation = "forgetDevice",
     .summary = "Forget a registration, as if the device had deregistered.",
     .answers = stored_answers,
     .problems = devices_forget_problems},
    {.method = "GET",
     .path = "/v1/events",
     .handler = v1_events_get,
     .operation = "getEvents",
     .summary = "What happened and what happens: a stream, or a long poll.",
     .parameters = events_get_parameters,
     .answers = events_get_answers},
    {.method = "GET",
     .path = "/v1/events/last",
     .handler = v1_events_last,
     .operation = "getLastEvent",
     .summary = "The cursor now: the number of the last event.",
     .answers = events_last_answers},
    {.method = "POST",
     .path = "/v1/wait",
     .handler = v1_wait_post,
     .operation = "waitForEvents",
     .summary = "Wait for events, or for their absence.",
     .body = "Wait",
     .answers = wait_answers,
     .problems = wait_problems},
    {.method = "GET",
     .path = "/v1/clock",
     .handler = v1_clock_get,
     .operation = "getClock",
     .summary = "Protocol time, by which lifetimes and time-outs run.",
     .answers = clock_get_answers},
    {.method = "POST",
     .path = "/v1/clock",
     .handler = v1_clock_advance,
     .operation = "advanceClock",
     .summary = "Leap protocol time forward.",
     .body = "Advance",
     .answers = clock_advance_answers,
     .problems = body_problems},
    {.method = "POST",
     .path = "/v1/reset",
     .handler = v1_reset_post,
     .operation = "reset",
     .summary = "A clean slate between tests.",
     .parameters = reset_parameters,
     .answers = stored_answers,
     .problems = store_problems},
    {.method = "GET",
     .path = "/v1/openapi.json",
     .handler = openapi_get,
     .operation = "getOpenapi",
     .summary = "This document.",
     .answers = openapi_answers},
    {.method = "GET",
     .path = "/healthz",
     .handler = probes_healthz,
     .operation = "getHealth",
     .summary = "Whether the server lives.",
     .answers = status_answers,
     .open = true},
    {.method = "GET",
     .path = "/readyz",
     .handler = probes_readyz,
     .operation = "getReadiness",
     .summary = "Whether registrations can be taken and stored.",
     .answers = status_answers,
     .problems = ready_problems,
     .open = true},
    {.method = "GET",
     .path = "/metrics",
     .handler = metrics_get,
     .operation = "getMetrics",
     .summary = "Metrics for Prometheus.",
     .answers = metrics_answers},
    {.method = "GET",
     .path = "/",
     .handler = root_get,
     .operation = "getRoot",
     .summary = "A page for people.",
     .answers = page_answers},
    {.method = "GET",
     .path = "/favicon.ico",
     .handler = favicon_get,
     .operation = "getIcon",
     .summary = "For browsers that ask.",
     .answers = no_icon_answers},
};

const struct route_table api_routes = {routes, sizeof routes / sizeof routes[0]};
