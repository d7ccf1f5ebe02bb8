/* GET /v1/devices/{endpoint}/{object}[/{instance}[/{resource}[/{resource_instance}]]]: Read (Core 1.2 §6.3.1). */
#include "common/coap/option.h"
#include "server/format_choice.h"
#include "web/v1/data_answer.h"
#include "web/v1/device_problem.h"
#include "web/v1/target.h"
#include "web/v1/v1.h"

struct read {
    struct device_call call; /* first member */
    struct lwm2m_path path;
    struct format_choices choices;
    size_t choice;
    struct data_form form;
};

static void ask(struct read *read) {
    device_call_send(&read->call, &(struct operation_request){.method = COAP_GET,
                                                              .path = slice_str(read->call.target),
                                                              .accept = read->choices.formats[read->choice],
                                                              .content_format = COAP_FORMAT_NONE});
}

/* What was taken only after something else had been refused comes first the next time. */
static void remember_format(struct read *read) {
    struct registration *r = directory_find(read->call.web->server->directory, read->call.endpoint);
    if (r != NULL && read->choice > 0)
        format_worked_for_read(r, read->choices.formats[read->choice]);
}

static void on_answered(struct device_call *call, const struct operation_result *result) {
    struct read *read = (struct read *)call;
    if (operation_refuses_format(result) && read->choice + 1 < read->choices.count) {
        read->choice++;
        ask(read);
    } else if (device_problem_if_any(call, result)) {
        remember_format(read);
        data_answer(call, result, &read->path, read->choices.formats[read->choice], &read->form);
    }
}

void v1_read(const struct call *call) {
    struct target target;
    struct format_choices choices = {.count = 1};
    struct data_form form;
    bool forced;
    if (!target_read(call, &target) || !target_format(call, &target, &choices.formats[0], &forced) ||
        !data_form_read(call, &form))
        return;
    struct format_subject subject = target_subject(call, &target);
    if (!forced)
        format_choices_for_read(target.registration, &subject, &choices);
    struct read *read = device_call_new(call, sizeof *read, target.text, on_answered);
    if (read == NULL)
        return;
    read->path = target.path;
    read->choices = choices;
    read->form = form;
    ask(read);
}
