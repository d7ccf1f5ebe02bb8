#include "common/coap/signal.h"

/* Each option that has a meaning with a code, and the longest value it may have. */
static const struct {
    uint8_t code, number, min_len, max_len;
} options[] = {
    {COAP_7_01_CSM, COAP_CSM_MAX_MESSAGE_SIZE, 0, 4},
    {COAP_7_01_CSM, COAP_CSM_BLOCK_WISE_TRANSFER, 0, 0},
    {COAP_7_02_PING, COAP_PING_CUSTODY, 0, 0},
    {COAP_7_03_PONG, COAP_PING_CUSTODY, 0, 0},
    {COAP_7_04_RELEASE, COAP_RELEASE_ALTERNATIVE_ADDRESS, 1, 255},
    {COAP_7_04_RELEASE, COAP_RELEASE_HOLD_OFF, 0, 3},
    {COAP_7_05_ABORT, COAP_ABORT_BAD_CSM_OPTION, 0, 2},
};

/* All of them are elective: a critical one is never understood (§5.2). */
static bool is_understood(uint8_t code, const struct coap_option *option) {
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (options[i].code == code && options[i].number == option->number)
            return option->value.len >= options[i].min_len && option->value.len <= options[i].max_len;
    }
    return false;
}

static uint32_t to_uint(struct slice value) {
    uint32_t number = 0;
    for (size_t i = 0; i < value.len; i++)
        number = number << 8 | value.data[i];
    return number;
}

static void take(uint8_t code, const struct coap_option *option, struct coap_signal *signal) {
    switch (code) {
    case COAP_7_01_CSM:
        if (option->number == COAP_CSM_MAX_MESSAGE_SIZE)
            signal->max_message_size = to_uint(option->value);
        else
            signal->block_wise_transfer = true;
        return;
    case COAP_7_02_PING:
    case COAP_7_03_PONG:
        signal->custody = true;
        return;
    case COAP_7_04_RELEASE:
        if (option->number == COAP_RELEASE_HOLD_OFF)
            signal->hold_off_s = to_uint(option->value);
        else if (signal->alternative_address.len == 0)
            signal->alternative_address = option->value;
        return;
    case COAP_7_05_ABORT:
        signal->bad_csm_option = (uint16_t)to_uint(option->value);
        return;
    default:
        return;
    }
}

uint16_t coap_signal_read(const struct coap_message *message, struct coap_signal *signal) {
    *signal = (struct coap_signal){.diagnostic = message->payload};
    if (message->code < COAP_7_01_CSM || message->code > COAP_7_05_ABORT)
        return 0;
    for (size_t i = 0; i < message->option_count; i++) {
        const struct coap_option *option = &message->options[i];
        if (is_understood(message->code, option))
            take(message->code, option, signal);
        else if (coap_option_is_critical(option->number))
            return option->number;
    }
    return 0;
}

void coap_signal_csm(struct coap_message *message, uint32_t max_message_size, struct coap_signal_scratch *scratch) {
    coap_message_init(message, COAP_CON, COAP_7_01_CSM, 0, SLICE_NONE);
    coap_option_add_uint(message, COAP_CSM_MAX_MESSAGE_SIZE, max_message_size, &scratch->value);
    coap_option_add(message, COAP_CSM_BLOCK_WISE_TRANSFER, SLICE_NONE);
}

void coap_signal_pong(struct coap_message *message, struct slice token, bool custody) {
    coap_message_init(message, COAP_CON, COAP_7_03_PONG, 0, token);
    if (custody)
        coap_option_add(message, COAP_PING_CUSTODY, SLICE_NONE);
}

void coap_signal_abort(struct coap_message *message, uint16_t bad_csm_option, const char *diagnostic,
                       struct coap_signal_scratch *scratch) {
    coap_message_init(message, COAP_CON, COAP_7_05_ABORT, 0, SLICE_NONE);
    if (bad_csm_option != 0)
        coap_option_add_uint(message, COAP_ABORT_BAD_CSM_OPTION, bad_csm_option, &scratch->value);
    message->payload = slice_str(diagnostic);
}
