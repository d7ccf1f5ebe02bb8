#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "web/document.h"
#include "web/input.h"
#include "web/v1/event_json.h"
#include "web/v1/v1.h"
#include "web/waiter.h"

enum {
    HEARTBEAT_MS = 15000,
    STREAM_QUEUE_MAX = 64 * 1024, /* with more waiting, a stream goes on from the ring when that has left */
    STREAM_BATCH = 256,           /* events written before other connections have their turn */
    POLL_DEFAULT = 100,
    POLL_MAX = 1000,
};

/* ---- what was asked for ---- */

static bool read_filter(const struct call *call, struct event_filter *filter) {
    struct slice types = query_get(&call->query, "types"), unknown;
    filter->types = EVENT_TYPES_ALL;
    filter->endpoint = query_get(&call->query, "endpoint");
    filter->any_endpoint = filter->endpoint.data == NULL;
    if (types.data == NULL || event_types_parse(types, &filter->types, &unknown))
        return true;
    problem_send(call->request, PROBLEM_BAD_PARAMETER, "types has \"%.*s\", which is no type of event.",
                 (int)unknown.len, (const char *)unknown.data);
    return false;
}

/* A filter that outlives the call: the endpoint is copied to `memory`. */
static struct event_filter keep_filter(const struct event_filter *filter, uint8_t *memory) {
    struct event_filter kept = *filter;
    if (filter->endpoint.len > 0)
        memcpy(memory, filter->endpoint.data, filter->endpoint.len);
    kept.endpoint = slice_of(memory, filter->endpoint.len);
    return kept;
}

/* ---- the cursor now ---- */

static void add_range(json_t *object, const struct event_log *log, uint64_t last) {
    json_object_set_new(object, "last", json_integer((json_int_t)last));
    json_object_set_new(object, "oldest", json_integer((json_int_t)event_oldest_id(log)));
}

void v1_events_last(const struct call *call) {
    const struct event_log *log = call->web->server->events;
    json_t *answer = json_object();
    add_range(answer, log, event_last_id(log));
    document_ok(call->request, answer);
}

/* ---- long poll ---- */

struct poll {
    struct waiter waiter; /* first member */
    struct event_filter filter;
    uint8_t endpoint[];
};

static void send_items(struct http_request *request, const struct event_log *log, json_t *items, uint64_t last) {
    json_t *answer = json_object();
    json_object_set_new(answer, "items", items);
    add_range(answer, log, last);
    document_ok(request, answer);
}

static void on_poll_event(struct waiter *waiter, const struct event *event) {
    struct poll *poll = (struct poll *)waiter;
    if (!event_filter_match(&poll->filter, event))
        return;
    json_t *items = json_array();
    json_array_append_new(items, event_json(event));
    send_items(waiter_stop(waiter), waiter->web->server->events, items, event->id);
    free(poll);
}

static void on_poll_timed_out(struct waiter *waiter) {
    const struct event_log *log = waiter->web->server->events;
    send_items(waiter_stop(waiter), log, json_array(), event_last_id(log));
    free(waiter);
}

static void on_poll_free(struct waiter *waiter) {
    free(waiter);
}

static const struct waiter_handlers polling = {
    .event = on_poll_event, .timed_out = on_poll_timed_out, .free = on_poll_free};

/* The number after which there are `newest` events that match, or all of them when there are fewer. */
static uint64_t before_newest(const struct event_log *log, const struct event_filter *filter, uint64_t after,
                              uint64_t newest) {
    struct event event;
    uint64_t matching = 0;
    for (uint64_t at = after; event_after(log, at, &event); at = event.id)
        matching += event_filter_match(filter, &event);
    for (uint64_t at = after; matching > newest && event_after(log, at, &event); at = after = event.id)
        matching -= event_filter_match(filter, &event);
    return after;
}

static void poll(const struct call *call, const struct event_filter *filter, uint64_t after) {
    const struct event_log *log = call->web->server->events;
    uint64_t limit = POLL_DEFAULT, newest = 0, timeout_ms;
    if (!input_number(call, "limit", 1, POLL_MAX, &limit) || !input_number(call, "newest", 1, POLL_MAX, &newest) ||
        !input_timeout(call, &timeout_ms))
        return;
    if (newest > 0)
        limit = newest;
    json_t *items = json_array();
    struct event event;
    uint64_t at = newest == 0 ? after : before_newest(log, filter, after, newest);
    while (json_array_size(items) < limit && event_after(log, at, &event)) {
        at = event.id;
        if (event_filter_match(filter, &event))
            json_array_append_new(items, event_json(&event));
    }
    if (json_array_size(items) > 0 || timeout_ms == 0) {
        send_items(call->request, log, items, json_array_size(items) == limit ? at : event_last_id(log));
        return;
    }
    json_decref(items);
    struct poll *waiting = calloc(1, sizeof *waiting + filter->endpoint.len);
    if (waiting == NULL) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    waiting->filter = keep_filter(filter, waiting->endpoint);
    waiter_start(&waiting->waiter, call->web, call->request, &polling, timeout_ms);
}

/* ---- Server-Sent Events (WHATWG HTML §9.2) ---- */

/* A stream is live while `subscriber` is set. Otherwise it reads the ring, as fast as its client takes it; a client
 * that falls behind while live goes back to that. So its queue is bounded whatever it does, and it loses nothing unless
 * the ring has overtaken it: then it is dropped. */
struct event_stream {
    struct web *web;
    struct http_request *request;
    struct event_stream *next, **link; /* of web->streams */
    struct event_subscriber *subscriber;
    uint64_t after; /* the last event that was written or passed over */
    struct event_filter filter;
    uint8_t endpoint[];
};

