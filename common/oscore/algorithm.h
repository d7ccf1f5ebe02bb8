/* The algorithms of an OSCORE security context (RFC 8613 §3.2, §11.1): AEADs with AES in CCM and GCM mode by COSE's
 * numbers (RFC 9053 §4), and HKDF (RFC 5869) over SHA-256 or SHA-512. */
#ifndef BERTH_OSCORE_ALGORITHM_H
#define BERTH_OSCORE_ALGORITHM_H

#include "common/base/buffer.h"

enum {
    OSCORE_KEY_MAX = 32,
    OSCORE_NONCE_MAX = 13,
    OSCORE_TAG_MAX = 16,
    OSCORE_ID_MAX = OSCORE_NONCE_MAX - 6, /* §3.3: of a Sender or Recipient ID, with the longest nonce */
};

enum oscore_hkdf { OSCORE_HKDF_SHA_256, OSCORE_HKDF_SHA_512 };

struct oscore_aead {
    const char *name; /* as COSE has it */
    uint8_t number;   /* likewise */
    uint8_t key_len, nonce_len, tag_len;
    bool is_gcm;
};

/* By COSE's number or name; NULL when it is none of ours. */
const struct oscore_aead *oscore_aead_of(int number);
const struct oscore_aead *oscore_aead_named(struct slice name);

/* The nth of all, from 0; NULL at the end. */
const struct oscore_aead *oscore_aead_at(size_t n);

/* COSE's numbers of HKDF (-10, -11) and of the HMAC in it (5, 7), which devices write instead: T §5.4.7. False when it is
 * none of them. */
bool oscore_hkdf_of(int number, enum oscore_hkdf *hkdf);

/* "SHA-256", "SHA-512"; and back. */
const char *oscore_hkdf_name(enum oscore_hkdf hkdf);
bool oscore_hkdf_named(struct slice name, enum oscore_hkdf *hkdf);

/* The longest Sender or Recipient ID with this algorithm. */
static inline size_t oscore_id_max(const struct oscore_aead *aead) {
    return aead->nonce_len - 6U;
}

/* Encrypt `len` bytes in place; the tag is written behind them. False when the library fails. */
bool oscore_seal(const struct oscore_aead *aead, const uint8_t *key, const uint8_t *nonce, struct slice aad,
                 uint8_t *text, size_t len);

/* Decrypt `len` bytes in place, the tag behind them. False when they are not authentic: they are zero then. */
bool oscore_open(const struct oscore_aead *aead, const uint8_t *key, const uint8_t *nonce, struct slice aad,
                 uint8_t *text, size_t len);

#endif
