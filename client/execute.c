/* Execute (Core 1.2 §6.3.5). */
#include "client/object.h"
#include "client/request.h"
#include "common/lwm2m/execute_arguments.h"

void execute_answer(const struct target *target, const struct coap_request *request, struct answer *answer) {
    int format = coap_content_format(request->message);
    if (target->resource->execute == NULL) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be executed");
        return;
    }
    if (format != COAP_FORMAT_NONE && format != COAP_FORMAT_TEXT) {
        answer_with(answer, COAP_4_15_UNSUPPORTED_CONTENT_FORMAT, NULL);
        return;
    }
    if (request->body.len > 0 && !execute_arguments_valid(request->body)) {
        answer_with(answer, COAP_4_00_BAD_REQUEST, "the arguments are not well-formed");
        return;
    }
    target->resource->execute(target->object);
    answer->code = COAP_2_04_CHANGED;
}
