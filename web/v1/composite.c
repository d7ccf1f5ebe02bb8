/* POST …/composite/read, …/composite/observe and …/composite/write: Read-Composite (Core 1.2 §6.3.8), Observe-Composite
 * (§6.4.4), Write-Composite (§6.3.9). */
#include <stdlib.h>

#include "common/coap/option.h"
#include "server/observation.h"
#include "web/document.h"
#include "web/input.h"
#include "web/v1/attributes.h"
#include "web/v1/data_answer.h"
#include "web/v1/data_body.h"
#include "web/v1/device_problem.h"
#include "web/v1/done.h"
#include "web/v1/v1.h"

enum { PATHS_MAX = OBSERVATION_PATHS_MAX };

struct composite {
    struct device_call call;  /* first member */
    struct lwm2m_node *nodes; /* their memory is the call's */
    size_t count;
    struct format_choices choices;
    size_t choice;
    bool was_refused; /* in another format */
    enum senml_mode mode;
    struct data_form form;
    struct lwm2m_path *observed; /* likewise; NULL: nothing is observed */
    size_t query_len;
    uint8_t query[ATTRIBUTES_QUERY_MAX];
};

/* The format of the request when the answer has this one: paths are told in SenML. */
static int body_format(const struct composite *composite) {
    int format = composite->choices.formats[composite->choice];
    return composite->mode == SENML_FETCH && format == COAP_FORMAT_LWM2M_CBOR ? COAP_FORMAT_SENML_CBOR : format;
}

/* What the answer to a FETCH whose body has this format is asked for in. */
static int answer_format(int format) {
    switch (format) {
    case LWM2M_FORMAT_SENML_ETCH_JSON:
        return COAP_FORMAT_SENML_JSON;
    case LWM2M_FORMAT_SENML_ETCH_CBOR:
        return COAP_FORMAT_SENML_CBOR;
    default:
        return format;
    }
}

static void send_payload(struct composite *composite, int format, struct slice payload) {
    bool is_fetch = composite->mode == SENML_FETCH;
    int accept = is_fetch ? answer_format(composite->choices.formats[composite->choice]) : COAP_FORMAT_NONE;
    device_call_send(&composite->call,
                     &(struct operation_request){.method = is_fetch ? COAP_FETCH : COAP_IPATCH,
                                                 .query = slice_of(composite->query, composite->query_len),
                                                 .payload = payload,
                                                 .accept = accept,
                                                 .content_format = format,
                                                 .observed = composite->observed,
                                                 .observed_count = composite->count});
}

/* True when the format can tell it: then it is on its way. */
static bool send_encoded(struct composite *composite) {
    const struct registration *r = directory_find(composite->call.web->server->directory, composite->call.endpoint);
    struct lwm2m_encode_context context = {.root = r == NULL ? SLICE_NONE : registration_root(r),
                                           .mode = composite->mode,
                                           .time = r != NULL && r->version >= LWM2M_1_2 ? CBOR_TIME_TAGGED
                                                                                        : CBOR_TIME_PLAIN};
    size_t cap = composite->count * (64 + context.root.len) + composite->call.request->body.len * 6 + 256;
    uint8_t *memory = malloc(cap);
    struct buffer out = buffer_over(memory, cap);
    int format = body_format(composite);
    bool good = memory != NULL && lwm2m_encode(format, composite->nodes, composite->count, &context, &out);
    if (good)
        send_payload(composite, format, buffer_slice(&out));
    free(memory);
    return good;
}

static bool send_next(struct composite *composite) {
    for (; composite->choice < composite->choices.count; composite->choice++) {
        if (send_encoded(composite))
            return true;
    }
    return false;
}

static bool try_again(struct composite *composite, const struct operation_result *result) {
    if (!operation_refuses_format(result))
        return false;
    composite->was_refused = true;
    composite->choice++;
    return send_next(composite);
}

/* Some clients acknowledge a FETCH or iPATCH and say no more, others not even that. One that sleeps is not heard either,
 * which tells nothing. */
static bool tells_nothing_of_composite(const struct registration *r, const struct operation_result *result) {
    bool is_silence = operation_is_silence(r, result->outcome);
    return is_silence ? !r->queue_mode : result->outcome == OPERATION_NO_RESPONSE;
}

static void remember(struct composite *composite, const struct operation_result *result) {
    struct registration *r = directory_find(composite->call.web->server->directory, composite->call.endpoint);
    bool answered = result->outcome == OPERATION_ANSWERED;
    if (r == NULL)
        return;
    if (answered || tells_nothing_of_composite(r, result))
        r->composite_unanswered = !answered;
    if (answered && COAP_CODE_CLASS(result->message->code) == 2 && composite->was_refused)
        format_worked_for_composite(r, composite->choices.formats[composite->choice]);
}

