/* Protecting and verifying messages (RFC 8613 §4, §5, §8): the inner message, with code, Class E options and payload,
 * becomes the ciphertext that is the payload of the outer one. Types, Message IDs and tokens are the outer message's.
 *
 * Nothing is allocated. What an outer or inner message points at lies in `memory`, which the caller owns and which must
 * have room for OSCORE_OVERHEAD bytes more than the message has. */
#ifndef BERTH_OSCORE_PROTECT_H
#define BERTH_OSCORE_PROTECT_H

#include "common/coap/option.h"
#include "common/oscore/context.h"

enum {
    /* What protecting adds at most: option with Partial IV, kid context and kid, its header, code, payload marker, tag,
     * and Observe a second time. */
    OSCORE_OVERHEAD = 3 + 1 + OSCORE_PIV_MAX + 1 + (OSCORE_ID_CONTEXT_MAX + 2) + OSCORE_ID_MAX + 2 + OSCORE_TAG_MAX + 5,
};

/* What ties a response to its request (§5.4): the Partial IV of the request, as it was on the wire. */
struct oscore_request {
    uint8_t piv[OSCORE_PIV_MAX];
    uint8_t piv_len;
};

enum oscore_result {
    OSCORE_OK,
    OSCORE_NO_NUMBERS, /* protecting: number_limit is reached, or 2^40 */
    OSCORE_TOO_LARGE,  /* it does not fit into `memory` */
    OSCORE_MALFORMED,  /* the option, or a Partial IV is missing: 4.02 is due for a request */
    OSCORE_REPLAY,     /* of a request: 4.01 */
    OSCORE_BAD,        /* not authentic, or no message within: 4.00 */
};

/* ---- requests ---- */

/* Protect `inner`: `outer` is its outer message (type, Message ID and token are inner's), with code POST, or FETCH when it
 * observes. `kid_context`: the value to tell, or SLICE_NONE. */
enum oscore_result oscore_protect_request(struct oscore_context *context, struct slice kid_context,
                                          const struct coap_message *inner, struct buffer *memory,
                                          struct coap_message *outer, struct oscore_request *request);

/* Verify a request whose option has been decoded. Replays are judged when the window is valid; nothing is marked as taken:
 * that is oscore_request_take. Outside of the ciphertext, Class U options count and nothing else. The OSCORE option stays
 * in `inner`: it tells the Partial IV to whoever will notify. */
enum oscore_result oscore_open_request(const struct oscore_context *context, const struct oscore_option *option,
                                       const struct coap_message *outer, struct buffer *memory,
                                       struct coap_message *inner, struct oscore_request *request);

/* The request's number is taken. True when it is the newest. */
bool oscore_request_take(struct oscore_context *context, const struct oscore_request *request);

/* The request whose OSCORE option is `value`. */
bool oscore_request_of(struct slice value, struct oscore_request *request);

/* ---- responses ---- */

/* How a response gets its nonce. */
enum oscore_nonce_source {
    OSCORE_NONCE_OF_REQUEST, /* once for a request that is known to be fresh */
    OSCORE_NONCE_OWN,        /* with a Partial IV of ours: any further response, and notifications */
};

/* `kid_context` as above. The outer code is 2.04, or 2.05 with Observe. */
enum oscore_result oscore_protect_response(struct oscore_context *context, const struct oscore_request *request,
                                           enum oscore_nonce_source nonce, struct slice kid_context,
                                           const struct coap_message *inner, struct buffer *memory,
                                           struct coap_message *outer);

/* What a verified response says beside its message. */
struct oscore_response {
    bool has_number;
    uint64_t number; /* its Partial IV */
};

/* Verify a response to `request`, which was ours. A notification's Observe value becomes the lowest 24 bits of its number
 * (§4.1.3.5.2), by which notifications are in order; without number that of the highest known of the peer. */
enum oscore_result oscore_open_response(const struct oscore_context *context, const struct oscore_request *request,
                                        const struct oscore_option *option, const struct coap_message *outer,
                                        struct buffer *memory, struct coap_message *inner,
                                        struct oscore_response *response);

#endif
