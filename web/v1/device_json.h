/* A registration as the API shows it. */
#ifndef BERTH_WEB_V1_DEVICE_JSON_H
#define BERTH_WEB_V1_DEVICE_JSON_H

#include <jansson.h>

#include "server/registration.h"

json_t *device_json(const struct registration *registration);

/* Whether a request would reach it: its connection, if it needs one, is there. */
bool device_json_reachable(const struct registration *registration);

#endif
