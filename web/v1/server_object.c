/* POST …/update, …/disable, …/bootstrap and PUT …/mute-send: what a server has a client do through the LwM2M Server
 * object (Core 1.2 §6.2.2, §6.2.1.2, Appendix E.2). */
#include <stdio.h>

#include "common/coap/option.h"
#include "common/lwm2m/link_format.h"
#include "server/definition.h"
#include "web/document.h"
#include "web/input.h"
#include "web/v1/device_problem.h"
#include "web/v1/device_wait.h"
#include "web/v1/done.h"
#include "web/v1/target.h"
#include "web/v1/v1.h"

enum { SERVER_OBJECT = 1 };

enum server_resource {
    RESOURCE_DISABLE = 4,
    RESOURCE_DISABLE_TIMEOUT = 5,
    RESOURCE_BINDING = 7,
    RESOURCE_UPDATE_TRIGGER = 8,
    RESOURCE_BOOTSTRAP_TRIGGER = 9,
    RESOURCE_MUTE_SEND = 23,
};

enum { BINDINGS_MAX = 64, PAYLOAD_MAX = 256 };

/* In seconds that fit into 32 bits. */
static const uint64_t DISABLE_MAX_MS = (uint64_t)INT32_MAX * 1000;

enum trigger_step { STEP_READ_BINDING, STEP_WRITE, STEP_EXECUTE };

/* Up to two requests, one after the other. */
struct trigger {
    struct device_call call; /* first member */
    enum trigger_step step;
    char path[32]; /* of the request under way */
    uint16_t instance;
    enum server_resource execute; /* the last step; RESOURCE_MUTE_SEND: there is none */
    enum server_resource write;
    struct lwm2m_value value; /* to be written */
    struct format_choices choices;
    size_t choice;
    char binding; /* to be updated over; '\0': as the client likes */
    bool waits;   /* for the Update */
    uint64_t after, timeout_ms;
};

/* ---- the request under way ---- */

static struct lwm2m_path path_of(const struct trigger *trigger, enum server_resource resource) {
    return (struct lwm2m_path){.ids = {SERVER_OBJECT, trigger->instance, (uint16_t)resource}, .len = 3};
}

static void set_path(struct trigger *trigger, enum server_resource resource) {
    snprintf(trigger->path, sizeof trigger->path, "/%d/%u/%d", SERVER_OBJECT, (unsigned)trigger->instance,
             (int)resource);
    trigger->call.target = trigger->path;
}

static void send_execute(struct trigger *trigger) {
    const char arguments[] = {'0', '=', '\'', trigger->binding, '\''};
    bool has_binding = trigger->binding != '\0';
    trigger->step = STEP_EXECUTE;
    set_path(trigger, trigger->execute);
    device_call_send(&trigger->call,
                     &(struct operation_request){.method = COAP_POST,
                                                 .path = slice_str(trigger->path),
                                                 .payload = slice_of(arguments, has_binding ? sizeof arguments : 0),
                                                 .accept = COAP_FORMAT_NONE,
                                                 .content_format = has_binding ? COAP_FORMAT_TEXT : COAP_FORMAT_NONE});
}

static void send_read(struct trigger *trigger) {
    trigger->step = STEP_READ_BINDING;
    set_path(trigger, RESOURCE_BINDING);
    device_call_send(&trigger->call, &(struct operation_request){.method = COAP_GET,
                                                                 .path = slice_str(trigger->path),
                                                                 .accept = trigger->choices.formats[trigger->choice],
                                                                 .content_format = COAP_FORMAT_NONE});
}

static void send_write(struct trigger *trigger) {
    uint8_t memory[PAYLOAD_MAX];
    struct buffer out = buffer_over(memory, sizeof memory);
    const struct registration *r = directory_find(trigger->call.web->server->directory, trigger->call.endpoint);
    struct lwm2m_node node = {.path = path_of(trigger, trigger->write), .value = trigger->value};
    struct lwm2m_encode_context context = {
        .base = node.path, .root = r == NULL ? SLICE_NONE : registration_root(r), .mode = SENML_CONTENT};
    int format = trigger->choices.formats[trigger->choice];
    lwm2m_encode(format, &node, 1, &context, &out); /* an Integer or Boolean, which every format has and which fits */
    trigger->step = STEP_WRITE;
    set_path(trigger, trigger->write);
    device_call_send(&trigger->call, &(struct operation_request){.method = COAP_PUT,
                                                                 .path = slice_str(trigger->path),
                                                                 .payload = buffer_slice(&out),
                                                                 .accept = COAP_FORMAT_NONE,
                                                                 .content_format = format});
}

