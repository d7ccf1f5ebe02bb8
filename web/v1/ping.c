/* POST /v1/devices/{ep}/ping: whether a device is there (RFC 7252 §4.3, RFC 8323 §5.4). */
#include "web/document.h"
#include "web/v1/device_problem.h"
#include "web/v1/v1.h"

static void on_answered(struct device_call *call, const struct operation_result *result) {
    if (result->outcome != OPERATION_ANSWERED) {
        device_problem_if_any(call, result);
        return;
    }
    json_t *answer = json_object();
    json_object_set_new(answer, "rtt_ms", json_integer(result->rtt_ms));
    json_object_set_new(answer, "retransmissions", json_integer(result->retransmissions));
    document_send(device_call_end(call), 200, "application/json", NULL, answer);
}

void v1_ping_post(const struct call *call) {
    struct device_call *ping = device_call_new(call, sizeof *ping, "message (ping)", on_answered);
    if (ping != NULL)
        device_call_ping(ping);
}
