/* PUT …/attributes: Write-Attributes (Core 1.2 §6.3.4, §7.3.2). */
#include <stdlib.h>

#include "common/coap/option.h"
#include "common/lwm2m/json_reader.h"
#include "common/lwm2m/text.h"
#include "web/v1/device_problem.h"
#include "web/v1/done.h"
#include "web/v1/target.h"
#include "web/v1/v1.h"

enum { QUERY_MAX = 512, SCRATCH_MAX = 1024 };

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
    struct buffer query; /* in the order of the body */
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

static bool put_value(struct attribute_list *list, enum attribute_id id, const struct json_token *token) {
    bool is_text = token->kind == JSON_TOKEN_NUMBER || token->kind == JSON_TOKEN_STRING;
    uint64_t count = token->kind == JSON_TOKEN_TRUE;
    if (attributes[id].kind == DECIMAL)
        return is_text && put_decimal(&list->query, token->text, &list->numbers[id]);
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

static bool read_body(const struct call *call, const struct target *target, struct attribute_list *list) {
    uint8_t memory[SCRATCH_MAX];
    struct buffer scratch = buffer_over(memory, sizeof memory);
    struct json_reader reader;
    struct json_token key, value;
    json_reader_begin(&reader, call->request->body, &scratch);
    bool good = json_reader_next(&reader, &key);
    if (!good || key.kind != JSON_TOKEN_OBJECT)
        return refuse(call, "The body",
                      good ? "it must be an object such as {\"pmin\":10,\"gt\":null}." : reader.remark);
    while (json_reader_next(&reader, &key) && key.kind == JSON_TOKEN_KEY && json_reader_next(&reader, &value)) {
        if (!add(call, target, list, &key, &value))
            return false;
    }
    if (key.kind != JSON_TOKEN_OBJECT_END || !json_reader_expect(&reader, JSON_TOKEN_END, &key))
        return refuse(call, "The body", reader.remark == NULL ? "it is not complete" : reader.remark);
    const char *why = contradiction(list);
    if (why != NULL && !target->force)
        return refuse(call, "The attributes", why);
    return list->query.len > 0 || refuse(call, "The body", "there are no attributes in it.");
}

static void on_answered(struct device_call *call, const struct operation_result *result) {
    if (device_problem_if_any(call, result))
        done_answer(call, result);
}

void v1_write_attributes(const struct call *call) {
    uint8_t query[QUERY_MAX];
    struct target target;
    struct attribute_list list = {.query = buffer_over(query, sizeof query)};
    if (!target_read(call, &target) || !read_body(call, &target, &list))
        return;
    struct device_call *device_call = device_call_new(call, sizeof *device_call, target.text, on_answered);
    if (device_call == NULL)
        return;
    device_call_send(device_call, &(struct operation_request){.method = COAP_PUT,
                                                              .path = slice_str(target.text),
                                                              .query = buffer_slice(&list.query),
                                                              .accept = COAP_FORMAT_NONE,
                                                              .content_format = COAP_FORMAT_NONE});
}
