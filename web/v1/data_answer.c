#include "web/v1/data_answer.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "common/coap/option.h"
#include "common/lwm2m/format.h"
#include "common/lwm2m/json_writer.h"
#include "common/lwm2m/text.h"
#include "server/definition.h"
#include "web/leshan/node.h"
#include "web/v1/device_problem.h"
#include "web/v1/target.h"
#include "web/v1/value_json.h"

enum { NODES_MAX = 100000, HEADERS_MAX = 128 };

bool data_form_read(const struct call *call, struct data_form *form) {
    unsigned offered = 1 << HTTP_FORM_JSON | 1 << HTTP_FORM_TEXT | 1 << HTTP_FORM_SENML_JSON |
                       1 << HTTP_FORM_SENML_CBOR | 1 << HTTP_FORM_CBOR | 1 << HTTP_FORM_BYTES | 1 << HTTP_FORM_LESHAN |
                       1 << HTTP_FORM_PELION;
    form->form = http_form_wanted(call->request, offered);
    if (form->form == HTTP_FORM_DEFAULT)
        form->form = HTTP_FORM_JSON;
    if (form->form != HTTP_FORM_OTHER)
        return target_switch(call, "names", &form->names);
    problem_send(call->request, PROBLEM_NOT_ACCEPTABLE,
                 "The answer can be application/json, text/plain, application/senml+json, application/senml+cbor, "
                 "application/cbor or application/octet-stream.");
    return false;
}

/* An answer on its way: what was decoded, and from what. */
struct answer {
    struct device_call *call;
    const struct operation_result *result;
    const struct lwm2m_path *base;
    const struct data_form *form;
    int content_format;
    bool is_assumed; /* the device has named none */
    struct definitions definitions;
    struct lwm2m_nodes nodes;
    char fault[LWM2M_FAULT_MAX]; /* what could not be decoded, and where */
    const char *mismatch; /* how values differ from their definitions; then they have the types that the format tells */
};

static void put_headers(const struct answer *answer, char headers[HEADERS_MAX]) {
    int format = coap_content_format(answer->result->message);
    struct buffer out = buffer_over(headers, HEADERS_MAX - 1);
    device_put_headers(&out, answer->result);
    if (format >= 0)
        buffer_printf(&out, "CoAP-Content-Format: %d\r\n", format);
    headers[out.len] = '\0';
}

static void respond(struct answer *answer, enum http_form form, struct slice body) {
    char headers[HEADERS_MAX];
    put_headers(answer, headers);
    http_respond(
        device_call_end(answer->call),
        &(struct http_response){.status = 200, .content_type = http_form_type(form), .headers = headers, .body = body});
}

static void refuse_form(struct answer *answer, const char *why) {
    char header[COAP_CODE_HEADER_MAX];
    coap_code_header(answer->result->message->code, header);
    problem_send_with(device_call_end(answer->call), PROBLEM_NOT_ACCEPTABLE, NULL, header, "%s", why);
}

static void refuse_memory(struct answer *answer) {
    device_call_refuse(answer->call, PROBLEM_OVERLOADED, "The server is out of memory.");
}

/* ---- forms ---- */

/* The payload as it came, after what could not be understood in it. */
static void put_mismatch(struct buffer *out, const struct answer *answer) {
    buffer_put_str(out, ",\"error\":");
    json_put_string(out, slice_str(answer->mismatch));
    buffer_printf(out, ",\"content_format\":%d,\"payload_b64\":\"", answer->content_format);
    text_put_base64(out, answer->result->body);
    buffer_put_str(out, "\"");
}

static void respond_json(struct answer *answer) {
    struct value_json_options options = {.oddity = answer->nodes.remark,
                                         .name_of = answer->form->names ? definition_name_of : NULL,
                                         .arg = &answer->definitions};
    size_t cap = value_json_size(answer->nodes.nodes, answer->nodes.count, &options) + 512 +
                 (answer->mismatch == NULL ? 0 : answer->result->body.len * 4 / 3 + 8);
    uint8_t *memory = malloc(cap);
    struct buffer out = buffer_over(memory, cap);
    if (memory == NULL) {
        refuse_memory(answer);
        return;
    }
    value_json_put(&out, answer->base, answer->nodes.nodes, answer->nodes.count, &options);
    if (answer->mismatch != NULL)
        put_mismatch(&out, answer);
    buffer_put_str(&out, "}");
    respond(answer, HTTP_FORM_JSON, buffer_slice(&out));
    free(memory);
}

static bool is_one_value(const struct answer *answer) {
    const struct lwm2m_node *first = &answer->nodes.nodes[0];
    return answer->base->len >= 3 && answer->nodes.count == 1 && lwm2m_path_equal(&first->path, answer->base) &&
           first->value.type != LWM2M_NONE;
}

