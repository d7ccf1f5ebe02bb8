/* The servers on this one's database: which serves, and which stand by. */
#include <stdio.h>

#include "web/document.h"
#include "web/v1/nodes_json.h"
#include "web/v1/v1.h"
#include "web/web.h"

/* One that is no node of a cluster is alone. */
static json_t *alone_json(const struct web *web) {
    const struct server *server = web->server;
    struct cluster_node node = {.number = server->config->dtls.node,
                                .is_self = true,
                                .state = CLUSTER_SERVES,
                                .started_ms = server->started_at_ms,
                                .alive_ms = clock_now_ms(&server->clock),
                                .version = BERTH_VERSION};
    snprintf(node.api, sizeof node.api, "%s", web_uri(web, 0));
    return json_pack("{s[o]}", "items", node_json(&node));
}

void v1_nodes_get(const struct call *call) {
    struct cluster *cluster = call->web->server->cluster;
    document_ok(call->request, cluster == NULL ? alone_json(call->web) : nodes_json(cluster));
}
