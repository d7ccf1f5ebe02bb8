/* Which pages a browser may bring. A browser lets any page send simple requests to a server on loopback, and a page whose
 * name comes to mean 127.0.0.1 (DNS rebinding) may read the answers, too. Programs that are no browsers are not
 * concerned: they send no Origin, and the name by which they ask is a known one. */
#ifndef BERTH_WEB_ORIGIN_H
#define BERTH_WEB_ORIGIN_H

#include "server/config.h"
#include "web/http.h"

/* It changes something, or begins a WebSocket, and a page of another origin has sent it (RFC 6454 §7, RFC 6455 §10.2). */
bool origin_is_foreign(const struct http_request *request);

/* Its Host is a name by which the server at `at` is asked for: localhost, an address, or a --http-host. Other names are
 * known, too, where others than this machine reach the server and no --http-host is given. */
bool origin_host_is_known(const struct config *config, const struct address *at, const struct http_request *request);

#endif
