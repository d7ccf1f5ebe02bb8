/* Several servers on one database of PostgreSQL, each a node with a number: one of them serves, the others stand by, and
 * one of those goes on when it ends, dies, is cut off or stands still. The database alone decides who: whoever serves says
 * every second that it is alive (the table `node`), and is held for dead after six seconds without it. Who ends properly
 * leaves at once, and tells it (NOTIFY).
 *
 * Nobody serves beside another one. What is written is fenced in the database, batch by batch (postgresql.h). For what is
 * acknowledged without a commit there is cluster_may_serve: it ends five seconds after the last word that the database has
 * confirmed, a second before another node may take over, so a node that was stopped for a minute knows it before it
 * answers anybody.
 *
 * A thread of its own speaks with the database; all functions belong to the loop's thread. Its handle does not keep the
 * loop alive. While the loop runs the thread asks it every second for a sign of life, and without one for fifteen seconds
 * it does not say any more that the node is alive: a loop that hangs serves nobody. */
#ifndef BERTH_DB_CLUSTER_H
#define BERTH_DB_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct cluster;

enum {
    CLUSTER_NODES_MAX = 256,
    CLUSTER_ANY_NUMBER = -1,
    CLUSTER_LEASE_MS = 5000,
    CLUSTER_DEAD_MS = 6000,
    CLUSTER_HANGS_MS = 15000, /* nothing that a loop does takes as long */
};

enum cluster_state { CLUSTER_SERVES, CLUSTER_STANDS_BY, CLUSTER_GONE };

struct cluster_node {
    uint8_t number;
    bool is_self;
    enum cluster_state state;
    uint64_t started_ms, alive_ms; /* Unix time of the database */
    char api[128];                 /* its HTTP API, as a URI; "" when it has none */
    char version[32];
    char relay[128];               /* HOST:PORT of its relay port (server/relay_door.h); "": none */
};

/* `serves`: from now on this node is the one, nobody else writes any more. Else: it is not any more, whatever it holds is
 * another's; let go of it, and call cluster_stand_by. */
typedef void cluster_turn_fn(void *arg, bool serves);

struct cluster_options {
    const char *uri; /* as in store_check_uri; it and the others outlive the cluster */
    int number;      /* 0–255, or CLUSTER_ANY_NUMBER: the lowest that no living node has */
    const char *api, *version, *relay;
    cluster_turn_fn *turn;
    void *arg;
};

/* What a setting (store.h) is in the database, before this node joins; "" when there is none. Waits for it. False: one line
 * in `error`. */
bool cluster_peek_setting(const char *uri, const char *name, char *value, size_t value_size, char *error,
                          size_t error_size);

/* Bring the schema up to date, take a number and stand by. Waits for the database, and for a number whose node has died
 * just now. NULL with one line in `error`: the database can't be reached, another node has the number, none is free. */
struct cluster *cluster_join(uv_loop_t *loop, const struct cluster_options *options, char *error, size_t error_size);

/* Whether the loop runs, and gives signs of life; false while it starts or stops what takes its time. */
void cluster_watch(struct cluster *cluster, bool is_running);

/* Stand by again, after the turn that ended serving and when everything held is let go. */
void cluster_stand_by(struct cluster *cluster);

/* What struct store_options needs while this node serves. */
uint64_t cluster_holder(struct cluster *cluster);

/* This node's; it may change when it has lost its turn. */
uint8_t cluster_number(struct cluster *cluster);

/* How long ago, in milliseconds, the one that served before may have acknowledged something last; UINT64_MAX when it has
 * ended properly. */
uint64_t cluster_silence_ms(struct cluster *cluster);

/* Whether nobody else can be serving at this moment. NULL, of a server that is no node: true. Cheap. */
bool cluster_may_serve(const struct cluster *cluster);

/* The nodes as they were a second ago, in the order of their numbers; at most `max`. */
size_t cluster_list(struct cluster *cluster, struct cluster_node *nodes, size_t max);

/* The one that serves, as it was a second ago. False: there is none. */
bool cluster_serving(struct cluster *cluster, struct cluster_node *node);

/* Leave: the number is free, and with `is_clean` (everything is committed) so is the turn, at once. Waits a few
 * seconds for a database that is silent. The memory is freed when the loop has run the close callbacks. */
void cluster_leave(struct cluster *cluster, bool is_clean);

#endif
