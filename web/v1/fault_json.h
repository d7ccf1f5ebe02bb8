/* Faults as the API writes them (docs/faults.md). */
#ifndef BERTH_WEB_V1_FAULT_JSON_H
#define BERTH_WEB_V1_FAULT_JSON_H

#include <jansson.h>

#include "server/fault.h"

/* The members that an order may have; ends with NULL. */
extern const char *const fault_json_members[];

/* Read an order. Its endpoint is what is there already: that of the path, or none. False: `why` says which member is wrong,
 * and what would be right. */
bool fault_json_read(const json_t *body, struct fault_order *order, char *why, size_t why_size);

/* What was ordered, with what was chosen for it, and the counts. */
json_t *fault_json(const struct fault *fault);

#endif
