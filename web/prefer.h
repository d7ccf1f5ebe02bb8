/* The Prefer header field (RFC 7240): what a client would like, if we do such a thing. */
#ifndef BERTH_WEB_PREFER_H
#define BERTH_WEB_PREFER_H

#include "web/http.h"

enum { PREFER_EXPIRES_MIN_MS = 1000 };
#define PREFER_EXPIRES_MAX_MS (30ull * 86400 * 1000)

struct prefer {
    bool respond_async;  /* §4.1: answer 202 and do it later */
    uint64_t expires_ms; /* its parameter `expires`, ours: how long it may take; 0: not said */
};

/* Read a field, and add to what other ones have said: the first instance of a preference counts (§2). What is not known
 * or malformed is passed over, as the standard wants it; but false when `expires` is no duration from
 * PREFER_EXPIRES_MIN_MS to PREFER_EXPIRES_MAX_MS, since that was meant. */
bool prefer_parse(struct slice field, struct prefer *prefer);

/* All Prefer fields of a request. */
bool prefer_read(const struct http_request *request, struct prefer *prefer);

#endif
