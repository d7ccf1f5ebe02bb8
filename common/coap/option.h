/* CoAP options (RFC 7252 §5.4, §5.10 and later RFCs): their numbers, lengths and values, and the rules that decide
 * whether a message with them may be processed. */
#ifndef BERTH_COAP_OPTION_H
#define BERTH_COAP_OPTION_H

#include "common/coap/message.h"

enum coap_option_number {
    COAP_IF_MATCH = 1,
    COAP_URI_HOST = 3,
    COAP_ETAG = 4,
    COAP_IF_NONE_MATCH = 5,
    COAP_OBSERVE = 6,
    COAP_URI_PORT = 7,
    COAP_LOCATION_PATH = 8,
    COAP_OSCORE = 9,
    COAP_URI_PATH = 11,
    COAP_CONTENT_FORMAT = 12,
    COAP_MAX_AGE = 14,
    COAP_URI_QUERY = 15,
    COAP_HOP_LIMIT = 16,
    COAP_ACCEPT = 17,
    COAP_Q_BLOCK1 = 19,
    COAP_LOCATION_QUERY = 20,
    COAP_BLOCK2 = 23,
    COAP_BLOCK1 = 27,
    COAP_SIZE2 = 28,
    COAP_Q_BLOCK2 = 31,
    COAP_PROXY_URI = 35,
    COAP_PROXY_SCHEME = 39,
    COAP_SIZE1 = 60,
    COAP_ECHO = 252,
    COAP_NO_RESPONSE = 258,
    COAP_REQUEST_TAG = 292,
};

enum coap_content_format {
    COAP_FORMAT_NONE = -1,
    COAP_FORMAT_TEXT = 0,
    COAP_FORMAT_LINK = 40,
    COAP_FORMAT_OPAQUE = 42,
    COAP_FORMAT_CBOR = 60,
    COAP_FORMAT_SENML_JSON = 110,
    COAP_FORMAT_SENML_CBOR = 112,
    COAP_FORMAT_TLV = 11542,
    COAP_FORMAT_OMA_JSON = 11543,
    COAP_FORMAT_LWM2M_CBOR = 11544,
};

/* Odd numbers are critical (§5.4.1). */
static inline bool coap_option_is_critical(uint16_t number) {
    return (number & 1) != 0;
}

/* The first option of that number, or NULL. */
const struct coap_option *coap_option_find(const struct coap_message *message, uint16_t number);

/* Its value as an unsigned integer (§3.2: up to 4 bytes, leading zeros allowed). False when there is none, or a longer
 * one. */
bool coap_option_uint(const struct coap_message *message, uint16_t number, uint32_t *value);

/* The Content-Format, or COAP_FORMAT_NONE. */
int coap_content_format(const struct coap_message *message);

/* The name in the registry ("Uri-Path"), or "" for one that is not in it. */
const char *coap_option_name(uint16_t number);

/* Judge the options of a request or response by §5.4: removes from `message` every elective option that is unknown here,
 * has an illegal length, is repeated though it must not be, or has no meaning in this kind of message. Unknown ones of a
 * response stay: nothing here looks at them, and whoever asked may want to see them.
 * Returns the number of the first critical option for which that holds, or 0 when the message may be processed.
 * Options that this CoAP layer only passes on (OSCORE, Proxy-Uri …) count as known when `extra` says so. */
struct coap_option_rules {
    bool oscore; /* OSCORE is spoken here */
};
uint16_t coap_options_judge(struct coap_message *message, const struct coap_option_rules *rules);

/* Add an option behind those of lower or equal number. The value must outlive the message's encoding. False when there
 * are COAP_OPTIONS_MAX already. */
bool coap_option_add(struct coap_message *message, uint16_t number, struct slice value);

/* Add `value` in its shortest form (§3.2), written to `scratch`, which must outlive the encoding. */
struct coap_uint {
    uint8_t bytes[4];
};
bool coap_option_add_uint(struct coap_message *message, uint16_t number, uint32_t value, struct coap_uint *scratch);

/* Remove every option of that number. */
void coap_option_remove(struct coap_message *message, uint16_t number);

#endif
