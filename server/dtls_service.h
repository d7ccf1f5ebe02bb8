/* DTLS and TLS as the server runs them: which identities are good, what becomes of registrations when a session moves or
 * ends, which events tell of it. The transports are common/net/dtls.h and tls.h, keeping sessions is dtls_sessions.h. */
#ifndef BERTH_SERVER_DTLS_SERVICE_H
#define BERTH_SERVER_DTLS_SERVICE_H

#include "common/net/dtls.h"
#include "common/net/tls.h"
#include "server/pki.h"
#include "server/server.h"

/* When there are listeners with security: make or read certificates, and take the datagrams of coaps ones from server->udp
 * and the connections of coaps+tcp ones from server->streams. Before those listen. False: one line in `error`. */
bool dtls_service_start(struct server *server, char *error, size_t error_size);

/* The server's own certificate, by the names of --hostname or of this host; made when there is none. False: one line in
 * `error`. */
bool dtls_service_own_certificate(struct server *server, const struct pki_pair *authority, struct pki_pair *own,
                                  char *error, size_t error_size);

/* Certificates, PEM, that sign devices' ones, besides those of --ca; before the loop runs. False: one line in `error`. */
bool dtls_service_add_authority(struct server *server, struct slice certificates, char *error, size_t error_size);

/* Bring back sessions, before registrations, which look for theirs with dtls_service_link. False: one line in `error`. */
bool dtls_service_load(struct server *server, char *error, size_t error_size);

/* Nothing is sent any more. After registrations have given back their links. */
void dtls_service_stop(struct server *server);

/* A datagram of a coaps listener, as it comes and as it goes: what faults have not held back (fault_wire.h). The bytes are
 * changed. */
void dtls_service_receive(struct server *server, struct listener *listener, const struct address *peer,
                          const struct address *local, uint8_t *datagram, size_t len);
int dtls_service_send(struct server *server, struct listener *listener, const struct address *peer,
                      const struct address *local, struct slice datagram);

/* dtls_service_link will soon be asked for this row: to be told twice, the second time when it is near. */
void dtls_service_expect(const struct server *server, const struct store_registration *row, bool is_near);

/* The link of a registration that was made with security: its session's, else one by which nothing can be reached until
 * the device comes back. The caller gets a reference. NULL when out of memory. */
struct link *dtls_service_link(struct server *server, const struct store_registration *row, const struct address *peer);

/* The id by which a session is kept; 0 when the link has none, or none that is kept. */
uint64_t dtls_service_session_id(const struct link *link);

/* False when the link is not a DTLS session, or one that has ended. */
bool dtls_service_describe(const struct link *link, struct dtls_description *description);

/* The event of a TLS handshake, when the link is a connection that begins with one. */
void dtls_service_tell_tls(struct server *server, struct link *link);

/* Write the replay windows that have moved, before the write of an effect of what moved them. */
void dtls_service_write_windows(struct server *server);

/* A credential is not in force any more (credential_gone_fn): what rests on it goes. */
void dtls_service_credential_gone(struct server *server, const struct credential *credential, bool removed);

#endif
