#include "web/v1/device_problem.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/coap/option.h"
#include "web/document.h"
#include "web/v1/coap_json.h"

enum { DIAGNOSTIC_MAX = 1024, DETAIL_MAX = 1024 };

/* What is not in here is 400 or, of class 5, 502. */
static const struct {
    uint8_t code;
    unsigned status;
} statuses[] = {
    {COAP_CODE(4, 0), 400},  {COAP_CODE(4, 1), 401},  {COAP_CODE(4, 3), 403},  {COAP_CODE(4, 4), 404},
    {COAP_CODE(4, 5), 405},  {COAP_CODE(4, 6), 406},  {COAP_CODE(4, 9), 409},  {COAP_CODE(4, 12), 412},
    {COAP_CODE(4, 13), 413}, {COAP_CODE(4, 15), 415}, {COAP_CODE(4, 22), 422}, {COAP_CODE(4, 29), 429},
    {COAP_CODE(5, 0), 502},  {COAP_CODE(5, 1), 501},  {COAP_CODE(5, 3), 503},  {COAP_CODE(5, 4), 504},
};

const unsigned device_problem_statuses[] = {400, 401, 403, 404, 405, 406, 409, 412, 413,
                                            415, 422, 429, 501, 502, 503, 504, 0};

void problem_send_not_registered(struct http_request *request, struct slice endpoint) {
    json_t *members = json_object();
    json_object_set_new(members, "endpoint", document_text(endpoint));
    problem_send_with(request, PROBLEM_NOT_REGISTERED, members, NULL, "No device \"%.*s\" is registered.",
                      (int)endpoint.len, (const char *)endpoint.data);
}

unsigned device_problem_status(uint8_t code) {
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].code == code)
            return statuses[i].status;
    }
    return COAP_CODE_CLASS(code) == 4 ? 400 : 502;
}

const char *coap_code_header(uint8_t code, char out[COAP_CODE_HEADER_MAX]) {
    snprintf(out, COAP_CODE_HEADER_MAX, "CoAP-Code: %s\r\n", coap_code_text(code).text);
    return out;
}

void device_put_headers(struct buffer *out, const struct operation_result *result) {
    char line[COAP_CODE_HEADER_MAX];
    buffer_put_str(out, coap_code_header(result->message->code, line));
    if (result->observation != 0)
        buffer_printf(out, "Observation: %" PRIu64 "\r\n", result->observation);
    else if (result->asked_to_observe)
        buffer_put_str(out, "Observation: none\r\n");
}

/* Members that each of these problems has. */
static json_t *members_of(const struct device_call *call, const struct operation_result *result) {
    json_t *members = json_object();
    json_object_set_new(members, "endpoint", document_text(call->endpoint));
    json_object_set_new(members, "path", json_string(call->target));
    if (result->message != NULL) {
        json_object_set_new(members, "coap_code", json_string(coap_code_text(result->message->code).text));
        json_object_set_new(members, "rtt_ms", json_integer(result->rtt_ms));
    }
    return members;
}

/* "GET /3/0/9 on dev1". */
static void put_request(struct buffer *out, const struct device_call *call) {
    const char *name = coap_code_name(call->method);
    buffer_put_str(out, *name == '\0' ? coap_code_text(call->method).text : name);
    buffer_printf(out, " %s on ", call->target);
    buffer_put_slice(out, call->endpoint);
}

/* 5.03 says with Max-Age when to come again (RFC 7252 §5.9.3.4). */
static void put_headers(struct buffer *out, const struct coap_message *message) {
    char line[COAP_CODE_HEADER_MAX];
    uint32_t retry_after_s = 60;
    buffer_put_str(out, coap_code_header(message->code, line));
    if (message->code != COAP_5_03_SERVICE_UNAVAILABLE)
        return;
    coap_option_uint(message, COAP_MAX_AGE, &retry_after_s);
    buffer_printf(out, "Retry-After: %u\r\n", (unsigned)retry_after_s);
}

static void send_device_error(struct device_call *call, const struct operation_result *result, json_t *further,
                              const char *remark) {
    const struct coap_message *message = result->message;
    unsigned status = device_problem_status(message->code);
    char detail_text[DETAIL_MAX], headers_text[128];
    struct buffer detail = buffer_over(detail_text, sizeof detail_text);
    struct buffer headers = buffer_over(headers_text, sizeof headers_text - 1);
    size_t diagnostic_len = result->body.len < DIAGNOSTIC_MAX ? result->body.len : DIAGNOSTIC_MAX;
    json_t *members = members_of(call, result);
    if (diagnostic_len > 0)
        json_object_set_new(members, "diagnostic", document_text(slice_of(result->body.data, diagnostic_len)));
    json_object_update_missing(members, further);
    json_decref(further);
    put_request(&detail, call);
    if (remark != NULL)
        buffer_printf(&detail, ": %s", remark);
    put_headers(&headers, message);
    headers_text[headers.len] = '\0';
    json_t *document = problem_document(PROBLEM_DEVICE_ERROR, members, buffer_slice(&detail));
    const char *name = coap_code_name(message->code);
    json_object_set_new(
        document, "title",
        json_sprintf("Device answered %s%s%s", coap_code_text(message->code).text, *name == '\0' ? "" : " ", name));
    json_object_set_new(document, "status", json_integer((json_int_t)status));
    document_send(device_call_end(call), status, "application/problem+json", headers_text, document);
}

