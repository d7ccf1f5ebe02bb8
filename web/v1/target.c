#include "web/v1/target.h"

#include "common/coap/option.h"
#include "server/definition.h"
#include "web/document.h"
#include "web/input.h"
#include "web/v1/coap_json.h"
#include "web/v1/device_problem.h"

static const char *version_text(enum lwm2m_version version) {
    return version == LWM2M_1_2 ? "1.2" : version == LWM2M_1_1 ? "1.1" : "1.0";
}

static bool is_digits(struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    return text.len > 0;
}

static bool read_path(const struct call *call, struct target *target) {
    for (size_t i = 1; i < ROUTE_ARGS_MAX && call->args[i].data != NULL; i++) {
        struct slice text = call->args[i];
        uint64_t id;
        if (!is_digits(text)) {
            problem_send(call->request, PROBLEM_NOT_FOUND,
                         "There is nothing at %.*s; GET /v1/openapi.json says what there is.",
                         (int)call->request->path.len, (const char *)call->request->path.data);
            return false;
        }
        if ((text.len > 1 && text.data[0] == '0') || !slice_to_u64(text, LWM2M_ID_MAX, &id)) {
            problem_send(call->request, PROBLEM_BAD_REQUEST,
                         "\"%.*s\" is no id: ids are numbers from 0 to 65534, without leading zeros.", (int)text.len,
                         (const char *)text.data);
            return false;
        }
        target->path = lwm2m_path_child(&target->path, (uint16_t)id);
    }
    struct buffer text = buffer_over(target->text, sizeof target->text - 1);
    lwm2m_path_put(&text, &target->path);
    target->text[text.len] = '\0';
    return true;
}

bool target_switch(const struct call *call, const char *name, bool *on) {
    uint64_t value = 0;
    if (!input_number(call, name, 0, 1, &value))
        return false;
    *on = value == 1;
    return true;
}

bool target_read(const struct call *call, struct target *target) {
    *target = (struct target){0};
    if (!read_path(call, target) || !target_switch(call, "force", &target->force))
        return false;
    target->registration = directory_find(call->web->server->directory, call->args[0]);
    if (target->registration == NULL) {
        problem_send_not_registered(call->request, call->args[0]);
        return false;
    }
    return target_allows_path(call, target, &target->path);
}

bool target_allows(const struct call *call, const struct target *target, enum lwm2m_version since, const char *what) {
    if (target->force || target->registration->version >= since)
        return true;
    problem_send(call->request, PROBLEM_NOT_SENT,
                 "%s came with LwM2M %s, and the device registered with %s. With force=1 it is sent all the same.",
                 what, version_text(since), registration_version_text(target->registration));
    return false;
}

bool target_allows_path(const struct call *call, const struct target *target, const struct lwm2m_path *path) {
    uint16_t object = path->ids[0];
    if (!target->force && path->len > 0 && (object == 0 || object == 21 || object == 23)) {
        problem_send(call->request, PROBLEM_NOT_SENT,
                     "Object %u is for bootstrap servers only (Core 1.2 §6.3). With force=1 it is sent all the same.",
                     (unsigned)object);
        return false;
    }
    return path->len < 4 || target_allows(call, target, LWM2M_1_1, "The path of a resource instance");
}

enum lwm2m_version target_version_with(int format) {
    switch (lwm2m_format_of(format)) {
    case LWM2M_FORMAT_CBOR:
    case LWM2M_FORMAT_SENML_JSON:
    case LWM2M_FORMAT_SENML_CBOR:
        return LWM2M_1_1;
    case LWM2M_FORMAT_LWM2M_CBOR:
    case LWM2M_FORMAT_SENML_ETCH_JSON:
    case LWM2M_FORMAT_SENML_ETCH_CBOR:
        return LWM2M_1_2;
    default:
        return LWM2M_1_0;
    }
}

bool target_format(const struct call *call, const struct target *target, int *format, bool *given) {
    struct slice text = query_get(&call->query, "format");
    *given = text.data != NULL;
    if (!*given)
        return true;
    if (slice_is(text, "none")) {
        *format = COAP_FORMAT_NONE;
        return true;
    }
    if (!coap_json_format(text, format)) {
        problem_send(
            call->request, PROBLEM_BAD_PARAMETER,
            "format is \"%.*s\"; it must be tlv, senml-cbor, senml-json, lwm2m-cbor, cbor, text, opaque, json, "
            "none or the number of a content format.",
            (int)text.len, (const char *)text.data);
        return false;
    }
    return target_allows(call, target, target_version_with(*format), "This content format");
}

/* Where nobody knows whether a resource is single, it may be. */
static bool has_place(enum lwm2m_format format, const struct format_subject *subject) {
    enum lwm2m_format_use use = subject->path.len == 4 ? LWM2M_USE_RESOURCE_INSTANCE
                                : subject->path.len == 3 && (subject->is_single || !subject->is_known)
                                    ? LWM2M_USE_RESOURCE
                                    : LWM2M_USE_INSTANCE;
    bool is_of_type = format != LWM2M_FORMAT_OPAQUE || subject->type == LWM2M_OPAQUE || subject->type == LWM2M_RAW;
    return is_of_type && lwm2m_format_allows(format, use);
}

bool target_content_format(const struct call *call, const struct target *target, const struct format_subject *subject,
                           int *format, bool *given) {
    if (!target_format(call, target, format, given))
        return false;
    enum lwm2m_format known = *given ? lwm2m_format_of(*format) : LWM2M_FORMAT_NONE;
    if (target->force || known == LWM2M_FORMAT_NONE || has_place(known, subject))
        return true;
    problem_send(
        call->request, PROBLEM_NOT_SENT,
        "The content format %s has no place at %s (Core 1.2 §7.5). A Read with force=1 asks for it all the same.",
        lwm2m_format_name(known), target->text);
    return false;
}

struct format_subject target_subject(const struct call *call, const struct target *target) {
    struct definitions definitions = definitions_of(call->web->server, target->registration);
    struct format_subject subject = {
        .path = target->path, .type = LWM2M_RAW, .is_single = target->path.len == 4, .is_known = target->path.len == 4};
    struct catalogue_resource resource;
    if (definition_find(&definitions, &target->path, &resource)) {
        subject.type = resource.type == LWM2M_NONE ? LWM2M_RAW : resource.type;
        subject.is_single = target->path.len == 4 || !resource.multiple;
        subject.is_known = true;
    }
    return subject;
}
