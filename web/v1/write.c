/* PUT on an instance, resource or resource instance: Write (replace). PATCH: Write (partial update). POST on an object:
 * Create. Core 1.2 §6.3.3, §6.3.6. */
#include <stdio.h>
#include <stdlib.h>

#include "common/coap/option.h"
#include "server/instance_change.h"
#include "web/v1/data_body.h"
#include "web/v1/device_problem.h"
#include "web/v1/done.h"
#include "web/v1/v1.h"

enum { LOCATION_MAX = 1024 };

struct write {
    struct device_call call; /* first member */
    uint8_t method;
    struct lwm2m_path base; /* of the target */
    struct data_body body;
    struct format_choices choices;
    size_t choice;
    enum cbor_time time;
    bool has_time_again; /* the other form of times was tried */
    bool was_refused;    /* in another format */
    bool is_create;
    bool leaves_id; /* of the instance to the device */
};

static void send_payload(struct write *write, int format, struct slice payload) {
    device_call_send(&write->call, &(struct operation_request){.method = write->method,
                                                               .path = slice_str(write->call.target),
                                                               .payload = payload,
                                                               .accept = COAP_FORMAT_NONE,
                                                               .content_format = format});
}

/* An instance without resources, which only TLV has a place for. */
static bool has_bare_instance(const struct write *write) {
    for (size_t i = 0; write->is_create && i < write->body.count; i++) {
        if (write->body.nodes[i].path.len == 2)
            return true;
    }
    return false;
}

/* True when the format can tell the nodes: then they are on their way. */
static bool send_encoded(struct write *write, int format) {
    if (format != COAP_FORMAT_TLV && has_bare_instance(write))
        return false;
    struct lwm2m_encode_context context = {.base = write->base, .mode = SENML_CONTENT, .time = write->time};
    const struct registration *r = directory_find(write->call.web->server->directory, write->call.endpoint);
    size_t cap = write->body.count * 64 + write->call.request->body.len * 6 + 256;
    uint8_t *memory = malloc(cap);
    struct buffer out = buffer_over(memory, cap);
    context.root = r == NULL ? SLICE_NONE : registration_root(r);
    if (write->leaves_id) /* in TLV without the instance around it, in LwM2M CBOR as number 65535 */
        context.base = lwm2m_path_child(&write->base, LWM2M_ID_NONE);
    bool good = memory != NULL && lwm2m_encode(format, write->body.nodes, write->body.count, &context, &out);
    if (good)
        send_payload(write, format, buffer_slice(&out));
    free(memory);
    return good;
}

/* In the best of the formats left that can tell it. */
static bool send_next(struct write *write) {
    for (; write->choice < write->choices.count; write->choice++) {
        if (send_encoded(write, write->choices.formats[write->choice]))
            return true;
    }
    return false;
}

static bool has_time(const struct data_body *body) {
    for (size_t i = 0; i < body->count; i++) {
        if (body->nodes[i].value.type == LWM2M_TIME)
            return true;
    }
    return false;
}

/* What is refused only for the way in which it is told is told in another way. */
static bool try_again(struct write *write, const struct operation_result *result) {
    if (result->outcome != OPERATION_ANSWERED || write->body.is_raw)
        return false;
    if (operation_refuses_format(result)) {
        write->was_refused = true;
        write->choice++;
        return send_next(write);
    }
    int format = write->choices.formats[write->choice];
    if (result->message->code == COAP_4_00_BAD_REQUEST && !write->has_time_again && has_time(&write->body) &&
        (format == COAP_FORMAT_SENML_CBOR || format == COAP_FORMAT_LWM2M_CBOR)) {
        write->has_time_again = true;
        write->time = write->time == CBOR_TIME_PLAIN ? CBOR_TIME_TAGGED : CBOR_TIME_PLAIN;
        return send_encoded(write, format);
    }
    return false;
}

/* What was taken only after something else had been refused comes first the next time. */
static void remember_format(struct write *write) {
    struct registration *r = directory_find(write->call.web->server->directory, write->call.endpoint);
    if (r != NULL && write->was_refused)
        format_worked_for_write(r, write->choices.formats[write->choice]);
}

/* ---- the answer to a Create ---- */

/* From Location-Path, below the device's root: `2`, `5`. */
static bool location_of(const struct operation_result *result, uint16_t object, struct lwm2m_path *path) {
    uint64_t ids[2] = {0, 0};
    size_t count = 0;
    for (size_t i = 0; i < result->message->option_count; i++) {
        const struct coap_option *option = &result->message->options[i];
        if (option->number != COAP_LOCATION_PATH)
            continue;
        ids[0] = ids[1];
        if (!slice_to_u64(option->value, LWM2M_ID_MAX, &ids[1]))
            count = 0;
        else
            count++;
    }
    *path = (struct lwm2m_path){.ids = {object, (uint16_t)ids[1]}, .len = 2};
    return count >= 2 && ids[0] == object;
}

