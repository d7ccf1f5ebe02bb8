/* Scenarios that run inside the server: POST /v1/scenarios and what is below it. They ask this server over its own HTTP
 * port. */
#ifndef BERTH_WEB_V1_SCENARIOS_H
#define BERTH_WEB_V1_SCENARIOS_H

#include "web/web.h"

enum { SCENARIOS_RUNNING_MAX = 8, SCENARIOS_KEPT_MAX = 50 };

/* The web stops: those that run are ended, all are forgotten. Before http_close. */
void scenarios_end_all(struct web *web);

#endif
