#include "server/contact.h"

#include "server/dealings.h"
#include "server/observation.h"
#include "server/operation.h"

void contact_registered(struct server *server, struct registration *r, bool replaced) {
    (void)server;
    (void)replaced;
    observations_revive(r);
}

void contact_heard(struct server *server, struct registration *r) {
    (void)server;
    observations_revive(r);
}

void contact_any(struct server *server, struct registration *r) {
    (void)server;
    (void)r;
}

void contact_moved(struct server *server, struct registration *r, struct link *before) {
    (void)server;
    (void)before;
    observations_moved(r);
}

void contact_replaced(struct server *server, struct registration *old, struct registration *r) {
    r->dealings = old->dealings;
    old->dealings = NULL;
    observations_replaced(r);
    operation_end_all(server, old);
}

void contact_ended(struct server *server, struct registration *r, enum event_type why) {
    operation_end_all(server, r);
    observations_ended(r, why);
    dealings_settle(r);
}