/* ---- its answer ---- */

/* The value of /1/x/7, such as "UT". False: the call is over. */
static bool decode_binding(struct trigger *trigger, const struct operation_result *result, struct buffer *letters) {
    struct server *server = trigger->call.web->server;
    const struct registration *r = directory_find(server->directory, trigger->call.endpoint);
    struct definitions definitions = definitions_of(server, r);
    uint8_t memory[PAYLOAD_MAX];
    struct buffer scratch = buffer_over(memory, sizeof memory);
    struct lwm2m_node node;
    struct lwm2m_nodes nodes = lwm2m_nodes_over(&node, 1);
    struct lwm2m_decode_context context = {.base = path_of(trigger, RESOURCE_BINDING),
                                           .root = r == NULL ? SLICE_NONE : registration_root(r),
                                           .now_ms = (int64_t)clock_now_ms(&server->clock),
                                           .mode = SENML_CONTENT,
                                           .type_of = definition_type_of,
                                           .arg = &definitions};
    int format = coap_content_format(result->message), asked = trigger->choices.formats[trigger->choice];
    if (format < 0)
        format = asked < 0 ? COAP_FORMAT_TEXT : asked;
    if (result->body.len <= PAYLOAD_MAX / 2 && lwm2m_decode(format, result->body, &context, &scratch, &nodes) &&
        nodes.count == 1 && node.value.type == LWM2M_STRING)
        buffer_put_slice(letters, node.value.bytes);
    if (letters->len > 0 && !letters->overflow)
        return true;
    device_problem_undecodable(&trigger->call, result, "it does not tell the bindings of the device");
    return false;
}

static void take_binding(struct trigger *trigger, const struct operation_result *result) {
    uint8_t memory[BINDINGS_MAX];
    struct buffer letters = buffer_over(memory, sizeof memory);
    if (!decode_binding(trigger, result, &letters))
        return;
    if (memchr(memory, trigger->binding, letters.len) != NULL)
        send_execute(trigger);
    else
        device_call_refuse(&trigger->call, PROBLEM_NOT_SENT,
                           "%s of the device lists the bindings \"%.*s\", and %c is not among them (Core 1.2 "
                           "§6.2.1.2). With force=1 it is sent all the same.",
                           trigger->path, (int)letters.len, (const char *)memory, trigger->binding);
}

/* The number of the last event before the Execute was sent: an Update that overtook its answer counts. */
static uint64_t event_before(const struct trigger *trigger, const struct operation_result *result) {
    const struct server *server = trigger->call.web->server;
    uint64_t sent_ms = clock_now_ms(&server->clock) - result->rtt_ms, last = trigger->after;
    struct event event;
    while (event_after(server->events, last, &event) && event.ts_ms < sent_ms)
        last = event.id;
    return last;
}

static void finish(struct trigger *trigger, const struct operation_result *result) {
    if (!trigger->waits) {
        done_answer(&trigger->call, result);
        return;
    }
    uint8_t memory[256];
    struct buffer endpoint = buffer_over(memory, sizeof memory); /* that of a registered device fits */
    struct web *web = trigger->call.web;
    uint64_t after = event_before(trigger, result), timeout_ms = trigger->timeout_ms;
    buffer_put_slice(&endpoint, trigger->call.endpoint);
    device_wait_for_update(web, device_call_end(&trigger->call), buffer_slice(&endpoint), after, timeout_ms);
}

