/* /api/event: what happens, as Server-Sent Events by the demo server's names. There are no numbers, and nothing is replayed. A
 * client that does not read what it is sent is dropped.
 *
 * The event log has one event for each value. Values that came together stand together in it, so they are collected until
 * something else follows or the loop goes on. */
#include <stdio.h>
#include <stdlib.h>

#include "server/awake.h"
#include "server/dealings.h"
#include "server/observation.h"
#include "web/document.h"
#include "web/leshan/leshan.h"
#include "web/leshan/node.h"
#include "web/route.h"

enum { STREAM_QUEUE_MAX = 1024 * 1024 };

struct stream {
    struct web *web;
    struct http_request *request;
    struct event_subscriber *subscriber;
    bool is_management, is_bootstrap; /* whose events it tells */
    bool any_endpoint;
    struct slice endpoint;

    /* The messages of the endpoint, when it has one and there is a trace. */
    struct trace_watcher watcher;
    bool is_watching;
    uint64_t last_entry;

    /* What is being collected. */
    enum event_type type; /* EVENT_NOTIFICATION or EVENT_SEND */
    json_t *values_endpoint;
    uint64_t observation;
    uint32_t sequence;
    struct leshan_values values;
    uint8_t memory[];
};

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

/* `data` is given up. */
static void tell(struct stream *stream, const char *name, json_t *data) {
    char *json = json_dumps(data, JSON_COMPACT), *text = NULL;
    int len = json == NULL ? -1 : asprintf(&text, "event: %s\ndata: %s\n\n", name, json);
    if (len >= 0)
        http_write(stream->request, slice_of(text, (size_t)len));
    if (len < 0 || http_queued(stream->request) > STREAM_QUEUE_MAX)
        http_drop(stream->request);
    if (len >= 0)
        free(text);
    free(json);
    json_decref(data);
}

/* ---- values ---- */

static const struct observation *observation_of(const struct stream *stream, struct slice endpoint, uint64_t id) {
    const struct registration *r = directory_find_newest(stream->web->server->directory, endpoint);
    const struct observation *o = r == NULL || r->dealings == NULL ? NULL : r->dealings->observations;
    while (o != NULL && o->id != id)
        o = o->next;
    return o;
}

static json_t *path_json(const struct lwm2m_path *path) {
    uint8_t memory[32];
    struct buffer text = buffer_over(memory, sizeof memory);
    lwm2m_path_put(&text, path);
    return document_text(buffer_slice(&text));
}

static void tell_composite(struct stream *stream, json_t *data, const struct observation *o) {
    json_t *told = leshan_node_paths_json(&stream->values), *val = json_object(), *paths = json_array();
    for (size_t i = 0; i < o->path_count; i++) {
        json_t *path = path_json(&o->paths[i]), *node = leshan_node_gather(told, &o->paths[i]);
        set(val, json_string_value(path), node == NULL ? json_null() : node);
        json_array_append_new(paths, path);
    }
    json_decref(told);
    set(data, "kind", json_string("composite"));
    set(data, "val", val);
    set(data, "paths", paths);
    tell(stream, "NOTIFICATION", data);
}

/* Tell what was collected. */
static void flush(struct stream *stream) {
    if (stream->values.count == 0)
        return;
    json_t *data = json_pack("{sO}", "ep", stream->values_endpoint);
    const struct observation *o =
        stream->type == EVENT_NOTIFICATION
            ? observation_of(stream, document_string(stream->values_endpoint), stream->observation)
            : NULL;
    if (stream->type == EVENT_SEND) {
        set(data, "val", leshan_node_paths_json(&stream->values));
        tell(stream, "SEND", data);
    } else if (o == NULL) {
        json_decref(data); /* it has ended meanwhile */
    } else if (o->is_composite) {
        tell_composite(stream, data, o);
    } else {
        set(data, "kind", json_string("single"));
        set(data, "res", path_json(&o->paths[0]));
        set(data, "val", leshan_node_json(&stream->values, &o->paths[0]));
        tell(stream, "NOTIFICATION", data);
    }
    json_decref(stream->values_endpoint);
    stream->values_endpoint = NULL;
    leshan_values_clear(&stream->values);
}

static bool goes_on(const struct stream *stream, const struct event *event) {
    return stream->values.count > 0 && stream->type == event->type && stream->observation == event->observation &&
           (event->type == EVENT_SEND || stream->sequence == event->sequence) &&
           slice_equal(document_string(stream->values_endpoint), event->endpoint) &&
           !leshan_values_has(&stream->values, &event->node);
}

