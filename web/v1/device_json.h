/* A registration as the API shows it. */
#ifndef BERTH_WEB_V1_DEVICE_JSON_H
#define BERTH_WEB_V1_DEVICE_JSON_H

#include <jansson.h>

#include "server/registration.h"

/* Written as text (web/json_text.h): nothing is read so often. */
void device_json_put(struct buffer *out, const struct registration *registration);

/* Its member `parameters`, as a tree: what a Register said that Berth has no field for. */
json_t *device_json_parameters(const struct registration *registration);

/* Whether a request would reach it: its connection, if it needs one, is there. */
bool device_json_reachable(const struct registration *registration);

#endif
