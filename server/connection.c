#include "server/connection.h"
#include "server/bootstrap.h"

#include "server/contact.h"
#include "server/dtls_service.h"
#include "server/persist.h"
#include "server/trace.h"

static void publish(struct server *server, enum event_type type, const struct link *link, const char *detail) {
    const struct registration *r = server_owner_of(server, link);
    struct event event = {.type = type,
                          .endpoint = r == NULL ? SLICE_NONE : registration_endpoint(r),
                          .location = r == NULL ? SLICE_NONE : registration_location(r),
                          .address = link->peer,
                          .lifetime_s = r == NULL ? 0 : r->lifetime_s,
                          .detail = detail == NULL ? SLICE_NONE : slice_str(detail)};
    event_publish(server->events, &event);
    persist_event_numbers(server);
}

static void on_opened(void *arg, struct link *link) {
    struct server *server = arg;
    clock_update(&server->clock);
    dtls_service_tell_tls(server, link);
    publish(server, EVENT_CONNECTION_OPENED, link, NULL);
}

static void on_received(void *arg, struct link *link, struct slice message) {
    struct server *server = arg;
    clock_update(&server->clock);
    server_receive(server, link, message);
}

static void on_wire(void *arg, struct link *link, bool sent, uint32_t offset, const struct slice *parts, size_t count) {
    struct server *server = arg;
    clock_update(&server->clock);
    if (server->trace != NULL) /* at the end of the server there is none any more */
        trace_stream(server->trace, link, sent, offset, parts, count);
}

static void on_broken(void *arg, struct link *link, const char *why) {
    struct server *server = arg;
    coap_link_broken(server->coap, link, why);
}

static void on_closed(void *arg, struct link *link, const char *why) {
    struct server *server = arg;
    clock_update(&server->clock);
    publish(server, EVENT_CONNECTION_CLOSED, link, why);
    struct registration *r = server_owner_of(server, link);
    bootstrap_link_ended(server, link);
    coap_link_closed(server->coap, link);
    if (r != NULL)
        contact_lost(server, r);
    for (const struct link *carried = link->carried; carried != NULL; carried = carried->next_carried) {
        r = server_owner_of(server, carried);
        if (r != NULL)
            contact_lost(server, r);
    }
}

/* A connection stays while its device is registered, however silent: intervals of keepalives differ, and a device that
 * sends none may be asked something; and while it is bootstrapped. */
static bool is_used(void *arg, const struct link *link) {
    bool used = server_owner_of(arg, link) != NULL || bootstrap_uses_link(arg, link);
    for (const struct link *carried = link->carried; carried != NULL && !used; carried = carried->next_carried)
        used = server_owner_of(arg, carried) != NULL || bootstrap_uses_link(arg, carried);
    return used;
}

static void on_refused(void *arg, struct listener *listener) {
    struct server *server = arg;
    struct event event = {.type = EVENT_REJECTED,
                          .detail = slice_str("there are as many connections as may be (--tcp-max-connections)"),
                          .address = listener->address};
    event_publish(server->events, &event);
}

void connections_start(struct server *server) {
    const struct config *config = server->config;
    const struct stream_options options = {.max_connections = config->tcp_max_connections,
                                           .max_message = config->coap.max_message_size,
                                           .max_partial_bytes = config->coap.max_transfer_bytes,
                                           .idle_ms = config->tcp_idle_ms};
    const struct stream_handlers handlers = {.opened = on_opened,
                                             .received = on_received,
                                             .broken = on_broken,
                                             .closed = on_closed,
                                             .oddity = server_tell_oddity,
                                             .wire = server->trace != NULL ? on_wire : NULL,
                                             .is_used = is_used,
                                             .refused = on_refused};
    server->streams = streams_new(server->loop, &options, &handlers, server, &server->clock, &server->wheel);
}

void connection_superseded(struct server *server, const struct registration *was, struct link *before,
                           struct link *now) {
    if (before == now || before->ops->close == NULL)
        return;
    coap_calls_move(server->coap, before, now);
    if (!before->closed && before->owner == was->slot + 1)
        link_close(before, "the device has come over another connection");
}
