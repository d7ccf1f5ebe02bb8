#include "server/issuer.h"

#include <mbedtls/platform_util.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/own_pki.h"

enum { CERTIFICATE_MAX = 4096, CHAIN_MAX = 65536 };

struct der {
    uint8_t bytes[CERTIFICATE_MAX];
    size_t len;
};

struct issuer {
    uv_loop_t *loop;
    const char *directory;
    struct seal *seal;
    struct pki_pair authority;
    bool has_authority;
    struct der leaf, root; /* of the server's chain; root: the last one there, or nothing when that is the leaf */
};

struct issuer_job {
    uv_work_t work;
    struct pki_request request;
    struct pki_pair authority, pair;
    bool made;
    const char *problem;
    issuer_done_fn *done; /* NULL: cancelled */
    void *arg;
    uint8_t names[];
};

struct issuer *issuer_new(uv_loop_t *loop, const char *directory, struct seal *seal) {
    struct issuer *issuer = calloc(1, sizeof *issuer);
    if (issuer != NULL) {
        issuer->loop = loop;
        issuer->directory = directory;
        issuer->seal = seal;
    }
    return issuer;
}

void issuer_free(struct issuer *issuer) {
    if (issuer == NULL)
        return;
    mbedtls_platform_zeroize(issuer, sizeof *issuer);
    free(issuer);
}

static bool need_authority(struct issuer *issuer, char *error, size_t error_size) {
    if (!issuer->has_authority)
        issuer->has_authority =
            own_pki_authority(issuer->directory, issuer->seal, true, &issuer->authority, error, error_size);
    return issuer->has_authority;
}

/* ---- the server's own ---- */

static void keep(struct der *der, const mbedtls_x509_crt *certificate) {
    if (certificate->raw.len > sizeof der->bytes)
        return;
    memcpy(der->bytes, certificate->raw.p, certificate->raw.len);
    der->len = certificate->raw.len;
}

void issuer_know_certificate(struct issuer *issuer, struct slice certificate) {
    mbedtls_x509_crt chain;
    if (issuer->leaf.len > 0 || certificate.len == 0 || certificate.len >= CHAIN_MAX)
        return;
    uint8_t *text = malloc(certificate.len + 1); /* mbedtls takes PEM only with a NUL behind it */
    if (text == NULL)
        return;
    memcpy(text, certificate.data, certificate.len);
    text[certificate.len] = '\0';
    bool is_pem = memmem(text, certificate.len, "-----BEGIN", 10) != NULL;
    mbedtls_x509_crt_init(&chain);
    if (mbedtls_x509_crt_parse(&chain, text, certificate.len + is_pem) == 0) {
        const mbedtls_x509_crt *last = &chain;
        while (last->next != NULL)
            last = last->next;
        keep(&issuer->leaf, &chain);
        if (last != &chain)
            keep(&issuer->root, last);
    }
    mbedtls_x509_crt_free(&chain);
    free(text);
}

/* Whether our own authority has signed the server's certificate. */
static bool is_own(const struct issuer *issuer) {
    mbedtls_x509_crt leaf, authority;
    uint32_t flags = 0;
    mbedtls_x509_crt_init(&leaf);
    mbedtls_x509_crt_init(&authority);
    bool own =
        mbedtls_x509_crt_parse_der(&leaf, issuer->leaf.bytes, issuer->leaf.len) == 0 &&
        mbedtls_x509_crt_parse_der(&authority, issuer->authority.certificate, issuer->authority.certificate_len) == 0 &&
        (mbedtls_x509_crt_verify(&leaf, &authority, NULL, NULL, &flags, NULL, NULL) == 0 ||
         (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) == 0);
    mbedtls_x509_crt_free(&leaf);
    mbedtls_x509_crt_free(&authority);
    return own;
}

bool issuer_put_server(struct issuer *issuer, bool authority, struct buffer *out) {
    char error[256];
    const struct der *der = authority && issuer->root.len > 0 ? &issuer->root : &issuer->leaf;
    if (der->len == 0)
        return false;
    if (authority && der == &issuer->leaf && need_authority(issuer, error, sizeof error) && is_own(issuer))
        buffer_put(out, issuer->authority.certificate, issuer->authority.certificate_len);
    else
        buffer_put(out, der->bytes, der->len); /* alone: signed by itself, or nothing better is known */
    return !out->overflow;
}

bool issuer_put_authority(struct issuer *issuer, struct buffer *out, char *error, size_t error_size) {
    if (!need_authority(issuer, error, error_size))
        return false;
    buffer_put(out, issuer->authority.certificate, issuer->authority.certificate_len);
    return !out->overflow;
}

/* ---- devices' ---- */

static void work(uv_work_t *request) {
    struct issuer_job *job = (struct issuer_job *)(void *)request;
    job->made = pki_make(&job->request, &job->authority, &job->pair, &job->problem);
}

static void after_work(uv_work_t *request, int status) {
    struct issuer_job *job = (struct issuer_job *)(void *)request;
    (void)status;
    if (job->done != NULL)
        job->done(job->arg, job->made ? &job->pair : NULL, job->problem);
    mbedtls_platform_zeroize(job, sizeof *job);
    free(job);
}

struct issuer_job *issuer_make(struct issuer *issuer, const struct pki_request *request, issuer_done_fn *done,
                               void *arg, char *error, size_t error_size) {
    if (!need_authority(issuer, error, error_size))
        return NULL;
    struct issuer_job *job = calloc(1, sizeof *job + request->name.len + request->account.len + request->device_id.len);
    if (job == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    job->request =
        (struct pki_request){.role = request->role, .not_before = request->not_before, .not_after = request->not_after};
    job->authority = issuer->authority; /* of its own: the issuer may end before it */
    job->done = done;
    job->arg = arg;
    uint8_t *at = job->names;
    const struct slice *from[] = {&request->name, &request->account, &request->device_id};
    struct slice *to[] = {&job->request.name, &job->request.account, &job->request.device_id};
    for (size_t i = 0; i < sizeof to / sizeof to[0]; i++) {
        *to[i] = slice_of(at, from[i]->len);
        if (from[i]->len > 0)
            memcpy(at, from[i]->data, from[i]->len);
        at += from[i]->len;
    }
    if (uv_queue_work(issuer->loop, &job->work, work, after_work) == 0)
        return job;
    mbedtls_platform_zeroize(job, sizeof *job);
    free(job);
    snprintf(error, error_size, "the pool takes no work");
    return NULL;
}

void issuer_cancel(struct issuer_job *job) {
    job->done = NULL;
}

void issuer_put_pkcs8(struct slice key, struct buffer *out) {
    /* Version 0; AlgorithmIdentifier: id-ecPublicKey, prime256v1. */
    static const uint8_t middle[] = {0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                     0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    bool is_long = key.len > 0x7f;
    size_t len = sizeof middle + 2 + is_long + key.len; /* of the SEQUENCE; keys have at most PKI_KEY_MAX bytes */
    buffer_put_u8(out, 0x30);
    if (len > 0x7f)
        buffer_put_u8(out, 0x81);
    buffer_put_u8(out, (uint8_t)len);
    buffer_put(out, middle, sizeof middle);
    buffer_put_u8(out, 0x04);
    if (is_long)
        buffer_put_u8(out, 0x81);
    buffer_put_u8(out, (uint8_t)key.len);
    buffer_put_slice(out, key);
}
