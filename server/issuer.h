/* Certificates for devices, made by the server's own authority (own_pki.h) on libuv's pool, and what devices are told of
 * the server's own ones. */
#ifndef BERTH_SERVER_ISSUER_H
#define BERTH_SERVER_ISSUER_H

#include "server/pki.h"
#include "server/server.h"

struct issuer;

/* NULL when out of memory. It reads or makes the authority when that is first needed. */
struct issuer *issuer_new(uv_loop_t *loop, const char *directory, struct seal *seal);
/* Jobs under way end by themselves, without a call. NULL is allowed. */
void issuer_free(struct issuer *issuer);

/* This is the certificate, PEM or DER, that the server shows its devices; in PEM its chain may follow. The first one told
 * is kept. */
void issuer_know_certificate(struct issuer *issuer, struct slice certificate);

/* Append what a device can know the server by, as DER: its certificate, or with `authority` the one that has signed it. */
bool issuer_put_server(struct issuer *issuer, bool authority, struct buffer *out);

/* Append the authority's certificate, DER. False: one line in `error`. */
bool issuer_put_authority(struct issuer *issuer, struct buffer *out, char *error, size_t error_size);

/* A certificate being made. `done` gets the pair, which lives through the call, or NULL and why. */
struct issuer_job;
typedef void issuer_done_fn(void *arg, const struct pki_pair *pair, const char *problem);

/* Names in `request` (CN, OU, L) are copied; hosts are not looked at. NULL: one line in `error`. */
struct issuer_job *issuer_make(struct issuer *issuer, const struct pki_request *request, issuer_done_fn *done,
                               void *arg, char *error, size_t error_size);

/* `done` is not called. */
void issuer_cancel(struct issuer_job *job);

/* Append a private key (RFC 5915) as PKCS#8 (RFC 5958), which Security (0) has (T §5.2.9.3). */
void issuer_put_pkcs8(struct slice key, struct buffer *out);

#endif
