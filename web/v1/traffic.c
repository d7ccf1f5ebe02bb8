#include "server/dtls_service.h"
#include "web/document.h"
#include "web/v1/device_problem.h"
#include "web/v1/v1.h"
#include "web/web.h"

static json_t *count_json(uint32_t in, uint32_t out) {
    json_t *json = json_object();
    json_object_set_new(json, "bytes_in", json_integer(in));
    json_object_set_new(json, "bytes_out", json_integer(out));
    return json;
}

static json_t *session_json(const struct link *link) {
    struct dtls_description session;
    if (!dtls_service_describe(link, &session))
        return json_null();
    const struct dtls_traffic *t = &session.traffic;
    json_t *json = json_object(), *handshake = count_json(t->handshake_in, t->handshake_out);
    json_object_set_new(handshake, "datagrams_in", json_integer(t->handshake_datagrams_in));
    json_object_set_new(handshake, "datagrams_out", json_integer(t->handshake_datagrams_out));
    json_object_set_new(json, "handshake", handshake);
    json_object_set_new(json, "records", count_json(t->records_in, t->records_out));
    json_object_set_new(json, "messages", count_json(t->content_in, t->content_out));
    json_object_set_new(json, "overhead", count_json(t->records_in - t->content_in, t->records_out - t->content_out));
    return json;
}

void v1_traffic_get(const struct call *call) {
    const struct registration *r = directory_find(call->web->server->directory, call->args[0]);
    if (r == NULL) {
        problem_send_not_registered(call->request, call->args[0]);
        return;
    }
    json_t *answer = json_object();
    json_object_set_new(answer, "endpoint", document_text(registration_endpoint(r)));
    json_object_set_new(answer, "transport", json_string(link_transport_name(r->link->listener->transport)));
    json_object_set_new(answer, "session", session_json(r->link));
    document_ok(call->request, answer);
}