static void write_event(struct event_stream *stream, const struct event *event) {
    json_t *object = event_json(event);
    char *data = json_dumps(object, JSON_COMPACT);
    char *text = NULL;
    int len = data == NULL ? -1
                           : asprintf(&text, "id: %" PRIu64 "\nevent: %s\ndata: %s\n\n", event->id,
                                      event_type_name(event->type), data);
    if (len < 0)
        http_drop(stream->request); /* rather than leave a gap */
    else
        http_write(stream->request, slice_of(text, (size_t)len));
    if (len >= 0)
        free(text);
    free(data);
    json_decref(object);
}

static void on_live_event(void *arg, const struct event *event) {
    struct event_stream *stream = arg;
    stream->after = event->id;
    if (event_filter_match(&stream->filter, event))
        write_event(stream, event);
    if (http_queued(stream->request) > STREAM_QUEUE_MAX) {
        event_unsubscribe(stream->web->server->events, stream->subscriber);
        stream->subscriber = NULL;
    }
}

static void write_missed(struct event_stream *stream, uint64_t oldest) {
    char text[128];
    int len = snprintf(text, sizeof text, ": events %" PRIu64 " to %" PRIu64 " are no longer kept\n\n",
                       stream->after + 1, oldest - 1);
    http_write(stream->request, slice_of(text, (size_t)len));
}

static void go_live(struct event_stream *stream) {
    stream->subscriber = event_subscribe(stream->web->server->events, on_live_event, stream);
    if (stream->subscriber == NULL)
        http_drop(stream->request);
}

/* Write what the ring has, as much as is good at a time. */
static void replay(struct event_stream *stream) {
    const struct event_log *log = stream->web->server->events;
    struct event event;
    for (int i = 0; i < STREAM_BATCH; i++) {
        if (http_queued(stream->request) > STREAM_QUEUE_MAX)
            return; /* on_resume follows when that has left */
        if (!event_after(log, stream->after, &event)) {
            go_live(stream);
            return;
        }
        stream->after = event.id;
        if (event_filter_match(&stream->filter, &event))
            write_event(stream, &event);
    }
    http_wake(stream->request);
}

static void on_resume(struct http_request *request) {
    struct event_stream *stream = request->arg;
    if (stream->subscriber != NULL)
        return;
    if (event_oldest_id(stream->web->server->events) > stream->after + 1)
        http_drop(request);
    else
        replay(stream);
}

static void on_gone(struct http_request *request) {
    struct event_stream *stream = request->arg;
    struct web *web = stream->web;
    if (stream->subscriber != NULL)
        event_unsubscribe(web->server->events, stream->subscriber);
    *stream->link = stream->next;
    if (stream->next != NULL)
        stream->next->link = stream->link;
    if (web->streams == NULL)
        uv_timer_stop(&web->heartbeat);
    free(stream);
}

static void beat(uv_timer_t *timer) {
    struct web *web = timer->data;
    for (struct event_stream *stream = web->streams; stream != NULL; stream = stream->next)
        if (http_queued(stream->request) == 0)
            http_write(stream->request, slice_str(":\n\n"));
}

static void enlist(struct event_stream *stream, struct web *web) {
    if (web->streams == NULL)
        uv_timer_start(&web->heartbeat, beat, HEARTBEAT_MS, HEARTBEAT_MS);
    stream->next = web->streams;
    stream->link = &web->streams;
    if (stream->next != NULL)
        stream->next->link = &stream->next;
    web->streams = stream;
}

static void start_stream(const struct call *call, const struct event_filter *filter, uint64_t after) {
    static const char content_type[] = "text/event-stream";
    const struct event_log *log = call->web->server->events;
    if (call->request->head) {
        http_respond(call->request, &(struct http_response){.status = 200, .content_type = content_type});
        return;
    }
    struct event_stream *stream = calloc(1, sizeof *stream + filter->endpoint.len);
    if (stream == NULL) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    stream->web = call->web;
    stream->request = call->request;
    stream->after = after;
    stream->filter = keep_filter(filter, stream->endpoint);
    enlist(stream, call->web);
    call->request->arg = stream;
    call->request->gone = on_gone;
    call->request->resume = on_resume;
    http_stream(call->request, content_type);
    if (event_oldest_id(log) > after + 1) {
        write_missed(stream, event_oldest_id(log));
        stream->after = event_oldest_id(log) - 1;
    }
    replay(stream);
}

/* ---- the handler ---- */

/* Last-Event-ID is what a browser says when it connects again; it knows better than the URL it began with. */
static bool read_after(const struct call *call, uint64_t *after) {
    struct slice last = http_header(call->request, "last-event-id");
    *after = input_given(call, "newest") ? 0 : event_last_id(call->web->server->events);
    if (last.len == 0)
        return input_number(call, "after", 0, INT64_MAX, after);
    if (slice_to_u64(last, INT64_MAX, after))
        return true;
    problem_send(call->request, PROBLEM_BAD_REQUEST, "Last-Event-ID is \"%.*s\"; it must be the number of an event.",
                 (int)last.len, (const char *)last.data);
    return false;
}

void v1_events_get(const struct call *call) {
    struct event_filter filter;
    uint64_t after, polled = 0;
    if (!input_number(call, "poll", 0, 1, &polled) || !read_filter(call, &filter) || !read_after(call, &after))
        return;
    if (polled == 1)
        poll(call, &filter, after);
    else if (input_given(call, "timeout") || input_given(call, "limit") || input_given(call, "newest"))
        problem_send(call->request, PROBLEM_BAD_PARAMETER, "timeout, limit and newest go with poll=1 only.");
    else
        start_stream(call, &filter, after);
}
