/* Doing a scenario: step after step, over HTTP as any client would, until one fails. Its clock is the real one: protocol
 * time is what scenarios leap. */
#ifndef BERTH_WEB_SCENARIO_RUN_H
#define BERTH_WEB_SCENARIO_RUN_H

#include <uv.h>

#include "common/net/address.h"
#include "web/scenario/scenario.h"

enum { RUN_DEVICES_MAX = 16 };

/* Against what; it outlives the run. */
struct run_target {
    uv_loop_t *loop;
    struct address address;     /* of the HTTP side */
    const char *api_key;        /* NULL: none */
    const char *device_program; /* NULL: the scenario has no devices */
    const char *device_server;  /* --server of devices that are not told; NULL: none */
    const json_t *variables;    /* go before those of the scenario; NULL: none */
};

struct run_handlers {
    void (*step)(void *arg, const json_t *result); /* one is over; may be NULL */
    void (*done)(void *arg);                       /* all is; not called from within run_start */
    void (*closed)(void *arg);                     /* after run_free: nothing of it is left */
};

enum run_state { RUN_RUNNING, RUN_PASSED, RUN_FAILED, RUN_CANCELLED };

struct run;

/* Takes the scenario. NULL when out of memory; the scenario is freed then, too. */
struct run *run_start(struct scenario *scenario, const struct run_target *target, const struct run_handlers *handlers,
                      void *arg);

/* End it; `done` follows from the loop. */
void run_cancel(struct run *run);

enum run_state run_state(const struct run *run);

/* What has become of it so far; a new object. */
json_t *run_report(const struct run *run);

/* When `done` has been called, or with devices killed and without `done`; `closed` follows from the loop. */
void run_free(struct run *run);

#endif