/* It is heard again when its lifetime is over at the latest, if it does not end. */
static const char *retry_after_header(const struct device_call *call, char *out, size_t size) {
    const struct server *server = call->web->server;
    const struct registration *r = directory_find(server->directory, call->endpoint);
    uint64_t now_ms = clock_now_ms(&server->clock), seconds = 86400;
    if (r != NULL && r->expires_at_ms != UINT64_MAX)
        seconds = r->expires_at_ms > now_ms + 1000 ? (r->expires_at_ms - now_ms) / 1000 : 1;
    snprintf(out, size, "Retry-After: %llu\r\n", (unsigned long long)seconds);
    return out;
}

void device_problem_asleep(struct device_call *call) {
    char detail_text[DETAIL_MAX], header[64];
    struct buffer detail = buffer_over(detail_text, sizeof detail_text);
    json_t *members = json_object();
    json_object_set_new(members, "endpoint", document_text(call->endpoint));
    json_object_set_new(members, "path", json_string(call->target));
    put_request(&detail, call);
    retry_after_header(call, header, sizeof header);
    problem_send_with(device_call_end(call), PROBLEM_ASLEEP, members, header,
                      "%.*s: nothing was sent, since the device is in queue mode and does not listen now. With "
                      "Prefer: respond-async the request waits for it.",
                      (int)detail.len, detail_text);
}

static void send_unanswered(struct device_call *call, const struct operation_result *result) {
    static const struct {
        enum problem_kind kind;
        const char *outcome, *words;
    } outcomes[] = {
        [OPERATION_NO_ACK] = {PROBLEM_NO_ANSWER, "no-ack", "nothing came back, after all retransmissions"},
        [OPERATION_NO_RESPONSE] = {PROBLEM_NO_ANSWER, "no-response", "acknowledged, but no response came in time"},
        [OPERATION_RESET] = {PROBLEM_NO_ANSWER, "reset", "the device answered with a Reset"},
        [OPERATION_UNFINISHED] = {PROBLEM_UNFINISHED, "unfinished",
                                  "the answer in blocks is too large, or changed while it was fetched"},
        [OPERATION_NOT_SENT] = {PROBLEM_ASLEEP, "not-sent", "the device fell asleep before it was sent"},
        [OPERATION_UNREACHABLE] = {PROBLEM_UNREACHABLE, "unreachable",
                                   "the connection is closed, and the device did not come back in time"},
        [OPERATION_GONE] = {PROBLEM_REGISTRATION_GONE, "gone", "the registration ended meanwhile"},
        [OPERATION_NO_ROOM] = {PROBLEM_NO_ROOM, "no-room", "it does not fit into the messages that the device takes"},
        [OPERATION_NOT_STORED] = {PROBLEM_STORE, "not-stored", "the device has answered, but it could not be stored"},
    };
    char text[DETAIL_MAX], retry_after[64], *headers = NULL;
    struct buffer detail = buffer_over(text, sizeof text);
    json_t *members = members_of(call, result);
    if (outcomes[result->outcome].kind == PROBLEM_ASLEEP) {
        retry_after_header(call, retry_after, sizeof retry_after);
        headers = retry_after;
    }
    json_object_set_new(members, "outcome", json_string(outcomes[result->outcome].outcome));
    json_object_set_new(members, "retransmissions", json_integer(result->retransmissions));
    put_request(&detail, call);
    problem_send_with(device_call_end(call), outcomes[result->outcome].kind, members, headers, "%.*s: %s.",
                      (int)detail.len, text, outcomes[result->outcome].words);
}

bool device_problem_if_any_with(struct device_call *call, const struct operation_result *result, json_t *members,
                                const char *remark) {
    bool is_error = result->outcome == OPERATION_ANSWERED && COAP_CODE_CLASS(result->message->code) != 2;
    if (is_error) {
        send_device_error(call, result, members, remark);
        return false;
    }
    json_decref(members);
    if (result->outcome == OPERATION_ANSWERED)
        return true;
    send_unanswered(call, result);
    return false;
}

bool device_problem_if_any(struct device_call *call, const struct operation_result *result) {
    return device_problem_if_any_with(call, result, NULL, NULL);
}

void device_problem_undecodable(struct device_call *call, const struct operation_result *result, const char *why) {
    char text[DETAIL_MAX], headers_text[128];
    struct buffer detail = buffer_over(text, sizeof text);
    struct buffer headers = buffer_over(headers_text, sizeof headers_text - 1);
    int format = coap_content_format(result->message);
    json_t *members = members_of(call, result);
    json_object_set_new(members, "content_format", format < 0 ? json_null() : json_integer(format));
    json_object_set_new(members, "payload_b64", coap_json_base64(result->body));
    put_request(&detail, call);
    device_put_headers(&headers, result);
    headers_text[headers.len] = '\0';
    problem_send_with(device_call_end(call), PROBLEM_UNDECODABLE, members, headers_text, "%.*s: %s.", (int)detail.len,
                      text, why);
}
