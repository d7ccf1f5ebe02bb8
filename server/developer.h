/* What is compiled into a developer's build of the vendor's client, so that it finds this server's bootstrap: a
 * certificate, its key, the authority, and the C source (security.c) that holds them. */
#ifndef BERTH_SERVER_DEVELOPER_H
#define BERTH_SERVER_DEVELOPER_H

#include "server/pki.h"
#include "server/server.h"

enum { DEVELOPER_SOURCE_MAX = 32768, DEVELOPER_URI_MAX = 255 };

struct developer_facts {
    struct slice endpoint, account, uri;      /* the URI of bootstrap, with ?aid= */
    struct slice certificate, key, authority; /* DER */
};

/* Append coaps://host:port?aid=account of the listener by which devices are bootstrapped; `host` "": as is known here.
 * False: no listener bootstraps devices over DTLS. */
bool developer_put_uri(const struct server *server, struct slice host, struct slice account, struct buffer *out);

/* Append the C source, at most DEVELOPER_SOURCE_MAX bytes. False: it does not fit. */
bool developer_put_source(const struct developer_facts *facts, struct buffer *out);

#endif
