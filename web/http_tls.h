/* TLS 1.2 and 1.3 under HTTP, at a server or a client, without client certificates. All of it happens at once, on the
 * loop's thread: a handshake costs about a millisecond, a connection about 40 KB. */
#ifndef BERTH_WEB_HTTP_TLS_H
#define BERTH_WEB_HTTP_TLS_H

#include "common/base/slice.h"

struct http_tls;
struct http_tls_session;

/* `certificate`, which may have its chain behind it, and `key` are DER, or PEM with its NUL counted. NULL: *problem says why, in a few words. */
struct http_tls *http_tls_new(struct slice certificate, struct slice key, const char **problem);

/* For connections that we open: `file` has the authorities of those who are there, PEM or DER. NULL: *problem. */
struct http_tls *http_tls_new_client(const char *file, const char **problem);

/* Its sessions must be gone. NULL is let pass. */
void http_tls_free(struct http_tls *tls);

/* `send` gets what goes to the peer, `received` what it has said; both only from within the functions below. NULL when out
 * of memory. */
typedef void http_tls_fn(void *arg, struct slice bytes);
struct http_tls_session *http_tls_session_new(struct http_tls *tls, http_tls_fn *send, http_tls_fn *received,
                                              void *arg);

/* At a client: `host` is whom the certificate must name. The first http_tls_feed, of no bytes, begins. */
struct http_tls_session *http_tls_session_new_client(struct http_tls *tls, const char *host, http_tls_fn *send,
                                                     http_tls_fn *received, void *arg);

/* Bytes came from the peer. False: that is against the rules, close the connection. */
bool http_tls_feed(struct http_tls_session *session, struct slice bytes);

/* Why that was so, at a client; a few words that stay. */
const char *http_tls_problem(const struct http_tls_session *session);

void http_tls_send(struct http_tls_session *session, struct slice content);

/* Send a close_notify. */
void http_tls_end(struct http_tls_session *session);

/* Whether the handshake is over. */
bool http_tls_is_ready(const struct http_tls_session *session);

/* NULL is let pass. */
void http_tls_session_free(struct http_tls_session *session);

#endif
