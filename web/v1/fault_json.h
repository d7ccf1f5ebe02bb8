/* Faults as the API writes them (docs/faults.md). */
#ifndef BERTH_WEB_V1_FAULT_JSON_H
#define BERTH_WEB_V1_FAULT_JSON_H

#include <jansson.h>

#include "server/fault.h"

struct document_error;

/* Read an order. Its endpoint is what is there already: that of the path, or none. False: `error` says where it makes no
 * sense. */
bool fault_json_read(const json_t *body, struct fault_order *order, struct document_error *error);

/* What was ordered, with what was chosen for it, and the counts. */
json_t *fault_json(const struct fault *fault);

#endif
