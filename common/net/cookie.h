/* The cookies of HelloVerifyRequests (RFC 6347 §4.2.1): 8 bytes that only a client that receives at its address can send
 * back. A MAC over what the client repeats and where it comes from; nothing is kept for it. The secret changes every
 * minute, and cookies of the minute before are taken too. */
#ifndef BERTH_NET_COOKIE_H
#define BERTH_NET_COOKIE_H

#include "common/base/hash.h"
#include "common/net/address.h"
#include "common/net/hello.h"

enum { COOKIE_PERIOD_MS = 60000 };

struct cookie_jar {
    uint64_t period; /* number of the minute that `current` is for */
    struct hash_key current, previous;
};

void cookie_jar_init(struct cookie_jar *jar, uint64_t now_ms);

/* The cookie for a hello that came from `peer` to listener number `listener`. */
void cookie_make(struct cookie_jar *jar, uint64_t now_ms, uint32_t listener, const struct address *peer,
                 const struct client_hello *hello, uint8_t cookie[HELLO_COOKIE_LEN]);

/* Whether the hello's cookie is one of ours, at most two minutes old, for the same hello and peer. */
bool cookie_check(struct cookie_jar *jar, uint64_t now_ms, uint32_t listener, const struct address *peer,
                  const struct client_hello *hello);

#endif
