#include "common/net/cookie.h"

#include <mbedtls/constant_time.h>

void cookie_jar_init(struct cookie_jar *jar, uint64_t now_ms) {
    jar->period = now_ms / COOKIE_PERIOD_MS;
    jar->current = hash_key_random();
    jar->previous = hash_key_random();
}

static void rotate(struct cookie_jar *jar, uint64_t now_ms) {
    uint64_t period = now_ms / COOKIE_PERIOD_MS;
    if (period == jar->period)
        return;
    jar->previous = period == jar->period + 1 ? jar->current : hash_key_random();
    jar->current = hash_key_random();
    jar->period = period;
}

static void mac(const struct hash_key *key, uint32_t listener, const struct address *peer,
                const struct client_hello *hello, uint8_t out[HELLO_COOKIE_LEN]) {
    uint8_t bytes[sizeof *peer + 4 + 2 + 32 + 1 + 32];
    struct buffer input = buffer_over(bytes, sizeof bytes);
    buffer_put(&input, peer, sizeof *peer);
    buffer_put_u32(&input, listener);
    buffer_put_u16(&input, hello->version);
    buffer_put_slice(&input, hello->random);
    buffer_put_u8(&input, (uint8_t)hello->session_id.len);
    buffer_put_slice(&input, hello->session_id);
    uint64_t value = hash_slice(key, buffer_slice(&input));
    memcpy(out, &value, HELLO_COOKIE_LEN);
}

void cookie_make(struct cookie_jar *jar, uint64_t now_ms, uint32_t listener, const struct address *peer,
                 const struct client_hello *hello, uint8_t cookie[HELLO_COOKIE_LEN]) {
    rotate(jar, now_ms);
    mac(&jar->current, listener, peer, hello, cookie);
}

static bool matches(const struct hash_key *key, uint32_t listener, const struct address *peer,
                    const struct client_hello *hello) {
    uint8_t expected[HELLO_COOKIE_LEN];
    mac(key, listener, peer, hello, expected);
    return mbedtls_ct_memcmp(expected, hello->cookie.data, HELLO_COOKIE_LEN) == 0;
}

bool cookie_check(struct cookie_jar *jar, uint64_t now_ms, uint32_t listener, const struct address *peer,
                  const struct client_hello *hello) {
    rotate(jar, now_ms);
    return hello->cookie.len == HELLO_COOKIE_LEN &&
           (matches(&jar->current, listener, peer, hello) || matches(&jar->previous, listener, peer, hello));
}
