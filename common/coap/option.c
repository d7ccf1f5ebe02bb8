#include "common/coap/option.h"

/* What the registries say of each option that is understood here. */
struct option_rule {
    uint16_t number;
    uint16_t min_len, max_len;
    bool repeatable;
    bool in_request, in_response;
    const char *name;
};

static const struct option_rule rules_table[] = {
    {COAP_IF_MATCH, 0, 8, true, true, false, "If-Match"},
    {COAP_URI_HOST, 1, 255, false, true, false, "Uri-Host"},
    {COAP_ETAG, 1, 8, true, true, true, "ETag"},
    {COAP_IF_NONE_MATCH, 0, 0, false, true, false, "If-None-Match"},
    {COAP_OBSERVE, 0, 3, false, true, true, "Observe"},
    {COAP_URI_PORT, 0, 2, false, true, false, "Uri-Port"},
    {COAP_LOCATION_PATH, 0, 255, true, false, true, "Location-Path"},
    {COAP_OSCORE, 0, 255, false, true, true, "OSCORE"},
    {COAP_URI_PATH, 0, 255, true, true, false, "Uri-Path"},
    {COAP_CONTENT_FORMAT, 0, 2, false, true, true, "Content-Format"},
    {COAP_MAX_AGE, 0, 4, false, true, true, "Max-Age"},
    {COAP_URI_QUERY, 0, 255, true, true, false, "Uri-Query"},
    {COAP_HOP_LIMIT, 1, 1, false, true, false, "Hop-Limit"},
    {COAP_ACCEPT, 0, 2, false, true, false, "Accept"},
    {COAP_LOCATION_QUERY, 0, 255, true, false, true, "Location-Query"},
    {COAP_BLOCK2, 0, 3, false, true, true, "Block2"},
    {COAP_BLOCK1, 0, 3, false, true, true, "Block1"},
    {COAP_SIZE2, 0, 4, false, true, true, "Size2"},
    {COAP_PROXY_URI, 1, 1034, false, true, false, "Proxy-Uri"},
    {COAP_PROXY_SCHEME, 1, 255, false, true, false, "Proxy-Scheme"},
    {COAP_SIZE1, 0, 4, false, true, true, "Size1"},
    {COAP_ECHO, 1, 40, false, true, true, "Echo"},
    {COAP_NO_RESPONSE, 0, 1, false, true, false, "No-Response"},
    {COAP_REQUEST_TAG, 0, 8, true, true, false, "Request-Tag"},
};

static const struct option_rule *rule_for(uint16_t number) {
    for (size_t i = 0; i < sizeof rules_table / sizeof rules_table[0]; i++) {
        if (rules_table[i].number == number)
            return &rules_table[i];
    }
    return NULL;
}

const struct coap_option *coap_option_find(const struct coap_message *message, uint16_t number) {
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number == number)
            return &message->options[i];
        if (message->options[i].number > number)
            break;
    }
    return NULL;
}

bool coap_option_uint(const struct coap_message *message, uint16_t number, uint32_t *value) {
    const struct coap_option *option = coap_option_find(message, number);
    if (option == NULL || option->value.len > 4)
        return false;
    *value = 0;
    for (size_t i = 0; i < option->value.len; i++)
        *value = *value << 8 | option->value.data[i];
    return true;
}

int coap_content_format(const struct coap_message *message) {
    uint32_t format;
    return coap_option_uint(message, COAP_CONTENT_FORMAT, &format) ? (int)format : COAP_FORMAT_NONE;
}

const char *coap_option_name(uint16_t number) {
    const struct option_rule *rule = rule_for(number);
    return rule == NULL ? "" : rule->name;
}

static bool may_stay(const struct coap_message *message, size_t index, const struct coap_option_rules *rules) {
    const struct coap_option *option = &message->options[index];
    const struct option_rule *rule = rule_for(option->number);
    if (rule == NULL && !coap_code_is_request(message->code))
        return !coap_option_is_critical(option->number);
    if (rule == NULL || (option->number == COAP_OSCORE && !rules->oscore))
        return false;
    if (option->value.len < rule->min_len || option->value.len > rule->max_len)
        return false;
    if (!rule->repeatable && index > 0 && message->options[index - 1].number == option->number)
        return false;
    return coap_code_is_request(message->code) ? rule->in_request : rule->in_response;
}

uint16_t coap_options_judge(struct coap_message *message, const struct coap_option_rules *rules) {
    size_t kept = 0;
    for (size_t i = 0; i < message->option_count; i++) {
        /* Judged before compaction moves it: `kept` never runs ahead of `i`, and the option before `i` in the original
         * order has the same number whether or not it was kept. */
        if (may_stay(message, i, rules)) {
            message->options[kept++] = message->options[i];
        } else if (coap_option_is_critical(message->options[i].number)) {
            return message->options[i].number;
        }
    }
    message->option_count = kept;
    return 0;
}

bool coap_option_add(struct coap_message *message, uint16_t number, struct slice value) {
    if (message->option_count == COAP_OPTIONS_MAX)
        return false;
    size_t at = message->option_count;
    while (at > 0 && message->options[at - 1].number > number) {
        message->options[at] = message->options[at - 1];
        at--;
    }
    message->options[at] = (struct coap_option){number, value};
    message->option_count++;
    return true;
}

bool coap_option_add_uint(struct coap_message *message, uint16_t number, uint32_t value, struct coap_uint *scratch) {
    size_t len = value == 0 ? 0 : value < 0x100 ? 1 : value < 0x10000 ? 2 : value < 0x1000000 ? 3 : 4;
    for (size_t i = 0; i < len; i++)
        scratch->bytes[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
    return coap_option_add(message, number, slice_of(scratch->bytes, len));
}

void coap_option_remove(struct coap_message *message, uint16_t number) {
    size_t kept = 0;
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number != number)
            message->options[kept++] = message->options[i];
    }
    message->option_count = kept;
}
