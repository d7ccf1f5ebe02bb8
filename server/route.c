#include "server/route.h"

#include "common/coap/option.h"
#include "server/bootstrap.h"
#include "server/fault_wire.h"
#include "server/firmware_serve.h"
#include "server/refusal.h"
#include "server/register.h"
#include "server/send.h"
#include "server/well_known.h"

enum { SEGMENTS_MAX = 8, LOCATION_MAX = 256 };

struct request_path {
    struct slice segments[SEGMENTS_MAX];
    size_t count;
    bool too_long;
    bool slash_at_end; /* an empty segment at the end, which RFC 7252 §6.4 takes for another resource */
};

static struct request_path read_path(const struct coap_message *message) {
    struct request_path path = {.count = 0};
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number != COAP_URI_PATH)
            continue;
        if (path.count == SEGMENTS_MAX) {
            path.too_long = true;
            break;
        }
        path.segments[path.count++] = message->options[i].value;
    }
    if (path.count > 1 && path.segments[path.count - 1].len == 0) {
        path.count--;
        path.slash_at_end = true;
    }
    return path;
}

/* A listening URI may have a path, which devices that are given it put before /rd. */
static void drop_prefix(struct request_path *path, const char *prefix) {
    size_t matched = 0;
    struct slice rest = slice_str(prefix);
    while (rest.len > 0) {
        const uint8_t *slash = memchr(rest.data, '/', rest.len);
        size_t len = slash == NULL ? rest.len : (size_t)(slash - rest.data);
        if (matched == path->count || !slice_equal(path->segments[matched], slice_of(rest.data, len)))
            return;
        matched++;
        rest = slice_from(rest, len + 1);
    }
    path->count -= matched;
    memmove(path->segments, path->segments + matched, path->count * sizeof path->segments[0]);
}

static void refuse(struct server *server, const struct coap_request *request, uint8_t code, const char *why) {
    refuse_request(server, request, SLICE_NONE, code, why);
}

static void route_location(struct server *server, const struct coap_request *request, const struct request_path *path) {
    uint8_t text[LOCATION_MAX * 2];
    struct buffer location = buffer_over(text, sizeof text);
    for (size_t i = 1; i < path->count; i++) {
        if (i > 1)
            buffer_put_u8(&location, '/');
        buffer_put_slice(&location, path->segments[i]);
    }
    if (location.overflow)
        location.len = 0;
    switch (request->message->code) {
    case COAP_PUT: /* early drafts of the standard, and articles that quote them, update with PUT */
        if (request->link->listener->strict) {
            refuse(server, request, COAP_4_05_METHOD_NOT_ALLOWED, "an Update is a POST");
            return;
        }
        tell_oddity(server, request, SLICE_NONE, "an Update came as PUT");
        register_update(server, request, buffer_slice(&location));
        return;
    case COAP_POST:
        register_update(server, request, buffer_slice(&location));
        return;
    case COAP_DELETE:
        register_deregister(server, request, buffer_slice(&location));
        return;
    default:
        refuse(server, request, COAP_4_05_METHOD_NOT_ALLOWED, "that method is not for this path");
    }
}

/* Whether a listener's role has what is at the path that begins so. */
static bool serves(const struct listener *listener, struct slice first) {
    bool bootstrap = slice_is(first, "bs") || slice_is(first, "bspack");
    return listener->role == LISTENER_EVERYTHING || bootstrap == (listener->role == LISTENER_BOOTSTRAP);
}

void route_request(struct server *server, const struct coap_request *request) {
    if (!cluster_may_serve(server->cluster)) {
        refuse(server, request, COAP_5_03_SERVICE_UNAVAILABLE, "another server may have taken over from this one");
        return;
    }
    if (server->provoked && fault_wire_answer(server, request))
        return;
    struct request_path path = read_path(request->message);
    bool strict = request->link->listener->strict;
    if (path.slash_at_end && strict) {
        refuse(server, request, COAP_4_04_NOT_FOUND, "a path ends in an empty segment");
        return;
    }
    if (path.slash_at_end)
        tell_oddity(server, request, SLICE_NONE, "a path ends in an empty segment");
    drop_prefix(&path, request->link->listener->prefix);
    bool to_group = address_is_multicast(&request->link->local);
    bool well_known =
        path.count == 2 && slice_is(path.segments[0], ".well-known") && slice_is(path.segments[1], "core");
    if (to_group && !well_known) { /* RFC 7252 §8.2: nobody wants a thousand errors */
        coap_respond_nothing(server->coap, request->exchange);
        return;
    }
    if (!well_known && path.count > 0 && !serves(request->link->listener, path.segments[0])) {
        refuse(server, request, COAP_4_04_NOT_FOUND, "this listener is for another service");
        return;
    }
    if (coap_option_find(request->message, COAP_PROXY_URI) != NULL) {
        firmware_serve_url(server, request);
    } else if (well_known) {
        well_known_respond(server->coap, request, server->config->bootstrap != BOOTSTRAP_OFF);
    } else if (path.too_long || path.count == 0) {
        refuse(server, request, COAP_4_04_NOT_FOUND, "nothing is at this path");
    } else if (slice_is(path.segments[0], "rd") && path.count > 1) {
        route_location(server, request, &path);
    } else if (slice_is(path.segments[0], "rd")) {
        if (request->message->code == COAP_POST)
            register_request(server, request);
        else
            refuse(server, request, COAP_4_05_METHOD_NOT_ALLOWED, "that method is not for this path");
    } else if (path.count == 1 && slice_is(path.segments[0], "dp")) {
        if (request->message->code == COAP_POST)
            send_request(server, request);
        else
            refuse(server, request, COAP_4_05_METHOD_NOT_ALLOWED, "that method is not for this path");
    } else if (path.count == 2 && slice_is(path.segments[0], "fw")) {
        firmware_serve(server, request, path.segments[1]);
    } else if (path.count == 1 && slice_is(path.segments[0], "bs")) {
        bootstrap_take_request(server, request);
    } else if (path.count == 1 && slice_is(path.segments[0], "bspack")) {
        bootstrap_take_pack_request(server, request);
    } else {
        refuse(server, request, COAP_4_04_NOT_FOUND, "nothing is at this path");
    }
}
