#include "common/coap/peer.h"

/* The value is a MAC over the peer's address and a stretch of time, so the server keeps nothing (RFC 9175 App. A). It
 * is good for the stretch in which it was made and the one after it. */
enum { STRETCH_MS = 128000 };

static void make(const struct coap_endpoint *endpoint, const struct link *link, uint64_t stretch,
                 uint8_t out[ECHO_LEN]) {
    struct {
        struct address peer;
        uint64_t stretch;
    } what = {link->peer, stretch};
    uint64_t mac = hash_siphash(&endpoint->key, &what, sizeof what);
    memcpy(out, &mac, ECHO_LEN);
}

static unsigned difference(const uint8_t *a, const uint8_t *b) {
    unsigned bits = 0;
    for (size_t i = 0; i < ECHO_LEN; i++)
        bits |= (unsigned)(a[i] ^ b[i]);
    return bits;
}

void echo_make(const struct coap_endpoint *endpoint, const struct link *link, uint64_t now_ms, uint8_t out[ECHO_LEN]) {
    make(endpoint, link, now_ms / STRETCH_MS, out);
}

bool echo_check(const struct coap_endpoint *endpoint, const struct link *link, uint64_t now_ms, struct slice value) {
    if (value.len != ECHO_LEN)
        return false;
    uint8_t now[ECHO_LEN], before[ECHO_LEN];
    make(endpoint, link, now_ms / STRETCH_MS, now);
    make(endpoint, link, now_ms / STRETCH_MS - 1, before);
    unsigned from_now = difference(value.data, now), from_before = difference(value.data, before);
    return from_now == 0 || from_before == 0;
}