static void respond_text(struct answer *answer) {
    const struct lwm2m_node *node = &answer->nodes.nodes[0];
    if (!is_one_value(answer)) {
        refuse_form(answer, "text/plain is for one value.");
        return;
    }
    size_t cap = answer->result->body.len * 4 / 3 + 512;
    uint8_t *memory = malloc(cap);
    struct buffer out = buffer_over(memory, cap);
    if (memory == NULL)
        refuse_memory(answer);
    else if (!lwm2m_text_encode(&node->value, &out))
        refuse_form(answer, "The type of the resource is not known, and the device does not tell it.");
    else
        respond(answer, HTTP_FORM_TEXT, buffer_slice(&out));
    free(memory);
}

static void respond_encoded(struct answer *answer, enum lwm2m_format format) {
    struct lwm2m_encode_context context = {.base = *answer->base, .mode = SENML_CONTENT, .time = CBOR_TIME_PLAIN};
    size_t cap = answer->nodes.count * 64 + answer->result->body.len * 6 + 256;
    uint8_t *memory = malloc(cap);
    struct buffer out = buffer_over(memory, cap);
    if (memory == NULL)
        refuse_memory(answer);
    else if (lwm2m_encode((int)format, answer->nodes.nodes, answer->nodes.count, &context, &out))
        respond(answer, answer->form->form, buffer_slice(&out));
    else
        refuse_form(answer, "A value has a type that is not known, or one that this form does not have.");
    free(memory);
}

/* Of a composite operation every resource by its path. */
static void respond_leshan(struct answer *answer) {
    struct leshan_values values = {0};
    bool good = true;
    for (size_t i = 0; i < answer->nodes.count && good; i++)
        good = leshan_values_add(&values, &answer->nodes.nodes[i]);
    json_t *node = answer->base->len == 0 ? leshan_node_paths_json(&values) : leshan_node_json(&values, answer->base);
    char *text = good ? json_dumps(node, JSON_COMPACT) : NULL;
    if (text == NULL)
        refuse_memory(answer);
    else
        respond(answer, HTTP_FORM_LESHAN, slice_str(text));
    free(text);
    json_decref(node);
    leshan_values_clear(&values);
}

/* The payload as it came. */
static void respond_payload(struct answer *answer) {
    static const struct {
        int format;
        enum http_form form;
    } forms[] = {
        {COAP_FORMAT_TEXT, HTTP_FORM_TEXT},
        {COAP_FORMAT_LINK, HTTP_FORM_LINKS},
        {COAP_FORMAT_CBOR, HTTP_FORM_CBOR},
        {COAP_FORMAT_SENML_JSON, HTTP_FORM_SENML_JSON},
        {COAP_FORMAT_SENML_CBOR, HTTP_FORM_SENML_CBOR},
        {COAP_FORMAT_TLV, HTTP_FORM_TLV},
        {COAP_FORMAT_OMA_JSON, HTTP_FORM_OMA_JSON},
        {COAP_FORMAT_LWM2M_CBOR, HTTP_FORM_LWM2M_CBOR},
    };
    enum http_form form = HTTP_FORM_BYTES;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        form = forms[i].format == answer->content_format ? forms[i].form : form;
    respond(answer, form, answer->result->body);
}

static void respond_pelion(struct answer *answer) {
    static const struct data_form tlv = {.form = HTTP_FORM_TLV};
    const struct lwm2m_value *value = answer->nodes.count == 0 ? NULL : &answer->nodes.nodes[0].value;
    bool is_one = value != NULL && is_one_value(answer);
    if (is_one && value->type == LWM2M_OPAQUE) {
        respond(answer, HTTP_FORM_BYTES, value->bytes);
    } else if (is_one && value->type != LWM2M_RAW) {
        respond_text(answer);
    } else if (is_one || value == NULL || answer->content_format == COAP_FORMAT_TLV) {
        respond_payload(answer);
    } else {
        answer->form = &tlv;
        respond_encoded(answer, LWM2M_FORMAT_TLV);
    }
}

static void respond_decoded(struct answer *answer) {
    switch (answer->form->form) {
    case HTTP_FORM_TEXT:
        respond_text(answer);
        break;
    case HTTP_FORM_SENML_JSON:
        respond_encoded(answer, LWM2M_FORMAT_SENML_JSON);
        break;
    case HTTP_FORM_SENML_CBOR:
        respond_encoded(answer, LWM2M_FORMAT_SENML_CBOR);
        break;
    case HTTP_FORM_CBOR:
        respond_encoded(answer, is_one_value(answer) ? LWM2M_FORMAT_CBOR : LWM2M_FORMAT_LWM2M_CBOR);
        break;
    case HTTP_FORM_LESHAN:
        respond_leshan(answer);
        break;
    case HTTP_FORM_PELION:
        respond_pelion(answer);
        break;
    default:
        respond_json(answer);
        break;
    }
}