/* "Location: /v1/devices/dev%201/2/5". */
static void put_location(struct buffer *out, struct slice endpoint, const struct lwm2m_path *path) {
    buffer_put_str(out, "Location: /v1/devices/");
    for (size_t i = 0; i < endpoint.len; i++) {
        uint8_t c = endpoint.data[i];
        bool plain =
            (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || memchr("-._~:", c, 5) != NULL;
        if (plain)
            buffer_put_u8(out, c);
        else
            buffer_printf(out, "%%%02X", c);
    }
    lwm2m_path_put(out, path);
    buffer_put_str(out, "\r\n");
}

static void answer_create(struct write *write, const struct operation_result *result) {
    char headers_text[LOCATION_MAX], code[COAP_CODE_HEADER_MAX];
    struct buffer headers = buffer_over(headers_text, sizeof headers_text - 1);
    struct device_call *call = &write->call;
    struct lwm2m_path path;
    size_t known = 0;
    buffer_put_str(&headers, coap_code_header(result->message->code, code));
    for (size_t i = 0; i < write->body.count; i++) {
        struct lwm2m_path instance = {.ids = {write->body.nodes[i].path.ids[0], write->body.nodes[i].path.ids[1]},
                                      .len = 2};
        if (instance.ids[1] == LWM2M_ID_NONE || (known > 0 && lwm2m_path_equal(&instance, &path)))
            continue;
        path = instance;
        known++;
        instance_change(call->web->server, call->endpoint, &path, true);
    }
    struct lwm2m_path told;
    if (location_of(result, write->base.ids[0], &told)) {
        instance_change(call->web->server, call->endpoint, &told, true);
        path = told;
        known = 1;
    }
    if (known == 1)
        put_location(&headers, call->endpoint, &path);
    headers_text[headers.len] = '\0';
    http_respond(device_call_end(call), &(struct http_response){.status = 201, .headers = headers_text});
}

static void on_answered(struct device_call *call, const struct operation_result *result) {
    struct write *write = (struct write *)call;
    if (try_again(write, result) || !device_problem_if_any(call, result))
        return;
    remember_format(write);
    if (write->is_create)
        answer_create(write, result);
    else
        done_answer(call, result);
}

/* ---- the request ---- */

static void refuse_unencodable(struct write *write, bool forced) {
    device_call_refuse(&write->call, PROBLEM_BAD_BODY,
                       forced ? "The content format that was asked for cannot tell this."
                              : "No content format that the device takes can tell this.");
}

/* The id of the instance is left to the device. */
static bool has_no_id(const struct data_body *body) {
    return !body->is_raw && body->count > 0 && body->nodes[0].path.ids[1] == LWM2M_ID_NONE;
}

static void write_data(const struct call *call, enum data_use use, uint8_t method) {
    struct target target;
    int format = COAP_FORMAT_NONE;
    bool forced;
    if (!target_read(call, &target))
        return;
    struct format_subject subject = target_subject(call, &target);
    if (!target_content_format(call, &target, &subject, &format, &forced))
        return;
    if (use == DATA_UPDATE && target.path.len == 3 &&
        !target_allows(call, &target, LWM2M_1_1, "A partial update of a resource"))
        return;
    struct write *write = device_call_new(call, sizeof *write, target.text, on_answered);
    if (write == NULL || !data_body_read(call, &write->call, &target, use, format, &write->body))
        return;
    write->method = method;
    write->base = target.path;
    write->is_create = use == DATA_CREATE;
    write->time = target.registration->version >= LWM2M_1_2 ? CBOR_TIME_TAGGED : CBOR_TIME_PLAIN;
    if (write->body.is_raw) {
        send_payload(write, write->body.format, write->body.payload);
        return;
    }
    write->leaves_id = write->is_create && has_no_id(&write->body);
    if (target.path.len >= 3 && write->body.count == 1 && write->body.nodes[0].path.len == target.path.len) {
        subject.is_single = write->body.nodes[0].value.type != LWM2M_NONE;
        subject.type = write->body.nodes[0].value.type;
    }
    format_choices_for_write(target.registration, &subject, use == DATA_UPDATE, write->leaves_id, &write->choices);
    if (forced)
        write->choices = (struct format_choices){.formats = {format}, .count = 1};
    if (!send_next(write))
        refuse_unencodable(write, forced);
}

void v1_write_replace(const struct call *call) {
    write_data(call, DATA_REPLACE, COAP_PUT);
}

void v1_write_update(const struct call *call) {
    write_data(call, DATA_UPDATE, COAP_POST);
}

void v1_create(const struct call *call) {
    write_data(call, DATA_CREATE, COAP_POST);
}
