#include "client/notification_rule.h"

#include <math.h>

#include "common/base/hash.h"

static bool is_number(enum lwm2m_type type) {
    return type == LWM2M_INTEGER || type == LWM2M_UNSIGNED || type == LWM2M_FLOAT;
}

static uint64_t digest_of(const struct lwm2m_value *value) {
    static const struct hash_key key = {0, 0};
    return lwm2m_type_has_bytes(value->type) ? hash_slice(&key, value->bytes) : lwm2m_value_bits(value);
}

static long double number_of(const struct lwm2m_value *value) {
    switch (value->type) {
    case LWM2M_INTEGER:
        return (long double)value->integer;
    case LWM2M_UNSIGNED:
        return (long double)value->natural;
    case LWM2M_FLOAT:
        return value->real;
    default:
        return 0;
    }
}

struct sample sample_of(const struct lwm2m_node *node) {
    return (struct sample){.path = node->path,
                           .type = node->value.type,
                           .digest = digest_of(&node->value),
                           .number = number_of(&node->value),
                           .truth = node->value.type == LWM2M_BOOLEAN && node->value.truth};
}

/* Above gt is beyond it, and below lt; at the threshold itself is not. */
static bool crosses_gt(const struct attributes *attributes, long double told, long double now) {
    double limit = attributes_get(attributes, ATTRIBUTE_GT);
    return attributes_have(attributes, ATTRIBUTE_GT) && (told > limit) != (now > limit);
}

static bool crosses_lt(const struct attributes *attributes, long double told, long double now) {
    double limit = attributes_get(attributes, ATTRIBUTE_LT);
    return attributes_have(attributes, ATTRIBUTE_LT) && (told < limit) != (now < limit);
}

static bool is_step(const struct attributes *attributes, long double told, long double now) {
    return attributes_have(attributes, ATTRIBUTE_ST) &&
           fabs((double)(now - told)) >= attributes_get(attributes, ATTRIBUTE_ST);
}

bool notification_rule_counts(const struct attributes *attributes, const struct sample *told,
                              const struct sample *now) {
    unsigned of_numbers = 1u << ATTRIBUTE_GT | 1u << ATTRIBUTE_LT | 1u << ATTRIBUTE_ST;
    if (told->type == now->type && told->digest == now->digest)
        return false;
    if (is_number(told->type) && is_number(now->type) && (attributes->set & of_numbers) != 0)
        return crosses_gt(attributes, told->number, now->number) || crosses_lt(attributes, told->number, now->number) ||
               is_step(attributes, told->number, now->number);
    return !(now->type == LWM2M_BOOLEAN && attributes_have(attributes, ATTRIBUTE_EDGE));
}

/* edge is 1 for the turn from false to true (Table 7.3.2-1). */
bool notification_rule_turns(const struct attributes *attributes, bool before, bool now) {
    return attributes_have(attributes, ATTRIBUTE_EDGE) && before != now &&
           now == (attributes_get(attributes, ATTRIBUTE_EDGE) != 0);
}

void notification_rule_combine(struct attributes *all, const struct attributes *one) {
    double pmin = attributes_get(one, ATTRIBUTE_PMIN), pmax = attributes_get(one, ATTRIBUTE_PMAX);
    if (pmin > attributes_get(all, ATTRIBUTE_PMIN))
        attributes_set(all, ATTRIBUTE_PMIN, pmin);
    if (pmax > 0 && (pmax < attributes_get(all, ATTRIBUTE_PMAX) || attributes_get(all, ATTRIBUTE_PMAX) <= 0))
        attributes_set(all, ATTRIBUTE_PMAX, pmax);
    if (attributes_get(one, ATTRIBUTE_CON) > 0)
        attributes_set(all, ATTRIBUTE_CON, 1);
}

/* A pmax of 0, or below pmin, is none. */
int64_t notification_rule_due_ms(const struct attributes *attributes, bool changed) {
    double pmin = attributes_get(attributes, ATTRIBUTE_PMIN), pmax = attributes_get(attributes, ATTRIBUTE_PMAX);
    if (changed)
        return (int64_t)pmin * 1000;
    return pmax > 0 && pmax >= pmin ? (int64_t)pmax * 1000 : NOTIFICATION_NEVER_DUE;
}
