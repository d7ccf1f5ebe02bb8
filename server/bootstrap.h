/* The bootstrap server (Core 1.2 §6.1): Bootstrap-Request and Bootstrap-Pack-Request, and the sessions that follow. A
 * session runs the steps of a plan (bootstrap_plan.h) one after the other, each when the one before was answered. Keys
 * that are made for a device are committed before it is told to use them, so that a device that has them is known,
 * whenever this process ends. An endpoint has one session, and so has a link: a new request ends what was under way. */
#ifndef BERTH_SERVER_BOOTSTRAP_H
#define BERTH_SERVER_BOOTSTRAP_H

#include "server/bootstrap_config.h"
#include "server/bootstrap_configs.h"
#include "server/server.h"

enum {
    BOOTSTRAP_SESSION_MAX_MS = 1800000, /* a session that takes longer has failed */
    BOOTSTRAP_REPORTS_MAX = 256,        /* of sessions that are over, one for an endpoint */
    BOOTSTRAP_ANSWER_KEPT_MAX = 8192,   /* of what a device tells of itself, for each answer */
    BOOTSTRAP_DIAGNOSTIC_MAX = 64,
};

struct bootstrap;

/* NULL when out of memory. */
struct bootstrap *bootstrap_new(struct server *server);
/* Ends all sessions without a word; first, before requests are ended and the store is closed. */
void bootstrap_stop(struct bootstrap *bootstrap);
/* After the store was closed. NULL is allowed. */
void bootstrap_free(struct bootstrap *bootstrap);

/* POST /bs and GET /bspack: answers the request. */
void bootstrap_take_request(struct server *server, const struct coap_request *request);
void bootstrap_take_pack_request(struct server *server, const struct coap_request *request);

/* The peer has gone, and nothing can be sent to it any more. */
void bootstrap_link_ended(struct server *server, const struct link *link);

/* The endpoint has registered: it has taken a Finish that it was sent, even if its answer was lost, since devices close
 * what they were bootstrapped over. */
void bootstrap_endpoint_registered(struct server *server, struct slice endpoint);

/* Whether a bootstrap goes on over the link. */
bool bootstrap_uses_link(const struct server *server, const struct link *link);

/* Bootstrap a registered device without its asking (LwM2M 1.0 §5.2.5). NULL, or why not: it has begun. */
const char *bootstrap_begin(struct server *server, struct slice endpoint);

/* The configuration that holds for an endpoint: its own, the default one, or the one compiled in. False: what is stored
 * can't be read. */
bool bootstrap_config_of(const struct server *server, struct slice endpoint, struct bootstrap_config *config,
                         bool *is_own);

/* ---- what became of a session ---- */

enum bootstrap_state { BOOTSTRAP_RUNNING, BOOTSTRAP_FINISHED, BOOTSTRAP_FAILED, BOOTSTRAP_SUPERSEDED };

struct bootstrap_record {
    enum bootstrap_verb verb;
    struct lwm2m_path path;
    uint64_t at_ms; /* protocol time of its end */
    uint8_t code;   /* 0: none came, and `outcome` says why */
    const char *outcome;
    uint32_t rtt_ms, retransmissions;
    size_t payload_len; /* of what was sent */
    size_t diagnostic_len;
    uint8_t diagnostic[BOOTSTRAP_DIAGNOSTIC_MAX];
    int format;         /* of what a Discover or Read was answered */
    size_t answer_len;  /* of it */
    size_t answer_kept; /* bytes that are here */
    uint8_t *answer;
};

struct bootstrap_report {
    struct slice endpoint, query;
    struct address address;
    enum bootstrap_state state;
    enum bootstrap_sequence sequence;
    int format;
    uint64_t started_ms, ended_ms;
    const char *reason; /* of a failure; "" else */
    const struct bootstrap_record *records;
    size_t record_count;
};

/* The endpoint's session under way, or its last one; valid until the loop turns. False: nothing is known of any. */
bool bootstrap_report_of(const struct server *server, struct slice endpoint, struct bootstrap_report *report);

const char *bootstrap_state_name(enum bootstrap_state state);

#endif
