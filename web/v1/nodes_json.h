/* The servers on one database, as JSON. */
#ifndef BERTH_WEB_V1_NODES_JSON_H
#define BERTH_WEB_V1_NODES_JSON_H

#include <jansson.h>

#include "db/cluster.h"

/* What GET /v1/nodes answers at a node. */
json_t *nodes_json(struct cluster *cluster);

json_t *node_json(const struct cluster_node *node);

#endif
