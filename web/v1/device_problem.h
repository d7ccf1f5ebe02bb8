/* What became of a request to a device, as a problem document: the device's error under the HTTP status that says the
 * same, or why there is no answer. */
#ifndef BERTH_WEB_V1_DEVICE_PROBLEM_H
#define BERTH_WEB_V1_DEVICE_PROBLEM_H

#include <jansson.h>

#include "web/v1/device_call.h"

enum { COAP_CODE_HEADER_MAX = 32 };

/* 404, with the name that nobody has registered with. */
void problem_send_not_registered(struct http_request *request, struct slice endpoint);

/* 404 of 4.04; 502 for what has no counterpart. */
unsigned device_problem_status(uint8_t coap_code);

/* The statuses that device_problem_status gives, ended by 0. */
extern const unsigned device_problem_statuses[];

/* `CoAP-Code: 2.05` as a header line: every answer that came from a device has it. */
const char *coap_code_header(uint8_t coap_code, char out[COAP_CODE_HEADER_MAX]);

/* The same, and of an Observe `Observation: 12`, or none. */
void device_put_headers(struct buffer *out, const struct operation_result *result);

/* End the call with a problem unless the device has answered with success (2.xx). True when it has. */
bool device_problem_if_any(struct device_call *call, const struct operation_result *result);

/* The same, with what an error of the device may be due to: `members` (given up; NULL: none) are the document's, too, and
 * `remark` (NULL: none) is told in its detail. */
bool device_problem_if_any_with(struct device_call *call, const struct operation_result *result, json_t *members,
                                const char *remark);

/* End the call: the device is in queue mode and sleeps. 503, with Retry-After. */
void device_problem_asleep(struct device_call *call);

/* End the call: the device answered with success, but not with what can be used. `why` says what is wrong with it. */
void device_problem_undecodable(struct device_call *call, const struct operation_result *result, const char *why);

#endif
