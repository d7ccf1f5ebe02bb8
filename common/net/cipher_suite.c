#include "common/net/cipher_suite.h"

static const struct cipher_suite suites[] = {
    /* RFC 6655, RFC 5487 */
    {0xc0a8, "TLS_PSK_WITH_AES_128_CCM_8", RECORD_CCM_8, 16, false, true, false},
    {0xc0a4, "TLS_PSK_WITH_AES_128_CCM", RECORD_CCM, 16, false, true, false},
    {0x00a8, "TLS_PSK_WITH_AES_128_GCM_SHA256", RECORD_GCM, 16, false, true, false},
    {0xc0a9, "TLS_PSK_WITH_AES_256_CCM_8", RECORD_CCM_8, 32, false, true, false},
    {0xc0a5, "TLS_PSK_WITH_AES_256_CCM", RECORD_CCM, 32, false, true, false},
    {0x00a9, "TLS_PSK_WITH_AES_256_GCM_SHA384", RECORD_GCM, 32, true, true, false},
    {0x00ae, "TLS_PSK_WITH_AES_128_CBC_SHA256", RECORD_CBC, 16, false, true, false},
    /* RFC 5489 */
    {0xc037, "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256", RECORD_CBC, 16, false, true, true},
    /* RFC 7251, RFC 5289 */
    {0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", RECORD_CCM_8, 16, false, false, true},
    {0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", RECORD_CCM, 16, false, false, true},
    {0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", RECORD_GCM, 16, false, false, true},
    {0xc0af, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", RECORD_CCM_8, 32, false, false, true},
    {0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", RECORD_CCM, 32, false, false, true},
    {0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", RECORD_GCM, 32, true, false, true},
    {0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", RECORD_CBC, 16, false, false, true},
};

enum { SUITES = sizeof suites / sizeof suites[0] };

/* A suite of TLS 1.3 says less: how the peer is authenticated is agreed on apart from it. */
static const struct {
    uint16_t id;
    const char *name;
} tls13_suites[] = {
    {0x1301, "TLS_AES_128_GCM_SHA256"},       {0x1304, "TLS_AES_128_CCM_SHA256"}, {0x1305, "TLS_AES_128_CCM_8_SHA256"},
    {0x1303, "TLS_CHACHA20_POLY1305_SHA256"}, {0x1302, "TLS_AES_256_GCM_SHA384"},
};

enum { TLS13_SUITES = sizeof tls13_suites / sizeof tls13_suites[0] };

static const int tls_ids[TLS13_SUITES + SUITES + 1] = {0x1301, 0x1304, 0x1305, 0x1303, 0x1302, 0xc0a8, 0xc0a4,
                                                       0x00a8, 0xc0a9, 0xc0a5, 0x00a9, 0x00ae, 0xc037, 0xc0ae,
                                                       0xc0ac, 0xc02b, 0xc0af, 0xc0ad, 0xc02c, 0xc023, 0};

static const int ids[SUITES + 1] = {0xc0a8, 0xc0a4, 0x00a8, 0xc0a9, 0xc0a5, 0x00a9, 0x00ae, 0xc037,
                                    0xc0ae, 0xc0ac, 0xc02b, 0xc0af, 0xc0ad, 0xc02c, 0xc023, 0};

const struct cipher_suite *cipher_suite_find(uint16_t id) {
    for (size_t i = 0; i < SUITES; i++) {
        if (suites[i].id == id)
            return &suites[i];
    }
    return NULL;
}

const int *cipher_suite_ids(void) {
    return ids;
}

const int *cipher_suite_tls_ids(void) {
    return tls_ids;
}

const char *cipher_suite_name(uint16_t id) {
    const struct cipher_suite *suite = cipher_suite_find(id);
    if (suite != NULL)
        return suite->name;
    for (size_t i = 0; i < TLS13_SUITES; i++) {
        if (tls13_suites[i].id == id)
            return tls13_suites[i].name;
    }
    return "unknown";
}
