/* Makes certificates (RFC 5280) for devices and servers: P-256 and SHA-256, the profile of RFC 7925 §4.4, in at most 1024
 * bytes, which is what vendors' clients take. They begin in 1970 unless something else is asked for, because a device
 * without a clock lives then. */
#ifndef BERTH_SERVER_PKI_H
#define BERTH_SERVER_PKI_H

#include "common/base/buffer.h"

enum {
    PKI_CERTIFICATE_MAX = 1024, /* bytes of DER */
    PKI_KEY_MAX = 160,          /* bytes of DER (RFC 5915) */
    PKI_PEM_MAX = 2048,
    PKI_HOSTS_MAX = 16,
    PKI_NAME_MAX = 252,
};

enum pki_role { PKI_AUTHORITY, PKI_SERVER, PKI_DEVICE };

struct pki_request {
    enum pki_role role;
    struct slice name;                 /* CN: of an authority; the first host of a server; the endpoint of a device */
    struct slice account, device_id;   /* OU and L of a device's certificate; "" when there is none */
    struct slice hosts[PKI_HOSTS_MAX]; /* DNS names and IP addresses of a server (its SAN) */
    size_t host_count;
    const char *not_before, *not_after; /* YYYYMMDDHHMMSS; NULL: 1970 and 9999 */
};

/* A certificate and its private key. Zero it (pki_forget) after use. */
struct pki_pair {
    uint8_t certificate[PKI_CERTIFICATE_MAX];
    size_t certificate_len;
    uint8_t key[PKI_KEY_MAX];
    size_t key_len;
};
void pki_forget(struct pki_pair *pair);

/* Make a key and its certificate, signed by `issuer`, or by itself when that is NULL. False: *problem, in a few words. */
bool pki_make(const struct pki_request *request, const struct pki_pair *issuer, struct pki_pair *pair,
              const char **problem);

/* Append PEM (RFC 7468), with a line feed at the end. False when it does not fit. */
bool pki_put_certificate_pem(struct slice der, struct buffer *out);
bool pki_put_key_pem(struct slice der, struct buffer *out);

/* A certificate and its key, each DER or PEM, as a pair. False: *problem; also when they don't belong together. */
bool pki_read_pair(struct slice certificate, struct slice key, struct pki_pair *pair, const char **problem);

/* Whether a server certificate (DER) has all these hosts in its SAN. */
bool pki_has_hosts(struct slice certificate, const struct slice *hosts, size_t count);

/* "20380119031407", or "2038-01-19": YYYYMMDDHHMMSS into `time`. False when it is neither. */
bool pki_parse_time(struct slice text, char time[15]);

#endif
