#include "server/own_pki.h"

#include <errno.h>
#include <limits.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>

#include "common/base/log.h"
#include "server/private_file.h"

struct paths {
    char certificate[PATH_MAX], key[PATH_MAX];
};

static struct paths paths_of(const char *directory, const char *name) {
    struct paths paths;
    snprintf(paths.certificate, sizeof paths.certificate, "%s/%s.pem", directory, name);
    snprintf(paths.key, sizeof paths.key, "%s/%s.key", directory, name);
    return paths;
}

/* A sealed key belongs to its file name. */
static struct slice context_of(const char *name) {
    return slice_str(name);
}

static bool fail_read(const char *path, const char *why, char *error, size_t error_size) {
    snprintf(error, error_size, "%s: %s; bring back the right file, or delete it and its pair to have new ones", path,
             why);
    return false;
}

/* 0: read; -ENOENT: neither file is there; else one line in `error`. */
static int read_pair(const struct paths *paths, const char *name, struct seal *seal, struct pki_pair *pair, char *error,
                     size_t error_size) {
    uint8_t certificate[PKI_PEM_MAX], sealed[PKI_KEY_MAX + SEAL_OVERHEAD], key_memory[PKI_KEY_MAX];
    struct buffer key = buffer_over(key_memory, sizeof key_memory);
    size_t certificate_len, sealed_len;
    const char *problem;
    int certificate_result = private_file_read(paths->certificate, certificate, sizeof certificate, &certificate_len);
    int key_result = private_file_read(paths->key, sealed, sizeof sealed, &sealed_len);
    if (certificate_result == -ENOENT && key_result == -ENOENT)
        return -ENOENT;
    if (certificate_result != 0 || key_result != 0) {
        bool first = certificate_result != 0;
        fail_read(first ? paths->certificate : paths->key, strerror(first ? -certificate_result : -key_result), error,
                  error_size);
        return -EIO;
    }
    if (!seal_open(seal, context_of(name), slice_of(sealed, sealed_len), &key)) {
        fail_read(paths->key, "was sealed with another key file, or changed", error, error_size);
        return -EIO;
    }
    bool good = pki_read_pair(slice_of(certificate, certificate_len), buffer_slice(&key), pair, &problem);
    mbedtls_platform_zeroize(key_memory, sizeof key_memory);
    if (!good)
        fail_read(paths->certificate, problem, error, error_size);
    return good ? 0 : -EIO;
}

static bool write_pair(const struct paths *paths, const char *name, struct seal *seal, const struct pki_pair *pair,
                       char *error, size_t error_size) {
    uint8_t pem_memory[PKI_PEM_MAX], sealed_memory[PKI_KEY_MAX + SEAL_OVERHEAD];
    struct buffer pem = buffer_over(pem_memory, sizeof pem_memory);
    struct buffer sealed = buffer_over(sealed_memory, sizeof sealed_memory);
    if (!pki_put_certificate_pem(slice_of(pair->certificate, pair->certificate_len), &pem) ||
        !seal_close(seal, context_of(name), slice_of(pair->key, pair->key_len), &sealed)) {
        snprintf(error, error_size, "%s: the certificate can't be written", paths->certificate);
        return false;
    }
    return private_file_write(paths->key, buffer_slice(&sealed), error, error_size) &&
           private_file_write(paths->certificate, buffer_slice(&pem), error, error_size);
}

static bool make_pair(const struct paths *paths, const char *name, struct seal *seal, const struct pki_request *request,
                      const struct pki_pair *issuer, struct pki_pair *pair, char *error, size_t error_size) {
    const char *problem;
    if (!pki_make(request, issuer, pair, &problem)) {
        snprintf(error, error_size, "%s: %s", paths->certificate, problem);
        return false;
    }
    if (write_pair(paths, name, seal, pair, error, error_size)) {
        log_write(LOG_INFO, "server", "%s: made", paths->certificate);
        return true;
    }
    pki_forget(pair);
    return false;
}

bool own_pki_authority(const char *directory, struct seal *seal, bool may_make, struct pki_pair *authority, char *error,
                       size_t error_size) {
    struct paths paths = paths_of(directory, "ca");
    int result = read_pair(&paths, "ca", seal, authority, error, error_size);
    if (result != -ENOENT)
        return result == 0;
    if (!may_make) {
        snprintf(error, error_size, "%s: there is none; the server makes it on its first start with a coaps listener",
                 paths.certificate);
        return false;
    }
    struct pki_request request = {.role = PKI_AUTHORITY, .name = slice_str(OWN_PKI_AUTHORITY_NAME)};
    return make_pair(&paths, "ca", seal, &request, NULL, authority, error, error_size);
}

bool own_pki_server(const char *directory, struct seal *seal, const struct pki_pair *authority,
                    const struct slice *hosts, size_t host_count, struct pki_pair *server, char *error,
                    size_t error_size) {
    struct paths paths = paths_of(directory, "server");
    int result = read_pair(&paths, "server", seal, server, error, error_size);
    if (result != 0 && result != -ENOENT)
        return false;
    if (result == 0 && pki_has_hosts(slice_of(server->certificate, server->certificate_len), hosts, host_count))
        return true;
    struct pki_request request = {.role = PKI_SERVER, .name = hosts[0], .host_count = host_count};
    memcpy(request.hosts, hosts, host_count * sizeof *hosts);
    return make_pair(&paths, "server", seal, &request, authority, server, error, error_size);
}
