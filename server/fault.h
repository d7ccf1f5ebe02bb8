/* Faults: what a test orders to go wrong (docs/faults.md). A fault says what is done, to which messages, and how often; it
 * ends by itself, and stays in the list with its counts until it is deleted or there are too many. Each time that one acts
 * is an event, `fault`. Nothing is stored: a restart ends all.
 *
 * The wire asks through fault_wire.h, and only while server->provoked says that there is something to ask for. */
#ifndef BERTH_SERVER_FAULT_H
#define BERTH_SERVER_FAULT_H

#include "server/message_kind.h"
#include "server/server.h"

enum {
    FAULTS_MAX = 1024, /* that have not ended */
    FAULTS_PER_DEVICE_MAX = 64,
    FAULTS_ENDED_MAX = 256, /* that have ended, and are still shown; then the oldest go */
    FAULT_TIMES_MAX = 1000000,
    FAULT_COPIES_MAX = 16,
    FAULT_HELD_MAX = 1024, /* messages held back at once, and their bytes; what is more passes at once */
    FAULT_HELD_BYTES_MAX = 4 << 20,
    FAULT_REORDER_MS = 2000, /* a message that waits to be overtaken goes then, whether it was or not */
};

enum fault_what {
    /* A message, or a datagram of DTLS. */
    FAULT_DROP,
    FAULT_DELAY,     /* by `delay_ms` */
    FAULT_DUPLICATE, /* `amount` copies more */
    FAULT_CORRUPT,   /* one byte: that at `amount`, or any (has_amount) */
    FAULT_TRUNCATE,  /* to `amount` bytes */
    FAULT_REORDER,   /* the next one goes before it */
    /* A message of ours. */
    FAULT_WRONG_TOKEN,
    FAULT_WRONG_MID,
    FAULT_OPTION, /* number `amount`, empty */
    /* One from a device. */
    FAULT_RESET,   /* is answered by a Reset, and nothing else comes of it */
    FAULT_ANSWER,  /* `code`, and max_age_s */
    FAULT_SILENCE, /* never: nor are its copies */
    /* Dealings; when a message comes, or at once. */
    FAULT_FORGET_SESSION, /* of DTLS; `amount` is the alert, if any */
    FAULT_FORGET_CID,
    FAULT_FORGET_REGISTRATION,
    FAULT_FORGET_OBSERVATIONS,
    FAULT_EXPIRE,
    FAULT_CLOSE_FIN,
    FAULT_CLOSE_RST,
    FAULT_CLOSE_NOTIFY,
    /* What lasts. */
    FAULT_HALF_OPEN,
    FAULT_REFUSE_RESUMPTION,
    FAULT_REFUSE_HANDSHAKE,
    FAULT_FILL_QUEUE,
    FAULT_TIME, /* peers are told a time that differs by `offset_s` */
    FAULT_WHATS,
};

#define FAULT_BIT(what) (1u << (what))

struct fault_order {
    struct slice endpoint; /* of the caller; data NULL: every device, and who is none yet */
    enum fault_what what;
    uint32_t on; /* which messages (message_kind.h); 0: none, it is done at once or lasts */
    bool in, out;
    uint32_t times; /* 0: without end */
    uint32_t after; /* so many pass first */
    double probability;
    uint64_t seed;
    uint64_t duration_ms; /* of protocol time; 0: without end */
    uint64_t delay_ms;
    int64_t offset_s;
    uint32_t amount; /* see enum fault_what */
    uint32_t max_age_s;
    uint8_t code;
    bool has_amount, has_max_age, is_random; /* is_random: a probability was asked for */
};

struct fault {
    struct fault *next;
    struct server *server;
    struct fault_order order; /* its endpoint lies behind this struct */
    uint64_t id;
    uint64_t endpoint_hash; /* 0: every device */
    uint64_t random;        /* where its sequence of random numbers is */
    uint64_t seen, fired;   /* messages that it was for, and those that it acted on */
    uint64_t ordered_at_ms;
    struct timer timer; /* the end of duration_ms */
    bool has_ended;
    char name[];
};

enum fault_refusal {
    FAULT_ORDERED,
    FAULT_TOO_MANY,
    FAULT_NOT_REGISTERED, /* and it is to be done at once */
    FAULT_NOT_SO,         /* the device has no such session, connection, registration … */
    FAULT_IMPOSSIBLE,     /* with this build */
};

/* Order it; *id is its number. */
enum fault_refusal fault_order(struct server *server, const struct fault_order *order, uint64_t *id);

/* The next one after `before` (NULL: the first), oldest first; of an endpoint, unless its data is NULL. */
const struct fault *fault_next(const struct server *server, const struct fault *before, struct slice endpoint);
const struct fault *fault_find(const struct server *server, uint64_t id);

/* Out of the list, ended or not; messages that it holds back go on their way. False: there is none. */
bool fault_delete(struct server *server, uint64_t id);

/* Those of an endpoint, or all (data NULL). */
void fault_clear(struct server *server, struct slice endpoint);

/* "drop" …, as the API names it. */
const char *fault_what_name(enum fault_what what);

/* Before the first message, and after the last. */
bool faults_start(struct server *server);
void faults_stop(struct server *server);

/* ---- for what asks ---- */

/* What a fault may be for. */
struct fault_subject {
    uint32_t kinds;
    uint64_t endpoint_hash;     /* fault_hash of the endpoint, 0: unknown */
    const struct address *peer; /* instead of it, for datagrams: the address of a registered device; NULL otherwise */
    bool is_out;
};

/* The one that acts on it, which is counted, among those that do one of `whats` (bits); NULL: none. */
struct fault *fault_pick(struct server *server, uint32_t whats, const struct fault_subject *subject);

/* Never 0. */
uint64_t fault_hash(const struct server *server, struct slice endpoint);

/* Publish that it has acted. `address` may be NULL. */
void fault_tell(struct server *server, const struct fault *fault, struct slice endpoint, const struct address *address,
                uint32_t kinds, bool is_out);

/* The next number of its sequence. */
uint64_t fault_random(struct fault *fault);

/* Whether a device may resume a session, or make one. */
bool fault_refuses(struct server *server, enum fault_what what, struct slice endpoint);

#endif
