/* Keeps the events of a node of a cluster in the database (event_row.h), so that the node that serves next has them with
 * their numbers. They are written behind: in the next transaction that begins after they were told of, but for events
 * alone twenty times a second at most. So what a node has told in its last moments may be lost with it, and a gap in the
 * numbers shows where: those that a node may have used are not used again.
 *
 * What is kept is what the event log has: the oldest rows go some time after they have left it. */
#ifndef BERTH_SERVER_EVENT_KEEPER_H
#define BERTH_SERVER_EVENT_KEEPER_H

#include "server/server.h"

enum {
    EVENT_KEEPER_PAUSE_MS = 50,
    EVENT_KEEPER_ROW_BYTES = 256 * 1024, /* a row has more only when its first event has */
};

struct event_keeper;

/* Put what the database has into the log, whose numbers go on above it, and keep what comes. Before the first event is
 * published. NULL with one line in `error`. */
struct event_keeper *event_keeper_start(struct server *server, char *error, size_t error_size);

/* Forget all that has been published. `done` gets the result, at once when there is no room for the order; it may be
 * NULL. */
void event_keeper_clear(struct event_keeper *keeper, store_done_fn *done, void *arg);

/* The number of the last event that is committed. */
uint64_t event_keeper_last_id(const struct event_keeper *keeper);

/* From now on everything is written as it comes, and so is the number with which the next node begins: call it when
 * nobody is told of events any more, before the store is closed. */
void event_keeper_end(struct event_keeper *keeper);

/* After the store is closed, but before the loop has run for the last time. NULL is passed over. */
void event_keeper_free(struct event_keeper *keeper);

#endif