static void collect(struct stream *stream, const struct event *event) {
    if (!event->has_node)
        return;
    if (!goes_on(stream, event)) {
        flush(stream);
        stream->type = event->type;
        stream->observation = event->observation;
        stream->sequence = event->sequence;
        stream->values_endpoint = document_text(event->endpoint);
        http_wake(stream->request);
    }
    leshan_values_add(&stream->values, &event->node);
}

/* ---- registrations ---- */

static json_t *registration_json(const struct stream *stream, const struct event *event) {
    const struct registration *r = directory_find_location(stream->web->server->directory, event->location);
    if (r != NULL)
        return leshan_registration_json(r);
    json_t *json = json_object();
    set(json, "endpoint", document_text(event->endpoint));
    set(json, "registrationId", document_text(event->location));
    set(json, "lifetime", json_integer(event->lifetime_s));
    return json;
}

static json_t *update_json(const struct stream *stream, const struct event *event) {
    json_t *update = json_object();
    set(update, "registrationId", document_text(event->location));
    set(update, "lifetimeInSec", json_integer(event->lifetime_s));
    set(update, "address", document_address(&event->address));
    return json_pack("{soso}", "registration", registration_json(stream, event), "update", update);
}

static json_t *endpoint_json(const struct event *event) {
    return json_pack("{so}", "ep", document_text(event->endpoint));
}

static void tell_result(struct stream *stream, const struct event *event) {
    const struct queued_request *request = queue_find(stream->web->server, event->request.id);
    json_t *data = request == NULL ? NULL : leshan_queued_json(request);
    if (data != NULL)
        tell(stream, "REQUEST_RESPONSE", data);
}

/* ---- bootstrap ---- */

static void tell_session(struct stream *stream, const struct event *event, const char *name, struct slice message) {
    json_t *data = json_object();
    set(data, "name", json_string(name));
    set(data, "endpoint", document_text(event->endpoint));
    set(data, "time", json_integer((json_int_t)event->ts_ms));
    set(data, "message", document_text(message));
    tell(stream, "BSSESSION", data);
}

static struct slice fact_of(const struct event *event, enum event_fact wanted) {
    struct slice facts = event->facts, text;
    enum event_fact fact;
    while (event_fact_next(&facts, &fact, &text)) {
        if (fact == wanted)
            return text;
    }
    return slice_str("");
}

/* A command and what became of it; they are told together. */
static void tell_step(struct stream *stream, const struct event *event) {
    struct slice operation = fact_of(event, EVENT_FACT_OPERATION);
    uint8_t memory[64];
    struct buffer path = buffer_over(memory, sizeof memory);
    if (event->has_node)
        lwm2m_path_put(&path, &event->node.path);
    tell_session(stream, event,
                 slice_is(operation, "discover") ? "send discover"
                 : slice_is(operation, "delete") ? "send delete"
                 : slice_is(operation, "write")  ? "send write"
                                                 : "send request",
                 buffer_slice(&path));
    if (event->coap_code == 0)
        tell_session(stream, event, "request failure", event->detail);
    else
        tell_session(stream, event, event->coap_code >> 5 == 2 ? "receive success response" : "receive error response",
                     fact_of(event, EVENT_FACT_DIAGNOSTIC));
}

static void on_bootstrap_event(struct stream *stream, const struct event *event) {
    switch (event->type) {
    case EVENT_BOOTSTRAP_STARTED:
        tell_session(stream, event, "new session", slice_str(""));
        tell_session(stream, event, "authorized", fact_of(event, EVENT_FACT_SECURITY));
        return;
    case EVENT_BOOTSTRAP_STEP:
        tell_step(stream, event);
        return;
    case EVENT_BOOTSTRAP_FINISHED:
        tell_session(stream, event, "finished", slice_str(""));
        return;
    case EVENT_BOOTSTRAP_FAILED:
        tell_session(stream, event, "failed", event->detail);
        return;
    default:
        return;
    }
}

/* ---- the stream ---- */

