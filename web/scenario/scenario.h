/* A scenario: steps that are done one after the other against a server, and what is expected of each (docs/scenarios.md).
 * Here it is read and judged as a whole, before anything of it is done: its form, the names of variables, and as much
 * of each step as has no variables in it. */
#ifndef BERTH_WEB_SCENARIO_SCENARIO_H
#define BERTH_WEB_SCENARIO_SCENARIO_H

#include "web/matcher.h"

enum { SCENARIO_STEPS_MAX = 1000, SCENARIO_OPTIONS_MAX = 64 };

/* Of a step that does not say how long it may take, and of a scenario; in real time. */
enum {
    SCENARIO_STEP_MS = 60000,
    SCENARIO_WAIT_SLACK_MS = 10000, /* beyond the time-out of a wait */
    SCENARIO_MS = 600000,
    SCENARIO_MS_MAX = 3600000,
};

enum step_kind {
    STEP_REQUEST,
    STEP_WAIT,
    STEP_CLOCK,
    STEP_START,   /* of a device */
    STEP_COMMAND, /* likewise */
    STEP_OUTPUT,  /* likewise: what it is to print */
    STEP_STOP,    /* likewise */
};

struct step {
    enum step_kind kind;
    const json_t *document; /* the step */
    const json_t *action;   /* its member `request`, `wait`, `clock` or `device` */
};

struct scenario {
    json_t *document;
    uint64_t timeout_ms;
    size_t step_count;
    struct step steps[]; /* they point into the document */
};

/* What only `berth-server run` can do. */
struct scenario_means {
    bool devices;            /* start berth-device */
    bool server;             /* start a server, with the options that the scenario names */
    const json_t *variables; /* known beforehand, an object; NULL: none */
};

/* Holds `document`. NULL: `error` says what is wrong, and where. */
struct scenario *scenario_read(json_t *document, const struct scenario_means *means, struct document_error *error);
void scenario_free(struct scenario *scenario);

/* Its `name`, or "". */
const char *scenario_name(const struct scenario *scenario);

/* ---- a step whose variables are filled in ---- */

/* What is expected of an answer. */
struct expectation {
    struct matcher status, headers, body, text; /* `tests` is NULL: anything; of status: 200 to 299 */
};

/* `expect` of a step, or NULL. */
bool expectation_read(const json_t *expect, const char *at, struct expectation *expectation,
                      struct document_error *error);
void expectation_free(struct expectation *expectation);

/* Everything about a step that does not depend on variables. `at` is its place. */
bool step_check(enum step_kind kind, const json_t *step, const char *at, struct document_error *error);

/* How long it may take, in real time. */
uint64_t step_timeout_ms(enum step_kind kind, const json_t *step);

/* "request", "wait", "clock", "start", "command", "output", "stop" */
const char *step_kind_name(enum step_kind kind);

#endif
