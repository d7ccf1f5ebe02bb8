#include "server/expiry.h"

#include "server/contact.h"
#include "server/persist.h"

void expiry_now(struct server *server, struct registration *r) {
    timer_cancel(&server->wheel, &r->expiry);
    struct event event = {.type = EVENT_EXPIRED,
                          .endpoint = registration_endpoint(r),
                          .location = registration_location(r),
                          .address = r->link->peer,
                          .lifetime_s = r->lifetime_s};
    event_publish(server->events, &event);
    contact_ended(server, r, EVENT_EXPIRED);
    persist_deletion(server, r->id);
    directory_remove(server->directory, r);
}

static void on_expired(struct timer *timer, void *arg) {
    expiry_now(arg, TIMER_OWNER(timer, struct registration, expiry));
}

void expiry_resume(struct server *server, struct registration *r) {
    if (r->expires_at_ms == UINT64_MAX)
        timer_cancel(&server->wheel, &r->expiry);
    else
        timer_schedule(&server->wheel, &r->expiry, r->expires_at_ms + (uint64_t)server->config->grace_s * 1000,
                       on_expired);
}

void expiry_refresh(struct server *server, struct registration *r) {
    r->updated_at_ms = clock_now_ms(&server->clock);
    r->expires_at_ms = r->lifetime_s == 0 ? UINT64_MAX : r->updated_at_ms + (uint64_t)r->lifetime_s * 1000;
    expiry_resume(server, r);
}