static void on_management_event(struct stream *stream, const struct event *event) {
    switch (event->type) {
    case EVENT_SEND:
        collect(stream, event);
        return;
    case EVENT_NOTIFICATION:
        if (!event->is_answer) /* which the caller has got */
            collect(stream, event);
        return;
    case EVENT_REGISTERED:
    case EVENT_REPLACED:
        tell(stream, "REGISTRATION", registration_json(stream, event));
        return;
    case EVENT_UPDATED:
        tell(stream, "UPDATED", update_json(stream, event));
        return;
    case EVENT_DEREGISTERED:
    case EVENT_EXPIRED:
        tell(stream, "DEREGISTRATION", registration_json(stream, event));
        return;
    case EVENT_AWAKE:
        tell(stream, "AWAKE", endpoint_json(event));
        return;
    case EVENT_SLEEPING:
        tell(stream, "SLEEPING", endpoint_json(event));
        return;
    case EVENT_REQUEST_COMPLETED:
        tell_result(stream, event);
        return;
    default:
        return;
    }
}

static void on_event(void *arg, const struct event *event) {
    struct stream *stream = arg;
    if (!stream->any_endpoint && !slice_equal(stream->endpoint, event->endpoint))
        return;
    if (event->type != EVENT_SEND && event->type != EVENT_NOTIFICATION)
        flush(stream);
    if (stream->is_management)
        on_management_event(stream, event);
    if (stream->is_bootstrap)
        on_bootstrap_event(stream, event);
}

/* ---- messages ---- */

static void on_told(struct trace_watcher *watcher) {
    struct stream *stream = (struct stream *)(void *)((char *)watcher - offsetof(struct stream, watcher));
    http_wake(stream->request);
}

/* What the trace has beyond what was told. */
static void tell_messages(struct stream *stream) {
    struct trace_store *store = trace_store_of(stream->web->server->trace);
    const struct trace_tape *tape = trace_device(store, stream->endpoint);
    size_t count = 0;
    struct trace_ref *refs = tape == NULL ? NULL : trace_list(store, tape, &count);
    for (size_t i = 0; i < count; i++) {
        struct trace_entry entry;
        if (refs[i].id <= stream->last_entry || !trace_get(store, &refs[i], &entry))
            continue;
        stream->last_entry = entry.id;
        json_t *data = leshan_coap_log_json(&entry);
        if (data != NULL)
            tell(stream, "COAPLOG", data);
    }
    free(refs);
}

static void watch(struct stream *stream) {
    struct trace *trace = stream->web->server->trace;
    if (trace == NULL || stream->any_endpoint)
        return;
    stream->last_entry = trace_last_id(trace_store_of(trace));
    stream->watcher.told = on_told;
    stream->is_watching = true;
    trace_watch(trace, &stream->watcher);
}

/* ---- the stream's life ---- */

static void on_resume(struct http_request *request) {
    struct stream *stream = request->arg;
    flush(stream);
    if (stream->is_watching)
        tell_messages(stream);
}

static void on_gone(struct http_request *request) {
    struct stream *stream = request->arg;
    event_unsubscribe(stream->web->server->events, stream->subscriber);
    if (stream->is_watching)
        trace_unwatch(&stream->watcher);
    json_decref(stream->values_endpoint);
    leshan_values_clear(&stream->values);
    free(stream);
}

static struct stream *stream_new(const struct call *call, struct slice endpoint) {
    struct stream *stream = calloc(1, sizeof *stream + endpoint.len);
    if (stream == NULL)
        return NULL;
    stream->web = call->web;
    stream->request = call->request;
    stream->is_management = call->role != LISTENER_BOOTSTRAP;
    stream->is_bootstrap = call->role != LISTENER_MANAGEMENT;
    stream->any_endpoint = endpoint.data == NULL;
    if (endpoint.len > 0)
        memcpy(stream->memory, endpoint.data, endpoint.len);
    stream->endpoint = slice_of(stream->memory, endpoint.len);
    stream->subscriber = event_subscribe(call->web->server->events, on_event, stream);
    if (stream->subscriber != NULL)
        return stream;
    free(stream);
    return NULL;
}

void leshan_events_get(const struct call *call) {
    static const char content_type[] = "text/event-stream";
    if (call->request->head) {
        http_respond(call->request, &(struct http_response){.status = 200, .content_type = content_type});
        return;
    }
    struct stream *stream = stream_new(call, query_get(&call->query, "ep"));
    if (stream == NULL) {
        leshan_send_text(call->request, 503, "The server is out of memory.");
        return;
    }
    call->request->arg = stream;
    call->request->gone = on_gone;
    call->request->resume = on_resume;
    http_stream(call->request, content_type);
    watch(stream);
}
