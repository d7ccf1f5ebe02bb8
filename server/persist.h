/* Keeps the store in step with the directory: what was acknowledged before its commit is written within a second, and
 * what could not be written is written again until it can. */
#ifndef BERTH_SERVER_PERSIST_H
#define BERTH_SERVER_PERSIST_H

#include "server/server.h"

/* The registration as the store keeps it; slices point into the registration. */
struct store_registration persist_row(const struct registration *registration);

/* How its device has proven who it is. */
enum link_security persist_row_security(const struct store_registration *row);

/* The transport of the link that it was reached by. */
enum link_transport persist_row_transport(const struct store_registration *row);

/* `registration` has changed: its lease only (UNSAVED_LEASE), or anything (UNSAVED_ALL). Tells the store that this
 * process is alive, so call it before the change is acknowledged. */
void persist_soon(struct server *server, struct registration *registration, enum registration_unsaved what);

/* Replay windows of DTLS sessions have moved. */
void persist_windows_soon(struct server *server);

/* The registration with this id is gone without anybody waiting for the commit. */
void persist_deletion(struct server *server, uint64_t id);

/* The observation with this id is over, likewise. */
void persist_observation_deletion(struct server *server, uint64_t id);

/* A write has failed: try again every two seconds until one succeeds, so that store_problem() does not outlive the
 * problem. */
void persist_until_it_works(struct server *server);

/* Hand everything that waits to the store now. */
void persist_flush(struct server *server);

/* Numbers that must not be used twice, over a restart neither: reserve more in the store when few are left. */
void persist_event_numbers(struct server *server);

/* No numbers of events are used from now on: the next server may begin behind the last one. */
void persist_last_event_number(struct server *server);
void persist_registration_ids(struct server *server);
void persist_observation_ids(struct server *server);

/* Likewise for ids of queued requests: `last` is in use, numbers up to `reserved` may be used. Returns the number up to
 * which they may from now on. */
uint64_t persist_request_ids(struct server *server, uint64_t last, uint64_t reserved);

/* How far protocol time has been leapt. */
void persist_clock(struct server *server);

#endif
