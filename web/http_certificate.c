#include "web/http_certificate.h"

#include <stdio.h>
#include <string.h>

#include "server/private_file.h"

enum { CERTIFICATE_MAX = 65536 };

/* The file, with a NUL behind it when it is PEM, as Mbed TLS wants it. */
static bool read_certificate_file(const char *path, uint8_t bytes[CERTIFICATE_MAX + 1], struct slice *read, char *error,
                                  size_t error_size) {
    size_t len;
    int result = private_file_read(path, bytes, CERTIFICATE_MAX, &len);
    if (result != 0) {
        snprintf(error, error_size, "%s: %s", path, strerror(-result));
        return false;
    }
    bytes[len] = '\0';
    *read = slice_of(bytes, memmem(bytes, len, "-----BEGIN", 10) == NULL ? len : len + 1);
    return true;
}

struct http_tls *http_certificate_load(const struct config *config, char *error, size_t error_size) {
    uint8_t certificate[CERTIFICATE_MAX + 1], key[CERTIFICATE_MAX + 1];
    struct slice certificate_read, key_read;
    const char *problem = NULL;
    struct http_tls *tls = NULL;
    if (!read_certificate_file(config->http_certificate, certificate, &certificate_read, error, error_size) ||
        !read_certificate_file(config->http_key, key, &key_read, error, error_size))
        return NULL;
    tls = http_tls_new(certificate_read, key_read, &problem);
    if (tls == NULL)
        snprintf(error, error_size, "%s: %s", config->http_certificate, problem);
    explicit_bzero(key, sizeof key);
    return tls;
}
