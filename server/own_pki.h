/* The server's own authority and certificate. They are made on the first start and lie in the data directory: `ca.pem` and
 * `server.pem`, and their keys, sealed (seal.h), in `ca.key` and `server.key`. Devices get `ca.pem` as their server's CA. */
#ifndef BERTH_SERVER_OWN_PKI_H
#define BERTH_SERVER_OWN_PKI_H

#include "server/pki.h"
#include "server/seal.h"

#define OWN_PKI_AUTHORITY_NAME "Berth Bootstrap CA"

/* The authority in `directory`; made when there is none and `may_make`. False: one line in `error`. */
bool own_pki_authority(const char *directory, struct seal *seal, bool may_make, struct pki_pair *authority, char *error,
                       size_t error_size);

/* The server's certificate, signed by its authority; made when there is none, and anew when `hosts` has one that is not in
 * it. The first host is its CN. */
bool own_pki_server(const char *directory, struct seal *seal, const struct pki_pair *authority,
                    const struct slice *hosts, size_t host_count, struct pki_pair *server, char *error,
                    size_t error_size);

#endif
