#include "common/coap/peer.h"

#include <stdlib.h>

#include "common/base/random.h"
#include "common/coap/stream.h"

struct coap_peer *peer_of(struct coap_endpoint *endpoint, struct link *link) {
    if (link->coap != NULL)
        return link->coap;
    struct coap_peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->endpoint = endpoint;
    peer->link = link_ref(link);
    peer->layer = message_layer_of(link);
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
        peer->transfers != NULL || peer->notifications != NULL || peer->reliable != NULL)
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

bool peer_is_reliable(const struct coap_peer *peer) {
    const struct link *base = peer->link->base;
    return base != NULL ? message_layer_of(base)->is_reliable : peer->layer->is_reliable;
}

size_t peer_message_max(const struct coap_peer *peer) {
    if (peer->link->is_protected) {
        const struct link *base = peer->link->base;
        bool known = base != NULL && base->coap != NULL;
        size_t max = known ? peer_message_max(base->coap) : COAP_MESSAGE_MAX;
        return max > COAP_PROTECTION_OVERHEAD ? max - COAP_PROTECTION_OVERHEAD : 0;
    }
    if (peer->reliable != NULL)
        return reliable_message_max(peer);
    /* That vendor's clients read once, into a buffer of this size, length and message. */
    return peer->link->framing == LINK_LENGTH_PREFIXED ? COAP_MESSAGE_MAX - 4 : COAP_MESSAGE_MAX;
}

size_t peer_rest_max(const struct coap_peer *peer, size_t token_len) {
    size_t max = peer_message_max(peer), head = 4 + token_len;
    if (peer->reliable != NULL)
        return coap_stream_rest_max(max, token_len);
    return max > head ? max - head : 0;
}

uint8_t peer_szx_max(const struct coap_peer *peer) {
    uint8_t szx = peer->endpoint->params.block_szx;
    return szx == COAP_SZX_MAX && peer->reliable != NULL && reliable_has_bert(peer) ? COAP_SZX_BERT : szx;
}

bool peer_takes_szx(const struct coap_peer *peer, uint8_t szx) {
    return szx <= COAP_SZX_MAX || (peer->reliable != NULL && reliable_has_bert(peer));
}

size_t peer_block_span(const struct coap_peer *peer, uint8_t szx, size_t head) {
    size_t size = coap_block_size(szx), max = peer_message_max(peer);
    size_t count = szx == COAP_SZX_BERT && max > head ? (max - head) / size : 1;
    return count == 0 ? size : count * size;
}

size_t peer_payload_max(const struct coap_peer *peer, size_t head) {
    size_t max = peer_message_max(peer);
    uint8_t szx = peer->endpoint->params.block_szx;
    return peer->reliable == NULL || szx < COAP_SZX_MAX ? coap_block_size(szx) : max > head ? max - head : 0;
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

bool peer_is_proven(const struct coap_peer *peer) {
    const struct link *link = peer->link;
    return link->verified || link->is_protected || link->listener == NULL || link->listener->transport != LINK_UDP ||
           address_is_loopback(&link->peer);
}

void peer_prove(struct coap_peer *peer) {
    peer->link->verified = true;
}

void peer_send(struct coap_peer *peer, struct slice datagram) {
    if (peer->link->closed)
        return;
    peer->said += datagram.len;
    peer->endpoint->counters.messages_out++;
    peer->endpoint->counters.bytes_out += datagram.len;
    if (peer->endpoint->divert != NULL)
        peer->endpoint->divert(peer->endpoint->divert_arg, peer->link, datagram);
    else
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
