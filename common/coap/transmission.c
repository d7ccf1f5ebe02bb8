#include <stdlib.h>

#include "common/base/random.h"
#include "common/coap/peer.h"

static void unlink_transmission(struct transmission *transmission) {
    struct transmission **at = &transmission->peer->transmissions;
    while (*at != transmission)
        at = &(*at)->next;
    *at = transmission->next;
}

static void end(struct transmission *transmission, enum transmission_end how) {
    struct coap_peer *peer = transmission->peer;
    transmission_fn *done = transmission->done;
    void *owner = transmission->owner;
    peer->busy++;
    transmission_cancel(transmission);
    if (done != NULL)
        done(owner, how);
    peer->busy--;
    peer_settle(peer);
}

static void on_timer(struct timer *timer, void *arg) {
    (void)arg;
    struct transmission *transmission = TIMER_OWNER(timer, struct transmission, timer);
    struct coap_endpoint *endpoint = transmission->peer->endpoint;
    if (transmission->retransmissions == endpoint->params.max_retransmit) {
        endpoint->counters.timeouts++;
        end(transmission, TRANSMISSION_TIMED_OUT);
        return;
    }
    transmission->retransmissions++;
    transmission->timeout_ms *= 2;
    endpoint->counters.retransmissions++;
    timer_schedule(endpoint->wheel, timer, timer->due_ms + transmission->timeout_ms, on_timer);
    struct coap_peer *peer = transmission->peer;
    enum { EMPTY_LEN = 4 }; /* an acknowledgement may still follow */
    /* Who has said nothing yet has not caused it. */
    if (peer_is_proven(peer) || peer->heard == 0 ||
        peer->said + transmission->len + EMPTY_LEN <= PEER_AMPLIFICATION * peer->heard)
        peer_send(peer, slice_of(transmission->bytes, transmission->len));
}

struct transmission *transmission_start(struct coap_peer *peer, uint16_t mid, struct slice datagram,
                                        transmission_fn *done, void *owner) {
    struct coap_endpoint *endpoint = peer->endpoint;
    struct transmission *transmission = malloc(sizeof *transmission + datagram.len);
    if (transmission != NULL) {
        *transmission =
            (struct transmission){.next = peer->transmissions, .peer = peer, .done = done, .owner = owner, .mid = mid};
        transmission->len = (uint16_t)datagram.len;
        memcpy(transmission->bytes, datagram.data, datagram.len);
        peer->transmissions = transmission;
        /* §4.2: a random start between ACK_TIMEOUT and ACK_TIMEOUT * ACK_RANDOM_FACTOR. */
        double spread = endpoint->params.ack_timeout_ms * (endpoint->params.ack_random_factor - 1.0);
        transmission->timeout_ms =
            endpoint->params.ack_timeout_ms + (spread < 1.0 ? 0 : (uint32_t)random_below((uint64_t)spread + 1));
        timer_schedule(endpoint->wheel, &transmission->timer, clock_now_ms(endpoint->clock) + transmission->timeout_ms,
                       on_timer);
    }
    peer_send(peer, datagram);
    return transmission;
}

void transmission_cancel(struct transmission *transmission) {
    timer_cancel(transmission->peer->endpoint->wheel, &transmission->timer);
    unlink_transmission(transmission);
    free(transmission);
}

struct transmission *transmission_find(struct coap_peer *peer, uint16_t mid) {
    for (struct transmission *t = peer->transmissions; t != NULL; t = t->next) {
        if (t->mid == mid)
            return t;
    }
    return NULL;
}

bool transmission_answered(struct coap_peer *peer, uint16_t mid, enum transmission_end how) {
    struct transmission *transmission = transmission_find(peer, mid);
    if (transmission == NULL)
        return false;
    end(transmission, how);
    return true;
}
