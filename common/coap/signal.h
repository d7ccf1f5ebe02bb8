/* Signalling messages of a connection (RFC 8323 §5): what they say, and how ours are written. */
#ifndef BERTH_COAP_SIGNAL_H
#define BERTH_COAP_SIGNAL_H

#include "common/coap/option.h"

enum coap_signal_code {
    COAP_7_01_CSM = COAP_CODE(7, 1), /* Capabilities and Settings Message */
    COAP_7_02_PING = COAP_CODE(7, 2),
    COAP_7_03_PONG = COAP_CODE(7, 3),
    COAP_7_04_RELEASE = COAP_CODE(7, 4),
    COAP_7_05_ABORT = COAP_CODE(7, 5),
};

/* Option numbers have a meaning for each code of their own (§5.2). */
enum coap_signal_option {
    COAP_CSM_MAX_MESSAGE_SIZE = 2,
    COAP_CSM_BLOCK_WISE_TRANSFER = 4,
    COAP_PING_CUSTODY = 2,
    COAP_RELEASE_ALTERNATIVE_ADDRESS = 2,
    COAP_RELEASE_HOLD_OFF = 4,
    COAP_ABORT_BAD_CSM_OPTION = 2,
};

static inline bool coap_code_is_signal(uint8_t code) {
    return COAP_CODE_CLASS(code) == 7;
}

/* What a signalling message says. A value that is not there is 0, an option whose length is wrong counts as not there. */
struct coap_signal {
    uint32_t max_message_size;        /* CSM: bytes of a whole message; 0: not told */
    bool block_wise_transfer;         /* CSM: RFC 7959, and BERT when messages may be larger than 1152 bytes */
    bool custody;                     /* Ping, Pong */
    uint32_t hold_off_s;              /* Release: not to come back sooner */
    struct slice alternative_address; /* Release: where to go instead, the first one; "" when none */
    uint16_t bad_csm_option;          /* Abort; 0: none */
    struct slice diagnostic;          /* Abort, Release: the payload, text for a person */
};

/* Read one of class 7. Returns the number of a critical option that has no meaning in it, which there is to refuse it
 * for (§5.2), or 0. Codes without a meaning have no options that are understood, and none that are refused. */
uint16_t coap_signal_read(const struct coap_message *message, struct coap_signal *signal);

/* Option values, which must outlive the encoding. */
struct coap_signal_scratch {
    struct coap_uint value;
};

/* Our CSM: the largest message we take, and that we know blocks. */
void coap_signal_csm(struct coap_message *message, uint32_t max_message_size, struct coap_signal_scratch *scratch);

/* The answer to a Ping (§5.4). */
void coap_signal_pong(struct coap_message *message, struct slice token, bool custody);

/* Why the connection ends (§5.6). `bad_csm_option` is 0 when no option of a CSM is the reason. */
void coap_signal_abort(struct coap_message *message, uint16_t bad_csm_option, const char *diagnostic,
                       struct coap_signal_scratch *scratch);

#endif
