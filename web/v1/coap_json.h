/* CoAP as the API writes it: codes, content formats and bytes. */
#ifndef BERTH_WEB_V1_COAP_JSON_H
#define BERTH_WEB_V1_COAP_JSON_H

#include <jansson.h>

#include "common/coap/message.h"

/* A string; null when out of memory. */
json_t *coap_json_base64(struct slice bytes);

/* The bytes of a string of Base64, allocated: free() it. NULL: it is none. */
uint8_t *coap_json_bytes(const json_t *string, size_t *len);

/* "GET", "iPATCH" in any case, or "0.01". False when it is neither. */
bool coap_json_method(struct slice text, uint8_t *method);

/* A content format by its name (`senml-cbor`) or number. False when it is neither. */
bool coap_json_format(struct slice text, int *format);

#endif
