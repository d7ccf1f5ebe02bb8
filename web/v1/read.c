/* GET /v1/devices/{endpoint}/{object}[/{instance}[/{resource}[/{resource_instance}]]]: Read (Core 1.2 §6.3.1); and PUT
 * …/observe: Observe (§6.4.1), a Read that goes on. */
#include "common/coap/option.h"
#include "server/format_choice.h"
#include "web/v1/attributes.h"
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
    bool observes;
    size_t query_len;
    uint8_t query[ATTRIBUTES_QUERY_MAX];
};

static void ask(struct read *read) {
    device_call_send(&read->call, &(struct operation_request){.method = COAP_GET,
                                                              .path = slice_str(read->call.target),
                                                              .query = slice_of(read->query, read->query_len),
                                                              .accept = read->choices.formats[read->choice],
                                                              .content_format = COAP_FORMAT_NONE,
                                                              .observed = read->observes ? &read->path : NULL,
                                                              .observed_count = 1});
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

/* Ready to be asked; NULL: the request is answered. */
static struct read *begin(const struct call *call, const struct target *target) {
    struct format_choices choices = {.count = 1};
    struct data_form form;
    bool forced;
    struct format_subject subject = target_subject(call, target);
    if (!target_content_format(call, target, &subject, &choices.formats[0], &forced) || !data_form_read(call, &form))
        return NULL;
    if (!forced)
        format_choices_for_read(target->registration, &subject, &choices);
    struct read *read = device_call_new(call, sizeof *read, target->text, on_answered);
    if (read == NULL)
        return NULL;
    read->path = target->path;
    read->choices = choices;
    read->form = form;
    return read;
}

void v1_read(const struct call *call) {
    struct target target;
    struct read *read = target_read(call, &target) ? begin(call, &target) : NULL;
    if (read != NULL)
        ask(read);
}

/* Attributes in the request came with 1.2, and hold for this observation only (§6.4.1). */
static bool read_attributes(const struct call *call, const struct target *target, struct buffer *query) {
    return call->request->body.len == 0 || (target_allows(call, target, LWM2M_1_2, "An Observe with attributes") &&
                                            attributes_read_body(call, target, call->request->body, query));
}

void v1_observe(const struct call *call) {
    uint8_t memory[ATTRIBUTES_QUERY_MAX];
    struct buffer query = buffer_over(memory, sizeof memory);
    struct target target;
    if (!target_read(call, &target) || !read_attributes(call, &target, &query))
        return;
    struct read *read = begin(call, &target);
    if (read == NULL)
        return;
    read->observes = true;
    read->query_len = query.len;
    memcpy(read->query, memory, query.len);
    ask(read);
}
