/* DELETE on an object instance or resource instance: Delete (Core 1.2 §6.3.7). */
#include "common/coap/option.h"
#include "server/instance_change.h"
#include "web/v1/device_problem.h"
#include "web/v1/done.h"
#include "web/v1/target.h"
#include "web/v1/v1.h"

struct deletion {
    struct device_call call; /* first member */
    struct lwm2m_path path;
};

static void on_answered(struct device_call *call, const struct operation_result *result) {
    struct deletion *deletion = (struct deletion *)call;
    if (!device_problem_if_any(call, result))
        return;
    if (deletion->path.len == 2)
        instance_change(call->web->server, call->endpoint, &deletion->path, false);
    done_answer(call, result);
}

void v1_delete(const struct call *call) {
    struct target target;
    if (!target_read(call, &target))
        return;
    struct deletion *deletion = device_call_new(call, sizeof *deletion, target.text, on_answered);
    if (deletion == NULL)
        return;
    deletion->path = target.path;
    device_call_send(&deletion->call, &(struct operation_request){.method = COAP_DELETE,
                                                                  .path = slice_str(target.text),
                                                                  .accept = COAP_FORMAT_NONE,
                                                                  .content_format = COAP_FORMAT_NONE});
}