static void on_answered(struct device_call *call, const struct operation_result *result) {
    struct trigger *trigger = (struct trigger *)call;
    struct registration *r = directory_find(call->web->server->directory, call->endpoint);
    bool tries_again = trigger->step != STEP_EXECUTE && operation_refuses_format(result) &&
                       trigger->choice + 1 < trigger->choices.count;
    trigger->choice += tries_again;
    if (!tries_again && !device_problem_if_any(call, result))
        return;
    int format = trigger->choices.formats[trigger->choice];
    switch (trigger->step) {
    case STEP_READ_BINDING:
        if (tries_again) {
            send_read(trigger);
            return;
        }
        if (r != NULL && trigger->choice > 0)
            format_worked_for_read(r, format);
        take_binding(trigger, result);
        return;
    case STEP_WRITE:
        if (tries_again) {
            send_write(trigger);
            return;
        }
        if (r != NULL && trigger->choice > 0)
            format_worked_for_write(r, format);
        if (trigger->execute == RESOURCE_MUTE_SEND)
            finish(trigger, result);
        else
            send_execute(trigger);
        return;
    case STEP_EXECUTE:
        finish(trigger, result);
        return;
    }
}

/* ---- what is asked for ---- */

/* The lowest instance of the object that the device announced; of an object that is listed without instances the first
 * one: some clients list their single instances that way. */
static bool announced_instance(const struct registration *r, uint64_t *instance) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path path;
    uint16_t lowest = LWM2M_ID_NONE;
    bool has_object = false;
    link_format_start(&cursor, registration_links(r));
    while (link_format_next(&cursor, &link)) {
        if (!lwm2m_path_parse(link.target, &path, NULL) || path.len == 0 || path.ids[0] != SERVER_OBJECT)
            continue;
        has_object = true;
        if (path.len >= 2 && path.ids[1] < lowest)
            lowest = path.ids[1];
    }
    *instance = lowest == LWM2M_ID_NONE ? 0 : lowest;
    return has_object;
}

static bool read_instance(const struct call *call, const struct target *target, uint16_t *instance) {
    uint64_t number = 0;
    if (!input_number(call, "instance", 0, LWM2M_ID_MAX, &number))
        return false;
    if (!input_given(call, "instance") && !announced_instance(target->registration, &number) && !target->force) {
        problem_send(call->request, PROBLEM_NOT_SENT,
                     "The device has not announced an instance of object 1, the LwM2M Server object. With instance= or "
                     "force=1 it is asked all the same.");
        return false;
    }
    *instance = (uint16_t)number;
    return true;
}

/* NULL: the request is answered. `ends_with`: see struct trigger. */
static struct trigger *begin(const struct call *call, struct target *target, enum server_resource ends_with) {
    uint16_t instance;
    if (!read_instance(call, target, &instance))
        return NULL;
    struct trigger *trigger = device_call_new(call, sizeof *trigger, "/1", on_answered);
    if (trigger == NULL)
        return NULL;
    trigger->instance = instance;
    trigger->execute = ends_with;
    return trigger;
}

static void start_write(struct trigger *trigger, const struct target *target, enum server_resource resource,
                        struct lwm2m_value value) {
    struct format_subject subject = {
        .path = path_of(trigger, resource), .type = value.type, .is_single = true, .is_known = true};
    trigger->write = resource;
    trigger->value = value;
    format_choices_for_write(target->registration, &subject, false, false, &trigger->choices);
    send_write(trigger);
}

static void start_read(struct trigger *trigger, const struct target *target) {
    struct format_subject subject = {
        .path = path_of(trigger, RESOURCE_BINDING), .type = LWM2M_STRING, .is_single = true, .is_known = true};
    format_choices_for_read(target->registration, &subject, &trigger->choices);
    send_read(trigger);
}

/* {"binding":"U"}, or nothing. */
static bool read_binding(const struct call *call, const struct target *target, char *binding) {
    static const char *const members[] = {"binding", NULL};
    *binding = '\0';
    if (call->request->body.len == 0)
        return true;
    json_t *body = input_body(call, members);
    if (body == NULL)
        return false;
    const json_t *value = json_object_get(body, "binding");
    struct slice text = document_string(value);
    bool is_letter = json_is_string(value) && text.len == 1 && memchr("UMHTSN", text.data[0], 6) != NULL;
    if (is_letter)
        *binding = (char)text.data[0];
    json_decref(body);
    if (value == NULL)
        return true;
    if (is_letter)
        return target_allows(call, target, LWM2M_1_2, "The binding of a Registration Update Trigger");
    problem_send(call->request, PROBLEM_BAD_BODY, "binding must be one of U, M, H, T, S and N.");
    return false;
}

