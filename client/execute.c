/* Execute (Core 1.2 §6.3.5). */
#include "client/object.h"
#include "client/request.h"
#include "common/lwm2m/execute_arguments.h"

void execute_answer(const struct target *target, const struct coap_request *request, struct answer *answer) {
    int format = coap_content_format(request->message);
    const struct behaviour *behaviour = target->resource->behaviour;
    if ((target->resource->operations & OPERATION_E) == 0 || behaviour->execute == NULL) {
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
    const char *why = behaviour->execute(target->object, target->instance);
    answer_with(answer, why == NULL ? COAP_2_04_CHANGED : COAP_4_05_METHOD_NOT_ALLOWED, why);
}
