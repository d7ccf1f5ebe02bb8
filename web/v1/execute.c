/* POST on a resource: Execute (Core 1.2 §6.3.5). */
#include "common/coap/option.h"
#include "common/lwm2m/execute_arguments.h"
#include "web/document.h"
#include "web/input.h"
#include "web/v1/device_problem.h"
#include "web/v1/done.h"
#include "web/v1/http_form.h"
#include "web/v1/target.h"
#include "web/v1/v1.h"

enum { ARGUMENTS_MAX = 4096 };

static void on_answered(struct device_call *call, const struct operation_result *result) {
    if (device_problem_if_any(call, result))
        done_answer(call, result);
}

/* {"args":"0='abc'"} */
static bool read_json(const struct call *call, struct buffer *arguments) {
    static const char *const members[] = {"args", NULL};
    json_t *body = input_body(call, members);
    if (body == NULL)
        return false;
    const json_t *args = json_object_get(body, "args");
    bool good = args == NULL || json_is_string(args);
    if (good)
        buffer_put_slice(arguments, document_string(args));
    else
        problem_send(call->request, PROBLEM_BAD_BODY, "args must be a text such as \"0='abc',1\".");
    json_decref(body);
    return good;
}

static bool read_arguments(const struct call *call, const struct target *target, struct buffer *arguments) {
    enum http_form form = http_form_of_body(call->request);
    struct slice body = call->request->body;
    /* No argument begins with a brace. */
    bool is_json = body.len > 0 && (form == HTTP_FORM_JSON || (form == HTTP_FORM_DEFAULT && body.data[0] == '{'));
    if (is_json) {
        if (!read_json(call, arguments))
            return false;
    } else if (body.len == 0 || form == HTTP_FORM_TEXT || form == HTTP_FORM_DEFAULT) {
        buffer_put_slice(arguments, body);
    } else {
        problem_send(call->request, PROBLEM_MEDIA_TYPE,
                     "The arguments of an Execute are text/plain, or application/json with a member args.");
        return false;
    }
    if (arguments->overflow) {
        problem_send(call->request, PROBLEM_BAD_BODY, "The arguments have more than %d bytes.", ARGUMENTS_MAX);
        return false;
    }
    if (target->force || arguments->len == 0 || execute_arguments_valid(buffer_slice(arguments)))
        return true;
    problem_send(call->request, PROBLEM_BAD_BODY,
                 "The arguments must be like 0='abc',1,7='x': digits, each at most once, with or without a value in "
                 "quotes (Core 1.2 §6.3.5). With force=1 they are sent all the same.");
    return false;
}

void v1_execute(const struct call *call) {
    struct target target;
    uint8_t memory[ARGUMENTS_MAX];
    struct buffer arguments = buffer_over(memory, sizeof memory);
    if (!target_read(call, &target) || !read_arguments(call, &target, &arguments))
        return;
    struct device_call *device_call = device_call_new(call, sizeof *device_call, target.text, on_answered);
    if (device_call == NULL)
        return;
    device_call_send(device_call, &(struct operation_request){.method = COAP_POST,
                                                              .path = slice_str(target.text),
                                                              .payload = buffer_slice(&arguments),
                                                              .accept = COAP_FORMAT_NONE,
                                                              .content_format = arguments.len == 0 ? COAP_FORMAT_NONE
                                                                                                   : COAP_FORMAT_TEXT});
}
