/* POST /v1/devices/{ep}/oscore/rederive: new keys for a device (RFC 8613 Appendix B.2). */
#include "server/oscore_service.h"
#include "web/v1/device_problem.h"
#include "web/v1/v1.h"

void v1_oscore_rederive(const struct call *call) {
    struct server *server = call->web->server;
    struct registration *r = directory_find(server->directory, call->args[0]);
    if (r == NULL)
        problem_send_not_registered(call->request, call->args[0]);
    else if (!oscore_service_rederive(server, r->link))
        problem_send(call->request, PROBLEM_CONFLICT, "The device has not registered with OSCORE.");
    else
        http_respond(call->request, &(struct http_response){.status = 204});
}