/* ---- Read-Composite ---- */

static void on_read(struct device_call *call, const struct operation_result *result) {
    struct composite *composite = (struct composite *)call;
    const struct lwm2m_path root = {.len = 0};
    remember(composite, result);
    if (!try_again(composite, result) && device_problem_if_any(call, result))
        data_answer(call, result, &root, answer_format(composite->choices.formats[composite->choice]),
                    &composite->form);
}

/* The paths as nodes. False: the request is answered, and the device call is over. */
static bool read_paths(struct composite *composite, const json_t *paths) {
    size_t i;
    json_t *item;
    if (!json_is_array(paths) || json_array_size(paths) == 0 || json_array_size(paths) > PATHS_MAX) {
        device_call_refuse(&composite->call, PROBLEM_BAD_BODY, "paths must be a list of 1 to %d paths.", PATHS_MAX);
        return false;
    }
    composite->nodes = device_call_take(&composite->call, json_array_size(paths) * sizeof *composite->nodes);
    if (composite->nodes == NULL) {
        device_call_refuse(&composite->call, PROBLEM_OVERLOADED, "The server is out of memory.");
        return false;
    }
    json_array_foreach(paths, i, item) {
        struct lwm2m_node *node = &composite->nodes[composite->count++];
        *node = (struct lwm2m_node){0};
        if (!json_is_string(item) || !lwm2m_path_parse(document_string(item), &node->path, NULL) ||
            document_string(item).len == 0) {
            device_call_refuse(&composite->call, PROBLEM_BAD_BODY,
                               "Each of paths must be like \"/3/0/0\", one to four ids from 0 to 65534, or \"/\".");
            return false;
        }
    }
    return true;
}

/* Whether all of it may be sent. False: the request is answered, and the device call is over. */
static bool allows_paths(struct composite *composite, const struct target *target) {
    for (size_t i = 0; i < composite->count && !target->force; i++) {
        uint16_t object = composite->nodes[i].path.len == 0 ? LWM2M_ID_NONE : composite->nodes[i].path.ids[0];
        if (object == 0 || object == 21 || object == 23) {
            device_call_refuse(
                &composite->call, PROBLEM_NOT_SENT,
                "Object %u is for bootstrap servers only (Core 1.2 §6.3). With force=1 it is sent all the "
                "same.",
                (unsigned)object);
            return false;
        }
    }
    return true;
}

/* Whether a body or its answer may have the format. False: the request is answered. */
static bool has_place(const struct call *call, enum senml_mode mode, int format) {
    enum lwm2m_format known = lwm2m_format_of(format);
    if (mode == SENML_FETCH
            ? lwm2m_format_allows(known, LWM2M_USE_FETCH) || lwm2m_format_allows(known, LWM2M_USE_COMPOSITE_ANSWER)
            : lwm2m_format_allows(known, LWM2M_USE_IPATCH))
        return true;
    problem_send(call->request, PROBLEM_NOT_SENT, "The content format has no place in this operation (Core 1.2 §7.5).");
    return false;
}

/* Whether it did up to now. False: the request is answered. */
static bool answers_composite(const struct call *call, const struct target *target) {
    if (target->force || !target->registration->composite_unanswered)
        return true;
    problem_send(
        call->request, PROBLEM_NOT_SENT,
        "The device did not answer the composite operation before this one, as clients do that have none. Read "
        "or write path by path; with force=1 it is sent all the same. When the device answers one, or "
        "registers anew, this is forgotten.");
    return false;
}

/* The start of both: NULL when the request is answered. */
static struct composite *begin(const struct call *call, struct target *target, enum senml_mode mode,
                               device_call_fn *answered, int *format) {
    bool forced;
    *format = COAP_FORMAT_NONE;
    if (!target_read(call, target) || !target_allows(call, target, LWM2M_1_1, "A composite operation") ||
        !target_format(call, target, format, &forced) || (forced && !has_place(call, mode, *format)) ||
        !answers_composite(call, target))
        return NULL;
    struct composite *composite = device_call_new(call, sizeof *composite, "/", answered);
    if (composite == NULL)
        return NULL;
    composite->mode = mode;
    format_choices_for_composite(target->registration, &composite->choices);
    if (forced)
        composite->choices = (struct format_choices){.formats = {*format}, .count = 1};
    return composite;
}

static void refuse_unencodable(struct composite *composite) {
    device_call_refuse(&composite->call, PROBLEM_BAD_BODY, "The content format cannot tell this.");
}

