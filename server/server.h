/* The LwM2M server: one loop's worth of protocol state and the verbs by which others act on it. The web offers these
 * verbs over HTTP and listens to the events; nothing here knows the web. */
#ifndef BERTH_SERVER_SERVER_H
#define BERTH_SERVER_SERVER_H

#include <uv.h>

#include "common/base/clock.h"
#include "common/coap/endpoint.h"
#include "common/lwm2m/catalogue.h"
#include "common/net/stream.h"
#include "common/net/ticker.h"
#include "common/net/udp.h"
#include "db/cluster.h"
#include "db/store.h"
#include "server/config.h"
#include "server/credential.h"
#include "server/directory.h"
#include "server/event.h"

/* Rows that are gone here and not yet in the store. */
struct unsaved_ids {
    uint64_t *ids;
    size_t count, cap;
    size_t under_way; /* handed to the store, which has not answered yet */
};

struct queues;               /* server/queue.h */
struct queue_settings_table; /* server/queue_settings.h */

struct faults;
struct fault_wire;
struct dtls_sessions;
struct tls;
struct oscore_keeper;
struct bootstrap;         /* server/bootstrap.h */
struct bootstrap_configs; /* server/bootstrap_configs.h */
struct issuer;            /* server/issuer.h */
struct trace;             /* server/trace.h */
struct firmware_images;   /* server/firmware_image.h */
struct firmware_updates;  /* server/firmware_update.h */

struct server {
    uv_loop_t *loop;
    const struct config *config;
    struct catalogue *catalogue; /* object definitions; the caller's */
    struct listener *listeners;  /* copies with real ports; config->listener_count of them */
    struct clock clock;
    struct timer_wheel wheel; /* its arg is this server */
    struct ticker ticker;
    struct link_watcher watcher; /* of all listeners */
    struct slab *traffic;        /* what it counts (traffic.h) */
    struct trace *trace;         /* NULL: none is kept */
    struct udp *udp;
    struct streams *streams; /* TCP connections */
    struct coap_endpoint *coap;
    struct directory *directory;
    struct event_log *events;
    struct event_keeper *event_keeper; /* NULL: they are kept in memory only */
    struct store *store;
    struct cluster *cluster;     /* NULL: it is no node of one */
    struct relay_door *relay_door; /* where other nodes bring what came to them; NULL: nowhere */
    struct observing *observing; /* server/observation.h */
    struct seal *seal;           /* what is secret in the store */
    struct credentials *credentials;
    struct bootstrap_configs *bootstrap_configs;
    struct issuer *issuer;
    struct bootstrap *bootstrap;
    struct firmware_images *firmware_images;
    struct firmware_updates *firmware_updates;
    struct dtls *dtls;                   /* NULL: no listener is coaps */
    struct tls *tls;                     /* NULL: no listener is coaps+tcp */
    struct dtls_sessions *dtls_sessions; /* NULL: neither is */
    struct oscore_keeper *oscore;        /* server/oscore_service.h */
    int key_log;                         /* file descriptor of --tls-key-log, or -1 */
    uint64_t next_registration_id;
    uint64_t next_observation_id;
    uint64_t reserved_event_id;        /* the store knows that numbers up to this one may be used */
    uint64_t reserved_registration_id; /* likewise */
    uint64_t reserved_observation_id;  /* likewise */
    uint64_t heartbeat_s;              /* second of protocol time of the last heartbeat */
    struct timer settle;               /* gives memory back, some time after handshakes (server_settle_later) */
    uint64_t settled_ms;               /* when the last of them is so long ago */
    struct timer flush;                /* writes changes to the store (persist.h) */
    uint32_t *dirty;                   /* slots of registrations with changes that the store does not have yet */
    size_t dirty_count, dirty_cap;
    struct unsaved_ids unsaved_deletions;             /* of registrations */
    struct unsaved_ids unsaved_observation_deletions; /* of observations */
    struct queues *queues;                            /* requests that wait for their devices */
    struct queue_settings_table *queue_settings;      /* NULL: none */
    uint16_t http_port;                               /* of the HTTP API, where images are, too; 0: none */
    size_t awake_count;                               /* devices in queue mode that are awake */
    struct faults *faults;                            /* what tests have ordered to go wrong (fault.h) … */
    struct fault_wire *fault_wire;
    bool provoked; /* … and whether anything is to be asked for it */
    uint64_t started_at_ms;
};

/* Open the store, load what is there, bind the listeners. `catalogue` outlives the server, which adds to it what is
 * stored. Returns NULL with one line in `error`. */
struct server *server_start(uv_loop_t *loop, const struct config *config, struct catalogue *catalogue, char *error,
                            size_t error_size);

/* Likewise while it is the turn of this node to serve; NULL: it is none. */
struct server *server_start_node(uv_loop_t *loop, const struct config *config, struct catalogue *catalogue,
                                 struct cluster *cluster, char *error, size_t error_size);

/* Stop listening, commit everything, free everything. Run the loop once more afterwards for close callbacks. False: the
 * last of it could not be committed. */
bool server_stop(struct server *server);

/* Have the URI of a listener show the port that the system has given. */
void server_show_port(struct listener *listener);

/* ---- for what brings messages ---- */

/* A message has come from a device, over `link`, which lives through the call. */
void server_receive(struct server *server, struct link *link, struct slice message);

/* Likewise, past the faults that are ordered. */
void server_deliver(struct server *server, struct link *link, struct slice message);

/* The registration last seen on a link, NULL when there is none. */
struct registration *server_owner_of(const struct server *server, const struct link *link);

/* Publish `oddity`, or `rejected`. `arg` is the server. */
void server_tell_oddity(void *arg, struct link *link, bool rejected, const char *what);

/* ---- verbs ---- */

/* Forget a registration, as if the device had deregistered; publishes `deregistered` after the commit. `done` gets the
 * result of the commit (STORE_OK, also when the registration went meanwhile). Not found: false, and no call. */
bool server_forget(struct server *server, struct slice endpoint, store_done_fn *done, void *arg);

/* Something was done that leaves a heap full of holes when it is done a thousand times. */
void server_settle_later(struct server *server);

/* Leap protocol time by `by_ms`. `done` (it may be NULL) hears how many timers have fired when all that are due on the way
 * have: within this call when they are few, or else later, as others are served meanwhile. False: out of memory. */
typedef void server_leapt_fn(void *arg, uint64_t fired);
bool server_leap(struct server *server, uint64_t by_ms, server_leapt_fn *done, void *arg);

/* A leap is under way, so that what is late may only be late because time is leapt over. */
static inline bool server_is_leaping(const struct server *server) {
    return server->ticker.leaps != NULL;
}

/* Take a registration out of the directory and say so (DEREGISTERED); its deletion is stored or on its way. */
void server_drop(struct server *server, struct registration *registration, enum event_type type);

/* A clean slate: forget all devices, their queued requests and what is set for them (no events), the event log, the faults
 * that are ordered, the trace. Answers after the commit. */
enum server_reset {
    SERVER_RESET_DEVICES = 1,
    SERVER_RESET_EVENTS = 2,
    SERVER_RESET_FAULTS = 4,
    SERVER_RESET_MESSAGES = 8,
};
void server_reset(struct server *server, unsigned scopes, store_done_fn *done, void *arg);

/* NULL when the server can take registrations, else why not (a sentence). */
const char *server_not_ready(const struct server *server);

#endif
