/* Sealing of what is secret in the database and in files: AES-256-GCM under the key of the key file (key_file.h). What is
 * sealed for one context opens in that one only, so that a row cannot be put in another's place.
 *
 * The nonce is drawn at random, 96 bits: NIST SP 800-38D §8.3 allows 2^32 sealings under one key. What changes often is
 * therefore not sealed anew; see docs/security.md. */
#ifndef BERTH_SERVER_SEAL_H
#define BERTH_SERVER_SEAL_H

#include "common/base/buffer.h"

enum { SEAL_KEY_BYTES = 32, SEAL_NONCE_BYTES = 12, SEAL_TAG_BYTES = 16 };
/* How much longer a sealed text is. */
enum { SEAL_OVERHEAD = SEAL_NONCE_BYTES + SEAL_TAG_BYTES };

struct seal;

/* The key is copied. NULL when out of memory. */
struct seal *seal_new(const uint8_t key[SEAL_KEY_BYTES]);
/* Zeroes it. NULL is allowed. */
void seal_free(struct seal *seal);

/* A key of its own for `purpose`, the same one whenever the key of the key file is: HMAC-SHA-256 of the purpose. */
bool seal_derive(const struct seal *seal, struct slice purpose, uint8_t key[SEAL_KEY_BYTES]);

/* Append nonce, ciphertext and tag of `plain` to `out`. False when it does not fit; `out` is as it was. */
bool seal_close(struct seal *seal, struct slice context, struct slice plain, struct buffer *out);

/* Append the plain text to `out`. False when it was not sealed with this key for this context, was changed since, or
 * does not fit; `out` is as it was, and holds nothing of it. */
bool seal_open(struct seal *seal, struct slice context, struct slice sealed, struct buffer *out);

#endif
