/* What happens to everything that the server has to do with a device (requests under way, observations, queued
 * requests) when its registration comes, moves, is replaced or ends, and when the device is heard. The registration
 * interface, expiry and Send call these; each part that has dealings with devices is called from here. */
#ifndef BERTH_SERVER_CONTACT_H
#define BERTH_SERVER_CONTACT_H

#include "server/server.h"

/* Dealings with one device: exist only while there are any, and belong to its registration. */
struct dealings;

/* The device has registered and has its 2.01. `replaced`: it was registered already; its dealings were handed over. */
void contact_registered(struct server *server, struct registration *registration, bool replaced);

/* The device has told something (an Update, a Send, a notification) and has its answer. */
void contact_heard(struct server *server, struct registration *registration);

/* Any message at all has come from the device. */
void contact_any(struct server *server, struct registration *registration);

/* The device has left a request of ours without an ACK: in queue mode it is asleep (T §6.5), and what waits for it is
 * withdrawn. */
void contact_silent(struct server *server, struct registration *registration);

/* The device is reached over another link from now on; `before` is still alive. */
void contact_moved(struct server *server, struct registration *registration, struct link *before);

/* Another device speaks from the address of this one, which has not been heard since. */
void contact_displaced(struct server *server, struct registration *registration);
/* Its connection has ended: it can't be asked anything until it comes over another one. What it was asked to tell, it
 * has forgotten if the connection was one of RFC 8323 (§7.4 there). */
void contact_lost(struct server *server, struct registration *registration);

/* It has other keys than before: notifications of what it was asked to tell can't be read any more. */
void contact_context_lost(struct server *server, struct registration *registration);

/* `registration` takes the place of `old`, which is about to be freed. */
void contact_replaced(struct server *server, struct registration *old, struct registration *registration);

/* The registration is about to be freed: `why` is EVENT_DEREGISTERED or EVENT_EXPIRED, or EVENT_TYPE_COUNT when nobody
 * shall hear of it (a reset, the end of the program: what is stored then stays stored). */
void contact_ended(struct server *server, struct registration *registration, enum event_type why);

#endif
