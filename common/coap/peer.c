#include "common/coap/peer.h"

#include <stdlib.h>

#include "common/base/random.h"

struct coap_peer *peer_of(struct coap_endpoint *endpoint, struct link *link) {
    if (link->coap != NULL)
        return link->coap;
    struct coap_peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->endpoint = endpoint;
    peer->link = link_ref(link);
    peer->next = endpoint->peers;
    peer->self = &endpoint->peers;
    if (peer->next != NULL)
        peer->next->self = &peer->next;
    endpoint->peers = peer;
    link->coap = peer;
    return peer;
}

void peer_settle(struct coap_peer *peer) {
    if (peer->busy > 0 || peer->newest != NULL || peer->transmissions != NULL || peer->calls != NULL ||
        peer->transfers != NULL || peer->notifications != NULL)
        return;
    *peer->self = peer->next;
    if (peer->next != NULL)
        peer->next->self = peer->self;
    struct link *link = peer->link;
    link->coap = NULL;
    free(peer->echo);
    free(peer);
    link_unref(link);
}

static void draw_starts(struct link *link) {
    if (link->mid_drawn)
        return;
    uint64_t bits = random_u64();
    link->next_mid = (uint16_t)bits;
    link->next_token = (uint8_t)(bits >> 16);
    link->mid_drawn = true;
}

uint16_t peer_next_mid(struct coap_peer *peer) {
    draw_starts(peer->link);
    return peer->link->next_mid++;
}

uint8_t peer_next_token(struct coap_peer *peer) {
    draw_starts(peer->link);
    return peer->link->next_token++;
}

void peer_send(struct coap_peer *peer, struct slice datagram) {
    peer->endpoint->counters.messages_out++;
    peer->endpoint->counters.bytes_out += datagram.len;
    link_send(peer->link, datagram);
}

void peer_send_empty(struct coap_peer *peer, enum coap_type type, uint16_t mid) {
    uint8_t bytes[4] = {(uint8_t)(1 << 6 | (unsigned)type << 4), COAP_EMPTY, (uint8_t)(mid >> 8), (uint8_t)mid};
    if (type == COAP_RST)
        peer->endpoint->counters.resets_out++;
    peer_send(peer, slice_of(bytes, sizeof bytes));
}

void peer_oddity(struct coap_peer *peer, bool rejected, const char *what) {
    struct coap_endpoint *endpoint = peer->endpoint;
    if (endpoint->handlers.oddity != NULL)
        endpoint->handlers.oddity(endpoint->arg, peer->link, rejected, what);
}
