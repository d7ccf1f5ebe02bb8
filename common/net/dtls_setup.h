/* What all handshakes share: the suites, groups and rules of RFC 7925, our certificates, and the authorities of clients'
 * certificates. Read by several threads at once, so nothing changes after the first handshake has begun. */
#ifndef BERTH_NET_DTLS_SETUP_H
#define BERTH_NET_DTLS_SETUP_H

#include <mbedtls/ssl.h>

#include "common/base/buffer.h"

struct dtls_own_certificate {
    struct dtls_own_certificate *next;
    mbedtls_x509_crt certificate; /* the leaf, and what was given behind it: the way to an authority */
    mbedtls_pk_context key;
};

struct dtls_setup {
    mbedtls_ssl_config config;        /* handshakes work on copies of it */
    struct dtls_own_certificate *own; /* the first is the default */
    mbedtls_x509_crt authorities;     /* a list; empty while its `raw` is */
    bool pinned;                      /* of a client: the first of them is the peer's own */
};

/* False: mbedtls refuses, for want of memory. */
bool dtls_setup_init(struct dtls_setup *setup);
void dtls_setup_free(struct dtls_setup *setup);

/* As dtls_add_certificate and dtls_add_authority. */
bool dtls_setup_add_certificate(struct dtls_setup *setup, struct slice certificate, struct slice key,
                                const char **problem);
bool dtls_setup_add_authority(struct dtls_setup *setup, struct slice certificates, const char **problem);

/* The certificate of ours for a server name (RFC 6066 §3); NULL: none names it, take the default. */
struct dtls_own_certificate *dtls_setup_find_certificate(const struct dtls_setup *setup, struct slice server_name);

/* As f_vrfy of mbedtls_ssl_conf_verify, with the setup: what dtls_client_pin says. */
int dtls_setup_judge_pinned(void *setup, mbedtls_x509_crt *certificate, int depth, uint32_t *flags);

/* mbedtls' random source: getrandom(2), from any thread. */
int dtls_random(void *arg, unsigned char *out, size_t len);

/* What a certificate calls its subject: CN, else the first dNSName, else the first URI; empty when it has none of them
 * (Core 1.2 Transport §5.2.9.3). Within the certificate. */
struct slice dtls_certificate_name(const mbedtls_x509_crt *certificate);

#endif
