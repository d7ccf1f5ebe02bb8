/* The API key: who may ask over HTTP. */
#ifndef BERTH_WEB_AUTHORIZATION_H
#define BERTH_WEB_AUTHORIZATION_H

#include "server/config.h"
#include "web/http.h"

/* It brings the key (RFC 6750 §2.1), or none is needed. */
bool authorization_is_good(const struct config *config, const struct http_request *request);

/* Answer with 401. */
void authorization_refuse(struct http_request *request);

#endif
