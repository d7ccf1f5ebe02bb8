#include "web/v1/nodes_json.h"

#include <stdlib.h>

#include "web/document.h"

static const char *state_name(enum cluster_state state) {
    static const char *const names[] = {
        [CLUSTER_SERVES] = "serves", [CLUSTER_STANDS_BY] = "stands_by", [CLUSTER_GONE] = "gone"};
    return names[state];
}

json_t *node_json(const struct cluster_node *node) {
    return json_pack("{sisssbsssssoso}", "number", (int)node->number, "state", state_name(node->state), "self",
                     (int)node->is_self, "api", node->api, "version", node->version, "started_at",
                     document_time(node->started_ms), "alive_at", document_time(node->alive_ms));
}

json_t *nodes_json(struct cluster *cluster) {
    struct cluster_node *nodes = calloc(CLUSTER_NODES_MAX, sizeof *nodes);
    json_t *items = json_array();
    size_t count = nodes == NULL ? 0 : cluster_list(cluster, nodes, CLUSTER_NODES_MAX);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(items, node_json(&nodes[i]));
    free(nodes);
    return json_pack("{so}", "items", items);
}
