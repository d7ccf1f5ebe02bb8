/* A berth-device that a scenario has started: commands on its standard input, events as lines of JSON on its output. */
#ifndef BERTH_WEB_SCENARIO_DEVICE_PROCESS_H
#define BERTH_WEB_SCENARIO_DEVICE_PROCESS_H

#include <uv.h>

#include "common/base/slice.h"

enum { DEVICE_PROCESS_LINE_MAX = 16 * 1024 };

struct device_process;

struct device_process_handlers {
    void (*line)(void *arg, struct slice line); /* without its end; longer ones are cut */
    /* It has ended: with an exit status, or by a signal, which is not 0 then. */
    void (*ended)(void *arg, int64_t status, int signal);
    void (*closed)(void *arg); /* the last call: nothing of it is left */
};

/* `arguments` begins with the program and ends with NULL. Its standard error is ours. NULL: *error is a negative error of
 * uv, and nothing is called. */
struct device_process *device_process_start(uv_loop_t *loop, char **arguments,
                                            const struct device_process_handlers *handlers, void *arg, int *error);

/* A line, without its end. False when it has ended, or the device does not read. */
bool device_process_command(struct device_process *process, struct slice line);

/* Have it end: SIGTERM or SIGKILL. */
void device_process_signal(struct device_process *process, int signal);

#endif
