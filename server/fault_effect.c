#include "server/fault_effect.h"

#include "common/net/dtls.h"
#include "common/net/stream.h"
#include "server/dealings.h"
#include "server/dtls_service.h"
#include "server/expiry.h"
#include "server/fault_wire.h"
#include "server/observation.h"
#include "server/persist.h"

static const char why_closed[] = "a fault that was ordered";

/* The open DTLS session that carries `link`, or NULL. */
static struct link *session_of(struct link *link) {
    struct dtls_description description;
    struct link *carrier = link->base != NULL ? link->base : link;
    return dtls_service_describe(carrier, &description) ? carrier : NULL;
}

static struct link *connection_of(struct link *link) {
    struct link *carrier = link->base != NULL ? link->base : link;
    return carrier->ops->close != NULL && !carrier->closed ? carrier : NULL;
}

/* False: it has none. */
static bool end_session(const struct fault_order *order, struct link *link) {
    struct link *session = session_of(link);
    if (session == NULL)
        return false;
    if (order->has_amount)
        dtls_drop_with_alert(session, (uint8_t)order->amount);
    else
        dtls_drop(session);
    return true;
}

static bool forget_cid(struct link *link) {
    struct link *session = session_of(link);
    return session != NULL && dtls_forget_cid(session);
}

static bool say_goodbye(struct link *link) {
    struct link *session = session_of(link), *connection = connection_of(link);
    if (session != NULL)
        dtls_hang_up(session);
    else if (connection != NULL && connection->listener->transport == LINK_TLS)
        link_close(connection, why_closed);
    else
        return false;
    return true;
}

static bool close_connection(enum fault_what what, struct link *link) {
    struct link *connection = connection_of(link);
    if (connection == NULL)
        return false;
    if (what == FAULT_CLOSE_RST)
        stream_reset(connection, why_closed);
    else
        stream_cut(connection, why_closed);
    return true;
}

/* Those that are being asked for go on: somebody waits for their first answer. */
static void forget_observations(struct registration *r) {
    struct observation *next;
    for (struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations; o != NULL; o = next) {
        next = o->next;
        if (o->state != OBSERVATION_STARTING)
            observation_forget(o, why_closed);
    }
}

/* False: there is nothing that it could be done to. `r` may be gone afterwards. */
static bool act(struct server *server, const struct fault_order *order, struct link *link, struct registration *r) {
    switch (order->what) {
    case FAULT_FORGET_SESSION:
        return end_session(order, link);
    case FAULT_FORGET_CID:
        return forget_cid(link);
    case FAULT_CLOSE_NOTIFY:
        return say_goodbye(link);
    case FAULT_CLOSE_FIN:
    case FAULT_CLOSE_RST:
        return close_connection(order->what, link);
    case FAULT_FORGET_REGISTRATION:
        if (r == NULL)
            return false;
        persist_deletion(server, r->id);
        server_drop(server, r, EVENT_DEREGISTERED);
        return true;
    case FAULT_EXPIRE:
        if (r == NULL)
            return false;
        expiry_now(server, r);
        return true;
    case FAULT_FORGET_OBSERVATIONS:
        if (r == NULL)
            return false;
        forget_observations(r);
        return true;
    default:
        return false;
    }
}

static bool act_on_registration(struct server *server, struct fault *fault, struct registration *r) {
    uint8_t name[256];
    struct buffer endpoint = buffer_over(name, sizeof name);
    struct link *link = link_ref(r->link);
    buffer_put_slice(&endpoint, registration_endpoint(r));
    fault->seen++;
    bool acted = act(server, &fault->order, link, r);
    if (acted) {
        fault->fired++;
        fault_tell(server, fault, buffer_slice(&endpoint), &link->peer, 0, false);
    }
    link_unref(link);
    return acted;
}

enum fault_refusal fault_effect_at_once(struct server *server, struct fault *fault) {
    if (fault->order.endpoint.data != NULL) {
        struct registration *r = directory_find(server->directory, fault->order.endpoint);
        if (r == NULL)
            return FAULT_NOT_REGISTERED;
        return act_on_registration(server, fault, r) ? FAULT_ORDERED : FAULT_NOT_SO;
    }
    uint32_t slot = 0;
    struct registration *r;
    while ((r = directory_next(server->directory, &slot)) != NULL)
        act_on_registration(server, fault, r);
    return FAULT_ORDERED;
}

bool fault_effect_on_message(struct server *server, const struct fault *fault, struct link *link,
                             struct slice endpoint) {
    struct registration *r = directory_find(server->directory, endpoint);
    act(server, &fault->order, link, r);
    const uint32_t losing = FAULT_BIT(FAULT_FORGET_SESSION) | FAULT_BIT(FAULT_CLOSE_FIN) | FAULT_BIT(FAULT_CLOSE_RST) |
                            FAULT_BIT(FAULT_CLOSE_NOTIFY);
    return (FAULT_BIT(fault->order.what) & losing) == 0;
}

void fault_effect_half_open(struct server *server, const struct fault *fault) {
    uint32_t slot = 0;
    struct registration *r;
    if (fault->order.endpoint.data != NULL) {
        r = directory_find(server->directory, fault->order.endpoint);
        if (r != NULL)
            fault_wire_stall(server, fault->id, r->link);
        return;
    }
    while ((r = directory_next(server->directory, &slot)) != NULL)
        fault_wire_stall(server, fault->id, r->link);
}
