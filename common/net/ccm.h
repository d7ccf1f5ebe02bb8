/* AES-CCM (RFC 3610, NIST SP 800-38C) on the block cipher of Mbed TLS. Its own CCM builds a cipher object in allocated
 * memory for each key, which costs more than the few blocks of a message of ours; here nothing is allocated. */
#ifndef BERTH_NET_CCM_H
#define BERTH_NET_CCM_H

#include "common/base/slice.h"

enum { CCM_TAG_MAX = 16 };

struct ccm_params {
    const uint8_t *key, *nonce;
    uint8_t key_len;   /* 16 or 32 bytes */
    uint8_t nonce_len; /* 7 … 13 bytes */
    uint8_t tag_len;   /* 4, 6 … 16 bytes */
    struct slice aad;  /* less than 0xff00 bytes */
};

/* Seal `len` bytes (less than 65536 with a nonce of 13, 2^24 with one of 12, else 2^32) at `text` in place, the tag behind them. False: a length is wrong; nothing is
 * written. */
bool ccm_seal(const struct ccm_params *params, uint8_t *text, size_t len);

/* Open `len` bytes with the tag behind them, in place. False: they do not verify, or a length is wrong; then they are
 * zeroed. */
bool ccm_open(const struct ccm_params *params, uint8_t *text, size_t len);

#endif
