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

void favicon_get(const struct call *call) {
    http_respond(call->request, &(struct http_response){.status = 204});
}
