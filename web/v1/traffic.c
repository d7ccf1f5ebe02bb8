#include "server/traffic.h"
#include "server/dtls_service.h"
#include "web/document.h"
#include "web/v1/device_problem.h"
#include "web/v1/traffic_json.h"
#include "web/v1/v1.h"
#include "web/web.h"

json_t *traffic_json_total(const struct link *link) {
    struct traffic_table table;
    uint64_t in = 0, out = 0;
    traffic_of(link, &table);
    for (size_t way = 0; way < TRAFFIC_WAYS; way++) {
        for (size_t kind = 0; kind < TRAFFIC_KINDS; kind++) {
            in += table.counts[way][kind].bytes_in;
            out += table.counts[way][kind].bytes_out;
        }
    }
    return json_pack("{sIsI}", "bytes_in", (json_int_t)in, "bytes_out", (json_int_t)out);
}

static json_t *count_json(uint32_t in, uint32_t out) {
    json_t *json = json_object();
    json_object_set_new(json, "bytes_in", json_integer(in));
    json_object_set_new(json, "bytes_out", json_integer(out));
    return json;
}

static json_t *session_json(const struct link *link) {
    struct dtls_description session;
    struct tls_description connection;
    bool is_dtls = dtls_service_describe(link, &session);
    if (!is_dtls && !stream_describe_tls(link, &connection))
        return json_null();
    const struct dtls_traffic *t = is_dtls ? &session.traffic : &connection.traffic;
    json_t *json = json_object(), *handshake = count_json(t->handshake_in, t->handshake_out);
    if (is_dtls) {
        json_object_set_new(handshake, "datagrams_in", json_integer(t->handshake_datagrams_in));
        json_object_set_new(handshake, "datagrams_out", json_integer(t->handshake_datagrams_out));
    }
    json_object_set_new(json, "handshake", handshake);
    json_object_set_new(json, "records", count_json(t->records_in, t->records_out));
    json_object_set_new(json, "messages", count_json(t->content_in, t->content_out));
    json_object_set_new(json, "overhead", count_json(t->records_in - t->content_in, t->records_out - t->content_out));
    return json;
}

static json_t *kinds_json(const struct traffic_count counts[TRAFFIC_KINDS]) {
    json_t *json = json_object();
    for (size_t kind = 0; kind < TRAFFIC_KINDS; kind++) {
        json_t *count = count_json(counts[kind].bytes_in, counts[kind].bytes_out);
        json_object_set_new(count, "count", json_integer(counts[kind].count));
        json_object_set_new(json, traffic_kind_name((enum traffic_kind)kind), count);
    }
    return json;
}

static void put_account(json_t *answer, const struct link *link) {
    struct traffic_table table;
    json_t *over = json_object();
    traffic_of(link, &table);
    for (size_t way = 0; way < TRAFFIC_WAYS; way++) {
        if (table.used[way])
            json_object_set_new(over, traffic_way_name((enum traffic_way)way), kinds_json(table.counts[way]));
    }
    json_object_set_new(answer, "total", traffic_json_total(link));
    json_object_set_new(answer, "over", over);
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
    put_account(answer, link_carrier(r->link));
    json_object_set_new(answer, "session", session_json(r->link));
    document_ok(call->request, answer);
}
