#include "server/contact.h"

#include "server/announced_observation.h"
#include "server/awake.h"
#include "server/bootstrap.h"
#include "server/connection.h"
#include "server/dealings.h"
#include "server/firmware_update.h"
#include "server/observation.h"
#include "server/operation.h"
#include "server/queue.h"
#include "server/trace.h"
#include "server/traffic.h"

void contact_registered(struct server *server, struct registration *r, bool replaced) {
    (void)replaced;
    if (server->trace != NULL)
        trace_follow(server->trace, registration_endpoint(r), r->link);
    bootstrap_endpoint_registered(server, registration_endpoint(r));
    observations_revive(r);
    awake_heard(server, r);
    queue_resume(server, r);
    firmware_updates_registered(server, r);
    server_settle_later(server);
}

void contact_heard(struct server *server, struct registration *r) {
    coap_calls_resume(server->coap, r->link);
    observations_revive(r);
    awake_heard(server, r);
    queue_resume(server, r);
    firmware_updates_heard(server, r);
}

void contact_any(struct server *server, struct registration *r) {
    awake_prolong(server, r);
}

void contact_silent(struct server *server, struct registration *r) {
    if (!r->queue_mode)
        return;
    awake_lost(server, r, "a request was not answered");
    coap_withdraw_calls(server->coap, r->link);
}

void contact_moved(struct server *server, struct registration *r, struct link *before) {
    traffic_carry(before, r->link);
    if (server->trace != NULL)
        trace_follow(server->trace, registration_endpoint(r), r->link);
    connection_superseded(server, r, before, r->link);
    observations_moved(r);
}

void contact_lost(struct server *server, struct registration *r) {
    (void)server;
    if (r->link->framing == LINK_STREAM_8323)
        observations_lost(r);
}

void contact_context_lost(struct server *server, struct registration *r) {
    (void)server;
    observations_lost(r);
}

void contact_displaced(struct server *server, struct registration *r) {
    (void)server;
    announced_observations_drop(r);
}

void contact_replaced(struct server *server, struct registration *old, struct registration *r) {
    traffic_carry(old->link, r->link);
    r->dealings = old->dealings;
    old->dealings = NULL;
    observations_hand_over(r);
    queue_hand_over(r);
    operation_end_all(server, old); /* all at once, lest the end of one lets the next go out */
    observations_replaced(r);
    connection_superseded(server, old, old->link, r->link);
}

void contact_ended(struct server *server, struct registration *r, enum event_type why) {
    operation_end_all(server, r);
    observations_ended(r, why);
    awake_forget(server, r);
    if (why == EVENT_TYPE_COUNT)
        queue_drop(server, r);
    else
        queue_end(server, r);
    dealings_settle(r);
}
