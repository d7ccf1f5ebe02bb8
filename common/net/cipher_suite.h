/* The cipher suites that Berth speaks (RFC 5246 A.5 and those named in the table), in the order of its preference: what
 * costs a device least comes first, and authenticated encryption before CBC. */
#ifndef BERTH_NET_CIPHER_SUITE_H
#define BERTH_NET_CIPHER_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_aead { RECORD_CBC, RECORD_CCM_8, RECORD_CCM, RECORD_GCM }; /* CBC: none that record.h speaks */

struct cipher_suite {
    uint16_t id;      /* IANA's number */
    const char *name; /* and name */
    enum record_aead aead;
    uint8_t key_len; /* bytes of a key */
    bool sha384;     /* the PRF's hash; else SHA-256 */
    bool psk;        /* authenticated by a pre-shared key; else by certificates */
    bool ephemeral;  /* ECDHE: a handshake takes public-key operations */
};

/* NULL when it is none of ours. */
const struct cipher_suite *cipher_suite_find(uint16_t id);

/* The ids in order of preference, ending in 0, as mbedtls wants them: of DTLS 1.2; of TLS 1.3 and 1.2. */
const int *cipher_suite_ids(void);
const int *cipher_suite_tls_ids(void);

/* IANA's name, also of the suites of TLS 1.3 (RFC 8446 B.4); "unknown" of others. */
const char *cipher_suite_name(uint16_t id);

#endif
