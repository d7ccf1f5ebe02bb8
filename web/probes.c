#include "web/probes.h"

#include "web/document.h"
#include "web/web.h"

void probes_healthz(const struct call *call) {
    document_ok(call->request, json_pack("{ss}", "status", "ok"));
}

void probes_readyz(const struct call *call) {
    const char *why = server_not_ready(call->web->server);
    if (why == NULL)
        document_ok(call->request, json_pack("{ss}", "status", "ok"));
    else
        problem_send(call->request, PROBLEM_NOT_READY, "%s", why);
}

void root_get(const struct call *call) {
    static const char page[] = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Berth</title>\n"
                               "<h1>Berth " BERTH_VERSION "</h1>\n<p>An LwM2M server. Its API is described in "
                               "<a href=\"/v1/openapi.json\">/v1/openapi.json</a>; begin with "
                               "<a href=\"/v1/devices\">/v1/devices</a> and "
                               "<a href=\"/v1/events?poll=1&amp;after=0&amp;timeout=0s\">/v1/events</a>.</p>\n";
    http_respond(
        call->request,
        &(struct http_response){.status = 200, .content_type = "text/html; charset=utf-8", .body = slice_str(page)});
}

void favicon_get(const struct call *call) {
    http_respond(call->request, &(struct http_response){.status = 204});
}
