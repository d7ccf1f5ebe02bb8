/* What a bootstrap session does, as a list of steps: which a maker wrote, the standard's (Core 1.2 §6.1.3.3), the
 * vendor's or that of packs, and which the session runs without knowing whose it is. */
#ifndef BERTH_SERVER_BOOTSTRAP_PLAN_H
#define BERTH_SERVER_BOOTSTRAP_PLAN_H

#include "server/bootstrap_config.h"

enum { BOOTSTRAP_DISCOVERED_MAX = 16 };

struct bootstrap_step {
    enum bootstrap_verb verb;
    struct lwm2m_path path;
    size_t first, count; /* of the plan's nodes: what is written */
};

struct bootstrap_plan {
    struct bootstrap_step *steps;
    size_t step_count;
    struct lwm2m_node *nodes; /* values lie where the configuration has them, or in `text` */
    size_t node_count;
    struct buffer text;
    size_t size; /* of its memory, one block */
};

/* What is known of a device. */
struct bootstrap_facts {
    struct slice endpoint, account, device_id; /* what {endpoint}, {account} and {id} stand for */
    bool is_1_0;                               /* as far as is known: mandatory resources are written, also empty */
    bool knows_occupied;                       /* else it is guessed */
    struct lwm2m_path occupied[BOOTSTRAP_DISCOVERED_MAX]; /* instances of /0 and /21 of its bootstrap account */
    size_t occupied_count;
};

/* Read what a Bootstrap-Discover answered into occupied[]: instances of Security and OSCORE without a short id (C
 * §6.1.7.3). What can't be read is passed over. */
void bootstrap_discovered(struct slice links, struct bootstrap_facts *facts);

/* Append `text` with what {endpoint}, {account} and {id} stand for; other braces stay. */
void bootstrap_expand(struct buffer *out, struct slice text, const struct bootstrap_facts *facts);

/* What is asked before anything is changed: Discovers and Reads. NULL when out of memory. */
struct bootstrap_plan *bootstrap_plan_look(const struct bootstrap_config *config, enum bootstrap_sequence sequence);

/* What is then done: Deletes, Writes, Finish; of a pack, one Write of everything. `config` has its accounts filled in
 * (bootstrap_keys.h), and outlives the plan. NULL: *problem. */
struct bootstrap_plan *bootstrap_plan_give(const struct bootstrap_config *config, enum bootstrap_sequence sequence,
                                           const struct bootstrap_facts *facts, const char **problem);

/* The payload of a Write, in allocated memory, which the caller zeroes and frees (payload->data). False: the format
 * can't tell it, or out of memory. */
bool bootstrap_plan_encode(const struct bootstrap_plan *plan, const struct bootstrap_step *step, int format,
                           struct buffer *payload);

/* Zeroes it. NULL is allowed. */
void bootstrap_plan_free(struct bootstrap_plan *plan);

#endif
