#include "server/contact.h"

#include "server/operation.h"

void contact_registered(struct server *server, struct registration *r, bool replaced) {
    (void)server;
    (void)r;
    (void)replaced;
}

void contact_heard(struct server *server, struct registration *r) {
    (void)server;
    (void)r;
}

void contact_any(struct server *server, struct registration *r) {
    (void)server;
    (void)r;
}

void contact_moved(struct server *server, struct registration *r, struct link *before) {
    (void)server;
    (void)r;
    (void)before;
}

void contact_replaced(struct server *server, struct registration *old, struct registration *r) {
    r->dealings = old->dealings;
    old->dealings = NULL;
    operation_end_all(server, old);
}

void contact_ended(struct server *server, struct registration *r, enum event_type why) {
    (void)why;
    operation_end_all(server, r);
}
