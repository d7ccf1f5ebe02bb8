#include "web/v1/done.h"

#include "web/v1/device_problem.h"

void done_answer(struct device_call *call, const struct operation_result *result) {
    char header[COAP_CODE_HEADER_MAX];
    coap_code_header(result->message->code, header);
    http_respond(device_call_end(call), &(struct http_response){.status = 204, .headers = header});
}