static bool read_wait(const struct call *call, bool *waits, uint64_t *timeout_ms) {
    if (!target_switch(call, "wait", waits) || !input_timeout(call, timeout_ms))
        return false;
    if (*waits || !input_given(call, "timeout"))
        return true;
    problem_send(call->request, PROBLEM_BAD_PARAMETER, "timeout goes with wait=1 only.");
    return false;
}

void v1_trigger_update(const struct call *call) {
    struct target target;
    bool waits;
    uint64_t timeout_ms;
    char binding;
    if (!target_read(call, &target) || !read_wait(call, &waits, &timeout_ms) || !read_binding(call, &target, &binding))
        return;
    struct trigger *trigger = begin(call, &target, RESOURCE_UPDATE_TRIGGER);
    if (trigger == NULL)
        return;
    trigger->waits = waits;
    trigger->timeout_ms = timeout_ms;
    trigger->after = event_last_id(call->web->server->events);
    trigger->binding = binding;
    if (binding != '\0' && !target.force)
        start_read(trigger, &target);
    else
        send_execute(trigger);
}

/* {"timeout":"60s"}, or nothing. */
static bool read_disable_timeout(const struct call *call, bool *given, int64_t *seconds) {
    static const char *const members[] = {"timeout", NULL};
    uint64_t ms = 0;
    *given = false;
    if (call->request->body.len == 0)
        return true;
    json_t *body = input_body(call, members);
    if (body == NULL)
        return false;
    const json_t *value = json_object_get(body, "timeout");
    *given = value != NULL;
    bool good = value == NULL || (document_duration(value, DISABLE_MAX_MS, &ms) && ms > 0 && ms % 1000 == 0);
    *seconds = (int64_t)(ms / 1000);
    json_decref(body);
    if (!good)
        problem_send(call->request, PROBLEM_BAD_BODY,
                     "timeout must be a duration of whole seconds such as \"60s\", from 1 to 2147483647 of them.");
    return good;
}

void v1_trigger_disable(const struct call *call) {
    struct target target;
    bool given;
    int64_t seconds;
    if (!target_read(call, &target) || !read_disable_timeout(call, &given, &seconds))
        return;
    struct trigger *trigger = begin(call, &target, RESOURCE_DISABLE);
    if (trigger == NULL)
        return;
    if (given)
        start_write(trigger, &target, RESOURCE_DISABLE_TIMEOUT, lwm2m_integer(seconds));
    else
        send_execute(trigger);
}

void v1_trigger_bootstrap(const struct call *call) {
    struct target target;
    if (!target_read(call, &target) || !target_allows(call, &target, LWM2M_1_1, "The Bootstrap-Request Trigger"))
        return;
    struct trigger *trigger = begin(call, &target, RESOURCE_BOOTSTRAP_TRIGGER);
    if (trigger != NULL)
        send_execute(trigger);
}

void v1_mute_send(const struct call *call) {
    static const char *const members[] = {"muted", NULL};
    struct target target;
    if (!target_read(call, &target) || !target_allows(call, &target, LWM2M_1_1, "Send"))
        return;
    json_t *body = input_body(call, members);
    if (body == NULL)
        return;
    const json_t *muted = json_object_get(body, "muted");
    bool is_truth = json_is_boolean(muted), truth = json_is_true(muted);
    json_decref(body);
    if (!is_truth) {
        problem_send(call->request, PROBLEM_BAD_BODY, "muted must be true or false.");
        return;
    }
    struct trigger *trigger = begin(call, &target, RESOURCE_MUTE_SEND);
    if (trigger != NULL)
        start_write(trigger, &target, RESOURCE_MUTE_SEND, lwm2m_boolean(truth));
}
