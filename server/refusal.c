#include "server/refusal.h"

#include <stdio.h>

enum { DIAGNOSTIC_MAX = 64 };

void refuse_request(struct server *server, const struct coap_request *request, struct slice endpoint, uint8_t code,
                    const char *why) {
    char diagnostic[DIAGNOSTIC_MAX + 1];
    snprintf(diagnostic, sizeof diagnostic, "%s", why); /* short on the wire, whole in the event */
    struct event event = {.type = EVENT_REJECTED,
                          .endpoint = endpoint,
                          .detail = slice_str(why),
                          .address = request->link->peer,
                          .coap_code = code};
    event_publish(server->events, &event);
    if (code == COAP_5_03_SERVICE_UNAVAILABLE)
        coap_respond_unavailable(server->coap, request->exchange, REFUSAL_RETRY_AFTER_S, diagnostic);
    else
        coap_respond_code(server->coap, request->exchange, code, diagnostic);
}

void tell_oddity(struct server *server, const struct coap_request *request, struct slice endpoint, const char *what) {
    if (what == NULL)
        return;
    struct event event = {
        .type = EVENT_ODDITY, .endpoint = endpoint, .detail = slice_str(what), .address = request->link->peer};
    event_publish(server->events, &event);
}