/* A FETCH of `paths`, ready to be sent. NULL: the request is answered. */
static struct composite *begin_fetch(const struct call *call, const json_t *body) {
    struct target target;
    struct data_form form;
    int format;
    struct composite *composite =
        data_form_read(call, &form) ? begin(call, &target, SENML_FETCH, on_read, &format) : NULL;
    if (composite == NULL)
        return NULL;
    composite->form = form;
    bool good = read_paths(composite, json_object_get(body, "paths")) && allows_paths(composite, &target);
    return good ? composite : NULL;
}

void v1_composite_read(const struct call *call) {
    static const char *const members[] = {"paths", NULL};
    json_t *body = input_body(call, members);
    struct composite *composite = body == NULL ? NULL : begin_fetch(call, body);
    if (composite != NULL && !send_next(composite))
        refuse_unencodable(composite);
    json_decref(body);
}

/* ---- Observe-Composite ---- */

/* They hold for all paths, so that they are those of an object. */
static bool read_attributes(const struct call *call, const json_t *attributes, struct buffer *query) {
    struct target target;
    if (attributes == NULL)
        return true;
    if (!target_read(call, &target) || !target_allows(call, &target, LWM2M_1_2, "An Observe with attributes"))
        return false;
    char *text = json_dumps(attributes, JSON_ENCODE_ANY | JSON_COMPACT);
    target.path = (struct lwm2m_path){.len = 1};
    bool good = text != NULL && attributes_read_body(call, &target, slice_str(text), query);
    if (text == NULL)
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
    free(text);
    return good;
}

/* What is asked for is what will be told. False: the request is answered, and the device call is over. */
static bool observe_paths(struct composite *composite) {
    composite->observed = device_call_take(&composite->call, composite->count * sizeof *composite->observed);
    if (composite->observed == NULL) {
        device_call_refuse(&composite->call, PROBLEM_OVERLOADED, "The server is out of memory.");
        return false;
    }
    for (size_t i = 0; i < composite->count; i++)
        composite->observed[i] = composite->nodes[i].path;
    return true;
}

void v1_composite_observe(const struct call *call) {
    static const char *const members[] = {"paths", "attributes", NULL};
    uint8_t memory[ATTRIBUTES_QUERY_MAX];
    struct buffer query = buffer_over(memory, sizeof memory);
    json_t *body = input_body(call, members);
    struct composite *composite = NULL;
    if (body != NULL && read_attributes(call, json_object_get(body, "attributes"), &query))
        composite = begin_fetch(call, body);
    if (composite != NULL) {
        composite->query_len = query.len;
        memcpy(composite->query, memory, query.len);
        if (observe_paths(composite) && !send_next(composite))
            refuse_unencodable(composite);
    }
    json_decref(body);
}

/* ---- Write-Composite ---- */

static void on_written(struct device_call *call, const struct operation_result *result) {
    struct composite *composite = (struct composite *)call;
    remember(composite, result);
    if (!try_again(composite, result) && device_problem_if_any(call, result))
        done_answer(call, result);
}

static bool removes(const struct data_body *body) {
    for (size_t i = 0; i < body->count; i++) {
        if (body->nodes[i].value.type == LWM2M_NONE)
            return true;
    }
    return false;
}

void v1_composite_write(const struct call *call) {
    struct target target;
    struct data_body body;
    int format;
    struct composite *composite = begin(call, &target, SENML_PATCH, on_written, &format);
    if (composite == NULL || !data_body_read(call, &composite->call, &target, DATA_COMPOSITE, format, &body))
        return;
    if (body.is_raw) {
        send_payload(composite, body.format, body.payload);
        return;
    }
    bool is_etch = format == LWM2M_FORMAT_SENML_ETCH_CBOR || format == LWM2M_FORMAT_SENML_ETCH_JSON;
    if (removes(&body) && format != COAP_FORMAT_NONE && !is_etch) {
        device_call_refuse(&composite->call, PROBLEM_BAD_BODY,
                           "Only the content formats senml-etch-cbor and senml-etch-json can tell null.");
        return;
    }
    if (removes(&body) && !is_etch) { /* only SenML-ETCH tells that (RFC 8790 §3.2) */
        if (target.registration->version < LWM2M_1_2 && !target.force) {
            device_call_refuse(
                &composite->call, PROBLEM_NOT_SENT,
                "To remove with null came with LwM2M 1.2, and the device registered with %s. With force=1 "
                "it is sent all the same.",
                registration_version_text(target.registration));
            return;
        }
        composite->choices = (struct format_choices){
            .formats = {LWM2M_FORMAT_SENML_ETCH_CBOR, LWM2M_FORMAT_SENML_ETCH_JSON}, .count = 2};
    }
    composite->nodes = body.nodes;
    composite->count = body.count;
    if (allows_paths(composite, &target) && !send_next(composite))
        refuse_unencodable(composite);
}
