/* What the server is and where it listens; what has gone on here lately. */
#include "common/net/cipher_suite.h"
#include "common/net/dtls.h"
#include "web/counts.h"
#include "web/document.h"
#include "web/v1/v1.h"
#include "web/web.h"

static const char *role_name(enum listener_role role) {
    static const char *const names[] = {
        [LISTENER_EVERYTHING] = "everything", [LISTENER_MANAGEMENT] = "management", [LISTENER_BOOTSTRAP] = "bootstrap"};
    return names[role];
}

static json_t *listeners_json(const struct server *server) {
    json_t *list = json_array();
    for (size_t i = 0; i < server->config->listener_count; i++) {
        const struct listener *l = &server->listeners[i];
        json_array_append_new(list, json_pack("{ssssss}", "uri", l->uri, "transport", link_transport_name(l->transport),
                                              "role", role_name((enum listener_role)l->role)));
    }
    return list;
}

static json_t *web_json(const struct web *web) {
    json_t *list = json_array();
    for (size_t i = 0; i < web->server->config->http_count; i++)
        json_array_append_new(
            list, json_pack("{ssss}", "uri", web->listeners[i].uri, "role", role_name(web->listeners[i].role)));
    return list;
}

static json_t *suites_json(void) {
    json_t *list = json_array();
    for (const int *id = cipher_suite_tls_ids(); *id != 0; id++)
        json_array_append_new(list, json_string(cipher_suite_name((uint16_t)*id)));
    return list;
}

void v1_server_get(const struct call *call) {
    const struct server *server = call->web->server;
    json_t *answer = json_object();
    json_object_set_new(answer, "version", json_string(BERTH_VERSION));
    json_object_set_new(answer, "role", json_string(role_name(call->role)));
    json_object_set_new(answer, "started_at", document_time(server->started_at_ms));
    json_object_set_new(answer, "listeners", listeners_json(server));
    json_object_set_new(answer, "http", web_json(call->web));
    json_object_set_new(answer, "cipher_suites", suites_json());
    json_object_set_new(answer, "draft_cid", json_boolean(dtls_has_draft_cid()));
    json_object_set_new(answer, "trace", json_boolean(server->trace != NULL));
    document_ok(call->request, answer);
}

void v1_counts_get(const struct call *call) {
    document_ok(call->request, counts_json(&call->web->counts));
}
