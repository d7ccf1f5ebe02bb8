#include "web/v1/attributes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/coap/option.h"
#include "common/lwm2m/json_reader.h"
#include "common/lwm2m/text.h"
#include "web/v1/device_problem.h"
#include "web/v1/v1.h"

enum { SCRATCH_MAX = 1024, WARNING_MAX = 512 };

enum attribute_kind { COUNT, DECIMAL, FLAG };

enum attribute_id { PMIN, PMAX, EPMIN, EPMAX, HQMAX, CON, GT, LT, ST, EDGE, ATTRIBUTE_COUNT };

/* Core 1.2 Table 7.3.2-1. */
static const struct {
    const char *name;
    enum attribute_kind kind;
    enum lwm2m_version since;
    uint8_t ids; /* a path has at least so many */
} attributes[ATTRIBUTE_COUNT] = {
    [PMIN] = {"pmin", COUNT, LWM2M_1_0, 1},   [PMAX] = {"pmax", COUNT, LWM2M_1_0, 1},
    [EPMIN] = {"epmin", COUNT, LWM2M_1_1, 1}, [EPMAX] = {"epmax", COUNT, LWM2M_1_1, 1},
    [HQMAX] = {"hqmax", COUNT, LWM2M_1_2, 1}, [CON] = {"con", FLAG, LWM2M_1_2, 1},
    [GT] = {"gt", DECIMAL, LWM2M_1_0, 3},     [LT] = {"lt", DECIMAL, LWM2M_1_0, 3},
    [ST] = {"st", DECIMAL, LWM2M_1_0, 3},     [EDGE] = {"edge", FLAG, LWM2M_1_2, 3},
};

/* The attributes of one request. */
struct attribute_list {
    bool is_set[ATTRIBUTE_COUNT]; /* has a value */
    bool is_named[ATTRIBUTE_COUNT];
    double numbers[ATTRIBUTE_COUNT];
    struct buffer query;   /* in the order of the body */
    struct buffer warning; /* what is legal and doubtful, for people; empty when nothing is */
};

/* One request, and what is told of it when it is answered. */
struct attribute_write {
    struct device_call call; /* first member */
    bool is_named[ATTRIBUTE_COUNT];
    enum lwm2m_version version; /* that the device registered with */
    char warning[WARNING_MAX];
};

static enum attribute_id attribute_of(struct slice name) {
    enum attribute_id id = 0;
    while (id < ATTRIBUTE_COUNT && !slice_is(name, attributes[id].name))
        id++;
    return id;
}

static bool has_exponent(struct slice text) {
    return memchr(text.data, 'e', text.len) != NULL || memchr(text.data, 'E', text.len) != NULL;
}

/* As it is written; an exponent, which attributes do not have, is undone. */
static bool put_decimal(struct buffer *out, struct slice text, double *number) {
    struct buffer none = buffer_over(NULL, 0);
    struct lwm2m_value value;
    const char *remark;
    if (text.len == 0 || !lwm2m_text_decode(text, LWM2M_FLOAT, &none, &value, &remark))
        return false;
    *number = value.real;
    if (has_exponent(text))
        return lwm2m_text_encode(&value, out);
    buffer_put_slice(out, text);
    return !out->overflow;
}

