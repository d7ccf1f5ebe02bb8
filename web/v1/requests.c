/* POST /v1/devices/{endpoint}/requests: any CoAP request, and its answer as it came, errors too. */
#include <stdlib.h>

#include "common/coap/option.h"
#include "web/document.h"
#include "web/input.h"
#include "web/v1/coap_json.h"
#include "web/v1/device_problem.h"
#include "web/v1/v1.h"

enum { OPTIONS_MAX = 32 };

static const char *const request_members[] = {"method",  "path",        "query",       "accept",  "content_format",
                                              "payload", "payload_b64", "confirmable", "options", NULL};
static const char *const option_members[] = {"number", "value_b64", NULL};

/* What is sent, and the memory of what had to be decoded for it. */
struct raw_request {
    struct operation_request request;
    struct coap_option options[OPTIONS_MAX];
    uint8_t *owned[OPTIONS_MAX + 1];
    size_t owned_count;
    const char *fault; /* what is wrong with the body */
};

static bool fail(struct raw_request *raw, const char *fault) {
    raw->fault = fault;
    return false;
}

static void free_owned(struct raw_request *raw) {
    for (size_t i = 0; i < raw->owned_count; i++)
        free(raw->owned[i]);
}

static bool read_base64(struct raw_request *raw, const json_t *text, struct slice *bytes) {
    size_t len;
    uint8_t *memory = coap_json_bytes(text, &len);
    if (memory == NULL)
        return false;
    raw->owned[raw->owned_count++] = memory;
    *bytes = slice_of(memory, len);
    return true;
}

static bool add_option(struct raw_request *raw, uint16_t number, struct slice value) {
    if (raw->request.option_count == OPTIONS_MAX)
        return fail(raw, "There are more than 32 options, a query in a list included.");
    raw->options[raw->request.option_count++] = (struct coap_option){number, value};
    return true;
}

/* "a=1&b=2", or a list whose items may have any bytes in them. */
static bool read_query(struct raw_request *raw, const json_t *query) {
    size_t i;
    json_t *item;
    if (query == NULL || json_is_string(query)) {
        raw->request.query = document_string(query);
        return true;
    }
    if (!json_is_array(query))
        return fail(raw, "query must be text such as \"pmin=1&pmax=60\", or a list of texts.");
    json_array_foreach(query, i, item) {
        if (!json_is_string(item))
            return fail(raw, "query must be a list of texts.");
        if (!add_option(raw, COAP_URI_QUERY, document_string(item)))
            return false;
    }
    return true;
}

static bool read_format(struct raw_request *raw, const json_t *value, int *format, const char *fault) {
    *format = COAP_FORMAT_NONE;
    if (value == NULL || json_is_null(value))
        return true;
    if (json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= UINT16_MAX) {
        *format = (int)json_integer_value(value);
        return true;
    }
    return (json_is_string(value) && coap_json_format(document_string(value), format)) || fail(raw, fault);
}

static bool read_payload(struct raw_request *raw, const json_t *body) {
    const json_t *text = json_object_get(body, "payload"), *base64 = json_object_get(body, "payload_b64");
    if (text != NULL && base64 != NULL)
        return fail(raw, "There is payload and payload_b64; one of them is meant.");
    if (text != NULL && !json_is_string(text))
        return fail(raw, "payload must be a text.");
    if (base64 != NULL && !read_base64(raw, base64, &raw->request.payload))
        return fail(raw, "payload_b64 must be Base64.");
    if (text != NULL)
        raw->request.payload = document_string(text);
    return true;
}

/* The block-wise layer splits the body and tells requests apart by itself (RFC 7959, RFC 9175). */
static bool is_of_a_lower_layer(json_int_t number) {
    return number == COAP_BLOCK1 || number == COAP_Q_BLOCK1 || number == COAP_Q_BLOCK2 || number == COAP_SIZE1 ||
           number == COAP_REQUEST_TAG;
}

