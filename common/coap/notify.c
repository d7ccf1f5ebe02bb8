/* Notifications: responses outside of an exchange (RFC 7641 §4). A CON is a transmission as any other; of a NON its
 * Message ID is remembered, since a Reset to it cancels the observation. */
#include <stdlib.h>

#include "common/coap/peer.h"

enum { REMEMBERED_MAX = 64 }; /* for one peer */

struct notification {
    struct timer timer; /* of a NON: when it is forgotten */
    struct notification *next;
    struct coap_peer *peer;
    struct transmission *transmission; /* of a CON */
    coap_notify_fn *done;
    void *arg;
    uint16_t mid;
};

static void detach(struct notification *notification) {
    struct coap_peer *peer = notification->peer;
    struct notification **at = &peer->notifications;
    while (*at != notification)
        at = &(*at)->next;
    *at = notification->next;
    peer->notification_count--;
    timer_cancel(peer->endpoint->wheel, &notification->timer);
}

static void forget(struct notification *notification) {
    struct coap_peer *peer = notification->peer;
    detach(notification);
    struct coap_peer *carrier = notification->transmission == NULL ? peer : notification->transmission->peer;
    if (notification->transmission != NULL)
        transmission_cancel(notification->transmission);
    if (carrier != peer)
        peer_settle(carrier);
    free(notification);
}

static void finish(struct notification *notification, enum coap_notify_result result) {
    coap_notify_fn *done = notification->done;
    void *arg = notification->arg;
    forget(notification);
    done(arg, result);
}

static void on_lifetime_over(struct timer *timer, void *arg) {
    (void)arg;
    struct notification *notification = TIMER_OWNER(timer, struct notification, timer);
    struct coap_peer *peer = notification->peer;
    forget(notification);
    peer_settle(peer);
}

static void on_transmission_end(void *owner, enum transmission_end end) {
    struct notification *notification = owner;
    notification->transmission = NULL;
    switch (end) {
    case TRANSMISSION_ACKNOWLEDGED:
        finish(notification, COAP_NOTIFY_ACKNOWLEDGED);
        return;
    case TRANSMISSION_RESET:
        finish(notification, COAP_NOTIFY_RESET);
        return;
    case TRANSMISSION_TIMED_OUT:
    case TRANSMISSION_CLOSED:
        finish(notification, COAP_NOTIFY_NO_ACK);
        return;
    }
}

/* The oldest NON goes when there are too many; a CON is still wanted. */
static void make_room(struct coap_peer *peer) {
    struct notification *oldest = NULL;
    for (struct notification *n = peer->notifications; n != NULL; n = n->next) {
        if (n->transmission == NULL)
            oldest = n;
    }
    if (peer->notification_count >= REMEMBERED_MAX && oldest != NULL)
        forget(oldest);
}

/* What was sent over a connection arrives, or the connection ends. */
static void on_delivered(struct timer *timer, void *arg) {
    (void)arg;
    struct notification *notification = TIMER_OWNER(timer, struct notification, timer);
    struct coap_peer *peer = notification->peer;
    peer->busy++;
    finish(notification, COAP_NOTIFY_ACKNOWLEDGED);
    peer->busy--;
    peer_settle(peer);
}

static bool transmit(struct coap_peer *peer, struct notification *notification, struct coap_message *message,
                     const struct coap_message *request) {
    struct coap_endpoint *endpoint = peer->endpoint;
    uint64_t now_ms = clock_now_ms(endpoint->clock);
    struct block_scratch scratch;
    bool confirmable = message->type == COAP_CON;
    if (!transfer_begin(peer, request, message, &scratch) ||
        coap_rest_size(message) > peer_rest_max(peer, message->token.len))
        return false;
    const struct coap_option *protected_by = coap_option_find(request, COAP_OSCORE);
    if (protected_by != NULL && !protected_bind(peer, protected_by->value))
        return false;
    notification->transmission = peer->layer->send(peer, message, on_transmission_end, notification);
    notification->mid = message->mid;
    if (peer_is_reliable(peer))
        timer_schedule(endpoint->wheel, &notification->timer, now_ms, confirmable ? on_delivered : on_lifetime_over);
    else if (!confirmable)
        timer_schedule(endpoint->wheel, &notification->timer, now_ms + coap_non_lifetime_ms(&endpoint->params),
                       on_lifetime_over);
    return peer_is_reliable(peer) || !confirmable || notification->transmission != NULL;
}

bool coap_notify(struct coap_endpoint *endpoint, struct link *link, const struct coap_message *message,
                 const struct coap_message *request, enum coap_type type, coap_notify_fn *done, void *arg) {
    struct coap_message part = *message;
    struct coap_peer *peer = link->closed ? NULL : peer_of(endpoint, link);
    if (peer == NULL)
        return false;
    make_room(peer);
    struct notification *notification = calloc(1, sizeof *notification);
    if (notification == NULL) {
        peer_settle(peer);
        return false;
    }
    *notification = (struct notification){.next = peer->notifications, .peer = peer, .done = done, .arg = arg};
    peer->notifications = notification;
    peer->notification_count++;
    part.type = type;
    part.mid = 0;
    if (transmit(peer, notification, &part, request))
        return true;
    forget(notification);
    peer_settle(peer);
    return false;
}

void coap_notify_forget(struct coap_endpoint *endpoint, struct link *link, const void *arg) {
    (void)endpoint;
    struct coap_peer *peer = link->coap;
    if (peer == NULL)
        return;
    for (struct notification *next, *n = peer->notifications; n != NULL; n = next) {
        next = n->next;
        if (n->arg == arg)
            forget(n);
    }
    peer_settle(peer);
}

void notify_take_reset(struct coap_peer *peer, uint16_t mid) {
    for (struct notification *n = peer->notifications; n != NULL; n = n->next) {
        if (n->mid == mid && n->transmission == NULL) {
            finish(n, COAP_NOTIFY_RESET);
            return;
        }
    }
    for (struct link *carried = peer->link->carried; carried != NULL; carried = carried->next_carried) {
        if (carried->coap != NULL)
            notify_take_reset(carried->coap, mid);
    }
}

void notify_lose_link(struct coap_peer *peer) {
    while (peer->notifications != NULL) {
        struct notification *n = peer->notifications;
        if (n->transmission != NULL || n->timer.fn == on_delivered)
            finish(n, COAP_NOTIFY_NO_ACK);
        else
            forget(n);
    }
}

void notify_forget_all(struct coap_peer *peer) {
    while (peer->notifications != NULL)
        forget(peer->notifications);
}