__attribute__((format(printf, 2, 3))) static void warn(struct attribute_list *list, const char *format, ...) {
    char text[WARNING_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (list->warning.len > 0)
        buffer_put_str(&list->warning, "; ");
    buffer_put_str(&list->warning, text);
}

/* The grammar of the attributes knows neither signs nor exponents (Core 1.2 §7.3.1); clients mostly take a sign. */
static void warn_of_decimal(struct attribute_list *list, enum attribute_id id, struct slice text) {
    if (list->numbers[id] < 0)
        warn(list, "%s is negative, which the standard has no form for", attributes[id].name);
    if (has_exponent(text))
        warn(list, "%s was sent without its exponent, which the standard has no form for", attributes[id].name);
}

static bool put_value(struct attribute_list *list, enum attribute_id id, const struct json_token *token) {
    bool is_text = token->kind == JSON_TOKEN_NUMBER || token->kind == JSON_TOKEN_STRING;
    uint64_t count = token->kind == JSON_TOKEN_TRUE;
    if (attributes[id].kind == DECIMAL) {
        if (!is_text || !put_decimal(&list->query, token->text, &list->numbers[id]))
            return false;
        warn_of_decimal(list, id, token->text);
        return true;
    }
    uint64_t max = attributes[id].kind == FLAG ? 1 : UINT32_MAX;
    bool is_truth = token->kind == JSON_TOKEN_TRUE || token->kind == JSON_TOKEN_FALSE;
    if (is_text ? !slice_to_u64(token->text, max, &count) : attributes[id].kind != FLAG || !is_truth)
        return false;
    buffer_put_decimal(&list->query, count);
    list->numbers[id] = (double)count;
    return !list->query.overflow;
}

static bool refuse(const struct call *call, const char *name, const char *why) {
    problem_send(call->request, PROBLEM_BAD_BODY, "%s: %s", name, why);
    return false;
}

static bool allows(const struct call *call, const struct target *target, enum attribute_id id) {
    struct format_subject subject = target_subject(call, target);
    enum lwm2m_type type = subject.type;
    bool is_number = type == LWM2M_INTEGER || type == LWM2M_UNSIGNED || type == LWM2M_FLOAT || type == LWM2M_TIME;
    if (target->force)
        return true;
    if (target->path.len < attributes[id].ids)
        return refuse(call, attributes[id].name, "it goes with a resource or an instance of one only.");
    if (type != LWM2M_RAW && attributes[id].kind == DECIMAL && !is_number)
        return refuse(call, attributes[id].name, "it goes with numbers only, and the resource is none.");
    if (type != LWM2M_RAW && id == EDGE && type != LWM2M_BOOLEAN)
        return refuse(call, attributes[id].name, "it goes with a Boolean only, and the resource is none.");
    return target_allows(call, target, attributes[id].since, attributes[id].name);
}

static bool add(const struct call *call, const struct target *target, struct attribute_list *list,
                const struct json_token *key, const struct json_token *value) {
    static const char *const expected[] = {
        [COUNT] = "it must be an integer from 0 to 4294967295, or null to unset it.",
        [DECIMAL] = "it must be a decimal number, or null to unset it.",
        [FLAG] = "it must be 0, 1, true or false, or null to unset it.",
    };
    enum attribute_id id = attribute_of(key->text);
    if (id == ATTRIBUTE_COUNT) {
        problem_send(
            call->request, PROBLEM_BAD_BODY,
            "There is no attribute \"%.*s\"; there are pmin, pmax, gt, lt, st, epmin, epmax, edge, con and hqmax.",
            (int)key->text.len, (const char *)key->text.data);
        return false;
    }
    if (list->is_named[id])
        return refuse(call, attributes[id].name, "it is there twice.");
    if (!allows(call, target, id))
        return false;
    list->is_named[id] = true;
    if (list->query.len > 0)
        buffer_put_u8(&list->query, '&');
    buffer_put_str(&list->query, attributes[id].name);
    if (value->kind == JSON_TOKEN_NULL)
        return true;
    list->is_set[id] = true;
    buffer_put_u8(&list->query, '=');
    return put_value(list, id, value) || refuse(call, attributes[id].name, expected[attributes[id].kind]);
}

/* What contradicts itself (Core 1.2 §7.3.2). */
static const char *contradiction(const struct attribute_list *list) {
    const double *n = list->numbers;
    if (list->is_set[GT] && list->is_set[LT] && n[LT] >= n[GT])
        return "lt must be less than gt.";
    if (list->is_set[GT] && list->is_set[LT] && list->is_set[ST] && n[LT] + 2 * n[ST] >= n[GT])
        return "lt + 2 * st must be less than gt.";
    if (list->is_set[EPMIN] && list->is_set[EPMAX] && n[EPMIN] >= n[EPMAX])
        return "epmin must be less than epmax.";
    return NULL;
}

static bool refuse_syntax(const struct call *call, struct slice body, const struct json_reader *reader) {
    problem_send(call->request, PROBLEM_BAD_BODY, "The body is no JSON: %s, at byte %zu.",
                 reader->remark == NULL ? "it is not complete" : reader->remark, body.len - reader->rest.len);
    return false;
}

static bool read_body(const struct call *call, const struct target *target, struct slice body,
                      struct attribute_list *list) {
    uint8_t memory[SCRATCH_MAX];
    struct buffer scratch = buffer_over(memory, sizeof memory);
    struct json_reader reader;
    struct json_token key, value;
    json_reader_begin(&reader, body, &scratch);
    if (!json_reader_next(&reader, &key))
        return refuse_syntax(call, body, &reader);
    if (key.kind != JSON_TOKEN_OBJECT)
        return refuse(call, "The body", "it must be an object such as {\"pmin\":10,\"gt\":null}.");
    while (json_reader_next(&reader, &key) && key.kind == JSON_TOKEN_KEY && json_reader_next(&reader, &value)) {
        if (!add(call, target, list, &key, &value))
            return false;
    }
    if (key.kind != JSON_TOKEN_OBJECT_END || !json_reader_expect(&reader, JSON_TOKEN_END, &key))
        return refuse_syntax(call, body, &reader);
    const char *why = contradiction(list);
    if (why != NULL && !target->force)
        return refuse(call, "The attributes", why);
    return list->query.len > 0 || refuse(call, "The body", "there are no attributes in it.");
}

bool attributes_read_body(const struct call *call, const struct target *target, struct slice body,
                          struct buffer *query) {
    struct attribute_list list = {.query = *query};
    if (!read_body(call, target, body, &list))
        return false;
    *query = list.query;
    return true;
}

/* ---- PUT …/attributes: Write-Attributes (§6.3.4) ---- */

/* Legal, and hardly meant: the device ignores pmax then (Core 1.2 Table 7.3.2-1). 0 is none. */
static void warn_of_periods(struct attribute_list *list) {
    if (list->is_set[PMIN] && list->is_set[PMAX] && list->numbers[PMAX] > 0 &&
        list->numbers[PMAX] < list->numbers[PMIN])
        warn(list, "pmax is less than pmin, and is ignored then");
}

/* The attributes that came after the device's version of LwM2M: NULL when there are none. */
static json_t *newer_attributes(const struct attribute_write *write) {
    json_t *names = json_array();
    for (enum attribute_id id = 0; id < ATTRIBUTE_COUNT; id++) {
        if (write->is_named[id] && attributes[id].since > write->version)
            json_array_append_new(names, json_string(attributes[id].name));
    }
    if (json_array_size(names) > 0)
        return json_pack("{so}", "newer_attributes", names);
    json_decref(names);
    return NULL;
}

static void answer_done(struct attribute_write *write, const struct operation_result *result) {
    char headers[COAP_CODE_HEADER_MAX + WARNING_MAX + 32], code[COAP_CODE_HEADER_MAX], warning[WARNING_MAX + 32] = "";
    coap_code_header(result->message->code, code);
    if (write->warning[0] != '\0')
        snprintf(warning, sizeof warning, "Berth-Warning: %s\r\n", write->warning);
    snprintf(headers, sizeof headers, "%s%s", code, warning);
    http_respond(device_call_end(&write->call), &(struct http_response){.status = 204, .headers = headers});
}

static void on_answered(struct device_call *call, const struct operation_result *result) {
    struct attribute_write *write = (struct attribute_write *)call;
    bool is_doubt = result->outcome == OPERATION_ANSWERED &&
                    (result->message->code == COAP_4_00_BAD_REQUEST || result->message->code == COAP_4_02_BAD_OPTION);
    json_t *newer = is_doubt ? newer_attributes(write) : NULL;
    const char *remark =
        newer == NULL ? NULL : "the device registered with a version of LwM2M that newer_attributes came after";
    if (device_problem_if_any_with(call, result, newer, remark))
        answer_done(write, result);
}

void v1_write_attributes(const struct call *call) {
    uint8_t memory[ATTRIBUTES_QUERY_MAX];
    struct target target;
    struct attribute_list list = {.query = buffer_over(memory, sizeof memory)};
    char warning[WARNING_MAX];
    list.warning = buffer_over(warning, sizeof warning - 1);
    if (!target_read(call, &target) || !read_body(call, &target, call->request->body, &list))
        return;
    warn_of_periods(&list);
    struct attribute_write *write = device_call_new(call, sizeof *write, target.text, on_answered);
    if (write == NULL)
        return;
    memcpy(write->is_named, list.is_named, sizeof write->is_named);
    memcpy(write->warning, warning, list.warning.len);
    write->version = (enum lwm2m_version)target.registration->version;
    device_call_send(&write->call, &(struct operation_request){.method = COAP_PUT,
                                                               .path = slice_str(target.text),
                                                               .query = buffer_slice(&list.query),
                                                               .accept = COAP_FORMAT_NONE,
                                                               .content_format = COAP_FORMAT_NONE});
}