static bool read_options(struct raw_request *raw, const json_t *options) {
    size_t i;
    json_t *item;
    if (options == NULL)
        return true;
    if (!json_is_array(options))
        return fail(raw, "options must be a list.");
    json_array_foreach(options, i, item) {
        const json_t *number = json_object_get(item, "number"), *base64 = json_object_get(item, "value_b64");
        struct slice value = SLICE_NONE;
        if (!json_is_object(item) || document_unknown_member(item, option_members) != NULL ||
            !json_is_integer(number) || json_integer_value(number) < 0 || json_integer_value(number) > UINT16_MAX)
            return fail(raw, "Each of options must be like {\"number\":2049,\"value_b64\":\"AQI=\"}.");
        if (is_of_a_lower_layer(json_integer_value(number)))
            return fail(raw, "Block1, Size1, Q-Block and Request-Tag options come from the block-wise layer.");
        if (!add_option(raw, (uint16_t)json_integer_value(number), SLICE_NONE))
            return false;
        if (base64 != NULL && !read_base64(raw, base64, &value))
            return fail(raw, "value_b64 of an option must be Base64.");
        raw->options[raw->request.option_count - 1].value = value;
    }
    return true;
}

static bool read_request(struct raw_request *raw, const json_t *body) {
    const json_t *method = json_object_get(body, "method"), *path = json_object_get(body, "path");
    const json_t *confirmable = json_object_get(body, "confirmable");
    struct operation_request *request = &raw->request;
    request->is_absolute = true;
    request->options = raw->options;
    if (!json_is_string(method) || !coap_json_method(document_string(method), &request->method))
        return fail(raw, "method must be GET, POST, PUT, DELETE, FETCH, PATCH, iPATCH or a code such as \"0.01\".");
    if (path != NULL && !json_is_string(path))
        return fail(raw, "path must be a text such as \"/3/0\".");
    request->path = document_string(path);
    if (confirmable != NULL && !json_is_boolean(confirmable))
        return fail(raw, "confirmable must be true or false.");
    request->is_non_confirmable = json_is_false(confirmable);
    return read_query(raw, json_object_get(body, "query")) && read_options(raw, json_object_get(body, "options")) &&
           read_format(raw, json_object_get(body, "accept"), &request->accept,
                       "accept must be a content format: a number or a name such as \"senml-cbor\".") &&
           read_format(raw, json_object_get(body, "content_format"), &request->content_format,
                       "content_format must be a number or a name such as \"senml-cbor\".") &&
           read_payload(raw, body);
}

static json_t *option_json(const struct coap_option *option) {
    json_t *object = json_object();
    json_object_set_new(object, "number", json_integer(option->number));
    json_object_set_new(object, "name", json_string(coap_option_name(option->number)));
    json_object_set_new(object, "value_b64", coap_json_base64(option->value));
    return object;
}

static json_t *answer_json(const struct operation_result *result) {
    const struct coap_message *message = result->message;
    int format = coap_content_format(message);
    json_t *answer = json_object(), *options = json_array();
    for (size_t i = 0; i < message->option_count; i++)
        json_array_append_new(options, option_json(&message->options[i]));
    json_object_set_new(answer, "code", json_string(coap_code_text(message->code).text));
    json_object_set_new(answer, "name", json_string(coap_code_name(message->code)));
    json_object_set_new(answer, "options", options);
    json_object_set_new(answer, "content_format", format < 0 ? json_null() : json_integer(format));
    json_object_set_new(answer, "payload_b64", coap_json_base64(result->body));
    json_object_set_new(answer, "rtt_ms", json_integer(result->rtt_ms));
    json_object_set_new(answer, "retransmissions", json_integer(result->retransmissions));
    return answer;
}

static void on_answered(struct device_call *call, const struct operation_result *result) {
    char header[COAP_CODE_HEADER_MAX];
    if (result->outcome != OPERATION_ANSWERED) {
        device_problem_if_any(call, result);
        return;
    }
    json_t *answer = answer_json(result);
    coap_code_header(result->message->code, header);
    document_send(device_call_end(call), 200, "application/json", header, answer);
}

static void send_raw(const struct call *call, struct raw_request *raw) {
    char target[512];
    struct slice path = raw->request.path;
    if (path.len > 0 && path.data[0] == '/')
        path = slice_from(path, 1);
    struct buffer text = buffer_over(target, sizeof target - 1);
    buffer_printf(&text, "/%.*s", (int)path.len, (const char *)path.data);
    target[text.len] = '\0';
    struct device_call *device_call = device_call_new(call, sizeof *device_call, target, on_answered);
    if (device_call != NULL)
        device_call_send(device_call, &raw->request);
}

void v1_requests_post(const struct call *call) {
    struct raw_request raw = {0};
    json_t *body = input_body(call, request_members);
    if (body == NULL)
        return;
    if (read_request(&raw, body))
        send_raw(call, &raw);
    else
        problem_send(call->request, PROBLEM_BAD_BODY, "%s", raw.fault);
    free_owned(&raw);
    json_decref(body);
}