/* ---- decoding ---- */

/* What an answer without Content-Format is (RFC 7252 §5.5.1: up to us). */
static int assumed_format(const struct answer *answer, int asked) {
    if (asked >= 0)
        return answer->base->len >= 3 ? asked : COAP_FORMAT_NONE;
    return answer->base->len >= 3 ? COAP_FORMAT_TEXT : COAP_FORMAT_NONE;
}

/* Values that are not of the types of their definitions are told as the format tells them. */
static bool decode(struct answer *answer, const struct registration *r, struct buffer *scratch) {
    struct lwm2m_decode_context context = {.base = *answer->base,
                                           .root = r == NULL ? SLICE_NONE : registration_root(r),
                                           .now_ms = (int64_t)clock_now_ms(&answer->call->web->server->clock),
                                           .mode = SENML_CONTENT,
                                           .type_of = definition_type_of,
                                           .arg = &answer->definitions};
    if (lwm2m_decode(answer->content_format, answer->result->body, &context, scratch, &answer->nodes))
        return true;
    struct buffer why = buffer_over(answer->fault, sizeof answer->fault - 1);
    lwm2m_nodes_put_fault(&why, &answer->nodes);
    scratch->len = 0;
    scratch->overflow = false;
    context.type_of = NULL;
    if (lwm2m_decode(answer->content_format, answer->result->body, &context, scratch, &answer->nodes)) {
        answer->nodes.remark = NULL;
        answer->mismatch = answer->fault;
        return true;
    }
    return false;
}

/* Clients that don't care for Accept send text without saying so. */
static bool decode_assumed_text(struct answer *answer, const struct registration *r, struct buffer *scratch) {
    if (!answer->is_assumed || answer->base->len < 3)
        return false;
    const struct answer as_asked = *answer;
    answer->content_format = COAP_FORMAT_TEXT;
    scratch->len = 0;
    scratch->overflow = false;
    if (decode(answer, r, scratch) && answer->mismatch == NULL)
        return true;
    *answer = as_asked;
    return false;
}

static void decode_and_respond(struct answer *answer) {
    const struct slice body = answer->result->body;
    const struct registration *r = directory_find(answer->call->web->server->directory, answer->call->endpoint);
    /* A value takes a byte at least: that of a map of LwM2M CBOR, say. */
    size_t cap = body.len + 1 < NODES_MAX ? body.len + 1 : NODES_MAX, scratch_cap = 2 * body.len + 1;
    struct lwm2m_node *nodes = malloc(cap * sizeof *nodes);
    uint8_t *memory = malloc(scratch_cap);
    struct buffer scratch = buffer_over(memory, scratch_cap);
    answer->definitions = definitions_of(answer->call->web->server, r);
    answer->nodes = lwm2m_nodes_over(nodes, cap);
    bool is_empty = body.len == 0 && answer->base->len < 3;
    if (nodes == NULL || memory == NULL)
        refuse_memory(answer);
    else if (is_empty)
        respond_decoded(answer); /* an object without instances, an instance without resources */
    else if (answer->form->form == HTTP_FORM_PELION && answer->content_format < 0)
        respond_payload(answer);
    else if (answer->content_format < 0)
        device_problem_undecodable(answer->call, answer->result, "the answer names no content format");
    else if (decode(answer, r, &scratch) || decode_assumed_text(answer, r, &scratch))
        respond_decoded(answer);
    else if (answer->form->form == HTTP_FORM_PELION)
        respond_payload(answer);
    else
        device_problem_undecodable(answer->call, answer->result, answer->fault);
    free(nodes);
    free(memory);
}

void data_answer(struct device_call *call, const struct operation_result *result, const struct lwm2m_path *base,
                 int asked, const struct data_form *form) {
    struct data_form own_form = *form; /* both may lie in the call, which ends before the answer is written */
    struct lwm2m_path own_base = *base;
    struct answer answer = {.call = call,
                            .result = result,
                            .base = &own_base,
                            .form = &own_form,
                            .content_format = coap_content_format(result->message)};
    answer.is_assumed = answer.content_format < 0;
    if (answer.is_assumed)
        answer.content_format = assumed_format(&answer, asked);
    if (own_form.form == HTTP_FORM_BYTES)
        respond(&answer, HTTP_FORM_BYTES, result->body);
    else if (result->message->code == COAP_2_05_CONTENT)
        decode_and_respond(&answer);
    else
        device_problem_undecodable(call, result, "an answer with content is 2.05");
}
