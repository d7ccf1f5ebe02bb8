/* The certificate of HTTPS that was given in files (--http-cert, --http-key). */
#ifndef BERTH_WEB_HTTP_CERTIFICATE_H
#define BERTH_WEB_HTTP_CERTIFICATE_H

#include "server/config.h"
#include "web/http_tls.h"

/* Both files are given. NULL with one line in `error`. */
struct http_tls *http_certificate_load(const struct config *config, char *error, size_t error_size);

#endif
