/* A registration as the API shows it. */
#ifndef BERTH_WEB_V1_DEVICE_JSON_H
#define BERTH_WEB_V1_DEVICE_JSON_H

#include <jansson.h>

#include "server/registration.h"

/* `now_ms` is protocol time: it decides whether a client with queue mode is awake. */
json_t *device_json(const struct registration *registration, uint64_t now_ms);

/* Whether the client listens now: without queue mode always, with it for a while after it was heard. */
bool device_is_awake(const struct registration *registration, uint64_t now_ms);

#endif
