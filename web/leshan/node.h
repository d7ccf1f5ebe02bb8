/* Data of LwM2M as the Leshan demo server's JSON has it: nodes of a `kind`, numbers as strings, Opaque in hexadecimal, a
 * Time in milliseconds. */
#ifndef BERTH_WEB_LESHAN_NODE_H
#define BERTH_WEB_LESHAN_NODE_H

#include <jansson.h>

#include "common/lwm2m/node.h"

/* Values that were told, in the order of lwm2m_nodes_arrange, as JSON already: so they outlive the bytes they came from.
 * All zero is an empty list. */
struct leshan_values {
    struct leshan_value *values;
    size_t count, cap;
};

/* "STRING" … */
const char *leshan_node_type_name(enum lwm2m_type type);

/* False when out of memory. */
bool leshan_values_add(struct leshan_values *list, const struct lwm2m_node *node);

/* Whether there is a value for the path among the first of them, and neither it nor `node` has a time: it has been told
 * again. */
bool leshan_values_has(const struct leshan_values *list, const struct lwm2m_node *node);

void leshan_values_clear(struct leshan_values *list);

/* The node at `base`; of several values of different times the newest. */
json_t *leshan_node_json(const struct leshan_values *list, const struct lwm2m_path *base);

/* {"/3/0/9":{…}}: every resource or resource instance by its path. */
json_t *leshan_node_paths_json(const struct leshan_values *list);

/* Of that the node at `base`, put together from what lies there and below. NULL: there is nothing. */
json_t *leshan_node_gather(const json_t *paths, const struct lwm2m_path *base);

/* A node that is to be written to `path` in the words of /v1 (web/v1/value_json.h). NULL: `error` says why. */
json_t *leshan_node_read(const json_t *node, const struct lwm2m_path *path, char *error, size_t error_size);

/* The same for what is to be created in an object. */
json_t *leshan_node_read_new(const json_t *node, char *error, size_t error_size);

#endif
